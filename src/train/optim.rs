//! Optimisers, with state that can be saved and lies where the variables do.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};

use super::recipe::{OptimiserSettings as Settings, Rule};
use crate::kernels::train::update;
use crate::nn::ops;

/// Decay of the gradients' first moment.
const BETA1: f64 = 0.9;
/// Decay of the gradients' second moment.
const BETA2: f64 = 0.999;
/// Keeps the division finite.
const EPS: f32 = 1e-8;
/// Keeps the division by the gradient's length finite.
const SHORTEST: f64 = 1e-12;

/// The gradients of variables that have one, by name, where the variables are.
#[derive(Debug, Clone, Default)]
pub struct Gradients(BTreeMap<String, Tensor>);

impl Gradients {
    /// Adds those of `store` times `factor`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn add(&mut self, store: &GradStore, variables: &BTreeMap<String, Var>, factor: f32) -> Result<()> {
        for (name, var) in variables {
            let Some(gradient) = store.get(var) else { continue };
            let new = if factor == 1.0 { gradient.clone() } else { (gradient * f64::from(factor))? };
            let sum = match self.0.get(name) {
                Some(sum) => (sum + new)?,
                None => new,
            };
            self.0.insert(name.clone(), sum.detach());
        }
        Ok(())
    }

    /// Length over all variables.
    ///
    /// # Errors
    /// If the device fails.
    pub fn norm(&self) -> Result<f64> {
        Ok(ops::sum_of_squares(&self.0.values().collect::<Vec<_>>())?.sqrt())
    }

    /// Shortens to `longest` what is longer, `norm` being its [`norm`](Self::norm); gives the new one.
    ///
    /// # Errors
    /// If the device fails.
    pub fn clip(&mut self, norm: f64, longest: f64) -> Result<f64> {
        if norm <= longest {
            return Ok(norm);
        }
        for gradient in self.0.values_mut() {
            *gradient = (&*gradient * (longest / norm.max(SHORTEST)))?;
        }
        Ok(longest)
    }
}

/// Moves `variables` uphill along `gradients`, whose length is `norm`, by `rho` over all (Foret et al. 2021, eq. 2) and returns
/// their values of before.
///
/// # Errors
/// If the device fails.
pub fn climb(
    variables: &BTreeMap<String, Var>,
    gradients: &Gradients,
    norm: f64,
    rho: f64,
) -> Result<BTreeMap<String, Tensor>> {
    let factor = rho / (norm + SHORTEST);
    let mut before = BTreeMap::new();
    for (name, gradient) in &gradients.0 {
        let var = &variables[name];
        before.insert(name.clone(), var.as_detached_tensor().copy()?);
        var.set(&(var.as_detached_tensor() + (gradient * factor)?)?)?;
    }
    Ok(before)
}

/// A rule and what it remembers of each variable.
pub struct Optimiser {
    settings: Settings,
    variables: Vec<Variable>,
    steps: u64,
}

struct Variable {
    name: String,
    var: Var,
    /// The velocity, or both moments, one after the other; where the variable is.
    state: Tensor,
}

/// What is saved of a state, in its order.
fn parts(kind: Rule) -> &'static [&'static str] {
    match kind {
        Rule::Sgd => &["first"],
        Rule::Adam | Rule::Adamw => &["first", "second"],
    }
}

impl Optimiser {
    /// For `variables`, by name.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(variables: &BTreeMap<String, Var>, settings: &Settings) -> Result<Self> {
        let remembered = |(name, var): (&String, &Var)| {
            let count = parts(settings.kind).len() * var.elem_count();
            let state = Tensor::zeros(count, DType::F32, var.device())?;
            Ok(Variable { name: name.clone(), var: var.clone(), state })
        };
        let variables = variables.iter().map(remembered).collect::<Result<_>>()?;
        Ok(Self { variables, settings: settings.clone(), steps: 0 })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves each variable that has a gradient. Biases and normalisation (one dimension) do not decay.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self, gradients: &Gradients, rate: f64) -> Result<()> {
        self.steps += 1;
        let Settings { kind, weight_decay, momentum, nesterov, .. } = self.settings;
        let corrections = [BETA1, BETA2].map(|beta| 1.0 - beta.powf(self.steps as f64));
        for Variable { name, var, state } in &self.variables {
            let Some(gradient) = gradients.0.get(name) else { continue };
            let decay = if var.rank() > 1 { weight_decay } else { 0.0 };
            let (inside, keep) = match kind {
                Rule::Adamw => (0.0, (1.0 - rate * decay) as f32),
                Rule::Adam | Rule::Sgd => (decay as f32, 1.0),
            };
            let sgd = update::Sgd { rate: rate as f32, momentum: momentum as f32, nesterov, decay: inside };
            let adam = update::Adam {
                betas: [BETA1 as f32, BETA2 as f32],
                rate: (rate / corrections[0]) as f32,
                second_correction: (1.0 / corrections[1]) as f32,
                eps: EPS,
                decay: inside,
                keep,
            };
            match kind {
                Rule::Sgd => ops::sgd(var, gradient, state, &sgd)?,
                Rule::Adam | Rule::Adamw => ops::adam(var, gradient, state, &adam)?,
            }
        }
        Ok(())
    }

    /// What is remembered as tensors, by name.
    ///
    /// # Errors
    /// If the device fails.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut saved = BTreeMap::new();
        for Variable { name, var, state } in &self.variables {
            for (index, part) in parts(self.settings.kind).iter().enumerate() {
                let count = var.elem_count();
                // A copy: the state goes on changing where it lies.
                let values = state.narrow(0, index * count, count)?.force_contiguous()?;
                saved.insert(format!("{part}.{name}"), values.to_device(&Device::Cpu)?);
            }
        }
        Ok(saved)
    }

    /// Takes up what [`state`](Self::state) gave after `steps` steps.
    ///
    /// # Errors
    /// If something is missing or of another size.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>, steps: u64) -> Result<()> {
        for Variable { name, var, state } in &mut self.variables {
            let mut restored = Vec::new();
            for part in parts(self.settings.kind) {
                let name = format!("{part}.{name}");
                let Some(tensor) = saved.get(&name) else { candle_core::bail!("'{name}' is missing") };
                let (found, expected) = (tensor.elem_count(), var.elem_count());
                if found != expected {
                    candle_core::bail!("'{name}' has {found} values, not {expected}");
                }
                restored.push(tensor.flatten_all()?);
            }
            *state = Tensor::cat(&restored, 0)?.to_device(var.device())?.copy()?;
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A run of another implementation: `tests/reference/optimisers.py`.
    #[derive(Deserialize)]
    struct Run {
        settings: Settings,
        start: Vec<f32>,
        after: Vec<Vec<f64>>,
    }

    /// The loss of the fixture: `sum(scale_i * w_i^2 + w_i^3 / 10)` with scales 0.5, 1, 1.5, ...
    fn gradients(variables: &BTreeMap<String, Var>) -> Gradients {
        let w = &variables["w"];
        let scales: Vec<f32> = (0..w.elem_count()).map(|i| 0.5 * (i + 1) as f32).collect();
        let scales = Tensor::from_vec(scales, w.shape(), &Device::Cpu).unwrap();
        let loss = ((w.sqr().unwrap() * scales).unwrap() + (w.powf(3.0).unwrap() / 10.0).unwrap()).unwrap();
        let mut gradients = Gradients::default();
        gradients.add(&loss.sum_all().unwrap().backward().unwrap(), variables, 1.0).unwrap();
        gradients
    }

    #[test]
    fn weights_move_as_pytorchs_do() {
        let runs: Vec<Run> = serde_json::from_str(include_str!("../../tests/reference/optimisers.json")).unwrap();
        assert!(runs.len() >= 7);
        for Run { settings, start, after } in runs {
            let var = Var::from_vec(start.clone(), (start.len(), 1), &Device::Cpu).unwrap();
            let variables = BTreeMap::from([("w".to_owned(), var.clone())]);
            let mut optimiser = Optimiser::new(&variables, &settings).unwrap();
            for expected in after {
                let mut uphill = gradients(&variables);
                if settings.sam_rho > 0.0 {
                    let before = climb(&variables, &uphill, uphill.norm().unwrap(), settings.sam_rho).unwrap();
                    uphill = gradients(&variables);
                    var.set(&before["w"]).unwrap();
                }
                optimiser.step(&uphill, settings.learning_rate).unwrap();
                let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (value, expected) in values.iter().zip(&expected) {
                    assert!((f64::from(*value) - expected).abs() < 1e-5, "{settings:?}: {value} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn long_gradients_are_shortened_and_short_ones_left() {
        let tensor = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
        let mut gradients = Gradients(BTreeMap::from([("a".into(), tensor(3.0)), ("b".into(), tensor(4.0))]));
        assert_eq!(gradients.clip(5.0, 10.0).unwrap(), 5.0);
        assert_eq!(gradients.norm().unwrap(), 5.0);
        assert_eq!(gradients.clip(5.0, 1.0).unwrap(), 1.0);
        assert!((gradients.norm().unwrap() - 1.0).abs() < 1e-6);
        assert!((gradients.0["a"].to_vec1::<f32>().unwrap()[0] - 0.6).abs() < 1e-6);
    }
}

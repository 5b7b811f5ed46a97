//! Optimisers, each in one pass a tensor, with state that can be saved.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};

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

/// The gradients of variables that have one, by name.
#[derive(Debug, Clone, Default)]
pub struct Gradients(BTreeMap<String, Vec<f32>>);

impl Gradients {
    /// Adds those of `store` times `factor`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn add(&mut self, store: &GradStore, variables: &BTreeMap<String, Var>, factor: f32) -> Result<()> {
        for (name, var) in variables {
            let Some(gradient) = store.get(var) else { continue };
            match self.0.get_mut(name) {
                Some(sum) => ops::read([&gradient.contiguous()?], |[new]| update::add(sum, new, factor))?,
                None => {
                    let mut new = gradient.flatten_all()?.to_vec1::<f32>()?;
                    if factor != 1.0 {
                        new.iter_mut().for_each(|g| *g *= factor);
                    }
                    self.0.insert(name.clone(), new);
                }
            }
        }
        Ok(())
    }

    /// Length over all variables.
    pub fn norm(&self) -> f64 {
        self.0.values().map(|gradient| update::sum_of_squares(gradient)).sum::<f64>().sqrt()
    }

    /// Shortens to `longest` what is longer.
    pub fn clip(&mut self, longest: f64) {
        let factor = longest / self.norm().max(SHORTEST);
        if factor < 1.0 {
            self.0.values_mut().flatten().for_each(|g| *g *= factor as f32);
        }
    }
}

/// Moves `variables` uphill along `gradients` by `rho` over all (Foret et al. 2021, eq. 2) and returns their values of
/// before.
///
/// # Errors
/// If the device fails.
pub fn climb(variables: &BTreeMap<String, Var>, gradients: &Gradients, rho: f64) -> Result<BTreeMap<String, Tensor>> {
    let factor = rho / (gradients.norm() + SHORTEST);
    let mut before = BTreeMap::new();
    for (name, gradient) in &gradients.0 {
        let var = &variables[name];
        let step = Tensor::from_slice(gradient, var.shape(), var.device())?;
        before.insert(name.clone(), var.as_detached_tensor().copy()?);
        var.set(&(var.as_detached_tensor() + (step * factor)?)?)?;
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
    /// First moment, or the velocity.
    first: Vec<f32>,
    /// Second moment; empty where the rule has none.
    second: Vec<f32>,
}

impl Optimiser {
    /// For `variables`, by name.
    pub fn new(variables: &BTreeMap<String, Var>, settings: &Settings) -> Self {
        let remembered = |name: &String, var: &Var| {
            let count = var.elem_count();
            let second = if settings.kind == Rule::Sgd { 0 } else { count };
            Variable { name: name.clone(), var: var.clone(), first: vec![0.0; count], second: vec![0.0; second] }
        };
        let variables = variables.iter().map(|(name, var)| remembered(name, var)).collect();
        Self { variables, settings: settings.clone(), steps: 0 }
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
        for Variable { name, var, first, second } in &mut self.variables {
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
            ops::change(var, |values| match kind {
                Rule::Sgd => sgd.step(values, gradient, first),
                Rule::Adam | Rule::Adamw => adam.step(values, gradient, [&mut first[..], &mut second[..]]),
            })?;
        }
        Ok(())
    }

    /// What is remembered as tensors, by name.
    ///
    /// # Errors
    /// If the device fails.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for variable in &self.variables {
            for (kind, values) in [("first", &variable.first), ("second", &variable.second)] {
                if values.is_empty() {
                    continue;
                }
                let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu)?;
                state.insert(format!("{kind}.{}", variable.name), tensor);
            }
        }
        Ok(state)
    }

    /// Takes up what [`state`](Self::state) gave after `steps` steps.
    ///
    /// # Errors
    /// If something is missing or of another size.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, steps: u64) -> Result<()> {
        for variable in &mut self.variables {
            for (kind, values) in [("first", &mut variable.first), ("second", &mut variable.second)] {
                let name = format!("{kind}.{}", variable.name);
                if values.is_empty() {
                    continue;
                }
                let Some(tensor) = state.get(&name) else { candle_core::bail!("'{name}' is missing") };
                let restored = tensor.flatten_all()?.to_vec1()?;
                if restored.len() != values.len() {
                    candle_core::bail!("'{name}' has {} values, not {}", restored.len(), values.len());
                }
                *values = restored;
            }
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
            let mut optimiser = Optimiser::new(&variables, &settings);
            for expected in after {
                let mut uphill = gradients(&variables);
                if settings.sam_rho > 0.0 {
                    let before = climb(&variables, &uphill, settings.sam_rho).unwrap();
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
        let mut gradients = Gradients(BTreeMap::from([("a".into(), vec![3.0]), ("b".into(), vec![4.0])]));
        gradients.clip(10.0);
        assert_eq!(gradients.norm(), 5.0);
        gradients.clip(1.0);
        assert!((gradients.norm() - 1.0).abs() < 1e-6 && (gradients.0["a"][0] - 0.6).abs() < 1e-6);
    }
}

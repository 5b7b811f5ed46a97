//! AdamW (Loshchilov & Hutter 2019) in one pass a tensor, with state that can be saved, and the average of the weights.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};

use super::recipe::Optimiser;
use crate::infer::kernels::update;
use crate::model::ops;

/// Decay of the gradients' first moment.
const BETA1: f64 = 0.9;
/// Decay of the gradients' second moment.
const BETA2: f64 = 0.999;
/// Keeps the division finite.
const EPS: f32 = 1e-8;

/// The optimiser and what it remembers of each variable.
pub struct AdamW {
    variables: Vec<Variable>,
    weight_decay: f64,
    steps: u64,
}

struct Variable {
    name: String,
    var: Var,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// The learning rate after `step` of `steps` steps: a linear rise over `warm_up` steps, then half a cosine down to 0.
pub fn learning_rate(highest: f64, step: u64, steps: u64, warm_up: u64) -> f64 {
    if step < warm_up {
        return highest * (step + 1) as f64 / warm_up as f64;
    }
    let share = (step - warm_up) as f64 / (steps - warm_up).max(1) as f64;
    highest * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
}

impl AdamW {
    /// For `variables`, by name.
    pub fn new(variables: BTreeMap<String, Var>, settings: &Optimiser) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, var)| {
                let count = var.elem_count();
                Variable { name, var, first: vec![0.0; count], second: vec![0.0; count] }
            })
            .collect();
        Self { variables, weight_decay: settings.weight_decay, steps: 0 }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves each variable that has a gradient. Biases and normalisation (one dimension) do not decay.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64) -> Result<()> {
        self.steps += 1;
        let correction1 = 1.0 - BETA1.powf(self.steps as f64);
        let correction2 = 1.0 - BETA2.powf(self.steps as f64);
        let rate = (learning_rate / correction1) as f32;
        let root = (1.0 / correction2) as f32;
        for variable in &mut self.variables {
            let Some(gradient) = gradients.get(&variable.var) else { continue };
            let decay = if variable.var.rank() > 1 { learning_rate * self.weight_decay } else { 0.0 };
            let step = update::AdamW {
                betas: [BETA1 as f32, BETA2 as f32],
                rate,
                second_correction: root,
                eps: EPS,
                keep: (1.0 - decay) as f32,
            };
            let Variable { var, first, second, .. } = variable;
            ops::change(var, gradient, |values, gradient| {
                step.step(values, gradient, [&mut first[..], &mut second[..]])
            })?;
        }
        Ok(())
    }

    /// The moments as tensors, by name.
    ///
    /// # Errors
    /// If the device fails.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for variable in &self.variables {
            for (kind, values) in [("first", &variable.first), ("second", &variable.second)] {
                let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu)?;
                state.insert(format!("{kind}.{}", variable.name), tensor);
            }
        }
        Ok(state)
    }

    /// Takes up the moments of [`state`](Self::state) after `steps` steps.
    ///
    /// # Errors
    /// If a moment is missing or of another size.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, steps: u64) -> Result<()> {
        for variable in &mut self.variables {
            for (kind, values) in [("first", &mut variable.first), ("second", &mut variable.second)] {
                let name = format!("{kind}.{}", variable.name);
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

/// The exponential moving average of tensors.
pub struct Average {
    tensors: BTreeMap<String, Vec<f32>>,
    decay: f64,
}

impl Average {
    /// Starts at the variables' present values.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(variables: &BTreeMap<String, Var>, decay: f64) -> Result<Self> {
        let tensors = variables
            .iter()
            .map(|(name, var)| Ok((name.clone(), var.flatten_all()?.to_vec1()?)))
            .collect::<Result<_>>()?;
        Ok(Self { tensors, decay })
    }

    /// Moves towards the variables' present values; early on faster, so that the start is forgotten: the decay after
    /// `step` steps is at most `(1 + step) / (10 + step)`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn update(&mut self, variables: &BTreeMap<String, Var>, step: u64) -> Result<()> {
        let decay = self.decay.min((1 + step) as f64 / (10 + step) as f64) as f32;
        for (name, average) in &mut self.tensors {
            ops::read([&variables[name]], |[now]| update::average(average, now, decay))?;
        }
        Ok(())
    }

    /// The averages in the variables' shapes.
    ///
    /// # Errors
    /// If the device fails.
    pub fn tensors(&self, variables: &BTreeMap<String, Var>) -> Result<BTreeMap<String, Tensor>> {
        self.tensors
            .iter()
            .map(|(name, values)| {
                let var = &variables[name];
                Ok((name.clone(), Tensor::from_slice(values, var.shape(), var.device())?))
            })
            .collect()
    }

    /// Takes up saved averages.
    ///
    /// # Errors
    /// If one is missing.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, average) in &mut self.tensors {
            let Some(tensor) = saved.get(name) else { candle_core::bail!("'{name}' is missing") };
            *average = tensor.flatten_all()?.to_vec1()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        assert!((learning_rate(1.0, 0, 100, 10) - 0.1).abs() < 1e-12);
        assert!((learning_rate(1.0, 10, 100, 10) - 1.0).abs() < 1e-12);
        assert!((learning_rate(1.0, 55, 100, 10) - 0.5).abs() < 1e-12);
        assert!(learning_rate(1.0, 100, 100, 10) < 1e-12);
    }

    /// Expected values: the update rule by hand in double precision (PyTorch's AdamW documentation gives the same rule).
    #[test]
    fn two_steps_agree_with_the_rule_in_double_precision() {
        let var = Var::from_vec(vec![1.0f32, -2.0], (2, 1), &Device::Cpu).unwrap();
        let settings = Optimiser { learning_rate: 0.1, weight_decay: 0.01, warm_up_epochs: 0.0 };
        let mut adam = AdamW::new([("w".to_owned(), var.clone())].into(), &settings);
        let mut expected = [1.0f64, -2.0];
        let (mut m, mut v) = ([0.0f64; 2], [0.0f64; 2]);
        for step in 1..=2 {
            // The loss is the sum of squares, so the gradient is twice the value.
            let gradients = var.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            adam.step(&gradients, 0.1).unwrap();
            for i in 0..2 {
                let g = 2.0 * expected[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                expected[i] -= 0.1 * 0.01 * expected[i];
                expected[i] -=
                    0.1 * (m[i] / (1.0 - 0.9f64.powi(step))) / ((v[i] / (1.0 - 0.999f64.powi(step))).sqrt() + 1e-8);
            }
        }
        let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (value, expected) in values.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-5, "{value} {expected}");
        }
    }
}

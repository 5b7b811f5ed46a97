//! The exponential moving average of the weights.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var};

use crate::nn::ops;

/// The exponential moving average of tensors, where the variables are.
pub struct Average {
    tensors: BTreeMap<String, Tensor>,
    decay: f64,
}

impl Average {
    /// Starts at the variables' present values.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(variables: &BTreeMap<String, Var>, decay: f64) -> Result<Self> {
        let now = |(name, var): (&String, &Var)| Ok((name.clone(), var.as_detached_tensor().copy()?));
        Ok(Self { tensors: variables.iter().map(now).collect::<Result<_>>()?, decay })
    }

    /// Moves towards the variables' present values; early on faster, so that the start is forgotten: the decay after
    /// `step` steps is at most `(1 + step) / (10 + step)`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn update(&self, variables: &BTreeMap<String, Var>, step: u64) -> Result<()> {
        let decay = self.decay.min((1 + step) as f64 / (10 + step) as f64) as f32;
        for (name, average) in &self.tensors {
            ops::blend(average, &variables[name], [decay, 1.0 - decay])?;
        }
        Ok(())
    }

    /// Copies of the averages.
    ///
    /// # Errors
    /// If the device fails.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        self.tensors.iter().map(|(name, average)| Ok((name.clone(), average.copy()?))).collect()
    }

    /// Takes up saved averages.
    ///
    /// # Errors
    /// If one is missing or of another shape.
    pub fn restore(&mut self, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, average) in &mut self.tensors {
            let Some(tensor) = saved.get(name) else { candle_core::bail!("'{name}' is missing") };
            *average = tensor.to_device(average.device())?.reshape(average.shape())?.copy()?;
        }
        Ok(())
    }
}

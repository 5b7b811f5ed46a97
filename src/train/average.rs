//! The exponential moving average of the weights.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var};

use crate::kernels::train::update;
use crate::nn::ops;

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

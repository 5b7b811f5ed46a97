//! Files with the weights of networks that come from elsewhere and are only run: 16-bit floats, all of them and no others.

use std::collections::BTreeMap;

use half::f16;
use safetensors::{Dtype, SafeTensors};

/// Why tensors are not the network's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum WeightsFault {
    #[error("not a safetensors file: {0}")]
    NotSafetensors(String),
    #[error("tensor '{0}' is missing")]
    Missing(String),
    #[error("tensor '{0}' belongs to another network")]
    Unknown(String),
    #[error("tensor '{name}' is {found}, not {expected} of 16-bit floats")]
    Shape { name: String, found: String, expected: String },
    #[error("tensor '{0}' has values that are not finite")]
    NotFinite(String),
}

/// All tensors of a network, as 32-bit floats.
pub struct Weights(BTreeMap<String, Vec<f32>>);

impl Weights {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// If it has other tensors than the `expected` ones, by name and shape, or values that are not finite.
    pub fn read(bytes: &[u8], expected: BTreeMap<String, Vec<usize>>) -> Result<Self, WeightsFault> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| WeightsFault::NotSafetensors(e.to_string()))?;
        if let Some(name) = file.names().into_iter().find(|name| !expected.contains_key(*name)) {
            return Err(WeightsFault::Unknown(name.to_owned()));
        }
        let read = |(name, shape): (String, Vec<usize>)| {
            let tensor = file.tensor(&name).map_err(|_| WeightsFault::Missing(name.clone()))?;
            if tensor.dtype() != Dtype::F16 || tensor.shape() != shape {
                let found = format!("{:?} of {:?}", tensor.shape(), tensor.dtype());
                return Err(WeightsFault::Shape { name, found, expected: format!("{shape:?}") });
            }
            let halves = tensor.data().as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes));
            let values: Vec<f32> = halves.map(f16::to_f32).collect();
            match values.iter().all(|value| value.is_finite()) {
                true => Ok((name, values)),
                false => Err(WeightsFault::NotFinite(name)),
            }
        };
        expected.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The values of one of the expected tensors.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

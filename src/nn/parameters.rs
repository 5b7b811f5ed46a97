//! A network's named tensors: created from a seed, or read from a weights file and checked against the network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use rand_distr::{Distribution, Normal};

use super::ops::TrainingWorkspace;
use crate::random::seeded;

/// Named variables, shared with the network that is built on them.
#[derive(Debug, Clone)]
pub struct Parameters {
    variables: Arc<Mutex<BTreeMap<String, Var>>>,
    purpose: Purpose,
    device: Device,
    workspace: TrainingWorkspace,
}

/// What a network is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Gradients are recorded; weights are drawn from the seed.
    Training {
        /// Seed of the initial weights.
        seed: u64,
    },
    /// No gradients; weights are zero until [`Parameters::set`].
    Inference,
}

/// How a tensor starts.
#[derive(Debug, Clone, Copy)]
pub enum InitialValues {
    /// Every element is this value.
    Constant(f32),
    /// Normal with mean 0 and variance `2 / fan` (He et al. 2015).
    He {
        /// Number of inputs of an output element.
        fan: usize,
    },
}

/// A node in the tree of names, under which a layer creates its tensors.
#[derive(Clone)]
pub struct Scope {
    parameters: Parameters,
    prefix: String,
}

impl Scope {
    /// The scope `name` below this one.
    pub fn enter(&self, name: impl std::fmt::Display) -> Self {
        Self { parameters: self.parameters.clone(), prefix: self.full_name(&name.to_string()) }
    }

    /// A tensor that training changes.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn weight(&self, name: &str, shape: &[usize], start: InitialValues) -> Result<Tensor> {
        let var = self.parameters.create(self.full_name(name), shape, start)?;
        Ok(match self.parameters.purpose {
            Purpose::Training { .. } => var.as_tensor().clone(),
            Purpose::Inference => var.as_detached_tensor(),
        })
    }

    /// A tensor that the layer itself keeps up to date, such as running statistics: it has no gradient.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn state(&self, name: &str, shape: &[usize], value: f32) -> Result<Var> {
        self.parameters.create(self.full_name(name), shape, InitialValues::Constant(value))
    }

    /// What the layers share in training.
    pub(super) fn workspace(&self) -> TrainingWorkspace {
        self.parameters.workspace.clone()
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.into() } else { format!("{}.{name}", self.prefix) }
    }
}

/// What a weights file has wrong, by tensor name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum WeightsError {
    #[error("tensor '{name}' is missing")]
    Missing { name: String },
    #[error("tensor '{name}' is of shape {found:?}, the network needs {expected:?}")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("tensor '{name}' is of type {found}, expected f32 or f16")]
    Type { name: String, found: String },
    #[error("tensor '{name}' holds a value that is not finite (index {index})")]
    NotFinite { name: String, index: usize },
    #[error("tensor '{name}' does not belong to the network")]
    Unknown { name: String },
}

/// Why tensors cannot become a network's.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum SetError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Device(#[from] candle_core::Error),
}

impl Parameters {
    /// No tensors yet.
    pub fn new(purpose: Purpose, device: &Device) -> Self {
        Self { variables: Arc::default(), purpose, device: device.clone(), workspace: TrainingWorkspace::default() }
    }

    /// The root of the tree of names.
    pub fn root(&self) -> Scope {
        Scope { parameters: self.clone(), prefix: String::new() }
    }

    /// Copies of all tensors, by name.
    ///
    /// # Errors
    /// If the device fails.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        self.lock().iter().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Where the tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The gradients of `loss`, which was computed with these parameters.
    ///
    /// # Errors
    /// If the device fails.
    pub fn backward(&self, loss: &Tensor) -> Result<GradStore> {
        self.workspace.backward(loss)
    }

    /// The variables by name.
    pub fn variables(&self) -> BTreeMap<String, Var> {
        self.lock().clone()
    }

    /// Sets every variable to the tensor of the same name.
    ///
    /// # Errors
    /// Where `tensors` lacks one, has one too many, or one of another shape or type, or one that is not finite.
    pub fn set(&self, tensors: &BTreeMap<String, Tensor>) -> std::result::Result<(), SetError> {
        let variables = self.lock();
        check(tensors, &variables.iter().map(|(name, var)| (name.clone(), var.dims().to_vec())).collect())?;
        for (name, var) in variables.iter() {
            var.set(&tensors[name].to_dtype(var.dtype())?.to_device(&self.device)?)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Values depend on the seed and the name only, not on the order of creation.
    fn create(&self, name: String, shape: &[usize], start: InitialValues) -> Result<Var> {
        let count = shape.iter().product();
        let values = match (self.purpose, start) {
            (_, InitialValues::Constant(value)) => vec![value; count],
            (Purpose::Inference, InitialValues::He { .. }) => vec![0.0; count],
            (Purpose::Training { seed }, InitialValues::He { fan }) => {
                let mut random = seeded(seed, &name);
                let normal = Normal::new(0.0, (2.0 / fan as f32).sqrt()).map_err(candle_core::Error::wrap)?;
                normal.sample_iter(&mut random).take(count).collect()
            }
        };
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, &self.device)?)?;
        if self.lock().insert(name.clone(), var.clone()).is_some() {
            bail!("two layers share the tensor name '{name}'");
        }
        Ok(var)
    }
}

/// Checks that `tensors` are exactly the `expected` ones (name to shape), of a floating-point type and finite.
///
/// # Errors
/// The first thing wrong, by name.
pub fn check(
    tensors: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Vec<usize>>,
) -> std::result::Result<(), WeightsError> {
    for (name, shape) in expected {
        let Some(tensor) = tensors.get(name) else { return Err(WeightsError::Missing { name: name.clone() }) };
        if tensor.dims() != shape {
            let (expected, found) = (shape.clone(), tensor.dims().to_vec());
            return Err(WeightsError::Shape { name: name.clone(), expected, found });
        }
        let type_error = || WeightsError::Type { name: name.clone(), found: tensor.dtype().as_str().into() };
        if !matches!(tensor.dtype(), DType::F32 | DType::F16) {
            return Err(type_error());
        }
        let values = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1::<f32>());
        let values = values.map_err(|_| type_error())?;
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(WeightsError::NotFinite { name: name.clone(), index });
        }
    }
    match tensors.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(WeightsError::Unknown { name: name.clone() }),
        None => Ok(()),
    }
}

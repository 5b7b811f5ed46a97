//! Convolutions, batch normalisations and activations of a training step in one operation, on the CPU only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Result, Shape, Tensor, bail};

use super::access::{read, read_all};
use super::operation::{Kernel, Values};
use crate::kernels::train::buffers::BufferPool;
use crate::kernels::train::chain::{Chain, SavedChain};
use crate::kernels::train::convolution::Convolution;

/// What the layers of a network share in training: memory, and the gradients of their weights. These do not pass through candle,
/// which adds each to zeros for every operation between it and its variable.
#[derive(Debug, Clone, Default)]
pub struct TrainingWorkspace {
    pub(super) buffers: Arc<BufferPool>,
    /// Variables and their gradients, since the last backward pass.
    gradients: Arc<Mutex<Vec<(Tensor, Tensor)>>>,
}

impl TrainingWorkspace {
    /// The gradients of `loss` with respect to all variables, which its own backward pass gives in part only.
    ///
    /// # Errors
    /// If the device fails.
    pub fn backward(&self, loss: &Tensor) -> Result<GradStore> {
        self.lock().clear();
        let mut store = loss.backward()?;
        for (variable, gradient) in self.lock().drain(..) {
            // A layer may have been used twice.
            let sum = match store.remove(&variable) {
                Some(other) => (other + gradient)?,
                None => gradient,
            };
            store.insert(&variable, sum);
        }
        Ok(store)
    }

    fn add(&self, variable: &Tensor, gradient: Vec<f32>) -> Result<()> {
        if variable.is_variable() {
            let gradient = Tensor::from_vec(gradient, variable.shape(), variable.device())?;
            self.lock().push((variable.clone(), gradient));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Tensor, Tensor)>> {
        self.gradients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of `x`, and of a variable of no meaning: candle goes through an operation backwards only if something of it is to be learnt.
pub(super) struct ConvolveNormalise {
    pub(super) chain: Chain,
    /// Weights, gamma and beta of each layer.
    pub(super) parameters: Vec<Tensor>,
    /// Set by the forward pass and used up by the backward pass.
    pub(super) saved: Arc<Mutex<Option<SavedChain>>>,
    pub(super) workspace: TrainingWorkspace,
}

impl Kernel<2> for ConvolveNormalise {
    const NAME: &'static str = "convolution-batch-norm-activation";

    fn shape(&self, [x, _]: [&Shape; 2]) -> Result<Shape> {
        let Some(last) = self.chain.layers.last() else { bail!("no layer") };
        let Convolution { window, to, .. } = last.convolution;
        Ok((x.dims4()?.0, window.out_height(), window.out_width(), to).into())
    }

    fn on_cpu(&self, [x, _]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        let (y, saved) = read_all(&self.parameters, |parameters| self.chain.forward(x.values, parameters))?;
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        Ok(y)
    }

    fn gradients(&self, [x, _]: [&Tensor; 2], dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(saved) = saved else { bail!("a backward pass without a forward pass before it") };
        let gradients = read_all(&self.parameters, |parameters| {
            read([x, dy], |[x_values, dy]| self.chain.backward(x_values, parameters, saved, dy, x.track_op()))
        })??;
        for (variable, gradient) in self.parameters.iter().zip(gradients.parameters) {
            self.workspace.add(variable, gradient)?;
        }
        Ok([gradients.x.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None])
    }
}

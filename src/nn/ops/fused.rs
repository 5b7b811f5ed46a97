//! Convolution, batch normalisation and activation of a training step in one operation, on the CPU only.

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Shape, Tensor, bail};

use super::access::read;
use super::operation::{Kernel, Values};
use crate::kernels::train::convolution::Convolution;
use crate::kernels::train::normalised::{Normalised, SavedStatistics};

/// Of `x`, the weights and `[2, channels]`: gamma and beta.
pub(super) struct ConvolveNormalise {
    pub(super) layer: Normalised,
    /// Set by the forward pass and read by the backward pass.
    pub(super) saved: Arc<OnceLock<SavedStatistics>>,
}

impl Kernel<3> for ConvolveNormalise {
    const NAME: &'static str = "convolution-batch-norm-activation";

    fn shape(&self, [x, ..]: [&Shape; 3]) -> Result<Shape> {
        let Convolution { window, to, .. } = self.layer.convolution;
        Ok((x.dims4()?.0, window.out_height(), window.out_width(), to).into())
    }

    fn on_cpu(&self, [x, weights, affine]: [Values<'_>; 3]) -> Result<Vec<f32>> {
        let (gamma, beta) = affine.values.split_at(self.layer.convolution.to);
        let (y, saved) = self.layer.forward(x.values, weights.values, gamma, beta);
        if self.saved.set(saved).is_err() {
            bail!("a second forward pass");
        }
        Ok(y)
    }

    fn gradients(&self, [x, weights, affine]: [&Tensor; 3], dy: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let Some(saved) = self.saved.get() else { bail!("backward pass before the forward pass") };
        let wanted = [x.track_op(), weights.track_op()];
        let gradients = read([x, weights, affine, dy], |[x, weights, affine, dy]| {
            let (gamma, beta) = affine.split_at(self.layer.convolution.to);
            self.layer.backward(x, weights, gamma, beta, saved, dy, wanted)
        })?;
        let like = |tensor: &Tensor, values| Tensor::from_vec(values, tensor.shape(), tensor.device());
        let d_affine = [gradients.gamma, gradients.beta].concat();
        Ok([
            gradients.x.map(|dx| like(x, dx)).transpose()?,
            gradients.weights.map(|dw| like(weights, dw)).transpose()?,
            Some(like(affine, d_affine)?),
        ])
    }
}

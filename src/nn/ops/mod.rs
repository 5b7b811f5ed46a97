//! Candle operations for what Candle 0.11 has no fast form of, on NHWC tensors, with gradients.
//!
//! Candle's grouped convolution loops over channels on every device; these call [`crate::kernels`] instead, on the CPU
//! and, in a program built with the feature `cuda`, on a card, where forward passes also run in half precision.

mod access;
mod depthwise;
mod fused;
mod normalise;
mod operation;
mod pooling;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor, bail};

pub use self::access::{change, read, uploaded};
use self::depthwise::{Depthwise, DepthwiseNormalise};
use self::fused::ConvolveNormalise;
use self::normalise::{ColumnMoments, Normalise};
use self::operation::Operation;
use self::pooling::{GlobalMean, Patches, ScaleChannels};
use crate::infer::Reach;
use crate::kernels::train::convolution::Convolution;
use crate::kernels::train::normalised::Normalised;
use crate::kernels::{Activation, Window};

/// Depthwise convolution with SAME padding: `x` `[images, height, width, channels]`, `weights`
/// `[kernel, kernel, channels]`, result `[images, out_height, out_width, channels]`.
pub fn depthwise(x: &Tensor, weights: &Tensor, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weights.contiguous()?, Operation(Depthwise { stride }))
}

/// Windows of `x` `[images, height, width, channels]` as rows:
/// `[images, out_height, out_width, kernel * kernel * channels]`. No gradient: it stands before the first layer.
pub fn patches(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Operation(Patches { kernel, stride }))
}

/// Mean over height and width: `[images, height, width, channels]` to `[images, channels]`.
pub fn global_mean(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Operation(GlobalMean))
}

/// `x` `[images, height, width, channels]` times `scale` `[images, channels]`.
pub fn scale_channels(x: &Tensor, scale: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&scale.contiguous()?, Operation(ScaleChannels))
}

/// The parts of a batch normalisation, each one number a channel.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Factors after the normalisation.
    pub gamma: &'a Tensor,
    /// Summands after that.
    pub beta: &'a Tensor,
    /// Means.
    pub mean: &'a Tensor,
    /// Population variances.
    pub variance: &'a Tensor,
    /// Added to the variance.
    pub eps: f32,
}

impl Norm<'_> {
    /// `[4, channels]`.
    fn stacked(&self) -> Result<Tensor> {
        Tensor::stack(&[self.gamma, self.beta, &self.mean.detach(), &self.variance.detach()], 0)
    }
}

/// Batch normalisation of the last dimension, then `activation`, with known statistics, which have no gradient.
pub fn normalise(x: &Tensor, norm: Norm<'_>, activation: Activation) -> Result<Tensor> {
    let op = Operation(Normalise { eps: norm.eps, activation, of_batch: false });
    x.contiguous()?.apply_op2(&norm.stacked()?, op)
}

/// [`depthwise`] and [`normalise`] in one pass over memory; for inference, without gradients.
pub fn depthwise_normalise(
    x: &Tensor,
    weights: &Tensor,
    stride: usize,
    norm: Norm<'_>,
    activation: Activation,
) -> Result<Tensor> {
    let op = Operation(DepthwiseNormalise { depthwise: Depthwise { stride }, eps: norm.eps, activation });
    x.contiguous()?.apply_op3_no_bwd(&weights.contiguous()?, &norm.stacked()?, &op)
}

/// Means and population variances of a batch, `[channels]` each.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Means.
    pub mean: Tensor,
    /// Variances.
    pub variance: Tensor,
}

/// As [`normalise`], with the statistics of `x` itself, which are returned beside the result.
pub fn normalise_by_batch(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f32,
    activation: Activation,
) -> Result<(Tensor, Moments)> {
    let x = x.contiguous()?;
    let moments = x.detach().apply_op1_no_bwd(&Operation(ColumnMoments))?;
    let moments = Moments { mean: moments.get(0)?, variance: moments.get(1)? };
    let norm = Norm { gamma, beta, mean: &moments.mean, variance: &moments.variance, eps };
    let y = x.apply_op2(&norm.stacked()?, Operation(Normalise { eps, activation, of_batch: true }))?;
    Ok((y, moments))
}

/// Convolution, [`normalise_by_batch`] and activation in one: `x` `[images, height, width, from]`, `weights` as [`Reach`]
/// says, `gamma` and `beta` `[to]`; the result is `[images, out_height, out_width, to]`, with the statistics of what the
/// convolution gave. The same numbers as its three parts one after the other up to rounding, in half the time and memory. On the CPU only.
pub fn convolve_normalise(
    x: &Tensor,
    weights: &Tensor,
    [gamma, beta]: [&Tensor; 2],
    reach: Reach,
    eps: f32,
    activation: Activation,
) -> Result<(Tensor, Moments)> {
    let (_, height, width, from) = x.dims4()?;
    let (is_depthwise, kernel, stride) = match reach {
        Reach::Dense { kernel, stride } => (false, kernel, stride),
        Reach::Depthwise { kernel, stride } => (true, kernel, stride),
        Reach::Pointwise => (false, 1, 1),
    };
    let window = Window { height, width, kernel, stride };
    let convolution = Convolution { is_depthwise, window, from, to: gamma.dim(0)? };
    if weights.elem_count() != convolution.weights() || (is_depthwise && convolution.to != from) {
        bail!("{reach:?} convolution of {from} channels to {} met weights of {:?}", convolution.to, weights.dims());
    }
    let saved = Arc::new(OnceLock::new());
    let layer = Normalised { convolution, eps, activation };
    let op = Operation(ConvolveNormalise { layer, saved: Arc::clone(&saved) });
    // An operation takes three tensors at most.
    let y = x.contiguous()?.apply_op3(&weights.contiguous()?, &Tensor::stack(&[gamma, beta], 0)?, op)?;
    let Some(saved) = saved.get() else { bail!("batch statistics are set by the forward pass") };
    let column = |values: &[f32]| Tensor::new(values, y.device());
    let moments = Moments { mean: column(&saved.statistics.mean)?, variance: column(&saved.statistics.variance)? };
    Ok((y, moments))
}

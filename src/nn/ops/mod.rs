//! Candle operations for what Candle 0.11 has no fast form of, on NHWC tensors, with gradients.
//!
//! Candle's grouped convolution loops over channels on every device; these call [`crate::kernels`] instead, on the CPU
//! and, in a program built with the feature `cuda`, on a card, where forward passes also run in half precision.

mod access;
mod depthwise;
mod folded;
mod fused;
mod normalise;
mod operation;
mod pooling;
#[cfg(test)]
mod tests;
mod update;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Result, Tensor, Var, bail};

pub use self::access::{read, uploaded};
use self::depthwise::Depthwise;
use self::folded::{DepthwiseBias, Finish, Gate};
use self::fused::ConvolveNormalise;
pub use self::fused::TrainingWorkspace;
use self::normalise::{ColumnMoments, Normalise};
use self::operation::Operation;
use self::pooling::{GlobalMean, Patches, ScaleChannels};
pub use self::update::{adam, blend, sgd, sum_of_squares};
use crate::infer::Reach;
use crate::kernels::train::batch_norm::Statistics;
use crate::kernels::train::chain::Chain;
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

/// [`depthwise`] of weights with the normalisation in them, a bias `[channels]` and the activation; for inference, without gradients.
pub fn depthwise_bias(
    x: &Tensor,
    weights: &Tensor,
    stride: usize,
    bias: &Tensor,
    activation: Activation,
) -> Result<Tensor> {
    let op = Operation(DepthwiseBias { depthwise: Depthwise { stride }, activation });
    x.apply_op3_no_bwd(weights, bias, &op)
}

/// `activation(x + bias)`, plus `shortcut` where there is one; `x` is `[.., channels]`, `bias` `[channels]`. For inference, without
/// gradients.
pub fn finish(x: &Tensor, bias: &Tensor, activation: Activation, shortcut: Option<&Tensor>) -> Result<Tensor> {
    match shortcut {
        None => x.apply_op2_no_bwd(bias, &Operation(Finish(activation))),
        Some(shortcut) => x.apply_op3_no_bwd(bias, shortcut, &Operation(Finish(activation))),
    }
}

/// `x` `[images, height, width, channels]` times the logistic function of `logits` `[images, channels]` plus `bias` `[channels]`. For
/// inference, without gradients.
pub fn gate(x: &Tensor, logits: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(logits, bias, &Operation(Gate))
}

/// Means and population variances of a batch, `[channels]` each.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Means.
    pub mean: Tensor,
    /// Variances.
    pub variance: Tensor,
    /// Number of pixels of the batch.
    pub rows: usize,
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
    let rows = x.elem_count() / gamma.elem_count();
    let moments = Moments { mean: moments.get(0)?, variance: moments.get(1)?, rows };
    let norm = Norm { gamma, beta, mean: &moments.mean, variance: &moments.variance, eps };
    let y = x.apply_op2(&norm.stacked()?, Operation(Normalise { eps, activation, of_batch: true }))?;
    Ok((y, moments))
}

/// One of the layers of [`convolve_normalise`].
#[derive(Debug, Clone, Copy)]
pub struct FusedLayer<'a> {
    /// As [`Reach`] says.
    pub weights: &'a Tensor,
    /// Kernel and stride.
    pub reach: Reach,
    /// `[to]`.
    pub gamma: &'a Tensor,
    /// `[to]`.
    pub beta: &'a Tensor,
    /// Added to the variance.
    pub eps: f32,
    /// The activation.
    pub activation: Activation,
}

impl FusedLayer<'_> {
    /// For pictures `[height, width, channels]`.
    fn kernel(&self, [height, width, from]: [usize; 3]) -> Result<Normalised> {
        let (is_depthwise, kernel, stride) = match self.reach {
            Reach::Dense { kernel, stride } => (false, kernel, stride),
            Reach::Depthwise { kernel, stride } => (true, kernel, stride),
            Reach::Pointwise => (false, 1, 1),
        };
        let window = Window { height, width, kernel, stride };
        let convolution = Convolution { is_depthwise, window, from, to: self.gamma.dim(0)? };
        if self.weights.elem_count() != convolution.weights() || (is_depthwise && convolution.to != from) {
            let (reach, weights) = (self.reach, self.weights.dims());
            bail!("{reach:?} convolution of {from} channels to {} met weights of {weights:?}", convolution.to);
        }
        Ok(Normalised { convolution, eps: self.eps, activation: self.activation })
    }
}

/// Convolution, [`normalise_by_batch`] and activation for each of `layers` in order, all in one: `x` is `[images, height, width,
/// from]`, the result `[images, out_height, out_width, to]`, with the statistics of what each convolution gave. The same numbers
/// as its parts one after the other up to rounding, in half the time and memory. On the CPU only; the backward pass runs once, through
/// [`TrainingWorkspace::backward`].
pub fn convolve_normalise(
    x: &Tensor,
    layers: &[FusedLayer<'_>],
    workspace: &TrainingWorkspace,
) -> Result<(Tensor, Vec<Moments>)> {
    let (_, mut height, mut width, mut from) = x.dims4()?;
    let mut kernels = Vec::with_capacity(layers.len());
    for layer in layers {
        let kernel = layer.kernel([height, width, from])?;
        let Convolution { window, to, .. } = kernel.convolution;
        (height, width, from) = (window.out_height(), window.out_width(), to);
        kernels.push(kernel);
    }
    let saved = Arc::new(Mutex::new(None));
    let parameters = layers.iter().flat_map(|layer| [layer.weights, layer.gamma, layer.beta].map(Tensor::contiguous));
    let op = ConvolveNormalise {
        chain: Chain { layers: kernels, buffers: Arc::clone(&workspace.buffers) },
        parameters: parameters.collect::<Result<_>>()?,
        saved: Arc::clone(&saved),
        workspace: workspace.clone(),
    };
    let learns = Var::zeros(1, DType::F32, x.device())?;
    let y = x.contiguous()?.apply_op2(learns.as_tensor(), Operation(op))?;
    let saved = saved.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(saved) = &*saved else { bail!("batch statistics are set by the forward pass") };
    let column = |values: &[f32]| Tensor::new(values, y.device());
    let moments = saved
        .statistics()
        .map(|(Statistics { mean, variance, .. }, rows)| {
            Ok(Moments { mean: column(mean)?, variance: column(variance)?, rows })
        })
        .collect::<Result<_>>()?;
    Ok((y, moments))
}

//! Candle operations for what Candle 0.11 has no fast form of, on NHWC tensors, with gradients.
//!
//! Candle's grouped convolution loops over channels on every device; these call [`crate::kernels`] instead, on the CPU
//! and, with the feature `cuda`, on a card, where forward passes also run in half precision.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor, Var, bail,
};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, DType, backend::BackendStorage as _, cuda_backend::cudarc::driver::CudaView};

use crate::infer::Reach;
#[cfg(feature = "cuda")]
use crate::kernels::cuda;
use crate::kernels::train::batch_norm::{self, Statistics};
use crate::kernels::train::convolution::Convolution;
use crate::kernels::train::normalised::{Normalised, Saved};
use crate::kernels::train::{depthwise, patches, pool};
use crate::kernels::{Activation, Window};

/// A kernel's result for the type that `$storage` holds, which is `$T` inside.
#[cfg(feature = "cuda")]
macro_rules! by_type {
    ($storage:expr, $T:ident => $result:expr) => {{
        let device = $storage.device().clone();
        match $storage.dtype() {
            DType::F32 => {
                type $T = f32;
                CudaStorage::wrap_cuda_slice($result?, device)
            }
            DType::F16 => {
                type $T = half::f16;
                CudaStorage::wrap_cuda_slice($result?, device)
            }
            DType::BF16 => {
                type $T = half::bf16;
                CudaStorage::wrap_cuda_slice($result?, device)
            }
            other => bail!("no CUDA kernel for {other:?}"),
        }
    }};
}

/// Depthwise convolution with SAME padding: `x` `[images, height, width, channels]`, `weights`
/// `[kernel, kernel, channels]`, result `[images, out_height, out_width, channels]`.
pub fn depthwise(x: &Tensor, weights: &Tensor, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weights.contiguous()?, Depthwise { stride })
}

/// Windows of `x` `[images, height, width, channels]` as rows:
/// `[images, out_height, out_width, kernel * kernel * channels]`. No gradient: it stands before the first layer.
pub fn patches(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Patches { kernel, stride })
}

/// Mean over height and width: `[images, height, width, channels]` to `[images, channels]`.
pub fn global_mean(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(GlobalMean)
}

/// `x` `[images, height, width, channels]` times `scale` `[images, channels]`.
pub fn scale_channels(x: &Tensor, scale: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&scale.contiguous()?, ScaleChannels)
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
    let op = Normalise { eps: norm.eps, activation, of_batch: false };
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
    let op = DepthwiseNormalise { depthwise: Depthwise { stride }, eps: norm.eps, activation };
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
    let moments = x.detach().apply_op1_no_bwd(&ColumnMoments)?;
    let moments = Moments { mean: moments.get(0)?, variance: moments.get(1)? };
    let norm = Norm { gamma, beta, mean: &moments.mean, variance: &moments.variance, eps };
    let y = x.apply_op2(&norm.stacked()?, Normalise { eps, activation, of_batch: true })?;
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
    let op = ConvolveNormalise { layer: Normalised { convolution, eps, activation }, saved: Arc::clone(&saved) };
    // An operation takes three tensors at most.
    let y = x.contiguous()?.apply_op3(&weights.contiguous()?, &Tensor::stack(&[gamma, beta], 0)?, op)?;
    let Some(saved) = saved.get() else { bail!("batch statistics are set by the forward pass") };
    let column = |values: &[f32]| Tensor::new(values, y.device());
    let moments = Moments { mean: column(&saved.statistics.mean)?, variance: column(&saved.statistics.variance)? };
    Ok((y, moments))
}

struct Depthwise {
    stride: usize,
}

impl Depthwise {
    fn window(&self, x: &Shape, weights: &Shape) -> Result<(Shape, usize, Window)> {
        let (images, height, width, channels) = x.dims4()?;
        let (kernel, _, weight_channels) = weights.dims3()?;
        if weight_channels != channels {
            bail!("depthwise weights for {weight_channels} channels met an input of {channels}");
        }
        let window = Window { height, width, kernel, stride: self.stride };
        Ok(((images, window.out_height(), window.out_width(), channels).into(), channels, window))
    }
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (shape, channels, window) = self.window(lx.shape(), lw.shape())?;
        Ok((CpuStorage::F32(depthwise::forward(slice(x, lx)?, slice(w, lw)?, channels, &window)), shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, w: &CudaStorage, lw: &Layout) -> Result<(CudaStorage, Shape)> {
        let (shape, channels, window) = self.window(lx.shape(), lw.shape())?;
        let y =
            by_type!(x, T => cuda::depthwise::<T>(x.device(), &view(x, lx)?, &view(w, lw)?, None, channels, &window));
        Ok((y, shape))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, channels, window) = self.window(x.shape(), w.shape())?;
        let dy = dy.contiguous()?;
        let dx = dy.apply_op2_no_bwd(w, &DepthwiseInput { window, shape: x.shape().clone() })?;
        let dw = x.apply_op2_no_bwd(&dy, &DepthwiseWeights { window, channels })?;
        Ok((Some(dx), Some(dw)))
    }
}

/// Gradient of [`Depthwise`] with respect to its input.
struct DepthwiseInput {
    window: Window,
    shape: Shape,
}

impl CustomOp2 for DepthwiseInput {
    fn name(&self) -> &'static str {
        "depthwise-input"
    }

    fn cpu_fwd(&self, dy: &CpuStorage, ly: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let channels = lw.dims()[2];
        let dx = depthwise::input_gradient(slice(dy, ly)?, slice(w, lw)?, channels, &self.window);
        Ok((CpuStorage::F32(dx), self.shape.clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, dy: &CudaStorage, ly: &Layout, w: &CudaStorage, lw: &Layout) -> Result<(CudaStorage, Shape)> {
        let (channels, window) = (lw.dims()[2], &self.window);
        let dx =
            by_type!(dy, T => cuda::depthwise_input::<T>(dy.device(), &view(dy, ly)?, &view(w, lw)?, channels, window));
        Ok((dx, self.shape.clone()))
    }
}

/// Gradient of [`Depthwise`] with respect to its weights.
struct DepthwiseWeights {
    window: Window,
    channels: usize,
}

impl DepthwiseWeights {
    fn shape(&self) -> Shape {
        (self.window.kernel, self.window.kernel, self.channels).into()
    }
}

impl CustomOp2 for DepthwiseWeights {
    fn name(&self) -> &'static str {
        "depthwise-weights"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, dy: &CpuStorage, ly: &Layout) -> Result<(CpuStorage, Shape)> {
        let dw = depthwise::weight_gradient(slice(x, lx)?, slice(dy, ly)?, self.channels, &self.window);
        Ok((CpuStorage::F32(dw), self.shape()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, dy: &CudaStorage, ly: &Layout) -> Result<(CudaStorage, Shape)> {
        let Self { channels, window } = self;
        let dw = by_type!(x, T => cuda::depthwise_weights::<T>(x.device(), &view(x, lx)?, &view(dy, ly)?, *channels, window));
        Ok((dw, self.shape()))
    }
}

struct Patches {
    kernel: usize,
    stride: usize,
}

impl Patches {
    fn window(&self, x: &Shape) -> Result<(Shape, usize, Window)> {
        let (images, height, width, channels) = x.dims4()?;
        let window = Window { height, width, kernel: self.kernel, stride: self.stride };
        let patch = self.kernel * self.kernel * channels;
        Ok(((images, window.out_height(), window.out_width(), patch).into(), channels, window))
    }
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (shape, channels, window) = self.window(layout.shape())?;
        Ok((CpuStorage::F32(patches::gather(slice(x, layout)?, channels, &window)), shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (shape, channels, window) = self.window(layout.shape())?;
        let rows = by_type!(x, T => cuda::patches::<T>(x.device(), &view(x, layout)?, channels, &window));
        Ok((rows, shape))
    }
}

struct GlobalMean;

impl CustomOp1 for GlobalMean {
    fn name(&self) -> &'static str {
        "global-mean"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let means = pool::mean(slice(x, layout)?, height * width, channels);
        Ok((CpuStorage::F32(means), (images, channels).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let (size, values) = ([height * width, channels], x);
        let means = by_type!(x, T => cuda::pool::<T>(x.device(), cuda::Pooling::Mean, &view(values, layout)?, size));
        Ok((means, (images, channels).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.contiguous()?.apply_op1_no_bwd(&GlobalMeanInput { shape: x.shape().clone() })?))
    }
}

/// Gradient of [`GlobalMean`].
struct GlobalMeanInput {
    shape: Shape,
}

impl CustomOp1 for GlobalMeanInput {
    fn name(&self) -> &'static str {
        "global-mean-input"
    }

    fn cpu_fwd(&self, dy: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, height, width, channels) = self.shape.dims4()?;
        let dx = pool::mean_gradient(slice(dy, layout)?, height * width, channels);
        Ok((CpuStorage::F32(dx), self.shape.clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, dy: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (_, height, width, channels) = self.shape.dims4()?;
        let (size, gradient) = ([height * width, channels], cuda::Pooling::MeanGradient);
        let dx = by_type!(dy, T => cuda::pool::<T>(dy.device(), gradient, &view(dy, layout)?, size));
        Ok((dx, self.shape.clone()))
    }
}

struct ScaleChannels;

impl CustomOp2 for ScaleChannels {
    fn name(&self) -> &'static str {
        "scale-channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, s: &CpuStorage, ls: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, height, width, channels) = lx.shape().dims4()?;
        let y = pool::scale(slice(x, lx)?, slice(s, ls)?, height * width, channels);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, s: &CudaStorage, ls: &Layout) -> Result<(CudaStorage, Shape)> {
        let (_, height, width, channels) = lx.shape().dims4()?;
        let size = [height * width, channels];
        let y = by_type!(x, T => cuda::scale::<T>(x.device(), &view(x, lx)?, &view(s, ls)?, size));
        Ok((y, lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, s: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        Ok((Some(dy.apply_op2_no_bwd(s, &Self)?), Some(x.apply_op2_no_bwd(&dy, &ScaleFactors)?)))
    }
}

/// Gradient of [`ScaleChannels`] with respect to the factors.
struct ScaleFactors;

impl CustomOp2 for ScaleFactors {
    fn name(&self) -> &'static str {
        "scale-factors"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, dy: &CpuStorage, ly: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = lx.shape().dims4()?;
        let gradient = pool::scale_gradient(slice(x, lx)?, slice(dy, ly)?, height * width, channels);
        Ok((CpuStorage::F32(gradient), (images, channels).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, dy: &CudaStorage, ly: &Layout) -> Result<(CudaStorage, Shape)> {
        let (images, height, width, channels) = lx.shape().dims4()?;
        let size = [height * width, channels];
        let gradient = by_type!(x, T => cuda::scale_gradient::<T>(x.device(), &view(x, lx)?, &view(dy, ly)?, size));
        Ok((gradient, (images, channels).into()))
    }
}

/// Means and population variances of the last dimension: `[2, channels]`, always f32.
struct ColumnMoments;

impl CustomOp1 for ColumnMoments {
    fn name(&self) -> &'static str {
        "column-moments"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let channels = last(layout);
        let statistics = Statistics::of(slice(x, layout)?, channels, 0.0);
        Ok((CpuStorage::F32([statistics.mean, statistics.variance].concat()), (2, channels).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (channels, device) = (last(layout), x.device());
        let moments = match x.dtype() {
            DType::F32 => cuda::moments(device, &view::<f32>(x, layout)?, channels)?,
            DType::F16 => cuda::moments(device, &view::<half::f16>(x, layout)?, channels)?,
            DType::BF16 => cuda::moments(device, &view::<half::bf16>(x, layout)?, channels)?,
            other => bail!("no CUDA kernel for {other:?}"),
        };
        Ok((CudaStorage::wrap_cuda_slice(moments, device.clone()), (2, channels).into()))
    }
}

/// Of `x` and `[4, channels]`: gamma, beta, mean, variance.
struct Normalise {
    eps: f32,
    activation: Activation,
    /// Whether the statistics are those of `x` and move with it.
    of_batch: bool,
}

impl Normalise {
    fn parts<'a>(&self, norm: &'a [f32]) -> ([&'a [f32]; 2], Statistics) {
        let (affine, statistics) = norm.split_at(norm.len() / 2);
        let (mean, variance) = statistics.split_at(norm.len() / 4);
        (affine.split_at(norm.len() / 4).into(), Statistics::new(mean.into(), variance.into(), self.eps))
    }
}

impl CustomOp2 for Normalise {
    fn name(&self) -> &'static str {
        "batch-norm-activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, norm: &CpuStorage, ln: &Layout) -> Result<(CpuStorage, Shape)> {
        let ([gamma, beta], statistics) = self.parts(slice(norm, ln)?);
        let y = batch_norm::forward(slice(x, lx)?, gamma, beta, &statistics, self.activation);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, norm: &CudaStorage, ln: &Layout) -> Result<(CudaStorage, Shape)> {
        let norm = view(norm, ln)?;
        let epilogue = cuda::Epilogue { norm: &norm, eps: self.eps, activation: self.activation };
        let y = by_type!(x, T => cuda::normalise::<T>(x.device(), &view(x, lx)?, epilogue));
        Ok((y, lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, norm: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Self { eps, activation, of_batch } = *self;
        let gradients =
            x.apply_op3_no_bwd(norm, &dy.contiguous()?, &NormaliseGradients { eps, activation, of_batch })?;
        let (count, channels) = (x.elem_count(), norm.dim(1)?);
        let dx = gradients.narrow(0, 0, count)?.reshape(x.shape())?;
        let affine = gradients.narrow(0, count, 2 * channels)?.reshape((2, channels))?;
        Ok((Some(dx), Some(Tensor::cat(&[&affine, &affine.zeros_like()?], 0)?)))
    }
}

/// Gradients of [`Normalise`] with respect to x, gamma and beta, in one row, since an operation gives one tensor.
struct NormaliseGradients {
    eps: f32,
    activation: Activation,
    of_batch: bool,
}

impl CustomOp3 for NormaliseGradients {
    fn name(&self) -> &'static str {
        "batch-norm-activation-gradients"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        norm: &CpuStorage,
        ln: &Layout,
        dy: &CpuStorage,
        ly: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Self { eps, activation, of_batch } = *self;
        let ([gamma, beta], statistics) = Normalise { eps, activation, of_batch }.parts(slice(norm, ln)?);
        let (x, dy) = (slice(x, lx)?, slice(dy, ly)?);
        let gradients = batch_norm::backward(x, dy, gamma, beta, &statistics, activation, of_batch);
        let row = [gradients.x, gradients.gamma, gradients.beta].concat();
        let length = row.len();
        Ok((CpuStorage::F32(row), length.into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        norm: &CudaStorage,
        ln: &Layout,
        dy: &CudaStorage,
        ly: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let norm = view(norm, ln)?;
        let epilogue = cuda::Epilogue { norm: &norm, eps: self.eps, activation: self.activation };
        let row = cuda::normalise_gradients(x.device(), &view(x, lx)?, &view(dy, ly)?, epilogue, self.of_batch)?;
        let length = row.len();
        Ok((CudaStorage::wrap_cuda_slice(row, x.device().clone()), length.into()))
    }
}

struct DepthwiseNormalise {
    depthwise: Depthwise,
    eps: f32,
    activation: Activation,
}

impl CustomOp3 for DepthwiseNormalise {
    fn name(&self) -> &'static str {
        "depthwise-batch-norm-activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weights: &CpuStorage,
        lw: &Layout,
        norm: &CpuStorage,
        ln: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (z, shape) = self.depthwise.cpu_fwd(x, lx, weights, lw)?;
        let normalise = Normalise { eps: self.eps, activation: self.activation, of_batch: false };
        normalise.cpu_fwd(&z, &Layout::contiguous(shape), norm, ln)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        weights: &CudaStorage,
        lw: &Layout,
        norm: &CudaStorage,
        ln: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (shape, channels, window) = self.depthwise.window(lx.shape(), lw.shape())?;
        let norm = view(norm, ln)?;
        let epilogue = Some(cuda::Epilogue { norm: &norm, eps: self.eps, activation: self.activation });
        let y = by_type!(x, T => {
            cuda::depthwise::<T>(x.device(), &view(x, lx)?, &view(weights, lw)?, epilogue, channels, &window)
        });
        Ok((y, shape))
    }
}

struct ConvolveNormalise {
    layer: Normalised,
    /// Set by the forward pass and read by the backward pass.
    saved: Arc<OnceLock<Saved>>,
}

impl CustomOp3 for ConvolveNormalise {
    fn name(&self) -> &'static str {
        "convolution-batch-norm-activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weights: &CpuStorage,
        lw: &Layout,
        affine: &CpuStorage,
        la: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Convolution { window, to, .. } = self.layer.convolution;
        let (gamma, beta) = slice(affine, la)?.split_at(to);
        let (y, saved) = self.layer.forward(slice(x, lx)?, slice(weights, lw)?, gamma, beta);
        if self.saved.set(saved).is_err() {
            bail!("a second forward pass");
        }
        Ok((CpuStorage::F32(y), (lx.dims()[0], window.out_height(), window.out_width(), to).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        affine: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else { bail!("backward pass before the forward pass") };
        let wanted = [x.track_op(), weights.track_op()];
        let gradients = read([x, weights, affine, &dy.contiguous()?], |[x, weights, affine, dy]| {
            let (gamma, beta) = affine.split_at(self.layer.convolution.to);
            self.layer.backward(x, weights, gamma, beta, saved, dy, wanted)
        })?;
        let d_affine = [gradients.gamma, gradients.beta].concat();
        Ok((
            gradients.x.map(|dx| like(x, dx)).transpose()?,
            gradients.weights.map(|dw| like(weights, dw)).transpose()?,
            Some(like(affine, d_affine)?),
        ))
    }
}

/// `values` as a tensor of `shape` on a card, by a copy that runs while the CPU goes on.
///
/// # Errors
/// If the device fails.
#[cfg(feature = "cuda")]
pub fn uploaded(values: &[f32], shape: &Shape, device: &Device, uploader: &cuda::Uploader) -> Result<Tensor> {
    // Candle takes storage from outside only as the result of an operation; what it is applied to does not matter.
    let anything = Tensor::zeros(1, DType::F32, device)?;
    let all = anything.apply_op1_no_bwd(&Upload { values, uploader })?;
    all.narrow(0, 0, shape.elem_count())?.reshape(shape)
}

#[cfg(feature = "cuda")]
struct Upload<'a> {
    values: &'a [f32],
    uploader: &'a cuda::Uploader,
}

#[cfg(feature = "cuda")]
impl CustomOp1 for Upload<'_> {
    fn name(&self) -> &'static str {
        "upload"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.values.to_vec()), self.values.len().into()))
    }

    fn cuda_fwd(&self, anything: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = anything.device();
        let copy = self.uploader.upload(device, self.values)?;
        let length = copy.len();
        Ok((CudaStorage::wrap_cuda_slice(copy, device.clone()), length.into()))
    }
}

fn last(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

fn like(tensor: &Tensor, values: Vec<f32>) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), tensor.device())
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = offsets(layout)?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

#[cfg(feature = "cuda")]
fn view<'a, T: cuda::Element>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    let (start, end) = offsets(layout)?;
    Ok(storage.as_cuda_slice::<T>()?.slice(start..end))
}

fn offsets(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(offsets) => Ok(offsets),
        None => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

/// Calls `f` with the values of contiguous tensors; those on the CPU are not copied.
///
/// # Errors
/// If a tensor is not contiguous or not f32, or the device fails.
pub fn read<const N: usize, R>(tensors: [&Tensor; N], f: impl FnOnce([&[f32]; N]) -> R) -> Result<R> {
    let here = tensors.map(|tensor| tensor.to_device(&Device::Cpu));
    let mut guards = Vec::with_capacity(N);
    for tensor in &here {
        match tensor {
            Ok(tensor) => guards.push(tensor.storage_and_layout()),
            Err(e) => bail!("{e}"),
        }
    }
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slot, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { bail!("a tensor moved to the CPU is on the CPU") };
        *slot = slice(storage, layout)?;
    }
    Ok(f(slices))
}

/// Calls `f` with the values of `target`, to change them: on the CPU in place, from a card fetched and brought back.
///
/// # Errors
/// If the tensor is not contiguous or not f32, or the device fails.
pub fn change(target: &Var, mut f: impl FnMut(&mut [f32])) -> Result<()> {
    if target.device().is_cpu() {
        return target.inplace_op1(&Change(Mutex::new(f)));
    }
    let mut values = target.flatten_all()?.to_vec1::<f32>()?;
    f(&mut values);
    target.set(&Tensor::from_vec(values, target.shape(), target.device())?)
}

struct Change<F>(Mutex<F>);

impl<F: FnMut(&mut [f32])> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, target: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (start, end) = offsets(layout)?;
        let CpuStorage::F32(values) = target else { bail!("expected a tensor of f32") };
        let mut f = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut values[start..end]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(shape: impl Into<Shape>, seed: u64) -> Tensor {
        let shape = shape.into();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.elem_count()).map(|_| random.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Compares the gradient of `sum(f(inputs) * weights)` with central differences, for every element of every input.
    fn check_gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) {
        let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = f(&tensors);
        let weights = random(y.shape().clone(), 99);
        let gradients = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
        let objective = |inputs: &[Tensor]| -> f64 {
            let y = f(inputs).flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let weights = weights.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
        };
        const STEP: f32 = 1e-2;
        for (place, (input, var)) in inputs.iter().zip(&vars).enumerate() {
            let gradient = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let values = input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for index in 0..values.len() {
                let moved = |by: f32| {
                    let mut values = values.clone();
                    values[index] += by;
                    let mut inputs = inputs.to_vec();
                    inputs[place] = Tensor::from_vec(values, input.shape(), &Device::Cpu).unwrap();
                    objective(&inputs)
                };
                let numeric = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                let error = (numeric - f64::from(gradient[index])).abs();
                assert!(
                    error < 2e-2 * (1.0 + numeric.abs()),
                    "input {place}, element {index}: {numeric} against {}",
                    gradient[index]
                );
            }
        }
    }

    #[test]
    fn depthwise_gradients_agree_with_finite_differences() {
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            for (height, width) in [(6, 6), (5, 7)] {
                let inputs = [random((2, height, width, 3), 1), random((kernel, kernel, 3), 2)];
                check_gradients(&inputs, |i| depthwise(&i[0], &i[1], stride).unwrap());
            }
        }
    }

    #[test]
    fn batch_norm_gradients_agree_with_finite_differences() {
        let inputs = [random((2, 3, 3, 2), 1), random(2, 2), random(2, 3)];
        check_gradients(&inputs, |i| normalise_by_batch(&i[0], &i[1], &i[2], 1e-3, Activation::Silu).unwrap().0);
        let [mean, variance] = [[0.1f32, -0.2], [0.5, 2.0]].map(|values| Tensor::new(&values, &Device::Cpu).unwrap());
        check_gradients(&inputs, |i| {
            let norm = Norm { gamma: &i[1], beta: &i[2], mean: &mean, variance: &variance, eps: 1e-3 };
            normalise(&i[0], norm, Activation::Silu).unwrap()
        });
    }

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
    }

    fn multiplied(rows: &Tensor, weights: &Tensor) -> Tensor {
        let (images, height, width, from) = rows.dims4().unwrap();
        let y = rows.reshape((images * height * width, from)).unwrap().matmul(weights).unwrap();
        y.reshape((images, height, width, weights.dim(1).unwrap())).unwrap()
    }

    #[test]
    fn a_fused_layer_is_its_parts_one_after_the_other() {
        for (inputs, reach) in layers() {
            let [x, weights, gamma, beta] = &inputs[..] else { unreachable!() };
            let act = Activation::Relu6;
            let z = match reach {
                Reach::Depthwise { stride, .. } => depthwise(x, weights, stride).unwrap(),
                Reach::Pointwise => multiplied(x, weights),
                Reach::Dense { kernel, stride } => multiplied(&patches(x, kernel, stride).unwrap(), weights),
            };
            let (parts, moments) = normalise_by_batch(&z, gamma, beta, 1e-3, act).unwrap();
            let (fused, fused_moments) = convolve_normalise(x, weights, [gamma, beta], reach, 1e-3, act).unwrap();
            assert!(difference(&parts, &fused) < 1e-4, "{reach:?}");
            assert!(difference(&moments.mean, &fused_moments.mean) < 1e-5);
            assert!(difference(&moments.variance, &fused_moments.variance) < 1e-5);
            let norm = Norm { gamma, beta, mean: &moments.mean, variance: &moments.variance, eps: 1e-3 };
            if let Reach::Depthwise { stride, .. } = reach {
                let inference = depthwise_normalise(x, weights, stride, norm, act).unwrap();
                assert!(difference(&parts, &inference) < 1e-5);
            }
        }
    }

    /// Every kind of layer, on a picture with an odd and an even side.
    fn layers() -> Vec<(Vec<Tensor>, Reach)> {
        let affine = |channels: usize| [random(channels, 3), random(channels, 4)];
        let layer = |from: usize, weights: Tensor, to: usize, reach| {
            let [gamma, beta] = affine(to);
            (vec![random((2, 5, 4, from), 1), weights, gamma, beta], reach)
        };
        let mut layers = vec![layer(3, random((3, 5), 2), 5, Reach::Pointwise)];
        for (kernel, stride) in [(1, 2), (3, 1), (3, 2), (5, 2)] {
            let dense = random((kernel * kernel * 3, 5), 2);
            layers.push(layer(3, dense, 5, Reach::Dense { kernel, stride }));
            layers.push(layer(3, random((kernel, kernel, 3), 2), 3, Reach::Depthwise { kernel, stride }));
        }
        layers
    }

    #[test]
    fn fused_layers_gradients_agree_with_finite_differences() {
        for (inputs, reach) in layers() {
            check_gradients(&inputs, |i| {
                convolve_normalise(&i[0], &i[1], [&i[2], &i[3]], reach, 1e-1, Activation::Silu).unwrap().0
            });
        }
    }

    #[test]
    fn pooling_and_scaling_gradients_agree_with_finite_differences() {
        let inputs = [random((2, 3, 2, 3), 1), random((2, 3), 2)];
        check_gradients(&inputs, |i| scale_channels(&i[0], &i[1]).unwrap());
        check_gradients(&inputs[..1], |i| global_mean(&i[0]).unwrap());
    }

    #[test]
    fn depthwise_equals_candles_grouped_convolution() {
        // Candle pads symmetrically, so only stride 1 is comparable; 19 channels take both the blocked and the rest path.
        let (x, w) = (random((2, 7, 5, 19), 1), random((3, 3, 19), 2));
        let ours = depthwise(&x, &w, 1).unwrap();
        let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let w = w.permute((2, 0, 1)).unwrap().unsqueeze(1).unwrap().contiguous().unwrap();
        let theirs = x.conv2d(&w, 1, 1, 1, 19).unwrap().permute((0, 2, 3, 1)).unwrap();
        assert!(difference(&ours, &theirs) < 1e-5);
    }

    #[test]
    fn a_window_that_does_not_fit_the_weights_is_an_error() {
        assert!(depthwise(&random((1, 4, 4, 3), 1), &random((3, 3, 2), 2), 1).is_err());
    }
}

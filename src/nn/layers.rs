//! The layers MobileNet and EfficientNet are made of, as plain structs with `forward`. Everything is NHWC.

use std::sync::Mutex;

use candle_core::{Device, Result, Tensor, Var};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::ops::{self, FusedLayer, Moments, Norm, TrainingWorkspace};
use super::parameters::{InitialValues, Scope};
use crate::infer::{ConvolutionLayer as PlannedConvolution, Layer, Linear, Reach};
use crate::kernels::Activation;

/// Whether a forward pass belongs to training.
#[derive(Clone, Copy)]
pub enum Phase<'a> {
    /// Running statistics are used, nothing is dropped.
    Inference,
    /// Statistics of the batch are used and the running ones moved towards them; dropout draws from the generator.
    Training(&'a Mutex<ChaCha8Rng>),
    /// As `Training`, but the running statistics are left as they are: a second pass over the same pictures.
    Again(&'a Mutex<ChaCha8Rng>),
    /// As `Training`, but with the running statistics, which are left as they are: layers that do not learn.
    Frozen(&'a Mutex<ChaCha8Rng>),
}

impl<'a> Phase<'a> {
    /// Where dropout draws from, in training.
    fn random(self) -> Option<&'a Mutex<ChaCha8Rng>> {
        match self {
            Self::Inference => None,
            Self::Training(random) | Self::Again(random) | Self::Frozen(random) => Some(random),
        }
    }
}

/// Batch normalisation and the activation after it.
pub struct BatchNorm {
    gamma: Tensor,
    beta: Tensor,
    running_mean: Var,
    running_variance: Var,
    eps: f32,
    momentum: f64,
    activation: Activation,
}

/// The constants in which implementations of batch normalisation differ.
#[derive(Debug, Clone, Copy)]
pub struct BatchNormConstants {
    /// Added to the variance.
    pub eps: f32,
    /// Share of the batch's statistics in the new running statistics (PyTorch's sense; Keras states 1 minus this).
    pub momentum: f64,
}

impl BatchNorm {
    fn new(scope: &Scope, channels: usize, constants: BatchNormConstants, activation: Activation) -> Result<Self> {
        Ok(Self {
            gamma: scope.weight("weight", &[channels], InitialValues::Constant(1.0))?,
            beta: scope.weight("bias", &[channels], InitialValues::Constant(0.0))?,
            running_mean: scope.state("running_mean", &[channels], 0.0)?,
            running_variance: scope.state("running_var", &[channels], 1.0)?,
            eps: constants.eps,
            momentum: constants.momentum,
            activation,
        })
    }

    /// With the running statistics.
    fn norm<'a>(&'a self, [mean, variance]: &'a [Tensor; 2]) -> Norm<'a> {
        Norm { gamma: &self.gamma, beta: &self.beta, mean, variance, eps: self.eps }
    }

    fn running(&self) -> [Tensor; 2] {
        [self.running_mean.as_detached_tensor(), self.running_variance.as_detached_tensor()]
    }

    /// Moves the running statistics towards those of a batch, if the phase wants that.
    fn observe(&self, batch: &Moments, phase: Phase) -> Result<()> {
        if !matches!(phase, Phase::Training(_)) {
            return Ok(());
        }
        let rows = batch.rows as f64;
        self.follow(&self.running_mean, &batch.mean, 1.0)?;
        self.follow(&self.running_variance, &batch.variance, rows / (rows - 1.0).max(1.0))
    }

    /// What each channel is multiplied by and what is added, with the running statistics.
    fn folded(&self) -> Result<[Vec<f32>; 2]> {
        let [gamma, beta] = [numbers(&self.gamma)?, numbers(&self.beta)?];
        let [mean, variance] = [numbers(&self.running_mean)?, numbers(&self.running_variance)?];
        let scale: Vec<f32> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + self.eps).sqrt()).collect();
        let shift = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Ok([scale, shift])
    }

    /// Moves `running` towards `factor * batch` (the factor makes the variance unbiased, as PyTorch does).
    fn follow(&self, running: &Var, batch: &Tensor, factor: f64) -> Result<()> {
        running.set(&((running.as_detached_tensor() * (1.0 - self.momentum))? + (batch * (factor * self.momentum))?)?)
    }
}

/// A convolution without bias, batch normalisation, activation.
pub struct ConvolutionNorm {
    convolution: ConvolutionWeights,
    norm: BatchNorm,
}

enum ConvolutionWeights {
    /// Weights `[kernel * kernel * in, out]`.
    Dense { weights: Tensor, kernel: usize, stride: usize },
    /// Weights `[kernel, kernel, channels]`.
    Depthwise { weights: Tensor, stride: usize },
    /// 1x1; weights `[in, out]`.
    Pointwise { weights: Tensor },
}

impl ConvolutionNorm {
    /// A `kernel` x `kernel` convolution over all input channels.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn dense(
        scope: &Scope,
        [from, to]: [usize; 2],
        [kernel, stride]: [usize; 2],
        constants: BatchNormConstants,
        activation: Activation,
    ) -> Result<Self> {
        let fan = kernel * kernel * from;
        let weights = scope.weight("weight", &[fan, to], InitialValues::He { fan })?;
        let norm = BatchNorm::new(&scope.enter("norm"), to, constants, activation)?;
        Ok(Self { convolution: ConvolutionWeights::Dense { weights, kernel, stride }, norm })
    }

    /// One `kernel` x `kernel` filter a channel.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn depthwise(
        scope: &Scope,
        channels: usize,
        [kernel, stride]: [usize; 2],
        constants: BatchNormConstants,
        activation: Activation,
    ) -> Result<Self> {
        let weights =
            scope.weight("weight", &[kernel, kernel, channels], InitialValues::He { fan: kernel * kernel })?;
        let norm = BatchNorm::new(&scope.enter("norm"), channels, constants, activation)?;
        Ok(Self { convolution: ConvolutionWeights::Depthwise { weights, stride }, norm })
    }

    /// A 1x1 convolution.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn pointwise(
        scope: &Scope,
        [from, to]: [usize; 2],
        constants: BatchNormConstants,
        activation: Activation,
    ) -> Result<Self> {
        let weights = scope.weight("weight", &[from, to], InitialValues::He { fan: from })?;
        let norm = BatchNorm::new(&scope.enter("norm"), to, constants, activation)?;
        Ok(Self { convolution: ConvolutionWeights::Pointwise { weights }, norm })
    }

    /// `[images, height, width, in]` to `[images, out_height, out_width, out]`.
    fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let norm = &self.norm;
        match phase {
            Phase::Inference | Phase::Frozen(_) => {
                ops::normalise(&self.convolve(x)?, norm.norm(&norm.running()), norm.activation)
            }
            Phase::Training(_) | Phase::Again(_) => {
                let z = self.convolve(x)?;
                let (y, moments) = ops::normalise_by_batch(&z, &norm.gamma, &norm.beta, norm.eps, norm.activation)?;
                norm.observe(&moments, phase)?;
                Ok(y)
            }
        }
    }

    fn convolve(&self, x: &Tensor) -> Result<Tensor> {
        match &self.convolution {
            ConvolutionWeights::Dense { weights, kernel, stride } => {
                multiply_pixels(&ops::patches(x, *kernel, *stride)?, weights)
            }
            ConvolutionWeights::Depthwise { weights, stride } => ops::depthwise(x, weights, *stride),
            ConvolutionWeights::Pointwise { weights } => multiply_pixels(x, weights),
        }
    }

    fn weights(&self) -> Result<(&Tensor, Reach)> {
        Ok(match &self.convolution {
            ConvolutionWeights::Dense { weights, kernel, stride } => {
                (weights, Reach::Dense { kernel: *kernel, stride: *stride })
            }
            ConvolutionWeights::Depthwise { weights, stride } => {
                (weights, Reach::Depthwise { kernel: weights.dim(0)?, stride: *stride })
            }
            ConvolutionWeights::Pointwise { weights } => (weights, Reach::Pointwise),
        })
    }

    fn fused(&self) -> Result<FusedLayer<'_>> {
        let (weights, reach) = self.weights()?;
        let BatchNorm { gamma, beta, eps, activation, .. } = &self.norm;
        Ok(FusedLayer { weights, reach, gamma, beta, eps: *eps, activation: *activation })
    }

    /// The same for a plan, with the normalisation folded into the weights.
    fn planned(&self) -> Result<Layer> {
        let (weights, reach) = self.weights()?;
        let [scale, bias] = self.norm.folded()?;
        let mut weights = numbers(weights)?;
        for row in weights.chunks_exact_mut(scale.len()) {
            for (weight, scale) in row.iter_mut().zip(&scale) {
                *weight *= scale;
            }
        }
        Ok(Layer::Convolution(PlannedConvolution { reach, weights, bias, activation: self.norm.activation }))
    }
}

/// Convolutions one after the other. On the CPU they learn in one operation, so that what passes between them, the most of what a
/// step moves through memory, is neither copied nor added to anything.
pub struct ConvolutionRow {
    convolutions: Vec<ConvolutionNorm>,
    workspace: TrainingWorkspace,
}

impl ConvolutionRow {
    /// Of `convolutions` in order, created under `scope`.
    pub fn new(scope: &Scope, convolutions: Vec<ConvolutionNorm>) -> Self {
        Self { convolutions, workspace: scope.workspace() }
    }

    /// `[images, height, width, in]` to `[images, out_height, out_width, out]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        match (phase, x.device()) {
            (Phase::Training(_) | Phase::Again(_), Device::Cpu) => self.train(x, phase),
            _ => self.convolutions.iter().try_fold(x.clone(), |x, convolution| convolution.forward(&x, phase)),
        }
    }

    fn train(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let layers = self.convolutions.iter().map(ConvolutionNorm::fused).collect::<Result<Vec<_>>>()?;
        let (y, moments) = ops::convolve_normalise(x, &layers, &self.workspace)?;
        for (convolution, moments) in self.convolutions.iter().zip(&moments) {
            convolution.norm.observe(moments, phase)?;
        }
        Ok(y)
    }

    /// The same for a plan.
    ///
    /// # Errors
    /// If the device fails.
    pub fn planned(&self) -> Result<Vec<Layer>> {
        self.convolutions.iter().map(ConvolutionNorm::planned).collect()
    }
}

/// A tensor's values, row by row.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_device(&Device::Cpu)?.to_vec1()
}

/// The 1x1 convolution: one matrix product over the pixels of all images.
fn multiply_pixels(x: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let (images, height, width, from) = x.dims4()?;
    let to = weights.dim(1)?;
    x.reshape((images * height * width, from))?.matmul(weights)?.reshape((images, height, width, to))
}

/// A fully connected layer; weights `[in, out]`.
pub struct Dense {
    weights: Tensor,
    bias: Tensor,
}

impl Dense {
    /// From `from` to `to` features.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn new(scope: &Scope, [from, to]: [usize; 2]) -> Result<Self> {
        let weights = scope.weight("weight", &[from, to], InitialValues::He { fan: 2 * from })?;
        Ok(Self { weights, bias: scope.weight("bias", &[to], InitialValues::Constant(0.0))? })
    }

    /// `[images, in]` to `[images, out]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weights)?.broadcast_add(&self.bias.to_dtype(x.dtype())?)
    }

    /// The same for a plan, with the activation that follows it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn planned(&self, activation: Activation) -> Result<Linear> {
        Ok(Linear { weights: numbers(&self.weights)?, bias: numbers(&self.bias)?, activation })
    }
}

/// Squeeze-and-excitation (Hu et al. 2018): channels are weighted by what the whole picture shows.
pub struct SqueezeExcite {
    reduce: Dense,
    expand: Dense,
}

impl SqueezeExcite {
    /// Over `channels`, through `reduced` hidden units.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn new(scope: &Scope, channels: usize, reduced: usize) -> Result<Self> {
        Ok(Self {
            reduce: Dense::new(&scope.enter("reduce"), [channels, reduced])?,
            expand: Dense::new(&scope.enter("expand"), [reduced, channels])?,
        })
    }

    /// `[images, height, width, channels]`, same shape out.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let squeezed = self.reduce.forward(&ops::global_mean(x)?)?.silu()?;
        let gate = candle_nn::ops::sigmoid(&self.expand.forward(&squeezed)?)?;
        ops::scale_channels(x, &gate)
    }

    /// The same for a plan.
    ///
    /// # Errors
    /// If the device fails.
    pub fn planned(&self) -> Result<Layer> {
        let reduce = self.reduce.planned(Activation::Silu)?;
        Ok(Layer::SqueezeExcite { reduce, expand: self.expand.planned(Activation::Identity)? })
    }
}

/// Sets a share of the features to 0 in training and scales the others up.
///
/// # Errors
/// If the device fails.
pub fn dropout(x: &Tensor, share: f32, phase: Phase) -> Result<Tensor> {
    let Some(random) = phase.random() else { return Ok(x.clone()) };
    if share <= 0.0 {
        return Ok(x.clone());
    }
    let mut random = random.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let keep = 1.0 / (1.0 - share);
    let mask: Vec<f32> = (0..x.elem_count()).map(|_| if random.random::<f32>() < share { 0.0 } else { keep }).collect();
    x * Tensor::from_vec(mask, x.shape(), x.device())?
}

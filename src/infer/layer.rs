//! What a plan is compiled from: a network's layers with batch normalisation folded into the weights.

use crate::kernels::Activation;

/// A layer. Weights lie as in a weights file: channels last, output channels fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// A convolution with SAME padding, its bias and activation.
    Convolution(Convolution),
    /// Channels are weighted by `sigmoid(expand(silu(reduce(mean))))` (Hu et al. 2018); `reduce` has SiLU as its
    /// activation, `expand` none.
    SqueezeExcite {
        /// Channels to hidden units.
        reduce: Linear,
        /// Hidden units to channels.
        expand: Linear,
    },
    /// What goes in is added to what comes out.
    Residual(Vec<Layer>),
    /// The mean over height and width.
    Mean,
    /// A fully connected layer. Where the picture is larger than a pixel, it is applied to each.
    Linear(Linear),
}

/// A convolution with SAME padding, bias and activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// Which inputs an output sees.
    pub reach: Reach,
    /// `[kernel * kernel * in, out]`, `[kernel, kernel, channels]` or `[in, out]`.
    pub weights: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
    /// What follows.
    pub activation: Activation,
}

/// Which inputs an output of a convolution sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A `kernel` x `kernel` window of all channels, moved by `stride`.
    Dense {
        /// Side of the window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
    },
    /// A `kernel` x `kernel` window of its own channel, moved by `stride`.
    Depthwise {
        /// Side of the window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
    },
    /// All channels of its own pixel.
    Pointwise,
}

/// A fully connected layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// `[in, out]`.
    pub weights: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
    /// What follows.
    pub activation: Activation,
}

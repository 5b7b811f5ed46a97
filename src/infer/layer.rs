//! The input of the plan compiler: a network's layers, with batch normalisation folded into the weights.

use crate::kernels::Activation;

/// A layer. Weights are stored as in a weights file: channels last, output channels fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// A convolution with SAME padding, its bias and activation.
    Convolution(ConvolutionLayer),
    /// Weights channels by `sigmoid(expand(silu(reduce(mean))))` (Hu et al. 2018). `reduce` has SiLU as its activation,
    /// `expand` none.
    SqueezeExcite {
        /// Channels to hidden units.
        reduce: Linear,
        /// Hidden units to channels.
        expand: Linear,
    },
    /// Adds its input to the result of the layers in it.
    Residual(Vec<Layer>),
    /// The same of layers that halve the picture: adds the maxima of 2x2 pixels of its input. The sides are even, and as many channels
    /// come out as go in.
    HalvedResidual(Vec<Layer>),
    /// The mean over height and width.
    Mean,
    /// A fully connected layer. If the input has more than one pixel, it is applied to each.
    Linear(Linear),
    /// A fully connected layer of all pixels, `[height * width * channels, out]`: a convolution as large as the map, without
    /// padding. The map's channels are a multiple of 16.
    Whole(Linear),
    /// `z` where it is above 0, else `slope * z`, one slope a channel of whatever sign and size (He et al. 2015).
    Prelu(Vec<f32>),
    /// A residual block of MediaPipe's face and palm networks.
    BlazeBlock(BlazeBlock),
    /// What flows here is given out beside the result; once in a network, and outside of residual layers.
    Tap,
}

/// A depthwise convolution of 3x3 or 5x5 and a 1x1 convolution with SAME padding, plus what went in, and a PReLU (Bazarevsky et al. 2019,
/// "BlazeFace"). With stride 2, the maxima of 2x2 pixels are added, and nothing to the channels that are new.
#[derive(Debug, Clone, PartialEq)]
pub struct BlazeBlock {
    /// Filters `[kernel, kernel, in]` and bias `[in]`; the kernel is 3 or 5.
    pub depthwise: [Vec<f32>; 2],
    /// Weights `[in, out]` and bias `[out]`.
    pub pointwise: [Vec<f32>; 2],
    /// `[out]`.
    pub slopes: Vec<f32>,
    /// 1, or 2 to halve the picture.
    pub stride: usize,
}

/// A convolution with SAME padding, bias and activation.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionLayer {
    /// Which inputs an output depends on.
    pub reach: Reach,
    /// `[kernel * kernel * in, out]`, `[kernel, kernel, channels]` or `[in, out]`.
    pub weights: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
    /// Applied to the result.
    pub activation: Activation,
}

/// Which inputs an output of a convolution depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A `kernel` x `kernel` window over all channels, moved by `stride`.
    Dense {
        /// Side of the window.
        kernel: usize,
        /// Step of the window.
        stride: usize,
    },
    /// A `kernel` x `kernel` window over its own channel, moved by `stride`.
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
    /// Applied to the result.
    pub activation: Activation,
}

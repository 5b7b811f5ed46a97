//! The kernels of `kernels.cu` on a card, in a program built with the feature `cuda`; without it, twins that refuse.
//!
//! Tensors are contiguous and on one card, in the layouts of the plain functions in the folder above, and hold fewer than
//! 2^31 elements. This is the only file that asks for the feature: `card/` and `no_card.rs` have the same functions.

#[cfg_attr(feature = "cuda", path = "card/mod.rs")]
#[cfg_attr(not(feature = "cuda"), path = "no_card.rs")]
mod twin;

use candle_core::{CudaStorage, Layout, Shape};

pub use self::twin::{
    BUILT, Recording, Uploader, adam_state, adam_step, blend, depthwise, depthwise_bias, depthwise_input,
    depthwise_weights, finish, gate, moments, normalise, normalise_gradients, open, patches, pool, scale,
    scale_gradient, sgd_state, sgd_step,
};
use super::Activation;

/// A tensor on a card.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The memory it lies in.
    pub storage: &'a CudaStorage,
    /// Where in it, and its shape.
    pub layout: &'a Layout,
}

impl<'a> Operand<'a> {
    /// The tensor's shape.
    pub fn shape(&self) -> &'a Shape {
        self.layout.shape()
    }
}

/// Normalisation and activation after a convolution.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// `[4, channels]` of f32: gamma, beta, mean and variance.
    pub norm: Operand<'a>,
    /// Added to the variance.
    pub eps: f32,
    /// What comes last.
    pub activation: Activation,
}

/// Bias and activation after a layer whose normalisation lies in its weights. Channels are a multiple of
/// [`GROUP`](super::launch::GROUP).
#[derive(Clone, Copy)]
pub struct Finish<'a> {
    /// `[channels]` of f32.
    pub bias: Operand<'a>,
    /// What comes last.
    pub activation: Activation,
}

/// What the pooling kernels do.
#[derive(Debug, Clone, Copy)]
pub enum Pooling {
    /// [`super::train::pool::mean`].
    Mean,
    /// [`super::train::pool::mean_gradient`].
    MeanGradient,
}

//! Layers whose normalisation lies in their weights, for inference on a card: no gradients.

use candle_core::{CudaStorage, Result, Shape};

use super::depthwise::Depthwise;
use super::operation::{Kernel, Values};
use crate::kernels::cuda::{self, Operand};
use crate::kernels::{Activation, folded};

/// A depthwise convolution of `x` `[images, height, width, channels]` with weights `[kernel, kernel, channels]` and a bias
/// `[channels]`.
pub(super) struct DepthwiseBias {
    pub(super) depthwise: Depthwise,
    pub(super) activation: Activation,
}

impl Kernel<3> for DepthwiseBias {
    const NAME: &'static str = "depthwise-bias-activation";

    fn shape(&self, [x, weights, _]: [&Shape; 3]) -> Result<Shape> {
        self.depthwise.shape([x, weights])
    }

    fn on_cpu(&self, [x, weights, bias]: [Values<'_>; 3]) -> Result<Vec<f32>> {
        let (_, window) = self.depthwise.window(x.shape, weights.shape)?;
        Ok(folded::depthwise(x.values, weights.values, bias.values, self.activation, &window))
    }

    fn on_card(&self, [x, weights, bias]: [Operand<'_>; 3]) -> Result<CudaStorage> {
        let (_, window) = self.depthwise.window(x.shape(), weights.shape())?;
        cuda::depthwise_bias(x, weights, cuda::Finish { bias, activation: self.activation }, &window)
    }
}

/// Of `x` `[.., channels]` and a bias `[channels]`; with a third tensor of `x`'s shape, adds that.
pub(super) struct Finish(pub(super) Activation);

impl Kernel<2> for Finish {
    const NAME: &'static str = "bias-activation";

    fn shape(&self, [x, _]: [&Shape; 2]) -> Result<Shape> {
        Ok(x.clone())
    }

    fn on_cpu(&self, [x, bias]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        Ok(folded::finish(x.values.to_vec(), bias.values, self.0, None))
    }

    fn on_card(&self, [x, bias]: [Operand<'_>; 2]) -> Result<CudaStorage> {
        cuda::finish(x, cuda::Finish { bias, activation: self.0 }, None)
    }
}

impl Kernel<3> for Finish {
    const NAME: &'static str = "bias-activation-sum";

    fn shape(&self, [x, ..]: [&Shape; 3]) -> Result<Shape> {
        Ok(x.clone())
    }

    fn on_cpu(&self, [x, bias, shortcut]: [Values<'_>; 3]) -> Result<Vec<f32>> {
        Ok(folded::finish(x.values.to_vec(), bias.values, self.0, Some(shortcut.values)))
    }

    fn on_card(&self, [x, bias, shortcut]: [Operand<'_>; 3]) -> Result<CudaStorage> {
        cuda::finish(x, cuda::Finish { bias, activation: self.0 }, Some(shortcut))
    }
}

/// `x` `[images, height, width, channels]` times the logistic function of logits `[images, channels]` plus a bias `[channels]`.
pub(super) struct Gate;

impl Gate {
    fn pixels(x: &Shape) -> Result<usize> {
        let (_, height, width, _) = x.dims4()?;
        Ok(height * width)
    }
}

impl Kernel<3> for Gate {
    const NAME: &'static str = "gate";

    fn shape(&self, [x, ..]: [&Shape; 3]) -> Result<Shape> {
        Ok(x.clone())
    }

    fn on_cpu(&self, [x, logits, bias]: [Values<'_>; 3]) -> Result<Vec<f32>> {
        Ok(folded::gate(x.values, logits.values, bias.values, Self::pixels(x.shape)?))
    }

    fn on_card(&self, [x, logits, bias]: [Operand<'_>; 3]) -> Result<CudaStorage> {
        cuda::gate(x, logits, bias, Self::pixels(x.shape())?)
    }
}

//! Depthwise convolution and its gradients.

use candle_core::{CudaStorage, Result, Shape, Tensor, bail};

use super::operation::{Kernel, Operation, Values};
use crate::kernels::Window;
use crate::kernels::cuda::{self, Operand};
use crate::kernels::train::depthwise;

/// Of `x` `[images, height, width, channels]` and weights `[kernel, kernel, channels]`.
pub(super) struct Depthwise {
    pub(super) stride: usize,
}

impl Depthwise {
    pub(super) fn window(&self, x: &Shape, weights: &Shape) -> Result<(usize, Window)> {
        let (_, height, width, channels) = x.dims4()?;
        let (kernel, _, weight_channels) = weights.dims3()?;
        if weight_channels != channels {
            bail!("depthwise weights for {weight_channels} channels met an input of {channels}");
        }
        Ok((channels, Window { height, width, kernel, stride: self.stride }))
    }
}

impl Kernel<2> for Depthwise {
    const NAME: &'static str = "depthwise";

    fn shape(&self, [x, weights]: [&Shape; 2]) -> Result<Shape> {
        let (channels, window) = self.window(x, weights)?;
        Ok((x.dims4()?.0, window.out_height(), window.out_width(), channels).into())
    }

    fn on_cpu(&self, [x, weights]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        let (channels, window) = self.window(x.shape, weights.shape)?;
        Ok(depthwise::forward(x.values, weights.values, channels, &window))
    }

    fn on_card(&self, [x, weights]: [Operand<'_>; 2]) -> Result<CudaStorage> {
        let (channels, window) = self.window(x.shape(), weights.shape())?;
        cuda::depthwise(x, weights, channels, &window)
    }

    fn gradients(&self, [x, weights]: [&Tensor; 2], dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let (channels, window) = self.window(x.shape(), weights.shape())?;
        let of_input = Operation(DepthwiseInput { window, shape: x.shape().clone() });
        let of_weights = Operation(DepthwiseWeights { window, channels });
        Ok([Some(dy.apply_op2_no_bwd(weights, &of_input)?), Some(x.apply_op2_no_bwd(dy, &of_weights)?)])
    }
}

/// Gradient of [`Depthwise`] with respect to its input: of the result's gradient and the weights.
struct DepthwiseInput {
    window: Window,
    /// The input's.
    shape: Shape,
}

impl Kernel<2> for DepthwiseInput {
    const NAME: &'static str = "depthwise-input";

    fn shape(&self, _: [&Shape; 2]) -> Result<Shape> {
        Ok(self.shape.clone())
    }

    fn on_cpu(&self, [dy, weights]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        Ok(depthwise::input_gradient(dy.values, weights.values, last(weights.shape), &self.window))
    }

    fn on_card(&self, [dy, weights]: [Operand<'_>; 2]) -> Result<CudaStorage> {
        cuda::depthwise_input(dy, weights, last(weights.shape()), &self.window)
    }
}

/// Gradient of [`Depthwise`] with respect to its weights: of the input and the result's gradient.
struct DepthwiseWeights {
    window: Window,
    channels: usize,
}

impl Kernel<2> for DepthwiseWeights {
    const NAME: &'static str = "depthwise-weights";

    fn shape(&self, _: [&Shape; 2]) -> Result<Shape> {
        Ok((self.window.kernel, self.window.kernel, self.channels).into())
    }

    fn on_cpu(&self, [x, dy]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        Ok(depthwise::weight_gradient(x.values, dy.values, self.channels, &self.window))
    }

    fn on_card(&self, [x, dy]: [Operand<'_>; 2]) -> Result<CudaStorage> {
        cuda::depthwise_weights(x, dy, self.channels, &self.window)
    }
}

fn last(shape: &Shape) -> usize {
    shape.dims().last().copied().unwrap_or(1)
}

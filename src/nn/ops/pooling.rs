//! Windows as rows, means over pixels and factors for channels, with their gradients.

use candle_core::{CudaStorage, Result, Shape, Tensor};

use super::operation::{Kernel, Operation, Values};
use crate::kernels::Window;
use crate::kernels::cuda::{self, Operand, Pooling};
use crate::kernels::train::{patches, pool};

/// The windows of `x` `[images, height, width, channels]`, each as one row.
pub(super) struct Patches {
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Patches {
    fn window(&self, x: &Shape) -> Result<(usize, Window)> {
        let (_, height, width, channels) = x.dims4()?;
        Ok((channels, Window { height, width, kernel: self.kernel, stride: self.stride }))
    }
}

impl Kernel<1> for Patches {
    const NAME: &'static str = "patches";

    fn shape(&self, [x]: [&Shape; 1]) -> Result<Shape> {
        let (channels, window) = self.window(x)?;
        let patch = self.kernel * self.kernel * channels;
        Ok((x.dims4()?.0, window.out_height(), window.out_width(), patch).into())
    }

    fn on_cpu(&self, [x]: [Values<'_>; 1]) -> Result<Vec<f32>> {
        let (channels, window) = self.window(x.shape)?;
        Ok(patches::gather(x.values, channels, &window))
    }

    fn on_card(&self, [x]: [Operand<'_>; 1]) -> Result<CudaStorage> {
        let (channels, window) = self.window(x.shape())?;
        cuda::patches(x, channels, &window)
    }
}

/// Pixels of a picture and channels of `[images, height, width, channels]`.
fn size(x: &Shape) -> Result<[usize; 2]> {
    let (_, height, width, channels) = x.dims4()?;
    Ok([height * width, channels])
}

/// The mean over each picture's pixels.
pub(super) struct GlobalMean;

impl Kernel<1> for GlobalMean {
    const NAME: &'static str = "global-mean";

    fn shape(&self, [x]: [&Shape; 1]) -> Result<Shape> {
        let (images, _, _, channels) = x.dims4()?;
        Ok((images, channels).into())
    }

    fn on_cpu(&self, [x]: [Values<'_>; 1]) -> Result<Vec<f32>> {
        let [pixels, channels] = size(x.shape)?;
        Ok(pool::mean(x.values, pixels, channels))
    }

    fn on_card(&self, [x]: [Operand<'_>; 1]) -> Result<CudaStorage> {
        cuda::pool(Pooling::Mean, x, size(x.shape())?)
    }

    fn gradients(&self, [x]: [&Tensor; 1], dy: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(dy.apply_op1_no_bwd(&Operation(GlobalMeanInput { shape: x.shape().clone() }))?)])
    }
}

/// Gradient of [`GlobalMean`].
struct GlobalMeanInput {
    /// The input's.
    shape: Shape,
}

impl Kernel<1> for GlobalMeanInput {
    const NAME: &'static str = "global-mean-input";

    fn shape(&self, _: [&Shape; 1]) -> Result<Shape> {
        Ok(self.shape.clone())
    }

    fn on_cpu(&self, [dy]: [Values<'_>; 1]) -> Result<Vec<f32>> {
        let [pixels, channels] = size(&self.shape)?;
        Ok(pool::mean_gradient(dy.values, pixels, channels))
    }

    fn on_card(&self, [dy]: [Operand<'_>; 1]) -> Result<CudaStorage> {
        cuda::pool(Pooling::MeanGradient, dy, size(&self.shape)?)
    }
}

/// `x` `[images, height, width, channels]` times a factor for each image and channel.
pub(super) struct ScaleChannels;

impl Kernel<2> for ScaleChannels {
    const NAME: &'static str = "scale-channels";

    fn shape(&self, [x, _]: [&Shape; 2]) -> Result<Shape> {
        Ok(x.clone())
    }

    fn on_cpu(&self, [x, scale]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        let [pixels, channels] = size(x.shape)?;
        Ok(pool::scale(x.values, scale.values, pixels, channels))
    }

    fn on_card(&self, [x, scale]: [Operand<'_>; 2]) -> Result<CudaStorage> {
        cuda::scale(x, scale, size(x.shape())?)
    }

    fn gradients(&self, [x, scale]: [&Tensor; 2], dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let of_input = dy.apply_op2_no_bwd(scale, &Operation(Self))?;
        Ok([Some(of_input), Some(x.apply_op2_no_bwd(dy, &Operation(ScaleFactors))?)])
    }
}

/// Gradient of [`ScaleChannels`] with respect to the factors.
struct ScaleFactors;

impl Kernel<2> for ScaleFactors {
    const NAME: &'static str = "scale-factors";

    fn shape(&self, [x, _]: [&Shape; 2]) -> Result<Shape> {
        GlobalMean.shape([x])
    }

    fn on_cpu(&self, [x, dy]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        let [pixels, channels] = size(x.shape)?;
        Ok(pool::scale_gradient(x.values, dy.values, pixels, channels))
    }

    fn on_card(&self, [x, dy]: [Operand<'_>; 2]) -> Result<CudaStorage> {
        cuda::scale_gradient(x, dy, size(x.shape())?)
    }
}

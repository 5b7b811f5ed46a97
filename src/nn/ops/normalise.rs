//! Batch normalisation with the activation after it, and its gradients.

use candle_core::{CudaStorage, Result, Shape, Tensor};

use super::operation::{Kernel, Operation, Values};
use crate::kernels::Activation;
use crate::kernels::cuda::{self, Operand};
use crate::kernels::train::batch_norm::{self, Statistics};

fn channels(x: &Shape) -> usize {
    x.dims().last().copied().unwrap_or(1)
}

/// Means and population variances of the last dimension: `[2, channels]`, always f32.
pub(super) struct ColumnMoments;

impl Kernel<1> for ColumnMoments {
    const NAME: &'static str = "column-moments";

    fn shape(&self, [x]: [&Shape; 1]) -> Result<Shape> {
        Ok((2, channels(x)).into())
    }

    fn on_cpu(&self, [x]: [Values<'_>; 1]) -> Result<Vec<f32>> {
        let statistics = Statistics::of(x.values, channels(x.shape), 0.0);
        Ok([statistics.mean, statistics.variance].concat())
    }

    fn on_card(&self, [x]: [Operand<'_>; 1]) -> Result<CudaStorage> {
        cuda::moments(x, channels(x.shape()))
    }
}

/// Of `x` and `[4, channels]`: gamma, beta, mean, variance.
#[derive(Clone, Copy)]
pub(super) struct Normalise {
    pub(super) eps: f32,
    pub(super) activation: Activation,
    /// Whether the statistics are those of `x` and move with it.
    pub(super) of_batch: bool,
}

impl Normalise {
    fn parts<'a>(&self, norm: &'a [f32]) -> ([&'a [f32]; 2], Statistics) {
        let (affine, statistics) = norm.split_at(norm.len() / 2);
        let (mean, variance) = statistics.split_at(norm.len() / 4);
        (affine.split_at(norm.len() / 4).into(), Statistics::new(mean.into(), variance.into(), self.eps))
    }

    fn epilogue<'a>(&self, norm: Operand<'a>) -> cuda::Epilogue<'a> {
        cuda::Epilogue { norm, eps: self.eps, activation: self.activation }
    }
}

impl Kernel<2> for Normalise {
    const NAME: &'static str = "batch-norm-activation";

    fn shape(&self, [x, _]: [&Shape; 2]) -> Result<Shape> {
        Ok(x.clone())
    }

    fn on_cpu(&self, [x, norm]: [Values<'_>; 2]) -> Result<Vec<f32>> {
        let ([gamma, beta], statistics) = self.parts(norm.values);
        Ok(batch_norm::forward(x.values, gamma, beta, &statistics, self.activation))
    }

    fn on_card(&self, [x, norm]: [Operand<'_>; 2]) -> Result<CudaStorage> {
        cuda::normalise(x, self.epilogue(norm))
    }

    fn gradients(&self, [x, norm]: [&Tensor; 2], dy: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let gradients = x.apply_op3_no_bwd(norm, dy, &Operation(NormaliseGradients(*self)))?;
        let (count, channels) = (x.elem_count(), norm.dim(1)?);
        let dx = gradients.narrow(0, 0, count)?.reshape(x.shape())?;
        let affine = gradients.narrow(0, count, 2 * channels)?.reshape((2, channels))?;
        Ok([Some(dx), Some(Tensor::cat(&[&affine, &affine.zeros_like()?], 0)?)])
    }
}

/// Gradients of [`Normalise`] with respect to x, gamma and beta, in one row, since an operation gives one tensor.
struct NormaliseGradients(Normalise);

impl Kernel<3> for NormaliseGradients {
    const NAME: &'static str = "batch-norm-activation-gradients";

    fn shape(&self, [x, norm, _]: [&Shape; 3]) -> Result<Shape> {
        Ok((x.elem_count() + norm.elem_count() / 2).into())
    }

    fn on_cpu(&self, [x, norm, dy]: [Values<'_>; 3]) -> Result<Vec<f32>> {
        let Normalise { activation, of_batch, .. } = self.0;
        let ([gamma, beta], statistics) = self.0.parts(norm.values);
        let gradients = batch_norm::backward(x.values, dy.values, gamma, beta, &statistics, activation, of_batch);
        Ok([gradients.x, gradients.gamma, gradients.beta].concat())
    }

    fn on_card(&self, [x, norm, dy]: [Operand<'_>; 3]) -> Result<CudaStorage> {
        cuda::normalise_gradients(x, dy, self.0.epilogue(norm), self.0.of_batch)
    }
}

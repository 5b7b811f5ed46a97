//! The twin of `card/` in a program built without the feature `cuda`: the same functions, each of which refuses.

use candle_core::{CudaStorage, Device, Error, Result};

use super::{Epilogue, Finish, Operand, Pooling};
use crate::kernels::Window;
use crate::kernels::train::update::{Adam, Sgd};

/// Whether this program can use a card.
pub const BUILT: bool = false;

fn refused<T>() -> Result<T> {
    Err(Error::NotCompiledWithCudaSupport)
}

/// A card.
///
/// # Errors
/// Always.
pub fn open(_ordinal: usize) -> Result<Device> {
    refused()
}

/// [`crate::kernels::train::depthwise::forward`].
///
/// # Errors
/// Always.
pub fn depthwise(_x: Operand<'_>, _weights: Operand<'_>, _channels: usize, _window: &Window) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::folded::depthwise`].
///
/// # Errors
/// Always.
pub fn depthwise_bias(
    _x: Operand<'_>,
    _weights: Operand<'_>,
    _finish: Finish<'_>,
    _window: &Window,
) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::folded::finish`].
///
/// # Errors
/// Always.
pub fn finish(_x: Operand<'_>, _finish: Finish<'_>, _shortcut: Option<Operand<'_>>) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::folded::gate`].
///
/// # Errors
/// Always.
pub fn gate(_x: Operand<'_>, _logits: Operand<'_>, _bias: Operand<'_>, _pixels: usize) -> Result<CudaStorage> {
    refused()
}

/// [`Adam::remember`].
///
/// # Errors
/// Always.
pub fn adam_state(_state: Operand<'_>, _gradient: Operand<'_>, _values: Operand<'_>, _adam: &Adam) -> Result<()> {
    refused()
}

/// [`Adam::step`].
///
/// # Errors
/// Always.
pub fn adam_step(_values: Operand<'_>, _state: Operand<'_>, _adam: &Adam) -> Result<()> {
    refused()
}

/// [`Sgd::remember`].
///
/// # Errors
/// Always.
pub fn sgd_state(_velocity: Operand<'_>, _gradient: Operand<'_>, _values: Operand<'_>, _sgd: &Sgd) -> Result<()> {
    refused()
}

/// [`Sgd::step`].
///
/// # Errors
/// Always.
pub fn sgd_step(_values: Operand<'_>, _gradient: Operand<'_>, _velocity: Operand<'_>, _sgd: &Sgd) -> Result<()> {
    refused()
}

/// [`crate::kernels::train::update::blend`].
///
/// # Errors
/// Always.
pub fn blend(_values: Operand<'_>, _others: Operand<'_>, _shares: &[f32; 2]) -> Result<()> {
    refused()
}

/// [`crate::kernels::train::depthwise::input_gradient`].
///
/// # Errors
/// Always.
pub fn depthwise_input(
    _dy: Operand<'_>,
    _weights: Operand<'_>,
    _channels: usize,
    _window: &Window,
) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::train::depthwise::weight_gradient`].
///
/// # Errors
/// Always.
pub fn depthwise_weights(_x: Operand<'_>, _dy: Operand<'_>, _channels: usize, _window: &Window) -> Result<CudaStorage> {
    refused()
}

/// Means and population variances of the columns of `x`, `[rows, channels]`: `[2, channels]` of f32.
///
/// # Errors
/// Always.
pub fn moments(_x: Operand<'_>, _channels: usize) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::train::batch_norm::forward`].
///
/// # Errors
/// Always.
pub fn normalise(_x: Operand<'_>, _epilogue: Epilogue<'_>) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::train::batch_norm::backward`]: the gradients of `x`, of gamma and of beta, one after the other.
///
/// # Errors
/// Always.
pub fn normalise_gradients(
    _x: Operand<'_>,
    _dy: Operand<'_>,
    _epilogue: Epilogue<'_>,
    _of_batch: bool,
) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::train::patches::gather`].
///
/// # Errors
/// Always.
pub fn patches(_x: Operand<'_>, _channels: usize, _window: &Window) -> Result<CudaStorage> {
    refused()
}

/// One of [`Pooling`], over `[pixels, channels]`.
///
/// # Errors
/// Always.
pub fn pool(_pooling: Pooling, _values: Operand<'_>, _size: [usize; 2]) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::train::pool::scale`], over `[pixels, channels]`.
///
/// # Errors
/// Always.
pub fn scale(_x: Operand<'_>, _factors: Operand<'_>, _size: [usize; 2]) -> Result<CudaStorage> {
    refused()
}

/// [`crate::kernels::train::pool::scale_gradient`], over `[pixels, channels]`.
///
/// # Errors
/// Always.
pub fn scale_gradient(_x: Operand<'_>, _dy: Operand<'_>, _size: [usize; 2]) -> Result<CudaStorage> {
    refused()
}

/// Copies values to a card.
#[derive(Default)]
pub struct Uploader;

impl Uploader {
    /// `values` on the card of `beside`, with the count of what lies there.
    ///
    /// # Errors
    /// Always.
    pub fn upload(&self, _beside: &CudaStorage, _values: &[f32]) -> Result<(CudaStorage, usize)> {
        refused()
    }
}

/// Launches recorded once and repeated as one.
pub struct Recording;

impl Recording {
    /// Records what `f` launches.
    ///
    /// # Errors
    /// Always.
    pub fn of(_device: &Device, _f: impl Fn() -> Result<()>) -> Result<Self> {
        refused()
    }

    /// Repeats it.
    ///
    /// # Errors
    /// Always.
    pub fn launch(&self) -> Result<()> {
        refused()
    }
}

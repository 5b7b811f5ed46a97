//! The kernels on a card, for whichever type the tensors have.

mod launches;
mod upload;

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::cudarc::driver::CudaView;
use candle_core::{CudaStorage, DType, Result, bail};

use self::launches::{Element, EpilogueView};
pub use self::upload::Uploader;
use super::{Epilogue, Operand, Pooling};
use crate::kernels::Window;

/// Whether this program can use a card.
pub const BUILT: bool = true;

/// A kernel's result for the type that `$x` holds, which is `$T` inside.
macro_rules! by_type {
    ($x:expr, $T:ident => $result:expr) => {{
        let device = $x.storage.device().clone();
        match $x.storage.dtype() {
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

fn view<'a, T: Element>(operand: Operand<'a>) -> Result<CudaView<'a, T>> {
    let Some((start, end)) = operand.layout.contiguous_offsets() else {
        bail!("expected a contiguous tensor, got strides {:?}", operand.layout.stride());
    };
    Ok(operand.storage.as_cuda_slice::<T>()?.slice(start..end))
}

/// [`crate::kernels::train::depthwise::forward`], with what follows it where `epilogue` is given.
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn depthwise(
    x: Operand<'_>,
    weights: Operand<'_>,
    epilogue: Option<Epilogue<'_>>,
    channels: usize,
    window: &Window,
) -> Result<CudaStorage> {
    let device = x.storage.device();
    Ok(match epilogue {
        None => by_type!(x, T => {
            launches::depthwise::<T>(device, &view(x)?, &view(weights)?, None, channels, window)
        }),
        Some(Epilogue { norm, eps, activation }) => {
            let norm = view(norm)?;
            let epilogue = Some(EpilogueView { norm: &norm, eps, activation });
            by_type!(x, T => launches::depthwise::<T>(device, &view(x)?, &view(weights)?, epilogue, channels, window))
        }
    })
}

/// [`crate::kernels::train::depthwise::input_gradient`].
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn depthwise_input(dy: Operand<'_>, weights: Operand<'_>, channels: usize, window: &Window) -> Result<CudaStorage> {
    let device = dy.storage.device();
    Ok(by_type!(dy, T => launches::depthwise_input::<T>(device, &view(dy)?, &view(weights)?, channels, window)))
}

/// [`crate::kernels::train::depthwise::weight_gradient`].
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn depthwise_weights(x: Operand<'_>, dy: Operand<'_>, channels: usize, window: &Window) -> Result<CudaStorage> {
    let device = x.storage.device();
    Ok(by_type!(x, T => launches::depthwise_weights::<T>(device, &view(x)?, &view(dy)?, channels, window)))
}

/// Means and population variances of the columns of `x`, `[rows, channels]`: `[2, channels]` of f32.
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn moments(x: Operand<'_>, channels: usize) -> Result<CudaStorage> {
    let device = x.storage.device();
    Ok(by_type!(x, T => launches::moments::<T>(device, &view(x)?, channels)))
}

/// [`crate::kernels::train::batch_norm::forward`].
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn normalise(x: Operand<'_>, Epilogue { norm, eps, activation }: Epilogue<'_>) -> Result<CudaStorage> {
    let (device, norm) = (x.storage.device(), view(norm)?);
    let epilogue = EpilogueView { norm: &norm, eps, activation };
    Ok(by_type!(x, T => launches::normalise::<T>(device, &view(x)?, epilogue)))
}

/// [`crate::kernels::train::batch_norm::backward`] in f32: the gradients of `x`, of gamma and of beta, one after the other.
///
/// # Errors
/// If the tensors are not f32 or the device fails.
pub fn normalise_gradients(
    x: Operand<'_>,
    dy: Operand<'_>,
    Epilogue { norm, eps, activation }: Epilogue<'_>,
    of_batch: bool,
) -> Result<CudaStorage> {
    let (device, norm) = (x.storage.device(), view(norm)?);
    let epilogue = EpilogueView { norm: &norm, eps, activation };
    let row = launches::normalise_gradients(device, &view(x)?, &view(dy)?, epilogue, of_batch)?;
    Ok(CudaStorage::wrap_cuda_slice(row, device.clone()))
}

/// [`crate::kernels::train::patches::gather`].
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn patches(x: Operand<'_>, channels: usize, window: &Window) -> Result<CudaStorage> {
    let device = x.storage.device();
    Ok(by_type!(x, T => launches::patches::<T>(device, &view(x)?, channels, window)))
}

/// One of [`Pooling`], over `[pixels, channels]`.
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn pool(pooling: Pooling, values: Operand<'_>, size: [usize; 2]) -> Result<CudaStorage> {
    let device = values.storage.device();
    Ok(by_type!(values, T => launches::pool::<T>(device, pooling, &view(values)?, size)))
}

/// [`crate::kernels::train::pool::scale`], over `[pixels, channels]`.
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn scale(x: Operand<'_>, factors: Operand<'_>, size: [usize; 2]) -> Result<CudaStorage> {
    let device = x.storage.device();
    Ok(by_type!(x, T => launches::scale::<T>(device, &view(x)?, &view(factors)?, size)))
}

/// [`crate::kernels::train::pool::scale_gradient`], over `[pixels, channels]`.
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn scale_gradient(x: Operand<'_>, dy: Operand<'_>, size: [usize; 2]) -> Result<CudaStorage> {
    let device = x.storage.device();
    Ok(by_type!(x, T => launches::scale_gradient::<T>(device, &view(x)?, &view(dy)?, size)))
}

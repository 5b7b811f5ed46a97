//! The kernels on a card, for whichever type the tensors have.

mod launches;
mod recording;
mod upload;

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::WrapErr as _;
use candle_core::cuda_backend::cudarc::cublas::sys::{cublasMath_t, cublasSetMathMode};
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute;
use candle_core::cuda_backend::cudarc::driver::{CudaView, result as driver};
use candle_core::{CudaStorage, DType, Device, Error, Result, bail};

use self::launches::{Element, EpilogueView, FinishView};
pub use self::recording::Recording;
pub use self::upload::Uploader;
use super::{Epilogue, Finish, Operand, Pooling};
use crate::kernels::Window;
use crate::kernels::launch::GROUP;
use crate::kernels::train::update::{Adam, Sgd};

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

/// As [`view`], for kernels that read [`GROUP`] values at once.
fn grouped<'a, T: Element>(operand: Operand<'a>) -> Result<CudaView<'a, T>> {
    let start = operand.layout.start_offset();
    if !start.is_multiple_of(GROUP) {
        bail!("expected a tensor that begins at a multiple of {GROUP} elements, not at {start}");
    }
    view(operand)
}

/// A card, all of whose work goes into one stream, in the order in which it is asked for, from whatever thread. candle's own
/// has a stream a thread, between which nothing would wait.
///
/// # Errors
/// If there is none or it cannot be used.
pub fn open(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    let card = device.as_cuda_device()?;
    let mut keep_all = u64::MAX;
    // SAFETY: nothing is ever used in another stream, between which the events would be waited for; the handle and the pool are
    // the device's own, and the attribute is a 64-bit number (CUDA driver API, cuMemPoolSetAttribute).
    #[expect(unsafe_code, reason = "settings that cudarc has no safe form of")]
    unsafe {
        card.disable_event_tracking();
        // Partial sums of half-precision products stay in f32.
        let exact = cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        cublasSetMathMode(*card.cublas_handle().handle(), exact).result().map_err(Error::wrap)?;
        // What is freed is kept for the next step, not handed back whenever somebody waits.
        let pool = driver::device::get_default_mem_pool(card.cuda_stream().context().cu_device()).w()?;
        let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        driver::mem_pool::set_attribute(pool, threshold, (&raw mut keep_all).cast()).w()?;
    }
    Ok(device)
}

/// [`crate::kernels::train::depthwise::forward`].
///
/// # Errors
/// If the type has no kernel or the device fails.
pub fn depthwise(x: Operand<'_>, weights: Operand<'_>, channels: usize, window: &Window) -> Result<CudaStorage> {
    let device = x.storage.device();
    Ok(by_type!(x, T => launches::depthwise::<T>(device, &view(x)?, &view(weights)?, channels, window)))
}

/// [`crate::kernels::folded::depthwise`].
///
/// # Errors
/// If the type has no kernel, the channels are no multiple of [`GROUP`], or the device fails.
pub fn depthwise_bias(
    x: Operand<'_>,
    weights: Operand<'_>,
    Finish { bias, activation }: Finish<'_>,
    window: &Window,
) -> Result<CudaStorage> {
    let (device, bias) = (x.storage.device(), view(bias)?);
    let finish = FinishView { bias: &bias, activation };
    Ok(by_type!(x, T => launches::depthwise_bias::<T>(device, &grouped(x)?, &grouped(weights)?, finish, window)))
}

/// [`crate::kernels::folded::finish`].
///
/// # Errors
/// As [`depthwise_bias`].
pub fn finish(
    x: Operand<'_>,
    Finish { bias, activation }: Finish<'_>,
    shortcut: Option<Operand<'_>>,
) -> Result<CudaStorage> {
    let (device, bias) = (x.storage.device(), view(bias)?);
    let finish = FinishView { bias: &bias, activation };
    Ok(by_type!(x, T => {
        let shortcut = shortcut.map(grouped).transpose()?;
        launches::finish::<T>(device, &grouped(x)?, finish, shortcut.as_ref())
    }))
}

/// [`crate::kernels::folded::gate`].
///
/// # Errors
/// As [`depthwise_bias`].
pub fn gate(x: Operand<'_>, logits: Operand<'_>, bias: Operand<'_>, pixels: usize) -> Result<CudaStorage> {
    let (device, bias) = (x.storage.device(), view(bias)?);
    Ok(by_type!(x, T => launches::gate::<T>(device, &grouped(x)?, &grouped(logits)?, &bias, pixels)))
}

/// [`Adam::remember`].
///
/// # Errors
/// If the tensors are not f32 or the device fails.
pub fn adam_state(state: Operand<'_>, gradient: Operand<'_>, values: Operand<'_>, adam: &Adam) -> Result<()> {
    launches::adam_state(state.storage.device(), &view(state)?, &view(gradient)?, &view(values)?, adam)
}

/// [`Adam::step`].
///
/// # Errors
/// As [`adam_state`].
pub fn adam_step(values: Operand<'_>, state: Operand<'_>, adam: &Adam) -> Result<()> {
    launches::adam_step(state.storage.device(), &view(values)?, &view(state)?, adam)
}

/// [`Sgd::remember`].
///
/// # Errors
/// As [`adam_state`].
pub fn sgd_state(velocity: Operand<'_>, gradient: Operand<'_>, values: Operand<'_>, sgd: &Sgd) -> Result<()> {
    launches::sgd_state(values.storage.device(), &view(velocity)?, &view(gradient)?, &view(values)?, sgd)
}

/// [`Sgd::step`].
///
/// # Errors
/// As [`adam_state`].
pub fn sgd_step(values: Operand<'_>, gradient: Operand<'_>, velocity: Operand<'_>, sgd: &Sgd) -> Result<()> {
    launches::sgd_step(values.storage.device(), &view(values)?, &view(gradient)?, &view(velocity)?, sgd)
}

/// [`crate::kernels::train::update::blend`].
///
/// # Errors
/// As [`adam_state`].
pub fn blend(values: Operand<'_>, others: Operand<'_>, shares: &[f32; 2]) -> Result<()> {
    launches::blend(values.storage.device(), &view(values)?, &view(others)?, shares)
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

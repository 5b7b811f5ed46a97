//! Launches the kernels, for values of one type. Launches go into the device's stream and do not wait.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg as _};
use candle_core::cuda_backend::{CudaDType, WrapErr as _};
use candle_core::{CudaDevice, Result, bail};

use super::super::Pooling;
use crate::kernels::launch::{self, LaunchGrid};
use crate::kernels::{Activation, Window};

const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));
/// Under this name candle keeps the loaded kernels.
const MODULE: &str = "annotate";

/// A type the kernels exist for.
pub(super) trait Element: CudaDType + DeviceRepr {
    /// How the names of its kernels end.
    const SUFFIX: &'static str;
}

impl Element for f32 {
    const SUFFIX: &'static str = "f32";
}

impl Element for half::f16 {
    const SUFFIX: &'static str = "f16";
}

impl Element for half::bf16 {
    const SUFFIX: &'static str = "bf16";
}

/// `Window` of kernels.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct KernelWindow([u32; 9]);

// SAFETY: nine 32-bit integers in a row, as the kernels' struct is.
#[expect(unsafe_code, reason = "a launch hands raw pointers to the card")]
unsafe impl DeviceRepr for KernelWindow {}

impl KernelWindow {
    fn new(window: &Window, channels: usize) -> Result<Self> {
        let [top, left] = [window.top(), window.left()];
        let numbers = [
            window.height,
            window.width,
            window.out_height(),
            window.out_width(),
            channels,
            window.kernel,
            window.stride,
            top,
            left,
        ];
        let mut narrow = [0; 9];
        for (narrow, number) in narrow.iter_mut().zip(numbers) {
            *narrow = index(number)?;
        }
        Ok(Self(narrow))
    }
}

/// As the kernels count.
fn index(number: usize) -> Result<u32> {
    match i32::try_from(number) {
        Ok(number) => Ok(number.unsigned_abs()),
        Err(_) => bail!("{number} elements are more than a CUDA kernel here counts; use a smaller batch"),
    }
}

fn config(grid: LaunchGrid) -> LaunchConfig {
    LaunchConfig { grid_dim: grid.blocks, block_dim: grid.threads, shared_mem_bytes: 0 }
}

/// Runs a kernel; the arguments are addresses, in the kernel's order.
macro_rules! launch {
    ($device:expr, $name:expr, $grid:expr, $($argument:expr),+) => {{
        let function = $device.get_or_load_custom_func($name, MODULE, PTX)?;
        let mut builder = function.builder();
        $(builder.arg(&$argument);)+
        // SAFETY: the arguments are those of the kernel, which keeps inside the counts it is given; the functions here
        // compute the counts from the lengths of the tensors.
        #[expect(unsafe_code, reason = "a launch hands raw pointers to the card")]
        unsafe { builder.launch(config($grid)) }.w()?;
    }};
}

pub(super) fn uninitialised<T: DeviceRepr>(device: &CudaDevice, count: usize) -> Result<CudaSlice<T>> {
    // SAFETY: each kernel writes every element of its result.
    #[expect(unsafe_code, reason = "a launch hands raw pointers to the card")]
    unsafe {
        device.alloc(count)
    }
}

fn name<T: Element>(kernel: &str) -> String {
    format!("{kernel}_{}", T::SUFFIX)
}

/// Normalisation and activation: `norm` is `[4, channels]`, gamma, beta, mean and variance.
#[derive(Clone, Copy)]
pub(super) struct EpilogueView<'a> {
    /// The four rows.
    pub(super) norm: &'a CudaView<'a, f32>,
    /// Added to the variance.
    pub(super) eps: f32,
    /// What comes last.
    pub(super) activation: Activation,
}

/// [`crate::kernels::train::depthwise::forward`], with what follows it where `epilogue` is given.
pub(super) fn depthwise<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    weights: &CudaView<'_, T>,
    epilogue: Option<EpilogueView<'_>>,
    channels: usize,
    window: &Window,
) -> Result<CudaSlice<T>> {
    let size = launch::images(x.len(), channels, window) * window.out_height() * window.out_width() * channels;
    let (count, w) = (index(size)?, KernelWindow::new(window, channels)?);
    index(x.len())?;
    let y = uninitialised::<T>(device, size)?;
    match epilogue {
        None => {
            launch!(device, &name::<T>("depthwise"), launch::elements(count), count, w, *x, *weights, y);
        }
        Some(EpilogueView { norm, eps, activation }) => {
            let (kernel, kind) = (name::<T>("depthwise_normalise"), activation.number());
            launch!(device, &kernel, launch::elements(count), count, w, *x, *weights, *norm, eps, kind, y);
        }
    }
    Ok(y)
}

/// [`crate::kernels::train::depthwise::input_gradient`].
pub(super) fn depthwise_input<T: Element>(
    device: &CudaDevice,
    dy: &CudaView<'_, T>,
    weights: &CudaView<'_, T>,
    channels: usize,
    window: &Window,
) -> Result<CudaSlice<T>> {
    let images = dy.len() / (window.out_height() * window.out_width() * channels);
    let size = images * window.height * window.width * channels;
    let (count, w) = (index(size)?, KernelWindow::new(window, channels)?);
    let dx = uninitialised::<T>(device, size)?;
    launch!(device, &name::<T>("depthwise_input"), launch::elements(count), count, w, *dy, *weights, dx);
    Ok(dx)
}

/// [`crate::kernels::train::depthwise::weight_gradient`].
pub(super) fn depthwise_weights<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    dy: &CudaView<'_, T>,
    channels: usize,
    window: &Window,
) -> Result<CudaSlice<T>> {
    index(x.len())?;
    let (pixels, w) = (index(dy.len() / channels)?, KernelWindow::new(window, channels)?);
    let taps = window.kernel * window.kernel;
    let grid = launch::columns(channels, taps, pixels);
    let pieces = grid.blocks.2;
    let partial = uninitialised::<f32>(device, pieces as usize * taps * channels)?;
    launch!(device, &name::<T>("depthwise_weights"), grid, pixels, w, *x, *dy, partial);
    sum_pieces(device, &partial, taps * channels, pieces)
}

fn sum_pieces<T: Element>(
    device: &CudaDevice,
    partial: &CudaSlice<f32>,
    size: usize,
    pieces: u32,
) -> Result<CudaSlice<T>> {
    let (count, total) = (index(size)?, uninitialised::<T>(device, size)?);
    launch!(device, &name::<T>("sum_pieces"), launch::elements(count), count, pieces, *partial, total);
    Ok(total)
}

/// Means and population variances of the columns of `x`, `[rows, channels]`: `[2, channels]`.
pub(super) fn moments<T: Element>(device: &CudaDevice, x: &CudaView<'_, T>, columns: usize) -> Result<CudaSlice<f32>> {
    index(x.len())?;
    let (rows, channels) = (index(x.len() / columns)?, index(columns)?);
    let grid = launch::column_pieces(columns, rows);
    let pieces = grid.blocks.1;
    let partial = uninitialised::<f32>(device, pieces as usize * 2 * columns)?;
    launch!(device, &name::<T>("column_sums"), grid, rows, channels, *x, partial);
    let moments = uninitialised::<f32>(device, 2 * columns)?;
    launch!(device, "moments", launch::elements(channels), channels, pieces, rows, partial, moments);
    Ok(moments)
}

/// [`crate::kernels::train::batch_norm::forward`].
pub(super) fn normalise<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    epilogue: EpilogueView<'_>,
) -> Result<CudaSlice<T>> {
    let EpilogueView { norm, eps, activation } = epilogue;
    let (count, channels, kind) = (index(x.len())?, index(norm.len() / 4)?, activation.number());
    let y = uninitialised::<T>(device, x.len())?;
    launch!(device, &name::<T>("normalise"), launch::elements(count), count, channels, *x, *norm, eps, kind, y);
    Ok(y)
}

/// [`crate::kernels::train::batch_norm::backward`] in f32: the gradients of `x`, of gamma and of beta, one after the other.
pub(super) fn normalise_gradients(
    device: &CudaDevice,
    x: &CudaView<'_, f32>,
    dy: &CudaView<'_, f32>,
    epilogue: EpilogueView<'_>,
    of_batch: bool,
) -> Result<CudaSlice<f32>> {
    let EpilogueView { norm, eps, activation } = epilogue;
    let columns = norm.len() / 4;
    let (count, channels, kind) = (index(x.len())?, index(columns)?, activation.number());
    let rows = index(x.len() / columns)?;
    let grid = launch::column_pieces(columns, rows);
    let pieces = grid.blocks.1;
    let partial = uninitialised::<f32>(device, pieces as usize * 2 * columns)?;
    launch!(device, "norm_sums_f32", grid, rows, channels, *x, *dy, *norm, eps, kind, partial);
    let sums = sum_pieces::<f32>(device, &partial, 2 * columns, pieces)?;
    let mut gradients = uninitialised::<f32>(device, x.len() + 2 * columns)?;
    device.memcpy_dtod(&sums, &mut gradients.slice_mut(x.len()..))?;
    let share = if of_batch { 1.0 / rows as f32 } else { 0.0 };
    let grid = launch::elements(count);
    launch!(device, "norm_input_f32", grid, count, channels, *x, *dy, *norm, sums, share, eps, kind, gradients);
    Ok(gradients)
}

/// [`crate::kernels::train::patches::gather`].
pub(super) fn patches<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    channels: usize,
    window: &Window,
) -> Result<CudaSlice<T>> {
    let pixels = launch::images(x.len(), channels, window) * window.out_height() * window.out_width();
    let size = pixels * window.kernel * window.kernel * channels;
    let (count, w) = (index(size)?, KernelWindow::new(window, channels)?);
    let rows = uninitialised::<T>(device, size)?;
    launch!(device, &name::<T>("patches"), launch::elements(count), count, w, *x, rows);
    Ok(rows)
}

/// One of [`Pooling`].
pub(super) fn pool<T: Element>(
    device: &CudaDevice,
    pooling: Pooling,
    values: &CudaView<'_, T>,
    [pixels, columns]: [usize; 2],
) -> Result<CudaSlice<T>> {
    let (kernel, size) = match pooling {
        Pooling::Mean => ("mean", values.len() / pixels),
        Pooling::MeanGradient => ("mean_input", values.len() * pixels),
    };
    index(values.len())?;
    let (count, pixels, channels) = (index(size)?, index(pixels)?, index(columns)?);
    let result = uninitialised::<T>(device, size)?;
    launch!(device, &name::<T>(kernel), launch::elements(count), count, pixels, channels, *values, result);
    Ok(result)
}

/// [`crate::kernels::train::pool::scale`].
pub(super) fn scale<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    factors: &CudaView<'_, T>,
    [pixels, columns]: [usize; 2],
) -> Result<CudaSlice<T>> {
    let (count, pixels, channels) = (index(x.len())?, index(pixels)?, index(columns)?);
    let y = uninitialised::<T>(device, x.len())?;
    launch!(device, &name::<T>("scale"), launch::elements(count), count, pixels, channels, *x, *factors, y);
    Ok(y)
}

/// [`crate::kernels::train::pool::scale_gradient`].
pub(super) fn scale_gradient<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    dy: &CudaView<'_, T>,
    [pixels, columns]: [usize; 2],
) -> Result<CudaSlice<T>> {
    index(x.len())?;
    let (size, channels) = (x.len() / pixels, index(columns)?);
    let (count, pixels) = (index(size)?, index(pixels)?);
    let gradient = uninitialised::<T>(device, size)?;
    launch!(device, &name::<T>("scale_factors"), launch::elements(count), count, pixels, channels, *x, *dy, gradient);
    Ok(gradient)
}

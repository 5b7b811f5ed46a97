//! Launches the kernels, for values of one type. Launches go into the device's stream and do not wait.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg as _};
use candle_core::cuda_backend::{CudaDType, WrapErr as _};
use candle_core::{CudaDevice, Result, bail};

use super::super::Pooling;
use crate::kernels::launch::{self, GROUP, LaunchGrid};
use crate::kernels::train::update::{Adam, Sgd};
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

/// [`crate::kernels::train::depthwise::forward`].
pub(super) fn depthwise<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    weights: &CudaView<'_, T>,
    channels: usize,
    window: &Window,
) -> Result<CudaSlice<T>> {
    let size = launch::images(x.len(), channels, window) * window.out_height() * window.out_width() * channels;
    let (count, w) = (index(size)?, KernelWindow::new(window, channels)?);
    index(x.len())?;
    let y = uninitialised::<T>(device, size)?;
    launch!(device, &name::<T>("depthwise"), launch::elements(count), count, w, *x, *weights, y);
    Ok(y)
}

/// Bias, and what comes after it.
#[derive(Clone, Copy)]
pub(super) struct FinishView<'a> {
    /// `[channels]`.
    pub(super) bias: &'a CudaView<'a, f32>,
    /// What comes last.
    pub(super) activation: Activation,
}

/// How many groups of channels there are in `size` values, and `channels`.
fn groups(size: usize, channels: usize) -> Result<(u32, u32)> {
    if !channels.is_multiple_of(GROUP) {
        bail!("{channels} channels are no multiple of {GROUP}");
    }
    index(size)?;
    Ok((index(size / GROUP)?, index(channels)?))
}

/// Refuses tensors of other lengths than a kernel goes through.
fn expect(found: [usize; 2], expected: [usize; 2]) -> Result<()> {
    if found != expected {
        bail!("a kernel for tensors of {expected:?} values met some of {found:?}");
    }
    Ok(())
}

/// [`crate::kernels::folded::depthwise`].
pub(super) fn depthwise_bias<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    weights: &CudaView<'_, T>,
    FinishView { bias, activation }: FinishView<'_>,
    window: &Window,
) -> Result<CudaSlice<T>> {
    let channels = bias.len();
    let size = launch::images(x.len(), channels, window) * window.out_height() * window.out_width() * channels;
    let ((count, _), w, kind) = (groups(size, channels)?, KernelWindow::new(window, channels)?, activation.number());
    index(x.len())?;
    expect([weights.len(), x.len() % channels], [window.kernel * window.kernel * channels, 0])?;
    let y = uninitialised::<T>(device, size)?;
    launch!(device, &name::<T>("depthwise_bias"), launch::elements(count), count, w, *x, *weights, *bias, kind, y);
    Ok(y)
}

/// [`crate::kernels::folded::finish`].
pub(super) fn finish<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    FinishView { bias, activation }: FinishView<'_>,
    shortcut: Option<&CudaView<'_, T>>,
) -> Result<CudaSlice<T>> {
    let ((count, channels), kind) = (groups(x.len(), bias.len())?, activation.number());
    let (y, grid) = (uninitialised::<T>(device, x.len())?, launch::elements(count));
    expect([shortcut.map_or(x.len(), CudaView::len), x.len() % bias.len()], [x.len(), 0])?;
    match shortcut {
        None => launch!(device, &name::<T>("finish"), grid, count, channels, *x, *bias, kind, y),
        Some(shortcut) => {
            launch!(device, &name::<T>("finish_and_add"), grid, count, channels, *x, *bias, kind, *shortcut, y);
        }
    }
    Ok(y)
}

/// [`crate::kernels::folded::gate`].
pub(super) fn gate<T: Element>(
    device: &CudaDevice,
    x: &CudaView<'_, T>,
    logits: &CudaView<'_, T>,
    bias: &CudaView<'_, f32>,
    pixels: usize,
) -> Result<CudaSlice<T>> {
    expect([logits.len() * pixels, x.len() % (pixels * bias.len())], [x.len(), 0])?;
    let ((count, channels), pixels) = (groups(x.len(), bias.len())?, index(pixels)?);
    let y = uninitialised::<T>(device, x.len())?;
    launch!(device, &name::<T>("gate"), launch::elements(count), count, pixels, channels, *x, *logits, *bias, y);
    Ok(y)
}

/// [`Adam::remember`].
pub(super) fn adam_state(
    device: &CudaDevice,
    state: &CudaView<'_, f32>,
    gradient: &CudaView<'_, f32>,
    values: &CudaView<'_, f32>,
    Adam { betas: [b1, b2], decay, .. }: &Adam,
) -> Result<()> {
    let count = index(values.len())?;
    launch!(device, "adam_state", launch::elements(count), count, *gradient, *values, *b1, *b2, *decay, *state);
    Ok(())
}

/// [`Adam::step`].
pub(super) fn adam_step(
    device: &CudaDevice,
    values: &CudaView<'_, f32>,
    state: &CudaView<'_, f32>,
    Adam { rate, second_correction, eps, keep, .. }: &Adam,
) -> Result<()> {
    let count = index(values.len())?;
    let grid = launch::elements(count);
    launch!(device, "adam_step", grid, count, *state, *rate, *second_correction, *eps, *keep, *values);
    Ok(())
}

/// [`Sgd::remember`].
pub(super) fn sgd_state(
    device: &CudaDevice,
    velocity: &CudaView<'_, f32>,
    gradient: &CudaView<'_, f32>,
    values: &CudaView<'_, f32>,
    Sgd { momentum, decay, .. }: &Sgd,
) -> Result<()> {
    let count = index(values.len())?;
    launch!(device, "sgd_state", launch::elements(count), count, *gradient, *values, *momentum, *decay, *velocity);
    Ok(())
}

/// [`Sgd::step`].
pub(super) fn sgd_step(
    device: &CudaDevice,
    values: &CudaView<'_, f32>,
    gradient: &CudaView<'_, f32>,
    velocity: &CudaView<'_, f32>,
    sgd: &Sgd,
) -> Result<()> {
    let (count, [of_gradient, of_velocity]) = (index(values.len())?, sgd.shares());
    let (grid, Sgd { rate, decay, .. }) = (launch::elements(count), sgd);
    launch!(device, "sgd_step", grid, count, *gradient, *velocity, *rate, of_gradient, of_velocity, *decay, *values);
    Ok(())
}

/// [`crate::kernels::train::update::blend`].
pub(super) fn blend(
    device: &CudaDevice,
    values: &CudaView<'_, f32>,
    others: &CudaView<'_, f32>,
    [of_values, of_others]: &[f32; 2],
) -> Result<()> {
    let count = index(values.len())?;
    expect([others.len(), 0], [values.len(), 0])?;
    launch!(device, "blend", launch::elements(count), count, *others, *of_values, *of_others, *values);
    Ok(())
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
    let size = match pooling {
        Pooling::Mean => values.len() / pixels,
        Pooling::MeanGradient => values.len() * pixels,
    };
    index(values.len())?;
    let (count, pixels, channels) = (index(size)?, index(pixels)?, index(columns)?);
    let result = uninitialised::<T>(device, size)?;
    match pooling {
        Pooling::Mean => {
            let grid = launch::image_columns(columns, count / channels);
            launch!(device, &name::<T>("mean"), grid, pixels, channels, *values, result);
        }
        Pooling::MeanGradient => {
            let grid = launch::elements(count);
            launch!(device, &name::<T>("mean_input"), grid, count, pixels, channels, *values, result);
        }
    }
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

//! The kernels of `kernels.cu` on a card, in a program built with the feature `cuda`; without it, twins that refuse.
//!
//! Tensors are contiguous and on one card, in the layouts of the plain functions in the folder above, and hold fewer than
//! 2^31 elements. This is the only place that asks for the feature: `card/` and `no_card.rs` have the same functions.

#[cfg_attr(feature = "cuda", path = "card/mod.rs")]
#[cfg_attr(not(feature = "cuda"), path = "no_card.rs")]
mod twin;

use candle_core::{CudaStorage, Layout, Shape};

pub use self::twin::{
    BUILT, Uploader, depthwise, depthwise_input, depthwise_weights, moments, normalise, normalise_gradients, patches,
    pool, scale, scale_gradient,
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

<<<<<<< HEAD
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

fn config(grid: Grid) -> LaunchConfig {
    LaunchConfig { grid_dim: grid.blocks, block_dim: grid.threads, shared_mem_bytes: 0 }
}

/// Runs a kernel; the arguments are places, in the kernel's order.
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

fn uninitialised<T: DeviceRepr>(device: &CudaDevice, count: usize) -> Result<CudaSlice<T>> {
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
=======
impl<'a> Operand<'a> {
    /// The tensor's shape.
    pub fn shape(&self) -> &'a Shape {
        self.layout.shape()
    }
}

/// Normalisation and activation after a convolution.
>>>>>>> dfb6530 (nn: one operation over small kernels, and the feature cuda asked for in one place)
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// `[4, channels]` of f32: gamma, beta, mean and variance.
    pub norm: Operand<'a>,
    /// Added to the variance.
    pub eps: f32,
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
<<<<<<< HEAD

/// One of [`Pooling`].
pub fn pool<T: Element>(
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
pub fn scale<T: Element>(
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
pub fn scale_gradient<T: Element>(
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

/// Copies values to the card through page-locked memory, so that the copy runs while the CPU goes on.
#[derive(Default)]
pub struct Uploader {
    /// Buffers whose copy may still be running; taking one to write to waits for that.
    buffers: Mutex<Vec<PinnedHostSlice<f32>>>,
}

impl Uploader {
    /// `values` on the card, and undefined numbers after them: memory is used in powers of two, so that batches of many
    /// sizes share few buffers.
    pub fn upload(&self, device: &CudaDevice, values: &[f32]) -> Result<CudaSlice<f32>> {
        let capacity = values.len().next_power_of_two();
        let mut buffer = match self.taken(capacity) {
            Some(buffer) => buffer,
            // SAFETY: whatever lies there is a number or not a number, and nobody reads beyond what is written below.
            #[expect(unsafe_code, reason = "a launch hands raw pointers to the card")]
            None => unsafe { device.cuda_stream().context().alloc_pinned(capacity) }.w()?,
        };
        buffer.as_mut_slice().w()?[..values.len()].copy_from_slice(values);
        let mut copy = uninitialised(device, capacity)?;
        device.memcpy_htod(&buffer, &mut copy)?;
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        Ok(copy)
    }

    /// The buffer of that size that was used the longest ago, once there are enough for all batches under way.
    fn taken(&self, capacity: usize) -> Option<PinnedHostSlice<f32>> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = |buffer: &PinnedHostSlice<f32>| buffer.len() == capacity;
        if buffers.iter().filter(|b| fitting(b)).count() < launch::UNDER_WAY {
            return None;
        }
        let place = buffers.iter().position(fitting)?;
        Some(buffers.remove(place))
    }
}
=======
>>>>>>> dfb6530 (nn: one operation over small kernels, and the feature cuda asked for in one place)

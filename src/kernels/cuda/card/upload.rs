//! Values on their way to a card.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage as _;
use candle_core::cuda_backend::WrapErr as _;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, PinnedHostSlice};
use candle_core::{CudaStorage, Result};

use super::launches;
use crate::kernels::launch;

/// Copies values to the card through page-locked memory, so that the copy runs while the CPU goes on.
#[derive(Default)]
pub struct Uploader {
    /// Buffers, and what tells that the copy out of each is over: before that, nothing may be written there.
    buffers: Mutex<Vec<(PinnedHostSlice<f32>, CudaEvent)>>,
}

impl Uploader {
    /// `values` on the card of `beside`, and undefined numbers after them, with the count of all: memory is used in powers
    /// of two, so that batches of many sizes share few buffers.
    ///
    /// # Errors
    /// If the device fails.
    pub fn upload(&self, beside: &CudaStorage, values: &[f32]) -> Result<(CudaStorage, usize)> {
        let device = beside.device();
        let capacity = values.len().next_power_of_two();
        let mut buffer = match self.taken(capacity) {
            Some((buffer, copied)) => {
                copied.synchronize().w()?;
                buffer
            }
            // SAFETY: whatever lies there is a number or not a number, and nothing is read beyond what is written below.
            #[expect(unsafe_code, reason = "a launch hands raw pointers to the card")]
            None => unsafe { device.cuda_stream().context().alloc_pinned(capacity) }.w()?,
        };
        buffer.as_mut_slice().w()?[..values.len()].copy_from_slice(values);
        let mut copy = launches::uninitialised(device, capacity)?;
        device.memcpy_htod(&buffer, &mut copy)?;
        let copied = device.cuda_stream().record_event(None).w()?;
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).push((buffer, copied));
        Ok((CudaStorage::wrap_cuda_slice(copy, device.clone()), capacity))
    }

    /// The buffer of that size that was used the longest ago, once there are enough for all batches under way.
    fn taken(&self, capacity: usize) -> Option<(PinnedHostSlice<f32>, CudaEvent)> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fitting = buffers.iter().enumerate().filter(|(_, (buffer, _))| buffer.len() == capacity);
        let (index, _) = fitting.next()?;
        if 1 + fitting.count() < launch::UNDER_WAY {
            return None;
        }
        Some(buffers.remove(index))
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        let buffers = self.buffers.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Where the device has failed there is no copy left to wait for.
        for (_, copied) in buffers {
            let _ = copied.synchronize();
        }
    }
}

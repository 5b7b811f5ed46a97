//! Values of tensors read where they lie, and brought to a card.

use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};

use super::operation::slice;
use crate::kernels::cuda::Uploader;

/// Calls `f` with the values of contiguous tensors; those on the CPU are not copied.
///
/// # Errors
/// If a tensor is not contiguous or not f32, or the device fails.
pub fn read<const N: usize, R>(tensors: [&Tensor; N], f: impl FnOnce([&[f32]; N]) -> R) -> Result<R> {
    read_all(&tensors.map(Tensor::clone), |values| f(std::array::from_fn(|index| values[index])))
}

/// As [`read`], for any number of tensors.
pub(super) fn read_all<R>(tensors: &[Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let here = tensors.iter().map(|tensor| tensor.to_device(&Device::Cpu)).collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = here.iter().map(Tensor::storage_and_layout).collect();
    let values = guards.iter().map(|(storage, layout)| {
        let Storage::Cpu(storage) = &**storage else { bail!("a tensor moved to the CPU is on the CPU") };
        slice(storage, layout)
    });
    Ok(f(&values.collect::<Result<Vec<_>>>()?))
}

/// `values` as a tensor of `shape` on `device`; to a card by a copy that runs while the CPU goes on.
///
/// # Errors
/// If the count does not fit the shape or the device fails.
pub fn uploaded(values: &[f32], shape: &Shape, device: &Device, uploader: &Uploader) -> Result<Tensor> {
    if !device.is_cuda() {
        return Tensor::from_slice(values, shape, device);
    }
    // Candle takes storage from outside only as the result of an operation; what it is applied to does not matter.
    let anything = Tensor::zeros(1, DType::F32, device)?;
    let all = anything.apply_op1_no_bwd(&Upload { values, uploader })?;
    all.narrow(0, 0, shape.elem_count())?.reshape(shape)
}

struct Upload<'a> {
    values: &'a [f32],
    uploader: &'a Uploader,
}

impl CustomOp1 for Upload<'_> {
    fn name(&self) -> &'static str {
        "upload"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.values.to_vec()), self.values.len().into()))
    }

    fn cuda_fwd(&self, anything: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let (copy, length) = self.uploader.upload(anything, self.values)?;
        Ok((copy, length.into()))
    }
}

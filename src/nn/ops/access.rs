//! Values of tensors read and changed where they lie, and brought to a card.

use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor, Var, bail,
};

use super::operation::{offsets, slice};
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

/// Calls `f` with the values of `target`, to change them: on the CPU in place, from a card fetched and brought back.
///
/// # Errors
/// If the tensor is not contiguous or not f32, or the device fails.
pub fn change(target: &Var, mut f: impl FnMut(&mut [f32])) -> Result<()> {
    if target.device().is_cpu() {
        return target.inplace_op1(&InPlace(Mutex::new(f)));
    }
    let mut values = target.flatten_all()?.to_vec1::<f32>()?;
    f(&mut values);
    target.set(&Tensor::from_vec(values, target.shape(), target.device())?)
}

struct InPlace<F>(Mutex<F>);

impl<F: FnMut(&mut [f32])> InplaceOp1 for InPlace<F> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, target: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (start, end) = offsets(layout)?;
        let CpuStorage::F32(values) = target else { bail!("expected a tensor of f32") };
        let mut f = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut values[start..end]);
        Ok(())
    }
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

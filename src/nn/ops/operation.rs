//! The one operation that candle sees, over kernels of one, two or three tensors.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Error, Layout, Result, Shape, Tensor, bail,
};

use crate::kernels::cuda::Operand;

/// A contiguous tensor's values on the CPU, row by row.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// As many as `shape` has elements.
    pub(super) values: &'a [f32],
    /// Their shape.
    pub(super) shape: &'a Shape,
}

impl<'a> Values<'a> {
    fn new(storage: &'a CpuStorage, layout: &'a Layout) -> Result<Self> {
        Ok(Self { values: slice(storage, layout)?, shape: layout.shape() })
    }
}

/// A computation over `N` contiguous tensors that gives one. Each kernel is written once for the CPU and once for a card.
pub(super) trait Kernel<const N: usize>: Send + Sync {
    /// What errors call it.
    const NAME: &'static str;

    /// The shape of the result.
    fn shape(&self, inputs: [&Shape; N]) -> Result<Shape>;

    /// The result on the CPU, always in f32.
    fn on_cpu(&self, inputs: [Values<'_>; N]) -> Result<Vec<f32>>;

    /// The result on a card, in the type of the first tensor unless the kernel says otherwise.
    fn on_card(&self, _inputs: [Operand<'_>; N]) -> Result<CudaStorage> {
        Err(Error::Cuda(format!("no cuda implementation for {}", Self::NAME).into()))
    }

    /// The inputs' gradients from `dy`, the contiguous gradient of the result.
    fn gradients(&self, _inputs: [&Tensor; N], _dy: &Tensor) -> Result<[Option<Tensor>; N]> {
        Err(Error::BackwardNotSupported { op: Self::NAME })
    }
}

/// A kernel as an operation of candle's.
pub(super) struct Operation<K>(pub(super) K);

fn cpu<const N: usize>(kernel: &impl Kernel<N>, inputs: [(&CpuStorage, &Layout); N]) -> Result<(CpuStorage, Shape)> {
    let shape = kernel.shape(inputs.map(|(_, layout)| layout.shape()))?;
    // Every input is valid before the kernel runs; the first one that is not ends the operation.
    for (storage, layout) in inputs {
        slice(storage, layout)?;
    }
    let empty = Values { values: &[], shape: &shape };
    let inputs = inputs.map(|(storage, layout)| Values::new(storage, layout).unwrap_or(empty));
    let values = kernel.on_cpu(inputs)?;
    Ok((CpuStorage::F32(values), shape))
}

fn card<const N: usize>(kernel: &impl Kernel<N>, inputs: [(&CudaStorage, &Layout); N]) -> Result<(CudaStorage, Shape)> {
    let shape = kernel.shape(inputs.map(|(_, layout)| layout.shape()))?;
    let result = kernel.on_card(inputs.map(|(storage, layout)| Operand { storage, layout }))?;
    Ok((result, shape))
}

impl<K: Kernel<1>> CustomOp1 for Operation<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout) -> Result<(CpuStorage, Shape)> {
        cpu(&self.0, [(a, la)])
    }

    fn cuda_fwd(&self, a: &CudaStorage, la: &Layout) -> Result<(CudaStorage, Shape)> {
        card(&self.0, [(a, la)])
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [a] = self.0.gradients([a], &dy.contiguous()?)?;
        Ok(a)
    }
}

impl<K: Kernel<2>> CustomOp2 for Operation<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        cpu(&self.0, [(a, la), (b, lb)])
    }

    fn cuda_fwd(&self, a: &CudaStorage, la: &Layout, b: &CudaStorage, lb: &Layout) -> Result<(CudaStorage, Shape)> {
        card(&self.0, [(a, la), (b, lb)])
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.0.gradients([a, b], &dy.contiguous()?)?;
        Ok((a, b))
    }
}

impl<K: Kernel<3>> CustomOp3 for Operation<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        c: &CpuStorage,
        lc: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        cpu(&self.0, [(a, la), (b, lb), (c, lc)])
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        la: &Layout,
        b: &CudaStorage,
        lb: &Layout,
        c: &CudaStorage,
        lc: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        card(&self.0, [(a, la), (b, lb), (c, lc)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.0.gradients([a, b, c], &dy.contiguous()?)?;
        Ok((a, b, c))
    }
}

/// The values of a contiguous tensor of f32.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = offsets(layout)?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Where a contiguous tensor's values begin and end in its storage.
pub(super) fn offsets(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(offsets) => Ok(offsets),
        None => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

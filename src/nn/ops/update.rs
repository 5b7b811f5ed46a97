//! Tensors changed where they lie, by what an optimiser or an average does with others.

use candle_core::{CpuStorage, CudaStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};

use super::operation::{offsets, slice};
use crate::kernels::cuda::{self, Operand};
use crate::kernels::train::update::{self, Adam, Sgd};

/// Moves `values` and their `state` (both moments, one after the other, in one row) with a `gradient` by a step of Adam.
///
/// # Errors
/// If the device fails.
pub fn adam(values: &Var, gradient: &Tensor, state: &Tensor, adam: &Adam) -> Result<()> {
    if state.elem_count() != 2 * values.elem_count() || gradient.elem_count() != values.elem_count() {
        bail!("a gradient or moments of another size");
    }
    state.inplace_op3(&gradient.contiguous()?, values, &AdamState(adam))?;
    values.inplace_op2(state, &AdamStep(adam))
}

/// Moves `values` and their `velocity` with a `gradient` by a step of stochastic gradient descent.
///
/// # Errors
/// If the device fails.
pub fn sgd(values: &Var, gradient: &Tensor, velocity: &Tensor, sgd: &Sgd) -> Result<()> {
    if [velocity, gradient].iter().any(|other| other.elem_count() != values.elem_count()) {
        bail!("a gradient or a velocity of another size");
    }
    let gradient = gradient.contiguous()?;
    velocity.inplace_op3(&gradient, values, &SgdState(sgd))?;
    values.inplace_op3(&gradient, velocity, &SgdStep(sgd))
}

/// `values = shares[0] * values + shares[1] * others`, where `values` lies.
///
/// # Errors
/// If the device fails.
pub fn blend(values: &Tensor, others: &Tensor, shares: [f32; 2]) -> Result<()> {
    if others.elem_count() != values.elem_count() {
        bail!("{} values met {} others", values.elem_count(), others.elem_count());
    }
    values.inplace_op2(&others.contiguous()?, &Blend(&shares))
}

/// The sum of the squares of all of `tensors`; one wait for the device.
///
/// # Errors
/// If the device fails.
pub fn sum_of_squares(tensors: &[&Tensor]) -> Result<f64> {
    let Some(first) = tensors.first() else { return Ok(0.0) };
    if first.device().is_cpu() {
        let sums = tensors.iter().map(|tensor| super::read([&tensor.contiguous()?], |[v]| update::sum_of_squares(v)));
        return sums.sum();
    }
    let sums = tensors.iter().map(|tensor| tensor.sqr()?.sum_all());
    let sums = Tensor::stack(&sums.collect::<Result<Vec<_>>>()?, 0)?.to_vec1::<f32>()?;
    Ok(sums.into_iter().map(f64::from).sum())
}

fn changed<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let (start, end) = offsets(layout)?;
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        _ => bail!("expected a tensor of f32"),
    }
}

/// A change of the first tensor by others.
macro_rules! in_place {
    ($name:literal, $Op:ident, $InplaceOp:ident, $card:path, |$op:ident, $target:ident, $($other:ident, $layout:ident),+| $cpu:expr) => {
        impl $InplaceOp for $Op<'_> {
            fn name(&self) -> &'static str {
                $name
            }

            fn cpu_fwd(
                &self,
                target: &mut CpuStorage,
                layout: &Layout,
                $($other: &CpuStorage, $layout: &Layout),+
            ) -> Result<()> {
                let ($op, $target) = (self.0, changed(target, layout)?);
                $(let $other = slice($other, $layout)?;)+
                $cpu;
                Ok(())
            }

            fn cuda_fwd(
                &self,
                target: &mut CudaStorage,
                layout: &Layout,
                $($other: &CudaStorage, $layout: &Layout),+
            ) -> Result<()> {
                let target = Operand { storage: target, layout };
                $card(target, $(Operand { storage: $other, layout: $layout },)+ self.0)
            }
        }
    };
}

struct AdamState<'a>(&'a Adam);
in_place!("adam-state", AdamState, InplaceOp3, cuda::adam_state, |adam, state, gradient, lg, values, lv| {
    adam.remember(state, gradient, values)
});

struct AdamStep<'a>(&'a Adam);
in_place!("adam-step", AdamStep, InplaceOp2, cuda::adam_step, |adam, values, state, ls| adam.step(values, state));

struct SgdState<'a>(&'a Sgd);
in_place!("sgd-state", SgdState, InplaceOp3, cuda::sgd_state, |sgd, velocity, gradient, lg, values, lv| {
    sgd.remember(velocity, gradient, values)
});

struct SgdStep<'a>(&'a Sgd);
in_place!("sgd-step", SgdStep, InplaceOp3, cuda::sgd_step, |sgd, values, gradient, lg, velocity, lv| {
    sgd.step(values, gradient, velocity)
});

struct Blend<'a>(&'a [f32; 2]);
in_place!("blend", Blend, InplaceOp2, cuda::blend, |shares, values, others, lo| update::blend(values, others, *shares));

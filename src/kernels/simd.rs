//! The instruction sets for which the inference kernels are compiled, and the vector arithmetic they share.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the sigmoid uses AVX-512 instructions that the common interface of pulp lacks")
)]

#[cfg(target_arch = "x86_64")]
use std::any::TypeId;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;
#[cfg(target_arch = "x86_64")]
use std::mem::transmute_copy;

#[cfg(target_arch = "x86_64")]
use pulp::x86::V4;
use pulp::{Scalar128b, Simd, WithSimd};

use super::Activation;

/// A set of vector instructions that this machine has.
#[derive(Debug, Clone, Copy)]
pub struct Instructions(InstructionSet);

#[derive(Debug, Clone, Copy)]
enum InstructionSet {
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    /// Vectors of four numbers, compiled to whatever the target has; works on every machine.
    Portable,
}

impl Instructions {
    /// The widest set this machine has.
    pub fn best() -> Self {
        Self::all()[0]
    }

    /// All sets this machine has, the widest first.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        all.extend(pulp::x86::V4::try_new().map(InstructionSet::Avx512));
        #[cfg(target_arch = "x86_64")]
        all.extend(pulp::x86::V3::try_new().map(InstructionSet::Avx2));
        #[cfg(target_arch = "aarch64")]
        all.extend(pulp::aarch64::Neon::try_new().map(InstructionSet::Neon));
        all.push(InstructionSet::Portable);
        all.into_iter().map(Self).collect()
    }

    /// Whether this is the widest set this machine has.
    pub fn is_best(self) -> bool {
        std::mem::discriminant(&self.0) == std::mem::discriminant(&Self::best().0)
    }

    /// `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon(_) => "neon",
            InstructionSet::Portable => "portable",
        }
    }

    /// Runs `work`, compiled for these instructions.
    #[inline(always)]
    pub(super) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon(simd) => Simd::vectorize(simd, work),
            InstructionSet::Portable => Simd::vectorize(Scalar128b, work),
        }
    }
}

/// Minimax polynomial of 2^x on [-0.5, 0.5], highest power first; relative error below 3e-6.
const AROUND_ZERO: [f32; 5] = [9.570_102e-3, 5.591_786e-2, 2.402_474_5e-1, 6.931_218e-1, 9.999_993e-1];

/// Numbers in a vector: 16, 8 or 4. Inlined in every build: it decides branches and lengths of the innermost loops.
#[inline(always)]
pub(super) const fn lanes<S: Simd>() -> usize {
    S::F32_LANES
}

/// `a * b + c`, in one step if the processor has an instruction for it. pulp's portable vectors would call the C
/// library instead, so they multiply and add in two steps.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if lanes::<S>() > 4 || cfg!(target_arch = "aarch64") {
        simd.mul_add_f32s(a, b, c)
    } else {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    }
}

/// `1 / (1 + e^-z)`, accurate to 1e-6.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    #[cfg(target_arch = "x86_64")]
    if TypeId::of::<S>() == TypeId::of::<V4>() {
        // SAFETY: `S` is `V4`, because the type ids are equal; a register of `V4` is 16 consecutive floats, as is
        // `__m512`.
        return unsafe { transmute_copy(&sigmoid_avx512(transmute_copy(&simd), transmute_copy(&z))) };
    }
    /// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, which then occupies the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let splat = |value| simd.splat_f32s(value);
    let x = simd.mul_f32s(z, splat(-std::f32::consts::LOG2_E));
    // Outside this range the result is 0 or 1 to the last bit, and 2^x would leave the exponent's range.
    let x = simd.min_f32s(simd.max_f32s(x, splat(-126.0)), splat(126.0));
    let shifted = simd.add_f32s(x, splat(ROUND));
    let fraction = simd.sub_f32s(x, simd.sub_f32s(shifted, splat(ROUND)));
    let mut power = splat(AROUND_ZERO[0]);
    for coefficient in &AROUND_ZERO[1..] {
        power = multiply_add(simd, power, fraction, splat(*coefficient));
    }
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(power), exponent));
    simd.div_f32s(splat(1.0), simd.add_f32s(power, splat(1.0)))
}

/// [`sigmoid`] with AVX-512's instructions for the fraction of a number, for powers of 2 and for an estimate of 1 / x,
/// which one step of Newton's method refines.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn sigmoid_avx512(simd: V4, z: __m512) -> __m512 {
    let (f, dq) = (simd.avx512f, simd.avx512dq);
    let x = f._mm512_mul_ps(z, f._mm512_set1_ps(-std::f32::consts::LOG2_E));
    // Above this, the estimate of the reciprocal would be subnormal.
    let x = f._mm512_min_ps(x, f._mm512_set1_ps(125.0));
    /// Round to nearest, report no inexact results, keep no bits after the point.
    const FRACTION: i32 = 0b0000_1000;
    let fraction = dq._mm512_reduce_ps::<FRACTION>(x);
    let mut power = f._mm512_set1_ps(AROUND_ZERO[0]);
    for coefficient in &AROUND_ZERO[1..] {
        power = f._mm512_fmadd_ps(power, fraction, f._mm512_set1_ps(*coefficient));
    }
    let whole = f._mm512_sub_ps(x, fraction);
    let power = f._mm512_scalef_ps(power, whole);
    let sum = f._mm512_add_ps(power, f._mm512_set1_ps(1.0));
    let estimate = f._mm512_rcp14_ps(sum);
    let error = f._mm512_fnmadd_ps(sum, estimate, f._mm512_set1_ps(2.0));
    f._mm512_mul_ps(estimate, error)
}

/// The activation of `z`.
#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, activation: Activation, z: S::f32s) -> S::f32s {
    match activation {
        Activation::Identity => z,
        Activation::Relu => simd.max_f32s(z, simd.splat_f32s(0.0)),
        Activation::Relu6 => simd.min_f32s(simd.max_f32s(z, simd.splat_f32s(0.0)), simd.splat_f32s(6.0)),
        Activation::Silu => simd.mul_f32s(z, sigmoid(simd, z)),
    }
}

/// Applies `sigmoid` to every value in place; the length is a multiple of 16.
pub struct Sigmoid<'a>(pub &'a mut [f32]);

impl Sigmoid<'_> {
    /// Runs it with `instructions`.
    pub fn run(self, instructions: Instructions) {
        instructions.run(self);
    }
}

impl WithSimd for Sigmoid<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for value in S::as_mut_simd_f32s(self.0).0 {
            *value = sigmoid(simd, *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Activate<'a>(Activation, &'a mut [f32]);

    impl WithSimd for Activate<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for value in S::as_mut_simd_f32s(self.1).0 {
                *value = activate(simd, self.0, *value);
            }
        }
    }

    #[test]
    fn activations_agree_with_their_definitions() {
        let inputs: Vec<f32> = (-16_000..16_000).map(|step| step as f32 / 150.0).collect();
        for instructions in Instructions::all() {
            for activation in [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Silu] {
                let mut found = inputs.clone();
                instructions.run(Activate(activation, &mut found));
                for (z, found) in inputs.iter().zip(found) {
                    let z = f64::from(*z);
                    let expected = match activation {
                        Activation::Identity => z,
                        Activation::Relu => z.max(0.0),
                        Activation::Relu6 => z.clamp(0.0, 6.0),
                        Activation::Silu => z / (1.0 + (-z).exp()),
                    };
                    let error = (f64::from(found) - expected).abs();
                    assert!(error <= 3e-6 * expected.abs() + 1e-6, "{} {z}: {found}", instructions.name());
                }
            }
        }
    }

    #[test]
    fn the_sigmoid_stays_between_0_and_1_whatever_comes() {
        for instructions in Instructions::all() {
            let mut values =
                [f32::MIN, -1e9, -127.0, -88.0, -0.0, 0.0, 1e-30, 88.0, 127.0, 1e9, f32::MAX, 1.0, 2.0, 3.0, 4.0, 5.0];
            Sigmoid(&mut values).run(instructions);
            assert!(values.iter().all(|v| (0.0..=1.0).contains(v)), "{} {values:?}", instructions.name());
            assert!(values[4..6].iter().all(|v| (v - 0.5).abs() < 1e-6));
        }
    }
}

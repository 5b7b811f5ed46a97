//! The instruction sets the inference kernels are compiled for, and the vector arithmetic they share.

use pulp::{Arch, Scalar128b, Simd, WithSimd};

use super::Activation;

/// A set of vector instructions this machine has.
#[derive(Debug, Clone, Copy)]
pub struct Instructions(Kind);

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// AVX-512, AVX2 or NEON.
    Vector(Arch),
    /// Whatever the compiler makes of four numbers at a time; for every machine.
    Portable,
}

impl Instructions {
    /// The widest there are.
    pub fn best() -> Self {
        match Arch::new() {
            Arch::Scalar => Self(Kind::Portable),
            arch => Self(Kind::Vector(arch)),
        }
    }

    /// All there are, the widest first.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::best()];
        #[cfg(target_arch = "x86_64")]
        if let (Kind::Vector(Arch::V4(_)), Some(narrower)) = (all[0].0, pulp::x86::V3::try_new()) {
            all.push(Self(Kind::Vector(Arch::V3(narrower))));
        }
        if !matches!(all[0].0, Kind::Portable) {
            all.push(Self(Kind::Portable));
        }
        all
    }

    /// `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Vector(Arch::V4(_)) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Vector(Arch::V3(_)) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Kind::Vector(Arch::Neon(_)) => "neon",
            Kind::Vector(_) | Kind::Portable => "portable",
        }
    }

    /// Runs `work`, compiled for these instructions.
    #[inline(always)]
    pub(super) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self.0 {
            Kind::Vector(arch) => arch.dispatch(work),
            Kind::Portable => Scalar128b.vectorize(work),
        }
    }
}

/// Numbers in a vector; 16, 8 or 4.
pub(super) const fn lanes<S: Simd>() -> usize {
    S::F32_LANES
}

/// `a * b + c`, in one step where there is an instruction for it: pulp's portable vectors call the C library there.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if lanes::<S>() > 4 || cfg!(target_arch = "aarch64") {
        simd.mul_add_f32s(a, b, c)
    } else {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    }
}

/// `1 / (1 + e^-z)`: `2^(-z / ln 2)` in two parts after Cody & Waite (1980), the fraction by a minimax polynomial of degree
/// 5 on [-0.5, 0.5]; absolute error below 2e-7.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    /// Adding and taking away 1.5 * 2^23 rounds to the nearest integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let splat = |value| simd.splat_f32s(value);
    let x = simd.mul_f32s(z, splat(-std::f32::consts::LOG2_E));
    // Beyond, the result is 0 or 1 to the last bit and 2^x must not leave the exponent's range.
    let x = simd.min_f32s(simd.max_f32s(x, splat(-126.0)), splat(126.0));
    let shifted = simd.add_f32s(x, splat(ROUND));
    let fraction = simd.sub_f32s(x, simd.sub_f32s(shifted, splat(ROUND)));
    let mut power = splat(1.333_355_8e-3);
    for coefficient in [9.618_129e-3, 5.550_411e-2, 2.402_265e-1, 6.931_472e-1, 1.0] {
        power = multiply_add(simd, power, fraction, splat(coefficient));
    }
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(power), exponent));
    simd.div_f32s(splat(1.0), simd.add_f32s(power, splat(1.0)))
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

/// [`sigmoid`] of every value, in place; the length is a multiple of 16.
pub struct Sigmoid<'a>(pub &'a mut [f32]);

impl Sigmoid<'_> {
    /// Does it.
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
                    assert!(error <= 1e-6 * expected.abs() + 1e-7, "{} {z}: {found}", instructions.name());
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
            assert_eq!(values[4..6], [0.5, 0.5]);
        }
    }
}

//! Channels in blocks of vectors, so that a block's sums stay in registers while a loop runs over pixels.
//!
//! The vectors are explicit: arrays of constant width, which the compiler is to turn into vectors, become ones in some loops and in others
//! not.

use pulp::{Scalar, Scalar128b, Scalar256b, Simd, WithSimd};

use crate::kernels::simd::Instructions;

/// Work on `COUNT` vectors of channels, from `first` on.
pub(super) trait VectorBlocks {
    /// Does the work.
    fn block<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize);
}

/// Calls `blocks` for all of `channels`: in pairs of the widest vectors this machine has, single ones, narrower ones, and one
/// by one.
pub(super) fn over_vectors(channels: usize, blocks: &mut impl VectorBlocks) {
    struct OverVectors<'a, B> {
        channels: usize,
        blocks: &'a mut B,
    }

    impl<B: VectorBlocks> WithSimd for OverVectors<'_, B> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self { channels, blocks } = self;
            let mut first = 0;
            while first + 2 * S::F32_LANES <= channels {
                blocks.block::<S, 2>(simd, first);
                first += 2 * S::F32_LANES;
            }
            while first + S::F32_LANES <= channels {
                blocks.block::<S, 1>(simd, first);
                first += S::F32_LANES;
            }
            // Only where a narrower vector has instructions of its own.
            if S::F32_LANES > 8 && first + 8 <= channels {
                blocks.block::<Scalar256b, 1>(Scalar256b, first);
                first += 8;
            }
            while first + 4 <= channels {
                blocks.block::<Scalar128b, 1>(Scalar128b, first);
                first += 4;
            }
            while first < channels {
                blocks.block::<Scalar, 1>(Scalar, first);
                first += 1;
            }
        }
    }

    Instructions::best().run(OverVectors { channels, blocks });
}

/// The `COUNT` vectors from index `at` on.
#[inline(always)]
pub(super) fn vectors<S: Simd, const COUNT: usize>(simd: S, values: &[f32], at: usize) -> [S::f32s; COUNT] {
    let mut vectors = [simd.splat_f32s(0.0); COUNT];
    for (vector, values) in vectors.iter_mut().zip(S::as_simd_f32s(&values[at..][..COUNT * S::F32_LANES]).0) {
        *vector = *values;
    }
    vectors
}

/// Writes `vectors` to index `at` and after.
#[inline(always)]
pub(super) fn store<S: Simd, const COUNT: usize>(_: S, values: &mut [f32], at: usize, vectors: [S::f32s; COUNT]) {
    let places = S::as_mut_simd_f32s(&mut values[at..][..COUNT * S::F32_LANES]).0;
    places.copy_from_slice(&vectors);
}

/// Adds `values` to `sums`.
#[inline(always)]
pub(super) fn add<S: Simd, const COUNT: usize>(simd: S, sums: &mut [S::f32s; COUNT], values: [S::f32s; COUNT]) {
    for vector in 0..COUNT {
        sums[vector] = simd.add_f32s(sums[vector], values[vector]);
    }
}

/// Adds `a * b` to `sums`, rounding twice: the same on every set of instructions.
#[inline(always)]
pub(super) fn add_products<S: Simd, const COUNT: usize>(
    simd: S,
    sums: &mut [S::f32s; COUNT],
    a: [S::f32s; COUNT],
    b: [S::f32s; COUNT],
) {
    for vector in 0..COUNT {
        sums[vector] = simd.add_f32s(sums[vector], simd.mul_f32s(a[vector], b[vector]));
    }
}

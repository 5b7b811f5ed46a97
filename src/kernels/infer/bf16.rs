//! Products in bfloat16. Inputs and weights are rounded to 8 bits of mantissa and products are summed in f32
//! (AVX512-BF16; Intel's instruction set reference, VDPBF16PS), which takes half the time.
//!
//! Two neighbouring channels share a word; the first is in its lower half. Intel's AMX would take the same operands in
//! tiles of 16 rows and would belong beside `sums`; it is missing because no machine used for development could test
//! it.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "pulp lacks these instructions; registers are read from and written to arrays")
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256bh, __m512, __m512bh, _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps,
};
#[cfg(target_arch = "x86_64")]
use std::mem::transmute;

#[cfg(target_arch = "x86_64")]
use super::blocks::PANEL;
use super::blocks::{BLOCK, BlockPlanes, BlockPlanesMut};

/// Words in a pixel's block.
pub const PAIRS: usize = BLOCK / 2;

/// Proof that this machine has the instructions.
#[derive(Debug, Clone, Copy)]
pub struct Bf16(());

impl Bf16 {
    /// `None` if the machine lacks them.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if pulp::x86::V4::try_new().is_some() && std::is_x86_feature_detected!("avx512bf16") {
            return Some(Self(()));
        }
        None
    }

    /// Multiplies each channel of `x` by its `scale`, `[blocks][BLOCK]`, and rounds `count` pixels to words,
    /// `[blocks][count][PAIRS]`.
    pub(super) fn narrow(self, x: BlockPlanes<'_>, count: usize, scale: Option<&[f32]>, out: &mut [u32]) {
        for (block, out) in out.chunks_exact_mut(count * PAIRS).enumerate() {
            let x = x.values[block * x.plane..][..count * BLOCK].as_chunks::<BLOCK>().0;
            let scale = scale.map_or([1.0; BLOCK], |s| std::array::from_fn(|lane| s[block * BLOCK + lane]));
            // SAFETY: `self` proves that the machine has the instructions.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                narrow(x, &scale, out.as_chunks_mut().0)
            };
            #[cfg(not(target_arch = "x86_64"))]
            let _ = (x, scale, out);
        }
    }

    /// The sums of `ROWS` pixels for `BLOCKS` blocks: adds `x` times `weights`, `[pairs][PANEL]`, to the bias, or to
    /// the values already in `out`. `plane` is the distance between two blocks of `x`, in words.
    #[inline(always)]
    pub(super) fn sums<const ROWS: usize, const BLOCKS: usize>(
        self,
        weights: &[u32],
        bias: Option<&[f32]>,
        x: &[u32],
        plane: usize,
        out: &mut BlockPlanesMut<'_>,
    ) {
        // SAFETY: `self` proves that the machine has the instructions.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            sums::<ROWS, BLOCKS>(weights, bias, x, plane, out)
        };
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (weights, bias, x, plane, out);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn narrow(x: &[[f32; BLOCK]], scale: &[f32; BLOCK], out: &mut [[u32; PAIRS]]) {
    // SAFETY: array and register have the same size, and every bit pattern is a value.
    let scale: __m512 = unsafe { transmute(*scale) };
    for (x, out) in x.iter().zip(out) {
        // SAFETY: as above.
        let x: __m512 = unsafe { transmute(*x) };
        // SAFETY: as above.
        *out = unsafe { transmute::<__m256bh, [u32; PAIRS]>(_mm512_cvtneps_pbh(_mm512_mul_ps(x, scale))) };
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn sums<const ROWS: usize, const BLOCKS: usize>(
    weights: &[u32],
    bias: Option<&[f32]>,
    x: &[u32],
    plane: usize,
    out: &mut BlockPlanesMut<'_>,
) {
    let out_plane = out.plane / BLOCK;
    let out = out.values.as_chunks_mut::<BLOCK>().0;
    assert!(out.len() > (BLOCKS - 1) * out_plane + ROWS - 1);
    let mut sums = [[_mm512_set1_ps(0.0); BLOCKS]; ROWS];
    for row in 0..ROWS {
        for block in 0..BLOCKS {
            let begin: [f32; BLOCK] = match bias {
                Some(bias) => bias.as_chunks().0[block],
                None => out[block * out_plane + row],
            };
            // SAFETY: as above.
            sums[row][block] = unsafe { transmute::<[f32; BLOCK], __m512>(begin) };
        }
    }
    for (block, weights) in weights.chunks(PAIRS * PANEL).enumerate() {
        let length = (weights.len() / PANEL).min(PAIRS);
        // No closures from here on: each would be compiled as a function without these instructions.
        let rows = &x[block * plane..].as_chunks::<PAIRS>().0[..ROWS];
        for pair in 0..length {
            let line = weights[pair * PANEL..][..PANEL].as_chunks::<BLOCK>().0;
            for row in 0..ROWS {
                // SAFETY: as above.
                let value: __m512bh = unsafe { transmute(_mm512_set1_epi32(rows[row][pair].cast_signed())) };
                for block in 0..BLOCKS {
                    // SAFETY: as above.
                    let weight = unsafe { transmute::<[u32; BLOCK], __m512bh>(line[block]) };
                    sums[row][block] = _mm512_dpbf16_ps(sums[row][block], value, weight);
                }
            }
        }
    }
    for row in 0..ROWS {
        for block in 0..BLOCKS {
            // SAFETY: as above.
            out[block * out_plane + row] = unsafe { transmute::<__m512, [f32; BLOCK]>(sums[row][block]) };
        }
    }
}

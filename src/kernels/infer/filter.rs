//! The depthwise convolution of inference. It computes one row at a time over blocks of channels, with bias, activation
//! and the sums that squeeze-and-excitation needs.

use pulp::{Simd, WithSimd};

use super::blocks::{BLOCK, Buffer, blocks};
use crate::kernels::Activation;
use crate::kernels::simd::{activate, lanes, multiply_add};

/// Side of the largest window.
pub const LARGEST_KERNEL: usize = 7;

/// One `kernel` x `kernel` filter for each channel, then bias and activation.
#[derive(Debug, Clone)]
pub struct Filter {
    channels: usize,
    kernel: usize,
    stride: usize,
    /// `[block][kernel * kernel][BLOCK]`.
    weights: Buffer,
    /// `[block][BLOCK]`.
    bias: Buffer,
    activation: Activation,
}

impl Filter {
    /// Packs `weights`, `[kernel, kernel, channels]`, and `bias`, `[channels]`; `kernel` is at most [`LARGEST_KERNEL`].
    pub fn new(weights: &[f32], bias: &[f32], kernel: usize, stride: usize, activation: Activation) -> Self {
        assert!((1..=LARGEST_KERNEL).contains(&kernel) && stride > 0);
        let channels = bias.len();
        let taps = kernel * kernel;
        let mut packed = Buffer::zeros(blocks(channels) * taps * BLOCK);
        super::blocks::pack(weights, channels, &mut packed);
        let mut padded = Buffer::zeros(blocks(channels) * BLOCK);
        padded[..channels].copy_from_slice(bias);
        Self { channels, kernel, stride, weights: packed, bias: padded, activation }
    }

    /// Channels, in and out.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Side of the window.
    pub fn kernel(&self) -> usize {
        self.kernel
    }

    /// Step of the window.
    pub fn stride(&self) -> usize {
        self.stride
    }
}

/// Computes one row of one block of a depthwise convolution.
#[derive(Debug)]
pub struct FilterRow<'a> {
    /// The filter.
    pub filter: &'a Filter,
    /// Which block.
    pub block: usize,
    /// The rows under the window, `[pixels][BLOCK]`, borders included; `None` for rows outside the picture.
    pub rows: [Option<&'a [f32]>; LARGEST_KERNEL],
    /// The result, `[out_width][BLOCK]`.
    pub out: &'a mut [f32],
    /// Accumulates the result's sums over the row, `[BLOCK]`.
    pub sums: Option<&'a mut [f32]>,
}

impl WithSimd for FilterRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match (self.filter.kernel, self.filter.stride) {
            (3, 1) => self.run::<S, 3, 1>(simd),
            (3, 2) => self.run::<S, 3, 2>(simd),
            (5, 1) => self.run::<S, 5, 1>(simd),
            (5, 2) => self.run::<S, 5, 2>(simd),
            _ => self.run::<S, 0, 0>(simd),
        }
    }
}

impl FilterRow<'_> {
    /// Computes the row. `KERNEL` and `STRIDE` are 0 if the compiler does not know them.
    #[inline(always)]
    fn run<S: Simd, const KERNEL: usize, const STRIDE: usize>(&mut self, simd: S) {
        let per_block = BLOCK / lanes::<S>();
        let width = self.out.len() / BLOCK;
        for vector in 0..per_block {
            let mut total = simd.splat_f32s(0.0);
            let mut first = 0;
            while first + 7 <= width {
                self.pixels::<S, KERNEL, STRIDE, 7>(simd, vector, first, &mut total);
                first += 7;
            }
            if first + 4 <= width {
                self.pixels::<S, KERNEL, STRIDE, 4>(simd, vector, first, &mut total);
                first += 4;
            }
            if first + 2 <= width {
                self.pixels::<S, KERNEL, STRIDE, 2>(simd, vector, first, &mut total);
                first += 2;
            }
            if first < width {
                self.pixels::<S, KERNEL, STRIDE, 1>(simd, vector, first, &mut total);
            }
            if let Some(sums) = &mut self.sums {
                let sums = &mut S::as_mut_simd_f32s(sums).0[vector];
                *sums = simd.add_f32s(*sums, total);
            }
        }
    }

    /// Computes `COUNT` pixels of the result, starting with `first`.
    #[inline(always)]
    fn pixels<S: Simd, const KERNEL: usize, const STRIDE: usize, const COUNT: usize>(
        &mut self,
        simd: S,
        vector: usize,
        first: usize,
        total: &mut S::f32s,
    ) {
        let filter = self.filter;
        let kernel = if KERNEL == 0 { filter.kernel } else { KERNEL };
        let stride = if STRIDE == 0 { filter.stride } else { STRIDE };
        let per_block = BLOCK / lanes::<S>();
        let taps =
            S::as_simd_f32s(&filter.weights[self.block * kernel * kernel * BLOCK..][..kernel * kernel * BLOCK]).0;
        let bias = S::as_simd_f32s(&filter.bias[self.block * BLOCK..][..BLOCK]).0[vector];
        let mut sums = [bias; COUNT];
        for (row, taps) in self.rows.iter().zip(taps.chunks_exact(kernel * per_block)) {
            let Some(row) = row else { continue };
            let span = ((COUNT - 1) * stride + kernel) * BLOCK;
            let x = S::as_simd_f32s(&row[first * stride * BLOCK..][..span]).0;
            for column in 0..kernel {
                let tap = taps[column * per_block + vector];
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    *sum = multiply_add(simd, x[(pixel * stride + column) * per_block + vector], tap, *sum);
                }
            }
        }
        let out = S::as_mut_simd_f32s(&mut self.out[first * BLOCK..][..COUNT * BLOCK]).0;
        for (pixel, sum) in sums.into_iter().enumerate() {
            let value = activate(simd, filter.activation, sum);
            *total = simd.add_f32s(*total, value);
            out[pixel * per_block + vector] = value;
        }
    }
}

//! The memory layout of activations during inference: `[blocks][pixels][BLOCK]`. Channels are grouped in blocks of 16,
//! and a block's pixels follow each other ("nChw16c" in oneDNN's notation).
//!
//! A pixel's block is one cache line and one AVX-512 register. The rows of a matrix product's tile lie at fixed
//! distances in memory, and a depthwise filter reads its whole window of a block without gaps. Filler channels in the
//! last block are 0.

use std::ops::{Deref, DerefMut};

/// Channels of a pixel that are stored together.
pub const BLOCK: usize = 16;
/// Output channels that a matrix product computes at a time.
pub const PANEL: usize = 2 * BLOCK;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Number of blocks that hold `channels`.
pub const fn blocks(channels: usize) -> usize {
    channels.div_ceil(BLOCK)
}

/// Numbers aligned to a cache line, so that no vector straddles two lines.
#[derive(Debug, Default)]
pub struct Buffer<T = f32> {
    values: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Copy + Default> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let values = vec![T::default(); len + LINE / size_of::<T>()];
        // Under Miri the address is unknown, and any offset will do.
        let first = values.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
        Self { values, first, len }
    }
}

impl<T: Copy + Default> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.first..self.first + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.first..self.first + self.len]
    }
}

/// Blocks of pixels to read.
#[derive(Debug, Clone, Copy)]
pub struct BlockPlanes<'a> {
    /// The values from the first wanted pixel of the first wanted block on.
    pub values: &'a [f32],
    /// Distance between two blocks, in values.
    pub plane: usize,
}

/// Blocks of pixels to write.
#[derive(Debug)]
pub struct BlockPlanesMut<'a> {
    /// The values from the first wanted pixel of the first wanted block on.
    pub values: &'a mut [f32],
    /// Distance between two blocks, in values.
    pub plane: usize,
}

/// Converts `[pixels][channels]` to `[blocks][pixels][BLOCK]`; leaves the fillers of the last block unchanged.
pub fn pack(pixels: &[f32], channels: usize, out: &mut [f32]) {
    let plane = pixels.len() / channels * BLOCK;
    for (index, pixel) in pixels.chunks_exact(channels).enumerate() {
        for (block, values) in pixel.chunks(BLOCK).enumerate() {
            out[block * plane + index * BLOCK..][..values.len()].copy_from_slice(values);
        }
    }
}

/// The inverse of [`pack`].
pub fn unpack(blocked: &[f32], channels: usize, out: &mut [f32]) {
    let plane = out.len() / channels * BLOCK;
    for (index, pixel) in out.chunks_exact_mut(channels).enumerate() {
        for (block, values) in pixel.chunks_mut(BLOCK).enumerate() {
            values.copy_from_slice(&blocked[block * plane + index * BLOCK..][..values.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_undoes_packing_and_fillers_stay_zero() {
        for channels in [1, 15, 16, 17, 40] {
            let pixels: Vec<f32> = (1..=3 * channels).map(|v| v as f32).collect();
            let mut blocked = Buffer::zeros(blocks(channels) * 3 * BLOCK);
            pack(&pixels, channels, &mut blocked);
            let zeros = blocked.iter().filter(|v| **v == 0.0).count();
            assert_eq!(zeros, blocked.len() - pixels.len());
            let mut back = vec![0.0; pixels.len()];
            unpack(&blocked, channels, &mut back);
            assert_eq!(back, pixels);
        }
    }

    #[test]
    fn a_buffer_begins_at_a_cache_line() {
        for len in [0, 1, 100, 100_000] {
            let buffer = Buffer::<f32>::zeros(len);
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % LINE), (len, 0));
            assert_eq!(buffer.clone().as_ptr().addr() % LINE, 0);
        }
    }
}

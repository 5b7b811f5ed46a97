//! The block that MediaPipe's face and palm networks are built of: a depthwise convolution, a 1x1 convolution, what went in added
//! to what came out, and a PReLU (He et al. 2015). A block that halves the picture adds the maxima of 2x2 pixels instead, with
//! zeros in the channels that are new (Bazarevsky et al. 2019, "BlazeFace", figure 1).
//!
//! Some rows at a time go through all of it while they stay in the nearest caches: between the convolutions a map is as large
//! as the block's input, and writing and reading it once more costs as much as the arithmetic.

use pulp::{Simd, WithSimd};

use super::blocks::{BLOCK, BlockPlanes, BlockPlanesMut, Buffer, PANEL, blocks};
use super::filter::{Filter, FilterRow, LARGEST_KERNEL};
use super::product::{Lines, Panel, Product, ProductOperand};
use crate::kernels::simd::{Instructions, multiply_add};
use crate::kernels::{Activation, Window};

/// Sides that the depthwise filters may have: 3 in the face mesh, 5 in the palm detector.
const KERNELS: [usize; 2] = [3, 5];
/// Pixels of the result that are worked through together: their depthwise results in 16 channels take 24 KiB.
const PIXELS: usize = 384;

/// One slope a channel for what is below 0, filled up to whole blocks.
#[derive(Debug, Clone)]
pub struct Slopes(Buffer);

impl Slopes {
    /// Of as many channels as there are slopes; a slope may have any sign and size.
    pub fn new(slopes: &[f32]) -> Self {
        let mut padded = Buffer::zeros(blocks(slopes.len()) * BLOCK);
        padded[..slopes.len()].copy_from_slice(slopes);
        Self(padded)
    }
}

/// A PReLU of `values`, `[blocks][plane]`, of which the first `count` pixels of each block are changed: `z` where it is above
/// 0, else `slope * z`.
pub struct Prelu<'a> {
    /// One a channel.
    pub slopes: &'a Slopes,
    /// Block of the slopes that the first block of `values` has.
    pub first_block: usize,
    /// How many blocks.
    pub blocks: usize,
    /// How many pixels of each.
    pub count: usize,
    /// What is changed.
    pub values: BlockPlanesMut<'a>,
}

impl Prelu<'_> {
    /// Does it.
    pub fn run(self, instructions: Instructions) {
        instructions.run(self);
    }
}

impl WithSimd for Prelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zero = simd.splat_f32s(0.0);
        for block in 0..self.blocks {
            let slopes = S::as_simd_f32s(&self.slopes.0[(self.first_block + block) * BLOCK..][..BLOCK]).0;
            let values = &mut self.values.values[block * self.values.plane..][..self.count * BLOCK];
            for pixel in S::as_mut_simd_f32s(values).0.chunks_exact_mut(slopes.len()) {
                for (value, slope) in pixel.iter_mut().zip(slopes) {
                    // One of the two is 0, so the sum is exact, fused or not.
                    let (below, above) = (simd.min_f32s(*value, zero), simd.max_f32s(*value, zero));
                    *value = multiply_add(simd, *slope, below, above);
                }
            }
        }
    }
}

/// A block's weights.
#[derive(Debug, Clone)]
pub struct Blaze {
    filter: Filter,
    product: Product,
    slopes: Slopes,
    window: Window,
}

/// Why weights make no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit;

impl Blaze {
    /// Packs `depthwise`, `[kernel, kernel, in]` with a kernel of 3 or 5, `pointwise`, `[in, out]`, and `slopes`, `[out]`, each convolution with its bias, for maps
    /// of `[height, width]`. The stride is 1, or 2 for a picture of even sides; `out` is `in` for the former, at least `in` for
    /// the latter.
    ///
    /// # Errors
    /// If the numbers do not fit.
    pub fn new(
        depthwise: [&[f32]; 2],
        pointwise: [&[f32]; 2],
        slopes: &[f32],
        [height, width]: [usize; 2],
        stride: usize,
    ) -> Result<Self, Misfit> {
        let ([filters, filter_bias], [weights, bias]) = (depthwise, pointwise);
        let (from, to) = (filter_bias.len(), bias.len());
        let kernel = KERNELS.into_iter().find(|kernel| filters.len() == kernel * kernel * from).ok_or(Misfit)?;
        let window = Window { height, width, kernel, stride };
        let fits = from > 0
            && height > 0
            && width > 0
            && weights.len() == from * to
            && slopes.len() == to
            && match stride {
                1 => from == to,
                2 => from <= to && height.is_multiple_of(2) && width.is_multiple_of(2),
                _ => false,
            };
        if !fits {
            return Err(Misfit);
        }
        Ok(Self {
            filter: Filter::new(filters, filter_bias, kernel, stride, Activation::Identity),
            product: Product::new(weights, bias, Activation::Identity),
            slopes: Slopes::new(slopes),
            window,
        })
    }

    /// Channels that come out.
    pub fn to(&self) -> usize {
        self.product.to()
    }

    /// Rows and columns that come out.
    pub fn out_size(&self) -> [usize; 2] {
        [self.window.out_height(), self.window.out_width()]
    }

    /// Multiplications in all.
    pub fn multiplications(&self) -> usize {
        let [height, width] = self.out_size();
        height * width * self.product.from() * (self.window.kernel.pow(2) + self.product.to())
    }

    /// Numbers it needs room for while it runs.
    pub fn scratch(&self) -> usize {
        let sizes = self.sizes();
        sizes.bordered + sizes.filtered + sizes.pooled
    }

    /// Rows of the result that are worked through together.
    fn group(&self) -> usize {
        PIXELS.div_ceil(self.window.out_width()).min(self.window.out_height())
    }

    /// Rows of the input under that many of the result.
    fn rows_under(&self, out_rows: usize) -> usize {
        (out_rows - 1) * self.window.stride + self.window.kernel
    }

    /// Columns of the input with its borders.
    fn columns(&self) -> usize {
        ((self.window.out_width() - 1) * self.window.stride + self.window.kernel)
            .max(self.window.left() + self.window.width)
    }

    fn sizes(&self) -> BlockSizes {
        let pixels = self.group() * self.window.out_width() * BLOCK;
        let panels = self.product.panels() * PANEL / BLOCK;
        BlockSizes {
            bordered: self.rows_under(self.group()) * self.columns() * BLOCK,
            filtered: blocks(self.product.from()) * pixels,
            pooled: if self.window.stride == 2 { panels * pixels } else { 0 },
        }
    }
}

struct BlockSizes {
    /// One block of the input's rows.
    bordered: usize,
    /// What the depthwise convolution gives.
    filtered: usize,
    /// What is added where the picture is halved.
    pooled: usize,
}

/// A block at work.
#[derive(Debug)]
pub struct RunBlaze<'a> {
    /// Its weights.
    pub blaze: &'a Blaze,
    /// What goes in, `[blocks][height * width][BLOCK]`.
    pub x: &'a [f32],
    /// [`Blaze::scratch`] numbers, whatever they are.
    pub scratch: &'a mut [f32],
    /// What comes out, `[blocks][out_height * out_width][BLOCK]`.
    pub out: &'a mut [f32],
}

impl RunBlaze<'_> {
    /// Does it.
    pub fn run(self, instructions: Instructions) {
        instructions.run(self);
    }
}

impl WithSimd for RunBlaze<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { blaze, x, scratch, out } = self;
        let Blaze { filter, product, slopes, window } = blaze;
        let sizes = blaze.sizes();
        let (bordered, rest) = scratch.split_at_mut(sizes.bordered);
        let (filtered, rest) = rest.split_at_mut(sizes.filtered);
        let pooled = &mut rest[..sizes.pooled];
        let (columns, width, out_width) = (blaze.columns() * BLOCK, window.width * BLOCK, window.out_width() * BLOCK);
        let (left, in_blocks) = (window.left() * BLOCK, blocks(product.from()));
        let (x_plane, out_plane) = (window.height * width, window.out_height() * out_width);
        for row in bordered.chunks_exact_mut(columns) {
            row[..left].fill(0.0);
            row[left + width..].fill(0.0);
        }
        pooled.fill(0.0);
        let group = blaze.group();
        let plane = group * out_width;
        let mut first = 0;
        while first < window.out_height() {
            let count = group.min(window.out_height() - first);
            let top = (first * window.stride).saturating_sub(window.top());
            let until = (first * window.stride + blaze.rows_under(count) - window.top()).min(window.height);
            for block in 0..in_blocks {
                let x = &x[block * x_plane..][..x_plane];
                let rows = x[top * width..until * width].chunks_exact(width);
                for (row, from) in bordered.chunks_exact_mut(columns).zip(rows) {
                    row[left..left + width].copy_from_slice(from);
                }
                for out_row in first..first + count {
                    let mut rows = [None; LARGEST_KERNEL];
                    for (row, kernel_row) in window.rows(out_row) {
                        rows[kernel_row] = Some(&bordered[(row - top) * columns..][..columns]);
                    }
                    let offset = block * plane + (out_row - first) * out_width;
                    let out = &mut filtered[offset..][..out_width];
                    simd.vectorize(FilterRow { filter, block, rows, out, sums: None });
                }
                if window.stride == 2 {
                    let rows = x[2 * first * width..].chunks_exact(2 * width).take(count);
                    let out = pooled[block * plane..][..plane].chunks_exact_mut(out_width);
                    for (rows, out) in rows.zip(out) {
                        maxima(simd, rows.split_at(width), out);
                    }
                }
            }
            for panel in 0..product.panels() {
                let block = panel * PANEL / BLOCK;
                let shortcut = match window.stride {
                    2 => BlockPlanes { values: &pooled[block * plane..], plane },
                    _ => BlockPlanes { values: &x[block * x_plane + first * width..], plane: x_plane },
                };
                let own = &mut out[block * out_plane + first * out_width..];
                let lines = Lines { lines: 1, pixels: count * window.out_width(), from_step: 0, to_step: 0 };
                let x = ProductOperand::Blocks(BlockPlanes { values: filtered, plane });
                let run = Panel { product, weights: product.weights(), panel, x, lines, shortcut: Some(shortcut) };
                run.run(simd, BlockPlanesMut { values: own, plane: out_plane });
                let values = BlockPlanesMut { values: own, plane: out_plane };
                let pixels = lines.pixels;
                let own_blocks = product.blocks_of(panel);
                Prelu { slopes, first_block: block, blocks: own_blocks, count: pixels, values }.with_simd(simd);
            }
            first += count;
        }
    }
}

/// The maxima of 2x2 pixels of two rows.
#[inline(always)]
fn maxima<S: Simd>(simd: S, (upper, lower): (&[f32], &[f32]), out: &mut [f32]) {
    let per_block = BLOCK / S::F32_LANES;
    let pairs = |row| S::as_simd_f32s(row).0.chunks_exact(2 * per_block);
    let rows = pairs(upper).zip(pairs(lower));
    for (out, (upper, lower)) in S::as_mut_simd_f32s(out).0.chunks_exact_mut(per_block).zip(rows) {
        for (lane, out) in out.iter_mut().enumerate() {
            let of = |row: &[S::f32s]| simd.max_f32s(row[lane], row[per_block + lane]);
            *out = simd.max_f32s(of(upper), of(lower));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocks::{pack, unpack};
    use super::*;
    use crate::random::seeded;

    /// The block by its definition.
    #[allow(clippy::too_many_arguments, reason = "a block has that many parts")]
    fn plain(
        x: &[f32],
        [height, width]: [usize; 2],
        filters: &[f32],
        filter_bias: &[f32],
        weights: &[f32],
        bias: &[f32],
        slopes: &[f32],
        stride: usize,
    ) -> Vec<f64> {
        let (from, to) = (filter_bias.len(), bias.len());
        let kernel = (filters.len() / from).isqrt();
        let window = Window { height, width, kernel, stride };
        let at = |row: usize, column: usize, channel: usize| f64::from(x[(row * width + column) * from + channel]);
        let mut y = Vec::new();
        for row in 0..window.out_height() {
            for column in 0..window.out_width() {
                let filtered: Vec<f64> = (0..from)
                    .map(|channel| {
                        let mut sum = f64::from(filter_bias[channel]);
                        for (y, ky) in window.rows(row) {
                            for (x, kx) in window.columns(column) {
                                sum += at(y, x, channel) * f64::from(filters[(ky * kernel + kx) * from + channel]);
                            }
                        }
                        sum
                    })
                    .collect();
                for output in 0..to {
                    let sum: f64 = (0..from).map(|c| filtered[c] * f64::from(weights[c * to + output])).sum();
                    let skip = match (stride, output < from) {
                        (_, false) => 0.0,
                        (1, _) => at(row, column, output),
                        _ => [(0, 0), (0, 1), (1, 0), (1, 1)]
                            .map(|(dy, dx)| at(2 * row + dy, 2 * column + dx, output))
                            .into_iter()
                            .fold(f64::MIN, f64::max),
                    };
                    let sum = sum + f64::from(bias[output]) + skip;
                    y.push(if sum > 0.0 { sum } else { sum * f64::from(slopes[output]) });
                }
            }
        }
        y
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_block_is_what_its_definition_says(
            height in 1usize..14, width in 1usize..60, from in 1usize..70, more in 0usize..40, halves: bool, is_large: bool,
            seed: u64,
        ) {
            let (height, width) = if halves { (2 * height, 2 * width) } else { (height, width) };
            let (to, stride) = if halves { (from + more, 2) } else { (from, 1) };
            let mut random = seeded(seed, "blaze");
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            let x = values(height * width * from);
            let kernel = if is_large { 5 } else { 3 };
            let (filters, filter_bias) = (values(kernel * kernel * from), values(from));
            let (weights, bias, slopes) = (values(from * to), values(to), values(to));
            // Trained slopes are negative and above 1 as well.
            let slopes: Vec<f32> = slopes.iter().map(|s| 6.0 * s).collect();
            let expected = plain(&x, [height, width], &filters, &filter_bias, &weights, &bias, &slopes, stride);
            let blaze =
                Blaze::new([&filters, &filter_bias], [&weights, &bias], &slopes, [height, width], stride).unwrap();
            let mut blocked = Buffer::zeros(blocks(from) * height * width * BLOCK);
            pack(&x, from, &mut blocked);
            let pixels = expected.len() / to;
            for instructions in Instructions::all() {
                let mut scratch = vec![f32::NAN; blaze.scratch()];
                let mut out = vec![f32::NAN; blocks(to) * pixels * BLOCK];
                RunBlaze { blaze: &blaze, x: &blocked, scratch: &mut scratch, out: &mut out }.run(instructions);
                let mut found = vec![f32::NAN; expected.len()];
                unpack(&out, to, &mut found);
                for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let error = (f64::from(*found) - expected).abs();
                    prop_assert!(error < 1e-4 * (1.0 + expected.abs()), "{instructions:?} {index}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn weights_that_make_no_block_are_refused() {
        let zeros = [0.0; 64];
        let new = |filters, from, weights, to, slopes, size, stride| {
            let z = |count: usize| &zeros[..count];
            Blaze::new([z(filters), z(from)], [z(weights), z(to)], z(slopes), size, stride).err()
        };
        assert_eq!(new(18, 2, 4, 2, 2, [4, 4], 1), None);
        assert_eq!(new(18, 2, 6, 3, 3, [4, 4], 2), None);
        assert_eq!(new(18, 2, 6, 3, 3, [4, 4], 1), Some(Misfit), "what is added has other channels");
        assert_eq!(new(18, 2, 4, 2, 2, [5, 4], 2), Some(Misfit), "an odd picture has no halves");
        assert_eq!(new(50, 2, 4, 2, 2, [4, 4], 1), None);
        assert_eq!(new(17, 2, 4, 2, 2, [4, 4], 1), Some(Misfit));
        assert_eq!(new(32, 2, 4, 2, 2, [4, 4], 1), Some(Misfit), "a filter of 4x4");
        assert_eq!(new(18, 2, 4, 2, 1, [4, 4], 1), Some(Misfit));
        assert_eq!(new(0, 0, 0, 0, 0, [4, 4], 1), Some(Misfit));
    }
}

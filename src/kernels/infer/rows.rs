//! A convolution and the depthwise convolution after it, a few rows at a time. The values between them would fill a map
//! six times as large as the others; a ring of rows that fits the cache holds them instead.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::bf16::PAIRS;
use super::blocks::{BLOCK, BlockPlanes, BlockPlanesMut, PANEL, blocks};
use super::filter::{Filter, FilterRow, LARGEST_KERNEL};
use super::parts::{Panels, Scratch};
use super::product::{Lines, Panel, Product, ProductOperand};
use crate::kernels::Window;
use crate::kernels::simd::Instructions;

/// Fewest pixels that are computed before the next panel's weights are loaded.
const PIXELS: usize = 56;
/// Pixels of the largest picture that is processed panel by panel: a panel of that many pixels stays in the
/// second-level cache (256 KiB of the 1 MiB on which it was tuned).
const WHOLE: usize = 2048;

/// The source of the depthwise convolution's input.
#[derive(Debug, Clone, Copy)]
pub enum RowSource<'a> {
    /// A 1x1 convolution of `x`.
    Pointwise {
        /// Its weights.
        product: &'a Product,
        /// Its input.
        x: BlockPlanes<'a>,
    },
    /// A dense convolution of a picture.
    Dense(Dense<'a>),
    /// The input as it is.
    Given(BlockPlanes<'a>),
}

/// Rows of a 1x1 convolution's input in bfloat16.
#[derive(Debug, Clone, Copy)]
struct Words<'a> {
    words: &'a [u32],
    /// Index of the first row.
    first: usize,
    rows: usize,
}

/// A dense convolution of a picture `[height, width, colours]` with its borders.
#[derive(Debug, Clone, Copy)]
pub struct Dense<'a> {
    /// Its weights, `[kernel * kernel * colours, out]`.
    pub product: &'a Product,
    /// The picture.
    pub picture: &'a [f32],
    /// Values in a row of the picture.
    pub row: usize,
    /// Step of the window.
    pub stride: usize,
    /// Channels of the picture.
    pub colours: usize,
    /// Side of the window.
    pub kernel: usize,
}

impl<'a> Dense<'a> {
    fn operand(&self, row: usize) -> ProductOperand<'a> {
        ProductOperand::Windows {
            values: &self.picture[row * self.stride * self.row..],
            row: self.row,
            step: self.stride * self.colours,
            length: self.kernel * self.colours,
        }
    }
}

impl RowSource<'_> {
    /// Computes the rows from `row` on and writes them to the blocks of `panel`.
    #[inline(always)]
    fn produce<S: Simd>(
        &self,
        simd: S,
        panel: usize,
        row: usize,
        size: Size,
        words: Option<Words<'_>>,
        out: BlockPlanesMut<'_>,
    ) {
        let Size { rows: lines, columns: pixels, to_step } = size;
        let (product, x, from_step) = match self {
            Self::Pointwise { product, x } => {
                let x = match words {
                    Some(Words { words, first, rows }) => ProductOperand::Pairs {
                        words: &words[(row - first) * pixels * PAIRS..],
                        plane: rows * pixels * PAIRS,
                    },
                    None => ProductOperand::Blocks(BlockPlanes {
                        values: &x.values[row * pixels * BLOCK..],
                        plane: x.plane,
                    }),
                };
                (product, x, pixels * BLOCK)
            }
            Self::Dense(dense) => (&dense.product, dense.operand(row), dense.stride * dense.row),
            Self::Given(x) => {
                for (block, out) in out.values.chunks_mut(out.plane).enumerate() {
                    let from = (panel * PANEL / BLOCK + block) * x.plane + row * pixels * BLOCK;
                    let from = x.values[from..].chunks(pixels * BLOCK).take(lines);
                    for (out, from) in out.chunks_mut(to_step).zip(from) {
                        out[..pixels * BLOCK].copy_from_slice(from);
                    }
                }
                return;
            }
        };
        let lines = Lines { lines, pixels, from_step, to_step };
        Panel { product, weights: product.weights(), panel, x, lines, shortcut: None }.run(simd, out);
    }
}

/// Rows and columns to produce, and the distance between two rows in values.
#[derive(Debug, Clone, Copy)]
struct Size {
    rows: usize,
    columns: usize,
    to_step: usize,
}

/// The layout of the values between two convolutions: `[blocks][rows][columns][BLOCK]`. It holds one panel's blocks if
/// the picture is small, and otherwise some rows of all blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    window: Window,
    /// Rows of the input that are computed together.
    group: usize,
    rows: usize,
    /// Columns, borders included.
    columns: usize,
}

impl Ring {
    /// The ring for a depthwise convolution with this `window`.
    pub fn new(window: Window) -> Self {
        let group = match window.height * window.width <= WHOLE {
            true => window.height,
            false => PIXELS.div_ceil(window.width).min(window.height),
        };
        let rows = (group + window.kernel - 1).min(window.height);
        let spanned = (window.out_width() - 1) * window.stride + window.kernel;
        Self { window, group, rows, columns: spanned.max(window.left() + window.width) }
    }

    /// Values that the ring takes for `channels`.
    pub fn size(&self, channels: usize) -> usize {
        let blocks = blocks(channels);
        self.plane() * if self.is_whole() { blocks.min(PANEL / BLOCK) } else { blocks }
    }

    /// Words that `channels` of the first convolution's input take in bfloat16.
    pub fn words(&self, channels: usize) -> usize {
        blocks(channels) * self.group * self.window.width * PAIRS
    }

    /// Whether each panel covers the whole picture before the next one starts.
    fn is_whole(&self) -> bool {
        self.group == self.window.height
    }

    /// Distance between two blocks of the input, in values.
    pub fn input_plane(&self) -> usize {
        self.window.height * self.window.width * BLOCK
    }

    fn plane(&self) -> usize {
        self.rows * self.columns * BLOCK
    }

    fn slot(&self, block: usize, row: usize) -> usize {
        let block = if self.is_whole() { block % (PANEL / BLOCK) } else { block };
        block * self.plane() + row % self.rows * self.columns * BLOCK
    }
}

/// A convolution and the depthwise convolution after it.
#[derive(Debug)]
pub struct RunRows<'a> {
    /// The first convolution, or its result.
    pub source: RowSource<'a>,
    /// The depthwise convolution.
    pub filter: &'a Filter,
    /// The layout of the rows between them.
    pub ring: Ring,
    /// Which panels of channels.
    pub panels: Range<usize>,
    /// The result, `[blocks][out_height * out_width][BLOCK]`.
    pub out: &'a mut [f32],
    /// Receives the result's sums over the pixels, `[blocks][BLOCK]`.
    pub sums: Option<&'a mut [f32]>,
}

impl<'a> RunRows<'a> {
    /// Number of panels in a depthwise convolution's channels.
    pub fn panels_of(filter: &Filter) -> usize {
        blocks(filter.channels()).div_ceil(PANEL / BLOCK)
    }

    /// The end of the result's rows that need no input row from `until` on.
    fn ready(&self, finished: usize, until: usize) -> usize {
        let window = &self.ring.window;
        let reach = |out_row: usize| (out_row * window.stride + window.kernel).saturating_sub(window.top());
        (finished..window.out_height())
            .find(|&row| reach(row).min(window.height) > until)
            .unwrap_or(window.out_height())
    }
}

impl Panels for RunRows<'_> {
    fn panels(&self) -> usize {
        self.panels.len()
    }

    fn multiplications(&self) -> usize {
        let window = &self.ring.window;
        let per_pixel = match &self.source {
            RowSource::Pointwise { product, .. } => product.from(),
            RowSource::Dense(dense) => dense.product.from(),
            RowSource::Given(_) => 0,
        };
        let per_result = window.kernel * window.kernel;
        let channels = self.panels.len() * PANEL;
        (window.height * window.width * per_pixel + window.out_height() * window.out_width() * per_result) * channels
    }

    fn split(self, panels: usize) -> (Self, Self) {
        let Self { source, filter, ring, panels: all, out, sums } = self;
        let middle = all.start + panels;
        let plane = ring.window.out_height() * ring.window.out_width() * BLOCK;
        let (out, other_out) = out.split_at_mut(panels * PANEL / BLOCK * plane);
        let (sums, other_sums) = sums.map(|sums| sums.split_at_mut(panels * PANEL)).unzip();
        (
            Self { source, filter, ring, panels: all.start..middle, out, sums },
            Self { source, filter, ring, panels: middle..all.end, out: other_out, sums: other_sums },
        )
    }

    fn run(self, scratch: &mut Scratch, instructions: Instructions) {
        instructions.run(RowsWithScratch { rows: self, scratch });
    }
}

/// Rows, and the scratch for the values between the two convolutions.
struct RowsWithScratch<'a, 'b> {
    rows: RunRows<'a>,
    scratch: &'b mut Scratch,
}

impl RowsWithScratch<'_, '_> {
    fn clear_borders(&mut self) {
        let Ring { window, columns, .. } = self.rows.ring;
        let (left, right) = (window.left() * BLOCK, (window.left() + window.width) * BLOCK);
        for row in self.scratch.between.chunks_exact_mut(columns * BLOCK) {
            row[..left].fill(0.0);
            row[right..].fill(0.0);
        }
    }
}

impl WithSimd for RowsWithScratch<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.clear_borders();
        let Self { rows: mut run, scratch: Scratch { between, words } } = self;
        if let Some(sums) = &mut run.sums {
            sums.fill(0.0);
        }
        let ring = run.ring;
        let window = ring.window;
        let all_blocks = blocks(run.filter.channels());
        // From here on, blocks are counted within this part.
        let begin_block = run.panels.start * PANEL / BLOCK;
        let out_row_length = window.out_width() * BLOCK;
        let (mut produced, mut finished) = (0, 0);
        while finished < window.out_height() {
            let until = (produced + ring.group).min(window.height);
            let ready = run.ready(finished, until);
            let words = match &run.source {
                RowSource::Pointwise { product, x } => product.bf16().map(|bf16| {
                    let rows = until - produced;
                    let count = rows * window.width;
                    let x = BlockPlanes { values: &x.values[produced * window.width * BLOCK..], plane: x.plane };
                    let words = &mut words[..blocks(product.from()) * count * PAIRS];
                    bf16.narrow(x, count, None, words);
                    Words { words, first: produced, rows }
                }),
                _ => None,
            };
            for panel in run.panels.clone() {
                let first = panel * PANEL / BLOCK;
                let last = (first + PANEL / BLOCK).min(all_blocks);
                let mut row = produced;
                while row < until {
                    // As many rows as are contiguous in the ring.
                    let rows = (ring.rows - row % ring.rows).min(until - row);
                    let begin = ring.slot(first - begin_block, row) + window.left() * BLOCK;
                    let end = ring.slot(last - 1 - begin_block, 0) + ring.plane();
                    let out = BlockPlanesMut { values: &mut between[begin..end], plane: ring.plane() };
                    let size = Size { rows, columns: window.width, to_step: ring.columns * BLOCK };
                    run.source.produce(simd, panel, row, size, words, out);
                    row += rows;
                }
                for block in first..last {
                    let own = block - begin_block;
                    for out_row in finished..ready {
                        let mut rows = [None; LARGEST_KERNEL];
                        for (row, kernel_row) in window.rows(out_row) {
                            rows[kernel_row] = Some(&between[ring.slot(own, row)..][..ring.columns * BLOCK]);
                        }
                        let begin = (own * window.out_height() + out_row) * out_row_length;
                        simd.vectorize(FilterRow {
                            filter: run.filter,
                            block,
                            rows,
                            out: &mut run.out[begin..begin + out_row_length],
                            sums: run.sums.as_mut().map(|sums| &mut sums[own * BLOCK..][..BLOCK]),
                        });
                    }
                }
            }
            (produced, finished) = (until, ready);
        }
    }
}

/// A dense convolution with no depthwise convolution after it.
#[derive(Debug)]
pub struct RunDense<'a> {
    /// The convolution.
    pub dense: Dense<'a>,
    /// Rows and columns of the result.
    pub size: [usize; 2],
    /// The result, `[blocks][rows * columns][BLOCK]`.
    pub out: &'a mut [f32],
}

impl RunDense<'_> {
    /// Runs it with `instructions`.
    pub fn run(self, instructions: Instructions) {
        instructions.run(self);
    }
}

impl WithSimd for RunDense<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [rows, columns] = self.size;
        let plane = rows * columns * BLOCK;
        for panel in 0..self.dense.product.panels() {
            let out = BlockPlanesMut { values: &mut self.out[panel * PANEL / BLOCK * plane..], plane };
            let size = Size { rows, columns, to_step: columns * BLOCK };
            RowSource::Dense(self.dense).produce(simd, panel, 0, size, None, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::Activation;
    use crate::kernels::infer::blocks::{Buffer, pack, unpack};
    use crate::random::seeded;

    /// A convolution by its definition; `weights(kernel_row, kernel_column, in, out)` is 0 if `out` does not depend on
    /// `in`.
    fn plain(
        x: &[f32],
        [from, to]: [usize; 2],
        window: Window,
        weights: impl Fn(usize, usize, usize, usize) -> f32,
        bias: &[f32],
        activation: Activation,
    ) -> Vec<f32> {
        let mut y = Vec::new();
        for out_row in 0..window.out_height() {
            for out_column in 0..window.out_width() {
                for (output, bias) in bias.iter().enumerate().take(to) {
                    let mut sum = *bias;
                    for (row, kernel_row) in window.rows(out_row) {
                        for (column, kernel_column) in window.columns(out_column) {
                            for input in 0..from {
                                sum += x[(row * window.width + column) * from + input]
                                    * weights(kernel_row, kernel_column, input, output);
                            }
                        }
                    }
                    y.push(activation.apply(sum));
                }
            }
        }
        y
    }

    fn blocked(values: &[f32], channels: usize) -> Buffer {
        let mut blocked = Buffer::zeros(blocks(channels) * values.len() / channels * BLOCK);
        pack(values, channels, &mut blocked);
        blocked
    }

    fn close(found: &[f32], expected: &[f32]) -> Result<(), TestCaseError> {
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            prop_assert!(
                (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{index}: {found} is not {expected}"
            );
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_depthwise_convolution_is_what_the_sums_say(
            height in 1usize..20, width in 1usize..20, channels in 1usize..40, from in 1usize..20, seed: u64,
            kernel in prop::sample::select(vec![1usize, 3, 5, 7]), stride in 1usize..4, is_given: bool,
            activation in prop::sample::select(vec![Activation::Identity, Activation::Relu6, Activation::Silu]),
        ) {
            let mut random = seeded(seed, "rows");
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            let window = Window { height, width, kernel, stride };
            let pixels = Window { height, width, kernel: 1, stride: 1 };
            let (first, first_bias) = (values(from * channels), values(channels));
            let (taps, bias) = (values(kernel * kernel * channels), values(channels));
            let x = values(height * width * if is_given { channels } else { from });
            let between = match is_given {
                true => x.clone(),
                false => plain(
                    &x, [from, channels], pixels, |_, _, i, o| first[i * channels + o], &first_bias, Activation::Relu6,
                ),
            };
            let tap = |row, column, input, output| match input == output {
                true => taps[(row * kernel + column) * channels + input],
                false => 0.0,
            };
            let expected = plain(&between, [channels; 2], window, tap, &bias, activation);
            let product = Product::new(&first, &first_bias, Activation::Relu6);
            let filter = Filter::new(&taps, &bias, kernel, stride, activation);
            let x = blocked(&x, if is_given { channels } else { from });
            let x = BlockPlanes { values: &x, plane: height * width * BLOCK };
            let ring = Ring::new(window);
            let out_pixels = window.out_height() * window.out_width();
            for instructions in Instructions::all() {
                let mut between = Buffer::zeros(ring.size(channels));
                between.fill(f32::NAN);
                let mut out = vec![f32::NAN; blocks(channels) * out_pixels * BLOCK];
                let mut sums = vec![f32::NAN; blocks(channels) * BLOCK];
                RunRows {
                    source: if is_given { RowSource::Given(x) } else { RowSource::Pointwise { product: &product, x } },
                    filter: &filter,
                    ring,
                    panels: 0..RunRows::panels_of(&filter),
                    out: &mut out,
                    sums: Some(&mut sums),
                }.run(&mut Scratch { between, words: Buffer::default() }, instructions);
                let mut found = vec![f32::NAN; expected.len()];
                unpack(&out, channels, &mut found);
                close(&found, &expected)?;
                let mut totals = vec![0.0; channels];
                for pixel in found.chunks_exact(channels) {
                    totals.iter_mut().zip(pixel).for_each(|(total, value)| *total += value);
                }
                close(&sums[..channels], &totals)?;
            }
        }

        #[test]
        fn a_dense_convolution_is_what_the_sums_say(
            height in 1usize..20, width in 1usize..20, colours in 1usize..5, channels in 1usize..40, seed: u64,
            kernel in prop::sample::select(vec![1usize, 3, 5]), stride in 1usize..4,
        ) {
            let mut random = seeded(seed, "dense");
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            let window = Window { height, width, kernel, stride };
            let (weights, bias) = (values(kernel * kernel * colours * channels), values(channels));
            let x = values(height * width * colours);
            let weight = |row, column, i, o| weights[((row * kernel + column) * colours + i) * channels + o];
            let expected = plain(&x, [colours, channels], window, weight, &bias, Activation::Silu);
            let product = Product::new(&weights, &bias, Activation::Silu);
            let row = ((window.out_width() - 1) * stride + kernel).max(window.left() + width) * colours;
            let rows = ((window.out_height() - 1) * stride + kernel).max(window.top() + height);
            let mut picture = vec![0.0; rows * row];
            for (from, to) in x.chunks_exact(width * colours).zip(picture.chunks_exact_mut(row).skip(window.top())) {
                to[window.left() * colours..][..width * colours].copy_from_slice(from);
            }
            let dense = Dense { product: &product, picture: &picture, row, stride, colours, kernel };
            for instructions in Instructions::all() {
                let size = [window.out_height(), window.out_width()];
                let mut out = vec![f32::NAN; blocks(channels) * size[0] * size[1] * BLOCK];
                RunDense { dense, size, out: &mut out }.run(instructions);
                let mut found = vec![f32::NAN; expected.len()];
                unpack(&out, channels, &mut found);
                close(&found, &expected)?;
            }
        }
    }
}

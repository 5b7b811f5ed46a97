//! The matrix product of inference: pixels times packed weights. Bias, activation and shortcut are applied while the
//! results are still in the nearest cache. It serves 1x1 and fully connected layers and also the dense first
//! convolution, which passes rows of a picture instead of blocks of channels.
//!
//! Weights are packed once into panels of [`PANEL`] output channels, `[panel][in][PANEL]`, so that each step of the
//! inner loop reads one contiguous line of them. A tile of pixels times a panel is summed in registers, `DEPTH`
//! inputs at a time.
//!
//! Every sum starts with the bias and runs over the inputs in order, whichever tile it falls into, so that a pixel's
//! result does not depend on how pixels are grouped.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::bf16::{Bf16, PAIRS};
use super::blocks::{BLOCK, BlockPlanes, BlockPlanesMut, Buffer, PANEL, blocks};
use super::parts::{Panels, Scratch};
use crate::kernels::Activation;
use crate::kernels::simd::{Instructions, activate, lanes, multiply_add};

/// Pixels in a tile if a register holds 16 channels. Every width of EfficientNet at 224 pixels is a multiple of 7.
const ROWS_OF_16: usize = 7;
/// Pixels in a tile if registers are narrower.
const ROWS_OF_8: usize = 3;

/// Packed weights, bias and activation.
#[derive(Debug, Clone)]
pub struct Product {
    from: usize,
    to: usize,
    /// `[panel][from][PANEL]`.
    weights: Buffer,
    /// `[panel][PANEL]`.
    bias: Buffer,
    activation: Activation,
    narrow: Option<Narrow>,
}

/// Weights in bfloat16, which replace the others.
#[derive(Debug, Clone)]
struct Narrow {
    /// `[panel][pair of inputs][PANEL]`.
    weights: Buffer<u32>,
    bf16: Bf16,
}

impl Product {
    /// Packs `weights`, `[from, to]`, and `bias`, `[to]`.
    pub fn new(weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let to = bias.len();
        let from = weights.len() / to;
        let panels = to.div_ceil(PANEL);
        let mut packed = Buffer::zeros(panels * from * PANEL);
        for (input, row) in weights.chunks_exact(to).enumerate() {
            for (output, weight) in row.iter().enumerate() {
                packed[(output / PANEL * from + input) * PANEL + output % PANEL] = *weight;
            }
        }
        let mut padded = Buffer::zeros(panels * PANEL);
        padded[..to].copy_from_slice(bias);
        Self { from, to, weights: packed, bias: padded, activation, narrow: None }
    }

    /// The same product in bfloat16.
    pub fn narrowed(self, bf16: Bf16) -> Self {
        let half = self.from.div_ceil(2);
        let mut weights = Buffer::zeros(self.panels() * half * PANEL);
        let word = |value: f32| u32::from(half::bf16::from_f32(value).to_bits());
        for panel in 0..self.panels() {
            for input in 0..self.from {
                let line = &self.weights[(panel * self.from + input) * PANEL..][..PANEL];
                let words = &mut weights[(panel * half + input / 2) * PANEL..][..PANEL];
                for (words, weight) in words.iter_mut().zip(line) {
                    *words |= word(*weight) << (input % 2 * 16);
                }
            }
        }
        Self { weights: Buffer::default(), narrow: Some(Narrow { weights, bf16 }), ..self }
    }

    /// The proof of the instructions if the product is in bfloat16.
    pub fn bf16(&self) -> Option<Bf16> {
        self.narrow.as_ref().map(|narrow| narrow.bf16)
    }

    /// Number of input channels.
    pub fn from(&self) -> usize {
        self.from
    }

    /// Number of output channels.
    pub fn to(&self) -> usize {
        self.to
    }

    /// Number of panels of output channels.
    pub fn panels(&self) -> usize {
        self.to.div_ceil(PANEL)
    }

    /// Blocks that `panel` writes: 2, or 1 if it is the last panel and at most half full.
    pub fn blocks_of(&self, panel: usize) -> usize {
        (blocks(self.to) - panel * PANEL / BLOCK).min(PANEL / BLOCK)
    }

    /// The packed weights.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }
}

/// The input of a product.
#[derive(Debug, Clone, Copy)]
pub enum ProductOperand<'a> {
    /// Blocks of channels.
    Blocks(BlockPlanes<'a>),
    /// Windows of a picture `[height, width, colours]`, row by row.
    Windows {
        /// The values from the first window on.
        values: &'a [f32],
        /// Distance between two rows of the picture, in values.
        row: usize,
        /// Distance between two windows, in values.
        step: usize,
        /// Values that a window takes from each row.
        length: usize,
    },
    /// Blocks of channels in bfloat16, for products in bfloat16; see [`super::bf16`].
    Pairs {
        /// The words from the first pixel on.
        words: &'a [u32],
        /// Distance between two blocks, in words.
        plane: usize,
    },
}

/// The pixels of a product, in lines.
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// Number of lines.
    pub lines: usize,
    /// Pixels in a line.
    pub pixels: usize,
    /// Distance between two lines of the operand, in values.
    pub from_step: usize,
    /// Distance between two lines of the result, in values.
    pub to_step: usize,
}

/// Input channels whose weights are applied to all pixels before the next ones: 16 KiB of weights, half the first-level
/// cache.
const DEPTH: usize = 8 * BLOCK;

/// One panel of a product: `out = activation(x * weights + bias) + shortcut`.
#[derive(Debug)]
pub struct Panel<'a> {
    /// The product.
    pub product: &'a Product,
    /// Its weights, as packed or scaled.
    pub weights: &'a [f32],
    /// Which panel.
    pub panel: usize,
    /// The input.
    pub x: ProductOperand<'a>,
    /// Which pixels.
    pub lines: Lines,
    /// Added to the result; has the result's layout.
    pub shortcut: Option<BlockPlanes<'a>>,
}

impl Panel<'_> {
    /// Computes the panel and writes its blocks of `out`.
    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S, out: BlockPlanesMut<'_>) {
        let from = self.product.from;
        let depth = match self.x {
            ProductOperand::Blocks(_) => DEPTH,
            ProductOperand::Pairs { .. } => 2 * DEPTH,
            ProductOperand::Windows { .. } => from,
        };
        for begin in (0..from).step_by(depth) {
            let inputs = begin..(begin + depth).min(from);
            for line in 0..self.lines.lines {
                let out = BlockPlanesMut { values: &mut out.values[line * self.lines.to_step..], plane: out.plane };
                self.line(simd, line, inputs.clone(), out);
            }
        }
    }

    #[inline(always)]
    fn line<S: Simd>(&self, simd: S, line: usize, inputs: Range<usize>, out: BlockPlanesMut<'_>) {
        let rows = match lanes::<S>() {
            16 => ROWS_OF_16,
            _ => ROWS_OF_8,
        };
        // Tiles of similar size: a last tile of a single pixel would wait for its own sums.
        let tiles = self.lines.pixels.div_ceil(rows);
        let mut first = 0;
        for tile in 0..tiles {
            let extent = TileExtent { line, first, inputs: inputs.clone() };
            let rows = (self.lines.pixels - first) / (tiles - tile);
            let out = BlockPlanesMut { values: &mut out.values[first * BLOCK..], plane: out.plane };
            match (lanes::<S>(), self.product.blocks_of(self.panel)) {
                (16, 2) => self.tile_of_7::<S, 2>(simd, extent, rows, out),
                (16, _) => self.tile_of_7::<S, 1>(simd, extent, rows, out),
                (8, 2) => self.tile_of_3::<S, 4>(simd, extent, rows, out),
                (8, _) => self.tile_of_3::<S, 2>(simd, extent, rows, out),
                (_, 2) => self.tile_of_3::<S, 8>(simd, extent, rows, out),
                (_, _) => self.tile_of_3::<S, 4>(simd, extent, rows, out),
            }
            first += rows;
        }
    }

    #[inline(always)]
    fn tile_of_7<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        extent: TileExtent,
        rows: usize,
        out: BlockPlanesMut<'_>,
    ) {
        match rows {
            1 => self.tile::<S, 1, VECTORS>(simd, extent, out),
            2 => self.tile::<S, 2, VECTORS>(simd, extent, out),
            3 => self.tile::<S, 3, VECTORS>(simd, extent, out),
            4 => self.tile::<S, 4, VECTORS>(simd, extent, out),
            5 => self.tile::<S, 5, VECTORS>(simd, extent, out),
            6 => self.tile::<S, 6, VECTORS>(simd, extent, out),
            _ => self.tile::<S, 7, VECTORS>(simd, extent, out),
        }
    }

    #[inline(always)]
    fn tile_of_3<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        extent: TileExtent,
        rows: usize,
        out: BlockPlanesMut<'_>,
    ) {
        match rows {
            1 => self.tile::<S, 1, VECTORS>(simd, extent, out),
            2 => self.tile::<S, 2, VECTORS>(simd, extent, out),
            _ => self.tile::<S, 3, VECTORS>(simd, extent, out),
        }
    }

    /// Computes `ROWS` pixels.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        extent: TileExtent,
        out: BlockPlanesMut<'_>,
    ) {
        let TileExtent { line, first, inputs } = extent;
        let from = self.product.from;
        let ends = inputs.end == from;
        let weights = || &self.weights[(self.panel * from + inputs.start) * PANEL..][..inputs.len() * PANEL];
        let bias = (inputs.start == 0).then(|| &self.product.bias[self.panel * PANEL..][..PANEL]);
        let shortcut = self
            .shortcut
            .filter(|_| ends)
            .map(|s| BlockPlanes { values: &s.values[line * self.lines.to_step + first * BLOCK..], plane: s.plane });
        let activation = if ends { self.product.activation } else { Activation::Identity };
        let line = line * self.lines.from_step;
        let end = End { shortcut, activation };
        // Each tile is a function of its own; otherwise the enclosing function grows too large for the compiler.
        match self.x {
            ProductOperand::Blocks(x) => simd.vectorize(Tile::<'_, ROWS, VECTORS, BLOCK> {
                weights: weights(),
                bias,
                x: &x.values[inputs.start / BLOCK * x.plane + line + first * BLOCK..],
                segment: x.plane,
                length: BLOCK,
                step: BLOCK,
                out,
                end,
            }),
            ProductOperand::Windows { values, row, step, length } => simd.vectorize(Tile::<'_, ROWS, VECTORS, 0> {
                weights: weights(),
                bias,
                x: &values[line + first * step..],
                segment: row,
                length,
                step,
                out,
                end,
            }),
            ProductOperand::Pairs { words, plane } => {
                let Some(Narrow { weights, bf16 }) = &self.product.narrow else {
                    unreachable!("words are made for products in bfloat16 only");
                };
                let half = from.div_ceil(2);
                let weights = &weights[(self.panel * half + inputs.start / 2) * PANEL..];
                let weights = &weights[..inputs.len().div_ceil(2) * PANEL];
                let x = &words[inputs.start / BLOCK * plane + line / 2 + first * PAIRS..];
                let mut out = out;
                // If registers hold 16 channels, there are as many registers as blocks.
                if lanes::<S>() == BLOCK {
                    bf16.sums::<ROWS, VECTORS>(weights, bias, x, plane, &mut out);
                }
                let blocks = self.product.blocks_of(self.panel);
                simd.vectorize(Finish { end, rows: ROWS, blocks, out });
            }
        }
    }
}

/// The pixels and inputs that a tile covers.
struct TileExtent {
    line: usize,
    first: usize,
    inputs: Range<usize>,
}

/// A tile. `STEP` is the distance between pixels if the compiler knows it, else 0.
struct Tile<'a, const ROWS: usize, const VECTORS: usize, const STEP: usize> {
    weights: &'a [f32],
    /// Without a bias, the tile continues the sums in `out`.
    bias: Option<&'a [f32]>,
    x: &'a [f32],
    /// Distance between segments of a pixel's inputs.
    segment: usize,
    /// Inputs in a segment; fewer in the last one.
    length: usize,
    step: usize,
    out: BlockPlanesMut<'a>,
    end: End<'a>,
}

/// What is done to complete sums.
#[derive(Debug, Clone, Copy)]
struct End<'a> {
    activation: Activation,
    shortcut: Option<BlockPlanes<'a>>,
}

impl End<'_> {
    /// Applies activation and shortcut to the sums of `rows` pixels in `blocks` blocks.
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, rows: usize, blocks: usize, out: &mut BlockPlanesMut<'_>) {
        for block in 0..blocks {
            let out = S::as_mut_simd_f32s(&mut out.values[block * out.plane..][..rows * BLOCK]).0;
            if self.activation != Activation::Identity {
                for value in out.iter_mut() {
                    *value = activate(simd, self.activation, *value);
                }
            }
            if let Some(shortcut) = self.shortcut {
                let shortcut = S::as_simd_f32s(&shortcut.values[block * shortcut.plane..][..rows * BLOCK]).0;
                for (value, other) in out.iter_mut().zip(shortcut) {
                    *value = simd.add_f32s(*value, *other);
                }
            }
        }
    }
}

/// [`End::finish`] as a unit of its own.
struct Finish<'a> {
    end: End<'a>,
    rows: usize,
    blocks: usize,
    out: BlockPlanesMut<'a>,
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.end.finish(simd, self.rows, self.blocks, &mut self.out);
    }
}

impl<const ROWS: usize, const VECTORS: usize, const STEP: usize> WithSimd for Tile<'_, ROWS, VECTORS, STEP> {
    type Output = ();

    // Plain loops over constant ranges; any other form sends the sums through memory.
    #[expect(clippy::needless_range_loop, clippy::manual_memcpy, reason = "indices keep the accumulators in registers")]
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = lanes::<S>();
        let step = if STEP == 0 { self.step } else { STEP };
        let per_block = BLOCK / lanes;
        let plane = self.out.plane / lanes;
        let index = |row: usize, vector: usize| vector / per_block * plane + row * per_block + vector % per_block;
        let out = S::as_mut_simd_f32s(&mut *self.out.values).0;
        assert!(out.len() > index(ROWS - 1, VECTORS - 1));
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        match self.bias {
            Some(bias) => {
                let bias = &S::as_simd_f32s(bias).0[..VECTORS];
                for row in 0..ROWS {
                    for vector in 0..VECTORS {
                        sums[row][vector] = bias[vector];
                    }
                }
            }
            None => {
                for row in 0..ROWS {
                    for vector in 0..VECTORS {
                        sums[row][vector] = out[index(row, vector)];
                    }
                }
            }
        }
        for (segment, weights) in self.weights.chunks(self.length * PANEL).enumerate() {
            let x = &self.x[segment * self.segment..];
            let length = weights.len() / PANEL;
            let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &x[row * step..][..length]);
            let lines = S::as_simd_f32s(weights).0.chunks_exact(PANEL / lanes);
            for (input, line) in lines.enumerate() {
                // Of 32 registers there are some for the weights. Of 16 there is one: each weight is loaded once and serves
                // all pixels, whose values wait.
                if lanes == 16 {
                    for row in 0..ROWS {
                        let value = simd.splat_f32s(rows[row][input]);
                        for vector in 0..VECTORS {
                            sums[row][vector] = multiply_add(simd, value, line[vector], sums[row][vector]);
                        }
                    }
                } else {
                    let mut values = [simd.splat_f32s(0.0); ROWS];
                    for row in 0..ROWS {
                        values[row] = simd.splat_f32s(rows[row][input]);
                    }
                    for vector in 0..VECTORS {
                        let weight = line[vector];
                        for row in 0..ROWS {
                            sums[row][vector] = multiply_add(simd, values[row], weight, sums[row][vector]);
                        }
                    }
                }
            }
        }
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                out[index(row, vector)] = sums[row][vector];
            }
        }
        self.end.finish(simd, ROWS, VECTORS / per_block, &mut self.out);
    }
}

/// Values of the operand that go through all panels before the next ones, so that they stay in the second-level cache
/// meanwhile (512 KiB of the 1 MiB on which it was tuned).
const CHUNK: usize = 128 << 10;

/// A whole product: some panels for `count` pixels.
#[derive(Debug)]
pub struct RunProduct<'a> {
    /// The product.
    pub product: &'a Product,
    /// Its weights, as packed or scaled; ignored in bfloat16.
    pub weights: &'a [f32],
    /// The input.
    pub x: BlockPlanes<'a>,
    /// Number of pixels.
    pub count: usize,
    /// A factor for each input channel, in bfloat16 only.
    pub scale: Option<&'a [f32]>,
    /// Added to the result; has the layout of all panels' results.
    pub shortcut: Option<BlockPlanes<'a>>,
    /// Which panels.
    pub panels: Range<usize>,
    /// The results.
    pub out: BlockPlanesMut<'a>,
}

impl RunProduct<'_> {
    /// Words that `count` pixels of input take for a `product` in bfloat16.
    pub fn words(product: &Product, count: usize) -> usize {
        blocks(product.from) * chunk(product).min(count) * PAIRS
    }
}

impl Panels for RunProduct<'_> {
    fn panels(&self) -> usize {
        self.panels.len()
    }

    fn multiplications(&self) -> usize {
        self.count * self.product.from * self.panels.len() * PANEL
    }

    fn split(self, panels: usize) -> (Self, Self) {
        let Self { product, weights, x, count, scale, shortcut, panels: all, out } = self;
        let middle = all.start + panels;
        let (values, others) = out.values.split_at_mut(panels * PANEL / BLOCK * out.plane);
        let part = |panels, values| {
            let out = BlockPlanesMut { values, plane: out.plane };
            Self { product, weights, x, count, scale, shortcut, panels, out }
        };
        (part(all.start..middle, values), part(middle..all.end, others))
    }

    fn run(self, scratch: &mut Scratch, instructions: Instructions) {
        instructions.run(ProductWithScratch { run: self, words: &mut scratch.words });
    }
}

/// A product and scratch for its inputs in bfloat16; see [`RunProduct::words`].
struct ProductWithScratch<'a, 'b> {
    run: RunProduct<'a>,
    words: &'b mut [u32],
}

/// Number of pixels that are processed together.
fn chunk(product: &Product) -> usize {
    (CHUNK / product.from).next_multiple_of(ROWS_OF_16)
}

impl WithSimd for ProductWithScratch<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { run, words } = self;
        let product = run.product;
        let mut first = 0;
        while first < run.count {
            let count = chunk(product).min(run.count - first);
            let x = BlockPlanes { values: &run.x.values[first * BLOCK..], plane: run.x.plane };
            let plane = count * PAIRS;
            if let Some(bf16) = product.bf16() {
                bf16.narrow(x, count, run.scale, &mut words[..blocks(product.from) * plane]);
            }
            let x = match product.bf16() {
                Some(_) => ProductOperand::Pairs { words, plane },
                None => ProductOperand::Blocks(x),
            };
            for panel in run.panels.clone() {
                let block = panel * PANEL / BLOCK;
                let own = block - run.panels.start * PANEL / BLOCK;
                let shortcut = run
                    .shortcut
                    .map(|s| BlockPlanes { values: &s.values[block * s.plane + first * BLOCK..], plane: s.plane });
                let out = BlockPlanesMut {
                    values: &mut run.out.values[own * run.out.plane + first * BLOCK..],
                    plane: run.out.plane,
                };
                let lines = Lines { lines: 1, pixels: count, from_step: 0, to_step: 0 };
                Panel { product, weights: run.weights, panel, x, lines, shortcut }.run(simd, out);
            }
            first += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::infer::blocks::{pack, unpack};
    use crate::random::seeded;

    proptest! {
        #[test]
        fn a_product_is_what_the_sums_say(
            pixels in 1usize..40, from in 1usize..70, to in 1usize..80, seed: u64, has_shortcut: bool,
            activation in prop::sample::select(vec![Activation::Identity, Activation::Relu6, Activation::Silu]),
        ) {
            let mut random = seeded(seed, "product");
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            let (weights, bias) = (values(from * to), values(to));
            let product = Product::new(&weights, &bias, activation);
            let (x, shortcut) = (values(pixels * from), values(pixels * to));
            let blocked = |values: &[f32], channels: usize| {
                let mut blocked = Buffer::zeros(blocks(channels) * pixels * BLOCK);
                pack(values, channels, &mut blocked);
                blocked
            };
            let (blocked_x, blocked_shortcut) = (blocked(&x, from), blocked(&shortcut, to));
            let plane = pixels * BLOCK;
            for instructions in Instructions::all() {
                let mut out = vec![f32::NAN; blocks(to) * plane];
                RunProduct {
                    product: &product,
                    weights: product.weights(),
                    x: BlockPlanes { values: &blocked_x, plane },
                    count: pixels,
                    scale: None,
                    shortcut: has_shortcut.then_some(BlockPlanes { values: &blocked_shortcut, plane }),
                    panels: 0..product.panels(),
                    out: BlockPlanesMut { values: &mut out, plane },
                }.run(&mut Scratch::default(), instructions);
                let mut found = vec![f32::NAN; pixels * to];
                unpack(&out, to, &mut found);
                for (index, found) in found.into_iter().enumerate() {
                    let (pixel, channel) = (index / to, index % to);
                    let sum: f64 = (0..from)
                        .map(|k| f64::from(x[pixel * from + k]) * f64::from(weights[k * to + channel]))
                        .sum::<f64>() + f64::from(bias[channel]);
                    let shortcut = if has_shortcut { shortcut[index] } else { 0.0 };
                    let expected = activation.apply(sum as f32) + shortcut;
                    prop_assert!((found - expected).abs() < 1e-4, "{instructions:?} {pixel} {channel}: {found} {expected}");
                }
                let zeros = out.iter().filter(|v| **v == 0.0).count();
                prop_assert!(zeros >= out.len() - pixels * to, "what fills up the last block is 0");
            }
        }
    }

    #[test]
    fn a_pixels_result_does_not_depend_on_its_neighbours() {
        let mut random = seeded(1, "product");
        let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
        let product = Product::new(&values(100 * 48), &values(48), Activation::Silu);
        let x = values(112 * 23 * BLOCK);
        for instructions in Instructions::all() {
            let run = |first: usize, count: usize| {
                let mut out = vec![0.0; 3 * 23 * BLOCK];
                RunProduct {
                    product: &product,
                    weights: product.weights(),
                    x: BlockPlanes { values: &x[first * BLOCK..], plane: 23 * BLOCK },
                    count,
                    scale: None,
                    shortcut: None,
                    panels: 0..product.panels(),
                    out: BlockPlanesMut { values: &mut out, plane: count * BLOCK },
                }
                .run(&mut Scratch::default(), instructions);
                (0..3).map(|block| out[block * count * BLOCK..][..BLOCK].to_vec()).collect::<Vec<_>>()
            };
            for first in 0..20 {
                assert_eq!(run(first, 1), run(first, 23 - first), "{}", instructions.name());
            }
        }
    }

    proptest! {
        #[test]
        fn a_product_in_bfloat16_is_that_of_the_rounded_numbers(
            pixels in 1usize..60, from in 1usize..300, to in 1usize..80, seed: u64, has_scale: bool,
        ) {
            let Some(bf16) = Bf16::detect() else {
                println!("skipped: a_product_in_bfloat16_is_that_of_the_rounded_numbers (this CPU has no AVX512-BF16)");
                return Ok(());
            };
            let mut random = seeded(seed, "bf16");
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            let (weights, bias, x, scale) = (values(from * to), values(to), values(pixels * from), values(from));
            let product = Product::new(&weights, &bias, Activation::Silu).narrowed(bf16);
            let plane = pixels * BLOCK;
            let mut blocked = Buffer::zeros(blocks(from) * plane);
            pack(&x, from, &mut blocked);
            let mut padded_scale = vec![0.0; blocks(from) * BLOCK];
            padded_scale[..from].copy_from_slice(&scale);
            let mut out = vec![f32::NAN; blocks(to) * plane];
            let mut scratch = Scratch { words: Buffer::zeros(RunProduct::words(&product, pixels)), ..Scratch::default() };
            RunProduct {
                product: &product,
                weights: &[],
                x: BlockPlanes { values: &blocked, plane },
                count: pixels,
                scale: has_scale.then_some(&padded_scale),
                shortcut: None,
                panels: 0..product.panels(),
                out: BlockPlanesMut { values: &mut out, plane },
            }.run(&mut scratch, Instructions::best());
            let mut found = vec![f32::NAN; pixels * to];
            unpack(&out, to, &mut found);
            let rounded = |value: f32| f64::from(half::bf16::from_f32(value).to_f32());
            for (index, found) in found.into_iter().enumerate() {
                let (pixel, channel) = (index / to, index % to);
                let scaled = |k: usize| x[pixel * from + k] * if has_scale { scale[k] } else { 1.0 };
                let sum: f64 = (0..from).map(|k| rounded(scaled(k)) * rounded(weights[k * to + channel])).sum();
                let expected = Activation::Silu.apply((sum + f64::from(bias[channel])) as f32);
                prop_assert!((found - expected).abs() < 1e-4, "{pixel} {channel}: {found} {expected}");
            }
        }
    }
}

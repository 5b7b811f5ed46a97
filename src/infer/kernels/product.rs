//! The matrix product of inference: pixels times packed weights, with bias, activation and shortcut applied while the
//! results are still in the nearest cache. It serves 1x1 and fully connected layers and, with rows of a picture in the
//! place of blocks of channels, the dense first convolution.
//!
//! Weights are packed once into panels of [`PANEL`] output channels, `[panel][in][PANEL]`, so that a step of the inner loop
//! reads one contiguous line of them. A tile of pixels times a panel is summed in registers, [`DEPTH`] inputs at a time.
//!
//! Every sum begins with the bias and runs over the inputs in their order, whatever the tile it falls into, so that a
//! pixel's result does not depend on how pixels are grouped.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Activation;
use super::blocks::{BLOCK, Buffer, PANEL, Planes, PlanesMut, blocks};
use super::simd::{Instructions, activate, lanes, multiply_add};

/// Pixels of a tile where a register holds 16 channels. Every width of EfficientNet at 224 pixels is a multiple of 7.
const ROWS_OF_16: usize = 7;
/// Pixels of a tile with narrower registers.
const ROWS_OF_8: usize = 3;

/// Packed weights and what follows them.
#[derive(Debug, Clone)]
pub struct Product {
    from: usize,
    to: usize,
    /// `[panel][from][PANEL]`.
    weights: Buffer,
    /// `[panel][PANEL]`.
    bias: Buffer,
    activation: Activation,
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
        Self { from, to, weights: packed, bias: padded, activation }
    }

    /// Channels that go in.
    pub fn from(&self) -> usize {
        self.from
    }

    /// Channels that come out.
    pub fn to(&self) -> usize {
        self.to
    }

    /// Panels of output channels.
    pub fn panels(&self) -> usize {
        self.to.div_ceil(PANEL)
    }

    /// Blocks that `panel` writes: 2, or 1 in a last one that is at most half full.
    pub fn blocks_of(&self, panel: usize) -> usize {
        (blocks(self.to) - panel * PANEL / BLOCK).min(PANEL / BLOCK)
    }

    /// The packed weights.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }
}

/// What goes into a product.
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a> {
    /// Blocks of channels.
    Blocks(Planes<'a>),
    /// Windows of a picture `[height, width, colours]`, row by row.
    Windows {
        /// From the first window's first value on.
        values: &'a [f32],
        /// Values from a row of the picture to the next.
        row: usize,
        /// Values from a window to the next.
        step: usize,
        /// Values a window takes of each row.
        length: usize,
    },
}

/// Lines of pixels.
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// How many.
    pub lines: usize,
    /// Pixels of a line.
    pub pixels: usize,
    /// Values from a line of the operand to the next.
    pub from_step: usize,
    /// Values from a line of the result to the next.
    pub to_step: usize,
}

/// Input channels whose weights are used for all pixels before the next ones: 16 KiB of them, half the first-level cache.
const DEPTH: usize = 8 * BLOCK;

/// One panel of a product: `out = activation(x * weights + bias) + shortcut`.
#[derive(Debug)]
pub struct Panel<'a> {
    /// The product.
    pub product: &'a Product,
    /// Its weights, or its weights scaled.
    pub weights: &'a [f32],
    /// Which panel.
    pub panel: usize,
    /// What goes in.
    pub x: Operand<'a>,
    /// Which pixels.
    pub lines: Lines,
    /// What is added, laid out as the result.
    pub shortcut: Option<Planes<'a>>,
}

impl Panel<'_> {
    /// Runs it, into the panel's blocks of `out`.
    #[inline(always)]
    pub fn run<S: Simd>(&self, simd: S, out: PlanesMut<'_>) {
        let from = self.product.from;
        let depth = if matches!(self.x, Operand::Blocks(_)) { DEPTH } else { from };
        for begin in (0..from).step_by(depth) {
            let inputs = begin..(begin + depth).min(from);
            for line in 0..self.lines.lines {
                let out = PlanesMut { values: &mut out.values[line * self.lines.to_step..], plane: out.plane };
                self.line(simd, line, inputs.clone(), out);
            }
        }
    }

    #[inline(always)]
    fn line<S: Simd>(&self, simd: S, line: usize, inputs: Range<usize>, out: PlanesMut<'_>) {
        let rows = match lanes::<S>() {
            16 => ROWS_OF_16,
            _ => ROWS_OF_8,
        };
        // Tiles of even size: a last one of a single pixel would wait for its own sums.
        let tiles = self.lines.pixels.div_ceil(rows);
        let mut first = 0;
        for tile in 0..tiles {
            let place = Place { line, first, inputs: inputs.clone() };
            let rows = (self.lines.pixels - first) / (tiles - tile);
            let out = PlanesMut { values: &mut out.values[first * BLOCK..], plane: out.plane };
            match (lanes::<S>(), self.product.blocks_of(self.panel)) {
                (16, 2) => self.tile_of_7::<S, 2>(simd, place, rows, out),
                (16, _) => self.tile_of_7::<S, 1>(simd, place, rows, out),
                (8, 2) => self.tile_of_3::<S, 4>(simd, place, rows, out),
                (8, _) => self.tile_of_3::<S, 2>(simd, place, rows, out),
                (_, 2) => self.tile_of_3::<S, 8>(simd, place, rows, out),
                (_, _) => self.tile_of_3::<S, 4>(simd, place, rows, out),
            }
            first += rows;
        }
    }

    #[inline(always)]
    fn tile_of_7<S: Simd, const VECTORS: usize>(&self, simd: S, place: Place, rows: usize, out: PlanesMut<'_>) {
        match rows {
            1 => self.tile::<S, 1, VECTORS>(simd, place, out),
            2 => self.tile::<S, 2, VECTORS>(simd, place, out),
            3 => self.tile::<S, 3, VECTORS>(simd, place, out),
            4 => self.tile::<S, 4, VECTORS>(simd, place, out),
            5 => self.tile::<S, 5, VECTORS>(simd, place, out),
            6 => self.tile::<S, 6, VECTORS>(simd, place, out),
            _ => self.tile::<S, 7, VECTORS>(simd, place, out),
        }
    }

    #[inline(always)]
    fn tile_of_3<S: Simd, const VECTORS: usize>(&self, simd: S, place: Place, rows: usize, out: PlanesMut<'_>) {
        match rows {
            1 => self.tile::<S, 1, VECTORS>(simd, place, out),
            2 => self.tile::<S, 2, VECTORS>(simd, place, out),
            _ => self.tile::<S, 3, VECTORS>(simd, place, out),
        }
    }

    /// `ROWS` pixels.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(&self, simd: S, place: Place, out: PlanesMut<'_>) {
        let Place { line, first, inputs } = place;
        let from = self.product.from;
        let ends = inputs.end == from;
        let weights = &self.weights[(self.panel * from + inputs.start) * PANEL..][..inputs.len() * PANEL];
        let bias = (inputs.start == 0).then(|| &self.product.bias[self.panel * PANEL..][..PANEL]);
        let shortcut = self
            .shortcut
            .filter(|_| ends)
            .map(|s| Planes { values: &s.values[line * self.lines.to_step + first * BLOCK..], plane: s.plane });
        let activation = if ends { self.product.activation } else { Activation::Identity };
        let line = line * self.lines.from_step;
        // A function of its own each, or the one around it grows beyond what compilers take.
        match self.x {
            Operand::Blocks(x) => simd.vectorize(Tile::<'_, ROWS, VECTORS, BLOCK> {
                weights,
                bias,
                x: &x.values[inputs.start / BLOCK * x.plane + line + first * BLOCK..],
                segment: x.plane,
                length: BLOCK,
                step: BLOCK,
                out,
                shortcut,
                activation,
            }),
            Operand::Windows { values, row, step, length } => simd.vectorize(Tile::<'_, ROWS, VECTORS, 0> {
                weights,
                bias,
                x: &values[line + first * step..],
                segment: row,
                length,
                step,
                out,
                shortcut,
                activation,
            }),
        }
    }
}

/// Which pixels and inputs a tile is about.
struct Place {
    line: usize,
    first: usize,
    inputs: Range<usize>,
}

/// A tile. `STEP` is the distance between pixels where it is known to the compiler, else 0.
struct Tile<'a, const ROWS: usize, const VECTORS: usize, const STEP: usize> {
    weights: &'a [f32],
    /// Where there is none, the sums so far stand in `out`.
    bias: Option<&'a [f32]>,
    x: &'a [f32],
    /// Distance between segments of a pixel's inputs.
    segment: usize,
    /// Inputs in a segment; fewer in the last one.
    length: usize,
    step: usize,
    out: PlanesMut<'a>,
    shortcut: Option<Planes<'a>>,
    activation: Activation,
}

impl<const ROWS: usize, const VECTORS: usize, const STEP: usize> WithSimd for Tile<'_, ROWS, VECTORS, STEP> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = lanes::<S>();
        let step = if STEP == 0 { self.step } else { STEP };
        let per_block = BLOCK / lanes;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        match self.bias {
            Some(bias) => {
                for row in &mut sums {
                    row.copy_from_slice(&S::as_simd_f32s(bias).0[..VECTORS]);
                }
            }
            None => {
                for block in 0..VECTORS / per_block {
                    let so_far = S::as_simd_f32s(&self.out.values[block * self.out.plane..][..ROWS * BLOCK]).0;
                    for (sums, so_far) in sums.iter_mut().zip(so_far.chunks_exact(per_block)) {
                        sums[block * per_block..][..per_block].copy_from_slice(so_far);
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
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let value = simd.splat_f32s(row[input]);
                    for (sum, weight) in sums.iter_mut().zip(line) {
                        *sum = multiply_add(simd, value, *weight, *sum);
                    }
                }
            }
        }
        for block in 0..VECTORS / per_block {
            let out = &mut self.out.values[block * self.out.plane..][..ROWS * BLOCK];
            let out = S::as_mut_simd_f32s(out).0;
            for (out, sums) in out.chunks_exact_mut(per_block).zip(&sums) {
                out.copy_from_slice(&sums[block * per_block..][..per_block]);
            }
            if self.activation != Activation::Identity {
                for value in out.iter_mut() {
                    *value = activate(simd, self.activation, *value);
                }
            }
            if let Some(shortcut) = self.shortcut {
                let shortcut = S::as_simd_f32s(&shortcut.values[block * shortcut.plane..][..ROWS * BLOCK]).0;
                for (value, other) in out.iter_mut().zip(shortcut) {
                    *value = simd.add_f32s(*value, *other);
                }
            }
        }
    }
}

/// Values of the operand that are worked through with all panels before the next ones: they stay in the second-level
/// cache meanwhile (512 KiB of the 1 MiB it was tuned on).
const CHUNK: usize = 128 << 10;

/// A whole product: all panels for `count` pixels.
#[derive(Debug)]
pub struct RunProduct<'a> {
    /// The product.
    pub product: &'a Product,
    /// Its weights, or its weights scaled.
    pub weights: &'a [f32],
    /// What goes in.
    pub x: Planes<'a>,
    /// Pixels.
    pub count: usize,
    /// What is added, laid out as the result.
    pub shortcut: Option<Planes<'a>>,
    /// Where it goes.
    pub out: PlanesMut<'a>,
}

impl RunProduct<'_> {
    /// Does it.
    pub fn run(self, instructions: Instructions) {
        instructions.run(self);
    }
}

impl WithSimd for RunProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let chunk = (CHUNK / self.product.from).next_multiple_of(ROWS_OF_16);
        let mut first = 0;
        while first < self.count {
            let count = chunk.min(self.count - first);
            for panel in 0..self.product.panels() {
                let block = panel * PANEL / BLOCK;
                let x = Planes { values: &self.x.values[first * BLOCK..], plane: self.x.plane };
                let shortcut = self
                    .shortcut
                    .map(|s| Planes { values: &s.values[block * s.plane + first * BLOCK..], plane: s.plane });
                let out = PlanesMut {
                    values: &mut self.out.values[block * self.out.plane + first * BLOCK..],
                    plane: self.out.plane,
                };
                let product = self.product;
                let lines = Lines { lines: 1, pixels: count, from_step: 0, to_step: 0 };
                Panel { product, weights: self.weights, panel, x: Operand::Blocks(x), lines, shortcut }.run(simd, out);
            }
            first += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt as _;

    use super::super::blocks::{pack, unpack};
    use super::*;
    use crate::model::parameters::seeded;

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
                    x: Planes { values: &blocked_x, plane },
                    count: pixels,
                    shortcut: has_shortcut.then_some(Planes { values: &blocked_shortcut, plane }),
                    out: PlanesMut { values: &mut out, plane },
                }.run(instructions);
                let mut found = vec![f32::NAN; pixels * to];
                unpack(&out, to, &mut found);
                for (place, found) in found.into_iter().enumerate() {
                    let (pixel, channel) = (place / to, place % to);
                    let sum: f64 = (0..from)
                        .map(|k| f64::from(x[pixel * from + k]) * f64::from(weights[k * to + channel]))
                        .sum::<f64>() + f64::from(bias[channel]);
                    let shortcut = if has_shortcut { shortcut[place] } else { 0.0 };
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
                    x: Planes { values: &x[first * BLOCK..], plane: 23 * BLOCK },
                    count,
                    shortcut: None,
                    out: PlanesMut { values: &mut out, plane: count * BLOCK },
                }
                .run(instructions);
                (0..3).map(|block| out[block * count * BLOCK..][..BLOCK].to_vec()).collect::<Vec<_>>()
            };
            for first in 0..20 {
                assert_eq!(run(first, 1), run(first, 23 - first), "{}", instructions.name());
            }
        }
    }
}

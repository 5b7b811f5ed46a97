//! Depthwise convolution: one `kernel` x `kernel` filter for each channel.
//!
//! `x` is `[images, height, width, channels]`, the weights `[kernel, kernel, channels]`, the result `[images,
//! out_height, out_width, channels]`.

use std::ops::Range;

use rayon::prelude::*;

use super::lanes::{Blocks, lanes, lanes_mut, over_channels};
use crate::kernels::Window;
use crate::kernels::window::Taps;

/// `y = x * weights`.
pub fn forward(x: &[f32], weights: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let [input_image, output_image] = image_sizes(channels, window);
    let mut y = vec![0.0; x.len() / input_image * output_image];
    y.par_chunks_mut(output_image).zip(x.par_chunks(input_image)).for_each(|(y, x)| {
        forward_images(x, weights, y, channels, window);
    });
    y
}

/// The gradient with respect to `x`, given `dy` of the output's shape.
pub fn input_gradient(dy: &[f32], weights: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let [input_image, output_image] = image_sizes(channels, window);
    let mut dx = vec![0.0; dy.len() / output_image * input_image];
    dx.par_chunks_mut(input_image).zip(dy.par_chunks(output_image)).for_each(|(dx, dy)| {
        input_gradient_images(dy, weights, dx, channels, window);
    });
    dx
}

/// The gradient with respect to the weights, summed over the images in order.
pub fn weight_gradient(x: &[f32], dy: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let [input_image, output_image] = image_sizes(channels, window);
    let size = window.kernel * window.kernel * channels;
    let partial: Vec<Vec<f32>> = x
        .par_chunks(input_image)
        .zip(dy.par_chunks(output_image))
        .map(|(x, dy)| {
            let mut dw = vec![0.0; size];
            add_weight_gradient(x, dy, &mut dw, channels, window);
            dw
        })
        .collect();
    let mut dw = vec![0.0; size];
    for partial in &partial {
        for (sum, value) in dw.iter_mut().zip(partial) {
            *sum += value;
        }
    }
    dw
}

fn image_sizes(channels: usize, window: &Window) -> [usize; 2] {
    [window.height * window.width * channels, window.out_height() * window.out_width() * channels]
}

/// [`forward`] for some images, on this thread.
pub(super) fn forward_images(x: &[f32], weights: &[f32], y: &mut [f32], channels: usize, window: &Window) {
    let [input_image, output_image] = image_sizes(channels, window);
    let (rows, columns) = (window.row_taps(), window.column_taps());
    let gather =
        Gather { weights, channels, kernel: window.kernel, width: window.width, rows: &rows, columns: &columns };
    for (x, y) in x.chunks_exact(input_image).zip(y.chunks_exact_mut(output_image)) {
        gather.run(x, y);
    }
}

/// [`input_gradient`] for some images, on this thread.
pub(super) fn input_gradient_images(dy: &[f32], weights: &[f32], dx: &mut [f32], channels: usize, window: &Window) {
    let [input_image, output_image] = image_sizes(channels, window);
    let (rows, columns) = (window.row_taps().reversed(window.height), window.column_taps().reversed(window.width));
    let width = window.out_width();
    let gather = Gather { weights, channels, kernel: window.kernel, width, rows: &rows, columns: &columns };
    for (dx, dy) in dx.chunks_exact_mut(input_image).zip(dy.chunks_exact(output_image)) {
        gather.run(dy, dx);
    }
}

/// Computes each pixel of the target as a weighted sum of the source pixels that the taps name. This is the convolution
/// itself; with reversed taps, it is the gradient of its input.
struct Gather<'a> {
    weights: &'a [f32],
    channels: usize,
    kernel: usize,
    /// Columns of the source.
    width: usize,
    rows: &'a Taps,
    columns: &'a Taps,
}

impl Gather<'_> {
    fn run(&self, source: &[f32], target: &mut [f32]) {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let row_length = self.columns.len() * self.channels;
                for (row, target) in target.chunks_exact_mut(row_length).enumerate() {
                    for (column, target) in target.chunks_exact_mut(self.channels).enumerate() {
                        let mut pixel = GatherPixel {
                            gather: self,
                            rows: self.rows.of(row),
                            columns: self.columns.of(column),
                            source,
                            target,
                        };
                        over_channels(self.channels, &mut pixel);
                    }
                }
            },
        );
    }
}

struct GatherPixel<'a> {
    gather: &'a Gather<'a>,
    rows: &'a [(usize, usize)],
    columns: &'a [(usize, usize)],
    source: &'a [f32],
    target: &'a mut [f32],
}

impl Blocks for GatherPixel<'_> {
    #[inline(always)]
    fn block<const LANES: usize>(&mut self, first: usize) {
        let Gather { weights, channels, kernel, width, .. } = self.gather;
        let mut sums = [0.0f32; LANES];
        for (row, kernel_row) in self.rows {
            for (column, kernel_column) in self.columns {
                let x = lanes::<LANES>(self.source, (row * width + column) * channels + first);
                let w = lanes::<LANES>(weights, (kernel_row * kernel + kernel_column) * channels + first);
                for lane in 0..LANES {
                    sums[lane] += x[lane] * w[lane];
                }
            }
        }
        *lanes_mut(self.target, first) = sums;
    }
}

/// Adds the weights' gradient for some images to `dw`, on this thread.
pub(super) fn add_weight_gradient(x: &[f32], dy: &[f32], dw: &mut [f32], channels: usize, window: &Window) {
    let [input_image, output_image] = image_sizes(channels, window);
    let (rows, columns) = (window.row_taps(), window.column_taps());
    let by_kernel: Vec<_> = (0..window.kernel).map(|k| columns.under(k)).collect();
    for (x, dy) in x.chunks_exact(input_image).zip(dy.chunks_exact(output_image)) {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let mut task = WeightGradient { x, dy, dw, channels, window, rows: &rows, columns: &by_kernel };
                over_channels(channels, &mut task);
            },
        );
    }
}

struct WeightGradient<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dw: &'a mut [f32],
    channels: usize,
    window: &'a Window,
    rows: &'a Taps,
    /// [`Taps::under`] for each column of the kernel.
    columns: &'a [(Range<usize>, usize)],
}

impl Blocks for WeightGradient<'_> {
    #[inline(always)]
    fn block<const LANES: usize>(&mut self, first: usize) {
        let Self { channels, .. } = *self;
        for out_row in 0..self.rows.len() {
            for &(row, kernel_row) in self.rows.of(out_row) {
                for (kernel_column, (out_columns, start)) in self.columns.iter().enumerate() {
                    let mut sums = [0.0f32; LANES];
                    for (step, out_column) in out_columns.clone().enumerate() {
                        let column = start + step * self.window.stride;
                        let x = lanes::<LANES>(self.x, (row * self.window.width + column) * channels + first);
                        let at = (out_row * self.window.out_width() + out_column) * channels + first;
                        let dy = lanes::<LANES>(self.dy, at);
                        for lane in 0..LANES {
                            sums[lane] += x[lane] * dy[lane];
                        }
                    }
                    let at = (kernel_row * self.window.kernel + kernel_column) * channels + first;
                    let dw = lanes_mut::<LANES>(self.dw, at);
                    for lane in 0..LANES {
                        dw[lane] += sums[lane];
                    }
                }
            }
        }
    }
}

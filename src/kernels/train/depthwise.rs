//! Depthwise convolution: one `kernel` x `kernel` filter for each channel.
//!
//! `x` is `[images, height, width, channels]`, the weights `[kernel, kernel, channels]`, the result `[images,
//! out_height, out_width, channels]`.

use rayon::prelude::*;

use pulp::Simd;

use super::lanes::{VectorBlocks, add, add_products, over_vectors, store, vectors};
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
    let sides = [window.height, window.width];
    let taps = EvenTaps { step: window.stride, before: [window.top(), window.left()], is_reversed: false };
    let gather =
        Gather { weights, channels, kernel: window.kernel, sides, rows: &rows, columns: &columns, even: Some(taps) };
    for (x, y) in x.chunks_exact(input_image).zip(y.chunks_exact_mut(output_image)) {
        gather.run(x, y);
    }
}

/// [`input_gradient`] for some images, on this thread.
pub(super) fn input_gradient_images(dy: &[f32], weights: &[f32], dx: &mut [f32], channels: usize, window: &Window) {
    let [input_image, output_image] = image_sizes(channels, window);
    let (rows, columns) = (window.row_taps().reversed(window.height), window.column_taps().reversed(window.width));
    let sides = [window.out_height(), window.out_width()];
    let even = (window.stride == 1).then(|| {
        let before = [window.top(), window.left()].map(|before| window.kernel - 1 - before);
        EvenTaps { step: 1, before, is_reversed: true }
    });
    let gather = Gather { weights, channels, kernel: window.kernel, sides, rows: &rows, columns: &columns, even };
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
    /// Rows and columns of the source.
    sides: [usize; 2],
    rows: &'a Taps,
    columns: &'a Taps,
    /// The rule of the taps, if they have one.
    even: Option<EvenTaps>,
}

/// Taps that lie side by side: tap `t` of target index `i` is source index `i * step + t - before`, where there is one.
#[derive(Clone, Copy)]
struct EvenTaps {
    step: usize,
    /// For rows and columns.
    before: [usize; 2],
    /// Whether the kernel's last weight belongs to the first tap.
    is_reversed: bool,
}

impl Gather<'_> {
    fn run(&self, source: &[f32], target: &mut [f32]) {
        let row_length = self.columns.len() * self.channels;
        for (row, target) in target.chunks_exact_mut(row_length).enumerate() {
            over_vectors(self.channels, &mut GatherRow { gather: self, row, source, target });
        }
    }
}

/// Computes one row of the target.
struct GatherRow<'a> {
    gather: &'a Gather<'a>,
    row: usize,
    source: &'a [f32],
    target: &'a mut [f32],
}

impl VectorBlocks for GatherRow<'_> {
    #[inline(always)]
    fn block<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
        match (self.gather.even, self.gather.kernel) {
            (Some(taps), 3) => self.even::<S, 3, COUNT>(simd, first, taps),
            // At step 2, few columns are left for what it costs to load 25 weights.
            (Some(taps), 5) if taps.step == 1 => self.even::<S, 5, COUNT>(simd, first, taps),
            _ => self.any::<S, COUNT>(simd, first),
        }
    }
}

impl GatherRow<'_> {
    #[inline(always)]
    fn any<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
        let Gather { weights, channels, kernel, sides: [_, width], rows, columns, .. } = *self.gather;
        for (column, target) in self.target.chunks_exact_mut(channels).enumerate() {
            let mut sums = [simd.splat_f32s(0.0); COUNT];
            for (source_row, kernel_row) in rows.of(self.row) {
                for (source_column, kernel_column) in columns.of(column) {
                    let x = vectors(simd, self.source, (source_row * width + source_column) * channels + first);
                    let w = vectors(simd, weights, (kernel_row * kernel + kernel_column) * channels + first);
                    add_products(simd, &mut sums, x, w);
                }
            }
            store(simd, target, first, sums);
        }
    }

    /// As [`any`](Self::any) for a constant `KERNEL` and taps side by side: the weights stay in registers.
    #[inline(always)]
    fn even<S: Simd, const KERNEL: usize, const COUNT: usize>(&mut self, simd: S, first: usize, taps: EvenTaps) {
        let Gather { weights, channels, sides: [height, width], .. } = *self.gather;
        let mut by_tap = [[[simd.splat_f32s(0.0); COUNT]; KERNEL]; KERNEL];
        for (tap, w) in by_tap.as_flattened_mut().iter_mut().enumerate() {
            let weight = if taps.is_reversed { KERNEL * KERNEL - 1 - tap } else { tap };
            *w = vectors(simd, weights, weight * channels + first);
        }
        // Where a tap lies above or left of the picture, its index wraps and is greater than any that is inside.
        let top = (self.row * taps.step).wrapping_sub(taps.before[0]);
        let mut lines: [Option<&[f32]>; KERNEL] = [None; KERNEL];
        for (tap, line) in lines.iter_mut().enumerate() {
            let row = top.wrapping_add(tap);
            *line = (row < height).then(|| &self.source[row * width * channels..][..width * channels]);
        }
        let mut left = taps.before[1].wrapping_neg();
        for target in self.target.chunks_exact_mut(channels) {
            let is_inside = left < (width + 1).saturating_sub(KERNEL);
            let mut sums = [simd.splat_f32s(0.0); COUNT];
            for (line, by_column) in lines.iter().zip(&by_tap) {
                let Some(line) = line else { continue };
                if is_inside {
                    let pixels = &line[left * channels..][..KERNEL * channels];
                    for (tap, w) in by_column.iter().enumerate() {
                        add_products(simd, &mut sums, vectors(simd, pixels, tap * channels + first), *w);
                    }
                } else {
                    for (tap, w) in by_column.iter().enumerate() {
                        let column = left.wrapping_add(tap);
                        if column < width {
                            add_products(simd, &mut sums, vectors(simd, line, column * channels + first), *w);
                        }
                    }
                }
            }
            store(simd, target, first, sums);
            left = left.wrapping_add(taps.step);
        }
    }
}

/// Adds the weights' gradient for some images to `dw`, on this thread.
pub(super) fn add_weight_gradient(x: &[f32], dy: &[f32], dw: &mut [f32], channels: usize, window: &Window) {
    let [input_image, output_image] = image_sizes(channels, window);
    let rows = window.row_taps();
    for (x, dy) in x.chunks_exact(input_image).zip(dy.chunks_exact(output_image)) {
        over_vectors(channels, &mut WeightGradient { x, dy, dw, channels, window, rows: &rows });
    }
}

struct WeightGradient<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dw: &'a mut [f32],
    channels: usize,
    window: &'a Window,
    rows: &'a Taps,
}

impl VectorBlocks for WeightGradient<'_> {
    #[inline(always)]
    fn block<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
        let Self { channels, window, .. } = *self;
        let (width, out_width) = (window.width * channels, window.out_width() * channels);
        for (out_row, dy) in self.dy.chunks_exact(out_width).enumerate() {
            for &(row, kernel_row) in self.rows.of(out_row) {
                let x = &self.x[row * width..][..width];
                let dw = &mut self.dw[kernel_row * window.kernel * channels..];
                let mut columns = WeightColumns { x, dy, dw, channels, window, first };
                match window.kernel {
                    3 => columns.add::<S, 3, COUNT>(simd, 0),
                    5 => columns.add::<S, 5, COUNT>(simd, 0),
                    kernel => {
                        for column in 0..kernel {
                            columns.add::<S, 1, COUNT>(simd, column);
                        }
                    }
                }
            }
        }
    }
}

/// One row of the input, the row of the result's gradient that it contributes to, and the kernel's row that connects them.
struct WeightColumns<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dw: &'a mut [f32],
    channels: usize,
    window: &'a Window,
    first: usize,
}

impl WeightColumns<'_> {
    /// Adds the gradients of `COLUMNS` columns of the kernel, from `kernel_column` on.
    #[inline(always)]
    fn add<S: Simd, const COLUMNS: usize, const COUNT: usize>(&mut self, simd: S, kernel_column: usize) {
        let Self { channels, window: &Window { width, stride, .. }, first, .. } = *self;
        let mut sums = [[simd.splat_f32s(0.0); COUNT]; COLUMNS];
        // Left of the picture, the index wraps and is greater than any that is inside.
        let mut left = kernel_column.wrapping_sub(self.window.left());
        for dy in self.dy.chunks_exact(channels) {
            let dy = vectors(simd, dy, first);
            for (tap, sums) in sums.iter_mut().enumerate() {
                let column = left.wrapping_add(tap);
                if column < width {
                    add_products(simd, sums, vectors(simd, self.x, column * channels + first), dy);
                }
            }
            left = left.wrapping_add(stride);
        }
        for (tap, sums) in sums.iter().enumerate() {
            let at = (kernel_column + tap) * channels + first;
            let mut dw: [S::f32s; COUNT] = vectors(simd, self.dw, at);
            add(simd, &mut dw, *sums);
            store(simd, self.dw, at, dw);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::random::seeded;

    /// Forward, input's gradient and weights' gradient by their definition, in double precision.
    fn defined(x: &[f32], weights: &[f32], dy: &[f32], channels: usize, window: &Window) -> [Vec<f64>; 3] {
        let [input_image, output_image] = image_sizes(channels, window);
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; weights.len()]);
        for image in 0..x.len() / input_image {
            for out_row in 0..window.out_height() {
                for out_column in 0..window.out_width() {
                    for (row, kernel_row) in window.rows(out_row) {
                        for (column, kernel_column) in window.columns(out_column) {
                            for channel in 0..channels {
                                let of_x = image * input_image + (row * window.width + column) * channels + channel;
                                let of_weights = (kernel_row * window.kernel + kernel_column) * channels + channel;
                                let of_y = image * output_image
                                    + (out_row * window.out_width() + out_column) * channels
                                    + channel;
                                y[of_y] += f64::from(x[of_x]) * f64::from(weights[of_weights]);
                                dx[of_x] += f64::from(dy[of_y]) * f64::from(weights[of_weights]);
                                dw[of_weights] += f64::from(dy[of_y]) * f64::from(x[of_x]);
                            }
                        }
                    }
                }
            }
        }
        [y, dx, dw]
    }

    /// The numbers of channels end in every width of vector; the sides are smaller and larger than the kernels.
    #[test]
    fn the_operations_are_what_they_are_defined_to_be() {
        let mut random = seeded(1, "depthwise");
        let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
        for channels in [1, 4, 29, 61] {
            for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 3)] {
                for (height, width) in [(1, 1), (2, 3), (7, 4), (12, 13)] {
                    let window = Window { height, width, kernel, stride };
                    let [input_image, output_image] = image_sizes(channels, &window);
                    let (x, weights, dy) =
                        (values(3 * input_image), values(kernel * kernel * channels), values(3 * output_image));
                    let found = [
                        forward(&x, &weights, channels, &window),
                        input_gradient(&dy, &weights, channels, &window),
                        weight_gradient(&x, &dy, channels, &window),
                    ];
                    for (found, defined) in found.iter().zip(defined(&x, &weights, &dy, channels, &window)) {
                        assert_eq!(found.len(), defined.len());
                        for (found, defined) in found.iter().zip(defined) {
                            assert!(
                                (f64::from(*found) - defined).abs() < 2e-5,
                                "{channels} {window:?}: {found} {defined}"
                            );
                        }
                    }
                }
            }
        }
    }
}

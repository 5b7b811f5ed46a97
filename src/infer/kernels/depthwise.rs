//! Depthwise convolution: one `kernel` x `kernel` filter a channel.
//!
//! `x` is `[images, height, width, channels]`, the weights `[kernel, kernel, channels]`, the result
//! `[images, out_height, out_width, channels]`.

use rayon::prelude::*;

use super::Window;

/// Channels handled at once with the sums in registers: one AVX-512 register, two of AVX2.
const LANES: usize = 16;

/// `y = x * weights`.
pub fn forward(x: &[f32], weights: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let input_image = window.height * window.width * channels;
    let row = window.out_width() * channels;
    let output_image = window.out_height() * row;
    let mut y = vec![0.0; x.len() / input_image * output_image];
    let arch = pulp::Arch::new();
    y.par_chunks_mut(output_image).zip(x.par_chunks(input_image)).for_each(|(y, x)| {
        arch.dispatch(
            #[inline(always)]
            || {
                for (out_row, y) in y.chunks_exact_mut(row).enumerate() {
                    for (out_column, y) in y.chunks_exact_mut(channels).enumerate() {
                        pixel_forward(x, weights, y, channels, window, out_row, out_column);
                    }
                }
            },
        );
    });
    y
}

#[inline(always)]
fn pixel_forward(
    x: &[f32],
    weights: &[f32],
    y: &mut [f32],
    channels: usize,
    window: &Window,
    out_row: usize,
    out_column: usize,
) {
    let mut first = 0;
    while first + LANES <= channels {
        let mut sums = [0.0f32; LANES];
        for (row, kernel_row) in window.rows(out_row) {
            for (column, kernel_column) in window.columns(out_column) {
                let x = &x[(row * window.width + column) * channels + first..][..LANES];
                let w = &weights[(kernel_row * window.kernel + kernel_column) * channels + first..][..LANES];
                for lane in 0..LANES {
                    sums[lane] += x[lane] * w[lane];
                }
            }
        }
        y[first..first + LANES].copy_from_slice(&sums);
        first += LANES;
    }
    for channel in first..channels {
        let mut sum = 0.0;
        for (row, kernel_row) in window.rows(out_row) {
            for (column, kernel_column) in window.columns(out_column) {
                sum += x[(row * window.width + column) * channels + channel]
                    * weights[(kernel_row * window.kernel + kernel_column) * channels + channel];
            }
        }
        y[channel] = sum;
    }
}

/// Gradient with respect to `x`, given `dy` of the output's shape.
pub fn input_gradient(dy: &[f32], weights: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let input_image = window.height * window.width * channels;
    let row = window.out_width() * channels;
    let output_image = window.out_height() * row;
    let mut dx = vec![0.0; dy.len() / output_image * input_image];
    let arch = pulp::Arch::new();
    dx.par_chunks_mut(input_image).zip(dy.par_chunks(output_image)).for_each(|(dx, dy)| {
        arch.dispatch(
            #[inline(always)]
            || {
                for_each_tap(window, channels, |input, kernel, output| {
                    let dx = &mut dx[input..][..channels];
                    let w = &weights[kernel..][..channels];
                    let dy = &dy[output..][..channels];
                    for channel in 0..channels {
                        dx[channel] += dy[channel] * w[channel];
                    }
                });
            },
        );
    });
    dx
}

/// Gradient with respect to the weights, summed over images in their order.
pub fn weight_gradient(x: &[f32], dy: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let input_image = window.height * window.width * channels;
    let output_image = window.out_height() * window.out_width() * channels;
    let size = window.kernel * window.kernel * channels;
    let arch = pulp::Arch::new();
    let partial: Vec<Vec<f32>> = x
        .par_chunks(input_image)
        .zip(dy.par_chunks(output_image))
        .map(|(x, dy)| {
            let mut dw = vec![0.0; size];
            arch.dispatch(
                #[inline(always)]
                || {
                    for_each_tap(window, channels, |input, kernel, output| {
                        let x = &x[input..][..channels];
                        let dw = &mut dw[kernel..][..channels];
                        let dy = &dy[output..][..channels];
                        for channel in 0..channels {
                            dw[channel] += dy[channel] * x[channel];
                        }
                    });
                },
            );
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

/// Calls `visit(input, kernel, output)` with the offsets of each product's channels within one image.
#[inline(always)]
fn for_each_tap(window: &Window, channels: usize, mut visit: impl FnMut(usize, usize, usize)) {
    for out_row in 0..window.out_height() {
        for (row, kernel_row) in window.rows(out_row) {
            for out_column in 0..window.out_width() {
                for (column, kernel_column) in window.columns(out_column) {
                    visit(
                        (row * window.width + column) * channels,
                        (kernel_row * window.kernel + kernel_column) * channels,
                        (out_row * window.out_width() + out_column) * channels,
                    );
                }
            }
        }
    }
}

//! Rearranging windows into rows, so that a dense convolution becomes a matrix product ("im2col").

use rayon::prelude::*;

use super::Window;

/// From `[images, height, width, channels]` to `[images * out_height * out_width, kernel * kernel * channels]`; pixels
/// outside the picture are 0.
pub fn gather(x: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let input_image = window.height * window.width * channels;
    let patch = window.kernel * window.kernel * channels;
    let output_image = window.out_height() * window.out_width() * patch;
    let mut patches = vec![0.0; x.len() / input_image * output_image];
    patches.par_chunks_mut(output_image).zip(x.par_chunks(input_image)).for_each(|(patches, x)| {
        for (pixel, patch) in patches.chunks_exact_mut(patch).enumerate() {
            let (out_row, out_column) = (pixel / window.out_width(), pixel % window.out_width());
            for (row, kernel_row) in window.rows(out_row) {
                for (column, kernel_column) in window.columns(out_column) {
                    let from = (row * window.width + column) * channels;
                    let to = (kernel_row * window.kernel + kernel_column) * channels;
                    patch[to..to + channels].copy_from_slice(&x[from..from + channels]);
                }
            }
        }
    });
    patches
}

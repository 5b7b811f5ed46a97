//! Rearranges windows into rows, so that a dense convolution becomes a matrix product ("im2col").

use rayon::prelude::*;

use crate::kernels::Window;

/// Converts `[images, height, width, channels]` to `[images * out_height * out_width, kernel * kernel * channels]`;
/// pixels outside the picture are 0.
pub fn gather(x: &[f32], channels: usize, window: &Window) -> Vec<f32> {
    let input_image = window.height * window.width * channels;
    let output_image = window.out_height() * window.out_width() * window.kernel * window.kernel * channels;
    let mut patches = vec![0.0; x.len() / input_image * output_image];
    patches.par_chunks_mut(output_image).zip(x.par_chunks(input_image)).for_each(|(patches, x)| {
        gather_images(x, patches, channels, window);
    });
    patches
}

/// [`gather`] for some images, on this thread.
pub(super) fn gather_images(x: &[f32], patches: &mut [f32], channels: usize, window: &Window) {
    patches.fill(0.0);
    for_each_pixel(x.len(), channels, window, |pixel, patch| {
        patches[patch..][..channels].copy_from_slice(&x[pixel..][..channels]);
    });
}

/// The gradient of [`gather_images`], on this thread: each pixel receives the sum of its copies.
pub(super) fn scatter_images(patches: &[f32], dx: &mut [f32], channels: usize, window: &Window) {
    dx.fill(0.0);
    for_each_pixel(dx.len(), channels, window, |pixel, patch| {
        for (dx, dy) in dx[pixel..][..channels].iter_mut().zip(&patches[patch..]) {
            *dx += dy;
        }
    });
}

/// Calls `visit` for each copy of each pixel with the ranges of its channels in the images and in the patches.
fn for_each_pixel(length: usize, channels: usize, window: &Window, mut visit: impl FnMut(usize, usize)) {
    let input_image = window.height * window.width * channels;
    let patch = window.kernel * window.kernel * channels;
    let (rows, columns) = (window.row_taps(), window.column_taps());
    for image in 0..length / input_image {
        for out_row in 0..rows.len() {
            for out_column in 0..columns.len() {
                let to = ((image * rows.len() + out_row) * columns.len() + out_column) * patch;
                for (row, kernel_row) in rows.of(out_row) {
                    for (column, kernel_column) in columns.of(out_column) {
                        visit(
                            image * input_image + (row * window.width + column) * channels,
                            to + (kernel_row * window.kernel + kernel_column) * channels,
                        );
                    }
                }
            }
        }
    }
}

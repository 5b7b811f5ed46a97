//! Global average pooling and scaling of channels, the two halves of squeeze-and-excitation.

use rayon::prelude::*;

use crate::vectors::vectorised;

/// The mean over the pixels: `[images, pixels, channels]` to `[images, channels]`.
pub fn mean(x: &[f32], pixels: usize, channels: usize) -> Vec<f32> {
    let mut means = vec![0.0; x.len() / pixels];
    means.par_chunks_mut(channels).zip(x.par_chunks(pixels * channels)).for_each(|(means, x)| {
        vectorised(
            #[inline(always)]
            || {
                for x in x.chunks_exact(channels) {
                    for channel in 0..channels {
                        means[channel] += x[channel];
                    }
                }
                for mean in means.iter_mut() {
                    *mean /= pixels as f32;
                }
            },
        );
    });
    means
}

/// The gradient of [`mean`]: each pixel receives an equal share of `dy`, `[images, channels]`.
pub fn mean_gradient(dy: &[f32], pixels: usize, channels: usize) -> Vec<f32> {
    let mut dx = vec![0.0; dy.len() * pixels];
    dx.par_chunks_mut(pixels * channels).zip(dy.par_chunks(channels)).for_each(|(dx, dy)| {
        for dx in dx.chunks_exact_mut(channels) {
            for channel in 0..channels {
                dx[channel] = dy[channel] / pixels as f32;
            }
        }
    });
    dx
}

/// `x * scale`; `x` is `[images, pixels, channels]`, `scale` is `[images, channels]`.
pub fn scale(x: &[f32], scale: &[f32], pixels: usize, channels: usize) -> Vec<f32> {
    let mut y = x.to_vec();
    y.par_chunks_mut(pixels * channels).zip(scale.par_chunks(channels)).for_each(|(y, scale)| {
        vectorised(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(channels) {
                    for channel in 0..channels {
                        y[channel] *= scale[channel];
                    }
                }
            },
        );
    });
    y
}

/// The gradient of [`scale`] with respect to the scale: `x * dy` summed over pixels, `[images, channels]`.
pub fn scale_gradient(x: &[f32], dy: &[f32], pixels: usize, channels: usize) -> Vec<f32> {
    let mut gradient = vec![0.0; x.len() / pixels];
    let image = pixels * channels;
    gradient.par_chunks_mut(channels).zip(x.par_chunks(image).zip(dy.par_chunks(image))).for_each(
        |(gradient, (x, dy))| {
            vectorised(
                #[inline(always)]
                || {
                    for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                        for channel in 0..channels {
                            gradient[channel] += x[channel] * dy[channel];
                        }
                    }
                },
            );
        },
    );
    gradient
}

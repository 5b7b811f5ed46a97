//! The steps between convolutions that work pixel by pixel, on blocks of channels.

use super::blocks::{BLOCK, PANEL};
use super::product::Product;
use crate::kernels::simd::Instructions;

/// Sums over the pixels: `[blocks][pixels][BLOCK]` to `[blocks][BLOCK]`.
pub fn sum(x: &[f32], pixels: usize, sums: &mut [f32], instructions: Instructions) {
    instructions.run(
        #[inline(always)]
        || {
            for (sums, x) in sums.as_chunks_mut::<BLOCK>().0.iter_mut().zip(x.chunks_exact(pixels * BLOCK)) {
                *sums = [0.0; BLOCK];
                for x in x.as_chunks::<BLOCK>().0 {
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum += x;
                    }
                }
            }
        },
    );
}

/// `x * scale`: `x` and `out` `[blocks][pixels][BLOCK]`, `scale` `[blocks][BLOCK]`.
pub fn scale(x: &[f32], scale: &[f32], pixels: usize, out: &mut [f32], instructions: Instructions) {
    let plane = pixels * BLOCK;
    instructions.run(
        #[inline(always)]
        || {
            let planes = x.chunks_exact(plane).zip(out.chunks_exact_mut(plane)).zip(scale.as_chunks::<BLOCK>().0);
            for ((x, out), scale) in planes {
                for (x, out) in x.as_chunks::<BLOCK>().0.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
                    for lane in 0..BLOCK {
                        out[lane] = x[lane] * scale[lane];
                    }
                }
            }
        },
    );
}

/// `x + y`, into `x`.
pub fn add(x: &mut [f32], y: &[f32], instructions: Instructions) {
    instructions.run(
        #[inline(always)]
        || {
            for (x, y) in x.iter_mut().zip(y) {
                *x += y;
            }
        },
    );
}

/// The maxima of 2x2 pixels: `x` `[blocks][height * width][BLOCK]` with even sides, `out` a quarter of it.
pub fn maxima(x: &[f32], [height, width]: [usize; 2], out: &mut [f32], instructions: Instructions) {
    instructions.run(
        #[inline(always)]
        || {
            let planes = x.chunks_exact(height * width * BLOCK).zip(out.chunks_exact_mut(height * width / 4 * BLOCK));
            for (x, out) in planes {
                let rows = x.chunks_exact(2 * width * BLOCK).zip(out.chunks_exact_mut(width / 2 * BLOCK));
                for (rows, out) in rows {
                    let (upper, lower) = rows.split_at(width * BLOCK);
                    let pairs = |row| <[f32]>::as_chunks::<{ 2 * BLOCK }>(row).0.iter();
                    let pixels = pairs(upper).zip(pairs(lower)).zip(out.as_chunks_mut::<BLOCK>().0);
                    for ((upper, lower), out) in pixels {
                        for (lane, out) in out.iter_mut().enumerate() {
                            *out = upper[lane].max(upper[BLOCK + lane]).max(lower[lane]).max(lower[BLOCK + lane]);
                        }
                    }
                }
            }
        },
    );
}

/// Writes the packed weights of `product` to `out`, those of each input channel multiplied by its `scale`.
pub fn scale_weights(product: &Product, scale: &[f32], out: &mut [f32], instructions: Instructions) {
    let panel = product.from() * PANEL;
    instructions.run(
        #[inline(always)]
        || {
            for (out, weights) in out.chunks_exact_mut(panel).zip(product.weights().chunks_exact(panel)) {
                let lines = out.as_chunks_mut::<PANEL>().0.iter_mut().zip(weights.as_chunks::<PANEL>().0);
                for ((out, weights), scale) in lines.zip(scale) {
                    for (out, weight) in out.iter_mut().zip(weights) {
                        *out = weight * scale;
                    }
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Activation;

    #[test]
    fn sums_scales_and_additions_are_what_they_say() {
        let x: Vec<f32> = (0..2 * 3 * BLOCK).map(|v| v as f32).collect();
        let factors: Vec<f32> = (0..2 * BLOCK).map(|v| v as f32 - 7.0).collect();
        for instructions in Instructions::all() {
            let mut sums = vec![f32::NAN; 2 * BLOCK];
            sum(&x, 3, &mut sums, instructions);
            let mut scaled = vec![f32::NAN; x.len()];
            scale(&x, &factors, 3, &mut scaled, instructions);
            let mut added = x.clone();
            add(&mut added, &x, instructions);
            for (index, value) in x.iter().enumerate() {
                let channel = index / (3 * BLOCK) * BLOCK + index % BLOCK;
                assert_eq!((scaled[index], added[index]), (value * factors[channel], 2.0 * value));
                let pixels = (0..3).map(|pixel| x[channel / BLOCK * 3 * BLOCK + pixel * BLOCK + channel % BLOCK]);
                assert_eq!(sums[channel], pixels.sum::<f32>());
            }
        }
    }

    #[test]
    fn maxima_are_those_of_four_pixels() {
        // Two blocks of 2 x 4 pixels; a pixel's channels differ by a hundredth each.
        let pixels = [1.0, 5.0, 2.0, 2.0, 3.0, 4.0, -1.0, 8.0, -3.0, -5.0, -2.0, -2.5, -9.0, -4.0, -7.0, -8.0];
        let x: Vec<f32> = pixels.iter().flat_map(|p| (0..BLOCK).map(move |lane| p + lane as f32 / 100.0)).collect();
        for instructions in Instructions::all() {
            let mut out = vec![f32::NAN; x.len() / 4];
            maxima(&x, [2, 4], &mut out, instructions);
            for (index, found) in out.iter().enumerate() {
                assert_eq!(*found, [5.0, 8.0, -3.0, -2.0][index / BLOCK] + (index % BLOCK) as f32 / 100.0);
            }
        }
    }

    #[test]
    fn scaled_weights_equal_a_scaled_input() {
        let weights: Vec<f32> = (0..5 * 40).map(|v| v as f32).collect();
        let product = Product::new(&weights, &[0.0; 40], Activation::Identity);
        let by_hand: Vec<f32> =
            weights.iter().enumerate().map(|(index, w)| w * [2.0, -1.0, 0.0, 3.0, 0.5][index / 40]).collect();
        let expected = Product::new(&by_hand, &[0.0; 40], Activation::Identity);
        for instructions in Instructions::all() {
            let mut scaled = vec![0.0; product.weights().len()];
            scale_weights(&product, &[2.0, -1.0, 0.0, 3.0, 0.5], &mut scaled, instructions);
            assert_eq!(scaled, expected.weights());
        }
    }
}

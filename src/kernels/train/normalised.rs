//! Convolution, batch normalisation with the batch's own statistics, and activation in one operation. Training spends
//! most of its time here.
//!
//! The images are processed in pieces that fit a core's second-level cache. The statistics are summed while the
//! convolution's result is still in the cache, and the gradient that passes from the normalisation to the convolution
//! never leaves it. The pieces depend on the shapes only and their sums are added in order, so results do not depend on
//! the number of threads.

use pulp::{Simd, bytemuck};
use rayon::prelude::*;

use super::batch_norm::Statistics;
use super::convolution::Convolution;
use super::lanes::{VectorBlocks, add, add_products, over_vectors, store, vectors};
use crate::kernels::Activation;
use crate::kernels::simd::sigmoid;

/// Rows (pixels) in a piece: few enough for the cache, and enough that a matrix product does not spend most of its time
/// packing weights.
const PIECE_ROWS: usize = 512;

/// Rows that are worked on for all channels before the next ones, so that they stay in the first-level cache; and that are summed in
/// single precision before the sum is added in double precision.
const CACHED_ROWS: usize = 128;

/// A convolution with batch normalisation and activation.
#[derive(Debug, Clone, Copy)]
pub struct Normalised {
    /// The convolution.
    pub convolution: Convolution,
    /// Added to the variance.
    pub eps: f32,
    /// The activation.
    pub activation: Activation,
}

impl Normalised {
    /// Images in a piece, chosen so that the number of pieces is a power of two and at least two.
    fn piece(&self, images: usize) -> usize {
        let rows = images * self.convolution.output_pixels();
        let pieces = (rows / PIECE_ROWS.max(self.convolution.from)).max(2);
        images.div_ceil(1 << pieces.ilog2())
    }

    /// `y = activation(normalised(z) * gamma + beta)` with `z = x * weights`, both `[images, out_height, out_width, to]`. The
    /// statistics are those of the rows of `z`.
    pub fn forward(&self, x: &[f32], [weights, gamma, beta]: [&[f32]; 3], z: &mut [f32], y: &mut [f32]) -> Statistics {
        let Convolution { to, .. } = self.convolution;
        let images = x.len() / self.convolution.input_image();
        let rows = images * self.convolution.output_pixels();
        let (x_piece, z_piece) = self.piece_lengths(images);
        let partial: Vec<[Vec<f64>; 2]> = z
            .par_chunks_mut(z_piece)
            .zip(x.par_chunks(x_piece))
            .map(|(z, x)| {
                self.convolution.forward(x, weights, z);
                column_sums(z, to)
            })
            .collect();
        let [sums, squares] = total(&partial, to);
        let mean: Vec<f64> = sums.iter().map(|sum| sum / rows as f64).collect();
        let variance =
            squares.iter().zip(&mean).map(|(square, mean)| (square / rows as f64 - mean * mean).max(0.0) as f32);
        let (variance, mean) = (variance.collect(), mean.iter().map(|mean| *mean as f32).collect());
        let statistics = Statistics::new(mean, variance, self.eps);
        let (factor, summand) = statistics.factor_and_summand(gamma, beta);
        y.par_chunks_mut(z_piece).zip(z.par_chunks(z_piece)).for_each(|(y, z)| {
            activate(z, y, &factor, &summand, self.activation);
        });
        statistics
    }

    /// The gradients of weights, gamma and beta, given `dy` of the result's shape and `z` with its statistics from the forward
    /// pass; that of the input goes into `dx`, where there is one.
    pub fn backward(
        &self,
        x: &[f32],
        [weights, gamma, beta]: [&[f32]; 3],
        (z, statistics): (&[f32], &Statistics),
        dy: &[f32],
        dx: Option<&mut [f32]>,
    ) -> [Vec<f32>; 3] {
        let Convolution { to, .. } = self.convolution;
        let images = x.len() / self.convolution.input_image();
        let rows = (images * self.convolution.output_pixels()) as f64;
        let (x_piece, z_piece) = self.piece_lengths(images);
        let (factor, summand) = statistics.factor_and_summand(gamma, beta);
        let norm =
            FoldedNorm { factor: &factor, summand: &summand, mean: &statistics.mean, activation: self.activation };
        let partial: Vec<[Vec<f64>; 2]> =
            z.par_chunks(z_piece).zip(dy.par_chunks(z_piece)).map(|(z, dy)| gradient_sums(z, dy, norm)).collect();
        let [beta_sums, centred_sums] = total(&partial, to);
        // With n = (z - mean) / deviation: dz = gamma / deviation * (dn - mean(dn) - n * mean(dn * n)), which is
        // factor * dn - slope * z + offset.
        let slope: Vec<f32> = (0..to)
            .map(|c| factor[c] * statistics.inverse_deviation[c].powi(2) * (centred_sums[c] / rows) as f32)
            .collect();
        let offset: Vec<f32> =
            (0..to).map(|c| slope[c] * statistics.mean[c] - factor[c] * (beta_sums[c] / rows) as f32).collect();
        let pieces = z.par_chunks(z_piece).zip(dy.par_chunks(z_piece)).zip(x.par_chunks(x_piece));
        let work = |dz: &mut Vec<f32>, ((z, dy), x): ((&[f32], &[f32]), &[f32]), dx: Option<&mut [f32]>| -> Vec<f32> {
            dz.resize(z.len(), 0.0);
            before_norm(z, dy, dz, norm, &slope, &offset);
            if let Some(dx) = dx {
                self.convolution.input_gradient(dz, weights, dx);
            }
            let mut dw = vec![0.0; self.convolution.weights()];
            self.convolution.add_weight_gradient(x, dz, &mut dw);
            dw
        };
        let parts: Vec<Vec<f32>> = match dx {
            Some(dx) => pieces
                .zip(dx.par_chunks_mut(x_piece))
                .map_init(Vec::new, |dz, (piece, dx)| work(dz, piece, Some(dx)))
                .collect(),
            None => pieces.map_init(Vec::new, |dz, piece| work(dz, piece, None)).collect(),
        };
        let gamma = centred_sums.iter().zip(&statistics.inverse_deviation).map(|(s, d)| *s as f32 * d);
        [added(parts), gamma.collect(), beta_sums.iter().map(|s| *s as f32).collect()]
    }

    fn piece_lengths(&self, images: usize) -> (usize, usize) {
        let piece = self.piece(images);
        (piece * self.convolution.input_image(), piece * self.convolution.output_image())
    }
}

/// The normalisation as a factor and a summand for each channel, and the activation.
#[derive(Clone, Copy)]
struct FoldedNorm<'a> {
    factor: &'a [f32],
    summand: &'a [f32],
    mean: &'a [f32],
    activation: Activation,
}

/// `y = activation(z * factor + summand)`.
fn activate(z: &[f32], y: &mut [f32], factor: &[f32], summand: &[f32], activation: Activation) {
    struct Activate<'a> {
        z: &'a [f32],
        y: &'a mut [f32],
        factor: &'a [f32],
        summand: &'a [f32],
        activation: Activation,
    }

    impl VectorBlocks for Activate<'_> {
        #[inline(always)]
        fn block<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
            let channels = self.factor.len();
            let factor: [S::f32s; COUNT] = vectors(simd, self.factor, first);
            let summand: [S::f32s; COUNT] = vectors(simd, self.summand, first);
            for (y, z) in self.y.chunks_exact_mut(channels).zip(self.z.chunks_exact(channels)) {
                let mut values: [S::f32s; COUNT] = vectors(simd, z, first);
                for vector in 0..COUNT {
                    let normalised = scaled(simd, values[vector], factor[vector], summand[vector]);
                    values[vector] = activated(simd, self.activation, normalised);
                }
                store(simd, y, first, values);
            }
        }
    }

    let channels = factor.len();
    let length = CACHED_ROWS * channels;
    for (y, z) in y.chunks_mut(length).zip(z.chunks(length)) {
        over_vectors(channels, &mut Activate { z, y, factor, summand, activation });
    }
}

/// Sums of the rows of `z` and of their squares, one for each channel.
fn column_sums(z: &[f32], channels: usize) -> [Vec<f64>; 2] {
    struct Sums<'a> {
        z: &'a [f32],
        channels: usize,
        totals: [Vec<f64>; 2],
    }

    impl VectorBlocks for Sums<'_> {
        #[inline(always)]
        fn block<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
            let zeros = [simd.splat_f32s(0.0); COUNT];
            let (mut sums, mut squares) = (zeros, zeros);
            for z in self.z.chunks_exact(self.channels) {
                let z = vectors(simd, z, first);
                add(simd, &mut sums, z);
                add_products(simd, &mut squares, z, z);
            }
            add_to_totals(simd, &mut self.totals, first, [sums, squares]);
        }
    }

    let mut totals = [vec![0.0; channels], vec![0.0; channels]];
    for z in z.chunks(CACHED_ROWS * channels) {
        let mut sums = Sums { z, channels, totals };
        over_vectors(channels, &mut sums);
        totals = sums.totals;
    }
    totals
}

/// Sums over rows of `dn`, the gradient before the activation, and of `dn * (z - mean)`, one for each channel.
fn gradient_sums(z: &[f32], dy: &[f32], norm: FoldedNorm<'_>) -> [Vec<f64>; 2] {
    struct Sums<'a> {
        z: &'a [f32],
        dy: &'a [f32],
        norm: FoldedNorm<'a>,
        totals: [Vec<f64>; 2],
    }

    impl VectorBlocks for Sums<'_> {
        #[inline(always)]
        fn block<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
            let FoldedNorm { factor, summand, mean, activation } = self.norm;
            let channels = factor.len();
            let factor: [S::f32s; COUNT] = vectors(simd, factor, first);
            let summand: [S::f32s; COUNT] = vectors(simd, summand, first);
            let mean: [S::f32s; COUNT] = vectors(simd, mean, first);
            let zeros = [simd.splat_f32s(0.0); COUNT];
            let (mut sums, mut centred_sums) = (zeros, zeros);
            for (z, dy) in self.z.chunks_exact(channels).zip(self.dy.chunks_exact(channels)) {
                let mut z: [S::f32s; COUNT] = vectors(simd, z, first);
                let mut dn: [S::f32s; COUNT] = vectors(simd, dy, first);
                for vector in 0..COUNT {
                    let normalised = scaled(simd, z[vector], factor[vector], summand[vector]);
                    dn[vector] = through_activation(simd, activation, dn[vector], normalised);
                    z[vector] = simd.sub_f32s(z[vector], mean[vector]);
                }
                add(simd, &mut sums, dn);
                add_products(simd, &mut centred_sums, dn, z);
            }
            add_to_totals(simd, &mut self.totals, first, [sums, centred_sums]);
        }
    }

    let channels = norm.factor.len();
    let mut totals = [vec![0.0; channels], vec![0.0; channels]];
    let length = CACHED_ROWS * channels;
    for (z, dy) in z.chunks(length).zip(dy.chunks(length)) {
        let mut sums = Sums { z, dy, norm, totals };
        over_vectors(channels, &mut sums);
        totals = sums.totals;
    }
    totals
}

/// The gradient of the convolution's result: `factor * dn - slope * z + offset`.
fn before_norm(z: &[f32], dy: &[f32], dz: &mut [f32], norm: FoldedNorm<'_>, slope: &[f32], offset: &[f32]) {
    struct BeforeNorm<'a> {
        z: &'a [f32],
        dy: &'a [f32],
        dz: &'a mut [f32],
        norm: FoldedNorm<'a>,
        slope: &'a [f32],
        offset: &'a [f32],
    }

    impl VectorBlocks for BeforeNorm<'_> {
        #[inline(always)]
        fn block<S: Simd, const COUNT: usize>(&mut self, simd: S, first: usize) {
            let FoldedNorm { factor, summand, activation, .. } = self.norm;
            let channels = factor.len();
            let factor: [S::f32s; COUNT] = vectors(simd, factor, first);
            let summand: [S::f32s; COUNT] = vectors(simd, summand, first);
            let slope: [S::f32s; COUNT] = vectors(simd, self.slope, first);
            let offset: [S::f32s; COUNT] = vectors(simd, self.offset, first);
            let rows = self.z.chunks_exact(channels).zip(self.dy.chunks_exact(channels));
            for (dz, (z, dy)) in self.dz.chunks_exact_mut(channels).zip(rows) {
                let z: [S::f32s; COUNT] = vectors(simd, z, first);
                let mut gradient: [S::f32s; COUNT] = vectors(simd, dy, first);
                for vector in 0..COUNT {
                    let normalised = scaled(simd, z[vector], factor[vector], summand[vector]);
                    let dn = through_activation(simd, activation, gradient[vector], normalised);
                    let of_norm =
                        simd.sub_f32s(simd.mul_f32s(factor[vector], dn), simd.mul_f32s(slope[vector], z[vector]));
                    gradient[vector] = simd.add_f32s(of_norm, offset[vector]);
                }
                store(simd, dz, first, gradient);
            }
        }
    }

    let channels = slope.len();
    let length = CACHED_ROWS * channels;
    for (dz, (z, dy)) in dz.chunks_mut(length).zip(z.chunks(length).zip(dy.chunks(length))) {
        over_vectors(channels, &mut BeforeNorm { z, dy, dz, norm, slope, offset });
    }
}

/// `z * factor + summand`, rounded twice.
#[inline(always)]
fn scaled<S: Simd>(simd: S, z: S::f32s, factor: S::f32s, summand: S::f32s) -> S::f32s {
    simd.add_f32s(simd.mul_f32s(z, factor), summand)
}

/// [`Activation::apply`]. As there, what is no number stays none: the second operand counts where there is one.
#[inline(always)]
fn activated<S: Simd>(simd: S, activation: Activation, z: S::f32s) -> S::f32s {
    let splat = |value| simd.splat_f32s(value);
    match activation {
        Activation::Identity => z,
        Activation::Relu => simd.max_f32s(splat(0.0), z),
        Activation::Relu6 => simd.min_f32s(splat(6.0), simd.max_f32s(splat(0.0), z)),
        Activation::Silu => simd.mul_f32s(z, sigmoid(simd, z)),
    }
}

/// `dy` times [`Activation::derivative`] at `z`.
#[inline(always)]
fn through_activation<S: Simd>(simd: S, activation: Activation, dy: S::f32s, z: S::f32s) -> S::f32s {
    let splat = |value| simd.splat_f32s(value);
    match activation {
        Activation::Identity => dy,
        Activation::Relu => simd.select_f32s(simd.greater_than_f32s(z, splat(0.0)), dy, splat(0.0)),
        Activation::Relu6 => {
            let inside = simd.and_m32s(simd.greater_than_f32s(z, splat(0.0)), simd.less_than_f32s(z, splat(6.0)));
            simd.select_f32s(inside, dy, splat(0.0))
        }
        Activation::Silu => {
            let s = sigmoid(simd, z);
            let slope = simd.mul_f32s(z, simd.sub_f32s(splat(1.0), s));
            simd.mul_f32s(dy, simd.mul_f32s(s, simd.add_f32s(splat(1.0), slope)))
        }
    }
}

/// Adds sums over some rows to the `totals` of their channels.
#[inline(always)]
fn add_to_totals<S: Simd, const COUNT: usize>(
    _: S,
    totals: &mut [Vec<f64>; 2],
    first: usize,
    sums: [[S::f32s; COUNT]; 2],
) {
    for (totals, sums) in totals.iter_mut().zip(&sums) {
        let sums: &[f32] = bytemuck::cast_slice(sums);
        for (total, sum) in totals[first..].iter_mut().zip(sums) {
            *total += f64::from(*sum);
        }
    }
}

fn total(partial: &[[Vec<f64>; 2]], channels: usize) -> [Vec<f64>; 2] {
    let mut totals = [vec![0.0; channels], vec![0.0; channels]];
    for partial in partial {
        for (totals, sums) in totals.iter_mut().zip(partial) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
    }
    totals
}

/// The sum of all `parts`, added in order.
fn added(parts: Vec<Vec<f32>>) -> Vec<f32> {
    /// Long enough to justify a task, short enough to stay in the first-level cache.
    const LENGTH: usize = 4096;
    let mut parts = parts.into_iter();
    let Some(mut sum) = parts.next() else { return Vec::new() };
    let others: Vec<Vec<f32>> = parts.collect();
    sum.par_chunks_mut(LENGTH).enumerate().for_each(|(chunk, sum)| {
        for other in &others {
            for (sum, value) in sum.iter_mut().zip(&other[chunk * LENGTH..]) {
                *sum += value;
            }
        }
    });
    sum
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::kernels::Window;
    use crate::random::seeded;

    /// The number of images is not a multiple of the pieces.
    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for is_depthwise in [true, false] {
            let window = Window { height: 13, width: 12, kernel: 3, stride: if is_depthwise { 1 } else { 2 } };
            let convolution = Convolution { is_depthwise, window, from: 24, to: if is_depthwise { 24 } else { 40 } };
            let layer = Normalised { convolution, eps: 1e-3, activation: Activation::Silu };
            let mut random = seeded(1, "layer");
            let mut values =
                |count: usize| -> Vec<f32> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
            let (x, weights) = (values(11 * convolution.input_image()), values(convolution.weights()));
            let (gamma, beta) = (values(convolution.to), values(convolution.to));
            let parameters = [&weights[..], &gamma, &beta];
            let dy = values(11 * convolution.output_image());
            let results = [1, 2, 5].map(|threads| {
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                    // Whatever was there before is overwritten.
                    let [mut z, mut y] = [vec![f32::NAN; dy.len()], vec![f32::NAN; dy.len()]];
                    let mut dx = vec![f32::NAN; x.len()];
                    let statistics = layer.forward(&x, parameters, &mut z, &mut y);
                    let of_parameters = layer.backward(&x, parameters, (&z, &statistics), &dy, Some(dx.as_mut_slice()));
                    assert!(y.iter().chain(&dx).all(|value| value.is_finite()));
                    (y, dx, of_parameters)
                })
            });
            assert!(results[0] == results[1] && results[0] == results[2]);
        }
    }
}

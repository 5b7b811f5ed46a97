//! Batch normalisation with the activation that follows it, forward and backward (Ioffe & Szegedy 2015).
//!
//! `x` is `[rows, channels]`; a row is one pixel of one image.

use rayon::prelude::*;

use crate::kernels::Activation;
use crate::vectors::vectorised;

/// Rows that are summed in single precision before the sum is added in double precision. The number is fixed, so that
/// sums do not depend on the number of threads.
const ROWS: usize = 512;

/// Means, variances and inverse deviations, one for each channel.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Population variances (divided by the number of rows).
    pub variance: Vec<f32>,
    /// `1 / sqrt(variance + eps)`.
    pub inverse_deviation: Vec<f32>,
}

impl Statistics {
    /// Takes known means and variances.
    pub fn new(mean: Vec<f32>, variance: Vec<f32>, eps: f32) -> Self {
        let inverse_deviation = variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
        Self { mean, variance, inverse_deviation }
    }

    /// Computes the statistics of the rows of `x`.
    pub fn of(x: &[f32], channels: usize, eps: f32) -> Self {
        let rows = (x.len() / channels) as f64;
        let [sums, squares] = column_sums(x, x, channels, |x, _, _| [x, x * x]);
        let mean: Vec<f64> = sums.iter().map(|s| s / rows).collect();
        let variance = squares.iter().zip(&mean).map(|(s, m)| (s / rows - m * m).max(0.0) as f32).collect();
        Self::new(mean.into_iter().map(|m| m as f32).collect(), variance, eps)
    }

    /// For each channel, the factor and the summand that normalise, scale by `gamma` and shift by `beta`.
    pub(super) fn factor_and_summand(&self, gamma: &[f32], beta: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let factor: Vec<f32> = gamma.iter().zip(&self.inverse_deviation).map(|(g, d)| g * d).collect();
        let summand = beta.iter().zip(&self.mean).zip(&factor).map(|((b, m), f)| b - m * f).collect();
        (factor, summand)
    }
}

/// `activation((x - mean) * inverse_deviation * gamma + beta)`.
pub fn forward(x: &[f32], gamma: &[f32], beta: &[f32], statistics: &Statistics, activation: Activation) -> Vec<f32> {
    let channels = gamma.len();
    let (factor, summand) = statistics.factor_and_summand(gamma, beta);
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(ROWS * channels).zip(x.par_chunks(ROWS * channels)).for_each(|(y, x)| {
        vectorised(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for channel in 0..channels {
                        y[channel] = activation.apply(x[channel] * factor[channel] + summand[channel]);
                    }
                }
            },
        );
    });
    y
}

/// Gradients of [`forward`] with respect to `x`, `gamma` and `beta`.
pub struct NormGradients {
    /// Has the shape of `x`.
    pub x: Vec<f32>,
    /// One for each channel.
    pub gamma: Vec<f32>,
    /// One for each channel.
    pub beta: Vec<f32>,
}

/// The gradients, given `dy` of the output's shape. If `of_batch` is set, the statistics are those of `x` and depend on
/// it; otherwise they are constants.
pub fn backward(
    x: &[f32],
    dy: &[f32],
    gamma: &[f32],
    beta: &[f32],
    statistics: &Statistics,
    activation: Activation,
    of_batch: bool,
) -> NormGradients {
    let channels = gamma.len();
    let (factor, summand) = statistics.factor_and_summand(gamma, beta);
    let (mean, inverse_deviation) = (&statistics.mean, &statistics.inverse_deviation);
    let [beta_sums, gamma_sums] = column_sums(
        x,
        dy,
        channels,
        #[inline(always)]
        |x, dy, channel| {
            let dz = dy * activation.derivative(x * factor[channel] + summand[channel]);
            [dz, dz * (x - mean[channel]) * inverse_deviation[channel]]
        },
    );
    // dx = gamma / deviation * (dz - mean(dz) - normalised x * mean(dz * normalised x))
    let rows = (x.len() / channels) as f64;
    let share =
        |sums: &[f64]| -> Vec<f32> { sums.iter().map(|s| if of_batch { (s / rows) as f32 } else { 0.0 }).collect() };
    let (mean_dz, mean_dz_x) = (share(&beta_sums), share(&gamma_sums));
    let mut dx = vec![0.0; x.len()];
    let chunk = ROWS * channels;
    dx.par_chunks_mut(chunk).zip(x.par_chunks(chunk).zip(dy.par_chunks(chunk))).for_each(|(dx, (x, dy))| {
        vectorised(
            #[inline(always)]
            || {
                let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
                for (dx, (x, dy)) in dx.chunks_exact_mut(channels).zip(rows) {
                    for channel in 0..channels {
                        let z = x[channel] * factor[channel] + summand[channel];
                        let dz = dy[channel] * activation.derivative(z);
                        let normalised = (x[channel] - mean[channel]) * inverse_deviation[channel];
                        dx[channel] = factor[channel] * (dz - mean_dz[channel] - normalised * mean_dz_x[channel]);
                    }
                }
            },
        );
    });
    let to_f32 = |sums: Vec<f64>| sums.into_iter().map(|s| s as f32).collect();
    NormGradients { x: dx, gamma: to_f32(gamma_sums), beta: to_f32(beta_sums) }
}

/// Sums over rows the two terms that `term(a, b, channel)` makes of each element of `a` and `b`.
fn column_sums(
    a: &[f32],
    b: &[f32],
    channels: usize,
    term: impl Fn(f32, f32, usize) -> [f32; 2] + Sync,
) -> [Vec<f64>; 2] {
    let chunk = ROWS * channels;
    let partial: Vec<[Vec<f32>; 2]> = a
        .par_chunks(chunk)
        .zip(b.par_chunks(chunk))
        .map(|(a, b)| {
            let (mut first, mut second) = (vec![0.0; channels], vec![0.0; channels]);
            vectorised(
                #[inline(always)]
                || {
                    for (a, b) in a.chunks_exact(channels).zip(b.chunks_exact(channels)) {
                        for channel in 0..channels {
                            let [f, s] = term(a[channel], b[channel], channel);
                            first[channel] += f;
                            second[channel] += s;
                        }
                    }
                },
            );
            [first, second]
        })
        .collect();
    let mut sums = [vec![0.0; channels], vec![0.0; channels]];
    for partial in &partial {
        for (sums, partial) in sums.iter_mut().zip(partial) {
            for (sum, value) in sums.iter_mut().zip(partial) {
                *sum += f64::from(*value);
            }
        }
    }
    sums
}

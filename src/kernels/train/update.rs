//! Updates of the weights: SGD, Adam and the moving average. Each is one pass over memory, in pieces on all threads.
//! Elements are independent and sums over them are added in order, so results do not depend on the number of threads.

use rayon::prelude::*;

/// Elements in a piece.
const LENGTH: usize = 1 << 14;

/// The constants of one step of Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019).
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    /// Decay of the first and second moment.
    pub betas: [f32; 2],
    /// Learning rate divided by the first moment's bias correction.
    pub rate: f32,
    /// 1 divided by the second moment's bias correction.
    pub second_correction: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Share of the values that is added to their gradient (Adam's decay).
    pub decay: f32,
    /// Factor applied to the values before the step (AdamW's decay): 1 - learning rate * decay.
    pub keep: f32,
}

impl Adam {
    /// Updates `values` and their `moments` with a `gradient`.
    pub fn step(&self, values: &mut [f32], gradient: &[f32], [first, second]: [&mut [f32]; 2]) {
        let Self { betas: [b1, b2], rate, second_correction, eps, decay, keep } = *self;
        let moments = first.par_chunks_mut(LENGTH).zip(second.par_chunks_mut(LENGTH));
        values.par_chunks_mut(LENGTH).zip(gradient.par_chunks(LENGTH)).zip(moments).for_each(
            |((values, gradient), (first, second))| {
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let moments = first.iter_mut().zip(second);
                        for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
                            let g = g + decay * *value;
                            *first = b1 * *first + (1.0 - b1) * g;
                            *second = b2 * *second + (1.0 - b2) * g * g;
                            *value = keep * *value - rate * *first / ((*second * second_correction).sqrt() + eps);
                        }
                    },
                );
            },
        );
    }
}

/// The constants of one step of stochastic gradient descent with PyTorch's definition of momentum.
#[derive(Debug, Clone, Copy)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f32,
    /// Share of the velocity that is kept.
    pub momentum: f32,
    /// Whether the gradient looks ahead (Nesterov).
    pub nesterov: bool,
    /// Share of the values that is added to their gradient.
    pub decay: f32,
}

impl Sgd {
    /// Updates `values` and their `velocity` with a `gradient`.
    pub fn step(&self, values: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        let Self { rate, momentum, nesterov, decay } = *self;
        // The shares of gradient and velocity in the step.
        let [of_gradient, of_velocity] = if nesterov { [1.0, momentum] } else { [0.0, 1.0] };
        let pieces =
            values.par_chunks_mut(LENGTH).zip(gradient.par_chunks(LENGTH)).zip(velocity.par_chunks_mut(LENGTH));
        pieces.for_each(|((values, gradient), velocity)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    for ((value, g), velocity) in values.iter_mut().zip(gradient).zip(velocity) {
                        let g = g + decay * *value;
                        *velocity = momentum * *velocity + g;
                        *value -= rate * (of_gradient * g + of_velocity * *velocity);
                    }
                },
            );
        });
    }
}

/// `average = decay * average + (1 - decay) * now`.
pub fn average(average: &mut [f32], now: &[f32], decay: f32) {
    in_pairs(average, now, |average, now| decay * average + (1.0 - decay) * now);
}

/// `sum += factor * new`.
pub fn add(sum: &mut [f32], new: &[f32], factor: f32) {
    in_pairs(sum, new, |sum, new| sum + factor * new);
}

fn in_pairs(values: &mut [f32], others: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    values.par_chunks_mut(LENGTH).zip(others.par_chunks(LENGTH)).for_each(|(values, others)| {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for (value, other) in values.iter_mut().zip(others) {
                    *value = f(*value, *other);
                }
            },
        );
    });
}

/// The sum of the squares of `values`.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let pieces: Vec<f64> =
        values.par_chunks(LENGTH).map(|piece| piece.iter().map(|v| f64::from(*v).powi(2)).sum()).collect();
    pieces.iter().sum()
}

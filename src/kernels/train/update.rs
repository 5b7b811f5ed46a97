//! Updates of the weights: SGD, Adam and the moving average, each in two passes over memory or one, in pieces on all threads.
//! Elements are independent and sums over them are added in order, so results do not depend on the number of threads.

use rayon::prelude::*;

use crate::vectors::vectorised;

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
    /// Updates both moments, one after the other in `state`, with a `gradient` of `values`.
    pub fn remember(&self, state: &mut [f32], gradient: &[f32], values: &[f32]) {
        let Self { betas: [b1, b2], decay, .. } = *self;
        let (first, second) = state.split_at_mut(gradient.len());
        let moments = first.par_chunks_mut(LENGTH).zip(second.par_chunks_mut(LENGTH));
        values.par_chunks(LENGTH).zip(gradient.par_chunks(LENGTH)).zip(moments).for_each(
            |((values, gradient), (first, second))| {
                vectorised(
                    #[inline(always)]
                    || {
                        let moments = first.iter_mut().zip(second.iter_mut());
                        for ((value, g), (first, second)) in values.iter().zip(gradient).zip(moments) {
                            let g = g + decay * value;
                            *first = b1 * *first + (1.0 - b1) * g;
                            *second = b2 * *second + (1.0 - b2) * g * g;
                        }
                    },
                );
            },
        );
    }

    /// Moves `values` by what [`remember`](Self::remember) left in `state`.
    pub fn step(&self, values: &mut [f32], state: &[f32]) {
        let Self { rate, second_correction, eps, keep, .. } = *self;
        let (first, second) = state.split_at(values.len());
        let moments = first.par_chunks(LENGTH).zip(second.par_chunks(LENGTH));
        values.par_chunks_mut(LENGTH).zip(moments).for_each(|(values, (first, second))| {
            vectorised(
                #[inline(always)]
                || {
                    for ((value, first), second) in values.iter_mut().zip(first).zip(second) {
                        *value = keep * *value - rate * first / ((second * second_correction).sqrt() + eps);
                    }
                },
            );
        });
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
    /// Updates `velocity` with a `gradient` of `values`.
    pub fn remember(&self, velocity: &mut [f32], gradient: &[f32], values: &[f32]) {
        let Self { momentum, decay, .. } = *self;
        let others = gradient.par_chunks(LENGTH).zip(values.par_chunks(LENGTH));
        velocity.par_chunks_mut(LENGTH).zip(others).for_each(|(velocity, (gradient, values))| {
            vectorised(
                #[inline(always)]
                || {
                    for ((velocity, g), value) in velocity.iter_mut().zip(gradient).zip(values) {
                        *velocity = momentum * *velocity + (g + decay * value);
                    }
                },
            );
        });
    }

    /// The shares of gradient and velocity in the step.
    pub fn shares(&self) -> [f32; 2] {
        if self.nesterov { [1.0, self.momentum] } else { [0.0, 1.0] }
    }

    /// Moves `values` along their `gradient` and what [`remember`](Self::remember) left in `velocity`.
    pub fn step(&self, values: &mut [f32], gradient: &[f32], velocity: &[f32]) {
        let Self { rate, decay, .. } = *self;
        let [of_gradient, of_velocity] = self.shares();
        let others = gradient.par_chunks(LENGTH).zip(velocity.par_chunks(LENGTH));
        values.par_chunks_mut(LENGTH).zip(others).for_each(|(values, (gradient, velocity))| {
            vectorised(
                #[inline(always)]
                || {
                    for ((value, g), velocity) in values.iter_mut().zip(gradient).zip(velocity) {
                        let g = g + decay * *value;
                        *value -= rate * (of_gradient * g + of_velocity * velocity);
                    }
                },
            );
        });
    }
}

/// `values = of_values * values + of_others * others`.
pub fn blend(values: &mut [f32], others: &[f32], [of_values, of_others]: [f32; 2]) {
    values.par_chunks_mut(LENGTH).zip(others.par_chunks(LENGTH)).for_each(|(values, others)| {
        vectorised(
            #[inline(always)]
            || {
                for (value, other) in values.iter_mut().zip(others) {
                    *value = of_values * *value + of_others * other;
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

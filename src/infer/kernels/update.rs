//! How weights move: AdamW and the moving average, each in one pass over memory. Every element is on its own, so the
//! results do not depend on the number of threads.

use rayon::prelude::*;

/// Elements of a task.
const LENGTH: usize = 1 << 14;

/// The numbers of one step of AdamW (Loshchilov & Hutter 2019), those of Adam where `keep` is 1.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Decay of the first and second moment.
    pub betas: [f32; 2],
    /// Learning rate over the first moment's bias correction.
    pub rate: f32,
    /// One over the second moment's bias correction.
    pub second_correction: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// What the decay of the weights leaves of them: 1 - learning rate * decay.
    pub keep: f32,
}

impl AdamW {
    /// Moves `values` and their `moments` by a `gradient`.
    pub fn step(&self, values: &mut [f32], gradient: &[f32], [first, second]: [&mut [f32]; 2]) {
        let Self { betas: [b1, b2], rate, second_correction, eps, keep } = *self;
        let moments = first.par_chunks_mut(LENGTH).zip(second.par_chunks_mut(LENGTH));
        values.par_chunks_mut(LENGTH).zip(gradient.par_chunks(LENGTH)).zip(moments).for_each(
            |((values, gradient), (first, second))| {
                pulp::Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let moments = first.iter_mut().zip(second);
                        for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
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

/// `average = decay * average + (1 - decay) * now`.
pub fn average(average: &mut [f32], now: &[f32], decay: f32) {
    average.par_chunks_mut(LENGTH).zip(now.par_chunks(LENGTH)).for_each(|(average, now)| {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for (average, now) in average.iter_mut().zip(now) {
                    *average = decay * *average + (1.0 - decay) * now;
                }
            },
        );
    });
}

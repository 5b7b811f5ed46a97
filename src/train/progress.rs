//! What is told of a run while it goes on, and what is known after each epoch.

use serde::{Deserialize, Serialize};

/// What is known after each epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1, over all stages.
    pub epoch: usize,
    /// From 1.
    pub stage: usize,
    /// Mean training loss.
    pub training_loss: f64,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Share of validation images predicted right.
    pub validation_accuracy: f64,
    /// Mean recall on the validation images.
    pub validation_balanced_accuracy: f64,
    /// Mean negative log-probability of the truth on the validation images.
    pub validation_loss: f64,
    /// What epochs are compared by; greater is better.
    pub score: f64,
    /// Training images a second, over the time the network was trained.
    pub images_a_second: f64,
    /// Wall time of the epoch, validation included, seconds.
    pub seconds: f64,
}

/// Called while a model is fitted.
pub trait TrainingProgress {
    /// A step was taken: the running epoch, its step, how many it has, and the mean loss so far.
    fn step(&mut self, epoch: usize, step: usize, steps: usize, loss: f64);
    /// An epoch ended.
    fn epoch(&mut self, record: &EpochRecord);
    /// Whether to stop.
    fn is_interrupted(&self) -> bool {
        false
    }
}

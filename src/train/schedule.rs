//! The learning rate over a stage, and when a stage has seen enough.

use super::recipe::{LearningRateCurve, Schedule, TrainingStage};

/// The factor by which a plateau or a milestone lowers the rate where none is given.
const FACTOR: f64 = 0.1;
/// The epochs a plateau waits where nothing is said.
const PATIENCE: usize = 3;

/// Where in a stage a step is.
#[derive(Debug, Clone, Copy)]
pub struct TrainingPoint<'a> {
    /// Steps of the stage taken before.
    pub step: u64,
    /// Steps an epoch.
    pub steps_an_epoch: u64,
    /// The scores of the stage's finished epochs, greater for better.
    pub scores: &'a [f64],
}

/// The learning rate at a point of the training: a linear rise over the warm-up, then the schedule's curve.
pub fn learning_rate(stage: &TrainingStage, point: TrainingPoint) -> f64 {
    let Schedule { kind, warm_up_epochs, milestones, factor, patience } = &stage.schedule;
    let highest = stage.optimiser.learning_rate;
    let warm_up = (warm_up_epochs * point.steps_an_epoch as f64) as u64;
    if point.step < warm_up {
        return highest * (point.step + 1) as f64 / warm_up as f64;
    }
    let factor = factor.unwrap_or(FACTOR);
    match kind {
        LearningRateCurve::Constant => highest,
        LearningRateCurve::Cosine => {
            let steps = stage.epochs as u64 * point.steps_an_epoch;
            let share = (point.step - warm_up) as f64 / steps.saturating_sub(warm_up).max(1) as f64;
            highest * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
        }
        LearningRateCurve::Step => {
            let epoch = point.step / point.steps_an_epoch.max(1);
            let passed = milestones.iter().filter(|milestone| **milestone as u64 <= epoch).count();
            highest * factor.powi(passed as i32)
        }
        LearningRateCurve::Plateau => {
            highest * factor.powi(plateaus(point.scores, patience.unwrap_or(PATIENCE)) as i32)
        }
    }
}

/// How often `scores` went `patience` epochs without a better one; after each such time the count starts anew.
fn plateaus(scores: &[f64], patience: usize) -> usize {
    let (mut best, mut waited, mut plateaus) = (f64::NEG_INFINITY, 0, 0);
    for score in scores {
        waited += 1;
        if *score > best {
            (best, waited) = (*score, 0);
        }
        if waited == patience {
            (plateaus, waited) = (plateaus + 1, 0);
        }
    }
    plateaus
}

/// Whether a stage with these scores so far has come to its end.
pub fn is_over(stage: &TrainingStage, scores: &[f64]) -> bool {
    scores.len() >= stage.epochs || stage.patience.is_some_and(|patience| plateaus(scores, patience) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::recipe::{Layers, OptimiserSettings, Rule};

    fn stage(schedule: Schedule) -> TrainingStage {
        let optimiser = OptimiserSettings {
            kind: Rule::Sgd,
            learning_rate: 1.0,
            weight_decay: 0.0,
            momentum: 0.0,
            nesterov: false,
            sam_rho: 0.0,
        };
        TrainingStage {
            train: Layers::All,
            epochs: 10,
            patience: Some(2),
            freeze_statistics: false,
            optimiser,
            schedule,
            augmentation: None,
        }
    }

    fn rate(stage: &TrainingStage, step: u64, scores: &[f64]) -> f64 {
        learning_rate(stage, TrainingPoint { step, steps_an_epoch: 10, scores })
    }

    #[test]
    fn a_cosine_rises_then_falls_to_zero() {
        let stage = stage(Schedule { kind: LearningRateCurve::Cosine, warm_up_epochs: 1.0, ..Schedule::default() });
        for (step, expected) in [(0, 0.1), (9, 1.0), (10, 1.0), (55, 0.5), (100, 0.0)] {
            assert!((rate(&stage, step, &[]) - expected).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn milestones_and_plateaus_lower_the_rate() {
        let step = stage(Schedule { kind: LearningRateCurve::Step, milestones: vec![2, 5], ..Schedule::default() });
        assert_eq!([19, 20, 49, 50].map(|at| rate(&step, at, &[])), [1.0, 0.1, 0.1, 0.1f64.powi(2)]);
        let settings =
            Schedule { kind: LearningRateCurve::Plateau, factor: Some(0.5), patience: Some(2), ..Schedule::default() };
        let plateau = stage(settings);
        assert_eq!(rate(&plateau, 30, &[1.0, 2.0, 2.0]), 1.0);
        assert_eq!(rate(&plateau, 40, &[1.0, 2.0, 2.0, 1.5]), 0.5);
        assert_eq!(rate(&plateau, 50, &[1.0, 2.0, 2.0, 1.5, 3.0]), 0.5);
        assert_eq!(rate(&plateau, 70, &[1.0, 2.0, 2.0, 1.5, 1.0, 1.0]), 0.25);
    }

    #[test]
    fn a_stage_ends_after_its_epochs_or_its_patience() {
        let stage = stage(Schedule::default());
        assert!(!is_over(&stage, &[1.0, 2.0, 1.0]) && is_over(&stage, &[1.0, 2.0, 1.0, 2.0]));
        assert!(is_over(&stage, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]));
    }
}

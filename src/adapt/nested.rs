//! Nested cross-validation (Varma & Simon 2006): of each fold, the candidate is chosen inside its training part, learnt anew
//! from all of that part, and asked about the fold once. What is reported comes from models that were chosen without having seen it.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, Method};
use super::error::AdaptError;
use super::head::probabilities;
use super::learn::{AdaptedWeights, HOLDS, Learnt, Material, Steps, Work};
use crate::choice::Choice;
use crate::timeline::{Expression, Probabilities};
use crate::train::fold::{FoldError, Grouping, parts};
use crate::train::manifest::Row;
use crate::train::metrics::{Judged, best_temperature};

/// One in so many groups of a training part chooses the candidate.
const INNER_PARTS: usize = 5;

/// What a model is chosen for and judged by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// The mean of the classes' recalls: rare classes count as much as frequent ones.
    #[default]
    Balanced,
    /// The share of right answers.
    Accuracy,
}

impl Choice for Aim {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Balanced, "balanced", "The mean of the classes' recalls"),
        (Self::Accuracy, "accuracy", "The share of right answers"),
    ];
}

impl Aim {
    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced accuracy",
            Self::Accuracy => "accuracy",
        }
    }

    /// How good answers are; greater is better. Probabilities are scored and not answers: with some hundred pictures to choose
    /// by, a few answers more or less are chance.
    pub fn score(self, judged: &[Judged]) -> f64 {
        let mut sums = [(0.0, 0.0); Expression::COUNT];
        for j in judged {
            let (sum, count) = &mut sums[j.truth.index()];
            *sum += f64::from(j.probabilities[j.truth.index()]).max(1e-12).ln();
            *count += 1.0;
        }
        let seen: Vec<(f64, f64)> = sums.into_iter().filter(|(_, count)| *count > 0.0).collect();
        match self {
            Self::Accuracy => seen.iter().map(|(sum, _)| sum).sum::<f64>() / seen.iter().map(|(_, n)| n).sum::<f64>(),
            Self::Balanced => seen.iter().map(|(sum, count)| sum / count).sum::<f64>() / seen.len() as f64,
        }
    }
}

/// How a candidate did where it was to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The candidate.
    pub candidate: Candidate,
    /// Its score on the pictures that choose.
    pub score: f64,
    /// How strongly the last layer is held.
    pub hold: f64,
    /// Of its logits.
    pub temperature: f32,
}

/// One fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// Pictures that were learnt from, that chose, and that were judged.
    pub pictures: [usize; 3],
    /// All candidates.
    pub tried: Vec<Tried>,
    /// The chosen one's index among them.
    pub chosen: usize,
}

/// What came of the folds.
pub struct Nested {
    /// The folds.
    pub folds: Vec<Fold>,
    /// Places of the labelled pictures, in the order of the answers.
    pub judged: Vec<usize>,
    /// Of each its fold.
    pub fold_of: Vec<usize>,
    /// Of each the group that intervals are drawn by.
    pub clusters: Vec<String>,
    /// The start's answers.
    pub before: Vec<Judged>,
    /// Those of the chosen candidates.
    pub after: Vec<Judged>,
    /// Of each fold, what judged it.
    pub models: Vec<AdaptedWeights>,
}

/// A division into folds.
pub struct Division<'a> {
    /// The rows of the pictures.
    pub rows: &'a [Row],
    /// What stays on one side.
    pub grouping: Grouping,
    /// How many folds.
    pub folds: usize,
    /// Of the division.
    pub seed: u64,
}

impl Division<'_> {
    /// The fold of each picture, from 0.
    ///
    /// # Errors
    /// If there are fewer groups than folds.
    pub fn folds(&self) -> Result<Vec<usize>, FoldError> {
        parts(&self.rows.iter().collect::<Vec<_>>(), self.grouping, self.folds, self.seed)
    }

    /// The pictures of a training part that learn, and those that choose.
    ///
    /// # Errors
    /// If the part is of a single group.
    pub fn inner(&self, training: &[usize]) -> Result<[Vec<usize>; 2], FoldError> {
        let rows: Vec<&Row> = training.iter().map(|index| &self.rows[*index]).collect();
        let parts = match parts(&rows, self.grouping, INNER_PARTS, self.seed) {
            Err(FoldError::TooFewGroups { groups, .. }) if groups >= 2 => {
                parts(&rows, self.grouping, groups, self.seed)?
            }
            parts => parts?,
        };
        let of = |wanted: bool| {
            training.iter().zip(&parts).filter(|(_, part)| (**part == 0) == wanted).map(|(index, _)| *index).collect()
        };
        Ok([of(false), of(true)])
    }
}

/// Tries `candidates` on the pictures of `learning`, chosen by those of `choosing`.
///
/// # Errors
/// If one cannot be learnt.
pub fn tried(
    material: &Material,
    candidates: &[Candidate],
    [learning, choosing]: &[Vec<usize>; 2],
    aim: Aim,
    steps: &mut dyn Steps,
) -> Result<Vec<Tried>, AdaptError> {
    let choosing: Vec<usize> = labelled(material, choosing);
    let truths: Vec<Expression> = choosing.iter().filter_map(|index| material.examples[*index].label).collect();
    let measure = |candidate: Candidate, hold: f64, learnt: &Learnt| -> Result<Tried, AdaptError> {
        let logits = material.logits(learnt, &choosing)?;
        let is_fitted = !matches!(candidate.method, Method::AsItIs | Method::Calibration);
        let temperature = if is_fitted { best_temperature(&logits, &truths) } else { 1.0 };
        let score = aim.score(&judged(&logits, &truths, temperature));
        Ok(Tried { candidate, score, hold, temperature })
    };
    let mut measured: Vec<Tried> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| !candidate.trains_network()) {
        if steps.is_interrupted() {
            return Err(AdaptError::Interrupted);
        }
        let holds = if matches!(candidate.method, Method::Head { .. }) { &HOLDS[..] } else { &HOLDS[..1] };
        // Fits of the last layer are small: side by side.
        let fitted = holds.par_iter().map(|hold| {
            let learnt = material.learn(*candidate, learning, *hold, &mut NoSteps)?;
            measure(*candidate, *hold, &learnt)
        });
        measured.extend(fitted.collect::<Result<Vec<Tried>, AdaptError>>()?);
        steps.done(material.simple_work(candidate.method, learning.len(), choosing.len()));
    }
    let best = |candidate: Candidate| {
        let own = measured.iter().filter(|tried| tried.candidate == candidate);
        own.copied().max_by(|a, b| a.score.total_cmp(&b.score))
    };
    let mut all = Vec::new();
    for candidate in candidates {
        if steps.is_interrupted() {
            return Err(AdaptError::Interrupted);
        }
        let Method::Network { flips, .. } = candidate.method else {
            all.extend(best(*candidate));
            continue;
        };
        // The last layer it begins with is held as was best for that layer alone.
        let flips = flips && !material.config.input.symmetric;
        let alone = Candidate { method: Method::Head { flips }, balanced: candidate.balanced };
        let hold = best(alone).map_or(HOLDS[1], |tried| tried.hold);
        let learnt = material.learn(*candidate, learning, hold, steps)?;
        all.push(measure(*candidate, hold, &learnt)?);
        steps.done(material.asked(choosing.len()));
    }
    Ok(all)
}

/// The index of the best of `tried`; of equal ones the simplest.
pub fn best(tried: &[Tried]) -> usize {
    let mut best = 0;
    for (index, tried_here) in tried.iter().enumerate() {
        if tried_here.score > tried[best].score {
            best = index;
        }
    }
    best
}

/// All folds.
///
/// # Errors
/// If one cannot be learnt, or it is interrupted.
pub fn run(
    material: &Material,
    candidates: &[Candidate],
    division: &Division,
    aim: Aim,
    steps: &mut dyn Steps,
) -> Result<Nested, AdaptError> {
    let fold_of = division.folds()?;
    let all: Vec<usize> = (0..fold_of.len()).collect();
    let mut answers: BTreeMap<usize, [Judged; 2]> = BTreeMap::new();
    let (mut folds, mut models) = (Vec::new(), Vec::new());
    for fold in 0..division.folds {
        let (judging, training): (Vec<usize>, Vec<usize>) = all.iter().partition(|index| fold_of[**index] == fold);
        let inner = division.inner(&training)?;
        let tried = tried(material, candidates, &inner, aim, steps)?;
        let chosen = best(&tried);
        let Tried { candidate, hold, temperature, .. } = tried[chosen];
        let learnt = material.learn(candidate, &training, hold, steps)?;
        let judging = labelled(material, &judging);
        let truths: Vec<Expression> = judging.iter().filter_map(|index| material.examples[*index].label).collect();
        let before = material.logits(&Learnt::Head(material.head.clone()), &judging)?;
        let after = material.logits(&learnt, &judging)?;
        steps.done(match candidate.trains_network() {
            true => material.asked(judging.len()),
            false => material.simple_work(candidate.method, training.len(), judging.len()),
        });
        let before = self::judged(&before, &truths, 1.0);
        let after = self::judged(&after, &truths, temperature);
        let pairs = before.into_iter().zip(after).map(|(before, after)| [before, after]);
        answers.extend(judging.iter().copied().zip(pairs));
        let pictures = [inner[0].len(), inner[1].len(), judging.len()];
        folds.push(Fold { pictures, tried, chosen });
        models.push(learnt.weights(material, temperature)?);
    }
    let judged: Vec<usize> = answers.keys().copied().collect();
    let fold_of = judged.iter().map(|index| fold_of[*index]).collect();
    let (before, after) = answers.into_values().map(|[before, after]| (before, after)).unzip();
    let clusters = judged.iter().map(|index| division.grouping.key(&division.rows[*index])).collect();
    Ok(Nested { folds, judged, fold_of, clusters, before, after, models })
}

/// The candidate that the choice falls on when all folds' choosing pictures are taken together, with the middle of how its
/// last layer was held and the mean of its temperatures.
pub fn overall(folds: &[Fold]) -> Tried {
    let mut sums: Vec<Tried> = folds[0].tried.clone();
    for (index, sum) in sums.iter_mut().enumerate() {
        let of_folds: Vec<Tried> = folds.iter().map(|fold| fold.tried[index]).collect();
        let count = of_folds.len() as f64;
        sum.score = of_folds.iter().map(|tried| tried.score).sum::<f64>() / count;
        let logarithms = of_folds.iter().map(|tried| f64::from(tried.temperature).ln()).sum::<f64>();
        sum.temperature = (logarithms / count).exp() as f32;
        let mut holds: Vec<f64> = of_folds.iter().map(|tried| tried.hold).collect();
        holds.sort_by(f64::total_cmp);
        sum.hold = holds[holds.len() / 2];
    }
    sums[best(&sums)]
}

/// Those of `indices` that have a label.
pub fn labelled(material: &Material, indices: &[usize]) -> Vec<usize> {
    indices.iter().copied().filter(|index| material.examples[*index].label.is_some()).collect()
}

/// Logits as answers.
pub fn judged(logits: &[Probabilities], truths: &[Expression], temperature: f32) -> Vec<Judged> {
    let answer = |(logits, truth): (&Probabilities, &Expression)| Judged {
        truth: *truth,
        probabilities: probabilities(logits, temperature),
    };
    logits.iter().zip(truths).map(answer).collect()
}

/// Fits that take no steps worth telling.
struct NoSteps;

impl Steps for NoSteps {
    fn done(&mut self, _: Work) {}

    fn is_interrupted(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balanced_score_lets_rare_classes_count_as_much_as_frequent_ones() {
        let judged = |truth: Expression, sure: f32| {
            let mut probabilities = [(1.0 - sure) / 6.0; Expression::COUNT];
            probabilities[truth.index()] = sure;
            Judged { truth, probabilities }
        };
        let frequent_right: Vec<Judged> =
            (0..9).map(|_| judged(Expression::Neutral, 0.9)).chain([judged(Expression::Fear, 0.1)]).collect();
        let both_so_so: Vec<Judged> =
            (0..9).map(|_| judged(Expression::Neutral, 0.6)).chain([judged(Expression::Fear, 0.6)]).collect();
        assert!(Aim::Accuracy.score(&frequent_right) > Aim::Accuracy.score(&both_so_so));
        assert!(Aim::Balanced.score(&frequent_right) < Aim::Balanced.score(&both_so_so));
    }

    #[test]
    fn of_equal_candidates_the_simplest_is_chosen() {
        let tried = |score: f64| Tried { candidate: Candidate::AS_IT_IS, score, hold: 1.0, temperature: 1.0 };
        assert_eq!(best(&[tried(-1.0), tried(-0.5), tried(-0.5)]), 1);
    }
}

//! How much more material would help: the same folds with less and less to learn from.

use std::collections::BTreeSet;

use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use super::error::AdaptError;
use super::learn::{LEAST_FOR_NETWORK, Material, Steps};
use super::nested::{Aim, Division, Tried, judged, labelled};
use crate::random::seeded;
use crate::timeline::Expression;
use crate::train::metrics::{self, Judged};
use crate::train::significance::{compare, gain_of_doubling, intervals, widened};

/// Numbers of pictures that are tried.
const SIZES: [usize; 10] = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];
/// Networks learn as many of the smaller sizes as are together this share of all there is: the small ones cost little, and a curve
/// over doublings needs them most.
const SHARE_OF_NETWORKS: f64 = 0.75;
/// Frames of a video that are left out together: some seconds, as whoever annotates less leaves out stretches.
const BLOCK: u64 = 250;

/// What so many pictures give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Pictures learnt from, in each fold; 0 is the start.
    pub pictures: usize,
    /// Accuracy with its 95 % interval.
    pub accuracy: (f64, [f64; 2]),
    /// Balanced accuracy with its 95 % interval.
    pub balanced_accuracy: (f64, [f64; 2]),
    /// The gain over the start on the same pictures, in the measure that is aimed at, with its 95 % interval, as wide as so few
    /// signers ask.
    #[serde(default)]
    pub gain: Option<(f64, [f64; 2])>,
}

/// What material gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// From none to all there is.
    pub points: Vec<Point>,
    /// What doubling the material gave, in the measure that is aimed at, with its 95 % interval, as wide as so few signers ask.
    pub doubling: Option<(f64, [f64; 2])>,
}

/// The sizes below `most` that are tried, and `most`.
pub fn sizes(most: usize, trains_network: bool) -> Vec<usize> {
    let least = if trains_network { LEAST_FOR_NETWORK } else { 0 };
    let mut sum = 0;
    let is_affordable = |size: &usize| {
        sum += size;
        !trains_network || sum as f64 <= SHARE_OF_NETWORKS * most as f64
    };
    let below = SIZES.into_iter().filter(|size| (least..most * 4 / 5).contains(size)).filter(is_affordable);
    below.chain([most]).collect()
}

/// How many times `most` pictures the sizes below it are together: what a curve costs beyond its last point.
pub fn share(most: usize, trains_network: bool) -> f64 {
    let below = sizes(most, trains_network).into_iter().filter(|size| *size < most);
    below.sum::<usize>() as f64 / most.max(1) as f64
}

/// Learns `tried` from less and less; `before` are the start's answers to `order`, pictures by their index.
///
/// # Errors
/// If it cannot be learnt, or is interrupted.
pub fn measure(
    material: &Material,
    division: &Division,
    tried: &Tried,
    (order, before, clusters): (&[usize], &[Judged], &[String]),
    aim: Aim,
    steps: &mut dyn Steps,
) -> Result<LearningCurve, AdaptError> {
    let fold_of = division.folds()?;
    let blocks = blocks(division);
    let trainings: Vec<Vec<usize>> = (0..division.folds)
        .map(|fold| blocks.iter().copied().filter(|index| fold_of[*index] != fold).collect())
        .collect();
    let most = trainings.iter().map(Vec::len).min().unwrap_or(0);
    let mut points = vec![point(0, before, None, clusters)];
    let (mut learnt_from, mut answers) = (Vec::new(), Vec::new());
    for size in sizes(most, tried.candidate.trains_network()) {
        let mut by_index = vec![None; division.rows.len()];
        for (fold, training) in trainings.iter().enumerate() {
            // All of it is what the fold learnt from before.
            let used: Vec<usize> = match size == most {
                true => (0..fold_of.len()).filter(|index| fold_of[*index] != fold).collect(),
                false => training[..size].to_vec(),
            };
            let learnt = material.learn(tried.candidate, &used, tried.hold, steps)?;
            let judging: Vec<usize> = (0..fold_of.len()).filter(|index| fold_of[*index] == fold).collect();
            let judging = labelled(material, &judging);
            let truths: Vec<Expression> = judging.iter().filter_map(|index| material.examples[*index].label).collect();
            let logits = material.logits(&learnt, &judging)?;
            steps.done(match tried.candidate.trains_network() {
                true => material.asked(judging.len()),
                false => material.simple_work(tried.candidate.method, used.len(), judging.len()),
            });
            for (index, answer) in judging.iter().zip(judged(&logits, &truths, tried.temperature)) {
                by_index[*index] = Some(answer);
            }
        }
        let of_size: Vec<Judged> = order.iter().filter_map(|index| by_index[*index]).collect();
        points.push(point(size, &of_size, Some(gain(&of_size, before, clusters, aim)), clusters));
        learnt_from.push(size as f64);
        answers.push(of_size);
    }
    let is_balanced = aim == Aim::Balanced;
    let groups = clusters.iter().collect::<BTreeSet<_>>().len();
    let doubling = (answers.len() > 1).then(|| {
        let (gain, interval) = gain_of_doubling(&learnt_from, &answers, clusters, is_balanced);
        (gain, widened(gain, interval, groups))
    });
    Ok(LearningCurve { points, doubling })
}

/// What `after` gains over `before` in what is aimed at.
fn gain(after: &[Judged], before: &[Judged], clusters: &[String], aim: Aim) -> (f64, [f64; 2]) {
    let compared = compare(after, before, clusters);
    let (value, interval) = match aim {
        Aim::Balanced => (compared.balanced_accuracy_difference, compared.balanced_accuracy_difference_interval),
        Aim::Accuracy => (compared.accuracy_difference, compared.accuracy_difference_interval),
    };
    (value, widened(value, interval, clusters.iter().collect::<BTreeSet<_>>().len()))
}

fn point(pictures: usize, judged: &[Judged], gain: Option<(f64, [f64; 2])>, clusters: &[String]) -> Point {
    let confusion = metrics::confusion(judged);
    let sure = intervals(judged, clusters);
    Point {
        pictures,
        accuracy: (metrics::accuracy(&confusion), sure.accuracy),
        balanced_accuracy: (metrics::balanced_accuracy(&confusion), sure.balanced_accuracy),
        gain,
    }
}

/// All pictures in an order of which any beginning is what a person may have annotated: stretches of videos, drawn by chance.
fn blocks(division: &Division) -> Vec<usize> {
    let mut blocks: std::collections::BTreeMap<String, Vec<usize>> = std::collections::BTreeMap::new();
    for (index, row) in division.rows.iter().enumerate() {
        let key = match (&row.sequence, row.frame) {
            (Some(sequence), Some(frame)) => format!("{sequence} {}", frame / BLOCK),
            _ => row.image(),
        };
        blocks.entry(key).or_default().push(index);
    }
    let mut blocks: Vec<Vec<usize>> = blocks.into_values().collect();
    blocks.shuffle(&mut seeded(division.seed, "learning curve"));
    blocks.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_end_with_all_there_is_and_networks_learn_none_that_is_too_small() {
        assert_eq!(sizes(700, false), [50, 100, 200, 500, 700]);
        assert_eq!(sizes(700, true), [100, 200, 700]);
        assert_eq!(sizes(1600, true), [100, 200, 500, 1600]);
        assert!((share(700, true) - 300.0 / 700.0).abs() < 1e-9 && share(80, true) < 1e-9);
        assert_eq!(sizes(40, false), [40]);
        assert_eq!(sizes(110, false), [50, 110], "a size that is nearly all says nothing new");
    }
}

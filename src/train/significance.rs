//! How sure measures are: intervals by resampling, and whether two models differ.

use std::collections::HashMap;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::metrics::{Confusion, Judged, accuracy, balanced_accuracy, class_metrics, kappa};
use crate::random::seeded;
use crate::timeline::{Expression, most_probable};

/// Number of bootstrap samples.
const RESAMPLES: usize = 2000;

/// 95 % intervals: percentile bootstrap over clusters, that is, over subjects or sequences where images belong to some, so
/// that neighbouring frames of a video do not count as independent. Seeded: same input, same intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Number of clusters.
    pub clusters: usize,
    /// Share of right predictions.
    pub accuracy: [f64; 2],
    /// Mean recall.
    pub balanced_accuracy: [f64; 2],
    /// Mean F1.
    pub macro_f1: [f64; 2],
    /// Cohen's kappa, where it is defined.
    pub kappa: Option<[f64; 2]>,
}

/// Two models on the same images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Images both have judged.
    pub images: usize,
    /// Images only the first gets right.
    pub only_first: u64,
    /// Images only the second gets right.
    pub only_second: u64,
    /// Two-sided exact probability of a split of the two at least as uneven if the models were equally good (McNemar 1947).
    pub p_value: f64,
    /// Accuracy of the first less that of the second.
    pub accuracy_difference: f64,
    /// Its 95 % interval, by the bootstrap over clusters.
    pub accuracy_difference_interval: [f64; 2],
    /// Balanced accuracy of the first less that of the second.
    pub balanced_accuracy_difference: f64,
    /// Its 95 % interval, likewise.
    pub balanced_accuracy_difference_interval: [f64; 2],
}

/// Intervals of the measures of `judged`; `clusters` says by name what each belongs to.
pub fn intervals(judged: &[Judged], clusters: &[String]) -> Intervals {
    let pairs: Vec<Pair> = judged.iter().map(pair).collect();
    let members = members(clusters);
    let mut values = [const { Vec::new() }; 4];
    resample(&members, |images| {
        let confusion = table(images.iter().map(|image| pairs[*image]));
        let f1: Vec<f64> = class_metrics(&confusion).iter().filter_map(|c| c.f1).collect();
        let macro_f1 = f1.iter().sum::<f64>() / f1.len() as f64;
        let all =
            [accuracy(&confusion), balanced_accuracy(&confusion), macro_f1, kappa(&confusion).unwrap_or(f64::NAN)];
        values.iter_mut().zip(all).for_each(|(values, value)| values.push(value));
    });
    let [accuracy, balanced_accuracy, macro_f1, kappa] = values.map(interval);
    let kappa = Some(kappa).filter(|kappa| kappa[0].is_finite());
    Intervals { clusters: members.len(), accuracy, balanced_accuracy, macro_f1, kappa }
}

/// The 0.975 quantiles of Student's t for 1 to 10 degrees of freedom.
const T: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
/// The same of the normal distribution.
const Z: f64 = 1.959_964;

/// An interval about `value` from a bootstrap over `clusters`, made as wide as so few of them ask. The bootstrap takes the
/// clusters that there are for all there could be, and its interval is too narrow where they are few: each side is stretched by
/// `sqrt(G / (G - 1))` and by Student's t with G - 1 degrees of freedom over the normal quantile, as Cameron, Gelbach & Miller
/// (2008, "Bootstrap-based improvements for inference with clustered errors", section II) have it for cluster-robust errors.
/// A single cluster says nothing: its interval has no ends.
pub fn widened(value: f64, [low, high]: [f64; 2], clusters: usize) -> [f64; 2] {
    let freedom = clusters.saturating_sub(1);
    if freedom == 0 {
        return [f64::NEG_INFINITY, f64::INFINITY];
    }
    let df = freedom as f64;
    // Beyond the table, the first terms of Fisher's expansion are exact to three places.
    let expanded = Z + (Z.powi(3) + Z) / (4.0 * df) + (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / (96.0 * df * df);
    let t = T.get(freedom - 1).copied().unwrap_or(expanded);
    let factor = (clusters as f64 / df).sqrt() * t / Z;
    [value - factor * (value - low), value + factor * (high - value)]
}

/// Recall of one class by two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassComparison {
    /// The class.
    pub class: Expression,
    /// Images that show it.
    pub images: u64,
    /// Recall of the first and of the second.
    pub recall: [f64; 2],
    /// F1 of the first and of the second.
    pub f1: [Option<f64>; 2],
    /// 95 % interval of the difference of the recalls, by the bootstrap over clusters.
    pub difference_interval: [f64; 2],
}

/// Compares two models' answers class by class; classes that no image shows are left out.
pub fn compare_classes(first: &[Judged], second: &[Judged], clusters: &[String]) -> Vec<ClassComparison> {
    let pairs: Vec<(Pair, Pair)> = first.iter().zip(second).map(|(a, b)| (pair(a), pair(b))).collect();
    let measures = |images: &[usize]| {
        let of = |which: fn(&(Pair, Pair)) -> Pair| table(images.iter().map(|image| which(&pairs[*image])));
        [class_metrics(&of(|pair| pair.0)), class_metrics(&of(|pair| pair.1))]
    };
    let mut values = [const { Vec::new() }; Expression::COUNT];
    resample(&members(clusters), |images| {
        let [a, b] = measures(images);
        for (values, (a, b)) in values.iter_mut().zip(a.iter().zip(&b)) {
            values.push(a.recall.zip(b.recall).map_or(f64::NAN, |(a, b)| a - b));
        }
    });
    let [a, b] = measures(&(0..pairs.len()).collect::<Vec<_>>());
    let classes = a.into_iter().zip(b).zip(values);
    let compared = classes.filter_map(|((a, b), values)| {
        let recall = [a.recall?, b.recall?];
        let difference_interval = interval(values);
        Some(ClassComparison { class: a.class, images: a.images, recall, f1: [a.f1, b.f1], difference_interval })
    });
    compared.collect()
}

/// How the balanced accuracy, or the accuracy, rises when the material is doubled: the slope over the binary logarithm of the
/// sizes, least squares, with its 95 % interval by the bootstrap over clusters. `judged` are answers to the same images by
/// models that learnt from more and more.
pub fn gain_of_doubling(sizes: &[f64], judged: &[Vec<Judged>], clusters: &[String], balanced: bool) -> (f64, [f64; 2]) {
    let pairs: Vec<Vec<Pair>> = judged.iter().map(|judged| judged.iter().map(pair).collect()).collect();
    let logarithms: Vec<f64> = sizes.iter().map(|size| size.log2()).collect();
    let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
    let spread: f64 = logarithms.iter().map(|l| (l - mean).powi(2)).sum();
    let slope = |images: &[usize]| {
        let measure = |pairs: &Vec<Pair>| {
            let confusion = table(images.iter().map(|image| pairs[*image]));
            if balanced { balanced_accuracy(&confusion) } else { accuracy(&confusion) }
        };
        pairs.iter().zip(&logarithms).map(|(pairs, l)| (l - mean) * measure(pairs)).sum::<f64>() / spread
    };
    let mut values = Vec::new();
    resample(&members(clusters), |images| values.push(slope(images)));
    (slope(&(0..clusters.len()).collect::<Vec<_>>()), interval(values))
}

/// Compares two models' answers to the same images, in the same order.
pub fn compare(first: &[Judged], second: &[Judged], clusters: &[String]) -> Comparison {
    let pairs: Vec<(Pair, Pair)> = first.iter().zip(second).map(|(a, b)| (pair(a), pair(b))).collect();
    let measures = |images: &mut dyn Iterator<Item = usize>| {
        let images: Vec<usize> = images.collect();
        let a = table(images.iter().map(|image| pairs[*image].0));
        let b = table(images.iter().map(|image| pairs[*image].1));
        [accuracy(&a) - accuracy(&b), balanced_accuracy(&a) - balanced_accuracy(&b)]
    };
    let mut values = [const { Vec::new() }; 2];
    resample(&members(clusters), |images| {
        let differences = measures(&mut images.iter().copied());
        values.iter_mut().zip(differences).for_each(|(values, value)| values.push(value));
    });
    let [accuracy_difference, balanced_accuracy_difference] = measures(&mut (0..pairs.len()));
    let [accuracy_difference_interval, balanced_accuracy_difference_interval] = values.map(interval);
    let right = |(truth, predicted): Pair| truth == predicted;
    let only_first = pairs.iter().filter(|(a, b)| right(*a) && !right(*b)).count() as u64;
    let only_second = pairs.iter().filter(|(a, b)| !right(*a) && right(*b)).count() as u64;
    Comparison {
        images: pairs.len(),
        only_first,
        only_second,
        p_value: mcnemar(only_first, only_second),
        accuracy_difference,
        accuracy_difference_interval,
        balanced_accuracy_difference,
        balanced_accuracy_difference_interval,
    }
}

/// The exact two-sided p-value of McNemar's test with `b` and `c` discordant pairs: twice the lower tail of the binomial
/// distribution with probability one half.
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let n = b + c;
    // The logarithm of "n over k" times 2 to the minus n, from k to k + 1.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=b.min(c) {
        tail += log_term.exp();
        log_term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

type Pair = (usize, usize);

fn pair(judged: &Judged) -> Pair {
    (judged.truth.index(), most_probable(&judged.probabilities).index())
}

fn table(pairs: impl Iterator<Item = Pair>) -> Confusion {
    let mut table = [[0; Expression::COUNT]; Expression::COUNT];
    pairs.for_each(|(truth, predicted)| table[truth][predicted] += 1);
    table
}

/// The images of each cluster, in order of appearance.
fn members(clusters: &[String]) -> Vec<Vec<usize>> {
    let mut index_of: HashMap<&str, usize> = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (image, cluster) in clusters.iter().enumerate() {
        let index = *index_of.entry(cluster).or_insert(members.len());
        if index == members.len() {
            members.push(Vec::new());
        }
        members[index].push(image);
    }
    members
}

/// Calls `with` with the images of as many clusters as there are, drawn with replacement, again and again.
fn resample(members: &[Vec<usize>], mut with: impl FnMut(&[usize])) {
    let mut random = seeded(0, "bootstrap");
    let mut images = Vec::new();
    for _ in 0..RESAMPLES {
        images.clear();
        for _ in 0..members.len() {
            images.extend(&members[random.random_range(0..members.len())]);
        }
        with(&images);
    }
}

/// The middle 95 % of `values`, between neighbours linearly, as NumPy's `percentile`; what is not a number is left out.
fn interval(mut values: Vec<f64>) -> [f64; 2] {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return [f64::NAN; 2];
    }
    [0.025, 0.975].map(|share| {
        let rank = share * (values.len() - 1) as f64;
        let (below, above) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
        below + (above - below) * rank.fract()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Mcnemar {
        b: u64,
        c: u64,
        p: f64,
    }

    #[derive(Deserialize)]
    struct Bootstrap {
        truth: Vec<usize>,
        predicted: Vec<usize>,
        other: Vec<usize>,
        clusters: Vec<usize>,
        accuracy: [f64; 2],
        balanced_accuracy: [f64; 2],
        macro_f1: [f64; 2],
        kappa: [f64; 2],
        accuracy_difference: [f64; 2],
    }

    /// `tests/metrics/make.py` says how it was made.
    #[derive(Deserialize)]
    struct Reference {
        mcnemar: Vec<Mcnemar>,
        bootstrap: Vec<Bootstrap>,
    }

    fn reference() -> Reference {
        serde_json::from_str(include_str!("../../tests/metrics/significance.json")).unwrap()
    }

    #[test]
    fn p_values_are_those_of_statsmodels() {
        let cases = reference().mcnemar;
        assert!(cases.len() >= 6);
        for Mcnemar { b, c, p } in cases {
            assert!((mcnemar(b, c) - p).abs() < 1e-9 * (1.0 + p), "{b} {c}: {} is not {p}", mcnemar(b, c));
        }
        // The two settings of SLTAT 2022 whose difference the paper speaks of.
        assert_eq!(format!("{:.2}", mcnemar(16, 25)), "0.21");
    }

    #[test]
    fn intervals_are_those_of_another_bootstrap() {
        for case in reference().bootstrap {
            let judged = |answers: &[usize]| -> Vec<Judged> {
                let pairs = case.truth.iter().zip(answers);
                pairs
                    .map(|(truth, answer)| {
                        let probabilities = std::array::from_fn(|class| if class == *answer { 1.0 } else { 0.0 });
                        Judged { truth: Expression::ALL[*truth], probabilities }
                    })
                    .collect()
            };
            let clusters: Vec<String> = case.clusters.iter().map(usize::to_string).collect();
            let found = intervals(&judged(&case.predicted), &clusters);
            let compared = compare(&judged(&case.predicted), &judged(&case.other), &clusters);
            for (name, found, expected) in [
                ("accuracy", found.accuracy, case.accuracy),
                ("balanced accuracy", found.balanced_accuracy, case.balanced_accuracy),
                ("macro-F1", found.macro_f1, case.macro_f1),
                ("kappa", found.kappa.unwrap(), case.kappa),
                ("difference", compared.accuracy_difference_interval, case.accuracy_difference),
            ] {
                // Two bootstraps of 2,000 and 20,000 samples: their ends differ by some hundredths of the width.
                let width = expected[1] - expected[0];
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 0.08 * width, "{name}: {found} is not {expected}");
                }
            }
        }
    }

    /// Ten images of each of two classes: the first model reads `right` of each, the second half of them.
    fn answers(right: [usize; 2]) -> Vec<Judged> {
        let judged = |class: usize, is_right: bool| {
            let answer = if is_right { class } else { 1 - class };
            let probabilities = std::array::from_fn(|c| if c == answer { 1.0 } else { 0.0 });
            Judged { truth: Expression::ALL[class], probabilities }
        };
        (0..2).flat_map(|class| (0..10).map(move |image| judged(class, image < right[class]))).collect()
    }

    #[test]
    fn classes_are_compared_one_by_one_with_what_one_can_be_sure_of() {
        let clusters: Vec<String> = (0..20).map(|image| image.to_string()).collect();
        let compared = compare_classes(&answers([10, 5]), &answers([2, 5]), &clusters);
        assert_eq!(compared.len(), 2);
        assert_eq!((compared[0].images, compared[0].recall), (10, [1.0, 0.2]));
        assert!(compared[0].difference_interval[0] > 0.4 && compared[0].difference_interval[1] <= 1.0);
        assert_eq!(compared[1].difference_interval, [0.0; 2]);
    }

    #[test]
    fn few_clusters_widen_an_interval_and_many_hardly() {
        // sqrt(5 / 4) * 2.776 / 1.96, and likewise with 2.042 (30 degrees of freedom, scipy.stats.t.ppf).
        let [low, high] = widened(0.1, [0.05, 0.2], 5);
        assert!(
            (low - (0.1 - 0.05 * 1.5836)).abs() < 1e-4 && (high - (0.1 + 0.1 * 1.5836)).abs() < 1e-4,
            "{low} {high}"
        );
        let [low, _] = widened(0.0, [-1.0, 1.0], 31);
        assert!((low + 1.0592).abs() < 1e-3, "{low}");
        let [low, _] = widened(0.0, [-1.0, 1.0], 100_000);
        assert!((low + 1.0).abs() < 1e-3, "{low}");
        assert_eq!(widened(0.5, [0.5, 0.5], 1), [f64::NEG_INFINITY, f64::INFINITY]);
    }

    #[test]
    fn a_doubling_gains_what_lies_between_the_points() {
        let clusters: Vec<String> = (0..20).map(|image| image.to_string()).collect();
        let judged = [answers([5, 5]), answers([6, 6]), answers([7, 7])];
        let (gain, [low, high]) = gain_of_doubling(&[10.0, 20.0, 40.0], &judged, &clusters, true);
        assert!((gain - 0.1).abs() < 1e-9 && low < gain && gain < high, "{low} {gain} {high}");
    }

    #[test]
    fn frames_of_few_videos_give_wider_intervals_than_as_many_single_images() {
        let judged: Vec<Judged> = (0..200)
            .map(|image| {
                let answer = if image % 40 < 10 { 0 } else { 1 };
                let mut probabilities = [0.0; Expression::COUNT];
                probabilities[answer] = 1.0;
                Judged { truth: Expression::ALL[if image < 40 { 0 } else { 1 }], probabilities }
            })
            .collect();
        let single: Vec<String> = (0..200).map(|image| image.to_string()).collect();
        let videos: Vec<String> = (0..200).map(|image| (image / 40).to_string()).collect();
        let width = |clusters: &[String]| {
            let [low, high] = intervals(&judged, clusters).accuracy;
            high - low
        };
        assert!(width(&videos) > 1.5 * width(&single), "{} {}", width(&videos), width(&single));
    }
}

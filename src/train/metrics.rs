//! How good predictions are.

use serde::{Deserialize, Serialize};

use crate::timeline::{Expression, Probabilities, most_probable};

/// Rows are the truth, columns the prediction.
pub type Confusion = [[u64; Expression::COUNT]; Expression::COUNT];

/// A judged image: what it shows, and what the model says.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    /// The truth.
    pub truth: Expression,
    /// The model's probabilities.
    pub probabilities: Probabilities,
}

/// Measures over a set of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of images.
    pub images: u64,
    /// Share of right predictions.
    pub accuracy: f64,
    /// Mean recall over the classes that occur (also: UAR, mean sensitivity).
    pub balanced_accuracy: f64,
    /// Mean over the classes that occur or are predicted of 2PR / (P + R).
    pub macro_f1: f64,
    /// Mean F1 weighted by how often the classes occur (SLTAT 2022's notebooks call it weighted accuracy).
    pub weighted_f1: f64,
    /// Cohen's (1960) kappa of truth and prediction; none where chance alone gives full agreement.
    pub kappa: Option<f64>,
    /// Mean negative log-probability of the truth, nats.
    pub negative_log_likelihood: f64,
    /// Expected calibration error of the most probable class, 15 bins of equal width (Guo et al. 2017).
    pub calibration_error: f64,
    /// The bins of the calibration error that are not empty, from low to high confidence.
    pub reliability: Vec<ReliabilityBin>,
    /// Per class, in canonical order.
    pub classes: Vec<ClassMetrics>,
    /// Rows truth, columns prediction, canonical order.
    pub confusion: Confusion,
}

/// Measures of one class; absent where they would divide by zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// The class.
    pub class: Expression,
    /// How many images show it.
    pub images: u64,
    /// Share of them predicted as it.
    pub recall: Option<f64>,
    /// Share of the predictions of it that are right.
    pub precision: Option<f64>,
    /// Harmonic mean of the two.
    pub f1: Option<f64>,
}

/// Images whose most probable class has about the same probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// How many.
    pub images: u64,
    /// Mean probability of their most probable class.
    pub confidence: f64,
    /// Share of them that are right.
    pub accuracy: f64,
}

/// Number of bins of the calibration error.
const BINS: usize = 15;

/// Measures of `judged`, or `None` where it is empty.
pub fn measure(judged: &[Judged]) -> Option<Metrics> {
    if judged.is_empty() {
        return None;
    }
    let confusion = confusion(judged);
    let classes = class_metrics(&confusion);
    let f1: Vec<f64> = classes.iter().filter_map(|c| c.f1).collect();
    let weighted: f64 = classes.iter().filter_map(|c| Some(c.images as f64 * c.f1?)).sum();
    let log_likelihood: f64 = judged.iter().map(|j| f64::from(j.probabilities[j.truth.index()]).max(1e-12).ln()).sum();
    let images = judged.len() as f64;
    let reliability = reliability(judged);
    let gaps = reliability.iter().map(|bin| bin.images as f64 * (bin.confidence - bin.accuracy).abs());
    Some(Metrics {
        images: judged.len() as u64,
        accuracy: accuracy(&confusion),
        balanced_accuracy: balanced_accuracy(&confusion),
        macro_f1: f1.iter().sum::<f64>() / f1.len().max(1) as f64,
        weighted_f1: weighted / images,
        kappa: kappa(&confusion),
        negative_log_likelihood: -log_likelihood / images,
        calibration_error: gaps.sum::<f64>() / images,
        reliability,
        classes,
        confusion,
    })
}

/// How often each class is predicted for each.
pub fn confusion(judged: &[Judged]) -> Confusion {
    let mut confusion = Confusion::default();
    for j in judged {
        confusion[j.truth.index()][most_probable(&j.probabilities).index()] += 1;
    }
    confusion
}

/// Cohen's kappa of rows and columns.
pub fn kappa(confusion: &Confusion) -> Option<f64> {
    let mut table = crate::statistics::kappa::Table::default();
    for (row, counts) in table.iter_mut().zip(confusion) {
        row[..Expression::COUNT].copy_from_slice(counts);
    }
    crate::statistics::kappa::cohens_kappa(&table)
}

/// The classes that none of `judged` shows.
pub fn absent(confusion: &Confusion) -> Vec<Expression> {
    Expression::ALL.into_iter().filter(|class| confusion[class.index()].iter().all(|count| *count == 0)).collect()
}

/// `judged` with each class's probability divided by its share of the training images to the power of `strength`, and scaled
/// to a sum of 1: what the model would say if classes had been equally frequent (Saerens et al. 2002, eq. 2.4, for strength
/// 1).
pub fn prior_corrected(judged: &[Judged], shares: &[f64; Expression::COUNT], strength: f64) -> Vec<Judged> {
    judged
        .iter()
        .map(|j| {
            let raw: [f64; Expression::COUNT] =
                std::array::from_fn(|class| f64::from(j.probabilities[class]) / shares[class].max(1e-6).powf(strength));
            let sum: f64 = raw.iter().sum();
            Judged { truth: j.truth, probabilities: raw.map(|value| (value / sum) as f32) }
        })
        .collect()
}

/// Share on the diagonal.
pub fn accuracy(confusion: &Confusion) -> f64 {
    let right: u64 = (0..Expression::COUNT).map(|class| confusion[class][class]).sum();
    right as f64 / confusion.iter().flatten().sum::<u64>() as f64
}

/// Mean recall over the classes that occur.
pub fn balanced_accuracy(confusion: &Confusion) -> f64 {
    let recalls: Vec<f64> =
        confusion.iter().enumerate().filter_map(|(class, row)| ratio(row[class], row.iter().sum())).collect();
    recalls.iter().sum::<f64>() / recalls.len() as f64
}

/// Recall, precision and F1 of each class.
pub fn class_metrics(confusion: &Confusion) -> Vec<ClassMetrics> {
    Expression::ALL
        .into_iter()
        .map(|class| {
            let index = class.index();
            let right = confusion[index][index];
            let shown = confusion[index].iter().sum();
            let predicted = confusion.iter().map(|row| row[index]).sum();
            ClassMetrics {
                class,
                images: shown,
                recall: ratio(right, shown),
                precision: ratio(right, predicted),
                f1: ratio(2 * right, shown + predicted),
            }
        })
        .collect()
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn reliability(judged: &[Judged]) -> Vec<ReliabilityBin> {
    let mut bins = [(0u64, 0.0f64, 0.0f64); BINS];
    for j in judged {
        let predicted = most_probable(&j.probabilities);
        let confidence = f64::from(j.probabilities[predicted.index()]);
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += 1;
        bin.1 += confidence;
        bin.2 += f64::from(u8::from(predicted == j.truth));
    }
    bins.into_iter()
        .filter(|(images, ..)| *images > 0)
        .map(|(images, confidence, right)| ReliabilityBin {
            images,
            confidence: confidence / images as f64,
            accuracy: right / images as f64,
        })
        .collect()
}

/// The temperature that gives `logits` the least negative log-likelihood of `truths` (Guo et al. 2017): golden-section
/// search over its logarithm between 1/8 and 8.
pub fn best_temperature(logits: &[Probabilities], truths: &[Expression]) -> f32 {
    let loss = |log_temperature: f64| -> f64 {
        let temperature = log_temperature.exp();
        let mut total = 0.0;
        for (logits, truth) in logits.iter().zip(truths) {
            let scaled = logits.map(|l| f64::from(l) / temperature);
            let highest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scaled.iter().map(|s| (s - highest).exp()).sum();
            total += highest + sum.ln() - scaled[truth.index()];
        }
        total
    };
    let golden = (5.0f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-(8.0f64.ln()), 8.0f64.ln());
    for _ in 0..40 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left) < loss(right) { high = right } else { low = left }
    }
    ((low + high) / 2.0).exp() as f32
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::random::seeded;

    /// A published confusion matrix, in the order anger, disgust, fear, happiness, neutral, sadness, surprise, and what the
    /// notebooks print of it. Measures over all classes do not depend on the order of the classes.
    #[derive(Deserialize)]
    struct Published {
        name: String,
        confusion: Confusion,
        accuracy: String,
        balanced_accuracy: String,
        recalls: Vec<String>,
        macro_f1: Option<String>,
        weighted_f1: Option<String>,
    }

    #[test]
    fn measures_reproduce_the_six_published_confusion_matrices() {
        let published: Vec<Published> =
            serde_json::from_str(include_str!("../../tests/metrics/published.json")).unwrap();
        assert_eq!(published.len(), 6);
        for p in published {
            let classes = class_metrics(&p.confusion);
            let percent = |value: f64, like: &str| {
                let decimals = like.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                format!("{:.decimals$}", 100.0 * value)
            };
            assert_eq!(percent(accuracy(&p.confusion), &p.accuracy), p.accuracy, "{}", p.name);
            assert_eq!(
                percent(balanced_accuracy(&p.confusion), &p.balanced_accuracy),
                p.balanced_accuracy,
                "{}",
                p.name
            );
            for (class, printed) in classes.iter().zip(&p.recalls) {
                assert_eq!(percent(class.recall.unwrap(), printed), *printed, "{}", p.name);
            }
            let images: u64 = classes.iter().map(|c| c.images).sum();
            let f1 = classes.iter().map(|c| c.f1.unwrap()).sum::<f64>() / 7.0;
            let weighted = classes.iter().map(|c| c.images as f64 * c.f1.unwrap()).sum::<f64>() / images as f64;
            for (value, printed) in [(f1, p.macro_f1), (weighted, p.weighted_f1)] {
                if let Some(printed) = printed {
                    assert_eq!(format!("{value:.2}").trim_start_matches('0'), printed, "{}", p.name);
                }
            }
        }
    }

    /// Predictions and what other implementations measure of them: `tests/metrics/make.py`.
    #[derive(Deserialize)]
    struct Reference {
        truth: Vec<usize>,
        probabilities: Vec<Probabilities>,
        accuracy: f64,
        balanced_accuracy: f64,
        macro_f1: f64,
        weighted_f1: f64,
        kappa: f64,
        negative_log_likelihood: f64,
        calibration_error: f64,
        recalls: Vec<f64>,
        precisions: Vec<f64>,
        prior: [f64; Expression::COUNT],
        prior_corrected_balanced_accuracy: [f64; 2],
    }

    #[test]
    fn measures_are_those_of_scikit_learn() {
        let references: Vec<Reference> =
            serde_json::from_str(include_str!("../../tests/metrics/reference.json")).unwrap();
        for r in references {
            let judged: Vec<Judged> = r
                .truth
                .iter()
                .zip(&r.probabilities)
                .map(|(truth, p)| Judged { truth: Expression::ALL[*truth], probabilities: *p })
                .collect();
            let m = measure(&judged).unwrap();
            let same = |name: &str, ours: f64, theirs: f64| {
                assert!((ours - theirs).abs() < 1e-6, "{name}: {ours} is not {theirs}");
            };
            same("accuracy", m.accuracy, r.accuracy);
            same("balanced accuracy", m.balanced_accuracy, r.balanced_accuracy);
            same("macro-F1", m.macro_f1, r.macro_f1);
            same("weighted F1", m.weighted_f1, r.weighted_f1);
            same("kappa", m.kappa.unwrap(), r.kappa);
            same("log-likelihood", m.negative_log_likelihood, r.negative_log_likelihood);
            same("calibration error", m.calibration_error, r.calibration_error);
            for (class, (recall, precision)) in m.classes.iter().zip(r.recalls.iter().zip(&r.precisions)) {
                same("recall", class.recall.unwrap_or(0.0), *recall);
                same("precision", class.precision.unwrap_or(0.0), *precision);
            }
            for (strength, expected) in [0.5, 1.0].into_iter().zip(r.prior_corrected_balanced_accuracy) {
                let corrected = measure(&prior_corrected(&judged, &r.prior, strength)).unwrap();
                same("prior-corrected", corrected.balanced_accuracy, expected);
            }
        }
    }

    #[test]
    fn temperature_recovers_the_factor_by_which_logits_were_stretched() {
        let mut random = seeded(5, "logits");
        let mut logits = Vec::new();
        let mut truths = Vec::new();
        for _ in 0..4000 {
            let row: Probabilities = std::array::from_fn(|_| random.random_range(-2.0..2.0));
            let sum: f32 = row.iter().map(|l| l.exp()).sum();
            let mut draw = random.random::<f32>() * sum;
            let class = row
                .iter()
                .position(|l| {
                    draw -= l.exp();
                    draw <= 0.0
                })
                .unwrap_or(6);
            truths.push(Expression::ALL[class]);
            logits.push(row.map(|l| 3.0 * l));
        }
        let temperature = best_temperature(&logits, &truths);
        assert!((temperature - 3.0).abs() < 0.25, "{temperature}");
    }
}

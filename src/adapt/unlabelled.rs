//! What a corpus gives without a single label: three ways of fitting the start to faces that nobody has annotated.
//!
//! *Statistics*: the means and variances of batch normalisation are measured on the corpus's own faces (Li et al. 2018,
//! "Adaptive batch normalization for practical domain adaptation"). *Class shares*: the shares of the classes in the corpus are
//! estimated from the start's own answers by expectation maximisation, and its probabilities follow them (Saerens, Latinne &
//! Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities"). *Resting faces*: what
//! `annotate --calibrate auto` does, signer by signer. All are judged on the pictures on which everything else is judged, and
//! recommended only where they are shown to help.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, Method};
use super::error::AdaptError;
use super::head::{FeatureError, Head, probabilities};
use super::learn::{Learnt, Material, Steps};
use super::nested::{Aim, judged};
use crate::model::ModelConfig;
use crate::nn::{Network, Parameters, Phase, Purpose};
use crate::pipeline::calibrate;
use crate::random::seeded;
use crate::timeline::{Expression, Probabilities};
use crate::train::balance::Balance;
use crate::train::dataset::Example;
use crate::train::loader::plain_pictures;
use crate::train::metrics::Judged;
use crate::train::significance::Comparison;

const CLASSES: usize = Expression::COUNT;
/// Pictures whose statistics are taken together: as many as are needed for the variance inside a batch to be that of all.
const BATCH: usize = 256;
/// Rounds of expectation maximisation; it mostly ends before.
const ROUNDS: usize = 200;
/// The shares are settled where none moves by more than this.
const SETTLED: f64 = 1e-6;
/// No class's share is taken to be below this, so that a class which the start never says can still be said.
const LEAST_SHARE: f64 = 1e-3;
/// With fewer pictures, nobody knows what a signer's face looks like at rest.
const LEAST_OF_A_SIGNER: usize = 8;

/// A way of adapting that asks nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutLabels {
    /// Batch normalisation's statistics are those of the corpus.
    Statistics,
    /// The classes' shares are those of the corpus.
    ClassShares,
    /// What a signer's face shows all the time is lowered.
    RestingFaces,
}

/// What one of them gained on the pictures that are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gained {
    /// The way.
    pub way: WithoutLabels,
    /// It against the start.
    pub gain: Comparison,
}

impl WithoutLabels {
    /// What it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Statistics => "statistics of the corpus",
            Self::ClassShares => "class shares of the corpus",
            Self::RestingFaces => "resting faces (`--calibrate auto`)",
        }
    }
}

impl Gained {
    /// The gain in what is aimed at, and its interval.
    pub fn aimed(&self, aim: Aim) -> (f64, [f64; 2]) {
        match aim {
            Aim::Balanced => (self.gain.balanced_accuracy_difference, self.gain.balanced_accuracy_difference_interval),
            Aim::Accuracy => (self.gain.accuracy_difference, self.gain.accuracy_difference_interval),
        }
    }

    /// Whether it is shown to help: the interval lies above 0.
    pub fn is_shown(&self, aim: Aim) -> bool {
        self.aimed(aim).1[0] > 0.0
    }
}

/// Answers of each way to the pictures `order`, in that order. `signers` names whose face each picture of the corpus shows.
/// No label is looked at but to say, of each answer, what the truth is.
///
/// # Errors
/// If a picture cannot be decoded or the device fails.
pub fn answers(
    material: &Material,
    signers: &[String],
    order: &[usize],
    steps: &mut dyn Steps,
) -> Result<Vec<(WithoutLabels, Vec<Judged>)>, AdaptError> {
    let all: Vec<usize> = (0..material.examples.len()).collect();
    let truths: Vec<Expression> = order.iter().filter_map(|picture| material.examples[*picture].label).collect();
    let mut ways = Vec::new();
    for (way, method) in [(WithoutLabels::Statistics, Method::Statistics), (WithoutLabels::ClassShares, Method::Shares)]
    {
        let learnt = material.learn(Candidate { method, balanced: false }, &all, 1.0, steps)?;
        // A network's logits are not calibrated yet, those of a last layer are.
        let temperature = if matches!(learnt, Learnt::Network(..)) { material.config.temperature } else { 1.0 };
        ways.push((way, judged(&material.logits(&learnt, order)?, &truths, temperature)));
        steps.done(material.simple_work(method, all.len(), order.len()));
    }
    let start: Vec<Probabilities> =
        all.iter().map(|picture| probabilities(&material.head.logits(material.features, *picture), 1.0)).collect();
    let rested = rested(&start, signers);
    let of_order = order.iter().zip(&truths);
    let judged = of_order.map(|(picture, truth)| Judged { truth: *truth, probabilities: rested[*picture] }).collect();
    ways.push((WithoutLabels::RestingFaces, judged));
    Ok(ways)
}

/// The start's weights with the means and variances of batch normalisation that `examples` have: the mean over batches of
/// each batch's own.
///
/// # Errors
/// If a picture cannot be decoded or the device fails.
pub fn with_own_statistics(
    config: &ModelConfig,
    weights: &BTreeMap<String, Tensor>,
    examples: &[&Example],
) -> Result<BTreeMap<String, Tensor>, AdaptError> {
    let device = &Device::Cpu;
    let parameters = Parameters::new(Purpose::Inference, device);
    let network = Network::new(&parameters, &config.architecture, config.input.colours)?;
    let momentum = network.momentum();
    // Dropout alone draws from it, and stands behind the last of these layers.
    let random = Mutex::new(seeded(0, "statistics"));
    let input = &config.input;
    let mut sums: BTreeMap<String, Tensor> = BTreeMap::new();
    let mut start = BTreeMap::new();
    for chunk in examples.chunks(BATCH) {
        parameters.set(weights).map_err(|e| FeatureError::Weights(e.to_string()))?;
        start = parameters.tensors()?;
        let values = input.normalised(plain_pictures(chunk, input.side, input.colours)?);
        let shape = (chunk.len(), input.side, input.side, input.colours.count());
        network.features(&Tensor::from_vec(values, shape, device)?, Phase::Training(&random))?;
        let share = chunk.len() as f64 / examples.len() as f64;
        for (name, moved) in parameters.tensors()?.into_iter().filter(|(name, _)| is_statistic(name)) {
            // The running statistics went from `start` towards the batch's by the momentum.
            let own = ((moved - (&start[&name] * (1.0 - momentum))?)? * (share / momentum))?;
            let sum = match sums.remove(&name) {
                Some(sum) => (sum + own)?,
                None => own,
            };
            sums.insert(name, sum);
        }
    }
    start.extend(sums);
    Ok(start)
}

fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

/// The start's last layer, moved so that its probabilities follow the shares that the classes have among `logits`, its own
/// answers to the corpus.
pub fn with_own_shares(head: &Head, logits: &[Probabilities], config: &ModelConfig) -> Head {
    let learnt = learnt_shares(config);
    let answers: Vec<Probabilities> = logits.iter().map(|logits| probabilities(logits, 1.0)).collect();
    let own = shares(&answers, &learnt);
    let bias = std::array::from_fn(|class| head.bias[class] + (own[class] / learnt[class]).ln() as f32);
    Head { weights: head.weights.clone(), bias }
}

/// The shares of the classes that the start's probabilities follow: those of its training pictures, as far as training did not
/// balance them; all alike where it does not say.
fn learnt_shares(config: &ModelConfig) -> [f64; CLASSES] {
    let training = &config.training;
    let known: Option<[f64; CLASSES]> = serde_json::from_value(training["class_shares"].clone()).ok();
    let balance: Option<Balance> = serde_json::from_value(training["recipe"]["balance"].clone()).ok();
    let strength = balance.unwrap_or_default().applied_strength();
    let shares = known.unwrap_or([1.0; CLASSES]).map(|share| share.max(LEAST_SHARE).powf(1.0 - strength));
    let sum: f64 = shares.iter().sum();
    shares.map(|share| share / sum)
}

/// The classes' shares where a network that has learnt with shares `learnt` gives these `answers`.
fn shares(answers: &[Probabilities], learnt: &[f64; CLASSES]) -> [f64; CLASSES] {
    let mut shares = *learnt;
    for _ in 0..ROUNDS {
        let mut sums = [0.0; CLASSES];
        for answer in answers {
            let weighted: [f64; CLASSES] = std::array::from_fn(|c| f64::from(answer[c]) * shares[c] / learnt[c]);
            let sum = weighted.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            sums.iter_mut().zip(weighted).for_each(|(total, part)| *total += part / sum);
        }
        let total: f64 = sums.iter().map(|sum| sum.max(LEAST_SHARE * answers.len() as f64)).sum();
        let next = sums.map(|sum| sum.max(LEAST_SHARE * answers.len() as f64) / total.max(f64::MIN_POSITIVE));
        let moved = shares.iter().zip(next).map(|(before, after)| (before - after).abs()).fold(0.0, f64::max);
        shares = next;
        if moved < SETTLED {
            break;
        }
    }
    shares
}

/// The start's answers, corrected for each signer's resting face. Single pictures do not say whether a face moves, so that
/// all of a signer's pictures count.
fn rested(answers: &[Probabilities], signers: &[String]) -> Vec<Probabilities> {
    let mut by_signer: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (picture, signer) in signers.iter().enumerate() {
        by_signer.entry(signer).or_default().push(picture);
    }
    let mut rested = answers.to_vec();
    for pictures in by_signer.into_values().filter(|pictures| pictures.len() >= LEAST_OF_A_SIGNER) {
        let own: Vec<Probabilities> = pictures.iter().map(|picture| answers[*picture]).collect();
        let correction = calibrate::resting_correction(&own);
        pictures.iter().for_each(|picture| rested[*picture] = calibrate::corrected(&answers[*picture], &correction));
    }
    rested
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::model::registry;
    use crate::nn::Architecture;
    use crate::nn::mobilenet::MobileNetConfig;
    use crate::train::dataset::load_where;
    use crate::train::manifest::{Row, Split};

    #[test]
    fn shares_are_found_that_differ_from_those_that_were_learnt() {
        // Two classes, seen as a value with unit variance about -1 and 1; learnt half and half, 9 of 10 are the first now.
        let mut random = seeded(3, "shares");
        let mut answer = |is_first: bool| {
            let noise: f64 = (0..12).map(|_| random.random_range(-0.5..0.5)).sum();
            let odds = 2.0 * (noise + if is_first { -1.0 } else { 1.0 });
            let second = 1.0 / (1.0 + (-odds).exp());
            let mut answer = [0.0; CLASSES];
            (answer[0], answer[1]) = ((1.0 - second) as f32, second as f32);
            answer
        };
        let answers: Vec<Probabilities> = (0..4000).map(|number| answer(number % 10 != 0)).collect();
        let mut learnt = [1e-6; CLASSES];
        (learnt[0], learnt[1]) = (0.5, 0.5);
        let found = shares(&answers, &learnt);
        assert!((found[0] - 0.9).abs() < 0.02 && (found[1] - 0.1).abs() < 0.02, "{found:?}");
        let as_answered = answers.iter().map(|answer| f64::from(answer[1])).sum::<f64>() / 4000.0;
        assert!(as_answered > 0.15, "the mean of the answers alone is {as_answered}");
    }

    #[test]
    fn a_face_that_always_looks_sad_is_lowered_and_a_signer_of_few_pictures_is_left_alone() {
        let sad = [0.3, 0.0, 0.65, 0.01, 0.01, 0.01, 0.02];
        let happy = [0.1, 0.85, 0.01, 0.01, 0.01, 0.01, 0.01];
        let answers: Vec<Probabilities> = (0..12).map(|n| if n == 5 { happy } else { sad }).chain([sad]).collect();
        let signers: Vec<String> = (0..12).map(|_| "a".to_owned()).chain(["b".to_owned()]).collect();
        let rested = rested(&answers, &signers);
        assert!(rested[0][0] > rested[0][2], "{:?}", rested[0]);
        assert!(rested[5][1] > 0.8, "{:?}", rested[5]);
        assert_eq!(rested[12], sad);
    }

    #[test]
    fn own_statistics_are_those_that_the_pictures_have_as_they_pass_the_network() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = seeded(5, "pictures");
        let rows: Vec<Row> = (0..24)
            .map(|number| {
                let path = folder.path().join(format!("{number}.png"));
                let (dark, wide) = (random.random_range(20..120), random.random_range(3..12));
                image::GrayImage::from_fn(48, 48, |x, y| image::Luma([dark + ((x / wide + y / 5) % 4 * 30) as u8]))
                    .save(&path)
                    .unwrap();
                Row { label: Some(Expression::Neutral), ..Row::new(path, Split::Train) }
            })
            .collect();
        let (config, weights) = registry::weights(std::path::Path::new("default")).unwrap();
        let examples = load_where(&rows, config.input.colours, |_| true).unwrap();
        let examples: Vec<&Example> = examples.iter().collect();
        let own = with_own_statistics(&config, &weights, &examples).unwrap();

        // A pass that normalises by the batch itself is the reference.
        let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
        let network = Network::new(&parameters, &config.architecture, config.input.colours).unwrap();
        let input = &config.input;
        let values = input.normalised(plain_pictures(&examples, input.side, input.colours).unwrap());
        let x = Tensor::from_vec(values, (24, input.side, input.side, input.colours.count()), &Device::Cpu).unwrap();
        let features = |tensors: &BTreeMap<String, Tensor>, phase: Phase| -> Vec<f32> {
            parameters.set(tensors).unwrap();
            network.features(&x, phase).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let random = Mutex::new(seeded(0, "statistics"));
        // Dropout leaves some out and makes the others greater by as much.
        let Architecture::MobilenetV1(MobileNetConfig { dropout, .. }) = &config.architecture else { panic!() };
        let by_batch: Vec<f32> =
            features(&weights, Phase::Again(&random)).iter().map(|value| value * (1.0 - dropout)).collect();
        let distance = |found: &[f32]| -> f32 {
            let kept = || found.iter().zip(&by_batch).filter(|(_, b)| **b != 0.0);
            (kept().map(|(a, b)| (a - b).powi(2)).sum::<f32>() / kept().map(|(_, b)| b * b).sum::<f32>()).sqrt()
        };
        let (before, after) = (features(&weights, Phase::Inference), features(&own, Phase::Inference));
        assert!(distance(&after) < 0.02 && distance(&before) > 0.2, "{} {}", distance(&after), distance(&before));
    }

    #[test]
    fn what_a_balanced_start_learnt_lies_nearer_to_all_alike() {
        let (config, _) = registry::weights(std::path::Path::new("default")).unwrap();
        let learnt = learnt_shares(&config);
        let known: [f64; CLASSES] = serde_json::from_value(config.training["class_shares"].clone()).unwrap();
        let disgust = Expression::Disgust.index();
        assert!(learnt[disgust] > known[disgust] && learnt[0] < known[0], "{learnt:?}");
        assert!((learnt.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

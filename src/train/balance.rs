//! Four ways to deal with classes that are rarer than others. Each acts on one part of training: the loss, the draw of
//! the examples, or the logits.

use candle_core::{Device, Result, Tensor};
use rand::distr::{Distribution, weighted::WeightedIndex};
use serde::{Deserialize, Serialize};

use super::dataset::Example;
use crate::timeline::{Expression, Probabilities};

/// What a class's share is never taken to be below, so that an absent class does not give endless factors.
const LEAST_SHARE: f64 = 1e-4;

/// How training makes up for rare classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceMethod {
    /// Not at all: the model's probabilities follow the training data's frequencies.
    #[default]
    None,
    /// The loss of an image is multiplied by its class's share to the power of minus the strength, scaled to a mean of
    /// 1. Strength 1 is the "balanced" weighting of SLTAT 2022.
    Weights,
    /// Images are drawn with replacement, with a probability proportional to the same factor.
    Sampler,
    /// The logarithm of each class's share times the strength is added to the logits in training only (Menon et al.
    /// 2021, "Long-tail learning via logit adjustment", eq. 10). Strength 1 aims at balanced accuracy.
    LogitAdjustment,
}

/// A method and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Balance {
    /// The way.
    pub method: BalanceMethod,
    /// 0 changes nothing, 1 balances the classes fully.
    pub strength: f64,
    /// How far the classes are balanced once training is over, beside the method: the logarithm of each class's share times
    /// this is taken from its logit (Menon et al. 2021, eq. 9). 0 changes nothing. By the validation images it can be chosen
    /// without training again.
    #[serde(skip_serializing_if = "super::recipe::is_zero")]
    pub afterwards: f64,
}

impl Default for Balance {
    fn default() -> Self {
        Self { method: BalanceMethod::None, strength: 1.0, afterwards: 0.0 }
    }
}

impl Balance {
    /// How far the classes' shares are balanced; 0 where nothing is done.
    pub fn applied_strength(&self) -> f64 {
        let in_training = if self.method == BalanceMethod::None { 0.0 } else { self.strength };
        in_training + self.afterwards
    }
}

/// A balance, fitted to training data.
pub struct Balancing {
    method: BalanceMethod,
    /// Per class, the loss's or the draw's factor.
    factors: [f64; Expression::COUNT],
    /// Per class, what is added to the logits.
    offsets: Probabilities,
    /// Per class, what the logits have more when training is over.
    afterwards: Probabilities,
}

impl Balancing {
    /// Counts the classes of `examples`, soft labels by their shares.
    pub fn new(balance: Balance, examples: &[Example]) -> Self {
        let shares = Self::shares(examples).map(|share| share.max(LEAST_SHARE));
        let raw = shares.map(|share| share.powf(-balance.strength));
        let mean: f64 = shares.iter().zip(raw).map(|(share, factor)| share * factor).sum();
        Self {
            method: balance.method,
            factors: raw.map(|factor| factor / mean),
            offsets: shares.map(|share| (balance.strength * share.ln()) as f32),
            afterwards: shares.map(|share| (-balance.afterwards * share.ln()) as f32),
        }
    }

    /// The factor on an example's loss.
    pub fn weight(&self, example: &Example) -> f32 {
        match self.method {
            BalanceMethod::Weights => example.weight * self.factor(example) as f32,
            _ => example.weight,
        }
    }

    /// The logits that the loss is computed of: `[images, 7]` in and out.
    ///
    /// # Errors
    /// If the device fails.
    pub fn adjusted(&self, logits: &Tensor, device: &Device) -> Result<Tensor> {
        match self.method {
            BalanceMethod::LogitAdjustment => logits.broadcast_add(&Tensor::new(&self.offsets, device)?),
            _ => Ok(logits.clone()),
        }
    }

    /// The last layer's biases `[7]` once training is over.
    ///
    /// # Errors
    /// If the device fails.
    pub fn settled(&self, biases: &Tensor) -> Result<Tensor> {
        if self.afterwards == Probabilities::default() {
            return Ok(biases.clone());
        }
        biases + Tensor::new(&self.afterwards, biases.device())?
    }

    /// The examples of an epoch, before they are put into an order: all of them once, or as many drawn by chance.
    pub fn drawn<'a>(&self, examples: &'a [Example], random: &mut impl rand::Rng) -> Vec<&'a Example> {
        if self.method != BalanceMethod::Sampler {
            return examples.iter().collect();
        }
        match WeightedIndex::new(examples.iter().map(|example| self.factor(example))) {
            Ok(index) => (0..examples.len()).map(|_| &examples[index.sample(random)]).collect(),
            Err(_) => examples.iter().collect(),
        }
    }

    /// Each class's share of the training data.
    pub fn shares(examples: &[Example]) -> [f64; Expression::COUNT] {
        let mut shares = [0.0_f64; Expression::COUNT];
        for example in examples {
            for (share, part) in shares.iter_mut().zip(example.target) {
                *share += f64::from(part) / examples.len() as f64;
            }
        }
        shares
    }

    /// Mean of the classes' factors under the example's distribution.
    fn factor(&self, example: &Example) -> f64 {
        self.factors.iter().zip(example.target).map(|(factor, share)| factor * f64::from(share)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Colours;
    use crate::random::seeded;
    use crate::train::dataset::{ImageSource, Picture};

    /// Nine neutral faces and an angry one.
    fn examples() -> Vec<Example> {
        let example = |row: usize, class: Expression| {
            let mut target = [0.0; Expression::COUNT];
            target[class.index()] = 1.0;
            Example {
                row,
                source: ImageSource::Kept(Picture::new(vec![0], Colours::Luma, 1, 1)),
                target,
                label: Some(class),
                weight: 2.0,
            }
        };
        let mut examples: Vec<Example> = (0..9).map(|row| example(row, Expression::Neutral)).collect();
        examples.push(example(9, Expression::Anger));
        examples
    }

    fn balancing(method: BalanceMethod, strength: f64) -> Balancing {
        Balancing::new(Balance { method, strength, afterwards: 0.0 }, &examples())
    }

    #[test]
    fn full_weights_give_every_class_the_same_say_and_keep_the_mean() {
        let examples = examples();
        let weights: Vec<f32> = examples.iter().map(|e| balancing(BalanceMethod::Weights, 1.0).weight(e)).collect();
        assert!((weights[..9].iter().sum::<f32>() - weights[9]).abs() < 1e-4, "{weights:?}");
        assert!(weights[0] < 2.0 && weights[9] > 2.0);
        assert_eq!(balancing(BalanceMethod::None, 1.0).weight(&examples[9]), 2.0);
    }

    #[test]
    fn the_sampler_draws_rare_classes_as_often_as_others() {
        let examples = examples();
        let sampler = balancing(BalanceMethod::Sampler, 1.0);
        let mut random = seeded(1, "draw");
        let rounds = 300;
        let angry = (0..rounds).flat_map(|_| sampler.drawn(&examples, &mut random)).filter(|e| e.row == 9).count();
        let share = angry as f64 / (rounds * examples.len()) as f64;
        // Within four standard deviations of a half.
        assert!((share - 0.5).abs() < 4.0 * 0.5 / (3000.0_f64).sqrt(), "{share}");
        let all = balancing(BalanceMethod::None, 1.0).drawn(&examples, &mut random);
        assert_eq!(all.iter().map(|e| e.row).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn logits_move_by_the_logarithm_of_the_shares() {
        let device = Device::Cpu;
        let logits = Tensor::zeros((1, Expression::COUNT), candle_core::DType::F32, &device).unwrap();
        let adjusted = balancing(BalanceMethod::LogitAdjustment, 0.5).adjusted(&logits, &device).unwrap();
        let adjusted = adjusted.to_vec2::<f32>().unwrap();
        let of = |class: Expression| adjusted[0][class.index()];
        assert!((of(Expression::Neutral) - 0.5 * 0.9_f32.ln()).abs() < 1e-6);
        assert!((of(Expression::Anger) - 0.5 * 0.1_f32.ln()).abs() < 1e-6);
        let plain = balancing(BalanceMethod::Weights, 1.0).adjusted(&logits, &device).unwrap();
        assert_eq!(plain.to_vec2::<f32>().unwrap(), logits.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn biases_move_the_other_way_once_training_is_over() {
        let biases = Tensor::zeros(Expression::COUNT, candle_core::DType::F32, &Device::Cpu).unwrap();
        let balance = Balance { afterwards: 0.25, ..Balance::default() };
        let settled = Balancing::new(balance, &examples()).settled(&biases).unwrap().to_vec1::<f32>().unwrap();
        let of = |class: Expression| settled[class.index()];
        assert!((of(Expression::Neutral) + 0.25 * 0.9_f32.ln()).abs() < 1e-6);
        assert!((of(Expression::Anger) + 0.25 * 0.1_f32.ln()).abs() < 1e-6);
        assert_eq!(balance.applied_strength(), 0.25);
        let untouched = balancing(BalanceMethod::LogitAdjustment, 0.5).settled(&biases).unwrap();
        assert_eq!(untouched.to_vec1::<f32>().unwrap(), [0.0; Expression::COUNT]);
    }
}

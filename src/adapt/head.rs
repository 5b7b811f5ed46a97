//! The last layer alone: what the network makes of each picture is computed once and kept, and the layer is fitted to that as a
//! multinomial logistic regression that is held to the start's own layer, so that a few pictures move it a little and many as far
//! as they say (a Gaussian prior about the start's weights, as Chelba & Acero 2006).
//! Calibration is the same with one temperature and an offset a class instead of the layer (Alexandari et al. 2020,
//! "Maximum likelihood with bias-corrected calibration").

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use candle_core::{Device, Result, Tensor};

use super::optimise::least;
use crate::files::{OutputOptions, WriteError};
use crate::model::{self, Input, ModelConfig};
use crate::nn::{Network, Parameters, Phase, Purpose};
use crate::timeline::{Expression, Probabilities};
use crate::train::dataset::{DatasetError, Example};
use crate::train::loader::plain_pictures;

const CLASSES: usize = Expression::COUNT;
/// Pictures that go through the network at once.
const BATCH: usize = 64;
/// Steps of a fit; it mostly ends before.
const STEPS: usize = 150;
/// How strongly offsets are held to 0 in calibration, so that a class of few pictures moves little.
const OFFSET_PENALTY: f64 = 0.01;

/// What a network makes of pictures, before its last layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Numbers a picture.
    pub width: usize,
    /// Of each picture.
    pub plain: Vec<f32>,
    /// Of each picture's mirror image.
    pub mirrored: Vec<f32>,
}

/// Why features cannot be computed or kept.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum FeatureError {
    #[error(transparent)]
    Image(#[from] DatasetError),
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("{0}")]
    Weights(String),
}

impl Features {
    /// Those of `examples`, computed once and kept at `path`; `tell` is called with each number of pictures done.
    ///
    /// # Errors
    /// If a picture cannot be decoded, the device fails or the file cannot be written.
    pub fn of(
        config: &ModelConfig,
        weights: &BTreeMap<String, Tensor>,
        examples: &[Example],
        path: &Path,
        tell: &mut dyn FnMut(usize),
    ) -> std::result::Result<Self, FeatureError> {
        if let Some(kept) = Self::kept(path, examples.len()) {
            tell(examples.len());
            return Ok(kept);
        }
        let device = &Device::Cpu;
        let parameters = Parameters::new(Purpose::Inference, device);
        let network = Network::new(&parameters, &config.architecture, config.input.colours)?;
        parameters.set(weights).map_err(|e| FeatureError::Weights(e.to_string()))?;
        let both = Input { symmetric: true, ..config.input.clone() };
        let mut features = Self { width: 0, plain: Vec::new(), mirrored: Vec::new() };
        for chunk in examples.chunks(BATCH) {
            let pictures: Vec<&Example> = chunk.iter().collect();
            let values = both.views(both.normalised(plain_pictures(&pictures, both.side, both.colours)?));
            let shape = (2 * chunk.len(), both.side, both.side, both.colours.count());
            let found = network.features(&Tensor::from_vec(values, shape, device)?, Phase::Inference)?.detach();
            features.width = found.dim(1)?;
            let values: Vec<f32> = found.flatten_all()?.to_vec1()?;
            let (plain, mirrored) = values.split_at(values.len() / 2);
            features.plain.extend(plain);
            features.mirrored.extend(mirrored);
            tell(chunk.len());
        }
        if config.input.symmetric {
            // Logits of both views are averaged, and they follow from features by sums.
            let mean = |(a, b): (&f32, &f32)| f32::midpoint(*a, *b);
            features.plain = features.plain.iter().zip(&features.mirrored).map(mean).collect();
            features.mirrored.clone_from(&features.plain);
        }
        features.keep(path)?;
        Ok(features)
    }

    fn kept(path: &Path, count: usize) -> Option<Self> {
        let tensors = model::read_tensors(&std::fs::read(path).ok()?).ok()?;
        let values = |name: &str| tensors.get(name)?.flatten_all().ok()?.to_vec1::<f32>().ok();
        let (plain, mirrored) = (values("plain")?, values("mirrored")?);
        let width = tensors.get("plain")?.dims().get(1).copied()?;
        (plain.len() == count * width && mirrored.len() == plain.len()).then_some(Self { width, plain, mirrored })
    }

    fn keep(&self, path: &Path) -> std::result::Result<(), FeatureError> {
        let shape = (self.plain.len() / self.width.max(1), self.width);
        let tensors: BTreeMap<String, Tensor> = [("plain", &self.plain), ("mirrored", &self.mirrored)]
            .into_iter()
            .map(|(name, values)| Ok((name.to_owned(), Tensor::from_slice(values, shape, &Device::Cpu)?)))
            .collect::<Result<_>>()?;
        let bytes = model::write_tensors(&tensors, false).map_err(|e| candle_core::Error::msg(e.to_string()))?;
        Ok(OutputOptions::state().put(path, |out| out.write_all(&bytes))?)
    }

    fn row(&self, picture: usize) -> &[f32] {
        &self.plain[picture * self.width..][..self.width]
    }
}

/// A last layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// `[features, classes]`, row by row.
    pub weights: Vec<f32>,
    /// One a class.
    pub bias: [f32; CLASSES],
}

/// The tensors of a last layer, in both families.
const NAMES: [&str; 2] = ["classifier.weight", "classifier.bias"];

impl Head {
    /// That of a network; none where it has no layer of these names.
    pub fn of(tensors: &BTreeMap<String, Tensor>) -> Option<Self> {
        let values = |name: &str| {
            tensors.get(name)?.to_dtype(candle_core::DType::F32).ok()?.flatten_all().ok()?.to_vec1::<f32>().ok()
        };
        let (weights, bias) = (values(NAMES[0])?, values(NAMES[1])?);
        Some(Self { weights, bias: bias.try_into().ok()? })
    }

    /// Replaces a network's own by it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn put(&self, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
        let shape = (self.weights.len() / CLASSES, CLASSES);
        tensors.insert(NAMES[0].into(), Tensor::from_slice(&self.weights, shape, &Device::Cpu)?);
        tensors.insert(NAMES[1].into(), Tensor::from_slice(&self.bias, CLASSES, &Device::Cpu)?);
        Ok(())
    }

    /// The same with logits divided by `temperature`.
    pub fn cooled(&self, temperature: f32) -> Self {
        let weights = self.weights.iter().map(|w| w / temperature).collect();
        Self { weights, bias: self.bias.map(|b| b / temperature) }
    }

    /// What it makes of a picture.
    pub fn logits(&self, features: &Features, picture: usize) -> Probabilities {
        let mut logits = self.bias;
        for (value, weights) in features.row(picture).iter().zip(self.weights.as_chunks::<CLASSES>().0) {
            logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += value * weight);
        }
        logits
    }
}

/// A picture to be learnt from: its index among the features, what it shows, and its weight.
pub type Lesson = (usize, Probabilities, f64);

/// The layer that fits `lessons` best while it stays near `start`: the mean loss plus `hold` times half the squared distance,
/// where features have a mean squared length of 1.
///
/// # Errors
/// If the device fails.
pub fn fit(features: &Features, lessons: &[Lesson], start: &Head, hold: f64, flip: bool) -> Result<Head> {
    let width = features.width;
    let views: &[&[f32]] = if flip { &[&features.plain, &features.mirrored] } else { &[&features.plain] };
    let mut rows = Vec::with_capacity(views.len() * lessons.len() * width);
    for view in views {
        lessons.iter().for_each(|(picture, ..)| rows.extend_from_slice(&view[picture * width..][..width]));
    }
    let count = views.len() * lessons.len();
    let squares: f64 = rows.iter().map(|v| f64::from(*v).powi(2)).sum();
    let scale = (squares / count.max(1) as f64).sqrt().max(1e-12);
    rows.iter_mut().for_each(|value| *value = (f64::from(*value) / scale) as f32);
    let x = Tensor::from_vec(rows, (count, width), &Device::Cpu)?;
    let transposed = x.t()?.contiguous()?;
    let total: f64 = lessons.iter().map(|(.., weight)| weight).sum::<f64>() * views.len() as f64;
    let origin: Vec<f64> =
        start.weights.iter().map(|w| f64::from(*w) * scale).chain(start.bias.map(f64::from)).collect();
    let weights = width * CLASSES;
    let found = least(origin.clone(), STEPS, |position| -> Result<(f64, Vec<f64>)> {
        let layer: Vec<f32> = position[..weights].iter().map(|v| *v as f32).collect();
        let logits: Vec<f32> =
            x.matmul(&Tensor::from_vec(layer, (width, CLASSES), &Device::Cpu)?)?.flatten_all()?.to_vec1()?;
        let (mut loss, mut bias_slope) = (0.0, [0.0; CLASSES]);
        let mut residuals = Vec::with_capacity(count * CLASSES);
        for (logits, (_, target, weight)) in logits.as_chunks::<CLASSES>().0.iter().zip(lessons.iter().cycle()) {
            let logits: [f64; CLASSES] = std::array::from_fn(|c| f64::from(logits[c]) + position[weights + c]);
            let (log_sum, shares) = softmax(&logits);
            for class in 0..CLASSES {
                let wanted = f64::from(target[class]);
                loss += weight / total * wanted * (log_sum - logits[class]);
                let residual = weight / total * (shares[class] - wanted);
                bias_slope[class] += residual;
                residuals.push(residual as f32);
            }
        }
        let residuals = Tensor::from_vec(residuals, (count, CLASSES), &Device::Cpu)?;
        let slope: Vec<f32> = transposed.matmul(&residuals)?.flatten_all()?.to_vec1()?;
        let mut gradient: Vec<f64> = slope.into_iter().map(f64::from).chain(bias_slope).collect();
        for ((slope, now), origin) in gradient.iter_mut().zip(position).zip(&origin).take(weights) {
            *slope += hold * (now - origin);
            loss += hold / 2.0 * (now - origin).powi(2);
        }
        Ok((loss, gradient))
    })?;
    Ok(Head {
        weights: found[..weights].iter().map(|w| (w / scale) as f32).collect(),
        bias: std::array::from_fn(|class| found[weights + class] as f32),
    })
}

/// The layer that says what `start` says after the temperature and the offsets that fit `lessons` best.
pub fn calibrated(features: &Features, lessons: &[Lesson], start: &Head) -> Head {
    let logits: Vec<Probabilities> = lessons.iter().map(|(picture, ..)| start.logits(features, *picture)).collect();
    let total: f64 = lessons.iter().map(|(.., weight)| weight).sum();
    let mut origin = vec![0.0; CLASSES + 1];
    origin[0] = 1.0;
    let found = least(origin, STEPS, |position| {
        let offsets = &position[1..];
        let (mut loss, mut gradient) = (0.0, vec![0.0; CLASSES + 1]);
        for (logits, (_, target, weight)) in logits.iter().zip(lessons) {
            let scaled: [f64; CLASSES] = std::array::from_fn(|c| position[0] * f64::from(logits[c]) + offsets[c]);
            let (log_sum, shares) = softmax(&scaled);
            for class in 0..CLASSES {
                let wanted = f64::from(target[class]);
                loss += weight / total * wanted * (log_sum - scaled[class]);
                let residual = weight / total * (shares[class] - wanted);
                gradient[0] += residual * f64::from(logits[class]);
                gradient[class + 1] += residual;
            }
        }
        for (slope, offset) in gradient[1..].iter_mut().zip(offsets) {
            *slope += OFFSET_PENALTY * offset;
            loss += OFFSET_PENALTY / 2.0 * offset * offset;
        }
        Ok::<_, Infallible>((loss, gradient))
    });
    let Ok(found) = found;
    // A temperature below 0 would turn every answer round.
    let factor = found[0].max(0.05) as f32;
    Head {
        weights: start.weights.iter().map(|w| w * factor).collect(),
        bias: std::array::from_fn(|class| start.bias[class] * factor + found[class + 1] as f32),
    }
}

/// The logarithm of the sum of the exponentials, and each class's share of it.
fn softmax(logits: &[f64; CLASSES]) -> (f64, [f64; CLASSES]) {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts = logits.map(|logit| (logit - highest).exp());
    let sum: f64 = parts.iter().sum();
    (highest + sum.ln(), parts.map(|part| part / sum))
}

/// Probabilities of `logits` divided by `temperature`.
pub fn probabilities(logits: &Probabilities, temperature: f32) -> Probabilities {
    let (_, shares) = softmax(&logits.map(|logit| f64::from(logit / temperature)));
    shares.map(|share| share as f32)
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::random::seeded;
    use crate::timeline::most_probable;

    /// Pictures whose class is the greatest of their first seven features, which the start reads with two classes mixed up.
    fn material(count: usize) -> (Features, Vec<Lesson>, Head) {
        let width = 9;
        let mut random = seeded(1, "features");
        let plain: Vec<f32> = (0..count * width).map(|_| random.random_range(0.0..1.0)).collect();
        let target = |picture: usize| {
            let mut target = [0.0; CLASSES];
            let row: Probabilities = std::array::from_fn(|class| plain[picture * width + class]);
            target[most_probable(&row).index()] = 1.0;
            target
        };
        let lessons = (0..count).map(|picture| (picture, target(picture), 1.0)).collect();
        let weight = |index: usize| {
            let (feature, class) = (index / CLASSES, index % CLASSES);
            let read = match feature {
                1 => 2,
                2 => 1,
                feature => feature,
            };
            if read == class { 4.0 } else { 0.0 }
        };
        let start = Head { weights: (0..width * CLASSES).map(weight).collect(), bias: [0.0; CLASSES] };
        (Features { width, mirrored: plain.clone(), plain }, lessons, start)
    }

    fn right(features: &Features, lessons: &[Lesson], head: &Head) -> f64 {
        let is_right =
            |(picture, target, _): &&Lesson| most_probable(&head.logits(features, *picture)) == most_probable(target);
        lessons.iter().filter(is_right).count() as f64 / lessons.len() as f64
    }

    #[test]
    fn a_layer_that_mixes_two_classes_up_is_put_right_as_far_as_it_is_let() {
        let (features, lessons, start) = material(600);
        let (learnt, judged) = lessons.split_at(400);
        let before = right(&features, judged, &start);
        let free = fit(&features, learnt, &start, 1e-4, true).unwrap();
        let held = fit(&features, learnt, &start, 1e4, true).unwrap();
        let after = right(&features, judged, &free);
        // SciPy's L-BFGS-B ends at 0.87 to 0.90 from 0.71 to 0.74, on six draws of the same problem.
        assert!(before < 0.75 && after > 0.85, "{before} {after}");
        let distance = |head: &Head| head.weights.iter().zip(&start.weights).map(|(a, b)| (a - b).abs()).sum::<f32>();
        assert!(distance(&held) < 0.05 * distance(&free), "{} {}", distance(&held), distance(&free));
    }

    #[test]
    fn calibration_finds_the_temperature_and_the_offsets_that_were_put_in() {
        let (features, lessons, start) = material(800);
        // What `told` says is drawn as labels, so that it is the truth.
        let told = Head {
            weights: start.weights.iter().map(|w| w * 0.5).collect(),
            bias: [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        };
        let lessons: Vec<Lesson> = lessons
            .into_iter()
            .map(|(picture, ..)| (picture, probabilities(&told.logits(&features, picture), 1.0), 1.0))
            .collect();
        let found = calibrated(&features, &lessons, &start);
        let ratio = found.weights[0] / start.weights[0];
        assert!((ratio - 0.5).abs() < 0.05, "{ratio}");
        let others = (found.bias.iter().sum::<f32>() - found.bias[3]) / 6.0;
        assert!((found.bias[3] - others - 1.0).abs() < 0.15, "{:?}", found.bias);
    }

    #[test]
    fn features_are_kept_and_give_the_models_own_logits() {
        use crate::model::registry;
        use crate::picture::Colours;
        use crate::train::dataset::{ImageSource, Picture};
        let (config, weights) = registry::weights(Path::new(registry::DEFAULT)).unwrap();
        let model = registry::open(Path::new(registry::DEFAULT), &Device::Cpu).unwrap();
        let samples: Vec<u8> = (0..48 * 48).map(|index| (index * 7919 % 251) as u8).collect();
        let example = Example {
            row: 0,
            source: ImageSource::Kept(Picture::new(samples.clone(), Colours::Luma, 48, 48)),
            target: [0.0; CLASSES],
            label: None,
            weight: 1.0,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.safetensors");
        let examples = [example.clone(), example];
        let features = Features::of(&config, &weights, &examples, &path, &mut |_| {}).unwrap();
        let head = Head::of(&weights).unwrap();
        let expected = model.logits(samples.iter().map(|v| f32::from(*v)).collect()).unwrap().to_vec2::<f32>().unwrap();
        for (found, expected) in head.logits(&features, 1).iter().zip(&expected[0]) {
            assert!((found - expected).abs() < 1e-2, "{found} is not {expected}");
        }
        assert_eq!(Features::kept(&path, 2), Some(features));
        assert_eq!(Features::kept(&path, 3), None);
    }
}

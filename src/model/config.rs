//! `config.json`: everything about a model that is not a weight.

use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::nn::Architecture;
use crate::picture::ColourNormalisation;
use crate::picture::Colours;
use crate::picture::CropRule;
use crate::timeline::Expression;

/// The contents of a model directory's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The model's name, as it stands in outputs.
    pub name: String,
    /// The network.
    pub architecture: Architecture,
    /// What the network looks at.
    pub input: Input,
    /// How the picture is cut out about a detected face.
    pub crop: CropRule,
    /// The classes in the order of the network's outputs; always the canonical order.
    pub classes: Vec<Expression>,
    /// Logits are divided by this before the softmax (Guo et al. 2017); 1 where not calibrated.
    pub temperature: f32,
    /// Where the weights come from: data, recipe, licence.
    #[serde(default)]
    pub training: serde_json::Value,
    /// Figures of the model card.
    #[serde(default)]
    pub metrics: serde_json::Value,
    /// SHA-256 of `model.safetensors`, lower-case hexadecimal.
    pub sha256: String,
}

/// The picture a network takes: `[side, side, colours]`, `(value / 255 - mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Side of the square picture, pixels.
    pub side: usize,
    /// Luma or colour.
    pub colours: Colours,
    /// Mean of each channel, in 0..=1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in 0..=1.
    pub deviation: Vec<f32>,
    /// What is done to the colours of each picture before.
    #[serde(default, skip_serializing_if = "ColourNormalisation::is_none")]
    pub colour_normalisation: ColourNormalisation,
    /// Which part of the face it is shown; the other is blanked out.
    #[serde(default, skip_serializing_if = "InputPart::is_full")]
    pub region: InputPart,
    /// Whether it is shown each picture and its mirror image, and its two answers are averaged: a face and its mirror
    /// image then get the same probabilities to the last bit, for twice the work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub symmetric: bool,
}

/// A part of the square about a face.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputPart {
    /// All of it.
    #[default]
    Full,
    /// The upper half: forehead, brows, eyes.
    Upper,
    /// The lower half: nose, mouth, chin.
    Lower,
}

impl Choice for InputPart {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Full, "full", "All of it"),
        (Self::Upper, "upper", "The upper half: forehead, brows, eyes"),
        (Self::Lower, "lower", "The lower half: nose, mouth, chin"),
    ];
}

impl InputPart {
    /// Whether it is all of the face.
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }

    /// The rows of a picture of `side` rows that are looked at.
    pub fn rows(self, side: usize) -> std::ops::Range<usize> {
        match self {
            Self::Full => 0..side,
            Self::Upper => 0..side / 2,
            Self::Lower => side / 2..side,
        }
    }
}

impl ModelConfig {
    /// SHA-256 of everything that answers depend on, hexadecimal: the weights, and what is done to pictures and logits.
    pub fn effective_sha256(&self) -> String {
        let Self { architecture, input, crop, classes, temperature, sha256, .. } = self;
        let effective = serde_json::json!([architecture, input, crop, classes, temperature, sha256]);
        crate::files::sha256(effective.to_string().as_bytes())
    }

    /// What is wrong with the values, as a sentence; `None` where nothing is.
    pub fn fault(&self) -> Option<String> {
        if self.classes != Expression::ALL {
            return Some("classes are not the seven canonical ones in canonical order".into());
        }
        if let Some(fault) = self.input.fault() {
            return Some(fault);
        }
        if !((0.2..=5.0).contains(&self.crop.scale) && (-1.0..=1.0).contains(&self.crop.shift_y)) {
            return Some("the crop rule's scale is not between 0.2 and 5 or its shift not between -1 and 1".into());
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Some(format!("temperature {} is not positive", self.temperature));
        }
        self.architecture.fault()
    }
}

/// Means and deviations are shares of white; a published network's are within these by far. Beyond them a picture's values
/// would leave the numbers.
const LARGEST_MEAN: f32 = 1000.0;
const DEVIATIONS: std::ops::RangeInclusive<f32> = 1e-6..=1e6;

impl Input {
    /// Colour pictures of `side` pixels, whose values the network takes from -2 to 2: what published networks are timed with.
    pub fn rgb(side: usize) -> Self {
        Self {
            side,
            colours: Colours::Rgb,
            mean: vec![0.5; 3],
            deviation: vec![0.25; 3],
            colour_normalisation: Default::default(),
            region: Default::default(),
            symmetric: false,
        }
    }

    /// What is wrong with the values, as a sentence; `None` where nothing is.
    pub(crate) fn fault(&self) -> Option<String> {
        let channels = self.colours.count();
        if !(8..=1024).contains(&self.side) {
            return Some(format!("input side {} is not between 8 and 1024", self.side));
        }
        if self.mean.len() != channels || self.deviation.len() != channels {
            return Some(format!("mean and deviation need {channels} value(s) each"));
        }
        if !self.mean.iter().all(|mean| mean.is_finite() && mean.abs() <= LARGEST_MEAN) {
            return Some(format!("means are not all between -{LARGEST_MEAN} and {LARGEST_MEAN}"));
        }
        if !self.deviation.iter().all(|deviation| DEVIATIONS.contains(deviation)) {
            return Some(format!("deviations are not all between {} and {}", DEVIATIONS.start(), DEVIATIONS.end()));
        }
        None
    }
}

/// Widths and depths beyond these belong to no network of the two families; they bound the memory a config can ask for.
const LARGEST_CHANNELS: usize = 8192;
const LARGEST_DEPTH: usize = 256;

impl Architecture {
    /// What is wrong with the values, as a sentence; `None` where nothing is.
    pub(crate) fn fault(&self) -> Option<String> {
        let (channels, strides, depth): (Vec<usize>, Vec<usize>, usize) = match self {
            Self::MobilenetV1(c) => (
                c.blocks.iter().map(|b| b.channels).chain([c.stem_channels, c.feature_units.max(1)]).collect(),
                c.blocks.iter().map(|b| b.stride).chain([c.stem_stride]).collect(),
                c.blocks.len(),
            ),
            Self::Efficientnet(c) => (
                c.stages
                    .iter()
                    .flat_map(|s| [s.channels, s.channels.saturating_mul(s.expand)])
                    .chain([c.stem_channels, c.head_channels])
                    .collect(),
                c.stages.iter().map(|s| s.stride).chain([c.stem_stride]).collect(),
                c.stages.iter().fold(0, |sum, s| sum.saturating_add(s.repeats)),
            ),
        };
        if let Some(wrong) = channels.iter().find(|c| !(1..=LARGEST_CHANNELS).contains(*c)) {
            return Some(format!("a layer of {wrong} channels is outside 1 to {LARGEST_CHANNELS}"));
        }
        if let Some(wrong) = strides.iter().find(|s| !(1..=4).contains(*s)) {
            return Some(format!("stride {wrong} is outside 1 to 4"));
        }
        if let Self::Efficientnet(c) = self
            && let Some(stage) = c.stages.iter().find(|s| ![1, 3, 5, 7].contains(&s.kernel))
        {
            return Some(format!("kernel {} is not 1, 3, 5 or 7", stage.kernel));
        }
        (depth > LARGEST_DEPTH).then(|| format!("{depth} blocks are more than {LARGEST_DEPTH}"))
    }
}

//! `recipe.toml`: everything that decides what a training run does.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::balance::Balance;
use crate::annotate::crop::CropRule;
use crate::files;
use crate::model::{Architecture, Input};

/// A training recipe. Unknown keys are refused, so that a misspelt setting is not silently left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the model that comes out.
    pub name: String,
    /// Seed of weights, order and augmentation: same seed, same result on one device.
    pub seed: u64,
    /// Passes over the training split.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// The network.
    pub architecture: Architecture,
    /// What it looks at.
    pub input: Input,
    /// How a detected face's box becomes a picture like those trained on.
    #[serde(default)]
    pub crop: CropRule,
    /// How weights move.
    pub optimiser: Optimiser,
    /// How pictures vary.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// What is minimised.
    #[serde(default)]
    pub loss: Loss,
    /// How rare classes are made up for.
    #[serde(default)]
    pub balance: Balance,
    /// Decay of the exponential moving average of the weights, which is what is evaluated and kept; 0 for none.
    #[serde(default)]
    pub average_decay: f64,
}

/// AdamW (Loshchilov & Hutter 2019) with a linear warm-up, then a cosine to zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimiser {
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Decoupled decay of weights (not of biases and normalisation).
    pub weight_decay: f64,
    /// Steps over which the rate rises from 0, in epochs.
    #[serde(default)]
    pub warm_up_epochs: f64,
}

/// Random changes to training pictures; everything 0 or false leaves them as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Mirror half of the pictures.
    pub flip: bool,
    /// Largest shift in either direction, share of the side.
    pub shift: f32,
    /// Largest change of size, as a factor's distance from 1.
    pub scale: f32,
    /// Largest turn in either direction, degrees.
    pub rotation_degrees: f32,
    /// Largest change of contrast, as a factor's distance from 1.
    pub contrast: f32,
    /// Largest change of brightness, share of the full range.
    pub brightness: f32,
    /// Largest change of gamma, as the exponent's distance from 1.
    pub gamma: f32,
    /// Share of pictures seen as if smaller by up to `blur_factor` and enlarged again.
    pub blur_share: f32,
    /// Strongest shrinking for the blur, at least 1.
    pub blur_factor: f32,
    /// Share of pictures partly covered by a rectangle of one grey.
    pub occlusion_share: f32,
    /// Largest side of the rectangle, share of the side.
    pub occlusion_size: f32,
}

/// Cross-entropy with the targets' distribution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f32,
}

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RecipeError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// If the file is missing, is not TOML of this shape, or a value is out of range.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let text = files::read_text(path, files::HANDWRITTEN)
            .map_err(|source| RecipeError::Unreadable { path: path.into(), source })?;
        let invalid = |reason: String| RecipeError::Invalid { path: path.into(), reason };
        let recipe: Self = toml::from_str(&text).map_err(|e| invalid(e.to_string().trim_end().replace('\n', " ")))?;
        match recipe.fault() {
            Some(reason) => Err(invalid(reason)),
            None => Ok(recipe),
        }
    }

    fn fault(&self) -> Option<String> {
        let o = &self.optimiser;
        let a = &self.augmentation;
        let checks = [
            (self.epochs >= 1, "epochs must be at least 1"),
            ((2..=4096).contains(&self.batch), "batch must be 2 to 4096 (normalisation needs two images)"),
            (o.learning_rate > 0.0 && o.learning_rate.is_finite(), "learning_rate must be positive"),
            (o.weight_decay >= 0.0 && o.weight_decay < 1.0, "weight_decay must be from 0 to below 1"),
            (o.warm_up_epochs >= 0.0, "warm_up_epochs must not be negative"),
            ((0.0..1.0).contains(&self.average_decay), "average_decay must be from 0 to below 1"),
            ((0.0..1.0).contains(&self.loss.label_smoothing), "label_smoothing must be from 0 to below 1"),
            ((0.0..=2.0).contains(&self.balance.strength), "balance.strength must be from 0 to 2"),
            ((0.0..0.5).contains(&a.shift), "shift must be from 0 to below 0.5"),
            ((0.0..1.0).contains(&a.scale), "scale must be from 0 to below 1"),
            ((0.0..1.0).contains(&a.contrast), "contrast must be from 0 to below 1"),
            ((0.0..1.0).contains(&a.gamma), "gamma must be from 0 to below 1"),
            ((0.0..=1.0).contains(&a.brightness), "brightness must be from 0 to 1"),
            ((0.0..=1.0).contains(&a.blur_share), "blur_share must be from 0 to 1"),
            (a.blur_share == 0.0 || (1.0..=16.0).contains(&a.blur_factor), "blur_factor must be from 1 to 16"),
            ((0.0..=1.0).contains(&a.occlusion_share), "occlusion_share must be from 0 to 1"),
            ((0.0..=1.0).contains(&a.occlusion_size), "occlusion_size must be from 0 to 1"),
            (self.input.colours.count() == 1, "training pictures are luma: input.colours must be 'luma'"),
        ];
        checks.iter().find(|(holds, _)| !holds).map(|(_, message)| (*message).to_owned())
    }
}

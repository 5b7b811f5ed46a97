//! `recipe.toml`: everything that decides what a training run does.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::balance::Balance;
use super::metrics::Metrics;
use crate::files;
use crate::model::InputPart;
use crate::nn::Architecture;
use crate::picture::CropRule;
use crate::picture::{ColourNormalisation, Colours};

/// A training recipe. Unknown keys are refused, so that a misspelt setting is not silently left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the model that comes out.
    pub name: String,
    /// Seed of weights, order and augmentation: same seed, same result on one device.
    pub seed: u64,
    /// Images that go through the network together.
    pub batch: usize,
    /// Batches whose gradients are averaged for one step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Largest length of the gradient over all weights; longer ones are shortened to it. None for no limit.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Decay of the exponential moving average of the weights, which is what is evaluated and kept; 0 for none.
    #[serde(default)]
    pub average_decay: f64,
    /// By what the best epoch is chosen, on the validation images.
    #[serde(default)]
    pub select: Selection,
    /// Where the weights come from.
    #[serde(default)]
    pub start: Start,
    /// The network; that of the start where none is given. Beside a start, what the start has of it, by name and size, is
    /// taken from there, and the rest is drawn.
    #[serde(default)]
    pub architecture: Option<Architecture>,
    /// What the network looks at; what is not said is as in the start.
    #[serde(default)]
    pub input: InputChoice,
    /// How a detected face's box becomes a picture like those trained on; that of the start, else FER2013's.
    #[serde(default)]
    pub crop: Option<CropRule>,
    /// One after the other; each begins with the best weights so far. None: the start is measured as it is.
    #[serde(default)]
    pub stages: Vec<TrainingStage>,
    /// How pictures vary.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// What is minimised.
    #[serde(default)]
    pub loss: Loss,
    /// Other models to learn from.
    #[serde(default)]
    pub distillation: Option<Distillation>,
    /// How rare classes are made up for.
    #[serde(default)]
    pub balance: Balance,
}

fn one() -> usize {
    1
}

/// Where a run's weights come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    /// A built-in model's name or a model directory; none to draw all weights from the seed.
    pub model: Option<PathBuf>,
    /// What becomes of its last layer.
    pub head: HeadStart,
}

/// What becomes of the last layer of the model that training starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadStart {
    /// It is drawn anew.
    #[default]
    Replace,
    /// Training goes on from its weights.
    WarmStart,
    /// It stays exactly as it is; only the layers below learn.
    Keep,
}

/// The network's input as far as a recipe decides it. See [`crate::model::Input`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputChoice {
    /// Side of the square picture, pixels.
    pub side: Option<usize>,
    /// Luma or colour.
    pub colours: Option<Colours>,
    /// Mean of each channel, in shares of the full range.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, likewise.
    pub deviation: Option<Vec<f32>>,
    /// What is done to the colours of each picture before.
    pub colour_normalisation: Option<ColourNormalisation>,
    /// Which part of the face is looked at.
    pub region: Option<InputPart>,
    /// Whether validation, evaluation and annotation average over a picture and its mirror image. Training does not: its
    /// augmentation mirrors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symmetric: Option<bool>,
}

/// Some epochs in which the same layers learn in the same way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingStage {
    /// Which layers learn.
    #[serde(default)]
    pub train: Layers,
    /// Passes over the training images.
    pub epochs: usize,
    /// Epochs without a better one after which the stage ends early; none to do all of them.
    #[serde(default)]
    pub patience: Option<usize>,
    /// Normalise by the running statistics of the start and leave them as they are, as layers that do not learn always
    /// do; for batches too small to have statistics of their own.
    #[serde(default)]
    pub freeze_statistics: bool,
    /// How weights move.
    pub optimiser: OptimiserSettings,
    /// How the learning rate changes.
    #[serde(default)]
    pub schedule: Schedule,
    /// How pictures vary in this stage, in place of what the recipe says for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augmentation: Option<Augmentation>,
}

/// Which layers learn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layers {
    /// All.
    #[default]
    All,
    /// The last one; the others stay as they are, the statistics of their batch normalisation included.
    Head,
}

/// How weights move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserSettings {
    /// The rule.
    #[serde(default)]
    pub kind: Rule,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Decay of weights (not of biases and normalisation): decoupled with `adamw`, part of the gradient otherwise.
    #[serde(default)]
    pub weight_decay: f64,
    /// Share of the last step in the next one (`sgd`).
    #[serde(default)]
    pub momentum: f64,
    /// Take the gradient where the momentum leads (`sgd`; Sutskever et al. 2013).
    #[serde(default)]
    pub nesterov: bool,
    /// Take the gradient at the worst point this far away: sharpness-aware minimisation (Foret et al. 2021) over the
    /// rule. Each step costs two. 0.05 in SLTAT 2022; 0 for none.
    #[serde(default)]
    pub sam_rho: f64,
}

/// A rule by which gradients move weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd,
    /// Kingma & Ba 2015.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    #[default]
    Adamw,
}

/// How the learning rate changes over a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The curve.
    pub kind: LearningRateCurve,
    /// Epochs over which the rate rises from 0 first.
    pub warm_up_epochs: f64,
    /// `step`: epochs of the stage after which the rate is multiplied by `factor`.
    pub milestones: Vec<usize>,
    /// `step` and `plateau`: the factor; 0.1 where not said.
    pub factor: Option<f64>,
    /// `plateau`: epochs without a better one after which the rate is multiplied; 3 where not said.
    pub patience: Option<usize>,
}

/// The curve of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearningRateCurve {
    /// Flat.
    #[default]
    Constant,
    /// Half a cosine down to 0 at the end of the stage.
    Cosine,
    /// Down at given epochs.
    Step,
    /// Down whenever the validation images have not got better for a while.
    Plateau,
}

/// By what epochs are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Mean negative log-probability of the truth; less is better.
    #[default]
    Loss,
    /// Share of right predictions.
    Accuracy,
    /// Mean recall.
    BalancedAccuracy,
    /// Mean F1.
    MacroF1,
    /// Not at all: the last epoch is taken.
    Last,
}

impl Selection {
    /// A number that is greater for better measures.
    pub fn score(self, measured: &Metrics, epoch: usize) -> f64 {
        match self {
            Self::Loss => -measured.negative_log_likelihood,
            Self::Accuracy => measured.accuracy,
            Self::BalancedAccuracy => measured.balanced_accuracy,
            Self::MacroF1 => measured.macro_f1,
            Self::Last => epoch as f64,
        }
    }

    /// The name as it reads in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "validation loss",
            Self::Accuracy => "validation accuracy",
            Self::BalancedAccuracy => "balanced validation accuracy",
            Self::MacroF1 => "macro-F1 on the validation images",
            Self::Last => "being the last",
        }
    }
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
    /// Largest change of saturation, as a factor's distance from 1; colour pictures only.
    pub saturation: f32,
    /// Share of pictures seen as if smaller by up to `blur_factor` and enlarged again.
    pub blur_share: f32,
    /// Strongest shrinking for the blur, at least 1.
    pub blur_factor: f32,
    /// Weakest shrinking for the blur; 1 where it is 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub blur_least: f32,
    /// Share of pictures truly made as small as distant faces are and enlarged again, as annotation does with them.
    #[serde(skip_serializing_if = "is_zero")]
    pub small_share: f32,
    /// Smallest side of those, pixels; the largest is that of the network's input.
    #[serde(skip_serializing_if = "is_zero")]
    pub small_side: f32,
    /// Share of pictures encoded as JPEG and decoded again, after their tones are changed.
    #[serde(skip_serializing_if = "is_zero")]
    pub compression_share: f32,
    /// Lowest JPEG quality of those, from 1; the highest is 95.
    #[serde(skip_serializing_if = "is_zero")]
    pub compression_quality: f32,
    /// Share of pictures partly covered by a rectangle of one grey.
    pub occlusion_share: f32,
    /// Largest side of the rectangle, share of the side.
    pub occlusion_size: f32,
    /// Share of pictures covered by one grey over their whole width from the upper or the lower edge, as by a mask, a
    /// hand or hair.
    pub band_share: f32,
    /// Largest height of that band, share of the side.
    pub band_size: f32,
    /// Parameter of the Beta distribution from which the share of another picture blended in is drawn (Zhang et al.
    /// 2018, mixup); 0 for none. With `cutmix` as well, each batch does one or the other.
    pub mixup: f32,
    /// The same for a rectangle of another picture pasted in (Yun et al. 2019, CutMix).
    pub cutmix: f32,
}

/// Settings that are newer than checkpoints stay out of the fingerprint of runs that do not use them.
pub(super) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Cross-entropy with the targets' distribution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f32,
}

/// Learning from what other models say (Hinton et al. 2015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Built-in names or model directories. With several, the mean of their probabilities is learnt.
    pub models: Vec<PathBuf>,
    /// By what teachers' and student's logits are divided.
    #[serde(default = "two")]
    pub temperature: f64,
    /// Share of the teachers' part in the loss; the labels have the rest.
    pub weight: f64,
}

fn two() -> f64 {
    2.0
}

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum RecipeError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
}

impl Recipe {
    /// Reads and checks a recipe, with `changes` of the form `key=value` made first, such as `input.side=64` or
    /// `stages.0.epochs=1`; a value that is no TOML is taken as text.
    ///
    /// # Errors
    /// If the file is missing, is not TOML of this shape, a change names no setting, or a value is out of range.
    pub fn read(path: &Path, changes: &[String]) -> Result<Self, RecipeError> {
        let text = files::read_text(path, files::HANDWRITTEN)
            .map_err(|source| RecipeError::Unreadable { path: path.into(), source })?;
        Self::changed(&text, path, changes)
    }

    /// Checks the text of a recipe; `path` is where it is said to be.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(text: &str, path: &Path) -> Result<Self, RecipeError> {
        Self::changed(text, path, &[])
    }

    fn changed(text: &str, path: &Path, changes: &[String]) -> Result<Self, RecipeError> {
        let invalid = |reason: String| RecipeError::Invalid { path: path.into(), reason };
        let one_line = |e: toml::de::Error| invalid(e.to_string().trim_end().replace('\n', " "));
        let recipe: Self = if changes.is_empty() {
            toml::from_str(text).map_err(one_line)?
        } else {
            let mut table: toml::Value = toml::from_str(text).map_err(one_line)?;
            for change in changes {
                set(&mut table, change).map_err(|reason| invalid(format!("the change {change}: {reason}")))?;
            }
            table.try_into().map_err(one_line)?
        };
        match recipe.fault() {
            Some(reason) => Err(invalid(reason)),
            None => Ok(recipe),
        }
    }

    /// Epochs of all stages.
    pub fn epochs(&self) -> usize {
        self.stages.iter().map(|stage| stage.epochs).sum()
    }

    fn fault(&self) -> Option<String> {
        let has_start = self.start.model.is_some();
        let checks = [
            ((1..=4096).contains(&self.batch), "batch must be 1 to 4096"),
            ((1..=4096).contains(&self.accumulate), "accumulate must be 1 to 4096"),
            (self.clip_norm.is_none_or(|norm| norm > 0.0 && norm.is_finite()), "clip_norm must be positive"),
            ((0.0..1.0).contains(&self.average_decay), "average_decay must be from 0 to below 1"),
            ((0.0..1.0).contains(&self.loss.label_smoothing), "label_smoothing must be from 0 to below 1"),
            ((0.0..=2.0).contains(&self.balance.strength), "balance.strength must be from 0 to 2"),
            ((0.0..=2.0).contains(&self.balance.afterwards), "balance.afterwards must be from 0 to 2"),
            (has_start || self.architecture.is_some(), "neither start.model nor architecture says which network"),
            (
                !(has_start && self.architecture.is_some() && self.stages.is_empty()),
                "a start that is only a part of the architecture must be trained: give stages",
            ),
            (has_start || !self.stages.is_empty(), "without stages there must be a start.model to measure"),
            (
                !self.stages.is_empty() || self.start.head != HeadStart::Replace,
                "a head that is drawn anew must be trained: give stages, or start.head = 'warm_start'",
            ),
        ];
        let broken = checks.iter().find(|(holds, _)| !holds).map(|(_, message)| (*message).to_owned());
        broken
            .or_else(|| self.augmentation.fault())
            .or_else(|| self.distillation.as_ref().and_then(Distillation::fault))
            .or_else(|| self.stages.iter().enumerate().find_map(|(index, stage)| self.stage_fault(index, stage)))
    }

    fn stage_fault(&self, index: usize, stage: &TrainingStage) -> Option<String> {
        let (o, s) = (&stage.optimiser, &stage.schedule);
        let learns = !(stage.train == Layers::Head && self.start.head == HeadStart::Keep);
        let is_by_batch = stage.train == Layers::All && !stage.freeze_statistics;
        let turns = matches!(s.kind, LearningRateCurve::Step | LearningRateCurve::Plateau);
        let checks = [
            (learns, "trains the head alone, but start.head keeps it as it is"),
            (stage.epochs >= 1, "epochs must be at least 1"),
            (stage.patience != Some(0), "patience must be at least 1"),
            (!is_by_batch || self.batch >= 2, "normalisation by the batch needs a batch of 2 or freeze_statistics"),
            (o.learning_rate > 0.0 && o.learning_rate.is_finite(), "learning_rate must be positive"),
            ((0.0..1.0).contains(&o.weight_decay), "weight_decay must be from 0 to below 1"),
            ((0.0..1.0).contains(&o.momentum), "momentum must be from 0 to below 1"),
            ((0.0..=10.0).contains(&o.sam_rho), "sam_rho must be from 0 to 10"),
            (o.kind == Rule::Sgd || (o.momentum == 0.0 && !o.nesterov), "momentum and nesterov belong to 'sgd'"),
            (!o.nesterov || o.momentum > 0.0, "nesterov needs a momentum"),
            (s.warm_up_epochs >= 0.0 && s.warm_up_epochs.is_finite(), "warm_up_epochs must not be negative"),
            (turns || s.factor.is_none(), "factor belongs to the schedules 'step' and 'plateau'"),
            (s.factor.is_none_or(|factor| factor > 0.0 && factor < 1.0), "factor must be between 0 and 1"),
            (
                s.milestones.is_empty() != (s.kind == LearningRateCurve::Step),
                "milestones belong to the schedule 'step', which needs them",
            ),
            (
                s.kind == LearningRateCurve::Plateau || s.patience.is_none(),
                "schedule.patience belongs to the schedule 'plateau'",
            ),
            (s.patience != Some(0), "schedule.patience must be at least 1"),
        ];
        let broken = checks.iter().find(|(holds, _)| !holds).map(|(_, message)| (*message).to_owned());
        let broken = broken.or_else(|| stage.augmentation.as_ref().and_then(Augmentation::fault))?;
        Some(format!("stage {}: {broken}", index + 1))
    }
}

impl Augmentation {
    fn fault(&self) -> Option<String> {
        let checks = [
            ((0.0..0.5).contains(&self.shift), "shift must be from 0 to below 0.5"),
            ((0.0..1.0).contains(&self.scale), "scale must be from 0 to below 1"),
            ((0.0..1.0).contains(&self.contrast), "contrast must be from 0 to below 1"),
            ((0.0..1.0).contains(&self.gamma), "gamma must be from 0 to below 1"),
            ((0.0..=1.0).contains(&self.saturation), "saturation must be from 0 to 1"),
            ((0.0..=1.0).contains(&self.brightness), "brightness must be from 0 to 1"),
            (self.rotation_degrees.is_finite(), "rotation_degrees must be a number"),
            ((0.0..=1.0).contains(&self.blur_share), "blur_share must be from 0 to 1"),
            (self.blur_share == 0.0 || (1.0..=16.0).contains(&self.blur_factor), "blur_factor must be from 1 to 16"),
            (
                self.blur_least == 0.0 || (1.0..=self.blur_factor).contains(&self.blur_least),
                "blur_least must be from 1 to blur_factor",
            ),
            ((0.0..=1.0).contains(&self.small_share), "small_share must be from 0 to 1"),
            (
                self.small_share == 0.0 || (4.0..=1024.0).contains(&self.small_side),
                "small_side must be from 4 pixels, with small_share",
            ),
            ((0.0..=1.0).contains(&self.compression_share), "compression_share must be from 0 to 1"),
            (
                self.compression_share == 0.0 || (1.0..=95.0).contains(&self.compression_quality),
                "compression_quality must be from 1 to 95, with compression_share",
            ),
            ((0.0..=1.0).contains(&self.occlusion_share), "occlusion_share must be from 0 to 1"),
            ((0.0..=1.0).contains(&self.occlusion_size), "occlusion_size must be from 0 to 1"),
            ((0.0..=1.0).contains(&self.band_share), "band_share must be from 0 to 1"),
            ((0.0..=1.0).contains(&self.band_size), "band_size must be from 0 to 1"),
            ((0.0..=100.0).contains(&self.mixup), "mixup must be from 0 to 100"),
            ((0.0..=100.0).contains(&self.cutmix), "cutmix must be from 0 to 100"),
        ];
        checks.iter().find(|(holds, _)| !holds).map(|(_, message)| (*message).to_owned())
    }
}

impl Distillation {
    fn fault(&self) -> Option<String> {
        let checks = [
            (!self.models.is_empty(), "distillation.models names no model"),
            ((0.1..=100.0).contains(&self.temperature), "distillation.temperature must be from 0.1 to 100"),
            ((0.0..=1.0).contains(&self.weight), "distillation.weight must be from 0 to 1"),
        ];
        checks.iter().find(|(holds, _)| !holds).map(|(_, message)| (*message).to_owned())
    }
}

/// Sets what `change`, `key=value`, names.
fn set(table: &mut toml::Value, change: &str) -> Result<(), String> {
    let (key, value) = change.split_once('=').ok_or("give key=value")?;
    let value = match toml::from_str::<toml::Table>(&format!("value = {value}")) {
        Ok(mut parsed) => parsed.remove("value").ok_or("give one value")?,
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let mut value_at = table;
    let names: Vec<&str> = key.trim().split('.').collect();
    for (depth, name) in names.iter().enumerate() {
        let is_last = depth + 1 == names.len();
        value_at = match value_at {
            toml::Value::Table(inner) => inner.entry(*name).or_insert_with(|| toml::Value::Table(toml::Table::new())),
            toml::Value::Array(items) => {
                let index: usize = name.parse().map_err(|_| format!("'{name}' is not an index in a list"))?;
                let count = items.len();
                items.get_mut(index).ok_or(format!("there is no element {index} in a list of {count}"))?
            }
            _ => return Err(format!("'{}' has nothing inside", names[..depth].join("."))),
        };
        if is_last {
            *value_at = value;
            return Ok(());
        }
    }
    Err("give key=value".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
name = "small"
seed = 1
batch = 8
[architecture]
family = "mobilenet_v1"
stem_channels = 8
stem_stride = 1
blocks = [{ channels = 8, stride = 2 }]
[input]
side = 16
colours = "luma"
mean = [0.5]
deviation = [0.25]
[[stages]]
epochs = 2
optimiser = { learning_rate = 1e-3 }
"#;

    fn read(text: &str, changes: &[&str]) -> Result<Recipe, RecipeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.toml");
        std::fs::write(&path, text).unwrap();
        Recipe::read(&path, &changes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn recipes_in_the_repository_can_be_used() {
        let mut count = 0;
        for entry in walk(Path::new("pipelines")) {
            // That of the tracker's network is another program's.
            if entry.extension().is_some_and(|e| e == "toml") && !entry.starts_with("pipelines/faces") {
                Recipe::read(&entry, &[]).unwrap();
                count += 1;
            }
        }
        assert!(count >= 12, "{count}");
    }

    fn walk(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_misspelt_setting_is_refused_by_name() {
        for (from, to) in
            [("learning_rate", "learnign_rate"), ("side", "sides"), ("epochs", "epoch"), ("batch", "bach")]
        {
            let error = read(&SMALL.replace(from, to), &[]).unwrap_err().to_string();
            assert!(error.contains(to) && error.contains("r.toml"), "{error}");
        }
    }

    #[test]
    fn settings_that_make_no_sense_together_are_refused() {
        for (change, part) in [
            ("stages.0.optimiser.nesterov=true", "nesterov"),
            ("stages.0.optimiser.momentum=0.9", "momentum"),
            ("stages.0.schedule={ kind = 'step' }", "milestones"),
            ("stages.0.schedule={ factor = 0.5 }", "factor"),
            ("stages=[]", "start.model"),
            ("batch=1", "stage 1"),
            ("distillation={ models = [], weight = 0.5 }", "names no model"),
            ("augmentation.compression_share=0.1", "compression_quality"),
            ("stages.0.augmentation={ shift = 0.7 }", "stage 1: shift"),
            ("stages.3.epochs=1", "no element 3"),
            ("batch.size=1", "'batch' has nothing inside"),
        ] {
            let error = read(SMALL, &[change]).unwrap_err().to_string();
            assert!(error.contains(part), "{change}: {error}");
        }
    }

    #[test]
    fn changes_from_the_command_line_reach_their_fields() {
        let recipe =
            read(SMALL, &["stages.0.epochs=7", "name=other", "loss.label_smoothing=0.1", "clip_norm=1.0"]).unwrap();
        assert_eq!((recipe.stages[0].epochs, recipe.name.as_str()), (7, "other"));
        assert_eq!((recipe.loss.label_smoothing, recipe.clip_norm), (0.1, Some(1.0)));
    }
}

//! One candidate on one part of the pictures: learnt, and asked.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::candidate::{Candidate, Method, recipe};
use super::error::AdaptError;
use super::head::{self, Features, Head, Lesson};
use super::unlabelled;
use crate::files::{self, OutputOptions, WriteError};
use crate::model::{self, Input, Model, ModelConfig};
use crate::picture::ColourNormalisation;
use crate::timeline::Probabilities;
use crate::train::balance::{Balance, BalanceMethod, Balancing};
use crate::train::dataset::Example;
use crate::train::loader::plain_pictures;
use crate::train::progress::{EpochRecord, TrainingProgress};
use crate::train::recipe::Recipe;
use crate::train::run;
use crate::train::start::Prepared;
use crate::train::trainer;

/// How strongly a last layer may be held to the start's; which of them is chosen as candidates are.
pub const HOLDS: [f64; 4] = [1.0, 0.1, 0.01, 0.001];
/// Fewer pictures are not enough for all layers to learn from.
pub const LEAST_FOR_NETWORK: usize = 64;
/// A batch is at most this share of the pictures, so that an epoch has some steps, and at least [`SMALLEST_BATCH`].
const BATCHES: usize = 8;
const SMALLEST_BATCH: usize = 8;
/// Pictures that go through a network at once.
const ASKED: usize = 64;
/// The trainer wants some pictures to watch; nothing is chosen by them.
const WATCHED: usize = 32;

/// A start that is ready to be adapted, and the pictures.
pub struct Material<'a> {
    /// The start.
    pub config: &'a ModelConfig,
    /// Its weights.
    pub weights: &'a BTreeMap<String, Tensor>,
    /// Its last layer, calibrated as the start says.
    pub head: &'a Head,
    /// A directory or name by which recipes find it.
    pub start: &'a Path,
    /// The pictures.
    pub examples: &'a [Example],
    /// What the start makes of them.
    pub features: &'a Features,
    /// Pictures of the start's kind; empty where the user has none.
    pub others: &'a [Example],
    /// Where what is learnt is kept.
    pub kept: &'a Path,
    /// Where networks learn.
    pub device: &'a Device,
}

/// What was learnt.
pub enum Learnt {
    /// Another last layer.
    Head(Head),
    /// Another network.
    Network(Box<Model>, BTreeMap<String, Tensor>),
}

/// What makes a model of a start.
pub struct AdaptedWeights {
    /// The weights of the whole network.
    pub tensors: BTreeMap<String, Tensor>,
    /// Of its logits.
    pub temperature: f32,
    /// What it is shown.
    pub input: Input,
}

impl Learnt {
    /// As it is written.
    ///
    /// # Errors
    /// If the device fails.
    pub fn weights(&self, material: &Material, temperature: f32) -> Result<AdaptedWeights, AdaptError> {
        let (tensors, input) = match self {
            Self::Head(head) => {
                let mut tensors = material.weights.clone();
                head.put(&mut tensors)?;
                (tensors, material.config.input.clone())
            }
            Self::Network(model, tensors) => (tensors.clone(), model.config().input.clone()),
        };
        Ok(AdaptedWeights { tensors, temperature, input })
    }
}

/// A piece of work, in pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A network learnt.
    Learnt {
        /// From so many.
        pictures: usize,
        /// In steps of so many each.
        batch: usize,
    },
    /// A network looked at so many; a picture and its mirror image are two.
    Looked(usize),
    /// The last layer was fitted to so many, once for each of [`HOLDS`].
    Fitted(usize),
}

/// Told what was done; says whether to stop.
pub trait Steps {
    /// So much was done.
    fn done(&mut self, work: Work);
    /// Whether to stop.
    fn is_interrupted(&self) -> bool;
}

impl Material<'_> {
    /// What it takes to ask a network about so many pictures.
    pub fn asked(&self, pictures: usize) -> Work {
        Work::Looked(pictures * self.config.input.view_count())
    }

    /// What it takes to learn `method`, which does not train the network, from so many pictures and to ask about so many.
    pub fn simple_work(&self, method: Method, learning: usize, asked: usize) -> Work {
        match method {
            Method::Head { .. } => Work::Fitted(learning),
            Method::Statistics => Work::Looked(learning + asked * self.config.input.view_count()),
            // Numbers for each class.
            Method::AsItIs | Method::Shares | Method::Calibration | Method::Network { .. } => Work::Fitted(0),
        }
    }

    /// Learns `candidate` from the pictures at `indices`; `hold` says how strongly the last layer is held.
    ///
    /// # Errors
    /// If training fails or is interrupted, or a file cannot be written.
    pub fn learn(
        &self,
        candidate: Candidate,
        indices: &[usize],
        hold: f64,
        steps: &mut dyn Steps,
    ) -> Result<Learnt, AdaptError> {
        let lessons = self.lessons(indices, candidate.balanced);
        match candidate.method {
            Method::AsItIs => Ok(Learnt::Head(self.head.clone())),
            Method::Statistics => {
                let pictures: Vec<&Example> = indices.iter().map(|index| &self.examples[*index]).collect();
                let tensors = unlabelled::with_own_statistics(self.config, self.weights, &pictures)?;
                Ok(Learnt::Network(Box::new(self.model(&tensors, &self.config.input)?), tensors))
            }
            Method::Shares => {
                let logits: Vec<Probabilities> =
                    indices.iter().map(|index| self.head.logits(self.features, *index)).collect();
                Ok(Learnt::Head(unlabelled::with_own_shares(self.head, &logits, self.config)))
            }
            Method::Calibration => Ok(Learnt::Head(head::calibrated(self.features, &lessons, self.head))),
            Method::Head { flips } => Ok(Learnt::Head(head::fit(self.features, &lessons, self.head, hold, flips)?)),
            Method::Network { flips, .. } => {
                let head = head::fit(self.features, &lessons, self.head, hold, flips)?;
                self.network(candidate, indices, &head, steps)
            }
        }
    }

    /// What was learnt says about the pictures at `indices`, as logits.
    ///
    /// # Errors
    /// If a picture cannot be decoded or the device fails.
    pub fn logits(&self, learnt: &Learnt, indices: &[usize]) -> Result<Vec<Probabilities>, AdaptError> {
        match learnt {
            Learnt::Head(head) => Ok(indices.iter().map(|index| head.logits(self.features, *index)).collect()),
            Learnt::Network(model, _) => {
                let input = &model.config().input;
                let mut all = Vec::with_capacity(indices.len());
                for chunk in indices.chunks(ASKED) {
                    let pictures: Vec<&Example> = chunk.iter().map(|index| &self.examples[*index]).collect();
                    let values = plain_pictures(&pictures, input.side, input.colours)?;
                    let rows = model.logits(values)?.to_vec2::<f32>()?;
                    all.extend(
                        rows.into_iter().map(|row| -> Probabilities { std::array::from_fn(|class| row[class]) }),
                    );
                }
                Ok(all)
            }
        }
    }

    fn lessons(&self, indices: &[usize], balanced: bool) -> Vec<Lesson> {
        let chosen: Vec<Example> = indices.iter().map(|index| self.examples[*index].clone()).collect();
        let balancing = Balancing::new(balance(balanced), &chosen);
        let weight = |example: &Example| f64::from(balancing.weight(example));
        indices.iter().zip(&chosen).map(|(index, example)| (*index, example.target, weight(example))).collect()
    }

    fn network(
        &self,
        candidate: Candidate,
        indices: &[usize],
        head: &Head,
        steps: &mut dyn Steps,
    ) -> Result<Learnt, AdaptError> {
        let is_mixed = matches!(candidate.method, Method::Network { mixed: true, .. });
        let mut training: Vec<Example> = indices.iter().map(|index| self.examples[*index].clone()).collect();
        let watched: Vec<Example> = training.iter().filter(|e| e.label.is_some()).take(WATCHED).cloned().collect();
        if is_mixed {
            let count = training.len().min(self.others.len());
            // Spread over all of them, as a manifest is often sorted by class.
            training.extend((0..count).map(|index| self.others[index * self.others.len() / count].clone()));
        }
        let recipe = self.recipe(candidate, training.len())?;
        let colour_normalisation = recipe.input.colour_normalisation.unwrap_or(self.config.input.colour_normalisation);
        let input = Input { colour_normalisation, ..self.config.input.clone() };
        let mut text = serde_json::to_string(&recipe).unwrap_or_default();
        text.push_str(&self.config.sha256);
        training.iter().for_each(|example| text.push_str(&format!("{}{:?}", example.row, example.target)));
        let name = format!("{}-{:.12}", candidate.folder(), files::sha256(text.as_bytes()));
        let folder = self.kept.join(name);
        let weights = folder.join("weights.safetensors");
        let tensors = match model::read_tensors(&std::fs::read(&weights).unwrap_or_default()) {
            Ok(tensors) => {
                steps.done(Work::Learnt { pictures: recipe.epochs() * training.len(), batch: recipe.batch });
                tensors
            }
            Err(_) => {
                std::fs::create_dir_all(&folder).map_err(|e| WriteError::new(&folder, e))?;
                let mut prepared = Prepared::new(recipe, Path::new("."), self.device)?;
                head.put(&mut prepared.weights)?;
                let mut told = Told { steps, batch: prepared.recipe.batch };
                let fitted = trainer::fit(&prepared, &training, &watched, &folder, self.device, &mut told)?;
                let bytes = model::write_tensors(&fitted.tensors, false).map_err(trainer::TrainError::from)?;
                OutputOptions::state().put(&weights, |out| out.write_all(&bytes))?;
                // A finished run is never continued.
                let _ = std::fs::remove_file(folder.join("checkpoint.safetensors"));
                fitted.tensors
            }
        };
        Ok(Learnt::Network(Box::new(self.model(&tensors, &input)?), tensors))
    }

    /// The start with other weights, shown `input`, not calibrated.
    fn model(&self, tensors: &BTreeMap<String, Tensor>, input: &Input) -> Result<Model, AdaptError> {
        let bytes = run::packed(tensors)?;
        let config = ModelConfig {
            sha256: files::sha256(&bytes),
            temperature: 1.0,
            input: input.clone(),
            ..self.config.clone()
        };
        let text = serde_json::to_vec(&config).map_err(anyhow::Error::from).map_err(trainer::TrainError::from)?;
        Ok(Model::from_bytes(&text, &bytes, self.kept, &Device::Cpu)?)
    }

    fn recipe(&self, candidate: Candidate, pictures: usize) -> Result<Recipe, AdaptError> {
        let mut recipe = recipe()?;
        recipe.name = candidate.name();
        recipe.start.model = Some(absolute(self.start));
        recipe.batch = batch(pictures, recipe.batch);
        if let Method::Network { flips, normalised, .. } = candidate.method {
            recipe.augmentation.flip = flips;
            recipe.input.colour_normalisation = normalised.then_some(ColourNormalisation::MeanStd);
        }
        recipe.balance = balance(candidate.balanced);
        Ok(recipe)
    }
}

/// The batch for so many pictures, where the recipe has batches of `most`.
pub fn batch(pictures: usize, most: usize) -> usize {
    (pictures / BATCHES).clamp(SMALLEST_BATCH, most)
}

/// Built-in names stay as they are.
fn absolute(start: &Path) -> std::path::PathBuf {
    match start.is_dir() {
        true => std::path::absolute(start).unwrap_or_else(|_| start.into()),
        false => start.into(),
    }
}

fn balance(balanced: bool) -> Balance {
    let method = if balanced { BalanceMethod::Weights } else { BalanceMethod::None };
    Balance { method, ..Balance::default() }
}

struct Told<'a> {
    steps: &'a mut dyn Steps,
    batch: usize,
}

impl TrainingProgress for Told<'_> {
    fn step(&mut self, _: usize, _: usize, _: usize, _: f64) {
        self.steps.done(Work::Learnt { pictures: self.batch, batch: self.batch });
    }

    fn epoch(&mut self, _: &EpochRecord) {}

    fn is_interrupted(&self) -> bool {
        self.steps.is_interrupted()
    }
}

//! Fits one model: epochs, validation, the choice of the best epoch, checkpoints that a run resumes from.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use candle_core::{D, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::balance::Balancing;
use super::dataset::Example;
use super::loader::{self, Batch};
use super::metrics::{self, Judged, Metrics};
use super::optim::{AdamW, Average, learning_rate};
use super::recipe::Recipe;
use crate::model::parameters::seeded;
use crate::model::{self, Network, Parameters, Phase, Purpose};
use crate::timeline::{Expression, Probabilities};

/// Images evaluated at once; bounds the memory of an evaluation.
const EVALUATION_BATCH: usize = 256;

/// What is known after each epoch; one line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss.
    pub training_loss: f64,
    /// Share of validation images predicted right.
    pub validation_accuracy: f64,
    /// Mean recall on the validation images.
    pub validation_balanced_accuracy: f64,
    /// Mean negative log-probability of the truth on the validation images.
    pub validation_loss: f64,
    /// Wall time of the epoch, seconds.
    pub seconds: f64,
}

/// A fitted model, before it is written.
pub struct Fitted {
    /// Weights of the chosen epoch, by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The chosen epoch: the one with the least validation loss.
    pub epoch: usize,
    /// Calibration temperature, fitted on the validation images.
    pub temperature: f32,
    /// All epochs.
    pub history: Vec<EpochRecord>,
}

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TrainError {
    #[error("the training split has {found} images, fewer than one batch of {batch}")]
    TooFew { found: usize, batch: usize },
    #[error("the validation split has no labelled image")]
    NoValidation,
    #[error("the training split shows a single class, '{}'", .0.name())]
    OneClass(Expression),
    #[error(
        "the loss is not a number at step {step} (epoch {epoch}); lower the learning rate. The last checkpoint is kept"
    )]
    LossNotFinite { step: u64, epoch: usize },
    #[error("{}: the checkpoint was made with another recipe or data; give another --out or remove it", path.display())]
    OtherRun { path: PathBuf },
    #[error("{}: {reason}", path.display())]
    Checkpoint { path: PathBuf, reason: String },
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
    #[error(transparent)]
    Unforeseen(#[from] anyhow::Error),
}

/// Called with each finished epoch and with the share of the running one.
pub trait Progress {
    /// A step was taken.
    fn step(&mut self, epoch: usize, step: usize, steps: usize, loss: f64);
    /// An epoch ended.
    fn epoch(&mut self, record: &EpochRecord);
}

/// Fits a model to `training` and chooses its epoch on `validation`. The folder `run` receives a checkpoint after each
/// epoch, from which a later call with the same recipe and data goes on to the same numbers.
///
/// # Errors
/// If the data cannot be trained on, the loss leaves the numbers, or a checkpoint cannot be read or written.
pub fn fit(
    recipe: &Recipe,
    training: &[Example],
    validation: &[Example],
    run: &Path,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<Fitted, TrainError> {
    check(recipe, training, validation)?;
    let parameters = Parameters::new(Purpose::Training { seed: recipe.seed }, device);
    let network = Network::new(&parameters, &recipe.architecture, recipe.input.colours)?;
    let variables = parameters.variables();
    let mut state = State {
        optimiser: AdamW::new(variables.clone(), &recipe.optimiser),
        average: Average::new(&variables, recipe.average_decay)?,
        best: None,
        history: Vec::new(),
    };
    let checkpoint =
        Checkpoint { path: run.join("checkpoint.safetensors"), fingerprint: fingerprint(recipe, training) };
    checkpoint.restore(&parameters, &mut state)?;
    let steps = training.len() / recipe.batch;
    for epoch in state.history.len() + 1..=recipe.epochs {
        let started = Instant::now();
        let training_loss = run_epoch(recipe, training, &network, &parameters, &mut state, epoch, progress)?;
        let weights = parameters.tensors()?;
        // What is judged and kept is the average; the optimiser goes on from the weights themselves.
        let averaged = state.average.tensors(&variables)?;
        parameters.set(&averaged).map_err(anyhow::Error::from)?;
        let (measured, _) = evaluate(&network, recipe, validation, device)?;
        let record = EpochRecord {
            epoch,
            training_loss,
            validation_accuracy: measured.accuracy,
            validation_balanced_accuracy: measured.balanced_accuracy,
            validation_loss: measured.negative_log_likelihood,
            seconds: started.elapsed().as_secs_f64(),
        };
        let is_best = state.history.iter().all(|r| record.validation_loss < r.validation_loss);
        if is_best {
            state.best = Some(averaged);
        }
        parameters.set(&weights).map_err(anyhow::Error::from)?;
        progress.epoch(&record);
        state.history.push(record);
        checkpoint.save(&parameters, &state, steps)?;
    }
    let best = state.best.ok_or_else(|| anyhow::anyhow!("no epoch was finished"))?;
    parameters.set(&best).map_err(anyhow::Error::from)?;
    let (_, logits) = evaluate(&network, recipe, validation, device)?;
    let truths: Vec<Expression> = validation.iter().filter_map(|e| e.label).collect();
    let epoch = best_epoch(&state.history);
    Ok(Fitted {
        tensors: best,
        epoch,
        temperature: metrics::best_temperature(&logits, &truths),
        history: state.history,
    })
}

/// The epoch with the least validation loss; the first of equals.
fn best_epoch(history: &[EpochRecord]) -> usize {
    history.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss)).map_or(0, |r| r.epoch)
}

fn check(recipe: &Recipe, training: &[Example], validation: &[Example]) -> Result<(), TrainError> {
    if training.len() < recipe.batch {
        return Err(TrainError::TooFew { found: training.len(), batch: recipe.batch });
    }
    if !validation.iter().any(|e| e.label.is_some()) {
        return Err(TrainError::NoValidation);
    }
    let first = crate::timeline::most_probable(&training[0].target);
    if training.iter().all(|e| e.target[first.index()] >= 1.0) {
        return Err(TrainError::OneClass(first));
    }
    Ok(())
}

struct State {
    optimiser: AdamW,
    average: Average,
    best: Option<BTreeMap<String, Tensor>>,
    history: Vec<EpochRecord>,
}

fn run_epoch(
    recipe: &Recipe,
    training: &[Example],
    network: &Network,
    parameters: &Parameters,
    state: &mut State,
    epoch: usize,
    progress: &mut dyn Progress,
) -> Result<f64, TrainError> {
    let variables = parameters.variables();
    let steps = training.len() / recipe.batch;
    let warm_up = (recipe.optimiser.warm_up_epochs * steps as f64) as u64;
    let dropout = Mutex::new(seeded(recipe.seed, &format!("dropout of epoch {epoch}")));
    let (mut sum, mut done) = (0.0, 0);
    let device = parameters.device();
    let balancing = Balancing::new(recipe.balance, training);
    loader::for_each_training_batch(training, recipe, &balancing, epoch, device, |batch| -> Result<(), TrainError> {
        let step = state.optimiser.steps();
        let logits = network.forward(&batch.pictures, Phase::Training(&dropout))?;
        let loss = cross_entropy(&balancing.adjusted(&logits, device)?, &batch)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(TrainError::LossNotFinite { step: step + 1, epoch });
        }
        let rate = learning_rate(recipe.optimiser.learning_rate, step, (recipe.epochs * steps) as u64, warm_up);
        state.optimiser.step(&loss.backward()?, rate)?;
        state.average.update(&variables, step)?;
        sum += value;
        done += 1;
        progress.step(epoch, done, steps, sum / done as f64);
        Ok(())
    })?;
    Ok(sum / done as f64)
}

/// Mean over images of weight times cross-entropy with the target distribution.
fn cross_entropy(logits: &Tensor, batch: &Batch) -> candle_core::Result<Tensor> {
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    let losses = (log_probabilities * &batch.targets)?.sum(D::Minus1)?.neg()?;
    (losses * &batch.weights)?.mean_all()
}

/// Measures of `network` on the labelled ones of `examples`, and their logits.
fn evaluate(
    network: &Network,
    recipe: &Recipe,
    examples: &[Example],
    device: &Device,
) -> Result<(Metrics, Vec<Probabilities>), TrainError> {
    let labelled: Vec<Example> = examples.iter().filter(|e| e.label.is_some()).cloned().collect();
    let side = recipe.input.side;
    let (mut judged, mut all_logits) = (Vec::new(), Vec::new());
    for chunk in labelled.chunks(EVALUATION_BATCH) {
        let pictures = recipe.input.normalised(loader::plain_pictures(chunk, side));
        let x = Tensor::from_vec(pictures, (chunk.len(), side, side, 1), device)?;
        let logits = network.forward(&x, Phase::Inference)?.detach();
        let probabilities = candle_nn::ops::softmax(&logits, D::Minus1)?.to_vec2::<f32>()?;
        for ((example, p), l) in chunk.iter().zip(probabilities).zip(logits.to_vec2::<f32>()?) {
            if let Some(truth) = example.label {
                judged.push(Judged { truth, probabilities: std::array::from_fn(|class| p[class]) });
                all_logits.push(std::array::from_fn(|class| l[class]));
            }
        }
    }
    let measured = metrics::measure(&judged).ok_or(TrainError::NoValidation)?;
    Ok((measured, all_logits))
}

/// Tells runs apart: the recipe and the examples' rows and targets.
fn fingerprint(recipe: &Recipe, training: &[Example]) -> String {
    let mut text = serde_json::to_string(recipe).unwrap_or_default();
    for example in training {
        text.push_str(&format!("{}:{:?};", example.row, example.target));
    }
    model::sha256(text.as_bytes())
}

struct Checkpoint {
    path: PathBuf,
    fingerprint: String,
}

impl Checkpoint {
    fn fault(&self, reason: impl std::fmt::Display) -> TrainError {
        TrainError::Checkpoint { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Writes everything into a new file that then takes the old one's place.
    fn save(&self, parameters: &Parameters, state: &State, steps_an_epoch: usize) -> Result<(), TrainError> {
        let mut tensors = BTreeMap::new();
        let variables = parameters.variables();
        let mut add = |kind: &str, from: BTreeMap<String, Tensor>| {
            tensors.extend(from.into_iter().map(|(name, tensor)| (format!("{kind}/{name}"), tensor)));
        };
        add("weights", parameters.tensors()?);
        add("moments", state.optimiser.state()?);
        add("average", state.average.tensors(&variables)?);
        add("best", state.best.clone().unwrap_or_default());
        let metadata = [
            ("fingerprint".to_owned(), self.fingerprint.clone()),
            ("history".to_owned(), serde_json::to_string(&state.history).map_err(|e| self.fault(e))?),
            ("steps_an_epoch".to_owned(), steps_an_epoch.to_string()),
        ];
        let bytes =
            safetensors::serialize(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), Some(metadata.into()))
                .map_err(|e| self.fault(e))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| self.fault(e))?;
        file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(|e| self.fault(e))?;
        file.persist(&self.path).map_err(|e| self.fault(e.error))?;
        Ok(())
    }

    /// Takes up a checkpoint where there is one.
    fn restore(&self, parameters: &Parameters, state: &mut State) -> Result<(), TrainError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.fault(e)),
        };
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| self.fault(e))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("fingerprint") != Some(&self.fingerprint) {
            return Err(TrainError::OtherRun { path: self.path.clone() });
        }
        let value = |name: &str| metadata.get(name).ok_or_else(|| self.fault(format!("'{name}' is missing")));
        state.history = serde_json::from_str(value("history")?).map_err(|e| self.fault(e))?;
        let steps_an_epoch: u64 = value("steps_an_epoch")?.parse().map_err(|e| self.fault(e))?;
        let mut kinds: BTreeMap<String, BTreeMap<String, Tensor>> = BTreeMap::new();
        for (name, tensor) in model::read_tensors(&bytes).map_err(|e| self.fault(e))? {
            if let Some((kind, name)) = name.split_once('/') {
                kinds.entry(kind.to_owned()).or_default().insert(name.to_owned(), tensor);
            }
        }
        let mut take = |kind: &str| kinds.remove(kind).unwrap_or_default();
        parameters.set(&take("weights")).map_err(|e| self.fault(e))?;
        let steps = steps_an_epoch * state.history.len() as u64;
        state.optimiser.restore(&take("moments"), steps).map_err(|e| self.fault(e))?;
        state.average.restore(&take("average")).map_err(|e| self.fault(e))?;
        state.best = Some(take("best"));
        Ok(())
    }
}

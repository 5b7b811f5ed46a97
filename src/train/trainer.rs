//! Fits one model: stages of epochs, validation, the choice of the best epoch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use candle_core::{D, Device, Tensor, Var};

use super::average::Average;
use super::balance::Balancing;
use super::checkpoint::{Checkpoint, CheckpointError, SavedState, Tensors};
use super::dataset::{DatasetError, Example};
use super::distil::Teachers;
use super::loader::{Feed, LoadedBatch, plain_pictures};
use super::log::{Log, LogLine};
use super::metrics::{self, Judged};
use super::optim::{Gradients, Optimiser, climb};
use super::progress::{EpochRecord, TrainingProgress};
use super::recipe::{HeadStart, Layers, Recipe, TrainingStage};
use super::schedule::{TrainingPoint, is_over, learning_rate};
use super::start::{BIASES, HEAD, Prepared};
use crate::files::{Lock, LockError, WriteError};
use crate::model::Input;
use crate::nn::{Network, Parameters, Phase, Purpose};
use crate::random::seeded;
use crate::timeline::{Expression, Probabilities, most_probable};

/// Images evaluated at once; bounds the memory of an evaluation.
const EVALUATION_BATCH: usize = 64;

/// A fitted model, before it is written.
pub struct Fitted {
    /// Weights of the chosen epoch, by name.
    pub tensors: Tensors,
    /// The chosen epoch, from 1; 0 where nothing was trained.
    pub epoch: usize,
    /// Calibration temperature, fitted on the validation images.
    pub temperature: f32,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// Each class's share of the training images.
    pub class_shares: [f64; Expression::COUNT],
}

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum TrainError {
    #[error("there are {found} training images, fewer than one batch of {batch}")]
    TooFew { found: usize, batch: usize },
    #[error("no validation image has a label")]
    NoValidation,
    #[error("all training images show a single class, '{}'", .0.name())]
    OneClass(Expression),
    #[error(
        "the {what} is not a number at step {step} (epoch {epoch}); lower the learning rate or set clip_norm. What was \
         reached in the epochs before is kept in the checkpoint"
    )]
    NotFinite { what: &'static str, step: u64, epoch: usize },
    #[error("the weights of start.model do not fit the network: {0}")]
    Start(String),
    #[error("interrupted in epoch {epoch}; the same command goes on after epoch {}", epoch - 1)]
    Interrupted { epoch: usize },
    #[error(transparent)]
    Image(#[from] DatasetError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{0}")]
    Log(WriteError),
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
    #[error(transparent)]
    Unforeseen(#[from] anyhow::Error),
}

/// Fits a model to `training` and chooses its epoch on `validation`. The folder `run` receives `metrics.jsonl` and after each
/// epoch a checkpoint, from which a later call with the same recipe and data goes on to the same numbers. No second run may
/// write there.
///
/// # Errors
/// If the data cannot be trained on, the loss leaves the numbers, or a file cannot be read or written.
pub fn fit(
    prepared: &Prepared,
    training: &[Example],
    validation: &[Example],
    run: &Path,
    device: &Device,
    progress: &mut dyn TrainingProgress,
) -> Result<Fitted, TrainError> {
    let recipe = &prepared.recipe;
    check(recipe, training, validation)?;
    // Two runs that wrote the same checkpoints would undo each other's epochs.
    let _lock = Lock::take(run)?;
    let parameters = Parameters::new(Purpose::Training { seed: recipe.seed }, device);
    let network = Network::new(&parameters, &prepared.architecture, prepared.input.colours)?;
    let mut weights = parameters.tensors()?;
    weights.extend(prepared.weights.clone());
    parameters.set(&weights).map_err(|e| TrainError::Start(e.to_string()))?;
    let balancing = Balancing::new(recipe.balance, training);
    let (teachers, views) = Teachers::new(&prepared.teachers, recipe.distillation.as_ref());
    let feed = Feed { examples: training, recipe, input: &prepared.input, views, balancing: &balancing, device };
    let checkpoint = Checkpoint {
        path: run.join("checkpoint.safetensors"),
        fingerprint: fingerprint(prepared, training, validation),
    };
    let saved = checkpoint.load()?;
    let (history, steps, best_epoch) =
        saved.as_ref().map_or((Vec::new(), 0, 0), |s| (s.history.clone(), s.steps, s.best_epoch));
    let best = saved.as_ref().and_then(|saved| saved.tensors.get("best").cloned()).unwrap_or(weights);
    let log_path = run.join("metrics.jsonl");
    let log = Log::open(&log_path, history.len()).map_err(|e| TrainError::Log(WriteError::new(&log_path, e)))?;
    let mut trainer = Trainer {
        prepared,
        feed: &feed,
        teachers,
        network,
        variables: parameters.variables(),
        parameters,
        validation,
        device,
        run,
        checkpoint,
        log,
        history,
        steps,
        best,
        best_epoch,
    };
    let mut saved = saved;
    for (index, stage) in recipe.stages.iter().enumerate() {
        trainer.run_stage(index + 1, stage, &mut saved, progress)?;
    }
    if let Some(biases) = trainer.best.get_mut(BIASES) {
        *biases = balancing.settled(biases)?;
    }
    trainer.parameters.set(&trainer.best).map_err(anyhow::Error::from)?;
    let (judged, logits) = trainer.evaluate()?;
    let truths: Vec<Expression> = judged.iter().map(|j| j.truth).collect();
    Ok(Fitted {
        tensors: trainer.best,
        epoch: trainer.best_epoch,
        temperature: metrics::best_temperature(&logits, &truths),
        history: trainer.history,
        class_shares: Balancing::shares(training),
    })
}

fn check(recipe: &Recipe, training: &[Example], validation: &[Example]) -> Result<(), TrainError> {
    if !validation.iter().any(|e| e.label.is_some()) {
        return Err(TrainError::NoValidation);
    }
    if recipe.stages.is_empty() {
        return Ok(());
    }
    if training.len() < recipe.batch {
        return Err(TrainError::TooFew { found: training.len(), batch: recipe.batch });
    }
    let first = most_probable(&training[0].target);
    if training.iter().all(|e| e.target[first.index()] >= 1.0) {
        return Err(TrainError::OneClass(first));
    }
    Ok(())
}

/// Tells runs apart: the recipe, the models it refers to, and the examples' rows and targets.
fn fingerprint(prepared: &Prepared, training: &[Example], validation: &[Example]) -> String {
    let mut text = serde_json::to_string(&prepared.recipe).unwrap_or_default();
    text.push_str(&format!("{:?}", prepared.origin));
    prepared.teachers.iter().for_each(|teacher| text.push_str(&teacher.config().sha256));
    for example in training.iter().chain(validation) {
        text.push_str(&format!("{}:{:?};", example.row, example.target));
    }
    crate::files::sha256(text.as_bytes())
}

struct Trainer<'a> {
    prepared: &'a Prepared,
    feed: &'a Feed<'a>,
    teachers: Teachers<'a>,
    network: Network,
    parameters: Parameters,
    variables: BTreeMap<String, Var>,
    validation: &'a [Example],
    device: &'a Device,
    run: &'a Path,
    checkpoint: Checkpoint,
    log: Log,
    history: Vec<EpochRecord>,
    /// Over all stages.
    steps: u64,
    best: Tensors,
    best_epoch: usize,
}

impl Trainer<'_> {
    fn scores(&self, stage: usize) -> Vec<f64> {
        self.history.iter().filter(|record| record.stage == stage).map(|record| record.score).collect()
    }

    /// The variables that the stage moves.
    fn learning(&self, stage: &TrainingStage) -> BTreeMap<String, Var> {
        let keeps_head = self.prepared.recipe.start.head == HeadStart::Keep;
        let learns = |name: &str| match stage.train {
            Layers::Head => name.starts_with(HEAD),
            Layers::All => !(keeps_head && name.starts_with(HEAD)),
        };
        self.variables.iter().filter(|(name, _)| learns(name)).map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    fn run_stage(
        &mut self,
        number: usize,
        stage: &TrainingStage,
        saved: &mut Option<SavedState>,
        progress: &mut dyn TrainingProgress,
    ) -> Result<(), TrainError> {
        if is_over(stage, &self.scores(number)) {
            return Ok(());
        }
        let learning = self.learning(stage);
        let mut optimiser = Optimiser::new(&learning, &stage.optimiser)?;
        let is_new = self.scores(number).is_empty();
        let mut restored = saved.take().filter(|_| !is_new);
        let mut take = |kind: &str| restored.as_mut().and_then(|saved| saved.tensors.remove(kind)).unwrap_or_default();
        let weights = if is_new { self.best.clone() } else { take("weights") };
        self.parameters.set(&weights).map_err(anyhow::Error::from)?;
        let mut average = Average::new(&self.variables, self.prepared.recipe.average_decay)?;
        if !is_new {
            average.restore(&take("average"))?;
            let moments = take("moments");
            optimiser.restore(&moments, restored.map_or(0, |saved| saved.optimiser_steps))?;
        }
        while !is_over(stage, &self.scores(number)) {
            self.run_epoch(number, stage, &learning, &mut optimiser, &average, progress)?;
        }
        Ok(())
    }

    fn run_epoch(
        &mut self,
        number: usize,
        stage: &TrainingStage,
        learning: &BTreeMap<String, Var>,
        optimiser: &mut Optimiser,
        average: &Average,
        progress: &mut dyn TrainingProgress,
    ) -> Result<(), TrainError> {
        let started = Instant::now();
        let (feed, recipe) = (self.feed, &self.prepared.recipe);
        let epoch = self.history.len() + 1;
        let scores = self.scores(number);
        let (batches, steps) = (feed.batches(), feed.batches().div_ceil(recipe.accumulate));
        let (mut sum, mut seen, mut done, mut rate) = (0.0, 0, 0, 0.0);
        let mut group = Vec::new();
        let augmentation = stage.augmentation.as_ref().unwrap_or(&recipe.augmentation);
        feed.for_each_batch(epoch, augmentation, |batch| -> Result<(), TrainError> {
            if progress.is_interrupted() {
                return Err(TrainError::Interrupted { epoch });
            }
            group.push(batch);
            seen += 1;
            if group.len() < recipe.accumulate && seen < batches {
                return Ok(());
            }
            let batches = std::mem::take(&mut group);
            let point = TrainingPoint { step: optimiser.steps(), steps_an_epoch: steps as u64, scores: &scores };
            rate = learning_rate(stage, point);
            let (loss, gradients, norm) = self.gradients(&batches, stage, learning, epoch)?;
            optimiser.step(&gradients, rate)?;
            average.update(&self.variables, optimiser.steps() - 1)?;
            self.steps += 1;
            sum += loss;
            let line = LogLine::Step { step: self.steps, epoch, loss, gradient_norm: norm, learning_rate: rate };
            self.write(&line)?;
            done += 1;
            progress.step(epoch, done, steps, sum / done as f64);
            Ok(())
        })?;
        let trained = started.elapsed().as_secs_f64();
        let weights = self.parameters.tensors()?;
        // What is judged and kept is the average; the optimiser goes on from the weights themselves.
        let averaged = average.tensors()?;
        let (what, step) = ("weight", self.steps);
        self.parameters.set(&averaged).map_err(|_| TrainError::NotFinite { what, step, epoch })?;
        let (judged, ..) = self.evaluate()?;
        let measured = metrics::measure(&judged).ok_or(TrainError::NoValidation)?;
        let record = EpochRecord {
            epoch,
            stage: number,
            training_loss: sum / steps as f64,
            learning_rate: rate,
            validation_accuracy: measured.accuracy,
            validation_balanced_accuracy: measured.balanced_accuracy,
            validation_loss: measured.negative_log_likelihood,
            score: recipe.select.score(&measured, epoch),
            images_a_second: (batches * recipe.batch) as f64 / trained,
            seconds: started.elapsed().as_secs_f64(),
        };
        if self.history.iter().all(|earlier| record.score > earlier.score) {
            (self.best, self.best_epoch) = (averaged, epoch);
        }
        self.parameters.set(&weights).map_err(anyhow::Error::from)?;
        self.write(&LogLine::Epoch(record.clone()))?;
        progress.epoch(&record);
        self.history.push(record);
        self.save(weights, optimiser, average)
    }

    /// Mean loss of `batches`, and the gradient that the step is to take with its length.
    fn gradients(
        &self,
        batches: &[LoadedBatch],
        stage: &TrainingStage,
        learning: &BTreeMap<String, Var>,
        epoch: usize,
    ) -> Result<(f64, Gradients, f64), TrainError> {
        let recipe = &self.prepared.recipe;
        let not_finite = |what| TrainError::NotFinite { what, step: self.steps + 1, epoch };
        let (loss, mut gradients) = self.pass(batches, stage, learning, false)?;
        if !loss.is_finite() {
            return Err(not_finite("loss"));
        }
        let mut norm = gradients.norm()?;
        if stage.optimiser.sam_rho > 0.0 && norm.is_finite() {
            let before = climb(learning, &gradients, norm, stage.optimiser.sam_rho)?;
            gradients = self.pass(batches, stage, learning, true)?.1;
            for (name, tensor) in before {
                learning[&name].set(&tensor)?;
            }
            norm = gradients.norm()?;
        }
        if !norm.is_finite() {
            return Err(not_finite("gradient"));
        }
        if let Some(longest) = recipe.clip_norm {
            norm = gradients.clip(norm, longest)?;
        }
        Ok((loss, gradients, norm))
    }

    /// Forward and backward over `batches`: mean loss and mean gradient. The second time over the same ones draws the same
    /// dropout and leaves the running statistics alone.
    fn pass(
        &self,
        batches: &[LoadedBatch],
        stage: &TrainingStage,
        learning: &BTreeMap<String, Var>,
        is_second: bool,
    ) -> Result<(f64, Gradients), TrainError> {
        let (mut sum, mut gradients) = (0.0, Gradients::default());
        let share = 1.0 / batches.len() as f64;
        for (index, batch) in batches.iter().enumerate() {
            let purpose = format!("dropout of step {}, batch {index}", self.steps);
            let dropout = Mutex::new(seeded(self.prepared.recipe.seed, &purpose));
            let phase = match (stage.train == Layers::Head || stage.freeze_statistics, is_second) {
                (true, _) => Phase::Frozen(&dropout),
                (false, false) => Phase::Training(&dropout),
                (false, true) => Phase::Again(&dropout),
            };
            let features = self.network.features(&batch.pictures, phase)?;
            let features = if stage.train == Layers::Head { features.detach() } else { features };
            let logits = self.network.classify(&features)?;
            let losses = cross_entropy(&self.feed.balancing.adjusted(&logits, self.device)?, &batch.targets)?;
            let losses = self.teachers.blended(losses, &logits, batch, self.device)?;
            let loss = (losses * &batch.weights)?.mean_all()?;
            sum += share * f64::from(loss.to_scalar::<f32>()?);
            gradients.add(&self.parameters.backward(&loss)?, learning, share as f32)?;
        }
        Ok((sum, gradients))
    }

    fn evaluate(&self) -> Result<(Vec<Judged>, Vec<Probabilities>), TrainError> {
        evaluate(&self.network, &self.prepared.input, self.validation, self.device)
    }

    fn write(&mut self, line: &LogLine) -> Result<(), TrainError> {
        let path = || self.run.join("metrics.jsonl");
        self.log.add(line).map_err(|source| TrainError::Log(WriteError::new(&path(), source)))
    }

    fn save(&self, weights: Tensors, optimiser: &Optimiser, average: &Average) -> Result<(), TrainError> {
        let tensors = [
            ("weights", weights),
            ("moments", optimiser.state()?),
            ("average", average.tensors()?),
            ("best", self.best.clone()),
        ];
        let saved = SavedState {
            tensors: tensors.into_iter().map(|(kind, tensors)| (kind.to_owned(), tensors)).collect(),
            history: self.history.clone(),
            optimiser_steps: optimiser.steps(),
            steps: self.steps,
            best_epoch: self.best_epoch,
        };
        Ok(self.checkpoint.save(&saved)?)
    }
}

/// Cross-entropy of each image with its target distribution, `[images]`.
fn cross_entropy(logits: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    (log_probabilities * targets)?.sum(D::Minus1)?.neg()
}

/// What `network` says about the labelled ones of `examples`: judged, and as logits.
fn evaluate(
    network: &Network,
    input: &Input,
    examples: &[Example],
    device: &Device,
) -> Result<(Vec<Judged>, Vec<Probabilities>), TrainError> {
    let labelled: Vec<(&Example, Expression)> = examples.iter().filter_map(|e| Some((e, e.label?))).collect();
    let (mut judged, mut all_logits) = (Vec::new(), Vec::new());
    for chunk in labelled.chunks(EVALUATION_BATCH) {
        let pictures: Vec<&Example> = chunk.iter().map(|(example, _)| *example).collect();
        let values = input.views(input.normalised(plain_pictures(&pictures, input.side, input.colours)?));
        let shape = (chunk.len() * input.view_count(), input.side, input.side, input.colours.count());
        let x = Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)?;
        let logits = input.joined(&network.forward(&x, Phase::Inference)?)?.detach();
        let probabilities = candle_nn::ops::softmax(&logits, D::Minus1)?.to_vec2::<f32>()?;
        for (((_, truth), p), l) in chunk.iter().zip(probabilities).zip(logits.to_vec2::<f32>()?) {
            judged.push(Judged { truth: *truth, probabilities: std::array::from_fn(|class| p[class]) });
            all_logits.push(std::array::from_fn(|class| l[class]));
        }
    }
    Ok((judged, all_logits))
}

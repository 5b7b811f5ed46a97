//! One training run from prepared recipe to report: fit, write the model, measure it.

use std::path::Path;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checkpoint::Tensors;
use super::dataset::{DatasetError, Example};
use super::fold::{FoldError, Grouping};
use super::manifest::{self, ManifestError, Row};
use super::progress::{EpochRecord, TrainingProgress};
use super::recipe::Recipe;
use super::report::{self, Evaluation, EvaluationError, Prediction, ReportDocument};
use super::start::{Prepared, StartError};
use super::trainer::{self, Fitted, TrainError};
use crate::files::{OutputOptions, WriteError};
use crate::model::{self, Model, ModelConfig, ModelError};
use crate::timeline::Expression;

/// The largest number that half precision holds is 65504.
const LARGEST_HALF: f32 = 60_000.0;

/// A manifest that was read.
pub struct Data {
    /// Its file name.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Data {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// If it cannot be read or a row is not valid; the message names the line.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let unreadable = |source| ManifestError::Unreadable { path: path.into(), source };
        let bytes = crate::files::read(path, manifest::LARGEST).map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rows = manifest::parse(bytes.as_slice(), path)?;
        Ok(Self { name, sha256: crate::files::sha256(&bytes), rows })
    }
}

/// The images of a run.
pub struct Parts {
    /// Weights are fitted on them.
    pub training: Vec<Example>,
    /// The epoch and the temperature are chosen on them.
    pub validation: Vec<Example>,
    /// Measured once, at the end; where there are no test images, the validation images are.
    pub test: Vec<Example>,
}

/// What a run leaves in `report.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunReport {
    /// The recipe.
    pub recipe: Recipe,
    /// Name and SHA-256 of the model that training started from.
    pub origin: Option<(String, String)>,
    /// Name and SHA-256 of the manifest.
    pub manifest: (String, String),
    /// How many images were trained on, and how many the epoch was chosen on.
    pub images: [usize; 2],
    /// Each class's share of the training images.
    pub class_shares: [f64; Expression::COUNT],
    /// The chosen epoch, from 1; 0 where nothing was trained.
    pub epoch: usize,
    /// Fitted on the validation images.
    pub temperature: f32,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// The model, measured.
    pub evaluation: Evaluation,
    /// What a reader should know before believing the numbers.
    pub notes: Vec<String>,
}

/// Why a run ended without a model.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum RunError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Image(#[from] DatasetError),
    #[error(transparent)]
    Folds(#[from] FoldError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error("the model cannot be used after training: {0}")]
    Model(Box<ModelError>),
    #[error(transparent)]
    Output(#[from] WriteError),
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
    #[error("{0}")]
    Data(String),
}

impl From<ModelError> for RunError {
    fn from(error: ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<EvaluationError> for RunError {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Image(error) => Self::Image(error),
            EvaluationError::Device(error) => Self::Device(error),
        }
    }
}

/// Trains on `parts` and measures; `out` receives `model/`, `report.json`, `.md` and `.html`, `predictions.csv`,
/// `metrics.jsonl` and the checkpoint from which the same call goes on after an interruption.
///
/// # Errors
/// If the data cannot be trained on or measured, or a file cannot be written.
pub fn run(
    prepared: &Prepared,
    data: &Data,
    parts: &Parts,
    grouping: Grouping,
    out: &Path,
    device: &Device,
    progress: &mut dyn TrainingProgress,
) -> Result<(RunReport, Vec<Prediction>), RunError> {
    std::fs::create_dir_all(out).map_err(|e| WriteError::new(out, e))?;
    let fitted = trainer::fit(prepared, &parts.training, &parts.validation, out, device, progress)?;
    let (mut config, weights) = built(prepared, data, &fitted)?;
    let bytes = serde_json::to_vec(&config).map_err(anyhow::Error::from).map_err(TrainError::from)?;
    let model = Model::from_bytes(&bytes, &weights, out, device)?;
    let (measured, of) = match parts.test.is_empty() {
        false => (&parts.test, "test images"),
        true => (&parts.validation, "validation images, on which epoch and temperature were chosen"),
    };
    let predictions = report::predict(&model, &data.rows, measured, Ok)?;
    let clusters = report::clusters(&predictions, &data.rows, grouping);
    let names = [prepared.recipe.name.clone(), format!("{}: {of}", data.name)];
    let shares = Some(&fitted.class_shares).filter(|_| !parts.training.is_empty());
    let evaluation = report::evaluate(names, Some(model.identity()), &predictions, (grouping, &clusters), shares)
        .ok_or_else(|| RunError::Data(format!("{}: no labelled image to measure the model on", data.name)))?;
    config.metrics = json!({ "data": of, "measures": evaluation.metrics, "intervals": evaluation.intervals });
    let report = RunReport {
        recipe: prepared.recipe.clone(),
        origin: prepared.origin.clone(),
        manifest: (data.name.clone(), data.sha256.clone()),
        images: [parts.training.len(), parts.validation.len()],
        class_shares: fitted.class_shares,
        epoch: fitted.epoch,
        temperature: fitted.temperature,
        history: fitted.history,
        notes: notes(&parts.training),
        evaluation,
    };
    let document = document(&report);
    write_model(&out.join("model"), &config, &weights, &document)?;
    report::write(out, &report, &document, &predictions)?;
    Ok((report, predictions))
}

/// What is odd about the training images.
pub fn notes(training: &[Example]) -> Vec<String> {
    let shares = super::balance::Balancing::shares(training);
    let absent = Expression::ALL.into_iter().filter(|class| !training.is_empty() && shares[class.index()] == 0.0);
    absent.map(|class| format!("no training image shows '{}': the model cannot learn it", class.name())).collect()
}

/// The bytes of a model's weights: half precision where they fit.
///
/// # Errors
/// If the device fails.
pub fn packed(tensors: &Tensors) -> Result<Vec<u8>, TrainError> {
    let fits = |tensor: &candle_core::Tensor| -> candle_core::Result<bool> {
        let largest = tensor.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        Ok(largest < LARGEST_HALF)
    };
    let half = tensors.values().map(fits).collect::<candle_core::Result<Vec<bool>>>()?.into_iter().all(|f| f);
    Ok(model::write_tensors(tensors, half)?)
}

/// The model's config, without measures, and the bytes of its weights.
fn built(prepared: &Prepared, data: &Data, fitted: &Fitted) -> Result<(ModelConfig, Vec<u8>), TrainError> {
    let weights = packed(&fitted.tensors)?;
    let config = ModelConfig {
        name: prepared.recipe.name.clone(),
        architecture: prepared.architecture.clone(),
        input: prepared.input.clone(),
        crop: prepared.crop,
        classes: Expression::ALL.to_vec(),
        temperature: fitted.temperature,
        training: json!({
            "recipe": prepared.recipe,
            "origin": prepared.origin,
            "manifest": { "name": data.name, "sha256": data.sha256 },
            "epoch": fitted.epoch,
            "class_shares": fitted.class_shares,
        }),
        metrics: serde_json::Value::Null,
        sha256: crate::files::sha256(&weights),
    };
    Ok((config, weights))
}

/// Writes a model directory: weights, config and card.
///
/// # Errors
/// If a file cannot be written.
pub fn write_model(
    folder: &Path,
    config: &ModelConfig,
    weights: &[u8],
    card: &ReportDocument,
) -> Result<(), WriteError> {
    std::fs::create_dir_all(folder).map_err(|e| WriteError::new(folder, e))?;
    OutputOptions::state().put(&folder.join(model::WEIGHTS_FILE), |out| out.write_all(weights))?;
    OutputOptions::state().put(&folder.join(model::CONFIG_FILE), |out| {
        serde_json::to_writer_pretty(&mut *out, config)?;
        out.write_all(b"\n")
    })?;
    OutputOptions::state().put(&folder.join(model::CARD_FILE), |out| out.write_all(card.markdown().as_bytes()))
}

/// The report for people; also the part of a model card that a run knows. The person adds data, licence and limits.
fn document(report: &RunReport) -> ReportDocument {
    use report::ReportBlock::{Heading, Text};
    let recipe = &report.recipe;
    let origin = match &report.origin {
        Some((name, sha256)) => format!("from '{name}' (SHA-256 {sha256})"),
        None => "from scratch".to_owned(),
    };
    let trained = match recipe.stages.is_empty() {
        true => format!("Not trained: measured as it is, {origin}."),
        false => format!(
            "Trained {origin} on {} images; epoch {} of {} was chosen by {} on {} images.",
            report.images[0],
            report.epoch,
            report.history.len(),
            recipe.select.name(),
            report.images[1]
        ),
    };
    let mut blocks = vec![
        Text(format!("{trained} Temperature {:.3} was fitted on the validation images.", report.temperature)),
        Text(format!(
            "Manifest {} (SHA-256 {}). The recipe stands in config.json.",
            report.manifest.0, report.manifest.1
        )),
    ];
    blocks.extend(report.notes.iter().map(|note| Text(format!("Note: {note}."))));
    blocks.push(Heading(report.evaluation.data.clone()));
    blocks.extend(report.evaluation.blocks());
    if !report.history.is_empty() {
        blocks.push(Heading("How it went".into()));
        blocks.extend(report::history_blocks(&report.history, report.epoch));
    }
    ReportDocument { title: recipe.name.clone(), blocks }
}

//! What a run leaves behind: the model directory with its card, the epochs' measures, the evaluation.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use candle_core::Device;
use serde::Serialize;
use serde_json::json;

use super::dataset::Example;
use super::loader::plain_pictures;
use super::manifest::Row;
use super::metrics::{self, Judged, Metrics};
use super::recipe::Recipe;
use super::trainer::Fitted;
use crate::model::{self, Model, ModelConfig};
use crate::timeline::{Expression, ModelIdentity};

/// Images classified at once.
const BATCH: usize = 256;

/// A model measured on a set of images.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// The model.
    pub model: ModelIdentity,
    /// The measures.
    pub metrics: Metrics,
    /// One entry an image: its path, cell, truth and probabilities.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

/// One image's result; a row of `predictions.csv`.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The image as the manifest names it; `#n` names the cell of a strip.
    pub image: String,
    /// Truth and probabilities.
    pub judged: Judged,
}

/// Measures `model` on the labelled ones of `examples`; `None` where there are none.
///
/// # Errors
/// If the device fails.
pub fn evaluate(model: &Model, rows: &[Row], examples: &[Example]) -> anyhow::Result<Option<Evaluation>> {
    let mut predictions = Vec::new();
    let labelled: Vec<Example> = examples.iter().filter(|e| e.label.is_some()).cloned().collect();
    for chunk in labelled.chunks(BATCH) {
        let probabilities = model.probabilities(plain_pictures(chunk, model.config().input.side))?;
        for (example, probabilities) in chunk.iter().zip(probabilities) {
            let Some(truth) = example.label else { continue };
            let row = &rows[example.row];
            let cell = row.cell.map(|cell| format!("#{cell}")).unwrap_or_default();
            let image = format!("{}{cell}", row.path.display());
            predictions.push(Prediction { image, judged: Judged { truth, probabilities } });
        }
    }
    let judged: Vec<Judged> = predictions.iter().map(|p| p.judged).collect();
    Ok(metrics::measure(&judged).map(|metrics| Evaluation { model: model.identity(), metrics, predictions }))
}

/// Writes `report.json`, `report.md` and `predictions.csv` into `folder`.
///
/// # Errors
/// If writing fails.
pub fn write_evaluation(folder: &Path, evaluation: &Evaluation) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(evaluation)? + "\n")?;
    std::fs::write(folder.join("report.md"), markdown(evaluation))?;
    let mut csv = csv::Writer::from_path(folder.join("predictions.csv"))?;
    csv.write_record(["path", "truth"].into_iter().chain(Expression::ALL.map(Expression::name)))?;
    for prediction in &evaluation.predictions {
        let Judged { truth, probabilities } = prediction.judged;
        let numbers = probabilities.map(|p| format!("{p:.6}"));
        let text = [prediction.image.as_str(), truth.name()];
        csv.write_record(text.into_iter().chain(numbers.iter().map(String::as_str)))?;
    }
    csv.flush()?;
    Ok(())
}

/// The evaluation for people.
pub fn markdown(evaluation: &Evaluation) -> String {
    let m = &evaluation.metrics;
    let percent = |value: f64| format!("{:.1} %", 100.0 * value);
    let span = |[low, high]: [f64; 2]| format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high);
    let mut text = format!(
        "| measure | value | 95 % interval |\n|---|---|---|\n\
         | images | {} | |\n\
         | accuracy | {} | {} |\n\
         | balanced accuracy | {} | {} |\n\
         | macro-F1 | {:.3} | |\n\
         | negative log-likelihood | {:.3} | |\n\
         | calibration error (15 bins) | {} | |\n\n\
         | class | images | recall | precision | F1 |\n|---|---|---|---|---|\n",
        m.images,
        percent(m.accuracy),
        span(m.accuracy_interval),
        percent(m.balanced_accuracy),
        span(m.balanced_accuracy_interval),
        m.macro_f1,
        m.negative_log_likelihood,
        percent(m.calibration_error),
    );
    let optional = |value: Option<f64>| value.map_or("-".into(), percent);
    for class in &m.classes {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            class.class.name(),
            class.images,
            optional(class.recall),
            optional(class.precision),
            class.f1.map_or("-".into(), |f| format!("{f:.3}"))
        );
    }
    let names = Expression::ALL.map(Expression::name).join(" | ");
    let _ = write!(text, "\nRows: truth; columns: prediction.\n\n| | {names} |\n|---|---|---|---|---|---|---|---|\n");
    for (class, row) in Expression::ALL.into_iter().zip(&m.confusion) {
        let counts = row.map(|n| n.to_string()).join(" | ");
        let _ = writeln!(text, "| {} | {counts} |", class.name());
    }
    text
}

/// Writes `folder/model/` (weights, config, card), `metrics.jsonl`, and, where there are test images, `evaluation/`.
///
/// # Errors
/// If writing fails.
pub fn write_run(
    folder: &Path,
    recipe: &Recipe,
    manifest: &Path,
    fitted: &Fitted,
    rows: &[Row],
    test: &[Example],
    device: &Device,
) -> anyhow::Result<()> {
    let lines: Vec<String> = fitted.history.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    std::fs::write(folder.join("metrics.jsonl"), lines.join("\n") + "\n")?;
    let weights = model::write_tensors(&fitted.tensors, true)?;
    let mut config = ModelConfig {
        name: recipe.name.clone(),
        architecture: recipe.architecture.clone(),
        input: recipe.input.clone(),
        crop: recipe.crop,
        classes: Expression::ALL.to_vec(),
        temperature: fitted.temperature,
        training: json!({
            "recipe": recipe,
            "manifest": { "name": manifest.file_name().map(|n| n.to_string_lossy()), "sha256": hash_of(manifest)? },
            "epoch": fitted.epoch,
        }),
        metrics: serde_json::Value::Null,
        sha256: model::sha256(&weights),
    };
    let bytes = serde_json::to_vec(&config)?;
    let model = Model::from_bytes(&bytes, &weights, folder, device)?;
    let evaluation = evaluate(&model, rows, test)?;
    if let Some(evaluation) = &evaluation {
        write_evaluation(&folder.join("evaluation"), evaluation)?;
        config.metrics = serde_json::to_value(&evaluation.metrics)?;
    }
    let directory = folder.join("model");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(model::WEIGHTS_FILE), weights)?;
    std::fs::write(directory.join(model::CONFIG_FILE), serde_json::to_string_pretty(&config)? + "\n")?;
    std::fs::write(directory.join(model::CARD_FILE), card(recipe, fitted, evaluation.as_ref()))?;
    Ok(())
}

fn hash_of(path: &Path) -> anyhow::Result<String> {
    Ok(model::sha256(&std::fs::read(path).with_context(|| path.display().to_string())?))
}

/// The part of a model card that a run knows; the person adds data, licence and limits.
fn card(recipe: &Recipe, fitted: &Fitted, evaluation: Option<&Evaluation>) -> String {
    let mut text = format!(
        "# {}\n\nTrained by `annotate train`; the recipe stands in config.json. Epoch {} of {} was chosen by the \
         validation loss; temperature {:.3} was fitted on the validation images.\n",
        recipe.name, fitted.epoch, recipe.epochs, fitted.temperature
    );
    if let Some(evaluation) = evaluation {
        text += "\n## Test images\n\n";
        text += &markdown(evaluation);
    }
    text
}

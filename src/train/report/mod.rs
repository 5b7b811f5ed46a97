//! Reports: a model measured on labelled images, in words, tables and plots, and every prediction so that anybody can
//! measure again.

mod document;
mod plot;
mod predictions;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use document::{ReportBlock, ReportDocument, ReportTable, beside, figure};
pub use plot::{MeasuredShare, NamedDifference, bars, curves, differences, matrix, reliability, rising};
pub use predictions::{Prediction, PredictionsError, read as read_predictions};

use super::dataset::{DatasetError, Example};
use super::fold::Grouping;
use super::loader::plain_pictures;
use super::manifest::Row;
use super::metrics::{self, Judged, Metrics};
use super::progress::EpochRecord;
use super::significance::{self, Comparison, Intervals};
use crate::files::{OutputOptions, WriteError};
use crate::model::{Input, Model};
use crate::timeline::{Expression, ModelIdentity};

/// Images classified at once.
const BATCH: usize = 64;
/// How far probabilities are corrected for the training data's class shares; 1 is fully.
const STRENGTHS: [f64; 2] = [0.5, 1.0];

/// A model, or the models of all folds, measured on a set of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What was measured.
    pub name: String,
    /// On which images.
    pub data: String,
    /// The model; none where the folds' models are measured together.
    #[serde(default)]
    pub model: Option<ModelIdentity>,
    /// The measures.
    pub metrics: Metrics,
    /// How sure they are.
    pub intervals: Intervals,
    /// What the intervals take for one independent piece of data.
    pub clustered_by: Grouping,
    /// The measures if the training data's class shares are taken out of the probabilities; empty where these are unknown.
    #[serde(default)]
    pub prior_corrected: Vec<PriorCorrected>,
    /// Classes that no image shows: they are left out of means over classes.
    #[serde(default)]
    pub absent: Vec<Expression>,
}

/// Measures after a correction of the probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriorCorrected {
    /// To what power the shares were divided out.
    pub strength: f64,
    /// Share of right predictions.
    pub accuracy: f64,
    /// Mean recall.
    pub balanced_accuracy: f64,
    /// Mean F1.
    pub macro_f1: f64,
}

/// Why an evaluation cannot be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum EvaluationError {
    #[error(transparent)]
    Image(#[from] DatasetError),
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
}

/// What `model` says about the labelled ones of `examples`, which are rows of `rows`; `change` is made to each picture
/// first.
///
/// # Errors
/// If a picture cannot be decoded or the device fails.
pub fn predict(
    model: &Model,
    rows: &[Row],
    examples: &[Example],
    change: impl Fn(Example) -> Result<Example, DatasetError> + Sync,
) -> Result<Vec<Prediction>, EvaluationError> {
    let labelled: Vec<(&Example, Expression)> = examples.iter().filter_map(|e| Some((e, e.label?))).collect();
    let Input { side, colours, .. } = model.config().input;
    let mut predictions = Vec::new();
    for chunk in labelled.chunks(BATCH) {
        let changed = chunk.iter().map(|(example, _)| change((*example).clone())).collect::<Result<Vec<_>, _>>()?;
        let pictures: Vec<&Example> = changed.iter().collect();
        let said = model.probabilities(plain_pictures(&pictures, side, colours)?)?;
        for ((example, truth), probabilities) in chunk.iter().zip(said) {
            let image = rows[example.row].image();
            predictions.push(Prediction { image, judged: Judged { truth: *truth, probabilities } });
        }
    }
    Ok(predictions)
}

/// Measures `predictions`, each belonging to the cluster of the same index; `None` where there are none. `shares` are the
/// classes' shares of the training images, where known.
pub fn evaluate(
    [name, data]: [String; 2],
    model: Option<ModelIdentity>,
    predictions: &[Prediction],
    (clustered_by, clusters): (Grouping, &[String]),
    shares: Option<&[f64; Expression::COUNT]>,
) -> Option<Evaluation> {
    let judged: Vec<Judged> = predictions.iter().map(|p| p.judged).collect();
    let corrected = |shares: &[f64; Expression::COUNT]| STRENGTHS.map(|s| metrics::prior_corrected(&judged, shares, s));
    summary([name, data], model, &judged, (clustered_by, clusters), shares.map(corrected).as_ref())
}

/// As [`evaluate`], with what the judged images would be after each correction, where it is known.
pub fn summary(
    [name, data]: [String; 2],
    model: Option<ModelIdentity>,
    judged: &[Judged],
    (clustered_by, clusters): (Grouping, &[String]),
    corrected: Option<&[Vec<Judged>; STRENGTHS.len()]>,
) -> Option<Evaluation> {
    let metrics = metrics::measure(judged)?;
    let measured = |(strength, judged): (f64, &Vec<Judged>)| {
        metrics::measure(judged).map(|m| PriorCorrected {
            strength,
            accuracy: m.accuracy,
            balanced_accuracy: m.balanced_accuracy,
            macro_f1: m.macro_f1,
        })
    };
    Some(Evaluation {
        name,
        data,
        model,
        intervals: significance::intervals(judged, clusters),
        clustered_by,
        prior_corrected: corrected
            .into_iter()
            .flat_map(|c| STRENGTHS.into_iter().zip(c))
            .filter_map(measured)
            .collect(),
        absent: metrics::absent(&metrics.confusion),
        metrics,
    })
}

/// The corrections of the probabilities that reports give, for `judged` of a model trained on `shares`.
pub fn corrections(judged: &[Judged], shares: &[f64; Expression::COUNT]) -> [Vec<Judged>; STRENGTHS.len()] {
    STRENGTHS.map(|strength| metrics::prior_corrected(judged, shares, strength))
}

/// The cluster of each prediction: its image's group in the manifest.
pub fn clusters(predictions: &[Prediction], rows: &[Row], grouping: Grouping) -> Vec<String> {
    let groups: std::collections::HashMap<String, String> =
        rows.iter().map(|row| (row.image(), grouping.key(row))).collect();
    predictions.iter().map(|p| groups.get(&p.image).unwrap_or(&p.image).clone()).collect()
}

/// Writes `report.json` (`data`), `report.md` and `report.html` (`document`) and `predictions.csv` into `folder`.
///
/// # Errors
/// If one cannot be written.
pub fn write(
    folder: &Path,
    data: &impl Serialize,
    document: &ReportDocument,
    predictions: &[Prediction],
) -> Result<(), WriteError> {
    write_as(OutputOptions::new(), folder, data, document, predictions)
}

/// The same; `existing` says what becomes of files that are there.
///
/// # Errors
/// If one cannot be written.
pub fn write_as(
    existing: OutputOptions,
    folder: &Path,
    data: &impl Serialize,
    document: &ReportDocument,
    predictions: &[Prediction],
) -> Result<(), WriteError> {
    std::fs::create_dir_all(folder).map_err(|e| WriteError::new(folder, e))?;
    let file = |name: &str| -> PathBuf { folder.join(name) };
    predictions::write(existing, &file("predictions.csv"), predictions)?;
    existing.put(&file("report.md"), |out| out.write_all(document.markdown().as_bytes()))?;
    existing.put(&file("report.html"), |out| out.write_all(document.html().as_bytes()))?;
    existing.put(&file("report.json"), |out| {
        serde_json::to_writer_pretty(&mut *out, data)?;
        out.write_all(b"\n")
    })
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

fn span([low, high]: [f64; 2], digits: usize, factor: f64) -> String {
    format!("{:.digits$} to {:.digits$}", factor * low, factor * high)
}

impl Evaluation {
    /// One line for the terminal.
    pub fn line(&self) -> String {
        let (m, i) = (&self.metrics, &self.intervals);
        format!(
            "{}: {} images, accuracy {} ({}), balanced accuracy {} ({})",
            self.name,
            m.images,
            percent(m.accuracy),
            span(i.accuracy, 1, 100.0),
            percent(m.balanced_accuracy),
            span(i.balanced_accuracy, 1, 100.0)
        )
    }

    /// The measures, classes, confusion and reliability, as parts of a report.
    pub fn blocks(&self) -> Vec<ReportBlock> {
        let (m, i) = (&self.metrics, &self.intervals);
        let mut measures = ReportTable::new("Measures", &["measure", "value", "95 % interval"]);
        let rows = [
            ("images", m.images.to_string(), String::new()),
            ("accuracy", percent(m.accuracy), span(i.accuracy, 1, 100.0)),
            (
                "balanced accuracy (mean sensitivity, UAR)",
                percent(m.balanced_accuracy),
                span(i.balanced_accuracy, 1, 100.0),
            ),
            ("macro-F1", format!("{:.3}", m.macro_f1), span(i.macro_f1, 3, 1.0)),
            ("weighted F1", format!("{:.3}", m.weighted_f1), String::new()),
            (
                "Cohen's kappa",
                m.kappa.map_or("-".into(), |kappa| format!("{kappa:.3}")),
                i.kappa.map_or(String::new(), |kappa| span(kappa, 3, 1.0)),
            ),
            ("negative log-likelihood", format!("{:.3}", m.negative_log_likelihood), String::new()),
            ("calibration error (15 bins)", percent(m.calibration_error), String::new()),
        ];
        rows.into_iter().for_each(|(name, value, interval)| measures.row([name.to_owned(), value, interval]));
        let clusters = format!(
            "Intervals: percentile bootstrap over {} clusters (images of one {} stay together).",
            i.clusters,
            self.clustered_by.noun()
        );
        let mut classes = ReportTable::new("Classes", &["class", "images", "recall", "precision", "F1"]);
        let optional = |value: Option<f64>| value.map_or("-".into(), percent);
        for c in &m.classes {
            let f1 = c.f1.map_or("-".into(), |f1| format!("{f1:.3}"));
            let name = c.class.name().to_owned();
            classes.row([name, c.images.to_string(), optional(c.recall), optional(c.precision), f1]);
        }
        let names = Expression::ALL.map(Expression::name);
        let heads: Vec<&str> = ["truth"].into_iter().chain(names).collect();
        let mut confusion = ReportTable::new("Confusion: rows are the truth, columns the prediction", &heads);
        for (name, counts) in names.into_iter().zip(&m.confusion) {
            confusion.row([name.to_owned()].into_iter().chain(counts.iter().map(u64::to_string)));
        }
        let mut blocks = vec![ReportBlock::Table(measures), ReportBlock::Text(clusters)];
        if !self.absent.is_empty() {
            let absent: Vec<&str> = self.absent.iter().map(|class| class.name()).collect();
            let text = format!("No image shows {}: left out of means over classes.", absent.join(", "));
            blocks.push(ReportBlock::Text(text));
        }
        blocks.extend([
            ReportBlock::Table(classes),
            ReportBlock::Table(confusion),
            ReportBlock::Plot(matrix(&m.confusion)),
        ]);
        blocks.push(ReportBlock::Plot(reliability(&m.reliability)));
        if !self.prior_corrected.is_empty() {
            let title = "With the training data's class shares taken out of the probabilities";
            let mut table =
                ReportTable::new(title, &["power of the shares", "accuracy", "balanced accuracy", "macro-F1"]);
            for c in &self.prior_corrected {
                let f1 = format!("{:.3}", c.macro_f1);
                table.row([c.strength.to_string(), percent(c.accuracy), percent(c.balanced_accuracy), f1]);
            }
            blocks.push(ReportBlock::Table(table));
        }
        blocks
    }
}

/// A comparison of two models as a part of a report.
pub fn comparison_blocks(first: &str, second: &str, c: &Comparison) -> Vec<ReportBlock> {
    let mut table = ReportTable::new(
        &format!("{first} against {second}, on the same {} images", c.images),
        &["measure", "difference", "95 % interval"],
    );
    let points = |value: f64| format!("{:+.1} points", 100.0 * value);
    for (name, value, interval) in [
        ("accuracy", c.accuracy_difference, c.accuracy_difference_interval),
        ("balanced accuracy", c.balanced_accuracy_difference, c.balanced_accuracy_difference_interval),
    ] {
        table.row([name.to_owned(), points(value), span(interval, 1, 100.0)]);
    }
    let p = if c.p_value < 0.001 { "p < 0.001".to_owned() } else { format!("p = {:.3}", c.p_value) };
    let text = format!(
        "Right in the first only: {}, in the second only: {}; McNemar's exact test: {p}.",
        c.only_first, c.only_second
    );
    vec![ReportBlock::Table(table), ReportBlock::Text(text)]
}

/// The epochs of a run as parts of a report.
pub fn history_blocks(history: &[EpochRecord], chosen: usize) -> Vec<ReportBlock> {
    if history.is_empty() {
        return Vec::new();
    }
    let heads =
        ["epoch", "stage", "learning rate", "training loss", "validation loss", "accuracy", "balanced accuracy"];
    let mut table = ReportTable::new("Epochs", &heads);
    for r in history {
        table.row([
            format!("{}{}", r.epoch, if r.epoch == chosen { " (chosen)" } else { "" }),
            r.stage.to_string(),
            format!("{:.2e}", r.learning_rate),
            format!("{:.4}", r.training_loss),
            format!("{:.4}", r.validation_loss),
            percent(r.validation_accuracy),
            percent(r.validation_balanced_accuracy),
        ]);
    }
    vec![ReportBlock::Plot(curves(&[(String::new(), history)])), ReportBlock::Table(table)]
}

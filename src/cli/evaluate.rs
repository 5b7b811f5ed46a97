//! `annotate evaluate`: how good a model is on labelled images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::choice::choice;
use super::device::DeviceChoice;
use super::training::use_threads;
use crate::choice::Choice as _;
use crate::infer::Precision;
use crate::model::registry;
use crate::timeline::Expression;
use crate::train::dataset;
use crate::train::degrade::Degradation;
use crate::train::fold::Grouping;
use crate::train::manifest::Split;
use crate::train::metrics::Judged;
use crate::train::report::{self, Evaluation, Prediction, ReportBlock, ReportDocument};
use crate::train::run::Data;
use crate::train::significance::{Comparison, compare};
use crate::train::stability::{self, Stability};

/// Arguments of `annotate evaluate`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A model directory or the name of a built-in model
    #[arg(long, default_value = registry::DEFAULT, value_name = "NAME|DIR")]
    model: PathBuf,
    /// The images (see `annotate data import`)
    #[arg(long, value_name = "MANIFEST")]
    data: PathBuf,
    /// Which part of them
    #[arg(long, value_parser = choice::<Split>(), default_value = "test")]
    split: Split,
    /// Folder for report.json, report.md, report.html and predictions.csv
    #[arg(long, value_name = "REPORT")]
    out: PathBuf,
    /// Another model's predictions.csv on the same images, to compare with
    #[arg(long, value_name = "predictions.csv")]
    against: Option<PathBuf>,
    /// Make the pictures worse first
    #[arg(long, value_parser = choice::<Degradation>())]
    degrade: Option<Degradation>,
    /// Say how far labels stay when pictures are mirrored, made smaller, compressed, lightened, and cut a little otherwise
    #[arg(long, conflicts_with = "degrade")]
    stability: bool,
    /// Whether the model looks at the mirror image as well and averages; as its config.json says if not given
    #[arg(long, value_name = "BOOL")]
    symmetric: Option<bool>,
    /// What intervals take for one independent piece of data
    #[arg(long, value_parser = choice::<Grouping>(), default_value = "subject")]
    group: Grouping,
    /// Where the network runs: auto, cpu or cuda[:N]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// Numbers the network is computed with
    #[arg(long, value_parser = choice::<Precision>(), default_value = "auto")]
    precision: Precision,
    /// Worker threads; all cores if not given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// `report.json`.
#[derive(Serialize)]
struct EvaluationReport {
    #[serde(flatten)]
    evaluation: Evaluation,
    #[serde(skip_serializing_if = "Option::is_none")]
    degradation: Option<Degradation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stability: Option<Vec<Stability>>,
}

#[derive(Serialize)]
struct Against {
    path: PathBuf,
    #[serde(flatten)]
    comparison: Comparison,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    use_threads(arguments.threads)?;
    let device = arguments.device.open()?;
    let model =
        registry::open(&arguments.model, &device).and_then(|model| model.with_precision(arguments.precision))?.alone();
    let model = match arguments.symmetric {
        Some(symmetric) => model.with_symmetry(symmetric),
        None => model,
    };
    let data = Data::read(&arguments.data)?;
    // Before anything is measured.
    let theirs = arguments.against.as_deref().map(report::read_predictions).transpose();
    let theirs = theirs?;
    let examples = dataset::load(&data.rows, arguments.split, model.config().input.colours)?;
    let predictions = report::predict(&model, &data.rows, &examples, |example| match arguments.degrade {
        Some(degradation) => degradation.applied(example),
        None => Ok(example),
    });
    let predictions = predictions?;
    let stability =
        arguments.stability.then(|| stability::stability(&model, &data.rows, &examples, &predictions)).transpose()?;
    let clusters = report::clusters(&predictions, &data.rows, arguments.group);
    let split = arguments.split.name();
    let worse = arguments.degrade.map(|d| format!(", {d:?}")).unwrap_or_default();
    let names = [model.config().name.clone(), format!("{}: split '{split}'{worse}", data.name)];
    // A model that was trained here says what it was trained on.
    let shares: Option<[f64; Expression::COUNT]> =
        serde_json::from_value(model.config().training["class_shares"].clone()).ok();
    let grouped = (arguments.group, clusters.as_slice());
    let evaluation = report::evaluate(names, Some(model.identity()), &predictions, grouped, shares.as_ref())
        .ok_or_else(|| Failure::Input(format!("{}: no labelled image in split '{split}'", arguments.data.display())))?;
    talk!("{}", evaluation.line());
    let mut blocks = evaluation.blocks();
    let mut against = None;
    if let Some((path, theirs)) = arguments.against.as_ref().zip(theirs) {
        let comparison = compared(path, theirs, &predictions, &clusters)?;
        talk!(
            "against {}: accuracy {:+.1} points, McNemar's exact p = {:.3}",
            path.display(),
            100.0 * comparison.accuracy_difference,
            comparison.p_value
        );
        blocks.push(ReportBlock::Heading("Comparison".into()));
        blocks.extend(report::comparison_blocks(&evaluation.name, &path.display().to_string(), &comparison));
        against = Some(Against { path: path.clone(), comparison });
    }
    if let Some(stability) = &stability {
        for of in stability {
            let kappa = of.kappa.map_or("not defined".to_owned(), |kappa| format!("{kappa:.2}"));
            talk!("{}: {:.1} % keep their label, kappa {kappa}", of.change.word(), 100.0 * of.same);
        }
        blocks.extend(stability::blocks(stability));
    }
    let document = ReportDocument { title: format!("{} on {}", evaluation.name, evaluation.data), blocks };
    let data = EvaluationReport { evaluation, degradation: arguments.degrade, against, stability };
    Ok(report::write(&arguments.out, &data, &document, &predictions)?)
}

/// Our predictions beside those in a file, which must be of the same images with the same truth.
fn compared(
    path: &Path,
    theirs: Vec<Prediction>,
    ours: &[Prediction],
    clusters: &[String],
) -> Result<Comparison, Failure> {
    let theirs: HashMap<String, Judged> = theirs.into_iter().map(|p| (p.image, p.judged)).collect();
    let fault = |image: &str, what: &str| Failure::Input(format!("{}: {what} '{image}'", path.display()));
    let theirs: Vec<Judged> = ours
        .iter()
        .map(|p| {
            let their = theirs.get(&p.image).ok_or_else(|| fault(&p.image, "there is no prediction for"))?;
            match their.truth == p.judged.truth {
                true => Ok(*their),
                false => Err(fault(&p.image, "the truth differs for")),
            }
        })
        .collect::<Result<_, _>>()?;
    let ours: Vec<Judged> = ours.iter().map(|p| p.judged).collect();
    Ok(compare(&ours, &theirs, clusters))
}

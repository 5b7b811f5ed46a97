//! `annotate evaluate`: how good a model is on labelled images.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;

use super::Failure;
use super::train::{load, use_threads};
use crate::infer::Precision;
use crate::model::registry;
use crate::train::manifest::{self, Split};
use crate::train::report;

/// Arguments of `annotate evaluate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A model directory or the name of a built-in model
    #[arg(long, default_value = registry::DEFAULT, value_name = "NAME|DIR")]
    model: PathBuf,
    /// The images (see `annotate data import`)
    #[arg(long, value_name = "MANIFEST")]
    data: PathBuf,
    /// Which part of them
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Folder for report.json, report.md and predictions.csv
    #[arg(long, value_name = "REPORT")]
    out: PathBuf,
    /// Numbers the network is computed with
    #[arg(long, value_enum, default_value = "auto")]
    precision: Precision,
    /// Worker threads; all cores if not given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    use_threads(arguments.threads)?;
    let model = registry::open(&arguments.model, &Device::Cpu)
        .and_then(|model| model.with_precision(arguments.precision))
        .map_err(|e| Failure::Configuration(e.to_string()))?;
    let rows = manifest::read(&arguments.data).map_err(|e| Failure::Input(e.to_string()))?;
    let examples = load(&rows, arguments.split)?;
    let evaluation = report::evaluate(&model, &rows, &examples)?;
    let Some(evaluation) = evaluation else {
        let split = arguments.split.name();
        return Err(Failure::Input(format!("{}: no labelled image in split '{split}'", arguments.data.display())));
    };
    report::write_evaluation(&arguments.out, &evaluation)
        .map_err(|e| Failure::Output(format!("{}: {e:#}", arguments.out.display())))?;
    eprint!("{}", report::markdown(&evaluation));
    Ok(())
}

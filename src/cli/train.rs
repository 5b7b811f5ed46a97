//! `annotate train`: one recipe, one manifest, one model.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use crate::train::dataset::{self, Example};
use crate::train::manifest::{self, Row, Split};
use crate::train::recipe::Recipe;
use crate::train::report;
use crate::train::trainer::{self, EpochRecord, Progress, TrainError};

/// Arguments of `annotate train`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The images (see `annotate data import`)
    #[arg(long, value_name = "MANIFEST")]
    data: PathBuf,
    /// What to do with them
    #[arg(long, value_name = "R.toml")]
    recipe: PathBuf,
    /// Folder for the model, its card, the epochs' measures and the checkpoint; an interrupted run goes on there
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Worker threads; all cores if not given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let recipe = Recipe::read(&arguments.recipe).map_err(|e| Failure::Configuration(e.to_string()))?;
    let rows = manifest::read(&arguments.data).map_err(|e| Failure::Input(e.to_string()))?;
    let training = load(&rows, Split::Train)?;
    let validation = load(&rows, Split::Validation)?;
    let out = &arguments.out;
    std::fs::create_dir_all(out).map_err(|e| Failure::Output(format!("{}: {e}", out.display())))?;
    use_threads(arguments.threads)?;
    let device = Device::Cpu;
    eprintln!("{}: {} training and {} validation images", recipe.name, training.len(), validation.len());
    let mut progress = Bar(ProgressBar::no_length().with_style(style()));
    let fitted = trainer::fit(&recipe, &training, &validation, out, &device, &mut progress).map_err(failure)?;
    progress.0.finish_and_clear();
    let test = load(&rows, Split::Test)?;
    report::write_run(out, &recipe, &arguments.data, &fitted, &rows, &test, &device)
        .map_err(|e| Failure::Output(format!("{}: {e:#}", out.display())))?;
    eprintln!("{}: model of epoch {} written", out.join("model").display(), fitted.epoch);
    Ok(())
}

pub(super) fn load(rows: &[Row], split: Split) -> Result<Vec<Example>, Failure> {
    dataset::load(rows, split).map_err(|e| Failure::Input(e.to_string()))
}

pub(super) fn use_threads(threads: Option<usize>) -> Result<(), Failure> {
    let Some(threads) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|e| Failure::Unforeseen(e.into()))
}

fn failure(error: TrainError) -> Failure {
    let text = error.to_string();
    match error {
        TrainError::TooFew { .. } | TrainError::NoValidation | TrainError::OneClass(_) => Failure::Input(text),
        TrainError::LossNotFinite { .. } | TrainError::OtherRun { .. } => Failure::Configuration(text),
        TrainError::Checkpoint { .. } => Failure::Output(text),
        TrainError::Device(error) => Failure::Unforeseen(error.into()),
        TrainError::Unforeseen(error) => Failure::Unforeseen(error),
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("epoch {prefix} {wide_bar} {pos}/{len} loss {msg} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

struct Bar(ProgressBar);

impl Progress for Bar {
    fn step(&mut self, epoch: usize, step: usize, steps: usize, loss: f64) {
        if step == 1 {
            self.0.reset();
            self.0.set_length(steps as u64);
            self.0.set_prefix(epoch.to_string());
        }
        self.0.set_position(step as u64);
        self.0.set_message(format!("{loss:.4}"));
    }

    fn epoch(&mut self, r: &EpochRecord) {
        self.0.suspend(|| {
            eprintln!(
                "epoch {:3}  loss {:.4}  validation {:.4}: {:.2} % right, balanced {:.2} %  {:.1} s",
                r.epoch,
                r.training_loss,
                r.validation_loss,
                100.0 * r.validation_accuracy,
                100.0 * r.validation_balanced_accuracy,
                r.seconds
            );
        });
    }
}

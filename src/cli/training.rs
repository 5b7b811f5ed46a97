//! What `train`, `crossval` and `evaluate` have in common: options and progress.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::device::DeviceChoice;
use crate::train::crossval::FoldReport;
use crate::train::folds::FoldsProgress;
use crate::train::progress::{EpochRecord, TrainingProgress};

/// What training, in whatever form, can be told.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// Where models that a recipe names are looked for
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) models: PathBuf,
    /// Change a recipe's setting, as in input.side=64 or stages.0.epochs=1; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Where the network runs: auto, cpu or cuda[:N]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(super) device: DeviceChoice,
    /// Worker threads; all cores if not given
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
}

/// Starts the threads that the arithmetic is shared out to, one a core if not given.
///
/// # Errors
/// If the system allows none.
pub(super) fn use_threads(threads: Option<usize>) -> Result<(), Failure> {
    // Without a number, too: what starts the threads when they are needed first does so without an error to give.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    pool.build_global().map_err(|error| Failure::Limit(format!("no threads to work with: {error}")))
}

/// How a run is told of on a terminal.
pub(super) struct Bar {
    pub(super) bar: ProgressBar,
    interrupt: Arc<AtomicBool>,
}

impl Bar {
    pub(super) fn new(interrupt: Arc<AtomicBool>) -> Self {
        let style = ProgressStyle::with_template("epoch {prefix} {wide_bar} {pos}/{len} loss {msg} {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::no_length().with_style(style), interrupt }
    }
}

impl TrainingProgress for Bar {
    fn step(&mut self, epoch: usize, step: usize, steps: usize, loss: f64) {
        if step == 1 {
            self.bar.reset();
            self.bar.set_length(steps as u64);
            self.bar.set_prefix(epoch.to_string());
        }
        self.bar.set_position(step as u64);
        self.bar.set_message(format!("{loss:.4}"));
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.bar.suspend(|| talk!("{}", line(record)));
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}

/// How folds that run side by side are told of: a line an epoch.
pub(super) struct FoldLines<'a> {
    /// The recipe's.
    pub(super) name: &'a str,
    pub(super) interrupt: &'a AtomicBool,
}

impl FoldsProgress for FoldLines<'_> {
    fn epoch(&self, fold: usize, record: &EpochRecord) {
        talk!("{}, fold {fold}: {}", self.name, line(record));
    }

    fn fold(&self, report: &FoldReport) {
        let FoldReport { fold, folds, run, .. } = report;
        talk!("{}, fold {fold} of {folds}: {}", self.name, run.evaluation.line());
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}

/// An epoch in one line.
fn line(r: &EpochRecord) -> String {
    format!(
        "epoch {:3}  loss {:.4}  validation {:.4}: {:.2} % right, balanced {:.2} %  {:.1} s, {:.0} images/s",
        r.epoch,
        r.training_loss,
        r.validation_loss,
        100.0 * r.validation_accuracy,
        100.0 * r.validation_balanced_accuracy,
        r.seconds,
        r.images_a_second
    )
}

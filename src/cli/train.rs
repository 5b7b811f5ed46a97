//! `annotate train`: one recipe, one manifest, one model; or a folder of recipes, side by side.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::crossval::{self, Folds};
use super::device::DeviceChoice;
use super::signals::Signals;
use super::{Failure, print_text};
use crate::train::checkpoint::CheckpointError;
use crate::train::crossval::{CrossValidation, CrossvalError};
use crate::train::dataset;
use crate::train::fold::{FoldError, Grouping};
use crate::train::grid;
use crate::train::manifest::Split;
use crate::train::recipe::{Recipe, RecipeError};
use crate::train::run::{self, Data, Parts, RunError};
use crate::train::start::Prepared;
use crate::train::trainer::{EpochRecord, Progress, TrainError};

/// Arguments of `annotate train`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The images (see `annotate data import`)
    #[arg(long, value_name = "MANIFEST")]
    data: PathBuf,
    /// What to do with them
    #[arg(long, value_name = "R.toml", required_unless_present = "grid")]
    recipe: Option<PathBuf>,
    /// A folder of recipes: cross-validates each and prints them side by side, with published.csv from that folder
    #[arg(long, value_name = "DIR", conflicts_with = "recipe")]
    grid: Option<PathBuf>,
    /// Folder for the model, its card, the report, the measures of each step and the checkpoint; an interrupted run goes on
    /// there
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// What reports take for one independent piece of data, and what --grid keeps on one side
    #[arg(long, value_enum, default_value = "subject")]
    group: Grouping,
    /// With --grid: number of folds; not needed where the manifest has a column 'fold'
    #[arg(long, value_name = "K", conflicts_with = "recipe")]
    folds: Option<usize>,
    /// With --grid: folds at a time; as many as there are cores if not given
    #[arg(long, value_name = "J", conflicts_with = "recipe")]
    jobs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

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

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    use_threads(common.threads)?;
    if let Some(folder) = &arguments.grid {
        return run_grid(arguments, folder);
    }
    let path = arguments.recipe.as_ref().ok_or_else(|| Failure::Usage("give --recipe or --grid".into()))?;
    let recipe = Recipe::read(path, &common.set).map_err(configuration)?;
    let device = common.device.open()?;
    let data = Data::read(&arguments.data).map_err(|e| Failure::Input(e.to_string()))?;
    let prepared = Prepared::new(recipe, &common.models, &device).map_err(|e| Failure::Configuration(e.to_string()))?;
    let load = |split| dataset::load(&data.rows, split, prepared.colours()).map_err(|e| Failure::Input(e.to_string()));
    let parts = Parts { training: load(Split::Train)?, validation: load(Split::Validation)?, test: load(Split::Test)? };
    let name = &prepared.recipe.name;
    talk!("{name}: {} training and {} validation images", parts.training.len(), parts.validation.len());
    run::notes(&parts.training).iter().for_each(|note| talk!("{name}: {note}"));
    let signals = Signals::listen()?;
    let mut progress = Bar::new(Arc::clone(&signals.interrupt));
    let run = run::run(&prepared, &data, &parts, arguments.group, &arguments.out, &device, &mut progress);
    progress.bar.finish_and_clear();
    let (report, _) = run.map_err(|e| failure(e, &signals))?;
    talk!("{}", report.evaluation.line());
    talk!("{}: model of epoch {}; see report.html", arguments.out.join("model").display(), report.epoch);
    Ok(())
}

fn run_grid(arguments: &Arguments, folder: &std::path::Path) -> Result<(), Failure> {
    let refused = |e: grid::GridError| Failure::Configuration(e.to_string());
    let (paths, published) = grid::read(folder).map_err(refused)?;
    // All are read first: a misspelt setting in the last one shows now and not tomorrow.
    let recipes: Vec<Recipe> = paths
        .iter()
        .map(|path| Recipe::read(path, &arguments.common.set).map_err(configuration))
        .collect::<Result<_, _>>()?;
    let device = arguments.common.device.open()?;
    let data = Data::read(&arguments.data).map_err(|e| Failure::Input(e.to_string()))?;
    for recipe in &recipes {
        Prepared::new(recipe.clone(), &arguments.common.models, &device)
            .map_err(|e| Failure::Configuration(e.to_string()))?;
    }
    let signals = Signals::listen()?;
    let mut entries = Vec::new();
    for (path, recipe) in paths.iter().zip(recipes) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let of = CrossValidation {
            manifest: arguments.data.clone(),
            splits: None,
            recipe,
            models: arguments.common.models.clone(),
            folds: arguments.folds,
            grouping: arguments.group,
            out: arguments.out.join(&stem),
        };
        let jobs = Folds { jobs: arguments.jobs, device: &device, signals: &signals };
        let (pooled, predictions) = crossval::all_folds(&of, &jobs)?;
        entries.push(grid::Entry { recipe: stem, pooled, predictions });
    }
    let gains = grid::gains(&entries, &data.rows, arguments.group);
    let mut tables = vec![grid::table(&entries, &published).plain()];
    if entries.len() > 1 {
        tables.push(gains.table(&entries).plain());
    }
    grid::write(&arguments.out, &entries, &published, gains).map_err(|e| Failure::Output(e.to_string()))?;
    print_text(&tables.join("\n"))
}

pub(super) fn use_threads(threads: Option<usize>) -> Result<(), Failure> {
    let Some(threads) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|e| Failure::Unforeseen(e.into()))
}

pub(super) fn configuration(error: RecipeError) -> Failure {
    Failure::Configuration(error.to_string())
}

/// The exit code of a run's error.
pub(super) fn failure(error: RunError, signals: &Signals) -> Failure {
    let text = error.to_string();
    match error {
        RunError::Manifest(_) | RunError::Image(_) | RunError::Data(_) => Failure::Input(text),
        RunError::Folds(FoldError::TooFewParts { .. }) => Failure::Usage(text),
        RunError::Folds(FoldError::TooFewGroups { .. }) => Failure::Input(text),
        RunError::Start(_) => Failure::Configuration(text),
        RunError::Output(_) => Failure::Output(text),
        RunError::Model(_) => Failure::Unforeseen(anyhow::anyhow!(text)),
        RunError::Device(error) => Failure::Unforeseen(error.into()),
        RunError::Train(error) => match error {
            TrainError::TooFew { .. } | TrainError::NoValidation | TrainError::OneClass(_) | TrainError::Image(_) => {
                Failure::Input(text)
            }
            TrainError::NotFinite { .. }
            | TrainError::Start(_)
            | TrainError::Checkpoint(CheckpointError::OtherRun { .. } | CheckpointError::Broken { .. }) => {
                Failure::Configuration(text)
            }
            TrainError::Checkpoint(CheckpointError::Write(_)) | TrainError::Log(_) => Failure::Output(text),
            TrainError::Interrupted { .. } => {
                let signal = signals.received().unwrap_or(signal_hook::consts::SIGINT);
                Failure::Interrupted { signal, hint: text }
            }
            TrainError::Device(error) => Failure::Unforeseen(error.into()),
            TrainError::Unforeseen(error) => Failure::Unforeseen(error),
        },
    }
}

/// The exit code of a cross-validation's error; the message names the fold.
pub(super) fn crossval_failure(error: CrossvalError, signals: &Signals) -> Failure {
    let text = error.to_string();
    match error {
        CrossvalError::Fold { source, .. } => match failure(source, signals) {
            Failure::Input(_) => Failure::Input(text),
            Failure::Configuration(_) => Failure::Configuration(text),
            Failure::Output(_) => Failure::Output(text),
            Failure::Interrupted { signal, .. } => Failure::Interrupted { signal, hint: text },
            other => other,
        },
        CrossvalError::Run(source) => failure(source, signals),
        CrossvalError::NoFolds { .. } | CrossvalError::NoSuchFold { .. } | CrossvalError::OtherFolds { .. } => {
            Failure::Usage(text)
        }
        CrossvalError::WithoutFold { .. } | CrossvalError::EmptyFold { .. } | CrossvalError::Missing { .. } => {
            Failure::Input(text)
        }
        CrossvalError::OtherTask { .. } | CrossvalError::Broken { .. } => Failure::Configuration(text),
    }
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

impl Progress for Bar {
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

/// An epoch in one line.
pub(super) fn line(r: &EpochRecord) -> String {
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

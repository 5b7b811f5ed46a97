//! `annotate crossval`: how good a recipe is, every image judged by a model that has not seen it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::Device;
use clap::Args;

use super::Failure;
use super::signals::Signals;
use super::train::{Bar, Common, configuration, crossval_failure, line, use_threads};
use crate::train::crossval::{CrossValidation, CrossvalError, Pooled, pool, run_fold};
use crate::train::fold::Grouping;
use crate::train::manifest::Split;
use crate::train::recipe::Recipe;
use crate::train::report::Prediction;
use crate::train::trainer::{EpochRecord, Progress};

/// Arguments of `annotate crossval`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The images (see `annotate data import`); a column 'fold' is used where there is one
    #[arg(long, value_name = "MANIFEST")]
    data: PathBuf,
    /// What each fold's model is trained by
    #[arg(long, value_name = "R.toml")]
    recipe: PathBuf,
    /// Number of folds
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// Folder for the folds and the report; an interrupted cross-validation goes on there
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Do this fold alone, from 1; the fold that is the last to finish puts all together
    #[arg(long, value_name = "I", conflicts_with = "pool")]
    fold: Option<usize>,
    /// Only put finished folds together
    #[arg(long)]
    pool: bool,
    /// Folds at a time; as many as there are cores if not given
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// What stays on one side of a fold
    #[arg(long, value_enum, default_value = "subject")]
    group: Grouping,
    /// Only rows of this split take part; may be repeated
    #[arg(long, value_enum, value_name = "SPLIT")]
    split: Vec<Split>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    use_threads(common.threads)?;
    let of = CrossValidation {
        manifest: arguments.data.clone(),
        splits: Some(arguments.split.clone()).filter(|splits| !splits.is_empty()),
        recipe: Recipe::read(&arguments.recipe, &common.set).map_err(configuration)?,
        models: common.models.clone(),
        folds: arguments.folds,
        grouping: arguments.group,
        out: arguments.out.clone(),
    };
    let device = common.device.open()?;
    let signals = Signals::listen()?;
    let failed = |e| crossval_failure(e, &signals);
    if let Some(fold) = arguments.fold {
        let mut progress = Bar::new(Arc::clone(&signals.interrupt));
        let report = run_fold(&of, fold, &device, &mut progress);
        progress.bar.finish_and_clear();
        let report = report.map_err(failed)?;
        talk!("fold {fold} of {}: {}", report.folds, report.run.evaluation.line());
        // Other folds may still be running elsewhere: then there is nothing to put together yet.
        return match pool(&of) {
            Ok((pooled, _)) => tell(&pooled, &arguments.out),
            Err(CrossvalError::Missing { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        };
    }
    let pooled = match arguments.pool {
        true => pool(&of).map_err(failed)?.0,
        false => all_folds(&of, &Folds { jobs: arguments.jobs, device: &device, signals: &signals })?.0,
    };
    tell(&pooled, &arguments.out)
}

fn tell(pooled: &Pooled, out: &std::path::Path) -> Result<(), Failure> {
    pooled.notes.iter().for_each(|note| talk!("{note}"));
    talk!("{}", pooled.pooled.line());
    for measure in ["accuracy", "balanced accuracy"] {
        if let Some(m) = pooled.over_folds(measure) {
            let sd = m.sd.map_or(String::new(), |sd| format!(" ± {:.2}", 100.0 * sd));
            talk!("over {} folds: {measure} {:.2}{sd} %", m.values.len(), 100.0 * m.mean);
        }
    }
    talk!("{}: see report.html", out.display());
    Ok(())
}

/// How all folds are done.
pub(super) struct Folds<'a> {
    /// At a time.
    pub(super) jobs: Option<usize>,
    /// Where the networks run.
    pub(super) device: &'a Device,
    /// What stops them.
    pub(super) signals: &'a Signals,
}

/// Does all folds that are not finished, several at a time, and puts them together. The first error stops all.
pub(super) fn all_folds(of: &CrossValidation, how: &Folds) -> Result<(Pooled, Vec<Prediction>), Failure> {
    let failed = |e| crossval_failure(e, how.signals);
    let count = of.count().map_err(failed)?;
    let cores = rayon::current_num_threads();
    let jobs = how.jobs.unwrap_or(cores).clamp(1, count);
    let (next, stop) = (AtomicUsize::new(1), AtomicBool::new(false));
    let work = || -> Result<(), CrossvalError> {
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold > count || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let mut progress = Lines { fold, name: &of.recipe.name, stop: &stop, interrupt: &how.signals.interrupt };
            let report = run_fold(of, fold, how.device, &mut progress);
            let report = report.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            talk!("{}, fold {fold} of {count}: {}", of.recipe.name, report.run.evaluation.line());
        }
    };
    let pools: Vec<rayon::ThreadPool> = (0..jobs)
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads(cores.div_ceil(jobs)).build())
        .collect::<Result<_, _>>()
        .map_err(anyhow::Error::from)?;
    let results: Vec<Result<(), CrossvalError>> = std::thread::scope(|scope| {
        // Each job has its share of the cores; results do not depend on how many these are.
        let workers: Vec<_> = pools.iter().map(|pool| scope.spawn(|| pool.install(work))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    // One that was stopped because of another says less than that other.
    let (stopped, errors): (Vec<_>, Vec<_>) = results
        .into_iter()
        .filter_map(Result::err)
        .map(failed)
        .partition(|failure| matches!(failure, Failure::Interrupted { .. }));
    match errors.into_iter().chain(stopped).next() {
        Some(failure) => Err(failure),
        None => pool(of).map_err(failed),
    }
}

/// How folds that run side by side are told of: a line an epoch.
struct Lines<'a> {
    fold: usize,
    name: &'a str,
    stop: &'a AtomicBool,
    interrupt: &'a AtomicBool,
}

impl Progress for Lines<'_> {
    fn step(&mut self, _: usize, _: usize, _: usize, _: f64) {}

    fn epoch(&mut self, record: &EpochRecord) {
        talk!("{}, fold {}: {}", self.name, self.fold, line(record));
    }

    fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.interrupt.load(Ordering::Relaxed)
    }
}

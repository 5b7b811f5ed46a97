//! All folds of a cross-validation on one machine, several at a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::Device;

use super::crossval::{CrossValidation, CrossvalError, FoldReport, Pooled, pool, run_fold};
use super::progress::{EpochRecord, TrainingProgress};
use super::report::Prediction;
use super::run::RunError;
use super::trainer::TrainError;

/// Told, from several threads, how folds that run side by side get on.
pub trait FoldsProgress: Sync {
    /// An epoch of `fold` ended.
    fn epoch(&self, fold: usize, record: &EpochRecord);
    /// A fold is finished, or was before.
    fn fold(&self, report: &FoldReport);
    /// Whether to stop.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// Does all folds that are not finished, `jobs` at a time (as many as there are cores if not given), and puts them together.
/// Each job has its share of the cores; results do not depend on how many these are.
///
/// # Errors
/// As [`run_fold`] and [`pool`]. The first error stops all folds and is the one returned.
pub fn run_all(
    of: &CrossValidation,
    jobs: Option<usize>,
    device: &Device,
    progress: &dyn FoldsProgress,
) -> Result<(Pooled, Vec<Prediction>), CrossvalError> {
    let count = of.count()?;
    let cores = rayon::current_num_threads();
    let jobs = jobs.unwrap_or(cores).clamp(1, count);
    let (next, stop) = (AtomicUsize::new(1), AtomicBool::new(false));
    let work = || -> Result<(), CrossvalError> {
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold > count || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let report = run_fold(of, fold, device, &mut OneFold { fold, stop: &stop, progress });
            progress.fold(&report.inspect_err(|_| stop.store(true, Ordering::Relaxed))?);
        }
    };
    let pools: Vec<rayon::ThreadPool> = (0..jobs)
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads(cores.div_ceil(jobs)).build())
        .collect::<Result<_, _>>()?;
    let results: Vec<Result<(), CrossvalError>> = std::thread::scope(|scope| {
        let workers: Vec<_> = pools.iter().map(|pool| scope.spawn(|| pool.install(work))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    // A fold that was stopped because of another says less than that other.
    let (stopped, errors): (Vec<_>, Vec<_>) = results.into_iter().filter_map(Result::err).partition(was_stopped);
    match errors.into_iter().chain(stopped).next() {
        Some(error) => Err(error),
        None => pool(of),
    }
}

fn was_stopped(error: &CrossvalError) -> bool {
    matches!(error, CrossvalError::Fold { source: RunError::Train(TrainError::Interrupted { .. }), .. })
}

/// One of several folds as its run sees it.
struct OneFold<'a> {
    fold: usize,
    stop: &'a AtomicBool,
    progress: &'a dyn FoldsProgress,
}

impl TrainingProgress for OneFold<'_> {
    fn step(&mut self, _: usize, _: usize, _: usize, _: f64) {}

    fn epoch(&mut self, record: &EpochRecord) {
        self.progress.epoch(self.fold, record);
    }

    fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.progress.is_interrupted()
    }
}

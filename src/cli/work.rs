//! `annotate work`: one shard of a plan.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;

use super::Failure;
use super::exit::advice_on_decoding;
use super::limits::limit_memory;
use super::progress::CorpusProgress;
use super::shared::{self, ExecutionArguments};
use super::signals::StopSignals;
use crate::corpus::plan::CorpusPlan;
use crate::corpus::results;
use crate::corpus::work::{Shard, ShardWork, UnitState, work};
use crate::model::registry;
use crate::pipeline::Execution;
use crate::platform::cores;

/// Arguments of `annotate work`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The plan (see `annotate plan`)
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Which share of the plan: the I-th of N, counted from 0
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,
    /// Folder for the parts; several may write into it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Units worked on at a time; one a core if not given, one on a card
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    execution: ExecutionArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.execution.init_logging();
    let options = shared::options(None, Some(&arguments.execution), Default::default())?;
    let plan = CorpusPlan::read(&arguments.plan)?;
    let device = options.device.open()?;
    let cores = cores();
    let jobs = arguments.jobs.map_or(if device.is_cpu() { cores } else { 1 }, usize::from);
    let threads = if options.threads > 0 { options.threads } else { cores.div_ceil(jobs) };
    if options.max_memory.is_some() || device.is_cpu() {
        limit_memory(options.max_memory, jobs)?;
    }
    let model = registry::open(&plan.terms.model_name, &device)
        .and_then(|model| model.with_precision(plan.terms.settings.precision))?;
    let detectors = shared::detectors(plan.terms.settings.detector.name, plan.terms.detector_model.as_deref())?;
    let signals = StopSignals::listen()?;
    // A worker that was killed may have been the last to write here.
    results::remove_leftovers(&arguments.out);
    let execution = Execution {
        threads,
        batch_size: options.batch_size,
        interrupt: Arc::clone(&signals.interrupt),
        patience: options.patience(),
    };
    let drain = || signals.is_draining();
    let shard_work = ShardWork {
        parts: &arguments.out,
        model: &model,
        detectors: &detectors,
        execution,
        jobs,
        drain: &drain,
        advice: advice_on_decoding,
    };
    let units = plan.lines.len().saturating_sub(arguments.shard.index).div_ceil(arguments.shard.of);
    let progress = CorpusProgress::new(arguments.execution.progress(&options), units, 0);
    let [done, skipped, failed, temporary] = [const { AtomicUsize::new(0) }; 4];
    let result = work(&plan, arguments.shard, &shard_work, &|unit, state| {
        let count = match state {
            UnitState::Done => &done,
            UnitState::Skipped => &skipped,
            UnitState::Failed(_) => &failed,
            UnitState::Temporary { .. } => &temporary,
            UnitState::Interrupted => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
        progress.begin(0).end(matches!(state, UnitState::Done | UnitState::Skipped));
        match state {
            UnitState::Failed(outcome) => progress.say(&Failure::Input(outcome.reason.clone()).to_string()),
            UnitState::Temporary { reason } => progress.say(&Failure::Temporary(reason.clone()).to_string()),
            _ => tracing::info!("{} ({}): {state:?}", unit.path.display(), unit.range()),
        }
    });
    progress.finish();
    result?;
    let [done, skipped, failed, temporary] = [done, skipped, failed, temporary].map(AtomicUsize::into_inner);
    if !arguments.execution.quiet {
        talk!("{done} units done, {skipped} done before, {failed} failed, {temporary} to be tried again");
    }
    match signals.received() {
        Some(signal) => {
            Err(Failure::Interrupted { signal, hint: "interrupted; run the same command again to go on".into() })
        }
        None if temporary > 0 => Err(Failure::Temporary(format!("{temporary} units could not be done now; try again"))),
        None => Ok(()),
    }
}

//! `annotate batch`: a corpus on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use signal_hook::consts::SIGINT;

use super::Failure;
use super::limits::limit_memory;
use super::output::{self, Outputs};
use super::progress::CorpusProgress;
use super::settings::Options;
use super::shared::{self, AnnotationArguments, ExecutionArguments, TierArguments, corpus_failure};
use super::signals::Steps;
use crate::corpus::inputs::{Inputs, Item};
use crate::corpus::journal::{Entry, Journal, Stamp, Terms, Written, now};
use crate::corpus::lock::Lock;
use crate::corpus::path::printable;
use crate::corpus::{CorpusError, InShort, Outcome, inputs, report, workers};
use crate::eaf::BundleOptions;
use crate::files::WriteError;
use crate::model::Model;
use crate::pipeline::decode::Source;
use crate::pipeline::detect::Detectors;
use crate::pipeline::{AnnotateError, Event, Execution, annotate};
use crate::timeline::Tool;
use crate::write::Format;

/// Arguments of `annotate batch`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folders (with all below them), patterns, lists of names (.txt, .lst, .list; '-' for standard input; a name a line, or
    /// with zero bytes between them) and videos
    #[arg(required = true, value_name = "DIR|LIST")]
    inputs: Vec<PathBuf>,
    /// Folder for the results, which mirror the corpus: sub/a.mp4 becomes sub/a.mp4.json
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
    /// Formats to write
    #[arg(short, long = "format", value_name = "FORMAT", value_delimiter = ',', default_value = "json")]
    formats: Vec<Format>,
    /// Videos worked on at a time; one a core if not given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Do what is done again
    #[arg(long)]
    again: bool,
    /// Read every video to see whether it is still the same, not only those whose size or times differ
    #[arg(long)]
    checksum: bool,
    #[command(flatten)]
    tiers: TierArguments,
    #[command(flatten)]
    annotation: AnnotationArguments,
    #[command(flatten)]
    execution: ExecutionArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    arguments.execution.talk();
    let mut options = shared::options(Some(&arguments.annotation), Some(&arguments.execution), Default::default())?;
    let bundle = arguments.tiers.bundle()?;
    let device = options.device.open()?;
    let cores = available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(if device.is_cpu() { cores } else { 1 }, usize::from);
    let threads = if options.threads > 0 { options.threads } else { cores.div_ceil(jobs) };
    if device.is_cpu() || options.max_memory.is_some() {
        limit_memory(options.max_memory, jobs)?;
    }
    let model = shared::open_model(&mut options, &device)?;
    let detectors = shared::open_detectors(&mut options)?;
    let signals = Steps::listen().map_err(anyhow::Error::from)?;
    let found = inputs::find(&arguments.inputs, &arguments.output_dir).map_err(corpus_failure)?;
    check(&found, &arguments.formats)?;
    let _lock = Lock::take(&arguments.output_dir).map_err(corpus_failure)?;
    let terms = Terms {
        tool: Tool::default(),
        model: model.identity(),
        settings: json!({"annotation": options.annotation, "tiers": tiers(&arguments)}),
        formats: arguments.formats.iter().map(|format| format.name().into()).collect(),
    };
    let journal = Journal::open(&arguments.output_dir, &terms, found.items.len())
        .map_err(|e| corpus_failure(CorpusError::from(e)))?;
    let batch = Batch {
        arguments: &arguments,
        options: &options,
        model: &model,
        detectors,
        bundle,
        journal,
        signals,
        jobs,
        threads,
    };
    batch.run(&found, &terms)
}

/// What changes ELAN's files, where there are any.
fn tiers(arguments: &Arguments) -> Option<Value> {
    let has_tiers = arguments.formats.contains(&Format::Eaf);
    has_tiers.then(|| json!([arguments.tiers.tiers, arguments.tiers.gap_frames]))
}

/// Whether there is something to do and no result would take the place of a report.
pub(super) fn check(found: &Inputs, formats: &[Format]) -> Result<(), Failure> {
    if found.items.is_empty() && found.refused.is_empty() {
        return Err(Failure::Input(
            "no video is there; folders are searched for files with a video's extension".into(),
        ));
    }
    let extensions: Vec<&str> = formats.iter().map(|format| format.extension()).collect();
    match found.items.iter().find_map(|item| report::is_reserved(&item.output, &extensions)) {
        Some(name) => Err(Failure::Usage(format!("{}: the corpus's own report has this name", printable(&name)))),
        None => Ok(()),
    }
}

/// What is the same for every video.
struct Batch<'a> {
    arguments: &'a Arguments,
    options: &'a Options,
    model: &'a Model,
    detectors: Detectors,
    bundle: BundleOptions,
    journal: Journal,
    signals: Steps,
    jobs: usize,
    threads: usize,
}

impl Batch<'_> {
    fn run(&self, found: &Inputs, terms: &Terms) -> Result<(), Failure> {
        let folder = &self.arguments.output_dir;
        output::remove_leftovers(folder);
        let started = Instant::now();
        let drain = || self.signals.is_draining();
        let done: Vec<Option<Outcome>> = match self.arguments.again {
            true => vec![None; found.items.len()],
            false => {
                let check = |item: &Item| {
                    Ok::<_, Failure>(self.journal.done(&item.output, &item.path, self.arguments.checksum))
                };
                workers::share(&found.items, self.jobs, &drain, &check)?.into_iter().map(Option::flatten).collect()
            }
        };
        let open: Vec<&Item> =
            found.items.iter().zip(&done).filter(|(_, done)| done.is_none()).map(|(item, _)| item).collect();
        let skipped = found.items.len() - open.len();
        let size = |item: &Item| std::fs::metadata(&item.path).map_or(0, |metadata| metadata.len());
        let progress = CorpusProgress::new(
            self.arguments.execution.progress(self.options),
            open.len(),
            open.iter().map(|i| size(i)).sum(),
        );
        let worked = workers::share(&open, self.jobs, &drain, &|item| self.item(item, &progress));
        progress.finish();
        let mut worked = worked?.into_iter().map(Option::flatten);
        let refused = found.refused.iter().map(|(path, reason)| Outcome {
            path: path.clone(),
            code: 3,
            reason: format!("{}: {reason}", printable(path)),
            result: None,
        });
        let outcomes = found.items.iter().zip(done);
        let outcomes = outcomes
            .map(|(item, done)| done.or_else(|| worked.next().flatten()).unwrap_or_else(|| self.left_off(item)));
        let outcomes: Vec<Outcome> = outcomes.chain(refused).collect();
        report::write(folder, terms, &outcomes).map_err(|e| Failure::Output(e.to_string()))?;
        self.end(found, &outcomes, skipped, started)
    }

    /// What became of a video that was not reached, or not finished, before the run was interrupted.
    fn left_off(&self, item: &Item) -> Outcome {
        let signal = self.signals.received().unwrap_or(SIGINT);
        let reason = format!("{}: not finished when the run was interrupted", printable(&item.path));
        Outcome { path: item.path.clone(), code: 128 + signal as u8, reason, result: None }
    }

    /// Annotates one video; nothing comes back where it was left off.
    fn item(&self, item: &Item, progress: &CorpusProgress) -> Result<Option<Outcome>, Failure> {
        let started = Instant::now();
        let stamp = Stamp::of(&item.path).ok();
        let outcome = match self.annotate(item, stamp.as_ref().map_or(0, |stamp| stamp.size), progress)? {
            Some(outcome) => outcome,
            None => return Ok(None),
        };
        let noted = self.journal.item(&item.output, stamp, &outcome, started.elapsed().as_secs_f64());
        noted.map_err(|e| Failure::Output(e.to_string()))?;
        Ok(Some(outcome))
    }

    fn annotate(&self, item: &Item, bytes: u64, progress: &CorpusProgress) -> Result<Option<Outcome>, Failure> {
        let failed = |code, reason| Ok(Some(Outcome { path: item.path.clone(), code, reason, result: None }));
        let mut part = progress.begin(bytes);
        let folder = &self.arguments.output_dir;
        let targets = match output::mirrored(folder, item, &self.arguments.formats) {
            Ok(targets) => targets,
            Err(reason) => {
                part.end(false);
                return failed(3, reason);
            }
        };
        let mut outputs = Outputs::open(targets, false, &self.bundle)?;
        let interrupt = Arc::clone(&self.signals.interrupt);
        let execution = Execution {
            threads: self.threads,
            batch_size: self.options.batch_size,
            interrupt,
            patience: self.options.patience(),
        };
        let source = Source::File(item.path.clone());
        let result =
            annotate(&source, self.model, &self.detectors, &self.options.annotation, &execution, &mut |event| {
                match event {
                    Event::Opened { media, frames } => {
                        part.opened(frames);
                        outputs.begin(media, &self.model.identity(), &self.options.annotation)
                    }
                    Event::Frame(row) => {
                        part.frame();
                        outputs.row(row)
                    }
                }
            });
        if self.signals.is_interrupted() {
            return Ok(None);
        }
        let timeline = match result {
            Ok(timeline) => timeline,
            Err(AnnotateError::Decode(error)) => {
                part.end(false);
                return failed(error.exit_code(), error.to_string());
            }
            Err(error @ AnnotateError::Panicked { .. }) => {
                part.end(false);
                return failed(
                    1,
                    format!("{}: {error} (this should not happen: please report it)", printable(&item.path)),
                );
            }
            Err(error) => return Err(shared::failure(error)),
        };
        let written = outputs.finish(&timeline)?;
        let written: Result<Vec<Written>, _> = written.iter().map(|path| Written::of(folder, path)).collect();
        let written =
            written.map_err(|source| Failure::Output(WriteError::Io { path: folder.clone(), source }.to_string()))?;
        part.end(timeline.complete);
        Ok(Some(outcome(&item.path, &timeline, written)))
    }

    /// Says how it went, to the person and in the log.
    fn end(&self, found: &Inputs, outcomes: &[Outcome], skipped: usize, started: Instant) -> Result<(), Failure> {
        let folder = self.arguments.output_dir.display();
        let all = found.items.len() + found.refused.len();
        let complete = outcomes.iter().filter(|outcome| outcome.code == 0).count();
        let left_off = outcomes.iter().filter(|outcome| outcome.code > 128).count();
        let failed = outcomes.len() - complete - left_off;
        let result = match self.signals.received() {
            Some(signal) => Err(Failure::Interrupted {
                signal,
                hint: format!(
                    "{folder}: interrupted with {complete} of {all} videos complete; run the same command again to go on"
                ),
            }),
            None if failed > 0 => Err(Failure::SomeFailed(format!(
                "{failed} of {all} videos are not complete; {folder}/failures.json says why"
            ))),
            None => Ok(()),
        };
        let code = result.as_ref().err().map_or(0, super::exit_code);
        self.journal
            .note(&Entry::End { time: now(), code, complete, failed })
            .map_err(|e| Failure::Output(e.to_string()))?;
        if !self.arguments.execution.quiet {
            let seconds =
                outcomes.iter().filter_map(|o| Some(o.result.as_ref()?.duration_s)).fold(0.0, |sum, s| sum + s);
            let left_off = if left_off > 0 { format!(", {left_off} left off") } else { String::new() };
            anstream::eprintln!(
                "{complete} of {all} videos complete ({skipped} were before), {failed} not{left_off}, {} files no videos; {:.2} h of \
                 video, {:.1} s -> {folder}/index.html",
                found.ignored,
                seconds / 3600.0,
                started.elapsed().as_secs_f64(),
            );
        }
        result
    }
}

/// What became of a video that was annotated.
pub(super) fn outcome(path: &Path, timeline: &crate::timeline::Timeline, written: Vec<Written>) -> Outcome {
    let why = timeline.summary.incomplete_because.join("; ");
    let reason =
        if timeline.complete { String::new() } else { format!("{}: the result is partial: {why}", printable(path)) };
    let code = if timeline.complete { 0 } else { 4 };
    Outcome { path: path.into(), code, reason, result: Some(InShort::of(timeline, written)) }
}

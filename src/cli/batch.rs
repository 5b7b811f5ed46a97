//! `annotate batch`: a corpus on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::calibration::{CalibrationArguments, calibrated};
use super::limits::limit_memory;
use super::progress::CorpusProgress;
use super::range::RangeArguments;
use super::settings::Options;
use super::shared::{self, AnnotationArguments, ExecutionArguments, ReplaceArguments, TierArguments};
use super::signals::Steps;
use super::{Failure, continued, exit_code, review};
use crate::corpus::inputs::{Inputs, Item};
use crate::corpus::journal::{Done, Entry, Fingerprint, Journal, Stamp, Terms, now};
use crate::corpus::lock::Lock;
use crate::corpus::moved::{Moves, OfVideo};
use crate::corpus::path::{printable, with_suffix};
use crate::corpus::report::Report;
use crate::corpus::{Outcome, inputs, moved, report, results, workers};
use crate::eaf::BundleOptions;
use crate::files::WriteError;
use crate::model::Model;
use crate::overlay::{OverlayError, overlay};
use crate::pipeline::calibrate::Calibration;
use crate::pipeline::decode::Source;
use crate::pipeline::detect::Detectors;
use crate::pipeline::{AnnotateError, Event, Execution, annotate, decode_options};
use crate::platform::signals::SIGINT;
use crate::sink::{Beginning, FanOut, Written};
use crate::timeline::{Timeline, Tool};
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
    #[command(flatten)]
    replace: ReplaceArguments,
    #[command(flatten)]
    range: RangeArguments,
    #[command(flatten)]
    calibration: CalibrationArguments,
    /// Also write every video once more with boxes, labels and strips drawn into it: sub/a.mp4 becomes sub/a.mp4.overlay.mp4
    #[arg(long)]
    overlay: bool,
    /// Also write a review page for every video: sub/a.mp4 becomes sub/a.mp4.html; needs the format json
    #[arg(long)]
    review: bool,
    /// Go on where the memory did not suffice
    #[arg(long, hide = true)]
    memory_ended: bool,
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
    let mut options =
        shared::options(Some(&arguments.annotation), Some(&arguments.execution), arguments.range.settings())?;
    let existing = arguments.replace.existing().confined();
    let bundle = BundleOptions { existing, ..arguments.tiers.bundle()? };
    let device = options.device.open()?;
    let cores = available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(if device.is_cpu() { cores } else { 1 }, usize::from);
    let threads = if options.threads > 0 { options.threads } else { cores.div_ceil(jobs) };
    if device.is_cpu() || options.max_memory.is_some() {
        limit_memory(options.max_memory, jobs)?;
    }
    let model = shared::open_model(&mut options, &device)?;
    let detectors = shared::open_detectors(&mut options)?;
    options.annotation.neutral = arguments.calibration.neutral(options.annotation.neutral.clone())?;
    let signals = Steps::listen()?;
    if arguments.review && !arguments.formats.contains(&Format::Json) {
        return Err(Failure::Usage("--review needs the format json, which corrections are applied to".into()));
    }
    let is_continued = arguments.memory_ended;
    continued::keep_list(&arguments.inputs, is_continued)
        .map_err(|error| Failure::Input(format!("standard input: {error}")))?;
    let found = inputs::find(&arguments.inputs, &arguments.output_dir)?;
    check(&found, &arguments.formats)?;
    let _lock = Lock::take(&arguments.output_dir)?;
    let terms = Terms {
        tool: Tool::default(),
        model: model.identity(),
        settings: settings(&options, &arguments)?,
        formats: arguments.formats.iter().map(|format| format.name().into()).collect(),
    };
    let journal = Journal::open(&arguments.output_dir, &terms, found.items.len(), is_continued)?;
    // What fails without any video at work would fail again and again.
    if !is_continued || journal.has_begun_any() {
        continued::arrange().map_err(anyhow::Error::from)?;
    }
    let known = arguments.calibration.known(&model)?;
    let batch = Batch {
        known,
        arguments: &arguments,
        options: &options,
        model: &model,
        detectors,
        bundle,
        journal,
        signals,
        jobs,
        threads,
        moves: Mutex::default(),
    };
    batch.run(&found, &terms)
}

/// The effective settings and whatever else changes what is written. What is not asked for does not appear, so that results
/// of before an option was there count as done.
fn settings(options: &Options, arguments: &Arguments) -> Result<Value, Failure> {
    let mut settings = json!({"annotation": options.annotation, "tiers": tiers(arguments)});
    if arguments.calibration.is_on() {
        settings["calibration"] = arguments.calibration.terms()?;
    }
    if arguments.overlay {
        settings["overlay"] = true.into();
    }
    if arguments.review {
        settings["review"] = true.into();
    }
    Ok(settings)
}

/// What changes ELAN's files, where there are any.
fn tiers(arguments: &Arguments) -> Option<Value> {
    let has_tiers = arguments.formats.contains(&Format::Eaf);
    has_tiers.then(|| json!([arguments.tiers.tiers, arguments.tiers.gap_frames]))
}

/// Whether there is something to do and no result would take the place of a report.
pub(super) fn check(found: &Inputs, formats: &[Format]) -> Result<(), Failure> {
    if found.items.is_empty() && found.refused.is_empty() {
        tell_left_out(found);
        return Err(Failure::Input("no video is there; folders are searched for files that are videos".into()));
    }
    let names = found.items.iter().flat_map(|item| results::names(item, formats).into_iter().zip(formats));
    let is_reserved = |(name, format): &(PathBuf, &Format)| {
        report::NAMES.iter().any(|reserved| name == Path::new(reserved))
            || (name.starts_with(results::TABLES) && **format != Format::Parquet)
    };
    match names.into_iter().find(is_reserved) {
        Some((name, _)) => {
            Err(Failure::Usage(format!("{}: the corpus's own reports and tables have this name", printable(&name))))
        }
        None => Ok(()),
    }
}

/// Says which files in folders were not taken for videos, and why.
pub(super) fn tell_left_out(found: &Inputs) {
    for (path, reason) in found.left_out.iter().take(NAMED) {
        talk!("left out: {}: {reason}", printable(path));
    }
    if found.left_out.len() > NAMED {
        talk!("left out: {} more files", found.left_out.len() - NAMED);
    }
}

/// What is the same for every video.
struct Batch<'a> {
    arguments: &'a Arguments,
    options: &'a Options,
    model: &'a Model,
    detectors: Detectors,
    known: Option<Calibration>,
    bundle: BundleOptions,
    journal: Journal,
    signals: Steps,
    jobs: usize,
    threads: usize,
    /// What became of the labels of videos that another model had annotated, by where their results are.
    moves: Mutex<BTreeMap<PathBuf, Moves>>,
}

impl Batch<'_> {
    fn run(&self, found: &Inputs, terms: &Terms) -> Result<(), Failure> {
        let folder = &self.arguments.output_dir;
        results::remove_leftovers(folder);
        let started = Instant::now();
        let drain = || self.signals.is_draining();
        self.fail_what_takes_all_memory(found)?;
        let check = |item: &Item| Ok::<_, Failure>(self.done(item));
        let done: Vec<Option<Done>> =
            workers::share(&found.items, self.jobs, &drain, &check)?.into_iter().map(Option::flatten).collect();
        let touched: Vec<PathBuf> = done.iter().flatten().flat_map(|done| done.touched.clone()).collect();
        let open: Vec<&Item> =
            found.items.iter().zip(&done).filter(|(_, done)| done.is_none()).map(|(item, _)| item).collect();
        let skipped = found.items.len() - open.len();
        self.tell_other_models(&open);
        let size = |item: &Item| std::fs::metadata(&item.path).map_or(0, |metadata| metadata.len());
        let progress = CorpusProgress::new(
            self.arguments.execution.progress(self.options),
            open.len(),
            open.iter().map(|i| size(i)).sum(),
        );
        let worked = self.work(&open, &drain, &progress);
        progress.finish();
        let mut worked = worked?.into_iter();
        let refused = found.refused.iter();
        let refused = refused.map(|(path, reason)| Outcome::failed(path, 3, &format!("{}: {reason}", printable(path))));
        let outcomes = found.items.iter().zip(done).map(|(item, done)| {
            let outcome = done.map(|done| done.outcome).or_else(|| worked.next().flatten());
            outcome.unwrap_or_else(|| self.left_off(item))
        });
        let outcomes: Vec<Outcome> = outcomes.chain(refused).collect();
        let report = Report { terms, outcomes: &outcomes, touched: &touched, left_out: &found.left_out };
        let mut kept = report::write(folder, &report, self.bundle.existing)?;
        kept.extend(self.write_moves(terms)?);
        if !self.arguments.execution.quiet {
            tell_touched(&touched);
            tell_left_out(found);
        }
        let ending = self.end(found, &outcomes, skipped, started);
        match kept.into_iter().next() {
            Some(error) if ending.is_ok() => Err(error.into()),
            _ => ending,
        }
    }

    /// Says which videos are annotated again as another model had done so.
    fn tell_other_models(&self, open: &[&Item]) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for model in open.iter().filter_map(|item| self.journal.other_model(&item.output)) {
            *counts.entry(&model.name).or_default() += 1;
        }
        for (name, count) in counts.into_iter().filter(|_| !self.arguments.execution.quiet) {
            talk!("{count} of {} videos to do were annotated with another model, '{name}', before", open.len());
        }
    }

    /// Writes which labels another model changed, where one did, in this run or one that it goes on from.
    fn write_moves(&self, terms: &Terms) -> Result<Vec<WriteError>, Failure> {
        let folder = &self.arguments.output_dir;
        let mut all: BTreeMap<PathBuf, Moves> =
            self.journal.moves().map(|(output, moves)| (output.to_path_buf(), moves.clone())).collect();
        all.append(&mut self.moves.lock().unwrap_or_else(PoisonError::into_inner));
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let of_video = |(output, moves): (PathBuf, Moves)| {
            let page = Some(with_suffix(&output, ".html")).filter(|page| folder.join(page).is_file());
            OfVideo { output, page, moves }
        };
        let videos: Vec<OfVideo> = all.into_iter().map(of_video).collect();
        let kept = moved::write(folder, &terms.model, &videos, self.bundle.existing)?;
        if !self.arguments.execution.quiet {
            talk!("{}: which labels the other model changed", folder.join(moved::PAGE).display());
        }
        Ok(kept)
    }

    /// Notes what became of the labels of a video that another model had annotated.
    fn note_moves(&self, item: &Item, before: &Timeline, after: &Timeline) -> Result<(), Failure> {
        let moves = Moves::between(before, after);
        self.journal.moved(&item.output, &moves)?;
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).insert(item.output.clone(), moves);
        Ok(())
    }

    /// Works on the videos, first and one at a time on those that were worked on when the memory did not suffice.
    fn work(
        &self,
        open: &[&Item],
        drain: &(dyn Fn() -> bool + Sync),
        progress: &CorpusProgress,
    ) -> Result<Vec<Option<Outcome>>, Failure> {
        let share = |items: &[&Item], jobs: usize| {
            workers::share(items, jobs, drain, &|item| self.item(item, jobs == 1, progress))
        };
        let is_suspect = |item: &&Item| self.journal.begun(&item.output).is_some();
        let (suspects, others): (Vec<&Item>, Vec<&Item>) = open.iter().copied().partition(|item| is_suspect(item));
        let (tried, worked) = (share(&suspects, 1)?, share(&others, self.jobs)?);
        let (mut tried, mut worked) = (tried.into_iter().map(Option::flatten), worked.into_iter().map(Option::flatten));
        let of = |item: &&Item| if is_suspect(item) { tried.next().flatten() } else { worked.next().flatten() };
        Ok(open.iter().map(of).collect())
    }

    /// Notes what took all memory although nothing else was worked on.
    fn fail_what_takes_all_memory(&self, found: &Inputs) -> Result<(), Failure> {
        for item in found.items.iter().filter(|item| self.journal.begun(&item.output) == Some(true)) {
            let outcome = without_memory(item);
            talk!("annotate: {}; going on with the others", outcome.reason);
            self.journal.item(&item.output, Stamp::of(&item.path).ok(), &outcome, 0.0)?;
        }
        Ok(())
    }

    /// What is known of a video that is done. With `--overwrite`, results that somebody has touched are made again.
    fn done(&self, item: &Item) -> Option<Done> {
        let of_this_run = match self.journal.begun(&item.output) {
            Some(true) => Some(without_memory(item)),
            _ => self.journal.settled(&item.output).cloned(),
        };
        if let Some(outcome) = of_this_run {
            return Some(Done { outcome: Outcome { path: item.path.clone(), ..outcome }, touched: Vec::new() });
        }
        if self.arguments.again {
            return None;
        }
        let mut wanted = results::names(item, &self.arguments.formats);
        wanted.extend(self.arguments.overlay.then(|| overlay_name(item)));
        wanted.extend(self.arguments.review.then(|| page_name(item)));
        let done = self.journal.done(&item.output, &item.path, &wanted, self.arguments.checksum)?;
        let is_open = self.arguments.replace.overwrite && !(done.touched.is_empty() && done.outcome.kept.is_empty());
        (!is_open).then_some(done)
    }

    /// What became of a video that was not reached, or not finished, before the run was interrupted.
    fn left_off(&self, item: &Item) -> Outcome {
        let signal = self.signals.received().unwrap_or(SIGINT);
        let reason = format!("{}: not finished when the run was interrupted", printable(&item.path));
        Outcome::failed(&item.path, 128 + signal as u8, &reason)
    }

    /// Annotates one video; nothing comes back where it was left off.
    fn item(&self, item: &Item, alone: bool, progress: &CorpusProgress) -> Result<Option<Outcome>, Failure> {
        let started = Instant::now();
        self.journal.start(&item.output, alone)?;
        let stamp = Stamp::of(&item.path).ok();
        let outcome = match self.annotate(item, stamp.as_ref().map_or(0, |stamp| stamp.size), progress)? {
            Some(outcome) => outcome,
            None => return Ok(None),
        };
        self.journal.item(&item.output, stamp, &outcome, started.elapsed().as_secs_f64())?;
        Ok(Some(outcome))
    }

    fn annotate(&self, item: &Item, bytes: u64, progress: &CorpusProgress) -> Result<Option<Outcome>, Failure> {
        let failed = |code, reason: String| Ok(Some(Outcome::failed(&item.path, code, &reason)));
        let mut part = progress.begin(bytes);
        let folder = &self.arguments.output_dir;
        let targets = match results::mirrored(folder, item, &self.arguments.formats) {
            Ok(targets) => targets,
            Err(reason) => {
                part.end(false);
                return failed(3, reason);
            }
        };
        let mut outputs = FanOut::open_free(&targets, &self.bundle)?;
        if outputs.is_empty() {
            // Every place is taken: there is nothing to work for.
            part.end(false);
            let reasons: Vec<String> = outputs.kept().iter().map(ToString::to_string).collect();
            return failed(6, reasons.join("; "));
        }
        let interrupt = Arc::clone(&self.signals.interrupt);
        let execution = Execution {
            threads: self.threads,
            batch_size: self.options.batch_size,
            interrupt,
            patience: self.options.patience(),
        };
        let source = Source::File(item.path.clone());
        let (identity, recorded) =
            (self.model.identity(), serde_json::to_value(&self.options.annotation).unwrap_or_default());
        let result =
            annotate(&source, self.model, &self.detectors, &self.options.annotation, &execution, &mut |event| {
                match event {
                    Event::Opened { media, frames } => {
                        part.opened(frames);
                        outputs.begin(&Beginning { media, model: &identity, settings: &recorded })
                    }
                    Event::Frame(frame) => {
                        part.frame();
                        outputs.frame(frame)
                    }
                }
            });
        if self.signals.is_interrupted() {
            return Ok(None);
        }
        let mut timeline = match result {
            Ok(timeline) => timeline,
            Err(AnnotateError::Decode(error)) => {
                part.end(false);
                return failed(error.exit_code(), error.to_string());
            }
            // What concerns all videos.
            Err(error @ (AnnotateError::Output(_) | AnnotateError::Setting(_))) => return Err(error.into()),
            Err(error) => {
                part.end(false);
                let failure = Failure::from(error);
                return failed(exit_code(&failure), format!("{}: {failure}", printable(&item.path)));
            }
        };
        if self.arguments.calibration.is_on() {
            calibrated(&mut timeline, &self.options.annotation, self.known.as_ref());
        }
        // Read before it is replaced.
        let before = self.journal.of_other_model(&item.output);
        let before = before.and_then(|path| Timeline::read(&folder.join(path)).ok());
        let Written { paths: mut written, mut kept } = outputs.end(&timeline)?;
        if let Some(before) = before {
            self.note_moves(item, &before, &timeline)?;
        }
        if self.arguments.overlay {
            let path = folder.join(overlay_name(item));
            let decoding = decode_options(&self.options.annotation, &execution);
            match overlay(&source, &timeline, decoding, &path, self.bundle.existing) {
                Ok(()) => written.push(path),
                Err(OverlayError::Output(error)) if error.is_taken() => kept.push(error),
                Err(_) if self.signals.is_interrupted() => return Ok(None),
                Err(error @ (OverlayError::Decode(_) | OverlayError::Encode { .. })) => {
                    kept.push(WriteError::Io { path, source: std::io::Error::other(error.to_string()) });
                }
                Err(error) => return Err(error.into()),
            }
        }
        if self.arguments.review {
            let (labels, path) = (folder.join(with_suffix(&item.output, ".json")), folder.join(page_name(item)));
            match review::plain_page(&timeline, &labels, &path, self.bundle.existing) {
                Ok(()) => written.push(path),
                Err(error) if error.is_taken() => kept.push(error),
                Err(error) => return Err(error.into()),
            }
        }
        let written: Result<Vec<_>, _> = written.iter().map(|path| Fingerprint::of(folder, path)).collect();
        let written = written.map_err(|source| WriteError::Io { path: folder.clone(), source })?;
        let outcome = Outcome::of(&item.path, &timeline, written, &kept, folder);
        part.end(outcome.code == 0);
        Ok(Some(outcome))
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
        self.journal.note(&Entry::End { time: now(), code, complete, failed })?;
        if !self.arguments.execution.quiet {
            let seconds =
                outcomes.iter().filter_map(|o| Some(o.result.as_ref()?.duration_s)).fold(0.0, |sum, s| sum + s);
            let left_off = if left_off > 0 { format!(", {left_off} left off") } else { String::new() };
            talk!(
                "{complete} of {all} videos complete ({skipped} were before), {failed} not{left_off}, {} files left out; {:.2} h of \
                 video, {:.1} s -> {folder}/index.html",
                found.left_out.len(),
                seconds / 3600.0,
                started.elapsed().as_secs_f64(),
            );
        }
        result
    }
}

/// What becomes of a video for which all memory does not suffice.
fn without_memory(item: &Item) -> Outcome {
    let reason = format!("{}: the memory does not suffice for it (see --max-memory)", printable(&item.path));
    Outcome::failed(&item.path, 7, &reason)
}

/// What the review page of a video is called, relative to the output folder.
fn page_name(item: &Item) -> PathBuf {
    with_suffix(&item.output, ".html")
}

/// What the video with everything drawn into it is called, relative to the output folder.
fn overlay_name(item: &Item) -> PathBuf {
    with_suffix(&item.output, ".overlay.mp4")
}

/// Files named one by one; of more of them the number is said.
const NAMED: usize = 10;

/// Says which results stay as somebody has changed them.
pub(super) fn tell_touched(touched: &[PathBuf]) {
    if touched.is_empty() {
        return;
    }
    let names: Vec<String> = touched.iter().take(NAMED).map(|path| printable(path)).collect();
    let more = if touched.len() > NAMED { format!(" and {} more", touched.len() - NAMED) } else { String::new() };
    talk!(
        "{} results were changed since they were written and stay as they are (--overwrite replaces them): {}{more}",
        touched.len(),
        names.join(", ")
    );
}

//! A corpus on this machine: one model, several videos at a time. A bad video stops nothing, and a run that was stopped goes
//! on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::inputs::{Inputs, Item};
use super::journal::{Done, FileStamp, Journal, JournalEntry, Terms, WrittenFile, now};
use super::moved::{self, MovedVideo, Moves};
use super::path::{printable, with_suffix};
use super::report::{self, Report};
use super::{CorpusError, DecodeAdvice, Outcome, Verdict, results, workers};
use crate::eaf::BundleOptions;
use crate::files::{self, Lock, WriteError};
use crate::model::Model;
use crate::overlay::{OverlayError, overlay};
use crate::pipeline::calibrate::{CalibrationSource, calibrate};
use crate::pipeline::decode::{DecodeError, Patience, Source};
use crate::pipeline::detect::Detectors;
use crate::pipeline::{AnnotateError, Event, Execution, Settings, annotate, decode_options};
use crate::review::write_plain_page;
use crate::sink::{Beginning, FanOut, Written};
use crate::timeline::{Timeline, json_value};
use crate::write::Format;

/// How the videos of a corpus are annotated, and into which folder.
pub struct Batch<'a> {
    /// The folder of the results, which mirror the corpus.
    pub folder: &'a Path,
    /// What all results have in common; a video that was done under other terms is done again.
    pub terms: &'a Terms,
    /// The formats to write.
    pub formats: &'a [Format],
    /// Whether every video is written once more with everything drawn into it.
    pub draws_overlay: bool,
    /// Whether every video gets a review page; needs [`Format::Json`], which corrections are applied to.
    pub writes_pages: bool,
    /// Where the signers' faces at rest are known from; none where labels are not calibrated.
    pub calibration: Option<&'a CalibrationSource>,
    /// The model.
    pub model: &'a Model,
    /// The face detectors.
    pub detectors: &'a Detectors,
    /// What changes the result.
    pub settings: &'a Settings,
    /// How ELAN's documents are written, and what becomes of files that exist.
    pub elan: &'a BundleOptions,
    /// Whether videos that are done are done again.
    pub again: bool,
    /// Whether a video is done again if somebody has touched its results.
    pub overwrite: bool,
    /// Whether every video is read to see that it is still the same, and not only those whose size or times differ.
    pub by_content: bool,
    /// Videos at a time.
    pub jobs: usize,
    /// Threads that classify, a video.
    pub threads: usize,
    /// Most faces classified together.
    pub batch_size: usize,
    /// How long a source may keep silent; zero for ever.
    pub stall_timeout: Duration,
    /// Set to leave off the videos at work.
    pub interrupt: Arc<AtomicBool>,
    /// What a person can do about a video that could not be decoded.
    pub advice: DecodeAdvice,
}

/// Told by several threads how a batch gets on; says when it should end.
pub trait BatchWatch: Sync {
    /// Work on so many videos of so many bytes together begins.
    fn begin(&self, videos: usize, bytes: u64);
    /// So many of the videos to work on were annotated with another model of this name before.
    fn other_model(&self, _name: &str, _videos: usize, _of: usize) {}
    /// Work on a video of so many bytes begins.
    fn video(&self, bytes: u64) -> Box<dyn VideoWatch + '_>;
    /// All work has ended.
    fn end(&self);
    /// A video was given up as all memory does not suffice for it.
    fn lacks_memory(&self, _outcome: &Outcome) {}
    /// The signal after which no further video is started.
    fn signal(&self) -> Option<u8> {
        None
    }
}

/// Told how the work on one video gets on.
pub trait VideoWatch {
    /// The video has so many frames, if its container states it.
    fn opened(&mut self, frames: Option<u64>);
    /// A frame is finished.
    fn frame(&mut self);
    /// The work on the video has ended, completely or not.
    fn end(&mut self, is_complete: bool);
}

/// What a batch has done.
#[derive(Debug)]
pub struct BatchResult {
    /// What became of each input, in the inputs' order, those that were refused at the end.
    pub outcomes: Vec<Outcome>,
    /// How many of them were done before.
    pub done_before: usize,
    /// Results that somebody has changed since they were written, relative to the folder.
    pub touched: Vec<PathBuf>,
    /// Reports that could not be written because somebody has touched those that are there.
    pub kept: Vec<WriteError>,
    /// Whether another model had annotated some of the inputs before: [`moved::PAGE`] then says which labels it changed.
    pub has_moves: bool,
}

impl BatchResult {
    /// How many inputs are complete, not complete, and left off.
    pub fn counts(&self) -> [usize; 3] {
        counts(&self.outcomes)
    }
}

fn counts(outcomes: &[Outcome]) -> [usize; 3] {
    let complete = outcomes.iter().filter(|outcome| outcome.verdict.is_complete()).count();
    let left_off = outcomes.iter().filter(|outcome| outcome.verdict.is_left_off()).count();
    [complete, outcomes.len() - complete - left_off, left_off]
}

/// What the video with everything drawn into it is called, relative to the output folder.
fn overlay_name(item: &Item) -> PathBuf {
    with_suffix(&item.output, ".overlay.mp4")
}

/// What the review page of a video is called, relative to the output folder.
fn page_name(item: &Item) -> PathBuf {
    with_suffix(&item.output, ".html")
}

impl<'a> Batch<'a> {
    /// Keeps other runs out of the folder and notes that this one begins, or goes on where the memory did not suffice
    /// (`is_continued`).
    ///
    /// # Errors
    /// If the folder cannot be written, or another run works in it.
    pub fn open(
        &'a self,
        found: &'a Inputs,
        watch: &'a dyn BatchWatch,
        is_continued: bool,
    ) -> Result<OpenBatch<'a>, CorpusError> {
        let lock = Lock::take(self.folder)?;
        let journal = Journal::open(self.folder, self.terms, found.items.len(), is_continued)?;
        Ok(OpenBatch { batch: self, found, journal, watch, is_continued, moves: Mutex::default(), _lock: lock })
    }
}

/// A batch whose folder no other run can work in.
pub struct OpenBatch<'a> {
    batch: &'a Batch<'a>,
    found: &'a Inputs,
    journal: Journal,
    watch: &'a dyn BatchWatch,
    is_continued: bool,
    /// What became of the labels of videos that another model had annotated, by where their results are.
    moves: Mutex<BTreeMap<PathBuf, Moves>>,
    _lock: Lock,
}

/// What becomes of a video for which all memory does not suffice.
fn without_memory(item: &Item, advice: DecodeAdvice) -> Outcome {
    let name = printable(&item.path);
    let hint = advice(&DecodeError::OutOfMemory { name: name.clone() });
    Outcome::failed(&item.path, Verdict::Limit, &format!("{name}: the memory does not suffice for it{hint}"))
}

/// The number in the log that says how a run ended.
pub fn ending(failed: usize, signal: Option<u8>) -> u8 {
    /// Some inputs are not complete.
    const SOME_FAILED: u8 = 8;
    match signal {
        Some(signal) => Verdict::LeftOff { signal }.number(),
        None if failed > 0 => SOME_FAILED,
        None => Verdict::Complete.number(),
    }
}

impl OpenBatch<'_> {
    /// Whether a run that goes on where the memory does not suffice for this one would get further. What fails without any video at
    /// work would fail again and again.
    pub fn can_get_further(&self) -> bool {
        !self.is_continued || self.journal.has_begun_any()
    }

    /// Annotates what is not done, and writes the reports.
    ///
    /// # Errors
    /// If the folder cannot be written, or a stage fails for a reason that concerns all videos. What is wrong with a video is no
    /// error.
    pub fn run(self) -> Result<BatchResult, CorpusError> {
        let Batch { folder, terms, elan, .. } = *self.batch;
        results::remove_leftovers(folder);
        self.fail_what_takes_all_memory()?;
        let done = self.done()?;
        let touched: Vec<PathBuf> = done.iter().flatten().flat_map(|done| done.touched.clone()).collect();
        let done_before = done.iter().flatten().count();
        let outcomes = self.work(done)?;
        let refused = self.found.refused.iter().map(|(path, _)| files::public_path(path).to_path_buf());
        let corpus_paths: Vec<PathBuf> =
            self.found.items.iter().map(|item| item.output.clone()).chain(refused).collect();
        let report = Report {
            terms,
            outcomes: &outcomes,
            corpus_paths: &corpus_paths,
            touched: &touched,
            left_out: &self.found.left_out,
        };
        let mut kept = report::write(folder, &report, elan.existing)?;
        let moved = self.moved();
        if !moved.is_empty() {
            kept.extend(moved::write(folder, &terms.model, &moved, elan.existing)?);
        }
        let [complete, failed, _] = counts(&outcomes);
        self.journal.note(&JournalEntry::End {
            time: now(),
            code: ending(failed, self.watch.signal()),
            complete,
            failed,
        })?;
        Ok(BatchResult { outcomes, done_before, touched, kept, has_moves: !moved.is_empty() })
    }

    /// Which labels another model changed, in this run and those that it goes on from.
    fn moved(&self) -> Vec<MovedVideo> {
        let before = self.journal.moves().map(|(output, moves)| (output.to_path_buf(), moves.clone()));
        let mut all: BTreeMap<PathBuf, Moves> = before.collect();
        all.append(&mut self.moves.lock().unwrap_or_else(PoisonError::into_inner));
        let of_video = |(output, moves): (PathBuf, Moves)| {
            let page = Some(with_suffix(&output, ".html")).filter(|page| self.batch.folder.join(page).is_file());
            MovedVideo { output, page, moves }
        };
        all.into_iter().map(of_video).collect()
    }

    /// Notes what became of the labels of a video that another model had annotated.
    fn note_moves(&self, item: &Item, before: &Timeline, after: &Timeline) -> Result<(), CorpusError> {
        let moves = Moves::between(before, after);
        self.journal.moved(&item.output, &moves)?;
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).insert(item.output.clone(), moves);
        Ok(())
    }

    /// Says which videos are annotated again as another model had done so.
    fn tell_other_models(&self, open: &[&Item]) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for model in open.iter().filter_map(|item| self.journal.other_model(&item.output)) {
            *counts.entry(&model.name).or_default() += 1;
        }
        counts.into_iter().for_each(|(name, count)| self.watch.other_model(name, count, open.len()));
    }

    /// Notes what took all memory although nothing else was worked on.
    fn fail_what_takes_all_memory(&self) -> Result<(), CorpusError> {
        for item in self.found.items.iter().filter(|item| self.journal.begun(&item.output) == Some(true)) {
            let outcome = without_memory(item, self.batch.advice);
            self.watch.lacks_memory(&outcome);
            self.journal.item(&item.output, FileStamp::of(&item.path).ok(), &outcome, 0.0)?;
        }
        Ok(())
    }

    fn is_draining(&self) -> bool {
        self.watch.signal().is_some()
    }

    fn is_interrupted(&self) -> bool {
        self.batch.interrupt.load(Ordering::Relaxed)
    }

    /// What is known of each video that is done.
    fn done(&self) -> Result<Vec<Option<Done>>, CorpusError> {
        let check = |item: &Item| Ok::<_, CorpusError>(self.done_before(item));
        let done = workers::share(&self.found.items, self.batch.jobs, &|| self.is_draining(), &check)?;
        Ok(done.into_iter().map(Option::flatten).collect())
    }

    fn done_before(&self, item: &Item) -> Option<Done> {
        let of_this_run = match self.journal.begun(&item.output) {
            Some(true) => Some(without_memory(item, self.batch.advice)),
            _ => self.journal.settled(&item.output).cloned(),
        };
        if let Some(outcome) = of_this_run {
            return Some(Done { outcome: Outcome { path: item.path.clone(), ..outcome }, touched: Vec::new() });
        }
        if self.batch.again {
            return None;
        }
        let mut wanted = results::names(item, self.batch.formats);
        wanted.extend(self.batch.draws_overlay.then(|| overlay_name(item)));
        wanted.extend(self.batch.writes_pages.then(|| page_name(item)));
        let done = self.journal.done(&item.output, &item.path, &wanted, self.batch.by_content)?;
        let is_open = self.batch.overwrite && !(done.touched.is_empty() && done.outcome.kept.is_empty());
        (!is_open).then_some(done)
    }

    /// Works on the videos that are not done; gives what became of all.
    fn work(&self, done: Vec<Option<Done>>) -> Result<Vec<Outcome>, CorpusError> {
        let all = self.found.items.iter().zip(&done);
        let open: Vec<&Item> = all.filter(|(_, done)| done.is_none()).map(|(item, _)| item).collect();
        let size = |item: &&Item| std::fs::metadata(&item.path).map_or(0, |metadata| metadata.len());
        self.tell_other_models(&open);
        self.watch.begin(open.len(), open.iter().map(size).sum());
        let worked = self.worked(&open);
        self.watch.end();
        let mut worked = worked?.into_iter();
        let outcomes = self.found.items.iter().zip(done).map(|(item, done)| {
            let outcome = done.map(|done| done.outcome).or_else(|| worked.next().flatten());
            outcome.unwrap_or_else(|| self.left_off(item))
        });
        let refused = self.found.refused.iter();
        let refused = refused
            .map(|(path, reason)| Outcome::failed(path, Verdict::Refused, &format!("{}: {reason}", printable(path))));
        Ok(outcomes.chain(refused).collect())
    }

    /// Works on the videos, first and one at a time on those that were worked on when the memory did not suffice.
    fn worked(&self, open: &[&Item]) -> Result<Vec<Option<Outcome>>, CorpusError> {
        let share = |items: &[&Item], jobs: usize| {
            workers::share(items, jobs, &|| self.is_draining(), &|item| self.item(item, jobs == 1))
        };
        let is_suspect = |item: &&Item| self.journal.begun(&item.output).is_some();
        let (suspects, others): (Vec<&Item>, Vec<&Item>) = open.iter().copied().partition(|item| is_suspect(item));
        let (tried, worked) = (share(&suspects, 1)?, share(&others, self.batch.jobs)?);
        let (mut tried, mut worked) = (tried.into_iter().map(Option::flatten), worked.into_iter().map(Option::flatten));
        let of = |item: &&Item| if is_suspect(item) { tried.next().flatten() } else { worked.next().flatten() };
        Ok(open.iter().map(of).collect())
    }

    /// What became of a video that was not reached, or not finished, before the run was interrupted.
    fn left_off(&self, item: &Item) -> Outcome {
        const CTRL_C: u8 = 2;
        let verdict = Verdict::LeftOff { signal: self.watch.signal().unwrap_or(CTRL_C) };
        let reason = format!("{}: not finished when the run was interrupted", printable(&item.path));
        Outcome::failed(&item.path, verdict, &reason)
    }

    /// Annotates one video; nothing comes back where it was left off.
    fn item(&self, item: &Item, alone: bool) -> Result<Option<Outcome>, CorpusError> {
        let started = Instant::now();
        self.journal.start(&item.output, alone)?;
        let stamp = FileStamp::of(&item.path).ok();
        let mut watch = self.watch.video(stamp.as_ref().map_or(0, |stamp| stamp.size));
        let Some(outcome) = self.annotated(item, watch.as_mut())? else { return Ok(None) };
        watch.end(outcome.verdict.is_complete());
        self.journal.item(&item.output, stamp, &outcome, started.elapsed().as_secs_f64())?;
        Ok(Some(outcome))
    }

    fn annotated(&self, item: &Item, watch: &mut dyn VideoWatch) -> Result<Option<Outcome>, CorpusError> {
        let failed = |verdict, reason: String| Ok(Some(Outcome::failed(&item.path, verdict, &reason)));
        let folder = self.batch.folder;
        let targets = match results::mirrored(folder, item, self.batch.formats) {
            Ok(targets) => targets,
            Err(reason) => return failed(Verdict::Refused, reason),
        };
        let mut outputs = FanOut::open_free(&targets, self.batch.elan)?;
        if outputs.is_empty() {
            // No result could be written: there is nothing to work for.
            let reasons: Vec<String> = outputs.kept().iter().map(ToString::to_string).collect();
            return failed(Verdict::NotWritten, reasons.join("; "));
        }
        let source = Source::File(item.path.clone());
        let execution = self.execution();
        let mut timeline = match self.timeline(&source, &execution, &mut outputs, watch) {
            _ if self.is_interrupted() => return Ok(None),
            Ok(timeline) => timeline,
            Err(AnnotateError::Decode(error)) => {
                return Ok(Some(Outcome::not_decoded(&item.path, &error, self.batch.advice)));
            }
            // What concerns all videos.
            Err(error @ (AnnotateError::Output(_) | AnnotateError::Setting(_))) => return Err(error.into()),
            Err(error) => {
                let (verdict, name) = (Verdict::of_annotation(&error), printable(&item.path));
                let hint =
                    if verdict == Verdict::Unforeseen { " (this should not happen: please report it)" } else { "" };
                return failed(verdict, format!("{name}: {error}{hint}"));
            }
        };
        if let Some(source) = self.batch.calibration {
            calibrate(&mut timeline, self.batch.settings, source);
        }
        // Before it is replaced, so that a run that is killed loses nothing.
        let before = self.journal.of_other_model(&item.output);
        let before = before.and_then(|path| Timeline::read(&folder.join(path)).ok());
        if let Some(before) = before {
            self.note_moves(item, &before, &timeline)?;
        }
        let mut written = outputs.end(&timeline)?;
        if self.batch.draws_overlay && !self.draw(item, &source, &timeline, &execution, &mut written)? {
            return Ok(None);
        }
        if self.batch.writes_pages {
            self.write_page(item, &timeline, &mut written)?;
        }
        let fingerprints: Result<Vec<_>, _> = written.paths.iter().map(|path| WrittenFile::of(folder, path)).collect();
        let fingerprints = fingerprints.map_err(|source| WriteError::Io { path: folder.into(), source })?;
        Ok(Some(Outcome::of(&item.path, &timeline, fingerprints, &written.kept, folder)))
    }

    fn execution(&self) -> Execution {
        Execution {
            threads: self.batch.threads,
            batch_size: self.batch.batch_size,
            interrupt: Arc::clone(&self.batch.interrupt),
            patience: Arc::new(Patience::new(self.batch.stall_timeout)),
        }
    }

    fn timeline(
        &self,
        source: &Source,
        execution: &Execution,
        outputs: &mut FanOut,
        watch: &mut dyn VideoWatch,
    ) -> Result<Timeline, AnnotateError> {
        let Batch { model, detectors, settings, .. } = *self.batch;
        let (identity, recorded) = (model.identity(), json_value(settings).unwrap_or_default());
        annotate(source, model, detectors, settings, execution, &mut |event| match event {
            Event::Opened { media, frames } => {
                watch.opened(frames);
                outputs.begin(&Beginning { media, model: &identity, settings: &recorded })
            }
            Event::Frame(frame) => {
                watch.frame();
                outputs.frame(frame)
            }
        })
    }

    /// Writes the page on which people correct the annotation.
    fn write_page(&self, item: &Item, timeline: &Timeline, written: &mut Written) -> Result<(), WriteError> {
        let folder = self.batch.folder;
        let (labels, path) = (folder.join(with_suffix(&item.output, ".json")), folder.join(page_name(item)));
        match write_plain_page(timeline, &labels, &path, self.batch.elan.existing) {
            Ok(()) => written.paths.push(path),
            Err(error) if error.is_taken() => written.kept.push(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes the video once more with everything drawn into it; whether it was finished before the run was interrupted.
    fn draw(
        &self,
        item: &Item,
        source: &Source,
        timeline: &Timeline,
        execution: &Execution,
        written: &mut Written,
    ) -> Result<bool, CorpusError> {
        let path = self.batch.folder.join(overlay_name(item));
        let decoding = decode_options(self.batch.settings, execution);
        match overlay(source, timeline, decoding, &path, self.batch.elan.existing) {
            Ok(()) => written.paths.push(path),
            Err(OverlayError::Output(error)) if error.is_taken() => written.kept.push(error),
            Err(_) if self.is_interrupted() => return Ok(false),
            Err(error @ (OverlayError::Decode(_) | OverlayError::Encode { .. })) => {
                written.kept.push(WriteError::Io { path, source: std::io::Error::other(error.to_string()) });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

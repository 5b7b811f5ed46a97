//! `annotate batch`: a corpus on this machine.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::calibration::CalibrationArguments;
use super::exit::advice_on_decoding;
use super::limits::limit_memory;
use super::progress::{CorpusProgress, PartProgress, ProgressChoice};
use super::range::RangeArguments;
use super::settings::Options;
use super::shared::{self, AnnotationArguments, ExecutionArguments, ReplaceArguments, TierArguments};
use super::signals::StopSignals;
use super::{Failure, continued};
use crate::corpus::batch::{Batch, BatchResult, BatchWatch, VideoWatch};
use crate::corpus::inputs::Inputs;
use crate::corpus::journal::Terms;
use crate::corpus::path::printable;
use crate::corpus::{CorpusError, Outcome, inputs, moved, results};
use crate::eaf::BundleOptions;
use crate::pipeline::Settings;
use crate::platform::cores;
use crate::timeline::{Tool, json_value};
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

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.execution.init_logging();
    let mut options =
        shared::options(Some(&arguments.annotation), Some(&arguments.execution), arguments.range.settings())?;
    let existing = arguments.replace.existing().confined();
    let elan = BundleOptions { existing, ..arguments.tiers.bundle()? };
    let device = options.device.open()?;
    let cores = cores();
    let jobs = arguments.jobs.map_or(if device.is_cpu() { cores } else { 1 }, usize::from);
    if device.is_cpu() || options.max_memory.is_some() {
        limit_memory(options.max_memory, jobs)?;
    }
    let model = shared::open_model(&mut options, &device)?;
    let detectors = shared::open_detectors(&mut options)?;
    options.annotation.neutral = arguments.calibration.neutral(options.annotation.neutral.clone())?;
    let signals = StopSignals::listen()?;
    if arguments.review && !arguments.formats.contains(&Format::Json) {
        return Err(Failure::Usage("--review needs the format json, which corrections are applied to".into()));
    }
    let is_continued = arguments.memory_ended;
    continued::keep_list(&arguments.inputs, is_continued)
        .map_err(|error| Failure::Input(format!("standard input: {error}")))?;
    let found = inputs::find(&arguments.inputs, &arguments.output_dir)?;
    check(&found, &arguments.formats)?;
    let terms = Terms {
        tool: Tool::default(),
        model: model.identity(),
        model_config_sha256: model.config().effective_sha256(),
        settings: settings(&options, arguments)?,
        formats: arguments.formats.iter().map(|format| format.name().into()).collect(),
    };
    let calibration = arguments.calibration.source(&model)?;
    let batch = Batch {
        folder: &arguments.output_dir,
        terms: &terms,
        formats: &arguments.formats,
        draws_overlay: arguments.overlay,
        writes_pages: arguments.review,
        calibration: calibration.as_ref(),
        model: &model,
        detectors: &detectors,
        settings: &options.annotation,
        elan: &elan,
        again: arguments.again,
        overwrite: arguments.replace.overwrite,
        by_content: arguments.checksum,
        jobs,
        threads: if options.threads > 0 { options.threads } else { cores.div_ceil(jobs) },
        batch_size: options.batch_size,
        stall_timeout: options.stall_timeout(),
        interrupt: Arc::clone(&signals.interrupt),
        advice: advice_on_decoding,
    };
    let started = Instant::now();
    let watch = Watch {
        choice: arguments.execution.progress(&options),
        is_quiet: arguments.execution.quiet,
        progress: OnceLock::new(),
        signals: &signals,
    };
    let run = batch.open(&found, &watch, is_continued)?;
    if run.can_get_further() {
        continued::arrange().map_err(anyhow::Error::from)?;
    }
    let result = run.run()?;
    if !arguments.execution.quiet {
        print_touched(&result.touched);
        print_left_out(&found);
        print_result(arguments, &found, &result, started);
        if result.has_moves {
            talk!("{}: which labels the other model changed", arguments.output_dir.join(moved::PAGE).display());
        }
    }
    ending(&arguments.output_dir, result, &signals)
}

/// The effective settings and whatever else changes what is written. What is not asked for does not appear, so that results
/// of before an option was there count as done.
fn settings(options: &Options, arguments: &Arguments) -> Result<Value, Failure> {
    let mut settings = plain_settings(&options.annotation, &arguments.tiers, &arguments.formats)?;
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

/// What changes every result, whoever writes it: what `annotate collect` has put together is done for `annotate batch`.
pub(super) fn plain_settings(
    annotation: &Settings,
    tiers: &TierArguments,
    formats: &[Format],
) -> Result<Value, Failure> {
    let annotation = json_value(annotation).map_err(anyhow::Error::from)?;
    Ok(json!({"annotation": annotation, "tiers": tiers.terms(formats)}))
}

/// Whether there is something to do and no result would overwrite a report. Where nothing is a video, says what was
/// left out.
pub(super) fn check(found: &Inputs, formats: &[Format]) -> Result<(), Failure> {
    results::check(found, formats).map_err(|error| {
        if matches!(error, CorpusError::NoVideo) {
            print_left_out(found);
        }
        error.into()
    })
}

/// Shows a person how a batch gets on, and ends it where they ask for it.
struct Watch<'a> {
    choice: ProgressChoice,
    is_quiet: bool,
    progress: OnceLock<CorpusProgress>,
    signals: &'a StopSignals,
}

impl BatchWatch for Watch<'_> {
    fn begin(&self, videos: usize, bytes: u64) {
        self.progress.get_or_init(|| CorpusProgress::new(self.choice, videos, bytes));
    }

    fn other_model(&self, name: &str, videos: usize, of: usize) {
        if !self.is_quiet {
            talk!("{videos} of {of} videos to do were annotated with another model, '{name}', before");
        }
    }

    fn video(&self, bytes: u64) -> Box<dyn VideoWatch + '_> {
        let progress = self.progress.get_or_init(|| CorpusProgress::new(ProgressChoice::None, 0, 0));
        Box::new(progress.begin(bytes))
    }

    fn end(&self) {
        if let Some(progress) = self.progress.get() {
            progress.finish();
        }
    }

    fn lacks_memory(&self, outcome: &Outcome) {
        talk!("annotate: {}; going on with the others", outcome.reason);
    }

    fn signal(&self) -> Option<u8> {
        self.signals.received().and_then(|signal| u8::try_from(signal).ok())
    }
}

impl VideoWatch for PartProgress<'_> {
    fn opened(&mut self, frames: Option<u64>) {
        PartProgress::opened(self, frames);
    }

    fn frame(&mut self) {
        PartProgress::frame(self);
    }

    fn end(&mut self, is_complete: bool) {
        PartProgress::end(self, is_complete);
    }
}

/// Says in a line how it went.
fn print_result(arguments: &Arguments, found: &Inputs, result: &BatchResult, started: Instant) {
    let [complete, failed, left_off] = result.counts();
    let seconds =
        result.outcomes.iter().filter_map(|o| Some(o.result.as_ref()?.duration_s)).fold(0.0, |sum, s| sum + s);
    let left_off = if left_off > 0 { format!(", {left_off} left off") } else { String::new() };
    talk!(
        "{complete} of {} videos complete ({} were complete before), {failed} not{left_off}, {} files left out; {:.2} h of video, \
         {:.1} s -> {}/index.html",
        result.outcomes.len(),
        result.done_before,
        found.left_out.len(),
        seconds / 3600.0,
        started.elapsed().as_secs_f64(),
        arguments.output_dir.display(),
    );
}

/// Complete, or why not.
fn ending(folder: &Path, result: BatchResult, signals: &StopSignals) -> Result<(), Failure> {
    let ([complete, failed, _], all, folder) = (result.counts(), result.outcomes.len(), folder.display());
    if let Some(signal) = signals.received() {
        let hint = format!(
            "{folder}: interrupted with {complete} of {all} videos complete; run the same command again to go on"
        );
        return Err(Failure::Interrupted { signal, hint });
    }
    if failed > 0 {
        return Err(Failure::SomeFailed(format!(
            "{failed} of {all} videos are not complete; {folder}/failures.json says why"
        )));
    }
    match result.kept.into_iter().next() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Says which files in folders were not taken for videos, and why.
pub(super) fn print_left_out(found: &Inputs) {
    for (path, reason) in found.left_out.iter().take(NAMED) {
        talk!("left out: {}: {reason}", printable(path));
    }
    if found.left_out.len() > NAMED {
        talk!("left out: {} more files", found.left_out.len() - NAMED);
    }
}

/// Files named one by one; of more of them the number is said.
const NAMED: usize = 10;

/// Says which results stay as somebody has changed them.
pub(super) fn print_touched(touched: &[PathBuf]) {
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

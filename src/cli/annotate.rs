//! `annotate INPUT...`: the main job.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::calibration::CalibrationArguments;
use super::limits::{Watchdog, limit_memory};
use super::output;
use super::progress::Progress;
use super::range::RangeArguments;
use super::settings::Options;
use super::shared::{self, AnnotationArguments, ExecutionArguments, ReplaceArguments, TierArguments};
use super::signals::Signals;
use super::strip;
use crate::eaf::BundleOptions;
use crate::files::{self, WriteError};
use crate::model::Model;
use crate::overlay::{self, overlay};
use crate::pipeline::calibrate::{Calibration, CalibrationSource, calibrate};
use crate::pipeline::decode::{DecodeError, Source, without_secrets};
use crate::pipeline::detect::Detectors;
use crate::pipeline::{AnnotateError, Event, Execution, annotate, decode_options};
use crate::platform::cores;
use crate::sink::{Beginning, FanOut, Target, Written};
use crate::timeline::{Expression, Timeline, json_value};
use crate::write::Format;

/// Arguments of the main job.
fn formats_help() -> String {
    let names = Format::ALL.map(Format::name).join(", ");
    format!(
        "Formats to write into the output folder, named after the input: {names}. json if neither -o nor -f is given"
    )
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Videos: files, named pipes, or '-' for standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// File to write, its format by its extension ('-' for JSON on standard output, '-.jsonl' and so on for others); may
    /// be repeated. Without -o and -f: JSON in the output folder, named after the input
    #[arg(short, long = "output", value_name = "FILE", allow_hyphen_values = true)]
    outputs: Vec<PathBuf>,
    #[arg(short, long = "format", value_name = "FORMAT", value_delimiter = ',', help = formats_help())]
    formats: Vec<Format>,
    /// Folder for -f; the current one if not given
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
    #[command(flatten)]
    tiers: TierArguments,
    #[command(flatten)]
    annotation: AnnotationArguments,
    #[command(flatten)]
    execution: ExecutionArguments,
    /// Add the .eaf's tiers to the content of this one, which stays as it is unless -o names it too
    #[arg(long, value_name = "EXISTING.eaf")]
    merge_into: Option<PathBuf>,
    /// Write the video once more with boxes, labels and strips drawn into it, and brows, eyes, mouth and the head's axis where the
    /// face was measured (.mp4, .mov or .mkv)
    #[arg(long, value_name = "FILE")]
    overlay: Option<PathBuf>,
    #[command(flatten)]
    range: RangeArguments,
    #[command(flatten)]
    calibration: CalibrationArguments,
    /// Accept network addresses as inputs
    #[arg(long)]
    allow_url: bool,
    /// Print a summary of the run as one JSON object a video on standard output
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Every file that is read and no output may replace. The document that is merged into is replaced where -o names it.
    fn all_inputs(&self, options: &Options) -> Vec<PathBuf> {
        let calibration = self.calibration.file().map(Path::to_owned);
        let preset = Some(PathBuf::from(&self.tiers.tiers));
        self.inputs.iter().cloned().chain(calibration).chain(preset).chain(options.detector_model.clone()).collect()
    }

    fn source(&self, input: &Path) -> Result<Source, Failure> {
        if input == Path::new("-") {
            return Ok(Source::Stdin);
        }
        match input.to_str() {
            Some(text) if text.contains("://") && !input.exists() => match self.allow_url {
                true => Ok(Source::Url(text.into())),
                false => Err(Failure::Input(format!("{}: network addresses need --allow-url", without_secrets(text)))),
            },
            _ => Ok(Source::File(input.into())),
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    arguments.execution.init_logging();
    let range = arguments.range.settings();
    let mut options = shared::options(Some(&arguments.annotation), Some(&arguments.execution), range)?;
    let inputs = arguments.all_inputs(&options);
    check_overlay(&arguments, &inputs)?;
    let targets = output::plan(
        &arguments.inputs,
        &inputs,
        &arguments.outputs,
        &arguments.formats,
        arguments.output_dir.as_deref(),
    )?;
    let device = options.device.open()?;
    let signals = Signals::listen()?;
    if device.is_cpu() || options.max_memory.is_some() {
        limit_memory(options.max_memory, 1)?;
    }
    let model = shared::open_model(&mut options, &device)?.alone();
    let detectors = shared::open_detectors(&mut options)?;
    let elan = elan_options(&arguments, targets.iter().flatten().any(|target| target.format == Format::Eaf))?;
    let calibration = arguments.calibration.source(&model)?;
    options.annotation.neutral = arguments.calibration.neutral(options.annotation.neutral.clone())?;
    let run = CommonTerms {
        arguments: &arguments,
        options: &options,
        model: &model,
        detectors: &detectors,
        calibration,
        elan,
        signals,
    };
    let mut worst: Option<Failure> = None;
    for (input, targets) in arguments.inputs.iter().zip(targets) {
        let result = arguments.source(input).and_then(|source| run.one(&source, targets));
        let Err(failure) = result else { continue };
        // One bad file stops nothing, as long as there are others to do.
        let goes_on =
            matches!(failure, Failure::Input(_) | Failure::Partial(_) | Failure::Limit(_) | Failure::Temporary(_));
        if !goes_on || arguments.inputs.len() == 1 {
            return Err(failure);
        }
        talk!("annotate: {failure}");
        worst = Some(failure);
    }
    match worst {
        Some(_) => Err(Failure::SomeFailed(format!("not all of the {} inputs are complete", arguments.inputs.len()))),
        None => Ok(()),
    }
}

/// What is the same for every input.
struct CommonTerms<'a> {
    arguments: &'a Arguments,
    options: &'a Options,
    model: &'a Model,
    detectors: &'a Detectors,
    calibration: Option<CalibrationSource>,
    elan: BundleOptions,
    signals: Signals,
}

impl CommonTerms<'_> {
    /// Annotates one video and writes all that was asked for.
    fn one(&self, source: &Source, targets: Vec<Target>) -> Result<(), Failure> {
        let Self { arguments, options, model, detectors, .. } = self;
        let started = Instant::now();
        let threads = match options.threads {
            0 => cores(),
            threads => threads,
        };
        let execution = Execution {
            threads,
            batch_size: options.batch_size,
            interrupt: Arc::clone(&self.signals.interrupt),
            patience: options.patience(),
        };
        let _watchdog = Watchdog::watch(source.name(), Arc::clone(&execution.patience))?;
        // Calibration changes labels once more.
        let open = if self.calibration.is_some() { FanOut::open_at_end } else { FanOut::open };
        let mut outputs = open(&targets, &self.elan)?;
        let (identity, recorded) = (model.identity(), json_value(&options.annotation).unwrap_or_default());
        let choice = arguments.execution.progress(options);
        let mut progress = Progress::None;
        let result = annotate(source, model, detectors, &options.annotation, &execution, &mut |event| match event {
            Event::Opened { media, frames } => {
                progress = Progress::new(choice, &media.path, frames);
                outputs.begin(&Beginning { media, model: &identity, settings: &recorded })
            }
            Event::Frame(frame) => {
                progress.frame(frame);
                outputs.frame(frame)
            }
        });
        progress.finish();
        let mut timeline = match (result, self.signals.received()) {
            (Ok(timeline), _) => timeline,
            (Err(error @ AnnotateError::Decode(DecodeError::Interrupted { .. })), Some(signal)) => {
                let hint = format!("{error} before the first frame; nothing was written. Run the same command again");
                return Err(Failure::Interrupted { signal, hint });
            }
            (Err(error), _) => return Err(error.into()),
        };
        if let Some(source) = &self.calibration {
            let calibration = calibrate(&mut timeline, &options.annotation, source);
            if !arguments.execution.quiet {
                talk!("{}", effect(&calibration).trim_end());
            }
        }
        let Written { paths: mut written, mut kept } = outputs.end(&timeline)?;
        if let Some(path) = &arguments.overlay {
            let decoding = decode_options(&options.annotation, &execution);
            overlay(source, &timeline, decoding, path, arguments.replace.existing())?;
            written.push(path.clone());
        }
        if !arguments.execution.quiet {
            strip::show(&timeline);
        }
        let seconds = started.elapsed().as_secs_f64();
        let media_s = timeline.media.duration_s;
        let files = written.iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
        if !arguments.execution.quiet {
            talk!(
                "{}: {} frames in {seconds:.1} s ({:.1}x real time){}{}",
                printable(&timeline.media.path),
                timeline.media.frames,
                media_s / seconds.max(1e-3),
                if files.is_empty() { "" } else { " -> " },
                printable(&files.join(", ")),
            );
        }
        if arguments.json {
            super::print(format!("{}\n", summary(&timeline, &files, seconds)).as_bytes())?;
        }
        match kept.pop() {
            Some(error) => Err(error.into()),
            None => ending(&timeline, &self.signals, execution.patience.was_lost()),
        }
    }
}

fn elan_options(arguments: &Arguments, writes_eaf: bool) -> Result<BundleOptions, Failure> {
    if arguments.merge_into.is_some() && !writes_eaf {
        return Err(Failure::Usage("--merge-into is for an .eaf file; give one with -o".into()));
    }
    if arguments.merge_into.is_some() && arguments.inputs.len() > 1 {
        return Err(Failure::Usage("--merge-into names one video's annotations; run the inputs one by one".into()));
    }
    let (merge_into, existing) = (arguments.merge_into.clone(), arguments.replace.existing());
    Ok(BundleOptions { merge_into, existing, ..arguments.tiers.bundle()? })
}

/// What calibration changed, a line a signer.
fn effect(calibration: &Calibration) -> String {
    let mut text = String::new();
    for signer in &calibration.signers {
        let changes: Vec<String> = Expression::ALL
            .into_iter()
            .map(|class| (class.name(), [signer.before, signer.after].map(|shares| 100.0 * shares[class.index()])))
            .filter(|(_, [before, after])| (before - after).abs() >= 0.05)
            .map(|(name, [before, after])| format!("{name} {before:.1} -> {after:.1} %"))
            .collect();
        let changes = if changes.is_empty() { "no label changed".into() } else { changes.join(", ") };
        text += &format!("{}: at rest for {:.1} s; {changes}\n", signer.signer, signer.rest_s);
    }
    text
}

/// The video is read twice for an overlay, and there is one name for it.
fn check_overlay(arguments: &Arguments, inputs: &[PathBuf]) -> Result<(), Failure> {
    let Some(path) = &arguments.overlay else { return Ok(()) };
    overlay::check(path)?;
    files::refuse_inputs(path, inputs.iter().map(PathBuf::as_path))?;
    let [input] = &arguments.inputs[..] else {
        return Err(Failure::Usage("--overlay names one input's video; run the inputs one by one".into()));
    };
    if !input.is_file() && input.exists() || input == Path::new("-") {
        return Err(Failure::Usage("--overlay reads the video twice, which a stream does not allow".into()));
    }
    if !arguments.replace.overwrite && files::is_touched(path) {
        return Err(WriteError::Touched { path: path.clone() }.into());
    }
    Ok(())
}

/// Complete, or why not.
pub(super) fn ending(timeline: &Timeline, signals: &Signals, was_lost: bool) -> Result<(), Failure> {
    let why = timeline.summary.incomplete_because.join("; ");
    if let Some(signal) = signals.received() {
        let path = &timeline.media.path;
        let hint = format!("{path}: {why}; what was done is written. Run the same command again to do all of it");
        return Err(Failure::Interrupted { signal, hint });
    }
    match timeline.complete {
        true => Ok(()),
        false if was_lost => {
            Err(Failure::Temporary(format!("{}: {why}; what was seen is written", timeline.media.path)))
        }
        false => Err(Failure::Partial(format!("{}: the result is partial: {why}", timeline.media.path))),
    }
}

fn summary(timeline: &Timeline, files: &[String], seconds: f64) -> Value {
    json!({
        "input": timeline.media.path,
        "outputs": files,
        "complete": timeline.complete,
        "incomplete_because": timeline.summary.incomplete_because,
        "frames": timeline.media.frames,
        "frames_ok": timeline.summary.frames_ok,
        "frames_by_status": frames_by_status(timeline),
        "tracks": timeline.summary.tracks,
        "face": timeline.face_counts(),
        "media_s": timeline.media.duration_s,
        "wall_s": seconds,
        "model": timeline.model,
    })
}

/// How many frames have which status; a covered face is not counted as none.
fn frames_by_status(timeline: &Timeline) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for status in &timeline.frames.status {
        *counts.entry(status.name()).or_default() += 1;
    }
    counts
}

/// Control characters of a file name do not reach the terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Long options may be written with underscores.
pub fn with_dashes(arguments: impl Iterator<Item = std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut only_names = false;
    arguments
        .map(|argument| {
            only_names |= argument == OsStr::new("--");
            match argument.to_str() {
                Some(text) if !only_names && text.starts_with("--") => {
                    let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
                    format!("{}{value}", name.replace('_', "-")).into()
                }
                _ => argument,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_in_option_names_become_dashes_and_nothing_else_changes() {
        let given = ["annotate", "--output_dir=a_b", "my_file.mp4", "--", "--odd_name.mp4"];
        let expected = ["annotate", "--output-dir=a_b", "my_file.mp4", "--", "--odd_name.mp4"];
        assert_eq!(with_dashes(given.into_iter().map(Into::into)), expected);
    }
}

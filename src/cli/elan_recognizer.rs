//! `annotate elan-recognizer`: started by ELAN, or putting itself where ELAN finds it.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Failure;
use super::settings::{Home, Options};
use super::shared;
use super::signals::Signals;
use crate::eaf::preset::Preset;
use crate::eaf::recognizer::{self, RecognizerProgress, Request};
use crate::files::{self, Output, OutputOptions};
use crate::pipeline::calibrate::{CalibrationSource, calibrate};
use crate::pipeline::decode::Source;
use crate::pipeline::detect::Detectors;
use crate::pipeline::{Event, Execution, annotate};
use crate::platform;
use crate::timeline::Timeline;

/// Arguments of `annotate elan-recognizer`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write the folder that makes ELAN know this program into ELAN's own folder 'extensions', and end
    #[arg(long, value_name = "EXTENSIONS")]
    install: Option<PathBuf>,
}

/// Far more than ELAN ever asks.
const LONGEST_REQUEST: u64 = 1 << 20;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.install {
        Some(extensions) => install(extensions),
        None if std::io::stdin().is_terminal() => Err(Failure::Usage(
            "ELAN starts this and says on standard input what to do; to make it known to ELAN, run annotate \
             elan-recognizer --install with ELAN's folder 'extensions'"
                .into(),
        )),
        None => serve(),
    }
}

fn install(extensions: &Path) -> Result<(), Failure> {
    if !extensions.is_dir() {
        let text = "there is no such folder; it is called 'extensions' and lies in ELAN's own (lib/app/extensions)";
        return Err(Failure::Output(format!("{}: {text}", extensions.display())));
    }
    let binary = std::env::current_exe().map_err(anyhow::Error::from)?;
    let folder = extensions.join("annotate");
    let fault = |path: &Path, error: std::io::Error| Failure::Output(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(&folder).map_err(|e| fault(&folder, e))?;
    for (name, bytes, is_program) in recognizer::folder(&binary) {
        let path = folder.join(name);
        OutputOptions::state().put(&path, |out| out.write_all(&bytes))?;
        if is_program {
            platform::make_executable(&path).map_err(|e| fault(&path, e))?;
        }
    }
    talk!("{}: start ELAN anew; 'annotate' is in its tab 'Recognizers'", folder.display());
    Ok(())
}

/// One job; the last line says how it ended, since ELAN goes by that and not by the exit code.
fn serve() -> Result<(), Failure> {
    let result = job();
    match &result {
        Ok(()) => say("RESULT: DONE."),
        // A partial result is one; what is missing has been said.
        Err(partial @ Failure::Partial(_)) => {
            say(&partial.to_string());
            say("RESULT: DONE.");
        }
        Err(other) => {
            say(&other.to_string());
            say("RESULT: FAILED.");
        }
    }
    result
}

/// ELAN reads lines; where it has gone away, the job is of no use, but neither is a complaint.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn job() -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let stdin = std::io::stdin().lock();
    stdin.take(LONGEST_REQUEST).read_to_end(&mut bytes).map_err(|e| Failure::Input(format!("standard input: {e}")))?;
    let request = Request::parse(&bytes)?;
    let [tier_names, calibration, deinterlace, measures] = request.choices;
    let mut flags = json!({"annotation": {"deinterlace": deinterlace}});
    if measures == "none" {
        flags["annotation"]["measures"] = json!([]);
    }
    if let Some(max_faces) = request.max_faces {
        flags["annotation"]["track"] = json!({"max_faces": max_faces});
    }
    let mut options = Options::layered(&flags, Home::User)?;
    let preset = Preset::load(tier_names)?;
    let device = options.device.open()?;
    let model = shared::open_model(&mut options, &device)?.alone();
    let detectors = shared::open_detectors(&mut options)?;
    let signals = Signals::listen()?;
    // The files are opened first: where one cannot be written, the person is told before the work and not after it.
    let open = |path: &Option<PathBuf>| -> Result<Option<Output>, Failure> {
        let Some(path) = path else { return Ok(None) };
        files::refuse_inputs(path, [request.video.as_path(), Path::new(tier_names)])?;
        Ok(Some(Output::create(path)?))
    };
    let (tiers, curves) = (open(&request.tiers)?, open(&request.curves)?);
    let threads = if options.threads > 0 { options.threads } else { platform::cores() };
    let execution = Execution {
        threads,
        batch_size: options.batch_size,
        interrupt: signals.interrupt.clone(),
        patience: options.patience(),
    };
    let mut timeline = watch(&request.video, &model, &detectors, &options, &execution)?;
    if calibration == "auto" {
        calibrate(&mut timeline, &options.annotation, &CalibrationSource::Own);
    }
    if let Some(output) = tiers {
        output.fill(|out| recognizer::write_tiers(&timeline, &preset, out))?;
    }
    if let Some(output) = curves {
        output.fill(|out| recognizer::write_curves(&timeline, &preset, out))?;
    }
    super::annotate::ending(&timeline, &signals, execution.patience.was_lost())
}

/// Annotates the video and tells ELAN how far it is.
fn watch(
    video: &Path,
    model: &crate::model::Model,
    detectors: &Detectors,
    options: &Options,
    execution: &Execution,
) -> Result<Timeline, Failure> {
    let mut progress = RecognizerProgress::default();
    let mut expected = None;
    let timeline = annotate(
        &Source::File(video.into()),
        model,
        detectors,
        &options.annotation,
        execution,
        &mut |event| match event {
            Event::Opened { frames, .. } => {
                expected = frames;
                Ok(())
            }
            Event::Frame(frame) => {
                let done = frame.frame as u64 + 1;
                if let Some(line) = expected.and_then(|all| progress.line(done, all, &format!("frame {done}"))) {
                    say(&line);
                }
                Ok(())
            }
        },
    );
    Ok(timeline?)
}

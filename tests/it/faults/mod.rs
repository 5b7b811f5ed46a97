//! What a stranger's file may be and what a machine may do: each case ends with its exit code, one line that names the file
//! and the reason, and either a whole timeline that says what is missing or nothing at all.
//!
//! Faulty files are made here, from clips that ffmpeg encodes; none is stored.

mod cases;
mod paths;
mod streams;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::material::program;
use annotate::timeline::{JSON_SCHEMA, Timeline};

/// What only the files beside an input hold; it must come out nowhere.
pub const CANARY: &str = "CANARY-7F3A";
/// No case may take longer, whatever else the machine does.
const LONGEST: Duration = Duration::from_secs(60);
/// Address space that every case must make do with, MiB. The program reserves 1.5 GiB before it has seen a picture.
const MEMORY: &str = "3072";

/// How a case must end.
#[derive(Debug, Clone)]
pub enum End {
    /// Complete, with so many frames.
    Whole(usize),
    /// Written and marked as partial, with a number of frames in this range.
    Partial(std::ops::RangeInclusive<usize>),
    /// Whole or marked, as the damage may not be seen; never anything else.
    Honest(std::ops::RangeInclusive<usize>),
    /// Refused with this exit code and a reason that holds this text; nothing is written.
    Refused(i32, &'static str),
}

/// One input and how it must end.
pub struct Case {
    /// The input's file name.
    pub name: OsString,
    /// Puts the input under this path.
    pub make: Box<dyn Fn(&Path) + Send + Sync>,
    /// What is said on the command line.
    pub options: Vec<String>,
    /// What is annotated, where that is not the file itself.
    pub video: Option<PathBuf>,
    /// How it must end.
    pub end: End,
}

impl Case {
    /// A case without options.
    pub fn new(name: impl Into<OsString>, make: impl Fn(&Path) + Send + Sync + 'static, end: End) -> Self {
        Self { name: name.into(), make: Box::new(make), options: Vec::new(), video: None, end }
    }

    /// With options.
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self
    }
}

/// Runs a command; kills it after `longest`.
pub fn run_within(command: &mut Command, longest: Duration) -> Result<Output, String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    // The outputs of these runs fit into a pipe's buffer.
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > longest {
            child.kill().unwrap();
            return Err(format!("still running after {longest:?}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(child.wait_with_output().unwrap())
}

/// What holds for every run: no panic, no signal, few words, and no secret in them.
pub fn orderly(output: &Output) -> Result<String, String> {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let faults = [
        (output.status.code().is_none(), "it was ended by a signal"),
        ([Some(101), Some(134), Some(139)].contains(&output.status.code()), "it crashed"),
        (message.contains("panicked"), "it panicked"),
        (message.lines().count() > 3, "it says more than three lines"),
        (message.contains(CANARY) || String::from_utf8_lossy(&output.stdout).contains(CANARY), "it leaks"),
    ];
    match faults.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, fault)) => Err(format!("{fault}: {:?}: {message}", output.status)),
        None => Ok(message),
    }
}

/// All files below a folder with what is in them, but for the lists of what was written.
pub fn files_in(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if entry.file_name() == annotate::files::LEDGER {
            continue;
        }
        if kind.is_dir() {
            files.extend(files_in(&entry.path()));
        } else {
            let bytes = if kind.is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
            files.insert(entry.path(), bytes);
        }
    }
    files
}

/// A timeline as the schema and its own rules want it.
pub fn valid(bytes: &[u8]) -> Result<Timeline, String> {
    let schema: serde_json::Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| format!("no JSON: {e}"))?;
    if let Some(error) = validator.iter_errors(&value).next() {
        return Err(format!("against the schema: {error}"));
    }
    let timeline = Timeline::parse(bytes, Path::new("labels.json")).map_err(|e| e.to_string())?;
    timeline.check().map_err(|e| e.to_string())?;
    Ok(timeline)
}

/// Runs one case in a folder of its own.
fn run(case: &Case) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let [inputs, outputs] = ["in", "out"].map(|name| folder.path().join(name));
    std::fs::create_dir(&inputs).unwrap();
    std::fs::create_dir(&outputs).unwrap();
    std::fs::write(inputs.join("secret.txt"), CANARY).unwrap();
    let input = inputs.join(&case.name);
    (case.make)(&input);
    let before = files_in(&inputs);
    let mut command = program();
    command.current_dir(&inputs).arg("-q").args(["--max-memory", MEMORY]).args(&case.options);
    command
        .arg("-o")
        .arg(outputs.join("labels.json"))
        .arg("--")
        .arg(case.video.as_deref().unwrap_or(Path::new(&case.name)));
    let output = run_within(&mut command, LONGEST)?;
    let message = orderly(&output)?;
    if files_in(&inputs) != before {
        return Err("the inputs have changed".into());
    }
    let written = files_in(&outputs);
    if written.values().any(|bytes| bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes())) {
        return Err("the output leaks".into());
    }
    let code = output.status.code();
    let told = || format!("exit code {code:?}: {message}");
    let is_named = || {
        let name = case.name.to_string_lossy();
        // Control characters are escaped, the rest is as it is.
        let plain: String = name.chars().take_while(|c| !c.is_control()).collect();
        message.lines().count() == 1 && message.contains(&plain)
    };
    let timeline = || match &written.iter().collect::<Vec<_>>()[..] {
        [(_, bytes)] => valid(bytes),
        files => Err(format!("{} files are written; {}", files.len(), told())),
    };
    let frames_within = |frames: &std::ops::RangeInclusive<usize>| {
        let timeline = timeline()?;
        match (timeline.complete, code) {
            (true, Some(0)) => {}
            (false, Some(4)) if is_named() => {}
            _ => return Err(format!("complete is {}; {}", timeline.complete, told())),
        }
        match frames.contains(&timeline.frames.pts.len()) {
            true => Ok(timeline),
            false => Err(format!("{} frames, not in {frames:?}; {}", timeline.frames.pts.len(), told())),
        }
    };
    match &case.end {
        End::Whole(frames) => match frames_within(&(*frames..=*frames))?.complete {
            true => Ok(()),
            false => Err(format!("partial; {}", told())),
        },
        End::Partial(frames) => match frames_within(frames)?.complete {
            false => Ok(()),
            true => Err("it counts as complete".into()),
        },
        End::Honest(frames) => frames_within(frames).map(drop),
        End::Refused(expected, reason) => {
            if code != Some(*expected) || !message.contains(reason) {
                return Err(format!("not {expected} with '{reason}' but {}", told()));
            }
            // Settings and models have names of their own.
            if !is_named() && ![2, 5].contains(expected) {
                return Err(format!("the message is not one line with the name: {message}"));
            }
            written.is_empty().then_some(()).ok_or_else(|| "something is left in the output's folder".into())
        }
    }
}

/// Runs all cases, two at a time, and names those that fail.
fn run_all(cases: &[Case]) {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(fault) = run(case) {
                        let options = case.options.join(" ");
                        failures.lock().unwrap().push(format!("{:?} {options}: {fault}", case.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn every_damaged_video_is_whole_marked_or_refused() {
    run_all(&cases::damaged());
}

#[test]
fn every_hostile_input_is_refused_with_its_reason_and_reads_no_other_file() {
    run_all(&cases::hostile());
}

#[test]
fn every_odd_but_sound_video_is_complete() {
    run_all(&cases::odd());
}

#[test]
fn every_faulty_model_and_setting_is_refused() {
    run_all(&cases::faulty_models());
}

//! One shard of a plan.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::part::{self, Part, PartHead, PartWriter};
use super::path::printable;
use super::plan::{CorpusPlan, PlanLine, Unit};
use super::{CorpusError, DecodeAdvice, Outcome, Verdict, workers};
use crate::files::{OutputOptions, WriteError};
use crate::model::Model;
use crate::pipeline::decode::{DecodeError, Source};
use crate::pipeline::detect::Detectors;
use crate::pipeline::{AnnotateError, Excerpt, Execution, StageEvent, look};

/// Which share of a plan: every `of`th line, from the `index`th on, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0, below `of`.
    pub index: usize,
    /// At least 1.
    pub of: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("'{text}' is not I/N with I from 0 to N-1");
        let (index, of) = text.split_once('/').ok_or_else(fault)?;
        let (index, of) = (index.parse().map_err(|_| fault())?, of.parse().map_err(|_| fault())?);
        if index < of { Ok(Self { index, of }) } else { Err(fault()) }
    }
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum UnitState {
    /// It was done before.
    Skipped,
    /// It is done.
    Done,
    /// It cannot be done.
    Failed(Box<Outcome>),
    /// It could not be done now.
    Temporary {
        /// Why.
        reason: String,
    },
    /// It was left off.
    Interrupted,
}

/// How a shard is worked on.
pub struct ShardWork<'a> {
    /// Where parts go.
    pub parts: &'a Path,
    /// The plan's model.
    pub model: &'a Model,
    /// The plan's detectors.
    pub detectors: &'a Detectors,
    /// For each unit.
    pub execution: Execution,
    /// Units worked on at a time.
    pub jobs: usize,
    /// Whether nothing more should be started.
    pub drain: &'a (dyn Fn() -> bool + Sync),
    /// What a person can do about a video that could not be decoded.
    pub advice: DecodeAdvice,
}

/// Works on the units of `shard` that are not done, and calls `tell` with what became of each.
///
/// # Errors
/// If the plan is not for this program and model, or parts cannot be written. What is wrong with a video is no error.
pub fn work(
    plan: &CorpusPlan,
    shard: Shard,
    settings: &ShardWork,
    tell: &(dyn Fn(&Unit, &UnitState) + Sync),
) -> Result<(), CorpusError> {
    check(plan, settings)?;
    std::fs::create_dir_all(settings.parts).map_err(|source| WriteError::Io { path: settings.parts.into(), source })?;
    let units = plan.lines.iter().enumerate().filter(|(index, _)| index % shard.of == shard.index);
    let units: Vec<&Unit> = units
        .filter_map(|(_, line)| match line {
            PlanLine::Video(unit) => Some(unit),
            _ => None,
        })
        .collect();
    workers::share(&units, settings.jobs, settings.drain, &|unit| {
        let state = one(plan, unit, settings)?;
        tell(unit, &state);
        Ok::<_, CorpusError>(())
    })?;
    Ok(())
}

/// Leaves a note where a unit failed, and none where it did not.
fn note(settings: &ShardWork, unit: &str, state: &UnitState) -> Result<(), WriteError> {
    let path = failure_path(settings.parts, unit);
    if let UnitState::Failed(outcome) = state {
        return OutputOptions::state().put(&path, |out| Ok(serde_json::to_writer(out, outcome)?));
    }
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// Whether the plan was made by this program for this model and these detectors.
fn check(plan: &CorpusPlan, settings: &ShardWork) -> Result<(), CorpusError> {
    let (tool, identity) = (crate::timeline::Tool::default(), settings.model.identity());
    if plan.terms.tool != tool {
        return Err(CorpusError::OtherVersion { planned: plan.terms.tool.version.clone(), here: tool.version });
    }
    let config_sha256 = settings.model.config().effective_sha256();
    if plan.terms.model != identity || plan.terms.model_config_sha256 != config_sha256 {
        return Err(CorpusError::OtherModel { name: plan.terms.model_name.clone() });
    }
    if plan.terms.settings.detector != settings.detectors.identity() {
        return Err(CorpusError::OtherDetector { name: plan.terms.detector_model.clone().unwrap_or_default() });
    }
    Ok(())
}

/// What a part of `unit` must say it is.
pub(crate) fn head(plan: &CorpusPlan, unit: &Unit) -> PartHead {
    PartHead {
        unit: unit.unit.clone(),
        model: plan.terms.model.sha256.clone(),
        settings: plan.terms.settings_sha256(),
        version: plan.terms.tool.version.clone(),
    }
}

/// Where it is said that a unit failed.
pub(crate) fn failure_path(folder: &Path, unit: &str) -> PathBuf {
    folder.join(format!("{unit}.failed.json"))
}

fn one(plan: &CorpusPlan, unit: &Unit, settings: &ShardWork) -> Result<UnitState, CorpusError> {
    let (path, head) = (part::path_of(settings.parts, &unit.unit), head(plan, unit));
    if Part::read(&path).is_ok_and(|part| part.head == head) {
        return Ok(UnitState::Skipped);
    }
    let failed = |verdict, reason: String| UnitState::Failed(Box::new(Outcome::failed(&unit.path, verdict, &reason)));
    let name = printable(&unit.path);
    let interrupt = Arc::clone(&settings.execution.interrupt);
    let state = match unit.is_unchanged(&interrupt) {
        Err(error) if is_temporary(&error) => UnitState::Temporary { reason: format!("{name}: {error}") },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            failed(Verdict::Refused, format!("{name}: no such file"))
        }
        Err(error) => failed(Verdict::Refused, format!("{name}: {error}")),
        Ok(false) => {
            failed(Verdict::Refused, format!("{name}: the file is not what it was when it was planned; plan again"))
        }
        Ok(true) => match excerpt(plan, unit, &unit.excerpt(), settings, &path, &head) {
            Ok(()) => UnitState::Done,
            Err(CorpusError::Annotate(AnnotateError::Decode(DecodeError::Interrupted { .. }))) => {
                UnitState::Interrupted
            }
            Err(CorpusError::Annotate(AnnotateError::Decode(error))) => {
                UnitState::Failed(Box::new(Outcome::not_decoded(&unit.path, &error, settings.advice)))
            }
            // A card that is busy or full may be free later.
            Err(CorpusError::Annotate(error @ AnnotateError::Classify { .. })) if !settings.model.device().is_cpu() => {
                UnitState::Temporary { reason: error.to_string() }
            }
            Err(error) => return Err(error),
        },
    };
    note(settings, &unit.unit, &state)?;
    Ok(state)
}

/// Looks at one excerpt and writes its part; from the beginning of the video where its entry turns out not to give the
/// same.
fn excerpt(
    plan: &CorpusPlan,
    unit: &Unit,
    excerpt: &Excerpt,
    settings: &ShardWork,
    path: &Path,
    head: &PartHead,
) -> Result<(), CorpusError> {
    let mut writer = PartWriter::begin(path, head)?;
    let source = Source::File(unit.path.clone());
    let decoded = look(
        &source,
        excerpt,
        settings.model,
        settings.detectors,
        &plan.terms.settings,
        &settings.execution,
        &mut |look| match look {
            StageEvent::Opened { .. } => Ok(()),
            StageEvent::Frame(classified) => writer.frame(classified),
        },
    )?;
    if settings.execution.interrupt.load(Ordering::Relaxed) {
        return Err(AnnotateError::Decode(DecodeError::Interrupted { name: source.name() }).into());
    }
    if decoded.is_proven {
        return Ok(writer.finish(decoded)?);
    }
    tracing::info!("{} ({}): decoded from its beginning", source.name(), unit.range());
    let spans = excerpt.spans.clone();
    self::excerpt(plan, unit, &Excerpt { spans, entry: None }, settings, path, head)
}

/// Whether trying again may help.
fn is_temporary(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, OutOfMemory, ResourceBusy, StaleNetworkFileHandle, TimedOut, WouldBlock};
    // EIO, ENFILE, EMFILE, ENOTCONN, EHOSTDOWN
    let numbers = [5, 23, 24, 107, 112];
    matches!(error.kind(), Interrupted | OutOfMemory | ResourceBusy | StaleNetworkFileHandle | TimedOut | WouldBlock)
        || error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_counts_from_zero() {
        assert_eq!("0/1".parse(), Ok(Shard { index: 0, of: 1 }));
        assert_eq!("15/16".parse(), Ok(Shard { index: 15, of: 16 }));
        for wrong in ["", "1", "1/1", "2/1", "-1/2", "0/0", "a/b", "0/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}

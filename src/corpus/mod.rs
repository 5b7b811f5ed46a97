//! Many videos: what belongs to a corpus, where its results go, and how the work is shared and taken up again.
//!
//! One machine: [`journal`] knows what is done, [`lock`] keeps a second run away, [`workers`] shares the files out, and
//! [`report`] says what became of each, [`moved`] which labels another model changed. Several machines: [`plan`] cuts the corpus into units, each a pure function of
//! its line; [`work`] does a shard of them and leaves [`part`]s; [`collect`] puts the parts together to what one
//! machine would have written, byte for byte.

pub mod collect;
mod content;
pub mod inputs;
pub mod journal;
pub mod lock;
pub mod moved;
pub mod part;
pub mod path;
pub mod plan;
pub mod report;
pub mod results;
pub mod work;
pub mod workers;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{WriteError, visible};
use crate::timeline::Timeline;

/// What became of one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The input.
    #[serde(with = "path")]
    pub path: PathBuf,
    /// The exit code that annotating it alone would have given: 0 complete, 3 refused, 4 partial, 6 results that could not
    /// be written, 7 over a limit, 130 or 143 left off as the run was interrupted.
    pub code: u8,
    /// Why it is not complete; empty where it is.
    pub reason: String,
    /// What the results say in short; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<InShort>,
    /// Files, relative to the output folder, that stand in the way of results and stay as they are: somebody has touched them
    /// since they were written, or they are links.
    #[serde(skip_serializing_if = "Vec::is_empty", default, with = "path::list")]
    pub kept: Vec<PathBuf>,
}

impl Outcome {
    /// Of an input without results, because of `reason`.
    pub fn failed(path: &Path, code: u8, reason: &str) -> Self {
        Self { path: path.into(), code, reason: visible(reason), result: None, kept: Vec::new() }
    }

    /// Of an annotated video, for which some files were `written` and others were not.
    pub fn of(
        path: &Path,
        timeline: &Timeline,
        written: Vec<journal::Fingerprint>,
        not_written: &[WriteError],
        folder: &Path,
    ) -> Self {
        let why = timeline.summary.incomplete_because.join("; ");
        let mut reasons: Vec<String> = not_written.iter().map(ToString::to_string).collect();
        if !timeline.complete {
            reasons.insert(0, format!("{}: the result is partial: {why}", path::printable(path)));
        }
        let below = |error: &WriteError| error.path().strip_prefix(folder).unwrap_or(error.path()).to_path_buf();
        Self {
            path: path.into(),
            code: if !timeline.complete {
                4
            } else if reasons.is_empty() {
                0
            } else {
                6
            },
            reason: visible(&reasons.join("; ")),
            result: Some(InShort::of(timeline, written)),
            kept: not_written.iter().map(below).collect(),
        }
    }
}

/// A timeline in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InShort {
    /// SHA-256 of the input.
    pub sha256: String,
    /// Decoded frames.
    pub frames: usize,
    /// Frames in which a face was classified.
    pub frames_ok: usize,
    /// Signers.
    pub tracks: usize,
    /// Seconds.
    pub duration_s: f64,
    /// Share of the classified faces with each label, in canonical order.
    pub shares: [f64; crate::timeline::Expression::COUNT],
    /// The files written, relative to the output folder.
    pub outputs: Vec<journal::Fingerprint>,
}

impl InShort {
    /// Of `timeline` and what was written for it.
    pub fn of(timeline: &Timeline, outputs: Vec<journal::Fingerprint>) -> Self {
        let mut shares = [0.0; crate::timeline::Expression::COUNT];
        let labels = timeline.tracks.iter().flat_map(|track| &track.frames).filter_map(|record| record.label);
        labels.for_each(|label| shares[label.index()] += 1.0);
        let all: f64 = shares.iter().sum();
        Self {
            sha256: timeline.media.sha256.clone().unwrap_or_default(),
            frames: timeline.media.frames,
            frames_ok: timeline.summary.frames_ok,
            tracks: timeline.summary.tracks,
            duration_s: timeline.media.duration_s,
            shares: shares.map(|share: f64| share / all.max(1.0)),
            outputs,
        }
    }
}

/// Why the work on a corpus cannot go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CorpusError {
    #[error("{path}: {reason}")]
    Input { path: String, reason: String },
    #[error("{0}")]
    Usage(String),
    #[error("{path}: {reason}")]
    Plan { path: String, reason: String },
    #[error("{0}")]
    Mixed(String),
    #[error(transparent)]
    Output(#[from] WriteError),
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    Temporary(String),
    #[error(transparent)]
    Annotate(#[from] crate::pipeline::AnnotateError),
}

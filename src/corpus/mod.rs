//! Many videos: what belongs to a corpus, where its results go, and how the work is shared and taken up again.
//!
//! One machine: [`batch`] annotates what is not done. [`journal`] knows what is, [`lock`] keeps a second run away, [`workers`]
//! shares the files out, and [`report`] says what became of each, [`moved`] which labels another model changed. Several machines: [`plan`] cuts the corpus into units, each a pure function of
//! its line; [`work`] does a shard of them and leaves [`part`]s; [`collect`] puts the parts together to what one
//! machine would have written, byte for byte.

pub mod batch;
pub mod collect;
mod content;
pub mod inputs;
pub mod journal;
pub mod moved;
pub mod part;
pub mod path;
pub mod plan;
pub mod report;
pub mod results;
mod verdict;
pub mod work;
pub mod workers;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::eaf::BundleError;
use crate::files::{LockError, WriteError, visible};
use crate::overlay::OverlayError;
use crate::pipeline::AnnotateError;
use crate::pipeline::decode::DecodeError;
use crate::timeline::{EventCount, EventKind, FaceCounts, Timeline};
use path::printable;
pub use verdict::Verdict;

/// What a person can do about a video that could not be decoded, to be put behind the reason; empty where there is nothing.
/// Whoever calls the library words it, as its settings have names of their own there.
pub type DecodeAdvice = fn(&DecodeError) -> &'static str;

/// What became of one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The input.
    #[serde(with = "path")]
    pub path: PathBuf,
    /// What became of it, in files as a number called `code`: 0 complete, 3 refused, 4 partial, 6 results that could not be
    /// written, 7 over a limit, 130 or 143 left off as the run was interrupted.
    #[serde(rename = "code")]
    pub verdict: Verdict,
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
    pub fn failed(path: &Path, verdict: Verdict, reason: &str) -> Self {
        Self { path: path.into(), verdict, reason: visible(reason), result: None, kept: Vec::new() }
    }

    /// Of a video that could not be decoded.
    pub(crate) fn not_decoded(path: &Path, error: &DecodeError, advice: DecodeAdvice) -> Self {
        Self::failed(path, Verdict::of(error), &format!("{error}{}", advice(error)))
    }

    /// Of an annotated video, for which some files were `written` and others were not.
    pub fn of(
        path: &Path,
        timeline: &Timeline,
        written: Vec<journal::WrittenFile>,
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
            verdict: match (timeline.complete, reasons.is_empty()) {
                (false, _) => Verdict::Partial,
                (true, true) => Verdict::Complete,
                (true, false) => Verdict::NotWritten,
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
    /// Blinks in a minute of the time in which faces were measured, of all signers; none where eyes were not.
    #[serde(default)]
    pub blinks_per_minute: Option<f64>,
    /// Share of that time with raised brows, 0 to 1; none where brows were not measured.
    #[serde(default)]
    pub brows_raised_share: Option<f64>,
    /// The files written, relative to the output folder.
    pub outputs: Vec<journal::WrittenFile>,
}

/// What the faces of all signers did, weighted by how long each was measured; none where no face was measured.
fn pooled(counts: &[FaceCounts], kind: EventKind, value: fn(&EventCount) -> f64) -> Option<f64> {
    let own = || counts.iter().filter_map(|signer| Some((signer.measured_s, value(signer.events.get(&kind)?))));
    let measured_s: f64 = own().map(|(measured_s, _)| measured_s).sum();
    let sum: f64 = own().map(|(measured_s, value)| measured_s * value).sum();
    (measured_s > 0.0).then(|| (sum / measured_s * 1e4).round() / 1e4)
}

impl InShort {
    /// Of `timeline` and what was written for it.
    pub fn of(timeline: &Timeline, outputs: Vec<journal::WrittenFile>) -> Self {
        let mut shares = [0.0; crate::timeline::Expression::COUNT];
        let labels = timeline.tracks.iter().flat_map(|track| &track.frames).filter_map(|record| record.label);
        labels.for_each(|label| shares[label.index()] += 1.0);
        let all: f64 = shares.iter().sum();
        let counts = timeline.face_counts();
        Self {
            sha256: timeline.media.sha256.clone().unwrap_or_default(),
            frames: timeline.media.frames,
            frames_ok: timeline.summary.frames_ok,
            tracks: timeline.summary.tracks,
            duration_s: timeline.media.duration_s,
            shares: shares.map(|share: f64| share / all.max(1.0)),
            blinks_per_minute: pooled(&counts, EventKind::Blink, |count| count.per_minute),
            brows_raised_share: pooled(&counts, EventKind::BrowsRaised, |count| count.share),
            outputs,
        }
    }
}

/// Why the work on a corpus cannot go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CorpusError {
    #[error("{}: {reason}", printable(path))]
    Input { path: PathBuf, reason: String },
    #[error("{}: {reason}", printable(path))]
    Plan { path: PathBuf, reason: String },
    #[error("no video is there; folders are searched for files that are videos")]
    NoVideo,
    #[error("{pattern}: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error(
        "{} and {}: their results would have one name, {}; run them into two folders",
        printable(first),
        printable(second),
        printable(output)
    )]
    SharedName { first: PathBuf, second: PathBuf, output: PathBuf },
    #[error("{}: the corpus's own reports and tables have this name", printable(name))]
    ReservedName { name: PathBuf },
    #[error("the plan is of version {planned}, this is {here}; plan again")]
    OtherVersion { planned: String, here: String },
    #[error("the model '{}' is not the one that was planned with; plan again", printable(name))]
    OtherModel { name: PathBuf },
    #[error("the detector's model '{}' is not the one that was planned with; plan again", printable(name))]
    OtherDetector { name: PathBuf },
    #[error(
        "{}: it is of another model, other settings or another version than the plan; empty the folder of parts",
        printable(path)
    )]
    OtherPart { path: PathBuf },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Output(#[from] WriteError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    #[error(transparent)]
    Annotate(#[from] AnnotateError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::timeline::{FaceEvent, FaceMeasures};

    #[test]
    fn blinks_and_brows_are_counted_over_the_time_in_which_all_signers_were_measured() {
        let mut timeline = sample::two_signers();
        for (track, measured) in timeline.tracks.iter_mut().zip([1, 3]) {
            track.events.clear();
            for (index, record) in track.frames.iter_mut().enumerate() {
                record.measures = (index < measured).then(FaceMeasures::default);
            }
        }
        let start_s = timeline.frames.time_s[0];
        let event = |kind| FaceEvent { kind, first_frame: 0, last_frame: 0, start_s, end_s: start_s + 0.04, peak: 1.0 };
        timeline.tracks[0].events = vec![event(EventKind::Blink), event(EventKind::BrowsRaised)];
        let short = InShort::of(&timeline, Vec::new());
        let measured_s: f64 = timeline.face_counts().iter().map(|counts| counts.measured_s).sum();
        assert!((short.blinks_per_minute.unwrap() - 60.0 / measured_s).abs() < 0.01, "{short:?}");
        assert!((short.brows_raised_share.unwrap() - 0.04 / measured_s).abs() < 1e-3, "{short:?}");
        timeline.settings = serde_json::json!({"measures": ["brows"]});
        let short = InShort::of(&timeline, Vec::new());
        assert!(short.blinks_per_minute.is_none() && short.brows_raised_share.is_some());
        timeline.tracks.clear();
        assert_eq!(InShort::of(&timeline, Vec::new()).brows_raised_share, None, "nobody was measured");
    }
}

//! A person's corrections, taken back into the timeline and into an ELAN document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::timeline::{Expression, Status, Timeline};
use crate::{eaf, files};

/// One correction, a line of `corrections.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// [`SCHEMA`].
    pub schema: String,
    /// The video's SHA-256, where it is known.
    #[serde(default)]
    pub media_sha256: Option<String>,
    /// The model's.
    pub model_sha256: String,
    /// The track's id.
    pub track: u32,
    /// First frame of the segment.
    pub first_frame: usize,
    /// Last frame of the segment, inclusive.
    pub last_frame: usize,
    /// What the program says.
    pub old: Expression,
    /// What the person says: the same for agreement, nothing for what is not a face.
    pub new: Option<Expression>,
    /// Who says so.
    #[serde(default)]
    pub reviewer: String,
    /// When, RFC 3339.
    #[serde(default)]
    pub time: String,
}

/// The version of the corrections' schema.
pub(super) const SCHEMA: &str = "annotate/correction/1";

/// A day's work of corrections has a few megabytes.
const LARGEST: u64 = 256 << 20;

/// Why corrections cannot be applied. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum ApplyError {
    #[error("{path}: cannot be read: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {reason}")]
    Line { path: PathBuf, line: usize, reason: String },
    #[error("line {line}: the correction is of another video (SHA-256 {found})")]
    OtherMedia { line: usize, found: String },
    #[error("line {line}: the correction is of labels of another model (SHA-256 {found})")]
    OtherModel { line: usize, found: String },
    #[error("line {line}: track {track} has no segment from frame {first} to {last} called {old}")]
    NoSegment { line: usize, track: u32, first: usize, last: usize, old: &'static str },
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Segments a person agreed with.
    pub accepted: usize,
    /// Segments with another label now.
    pub changed: usize,
    /// Segments that were no face.
    pub rejected: usize,
}

/// Reads corrections; of several of one segment the last counts.
///
/// # Errors
/// If the file cannot be read, or a line is no correction; the message names it.
pub fn read_corrections(path: &Path) -> Result<Vec<(usize, Correction)>, ApplyError> {
    let text = files::read_text(path, LARGEST).map_err(|source| ApplyError::Io { path: path.into(), source })?;
    parse_corrections(&text, path)
}

/// Reads the text of a file of corrections; `path` is what messages call it.
///
/// # Errors
/// As [`read_corrections`].
pub fn parse_corrections(text: &str, path: &Path) -> Result<Vec<(usize, Correction)>, ApplyError> {
    let mut last: BTreeMap<(u32, usize, usize), (usize, Correction)> = BTreeMap::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
        let fault = |reason: String| ApplyError::Line { path: path.into(), line, reason };
        let correction: Correction = serde_json::from_str(content).map_err(|e| fault(e.to_string()))?;
        if correction.schema != SCHEMA {
            return Err(fault(format!("its schema is '{}', not '{SCHEMA}'", correction.schema)));
        }
        last.insert((correction.track, correction.first_frame, correction.last_frame), (line, correction));
    }
    let mut corrections: Vec<(usize, Correction)> = last.into_values().collect();
    corrections.sort_by_key(|(line, _)| *line);
    Ok(corrections)
}

/// Puts `corrections` into `timeline`: labels of segments and their frames, with certainty; where there was no face, no
/// box and no probabilities either. What was done stands in its settings as `corrections`.
///
/// # Errors
/// If a correction is not of this timeline; then nothing is changed.
pub fn apply(timeline: &mut Timeline, corrections: &[(usize, Correction)]) -> Result<Applied, ApplyError> {
    for (line, correction) in corrections {
        check(timeline, *line, correction)?;
    }
    let mut applied = Applied::default();
    for (_, correction) in corrections {
        let Correction { track, first_frame, last_frame, new, .. } = correction;
        let Some(track) = timeline.tracks.iter_mut().find(|t| t.id == *track) else { continue };
        let Some(place) = track.segments.iter().position(|s| s.first_frame == *first_frame) else { continue };
        let records = track.frames[first_frame - track.first_frame..=last_frame - track.first_frame].iter_mut();
        let labelled = records.filter(|record| record.label.is_some());
        match new {
            Some(label) => {
                for record in labelled {
                    (record.label, record.confidence) = (Some(*label), Some(1.0));
                }
                (track.segments[place].label, track.segments[place].confidence) = (*label, 1.0);
                *(if *label == correction.old { &mut applied.accepted } else { &mut applied.changed }) += 1;
            }
            None => {
                for record in labelled {
                    record.status = Status::NoFace;
                    (record.face, record.face_score, record.covered, record.source) = (None, None, None, None);
                    (record.probabilities, record.label, record.confidence) = (None, None, None);
                }
                track.segments.remove(place);
                applied.rejected += 1;
            }
        }
    }
    settle_statuses(timeline);
    let reviewers: BTreeSet<&str> =
        corrections.iter().map(|(_, c)| c.reviewer.as_str()).filter(|name| !name.is_empty()).collect();
    let last = corrections.iter().map(|(_, c)| c.time.as_str()).max();
    if let Some(settings) = timeline.settings.as_object_mut() {
        settings.insert("corrections".into(), json!({ "applied": applied, "reviewers": reviewers, "last": last }));
    }
    Ok(applied)
}

fn check(timeline: &Timeline, line: usize, correction: &Correction) -> Result<(), ApplyError> {
    if let (Some(ours), Some(theirs)) = (&timeline.media.sha256, &correction.media_sha256)
        && ours != theirs
    {
        return Err(ApplyError::OtherMedia { line, found: theirs.clone() });
    }
    if correction.model_sha256 != timeline.model.sha256 {
        return Err(ApplyError::OtherModel { line, found: correction.model_sha256.clone() });
    }
    let Correction { track, first_frame: first, last_frame: last, old, .. } = *correction;
    let segments = timeline.tracks.iter().filter(|t| t.id == track).flat_map(|t| &t.segments);
    let is_there = segments.into_iter().any(|s| (s.first_frame, s.last_frame, s.label) == (first, last, old));
    match is_there {
        true => Ok(()),
        false => Err(ApplyError::NoSegment { line, track, first, last, old: old.name() }),
    }
}

/// Frames' own statuses and counts follow from the records.
fn settle_statuses(timeline: &mut Timeline) {
    for frame in 0..timeline.frames.status.len() {
        let records = timeline.tracks.iter().filter_map(|t| t.frames.get(frame.checked_sub(t.first_frame)?));
        timeline.frames.status[frame] = Status::best(records.map(|record| record.status));
    }
    let frames_ok = timeline.frames.status.iter().filter(|status| **status == Status::Ok).count();
    timeline.summary.frames_ok = frames_ok;
    timeline.summary.frames_without_face = timeline.frames.status.len() - frames_ok;
}

/// Puts `corrections` of `timeline` into the ELAN document at `document`: values of annotations that still lie where we
/// put them. Gives the document and how many corrections found their annotation.
///
/// # Errors
/// If the document cannot be read.
pub fn apply_to_document(
    document: &Path,
    timeline: &Timeline,
    corrections: &[(usize, Correction)],
) -> Result<(eaf::Changed, usize), eaf::ReadError> {
    let mut changed = eaf::Changed::read(document, timeline)?;
    let found = corrections
        .iter()
        .filter(|(_, c)| {
            let [start, _] = timeline.frame_in_player_time(c.first_frame);
            let [_, end] = timeline.frame_in_player_time(c.last_frame);
            changed.relabel(c.track, [start, end], c.new)
        })
        .count();
    Ok((changed, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn correction(timeline: &Timeline, segment: usize, new: Option<Expression>) -> (usize, Correction) {
        let track = &timeline.tracks[0];
        let segment = &track.segments[segment];
        let correction = Correction {
            schema: SCHEMA.into(),
            media_sha256: timeline.media.sha256.clone(),
            model_sha256: timeline.model.sha256.clone(),
            track: track.id,
            first_frame: segment.first_frame,
            last_frame: segment.last_frame,
            old: segment.label,
            new,
            reviewer: "r".into(),
            time: "2026-01-01T00:00:00Z".into(),
        };
        (1, correction)
    }

    #[test]
    fn a_label_is_changed_in_the_segment_and_its_frames_and_the_timeline_stays_sound() {
        let mut timeline = sample::two_signers();
        let corrections = [correction(&timeline, 0, Some(Expression::Disgust))];
        assert_eq!(apply(&mut timeline, &corrections).unwrap().changed, 1);
        timeline.check().unwrap();
        let track = &timeline.tracks[0];
        assert_eq!(track.segments[0].label, Expression::Disgust);
        assert_eq!(track.frames[0].label, Some(Expression::Disgust));
        assert_eq!(timeline.settings["corrections"]["reviewers"][0], "r");
    }

    #[test]
    fn what_is_no_face_has_no_label_box_or_segment() {
        let mut timeline = sample::two_signers();
        let corrections = [correction(&timeline, 0, None)];
        let segments = timeline.tracks[0].segments.len();
        assert_eq!(apply(&mut timeline, &corrections).unwrap().rejected, 1);
        timeline.check().unwrap();
        assert_eq!(timeline.tracks[0].segments.len(), segments - 1);
        assert_eq!(timeline.tracks[0].frames[0].face, None);
    }

    #[test]
    fn corrections_of_something_else_change_nothing() {
        let timeline = sample::two_signers();
        let refused = |change: &dyn Fn(&mut Correction)| {
            let mut other = correction(&timeline, 0, Some(Expression::Fear));
            change(&mut other.1);
            let mut tried = timeline.clone();
            let message = apply(&mut tried, &[other]).unwrap_err().to_string();
            assert_eq!(tried, timeline);
            message
        };
        assert!(refused(&|c| c.model_sha256 = "0".into()).contains("another model"));
        assert!(refused(&|c| c.last_frame += 1).contains("no segment from frame"));
        assert!(refused(&|c| c.track = 99).contains("track 99"));
        if timeline.media.sha256.is_some() {
            assert!(refused(&|c| c.media_sha256 = Some("0".into())).contains("another video"));
        }
    }
}

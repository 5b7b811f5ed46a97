//! Reads a timeline from a file; if that fails, gives a reason that a person can act on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::error::Category;

use super::{Inconsistency, SCHEMA, SCHEMA_BEFORE, Timeline, Track};

/// An hour at 30 frames per second takes about 30 MB for each signer; no genuine timeline comes near this.
const MAX_BYTES: u64 = 4 << 30;

/// Why a timeline cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum TimelineReadError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: larger than {} GiB, which no timeline is", MAX_BYTES >> 30)]
    TooLarge { path: PathBuf },
    #[error("{path}: not a timeline ({reason})")]
    NotATimeline { path: PathBuf, reason: &'static str },
    #[error("{path}: its schema is '{found}', but this program reads '{SCHEMA}' and '{SCHEMA_BEFORE}'")]
    OtherVersion { path: PathBuf, found: String },
    #[error("{path}: the file is cut off (it ends in the middle, at line {line})")]
    CutOff { path: PathBuf, line: usize },
    #[error("{path}: not a valid timeline: {source}")]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("{path}: the timeline contradicts itself: {source}")]
    Inconsistent { path: PathBuf, source: Inconsistency },
}

impl Timeline {
    /// Reads and [checks](Timeline::check) the timeline in the JSON file at `path`.
    pub fn read(path: &Path) -> Result<Self, TimelineReadError> {
        let io = |source| TimelineReadError::Io { path: path.into(), source };
        let mut reader = BufReader::new(File::open(path).map_err(io)?);
        // A video or a device given by mistake is recognised before it is read into memory.
        match reader.fill_buf().map_err(io)?.first() {
            None => return Err(TimelineReadError::NotATimeline { path: path.into(), reason: "the file is empty" }),
            Some(b'{' | b' ' | b'\n' | b'\r' | b'\t') => {}
            Some(_) => {
                return Err(TimelineReadError::NotATimeline { path: path.into(), reason: "it is no JSON object" });
            }
        }
        let mut json = Vec::new();
        let length = reader.take(MAX_BYTES + 1).read_to_end(&mut json).map_err(io)?;
        if length as u64 > MAX_BYTES {
            return Err(TimelineReadError::TooLarge { path: path.into() });
        }
        Self::parse(&json, path)
    }

    /// Parses and [checks](Timeline::check) the bytes of a timeline's file; messages name it `path`.
    pub fn parse(json: &[u8], path: &Path) -> Result<Self, TimelineReadError> {
        let mut timeline: Self = serde_json::from_slice(json).map_err(|error| reason(path, json, error))?;
        if timeline.schema == SCHEMA_BEFORE {
            // Whatever it has means the same; what is new is absent.
            timeline.schema = SCHEMA.into();
        }
        if timeline.schema != SCHEMA {
            return Err(TimelineReadError::OtherVersion { path: path.into(), found: timeline.schema });
        }
        timeline.check().map_err(|source| TimelineReadError::Inconsistent { path: path.into(), source })?;
        add_face_summaries(&mut timeline);
        Ok(timeline)
    }
}

/// Adds to each segment what the face did in it, where measures exist and an earlier program did not add it.
fn add_face_summaries(timeline: &mut Timeline) {
    for Track { segments, frames, events, .. } in &mut timeline.tracks {
        for segment in segments.iter_mut().filter(|segment| segment.face.is_none()) {
            *segment = segment.clone().with_face(frames, events);
        }
    }
}

/// The best reason for a failed read: an unknown version explains every other complaint.
fn reason(path: &Path, json: &[u8], source: serde_json::Error) -> TimelineReadError {
    #[derive(Deserialize)]
    struct Version {
        schema: Option<String>,
    }
    let path = path.to_path_buf();
    if source.classify() == Category::Eof {
        return TimelineReadError::CutOff { path, line: source.line() };
    }
    match serde_json::from_slice(json) {
        Ok(Version { schema: None }) => TimelineReadError::NotATimeline { path, reason: "it names no schema" },
        Ok(Version { schema: Some(found) }) if found != SCHEMA && found != SCHEMA_BEFORE => {
            TimelineReadError::OtherVersion { path, found }
        }
        _ => TimelineReadError::Malformed { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn read_of(content: &[u8]) -> Result<Timeline, TimelineReadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.json");
        std::fs::write(&path, content).unwrap();
        Timeline::read(&path)
    }

    fn message_of(content: &[u8]) -> String {
        let message = read_of(content).unwrap_err().to_string();
        message.split_once("labels.json: ").expect("the message names the file").1.to_string()
    }

    #[test]
    fn a_written_timeline_is_read_back() {
        let timeline = sample::two_signers();
        assert_eq!(read_of(&serde_json::to_vec(&timeline).unwrap()).unwrap(), timeline);
    }

    #[test]
    fn a_timeline_of_the_version_before_is_read() {
        let read = read_of(include_bytes!("../../tests/reference/timeline_1.json")).unwrap();
        assert_eq!(read.schema, SCHEMA);
        let records = || read.tracks.iter().flat_map(|track| &track.frames);
        assert!(records().all(|record| record.measures.is_none()) && read.tracks.iter().all(|t| t.events.is_empty()));
        assert!(records().any(|record| record.covered.is_some_and(|c| c.face > 0.0 && c.regions.is_none())));
    }

    #[test]
    fn what_the_face_did_in_a_segment_is_told_where_the_file_does_not_say_so() {
        let timeline = sample::two_signers();
        let mut before = timeline.clone();
        before.tracks.iter_mut().flat_map(|track| &mut track.segments).for_each(|segment| segment.face = None);
        assert_ne!(before, timeline);
        assert_eq!(read_of(&serde_json::to_vec(&before).unwrap()).unwrap(), timeline);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let good = serde_json::to_string_pretty(&sample::two_signers()).unwrap();
        let expected = "its schema is 'annotate/timeline/3', but this program reads 'annotate/timeline/2' and 'annotate/timeline/1'";
        assert_eq!(message_of(good.replace("timeline/2", "timeline/3").as_bytes()), expected);
        let later = br#"{"frames": 3, "schema": "annotate/timeline/3"}"#;
        assert_eq!(message_of(later), expected, "whatever else a later version may change");
        let middle = good.len() / 2;
        assert!(
            message_of(&good.as_bytes()[..middle]).starts_with("the file is cut off (it ends in the middle, at line")
        );
        assert_eq!(message_of(b""), "not a timeline (the file is empty)");
        assert_eq!(message_of(b"\0\0\0\x18ftypmp42"), "not a timeline (it is no JSON object)");
        assert_eq!(message_of(b"{\"a\": 1}"), "not a timeline (it names no schema)");
        let wrong = message_of(good.replace("\"happiness\"", "\"joy\"").as_bytes());
        assert!(wrong.starts_with("not a valid timeline: unknown variant `joy`"), "{wrong}");
        let contradiction = message_of(good.replace("\"complete\": true", "\"complete\": false").as_bytes());
        assert!(contradiction.starts_with("the timeline contradicts itself: "), "{contradiction}");
    }

    #[test]
    fn a_missing_file_and_an_endless_device_are_refused() {
        let missing = Timeline::read(Path::new("no/such/labels.json")).unwrap_err();
        assert!(missing.to_string().starts_with("no/such/labels.json: No such file"), "{missing}");
        let endless = Timeline::read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.to_string(), "/dev/zero: not a timeline (it is no JSON object)");
    }
}

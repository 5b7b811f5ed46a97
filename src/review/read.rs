//! Files of corrections: one operation a line, of either version of the schema.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::lanes::{Lanes, review_of};
use crate::files;
use crate::timeline::{CORRECTION_SCHEMA, Expression, Operation, ReviewLayer, SegmentState};

/// The first version of the corrections' schema: labels of whole segments.
pub const FIRST_SCHEMA: &str = "annotate/correction/1";

/// A day's work of corrections has a few megabytes.
const LARGEST: u64 = 256 << 20;

/// Why a file of corrections is refused. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CorrectionError {
    #[error("{path}: cannot be read: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {reason}")]
    Line { path: PathBuf, line: usize, reason: String },
}

/// A correction and the line it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// From 1.
    pub line: usize,
    /// What the line says.
    pub correction: Correction,
}

/// A line of either version.
#[derive(Debug, Clone, PartialEq)]
pub enum Correction {
    /// `annotate/correction/1`.
    First(FirstCorrection),
    /// `annotate/correction/2`.
    Second(Operation),
}

/// A label for a whole segment, as the first version of the page saved it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FirstCorrection {
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

impl FirstCorrection {
    /// An id that the same line always has.
    pub fn id(&self) -> String {
        let Self { track, first_frame, last_frame, old, new, reviewer, time, .. } = self;
        let content = serde_json::json!([track, first_frame, last_frame, old, new, reviewer, time]).to_string();
        let digest = Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("first-{digest}")
    }

    /// The correction as an operation on `lanes`. It expects the program's label, or what an earlier line made of it: in the
    /// first version the last line counts.
    pub(super) fn operation(&self, lanes: &Lanes) -> Operation {
        let Self { track, first_frame, last_frame, old, new, .. } = *self;
        let there = lanes.of_track(track).find(|there| there.state.first_frame == first_frame);
        let was_mine =
            there.is_some_and(|there| there.by.as_ref().is_some_and(|(reviewer, _)| *reviewer == self.reviewer));
        let segment =
            there.map_or_else(|| super::lanes::machine_id(track, first_frame), |there| there.state.segment.clone());
        let mut before = SegmentState {
            segment,
            track,
            first_frame,
            last_frame,
            label: Some(old),
            event: None,
            review: None,
            comment: String::new(),
            unsure: false,
        };
        if let Some(there) = there.filter(|there| was_mine && there.state.last_frame == last_frame) {
            before = there.state.clone();
        }
        let after = SegmentState { label: new, review: Some(review_of(Some(old), new)), ..before.clone() };
        Operation {
            schema: CORRECTION_SCHEMA.into(),
            id: self.id(),
            kind: "label".into(),
            layer: ReviewLayer::Review,
            labels: String::new(),
            media_sha256: self.media_sha256.clone(),
            model_sha256: self.model_sha256.clone(),
            reviewer: self.reviewer.clone(),
            time: self.time.clone(),
            before: vec![before],
            after: vec![after],
            signers: Vec::new(),
        }
    }
}

/// Reads a file of corrections.
///
/// # Errors
/// If the file cannot be read, or a line is no correction; the message names it.
pub fn read_corrections(path: &Path) -> Result<Vec<Numbered>, CorrectionError> {
    let text = files::read_text(path, LARGEST).map_err(|source| CorrectionError::Io { path: path.into(), source })?;
    parse_corrections(&text, path)
}

/// Reads the text of a file of corrections; `path` is what messages call it.
///
/// # Errors
/// As [`read_corrections`].
pub fn parse_corrections(text: &str, path: &Path) -> Result<Vec<Numbered>, CorrectionError> {
    #[derive(Deserialize)]
    struct Version {
        schema: String,
    }
    let mut corrections = Vec::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
        let fault = |reason: String| CorrectionError::Line { path: path.into(), line, reason };
        let Version { schema } = serde_json::from_str(content).map_err(|e| fault(e.to_string()))?;
        let correction = match schema.as_str() {
            FIRST_SCHEMA => serde_json::from_str(content).map(Correction::First),
            CORRECTION_SCHEMA => serde_json::from_str(content).map(Correction::Second),
            _ => return Err(fault(format!("its schema is '{schema}', not '{FIRST_SCHEMA}' or '{CORRECTION_SCHEMA}'"))),
        };
        corrections.push(Numbered { line, correction: correction.map_err(|e| fault(e.to_string()))? });
    }
    Ok(corrections)
}

impl Correction {
    /// The operation's id.
    pub fn id(&self) -> String {
        match self {
            Self::First(first) => first.id(),
            Self::Second(second) => second.id.clone(),
        }
    }

    /// The video's SHA-256, where it is known.
    pub fn media_sha256(&self) -> Option<&str> {
        match self {
            Self::First(first) => first.media_sha256.as_deref(),
            Self::Second(second) => second.media_sha256.as_deref(),
        }
    }

    /// What it is about.
    pub fn layer(&self) -> ReviewLayer {
        match self {
            Self::First(_) => ReviewLayer::Review,
            Self::Second(second) => second.layer,
        }
    }
}

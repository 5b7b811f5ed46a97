//! What people changed in a timeline: operations on segments, in the order they were made, beside what the program said.
//!
//! An operation holds the segments it finds and the segments it leaves. So it can be checked before it changes anything, and
//! undone by its reverse.

use serde::{Deserialize, Serialize};

use super::{EventKind, Expression, FaceEvent, FrameRecord, Neutral, Segment};

/// The version of the corrections' schema.
pub const CORRECTION_SCHEMA: &str = "annotate/correction/2";

/// How a person has reviewed a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// Agreed with its label.
    Accepted,
    /// Gave it another label.
    Changed,
    /// Said that it is not a face.
    Rejected,
    /// Made it.
    Drawn,
    /// Moved an edge, and left the label.
    Moved,
}

impl Review {
    /// Whether the label is the person's own word, on every frame of the segment.
    pub fn decides_label(self) -> bool {
        self != Self::Moved
    }
}

/// A segment or an event of the face as an operation finds or leaves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentState {
    /// Its id: the program's segments are called by track and first frame, `1.250`, its events by the kind as well, `1.blink.250`; a
    /// person's have an id of their own.
    pub segment: String,
    /// The track's id.
    pub track: u32,
    /// First frame.
    pub first_frame: usize,
    /// Last frame, inclusive.
    pub last_frame: usize,
    /// The label; absent (null) for what is not a face, and for events.
    pub label: Option<Expression>,
    /// The kind of event, if it is one of the face; then it has no label. Events of one kind do not overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventKind>,
    /// How it was reviewed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// What the person wrote about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the person is unsure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

/// What a signer is called, and whom it was found to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerState {
    /// The name or participant code, instead of the letter.
    pub name: Option<String>,
    /// The track whose signer this one is.
    pub into: Option<u32>,
}

/// A change of a signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerChange {
    /// The track's id.
    pub track: u32,
    /// Before; absent (null) where a person adds a signer whom the program never saw.
    pub old: Option<SignerState>,
    /// After; absent (null) where a signer who was added is taken out again.
    pub now: Option<SignerState>,
}

/// What an operation is about: labels under review, or labels that a person made without seeing them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewLayer {
    /// The program's labels and their corrections.
    #[default]
    Review,
    /// An independent annotation.
    Blind,
}

/// One operation, a line of a file of corrections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// [`CORRECTION_SCHEMA`].
    pub schema: String,
    /// Its own id; the same operation is never applied twice.
    pub id: String,
    /// What was done, for people: `label`, `move`, `split`, `merge`, `draw`, `delete`, `comment`, `unsure`, `rename`, `join`,
    /// `signer`, `undo`.
    pub kind: String,
    /// What it is about.
    #[serde(default)]
    pub layer: ReviewLayer,
    /// Fingerprint of the labels it was made on.
    #[serde(default)]
    pub labels: String,
    /// The video's SHA-256, where it is known.
    #[serde(default)]
    pub media_sha256: Option<String>,
    /// The model's.
    #[serde(default)]
    pub model_sha256: String,
    /// Who did it.
    #[serde(default)]
    pub reviewer: String,
    /// When, RFC 3339.
    #[serde(default)]
    pub time: String,
    /// The segments it finds.
    pub before: Vec<SegmentState>,
    /// The segments that it leaves where those were.
    pub after: Vec<SegmentState>,
    /// The signers it changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<SignerChange>,
}

/// A track as the program made it, as far as it differs from the corrected one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineTrack {
    /// The track's id.
    pub id: u32,
    /// First and last frame of the program's records; absent where a person made the track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<[usize; 2]>,
    /// The records that were changed.
    pub frames: Vec<FrameRecord>,
    /// All its segments.
    pub segments: Vec<Segment>,
    /// All its events; absent where they are the corrected track's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<FaceEvent>>,
    /// What its measures are relative to; absent where that is the corrected track's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neutral: Option<Neutral>,
}

/// What people did, and what the program said before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Corrections {
    /// What it is: corrected labels, or an independent annotation.
    pub layer: ReviewLayer,
    /// Every operation, in the order of application: who, when, what it was and what it is.
    pub operations: Vec<Operation>,
    /// The program's own labels of the tracks that were changed.
    pub machine: Vec<MachineTrack>,
}

/// A person's word on a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The segment's id.
    pub segment: String,
    /// How it was reviewed; absent where it was only cut or commented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Who touched it last.
    pub reviewer: String,
    /// When, RFC 3339.
    pub time: String,
    /// What was written about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the person is unsure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

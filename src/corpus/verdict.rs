//! What became of an input, in a number that reports, logs and parts keep.

use serde::{Deserialize, Serialize};

use crate::pipeline::AnnotateError;
use crate::pipeline::decode::{DecodeError, DecodeErrorKind};

/// What became of an input. Files hold its [`number`](Self::number).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Verdict {
    /// All of it is annotated, and all of its results are written.
    Complete,
    /// A fault of this program.
    Unforeseen,
    /// Nothing of it was asked for.
    NothingWanted,
    /// It is not a video, or cannot be read.
    Refused,
    /// Annotated in part.
    Partial,
    /// The network cannot be computed.
    Configuration,
    /// Results could not be written.
    NotWritten,
    /// A limit was reached.
    Limit,
    /// It could not be done now; trying again may help.
    Temporary,
    /// The run was interrupted before it was finished.
    LeftOff {
        /// The signal's number, 1 to 64.
        signal: u8,
    },
}

impl Verdict {
    /// The number that stands for it in `failures.json`, `run.jsonl`, `summary.csv` and parts.
    pub fn number(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Unforeseen => 1,
            Self::NothingWanted => 2,
            Self::Refused => 3,
            Self::Partial => 4,
            Self::Configuration => 5,
            Self::NotWritten => 6,
            Self::Limit => 7,
            Self::Temporary => 75,
            Self::LeftOff { signal } => signal.saturating_add(128),
        }
    }

    /// Whether there is nothing left to do.
    pub fn is_complete(self) -> bool {
        self == Self::Complete
    }

    /// Whether the run ended before it.
    pub fn is_left_off(self) -> bool {
        matches!(self, Self::LeftOff { .. })
    }

    /// Of an input that cannot be decoded because of `error`.
    pub fn of(error: &DecodeError) -> Self {
        match error.kind() {
            DecodeErrorKind::Input => Self::Refused,
            DecodeErrorKind::Limit => Self::Limit,
            DecodeErrorKind::Lost => Self::Temporary,
            DecodeErrorKind::EmptyRange => Self::NothingWanted,
        }
    }

    /// Of an input that cannot be annotated because of `error`.
    pub fn of_annotation(error: &AnnotateError) -> Self {
        match error {
            AnnotateError::Decode(error) => Self::of(error),
            AnnotateError::Setting(_) | AnnotateError::Classify { .. } => Self::Configuration,
            AnnotateError::Output(_) => Self::NotWritten,
            AnnotateError::Thread { .. } => Self::Limit,
            AnnotateError::Detector(_)
            | AnnotateError::FaceMesh(_)
            | AnnotateError::Hands(_)
            | AnnotateError::Panicked { .. } => Self::Unforeseen,
        }
    }
}

impl From<Verdict> for u8 {
    fn from(verdict: Verdict) -> Self {
        verdict.number()
    }
}

/// A number that stands for no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} says nothing that can become of an input")]
pub struct NoVerdict(u8);

impl TryFrom<u8> for Verdict {
    type Error = NoVerdict;

    fn try_from(number: u8) -> Result<Self, NoVerdict> {
        Ok(match number {
            0 => Self::Complete,
            1 => Self::Unforeseen,
            2 => Self::NothingWanted,
            3 => Self::Refused,
            4 => Self::Partial,
            5 => Self::Configuration,
            6 => Self::NotWritten,
            7 => Self::Limit,
            75 => Self::Temporary,
            129..=192 => Self::LeftOff { signal: number - 128 },
            _ => return Err(NoVerdict(number)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_known_again_by_its_number() {
        let known: Vec<Verdict> = (0..=u8::MAX).filter_map(|number| Verdict::try_from(number).ok()).collect();
        assert_eq!(known.len(), 9 + 64);
        assert!(known.iter().all(|verdict| Verdict::try_from(verdict.number()) == Ok(*verdict)));
        assert_eq!(serde_json::to_string(&Verdict::LeftOff { signal: 2 }).unwrap(), "130");
        assert!(serde_json::from_str::<Verdict>("8").is_err());
    }
}

//! ELAN's annotation files: read, written as a bundle that opens with curves, and merged into existing ones.
//!
//! The rules are those of ELAN 6.9 and its schema EAFv3.0.xsd.

mod bundle;
mod change;
mod curves;
mod document;
mod edited;
mod link;
mod preferences;
pub mod preset;
mod read;
#[cfg(feature = "video")]
pub mod recognizer;
mod tiers;
mod upgrade;
pub(crate) mod vocabulary;
pub(crate) mod xml;

use serde::Serialize;

pub use bundle::{Bundle, BundleError, BundleOptions};
pub use change::Changed;
pub use edited::{Edited, EditedSegment};
#[cfg(all(feature = "video", feature = "train"))]
pub(crate) use link::relative_path;
#[cfg(all(feature = "video", feature = "train"))]
pub(crate) use read::percent_decoded;
pub use read::{EafReadError, Fault, parse, read, read_for};
pub use xml::XmlError;

/// What an annotation file holds, as far as we use it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Document {
    /// The videos and recordings it belongs to.
    pub media: Vec<LinkedMedia>,
    /// The tiers in their order.
    pub tiers: Vec<Tier>,
}

/// A video or recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkedMedia {
    /// Absolute, `file:///...`.
    pub url: String,
    /// Relative to the annotation file.
    pub relative_url: Option<String>,
    /// Milliseconds of it that lie before the document's zero.
    pub time_origin_ms: i64,
}

/// A tier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tier {
    /// Its name.
    pub id: String,
    /// Who is annotated.
    pub participant: Option<String>,
    /// The tier whose annotations this one's hang on.
    pub parent: Option<String>,
    /// In order of time.
    pub annotations: Vec<Annotation>,
}

/// A value over a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// First moment, milliseconds as a player shows them.
    pub start_ms: u64,
    /// First moment no longer in it, milliseconds as a player shows them.
    pub end_ms: u64,
    /// The text.
    pub value: String,
}

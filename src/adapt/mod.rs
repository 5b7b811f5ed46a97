//! From a corpus's own annotations to pictures a model can learn from, and to a model that is fitted to them.
//!
//! [`mod@import`] takes annotations of videos, whatever file they stand in, and cuts the signer's face out of some moments of each.
//! [`adapting`] tries a small set of ways ([`candidate`]) in a nested cross-validation ([`nested`]), says what the chosen one
//! gains and how sure that is ([`report`]), and writes the model.

pub mod adapting;
pub mod annotation;
pub mod candidate;
pub mod curve;
pub mod error;
pub mod head;
pub mod import;
pub mod inventory;
pub mod learn;
pub mod left_out;
mod media;
mod moment;
pub mod nested;
mod optimise;
pub mod report;
mod signer;
pub mod source;
mod stills;
mod timelines;
mod trials;
pub mod unlabelled;

pub use import::{AnnotationImportError, Import, ImportProgress, ImportSettings, import};
pub use left_out::{LeftOut, Reason};
pub use signer::SignerChoice;

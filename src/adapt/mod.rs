//! From a corpus's own annotations to pictures a model can learn from.
//!
//! [`import`] takes annotations of videos, whatever file they stand in, and cuts the signer's face out of some moments of each.

pub mod annotation;
pub mod import;
pub mod left_out;
mod media;
mod moment;
mod signer;
pub mod source;
mod timelines;

pub use import::{Import, ImportError, ImportProgress, ImportSettings, import};
pub use left_out::{LeftOut, Reason};
pub use signer::SignerChoice;

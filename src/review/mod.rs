//! Review by people: a page to look and correct, and the way of their corrections back.

mod apply;
mod crops;
mod page;

pub use apply::{Applied, ApplyError, Correction, apply, apply_to_document, parse_corrections, read_corrections};
pub use crops::{CropError, Crops, decode_options};
pub use page::{HumanTier, Page};

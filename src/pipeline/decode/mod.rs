//! The first stage: from a file or stream to displayed pictures with exact times. Besides this room, only
//! `encode.rs` and what uses it (`overlay.rs`, `review/proxy.rs`) call FFmpeg.

mod address;
mod boxes;
mod clock;
mod decoded;
mod decoder;
mod ending;
mod entry;
mod error;
mod feed;
mod memory;
mod notes;
mod open;
mod options;
mod patience;
mod picture;
mod prepare;
mod reports;
mod slices;
mod source;

pub use address::without_secrets;
pub use decoded::Decoded;
pub use decoder::Decoder;
pub(crate) use entry::Entry;
#[cfg(feature = "train")]
pub(crate) use entry::Packets;
pub use error::{DecodeError, DecodeErrorKind};
pub use options::{DecodeOptions, Deinterlace};
pub use patience::Patience;
pub use source::Source;
pub(crate) use source::open;

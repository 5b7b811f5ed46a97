//! The way of a frame: decode, detect, track, crop, classify, smooth, segment.

pub mod crop;
pub mod decode;
pub mod detect;
pub mod frame;
pub mod track;

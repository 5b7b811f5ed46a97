//! The way of a frame: decode, detect, track, crop, classify, smooth, segment.

pub mod decode;
pub mod frame;

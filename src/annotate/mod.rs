//! The way of a frame: decode, detect, track, crop, classify, smooth, segment.

pub mod frame;
pub mod segment;
mod setting;
pub mod smooth;

pub use setting::SettingError;

//! Running a network over crops.

pub mod kernels;

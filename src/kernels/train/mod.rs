//! The operations that training differentiates, forward and backward, in NHWC order.

pub mod batch_norm;
pub mod buffers;
pub mod chain;
pub mod convolution;
pub mod depthwise;
mod lanes;
pub mod normalised;
pub mod patches;
pub mod pool;
pub mod update;

//! Runs a network over crops on the CPU.
//!
//! [`Plan::compile`] makes a plan from a network's [`Layer`]s; [`Plan::run`] applies it. `kernels` holds the
//! arithmetic.

mod layer;
mod plan;
mod precision;

pub use crate::kernels::simd::Instructions;
pub use layer::{BlazeBlock, ConvolutionLayer, Layer, Linear, Reach};
pub use plan::{Plan, PlanError, Shape};
pub use precision::Precision;

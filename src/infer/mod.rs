//! Running a network over crops on the CPU.
//!
//! [`Plan::compile`] makes a plan of a network's [`Layer`]s; [`Plan::run`] applies it. `kernels` holds the arithmetic.

pub mod kernels;
mod layer;
mod plan;

pub use kernels::simd::Instructions;
pub use layer::{Convolution, Layer, Linear, Reach};
pub use plan::{Plan, PlanError, Shape};

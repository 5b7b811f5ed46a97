//! The arithmetic under the networks: plain functions on slices, in NHWC order (channels vary fastest).
//!
//! Channels last makes a 1x1 convolution one matrix product over all pixels of all images, and lets the depthwise and
//! normalisation loops below run over contiguous channels, which the compiler turns into vector code. `pulp` compiles
//! each loop for SSE2, AVX2 and AVX-512 and picks one at run time. No loop reorders or contracts floating-point
//! operations, and sums over images or rows are split into pieces of fixed size and added in order, so that results do
//! not depend on the instruction set or the number of threads.

pub mod activation;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod infer;
pub mod launch;
pub mod matrix;
pub mod simd;
pub mod train;
pub mod window;

pub use activation::Activation;
pub use window::Window;

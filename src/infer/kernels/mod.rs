//! The arithmetic under the networks: plain functions on slices, in NHWC order (channels vary fastest).
//!
//! Channels last makes a 1x1 convolution one matrix product over all pixels of all images, and lets the depthwise and
//! normalisation loops below run over contiguous channels, which the compiler turns into vector code. `pulp` compiles
//! each loop for SSE2, AVX2 and AVX-512 and picks one at run time. No loop reorders or contracts floating-point
//! operations, and sums over images or rows are split into pieces of fixed size and added in order, so that results do
//! not depend on the instruction set or the number of threads.

pub mod activation;
pub mod batch_norm;
pub mod bf16;
pub mod blocks;
pub mod convolution;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod depthwise;
pub mod elementwise;
pub mod filter;
pub mod lanes;
pub mod launch;
pub mod matrix;
pub mod normalised;
pub mod parts;
pub mod patches;
pub mod pool;
pub mod product;
pub mod rows;
pub mod simd;
pub mod update;
pub mod window;

pub use activation::Activation;
pub use window::Window;

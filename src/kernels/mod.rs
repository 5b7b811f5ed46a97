//! The arithmetic under the networks: plain functions on slices, in NHWC order (channels vary fastest).
//!
//! Because channels come last, a 1x1 convolution is one matrix product over all pixels of all images, and the depthwise
//! and normalisation loops run over contiguous channels, in vectors. `pulp` compiles each loop for several instruction sets and
//! picks one at run time.
//!
//! Sums over images or rows are split into pieces of fixed size, and the pieces are added in order, so a result never
//! depends on the number of threads. It can depend on the instruction set: inference ([`simd`]) uses a fused
//! multiply-add, which rounds once, where the processor has one; the portable vectors multiply and add in two steps,
//! which round twice. On one instruction set, results repeat exactly.

pub mod activation;
pub mod cuda;
pub mod folded;
pub mod infer;
pub mod launch;
pub mod matrix;
pub mod simd;
pub mod train;
pub mod window;

pub use activation::Activation;
pub use window::Window;

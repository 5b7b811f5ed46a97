//! The fused steps of a compiled network: blocks of channels, matrix products, rows of depthwise convolutions.

pub mod bf16;
pub mod blaze;
pub mod blocks;
pub mod elementwise;
pub mod filter;
pub mod parts;
pub mod product;
pub mod rows;

//! `annotate` watches sign-language video and writes down what the signer's face does, frame by frame.
//!
//! - [`timeline`]: the words everybody uses: expressions, frames, tracks, segments, the whole timeline
//! - [`annotate`]: the way of a frame, in its order: decode, detect, track, crop, classify, smooth, segment
//! - [`corpus`]: many videos: batch, plan, work, collect
//! - [`palette`]: one colour a class, the same everywhere
//! - [`agree`]: how far two annotations of one video agree
//! - [`eaf`]: ELAN annotation files, read and written
//! - [`write`]: one file a format, all behind one `Writer` trait
//! - [`overlay`]: the video with everything drawn into it
//! - [`review`]: a page for people to look and correct, and the way of their corrections back
//! - [`model`]: model directories, networks, weights in and out
//! - [`infer`]: running a network over crops; `infer::kernels` holds the arithmetic under the networks
//! - [`train`]: the way of a training image: manifest, augment, load, train, measure, report
//! - [`cli`]: one file a subcommand
//! - [`allocator`]: memory, and what happens without

pub mod agree;
pub mod allocator;
pub mod cli;
pub mod corpus;
pub mod eaf;
pub mod files;
pub mod infer;
pub mod kernels;
pub mod model;
pub mod nn;
pub mod overlay;
pub mod palette;
pub mod picture;
pub mod pipeline;
pub mod random;
pub mod review;
#[cfg(test)]
mod sample;
pub mod statistics;
pub mod timeline;
pub mod train;
pub mod write;

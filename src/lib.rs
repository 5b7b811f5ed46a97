//! `annotate` watches sign-language video and writes down what the signer's face does, frame by frame.
//!
//! # Annotate a video, and write the result
//!
//! ```no_run
//! use std::path::Path;
//!
//! use annotate::pipeline::decode::Source;
//! use annotate::sink::{FanOut, Target};
//!
//! let targets = [Target::of(Path::new("labels.json"))?, Target::of(Path::new("labels.eaf"))?];
//! let outputs = FanOut::open(&targets, &annotate::eaf::BundleOptions::default())?;
//! let video = Source::File("corpus.mp4".into());
//! let (timeline, _) = annotate::Annotator::new()?.annotate_to(&video, outputs)?;
//! println!("{} frames, {} signers", timeline.frames.pts.len(), timeline.tracks.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Classify pictures
//!
//! A [`Model`] takes square pictures of a face, `[images, side, side, colours]` with values 0 to 255, row by row.
//!
//! ```
//! use std::path::Path;
//!
//! use annotate::model::registry;
//! use annotate::{Device, Expression};
//!
//! let model = registry::open(Path::new("default"), &Device::Cpu)?;
//! let input = &model.config().input;
//! let grey = vec![128.0; input.side * input.side * input.colours.count()];
//! let probabilities = model.probabilities(grey)?;
//! assert_eq!(probabilities[0].len(), Expression::COUNT);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Read a timeline
//!
//! ```no_run
//! use std::path::Path;
//!
//! let timeline = annotate::Timeline::read(Path::new("labels.json"))?;
//! println!("{} frames, {} signers", timeline.frames.pts.len(), timeline.tracks.len());
//! # Ok::<(), annotate::timeline::TimelineReadError>(())
//! ```
//!
//! # Train from a recipe
//!
//! ```no_run
//! use std::path::Path;
//!
//! use annotate::Device;
//! use annotate::train::fold::Grouping;
//! use annotate::train::manifest::Split;
//! use annotate::train::progress::{EpochRecord, TrainingProgress};
//! use annotate::train::run::{Data, Parts, run};
//! use annotate::train::{dataset, recipe::Recipe, start::Prepared};
//!
//! struct Quiet;
//! impl TrainingProgress for Quiet {
//!     fn step(&mut self, _epoch: usize, _step: usize, _steps: usize, _loss: f64) {}
//!     fn epoch(&mut self, record: &EpochRecord) {
//!         println!("epoch {}: {:.1} % right", record.epoch, 100.0 * record.validation_accuracy);
//!     }
//! }
//!
//! let recipe = Recipe::read(Path::new("pipelines/default/recipe.toml"), &[])?;
//! let data = Data::read(Path::new("faces.csv"))?;
//! let prepared = Prepared::new(recipe, Path::new("."), &Device::Cpu)?;
//! let load = |split| dataset::load(&data.rows, split, prepared.colours());
//! let parts = Parts { training: load(Split::Train)?, validation: load(Split::Validation)?, test: load(Split::Test)? };
//! run(&prepared, &data, &parts, Grouping::Subject, Path::new("run"), &Device::Cpu, &mut Quiet)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The rooms
//!
//! A room imports only from rooms below it (`CONTRIBUTING.md` shows the floors). From the top:
//!
//! - [`cli`]: one file a subcommand
//! - [`adapt`]: from a corpus's own annotations to pictures, and to a model fitted to them
//! - [`corpus`]: many videos: batch, plan, work, collect; [`review`]: a page on which people correct, and the way back
//! - [`train`]: the way of a training image: manifest, augment, load, train, measure, report
//! - [`agree`]: how far two annotations of one video agree
//! - [`sink`]: several formats in one pass, while the video runs or after it
//! - [`eaf`]: ELAN's documents; [`overlay`]: the video with everything drawn into it
//! - [`write`](mod@write): one file a format, all behind one `Writer` trait
//! - [`pipeline`]: the way of a frame: decode, detect, track, crop, classify, stitch, smooth, segment
//! - [`model`]: model directories, their configuration, import of published checkpoints
//! - [`nn`]: operations with gradients, layers, networks
//! - [`infer`]: a network compiled into fused steps
//! - [`page`](mod@page): pages for browsers; [`palette`]: one colour a class; [`statistics`]: kappas
//! - [`timeline`]: the words everybody uses; [`kernels`]: arithmetic
//! - [`picture`], [`files`], [`random`], [`allocator`]: the ground
//! - [`choice`]: settings that are one of a few words; `platform`: what systems do differently

#![warn(unreachable_pub, clippy::exit, clippy::print_stdout, clippy::unwrap_used)]

#[cfg(all(feature = "video", feature = "train"))]
pub mod adapt;
pub mod agree;
pub mod allocator;
#[cfg(feature = "video")]
mod annotator;
pub mod choice;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(all(feature = "video", feature = "train"))]
pub mod corpus;
pub mod eaf;
#[cfg(feature = "video")]
mod encode;
pub mod files;
pub mod infer;
pub mod kernels;
pub mod model;
pub mod nn;
#[cfg(feature = "video")]
pub mod overlay;
pub mod page;
pub mod palette;
pub mod picture;
#[cfg(feature = "video")]
pub mod pipeline;
mod platform;
pub mod random;
#[cfg(all(feature = "video", feature = "train"))]
pub mod review;
#[cfg(test)]
mod sample;
pub mod sink;
pub mod statistics;
pub mod time;
pub mod timeline;
#[cfg(feature = "train")]
pub mod train;
mod vectors;
pub mod write;

#[cfg(feature = "video")]
pub use annotator::Annotator;
pub use candle_core::Device;
pub use model::Model;
pub use timeline::{Expression, Timeline};

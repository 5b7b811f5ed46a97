//! All integration tests in one program, so that the library is linked once. Each module keeps one promise.

mod adapt;
mod agree;
mod annotate;
mod batch;
mod bench;
mod convert;
mod cuda_kernels;
mod data;
mod decode;
mod demo;
mod detectors;
mod elan;
mod faces;
mod faults;
mod floors;
mod lost_output;
mod material;
mod models;
mod own;
mod parts;
mod pictures;
mod plan;
mod reference;
mod refusals;
mod review;
mod train;

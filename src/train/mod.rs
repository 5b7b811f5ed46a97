//! The way of a training image: manifest, data set, augment, load, train, measure, report.

pub mod augment;
pub mod average;
pub mod balance;
pub mod checkpoint;
pub mod contact_sheet;
pub mod crop;
pub mod crossval;
pub mod dataset;
pub mod degrade;
pub mod distil;
pub mod fold;
pub mod grid;
pub mod import;
pub mod leakage;
pub mod loader;
pub mod log;
pub mod manifest;
pub mod metrics;
pub mod optim;
pub mod recipe;
pub mod report;
pub mod run;
pub mod schedule;
pub mod significance;
pub mod start;
pub mod trainer;

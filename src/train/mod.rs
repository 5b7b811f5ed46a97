//! The way of a training image: manifest, data set, augment, load, train, measure, report.

pub mod augment;
pub mod balance;
pub mod contact_sheet;
pub mod crop;
pub mod dataset;
pub mod fold;
pub mod import;
pub mod leakage;
pub mod loader;
pub mod manifest;
pub mod metrics;
pub mod optim;
pub mod recipe;
pub mod report;
pub mod trainer;

//! `annotate data`: data sets to manifests, their splits, what is in them, and training crops.

mod crop;
mod import;
mod inspect;
mod split;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Failure;
use super::shared::ReplaceArguments;
use crate::train::dataset::DatasetError;
use crate::train::manifest::{self, Row};

/// Arguments of `annotate data`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Make a manifest from a data set
    Import(import::Arguments),
    /// Divide a manifest into training, validation and test parts, or into folds
    Split(split::Arguments),
    /// Say what is in a manifest, and whether its parts share what they must not
    Inspect(inspect::Arguments),
    /// Cut faces out of frames and videos as annotation does
    Crop(crop::Arguments),
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        DataCommand::Import(arguments) => import::run(&arguments),
        DataCommand::Split(arguments) => split::run(&arguments),
        DataCommand::Inspect(arguments) => inspect::run(&arguments),
        DataCommand::Crop(arguments) => crop::run(&arguments),
    }
}

fn read(path: &Path) -> Result<Vec<Row>, Failure> {
    Ok(manifest::read(path)?)
}

fn save(path: &Path, rows: &[Row], replace: ReplaceArguments) -> Result<(), Failure> {
    Ok(manifest::put(path, rows, replace.existing())?)
}

fn unreadable(manifest: &Path, error: &DatasetError) -> Failure {
    Failure::Input(format!("{}, {error}", manifest.display()))
}

/// The folder beside a manifest for pictures that belong to it.
fn pictures_of(manifest: &Path) -> PathBuf {
    manifest.with_extension("pictures")
}

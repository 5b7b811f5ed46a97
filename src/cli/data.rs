//! `annotate data import`: from published data sets to manifests.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use crate::train::import::fer2013::{self, Labelling};
use crate::train::manifest;
use crate::write::put;

/// Arguments of `annotate data`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Make a manifest from a data set
    Import(ImportArguments),
}

#[derive(Debug, Args)]
struct ImportArguments {
    /// The data set's format
    #[arg(value_enum)]
    format: DataSet,
    /// The folder that holds it
    folder: PathBuf,
    /// Whose labels to take
    #[arg(long, value_enum, default_value = "ferplus")]
    labels: Labelling,
    /// The manifest to write
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum DataSet {
    /// FER2013 pictures in strips, with FER+ votes
    Fer2013,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let DataCommand::Import(arguments) = arguments.command;
    let folder =
        arguments.folder.canonicalize().map_err(|e| Failure::Input(format!("{}: {e}", arguments.folder.display())))?;
    let (rows, left_out) = match arguments.format {
        DataSet::Fer2013 => fer2013::import(&folder, arguments.labels).map_err(|e| Failure::Input(e.to_string()))?,
    };
    put(&arguments.out, |out| manifest::write(&rows, out).map_err(std::io::Error::other))
        .map_err(|e| Failure::Output(e.to_string()))?;
    eprintln!(
        "{}: {} images; left out {} with no majority for the seven classes and {} training images with an identical \
         picture in another split",
        arguments.out.display(),
        rows.len(),
        left_out.outside_the_classes,
        left_out.leaking_duplicates
    );
    Ok(())
}

//! `annotate models`: what models there are, what one is, and whether its files are sound.

use std::path::PathBuf;

use candle_core::Device;
use clap::{Args, Subcommand};

use super::{Failure, print};
use crate::model::registry::{self, EMBEDDED};

/// Arguments of `annotate models`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Names of the built-in models
    List,
    /// A model's card, or its config where it has none
    Show {
        /// A model directory or the name of a built-in model
        #[arg(default_value = registry::DEFAULT)]
        model: PathBuf,
    },
    /// Check that a model's files belong together and hold what they should
    Verify {
        /// A model directory or the name of a built-in model
        #[arg(default_value = registry::DEFAULT)]
        model: PathBuf,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        ModelsCommand::List => print(EMBEDDED.iter().map(|m| format!("{}\n", m.name)).collect::<String>().as_bytes()),
        ModelsCommand::Show { model } => print(registry::card(&model).map_err(configuration)?.as_bytes()),
        ModelsCommand::Verify { model } => {
            let loaded = registry::open(&model, &Device::Cpu).map_err(configuration)?;
            let identity = loaded.identity();
            print(format!("{}: sound (SHA-256 {})\n", identity.name, identity.sha256).as_bytes())
        }
    }
}

fn configuration(error: crate::model::ModelError) -> Failure {
    Failure::Configuration(error.to_string())
}

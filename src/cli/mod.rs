//! The command line: one file a subcommand, each from arguments to settings to a call into the library.

mod data;
mod evaluate;
mod exit;
mod train;

use clap::{Parser, Subcommand};

pub use exit::{Failure, exit_code};

/// Writes down what a signer's face does, frame by frame.
#[derive(Debug, Parser)]
#[command(name = "annotate", version, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fit one model
    Train(train::Arguments),
    /// Measure a model on labelled images
    Evaluate(evaluate::Arguments),
    /// Make and look at data sets
    Data(data::Arguments),
}

impl Cli {
    /// Does what the arguments ask for.
    ///
    /// # Errors
    /// With the reason and the exit code it stands for.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Train(arguments) => train::run(&arguments),
            Command::Evaluate(arguments) => evaluate::run(&arguments),
            Command::Data(arguments) => data::run(arguments),
        }
    }
}

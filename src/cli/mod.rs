//! The command line: one file a subcommand, each from arguments to settings to a call into the library.

mod agree;
mod annotate;
mod apply;
mod batch;
mod collect;
mod crossval;
mod data;
mod device;
mod elan_recognizer;
mod evaluate;
mod exit;
mod limits;
mod models;
mod output;
mod plan;
mod progress;
mod review;
mod settings;
mod shared;
mod signals;
mod strip;
mod train;
mod work;

use std::io::Write as _;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use annotate::with_dashes;
pub use exit::{Failure, exit_code};

/// Writes down what a signer's face does, frame by frame.
///
/// `annotate VIDEO... -o labels.json` annotates videos; the subcommands below do everything else.
#[derive(Debug, Parser)]
#[command(
    name = "annotate",
    version,
    max_term_width = 120,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = EXIT_CODES,
    after_long_help = EXIT_CODES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    annotate: annotate::Arguments,
}

const EXIT_CODES: &str = "Exit codes: 0 complete, 1 unforeseen, 2 usage, 3 input refused, 4 result written but partial, \
                          5 model or configuration refused, 6 output cannot be written, 7 a limit was reached, \
                          8 some of several inputs are 3, 4 or 7, 75 try again, 130/143 interrupted";

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Fit one model, or a grid of recipes
    Train(train::Arguments),
    /// Measure a recipe by cross-validation
    Crossval(crossval::Arguments),
    /// Measure a model on labelled images
    Evaluate(evaluate::Arguments),
    /// Annotate a corpus on this machine; the same command again goes on where it was left
    Batch(batch::Arguments),
    /// Cut a corpus into units of work for several machines
    Plan(plan::Arguments),
    /// Do one shard of a plan; what is done is skipped
    Work(work::Arguments),
    /// Put the parts of a plan together
    Collect(collect::Arguments),
    /// Measure how far two annotations of one video agree
    Agree(agree::Arguments),
    /// Make a page to look at an annotation beside its video and correct it
    Review(review::Arguments),
    /// Do what ELAN asks for on standard input (see --install)
    ElanRecognizer(elan_recognizer::Arguments),
    /// Take corrections from the review page back
    Apply(apply::Arguments),
    /// Make data sets
    Data(data::Arguments),
    /// List, show and check models
    Models(models::Arguments),
    /// Print the JSON Schema of labels.json
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

impl Cli {
    /// Does what the arguments ask for.
    ///
    /// # Errors
    /// With the reason and the exit code it stands for.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            None => annotate::run(self.annotate),
            Some(Subcommands::Train(arguments)) => train::run(&arguments),
            Some(Subcommands::Crossval(arguments)) => crossval::run(&arguments),
            Some(Subcommands::Evaluate(arguments)) => evaluate::run(&arguments),
            Some(Subcommands::Batch(arguments)) => batch::run(arguments),
            Some(Subcommands::Plan(arguments)) => plan::run(&arguments),
            Some(Subcommands::Work(arguments)) => work::run(&arguments),
            Some(Subcommands::Collect(arguments)) => collect::run(&arguments),
            Some(Subcommands::Agree(arguments)) => agree::run(&arguments),
            Some(Subcommands::Review(arguments)) => review::run(&arguments),
            Some(Subcommands::ElanRecognizer(arguments)) => elan_recognizer::run(&arguments),
            Some(Subcommands::Apply(arguments)) => apply::run(&arguments),
            Some(Subcommands::Data(arguments)) => data::run(arguments),
            Some(Subcommands::Models(arguments)) => models::run(arguments),
            Some(Subcommands::Schema) => print(crate::timeline::JSON_SCHEMA.as_bytes()),
            Some(Subcommands::Completions { shell }) => {
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "annotate", &mut text);
                print(&text)
            }
            Some(Subcommands::Man) => {
                let mut text = Vec::new();
                clap_mangen::Man::new(Self::command()).render(&mut text).map_err(anyhow::Error::from)?;
                print(&text)
            }
        }
    }
}

/// Data for standard output. A reader that has gone away has seen enough.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Output(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

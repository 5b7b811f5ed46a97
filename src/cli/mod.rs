//! The command line: one file a subcommand, each from arguments to settings to a call into the library.

/// Says something to a person, as `eprintln!` does.
macro_rules! talk {
    ($($argument:tt)*) => {
        $crate::cli::say(&format!($($argument)*))
    };
}

mod adapt;
mod agree;
mod annotate;
mod annotations;
mod apply;
mod batch;
mod bench;
mod calibration;
mod choice;
mod collect;
mod continued;
mod convert;
mod crossval;
mod data;
mod demo;
mod device;
mod elan_recognizer;
mod evaluate;
mod exit;
mod face_lines;
mod limits;
mod models;
mod output;
mod pictures;
mod plan;
mod progress;
mod range;
mod review;
mod settings;
mod shared;
mod signals;
mod strip;
mod train;
mod training;
mod work;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::files::{self, visible, visible_lines};

pub use annotate::with_dashes;
pub use exit::{Failure, exit_code};
pub use limits::memory_is_exhausted;

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
                          8 some of several inputs are 3, 4, 6 or 7, 75 try again, 129/130/143 interrupted";

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Fit one model, or a grid of recipes
    Train(train::Arguments),
    /// Measure a recipe by cross-validation
    Crossval(crossval::Arguments),
    /// Measure a model on labelled images
    Evaluate(evaluate::Arguments),
    /// Fit a model to a corpus's own annotations, and prove what that gains
    Adapt(adapt::Arguments),
    /// Annotate a corpus on this machine; the same command again goes on where it was left
    Batch(batch::Arguments),
    /// Cut a corpus into units of work for several machines
    Plan(plan::Arguments),
    /// Do one shard of a plan; what is done is skipped
    Work(work::Arguments),
    /// Put the parts of a plan together
    Collect(collect::Arguments),
    /// Measure how fast this machine classifies faces and, given a video, every stage
    Bench(bench::Arguments),
    /// Measure how far two annotations of one video agree
    Agree(agree::Arguments),
    /// Make a page to look at an annotation beside its video and correct it
    Review(review::Arguments),
    /// Do what ELAN asks for on standard input (see --install)
    ElanRecognizer(elan_recognizer::Arguments),
    /// Take corrections from the review page, or from ELAN, back
    Apply(apply::Arguments),
    /// Make other formats from a labels.json, corrected or not, without decoding again
    Convert(convert::Arguments),
    /// Make data sets
    Data(data::Arguments),
    /// List, show and check models
    Models(models::Arguments),
    /// Annotate the clip that is built in, and show the result beside its truth
    Demo(demo::Arguments),
    /// Classify pictures of faces, or find faces in pictures, for another program on standard input (the Python package)
    #[command(hide = true)]
    Pictures(pictures::Arguments),
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
        #[cfg(unix)]
        crate::allocator::watch_aborts(memory_is_exhausted);
        crate::platform::signals::survive_full_quota().map_err(anyhow::Error::from)?;
        match self.command {
            None => annotate::run(self.annotate),
            Some(Subcommands::Train(arguments)) => train::run(&arguments),
            Some(Subcommands::Crossval(arguments)) => crossval::run(&arguments),
            Some(Subcommands::Evaluate(arguments)) => evaluate::run(&arguments),
            Some(Subcommands::Adapt(arguments)) => adapt::run(&arguments),
            Some(Subcommands::Batch(arguments)) => batch::run(&arguments),
            Some(Subcommands::Plan(arguments)) => plan::run(&arguments),
            Some(Subcommands::Work(arguments)) => work::run(&arguments),
            Some(Subcommands::Collect(arguments)) => collect::run(&arguments),
            Some(Subcommands::Bench(arguments)) => bench::run(&arguments),
            Some(Subcommands::Agree(arguments)) => agree::run(&arguments),
            Some(Subcommands::Review(arguments)) => review::run(&arguments),
            Some(Subcommands::ElanRecognizer(arguments)) => elan_recognizer::run(&arguments),
            Some(Subcommands::Apply(arguments)) => apply::run(&arguments),
            Some(Subcommands::Convert(arguments)) => convert::run(&arguments),
            Some(Subcommands::Data(arguments)) => data::run(arguments),
            Some(Subcommands::Models(arguments)) => models::run(arguments),
            Some(Subcommands::Demo(arguments)) => demo::run(&arguments),
            Some(Subcommands::Pictures(arguments)) => pictures::run(&arguments),
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

/// Lines for a person on standard error. Names and labels in them may come from anywhere: none of them steers the terminal or
/// fills it.
fn say(text: &str) {
    let lines: Vec<String> = text.lines().map(visible).collect();
    // Where the message cannot be written, the exit code has to do.
    let _ = writeln!(std::io::stderr().lock(), "{}", lines.join("\n"));
}

/// Paths one after the other.
fn printable_list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Text for a person on standard output. A reader that has gone away has seen enough.
fn print_text(text: &str) -> Result<(), Failure> {
    match put_out(visible_lines(text).as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        put => put.map_err(lost),
    }
}

/// Data for standard output. Where a reader has gone away, a part of it is lost.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    put_out(bytes).map_err(lost)
}

fn lost(error: std::io::Error) -> Failure {
    Failure::Output(format!("standard output: {error}"))
}

fn put_out(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = files::stdout()?.lock();
    out.write_all(bytes)?;
    // What is still in its buffer at the end would be lost without an error.
    out.flush()
}

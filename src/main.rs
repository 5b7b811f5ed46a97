//! Parse arguments, call one function, map the error to an exit code; nothing else.

#![warn(clippy::exit, clippy::print_stdout, clippy::unwrap_used)]

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: annotate::allocator::Allocator = annotate::allocator::Allocator;

fn main() -> ExitCode {
    match annotate::cli::Cli::parse_from(annotate::cli::with_dashes(std::env::args_os())).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where the message cannot be written, the exit code has to do.
            let _ = writeln!(std::io::stderr(), "annotate: {failure}");
            ExitCode::from(annotate::cli::exit_code(&failure))
        }
    }
}

//! Parse arguments, call one function, map the error to an exit code; nothing else.

#![warn(clippy::exit, clippy::print_stdout, clippy::unwrap_used)]

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;

#[global_allocator]
static ALLOCATOR: annotate::allocator::Allocator =
    annotate::allocator::Allocator::ending_with(annotate::cli::memory_is_exhausted);

/// Whether standard output was closed when the program began.
static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

#[cfg(target_os = "linux")]
/// Looks before Rust's own start, which opens `/dev/null` instead of what is closed.
extern "C" fn look_at_stdout() {
    STDOUT_WAS_CLOSED.store(rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err(), Ordering::Relaxed);
}

// SAFETY: the section holds functions that the loader calls before `main`; this one asks the system for a flag and stores it,
// for which it needs nothing of Rust's start.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "nothing else runs before Rust's own start")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look_at_stdout;

fn main() -> ExitCode {
    if STDOUT_WAS_CLOSED.load(Ordering::Relaxed) {
        annotate::files::stdout_was_closed();
    }
    match annotate::cli::Cli::parse_from(annotate::cli::with_dashes(std::env::args_os())).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where the message cannot be written, the exit code has to do.
            let _ = writeln!(std::io::stderr(), "annotate: {failure}");
            ExitCode::from(annotate::cli::exit_code(&failure))
        }
    }
}

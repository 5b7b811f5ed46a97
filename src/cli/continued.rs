//! A batch that goes on when the memory does not suffice.
//!
//! Without memory there is no way to unwind: the program replaces itself by a new one with the same arguments and one more. The
//! log says what was worked on; that is tried once more, one video at a time, and what again takes all memory fails alone.

use std::io::{self, Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::allocator;
use crate::corpus::inputs::LONGEST_LIST;

/// The argument that says so.
const ARGUMENT: &str = "--memory-ended";

/// The new program, made while there is memory.
static AGAIN: Mutex<Option<Command>> = Mutex::new(None);

/// Has the program replaced by a new one when the memory does not suffice.
///
/// # Errors
/// If the program's own path cannot be found out.
pub(super) fn arrange() -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut arguments: Vec<_> = std::env::args_os().skip(1).filter(|argument| argument != ARGUMENT).collect();
    // Behind the subcommand, where no list of values takes it.
    arguments.insert(1.min(arguments.len()), ARGUMENT.into());
    command.args(arguments);
    if let Ok(mut again) = AGAIN.lock() {
        *again = Some(command);
    }
    allocator::instead_of_ending(replace);
    Ok(())
}

fn replace() {
    if let Ok(mut again) = AGAIN.try_lock()
        && let Some(command) = again.as_mut()
    {
        // Comes back only where it failed.
        let _ = command.exec();
    }
}

/// Keeps a list that comes on standard input, so that the program that goes on finds it again.
///
/// # Errors
/// If it cannot be read or kept.
pub(super) fn keep_list(inputs: &[PathBuf], is_continued: bool) -> io::Result<()> {
    if !inputs.iter().any(|input| input == Path::new("-")) {
        return Ok(());
    }
    if is_continued {
        rustix::fs::seek(rustix::stdio::stdin(), rustix::fs::SeekFrom::Start(0))?;
        return Ok(());
    }
    let mut list = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock().take(LONGEST_LIST), &mut list)?;
    list.rewind()?;
    rustix::stdio::dup2_stdin(&list)?;
    Ok(())
}

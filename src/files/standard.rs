//! Standard output, which may have been closed before the program began.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Says that standard output was closed when the program began. Rust opens `/dev/null` instead, where results would be lost
/// without an error.
pub fn stdout_was_closed() {
    IS_CLOSED.store(true, Ordering::Relaxed);
}

/// Standard output.
///
/// # Errors
/// If it was closed when the program began.
pub(crate) fn stdout() -> io::Result<io::Stdout> {
    match IS_CLOSED.load(Ordering::Relaxed) {
        true => Err(io::Error::other("it is closed")),
        false => Ok(io::stdout()),
    }
}

//! Windows. It has no pipes in the file system, no limit of address space and no hang-up.

use std::ffi::OsString;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::windows::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use super::FileFacts;

/// Standard input cannot be opened once more.
pub(crate) const STDIN: Option<&str> = None;

/// Whether the address space can be limited.
pub(crate) const LIMITS_ADDRESS_SPACE: bool = false;

/// The name that these bytes are; what is not Unicode in it is replaced.
pub(crate) fn name_from_bytes(bytes: Vec<u8>) -> OsString {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()).into()
}

/// What is known of an open file.
pub(crate) fn facts_of(file: &File) -> io::Result<FileFacts> {
    let known = winapi_util::file::information(file)?;
    let modified = nanoseconds(known.last_write_time().unwrap_or(0));
    Ok(FileFacts {
        device: known.volume_serial_number(),
        number: known.file_index(),
        names: known.number_of_links(),
        size: known.file_size(),
        modified,
        changed: modified,
    })
}

/// What is known of the file at `path`, links followed.
pub(crate) fn facts_at(path: &Path) -> io::Result<FileFacts> {
    facts_of(&File::open(path)?)
}

/// From steps of 100 ns since 1601 to nanoseconds since 1970.
fn nanoseconds(steps: u64) -> i64 {
    const STEPS_TO_1970: i64 = 116_444_736_000_000_000;
    steps.cast_signed().saturating_sub(STEPS_TO_1970).saturating_mul(100)
}

/// Whether it is a named pipe: none lies in a folder.
pub(crate) fn is_pipe(_: FileType) -> bool {
    false
}

/// Opens a file.
pub(crate) fn open_without_waiting(options: &OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

/// The same; nothing where `path` is a link.
pub(crate) fn open_no_link(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
    match path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        true => Ok(None),
        false => options.open(path).map(Some),
    }
}

/// Fills `bytes` from offset `at` of the file.
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_read(bytes, at)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                at += read as u64;
            }
        }
    }
    Ok(())
}

/// Whether standard input is a file of which nothing has been read; never asked here, as it cannot be opened once more.
pub(crate) fn stdin_is_at_start() -> bool {
    false
}

/// Waits for bytes in a pipe; here no pipe can be opened.
pub(crate) fn wait_for_bytes(_: &File, _: Duration) -> io::Result<bool> {
    Ok(true)
}

/// The number by which this process knows an open file: here files have handles instead.
pub(crate) fn descriptor(_: &File) -> io::Result<i32> {
    Err(ErrorKind::Unsupported.into())
}

/// A temporary file has what its folder gives it, as any new file.
pub(crate) fn readable_as_new(_: &mut tempfile::Builder) {}

/// What can be run is told by its name.
pub(crate) fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Writes to standard error without a buffer.
pub(crate) fn say_without_memory(line: &[u8]) {
    let _ = io::stderr().write(line);
}

/// There is no limit.
pub(crate) fn address_space_limit() -> Option<u64> {
    None
}

/// There is no limit that could be set.
pub(crate) fn limit_address_space(_: u64) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

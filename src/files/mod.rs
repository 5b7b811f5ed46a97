//! Files in and out: untrusted files are read up to a limit, outputs appear whole or not at all and never over what a
//! person has done.

mod atomic;
mod ledger;
mod lock;
mod same;
mod spreadsheet;
mod standard;
pub(crate) mod state;
#[cfg(feature = "train")]
pub(crate) mod table;
mod visible;

#[cfg(all(feature = "video", feature = "train"))]
pub(crate) use atomic::remove_leftovers;
pub use atomic::{Output, OutputOptions, WriteError, is_touched, put};
pub use ledger::NAME as LEDGER;
#[cfg(all(feature = "video", feature = "train"))]
pub(crate) use ledger::remember;
pub use lock::{Lock, LockError, NAME as LOCK};
pub use same::{is_same_file, refuse_inputs};
pub use spreadsheet::{spreadsheet_cell, text_of_cell};
pub(crate) use standard::stdout;
pub use standard::stdout_was_closed;
pub use visible::{visible, visible_lines};

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::platform::{is_pipe, open_without_waiting};

/// A text that a person writes by hand: a recipe, a preset, a configuration.
pub(crate) const HANDWRITTEN: u64 = 4 << 20;

/// A path without what it tells of the machine: a relative one as it is, of an absolute one the file's name.
pub(crate) fn public_path(path: &Path) -> &Path {
    match (path.is_absolute(), path.file_name()) {
        (true, Some(name)) => Path::new(name),
        _ => path,
    }
}

/// All bytes of a file or pipe that the user named.
///
/// # Errors
/// If it cannot be read, or has more than `most` bytes; then it has not been read into memory.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A device may give bytes without end.
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !is_pipe(kind) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is neither a file nor a pipe"));
    }
    read_open(file, most)
}

/// All bytes of a file that was found and not named: a pipe there, whose other end may never come, is refused at once.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_found(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_open(open_found(path)?, most)
}

/// Opens a file that was found and not named.
///
/// # Errors
/// If it cannot be opened or is no ordinary file.
pub(crate) fn open_found(path: &Path) -> io::Result<File> {
    let file = open_without_waiting(OpenOptions::new().read(true), path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is no ordinary file")),
    }
}

fn read_open(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {} MB", most >> 20))),
        false => Ok(bytes),
    }
}

/// As [`read`] for a text.
///
/// # Errors
/// Likewise, and if it is not UTF-8.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    text_of(read(path, most)?)
}

/// As [`read_found`] for a text.
///
/// # Errors
/// Likewise, and if it is not UTF-8.
#[cfg(feature = "train")]
pub(crate) fn read_text_found(path: &Path, most: u64) -> io::Result<String> {
    text_of(read_found(path, most)?)
}

fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    let not_utf8 = |e: std::string::FromUtf8Error| {
        let at = e.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 (byte {at})"))
    };
    String::from_utf8(bytes).map_err(not_utf8)
}

/// Why a text is not the TOML that was wanted, and where; nothing of the text itself, which may hold a secret.
pub(crate) fn toml_fault(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(String::new(), |before| format!("line {}: ", before.matches('\n').count() + 1));
    format!("{line}{}", error.message().trim_end())
}

/// SHA-256 of a file, in lower-case hexadecimal; none where `stop` asked to leave off.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn file_sha256(path: &Path, stop: &dyn Fn() -> bool) -> std::io::Result<Option<String>> {
    let mut file = open_found(path)?;
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; 1 << 18];
    while !stop() {
        match file.read(&mut chunk)? {
            0 => return Ok(Some(hexadecimal(&sha256.finalize()))),
            count => sha256.update(&chunk[..count]),
        }
    }
    Ok(None)
}

/// SHA-256 of `bytes`, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// `bytes` in lower-case hexadecimal, two digits each.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_files_are_refused_and_the_position_of_broken_text_is_named() {
        let error = read(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it is neither a file nor a pipe");
        let error = read_found(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it is no ordinary file");
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_found(&pipe, 1 << 20).unwrap_err().to_string(), "it is no ordinary file");
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len((1 << 20) + 1).unwrap();
        assert_eq!(read(file.path(), 1 << 20).unwrap_err().to_string(), "it is larger than 1 MB");
        std::fs::write(file.path(), b"ab\xff").unwrap();
        assert_eq!(read_text(file.path(), 3).unwrap_err().to_string(), "it is not UTF-8 (byte 2)");
        assert_eq!(read(file.path(), 3).unwrap(), b"ab\xff");
    }
}

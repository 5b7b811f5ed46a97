//! Linux, macOS and their like.

use std::ffi::OsString;
use std::fs::{File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::FileFacts;

/// Standard input as a file that can be opened once more.
pub(crate) const STDIN: Option<&str> = Some(if cfg!(target_os = "linux") { "/proc/self/fd/0" } else { "/dev/fd/0" });

/// Whether the address space can be limited.
pub(crate) const LIMITS_ADDRESS_SPACE: bool = true;

/// The name that these bytes are.
pub(crate) fn name_from_bytes(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// What is known of an open file.
pub(crate) fn facts_of(file: &File) -> io::Result<FileFacts> {
    Ok(facts(&file.metadata()?))
}

/// What is known of the file at `path`, links followed.
pub(crate) fn facts_at(path: &Path) -> io::Result<FileFacts> {
    Ok(facts(&std::fs::metadata(path)?))
}

fn facts(metadata: &Metadata) -> FileFacts {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    FileFacts {
        device: metadata.dev(),
        number: metadata.ino(),
        names: metadata.nlink(),
        size: metadata.len(),
        modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Whether it is a named pipe.
pub(crate) fn is_pipe(kind: FileType) -> bool {
    kind.is_fifo()
}

/// Opens a file; a pipe without waiting for its other end.
pub(crate) fn open_without_waiting(options: &OpenOptions, path: &Path) -> io::Result<File> {
    options.clone().custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// The same; nothing where `path` is a link.
pub(crate) fn open_no_link(options: &OpenOptions, path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match options.clone().custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Fills `bytes` from offset `at` of the file.
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(bytes, at)
}

/// Whether standard input is a file of which nothing has been read.
pub(crate) fn stdin_is_at_start() -> bool {
    rustix::fs::tell(io::stdin()) == Ok(0)
}

/// Waits for bytes in a pipe, or its end; false after `patience` without any.
pub(crate) fn wait_for_bytes(pipe: &File, patience: Duration) -> io::Result<bool> {
    let patience = Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
    match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&patience)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The number by which this process knows an open file.
pub(crate) fn descriptor(file: &File) -> io::Result<i32> {
    Ok(file.as_raw_fd())
}

/// Lets a temporary file have what a new file gets, less the umask; tempfile alone would let no other user read it.
pub(crate) fn readable_as_new(builder: &mut tempfile::Builder) {
    builder.permissions(Permissions::from_mode(0o666));
}

/// Lets everybody run the program at `path`.
pub(crate) fn make_executable(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Writes to standard error without allocating.
pub(crate) fn say_without_memory(line: &[u8]) {
    let _ = rustix::io::write(rustix::stdio::stderr(), line);
}

/// The limit of this process's address space, bytes.
pub(crate) fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Sets it.
pub(crate) fn limit_address_space(bytes: u64) -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::As);
    Ok(setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum })?)
}

//! Outputs that appear whole or not at all.
//!
//! A file is written under a temporary name in the folder of its destination, brought to the disk, and renamed; until
//! then an earlier file of that name stays as it was. Standard output and devices are written directly.
//!
//! Whoever writes a temporary file holds a lock on it. One without a lock belongs to a run that was killed, and the next run
//! that writes into its folder removes it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

/// What the names of unfinished files begin with,
const PREFIX: &str = ".annotate-";
/// and end in.
const SUFFIX: &str = ".tmp";

/// Why an output cannot be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum WriteError {
    #[error("{path}: the folder {folder} does not exist")]
    FolderMissing { path: PathBuf, folder: PathBuf },
    #[error("{path}: {folder} is not a folder")]
    NotAFolder { path: PathBuf, folder: PathBuf },
    #[error("{path}: is a folder, not a file")]
    IsAFolder { path: PathBuf },
    #[error("{path}: an existing file that is write-protected")]
    WriteProtected { path: PathBuf },
    #[error("{path}: no permission to write in {folder}")]
    NotPermitted { path: PathBuf, folder: PathBuf },
    #[error("{path}: the disk is full")]
    DiskFull { path: PathBuf },
    #[error("{path}: cannot be written: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// One output being written. Dropped without [`commit`](Self::commit), it leaves no trace.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Stdout(io::Stdout),
    /// A pipe or device: there is nothing to rename.
    Device(File),
    File {
        temporary: NamedTempFile,
        /// Where the file goes; `path` with symbolic links followed.
        destination: PathBuf,
    },
}

impl Output {
    /// An output for `path`, `-` being standard output. Fails now, and not after an hour of work, where the place
    /// cannot be written.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let target = if path == Path::new("-") { Target::Stdout(io::stdout()) } else { Target::open(path)? };
        Ok(Self { path: path.into(), target })
    }

    /// Whether somebody may be reading along: standard output, a pipe or a device.
    pub fn is_stream(&self) -> bool {
        !matches!(self.target, Target::File { .. })
    }

    /// The file being written, for libraries that write by name; none for streams.
    pub fn place(&self) -> Option<&Path> {
        match &self.target {
            Target::File { temporary, .. } => Some(temporary.path()),
            _ => None,
        }
    }

    /// Writes all of `content` and puts the output in its place.
    ///
    /// # Errors
    /// If it cannot be written; nothing has changed then.
    pub fn fill(mut self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
        let mut buffered = BufWriter::new(&mut self);
        let written = content(&mut buffered).and_then(|()| buffered.flush());
        // What a failed writer still holds is not tried again.
        drop(buffered.into_parts());
        match written {
            Ok(()) => self.commit(),
            Err(source) => Err(self.error(source)),
        }
    }

    /// Puts the output in its place. An existing file of that name is replaced in one step.
    pub fn commit(mut self) -> Result<(), WriteError> {
        self.flush().map_err(|source| self.error(source))?;
        let Target::File { temporary, destination } = self.target else { return Ok(()) };
        let placed = temporary.as_file().sync_all().and_then(|()| Ok(temporary.persist(&destination)?));
        placed.map_err(|source| WriteError::new(&self.path, source))?;
        // Makes the new name survive a power cut. The file is complete either way, and not every file system can.
        let _ = File::open(folder_of(&destination)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// The error to report where writing to this output failed with `source`.
    pub fn error(&self, source: io::Error) -> WriteError {
        WriteError::new(&self.path, source)
    }
}

/// Writes a file whole: all of `content`, or nothing.
///
/// # Errors
/// If it cannot be written.
pub fn put(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    Output::create(path)?.fill(content)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Target::Stdout(stdout) => stdout.write(bytes),
            Target::Device(device) => device.write(bytes),
            Target::File { temporary, .. } => temporary.as_file_mut().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Stdout(stdout) => stdout.flush(),
            Target::Device(device) => device.flush(),
            Target::File { temporary, .. } => temporary.as_file_mut().flush(),
        }
    }
}

impl Target {
    fn open(path: &Path) -> Result<Self, WriteError> {
        let fail = |source| WriteError::new(path, source);
        let existing = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        // Following links replaces the file that a link points to and keeps the link.
        let destination = match &existing {
            Some(metadata) if metadata.is_dir() => return Err(WriteError::IsAFolder { path: path.into() }),
            Some(metadata) if !metadata.is_file() => {
                return Ok(Self::Device(OpenOptions::new().write(true).open(path).map_err(fail)?));
            }
            // A rename would go past the protection of the file, since it only needs the folder's consent.
            Some(metadata) if metadata.permissions().readonly() => {
                return Err(WriteError::WriteProtected { path: path.into() });
            }
            Some(_) => fs::canonicalize(path).map_err(fail)?,
            None => path.into(),
        };
        let folder = folder_of(&destination);
        if !folder.exists() {
            return Err(WriteError::FolderMissing { path: path.into(), folder: folder.into() });
        }
        remove_leftovers(folder);
        let temporary = temporary_in(folder).map_err(fail)?;
        if let Some(metadata) = existing {
            temporary.as_file().set_permissions(metadata.permissions()).map_err(fail)?;
        }
        Ok(Self::File { temporary, destination })
    }
}

/// A temporary file under a lock of ours.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        // What a new file gets, less the umask; tempfile alone would let nobody else read it.
        let temporary = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        // A file system without locks has no leftovers removed either.
        let is_taken = temporary.as_file().try_lock().is_err_and(|e| matches!(e, fs::TryLockError::WouldBlock));
        // Another run may have taken it for a leftover before the lock was there.
        if !is_taken && temporary.as_file().metadata()?.nlink() > 0 {
            return Ok(temporary);
        }
    }
}

/// Removes what killed runs have left in `folder`; once a folder and run, as a folder may hold a corpus.
pub(crate) fn remove_leftovers(folder: &Path) {
    static SEEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.get_or_insert_default().insert(folder.into()) {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if is_ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The folder that `path` lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl WriteError {
    /// What `source`, met while writing `path`, means for a person.
    pub fn new(path: &Path, source: io::Error) -> Self {
        let folder = folder_of(path).to_path_buf();
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::NotFound if folder.is_dir() => {
                let taken_away = io::Error::new(ErrorKind::NotFound, "its temporary file was taken away");
                Self::Io { path, source: taken_away }
            }
            ErrorKind::NotFound => Self::FolderMissing { path, folder },
            ErrorKind::NotADirectory => Self::NotAFolder { path, folder },
            ErrorKind::IsADirectory => Self::IsAFolder { path },
            ErrorKind::PermissionDenied => Self::NotPermitted { path, folder },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn an_existing_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.json");
        fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        output.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(folder.path()), ["labels.json"]);
    }

    #[test]
    fn an_output_that_is_given_up_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::create(&folder.path().join("labels.json")).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert!(names_in(folder.path()).is_empty());
    }

    #[test]
    fn what_a_killed_run_has_left_is_removed_and_what_another_run_is_writing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path(".annotate-killed.tmp"), "half").unwrap();
        fs::write(path(".annotate-other.txt"), "not ours").unwrap();
        let running = temporary_in(folder.path()).unwrap();
        Output::create(&path("labels.json")).unwrap().commit().unwrap();
        assert!(!path(".annotate-killed.tmp").exists());
        assert!(running.path().exists() && path(".annotate-other.txt").exists());
    }

    #[test]
    fn a_new_file_has_the_mode_of_any_new_file_and_a_replaced_one_keeps_its_own() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let ordinary = folder.path().join("ordinary");
        fs::write(&ordinary, "").unwrap();
        let path = folder.path().join("labels.json");
        Output::create(&path).unwrap().commit().unwrap();
        assert_eq!(mode(&path), mode(&ordinary));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        Output::create(&path).unwrap().commit().unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file.json", "link.json"].map(|name| folder.path().join(name));
        fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        let mut output = Output::create(&link).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn a_device_is_written_and_not_replaced() {
        let output = Output::create(Path::new("/dev/null")).unwrap();
        assert!(output.is_stream());
        output.commit().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::write(path("protected.json"), "").unwrap();
        fs::set_permissions(path("protected.json"), Permissions::from_mode(0o444)).unwrap();
        let message = |name: &str| {
            let message = Output::create(&path(name)).unwrap_err().to_string();
            message.replace(folder.path().to_str().unwrap(), "FOLDER")
        };
        assert_eq!(message("no/labels.json"), "FOLDER/no/labels.json: the folder FOLDER/no does not exist");
        assert_eq!(message("file/labels.json"), "FOLDER/file/labels.json: FOLDER/file is not a folder");
        assert_eq!(message(""), "FOLDER/: is a folder, not a file");
        assert_eq!(message("protected.json"), "FOLDER/protected.json: an existing file that is write-protected");
        let denied = WriteError::new(Path::new("labels.json"), ErrorKind::PermissionDenied.into());
        assert_eq!(denied.to_string(), "labels.json: no permission to write in .");
    }
}

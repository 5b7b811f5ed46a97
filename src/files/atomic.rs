//! Outputs that appear whole or not at all, and never over what a person has done.
//!
//! A file is written under a temporary name in the folder of its destination, brought to the disk, and renamed; until
//! then an earlier file of that name stays as it was. Standard output and devices are written directly.
//!
//! A file that is there already is replaced only if it is as this program wrote it (see [`ledger`](super::ledger)) or empty,
//! unless [`OutputOptions::overwrite`] says otherwise.
//!
//! Whoever writes a temporary file holds a lock on it, and its name tells its own number on the file system. One of that kind
//! without a lock belongs to a run that was killed, and the next run that writes into its folder removes it. A file that
//! only has a name of that form was brought from elsewhere and stays.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use super::{file_sha256, hexadecimal, ledger};
use crate::platform::{FileFacts, facts_at, facts_of, readable_as_new};

/// What the names of unfinished files begin with,
const PREFIX: &str = ".annotate-";
/// and end in.
const SUFFIX: &str = ".tmp";
/// Letters and digits that are drawn for a temporary name.
const DRAWN: usize = 6;

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
    #[error("{path}: has been changed since this program wrote it, or was made by another; it stays as it is")]
    Touched { path: PathBuf },
    #[error("{path}: was changed while this run worked, and stays as it is; the new result is {kept}")]
    TouchedMeanwhile { path: PathBuf, kept: PathBuf },
    #[error("{path}: is a link, which could lead out of the folder; it stays as it is")]
    IsALink { path: PathBuf },
    #[error("{path}: is no ordinary file; it stays as it is")]
    IsNoFile { path: PathBuf },
    #[error("{path}: the output would replace the input {input}")]
    IsInput { path: PathBuf, input: PathBuf },
    #[error("{path}: cannot be written: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// How an output treats what is there already, and what it leaves behind. By default it never replaces what somebody has
/// touched, follows links, and can be told from a touched file later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputOptions {
    overwrite: bool,
    holds_hand_work: bool,
    is_state: bool,
    is_confined: bool,
}

impl OutputOptions {
    /// The default.
    pub const fn new() -> Self {
        Self { overwrite: false, holds_hand_work: false, is_state: false, is_confined: false }
    }

    /// For the program's own state, which people do not edit: it is always replaced and leaves no fingerprint; no link is followed.
    pub const fn state() -> Self {
        Self { overwrite: true, holds_hand_work: false, is_state: true, is_confined: true }
    }

    /// Whether a touched file is replaced all the same.
    pub const fn overwrite(self, overwrite: bool) -> Self {
        Self { overwrite, ..self }
    }

    /// Whether the file holds what a person decided: then it counts as touched from the beginning.
    pub const fn holds_hand_work(self, holds_hand_work: bool) -> Self {
        Self { holds_hand_work, ..self }
    }

    /// Refuses links, pipes and devices where the output is to be: the user named the folder and not the file.
    pub const fn confined(self) -> Self {
        Self { is_confined: true, ..self }
    }

    /// An output for `path`, `-` being standard output.
    ///
    /// # Errors
    /// Now, and not after an hour of work, if `path` cannot be written or holds what somebody has touched.
    pub fn create(self, path: &Path) -> Result<Output, WriteError> {
        let target = match path == Path::new("-") {
            true => Destination::Stdout(super::stdout().map_err(|source| WriteError::new(path, source))?),
            false => Destination::open(path, self)?,
        };
        Ok(Output { path: path.into(), target, options: self })
    }

    /// Writes a file whole: all of `content`, or nothing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(self, path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
        self.create(path)?.fill(content)
    }
}

/// One output being written. Dropped without [`commit`](Self::commit), it leaves no trace.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    target: Destination,
    options: OutputOptions,
}

#[derive(Debug)]
enum Destination {
    Stdout(io::Stdout),
    /// A pipe or device: there is nothing to rename.
    Device(File),
    File(Box<Pending>),
}

/// A file on its way.
#[derive(Debug)]
struct Pending {
    temporary: NamedTempFile,
    /// Where the file goes; the output's path with symbolic links followed.
    destination: PathBuf,
    /// What was there when the output was opened.
    replaced: Option<FileFacts>,
    /// Of the bytes written so far.
    digest: Sha256,
    written: u64,
}

impl Output {
    /// [`OutputOptions::create`] by default.
    ///
    /// # Errors
    /// Likewise.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        OutputOptions::new().create(path)
    }

    /// Whether another program may be reading along: standard output, a pipe or a device.
    pub fn is_stream(&self) -> bool {
        !matches!(self.target, Destination::File(_))
    }

    /// The file being written, for libraries that write by name; none for streams.
    pub fn temporary_path(&self) -> Option<&Path> {
        match &self.target {
            Destination::File(pending) => Some(pending.temporary.path()),
            _ => None,
        }
    }

    /// Writes all of `content` and moves the output to its path.
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

    /// Moves the output to its path. An existing file of that name is replaced in one step.
    ///
    /// # Errors
    /// If it cannot be written; or if somebody has changed the existing file meanwhile, and then the error says under which
    /// name the result is.
    pub fn commit(mut self) -> Result<(), WriteError> {
        self.flush().map_err(|source| self.error(source))?;
        let Destination::File(pending) = self.target else { return Ok(()) };
        let fault = |source| WriteError::new(&self.path, source);
        let Pending { temporary, destination, replaced, digest, written } = *pending;
        temporary.as_file().sync_all().map_err(fault)?;
        if !self.options.overwrite && is_touched_since(&destination, replaced) {
            let kept = keep_beside(temporary, &destination).map_err(fault)?;
            return Err(WriteError::TouchedMeanwhile { path: self.path, kept });
        }
        if !(self.options.is_state || self.options.holds_hand_work) {
            note(&temporary, &destination, digest, written).map_err(fault)?;
        }
        temporary.persist(&destination).map_err(|error| fault(error.error))?;
        // Makes the new name survive a power cut. The file is complete either way, and not every file system can.
        let _ = File::open(folder_of(&destination)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// The error to report where writing to this output failed with `source`.
    pub fn error(&self, source: io::Error) -> WriteError {
        WriteError::new(&self.path, source)
    }
}

/// [`OutputOptions::put`] by default.
///
/// # Errors
/// Likewise.
pub fn put(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    OutputOptions::new().put(path, content)
}

/// Whether `path` holds what somebody has touched since this program wrote it, or what this program never wrote. An empty
/// file holds nothing.
pub fn is_touched(path: &Path) -> bool {
    let Ok(destination) = fs::canonicalize(path) else { return false };
    let Ok(metadata) = fs::metadata(&destination) else { return false };
    metadata.is_file() && metadata.len() > 0 && !is_ours(&destination)
}

/// Whether the bytes of a file are this program's.
fn is_ours(destination: &Path) -> bool {
    let sha256 = file_sha256(destination, &|| false);
    sha256.ok().flatten().is_some_and(|sha256| ledger::holds(folder_of(destination), &sha256))
}

/// Whether somebody has touched what is at `destination` after it was `seen` to be replaceable.
fn is_touched_since(destination: &Path, seen: Option<FileFacts>) -> bool {
    let now = facts_at(destination).ok();
    now.is_some_and(|now| Some(now) != seen && now.size > 0 && !is_ours(destination))
}

/// Notes the bytes of a file that is about to be at `destination`.
fn note(temporary: &NamedTempFile, destination: &Path, digest: Sha256, written: u64) -> io::Result<()> {
    // A library that writes by name goes past the digest.
    let sha256 = match temporary.as_file().metadata()?.len() == written {
        true => hexadecimal(&digest.finalize()),
        false => file_sha256(temporary.path(), &|| false)?.unwrap_or_default(),
    };
    let noted = ledger::record(folder_of(destination), destination.file_name().unwrap_or_default(), &sha256);
    if let Err(error) = noted {
        // The result matters more; later it counts as touched, which loses nothing.
        tracing::warn!("{}: {error}", folder_of(destination).join(ledger::NAME).display());
    }
    Ok(())
}

/// Gives a file the first free name that begins like `destination`.
fn keep_beside(mut temporary: NamedTempFile, destination: &Path) -> io::Result<PathBuf> {
    for number in 1.. {
        let mut name = destination.as_os_str().to_owned();
        name.push(format!(".new{number}"));
        match temporary.persist_noclobber(&name) {
            Ok(_) => return Ok(name.into()),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => temporary = error.file,
            Err(error) => return Err(error.error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Destination::Stdout(stdout) => stdout.write(bytes),
            Destination::Device(device) => device.write(bytes),
            Destination::File(pending) => {
                let count = pending.temporary.as_file_mut().write(bytes)?;
                pending.digest.update(&bytes[..count]);
                pending.written += count as u64;
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Destination::Stdout(stdout) => stdout.flush(),
            Destination::Device(device) => device.flush(),
            Destination::File(pending) => pending.temporary.as_file_mut().flush(),
        }
    }
}

impl Destination {
    fn open(path: &Path, options: OutputOptions) -> Result<Self, WriteError> {
        let fail = |source| WriteError::new(path, source);
        if options.is_confined && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(WriteError::IsALink { path: path.into() });
        }
        let existing = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        // Following links replaces the file that a link points to and keeps the link.
        let destination = match &existing {
            Some(metadata) if metadata.is_dir() => return Err(WriteError::IsAFolder { path: path.into() }),
            Some(metadata) if !metadata.is_file() && options.is_confined => {
                return Err(WriteError::IsNoFile { path: path.into() });
            }
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
        if !options.overwrite && is_touched_since(&destination, None) {
            return Err(WriteError::Touched { path: path.into() });
        }
        remove_leftovers(folder);
        let temporary = temporary_in(folder).map_err(fail)?;
        let replaced = existing.as_ref().and_then(|_| facts_at(&destination).ok());
        if let Some(metadata) = existing {
            temporary.as_file().set_permissions(metadata.permissions()).map_err(fail)?;
        }
        let pending = Pending { temporary, destination, replaced, digest: Sha256::new(), written: 0 };
        Ok(Self::File(Box::new(pending)))
    }
}

/// A temporary file under a lock of ours.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let mut builder = tempfile::Builder::new();
        readable_as_new(builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(DRAWN));
        let temporary = builder.tempfile_in(folder)?;
        // A file system without locks has no leftovers removed either.
        let is_taken = temporary.as_file().try_lock().is_err_and(|e| matches!(e, fs::TryLockError::WouldBlock));
        let facts = facts_of(temporary.as_file())?;
        // Another run may have taken it for a leftover before the lock was there.
        if is_taken || facts.names == 0 {
            continue;
        }
        let name = folder.join(temporary_name(facts.number));
        if fs::symlink_metadata(&name).is_ok() {
            // Somebody's file has the name that this one should get.
            return Ok(temporary);
        }
        let (file, path) = temporary.into_parts();
        fs::rename(&path, &name)?;
        let _ = path.keep();
        return Ok(NamedTempFile::from_parts(file, TempPath::try_from_path(name)?));
    }
}

/// The name of a temporary file with this number on its file system.
fn temporary_name(number: u64) -> String {
    format!("{PREFIX}{number:x}{SUFFIX}")
}

/// What stands between prefix and suffix in a name that has the form of a temporary file's.
fn drawn_part(name: &OsStr) -> Option<String> {
    Some(name.to_string_lossy().strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.to_owned())
}

/// Whether it is of the form that the `tempfile` crate draws.
fn is_drawn_name(drawn: &str) -> bool {
    drawn.len() == DRAWN && drawn.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Removes what killed runs have left in `folder`; once a folder and run, as a folder may hold a corpus.
pub(crate) fn remove_leftovers(folder: &Path) {
    static SEEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.get_or_insert_default().insert(folder.into()) {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(is_leftover) {
        // Locked until it is gone: another run may be about to take the lock and rename the file.
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether an entry of a folder is a temporary file of ours: one that is called after its number, or one still empty under the
/// name it has before. A run that is killed at that moment leaves such a file.
fn is_leftover(entry: &fs::DirEntry) -> bool {
    let (name, path) = (entry.file_name(), entry.path());
    // The entry's own metadata: no link is followed.
    let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else { return false };
    match drawn_part(&name) {
        None => false,
        Some(drawn) if metadata.len() == 0 && is_drawn_name(&drawn) => true,
        Some(_) => facts_at(&path).is_ok_and(|facts| name == *temporary_name(facts.number)),
    }
}

/// The folder that `path` lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl WriteError {
    /// The file that could not be written.
    pub fn path(&self) -> &Path {
        match self {
            Self::FolderMissing { path, .. }
            | Self::NotAFolder { path, .. }
            | Self::IsAFolder { path }
            | Self::WriteProtected { path }
            | Self::NotPermitted { path, .. }
            | Self::DiskFull { path }
            | Self::Touched { path }
            | Self::TouchedMeanwhile { path, .. }
            | Self::IsALink { path }
            | Self::IsNoFile { path }
            | Self::IsInput { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    /// Whether something there is not to be replaced; other outputs can have their results all the same.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::IsAFolder { .. }
            | Self::WriteProtected { .. }
            | Self::Touched { .. }
            | Self::TouchedMeanwhile { .. }
            | Self::IsALink { .. }
            | Self::IsNoFile { .. }
            | Self::IsInput { .. } => true,
            Self::FolderMissing { .. }
            | Self::NotAFolder { .. }
            | Self::NotPermitted { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. } => false,
        }
    }

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
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_existing_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.json");
        put(&path, |out| out.write_all(b"old")).unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        output.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(folder.path()), [ledger::NAME, "labels.json"]);
    }

    #[test]
    fn what_somebody_has_touched_is_replaced_only_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.eaf");
        let write = |options: OutputOptions, text: &str| options.put(&path, |out| out.write_all(text.as_bytes()));
        write(OutputOptions::new(), "machine's").unwrap();
        assert!(!is_touched(&path));
        write(OutputOptions::new(), "machine's again").unwrap();
        // By an editor that writes in place, by one that renames, by another program, by `apply`.
        let renamed = |text: &str| {
            fs::write(folder.path().join("edited"), text).unwrap();
            fs::rename(folder.path().join("edited"), &path).unwrap();
        };
        fs::write(&path, "person's").unwrap();
        assert!(is_touched(&path));
        assert!(matches!(write(OutputOptions::new(), "machine's"), Err(WriteError::Touched { .. })));
        renamed("person's too");
        assert!(matches!(write(OutputOptions::new(), "machine's"), Err(WriteError::Touched { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"person's too");
        write(OutputOptions::new().overwrite(true), "machine's").unwrap();
        write(OutputOptions::new().holds_hand_work(true), "corrected").unwrap();
        assert!(matches!(write(OutputOptions::new(), "machine's"), Err(WriteError::Touched { .. })));
        // Nothing is lost with an empty file.
        fs::write(&path, "").unwrap();
        write(OutputOptions::new(), "machine's").unwrap();
        write(OutputOptions::state(), "state").unwrap();
        assert!(is_touched(&path));
    }

    #[test]
    fn what_is_touched_while_the_work_goes_on_stays_and_the_result_is_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.eaf");
        for (round, name) in ["labels.eaf.new1", "labels.eaf.new2"].into_iter().enumerate() {
            let mut output = OutputOptions::new().create(&folder.path().join(format!("{round}"))).unwrap();
            output.write_all(b"other").unwrap();
            let mut late = match round {
                0 => Output::create(&path).unwrap(),
                _ => {
                    fs::remove_file(&path).unwrap();
                    put(&path, |out| out.write_all(b"machine's")).unwrap();
                    Output::create(&path).unwrap()
                }
            };
            late.write_all(b"result").unwrap();
            fs::write(&path, "person's").unwrap();
            let message = late.commit().unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
            assert_eq!(fs::read(&path).unwrap(), b"person's");
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"result");
        }
    }

    #[test]
    fn in_a_folder_that_was_named_no_link_and_no_pipe_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), "precious").unwrap();
        symlink(at("victim"), at("link.json")).unwrap();
        symlink(at("nowhere"), at("dangling.json")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe.json")).status().unwrap().success());
        for options in [OutputOptions::new().confined(), OutputOptions::state()] {
            for name in ["link.json", "dangling.json"] {
                assert!(matches!(options.create(&at(name)), Err(WriteError::IsALink { .. })), "{name}");
            }
            assert!(matches!(options.create(&at("pipe.json")), Err(WriteError::IsNoFile { .. })));
        }
        assert_eq!(fs::read(at("victim")).unwrap(), b"precious");
        assert!(!at("nowhere").exists());
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
        let killed = temporary_in(folder.path()).unwrap().into_temp_path().keep().unwrap();
        // A video that a person has called so.
        fs::write(path(".annotate-video.tmp"), "not ours").unwrap();
        fs::write(path(".annotate-other.txt"), "not ours").unwrap();
        // Killed between making a file and naming it after its number, and two that look like it.
        fs::write(path(".annotate-aB3xYz.tmp"), "").unwrap();
        fs::write(path(".annotate-filled.tmp"), "not ours").unwrap();
        let naming = File::create(path(".annotate-Qw9rTy.tmp")).unwrap();
        naming.lock().unwrap();
        let running = temporary_in(folder.path()).unwrap();
        Output::create(&path("labels.json")).unwrap().commit().unwrap();
        assert!(!killed.exists() && !path(".annotate-aB3xYz.tmp").exists());
        assert!(running.path().exists() && path(".annotate-Qw9rTy.tmp").exists());
        assert!(path(".annotate-filled.tmp").exists());
        assert!(path(".annotate-other.txt").exists() && path(".annotate-video.tmp").exists());
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
        put(&file, |out| out.write_all(b"old")).unwrap();
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
    fn a_path_that_cannot_be_written_is_refused_with_the_reason() {
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

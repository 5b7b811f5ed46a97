//! One run at a time in a folder.
//!
//! The lock belongs to the open file and not to the file's existence, so that a file left by a run that was killed does
//! not block the next run. On network file systems the server keeps the lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::{WriteError, state, visible};

/// Name of the lock in an output folder.
pub const NAME: &str = ".annotate.lock";

/// Why a folder is not this run's.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum LockError {
    #[error("{}: {holder} is writing there; wait for it to end, or take another folder", visible(&folder.display().to_string()))]
    Busy { folder: PathBuf, holder: String },
    #[error(transparent)]
    Output(#[from] WriteError),
}

/// Held for as long as it lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Lock {
    /// Takes the lock of `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`LockError::Busy`] naming who has it; or if the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let unwritable = |source: std::io::Error| WriteError::Io { path: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(unwritable)?;
        let path = folder.join(NAME);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let opened = state::open(&path, &options);
        let mut file = opened.map_err(|source| WriteError::Io { path, source })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(200).read_to_string(&mut holder);
                let holder = if holder.is_empty() { "another run" } else { holder.trim() };
                return Err(LockError::Busy { folder: folder.into(), holder: holder.into() });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source).into()),
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let holder = format!("process {} on {}\n", std::process::id(), host.trim());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(unwritable)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_another_file_by_a_link_or_a_second_name_is_refused_and_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join(NAME));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(Lock::take(folder.path()).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&victim, &path).unwrap();
        assert!(Lock::take(folder.path()).is_err());
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn the_second_one_is_told_who_has_it_and_a_left_over_file_blocks_no_run() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), "process 1 on elsewhere, long dead\n".repeat(9)).unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let message = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}

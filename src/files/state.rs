//! The program's own files in folders that others can write to: locks, logs, lists.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::platform::{facts_of, open_no_link};

/// Opens the program's own file at `path`.
///
/// # Errors
/// If it cannot be opened, or is a link, a pipe or a device, or has a second name: what is written would then land in a
/// file outside the folder.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let refused = |what: &str| Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {what}")));
    let Some(file) = open_no_link(options, path)? else {
        return refused("a link, which could lead anywhere; remove it");
    };
    match (file.metadata()?.is_file(), facts_of(&file)?.names) {
        (false, _) => refused("no ordinary file"),
        (true, 2..) => refused("a file with a second name elsewhere; remove it"),
        (true, _) => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_second_names_and_pipes_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("victim"), "precious").unwrap();
        std::os::unix::fs::symlink("victim", at("link")).unwrap();
        std::fs::hard_link(at("victim"), at("second")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        for name in ["link", "second", "pipe"] {
            let tried = open(&at(name), OpenOptions::new().append(true).create(true));
            assert_eq!(tried.unwrap_err().kind() == ErrorKind::InvalidInput, name != "pipe", "{name}");
        }
        assert!(open(&at("pipe"), OpenOptions::new().read(true)).unwrap_err().to_string().contains("no ordinary file"));
        assert!(open(&at("new"), OpenOptions::new().append(true).create(true)).is_ok());
    }
}

//! What systems do differently: what a file is called and which one it is, pipes, signals, limits. Each system has the same
//! functions (`unix.rs`, `windows.rs`), and nothing outside asks which one it is on.
#![allow(dead_code, reason = "with fewer features fewer of them are called, and each system has them all")]

#[cfg(feature = "cli")]
pub(crate) mod signals;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::ffi::OsStr;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// What the system knows of a file beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// The file system's number, and the file's number on it: together they tell one file from another.
    pub device: u64,
    pub number: u64,
    /// How many names the file has.
    pub names: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970 of the last change of its content.
    pub modified: i64,
    /// The same for a change of its content or its metadata, which no program can set; that of `modified` where the system keeps none.
    pub changed: i64,
}

/// How many threads the processor runs at a time for this program; 1 where the system does not say.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A name's bytes, as the file system has them; on Windows in an encoding that agrees with UTF-8 wherever the name is Unicode.
pub(crate) fn name_bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Write as _;

    use super::*;

    #[test]
    fn two_names_of_a_file_are_one_file_and_a_copy_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a"), "content").unwrap();
        std::fs::hard_link(at("a"), at("b")).unwrap();
        std::fs::copy(at("a"), at("c")).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| facts_at(&at(name)).unwrap());
        assert_eq!((a.device, a.number, a.names, a.size), (b.device, b.number, 2, 7));
        assert_ne!(a.number, c.number);
        assert_eq!(facts_of(&File::open(at("a")).unwrap()).unwrap(), facts_at(&at("a")).unwrap());
    }

    #[test]
    fn reading_at_an_offset_needs_no_order_and_stops_at_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut bytes = [0; 3];
        for (at, expected) in [(7, b"789"), (0, b"012"), (3, b"345")] {
            read_exact_at(&file, &mut bytes, at).unwrap();
            assert_eq!(&bytes, expected);
        }
        assert!(read_exact_at(&file, &mut bytes, 8).is_err());
    }

    #[test]
    fn names_come_back_from_their_bytes() {
        for name in ["plain", "süß", "手話.mp4"] {
            assert_eq!(name_from_bytes(name_bytes(OsStr::new(name)).to_vec()), name);
        }
    }

    #[test]
    fn an_ordinary_file_is_opened_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let options = OpenOptions::new().write(true).create(true).truncate(false).clone();
        assert!(open_no_link(&options, &path).unwrap().is_some());
        assert!(open_without_waiting(OpenOptions::new().read(true), &path).is_ok());
    }
}

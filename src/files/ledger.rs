//! What this program has written, so that a file that was touched since can be told from it.
//!
//! Every folder with results holds a list, [`NAME`], in the form of `sha256sum`: a line per file with the SHA-256 of its
//! bytes. A file is as this program wrote it if the list of its folder holds its SHA-256, whatever it is called now. The
//! list is only ever added to, and the line is there before the file is. It travels with the folder when that is copied,
//! and `sha256sum --check --ignore-missing .annotate.sha256` shows a person what has been touched.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::state;
use crate::platform::name_bytes;

/// The name of the list in each folder.
pub const NAME: &str = ".annotate.sha256";

/// The list of ten million files is half of this. What stands behind it is not read, so those files count as touched.
const LONGEST: u64 = 2 << 30;
/// Longest line: a digest and a name of 255 bytes, each of which may be written as two.
const LONGEST_LINE: u64 = 1 << 10;

type Digest = [u8; 32];

/// What is known of a folder's list.
#[derive(Default)]
struct KnownList {
    /// Bytes of the list that have been read.
    read: u64,
    digests: HashSet<Digest>,
}

fn folders() -> MutexGuard<'static, BTreeMap<PathBuf, KnownList>> {
    static FOLDERS: Mutex<BTreeMap<PathBuf, KnownList>> = Mutex::new(BTreeMap::new());
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this program has written these bytes into `folder`.
pub(super) fn holds(folder: &Path, sha256: &str) -> bool {
    let Some(digest) = parsed(sha256.as_bytes()) else { return false };
    let mut folders = folders();
    let known = folders.entry(folder.into()).or_default();
    // A list that cannot be read holds nothing: when in doubt, a file counts as touched.
    let _ = catch_up(folder, known);
    known.digests.contains(&digest)
}

/// Notes that the file `name` in `folder` is about to have these bytes.
///
/// # Errors
/// If the list cannot be written.
pub(super) fn record(folder: &Path, name: &OsStr, sha256: &str) -> io::Result<()> {
    if holds(folder, sha256) {
        return Ok(());
    }
    let mut file = state::open(&folder.join(NAME), OpenOptions::new().append(true).create(true))?;
    // In one call, so that lines of two runs do not mix.
    file.write_all(&line(name, sha256))
}

/// Notes for this run that files with these bytes in `folder` are this program's, as an older log says.
#[cfg(any(test, all(feature = "video", feature = "train")))]
pub(crate) fn remember(folder: &Path, sha256: &str) {
    if let (Some(digest), Ok(folder)) = (parsed(sha256.as_bytes()), folder.canonicalize()) {
        folders().entry(folder).or_default().digests.insert(digest);
    }
}

/// Reads what has been added to the list, by this or another run.
fn catch_up(folder: &Path, known: &mut KnownList) -> io::Result<()> {
    let mut file = state::open(&folder.join(NAME), OpenOptions::new().read(true))?;
    let length = file.metadata()?.len();
    if length < known.read {
        *known = KnownList::default();
    }
    if length == known.read || length > LONGEST {
        return Ok(());
    }
    file.seek(SeekFrom::Start(known.read))?;
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    while lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        // The last line may still be on its way.
        if line.ends_with(b"\n") || line.len() as u64 == LONGEST_LINE {
            known.read += line.len() as u64;
            let digest = line.strip_prefix(b"\\").unwrap_or(&line).get(..64);
            known.digests.extend(digest.and_then(parsed));
        }
        line.clear();
    }
    Ok(())
}

/// As `sha256sum` writes it: a backslash ahead where the name holds line breaks or backslashes.
fn line(name: &OsStr, sha256: &str) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in name_bytes(name) {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            byte => escaped.push(*byte),
        }
    }
    let mark: &[u8] = if escaped == name_bytes(name) { b"" } else { b"\\" };
    [mark, sha256.as_bytes(), b"  ", &escaped, b"\n"].concat()
}

fn parsed(hexadecimal: &[u8]) -> Option<Digest> {
    let text = std::str::from_utf8(hexadecimal).ok().filter(|text| text.len() == 64 && text.is_ascii())?;
    let mut digest = Digest::default();
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::sha256;

    #[test]
    fn what_is_noted_is_known_by_its_bytes_and_what_another_run_notes_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|text| sha256(text.as_bytes()));
        assert!(!holds(folder.path(), &a));
        record(folder.path(), OsStr::new("x.json"), &a).unwrap();
        assert!(holds(folder.path(), &a) && !holds(folder.path(), &b));
        let list = folder.path().join(NAME);
        let other = [std::fs::read(&list).unwrap(), line(OsStr::new("n\nl\\"), &b), b"half a li".to_vec()].concat();
        std::fs::write(&list, &other).unwrap();
        assert!(holds(folder.path(), &b));
        std::fs::write(&list, [&other[..], b"ne\n", &line(OsStr::new("y"), &c)].concat()).unwrap();
        assert!(holds(folder.path(), &c));
    }

    #[test]
    fn the_list_is_what_sha256sum_checks() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plain.json", "with blank", "line\nbreak", "back\\slash"] {
            std::fs::write(folder.path().join(name), name).unwrap();
            record(folder.path(), OsStr::new(name), &sha256(name.as_bytes())).unwrap();
        }
        let mut check = std::process::Command::new("sha256sum");
        let check = check.args(["--check", "--strict", NAME]).current_dir(folder.path()).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }

    #[test]
    fn a_link_in_the_lists_place_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, line(OsStr::new("x"), &sha256(b"a"))).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(NAME)).unwrap();
        assert!(!holds(folder.path(), &sha256(b"a")));
        assert!(record(folder.path(), OsStr::new("y"), &sha256(b"b")).is_err());
        assert_eq!(std::fs::read(&elsewhere).unwrap(), line(OsStr::new("x"), &sha256(b"a")));
    }
}

//! The run log: one JSON object a line, only ever added to. It says what ran with which versions, and what is done.
//!
//! An input is done where its last entry says complete, made by the same program with the same model and settings, the
//! input is still the same, and every file asked for is there. A file whose bytes are not those that were written has been
//! touched by somebody; it stays as it is, and the input is done all the same. A line that a killed run left incomplete is ignored.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::path::is_below;
use super::{Outcome, Verdict};
use crate::files::{self, WriteError, file_sha256};
use crate::timeline::{ModelIdentity, Tool};

/// Name of the log in an output folder.
pub const NAME: &str = "run.jsonl";

/// What all results of a run have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The program.
    pub tool: Tool,
    /// The model.
    pub model: ModelIdentity,
    /// The effective settings, and whatever else changes what is written.
    pub settings: Value,
    /// What `--format` calls the formats written.
    pub formats: Vec<String>,
}

impl Terms {
    /// SHA-256 of the terms, hexadecimal.
    pub fn digest(&self) -> String {
        crate::files::sha256(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// What tells a file from what it was, without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970 of the last change of its content.
    pub modified: i64,
    /// The same for a change of its content or its metadata; no program can set it.
    pub changed: i64,
    /// Number on its file system.
    pub inode: u64,
}

impl Stamp {
    /// Of the file at `path`, links followed.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Ok(Self {
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        })
    }
}

/// A file that was written, and what tells whether somebody has changed it since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Relative to the output folder.
    #[serde(with = "super::path")]
    pub path: PathBuf,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

impl WrittenFile {
    /// Of a file below `folder`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(folder: &Path, path: &Path) -> std::io::Result<Self> {
        let below = path.strip_prefix(folder).unwrap_or(path);
        Ok(Self { path: below.into(), sha256: file_sha256(path, &|| false)?.unwrap_or_default() })
    }

    /// Whether the file is there, and as it was written; nothing where it is gone.
    fn is_untouched(&self, folder: &Path) -> Option<bool> {
        let path = Some(folder.join(&self.path)).filter(|path| is_below(&self.path) && path.is_file())?;
        Some(Self::of(folder, &path).is_ok_and(|now| now == *self))
    }
}

/// What is known of an input that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// What became of it.
    pub outcome: Outcome,
    /// Its results that somebody has touched since, relative to the output folder.
    pub touched: Vec<PathBuf>,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JournalEntry {
    /// A run began.
    Begin {
        /// When, RFC 3339.
        time: String,
        /// Of [`Terms::digest`]; entries of items refer to it.
        terms_sha256: String,
        /// The terms.
        terms: Terms,
        /// How many videos there are.
        items: usize,
    },
    /// An input was worked on.
    Item {
        /// When, RFC 3339.
        time: String,
        /// Under which terms.
        terms_sha256: String,
        /// Where its results are, without their extension.
        #[serde(with = "super::path")]
        output: PathBuf,
        /// The input before it was read.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        stamp: Option<Stamp>,
        /// What became of it.
        outcome: Outcome,
        /// How long it took, seconds.
        wall_s: f64,
    },
    /// A run ended.
    End {
        /// When, RFC 3339.
        time: String,
        /// The exit code of the program that it stands for.
        code: u8,
        /// Inputs that are complete.
        complete: usize,
        /// Inputs that are not.
        failed: usize,
    },
}

/// The log of one output folder.
pub struct Journal {
    folder: PathBuf,
    terms_sha256: String,
    file: Mutex<File>,
    known: Known,
}

impl Journal {
    /// Opens the log in `folder` and notes that a run begins.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(folder: &Path, terms: &Terms, items: usize) -> Result<Self, WriteError> {
        let path = folder.join(NAME);
        let unwritable = |source| WriteError::Io { path: path.clone(), source };
        let options = OpenOptions::new().read(true).append(true).create(true).clone();
        let mut file = files::state::open(&path, &options).map_err(unwritable)?;
        let (known, is_whole) = known(&file, folder).map_err(unwritable)?;
        if !is_whole {
            file.write_all(b"\n").map_err(unwritable)?;
        }
        let terms_sha256 = terms.digest();
        let this = Self { folder: folder.into(), terms_sha256: terms_sha256.clone(), file: Mutex::new(file), known };
        this.note(&JournalEntry::Begin { time: now(), terms_sha256, terms: terms.clone(), items })?;
        Ok(this)
    }

    /// What became of the input at `path`, where it is done: neither it nor what it was done with has changed since, and all
    /// of the files `wanted`, relative to the output folder, are there. With `by_content` the input is read to see; otherwise
    /// only where size, times or number differ.
    pub fn done(&self, output: &Path, path: &Path, wanted: &[PathBuf], by_content: bool) -> Option<Done> {
        let (terms, stamp, outcome) = self.known.get(output)?;
        let result = outcome.result.as_ref()?;
        // Not written: others of its files stood in the way, and still do.
        if *terms != self.terms_sha256 || !matches!(outcome.verdict, Verdict::Complete | Verdict::NotWritten) {
            return None;
        }
        let is_kept = |path: &PathBuf| outcome.kept.contains(path) && self.folder.join(path).is_file();
        let is_written = |path: &PathBuf| result.outputs.iter().any(|written| written.path == *path);
        if !wanted.iter().all(|path| is_written(path) || is_kept(path)) || !outcome.kept.iter().all(is_kept) {
            return None;
        }
        let is_unchanged = !by_content && Stamp::of(path).ok().as_ref() == stamp.as_ref();
        if !is_unchanged && file_sha256(path, &|| false).ok().flatten()? != result.sha256 {
            return None;
        }
        let mut touched = Vec::new();
        for written in &result.outputs {
            if !written.is_untouched(&self.folder)? {
                touched.push(written.path.clone());
            }
        }
        Some(Done { outcome: Outcome { path: path.into(), ..outcome.clone() }, touched })
    }

    /// Notes what became of an input.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn item(&self, output: &Path, stamp: Option<Stamp>, outcome: &Outcome, wall_s: f64) -> Result<(), WriteError> {
        let outcome = outcome.clone();
        let (time, terms_sha256) = (now(), self.terms_sha256.clone());
        self.note(&JournalEntry::Item { time, terms_sha256, output: output.into(), stamp, outcome, wall_s })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn note(&self, entry: &JournalEntry) -> Result<(), WriteError> {
        let mut line = serde_json::to_vec(entry).unwrap_or_default();
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // In one call, so that lines stay whole.
        file.write_all(&line).map_err(|source| WriteError::Io { path: self.folder.join(NAME), source })
    }
}

/// The last entry of each output.
type Known = HashMap<PathBuf, (String, Option<Stamp>, Outcome)>;

/// A log of a million videos is a third of this.
const LONGEST: u64 = 4 << 30;
/// An entry is a few kilobytes.
const LONGEST_LINE: u64 = 1 << 22;

/// What a log says, and whether its last line is whole. Files that it says were written are this program's.
fn known(file: &File, folder: &Path) -> io::Result<(Known, bool)> {
    if file.metadata()?.len() > LONGEST {
        let reason = format!("it is larger than {} GiB, which no log is", LONGEST >> 30);
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    let mut lines = BufReader::new(file);
    let (mut known, mut line, mut is_whole) = (Known::new(), Vec::new(), true);
    while lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        is_whole = line.ends_with(b"\n");
        if let Ok(JournalEntry::Item { terms_sha256, output, stamp, outcome, .. }) = serde_json::from_slice(&line) {
            for written in outcome.result.iter().flat_map(|result| &result.outputs) {
                if let Some(parent) = folder.join(&written.path).parent().filter(|_| is_below(&written.path)) {
                    files::remember(parent, &written.sha256);
                }
            }
            known.insert(output, (terms_sha256, stamp, outcome));
        }
        line.clear();
    }
    Ok((known, is_whole))
}

/// The time, RFC 3339.
pub fn now() -> String {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

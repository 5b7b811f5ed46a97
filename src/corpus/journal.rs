//! The run log: one JSON object a line, only ever added to. It says what ran with which versions, and what is done.
//!
//! An input is done where its last entry says complete, made by the same program with the same model and settings, the
//! input is still the same, and every file asked for is there. A file whose bytes are not those that were written has been
//! touched by a person; it stays as it is, and the input counts as done all the same. A line that a killed run left incomplete is ignored.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::moved::Moves;
use super::path::{is_below, with_suffix};
use super::{Outcome, Verdict};
use crate::files::{self, WriteError, file_sha256};
use crate::platform::{FileFacts, facts_at};
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
    /// SHA-256 of what the model's configuration makes of its weights: a model whose temperature alone is another gives other
    /// answers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_config_sha256: String,
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
pub struct FileStamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970 of the last change of its content.
    pub modified: i64,
    /// The same for a change of its content or its metadata; no program can set it.
    pub changed: i64,
    /// Number on its file system.
    pub inode: u64,
}

impl FileStamp {
    /// Of the file at `path`, links followed.
    ///
    /// # Errors
    /// If the file does not exist.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let FileFacts { size, modified, changed, number, .. } = facts_at(path)?;
        Ok(Self { size, modified, changed, inode: number })
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
        /// Whether it goes on where the memory did not suffice for the one before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        continued: bool,
    },
    /// Work on an input began.
    Start {
        /// When, RFC 3339.
        time: String,
        /// Where its results will be, without their extension.
        #[serde(with = "super::path")]
        output: PathBuf,
        /// Whether nothing else is worked on meanwhile.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
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
        stamp: Option<FileStamp>,
        /// What became of it.
        outcome: Outcome,
        /// How long it took, seconds.
        wall_s: f64,
    },
    /// An input that another model had annotated was annotated again.
    Moved {
        /// When, RFC 3339.
        time: String,
        /// Under which terms.
        terms_sha256: String,
        /// Where its results are, without their extension.
        #[serde(with = "super::path")]
        output: PathBuf,
        /// What became of its labels.
        moves: Moves,
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
    known: LogState,
    is_continued: bool,
}

impl Journal {
    /// Opens the log in `folder` and notes that a run begins, or goes on where the memory did not suffice.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(folder: &Path, terms: &Terms, items: usize, continued: bool) -> Result<Self, WriteError> {
        let path = folder.join(NAME);
        let unwritable = |source| WriteError::Io { path: path.clone(), source };
        let options = OpenOptions::new().read(true).append(true).create(true).clone();
        let mut file = files::state::open(&path, &options).map_err(unwritable)?;
        let (mut known, is_whole) = known(&file, folder).map_err(unwritable)?;
        if !is_whole {
            file.write_all(b"\n").map_err(unwritable)?;
        }
        let terms_sha256 = terms.digest();
        known.models.insert(terms_sha256.clone(), OfModel::of(terms));
        let (folder, file) = (folder.to_path_buf(), Mutex::new(file));
        let this = Self { folder, terms_sha256: terms_sha256.clone(), file, known, is_continued: continued };
        this.note(&JournalEntry::Begin { time: now(), terms_sha256, terms: terms.clone(), items, continued })?;
        Ok(this)
    }

    /// Where a run goes on: what became of an input before.
    pub fn settled(&self, output: &Path) -> Option<&Outcome> {
        let is_of_this_run = self.is_continued && self.known.settled.contains(output);
        self.known.last.get(output).map(|(_, _, outcome)| outcome).filter(|_| is_of_this_run)
    }

    /// Where a run goes on: whether the work on an input had begun when it ended, and then whether on nothing else.
    pub fn begun(&self, output: &Path) -> Option<bool> {
        self.known.begun.get(output).copied().filter(|_| self.is_continued)
    }

    /// Whether the work on any input had begun where a run goes on.
    pub fn has_begun_any(&self) -> bool {
        self.is_continued && !self.known.begun.is_empty()
    }

    /// What became of the input at `path`, where it is done: neither it nor what it was done with has changed since, and all
    /// of the files `wanted`, relative to the output folder, are there. With `by_content` the input is read to see; otherwise
    /// only where size, times or number differ.
    pub fn done(&self, output: &Path, path: &Path, wanted: &[PathBuf], by_content: bool) -> Option<Done> {
        let (terms, stamp, outcome) = self.known.last.get(output)?;
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
        let is_unchanged = !by_content && FileStamp::of(path).ok().as_ref() == stamp.as_ref();
        if !is_unchanged && file_sha256(path, &|| false).ok().flatten()? != result.sha256 {
            return None;
        }
        let mut touched = Vec::new();
        for written in &result.outputs {
            // ELAN writes how a document is shown whenever a person has looked at it.
            let is_arrangement = written.path.extension().is_some_and(|extension| extension == "pfsx");
            if !written.is_untouched(&self.folder)? && !is_arrangement {
                touched.push(written.path.clone());
            }
        }
        Some(Done { outcome: Outcome { path: path.into(), ..outcome.clone() }, touched })
    }

    /// The model that annotated an input last, where it is not the one at work now.
    pub fn other_model(&self, output: &Path) -> Option<&ModelIdentity> {
        let (terms, ..) = self.known.last.get(output)?;
        let of_model = self.known.models.get(terms)?;
        let own = self.known.models.get(&self.terms_sha256)?;
        of_model.is_other(own).then_some(&of_model.identity)
    }

    /// The timeline that [another model](Self::other_model) gave an input, relative to the folder, where it is there as it was
    /// written.
    pub fn of_other_model(&self, output: &Path) -> Option<&Path> {
        self.other_model(output)?;
        let (.., outcome) = self.known.last.get(output)?;
        let is_timeline = |written: &&WrittenFile| written.path == with_suffix(output, ".json");
        let written = outcome.result.as_ref()?.outputs.iter().find(is_timeline)?;
        (written.is_untouched(&self.folder) == Some(true)).then_some(&written.path)
    }

    /// What became of the labels of inputs that were annotated again under these terms, in runs before this one.
    pub fn moves(&self) -> impl Iterator<Item = (&Path, &Moves)> {
        let of_these = self.known.moves.iter().filter(|(_, (terms, _))| *terms == self.terms_sha256);
        of_these.map(|(output, (_, moves))| (output.as_path(), moves))
    }

    /// Notes what became of an input's labels.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn moved(&self, output: &Path, moves: &Moves) -> Result<(), WriteError> {
        let (time, terms_sha256) = (now(), self.terms_sha256.clone());
        self.note(&JournalEntry::Moved { time, terms_sha256, output: output.into(), moves: moves.clone() })
    }

    /// Notes that the work on an input begins, `alone` if on nothing else meanwhile.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn start(&self, output: &Path, alone: bool) -> Result<(), WriteError> {
        self.note(&JournalEntry::Start { time: now(), output: output.into(), alone })
    }

    /// Notes what became of an input.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn item(
        &self,
        output: &Path,
        stamp: Option<FileStamp>,
        outcome: &Outcome,
        wall_s: f64,
    ) -> Result<(), WriteError> {
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

/// What tells models apart.
struct OfModel {
    identity: ModelIdentity,
    /// Empty where the run did not say.
    config_sha256: String,
}

impl OfModel {
    fn of(terms: &Terms) -> Self {
        Self { identity: terms.model.clone(), config_sha256: terms.model_config_sha256.clone() }
    }

    fn is_other(&self, than: &Self) -> bool {
        let are_known = !self.config_sha256.is_empty() && !than.config_sha256.is_empty();
        self.identity != than.identity || (are_known && self.config_sha256 != than.config_sha256)
    }
}

/// What a log says.
#[derive(Default)]
struct LogState {
    /// The last entry of each output.
    last: HashMap<PathBuf, (String, Option<FileStamp>, Outcome)>,
    /// The model of each terms' digest.
    models: HashMap<String, OfModel>,
    /// What became of the labels of outputs, and under which terms.
    moves: HashMap<PathBuf, (String, Moves)>,
    /// Outputs with an entry since the last run began that does not go on with another.
    settled: HashSet<PathBuf>,
    /// Outputs on which the last run was working when it ended, and whether on nothing else.
    begun: HashMap<PathBuf, bool>,
}

impl LogState {
    fn add(&mut self, entry: JournalEntry, folder: &Path) {
        match entry {
            JournalEntry::Begin { continued, terms_sha256, terms, .. } => {
                self.models.insert(terms_sha256, OfModel::of(&terms));
                self.begun.clear();
                if !continued {
                    self.settled.clear();
                }
            }
            JournalEntry::Start { output, alone, .. } => {
                self.begun.insert(output, alone);
            }
            JournalEntry::Item { terms_sha256, output, stamp, outcome, .. } => {
                for written in outcome.result.iter().flat_map(|result| &result.outputs) {
                    if let Some(parent) = folder.join(&written.path).parent().filter(|_| is_below(&written.path)) {
                        files::remember(parent, &written.sha256);
                    }
                }
                self.begun.remove(&output);
                self.settled.insert(output.clone());
                self.last.insert(output, (terms_sha256, stamp, outcome));
            }
            JournalEntry::Moved { terms_sha256, output, moves, .. } => {
                self.moves.insert(output, (terms_sha256, moves));
            }
            JournalEntry::End { .. } => {}
        }
    }
}

/// A log of a million videos is a third of this.
const LONGEST: u64 = 4 << 30;
/// An entry is a few kilobytes.
const LONGEST_LINE: u64 = 1 << 22;

/// What a log says, and whether its last line is whole. Files that it says were written are this program's.
fn known(file: &File, folder: &Path) -> io::Result<(LogState, bool)> {
    if file.metadata()?.len() > LONGEST {
        let reason = format!("it is larger than {} GiB, which no log is", LONGEST >> 30);
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    let mut lines = BufReader::new(file);
    let (mut known, mut line, mut is_whole) = (LogState::default(), Vec::new(), true);
    while lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        is_whole = line.ends_with(b"\n");
        if let Ok(entry) = serde_json::from_slice(&line) {
            known.add(entry, folder);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Expression;

    #[test]
    fn a_run_that_goes_on_knows_what_was_at_work_and_what_was_settled() {
        let folder = tempfile::tempdir().unwrap();
        let model = ModelIdentity {
            name: "m".into(),
            sha256: "0".repeat(64),
            classes: Expression::ALL.into(),
            symmetric: false,
        };
        let (model_config_sha256, formats) = (String::new(), Vec::new());
        let terms = Terms { tool: Tool::default(), model, model_config_sha256, settings: Value::Null, formats };
        let open = |continued| Journal::open(folder.path(), &terms, 3, continued).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(Path::new);
        let item = |journal: &Journal, path: &Path, verdict| {
            journal.item(path, None, &Outcome::failed(path, verdict, "why"), 0.0).unwrap();
        };
        let first = open(false);
        item(&first, c, Verdict::Refused);
        drop(first);
        // Another run, in which the memory did not suffice while two were at work.
        let second = open(false);
        for path in [a, b] {
            second.start(path, false).unwrap();
        }
        drop(second);
        let third = open(true);
        assert_eq!([a, b, c].map(|path| third.begun(path)), [Some(false), Some(false), None]);
        assert!(third.has_begun_any() && [a, b, c].iter().all(|path| third.settled(path).is_none()));
        third.start(a, true).unwrap();
        item(&third, a, Verdict::Complete);
        third.start(b, true).unwrap();
        drop(third);
        let fourth = open(true);
        assert_eq!([a, b, c].map(|path| fourth.begun(path)), [None, Some(true), None]);
        assert_eq!(fourth.settled(a).map(|outcome| outcome.verdict), Some(Verdict::Complete));
        item(&fourth, b, Verdict::Limit);
        drop(fourth);
        assert_eq!(open(true).settled(b).map(|outcome| outcome.verdict), Some(Verdict::Limit));
        // A run of its own starts anew, also after one that was killed.
        open(false).start(a, true).unwrap();
        let last = open(false);
        assert!(!last.has_begun_any() && last.begun(a).is_none() && last.settled(b).is_none());
    }
}

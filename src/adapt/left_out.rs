//! What was annotated and did not become a picture, and why.

use std::path::{Path, PathBuf};

use crate::files::{OutputOptions, WriteError, spreadsheet_cell};

/// The columns of the list of all of it.
pub(super) const COLUMNS: [&str; 6] = ["file", "tier", "start_s", "end_s", "word", "reason"];

/// A file, a tier or an annotation that gave no picture, or not all that it could.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// The file of annotations.
    pub file: PathBuf,
    /// The tier; empty where it is about the whole file.
    pub tier: String,
    /// From when to when, seconds as a player shows them; none where it is about a whole tier or file.
    pub span_s: Option<[f64; 2]>,
    /// What was written.
    pub word: String,
    /// Why.
    pub reason: Reason,
}

/// Why something gave no picture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum Reason {
    #[error("the file cannot be used: {0}")]
    Unreadable(String),
    #[error("no tier is called '{wanted}'; its tiers: {found}")]
    NoTier { wanted: String, found: String },
    #[error("the program wrote these labels and they were never edited: they can teach it nothing")]
    Ours,
    #[error("it was never corrected: the program's own labels can teach it nothing")]
    NotCorrected,
    #[error("its video is not there; looked for {0}")]
    NoMedia(String),
    #[error("its video cannot be used: {0}")]
    Video(String),
    #[error("the word stands for no class")]
    Word,
    #[error("the vocabulary leaves the word out")]
    Mapped,
    #[error("it has no length")]
    NoLength,
    #[error("it ends after the video, which is {length_s:.2} s long")]
    Outside { length_s: f64 },
    #[error("it is shorter than twice the time about its edges that annotators disagree on")]
    Short,
    #[error("another annotation of the same tier overlaps it with another class")]
    Overlapping,
    #[error("no face was found in it")]
    NoFace,
    #[error("{0} faces are seen and nothing says whose expression it is")]
    TwoPeople(usize),
    #[error("the tiers of different signers, {0}, are about one face")]
    OneFace(String),
    #[error("no signer is called '{wanted}' there; found: {found}")]
    NoSigner { wanted: String, found: String },
}

impl Reason {
    /// In a few words, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "in files that cannot be used",
            Self::NoTier { .. } => "in files without such a tier",
            Self::Ours => "on tiers that the program wrote and that were never edited",
            Self::NotCorrected => "in annotations that were never corrected",
            Self::NoMedia(_) => "without a video",
            Self::Video(_) => "of videos that cannot be used",
            Self::Word => "with words that stand for no class",
            Self::Mapped => "with words that the vocabulary leaves out",
            Self::NoLength => "without length",
            Self::Outside { .. } => "after the end of the video",
            Self::Short => "too short to be sure of any of their frames",
            Self::Overlapping => "overlapped by others of their tier",
            Self::NoFace => "in which no face was found",
            Self::TwoPeople(_) => "with several faces and no way to tell who is meant",
            Self::OneFace(_) => "of several signers on one face",
            Self::NoSigner { .. } => "of signers who are not in the video",
        }
    }

    /// Whether what was asked for could not be looked at at all, so that the result is only a part of it.
    pub fn is_partial(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::NoTier { .. } | Self::NoMedia(_) | Self::Video(_))
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if !self.tier.is_empty() {
            write!(f, ", tier '{}'", self.tier)?;
        }
        if let Some([start_s, end_s]) = self.span_s {
            write!(f, ", {start_s:.3} to {end_s:.3} s")?;
        }
        if !self.word.is_empty() {
            write!(f, " ('{}')", self.word)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Counts by reason, the commonest first.
pub fn counts(left_out: &[LeftOut]) -> Vec<(usize, &'static str)> {
    let mut counts: Vec<(usize, &'static str)> = Vec::new();
    for reason in left_out.iter().map(|entry| entry.reason.kind()) {
        match counts.iter_mut().find(|(_, known)| *known == reason) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, reason)),
        }
    }
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counts
}

/// Words that stand for no class, with how often they occur, the commonest first.
pub fn words(left_out: &[LeftOut]) -> Vec<(usize, &str)> {
    let mut counts: Vec<(usize, &str)> = Vec::new();
    for entry in left_out.iter().filter(|entry| entry.reason == Reason::Word) {
        match counts.iter_mut().find(|(_, known)| *known == entry.word) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, &entry.word)),
        }
    }
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counts
}

/// Writes every entry as a row of a table, with what a person can do about it (`advice`) behind the reason.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, left_out: &[LeftOut], advice: fn(&Reason) -> &'static str) -> Result<(), WriteError> {
    OutputOptions::state().put(path, |out| {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(COLUMNS)?;
        for entry in left_out {
            let [start, end] = match entry.span_s {
                Some(span_s) => span_s.map(|s| format!("{s:.3}")),
                None => [const { String::new() }; 2],
            };
            let file = entry.file.display().to_string();
            let reason = format!("{}{}", entry.reason, advice(&entry.reason));
            let cells = [&file, &entry.tier, &start, &end, &entry.word, &reason];
            csv.write_record(cells.map(|cell| spreadsheet_cell(cell).into_owned()))?;
        }
        csv.flush()
    })
}

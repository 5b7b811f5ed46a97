//! Files of annotations, each kind in a file of its own.

mod eaf;
mod labels;
mod table;
mod textgrid;

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::annotation::AnnotationDocument;
use super::left_out::Reason;
use crate::choice::Choice;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// ELAN's documents.
    Eaf,
    /// What the program wrote and a person corrected.
    Labels,
    /// Praat's TextGrids.
    TextGrid,
    /// Tables of stretches of time.
    Table,
}

impl Choice for SourceKind {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Eaf, "eaf", "ELAN's documents"),
        (Self::Labels, "labels", "Corrected labels.json"),
        (Self::TextGrid, "textgrid", "Praat's TextGrids"),
        (Self::Table, "table", "Tables of stretches: segments.tsv, csv"),
    ];
}

impl SourceKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Eaf, Self::Labels, Self::TextGrid, Self::Table];

    /// The kind that a file's name says.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_string_lossy().to_ascii_lowercase();
        match extension.as_str() {
            "eaf" => Some(Self::Eaf),
            "json" => Some(Self::Labels),
            "textgrid" => Some(Self::TextGrid),
            "csv" | "tsv" => Some(Self::Table),
            _ => None,
        }
    }
}

/// Folders are not followed deeper.
const DEEPEST: usize = 16;

/// The files of the kinds `wanted` that `sources` name: files as they are, folders with all below them, in order of name.
pub fn find(sources: &[PathBuf], wanted: &[SourceKind]) -> Vec<(PathBuf, SourceKind)> {
    let mut found = Vec::new();
    for source in sources {
        if !source.is_dir() {
            // A file that is named is read as what was asked for, whatever it is called.
            let kind = SourceKind::of(source).filter(|kind| wanted.contains(kind)).or(wanted.first().copied());
            found.extend(kind.map(|kind| (source.clone(), kind)));
            continue;
        }
        let entries = WalkDir::new(source).max_depth(DEEPEST).sort_by_file_name().into_iter();
        // Beside the pictures of manifests lies what was seen in their videos.
        let is_wanted = |entry: &walkdir::DirEntry| !entry.file_name().to_string_lossy().ends_with(".pictures");
        let entries = entries.filter_entry(is_wanted).filter_map(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
        found.extend(files.filter_map(|path| {
            let kind = SourceKind::of(&path).filter(|kind| wanted.contains(kind))?;
            (!is_hidden(&path) && kind.is_in(&path)).then_some((path, kind))
        }));
    }
    found
}

impl SourceKind {
    /// Whether a file of a folder is one of this kind by what it holds; many are called so that are something else.
    fn is_in(self, path: &Path) -> bool {
        match self {
            Self::Labels => labels::is_one(path),
            Self::Table => table::is_one(path),
            Self::Eaf | Self::TextGrid => true,
        }
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// What a file holds: a document for each video it is about.
///
/// # Errors
/// Why it cannot be used.
pub fn read(path: &Path, kind: SourceKind) -> Result<Vec<AnnotationDocument>, Reason> {
    match kind {
        SourceKind::Eaf => Ok(vec![eaf::read(path)?]),
        SourceKind::Labels => Ok(vec![labels::read(path)?]),
        SourceKind::TextGrid => Ok(vec![textgrid::read(path)?]),
        SourceKind::Table => table::read(path),
    }
}

/// The same in the time of the video that was found, where a document has several with clocks of their own.
///
/// # Errors
/// Likewise.
pub(super) fn in_time_of(document: AnnotationDocument, video: &Path) -> Result<AnnotationDocument, Reason> {
    match SourceKind::of(&document.path) {
        Some(SourceKind::Eaf) if document.media.len() > 1 => eaf::read_for(&document.path, video),
        _ => Ok(document),
    }
}

/// A path whose name without its endings is that of `path`: where the video of a file that does not name one may be. Results
/// carry the whole name of their video (`a.mp4.segments.tsv`).
fn named_like(path: &Path) -> Vec<String> {
    let mut stems = Vec::new();
    let mut stem = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    while let Some((shorter, _)) = stem.rsplit_once('.').map(|(a, b)| (a.to_owned(), b)) {
        if shorter.is_empty() {
            break;
        }
        stems.push(shorter.clone());
        stem = shorter;
    }
    stems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_results_name_leads_to_its_videos_name() {
        assert_eq!(named_like(Path::new("x/a.mp4.segments.tsv")), ["a.mp4.segments", "a.mp4", "a"]);
        assert_eq!(named_like(Path::new("a.TextGrid")), ["a"]);
    }
}

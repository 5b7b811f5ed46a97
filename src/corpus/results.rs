//! Where the results of a corpus go: a tree that mirrors it, below one folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::inputs::{Inputs, Item};
use super::path::{printable, with_suffix};
use super::{CorpusError, report};
use crate::files;
use crate::sink::Target;
use crate::write::Format;

/// The folder of a corpus's tables. Nothing else lies in it, so that programs take it for one table as it stands.
pub const TABLES: &str = "parquet";

/// What the results of one video of a corpus are called, relative to the output folder.
pub fn names(item: &Item, formats: &[Format]) -> Vec<PathBuf> {
    let name = |format: &Format| {
        let name = with_suffix(&item.output, &format.ending());
        if *format == Format::Parquet { Path::new(TABLES).join(name) } else { name }
    };
    formats.iter().map(name).collect()
}

/// Whether there is something to do and no result would have the name of a report.
///
/// # Errors
/// [`CorpusError::NoVideo`] or [`CorpusError::ReservedName`].
pub fn check(found: &Inputs, formats: &[Format]) -> Result<(), CorpusError> {
    if found.items.is_empty() && found.refused.is_empty() {
        return Err(CorpusError::NoVideo);
    }
    let names = found.items.iter().flat_map(|item| names(item, formats).into_iter().zip(formats));
    let is_reserved = |(name, format): &(PathBuf, &Format)| {
        report::NAMES.iter().any(|reserved| name == Path::new(reserved))
            || (name.starts_with(TABLES) && **format != Format::Parquet)
    };
    match names.into_iter().find(is_reserved) {
        Some((name, _)) => Err(CorpusError::ReservedName { name }),
        None => Ok(()),
    }
}

/// The targets of one video of a corpus below `folder`. The folders on the way are made.
///
/// # Errors
/// With the reason, where a folder cannot be made.
pub fn mirrored(folder: &Path, item: &Item, formats: &[Format]) -> Result<Vec<Target>, String> {
    let name = printable(&item.path);
    let names = names(item, formats).into_iter().zip(formats);
    let corpus_path = Some(item.output.clone());
    let target = |(path, format): (PathBuf, &Format)| Target {
        path: folder.join(path),
        format: *format,
        corpus_path: corpus_path.clone(),
    };
    let targets: Vec<Target> = names.map(target).collect();
    let parents: BTreeSet<&Path> = targets.iter().filter_map(|target| target.path.parent()).collect();
    for parent in parents {
        make_below(folder, parent).map_err(|reason| format!("{name}: {}: {reason}", printable(parent)))?;
    }
    Ok(targets)
}

/// Makes the folders on the way from `folder` down to `parent`, none of them behind a link that leads elsewhere.
fn make_below(folder: &Path, parent: &Path) -> Result<(), String> {
    let root = folder.canonicalize().map_err(|e| e.to_string())?;
    let mut way = folder.to_path_buf();
    for part in parent.strip_prefix(folder).unwrap_or(Path::new("")) {
        way.push(part);
        if let Err(error) = std::fs::create_dir(&way)
            && !way.is_dir()
        {
            return Err(error.to_string());
        }
        if !way.canonicalize().is_ok_and(|way| way.starts_with(&root)) {
            return Err("it is a link that leads out of the output folder".into());
        }
    }
    Ok(())
}

/// Removes what a run that was killed has left half written below `folder`.
pub fn remove_leftovers(folder: &Path) {
    for entry in WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_dir()) {
        files::remove_leftovers(entry.path());
    }
}

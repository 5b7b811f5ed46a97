//! Published data sets to manifests.

pub mod affectnet;
pub mod class_folders;
pub mod feph;
pub mod fer2013;
pub mod fer2013_csv;
mod npy;
mod pictures;

use std::path::PathBuf;

use super::manifest::Row;
use crate::choice::Choice;
use crate::files::table;

/// What is done with a file that is called a picture and cannot be read as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Broken {
    /// The import ends and names it.
    #[default]
    Stop,
    /// It is named and left out.
    Skip,
}

impl Choice for Broken {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Stop, "stop", "The import ends and names the file"),
        (Self::Skip, "skip", "The file is named and left out"),
    ];
}

/// A data set as rows, and what was left out of it on purpose.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportedData {
    /// The rows, paths absolute.
    pub rows: Vec<Row>,
    /// How many were left out, and why.
    pub left_out: Vec<(usize, &'static str)>,
    /// What is wrong with each file that was left out as no picture.
    pub broken: Vec<String>,
}

impl ImportedData {
    /// Notes that one more was left out.
    fn leave_out(&mut self, why: &'static str) {
        match self.left_out.iter_mut().find(|(_, known)| *known == why) {
            Some((count, _)) => *count += 1,
            None => self.left_out.push((1, why)),
        }
    }
}

/// Why a data set cannot be imported.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum DataImportError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{}: there is no column '{column}'; the columns are: {found}", path.display())]
    Column { path: PathBuf, column: &'static str, found: String },
    #[error("{}, line {line}: {reason}", path.display())]
    Row { path: PathBuf, line: u64, reason: String },
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{}: '{number}' is not the name of a class", path.display())]
    NumberedClass { path: PathBuf, number: usize },
    #[error("{reason}")]
    Picture { reason: String },
    #[error("{}: no images found; expected {expected}", path.display())]
    Nothing { path: PathBuf, expected: &'static str },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// Opens a CSV file that must have `columns`.
fn open_csv(path: &std::path::Path, columns: &[&'static str]) -> Result<table::Reader<'static>, DataImportError> {
    let unreadable = |source| DataImportError::Unreadable { path: path.into(), source };
    let csv_error = |source| DataImportError::Csv { path: path.into(), source };
    let mut reader = table::open(path, csv::Trim::All).map_err(unreadable)?;
    let headers = reader.headers().map_err(csv_error)?;
    match columns.iter().find(|column| !headers.iter().any(|header| header == **column)) {
        Some(column) => {
            let found: Vec<&str> = headers.iter().take(20).collect();
            Err(DataImportError::Column { path: path.into(), column, found: found.join(", ") })
        }
        None => Ok(reader),
    }
}

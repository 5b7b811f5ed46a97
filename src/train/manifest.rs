//! Manifests: one CSV row an image, with its label, its group and its split.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::files::{self, OutputOptions, WriteError, table};
use crate::timeline::{Expression, Probabilities};

/// Which part of the data a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Weights are fitted on it.
    Train,
    /// Epochs and settings are chosen on it.
    Validation,
    /// Reported on, once.
    Test,
}

impl Choice for Split {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Train, "train", "Weights are fitted on it"),
        (Self::Validation, "validation", "Epochs and settings are chosen on it"),
        (Self::Test, "test", "Reported on, once"),
    ];
}

impl Split {
    /// All of them, in the order in which they are used.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name as it stands in manifests.
    pub fn name(self) -> &'static str {
        self.word()
    }
}

/// One image. In the file, `path` is relative to the manifest's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The image file, or a strip of square cells one below the other.
    pub path: PathBuf,
    /// Which cell of a strip, from 0; none for a plain image.
    #[serde(default)]
    pub cell: Option<usize>,
    /// The class, where the annotators agree on one. Rows without a label can be trained on by their soft labels and
    /// are left out of evaluation.
    #[serde(default)]
    pub label: Option<Expression>,
    /// Who is shown.
    #[serde(default)]
    pub subject: Option<String>,
    /// The video or series the image is from.
    #[serde(default)]
    pub sequence: Option<String>,
    /// Its index there.
    #[serde(default)]
    pub frame: Option<u64>,
    /// Training, validation or test.
    pub split: Split,
    /// In cross-validation, the fold whose test part the image belongs to, from 1.
    #[serde(default)]
    pub fold: Option<usize>,
    /// Factor on the image's loss.
    #[serde(default = "one")]
    pub weight: f32,
    /// Share of the annotators' votes for each class; the seven sum to 1.
    #[serde(default)]
    pub soft_neutral: Option<f32>,
    #[serde(default)]
    #[expect(missing_docs, reason = "names and messages say what the variants are")]
    pub soft_happiness: Option<f32>,
    #[serde(default)]
    #[expect(missing_docs, reason = "names and messages say what the variants are")]
    pub soft_sadness: Option<f32>,
    #[serde(default)]
    #[expect(missing_docs, reason = "names and messages say what the variants are")]
    pub soft_surprise: Option<f32>,
    #[serde(default)]
    #[expect(missing_docs, reason = "names and messages say what the variants are")]
    pub soft_fear: Option<f32>,
    #[serde(default)]
    #[expect(missing_docs, reason = "names and messages say what the variants are")]
    pub soft_disgust: Option<f32>,
    #[serde(default)]
    #[expect(missing_docs, reason = "names and messages say what the variants are")]
    pub soft_anger: Option<f32>,
}

fn one() -> f32 {
    1.0
}

impl Row {
    /// A whole image without a label.
    pub fn new(path: PathBuf, split: Split) -> Self {
        Self {
            path,
            cell: None,
            label: None,
            subject: None,
            sequence: None,
            frame: None,
            split,
            fold: None,
            weight: one(),
            soft_neutral: None,
            soft_happiness: None,
            soft_sadness: None,
            soft_surprise: None,
            soft_fear: None,
            soft_disgust: None,
            soft_anger: None,
        }
    }

    /// The distribution over classes to learn: the votes where there are any, else all on the label.
    pub fn target(&self) -> Option<Probabilities> {
        let soft = [
            self.soft_neutral,
            self.soft_happiness,
            self.soft_sadness,
            self.soft_surprise,
            self.soft_fear,
            self.soft_disgust,
            self.soft_anger,
        ];
        if soft.iter().any(Option::is_some) {
            return Some(soft.map(|share| share.unwrap_or(0.0)));
        }
        self.label.map(|label| {
            let mut target = [0.0; Expression::COUNT];
            target[label.index()] = 1.0;
            target
        })
    }

    /// The image by name: its path, with `#n` for the cell of a strip.
    pub fn image(&self) -> String {
        let cell = self.cell.map(|cell| format!("#{cell}")).unwrap_or_default();
        format!("{}{cell}", self.path.display())
    }

    /// Sets the votes' shares.
    pub fn set_soft(&mut self, shares: Probabilities) {
        let [neutral, happiness, sadness, surprise, fear, disgust, anger] = shares.map(Some);
        (self.soft_neutral, self.soft_happiness, self.soft_sadness) = (neutral, happiness, sadness);
        (self.soft_surprise, self.soft_fear, self.soft_disgust, self.soft_anger) = (surprise, fear, disgust, anger);
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum ManifestError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}, line {line}: {reason}", path.display())]
    Row { path: PathBuf, line: u64, reason: String },
    #[error("{}: no rows", path.display())]
    Empty { path: PathBuf },
}

/// Of millions of images; what is behind that is not read, and the line cut in two named.
pub(crate) const LARGEST: u64 = 4 << 30;

/// Reads a manifest; the rows' paths come back relative to the current folder.
///
/// # Errors
/// If the file is missing, or a row has an unknown label or split, a path that is empty, or numbers out of range. The
/// message names the line.
pub fn read(path: &Path) -> Result<Vec<Row>, ManifestError> {
    let text = files::read(path, LARGEST).map_err(|source| ManifestError::Unreadable { path: path.into(), source })?;
    parse(&text[..], path)
}

/// Reads the text of a manifest; `path` is where it is said to be.
///
/// # Errors
/// As [`read`].
pub fn parse(text: impl std::io::Read, path: &Path) -> Result<Vec<Row>, ManifestError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let unreadable = |source| ManifestError::Unreadable { path: path.into(), source };
    let (mut reader, separator) = table::reader(text, csv::Trim::Headers).map_err(unreadable)?;
    let fault = |line: u64, reason: String| ManifestError::Row { path: path.into(), line, reason };
    let fault_at =
        |index: usize, e: &csv::Error| fault(e.position().map_or(index as u64 + 2, csv::Position::line), e.to_string());
    let headers = reader.headers().map_err(|e| fault_at(0, &e))?.clone();
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = tidied(&record.map_err(|e| fault_at(index, &e))?, &headers, separator);
        let mut row: Row = record.deserialize(Some(&headers)).map_err(|e| fault_at(index, &e))?;
        let line = index as u64 + 2;
        if row.path.as_os_str().is_empty() {
            return Err(fault(line, "the path is empty".into()));
        }
        if !(row.weight >= 0.0 && row.weight.is_finite()) {
            return Err(fault(line, format!("weight {} is not a number from 0", row.weight)));
        }
        match row.target() {
            None => return Err(fault(line, "neither a label nor soft labels".into())),
            Some(target) => {
                let sum: f32 = target.iter().sum();
                if !target.iter().all(|share| (0.0..=1.0).contains(share)) || (sum - 1.0).abs() > 1e-3 {
                    return Err(fault(line, format!("soft labels sum to {sum}, not to 1")));
                }
            }
        }
        row.path = folder.join(row.path);
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(ManifestError::Empty { path: path.into() });
    }
    Ok(rows)
}

/// The record without blanks about its cells, but for the path, which may begin or end with one. Spreadsheets that separate
/// by semicolons write decimals with a comma.
fn tidied(record: &csv::StringRecord, headers: &csv::StringRecord, separator: u8) -> csv::StringRecord {
    let is_number = |header: &str| header == "weight" || header.starts_with("soft_");
    let mut tidied: csv::StringRecord = record
        .iter()
        .enumerate()
        .map(|(column, cell)| match headers.get(column).unwrap_or_default() {
            "path" => cell.to_owned(),
            header if separator == b';' && is_number(header) => cell.trim().replace(',', "."),
            _ => cell.trim().to_owned(),
        })
        .collect();
    tidied.set_position(record.position().cloned());
    tidied
}

/// Writes `rows` as CSV.
///
/// # Errors
/// If writing fails.
pub fn write(rows: &[Row], to: impl std::io::Write) -> csv::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    for row in rows {
        writer.serialize(row)?;
    }
    writer.flush()?;
    Ok(())
}

/// Writes a manifest whole: all of `rows`, or nothing. Paths below its folder are written relative to it, so that the
/// folder can be moved; others as they are from the root. `existing` says what becomes of a file that is there.
///
/// # Errors
/// If the file cannot be written.
pub fn put(path: &Path, rows: &[Row], existing: OutputOptions) -> Result<(), WriteError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let manifest = absolute(path);
    let folder = manifest.parent().unwrap_or(Path::new("/"));
    let placed: Vec<Row> = rows
        .iter()
        .map(|row| {
            let image = absolute(&row.path);
            Row { path: image.strip_prefix(folder).map_or(image.clone(), Path::to_owned), ..row.clone() }
        })
        .collect();
    existing.put(path, |out| write(&placed, out).map_err(std::io::Error::other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Row>, ManifestError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn a_plain_manifest_needs_only_path_label_and_split() {
        let rows = read_text("path,label,split\na.png,fear,train\n").unwrap();
        assert_eq!(rows[0].label, Some(Expression::Fear));
        assert_eq!(rows[0].target().unwrap()[Expression::Fear.index()], 1.0);
        assert!(rows[0].path.ends_with("a.png") && rows[0].path.is_absolute());
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        for (text, part) in [
            ("path,label,split\na.png,fear,train\nb.png,joy,train\n", "line 3"),
            ("path,label,split\n,fear,train\n", "empty"),
            ("path,label,split\na.png,,train\n", "neither"),
            ("path,label,split,soft_fear\na.png,,train,0.5\n", "sum to 0.5"),
            ("path,label,split,weight\na.png,fear,train,NaN\n", "weight"),
            ("path,label,split\n", "no rows"),
        ] {
            let message = read_text(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn rows_survive_writing_and_reading() {
        let mut row = read_text("path,label,split\na.png,fear,test\n").unwrap().remove(0);
        row.set_soft([0.1, 0.0, 0.0, 0.2, 0.7, 0.0, 0.0]);
        row.cell = Some(7);
        let mut bytes = Vec::new();
        write(&[row.clone()], &mut bytes).unwrap();
        assert_eq!(read_text(std::str::from_utf8(&bytes).unwrap()).unwrap(), [row]);
    }
}

//! `predictions.csv`: one row an image, so that anybody can measure again.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files::{self, OutputOptions, WriteError, spreadsheet_cell, table, text_of_cell};
use crate::timeline::{Expression, Probabilities};
use crate::train::metrics::Judged;

/// One image's result.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The image as the manifest names it; `#n` names the cell of a strip.
    pub image: String,
    /// Truth and probabilities.
    pub judged: Judged,
}

/// Why a table of predictions cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum PredictionsError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: csv::Error },
    #[error("{}, line {line}: {reason}", path.display())]
    Row { path: PathBuf, line: u64, reason: String },
}

#[derive(Deserialize)]
struct PredictionRow {
    path: String,
    truth: Expression,
    neutral: f32,
    happiness: f32,
    sadness: f32,
    surprise: f32,
    fear: f32,
    disgust: f32,
    anger: f32,
}

/// Writes `predictions`.
pub(super) fn write(existing: OutputOptions, path: &Path, predictions: &[Prediction]) -> Result<(), WriteError> {
    existing.put(path, |out| {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(["path", "truth"].into_iter().chain(Expression::ALL.map(Expression::name)))?;
        for Prediction { image, judged: Judged { truth, probabilities } } in predictions {
            let numbers = probabilities.map(|p| format!("{p:.6}"));
            let image = spreadsheet_cell(image);
            csv.write_record([&*image, truth.name()].into_iter().chain(numbers.iter().map(String::as_str)))?;
        }
        csv.flush()
    })
}

/// The predictions on ten million images are half of this.
const LARGEST: u64 = 2 << 30;

/// Reads a table of predictions; further columns are passed over.
///
/// # Errors
/// If it cannot be read, a column is missing, or a row's truth is not a class or its probabilities are not probabilities; the message names
/// the line.
pub fn read(path: &Path) -> Result<Vec<Prediction>, PredictionsError> {
    let unreadable = |source| PredictionsError::Unreadable { path: path.into(), source };
    let text = files::read(path, LARGEST).map_err(|e| unreadable(e.into()))?;
    let (mut reader, _) = table::reader(&text[..], csv::Trim::Headers).map_err(|e| unreadable(e.into()))?;
    let mut predictions = Vec::new();
    for (index, row) in reader.deserialize::<PredictionRow>().enumerate() {
        let line = index as u64 + 2;
        let fault = |reason: String| PredictionsError::Row { path: path.into(), line, reason };
        let row = row.map_err(|e| fault(e.to_string()))?;
        let probabilities: Probabilities =
            [row.neutral, row.happiness, row.sadness, row.surprise, row.fear, row.disgust, row.anger];
        if !probabilities.iter().all(|p| (0.0..=1.0).contains(p)) {
            return Err(fault("a probability is not between 0 and 1".into()));
        }
        predictions.push(Prediction {
            image: text_of_cell(&row.path).into(),
            judged: Judged { truth: row.truth, probabilities },
        });
    }
    Ok(predictions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_picture_is_a_formula_to_a_spreadsheet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.csv");
        let judged = Judged { truth: Expression::Fear, probabilities: [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] };
        let names = ["=cmd|'/c calc'!A0.png", "+1.png", "-1.png", "@sum.png", "./plain.png", "a=b.png"];
        let predictions = names.map(|name| Prediction { image: name.into(), judged });
        write(OutputOptions::new(), &path, &predictions).unwrap();
        let mut table = csv::Reader::from_path(&path).unwrap();
        for record in table.records() {
            let record = record.unwrap();
            assert!(!record[0].starts_with(['=', '+', '-', '@', '\t']), "{record:?}");
        }
        let back: Vec<String> = read(&path).unwrap().into_iter().map(|p| p.image).collect();
        assert_eq!(back, names);
    }

    #[test]
    fn what_is_written_is_read_and_a_bad_row_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.csv");
        let probabilities = [0.5, 0.25, 0.125, 0.125, 0.0, 0.0, 0.0];
        let judged = Judged { truth: Expression::Fear, probabilities };
        let image = |name: &str| Prediction { image: name.into(), judged };
        write(OutputOptions::new(), &path, &[image("a, b.png#3"), image("=HYPERLINK(1).png")]).unwrap();
        assert!(
            std::fs::read_to_string(&path).unwrap().contains("\n'=HYPERLINK(1).png,"),
            "no formula in a spreadsheet"
        );
        let back = read(&path).unwrap();
        assert_eq!(back[1].image, "=HYPERLINK(1).png");
        assert_eq!((back[0].image.as_str(), back[0].judged.truth), ("a, b.png#3", Expression::Fear));
        assert_eq!(back[0].judged.probabilities, probabilities);
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [("fear,0.5", "joy,0.5"), ("0.500000", "1.500000"), ("0.500000", "NaN")] {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("p.csv, line 2"), "{error}");
        }
    }
}

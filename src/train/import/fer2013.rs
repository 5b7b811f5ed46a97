//! FER2013 pictures (Goodfellow et al. 2013) with FER+ votes (Barsoum et al. 2016), as strips of 48x48 cells with
//! `fer2013_labels.csv`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::timeline::{Expression, Probabilities};
use crate::train::manifest::{Row, Split};

/// Cells in `training_a.png`; the following ones are in `training_b.png`.
const CELLS_IN_TRAINING_A: usize = 14_279;

/// One row of `fer2013_labels.csv`.
#[derive(Debug, Deserialize)]
struct Labels {
    split: String,
    pos: usize,
    dup_group: i64,
    dup_crosses_split: u8,
    fer_class: String,
    fp_neutral: u32,
    fp_happiness: u32,
    fp_surprise: u32,
    fp_sadness: u32,
    fp_anger: u32,
    fp_disgust: u32,
    fp_fear: u32,
    fp_contempt: u32,
    fp_unknown: u32,
    #[serde(rename = "fp_NF")]
    fp_not_a_face: u32,
}

/// Whose labels a manifest takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Labelling {
    /// The crowd's votes of FER+: soft labels, and a label where one class has more than half of all votes.
    Ferplus,
    /// The original single label of FER2013.
    Fer2013,
}

/// Why the data set cannot be imported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ImportError {
    #[error("{}: {source}", path.display())]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{}, line {line}: {reason}", path.display())]
    Row { path: PathBuf, line: usize, reason: String },
}

/// What the import left out, for the person.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Rows in which contempt, unknown and not-a-face have at least half of the votes.
    pub outside_the_classes: usize,
    /// Training rows of which an identical picture is in another split.
    pub leaking_duplicates: usize,
}

impl Labels {
    fn votes(&self) -> [u32; Expression::COUNT] {
        [
            self.fp_neutral,
            self.fp_happiness,
            self.fp_sadness,
            self.fp_surprise,
            self.fp_fear,
            self.fp_disgust,
            self.fp_anger,
        ]
    }

    /// Shares of the seven classes among their votes, and the class with more than half of *all* votes; `None` where the
    /// seven have no more than half of all votes.
    fn ferplus(&self) -> Option<(Probabilities, Option<Expression>)> {
        let votes = self.votes();
        let seven: u32 = votes.iter().sum();
        let all = seven + self.fp_contempt + self.fp_unknown + self.fp_not_a_face;
        if 2 * seven <= all {
            return None;
        }
        let label = Expression::ALL.into_iter().find(|e| 2 * votes[e.index()] > all);
        Some((votes.map(|v| v as f32 / seven as f32), label))
    }

    fn fer2013(&self) -> Option<Expression> {
        Some(match self.fer_class.as_str() {
            "angry" => Expression::Anger,
            "disgust" => Expression::Disgust,
            "fear" => Expression::Fear,
            "happy" => Expression::Happiness,
            "sad" => Expression::Sadness,
            "surprise" => Expression::Surprise,
            "neutral" => Expression::Neutral,
            _ => return None,
        })
    }
}

/// Reads `folder/fer2013_labels.csv` into rows whose paths are those of the strips in `folder`.
///
/// Training rows with a byte-identical picture in another split are left out; PublicTest becomes the validation split,
/// PrivateTest the test split. Byte-identical pictures share a `sequence`, so that grouped splits keep them together.
///
/// # Errors
/// If the file is missing or a row is not as described in the data set's table.
pub fn import(folder: &Path, labelling: Labelling) -> Result<(Vec<Row>, LeftOut), ImportError> {
    let path = folder.join("fer2013_labels.csv");
    let csv_error = |source| ImportError::Csv { path: path.clone(), source };
    let mut reader = csv::Reader::from_path(&path).map_err(csv_error)?;
    let (mut rows, mut left_out) = (Vec::new(), LeftOut::default());
    for (index, labels) in reader.deserialize::<Labels>().enumerate() {
        let labels = labels.map_err(csv_error)?;
        let fault = |reason: String| ImportError::Row { path: path.clone(), line: index + 2, reason };
        let (split, strip, cell) = match labels.split.as_str() {
            "Training" if labels.pos < CELLS_IN_TRAINING_A => (Split::Train, "training_a.png", labels.pos),
            "Training" => (Split::Train, "training_b.png", labels.pos - CELLS_IN_TRAINING_A),
            "PublicTest" => (Split::Validation, "publictest.png", labels.pos),
            "PrivateTest" => (Split::Test, "privatetest.png", labels.pos),
            other => return Err(fault(format!("unknown split '{other}'"))),
        };
        if split == Split::Train && labels.dup_crosses_split == 1 {
            left_out.leaking_duplicates += 1;
            continue;
        }
        let mut row = Row {
            cell: Some(cell),
            sequence: (labels.dup_group >= 0).then(|| format!("duplicate-{}", labels.dup_group)),
            ..Row::new(folder.join(strip), split)
        };
        match labelling {
            Labelling::Fer2013 => {
                let label = labels.fer2013();
                row.label = Some(label.ok_or_else(|| fault(format!("unknown class '{}'", labels.fer_class)))?);
            }
            Labelling::Ferplus => {
                let Some((shares, label)) = labels.ferplus() else {
                    left_out.outside_the_classes += 1;
                    continue;
                };
                row.set_soft(shares);
                row.label = label;
            }
        }
        rows.push(row);
    }
    Ok((rows, left_out))
}

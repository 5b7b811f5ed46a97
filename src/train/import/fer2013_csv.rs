//! FER2013 as it was published: `fer2013.csv`, whose rows hold the pixels, with FER+'s `fer2013new.csv` beside it or not.

use std::path::{Path, PathBuf};

use image::{GrayImage, ImageFormat};
use serde::Deserialize;

use super::fer2013::{Labelling, Votes};
use super::{DataImportError, ImportedData, open_csv};
use crate::files::OutputOptions;
use crate::model::class_order::{ClassOrder, Meaning};
use crate::train::manifest::{Row, Split};

/// Side of the pictures.
const SIDE: usize = 48;
/// Cells in a strip, which stays below the million rows at which some PNG readers stop.
const CELLS: usize = 14_000;

#[derive(Debug, Deserialize)]
struct Published {
    emotion: usize,
    pixels: String,
    #[serde(rename = "Usage")]
    usage: String,
}

#[derive(Debug, Deserialize)]
struct FerPlus {
    neutral: u32,
    happiness: u32,
    surprise: u32,
    sadness: u32,
    anger: u32,
    disgust: u32,
    fear: u32,
    contempt: u32,
    unknown: u32,
    #[serde(rename = "NF")]
    not_a_face: u32,
}

impl FerPlus {
    fn votes(&self) -> Votes {
        let seven = [self.neutral, self.happiness, self.sadness, self.surprise, self.fear, self.disgust, self.anger];
        Votes { seven, others: [self.contempt, self.unknown, self.not_a_face] }
    }
}

/// Reads `folder/fer2013.csv` and writes its pictures as strips of cells into `pictures`. With [`Labelling::Votes`], row
/// `i` takes the votes in row `i` of `folder/fer2013new.csv`, as FER+ describes. PublicTest becomes the validation split,
/// PrivateTest the test split; copies across splits are not looked for: `annotate data inspect --leakage` does.
///
/// # Errors
/// If a file is missing, a row has not 2,304 pixels or an unknown label or usage, or the strips cannot be written.
pub fn import(folder: &Path, pictures: &Path, labelling: Labelling) -> Result<ImportedData, DataImportError> {
    let path = folder.join("fer2013.csv");
    let mut reader = open_csv(&path, &["emotion", "pixels", "Usage"])?;
    let mut votes = match labelling {
        Labelling::Votes | Labelling::FerplusRule => Some(read_votes(&folder.join("fer2013new.csv"))?.into_iter()),
        Labelling::Fer2013 => None,
    };
    std::fs::create_dir_all(pictures).map_err(|source| DataImportError::Write { path: pictures.into(), source })?;
    let mut imported = ImportedData::default();
    let mut strips = Strips { folder: pictures, written: 0, samples: Vec::new() };
    for (index, published) in reader.deserialize::<Published>().enumerate() {
        let published = published.map_err(|source| DataImportError::Csv { path: path.clone(), source })?;
        let fault = |reason: String| DataImportError::Row { path: path.clone(), line: index as u64 + 2, reason };
        let split = match published.usage.as_str() {
            "Training" => Split::Train,
            "PublicTest" => Split::Validation,
            "PrivateTest" => Split::Test,
            other => return Err(fault(format!("unknown usage '{other}'"))),
        };
        let label = match ClassOrder::Fer2013.meanings().get(published.emotion) {
            Some(Meaning::Seven(label)) => *label,
            _ => return Err(fault(format!("unknown emotion {}", published.emotion))),
        };
        let samples: Result<Vec<u8>, _> = published.pixels.split_whitespace().map(str::parse).collect();
        let samples = samples.map_err(|_| fault("a pixel is not a number from 0 to 255".into()))?;
        if samples.len() != SIDE * SIDE {
            return Err(fault(format!("{} pixels, not {}", samples.len(), SIDE * SIDE)));
        }
        let mut row = Row::new(PathBuf::new(), split);
        match &mut votes {
            None => row.label = Some(label),
            Some(votes) => {
                let votes = votes.next().ok_or_else(|| fault("fer2013new.csv has fewer rows".into()))?;
                if !votes.put(&mut row, labelling, &mut imported) {
                    continue;
                }
            }
        }
        (row.path, row.cell) = strips.add(&samples)?;
        imported.rows.push(row);
    }
    strips.write()?;
    match imported.rows.is_empty() {
        true => Err(DataImportError::Nothing { path, expected: "rows with pixels" }),
        false => Ok(imported),
    }
}

fn read_votes(path: &Path) -> Result<Vec<Votes>, DataImportError> {
    let mut reader = open_csv(path, &["neutral", "contempt", "NF"])?;
    let rows: Result<Vec<Votes>, csv::Error> = reader.deserialize::<FerPlus>().map(|row| Ok(row?.votes())).collect();
    rows.map_err(|source| DataImportError::Csv { path: path.into(), source })
}

/// Pictures, one below the other.
struct Strips<'a> {
    folder: &'a Path,
    written: usize,
    samples: Vec<u8>,
}

impl Strips<'_> {
    fn path(&self) -> PathBuf {
        self.folder.join(format!("strip-{:02}.png", self.written + 1))
    }

    /// Where the picture goes: the strip and the cell.
    fn add(&mut self, picture: &[u8]) -> Result<(PathBuf, Option<usize>), DataImportError> {
        if self.samples.len() >= CELLS * SIDE * SIDE {
            self.write()?;
        }
        self.samples.extend_from_slice(picture);
        Ok((self.path(), Some(self.samples.len() / (SIDE * SIDE) - 1)))
    }

    fn write(&mut self) -> Result<(), DataImportError> {
        let path = self.path();
        let failed = |source| DataImportError::Write { path: path.clone(), source };
        let samples = std::mem::take(&mut self.samples);
        let height = samples.len() / SIDE;
        let Some(strip) = GrayImage::from_raw(SIDE as u32, height as u32, samples).filter(|_| height > 0) else {
            return Ok(());
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        strip.write_to(&mut bytes, ImageFormat::Png).map_err(|e| failed(std::io::Error::other(e)))?;
        OutputOptions::state()
            .put(&path, |out| out.write_all(bytes.get_ref()))
            .map_err(|e| failed(std::io::Error::other(e)))?;
        self.written += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Expression;

    fn row(emotion: usize, value: u8, usage: &str) -> String {
        format!("{emotion},{},{usage}\n", vec![value.to_string(); SIDE * SIDE].join(" "))
    }

    fn import_rows(rows: &str, votes: Option<&str>) -> Result<(ImportedData, tempfile::TempDir), DataImportError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fer2013.csv"), format!("emotion,pixels,Usage\n{rows}")).unwrap();
        if let Some(votes) = votes {
            let header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n";
            std::fs::write(folder.path().join("fer2013new.csv"), format!("{header}{votes}")).unwrap();
        }
        let labelling = if votes.is_some() { Labelling::Votes } else { Labelling::Fer2013 };
        Ok((import(folder.path(), &folder.path().join("pictures"), labelling)?, folder))
    }

    #[test]
    fn pictures_become_cells_and_usages_splits() {
        let rows = row(3, 9, "Training") + &row(6, 200, "PrivateTest");
        let (imported, _folder) = import_rows(&rows, None).unwrap();
        let found: Vec<_> = imported.rows.iter().map(|r| (r.split, r.label.unwrap(), r.cell.unwrap())).collect();
        assert_eq!(found, [(Split::Train, Expression::Happiness, 0), (Split::Test, Expression::Neutral, 1)]);
        let strip = image::open(&imported.rows[0].path).unwrap().into_luma8();
        assert_eq!((strip.dimensions(), strip.as_raw()[0], strip.as_raw()[SIDE * SIDE]), ((48, 96), 9, 200));
    }

    #[test]
    fn votes_are_taken_row_by_row() {
        let rows = row(0, 1, "Training") + &row(0, 2, "Training");
        let votes = "Training,,0,0,0,0,0,0,0,0,0,10\nTraining,fer0000001.png,1,0,0,9,0,0,0,0,0,0\n";
        let (imported, _folder) = import_rows(&rows, Some(votes)).unwrap();
        assert_eq!(imported.rows.len(), 1);
        assert_eq!(imported.rows[0].label, Some(Expression::Sadness));
        assert_eq!(image::open(&imported.rows[0].path).unwrap().into_luma8().as_raw()[0], 2);
    }

    #[test]
    fn a_bad_row_is_named_by_line() {
        let message = |rows: &str| import_rows(rows, None).unwrap_err().to_string();
        assert!(message("0,1 2 3,Training\n").contains("line 2: 3 pixels, not 2304"));
        assert!(message(&row(7, 1, "Training")).contains("unknown emotion 7"));
        assert!(message(&row(0, 1, "Other")).contains("unknown usage 'Other'"));
    }
}

//! Images of a manifest, decoded once and kept as 8-bit luma.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::ImageReader;

use super::manifest::{Row, Split};
use crate::timeline::{Expression, Probabilities};

/// One example: a luma picture and what it shows.
#[derive(Clone)]
pub struct Example {
    /// Place of the row in the manifest, from 0.
    pub row: usize,
    /// The picture.
    pub picture: Picture,
    /// The distribution over classes to learn.
    pub target: Probabilities,
    /// The class to be judged by, where the annotators agree on one.
    pub label: Option<Expression>,
    /// Factor on the loss.
    pub weight: f32,
}

/// An 8-bit luma picture, part of a shared buffer.
#[derive(Clone, Default)]
pub struct Picture {
    samples: Arc<Vec<u8>>,
    offset: usize,
    /// Samples in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Picture {
    /// The samples, row by row.
    pub fn samples(&self) -> &[u8] {
        &self.samples[self.offset..][..self.width * self.height]
    }
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DatasetError {
    #[error("row {row}: {}: {source}", path.display())]
    Unreadable { row: usize, path: PathBuf, source: std::io::Error },
    #[error("row {row}: {}: not a readable image: {source}", path.display())]
    Image { row: usize, path: PathBuf, source: image::ImageError },
    #[error("row {row}: {}: there is no cell {cell}; the strip has {cells}", path.display())]
    Cell { row: usize, path: PathBuf, cell: usize, cells: usize },
}

/// Loads the rows of `split`; each file is decoded once. Row numbers in messages are those of the manifest, from 1.
///
/// # Errors
/// If an image is missing, is not an image, or a strip has too few cells.
pub fn load(rows: &[Row], split: Split) -> Result<Vec<Example>, DatasetError> {
    let mut files: HashMap<&Path, Picture> = HashMap::new();
    let mut examples = Vec::new();
    for (row, entry) in rows.iter().enumerate().filter(|(_, entry)| entry.split == split) {
        let Some(target) = entry.target() else { continue };
        let file = match files.get(entry.path.as_path()) {
            Some(file) => file.clone(),
            None => {
                let file = decode(&entry.path, row + 1)?;
                files.insert(&entry.path, file.clone());
                file
            }
        };
        let picture = match entry.cell {
            None => file,
            Some(cell) => {
                let cells = file.height / file.width;
                if cell >= cells {
                    return Err(DatasetError::Cell { row: row + 1, path: entry.path.clone(), cell, cells });
                }
                let side = file.width;
                Picture { samples: file.samples, offset: cell * side * side, width: side, height: side }
            }
        };
        examples.push(Example { row, picture, target, label: entry.label, weight: entry.weight });
    }
    Ok(examples)
}

fn decode(path: &Path, row: usize) -> Result<Picture, DatasetError> {
    let unreadable = |source| DatasetError::Unreadable { row, path: path.into(), source };
    let mut reader = ImageReader::open(path).map_err(unreadable)?.with_guessed_format().map_err(unreadable)?;
    // Strips are hundreds of thousands of rows high; what bounds memory is the number of samples.
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(512 << 20);
    reader.limits(limits);
    let image = reader.decode().map_err(|source| DatasetError::Image { row, path: path.into(), source })?.into_luma8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Picture { samples: Arc::new(image.into_raw()), offset: 0, width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &Path, cell: Option<usize>) -> Row {
        let text = format!("path,label,split,cell\n{},fear,train,\n", path.display());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("m.csv"), text).unwrap();
        let mut row = super::super::manifest::read(&folder.path().join("m.csv")).unwrap().remove(0);
        row.cell = cell;
        row
    }

    #[test]
    fn a_cell_of_a_strip_is_the_right_part_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("strip.png");
        image::GrayImage::from_fn(2, 6, |_, y| image::Luma([y as u8 / 2])).save(&path).unwrap();
        let examples = load(&[row(&path, Some(0)), row(&path, Some(2))], Split::Train).unwrap();
        assert_eq!(examples[0].picture.samples(), [0; 4]);
        assert_eq!(examples[1].picture.samples(), [2; 4]);
        let error = load(&[row(&path, Some(3))], Split::Train).err().unwrap().to_string();
        assert!(error.contains("no cell 3") && error.contains("row 1"), "{error}");
    }

    #[test]
    fn a_corrupt_image_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.png");
        std::fs::write(&path, b"not a png").unwrap();
        let error = load(&[row(&path, None)], Split::Train).err().unwrap().to_string();
        assert!(error.contains("broken.png"), "{error}");
    }
}

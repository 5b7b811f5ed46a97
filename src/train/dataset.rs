//! The images of a manifest: small ones are decoded once and kept, the rest of large sets whenever they are used.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::DynamicImage;
use rayon::prelude::*;

use super::manifest::{Row, Split};
use super::photo::{self, PhotoError};
use crate::picture::Colours;
use crate::timeline::{Expression, Probabilities};

/// Decoded pictures up to this many bytes are kept; the pictures of larger sets are decoded anew in each epoch, by the
/// loader's threads.
const KEPT: usize = 1 << 30;

/// One example: a picture and what it shows.
#[derive(Clone)]
pub struct Example {
    /// Index of the row in the manifest, from 0.
    pub row: usize,
    /// The picture.
    pub source: ImageSource,
    /// The distribution over classes to learn.
    pub target: Probabilities,
    /// The class to be judged by, where the annotators agree on one.
    pub label: Option<Expression>,
    /// Factor on the loss.
    pub weight: f32,
}

/// A picture, or where it is.
#[derive(Clone)]
pub enum ImageSource {
    /// Decoded.
    Kept(Picture),
    /// In a file, to be decoded when it is used.
    File {
        /// The file.
        path: PathBuf,
        /// As what to decode it.
        colours: Colours,
    },
}

/// An 8-bit picture, part of a shared buffer, channels interleaved.
#[derive(Clone)]
pub struct Picture {
    samples: Arc<Vec<u8>>,
    offset: usize,
    /// Luma or colour.
    pub colours: Colours,
    /// Pixels in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Picture {
    /// A picture of `samples`, row by row, as many as the size asks for.
    pub fn new(samples: Vec<u8>, colours: Colours, width: usize, height: usize) -> Self {
        debug_assert_eq!(samples.len(), width * height * colours.count());
        Self { samples: Arc::new(samples), offset: 0, colours, width, height }
    }

    /// The samples, row by row.
    pub fn samples(&self) -> &[u8] {
        &self.samples[self.offset..][..self.width * self.height * self.colours.count()]
    }

    /// The picture in `colours`.
    pub fn in_colours(&self, colours: Colours) -> Self {
        let samples = match (self.colours, colours) {
            (from, to) if from == to => return self.clone(),
            (Colours::Luma, _) => self.samples().iter().flat_map(|v| [*v; 3]).collect(),
            // The conversion that a file gets that is decoded as luma.
            (Colours::Rgb, _) => {
                let size = (self.width as u32, self.height as u32);
                let picture = image::RgbImage::from_raw(size.0, size.1, self.samples().to_vec()).unwrap_or_default();
                DynamicImage::ImageRgb8(picture).into_luma8().into_raw()
            }
        };
        Self::new(samples, colours, self.width, self.height)
    }
}

impl Example {
    /// The picture, decoded where it is not kept.
    ///
    /// # Errors
    /// If its file is missing or no image.
    pub fn picture(&self) -> Result<Picture, DatasetError> {
        match &self.source {
            ImageSource::Kept(picture) => Ok(picture.clone()),
            ImageSource::File { path, colours } => decode(path, *colours, self.row + 1),
        }
    }
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum DatasetError {
    #[error("row {row}: {}: {source}", path.display())]
    Picture { row: usize, path: PathBuf, source: PhotoError },
    #[error("row {row}: {}: there is no cell {cell}; the strip has {cells}", path.display())]
    Cell { row: usize, path: PathBuf, cell: usize, cells: usize },
}

/// Loads the rows of `split` as [`load_where`] does.
///
/// # Errors
/// Likewise.
pub fn load(rows: &[Row], split: Split, colours: Colours) -> Result<Vec<Example>, DatasetError> {
    load_where(rows, colours, |row| rows[row].split == split)
}

/// Loads the rows that `wanted` says; each file is looked at once, on all threads, and decoded where it is to be kept. Row
/// numbers in messages are those of the manifest, from 1.
///
/// # Errors
/// If an image is missing, is not an image, or a strip has too few cells; of several, the first by row.
pub fn load_where(
    rows: &[Row],
    colours: Colours,
    wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Example>, DatasetError> {
    let wanted: Vec<(usize, &Row, Probabilities)> = rows
        .iter()
        .enumerate()
        .filter(|(row, _)| wanted(*row))
        .filter_map(|(row, entry)| Some((row, entry, entry.target()?)))
        .collect();
    let mut index_of: HashMap<&Path, usize> = HashMap::new();
    let mut files: Vec<(&Path, usize, bool)> = Vec::new();
    for (row, entry, _) in &wanted {
        let index = *index_of.entry(&entry.path).or_insert(files.len());
        if index == files.len() {
            files.push((&entry.path, row + 1, false));
        }
        files[index].2 |= entry.cell.is_some();
    }
    let sizes: Vec<(usize, usize)> =
        files.par_iter().map(|(path, row, _)| size(path, *row)).collect::<Result<_, _>>()?;
    let mut room = KEPT;
    let kept: Vec<bool> = files
        .iter()
        .zip(&sizes)
        .map(|((_, _, is_strip), (width, height))| {
            let bytes = width.saturating_mul(*height).saturating_mul(colours.count());
            let fits = *is_strip || bytes <= room;
            room = room.saturating_sub(if fits { bytes } else { 0 });
            fits
        })
        .collect();
    let pictures: Vec<Option<Picture>> = files
        .par_iter()
        .zip(kept)
        .map(|((path, row, _), kept)| kept.then(|| decode(path, colours, *row)).transpose())
        .collect::<Result<_, _>>()?;
    wanted
        .into_iter()
        .map(|(row, entry, target)| {
            let source = match (&pictures[index_of[entry.path.as_path()]], entry.cell) {
                (Some(file), None) => ImageSource::Kept(file.clone()),
                (Some(file), Some(cell)) => ImageSource::Kept(cell_of(file, cell, entry, row + 1)?),
                (None, _) => ImageSource::File { path: entry.path.clone(), colours },
            };
            Ok(Example { row, source, target, label: entry.label, weight: entry.weight })
        })
        .collect()
}

fn cell_of(strip: &Picture, cell: usize, entry: &Row, row: usize) -> Result<Picture, DatasetError> {
    let (side, cells) = (strip.width, strip.height / strip.width.max(1));
    if cell >= cells {
        return Err(DatasetError::Cell { row, path: entry.path.clone(), cell, cells });
    }
    let offset = cell * side * side * strip.colours.count();
    Ok(Picture { samples: Arc::clone(&strip.samples), offset, width: side, height: side, colours: strip.colours })
}

fn size(path: &Path, row: usize) -> Result<(usize, usize), DatasetError> {
    photo::size(path).map_err(|source| DatasetError::Picture { row, path: path.into(), source })
}

fn decode(path: &Path, colours: Colours, row: usize) -> Result<Picture, DatasetError> {
    let image = photo::decode(path).map_err(|source| DatasetError::Picture { row, path: path.into(), source })?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let samples = match (colours, image) {
        (Colours::Luma, image) => image.into_luma8().into_raw(),
        (Colours::Rgb, DynamicImage::ImageRgb8(image)) => image.into_raw(),
        (Colours::Rgb, image) => image.into_rgb8().into_raw(),
    };
    Ok(Picture::new(samples, colours, width, height))
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
        let examples = load(&[row(&path, Some(0)), row(&path, Some(2))], Split::Train, Colours::Luma).unwrap();
        assert_eq!(examples[0].picture().unwrap().samples(), [0; 4]);
        assert_eq!(examples[1].picture().unwrap().samples(), [2; 4]);
        let error = load(&[row(&path, Some(3))], Split::Train, Colours::Luma).err().unwrap().to_string();
        assert!(error.contains("no cell 3") && error.contains("row 1"), "{error}");
    }

    #[test]
    fn a_corrupt_image_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.png");
        std::fs::write(&path, b"not a png").unwrap();
        let error = load(&[row(&path, None)], Split::Train, Colours::Rgb).err().unwrap().to_string();
        assert!(error.contains("broken.png"), "{error}");
    }

    #[test]
    fn colour_is_kept_where_it_is_wanted_and_luma_is_the_same_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("red.png");
        image::RgbImage::from_pixel(2, 2, image::Rgb([200, 10, 30])).save(&path).unwrap();
        let picture = |colours| load(&[row(&path, None)], Split::Train, colours).unwrap()[0].picture().unwrap();
        let (colour, luma) = (picture(Colours::Rgb), picture(Colours::Luma));
        assert_eq!(colour.samples()[..3], [200, 10, 30]);
        assert_eq!(colour.in_colours(Colours::Luma).samples(), luma.samples());
        assert_eq!(luma.in_colours(Colours::Rgb).samples().len(), 12);
    }

    #[test]
    fn a_picture_that_is_not_kept_is_decoded_when_it_is_used_and_then_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late.png");
        image::GrayImage::from_pixel(3, 3, image::Luma([9])).save(&path).unwrap();
        let mut example = load(&[row(&path, None)], Split::Train, Colours::Luma).unwrap().remove(0);
        example.source = ImageSource::File { path: path.clone(), colours: Colours::Luma };
        assert_eq!(example.picture().unwrap().samples(), [9; 9]);
        std::fs::write(&path, b"gone").unwrap();
        let error = example.picture().err().unwrap().to_string();
        assert!(error.contains("row 1") && error.contains("late.png"), "{error}");
    }
}

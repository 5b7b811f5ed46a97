//! The image files of a folder, and whether they are usable.

use std::path::{Path, PathBuf};

use super::DataImportError;
use crate::train::photo;

/// Larger pictures are no face crops or video frames: 8K has 33 million pixels.
pub(super) const MOST_PIXELS: u64 = 64 << 20;

/// The files in `folder` that are images by their name, in order of name.
pub(super) fn images(folder: &Path) -> Result<Vec<PathBuf>, DataImportError> {
    let mut found: Vec<PathBuf> =
        entries(folder)?.into_iter().filter(|path| photo::is_called_a_picture(path) && !path.is_dir()).collect();
    found.sort();
    Ok(found)
}

/// The folders in `folder`, in order of name.
pub(super) fn folders(folder: &Path) -> Result<Vec<PathBuf>, DataImportError> {
    let mut found: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataImportError> {
    let unreadable = |source| DataImportError::Unreadable { path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable)).collect()
}

/// What is wrong with an image file, as far as its header says; `None` where nothing is.
pub(super) fn fault(path: &Path) -> Option<String> {
    match photo::size(path) {
        Ok((width, height)) if width as u64 * height as u64 > MOST_PIXELS => {
            Some(format!("{}: a picture of {width}x{height} is too large", path.display()))
        }
        Ok((0, _) | (_, 0)) => Some(format!("{}: a picture without pixels", path.display())),
        Ok(_) => None,
        Err(error) => Some(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.jpg");
        image::RgbImage::new(8, 8).save(&path).unwrap();
        assert_eq!(fault(&path), None);
        let mut bytes = std::fs::read(&path).unwrap();
        // Height and width stand five bytes behind the marker of the frame's header.
        let header = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[header + 5..header + 9].fill(0xfe);
        std::fs::write(&path, bytes).unwrap();
        let fault = fault(&path).unwrap();
        assert!(fault.contains("65278x65278"), "{fault}");
    }
}

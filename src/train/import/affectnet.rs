//! AffectNet (Mollahosseini, Hasani & Mahoor 2019) as it is handed out: `train_set` and `val_set`, each with
//! `images/ID.jpg` and `annotations/ID_exp.npy`.

use std::path::Path;

use rayon::prelude::*;

use super::pictures::{fault, images};
use super::{Broken, DataImportError, ImportedData, npy};
use crate::model::class_order::{ClassOrder, Meaning};
use crate::train::manifest::{Row, Split};

/// Reads both sets. `val_set`, on which results are published, becomes the test split; a validation split has to be taken
/// from the training images. Contempt is left out.
///
/// # Errors
/// If neither set is there, an image cannot be read, or a label is missing or not one of AffectNet's.
pub fn import(folder: &Path, broken: Broken) -> Result<ImportedData, DataImportError> {
    let mut imported = ImportedData::default();
    let mut is_there = false;
    for (set, split) in [("train_set", Split::Train), ("val_set", Split::Test)] {
        let set = folder.join(set);
        if !set.join("images").is_dir() {
            continue;
        }
        is_there = true;
        let labelled: Vec<Result<(Row, Meaning), String>> = images(&set.join("images"))?
            .into_par_iter()
            .map(|image| {
                let id = image.file_stem().unwrap_or_default().to_string_lossy();
                let label = set.join("annotations").join(format!("{id}_exp.npy"));
                let fault_of = |reason: String| DataImportError::File { path: label.clone(), reason };
                let number = npy::read_one(&label).map_err(fault_of)?;
                let meaning =
                    usize::try_from(number).ok().and_then(|n| ClassOrder::Affectnet.meanings().get(n).copied());
                let meaning = meaning.ok_or_else(|| fault_of(format!("unknown label {number}")))?;
                match (fault(&image), broken) {
                    (Some(reason), Broken::Stop) => Err(DataImportError::Picture { reason }),
                    (Some(reason), Broken::Skip) => Ok(Err(reason)),
                    (None, _) => Ok(Ok((Row::new(image, split), meaning))),
                }
            })
            .collect::<Result<_, _>>()?;
        for row in labelled {
            let (mut row, meaning) = match row {
                Ok(row) => row,
                Err(reason) => {
                    imported.broken.push(reason);
                    continue;
                }
            };
            match meaning {
                Meaning::Seven(expression) => {
                    row.label = Some(expression);
                    imported.rows.push(row);
                }
                _ => imported.leave_out("of contempt"),
            }
        }
    }
    match is_there && !imported.rows.is_empty() {
        true => Ok(imported),
        false => Err(DataImportError::Nothing { path: folder.into(), expected: "train_set/images and val_set/images" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Expression;

    fn data_set(labels: &[(&str, &str, char)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (set, id, label) in labels {
            let set = folder.path().join(set);
            for part in ["images", "annotations"] {
                std::fs::create_dir_all(set.join(part)).unwrap();
            }
            image::RgbImage::new(4, 4).save(set.join(format!("images/{id}.jpg"))).unwrap();
            let header = format!("{:<117}\n", "{'descr': '<U1', 'fortran_order': False, 'shape': (), }");
            let text = format!("{header}{label}\0\0\0");
            let bytes = [b"\x93NUMPY\x01\x00\x76\x00".as_slice(), text.as_bytes()].concat();
            std::fs::write(set.join(format!("annotations/{id}_exp.npy")), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn numbers_are_affectnets_and_contempt_is_left_out() {
        let folder = data_set(&[("train_set", "1", '4'), ("train_set", "2", '7'), ("val_set", "3", '6')]);
        let imported = import(folder.path(), Broken::Stop).unwrap();
        let found: Vec<_> = imported.rows.iter().map(|r| (r.split, r.label.unwrap())).collect();
        assert_eq!(found, [(Split::Train, Expression::Fear), (Split::Test, Expression::Anger)]);
        assert_eq!(imported.left_out, [(1, "of contempt")]);
    }

    #[test]
    fn a_missing_or_unknown_label_is_named() {
        let folder = data_set(&[("train_set", "1", '9')]);
        assert!(import(folder.path(), Broken::Stop).unwrap_err().to_string().contains("1_exp.npy: unknown label 9"));
        std::fs::remove_file(folder.path().join("train_set/annotations/1_exp.npy")).unwrap();
        assert!(import(folder.path(), Broken::Stop).unwrap_err().to_string().contains("1_exp.npy"));
        assert!(
            import(&folder.path().join("train_set"), Broken::Stop).unwrap_err().to_string().contains("val_set/images")
        );
    }
}

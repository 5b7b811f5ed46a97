//! Folders named after classes: `anger/1.png`, or `train/anger/1.png` beside `validation/` and `test/`, as FER2013's jpg
//! edition, RAF-DB and the seed's own sets lie.

use std::path::Path;

use super::pictures::{fault, folders, images};
use super::{Broken, DataImportError, ImportedData};
use crate::model::class_order::{ClassOrder, Meaning, meaning};
use crate::train::manifest::{Row, Split};

const EXPECTED: &str = "folders named after classes (anger, disgust, fear, happiness, neutral, sadness, surprise), alone or \
                        in train, validation and test";

/// Reads the folders below `folder`. Names may be spelled as data sets do (`happy`, `Angry`); numbers are looked up in
/// `order`. Pictures without a split of their own are training pictures. Where names are those of PHOENIX frames, their
/// videos become sequences.
///
/// # Errors
/// If a folder is not named after a class, a file is not an image, or there is no image at all.
pub fn import(folder: &Path, order: Option<ClassOrder>, broken: Broken) -> Result<ImportedData, DataImportError> {
    let mut imported = ImportedData::default();
    let inner = folders(folder)?;
    let splits: Vec<_> = inner.iter().filter_map(|path| Some((path, split(&name(path))?))).collect();
    if splits.is_empty() {
        classes(&inner, Split::Train, order, broken, &mut imported)?;
    } else if let Some(other) = inner.iter().find(|path| split(&name(path)).is_none()) {
        let reason = "is neither a training, validation nor test folder, but lies beside one".into();
        return Err(DataImportError::File { path: other.clone(), reason });
    }
    for (path, split) in splits {
        classes(&folders(path)?, split, order, broken, &mut imported)?;
    }
    match imported.rows.is_empty() {
        true => Err(DataImportError::Nothing { path: folder.into(), expected: EXPECTED }),
        false => Ok(imported),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn split(name: &str) -> Option<Split> {
    let name = name.to_ascii_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    match () {
        () if begins(&["train"]) => Some(Split::Train),
        () if begins(&["val", "dev", "publictest"]) => Some(Split::Validation),
        () if begins(&["test", "privatetest"]) => Some(Split::Test),
        () => None,
    }
}

fn classes(
    paths: &[std::path::PathBuf],
    split: Split,
    order: Option<ClassOrder>,
    broken: Broken,
    imported: &mut ImportedData,
) -> Result<(), DataImportError> {
    for path in paths {
        let name = name(path);
        let by_number = || order?.meanings().get(name.parse::<usize>().ok()?).copied();
        let Some(meaning) = meaning(&name).or_else(by_number) else {
            let path = path.clone();
            return Err(match name.parse::<usize>() {
                Ok(number) => DataImportError::NumberedClass { path, number },
                Err(_) => DataImportError::File { path, reason: format!("'{name}' is not the name of a class") },
            });
        };
        for image in images(path)? {
            if let Some(reason) = fault(&image) {
                match broken {
                    Broken::Stop => return Err(DataImportError::Picture { reason }),
                    Broken::Skip => imported.broken.push(reason),
                }
                continue;
            }
            let Meaning::Seven(label) = meaning else {
                imported.leave_out("of classes that are not among the seven");
                continue;
            };
            let phoenix = super::feph::phoenix_name(&image);
            imported.rows.push(Row {
                label: Some(label),
                sequence: phoenix.as_ref().map(|(video, _)| video.clone()),
                frame: phoenix.map(|(_, frame)| frame),
                ..Row::new(image, split)
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Expression;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::GrayImage::new(4, 4).save(&path).unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_labels_and_their_parents_splits() {
        let folder = tree(&["train_files/Happy/a.png", "train_files/contempt/b.png", "test_files/angry/c.jpg"]);
        let imported = import(folder.path(), None, Broken::Stop).unwrap();
        let found: Vec<_> = imported.rows.iter().map(|r| (r.split, r.label.unwrap())).collect();
        assert_eq!(found, [(Split::Test, Expression::Anger), (Split::Train, Expression::Happiness)]);
        assert_eq!(imported.left_out[0].0, 1);
    }

    #[test]
    fn numbers_need_an_order() {
        let folder = tree(&["4/a.png"]);
        assert!(matches!(
            import(folder.path(), None, Broken::Stop),
            Err(DataImportError::NumberedClass { number: 4, .. })
        ));
        let rows = import(folder.path(), Some(ClassOrder::Affectnet), Broken::Stop).unwrap().rows;
        assert_eq!(rows[0].label, Some(Expression::Fear));
    }

    #[test]
    fn unknown_classes_broken_images_and_nothing_at_all_are_named() {
        let message = |folder: &tempfile::TempDir| import(folder.path(), None, Broken::Stop).unwrap_err().to_string();
        assert!(message(&tree(&["joyful/a.png"])).contains("'joyful'"));
        assert!(message(&tree(&[])).contains("no images"));
        assert!(message(&tree(&["train/anger/a.png", "extra/anger/b.png"])).contains("extra"));
        let folder = tree(&["anger/a.png"]);
        std::fs::write(folder.path().join("anger/broken.png"), b"no").unwrap();
        assert!(message(&folder).contains("broken.png"));
        let imported = import(folder.path(), None, Broken::Skip).unwrap();
        assert_eq!((imported.rows.len(), imported.broken.len()), (1, 1));
        assert!(imported.broken[0].contains("broken.png: not a readable image"), "{:?}", imported.broken);
    }

    #[test]
    fn a_picture_with_the_wrong_extension_is_taken_and_a_macs_shadow_file_is_not() {
        let folder = tree(&["anger/a.png"]);
        let webp = folder.path().join("anger/b.jpg");
        image::RgbImage::new(4, 4).save_with_format(&webp, image::ImageFormat::WebP).unwrap();
        std::fs::write(folder.path().join("anger/._a.png"), b"\0\x05\x16\x07").unwrap();
        let names: Vec<String> =
            import(folder.path(), None, Broken::Stop).unwrap().rows.iter().map(|row| name(&row.path)).collect();
        assert_eq!(names, ["a.png", "b.jpg"]);
    }
}

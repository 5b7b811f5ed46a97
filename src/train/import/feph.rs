//! FePh (Alaghband, Yousefi & Garibay 2020): frames of RWTH-PHOENIX-Weather with the expressions that annotators saw, in
//! `FePh_labels.csv` and a folder of images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::pictures::{fault, folders, images};
use super::{Broken, DataImportError, ImportedData, open_csv};
use crate::choice::Choice;
use crate::model::class_order::{ClassOrder, Meaning};
use crate::timeline::Expression;
use crate::train::manifest::{Row, Split};

/// What is done with frames in which annotators saw several expressions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MultiLabel {
    /// They are left out, as SLTAT 2022 does
    #[default]
    Drop,
    /// Each expression gets the same share of a soft label; they are trained on and left out of evaluation
    Keep,
}

impl Choice for MultiLabel {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Drop, "drop", "They are left out, as SLTAT 2022 does"),
        (
            Self::Keep,
            "keep",
            "Each expression gets the same share of a soft label; they are trained on and left out of evaluation",
        ),
    ];
}

/// What is done with frames in which annotators saw a face but no expression of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NoneLabel {
    /// They are left out, as SLTAT 2022 does
    #[default]
    Drop,
    /// They count as neutral
    Keep,
}

impl Choice for NoneLabel {
    const CHOICES: &'static [(Self, &'static str, &'static str)] =
        &[(Self::Drop, "drop", "They are left out, as SLTAT 2022 does"), (Self::Keep, "keep", "They count as neutral")];
}

#[derive(Debug, Deserialize)]
struct Labels {
    #[serde(rename = "External ID")]
    id: String,
    #[serde(rename = "Facial_label", default)]
    labels: String,
}

/// The csv's own name.
const LABELS: &str = "FePh_labels.csv";

/// Reads `folder/FePh_labels.csv`; its images lie anywhere below `folder`. Each video of PHOENIX becomes a sequence, and
/// every row is a training row: `annotate data split` makes the splits.
///
/// # Errors
/// If the csv lacks a column, a row has an unknown label, is not named as PHOENIX names frames or stands there twice, or
/// an image is missing or none.
pub fn import(
    folder: &Path,
    multi: MultiLabel,
    none: NoneLabel,
    broken: Broken,
) -> Result<ImportedData, DataImportError> {
    let path = folder.join(LABELS);
    let mut reader = open_csv(&path, &["External ID", "Facial_label"])?;
    let files = files_below(folder)?;
    let mut imported = ImportedData::default();
    let mut seen = HashMap::new();
    for (index, labels) in reader.deserialize::<Labels>().enumerate() {
        let Labels { id, labels } = labels.map_err(|source| DataImportError::Csv { path: path.clone(), source })?;
        let line = index as u64 + 2;
        let fault_of = |reason: String| DataImportError::Row { path: path.clone(), line, reason };
        let name = if id.ends_with(".png") { id.clone() } else { format!("{id}.png") };
        if let Some(first) = seen.insert(name.clone(), line) {
            return Err(fault_of(format!("'{id}' stands on line {first} already")));
        }
        let classes = classes(&labels).ok_or_else(|| fault_of(format!("unknown label '{labels}'")))?;
        let (target, label) = match target(&classes, multi, none) {
            Ok(target) => target,
            Err(why) => {
                imported.leave_out(why);
                continue;
            }
        };
        let image = files.get(&name).ok_or_else(|| fault_of(format!("there is no image '{name}' below the folder")))?;
        if let Some(reason) = fault(image) {
            match broken {
                Broken::Stop => return Err(fault_of(reason)),
                Broken::Skip => imported.broken.push(reason),
            }
            continue;
        }
        let Some((video, frame)) = phoenix_name(image) else {
            return Err(fault_of(format!(
                "'{id}' is not named as PHOENIX names frames (VIDEO.avi_pid0_fn000045-0.png)"
            )));
        };
        let mut row = Row { label, sequence: Some(video), frame: Some(frame), ..Row::new(image.clone(), Split::Train) };
        if label.is_none() {
            row.set_soft(target);
        }
        imported.rows.push(row);
    }
    match imported.rows.is_empty() {
        true => Err(DataImportError::Nothing { path, expected: "rows with one of the labels 0 to 6" }),
        false => Ok(imported),
    }
}

/// The meanings of a string of digits; none of them where no face was visible. `None` for anything else.
fn classes(labels: &str) -> Option<Vec<Meaning>> {
    // Spreadsheets and pandas make numbers of them.
    let labels = labels.trim().trim_end_matches(".0");
    if labels.eq_ignore_ascii_case("nan") {
        return Some(Vec::new());
    }
    let meaning = |digit: char| ClassOrder::Feph.meanings().get(digit.to_digit(10)? as usize).copied();
    labels.chars().map(meaning).collect()
}

type Target = ([f32; Expression::COUNT], Option<Expression>);

/// What a row with these classes says, or why it is left out.
fn target(classes: &[Meaning], multi: MultiLabel, none: NoneLabel) -> Result<Target, &'static str> {
    let expressions: Vec<Expression> = classes
        .iter()
        .filter_map(|class| match class {
            Meaning::Seven(expression) => Some(*expression),
            Meaning::Nothing if none == NoneLabel::Keep && classes.len() == 1 => Some(Expression::Neutral),
            _ => None,
        })
        .collect();
    match (&expressions[..], classes) {
        (_, []) => Err("without a label, as no face is visible"),
        ([], _) => Err("with the label 'none'"),
        (_, [_, _, ..]) if multi == MultiLabel::Drop => Err("with several labels"),
        ([one], _) => Ok(([0.0; Expression::COUNT], Some(*one))),
        (several, _) => {
            let mut shares = [0.0; Expression::COUNT];
            several.iter().for_each(|expression| shares[expression.index()] += 1.0 / several.len() as f32);
            Ok((shares, None))
        }
    }
}

/// The video and the frame number in a file name like
/// `07January_2010_Thursday_tagesschau_default-5.avi_pid0_fn000045-0.png`.
pub fn phoenix_name(path: &Path) -> Option<(String, u64)> {
    let name = path.file_name()?.to_str()?;
    let (video, rest) = name.split_once(".avi")?;
    let (_, number) = rest.rsplit_once("_fn")?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    Some((video.to_owned(), digits.parse().ok()?))
}

/// Image files by name, down to two folders below.
fn files_below(folder: &Path) -> Result<HashMap<String, PathBuf>, DataImportError> {
    let mut found = HashMap::new();
    let mut level = vec![folder.to_owned()];
    for _ in 0..3 {
        let mut next = Vec::new();
        for folder in level {
            for image in images(&folder)? {
                found.insert(image.file_name().unwrap_or_default().to_string_lossy().into_owned(), image);
            }
            next.extend(folders(&folder)?);
        }
        level = next;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "07January_2010_Thursday_tagesschau_default-5.avi_pid0_fn000045-0";

    #[test]
    fn video_and_frame_are_in_the_name() {
        let video = "07January_2010_Thursday_tagesschau_default-5".to_owned();
        assert_eq!(phoenix_name(Path::new(&format!("x/{NAME}.png"))), Some((video, 45)));
        assert_eq!(phoenix_name(Path::new("face.png")), None);
    }

    #[test]
    fn digits_are_classes_in_fephs_order() {
        assert_eq!(classes("14").unwrap(), [Meaning::Seven(Expression::Anger), Meaning::Seven(Expression::Happiness)]);
        assert_eq!(classes("6.0").unwrap(), [Meaning::Seven(Expression::Surprise)]);
        assert_eq!(classes("7").unwrap(), [Meaning::Nothing]);
        assert_eq!(classes(" ").unwrap(), []);
        assert_eq!(classes("8"), None);
        assert_eq!(classes("happy"), None);
    }

    fn data_set(rows: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("FePh_images")).unwrap();
        for frame in 1..=4 {
            let name = format!("FePh_images/a.avi_pid0_fn{frame:06}-0.png");
            image::GrayImage::new(4, 4).save(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join(LABELS), rows).unwrap();
        folder
    }

    #[test]
    fn several_labels_and_none_are_dropped_or_kept_as_asked() {
        let rows = "External ID,Facial_label\n\
                    a.avi_pid0_fn000001-0.png,1\na.avi_pid0_fn000002-0,12\na.avi_pid0_fn000003-0,7\na.avi_pid0_fn000004-0,\n";
        let folder = data_set(rows);
        let dropped = import(folder.path(), MultiLabel::Drop, NoneLabel::Drop, Broken::Stop).unwrap();
        assert_eq!(dropped.rows.len(), 1);
        assert_eq!(dropped.rows[0].label, Some(Expression::Anger));
        assert_eq!((dropped.rows[0].sequence.as_deref(), dropped.rows[0].frame), (Some("a"), Some(1)));
        assert_eq!(dropped.left_out.iter().map(|(count, _)| count).sum::<usize>(), 3);
        let kept = import(folder.path(), MultiLabel::Keep, NoneLabel::Keep, Broken::Stop).unwrap();
        assert_eq!(kept.rows.len(), 3);
        assert_eq!(kept.rows[1].label, None);
        assert_eq!(kept.rows[1].target().unwrap()[Expression::Disgust.index()], 0.5);
        assert_eq!(kept.rows[2].label, Some(Expression::Neutral));
    }

    #[test]
    fn what_is_wrong_is_named_by_line() {
        let message = |rows: &str| {
            import(data_set(rows).path(), MultiLabel::Drop, NoneLabel::Drop, Broken::Stop).unwrap_err().to_string()
        };
        assert!(message("External ID,label\n").contains("no column 'Facial_label'"));
        assert!(message("External ID,Facial_label\na.avi_pid0_fn000001-0,9\n").contains("line 2: unknown label '9'"));
        assert!(message("External ID,Facial_label\nb.avi_pid0_fn000001-0,1\n").contains("line 2: there is no image"));
        let twice = "External ID,Facial_label\na.avi_pid0_fn000001-0,1\na.avi_pid0_fn000001-0.png,2\n";
        assert!(message(twice).contains("line 3: 'a.avi_pid0_fn000001-0.png' stands on line 2"));
    }
}

//! FER2013 pictures (Goodfellow et al. 2013) with FER+ votes (Barsoum et al. 2016), as strips of 48x48 cells with
//! `fer2013_labels.csv`.

use std::path::Path;

use serde::Deserialize;

use super::{DataImportError, ImportedData, open_csv};
use crate::choice::Choice;
use crate::model::class_order::{Meaning, meaning};
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
    #[serde(default)]
    fer_label_status: u8,
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

/// `fer_label_status` of indistinguishable copies with different labels: it is unknown which copy has which.
const CONTRADICTORY: u8 = 2;

/// Whose labels a manifest takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labelling {
    /// The crowd's votes of FER+: soft labels, and a label where one class has more than half of all votes
    Votes,
    /// FER+'s own rule, 'majority': as votes, but single votes do not count; images without a label are left out
    FerplusRule,
    /// The original single label of FER2013
    Fer2013,
}

impl Choice for Labelling {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (
            Self::Votes,
            "votes",
            "The crowd's votes of FER+: soft labels, and a label where one class has more than half of all votes",
        ),
        (
            Self::FerplusRule,
            "ferplus-rule",
            "FER+'s own rule, 'majority': as votes, but single votes do not count; images without a label are left out",
        ),
        (Self::Fer2013, "fer2013", "The original single label of FER2013"),
    ];
    const ALIASES: &'static [(Self, &'static str)] = &[(Self::Votes, "ferplus")];
}

/// Why rows were left out.
const OUTSIDE: &str = "in which the seven classes have no majority of the votes";
const UNDECIDED: &str = "without a majority for one of the seven classes by FER+'s rule";
const LEAKING: &str = "for training with an identical picture in another split";
const CONTRADICTED: &str = "for training whose identical copies have other labels";

/// Votes of FER+.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Votes {
    /// For the seven classes, in canonical order.
    pub(super) seven: [u32; Expression::COUNT],
    /// For contempt, unknown and not a face.
    pub(super) others: [u32; 3],
}

impl Votes {
    /// Shares of the seven classes among their votes, and the class with more than half of *all* votes; `None` where the
    /// seven have no more than half of all votes.
    fn shares(self) -> Option<(Probabilities, Option<Expression>)> {
        let seven: u32 = self.seven.iter().sum();
        let all = seven + self.others.iter().sum::<u32>();
        if 2 * seven <= all {
            return None;
        }
        let label = Expression::ALL.into_iter().find(|e| 2 * self.seven[e.index()] > all);
        Some((self.seven.map(|v| v as f32 / seven as f32), label))
    }

    /// Without single votes, which FER+ takes for slips (Barsoum et al. 2016, and `_process_data` of their program).
    fn without_single_ones(self) -> Self {
        let counted = |votes: u32| if votes > 1 { votes } else { 0 };
        Self { seven: self.seven.map(counted), others: self.others.map(counted) }
    }

    /// Puts the votes into `row`, or the label that FER+'s rule gives; whether it is to be kept.
    pub(super) fn put(self, row: &mut Row, labelling: Labelling, imported: &mut ImportedData) -> bool {
        let found = match labelling {
            Labelling::FerplusRule => self.without_single_ones().shares().filter(|(_, label)| label.is_some()),
            _ => self.shares(),
        };
        let Some((shares, label)) = found else {
            imported.leave_out(if labelling == Labelling::FerplusRule { UNDECIDED } else { OUTSIDE });
            return false;
        };
        row.set_soft(shares);
        row.label = label;
        true
    }
}

impl Labels {
    fn votes(&self) -> Votes {
        let seven = [
            self.fp_neutral,
            self.fp_happiness,
            self.fp_sadness,
            self.fp_surprise,
            self.fp_fear,
            self.fp_disgust,
            self.fp_anger,
        ];
        Votes { seven, others: [self.fp_contempt, self.fp_unknown, self.fp_not_a_face] }
    }
}

/// Reads `folder/fer2013_labels.csv` into rows whose paths are those of the strips in `folder`.
///
/// Training rows with a byte-identical picture in another split are left out, and with FER2013's labels those whose copies
/// have other labels, which are kept for judging, as published figures include them; PublicTest becomes the validation split,
/// PrivateTest the test split. Byte-identical pictures share a `sequence`, so that grouped splits keep them together.
///
/// # Errors
/// If the file is missing or a row is not as described in the data set's table.
pub fn import(folder: &Path, labelling: Labelling) -> Result<ImportedData, DataImportError> {
    let path = folder.join("fer2013_labels.csv");
    let mut reader = open_csv(&path, &["split", "pos", "dup_group", "dup_crosses_split", "fer_class", "fp_neutral"])?;
    let mut imported = ImportedData::default();
    for (index, labels) in reader.deserialize::<Labels>().enumerate() {
        let labels = labels.map_err(|source| DataImportError::Csv { path: path.clone(), source })?;
        let fault = |reason: String| DataImportError::Row { path: path.clone(), line: index as u64 + 2, reason };
        let (split, strip, cell) = match labels.split.as_str() {
            "Training" if labels.pos < CELLS_IN_TRAINING_A => (Split::Train, "training_a.png", labels.pos),
            "Training" => (Split::Train, "training_b.png", labels.pos - CELLS_IN_TRAINING_A),
            "PublicTest" => (Split::Validation, "publictest.png", labels.pos),
            "PrivateTest" => (Split::Test, "privatetest.png", labels.pos),
            other => return Err(fault(format!("unknown split '{other}'"))),
        };
        if split == Split::Train && labels.dup_crosses_split == 1 {
            imported.leave_out(LEAKING);
            continue;
        }
        let mut row = Row {
            cell: Some(cell),
            sequence: (labels.dup_group >= 0).then(|| format!("duplicate-{}", labels.dup_group)),
            ..Row::new(folder.join(strip), split)
        };
        match labelling {
            Labelling::Fer2013 if split == Split::Train && labels.fer_label_status == CONTRADICTORY => {
                imported.leave_out(CONTRADICTED);
                continue;
            }
            Labelling::Fer2013 => match meaning(&labels.fer_class) {
                Some(Meaning::Seven(label)) => row.label = Some(label),
                _ => return Err(fault(format!("unknown class '{}'", labels.fer_class))),
            },
            Labelling::Votes | Labelling::FerplusRule => {
                if !labels.votes().put(&mut row, labelling, &mut imported) {
                    continue;
                }
            }
        }
        imported.rows.push(row);
    }
    Ok(imported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_all_votes_is_a_label_and_less_is_only_a_share() {
        let votes = |seven, others| Votes { seven, others: [others, 0, 0] }.shares();
        let (shares, label) = votes([6, 2, 0, 0, 0, 0, 0], 2).unwrap();
        assert_eq!((shares[0], label), (0.75, Some(Expression::Neutral)));
        assert_eq!(votes([5, 3, 0, 0, 0, 0, 0], 2).unwrap().1, None);
        assert!(votes([3, 2, 0, 0, 0, 0, 0], 5).is_none());
    }

    #[test]
    fn by_ferplus_own_rule_single_votes_do_not_count_and_contempt_is_no_label() {
        let label = |seven, others| {
            let mut row = Row::new("a.png".into(), Split::Test);
            let kept = Votes { seven, others }.put(&mut row, Labelling::FerplusRule, &mut ImportedData::default());
            assert_eq!(kept, row.label.is_some());
            row.label
        };
        assert_eq!(label([5, 1, 1, 1, 1, 1, 0], [0, 0, 0]), Some(Expression::Neutral));
        assert_eq!(label([5, 3, 2, 0, 0, 0, 0], [0, 0, 0]), None);
        assert_eq!(label([4, 1, 1, 0, 0, 0, 0], [3, 1, 0]), Some(Expression::Neutral));
        assert_eq!(label([4, 0, 0, 0, 0, 0, 0], [6, 0, 0]), None);
        assert_eq!(label([1, 1, 1, 1, 1, 1, 1], [1, 1, 1]), None);
    }

    #[test]
    fn by_ferplus_own_rule_privatetest_has_3136_pictures() {
        let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), std::path::PathBuf::from);
        let folder = data.join("fer2013");
        if !folder.is_dir() {
            println!("skipped: by_ferplus_own_rule_privatetest_has_3136_pictures (no {})", folder.display());
            return;
        }
        // Counted with Python from the csv, and the number that the peers' table stands on.
        for (labelling, wanted) in
            [(Labelling::FerplusRule, 3136), (Labelling::Votes, 2720), (Labelling::Fer2013, 3573)]
        {
            let rows = import(&folder, labelling).unwrap().rows;
            let labelled = rows.iter().filter(|row| row.split == Split::Test && row.label.is_some()).count();
            assert_eq!(labelled, wanted, "{labelling:?}");
        }
    }

    fn import_rows(rows: &str, labelling: Labelling) -> Result<ImportedData, DataImportError> {
        let folder = tempfile::tempdir().unwrap();
        let header = "split,pos,dup_group,dup_crosses_split,fer_class,fer_label_status,fp_neutral,fp_happiness,\
                      fp_surprise,fp_sadness,fp_anger,fp_disgust,fp_fear,fp_contempt,fp_unknown,fp_NF\n";
        std::fs::write(folder.path().join("fer2013_labels.csv"), format!("{header}{rows}")).unwrap();
        import(folder.path(), labelling)
    }

    #[test]
    fn copies_that_leak_or_contradict_are_left_out() {
        let rows = "Training,0,-1,0,angry,0,0,0,0,0,10,0,0,0,0,0\n\
                    Training,1,7,1,sad,1,0,0,0,10,0,0,0,0,0,0\n\
                    Training,14280,8,0,happy,2,0,10,0,0,0,0,0,0,0,0\n";
        let fer2013 = import_rows(rows, Labelling::Fer2013).unwrap();
        assert_eq!(fer2013.rows.len(), 1);
        assert_eq!(fer2013.rows[0].label, Some(Expression::Anger));
        assert_eq!(fer2013.left_out, [(1, LEAKING), (1, CONTRADICTED)]);
        let votes = import_rows(rows, Labelling::Votes).unwrap();
        assert_eq!((votes.rows[1].cell, votes.rows[1].label), (Some(1), Some(Expression::Happiness)));
    }

    #[test]
    fn an_unknown_class_is_named_by_line() {
        let error = import_rows("Training,0,-1,0,joy,0,0,0,0,0,10,0,0,0,0,0\n", Labelling::Fer2013).unwrap_err();
        assert!(error.to_string().contains("line 2: unknown class 'joy'"), "{error}");
    }
}

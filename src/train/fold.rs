//! Parts of a data set that keep what belongs together on one side and the classes' shares alike.

use std::collections::HashMap;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::manifest::Row;
use crate::choice::Choice;
use crate::random::seeded;
use crate::timeline::{Expression, most_probable};

/// What must not be on two sides of a split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// Images of one person; where no person is named, of one sequence; without either, the image alone.
    #[default]
    Subject,
    /// Images of one sequence; where none is named, the image alone. The same person may be on both sides.
    Sequence,
    /// Nothing: near-duplicates of one video may be on both sides.
    Image,
}

impl Choice for Grouping {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (
            Self::Subject,
            "subject",
            "Images of one person; where no person is named, of one sequence; without either, the image alone",
        ),
        (
            Self::Sequence,
            "sequence",
            "Images of one sequence; where none is named, the image alone. The same person may be on both sides",
        ),
        (Self::Image, "image", "Nothing: near-duplicates of one video may be on both sides"),
    ];
}

impl Grouping {
    /// The name of the row's group.
    pub fn key(self, row: &Row) -> String {
        let subject = row.subject.as_ref().filter(|_| self == Self::Subject).map(|name| format!("subject {name}"));
        let sequence = row.sequence.as_ref().filter(|_| self != Self::Image).map(|name| format!("sequence {name}"));
        subject.or(sequence).unwrap_or_else(|| row.image())
    }

    /// What one group is called in messages.
    pub fn noun(self) -> &'static str {
        self.word()
    }
}

/// Why a data set cannot be cut into parts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum FoldError {
    #[error("{parts} parts were asked for; at least 2 are needed")]
    TooFewParts { parts: usize },
    #[error(
        "there are fewer groups than parts: {groups} of kind '{}' (images where none is named) for {parts} parts or tenths of shares; ask \
         for fewer parts or use more images",
        grouping.noun()
    )]
    TooFewGroups { groups: usize, parts: usize, grouping: Grouping },
}

/// A group of rows and how many of each class it has.
struct Group {
    rows: Vec<usize>,
    classes: [f64; Expression::COUNT],
}

impl Group {
    /// Spread over the classes: what is hard to assign is assigned first.
    fn spread(&self) -> f64 {
        deviation(&self.classes)
    }
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// The part of each row, from 0 to below `count`. Groups stay whole; each goes, the most one-sided first and equals in an
/// order drawn from the seed, where the classes' shares in the parts then differ least (the rule of scikit-learn's
/// `StratifiedGroupKFold`).
///
/// # Errors
/// If fewer than two parts are asked for, or there are fewer groups than parts.
pub fn parts(rows: &[&Row], grouping: Grouping, count: usize, seed: u64) -> Result<Vec<usize>, FoldError> {
    if count < 2 {
        return Err(FoldError::TooFewParts { parts: count });
    }
    let mut group_of: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let group = *group_of.entry(grouping.key(row)).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Group { rows: Vec::new(), classes: [0.0; Expression::COUNT] });
        }
        groups[group].rows.push(index);
        if let Some(class) = row.label.or_else(|| row.target().map(|target| most_probable(&target))) {
            groups[group].classes[class.index()] += 1.0;
        }
    }
    if groups.len() < count {
        return Err(FoldError::TooFewGroups { groups: groups.len(), parts: count, grouping });
    }
    let mut totals = [0.0; Expression::COUNT];
    for group in &groups {
        totals.iter_mut().zip(group.classes).for_each(|(total, class)| *total += class);
    }
    groups.shuffle(&mut seeded(seed, "parts"));
    groups.sort_by(|a, b| b.spread().total_cmp(&a.spread()));
    let mut parts = vec![0; rows.len()];
    let mut filled = vec![[0.0; Expression::COUNT]; count];
    let mut sizes = vec![0; count];
    for group in &groups {
        let unevenness = |part: usize| -> f64 {
            (0..Expression::COUNT)
                .filter(|class| totals[*class] > 0.0)
                .map(|class| {
                    let shares: Vec<f64> = filled
                        .iter()
                        .enumerate()
                        .map(|(at, has)| {
                            (has[class] + if at == part { group.classes[class] } else { 0.0 }) / totals[class]
                        })
                        .collect();
                    deviation(&shares)
                })
                .sum()
        };
        let scores: Vec<f64> = (0..count).map(unevenness).collect();
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        // Among equals the smallest part, so that none stays empty.
        let equals = (0..count).filter(|part| scores[*part] <= least + 1e-12);
        let part = equals.min_by_key(|part| sizes[*part]).unwrap_or(0);
        filled[part].iter_mut().zip(group.classes).for_each(|(has, class)| *has += class);
        sizes[part] += group.rows.len();
        group.rows.iter().for_each(|row| parts[*row] = part);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::train::manifest::Split;

    fn row(index: usize, class: usize, subject: Option<usize>) -> Row {
        let mut row = Row::new(format!("{index}.png").into(), Split::Train);
        row.label = Some(Expression::ALL[class]);
        row.subject = subject.map(|s| s.to_string());
        row
    }

    #[test]
    fn single_images_are_spread_so_that_every_part_has_every_class_alike() {
        let rows: Vec<Row> = (0..210).map(|index| row(index, if index % 10 == 0 { 4 } else { 1 }, None)).collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let parts = parts(&rows, Grouping::Subject, 3, 7).unwrap();
        for part in 0..3 {
            let of = |class: usize| {
                (0..210).filter(|i| parts[*i] == part && rows[*i].label.unwrap().index() == class).count()
            };
            assert_eq!((of(4), of(1)), (7, 63), "part {part}");
        }
    }

    #[test]
    fn fewer_groups_than_parts_are_refused_by_number() {
        let rows: Vec<Row> = (0..9).map(|index| row(index, index % 7, Some(index % 2))).collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let error = parts(&rows, Grouping::Subject, 3, 7).unwrap_err();
        assert_eq!(error, FoldError::TooFewGroups { groups: 2, parts: 3, grouping: Grouping::Subject });
        assert!(parts(&rows, Grouping::Sequence, 3, 7).is_ok());
    }

    proptest! {
        #[test]
        fn groups_stay_whole_and_no_part_is_empty(
            rows in prop::collection::vec((0usize..7, 0usize..12), 12..80), count in 2usize..5, seed: u64,
        ) {
            let mut rows: Vec<Row> =
                rows.into_iter().enumerate().map(|(i, (class, subject))| row(i, class, Some(subject))).collect();
            // Twelve subjects at least once each.
            rows.extend((0..12).map(|subject| row(1000 + subject, subject % 7, Some(subject))));
            let rows: Vec<&Row> = rows.iter().collect();
            let parts = parts(&rows, Grouping::Subject, count, seed).unwrap();
            let group_of: HashSet<(String, usize)> =
                rows.iter().zip(&parts).map(|(row, part)| (Grouping::Subject.key(row), *part)).collect();
            prop_assert_eq!(group_of.len(), 12);
            prop_assert_eq!(parts.iter().collect::<HashSet<_>>().len(), count);
        }
    }
}

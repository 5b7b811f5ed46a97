//! `annotate data split MANIFEST -o MANIFEST`.

use std::path::{Path, PathBuf};

use super::inspect::{self, SidesTable};
use super::{ReplaceArguments, read, save, unreadable};
use crate::cli::Failure;
use crate::timeline::Expression;
use crate::train::fold::{self, Grouping};
use crate::train::leakage::{self, Sides};
use crate::train::manifest::{Row, Split};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The manifest to divide
    manifest: PathBuf,
    /// The manifest to write, with a split for each image
    #[arg(long, short, visible_alias = "output", value_name = "MANIFEST.csv")]
    out: PathBuf,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// Number every image with the fold in whose test part it is, for `annotate crossval`
    #[arg(long, value_name = "K", conflicts_with_all = ["shares", "keep_test"])]
    folds: Option<usize>,
    /// Shares of training, validation and test images; with --keep-test, of the first two
    #[arg(long, value_name = "N/N/N", default_value = "80/10/10")]
    shares: Shares,
    /// Leave the test images as they are and divide the others
    #[arg(long)]
    keep_test: bool,
    /// Leave the division as it is
    #[arg(long, conflicts_with_all = ["folds", "shares", "keep_test", "group", "ungrouped"])]
    as_it_is: bool,
    /// Leave out training images of which a copy, or nearly one, is on another side
    #[arg(long, conflicts_with = "folds")]
    drop_copies: bool,
    /// What stays on one side: all images of a subject (where no subject is named, of a sequence), or of a sequence
    #[arg(long, value_enum, default_value = "subject")]
    group: GroupBy,
    /// Divide image by image although near-duplicates of one video then stand on both sides
    #[arg(long, conflicts_with = "group")]
    ungrouped: bool,
    /// Seed of the division: the same seed, the same parts
    #[arg(long, value_name = "N", default_value_t = 2022)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum GroupBy {
    /// Images of one person; where no person is named, of one sequence
    Subject,
    /// Images of one sequence
    Sequence,
}

/// Shares of training, validation and test images, in lowest terms.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shares(Vec<usize>);

impl std::str::FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shares: Result<Vec<usize>, _> = text.split('/').map(|part| part.trim().parse::<usize>()).collect();
        let shares = shares.map_err(|_| format!("'{text}' is not like 80/10/10"))?;
        if !(2..=3).contains(&shares.len()) || shares[0] == 0 || shares.iter().any(|share| *share > 1000) {
            return Err(format!("'{text}' is not two or three whole numbers like 80/10/10"));
        }
        if shares[1..].iter().all(|share| *share == 0) {
            return Err(format!("'{text}' leaves nothing but training images"));
        }
        let divisor = shares.iter().copied().fold(0, greatest_common_divisor);
        Ok(Self(shares.into_iter().map(|share| share / divisor).collect()))
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { manifest, out, .. } = arguments;
    let mut rows = read(manifest)?;
    let grouping = match (arguments.ungrouped, arguments.group) {
        (true, _) => Grouping::Image,
        (false, GroupBy::Subject) => Grouping::Subject,
        (false, GroupBy::Sequence) => Grouping::Sequence,
    };
    let sides = match arguments.folds {
        Some(folds) => into_folds(&mut rows, folds, grouping, arguments.seed),
        None if arguments.as_it_is => Ok(Sides::Splits),
        None => into_splits(&mut rows, &arguments.shares, arguments.keep_test, grouping, arguments.seed),
    };
    let sides = sides.map_err(|reason| Failure::Input(format!("{}: {reason}", manifest.display())))?;
    if arguments.drop_copies {
        rows = without_copies(manifest, rows)?;
    }
    save(out, &rows, arguments.replace)?;
    let table = SidesTable::of(&rows, sides);
    talk!("{}", table.to_string().trim_end());
    for (side, class) in absent(&table) {
        talk!("warning: {side} has no image of class '{}'", class.name());
    }
    inspect::report_leaks(manifest, &rows, sides)?;
    Ok(())
}

/// The rows without training images that stand on another side too.
fn without_copies(manifest: &Path, rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
    let fingerprints = leakage::fingerprints(&rows).map_err(|e| unreadable(manifest, &e))?;
    let copied = leakage::leaks(&rows, &fingerprints, Sides::Splits).copied_training_rows(&rows);
    talk!("left out: {} training images of which a copy is on another side", copied.len());
    Ok(rows.into_iter().enumerate().filter(|(row, _)| !copied.contains(row)).map(|(_, row)| row).collect())
}

fn into_folds(rows: &mut [Row], folds: usize, grouping: Grouping, seed: u64) -> Result<Sides, String> {
    let parts = fold::parts(&rows.iter().collect::<Vec<_>>(), grouping, folds, seed).map_err(|e| e.to_string())?;
    for (row, part) in rows.iter_mut().zip(parts) {
        row.fold = Some(part + 1);
    }
    Ok(Sides::Folds)
}

/// Divides into as many equal parts as the shares have in sum, and hands each side as many of them as its share.
fn into_splits(
    rows: &mut [Row],
    Shares(shares): &Shares,
    keep_test: bool,
    grouping: Grouping,
    seed: u64,
) -> Result<Sides, String> {
    let splits: &[Split] = match (keep_test, shares.len()) {
        (true, _) => &[Split::Train, Split::Validation],
        (false, 2) => &[Split::Train, Split::Test],
        (false, _) => &Split::ALL,
    };
    let of_parts: Vec<Split> =
        splits.iter().zip(shares).flat_map(|(split, share)| std::iter::repeat_n(*split, *share)).collect();
    let mut divided: Vec<&mut Row> = rows.iter_mut().filter(|row| !(keep_test && row.split == Split::Test)).collect();
    let views: Vec<&Row> = divided.iter().map(|row| &**row).collect();
    let parts = fold::parts(&views, grouping, of_parts.len(), seed).map_err(|e| e.to_string())?;
    for (row, part) in divided.iter_mut().zip(parts) {
        row.split = of_parts[part];
    }
    // Folds of an earlier division no longer say anything.
    rows.iter_mut().for_each(|row| row.fold = None);
    Ok(Sides::Splits)
}

/// Classes that occur, but not on every side.
fn absent(table: &SidesTable) -> Vec<(String, Expression)> {
    let mut absent = Vec::new();
    for class in Expression::ALL {
        let counts: Vec<usize> = table.sides.iter().map(|side| side.classes[class.index()]).collect();
        if counts.iter().any(|count| *count > 0) {
            let without = table.sides.iter().filter(|side| side.classes[class.index()] == 0);
            absent.extend(without.map(|side| (side.name.clone(), class)));
        }
    }
    absent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_two_or_three_numbers() {
        assert_eq!("80/10/10".parse(), Ok(Shares(vec![8, 1, 1])));
        assert_eq!("4/1".parse(), Ok(Shares(vec![4, 1])));
        assert_eq!("90/0/10".parse(), Ok(Shares(vec![9, 0, 1])));
        for wrong in ["", "80", "0/1", "1/0", "a/b", "1/1/1/1", "5000/1"] {
            assert!(wrong.parse::<Shares>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn groups_stay_together_and_test_images_where_they_are() {
        let mut rows: Vec<Row> = (0..200)
            .map(|index| {
                let mut row = Row::new(format!("{index}.png").into(), Split::Train);
                row.label = Some(Expression::ALL[index % 7]);
                row.sequence = Some((index / 5).to_string());
                row
            })
            .collect();
        rows[0].split = Split::Test;
        into_splits(&mut rows, &"80/20".parse().unwrap(), true, Grouping::Subject, 1).unwrap();
        assert_eq!(rows.iter().filter(|row| row.split == Split::Test).count(), 1);
        let validation = rows.iter().filter(|row| row.split == Split::Validation).count();
        assert!((35..=45).contains(&validation), "{validation}");
        for group in rows[5..].chunks(5) {
            assert!(group.iter().all(|row| row.split == group[0].split));
        }
        into_folds(&mut rows, 5, Grouping::Sequence, 1).unwrap();
        assert!(rows.iter().all(|row| (1..=5).contains(&row.fold.unwrap())));
    }
}

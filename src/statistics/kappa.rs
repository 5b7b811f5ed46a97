//! Agreement beyond chance.

use crate::timeline::Expression;

/// Labels of a unit: the seven expressions, and one for none.
pub const LABELS: usize = Expression::COUNT + 1;

/// Counts. Rows are the first annotation's labels, columns the second's; the last row and column stand for none.
pub type Table = [[u64; LABELS]; LABELS];

/// The sum of tables.
pub(crate) fn sum<'a>(tables: impl Iterator<Item = &'a Table>) -> Table {
    let mut sum = [[0; LABELS]; LABELS];
    for table in tables {
        for (sum, cell) in sum.iter_mut().flatten().zip(table.iter().flatten()) {
            *sum += cell;
        }
    }
    sum
}

/// The table that counts these (row, column) pairs.
pub(crate) fn of_units(units: impl Iterator<Item = (usize, usize)>) -> Table {
    let mut table = [[0; LABELS]; LABELS];
    for (row, column) in units {
        table[row][column] += 1;
    }
    table
}

/// The table without the units that one of the two annotations has not labelled.
pub(crate) fn without_last(table: &Table) -> Table {
    let mut rest = *table;
    rest[LABELS - 1] = [0; LABELS];
    rest.iter_mut().for_each(|row| row[LABELS - 1] = 0);
    rest
}

/// Counts linked units twice, once for each annotation's segment, so that the table's sum is the number of segments
/// (Holle and Rein 2015; ELAN does the same).
pub(crate) fn doubled(table: &Table) -> Table {
    let mut doubled = *table;
    for row in &mut doubled[..LABELS - 1] {
        row[..LABELS - 1].iter_mut().for_each(|cell| *cell *= 2);
    }
    doubled
}

fn total(table: &Table) -> f64 {
    table.iter().flatten().sum::<u64>() as f64
}

fn margins(table: &Table) -> ([f64; LABELS], [f64; LABELS]) {
    let mut margins = ([0.0; LABELS], [0.0; LABELS]);
    for (row, cells) in table.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            margins.0[row] += *cell as f64;
            margins.1[column] += *cell as f64;
        }
    }
    margins
}

/// The share of units on the diagonal; `None` for an empty table.
pub fn raw_agreement(table: &Table) -> Option<f64> {
    let agreeing: u64 = (0..LABELS).map(|label| table[label][label]).sum();
    let total = total(table);
    (total > 0.0).then(|| agreeing as f64 / total)
}

/// Cohen's (1960) kappa; `None` if chance alone gives full agreement, as when both annotations have one and the same
/// label throughout.
pub fn cohens_kappa(table: &Table) -> Option<f64> {
    let (rows, columns) = margins(table);
    let total = total(table);
    let chance = rows.iter().zip(&columns).map(|(row, column)| row * column).sum::<f64>() / (total * total);
    beyond_chance(raw_agreement(table)?, chance)
}

fn beyond_chance(agreement: f64, chance: f64) -> Option<f64> {
    (chance < 1.0 - 1e-12).then(|| (agreement - chance) / (1.0 - chance))
}

/// The value that replaces zero in the proportional fitting, and the number of iterations; both are ELAN's.
const NEARLY_NONE: f64 = 0.001;
const FITS: usize = 20;

/// Holle and Rein's (2015, "EasyDIAg", Behavior Research Methods 47) kappa for segments that each annotator found
/// independently, as ELAN computes it. Linked units count twice. Chance is the diagonal of the table that iterative
/// proportional fitting makes from the margins, under the condition that no unit is unlinked on both sides. `units`
/// holds linked pairs and, in its last row and column, unlinked segments.
pub fn modified_kappa(units: &Table) -> Option<f64> {
    let table = doubled(units);
    let (rows, columns) = margins(&table);
    let positive = |margin: f64| if margin > 0.0 { margin } else { NEARLY_NONE };
    // Only labels that occur are fitted.
    let used: Vec<usize> = (0..LABELS - 1).filter(|label| rows[*label] + columns[*label] > 0.0).collect();
    let labels: Vec<usize> = used.into_iter().chain([LABELS - 1]).collect();
    let last = labels.len() - 1;
    let mut fitted = vec![vec![1.0; labels.len()]; labels.len()];
    fitted[last][last] = NEARLY_NONE;
    for _ in 0..FITS {
        for (cells, label) in fitted.iter_mut().zip(&labels) {
            let factor = positive(rows[*label]) / cells.iter().sum::<f64>();
            cells.iter_mut().for_each(|cell| *cell *= factor);
        }
        for (column, label) in labels.iter().enumerate() {
            let factor = positive(columns[*label]) / fitted.iter().map(|cells| cells[column]).sum::<f64>();
            fitted.iter_mut().for_each(|cells| cells[column] *= factor);
        }
    }
    let chance = (0..last).map(|label| fitted[label][label]).sum::<f64>() / total(&table);
    beyond_chance(raw_agreement(&table)?, chance)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        table: Table,
        cohen: Option<f64>,
        modified: Option<f64>,
    }

    #[test]
    fn kappas_are_those_of_other_implementations() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/agree/kappas.json")).unwrap();
        assert!(cases.len() > 20);
        let is_same = |ours: Option<f64>, theirs: Option<f64>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-9,
            (None, None) => true,
            _ => false,
        };
        for Case { table, cohen, modified } in cases {
            let ours = cohens_kappa(&without_last(&table));
            assert!(is_same(ours, cohen), "{table:?}: {ours:?} is not {cohen:?}");
            let ours = modified_kappa(&table);
            assert!(is_same(ours, modified), "{table:?}: {ours:?} is not {modified:?}");
        }
    }
}

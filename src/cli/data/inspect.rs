//! `annotate data inspect MANIFEST`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use super::{ReplaceArguments, read, unreadable};
use crate::cli::{Failure, print_text};
use crate::timeline::Expression;
use crate::train::contact_sheet::contact_sheet;
use crate::train::leakage::{self, Leaks, Sides};
use crate::train::manifest::Row;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The manifest
    manifest: PathBuf,
    /// Look for people, videos and pictures that stand on two sides of a split; exit code 3 where there are any
    #[arg(long)]
    leakage: bool,
    /// Also draw pictures of every class into this PNG
    #[arg(long, value_name = "FILE.png")]
    contact_sheet: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// Pictures of a class on the contact sheet
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100))]
    columns: u32,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { manifest, contact_sheet: sheet, .. } = arguments;
    let rows = read(manifest)?;
    let mut missing = rows.iter().enumerate().filter(|(_, row)| !row.path.exists());
    if let Some((first, row)) = missing.next() {
        let (manifest, path, others) = (manifest.display(), row.path.display(), missing.count());
        let others = if others > 0 { format!(", nor those of {others} other rows") } else { String::new() };
        return Err(Failure::Input(format!("{manifest}, row {}: {path}: no such file{others}", first + 1)));
    }
    let sides = Sides::of(&rows);
    print_text(&SidesTable::of(&rows, sides).to_string())?;
    if let Some(path) = sheet {
        let picture = contact_sheet(&rows, arguments.columns as usize).map_err(|e| unreadable(manifest, &e))?;
        let mut bytes = Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .map_err(|e| Failure::Output(format!("{}: {e}", path.display())))?;
        arguments.replace.existing().put(path, |out| out.write_all(bytes.get_ref()))?;
    }
    if arguments.leakage && !report_leaks(manifest, &rows, sides)?.is_none() {
        let reason = "its sides share what they must not; divide it again with annotate data split";
        return Err(Failure::Input(format!("{}: {reason}", manifest.display())));
    }
    Ok(())
}

/// Examples of each kind of leak that are named; the rest is counted.
const NAMED: usize = 3;

/// Looks for leaks and says what was found.
pub(super) fn report_leaks(manifest: &Path, rows: &[Row], sides: Sides) -> Result<Leaks, Failure> {
    let fingerprints = leakage::fingerprints(rows).map_err(|e| unreadable(manifest, &e))?;
    let leaks = leakage::leaks(rows, &fingerprints, sides);
    if leaks.is_none() {
        talk!("no leakage: no subject, sequence or picture stands on two sides");
        return Ok(leaks);
    }
    let names = |[a, b]: [usize; 2]| {
        let named = |row: usize| format!("row {} ({}, {})", row + 1, rows[row].image(), sides.name(&rows[row]));
        format!("{} and {}", named(a), named(b))
    };
    let list = |what: &str, count: usize, examples: Vec<String>| {
        if count > 0 {
            let more = if count > examples.len() { ", ..." } else { "" };
            talk!("leakage: {count} {what}: {}{more}", examples.join("; "));
        }
    };
    let groups = leaks.groups.iter().take(NAMED).map(|(name, sides)| {
        let sides: Vec<&str> = sides.iter().map(String::as_str).collect();
        format!("{name} in {}", sides.join(" and "))
    });
    list("groups on two sides", leaks.groups.len(), groups.collect());
    let identical = leaks.identical.iter().take(NAMED).map(|pair| names(*pair));
    list("identical pictures on two sides", leaks.identical.len(), identical.collect());
    let near = leaks.near.iter().take(NAMED).map(|(pair, bits)| format!("{}, {bits} bits apart", names(*pair)));
    list("near-identical pairs on two sides", leaks.near.len(), near.collect());
    Ok(leaks)
}

/// Counts of images and groups, side by side.
pub(super) struct SidesTable {
    pub(super) sides: Vec<Side>,
}

/// One side of a split.
#[derive(Default)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) classes: [usize; Expression::COUNT],
    /// With soft labels only.
    unlabelled: usize,
    subjects: BTreeSet<String>,
    sequences: BTreeSet<String>,
}

impl Side {
    fn add(&mut self, row: &Row) {
        match row.label {
            Some(label) => self.classes[label.index()] += 1,
            None => self.unlabelled += 1,
        }
        self.subjects.extend(row.subject.clone());
        self.sequences.extend(row.sequence.clone());
    }

    fn images(&self) -> usize {
        self.classes.iter().sum::<usize>() + self.unlabelled
    }
}

impl SidesTable {
    /// Counts `rows` by the `sides` they are on.
    pub(super) fn of(rows: &[Row], sides: Sides) -> Self {
        // In the order of the splits and the folds, not of their names.
        let key = |row: &Row| match sides {
            Sides::Folds => row.fold.unwrap_or_default(),
            Sides::Splits => row.split as usize,
        };
        let mut found: BTreeMap<usize, Side> = BTreeMap::new();
        let mut all = Side { name: "all".into(), ..Side::default() };
        for row in rows {
            let side = found.entry(key(row)).or_insert_with(|| Side { name: sides.name(row), ..Side::default() });
            side.add(row);
            all.add(row);
        }
        let mut sides: Vec<Side> = found.into_values().collect();
        if sides.len() > 1 {
            sides.push(all);
        }
        Self { sides }
    }
}

impl fmt::Display for SidesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, count: &dyn Fn(&Side) -> String| {
            write!(f, "{name:<18}")?;
            self.sides.iter().try_for_each(|side| write!(f, " {:>11}", count(side)))?;
            writeln!(f)
        };
        line("", &|side| side.name.clone())?;
        for class in Expression::ALL {
            line(class.name(), &|side| side.classes[class.index()].to_string())?;
        }
        if self.sides.iter().any(|side| side.unlabelled > 0) {
            line("soft labels only", &|side| side.unlabelled.to_string())?;
        }
        line("images", &|side| side.images().to_string())?;
        line("subjects", &|side| side.subjects.len().to_string())?;
        line("sequences", &|side| side.sequences.len().to_string())
    }
}

//! Many recipes on the same data, side by side with what was published.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::crossval::Pooled;
use super::fold::Grouping;
use super::manifest::Row;
use super::metrics::Judged;
use super::report::{self, Prediction, ReportBlock, ReportDocument, ReportTable};
use super::significance::{Comparison, compare};
use crate::files::WriteError;

/// The table of published numbers in a folder of recipes.
const PUBLISHED_FILE: &str = "published.csv";

/// What was published of a recipe, in percent; none where nothing was.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct PublishedResult {
    /// The recipe's file, without `.toml`.
    pub recipe: String,
    /// Accuracy on the single split.
    pub accuracy: Option<f64>,
    /// Balanced accuracy on it.
    pub balanced_accuracy: Option<f64>,
    /// Macro-F1 on it, 0 to 1.
    pub macro_f1: Option<f64>,
    /// Mean accuracy over the folds.
    pub folds_accuracy: Option<f64>,
    /// Its standard deviation.
    pub folds_accuracy_sd: Option<f64>,
    /// Mean balanced accuracy over the folds.
    pub folds_balanced_accuracy: Option<f64>,
    /// Its standard deviation.
    pub folds_balanced_accuracy_sd: Option<f64>,
}

/// Why a folder of recipes cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum GridError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: no recipe (*.toml)", path.display())]
    Empty { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Published { path: PathBuf, source: csv::Error },
}

/// The recipes in `folder` in order of name, and what was published of them.
///
/// # Errors
/// If the folder cannot be read or has no recipe, or its table of published numbers is not one.
pub fn read(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PublishedResult>), GridError> {
    let unreadable = |source| GridError::Unreadable { path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().map_err(unreadable)?;
    let mut recipes: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    recipes.sort();
    if recipes.is_empty() {
        return Err(GridError::Empty { path: folder.into() });
    }
    let path = folder.join(PUBLISHED_FILE);
    if !path.exists() {
        return Ok((recipes, Vec::new()));
    }
    let rows = csv::Reader::from_path(&path).and_then(|mut reader| reader.deserialize().collect());
    Ok((recipes, rows.map_err(|source| GridError::Published { path, source })?))
}

/// A recipe's cross-validation.
pub struct GridEntry {
    /// The recipe's file, without `.toml`.
    pub recipe: String,
    /// Its result.
    pub pooled: Pooled,
    /// Its predictions.
    pub predictions: Vec<Prediction>,
}

impl GridEntry {
    /// What was judged, by name.
    fn images(&self) -> impl Iterator<Item = &str> {
        self.predictions.iter().map(|prediction| prediction.image.as_str())
    }
}

/// A row of `report.json`.
#[derive(Serialize)]
struct GridLine<'a> {
    recipe: &'a str,
    name: &'a str,
    pooled: &'a report::Evaluation,
    over_folds: &'a [super::crossval::MeanSd],
    /// With the first recipe; none for itself, and where the images are others.
    against_first: Option<Comparison>,
}

/// The grid's table: ours beside the published numbers.
pub fn table(entries: &[GridEntry], published: &[PublishedResult]) -> ReportTable {
    let heads = [
        "configuration",
        "accuracy",
        "folds mean ± sd",
        "balanced",
        "folds mean ± sd",
        "macro-F1",
        "published: accuracy",
        "folds",
        "balanced",
        "folds",
        "macro-F1",
    ];
    let mut table = ReportTable::new("Shares in %; pooled over all folds, and mean ± sd over them", &heads);
    let percent = |value: f64| format!("{:.2}", 100.0 * value);
    let optional = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    let with_sd = |mean: Option<f64>, sd: Option<f64>| match (mean, sd) {
        (Some(mean), Some(sd)) => format!("{mean:.2} ± {sd:.2}"),
        (mean, _) => optional(mean),
    };
    for entry in entries {
        let measures = &entry.pooled.pooled.metrics;
        let folds = |measure: &str| {
            entry
                .pooled
                .over_folds(measure)
                .map_or("-".into(), |m| with_sd(Some(100.0 * m.mean), m.sd.map(|sd| 100.0 * sd)))
        };
        let p = published.iter().find(|p| p.recipe == entry.recipe).cloned().unwrap_or_default();
        table.row([
            entry.pooled.name.clone(),
            percent(measures.accuracy),
            folds("accuracy"),
            percent(measures.balanced_accuracy),
            folds("balanced accuracy"),
            format!("{:.3}", measures.macro_f1),
            optional(p.accuracy),
            with_sd(p.folds_accuracy, p.folds_accuracy_sd),
            optional(p.balanced_accuracy),
            with_sd(p.folds_balanced_accuracy, p.folds_balanced_accuracy_sd),
            optional(p.macro_f1),
        ]);
    }
    table
}

/// Each configuration on the same images as the first one, of which a grid's other recipes are changes.
pub struct Gains(Vec<Option<Comparison>>);

/// Compares `entries` with the first; `rows` and `grouping` say which images hang together.
pub fn gains(entries: &[GridEntry], rows: &[Row], grouping: Grouping) -> Gains {
    let Some((first, others)) = entries.split_first() else { return Gains(Vec::new()) };
    let judged = |entry: &GridEntry| -> Vec<Judged> { entry.predictions.iter().map(|p| p.judged).collect() };
    let clusters = report::clusters(&first.predictions, rows, grouping);
    let compared = others
        .iter()
        .map(|entry| entry.images().eq(first.images()).then(|| compare(&judged(entry), &judged(first), &clusters)));
    Gains(std::iter::once(None).chain(compared).collect())
}

impl Gains {
    /// What each has more than the first, with intervals.
    pub fn table(&self, entries: &[GridEntry]) -> ReportTable {
        let first = entries.first().map_or("", |entry| &entry.pooled.name);
        let title =
            format!("Against {first} on the same images: points more, with 95 % intervals, and McNemar's exact test");
        let mut table =
            ReportTable::new(&title, &["configuration", "accuracy", "balanced", "right alone", "wrong alone", "p"]);
        let points = |value: f64, [low, high]: [f64; 2]| {
            format!("{:+.1} ({:+.1} to {:+.1})", 100.0 * value, 100.0 * low, 100.0 * high)
        };
        for (entry, comparison) in entries.iter().zip(&self.0) {
            let Some(c) = comparison else { continue };
            table.row([
                entry.pooled.name.clone(),
                points(c.accuracy_difference, c.accuracy_difference_interval),
                points(c.balanced_accuracy_difference, c.balanced_accuracy_difference_interval),
                c.only_first.to_string(),
                c.only_second.to_string(),
                format!("{:.3}", c.p_value),
            ]);
        }
        table
    }
}

/// Writes the report of the grid into `folder`: the table, and each configuration against the first one on the same
/// images. `predictions.csv` is that of the best balanced accuracy.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    folder: &Path,
    entries: &[GridEntry],
    published: &[PublishedResult],
    gains: Gains,
) -> Result<(), WriteError> {
    let score = |entry: &GridEntry| entry.pooled.pooled.metrics.balanced_accuracy;
    let Some(best) = entries.iter().max_by(|a, b| score(a).total_cmp(&score(b))) else { return Ok(()) };
    let mut blocks = vec![ReportBlock::Table(table(entries, published))];
    if !published.is_empty() {
        let text = "PublishedResult: SLTAT 2022's notebooks, on their single split of 507 images and, where it was saved, over \
                    their five folds. There the epoch was chosen on the images that were then reported, and neighbouring \
                    frames of a video stand on both sides; here neither is so.";
        blocks.push(ReportBlock::Text(text.into()));
    }
    let names: Vec<String> = entries.iter().map(|entry| entry.pooled.name.clone()).collect();
    for (title, value) in [
        ("Accuracy", (|e: &GridEntry| e.pooled.pooled.metrics.accuracy) as fn(&GridEntry) -> f64),
        ("Balanced accuracy", |e| e.pooled.pooled.metrics.balanced_accuracy),
    ] {
        blocks.push(ReportBlock::Plot(report::bars(title, &names, &entries.iter().map(value).collect::<Vec<_>>())));
    }
    if entries.len() > 1 {
        blocks.push(ReportBlock::Table(gains.table(entries)));
    }
    let lines: Vec<GridLine> = entries
        .iter()
        .zip(gains.0)
        .map(|(entry, against_first)| GridLine {
            recipe: &entry.recipe,
            name: &entry.pooled.name,
            pooled: &entry.pooled.pooled,
            over_folds: &entry.pooled.over_folds,
            against_first,
        })
        .collect();
    report::write(folder, &lines, &ReportDocument { title: "Grid of recipes".into(), blocks }, &best.predictions)
}

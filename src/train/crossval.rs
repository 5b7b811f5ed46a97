//! Cross-validation: every image is judged once, by a model that has seen neither it nor its group; the epoch of each model
//! is chosen inside its own training part.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::dataset::load_where;
use super::fold::{FoldError, Grouping, parts};
use super::manifest::{Row, Split};
use super::progress::{EpochRecord, TrainingProgress};
use super::recipe::Recipe;
use super::report::{self, Evaluation, Prediction, ReportBlock, ReportDocument, ReportTable};
use super::run::{self, Data, Parts, RunError, RunReport};
use super::start::Prepared;
use crate::files;
use crate::files::{OutputOptions, WriteError, put, spreadsheet_cell};
use crate::timeline::Expression;

/// One in so many of a fold's training groups is held out to choose the epoch and fit the temperature.
const INNER_PARTS: usize = 8;
/// A fold's report; it is written last, so a fold that has it is finished.
const FOLD_FILE: &str = "fold.json";
/// Larger than any such report.
const LARGEST: u64 = 256 << 20;

/// A cross-validation: everything that decides its result, and where it goes.
#[derive(Debug, Clone)]
pub struct CrossValidation {
    /// The manifest.
    pub manifest: PathBuf,
    /// Which rows take part, by split; none for all.
    pub splits: Option<Vec<Split>>,
    /// What each fold's model is trained by.
    pub recipe: Recipe,
    /// Where models that the recipe names are looked for.
    pub models: PathBuf,
    /// Number of folds; none for the manifest's own.
    pub folds: Option<usize>,
    /// What stays on one side.
    pub grouping: Grouping,
    /// The folder of the results.
    pub out: PathBuf,
}

/// What a finished fold leaves in `fold.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FoldReport {
    /// From 1.
    pub fold: usize,
    /// How many there are.
    pub folds: usize,
    /// Tells cross-validations apart: recipe, data, folds, grouping.
    pub task: String,
    /// The fold's run.
    pub run: RunReport,
}

/// Why a cross-validation cannot be done or pooled.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CrossvalError {
    #[error("{}: the number of folds is not given, and the manifest has no column 'fold'", path.display())]
    NoFolds { path: PathBuf },
    #[error("{}: the manifest's column 'fold' has {found} folds, but {asked} are asked for", path.display())]
    OtherFolds { path: PathBuf, found: usize, asked: usize },
    #[error("{}, row {row}: no fold, though other rows have one", path.display())]
    WithoutFold { path: PathBuf, row: usize },
    #[error("{}: no row is in fold {fold}", path.display())]
    EmptyFold { path: PathBuf, fold: usize },
    #[error("there is no fold {fold}; folds are 1 to {folds}")]
    NoSuchFold { fold: usize, folds: usize },
    #[error("fold {fold}: {source}")]
    Fold { fold: usize, source: RunError },
    #[error("{}: fold {fold} is not finished", path.display())]
    Missing { fold: usize, path: PathBuf },
    #[error("{}: made with another recipe, manifest, number of folds or grouping", path.display())]
    OtherTask { path: PathBuf },
    #[error("{}: {reason}; remove the folder and run the fold again", path.display())]
    Broken { path: PathBuf, reason: String },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("no more threads can be had: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// Rows of a manifest and the fold of each.
struct Assigned {
    data: Data,
    /// From 1; none for rows that take no part.
    folds: Vec<Option<usize>>,
    count: usize,
    task: String,
}

impl CrossValidation {
    fn assigned(&self) -> Result<Assigned, CrossvalError> {
        let data = Data::read(&self.manifest).map_err(RunError::from)?;
        let path = || self.manifest.clone();
        let takes_part = |row: &Row| self.splits.as_ref().is_none_or(|splits| splits.contains(&row.split));
        let chosen: Vec<usize> = (0..data.rows.len()).filter(|row| takes_part(&data.rows[*row])).collect();
        let rows: Vec<&Row> = chosen.iter().map(|row| &data.rows[*row]).collect();
        let own: Vec<Option<usize>> = rows.iter().map(|row| row.fold).collect();
        let (count, of_chosen) = if own.iter().any(Option::is_some) {
            if let Some(index) = own.iter().position(Option::is_none) {
                return Err(CrossvalError::WithoutFold { path: path(), row: chosen[index] + 1 });
            }
            let folds: Vec<usize> = own.into_iter().flatten().collect();
            let found = folds.iter().copied().max().unwrap_or(0);
            if let Some(asked) = self.folds.filter(|asked| *asked != found) {
                return Err(CrossvalError::OtherFolds { path: path(), found, asked });
            }
            (found, folds)
        } else {
            let count = self.folds.ok_or_else(|| CrossvalError::NoFolds { path: path() })?;
            let parts = parts(&rows, self.grouping, count, self.recipe.seed).map_err(RunError::from)?;
            (count, parts.into_iter().map(|part| part + 1).collect())
        };
        if count < 2 {
            return Err(RunError::from(FoldError::TooFewParts { parts: count }).into());
        }
        let used: BTreeSet<usize> = of_chosen.iter().copied().collect();
        if let Some(fold) = (1..=count).find(|fold| !used.contains(fold)) {
            return Err(CrossvalError::EmptyFold { path: path(), fold });
        }
        let mut folds = vec![None; data.rows.len()];
        chosen.iter().zip(of_chosen).for_each(|(row, fold)| folds[*row] = Some(fold));
        let text = format!(
            "{} {} {:?} {:?} {:?}",
            serde_json::to_string(&self.recipe).unwrap_or_default(),
            data.sha256,
            folds.iter().flatten().collect::<Vec<_>>(),
            self.splits,
            self.grouping
        );
        Ok(Assigned { data, folds, count, task: crate::files::sha256(text.as_bytes()) })
    }

    /// How many folds there are.
    ///
    /// # Errors
    /// If the manifest cannot be read, or it and the settings do not make folds.
    pub fn count(&self) -> Result<usize, CrossvalError> {
        Ok(self.assigned()?.count)
    }

    fn folder(&self, fold: usize) -> PathBuf {
        self.out.join(format!("fold-{fold}"))
    }
}

/// Trains and measures one fold, from 1; nothing is done where it is finished. The result depends on the manifest, the
/// recipe and the fold's number only, so folds can be jobs of their own, in any order and on any machine. `OUT/fold-N/`
/// receives what [`run::run`] leaves and, last, `fold.json`.
///
/// # Errors
/// If there is no such fold, its data cannot be trained on, or the folder holds another cross-validation's.
pub fn run_fold(
    of: &CrossValidation,
    fold: usize,
    device: &Device,
    progress: &mut dyn TrainingProgress,
) -> Result<FoldReport, CrossvalError> {
    let assigned = of.assigned()?;
    let folds = assigned.count;
    if !(1..=folds).contains(&fold) {
        return Err(CrossvalError::NoSuchFold { fold, folds });
    }
    match finished(of, &assigned, fold) {
        Err(CrossvalError::Missing { .. }) => {}
        report => return report,
    }
    let in_fold = |source| CrossvalError::Fold { fold, source };
    let Assigned { data, folds: fold_of, task, .. } = &assigned;
    let learning: Vec<usize> = (0..data.rows.len()).filter(|row| fold_of[*row].is_some_and(|f| f != fold)).collect();
    let inner = inner_validation(of, data, &learning).map_err(|e| in_fold(e.into()))?;
    let prepared = Prepared::new(of.recipe.clone(), &of.models, device).map_err(|e| in_fold(e.into()))?;
    let colours = prepared.colours();
    let load = |wanted: &dyn Fn(usize) -> bool| load_where(&data.rows, colours, wanted).map_err(|e| in_fold(e.into()));
    let parts = Parts {
        training: load(&|row| fold_of[row].is_some_and(|f| f != fold) && !inner.contains(&row))?,
        validation: load(&|row| inner.contains(&row))?,
        test: load(&|row| fold_of[row] == Some(fold))?,
    };
    let folder = of.folder(fold);
    let (run, _) = run::run(&prepared, data, &parts, of.grouping, &folder, device, progress).map_err(in_fold)?;
    let report = FoldReport { fold, folds, task: task.clone(), run };
    let write = |out: &mut dyn std::io::Write| Ok(serde_json::to_writer_pretty(out, &report)?);
    OutputOptions::state().put(&folder.join(FOLD_FILE), write).map_err(RunError::from)?;
    // A finished fold is never continued.
    let _ = std::fs::remove_file(folder.join("checkpoint.safetensors"));
    Ok(report)
}

/// The rows that choose the epoch: some of the training part's groups, of all classes alike.
fn inner_validation(of: &CrossValidation, data: &Data, learning: &[usize]) -> Result<HashSet<usize>, FoldError> {
    let rows: Vec<&Row> = learning.iter().map(|row| &data.rows[*row]).collect();
    let parts = match parts(&rows, of.grouping, INNER_PARTS, of.recipe.seed) {
        Err(FoldError::TooFewGroups { groups, .. }) if groups >= 2 => {
            parts(&rows, of.grouping, groups, of.recipe.seed)?
        }
        parts => parts?,
    };
    Ok(learning.iter().zip(parts).filter(|(_, part)| *part == 0).map(|(row, _)| *row).collect())
}

/// The report of a finished fold.
fn finished(of: &CrossValidation, assigned: &Assigned, fold: usize) -> Result<FoldReport, CrossvalError> {
    let path = of.folder(fold).join(FOLD_FILE);
    let text = match files::read_text_found(&path, LARGEST) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(CrossvalError::Missing { fold, path }),
        Err(e) => return Err(CrossvalError::Broken { path, reason: e.to_string() }),
    };
    let report: FoldReport =
        serde_json::from_str(&text).map_err(|e| CrossvalError::Broken { path: path.clone(), reason: e.to_string() })?;
    if report.task != assigned.task || report.fold != fold {
        return Err(CrossvalError::OtherTask { path });
    }
    Ok(report)
}

/// A mean over folds and its standard deviation (n - 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    /// The measure.
    pub measure: String,
    /// Mean over the folds that have it.
    pub mean: f64,
    /// Standard deviation over them; none for one fold.
    pub sd: Option<f64>,
    /// The folds' own values, in order; none where a fold lacks the class.
    pub values: Vec<Option<f64>>,
}

/// What a cross-validation leaves in `report.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pooled {
    /// The recipe's name.
    pub name: String,
    /// As in the folds.
    pub task: String,
    /// The recipe.
    pub recipe: Recipe,
    /// All images, each judged by the model that has not seen it.
    pub pooled: Evaluation,
    /// Mean and standard deviation over folds.
    pub over_folds: Vec<MeanSd>,
    /// For each fold, how many images were tested, trained on and used to choose, and the chosen epoch.
    pub folds: Vec<[usize; 4]>,
    /// What a reader should know before believing the numbers.
    pub notes: Vec<String>,
}

impl Pooled {
    /// Mean and standard deviation of a measure by its name.
    pub fn over_folds(&self, measure: &str) -> Option<&MeanSd> {
        self.over_folds.iter().find(|m| m.measure == measure)
    }
}

/// Puts the finished folds together and writes `report.json`, `.md` and `.html`, `predictions.csv` and `folds.csv`.
///
/// # Errors
/// If a fold is missing or another cross-validation's, or a file cannot be written.
pub fn pool(of: &CrossValidation) -> Result<(Pooled, Vec<Prediction>), CrossvalError> {
    let assigned = of.assigned()?;
    let rows = &assigned.data.rows;
    let reports: Vec<FoldReport> =
        (1..=assigned.count).map(|fold| finished(of, &assigned, fold)).collect::<Result<_, _>>()?;
    let mut predictions: Vec<Prediction> = Vec::new();
    let mut corrected: [Vec<_>; 2] = Default::default();
    for report in &reports {
        let of_fold = read_fold(of, &assigned, report)?;
        let judged: Vec<_> = of_fold.iter().map(|p| p.judged).collect();
        let of_fold_corrected = report::corrections(&judged, &report.run.class_shares);
        corrected.iter_mut().zip(of_fold_corrected).for_each(|(all, of_fold)| all.extend(of_fold));
        predictions.extend(of_fold);
    }
    let clusters = report::clusters(&predictions, rows, of.grouping);
    let judged: Vec<_> = predictions.iter().map(|p| p.judged).collect();
    let names = [of.recipe.name.clone(), format!("{}: all {} folds together", assigned.data.name, assigned.count)];
    // Without training there are no shares to take out.
    let corrected = Some(&corrected).filter(|_| !of.recipe.stages.is_empty());
    let pooled = report::summary(names, None, &judged, (of.grouping, &clusters), corrected)
        .ok_or_else(|| RunError::Data(format!("{}: no labelled image", assigned.data.name)))?;
    let result = Pooled {
        name: of.recipe.name.clone(),
        task: assigned.task.clone(),
        recipe: of.recipe.clone(),
        over_folds: over_folds(&reports),
        folds: reports
            .iter()
            .map(|r| [r.run.evaluation.metrics.images as usize, r.run.images[0], r.run.images[1], r.run.epoch])
            .collect(),
        notes: notes(of, &assigned, &reports),
        pooled,
    };
    let document = document(&result, &reports);
    report::write(&of.out, &result, &document, &predictions).map_err(RunError::from)?;
    write_folds(&of.out.join("folds.csv"), &assigned).map_err(RunError::from)?;
    Ok((result, predictions))
}

/// A fold's predictions, which must be those of its labelled images.
fn read_fold(of: &CrossValidation, assigned: &Assigned, report: &FoldReport) -> Result<Vec<Prediction>, CrossvalError> {
    let path = of.folder(report.fold).join("predictions.csv");
    let broken = |reason: String| CrossvalError::Broken { path: path.clone(), reason };
    let predictions = report::read_predictions(&path).map_err(|e| broken(e.to_string()))?;
    let expected = assigned.data.rows.iter().zip(&assigned.folds);
    let expected = expected.filter(|(row, fold)| **fold == Some(report.fold) && row.label.is_some());
    let expected: Vec<String> = expected.map(|(row, _)| row.image()).collect();
    match predictions.iter().map(|p| &p.image).eq(&expected) {
        true => Ok(predictions),
        false => Err(broken(format!("its rows are not the {} images of fold {}", expected.len(), report.fold))),
    }
}

fn over_folds(reports: &[FoldReport]) -> Vec<MeanSd> {
    let of = |measure: String, value: &dyn Fn(&Evaluation) -> Option<f64>| {
        let values: Vec<Option<f64>> = reports.iter().map(|r| value(&r.run.evaluation)).collect();
        let present: Vec<f64> = values.iter().flatten().copied().collect();
        let (mean, sd) = mean_sd(&present);
        MeanSd { measure, mean, sd, values }
    };
    let mut all = vec![
        of("accuracy".into(), &|e| Some(e.metrics.accuracy)),
        of("balanced accuracy".into(), &|e| Some(e.metrics.balanced_accuracy)),
        of("macro-F1".into(), &|e| Some(e.metrics.macro_f1)),
        of("weighted F1".into(), &|e| Some(e.metrics.weighted_f1)),
        of("Cohen's kappa".into(), &|e| e.metrics.kappa),
        of("negative log-likelihood".into(), &|e| Some(e.metrics.negative_log_likelihood)),
        of("calibration error".into(), &|e| Some(e.metrics.calibration_error)),
    ];
    let recall = |class: Expression| {
        of(format!("recall of {}", class.name()), &move |e: &Evaluation| e.metrics.classes[class.index()].recall)
    };
    all.extend(Expression::ALL.map(recall).into_iter().filter(|m| m.mean.is_finite()));
    all
}

/// Mean and standard deviation (n - 1).
pub fn mean_sd(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let sum: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (sum / (count - 1.0)).sqrt()))
}

fn notes(of: &CrossValidation, assigned: &Assigned, reports: &[FoldReport]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut folds_of: HashMap<String, BTreeSet<usize>> = HashMap::new();
    for (row, fold) in assigned.data.rows.iter().zip(&assigned.folds) {
        folds_of.entry(of.grouping.key(row)).or_default().extend(fold);
    }
    let straddling = folds_of.values().filter(|folds| folds.len() > 1).count();
    if straddling > 0 {
        let noun = of.grouping.noun();
        notes.push(format!(
            "{straddling} groups of one {noun} have images in several folds: what is alike is on both sides"
        ));
    }
    for report in reports {
        notes.extend(report.run.notes.iter().map(|note| format!("fold {}: {note}", report.fold)));
        for class in &report.run.evaluation.absent {
            notes.push(format!("fold {}: no test image shows '{}'", report.fold, class.name()));
        }
    }
    notes
}

fn document(pooled: &Pooled, reports: &[FoldReport]) -> ReportDocument {
    let percent = |value: f64| format!("{:.2}", 100.0 * value);
    let is_share = |m: &MeanSd| !matches!(m.measure.as_str(), "negative log-likelihood" | "Cohen's kappa");
    let shown = |m: &MeanSd, value: f64| if is_share(m) { percent(value) } else { format!("{value:.3}") };
    let heads: Vec<String> = ["measure (shares in %)".to_owned(), "mean ± sd".to_owned()]
        .into_iter()
        .chain(reports.iter().map(|r| format!("fold {}", r.fold)))
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = ReportTable::new("Over folds (standard deviation with n - 1)", &heads);
    for m in &pooled.over_folds {
        let sd = m.sd.map_or(String::new(), |sd| format!(" ± {}", shown(m, sd)));
        let values = m.values.iter().map(|value| value.map_or("-".into(), |value| shown(m, value)));
        table.row([m.measure.clone(), format!("{}{sd}", shown(m, m.mean))].into_iter().chain(values));
    }
    let mut sizes = ReportTable::new("Folds", &["fold", "tested", "trained on", "chosen on", "epoch"]);
    for (report, counts) in reports.iter().zip(&pooled.folds) {
        sizes.row([report.fold.to_string()].into_iter().chain(counts.map(|count| count.to_string())));
    }
    let mut blocks = vec![ReportBlock::Text(
        "Every image is judged once, by a model that has seen neither it nor its group. Epoch and temperature of each \
         model were chosen on a part of its own training images."
            .into(),
    )];
    blocks.extend(pooled.notes.iter().map(|note| ReportBlock::Text(format!("Note: {note}."))));
    blocks.push(ReportBlock::Heading(pooled.pooled.data.clone()));
    blocks.extend(pooled.pooled.blocks());
    blocks.extend([ReportBlock::Heading("Fold by fold".into()), ReportBlock::Table(table), ReportBlock::Table(sizes)]);
    let names: Vec<String> = reports.iter().map(|r| format!("fold {}", r.fold)).collect();
    for (title, measure) in [("Accuracy by fold", "accuracy"), ("Balanced accuracy by fold", "balanced accuracy")] {
        let values: Vec<f64> =
            pooled.over_folds(measure).iter().flat_map(|m| m.values.iter().flatten().copied()).collect();
        blocks.push(ReportBlock::Plot(report::bars(title, &names, &values)));
    }
    let runs: Vec<(String, &[EpochRecord])> =
        reports.iter().map(|r| (format!("fold {}", r.fold), r.run.history.as_slice())).collect();
    if runs.iter().any(|(_, history)| !history.is_empty()) {
        blocks.push(ReportBlock::Plot(report::curves(&runs)));
    }
    ReportDocument { title: format!("{}: {}-fold cross-validation", pooled.name, reports.len()), blocks }
}

/// Which image is in which fold.
fn write_folds(path: &Path, assigned: &Assigned) -> Result<(), WriteError> {
    put(path, |out| {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(["path", "fold"])?;
        for (row, fold) in assigned.data.rows.iter().zip(&assigned.folds) {
            if let Some(fold) = fold {
                csv.write_record([&*spreadsheet_cell(&row.image()), &fold.to_string()])?;
            }
        }
        csv.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed's five folds of MobileNet FT+IP+HF: the printed accuracies, and 62.37 ± 3.23 of them.
    #[test]
    fn mean_and_deviation_are_those_of_the_published_folds() {
        let (mean, sd) = mean_sd(&[66.07, 58.58, 63.91, 63.91, 59.37]);
        assert_eq!((format!("{mean:.2}"), format!("{:.2}", sd.unwrap())), ("62.37".into(), "3.23".into()));
        assert_eq!(mean_sd(&[1.0]), (1.0, None));
    }
}

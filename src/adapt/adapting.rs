//! From pictures to a model directory with proof: what there is, what is tried, how good it is, what is written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::candidate::{Candidate, Method};
use super::curve::{self, LearningCurve};
use super::error::AdaptError;
use super::head::{Features, Head};
use super::inventory::Inventory;
use super::learn::{AdaptedWeights, Learnt, Material, Steps, Work};
use super::nested::{self, Aim, Division, Fold, Nested, Tried};
use super::report;
use super::trials::{CorpusSize, Cost, Trials};
use super::unlabelled::{self, Gained};
use crate::files::{self, WriteError};
use crate::model::{ModelConfig, registry};
use crate::timeline::Expression;
use crate::train::crop::noted_rule;
use crate::train::dataset::{Example, load_where};
use crate::train::fold::Grouping;
use crate::train::manifest::Row;
use crate::train::metrics::best_temperature;
use crate::train::run;
use crate::train::significance::{ClassComparison, Comparison, compare, compare_classes, widened};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct AdaptSettings {
    /// A built-in model or a directory.
    pub start: PathBuf,
    /// What the model is chosen for.
    pub aim: Aim,
    /// What stays on one side; chosen by what there is where it is not given.
    pub grouping: Option<Grouping>,
    /// Folds, at most; never more than groups.
    pub folds: usize,
    /// Most time that learning may take on the reference machine, seconds.
    pub budget_s: f64,
    /// Of the division and of all that is drawn.
    pub seed: u64,
    /// Whether the chosen candidate is written although no gain is shown.
    pub unproven: bool,
    /// The new model's name.
    pub name: String,
}

/// Where what there is comes from, for the report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sources {
    /// Files and folders as they were named.
    pub named: Vec<String>,
    /// Seconds of annotations, where all of it was imported from annotations.
    pub annotated_s: Option<f64>,
    /// Annotations that gave no picture, by reason.
    pub left_out: Vec<(usize, String)>,
}

/// Told how the work gets on.
pub trait AdaptProgress {
    /// It will take about so long on the reference machine, seconds.
    fn begin(&mut self, seconds: f64);
    /// A part that was said to take so long is done.
    fn advance(&mut self, seconds: f64);
    /// Something a person may want to know.
    fn say(&mut self, text: &str);
    /// Whether to stop.
    fn is_interrupted(&self) -> bool;
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdaptOutcome {
    /// The chosen candidate, as its gain is shown.
    Adapted,
    /// The chosen candidate, although its gain is not shown.
    Unproven,
    /// The start with its temperature fitted, as nothing is shown to be better.
    CalibratedStart,
}

/// Everything that came of it; `report.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Adapted {
    /// The new model's name.
    pub name: String,
    /// Name and SHA-256 of the start.
    pub start: (String, String),
    /// What it was chosen for.
    pub aim: Aim,
    /// Where the pictures come from.
    pub sources: Sources,
    /// What there is.
    pub inventory: Inventory,
    /// Candidates that were tried.
    pub candidates: Vec<Candidate>,
    /// Those that were not, and why.
    pub not_tried: Vec<(Candidate, String)>,
    /// Time that learning was to take on the reference machine, and was allowed to, seconds.
    pub budget_s: [f64; 2],
    /// The folds.
    pub folds: Vec<Fold>,
    /// The candidate chosen for all pictures.
    pub winner: Tried,
    /// After against before, on the same pictures.
    pub gain: Comparison,
    /// Class by class, likewise.
    pub classes: Vec<ClassComparison>,
    /// How many independent groups the intervals rest on.
    pub clusters: usize,
    /// What more material would give.
    pub curve: LearningCurve,
    /// What the corpus gives without its labels, against the start on the same pictures.
    #[serde(default)]
    pub without_labels: Vec<Gained>,
    /// What was written.
    pub outcome: AdaptOutcome,
    /// Of the written model.
    pub temperature: f32,
}

/// Adapts a model to `rows` and writes it, its card and the report into `out`; `out/adapt` keeps what an interrupted run goes
/// on from. `others` are pictures of the start's kind.
///
/// # Errors
/// If the pictures are too little or do not fit the start, training fails or is interrupted, or a file cannot be written.
pub fn adapt(
    rows: &[Row],
    others: &[Row],
    sources: Sources,
    settings: &AdaptSettings,
    out: &Path,
    device: &Device,
    progress: &mut dyn AdaptProgress,
) -> Result<Adapted, AdaptError> {
    let (config, weights) = registry::weights(&settings.start)?;
    let model = registry::open(&settings.start, &Device::Cpu)?;
    check_rule(rows, &config)?;
    let inventory = Inventory::of(rows, settings.grouping)?;
    inventory.warnings.iter().for_each(|warning| progress.say(warning));
    let head = Head::of(&weights).ok_or_else(|| AdaptError::NoHead(config.name.clone()))?.cooled(config.temperature);
    let kept = out.join("adapt");
    std::fs::create_dir_all(&kept).map_err(|e| WriteError::new(&kept, e))?;
    let examples = load_where(rows, config.input.colours, |_| true)?;
    let others = load_where(others, config.input.colours, |_| true)?;
    let folds = settings.folds.min(inventory.groups);
    let cost = Cost::new(&model, &head);
    let corpus = CorpusSize { pictures: examples.len(), folds };
    let all = Candidate::all(&config.input, !others.is_empty());
    let trials = Trials::new(settings.budget_s, settings.aim, &all, &corpus, &cost);
    progress.begin(trials.seconds);
    let path = kept.join(format!("features-{:.12}.safetensors", digest(&config, rows)));
    // Each picture and its mirror image.
    let mut tell = |count: usize| progress.advance(cost.seconds(Work::Looked(2 * count)));
    let features = Features::of(&config, &weights, &examples, &path, &mut tell)?;
    let material = Material {
        config: &config,
        weights: &weights,
        head: &head,
        start: &settings.start,
        examples: &examples,
        features: &features,
        others: &others,
        kept: &kept,
        device,
    };
    let division = Division { rows, grouping: inventory.grouping, folds, seed: settings.seed };
    let mut steps = Counted { progress, cost };
    let found = nested::run(&material, &trials.candidates, &division, settings.aim, &mut steps)?;
    let winner = nested::overall(&found.folds);
    let clusters = found.clusters.clone();
    let groups = clusters.iter().collect::<BTreeSet<_>>().len();
    let gain = for_few(compare(&found.after, &found.before, &clusters), groups);
    let mut classes = compare_classes(&found.after, &found.before, &clusters);
    for class in &mut classes {
        let widened = widened(class.recall[0] - class.recall[1], class.difference_interval, groups);
        class.difference_interval = widened.map(possible);
    }
    let of_curve = (found.judged.as_slice(), found.before.as_slice(), clusters.as_slice());
    let curve = curve::measure(&material, &division, &winner, of_curve, settings.aim, &mut steps)?;
    let signers: Vec<String> = rows.iter().map(|row| inventory.grouping.key(row)).collect();
    let without_labels = unlabelled::answers(&material, &signers, &found.judged, &mut steps)?
        .into_iter()
        .map(|(way, answers)| Gained { way, gain: for_few(compare(&answers, &found.before, &clusters), groups) })
        .collect();
    let outcome = outcome(&winner, &gain, settings);
    let weights = written(&material, &winner, outcome, &mut steps)?;
    let adapted = Adapted {
        name: settings.name.clone(),
        start: (config.name.clone(), config.sha256.clone()),
        aim: settings.aim,
        sources,
        inventory,
        candidates: trials.candidates,
        not_tried: trials.not_tried,
        budget_s: [trials.seconds, settings.budget_s],
        folds: found.folds.clone(),
        winner,
        gain,
        classes,
        clusters: groups,
        curve,
        without_labels,
        outcome,
        temperature: weights.temperature,
    };
    write(&adapted, &found, rows, &examples, &config, &weights, out)?;
    Ok(adapted)
}

/// Pictures that were cut out otherwise show the face at another size.
fn check_rule(rows: &[Row], config: &ModelConfig) -> Result<(), AdaptError> {
    let folders: BTreeSet<&Path> = rows.iter().filter_map(|row| row.path.parent()).collect();
    for folder in folders {
        if let Some(found) = noted_rule(folder).filter(|found| *found != config.crop) {
            return Err(AdaptError::OtherRule { path: folder.into(), found, wanted: config.crop });
        }
    }
    Ok(())
}

/// What features depend on.
fn digest(config: &ModelConfig, rows: &[Row]) -> String {
    let mut text = format!("{} {:?}", config.sha256, config.input);
    for row in rows {
        let stamp = std::fs::metadata(&row.path).map(|m| (m.len(), m.modified().ok())).ok();
        text.push_str(&format!("{}{stamp:?}\n", row.image()));
    }
    files::sha256(text.as_bytes())
}

/// A difference of two shares is none beyond 1.
fn possible(difference: f64) -> f64 {
    difference.clamp(-1.0, 1.0)
}

/// A comparison with intervals as wide as so few groups ask: whether a model is written rests on them.
fn for_few(mut gain: Comparison, groups: usize) -> Comparison {
    let Comparison { accuracy_difference, balanced_accuracy_difference, .. } = gain;
    for (value, interval) in [
        (accuracy_difference, &mut gain.accuracy_difference_interval),
        (balanced_accuracy_difference, &mut gain.balanced_accuracy_difference_interval),
    ] {
        *interval = widened(value, *interval, groups).map(possible);
    }
    gain
}

/// Whether the gain in the measure that is aimed at is shown: its interval lies above 0.
fn outcome(winner: &Tried, gain: &Comparison, settings: &AdaptSettings) -> AdaptOutcome {
    let interval = match settings.aim {
        Aim::Balanced => gain.balanced_accuracy_difference_interval,
        Aim::Accuracy => gain.accuracy_difference_interval,
    };
    match winner.candidate.method {
        Method::AsItIs => AdaptOutcome::CalibratedStart,
        _ if interval[0] > 0.0 => AdaptOutcome::Adapted,
        _ if settings.unproven => AdaptOutcome::Unproven,
        _ => AdaptOutcome::CalibratedStart,
    }
}

/// What is to be written, learnt from everything.
fn written(
    material: &Material,
    winner: &Tried,
    outcome: AdaptOutcome,
    steps: &mut dyn Steps,
) -> Result<AdaptedWeights, AdaptError> {
    let all: Vec<usize> = (0..material.examples.len()).collect();
    if outcome == AdaptOutcome::CalibratedStart {
        // A single number, fitted on pictures of which the start has seen none.
        let labelled = nested::labelled(material, &all);
        let truths: Vec<Expression> = labelled.iter().filter_map(|index| material.examples[*index].label).collect();
        let logits = material.logits(&Learnt::Head(material.head.clone()), &labelled)?;
        let temperature = material.config.temperature * best_temperature(&logits, &truths);
        let (tensors, input) = (material.weights.clone(), material.config.input.clone());
        return Ok(AdaptedWeights { tensors, temperature, input });
    }
    let learnt = material.learn(winner.candidate, &all, winner.hold, steps)?;
    learnt.weights(material, winner.temperature)
}

fn write(
    adapted: &Adapted,
    nested: &Nested,
    rows: &[Row],
    examples: &[Example],
    config: &ModelConfig,
    adapted_weights: &AdaptedWeights,
    out: &Path,
) -> Result<(), AdaptError> {
    let weights = run::packed(&adapted_weights.tensors)?;
    let manifest: Vec<String> = rows.iter().map(Row::image).collect();
    let new = ModelConfig {
        name: adapted.name.clone(),
        temperature: adapted.temperature,
        input: adapted_weights.input.clone(),
        training: json!({
            "adapted_from": adapted.start,
            "start_training": config.training,
            "method": adapted.winner.candidate,
            "outcome": adapted.outcome,
            "pictures": adapted.inventory.pictures,
            "pictures_sha256": files::sha256(manifest.join("\n").as_bytes()),
        }),
        metrics: json!({ "cross_validated_gain": adapted.gain, "clusters": adapted.clusters }),
        sha256: files::sha256(&weights),
        ..config.clone()
    };
    let document = report::document(adapted, nested, rows, examples);
    run::write_model(out, &new, &weights, &report::card(adapted, nested))?;
    write_folds(nested, &new, out)?;
    report::write(out, adapted, &document, nested, rows)?;
    Ok(())
}

/// The models that judged the folds: where they differ about a face that nobody has annotated, a person's word teaches most.
fn write_folds(nested: &Nested, new: &ModelConfig, out: &Path) -> Result<(), AdaptError> {
    let folder = out.join(registry::FOLDS);
    // Of an adaptation with more folds, some would be left.
    let _ = std::fs::remove_dir_all(&folder);
    for (number, AdaptedWeights { tensors, temperature, input }) in (1..).zip(&nested.models) {
        let weights = run::packed(tensors)?;
        let config = ModelConfig {
            name: format!("{}, fold {number}", new.name),
            temperature: *temperature,
            input: input.clone(),
            metrics: serde_json::Value::Null,
            sha256: files::sha256(&weights),
            ..new.clone()
        };
        run::write_model(&folder.join(number.to_string()), &config, &weights, &report::fold_card(&config.name))?;
    }
    Ok(())
}

/// Work as time on the reference machine.
struct Counted<'a> {
    progress: &'a mut dyn AdaptProgress,
    cost: Cost,
}

impl Steps for Counted<'_> {
    fn done(&mut self, work: Work) {
        self.progress.advance(self.cost.seconds(work));
    }

    fn is_interrupted(&self) -> bool {
        self.progress.is_interrupted()
    }
}

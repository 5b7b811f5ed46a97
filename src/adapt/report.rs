//! The report: what there was, what was tried, what it gained and how sure that is; one page for a reviewer.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{ImageFormat, RgbImage};
use maud::Markup;

use super::adapting::{AdaptOutcome, Adapted};
use super::curve::Point;
use super::inventory::video_name;
use super::nested::{Aim, Nested};
use crate::files::{OutputOptions, WriteError, spreadsheet_cell};
use crate::picture::Colours;
use crate::timeline::{Expression, most_probable};
use crate::train::augment::plain;
use crate::train::dataset::Example;
use crate::train::fold::Grouping;
use crate::train::manifest::Row;
use crate::train::metrics::{self, Metrics};
use crate::train::report::{
    self, MeasuredShare, NamedDifference, Prediction, ReportBlock, ReportDocument, ReportTable, comparison_blocks,
    rising,
};
use crate::train::significance::{ClassComparison, Intervals, intervals};

/// Pictures shown that the new model and the annotator see most differently; ten times as many are listed.
const SHOWN: usize = 24;
const LISTED: usize = 240;
/// Side of a picture in the report, pixels.
const SIDE: usize = 72;
/// Signers and videos that are named one by one.
const NAMED: usize = 12;
/// Time of annotation of which is foretold what it would give, and how many times the measured material that may be.
const FORETOLD_S: f64 = 1200.0;
const FARTHEST: f64 = 4.0;
/// With more groups, Student's t widens an interval by less than a twentieth.
const FEW: usize = 40;

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

fn points([low, high]: [f64; 2]) -> String {
    format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high)
}

fn shares_of([low, high]: [f64; 2]) -> String {
    format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high)
}

/// The gain in the measure that was aimed at, with its interval.
fn aimed(adapted: &Adapted) -> (f64, [f64; 2]) {
    let gain = &adapted.gain;
    match adapted.aim {
        Aim::Balanced => (gain.balanced_accuracy_difference, gain.balanced_accuracy_difference_interval),
        Aim::Accuracy => (gain.accuracy_difference, gain.accuracy_difference_interval),
    }
}

/// What is kept apart when judging, as people call it.
fn group(adapted: &Adapted) -> &'static str {
    match adapted.inventory.grouping {
        Grouping::Subject => "signer",
        Grouping::Sequence => "video",
        Grouping::Image => "picture",
    }
}

/// What came of it, in a sentence or two.
pub fn sentence(adapted: &Adapted) -> String {
    let (gain, interval) = aimed(adapted);
    let gained = format!(
        "{:+.1} points of {} ({}; 95 %, {} {}s)",
        100.0 * gain,
        adapted.aim.name(),
        points(interval),
        adapted.clusters,
        group(adapted)
    );
    let method = adapted.winner.candidate.name();
    match adapted.outcome {
        AdaptOutcome::Adapted => {
            format!("Adapted by '{method}': {gained} against the start on pictures it has not learnt from.")
        }
        AdaptOutcome::Unproven => format!("Adapted by '{method}' as asked, though no gain is shown: {gained}."),
        AdaptOutcome::CalibratedStart if adapted.winner.candidate == super::candidate::Candidate::AS_IT_IS => {
            format!(
                "Nothing beats the start as it is; it is written with its probabilities calibrated. Measured: {gained}."
            )
        }
        AdaptOutcome::CalibratedStart => format!(
            "No gain over the start is shown, so that the start is written with its probabilities calibrated. The best way \
             found, '{method}', gave {gained}."
        ),
    }
}

/// Seconds in words, such as `9.4 minutes`.
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.0} seconds") } else { format!("{:.1} minutes", seconds / 60.0) }
}

/// What more material would give, in a sentence; nothing where the curve does not say. It is told of 20 minutes, or of less where that
/// would be far beyond what was measured.
pub fn forecast(adapted: &Adapted) -> Option<String> {
    let (doubling, interval) = adapted.curve.doubling?;
    let last = adapted.curve.points.last()?;
    let learnt = last.pictures as f64;
    let (what, times) = match adapted.sources.annotated_s {
        Some(annotated_s) if annotated_s > 0.0 => {
            let learnt_s = annotated_s * learnt / adapted.inventory.pictures as f64;
            let more_s = FORETOLD_S.min((FARTHEST - 1.0) * learnt_s);
            let minutes = more_s / 60.0;
            let digits = usize::from(minutes < 10.0);
            (format!("{minutes:.digits$} more annotated minutes"), (learnt_s + more_s) / learnt_s)
        }
        _ => (format!("{learnt:.0} more pictures"), 2.0),
    };
    // No share grows beyond 1.
    let reached = if adapted.aim == Aim::Balanced { last.balanced_accuracy.0 } else { last.accuracy.0 };
    if reached >= 1.0 {
        return Some(format!(
            "Every picture that was held back is read right: on pictures like these, {what} can give nothing more."
        ));
    }
    let foretold = |value: f64| (value * times.log2()).clamp(-reached, 1.0 - reached);
    let (gain, interval, aim) = (100.0 * foretold(doubling), points(interval.map(foretold)), adapted.aim.name());
    // What only hurt so far need not go on hurting: nothing is foretold.
    if doubling <= 0.0 {
        return Some(format!(
            "More of the same material is not shown to help: {what} would give {gain:+.1} points of {aim} if it went on as it went \
             ({interval})."
        ));
    }
    Some(format!("If it goes on as it went, {what} would give about {gain:+.1} points of {aim} ({interval})."))
}

/// The report.
pub fn document(adapted: &Adapted, nested: &Nested, rows: &[Row], examples: &[Example]) -> ReportDocument {
    let mut blocks = vec![ReportBlock::Text(sentence(adapted))];
    blocks.extend(forecast(adapted).map(ReportBlock::Text));
    blocks.extend(adapted.inventory.warnings.iter().map(|warning| ReportBlock::Text(format!("Note: {warning}."))));
    blocks.push(ReportBlock::Heading("Before and after".into()));
    blocks.push(ReportBlock::Text(format!(
        "Every picture is judged once, by a model that has seen neither it nor its {noun}; the way of adapting was chosen inside each \
         model's own material. Before is the start '{start}', on the same pictures. Intervals: percentile bootstrap over {clusters} {noun}s{widened}.",
        noun = group(adapted),
        start = adapted.start.0,
        clusters = adapted.clusters,
        widened = if adapted.clusters < FEW { "; those of differences are widened as Student's t asks for so few" } else { "" },
    )));
    blocks.push(ReportBlock::Plot(report::differences("What it gained", &gains(adapted))));
    blocks.extend(before_and_after(adapted, nested));
    blocks.push(ReportBlock::Heading("More material".into()));
    blocks.extend(more_material(adapted));
    blocks.push(ReportBlock::Heading("Without labels".into()));
    blocks.extend(without_labels(adapted));
    blocks.push(ReportBlock::Heading("What was tried".into()));
    blocks.extend(what_was_tried(adapted));
    blocks.push(ReportBlock::Heading("What there was".into()));
    blocks.extend(what_there_was(adapted));
    blocks.push(ReportBlock::Heading("Worth a second look".into()));
    blocks.extend(second_look(nested, rows, examples));
    ReportDocument { title: format!("{}: adapted to a corpus", adapted.name), blocks }
}

/// The model's card: what it is, where it comes from, what it gained, and what is not known.
pub fn card(adapted: &Adapted, nested: &Nested) -> ReportDocument {
    let (name, sha256) = &adapted.start;
    let mut blocks = vec![
        ReportBlock::Text(sentence(adapted)),
        ReportBlock::Text(format!(
            "Start: '{name}' (SHA-256 {sha256}), whose licence and limits hold for this model as well. Learnt from {} pictures of \
             the corpus named below, whose own terms hold too.",
            adapted.inventory.pictures
        )),
        ReportBlock::Text(format!("Sources: {}.", adapted.sources.named.join(", "))),
    ];
    blocks.extend(adapted.inventory.warnings.iter().map(|warning| ReportBlock::Text(format!("Note: {warning}."))));
    blocks.push(ReportBlock::Heading("Before and after, on pictures not learnt from".into()));
    blocks.extend(before_and_after(adapted, nested));
    ReportDocument { title: adapted.name.clone(), blocks }
}

/// The card of a model that judged a fold.
pub fn fold_card(name: &str) -> ReportDocument {
    let text = "One of the models by which the adaptation was judged. It has learnt from the other folds alone, and is kept to be \
                asked, with its like, what is worth a person's time (`annotate review FOLDER --queue --committee MODEL`). To annotate, \
                take the model that this folder belongs to.";
    ReportDocument { title: name.to_owned(), blocks: vec![ReportBlock::Text(text.into())] }
}

/// The gain in each measure and class.
fn gains(adapted: &Adapted) -> Vec<NamedDifference> {
    let gain = &adapted.gain;
    let named = |name: &str, difference: f64, interval: [f64; 2]| NamedDifference {
        name: name.to_owned(),
        difference,
        interval,
    };
    let of_class = |c: &ClassComparison| {
        named(&format!("recall of {}", c.class.name()), c.recall[0] - c.recall[1], c.difference_interval)
    };
    [
        named("balanced accuracy", gain.balanced_accuracy_difference, gain.balanced_accuracy_difference_interval),
        named("accuracy", gain.accuracy_difference, gain.accuracy_difference_interval),
    ]
    .into_iter()
    .chain(adapted.classes.iter().map(of_class))
    .collect()
}

fn before_and_after(adapted: &Adapted, nested: &Nested) -> Vec<ReportBlock> {
    let (Some(before), Some(after)) = (metrics::measure(&nested.before), metrics::measure(&nested.after)) else {
        return Vec::new();
    };
    let clusters = &nested.clusters;
    let sure = [&nested.before, &nested.after].map(|judged| intervals(judged, clusters));
    let mut table = ReportTable::new("Measures", &["measure", "before", "95 %", "after", "95 %"]);
    type Show = fn(&Metrics) -> String;
    type Sure = fn(&Intervals) -> String;
    let rows: [(&str, Show, Sure); 6] = [
        ("pictures", |m| m.images.to_string(), |_| String::new()),
        ("accuracy", |m| percent(m.accuracy), |i| shares_of(i.accuracy)),
        ("balanced accuracy (mean recall)", |m| percent(m.balanced_accuracy), |i| shares_of(i.balanced_accuracy)),
        ("macro-F1", |m| format!("{:.3}", m.macro_f1), |i| format!("{:.3} to {:.3}", i.macro_f1[0], i.macro_f1[1])),
        ("negative log-likelihood", |m| format!("{:.3}", m.negative_log_likelihood.max(0.0)), |_| String::new()),
        ("calibration error", |m| percent(m.calibration_error), |_| String::new()),
    ];
    for (name, value, interval) in rows {
        table.row([name.to_owned(), value(&before), interval(&sure[0]), value(&after), interval(&sure[1])]);
    }
    let mut blocks = vec![ReportBlock::Table(table)];
    blocks.extend(comparison_blocks("After", "before", &adapted.gain));
    let heads = ["class", "pictures", "recall before", "after", "difference (95 %)", "F1 before", "after"];
    let mut classes = ReportTable::new("Classes", &heads);
    let optional = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    for c in &adapted.classes {
        let difference = c.recall[0] - c.recall[1];
        classes.row([
            c.class.name().to_owned(),
            c.images.to_string(),
            percent(c.recall[1]),
            percent(c.recall[0]),
            format!("{:+.1} ({})", 100.0 * difference, points(c.difference_interval)),
            optional(c.f1[1]),
            optional(c.f1[0]),
        ]);
    }
    blocks.push(ReportBlock::Table(classes));
    let both = |plot: fn(&Metrics) -> Markup| report::beside(&[("Before", plot(&before)), ("After", plot(&after))]);
    blocks.push(ReportBlock::Plot(both(|m| report::matrix(&m.confusion))));
    blocks.push(ReportBlock::Plot(both(|m| report::reliability(&m.reliability))));
    blocks
}

fn more_material(adapted: &Adapted) -> Vec<ReportBlock> {
    let title = format!("'{}' learnt from part of the material", adapted.winner.candidate.name());
    let gained = format!("gain in {}", adapted.aim.name());
    let heads = ["pictures", "accuracy", "95 %", "balanced accuracy", "95 %", &gained, "95 %"];
    let mut table = ReportTable::new(&title, &heads);
    for point in &adapted.curve.points {
        let name = if point.pictures == 0 { "0 (the start)".to_owned() } else { point.pictures.to_string() };
        let (accuracy, balanced) = (point.accuracy, point.balanced_accuracy);
        let (gain, sure) = point
            .gain
            .map_or(("".into(), "".into()), |(gain, interval)| (format!("{:+.1}", 100.0 * gain), points(interval)));
        table.row([
            name,
            percent(accuracy.0),
            shares_of(accuracy.1),
            percent(balanced.0),
            shares_of(balanced.1),
            gain,
            sure,
        ]);
    }
    type Measure = fn(&Point) -> (f64, [f64; 2]);
    let of = |value: Measure| -> Vec<MeasuredShare> {
        let points = adapted.curve.points.iter();
        let measured = |point: &Point| {
            let (share, interval) = value(point);
            MeasuredShare { size: point.pictures as f64, share, interval }
        };
        points.map(measured).collect()
    };
    let series = [("accuracy", of(|p| p.accuracy)), ("balanced accuracy", of(|p| p.balanced_accuracy))];
    let mut blocks =
        vec![ReportBlock::Plot(rising("Learning curve", "pictures learnt from", &series)), ReportBlock::Table(table)];
    blocks.extend(forecast(adapted).map(ReportBlock::Text));
    blocks
}

/// What helps videos of this corpus that nobody annotates.
fn without_labels(adapted: &Adapted) -> Vec<ReportBlock> {
    let heads = ["way", "accuracy", "95 %", "balanced accuracy", "95 %", "shown to help"];
    let mut table = ReportTable::new("Against the start, on the same pictures, without looking at a label", &heads);
    for gained in &adapted.without_labels {
        let gain = &gained.gain;
        table.row([
            gained.way.name().to_owned(),
            format!("{:+.1}", 100.0 * gain.accuracy_difference),
            points(gain.accuracy_difference_interval),
            format!("{:+.1}", 100.0 * gain.balanced_accuracy_difference),
            points(gain.balanced_accuracy_difference_interval),
            if gained.is_shown(adapted.aim) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let shown: Vec<&str> =
        adapted.without_labels.iter().filter(|gained| gained.is_shown(adapted.aim)).map(|g| g.way.name()).collect();
    let advice = match shown.is_empty() {
        true => {
            "None of them is shown to help here, so none is recommended: annotate without `--calibrate`.".to_owned()
        }
        false => format!(
            "Shown to help in {}, and so recommended where nothing is annotated: {}.",
            adapted.aim.name(),
            shown.join(", ")
        ),
    };
    vec![ReportBlock::Table(table), ReportBlock::Text(advice)]
}

fn what_was_tried(adapted: &Adapted) -> Vec<ReportBlock> {
    let text = "Each fold chooses by the probability that a candidate gives to the truth, on pictures of the fold's own material that \
                the candidate has not learnt from (0 is perfect; averaged over folds). No picture of the fold itself takes part.";
    let mut table =
        ReportTable::new("Candidates", &["candidate", "score where it was to be chosen", "folds that chose it"]);
    let count = adapted.folds.len() as f64;
    for (index, candidate) in adapted.candidates.iter().enumerate() {
        let mean = adapted.folds.iter().map(|fold| fold.tried[index].score).sum::<f64>() / count;
        let chosen = adapted.folds.iter().filter(|fold| fold.chosen == index).count();
        let mark = if *candidate == adapted.winner.candidate { " (for all pictures)" } else { "" };
        table.row([format!("{}{mark}", candidate.name()), format!("{mean:.3}"), chosen.to_string()]);
    }
    let mut folds = ReportTable::new("Folds", &["fold", "learnt from", "chosen by", "judged on", "chosen"]);
    for (number, fold) in (1..).zip(&adapted.folds) {
        let pictures = fold.pictures.map(|count: usize| count.to_string());
        let chosen = fold.tried[fold.chosen].candidate.name();
        folds.row(std::iter::once(number.to_string()).chain(pictures).chain([chosen]));
    }
    let mut blocks = vec![ReportBlock::Text(text.into()), ReportBlock::Table(table), ReportBlock::Table(folds)];
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (candidate, why) in &adapted.not_tried {
        by_reason.entry(why).or_default().push(format!("'{}'", candidate.name()));
    }
    for (why, names) in by_reason {
        blocks.push(ReportBlock::Text(format!("Not tried ({why}): {}.", names.join(", "))));
    }
    let [used, allowed] = adapted.budget_s.map(duration);
    blocks.push(ReportBlock::Text(format!("Planned: at most {used} of two cores; the budget was {allowed}.")));
    blocks
}

fn what_there_was(adapted: &Adapted) -> Vec<ReportBlock> {
    let inventory = &adapted.inventory;
    let soft = inventory.pictures - inventory.labelled;
    let minutes =
        adapted.sources.annotated_s.map_or(String::new(), |s| format!(" of {:.1} annotated minutes", s / 60.0));
    let named = adapted.sources.named.join("', '");
    let mut text = format!("{} pictures{minutes}, from '{named}'.", inventory.pictures);
    if soft > 0 {
        text +=
            &format!(" About {soft} of them annotators disagree: these are learnt with soft labels and not judged by.");
    }
    let mut blocks = vec![ReportBlock::Text(text)];
    let names = Expression::ALL.map(Expression::name);
    for (what, counts) in [("signer", &inventory.signers), ("video", &inventory.videos)] {
        if counts.is_empty() {
            continue;
        }
        let heads: Vec<&str> = [what].into_iter().chain(names).chain(["all"]).collect();
        let mut table = ReportTable::new(&format!("Labelled pictures by {what}"), &heads);
        for (name, counts) in counts.iter().take(NAMED) {
            let sum: usize = counts.iter().sum();
            let name = if name.len() > 40 { format!("{:.12}...", name) } else { name.clone() };
            table.row(std::iter::once(name).chain(counts.iter().chain([&sum]).map(usize::to_string)));
        }
        blocks.push(ReportBlock::Table(table));
        if counts.len() > NAMED {
            blocks.push(ReportBlock::Text(format!("And {} more.", counts.len() - NAMED)));
        }
    }
    if !adapted.sources.left_out.is_empty() {
        let mut table =
            ReportTable::new("Left out (each is listed in adapt/manifest.left-out.csv)", &["why", "how many"]);
        for (count, why) in &adapted.sources.left_out {
            table.row([why.clone(), count.to_string()]);
        }
        blocks.push(ReportBlock::Table(table));
    }
    blocks
}

/// Judged pictures with the least probability of what the annotator says, where the model says something else, by their index
/// among the answers.
fn disagreements(nested: &Nested) -> Vec<usize> {
    let is_other = |index: &usize| {
        let judged = &nested.after[*index];
        most_probable(&judged.probabilities) != judged.truth
    };
    let mut indices: Vec<usize> = (0..nested.after.len()).filter(is_other).collect();
    let given = |index: &usize| nested.after[*index].probabilities[nested.after[*index].truth.index()];
    indices.sort_by(|a, b| given(a).total_cmp(&given(b)));
    indices
}

fn second_look(nested: &Nested, rows: &[Row], examples: &[Example]) -> Vec<ReportBlock> {
    let indices = disagreements(nested);
    if indices.is_empty() {
        return vec![ReportBlock::Text("The new model says what the annotators say of every picture.".into())];
    }
    let text = "Pictures of which the new model, which has not seen them, gives the annotator's label the least probability: a slip of \
                the annotator, a face that is hard to read, or a gap in what was learnt. disagreements.csv has more of them.";
    let figures = indices.iter().take(SHOWN).filter_map(|index| {
        let (row, judged) = (nested.judged[*index], &nested.after[*index]);
        let said = most_probable(&judged.probabilities);
        let caption =
            format!("{} / {} {:.0} %", judged.truth.name(), said.name(), 100.0 * judged.probabilities[said.index()]);
        let title =
            format!("{} frame {}", video_name(&rows[row]), rows[row].frame.map_or("-".into(), |f| f.to_string()));
        Some(report::figure(&thumbnail(&examples[row])?, &caption, &title))
    });
    let figures = maud::html! { @for figure in figures { (figure) } };
    vec![
        ReportBlock::Text(text.into()),
        ReportBlock::Text("Each: annotator / model.".into()),
        ReportBlock::Plot(figures),
    ]
}

/// A picture as the address of its data.
fn thumbnail(example: &Example) -> Option<String> {
    let picture = example.picture().ok()?.in_colours(Colours::Rgb);
    let samples = plain(&picture, SIDE, Colours::Rgb).into_iter().map(|value| value.round() as u8).collect();
    let image = RgbImage::from_raw(SIDE as u32, SIDE as u32, samples)?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).ok()?;
    Some(format!("data:image/png;base64,{}", BASE64.encode(bytes.into_inner())))
}

/// Writes the report, every answer, and the list of disagreements.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write(
    out: &Path,
    adapted: &Adapted,
    document: &ReportDocument,
    nested: &Nested,
    rows: &[Row],
) -> Result<(), WriteError> {
    let answers = nested.judged.iter().zip(&nested.after);
    let predictions: Vec<Prediction> =
        answers.map(|(index, judged)| Prediction { image: rows[*index].image(), judged: *judged }).collect();
    report::write_as(OutputOptions::state(), out, adapted, document, &predictions)?;
    OutputOptions::state().put(&out.join("disagreements.csv"), |file| {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(["path", "sequence", "subject", "frame", "annotator", "model", "of_annotators", "of_models"])?;
        for index in disagreements(nested).into_iter().take(LISTED) {
            let (row, judged) = (&rows[nested.judged[index]], &nested.after[index]);
            let said = most_probable(&judged.probabilities);
            csv.write_record([
                &*spreadsheet_cell(&row.image()),
                row.sequence.as_deref().unwrap_or_default(),
                &*spreadsheet_cell(row.subject.as_deref().unwrap_or_default()),
                &row.frame.map_or_else(String::new, |frame| frame.to_string()),
                judged.truth.name(),
                said.name(),
                &format!("{:.4}", judged.probabilities[judged.truth.index()]),
                &format!("{:.4}", judged.probabilities[said.index()]),
            ])?;
        }
        csv.flush()
    })
}

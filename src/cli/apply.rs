//! `annotate apply CORRECTIONS.jsonl... --labels LABELS.json`: what people corrected, taken back.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;

use super::Failure;
use super::review::video_of;
use crate::files::{self, OutputOptions};
use crate::model::registry;
use crate::review::{self, Applied, CorrectionError, Crops, Numbered};
use crate::timeline::{Operation, ReviewLayer, Timeline};
use crate::train::manifest;
use crate::write::Format;

/// Arguments of `annotate apply`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the review page saved; several files, of one or more reviewers, are applied in this order
    #[arg(required = true)]
    corrections: Vec<PathBuf>,
    /// The annotation that was reviewed, corrected before or not
    #[arg(long, value_name = "LABELS.json")]
    labels: PathBuf,
    /// Where the corrected annotation goes; LABELS.corrected.json if not given, LABELS.blind.json for labels made blind.
    /// Corrections that are in it already stay
    #[arg(short, long, value_name = "FILE.json", conflicts_with = "in_place")]
    output: Option<PathBuf>,
    /// Write the corrected annotation over the one that was reviewed
    #[arg(long)]
    in_place: bool,
    /// Replace the output whatever it holds
    #[arg(long)]
    overwrite: bool,
    /// An ELAN document made from the annotation, whose labels are corrected in place
    #[arg(long, value_name = "FILE.eaf")]
    eaf: Option<PathBuf>,
    /// A training manifest; pictures of the frames that people labelled are cut out beside it and added to it
    #[arg(long, value_name = "MANIFEST.csv")]
    manifest: Option<PathBuf>,
    /// The video, where it is not where it was annotated
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// The model whose crop rule the pictures follow
    #[arg(long, value_name = "NAME|DIR", default_value = registry::DEFAULT)]
    model: PathBuf,
}

/// Conflicts named one by one; more of them are counted.
const NAMED: usize = 20;

/// An annotation as it was read, and as people have corrected it.
pub(super) struct Reviewed {
    before: Timeline,
    /// What an earlier run made of it, where there is one.
    earlier: Option<Timeline>,
    pub(super) corrected: Timeline,
    reports: Vec<(PathBuf, Applied)>,
}

/// Files of corrections, read.
type Files = Vec<(PathBuf, Vec<Numbered>)>;

fn read_files(paths: &[PathBuf]) -> Result<Files, Failure> {
    let read = paths.iter().map(|path| Ok((path.clone(), review::read_corrections(path)?)));
    Ok(read.collect::<Result<_, CorrectionError>>()?)
}

impl Reviewed {
    /// Reads an annotation and applies files of corrections to it.
    pub(super) fn read(corrections: &[PathBuf], labels: &Path) -> Result<Self, Failure> {
        Self::new(labels)?.apply(&read_files(corrections)?)
    }

    fn new(labels: &Path) -> Result<Self, Failure> {
        let before = Timeline::read(labels)?;
        Ok(Self { corrected: before.clone(), before, earlier: None, reports: Vec::new() })
    }

    fn apply(mut self, files: &Files) -> Result<Self, Failure> {
        for (path, corrections) in files {
            let applied = review::apply_corrections(&mut self.corrected, corrections)
                .map_err(|e| Failure::Input(format!("{}: {e}", path.display())))?;
            self.reports.push((path.clone(), applied));
        }
        self.refuse_if_nothing_fits()?;
        Ok(self)
    }

    fn refuse_if_nothing_fits(&self) -> Result<(), Failure> {
        let fits = self.reports.iter().any(|(_, a)| a.applied + a.known + a.same > 0);
        let conflicts = self.reports.iter().flat_map(|(path, a)| a.conflicts.iter().map(move |c| (path, c)));
        match conflicts.clone().next() {
            Some((path, first)) if !fits => {
                let (path, count) = (path.display(), conflicts.count());
                let reason = format!("none of the {count} corrections fits these labels; {}", first.problem);
                Err(Failure::Input(format!("{path}, line {}: {reason}", first.line)))
            }
            _ => Ok(()),
        }
    }

    /// Starts from what an output of an earlier run holds, so that nothing of it is lost.
    fn keep(mut self, path: &Path, layer: ReviewLayer) -> Result<Self, Failure> {
        let other = |why: &str| {
            let path = path.display();
            Failure::Output(format!("{path}: {why}; --overwrite replaces it, -o names another file"))
        };
        let Ok(mut there) = Timeline::read(path) else { return Err(other("this is no annotation")) };
        let of_program = |timeline: &Timeline| review::fingerprint(&review::machine_of(timeline));
        let Some(corrections) = &there.corrections else {
            return Err(other("this is an annotation without corrections"));
        };
        if of_program(&there) != of_program(&self.before) || corrections.layer != layer {
            return Err(other("this is an annotation of something else"));
        }
        self.earlier = Some(there.clone());
        let before = self.before.corrections.iter().filter(|c| c.layer == layer);
        let operations: Vec<Operation> = before.flat_map(|c| c.operations.clone()).collect();
        review::apply(&mut there, &operations)?;
        self.corrected = there;
        Ok(self)
    }

    /// Says what was done; an error where some corrections were left out.
    fn report(&self, output: &Path) -> Result<(), Failure> {
        let mut left_out = 0;
        for (path, applied) in &self.reports {
            let path = path.display();
            let Applied { applied, known, same, conflicts, .. } = applied;
            talk!("{path}: {applied} applied, {known} known, {same} agreed, {} in conflict", conflicts.len());
            for conflict in conflicts.iter().take(NAMED.saturating_sub(left_out)) {
                let review::Conflict { line, reviewer, kind, problem } = conflict;
                let by = if reviewer.is_empty() { String::new() } else { format!(" by {reviewer}") };
                let text = format!("{path}, line {line}: {kind}{by} left out: {problem}");
                talk!("  {}", Failure::Partial(text));
            }
            left_out += conflicts.len();
        }
        let output = output.display();
        if let Some((_, applied)) = self.reports.last() {
            let review::Tally { accepted, changed, rejected, drawn, moved, open } = applied.segments;
            talk!(
                "{output}: {accepted} accepted, {changed} changed, {rejected} not a face, {drawn} drawn, {moved} with another edge, \
                 {open} not reviewed"
            );
        }
        match left_out {
            0 => Ok(()),
            count => {
                Err(Failure::Partial(format!("{output}: {count} corrections contradict others and were left out")))
            }
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let files = read_files(&arguments.corrections)?;
    let layer = files.iter().flat_map(|(_, corrections)| corrections).next().map(|first| first.correction.layer());
    let layer = layer.unwrap_or_default();
    let mut reviewed = Reviewed::new(&arguments.labels)?;
    let path = output(arguments, layer)?;
    if path.is_file() && !arguments.in_place && !arguments.overwrite {
        reviewed = reviewed.keep(&path, layer)?;
    }
    let reviewed = reviewed.apply(&files)?;
    if let Some(path) = &arguments.manifest {
        let Arguments { labels, video, model, .. } = arguments;
        let rows = pictures(&reviewed.corrected, labels, video.as_deref(), model, &path.with_extension("pictures"))?;
        let mut known = if path.exists() { manifest::read(path)? } else { Vec::new() };
        known.retain(|old| rows.iter().all(|new| !is_same_file(&new.path, &old.path)));
        let added = rows.len();
        known.extend(rows);
        // All that it held is in it again.
        let existing = OutputOptions::new().overwrite(true).holds_hand_work(true);
        manifest::put(path, &known, existing)?;
        talk!("{}: {added} pictures added", path.display());
    }
    if let Some(path) = &arguments.eaf {
        let before: Vec<&Timeline> = [&reviewed.before].into_iter().chain(&reviewed.earlier).collect();
        let (document, changed, lost) = review::correct_document(path, &before, &reviewed.corrected)?;
        // It is corrected in place: all that a person has made of it is in it again.
        let existing = OutputOptions::new().overwrite(true).holds_hand_work(true);
        existing.put(path, |out| document.write(out))?;
        let lost = if lost > 0 { format!("; {lost} lie elsewhere by now and stay as they are") } else { String::new() };
        talk!("{}: {changed} annotations as reviewed{lost}", path.display());
    }
    let writer = Format::Json.writer();
    // What stood there is in it again, or was to be replaced.
    let existing = OutputOptions::new().overwrite(true).holds_hand_work(true);
    existing.put(&path, |out| writer.map_or(Ok(()), |writer| writer.write(&reviewed.corrected, out)))?;
    reviewed.report(&path)
}

/// Where the corrected annotation goes. It never replaces one of the inputs unless that was asked for.
fn output(arguments: &Arguments, layer: ReviewLayer) -> Result<PathBuf, Failure> {
    if arguments.in_place {
        return Ok(arguments.labels.clone());
    }
    let path = arguments.output.clone().unwrap_or_else(|| {
        let stem = arguments.labels.file_stem().unwrap_or_default().to_string_lossy();
        let stem = stem.strip_suffix(".corrected").unwrap_or(&stem);
        arguments
            .labels
            .with_file_name(format!("{stem}.{}.json", if layer == ReviewLayer::Blind { "blind" } else { "corrected" }))
    });
    if files::is_same_file(&path, &arguments.labels) {
        let reason = "this is the annotation that was reviewed; --in-place writes over it, -o names another file";
        return Err(Failure::Usage(format!("{}: {reason}", path.display())));
    }
    if let Some(input) = arguments.corrections.iter().find(|input| files::is_same_file(input, &path)) {
        return Err(Failure::Usage(format!("{}: the output would replace the corrections", input.display())));
    }
    Ok(path)
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    a == b || absolute(a) == absolute(b)
}

/// Cuts out pictures of the frames that people labelled, into `folder`, and gives their rows.
pub(super) fn pictures(
    corrected: &Timeline,
    labels: &Path,
    video: Option<&Path>,
    model: &Path,
    folder: &Path,
) -> Result<Vec<manifest::Row>, Failure> {
    let model = registry::open(model, &Device::Cpu)?;
    let video = video.map_or_else(|| video_of(corrected, labels), Path::to_owned);
    let crops = Crops { video: &video, folder, rule: model.config().crop };
    Ok(crops.cut(corrected, review::decode_options(corrected))?)
}

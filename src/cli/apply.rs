//! `annotate apply CORRECTIONS... --labels LABELS.json`: what people corrected on the page or in ELAN, taken back.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;

use super::Failure;
use crate::eaf::Edited;
use crate::files::{self, OutputOptions};
use crate::model::registry;
use crate::review::{self, Applied, Crops, ElanEdits, Numbered, video_of};
use crate::timeline::{Operation, ReviewLayer, Timeline};
use crate::train::manifest;
use crate::write::Format;

/// Arguments of `annotate apply`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the review page saved, or ELAN documents that were made from the annotation and changed there; several files,
    /// of one or more reviewers, are applied in this order
    #[arg(required = true)]
    #[arg(value_name = "CORRECTIONS.jsonl|EDITED.eaf")]
    corrections: Vec<PathBuf>,
    /// Who changed ELAN's documents; the author that each names, if not given
    #[arg(long, value_name = "NAME")]
    reviewer: Option<String>,
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
    elan: ElanEdits,
}

/// A file of corrections, read.
enum CorrectionSource {
    Page(Vec<Numbered>),
    Elan(Edited),
}

impl CorrectionSource {
    fn read(path: &Path) -> Result<Self, Failure> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eaf")) {
            return Ok(Self::Elan(Edited::read(path)?));
        }
        Ok(Self::Page(review::read_corrections(path)?))
    }
}

/// Files of corrections, read.
type Files = Vec<(PathBuf, CorrectionSource)>;

fn read_files(paths: &[PathBuf]) -> Result<Files, Failure> {
    paths.iter().map(|path| Ok((path.clone(), CorrectionSource::read(path)?))).collect()
}

impl Reviewed {
    /// Reads an annotation and applies files of corrections to it.
    pub(super) fn read(corrections: &[PathBuf], labels: &Path) -> Result<Self, Failure> {
        Self::new(labels)?.apply(&read_files(corrections)?)
    }

    fn new(labels: &Path) -> Result<Self, Failure> {
        let before = Timeline::read(labels)?;
        let (reports, elan) = (Vec::new(), ElanEdits::default());
        Ok(Self { corrected: before.clone(), before, earlier: None, reports, elan })
    }

    fn apply(mut self, files: &Files) -> Result<Self, Failure> {
        for (path, source) in files {
            let refused = |reason: String| Failure::Input(format!("{}: {reason}", path.display()));
            let applied = match source {
                CorrectionSource::Page(corrections) => {
                    review::apply_corrections(&mut self.corrected, corrections).map_err(|e| refused(e.to_string()))?
                }
                CorrectionSource::Elan(document) => self.apply_document(document).map_err(refused)?,
            };
            self.reports.push((path.clone(), applied));
        }
        self.refuse_if_nothing_fits()?;
        Ok(self)
    }

    /// What the corrections are about, as the first of them says; an ELAN document is about what it was made from.
    fn layer(&self, files: &Files) -> ReviewLayer {
        let of_labels = || self.before.corrections.as_ref().map(|corrections| corrections.layer);
        let layers = files.iter().filter_map(|(_, source)| match source {
            CorrectionSource::Page(corrections) => corrections.first().map(|first| first.correction.layer()),
            CorrectionSource::Elan(_) => of_labels(),
        });
        layers.into_iter().next().unwrap_or_default()
    }

    /// Takes over what was changed in ELAN.
    fn apply_document(&mut self, document: &Edited) -> Result<Applied, String> {
        let by_program = review::machine_of(&self.before);
        let states: Vec<&Timeline> = [&self.before, &by_program].into_iter().chain(&self.earlier).collect();
        let changes = self.elan.changes(document, &states, &self.corrected).map_err(|e| e.to_string())?;
        let mut applied = review::apply(&mut self.corrected, &changes.operations).map_err(|e| e.to_string())?;
        applied.conflicts.extend(changes.left_out);
        Ok(applied)
    }

    fn refuse_if_nothing_fits(&self) -> Result<(), Failure> {
        let fits = self.reports.iter().any(|(_, a)| a.applied + a.known + a.same > 0);
        let conflicts = self.reports.iter().flat_map(|(path, a)| a.conflicts.iter().map(move |c| (path, c)));
        match conflicts.clone().next() {
            Some((path, first)) if !fits => {
                let reason =
                    format!("none of the {} corrections fits these labels; {}", conflicts.count(), first.problem);
                Err(Failure::Input(format!("{}: {reason}", location(path, first.line))))
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
        let of_program = |timeline: &Timeline| review::machine_of(timeline).fingerprint();
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
            let shown = path.display();
            let Applied { applied, known, same, conflicts, .. } = applied;
            talk!("{shown}: {applied} applied, {known} known, {same} agreed, {} in conflict", conflicts.len());
            for conflict in conflicts.iter().take(NAMED.saturating_sub(left_out)) {
                let review::Conflict { line, reviewer, kind, problem } = conflict;
                let by = if reviewer.is_empty() { String::new() } else { format!(" by {reviewer}") };
                let text = format!("{}: {kind}{by} left out: {problem}", location(path, *line));
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
    let mut reviewed = Reviewed::new(&arguments.labels)?;
    reviewed.elan.reviewer.clone_from(&arguments.reviewer);
    let layer = reviewed.layer(&files);
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
        // All that it held is in it again. A manifest has rows: where no edited frame shows a face, there is none to write.
        let existing = OutputOptions::new().overwrite(true).holds_hand_work(true);
        if !known.is_empty() {
            manifest::put(path, &known, existing)?;
        }
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

/// A file, and the line where there is one.
fn location(path: &Path, line: usize) -> String {
    match line {
        0 => path.display().to_string(),
        line => format!("{}, line {line}", path.display()),
    }
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

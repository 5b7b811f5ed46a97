//! `annotate apply CORRECTIONS.jsonl --labels LABELS.json`: what people corrected, taken back.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;

use super::Failure;
use super::review::video_of;
use crate::files::OutputOptions;
use crate::model::registry;
use crate::review::{self, Correction, CropError, Crops};
use crate::timeline::Timeline;
use crate::train::manifest;
use crate::write::Format;

/// Arguments of `annotate apply`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the review page saved
    corrections: PathBuf,
    /// The annotation that was reviewed
    #[arg(long, value_name = "LABELS.json")]
    labels: PathBuf,
    /// Where the corrected annotation goes; it replaces the one that was reviewed if not given
    #[arg(short, long, value_name = "FILE.json")]
    output: Option<PathBuf>,
    /// An ELAN document made from the annotation, whose labels are corrected in place
    #[arg(long, value_name = "FILE.eaf")]
    eaf: Option<PathBuf>,
    /// A training manifest; pictures of the reviewed segments are cut out beside it and added to it
    #[arg(long, value_name = "MANIFEST.csv")]
    manifest: Option<PathBuf>,
    /// The video, where it is not where it was annotated
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// The model whose crop rule the pictures follow
    #[arg(long, value_name = "NAME|DIR", default_value = registry::DEFAULT)]
    model: PathBuf,
}

/// An annotation and what people corrected in it.
pub(super) struct Reviewed {
    timeline: Timeline,
    corrections: Vec<(usize, Correction)>,
}

impl Reviewed {
    /// Reads both.
    pub(super) fn read(corrections: &Path, labels: &Path) -> Result<Self, Failure> {
        let corrections = review::read_corrections(corrections).map_err(|e| Failure::Input(e.to_string()))?;
        let timeline = Timeline::read(labels).map_err(|e| Failure::Input(e.to_string()))?;
        Ok(Self { timeline, corrections })
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let reviewed = Reviewed::read(&arguments.corrections, &arguments.labels)?;
    let corrections = &reviewed.corrections;
    let mut timeline = reviewed.timeline.clone();
    let applied = review::apply(&mut timeline, corrections)
        .map_err(|e| Failure::Input(format!("{}: {e}", arguments.corrections.display())))?;
    let output = |e: crate::files::WriteError| Failure::Output(e.to_string());
    if let Some(path) = &arguments.manifest {
        let Arguments { labels, video, model, .. } = arguments;
        let rows = pictures(&reviewed, labels, video.as_deref(), model, &path.with_extension("pictures"))?;
        let mut known =
            if path.exists() { manifest::read(path).map_err(|e| Failure::Input(e.to_string()))? } else { Vec::new() };
        known.retain(|old| rows.iter().all(|new| !is_same_file(&new.path, &old.path)));
        let added = rows.len();
        known.extend(rows);
        // All that it held is in it again.
        let existing = OutputOptions::new().overwrite(true).holds_hand_work(true);
        manifest::put(path, &known, existing).map_err(output)?;
        talk!("{}: {added} pictures added", path.display());
    }
    if let Some(path) = &arguments.eaf {
        let (changed, found) = review::apply_to_document(path, &reviewed.timeline, corrections)
            .map_err(|e| Failure::Input(e.to_string()))?;
        // It is corrected in place: all that a person has made of it is in it again.
        let existing = OutputOptions::new().overwrite(true).holds_hand_work(true);
        existing.put(path, |out| changed.write(out)).map_err(output)?;
        let lost = corrections.len() - found;
        let lost = if lost > 0 { format!("; {lost} lie elsewhere by now and stay as they are") } else { String::new() };
        talk!("{}: {found} annotations as reviewed{lost}", path.display());
    }
    let path = arguments.output.as_ref().unwrap_or(&arguments.labels);
    let writer = Format::Json.writer();
    let existing = OutputOptions::new().overwrite(true).holds_hand_work(true);
    existing.put(path, |out| writer.map_or(Ok(()), |writer| writer.write(&timeline, out))).map_err(output)?;
    let (accepted, changed, rejected) = (applied.accepted, applied.changed, applied.rejected);
    talk!("{}: {accepted} accepted, {changed} changed, {rejected} not a face", path.display());
    Ok(())
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    a == b || absolute(a) == absolute(b)
}

/// Cuts out pictures of what was reviewed, into `folder`, and gives their rows.
pub(super) fn pictures(
    Reviewed { timeline, corrections }: &Reviewed,
    labels: &Path,
    video: Option<&Path>,
    model: &Path,
    folder: &Path,
) -> Result<Vec<manifest::Row>, Failure> {
    // Nothing is cut out by corrections of something else.
    review::apply(&mut timeline.clone(), corrections).map_err(|e| Failure::Input(e.to_string()))?;
    let model = registry::open(model, &Device::Cpu).map_err(|e| Failure::Configuration(e.to_string()))?;
    let video = video.map_or_else(|| video_of(timeline, labels), Path::to_owned);
    let crops = Crops { video: &video, folder, rule: model.config().crop };
    crops.cut(timeline, corrections, review::decode_options(timeline)).map_err(|error| match error {
        CropError::Write { .. } => Failure::Output(error.to_string()),
        CropError::Decode(_) | CropError::OtherVideo { .. } => Failure::Input(error.to_string()),
    })
}

//! `annotate review LABELS.json`: a page to look and correct.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::shared::ReplaceArguments;
use crate::agree::Vocabulary;
use crate::eaf;
use crate::files;
use crate::review::{HumanTier, Page};
use crate::timeline::Timeline;

/// Arguments of `annotate review`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The annotation
    labels: PathBuf,
    /// The page to write; beside the annotation, as .html, if not given
    #[arg(short, long, value_name = "PAGE.html")]
    output: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// The video, where it is not where it was annotated
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// A person's annotation, shown below
    #[arg(long, value_name = "HUMAN.eaf")]
    human: Option<PathBuf>,
    /// Its tiers to show; if not given, those with words for expressions, else the first ones
    #[arg(long = "tier", value_name = "NAME", requires = "human")]
    tiers: Vec<String>,
    /// The page's language; the browser's if not given
    #[arg(long, value_parser = ["en", "de"])]
    language: Option<String>,
}

/// More tiers than this would push ours off the screen.
const MOST_TIERS: usize = 6;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let timeline = Timeline::read(&arguments.labels)?;
    let output = arguments.output.clone().unwrap_or_else(|| arguments.labels.with_extension("html"));
    let video = arguments.video.clone().unwrap_or_else(|| video_of(&timeline, &arguments.labels));
    let read = [Some(&arguments.labels), Some(&video), arguments.human.as_ref()];
    files::refuse_inputs(&output, read.into_iter().flatten().map(PathBuf::as_path))?;
    if !video.is_file() {
        let video = video.display();
        tracing::warn!("{video}: the video is not there; the page will show none (see --video)");
        talk!("annotate: {video}: the video is not there; the page will show none (see --video)");
    }
    let human = match &arguments.human {
        Some(path) => human(path, &arguments.tiers, &timeline.media.path)?,
        None => Vec::new(),
    };
    let page =
        Page { timeline: &timeline, video_url: url(&video, &output), human, language: arguments.language.clone() };
    arguments.replace.existing().put(&output, |out| page.write(out))?;
    talk!("{}", output.display());
    Ok(())
}

/// Where the annotated video is: as it was named, else beside the annotation.
pub(super) fn video_of(timeline: &Timeline, labels: &Path) -> PathBuf {
    let named = PathBuf::from(&timeline.media.path);
    let beside = labels.with_file_name(named.file_name().unwrap_or_default());
    if !named.is_file() && beside.is_file() { beside } else { named }
}

/// The video's URL as seen from the page.
fn url(video: &Path, page: &Path) -> String {
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let relative = eaf::relative_path(video, folder);
    let mut url = String::new();
    for byte in relative.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => url.push(char::from(byte)),
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// A person's tiers, in the time of the video called `video`.
fn human(path: &Path, names: &[String], video: &str) -> Result<Vec<HumanTier>, Failure> {
    let document = eaf::read_for(path, Some(video))?;
    let vocabulary = Vocabulary::default();
    if let Some(absent) = names.iter().find(|name| document.tiers.iter().all(|tier| tier.id != **name)) {
        let known: Vec<&str> = document.tiers.iter().map(|tier| tier.id.as_str()).collect();
        let path = path.display();
        return Err(Failure::Usage(format!("{path}: has no tier '{absent}'; its tiers: {}", known.join(", "))));
    }
    let class_of = |value: &str| vocabulary.class_of(value).ok().flatten();
    let has_classes = |tier: &&eaf::Tier| tier.annotations.iter().any(|a| class_of(&a.value).is_some());
    let some: Vec<&eaf::Tier> = match names {
        [] if document.tiers.iter().any(|tier| has_classes(&tier)) => {
            document.tiers.iter().filter(has_classes).collect()
        }
        [] => document.tiers.iter().filter(|tier| !tier.annotations.is_empty()).collect(),
        names => document.tiers.iter().filter(|tier| names.contains(&tier.id)).collect(),
    };
    let tiers = some.into_iter().take(MOST_TIERS).map(|tier| HumanTier {
        name: tier.id.clone(),
        annotations: tier
            .annotations
            .iter()
            .map(|a| (a.start_ms, a.end_ms, a.value.clone(), class_of(&a.value)))
            .collect(),
    });
    Ok(tiers.collect())
}

//! `annotate review LABELS.json`: a page to look and correct. `annotate review FOLDER`: such pages and an index over them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;

use super::Failure;
use super::shared::ReplaceArguments;
use crate::agree::Vocabulary;
use crate::eaf;
use crate::files;
use crate::model::{Model, registry};
use crate::review::{
    self, Committee, CommitteeAnswers, CommitteeError, Correction, HumanTier, Index, IndexEntry, Page, QueueItem,
    Queued, relative_url, video_of,
};
use crate::timeline::{Expression, Timeline};

/// Arguments of `annotate review`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The annotation; or a folder of annotations: each gets its page, and the folder an index of what is reviewed; or the
    /// disagreements.csv of `annotate adapt`: each of its videos gets a page, and a list opens them where they are worth a second look
    #[arg(value_name = "LABELS.json|FOLDER|disagreements.csv")]
    labels: PathBuf,
    /// The page to write; beside the annotation, as .html, if not given
    #[arg(short, long, value_name = "PAGE.html")]
    output: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// The video, where it is not where it was annotated
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// Write a small copy of the video beside the page and show that: for formats that browsers do not play
    #[arg(long)]
    proxy: bool,
    /// A person's annotation, shown below
    #[arg(long, value_name = "HUMAN.eaf")]
    human: Option<PathBuf>,
    /// Its tiers to show; if not given, those with words for expressions, else the first ones
    #[arg(long = "tier", value_name = "NAME", requires = "human")]
    tiers: Vec<String>,
    /// Hide the labels, for an independent annotation of all of the video or of a random share of it, above 0 and up to 1
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "1")]
    blind: Option<f64>,
    /// The page's language; the browser's if not given
    #[arg(long, value_parser = ["en", "de"])]
    language: Option<String>,
    /// Of a folder: also a list, queue.html, of the N stretches (50 if not said) whose review would teach most: where the model was
    /// unsure, where the label is rare, where --against or --committee say something else
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "50")]
    queue: Option<usize>,
    /// With --queue: a folder of other annotations of the same videos, such as another model's
    #[arg(long, value_name = "FOLDER", requires = "queue")]
    against: Option<PathBuf>,
    /// With --queue: a model that `annotate adapt` made; the models of its folds are asked about each segment, and those come first
    /// about which they differ. Decodes the videos
    #[arg(long, value_name = "MODEL", requires = "queue")]
    committee: Option<PathBuf>,
}

/// An annotation of a folder.
struct FolderAnnotation {
    name: String,
    path: PathBuf,
    html: PathBuf,
    timeline: Timeline,
}

impl FolderAnnotation {
    /// Its file's name; its video's, where the file is called after what the video holds.
    fn shown_name(&self) -> String {
        let is_digest = |stem: &str| stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
        match self.path.file_stem().is_some_and(|stem| is_digest(&stem.to_string_lossy())) {
            true => media_name(&self.timeline),
            false => self.name.clone(),
        }
    }
}

/// The file name of an annotation's video.
fn media_name(timeline: &Timeline) -> String {
    Path::new(&timeline.media.path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// More tiers than this would push ours off the screen.
const MOST_TIERS: usize = 6;
/// Folders are not followed deeper.
const DEEPEST: usize = 16;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(share) = arguments.blind.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        return Err(Failure::Usage(format!("--blind {share}: a share lies above 0 and is at most 1")));
    }
    if arguments.labels.is_dir() {
        return index(arguments);
    }
    if arguments.queue.is_some() {
        return Err(Failure::Usage("--queue goes with a folder of annotations".into()));
    }
    if arguments.labels.extension().is_some_and(|extension| extension == "csv") {
        return second_look(arguments);
    }
    let timeline = Timeline::read(&arguments.labels)?;
    let output = arguments.output.clone().unwrap_or_else(|| arguments.labels.with_extension("html"));
    page(arguments, &arguments.labels, &timeline, &output)?;
    talk!("{}", output.display());
    Ok(())
}

fn page(arguments: &Arguments, labels: &Path, timeline: &Timeline, output: &Path) -> Result<(), Failure> {
    let video = arguments.video.clone().unwrap_or_else(|| video_of(timeline, labels));
    let read = [Some(labels), Some(video.as_path()), arguments.human.as_deref()];
    files::refuse_inputs(output, read.into_iter().flatten())?;
    if !video.is_file() {
        say(&format!("{}: the video is not there; the page will show none (see --video)", video.display()));
    } else if !arguments.proxy && !is_played(&timeline.media.container, &timeline.media.codec) {
        let kind = format!("{} in {}", timeline.media.codec, timeline.media.container);
        say(&format!("{}: browsers do not play {kind}; --proxy makes a copy that they do", video.display()));
    }
    let human = match &arguments.human {
        Some(path) => human(path, &arguments.tiers, &timeline.media.path)?,
        None => Vec::new(),
    };
    // The copy begins with the first frame.
    let (video_url, start_s) = match arguments.proxy {
        true => (
            relative_url(&proxy(&video, timeline, output, arguments.replace)?, output),
            timeline.frames.time_s.first().copied().unwrap_or(0.0),
        ),
        false => (relative_url(&video, output), timeline.media.start_s),
    };
    let page = Page {
        timeline,
        labels: labels.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        video_url,
        start_s,
        blind: arguments.blind,
        human,
        language: arguments.language.clone(),
    };
    Ok(arguments.replace.existing().put(output, |out| page.write(out))?)
}

fn say(text: &str) {
    let line = Failure::Input(text.into());
    tracing::warn!("{line}");
    talk!("annotate: {line}");
}

/// Writes the copy for browsers beside the page.
fn proxy(video: &Path, timeline: &Timeline, page: &Path, replace: ReplaceArguments) -> Result<PathBuf, Failure> {
    let path = page.with_extension("proxy.mp4");
    review::proxy(video, timeline, review::decode_options(timeline), &path, replace.existing())?;
    talk!("{}", path.display());
    Ok(path)
}

/// Whether today's browsers play the format. FFmpeg's names.
fn is_played(container: &str, codec: &str) -> bool {
    let is_container = ["mp4", "webm", "ogg"].iter().any(|known| container.split(',').any(|name| name == *known));
    is_container && ["h264", "vp8", "vp9", "av1", "theora", "hevc"].contains(&codec)
}

/// Pages for all annotations under a folder, and an index over them.
fn index(arguments: &Arguments) -> Result<(), Failure> {
    let folder = &arguments.labels;
    if arguments.video.is_some() || arguments.human.is_some() {
        return Err(Failure::Usage("--video and --human go with one annotation, not with a folder".into()));
    }
    let output = arguments.output.clone().unwrap_or_else(|| folder.join("index.html"));
    let files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .max_depth(DEEPEST)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    let corrections: Vec<(PathBuf, Vec<Correction>)> = files.iter().filter_map(|path| saved(path)).collect();
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    let mut read: Vec<FolderAnnotation> = Vec::new();
    for path in files.iter().filter(|path| is_annotation(path) && !is_superseded(path, &files)) {
        let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
        let timeline = match Timeline::read(path) {
            Ok(timeline) => timeline,
            Err(error) => {
                refused.push((name, error.to_string()));
                continue;
            }
        };
        let html = path.with_extension("html");
        page(arguments, path, &timeline, &html)?;
        let mut entry = IndexEntry::new(name, relative_url(&html, &output), &timeline);
        entry.waiting = waiting(&timeline, path, &corrections);
        if arguments.queue.is_some() {
            read.push(FolderAnnotation { name: entry.name.clone(), path: path.clone(), html, timeline });
        }
        entries.push(entry);
    }
    if entries.is_empty() && refused.is_empty() {
        return Err(Failure::Input(format!("{}: holds no annotation (labels.json)", folder.display())));
    }
    let title = folder.canonicalize().unwrap_or_else(|_| folder.clone());
    let title = title.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (_, reason) in &refused {
        say(reason);
    }
    let index = Index { title, entries, refused, language: arguments.language.clone() };
    arguments.replace.existing().put(&output, |out| index.write(out))?;
    let (done, all) = index.entries.iter().fold((0, 0), |sum, e| (sum.0 + e.reviewed[0], sum.1 + e.reviewed[1]));
    talk!("{}: {} annotations, {done} of {all} segments reviewed", output.display(), index.entries.len());
    match arguments.queue {
        Some(most) => list(arguments, &read, most),
        None => Ok(()),
    }
}

/// The list of what is worth reviewing first, beside the index.
fn list(arguments: &Arguments, read: &[FolderAnnotation], most: usize) -> Result<(), Failure> {
    let output = arguments.labels.join("queue.html");
    let other = |name: &str| {
        let path = arguments.against.as_ref()?.join(name);
        path.is_file().then(|| Timeline::read(&path)).transpose().ok()?
    };
    let others: Vec<Option<Timeline>> = read.iter().map(|read| other(&read.name)).collect();
    if arguments.against.is_some() && others.iter().all(Option::is_none) {
        let folder = arguments.against.as_deref().unwrap_or(Path::new("")).display();
        return Err(Failure::Input(format!(
            "--against {folder}: holds no annotation of the same name as one of these"
        )));
    }
    let answers = match &arguments.committee {
        Some(model) => asked(&committee(model)?, read)?,
        None => vec![None; read.len()],
    };
    let queued: Vec<Queued> = read
        .iter()
        .zip(&others)
        .zip(&answers)
        .map(|((read, other), answers)| Queued {
            name: read.shown_name(),
            page: relative_url(&read.html, &output),
            timeline: &read.timeline,
            other: other.as_ref(),
            committee: answers.as_ref(),
        })
        .collect();
    let items = review::queue(&queued, most);
    put_list(arguments, "What to review first", &items, &output)
}

/// The models of the folds of an adapted model.
fn committee(model: &Path) -> Result<Committee, Failure> {
    let folds = model.join(registry::FOLDS);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&folds)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect())
        .unwrap_or_default();
    folders.sort();
    let models = folders.iter().map(|path| Ok(registry::open(path, &Device::Cpu)?));
    let models = models.collect::<Result<Vec<Model>, Failure>>()?;
    Committee::of(models).map_err(|error| {
        let hint = "`annotate adapt` leaves the models of its folds there";
        Failure::Configuration(format!("--committee {}: {error}; {hint}", folds.display()))
    })
}

/// What a committee says about annotations whose videos are there.
fn asked(committee: &Committee, read: &[FolderAnnotation]) -> Result<Vec<Option<CommitteeAnswers>>, Failure> {
    let mut answers = Vec::new();
    for FolderAnnotation { name, path, timeline, .. } in read {
        let video = video_of(timeline, path);
        if !video.is_file() {
            say(&format!("{}: the video is not there; the committee is not asked about {name}", video.display()));
            answers.push(None);
            continue;
        }
        match committee.ask(timeline, &video) {
            Ok(of_video) => answers.push(Some(of_video)),
            Err(CommitteeError::Decode(error)) => {
                say(&format!("{name}: {error}"));
                answers.push(None);
            }
            Err(error) => return Err(anyhow::Error::from(error).into()),
        }
    }
    Ok(answers)
}

fn put_list(arguments: &Arguments, title: &str, items: &[QueueItem], output: &Path) -> Result<(), Failure> {
    arguments.replace.existing().put(output, |out| review::write_queue(title, items, out))?;
    talk!("{}: {} stretches", output.display(), items.len());
    Ok(())
}

/// A line of `disagreements.csv`, as far as it is used.
#[derive(Debug, serde::Deserialize)]
struct Disagreement {
    sequence: String,
    subject: String,
    frame: Option<usize>,
    annotator: Expression,
    model: Expression,
    of_annotators: f64,
}

/// Pages for the videos that a list of disagreements names, and a page that opens them where these are.
fn second_look(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.labels;
    let unusable = |reason: String| Failure::Input(format!("{}: {reason}", path.display()));
    let folder = path.with_extension("review");
    let output = arguments.output.clone().unwrap_or_else(|| folder.join("index.html"));
    let timelines = path.with_file_name("adapt").join("manifest.pictures/timelines");
    let mut reader = files::table::open(path, csv::Trim::All).map_err(|e| unusable(e.to_string()))?;
    let mut pages: BTreeMap<String, Option<(PathBuf, Timeline)>> = BTreeMap::new();
    let (mut items, mut elsewhere) = (Vec::new(), 0);
    for row in reader.deserialize() {
        let row: Disagreement = row.map_err(|e| unusable(e.to_string()))?;
        if !pages.contains_key(&row.sequence) {
            pages.insert(row.sequence.clone(), opened(arguments, &timelines, &row.sequence, &folder)?);
        }
        let (Some(Some((html, timeline))), Some(frame)) = (pages.get(&row.sequence), row.frame) else {
            elsewhere += 1;
            continue;
        };
        if frame >= timeline.frames.time_s.len() {
            elsewhere += 1;
            continue;
        }
        let span_s = timeline.frame_in_player_time(frame).map(|time| time.0);
        items.push(QueueItem {
            name: media_name(timeline),
            page: relative_url(html, &output),
            signer: row.subject.rsplit('@').next().unwrap_or_default().to_owned(),
            frame,
            span_s,
            label: row.annotator,
            why: format!("the model says {}, and gives the label {:.0} %", row.model.name(), 100.0 * row.of_annotators),
            score: 1.0 - row.of_annotators,
        });
    }
    if items.is_empty() {
        return Err(unusable(format!(
            "no video of its {elsewhere} pictures is known; pictures of a manifest have none"
        )));
    }
    if elsewhere > 0 {
        say(&format!("{}: of {elsewhere} pictures no video is known", path.display()));
    }
    put_list(arguments, "Worth a second look", &items, &output)
}

/// The review page of the video with this digest, where what was seen in it is kept.
fn opened(
    arguments: &Arguments,
    timelines: &Path,
    sequence: &str,
    folder: &Path,
) -> Result<Option<(PathBuf, Timeline)>, Failure> {
    let is_digest = sequence.len() == 64 && sequence.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = timelines.join(format!("{sequence}.json"));
    if !is_digest || !path.is_file() {
        return Ok(None);
    }
    let timeline = Timeline::read(&path)?;
    std::fs::create_dir_all(folder).map_err(|e| Failure::Output(format!("{}: {e}", folder.display())))?;
    let html = folder.join(format!("{sequence:.12}.html"));
    page(arguments, &path, &timeline, &html)?;
    Ok(Some((html, timeline)))
}

/// Whether a file says at its beginning that it is a timeline.
fn is_annotation(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json") && begins_with(path, "annotate/timeline/")
}

fn begins_with(path: &Path, mark: &str) -> bool {
    let Ok(file) = files::open_found(path) else { return false };
    let mut head = Vec::new();
    file.take(300).read_to_end(&mut head).is_ok() && String::from_utf8_lossy(&head).contains(mark)
}

/// Whether the corrected annotation lies beside the one it was made from.
fn is_superseded(path: &Path, files: &[PathBuf]) -> bool {
    let corrected = path.with_extension("corrected.json");
    files.contains(&corrected) && is_annotation(&corrected)
}

/// The corrections in a file, if it is one that can be read.
fn saved(path: &Path) -> Option<(PathBuf, Vec<Correction>)> {
    let is_it =
        path.extension().is_some_and(|extension| extension == "jsonl") && begins_with(path, "annotate/correction/");
    let read = review::read_corrections(path).ok().filter(|_| is_it)?;
    Some((path.to_owned(), read.into_iter().map(|numbered| numbered.correction).collect()))
}

/// Files of corrections of this video whose operations are not in the annotation, with how many.
fn waiting(timeline: &Timeline, labels: &Path, files: &[(PathBuf, Vec<Correction>)]) -> Vec<(String, usize)> {
    let operations = timeline.corrections.iter().flat_map(|corrections| &corrections.operations);
    let known: Vec<&str> = operations.map(|operation| operation.id.as_str()).collect();
    let is_of_it = |path: &Path, media: Option<&str>| match (media, timeline.media.sha256.as_deref()) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => path.parent() == labels.parent(),
    };
    let open = files.iter().filter_map(|(path, corrections)| {
        let is_open = |c: &&Correction| is_of_it(path, c.media_sha256()) && !known.contains(&c.id().as_str());
        let count = corrections.iter().filter(is_open).count();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (count > 0).then_some((name, count))
    });
    open.collect()
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

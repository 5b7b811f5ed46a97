//! `annotate agree A B`: how far two annotations of one video agree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::shared::ReplaceArguments;
use crate::agree::{
    self, Agreement, AgreementOptions, AnnotationLayer, CurveCounts, EventCounts, EventLayer, Grid, MOST_PAIRS,
    Measures, NotCompared, PairKind, TooMuch, Video, Vocabulary,
};
use crate::eaf;
use crate::files;
use crate::timeline::{ReviewLayer, Timeline};

/// Arguments of `annotate agree`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// An annotation: labels.json or .eaf; or a folder of them
    a: PathBuf,
    /// Another one of the same video; or a folder of files with the same names but for the endings
    b: PathBuf,
    /// The tier to compare; a second --tier names the second annotation's, where it is called otherwise. Without it, all
    /// tiers that both have: expression@..., and those of what the face does (brows@..., eyes@..., mouth@..., head@...,
    /// hands-on-face@...), which are compared event by event. A labels.json has the tiers expression@A, expression@B, ...; where it has one
    /// signer, it needs no --tier of its own
    #[arg(long = "tier", value_name = "NAME")]
    tiers: Vec<String>,
    /// A CSV of word,class for labels in other words ('-' leaves a word out)
    #[arg(long, value_name = "MAP.csv")]
    map: Option<PathBuf>,
    /// Frames per second, where neither annotation is a labels.json that says
    #[arg(long, value_name = "RATE", default_value_t = 25.0)]
    fps: f64,
    /// Share of the longer of two segments that must overlap for them to count as the same
    #[arg(long, value_name = "SHARE", default_value_t = 0.6)]
    overlap: f64,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// Report to write: .json, .md or .html; may be repeated
    #[arg(short, long = "output", value_name = "FILE")]
    outputs: Vec<PathBuf>,
    /// Print the report as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// An annotation as it was read.
enum ReadAnnotation {
    Timeline(Box<Timeline>),
    Document(eaf::Document),
}

impl ReadAnnotation {
    /// Both annotations; a document's times are those of the other's video.
    fn read_both(a: &Path, b: &Path) -> Result<(Self, Self), Failure> {
        let read = (Self::read(a, None)?, Self::read(b, None)?);
        Ok(match read {
            (Self::Timeline(timeline), Self::Document(_)) => {
                let document = Self::read(b, Some(&timeline.media.path))?;
                (Self::Timeline(timeline), document)
            }
            (Self::Document(_), Self::Timeline(timeline)) => {
                let document = Self::read(a, Some(&timeline.media.path))?;
                (document, Self::Timeline(timeline))
            }
            both => both,
        })
    }

    fn read(path: &Path, video: Option<&str>) -> Result<Self, Failure> {
        let is_eaf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eaf"));
        match is_eaf {
            true => Ok(Self::Document(eaf::read_for(path, video)?)),
            false => Ok(Self::Timeline(Box::new(Timeline::read(path)?))),
        }
    }

    fn layers(&self, vocabulary: &Vocabulary) -> Vec<AnnotationLayer> {
        match self {
            Self::Timeline(timeline) => {
                timeline.tracks.iter().map(|track| AnnotationLayer::of_track(timeline, track)).collect()
            }
            Self::Document(document) => {
                document.tiers.iter().map(|tier| AnnotationLayer::of_tier(tier, vocabulary)).collect()
            }
        }
    }

    /// Tiers of what the face does.
    fn event_layers(&self) -> Vec<EventLayer> {
        match self {
            Self::Document(document) => document.tiers.iter().filter_map(EventLayer::of_tier).collect(),
            // Whoever labels without seeing the program's labels labels expressions: the events are the program's.
            Self::Timeline(timeline) if is_blind(timeline) => Vec::new(),
            Self::Timeline(timeline) => {
                let parts = timeline.measured_parts();
                let of_track = |track| parts.iter().map(move |part| EventLayer::of_track(timeline, track, *part));
                timeline.tracks.iter().flat_map(of_track).collect()
            }
        }
    }

    fn is_timeline(&self) -> bool {
        matches!(self, Self::Timeline(_))
    }
}

fn is_blind(timeline: &Timeline) -> bool {
    timeline.corrections.as_ref().is_some_and(|corrections| corrections.layer == ReviewLayer::Blind)
}

/// Two annotations of one video, with the tiers that are compared.
struct Compared {
    pairs: Vec<(AnnotationLayer, AnnotationLayer)>,
    grid: Grid,
    grid_name: String,
    /// Tiers of expressions that only one has.
    unpaired: Vec<String>,
}

/// What faces do in two annotations, over all videos.
#[derive(Default)]
struct Faces {
    events: EventCounts,
    curves: CurveCounts,
    /// Words on compared tiers of events that name none.
    unknown: BTreeMap<String, usize>,
}

/// Tiers that messages name.
const NAMED: usize = 20;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !(arguments.overlap > 0.5 && arguments.overlap <= 1.0) {
        return Err(Failure::Usage(format!("--overlap {} is not above 0.5 and at most 1", arguments.overlap)));
    }
    if !(arguments.fps > 0.0 && arguments.fps <= 1000.0) {
        return Err(Failure::Usage(format!("--fps {} is not above 0 and at most 1000", arguments.fps)));
    }
    let read = [Some(&arguments.a), Some(&arguments.b), arguments.map.as_ref()];
    for path in &arguments.outputs {
        files::refuse_inputs(path, read.into_iter().flatten().map(PathBuf::as_path))?;
    }
    let reports = arguments.outputs.iter().map(|path| report(path)).collect::<Result<Vec<_>, _>>()?;
    let vocabulary = match &arguments.map {
        Some(path) => Vocabulary::read(path)?,
        None => Vocabulary::default(),
    };
    let agreement = match [&arguments.a, &arguments.b].map(|path| path.is_dir()) {
        [true, true] => of_folders(arguments, &vocabulary)?,
        [false, false] => of_files(arguments, &vocabulary)?,
        [is_folder, _] => {
            let (folder, file) = if is_folder { (&arguments.a, &arguments.b) } else { (&arguments.b, &arguments.a) };
            let reason = "give two files of one video, or two folders";
            return Err(Failure::Usage(format!(
                "{} is a folder and {} is not; {reason}",
                folder.display(),
                file.display()
            )));
        }
    };
    for (path, render) in arguments.outputs.iter().zip(reports) {
        let text = render(&agreement)?;
        arguments.replace.existing().put(path, |out| out.write_all(text.as_bytes()))?;
    }
    match arguments.json {
        true => super::print(json(&agreement)?.as_bytes()),
        false => super::print_text(&agree::text(&agreement)),
    }
}

fn of_files(arguments: &Arguments, vocabulary: &Vocabulary) -> Result<Agreement, Failure> {
    let mut faces = Faces::default();
    let paths = [&*arguments.a, &*arguments.b];
    let Compared { pairs, grid, grid_name, unpaired } = compared(arguments, paths, vocabulary, &mut faces)?;
    let options = AgreementOptions { overlap: arguments.overlap, ..AgreementOptions::default() };
    let measured = agree::compare(&pairs, &grid, &options)?;
    let left_out = NotCompared { unpaired, ..NotCompared::default() };
    Ok(agreement(arguments, options, measured, &pairs, &faces, left_out, PairKind::Signer, grid_name))
}

fn of_folders(arguments: &Arguments, vocabulary: &Vocabulary) -> Result<Agreement, Failure> {
    let [files_a, files_b] = [files(&arguments.a)?, files(&arguments.b)?];
    let only = |files: &BTreeMap<String, PathBuf>, others: &BTreeMap<String, PathBuf>| -> Vec<String> {
        let alone = files.iter().filter(|(stem, _)| !others.contains_key(*stem));
        alone.map(|(_, path)| path.display().to_string()).collect()
    };
    let unpaired = [only(&files_a, &files_b), only(&files_b, &files_a)].concat();
    let mut videos: Vec<Video> = Vec::new();
    let mut faces = Faces::default();
    let mut left_out = NotCompared { unpaired, ..NotCompared::default() };
    for (stem, a) in &files_a {
        let Some(b) = files_b.get(stem) else { continue };
        let Compared { pairs, grid, unpaired, .. } = compared(arguments, [a, b], vocabulary, &mut faces)?;
        left_out.unpaired.extend(unpaired.into_iter().map(|tier| format!("{stem}: {tier}")));
        videos.push((stem.clone(), pairs, grid));
    }
    if videos.is_empty() {
        let [a, b] = [&arguments.a, &arguments.b].map(|path| path.display());
        let reason = "no annotation (.json, .eaf) in the one is called as one in the other";
        return Err(Failure::Usage(format!(
            "{a} and {b}: {reason}; found only in one: {}",
            agree::named(&left_out.unpaired, NAMED)
        )));
    }
    let options = AgreementOptions { overlap: arguments.overlap, ..AgreementOptions::default() };
    let measured = agree::compare_videos(&videos, &options)?;
    let grid = format!("frames as in the labels.json of each video, else {} per second", arguments.fps);
    let pairs: Vec<(AnnotationLayer, AnnotationLayer)> = videos.into_iter().flat_map(|(_, pairs, _)| pairs).collect();
    Ok(agreement(arguments, options, measured, &pairs, &faces, left_out, PairKind::Video, grid))
}

/// The annotations in a folder by their names without endings; of an .eaf and a .json of one name, a person's .eaf.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let unreadable = |e: std::io::Error| Failure::Input(format!("{}: {e}", folder.display()));
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = [".eaf", ".json"].iter().find(|ending| name.to_ascii_lowercase().ends_with(*ending));
        let (Some(ending), false) = (ending, name.starts_with('.')) else { continue };
        // `failures.json`, `x.failed.json` and their like stand beside what a batch wrote.
        if ["failures.json", "batch.json"].contains(&&*name) || name.ends_with(".failed.json") {
            continue;
        }
        let stem = name[..name.len() - ending.len()].to_owned();
        if *ending == ".eaf" || !found.contains_key(&stem) {
            found.insert(stem, path);
        }
    }
    Ok(found)
}

#[expect(clippy::too_many_arguments, reason = "they are the fields of what is made")]
fn agreement(
    arguments: &Arguments,
    options: AgreementOptions,
    (pairs, pooled): (Vec<Measures>, Measures),
    layers: &[(AnnotationLayer, AnnotationLayer)],
    faces: &Faces,
    mut left_out: NotCompared,
    part: PairKind,
    grid: String,
) -> Agreement {
    let mut unknown = faces.unknown.clone();
    for layer in layers.iter().flat_map(|(a, b)| [a, b]) {
        left_out.add(layer);
        for (word, count) in &layer.unknown {
            *unknown.entry(word.clone()).or_default() += count;
        }
    }
    Agreement {
        a: arguments.a.display().to_string(),
        b: arguments.b.display().to_string(),
        options,
        grid,
        pairs,
        pooled,
        events: faces.events.agreement(),
        curves: faces.curves.agreement(),
        unknown_labels: unknown.into_iter().collect(),
        part,
        left_out,
    }
}

/// Reads two annotations of one video and pairs their tiers.
fn compared(
    arguments: &Arguments,
    paths: [&Path; 2],
    vocabulary: &Vocabulary,
    faces: &mut Faces,
) -> Result<Compared, Failure> {
    let (a, b) = ReadAnnotation::read_both(paths[0], paths[1])?;
    let annotations = [a, b];
    let layers = [0, 1].map(|side| annotations[side].layers(vocabulary));
    let events = event_pairs(&arguments.tiers, &annotations);
    let (pairs, unpaired) = match &arguments.tiers[..] {
        [] => common(paths, layers, !events.is_empty())?,
        _ if !events.is_empty() => Default::default(),
        names => (vec![of_names(names, paths, &annotations, layers)?], Vec::new()),
    };
    for layer in pairs.iter().flat_map(|(a, b)| [a, b]).filter(|layer| layer.overlapping > 0) {
        let (name, count) = (&layer.name, layer.overlapping);
        tracing::warn!("tier {name}: {count} annotation(s) overlap one ahead of them; the later one counts");
    }
    let (grid, grid_name) = grid(arguments.fps, paths, &annotations, &pairs, &events);
    for (a, b) in &events {
        faces.events.add(a, b, &grid);
        for (word, count) in a.unknown.iter().chain(&b.unknown) {
            *faces.unknown.entry(word.clone()).or_default() += count;
        }
    }
    if let ([ReadAnnotation::Timeline(a), ReadAnnotation::Timeline(b)], true) =
        (&annotations, arguments.tiers.is_empty())
    {
        for track in &a.tracks {
            if let Some(other) = b.tracks.iter().find(|other| other.signer() == track.signer()) {
                faces.curves.add((a, track), (b, other));
            }
        }
    }
    Ok(Compared { pairs, grid, grid_name, unpaired })
}

/// The tiers of events that both have under one name, or that --tier names.
fn event_pairs(names: &[String], annotations: &[ReadAnnotation; 2]) -> Vec<(EventLayer, EventLayer)> {
    let [a, b] = annotations.each_ref().map(ReadAnnotation::event_layers);
    let name_in_b = |name: &str| match names {
        [] => Some(name.to_owned()),
        [only] => Some(only.clone()).filter(|only| only == name),
        [first, second] => Some(second.clone()).filter(|_| first == name),
        _ => None,
    };
    let of_b: HashMap<&str, &EventLayer> = b.iter().map(|layer| (layer.name.as_str(), layer)).collect();
    let pair = |layer: EventLayer| {
        let other = *of_b.get(name_in_b(&layer.name)?.as_str())?;
        Some((layer, other.clone()))
    };
    a.into_iter().filter_map(pair).take(MOST_PAIRS).collect()
}

type Render = fn(&Agreement) -> Result<String, Failure>;

/// How the report at `path` is made, by its extension.
fn report(path: &Path) -> Result<Render, Failure> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "json" => Ok(json),
        "md" => Ok(|agreement| Ok(agree::markdown(agreement))),
        "html" => Ok(|agreement| Ok(agree::html(agreement))),
        _ => Err(Failure::Usage(format!("{}: a report is written as .json, .md or .html", path.display()))),
    }
}

fn json(agreement: &Agreement) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(agreement).map_err(|e| Failure::Unforeseen(e.into()))?;
    Ok(text + "\n")
}

/// The tiers that --tier names.
fn of_names(
    names: &[String],
    paths: [&Path; 2],
    annotations: &[ReadAnnotation; 2],
    layers: [Vec<AnnotationLayer>; 2],
) -> Result<(AnnotationLayer, AnnotationLayer), Failure> {
    let [name_a, name_b] = match names {
        [name] => [name, name],
        [first, second] => [first, second],
        _ => return Err(Failure::Usage("--tier names a tier of each annotation: it is given once or twice".into())),
    };
    let is_given_once = names.len() == 1;
    let [a, b] = layers;
    let one = |side: usize, layers: Vec<AnnotationLayer>, name: &str| {
        let lacks = !layers.iter().any(|layer| layer.name == name);
        let is_only = layers.len() == 1 && annotations[side].is_timeline();
        match layers.into_iter() {
            mut only if is_given_once && lacks && is_only => Ok(only.next().unwrap_or_default()),
            layers => find(layers.collect(), name, paths[side]),
        }
    };
    Ok((one(0, a, name_a)?, one(1, b, name_b)?))
}

fn find(layers: Vec<AnnotationLayer>, name: &str, path: &Path) -> Result<AnnotationLayer, Failure> {
    let known = tiers(&layers);
    let Some(layer) = layers.into_iter().find(|layer| layer.name == name) else {
        let name = name.escape_debug();
        return Err(Failure::Usage(format!("{}: has no tier '{name}'; its tiers: {known}", path.display())));
    };
    if layer.stretches.is_empty() && !layer.unknown.is_empty() {
        let word = |(word, count): (&String, &usize)| format!("'{}' ({count})", word.escape_debug());
        let words: Vec<String> = layer.unknown.iter().take(NAMED).map(word).collect();
        return Err(Failure::Input(format!(
            "{}: no label on tier '{}' stands for a class; map them with --map: {}",
            path.display(),
            name.escape_debug(),
            words.join(", ")
        )));
    }
    Ok(layer)
}

/// The names of tiers for a message.
fn tiers(layers: &[AnnotationLayer]) -> String {
    let some: Vec<String> = layers.iter().take(NAMED).map(|layer| layer.name.escape_debug().to_string()).collect();
    match (some.is_empty(), layers.len().saturating_sub(NAMED)) {
        (true, _) => "none".into(),
        (false, 0) => some.join(", "),
        (false, more) => format!("{} and {more} more", some.join(", ")),
    }
}

type Pairs = (Vec<(AnnotationLayer, AnnotationLayer)>, Vec<String>);

/// All tiers of expressions that both have, and the names of those that only one has. There must be some, unless others are
/// compared.
fn common(paths: [&Path; 2], [a, b]: [Vec<AnnotationLayer>; 2], are_others: bool) -> Result<Pairs, Failure> {
    let is_expression = |layer: &&AnnotationLayer| layer.name.starts_with("expression@");
    let of_b: HashMap<&str, &AnnotationLayer> =
        b.iter().filter(is_expression).map(|layer| (layer.name.as_str(), layer)).collect();
    let of_a: HashSet<&str> = a.iter().filter(is_expression).map(|layer| layer.name.as_str()).collect();
    let count = of_a.iter().filter(|name| of_b.contains_key(*name)).count();
    if count > MOST_PAIRS {
        return Err(TooMuch::Pairs { pairs: count }.into());
    }
    if count == 0 && !are_others {
        let [known_a, known_b] = [tiers(&a), tiers(&b)];
        let [a, b] = paths.map(Path::display);
        return Err(Failure::Usage(format!(
            "{a} and {b}: no tier expression@... is in both; name one with --tier. Tiers of {a}: {known_a}. Tiers of {b}: \
             {known_b}"
        )));
    }
    let only_a = a.iter().filter(is_expression).filter(|layer| !of_b.contains_key(layer.name.as_str()));
    let only_b = b.iter().filter(is_expression).filter(|layer| !of_a.contains(layer.name.as_str()));
    let unpaired = only_a.chain(only_b).map(|layer| layer.name.clone()).collect();
    let pairs = a.iter().filter(is_expression).filter_map(|layer| {
        let other = of_b.get(layer.name.as_str())?;
        Some((layer.clone(), (*other).clone()))
    });
    Ok((pairs.collect(), unpaired))
}

fn grid(
    fps: f64,
    paths: [&Path; 2],
    annotations: &[ReadAnnotation; 2],
    pairs: &[(AnnotationLayer, AnnotationLayer)],
    events: &[(EventLayer, EventLayer)],
) -> (Grid, String) {
    let timeline = annotations.iter().zip(paths).find_map(|(annotation, path)| match annotation {
        ReadAnnotation::Timeline(timeline) => Some((timeline, path)),
        ReadAnnotation::Document(_) => None,
    });
    if let Some((timeline, path)) = timeline {
        return (Grid::of(timeline), format!("frames as in {}", path.display()));
    }
    let stretches = pairs.iter().flat_map(|(a, b)| a.stretches.iter().chain(&b.stretches)).map(|stretch| stretch.end_s);
    let events = events.iter().flat_map(|(a, b)| a.events.iter().chain(&b.events)).map(|event| event.end_s);
    let end_s = stretches.chain(events).fold(0.0, f64::max);
    (Grid::steady(fps, end_s), format!("frames at {fps} per second"))
}

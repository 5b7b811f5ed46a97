//! `annotate agree A B`: how far two annotations of one video agree.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::shared::ReplaceArguments;
use crate::agree::{self, Agreement, Grid, Layer, Options, Vocabulary};
use crate::eaf;
use crate::files;
use crate::timeline::Timeline;

/// Arguments of `annotate agree`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// An annotation: labels.json or .eaf
    a: PathBuf,
    /// Another one of the same video
    b: PathBuf,
    /// The tier to compare; a second --tier names the second annotation's, where it is called otherwise. Without it, all
    /// tiers expression@... that both have. A labels.json has the tiers expression@A, expression@B, ...
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
enum Annotation {
    Timeline(Box<Timeline>),
    Document(eaf::Document),
}

impl Annotation {
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

    fn layers(&self, vocabulary: &Vocabulary) -> Vec<Layer> {
        match self {
            Self::Timeline(timeline) => timeline.tracks.iter().map(|track| Layer::of_track(timeline, track)).collect(),
            Self::Document(document) => document.tiers.iter().map(|tier| Layer::of_tier(tier, vocabulary)).collect(),
        }
    }
}

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
    let (a, b) = Annotation::read_both(&arguments.a, &arguments.b)?;
    let pairs = pairs(arguments, a.layers(&vocabulary), b.layers(&vocabulary))?;
    for layer in pairs.iter().flat_map(|(a, b)| [a, b]).filter(|layer| layer.overlapping > 0) {
        let (name, count) = (&layer.name, layer.overlapping);
        tracing::warn!("tier {name}: {count} annotation(s) overlap the one ahead of them; the later one counts");
    }
    let (grid, grid_name) = grid(arguments, &a, &b, &pairs)?;
    let options = Options { overlap: arguments.overlap, ..Options::default() };
    let (measures, pooled) = agree::compare(&pairs, &grid, &options)?;
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for (word, count) in pairs.iter().flat_map(|(a, b)| a.unknown.iter().chain(&b.unknown)) {
        *unknown.entry(word.clone()).or_default() += count;
    }
    let agreement = Agreement {
        a: arguments.a.display().to_string(),
        b: arguments.b.display().to_string(),
        options,
        grid: grid_name,
        pairs: measures,
        pooled,
        unknown_labels: unknown.into_iter().collect(),
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

/// The tiers to compare with one another.
fn pairs(arguments: &Arguments, a: Vec<Layer>, b: Vec<Layer>) -> Result<Vec<(Layer, Layer)>, Failure> {
    let [name_a, name_b] = match &arguments.tiers[..] {
        [] => return common(arguments, a, &b),
        [name] => [name, name],
        [first, second] => [first, second],
        _ => return Err(Failure::Usage("--tier names a tier of each annotation: it is given once or twice".into())),
    };
    Ok(vec![(find(a, name_a, &arguments.a)?, find(b, name_b, &arguments.b)?)])
}

fn find(layers: Vec<Layer>, name: &str, path: &Path) -> Result<Layer, Failure> {
    let known: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
    let layer = layers.into_iter().find(|layer| layer.name == name);
    let layer = layer.ok_or_else(|| absent(path, &format!("has no tier '{name}'"), &known))?;
    if layer.stretches.is_empty() && !layer.unknown.is_empty() {
        let words: Vec<String> = layer.unknown.iter().map(|(word, count)| format!("'{word}' ({count})")).collect();
        return Err(Failure::Input(format!(
            "{}: no label on tier '{name}' stands for a class; map them with --map: {}",
            path.display(),
            words.join(", ")
        )));
    }
    Ok(layer)
}

fn absent(path: &Path, what: &str, known: &[String]) -> Failure {
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Failure::Usage(format!("{}: {what}; its tiers: {known}", path.display()))
}

/// All tiers of expressions that both have.
fn common(arguments: &Arguments, a: Vec<Layer>, b: &[Layer]) -> Result<Vec<(Layer, Layer)>, Failure> {
    let known: Vec<String> = b.iter().map(|layer| layer.name.clone()).collect();
    let by_name: HashMap<&str, &Layer> = b.iter().rev().map(|layer| (layer.name.as_str(), layer)).collect();
    let ours = a.into_iter().filter(|layer| layer.name.starts_with("expression@"));
    let pairs: Vec<(Layer, Layer)> =
        ours.filter_map(|layer| by_name.get(layer.name.as_str()).map(|other| (layer, (*other).clone()))).collect();
    match pairs.is_empty() {
        true => {
            Err(absent(&arguments.b, "has no tier expression@... that the other has; name one with --tier", &known))
        }
        false => Ok(pairs),
    }
}

fn grid(
    arguments: &Arguments,
    a: &Annotation,
    b: &Annotation,
    pairs: &[(Layer, Layer)],
) -> Result<(Grid, String), Failure> {
    let timeline = [(a, &arguments.a), (b, &arguments.b)].into_iter().find_map(|(annotation, path)| match annotation {
        Annotation::Timeline(timeline) => Some((timeline, path)),
        Annotation::Document(_) => None,
    });
    if let Some((timeline, path)) = timeline {
        return Ok((Grid::of(timeline), format!("frames as in {}", path.display())));
    }
    let stretches = pairs.iter().flat_map(|(a, b)| a.stretches.iter().chain(&b.stretches));
    let end_s = stretches.map(|stretch| stretch.end_s).fold(0.0, f64::max);
    Ok((Grid::steady(arguments.fps, end_s)?, format!("frames at {} per second", arguments.fps)))
}

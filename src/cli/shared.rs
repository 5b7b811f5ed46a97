//! Options that several commands have in common.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;
use serde_json::{Map, Value, json};

use super::Failure;
use super::choice::choice;
use super::device::DeviceChoice;
use super::progress::ProgressChoice;
use super::range::moment;
use super::settings::{Home, Options};
use crate::eaf::BundleOptions;
use crate::eaf::preset::Preset;
use crate::files::OutputOptions;
use crate::infer::Precision;
use crate::model::{Model, registry};
use crate::pipeline::decode::Deinterlace;
use crate::pipeline::detect::{DetectorName, Detectors};
use crate::pipeline::neutral::{NeutralChoice, pooled};
use crate::pipeline::track::Latency;
use crate::timeline::{MeasureGroup, Timeline};
use crate::write::Format;

/// What changes the result.
#[derive(Debug, Args)]
pub(super) struct AnnotationArguments {
    /// A built-in model's name or a model directory; default if not given
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<PathBuf>,
    #[command(flatten)]
    detector: DetectorArguments,
    /// Numbers the network is computed with; bf16 is faster, and coarser, where the CPU has AVX512-BF16; a card has f16 as well. auto is f32
    #[arg(long, value_parser = choice::<Precision>())]
    precision: Option<Precision>,
    /// When interlaced pictures are deinterlaced; auto, where they say so, if not given
    #[arg(long, value_parser = choice::<Deinterlace>())]
    deinterlace: Option<Deinterlace>,
    /// Smallest face looked for, as a share of the picture's shorter side; 0.1 if not given
    #[arg(long, value_name = "SHARE", value_parser = finite, allow_negative_numbers = true)]
    min_face: Option<f64>,
    /// Most faces followed at a time; 8 if not given
    #[arg(long, value_name = "N")]
    max_faces: Option<usize>,
    /// Whether frames wait 0.4 s for later ones, which steadies boxes and bridges gaps (normal, if not given); low for
    /// live pictures
    #[arg(long, value_parser = choice::<Latency>())]
    latency: Option<Latency>,
    /// Share of a face, or of its eyes, nose or mouth, from which it counts as covered, and gets no label; 0.2 if not given
    #[arg(long, value_name = "SHARE", value_parser = finite, allow_negative_numbers = true)]
    occluded_above: Option<f64>,
    /// What is measured on faces: all, none, or some of head, brows, eyes, mouth, hands
    #[arg(long, value_name = "all|none|LIST", value_parser = measures)]
    measures: Option<MeasureGroups>,
    /// What measures are relative to: auto (the frames in which a face moves least), a stretch FROM-TO of the video's own time
    /// in which it does nothing, or the labels.json of other videos with commas between them, whose signers A, B, ... are this
    /// video's too; with --calibrate FILE, that file's if not given
    #[arg(long, value_name = "auto|FROM-TO|FILE,...", value_parser = neutral)]
    neutral: Option<NeutralChoice>,
    /// Largest picture accepted, pixels; 33177600 (8K) if not given
    #[arg(long, value_name = "PIXELS")]
    max_pixels: Option<u64>,
    /// How long a stream may keep silent: then it counts as lost, and what was seen is written; 0 for ever,
    /// 30 if not given
    #[arg(long, value_name = "SECONDS", value_parser = finite, allow_negative_numbers = true)]
    stall_timeout: Option<f64>,
}

/// What finds faces.
#[derive(Debug, Args)]
pub(super) struct DetectorArguments {
    /// What finds faces; seeta if not given
    #[arg(long, value_parser = choice::<DetectorName>())]
    pub(super) detector: Option<DetectorName>,
    /// The network of --detector yunet: the file yunet_n_640_640.onnx of libfacedetection.train
    #[arg(long, value_name = "FILE")]
    pub(super) detector_model: Option<PathBuf>,
}

/// How the work is done.
#[derive(Debug, Args)]
pub(super) struct ExecutionArguments {
    /// Where the network runs: auto (if not given), cpu, cuda or cuda:N
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// Threads that classify, a video; its share of the cores if not given. Changes nothing in the result
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Most faces classified together; 16 if not given. Changes nothing in the result
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: Option<u16>,
    /// Most memory of the program, MiB of address space, which the videos worked on at a time have in common; 0 for no
    /// limit. 8 GiB for each of them and 256 MiB a core if not given (none with CUDA)
    #[arg(long, value_name = "MIB")]
    max_memory: Option<u64>,
    /// How progress is shown; auto if not given
    #[arg(long, value_enum)]
    progress: Option<ProgressChoice>,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// The model that was asked for, on `device`; the options then say what it is computed with.
pub(super) fn open_model(options: &mut Options, device: &Device) -> Result<Model, Failure> {
    let model =
        registry::open(&options.model, device).and_then(|model| model.with_precision(options.annotation.precision))?;
    options.annotation.precision = model.precision();
    Ok(model)
}

/// The detectors that were asked for; the options then say which they are.
pub(super) fn open_detectors(options: &mut Options) -> Result<Detectors, Failure> {
    let detectors = detectors(options.detector, options.detector_model.as_deref())?;
    options.annotation.detector = detectors.identity();
    Ok(detectors)
}

/// Detectors by name and their model's file.
pub(super) fn detectors(name: DetectorName, model: Option<&Path>) -> Result<Detectors, Failure> {
    Ok(Detectors::open(name, model)?)
}

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ReplaceArguments {
    /// Replace results although somebody has changed them since they were written
    #[arg(long)]
    pub(super) overwrite: bool,
}

impl ReplaceArguments {
    /// For files that the user named.
    pub(super) fn existing(self) -> OutputOptions {
        OutputOptions::new().overwrite(self.overwrite)
    }
}

/// How ELAN's files are written.
#[derive(Debug, Args)]
pub(super) struct TierArguments {
    /// How .eaf names its tiers: plain (if not given), dgs, bsl, ngt, or a preset file
    #[arg(long, value_name = "NAME|FILE", default_value = "plain", hide_default_value = true)]
    pub(super) tiers: String,
    /// Frames left empty between neighbouring annotations of an .eaf; the preset's if not given
    #[arg(long, value_name = "N")]
    pub(super) gap_frames: Option<usize>,
}

impl AnnotationArguments {
    /// Adds the options given as flags to trees of options and annotation settings.
    fn add_to(&self, flags: &mut Map<String, Value>, annotation: &mut Map<String, Value>) {
        let mut track = Map::new();
        set(flags, "model", json!(self.model));
        set(flags, "detector", json!(self.detector.detector));
        set(flags, "detector_model", json!(self.detector.detector_model));
        set(flags, "stall_timeout", json!(self.stall_timeout));
        set(annotation, "precision", json!(self.precision));
        set(annotation, "deinterlace", json!(self.deinterlace));
        set(annotation, "max_pixels", json!(self.max_pixels));
        set(annotation, "occluded_above", json!(self.occluded_above));
        set(annotation, "measures", json!(self.measures.as_ref().map(|groups| &groups.0)));
        set(annotation, "neutral", json!(self.neutral));
        set(&mut track, "min_face", json!(self.min_face));
        set(&mut track, "max_faces", json!(self.max_faces));
        set(&mut track, "latency", json!(self.latency));
        annotation.insert("track".into(), track.into());
    }
}

impl ExecutionArguments {
    fn add_to(&self, flags: &mut Map<String, Value>) {
        set(flags, "device", json!(self.device));
        set(flags, "threads", json!(self.threads));
        set(flags, "batch_size", json!(self.batch_size));
        set(flags, "max_memory", json!(self.max_memory));
        set(flags, "progress", json!(self.progress));
    }

    /// How progress is shown; not at all where nothing is to be said.
    pub(super) fn progress(&self, options: &Options) -> ProgressChoice {
        if self.quiet { ProgressChoice::None } else { options.progress }
    }

    /// Sets up the log: warnings, or more with -v, to standard error.
    pub(super) fn init_logging(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "annotate=info",
            (false, _) => "annotate=debug",
        };
        let filter = tracing_subscriber::EnvFilter::new(level);
        // A second call (in tests) finds a subscriber set; that one serves as well.
        let has_colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let _ = log.without_time().with_ansi(has_colours).try_init();
    }
}

impl TierArguments {
    /// What changes ELAN's files, where `formats` has them.
    pub(super) fn terms(&self, formats: &[Format]) -> Option<Value> {
        formats.contains(&Format::Eaf).then(|| json!([self.tiers, self.gap_frames]))
    }

    pub(super) fn bundle(&self) -> Result<BundleOptions, Failure> {
        let mut preset = Preset::load(&self.tiers)?;
        preset.gap_frames = self.gap_frames.unwrap_or(preset.gap_frames);
        Ok(BundleOptions { preset, ..BundleOptions::default() })
    }
}

/// What `--measures` asks for.
#[derive(Debug, Clone)]
pub(super) struct MeasureGroups(pub Vec<MeasureGroup>);

pub(super) fn measures(text: &str) -> Result<MeasureGroups, String> {
    let group = |name: &str| {
        let known = || MeasureGroup::ALL.map(MeasureGroup::name).join(", ");
        MeasureGroup::from_name(name).ok_or_else(|| format!("'{name}' is not one of {}", known()))
    };
    let groups = match text {
        "all" => MeasureGroup::ALL.into(),
        "none" => Vec::new(),
        list => list.split(',').map(str::trim).map(group).collect::<Result<_, _>>()?,
    };
    Ok(MeasureGroups(groups))
}

fn neutral(text: &str) -> Result<NeutralChoice, String> {
    if text == "auto" {
        return Ok(NeutralChoice::Still);
    }
    if let Some((start, end)) = text.split_once('-')
        && let (Ok(start_s), Ok(end_s)) = (moment(start), moment(end))
    {
        return match start_s < end_s {
            true => Ok(NeutralChoice::Stretch { start_s, end_s }),
            false => Err(format!("'{text}' ends before it begins")),
        };
    }
    let files: Vec<&str> = if Path::new(text).exists() { vec![text] } else { text.split(',').map(str::trim).collect() };
    let timelines = files.iter().map(|file| Timeline::read(Path::new(file)).map_err(|e| e.to_string()));
    let timelines: Vec<Timeline> = timelines.collect::<Result<_, _>>()?;
    pooled(&timelines).ok_or_else(|| format!("{text}: no face was measured in it"))
}

/// A number that JSON has too.
fn finite(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| format!("'{text}' is not a number of 0 or more"))
}

fn set(tree: &mut Map<String, Value>, name: &str, value: Value) {
    if !value.is_null() {
        tree.insert(name.into(), value);
    }
}

/// The options with the flags on top; `more` are annotation settings of one command alone.
///
/// # Errors
/// If they make no sense.
pub(super) fn options(
    annotation: Option<&AnnotationArguments>,
    execution: Option<&ExecutionArguments>,
    more: Map<String, Value>,
) -> Result<Options, Failure> {
    let (mut flags, mut settings) = (Map::new(), more);
    if let Some(arguments) = annotation {
        arguments.add_to(&mut flags, &mut settings);
    }
    if let Some(arguments) = execution {
        arguments.add_to(&mut flags);
    }
    flags.insert("annotation".into(), settings.into());
    let options = Options::layered(&flags.into(), Home::WorkingFolder)?;
    if let Some(path) = options.read_here.as_ref().filter(|_| execution.is_none_or(|e| !e.quiet)) {
        talk!("annotate: with the settings of {} in the working folder", path.display());
    }
    Ok(options)
}

//! `annotate bench`: how fast this machine is, to size jobs with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rand::RngExt as _;
use rayon::ThreadPoolBuilder;
use serde_json::{Map, Value, json};

use super::Failure;
use super::choice::choice;
use super::device::DeviceChoice;
use super::settings::{Home, Options};
use crate::infer::Precision;
use crate::model::{Input, Model, registry};
use crate::nn::Architecture;
use crate::nn::efficientnet::EfficientNetConfig;
use crate::nn::mobilenet::MobileNetConfig;
use crate::pipeline::decode::Source;
use crate::pipeline::detect::Detectors;
use crate::pipeline::measure::measure;
use crate::pipeline::{Execution, annotate};
use crate::platform::cores;
use crate::random::seeded;
use crate::timeline::Timeline;
use crate::write::Format;

/// Arguments of `annotate bench`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A video on which every stage is measured as well
    #[arg(value_name = "VIDEO")]
    video: Option<PathBuf>,
    /// A built-in model's name or a model directory
    #[arg(long, value_name = "NAME|DIR", conflicts_with = "arch")]
    model: Option<PathBuf>,
    /// A published network instead of a model
    #[arg(long, value_enum, requires = "random_weights")]
    arch: Option<Arch>,
    /// Draw the network's weights, as only its speed is wanted
    #[arg(long, requires = "arch")]
    random_weights: bool,
    /// Faces classified together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: Option<u16>,
    /// Threads that classify; all cores if not given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Numbers the network is computed with
    #[arg(long, value_parser = choice::<Precision>())]
    precision: Option<Precision>,
    /// Where the network runs: auto, cpu, cuda or cuda:N
    #[arg(long)]
    device: Option<DeviceChoice>,
    /// How long the classifier is measured
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    seconds: f64,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The networks that can be asked for by name.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Arch {
    /// EfficientNet-B0, 224 pixels
    TfEfficientnetB0,
    /// EfficientNet-B2, 260 pixels
    TfEfficientnetB2,
    /// MobileNetV1 as in SLTAT 2022, 224 pixels
    MobilenetV1,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=3600.0).contains(&value) => Ok(value),
        _ => Err(format!("'{text}' is not a number of seconds up to 3600")),
    }
}

/// Repeats that are measured at least, however long they take.
const FEWEST_REPEATS: usize = 5;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut flags = Map::new();
    for (name, value) in [
        ("model", json!(arguments.model)),
        ("device", json!(arguments.device)),
        ("threads", json!(arguments.threads)),
        ("batch_size", json!(arguments.batch_size)),
        ("annotation", json!(arguments.precision.map(|precision| json!({"precision": precision})))),
    ] {
        if !value.is_null() {
            flags.insert(name.into(), value);
        }
    }
    let mut options = Options::layered(&flags.into(), Home::WorkingFolder)?;
    let detectors = super::shared::open_detectors(&mut options)?;
    let started = Instant::now();
    let device = options.device.open()?;
    let model = match arguments.arch {
        Some(arch) => arch.model(&device).map_err(|e| Failure::Unforeseen(e.into()))?,
        None => registry::open(&options.model, &device)?,
    };
    let model = model.with_precision(options.annotation.precision)?.alone();
    let loaded = started.elapsed();
    let threads = match options.threads {
        0 => cores(),
        threads => threads,
    };
    let mut report = json!({
        "model": model.config().name,
        "device": String::from(options.device),
        "instructions": model.instructions().map(|i| i.name()),
        "precision": model.precision(),
        "load_ms": milliseconds(loaded),
        "classifier": classifier(&model, options.batch_size, threads, arguments.seconds)?,
    });
    if let Some(video) = &arguments.video {
        let execution =
            Execution { threads, batch_size: options.batch_size, interrupt: Arc::default(), patience: Arc::default() };
        report["video"] = stages(&Source::File(video.clone()), &model, &detectors, &options, &execution)?;
    }
    report["peak_memory_mib"] = json!(peak_memory_mib());
    let text = if arguments.json { format!("{report}\n") } else { table(&report) };
    super::print_text(&text)
}

impl Arch {
    fn model(self, device: &candle_core::Device) -> candle_core::Result<Model> {
        let (architecture, side) = match self {
            Self::TfEfficientnetB0 => (Architecture::Efficientnet(EfficientNetConfig::b0()), 224),
            Self::TfEfficientnetB2 => (Architecture::Efficientnet(EfficientNetConfig::b2()), 260),
            Self::MobilenetV1 => (Architecture::MobilenetV1(MobileNetConfig::seed()), 224),
        };
        Model::untrained(architecture, Input::rgb(side), 0, device)
    }
}

/// The classifier alone: repeats of one batch, for as long as asked.
fn classifier(model: &Model, batch: usize, threads: usize, seconds: f64) -> Result<Value, Failure> {
    let input = &model.config().input;
    let mut random = seeded(0, "pictures");
    let values = batch * input.side * input.side * input.colours.count();
    let pictures: Vec<f32> = (0..values).map(|_| random.random_range(0.0..255.0)).collect();
    let unforeseen = |e: candle_core::Error| Failure::Unforeseen(e.into());
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().map_err(anyhow::Error::from)?;
    let once = || -> Result<f64, Failure> {
        let pictures = pictures.clone();
        let started = Instant::now();
        // Fetched, so that a card has finished.
        pool.install(|| model.logits(pictures)?.to_vec2::<f32>()).map_err(unforeseen)?;
        Ok(milliseconds(started.elapsed()) / batch as f64)
    };
    // Buffers are made, caches filled.
    once()?;
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < FEWEST_REPEATS || started.elapsed().as_secs_f64() < seconds {
        times.push(once()?);
    }
    times.sort_by(f64::total_cmp);
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let median = quantile(0.5);
    Ok(json!({
        "batch_size": batch,
        "threads": threads,
        "repeats": times.len(),
        "ms_per_face": {
            "median": median,
            "lowest": times[0],
            "quartiles": [quantile(0.25), quantile(0.75)],
            "highest": times[times.len() - 1],
        },
        "faces_per_s": 1e3 / median,
        "operations_per_face": model.operations(),
        "gflops": model.operations() as f64 / median / 1e6,
    }))
}

/// Every stage alone in one thread, then the whole as it is used.
fn stages(
    source: &Source,
    model: &Model,
    detectors: &Detectors,
    options: &Options,
    execution: &Execution,
) -> Result<Value, Failure> {
    let mut times = measure(source, model, detectors, &options.annotation, execution).map_err(Failure::from)?;
    let started = Instant::now();
    let timeline =
        annotate(source, model, detectors, &options.annotation, execution, &mut |_| Ok(())).map_err(Failure::from)?;
    let whole = started.elapsed();
    times.stages.push(("write", time_of_json(&timeline)));
    let frames = times.frames.max(1) as f64;
    let stage = |(name, time): &(&str, Duration)| json!({"stage": name, "ms_per_frame": milliseconds(*time) / frames, "frames_per_s": frames / time.as_secs_f64().max(1e-9)});
    Ok(json!({
        "path": timeline.media.path,
        "frames": times.frames,
        "faces": times.faces,
        "stages": times.stages.iter().map(stage).collect::<Vec<_>>(),
        "whole": {
            "threads": execution.threads,
            "ms_per_frame": milliseconds(whole) / frames,
            "frames_per_s": frames / whole.as_secs_f64().max(1e-9),
            "times_real_time": timeline.media.duration_s / whole.as_secs_f64().max(1e-9),
        },
    }))
}

/// How long the timeline takes to become JSON in memory.
fn time_of_json(timeline: &Timeline) -> Duration {
    let started = Instant::now();
    if let Some(writer) = Format::Json.writer() {
        // Memory takes all that is written.
        let _ = writer.write(timeline, &mut Vec::new());
    }
    started.elapsed()
}

fn milliseconds(duration: Duration) -> f64 {
    1e3 * duration.as_secs_f64()
}

/// The largest resident memory so far, MiB, where the system tells.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// The report for people.
fn table(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let classifier = &report["classifier"];
    let times = &classifier["ms_per_face"];
    let mut lines = format!(
        "{}, {} ({}), {}, batch {}, {} thread(s); loaded in {:.0} ms\n",
        text(&report["model"]),
        text(&report["device"]),
        text(&report["instructions"]),
        text(&report["precision"]),
        classifier["batch_size"],
        classifier["threads"],
        number(&report["load_ms"]),
    );
    lines += &format!(
        "classifier: {:.3} ms a face (quartiles {:.3} to {:.3}, {} repeats), {:.0} faces/s, {:.1} GFLOP/s\n",
        number(&times["median"]),
        number(&times["quartiles"][0]),
        number(&times["quartiles"][1]),
        classifier["repeats"],
        number(&classifier["faces_per_s"]),
        number(&classifier["gflops"]),
    );
    if let Some(stages) = report["video"]["stages"].as_array() {
        let video = &report["video"];
        lines += &format!("{}: {} frames, {} faces\n", text(&video["path"]), video["frames"], video["faces"]);
        for stage in stages {
            lines += &format!(
                "  {:10} {:8.3} ms a frame {:10.1} frames/s\n",
                text(&stage["stage"]),
                number(&stage["ms_per_frame"]),
                number(&stage["frames_per_s"])
            );
        }
        let whole = &video["whole"];
        lines += &format!(
            "  {:10} {:8.3} ms a frame {:10.1} frames/s, {:.1} x real time, {} thread(s)\n",
            "together",
            number(&whole["ms_per_frame"]),
            number(&whole["frames_per_s"]),
            number(&whole["times_real_time"]),
            whole["threads"],
        );
    }
    if let Some(memory) = report["peak_memory_mib"].as_f64() {
        lines += &format!("peak memory: {memory:.0} MiB\n");
    }
    lines
}

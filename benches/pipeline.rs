//! The speed of the stages, each as a ratio to decoding alone in the same run, and the program's memory.
//!
//! `make bench`. Rounds alternate between the stages, so that a change in the machine's load affects all of them;
//! medians are printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use annotate::model::{Model, registry};
use annotate::picture::{crop, face_square};
use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use annotate::pipeline::detect::{Detectors, Seeta};
use annotate::pipeline::frame::Frame;
use annotate::pipeline::track::{FaceTracker, TrackSettings};
use annotate::pipeline::{Execution, Settings, annotate};
use candle_core::Device;

const ROUNDS: usize = 5;

fn decode(path: &Path, mut take: impl FnMut(Frame)) -> usize {
    let mut decoder = Decoder::open(&Source::File(path.into()), DecodeOptions::default()).expect("the clip opens");
    let mut frames = 0;
    while let Some(frame) = decoder.next_frame().expect("the clip decodes") {
        frames += 1;
        take(frame);
    }
    frames
}

/// Decodes, finds and follows faces and cuts them out, in one thread; returns the network's inputs.
fn faces(path: &Path, model: &Model) -> (usize, Vec<Vec<f32>>) {
    let detector = Seeta::new().expect("the built-in detector reads");
    let mut tracker = FaceTracker::new(Box::new(detector), TrackSettings::default());
    let config = model.config();
    let mut inputs = Vec::new();
    let frames = decode(path, |frame| {
        for (frame, sightings) in tracker.push(frame) {
            for sighting in sightings {
                let Some(face) = sighting.face else { continue };
                let square = face_square(&face, sighting.roll_degrees, &config.crop);
                inputs.push(crop(frame.picture.as_ref(), &square, config.input.side, config.input.colours));
            }
        }
    });
    (frames, inputs)
}

fn classify(inputs: &[Vec<f32>], model: &Model) -> usize {
    for input in inputs {
        model.probabilities(input.clone()).expect("the network runs");
    }
    inputs.len()
}

fn whole(path: &Path, model: &Model) -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let execution = Execution { threads, batch_size: 16, interrupt: Arc::default(), patience: Arc::default() };
    let source = Source::File(path.into());
    let timeline = annotate(&source, model, &Detectors::Seeta, &Settings::default(), &execution, &mut |_| Ok(()));
    timeline.expect("the clip is annotated").media.frames
}

/// Frames a second of `work`, which returns how many it processed.
fn rate(work: impl FnOnce() -> usize) -> f64 {
    let started = Instant::now();
    let frames = work();
    frames as f64 / started.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Largest resident memory of the program over `clip`, MiB, and its wall time in seconds.
fn memory(clip: &Path) -> (f64, f64) {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_annotate"))
        .arg(clip)
        .args(["-q", "-o", "-.jsonl"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut largest: f64 = 0.0;
    while child.try_wait().expect("the program can be waited for").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        largest = largest.max(kib.and_then(|k| k.trim().parse().ok()).unwrap_or(0.0));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    (largest / 1024.0, started.elapsed().as_secs_f64())
}

fn main() {
    let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let clip = data.join("videos/dfki_testvideo.mp4");
    if !clip.is_file() {
        println!("skipped: pipeline (no data at {})", data.display());
        return;
    }
    let model = registry::open(registry::DEFAULT.as_ref(), &Device::Cpu).expect("the built-in model reads");
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(rate(|| decode(&clip, drop)));
        let mut inputs = Vec::new();
        rates[1].push(rate(|| {
            let (frames, found) = faces(&clip, &model);
            inputs = found;
            frames
        }));
        rates[2].push(rate(|| classify(&inputs, &model)));
        rates[3].push(rate(|| whole(&clip, &model)));
    }
    let medians = rates.map(|mut values| median(&mut values));
    println!("dfki_testvideo.mp4, 1080x720, medians of {ROUNDS} alternating rounds");
    let names = [
        "decode (1 thread)",
        "decode, detect, track, crop (1 thread)",
        "classify (one face after the other)",
        "whole pipeline",
    ];
    for (name, value) in names.iter().zip(medians) {
        println!(
            "{name:40} {value:8.1} frames/s  {:6.2} x decoding  {:5.1} x real time",
            value / medians[0],
            value / 30.0
        );
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let long = folder.path().join("sixteen-minutes.mp4");
    let looped = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-stream_loop", "59", "-i"])
        .arg(&clip)
        .args(["-c", "copy", "-an"])
        .arg(&long)
        .status();
    for (name, path) in [("16 s", &clip), ("16 min", &long)] {
        if path == &clip || looped.as_ref().is_ok_and(|status| status.success()) {
            let (largest, seconds) = memory(path);
            println!("peak memory over {name:6} of video: {largest:6.1} MiB  ({seconds:.1} s)");
        }
    }
}

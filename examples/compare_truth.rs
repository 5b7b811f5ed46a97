//! Compares the result of `annotate` on the bundled clip with the truth, and counts.
//!
//! ```text
//! cargo run --example compare_truth -- out/demo/labels.json assets/demo/truth.json
//! ```
//!
//! Frames in which one expression fades into another, or in which the picture's edge cuts the face, are shown but not
//! counted.

use std::path::{Path, PathBuf};

use annotate::timeline::{BoundingBox, Expression, Timeline};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Compares a timeline of the bundled clip with the clip's truth.
#[derive(Parser)]
struct Arguments {
    /// Timeline written by `annotate`.
    labels: PathBuf,
    /// The clip's truth file.
    truth: PathBuf,
}

#[derive(Deserialize)]
struct Truth {
    frames: usize,
    spans: Vec<Span>,
    faces: Vec<Option<BoundingBox>>,
}

#[derive(Deserialize)]
struct Span {
    kind: Kind,
    label: Option<Expression>,
    first_frame: usize,
    last_frame: usize,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Held,
    Fade,
    Cut,
    Absent,
}

/// Columns of a strip.
const COLUMNS: usize = 100;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let timeline: Timeline = read(&arguments.labels)?;
    let truth: Truth = read(&arguments.truth)?;
    ensure!(
        timeline.media.frames == truth.frames && truth.faces.len() == truth.frames,
        "{} has {} frames, {} is about {}",
        arguments.labels.display(),
        timeline.media.frames,
        arguments.truth.display(),
        truth.frames
    );

    let found: Vec<Option<Expression>> = (0..truth.frames).map(|frame| label_at(&timeline, &truth, frame)).collect();
    let spans: Vec<&Span> = (0..truth.frames)
        .map(|frame| {
            let span = truth.spans.iter().find(|span| (span.first_frame..=span.last_frame).contains(&frame));
            span.with_context(|| format!("the truth says nothing about frame {frame}"))
        })
        .collect::<Result<_>>()?;

    println!(
        "truth  {}",
        strip(truth.frames, |frame| match spans[frame].kind {
            Kind::Held => letter(spans[frame].label),
            Kind::Fade | Kind::Cut => '~',
            Kind::Absent => letter(None),
        })
    );
    println!("found  {}", strip(truth.frames, |frame| letter(found[frame])));
    let legend: Vec<String> = Expression::ALL
        .iter()
        .map(|&expression| format!("{} {}", letter(Some(expression)), expression.name()))
        .collect();
    println!("       {}  . no face  ~ changing or cut\n", legend.join("  "));

    let count = |name: &str, wanted: &dyn Fn(&Span) -> bool| {
        let frames = (0..truth.frames).filter(|&frame| wanted(spans[frame]));
        let (agreeing, all) = frames.fold((0, 0), |(agreeing, all), frame| {
            (agreeing + usize::from(found[frame] == spans[frame].label), all + 1)
        });
        println!(
            "{name:<10} {agreeing:>4} of {all:>4} frames  {:>5.1} %",
            100.0 * agreeing as f64 / f64::from(all.max(1))
        );
    };
    for expression in Expression::ALL {
        count(expression.name(), &|span| span.label == Some(expression));
    }
    count("no face", &|span| span.kind == Kind::Absent);
    count("all", &|span| matches!(span.kind, Kind::Held | Kind::Absent));
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))
}

/// The label of the clip's face in `frame`; if the truth has no face there, any label given to any face.
fn label_at(timeline: &Timeline, truth: &Truth, frame: usize) -> Option<Expression> {
    let records = timeline.tracks.iter().filter_map(|track| track.frames.get(frame.checked_sub(track.first_frame)?));
    let right_place = |face: BoundingBox| truth.faces[frame].is_none_or(|true_face| face.iou(&true_face) > 0.3);
    records.filter(|record| record.face.is_some_and(right_place)).find_map(|record| record.label)
}

fn letter(label: Option<Expression>) -> char {
    match label {
        Some(Expression::Neutral) => 'N',
        Some(Expression::Happiness) => 'H',
        Some(Expression::Sadness) => 'S',
        Some(Expression::Surprise) => 'U',
        Some(Expression::Fear) => 'F',
        Some(Expression::Disgust) => 'D',
        Some(Expression::Anger) => 'A',
        None => '.',
    }
}

/// `frames` frames as a line of letters, each the letter of the middle frame of its share.
fn strip(frames: usize, letter: impl Fn(usize) -> char) -> String {
    (0..COLUMNS).map(|column| letter((2 * column + 1) * frames / (2 * COLUMNS))).collect()
}

//! Makes a stand-in for FePh, which must not be redistributed: its file names, its csv and the class counts of SLTAT
//! 2022, with pictures that show no real person.
//!
//! ```text
//! cargo run --release --example feph_stand_in -- runs/feph
//! annotate data import feph runs/feph -o runs/feph.csv
//! ```
//!
//! The faces are the composites of the bundled clip. Each of the made-up videos has its own head turn, size, position
//! and light, and its frames differ little, like the frames of a real video. What a network learns from them says
//! nothing about signers; they only show that every step of the protocol runs. The same seed gives the same pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate::picture::Colours;
use annotate::picture::Planes;
use annotate::picture::{Region, crop};
use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use annotate::random::seeded;
use annotate::timeline::Expression;
use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate};
use clap::Parser;
use image::RgbImage;
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::Deserialize;

/// FePh's number of a class and the number of its pictures in SLTAT 2022: 2,531 in all.
const COUNTS: [(usize, Expression, usize); 7] = [
    (0, Expression::Neutral, 195),
    (1, Expression::Anger, 503),
    (2, Expression::Disgust, 187),
    (3, Expression::Fear, 308),
    (4, Expression::Happiness, 179),
    (5, Expression::Sadness, 349),
    (6, Expression::Surprise, 810),
];
/// Rows that SLTAT 2022 leaves out: several labels, none of them, no face.
const OTHERS: [(&str, usize); 3] = [("14", 40), ("7", 20), ("", 10)];
/// Consecutive frames of one expression.
const RUN: std::ops::RangeInclusive<usize> = 4..=14;
/// Such runs in a video.
const RUNS_IN_A_VIDEO: usize = 3;
/// Number of the clip's frames from which a class's pictures are made.
const FRAMES_OF_A_CLASS: usize = 12;

/// Makes a stand-in for FePh: FePh_labels.csv and FePh_images.
#[derive(Parser)]
#[allow(dead_code, reason = "a test includes this file and calls `make`")]
struct Arguments {
    /// Folder for the data set; it is made.
    folder: PathBuf,
    /// Side of the pictures, pixels.
    #[arg(long, default_value_t = 128)]
    side: usize,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 2022)]
    seed: u64,
}

#[allow(dead_code, reason = "a test includes this file and calls `make`")]
fn main() -> Result<()> {
    let Arguments { folder, side, seed } = Arguments::parse();
    let count = make(&folder, side, seed)?;
    eprintln!("{}: {count} pictures", folder.display());
    Ok(())
}

/// A frame that shows an expression, and the face's box.
struct Shown {
    picture: Arc<dyn Planes>,
    face: [f32; 4],
}

#[derive(Deserialize)]
struct Truth {
    spans: Vec<Span>,
    /// Box of the face in each frame, if it is in the picture.
    faces: Vec<Option<[f32; 4]>>,
}

#[derive(Deserialize)]
struct Span {
    kind: String,
    label: Option<Expression>,
    first_frame: usize,
    last_frame: usize,
}

/// A picture to be made: its name without extension, its label in the csv, its content and its look.
struct Planned {
    id: String,
    label: String,
    expression: Expression,
    frame: usize,
    video: Look,
}

/// What all frames of a video share.
#[derive(Clone, Copy)]
struct Look {
    angle_degrees: f32,
    scale: f32,
    shift: [f32; 2],
    gain: [f32; 3],
}

/// Makes the data set and returns the number of its pictures.
///
/// # Errors
///
/// If the bundled clip cannot be read or the folder cannot be written.
pub fn make(folder: &Path, side: usize, seed: u64) -> Result<usize> {
    let shown = shown()?;
    let planned = plan(seed);
    let images = folder.join("FePh_images");
    fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
    planned.par_iter().try_for_each(|planned| -> Result<()> {
        let of_class = &shown[planned.expression.index()];
        let picture = draw(&of_class[planned.frame % of_class.len()], planned, side, seed)?;
        let path = images.join(format!("{}.png", planned.id));
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))
    })?;
    let mut csv = csv::Writer::from_path(folder.join("FePh_labels.csv"))?;
    csv.write_record(["External ID", "Facial_label"])?;
    for planned in &planned {
        csv.write_record([&planned.id, &planned.label])?;
    }
    csv.flush()?;
    Ok(planned.len())
}

/// Some frames of the bundled clip for each class, by the class's index.
fn shown() -> Result<Vec<Vec<Shown>>> {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let truth: Truth = serde_json::from_str(&fs::read_to_string(demo.join("truth.json"))?)?;
    let mut wanted: Vec<(usize, Expression)> = Vec::new();
    for expression in Expression::ALL {
        let held = truth.spans.iter().filter(|span| span.kind == "held" && span.label == Some(expression));
        let frames: Vec<usize> =
            held.flat_map(|span| span.first_frame..=span.last_frame).filter(|f| truth.faces[*f].is_some()).collect();
        let step = (frames.len() / FRAMES_OF_A_CLASS).max(1);
        wanted.extend(frames.into_iter().step_by(step).take(FRAMES_OF_A_CLASS).map(|frame| (frame, expression)));
    }
    let mut decoder = Decoder::open(&Source::File(demo.join("demo.mp4")), DecodeOptions::default())?;
    let mut shown: Vec<Vec<Shown>> = Expression::ALL.map(|_| Vec::new()).into();
    while let Some(frame) = decoder.next_frame()? {
        let Some((_, expression)) = wanted.iter().find(|(index, _)| *index == frame.index) else { continue };
        let face = truth.faces[frame.index].context("a frame with a face was chosen")?;
        shown[expression.index()].push(Shown { picture: frame.picture, face });
    }
    ensure!(shown.iter().all(|frames| !frames.is_empty()), "the clip does not show every expression");
    Ok(shown)
}

/// Distributes runs of frames of one expression over videos, in random order.
fn plan(seed: u64) -> Vec<Planned> {
    let mut random = seeded(seed, "plan");
    let mut runs: Vec<(String, Expression, usize)> = Vec::new();
    let labelled = COUNTS.iter().map(|(number, expression, count)| (number.to_string(), *expression, *count));
    let others = OTHERS.iter().map(|(label, count)| ((*label).to_owned(), Expression::Neutral, *count));
    for (label, expression, mut left) in labelled.chain(others) {
        while left > 0 {
            let length = random.random_range(RUN).min(left);
            runs.push((label.clone(), expression, length));
            left -= length;
        }
    }
    runs.shuffle(&mut random);
    let mut planned = Vec::new();
    for (number, runs) in runs.chunks(RUNS_IN_A_VIDEO).enumerate() {
        // PHOENIX contains the news of the years 2009 to 2011, cut into sentences.
        let day = NaiveDate::from_ymd_opt(2009, 7, 1).unwrap_or_default() + Days::new(number as u64 * 3);
        let programme = ["heute", "tagesschau"][number % 2];
        let video = format!("{}_{programme}_default-{}", day.format("%d%B_%Y_%A"), number % 17);
        let mut draw = |half_width: f32| random.random_range(-half_width..half_width);
        let look = Look {
            angle_degrees: draw(12.0),
            scale: 2.1 + draw(0.4),
            shift: [draw(0.25), draw(0.25)],
            gain: [1.0 + draw(0.25), 1.0 + draw(0.15), 1.0 + draw(0.25)],
        };
        let mut frame = 10;
        for (label, expression, length) in runs {
            for _ in 0..*length {
                frame += 3;
                let id = format!("{video}.avi_pid0_fn{frame:06}-0");
                planned.push(Planned { id, label: label.clone(), expression: *expression, frame, video: look });
            }
            frame += 40;
        }
    }
    planned
}

fn draw(shown: &Shown, planned: &Planned, side: usize, seed: u64) -> Result<RgbImage> {
    let mut random = seeded(seed, &planned.id);
    let mut jitter = |half_width: f32| random.random_range(-half_width..half_width);
    let [x, y, width, height] = shown.face;
    let Look { angle_degrees, scale, shift, gain } = planned.video;
    let square = scale * width * (1.0 + jitter(0.03));
    let region = Region {
        x: x + width / 2.0 + (shift[0] + jitter(0.03)) * width,
        y: y + height / 2.0 + (shift[1] + jitter(0.03)) * height,
        width: square,
        height: square,
        angle_degrees: angle_degrees + jitter(1.5),
    };
    let samples = crop(shown.picture.as_ref(), &region, side, Colours::Rgb);
    let light = 1.0 + jitter(0.03);
    let samples =
        samples.iter().enumerate().map(|(at, v)| (v * gain[at % 3] * light).clamp(0.0, 255.0) as u8).collect();
    RgbImage::from_raw(side as u32, side as u32, samples).context("a crop has three values a pixel")
}

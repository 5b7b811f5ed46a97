//! The material of patches: FER2013's faces with SeetaFace's box on each, and pictures whose faces are known.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use annotate::picture::Plane;
use annotate::picture::{Region, resample};
use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use annotate::pipeline::detect::{FaceDetector, SearchWindow, Seeta};
use annotate::timeline::BoundingBox;

/// Side of FER2013's pictures.
pub const FACE_SIDE: usize = 48;

/// One picture of FER2013.
pub struct Face {
    pub samples: Vec<u8>,
    /// Centre and side of SeetaFace's box, or of its usual position.
    pub centre: (f32, f32),
    pub side: f32,
    pub mean: f32,
}

/// SeetaFace's box on FER2013's pictures: median of 1,307 faces, see `examples/crop_rule.rs`.
const USUAL_SIDE: f32 = 0.917 * FACE_SIDE as f32;

/// Reads the first `most` of a strip of FER2013 pictures.
pub fn faces(strip: &Path, most: usize) -> anyhow::Result<Vec<Face>> {
    let mut reader = image::ImageReader::open(strip).with_context(|| strip.display().to_string())?;
    reader.no_limits();
    let pictures = reader.decode().with_context(|| strip.display().to_string())?.into_luma8().into_raw();
    let pictures: Vec<&[u8]> = pictures.chunks_exact(FACE_SIDE * FACE_SIDE).take(most).collect();
    let parts: anyhow::Result<Vec<Vec<Face>>> = pictures
        .par_chunks(1000)
        .map(|part| {
            let mut seeta = Seeta::new()?;
            Ok(part.iter().map(|samples| face(samples, &mut seeta)).collect())
        })
        .collect();
    Ok(parts?.into_iter().flatten().collect())
}

fn face(samples: &[u8], seeta: &mut Seeta) -> Face {
    const ENLARGED: f32 = 3.0;
    const WIDE: f32 = 2.0 * FACE_SIDE as f32;
    let mean = samples.iter().map(|v| f32::from(*v)).sum::<f32>() / samples.len() as f32;
    let plane = Plane { samples, stride: FACE_SIDE, width: FACE_SIDE, height: FACE_SIDE };
    let middle = FACE_SIDE as f32 / 2.0;
    let region = Region { x: middle, y: middle, width: WIDE, height: WIDE, angle_degrees: 0.0 };
    let side = (ENLARGED * WIDE) as usize;
    let large: Vec<u8> = resample(&plane, &region, side, side).into_iter().map(|v| v as u8).collect();
    let large = Plane { samples: &large, stride: side, width: side, height: side };
    let window = SearchWindow::whole(&large, 0.55 * ENLARGED * FACE_SIDE as f32);
    let found = seeta.detect(&large, &window).into_iter().next().filter(|d| d.score > 3.0);
    let (centre, side) = match found {
        Some(found) => {
            let (x, y) = found.face.centre();
            let inside = |at: f32| at / ENLARGED - (WIDE - FACE_SIDE as f32) / 2.0;
            ((inside(x), inside(y)), found.face.w / ENLARGED)
        }
        None => ((middle, middle), USUAL_SIDE),
    };
    Face { samples: samples.to_vec(), centre, side, mean }
}

/// A picture and the boxes of its faces.
pub struct Scene {
    samples: Vec<u8>,
    width: usize,
    height: usize,
    faces: Vec<BoundingBox>,
}

/// Larger pictures are reduced to this, to save memory.
const LARGEST_SCENE: f32 = 640.0;

impl Scene {
    fn new(luma: &Plane, faces: Vec<BoundingBox>) -> Self {
        let (width, height) = (luma.width as f32, luma.height as f32);
        let scale = (LARGEST_SCENE / width.max(height)).min(1.0);
        let region = Region { x: width / 2.0, y: height / 2.0, width, height, angle_degrees: 0.0 };
        let (width, height) = ((width * scale) as usize, (height * scale) as usize);
        let samples = resample(luma, &region, width, height).into_iter().map(|v| v as u8).collect();
        let scaled = |b: BoundingBox| BoundingBox { x: b.x * scale, y: b.y * scale, w: b.w * scale, h: b.h * scale };
        Self { samples, width, height, faces: faces.into_iter().map(scaled).collect() }
    }

    /// A random square without a face in it: left, top, side.
    fn square(&self, random: &mut ChaCha8Rng) -> Option<(f32, f32, f32)> {
        let shorter = self.width.min(self.height) as f32;
        for _ in 0..12 {
            let side = shorter * (0.06f32.ln() * random.random::<f32>()).exp();
            let x = random.random::<f32>() * (self.width as f32 - side);
            let y = random.random::<f32>() * (self.height as f32 - side);
            let square = BoundingBox { x, y, w: side, h: side };
            // Boxes are tight: hair and chin extend beyond them.
            let wide =
                |b: &BoundingBox| BoundingBox { x: b.x - 0.15 * b.w, y: b.y - 0.25 * b.h, w: 1.3 * b.w, h: 1.4 * b.h };
            if self.faces.iter().all(|b| wide(b).iou(&square) == 0.0) {
                return Some((x, y, side));
            }
        }
        None
    }
}

/// A square without a face; points are given in shares of its side.
pub enum Background<'a> {
    Scene {
        scene: &'a Scene,
        x: f32,
        y: f32,
        side: f32,
        mirrored: bool,
    },
    /// Waves of random direction, length and height, over a plain grey.
    Waves {
        grey: f32,
        waves: Vec<[f32; 4]>,
        steps: Option<f32>,
    },
}

impl<'a> Background<'a> {
    pub fn random(scenes: &'a [Scene], random: &mut ChaCha8Rng) -> Self {
        if random.random::<f32>() < 0.8 {
            let scene = &scenes[random.random_range(0..scenes.len())];
            if let Some((x, y, side)) = scene.square(random) {
                return Self::Scene { scene, x, y, side, mirrored: random.random() };
            }
        }
        let waves = (0..random.random_range(0..6))
            .map(|_| {
                let angle = random.random_range(0.0..std::f32::consts::TAU);
                let frequency = 40.0 * random.random::<f32>().powi(2) + 2.0;
                let height = random.random_range(2.0..40.0);
                [angle.cos() * frequency, angle.sin() * frequency, random.random_range(0.0..6.3), height]
            })
            .collect();
        let steps = random.random::<bool>().then(|| random.random_range(10.0..60.0));
        Self::Waves { grey: random.random_range(5.0..250.0), waves, steps }
    }

    pub fn at(&self, u: f32, v: f32) -> f32 {
        match self {
            Self::Scene { scene, x, y, side, mirrored } => {
                let u = if *mirrored { 1.0 - u } else { u };
                bilinear(&scene.samples, scene.width, scene.height, x + u * side - 0.5, y + v * side - 0.5)
            }
            Self::Waves { grey, waves, steps } => {
                let wave = |[a, b, phase, height]: &[f32; 4]| height * (a * u + b * v + phase).sin();
                let value = grey + waves.iter().map(wave).sum::<f32>();
                steps.map_or(value, |step| (value / step).round() * step)
            }
        }
    }
}

/// The value between samples; beyond the edge, the edge's value.
pub fn bilinear(samples: &[u8], width: usize, height: usize, x: f32, y: f32) -> f32 {
    let (x, y) = (x.clamp(0.0, (width - 1) as f32), y.clamp(0.0, (height - 1) as f32));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let at = |x: usize, y: usize| f32::from(samples[y * width + x]);
    let upper = at(left, top) * (1.0 - fx) + at(right, top) * fx;
    let lower = at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx;
    upper * (1.0 - fy) + lower * fy
}

/// Rows of a `face_boxes.csv`: the boxes of each picture, by name and frame.
fn boxes(csv: &Path) -> anyhow::Result<Vec<HashMap<String, String>>> {
    let mut reader = csv::Reader::from_path(csv).with_context(|| csv.display().to_string())?;
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

fn bounding_box(row: &HashMap<String, String>) -> anyhow::Result<BoundingBox> {
    let value = |name: &str| row.get(name).context("a column is missing")?.parse::<f32>().context("not a number");
    Ok(BoundingBox { x: value("x")?, y: value("y")?, w: value("w")?, h: value("h")? })
}

/// The frames of the shared clips whose faces are known.
pub fn clips(folder: &Path) -> anyhow::Result<Vec<Scene>> {
    let mut known: HashMap<String, HashMap<usize, Vec<BoundingBox>>> = HashMap::new();
    for row in boxes(&folder.join("face_boxes.csv"))? {
        let frame = row["frame"].parse()?;
        known.entry(row["video"].clone()).or_default().entry(frame).or_default().push(bounding_box(&row)?);
    }
    let mut known: Vec<_> = known.into_iter().collect();
    known.sort_by(|a, b| a.0.cmp(&b.0));
    let mut scenes = Vec::new();
    for (name, mut frames) in known {
        let mut decoder = Decoder::open(&Source::File(folder.join(name)), DecodeOptions::default())?;
        while let Some(frame) = decoder.next_frame()? {
            if let Some(faces) = frames.remove(&frame.index) {
                scenes.push(Scene::new(&frame.picture.luma(), faces));
            }
        }
    }
    Ok(scenes)
}

/// The photos in which every face is boxed, and those without a face.
pub fn photos(folder: &Path) -> anyhow::Result<Vec<Scene>> {
    let mut known: HashMap<String, (bool, Vec<BoundingBox>)> = HashMap::new();
    for row in boxes(&folder.join("face_boxes.csv"))? {
        let entry = known.entry(row["image"].clone()).or_default();
        entry.0 |= row["image_fully_boxed"] == "1";
        // A picture without a face has a row without a box.
        if !row["x"].is_empty() {
            entry.1.push(bounding_box(&row)?);
        }
    }
    let mut known: Vec<_> = known.into_iter().filter(|(_, (complete, _))| *complete).collect();
    known.sort_by(|a, b| a.0.cmp(&b.0));
    let mut scenes = Vec::new();
    for (name, (_, faces)) in known {
        let picture = image::open(folder.join(&name)).with_context(|| name.clone())?.into_luma8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let picture = picture.into_raw();
        scenes.push(Scene::new(&Plane { samples: &picture, stride: width, width, height }, faces));
    }
    Ok(scenes)
}

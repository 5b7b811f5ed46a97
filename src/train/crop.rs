//! Training crops: faces found in frames and videos and cut out of them exactly as annotation does it.
//!
//! Annotation's own tracker finds the face, and annotation's own function cuts it out. A still picture is a video that
//! stands still until the tracker believes what it sees.

use std::collections::{BTreeMap, HashSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use rayon::prelude::*;

use super::augment::plain;
use super::dataset::Picture;
use super::manifest::Row;
use super::photo::{self, PhotoError, is_called_a_picture};
use crate::files::OutputOptions;
use crate::picture::{self, BoundingBox, CropRule, face_square};
use crate::picture::{ColourNormalisation, Colours};
use crate::picture::{ColourSpace, Matrix, Plane, Planes};
use crate::pipeline::crop::face;
use crate::pipeline::decode::{DecodeError, DecodeOptions, Decoder, Source};
use crate::pipeline::detect::Detectors;
use crate::pipeline::frame::{Frame, Sighting};
use crate::pipeline::track::{FaceTracker, TrackSettings};
use crate::time::Timestamp;
use crate::timeline::{FrameRecord, Measure};

/// How faces are cut out.
#[derive(Debug, Clone)]
pub struct CropSettings {
    /// How the square lies about the face's box.
    pub rule: CropRule,
    /// Whether the square turns with the head, as annotation's does.
    pub align: bool,
    /// Side of the crops, pixels.
    pub side: usize,
    /// Luma or colour.
    pub colours: Colours,
    /// What is done to the colours of the crop.
    pub normalisation: ColourNormalisation,
    /// What finds faces.
    pub detectors: Detectors,
    /// How they are followed.
    pub track: TrackSettings,
    /// Whether pictures are faces already and are only fitted to the size. A detector that looks for faces in pictures finds
    /// two of three that fill theirs.
    pub already_cropped: bool,
}

/// What became of the rows.
#[derive(Debug, Default)]
pub struct CropOutcome {
    /// Rows of the crops; everything but the path is as it was.
    pub rows: Vec<Row>,
    /// Rows, from 1, and files in which no face was found.
    pub without_face: Vec<(usize, PathBuf)>,
}

/// Why crops cannot be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum CropError {
    #[error("row {row}: {}: {source}", path.display())]
    Picture { row: usize, path: PathBuf, source: PhotoError },
    #[error("row {row}: {}: a video's row needs the number of the frame", path.display())]
    NoFrameNumber { row: usize, path: PathBuf },
    #[error("row {row}: {}: the video has no frame {frame}", path.display())]
    NoSuchFrame { row: usize, path: PathBuf, frame: u64 },
    #[error("row {row}: {}: a video holds no faces that are cut out already", path.display())]
    Video { row: usize, path: PathBuf },
    #[error("row {row}: {}: cells of a strip are faces already", path.display())]
    Cell { row: usize, path: PathBuf },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the built-in face detector cannot be read: {0}")]
    Detector(std::io::Error),
    #[error("{}: cannot be written: {reason}", path.display())]
    Write { path: PathBuf, reason: String },
}

/// How often a still picture is shown to the tracker: enough for a likely face to be believed.
const SHOWN: usize = 4;
/// Time between, seconds: less than until the next search of the whole picture.
const APART_S: f64 = 0.04;

/// Cuts the face out of what each row shows and writes the crops into `folder`, which is made. Rows of videos name a
/// frame, counted from 0 as annotation counts. Where several faces are seen, it is the largest.
///
/// # Errors
/// If a picture or video cannot be read, a frame is not there, or a crop cannot be written; the message names the row.
pub fn crop_rows(
    rows: &[Row],
    folder: &Path,
    settings: &CropSettings,
    decoding: &DecodeOptions,
    tell: &(dyn Fn(usize) + Sync),
) -> Result<CropOutcome, CropError> {
    std::fs::create_dir_all(folder).map_err(|e| write_error(folder, &e))?;
    let names = names(rows);
    let mut videos: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    let mut stills = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match (row.cell, is_called_a_picture(&row.path)) {
            (Some(_), _) => return Err(CropError::Cell { row: index + 1, path: row.path.clone() }),
            (None, true) => stills.push(index),
            (None, false) if settings.already_cropped => {
                return Err(CropError::Video { row: index + 1, path: row.path.clone() });
            }
            (None, false) => videos.entry(&row.path).or_default().push(index),
        }
    }
    let save = |index: usize, pixels: Option<Vec<f32>>| -> Result<(usize, bool), CropError> {
        tell(1);
        let Some(pixels) = pixels else { return Ok((index, false)) };
        write_crop(pixels, &folder.join(&names[index]), settings)?;
        Ok((index, true))
    };
    let one_still = |index: &usize| {
        let (row, number) = (&rows[*index], index + 1);
        let pixels = match settings.already_cropped {
            true => Some(whole(row, number, settings)?),
            false => crop_still(row, number, settings)?,
        };
        save(*index, pixels)
    };
    let mut done: Vec<(usize, bool)> = stills.par_iter().map(one_still).collect::<Result<_, _>>()?;
    let videos: Vec<(&Path, Vec<usize>)> = videos.into_iter().collect();
    let of_videos: Vec<Vec<(usize, bool)>> = videos
        .par_iter()
        .map(|(path, wanted)| crop_video(path, rows, wanted, settings, decoding, &save))
        .collect::<Result<_, _>>()?;
    done.extend(of_videos.into_iter().flatten());
    done.sort_unstable();
    let mut cropped = CropOutcome::default();
    for (index, is_found) in done {
        match is_found {
            true => cropped.rows.push(Row { path: folder.join(&names[index]), ..rows[index].clone() }),
            false => cropped.without_face.push((index + 1, rows[index].path.clone())),
        }
    }
    Ok(cropped)
}

/// File names for the crops: those of the frames, so that what they say (PHOENIX's do) is kept, and numbered where two
/// would be the same.
fn names(rows: &[Row]) -> Vec<String> {
    let mut taken = HashSet::new();
    rows.iter()
        .map(|row| {
            let stem = row.path.file_stem().unwrap_or_default().to_string_lossy();
            let stem = match (is_called_a_picture(&row.path), row.frame) {
                (false, Some(frame)) => format!("{stem}-{frame:06}"),
                _ => stem.into_owned(),
            };
            let mut name = format!("{stem}.png");
            let mut number = 2;
            while !taken.insert(name.clone()) {
                name = format!("{stem}-{number}.png");
                number += 1;
            }
            name
        })
        .collect()
}

fn tracker(settings: &CropSettings) -> Result<FaceTracker, CropError> {
    let detector = settings.detectors.make().map_err(CropError::Detector)?;
    Ok(FaceTracker::new(detector, settings.track.clone()))
}

/// All of the picture, fitted to the size as training and evaluation fit it.
fn whole(row: &Row, number: usize, settings: &CropSettings) -> Result<Vec<f32>, CropError> {
    let image = photo::decode(&row.path);
    let image = image.map_err(|source| CropError::Picture { row: number, path: row.path.clone(), source })?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let samples = match settings.colours {
        Colours::Luma => image.into_luma8().into_raw(),
        Colours::Rgb => image.into_rgb8().into_raw(),
    };
    let picture = Picture::new(samples, settings.colours, width, height);
    Ok(plain(&picture, settings.side, settings.colours))
}

fn crop_still(row: &Row, number: usize, settings: &CropSettings) -> Result<Option<Vec<f32>>, CropError> {
    let picture: Arc<dyn Planes> = Arc::new(Still::read(&row.path).map_err(|source| CropError::Picture {
        row: number,
        path: row.path.clone(),
        source,
    })?);
    let mut tracker = tracker(settings)?;
    let mut last = None;
    for index in 0..SHOWN {
        let time_s = index as f64 * APART_S;
        last = tracker
            .push(Frame {
                index,
                pts: index as i64,
                time: Timestamp::nearest_nanosecond(time_s),
                time_s,
                picture: Arc::clone(&picture),
            })
            .pop()
            .or(last);
    }
    last = tracker.finish().pop().or(last);
    Ok(last.and_then(|(frame, sightings)| largest(&frame, sightings, settings)))
}

/// The crop of the largest face that annotation would classify.
fn largest(frame: &Frame, sightings: Vec<Sighting>, settings: &CropSettings) -> Option<Vec<f32>> {
    let area = |sighting: &Sighting| sighting.face.map_or(0.0, |face| face.w * face.h);
    let mut found: Vec<Sighting> = sightings.into_iter().map(crate::pipeline::unreadable_if_small).collect();
    found.sort_by(|a, b| area(b).total_cmp(&area(a)));
    found.into_iter().find_map(|mut sighting| {
        if !settings.align {
            sighting.roll_degrees = 0.0;
        }
        face(frame.picture.as_ref(), &sighting, &settings.rule, settings.side, settings.colours)
    })
}

#[expect(clippy::type_complexity, reason = "a name would not say more")]
fn crop_video(
    path: &Path,
    rows: &[Row],
    wanted: &[usize],
    settings: &CropSettings,
    decoding: &DecodeOptions,
    save: &(dyn Fn(usize, Option<Vec<f32>>) -> Result<(usize, bool), CropError> + Sync),
) -> Result<Vec<(usize, bool)>, CropError> {
    let mut by_frame: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for index in wanted {
        let missing = || CropError::NoFrameNumber { row: index + 1, path: path.into() };
        by_frame.entry(rows[*index].frame.ok_or_else(missing)?).or_default().push(*index);
    }
    let mut decoder = Decoder::open(&Source::File(path.into()), decoding.clone())?;
    let mut tracker = tracker(settings)?;
    let mut done = Vec::new();
    let mut take = |tracked: Vec<(Frame, Vec<Sighting>)>, by_frame: &mut BTreeMap<u64, Vec<usize>>| {
        for (frame, sightings) in tracked {
            let Some(indices) = by_frame.remove(&(frame.index as u64)) else { continue };
            let pixels = largest(&frame, sightings, settings);
            for index in indices {
                done.push(save(index, pixels.clone())?);
            }
        }
        Ok::<(), CropError>(())
    };
    // Frames after the last one wanted are not looked at.
    while !by_frame.is_empty()
        && let Some(frame) = decoder.next_frame()?
    {
        take(tracker.push(frame), &mut by_frame)?;
    }
    take(tracker.finish(), &mut by_frame)?;
    match by_frame.iter().next() {
        Some((frame, indices)) => Err(CropError::NoSuchFrame { row: indices[0] + 1, path: path.into(), frame: *frame }),
        None => Ok(done),
    }
}

/// A face of a video whose box is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownFace {
    /// Index of the decoded frame.
    pub frame: usize,
    /// The face, in pixels of the displayed picture.
    pub face: BoundingBox,
    /// In-plane turn of the head, degrees clockwise; 0 where unknown.
    pub roll_degrees: f32,
}

impl KnownFace {
    /// The face of a record of a timeline, turned as far as was measured; none where it was not seen.
    pub fn of(record: &FrameRecord) -> Option<Self> {
        let roll = record.measures.as_ref().and_then(|measures| measures.get(Measure::Roll));
        Some(Self { frame: record.frame, face: record.face?, roll_degrees: roll.unwrap_or(0.0) as f32 })
    }
}

/// Cuts the `faces`, in order of their frames, out of a video by `rule`, `side` pixels wide and in colour, as annotation
/// does, and writes each to its path. Gives the first frame that the video does not have, where it is too short.
///
/// # Errors
/// If the video cannot be decoded or a picture cannot be written.
pub fn cut_known(
    video: &Path,
    faces: &[(KnownFace, PathBuf)],
    rule: &CropRule,
    side: usize,
    decoding: &DecodeOptions,
) -> Result<Option<usize>, CropError> {
    let known: Vec<KnownFace> = faces.iter().map(|(known, _)| *known).collect();
    let cut = KnownCut { rule, side, colours: Colours::Rgb };
    cut.each(video, &known, decoding, |index, pixels| write_picture(pixels, &faces[index].1, side, Colours::Rgb))
}

/// How known faces are cut out.
pub struct KnownCut<'a> {
    /// How the square lies about the face's box.
    pub rule: &'a CropRule,
    /// Side of the pictures, pixels.
    pub side: usize,
    /// Luma or colour.
    pub colours: Colours,
}

impl KnownCut<'_> {
    /// Hands each of the `faces`, which are in order of their frames, to `take`: its index and its picture,
    /// `[side, side, colours]` with values 0 to 255. Gives the first frame that the video does not have, where it is too short.
    ///
    /// # Errors
    /// If the video cannot be decoded, or `take` does.
    pub fn each<E: From<DecodeError>>(
        &self,
        video: &Path,
        faces: &[KnownFace],
        decoding: &DecodeOptions,
        mut take: impl FnMut(usize, Vec<f32>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        let mut wanted = faces.iter().enumerate().peekable();
        if wanted.peek().is_none() {
            return Ok(None);
        }
        let mut decoder = Decoder::open(&Source::File(video.into()), decoding.clone())?;
        // Frames after the last one wanted are not looked at.
        while wanted.peek().is_some()
            && let Some(frame) = decoder.next_frame()?
        {
            while let Some((index, known)) = wanted.next_if(|(_, known)| known.frame == frame.index) {
                let square = face_square(&known.face, known.roll_degrees, self.rule);
                take(index, picture::crop(frame.picture.as_ref(), &square, self.side, self.colours))?;
            }
        }
        Ok(wanted.next().map(|(_, known)| known.frame))
    }
}

/// The file that says how the pictures of a folder were cut out.
const RULE_FILE: &str = "crop.json";

/// Notes in the folder of a manifest's pictures by which rule they were cut out.
///
/// # Errors
/// If the file cannot be written.
pub fn note_rule(folder: &Path, rule: &CropRule) -> Result<(), CropError> {
    let path = folder.join(RULE_FILE);
    let write = |out: &mut dyn std::io::Write| Ok(serde_json::to_writer(out, rule)?);
    OutputOptions::state().put(&path, write).map_err(|e| write_error(&path, &e))
}

/// The rule by which the pictures in `folder` were cut out, where that is noted.
pub fn noted_rule(folder: &Path) -> Option<CropRule> {
    serde_json::from_slice(&crate::files::read(&folder.join(RULE_FILE), crate::files::HANDWRITTEN).ok()?).ok()
}

fn write_crop(mut pixels: Vec<f32>, path: &Path, settings: &CropSettings) -> Result<(), CropError> {
    settings.normalisation.apply(&mut pixels, settings.colours.count());
    write_picture(pixels, path, settings.side, settings.colours)
}

fn write_picture(pixels: Vec<f32>, path: &Path, side: usize, colours: Colours) -> Result<(), CropError> {
    let samples: Vec<u8> = pixels.into_iter().map(|value| value.round() as u8).collect();
    let side = side as u32;
    let picture = match colours {
        Colours::Luma => GrayImage::from_raw(side, side, samples).map(DynamicImage::ImageLuma8),
        Colours::Rgb => RgbImage::from_raw(side, side, samples).map(DynamicImage::ImageRgb8),
    };
    let mut bytes = Cursor::new(Vec::new());
    if let Some(picture) = picture {
        picture.write_to(&mut bytes, ImageFormat::Png).map_err(|e| write_error(path, &e))?;
    }
    OutputOptions::state().put(path, |out| out.write_all(bytes.get_ref())).map_err(|e| write_error(path, &e))
}

fn write_error(path: &Path, error: &dyn std::fmt::Display) -> CropError {
    CropError::Write { path: path.into(), reason: error.to_string() }
}

/// A photograph as video keeps it: luma and chroma, here in full range and at full resolution.
struct Still {
    planes: [Vec<u8>; 3],
    width: usize,
    height: usize,
}

impl Still {
    fn read(path: &Path) -> Result<Self, PhotoError> {
        let image = photo::decode(path)?.into_rgb8();
        let (width, height) = (image.width() as usize, image.height() as usize);
        let mut planes = [const { Vec::new() }; 3];
        for plane in &mut planes {
            plane.reserve_exact(width * height);
        }
        for pixel in image.pixels() {
            let [r, g, b] = pixel.0.map(f32::from);
            // ITU-R BT.601, full range, as JPEG has it.
            let y = 0.299 * r + 0.587 * g + 0.114 * b;
            let values = [y, 128.0 + (b - y) / 1.772, 128.0 + (r - y) / 1.402];
            planes.iter_mut().zip(values).for_each(|(plane, value)| plane.push(value.round() as u8));
        }
        Ok(Self { planes, width, height })
    }

    fn plane(&self, index: usize) -> Plane<'_> {
        Plane { samples: &self.planes[index], stride: self.width, width: self.width, height: self.height }
    }
}

impl Planes for Still {
    fn luma(&self) -> Plane<'_> {
        self.plane(0)
    }

    fn chroma(&self) -> Option<[Plane<'_>; 2]> {
        Some([self.plane(1), self.plane(2)])
    }

    fn colour(&self) -> ColourSpace {
        ColourSpace { matrix: Matrix::Bt601, full_range: true }
    }
}

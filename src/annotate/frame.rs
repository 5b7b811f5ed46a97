//! A decoded picture on its way through the stages: shared planes, exact time, nothing copied.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::track::Descriptor;
use crate::timeline::{BoundingBox, BoxSource, Status};

/// One 8-bit plane of a picture: `height` rows of `width` samples, `stride` samples apart.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// The samples; row `y` starts at `y * stride`.
    pub samples: &'a [u8],
    /// Distance between rows, in samples, at least `width`.
    pub stride: usize,
    /// Samples in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl<'a> Plane<'a> {
    /// Row `y`, `width` samples long.
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.samples[y * self.stride..][..self.width]
    }
}

/// How luma and chroma turn into RGB (ITU-T H.273 matrix coefficients and range).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Weights of red and blue in luma.
    pub matrix: Matrix,
    /// Whether samples use all of 0..=255 rather than 16..=235.
    pub full_range: bool,
}

/// Matrix coefficients of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

/// A displayed picture: turned upright, with square pixels, 8 bits a sample.
pub trait Planes: Send + Sync {
    /// The luma plane; its size is the displayed picture's size.
    fn luma(&self) -> Plane<'_>;
    /// Cb and Cr, at most as large as luma and sited over the same area; `None` for grey pictures.
    fn chroma(&self) -> Option<[Plane<'_>; 2]>;
    /// How to read the samples.
    fn colour(&self) -> Colour;
}

/// One decoded frame. Cloning shares the planes.
#[derive(Clone)]
pub struct Frame {
    /// Place in the decoded order, from 0.
    pub index: usize,
    /// Presentation time stamp in units of the stream's time base, as the container states it.
    pub pts: i64,
    /// Start of the frame in seconds; strictly rising over a video.
    pub time_s: f64,
    /// The picture.
    pub picture: Arc<dyn Planes>,
}

/// A picture in memory of our own: for tests, photographs and generated material.
pub struct GreyPicture {
    /// `width * height` samples, row by row, full range.
    pub samples: Vec<u8>,
    /// Samples in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Planes for GreyPicture {
    fn luma(&self) -> Plane<'_> {
        Plane { samples: &self.samples, stride: self.width, width: self.width, height: self.height }
    }

    fn chroma(&self) -> Option<[Plane<'_>; 2]> {
        None
    }

    fn colour(&self) -> Colour {
        Colour { matrix: Matrix::Bt601, full_range: true }
    }
}

/// What the tracker says of one face in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The track's stable id, from 1.
    pub track: u32,
    /// What can be said about the face.
    pub status: Status,
    /// Where the face is, in pixels of the displayed picture; `None` where it was not seen.
    pub face: Option<BoundingBox>,
    /// How sure it is that a face is here, 0 to 1; `None` where that was not judged in this frame.
    pub face_score: Option<f32>,
    /// Share of the face that something covers, 0 to 1; `None` where that was not judged.
    pub covered: Option<f32>,
    /// Where the box comes from.
    pub source: Option<BoxSource>,
    /// In-plane turn of the head, degrees clockwise; 0 where unknown.
    pub roll_degrees: f32,
    /// What the signer looks like, to be known again elsewhere in the video; `None` where the face was not seen.
    pub appearance: Option<Descriptor>,
}

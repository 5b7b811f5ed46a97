//! Finding faces in a picture, behind one trait.

mod seeta;

use super::crop::Region;
use super::frame::Plane;
use crate::timeline::BoundingBox;

pub use seeta::Seeta;

/// Where to look, and for how large faces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchWindow {
    /// The part of the picture; turned where the head is expected to be.
    pub region: Region,
    /// Side of the smallest face wanted, pixels.
    pub smallest: f32,
    /// Side of the largest face wanted, pixels.
    pub largest: f32,
}

impl SearchWindow {
    /// The whole of `luma`, for faces from `smallest` pixels up.
    pub fn whole(luma: &Plane, smallest: f32) -> Self {
        let (width, height) = (luma.width as f32, luma.height as f32);
        let region = Region { x: width / 2.0, y: height / 2.0, width, height, angle_degrees: 0.0 };
        Self { region, smallest, largest: width.max(height) }
    }
}

/// A face that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// An upright box about the face, pixels of the picture.
    pub face: BoundingBox,
    /// How sure the detector is; the scale is the detector's own.
    pub score: f32,
    /// In-plane turn at which it was found, degrees clockwise.
    pub roll_degrees: f32,
}

/// Something that finds faces.
pub trait FaceDetector {
    /// The faces in `window`, the surest first.
    fn detect(&mut self, luma: &Plane, window: &SearchWindow) -> Vec<Detection>;
}

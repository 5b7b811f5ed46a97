//! Rectangles in a picture.

use serde::{Deserialize, Serialize};

use super::Plane;

/// A box in pixels of the displayed picture (after rotation and sample aspect ratio), origin top left. It may extend
/// beyond the picture's edges. Serialises as `[x, y, w, h]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 4]", into = "[f32; 4]")]
pub struct BoundingBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl From<[f32; 4]> for BoundingBox {
    fn from([x, y, w, h]: [f32; 4]) -> Self {
        Self { x, y, w, h }
    }
}

impl From<BoundingBox> for [f32; 4] {
    fn from(b: BoundingBox) -> Self {
        [b.x, b.y, b.w, b.h]
    }
}

impl BoundingBox {
    /// The centre, `(x, y)`.
    pub fn centre(&self) -> (f32, f32) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    /// Intersection over union with `other`, 0 to 1.
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        let intersection = w * h;
        intersection / (self.w * self.h + other.w * other.h - intersection)
    }
}

/// A rectangle of a picture, possibly turned: centre, size, and clockwise angle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Centre, pixels from the left edge.
    pub x: f32,
    /// Centre, pixels from the top edge.
    pub y: f32,
    /// Size along the rectangle's own axes, pixels.
    pub width: f32,
    /// Size along the rectangle's own axes, pixels.
    pub height: f32,
    /// Clockwise turn in the picture, degrees.
    pub angle_degrees: f32,
}

impl Region {
    /// The same part of the picture on another plane: a region of `luma` in pixels of `plane`, which may be smaller.
    pub fn on_plane(&self, luma: &Plane, plane: &Plane) -> Self {
        let (across, down) = (plane.width as f32 / luma.width as f32, plane.height as f32 / luma.height as f32);
        Self { x: self.x * across, y: self.y * down, width: self.width * across, height: self.height * down, ..*self }
    }
}

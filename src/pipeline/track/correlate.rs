//! Finds a patch again by normalised cross-correlation when the detector sees no face.

use crate::picture::Plane;
use crate::picture::{Region, resample};
use crate::timeline::BoundingBox;
use crate::vectors::vectorised;

/// Side of the remembered patch, samples.
const SIDE: usize = 24;
/// How far the search goes in each direction, samples (a third of the face).
const REACH: usize = 8;

/// The appearance of a face when it was last seen.
#[derive(Debug, Clone)]
pub(super) struct Patch {
    /// Values less their mean, scaled to unit length.
    values: Vec<f32>,
    roll_degrees: f32,
}

/// The position at which a patch was found again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match {
    /// The box at that position.
    pub(super) face: BoundingBox,
    /// Normalised cross-correlation, -1 to 1.
    pub(super) correlation: f32,
}

impl Patch {
    /// The patch of the face in `face`.
    pub(super) fn of(luma: &Plane, face: &BoundingBox, roll_degrees: f32) -> Self {
        let (x, y) = face.centre();
        let region = Region { x, y, width: face.w, height: face.h, angle_degrees: roll_degrees };
        Self { values: normalised(&resample(luma, &region, SIDE, SIDE)), roll_degrees }
    }

    /// The best match within a third of a face of `near`, at the same size; a parabola locates it between samples.
    pub(super) fn find(&self, luma: &Plane, near: &BoundingBox) -> Match {
        let (x, y) = near.centre();
        let wide = SIDE + 2 * REACH;
        let enlarged = wide as f32 / SIDE as f32;
        let region =
            Region { x, y, width: near.w * enlarged, height: near.h * enlarged, angle_degrees: self.roll_degrees };
        let area = resample(luma, &region, wide, wide);
        let offsets = 2 * REACH + 1;
        let mut correlations = vec![0.0f32; offsets * offsets];
        vectorised(
            #[inline(always)]
            || {
                for (offset, correlation) in correlations.iter_mut().enumerate() {
                    *correlation = self.correlation(&area, wide, offset % offsets, offset / offsets);
                }
            },
        );
        let best = (0..correlations.len()).max_by(|a, b| correlations[*a].total_cmp(&correlations[*b])).unwrap_or(0);
        let (column, row) = (best % offsets, best / offsets);
        let at = |column: usize, row: usize| correlations[row * offsets + column];
        let peak = |before: f32, here: f32, after: f32| {
            let curvature = before - 2.0 * here + after;
            if curvature < -1e-6 { ((before - after) / (2.0 * curvature)).clamp(-0.5, 0.5) } else { 0.0 }
        };
        let inside = |offset: usize| (1..offsets - 1).contains(&offset);
        let here = at(column, row);
        let sub_x = if inside(column) { peak(at(column - 1, row), here, at(column + 1, row)) } else { 0.0 };
        let sub_y = if inside(row) { peak(at(column, row - 1), here, at(column, row + 1)) } else { 0.0 };
        let u = (column as f32 + sub_x - REACH as f32) * near.w / SIDE as f32;
        let v = (row as f32 + sub_y - REACH as f32) * near.h / SIDE as f32;
        let (sin, cos) = self.roll_degrees.to_radians().sin_cos();
        let face = BoundingBox { x: near.x + u * cos - v * sin, y: near.y + u * sin + v * cos, ..*near };
        Match { face, correlation: here }
    }

    #[inline(always)]
    fn correlation(&self, area: &[f32], wide: usize, column: usize, row: usize) -> f32 {
        let (mut sum, mut squares, mut product) = ([0.0f32; 8], [0.0f32; 8], [0.0f32; 8]);
        for y in 0..SIDE {
            let line = &area[(row + y) * wide + column..][..SIDE];
            let values = &self.values[y * SIDE..][..SIDE];
            for (line, values) in line.chunks_exact(8).zip(values.chunks_exact(8)) {
                for lane in 0..8 {
                    sum[lane] += line[lane];
                    squares[lane] += line[lane] * line[lane];
                    product[lane] += line[lane] * values[lane];
                }
            }
        }
        let total = |lanes: [f32; 8]| lanes.iter().sum::<f32>();
        let count = (SIDE * SIDE) as f32;
        let (sum, squares) = (total(sum), total(squares));
        let variance = (squares - sum * sum / count).max(0.0);
        // A flat area resembles nothing. The patch has mean 0, so the area's mean drops out of the product.
        if variance < count { 0.0 } else { total(product) / variance.sqrt() }
    }
}

fn normalised(values: &[f32]) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let length = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>().sqrt();
    values.iter().map(|v| if length > 1.0 { (v - mean) / length } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that has structure everywhere.
    fn texture(width: usize, height: usize, dx: f32) -> Vec<u8> {
        let value = |x: f32, y: f32| 128.0 + 60.0 * (0.21 * x + 0.05 * y).sin() + 50.0 * (0.17 * y - 0.09 * x).cos();
        (0..width * height).map(|i| value((i % width) as f32 - dx, (i / width) as f32) as u8).collect()
    }

    #[test]
    fn a_moved_patch_is_found_where_it_moved_to() {
        let (before, after) = (texture(160, 120, 0.0), texture(160, 120, 5.5));
        let plane = |samples| Plane { samples, stride: 160, width: 160, height: 120 };
        let face = BoundingBox { x: 50.0, y: 40.0, w: 48.0, h: 48.0 };
        let found = Patch::of(&plane(&before), &face, 0.0).find(&plane(&after), &face);
        assert!(found.correlation > 0.97, "{}", found.correlation);
        assert!((found.face.x - 55.5).abs() < 0.7 && (found.face.y - 40.0).abs() < 0.7, "{:?}", found.face);
    }

    #[test]
    fn nothing_is_found_in_a_flat_picture() {
        let (before, flat) = (texture(100, 100, 0.0), vec![77u8; 10_000]);
        let plane = |samples| Plane { samples, stride: 100, width: 100, height: 100 };
        let face = BoundingBox { x: 30.0, y: 30.0, w: 40.0, h: 40.0 };
        assert_eq!(Patch::of(&plane(&before), &face, 0.0).find(&plane(&flat), &face).correlation, 0.0);
    }
}

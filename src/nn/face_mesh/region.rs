//! The regions about lips and eyes: how a map is cut out and levelled there, and how a branch's points go back into the
//! picture. What MediaPipe's operations `Landmarks2TransformMatrix`, `TransformTensorBilinear` and `TransformLandmarks` do.

use serde::Deserialize;

use super::{FEATURES, FEATURES_SIDE, MESH_POINTS, POINTS, SIDE};
use crate::infer::Plan;

/// Side of the grid on which a region is read.
pub const REGION_SIDE: usize = 16;
/// Sides of the region, in sides of the rectangle about its points.
pub const REGION_SCALE: f32 = 1.5;
/// What the names of the lips' tensors begin with.
pub const LIPS: &str = "lips";
/// What the names of the eyes' tensors begin with, the right one first.
pub const EYES: [&str; 2] = ["eye_right", "eye_left"];

/// Points on a line that the region follows: corners of the mouth, of the right eye, of the left one; each time the one that
/// lies to the left in the picture first.
pub(super) const LIPS_LEVEL: [usize; 2] = [61, 291];
pub(super) const EYES_LEVEL: [[usize; 2]; 2] = [[33, 133], [362, 263]];

/// Which of the 478 points are what, and where the first 468 lie on a head.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Points of the lips, in the order of their branch.
    pub lips: Vec<usize>,
    /// Points of the eyes with their brows, the right eye's first, in the order of their branches.
    pub eyes: [Vec<usize>; 2],
    /// Points on the edges of the lids.
    pub eye_contours: [Vec<usize>; 2],
    /// Points that tell how the head is turned, and their weights.
    pub pose: Vec<(usize, f64)>,
    /// The points on a head of middling shape, centimetres: towards its left, up, and to the front.
    pub canonical_cm: Vec<[f64; 3]>,
}

/// Why a file is no description of the points.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum GeometryFault {
    #[error("the description of the face's points cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the description of the face's points names other points than there are")]
    Points,
}

impl Geometry {
    /// What comes with the program.
    ///
    /// # Errors
    /// If it cannot be read, which a test excludes.
    pub fn built_in() -> Result<Self, GeometryFault> {
        Self::from_json(include_bytes!("../../../assets/models/face_mesh/geometry.json"))
    }

    /// From a JSON text.
    ///
    /// # Errors
    /// If it is not a geometry, or names points that do not exist.
    pub fn from_json(text: &[u8]) -> Result<Self, GeometryFault> {
        let this: Self = serde_json::from_slice(text)?;
        let [right, left] = &this.eyes;
        let [right_contour, left_contour] = &this.eye_contours;
        let mut named = this.lips.iter().chain(right).chain(left).chain(right_contour).chain(left_contour);
        let mut posed = this.pose.iter();
        let fits = this.canonical_cm.len() == MESH_POINTS
            && named.all(|index| *index < POINTS)
            && posed.all(|(index, weight)| *index < MESH_POINTS && *weight > 0.0)
            && this.lips.len() == 80
            && [right.len(), left.len()] == [71; 2]
            && this.pose.len() >= 3;
        if fits { Ok(this) } else { Err(GeometryFault::Points) }
    }
}

/// Where a region lies on the map: from a position `(u, v)` of its grid, 0 to [`REGION_SIDE`], to `(x, y)` on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RegionMap {
    /// `x = a u + b v + c` and the same for `y`.
    rows: [[f32; 3]; 2],
}

impl RegionMap {
    /// About `points`, level with the line from the first to the second of `level`; its sides are scaled by themselves, so
    /// that it need not be a square.
    pub(super) fn about(points: &[[f32; 2]], level: [[f32; 2]; 2]) -> Self {
        let [left, right] = level;
        let turn = -(right[1] - left[1]).atan2(right[0] - left[0]);
        let (sin, cos) = turn.sin_cos();
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for [x, y] in points {
            for (axis, value) in [cos * x - sin * y, sin * x + cos * y].into_iter().enumerate() {
                low[axis] = low[axis].min(value);
                high[axis] = high[axis].max(value);
            }
        }
        let [x, y] = [0, 1].map(|axis| (low[axis] + high[axis]) / 2.0);
        let centre = [cos * x + sin * y, -sin * x + cos * y];
        let side = REGION_SIDE as f32;
        let [across, down] = [0, 1].map(|axis| REGION_SCALE * (high[axis] - low[axis]) / side);
        let directions = [[cos * across, sin * down], [-sin * across, cos * down]];
        let row = |axis: usize| {
            let [a, b] = directions[axis];
            [a, b, centre[axis] - (a + b) * side / 2.0]
        };
        Self { rows: [row(0), row(1)] }
    }

    /// The map's values on the grid, `[REGION_SIDE, REGION_SIDE, FEATURES]`; 0 beside the map.
    fn cut_out(&self, features: &[f32]) -> Vec<f32> {
        let mut cells = vec![0.0; REGION_SIDE * REGION_SIDE * FEATURES];
        let last = (FEATURES_SIDE - 1) as f32;
        for (index, cell) in cells.chunks_exact_mut(FEATURES).enumerate() {
            let (u, v) = ((index % REGION_SIDE) as f32 + 0.5, (index / REGION_SIDE) as f32 + 0.5);
            let [x, y] = self.rows.map(|[a, b, c]| a * u + b * v + c - 0.5);
            if !(0.0..=last).contains(&x) || !(0.0..=last).contains(&y) {
                continue;
            }
            let (column, row) = (x as usize, y as usize);
            let (right, below) = ((column + 1).min(FEATURES_SIDE - 1), (row + 1).min(FEATURES_SIDE - 1));
            let (fx, fy) = (x - column as f32, y - row as f32);
            let at = |row: usize, column: usize| &features[(row * FEATURES_SIDE + column) * FEATURES..][..FEATURES];
            let corners = [at(row, column), at(row, right), at(below, column), at(below, right)];
            for (channel, value) in cell.iter_mut().enumerate() {
                let [a, b, c, d] = corners.map(|corner| corner[channel]);
                *value = (1.0 - fy) * ((1.0 - fx) * a + fx * b) + fy * ((1.0 - fx) * c + fx * d);
            }
        }
        cells
    }

    /// The points that a branch finds, in pixels of the picture; `shared` gets what its plan gives out on the way.
    pub(super) fn found(&self, branch: &Plan, features: &[f32], shared: Option<&mut [f32]>) -> Vec<[f32; 2]> {
        let cells = self.cut_out(features);
        let mut row = vec![0.0; branch.output().len()];
        match shared {
            Some(shared) => branch.run_with_tap(&cells, &mut row, shared),
            None => branch.run(&cells, &mut row),
        }
        self.in_picture(&row).collect()
    }

    /// A branch's points, on a grid four times as fine, in pixels of the picture.
    pub(super) fn in_picture(&self, row: &[f32]) -> impl Iterator<Item = [f32; 2]> {
        let larger = SIDE as f32 / FEATURES_SIDE as f32;
        row.as_chunks::<2>().0.iter().map(move |[u, v]| self.rows.map(|[a, b, c]| a * u + b * v + larger * c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_level_with_its_corners_and_wider_than_its_points() {
        // Corners on a slope of 45 degrees, 10 apart; a point 2 beside the line.
        let slope = std::f32::consts::FRAC_1_SQRT_2;
        let points =
            [[10.0, 10.0], [10.0 + 10.0 * slope, 10.0 + 10.0 * slope], [10.0 - 2.0 * slope, 10.0 + 2.0 * slope]];
        let region = RegionMap::about(&points, [points[0], points[1]]);
        let position = |u: f32, v: f32| region.rows.map(|[a, b, c]| a * u + b * v + c);
        let (left, right) = (position(0.0, 8.0), position(16.0, 8.0));
        assert!(((right[0] - left[0]) / (right[1] - left[1]) - 1.0).abs() < 1e-5, "level: {left:?} {right:?}");
        assert!(((right[0] - left[0]).hypot(right[1] - left[1]) - 15.0).abs() < 1e-4, "1.5 times as long");
        let (top, bottom) = (position(8.0, 0.0), position(8.0, 16.0));
        assert!(((bottom[0] - top[0]).hypot(bottom[1] - top[1]) - 3.0).abs() < 1e-4, "and as high");
    }

    #[test]
    fn a_position_beside_the_map_is_0_and_one_on_it_lies_between_its_neighbours() {
        let features: Vec<f32> =
            (0..FEATURES_SIDE * FEATURES_SIDE).flat_map(|index| [(index % FEATURES_SIDE) as f32; FEATURES]).collect();
        // One column of the map a cell, from 0.25 columns on.
        let region = RegionMap { rows: [[1.0, 0.0, 0.25], [0.0, 1.0, -4.0]] };
        let cells = region.cut_out(&features);
        let cell = |row: usize, column: usize| cells[(row * REGION_SIDE + column) * FEATURES];
        assert_eq!((cell(3, 5), cell(4, 5)), (0.0, 5.25), "the first four rows lie above the map");
    }

    #[test]
    fn the_built_in_description_is_sound_and_others_are_refused() {
        let mut geometry = Geometry::built_in().unwrap();
        assert_eq!(geometry.pose.len(), 33);
        // The corners of the eyes are 8.892 cm apart (../shared/reference/face_mesh.md, section 8).
        let [right, left] = [33, 263].map(|index: usize| geometry.canonical_cm[index]);
        assert!((left[0] - right[0] - 8.892).abs() < 1e-3);
        geometry.canonical_cm.pop();
        assert!(matches!(Geometry::from_json(b"{}"), Err(GeometryFault::Json(_))));
    }
}

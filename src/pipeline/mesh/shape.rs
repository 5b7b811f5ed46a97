//! What the face does, from its points with the head's turn removed. Formulae, noise and sources: docs/measures.md.

use super::pose::{Angles, Pose, Vector, upright};
use crate::nn::face_mesh::{Geometry, POINTS};

/// The shape of a face in one frame: nothing is left out for being doubtful, nothing is relative to a signer. Lengths are shares
/// of the distance between the outer corners of the eyes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FaceShape {
    pub(super) angles: Angles,
    /// Brows above the corners of their eyes: right, left.
    pub(super) brow_heights: [f64; 2],
    /// Inner ends of the brows above the inner corners of the eyes.
    pub(super) inner_brow_height: f64,
    /// Between the inner ends of the brows.
    pub(super) inner_brow_gap: f64,
    /// Height of the opening of an eye over its width: right, left.
    pub(super) eye_apertures: [f64; 2],
    /// From the middle of an eye to its iris, over the eye's width: towards the signer's left, and up; of the right and left eye.
    pub(super) gazes: [[f64; 2]; 2],
    /// Between the inner edges of the lips, up and down.
    pub(super) mouth_opening: f64,
    /// Between the corners of the mouth.
    pub(super) mouth_width: f64,
    /// Corners of the mouth above the middle of the inner lips.
    pub(super) mouth_corners: f64,
}

/// The ten points of a brow: right, left.
const BROWS: [[usize; 10]; 2] =
    [[70, 63, 105, 66, 107, 46, 53, 52, 65, 55], [300, 293, 334, 296, 336, 276, 283, 282, 295, 285]];
/// Outer and inner corner of an eye: right, left.
const EYES: [[usize; 2]; 2] = [[33, 133], [263, 362]];
/// Pairs of points of the lids, upper and lower: right, left.
const LIDS: [[[usize; 2]; 3]; 2] = [[[160, 144], [159, 145], [158, 153]], [[387, 373], [386, 374], [385, 380]]];
/// Centres of the irises: right, left.
const IRISES: [usize; 2] = [468, 473];
/// Pairs of points of the inner edges of the lips, upper and lower.
const LIPS: [[usize; 2]; 3] = [[82, 87], [13, 14], [312, 317]];
/// Corners of the mouth.
const MOUTH: [usize; 2] = [61, 291];

/// How far those points of a face that expressions do not move may lie from a middling head's, as a share of the distance between the
/// outer corners of that head's eyes. Faces from people's videos and photographs lie at 0.03 to 0.09, profiles farthest; of two faces
/// that lie on each other the network mixes the parts, which gives up to 0.13.
const MISFIT: f64 = 0.095;

impl FaceShape {
    /// Of points in pixels of the picture; none where they make no head, or one that no person has.
    pub(super) fn of(points: &[[f32; 3]], geometry: &Geometry) -> Option<Self> {
        if points.len() != POINTS {
            return None;
        }
        let points = upright(points);
        let pose = Pose::of(&points, geometry)?;
        let [right, left] = EYES.map(|eye| geometry.canonical_cm[eye[0]]);
        let eyes_cm = right.iter().zip(&left).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        if pose.misfit_cm(&points, geometry) > MISFIT * eyes_cm {
            return None;
        }
        let head: Vec<Vector> = points.iter().map(|point| pose.on_head(*point)).collect();
        let shape = Self::of_head(&head, pose.angles());
        shape.is_finite().then_some(shape)
    }

    fn of_head(head: &[Vector], angles: Angles) -> Self {
        let distance =
            |a: usize, b: usize| head[a].iter().zip(&head[b]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let unit = distance(EYES[0][0], EYES[1][0]);
        let height = |of: &[usize]| of.iter().map(|index| head[*index][1]).sum::<f64>() / of.len() as f64;
        let over = |upper: usize, lower: usize| head[upper][1] - head[lower][1];
        let width = |eye: usize| distance(EYES[eye][0], EYES[eye][1]);
        let gaze = |eye: usize, axis: usize| {
            let [outer, inner] = EYES[eye];
            let middle = (head[outer][axis] + head[inner][axis]) / 2.0;
            (head[IRISES[eye]][axis] - middle) / width(eye)
        };
        let [left_corner, right_corner] = MOUTH;
        Self {
            angles,
            brow_heights: [0, 1].map(|side| (height(&BROWS[side]) - height(&EYES[side])) / unit),
            inner_brow_height: (height(&[55, 107, 285, 336]) - height(&[133, 362])) / unit,
            inner_brow_gap: (distance(55, 285) + distance(107, 336)) / 2.0 / unit,
            eye_apertures: [0, 1].map(|eye| {
                LIDS[eye].iter().map(|[upper, lower]| distance(*upper, *lower)).sum::<f64>() / 3.0 / width(eye)
            }),
            gazes: [0, 1].map(|eye| [gaze(eye, 0), gaze(eye, 1)]),
            mouth_opening: LIPS.iter().map(|[upper, lower]| over(*upper, *lower)).sum::<f64>() / 3.0 / unit,
            mouth_width: (head[right_corner][0] - head[left_corner][0])
                .hypot(head[right_corner][1] - head[left_corner][1])
                / unit,
            mouth_corners: (height(&MOUTH) - height(&[13, 14])) / unit,
        }
    }

    fn is_finite(&self) -> bool {
        let Self { angles, brow_heights, eye_apertures, gazes, .. } = self;
        let numbers = [
            angles.yaw,
            angles.pitch,
            angles.roll,
            self.inner_brow_height,
            self.inner_brow_gap,
            self.mouth_opening,
            self.mouth_width,
            self.mouth_corners,
        ];
        numbers.iter().chain(brow_heights).chain(eye_apertures).chain(gazes.iter().flatten()).all(|n| n.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The middling head, 10 pixels a centimetre, every other of the points that make a pose moved that many centimetres aside.
    fn head(geometry: &Geometry, moved_cm: f32) -> Vec<[f32; 3]> {
        let pixel = |[x, y, z]: &Vector| [100.0 + 10.0 * *x as f32, 100.0 - 10.0 * *y as f32, -10.0 * *z as f32];
        let mut points: Vec<[f32; 3]> = geometry.canonical_cm.iter().map(pixel).collect();
        points.extend([33, 33, 33, 33, 33, 263, 263, 263, 263, 263].map(|index: usize| points[index]));
        for (index, _) in geometry.pose.iter().step_by(2) {
            points[*index][0] += 10.0 * moved_cm;
        }
        points
    }

    #[test]
    fn a_face_whose_halves_belong_to_two_heads_has_no_shape() {
        let geometry = Geometry::built_in().unwrap();
        assert!(FaceShape::of(&head(&geometry, 0.0), &geometry).is_some());
        assert!(FaceShape::of(&head(&geometry, 0.5), &geometry).is_some(), "people differ");
        assert!(FaceShape::of(&head(&geometry, 4.0), &geometry).is_none());
    }
}

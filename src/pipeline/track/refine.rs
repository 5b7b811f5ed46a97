//! Refines an expected position with the refinement network.

use crate::picture::Plane;
use crate::picture::{Region, resample};
use crate::pipeline::track::refiner::{CONTEXT, FaceRefiner, SIDE};
use crate::timeline::BoundingBox;

/// A head turned by less than this is cut out upright: the network is trained on turns up to 45 degrees, and an upright
/// square is cheaper.
const UPRIGHT_DEGREES: f32 = 15.0;
/// Correction after which the network looks again, at the corrected position: sides of the box, or logarithm of the
/// size.
const LOOK_AGAIN: f32 = 0.1;

/// The network's result about a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Refined {
    pub(super) face: BoundingBox,
    /// Probability of a face, 0 to 1.
    pub(super) probability: f32,
    pub(super) roll_degrees: f32,
    /// Share of the face that is covered.
    pub(super) covered: f32,
}

/// Looks at `luma` about `expected`, with a head turned by `roll_degrees`.
pub(super) fn refine(refiner: &FaceRefiner, luma: &Plane, expected: &BoundingBox, roll_degrees: f32) -> Refined {
    let first = look(refiner, luma, expected, roll_degrees);
    let ((x, y), (u, v)) = (expected.centre(), first.face.centre());
    let moved = (x - u).hypot(y - v) / expected.w;
    if moved.max((first.face.w / expected.w).ln().abs()) < LOOK_AGAIN || first.probability < 0.1 {
        return first;
    }
    let second = look(refiner, luma, &first.face, first.roll_degrees);
    if second.probability >= 0.8 * first.probability { second } else { first }
}

fn look(refiner: &FaceRefiner, luma: &Plane, expected: &BoundingBox, roll_degrees: f32) -> Refined {
    let angle = if roll_degrees.abs() < UPRIGHT_DEGREES { 0.0 } else { roll_degrees };
    let (x, y) = expected.centre();
    let side = CONTEXT * expected.w;
    let square = Region { x, y, width: side, height: side, angle_degrees: angle };
    let judged = refiner.judge(resample(luma, &square, SIDE, SIDE));
    let (sin, cos) = angle.to_radians().sin_cos();
    let (across, down) = (judged.shift.0 * expected.w, judged.shift.1 * expected.w);
    let (x, y) = (x + across * cos - down * sin, y + across * sin + down * cos);
    let side = expected.w * judged.scale;
    Refined {
        face: BoundingBox { x: x - side / 2.0, y: y - side / 2.0, w: side, h: side },
        probability: judged.face,
        roll_degrees: (angle + judged.roll_degrees).clamp(-90.0, 90.0),
        covered: judged.covered,
    }
}

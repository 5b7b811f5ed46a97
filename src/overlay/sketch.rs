//! What the face does, drawn on the face: brows, eyes and mouth as the network's points have them, the way the head looks, and an
//! outline of the face while a hand is on it.
//!
//! The points do not stand in a timeline. They are found again in the picture that is drawn on, on the faces that were measured.

use super::canvas::Canvas;
use crate::nn::face_mesh::{FaceMesh, FaceMeshError};
use crate::palette::{Colour, colour_of_event};
use crate::picture::Planes;
use crate::pipeline::mesh::points_on;
use crate::timeline::{EventKind, FaceEvent, FaceMeasures, Measure, MeasureGroup, Timeline};

/// Points of MediaPipe's mesh in the order in which lines run through them: upper and lower edge of each brow.
const BROWS: [&[usize]; 4] =
    [&[70, 63, 105, 66, 107], &[46, 53, 52, 65, 55], &[300, 293, 334, 296, 336], &[276, 283, 282, 295, 285]];
/// About each eye.
const EYES: [&[usize]; 2] = [
    &[33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33],
    &[263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263],
];
/// About the lips, outside and inside.
const LIPS: [&[usize]; 2] = [
    &[61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61],
    &[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78],
];
/// About the face.
const OUTLINE: [usize; 37] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10,
];
/// Where the head's axis starts.
const NOSE: usize = 1;
/// Outer corners of the eyes.
const CORNERS: [usize; 2] = [33, 263];
/// Length of the axis of a face in profile, in distances of the eyes.
const AXIS: f64 = 1.5;

/// A line in the picture.
struct Line {
    points: Vec<(f64, f64)>,
    colour: Colour,
}

/// Draws on faces.
pub(super) struct Sketch {
    network: FaceMesh,
    groups: Vec<MeasureGroup>,
}

impl Sketch {
    /// `None` where nothing was measured.
    pub(super) fn of(timeline: &Timeline) -> Result<Option<Self>, FaceMeshError> {
        let groups = timeline.measured_groups();
        let is_measured =
            timeline.tracks.iter().flat_map(|track| &track.frames).any(|record| record.measures.is_some());
        is_measured.then(|| Ok(Self { network: FaceMesh::built_in()?, groups })).transpose()
    }

    /// Draws what the faces of a frame, `picture`, do. A picture of another size than the timeline's, in whose pixels its boxes are,
    /// stays as it is.
    pub(super) fn draw(&self, timeline: &Timeline, frame: usize, picture: &dyn Planes, canvas: &mut Canvas<'_>) {
        let luma = picture.luma();
        if (luma.width as u32, luma.height as u32) != (timeline.media.width, timeline.media.height) {
            return;
        }
        let records = timeline
            .tracks
            .iter()
            .filter_map(|track| Some((track, track.frames.get(frame.checked_sub(track.first_frame)?)?)));
        for (track, record) in records {
            let (Some(face), Some(measures)) = (record.face, record.measures) else { continue };
            let Some(points) = points_on(&self.network, picture, &face) else { continue };
            let thickness = (f64::from(face.w) / 60.0).clamp(1.0, 4.0);
            let is_now = |event: &FaceEvent| (event.first_frame..=event.last_frame).contains(&frame);
            let mut hands = track.events.iter().filter(|event| event.kind == EventKind::HandOnFace);
            let outline = hands.any(is_now).then(|| outline(&points));
            for line in self.lines(&points, &measures).into_iter().chain(outline) {
                canvas.lines(&line.points, thickness, line.colour);
            }
        }
    }

    fn lines(&self, points: &[[f32; 3]], measures: &FaceMeasures) -> Vec<Line> {
        let at = |index: usize| (f64::from(points[index][0]), f64::from(points[index][1]));
        let outlines: [(MeasureGroup, &[&[usize]], EventKind); 3] = [
            (MeasureGroup::Brows, &BROWS, EventKind::BrowsRaised),
            (MeasureGroup::Eyes, &EYES, EventKind::Blink),
            (MeasureGroup::Mouth, &LIPS, EventKind::MouthOpen),
        ];
        let mut lines = Vec::new();
        for (group, outlines, kind) in outlines {
            // Where the head is turned so far that nothing of a part is measured, its points are a guess.
            let is_known = Measure::ALL.into_iter().any(|m| m.group() == group && measures.get(m).is_some());
            for outline in outlines.iter().filter(|_| is_known && self.groups.contains(&group)) {
                let points = outline.iter().map(|index| at(*index)).collect();
                lines.push(Line { points, colour: colour_of_event(kind) });
            }
        }
        let angles = (measures.get(Measure::Yaw), measures.get(Measure::Pitch));
        if let (Some(yaw), Some(pitch)) = angles {
            let [a, b] = CORNERS.map(at);
            let from = at(NOSE);
            let (x, y) = looks(yaw, pitch);
            let length = AXIS * (a.0 - b.0).hypot(a.1 - b.1);
            let to = (from.0 + length * x, from.1 + length * y);
            lines.push(Line { points: vec![from, to], colour: Colour { red: 255, green: 255, blue: 255 } });
        }
        lines
    }
}

/// The outline of a face that a hand is on.
fn outline(points: &[[f32; 3]]) -> Line {
    let at = |place: usize| (f64::from(points[place][0]), f64::from(points[place][1]));
    Line { points: OUTLINE.into_iter().map(at).collect(), colour: colour_of_event(EventKind::HandOnFace) }
}

/// Where a head of these angles looks in the picture: across and down, each -1 to 1. The signer's left is right in the picture.
fn looks(yaw_degrees: f64, pitch_degrees: f64) -> (f64, f64) {
    let (yaw, pitch) = (yaw_degrees.to_radians(), pitch_degrees.to_radians());
    (yaw.sin() * pitch.cos(), -pitch.sin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_points_where_the_head_looks() {
        let (x, y) = looks(30.0, 0.0);
        assert!((x - 0.5).abs() < 1e-9 && y.abs() < 1e-9, "to the signer's left, which is right in the picture");
        let (x, y) = looks(0.0, 30.0);
        assert!(x.abs() < 1e-9 && (y + 0.5).abs() < 1e-9, "up");
    }
}

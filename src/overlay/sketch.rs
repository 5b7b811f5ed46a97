//! What the face does, drawn on the face: brows, eyes and mouth as the network's points have them, the way the head looks, and an
//! outline of the face while a hand is on it.
//!
//! The points do not stand in a timeline. They are found again in the picture that is drawn on, on the faces that were measured.

use ffmpeg_next::frame::Video;

use crate::nn::face_mesh::{FaceMesh, FaceMeshError};
use crate::palette::{Colour, colour_of_event};
use crate::picture::{Matrix, Planes};
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

    /// Draws what the faces of a frame do into `video`, a copy of `picture`. A picture of another size than the timeline's, in whose
    /// pixels its boxes are, stays as it is.
    pub(super) fn draw(&self, timeline: &Timeline, frame: usize, picture: &dyn Planes, video: &mut Video) {
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
                stroke(video, picture, &line, thickness);
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

/// Draws a line into every plane of `video`; `thickness` in pixels.
fn stroke(video: &mut Video, picture: &dyn Planes, line: &Line, thickness: f64) {
    let luma = picture.luma();
    let values = samples_of(line.colour, picture);
    let planes = [(luma.width, luma.height)].into_iter();
    let chroma = picture.chroma().into_iter().flatten().map(|plane| (plane.width, plane.height));
    for (plane, ((width, height), value)) in planes.chain(chroma).zip(values).enumerate() {
        let scale = (width as f64 / luma.width as f64, height as f64 / luma.height as f64);
        let stride = video.stride(plane);
        let samples = video.data_mut(plane);
        for pair in line.points.windows(2) {
            segment(pair, thickness, scale, (width, height), |x, y, cover| {
                let sample = &mut samples[y * stride + x];
                *sample = (f64::from(*sample) + cover * (value - f64::from(*sample))).round() as u8;
            });
        }
    }
}

/// Calls `put` with every sample that a segment covers, and how much of it, 0 to 1. `scale`: samples a pixel, across and down.
fn segment(
    pair: &[(f64, f64)],
    thickness: f64,
    scale: (f64, f64),
    (width, height): (usize, usize),
    mut put: impl FnMut(usize, usize, f64),
) {
    let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
    let reach = thickness / 2.0 + 1.0;
    let range = |a: f64, b: f64, scale: f64, count: usize| {
        let low = ((a.min(b) - reach) * scale).floor().clamp(0.0, count as f64) as usize;
        let high = ((a.max(b) + reach) * scale).ceil().clamp(0.0, count as f64) as usize;
        low..high
    };
    let squared = (bx - ax).powi(2) + (by - ay).powi(2);
    for y in range(ay, by, scale.1, height) {
        for x in range(ax, bx, scale.0, width) {
            // Middles of samples, in pixels of the picture.
            let (px, py) = ((x as f64 + 0.5) / scale.0, (y as f64 + 0.5) / scale.1);
            let along = ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / squared.max(1e-9);
            let along = along.clamp(0.0, 1.0);
            let distance = (px - ax - along * (bx - ax)).hypot(py - ay - along * (by - ay));
            let cover = (thickness / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
            if cover > 0.0 {
                put(x, y, cover);
            }
        }
    }
}

/// A colour as luma, Cb and Cr of the picture (ITU-T H.273).
fn samples_of(Colour { red, green, blue }: Colour, picture: &dyn Planes) -> [f64; 3] {
    let colour = picture.colour();
    let (kr, kb) = match colour.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let [red, green, blue] = [red, green, blue].map(|value| f64::from(value) / 255.0);
    let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
    let chroma = [(blue - luma) / (2.0 * (1.0 - kb)), (red - luma) / (2.0 * (1.0 - kr))];
    let (black, white, wide) = if colour.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    [black + white * luma, 128.0 + wide * chroma[0], 128.0 + wide * chroma[1]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::GreyPicture;

    #[test]
    fn a_line_covers_as_much_as_it_is_long_and_thick() {
        for (pair, thickness) in [([(10.5, 20.5), (60.5, 20.5)], 2.0), ([(10.0, 10.0), (50.0, 40.0)], 3.0)] {
            let mut sum = 0.0;
            segment(&pair, thickness, (1.0, 1.0), (100, 100), |_, _, cover| sum += cover);
            let [(ax, ay), (bx, by)]: [(f64, f64); 2] = pair;
            let length = (bx - ax).hypot(by - ay);
            // Both ends are round.
            let expected = length * thickness + std::f64::consts::PI * (thickness / 2.0).powi(2);
            assert!((sum / expected - 1.0f64).abs() < 0.05, "{sum} for {expected}");
        }
    }

    #[test]
    fn what_lies_beyond_the_picture_is_not_drawn() {
        segment(&[(-50.0, -3.0), (300.0, 200.0)], 2.0, (0.5, 0.5), (40, 30), |x, y, _| assert!(x < 40 && y < 30));
        segment(&[(f64::MAX, 0.0), (f64::MAX, 1.0)], 2.0, (1.0, 1.0), (40, 30), |_, _, _| panic!("far out"));
    }

    #[test]
    fn the_axis_points_where_the_head_looks() {
        let (x, y) = looks(30.0, 0.0);
        assert!((x - 0.5).abs() < 1e-9 && y.abs() < 1e-9, "to the signer's left, which is right in the picture");
        let (x, y) = looks(0.0, 30.0);
        assert!(x.abs() < 1e-9 && (y + 0.5).abs() < 1e-9, "up");
    }

    #[test]
    fn grey_is_white_where_the_line_is() {
        let (width, height) = (40, 30);
        let picture = GreyPicture { samples: vec![0; width * height], width, height };
        let mut video = Video::new(ffmpeg_next::format::Pixel::GRAY8, width as u32, height as u32);
        video.data_mut(0).fill(0);
        let line = Line { points: vec![(5.0, 15.5), (35.0, 15.5)], colour: Colour { red: 255, green: 255, blue: 255 } };
        stroke(&mut video, &picture, &line, 2.0);
        let stride = video.stride(0);
        assert_eq!((video.data(0)[15 * stride + 20], video.data(0)[5 * stride + 20]), (255, 0));
    }
}

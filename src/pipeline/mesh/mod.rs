//! What each face does: 478 points on it in every frame, and from these the head's turn, brows, eyes and mouth.
//!
//! The network looks at a turned square about the face. Where the face was seen in the frame before, the square lies about the
//! points found there, moved as the tracker's box has moved; else it lies about the box, and once more about the points found.
//! Neither the tracker's box nor the network's flag alone is believed: see [`trust`].
//! What is remembered ends with the span (see [`super::span`]), so that a span's measures depend on its own frames alone.
//! Hands before the face are looked for about its points: see [`hands`].

mod cover;
mod hands;
mod points;
mod pose;
mod shape;
mod square;
mod trust;

use std::collections::BTreeMap;

use super::frame::{Frame, Sighting};
use crate::nn::face_mesh::{FaceMesh, MESH_POINTS, SIDE};
use crate::nn::hands::HandsError;
use crate::picture::{BoundingBox, Planes};
use crate::timeline::{FaceMeasures, Measure, MeasureGroup, Status};
use cover::Cover;
pub(crate) use hands::HandNetworks;
use hands::Hands;
pub(crate) use points::points_on;
use pose::Angles;
use shape::FaceShape;
use square::{Square, rectangle};
use trust::Trust;

/// Logit from which a face is there: a probability of a half.
const THERE: f32 = 0.0;
/// The face that the points make and the tracker's box are the same one while their centres are less than so many sides of the
/// box apart, and the logarithms of their sizes differ by less.
const SAME_CENTRE: f32 = 0.5;
const SAME_SIZE: f32 = 0.6;
/// Side of the rectangle about the points, in sides of the tracker's box, where both are right.
const POINTS_OVER_BOX: f32 = 1.17;
/// Side of a box below which a face is too small for measures, pixels: 14 pixels between the eyes' outer corners.
const SMALLEST: f32 = 24.0;
/// Share of the points that may lie outside of the picture.
const OUTSIDE: f32 = 0.1;

/// A face that is seen the wrong way up has a logit of 12 at most, in 25 photographs turned over; with more, it is not looked at upside
/// down.
const UPRIGHT: f32 = 15.0;
/// A face is upside down if the logit is larger by so much when it is looked at that way. Of 25 such faces 24 have 9 to 30 more, and of
/// 367 upright ones none has more than 3.4.
const UPSIDE_DOWN: f32 = 6.0;
/// Where two faces lie on each other by more than this share of the smaller one, it is unknown whose points are whose.
const APART: f32 = 0.3;

/// A head that is turned further, either way, is turned away: half of the face is not seen.
pub(crate) const TURNED_AWAY_DEGREES: f64 = 45.0;
/// Beyond these turns the tracker's network, which knows faces from the front, takes the turn for something that covers the face. On a
/// man who turns his head with nothing before it, 111 of 478 frames were called covered; 21 are since.
const COVER_YAW_DEGREES: f64 = 20.0;
const COVER_PITCH_DEGREES: f64 = 25.0;
/// Beyond this yaw, brow and eye of the far side are a guess (docs/measures.md: up to 2.4 % of the eyes' distance at 15 to 30).
const FAR_SIDE_DEGREES: f64 = 15.0;
/// Beyond this yaw, mouth and what lies between the brows are.
const MIDDLE_DEGREES: f64 = 40.0;
/// Looking further down than this raises the brows by more than an expression does; looking further up, too.
const LOWEST_DEGREES: f64 = -20.0;
const HIGHEST_DEGREES: f64 = 45.0;
/// The expressions' model and the tracker know heads that stand, more or less.
const LYING_DEGREES: f64 = 90.0;
/// Aperture below which an iris is not seen.
const IRIS_SEEN: f64 = 0.12;

/// Share of a region that a hand hides from which the region's measures are a guess.
const HIDDEN: f32 = 0.1;
/// Where no hand is found, the tracker's own estimate says that something covers the face from this share on. Below 0.3 it fires on bare
/// faces (89 of 1,600 frames from 0.2 on, 6 from 0.25 on, none from 0.3 on).
const SURELY_COVERED: f32 = 0.35;

/// Follows the faces of a span with the network.
pub(crate) struct Meshes<'a> {
    network: &'a FaceMesh,
    /// Share of a face, or of a region of it, from which it counts as covered.
    occluded_above: f32,
    /// None where nobody asked for what hands do.
    hands: Option<Hands<'a>>,
    followed: BTreeMap<u32, Followed>,
}

/// What is known of a face from the frame before.
#[derive(Debug, Clone, Copy)]
struct Followed {
    square: Square,
    /// The tracker's box.
    face: BoundingBox,
    /// The frame.
    frame: usize,
    /// Whether it is a face at all.
    trust: Trust,
}

/// Points in the picture, and the square about them.
struct Located {
    points: Vec<[f32; 3]>,
    square: Square,
    /// The network's logit.
    flag: f32,
}

impl<'a> Meshes<'a> {
    pub(crate) fn new(network: &'a FaceMesh, hands: Option<&'a HandNetworks>, occluded_above: f32) -> Self {
        let hands = hands.map(|networks| Hands::new(networks, occluded_above));
        Self { network, occluded_above, hands, followed: BTreeMap::new() }
    }

    /// Forgets everybody: another span begins.
    pub(crate) fn begin(&mut self) {
        self.followed.clear();
        self.hands.iter_mut().for_each(Hands::begin);
    }

    /// Adds to what the tracker saw in `frame` what the faces do.
    ///
    /// # Errors
    /// If a network cannot be read, which tests exclude.
    pub(crate) fn look(&mut self, frame: &Frame, sightings: &mut [Sighting]) -> Result<(), HandsError> {
        let is_apart = apart(sightings);
        for (sighting, is_apart) in sightings.iter_mut().zip(is_apart) {
            let found = sighting.face.filter(|face| is_wanted(sighting.status, face));
            let found = found.and_then(|face| Some((face, self.find(frame, sighting, &face)?)));
            let Some((face, Located { points, square, flag })) = found else {
                self.forget(sighting.track);
                continue;
            };
            let before = self.followed.get(&sighting.track).map(|before| before.trust);
            let trust = Trust::after(before, frame.time_s, sighting.face_score, flag);
            self.followed.insert(sighting.track, Followed { square, face, frame: frame.index, trust });
            if !trust.is_face() {
                sighting.status = Status::LowQuality;
                continue;
            }
            let geometry = self.network.geometry();
            let shape = FaceShape::of(&points, geometry);
            let angles = shape.map(|shape| shape.angles);
            // Of a profile, an ear looks like a hand.
            let hands = self.hands.as_mut().filter(|_| angles.is_none_or(|angles| !is_turned_away(&angles)));
            let cover = hands.map(|hands| hands.look(frame, sighting.track, &face, &points, geometry)).transpose()?;
            if let Some(cover) = &cover {
                take_cover(sighting, cover, self.occluded_above);
            }
            let is_inside = is_inside(&points, frame.picture.as_ref());
            let Some(shape) = shape.filter(|_| is_apart && is_inside) else { continue };
            sighting.status = status(sighting.status, &shape.angles, cover.is_some());
            let is_seen = |measure| is_seen(measure, cover.as_ref(), sighting.status);
            sighting.measures = Some(measures(&shape).only(is_seen));
        }
        Ok(())
    }

    fn forget(&mut self, track: u32) {
        self.followed.remove(&track);
        self.hands.iter_mut().for_each(|hands| hands.forget(track));
    }

    /// The points of the face in `face`, the tracker's box; none where the network sees no face, or another one.
    fn find(&self, frame: &Frame, sighting: &Sighting, face: &BoundingBox) -> Option<Located> {
        let picture = frame.picture.as_ref();
        let before = self.followed.get(&sighting.track).filter(|before| before.frame + 1 == frame.index);
        if let Some(before) = before {
            let ((x, y), (u, v)) = (before.face.centre(), face.centre());
            let found = self.once(picture, &before.square.moved((u - x, v - y)));
            if let Some(found) = found.filter(|found| is_same(&found.points, face)) {
                return Some(found);
            }
        }
        let upright = self.twice(picture, &Square::about_box(face, sighting.roll_degrees));
        let flag = upright.as_ref().map_or(THERE, |found| found.flag);
        let upside_down = (flag < UPRIGHT)
            .then(|| self.twice(picture, &Square::about_box(face, sighting.roll_degrees + 180.0)))
            .flatten()
            .filter(|found| found.flag > flag + UPSIDE_DOWN);
        upside_down.or(upright).filter(|found| is_same(&found.points, face))
    }

    /// What is found in a square, looked at once more in the square about the points found.
    fn twice(&self, picture: &dyn Planes, square: &Square) -> Option<Located> {
        self.once(picture, &self.once(picture, square)?.square)
    }

    fn once(&self, picture: &dyn Planes, square: &Square) -> Option<Located> {
        let mesh = self.network.run(&square.content(picture, SIDE));
        if mesh.flag.is_nan() || mesh.flag <= THERE {
            return None;
        }
        let points = square.in_picture(&mesh.points);
        let square = Square::about_points(&points)?;
        Some(Located { points, square, flag: mesh.flag })
    }
}

/// Says of a face what hands cover of it. Where they cover little, the tracker's estimate counts, which sees other things than hands,
/// if it is sure.
fn take_cover(sighting: &mut Sighting, cover: &Cover, occluded_above: f32) {
    let other = sighting.covered.filter(|share| *share >= SURELY_COVERED.max(occluded_above));
    sighting.covered = Some(cover.face.max(other.unwrap_or(0.0)));
    sighting.regions = Some(cover.regions);
    if matches!(sighting.status, Status::Ok | Status::Occluded) {
        let is_covered = cover.regions.most() >= occluded_above || other.is_some();
        sighting.status = if is_covered { Status::Occluded } else { Status::Ok };
    }
}

/// Whether a measure can be told: not where a hand hides what it is about, or something covers the face that is not known.
fn is_seen(measure: Measure, cover: Option<&Cover>, status: Status) -> bool {
    let Some(Cover { regions, eyes: [right, left], .. }) = cover.filter(|cover| cover.face > 0.0) else {
        // A hand on the mouth makes it seem to open by more than a mouth does.
        return status != Status::Occluded || measure.group() != MeasureGroup::Mouth;
    };
    let hidden = match measure {
        Measure::BrowHeightRight | Measure::EyeApertureRight => *right,
        Measure::BrowHeightLeft | Measure::EyeApertureLeft => *left,
        Measure::InnerBrowHeight | Measure::InnerBrowGap => right.max(*left),
        // Told from the eyes that are seen.
        Measure::EyeOpenness => right.min(*left),
        Measure::GazeX | Measure::GazeY => right.max(*left),
        Measure::MouthOpening | Measure::MouthWidth | Measure::MouthCorners => regions.mouth,
        Measure::Yaw | Measure::Pitch | Measure::Roll => 0.0,
    };
    hidden < HIDDEN
}

/// What can be said about a face of this status by the turn of the head; `is_judged` where its cover was told by the hands before it.
fn status(status: Status, angles: &Angles, is_judged: bool) -> Status {
    let is_turned = angles.yaw.abs() >= COVER_YAW_DEGREES || angles.pitch.abs() >= COVER_PITCH_DEGREES;
    match status {
        Status::Ok | Status::Occluded if angles.roll.abs() >= LYING_DEGREES => Status::LowQuality,
        Status::Ok | Status::Occluded if is_turned_away(angles) => Status::TurnedAway,
        Status::Occluded if is_turned && !is_judged => Status::Ok,
        other => other,
    }
}

fn is_turned_away(angles: &Angles) -> bool {
    angles.yaw.abs() >= TURNED_AWAY_DEGREES
}

fn is_wanted(status: Status, face: &BoundingBox) -> bool {
    matches!(status, Status::Ok | Status::Occluded | Status::TurnedAway) && face.w >= SMALLEST
}

/// Whether each face lies apart from all others in its frame.
fn apart(sightings: &[Sighting]) -> Vec<bool> {
    let shared = |a: &BoundingBox, b: &BoundingBox| {
        let across = ((a.x + a.w).min(b.x + b.w) - a.x.max(b.x)).max(0.0);
        let down = ((a.y + a.h).min(b.y + b.h) - a.y.max(b.y)).max(0.0);
        across * down / (a.w * a.h).min(b.w * b.h)
    };
    let lies_on = |face: &BoundingBox, index: usize| {
        let others = sightings.iter().enumerate().filter(|(other, _)| *other != index);
        others.filter_map(|(_, other)| other.face).any(|other| shared(face, &other) > APART)
    };
    sightings.iter().enumerate().map(|(index, s)| s.face.is_none_or(|face| !lies_on(&face, index))).collect()
}

/// Whether the points are those of the face in the tracker's box.
fn is_same(points: &[[f32; 3]], face: &BoundingBox) -> bool {
    let found = rectangle(&points[..MESH_POINTS]);
    let ((x, y), (u, v)) = (face.centre(), found.centre());
    let size = found.w.max(found.h) / (POINTS_OVER_BOX * face.w.max(face.h));
    (x - u).hypot(y - v) < SAME_CENTRE * face.w && size.ln().abs() < SAME_SIZE
}

/// Whether nearly all points lie in the picture: those beyond its edge are made up.
fn is_inside(points: &[[f32; 3]], picture: &dyn Planes) -> bool {
    let luma = picture.luma();
    let is_out =
        |[x, y, _]: &&[f32; 3]| !(0.0..luma.width as f32).contains(x) || !(0.0..luma.height as f32).contains(y);
    (points.iter().filter(is_out).count() as f32) < OUTSIDE * points.len() as f32
}

/// The measures that the head's turn allows, none relative yet.
fn measures(shape: &FaceShape) -> FaceMeasures {
    let mut measures = FaceMeasures::default();
    let angles = shape.angles;
    measures.set(Measure::Yaw, Some(angles.yaw));
    measures.set(Measure::Pitch, Some(angles.pitch));
    measures.set(Measure::Roll, Some(angles.roll));
    let is_level = (LOWEST_DEGREES..=HIGHEST_DEGREES).contains(&angles.pitch);
    if angles.yaw.abs() > TURNED_AWAY_DEGREES || !is_level {
        return measures;
    }
    // With the nose to the left, the left side is the far one.
    let sees = [angles.yaw > -FAR_SIDE_DEGREES, angles.yaw < FAR_SIDE_DEGREES];
    let sees_middle = angles.yaw.abs() <= MIDDLE_DEGREES;
    let [right, left] = [0, 1].map(|side| sees[side].then_some(side));
    let [brow_right, brow_left] = [right, left].map(|side| side.map(|side| shape.brow_heights[side]));
    let [eye_right, eye_left] = [right, left].map(|side| side.map(|side| shape.eye_apertures[side]));
    measures.set(Measure::BrowHeightRight, brow_right);
    measures.set(Measure::BrowHeightLeft, brow_left);
    measures.set(Measure::EyeApertureRight, eye_right);
    measures.set(Measure::EyeApertureLeft, eye_left);
    let open: Vec<[f64; 2]> = [right, left]
        .into_iter()
        .flatten()
        .filter(|eye| shape.eye_apertures[*eye] >= IRIS_SEEN)
        .map(|eye| shape.gazes[eye])
        .collect();
    let gaze = |axis: usize| {
        let sum: f64 = open.iter().map(|gaze| gaze[axis]).sum();
        (!open.is_empty()).then(|| sum / open.len() as f64)
    };
    measures.set(Measure::GazeX, gaze(0));
    measures.set(Measure::GazeY, gaze(1));
    let middle = |value: f64| sees_middle.then_some(value);
    measures.set(Measure::InnerBrowHeight, middle(shape.inner_brow_height));
    measures.set(Measure::InnerBrowGap, middle(shape.inner_brow_gap));
    measures.set(Measure::MouthOpening, middle(shape.mouth_opening));
    measures.set(Measure::MouthWidth, middle(shape.mouth_width));
    measures.set(Measure::MouthCorners, middle(shape.mouth_corners));
    measures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Regions;

    #[test]
    fn a_turned_head_is_not_covered_by_its_turn() {
        let angles = |yaw, pitch| Angles { yaw, pitch, roll: 0.0 };
        assert_eq!(status(Status::Occluded, &angles(0.0, 5.0), false), Status::Occluded);
        assert_eq!(status(Status::Occluded, &angles(-30.0, 5.0), false), Status::Ok);
        assert_eq!(status(Status::Occluded, &angles(-30.0, 5.0), true), Status::Occluded, "a hand was seen");
        assert_eq!(status(Status::Occluded, &angles(0.0, 30.0), false), Status::Ok);
        assert_eq!(status(Status::Occluded, &angles(60.0, 0.0), true), Status::TurnedAway);
        assert_eq!(status(Status::Ok, &angles(-60.0, 0.0), false), Status::TurnedAway);
        assert_eq!(status(Status::LowQuality, &angles(60.0, 0.0), false), Status::LowQuality);
    }

    #[test]
    fn a_head_upside_down_has_no_expression() {
        for roll in [-178.0, 120.0] {
            assert_eq!(status(Status::Ok, &Angles { yaw: 0.0, pitch: 0.0, roll }, true), Status::LowQuality);
        }
        assert_eq!(status(Status::Ok, &Angles { yaw: 0.0, pitch: 0.0, roll: 40.0 }, true), Status::Ok);
    }

    fn covered(eyes: [f32; 2], mouth: f32) -> Cover {
        let regions = Regions { eyes: (eyes[0] + eyes[1]) / 2.0, mouth, ..Regions::default() };
        Cover { face: 0.05, regions, eyes }
    }

    #[test]
    fn measures_of_what_a_hand_hides_are_blank_and_others_are_not() {
        use Measure::*;
        let told = |cover: &Cover| -> Vec<Measure> {
            Measure::ALL.into_iter().filter(|measure| !is_seen(*measure, Some(cover), Status::Occluded)).collect()
        };
        assert_eq!(told(&covered([0.0, 0.0], 0.5)), [MouthOpening, MouthWidth, MouthCorners]);
        assert_eq!(
            told(&covered([0.5, 0.0], 0.05)),
            [BrowHeightRight, InnerBrowHeight, InnerBrowGap, EyeApertureRight, GazeX, GazeY]
        );
        assert!(told(&covered([0.5, 0.5], 0.0)).contains(&EyeOpenness));
        assert_eq!(told(&Cover::default()), [MouthOpening, MouthWidth, MouthCorners], "something that is no hand");
        assert!(Measure::ALL.into_iter().all(|measure| is_seen(measure, None, Status::Ok)));
    }

    #[test]
    fn a_face_is_covered_by_a_hand_on_a_region_of_it_or_surely_by_something_else() {
        let after = |before: Status, estimate: f32, cover: Cover| {
            let mut sighting = Sighting { covered: Some(estimate), ..Sighting::absent(1, before) };
            take_cover(&mut sighting, &cover, 0.2);
            (sighting.status, sighting.covered, sighting.regions.is_some())
        };
        let mouth = covered([0.0, 0.0], 0.3);
        assert_eq!(after(Status::Ok, 0.0, mouth), (Status::Occluded, Some(0.05), true));
        assert_eq!(after(Status::Ok, 0.0, covered([0.0, 0.0], 0.1)), (Status::Ok, Some(0.05), true));
        assert_eq!(after(Status::Occluded, 0.25, Cover::default()), (Status::Ok, Some(0.0), true), "a shadow");
        assert_eq!(after(Status::Occluded, 0.5, Cover::default()), (Status::Occluded, Some(0.5), true));
        assert_eq!(after(Status::LowQuality, 0.5, mouth).0, Status::LowQuality);
    }

    #[test]
    fn faces_that_lie_on_each_other_are_not_apart() {
        let sighting = |x: f32, w: f32| Sighting {
            face: Some(BoundingBox { x, y: 10.0, w, h: w }),
            face_score: Some(1.0),
            ..Sighting::absent(1, Status::Ok)
        };
        let nowhere = Sighting { face: None, ..sighting(0.0, 1.0) };
        assert_eq!(apart(&[sighting(0.0, 100.0), nowhere, sighting(90.0, 100.0)]), [true; 3]);
        assert_eq!(apart(&[sighting(0.0, 100.0), sighting(60.0, 100.0), sighting(300.0, 50.0)]), [false, false, true]);
        assert_eq!(apart(&[sighting(0.0, 200.0), sighting(20.0, 40.0)]), [false; 2], "a small one before a large one");
    }
}

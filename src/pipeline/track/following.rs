//! Follows one face from frame to frame: predicts its position, searches there, and decides what can be said about it.

use super::correlate::Patch;
use super::descriptor::Descriptor;
use super::held::{Glimpse, OCCLUDED};
use super::motion::{Measured, Motion};
use super::refine::{Refined, refine};
use super::{Eyes, LIKELY, PROVISIONAL, same_face};
use crate::picture::Plane;
use crate::picture::Region;
use crate::pipeline::detect::{Detection, SearchWindow};
use crate::pipeline::frame::{Frame, Sighting};
use crate::timeline::{BoundingBox, BoxSource, Status};

/// Probability from which the refinement network sees the face at the expected position.
pub(super) const SEEN: f32 = 0.5;
/// Probability from which the network alone keeps a track alive.
const SURE: f32 = 0.8;
/// Detector score that suffices where a face is expected.
const EXPECTED_SCORE: f32 = 1.0;
/// Hits after which a likely face is believed, and the number of frames within which they must occur.
pub(super) const HITS: u32 = 3;
const HITS_WITHIN: u32 = 10;
/// Correlation from which the content is the same. Tuned on the 19 real clips: most frames in which YuNet sees the face
/// and SeetaFace does not lie above it; empty background lies below 0.5.
const SAME: f32 = 0.7;
/// Correlation from which part of the face is still visible.
const PARTLY: f32 = 0.45;
/// If neither the detector nor the network is sure of a face for this long, it is lost even if the content seems the
/// same, seconds: correlation drifts.
const UNSURE_AT_MOST_S: f64 = 2.0;
/// If the tracker has not been sure of a face for this long, a face seen elsewhere may be this one, seconds.
const DOUBTED_AFTER_S: f64 = 0.3;
/// If nothing of a face is seen for this long, it is lost, seconds. Shorter than the time frames wait, so that the
/// sightings of that time can be taken back.
const UNSEEN_AT_MOST_S: f64 = 0.3;
/// Consecutive frames in which the network sees nothing and the detector searches each of them; after that it searches
/// less often.
const EAGER_SEARCHES: u32 = 3;
/// Time between later searches, seconds.
const SEARCH_EVERY_S: f64 = 0.1;
/// In-plane turns tried if the upright window shows no face, degrees.
const TURNS: [f32; 4] = [20.0, -20.0, 40.0, -40.0];
/// Time between updates of a signer's descriptor, seconds, and the share by which each update changes it.
const DESCRIBE_EVERY_S: f64 = 0.15;
const DESCRIBE_SHARE: f32 = 0.1;
/// If more than this share of a face is covered, its patch and descriptor are not updated.
const UNCOVERED: f32 = 0.3;
/// If the logarithm of the size changes by more than this from one frame to the next, it is a different face.
const LARGEST_STEP: f32 = 0.5;

/// Whether a track is in view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TrackState {
    /// In view, though possibly unseen for a moment.
    InView,
    Lost,
    OutOfFrame,
    /// A new shot began at this time; whether it shows the signer is still unknown.
    Cut {
        since_s: f64,
    },
}

/// A face that the tracker follows.
pub(super) struct FollowedFace {
    /// At least [`PROVISIONAL`] while the face is not believed yet.
    pub(super) id: u32,
    pub(super) motion: Motion,
    pub(super) state: TrackState,
    pub(super) hits: u32,
    /// Frames since it was found.
    followed: u32,
    pub(super) descriptor: Descriptor,
    pub(super) roll_degrees: f32,
    /// Time of the last measurement of the face.
    pub(super) seen_s: f64,
    /// Time at which the detector or the network was last sure of it.
    pub(super) sure_s: f64,
    patch: Patch,
    described_s: f64,
    covered: Option<f32>,
    searches_in_vain: u32,
    searched_s: f64,
    /// Index of the next of [`TURNS`] to try.
    turn: usize,
}

/// What was found at an expected position.
struct Evidence {
    face: BoundingBox,
    roll_degrees: f32,
    doubt: f32,
    score: Option<f32>,
    covered: Option<f32>,
    source: BoxSource,
    /// Strong enough to keep a track alive.
    is_sure: bool,
    /// Strong enough to begin a track if it recurs: the detector found a face and the network does not contradict it.
    /// To the network, a pattern can look a little like a face for a long time.
    is_convincing: bool,
}

impl From<Refined> for Evidence {
    fn from(refined: Refined) -> Self {
        Self {
            face: refined.face,
            roll_degrees: refined.roll_degrees,
            doubt: 1.0 + 4.0 * (1.0 - refined.probability) + 3.0 * refined.covered,
            score: Some(refined.probability),
            covered: Some(refined.covered),
            source: BoxSource::Detected,
            is_sure: refined.probability >= SURE,
            is_convincing: false,
        }
    }
}

impl FollowedFace {
    /// A track of a new face; `refined` is the network's result for it.
    pub(super) fn new(id: u32, detection: &Detection, refined: Option<Refined>, frame: &Frame, hits: u32) -> Self {
        let seen = refined.filter(|refined| refined.probability >= SEEN);
        let face = seen.map_or(detection.face, |refined| refined.face);
        let roll_degrees = seen.map_or(detection.roll_degrees, |refined| refined.roll_degrees);
        let now = frame.time_s;
        Self {
            id,
            motion: Motion::new(&face),
            state: TrackState::InView,
            hits,
            followed: 0,
            descriptor: Descriptor::of(frame.picture.as_ref(), &face, roll_degrees),
            roll_degrees,
            seen_s: now,
            sure_s: now,
            patch: Patch::of(&frame.picture.luma(), &face, roll_degrees),
            described_s: now,
            covered: seen.map(|refined| refined.covered),
            searches_in_vain: 0,
            searched_s: now,
            turn: 0,
        }
    }

    /// The same track, continued as that of the signer of `lost`.
    pub(super) fn continuing(self, lost: &Self) -> Self {
        let mut descriptor = lost.descriptor;
        descriptor.follow(&self.descriptor, 0.5);
        Self { id: lost.id, descriptor, ..self }
    }

    pub(super) fn is_believed(&self) -> bool {
        self.id < PROVISIONAL
    }

    pub(super) fn is_in_view(&self) -> bool {
        self.state == TrackState::InView
    }

    /// Whether the face is believed, or in view and not yet judged.
    pub(super) fn is_credible(&self) -> bool {
        self.is_believed() || self.is_in_view() && self.followed <= HITS_WITHIN
    }

    /// Whether the face is in view by more than correlation. The patch may have been taken from the background after
    /// the face moved on.
    pub(super) fn is_surely_in_view(&self, now: f64) -> bool {
        self.is_in_view() && now - self.sure_s <= DOUBTED_AFTER_S
    }

    /// Looks for the face in the next frame, `dt` seconds later.
    pub(super) fn follow(&mut self, eyes: &mut Eyes, frame: &Frame, dt: f64) -> Glimpse {
        if !self.is_in_view() {
            return self.unseen();
        }
        self.followed = self.followed.saturating_add(1);
        let luma = frame.picture.luma();
        let now = frame.time_s;
        self.motion.predict(dt);
        let expected = self.motion.face();
        if left_picture(&expected, &luma) {
            self.state = TrackState::OutOfFrame;
            return self.unseen();
        }
        let refined = eyes.refiner.as_ref().map(|r| refine(r, &luma, &expected, self.roll_degrees));
        let found = if self.is_believed() {
            self.see(refined, &expected).or_else(|| self.search(eyes, &luma, &expected, now))
        } else {
            self.search(eyes, &luma, &expected, now).or_else(|| self.see(refined, &expected))
        };
        if let Some(found) = found {
            return self.take(found, frame);
        }
        self.correlate(refined, &expected, frame, dt)
    }

    fn see(&mut self, refined: Option<Refined>, expected: &BoundingBox) -> Option<Evidence> {
        let refined = refined.filter(|r| r.probability >= SEEN && is_near(&r.face, expected))?;
        self.searches_in_vain = 0;
        Some(refined.into())
    }

    /// Searches with the detector in a window about the expected position: first upright or in the last known turn,
    /// then in two of the other turns.
    fn search(&mut self, eyes: &mut Eyes, luma: &Plane, expected: &BoundingBox, now: f64) -> Option<Evidence> {
        let is_eager = eyes.refiner.is_none() || self.searches_in_vain < EAGER_SEARCHES;
        if !is_eager && now - self.searched_s < SEARCH_EVERY_S {
            return None;
        }
        self.searched_s = now;
        let last_turn = if self.roll_degrees.abs() < 10.0 { 0.0 } else { self.roll_degrees.clamp(-60.0, 60.0) };
        let mut turns = vec![last_turn];
        if last_turn != 0.0 {
            turns.push(0.0);
        }
        if self.is_believed() {
            turns.extend((0..2).map(|step| TURNS[(self.turn + step) % TURNS.len()]));
        }
        for angle in turns {
            let (x, y) = expected.centre();
            let side = 2.0 * expected.w;
            let window = SearchWindow {
                region: Region { x, y, width: side, height: side, angle_degrees: angle },
                smallest: 0.7 * expected.w,
                largest: 1.5 * expected.w,
            };
            let found = eyes.detector.detect(luma, &window);
            let near = found
                .into_iter()
                .filter(|d| d.score >= EXPECTED_SCORE && same_face(&d.face, expected))
                .max_by(|a, b| (a.score * a.face.iou(expected)).total_cmp(&(b.score * b.face.iou(expected))));
            if let Some(detection) = near {
                self.searches_in_vain = 0;
                let roll = detection.roll_degrees;
                let refined = eyes.refiner.as_ref().map(|r| refine(r, luma, &detection.face, roll));
                let seen = refined.filter(|r| r.probability >= SEEN && is_near(&r.face, expected));
                return Some(Evidence {
                    is_sure: true,
                    is_convincing: refined.is_none_or(|r| r.probability >= SEEN),
                    doubt: 2.0,
                    face: seen.map_or(detection.face, |r| r.face),
                    roll_degrees: seen.map_or(roll, |r| r.roll_degrees),
                    score: Some(refined.map_or(certainty(detection.score), |r| r.probability)),
                    covered: seen.map(|r| r.covered),
                    source: BoxSource::Detected,
                });
            }
        }
        self.turn += 2;
        self.searches_in_vain += 1;
        None
    }

    /// Searches by correlation, the last resort; decides the status if that fails too.
    fn correlate(&mut self, refined: Option<Refined>, expected: &BoundingBox, frame: &Frame, dt: f64) -> Glimpse {
        let now = frame.time_s;
        let match_here = self.patch.find(&frame.picture.luma(), expected);
        let is_remembered = self.is_believed() && now - self.sure_s <= UNSURE_AT_MOST_S;
        if is_remembered && match_here.correlation >= SAME {
            let score = refined.map(|r| r.probability);
            return self.take(
                Evidence {
                    face: match_here.face,
                    roll_degrees: self.roll_degrees,
                    doubt: 2.0,
                    score,
                    covered: None,
                    source: BoxSource::Tracked,
                    is_sure: false,
                    is_convincing: false,
                },
                frame,
            );
        }
        self.motion.fade(dt);
        let is_partly_seen = is_remembered && match_here.correlation >= PARTLY;
        if !self.is_believed() || !is_partly_seen && now - self.seen_s > UNSEEN_AT_MOST_S {
            // A signer who was last seen half beyond the edge has left the picture there.
            self.state =
                if passes_edge(expected, &frame.picture.luma()) { TrackState::OutOfFrame } else { TrackState::Lost };
            return self.unseen();
        }
        let was_covered = self.covered.is_some_and(|covered| covered >= OCCLUDED);
        let status = if is_partly_seen || was_covered { Status::Occluded } else { Status::LowQuality };
        if is_partly_seen {
            self.seen_s = now;
        }
        let mut glimpse = self.glimpse(status, refined.map(|r| r.probability), BoxSource::Tracked);
        glimpse.measured = None;
        glimpse
    }

    fn take(&mut self, found: Evidence, frame: &Frame) -> Glimpse {
        let now = frame.time_s;
        let measured = Measured { face: found.face, doubt: found.doubt };
        self.motion.correct(&measured);
        self.roll_degrees = found.roll_degrees;
        self.seen_s = now;
        if found.is_sure {
            self.sure_s = now;
        }
        self.hits += u32::from(found.is_convincing);
        if found.covered.is_some() {
            self.covered = found.covered;
        }
        let is_clear = self.covered.is_none_or(|covered| covered < UNCOVERED);
        if is_clear {
            // The head turns a little from frame to frame, so the current view becomes the next frame's template.
            self.patch = Patch::of(&frame.picture.luma(), &self.motion.face(), self.roll_degrees);
            if now - self.described_s >= DESCRIBE_EVERY_S {
                self.described_s = now;
                let seen = Descriptor::of(frame.picture.as_ref(), &self.motion.face(), self.roll_degrees);
                self.descriptor.follow(&seen, DESCRIBE_SHARE);
            }
        }
        let is_occluded = found.covered.is_some_and(|covered| covered >= OCCLUDED);
        let mut glimpse =
            self.glimpse(if is_occluded { Status::Occluded } else { Status::Ok }, found.score, found.source);
        glimpse.sighting.covered = found.covered;
        glimpse.measured = Some(measured);
        glimpse
    }

    /// The glimpse of a new face.
    pub(super) fn first_glimpse(&self, refined: Option<Refined>, detector_score: f32) -> Glimpse {
        let covered = refined.filter(|r| r.probability >= SEEN).map(|r| r.covered);
        let is_occluded = covered.is_some_and(|covered| covered >= OCCLUDED);
        let status = if is_occluded { Status::Occluded } else { Status::Ok };
        let score = refined.map_or(certainty(detector_score), |r| r.probability);
        let mut glimpse = self.glimpse(status, Some(score), BoxSource::Detected);
        glimpse.sighting.covered = covered;
        glimpse
    }

    /// The glimpse of the face in an earlier frame, found from later ones.
    pub(super) fn earlier_glimpse(&self, refined: &Refined) -> Glimpse {
        let mut glimpse = self.first_glimpse(Some(*refined), 0.0);
        glimpse.sighting.face = Some(refined.face);
        glimpse.sighting.roll_degrees = refined.roll_degrees;
        glimpse.measured = Some(Measured { face: refined.face, doubt: Evidence::from(*refined).doubt });
        glimpse
    }

    fn glimpse(&self, status: Status, score: Option<f32>, source: BoxSource) -> Glimpse {
        let face = self.motion.face();
        Glimpse {
            sighting: Sighting {
                face: Some(face),
                face_score: score,
                source: Some(source),
                roll_degrees: self.roll_degrees,
                appearance: Some(self.descriptor),
                ..Sighting::absent(self.id, status)
            },
            measured: Some(Measured { face, doubt: 1.0 }),
        }
    }

    pub(super) fn unseen(&self) -> Glimpse {
        let status = if self.state == TrackState::OutOfFrame { Status::OutOfFrame } else { Status::NoFace };
        Glimpse { sighting: Sighting::absent(self.id, status), measured: None }
    }
}

/// The detector's score mapped to 0 to 1; the score at which a new face is considered maps to 0.5.
fn certainty(detector_score: f32) -> f32 {
    let score = detector_score.max(0.0);
    score / (score + LIKELY)
}

/// Whether a face can have moved from `expected` to `face` between two frames.
pub(super) fn is_near(face: &BoundingBox, expected: &BoundingBox) -> bool {
    same_face(face, expected) && (face.w / expected.w).ln().abs() < LARGEST_STEP
}

/// Whether a tenth of the box or more is outside the picture.
fn passes_edge(face: &BoundingBox, luma: &Plane) -> bool {
    let outside = |from: f32, length: f32, size: usize| (-from).max(from + length - size as f32);
    outside(face.x, face.w, luma.width) >= 0.1 * face.w || outside(face.y, face.h, luma.height) >= 0.1 * face.h
}

/// Whether less than half of the box is inside the picture.
fn left_picture(face: &BoundingBox, luma: &Plane) -> bool {
    let inside = |from: f32, length: f32, size: usize| ((from + length).min(size as f32) - from.max(0.0)).max(0.0);
    inside(face.x, face.w, luma.width) * inside(face.y, face.h, luma.height) < 0.5 * face.w * face.h
}

//! Which face is whose, from frame to frame: where to look, association, what to say where nothing is seen.
//!
//! The whole picture is searched only at the start, after a loss, and about once a second; otherwise a window about the
//! place where the face is expected, upright first, then turned. Where the detector is blind, the face's last appearance is
//! looked for by correlation. A new face is believed when it scores high or is seen again; its first frames, held back
//! until then, are not lost.

mod appearance;
mod motion;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::crop::Region;
use super::detect::{Detection, FaceDetector, SearchWindow};
use super::frame::{Frame, Plane, Sighting};
use crate::timeline::{BoundingBox, BoxSource, Status};
use appearance::Appearance;
use motion::Motion;

/// What can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackSettings {
    /// Smallest face looked for, as a share of the picture's shorter side.
    pub min_face: f32,
    /// Most faces followed at a time.
    pub max_faces: usize,
}

impl Default for TrackSettings {
    fn default() -> Self {
        Self { min_face: 0.1, max_faces: 8 }
    }
}

/// Time between searches of the whole picture while every known face is in view, seconds.
const SEARCH_EVERY_S: f64 = 1.0;
/// For so long after the start or a loss every frame is searched, then only one in [`SEARCH_LOST_EVERY_S`].
const SEARCH_EAGERLY_S: f64 = 1.0;
/// Time between searches of the whole picture while a face is missed, seconds.
const SEARCH_LOST_EVERY_S: f64 = 0.2;
/// Score from which a new face is believed at once (SeetaFace's own default threshold is 3.85).
const SURE: f32 = 5.0;
/// Score a new face needs to be considered at all.
const LIKELY: f32 = 2.0;
/// Hits after which a likely face is believed.
const HITS: u32 = 3;
/// Most frames held back while a likely face waits to be believed.
const HELD: usize = 4;
/// Score that is enough where a face is expected.
const EXPECTED: f32 = 1.0;
/// Correlation from which the same content is seen. Tuned on the 19 real clips: on frames in which YuNet sees the face
/// and SeetaFace does not, most are above; empty background is below 0.5.
const SAME: f32 = 0.7;
/// Correlation from which something of the face is still there.
const PARTLY: f32 = 0.45;
/// A face not detected for so long is lost even if the content seems the same, seconds: correlation drifts.
const TRACKED_AT_MOST_S: f64 = 2.0;
/// Overlap from which two boxes are of one face.
const SAME_FACE: f32 = 0.3;
/// Ids from here up are of faces that are not believed yet; they never leave the tracker.
const PROVISIONAL: u32 = 1 << 31;
/// In-plane turns tried where the upright window shows nothing, degrees.
const TURNS: [f32; 4] = [20.0, -20.0, 40.0, -40.0];

/// Follows faces through a video.
pub struct FaceTracker {
    detector: Box<dyn FaceDetector>,
    settings: TrackSettings,
    tracks: Vec<Track>,
    next_id: u32,
    next_provisional: u32,
    searched_s: f64,
    /// Since when a known face has been missing, or none has been known.
    missing_since_s: Option<f64>,
    previous_s: Option<f64>,
    size: (usize, usize),
    held: VecDeque<(Frame, Vec<Sighting>)>,
}

struct Track {
    /// At least [`PROVISIONAL`] while the face is not believed yet.
    id: u32,
    motion: Motion,
    appearance: Appearance,
    roll_degrees: f32,
    detected_s: f64,
    hits: u32,
    state: State,
    /// Which of [`TURNS`] are tried next.
    turn: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Seen,
    Lost,
    OutOfFrame,
}

impl FaceTracker {
    /// With a detector and settings.
    pub fn new(detector: Box<dyn FaceDetector>, settings: TrackSettings) -> Self {
        Self {
            detector,
            settings,
            tracks: Vec::new(),
            next_id: 1,
            next_provisional: PROVISIONAL,
            searched_s: f64::NEG_INFINITY,
            missing_since_s: None,
            previous_s: None,
            size: (0, 0),
            held: VecDeque::new(),
        }
    }

    /// Takes the next frame; gives the frames about which everything is known, in order, at most a few late.
    pub fn push(&mut self, frame: Frame) -> Vec<(Frame, Vec<Sighting>)> {
        let picture = std::sync::Arc::clone(&frame.picture);
        let luma = picture.luma();
        let dt = self.previous_s.map_or(0.0, |previous| (frame.time_s - previous) as f32);
        self.previous_s = Some(frame.time_s);
        if self.size != (luma.width, luma.height) {
            // Boxes of another picture size say nothing about this one.
            self.tracks.iter_mut().filter(|t| t.state == State::Seen).for_each(|t| t.state = State::Lost);
            self.size = (luma.width, luma.height);
        }
        let mut sightings = Vec::new();
        for track in &mut self.tracks {
            sightings.push(track.follow(self.detector.as_mut(), &luma, frame.time_s, dt));
        }
        self.merge_doubles(&mut sightings);
        if self.wants_search(frame.time_s) {
            self.searched_s = frame.time_s;
            self.search(&luma, frame.time_s, &mut sightings);
        }
        // A likely face that is missed was none.
        let mut kept = self.tracks.iter().map(|t| t.is_believed() || t.state == State::Seen);
        sightings.retain(|_| kept.next().unwrap_or(false));
        self.tracks.retain(|t| t.is_believed() || t.state == State::Seen);
        self.held.push_back((frame, sightings));
        self.believe();
        self.release(HELD)
    }

    /// Gives the frames still held.
    pub fn finish(mut self) -> Vec<(Frame, Vec<Sighting>)> {
        self.tracks.clear();
        self.release(0)
    }

    /// Frames no likely face waits for, and those beyond `most`.
    fn release(&mut self, most: usize) -> Vec<(Frame, Vec<Sighting>)> {
        let waiting = self.tracks.iter().any(|t| !t.is_believed());
        let mut released = Vec::new();
        while self.held.len() > if waiting { most } else { 0 } {
            let Some((frame, mut sightings)) = self.held.pop_front() else { break };
            sightings.retain(|s| s.track < PROVISIONAL);
            released.push((frame, sightings));
        }
        released
    }

    /// Gives ids to faces that have earned them, also in the frames held back.
    fn believe(&mut self) {
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            if track.is_believed() || track.hits < HITS {
                continue;
            }
            let (id, provisional) = (self.next_id, track.id);
            self.next_id += 1;
            self.tracks[index].id = id;
            let held = self.held.iter_mut().flat_map(|(_, sightings)| sightings);
            held.filter(|s| s.track == provisional).for_each(|s| s.track = id);
        }
    }

    fn wants_search(&mut self, now: f64) -> bool {
        let believed = || self.tracks.iter().filter(|t| t.is_believed());
        let is_missing = believed().next().is_none() || believed().any(|t| t.state != State::Seen);
        if !is_missing {
            self.missing_since_s = None;
            return now - self.searched_s >= SEARCH_EVERY_S;
        }
        let since = *self.missing_since_s.get_or_insert(now);
        // While somebody is in view, the one who is missing is looked for less eagerly.
        let in_view = self.tracks.iter().any(|t| t.state == State::Seen);
        let eager = now - since < SEARCH_EAGERLY_S && !in_view;
        eager || now - self.searched_s >= SEARCH_LOST_EVERY_S
    }

    fn search(&mut self, luma: &Plane, now: f64, sightings: &mut Vec<Sighting>) {
        let shorter = luma.width.min(luma.height) as f32;
        let window = SearchWindow::whole(luma, (self.settings.min_face * shorter).max(8.0));
        let found = self.detector.detect(luma, &window);
        for detection in found.into_iter().filter(|d| d.score >= LIKELY) {
            let known =
                self.tracks.iter().any(|t| t.state == State::Seen && same_face(&t.motion.face(), &detection.face));
            if known {
                continue;
            }
            if let Some(index) = self.lost_track_for(&detection) {
                let track = &mut self.tracks[index];
                track.restart(&detection, luma, now);
                sightings[index] = track.sighting(Status::Ok, Some(detection.score), BoxSource::Detected);
                continue;
            }
            if self.tracks.iter().filter(|t| t.state == State::Seen).count() < self.settings.max_faces {
                let track = Track::new(self.next_provisional, &detection, luma, now);
                self.next_provisional = PROVISIONAL.max(self.next_provisional.wrapping_add(1));
                sightings.push(track.sighting(Status::Ok, Some(detection.score), BoxSource::Detected));
                self.tracks.push(track);
            }
        }
    }

    /// The lost face that `detection` is: the nearest one of like size, or the only one there ever was.
    fn lost_track_for(&self, detection: &Detection) -> Option<usize> {
        let lost = || self.tracks.iter().enumerate().filter(|(_, t)| t.is_believed() && t.state != State::Seen);
        let only = self.tracks.iter().filter(|t| t.is_believed()).count() == 1;
        let distance = |track: &Track| {
            let (face, other) = (track.motion.face(), &detection.face);
            let ((x, y), (u, v)) = (face.centre(), other.centre());
            (x - u).hypot(y - v) / face.w.max(other.w) + (face.w / other.w).ln().abs()
        };
        let (index, track) = lost().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))?;
        (only || distance(track) < 2.0).then_some(index)
    }

    /// Where two tracks have run onto one face, the older keeps it.
    fn merge_doubles(&mut self, sightings: &mut [Sighting]) {
        for later in 1..self.tracks.len() {
            for earlier in 0..later {
                let both = self.tracks[earlier].state == State::Seen && self.tracks[later].state == State::Seen;
                let (a, b) = (self.tracks[earlier].motion.face(), self.tracks[later].motion.face());
                if both && a.iou(&b) > 0.5 {
                    // The one the detector sees stays; of two that it sees, the older one.
                    let detected = |index: usize| sightings[index].source == Some(BoxSource::Detected);
                    let loser = if detected(later) && !detected(earlier) { earlier } else { later };
                    self.tracks[loser].state = State::Lost;
                    sightings[loser] = self.tracks[loser].unseen();
                }
            }
        }
    }
}

fn same_face(a: &BoundingBox, b: &BoundingBox) -> bool {
    let ((x, y), (u, v)) = (a.centre(), b.centre());
    a.iou(b) > SAME_FACE || (x - u).hypot(y - v) < 0.4 * a.w.max(b.w)
}

impl Track {
    fn new(id: u32, detection: &Detection, luma: &Plane, now: f64) -> Self {
        Self {
            id,
            motion: Motion::new(&detection.face),
            appearance: Appearance::of(luma, &detection.face, detection.roll_degrees),
            roll_degrees: detection.roll_degrees,
            detected_s: now,
            hits: if detection.score >= SURE { HITS } else { 1 },
            state: State::Seen,
            turn: 0,
        }
    }

    fn restart(&mut self, detection: &Detection, luma: &Plane, now: f64) {
        *self = Self::new(self.id, detection, luma, now);
    }

    fn is_believed(&self) -> bool {
        self.id < PROVISIONAL
    }

    /// Looks for the face in the next frame, `dt` seconds later.
    fn follow(&mut self, detector: &mut dyn FaceDetector, luma: &Plane, now: f64, dt: f32) -> Sighting {
        if self.state != State::Seen {
            return self.unseen();
        }
        self.motion.predict(dt);
        let expected = self.motion.face();
        if left_picture(&expected, luma) {
            self.state = State::OutOfFrame;
            return self.unseen();
        }
        if let Some(detection) = self.detect(detector, luma, &expected) {
            self.motion.correct(&detection.face, dt);
            self.roll_degrees = detection.roll_degrees;
            self.appearance = Appearance::of(luma, &self.motion.face(), self.roll_degrees);
            self.detected_s = now;
            self.hits += 1;
            return self.sighting(Status::Ok, Some(detection.score), BoxSource::Detected);
        }
        let found = self.appearance.find(luma, &expected);
        if !self.is_believed() || found.correlation < PARTLY || now - self.detected_s > TRACKED_AT_MOST_S {
            self.state = State::Lost;
            return self.unseen();
        }
        if found.correlation < SAME {
            return self.sighting(Status::Occluded, None, BoxSource::Tracked);
        }
        self.motion.correct(&found.face, dt);
        // The head turns a little from frame to frame, so what is looked for next is what is seen now.
        self.appearance = Appearance::of(luma, &self.motion.face(), self.roll_degrees);
        self.sighting(Status::Ok, None, BoxSource::Tracked)
    }

    /// Upright or as last turned first; where that shows nothing, two of the other turns in this frame.
    fn detect(&mut self, detector: &mut dyn FaceDetector, luma: &Plane, expected: &BoundingBox) -> Option<Detection> {
        let mut turns = vec![self.roll_degrees];
        if self.roll_degrees != 0.0 {
            turns.push(0.0);
        }
        if self.is_believed() {
            turns.extend((0..2).map(|step| TURNS[(self.turn + step) % TURNS.len()]));
        }
        for (attempt, angle) in turns.into_iter().enumerate() {
            let (x, y) = expected.centre();
            let side = 2.0 * expected.w;
            let window = SearchWindow {
                region: Region { x, y, width: side, height: side, angle_degrees: angle },
                smallest: 0.7 * expected.w,
                largest: 1.5 * expected.w,
            };
            let found = detector.detect(luma, &window);
            let near = found
                .into_iter()
                .filter(|d| d.score >= EXPECTED && same_face(&d.face, expected))
                .max_by(|a, b| (a.score * a.face.iou(expected)).total_cmp(&(b.score * b.face.iou(expected))));
            if near.is_some() {
                if attempt == 0 {
                    self.turn = 0;
                }
                return near;
            }
        }
        self.turn += 2;
        None
    }

    fn sighting(&self, status: Status, score: Option<f32>, source: BoxSource) -> Sighting {
        Sighting {
            track: self.id,
            status,
            face: Some(self.motion.face()),
            face_score: score,
            source: Some(source),
            roll_degrees: self.roll_degrees,
        }
    }

    fn unseen(&self) -> Sighting {
        let status = if self.state == State::OutOfFrame { Status::OutOfFrame } else { Status::NoFace };
        Sighting { track: self.id, status, face: None, face_score: None, source: None, roll_degrees: 0.0 }
    }
}

/// Whether less than half of the box is inside the picture.
fn left_picture(face: &BoundingBox, luma: &Plane) -> bool {
    let inside = |from: f32, length: f32, size: usize| ((from + length).min(size as f32) - from.max(0.0)).max(0.0);
    inside(face.x, face.w, luma.width) * inside(face.y, face.h, luma.height) < 0.5 * face.w * face.h
}

#[cfg(test)]
mod tests;

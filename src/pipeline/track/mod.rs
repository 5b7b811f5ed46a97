//! Follows faces from frame to frame: decides where to search, which face belongs to which signer, and what to say when
//! nothing is seen.
//!
//! The detector searches the whole picture only at the start, after a loss, and about once a second. At an expected
//! position, the refinement network looks in every frame and corrects the position. If it sees no face, the detector
//! searches a window there, upright and turned. If that fails too, correlation looks for the face's last appearance. A
//! new face is believed once detector and network are sure of it, or once it has been seen again.
//!
//! Frames wait for a moment (`LOOK_AHEAD_S`), so that a new face is followed back to where it came from, gaps are
//! bridged from both sides, and boxes are smoothed without lag. A cut ends every track whose signer is not seen in the
//! new shot.

mod correlate;
mod cut;
mod descriptor;
mod following;
mod held;
mod identity;
mod motion;
mod refine;
pub mod refiner;

use serde::{Deserialize, Serialize};

use super::detect::{Detection, FaceDetector, SearchWindow, Searched};
use super::frame::{Frame, Sighting};
use super::settings::{SettingError, require};
use crate::choice::Choice;
use crate::picture::{Plane, Region};
use crate::pipeline::track::refiner::FaceRefiner;
use crate::timeline::BoundingBox;
use cut::Cuts;
use following::{FollowedFace, HITS, SEEN, TrackState, is_near};
use held::{Glimpse, Held, LOOK_AHEAD_S, LookAhead};
use refine::refine;

pub use descriptor::Descriptor;
pub(super) use identity::{Missing, REMEMBERED, SAME_FACE};

/// The tracker's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackSettings {
    /// Side of the smallest face that is searched for, as a share of the picture's shorter side.
    pub min_face: f32,
    /// Largest number of faces that are followed at a time.
    pub max_faces: usize,
    /// Whether frames wait for later ones.
    pub latency: Latency,
}

/// Whether frames wait for later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Latency {
    /// Frames wait 0.4 s: boxes are smoothed forward and backward, gaps are bridged from both sides.
    Normal,
    /// No frame waits; boxes are smoothed forward only.
    Low,
}

impl TrackSettings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// The first setting that does not.
    pub fn check(&self) -> Result<(), SettingError> {
        require("track.min_face", self.min_face.into(), "above 0 and at most 1", |share| share > 0.0 && share <= 1.0)?;
        require("track.max_faces", self.max_faces as f64, "at least 1", |count| count >= 1.0)
    }
}

impl Choice for Latency {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (
            Self::Normal,
            "normal",
            "Frames wait 0.4 s: boxes are smoothed forward and backward, gaps are bridged from both sides",
        ),
        (Self::Low, "low", "No frame waits; boxes are smoothed forward only"),
    ];
}

impl Default for TrackSettings {
    fn default() -> Self {
        Self { min_face: 0.1, max_faces: 8, latency: Latency::Normal }
    }
}

/// Time between searches of the whole picture while every known face is in view, seconds.
pub(crate) const SEARCH_EVERY_S: f64 = 1.0;
/// For this long after the start or a loss, every frame is searched, seconds.
const SEARCH_EAGERLY_S: f64 = 1.0;
/// Time between searches of the whole picture while a face is missing, seconds: (time since the loss, time between
/// searches).
const SEARCH_MISSING: [(f64, f64); 3] = [(10.0, 1.0), (3.0, 0.5), (0.0, 0.2)];
/// Score from which a new face is believed at once (SeetaFace's own default threshold is 3.85).
const SURE: f32 = 5.0;
/// Score from which a new face is considered at all.
const LIKELY: f32 = 2.0;
/// If the network's probability is below this, a new face is rejected whatever the detector's score.
const DENIED: f32 = 0.2;
/// Turns of the whole picture that are searched if no face is in view and the upright picture shows none, degrees.
const WHOLE_TURNS: [f32; 2] = [30.0, -30.0];
/// Overlap from which two tracks have the same face.
const SAME_PLACE: f32 = 0.5;
/// Ids from here up belong to faces that are not believed yet; they never leave the tracker.
const PROVISIONAL: u32 = 1 << 31;

/// Follows faces through a video.
pub struct FaceTracker {
    eyes: Eyes,
    settings: TrackSettings,
    tracks: Vec<FollowedFace>,
    next_id: u32,
    next_provisional: u32,
    searched_s: f64,
    turn: usize,
    /// The time since which a known face has been missing, or since which none has been known.
    missing_since_s: Option<f64>,
    previous_s: Option<f64>,
    cuts: Cuts,
    ahead: LookAhead,
}

/// The detector and the refinement network.
struct Eyes {
    detector: Box<dyn FaceDetector>,
    refiner: Option<FaceRefiner>,
}

impl FaceTracker {
    /// Makes a tracker with the built-in refinement network.
    pub fn new(detector: Box<dyn FaceDetector>, settings: TrackSettings) -> Self {
        // A test reads the built-in network; without it, detector and correlation follow faces.
        Self::with_refiner(detector, FaceRefiner::built_in().ok(), settings)
    }

    /// Makes a tracker with another refinement network, or with none.
    pub fn with_refiner(
        detector: Box<dyn FaceDetector>,
        refiner: Option<FaceRefiner>,
        settings: TrackSettings,
    ) -> Self {
        let ahead = LookAhead::new(settings.latency == Latency::Normal);
        Self {
            eyes: Eyes { detector, refiner },
            settings,
            tracks: Vec::new(),
            next_id: 1,
            next_provisional: PROVISIONAL,
            searched_s: f64::NEG_INFINITY,
            turn: 0,
            missing_since_s: None,
            previous_s: None,
            cuts: Cuts::default(),
            ahead,
        }
    }

    /// Takes the next frame; returns the frames about which everything is known, in order, at most `LOOK_AHEAD_S`
    /// late.
    pub fn push(&mut self, frame: Frame) -> Vec<(Frame, Vec<Sighting>)> {
        self.push_searched(Searched { frame, search: None })
    }

    /// As [`push`](Self::push), for a frame that may have been searched already, in [`whole_picture`].
    pub(crate) fn push_searched(&mut self, Searched { frame, search }: Searched) -> Vec<(Frame, Vec<Sighting>)> {
        let now = frame.time_s;
        let dt = self.previous_s.replace(now).map_or(0.0, |previous| now - previous);
        let is_cut = self.cuts.is_cut(&frame.picture.luma());
        if is_cut {
            self.end_shot(now);
        }
        let mut glimpses: Vec<Glimpse> = self.tracks.iter_mut().map(|t| t.follow(&mut self.eyes, &frame, dt)).collect();
        self.merge_doubles(&frame, &mut glimpses);
        let mut found = Vec::new();
        if self.wants_search(now) {
            self.searched_s = now;
            let upright = search.and_then(|search| search.faces());
            self.search(&frame, upright.as_deref(), &mut glimpses, &mut found);
        }
        // A likely face that is lost, or remains unconvincing for long, was no face.
        let mut kept = self.tracks.iter().map(|t| t.is_credible());
        glimpses.retain(|_| kept.next().unwrap_or(false));
        self.tracks.retain(|t| t.is_credible());
        self.ahead.held.push_back(Held { frame, glimpses, is_cut });
        found.extend(self.believe());
        for id in found {
            self.look_back(id);
        }
        for track in self.tracks.iter().filter(|t| t.state == TrackState::Lost) {
            self.ahead.take_back(track.id, &track.unseen().sighting);
        }
        self.end_tracks(now);
        self.ahead.release(false)
    }

    /// When the whole picture was last searched, seconds; before the first search and after a cut, long ago.
    pub(crate) fn searched_s(&self) -> f64 {
        self.searched_s
    }

    /// Returns the frames still held.
    pub fn finish(mut self) -> Vec<(Frame, Vec<Sighting>)> {
        for track in self.tracks.iter().filter(|t| matches!(t.state, TrackState::Cut { .. })) {
            self.ahead.strike_since_cut(track.id);
        }
        self.ahead.release(true)
    }

    /// After a cut, no face is where it was.
    fn end_shot(&mut self, now: f64) {
        for track in self.tracks.iter().filter(|t| matches!(t.state, TrackState::Cut { .. })) {
            self.ahead.strike_since_cut(track.id);
        }
        self.tracks.retain(|t| t.is_believed() && !matches!(t.state, TrackState::Cut { .. }));
        self.tracks.iter_mut().for_each(|t| t.state = TrackState::Cut { since_s: now });
        self.missing_since_s = None;
        self.searched_s = f64::NEG_INFINITY;
    }

    /// Ends the tracks of the previous shot whose signers have not been seen in this one, and forgets the signers
    /// beyond [`REMEMBERED`].
    fn end_tracks(&mut self, now: f64) {
        let patience_s = if self.settings.latency == Latency::Low { 0.0 } else { 0.7 * LOOK_AHEAD_S };
        let ahead = &mut self.ahead;
        self.tracks.retain(|track| match track.state {
            TrackState::Cut { since_s } if now - since_s >= patience_s => {
                ahead.strike_since_cut(track.id);
                false
            }
            _ => true,
        });
        let lost = |track: &FollowedFace| matches!(track.state, TrackState::Lost | TrackState::OutOfFrame);
        while self.tracks.iter().filter(|t| lost(t)).count() > REMEMBERED {
            let longest = self.tracks.iter().filter(|t| lost(t)).map(|t| t.seen_s).fold(f64::INFINITY, f64::min);
            let Some(index) = self.tracks.iter().position(|t| lost(t) && t.seen_s == longest) else { break };
            self.tracks.remove(index);
        }
    }

    /// Gives final ids to the faces that have earned them, in held frames too; returns these ids.
    fn believe(&mut self) -> Vec<u32> {
        let mut believed = Vec::new();
        for track in self.tracks.iter_mut().filter(|t| !t.is_believed() && t.hits >= HITS) {
            self.ahead.rename(track.id, self.next_id);
            track.id = self.next_id;
            believed.push(track.id);
            self.next_id += 1;
        }
        believed
    }

    /// Follows a new face back through the held frames as far as the network sees it there.
    fn look_back(&mut self, id: u32) {
        let Some(refiner) = &self.eyes.refiner else { return };
        let Some(track) = self.tracks.iter().find(|t| t.id == id) else { return };
        let held = &mut self.ahead.held;
        let of = |glimpses: &[Glimpse]| glimpses.iter().position(|glimpse| glimpse.sighting.track == id);
        let seen = |held: &Held| of(&held.glimpses).and_then(|index| held.glimpses[index].measured).map(|m| m.face);
        let Some(mut first) = held.len().checked_sub(1) else { return };
        let Some(mut face) = seen(&held[first]) else { return };
        while first > 0 && !held[first].is_cut {
            if let Some(earlier) = seen(&held[first - 1]) {
                (first, face) = (first - 1, earlier);
                continue;
            }
            let Held { frame, glimpses, .. } = &mut held[first - 1];
            let refined = refine(refiner, &frame.picture.luma(), &face, track.roll_degrees);
            if refined.probability < SEEN || !is_near(&refined.face, &face) {
                return;
            }
            let is_taken =
                |glimpse: &Glimpse| glimpse.sighting.face.is_some_and(|other| other.iou(&refined.face) > SAME_FACE);
            if glimpses.iter().any(|glimpse| glimpse.sighting.track != id && is_taken(glimpse)) {
                return;
            }
            let glimpse = track.earlier_glimpse(&refined);
            match of(glimpses) {
                Some(index) => glimpses[index] = glimpse,
                None => glimpses.push(glimpse),
            }
            (first, face) = (first - 1, refined.face);
        }
    }

    fn wants_search(&mut self, now: f64) -> bool {
        let mut believed = self.tracks.iter().filter(|t| t.is_believed()).peekable();
        let is_missing = believed.peek().is_none() || believed.any(|t| !t.is_surely_in_view(now));
        if !is_missing {
            self.missing_since_s = None;
            return now - self.searched_s >= SEARCH_EVERY_S;
        }
        let missing_s = now - *self.missing_since_s.get_or_insert(now);
        // While a signer is in view, searches for a missing one are less frequent.
        let in_view = self.tracks.iter().any(FollowedFace::is_in_view);
        let every_s =
            SEARCH_MISSING.iter().find(|(from_s, _)| missing_s >= *from_s).map_or(0.0, |(_, every_s)| *every_s);
        missing_s < SEARCH_EAGERLY_S && !in_view || now - self.searched_s >= every_s
    }

    /// Searches the whole picture upright, unless that has been done, then turned if no face is in view and the upright picture
    /// shows none.
    fn search(
        &mut self,
        frame: &Frame,
        upright: Option<&[Detection]>,
        glimpses: &mut Vec<Glimpse>,
        found: &mut Vec<u32>,
    ) {
        let luma = frame.picture.luma();
        let window = whole_picture(&luma, &self.settings);
        let mut detections = upright.map_or_else(|| self.eyes.detector.detect(&luma, &window), <[Detection]>::to_vec);
        if detections.iter().all(|d| d.score < LIKELY) && !self.tracks.iter().any(FollowedFace::is_in_view) {
            let angle_degrees = WHOLE_TURNS[self.turn % WHOLE_TURNS.len()];
            self.turn += 1;
            let region = Region { angle_degrees, ..window.region };
            detections = self.eyes.detector.detect(&luma, &SearchWindow { region, ..window });
        }
        for detection in detections.into_iter().filter(|d| d.score >= LIKELY) {
            self.match_detection(&detection, frame, glimpses, found);
        }
    }

    /// Matches a face of the whole picture with a followed track or a lost one, or begins a new track.
    fn match_detection(
        &mut self,
        detection: &Detection,
        frame: &Frame,
        glimpses: &mut Vec<Glimpse>,
        found: &mut Vec<u32>,
    ) {
        let in_view = |t: &&mut FollowedFace| t.is_in_view() && same_face(&t.motion.face(), &detection.face);
        if let Some(known) = self.tracks.iter_mut().find(in_view) {
            known.sure_s = frame.time_s;
            return;
        }
        let luma = frame.picture.luma();
        let refiner = self.eyes.refiner.as_ref();
        let refined = refiner.map(|r| refine(r, &luma, &detection.face, detection.roll_degrees));
        let probability = refined.map_or(1.0, |r| r.probability);
        if probability < DENIED {
            return;
        }
        let is_sure = detection.score >= SURE && probability >= SEEN;
        let track = FollowedFace::new(self.next_provisional, detection, refined, frame, if is_sure { HITS } else { 1 });
        if let Some(index) = self.lost_track_for(&track, frame.time_s) {
            let id = self.tracks[index].id;
            self.tracks[index] = track.continuing(&self.tracks[index]);
            glimpses[index] = self.tracks[index].first_glimpse(refined, detection.score);
            found.push(id);
            return;
        }
        if self.tracks.iter().filter(|t| t.is_in_view()).count() < self.settings.max_faces {
            self.next_provisional = PROVISIONAL.max(self.next_provisional.wrapping_add(1));
            glimpses.push(track.first_glimpse(refined, detection.score));
            self.tracks.push(track);
        }
    }

    /// The lost or doubtful track that a new face continues: the one whose signer it resembles most, if it does so
    /// enough.
    fn lost_track_for(&self, found: &FollowedFace, now: f64) -> Option<usize> {
        let is_doubtful = move |track: &FollowedFace| track.is_believed() && !track.is_surely_in_view(now);
        let lost = || self.tracks.iter().enumerate().filter(move |(_, track)| is_doubtful(track));
        let is_only_one = lost().count() == 1 && !self.tracks.iter().any(|track| track.is_surely_in_view(now));
        let likeness = |track: &FollowedFace| {
            let missing = Missing {
                face: track.motion.face(),
                appearance: &track.descriptor,
                seen_s: track.seen_s,
                is_cut: matches!(track.state, TrackState::Cut { .. }),
            };
            missing.likeness(&found.motion.face(), &found.descriptor, now, is_only_one)
        };
        lost()
            .filter_map(|(index, track)| Some((index, likeness(track)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(index, _)| index)
    }

    /// If two tracks have converged on one face, keeps the one whose signer resembles it more.
    fn merge_doubles(&mut self, frame: &Frame, glimpses: &mut [Glimpse]) {
        for later in 1..self.tracks.len() {
            for earlier in 0..later {
                let both = self.tracks[earlier].is_in_view() && self.tracks[later].is_in_view();
                let (a, b) = (self.tracks[earlier].motion.face(), self.tracks[later].motion.face());
                if both && a.iou(&b) > SAME_PLACE {
                    let here = Descriptor::of(frame.picture.as_ref(), &a, self.tracks[earlier].roll_degrees);
                    let likeness = |index: usize| self.tracks[index].descriptor.similarity(&here);
                    let is_later = self.tracks[later].is_believed() == self.tracks[earlier].is_believed()
                        && likeness(later) > likeness(earlier) + 0.02;
                    let loser = if is_later { earlier } else { later };
                    self.tracks[loser].state = TrackState::Lost;
                    glimpses[loser] = self.tracks[loser].unseen();
                }
            }
        }
    }
}

/// Where and how finely a whole picture is searched for faces.
pub(crate) fn whole_picture(luma: &Plane, settings: &TrackSettings) -> SearchWindow {
    let shorter = luma.width.min(luma.height) as f32;
    SearchWindow::whole(luma, (settings.min_face * shorter).max(8.0))
}

fn same_face(a: &BoundingBox, b: &BoundingBox) -> bool {
    let ((x, y), (u, v)) = (a.centre(), b.centre());
    a.iou(b) > SAME_FACE || (x - u).hypot(y - v) < 0.4 * a.w.max(b.w)
}

#[cfg(test)]
mod tests;

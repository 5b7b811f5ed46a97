//! Which face is whose, from frame to frame: where to look, association, what to say where nothing is seen.
//!
//! The whole picture is searched by the detector only at the start, after a loss, and about once a second. Where a face is
//! expected, the refinement network looks in every frame, and corrects the place; where it sees none, the detector is asked in
//! a window there, upright and turned; where that is blind too, the face's last appearance is looked for by correlation. A
//! new face is believed when detector and network are sure of it or it is seen again.
//!
//! Frames wait for a moment ([`LOOK_AHEAD_S`]), so that a face just found is followed back to where it came from, gaps are
//! bridged from both sides, and boxes are smoothed without lag. A cut ends every track but those whose signer is seen in the
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

use super::detect::{Detection, FaceDetector, SearchWindow};
use super::frame::{Frame, Sighting};
use crate::picture::Region;
use crate::pipeline::track::refiner::FaceRefiner;
use crate::timeline::BoundingBox;
use cut::Cuts;
use following::{HITS, SEEN, State, Track, is_near};
use held::{Held, LOOK_AHEAD_S, Look, LookAhead};
use refine::refine;

pub use descriptor::Descriptor;
pub(super) use identity::{Missing, REMEMBERED, SAME_FACE};

/// What can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackSettings {
    /// Smallest face looked for, as a share of the picture's shorter side.
    pub min_face: f32,
    /// Most faces followed at a time.
    pub max_faces: usize,
    /// Whether frames wait for later ones.
    pub latency: Latency,
}

/// Whether frames wait for later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Latency {
    /// Frames wait 0.4 s: boxes are smoothed forward and backward, gaps are bridged from both sides.
    Normal,
    /// No frame waits; boxes are smoothed forward only.
    Low,
}

impl Default for TrackSettings {
    fn default() -> Self {
        Self { min_face: 0.1, max_faces: 8, latency: Latency::Normal }
    }
}

/// Time between searches of the whole picture while every known face is in view, seconds.
const SEARCH_EVERY_S: f64 = 1.0;
/// For so long after the start or a loss every frame is searched, seconds.
const SEARCH_EAGERLY_S: f64 = 1.0;
/// Time between searches of the whole picture while a face is missed, seconds: from how long after the loss, how often.
const SEARCH_MISSING: [(f64, f64); 3] = [(10.0, 1.0), (3.0, 0.5), (0.0, 0.2)];
/// Score from which a new face is believed at once (SeetaFace's own default threshold is 3.85).
const SURE: f32 = 5.0;
/// Score a new face needs to be considered at all.
const LIKELY: f32 = 2.0;
/// A new face of which the network is less sure than this is none, whatever the detector says.
const DENIED: f32 = 0.2;
/// Turns of the whole picture searched where no face is in view and the upright one shows none, degrees.
const WHOLE_TURNS: [f32; 2] = [30.0, -30.0];
/// Overlap from which two faces cannot both be there.
const SAME_PLACE: f32 = 0.5;
/// Ids from here up are of faces that are not believed yet; they never leave the tracker.
const PROVISIONAL: u32 = 1 << 31;

/// Follows faces through a video.
pub struct FaceTracker {
    eyes: Eyes,
    settings: TrackSettings,
    tracks: Vec<Track>,
    next_id: u32,
    next_provisional: u32,
    searched_s: f64,
    turn: usize,
    /// Since when a known face has been missing, or none has been known.
    missing_since_s: Option<f64>,
    previous_s: Option<f64>,
    cuts: Cuts,
    ahead: LookAhead,
}

/// What looks at pictures.
struct Eyes {
    detector: Box<dyn FaceDetector>,
    refiner: Option<FaceRefiner>,
}

impl FaceTracker {
    /// With a detector, settings and the built-in refinement network.
    pub fn new(detector: Box<dyn FaceDetector>, settings: TrackSettings) -> Self {
        // A test reads the built-in network; without it faces are followed by detector and correlation.
        Self::with_refiner(detector, FaceRefiner::built_in().ok(), settings)
    }

    /// With another refinement network, or none.
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

    /// Takes the next frame; gives the frames about which everything is known, in order, at most [`LOOK_AHEAD_S`] late.
    pub fn push(&mut self, frame: Frame) -> Vec<(Frame, Vec<Sighting>)> {
        let now = frame.time_s;
        let dt = self.previous_s.replace(now).map_or(0.0, |previous| now - previous);
        let is_cut = self.cuts.is_cut(&frame.picture.luma());
        if is_cut {
            self.end_shot(now);
        }
        let mut looks: Vec<Look> = self.tracks.iter_mut().map(|t| t.follow(&mut self.eyes, &frame, dt)).collect();
        self.merge_doubles(&frame, &mut looks);
        let mut found = Vec::new();
        if self.wants_search(now) {
            self.searched_s = now;
            self.search(&frame, &mut looks, &mut found);
        }
        // A likely face that is missed, or does not convince for long, was none.
        let mut kept = self.tracks.iter().map(|t| t.is_credible());
        looks.retain(|_| kept.next().unwrap_or(false));
        self.tracks.retain(|t| t.is_credible());
        self.ahead.held.push_back(Held { frame, looks, is_cut });
        found.extend(self.believe());
        for id in found {
            self.look_back(id);
        }
        for track in self.tracks.iter().filter(|t| t.state == State::Lost) {
            self.ahead.take_back(track.id, &track.unseen().sighting);
        }
        self.end_tracks(now);
        self.ahead.release(false)
    }

    /// Gives the frames still held.
    pub fn finish(mut self) -> Vec<(Frame, Vec<Sighting>)> {
        for track in self.tracks.iter().filter(|t| matches!(t.state, State::Cut { .. })) {
            self.ahead.strike_since_cut(track.id);
        }
        self.ahead.release(true)
    }

    /// At a cut nothing is where it was.
    fn end_shot(&mut self, now: f64) {
        for track in self.tracks.iter().filter(|t| matches!(t.state, State::Cut { .. })) {
            self.ahead.strike_since_cut(track.id);
        }
        self.tracks.retain(|t| t.is_believed() && !matches!(t.state, State::Cut { .. }));
        self.tracks.iter_mut().for_each(|t| t.state = State::Cut { since_s: now });
        self.missing_since_s = None;
        self.searched_s = f64::NEG_INFINITY;
    }

    /// Ends the tracks of the shot before whose signer has not been seen in this one, and forgets whom there is no room for.
    fn end_tracks(&mut self, now: f64) {
        let patience_s = if self.settings.latency == Latency::Low { 0.0 } else { 0.7 * LOOK_AHEAD_S };
        let ahead = &mut self.ahead;
        self.tracks.retain(|track| match track.state {
            State::Cut { since_s } if now - since_s >= patience_s => {
                ahead.strike_since_cut(track.id);
                false
            }
            _ => true,
        });
        let lost = |track: &Track| matches!(track.state, State::Lost | State::OutOfFrame);
        while self.tracks.iter().filter(|t| lost(t)).count() > REMEMBERED {
            let longest = self.tracks.iter().filter(|t| lost(t)).map(|t| t.seen_s).fold(f64::INFINITY, f64::min);
            let Some(index) = self.tracks.iter().position(|t| lost(t) && t.seen_s == longest) else { break };
            self.tracks.remove(index);
        }
    }

    /// Gives ids to faces that have earned them, also in the frames held back; says to which.
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

    /// Follows a face just found back through the frames held, as far as the network sees it there.
    fn look_back(&mut self, id: u32) {
        let Some(refiner) = &self.eyes.refiner else { return };
        let Some(track) = self.tracks.iter().find(|t| t.id == id) else { return };
        let held = &mut self.ahead.held;
        let of = |looks: &[Look]| looks.iter().position(|look| look.sighting.track == id);
        let seen = |held: &Held| of(&held.looks).and_then(|place| held.looks[place].measured).map(|m| m.face);
        let Some(mut first) = held.len().checked_sub(1) else { return };
        let Some(mut face) = seen(&held[first]) else { return };
        while first > 0 && !held[first].is_cut {
            if let Some(earlier) = seen(&held[first - 1]) {
                (first, face) = (first - 1, earlier);
                continue;
            }
            let Held { frame, looks, .. } = &mut held[first - 1];
            let refined = refine(refiner, &frame.picture.luma(), &face, track.roll_degrees);
            if refined.probability < SEEN || !is_near(&refined.face, &face) {
                return;
            }
            let is_taken = |look: &Look| look.sighting.face.is_some_and(|other| other.iou(&refined.face) > SAME_FACE);
            if looks.iter().any(|look| look.sighting.track != id && is_taken(look)) {
                return;
            }
            let look = track.earlier_look(&refined);
            match of(looks) {
                Some(place) => looks[place] = look,
                None => looks.push(look),
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
        // While somebody is in view, the one who is missing is looked for less eagerly.
        let in_view = self.tracks.iter().any(Track::is_in_view);
        let every_s =
            SEARCH_MISSING.iter().find(|(from_s, _)| missing_s >= *from_s).map_or(0.0, |(_, every_s)| *every_s);
        missing_s < SEARCH_EAGERLY_S && !in_view || now - self.searched_s >= every_s
    }

    /// Searches the whole picture, upright, or turned where no face is in view and the upright one shows none.
    fn search(&mut self, frame: &Frame, looks: &mut Vec<Look>, found: &mut Vec<u32>) {
        let luma = frame.picture.luma();
        let shorter = luma.width.min(luma.height) as f32;
        let window = SearchWindow::whole(&luma, (self.settings.min_face * shorter).max(8.0));
        let mut detections = self.eyes.detector.detect(&luma, &window);
        if detections.iter().all(|d| d.score < LIKELY) && !self.tracks.iter().any(Track::is_in_view) {
            let angle_degrees = WHOLE_TURNS[self.turn % WHOLE_TURNS.len()];
            self.turn += 1;
            let region = Region { angle_degrees, ..window.region };
            detections = self.eyes.detector.detect(&luma, &SearchWindow { region, ..window });
        }
        for detection in detections.into_iter().filter(|d| d.score >= LIKELY) {
            self.meet(&detection, frame, looks, found);
        }
    }

    /// A face in the whole picture: one that is followed, one that was lost, or a new one.
    fn meet(&mut self, detection: &Detection, frame: &Frame, looks: &mut Vec<Look>, found: &mut Vec<u32>) {
        let in_view = |t: &&mut Track| t.is_in_view() && same_face(&t.motion.face(), &detection.face);
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
        let track = Track::new(self.next_provisional, detection, refined, frame, if is_sure { HITS } else { 1 });
        if let Some(index) = self.lost_track_for(&track, frame.time_s) {
            let id = self.tracks[index].id;
            self.tracks[index] = track.continuing(&self.tracks[index]);
            looks[index] = self.tracks[index].first_look(refined, detection.score);
            found.push(id);
            return;
        }
        if self.tracks.iter().filter(|t| t.is_in_view()).count() < self.settings.max_faces {
            self.next_provisional = PROVISIONAL.max(self.next_provisional.wrapping_add(1));
            looks.push(track.first_look(refined, detection.score));
            self.tracks.push(track);
        }
    }

    /// The lost or doubtful track that the face just found continues: the one whose signer looks most like it, if enough so.
    fn lost_track_for(&self, found: &Track, now: f64) -> Option<usize> {
        let is_doubtful = move |track: &Track| track.is_believed() && !track.is_surely_in_view(now);
        let lost = || self.tracks.iter().enumerate().filter(move |(_, track)| is_doubtful(track));
        let is_only_one = lost().count() == 1 && !self.tracks.iter().any(|track| track.is_surely_in_view(now));
        let likeness = |track: &Track| {
            let missing = Missing {
                face: track.motion.face(),
                appearance: &track.descriptor,
                seen_s: track.seen_s,
                is_cut: matches!(track.state, State::Cut { .. }),
            };
            missing.likeness(&found.motion.face(), &found.descriptor, now, is_only_one)
        };
        lost()
            .filter_map(|(index, track)| Some((index, likeness(track)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(index, _)| index)
    }

    /// Where two tracks have run onto one face, it is the one's whose signer looks more like what is there.
    fn merge_doubles(&mut self, frame: &Frame, looks: &mut [Look]) {
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
                    self.tracks[loser].state = State::Lost;
                    looks[loser] = self.tracks[loser].unseen();
                }
            }
        }
    }
}

fn same_face(a: &BoundingBox, b: &BoundingBox) -> bool {
    let ((x, y), (u, v)) = (a.centre(), b.centre());
    a.iou(b) > SAME_FACE || (x - u).hypot(y - v) < 0.4 * a.w.max(b.w)
}

#[cfg(test)]
mod tests;

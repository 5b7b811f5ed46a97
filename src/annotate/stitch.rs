//! Who is who from span to span: the tracks of each span get the ids of the video's.
//!
//! A span's tracker has looked at the end of the span before, where the faces of both lie on each other. A face that only
//! turns up later is taken for the one that was last seen nearest to it at a like size, as the tracker does within its
//! span; or it is somebody new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frame::Sighting;
use super::span::{LEAD_S, Lead};
use crate::timeline::{BoundingBox, Probabilities, Status};

/// A face and what the network says of it.
pub(super) type Face = (Sighting, Option<Probabilities>);

/// Overlap from which two boxes in one frame are of one face.
const SAME_FACE: f32 = 0.3;
/// How far a face may be from where it was last seen, in faces, and how much larger or smaller, in powers of e, together.
const NEAR: f32 = 2.0;

/// Gives the tracks of one span after the other their ids in the video.
#[derive(Default)]
pub(super) struct Stitcher {
    /// Everybody seen so far; a track's id is its place from 1.
    known: Vec<Known>,
    /// The span's tracks whose place in `known` is known.
    bound: BTreeMap<u32, usize>,
    /// Boxes seen in the last frames: start, place in `known`, box.
    recent: VecDeque<(f64, Vec<(usize, BoundingBox)>)>,
}

/// Where somebody was last seen.
struct Known {
    face: BoundingBox,
    /// How the track goes on where nobody sees it.
    absent: Status,
}

impl Stitcher {
    /// Takes the faces of the next frame, which starts at `time_s`; gives one a known track, in order of their ids.
    pub(super) fn push(&mut self, time_s: f64, begins: Option<&Lead>, faces: Vec<Face>) -> Vec<Face> {
        if let Some(lead) = begins {
            self.begin(lead);
        }
        let mut placed: BTreeMap<usize, Face> = BTreeMap::new();
        for (sighting, probabilities) in faces {
            let place = match (self.bound.get(&sighting.track), &sighting.face) {
                (Some(place), _) => *place,
                (None, Some(face)) => self.recognise(sighting.track, face),
                // A track that was in the lead and has not been seen since.
                (None, None) => continue,
            };
            let known = &mut self.known[place];
            known.face = sighting.face.unwrap_or(known.face);
            known.absent = if sighting.status == Status::OutOfFrame { Status::OutOfFrame } else { Status::NoFace };
            placed.insert(place, (Sighting { track: place as u32 + 1, ..sighting }, probabilities));
        }
        for (place, known) in self.known.iter().enumerate() {
            placed.entry(place).or_insert_with(|| (absent(place, known.absent), None));
        }
        let boxes = placed.iter().filter_map(|(place, (sighting, _))| Some((*place, sighting.face?))).collect();
        self.recent.push_back((time_s, boxes));
        while self.recent.front().is_some_and(|(start_s, _)| time_s - start_s > LEAD_S as f64) {
            self.recent.pop_front();
        }
        placed.into_values().collect()
    }

    /// Binds the tracks that the next span's tracker saw in its lead to those that were seen in the same frames: most
    /// overlap first.
    fn begin(&mut self, lead: &Lead) {
        self.bound.clear();
        let mut overlaps: BTreeMap<(u32, usize), f32> = BTreeMap::new();
        for (sightings, (_, boxes)) in lead.iter().rev().zip(self.recent.iter().rev()) {
            let faces = sightings.iter().filter_map(|sighting| Some((sighting.track, sighting.face?)));
            for (track, face) in faces {
                for (place, other) in boxes {
                    let overlap = face.iou(other);
                    if overlap > SAME_FACE {
                        *overlaps.entry((track, *place)).or_default() += overlap;
                    }
                }
            }
        }
        let mut overlaps: Vec<_> = overlaps.into_iter().collect();
        // A stable sort, so that equals stay in order of track and place.
        overlaps.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let mut taken = BTreeSet::new();
        for ((track, place), _) in overlaps {
            if !self.bound.contains_key(&track) && taken.insert(place) {
                self.bound.insert(track, place);
            }
        }
    }

    /// The place of a track that is seen for the first time in its span.
    fn recognise(&mut self, track: u32, face: &BoundingBox) -> usize {
        let taken: BTreeSet<usize> = self.bound.values().copied().collect();
        let distance = |known: &Known| {
            let ((x, y), (u, v)) = (known.face.centre(), face.centre());
            (x - u).hypot(y - v) / known.face.w.max(face.w) + (known.face.w / face.w).ln().abs()
        };
        let missed = self.known.iter().enumerate().filter(|(place, _)| !taken.contains(place));
        let nearest = missed.map(|(place, known)| (place, distance(known))).min_by(|a, b| a.1.total_cmp(&b.1));
        // Where there has been one face only, it is that one wherever it comes back.
        let place = match nearest {
            Some((place, distance)) if distance < NEAR || self.known.len() == 1 => place,
            _ => {
                self.known.push(Known { face: *face, absent: Status::NoFace });
                self.known.len() - 1
            }
        };
        self.bound.insert(track, place);
        place
    }
}

fn absent(place: usize, status: Status) -> Sighting {
    Sighting { track: place as u32 + 1, status, face: None, face_score: None, source: None, roll_degrees: 0.0 }
}

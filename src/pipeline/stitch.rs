//! Joins the tracks of spans: gives the tracks of each span the ids of the video's.
//!
//! A span's tracker has seen the end of the previous span, where both trackers' boxes of one face overlap. A face that
//! appears only later is taken for the missing signer whom it resembles most, by the tracker's own criterion, or for a
//! new signer. If a span's tracker ends a track, as at a cut, the track has ended in the video too, and its id does not
//! return.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frame::Sighting;
use super::span::Lead;
use super::track::{Descriptor, Missing, REMEMBERED, SAME_FACE};
use crate::time::LEAD_S;
use crate::timeline::{BoundingBox, Probabilities, Status};

/// A face and the network's result for it.
pub(super) type Face = (Sighting, Option<Probabilities>);

/// Gives the tracks of successive spans their ids in the video.
#[derive(Default)]
pub(super) struct Stitcher {
    /// All signers whose tracks continue, by id.
    known: BTreeMap<u32, LastSeen>,
    /// The video's ids of the span's tracks.
    bound: BTreeMap<u32, u32>,
    /// Number of ids given so far.
    given: u32,
    /// Boxes seen in the last frames: start, ids and boxes.
    recent: VecDeque<(f64, Vec<(u32, BoundingBox)>)>,
}

/// How a signer was last seen.
struct LastSeen {
    face: BoundingBox,
    appearance: Option<Descriptor>,
    seen_s: f64,
    /// The track's status while the signer is not seen.
    absent: Status,
}

impl Stitcher {
    /// Takes the faces of the next frame, which starts at `time_s`; returns a face for each track that continues, in
    /// order of id.
    pub(super) fn push(&mut self, time_s: f64, begins: Option<&Lead>, faces: Vec<Face>) -> Vec<Face> {
        if let Some(lead) = begins {
            self.begin(lead);
        }
        self.end(&faces);
        let mut assigned: BTreeMap<u32, Face> = BTreeMap::new();
        let (seen_before, new): (Vec<Face>, Vec<Face>) =
            faces.into_iter().partition(|(sighting, _)| self.bound.contains_key(&sighting.track));
        // A track from the lead that has not been seen since belongs to no signer.
        let new = new.into_iter().filter(|(sighting, _)| sighting.face.is_some());
        for (sighting, probabilities) in seen_before.into_iter().chain(new) {
            let id = match self.bound.get(&sighting.track) {
                Some(id) => *id,
                None => self.recognise(&sighting, time_s, &assigned),
            };
            if let Some(known) = self.known.get_mut(&id) {
                known.saw(&sighting, time_s);
            }
            assigned.insert(id, (Sighting { track: id, ..sighting }, probabilities));
        }
        self.forget(&assigned);
        for (id, known) in &self.known {
            assigned.entry(*id).or_insert_with(|| (Sighting::absent(*id, known.absent), None));
        }
        let boxes = assigned.iter().filter_map(|(id, (sighting, _))| Some((*id, sighting.face?))).collect();
        self.recent.push_back((time_s, boxes));
        while self.recent.front().is_some_and(|(start_s, _)| time_s - start_s > LEAD_S as f64) {
            self.recent.pop_front();
        }
        assigned.into_values().collect()
    }

    /// Binds the tracks that the next span's tracker saw in its lead to those seen in the same frames, in order of
    /// falling overlap.
    fn begin(&mut self, lead: &Lead) {
        self.bound.clear();
        let mut overlaps: BTreeMap<(u32, u32), f32> = BTreeMap::new();
        for (sightings, (_, boxes)) in lead.iter().rev().zip(self.recent.iter().rev()) {
            let faces = sightings.iter().filter_map(|sighting| Some((sighting.track, sighting.face?)));
            for (track, face) in faces {
                for (id, other) in boxes.iter().filter(|(id, _)| self.known.contains_key(id)) {
                    let overlap = face.iou(other);
                    if overlap > SAME_FACE {
                        *overlaps.entry((track, *id)).or_default() += overlap;
                    }
                }
            }
        }
        let mut overlaps: Vec<_> = overlaps.into_iter().collect();
        // The sort is stable, so ties stay in order of track and id.
        overlaps.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let mut taken = BTreeSet::new();
        for ((track, id), _) in overlaps {
            if !self.bound.contains_key(&track) && taken.insert(id) {
                self.bound.insert(track, id);
            }
        }
    }

    /// Ends the tracks that the span's tracker has ended, that is, no longer reports.
    fn end(&mut self, faces: &[Face]) {
        let goes_on = |track: &u32| faces.iter().any(|(sighting, _)| sighting.track == *track);
        let ended: Vec<u32> = self.bound.keys().copied().filter(|track| !goes_on(track)).collect();
        for id in ended.iter().filter_map(|track| self.bound.remove(track)) {
            self.known.remove(&id);
        }
    }

    /// The id of a track that appears for the first time in its span.
    fn recognise(&mut self, sighting: &Sighting, now: f64, assigned: &BTreeMap<u32, Face>) -> u32 {
        let taken: BTreeSet<u32> = self.bound.values().copied().collect();
        let missing = || self.known.iter().filter(|(id, _)| !taken.contains(id));
        let somebody_is_in_view = assigned.values().any(|(other, _)| other.face.is_some());
        let is_only_one = missing().count() == 1 && !somebody_is_in_view;
        let likeness = |known: &LastSeen| {
            let missing = Missing {
                face: known.face,
                appearance: known.appearance.as_ref()?,
                seen_s: known.seen_s,
                is_cut: false,
            };
            missing.likeness(&sighting.face?, sighting.appearance.as_ref()?, now, is_only_one)
        };
        let likely = missing().filter_map(|(id, known)| Some((*id, likeness(known)?)));
        let id = likely.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id).unwrap_or_else(|| {
            self.given += 1;
            self.given
        });
        let known = || LastSeen {
            face: BoundingBox { x: 0.0, y: 0.0, w: 0.0, h: 0.0 },
            appearance: None,
            seen_s: now,
            absent: Status::NoFace,
        };
        self.known.entry(id).or_insert_with(known);
        self.bound.insert(sighting.track, id);
        id
    }

    /// Forgets the signers beyond [`REMEMBERED`] among those that no tracker follows.
    fn forget(&mut self, assigned: &BTreeMap<u32, Face>) {
        let missing = |known: &BTreeMap<u32, LastSeen>| -> Vec<(u32, f64)> {
            known.iter().filter(|(id, _)| !assigned.contains_key(id)).map(|(id, known)| (*id, known.seen_s)).collect()
        };
        let mut ids = missing(&self.known);
        ids.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (id, _) in ids.into_iter().skip(REMEMBERED) {
            self.known.remove(&id);
        }
    }
}

impl LastSeen {
    fn saw(&mut self, sighting: &Sighting, now: f64) {
        if let Some(face) = sighting.face {
            (self.face, self.seen_s) = (face, now);
        }
        self.appearance = sighting.appearance.or(self.appearance);
        self.absent = if sighting.status == Status::OutOfFrame { Status::OutOfFrame } else { Status::NoFace };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::GreyPicture;
    use crate::timeline::BoxSource;

    /// A signer with these looks at position `x`.
    fn seen(track: u32, looks: u8, x: f32) -> Sighting {
        let samples = (0..60 * 60).map(|at: u32| ((at * (u32::from(looks) * 7 + 3)) % 251) as u8).collect();
        let picture = GreyPicture { samples, width: 60, height: 60 };
        let appearance = Descriptor::of(&picture, &BoundingBox { x: 15.0, y: 5.0, w: 30.0, h: 30.0 }, 0.0);
        Sighting {
            face: Some(BoundingBox { x, y: 30.0, w: 30.0, h: 30.0 }),
            face_score: Some(0.9),
            source: Some(BoxSource::Detected),
            appearance: Some(appearance),
            ..Sighting::absent(track, Status::Ok)
        }
    }

    fn lost(track: u32) -> Sighting {
        Sighting::absent(track, Status::NoFace)
    }

    /// Runs frames of 0.1 s; returns the ids and whether each was seen.
    fn stitched(frames: Vec<(Option<Lead>, Vec<Sighting>)>) -> Vec<Vec<(u32, bool)>> {
        let mut stitcher = Stitcher::default();
        let push = |(index, (lead, sightings)): (usize, (Option<Lead>, Vec<Sighting>))| {
            let faces = sightings.into_iter().map(|sighting| (sighting, None)).collect();
            let faces = stitcher.push(index as f64 * 0.1, lead.as_ref(), faces);
            faces.into_iter().map(|(sighting, _)| (sighting.track, sighting.face.is_some())).collect()
        };
        frames.into_iter().enumerate().map(push).collect()
    }

    #[test]
    fn faces_that_lie_on_each_other_in_the_lead_are_one_signer_whatever_the_spans_call_them() {
        let both = || vec![seen(1, 1, 0.0), seen(2, 9, 100.0)];
        let swapped = || vec![seen(1, 9, 100.0), seen(2, 1, 0.0)];
        let mut frames = vec![(Some(vec![]), both())];
        frames.extend((0..9).map(|_| (None, both())));
        frames.push((Some(vec![swapped(); 10]), swapped()));
        let out = stitched(frames);
        assert_eq!(out[10], [(1, true), (2, true)]);
        let mut stitcher = Stitcher::default();
        stitcher.push(0.0, Some(&vec![]), both().into_iter().map(|s| (s, None)).collect());
        let faces = stitcher.push(0.1, Some(&vec![swapped()]), swapped().into_iter().map(|s| (s, None)).collect());
        assert_eq!(faces[0].0.face, both()[0].face, "the id stays with the face");
    }

    #[test]
    fn a_signer_who_is_away_keeps_a_record_and_is_known_again_by_looks() {
        let frames = vec![
            (Some(vec![]), vec![seen(1, 1, 0.0), seen(2, 9, 100.0)]),
            (Some(vec![vec![seen(1, 1, 0.0)]]), vec![seen(1, 1, 0.0)]),
            (Some(vec![vec![seen(1, 1, 0.0)]]), vec![seen(1, 1, 0.0)]),
            // At another position than before.
            (None, vec![seen(1, 1, 0.0), seen(2, 9, 500.0)]),
        ];
        let out = stitched(frames);
        assert_eq!(out[1], [(1, true), (2, false)]);
        assert_eq!(out[3], [(1, true), (2, true)]);
    }

    #[test]
    fn a_track_that_was_ended_does_not_come_back_and_a_track_of_the_lead_alone_is_none() {
        let frames = vec![
            (Some(vec![]), vec![seen(1, 1, 0.0)]),
            (None, vec![]),
            (None, vec![seen(2, 1, 0.0)]),
            (Some(vec![vec![seen(1, 1, 0.0), seen(2, 30, 300.0)]]), vec![seen(1, 1, 0.0), lost(2)]),
        ];
        assert_eq!(stitched(frames), [vec![(1, true)], vec![], vec![(2, true)], vec![(2, true)]]);
    }

    proptest! {
        #[test]
        fn ids_rise_from_one_and_tracks_have_no_holes(
            spans in prop::collection::vec(
                prop::collection::vec(prop::collection::vec((0u8..4, 0f32..300.0), 0..4), 1..6), 1..6,
            )
        ) {
            let faces = |people: &[(u8, f32)]| -> Vec<Sighting> {
                people.iter().enumerate().map(|(index, (looks, x))| seen(index as u32 + 1, *looks, *x)).collect()
            };
            let frames: Vec<_> = spans
                .iter()
                .flat_map(|frames| frames.iter().enumerate().map(|(index, people)| {
                    ((index == 0).then(|| vec![faces(people)]), faces(people))
                }))
                .collect();
            let mut open: BTreeSet<u32> = BTreeSet::new();
            let mut ended: BTreeSet<u32> = BTreeSet::new();
            let mut highest = 0;
            for ids in stitched(frames) {
                let ids: BTreeSet<u32> = ids.iter().map(|(id, _)| *id).collect();
                ended.extend(open.difference(&ids));
                prop_assert!(ids.is_disjoint(&ended), "an ended track has come back");
                for id in &ids {
                    prop_assert!(*id <= highest + 1 && *id > 0);
                    highest = highest.max(*id);
                }
                open = ids;
            }
        }
    }
}

//! Frames held back for a moment, so that what comes after a frame can speak about it too.

use std::collections::VecDeque;

use super::PROVISIONAL;
use super::motion::{Measured, smoothed};
use crate::pipeline::frame::{Frame, Sighting};
use crate::timeline::Status;

/// How long a frame waits for later ones, seconds.
pub(super) const LOOK_AHEAD_S: f64 = 0.4;
/// Pictures held at most, bytes: 20 of 1920x1080, 5 of 3840x2160.
const MOST_BYTES: usize = 64 << 20;
/// Frames held at most, however small and however fast they follow each other.
const MOST_FRAMES: usize = 64;
/// What was seen so long before a frame still bears on its boxes, seconds.
const PAST_S: f64 = 0.4;
/// The cover and the turn of a face are the medians over so long before and after a frame, seconds.
const MEDIAN_S: f64 = 0.09;
/// Share of a face from which it counts as covered. A guess: to be fitted on
/// the frames judged by eye in tests/faces/occlusion.csv once there is a network that says what is covered.
pub(super) const OCCLUDED: f32 = 0.2;

/// What is known of one track in one frame by that frame alone.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) sighting: Sighting,
    /// Where the face was measured; `None` where it was not, and the sighting's box is a prediction.
    pub(super) measured: Option<Measured>,
}

/// A frame that waits.
pub(super) struct Held {
    pub(super) frame: Frame,
    pub(super) looks: Vec<Look>,
    /// Whether a new shot begins here.
    pub(super) is_cut: bool,
}

/// The frames that wait, and what is still needed of those that have gone.
pub(super) struct LookAhead {
    pub(super) held: VecDeque<Held>,
    past: VecDeque<(f64, bool, Vec<Look>)>,
    waits: bool,
}

impl LookAhead {
    /// Holds frames back only where it `waits`.
    pub(super) fn new(waits: bool) -> Self {
        Self { held: VecDeque::new(), past: VecDeque::new(), waits }
    }

    /// Frames about which nothing new will be known, in order; all where `is_end`.
    pub(super) fn release(&mut self, is_end: bool) -> Vec<(Frame, Vec<Sighting>)> {
        let mut released = Vec::new();
        while let (Some(first), Some(last)) = (self.held.front(), self.held.back()) {
            let waited = last.frame.time_s - first.frame.time_s >= LOOK_AHEAD_S;
            let is_due = is_end || !self.waits || waited || self.held.len() > MOST_FRAMES || self.is_too_much();
            if !is_due {
                break;
            }
            released.extend(self.release_first());
        }
        released
    }

    fn is_too_much(&self) -> bool {
        let bytes = |held: &Held| {
            let luma = held.frame.picture.luma();
            let chroma = held.frame.picture.chroma().map_or(0, |planes| planes.iter().map(|p| p.samples.len()).sum());
            luma.samples.len() + chroma
        };
        self.held.len() > 1 && self.held.iter().map(bytes).sum::<usize>() > MOST_BYTES
    }

    fn release_first(&mut self) -> Option<(Frame, Vec<Sighting>)> {
        let first = self.held.front()?;
        let known = first.looks.iter().filter(|look| look.sighting.track < PROVISIONAL);
        let sightings = known.map(|look| self.settled(look)).collect();
        let Held { frame, looks, is_cut } = self.held.pop_front()?;
        self.past.push_back((frame.time_s, is_cut, looks));
        while self.past.front().is_some_and(|(time_s, ..)| *time_s < frame.time_s - PAST_S) {
            self.past.pop_front();
        }
        Some((frame, sightings))
    }

    /// `look`, of the first frame held, in the light of its neighbours.
    fn settled(&self, look: &Look) -> Sighting {
        let mut sighting = look.sighting.clone();
        if sighting.face.is_none() || !self.waits {
            return sighting;
        }
        let (series, place) = self.series(sighting.track);
        let now = series[place].0;
        let frames: Vec<_> = series.iter().map(|(time_s, look)| (*time_s, look.measured)).collect();
        if let Some(face) = smoothed(&frames, place) {
            sighting.face = Some(face);
        }
        let near: Vec<&Look> = series
            .iter()
            .filter(|(time_s, look)| (time_s - now).abs() <= MEDIAN_S && look.measured.is_some())
            .map(|(_, look)| *look)
            .collect();
        if look.measured.is_some() {
            let covered = median(near.iter().filter_map(|look| look.sighting.covered));
            sighting.covered = covered.or(sighting.covered);
            sighting.roll_degrees =
                median(near.iter().map(|look| look.sighting.roll_degrees)).unwrap_or(sighting.roll_degrees);
            if sighting.status == Status::Ok || sighting.status == Status::Occluded {
                let is_occluded = sighting.covered.is_some_and(|covered| covered >= OCCLUDED);
                sighting.status = if is_occluded { Status::Occluded } else { Status::Ok };
            }
        }
        sighting
    }

    /// The frames about the first one held in which `track` has a box without a break, and the place of that frame.
    fn series(&self, track: u32) -> (Vec<(f64, &Look)>, usize) {
        let of = |looks: &'_ [Look]| looks.iter().position(|l| l.sighting.track == track && l.sighting.face.is_some());
        let mut series = VecDeque::new();
        let mut is_after_cut = self.held.front().is_some_and(|held| held.is_cut);
        for (time_s, is_cut, looks) in self.past.iter().rev() {
            let Some(place) = of(looks).filter(|_| !is_after_cut) else { break };
            series.push_front((*time_s, &looks[place]));
            is_after_cut = *is_cut;
        }
        let place = series.len();
        for (index, held) in self.held.iter().enumerate() {
            let Some(place) = of(&held.looks).filter(|_| index == 0 || !held.is_cut) else { break };
            series.push_back((held.frame.time_s, &held.looks[place]));
        }
        (series.into(), place)
    }

    /// Takes back that `track` was there in the last frames, in which nothing was seen of it.
    pub(super) fn take_back(&mut self, track: u32, nothing: &Sighting) {
        for held in self.held.iter_mut().rev() {
            let Some(look) = held.looks.iter_mut().find(|look| look.sighting.track == track) else { return };
            match look.sighting.status {
                Status::NoFace => {}
                Status::LowQuality if look.measured.is_none() => {
                    *look = Look { sighting: nothing.clone(), measured: None };
                }
                _ => return,
            }
        }
    }

    /// Forgets that `track` went on after the last cut.
    pub(super) fn strike_since_cut(&mut self, track: u32) {
        for held in self.held.iter_mut().rev() {
            held.looks.retain(|look| look.sighting.track != track);
            if held.is_cut {
                return;
            }
        }
    }

    /// Gives the looks of track `from` to track `to`.
    pub(super) fn rename(&mut self, from: u32, to: u32) {
        let looks = self.held.iter_mut().flat_map(|held| &mut held.looks);
        looks.filter(|look| look.sighting.track == from).for_each(|look| look.sighting.track = to);
    }
}

fn median(values: impl Iterator<Item = f32>) -> Option<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

//! Holds frames back for a moment, so that later frames can correct what is said about them.

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
/// Measurements this long before a frame still influence its boxes, seconds.
const PAST_S: f64 = 0.4;
/// A face's covered share and turn are medians over this long before and after a frame, seconds.
const MEDIAN_S: f64 = 0.09;
/// Share of a face from which it counts as covered. The refinement network estimates the share. The threshold is a
/// guess that has not been fitted to the frames judged by eye in tests/faces/occlusion.csv.
pub(super) const OCCLUDED: f32 = 0.2;

/// What one frame alone shows of one track.
#[derive(Debug, Clone)]
pub(super) struct Glimpse {
    pub(super) sighting: Sighting,
    /// The measured box; `None` if nothing was measured and the sighting's box is a prediction.
    pub(super) measured: Option<Measured>,
}

/// A frame that waits.
pub(super) struct Held {
    pub(super) frame: Frame,
    pub(super) glimpses: Vec<Glimpse>,
    /// Whether a new shot begins here.
    pub(super) is_cut: bool,
}

/// The frames that wait, and the part of earlier frames that they still need.
pub(super) struct LookAhead {
    pub(super) held: VecDeque<Held>,
    past: VecDeque<(f64, bool, Vec<Glimpse>)>,
    waits: bool,
}

impl LookAhead {
    /// Holds frames back if it `waits`; otherwise releases them at once.
    pub(super) fn new(waits: bool) -> Self {
        Self { held: VecDeque::new(), past: VecDeque::new(), waits }
    }

    /// The frames about which nothing new can become known, in order; all frames if `is_end` is set.
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
        let known = first.glimpses.iter().filter(|glimpse| glimpse.sighting.track < PROVISIONAL);
        let sightings = known.map(|glimpse| self.settled(glimpse)).collect();
        let Held { frame, glimpses, is_cut } = self.held.pop_front()?;
        self.past.push_back((frame.time_s, is_cut, glimpses));
        while self.past.front().is_some_and(|(time_s, ..)| *time_s < frame.time_s - PAST_S) {
            self.past.pop_front();
        }
        Some((frame, sightings))
    }

    /// The sighting of a glimpse in the first held frame, corrected by its neighbours.
    fn settled(&self, glimpse: &Glimpse) -> Sighting {
        let mut sighting = glimpse.sighting.clone();
        if sighting.face.is_none() || !self.waits {
            return sighting;
        }
        let (series, index) = self.series(sighting.track);
        let now = series[index].0;
        let frames: Vec<_> = series.iter().map(|(time_s, glimpse)| (*time_s, glimpse.measured)).collect();
        if let Some(face) = smoothed(&frames, index) {
            sighting.face = Some(face);
        }
        let near: Vec<&Glimpse> = series
            .iter()
            .filter(|(time_s, glimpse)| (time_s - now).abs() <= MEDIAN_S && glimpse.measured.is_some())
            .map(|(_, glimpse)| *glimpse)
            .collect();
        if glimpse.measured.is_some() {
            let covered = median(near.iter().filter_map(|glimpse| glimpse.sighting.covered));
            sighting.covered = covered.or(sighting.covered);
            sighting.roll_degrees =
                median(near.iter().map(|glimpse| glimpse.sighting.roll_degrees)).unwrap_or(sighting.roll_degrees);
            if sighting.status == Status::Ok || sighting.status == Status::Occluded {
                let is_occluded = sighting.covered.is_some_and(|covered| covered >= OCCLUDED);
                sighting.status = if is_occluded { Status::Occluded } else { Status::Ok };
            }
        }
        sighting
    }

    /// The unbroken series of frames about the first held one in which `track` has a box, and the index of that frame
    /// in it.
    fn series(&self, track: u32) -> (Vec<(f64, &Glimpse)>, usize) {
        let of = |glimpses: &'_ [Glimpse]| {
            glimpses.iter().position(|l| l.sighting.track == track && l.sighting.face.is_some())
        };
        let mut series = VecDeque::new();
        let mut is_after_cut = self.held.front().is_some_and(|held| held.is_cut);
        for (time_s, is_cut, glimpses) in self.past.iter().rev() {
            let Some(of_track) = of(glimpses).filter(|_| !is_after_cut) else { break };
            series.push_front((*time_s, &glimpses[of_track]));
            is_after_cut = *is_cut;
        }
        let index = series.len();
        for (index, held) in self.held.iter().enumerate() {
            let Some(of_track) = of(&held.glimpses).filter(|_| index == 0 || !held.is_cut) else { break };
            series.push_back((held.frame.time_s, &held.glimpses[of_track]));
        }
        (series.into(), index)
    }

    /// Takes back the sightings of `track` in the last frames, in which nothing of it was seen.
    pub(super) fn take_back(&mut self, track: u32, nothing: &Sighting) {
        for held in self.held.iter_mut().rev() {
            let Some(glimpse) = held.glimpses.iter_mut().find(|glimpse| glimpse.sighting.track == track) else {
                return;
            };
            match glimpse.sighting.status {
                Status::NoFace => {}
                Status::LowQuality if glimpse.measured.is_none() => {
                    *glimpse = Glimpse { sighting: nothing.clone(), measured: None };
                }
                _ => return,
            }
        }
    }

    /// Removes `track` from the frames since the last cut.
    pub(super) fn strike_since_cut(&mut self, track: u32) {
        for held in self.held.iter_mut().rev() {
            held.glimpses.retain(|glimpse| glimpse.sighting.track != track);
            if held.is_cut {
                return;
            }
        }
    }

    /// Gives the glimpses of track `from` to track `to`.
    pub(super) fn rename(&mut self, from: u32, to: u32) {
        let glimpses = self.held.iter_mut().flat_map(|held| &mut held.glimpses);
        glimpses.filter(|glimpse| glimpse.sighting.track == from).for_each(|glimpse| glimpse.sighting.track = to);
    }
}

fn median(values: impl Iterator<Item = f32>) -> Option<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

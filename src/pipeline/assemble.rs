//! The last stage. It gives the spans' tracks the video's ids, returns smoothed labels to their frames, and builds the
//! timeline. All stages with a long memory are joined here.

use std::collections::{BTreeMap, VecDeque};

use super::Settings;
use super::classify::Classified;
use super::decode::Decoded;
use super::events::{face_events, hand_events};
use super::frame::Sighting;
use super::neutral::neutral;
use super::segment::segments;
use super::smooth::{Observation, Smoothed, Smoother};
use super::stitch::Stitcher;
use crate::timeline::{
    Covered, FaceEvent, FrameRecord, FrameTimes, ModelIdentity, Probabilities, SCHEMA, Segment, SettledFrame, Status,
    Summary, Timeline, Tool, Track, json_value,
};

/// Builds the timeline.
pub(crate) struct Assembler<'a> {
    settings: &'a Settings,
    stitcher: Stitcher,
    smoothers: BTreeMap<u32, Smoother>,
    /// Frames whose labels wait for later frames; the first one is frame `settled`.
    waiting: VecDeque<(SettledFrame, usize)>,
    settled: usize,
    times: FrameTimes,
    tracks: BTreeMap<u32, (Vec<FrameRecord>, Vec<Smoothed>)>,
}

impl<'a> Assembler<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            stitcher: Stitcher::default(),
            smoothers: BTreeMap::new(),
            waiting: VecDeque::new(),
            settled: 0,
            times: FrameTimes::default(),
            tracks: BTreeMap::new(),
        }
    }

    /// Takes the next frame; returns the rows whose labels are settled, in order.
    pub(crate) fn push(&mut self, classified: Classified) -> Vec<SettledFrame> {
        let frame = self.settled + self.waiting.len();
        let Classified { pts, time_s, begins, faces } = classified;
        let faces = self.stitcher.push(time_s, begins.as_ref(), faces);
        let unsettled = faces.len();
        let faces: Vec<_> =
            faces.into_iter().map(|(sighting, p)| (sighting.track, record(frame, sighting, p))).collect();
        let observations: Vec<_> = faces
            .iter()
            .map(|(track, r)| {
                let probabilities = r.read_probabilities();
                (*track, Observation { frame, time_s, probabilities })
            })
            .collect();
        let status = Status::best(faces.iter().map(|(_, r)| r.status));
        self.waiting.push_back((SettledFrame { frame, pts, time_s, status, faces }, unsettled));
        self.settle_ended(&observations);
        for (track, observation) in observations {
            let smoother = self.smoothers.entry(track).or_insert_with(|| Smoother::new(&self.settings.smooth));
            for smoothed in smoother.push(observation) {
                self.settle(track, smoothed);
            }
        }
        self.release()
    }

    /// A track without a record in a frame has ended, so its labels need no later frames.
    fn settle_ended(&mut self, observations: &[(u32, Observation)]) {
        let goes_on = |track: &u32| observations.iter().any(|(other, _)| other == track);
        let ended: Vec<u32> = self.smoothers.keys().copied().filter(|track| !goes_on(track)).collect();
        for track in ended {
            for smoothed in self.smoothers.remove(&track).map(|mut s| s.finish()).unwrap_or_default() {
                self.settle(track, smoothed);
            }
        }
    }

    /// Returns the waiting rows, once no more frames follow.
    pub(crate) fn drain(&mut self) -> Vec<SettledFrame> {
        for (track, mut smoother) in std::mem::take(&mut self.smoothers) {
            for smoothed in smoother.finish() {
                self.settle(track, smoothed);
            }
        }
        self.release()
    }

    fn settle(&mut self, track: u32, smoothed: Smoothed) {
        let Some((row, unsettled)) = self.waiting.get_mut(smoothed.frame.wrapping_sub(self.settled)) else { return };
        if let Some((_, record)) = row.faces.iter_mut().find(|(id, _)| *id == track) {
            record.label = smoothed.label;
            record.confidence = smoothed.confidence;
            *unsettled -= 1;
            self.tracks.entry(track).or_default().1.push(smoothed);
        }
    }

    fn release(&mut self) -> Vec<SettledFrame> {
        let mut rows = Vec::new();
        while self.waiting.front().is_some_and(|(_, unsettled)| *unsettled == 0) {
            let Some((mut row, _)) = self.waiting.pop_front() else { break };
            self.settled += 1;
            self.times.pts.push(row.pts);
            self.times.time_s.push(row.time_s);
            self.times.status.push(row.status);
            for (track, record) in &row.faces {
                self.tracks.entry(*track).or_default().0.push(record.clone());
            }
            row.faces.iter_mut().for_each(|(_, record)| keep_wanted(record, self.settings));
            rows.push(row);
        }
        rows
    }

    /// The timeline; to be called after [`drain`](Self::drain).
    pub(crate) fn finish(self, decoded: Decoded, model: ModelIdentity, was_interrupted: bool) -> Timeline {
        let times = self.times;
        let video_end_s = times.time_s.last().map_or(0.0, |start| start + decoded.last_frame_duration_s);
        let tracks: Vec<Track> = self
            .tracks
            .into_iter()
            .filter_map(|(id, (mut frames, smoothed))| {
                let (first_frame, last_frame) = (frames.first()?.frame, frames.last()?.frame);
                let segments = segments(&smoothed, &times, video_end_s, &self.settings.segment);
                let neutral = neutral(&frames, &times, id, &self.settings.neutral);
                let mut events: Vec<FaceEvent> = match &neutral {
                    Some(neutral) => {
                        let relative = |record: &mut FrameRecord| {
                            record.measures = record.measures.map(|measures| measures.relative_to(&neutral.values));
                        };
                        frames.iter_mut().for_each(relative);
                        face_events(&frames, &times, video_end_s, neutral, &self.settings.events)
                    }
                    None => Vec::new(),
                };
                events.extend(hand_events(&frames, &times, video_end_s, &self.settings.events));
                events.retain(|event| self.settings.wants(event.kind.part().group()));
                events.sort_by_key(|event| (event.first_frame, event.kind));
                frames.iter_mut().for_each(|record| keep_wanted(record, self.settings));
                let told = |segment: Segment| segment.with_raw_probability(&frames).with_face(&frames, &events);
                let segments = segments.into_iter().map(told).collect();
                Some(Track { id, name: None, first_frame, last_frame, frames, segments, events, neutral })
            })
            .collect();
        let mut incomplete_because = decoded.incomplete_because;
        if was_interrupted {
            incomplete_because.push(format!("interrupted after {} frames", times.pts.len()));
        }
        let frames_ok = times.status.iter().filter(|s| **s == Status::Ok).count();
        Timeline {
            schema: SCHEMA.into(),
            complete: incomplete_because.is_empty(),
            tool: Tool::default(),
            settings: json_value(self.settings).unwrap_or_default(),
            media: decoded.media,
            model,
            summary: Summary {
                frames_ok,
                frames_without_face: times.pts.len() - frames_ok,
                tracks: tracks.len(),
                damage: decoded.damage,
                incomplete_because,
            },
            frames: times,
            tracks,
            corrections: None,
        }
    }
}

/// Leaves out the measures that were not asked for.
fn keep_wanted(record: &mut FrameRecord, settings: &Settings) {
    let measures = record.measures.map(|measures| measures.only(|measure| settings.wants(measure.group())));
    record.measures = measures.filter(|measures| !measures.is_empty());
}

fn record(frame: usize, sighting: Sighting, probabilities: Option<Probabilities>) -> FrameRecord {
    FrameRecord {
        frame,
        status: sighting.status,
        face: sighting.face,
        face_score: sighting.face_score,
        covered: sighting.covered.map(|face| Covered { face, regions: sighting.regions }),
        source: sighting.source,
        measures: sighting.measures,
        probabilities,
        label: None,
        confidence: None,
    }
}

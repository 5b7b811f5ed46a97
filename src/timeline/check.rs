//! Checks what must hold in a timeline and a JSON Schema cannot express.

use super::{Covered, DamageKind, Expression, FrameRecord, FrameTimes, Regions, SCHEMA, Status, Timeline, Track};

/// A contradiction in a timeline. It names a track by its id and a segment by its index in the track, from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum Inconsistency {
    #[error("the schema is '{found}' and not '{SCHEMA}'")]
    Schema { found: String },
    #[error("the model's classes are not the seven in canonical order")]
    Classes,
    #[error("{field} is {found}, but {expected} follows from the rest")]
    Count { field: &'static str, found: usize, expected: usize },
    #[error("frame {frame}: {problem}")]
    Frame { frame: usize, problem: &'static str },
    #[error("track {track}: {problem}")]
    Track { track: u32, problem: &'static str },
    #[error("track {track}, frame {frame}: {problem}")]
    Record { track: u32, frame: usize, problem: &'static str },
    #[error("track {track}, segment {segment}: {problem}")]
    Segment { track: u32, segment: usize, problem: &'static str },
    #[error("track {track}, event {event}: {problem}")]
    Event { track: u32, event: usize, problem: &'static str },
    #[error("complete is {complete}, but {reasons} reasons are given why it is not")]
    Complete { complete: bool, reasons: usize },
}

/// How far the sum of seven rounded probabilities may be from 1.
const SUM_TOLERANCE: f64 = 1e-3;
/// Tolerance for two times in a file that mean the same moment but were rounded differently.
const SAME_TIME_S: f64 = 1e-6;

impl Timeline {
    /// Whether the parts of the timeline agree with one another; otherwise the first contradiction.
    ///
    /// Rules of the JSON Schema are not checked again for fields whose Rust type enforces them.
    pub fn check(&self) -> Result<(), Inconsistency> {
        if self.schema != SCHEMA {
            return Err(Inconsistency::Schema { found: self.schema.clone() });
        }
        if self.model.classes != Expression::ALL {
            return Err(Inconsistency::Classes);
        }
        self.check_times()?;
        let mut ids = std::collections::HashSet::new();
        for track in &self.tracks {
            let problem = |problem| Err(Inconsistency::Track { track: track.id, problem });
            if track.id == 0 {
                return problem("ids start at 1");
            }
            if !ids.insert(track.id) {
                return problem("the id is used twice");
            }
            let is_corrected = self.corrections.is_some();
            check_frames(track, self.media.frames, is_corrected)?;
            check_segments(track, &self.frames, self.end_s(), is_corrected)?;
            check_events(track, &self.frames, self.end_s())?;
        }
        self.check_statuses()?;
        self.check_summary()
    }

    fn check_times(&self) -> Result<(), Inconsistency> {
        let FrameTimes { pts, time_s, status } = &self.frames;
        let lengths = [("frames.pts", pts.len()), ("frames.time_s", time_s.len()), ("frames.status", status.len())];
        for (field, found) in lengths {
            count(field, found, self.media.frames)?;
        }
        let [numerator, denominator] = self.media.time_base.map(f64::from);
        let time_base = numerator / denominator;
        let is_one_clock = !self.summary.damage.iter().any(|damage| damage.kind == DamageKind::TimeReset);
        let repaired = self.summary.damage.iter().filter(|damage| damage.kind == DamageKind::TimeRepaired);
        let repaired: Vec<_> = repaired.map(|damage| damage.frame..damage.frame.saturating_add(damage.count)).collect();
        let mut repaired = repaired.into_iter().peekable();
        for (frame, (pts, seconds)) in pts.iter().zip(time_s).enumerate() {
            let problem = |problem| Err(Inconsistency::Frame { frame, problem });
            if !seconds.is_finite() {
                return problem("its time is not a number");
            }
            if frame > 0 && time_s[frame - 1] >= *seconds {
                return problem("its time does not rise");
            }
            let expected_s = *pts as f64 * time_base;
            let tolerance_s = (0.5 * time_base).max(SAME_TIME_S * f64::max(1.0, seconds.abs() * 1e-6));
            let is_stamped = (expected_s - seconds).abs() <= tolerance_s;
            while repaired.next_if(|frames| frames.end <= frame).is_some() {}
            let is_repaired = repaired.peek().is_some_and(|frames| frames.contains(&frame));
            if is_one_clock && !is_stamped && !is_repaired {
                return problem("its time is not pts times time base");
            }
        }
        if !self.media.start_s.is_finite() {
            return Err(Inconsistency::Frame { frame: 0, problem: "the container's start is not a number" });
        }
        if self.media.duration_s.is_finite() && time_s.last().is_none_or(|last_s| *last_s < self.end_s()) {
            Ok(())
        } else {
            Err(Inconsistency::Frame {
                frame: self.media.frames,
                problem: "the video ends before its last frame starts",
            })
        }
    }

    /// A frame counts as classified if and only if one of its tracks was classified there.
    fn check_statuses(&self) -> Result<(), Inconsistency> {
        let mut is_ok = vec![false; self.media.frames];
        for record in self.tracks.iter().flat_map(|track| &track.frames) {
            is_ok[record.frame] |= record.status == Status::Ok;
        }
        for (frame, (status, is_ok)) in self.frames.status.iter().zip(is_ok).enumerate() {
            match (*status == Status::Ok, is_ok) {
                (true, false) => return Err(Inconsistency::Frame { frame, problem: "it is ok, but in no track" }),
                (false, true) => return Err(Inconsistency::Frame { frame, problem: "it is not ok, but in a track" }),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_summary(&self) -> Result<(), Inconsistency> {
        let frames_ok = self.frames.status.iter().filter(|status| **status == Status::Ok).count();
        count("summary.frames_ok", self.summary.frames_ok, frames_ok)?;
        count("summary.frames_without_face", self.summary.frames_without_face, self.media.frames - frames_ok)?;
        count("summary.tracks", self.summary.tracks, self.tracks.len())?;
        let reasons = self.summary.incomplete_because.len();
        if self.complete != (reasons == 0) {
            return Err(Inconsistency::Complete { complete: self.complete, reasons });
        }
        match self.summary.damage.iter().find(|damage| damage.frame > self.media.frames) {
            Some(damage) => {
                Err(Inconsistency::Frame { frame: damage.frame, problem: "it is damaged, but does not exist" })
            }
            None => Ok(()),
        }
    }
}

fn count(field: &'static str, found: usize, expected: usize) -> Result<(), Inconsistency> {
    if found == expected { Ok(()) } else { Err(Inconsistency::Count { field, found, expected }) }
}

fn check_frames(track: &Track, frames: usize, is_corrected: bool) -> Result<(), Inconsistency> {
    let problem = |problem| Err(Inconsistency::Track { track: track.id, problem });
    let (Some(first), Some(last)) = (track.frames.first(), track.frames.last()) else {
        return problem("it has no frames");
    };
    if (first.frame, last.frame) != (track.first_frame, track.last_frame) {
        return problem("its first and last frame are not those of its records");
    }
    if last.frame >= frames {
        return problem("it goes on after the end of the video");
    }
    for (record, expected) in track.frames.iter().zip(track.first_frame..) {
        let problem = |problem| Err(Inconsistency::Record { track: track.id, frame: record.frame, problem });
        if record.frame != expected {
            return problem("the frames of a track must follow one another without holes");
        }
        if let Some(complaint) = complaint(record, is_corrected) {
            return problem(complaint);
        }
    }
    Ok(())
}

/// `is_corrected`: a person may have labelled what the program did not, or taken a label away; neither leaves a confidence.
fn complaint(record: &FrameRecord, is_corrected: bool) -> Option<&'static str> {
    let is_probability = |p: f32| (0.0..=1.0).contains(&p);
    let FrameRecord { status, face, face_score, covered, source, measures, probabilities, label, confidence, .. } =
        record;
    match (status, probabilities, label, confidence) {
        (Status::Ok, Some(_), label, confidence)
            if (label.is_some() && confidence.is_some()) || (is_corrected && confidence.is_none()) =>
        {
            if confidence.is_some_and(|confidence| !is_probability(confidence)) {
                return Some("its confidence is no probability");
            }
        }
        (Status::Ok, ..) => return Some("a classified face needs probabilities, a label and a confidence"),
        (Status::Occluded | Status::TurnedAway, _, None, None) | (_, None, None, None) => {}
        (Status::Occluded | Status::TurnedAway, _, Some(_), None) | (_, None, Some(_), None) if is_corrected => {}
        _ => return Some("only a face that was read can have a class"),
    }
    if let Some(probabilities) = probabilities {
        let sum: f64 = probabilities.iter().copied().map(f64::from).sum();
        if !probabilities.iter().copied().all(is_probability) || (sum - 1.0).abs() > SUM_TOLERANCE {
            return Some("its probabilities do not sum to 1");
        }
    }
    if measures.is_some() && face.is_none() {
        return Some("a face that was not seen cannot be measured");
    }
    if face.is_some() != source.is_some() {
        return Some("a box needs a source, and a source a box");
    }
    match (status, face) {
        (Status::Ok, None) => return Some("a classified face needs a box"),
        (Status::NoFace, Some(_)) => return Some("a face that was not found has no box"),
        _ => {}
    }
    let is_box = |sides: [f32; 4]| sides.iter().all(|side| side.is_finite()) && sides[2] >= 0.0 && sides[3] >= 0.0;
    if face.is_some_and(|face| !is_box(face.into())) {
        return Some("its box is not a box");
    }
    let shares = |covered: &Covered| {
        let Covered { face, regions } = *covered;
        let regions = regions.map(Regions::shares);
        regions.into_iter().flatten().chain([face]).all(is_probability)
    };
    if covered.is_some_and(|covered| !shares(&covered)) {
        return Some("its covered share is not between 0 and 1");
    }
    face_score.is_some_and(|score| !score.is_finite()).then_some("its face score is not a number")
}

fn check_events(track: &Track, times: &FrameTimes, video_end_s: f64) -> Result<(), Inconsistency> {
    for (index, event) in track.events.iter().enumerate() {
        let problem = |problem| Err(Inconsistency::Event { track: track.id, event: index, problem });
        let (first, last) = (event.first_frame, event.last_frame);
        if first > last || first < track.first_frame || last > track.last_frame {
            return problem("its frames are not the track's");
        }
        let is_same = |a: f64, b: f64| (a - b).abs() <= SAME_TIME_S;
        if !is_same(event.start_s, times.time_s[first]) || !is_same(event.end_s, times.end_s(last, video_end_s)) {
            return problem("its times are not those of its frames");
        }
        if !event.peak.is_finite() {
            return problem("its peak is not a number");
        }
    }
    Ok(())
}

fn check_segments(
    track: &Track,
    times: &FrameTimes,
    video_end_s: f64,
    is_corrected: bool,
) -> Result<(), Inconsistency> {
    let is_labelled = |frame: usize| track.frames[frame - track.first_frame].label.is_some();
    // The first frame that no segment has reached yet.
    let mut reached = track.first_frame;
    for (index, segment) in track.segments.iter().enumerate() {
        let problem = |problem| Err(Inconsistency::Segment { track: track.id, segment: index, problem });
        let (first, last) = (segment.first_frame, segment.last_frame);
        if first > last {
            return problem("it ends before it starts");
        }
        if first < reached {
            return problem("it starts before the track, or before the segment ahead of it has ended");
        }
        if last > track.last_frame {
            return problem("it ends after its track");
        }
        // A cut may fall into frames that the program bridged.
        if !is_corrected && (!is_labelled(first) || !is_labelled(last)) {
            return problem("it starts or ends on a frame without a label");
        }
        if (reached..first).any(is_labelled) {
            return problem("labelled frames ahead of it are in no segment");
        }
        let is_same = |a: f64, b: f64| (a - b).abs() <= SAME_TIME_S;
        // Earlier programs let a segment go on through a hole.
        let ends = [times.end_s(last, video_end_s), times.next_s(last, video_end_s)];
        if !is_same(segment.start_s, times.time_s[first]) || !ends.iter().any(|end_s| is_same(segment.end_s, *end_s)) {
            return problem("its times are not those of its frames");
        }
        match segment.confidence {
            None if !is_corrected => return problem("it has no confidence, and nobody has corrected it"),
            Some(confidence) if !(0.0..=1.0).contains(&confidence) => {
                return problem("its confidence is no probability");
            }
            _ => {}
        }
        if segment.raw_probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return problem("its raw probability is no probability");
        }
        let is_share = |share: &f64| (0.0..=1.0).contains(share);
        if segment.face.as_ref().is_some_and(|face| !face.events.values().all(is_share)) {
            return problem("a share of what the face did in it is not from 0 to 1");
        }
        reached = last + 1;
    }
    if (reached..=track.last_frame).any(is_labelled) {
        return Err(Inconsistency::Track { track: track.id, problem: "labelled frames at its end are in no segment" });
    }
    Ok(())
}

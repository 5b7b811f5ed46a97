//! From lanes of segments back to tracks: what every frame's label is, and whose.

use super::lanes::{Lanes, Touched};
use crate::timeline::{
    Decision, EventKind, Expression, FaceEvent, FaceMeasures, FrameRecord, Measure, Review, ReviewLayer, Segment,
    Status, Timeline, Track,
};

/// The program's timeline with labels, segments and signers as they stand in `lanes`. A label without a confidence is a person's.
pub(super) fn settle(machine: &Timeline, lanes: &Lanes, layer: ReviewLayer) -> Timeline {
    let mut corrected = machine.clone();
    corrected.tracks = joined(machine, lanes);
    for track in &mut corrected.tracks {
        track.name = lanes.signers().get(&track.id).and_then(|signer| signer.name.as_deref()).map(plain);
        let said = said_by_program(machine, lanes, track.id, layer);
        let states: Vec<&Touched> = lanes.of_track(track.id).collect();
        if layer == ReviewLayer::Review {
            settle_events(track, machine, lanes);
        }
        extend(track, &states);
        label_frames(track, &states, &said);
        track.segments = states.iter().filter_map(|touched| segment(touched, track, machine)).collect();
    }
    settle_statuses(&mut corrected);
    corrected
}

/// A name that is a name in every format: a tier's, a column's, a cue's.
fn plain(name: &str) -> String {
    const LONGEST: usize = 60;
    let is_plain = |c: char| c.is_alphanumeric() || " ._-()".contains(c);
    name.chars().take(LONGEST).map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// The program's tracks, with the records of joined ones taken over, and empty ones that a person has begun.
fn joined(machine: &Timeline, lanes: &Lanes) -> Vec<Track> {
    let into = |id: u32| lanes.signers().get(&id).and_then(|signer| signer.into);
    let mut tracks: Vec<Track> = machine.tracks.iter().filter(|track| into(track.id).is_none()).cloned().collect();
    for id in lanes.signers().keys() {
        let is_new = machine.tracks.iter().all(|track| track.id != *id) && into(*id).is_none();
        if let Some(first) = lanes.of_track(*id).chain(lanes.events_of_track(*id)).next().filter(|_| is_new) {
            let frame = first.state.first_frame;
            let frames = vec![FrameRecord::unseen(frame)];
            let (segments, events) = (Vec::new(), Vec::new());
            let (first_frame, last_frame) = (frame, frame);
            let neutral = None;
            tracks.push(Track { id: *id, name: None, first_frame, last_frame, frames, segments, events, neutral });
        }
    }
    tracks.sort_by_key(|track| track.id);
    for joined in machine.tracks.iter().filter(|track| into(track.id).is_some()) {
        // A signer may have been joined to one that was joined in turn.
        let target = target(lanes, joined.id);
        let Some(track) = tracks.iter_mut().find(|track| track.id == target) else { continue };
        cover(track, joined.first_frame, joined.last_frame);
        for record in &joined.frames {
            let own = &mut track.frames[record.frame - track.first_frame];
            if rank(record.status) < rank(own.status) {
                *own = record.clone();
            }
        }
    }
    tracks
}

/// Gives a track the events that stand in its lanes, and those of the signers that were joined to it, but for what overlaps one of
/// its kind.
fn settle_events(track: &mut Track, machine: &Timeline, lanes: &Lanes) {
    let joined = lanes.signers().keys().copied().filter(|id| *id != track.id && target(lanes, *id) == track.id);
    let ids: Vec<u32> = std::iter::once(track.id).chain(joined).collect();
    let overlaps = |a: &FaceEvent, b: &FaceEvent| {
        a.kind == b.kind && a.first_frame <= b.last_frame && b.first_frame <= a.last_frame
    };
    let mut events: Vec<FaceEvent> = Vec::new();
    for touched in ids.iter().flat_map(|id| lanes.events_of_track(*id)) {
        cover(track, touched.state.first_frame, touched.state.last_frame);
        let Some(event) = event(touched, track, machine) else { continue };
        if !events.iter().any(|own| overlaps(own, &event)) {
            events.push(event);
        }
    }
    events.sort_by_key(|event| (event.first_frame, event.kind));
    track.events = events;
}

/// The track that a signer was joined to, over all steps; their own where they were not.
fn target(lanes: &Lanes, id: u32) -> u32 {
    let into = |id: u32| lanes.signers().get(&id).and_then(|signer| signer.into);
    let (mut target, mut steps) = (id, 0);
    while let Some(next) = into(target).filter(|_| steps <= lanes.signers().len()) {
        (target, steps) = (next, steps + 1);
    }
    target
}

/// An event as it stands in a lane: the program's own as it was, else with the peak that its frames have.
fn event(touched: &Touched, track: &Track, machine: &Timeline) -> Option<FaceEvent> {
    let state = &touched.state;
    let (kind, first_frame, last_frame) = (state.event?, state.first_frame, state.last_frame);
    let mut program = machine.tracks.iter().filter(|other| other.id == state.track).flat_map(|other| &other.events);
    let own = program.find(|e| touched.by.is_none() && e.kind == kind && e.first_frame == first_frame);
    if let Some(own) = own {
        return Some(own.clone());
    }
    let records = &track.frames[first_frame - track.first_frame..=last_frame - track.first_frame];
    let neutral = track.neutral.as_ref().map(|neutral| neutral.values).unwrap_or_default();
    let peak = peak(kind, records, &neutral);
    let times = &machine.frames;
    let (start_s, end_s) = (times.time_s[first_frame], times.end_s(last_frame, machine.end_s()));
    Some(FaceEvent { kind, first_frame, last_frame, start_s, end_s, peak })
}

/// The strongest value of an event's measure in `records`, as docs/measures.md has it; 0 where it was not taken.
fn peak(kind: EventKind, records: &[FrameRecord], neutral: &FaceMeasures) -> f64 {
    let measures = || records.iter().filter_map(|record| record.measures);
    let strongest = |value: &dyn Fn(&FaceMeasures) -> Option<f64>| {
        measures().filter_map(|measures| value(&measures)).reduce(f64::max).unwrap_or(0.0)
    };
    let turned = |measure: Measure, sign: f64| {
        let middle = neutral.get(measure).unwrap_or(0.0);
        strongest(&|m| m.get(measure).map(|value| sign * (value - middle)))
    };
    let swing = |measure: Measure| {
        let values = || measures().filter_map(|measures| measures.get(measure));
        values().reduce(f64::max).zip(values().reduce(f64::min)).map_or(0.0, |(most, least)| most - least)
    };
    let peak = match kind {
        EventKind::BrowsRaised => strongest(&|m| m.get(Measure::InnerBrowHeight)),
        EventKind::BrowsFurrowed => strongest(&|m| m.get(Measure::InnerBrowGap).map(|gap| -gap)),
        EventKind::Blink | EventKind::EyesClosed => strongest(&|m| m.get(Measure::EyeOpenness).map(|open| 1.0 - open)),
        EventKind::MouthOpen => strongest(&|m| m.get(Measure::MouthOpening)),
        EventKind::MouthRounded => strongest(&|m| m.get(Measure::MouthWidth).map(|width| -width)),
        EventKind::HeadLeft => turned(Measure::Yaw, 1.0),
        EventKind::HeadRight => turned(Measure::Yaw, -1.0),
        EventKind::HeadUp => turned(Measure::Pitch, 1.0),
        EventKind::HeadDown => turned(Measure::Pitch, -1.0),
        EventKind::TiltLeft => turned(Measure::Roll, 1.0),
        EventKind::TiltRight => turned(Measure::Roll, -1.0),
        EventKind::Nod => swing(Measure::Pitch),
        EventKind::Shake => swing(Measure::Yaw),
        EventKind::HandOnFace => {
            let covered = records.iter().filter_map(|record| record.covered).map(|covered| f64::from(covered.face));
            covered.reduce(f64::max).unwrap_or(0.0)
        }
    };
    (peak * 1e4).round() / 1e4 + 0.0
}

/// Which of two records of one signer says more.
fn rank(status: Status) -> usize {
    match status {
        Status::Ok => 0,
        Status::NoFace => 2,
        _ => 1,
    }
}

/// Makes the track have records from `first` to `last`.
fn cover(track: &mut Track, first: usize, last: usize) {
    if first < track.first_frame {
        let before = (first..track.first_frame).map(FrameRecord::unseen);
        track.frames.splice(0..0, before);
        track.first_frame = first;
    }
    let after = (track.last_frame + 1..=last.max(track.last_frame)).map(FrameRecord::unseen);
    track.frames.extend(after);
    track.last_frame = track.last_frame.max(last);
}

fn extend(track: &mut Track, states: &[&Touched]) {
    if let (Some(first), Some(last)) = (states.first(), states.last()) {
        cover(track, first.state.first_frame, last.state.last_frame);
    }
}

/// The label of the program's segment at each frame of the video, for a signer and those joined to it.
fn said_by_program(machine: &Timeline, lanes: &Lanes, id: u32, layer: ReviewLayer) -> Vec<Option<Expression>> {
    let mut said = vec![None; machine.media.frames];
    let is_own =
        |track: &&Track| track.id == id || lanes.signers().get(&track.id).is_some_and(|signer| signer.into == Some(id));
    if layer == ReviewLayer::Blind {
        return said;
    }
    for segment in machine.tracks.iter().filter(is_own).flat_map(|track| &track.segments) {
        said[segment.first_frame..=segment.last_frame].fill(Some(segment.label));
    }
    said
}

/// Gives every record its label: the program's where no person said otherwise, else the person's, or none.
fn label_frames(track: &mut Track, states: &[&Touched], said: &[Option<Expression>]) {
    let mut states = states.iter().peekable();
    for record in &mut track.frames {
        while states.next_if(|touched| touched.state.last_frame < record.frame).is_some() {}
        let here = states.peek().map(|touched| &touched.state).filter(|state| state.first_frame <= record.frame);
        let Some(state) = here else {
            (record.label, record.confidence) = (None, None);
            continue;
        };
        match state.label {
            None => *record = FrameRecord::unseen(record.frame),
            Some(label) => {
                let is_decided = state.review.is_some_and(Review::decides_label);
                if is_decided || said[record.frame] != Some(label) {
                    (record.label, record.confidence) = (Some(label), None);
                }
            }
        }
    }
}

fn segment(touched: &Touched, track: &Track, machine: &Timeline) -> Option<Segment> {
    let state = &touched.state;
    let (first_frame, last_frame) = (state.first_frame, state.last_frame);
    let records = &track.frames[first_frame - track.first_frame..=last_frame - track.first_frame];
    let times = &machine.frames;
    let program =
        machine.tracks.iter().find(|other| other.id == track.id).into_iter().flat_map(|other| &other.segments);
    let untouched = program.into_iter().find(|s| touched.by.is_none() && s.first_frame == first_frame);
    let decision = touched.by.as_ref().map(|(reviewer, time)| Decision {
        segment: state.segment.clone(),
        review: state.review,
        reviewer: reviewer.clone(),
        time: time.clone(),
        comment: state.comment.clone(),
        unsure: state.unsure,
    });
    if let Some(untouched) = untouched {
        // Events may have been corrected in it.
        return Some(untouched.clone().with_face(&track.frames, &track.events));
    }
    let segment = Segment {
        first_frame,
        last_frame,
        start_s: times.time_s[first_frame],
        end_s: times.end_s(last_frame, machine.end_s()),
        label: state.label?,
        confidence: mean_confidence(records),
        raw_probability: None,
        face: None,
        decision,
    };
    Some(segment.with_raw_probability(records).with_face(records, &track.events))
}

/// The mean over the labelled frames; none where one of them is a person's.
fn mean_confidence(records: &[FrameRecord]) -> Option<f32> {
    let labelled: Vec<Option<f32>> = records.iter().filter(|r| r.label.is_some()).map(|r| r.confidence).collect();
    let known: Option<Vec<f32>> = labelled.into_iter().collect();
    known.filter(|known| !known.is_empty()).map(|known| known.iter().sum::<f32>() / known.len() as f32)
}

/// Frames' own statuses and counts follow from the records.
pub(super) fn settle_statuses(timeline: &mut Timeline) {
    let mut found: Vec<Vec<Status>> = vec![Vec::new(); timeline.frames.status.len()];
    for record in timeline.tracks.iter().flat_map(|track| &track.frames) {
        found[record.frame].push(record.status);
    }
    for (status, found) in timeline.frames.status.iter_mut().zip(found) {
        *status = Status::best(found.into_iter());
    }
    let frames_ok = timeline.frames.status.iter().filter(|status| **status == Status::Ok).count();
    timeline.summary.frames_ok = frames_ok;
    timeline.summary.frames_without_face = timeline.frames.status.len() - frames_ok;
    timeline.summary.tracks = timeline.tracks.len();
}

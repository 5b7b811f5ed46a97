//! Corrections taken back into a timeline. What the program said stays beside what people say, so that the same and more
//! corrections can be applied again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::lanes::{Lanes, Met, Touched};
use super::read::{Correction, Numbered};
use super::settle::settle;
use crate::timeline::{Corrections, MachineTrack, Operation, Review, ReviewLayer, SegmentState, Timeline, Track};

/// Why corrections cannot be applied at all. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum ApplyError {
    #[error("line {line}: the correction is of another video (SHA-256 {found})")]
    OtherMedia { line: usize, found: String },
    #[error("line {line}: the correction is of labels of another model (SHA-256 {found})")]
    OtherModel { line: usize, found: String },
    #[error("line {line}: labels under review and an independent annotation do not go into one file")]
    Mixed { line: usize },
}

/// An operation that met something else than it expected, and was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Its line; 0 where it does not come from a file.
    pub line: usize,
    /// Who made it.
    pub reviewer: String,
    /// What it would have done.
    pub kind: String,
    /// What is there instead.
    pub problem: String,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Operations applied now.
    pub applied: usize,
    /// Operations that had been applied before.
    pub known: usize,
    /// Operations whose outcome was there already: two people said the same.
    pub same: usize,
    /// Operations left out.
    pub conflicts: Vec<Conflict>,
    /// How many segments stand reviewed in which way, after all operations.
    pub segments: Tally,
}

/// Segments by how a person has reviewed them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Agreed with.
    pub accepted: usize,
    /// With another label.
    pub changed: usize,
    /// Not a face.
    pub rejected: usize,
    /// Made by a person.
    pub drawn: usize,
    /// With another edge.
    pub moved: usize,
    /// Not reviewed.
    pub open: usize,
}

impl Tally {
    fn of(lanes: &Lanes) -> Self {
        let mut tally = Self::default();
        for Touched { state, .. } in lanes.all() {
            *match state.review {
                Some(Review::Accepted) => &mut tally.accepted,
                Some(Review::Changed) => &mut tally.changed,
                Some(Review::Rejected) => &mut tally.rejected,
                Some(Review::Drawn) => &mut tally.drawn,
                Some(Review::Moved) => &mut tally.moved,
                None => &mut tally.open,
            } += 1;
        }
        tally
    }
}

/// Segments and signers as they stand in a timeline: the program's, changed by every operation it carries.
pub fn lanes_of(timeline: &Timeline) -> Lanes {
    let Some(corrections) = &timeline.corrections else { return Lanes::of_machine(timeline) };
    let machine = machine_of(timeline);
    let mut lanes = match corrections.layer {
        ReviewLayer::Review => Lanes::of_machine(&machine),
        ReviewLayer::Blind => Lanes::empty(&machine),
    };
    for operation in &corrections.operations {
        lanes.apply(operation);
    }
    lanes
}

/// Applies what files of corrections say, in order. A correction that finds what it expects is applied; one that was applied
/// before, or whose outcome is there, changes nothing; one that finds something else is left out and reported.
///
/// # Errors
/// If a correction is of another video, or one of the first schema of another model; then nothing is changed.
pub fn apply_corrections(timeline: &mut Timeline, corrections: &[Numbered]) -> Result<Applied, ApplyError> {
    let layer = corrections.first().map(|first| first.correction.layer()).unwrap_or_default();
    for Numbered { line, correction } in corrections {
        if let (Some(ours), Some(theirs)) = (timeline.media.sha256.as_deref(), correction.media_sha256())
            && ours != theirs
        {
            return Err(ApplyError::OtherMedia { line: *line, found: theirs.into() });
        }
        if let Correction::First(first) = correction
            && first.model_sha256 != timeline.model.sha256
        {
            return Err(ApplyError::OtherModel { line: *line, found: first.model_sha256.clone() });
        }
        if correction.layer() != layer {
            return Err(ApplyError::Mixed { line: *line });
        }
    }
    let mut session = Session::new(timeline, layer);
    for Numbered { line, correction } in corrections {
        let operation = match correction {
            Correction::First(first) => first.operation(&session.lanes),
            Correction::Second(operation) => operation.clone(),
        };
        session.take(*line, operation);
    }
    Ok(session.end(timeline))
}

/// Applies operations, as [`apply_corrections`] does; the number in the list, from 1, stands for the line. This is the way in for
/// edits that come from elsewhere, such as an ELAN document: see [`lanes_of`] for what an operation has to expect.
///
/// # Errors
/// As [`apply_corrections`].
pub fn apply(timeline: &mut Timeline, operations: &[Operation]) -> Result<Applied, ApplyError> {
    let numbered: Vec<Numbered> = (1..)
        .zip(operations)
        .map(|(line, operation)| Numbered { line, correction: Correction::Second(operation.clone()) })
        .collect();
    apply_corrections(timeline, &numbered)
}

struct Session {
    lanes: Lanes,
    operations: Vec<Operation>,
    known: HashSet<String>,
    layer: ReviewLayer,
    applied: Applied,
}

impl Session {
    fn new(timeline: &Timeline, layer: ReviewLayer) -> Self {
        let before = timeline.corrections.as_ref();
        let (lanes, operations) = match before {
            Some(before) if before.layer == layer => (lanes_of(timeline), before.operations.clone()),
            _ if layer == ReviewLayer::Blind => (Lanes::empty(&machine_of(timeline)), Vec::new()),
            _ => (Lanes::of_machine(&machine_of(timeline)), Vec::new()),
        };
        let known = operations.iter().map(|operation| operation.id.clone()).collect();
        Self { lanes, operations, known, layer, applied: Applied::default() }
    }

    fn take(&mut self, line: usize, operation: Operation) {
        if self.known.contains(&operation.id) {
            self.applied.known += 1;
            return;
        }
        match self.lanes.apply(&operation) {
            Met::Expected => self.applied.applied += 1,
            Met::Same => self.applied.same += 1,
            Met::Conflict(problem) => {
                let Operation { reviewer, kind, .. } = operation;
                self.applied.conflicts.push(Conflict { line, reviewer, kind, problem });
                return;
            }
        }
        self.known.insert(operation.id.clone());
        self.operations.push(operation);
    }

    fn end(mut self, timeline: &mut Timeline) -> Applied {
        self.applied.segments = Tally::of(&self.lanes);
        if self.operations.is_empty() {
            return self.applied;
        }
        let machine = machine_of(timeline);
        let mut corrected = settle(&machine, &self.lanes, self.layer);
        corrected.corrections = Some(Corrections {
            layer: self.layer,
            operations: self.operations,
            machine: changed_tracks(&machine.tracks, &corrected.tracks),
        });
        *timeline = corrected;
        self.applied
    }
}

/// The timeline as the program made it.
pub fn machine_of(timeline: &Timeline) -> Timeline {
    let mut machine = timeline.clone();
    let Some(corrections) = machine.corrections.take() else { return machine };
    for track in &mut machine.tracks {
        track.name = None;
    }
    for stored in corrections.machine {
        let there = machine.tracks.iter().position(|track| track.id == stored.id);
        let there = there.map(|index| machine.tracks.remove(index));
        machine.tracks.extend(restored(stored, there));
    }
    machine.tracks.sort_by_key(|track| track.id);
    super::settle::settle_statuses(&mut machine);
    machine
}

/// A track of the program's from what is stored of it and what stands instead of it.
fn restored(stored: MachineTrack, there: Option<Track>) -> Option<Track> {
    let [first_frame, last_frame] = stored.span?;
    let (events, neutral) = there.as_ref().map(|t| (t.events.clone(), t.neutral.clone())).unwrap_or_default();
    let (events, neutral) = (stored.events.unwrap_or(events), stored.neutral.or(neutral));
    let mut records: BTreeMap<usize, _> =
        there.into_iter().flat_map(|track| track.frames).map(|r| (r.frame, r)).collect();
    records.extend(stored.frames.into_iter().map(|record| (record.frame, record)));
    let frames = records.range(first_frame..=last_frame).map(|(_, record)| record.clone()).collect();
    let (id, segments) = (stored.id, stored.segments);
    Some(Track { id, name: None, first_frame, last_frame, frames, segments, events, neutral })
}

/// What the program said about the tracks that differ.
fn changed_tracks(machine: &[Track], corrected: &[Track]) -> Vec<MachineTrack> {
    let ids: BTreeSet<u32> = machine.iter().chain(corrected).map(|track| track.id).collect();
    let of = |tracks: &[Track], id: u32| tracks.iter().find(|track| track.id == id).cloned();
    let changed = ids.into_iter().filter_map(|id| match (of(machine, id), of(corrected, id)) {
        (None, _) => {
            let (frames, segments) = (Vec::new(), Vec::new());
            Some(MachineTrack { id, span: None, frames, segments, events: None, neutral: None })
        }
        (Some(before), after) => {
            let now = |frame: usize| {
                let after = after.as_ref()?;
                after.frames.get(frame.checked_sub(after.first_frame)?)
            };
            let frames: Vec<_> = before.frames.iter().filter(|r| now(r.frame) != Some(*r)).cloned().collect();
            let has = |same: fn(&Track, &Track) -> bool| after.as_ref().is_some_and(|after| same(&before, after));
            let events = (!has(|a, b| a.events == b.events)).then(|| before.events.clone());
            let neutral = before.neutral.clone().filter(|_| !has(|a, b| a.neutral == b.neutral));
            let is_same =
                has(|a, b| a.segments == b.segments && a.frames.len() == b.frames.len() && a.events == b.events)
                    && frames.is_empty();
            let span = Some([before.first_frame, before.last_frame]);
            (!is_same).then_some(MachineTrack { id, span, frames, segments: before.segments, events, neutral })
        }
    });
    changed.collect()
}

/// The frames on which a person's word stands, as stretches of one label: of each track, in order.
pub fn decided(timeline: &Timeline) -> Vec<SegmentState> {
    let mut stretches: Vec<SegmentState> = Vec::new();
    for track in timeline.tracks.iter().filter(|_| timeline.corrections.is_some()) {
        for record in track.frames.iter().filter(|record| record.confidence.is_none()) {
            let Some(label) = record.label else { continue };
            let frame = record.frame;
            match stretches.last_mut() {
                Some(last) if last.track == track.id && last.label == Some(label) && last.last_frame + 1 == frame => {
                    last.last_frame = frame;
                }
                _ => stretches.push(SegmentState {
                    segment: format!("{}.{frame}", track.id),
                    track: track.id,
                    first_frame: frame,
                    last_frame: frame,
                    label: Some(label),
                    event: None,
                    review: None,
                    comment: String::new(),
                    unsure: false,
                }),
            }
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::review::read::{FirstCorrection, parse_corrections};
    use crate::sample;
    use crate::timeline::{
        CORRECTION_SCHEMA, EventKind, Expression, FaceEvent, Neutral, SignerChange, SignerState, Status,
    };

    fn operation(id: &str, reviewer: &str, before: Vec<SegmentState>, after: Vec<SegmentState>) -> Operation {
        Operation {
            schema: CORRECTION_SCHEMA.into(),
            id: id.into(),
            kind: "label".into(),
            layer: ReviewLayer::Review,
            labels: String::new(),
            media_sha256: Some("a".repeat(64)),
            model_sha256: "b".repeat(64),
            reviewer: reviewer.into(),
            time: "2026-01-01T00:00:00Z".into(),
            before,
            after,
            signers: Vec::new(),
        }
    }

    fn there(timeline: &Timeline, id: &str) -> SegmentState {
        lanes_of(timeline).get(id).unwrap_or_else(|| panic!("{id} is there")).state.clone()
    }

    /// The segment called `id` with another label.
    fn relabel(timeline: &Timeline, id: &str, reviewer: &str, label: Option<Expression>) -> Operation {
        let before = there(timeline, id);
        let review = Some(crate::review::review_of(before.label, label));
        let name = format!("{reviewer}-{id}-{}", label.map_or("none", |l| l.name()));
        operation(&name, reviewer, vec![before.clone()], vec![SegmentState { label, review, ..before }])
    }

    fn drawn(id: &str, track: u32, first_frame: usize, last_frame: usize) -> SegmentState {
        SegmentState {
            segment: id.into(),
            track,
            first_frame,
            last_frame,
            label: Some(Expression::Fear),
            event: None,
            review: Some(Review::Drawn),
            comment: String::new(),
            unsure: false,
        }
    }

    #[test]
    fn a_persons_label_stands_in_segment_and_frames_without_confidence_beside_what_the_program_said() {
        let program = sample::two_signers();
        let mut timeline = program.clone();
        let change = relabel(&timeline, "1.0", "r", Some(Expression::Disgust));
        let applied = apply(&mut timeline, &[change]).unwrap();
        assert_eq!((applied.applied, applied.segments.changed, applied.segments.open), (1, 1, 2));
        timeline.check().unwrap();
        let track = &timeline.tracks[0];
        assert_eq!((track.segments[0].label, track.segments[0].confidence), (Expression::Disgust, None));
        let decision = track.segments[0].decision.as_ref().unwrap();
        assert_eq!((decision.reviewer.as_str(), decision.time.as_str()), ("r", "2026-01-01T00:00:00Z"));
        assert_eq!((track.frames[0].label, track.frames[0].confidence), (Some(Expression::Disgust), None));
        assert_eq!(track.frames[0].probabilities, program.tracks[0].frames[0].probabilities, "the model's word stays");
        assert_eq!(track.segments[1], program.tracks[0].segments[1], "what nobody touched is as it was");
        let corrections = timeline.corrections.as_ref().unwrap();
        assert_eq!(corrections.machine[0].segments[0].label, Expression::Happiness);
        assert_eq!(corrections.machine[0].frames.len(), 2, "only what differs is kept twice");
        assert_eq!(machine_of(&timeline), program);
    }

    #[test]
    fn what_is_not_a_face_has_no_label_box_or_segment_and_comes_back() {
        let program = sample::two_signers();
        let mut timeline = program.clone();
        let change = relabel(&timeline, "1.0", "r", None);
        assert_eq!(apply(&mut timeline, std::slice::from_ref(&change)).unwrap().segments.rejected, 1);
        timeline.check().unwrap();
        assert_eq!(timeline.tracks[0].segments.len(), 1);
        assert_eq!((timeline.tracks[0].frames[0].face, timeline.tracks[0].frames[0].status), (None, Status::NoFace));
        let undo = operation("undo", "r", change.after, change.before);
        apply(&mut timeline, &[undo]).unwrap();
        assert_eq!(
            timeline.tracks,
            program
                .tracks
                .iter()
                .cloned()
                .map(|mut track| {
                    // Who touched it last is still said.
                    if track.id == 1 {
                        track.segments[0].decision.clone_from(&timeline.tracks[0].segments[0].decision);
                    }
                    track
                })
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_segment_can_be_drawn_where_no_face_was_seen_before_the_track_and_for_a_new_signer() {
        let mut timeline = sample::two_signers();
        let gap = operation("gap", "r", vec![], vec![drawn("p1", 1, 2, 3)]);
        let before = operation("before", "r", vec![], vec![drawn("p2", 2, 0, 0)]);
        let new = operation("new", "r", vec![], vec![drawn("p3", 7, 4, 5)]);
        assert_eq!(apply(&mut timeline, &[gap, before, new]).unwrap().segments.drawn, 3);
        timeline.check().unwrap();
        assert_eq!(timeline.tracks[0].frames[2].status, Status::Occluded, "what was seen stays said");
        assert_eq!(timeline.tracks[0].frames[2].label, Some(Expression::Fear));
        assert_eq!(timeline.tracks[1].first_frame, 0);
        assert_eq!((timeline.tracks[2].id, timeline.tracks[2].segments.len()), (7, 1));
        assert_eq!(machine_of(&timeline), sample::two_signers());
    }

    #[test]
    fn a_moved_edge_makes_the_frames_it_passed_a_persons_and_leaves_the_others_the_programs() {
        let mut timeline = sample::two_signers();
        // Angry from frame 3 on instead of 4: frame 3 has no label of the program's.
        let before = there(&timeline, "1.4");
        let after = SegmentState { first_frame: 3, review: Some(Review::Moved), ..before.clone() };
        apply(&mut timeline, &[operation("m", "r", vec![before], vec![after])]).unwrap();
        timeline.check().unwrap();
        let frames = &timeline.tracks[0].frames;
        assert_eq!((frames[3].label, frames[3].confidence), (Some(Expression::Anger), None));
        assert_eq!(frames[4].confidence, Some(0.75));
        assert_eq!(timeline.tracks[0].segments[1].confidence, None, "the program never judged all of it");
        assert_eq!(decided(&timeline).iter().map(|s| (s.first_frame, s.last_frame)).collect::<Vec<_>>(), [(3, 3)]);
    }

    #[test]
    fn the_same_and_more_corrections_are_taken_again() {
        let mut day_one = sample::two_signers();
        let first = relabel(&day_one, "1.0", "r", Some(Expression::Fear));
        apply(&mut day_one, std::slice::from_ref(&first)).unwrap();
        let second = relabel(&day_one, "1.4", "r", Some(Expression::Anger));
        let third = relabel(&day_one, "1.0", "r", Some(Expression::Sadness));
        let all = [first.clone(), second, third];
        let mut day_two = day_one.clone();
        let applied = apply(&mut day_two, &all).unwrap();
        assert_eq!((applied.applied, applied.known, applied.conflicts.len()), (2, 1, 0));
        let mut at_once = sample::two_signers();
        assert_eq!(apply(&mut at_once, &all).unwrap().applied, 3);
        assert_eq!(day_two, at_once, "it does not matter on which day");
        let mut again = day_two.clone();
        assert_eq!(apply(&mut again, &all).unwrap().known, 3);
        assert_eq!(again, day_two);
    }

    #[test]
    fn two_people_agree_or_are_in_conflict_and_remarks_never_are() {
        let program = sample::two_signers();
        let [anna, ben, carl] = [("anna", Expression::Fear), ("ben", Expression::Fear), ("carl", Expression::Anger)]
            .map(|(name, label)| relabel(&program, "1.0", name, Some(label)));
        let before = there(&program, "1.0");
        let remark = SegmentState { comment: "tired".into(), ..before.clone() };
        let remark = operation("remark", "dora", vec![before], vec![remark]);
        let mut timeline = program.clone();
        let applied = apply(&mut timeline, &[remark, anna, ben, carl]).unwrap();
        assert_eq!((applied.applied, applied.same), (2, 1));
        let [conflict] = &applied.conflicts[..] else { panic!("{:?}", applied.conflicts) };
        assert_eq!((conflict.line, conflict.reviewer.as_str()), (4, "carl"));
        assert!(conflict.problem.contains("anna's 'fear'"), "{}", conflict.problem);
        assert_eq!(timeline.tracks[0].segments[0].label, Expression::Fear);
        assert_eq!(timeline.tracks[0].segments[0].decision.as_ref().unwrap().comment, "tired");
    }

    #[test]
    fn overlaps_and_frames_beyond_the_video_are_conflicts() {
        let program = sample::two_signers();
        for (state, part) in [
            (drawn("p", 1, 1, 3), "are the program's 'happiness'"),
            (drawn("p", 1, 3, 6), "not among this video's"),
            (drawn("p", 1, 3, 2), "not among this video's"),
            (drawn("1.0", 1, 2, 3), "another segment 1.0"),
        ] {
            let mut timeline = program.clone();
            let applied = apply(&mut timeline, &[operation("o", "r", vec![], vec![state])]).unwrap();
            assert!(applied.conflicts[0].problem.contains(part), "{}", applied.conflicts[0].problem);
            assert_eq!(timeline, program);
        }
    }

    #[test]
    fn signers_are_renamed_and_joined_and_come_back() {
        let mut program = sample::two_signers();
        let of_first = program.tracks[0].events[0].clone();
        let times = |event: FaceEvent| FaceEvent { start_s: 0.24, end_s: 0.28, ..event };
        let blink = times(FaceEvent { kind: EventKind::Blink, first_frame: 1, last_frame: 1, ..of_first.clone() });
        let raised = times(FaceEvent { first_frame: 1, last_frame: 1, ..of_first.clone() });
        program.tracks[1].events = vec![raised, blink.clone()];
        program.tracks[1].neutral = program.tracks[0].neutral.clone().map(|neutral| Neutral { frames: 1, ..neutral });
        let mut timeline = program.clone();
        // Signer 2's only segment makes room for signer 1's, which covers the same frame.
        let mut join = operation("join", "r", vec![there(&timeline, "2.1")], vec![]);
        let named = SignerState { name: Some("P07".into()), into: None };
        let joined = SignerState { name: None, into: Some(1) };
        join.signers = vec![
            SignerChange { track: 1, old: Some(SignerState::default()), now: Some(named) },
            SignerChange { track: 2, old: Some(SignerState::default()), now: Some(joined) },
        ];
        assert_eq!(apply(&mut timeline, &[join]).unwrap().applied, 1);
        timeline.check().unwrap();
        assert_eq!(timeline.tracks.iter().map(|t| (t.id, t.signer())).collect::<Vec<_>>(), [(1, "P07".into())]);
        assert_eq!(
            timeline.tracks[0].events,
            [of_first, blink],
            "both signers' events, but for one where there is one"
        );
        assert_eq!(machine_of(&timeline), program);
        let read: Timeline = serde_json::from_value(serde_json::to_value(&timeline).unwrap()).unwrap();
        assert_eq!(read, timeline);
    }

    #[test]
    fn a_signer_whom_the_program_never_saw_is_added_named_labelled_and_taken_out_again() {
        let program = sample::two_signers();
        let change = |id: &str, old: Option<SignerState>, now: Option<SignerState>| Operation {
            signers: vec![SignerChange { track: 3, old, now }],
            ..operation(id, "r", vec![], vec![])
        };
        let named = SignerState { name: Some("P09".into()), into: None };
        let add = change("add", None, Some(SignerState::default()));
        let name = change("name", Some(SignerState::default()), Some(named.clone()));
        let draw = operation("draw", "r", vec![], vec![drawn("p1", 3, 1, 2)]);
        let mut blink = drawn("p2", 3, 4, 4);
        (blink.label, blink.event) = (None, Some(EventKind::Blink));
        let mark = operation("mark", "r", vec![], vec![blink]);
        let mut timeline = program.clone();
        assert_eq!(apply(&mut timeline, std::slice::from_ref(&add)).unwrap().applied, 1);
        assert_eq!(timeline.tracks.len(), 2, "somebody of whom nothing is said is in no table");
        assert_eq!(apply(&mut timeline, &[name, draw, mark]).unwrap().applied, 3);
        timeline.check().unwrap();
        let track = &timeline.tracks[2];
        assert_eq!((track.id, track.signer().as_str(), track.events.len()), (3, "P09", 1));
        assert_eq!((track.segments[0].first_frame, track.segments[0].last_frame), (1, 2));
        assert_eq!(machine_of(&timeline), program);
        let read = Timeline::parse(&serde_json::to_vec(&timeline).unwrap(), "x".as_ref()).unwrap();
        assert_eq!(read, timeline);
        // A second person added them, too: the same signer.
        let again = Operation { id: "again".into(), ..add };
        let mut twice = program.clone();
        let applied = apply(&mut twice, &[change("first", None, Some(SignerState::default())), again]).unwrap();
        assert_eq!((applied.applied, applied.same), (1, 1));
        // Whoever has segments is not taken out; whoever has none is.
        let out = apply(&mut timeline, &[change("out", Some(named), None)]).unwrap();
        assert!(out.conflicts[0].problem.contains("track 3 has segments"), "{:?}", out.conflicts);
        assert_eq!(apply(&mut twice, &[change("gone", Some(SignerState::default()), None)]).unwrap().applied, 1);
        assert!(!lanes_of(&twice).signers().contains_key(&3));
    }

    /// An event of `lanes`' as an operation finds it.
    fn event_there(timeline: &Timeline) -> SegmentState {
        there(timeline, "1.brows_raised.0")
    }

    #[test]
    fn events_are_moved_relabelled_drawn_and_deleted_like_segments_and_come_back() {
        let program = sample::two_signers();
        let found = event_there(&program);
        assert_eq!((found.event, found.label, found.first_frame), (Some(EventKind::BrowsRaised), None, 0));
        let longer = SegmentState { last_frame: 4, review: Some(Review::Moved), ..found.clone() };
        let other = SegmentState { event: Some(EventKind::MouthOpen), review: Some(Review::Changed), ..found.clone() };
        let mut blink = drawn("p1", 1, 0, 1);
        (blink.label, blink.event) = (None, Some(EventKind::Blink));
        let spans = |timeline: &Timeline| -> Vec<(EventKind, usize, usize)> {
            timeline.tracks[0].events.iter().map(|e| (e.kind, e.first_frame, e.last_frame)).collect()
        };
        for (operation, expected) in [
            (operation("move", "r", vec![found.clone()], vec![longer]), vec![(EventKind::BrowsRaised, 0, 4)]),
            (operation("label", "r", vec![found.clone()], vec![other]), vec![(EventKind::MouthOpen, 0, 1)]),
            (operation("delete", "r", vec![found.clone()], vec![]), vec![]),
            (
                operation("draw", "r", vec![], vec![blink.clone()]),
                vec![(EventKind::BrowsRaised, 0, 1), (EventKind::Blink, 0, 1)],
            ),
        ] {
            let mut timeline = program.clone();
            let applied = apply(&mut timeline, std::slice::from_ref(&operation)).unwrap();
            assert_eq!((applied.applied, applied.segments.open), (1, 3), "{:?}", applied.conflicts);
            assert_eq!(spans(&timeline), expected);
            timeline.check().unwrap();
            assert_eq!(machine_of(&timeline), program, "{}", operation.id);
            let text = serde_json::to_vec(&timeline).unwrap();
            assert_eq!(Timeline::parse(&text, "x".as_ref()).unwrap(), timeline);
            let shares = &timeline.tracks[0].segments[0].face.as_ref().unwrap().events;
            let kinds: BTreeSet<EventKind> = expected.iter().map(|(kind, ..)| *kind).collect();
            assert_eq!(
                shares.keys().copied().collect::<BTreeSet<_>>(),
                kinds,
                "what the face did is what now stands there"
            );
        }
        let mut timeline = program.clone();
        apply(&mut timeline, &[operation("draw", "r", vec![], vec![blink.clone()])]).unwrap();
        // Its measure's strongest value in these frames: eyes that are 7 % open.
        assert_eq!(timeline.tracks[0].events[1].peak, 0.9288);
        blink.segment = "p2".into();
        let again = apply(&mut timeline, &[operation("again", "s", vec![], vec![blink.clone()])]).unwrap();
        assert_eq!((again.same, again.conflicts.len()), (1, 0), "two people marked the same");
        blink.last_frame = 2;
        let conflict = apply(&mut timeline, &[operation("other", "s", vec![], vec![blink])]).unwrap();
        assert!(conflict.conflicts[0].problem.contains("r's 'blink'"), "{:?}", conflict.conflicts);
    }

    #[test]
    fn an_independent_annotation_starts_from_nothing() {
        let mut timeline = sample::two_signers();
        let mut blind = operation("b", "r", vec![], vec![drawn("p1", 1, 0, 1)]);
        blind.layer = ReviewLayer::Blind;
        apply(&mut timeline, &[blind]).unwrap();
        timeline.check().unwrap();
        let segments: usize = timeline.tracks.iter().map(|track| track.segments.len()).sum();
        assert_eq!((segments, timeline.tracks[0].segments[0].label), (1, Expression::Fear));
        assert_eq!(timeline.tracks[0].frames[4].label, None, "the program's labels are not in it");
    }

    fn first_schema(new: &str) -> String {
        json!({
            "schema": "annotate/correction/1", "media": "x.mp4", "media_sha256": "a".repeat(64), "model_sha256": "b".repeat(64),
            "segment": "1-0", "track": 1, "first_frame": 0, "last_frame": 1, "old": "happiness", "new": new, "reviewer": "r",
            "time": "2026-01-01T00:00:00Z",
        })
        .to_string()
    }

    #[test]
    fn the_first_schema_is_read_the_last_line_of_a_segment_counts_and_again_is_no_fault() {
        let text = format!("{}\n{}\n", first_schema("fear"), first_schema("disgust"));
        let corrections = parse_corrections(&text, "c.jsonl".as_ref()).unwrap();
        let mut timeline = sample::two_signers();
        assert_eq!(apply_corrections(&mut timeline, &corrections).unwrap().applied, 2);
        assert_eq!(timeline.tracks[0].segments[0].label, Expression::Disgust);
        let before = timeline.clone();
        assert_eq!(apply_corrections(&mut timeline, &corrections).unwrap().known, 2);
        assert_eq!(timeline, before);
    }

    #[test]
    fn corrections_of_another_video_or_model_change_nothing() {
        let program = sample::two_signers();
        let mut other: FirstCorrection = serde_json::from_str(&first_schema("fear")).unwrap();
        other.model_sha256 = "0".into();
        let refused = |correction: Correction| {
            let mut timeline = program.clone();
            let message =
                apply_corrections(&mut timeline, &[Numbered { line: 3, correction }]).unwrap_err().to_string();
            assert_eq!(timeline, program);
            message
        };
        let message = refused(Correction::First(other));
        assert!(message.contains("line 3") && message.contains("another model"), "{message}");
        let mut second = operation("o", "r", vec![], vec![drawn("p", 1, 2, 3)]);
        second.media_sha256 = Some("0".into());
        assert!(refused(Correction::Second(second)).contains("another video"));
    }

    /// An edit of `lanes` chosen by numbers: label, move, split, delete, draw or reject.
    fn edit(lanes: &Lanes, frames: usize, id: usize, [what, which, where_]: [usize; 3]) -> Option<Operation> {
        let all: Vec<SegmentState> = lanes.all().map(|touched| touched.state.clone()).collect();
        let label = Some(Expression::ALL[where_ % 7]);
        let name = format!("o{id}");
        if what % 6 == 4 || all.is_empty() {
            let (track, first) = (1 + (which % 3) as u32, where_ % frames);
            return Some(operation(
                &name,
                "r",
                vec![],
                vec![SegmentState {
                    label,
                    ..drawn(&format!("d{id}"), track, first, (first + which % 4).min(frames - 1))
                }],
            ));
        }
        let before = all[which % all.len()].clone();
        let length = before.last_frame - before.first_frame + 1;
        let after = match what % 6 {
            0 => vec![SegmentState {
                label,
                review: Some(crate::review::review_of(before.label, label)),
                ..before.clone()
            }],
            1 => vec![SegmentState {
                last_frame: (before.first_frame + where_ % (length + 2)).min(frames - 1),
                review: before.review.or(Some(Review::Moved)),
                ..before.clone()
            }],
            2 if length > 1 => {
                let cut = before.first_frame + 1 + where_ % (length - 1);
                vec![
                    SegmentState { last_frame: cut - 1, ..before.clone() },
                    SegmentState { segment: format!("s{id}"), first_frame: cut, ..before.clone() },
                ]
            }
            3 => vec![],
            _ => vec![SegmentState { label: None, review: Some(Review::Rejected), ..before.clone() }],
        };
        Some(operation(&name, "r", vec![before], after))
    }

    proptest! {
        #[test]
        fn any_edits_leave_a_sound_timeline_that_remembers_the_programs_and_reads_back(
            program in sample::any_timeline(),
            choices in proptest::collection::vec([0usize..6, 0usize..50, 0usize..100], 1..20),
        ) {
            let mut operations = Vec::new();
            let mut lanes = Lanes::of_machine(&program);
            for (id, choice) in choices.into_iter().enumerate() {
                let Some(operation) = edit(&lanes, program.media.frames, id, choice) else { continue };
                if lanes.apply(&operation) == Met::Expected {
                    operations.push(operation);
                }
            }
            let mut at_once = program.clone();
            let applied = apply(&mut at_once, &operations).unwrap();
            prop_assert_eq!((applied.applied, applied.conflicts.len()), (operations.len(), 0));
            prop_assert_eq!(at_once.check(), Ok(()));
            prop_assert_eq!(machine_of(&at_once), program.clone());
            let schema: serde_json::Value = serde_json::from_str(crate::timeline::JSON_SCHEMA).unwrap();
            let value = serde_json::to_value(&at_once).unwrap();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            prop_assert!(validator.is_valid(&value), "{:?}", validator.iter_errors(&value).next().map(|e| e.to_string()));
            // On two days, over a file in between.
            let mut days = program;
            let half = operations.len() / 2;
            apply(&mut days, &operations[..half]).unwrap();
            let mut days = Timeline::parse(&serde_json::to_vec(&days).unwrap(), "x".as_ref()).unwrap();
            apply(&mut days, &operations).unwrap();
            prop_assert_eq!(days.corrections.as_ref().map(|c| &c.operations), at_once.corrections.as_ref().map(|c| &c.operations));
            let spans = |t: &Timeline| t.tracks.iter().map(|track| (track.id, track.segments.iter().map(|s| (s.first_frame, s.last_frame, s.label)).collect::<Vec<_>>())).collect::<Vec<_>>();
            prop_assert_eq!(spans(&days), spans(&at_once));
            for segment in days.tracks.iter().flat_map(|track| track.segments.windows(2)) {
                prop_assert!(segment[0].last_frame < segment[1].first_frame);
            }
        }
    }
}

//! Segments and events by signer and time, and the one way they change: by operations that find what they expect.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::timeline::{EventKind, Operation, Review, SegmentState, SignerChange, SignerState, Timeline};

/// Segments as they stand after some operations.
#[derive(Debug, Clone, Default)]
pub struct Lanes {
    /// By track, kind of event and first frame; the segments of a track do not overlap, nor do its events of one kind.
    segments: BTreeMap<SegmentKey, Touched>,
    keys: HashMap<String, SegmentKey>,
    signers: BTreeMap<u32, SignerState>,
    frames: usize,
}

/// A track, the kind of an event (none for the segments of expressions), and a first frame.
type SegmentKey = (u32, Option<EventKind>, usize);

/// The first and the last kind in order.
const KINDS: [EventKind; 2] = [EventKind::ALL[0], EventKind::ALL[EventKind::ALL.len() - 1]];

/// A segment or event, and who touched it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The segment.
    pub state: SegmentState,
    /// Reviewer and time; absent for the program's own.
    pub by: Option<(String, String)>,
}

/// What an operation met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// What it expected; it is applied.
    Expected,
    /// What it wants is there already: another correction did the same.
    Same,
    /// Something else; nothing is changed.
    Conflict(String),
}

/// The id of a segment of the program's.
pub fn machine_id(track: u32, first_frame: usize) -> String {
    format!("{track}.{first_frame}")
}

/// The id of an event of the program's.
pub fn machine_event_id(track: u32, kind: EventKind, first_frame: usize) -> String {
    format!("{track}.{}.{first_frame}", kind.name())
}

impl Lanes {
    /// The segments of a timeline that was not corrected.
    pub fn of_machine(timeline: &Timeline) -> Self {
        let mut lanes = Self { frames: timeline.media.frames, ..Self::default() };
        for track in &timeline.tracks {
            lanes.signers.insert(track.id, SignerState::default());
            for segment in &track.segments {
                let state = SegmentState {
                    segment: machine_id(track.id, segment.first_frame),
                    track: track.id,
                    first_frame: segment.first_frame,
                    last_frame: segment.last_frame,
                    label: Some(segment.label),
                    event: None,
                    review: None,
                    comment: String::new(),
                    unsure: false,
                };
                lanes.insert(Touched { state, by: None });
            }
            for event in &track.events {
                let state = SegmentState {
                    segment: machine_event_id(track.id, event.kind, event.first_frame),
                    track: track.id,
                    first_frame: event.first_frame,
                    last_frame: event.last_frame,
                    label: None,
                    event: Some(event.kind),
                    review: None,
                    comment: String::new(),
                    unsure: false,
                };
                lanes.insert(Touched { state, by: None });
            }
        }
        lanes
    }

    /// No segments, for an annotation that does not start from the program's.
    pub fn empty(timeline: &Timeline) -> Self {
        let signers = timeline.tracks.iter().map(|track| (track.id, SignerState::default())).collect();
        Self { frames: timeline.media.frames, signers, ..Self::default() }
    }

    /// All segments of expressions, by track and time.
    pub fn all(&self) -> impl Iterator<Item = &Touched> {
        self.segments.values().filter(|touched| touched.state.event.is_none())
    }

    /// The segments of a track, by time.
    pub fn of_track(&self, track: u32) -> impl Iterator<Item = &Touched> {
        self.segments.range((track, None, 0)..=(track, None, usize::MAX)).map(|(_, touched)| touched)
    }

    /// The events of a track, by kind and time.
    pub fn events_of_track(&self, track: u32) -> impl Iterator<Item = &Touched> {
        let [first, last] = KINDS.map(Some);
        self.segments.range((track, first, 0)..=(track, last, usize::MAX)).map(|(_, touched)| touched)
    }

    /// The segment or event with this id.
    pub fn get(&self, id: &str) -> Option<&Touched> {
        self.segments.get(self.keys.get(id)?)
    }

    /// The signers by track.
    pub fn signers(&self) -> &BTreeMap<u32, SignerState> {
        &self.signers
    }

    /// Segments, or events of a kind, that touch the frames from `first` to `last`.
    fn within(
        &self,
        track: u32,
        event: Option<EventKind>,
        first: usize,
        last: usize,
    ) -> impl Iterator<Item = &Touched> {
        let up_to = self.segments.range((track, event, 0)..=(track, event, last)).rev().map(|(_, touched)| touched);
        up_to.take_while(move |touched| touched.state.last_frame >= first)
    }

    fn insert(&mut self, touched: Touched) {
        let key = (touched.state.track, touched.state.event, touched.state.first_frame);
        self.keys.insert(touched.state.segment.clone(), key);
        self.segments.insert(key, touched);
    }

    fn remove(&mut self, id: &str) {
        if let Some(key) = self.keys.remove(id) {
            self.segments.remove(&key);
        }
    }

    /// Applies an operation if it meets what it expects.
    pub fn apply(&mut self, operation: &Operation) -> Met {
        if let Some(problem) = self.problem(operation) {
            return if self.is_done(operation) { Met::Same } else { Met::Conflict(problem) };
        }
        let found: HashMap<&str, SegmentState> = operation
            .before
            .iter()
            .filter_map(|wanted| Some((wanted.segment.as_str(), self.get(&wanted.segment)?.state.clone())))
            .collect();
        for wanted in &operation.before {
            self.remove(&wanted.segment);
        }
        for state in &operation.after {
            let mut state = state.clone();
            let expected = operation.before.iter().find(|before| before.segment == state.segment);
            if let (Some(expected), Some(found)) = (expected, found.get(state.segment.as_str())) {
                keep_remarks(&mut state, expected, found);
            }
            self.signers.entry(state.track).or_default();
            self.insert(Touched { state, by: Some((operation.reviewer.clone(), operation.time.clone())) });
        }
        for SignerChange { track, now, .. } in &operation.signers {
            match now {
                Some(now) => self.signers.insert(*track, now.clone()),
                None => self.signers.remove(track),
            };
        }
        Met::Expected
    }

    /// What stands against an operation.
    fn problem(&self, operation: &Operation) -> Option<String> {
        for wanted in &operation.before {
            match self.get(&wanted.segment) {
                None => return Some(format!("segment {} is no longer there", wanted.segment)),
                Some(there) if !is_same(&there.state, wanted) => return Some(describe(there)),
                Some(_) => {}
            }
        }
        let leaves: HashSet<&str> = operation.before.iter().map(|wanted| wanted.segment.as_str()).collect();
        for (index, state) in operation.after.iter().enumerate() {
            let SegmentState { segment, track, event, label, first_frame: first, last_frame: last, .. } = state;
            if first > last || *last >= self.frames || *track == 0 {
                return Some(format!("frames {first} to {last} of track {track} are not among this video's"));
            }
            if event.is_some() && label.is_some() {
                return Some(format!("{segment} is an event, which has no label"));
            }
            if self.keys.contains_key(segment) && !leaves.contains(segment.as_str()) {
                return Some(format!("there is another segment {segment}"));
            }
            let is_alien = |there: &&Touched| !leaves.contains(there.state.segment.as_str());
            if let Some(there) = self.within(*track, *event, *first, *last).find(is_alien) {
                return Some(describe(there));
            }
            let crosses = |other: &SegmentState| {
                other.segment == *segment
                    || ((other.track, other.event) == (*track, *event)
                        && other.first_frame <= *last
                        && *first <= other.last_frame)
            };
            if operation.after[..index].iter().any(crosses) {
                return Some("its own segments overlap".into());
            }
        }
        operation.signers.iter().find_map(|change| self.problem_with_signer(change, &leaves))
    }

    /// What stands against a change of a signer; `leaves` are the segments that go with it.
    fn problem_with_signer(&self, change: &SignerChange, leaves: &HashSet<&str>) -> Option<String> {
        let SignerChange { track, old, now } = change;
        if *track == 0 || self.signers.get(track) != old.as_ref() {
            return Some(format!("the signer of track {track} is another one"));
        }
        let Some(now) = now else {
            let stays = |touched: &Touched| !leaves.contains(touched.state.segment.as_str());
            let is_used = self.of_track(*track).chain(self.events_of_track(*track)).any(stays)
                || self.signers.values().any(|signer| signer.into == Some(*track));
            return is_used.then(|| format!("the signer of track {track} has segments"));
        };
        let is_target = |into: u32| into != *track && self.signers.contains_key(&into);
        let is_sound = now.into.is_none_or(is_target);
        (!is_sound).then(|| format!("the signer of track {track} cannot be joined there"))
    }

    /// Whether all that an operation would leave is there, and nothing that it would take away.
    fn is_done(&self, operation: &Operation) -> bool {
        let is_there =
            |state: &SegmentState| self.get(&state.segment).is_some_and(|there| is_same(&there.state, state));
        // A drawn segment has another id with each person.
        let is_drawn = |state: &SegmentState| {
            let there = self.segments.get(&(state.track, state.event, state.first_frame)).map(|there| &there.state);
            there.is_some_and(|there| there.last_frame == state.last_frame && there.label == state.label)
        };
        let stays = |id: &str| operation.after.iter().any(|state| state.segment == id);
        let is_gone = |state: &SegmentState| stays(&state.segment) || self.get(&state.segment).is_none();
        operation.after.iter().all(|state| is_there(state) || is_drawn(state))
            && operation.before.iter().all(is_gone)
            && operation.signers.iter().all(|change| self.signers.get(&change.track) == change.now.as_ref())
    }
}

/// The same stretch, label and review; what is written about it does not count.
fn is_same(a: &SegmentState, b: &SegmentState) -> bool {
    let key = |s: &SegmentState| (s.track, s.event, s.first_frame, s.last_frame, s.label, s.review);
    key(a) == key(b)
}

/// Other people's remarks stay: an operation only changes those that it names.
fn keep_remarks(state: &mut SegmentState, expected: &SegmentState, found: &SegmentState) {
    if expected.comment == state.comment {
        state.comment.clone_from(&found.comment);
    } else if found.comment != expected.comment && found.comment != state.comment && !found.comment.is_empty() {
        state.comment = format!("{} / {}", found.comment, state.comment);
    }
    if expected.unsure == state.unsure {
        state.unsure = found.unsure;
    }
}

/// What is there, for a message.
pub(super) fn describe(there: &Touched) -> String {
    let SegmentState { track, first_frame, last_frame, label, event, review, .. } = &there.state;
    let label = match (event, label) {
        (Some(kind), _) => kind.name(),
        (None, Some(label)) => label.name(),
        (None, None) => "not a face",
    };
    let whose = match (&there.by, review) {
        (Some((reviewer, _)), _) if !reviewer.is_empty() => format!("{reviewer}'s"),
        (Some(_), _) | (None, Some(_)) => "a person's".into(),
        (None, None) => "the program's".into(),
    };
    format!("frames {first_frame} to {last_frame} of track {track} are {whose} '{label}'")
}

/// How a change of label reviews a segment.
pub fn review_of(old: Option<crate::timeline::Expression>, new: Option<crate::timeline::Expression>) -> Review {
    match new {
        None => Review::Rejected,
        same if same == old => Review::Accepted,
        Some(_) => Review::Changed,
    }
}

//! What a signer's face did over a video, in numbers that a person wants first: blinks a minute, the share of time with raised
//! brows, and how many segments of an expression are nothing but a movement that the expression is known to be mistaken for.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{EventKind, Expression, MeasureGroup, Timeline, Track};

/// Counts of one signer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaceCounts {
    /// What the signer is called.
    pub signer: String,
    /// For how long the face was measured, seconds.
    pub measured_s: f64,
    /// Of each kind of event that was looked for; 0 where there was none.
    pub events: BTreeMap<EventKind, EventCount>,
    /// Expressions of which some segments may be something else, with how many.
    pub nothing_but: BTreeMap<Expression, NothingBut>,
}

/// How often and how long a kind of event was there.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct EventCount {
    /// How many events.
    pub count: usize,
    /// How many in a minute of the time in which the face was measured.
    pub per_minute: f64,
    /// The share of that time, 0 to 1.
    pub share: f64,
}

/// How many segments of an expression show nothing but what it is known to be mistaken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NothingBut {
    /// What most of them show.
    pub kind: EventKind,
    /// How many segments show nothing but such a thing.
    pub segments: usize,
    /// Of how many segments with this label.
    pub of: usize,
}

/// Kinds that are never found: [`EventKind::BrowsFurrowed`] is a curve only.
const NOT_FOUND: [EventKind; 1] = [EventKind::BrowsFurrowed];

impl Timeline {
    /// The counts of every signer whose face was measured.
    pub fn face_counts(&self) -> Vec<FaceCounts> {
        let groups = self.measured_groups();
        self.tracks.iter().filter_map(|track| self.counts_of(track, &groups)).collect()
    }

    fn counts_of(&self, track: &Track, groups: &[MeasureGroup]) -> Option<FaceCounts> {
        let end_s = self.end_s();
        let lasts = |frame: usize| self.frames.end_s(frame, end_s) - self.frames.time_s[frame];
        let measured = track.frames.iter().filter(|record| record.measures.is_some());
        let measured_s: f64 = measured.map(|record| lasts(record.frame)).sum();
        if measured_s <= 0.0 {
            return None;
        }
        let wanted = |kind: &EventKind| groups.contains(&kind.part().group()) && !NOT_FOUND.contains(kind);
        let count = |kind: EventKind| {
            let own: Vec<_> = track.events.iter().filter(|event| event.kind == kind).collect();
            let event_s: f64 = own.iter().map(|event| event.end_s - event.start_s).sum();
            let per_minute = own.len() as f64 * 60.0 / measured_s;
            (
                kind,
                EventCount { count: own.len(), per_minute: hundredths(per_minute), share: share(event_s / measured_s) },
            )
        };
        Some(FaceCounts {
            signer: track.signer(),
            measured_s: hundredths(measured_s),
            events: EventKind::ALL.into_iter().filter(wanted).map(count).collect(),
            nothing_but: Expression::ALL.into_iter().filter_map(|label| nothing_but(track, label)).collect(),
        })
    }
}

fn nothing_but(track: &Track, label: Expression) -> Option<(Expression, NothingBut)> {
    let own: Vec<_> = track.segments.iter().filter(|segment| segment.label == label).collect();
    let mut kinds: BTreeMap<EventKind, usize> = BTreeMap::new();
    for kind in own.iter().filter_map(|segment| segment.face.as_ref()?.nothing_but(label)) {
        *kinds.entry(kind).or_default() += 1;
    }
    let (kind, _) = kinds.iter().max_by_key(|(_, count)| **count)?;
    Some((label, NothingBut { kind: *kind, segments: kinds.values().sum(), of: own.len() }))
}

fn hundredths(value: f64) -> f64 {
    (value * 1e2).round() / 1e2
}

fn share(value: f64) -> f64 {
    (value * 1e4).round().min(1e4) / 1e4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;
    use crate::timeline::{FaceEvent, FaceMeasures};

    #[test]
    fn events_are_counted_over_the_time_in_which_the_face_was_measured() {
        let mut timeline = sample::two_signers();
        let track = &mut timeline.tracks[0];
        // Four frames of 40 ms are measured.
        for record in &mut track.frames {
            record.measures = (record.frame < 4).then(FaceMeasures::default);
        }
        let blink = |first_frame: usize, start_s: f64| FaceEvent {
            kind: EventKind::Blink,
            first_frame,
            last_frame: first_frame,
            start_s,
            end_s: start_s + 0.04,
            peak: 0.8,
        };
        track.events = vec![blink(0, 0.2), blink(2, 0.28)];
        let counts = timeline.face_counts();
        assert_eq!((counts.len(), counts[0].signer.as_str(), counts[0].measured_s), (1, "A", 0.16));
        assert_eq!(counts[0].events[&EventKind::Blink], EventCount { count: 2, per_minute: 750.0, share: 0.5 });
        assert_eq!(counts[0].events[&EventKind::BrowsRaised], EventCount::default(), "it was looked for");
        assert!(!counts[0].events.contains_key(&EventKind::BrowsFurrowed), "and this was not");
        timeline.settings = serde_json::json!({"measures": ["brows"]});
        assert!(!timeline.face_counts()[0].events.contains_key(&EventKind::Blink));
    }

    #[test]
    fn segments_that_are_nothing_but_a_rounded_mouth_are_counted() {
        let mut timeline = sample::two_signers();
        let track = &mut timeline.tracks[0];
        track.events[0].kind = EventKind::MouthRounded;
        for record in &mut track.frames {
            record.measures = record.measures.map(|measures| measures.only(|_| false));
        }
        let (frames, events) = (track.frames.clone(), track.events.clone());
        for segment in &mut track.segments {
            *segment = segment.clone().with_face(&frames, &events);
            segment.label = Expression::Surprise;
        }
        let expected = NothingBut { kind: EventKind::MouthRounded, segments: 1, of: 2 };
        assert_eq!(timeline.face_counts()[0].nothing_but, BTreeMap::from([(Expression::Surprise, expected)]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn counts_are_finite_and_shares_are_shares(timeline in sample::any_timeline()) {
            for counts in timeline.face_counts() {
                prop_assert!(counts.measured_s.is_finite());
                for count in counts.events.values() {
                    prop_assert!(count.per_minute.is_finite() && (0.0..=1.0).contains(&count.share));
                }
            }
        }
    }
}

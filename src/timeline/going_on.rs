//! What parts of the face do, stretch by stretch, as tiers want it: events of one part may go on at the same time, which
//! annotations of one tier may not.

use super::{EventKind, FacePart, MeasureGroup, Timeline, Track};

/// A stretch in which a part of the face does the same things throughout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoingOn {
    /// First frame of the stretch.
    pub first_frame: usize,
    /// Last frame of the stretch, inclusive.
    pub last_frame: usize,
    /// All that goes on in it, in the order of [`EventKind::ALL`]; never empty.
    pub kinds: Vec<EventKind>,
}

/// Between the names of what goes on at once.
pub const TOGETHER: &str = " + ";

impl Track {
    /// The stretches in which a part of the face does something, in order; they do not overlap. Where an event begins or ends
    /// while another goes on, a new stretch begins.
    pub fn going_on(&self, part: FacePart) -> Vec<GoingOn> {
        let events: Vec<_> = self.events.iter().filter(|event| event.kind.part() == part).collect();
        let mut bounds: Vec<usize> =
            events.iter().flat_map(|event| [event.first_frame, event.last_frame + 1]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let between = bounds.windows(2).map(|pair| (pair[0], pair[1] - 1));
        let stretch = |(first_frame, last_frame)| {
            let here = events.iter().filter(|e| e.first_frame <= first_frame && last_frame <= e.last_frame);
            let mut kinds: Vec<EventKind> = here.map(|event| event.kind).collect();
            kinds.sort_unstable();
            kinds.dedup();
            (!kinds.is_empty()).then_some(GoingOn { first_frame, last_frame, kinds })
        };
        between.filter_map(stretch).collect()
    }
}

impl Timeline {
    /// The groups that were measured on any signer; where no signer was seen, those that were asked for.
    pub fn measured_groups(&self) -> Vec<MeasureGroup> {
        let asked: Option<Vec<MeasureGroup>> =
            self.settings.get("measures").and_then(|groups| serde_json::from_value(groups.clone()).ok());
        let is_measured = |track: &Track| track.neutral.is_some() || !track.events.is_empty();
        match (self.tracks.iter().any(is_measured), self.tracks.is_empty()) {
            (true, _) => asked.unwrap_or_else(|| MeasureGroup::ALL.into()),
            (false, true) => asked.unwrap_or_default(),
            (false, false) => Vec::new(),
        }
    }

    /// Leaves out what was measured and found of other groups than `wanted`.
    pub fn keep_groups(&mut self, wanted: &[MeasureGroup]) {
        let groups: Vec<MeasureGroup> = self.measured_groups().into_iter().filter(|g| wanted.contains(g)).collect();
        let is_event_wanted = |kind: EventKind| groups.contains(&kind.part().group());
        for track in &mut self.tracks {
            for record in &mut track.frames {
                let kept = record.measures.map(|measures| measures.only(|measure| groups.contains(&measure.group())));
                record.measures = kept.filter(|measures| !measures.is_empty());
            }
            track.events.retain(|event| is_event_wanted(event.kind));
            track.neutral = track.neutral.take().filter(|_| !groups.is_empty());
            for face in track.segments.iter_mut().filter_map(|segment| segment.face.as_mut()) {
                face.medians = face.medians.only(|measure| groups.contains(&measure.group()));
                face.events.retain(|kind, _| is_event_wanted(*kind));
            }
            if groups.is_empty() {
                track.segments.iter_mut().for_each(|segment| segment.face = None);
            }
        }
        if let Some(settings) = self.settings.as_object_mut() {
            settings.insert("measures".into(), serde_json::to_value(&groups).unwrap_or_default());
        }
    }

    /// The parts of the face whose events were looked for, in the order of tiers.
    pub fn measured_parts(&self) -> Vec<FacePart> {
        let groups = self.measured_groups();
        FacePart::ALL.into_iter().filter(|part| groups.contains(&part.group())).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::sample;
    use crate::timeline::{FaceEvent, Measure};

    fn event(kind: EventKind, first_frame: usize, last_frame: usize) -> FaceEvent {
        FaceEvent { kind, first_frame, last_frame, start_s: 0.0, end_s: 0.0, peak: 1.0 }
    }

    #[test]
    fn what_goes_on_at_once_is_one_stretch_and_ends_where_something_changes() {
        let mut track = sample::two_signers().tracks.remove(0);
        track.events =
            vec![event(EventKind::TiltLeft, 2, 4), event(EventKind::HeadLeft, 0, 3), event(EventKind::Blink, 1, 1)];
        let found: Vec<_> =
            track.going_on(FacePart::Head).into_iter().map(|s| (s.first_frame, s.last_frame, s.kinds)).collect();
        let (left, tilt) = (EventKind::HeadLeft, EventKind::TiltLeft);
        assert_eq!(found, [(0, 1, vec![left]), (2, 3, vec![left, tilt]), (4, 4, vec![tilt])]);
        assert_eq!(track.going_on(FacePart::Eyes).len(), 1);
        assert_eq!(track.going_on(FacePart::Mouth), []);
    }

    #[test]
    fn only_what_was_asked_for_and_measured_is_a_part() {
        let mut timeline = sample::two_signers();
        assert_eq!(timeline.measured_parts(), FacePart::ALL, "an event says that somebody was measured");
        timeline.settings = json!({"measures": ["eyes", "head"]});
        assert_eq!(timeline.measured_parts(), [FacePart::Eyes, FacePart::Head]);
        timeline.tracks.remove(0);
        assert_eq!(timeline.measured_parts(), [], "nobody who is left was measured");
        timeline.tracks.clear();
        assert_eq!(timeline.measured_parts(), [FacePart::Eyes, FacePart::Head], "they would have been");
        timeline.settings = json!({"measures": []});
        assert_eq!(timeline.measured_parts(), []);
    }

    #[test]
    fn what_is_not_wanted_leaves_no_trace() {
        let mut timeline = sample::two_signers();
        timeline.keep_groups(&[MeasureGroup::Head]);
        let track = &timeline.tracks[0];
        let measures = track.frames[0].measures.unwrap();
        assert!(measures.get(Measure::Yaw).is_some() && measures.get(Measure::InnerBrowHeight).is_none());
        assert_eq!((track.events.len(), timeline.measured_parts()), (0, vec![FacePart::Head]));
        assert_eq!(track.segments[0].face.as_ref().unwrap().events.len(), 0);
        timeline.check().unwrap();
        timeline.keep_groups(&[]);
        assert!(timeline.tracks[0].neutral.is_none() && timeline.measured_groups().is_empty());
        let text = serde_json::to_string(&timeline.tracks).unwrap();
        assert!(!text.contains("measures") && !text.contains("medians"), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn stretches_say_of_every_frame_what_the_events_say(timeline in sample::any_timeline()) {
            for (track, part) in timeline.tracks.iter().flat_map(|track| FacePart::ALL.map(|part| (track, part))) {
                let stretches = track.going_on(part);
                prop_assert!(stretches.windows(2).all(|pair| pair[0].last_frame < pair[1].first_frame));
                for frame in track.first_frame..=track.last_frame {
                    let here = stretches.iter().find(|s| (s.first_frame..=s.last_frame).contains(&frame));
                    let here = here.map(|stretch| stretch.kinds.clone()).unwrap_or_default();
                    let mut expected: Vec<EventKind> = track.events.iter()
                        .filter(|e| e.kind.part() == part && (e.first_frame..=e.last_frame).contains(&frame))
                        .map(|event| event.kind).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(here, expected);
                }
            }
        }
    }
}

//! What the face did while it showed an expression: seven labels cannot say it, and 'surprise' may be nothing but a rounded mouth.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::decimals::score_in_file;
use super::{EventKind, Expression, FaceEvent, FaceMeasures, FrameRecord, Measure, Segment};

/// What the face did in a segment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SegmentFace {
    /// The median of each measure that was taken in at least half of the segment's frames; the others are absent.
    #[serde(serialize_with = "only_known")]
    pub medians: FaceMeasures,
    /// The share of the segment's frames that lie in events of a kind, above 0 and up to 1.
    pub events: BTreeMap<EventKind, f64>,
}

/// From this share of a segment's frames on, an event is what the segment shows.
const MOST_OF: f64 = 0.3;
/// Up to this share it is not.
const HARDLY: f64 = 0.1;
/// Brows this far above the neutral ones are not raised, shares of the eyes' distance: twice a small face's noise.
const NOT_RAISED: f64 = 0.01;

impl SegmentFace {
    /// What the face did in the frames from `first_frame` to `last_frame`, of a track's records and events; `None` where no frame
    /// was measured.
    pub fn of([first_frame, last_frame]: [usize; 2], records: &[FrameRecord], events: &[FaceEvent]) -> Option<Self> {
        let frames = last_frame + 1 - first_frame;
        // The records of a track follow one another without holes.
        let index_of = |frame: usize| records.partition_point(|record| record.frame < frame);
        let within = &records[index_of(first_frame)..index_of(last_frame + 1)];
        let within: Vec<&FaceMeasures> = within.iter().filter_map(|record| record.measures.as_ref()).collect();
        let mut medians = FaceMeasures::default();
        for measure in Measure::ALL {
            let mut values: Vec<f64> = within.iter().filter_map(|measures| measures.get(measure)).collect();
            values.sort_by(f64::total_cmp);
            let median = values.get(values.len() / 2).copied().filter(|_| 2 * values.len() >= frames);
            medians.set(measure, median);
        }
        let mut in_events: BTreeMap<EventKind, usize> = BTreeMap::new();
        for event in events.iter().filter(|e| e.first_frame <= last_frame && first_frame <= e.last_frame) {
            let shared = event.last_frame.min(last_frame) + 1 - event.first_frame.max(first_frame);
            *in_events.entry(event.kind).or_default() += shared;
        }
        let share =
            |(kind, shared): (EventKind, usize)| (kind, score_in_file((shared as f64 / frames as f64).min(1.0) as f32));
        let events: BTreeMap<EventKind, f64> =
            in_events.into_iter().map(share).filter(|(_, share)| *share > 0.0).collect();
        (!within.is_empty() || !events.is_empty()).then_some(Self { medians, events })
    }

    /// The share of the segment that lies in events of a kind, 0 to 1.
    pub fn share(&self, kind: EventKind) -> f64 {
        self.events.get(&kind).copied().unwrap_or(0.0)
    }

    /// Whether the brows stay where they are at rest.
    fn has_quiet_brows(&self) -> bool {
        let height = self.medians.get(Measure::InnerBrowHeight);
        self.share(EventKind::BrowsRaised) <= HARDLY && height.is_none_or(|height| height < NOT_RAISED)
    }

    /// What `label` may be taken from, where the face does a single thing that the label is known to be given for: a rounded or open
    /// mouth under quiet brows for surprise, raised brows for sadness, as in trials by eye.
    pub fn nothing_but(&self, label: Expression) -> Option<EventKind> {
        let is_shown = |kind: &EventKind| self.share(*kind) >= MOST_OF;
        match label {
            Expression::Surprise if self.has_quiet_brows() => {
                [EventKind::MouthRounded, EventKind::MouthOpen].into_iter().find(is_shown)
            }
            Expression::Sadness => {
                let corners = self.medians.get(Measure::MouthCorners);
                let is_mouth_quiet = corners.is_none_or(|corners| corners > -NOT_RAISED);
                Some(EventKind::BrowsRaised).filter(|kind| is_shown(kind) && is_mouth_quiet)
            }
            _ => None,
        }
    }

    /// In words, what lasts longest first: `mouth rounded 40 %, brows +6 %`. Empty where the face did nothing to speak of. `named`
    /// says what an event is called, `brows` what the brows are.
    pub fn words(&self, named: impl Fn(EventKind) -> String, brows: &str) -> String {
        let mut events: Vec<(EventKind, f64)> = self.events.iter().map(|(kind, share)| (*kind, *share)).collect();
        events.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let event = |(kind, share): (EventKind, f64)| {
            (share >= 0.005).then(|| format!("{} {:.0} %", named(kind), 100.0 * share))
        };
        let height = self.medians.get(Measure::InnerBrowHeight).filter(|height| height.abs() >= NOT_RAISED);
        let height = height.map(|height| format!("{brows} {:+.0} %", 100.0 * height));
        let words: Vec<String> = events.into_iter().filter_map(event).chain(height).collect();
        words.join(", ")
    }
}

impl Segment {
    /// The segment with what the face did in it, from the records and events of its track.
    #[must_use]
    pub fn with_face(self, records: &[FrameRecord], events: &[FaceEvent]) -> Self {
        let face = SegmentFace::of([self.first_frame, self.last_frame], records, events);
        Self { face, ..self }
    }
}

fn only_known<S: Serializer>(medians: &FaceMeasures, serializer: S) -> Result<S::Ok, S::Error> {
    let known = Measure::ALL.into_iter().filter_map(|measure| Some((measure.name(), medians.get(measure)?)));
    serializer.collect_map(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn records(brows: &[Option<f64>]) -> Vec<FrameRecord> {
        let record = |(frame, height): (usize, &Option<f64>)| {
            let mut measures = FaceMeasures::default();
            measures.set(Measure::InnerBrowHeight, *height);
            FrameRecord { measures: Some(measures), ..FrameRecord::unseen(frame) }
        };
        brows.iter().enumerate().map(record).collect()
    }

    fn event(kind: EventKind, first_frame: usize, last_frame: usize) -> FaceEvent {
        FaceEvent { kind, first_frame, last_frame, start_s: 0.0, end_s: 0.0, peak: 1.0 }
    }

    fn words(face: &SegmentFace) -> String {
        face.words(|kind| kind.name().replace('_', " "), "brows")
    }

    #[test]
    fn a_segment_says_what_the_face_did_in_it_and_nothing_of_what_lay_outside() {
        let records = records(&[Some(0.9), Some(0.05), Some(0.06), Some(0.07), None, Some(0.9)]);
        let events = [
            event(EventKind::MouthRounded, 0, 2),
            event(EventKind::MouthRounded, 4, 5),
            event(EventKind::BrowsRaised, 0, 5),
            event(EventKind::Blink, 5, 5),
        ];
        let face = SegmentFace::of([1, 4], &records, &events).unwrap();
        assert_eq!(face.medians.get(Measure::InnerBrowHeight), Some(0.06));
        assert_eq!(face.events, BTreeMap::from([(EventKind::BrowsRaised, 1.0), (EventKind::MouthRounded, 0.75)]));
        assert_eq!(words(&face), "brows raised 100 %, mouth rounded 75 %, brows +6 %");
        let value = serde_json::to_value(&face).unwrap();
        assert_eq!(value["medians"], serde_json::json!({"inner_brow_height": 0.06}), "what is not known is absent");
        assert_eq!(serde_json::from_value::<SegmentFace>(value).unwrap(), face);
        assert_eq!(SegmentFace::of([0, 0], &[FrameRecord::unseen(0)], &[]), None);
    }

    #[test]
    fn a_median_needs_half_of_the_frames() {
        let face = SegmentFace::of([0, 4], &records(&[None, Some(0.05), None, Some(0.05), None]), &[]).unwrap();
        assert_eq!(face.medians.get(Measure::InnerBrowHeight), None);
        assert_eq!(words(&face), "");
    }

    #[test]
    fn surprise_with_nothing_but_a_rounded_mouth_is_told_from_surprise() {
        let rounded = event(EventKind::MouthRounded, 0, 3);
        let quiet = records(&[Some(0.0); 4]);
        let face = |records: &[FrameRecord], events: &[FaceEvent]| SegmentFace::of([0, 3], records, events).unwrap();
        let only = face(&quiet, std::slice::from_ref(&rounded));
        assert_eq!(only.nothing_but(Expression::Surprise), Some(EventKind::MouthRounded));
        assert_eq!(only.nothing_but(Expression::Happiness), None);
        let raised = event(EventKind::BrowsRaised, 1, 3);
        assert_eq!(face(&quiet, &[rounded.clone(), raised.clone()]).nothing_but(Expression::Surprise), None);
        let high = face(&records(&[Some(0.02); 4]), &[rounded]);
        assert_eq!(high.nothing_but(Expression::Surprise), None, "raised, though below the threshold of an event");
        assert_eq!(face(&quiet, &[raised]).nothing_but(Expression::Sadness), Some(EventKind::BrowsRaised));
        assert_eq!(face(&quiet, &[]).nothing_but(Expression::Surprise), None);
    }

    #[test]
    fn the_samples_segments_carry_it() {
        let timeline = sample::two_signers();
        let track = &timeline.tracks[0];
        let segment = track.segments[0].clone().with_face(&track.frames, &track.events);
        assert_eq!(segment.face.unwrap().share(EventKind::BrowsRaised), 1.0);
    }
}

//! Agreement on what the face does: events kind by kind, and curves by correlation.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Grid, Stretch, link};
use crate::eaf::Tier;
use crate::eaf::vocabulary::event_called;
use crate::timeline::{ContainerTime, EventKind, FacePart, Measure, TOGETHER, Timeline, Track};

/// A tier of events, or a track's events of one part of the face.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventLayer {
    /// The tier's name.
    pub name: String,
    /// In order of time; those of one kind do not overlap.
    pub events: Vec<Stretch<EventKind>>,
    /// Words that stand for no kind of event, with how often they occur.
    pub unknown: BTreeMap<String, usize>,
    /// The kinds that a mark on the tier could have: what it lacks of these is absent, and not unasked.
    pub asked: BTreeSet<EventKind>,
}

impl EventLayer {
    /// The events of a part of a track's face, in the player's time.
    pub fn of_track(timeline: &Timeline, track: &Track, part: FacePart) -> Self {
        let shown = |time_s: f64| timeline.player_time(ContainerTime(time_s)).0;
        let events = track.events.iter().filter(|event| event.kind.part() == part).map(|event| Stretch {
            start_s: shown(event.start_s),
            end_s: shown(event.end_s),
            label: event.kind,
        });
        Self {
            name: format!("{}@{}", part.tier(), track.signer()),
            events: events.collect(),
            unknown: BTreeMap::new(),
            asked: part.kinds().collect(),
        }
    }

    /// A tier whose annotations name events, several with `+` between them; `None` where no word does and its name is not that of
    /// such a tier.
    pub fn of_tier(tier: &Tier) -> Option<Self> {
        let part = FacePart::ALL.into_iter().find(|part| tier.id.starts_with(&format!("{}@", part.tier())));
        let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
        let mut marked: BTreeMap<EventKind, Vec<Stretch<EventKind>>> = BTreeMap::new();
        for annotation in &tier.annotations {
            let [start_s, end_s] = [annotation.start_ms, annotation.end_ms].map(|ms| ms as f64 / 1000.0);
            for word in annotation.value.split(TOGETHER.trim()).map(str::trim).filter(|word| !word.is_empty()) {
                match event_called(word) {
                    Some(label) if end_s > start_s => {
                        marked.entry(label).or_default().push(Stretch { start_s, end_s, label });
                    }
                    Some(_) => {}
                    None => *unknown.entry(word.to_owned()).or_default() += 1,
                }
            }
        }
        let asked = marked.keys().map(|kind| kind.part()).chain(part).flat_map(FacePart::kinds).collect();
        let mut events: Vec<_> = marked.into_values().flat_map(whole).collect();
        events.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        (part.is_some() || !events.is_empty()).then(|| Self { name: tier.id.clone(), events, unknown, asked })
    }
}

/// Events of one kind, where those that overlap or touch are one: what goes on at once is cut in annotations.
fn whole(mut events: Vec<Stretch<EventKind>>) -> Vec<Stretch<EventKind>> {
    /// Times of a tier are whole milliseconds.
    const SAME_S: f64 = 0.0015;
    events.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let mut joined: Vec<Stretch<EventKind>> = Vec::new();
    for event in events {
        match joined.last_mut() {
            Some(last) if event.start_s < last.end_s + SAME_S => last.end_s = last.end_s.max(event.end_s),
            _ => joined.push(event),
        }
    }
    joined
}

/// Agreement on one kind of event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventAgreement {
    /// The kind.
    pub kind: EventKind,
    /// Events of the first annotation.
    pub a: usize,
    /// Events of the second.
    pub b: usize,
    /// Pairs of events that overlap, each event in one pair at most.
    pub linked: usize,
    /// Mean share that a pair has in common of the time that either covers; an event without a partner counts as 0 (ELAN calls it
    /// the average overlap/extent ratio).
    pub overlap_ratio: Option<f64>,
    /// Median distance of the beginnings of pairs, frames; positive where the second annotation's are later.
    pub start_shift: Option<f64>,
    /// The same of their ends.
    pub end_shift: Option<f64>,
    /// Share of the pairs' beginnings and ends that lie at most three frames apart.
    pub within_three: Option<f64>,
}

/// Frames up to which two edges count as one in [`EventAgreement::within_three`].
const NEAR_FRAMES: f64 = 3.0;

/// What pairs of layers hold of one kind, before it is summed up.
#[derive(Debug, Clone, Default)]
struct EventTally {
    counts: [usize; 2],
    ratios: Vec<f64>,
    starts: Vec<f64>,
    ends: Vec<f64>,
}

/// Events that were compared, by kind.
#[derive(Debug, Clone, Default)]
pub struct EventCounts(BTreeMap<EventKind, EventTally>);

impl EventCounts {
    /// Adds what two layers of one signer have of each kind that both could have marked.
    pub fn add(&mut self, a: &EventLayer, b: &EventLayer, grid: &Grid) {
        for kind in a.asked.intersection(&b.asked) {
            let of = |layer: &EventLayer| -> Vec<Stretch<EventKind>> {
                layer.events.iter().filter(|event| event.label == *kind).copied().collect()
            };
            let (own_a, own_b) = (of(a), of(b));
            if own_a.is_empty() && own_b.is_empty() {
                continue;
            }
            let found = self.0.entry(*kind).or_default();
            found.counts[0] += own_a.len();
            found.counts[1] += own_b.len();
            for (index_a, index_b) in link(&own_a, &own_b, 0.0).pairs {
                let (a, b) = (&own_a[index_a], &own_b[index_b]);
                let shared_s = a.end_s.min(b.end_s) - a.start_s.max(b.start_s);
                found.ratios.push(shared_s / (a.end_s.max(b.end_s) - a.start_s.min(b.start_s)));
                let shift = |a: f64, b: f64| grid.frame_at(b) as f64 - grid.frame_at(a) as f64;
                found.starts.push(shift(a.start_s, b.start_s));
                found.ends.push(shift(a.end_s, b.end_s));
            }
        }
    }

    /// A line a kind.
    pub fn agreement(&self) -> Vec<EventAgreement> {
        let line = |(kind, found): (&EventKind, &EventTally)| {
            let EventTally { counts: [a, b], ratios, starts, ends } = found;
            let units = a + b - ratios.len();
            let edges = || starts.iter().chain(ends);
            let near = edges().filter(|shift| shift.abs() <= NEAR_FRAMES).count();
            EventAgreement {
                kind: *kind,
                a: *a,
                b: *b,
                linked: ratios.len(),
                overlap_ratio: (units > 0).then(|| ratios.iter().sum::<f64>() / units as f64),
                start_shift: median(starts),
                end_shift: median(ends),
                within_three: (!starts.is_empty()).then(|| near as f64 / edges().count() as f64),
            }
        };
        self.0.iter().map(line).collect()
    }
}

/// Agreement on one measure's curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CurveAgreement {
    /// The measure.
    pub measure: &'static str,
    /// Signers of whom both have it, over all videos.
    pub signers: usize,
    /// Frames in which both have a value.
    pub frames: usize,
    /// Pearson's correlation, the median over signers; absent where a curve does not move.
    pub correlation: Option<f64>,
    /// Mean distance of the two values, in the measure's unit.
    pub distance: f64,
}

/// What one signer's two curves of a measure have in common.
#[derive(Debug, Clone, Copy)]
struct CurvePair {
    frames: usize,
    correlation: Option<f64>,
    /// The distances of the values, summed.
    distances: f64,
}

/// Values that were compared, by measure: a pair a signer.
#[derive(Debug, Clone, Default)]
pub struct CurveCounts(BTreeMap<Measure, Vec<CurvePair>>);

impl CurveCounts {
    /// Adds the curves of one signer in two timelines of one recording, whose frames may come at other rates: a frame of the first
    /// is held against the frame that the second shows in its middle.
    pub fn add(&mut self, a: (&Timeline, &Track), b: (&Timeline, &Track)) {
        let grid_a = Grid::of(a.0);
        let starts_b: Vec<f64> =
            (0..b.0.frames.time_s.len()).map(|frame| b.0.frame_in_player_time(frame)[0].0).collect();
        let partner =
            |frame: usize| starts_b.partition_point(|start_s| *start_s <= grid_a.middle_s(frame)).checked_sub(1);
        let value = |track: &Track, frame: usize, measure: Measure| {
            let record = track.frames.get(frame.checked_sub(track.first_frame)?)?;
            record.measures?.get(measure)
        };
        for measure in Measure::ALL {
            let frames = a.1.first_frame..=a.1.last_frame;
            let pair = |frame| Some((value(a.1, frame, measure)?, value(b.1, partner(frame)?, measure)?));
            let pairs: Vec<(f64, f64)> = frames.filter_map(pair).collect();
            if !pairs.is_empty() {
                let distances = pairs.iter().map(|(a, b)| (a - b).abs()).sum();
                let (frames, correlation) = (pairs.len(), correlation(&pairs));
                self.0.entry(measure).or_default().push(CurvePair { frames, correlation, distances });
            }
        }
    }

    /// A line a measure.
    pub fn agreement(&self) -> Vec<CurveAgreement> {
        let line = |(measure, signers): (&Measure, &Vec<CurvePair>)| {
            let frames: usize = signers.iter().map(|pair| pair.frames).sum();
            let correlations: Vec<f64> = signers.iter().filter_map(|pair| pair.correlation).collect();
            CurveAgreement {
                measure: measure.name(),
                signers: signers.len(),
                frames,
                correlation: median(&correlations),
                distance: signers.iter().map(|pair| pair.distances).sum::<f64>() / frames.max(1) as f64,
            }
        };
        self.0.iter().map(line).collect()
    }
}

/// Pearson's correlation; `None` where one side does not vary.
fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let count = pairs.len() as f64;
    let (mean_a, mean_b) = pairs.iter().fold((0.0, 0.0), |sum, (a, b)| (sum.0 + a / count, sum.1 + b / count));
    let (mut both, mut own_a, mut own_b) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        both += (a - mean_a) * (b - mean_b);
        own_a += (a - mean_a).powi(2);
        own_b += (b - mean_b).powi(2);
    }
    // Equal values differ from their mean by rounding errors.
    let varies = |squares: f64| squares > 1e-12 * count;
    (varies(own_a) && varies(own_b)).then(|| both / (own_a * own_b).sqrt())
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let count = values.len();
    (count > 0).then(|| f64::midpoint(values[(count - 1) / 2], values[count / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eaf::Annotation;
    use crate::sample;

    fn tier(name: &str, annotations: &[(u64, u64, &str)]) -> Tier {
        let annotation = |(start_ms, end_ms, value): &(u64, u64, &str)| Annotation {
            start_ms: *start_ms,
            end_ms: *end_ms,
            value: (*value).into(),
        };
        let annotations = annotations.iter().map(annotation).collect();
        Tier { id: name.into(), participant: None, parent: None, annotations }
    }

    #[test]
    fn events_that_go_on_beside_others_are_whole_again() {
        let found = EventLayer::of_tier(&tier(
            "Kopf_A",
            &[
                (0, 200, "links gedreht"),
                (200, 400, "turned left + tilted left"),
                (400, 500, "tilt_left"),
                (700, 800, "x"),
            ],
        ))
        .unwrap();
        let events: Vec<_> = found.events.iter().map(|e| (e.label, e.start_s, e.end_s)).collect();
        assert_eq!(events, [(EventKind::HeadLeft, 0.0, 0.4), (EventKind::TiltLeft, 0.2, 0.5)]);
        assert_eq!(found.unknown, BTreeMap::from([("x".to_owned(), 1)]));
        assert!(found.asked.contains(&EventKind::Nod) && !found.asked.contains(&EventKind::Blink));
        assert_eq!(EventLayer::of_tier(&tier("gloss", &[(0, 100, "HAUS")])), None);
        assert!(EventLayer::of_tier(&tier("eyes@A", &[])).is_some(), "an empty tier says that nothing was seen");
    }

    #[test]
    fn overlap_and_timing_are_those_of_the_pairs_and_what_stands_alone_counts_as_nothing() {
        let a = EventLayer::of_tier(&tier("eyes@A", &[(1000, 1200, "blink"), (3000, 3200, "blink")])).unwrap();
        let b = EventLayer::of_tier(&tier("eyes@A", &[(1040, 1240, "blink"), (9000, 9100, "blink")])).unwrap();
        let mut counts = EventCounts::default();
        counts.add(&a, &b, &Grid::steady(25.0, 10.0));
        let found = counts.agreement();
        assert_eq!(found.len(), 1, "of the eyes' other kind nobody has any");
        assert_eq!((found[0].a, found[0].b, found[0].linked), (2, 2, 1));
        // 160 of 240 ms for the pair; three units.
        assert!((found[0].overlap_ratio.unwrap() - 160.0 / 240.0 / 3.0).abs() < 1e-9);
        assert_eq!(
            (found[0].start_shift, found[0].end_shift, found[0].within_three),
            (Some(1.0), Some(1.0), Some(1.0))
        );
        let brows = EventLayer::of_tier(&tier("brows@A", &[(0, 100, "raised")])).unwrap();
        let mut nothing = EventCounts::default();
        nothing.add(&a, &brows, &Grid::steady(25.0, 10.0));
        assert_eq!(nothing.agreement(), [], "neither asked for what the other marked");
    }

    #[test]
    fn curves_of_two_rates_are_held_against_each_other_moment_by_moment() {
        let mut slow = sample::two_signers();
        slow.tracks.truncate(1);
        let track = &mut slow.tracks[0];
        for (index, record) in track.frames.iter_mut().enumerate() {
            let mut measures = crate::timeline::FaceMeasures::default();
            measures.set(Measure::Yaw, Some((index * index) as f64));
            measures.set(Measure::Roll, Some(3.0));
            record.measures = Some(measures);
        }
        // The same recording at twice the rate, its yaw 2 degrees larger.
        let mut fast = slow.clone();
        fast.frames.time_s = slow.frames.time_s.iter().flat_map(|s| [*s, s + 0.02]).collect();
        let frames = fast.tracks[0].frames.iter().flat_map(|record| [record.clone(), record.clone()]);
        fast.tracks[0].frames = frames.collect();
        fast.tracks[0].last_frame = 11;
        for record in &mut fast.tracks[0].frames {
            let mut measures = record.measures.unwrap();
            measures.set(Measure::Yaw, measures.get(Measure::Yaw).map(|yaw| yaw + 2.0));
            record.measures = Some(measures);
        }
        let mut counts = CurveCounts::default();
        counts.add((&slow, &slow.tracks[0]), (&fast, &fast.tracks[0]));
        let found = counts.agreement();
        let of = |name: &str| found.iter().find(|line| line.measure == name).unwrap();
        assert!((of("yaw").correlation.unwrap() - 1.0).abs() < 1e-9 && (of("yaw").distance - 2.0).abs() < 1e-9);
        assert_eq!((of("yaw").frames, of("roll").correlation, of("roll").distance), (6, None, 0.0));
        assert_eq!(found.len(), 2);
    }
}

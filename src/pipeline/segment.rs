//! Turns one label for each frame into stretches of one label.
//!
//! Consecutive frames of one label form a run. A run stands by itself if it lasts long enough and its label was sure
//! enough at least once. Otherwise a neighbouring run absorbs it; the run with the least support goes first. This is
//! hysteresis in time: entering a label takes a high probability (`enter`), and a low one suffices to stay (`stay`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::settings::{SettingError, require};
use super::smooth::Smoothed;
use crate::timeline::{Expression, FrameTimes, Segment};

/// How labels become segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentSettings {
    /// A run whose label never reaches this smoothed probability may be absorbed by a neighbour.
    pub enter: f64,
    /// A neighbour may absorb such a run if its own label keeps at least this mean smoothed probability.
    pub stay: f64,
    /// Shorter runs are absorbed by a neighbour if they have one, seconds.
    pub min_s: f64,
    /// Unreadable frames for up to this long inside one label do not end a segment, seconds.
    pub bridge_s: f64,
}

impl Default for SegmentSettings {
    fn default() -> Self {
        Self { enter: 0.5, stay: 0.2, min_s: 0.1, bridge_s: 0.2 }
    }
}

impl SegmentSettings {
    /// Whether the settings make sense: probabilities in 0 to 1, finite times of at least 0.
    pub fn check(&self) -> Result<(), SettingError> {
        let is_probability = |p: f64| (0.0..=1.0).contains(&p);
        let is_duration = |seconds: f64| seconds >= 0.0 && seconds.is_finite();
        require("segment.enter", self.enter, "a probability, 0 to 1", is_probability)?;
        require("segment.stay", self.stay, "a probability, 0 to 1", is_probability)?;
        require("segment.min_s", self.min_s, "at least 0 seconds", is_duration)?;
        require("segment.bridge_s", self.bridge_s, "at least 0 seconds", is_duration)
    }
}

/// Sums of frame times miss round settings by a few rounding errors; three frames at 30 per second do last 0.1 s.
const ROUNDING_S: f64 = 1e-6;

/// The segments of one track, in order: they start and end on labelled frames, do not overlap, and cover every
/// labelled frame exactly once.
///
/// `smoothed` holds the track's frames in rising order, `times` those of the whole video, which ends at `video_end_s`.
pub fn segments(
    smoothed: &[Smoothed],
    times: &FrameTimes,
    video_end_s: f64,
    settings: &SegmentSettings,
) -> Vec<Segment> {
    let start_s = |frame: usize| times.time_s[frame];
    let end_s = |frame: usize| times.end_s(frame, video_end_s);

    let mut runs: Vec<LabelRun> = Vec::new();
    for frame in smoothed {
        let Some(run) = LabelRun::of_frame(frame) else { continue };
        match runs.last_mut() {
            Some(last) => {
                last.touches_next = start_s(run.first) - end_s(last.last) <= settings.bridge_s + ROUNDING_S;
                if last.touches_next && last.label == run.label {
                    *last = last.join(&run);
                } else {
                    runs.push(run);
                }
            }
            None => runs.push(run),
        }
    }
    let lasts = |run: &LabelRun| end_s(run.last) - start_s(run.first);
    absorb_unfit(runs, |run| Fitness {
        is_long: lasts(run) >= settings.min_s - ROUNDING_S,
        is_sure: run.peak >= settings.enter,
        stay: settings.stay,
    })
    .into_iter()
    .map(|run| Segment {
        first_frame: run.first,
        last_frame: run.last,
        start_s: start_s(run.first),
        end_s: end_s(run.last),
        label: run.label,
        confidence: Some(run.mean_probability(run.label) as f32),
        raw_probability: None,
        face: None,
        decision: None,
    })
    .collect()
}

/// Consecutive frames of one label.
#[derive(Clone)]
struct LabelRun {
    first: usize,
    last: usize,
    label: Expression,
    /// Number of labelled frames.
    frames: usize,
    /// Smoothed probability of every class, summed over the labelled frames.
    mass: [f64; Expression::COUNT],
    /// The largest smoothed probability of `label`.
    peak: f64,
    /// Whether the gap to the next run is short enough to be bridged.
    touches_next: bool,
}

/// What decides whether a run stands by itself.
struct Fitness {
    is_long: bool,
    is_sure: bool,
    stay: f64,
}

impl LabelRun {
    fn of_frame(frame: &Smoothed) -> Option<Self> {
        let (label, posterior) = frame.label.zip(frame.posterior)?;
        let mass = posterior.map(f64::from);
        let peak = mass[label.index()];
        Some(Self { first: frame.frame, last: frame.frame, label, frames: 1, mass, peak, touches_next: false })
    }

    /// Sum of the smoothed probabilities of the run's label.
    fn support(&self) -> f64 {
        self.mass[self.label.index()]
    }

    fn mean_probability(&self, label: Expression) -> f64 {
        self.mass[label.index()] / self.frames as f64
    }

    /// Joins this run and the next one, which has the same label.
    fn join(&self, next: &Self) -> Self {
        let mut mass = self.mass;
        mass.iter_mut().zip(next.mass).for_each(|(sum, mass)| *sum += mass);
        Self {
            first: self.first,
            last: next.last,
            label: self.label,
            frames: self.frames + next.frames,
            mass,
            peak: self.peak.max(next.peak),
            touches_next: next.touches_next,
        }
    }
}

/// Gives runs that do not stand by themselves the label of a touching neighbour and joins them to it, least support
/// first, until no neighbour can absorb another run.
fn absorb_unfit(runs: Vec<LabelRun>, fitness: impl Fn(&LabelRun) -> Fitness) -> Vec<LabelRun> {
    let mut runs: BTreeMap<usize, LabelRun> = runs.into_iter().enumerate().collect();
    // Supports are positive, and positive floats sort like their bits.
    let key = |index: usize, run: &LabelRun| (run.support().to_bits(), index);
    let mut to_judge: BTreeSet<(u64, usize)> = runs.iter().map(|(index, run)| key(*index, run)).collect();

    while let Some((support, index)) = to_judge.pop_first() {
        let Some(run) = runs.get(&index).filter(|run| key(index, run).0 == support) else {
            continue; // joined to another one since
        };
        let fit = fitness(run);
        if fit.is_long && fit.is_sure {
            continue;
        }
        let previous = runs.range(..index).next_back().filter(|(_, previous)| previous.touches_next);
        let next = runs.range(index + 1..).next().filter(|_| run.touches_next);
        let hosts = previous.into_iter().chain(next).map(|(_, host)| host);
        let able = hosts.filter(|host| !fit.is_long || run.mean_probability(host.label) >= fit.stay);
        let Some(label) = able.max_by(|a, b| a.support().total_cmp(&b.support())).map(|host| host.label) else {
            continue;
        };

        // The labels of both neighbours may now equal the run's; then all three become one.
        let [previous, next] = [previous, next]
            .map(|neighbour| neighbour.filter(|(_, neighbour)| neighbour.label == label).map(|(index, _)| *index));
        let mut merged = LabelRun { label, peak: 0.0, ..run.clone() };
        if let Some(previous) = previous.and_then(|index| runs.remove(&index)) {
            merged = previous.join(&merged);
        }
        if let Some(next) = next.and_then(|index| runs.remove(&index)) {
            merged = merged.join(&next);
        }
        runs.insert(index, merged);
        // The neighbourhood has changed for the merged run and for the runs beside it.
        let beside = [runs.range(..index).next_back(), runs.range(index..).next(), runs.range(index + 1..).next()];
        to_judge.extend(beside.into_iter().flatten().map(|(index, run)| key(*index, run)));
    }
    runs.into_values().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::{Probabilities, Status, most_probable};

    fn smoothed(frame: usize, posterior: Option<Probabilities>) -> Smoothed {
        let label = posterior.as_ref().map(most_probable);
        let confidence = posterior.zip(label).map(|(posterior, label)| posterior[label.index()]);
        Smoothed { frame, label, confidence, posterior }
    }

    /// `top` for a class and the rest for another.
    fn between(class: usize, top: f32, other: usize) -> Probabilities {
        let mut posterior = [0.0; Expression::COUNT];
        posterior[other] = 1.0 - top;
        posterior[class] = top;
        posterior
    }

    fn times(time_s: Vec<f64>) -> FrameTimes {
        FrameTimes { pts: vec![0; time_s.len()], status: vec![Status::Ok; time_s.len()], time_s }
    }

    /// Segments of a video at 25 frames per second, given as a drawing with one character for each frame: a digit is a
    /// class with a probability of 0.9, `-` an unreadable frame. Returns `label first..=last` for each.
    fn drawn(drawing: &str) -> Vec<(usize, usize, usize)> {
        let frames: Vec<_> = drawing
            .chars()
            .enumerate()
            .map(|(frame, c)| smoothed(frame, c.to_digit(10).map(|class| between(class as usize, 0.9, 0))))
            .collect();
        let times = times((0..frames.len()).map(|frame| frame as f64 * 0.04).collect());
        let end_s = frames.len() as f64 * 0.04;
        let segments = segments(&frames, &times, end_s, &SegmentSettings::default());
        segments.iter().map(|segment| (segment.label.index(), segment.first_frame, segment.last_frame)).collect()
    }

    #[test]
    fn a_segment_ends_at_the_end_of_its_last_frame() {
        let frames: Vec<_> =
            [1, 1, 1, 2, 2, 2].iter().enumerate().map(|(f, c)| smoothed(f, Some(between(*c, 0.8, 0)))).collect();
        let times = times(vec![5.0, 5.1, 5.3, 5.4, 5.5, 5.6]);
        let found = segments(&frames, &times, 5.9, &SegmentSettings::default());
        let spans: Vec<_> = found.iter().map(|segment| (segment.start_s, segment.end_s)).collect();
        assert_eq!(spans, [(5.0, 5.4), (5.4, 5.9)]);
        assert!((found[0].confidence.unwrap() - 0.8).abs() < 1e-6);
    }

    #[test]
    fn a_segment_ends_where_pictures_end() {
        let frames: Vec<_> = (0..20).map(|frame| smoothed(frame, Some(between(1, 0.9, 0)))).collect();
        let spans = |time_s: &dyn Fn(usize) -> f64| {
            let found = segments(&frames, &times((0..20).map(time_s).collect()), 100.0, &SegmentSettings::default());
            found.iter().map(|segment| (segment.first_frame, segment.last_frame, segment.end_s)).collect::<Vec<_>>()
        };
        // Three seconds without frames after the tenth, and once more after the twelfth.
        let hole = |frame: usize| frame as f64 * 0.04 + 3.0 * f64::from(u8::from(frame > 9) + u8::from(frame > 11));
        let found = spans(&hole);
        assert_eq!(
            found.iter().map(|(first, last, _)| (*first, *last)).collect::<Vec<_>>(),
            [(0, 9), (10, 11), (12, 19)]
        );
        assert!((found[0].2 - 0.4).abs() < 1e-9 && (found[1].2 - (3.0 + 0.48)).abs() < 1e-9, "{found:?}");
        // A slow camera's frames are long, and half a second of a lost connection is bridged as before.
        assert_eq!(spans(&|frame| frame as f64 * 3.0).len(), 1);
        assert_eq!(spans(&|frame| frame as f64 * 0.04 + if frame > 9 { 0.5 } else { 0.0 }).len(), 1);
    }

    #[test]
    fn a_short_run_goes_to_the_neighbour_with_the_larger_support() {
        assert_eq!(drawn("1111122333"), [(1, 0, 6), (3, 7, 9)]);
        assert_eq!(drawn("1112233333"), [(1, 0, 2), (3, 3, 9)]);
        assert_eq!(drawn("1111221111"), [(1, 0, 9)]);
    }

    #[test]
    fn an_expression_of_the_minimum_duration_stands() {
        assert_eq!(drawn("11111222111111"), [(1, 0, 4), (2, 5, 7), (1, 8, 13)]);
    }

    #[test]
    fn a_short_gap_is_bridged_and_a_long_one_is_not() {
        assert_eq!(drawn("--111-----1111--"), [(1, 2, 13)], "0.2 s");
        assert_eq!(drawn("--111------1111--"), [(1, 2, 4), (1, 11, 14)], "0.24 s");
        assert_eq!(drawn("111--2222"), [(1, 0, 2), (2, 5, 8)], "the gap belongs to neither");
    }

    #[test]
    fn a_short_run_without_neighbours_is_kept() {
        assert_eq!(drawn("111------2------333"), [(1, 0, 2), (2, 9, 9), (3, 16, 18)]);
        assert_eq!(drawn("2"), [(2, 0, 0)]);
        assert_eq!(drawn("----"), []);
    }

    #[test]
    fn an_unsure_label_is_not_entered_while_the_old_one_is_still_likely() {
        let unsure = |old: f32| {
            let mut posterior = [(0.55 - old) / 5.0; Expression::COUNT];
            posterior[1] = old;
            posterior[2] = 0.45;
            posterior
        };
        let labels = |old: f32| {
            let sure = (0..10).map(|frame| smoothed(frame, Some(between(1, 0.9, 0))));
            let frames: Vec<_> = sure.chain((10..20).map(|frame| smoothed(frame, Some(unsure(old))))).collect();
            let times = times((0..20).map(|frame| frame as f64 * 0.04).collect());
            let found = segments(&frames, &times, 0.8, &SegmentSettings::default());
            found.iter().map(|segment| (segment.label.index(), segment.confidence)).collect::<Vec<_>>()
        };
        let stayed = labels(0.4);
        assert_eq!(stayed.len(), 1);
        assert!(
            (stayed[0].1.unwrap() - 0.65).abs() < 1e-6,
            "the taken-in frames count with what they say of the label"
        );
        assert_eq!(labels(0.1).iter().map(|(label, _)| *label).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn two_hours_of_restless_labels_take_no_time() {
        let frames: Vec<_> = (0..200_000).map(|f| smoothed(f, Some(between(f * f % 7, 0.9, 0)))).collect();
        let times = times((0..frames.len()).map(|frame| frame as f64 * 0.04).collect());
        let started = std::time::Instant::now();
        assert!(!segments(&frames, &times, 8000.0, &SegmentSettings::default()).is_empty());
        assert!(started.elapsed().as_secs() < 5);
    }

    /// A track somewhere in a video with uneven frames: times, the video's end, and the track's frames.
    fn track() -> impl Strategy<Value = (FrameTimes, f64, Vec<Smoothed>)> {
        let frame = (0.005f64..0.12, prop::option::weighted(0.8, (0usize..7, 0.3f32..1.0, 0usize..7)), 1usize..8);
        (prop::collection::vec(frame, 1..60), 0usize..10, 0usize..10).prop_map(|(stretches, before, after)| {
            let mut time_s = Vec::new();
            let mut now_s = -0.3;
            let mut frames = Vec::new();
            let mut pass = |step_s: f64, time_s: &mut Vec<f64>| {
                time_s.push(now_s);
                now_s += step_s;
            };
            (0..before).for_each(|_| pass(0.04, &mut time_s));
            for (step_s, reading, count) in stretches {
                for _ in 0..count {
                    let posterior = reading.map(|(class, top, other)| between(class, top, other));
                    frames.push(smoothed(time_s.len(), posterior));
                    pass(step_s, &mut time_s);
                }
            }
            (0..after).for_each(|_| pass(0.04, &mut time_s));
            (times(time_s), now_s, frames)
        })
    }

    proptest! {
        #[test]
        fn segments_are_in_order_and_cover_every_labelled_frame_once((times, end_s, frames) in track()) {
            let settings = SegmentSettings::default();
            let found = segments(&frames, &times, end_s, &settings);
            let is_labelled = |frame: usize| {
                frames.iter().any(|smoothed| smoothed.frame == frame && smoothed.label.is_some())
            };
            for segment in &found {
                prop_assert!(segment.first_frame <= segment.last_frame && segment.start_s < segment.end_s);
                prop_assert!(is_labelled(segment.first_frame) && is_labelled(segment.last_frame));
                prop_assert_eq!(segment.start_s, times.time_s[segment.first_frame]);
                prop_assert_eq!(segment.end_s, times.time_s.get(segment.last_frame + 1).copied().unwrap_or(end_s));
                prop_assert!((0.0..=1.0001).contains(&segment.confidence.unwrap()));
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].last_frame < pair[1].first_frame && pair[0].end_s <= pair[1].start_s);
                let touch = pair[1].start_s - pair[0].end_s <= settings.bridge_s;
                prop_assert!(!touch || pair[0].label != pair[1].label, "neighbours of one label are one segment");
                let long = |segment: &Segment| segment.end_s - segment.start_s >= settings.min_s - 1e-5;
                prop_assert!(!touch || (long(&pair[0]) && long(&pair[1])), "a short one has no neighbours");
            }
            for smoothed in frames.iter().filter(|smoothed| smoothed.label.is_some()) {
                let covering = found.iter().filter(|s| (s.first_frame..=s.last_frame).contains(&smoothed.frame));
                prop_assert_eq!(covering.count(), 1);
            }
        }
    }
}

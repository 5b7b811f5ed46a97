//! One annotator's labels over time, from either kind of file.

use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use super::Vocabulary;
use crate::eaf::Tier;
use crate::timeline::{ContainerTime, Expression, Timeline, Track};

/// One label over a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch<L = Expression> {
    /// First moment, seconds.
    pub start_s: f64,
    /// First moment no longer in it, seconds.
    pub end_s: f64,
    /// The label.
    pub label: L,
}

/// A tier's labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnnotationLayer {
    /// The tier's name.
    pub name: String,
    /// In order of time; no two overlap.
    pub stretches: Vec<Stretch>,
    /// Labels that stand for no class, with how often they occur.
    pub unknown: BTreeMap<String, usize>,
    /// How many annotations begin before one ahead of them has ended: there the later one counts.
    pub overlapping: usize,
    /// How many annotations are empty, or their words are mapped to no class.
    pub left_out: usize,
    /// How many annotations of a class have no length.
    pub without_length: usize,
}

/// Pairs of tiers of one video that are compared at most: no video has more signers, and a hostile document has hundreds of
/// thousands.
pub const MOST_PAIRS: usize = 1000;

/// Why annotations are too much to compare.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum TooMuch {
    #[error("{pairs} tiers are in both annotations; at most {MOST_PAIRS} are compared")]
    Pairs { pairs: usize },
}

/// The frames that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid(Frames);

#[derive(Debug, Clone, PartialEq)]
enum Frames {
    /// Middle of each frame, seconds, rising.
    Middles(Vec<f64>),
    /// Frames at a steady rate from zero on; they are counted and not kept, as a document of 600 bytes can last for weeks.
    Steady { frames_per_s: f64, count: usize },
}

impl Grid {
    /// The timeline's own frames, as a player shows them: annotation files count so.
    pub fn of(timeline: &Timeline) -> Self {
        let middle = |frame: usize| {
            let [start, end] = timeline.frame_in_player_time(frame);
            f64::midpoint(start.0, end.0)
        };
        Self(Frames::Middles((0..timeline.frames.time_s.len()).map(middle).collect()))
    }

    /// Frames at a steady rate from zero to `end_s`.
    pub fn steady(frames_per_s: f64, end_s: f64) -> Self {
        Self(Frames::Steady { frames_per_s, count: (end_s * frames_per_s).round() as usize })
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        match &self.0 {
            Frames::Middles(middles_s) => middles_s.len(),
            Frames::Steady { count, .. } => *count,
        }
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Middle of a frame, seconds.
    pub fn middle_s(&self, frame: usize) -> f64 {
        match &self.0 {
            Frames::Middles(middles_s) => middles_s[frame],
            Frames::Steady { frames_per_s, .. } => (frame as f64 + 0.5) / frames_per_s,
        }
    }

    /// The first frame whose middle is not before `time_s`.
    pub fn frame_at(&self, time_s: f64) -> usize {
        self.first_frame(|middle_s| middle_s >= time_s)
    }

    /// The first frame whose middle `holds`, which must go on holding from there.
    pub(super) fn first_frame(&self, holds: impl Fn(f64) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match holds(self.middle_s(middle)) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    }
}

impl AnnotationLayer {
    /// A timeline's track, in the player's time.
    pub fn of_track(timeline: &Timeline, track: &Track) -> Self {
        let shown = |time_s: f64| timeline.player_time(ContainerTime(time_s)).0;
        let stretch = |segment: &crate::timeline::Segment| Stretch {
            start_s: shown(segment.start_s),
            end_s: shown(segment.end_s),
            label: segment.label,
        };
        let (stretches, overlapping) = disjoint(track.segments.iter().map(stretch).collect());
        let name = format!("expression@{}", track.signer());
        Self { name, stretches, overlapping, ..Self::default() }
    }

    /// A tier of an annotation file, its values read by `vocabulary`.
    pub fn of_tier(tier: &Tier, vocabulary: &Vocabulary) -> Self {
        let mut layer = Self { name: tier.id.clone(), ..Self::default() };
        let mut stretches = Vec::new();
        for annotation in &tier.annotations {
            let [start_s, end_s] = [annotation.start_ms, annotation.end_ms].map(|ms| ms as f64 / 1000.0);
            match vocabulary.class_of(&annotation.value) {
                Ok(Some(label)) if end_s > start_s => stretches.push(Stretch { start_s, end_s, label }),
                Ok(Some(_)) => layer.without_length += 1,
                Ok(None) => layer.left_out += 1,
                Err(word) => *layer.unknown.entry(word).or_default() += 1,
            }
        }
        (layer.stretches, layer.overlapping) = disjoint(stretches);
        layer
    }

    /// The frames of each stretch, in order; stretches between two frames' middles have none.
    pub(super) fn runs(&self, grid: &Grid) -> Vec<(Range<usize>, Expression)> {
        let runs = self.stretches.iter().map(|s| (grid.frame_at(s.start_s)..grid.frame_at(s.end_s), s.label));
        runs.filter(|(frames, _)| !frames.is_empty()).collect()
    }
}

/// `stretches` cut where they overlap, and how many begin before one ahead of them has ended: of two at the same moment, the
/// one that is later in order counts. ELAN's tiers have no overlaps; other programs' may.
fn disjoint(stretches: Vec<Stretch>) -> (Vec<Stretch>, usize) {
    let mut overlapping = 0;
    let mut reached_s = f64::NEG_INFINITY;
    for stretch in &stretches {
        overlapping += usize::from(stretch.start_s < reached_s);
        reached_s = reached_s.max(stretch.end_s);
    }
    let in_order = stretches.windows(2).all(|pair| pair[0].start_s <= pair[1].start_s);
    if overlapping == 0 && in_order {
        return (stretches, 0);
    }
    let mut starts: Vec<usize> = (0..stretches.len()).collect();
    starts.sort_by(|a, b| stretches[*a].start_s.total_cmp(&stretches[*b].start_s));
    let mut moments: Vec<f64> = stretches.iter().flat_map(|s| [s.start_s, s.end_s]).collect();
    moments.sort_by(f64::total_cmp);
    moments.dedup();
    // What has begun and may not have ended, the latest in order on top.
    let mut begun: BinaryHeap<usize> = BinaryHeap::new();
    let mut starts = starts.into_iter().peekable();
    let mut cut: Vec<(usize, Stretch)> = Vec::new();
    for between in moments.windows(2) {
        while let Some(index) = starts.next_if(|index| stretches[*index].start_s <= between[0]) {
            begun.push(index);
        }
        while begun.peek().is_some_and(|index| stretches[*index].end_s <= between[0]) {
            begun.pop();
        }
        let Some(index) = begun.peek().copied() else { continue };
        match cut.last_mut() {
            Some((last, stretch)) if *last == index && stretch.end_s == between[0] => stretch.end_s = between[1],
            _ => cut.push((index, Stretch { start_s: between[0], end_s: between[1], label: stretches[index].label })),
        }
    }
    (cut.into_iter().map(|(_, stretch)| stretch).collect(), overlapping)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stretches(spans: &[(u32, u32)]) -> Vec<Stretch> {
        let stretch = |(index, (start, length)): (usize, &(u32, u32))| Stretch {
            start_s: f64::from(*start),
            end_s: f64::from(start + length),
            label: Expression::ALL[index % Expression::COUNT],
        };
        spans.iter().enumerate().map(stretch).collect()
    }

    proptest! {
        #[test]
        fn cut_stretches_say_of_each_moment_what_the_latest_said(
            spans in prop::collection::vec((0u32..40, 1u32..20), 0..25),
        ) {
            let all = stretches(&spans);
            let (cut, overlapping) = disjoint(all.clone());
            for pair in cut.windows(2) {
                prop_assert!(pair[0].end_s <= pair[1].start_s);
            }
            for second in 0..60 {
                let moment_s = f64::from(second) + 0.5;
                let at = |s: &&Stretch| s.start_s <= moment_s && moment_s < s.end_s;
                let says = |s: &Stretch| s.label;
                prop_assert_eq!(cut.iter().find(at).map(says), all.iter().rfind(at).map(says));
            }
            let pairs = || all.iter().enumerate().flat_map(|(i, a)| all[..i].iter().map(move |b| (a, b)));
            prop_assert_eq!(overlapping == 0, pairs().all(|(later, earlier)| later.start_s >= earlier.end_s));
        }

        #[test]
        fn a_steady_grid_is_that_of_its_middles(rate in 1.0f64..120.0, end_s in 0.0f64..30.0, time_s in -1.0f64..40.0) {
            let steady = Grid::steady(rate, end_s);
            let middles: Vec<f64> = (0..steady.len()).map(|frame| (frame as f64 + 0.5) / rate).collect();
            prop_assert_eq!(steady.frame_at(time_s), middles.partition_point(|middle_s| *middle_s < time_s));
            prop_assert_eq!(steady.frame_at(time_s), Grid(Frames::Middles(middles)).frame_at(time_s));
        }
    }
}

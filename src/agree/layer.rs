//! One annotator's labels over time, from either kind of file.

use std::collections::BTreeMap;

use super::Vocabulary;
use crate::eaf::Tier;
use crate::timeline::{ContainerTime, Expression, Timeline, Track};

/// One label over a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// First moment, seconds.
    pub start_s: f64,
    /// First moment no longer in it, seconds.
    pub end_s: f64,
    /// The label.
    pub label: Expression,
}

/// A tier's labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The tier's name.
    pub name: String,
    /// In order of time.
    pub stretches: Vec<Stretch>,
    /// Labels that stand for no class, with how often they occur.
    pub unknown: BTreeMap<String, usize>,
    /// How many annotations begin before the one ahead of them has ended.
    pub overlapping: usize,
}

/// Frames that are compared at most: a day at 100 frames per second. An annotation that somebody drew by mistake may end
/// weeks later.
pub const MOST_FRAMES: usize = 24 * 3600 * 100;
/// Tiers that are compared at most.
pub const MOST_PAIRS: usize = 10_000;
/// Annotations of a tier that may begin before the one ahead of them has ended. A tier has one label at a time.
pub const MOST_OVERLAPPING: usize = 1000;

/// Why annotations are too much to compare.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum TooMuch {
    #[error(
        "the annotations end after {hours:.1} hours; at {frames_per_s} frames per second, at most {most} frames are compared"
    )]
    Frames { hours: f64, frames_per_s: f64, most: usize },
    #[error("{pairs} tiers are in both annotations; at most {MOST_PAIRS} are compared")]
    Pairs { pairs: usize },
    #[error("tier {tier}: {count} annotations overlap the one ahead of them; at most {MOST_OVERLAPPING} may")]
    Overlapping { tier: String, count: usize },
    #[error("{pairs} tiers over {frames} frames are too much to compare")]
    Cells { pairs: usize, frames: usize },
}

/// The frames that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Middle of each frame, seconds, rising.
    pub middles_s: Vec<f64>,
}

impl Grid {
    /// The timeline's own frames, as a player shows them: annotation files count so.
    pub fn of(timeline: &Timeline) -> Self {
        let middle = |frame: usize| {
            let [start, end] = timeline.frame_in_player_time(frame);
            f64::midpoint(start.0, end.0)
        };
        Self { middles_s: (0..timeline.frames.time_s.len()).map(middle).collect() }
    }

    /// Frames at a steady rate from zero to `end_s`.
    ///
    /// # Errors
    /// If there would be more than [`MOST_FRAMES`] of them.
    pub fn steady(frames_per_s: f64, end_s: f64) -> Result<Self, TooMuch> {
        let count = (end_s * frames_per_s).round() as usize;
        if count > MOST_FRAMES {
            return Err(TooMuch::Frames { hours: end_s / 3600.0, frames_per_s, most: MOST_FRAMES });
        }
        Ok(Self { middles_s: (0..count).map(|frame| (frame as f64 + 0.5) / frames_per_s).collect() })
    }

    /// The first frame whose middle is not before `time_s`.
    pub fn frame_at(&self, time_s: f64) -> usize {
        self.middles_s.partition_point(|middle_s| *middle_s < time_s)
    }
}

impl Layer {
    /// A timeline's track, in the player's time.
    pub fn of_track(timeline: &Timeline, track: &Track) -> Self {
        let shown = |time_s: f64| timeline.player_time(ContainerTime(time_s)).0;
        let stretch = |segment: &crate::timeline::Segment| Stretch {
            start_s: shown(segment.start_s),
            end_s: shown(segment.end_s),
            label: segment.label,
        };
        let stretches = track.segments.iter().map(stretch).collect();
        let name = format!("expression@{}", track.signer());
        Self { name, stretches, unknown: BTreeMap::new(), overlapping: 0 }
    }

    /// A tier of an annotation file, its values read by `vocabulary`.
    pub fn of_tier(tier: &Tier, vocabulary: &Vocabulary) -> Self {
        let mut layer = Self { name: tier.id.clone(), stretches: Vec::new(), unknown: BTreeMap::new(), overlapping: 0 };
        for annotation in &tier.annotations {
            let [start_s, end_s] = [annotation.start_ms, annotation.end_ms].map(|ms| ms as f64 / 1000.0);
            match vocabulary.class_of(&annotation.value) {
                Ok(Some(label)) if end_s > start_s => {
                    let last = layer.stretches.last();
                    layer.overlapping += usize::from(last.is_some_and(|last: &Stretch| last.end_s > start_s));
                    layer.stretches.push(Stretch { start_s, end_s, label });
                }
                Ok(_) => {}
                Err(word) => *layer.unknown.entry(word).or_default() += 1,
            }
        }
        layer
    }

    /// The label of each frame of `grid`: where stretches overlap, that of the one that began last. Each frame is written
    /// once, however many stretches lie over it.
    pub(super) fn on(&self, grid: &Grid) -> Vec<Option<Expression>> {
        let mut labels = vec![None; grid.middles_s.len()];
        // Stretches over the current frame; the last one that has not ended counts.
        let mut open: Vec<&Stretch> = Vec::new();
        let mut paint = |open: &mut Vec<&Stretch>, mut from: usize, to: usize| {
            while let Some(last) = open.last() {
                let end = grid.frame_at(last.end_s).min(to);
                if end > from {
                    labels[from..end].fill(Some(last.label));
                    from = end;
                }
                if end == to && grid.frame_at(last.end_s) > to {
                    break;
                }
                open.pop();
            }
        };
        let mut at = 0;
        for stretch in &self.stretches {
            let start = grid.frame_at(stretch.start_s).max(at);
            paint(&mut open, at, start);
            at = start;
            open.push(stretch);
        }
        paint(&mut open, at, grid.middles_s.len());
        labels
    }
}

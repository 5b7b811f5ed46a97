//! One annotator's labels over time, from either kind of file.

use std::collections::BTreeMap;

use super::Vocabulary;
use crate::eaf::Tier;
use crate::timeline::{Expression, Timeline, Track};

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

/// The frames that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Middle of each frame, seconds, rising.
    pub middles_s: Vec<f64>,
}

impl Grid {
    /// The timeline's own frames.
    pub fn of(timeline: &Timeline) -> Self {
        let times = &timeline.frames;
        let video_end_s = timeline.end_s();
        let middle = |frame: usize| f64::midpoint(times.time_s[frame], times.end_s(frame, video_end_s));
        Self { middles_s: (0..times.time_s.len()).map(middle).collect() }
    }

    /// Frames at a steady rate from zero to `end_s`.
    pub fn steady(frames_per_s: f64, end_s: f64) -> Self {
        let count = (end_s * frames_per_s).round() as usize;
        Self { middles_s: (0..count).map(|frame| (frame as f64 + 0.5) / frames_per_s).collect() }
    }

    /// The first frame whose middle is not before `time_s`.
    pub fn frame_at(&self, time_s: f64) -> usize {
        self.middles_s.partition_point(|middle_s| *middle_s < time_s)
    }
}

impl Layer {
    /// A timeline's track.
    pub fn of_track(track: &Track) -> Self {
        let stretch = |segment: &crate::timeline::Segment| Stretch {
            start_s: segment.start_s,
            end_s: segment.end_s,
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

    /// The label of each frame of `grid`: where stretches overlap, that of the one that began last.
    pub(super) fn on(&self, grid: &Grid) -> Vec<Option<Expression>> {
        let mut labels = vec![None; grid.middles_s.len()];
        for stretch in &self.stretches {
            labels[grid.frame_at(stretch.start_s)..grid.frame_at(stretch.end_s)].fill(Some(stretch.label));
        }
        labels
    }
}

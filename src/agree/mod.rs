//! How far two annotations of one video agree: frame by frame, segment by segment, and at the boundaries.

mod layer;
mod matching;
mod report;
mod vocabulary;

use rand::RngExt;
use serde::Serialize;

pub use crate::statistics::kappa::{LABELS, Table, cohens_kappa, modified_kappa, raw_agreement};
pub use layer::{Grid, Layer, MOST_FRAMES, MOST_OVERLAPPING, MOST_PAIRS, Stretch, TooMuch};
pub use matching::{Links, link};
pub use report::{html, markdown, sentence, text};
pub use vocabulary::{Vocabulary, VocabularyError};

use crate::random::seeded;
use crate::statistics::kappa;
use crate::timeline::Expression;

const NONE: usize = Expression::COUNT;

/// How annotations are compared.
#[derive(Debug, Clone, Serialize)]
pub struct Options {
    /// Share of the longer of two segments that must overlap for them to be linked; above one half, so that links are
    /// unambiguous. 0.6 is Holle and Rein's, and ELAN's.
    pub overlap: f64,
    /// Length of the blocks of video that are resampled for the interval of the frames' kappa, seconds. Neighbouring
    /// frames are no independent witnesses.
    pub block_s: f64,
    /// Number of bootstrap samples.
    pub resamples: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { overlap: 0.6, block_s: 5.0, resamples: 2000 }
    }
}

/// Agreement of two annotations, for each pair of tiers and for all together.
#[derive(Debug, Clone, Serialize)]
pub struct Agreement {
    /// The first annotation's file.
    pub a: String,
    /// The second one's.
    pub b: String,
    /// How they were compared.
    pub options: Options,
    /// Where the frames come from.
    pub grid: String,
    /// Each pair of tiers.
    pub pairs: Vec<Measures>,
    /// All pairs together; with one pair the same.
    pub pooled: Measures,
    /// Labels that stand for no class, with the number of their annotations; they count as not labelled.
    pub unknown_labels: Vec<(String, usize)>,
}

/// Measures of agreement; absent where they are not defined.
#[derive(Debug, Clone, Serialize)]
pub struct Measures {
    /// The tiers, or `all`.
    pub name: String,
    /// Frame by frame.
    pub frames: FrameMeasures,
    /// Segment by segment.
    pub segments: SegmentMeasures,
}

/// Agreement frame by frame.
#[derive(Debug, Clone, Serialize)]
pub struct FrameMeasures {
    /// Number of frames.
    pub frames: u64,
    /// Frames both label.
    pub both: u64,
    /// Share of the frames both label that have the same label.
    pub agreement: Option<f64>,
    /// Cohen's (1960) kappa over the frames both label.
    pub kappa: Option<f64>,
    /// 95 % interval of `kappa`: percentile bootstrap over blocks of video.
    pub kappa_interval: Option<[f64; 2]>,
    /// Cohen's kappa over all frames, with no label as a class of its own.
    pub kappa_with_unlabelled: Option<f64>,
    /// Rows: the first annotation; columns: the second; canonical order, then no label.
    pub confusion: Table,
}

/// Agreement segment by segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentMeasures {
    /// Segments of the first annotation.
    pub a: usize,
    /// Segments of the second.
    pub b: usize,
    /// Pairs of segments linked by their overlap.
    pub linked: usize,
    /// Share of all segments that are linked.
    pub linked_share: Option<f64>,
    /// Share of the linked pairs with the same label.
    pub agreement: Option<f64>,
    /// Cohen's kappa over linked pairs.
    pub kappa: Option<f64>,
    /// Share of agreeing units, where unlinked segments are units that disagree.
    pub agreement_with_unlinked: Option<f64>,
    /// Holle and Rein's (2015) modified kappa, which counts unlinked segments as disagreement.
    pub modified_kappa: Option<f64>,
    /// 95 % interval of `modified_kappa`: percentile bootstrap over units.
    pub modified_kappa_interval: Option<[f64; 2]>,
    /// Rows: the first annotation; columns: the second; canonical order, then unlinked.
    pub confusion: Table,
    /// How far the boundaries of linked segments lie apart.
    pub boundaries: Option<Boundaries>,
}

/// Distances between boundaries, frames.
#[derive(Debug, Clone, Serialize)]
pub struct Boundaries {
    /// Mean distance.
    pub mean: f64,
    /// Median distance.
    pub median: f64,
    /// Share of boundaries at most a frame apart.
    pub within_one: f64,
    /// Share of boundaries at most two frames apart.
    pub within_two: f64,
}

/// What one pair of tiers holds before it is summed up.
struct Counts {
    name: String,
    /// One table of frames a block of video.
    blocks: Vec<Table>,
    /// Cells of the table of units, one a linked pair or unlinked segment.
    units: Vec<(usize, usize)>,
    segments: (usize, usize),
    distances: Vec<f64>,
}

/// Cells of tiers and frames that are compared at most: some minutes of work.
const MOST_CELLS: usize = 2_000_000_000;

/// Whether pairs of tiers over `grid` can be compared in bounded time and memory.
fn check(pairs: &[(Layer, Layer)], grid: &Grid) -> Result<(), TooMuch> {
    if pairs.len() > MOST_PAIRS {
        return Err(TooMuch::Pairs { pairs: pairs.len() });
    }
    let (pairs_count, frames) = (pairs.len(), grid.middles_s.len());
    if pairs_count.saturating_mul(frames) > MOST_CELLS {
        return Err(TooMuch::Cells { pairs: pairs_count, frames });
    }
    let mut layers = pairs.iter().flat_map(|(a, b)| [a, b]);
    match layers.find(|layer| layer.overlapping > MOST_OVERLAPPING) {
        Some(Layer { name, overlapping, .. }) => Err(TooMuch::Overlapping { tier: name.clone(), count: *overlapping }),
        None => Ok(()),
    }
}

/// Compares pairs of tiers over `grid`.
///
/// # Errors
/// If they are too much.
pub fn compare(pairs: &[(Layer, Layer)], grid: &Grid, options: &Options) -> Result<(Vec<Measures>, Measures), TooMuch> {
    check(pairs, grid)?;
    let counts: Vec<Counts> = pairs.iter().map(|(a, b)| count(a, b, grid, options)).collect();
    let measures = counts.iter().map(|counts| sum_up(counts, options)).collect();
    let all = Counts {
        name: "all".into(),
        blocks: counts.iter().flat_map(|c| c.blocks.clone()).collect(),
        units: counts.iter().flat_map(|c| c.units.clone()).collect(),
        segments: counts.iter().fold((0, 0), |sum, c| (sum.0 + c.segments.0, sum.1 + c.segments.1)),
        distances: counts.iter().flat_map(|c| c.distances.clone()).collect(),
    };
    Ok((measures, sum_up(&all, options)))
}

fn count(a: &Layer, b: &Layer, grid: &Grid, options: &Options) -> Counts {
    let mut blocks: Vec<Table> = Vec::new();
    let (labels_a, labels_b) = (a.on(grid), b.on(grid));
    let start_s = grid.middles_s.first().copied().unwrap_or(0.0);
    for ((label_a, label_b), middle_s) in labels_a.iter().zip(&labels_b).zip(&grid.middles_s) {
        let block = ((middle_s - start_s) / options.block_s) as usize;
        if blocks.len() <= block {
            blocks.resize(block + 1, [[0; LABELS]; LABELS]);
        }
        blocks[block][index(*label_a)][index(*label_b)] += 1;
    }
    let links = link(&a.stretches, &b.stretches, options.overlap);
    let mut units = Vec::new();
    let mut distances = Vec::new();
    for (place_a, place_b) in &links.pairs {
        let (segment_a, segment_b) = (&a.stretches[*place_a], &b.stretches[*place_b]);
        units.push((segment_a.label.index(), segment_b.label.index()));
        for (time_a, time_b) in [(segment_a.start_s, segment_b.start_s), (segment_a.end_s, segment_b.end_s)] {
            distances.push(grid.frame_at(time_a).abs_diff(grid.frame_at(time_b)) as f64);
        }
    }
    units.extend(links.only_a.iter().map(|place| (a.stretches[*place].label.index(), NONE)));
    units.extend(links.only_b.iter().map(|place| (NONE, b.stretches[*place].label.index())));
    let name = if a.name == b.name { a.name.clone() } else { format!("{} / {}", a.name, b.name) };
    Counts { name, blocks, units, segments: (a.stretches.len(), b.stretches.len()), distances }
}

fn index(label: Option<Expression>) -> usize {
    label.map_or(NONE, Expression::index)
}

fn sum_up(counts: &Counts, options: &Options) -> Measures {
    let frames = kappa::sum(counts.blocks.iter());
    let both = kappa::without_last(&frames);
    let mut random = seeded(0, "agreement");
    let mut draw = |count: usize| -> Vec<usize> { (0..count).map(|_| random.random_range(0..count)).collect() };
    let mut kappas = Vec::new();
    let mut modified = Vec::new();
    for _ in 0..options.resamples {
        if counts.blocks.len() > 1 {
            let sample = kappa::sum(draw(counts.blocks.len()).iter().map(|block| &counts.blocks[*block]));
            kappas.extend(cohens_kappa(&kappa::without_last(&sample)));
        }
        if counts.units.len() > 1 {
            let sample = kappa::of_units(draw(counts.units.len()).iter().map(|unit| counts.units[*unit]));
            modified.extend(modified_kappa(&sample));
        }
    }
    let units = kappa::of_units(counts.units.iter().copied());
    let linked = kappa::without_last(&units);
    let (a, b) = counts.segments;
    let pairs = counts.distances.len() / 2;
    Measures {
        name: counts.name.clone(),
        frames: FrameMeasures {
            frames: frames.iter().flatten().sum(),
            both: both.iter().flatten().sum(),
            agreement: raw_agreement(&both),
            kappa: cohens_kappa(&both),
            kappa_interval: interval(kappas),
            kappa_with_unlabelled: cohens_kappa(&frames),
            confusion: frames,
        },
        segments: SegmentMeasures {
            a,
            b,
            linked: pairs,
            linked_share: (a + b > 0).then(|| 2.0 * pairs as f64 / (a + b) as f64),
            agreement: raw_agreement(&linked),
            kappa: cohens_kappa(&linked),
            agreement_with_unlinked: raw_agreement(&kappa::doubled(&units)),
            modified_kappa: modified_kappa(&units),
            modified_kappa_interval: interval(modified),
            confusion: units,
            boundaries: boundaries(counts.distances.clone()),
        },
    }
}

/// The middle 95 % of bootstrap values.
fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() as f64 - 1.0) * share).round() as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}

fn boundaries(mut distances: Vec<f64>) -> Option<Boundaries> {
    distances.sort_by(f64::total_cmp);
    let count = distances.len();
    if count == 0 {
        return None;
    }
    let within = |frames: f64| distances.iter().filter(|d| **d <= frames).count() as f64 / count as f64;
    Some(Boundaries {
        mean: distances.iter().sum::<f64>() / count as f64,
        median: (distances[(count - 1) / 2] + distances[count / 2]) / 2.0,
        within_one: within(1.0),
        within_two: within(2.0),
    })
}

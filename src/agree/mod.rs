//! How far two annotations of one video agree: frame by frame, segment by segment, and at the boundaries.

mod events;
mod layer;
mod matching;
mod report;
mod vocabulary;

use std::ops::Range;

use rand::{Rng, RngExt as _};
use rand_distr::Binomial;
use serde::Serialize;

pub use crate::statistics::kappa::{LABELS, Table, cohens_kappa, modified_kappa, raw_agreement};
pub use events::{CurveAgreement, CurveCounts, EventAgreement, EventCounts, EventLayer};
pub use layer::{AnnotationLayer, Grid, MOST_PAIRS, Stretch, TooMuch};
pub use matching::{Links, link};
pub use report::{html, markdown, named, sentence, text};
pub use vocabulary::{Vocabulary, VocabularyError};

use crate::random::seeded;
use crate::statistics::kappa;
use crate::timeline::Expression;

const NONE: usize = Expression::COUNT;

/// How annotations are compared.
#[derive(Debug, Clone, Serialize)]
pub struct AgreementOptions {
    /// Share of the longer of two segments that must overlap for them to be linked; above one half, so that links are
    /// unambiguous. 0.6 is Holle and Rein's, and ELAN's.
    pub overlap: f64,
    /// Length of the blocks of video that are resampled for the interval of the frames' kappa, seconds. Neighbouring
    /// frames are no independent witnesses.
    pub block_s: f64,
    /// Number of bootstrap samples.
    pub resamples: usize,
}

/// Blocks of video that are resampled, at most: a longer video has longer blocks (2.8 hours have this many of 5 s). An interval
/// from so many differs from one of more blocks by less than its own noise, and costs a second at most.
const MOST_BLOCKS: usize = 2000;
/// Segments up to this many are resampled one by one; of more, the table's cells are drawn, which has the same distribution.
const MOST_DRAWN: usize = 10_000;

impl Default for AgreementOptions {
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
    pub options: AgreementOptions,
    /// Where the frames come from.
    pub grid: String,
    /// Each pair of tiers.
    pub pairs: Vec<Measures>,
    /// All pairs together; with one pair the same.
    pub pooled: Measures,
    /// What the faces do, kind by kind, over all parts.
    pub events: Vec<EventAgreement>,
    /// Curves of measures, where both annotations are labels.json.
    pub curves: Vec<CurveAgreement>,
    /// Labels that stand for no class, with the number of their annotations; they count as not labelled.
    pub unknown_labels: Vec<(String, usize)>,
    /// What one part of the comparison is.
    pub part: PairKind,
    /// What else was left out.
    pub left_out: NotCompared,
}

/// What one of [`Agreement::pairs`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PairKind {
    /// A signer of one video.
    Signer,
    /// A video of a corpus, with all its signers.
    Video,
}

/// What a comparison left out, besides labels that stand for no class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NotCompared {
    /// Annotations that are empty or whose words are mapped to no class.
    pub mapped: usize,
    /// Annotations without a length.
    pub without_length: usize,
    /// Annotations that begin before one ahead of them has ended: there the later one counts.
    pub overlapping: usize,
    /// Tiers of expressions, or files of a corpus, that the other annotation does not have.
    pub unpaired: Vec<String>,
}

impl NotCompared {
    /// Adds what the tiers themselves left out.
    pub fn add(&mut self, layer: &AnnotationLayer) {
        self.mapped += layer.left_out;
        self.without_length += layer.without_length;
        self.overlapping += layer.overlapping;
    }
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

/// What one pair of tiers, or several together, hold before they are summed up.
struct Counts {
    name: String,
    /// Tables of frames that are resampled: blocks of video, or whole videos.
    blocks: Vec<Table>,
    /// Cells of the table of units, one a linked pair or unlinked segment.
    units: Vec<(usize, usize)>,
    segments: (usize, usize),
    distances: Vec<f64>,
}

impl Counts {
    fn together(name: String, parts: &[Self]) -> Self {
        Self {
            name,
            blocks: parts.iter().flat_map(|c| c.blocks.iter().copied()).collect(),
            units: parts.iter().flat_map(|c| c.units.iter().copied()).collect(),
            segments: parts.iter().fold((0, 0), |sum, c| (sum.0 + c.segments.0, sum.1 + c.segments.1)),
            distances: parts.iter().flat_map(|c| c.distances.iter().copied()).collect(),
        }
    }
}

/// Compares pairs of tiers over `grid`.
///
/// # Errors
/// If they are too much.
pub fn compare(
    pairs: &[(AnnotationLayer, AnnotationLayer)],
    grid: &Grid,
    options: &AgreementOptions,
) -> Result<(Vec<Measures>, Measures), TooMuch> {
    check(pairs)?;
    let counts: Vec<Counts> = pairs.iter().map(|(a, b)| count(a, b, grid, options)).collect();
    let measures = counts.iter().map(|counts| sum_up(counts, resampled(counts, options))).collect();
    let all = Counts::together("all".into(), &counts);
    Ok((measures, sum_up(&all, resampled(&all, options))))
}

/// Whether pairs of tiers can be compared in bounded time and memory.
fn check(pairs: &[(AnnotationLayer, AnnotationLayer)]) -> Result<(), TooMuch> {
    match pairs.len() > MOST_PAIRS {
        true => Err(TooMuch::Pairs { pairs: pairs.len() }),
        false => Ok(()),
    }
}

/// One video of a corpus: its name, its pairs of tiers and its frames.
pub type Video = (String, Vec<(AnnotationLayer, AnnotationLayer)>, Grid);

/// Compares the videos of a corpus: each for itself, and all together with intervals over videos, since what one person signs
/// in one recording is no series of independent witnesses.
///
/// # Errors
/// If they are too much.
pub fn compare_videos(videos: &[Video], options: &AgreementOptions) -> Result<(Vec<Measures>, Measures), TooMuch> {
    videos.iter().try_for_each(|(_, pairs, _)| check(pairs))?;
    let counts: Vec<Counts> = videos
        .iter()
        .map(|(name, pairs, grid)| {
            let tiers: Vec<Counts> = pairs.iter().map(|(a, b)| count(a, b, grid, options)).collect();
            Counts::together(name.clone(), &tiers)
        })
        .collect();
    let measures = counts.iter().map(|counts| sum_up(counts, resampled(counts, options))).collect();
    let clusters: Vec<[Table; 2]> = counts
        .iter()
        .map(|counts| [kappa::sum(counts.blocks.iter()), kappa::of_units(counts.units.iter().copied())])
        .collect();
    Ok((measures, sum_up(&Counts::together("all".into(), &counts), over_videos(&clusters, options))))
}

fn count(a: &AnnotationLayer, b: &AnnotationLayer, grid: &Grid, options: &AgreementOptions) -> Counts {
    let links = link(&a.stretches, &b.stretches, options.overlap);
    let mut units = Vec::new();
    let mut distances = Vec::new();
    for (index_a, index_b) in &links.pairs {
        let (segment_a, segment_b) = (&a.stretches[*index_a], &b.stretches[*index_b]);
        units.push((segment_a.label.index(), segment_b.label.index()));
        for (time_a, time_b) in [(segment_a.start_s, segment_b.start_s), (segment_a.end_s, segment_b.end_s)] {
            distances.push(grid.frame_at(time_a).abs_diff(grid.frame_at(time_b)) as f64);
        }
    }
    units.extend(links.only_a.iter().map(|index| (a.stretches[*index].label.index(), NONE)));
    units.extend(links.only_b.iter().map(|index| (NONE, b.stretches[*index].label.index())));
    let name = if a.name == b.name { a.name.clone() } else { format!("{} / {}", a.name, b.name) };
    let segments = (a.stretches.len(), b.stretches.len());
    Counts { name, blocks: blocks(a, b, grid, options.block_s), units, segments, distances }
}

/// One table of frames a block of video. Frames are counted from boundary to boundary, so that time and memory depend on the
/// number of annotations and not on how long they last.
fn blocks(a: &AnnotationLayer, b: &AnnotationLayer, grid: &Grid, block_s: f64) -> Vec<Table> {
    if grid.is_empty() {
        return Vec::new();
    }
    let start_s = grid.middle_s(0);
    let block_s = block_s.max((grid.middle_s(grid.len() - 1) - start_s) / (MOST_BLOCKS - 1) as f64);
    let block_of = |middle_s: f64| ((middle_s - start_s) / block_s) as usize;
    let count = block_of(grid.middle_s(grid.len() - 1)) + 1;
    let ends: Vec<usize> = (1..=count).map(|block| grid.first_frame(|middle_s| block_of(middle_s) >= block)).collect();
    let (runs_a, runs_b) = (a.runs(grid), b.runs(grid));
    let boundary = |(frames, _): &(Range<usize>, Expression)| [frames.start, frames.end];
    let mut boundaries: Vec<usize> = runs_a.iter().chain(&runs_b).flat_map(boundary).chain(ends.clone()).collect();
    boundaries.push(0);
    boundaries.sort_unstable();
    boundaries.dedup();
    let mut tables = vec![[[0; LABELS]; LABELS]; count];
    let (mut next_a, mut next_b, mut block) = (0, 0, 0);
    for between in boundaries.windows(2) {
        let first = between[0];
        let label_a = label_at(&runs_a, &mut next_a, first);
        let label_b = label_at(&runs_b, &mut next_b, first);
        while ends[block] <= first {
            block += 1;
        }
        tables[block][index(label_a)][index(label_b)] += (between[1] - first) as u64;
    }
    tables
}

/// The label of `frame`; `next`, the index of the run to look at, moves on with it.
fn label_at(runs: &[(Range<usize>, Expression)], next: &mut usize, frame: usize) -> Option<Expression> {
    while runs.get(*next).is_some_and(|(frames, _)| frames.end <= frame) {
        *next += 1;
    }
    let (frames, label) = runs.get(*next)?;
    frames.contains(&frame).then_some(*label)
}

fn index(label: Option<Expression>) -> usize {
    label.map_or(NONE, Expression::index)
}

/// Bootstrap values of the frames' kappa and of the segments' modified kappa.
#[derive(Default)]
struct Resampled {
    kappas: Vec<f64>,
    modified: Vec<f64>,
}

/// Resamples blocks of video, and units.
fn resampled(counts: &Counts, options: &AgreementOptions) -> Resampled {
    let mut random = seeded(0, "agreement");
    let mut resampled = Resampled::default();
    let units = kappa::of_units(counts.units.iter().copied());
    for _ in 0..options.resamples {
        if counts.blocks.len() > 1 {
            let drawn = draw(counts.blocks.len(), &mut random);
            let sample = kappa::sum(drawn.iter().map(|block| &counts.blocks[*block]));
            resampled.kappas.extend(cohens_kappa(&kappa::without_last(&sample)));
        }
        if counts.units.len() > MOST_DRAWN {
            resampled.modified.extend(modified_kappa(&drawn_table(&units, &mut random)));
        } else if counts.units.len() > 1 {
            let drawn = draw(counts.units.len(), &mut random);
            let sample = kappa::of_units(drawn.iter().map(|unit| counts.units[*unit]));
            resampled.modified.extend(modified_kappa(&sample));
        }
    }
    resampled
}

/// Resamples whole videos, of each of which the tables of frames and of units are given.
fn over_videos(videos: &[[Table; 2]], options: &AgreementOptions) -> Resampled {
    let mut random = seeded(0, "agreement over videos");
    let mut resampled = Resampled::default();
    if videos.len() < 2 {
        return resampled;
    }
    for _ in 0..options.resamples {
        let drawn = draw(videos.len(), &mut random);
        let [frames, units] = [0, 1].map(|kind| kappa::sum(drawn.iter().map(|video| &videos[*video][kind])));
        resampled.kappas.extend(cohens_kappa(&kappa::without_last(&frames)));
        resampled.modified.extend(modified_kappa(&units));
    }
    resampled
}

fn draw(count: usize, random: &mut impl Rng) -> Vec<usize> {
    (0..count).map(|_| random.random_range(0..count)).collect()
}

/// As many units as `table` has, each from a cell with the cell's share: one binomial draw a cell.
fn drawn_table(table: &Table, random: &mut impl Rng) -> Table {
    let mut drawn = [[0; LABELS]; LABELS];
    let mut left = table.iter().flatten().sum::<u64>();
    let mut rest = left;
    for (drawn, cell) in drawn.iter_mut().flatten().zip(table.iter().flatten()) {
        if *cell == 0 || left == 0 {
            continue;
        }
        *drawn = match *cell == rest {
            true => left,
            false => Binomial::new(left, *cell as f64 / rest as f64).map_or(0, |binomial| random.sample(binomial)),
        };
        left -= *drawn;
        rest -= cell;
    }
    drawn
}

fn sum_up(counts: &Counts, Resampled { kappas, modified }: Resampled) -> Measures {
    let frames = kappa::sum(counts.blocks.iter());
    let both = kappa::without_last(&frames);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layer(spans: &[(f64, f64, usize)]) -> AnnotationLayer {
        let stretches = spans
            .iter()
            .map(|(start_s, length_s, class)| Stretch {
                start_s: *start_s,
                end_s: start_s + length_s,
                label: Expression::ALL[*class],
            })
            .collect();
        AnnotationLayer { name: "tier".into(), stretches, ..AnnotationLayer::default() }
    }

    /// Stretches one after the other with gaps.
    fn spans() -> impl Strategy<Value = Vec<(f64, f64, usize)>> {
        prop::collection::vec((0.0f64..3.0, 0.05f64..8.0, 0..Expression::COUNT), 0..12).prop_map(|parts| {
            let mut at_s = 0.0;
            parts
                .into_iter()
                .map(|(gap_s, length_s, class)| {
                    let start_s = at_s + gap_s;
                    at_s = start_s + length_s;
                    (start_s, length_s, class)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn counting_from_boundary_to_boundary_is_counting_frames(a in spans(), b in spans(), rate in 5.0f64..60.0) {
            let (a, b, grid) = (layer(&a), layer(&b), Grid::steady(rate, 40.0));
            let label = |layer: &AnnotationLayer, frame: usize| {
                let at = |s: &&Stretch| grid.frame_at(s.start_s) <= frame && frame < grid.frame_at(s.end_s);
                index(layer.stretches.iter().find(at).map(|s| s.label))
            };
            let mut wanted: Vec<Table> = Vec::new();
            for frame in 0..grid.len() {
                let block = ((grid.middle_s(frame) - grid.middle_s(0)) / 5.0) as usize;
                wanted.resize(wanted.len().max(block + 1), [[0; LABELS]; LABELS]);
                wanted[block][label(&a, frame)][label(&b, frame)] += 1;
            }
            prop_assert_eq!(blocks(&a, &b, &grid, 5.0), wanted);
        }
    }

    #[test]
    fn an_annotation_of_weeks_is_counted_in_few_blocks() {
        let whole = layer(&[(0.0, 4_000_000.0, 1)]);
        let grid = Grid::steady(25.0, 4_000_000.0);
        let tables = blocks(&whole, &whole, &grid, 5.0);
        assert!(tables.len() <= MOST_BLOCKS);
        assert_eq!(kappa::sum(tables.iter())[1][1], 100_000_000);
    }

    #[test]
    fn drawn_cells_have_the_distribution_of_drawn_units() {
        let mut table = [[0; LABELS]; LABELS];
        (table[0][0], table[0][1], table[1][1], table[2][NONE]) = (6000, 3000, 2000, 1000);
        let mut random = seeded(1, "test");
        let draws: Vec<Table> = (0..400).map(|_| drawn_table(&table, &mut random)).collect();
        for (row, column) in [(0, 0), (0, 1), (1, 1), (2, NONE)] {
            let values: Vec<f64> = draws.iter().map(|drawn| drawn[row][column] as f64).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            let share = table[row][column] as f64 / 12_000.0;
            let expected = 12_000.0 * share * (1.0 - share);
            assert!((mean - 12_000.0 * share).abs() < 5.0 * (expected / 400.0).sqrt(), "{mean}");
            assert!((0.7..1.4).contains(&(variance / expected)), "{variance} for {expected}");
        }
        assert!(draws.iter().all(|drawn| drawn.iter().flatten().sum::<u64>() == 12_000));
    }

    #[test]
    fn intervals_over_videos_are_wider_than_over_their_blocks() {
        // Ten videos, in half of which both always agree and in half of which they do not.
        let video = |number: usize| {
            let a: Vec<_> = (0..20).map(|i| (10.0 * i as f64, 10.0, i % 2)).collect();
            let b: Vec<_> =
                (0..20).map(|i| (10.0 * i as f64, 10.0, if number < 5 { i % 2 } else { i / 2 % 2 })).collect();
            (number.to_string(), vec![(layer(&a), layer(&b))], Grid::steady(25.0, 200.0))
        };
        let videos: Vec<Video> = (0..10).map(video).collect();
        let (each, pooled) = compare_videos(&videos, &AgreementOptions::default()).unwrap();
        assert_eq!((each.len(), each[0].frames.kappa, pooled.frames.frames), (10, Some(1.0), 50_000));
        let width = |[low, high]: [f64; 2]| high - low;
        let pairs: Vec<Counts> = videos
            .iter()
            .map(|(_, pairs, grid)| count(&pairs[0].0, &pairs[0].1, grid, &AgreementOptions::default()))
            .collect();
        let together = Counts::together("all".into(), &pairs);
        let blocks = sum_up(&together, resampled(&together, &AgreementOptions::default()));
        let widths = [&pooled, &blocks].map(|measures| width(measures.frames.kappa_interval.unwrap()));
        assert!(widths[0] > 1.5 * widths[1], "{widths:?}");
        assert_eq!(pooled.frames.kappa, blocks.frames.kappa);
    }
}

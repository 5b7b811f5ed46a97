//! Hands before faces: palms are looked for about a face, the hands that they belong to are laid over its points, and what these
//! cover is counted ([`Cover`]).
//!
//! That costs several times what a frame may, so that it isn't done in every frame: a look is due [`EVERY_S`] after the last one, if
//! something has changed about the face, and [`AT_LEAST_S`] after it in any case. Between two looks, what was seen goes on. When a
//! look is due hangs on the frames' times and pictures alone, and what is remembered ends with the span.
//!
//! Sources: Zhang et al. 2020, "MediaPipe Hands"; how a palm's square becomes a hand's is MediaPipe's.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::cover::{Cover, HandPoints, palm_length};
use super::square::{Square, rectangle};
use crate::nn::face_mesh::{Geometry, MESH_POINTS};
use crate::nn::hands::{HAND_SIDE, HandLandmarks, HandsError, Palm, PalmDetector};
use crate::picture::{BoundingBox, Planes};
use crate::pipeline::frame::Frame;
use crate::pipeline::networks::read_once;

/// Side of the picture in which palms are looked for, pixels. Of 192, its authors' side, 128 cost 0.44 and 96 a quarter.
const PALM_PICTURE: usize = 128;
/// The same before large faces. Before faces of 32 pixels it misses two hands of three, which 128 pixels find.
const PALM_PICTURE_OF_LARGE: usize = 96;
/// Larger side of the box of a large face, pixels.
const LARGE: f32 = 60.0;
/// Side of the area about a face in which palms are looked for, in sides of its box. A smaller one misses hands that touch the chin
/// with their tips, as their palms lie below it.
const AREA: f32 = 3.5;
/// Time between two looks, seconds.
const EVERY_S: f64 = 0.12;
/// Time after which something may have changed unseen, seconds.
const AT_LEAST_S: f64 = 1.0;
/// Sums of frame times miss round settings by a few rounding errors.
const ROUNDING_S: f64 = 1e-6;

/// Score from which a palm is followed up.
const PALM_SCORE: f32 = 0.3;
/// Most hands that are followed up: the surest.
const MOST_HANDS: usize = 2;
/// How sure the two networks have to be of a hand, as the root of their probabilities' product, while the face is bare; and less, once
/// a hand covers it. On frames with hands before faces, anything from 0.5 to 0.7 and 0.4 to 0.6 does within 0.02 of F1 as well.
const BEGINS: f32 = 0.6;
const GOES_ON: f32 = 0.4;
/// Length of the palm over the larger side of the points about the face: a half for most people, less for a hand that is seen at a slant.
const SIZES: std::ops::RangeInclusive<f32> = 0.33..=1.1;

/// A hand's square in sides of its palm's box, and how far from the box's middle it lies, towards the fingers, in heights of the box.
const HAND_OVER_PALM: f32 = 2.6;
const TOWARDS_FINGERS: f32 = 0.5;
/// How far from its square's middle a hand reaches, in sides of the square.
const REACH: f32 = 0.45;

/// Both networks, each read when it is needed first.
#[derive(Debug)]
pub(crate) struct HandNetworks {
    palms: OnceLock<PalmDetector>,
    palms_of_large: OnceLock<PalmDetector>,
    landmarks: OnceLock<HandLandmarks>,
}

impl HandNetworks {
    /// Those that come with the program, not yet read.
    pub(crate) const fn new() -> Self {
        Self { palms: OnceLock::new(), palms_of_large: OnceLock::new(), landmarks: OnceLock::new() }
    }

    /// The network that looks for palms about a face of this size.
    fn palms(&self, face: &BoundingBox) -> Result<&PalmDetector, HandsError> {
        match face.w.max(face.h) < LARGE {
            true => read_once(&self.palms, || PalmDetector::built_in(PALM_PICTURE)),
            false => read_once(&self.palms_of_large, || PalmDetector::built_in(PALM_PICTURE_OF_LARGE)),
        }
    }

    /// The network that finds a hand's points.
    fn landmarks(&self) -> Result<&HandLandmarks, HandsError> {
        read_once(&self.landmarks, HandLandmarks::built_in)
    }
}

/// Follows what hands cover of a span's faces.
pub(super) struct Hands<'a> {
    networks: &'a HandNetworks,
    /// Share of the face, or of a region of it, from which it counts as covered.
    covered_above: f32,
    seen: BTreeMap<u32, LastLook>,
}

/// What was seen of a face at the last look.
#[derive(Debug, Clone)]
struct LastLook {
    time_s: f64,
    patch: LumaGrid,
    cover: Cover,
}

impl<'a> Hands<'a> {
    pub(super) fn new(networks: &'a HandNetworks, covered_above: f32) -> Self {
        Self { networks, covered_above, seen: BTreeMap::new() }
    }

    /// Forgets everybody: another span begins.
    pub(super) fn begin(&mut self) {
        self.seen.clear();
    }

    /// Forgets a face that was not seen.
    pub(super) fn forget(&mut self, track: u32) {
        self.seen.remove(&track);
    }

    /// What hands cover of the face of `track`, whose box and points, in pixels of the picture, are given.
    ///
    /// # Errors
    /// If a network cannot be read, which tests exclude.
    pub(super) fn look(
        &mut self,
        frame: &Frame,
        track: u32,
        face: &BoundingBox,
        points: &[[f32; 3]],
        geometry: &Geometry,
    ) -> Result<Cover, HandsError> {
        let picture = frame.picture.as_ref();
        let last = self.seen.get(&track);
        let since_s = last.map_or(f64::INFINITY, |last| frame.time_s - last.time_s);
        if let Some(last) = last.filter(|_| since_s < EVERY_S - ROUNDING_S) {
            return Ok(last.cover);
        }
        let patch = LumaGrid::about(face, picture);
        if let Some(last) = last.filter(|last| since_s < AT_LEAST_S && !patch.differs_from(&last.patch)) {
            return Ok(last.cover);
        }
        let is_covered = last.is_some_and(|last| last.cover.regions.most() >= self.covered_above);
        let hands = self.find(picture, face, points, if is_covered { GOES_ON } else { BEGINS })?;
        let cover = Cover::of(points, &hands, geometry);
        self.seen.insert(track, LastLook { time_s: frame.time_s, patch, cover });
        Ok(cover)
    }

    /// The hands that may cover the face and that the networks are at least so sure of.
    fn find(
        &self,
        picture: &dyn Planes,
        face: &BoundingBox,
        points: &[[f32; 3]],
        least: f32,
    ) -> Result<Vec<HandPoints>, HandsError> {
        let (x, y) = face.centre();
        let area = Square { x, y, side: AREA * face.w.max(face.h), turn: 0.0 };
        let detector = self.networks.palms(face)?;
        let mut content = area.content(picture, detector.side());
        area.blacken_outside(picture, detector.side(), &mut content);
        let palms = detector.run(&content, PALM_SCORE);
        let head = rectangle(&points[..MESH_POINTS.min(points.len())]);
        let squares = palms.iter().map(|palm| (palm.score, hand_square(palm, &area, detector.side())));
        let mut hands = Vec::new();
        for (score, square) in squares.filter(|(_, square)| may_touch(square, &head)).take(MOST_HANDS) {
            let hand = self.networks.landmarks()?.run(&square.content(picture, HAND_SIDE));
            let points = hand.points.map(|[u, v]| square.place([u, v], HAND_SIDE));
            let size = palm_length(&points) / head.w.max(head.h);
            if (score * hand.presence).sqrt() >= least && SIZES.contains(&size) {
                hands.push(points);
            }
        }
        Ok(hands)
    }
}

/// The square about the hand that a palm belongs to, its fingers up: the palm was found in `area` as a picture of `side` pixels.
fn hand_square(palm: &Palm, area: &Square, side: usize) -> Square {
    let scale = area.side / side as f32;
    let [wrist, _, middle, ..] = palm.points;
    let turn = (middle[0] - wrist[0]).atan2(wrist[1] - middle[1]);
    let (x, y) = palm.area.centre();
    let [x, y] = area.place([x, y], side);
    let up = TOWARDS_FINGERS * scale * palm.area.h;
    let side = HAND_OVER_PALM * scale * palm.area.w.max(palm.area.h);
    Square { x: x + up * turn.sin(), y: y - up * turn.cos(), side, turn }
}

/// Whether a hand in the square reaches the face.
fn may_touch(hand: &Square, face: &BoundingBox) -> bool {
    let beyond = |at: f32, low: f32, length: f32| (low - at).max(at - low - length).max(0.0);
    beyond(hand.x, face.x, face.w).hypot(beyond(hand.y, face.y, face.h)) < REACH * hand.side
}

/// Luma on a coarse grid about a face, which moves with it.
#[derive(Debug, Clone)]
struct LumaGrid(Vec<f32>);

impl LumaGrid {
    /// Cells along a side, and samples along a cell's.
    const CELLS: usize = 12;
    const SAMPLES: usize = 4;
    /// Side of the grid, in sides of the face's box: a hand that is to cover the face has to come in.
    const SIDE: f32 = 1.6;
    /// Cells that have changed most, whose mean change counts.
    const MOST_CHANGED: usize = 11;
    /// Mean change of these that is one, in standard deviations of the grid; of grids without contrast the deviation is taken to be
    /// as large as the noise of a dark picture, grey levels.
    const CHANGE: f32 = 0.4;
    const LEAST_DEVIATION: f32 = 6.0;

    fn about(face: &BoundingBox, picture: &dyn Planes) -> Self {
        let (x, y) = face.centre();
        let square = Square { x, y, side: Self::SIDE * face.w.max(face.h), turn: 0.0 };
        let side = Self::CELLS * Self::SAMPLES;
        let luma = square.luma(picture, side);
        let mean = |cell: usize| {
            let first = cell / Self::CELLS * Self::SAMPLES * side + cell % Self::CELLS * Self::SAMPLES;
            let rows = (0..Self::SAMPLES).map(|row| luma[first + row * side..][..Self::SAMPLES].iter().sum::<f32>());
            rows.sum::<f32>() / (Self::SAMPLES * Self::SAMPLES) as f32
        };
        Self((0..Self::CELLS * Self::CELLS).map(mean).collect())
    }

    fn differs_from(&self, other: &Self) -> bool {
        let mut changes: Vec<f32> = self.0.iter().zip(&other.0).map(|(a, b)| (a - b).abs()).collect();
        changes.sort_by(|a, b| b.total_cmp(a));
        let change = changes[..Self::MOST_CHANGED].iter().sum::<f32>() / Self::MOST_CHANGED as f32;
        let count = self.0.len() as f32;
        let mean = self.0.iter().sum::<f32>() / count;
        let deviation = (self.0.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt();
        change > Self::CHANGE * deviation.max(Self::LEAST_DEVIATION)
    }
}

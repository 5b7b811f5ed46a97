//! From a square picture to the palms in it: a trunk of residual blocks, whose last maps go back up to two finer ones; each pixel
//! of these says for a few anchors whether a palm is there, and where. Nothing in it depends on the picture's side, so that smaller
//! pictures than its authors' of 192 pixels cost less.

use std::collections::BTreeMap;

use super::HandsError;
use super::landmarks::outputs;
use crate::infer::{ConvolutionLayer, Layer, Plan, Reach, Shape};
use crate::kernels::Activation;
use crate::kernels::activation::sigmoid;
use crate::nn::face_mesh::blaze_block;
use crate::nn::weights::Weights;
use crate::picture::BoundingBox;

/// Side of the picture that the network was made for, pixels.
pub const PALM_SIDE: usize = 192;
/// Points of a palm: the wrist, the roots of index, middle, ring and little finger, and two of the thumb.
pub const PALM_POINTS: usize = 7;
/// Colours of the picture: red, green, blue, each from 0 to 1.
const COLOURS: usize = 3;
/// Side of all filters but the 1x1 ones.
const KERNEL: usize = 5;
/// Channels after the first convolution.
const STEM: usize = 32;
/// What an anchor is told: the middle and the size of a box, then the points.
const NUMBERS: usize = 4 + 2 * PALM_POINTS;

/// A row of residual blocks, and the convolution before it, if any.
#[derive(Debug, Clone, Copy)]
pub struct PalmPart {
    /// What the names of its tensors begin with.
    pub name: &'static str,
    /// Channels that go into the blocks.
    pub from: usize,
    /// Channels that come out of each block, and its stride.
    pub blocks: &'static [(usize, usize)],
}

/// The rows of blocks: three that halve the picture further and further, then what goes on from two of their maps joined with a
/// coarser one.
pub const PALM_PARTS: [PalmPart; 5] = [
    PalmPart {
        name: "fine",
        from: STEM,
        blocks: &[
            (32, 1),
            (32, 1),
            (32, 1),
            (64, 2),
            (64, 1),
            (64, 1),
            (64, 1),
            (128, 2),
            (128, 1),
            (128, 1),
            (128, 1),
        ],
    },
    PalmPart { name: "coarse", from: 128, blocks: &[(256, 2), (256, 1), (256, 1), (256, 1)] },
    PalmPart { name: "coarsest", from: 256, blocks: &[(256, 2), (256, 1), (256, 1), (256, 1)] },
    PalmPart { name: "joined_coarse", from: 256, blocks: &[(256, 1), (256, 1)] },
    PalmPart { name: "joined_fine", from: 128, blocks: &[(128, 1), (128, 1)] },
];

/// The maps that tell of palms, the finer first: the part that they come from, pixels of the picture to a pixel of theirs, and
/// anchors to a pixel.
pub const ANCHORS: [(&str, usize, usize); 2] = [("joined_fine", 8, 2), ("joined_coarse", 16, 6)];

/// Names and shapes of all tensors: dense convolutions `[kernel, kernel, in, out]`, depthwise ones `[kernel, kernel, channels]`,
/// 1x1 ones `[in, out]`; biases and slopes, one a channel.
pub fn palm_tensors() -> BTreeMap<String, Vec<usize>> {
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        tensors.insert(format!("{name}.weight"), shape.to_vec());
        tensors.insert(format!("{name}.bias"), shape[shape.len() - 1..].to_vec());
    };
    add("stem".into(), &[KERNEL, KERNEL, COLOURS, STEM]);
    add("joined_coarse.before".into(), &[256, 256]);
    add("joined_fine.before".into(), &[256, 128]);
    for PalmPart { name, from, blocks } in PALM_PARTS {
        let mut from = from;
        for (index, (to, _)) in blocks.iter().enumerate() {
            add(format!("{name}.blocks.{index}.depthwise"), &[KERNEL, KERNEL, from]);
            add(format!("{name}.blocks.{index}.pointwise"), &[from, *to]);
            from = *to;
        }
        if let Some((_, _, anchors)) = ANCHORS.iter().find(|(part, ..)| *part == name) {
            add(format!("{name}.scores"), &[from, *anchors]);
            add(format!("{name}.boxes"), &[from, NUMBERS * anchors]);
        }
    }
    let mut slopes = |name: String, channels: usize| tensors.insert(format!("{name}.slopes"), vec![channels]);
    slopes("stem".into(), STEM);
    slopes("joined_coarse.before".into(), 256);
    slopes("joined_fine.before".into(), 128);
    for PalmPart { name, blocks, .. } in PALM_PARTS {
        for (index, (to, _)) in blocks.iter().enumerate() {
            slopes(format!("{name}.blocks.{index}"), *to);
        }
    }
    tensors
}

/// A palm in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Palm {
    /// Probability that it is one.
    pub score: f32,
    /// The box about it, pixels of the picture.
    pub area: BoundingBox,
    /// Its points, `[across, down]`, pixels of the picture.
    pub points: [[f32; 2]; PALM_POINTS],
}

/// The network, ready to run on pictures of one side.
#[derive(Debug)]
pub struct PalmDetector {
    side: usize,
    /// The picture to the map of 8 pixels to one, on to 16, and on to 32.
    fine: Plan,
    coarse: Plan,
    coarsest: Plan,
    /// What is done to a map that was enlarged, before it is added to the finer one; and what follows.
    before_coarse: Plan,
    joined_coarse: Plan,
    before_fine: Plan,
    joined_fine: Plan,
}

impl PalmDetector {
    /// Reads the weights that come with the program, for pictures of `side` pixels.
    ///
    /// # Errors
    /// If the side is not a multiple of 32, or the weights cannot be read, which a test excludes.
    pub fn built_in(side: usize) -> Result<Self, HandsError> {
        Self::new(include_bytes!("../../../assets/models/hands/palms/model.safetensors"), side)
    }

    /// Reads the contents of a weights file, for pictures of `side` pixels.
    ///
    /// # Errors
    /// If it is not one, or a tensor is missing, unknown, of the wrong shape or type, or not finite; or if the side is not a
    /// multiple of 32.
    pub fn new(weights: &[u8], side: usize) -> Result<Self, HandsError> {
        if side == 0 || !side.is_multiple_of(32) {
            return Err(HandsError::Side(side));
        }
        let weights = &Weights::read(weights, palm_tensors())?;
        let plan = |layers: &[Layer], scale: usize, channels: usize| {
            Plan::compile(layers, Shape { height: side / scale, width: side / scale, channels })
        };
        let mut fine = convolution(weights, "stem", Reach::Dense { kernel: KERNEL, stride: 2 });
        fine.extend(blocks(weights, "fine"));
        let joined = |part: &str| {
            let mut layers = blocks(weights, part);
            layers.push(Layer::Tap);
            let [scores, boxes] = ["scores", "boxes"].map(|of| format!("{part}.{of}"));
            layers.push(Layer::Linear(outputs(weights, [&scores, &boxes])));
            layers
        };
        let before = |part: &str| convolution(weights, &format!("{part}.before"), Reach::Pointwise);
        Ok(Self {
            side,
            fine: plan(&fine, 1, COLOURS)?,
            coarse: plan(&blocks(weights, "coarse"), 8, 128)?,
            coarsest: plan(&blocks(weights, "coarsest"), 16, 256)?,
            before_coarse: plan(&before("joined_coarse"), 16, 256)?,
            joined_coarse: plan(&joined("joined_coarse"), 16, 256)?,
            before_fine: plan(&before("joined_fine"), 8, 256)?,
            joined_fine: plan(&joined("joined_fine"), 8, 128)?,
        })
    }

    /// Side of the pictures.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The palms in one picture, `[side, side, 3]`, values from 0 to 1, that have at least the score `least`; the surest first.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn run(&self, picture: &[f32], least: f32) -> Vec<Palm> {
        let [fine, coarse] = self.maps(picture);
        let mut palms = Vec::new();
        for (map, (_, scale, anchors)) in [&fine, &coarse].into_iter().zip(ANCHORS) {
            palms.extend(decoded(map, self.side / scale, scale, anchors, least));
        }
        merged(palms)
    }

    /// What the two maps of [`ANCHORS`] tell, `[rows, columns, anchors and their numbers]`.
    pub(super) fn maps(&self, picture: &[f32]) -> [Vec<f32>; 2] {
        let run = |plan: &Plan, x: &[f32]| {
            let mut out = vec![0.0; plan.output().len()];
            plan.run(x, &mut out);
            out
        };
        let joined = |plan: &Plan, before: &Plan, finer: &[f32], coarser: &[f32]| {
            let shape = before.input();
            let mut x = run(before, &enlarged(coarser, shape.width / 2, shape.channels));
            x.iter_mut().zip(finer).for_each(|(x, finer)| *x += finer);
            let (mut out, mut map) = (vec![0.0; plan.output().len()], vec![0.0; x.len()]);
            plan.run_with_tap(&x, &mut out, &mut map);
            (out, map)
        };
        let fine = run(&self.fine, picture);
        let coarse = run(&self.coarse, &fine);
        let coarsest = run(&self.coarsest, &coarse);
        let (told_coarse, map) = joined(&self.joined_coarse, &self.before_coarse, &coarse, &coarsest);
        let (told_fine, _) = joined(&self.joined_fine, &self.before_fine, &fine, &map);
        [told_fine, told_coarse]
    }
}

fn convolution(weights: &Weights, name: &str, reach: Reach) -> Vec<Layer> {
    let values = |of: &str| weights.values(&format!("{name}.{of}"));
    let activation = Activation::Identity;
    let convolution = ConvolutionLayer { reach, weights: values("weight"), bias: values("bias"), activation };
    vec![Layer::Convolution(convolution), Layer::Prelu(values("slopes"))]
}

fn blocks(weights: &Weights, part: &str) -> Vec<Layer> {
    let part = PALM_PARTS.iter().find(|own| own.name == part);
    let blocks = part.map_or(&[][..], |part| part.blocks).iter().enumerate();
    let name = |index| format!("{}.blocks.{index}", part.map_or("", |part| part.name));
    blocks.map(|(index, (_, stride))| blaze_block(weights, &name(index), *stride)).collect()
}

/// A map of `side` x `side` pixels, twice as large, between the middles of its pixels; its edge goes on.
fn enlarged(map: &[f32], side: usize, channels: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(4 * map.len());
    // The nearer and the farther of two pixels, which count three quarters and one quarter.
    let pair = |place: usize| {
        let near = place / 2;
        let far = if place.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(side - 1) };
        [near, far]
    };
    for row in (0..2 * side).map(pair) {
        for column in (0..2 * side).map(pair) {
            let [a, b, c, d] = [(0, 0), (0, 1), (1, 0), (1, 1)]
                .map(|(y, x)| &map[(row[y] * side + column[x]) * channels..][..channels]);
            out.extend((0..channels).map(|i| 0.75 * (0.75 * a[i] + 0.25 * b[i]) + 0.25 * (0.75 * c[i] + 0.25 * d[i])));
        }
    }
    out
}

/// The palms that a map tells of, `[side, side, anchors and their numbers]`. All anchors of a pixel lie in its middle.
fn decoded(map: &[f32], side: usize, scale: usize, anchors: usize, least: f32) -> Vec<Palm> {
    let row = anchors * (1 + NUMBERS);
    let mut palms = Vec::new();
    for (pixel, told) in map.chunks_exact(row).enumerate() {
        let [x, y] = [pixel % side, pixel / side].map(|place| (place as f32 + 0.5) * scale as f32);
        let (scores, boxes) = told.split_at(anchors);
        for (score, numbers) in scores.iter().zip(boxes.chunks_exact(NUMBERS)) {
            let score = sigmoid(*score);
            if score.is_nan() || score < least || numbers.iter().any(|number| !number.is_finite()) {
                continue;
            }
            let [w, h] = [numbers[2], numbers[3]].map(|side| side.max(0.0));
            let area = BoundingBox { x: x + numbers[0] - w / 2.0, y: y + numbers[1] - h / 2.0, w, h };
            let mut points = [[0.0; 2]; PALM_POINTS];
            for (point, [across, down]) in points.iter_mut().zip(numbers[4..].as_chunks::<2>().0) {
                *point = [x + across, y + down];
            }
            palms.push(Palm { score, area, points });
        }
    }
    palms
}

/// Two boxes that share more of their union are of the same palm.
const SAME_PALM: f32 = 0.3;

/// One palm of those that overlap: their mean, weighted by their scores, with the largest score (MediaPipe's weighted suppression).
fn merged(mut palms: Vec<Palm>) -> Vec<Palm> {
    palms.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut merged = Vec::new();
    while let Some(best) = palms.first().cloned() {
        let (same, others): (Vec<Palm>, Vec<Palm>) =
            palms.into_iter().partition(|palm| *palm == best || best.area.iou(&palm.area) > SAME_PALM);
        palms = others;
        let sum: f32 = same.iter().map(|palm| palm.score).sum();
        let mean = |of: &dyn Fn(&Palm) -> f32| same.iter().map(|palm| palm.score * of(palm)).sum::<f32>() / sum;
        let area = BoundingBox {
            x: mean(&|palm| palm.area.x),
            y: mean(&|palm| palm.area.y),
            w: mean(&|palm| palm.area.w),
            h: mean(&|palm| palm.area.h),
        };
        let mut points = [[0.0; 2]; PALM_POINTS];
        for (place, point) in points.iter_mut().enumerate() {
            *point = [0, 1].map(|axis| mean(&|palm| palm.points[place][axis]));
        }
        merged.push(Palm { score: best.score, area, points });
    }
    merged
}

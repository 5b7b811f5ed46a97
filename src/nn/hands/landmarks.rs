//! From a square picture of a hand to its 21 points: inverted residual blocks (Sandler et al. 2018) with 3x3 and 5x5 filters.

use std::collections::BTreeMap;

use super::HandsError;
use crate::infer::{ConvolutionLayer, Layer, Linear, Plan, Reach, Shape};
use crate::kernels::Activation;
use crate::kernels::activation::sigmoid;
use crate::nn::weights::Weights;

/// Side of the picture, pixels.
pub const HAND_SIDE: usize = 224;
/// Points of a hand: the wrist, then four of each finger from its root to its tip, the thumb first.
pub const HAND_POINTS: usize = 21;
/// Colours of the picture: red, green, blue, each from 0 to 1.
const COLOURS: usize = 3;
/// Channels after the first convolution, and after the pair that follows.
const STEM: usize = 24;
const AFTER_STEM: usize = 16;

/// An inverted residual block: a 1x1 convolution, a depthwise one, and a 1x1 convolution without an activation.
#[derive(Debug, Clone, Copy)]
pub struct HandBlock {
    /// Channels between.
    pub expanded: usize,
    /// Side of the depthwise filters.
    pub kernel: usize,
    /// 1, or 2 to halve the picture.
    pub stride: usize,
    /// Channels that come out; the last block gives out what lies between.
    pub to: Option<usize>,
    /// Whether what went in is added, or its maxima where the picture is halved.
    pub is_residual: bool,
}

/// All blocks.
pub const HAND_BLOCKS: [HandBlock; 15] = [
    block(64, 3, 2, AFTER_STEM, true),
    block(96, 3, 1, 16, true),
    block(96, 5, 2, 24, false),
    block(144, 5, 1, 24, true),
    block(144, 3, 2, 48, false),
    block(288, 3, 1, 48, true),
    block(288, 3, 1, 48, true),
    block(288, 5, 1, 64, false),
    block(384, 5, 1, 64, true),
    block(384, 5, 1, 64, true),
    block(384, 5, 2, 112, false),
    block(672, 5, 1, 112, true),
    block(672, 5, 1, 112, true),
    block(672, 5, 1, 112, true),
    HandBlock { expanded: 672, kernel: 3, stride: 1, to: None, is_residual: false },
];

const fn block(expanded: usize, kernel: usize, stride: usize, to: usize, is_residual: bool) -> HandBlock {
    HandBlock { expanded, kernel, stride, to: Some(to), is_residual }
}

/// Names and shapes of all tensors that are kept: dense convolutions `[kernel, kernel, in, out]`, depthwise ones
/// `[kernel, kernel, channels]`, 1x1 ones and outputs `[in, out]`; biases, one a channel. The points in metres and which hand it is
/// are left out.
pub fn hand_tensors() -> BTreeMap<String, Vec<usize>> {
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        tensors.insert(format!("{name}.weight"), shape.to_vec());
        tensors.insert(format!("{name}.bias"), shape[shape.len() - 1..].to_vec());
    };
    add("stem".into(), &[3, 3, COLOURS, STEM]);
    add("stem.depthwise".into(), &[3, 3, STEM]);
    add("stem.project".into(), &[STEM, AFTER_STEM]);
    let mut from = AFTER_STEM;
    for (index, HandBlock { expanded, kernel, to, .. }) in HAND_BLOCKS.into_iter().enumerate() {
        add(format!("blocks.{index}.expand"), &[from, expanded]);
        add(format!("blocks.{index}.depthwise"), &[kernel, kernel, expanded]);
        if let Some(to) = to {
            add(format!("blocks.{index}.project"), &[expanded, to]);
        }
        from = to.unwrap_or(expanded);
    }
    add("points".into(), &[from, 3 * HAND_POINTS]);
    add("presence".into(), &[from, 1]);
    tensors
}

/// What the network says of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Hand {
    /// Across and down, pixels of the picture; a point may lie beside it.
    pub points: [[f32; 2]; HAND_POINTS],
    /// Probability that a hand is there.
    pub presence: f32,
}

/// The network, ready to run.
#[derive(Debug)]
pub struct HandLandmarks(Plan);

impl HandLandmarks {
    /// Reads the weights that come with the program.
    ///
    /// # Errors
    /// If they cannot be read, which a test excludes.
    pub fn built_in() -> Result<Self, HandsError> {
        Self::new(include_bytes!("../../../assets/models/hands/landmarks/model.safetensors"))
    }

    /// Reads the contents of a weights file.
    ///
    /// # Errors
    /// If it is not one, or a tensor is missing, unknown, of the wrong shape or type, or not finite.
    pub fn new(weights: &[u8]) -> Result<Self, HandsError> {
        let weights = Weights::read(weights, hand_tensors())?;
        let convolution = |name: &str, reach, activation| {
            let [weights, bias] = ["weight", "bias"].map(|of| weights.values(&format!("{name}.{of}")));
            Layer::Convolution(ConvolutionLayer { reach, weights, bias, activation })
        };
        let mut layers = vec![
            convolution("stem", Reach::Dense { kernel: 3, stride: 2 }, Activation::Relu6),
            convolution("stem.depthwise", Reach::Depthwise { kernel: 3, stride: 1 }, Activation::Relu6),
            convolution("stem.project", Reach::Pointwise, Activation::Identity),
        ];
        for (index, HandBlock { kernel, stride, to, is_residual, .. }) in HAND_BLOCKS.into_iter().enumerate() {
            let name = |part: &str| format!("blocks.{index}.{part}");
            let mut block = vec![
                convolution(&name("expand"), Reach::Pointwise, Activation::Relu6),
                convolution(&name("depthwise"), Reach::Depthwise { kernel, stride }, Activation::Relu6),
            ];
            if to.is_some() {
                block.push(convolution(&name("project"), Reach::Pointwise, Activation::Identity));
            }
            match (is_residual, stride) {
                (true, 1) => layers.push(Layer::Residual(block)),
                (true, _) => layers.push(Layer::HalvedResidual(block)),
                (false, _) => layers.extend(block),
            }
        }
        layers.push(Layer::Mean);
        layers.push(Layer::Linear(outputs(&weights, ["points", "presence"])));
        let shape = Shape { height: HAND_SIDE, width: HAND_SIDE, channels: COLOURS };
        Ok(Self(Plan::compile(&layers, shape)?))
    }

    /// The hand in one picture, `[HAND_SIDE, HAND_SIDE, 3]`, values from 0 to 1.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn run(&self, picture: &[f32]) -> Hand {
        let mut result = vec![0.0; self.0.output().len()];
        self.0.run(picture, &mut result);
        let (points, presence) = result.split_at(3 * HAND_POINTS);
        let mut hand = Hand { points: [[0.0; 2]; HAND_POINTS], presence: sigmoid(presence[0]) };
        for (point, [x, y, _]) in hand.points.iter_mut().zip(points.as_chunks::<3>().0) {
            *point = [*x, *y];
        }
        hand
    }
}

/// Outputs of the same numbers, as one layer.
pub(super) fn outputs<const N: usize>(weights: &Weights, names: [&str; N]) -> Linear {
    let values = |of: &str| names.map(|name| weights.values(&format!("{name}.{of}")));
    let (all, biases) = (values("weight"), values("bias"));
    let inputs = all[0].len() / biases[0].len().max(1);
    let row = |input: usize| {
        let of = |(all, bias): (&Vec<f32>, &Vec<f32>)| all[input * bias.len()..][..bias.len()].to_vec();
        all.iter().zip(&biases).flat_map(of).collect::<Vec<_>>()
    };
    Linear { weights: (0..inputs).flat_map(row).collect(), bias: biases.concat(), activation: Activation::Identity }
}

//! The refinement network. It looks at the square around an expected face and estimates whether a face is there, how
//! far off the expected box is, how the head is turned in the picture, and how much of the face is covered.

use candle_core::{Device, Result, Tensor};

use crate::infer::{Layer, Plan, PlanError, Shape};
use crate::kernels::Activation;
use crate::nn::layers::{BatchNormConstants, ConvolutionNorm, ConvolutionRow, Dense, Phase};
use crate::nn::ops;
use crate::nn::parameters::{Scope, SetError};
use crate::nn::{Parameters, Purpose};

/// Side of the network's square input, samples.
pub const SIDE: usize = 40;
/// Side of the square that the network looks at, as a multiple of the expected box's side.
pub const CONTEXT: f32 = 1.6;
/// Number of outputs: face, across, down, size, roll, covered.
pub const OUTPUTS: usize = 6;
/// Turn of the head for which the roll output is 1, degrees.
pub const ROLL_UNIT_DEGREES: f32 = 45.0;

/// Channels and stride of the blocks after the first convolution, which has [`STEM`] channels and stride 2.
const BLOCKS: [(usize, usize); 6] = [(32, 1), (48, 2), (64, 1), (96, 2), (128, 1), (192, 1)];
const STEM: usize = 16;
/// Side of the last blocks' maps.
const LAST: usize = 5;
/// Units of the layer between the last maps' weighted means and the outputs.
const UNITS: usize = 96;

const NORM: BatchNormConstants = BatchNormConstants { eps: 1e-3, momentum: 0.01 };

/// Contrast below which a patch counts as flat, so that its values are not amplified further (standard deviation, 0 to
/// 255).
const LEAST_CONTRAST: f32 = 4.0;

/// The network, for training and for running.
///
/// A MobileNetV1 whose last maps are weighted by position instead of averaged, with one filter for each channel as
/// large as the map (as in MobileFaceNet, Chen et al. 2018): the box correction depends on positions.
pub struct RefinerNetwork {
    /// All convolutions, the one over places last.
    trunk: ConvolutionRow,
    units: Dense,
    outputs: Dense,
}

impl RefinerNetwork {
    /// Builds the network under `scope`.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn new(scope: &Scope) -> Result<Self> {
        let activation = Activation::Relu6;
        let stem = ConvolutionNorm::dense(&scope.enter("stem"), [1, STEM], [3, 2], NORM, activation)?;
        let mut convolutions = vec![stem];
        let mut channels = STEM;
        for (index, (to, stride)) in BLOCKS.into_iter().enumerate() {
            let scope = scope.enter("blocks").enter(index);
            convolutions.extend([
                ConvolutionNorm::depthwise(&scope.enter("depthwise"), channels, [3, stride], NORM, activation)?,
                ConvolutionNorm::pointwise(&scope.enter("pointwise"), [channels, to], NORM, activation)?,
            ]);
            channels = to;
        }
        let (places, whole) = (scope.enter("places"), [LAST, LAST]);
        convolutions.push(ConvolutionNorm::depthwise(&places, channels, whole, NORM, Activation::Identity)?);
        Ok(Self {
            trunk: ConvolutionRow::new(scope, convolutions),
            units: Dense::new(&scope.enter("units"), [channels, UNITS])?,
            outputs: Dense::new(&scope.enter("outputs"), [UNITS, OUTPUTS])?,
        })
    }

    /// Computes `[patches, OUTPUTS]` from patches as [`normalised`], `[patches, SIDE, SIDE, 1]`. The outputs are the
    /// logit of 'a face is here'; the distance of its box's centre from the patch's, across and down, in sides of the
    /// expected box; the natural logarithm of its side over the expected one; its clockwise turn in
    /// [`ROLL_UNIT_DEGREES`]; and the logit of the covered share.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit.
    pub fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let x = ops::global_mean(&self.trunk.forward(x, phase)?)?;
        self.outputs.forward(&self.units.forward(&x)?.relu()?)
    }
}

impl RefinerNetwork {
    /// The network compiled for single patches.
    ///
    /// # Errors
    /// If the device fails; the layers fit each other.
    pub fn plan(&self) -> std::result::Result<Plan, RefinerError> {
        let mut layers = self.trunk.planned()?;
        layers.push(Layer::Mean);
        layers.push(Layer::Linear(self.units.planned(Activation::Relu)?));
        layers.push(Layer::Linear(self.outputs.planned(Activation::Identity)?));
        Ok(Plan::compile(&layers, Shape { height: SIDE, width: SIDE, channels: 1 })?)
    }
}

/// A patch of luma as the network's input: mean 0, standard deviation 1, unless it is flat.
pub fn normalised(mut patch: Vec<f32>) -> Vec<f32> {
    let count = patch.len() as f32;
    let mean = patch.iter().sum::<f32>() / count;
    let variance = patch.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count;
    let scale = 1.0 / variance.sqrt().max(LEAST_CONTRAST);
    patch.iter_mut().for_each(|v| *v = (*v - mean) * scale);
    patch
}

/// The network's result for one patch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Probability that a face is here, 0 to 1.
    pub face: f32,
    /// From the patch's centre to the face's, along the patch's own axes, in sides of the expected box.
    pub shift: (f32, f32),
    /// Ratio of the face box's side to the expected one.
    pub scale: f32,
    /// Clockwise turn of the head against the patch, degrees.
    pub roll_degrees: f32,
    /// Share of the face that something covers, 0 to 1.
    pub covered: f32,
}

impl Judgement {
    /// Converts a row of [`RefinerNetwork::forward`].
    pub fn from_outputs(row: &[f32; OUTPUTS]) -> Self {
        let share = |logit: f32| 1.0 / (1.0 + (-logit).exp());
        Self {
            face: share(row[0]),
            shift: (row[1], row[2]),
            scale: row[3].clamp(-1.0, 1.0).exp(),
            roll_degrees: ROLL_UNIT_DEGREES * row[4],
            covered: share(row[5]),
        }
    }
}

/// The trained network, ready to run.
pub struct FaceRefiner(Plan);

/// Why weights cannot be those of a refinement network.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum RefinerError {
    #[error("not a safetensors file: {0}")]
    NotSafetensors(String),
    #[error(transparent)]
    Weights(#[from] SetError),
    #[error(transparent)]
    Device(#[from] candle_core::Error),
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl FaceRefiner {
    /// Reads the weights that come with the program.
    ///
    /// # Errors
    ///
    /// If they cannot be read; a test excludes this.
    pub fn built_in() -> std::result::Result<Self, RefinerError> {
        Self::from_bytes(include_bytes!("../../../assets/models/refiner/model.safetensors"))
    }

    /// Reads the contents of a weights file.
    ///
    /// # Errors
    /// If it is not one, or a tensor is missing, unknown, of the wrong shape or type, or not finite.
    pub fn from_bytes(weights: &[u8]) -> std::result::Result<Self, RefinerError> {
        let tensors = crate::model::read_tensors(weights).map_err(|e| RefinerError::NotSafetensors(e.to_string()))?;
        let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
        let network = RefinerNetwork::new(&parameters.root())?;
        parameters.set(&tensors)?;
        Ok(Self(network.plan()?))
    }

    /// Judges one patch of luma, [`SIDE`] x [`SIDE`] values from 0 to 255.
    ///
    /// # Panics
    /// If there are not as many values.
    pub fn judge(&self, patch: Vec<f32>) -> Judgement {
        let mut row = [0.0; OUTPUTS];
        self.0.run(&normalised(patch), &mut row);
        Judgement::from_outputs(&row)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    #[test]
    fn the_plan_gives_what_the_network_gives() {
        let parameters = Parameters::new(Purpose::Training { seed: 7 }, &Device::Cpu);
        let network = RefinerNetwork::new(&parameters.root()).unwrap();
        let patch: Vec<f32> = (0..SIDE * SIDE).map(|i| (i * i % 251) as f32).collect();
        let x = Tensor::from_vec(normalised(patch.clone()), (1, SIDE, SIDE, 1), &Device::Cpu).unwrap();
        let theirs = network.forward(&x, Phase::Inference).unwrap().to_dtype(DType::F32).unwrap();
        let theirs: Vec<f32> = theirs.flatten_all().unwrap().to_vec1().unwrap();
        let mut ours = [0.0; OUTPUTS];
        network.plan().unwrap().run(&normalised(patch), &mut ours);
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn a_flat_patch_is_not_blown_up_and_shows_no_face() {
        assert!(normalised(vec![100.0; SIDE * SIDE]).iter().all(|v| *v == 0.0));
        let judged = FaceRefiner::built_in().unwrap().judge(vec![100.0; SIDE * SIDE]);
        assert!(judged.face < 0.1, "{judged:?}");
    }
}

//! EfficientNet (Tan & Le 2019) as timm's `tf_efficientnet_*`: inverted residuals with squeeze-and-excitation, and its Lite
//! variants without.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::layers::{BatchNormConstants, ConvolutionNorm, ConvolutionRow, Dense, Phase, SqueezeExcite, dropout};
use super::ops;
use super::parameters::Scope;
use crate::infer::Layer;
use crate::kernels::Activation;

/// The shape of an EfficientNet. [`EfficientNetConfig::b0`] and [`b2`](EfficientNetConfig::b2) are the published ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetConfig {
    /// Channels after the first convolution.
    pub stem_channels: usize,
    /// Stride of the first convolution.
    pub stem_stride: usize,
    /// The stages in order.
    pub stages: Vec<BlockStage>,
    /// Channels after the last 1x1 convolution.
    pub head_channels: usize,
    /// EfficientNet-Lite: no squeeze-and-excitation, and ReLU6 in place of SiLU (Liu 2020, TensorFlow's
    /// `efficientnet/lite`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lite: bool,
    /// Share of features dropped in training before the classifier.
    #[serde(default)]
    pub dropout: f32,
}

/// `repeats` blocks of one shape; the first one has the stride and changes the number of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockStage {
    /// Side of the depthwise filter.
    pub kernel: usize,
    /// Stride of the first block.
    pub stride: usize,
    /// Widening before the depthwise convolution; 1 for none.
    pub expand: usize,
    /// Channels of the result.
    pub channels: usize,
    /// Number of blocks.
    pub repeats: usize,
}

/// TensorFlow's eps; momentum as timm trains.
pub(super) const NORM: BatchNormConstants = BatchNormConstants { eps: 1e-3, momentum: 0.1 };

/// EfficientNet-B0's stages before scaling: kernel, stride, expand, channels, repeats (Tan & Le 2019, table 1).
const B0_STAGES: [[usize; 5]; 7] = [
    [3, 1, 1, 16, 1],
    [3, 2, 6, 24, 2],
    [5, 2, 6, 40, 2],
    [3, 2, 6, 80, 3],
    [5, 1, 6, 112, 3],
    [5, 2, 6, 192, 4],
    [3, 1, 6, 320, 1],
];

impl EfficientNetConfig {
    /// EfficientNet-B0, made for 224 pixels: 4,016,515 trainable parameters with three colours and seven classes.
    pub fn b0() -> Self {
        Self::scaled(1.0, 1.0)
    }

    /// EfficientNet-B2, made for 260 pixels.
    pub fn b2() -> Self {
        Self::scaled(1.1, 1.2)
    }

    /// EfficientNet-Lite0, made for 224 pixels.
    pub fn lite0() -> Self {
        Self { lite: true, ..Self::b0() }
    }

    /// B0 with channels and repeats multiplied.
    pub fn scaled(width: f64, depth: f64) -> Self {
        let stages = B0_STAGES
            .into_iter()
            .map(|[kernel, stride, expand, channels, repeats]| {
                let repeats = (repeats as f64 * depth).ceil() as usize;
                BlockStage { kernel, stride, expand, channels: round_channels(channels, width), repeats }
            })
            .collect();
        Self {
            stem_channels: round_channels(32, width),
            stem_stride: 2,
            stages,
            head_channels: round_channels(1280, width),
            lite: false,
            dropout: 0.0,
        }
    }

    /// What follows its normalisations.
    fn activation(&self) -> Activation {
        if self.lite { Activation::Relu6 } else { Activation::Silu }
    }
}

/// `channels * width` to a multiple of 8, at least 8, never more than 10 % down (Tan & Le's published code).
fn round_channels(channels: usize, width: f64) -> usize {
    let wanted = channels as f64 * width;
    let rounded = (((wanted + 4.0) / 8.0).floor() as usize * 8).max(8);
    if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
}

struct InvertedResidual {
    /// The expansion, where there is one, and the depthwise convolution.
    widen: ConvolutionRow,
    /// None in a Lite network.
    squeeze_excite: Option<SqueezeExcite>,
    project: ConvolutionRow,
    has_shortcut: bool,
}

impl InvertedResidual {
    fn new(scope: &Scope, config: &EfficientNetConfig, stage: &BlockStage, [from, stride]: [usize; 2]) -> Result<Self> {
        let (wide, activation) = (from * stage.expand, config.activation());
        let expand = match stage.expand {
            1 => None,
            _ => Some(ConvolutionNorm::pointwise(&scope.enter("expand"), [from, wide], NORM, activation)?),
        };
        let kernel = [stage.kernel, stride];
        let depthwise = ConvolutionNorm::depthwise(&scope.enter("depthwise"), wide, kernel, NORM, activation)?;
        let narrow = [wide, stage.channels];
        let project = ConvolutionNorm::pointwise(&scope.enter("project"), narrow, NORM, Activation::Identity)?;
        // The width of the squeeze is a quarter of the block's *input*.
        let squeeze_excite = match config.lite {
            true => None,
            false => Some(SqueezeExcite::new(&scope.enter("squeeze_excite"), wide, (from / 4).max(1))?),
        };
        Ok(Self {
            widen: ConvolutionRow::new(scope, expand.into_iter().chain([depthwise]).collect()),
            squeeze_excite,
            project: ConvolutionRow::new(scope, vec![project]),
            has_shortcut: stride == 1 && from == stage.channels,
        })
    }

    fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let y = self.widen.forward(x, phase)?;
        let y = match &self.squeeze_excite {
            Some(squeeze_excite) => squeeze_excite.forward(&y)?,
            None => y,
        };
        let y = self.project.forward(&y, phase)?;
        if self.has_shortcut { y + x } else { Ok(y) }
    }

    fn planned(&self) -> Result<Vec<Layer>> {
        let mut layers = self.widen.planned()?;
        if let Some(squeeze_excite) = &self.squeeze_excite {
            layers.push(squeeze_excite.planned()?);
        }
        layers.extend(self.project.planned()?);
        Ok(if self.has_shortcut { vec![Layer::Residual(layers)] } else { layers })
    }
}

/// The network.
pub struct EfficientNet {
    stem: ConvolutionRow,
    blocks: Vec<InvertedResidual>,
    head: ConvolutionRow,
    dropout: f32,
    classifier: Dense,
}

impl EfficientNet {
    /// For pictures of `colours` channels.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn new(scope: &Scope, config: &EfficientNetConfig, colours: usize, classes: usize) -> Result<Self> {
        let stem_size = [colours, config.stem_channels];
        let stem_kernel = [3, config.stem_stride];
        let stem = ConvolutionNorm::dense(&scope.enter("stem"), stem_size, stem_kernel, NORM, config.activation())?;
        let mut channels = config.stem_channels;
        let mut blocks = Vec::new();
        for (index, stage) in config.stages.iter().enumerate() {
            for repeat in 0..stage.repeats {
                let scope = scope.enter("stages").enter(index).enter(repeat);
                let stride = if repeat == 0 { stage.stride } else { 1 };
                blocks.push(InvertedResidual::new(&scope, config, stage, [channels, stride])?);
                channels = stage.channels;
            }
        }
        let head_size = [channels, config.head_channels];
        let head = ConvolutionNorm::pointwise(&scope.enter("head"), head_size, NORM, config.activation())?;
        let classifier = Dense::new(&scope.enter("classifier"), [config.head_channels, classes])?;
        let [stem, head] = [stem, head].map(|convolution| ConvolutionRow::new(scope, vec![convolution]));
        Ok(Self { stem, blocks, head, dropout: config.dropout, classifier })
    }

    /// Pictures `[images, side, side, colours]` to what the last layer sees of them, `[images, features]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn features(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let mut x = self.stem.forward(x, phase)?;
        for block in &self.blocks {
            x = block.forward(&x, phase)?;
        }
        let x = ops::global_mean(&self.head.forward(&x, phase)?)?;
        dropout(&x, self.dropout, phase)
    }

    /// The last layer: features to logits `[images, classes]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn classify(&self, features: &Tensor) -> Result<Tensor> {
        self.classifier.forward(features)
    }

    /// The same for a plan, up to the mean over the last map: for networks with other heads.
    ///
    /// # Errors
    /// If the device fails.
    pub fn planned_trunk(&self) -> Result<Vec<Layer>> {
        let mut layers = self.stem.planned()?;
        for block in &self.blocks {
            layers.extend(block.planned()?);
        }
        layers.extend(self.head.planned()?);
        layers.push(Layer::Mean);
        Ok(layers)
    }

    /// The same for a plan.
    ///
    /// # Errors
    /// If the device fails.
    pub fn planned(&self) -> Result<Vec<Layer>> {
        let mut layers = self.planned_trunk()?;
        layers.push(Layer::Linear(self.classifier.planned(Activation::Identity)?));
        Ok(layers)
    }
}

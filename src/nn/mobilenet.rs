//! MobileNetV1 (Howard et al. 2017): depthwise-separable blocks, no shortcuts.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::layers::{BatchNormConstants, ConvolutionNorm, ConvolutionRow, Dense, Phase, dropout};
use super::ops;
use super::parameters::Scope;
use crate::infer::Layer;
use crate::kernels::Activation;

/// The shape of a MobileNetV1. [`MobileNetConfig::seed`] is the one of SLTAT 2022.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobileNetConfig {
    /// Channels after the first convolution.
    pub stem_channels: usize,
    /// Stride of the first convolution.
    pub stem_stride: usize,
    /// The blocks in order.
    pub blocks: Vec<Block>,
    /// Units of the hidden layer before the classifier; none if 0.
    #[serde(default)]
    pub feature_units: usize,
    /// Share of features dropped in training before the classifier.
    #[serde(default)]
    pub dropout: f32,
}

/// One depthwise-separable block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Channels of the result.
    pub channels: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
}

/// Keras's constants: eps 1e-3, momentum 0.99 in its own sense.
pub(super) const NORM: BatchNormConstants = BatchNormConstants { eps: 1e-3, momentum: 0.01 };

impl MobileNetConfig {
    /// The network of SLTAT 2022 (alpha 1, 224 pixels, head 1024-256-7): 3,493,063 parameters with three colours.
    pub fn seed() -> Self {
        let channels = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024];
        let blocks = channels
            .into_iter()
            .enumerate()
            .map(|(index, channels)| Block { channels, stride: if [1, 3, 5, 11].contains(&index) { 2 } else { 1 } })
            .collect();
        Self { stem_channels: 32, stem_stride: 2, blocks, feature_units: 256, dropout: 0.5 }
    }
}

/// The network.
pub struct MobileNet {
    /// The first convolution and the blocks.
    trunk: ConvolutionRow,
    features: Option<Dense>,
    dropout: f32,
    classifier: Dense,
}

impl MobileNet {
    /// For pictures of `colours` channels.
    ///
    /// # Errors
    /// If a tensor's name is taken.
    pub fn new(scope: &Scope, config: &MobileNetConfig, colours: usize, classes: usize) -> Result<Self> {
        let activation = Activation::Relu6;
        let stem_size = [colours, config.stem_channels];
        let stem = ConvolutionNorm::dense(&scope.enter("stem"), stem_size, [3, config.stem_stride], NORM, activation)?;
        let mut convolutions = vec![stem];
        let mut channels = config.stem_channels;
        for (index, block) in config.blocks.iter().enumerate() {
            let scope = scope.enter("blocks").enter(index);
            let kernel = [3, block.stride];
            convolutions.extend([
                ConvolutionNorm::depthwise(&scope.enter("depthwise"), channels, kernel, NORM, activation)?,
                ConvolutionNorm::pointwise(&scope.enter("pointwise"), [channels, block.channels], NORM, activation)?,
            ]);
            channels = block.channels;
        }
        let features = match config.feature_units {
            0 => None,
            units => {
                let dense = Dense::new(&scope.enter("features"), [channels, units])?;
                channels = units;
                Some(dense)
            }
        };
        let classifier = Dense::new(&scope.enter("classifier"), [channels, classes])?;
        Ok(Self { trunk: ConvolutionRow::new(scope, convolutions), features, dropout: config.dropout, classifier })
    }

    /// Pictures `[images, side, side, colours]` to what the last layer sees of them, `[images, features]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn features(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        let mut x = dropout(&ops::global_mean(&self.trunk.forward(x, phase)?)?, self.dropout, phase)?;
        if let Some(features) = &self.features {
            x = features.forward(&x)?.relu()?;
        }
        Ok(x)
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
        let mut layers = self.trunk.planned()?;
        layers.push(Layer::Mean);
        Ok(layers)
    }

    /// The same for a plan.
    ///
    /// # Errors
    /// If the device fails.
    pub fn planned(&self) -> Result<Vec<Layer>> {
        let mut layers = self.planned_trunk()?;
        if let Some(features) = &self.features {
            layers.push(Layer::Linear(features.planned(Activation::Relu)?));
        }
        layers.push(Layer::Linear(self.classifier.planned(Activation::Identity)?));
        Ok(layers)
    }
}

//! Networks as Candle modules: operations with gradients, layers, the families, and the parameters under them.
//!
//! Tensors are stored channels last: dense convolutions `[kernel * kernel * in, out]`, depthwise ones
//! `[kernel, kernel, channels]`, 1x1 convolutions and fully connected layers `[in, out]`.

pub mod efficientnet;
pub mod face_mesh;
pub mod folded;
pub mod hands;
pub mod layers;
pub mod mobilenet;
pub mod ops;
pub mod parameters;
pub mod weights;

use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

pub use layers::Phase;
pub use parameters::{Parameters, Purpose, WeightsError};

use crate::infer::{Instructions, Layer, Plan, Shape};
use crate::picture::Colours;
use crate::timeline::Expression;
use efficientnet::EfficientNetConfig;
use mobilenet::MobileNetConfig;

/// A network and its width and depth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Architecture {
    /// MobileNetV1.
    MobilenetV1(MobileNetConfig),
    /// EfficientNet.
    Efficientnet(EfficientNetConfig),
}

/// A network of one of the known families.
pub enum Network {
    /// MobileNetV1.
    MobileNet(mobilenet::MobileNet),
    /// EfficientNet.
    EfficientNet(efficientnet::EfficientNet),
}

impl Network {
    /// Builds the network on `parameters`, which get one variable for each of its tensors.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(parameters: &Parameters, architecture: &Architecture, colours: Colours) -> CandleResult<Self> {
        let (scope, colours) = (parameters.root(), colours.count());
        Ok(match architecture {
            Architecture::MobilenetV1(config) => {
                Self::MobileNet(mobilenet::MobileNet::new(&scope, config, colours, Expression::COUNT)?)
            }
            Architecture::Efficientnet(config) => {
                Self::EfficientNet(efficientnet::EfficientNet::new(&scope, config, colours, Expression::COUNT)?)
            }
        })
    }

    /// Normalised pictures `[images, side, side, colours]` to logits `[images, 7]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, x: &Tensor, phase: Phase) -> CandleResult<Tensor> {
        self.classify(&self.features(x, phase)?)
    }

    /// Normalised pictures to what the last layer sees of them, `[images, features]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn features(&self, x: &Tensor, phase: Phase) -> CandleResult<Tensor> {
        match self {
            Self::MobileNet(network) => network.features(x, phase),
            Self::EfficientNet(network) => network.features(x, phase),
        }
    }

    /// The last layer: features to logits `[images, 7]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn classify(&self, features: &Tensor) -> CandleResult<Tensor> {
        match self {
            Self::MobileNet(network) => network.classify(features),
            Self::EfficientNet(network) => network.classify(features),
        }
    }

    /// Share of a batch's statistics in the running statistics of batch normalisation after a pass in training.
    pub fn momentum(&self) -> f64 {
        match self {
            Self::MobileNet(_) => mobilenet::NORM.momentum,
            Self::EfficientNet(_) => efficientnet::NORM.momentum,
        }
    }

    /// The layers in order, normalisation folded into the weights.
    ///
    /// # Errors
    /// If the device fails.
    pub fn layers(&self) -> CandleResult<Vec<Layer>> {
        match self {
            Self::MobileNet(network) => network.planned(),
            Self::EfficientNet(network) => network.planned(),
        }
    }

    /// The network as inference on the CPU runs it, for pictures of `side` x `side` pixels.
    ///
    /// # Errors
    /// If the device fails.
    pub fn plan(&self, side: usize, colours: Colours, instructions: Instructions) -> CandleResult<Plan> {
        let layers = self.layers()?;
        let shape = Shape { height: side, width: side, channels: colours.count() };
        Plan::compile_for(&layers, shape, instructions).map_err(candle_core::Error::wrap)
    }
}

//! A network as inference on a card runs it: the layers that the CPU's plan is compiled from, normalisation folded into the weights, in
//! as few launches as they need, and batches of a size that comes again as one recorded launch.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor, bail};

use super::ops;
use crate::infer::{ConvolutionLayer, Layer, Linear, Reach};
use crate::kernels::Activation;
use crate::kernels::cuda::Recording;

/// Channels are filled up with zeros to a multiple of this: a card's tensor cores take half-precision numbers by eights (NVIDIA, "cuBLAS
/// Library", tensor core usage), and the kernels read four at once.
const CHANNELS: usize = 8;

/// Batch sizes of which a recording is kept; each holds the memory of its activations.
const MOST_RECORDINGS: usize = 32;

/// A network with its weights on a device. Works on the CPU as well, to be tested there.
pub struct Folded {
    layers: Vec<FoldedLayer>,
    /// What is multiplied; sums are f32.
    dtype: DType,
    device: Device,
    outputs: usize,
    /// Whether batches of a size that comes again are recorded.
    records: bool,
    recordings: Mutex<HashMap<usize, Recorded>>,
}

/// What is known of batches of one size.
enum Recorded {
    /// One was seen.
    Once,
    /// The device cannot record, or a recording gave other numbers.
    Never,
    /// Input `[images, height, width, colours]`, and logits with fillers.
    Ready { recording: Recording, input: Tensor, output: Tensor },
}

enum FoldedLayer {
    /// A matrix product: of pixels, of windows where there is one, or of features.
    Product { window: Option<[usize; 2]>, product: Product },
    /// Filters `[kernel, kernel, channels]`, bias `[channels]`.
    Depthwise { weights: Tensor, bias: Tensor, stride: usize, activation: Activation },
    /// Of the means, through hidden units.
    SqueezeExcite { reduce: Product, expand: Product },
    /// What goes in is added to what comes out.
    Residual(Vec<FoldedLayer>),
    /// Over height and width.
    Mean,
}

/// Weights `[in, out]` of the network's type and bias `[out]` of f32.
struct Product {
    weights: Tensor,
    bias: Tensor,
    activation: Activation,
}

fn filled(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// `rows` with each one filled up to `to` columns, and rows of zeros up to `height`.
fn padded(rows: &[f32], columns: usize, to: usize, height: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(to * height);
    for row in rows.chunks_exact(columns) {
        values.extend_from_slice(row);
        values.resize(values.len() + to - columns, 0.0);
    }
    values.resize(to * height, 0.0);
    values
}

/// Puts layers on a device, in order.
struct Folding<'a> {
    device: &'a Device,
    dtype: DType,
    /// What flows at this point, without fillers.
    channels: usize,
}

impl Folding<'_> {
    fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(self.device)
    }

    fn bias(&self, bias: &[f32]) -> Result<Tensor> {
        let to = filled(bias.len());
        Tensor::from_vec(padded(bias, bias.len(), to, 1), to, self.device)
    }

    /// `rows` inputs, of which as many are left empty as the layer before has fillers.
    fn product(&mut self, weights: &[f32], bias: &[f32], activation: Activation, rows: usize) -> Result<Product> {
        let (columns, to) = (bias.len(), filled(bias.len()));
        let weights = self.tensor(padded(weights, columns, to, rows), &[rows, to])?;
        self.channels = columns;
        Ok(Product { weights, bias: self.bias(bias)?, activation })
    }

    fn linear(&mut self, Linear { weights, bias, activation }: &Linear) -> Result<Product> {
        self.product(weights, bias, *activation, filled(self.channels))
    }

    fn convolution(&mut self, layer: &ConvolutionLayer, is_first: bool) -> Result<FoldedLayer> {
        let ConvolutionLayer { reach, weights, bias, activation } = layer;
        Ok(match *reach {
            Reach::Pointwise => {
                let rows = filled(self.channels);
                FoldedLayer::Product { window: None, product: self.product(weights, bias, *activation, rows)? }
            }
            // The picture's colours have no fillers.
            Reach::Dense { kernel, stride } if is_first => {
                let product = self.product(weights, bias, *activation, kernel * kernel * self.channels)?;
                FoldedLayer::Product { window: Some([kernel, stride]), product }
            }
            Reach::Dense { .. } => bail!("a dense convolution can only be the first layer"),
            Reach::Depthwise { kernel, stride } => {
                let (columns, to) = (bias.len(), filled(bias.len()));
                let weights = padded(weights, columns, to, kernel * kernel);
                let weights = self.tensor(weights, &[kernel, kernel, to])?;
                FoldedLayer::Depthwise { weights, bias: self.bias(bias)?, stride, activation: *activation }
            }
        })
    }

    fn layers(&mut self, layers: &[Layer], is_first: bool) -> Result<Vec<FoldedLayer>> {
        let mut folded = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            folded.push(match layer {
                Layer::Convolution(convolution) => self.convolution(convolution, is_first && index == 0)?,
                Layer::SqueezeExcite { reduce, expand } => {
                    FoldedLayer::SqueezeExcite { reduce: self.linear(reduce)?, expand: self.linear(expand)? }
                }
                Layer::Residual(inner) => FoldedLayer::Residual(self.layers(inner, false)?),
                Layer::Mean => FoldedLayer::Mean,
                Layer::Linear(linear) => FoldedLayer::Product { window: None, product: self.linear(linear)? },
                Layer::HalvedResidual(_) | Layer::Whole(_) | Layer::Prelu(_) | Layer::BlazeBlock(_) | Layer::Tap => {
                    bail!("a layer of a network that is no classifier cannot run on a card")
                }
            });
        }
        Ok(folded)
    }
}

impl Product {
    /// Over the last dimension of `x`, plus `shortcut`.
    fn forward(&self, x: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
        ops::finish(&self.multiplied(x)?, &self.bias, self.activation, shortcut)
    }

    fn multiplied(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, to) = (x.elem_count() / self.weights.dim(0)?, self.weights.dim(1)?);
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = to;
        }
        x.reshape((rows, self.weights.dim(0)?))?.matmul(&self.weights)?.reshape(shape)
    }
}

impl FoldedLayer {
    /// With what is added to the layer's result, which products do by themselves.
    fn forward(&self, x: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
        let y = match self {
            Self::Product { window: None, product } => return product.forward(x, shortcut),
            Self::Product { window: Some([kernel, stride]), product } => {
                product.forward(&ops::patches(x, *kernel, *stride)?, None)?
            }
            Self::Depthwise { weights, bias, stride, activation } => {
                ops::depthwise_bias(x, weights, *stride, bias, *activation)?
            }
            Self::SqueezeExcite { reduce, expand } => {
                let hidden = reduce.forward(&ops::global_mean(x)?, None)?;
                ops::gate(x, &expand.multiplied(&hidden)?, &expand.bias)?
            }
            Self::Residual(inner) => run(inner, x, Some(x))?,
            Self::Mean => ops::global_mean(x)?,
        };
        match shortcut {
            Some(shortcut) => y + shortcut,
            None => Ok(y),
        }
    }
}

/// One layer after the other; `shortcut` is added to the last one's result.
fn run(layers: &[FoldedLayer], x: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
    let last = layers.len().saturating_sub(1);
    let mut steps = layers.iter().enumerate();
    steps.try_fold(x.clone(), |x, (index, layer)| layer.forward(&x, shortcut.filter(|_| index == last)))
}

impl Folded {
    /// `layers` for pictures of `colours` channels on `device`, multiplied in `dtype`.
    ///
    /// # Errors
    /// If a layer is none of a classifier's, or the device fails.
    pub fn new(layers: &[Layer], colours: usize, dtype: DType, device: &Device) -> Result<Self> {
        let mut folding = Folding { device, dtype, channels: colours };
        let layers = folding.layers(layers, true)?;
        let outputs = folding.channels;
        Ok(Self { layers, dtype, device: device.clone(), outputs, records: false, recordings: Mutex::default() })
    }

    /// Has batches of a size that comes again recorded, where the device is a card. Only for a program in which nobody else uses the card
    /// while this network does ([`Recording::of`]).
    pub fn record(&mut self) {
        self.records = self.device.is_cuda();
    }

    /// What it multiplies.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Normalised pictures `[images, side, side, colours]` of f32 to logits `[images, classes]` of f32.
    ///
    /// # Errors
    /// If the shapes do not fit or the device fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.with_fillers(x)?.narrow(1, 0, self.outputs)
    }

    /// As [`forward`](Self::forward); from a recording where there is one for batches of this size ([`record`](Self::record)). It is used
    /// only if its first repetition gives the very numbers of the launches.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn logits(&self, x: &Tensor) -> Result<Tensor> {
        if !self.records {
            return self.forward(x);
        }
        let images = x.dim(0)?;
        let mut recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        match recordings.get(&images) {
            Some(Recorded::Ready { recording, input, output }) => {
                input.slice_set(&x.contiguous()?, 0, 0)?;
                recording.launch()?;
                output.copy()?.narrow(1, 0, self.outputs)
            }
            Some(Recorded::Once) => {
                let logits = self.with_fillers(x)?;
                let recorded = self.recorded(x, &logits).unwrap_or(Recorded::Never);
                recordings.insert(images, recorded);
                logits.narrow(1, 0, self.outputs)
            }
            Some(Recorded::Never) => self.forward(x),
            None => {
                let is_ready = |recorded: &&Recorded| matches!(recorded, Recorded::Ready { .. });
                if recordings.values().filter(is_ready).count() < MOST_RECORDINGS {
                    recordings.insert(images, Recorded::Once);
                }
                self.forward(x)
            }
        }
    }

    /// Batch sizes that are repeated from a recording.
    pub fn recorded_sizes(&self) -> usize {
        let recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        recordings.values().filter(|recorded| matches!(recorded, Recorded::Ready { .. })).count()
    }

    fn with_fillers(&self, x: &Tensor) -> Result<Tensor> {
        run(&self.layers, &x.to_dtype(self.dtype)?, None)?.to_dtype(DType::F32)
    }

    /// A recording for batches like `x`, tried on it.
    fn recorded(&self, x: &Tensor, expected: &Tensor) -> Result<Recorded> {
        let (input, output) = (x.copy()?, expected.zeros_like()?);
        let recording = Recording::of(&self.device, || output.slice_set(&self.with_fillers(&input)?, 0, 0))?;
        output.slice_set(&expected.zeros_like()?, 0, 0)?;
        recording.launch()?;
        let is_same = output.to_vec2::<f32>()? == expected.to_vec2::<f32>()?;
        Ok(if is_same { Recorded::Ready { recording, input, output } } else { Recorded::Never })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::Instructions;
    use crate::nn::efficientnet::{BlockStage, EfficientNetConfig};
    use crate::nn::mobilenet::{Block, MobileNetConfig};
    use crate::nn::{Architecture, Network, Parameters, Purpose};
    use crate::picture::Colours;

    /// Widths that are no multiples of 8, with and without squeeze-and-excitation and shortcuts.
    fn architectures() -> Vec<(Architecture, Colours)> {
        let stage =
            |kernel, stride, expand, channels, repeats| BlockStage { kernel, stride, expand, channels, repeats };
        let efficient = |lite| EfficientNetConfig {
            stem_channels: 12,
            stem_stride: 2,
            stages: vec![stage(3, 1, 1, 10, 2), stage(5, 2, 3, 20, 2)],
            head_channels: 36,
            lite,
            dropout: 0.0,
        };
        let mobile = MobileNetConfig {
            stem_channels: 9,
            stem_stride: 1,
            blocks: vec![Block { channels: 18, stride: 2 }, Block { channels: 21, stride: 1 }],
            feature_units: 13,
            dropout: 0.0,
        };
        vec![
            (Architecture::Efficientnet(efficient(false)), Colours::Rgb),
            (Architecture::Efficientnet(efficient(true)), Colours::Luma),
            (Architecture::MobilenetV1(mobile), Colours::Rgb),
        ]
    }

    #[test]
    fn gives_the_logits_of_the_plan() {
        for (architecture, colours) in architectures() {
            let parameters = Parameters::new(Purpose::Training { seed: 5 }, &Device::Cpu);
            let network = Network::new(&parameters, &architecture, colours).unwrap();
            let (images, side) = (3, 15);
            let plan = network.plan(side, colours, Instructions::best()).unwrap();
            let folded = Folded::new(&network.layers().unwrap(), colours.count(), DType::F32, &Device::Cpu).unwrap();
            let size = images * side * side * colours.count();
            let pictures: Vec<f32> = (0..size).map(|v| ((v * 7919 % 256) as f32 - 128.0) / 64.0).collect();
            let mut expected = vec![0.0; images * plan.output().len()];
            plan.run(&pictures, &mut expected);
            let x = Tensor::from_vec(pictures, (images, side, side, colours.count()), &Device::Cpu).unwrap();
            let found = folded.logits(&x).unwrap();
            assert_eq!(found.dims(), [images, 7]);
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 1e-3);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-4 * largest, "{architecture:?}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn refuses_layers_that_no_classifier_has() {
        let layers = [Layer::Prelu(vec![0.1])];
        assert!(Folded::new(&layers, 1, DType::F32, &Device::Cpu).is_err());
    }
}

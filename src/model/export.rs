//! `annotate models export`: a model as an ONNX file that other programs run.
//!
//! The graph takes what [`Model::logits`](super::Model::logits) takes, pictures `[faces, side, side, colours]` with values 0
//! to 255, and holds all that follows: mean and deviation, the part of the face that is looked at, mirror images, the
//! temperature. Only a colour normalisation, which looks at whole histograms, stays outside; the file's metadata says so.
//! Batch normalisation is folded into the weights, as in the plan. Operators are those of set 13, which ONNX Runtime 1.7 and
//! everything later runs.

use prost::Message as _;

use candle_core::Device;

use super::onnx_file::{
    Attribute, Dimension, Extent, FLOAT, Fact, INT, INT64, INTS, Initializer, OnnxGraph, OnnxModel, OnnxNode,
    OnnxValue, OperatorSet, TensorShape, TensorType, ValueType,
};
use super::{Input, ModelConfig, ModelError, registry};
use crate::infer::{ConvolutionLayer, Layer, Linear, Reach};
use crate::kernels::{Activation, Window};
use crate::nn::parameters::SetError;
use crate::nn::{Network, Parameters, Purpose};
use crate::picture::Colours;
use crate::timeline::{Expression, Tool};

/// Set of operators, and the version of the file's form that came with it.
const OPERATORS: i64 = 13;
const IR_VERSION: i64 = 7;

/// Names of the graph's input and outputs.
const FACES: &str = "faces";
const LOGITS: &str = "logits";
const PROBABILITIES: &str = "probabilities";

/// Why a model has no ONNX file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum ExportError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
    #[error("the model has a layer that cannot be exported: {layer}")]
    Layer { layer: &'static str },
}

/// The ONNX file of the model that `--model` names.
///
/// # Errors
/// If there is no such model, or it is not sound.
pub fn onnx(name: &std::path::Path) -> Result<Vec<u8>, ExportError> {
    let (config, tensors) = registry::weights(name)?;
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let network = Network::new(&parameters, &config.architecture, config.input.colours)?;
    parameters.set(&tensors).map_err(|error| match error {
        SetError::Weights(source) => ModelError::Weights { path: name.into(), source }.into(),
        SetError::Device(error) => ExportError::Device(error),
    })?;
    graph(&config, &network.layers()?)
}

fn graph(config: &ModelConfig, layers: &[Layer]) -> Result<Vec<u8>, ExportError> {
    let input = &config.input;
    let mut writer = GraphWriter { side: [input.side; 2], channels: input.colours.count(), ..Default::default() };
    let pictures = writer.normalised(input);
    let features = writer.layers(layers, pictures)?;
    writer.classified(config, features);
    let side = input.side as i64;
    let picture = [side, side, input.colours.count() as i64];
    let classes = [Expression::COUNT as i64];
    let graph = OnnxGraph {
        nodes: writer.nodes,
        name: config.name.clone(),
        initializers: writer.constants,
        inputs: vec![value(FACES, &picture)],
        outputs: vec![value(LOGITS, &classes), value(PROBABILITIES, &classes)],
    };
    let tool = Tool::default();
    let model = OnnxModel {
        ir_version: IR_VERSION,
        producer: tool.name,
        producer_version: tool.version,
        description: description(input),
        graph: Some(graph),
        operators: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
        facts: facts(config),
    };
    Ok(model.encode_to_vec())
}

/// What goes in and what comes out, in words.
fn description(input: &Input) -> String {
    let colours = match input.colours {
        Colours::Luma => "luma",
        Colours::Rgb => "red, green, blue",
    };
    let before = match input.colour_normalisation.is_none() {
        true => String::new(),
        false => " Colours have to be normalised before, as the metadata says.".into(),
    };
    format!(
        "'{FACES}': pictures [faces, {side}, {side}, {count}] of {colours}, values 0 to 255.{before} '{LOGITS}' and calibrated \
         '{PROBABILITIES}': [faces, {classes}].",
        side = input.side,
        count = input.colours.count(),
        classes = Expression::COUNT,
    )
}

fn facts(config: &ModelConfig) -> Vec<Fact> {
    let classes: Vec<&str> = config.classes.iter().map(|class| class.name()).collect();
    let fact = |key: &str, value: String| Fact { key: key.into(), value };
    vec![
        fact("classes", classes.join(",")),
        fact("model", config.name.clone()),
        fact("sha256", config.sha256.clone()),
        fact("input", serde_json::to_string(&config.input).unwrap_or_default()),
        fact("crop", serde_json::to_string(&config.crop).unwrap_or_default()),
        fact("temperature", config.temperature.to_string()),
    ]
}

/// A tensor of floats whose first dimension is the number of faces.
fn value(name: &str, rest: &[i64]) -> OnnxValue {
    let faces = Dimension { extent: Some(Extent::Name("faces".into())) };
    let rest = rest.iter().map(|extent| Dimension { extent: Some(Extent::Number(*extent)) });
    let shape = TensorShape { dimensions: std::iter::once(faces).chain(rest).collect() };
    let tensor = TensorType { element: FLOAT, shape: Some(shape) };
    OnnxValue { name: name.into(), of: Some(ValueType { tensor: Some(tensor) }) }
}

/// A graph while it grows, and the shape of what flows at its end.
#[derive(Default)]
struct GraphWriter {
    nodes: Vec<OnnxNode>,
    constants: Vec<Initializer>,
    /// Height and width.
    side: [usize; 2],
    channels: usize,
}

impl GraphWriter {
    /// From the pictures to what the network looks at: channels first, normalised, with the mirror images behind.
    fn normalised(&mut self, input: &Input) -> String {
        let x = self.node("Transpose", &[FACES], vec![ints("perm", &[0, 3, 1, 2])]);
        let channels = [1, self.channels, 1, 1];
        let scale = input.deviation.iter().map(|deviation| 1.0 / (255.0 * deviation)).collect();
        let shift = input.mean.iter().zip(&input.deviation).map(|(mean, deviation)| -mean / deviation).collect();
        let (scale, shift) = (self.constant(&channels, scale), self.constant(&channels, shift));
        let x = self.node("Mul", &[&x, &scale], vec![]);
        let mut x = self.node("Add", &[&x, &shift], vec![]);
        if !input.region.is_full() {
            let seen = input.region.rows(input.side);
            let rows = (0..input.side).map(|row| if seen.contains(&row) { 1.0 } else { 0.0 }).collect();
            let rows = self.constant(&[1, 1, input.side, 1], rows);
            x = self.node("Mul", &[&x, &rows], vec![]);
        }
        if input.symmetric {
            let [start, end, axis, step] = [-1, i64::MIN, 3, -1].map(|number| self.numbers(&[number]));
            let mirrored = self.node("Slice", &[&x, &start, &end, &axis, &step], vec![]);
            x = self.node("Concat", &[&x, &mirrored], vec![int("axis", 0)]);
        }
        x
    }

    /// From what the last layer gives to the outputs.
    fn classified(&mut self, config: &ModelConfig, mut x: String) {
        if config.input.symmetric {
            let halves = self.numbers(&[2, -1, Expression::COUNT as i64]);
            x = self.node("Reshape", &[&x, &halves], vec![]);
            x = self.node("ReduceMean", &[&x], vec![ints("axes", &[0]), int("keepdims", 0)]);
        }
        let temperature = self.constant(&[1], vec![config.temperature]);
        self.named("Identity", &[&x], vec![], LOGITS);
        let calibrated = self.node("Div", &[&x, &temperature], vec![]);
        self.named("Softmax", &[&calibrated], vec![int("axis", -1)], PROBABILITIES);
    }

    fn layers(&mut self, layers: &[Layer], mut x: String) -> Result<String, ExportError> {
        for layer in layers {
            x = self.layer(layer, x)?;
        }
        Ok(x)
    }

    fn layer(&mut self, layer: &Layer, x: String) -> Result<String, ExportError> {
        Ok(match layer {
            Layer::Convolution(convolution) => self.convolution(convolution, &x),
            Layer::SqueezeExcite { reduce, expand } => {
                let mean = self.node("GlobalAveragePool", &[&x], vec![]);
                let hidden = self.pixelwise(reduce, &mean);
                let hidden = self.activated(hidden, Activation::Silu);
                let gate = self.pixelwise(expand, &hidden);
                let gate = self.node("Sigmoid", &[&gate], vec![]);
                self.node("Mul", &[&x, &gate], vec![])
            }
            Layer::Residual(inner) => {
                let y = self.layers(inner, x.clone())?;
                self.node("Add", &[&y, &x], vec![])
            }
            Layer::Mean => {
                let mean = self.node("GlobalAveragePool", &[&x], vec![]);
                self.side = [1, 1];
                self.node("Flatten", &[&mean], vec![])
            }
            Layer::Linear(linear) if self.side == [1, 1] => {
                let [from, to] = [linear.weights.len() / linear.bias.len(), linear.bias.len()];
                let weights = self.constant(&[from, to], linear.weights.clone());
                let bias = self.constant(&[to], linear.bias.clone());
                let y = self.node("Gemm", &[&x, &weights, &bias], vec![]);
                self.channels = to;
                self.activated(y, linear.activation)
            }
            // The layers of face networks, which classify nothing.
            Layer::Linear(_) => return Err(ExportError::Layer { layer: "fully connected, over a map" }),
            Layer::Whole(_) => return Err(ExportError::Layer { layer: "a convolution as large as the map" }),
            Layer::Prelu(_) => return Err(ExportError::Layer { layer: "PReLU" }),
            Layer::HalvedResidual(_) => return Err(ExportError::Layer { layer: "a residual layer that halves" }),
            Layer::BlazeBlock(_) => return Err(ExportError::Layer { layer: "a block of BlazeFace" }),
            Layer::Tap => return Err(ExportError::Layer { layer: "a second output" }),
        })
    }

    fn convolution(&mut self, convolution: &ConvolutionLayer, x: &str) -> String {
        let (from, to) = (self.channels, convolution.bias.len());
        let (kernel, stride, groups) = match convolution.reach {
            Reach::Dense { kernel, stride } => (kernel, stride, 1),
            Reach::Depthwise { kernel, stride } => (kernel, stride, to),
            Reach::Pointwise => (1, 1, 1),
        };
        let inputs = from / groups;
        // From `[kernel, kernel, in, out]` to `[out, in, kernel, kernel]`.
        let area = kernel * kernel;
        let offset = |out: usize, input: usize, tap: usize| (tap * inputs + input) * to + out;
        let weights = (0..to * inputs * area)
            .map(|at| convolution.weights[offset(at / (inputs * area), at / area % inputs, at % area)])
            .collect();
        let weights = self.constant(&[to, inputs, kernel, kernel], weights);
        let bias = self.constant(&[to], convolution.bias.clone());
        let [height, width] = self.side;
        let window = Window { height, width, kernel, stride };
        let [out_height, out_width] = [window.out_height(), window.out_width()];
        let after =
            |size: usize, out: usize, before: usize| ((out - 1) * stride + kernel).saturating_sub(size) - before;
        let (top, left) = (window.top(), window.left());
        let pads = [top, left, after(height, out_height, top), after(width, out_width, left)].map(|pad| pad as i64);
        let attributes = vec![
            ints("kernel_shape", &[kernel as i64; 2]),
            ints("strides", &[stride as i64; 2]),
            ints("pads", &pads),
            int("group", groups as i64),
        ];
        let y = self.node("Conv", &[x, &weights, &bias], attributes);
        (self.side, self.channels) = ([out_height, out_width], to);
        self.activated(y, convolution.activation)
    }

    /// A fully connected layer of each pixel's channels, without its activation.
    fn pixelwise(&mut self, linear: &Linear, x: &str) -> String {
        let [from, to] = [linear.weights.len() / linear.bias.len(), linear.bias.len()];
        let weights = (0..to * from).map(|at| linear.weights[at % from * to + at / from]).collect();
        let weights = self.constant(&[to, from, 1, 1], weights);
        let bias = self.constant(&[to], linear.bias.clone());
        self.node("Conv", &[x, &weights, &bias], vec![ints("kernel_shape", &[1, 1])])
    }

    fn activated(&mut self, x: String, activation: Activation) -> String {
        match activation {
            Activation::Identity => x,
            Activation::Relu => self.node("Relu", &[&x], vec![]),
            Activation::Relu6 => {
                let [least, most] = [0.0, 6.0].map(|bound| self.constant(&[], vec![bound]));
                self.node("Clip", &[&x, &least, &most], vec![])
            }
            Activation::Silu => {
                let gate = self.node("Sigmoid", &[&x], vec![]);
                self.node("Mul", &[&x, &gate], vec![])
            }
        }
    }

    /// Adds an operator with one output; gives the output's name.
    fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let output = format!("v{}", self.nodes.len());
        self.named(operator, inputs, attributes, &output);
        output
    }

    fn named(&mut self, operator: &str, inputs: &[&str], attributes: Vec<Attribute>, output: &str) {
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        let name = format!("{operator}_{}", self.nodes.len());
        self.nodes.push(OnnxNode { inputs, outputs: vec![output.into()], name, operator: operator.into(), attributes });
    }

    /// Adds a constant; gives its name.
    fn constant(&mut self, dims: &[usize], values: Vec<f32>) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = dims.iter().map(|extent| *extent as i64).collect();
        self.keep(Initializer { dims, data_type: FLOAT, raw, ..Default::default() })
    }

    /// Adds a list of whole numbers; gives its name.
    fn numbers(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.keep(Initializer { dims: vec![values.len() as i64], data_type: INT64, raw, ..Default::default() })
    }

    fn keep(&mut self, constant: Initializer) -> String {
        let name = format!("c{}", self.constants.len());
        self.constants.push(Initializer { name: name.clone(), ..constant });
        name
    }
}

fn int(name: &str, int: i64) -> Attribute {
    Attribute { name: name.into(), int, kind: INT, ..Default::default() }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: ints.to_vec(), kind: INTS, ..Default::default() }
}

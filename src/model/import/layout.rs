//! Which tensor of another's network is which of ours, and from their layout to ours.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use super::keras;
use crate::nn::Architecture;

/// Batch normalisation's eps in both families here.
const EPS: f32 = 1e-3;

/// A layer as a graph shows it, without a name: weights as PyTorch lays them out, `[out, in, height, width]` or `[out, in]`.
pub(crate) struct CheckpointLayer {
    /// The filters.
    pub weight: Tensor,
    /// One number an output channel.
    pub bias: Option<Tensor>,
    /// Batch normalisation after it: scale, shift, mean and variance, and eps.
    pub norm: Option<([Tensor; 4], f32)>,
}

/// What a file holds.
pub(super) enum Checkpoint {
    /// Tensors by PyTorch's names.
    Torch(BTreeMap<String, Tensor>),
    /// Layers by Keras's names.
    Keras(BTreeMap<String, keras::Weights>),
    /// Layers in the order in which they are used.
    Graph(Vec<CheckpointLayer>),
}

/// A layer of ours and what others call it.
struct Slot {
    /// Ours.
    name: String,
    kind: LayerKind,
    /// timm's names of the layer and of its batch normalisation.
    timm: [String; 2],
    /// Keras's names of both; empty where Keras's are not known.
    keras: [String; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LayerKind {
    /// Over all channels, with batch normalisation.
    Convolution,
    /// One filter a channel, with batch normalisation.
    Depthwise,
    /// 1x1 with a bias, or fully connected.
    Dense,
}

/// The tensors of a network of `architecture` by our names and in our layout; the classifier's outputs stay in their order.
///
/// # Errors
/// What is missing or does not fit, to stand behind the file's name.
pub(super) fn convert(checkpoint: Checkpoint, architecture: &Architecture) -> Result<BTreeMap<String, Tensor>, String> {
    let slots = slots(architecture);
    match checkpoint {
        Checkpoint::Torch(tensors) => from_torch(tensors, &slots, architecture),
        Checkpoint::Keras(layers) => from_keras(layers, &slots, architecture),
        Checkpoint::Graph(layers) => from_graph(layers, &slots, architecture),
    }
}

fn slots(architecture: &Architecture) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut add = |name: String, kind, timm: [String; 2], keras: [&str; 2]| {
        slots.push(Slot { name, kind, timm, keras: keras.map(str::to_owned) });
    };
    let names = |layer: &str, norm: &str| [layer.to_owned(), norm.to_owned()];
    match architecture {
        Architecture::MobilenetV1(config) => {
            add("stem".into(), LayerKind::Convolution, names("", ""), ["conv1", "conv1_bn"]);
            for index in 0..config.blocks.len() {
                for (part, kind, theirs) in
                    [("depthwise", LayerKind::Depthwise, "dw"), ("pointwise", LayerKind::Convolution, "pw")]
                {
                    let keras = format!("conv_{theirs}_{}", index + 1);
                    let norm = format!("{keras}_bn");
                    add(format!("blocks.{index}.{part}"), kind, names("", ""), [&keras, &norm]);
                }
            }
            if config.feature_units > 0 {
                add("features".into(), LayerKind::Dense, names("", ""), ["", ""]);
            }
            add("classifier".into(), LayerKind::Dense, names("", ""), ["", ""]);
        }
        Architecture::Efficientnet(config) => {
            add("stem".into(), LayerKind::Convolution, names("conv_stem", "bn1"), ["", ""]);
            for (stage, shape) in config.stages.iter().enumerate() {
                for repeat in 0..shape.repeats {
                    let (ours, theirs) = (format!("stages.{stage}.{repeat}"), format!("blocks.{stage}.{repeat}"));
                    // timm numbers normalisations in their order, and calls the last convolution after whether there is a
                    // first one.
                    let widens = shape.expand > 1;
                    let norm = |number: usize| format!("{theirs}.bn{}", number + usize::from(widens));
                    if widens {
                        let timm = [format!("{theirs}.conv_pw"), format!("{theirs}.bn1")];
                        add(format!("{ours}.expand"), LayerKind::Convolution, timm, ["", ""]);
                    }
                    add(
                        format!("{ours}.depthwise"),
                        LayerKind::Depthwise,
                        [format!("{theirs}.conv_dw"), norm(1)],
                        ["", ""],
                    );
                    let squeeze_excite: &[&str] = if config.lite { &[] } else { &["reduce", "expand"] };
                    for part in squeeze_excite {
                        let timm = names(&format!("{theirs}.se.conv_{part}"), "");
                        add(format!("{ours}.squeeze_excite.{part}"), LayerKind::Dense, timm, ["", ""]);
                    }
                    let last = if widens { "conv_pwl" } else { "conv_pw" };
                    add(
                        format!("{ours}.project"),
                        LayerKind::Convolution,
                        [format!("{theirs}.{last}"), norm(2)],
                        ["", ""],
                    );
                }
            }
            add("head".into(), LayerKind::Convolution, names("conv_head", "bn2"), ["", ""]);
            add("classifier".into(), LayerKind::Dense, names("classifier", ""), ["", ""]);
        }
    }
    slots
}

/// Our tensors, as they are put together.
#[derive(Default)]
struct Ours(BTreeMap<String, Tensor>);

impl Ours {
    fn put(&mut self, name: String, tensor: CandleResult<Tensor>) -> Result<(), String> {
        let tensor = tensor.and_then(|t| t.to_dtype(DType::F32)?.contiguous());
        let tensor = tensor.map_err(|e| format!("tensor '{name}' cannot be laid out: {e}"))?;
        self.0.insert(name, tensor);
        Ok(())
    }

    /// Batch normalisation: scale, shift, mean, variance.
    fn put_norm(&mut self, name: &str, norm: [Tensor; 4]) -> Result<(), String> {
        for (part, tensor) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip(norm) {
            self.put(format!("{name}.norm.{part}"), Ok(tensor))?;
        }
        Ok(())
    }
}

/// `[out, in, height, width]` or `[out, in]` to ours.
fn from_torch_layout(weight: &Tensor, kind: LayerKind) -> CandleResult<Tensor> {
    match (kind, weight.dims()) {
        (LayerKind::Depthwise, &[channels, 1, height, width]) => {
            weight.permute((2, 3, 0, 1))?.reshape((height, width, channels))
        }
        (LayerKind::Convolution | LayerKind::Dense, &[to, from, height, width]) => {
            weight.permute((2, 3, 1, 0))?.reshape((height * width * from, to))
        }
        (LayerKind::Dense, [_, _]) => weight.t(),
        (_, dims) => candle_core::bail!("a filter of shape {dims:?} is not one of such a layer"),
    }
}

/// `[height, width, in, out]`, `[height, width, channels, 1]` or `[in, out]` to ours.
fn from_keras_layout(weight: &Tensor, kind: LayerKind) -> CandleResult<Tensor> {
    match (kind, weight.dims()) {
        (LayerKind::Depthwise, &[height, width, channels, 1]) => weight.reshape((height, width, channels)),
        (LayerKind::Convolution, &[height, width, from, to]) => weight.reshape((height * width * from, to)),
        (LayerKind::Dense, [_, _]) => Ok(weight.clone()),
        (_, dims) => candle_core::bail!("a filter of shape {dims:?} is not one of such a layer"),
    }
}

/// What wraps a network puts its own name before every tensor's: `torch.compile`, `DataParallel`, a class about the network.
const WRAPPERS: [&str; 3] = ["_orig_mod.", "module.", "model."];

/// The tensors without the names of what wraps the network, in whatever order and how often they stand.
fn without_wrappers(mut tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let wrapper = |tensors: &BTreeMap<String, Tensor>| {
        WRAPPERS.into_iter().find(|wrapper| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(wrapper)))
    };
    while let Some(wrapper) = wrapper(&tensors) {
        tensors = tensors.into_iter().map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor)).collect();
    }
    tensors
}

fn from_torch(
    mut tensors: BTreeMap<String, Tensor>,
    slots: &[Slot],
    architecture: &Architecture,
) -> Result<BTreeMap<String, Tensor>, String> {
    if let Architecture::MobilenetV1(_) = architecture {
        return Err(
            "has PyTorch's names, which are known for tf_efficientnet only; MobileNetV1 is read from Keras .h5 and \
                    ONNX files"
                .into(),
        );
    }
    tensors = without_wrappers(tensors);
    // A classifier in a one-element sequence.
    for part in ["weight", "bias"] {
        if let Some(tensor) = tensors.remove(&format!("classifier.0.{part}")) {
            tensors.insert(format!("classifier.{part}"), tensor);
        }
    }
    if !tensors.contains_key("classifier.weight") && tensors.contains_key("conv_head.weight") {
        return Err(
            "has no classifier: it gives features, not expressions. Only checkpoints with 7 or 8 outputs can be \
                    imported"
                .into(),
        );
    }
    let some: Vec<&str> = tensors.keys().take(3).map(String::as_str).collect();
    let known = format!("(the file has {}, ...)", some.join(", "));
    let mut take = |name: String| tensors.remove(&name).ok_or_else(|| format!("has no tensor '{name}' {known}"));
    let mut ours = Ours::default();
    for Slot { name, kind, timm: [layer, norm], .. } in slots {
        ours.put(format!("{name}.weight"), from_torch_layout(&take(format!("{layer}.weight"))?, *kind))?;
        match kind {
            LayerKind::Dense => ours.put(format!("{name}.bias"), Ok(take(format!("{layer}.bias"))?))?,
            _ => {
                let mut part = |part: &str| take(format!("{norm}.{part}"));
                ours.put_norm(name, [part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?])?;
            }
        }
    }
    let unknown = tensors.keys().find(|name| !name.ends_with("num_batches_tracked"));
    unknown.map_or(Ok(ours.0), |name| Err(format!("has a tensor '{name}', which the network does not have")))
}

fn from_keras(
    mut layers: BTreeMap<String, keras::Weights>,
    slots: &[Slot],
    architecture: &Architecture,
) -> Result<BTreeMap<String, Tensor>, String> {
    let Architecture::MobilenetV1(config) = architecture else {
        return Err(
            "is Keras's, which is read for MobileNetV1 only; tf_efficientnet is read from PyTorch state dicts, \
                    safetensors and ONNX files"
                .into(),
        );
    };
    let some: Vec<String> = layers.keys().take(4).cloned().collect();
    let mut ours = Ours::default();
    for Slot { name, kind, keras: [layer, norm], .. } in slots.iter().filter(|slot| slot.kind != LayerKind::Dense) {
        let known = || format!("has no layer '{layer}' with its normalisation (the file has {}, ...)", some.join(", "));
        let mut weights = layers.remove(layer).ok_or_else(known)?;
        let kernel = weights.remove("depthwise_kernel").or_else(|| weights.remove("kernel"));
        let kernel = kernel.ok_or_else(|| format!("layer '{layer}' has no kernel"))?;
        ours.put(format!("{name}.weight"), from_keras_layout(&kernel, *kind))?;
        let mut weights = layers.remove(norm).ok_or_else(known)?;
        let mut part = |part: &str| weights.remove(part).ok_or_else(|| format!("layer '{norm}' has no {part}"));
        ours.put_norm(name, [part("gamma")?, part("beta")?, part("moving_mean")?, part("moving_variance")?])?;
    }
    // Heads are called what their trainer called them; what they take says which is which.
    let mut wanted = config.blocks.last().map_or(config.stem_channels, |block| block.channels);
    for Slot { name, kind, .. } in slots.iter().filter(|slot| slot.kind == LayerKind::Dense) {
        let fits = |weights: &keras::Weights| matches!(weights.get("kernel").map(Tensor::dims), Some([from, _]) if *from == wanted);
        let mut names = layers.iter().filter(|(_, weights)| fits(weights)).map(|(name, _)| name.clone());
        let found =
            names.next().ok_or_else(|| format!("has no fully connected layer of {wanted} inputs ('{name}')"))?;
        if let Some(other) = names.next() {
            return Err(format!("has two fully connected layers of {wanted} inputs, '{found}' and '{other}'"));
        }
        let mut weights = layers.remove(&found).unwrap_or_default();
        let kernel = weights.remove("kernel").ok_or_else(|| format!("layer '{found}' has no kernel"))?;
        wanted = kernel.dims().last().copied().unwrap_or_default();
        ours.put(format!("{name}.weight"), from_keras_layout(&kernel, *kind))?;
        let bias = weights.remove("bias").ok_or_else(|| format!("layer '{found}' has no bias"))?;
        ours.put(format!("{name}.bias"), Ok(bias))?;
    }
    match layers.keys().next() {
        Some(name) => Err(format!("has a layer '{name}', which the network does not have")),
        None => Ok(ours.0),
    }
}

fn from_graph(
    layers: Vec<CheckpointLayer>,
    slots: &[Slot],
    architecture: &Architecture,
) -> Result<BTreeMap<String, Tensor>, String> {
    if layers.len() != slots.len() {
        let family = match architecture {
            Architecture::MobilenetV1(_) => "MobileNetV1",
            Architecture::Efficientnet(_) => "EfficientNet",
        };
        let (found, wanted) = (layers.len(), slots.len());
        return Err(format!("has {found} layers with weights; a {family} of that shape has {wanted}"));
    }
    let mut ours = Ours::default();
    for (Slot { name, kind, .. }, CheckpointLayer { weight, bias, norm }) in slots.iter().zip(layers) {
        ours.put(format!("{name}.weight"), from_torch_layout(&weight, *kind))?;
        let channels = weight.dims()[0];
        let bias = match bias {
            Some(bias) => bias,
            None => Tensor::zeros(channels, DType::F32, &Device::Cpu).map_err(|e| e.to_string())?,
        };
        match (kind, norm) {
            (LayerKind::Dense, None) => ours.put(format!("{name}.bias"), Ok(bias))?,
            (LayerKind::Dense, Some(_)) => return Err(format!("normalises where the network does not ('{name}')")),
            (_, norm) => {
                let norm = effective_norm(&bias, norm).map_err(|e| format!("normalisation of '{name}': {e}"))?;
                ours.put_norm(name, norm)?;
            }
        }
    }
    Ok(ours.0)
}

/// Normalisation that does what a bias, and normalisation with another eps, did. A folded one leaves a bias only.
fn effective_norm(bias: &Tensor, norm: Option<([Tensor; 4], f32)>) -> CandleResult<[Tensor; 4]> {
    let ones = bias.ones_like()?;
    Ok(match norm {
        None => [ones.clone(), bias.clone(), bias.zeros_like()?, ones.affine(f64::from(1.0 - EPS), 0.0)?],
        Some(([scale, shift, mean, variance], eps)) => {
            [scale, shift, (mean - bias)?, variance.affine(1.0, f64::from(eps - EPS))?]
        }
    })
}

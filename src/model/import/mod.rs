//! `annotate models import`: published checkpoints to model directories. Nothing in a checkpoint is executed.

mod face_mesh;
mod hands;
mod keras;
mod layout;
pub(crate) mod onnx;
mod pickle;
mod tflite;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::json;

use super::class_order::{ClassOrder, Meaning};
use super::{CARD_FILE, CONFIG_FILE, Input, ModelConfig, ModelError, WEIGHTS_FILE, read_tensors, write_tensors};
use crate::choice::Choice;
use crate::files;
use crate::files::sha256;
use crate::nn::efficientnet::EfficientNetConfig;
use crate::nn::face_mesh::{Geometry, POINTS, SIDE};
use crate::nn::hands::{HAND_POINTS, HAND_SIDE, PALM_POINTS, PALM_SIDE};
use crate::nn::mobilenet::MobileNetConfig;
use crate::nn::parameters::SetError;
use crate::nn::{Architecture, Network, Parameters, Purpose, WeightsError};
use crate::picture::Colours;
use crate::picture::CropRule;
use crate::timeline::Expression;
use layout::Checkpoint;

/// A checkpoint larger than this belongs to no network of the two families.
const LARGEST: u64 = 512 << 20;

/// A network whose published checkpoints are known: `--arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownNetwork {
    /// The network of SLTAT 2022 in Keras: MobileNetV1, 224 pixels, head 1024-256-7
    MobilenetV1,
    /// timm's tf_efficientnet_b0, 224 pixels
    EfficientnetB0,
    /// timm's tf_efficientnet_b2, 260 pixels
    EfficientnetB2,
    /// timm's tf_efficientnet_lite0, 224 pixels
    EfficientnetLite0,
}

impl Choice for KnownNetwork {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (
            Self::MobilenetV1,
            "mobilenet_v1",
            "The network of SLTAT 2022 in Keras: MobileNetV1, 224 pixels, head 1024-256-7",
        ),
        (Self::EfficientnetB0, "tf_efficientnet_b0", "timm's tf_efficientnet_b0, 224 pixels"),
        (Self::EfficientnetB2, "tf_efficientnet_b2", "timm's tf_efficientnet_b2, 260 pixels"),
        (Self::EfficientnetLite0, "tf_efficientnet_lite0", "timm's tf_efficientnet_lite0, 224 pixels"),
    ];
}

impl KnownNetwork {
    /// The network.
    pub fn architecture(self) -> Architecture {
        match self {
            Self::MobilenetV1 => Architecture::MobilenetV1(MobileNetConfig::seed()),
            Self::EfficientnetB0 => Architecture::Efficientnet(EfficientNetConfig::b0()),
            Self::EfficientnetB2 => Architecture::Efficientnet(EfficientNetConfig::b2()),
            Self::EfficientnetLite0 => Architecture::Efficientnet(EfficientNetConfig::lite0()),
        }
    }

    /// The pictures it was trained on.
    pub fn input(self) -> Input {
        let side = if self == Self::EfficientnetB2 { 260 } else { 224 };
        let (mean, deviation) = match self {
            // Caffe's BGR means, taken off R, G and B in this order, and no scale: what the seed calls "IP".
            Self::MobilenetV1 => (vec![103.939 / 255.0, 116.779 / 255.0, 123.68 / 255.0], vec![1.0 / 255.0; 3]),
            // TensorFlow's Lite networks: 127 and 128.
            Self::EfficientnetLite0 => (vec![127.0 / 255.0; 3], vec![128.0 / 255.0; 3]),
            // ImageNet's.
            _ => (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]),
        };
        Input {
            side,
            colours: Colours::Rgb,
            mean,
            deviation,
            colour_normalisation: Default::default(),
            region: Default::default(),
            symmetric: false,
        }
    }
}

/// What is known about a checkpoint besides its bytes.
#[derive(Debug, Clone)]
pub struct Description {
    /// The new model's name.
    pub name: String,
    /// The network.
    pub architecture: Architecture,
    /// The pictures it was trained on.
    pub input: Input,
    /// How faces were cut out for it.
    pub crop: CropRule,
    /// The order of its outputs; from their number if not known.
    pub classes: Option<ClassOrder>,
    /// The file's SHA-256, where it is published.
    pub sha256: Option<String>,
    /// The licence of the weights, as their publisher states it.
    pub licence: Option<String>,
    /// Where they were published.
    pub origin: Option<String>,
    /// What becomes of an output for contempt.
    pub contempt: Contempt,
}

/// What becomes of an output for contempt, which is not one of the seven classes of a timeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Contempt {
    /// It is left out
    #[default]
    Drop,
    /// It is kept beside the model, in contempt.safetensors
    Keep,
}

impl Choice for Contempt {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Drop, "drop", "It is left out"),
        (Self::Keep, "keep", "It is kept beside the model, in contempt.safetensors"),
    ];
}

/// The file with the output for contempt: `weight` `[features]` and `bias` `[1]`. With it, the eight logits of the checkpoint
/// are there again: features times `weight`, plus `bias`, is the eighth.
pub const CONTEMPT_FILE: &str = "contempt.safetensors";

/// A model directory's contents, not yet written.
pub struct ImportedModel {
    /// `config.json`.
    pub config: ModelConfig,
    /// `model.safetensors`.
    pub weights: Vec<u8>,
    /// `README.md`.
    pub card: String,
    /// [`CONTEMPT_FILE`], where it was to be kept.
    pub contempt: Option<Vec<u8>>,
    /// How many outputs of the checkpoint were left out because they are not among the seven expressions.
    pub left_out: usize,
}

/// Why a checkpoint cannot become a model.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum ModelImportError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: SHA-256 is {found}, not {expected}: it is another file, or was damaged on its way", path.display())]
    Changed { path: PathBuf, expected: String, found: String },
    #[error("{} {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
    #[error("{}: the network that was named does not fit: {source}", path.display())]
    Misfit { path: PathBuf, source: WeightsError },
    #[error("{}: {outputs} outputs, but the order '{order}' has {expected} classes", path.display())]
    Outputs { path: PathBuf, outputs: usize, order: String, expected: usize },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
    #[error(transparent)]
    Unforeseen(#[from] anyhow::Error),
}

/// Reads the checkpoint `path` (safetensors, ONNX, a PyTorch state dict, or Keras's HDF5, told apart by their content) and
/// gives the model directory it becomes: our names and layout, outputs in canonical order.
///
/// # Errors
/// If the file is not what it should be, or not of the network that is described.
pub fn import(path: &Path, description: &Description) -> Result<ImportedModel, ModelImportError> {
    let refused = |reason: String| ModelImportError::Refused { path: path.into(), reason };
    let bytes =
        files::read(path, LARGEST).map_err(|source| ModelImportError::Unreadable { path: path.into(), source })?;
    let source_sha256 = sha256(&bytes);
    if let Some(expected) = &description.sha256
        && !expected.eq_ignore_ascii_case(&source_sha256)
    {
        return Err(ModelImportError::Changed { path: path.into(), expected: expected.clone(), found: source_sha256 });
    }
    let (format, checkpoint) = read(bytes).map_err(refused)?;
    let mut tensors = layout::convert(checkpoint, &description.architecture).map_err(refused)?;
    let (order, left_out, contempt) = reorder(&mut tensors, description.classes, path)?;
    let contempt = contempt.filter(|_| description.contempt == Contempt::Keep);
    let contempt = contempt.map(|tensors| write_tensors(&tensors, false)).transpose()?;
    check(&tensors, description, path)?;
    let weights = write_tensors(&tensors, false)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let config = ModelConfig {
        name: description.name.clone(),
        architecture: description.architecture.clone(),
        input: description.input.clone(),
        crop: description.crop,
        classes: Expression::ALL.into(),
        temperature: 1.0,
        training: json!({
            "imported_from": { "file": file, "format": format, "sha256": source_sha256, "class_order": order },
            "licence": description.licence,
            "origin": description.origin,
        }),
        metrics: serde_json::Value::Null,
        sha256: sha256(&weights),
    };
    if let Some(reason) = config.fault() {
        return Err(refused(format!("cannot become a model: {reason}")));
    }
    let card = card(&config, left_out);
    Ok(ImportedModel { config, weights, card, contempt, left_out })
}

/// The format's name and the content.
fn read(bytes: Vec<u8>) -> Result<(&'static str, Checkpoint), String> {
    const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
    if bytes.starts_with(HDF5) {
        return Ok(("keras_hdf5", Checkpoint::Keras(keras::read(bytes)?)));
    }
    if bytes.starts_with(b"PK") || bytes.first() == Some(&0x80) {
        return Ok(("pytorch_state_dict", Checkpoint::Torch(pickle::read(&bytes)?)));
    }
    // A safetensors file begins with the length of a JSON object.
    if bytes.get(8) == Some(&b'{') {
        let tensors = read_tensors(&bytes).map_err(|e| format!("is not a sound safetensors file: {e}"))?;
        return Ok(("safetensors", Checkpoint::Torch(tensors)));
    }
    match onnx::read(&bytes) {
        Ok(layers) => Ok(("onnx", Checkpoint::Graph(layers))),
        Err(reason) if reason.starts_with("is not") => {
            Err("is neither safetensors, ONNX, a PyTorch state dict nor Keras's HDF5".into())
        }
        Err(reason) => Err(reason),
    }
}

/// A network of MediaPipe's that looks at faces or hands, and classifies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LandmarkNetwork {
    /// The face mesh with attention.
    FaceMesh,
    /// The palm detector.
    Palms,
    /// The network for hands.
    Hands,
}

impl LandmarkNetwork {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::FaceMesh, Self::Palms, Self::Hands];

    /// What `--arch` calls it.
    pub fn name(self) -> &'static str {
        ["face_mesh", "palms", "hands"][self as usize]
    }

    /// What it is, in words: a heading, its name, and what it does.
    fn words(self) -> [String; 3] {
        let picture = |side: usize| format!("from a {side}x{side} RGB picture");
        match self {
            Self::FaceMesh => [
                "Face mesh".into(),
                "MediaPipe's face mesh with attention".into(),
                format!("{} of a face to {POINTS} points on it, and whether a face is there", picture(SIDE)),
            ],
            Self::Palms => [
                "Palms".into(),
                "MediaPipe's palm detector (lite)".into(),
                format!("{} to the palms in it; smaller pictures will do", picture(PALM_SIDE)),
            ],
            Self::Hands => [
                "Hands".into(),
                "MediaPipe's network for hands (lite)".into(),
                format!("{} of a hand to {HAND_POINTS} points of it, and whether a hand is there", picture(HAND_SIDE)),
            ],
        }
    }

    fn side_and_points(self) -> [usize; 2] {
        match self {
            Self::FaceMesh => [SIDE, POINTS],
            Self::Palms => [PALM_SIDE, PALM_POINTS],
            Self::Hands => [HAND_SIDE, HAND_POINTS],
        }
    }

    fn convert(self, bytes: &[u8]) -> Result<Result<Vec<u8>, String>, ModelImportError> {
        Ok(match self {
            Self::FaceMesh => face_mesh::convert(bytes, &Geometry::built_in().map_err(anyhow::Error::from)?),
            Self::Palms => hands::palms(bytes),
            Self::Hands => hands::landmarks(bytes),
        })
    }
}

/// A landmark network's directory, not yet written: names and contents of its files, the config last.
pub type LandmarkNetworkFiles = [(&'static str, Vec<u8>); 3];

/// Reads one of MediaPipe's networks, a TensorFlow Lite file, and gives the directory it becomes.
///
/// # Errors
/// If the file is another one than that network's, or its SHA-256 is another than stated.
pub fn import_landmark_network(
    network: LandmarkNetwork,
    path: &Path,
    sha256_stated: Option<&str>,
    licence: Option<&str>,
    origin: Option<&str>,
) -> Result<LandmarkNetworkFiles, ModelImportError> {
    let bytes =
        files::read(path, LARGEST).map_err(|source| ModelImportError::Unreadable { path: path.into(), source })?;
    let source_sha256 = sha256(&bytes);
    if let Some(expected) = sha256_stated.filter(|stated| !stated.eq_ignore_ascii_case(&source_sha256)) {
        return Err(ModelImportError::Changed { path: path.into(), expected: expected.into(), found: source_sha256 });
    }
    let weights = network.convert(&bytes)?;
    let weights = weights.map_err(|reason| ModelImportError::Refused { path: path.into(), reason })?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let ([heading, words, does], [side, points]) = (network.words(), network.side_and_points());
    let config = json!({
        "name": network.name(),
        "network": words,
        "input": { "side": side, "colours": "rgb", "values": "0 to 1" },
        "points": points,
        "imported_from": { "file": file, "format": "tflite", "sha256": source_sha256 },
        "licence": licence,
        "origin": origin,
        "sha256": sha256(&weights),
    });
    let config = serde_json::to_vec_pretty(&config).map_err(anyhow::Error::from)?;
    let card = format!(
        "# {heading}\n\n\
         {words}: {does}.\n\n\
         Imported from `{file}` (TensorFlow Lite, SHA-256 `{source_sha256}`); the weights are the file's own 16-bit floats under \
         our names.\n\n\
         - Origin: {}\n\
         - Licence of the weights: {}\n",
        origin.unwrap_or("not stated"),
        licence.unwrap_or("not stated; find out before you use or pass on the weights"),
    );
    Ok([(WEIGHTS_FILE, weights), (CARD_FILE, card.into_bytes()), (CONFIG_FILE, config)])
}

/// The order that outputs were in, how many were left out, and the tensors of [`CONTEMPT_FILE`] where contempt was among
/// them.
type Reordered = (ClassOrder, usize, Option<BTreeMap<String, Tensor>>);

/// Brings the classifier's outputs into canonical order and leaves out those that are not among the seven.
fn reorder(
    tensors: &mut BTreeMap<String, Tensor>,
    order: Option<ClassOrder>,
    path: &Path,
) -> Result<Reordered, ModelImportError> {
    let [weight, bias] = ["classifier.weight", "classifier.bias"].map(|name| tensors.get(name).cloned());
    let (Some(weight), Some(bias)) = (weight, bias) else {
        return Err(ModelImportError::Refused { path: path.into(), reason: "has no classifier".into() });
    };
    let outputs = bias.dims().first().copied().unwrap_or_default();
    // What the networks that others build on have.
    let order = order.unwrap_or(match outputs {
        8 => ClassOrder::Emotieff8,
        10 => ClassOrder::Emotieff8Va,
        _ => ClassOrder::Seed,
    });
    let expected = order.meanings().len();
    if outputs != expected || weight.dims().last() != Some(&expected) {
        let order = serde_json::to_value(order).map_err(anyhow::Error::from)?;
        let order = order.as_str().unwrap_or_default().to_owned();
        return Err(ModelImportError::Outputs { path: path.into(), outputs, order, expected });
    }
    let contempt = match order.meanings().iter().position(|meaning| *meaning == Meaning::Contempt) {
        Some(index) => {
            let weight = weight.narrow(1, index, 1)?.flatten_all()?;
            Some(BTreeMap::from([("weight".to_owned(), weight), ("bias".to_owned(), bias.narrow(0, index, 1)?)]))
        }
        None => None,
    };
    let indices: Vec<u32> = Expression::ALL.iter().map(|e| order.index_of(*e) as u32).collect();
    let indices = Tensor::new(indices, &Device::Cpu)?;
    tensors.insert("classifier.weight".into(), weight.index_select(&indices, 1)?.contiguous()?);
    tensors.insert("classifier.bias".into(), bias.index_select(&indices, 0)?);
    let left_out = order.meanings().iter().filter(|m| !matches!(m, Meaning::Seven(_))).count();
    Ok((order, left_out, contempt))
}

/// Whether the tensors are those of the network, in number, shape and being finite.
fn check(tensors: &BTreeMap<String, Tensor>, description: &Description, path: &Path) -> Result<(), ModelImportError> {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    Network::new(&parameters, &description.architecture, description.input.colours)?;
    parameters.set(tensors).map_err(|error| match error {
        SetError::Weights(source) => ModelImportError::Misfit { path: path.into(), source },
        SetError::Device(error) => ModelImportError::Device(error),
    })
}

fn card(config: &ModelConfig, left_out: usize) -> String {
    let from = &config.training["imported_from"];
    let text = |value: &serde_json::Value, absent: &str| value.as_str().unwrap_or(absent).to_owned();
    let left_out = match left_out {
        0 => String::new(),
        count => format!(
            " {count} output(s) that are not among the seven expressions were left out: the probabilities are those given \
             that it is one of the seven."
        ),
    };
    format!(
        "# {}\n\n\
         Imported from `{}` ({}, SHA-256 `{}`).\n\n\
         - Origin: {}\n\
         - Licence of the weights: {}\n\
         - Outputs were in the order `{}` and are in canonical order now.{left_out}\n\
         - Pictures: {} pixels, {:?}; the crop is {} times the side of the face's box.\n\n\
         Nothing has been measured here, and the probabilities are not calibrated: `annotate evaluate` does the first.\n",
        config.name,
        text(&from["file"], "a file"),
        text(&from["format"], "unknown"),
        text(&from["sha256"], "unknown"),
        text(&config.training["origin"], "not stated"),
        text(&config.training["licence"], "not stated; find out before you use or pass on the weights"),
        text(&from["class_order"], "unknown"),
        config.input.side,
        config.input.colours,
        config.crop.scale,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHECKPOINTS: [&[u8]; 5] = [
        include_bytes!("../../../tests/import/efficientnet7.pt"),
        include_bytes!("../../../tests/import/efficientnet7.onnx"),
        include_bytes!("../../../tests/import/efficientnet8.safetensors"),
        include_bytes!("../../../tests/import/mobilenet7.h5"),
        include_bytes!("../../../tests/import/whole_module.pt"),
    ];

    proptest! {
        #[test]
        fn altered_checkpoints_are_read_or_refused_without_panic(
            which in 0..CHECKPOINTS.len(),
            // Formats keep what rules the rest at the beginning and the end.
            changes in prop::collection::vec((0usize..2_000, any::<bool>(), any::<u8>()), 1..6),
            cut in prop::option::of(0.0f64..1.0),
        ) {
            let mut bytes = CHECKPOINTS[which].to_vec();
            for (offset, from_end, value) in changes {
                let offset = offset % bytes.len();
                let offset = if from_end { bytes.len() - 1 - offset } else { offset };
                bytes[offset] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate((bytes.len() as f64 * cut) as usize);
            }
            if let Ok((_, checkpoint)) = read(bytes) {
                let _ = layout::convert(checkpoint, &KnownNetwork::MobilenetV1.architecture());
            }
        }
    }
}

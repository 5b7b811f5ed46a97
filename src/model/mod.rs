//! Model directories: `config.json`, `model.safetensors` and a model card, in and out.
//!
//! Tensors are stored channels last: dense convolutions `[kernel * kernel * in, out]`, depthwise ones
//! `[kernel, kernel, channels]`, 1x1 convolutions and fully connected layers `[in, out]`.

pub mod catalogue;
pub mod class_order;
pub mod config;
pub mod export;
pub mod import;
mod onnx_file;
pub mod pull;
pub mod registry;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{D, DType, Device, Result as CandleResult, Tensor};

pub use config::{Input, InputPart, ModelConfig};

use crate::files::{self, sha256};
use crate::infer::{Instructions, Layer, Plan, Precision};
use crate::nn::folded::Folded;
use crate::nn::parameters::SetError;
use crate::nn::{Architecture, Network, Parameters, Purpose, WeightsError};
use crate::picture::CropRule;
use crate::timeline::{Expression, ModelIdentity};

/// Why a model cannot be used. Each message names the file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum ModelError {
    #[error("{}: no such model; give a directory with config.json and model.safetensors, or one of: {known}", path.display())]
    NotFound { path: PathBuf, known: String },
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Config { path: PathBuf, reason: String },
    #[error("{}: not a safetensors file: {reason}", path.display())]
    NotSafetensors { path: PathBuf, reason: String },
    #[error("{}: {source}", path.display())]
    Weights { path: PathBuf, source: WeightsError },
    #[error("{}: SHA-256 is {found}, config.json says {expected}", path.display())]
    Changed { path: PathBuf, expected: String, found: String },
    #[error("--precision {precision} cannot be used: {reason}")]
    Precision { precision: Precision, reason: &'static str },
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
}

/// A loaded network with everything needed to use it.
pub struct Model {
    config: ModelConfig,
    device: Device,
    runner: Runner,
    operations: usize,
    uploader: crate::kernels::cuda::Uploader,
}

/// What inference runs.
enum Runner {
    /// On the CPU.
    Plan(Box<Plan>),
    /// On other devices, with the layers it was made of.
    Folded { folded: Box<Folded>, layers: Vec<Layer> },
}

impl Runner {
    fn folded(layers: Vec<Layer>, colours: usize, dtype: DType, device: &Device) -> CandleResult<Self> {
        Ok(Self::Folded { folded: Box::new(Folded::new(&layers, colours, dtype, device)?), layers })
    }
}

/// The file names in a model directory.
pub const CONFIG_FILE: &str = "config.json";
/// The weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The model card.
pub const CARD_FILE: &str = "README.md";

/// A weights file larger than this belongs to no network of the two families (EfficientNet-B7 has 260 MB).
const LARGEST_WEIGHTS: u64 = 512 << 20;
/// A config larger than this is not one.
const LARGEST_CONFIG: u64 = 1 << 20;

impl Model {
    /// Loads a model directory.
    ///
    /// # Errors
    /// If a file is missing or unreadable, the config is not valid, the hash differs, or a tensor is missing, unknown,
    /// of the wrong shape or type, or not finite.
    pub fn load(directory: &Path, device: &Device) -> Result<Self, ModelError> {
        if !directory.is_dir() {
            return Err(ModelError::NotFound { path: directory.into(), known: registry::names() });
        }
        let config = read_bounded(&directory.join(CONFIG_FILE), LARGEST_CONFIG)?;
        let weights = read_bounded(&directory.join(WEIGHTS_FILE), LARGEST_WEIGHTS)?;
        Self::from_bytes(&config, &weights, directory, device)
    }

    /// Builds a model from the contents of its two files; `origin` stands in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(config: &[u8], weights: &[u8], origin: &Path, device: &Device) -> Result<Self, ModelError> {
        let config_path = origin.join(CONFIG_FILE);
        let weights_path = origin.join(WEIGHTS_FILE);
        let config: ModelConfig = serde_json::from_slice(config)
            .map_err(|e| ModelError::Config { path: config_path.clone(), reason: e.to_string() })?;
        if let Some(reason) = config.fault() {
            return Err(ModelError::Config { path: config_path, reason });
        }
        let found = sha256(weights);
        if found != config.sha256 {
            return Err(ModelError::Changed { path: weights_path, expected: config.sha256, found });
        }
        let tensors = read_tensors(weights).map_err(|e| e.of(&weights_path))?;
        let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
        let network = Network::new(&parameters, &config.architecture, config.input.colours)?;
        parameters.set(&tensors).map_err(|e| match e {
            SetError::Weights(source) => ModelError::Weights { path: weights_path, source },
            SetError::Device(e) => ModelError::Device(e),
        })?;
        Ok(Self::of(config, network, device)?)
    }

    /// A model of `architecture` for pictures of `side` x `side` pixels with weights drawn from `seed`, which have not been
    /// trained: to measure speed.
    ///
    /// # Errors
    /// If the device fails.
    pub fn untrained(architecture: Architecture, input: Input, seed: u64, device: &Device) -> CandleResult<Self> {
        let parameters = Parameters::new(Purpose::Training { seed }, &Device::Cpu);
        let network = Network::new(&parameters, &architecture, input.colours)?;
        let config = ModelConfig {
            name: "untrained".into(),
            architecture,
            input,
            crop: CropRule::default(),
            classes: Expression::ALL.to_vec(),
            temperature: 1.0,
            training: serde_json::Value::Null,
            metrics: serde_json::Value::Null,
            sha256: String::new(),
        };
        Self::of(config, network, device)
    }

    fn of(config: ModelConfig, network: Network, device: &Device) -> CandleResult<Self> {
        let Input { side, colours, .. } = config.input;
        let plan = network.plan(side, colours, Instructions::best())?;
        let operations = plan.operations();
        let runner = match device.is_cpu() {
            true => Runner::Plan(Box::new(plan)),
            false => Runner::folded(network.layers()?, colours.count(), DType::F32, device)?,
        };
        Ok(Self { config, device: device.clone(), runner, operations, uploader: Default::default() })
    }

    /// The model computed with `precision`.
    ///
    /// # Errors
    /// If the device or the CPU cannot.
    pub fn with_precision(self, precision: Precision) -> Result<Self, ModelError> {
        let refused = |reason| ModelError::Precision { precision, reason };
        let runner = match (precision, self.runner) {
            (Precision::Auto | Precision::F32, runner) => runner,
            (Precision::Bf16, Runner::Plan(plan)) => {
                Runner::Plan(Box::new(plan.in_bf16().ok_or_else(|| refused("this CPU has no AVX512-BF16"))?))
            }
            (Precision::F16, Runner::Plan(_)) => return Err(refused("f16 is for cards only")),
            (Precision::Bf16 | Precision::F16, Runner::Folded { layers, .. }) => {
                let dtype = if precision == Precision::F16 { DType::F16 } else { DType::BF16 };
                Runner::folded(layers, self.config.input.colours.count(), dtype, &self.device)?
            }
        };
        Ok(Self { runner, ..self })
    }

    /// The model for a program in which nobody else uses its card: there, batches of a size that comes again are recorded and
    /// repeated as one launch.
    #[must_use]
    pub fn alone(mut self) -> Self {
        if let Runner::Folded { folded, .. } = &mut self.runner {
            folded.record();
        }
        self
    }

    /// The model with or without averaging over mirror images, whatever its config says.
    #[must_use]
    pub fn with_symmetry(mut self, symmetric: bool) -> Self {
        self.config.input.symmetric = symmetric;
        self
    }

    /// What the model is computed with: f32, bf16 or f16.
    pub fn precision(&self) -> Precision {
        match &self.runner {
            Runner::Plan(plan) => plan.precision(),
            Runner::Folded { folded, .. } => match folded.dtype() {
                DType::F16 => Precision::F16,
                DType::BF16 => Precision::Bf16,
                _ => Precision::F32,
            },
        }
    }

    /// The vector instructions the model is computed with; none where a card does it.
    pub fn instructions(&self) -> Option<Instructions> {
        match &self.runner {
            Runner::Plan(plan) => Some(plan.instructions()),
            Runner::Folded { .. } => None,
        }
    }

    /// Multiplications and additions for a face.
    pub fn operations(&self) -> usize {
        self.operations * self.config.input.view_count()
    }

    /// What outputs say about the model.
    pub fn identity(&self) -> ModelIdentity {
        ModelIdentity {
            name: self.config.name.clone(),
            sha256: self.config.sha256.clone(),
            classes: self.config.classes.clone(),
            symmetric: self.config.input.symmetric,
        }
    }

    /// The config.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device the weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Logits `[images, 7]` of `pictures`, `[images, side, side, colours]` with values 0 to 255, row by row. On a card they
    /// are still being computed when this returns.
    ///
    /// # Errors
    /// If the length does not fit or the device fails.
    pub fn logits(&self, pictures: Vec<f32>) -> CandleResult<Tensor> {
        let input = &self.config.input;
        let size = input.side * input.side * input.colours.count();
        if !pictures.len().is_multiple_of(size) {
            candle_core::bail!("{} values are not whole pictures of {size}", pictures.len());
        }
        let pictures = input.views(input.normalised(pictures));
        let images = pictures.len() / size;
        let shape = (images, input.side, input.side, input.colours.count());
        let logits = match &self.runner {
            Runner::Plan(plan) => {
                let mut logits = vec![0.0; images * plan.output().len()];
                plan.run(&pictures, &mut logits);
                Tensor::from_vec(logits, (images, plan.output().len()), &Device::Cpu)
            }
            Runner::Folded { folded, .. } => {
                let pictures = crate::nn::ops::uploaded(&pictures, &shape.into(), &self.device, &self.uploader)?;
                folded.logits(&pictures)
            }
        };
        input.joined(&logits?)
    }

    /// Calibrated probabilities of `pictures`, as for [`logits`](Self::logits).
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn probabilities(&self, pictures: Vec<f32>) -> CandleResult<Vec<crate::timeline::Probabilities>> {
        self.calibrated(&self.logits(pictures)?)
    }

    /// Calibrated probabilities of [`logits`](Self::logits); where a card has not finished them, waits for it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn calibrated(&self, logits: &Tensor) -> CandleResult<Vec<crate::timeline::Probabilities>> {
        let logits = (logits / f64::from(self.config.temperature))?;
        let rows: Vec<Vec<f32>> = candle_nn::ops::softmax(&logits, D::Minus1)?.to_vec2()?;
        Ok(rows.into_iter().map(|row| std::array::from_fn(|class| row[class])).collect())
    }
}

impl Input {
    /// Whole pictures, values 0 to 255, as the network wants them: colours normalised over the part that is looked at,
    /// mean and deviation taken out, the rest of the face 0. Annotation, evaluation and training all pass here.
    pub fn normalised(&self, mut values: Vec<f32>) -> Vec<f32> {
        let channels = self.colours.count();
        let row = self.side * channels;
        let seen = self.region.rows(self.side);
        let (first, end) = (seen.start * row, seen.end * row);
        let scale: Vec<f32> = self.deviation.iter().map(|deviation| 1.0 / (255.0 * deviation)).collect();
        let shift: Vec<f32> =
            self.mean.iter().zip(&self.deviation).map(|(mean, deviation)| -mean / deviation).collect();
        for picture in values.chunks_exact_mut(self.side * row) {
            self.colour_normalisation.apply(&mut picture[first..end], channels);
            for pixel in picture[first..end].chunks_exact_mut(channels) {
                for (value, (scale, shift)) in pixel.iter_mut().zip(scale.iter().zip(&shift)) {
                    *value = *value * scale + shift;
                }
            }
            picture[..first].fill(0.0);
            picture[end..].fill(0.0);
        }
        values
    }
}

impl Input {
    /// How many times the network looks at a face.
    pub fn view_count(&self) -> usize {
        if self.symmetric { 2 } else { 1 }
    }

    /// What the network is shown of normalised pictures: these, and behind them their mirror images where it is to look at
    /// both.
    pub fn views(&self, mut pictures: Vec<f32>) -> Vec<f32> {
        if self.symmetric {
            let channels = self.colours.count();
            let mirrored: Vec<f32> = pictures
                .chunks_exact(self.side * channels)
                .flat_map(|row| row.chunks_exact(channels).rev().flatten().copied())
                .collect();
            pictures.extend(mirrored);
        }
        pictures
    }

    /// The logits of faces, `[faces, classes]`, from those of their [`views`](Self::views), `[views, classes]`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn joined(&self, logits: &Tensor) -> CandleResult<Tensor> {
        if !self.symmetric {
            return Ok(logits.clone());
        }
        let faces = logits.dim(0)? / 2;
        // Sums of two do not depend on their order, so that the result is the same for a mirrored face.
        (logits.narrow(0, 0, faces)? + logits.narrow(0, faces, faces)?)? * 0.5
    }
}

/// Serialises tensors as a safetensors file, in half precision where `half` is set.
///
/// # Errors
/// If the tensors cannot be converted.
pub fn write_tensors(tensors: &BTreeMap<String, Tensor>, half: bool) -> anyhow::Result<Vec<u8>> {
    let dtype = if half { DType::F16 } else { DType::F32 };
    let tensors: HashMap<&String, Tensor> = tensors
        .iter()
        .map(|(name, t)| Ok((name, t.to_device(&Device::Cpu)?.to_dtype(dtype)?)))
        .collect::<CandleResult<_>>()?;
    Ok(safetensors::serialize(tensors.iter().map(|(name, t)| (name.as_str(), t)), None)?)
}

/// Reads a safetensors file's tensors, or says why not.
pub(crate) fn read_tensors(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, TensorsError> {
    use candle_core::safetensors::Load as _;
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(|e| TensorsError::NotSafetensors(e.to_string()))?;
    let tensors = file.tensors().into_iter();
    tensors
        .map(|(name, view)| match view.load(&Device::Cpu) {
            Ok(tensor) => Ok((name, tensor)),
            // A type that candle has no tensors of.
            Err(_) => Err(WeightsError::Type { name, found: format!("{:?}", view.dtype()) }.into()),
        })
        .collect()
}

/// Why a file has no tensors to read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TensorsError {
    #[error("not a safetensors file: {0}")]
    NotSafetensors(String),
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl TensorsError {
    /// The same of the file at `path`.
    fn of(self, path: &Path) -> ModelError {
        match self {
            Self::NotSafetensors(reason) => ModelError::NotSafetensors { path: path.into(), reason },
            Self::Weights(source) => ModelError::Weights { path: path.into(), source },
        }
    }
}

/// The model card in `directory`.
fn read_card(directory: &Path) -> Result<String, ModelError> {
    if !directory.is_dir() {
        return Err(ModelError::NotFound { path: directory.into(), known: registry::names() });
    }
    let bytes = read_bounded(&directory.join(CARD_FILE), LARGEST_CONFIG)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_bounded(path: &Path, largest: u64) -> Result<Vec<u8>, ModelError> {
    files::read_found(path, largest).map_err(|source| ModelError::Unreadable { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Phase;
    use crate::picture::{ColourNormalisation, Colours};

    #[test]
    fn the_hidden_half_of_a_face_changes_nothing() {
        for (region, hidden) in [(InputPart::Upper, 8..16), (InputPart::Lower, 0..8)] {
            for colour_normalisation in [ColourNormalisation::None, ColourNormalisation::HistEq] {
                let input = Input {
                    side: 4,
                    colours: Colours::Luma,
                    mean: vec![0.5],
                    deviation: vec![0.25],
                    colour_normalisation,
                    region,
                    symmetric: false,
                };
                let picture: Vec<f32> = (0..16).map(|v| (v * 13) as f32).collect();
                let mut other = picture.clone();
                other[hidden.clone()].iter_mut().for_each(|value| *value = 255.0 - *value);
                let seen = input.normalised(picture);
                assert_eq!(seen, input.normalised(other));
                assert!(seen[hidden.clone()].iter().all(|value| *value == 0.0));
                assert!(seen.iter().enumerate().any(|(index, value)| !hidden.contains(&index) && *value != 0.0));
            }
        }
    }

    /// Pictures that no two pixels of are alike, and their mirror images.
    fn faces_and_mirrored(side: usize, channels: usize) -> [Vec<f32>; 2] {
        let faces: Vec<f32> = (0..3 * side * side * channels).map(|v| (v * 7919 % 256) as f32).collect();
        let mirrored = faces
            .chunks_exact(side * channels)
            .flat_map(|row| row.chunks_exact(channels).rev().flatten().copied().collect::<Vec<f32>>())
            .collect();
        [faces, mirrored]
    }

    #[test]
    fn a_symmetric_model_says_the_same_of_a_face_and_its_mirror_image() {
        for (colours, region) in [(Colours::Luma, InputPart::Full), (Colours::Rgb, InputPart::Upper)] {
            let channels = colours.count();
            let input = Input {
                side: 16,
                colours,
                mean: vec![0.5; channels],
                deviation: vec![0.25; channels],
                colour_normalisation: ColourNormalisation::HistEq,
                region,
                symmetric: true,
            };
            let architecture = small_network();
            let model = Model::untrained(architecture, input, 1, &Device::Cpu).unwrap();
            let [faces, mirrored] = faces_and_mirrored(16, channels);
            let said = |model: &Model, faces: &[f32]| model.logits(faces.to_vec()).unwrap().to_vec2::<f32>().unwrap();
            let answer = said(&model, &faces);
            assert_eq!(answer, said(&model, &mirrored));
            let model = model.with_symmetry(false);
            let (plain, other) = (said(&model, &faces), said(&model, &mirrored));
            assert_ne!(plain, other);
            for ((a, b), mean) in plain.iter().flatten().zip(other.iter().flatten()).zip(answer.iter().flatten()) {
                assert!(((a + b) / 2.0 - mean).abs() <= 1e-6 * mean.abs().max(1.0));
            }
        }
    }

    /// Full size up to the third block, as networks for 48 pixels want it.
    fn small_network() -> Architecture {
        serde_json::from_value(serde_json::json!({
            "family": "mobilenet_v1",
            "stem_channels": 8,
            "stem_stride": 1,
            "blocks": [
                { "channels": 8, "stride": 1 },
                { "channels": 16, "stride": 1 },
                { "channels": 16, "stride": 1 },
                { "channels": 32, "stride": 2 },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn the_plan_and_the_network_agree_on_a_network_at_full_size_and_symmetric() {
        let input = Input {
            side: 16,
            colours: Colours::Luma,
            mean: vec![0.5],
            deviation: vec![0.25],
            colour_normalisation: ColourNormalisation::None,
            region: InputPart::Full,
            symmetric: true,
        };
        let [faces, _] = faces_and_mirrored(16, 1);
        let planned = Model::untrained(small_network(), input.clone(), 1, &Device::Cpu).unwrap();
        let parameters = Parameters::new(Purpose::Training { seed: 1 }, &Device::Cpu);
        let network = Network::new(&parameters, &small_network(), Colours::Luma).unwrap();
        let views =
            Tensor::from_vec(input.views(input.normalised(faces.clone())), (6, 16, 16, 1), &Device::Cpu).unwrap();
        let module = input.joined(&network.forward(&views, Phase::Inference).unwrap()).unwrap();
        let apart = (planned.logits(faces).unwrap() - module).unwrap().abs().unwrap().max_all().unwrap();
        assert!(apart.to_scalar::<f32>().unwrap() < 1e-4);
    }
}

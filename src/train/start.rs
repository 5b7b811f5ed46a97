//! A recipe with everything it refers to: what is known before the first picture.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::recipe::{HeadStart, Recipe};
use crate::model::{Input, InputPart, Model, ModelError, registry};
use crate::nn::{Architecture, Network, Parameters, Purpose};
use crate::picture::CropRule;
use crate::picture::{ColourNormalisation, Colours};

/// The names of the last layer's tensors begin with this, in both families.
pub const HEAD: &str = "classifier.";

/// Its biases.
pub const BIASES: &str = "classifier.bias";
/// The filters that see the picture, `[kernel * kernel * colours, channels]`, in both families.
const FIRST_FILTERS: &str = "stem.weight";

/// A recipe that is ready to run.
pub struct Prepared {
    /// The recipe.
    pub recipe: Recipe,
    /// The network.
    pub architecture: Architecture,
    /// What it looks at.
    pub input: Input,
    /// How faces become such pictures.
    pub crop: CropRule,
    /// Weights to start from; without those of the head where it is drawn anew and of layers that the start has not, empty
    /// to draw all.
    pub weights: BTreeMap<String, Tensor>,
    /// Name and SHA-256 of the model to start from.
    pub origin: Option<(String, String)>,
    /// Models to learn from.
    pub teachers: Vec<Model>,
}

/// Why a recipe cannot be made ready.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum StartError {
    #[error("{what} of recipe '{recipe}': {source}")]
    Model { recipe: String, what: &'static str, source: Box<ModelError> },
    #[error("recipe '{recipe}': {reason}")]
    Input { recipe: String, reason: String },
}

impl Prepared {
    /// Loads what `recipe` refers to. A model's name is that of a built-in one, or a directory, relative to `models`.
    ///
    /// # Errors
    /// If a model cannot be used, or the input is not the network's.
    pub fn new(recipe: Recipe, models: &Path, device: &Device) -> Result<Self, StartError> {
        let fault = |reason: String| StartError::Input { recipe: recipe.name.clone(), reason };
        let model = |what: &'static str| {
            let recipe = recipe.name.clone();
            move |source| StartError::Model { recipe, what, source: Box::new(source) }
        };
        let (mut origin, mut weights) = (None, BTreeMap::new());
        let mut base = None;
        if let Some(name) = &recipe.start.model {
            let (config, tensors) = registry::weights(&model_path(name, models)).map_err(model("start.model"))?;
            origin = Some((config.name.clone(), config.sha256.clone()));
            weights = tensors;
            if recipe.start.head == HeadStart::Replace {
                weights.retain(|name, _| !name.starts_with(HEAD));
            }
            base = Some(config);
        }
        if let Some(base) = base.as_mut().filter(|_| recipe.input.colours == Some(Colours::Luma)) {
            to_luma(&mut base.input, &mut weights).map_err(|e| fault(e.to_string()))?;
        }
        let architecture = match (&recipe.architecture, &base) {
            (Some(architecture), _) => architecture.clone(),
            (None, Some(base)) => base.architecture.clone(),
            (None, None) => return Err(fault("neither start.model nor architecture says which network".into())),
        };
        let of_base = base.as_ref().map(|base| &base.input);
        let input = input(&recipe, of_base).map_err(fault)?;
        if let Some(reason) = input.fault() {
            return Err(fault(format!("input: {reason}")));
        }
        if let Some(reason) = architecture.fault() {
            return Err(fault(format!("architecture: {reason}")));
        }
        if let Some(of_base) = of_base.filter(|of_base| of_base.colours != input.colours) {
            return Err(fault(format!(
                "input.colours are {:?}, but the network of start.model was made for {:?}",
                input.colours, of_base.colours
            )));
        }
        if base.is_some() && recipe.architecture.is_some() {
            keep_fitting(&mut weights, &architecture, input.colours).map_err(|e| fault(e.to_string()))?;
            if weights.is_empty() {
                return Err(fault("no layer of start.model has the name and size of one of architecture".into()));
            }
        }
        let teachers = recipe.distillation.iter().flat_map(|d| &d.models);
        let teachers: Vec<Model> = teachers
            .map(|name| registry::open(&model_path(name, models), device))
            .collect::<Result<_, _>>()
            .map_err(model("distillation.models"))?;
        let crop = recipe.crop.or(base.map(|base| base.crop)).unwrap_or_default();
        Ok(Self { architecture, input, crop, weights, origin, teachers, recipe })
    }

    /// As what training images must be decoded: in colour where the network or a teacher looks at colour.
    pub fn colours(&self) -> Colours {
        let of_teachers = self.teachers.iter().map(|teacher| teacher.config().input.colours);
        match of_teachers.chain([self.input.colours]).any(|colours| colours == Colours::Rgb) {
            true => Colours::Rgb,
            false => Colours::Luma,
        }
    }
}

/// What a network of three colours sees of a grey picture, as one channel: the sum of its filters. Exact where the colours are
/// normalised alike; other networks are left as they are.
fn to_luma(input: &mut Input, weights: &mut BTreeMap<String, Tensor>) -> candle_core::Result<()> {
    let are_alike = |values: &[f32]| values.windows(2).all(|pair| pair[0] == pair[1]);
    if input.colours != Colours::Rgb || !are_alike(&input.mean) || !are_alike(&input.deviation) {
        return Ok(());
    }
    if let Some(filters) = weights.get_mut(FIRST_FILTERS) {
        let (colours, channels) = (input.colours.count(), filters.dim(1)?);
        *filters = filters.reshape(((), colours, channels))?.sum(1)?;
    }
    input.colours = Colours::Luma;
    input.mean.truncate(1);
    input.deviation.truncate(1);
    Ok(())
}

/// Keeps those of `weights` that a network of `architecture` has under the same name, in the same shape.
fn keep_fitting(
    weights: &mut BTreeMap<String, Tensor>,
    architecture: &Architecture,
    colours: Colours,
) -> candle_core::Result<()> {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    Network::new(&parameters, architecture, colours)?;
    let variables = parameters.variables();
    weights.retain(|name, tensor| variables.get(name).is_some_and(|var| var.dims() == tensor.dims()));
    Ok(())
}

fn model_path(name: &Path, models: &Path) -> PathBuf {
    match registry::EMBEDDED.iter().any(|embedded| Path::new(embedded.name) == name) {
        true => name.into(),
        false => models.join(name),
    }
}

fn input(recipe: &Recipe, base: Option<&Input>) -> Result<Input, String> {
    let choice = &recipe.input;
    let missing = |name: &str| format!("neither input.{name} nor a start.model says what the network looks at");
    Ok(Input {
        side: choice.side.or(base.map(|b| b.side)).ok_or_else(|| missing("side"))?,
        colours: choice.colours.or(base.map(|b| b.colours)).ok_or_else(|| missing("colours"))?,
        mean: choice.mean.clone().or(base.map(|b| b.mean.clone())).ok_or_else(|| missing("mean"))?,
        deviation: choice
            .deviation
            .clone()
            .or(base.map(|b| b.deviation.clone()))
            .ok_or_else(|| missing("deviation"))?,
        colour_normalisation: choice
            .colour_normalisation
            .or(base.map(|b| b.colour_normalisation))
            .unwrap_or(ColourNormalisation::None),
        region: choice.region.or(base.map(|b| b.region)).unwrap_or(InputPart::Full),
        symmetric: choice.symmetric.or(base.map(|b| b.symmetric)).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::mobilenet::{Block, MobileNetConfig};

    fn mobilenet(stem_channels: usize, blocks: &[usize]) -> Architecture {
        let blocks = blocks.iter().map(|&channels| Block { channels, stride: 1 }).collect();
        let config = MobileNetConfig { stem_channels, stem_stride: 2, blocks, feature_units: 0, dropout: 0.0 };
        Architecture::MobilenetV1(config)
    }

    #[test]
    fn an_architecture_takes_from_a_start_what_has_its_names_and_sizes() {
        let parameters = Parameters::new(Purpose::Training { seed: 1 }, &Device::Cpu);
        Network::new(&parameters, &mobilenet(8, &[12, 16, 20]), Colours::Luma).unwrap();
        let all = parameters.tensors().unwrap();
        let mut taken = all.clone();
        keep_fitting(&mut taken, &mobilenet(8, &[12, 17]), Colours::Luma).unwrap();
        let is_taken = |name: &str| {
            ["stem.", "blocks.0.", "blocks.1.depthwise."].iter().any(|whole| name.starts_with(whole))
                || name == "classifier.bias"
        };
        let expected: Vec<&String> = all.keys().filter(|name| is_taken(name)).collect();
        assert_eq!(taken.keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_start_of_which_an_architecture_has_nothing_is_refused() {
        let text = r#"
            name = "part"
            seed = 1
            batch = 8
            start = { model = "default", head = "replace" }
            architecture = { family = "mobilenet_v1", stem_channels = 3, stem_stride = 2, blocks = [{ channels = 5, stride = 1 }] }
            [[stages]]
            epochs = 1
            optimiser = { learning_rate = 1e-3 }
        "#;
        let recipe = Recipe::parse(text, Path::new("r.toml")).unwrap();
        let error = Prepared::new(recipe, Path::new(""), &Device::Cpu).err().unwrap().to_string();
        assert!(error.contains("no layer of start.model"), "{error}");
    }

    #[test]
    fn first_filters_for_luma_are_the_sum_over_the_colours() {
        let filters: Vec<f32> = (0..9 * 3 * 2).map(|value| value as f32).collect();
        let filters = Tensor::from_vec(filters, (27, 2), &Device::Cpu).unwrap();
        let mut weights = BTreeMap::from([(FIRST_FILTERS.to_owned(), filters)]);
        let mut input = registry::weights(Path::new("default")).unwrap().0.input;
        (input.colours, input.mean, input.deviation) = (Colours::Rgb, vec![0.5; 3], vec![0.25; 3]);
        let unlike = Input { mean: vec![0.4, 0.5, 0.5], ..input.clone() };
        to_luma(&mut unlike.clone(), &mut weights).unwrap();
        assert_eq!(weights[FIRST_FILTERS].dims(), [27, 2], "colours that are normalised each in its own way");
        to_luma(&mut input, &mut weights).unwrap();
        let summed: Vec<f32> = weights[FIRST_FILTERS].flatten_all().unwrap().to_vec1().unwrap();
        // Taps 0 and 1, channels 0 and 1: 0 + 2 + 4, 1 + 3 + 5, 6 + 8 + 10, 7 + 9 + 11.
        assert_eq!((summed.len(), &summed[..4]), (18, &[6.0, 9.0, 24.0, 27.0][..]));
        assert_eq!((input.colours, input.mean.len(), input.deviation.len()), (Colours::Luma, 1, 1));
    }
}

//! A recipe with everything it refers to: what is known before the first picture.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::recipe::{HeadStart, Recipe};
use crate::model::{Input, InputPart, Model, ModelError, registry};
use crate::nn::Architecture;
use crate::picture::CropRule;
use crate::picture::{ColourNormalisation, Colours};

/// The names of the last layer's tensors begin with this, in both families.
pub const HEAD: &str = "classifier.";

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
    /// Weights to start from; without those of the head where it is drawn anew, empty to draw all.
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
        let architecture = match (&recipe.architecture, &base) {
            (Some(architecture), _) => architecture.clone(),
            (None, Some(base)) => base.architecture.clone(),
            (None, None) => return Err(fault("neither start.model nor architecture says which network".into())),
        };
        let of_base = base.as_ref().map(|base| &base.input);
        let input = input(&recipe, of_base).map_err(fault)?;
        let fault = |reason: String| StartError::Input { recipe: recipe.name.clone(), reason };
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

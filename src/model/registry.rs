//! The models that come with the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::{Model, ModelConfig, ModelError};

/// A model compiled into the program.
pub struct Embedded {
    /// What `--model` takes.
    pub name: &'static str,
    config: &'static [u8],
    weights: &'static [u8],
    card: &'static str,
}

/// The name of the model used where none is named.
pub const DEFAULT: &str = "default";

/// The folder of an adapted model with the models of its folds, directories `1`, `2` and so on.
pub const FOLDS: &str = "folds";

/// All of them.
pub const EMBEDDED: &[Embedded] = &[
    Embedded {
        name: DEFAULT,
        config: include_bytes!("../../assets/models/default/config.json"),
        weights: include_bytes!("../../assets/models/default/model.safetensors"),
        card: include_str!("../../assets/models/default/README.md"),
    },
    Embedded {
        name: "fer2013",
        config: include_bytes!("../../assets/models/fer2013/config.json"),
        weights: include_bytes!("../../assets/models/fer2013/model.safetensors"),
        card: include_str!("../../assets/models/fer2013/README.md"),
    },
];

/// The embedded names, separated by commas.
pub fn names() -> String {
    EMBEDDED.iter().map(|m| m.name).collect::<Vec<_>>().join(", ")
}

/// Loads the model that `--model` names: an embedded one, else a directory.
///
/// # Errors
/// As [`Model::load`].
pub fn open(name: &Path, device: &Device) -> Result<Model, ModelError> {
    match EMBEDDED.iter().find(|m| Path::new(m.name) == name) {
        Some(embedded) => {
            let origin: PathBuf = [Path::new("built in"), name].iter().collect();
            Model::from_bytes(embedded.config, embedded.weights, &origin, device)
        }
        None => Model::load(name, device),
    }
}

/// The config and the tensors of the model that `--model` names, checked as [`open`] checks them.
///
/// # Errors
/// As [`Model::load`].
pub fn weights(name: &Path) -> Result<(ModelConfig, BTreeMap<String, Tensor>), ModelError> {
    let config = open(name, &Device::Cpu)?.config().clone();
    let path = name.join(super::WEIGHTS_FILE);
    let tensors = match EMBEDDED.iter().find(|m| Path::new(m.name) == name) {
        Some(embedded) => super::read_tensors(embedded.weights),
        None => super::read_tensors(&super::read_bounded(&path, super::LARGEST_WEIGHTS)?),
    };
    Ok((config, tensors.map_err(|e| e.of(&path))?))
}

/// The card of the model that `--model` names.
///
/// # Errors
/// If there is no such model or its card cannot be read.
pub fn card(name: &Path) -> Result<String, ModelError> {
    match EMBEDDED.iter().find(|m| Path::new(m.name) == name) {
        Some(embedded) => Ok(embedded.card.to_owned()),
        None => super::read_card(name),
    }
}

//! Why a model was not adapted.

use std::path::PathBuf;

use super::head::FeatureError;
use super::inventory::TooLittle;
use crate::files::WriteError;
use crate::model::ModelError;
use crate::picture::CropRule;
use crate::train::dataset::DatasetError;
use crate::train::fold::FoldError;
use crate::train::recipe::RecipeError;
use crate::train::start::StartError;
use crate::train::trainer::TrainError;

/// Why a model was not adapted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum AdaptError {
    #[error("{0}")]
    TooLittle(#[from] TooLittle),
    #[error(
        "{}: its pictures were cut out with scale {} and shift {}, the start wants {} and {}; cut them out again for it (--model)",
        path.display(), found.scale, found.shift_y, wanted.scale, wanted.shift_y
    )]
    OtherRule { path: PathBuf, found: CropRule, wanted: CropRule },
    #[error("the start '{0}' has no last layer that could be fitted")]
    NoHead(String),
    #[error(transparent)]
    Features(#[from] FeatureError),
    #[error(transparent)]
    Image(#[from] DatasetError),
    #[error(transparent)]
    Folds(#[from] FoldError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("interrupted; the same command goes on where it was")]
    Interrupted,
    #[error("the device failed: {0}")]
    Device(#[from] candle_core::Error),
}

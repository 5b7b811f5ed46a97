//! Why a video cannot be annotated.

use super::SettingError;
use super::decode::DecodeError;
use crate::files::WriteError;
use crate::nn::face_mesh::FaceMeshError;
use crate::nn::hands::HandsError;

/// Why a video could not be annotated.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum AnnotateError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{name}: the network failed: {source}")]
    Classify { name: String, source: candle_core::Error },
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Output(#[from] WriteError),
    #[error("the built-in face detector cannot be read: {0}")]
    Detector(std::io::Error),
    #[error("the built-in face mesh cannot be read: {0}")]
    FaceMesh(#[from] FaceMeshError),
    #[error("the built-in networks for hands cannot be read: {0}")]
    Hands(#[from] HandsError),
    #[error("stage '{stage}' cannot be started: {source}")]
    Thread { stage: &'static str, source: std::io::Error },
    #[error("stage '{stage}' panicked")]
    Panicked { stage: &'static str },
}

//! The networks that look at each face besides the expressions' model.

use super::mesh::HandNetworks;
use super::{AnnotateError, Settings};
use crate::nn::face_mesh::FaceMesh;
use crate::timeline::MeasureGroup;

/// Those that the settings ask for.
pub(super) struct Networks {
    /// The face mesh, where anything is measured.
    pub(super) face: Option<FaceMesh>,
    /// The networks for hands, where it is asked for what these do.
    pub(super) hands: Option<HandNetworks>,
}

impl Networks {
    /// Reads them.
    ///
    /// # Errors
    /// If one cannot be read, which tests exclude.
    pub(super) fn wanted(settings: &Settings) -> Result<Self, AnnotateError> {
        let face = (!settings.measures.is_empty()).then(FaceMesh::built_in).transpose()?;
        let hands = settings.wants(MeasureGroup::Hands).then(HandNetworks::built_in).transpose()?;
        Ok(Self { face, hands })
    }
}

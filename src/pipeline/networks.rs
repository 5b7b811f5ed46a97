//! The networks that look at each face besides the expressions' model.

use std::sync::OnceLock;

use super::mesh::HandNetworks;
use super::{AnnotateError, Settings};
use crate::nn::face_mesh::FaceMesh;
use crate::timeline::MeasureGroup;

/// Those that the settings ask for. Each is read when it is needed first, and once for all videos of the process.
pub(super) struct Networks {
    /// The face mesh, where anything is measured.
    pub(super) face: Option<&'static FaceMesh>,
    /// The networks for hands, where it is asked for what these do.
    pub(super) hands: Option<&'static HandNetworks>,
}

impl Networks {
    /// Reads what is needed for every face.
    ///
    /// # Errors
    /// If one cannot be read, which tests exclude.
    pub(super) fn wanted(settings: &Settings) -> Result<Self, AnnotateError> {
        static FACE: OnceLock<FaceMesh> = OnceLock::new();
        static HANDS: HandNetworks = HandNetworks::new();
        let face = (!settings.measures.is_empty()).then(|| read_once(&FACE, FaceMesh::built_in)).transpose()?;
        let hands = settings.wants(MeasureGroup::Hands).then_some(&HANDS);
        Ok(Self { face, hands })
    }
}

/// What `kept` holds, after it was read where that has not been done. Threads that come at the same time may both read it.
pub(super) fn read_once<T, E>(kept: &OnceLock<T>, read: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    match kept.get() {
        Some(there) => Ok(there),
        None => read().map(|new| kept.get_or_init(|| new)),
    }
}

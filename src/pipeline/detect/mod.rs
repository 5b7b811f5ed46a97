//! Face detectors behind one trait.

mod ahead;
mod seeta;
mod yunet;
pub mod yunet_network;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::picture::Plane;
use crate::picture::Region;
use crate::pipeline::detect::yunet_network::{YunetError, YunetWeights};
use crate::timeline::BoundingBox;

pub(crate) use ahead::{SearchAhead, SearchTimes, Searched, serve};
pub use seeta::Seeta;
pub use yunet::Yunet;

/// Where to search, and for faces of which sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchWindow {
    /// The part of the picture, turned by the expected turn of the head.
    pub region: Region,
    /// Side of the smallest face wanted, pixels.
    pub smallest: f32,
    /// Side of the largest face wanted, pixels.
    pub largest: f32,
}

impl SearchWindow {
    /// The whole of `luma`, for faces of at least `smallest` pixels.
    pub fn whole(luma: &Plane, smallest: f32) -> Self {
        let (width, height) = (luma.width as f32, luma.height as f32);
        let region = Region { x: width / 2.0, y: height / 2.0, width, height, angle_degrees: 0.0 };
        Self { region, smallest, largest: width.max(height) }
    }
}

/// A face that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// An upright square about the face as SeetaFace draws it, from above the brows to the chin; pixels of the picture.
    pub face: BoundingBox,
    /// The detector's confidence, on SeetaFace's scale for every detector: rarely below 1, likely a face from 2, almost
    /// certainly a face from 5.
    pub score: f32,
    /// In-plane turn of the head as the detector estimates it, degrees clockwise.
    pub roll_degrees: f32,
}

/// A face detector.
pub trait FaceDetector {
    /// The faces in `window`, the surest first.
    fn detect(&mut self, luma: &Plane, window: &SearchWindow) -> Vec<Detection>;
}

/// The detectors there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectorName {
    /// SeetaFace, which is built in
    #[default]
    Seeta,
    /// YuNet, whose network is read from a file
    Yunet,
}

impl Choice for DetectorName {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Seeta, "seeta", "SeetaFace, which is built in"),
        (Self::Yunet, "yunet", "YuNet, whose network is read from a file"),
    ];
}

/// The identity of a detector; part of the settings in every output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorIdentity {
    /// Its name.
    pub name: DetectorName,
    /// SHA-256 of its model file, hexadecimal; `None` for a built-in model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Makes detectors, each in the thread that uses it: SeetaFace cannot move between threads.
#[derive(Debug, Clone, Default)]
pub enum Detectors {
    /// SeetaFace.
    #[default]
    Seeta,
    /// YuNet with these weights.
    Yunet(Arc<YunetWeights>),
}

/// Why a detector cannot be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum DetectorError {
    #[error("the detector yunet needs its network")]
    NoModel,
    #[error("{}: a detector's model is for yunet (seeta is built in)", .0.display())]
    NeedlessModel(PathBuf),
    #[error(transparent)]
    Model(#[from] YunetError),
}

impl Detectors {
    /// Opens the detector of this name, with its model file if it needs one.
    ///
    /// # Errors
    ///
    /// If the file is missing, superfluous, or not the detector's.
    pub fn open(name: DetectorName, model: Option<&Path>) -> Result<Self, DetectorError> {
        match (name, model) {
            (DetectorName::Seeta, None) => Ok(Self::Seeta),
            (DetectorName::Seeta, Some(path)) => Err(DetectorError::NeedlessModel(path.into())),
            (DetectorName::Yunet, None) => Err(DetectorError::NoModel),
            (DetectorName::Yunet, Some(path)) => Ok(Self::Yunet(Arc::new(YunetWeights::read(path)?))),
        }
    }

    /// The identity of the detectors.
    pub fn identity(&self) -> DetectorIdentity {
        match self {
            Self::Seeta => DetectorIdentity::default(),
            Self::Yunet(weights) => {
                DetectorIdentity { name: DetectorName::Yunet, sha256: Some(weights.sha256().into()) }
            }
        }
    }

    /// Makes a detector.
    ///
    /// # Errors
    ///
    /// If the built-in model cannot be read; a test excludes this.
    pub fn make(&self) -> std::io::Result<Box<dyn FaceDetector>> {
        Ok(match self {
            Self::Seeta => Box::new(Seeta::new()?),
            Self::Yunet(weights) => Box::new(Yunet::new(Arc::clone(weights))),
        })
    }
}

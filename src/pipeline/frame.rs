//! A decoded picture on its way through the stages, with shared planes and exact time; nothing is copied.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::track::Descriptor;
use crate::picture::Planes;
use crate::time::Timestamp;
use crate::timeline::{BoundingBox, BoxSource, FaceMeasures, Regions, Status};

/// One decoded frame. Cloning shares the planes.
#[derive(Clone)]
pub struct Frame {
    /// Index in the decoded order, from 0.
    pub index: usize,
    /// Presentation time stamp in units of the stream's time base, as the container states it.
    pub pts: i64,
    /// Start of the frame, exactly; strictly rising over a video. It leaves `pts` only where the container's own stamp cannot
    /// be right (see [`DamageKind`](crate::timeline::DamageKind)).
    pub time: Timestamp,
    /// The same in seconds.
    pub time_s: f64,
    /// The picture.
    pub picture: Arc<dyn Planes>,
}

/// What the tracker says about one face in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The track's stable id, from 1.
    pub track: u32,
    /// What can be said about the face.
    pub status: Status,
    /// The face's box, in pixels of the displayed picture; `None` if it was not seen.
    pub face: Option<BoundingBox>,
    /// Probability that a face is here, 0 to 1; `None` if it was not judged in this frame.
    pub face_score: Option<f32>,
    /// Share of the face that something covers, 0 to 1; `None` if it was not judged.
    pub covered: Option<f32>,
    /// Where the box comes from.
    pub source: Option<BoxSource>,
    /// In-plane turn of the head, degrees clockwise; 0 where unknown.
    pub roll_degrees: f32,
    /// The signer's appearance, used to recognise them elsewhere in the video; `None` if the face was not seen.
    pub appearance: Option<Descriptor>,
    /// What the face does, nothing of it relative to the signer; `None` where that was not measured.
    pub measures: Option<FaceMeasures>,
    /// Which share of the face's regions hands cover; `None` where that was not judged.
    pub regions: Option<Regions>,
}

impl Sighting {
    /// Of a track whose face was not seen.
    pub fn absent(track: u32, status: Status) -> Self {
        Self {
            track,
            status,
            face: None,
            face_score: None,
            covered: None,
            source: None,
            roll_degrees: 0.0,
            appearance: None,
            measures: None,
            regions: None,
        }
    }
}

//! What each stage does with one frame. Threads drive the steps and pass frames on through channels (`look`); `measure` drives
//! them one after the other and takes the time of each.

use crossbeam_channel::{Receiver, Sender};

use super::classify::Cropped;
use super::detect::{Detectors, SearchTimes, Searched};
use super::frame::Sighting;
use super::mesh::Meshes;
use super::networks::Networks;
use super::span::{SpanTracker, Tracked};
use super::{AnnotateError, Excerpt, Settings, crop};
use crate::model::Model;
use crate::timeline::Status;

/// Side below which a face is too small to read, pixels.
const SMALLEST_READABLE: f32 = 16.0;

/// A stage with its memory: frames go in one by one, and come out in order, some of them later.
pub(super) trait FrameStep: Sized {
    type In;
    type Out;

    /// Takes the next frame; returns those that are ready.
    fn push(&mut self, frame: Self::In) -> Result<Vec<Self::Out>, AnnotateError>;

    /// There is no further frame; returns the rest.
    fn finish(self) -> Vec<Self::Out> {
        Vec::new()
    }
}

/// Drives a step until no frame comes any more, or the receiver of the results is gone.
pub(super) fn run<S: FrameStep>(mut step: S, from: Receiver<S::In>, to: Sender<S::Out>) -> Result<(), AnnotateError> {
    for frame in from {
        for ready in step.push(frame)? {
            if to.send(ready).is_err() {
                return Ok(());
            }
        }
    }
    for ready in step.finish() {
        if to.send(ready).is_err() {
            break;
        }
    }
    Ok(())
}

/// Finds and follows faces, span by span.
pub(super) struct Tracking<'a>(SpanTracker<'a>);

impl<'a> Tracking<'a> {
    pub(super) fn new(
        excerpt: &Excerpt,
        detectors: &'a Detectors,
        settings: &'a Settings,
        searches: SearchTimes,
    ) -> Self {
        let detector = || detectors.make().map_err(AnnotateError::Detector);
        Self(SpanTracker::new(excerpt.spans.clone(), &settings.track, Box::new(detector), searches))
    }
}

impl FrameStep for Tracking<'_> {
    type In = Searched;
    type Out = Tracked;

    fn push(&mut self, searched: Searched) -> Result<Vec<Tracked>, AnnotateError> {
        self.0.push(searched)
    }

    fn finish(self) -> Vec<Tracked> {
        self.0.finish()
    }
}

/// Says which faces are covered, and measures what faces do where that is wanted.
pub(super) struct Meshing {
    meshes: Option<Meshes<'static>>,
    occluded_above: f32,
}

impl Meshing {
    pub(super) fn new(Networks { face, hands }: Networks, settings: &Settings) -> Self {
        let occluded_above = settings.occluded_above as f32;
        let meshes = face.map(|face| Meshes::new(face, hands, occluded_above));
        Self { meshes, occluded_above }
    }
}

impl FrameStep for Meshing {
    type In = Tracked;
    type Out = Tracked;

    fn push(&mut self, mut tracked: Tracked) -> Result<Vec<Tracked>, AnnotateError> {
        for sighting in &mut tracked.sightings {
            mark_occluded(sighting, self.occluded_above);
        }
        if let Some(meshes) = &mut self.meshes {
            if tracked.begins.is_some() {
                meshes.begin();
            }
            meshes.look(&tracked.frame, &mut tracked.sightings)?;
        }
        Ok(vec![tracked])
    }
}

/// Says whether the face is covered by the share that was asked for.
fn mark_occluded(sighting: &mut Sighting, above: f32) {
    let is_judged = matches!(sighting.status, Status::Ok | Status::Occluded);
    if let Some(covered) = sighting.covered.filter(|_| is_judged) {
        sighting.status = if covered >= above { Status::Occluded } else { Status::Ok };
    }
}

/// Cuts the network's inputs out of the pictures, which are then no longer needed.
pub(super) struct Cropping<'a>(pub(super) &'a Model);

impl FrameStep for Cropping<'_> {
    type In = Tracked;
    type Out = Cropped;

    fn push(&mut self, Tracked { frame, sightings, begins }: Tracked) -> Result<Vec<Cropped>, AnnotateError> {
        let config = self.0.config();
        let input = |sighting: &Sighting| {
            crop::face(frame.picture.as_ref(), sighting, &config.crop, config.input.side, config.input.colours)
        };
        let readable = sightings.into_iter().map(unreadable_if_small);
        let faces = readable.map(|sighting| (input(&sighting), sighting)).map(|(i, s)| (s, i)).collect();
        Ok(vec![Cropped { pts: frame.pts, time_s: frame.time_s, begins, faces }])
    }
}

/// Meshing and cropping in one thread: neither holds frames back, and cropping takes less than handing a frame on to another
/// thread.
pub(super) struct MeshingAndCropping<'a>(pub(super) Meshing, pub(super) Cropping<'a>);

impl FrameStep for MeshingAndCropping<'_> {
    type In = Tracked;
    type Out = Cropped;

    fn push(&mut self, tracked: Tracked) -> Result<Vec<Cropped>, AnnotateError> {
        let mut ready = Vec::new();
        for meshed in self.0.push(tracked)? {
            ready.extend(self.1.push(meshed)?);
        }
        Ok(ready)
    }
}

/// A face of a few pixels is seen, but cannot be read.
pub(crate) fn unreadable_if_small(sighting: Sighting) -> Sighting {
    match sighting.face {
        Some(face) if sighting.status == Status::Ok && face.w < SMALLEST_READABLE => {
            Sighting { status: Status::LowQuality, ..sighting }
        }
        _ => sighting,
    }
}

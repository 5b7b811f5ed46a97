//! Probabilities for the faces of several frames at a time.

use crossbeam_channel::{Receiver, Sender};
use rayon::ThreadPool;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::frame::Sighting;
use super::span::Lead;
use crate::model::Model;
use crate::timeline::Probabilities;

/// The faces of a frame on the way to the classifier. The picture itself is no longer needed.
pub(super) struct Cropped {
    pub(super) pts: i64,
    pub(super) time_s: f64,
    pub(super) begins: Option<Lead>,
    /// Each face with its network input; none where there is nothing to classify.
    pub(super) faces: Vec<(Sighting, Option<Vec<f32>>)>,
}

/// The faces of a frame with their probabilities; all that is known of a frame by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Classified {
    /// Presentation time stamp in units of the time base.
    pub(crate) pts: i64,
    /// Start of the frame, seconds.
    pub(crate) time_s: f64,
    /// On the first frame of a span: what its tracker saw just before.
    pub(crate) begins: Option<Lead>,
    /// The tracks are those of the span.
    pub(crate) faces: Vec<(Sighting, Option<Probabilities>)>,
}

/// Classifies frame after frame in order. Frames that have piled up are taken together, up to `batch_size` faces: on the
/// CPU the faces of a batch are spread over the pool's threads, one network run a face, so that a face's result depends
/// neither on its neighbours nor on the number of threads; other devices get the batch in one piece.
pub(super) fn classify(
    model: &Model,
    pool: &ThreadPool,
    batch_size: usize,
    from: Receiver<Cropped>,
    to: Sender<Classified>,
) -> candle_core::Result<()> {
    while let Ok(first) = from.recv() {
        let mut frames = vec![first];
        let faces = |frames: &[Cropped]| -> usize {
            frames.iter().flat_map(|f| &f.faces).filter(|(_, input)| input.is_some()).count()
        };
        while faces(&frames) < batch_size
            && let Ok(next) = from.try_recv()
        {
            frames.push(next);
        }
        let mut inputs = Vec::new();
        let mut sightings = Vec::new();
        for frame in frames {
            let mut places = Vec::new();
            for (sighting, input) in frame.faces {
                places.push((sighting, input.as_ref().map(|_| inputs.len())));
                inputs.extend(input);
            }
            sightings.push((frame.pts, frame.time_s, frame.begins, places));
        }
        let probabilities = probabilities(model, pool, inputs)?;
        for (pts, time_s, begins, places) in sightings {
            let faces =
                places.into_iter().map(|(sighting, place)| (sighting, place.map(|p| probabilities[p]))).collect();
            if to.send(Classified { pts, time_s, begins, faces }).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn probabilities(model: &Model, pool: &ThreadPool, inputs: Vec<Vec<f32>>) -> candle_core::Result<Vec<Probabilities>> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    if model.device().is_cpu() {
        let one = |input| model.probabilities(input).map(|all| all[0]);
        return pool.install(|| inputs.into_par_iter().map(one).collect());
    }
    model.probabilities(inputs.concat())
}

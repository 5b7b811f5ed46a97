//! Probabilities for the faces of several frames at a time.

use crossbeam_channel::{Receiver, Sender};
use rayon::ThreadPool;

use super::frame::Sighting;
use crate::model::Model;
use crate::timeline::Probabilities;

/// The faces of a frame on the way to the classifier. The picture itself is no longer needed.
pub(super) struct Cropped {
    pub(super) pts: i64,
    pub(super) time_s: f64,
    /// Each face with its network input; none where there is nothing to classify.
    pub(super) faces: Vec<(Sighting, Option<Vec<f32>>)>,
}

/// The faces of a frame with their probabilities.
pub(super) struct Classified {
    pub(super) pts: i64,
    pub(super) time_s: f64,
    pub(super) faces: Vec<(Sighting, Option<Probabilities>)>,
}

/// Classifies frame after frame in order. Frames that have piled up are taken together, up to `batch_size` faces; on the
/// CPU these are spread over the pool's threads.
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
            sightings.push((frame.pts, frame.time_s, places));
        }
        let probabilities = probabilities(model, pool, inputs)?;
        for (pts, time_s, places) in sightings {
            let faces =
                places.into_iter().map(|(sighting, place)| (sighting, place.map(|p| probabilities[p]))).collect();
            if to.send(Classified { pts, time_s, faces }).is_err() {
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
    pool.install(|| model.probabilities(inputs.concat()))
}

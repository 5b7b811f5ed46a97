//! Measures how long each stage takes on a video; the stages run one after the other in one thread.

use std::time::{Duration, Instant};

use super::assemble::Assembler;
use super::classify::{Classified, Cropped};
use super::decode::{Decoder, Source};
use super::detect::Detectors;
use super::mesh::Meshes;
use super::span::SpanTracker;
use super::{AnnotateError, Excerpt, Execution, Settings, cropped, decode_options, meshed, network, tracker};
use crate::model::Model;

/// The time that a video's frames take.
#[derive(Debug, Clone)]
pub struct StageTimes {
    /// Decoded frames.
    pub frames: usize,
    /// Faces that were classified.
    pub faces: usize,
    /// Each stage by its name, in order.
    pub stages: Vec<(&'static str, Duration)>,
}

/// Names of the stages in order; `track` includes detection, `assemble` is smoothing and segments.
const STAGES: [&str; 6] = ["decode", "track", "mesh", "crop", "classify", "assemble"];

/// Annotates `source` without threads and takes the time of each stage.
///
/// # Errors
/// As [`annotate`](super::annotate).
pub fn measure(
    source: &Source,
    model: &Model,
    detectors: &Detectors,
    settings: &Settings,
    execution: &Execution,
) -> Result<StageTimes, AnnotateError> {
    settings.check()?;
    let network = network(settings)?;
    let mut meshes = network.as_ref().map(Meshes::new);
    let mut spent = [Duration::ZERO; STAGES.len()];
    let mut clock = Instant::now();
    let mut lap = |stage: usize| {
        let now = Instant::now();
        spent[stage] += now - clock;
        clock = now;
    };
    let mut decoder = Decoder::open(source, decode_options(settings, execution))?;
    let mut tracker = Some(tracker(&Excerpt::whole(), detectors, settings));
    let mut assembler = Assembler::new(settings);
    let (mut frames, mut faces) = (0, 0);
    loop {
        let frame = decoder.next_frame()?;
        lap(0);
        let is_last = frame.is_none();
        let tracked = match (frame, &mut tracker) {
            (Some(frame), Some(tracker)) => tracker.push(frame)?,
            _ => tracker.take().map(SpanTracker::finish).unwrap_or_default(),
        };
        lap(1);
        for tracked in tracked {
            frames += 1;
            let tracked = meshed(&mut meshes, settings, tracked);
            lap(2);
            let Cropped { pts, time_s, begins, faces: crops } = cropped(model, tracked);
            lap(3);
            let mut classified = Vec::new();
            for (sighting, input) in crops {
                let probabilities = input.map(|input| model.probabilities(input)).transpose();
                let probabilities =
                    probabilities.map_err(|error| AnnotateError::Classify { name: source.name(), source: error })?;
                faces += usize::from(probabilities.is_some());
                classified.push((sighting, probabilities.and_then(|all| all.first().copied())));
            }
            lap(4);
            assembler.push(Classified { pts, time_s, begins, faces: classified });
            lap(5);
        }
        if is_last {
            break;
        }
    }
    assembler.drain();
    assembler.finish(decoder.finish(), model.identity(), false);
    lap(5);
    Ok(StageTimes { frames, faces, stages: STAGES.into_iter().zip(spent).collect() })
}

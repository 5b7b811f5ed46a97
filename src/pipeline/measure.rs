//! How long each stage takes: the stages' steps, one after the other in one thread.

use std::time::{Duration, Instant};

use super::assemble::Assembler;
use super::classify::alone;
use super::decode::{Decoder, Source};
use super::detect::{Detectors, SearchTimes, Searched};
use super::networks::Networks;
use super::step::{Cropping, FrameStep, Meshing, Tracking};
use super::{AnnotateError, Excerpt, Execution, Settings, decode_options};
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
    let mut watch = Stopwatch { spent: [Duration::ZERO; STAGES.len()], since: Instant::now() };
    let mut decoder = Decoder::open(source, decode_options(settings, execution))?;
    let mut tracking = Some(Tracking::new(&Excerpt::whole(), detectors, settings, SearchTimes::default()));
    let mut meshing = Some(Meshing::new(Networks::wanted(settings)?, settings));
    let mut cropping = Some(Cropping(model));
    let mut assembler = Assembler::new(settings);
    let (mut frames, mut faces) = (0, 0);
    while tracking.is_some() {
        let frame = decoder.next_frame()?;
        watch.lap(0);
        let is_last = frame.is_none();
        let searched = frame.map(|frame| Searched { frame, search: None });
        let tracked = drive(&mut tracking, searched, is_last)?;
        watch.lap(1);
        let meshed = drive(&mut meshing, tracked, is_last)?;
        watch.lap(2);
        let cropped = drive(&mut cropping, meshed, is_last)?;
        watch.lap(3);
        for frame in cropped {
            frames += 1;
            faces += frame.faces.iter().filter(|(_, input)| input.is_some()).count();
            let classified =
                alone(model, frame).map_err(|error| AnnotateError::Classify { name: source.name(), source: error })?;
            watch.lap(4);
            assembler.push(classified);
            watch.lap(5);
        }
    }
    assembler.drain();
    assembler.finish(decoder.finish(), model.identity(), false);
    watch.lap(5);
    Ok(StageTimes { frames, faces, stages: STAGES.into_iter().zip(watch.spent).collect() })
}

/// Gives a step its next frames and, behind the last one, ends it.
fn drive<S: FrameStep>(
    step: &mut Option<S>,
    frames: impl IntoIterator<Item = S::In>,
    is_last: bool,
) -> Result<Vec<S::Out>, AnnotateError> {
    let mut ready = Vec::new();
    if let Some(step) = step {
        for frame in frames {
            ready.extend(step.push(frame)?);
        }
    }
    if is_last {
        ready.extend(step.take().map(FrameStep::finish).unwrap_or_default());
    }
    Ok(ready)
}

/// Takes the time of stages.
struct Stopwatch {
    spent: [Duration; STAGES.len()],
    since: Instant,
}

impl Stopwatch {
    /// All time since the last call was `stage`'s.
    fn lap(&mut self, stage: usize) {
        let now = Instant::now();
        self.spent[stage] += now - self.since;
        self.since = now;
    }
}

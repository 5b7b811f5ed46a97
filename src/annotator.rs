//! The front door: a video's path in, its timeline out.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use crate::files::WriteError;
use crate::model::{Model, ModelError, registry};
use crate::pipeline::decode::Source;
use crate::pipeline::detect::Detectors;
use crate::pipeline::{self, AnnotateError, Event, Execution, Settings};
use crate::platform::cores;
use crate::sink::{Beginning, FanOut, Written};
use crate::timeline::{Timeline, json_value};

/// Faces classified together: enough to fill the processor, and few enough to keep memory small.
const BATCH_SIZE: usize = 16;

/// Everything needed to annotate videos: a model, a face detector, settings.
///
/// ```no_run
/// use annotate::Annotator;
///
/// let annotator = Annotator::new()?;
/// let timeline = annotator.annotate("corpus.mp4")?;
/// for track in &timeline.tracks {
///     for segment in &track.segments {
///         println!("{} {:.2} to {:.2} s: {}", track.signer(), segment.start_s, segment.end_s, segment.label.name());
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Annotator {
    model: Model,
    detectors: Detectors,
    /// What changes the result; recorded in every timeline.
    pub settings: Settings,
    /// How the work is done; changes nothing in the result.
    pub execution: Execution,
}

impl Annotator {
    /// The built-in model and detector on the processor, with the default settings and a thread a core.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn new() -> Result<Self, ModelError> {
        Ok(Self::with_model(registry::open(Path::new(registry::DEFAULT), &Device::Cpu)?))
    }

    /// The same with another model.
    pub fn with_model(model: Model) -> Self {
        let execution =
            Execution { threads: cores(), batch_size: BATCH_SIZE, interrupt: Arc::default(), patience: Arc::default() };
        Self { model, detectors: Detectors::Seeta, settings: Settings::default(), execution }
    }

    /// Annotates the video file at `path`.
    ///
    /// # Errors
    /// If it cannot be opened, holds no video, or a stage fails. Damage in the video is no error: it stands in the
    /// timeline's summary, and `complete` is then false.
    pub fn annotate(&self, path: impl AsRef<Path>) -> Result<Timeline, AnnotateError> {
        self.annotate_while(&Source::File(path.as_ref().into()), |_| Ok(()))
    }

    /// Annotates any source, and hands every frame to `observe` as soon as its label is settled, in order.
    ///
    /// # Errors
    /// As [`annotate`](Self::annotate), and whatever `observe` returns.
    pub fn annotate_while(
        &self,
        source: &Source,
        mut observe: impl FnMut(Event) -> Result<(), WriteError>,
    ) -> Result<Timeline, AnnotateError> {
        pipeline::annotate(source, &self.model, &self.detectors, &self.settings, &self.execution, &mut observe)
    }

    /// Annotates any source, and writes it to all of `outputs` in one pass.
    ///
    /// # Errors
    /// As [`annotate`](Self::annotate), and where an output cannot be written.
    pub fn annotate_to(&self, source: &Source, mut outputs: FanOut) -> Result<(Timeline, Written), AnnotateError> {
        let model = self.model.identity();
        let settings = json_value(&self.settings).unwrap_or_default();
        let timeline = self.annotate_while(source, |event| match event {
            Event::Opened { media, .. } => outputs.begin(&Beginning { media, model: &model, settings: &settings }),
            Event::Frame(frame) => outputs.frame(frame),
        })?;
        let written = outputs.end(&timeline)?;
        Ok((timeline, written))
    }
}

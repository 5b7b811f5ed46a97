//! The stages that a frame passes through: decode, detect, track, crop, classify, stitch, smooth, segment.

mod assemble;
pub mod calibrate;
mod classify;
pub mod crop;
pub mod decode;
pub mod detect;
pub mod events;
pub mod frame;
pub mod measure;
pub(crate) mod mesh;
pub mod neutral;
pub mod segment;
mod setting;
pub mod smooth;
pub(crate) mod span;
mod stage;
mod stitch;
pub mod track;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::ThreadPoolBuilder;
use serde::{Deserialize, Serialize};

use crate::files::WriteError;
use crate::files::file_sha256;
use crate::infer::Precision;
use crate::model::Model;
use crate::nn::face_mesh::{FaceMesh, FaceMeshError};
use crate::timeline::{MeasureGroup, Media, SettledFrame, Status, Timeline};
pub(crate) use assemble::Assembler;
pub(crate) use classify::Classified;
use classify::{Cropped, classify};
use decode::{DecodeError, DecodeOptions, Decoded, Decoder, Deinterlace, Entry, Patience, Source};
use detect::{DetectorIdentity, Detectors};
use events::EventSettings;
use frame::{Frame, Sighting};
use mesh::Meshes;
use neutral::NeutralChoice;
use segment::SegmentSettings;
use smooth::SmoothSettings;
use span::{SpanTracker, Tracked};
use stage::Stages;
use track::TrackSettings;

pub use setting::SettingError;
use setting::require;

/// Everything that influences the output; recorded in every output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// When to deinterlace.
    pub deinterlace: Deinterlace,
    /// First moment wanted, seconds of container time.
    pub start_s: Option<f64>,
    /// First moment no longer wanted, seconds of container time.
    pub end_s: Option<f64>,
    /// Largest picture accepted, pixels.
    pub max_pixels: u64,
    /// The precision with which the network is computed.
    pub precision: Precision,
    /// The detector that finds faces.
    pub detector: DetectorIdentity,
    /// How faces are followed.
    pub track: TrackSettings,
    /// How labels are smoothed.
    pub smooth: SmoothSettings,
    /// How labels become segments.
    pub segment: SegmentSettings,
    /// Share of a face from which it counts as covered.
    pub occluded_above: f64,
    /// What is measured on faces, and written; nothing of it where the list is empty.
    pub measures: Vec<MeasureGroup>,
    /// What measures are relative to.
    pub neutral: NeutralChoice,
    /// From where on something is an event.
    pub events: EventSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deinterlace: Deinterlace::Auto,
            start_s: None,
            end_s: None,
            // 8K, both ways round.
            max_pixels: 7680 * 4320,
            precision: Precision::default(),
            detector: DetectorIdentity::default(),
            track: TrackSettings::default(),
            smooth: SmoothSettings::default(),
            segment: SegmentSettings::default(),
            occluded_above: 0.2,
            measures: MeasureGroup::ALL.into(),
            neutral: NeutralChoice::default(),
            events: EventSettings::default(),
        }
    }
}

impl Settings {
    /// Whether a group of measures is asked for.
    pub fn wants(&self, group: MeasureGroup) -> bool {
        self.measures.contains(&group)
    }

    /// Whether every setting makes sense; each way into the pipeline asks.
    ///
    /// # Errors
    /// The first setting that does not.
    pub fn check(&self) -> Result<(), SettingError> {
        self.track.check()?;
        self.smooth.check()?;
        self.segment.check()?;
        self.events.check()?;
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        require("occluded_above", self.occluded_above, "a share above 0, at most 1", is_share)?;
        let start_s = self.start_s.unwrap_or(f64::NEG_INFINITY);
        require("start_s", start_s, "a number of seconds", |start_s| !start_s.is_nan())?;
        let end_s = self.end_s.unwrap_or(f64::INFINITY);
        require("end_s", end_s, "a number of seconds after start_s", |end_s| end_s > start_s)
    }

    /// How a video is decoded without an interrupt flag.
    pub fn decode_options(&self) -> DecodeOptions {
        DecodeOptions {
            deinterlace: self.deinterlace,
            start_s: self.start_s,
            end_s: self.end_s,
            max_pixels: self.max_pixels,
            ..DecodeOptions::default()
        }
    }
}

/// How the work is done; has no influence on the output.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Threads that classify.
    pub threads: usize,
    /// Largest number of faces that are classified together.
    pub batch_size: usize,
    /// Set (by Ctrl-C, for example) to end early with what is done.
    pub interrupt: Arc<AtomicBool>,
    /// How long the source may stay silent, and whether it was silent for longer.
    pub patience: Arc<Patience>,
}

/// What is reported while a video is annotated.
pub enum Event<'a> {
    /// The input is open.
    Opened {
        /// The input's properties.
        media: &'a Media,
        /// Number of frames to expect, if the container states it.
        frames: Option<u64>,
    },
    /// A frame is finished.
    Frame(&'a SettledFrame),
}

/// Why a video could not be annotated.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum AnnotateError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{name}: the network failed: {source}")]
    Classify { name: String, source: candle_core::Error },
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Output(#[from] WriteError),
    #[error("the built-in face detector cannot be read: {0}")]
    Detector(std::io::Error),
    #[error("the built-in face mesh cannot be read: {0}")]
    FaceMesh(#[from] FaceMeshError),
    #[error("stage '{stage}' cannot be started: {source}")]
    Thread { stage: &'static str, source: std::io::Error },
    #[error("stage '{stage}' panicked")]
    Panicked { stage: &'static str },
}

/// Decoded frames that wait to be searched: 1080p in 4:2:0 takes 3 MB a frame.
const DECODED_AHEAD: usize = 8;
/// Frames that wait for their meshes, and frames that wait for their crops; both still hold their pictures.
const TRACKED_AHEAD: usize = 4;
/// Frames whose crops wait to be classified; enough to fill a batch.
const CROPPED_AHEAD: usize = 64;
/// Frames that wait for smoothing; a few hundred bytes each.
const CLASSIFIED_AHEAD: usize = 64;
/// Side below which a face is too small to read, pixels.
const SMALLEST_READABLE: f32 = 16.0;

/// Annotates one video: runs the stages that look at single frames, then stitches, smooths and segments. Calls `tell`
/// in this thread with each frame as soon as its label is settled, in order.
///
/// # Errors
///
/// The first error of any stage. Damage in the video is no error; the timeline records it.
pub fn annotate(
    source: &Source,
    model: &Model,
    detectors: &Detectors,
    settings: &Settings,
    execution: &Execution,
    tell: &mut dyn FnMut(Event) -> Result<(), WriteError>,
) -> Result<Timeline, AnnotateError> {
    let mut assembler = Assembler::new(settings);
    let mut see = |look: Look| match look {
        Look::Opened { media, frames } => tell(Event::Opened { media, frames }),
        Look::Frame(classified) => assembler.push(classified).iter().try_for_each(|row| tell(Event::Frame(row))),
    };
    let failed = AtomicBool::new(false);
    let (decoded, digest) = std::thread::scope(|scope| {
        let hash = || sha256(source, &[&failed, &execution.interrupt]);
        let digest = std::thread::Builder::new().name("hash".into()).spawn_scoped(scope, hash);
        let digest = digest.map_err(|source| AnnotateError::Thread { stage: "hash", source })?;
        let decoded = look(source, &Excerpt::whole(), model, detectors, settings, execution, &mut see);
        failed.store(decoded.is_err(), Ordering::Relaxed);
        Ok::<_, AnnotateError>((decoded, digest.join()))
    })?;
    let mut decoded = decoded?;
    decoded.media.sha256 = digest.map_err(|_| AnnotateError::Panicked { stage: "hash" })?;
    assembler.drain().iter().try_for_each(|row| tell(Event::Frame(row)))?;
    let was_interrupted = execution.interrupt.load(Ordering::Relaxed);
    Ok(assembler.finish(decoded, model.identity(), was_interrupted))
}

/// A part of a video that can be processed by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Excerpt {
    /// The spans wanted.
    pub(crate) spans: Range<i64>,
    /// The point at which decoding may start; without it, decoding starts with the video.
    pub(crate) entry: Option<Entry>,
}

impl Excerpt {
    /// The whole video.
    pub(crate) fn whole() -> Self {
        Self { spans: span::ALL, entry: None }
    }
}

/// What is reported while frames are processed.
pub(crate) enum Look<'a> {
    /// The input is open.
    Opened {
        /// The input's properties.
        media: &'a Media,
        /// Number of frames to expect in the whole input, if the container states it.
        frames: Option<u64>,
    },
    /// The next frame, with the tracks of its span.
    Frame(Classified),
}

/// Runs the stages that look at single frames and know nothing of the past beyond their span's lead: decode, detect,
/// track, crop, classify. Calls `take` in this thread with the frames in order.
///
/// # Errors
///
/// As [`annotate`].
pub(crate) fn look(
    source: &Source,
    excerpt: &Excerpt,
    model: &Model,
    detectors: &Detectors,
    settings: &Settings,
    execution: &Execution,
    take: &mut dyn FnMut(Look) -> Result<(), WriteError>,
) -> Result<Decoded, AnnotateError> {
    settings.check()?;
    let decoder = Decoder::open_at(source, excerpt.entry.as_ref(), decode_options(settings, execution))?;
    take(Look::Opened { media: decoder.media(), frames: decoder.expected_frames() })?;
    let pool = ThreadPoolBuilder::new().num_threads(execution.threads).build();
    let pool = pool.map_err(|e| AnnotateError::Thread { stage: "classify", source: std::io::Error::other(e) })?;

    let network = network(settings)?;
    let network = network.as_ref();
    let (to_track, decoded_frames) = bounded(DECODED_AHEAD);
    let (to_mesh, tracked_frames) = bounded(TRACKED_AHEAD);
    let (to_crop, meshed_frames) = bounded(TRACKED_AHEAD);
    let (to_classify, cropped_frames) = bounded(CROPPED_AHEAD);
    let (to_take, classified_frames) = bounded(CLASSIFIED_AHEAD);
    let stop = Arc::new(AtomicBool::new(false));
    let stages = Stages::new(Arc::clone(&stop));
    let mut decoded = None;
    std::thread::scope(|scope| {
        let (decoded, stop, pool) = (&mut decoded, &*stop, &pool);
        stages.spawn(scope, "decode", move || decode(decoder, excerpt, stop, to_track, decoded));
        stages.spawn(scope, "track", move || track(tracker(excerpt, detectors, settings), decoded_frames, to_mesh));
        stages.spawn(scope, "mesh", move || mesh(network, settings, tracked_frames, to_crop));
        stages.spawn(scope, "crop", move || crop(model, meshed_frames, to_classify));
        stages.spawn(scope, "classify", move || {
            classify(model, pool, execution.batch_size, cropped_frames, to_take)
                .map_err(|error| AnnotateError::Classify { name: source.name(), source: error })
        });
        let mut frames = classified_frames.into_iter();
        stages.run("take", || Ok(frames.try_for_each(|classified| take(Look::Frame(classified)))?));
    });
    stages.finish()?;
    decoded.ok_or(AnnotateError::Panicked { stage: "decode" })
}

/// How a video is decoded during `execution`, which can interrupt it.
pub fn decode_options(settings: &Settings, execution: &Execution) -> DecodeOptions {
    DecodeOptions {
        interrupt: Arc::clone(&execution.interrupt),
        patience: Arc::clone(&execution.patience),
        ..settings.decode_options()
    }
}

fn decode(
    mut decoder: Decoder,
    excerpt: &Excerpt,
    stop: &AtomicBool,
    to: Sender<Frame>,
    decoded: &mut Option<Decoded>,
) -> Result<(), AnnotateError> {
    let (mut first, mut count) = (None, 0);
    while !stop.load(Ordering::Relaxed) {
        let frame = match decoder.next_frame() {
            Ok(Some(frame)) => frame,
            // The video has ended or the user has interrupted; everything decoded so far is kept.
            Ok(None) | Err(DecodeError::Interrupted { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let cell = frame.time.cell();
        // More frames than wanted have been decoded, so that whatever befell those is known.
        if cell.tail_of >= excerpt.spans.end {
            break;
        }
        if excerpt.spans.contains(&cell.span) {
            first.get_or_insert(frame.index);
            count += 1;
        }
        if to.send(frame).is_err() {
            break;
        }
    }
    let mut all = decoder.finish();
    all.cut(first.unwrap_or(0), count, excerpt.spans.end == span::ALL.end);
    *decoded = Some(all);
    Ok(())
}

fn track(mut tracker: SpanTracker, from: Receiver<Frame>, to: Sender<Tracked>) -> Result<(), AnnotateError> {
    for frame in from {
        for tracked in tracker.push(frame)? {
            if to.send(tracked).is_err() {
                return Ok(());
            }
        }
    }
    for tracked in tracker.finish() {
        if to.send(tracked).is_err() {
            break;
        }
    }
    Ok(())
}

/// The face mesh, where anything of it is asked for.
fn network(settings: &Settings) -> Result<Option<FaceMesh>, AnnotateError> {
    if settings.measures.is_empty() { Ok(None) } else { Ok(Some(FaceMesh::built_in()?)) }
}

fn mesh(
    network: Option<&FaceMesh>,
    settings: &Settings,
    from: Receiver<Tracked>,
    to: Sender<Tracked>,
) -> Result<(), AnnotateError> {
    let mut meshes = network.map(Meshes::new);
    for tracked in from {
        if to.send(meshed(&mut meshes, settings, tracked)).is_err() {
            break;
        }
    }
    Ok(())
}

/// A frame with what its faces do.
fn meshed(meshes: &mut Option<Meshes>, settings: &Settings, mut tracked: Tracked) -> Tracked {
    for sighting in &mut tracked.sightings {
        occluded_above(sighting, settings.occluded_above as f32);
    }
    if let Some(meshes) = meshes {
        if tracked.begins.is_some() {
            meshes.begin();
        }
        meshes.look(&tracked.frame, &mut tracked.sightings);
    }
    tracked
}

/// Says whether the face is covered by the share that was asked for.
fn occluded_above(sighting: &mut Sighting, above: f32) {
    let is_judged = matches!(sighting.status, Status::Ok | Status::Occluded);
    if let Some(covered) = sighting.covered.filter(|_| is_judged) {
        sighting.status = if covered >= above { Status::Occluded } else { Status::Ok };
    }
}

fn tracker<'a>(excerpt: &Excerpt, detectors: &'a Detectors, settings: &'a Settings) -> SpanTracker<'a> {
    let detector = || detectors.make().map_err(AnnotateError::Detector);
    SpanTracker::new(excerpt.spans.clone(), &settings.track, Box::new(detector))
}

fn crop(model: &Model, from: Receiver<Tracked>, to: Sender<Cropped>) -> Result<(), AnnotateError> {
    for tracked in from {
        if to.send(cropped(model, tracked)).is_err() {
            break;
        }
    }
    Ok(())
}

/// A frame's faces with the network's inputs.
fn cropped(model: &Model, Tracked { frame, sightings, begins }: Tracked) -> Cropped {
    let config = model.config();
    let input = |sighting: &Sighting| {
        crop::face(frame.picture.as_ref(), sighting, &config.crop, config.input.side, config.input.colours)
    };
    let readable = sightings.into_iter().map(unreadable_if_small);
    let faces = readable.map(|sighting| (input(&sighting), sighting)).map(|(i, s)| (s, i)).collect();
    Cropped { pts: frame.pts, time_s: frame.time_s, begins, faces }
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

/// SHA-256 of a regular file, so that outputs can be matched to inputs; `None` for streams.
fn sha256(source: &Source, stop: &[&AtomicBool]) -> Option<String> {
    let Source::File(path) = source else { return None };
    // A file that decodes but cannot be read again has no hash; this is not an error.
    path.is_file()
        .then(|| file_sha256(path, &|| stop.iter().any(|flag| flag.load(Ordering::Relaxed))).ok().flatten())?
}

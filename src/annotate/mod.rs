//! The way of a frame: decode, detect, track, crop, classify, smooth, segment.

mod assemble;
pub mod calibrate;
mod classify;
pub mod crop;
pub mod decode;
pub mod detect;
pub mod frame;
pub mod measure;
pub mod segment;
mod setting;
pub mod smooth;
mod stage;
pub mod track;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::ThreadPoolBuilder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::infer::Precision;
use crate::model::Model;
use crate::timeline::{Media, Status, Timeline};
use crate::write::WriteError;
use assemble::Assembler;
use classify::{Classified, Cropped, classify};
use decode::{DecodeError, DecodeOptions, Decoded, Decoder, Deinterlace, Source};
use frame::{Frame, Sighting};
use segment::SegmentSettings;
use smooth::SmoothSettings;
use stage::Stages;
use track::{FaceTracker, TrackSettings};

pub use assemble::Row;
pub use setting::SettingError;

/// Everything that changes what is written; recorded in every output.
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
    /// What the network is computed with.
    pub precision: Precision,
    /// How faces are followed.
    pub track: TrackSettings,
    /// How labels are smoothed.
    pub smooth: SmoothSettings,
    /// How labels become segments.
    pub segment: SegmentSettings,
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
            track: TrackSettings::default(),
            smooth: SmoothSettings::default(),
            segment: SegmentSettings::default(),
        }
    }
}

/// How the work is done; changes nothing in what is written.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Threads that classify.
    pub threads: usize,
    /// Most faces classified together.
    pub batch_size: usize,
    /// Set (by Ctrl-C, say) to end early with what is done.
    pub interrupt: Arc<AtomicBool>,
}

/// What is told while a video is annotated.
pub enum Event<'a> {
    /// The input is open.
    Opened {
        /// What is known of it.
        media: &'a Media,
        /// How many frames to expect, where the container says.
        frames: Option<u64>,
    },
    /// A frame is finished.
    Frame(&'a Row),
}

/// Why a video could not be annotated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
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
    #[error("stage '{stage}' cannot be started: {source}")]
    Thread { stage: &'static str, source: std::io::Error },
    #[error("stage '{stage}' panicked")]
    Panicked { stage: &'static str },
}

/// Decoded frames that wait to be searched: 1080p in 4:2:0 takes 3 MB a frame.
const DECODED_AHEAD: usize = 8;
/// Frames that wait for their crops, still with their pictures.
const TRACKED_AHEAD: usize = 4;
/// Frames whose crops wait to be classified; enough to fill a batch.
const CROPPED_AHEAD: usize = 64;
/// Frames that wait for smoothing; a few hundred bytes each.
const CLASSIFIED_AHEAD: usize = 64;
/// Side below which a face is too small to read, pixels.
const SMALLEST_READABLE: f32 = 16.0;

/// Annotates one video: decode, detect, track, crop, classify, smooth, segment. `tell` hears of each frame as soon as its
/// label is settled, in order, in this thread.
///
/// # Errors
/// The first error of any stage. Damage in the video is none; it stands in the timeline.
pub fn annotate(
    source: &Source,
    model: &Model,
    settings: &Settings,
    execution: &Execution,
    tell: &mut dyn FnMut(Event) -> Result<(), WriteError>,
) -> Result<Timeline, AnnotateError> {
    settings.smooth.check()?;
    settings.segment.check()?;
    let decoder = Decoder::open(source, decode_options(settings, execution))?;
    tell(Event::Opened { media: decoder.media(), frames: decoder.expected_frames() })?;
    let pool = ThreadPoolBuilder::new().num_threads(execution.threads).build();
    let pool = pool.map_err(|e| AnnotateError::Thread { stage: "classify", source: std::io::Error::other(e) })?;

    let (to_track, decoded_frames) = bounded(DECODED_AHEAD);
    let (to_crop, tracked_frames) = bounded(TRACKED_AHEAD);
    let (to_classify, cropped_frames) = bounded(CROPPED_AHEAD);
    let (to_assemble, classified_frames) = bounded(CLASSIFIED_AHEAD);
    let stop = Arc::new(AtomicBool::new(false));
    let stages = Stages::new(Arc::clone(&stop));
    let (mut decoded, mut digest) = (None, None);
    let mut assembler = Assembler::new(settings);
    std::thread::scope(|scope| {
        let (decoded, digest, stop, pool) = (&mut decoded, &mut digest, &*stop, &pool);
        stages.spawn(scope, "decode", move || decode(decoder, stop, to_track, decoded));
        stages.spawn(scope, "track", move || track(settings, decoded_frames, to_crop));
        stages.spawn(scope, "crop", move || crop(model, tracked_frames, to_classify));
        stages.spawn(scope, "classify", move || {
            classify(model, pool, execution.batch_size, cropped_frames, to_assemble)
                .map_err(|error| AnnotateError::Classify { name: source.name(), source: error })
        });
        stages.spawn(scope, "hash", move || hash(source, &[stop, &execution.interrupt], digest));
        stages.run("assemble", || assemble(&mut assembler, classified_frames, tell));
    });
    stages.finish()?;
    let Some(mut decoded): Option<Decoded> = decoded else { return Err(AnnotateError::Panicked { stage: "decode" }) };
    decoded.media.sha256 = digest;
    let was_interrupted = execution.interrupt.load(Ordering::Relaxed);
    Ok(assembler.finish(decoded, model.identity(), was_interrupted))
}

/// How a video is decoded under `settings`.
pub fn decode_options(settings: &Settings, execution: &Execution) -> DecodeOptions {
    DecodeOptions {
        deinterlace: settings.deinterlace,
        start_s: settings.start_s,
        end_s: settings.end_s,
        max_pixels: settings.max_pixels,
        // A second one costs 20 % more work, and the cores are wanted by the other stages.
        threads: 1,
        interrupt: Arc::clone(&execution.interrupt),
    }
}

fn decode(
    mut decoder: Decoder,
    stop: &AtomicBool,
    to: Sender<Frame>,
    decoded: &mut Option<Decoded>,
) -> Result<(), AnnotateError> {
    while !stop.load(Ordering::Relaxed) {
        let frame = match decoder.next_frame() {
            Ok(Some(frame)) => frame,
            // The end, or the person's wish: what is decoded is kept.
            Ok(None) | Err(DecodeError::Interrupted { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        if to.send(frame).is_err() {
            break;
        }
    }
    *decoded = Some(decoder.finish());
    Ok(())
}

fn track(settings: &Settings, from: Receiver<Frame>, to: Sender<(Frame, Vec<Sighting>)>) -> Result<(), AnnotateError> {
    // Made here, because SeetaFace cannot move between threads.
    let mut tracker = tracker(settings)?;
    for frame in from {
        for tracked in tracker.push(frame) {
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

fn tracker(settings: &Settings) -> Result<FaceTracker, AnnotateError> {
    let detector = detect::Seeta::new().map_err(AnnotateError::Detector)?;
    Ok(FaceTracker::new(Box::new(detector), settings.track.clone()))
}

fn crop(model: &Model, from: Receiver<(Frame, Vec<Sighting>)>, to: Sender<Cropped>) -> Result<(), AnnotateError> {
    for (frame, sightings) in from {
        if to.send(cropped(model, &frame, sightings)).is_err() {
            break;
        }
    }
    Ok(())
}

/// A frame's faces with the network's inputs.
fn cropped(model: &Model, frame: &Frame, sightings: Vec<Sighting>) -> Cropped {
    let config = model.config();
    let input = |sighting: &Sighting| {
        let face = sighting.face.filter(|_| sighting.status == Status::Ok)?;
        let square = crop::face_square(&face, sighting.roll_degrees, &config.crop);
        Some(crop::crop(frame.picture.as_ref(), &square, config.input.side, config.input.colours))
    };
    let readable = sightings.into_iter().map(unreadable_if_small);
    let faces = readable.map(|sighting| (input(&sighting), sighting)).map(|(i, s)| (s, i)).collect();
    Cropped { pts: frame.pts, time_s: frame.time_s, faces }
}

/// A face of a few pixels is seen, but says nothing.
fn unreadable_if_small(sighting: Sighting) -> Sighting {
    match sighting.face {
        Some(face) if sighting.status == Status::Ok && face.w < SMALLEST_READABLE => {
            Sighting { status: Status::LowQuality, ..sighting }
        }
        _ => sighting,
    }
}

fn assemble(
    assembler: &mut Assembler,
    from: Receiver<Classified>,
    tell: &mut dyn FnMut(Event) -> Result<(), WriteError>,
) -> Result<(), AnnotateError> {
    for classified in from {
        for row in assembler.push(classified) {
            tell(Event::Frame(&row))?;
        }
    }
    for row in assembler.drain() {
        tell(Event::Frame(&row))?;
    }
    Ok(())
}

/// SHA-256 of a regular file, so that outputs can be matched to inputs; nothing for streams.
fn hash(source: &Source, stop: &[&AtomicBool], digest: &mut Option<String>) -> Result<(), AnnotateError> {
    let Source::File(path) = source else { return Ok(()) };
    if !path.is_file() {
        return Ok(());
    }
    // A file that decodes but cannot be read twice has no hash; that is no reason to fail.
    let Ok(mut file) = std::fs::File::open(path) else { return Ok(()) };
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        if stop.iter().any(|flag| flag.load(Ordering::Relaxed)) {
            return Ok(());
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => sha256.update(&chunk[..count]),
            Err(_) => return Ok(()),
        }
    }
    *digest = Some(sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
    Ok(())
}

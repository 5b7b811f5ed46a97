//! The way of a frame: decode, track (which detects), mesh, crop, classify, stitch, smooth, segment. [`annotate`] goes it for a
//! whole video; `look` runs the stages that look at single frames, for a whole video or a part of it.

mod assemble;
pub mod calibrate;
mod classify;
pub mod crop;
pub mod decode;
pub mod detect;
mod error;
pub mod events;
pub mod frame;
pub mod measure;
pub(crate) mod mesh;
mod networks;
pub mod neutral;
pub mod segment;
mod settings;
pub mod smooth;
pub(crate) mod span;
mod stage;
mod step;
mod stitch;
pub mod track;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, bounded};
use rayon::ThreadPoolBuilder;

use crate::files::{WriteError, file_sha256};
use crate::model::Model;
use crate::timeline::{Media, SettledFrame, Timeline};
pub(crate) use assemble::Assembler;
pub(crate) use classify::Classified;
use classify::classify;
use decode::{DecodeError, Decoded, Decoder, Entry, Source};
use detect::{Detectors, SearchAhead, SearchTimes, Searched, serve};
pub use error::AnnotateError;
use networks::Networks;
pub use settings::{Execution, SettingError, Settings, decode_options};
use stage::Stages;
#[cfg(feature = "train")]
pub(crate) use step::unreadable_if_small;
use step::{Cropping, Meshing, MeshingAndCropping, Tracking, run};
use track::{SEARCH_EVERY_S, whole_picture};

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

/// Decoded frames that wait for the tracker, so that one of them can be searched in the meantime: 1080p in 4:2:0 takes 3 MB a frame.
const DECODED_AHEAD: usize = 8;
/// Pictures that wait to be searched.
const SEARCHES_AHEAD: usize = 2;
/// Frames that wait for their meshes and crops; they still hold their pictures.
const TRACKED_AHEAD: usize = 4;
/// Frames whose crops wait to be classified; enough to fill a batch.
const CROPPED_AHEAD: usize = 64;
/// Frames that wait for smoothing; a few hundred bytes each.
const CLASSIFIED_AHEAD: usize = 64;

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
    let mut see = |look: StageEvent| match look {
        StageEvent::Opened { media, frames } => tell(Event::Opened { media, frames }),
        StageEvent::Frame(classified) => assembler.push(classified).iter().try_for_each(|row| tell(Event::Frame(row))),
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
pub(crate) enum StageEvent<'a> {
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
/// track, mesh, crop, classify. Calls `take` in this thread with the frames in order.
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
    take: &mut dyn FnMut(StageEvent) -> Result<(), WriteError>,
) -> Result<Decoded, AnnotateError> {
    settings.check()?;
    let decoder = Decoder::open_at(source, excerpt.entry.as_ref(), decode_options(settings, execution))?;
    take(StageEvent::Opened { media: decoder.media(), frames: decoder.expected_frames() })?;
    let pool = ThreadPoolBuilder::new().num_threads(execution.threads).build();
    let pool = pool.map_err(|e| AnnotateError::Thread { stage: "classify", source: std::io::Error::other(e) })?;

    let (to_track, decoded_frames) = bounded(DECODED_AHEAD);
    let (to_search, searches) = bounded(SEARCHES_AHEAD);
    let times = SearchTimes::default();
    let ahead = SearchAhead::new(SEARCH_EVERY_S, excerpt.spans.clone(), times.clone(), to_search);
    let (to_mesh, tracked_frames) = bounded(TRACKED_AHEAD);
    let (to_classify, cropped_frames) = bounded(CROPPED_AHEAD);
    let (to_take, classified_frames) = bounded(CLASSIFIED_AHEAD);
    let stop = Arc::new(AtomicBool::new(false));
    let stages = Stages::new(Arc::clone(&stop));
    let mut decoded = None;
    std::thread::scope(|scope| {
        let (decoded, stop, pool) = (&mut decoded, &*stop, &pool);
        stages.spawn(scope, "decode", move || decode(decoder, excerpt, stop, ahead, to_track, decoded));
        stages.spawn(scope, "search", move || {
            let mut detector = detectors.make().map_err(AnnotateError::Detector)?;
            serve(&mut *detector, |luma| whole_picture(luma, &settings.track), searches);
            Ok(())
        });
        stages.spawn(scope, "track", move || {
            run(Tracking::new(excerpt, detectors, settings, times), decoded_frames, to_mesh)
        });
        stages.spawn(scope, "mesh", move || {
            // Networks are read here, while the first pictures are decoded and searched.
            let meshing = Meshing::new(Networks::wanted(settings)?, settings);
            run(MeshingAndCropping(meshing, Cropping(model)), tracked_frames, to_classify)
        });
        stages.spawn(scope, "classify", move || {
            classify(model, pool, execution.batch_size, cropped_frames, to_take)
                .map_err(|error| AnnotateError::Classify { name: source.name(), source: error })
        });
        let mut frames = classified_frames.into_iter();
        stages.run("take", || Ok(frames.try_for_each(|classified| take(StageEvent::Frame(classified)))?));
    });
    stages.finish()?;
    decoded.ok_or(AnnotateError::Panicked { stage: "decode" })
}

fn decode(
    mut decoder: Decoder,
    excerpt: &Excerpt,
    stop: &AtomicBool,
    mut ahead: SearchAhead,
    to: Sender<Searched>,
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
        if to.send(ahead.push(frame)).is_err() {
            break;
        }
    }
    let mut all = decoder.finish();
    all.cut(first.unwrap_or(0), count, excerpt.spans.end == span::ALL.end);
    *decoded = Some(all);
    Ok(())
}

/// SHA-256 of a regular file, so that outputs can be matched to inputs; `None` for streams.
fn sha256(source: &Source, stop: &[&AtomicBool]) -> Option<String> {
    let Source::File(path) = source else { return None };
    // A file that decodes but cannot be read again has no hash; this is not an error.
    path.is_file()
        .then(|| file_sha256(path, &|| stop.iter().any(|flag| flag.load(Ordering::Relaxed))).ok().flatten())?
}

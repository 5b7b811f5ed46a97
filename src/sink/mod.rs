//! Several formats in one pass: a [`Sink`] takes one video's annotation while it is made, a [`FanOut`] passes it on to many.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use annotate::eaf::BundleOptions;
//! use annotate::sink::{FanOut, Target};
//!
//! let timeline = annotate::Timeline::read(Path::new("labels.json"))?;
//! let targets = [Target::of(Path::new("labels.srt"))?, Target::of(Path::new("labels.eaf"))?];
//! let written = FanOut::open(&targets, &BundleOptions::default())?.end(&timeline)?;
//! println!("{:?}", written.paths);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod target;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::eaf::{Bundle, BundleError, BundleOptions};
use crate::files::{Output, WriteError};
use crate::timeline::{FrameRecord, Media, ModelIdentity, SettledFrame, Timeline, Tool};
use crate::write::jsonl::{Header, LiveLines};
use crate::write::{Format, Writer, table_of_corpus, write};
pub use target::Target;

/// What is known of a video before its first frame.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// What the container's head tells.
    pub media: &'a Media,
    /// The model.
    pub model: &'a ModelIdentity,
    /// The effective settings.
    pub settings: &'a Value,
}

/// Takes the annotation of one video: its beginning, every frame whose label is settled, and the whole.
pub trait Sink {
    /// The video is open. Formats that are written at the end need nothing of it.
    ///
    /// # Errors
    /// If it cannot be written.
    fn begin(&mut self, _beginning: &Beginning) -> Result<(), WriteError> {
        Ok(())
    }

    /// The next frame, in order.
    ///
    /// # Errors
    /// If it cannot be written.
    fn frame(&mut self, _frame: &SettledFrame) -> Result<(), WriteError> {
        Ok(())
    }

    /// Writes what is missing, puts the files under their names, and returns their paths.
    ///
    /// # Errors
    /// If they cannot be written; none of them has changed then.
    fn end(self: Box<Self>, timeline: &Timeline) -> Result<Vec<PathBuf>, WriteError>;
}

/// A format that is written once the timeline is complete.
struct WholeFile {
    path: PathBuf,
    writer: Box<dyn Writer>,
    output: Output,
}

impl Sink for WholeFile {
    fn end(self: Box<Self>, timeline: &Timeline) -> Result<Vec<PathBuf>, WriteError> {
        write(timeline, &*self.writer, self.output)?;
        Ok(vec![self.path])
    }
}

/// Lines that are written while the video runs.
struct LiveFile {
    path: PathBuf,
    state: LiveState,
}

enum LiveState {
    /// The video is not open yet.
    Open(Output),
    Running(LiveLines),
    /// The header could not be written.
    Failed,
}

impl Sink for LiveFile {
    fn begin(&mut self, Beginning { media, model, settings }: &Beginning) -> Result<(), WriteError> {
        self.state = match std::mem::replace(&mut self.state, LiveState::Failed) {
            LiveState::Open(output) => {
                let tool = Tool::default();
                let header = Header::new(&tool, media, model, settings);
                LiveState::Running(LiveLines::begin(output, &header)?)
            }
            state => state,
        };
        Ok(())
    }

    fn frame(&mut self, frame: &SettledFrame) -> Result<(), WriteError> {
        let LiveState::Running(lines) = &mut self.state else { return Ok(()) };
        let faces: Vec<(u32, &FrameRecord)> = frame.faces.iter().map(|(track, record)| (*track, record)).collect();
        lines.frame((frame.frame, frame.pts, frame.time_s, frame.status), &faces)
    }

    fn end(self: Box<Self>, timeline: &Timeline) -> Result<Vec<PathBuf>, WriteError> {
        let Self { path, state } = *self;
        match state {
            LiveState::Running(lines) => lines.end(timeline)?,
            // There was no frame to write while the video ran.
            LiveState::Open(output) => match Format::Jsonl.writer() {
                Some(writer) => write(timeline, writer, output)?,
                None => return Ok(Vec::new()),
            },
            LiveState::Failed => return Ok(Vec::new()),
        }
        Ok(vec![path])
    }
}

impl Sink for Bundle {
    fn end(self: Box<Self>, timeline: &Timeline) -> Result<Vec<PathBuf>, WriteError> {
        self.write(timeline)
    }
}

/// What a [`FanOut`] has written.
#[derive(Debug)]
pub struct Written {
    /// The files, without standard output.
    pub paths: Vec<PathBuf>,
    /// Why which files were left as they are.
    pub kept: Vec<WriteError>,
}

/// Passes one video's annotation on to several sinks. All files are opened before the work begins, so that one that cannot
/// be written is known at once, and get their names after it, each whole.
#[derive(Default)]
pub struct FanOut {
    sinks: Vec<Box<dyn Sink>>,
    kept: Vec<WriteError>,
}

impl FanOut {
    /// Opens every target. Lines (`.jsonl`) are written while the video runs; `elan` says how ELAN's documents are written and
    /// what becomes of files that exist.
    ///
    /// # Errors
    /// If a target cannot be written, or holds what somebody has touched.
    pub fn open(targets: &[Target], elan: &BundleOptions) -> Result<Self, BundleError> {
        Self::opened(targets, elan, true)?.without_kept()
    }

    /// As [`open`](Self::open), but lines are written at the end as well: for a timeline that changes once more before it is
    /// written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at_end(targets: &[Target], elan: &BundleOptions) -> Result<Self, BundleError> {
        Self::opened(targets, elan, false)?.without_kept()
    }

    /// As [`open_at_end`](Self::open_at_end), but a file that somebody has touched stays, and the other targets are written;
    /// see [`kept`](Self::kept).
    ///
    /// # Errors
    /// If a target cannot be written.
    pub fn open_free(targets: &[Target], elan: &BundleOptions) -> Result<Self, BundleError> {
        Self::opened(targets, elan, false)
    }

    fn opened(targets: &[Target], elan: &BundleOptions, is_live: bool) -> Result<Self, BundleError> {
        let taken: Vec<PathBuf> = targets.iter().flat_map(Target::files).collect();
        let elan = BundleOptions { taken, ..elan.clone() };
        let mut fan_out = Self::default();
        for target in targets {
            match sinks(target, &elan, is_live) {
                Ok(sinks) => fan_out.sinks.extend(sinks),
                Err(BundleError::Write(error)) if error.is_taken() => fan_out.kept.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(fan_out)
    }

    fn without_kept(mut self) -> Result<Self, BundleError> {
        match self.kept.is_empty() {
            true => Ok(self),
            false => Err(self.kept.swap_remove(0).into()),
        }
    }

    /// Adds a sink of the caller's own.
    pub fn add(&mut self, sink: Box<dyn Sink>) {
        self.sinks.push(sink);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Why which files are left as they are.
    pub fn kept(&self) -> &[WriteError] {
        &self.kept
    }

    /// The video is open.
    ///
    /// # Errors
    /// The first one of a sink.
    pub fn begin(&mut self, beginning: &Beginning) -> Result<(), WriteError> {
        self.sinks.iter_mut().try_for_each(|sink| sink.begin(beginning))
    }

    /// The next frame, in order.
    ///
    /// # Errors
    /// The first one of a sink.
    pub fn frame(&mut self, frame: &SettledFrame) -> Result<(), WriteError> {
        self.sinks.iter_mut().try_for_each(|sink| sink.frame(frame))
    }

    /// Writes what is missing and puts every file under its name. A file that somebody has touched meanwhile stays.
    ///
    /// # Errors
    /// The first one of a sink; the files of the sinks before it are written.
    pub fn end(self, timeline: &Timeline) -> Result<Written, WriteError> {
        let (mut paths, mut kept) = (Vec::new(), self.kept);
        for sink in self.sinks {
            match sink.end(timeline) {
                Ok(written) => paths.extend(written),
                Err(error) if error.is_taken() => kept.push(error),
                Err(error) => return Err(error),
            }
        }
        paths.retain(|path| path != Path::new("-"));
        Ok(Written { paths, kept })
    }
}

/// Opens what writes `target` and the file that lies beside it.
fn sinks(target: &Target, elan: &BundleOptions, is_live: bool) -> Result<Vec<Box<dyn Sink>>, BundleError> {
    let Target { path, format, corpus_path } = target;
    let Some(writer) = format.writer() else {
        return Ok(vec![Box::new(Bundle::create(path, elan)?)]);
    };
    let output = elan.existing.create(path)?;
    let path = path.clone();
    let mut sinks: Vec<Box<dyn Sink>> = vec![match (format, corpus_path) {
        (Format::Jsonl, _) if is_live => Box::new(LiveFile { path, state: LiveState::Open(output) }),
        (Format::Parquet, Some(corpus_path)) => {
            Box::new(WholeFile { path, writer: Box::new(table_of_corpus(corpus_path)), output })
        }
        _ => Box::new(WholeFile { path, writer: Box::new(writer), output }),
    }];
    if let Some((path, writer)) = target.companion() {
        let output = elan.existing.create(&path)?;
        sinks.push(Box::new(WholeFile { path, writer: Box::new(writer), output }));
    }
    Ok(sinks)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::sample;
    use crate::timeline::Track;

    /// The frames as they are before anybody knows what is neutral.
    fn frames(timeline: &Timeline) -> Vec<SettledFrame> {
        let times = &timeline.frames;
        let record = |track: &Track, frame: usize| {
            let record = track.frames[frame - track.first_frame].clone();
            let both = record.measures.zip(track.neutral.as_ref());
            FrameRecord { measures: both.map(|(m, neutral)| m.absolute_from(&neutral.values)), ..record }
        };
        let face = |frame: usize| {
            let covering = timeline.tracks.iter().filter(|t| (t.first_frame..=t.last_frame).contains(&frame));
            covering.map(|track| (track.id, record(track, frame))).collect()
        };
        let frame = |frame: usize| SettledFrame {
            frame,
            pts: times.pts[frame],
            time_s: times.time_s[frame],
            status: times.status[frame],
            faces: face(frame),
        };
        (0..times.pts.len()).map(frame).collect()
    }

    #[test]
    fn one_pass_writes_every_format_with_the_bytes_of_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let timeline = Timeline { tool: Tool::default(), ..sample::two_signers() };
        let formats = Format::ALL.into_iter().filter(|format| format.writer().is_some());
        let targets: Vec<Target> =
            formats.map(|format| Target::of(&folder.path().join(format!("a{}", format.ending()))).unwrap()).collect();
        let mut fan_out = FanOut::open(&targets, &BundleOptions::default()).unwrap();
        let beginning = Beginning { media: &timeline.media, model: &timeline.model, settings: &timeline.settings };
        fan_out.begin(&beginning).unwrap();
        for frame in frames(&timeline) {
            fan_out.frame(&frame).unwrap();
        }
        let written = fan_out.end(&timeline).unwrap();
        assert_eq!(written.paths, targets.iter().flat_map(Target::files).collect::<Vec<_>>());
        assert!(written.kept.is_empty());
        for Target { path, format, .. } in targets {
            let mut expected = Vec::new();
            format.writer().unwrap().write(&timeline, &mut expected).unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "{}", format.name());
        }
    }

    #[test]
    fn a_sink_of_the_callers_own_sees_every_frame_and_the_whole() {
        struct Counting(Rc<RefCell<(usize, usize)>>);
        impl Sink for Counting {
            fn frame(&mut self, _: &SettledFrame) -> Result<(), WriteError> {
                self.0.borrow_mut().0 += 1;
                Ok(())
            }
            fn end(self: Box<Self>, timeline: &Timeline) -> Result<Vec<PathBuf>, WriteError> {
                self.0.borrow_mut().1 = timeline.tracks.len();
                Ok(Vec::new())
            }
        }
        let (timeline, counted) = (sample::two_signers(), Rc::default());
        let mut fan_out = FanOut::default();
        fan_out.add(Box::new(Counting(Rc::clone(&counted))));
        frames(&timeline).iter().for_each(|frame| fan_out.frame(frame).unwrap());
        fan_out.end(&timeline).unwrap();
        assert_eq!(*counted.borrow(), (timeline.frames.pts.len(), timeline.tracks.len()));
    }

    #[test]
    fn a_touched_file_stays_and_does_not_keep_the_others_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.json"), "a person's").unwrap();
        let targets = [at("a.json"), at("a.srt")].map(|path| Target::of(&path).unwrap());
        assert!(FanOut::open(&targets, &BundleOptions::default()).is_err());
        let written =
            FanOut::open_free(&targets, &BundleOptions::default()).unwrap().end(&sample::two_signers()).unwrap();
        assert_eq!(written.paths, [at("a.srt")]);
        assert!(matches!(&written.kept[..], [WriteError::Touched { .. }]));
        assert_eq!(std::fs::read(at("a.json")).unwrap(), b"a person's");
    }

    #[test]
    fn lines_of_a_video_that_never_opened_come_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let fan_out = FanOut::open(&[Target::of(&path).unwrap()], &BundleOptions::default()).unwrap();
        assert_eq!(fan_out.end(&sample::two_signers()).unwrap().paths, std::slice::from_ref(&path));
        assert!(std::fs::read_to_string(path).unwrap().lines().count() > 1);
    }
}

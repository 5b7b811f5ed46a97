//! JSON Lines, for use while the video is still running.
//!
//! - First line, a [`Header`]: `{"schema":"annotate/jsonl/2","tool":…,"media":…,"model":…,"settings":…}`, the media
//!   without what is only known at the end.
//! - Then one line per frame and signer, in order of frames: `{"frame":12,"pts":…,"time_s":…,"track":1,"signer":"A",
//!   "status":"ok","box":…,"face_score":…,"covered":…,"source":…,"measures":…,"probabilities":…,"label":…,"confidence":…}`,
//!   each field as in the timeline, but the measures: what a signer's neutral face is like is only known at the end, so that
//!   they stand as they are, not less the neutral ones, and without openness. A frame without any signer has a line without
//!   `track`.
//! - Last line: `{"complete":…,"media":…,"summary":…,"signers":[{"track":…,"neutral":…,"events":…}]}`. Where it is missing, the
//!   run was cut off.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Writer;
use super::rows::rows;
use crate::files::{Output, WriteError};
use crate::timeline::{
    BoxSource, Covered, Expression, FaceEvent, FaceMeasures, FrameRecord, Media, ModelIdentity, Neutral, Status,
    Summary, Timeline, Tool, Track, box_in_file, probability_in_file, score_in_file, signer, time_in_file,
};

/// The version of the lines' form.
pub const SCHEMA: &str = "annotate/jsonl/2";

/// A file on disk is brought up to date this often; a stream after every frame.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What is known before the first frame.
#[derive(Debug, Serialize)]
pub struct Header<'a> {
    /// [`SCHEMA`].
    schema: &'static str,
    tool: &'a Tool,
    media: MediaAhead<'a>,
    model: &'a ModelIdentity,
    settings: &'a serde_json::Value,
}

/// The part of [`Media`] that the container's head tells.
#[derive(Debug, Serialize)]
struct MediaAhead<'a> {
    path: &'a str,
    container: &'a str,
    codec: &'a str,
    width: u32,
    height: u32,
    rotation: u16,
    time_base: [i32; 2],
    frame_rate: [i32; 2],
    start_s: f64,
}

impl<'a> Header<'a> {
    /// A header; of `media` only what the container's head tells is used.
    pub fn new(tool: &'a Tool, media: &'a Media, model: &'a ModelIdentity, settings: &'a serde_json::Value) -> Self {
        let Media { path, container, codec, width, height, rotation, time_base, frame_rate, start_s, .. } = media;
        let media = MediaAhead {
            path,
            container,
            codec,
            width: *width,
            height: *height,
            rotation: *rotation,
            time_base: *time_base,
            frame_rate: *frame_rate,
            start_s: time_in_file(*start_s),
        };
        Self { schema: SCHEMA, tool, media, model, settings }
    }
}

/// One face in one frame, or a frame without a face.
#[derive(Serialize)]
struct FaceLine {
    frame: usize,
    pts: i64,
    time_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    status: Status,
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    face: Option<[f64; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    face_score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covered: Option<Covered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<BoxSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measures: Option<FaceMeasures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<[f64; Expression::COUNT]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<Expression>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
}

impl FaceLine {
    fn without_face(frame: usize, pts: i64, time_s: f64, status: Status) -> Self {
        Self {
            frame,
            pts,
            time_s,
            track: None,
            signer: None,
            status,
            face: None,
            face_score: None,
            covered: None,
            source: None,
            measures: None,
            probabilities: None,
            label: None,
            confidence: None,
        }
    }
}

#[derive(Serialize)]
struct Footer<'a> {
    complete: bool,
    media: &'a Media,
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signers: Vec<SignerLine<'a>>,
}

/// What is known of a signer at the end.
#[derive(Serialize)]
struct SignerLine<'a> {
    track: u32,
    neutral: &'a Neutral,
    events: &'a [FaceEvent],
}

impl<'a> Footer<'a> {
    fn of(timeline: &'a Timeline) -> Self {
        let Timeline { complete, media, summary, tracks, .. } = timeline;
        let signer = |track: &'a Track| {
            Some(SignerLine { track: track.id, neutral: track.neutral.as_ref()?, events: &track.events })
        };
        Self { complete: *complete, media, summary, signers: tracks.iter().filter_map(signer).collect() }
    }
}

/// The lines of one video while it is running. A file on disk gets its name with [`end`](Self::end).
pub struct LiveLines {
    lines: LineWriter<BufWriter<Output>>,
    flush_every: Duration,
    flushed: Instant,
}

impl LiveLines {
    /// Writes the header to `output`.
    pub fn begin(output: Output, header: &Header) -> Result<Self, WriteError> {
        let flush_every = if output.is_stream() { Duration::ZERO } else { FLUSH_EVERY };
        let lines = LineWriter { out: BufWriter::new(output), names: BTreeMap::new() };
        let mut live = Self { lines, flush_every, flushed: Instant::now() };
        live.lines.line(header).and_then(|()| live.lines.out.flush()).map_err(|source| live.error(source))?;
        Ok(live)
    }

    /// Writes the next frame: its index, pts, start in seconds and status, and the track id and record of every face
    /// in it, by id. Frames come in order.
    pub fn frame(
        &mut self,
        (frame, pts, time_s, status): (usize, i64, f64, Status),
        faces: &[(u32, &FrameRecord)],
    ) -> Result<(), WriteError> {
        self.lines.frame((frame, pts, time_s, status), faces).map_err(|source| self.error(source))?;
        if self.flushed.elapsed() >= self.flush_every {
            self.lines.out.flush().map_err(|source| self.error(source))?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// Writes the last line and moves the file to its path.
    pub fn end(mut self, timeline: &Timeline) -> Result<(), WriteError> {
        self.lines
            .line(&Footer::of(timeline))
            .and_then(|()| self.lines.out.flush())
            .map_err(|source| self.error(source))?;
        let (output, _) = self.lines.out.into_parts();
        output.commit()
    }

    fn error(&self, source: io::Error) -> WriteError {
        self.lines.out.get_ref().error(source)
    }
}

/// The same lines from a finished timeline.
pub(super) struct Jsonl;

impl Writer for Jsonl {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let Timeline { tool, settings, media, model, .. } = timeline;
        let neutral = |id: u32| timeline.tracks.iter().find(|track| track.id == id)?.neutral.as_ref();
        let names = timeline.tracks.iter().map(|track| (track.id, track.signer())).collect();
        let mut lines = LineWriter { out, names };
        lines.line(&Header::new(tool, media, model, settings))?;
        for row in rows(timeline) {
            // As they were before the neutral face was known.
            let absolute = |(id, record): &(u32, &FrameRecord)| {
                let both = record.measures.zip(neutral(*id));
                let measures = both.map(|(measures, neutral)| measures.absolute_from(&neutral.values));
                (*id, FrameRecord { measures, ..(*record).clone() })
            };
            let faces: Vec<(u32, FrameRecord)> = row.faces.iter().map(absolute).collect();
            let faces: Vec<(u32, &FrameRecord)> = faces.iter().map(|(id, record)| (*id, record)).collect();
            lines.frame((row.frame, row.pts, row.time_s, row.status), &faces)?;
        }
        lines.line(&Footer::of(timeline))
    }
}

/// The form of the lines, whoever writes them.
struct LineWriter<W> {
    out: W,
    /// What signers are called, as far as people have named them.
    names: BTreeMap<u32, String>,
}

impl<W: Write> LineWriter<W> {
    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    fn frame(
        &mut self,
        (frame, pts, time_s, status): (usize, i64, f64, Status),
        faces: &[(u32, &FrameRecord)],
    ) -> io::Result<()> {
        let time_s = time_in_file(time_s);
        if faces.is_empty() {
            return self.line(&FaceLine::without_face(frame, pts, time_s, status));
        }
        for &(track, record) in faces {
            let FrameRecord {
                frame,
                status,
                face,
                face_score,
                covered,
                source,
                measures,
                probabilities,
                label,
                confidence,
            } = *record;
            self.line(&FaceLine {
                frame,
                pts,
                time_s,
                track: Some(track),
                signer: Some(self.names.get(&track).cloned().unwrap_or_else(|| signer(track))),
                status,
                face: face.map(box_in_file),
                face_score: face_score.map(score_in_file),
                covered,
                source,
                measures,
                probabilities: probabilities.map(|probabilities| probabilities.map(probability_in_file)),
                label,
                confidence: confidence.map(probability_in_file),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sample;
    use crate::write::{Format, tests::bytes};

    /// As records are while the video is running.
    fn with_absolute_measures(timeline: &Timeline) -> Timeline {
        let mut timeline = timeline.clone();
        for track in &mut timeline.tracks {
            for record in &mut track.frames {
                let both = record.measures.zip(track.neutral.as_ref());
                record.measures = both.map(|(measures, neutral)| measures.absolute_from(&neutral.values));
            }
        }
        timeline
    }

    fn begin(timeline: &Timeline, path: &Path) -> LiveLines {
        let Timeline { tool, media, model, settings, .. } = timeline;
        LiveLines::begin(Output::create(path).unwrap(), &Header::new(tool, media, model, settings)).unwrap()
    }

    #[test]
    fn lines_written_while_running_are_those_of_the_finished_timeline() {
        let timeline = sample::two_signers();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut live = begin(&timeline, &path);
        let absolute = with_absolute_measures(&timeline);
        for row in rows(&absolute) {
            live.frame((row.frame, row.pts, row.time_s, row.status), &row.faces).unwrap();
        }
        assert!(!path.exists(), "the name appears with the last line");
        live.end(&timeline).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes(&timeline, Format::Jsonl));
    }

    #[test]
    fn a_reader_of_a_pipe_sees_every_frame_at_once() {
        use std::io::{BufRead, BufReader};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (sender, lines) = std::sync::mpsc::channel();
        let reading = path.clone();
        std::thread::spawn(move || {
            let pipe = BufReader::new(std::fs::File::open(reading).unwrap());
            pipe.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let next_line = || lines.recv_timeout(Duration::from_secs(20)).expect("the line comes before the next frame");
        let timeline = sample::two_signers();
        let mut live = begin(&timeline, &path);
        assert!(next_line().starts_with("{\"schema\":\"annotate/jsonl/2\""));
        live.frame((0, 7, 0.5, Status::NoFace), &[]).unwrap();
        assert_eq!(next_line(), "{\"frame\":0,\"pts\":7,\"time_s\":0.5,\"status\":\"no_face\"}");
        live.end(&Timeline { complete: false, ..timeline }).unwrap();
        assert!(next_line().starts_with("{\"complete\":false"));
    }

    #[test]
    fn a_full_disk_stops_the_run() {
        let timeline = sample::two_signers();
        let Timeline { tool, media, model, settings, .. } = &timeline;
        let error = LiveLines::begin(
            Output::create(Path::new("/dev/full")).unwrap(),
            &Header::new(tool, media, model, settings),
        )
        .err()
        .unwrap();
        assert_eq!(error.to_string(), "/dev/full: the disk is full");
    }
}

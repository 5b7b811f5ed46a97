//! The video once more, with boxes, names and strips drawn into it: same frames at the same times, sound untouched.
//!
//! What is drawn is the [`ass`](crate::write) script, by libass through libavfilter, and below it what the faces do, by ourselves.
#![expect(unsafe_code, reason = "Whether a container takes a codec is not in the binding")]

mod sketch;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Packet, Rational, codec, encoder, ffi, filter, format, media};

use crate::encode::{Encoding, PictureForm, copied};
use crate::files::{OutputOptions, WriteError};
use crate::nn::face_mesh::FaceMeshError;
use crate::pipeline::decode::{self, DecodeError, DecodeOptions, Decoder, Source};
use crate::pipeline::frame::Frame;
use crate::timeline::Timeline;
use crate::write;
use sketch::Sketch;

/// Why the video could not be drawn on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum OverlayError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    FaceMesh(#[from] FaceMeshError),
    #[error(transparent)]
    Output(#[from] WriteError),
    #[error("{folder}: no temporary file can be made there ({source}); set TMPDIR to a folder that can be written")]
    Temporary { folder: PathBuf, source: std::io::Error },
    #[error("{path}: a video is written as .mp4, .mov or .mkv")]
    Container { path: PathBuf },
    #[error("{path}: a name that is not UTF-8 cannot be given to the encoder")]
    Name { path: PathBuf },
    #[error("this FFmpeg has no {0}; write .ass instead and open it together with the video")]
    Lacks(&'static str),
    #[error("{path}: the video cannot be written: {reason}")]
    Encode { path: PathBuf, reason: String },
}

/// Writes `source` to `path` with `timeline` drawn into it. The timeline's frames are those that `options` decode; `existing`
/// says what becomes of a file that is there.
///
/// # Errors
/// If the source cannot be decoded again, FFmpeg lacks libass or an H.264 encoder, or the file cannot be written.
pub fn overlay(
    source: &Source,
    timeline: &Timeline,
    options: DecodeOptions,
    path: &Path,
    existing: OutputOptions,
) -> Result<(), OverlayError> {
    let container = container(path)?;
    let output = existing.create(path)?;
    let name =
        output.temporary_path().unwrap_or(path).to_str().ok_or_else(|| OverlayError::Name { path: path.into() })?;
    let failed = |error: ffmpeg::Error| OverlayError::Encode { path: path.into(), reason: error.to_string() };
    let script = script(timeline).map_err(|source| OverlayError::Temporary { folder: std::env::temp_dir(), source })?;
    let mut decoder = Decoder::open(source, options.clone())?;
    let sketch = Sketch::of(timeline)?;
    let mut sound = Some(Sound::open(source, &options)?);
    let mut film: Option<Film> = None;
    while let Some(frame) = decoder.next_frame()? {
        let film = match &mut film {
            Some(film) => film,
            None => {
                let canvas = Canvas::new(timeline, &frame, script.path())?;
                let sound = sound.take().unwrap_or_default();
                film.insert(Film::begin(name, container, timeline, canvas, sound).map_err(failed)?)
            }
        };
        let draw_face = |video: &mut Video| {
            if let Some(sketch) = &sketch {
                sketch.draw(timeline, frame.index, frame.picture.as_ref(), video);
            }
        };
        film.push(&frame, draw_face).map_err(failed)?;
    }
    if let Some(film) = film {
        film.end().map_err(failed)?;
    }
    Ok(output.commit()?)
}

/// FFmpeg's name of the container that the extension of `path` asks for.
fn container(path: &Path) -> Result<&'static str, OverlayError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "mp4" => Ok("mp4"),
        "mov" => Ok("mov"),
        "mkv" => Ok("matroska"),
        _ => Err(OverlayError::Container { path: path.into() }),
    }
}

/// The script in a file of its own, as libass wants it.
fn script(timeline: &Timeline) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().suffix(".ass").tempfile()?;
    let mut buffered = std::io::BufWriter::new(&mut file);
    write::overlay_script(timeline, &mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    Ok(file)
}

/// Draws on pictures.
struct Canvas {
    graph: filter::Graph,
    /// What the graph takes; a change needs another graph.
    shape: PictureForm,
    /// Size of every picture that comes out, even as H.264 with smaller chroma wants it.
    size: (u32, u32),
    time_base: Rational,
    script: PathBuf,
}

impl Canvas {
    fn new(timeline: &Timeline, first: &Frame, script: &Path) -> Result<Self, OverlayError> {
        if filter::find("ass").is_none() {
            return Err(OverlayError::Lacks("libass"));
        }
        let [numerator, denominator] = timeline.media.time_base;
        let shape = PictureForm::of(first.picture.as_ref());
        let mut canvas = Self {
            graph: filter::Graph::new(),
            shape,
            size: (shape.width.next_multiple_of(2), shape.height.next_multiple_of(2)),
            time_base: Rational(numerator, denominator),
            script: script.into(),
        };
        canvas.build().map_err(|e| OverlayError::Encode { path: script.into(), reason: e.to_string() })?;
        Ok(canvas)
    }

    fn build(&mut self) -> Result<(), ffmpeg::Error> {
        let PictureForm { format, width, height } = self.shape;
        let (even_width, even_height) = self.size;
        self.graph = filter::Graph::new();
        let arguments = format!(
            "video_size={width}x{height}:pix_fmt={}:time_base={}/{}:pixel_aspect=1/1",
            ffi::AVPixelFormat::from(format) as i32,
            self.time_base.numerator(),
            self.time_base.denominator(),
        );
        let (buffer, sink) = (filter::find("buffer"), filter::find("buffersink"));
        let (Some(buffer), Some(sink)) = (buffer, sink) else { return Err(ffmpeg::Error::FilterNotFound) };
        self.graph.add(&buffer, "in", &arguments)?;
        self.graph.add(&sink, "out", "")?;
        // A picture of another size than the first is scaled to it, as players do.
        let fit = match (width.next_multiple_of(2), height.next_multiple_of(2)) == self.size {
            true => format!("pad={even_width}:{even_height}"),
            false => format!("scale={even_width}:{even_height}"),
        };
        let script = escaped(&self.script.to_string_lossy());
        let steps = format!("{fit},ass=filename={script},format=yuv420p");
        self.graph.output("in", 0)?.input("out", 0)?.parse(&steps)?;
        self.graph.validate()
    }

    /// The picture of `frame` with everything drawn on it, what `draw_face` draws below the rest; its time stamp in the source's
    /// time base.
    fn draw(&mut self, frame: &Frame, draw_face: impl FnOnce(&mut Video)) -> Result<Video, ffmpeg::Error> {
        let shape = PictureForm::of(frame.picture.as_ref());
        if shape != self.shape {
            self.shape = shape;
            self.build()?;
        }
        let mut picture = copied(frame.picture.as_ref());
        draw_face(&mut picture);
        // Not the container's time stamp, which may run backwards where its clock was reset.
        picture.set_pts(Some(ticks(frame.time_s, self.time_base)));
        let find = |graph: &mut filter::Graph, name| graph.get(name).ok_or(ffmpeg::Error::FilterNotFound);
        find(&mut self.graph, "in")?.source().add(&picture)?;
        let mut drawn = Video::empty();
        find(&mut self.graph, "out")?.sink().frame(&mut drawn)?;
        Ok(drawn)
    }
}

/// A time in units of `time_base`.
fn ticks(time_s: f64, time_base: Rational) -> i64 {
    (time_s / f64::from(time_base)).round() as i64
}

/// A value in a filter description: quoting within quoting, as FFmpeg's manual has it ("Quoting and escaping").
fn escaped(text: &str) -> String {
    let mut once = String::new();
    for character in text.chars() {
        if matches!(character, '\\' | '\'' | ':') {
            once.push('\\');
        }
        once.push(character);
    }
    let mut twice = String::new();
    for character in once.chars() {
        if matches!(character, '\\' | '\'' | '[' | ']' | ',' | ';') {
            twice.push('\\');
        }
        twice.push(character);
    }
    twice
}

/// The video being written.
struct Film {
    canvas: Canvas,
    output: format::context::Output,
    encoder: encoder::video::Encoder,
    sound: Sound,
    /// How long the frame that starts at a tick is shown, in ticks; containers do not guess that of the last one.
    durations: HashMap<i64, i64>,
}

/// Encoding slower gains a few per cent in size and costs much time.
const PRESET: &str = "veryfast";
/// x264's usual quality.
const RATE_FACTOR: &str = "20";

impl Film {
    fn begin(
        name: &str,
        container: &str,
        timeline: &Timeline,
        canvas: Canvas,
        mut sound: Sound,
    ) -> Result<Self, ffmpeg::Error> {
        let mut output = format::output_as(name, container)?;
        let codec = encoder::find(codec::Id::H264).ok_or(ffmpeg::Error::EncoderNotFound)?;
        let encoding = Encoding {
            codec,
            size: canvas.size,
            time_base: canvas.time_base,
            frame_rate: timeline.media.frame_rate,
            colour: None,
            key_frames: None,
            options: &[("preset", PRESET), ("crf", RATE_FACTOR)],
        };
        let encoder = encoding.open(&mut output)?;
        sound.add_streams(&mut output)?;
        output.write_header()?;
        let times = &timeline.frames;
        let durations = (0..times.time_s.len()).map(|frame| {
            let end_s = times.end_s(frame, timeline.end_s());
            let [start, end] = [times.time_s[frame], end_s].map(|time_s| ticks(time_s, canvas.time_base));
            (start, end - start)
        });
        Ok(Self { durations: durations.collect(), canvas, output, encoder, sound })
    }

    fn push(&mut self, frame: &Frame, draw_face: impl FnOnce(&mut Video)) -> Result<(), ffmpeg::Error> {
        let drawn = self.canvas.draw(frame, draw_face)?;
        self.encoder.send_frame(&drawn)?;
        self.write_packets()?;
        self.sound.copy_until(frame.time_s, &mut self.output)
    }

    fn end(mut self) -> Result<(), ffmpeg::Error> {
        self.encoder.send_eof()?;
        self.write_packets()?;
        self.sound.copy_until(f64::INFINITY, &mut self.output)?;
        self.output.write_trailer()
    }

    fn write_packets(&mut self) -> Result<(), ffmpeg::Error> {
        let to = self.output.stream(0).ok_or(ffmpeg::Error::StreamNotFound)?.time_base();
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            packet.set_stream(0);
            let duration = packet.pts().and_then(|pts| self.durations.get(&pts).copied());
            packet.set_duration(duration.unwrap_or(0));
            packet.rescale_ts(self.canvas.time_base, to);
            packet.write_interleaved(&mut self.output)?;
        }
        Ok(())
    }
}

/// The source's sound, copied without decoding.
#[derive(Default)]
struct Sound {
    input: Option<format::context::Input>,
    /// Index in the output of each of the source's streams, where it goes along.
    stream_indices: Vec<Option<usize>>,
    /// Read and not written yet.
    next: Option<Packet>,
    start_s: f64,
    end_s: Option<f64>,
}

impl Sound {
    fn open(source: &Source, options: &DecodeOptions) -> Result<Self, DecodeError> {
        let input = decode::open(source, options)?.input;
        let (start_s, end_s) = (options.start_s.unwrap_or(f64::NEG_INFINITY), options.end_s);
        Ok(Self { input: Some(input), stream_indices: Vec::new(), next: None, start_s, end_s })
    }

    fn add_streams(&mut self, output: &mut format::context::Output) -> Result<(), ffmpeg::Error> {
        let Some(input) = &self.input else { return Ok(()) };
        for stream in input.streams() {
            let parameters = stream.parameters();
            let is_taken = parameters.medium() == media::Type::Audio && takes(output, parameters.id());
            if parameters.medium() == media::Type::Audio && !is_taken {
                tracing::warn!("sound in {} cannot be kept in this container; .mkv takes it", parameters.id().name());
            }
            let mut index = None;
            if is_taken {
                let mut copy = output.add_stream(encoder::find(codec::Id::None))?;
                copy.set_parameters(parameters);
                copy.set_time_base(stream.time_base());
                // The source's tag may mean nothing in this container.
                // SAFETY: a plain field of a stream that the output owns and that is not yet in use.
                unsafe { (*copy.parameters().as_mut_ptr()).codec_tag = 0 };
                index = Some(copy.index());
            }
            self.stream_indices.push(index);
        }
        Ok(())
    }

    /// Writes what starts before `time_s`.
    fn copy_until(&mut self, time_s: f64, output: &mut format::context::Output) -> Result<(), ffmpeg::Error> {
        let Some(input) = &mut self.input else { return Ok(()) };
        if self.stream_indices.iter().all(Option::is_none) {
            return Ok(());
        }
        loop {
            let mut packet = match self.next.take() {
                Some(packet) => packet,
                None => {
                    let mut packet = Packet::empty();
                    // At the end, or where the rest cannot be read, the sound ends.
                    if packet.read(input).is_err() {
                        return Ok(());
                    }
                    packet
                }
            };
            let Some(index) = self.stream_indices.get(packet.stream()).copied().flatten() else { continue };
            let (Some(from), Some(to)) = (input.stream(packet.stream()), output.stream(index)) else { continue };
            let (from, to) = (from.time_base(), to.time_base());
            let packet_s = packet.pts().or(packet.dts()).unwrap_or(0) as f64 * f64::from(from);
            if packet_s < self.start_s || self.end_s.is_some_and(|end_s| packet_s >= end_s) {
                continue;
            }
            if packet_s >= time_s {
                self.next = Some(packet);
                return Ok(());
            }
            packet.rescale_ts(from, to);
            packet.set_stream(index);
            packet.set_position(-1);
            packet.write_interleaved(output)?;
        }
    }
}

/// Whether the container takes the codec.
fn takes(output: &format::context::Output, codec: codec::Id) -> bool {
    // SAFETY: the output format outlives the calls, which only read its tables of codecs.
    unsafe {
        let format = (*output.as_ptr()).oformat;
        // Matroska takes whatever has a tag in its tables, beyond the codecs that it names itself (WMA, for one).
        let is_tagged = ffi::av_codec_get_tag((*format).codec_tag, codec.into()) != 0;
        let compliance = if is_tagged { ffi::FF_COMPLIANCE_UNOFFICIAL } else { ffi::FF_COMPLIANCE_NORMAL };
        ffi::avformat_query_codec(format, codec.into(), compliance) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_escaped_for_the_option_and_for_the_graph() {
        assert_eq!(escaped("/tmp/a.ass"), "/tmp/a.ass");
        assert_eq!(escaped("a:b"), r"a\\:b");
        assert_eq!(escaped("it's"), r"it\\\'s");
        assert_eq!(escaped("a,b[c]"), r"a\,b\[c\]");
    }

    #[test]
    fn only_containers_for_video_are_taken() {
        assert_eq!(container(Path::new("a.MKV")).unwrap(), "matroska");
        assert!(matches!(container(Path::new("a.json")), Err(OverlayError::Container { .. })));
    }
}

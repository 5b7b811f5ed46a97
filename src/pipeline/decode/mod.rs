//! The first stage: from a file or stream to displayed pictures with exact times. FFmpeg is used here and nowhere else.
#![allow(unsafe_code)] // A few fields of FFmpeg's contexts are not in the binding.

mod ending;
mod entry;
mod patience;
mod picture;
mod prepare;
mod reports;
mod source;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::packet::side_data::Type as SideData;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Packet, Rational, ffi};
use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::span::{self, Place};
use crate::timeline::{Damage, DamageKind, Media};
use entry::Proof;
pub(crate) use entry::{Entry, Packets};
pub use patience::Patience;
use picture::DecodedPicture;
use prepare::{Display, Preparer};
pub use source::Source;
pub(crate) use source::open;

/// When interlaced pictures are turned into progressive ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Deinterlace {
    /// Frames flagged as interlaced.
    Auto,
    /// Every frame.
    On,
    /// None.
    Off,
}

/// How to decode.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// When to deinterlace.
    pub deinterlace: Deinterlace,
    /// First moment wanted, seconds of container time.
    pub start_s: Option<f64>,
    /// First moment no longer wanted, seconds of container time.
    pub end_s: Option<f64>,
    /// Largest picture, pixels.
    pub max_pixels: u64,
    /// Decoding threads; one is best where other stages keep the cores busy (docs/benchmarks.md).
    pub threads: usize,
    /// Set to stop, also while a stream is waited for.
    pub interrupt: Arc<AtomicBool>,
    /// How long a stream may keep silent.
    pub patience: Arc<Patience>,
}

/// The whole of a video with pictures of at most 67 megapixels, on one thread, which nobody stops.
impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            deinterlace: Deinterlace::Auto,
            start_s: None,
            end_s: None,
            max_pixels: 1 << 26,
            threads: 1,
            interrupt: Arc::default(),
            patience: Arc::default(),
        }
    }
}

/// Why nothing can be decoded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DecodeError {
    #[error("{name}: no such file")]
    Missing { name: String },
    #[error("{name}: is a directory; give a video file")]
    Directory { name: String },
    #[error("{name}: the file is empty")]
    Empty { name: String },
    #[error("{name}: not a video, or damaged beyond recognition")]
    NotVideo { name: String },
    #[error("{name}: this kind of file is not opened (playlists, image files and network addresses are not videos)")]
    Refused { name: String },
    #[error("{name}: cannot be opened: {reason}")]
    NotOpened { name: String, reason: String },
    #[error("{name}: has no video stream")]
    NoVideo { name: String },
    #[error("{name}: there is no decoder for {codec}")]
    NoDecoder { name: String, codec: String },
    #[error("{name}: not one frame could be decoded: {reason}")]
    NothingDecoded { name: String, reason: String },
    #[error("{name}: pictures of {width}x{height} are larger than the limit of {limit} pixels (see --max-pixels)")]
    TooLarge { name: String, width: u32, height: u32, limit: u64 },
    #[error("{name}: no frame lies between --start and --end")]
    EmptyRange { name: String },
    #[error("{name}: the stream is lost: {reason}")]
    Lost { name: String, reason: String },
    #[error("{name}: the memory does not suffice (see --max-memory)")]
    OutOfMemory { name: String },
    #[error("{name}: interrupted")]
    Interrupted { name: String },
    #[error("{name}: the pictures cannot be converted: {reason}")]
    Conversion { name: String, reason: String },
}

impl DecodeError {
    /// The exit code that says what kind it is: 2 usage, 3 input refused, 7 a limit was reached, 75 try again.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::TooLarge { .. } | Self::OutOfMemory { .. } => 7,
            Self::Lost { .. } => 75,
            Self::EmptyRange { .. } => 2,
            _ => 3,
        }
    }
}

/// What is known once everything is decoded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decoded {
    /// The input, with the final counts.
    pub media: Media,
    /// How long the last frame is shown, seconds.
    pub last_frame_duration_s: f64,
    /// Damage, in order of place.
    pub damage: Vec<Damage>,
    /// Why the frames are not all there; empty where they are.
    pub incomplete_because: Vec<String>,
    /// Shortest and longest distance between frames, in time-base units.
    distances: Option<(i64, i64)>,
    /// Whether this is what decoding from the beginning gives; else it is void.
    pub(crate) is_proven: bool,
}

impl Decoded {
    /// Of all that was decoded, only the frames of an excerpt, from index `first` on; damage at its end belongs to what
    /// follows, unless nothing does.
    pub(super) fn cut(&mut self, first: usize, count: usize, is_last: bool) {
        self.damage.retain(|damage| damage.frame >= first && (is_last || damage.frame < first + count));
        self.damage.iter_mut().for_each(|damage| damage.frame -= first);
        self.media.frames = count;
    }

    /// The excerpts of one video, in order, as one. The first frame starts at `first_s`, the last one at `last_s`.
    pub(crate) fn join(excerpts: Vec<Self>, first_s: f64, last_s: f64) -> Option<Self> {
        let mut excerpts = excerpts.into_iter();
        let mut joined = excerpts.next()?;
        for next in excerpts {
            let frames = joined.media.frames;
            joined.damage.extend(next.damage.into_iter().map(|d| Damage { frame: d.frame + frames, ..d }));
            joined.media.frames += next.media.frames;
            joined.media.interlaced |= next.media.interlaced;
            joined.distances = match (joined.distances, next.distances) {
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                (one, other) => one.or(other),
            };
            joined.last_frame_duration_s = next.last_frame_duration_s;
            joined.is_proven &= next.is_proven;
        }
        joined.media.variable_frame_rate = is_variable(joined.distances);
        joined.media.duration_s = last_s - first_s + joined.last_frame_duration_s;
        joined.incomplete_because = reasons(&joined.damage);
        Some(joined)
    }
}

/// What damage means for the whole, in words.
fn reasons(damage: &[Damage]) -> Vec<String> {
    let count = |kind: DamageKind| damage.iter().filter(|d| d.kind == kind).map(|d| d.count).sum::<usize>();
    let counted = [
        (DamageKind::Corrupt, "frame(s) were decoded from damaged data"),
        (DamageKind::Lost, "packet(s) could not be decoded"),
        (DamageKind::TimeReset, "time(s) the container's clock ran backwards"),
        (DamageKind::Reported, "error(s) were reported by the decoder"),
    ];
    let counted = counted.map(|(kind, text)| (count(kind), text)).into_iter().filter(|(count, _)| *count > 0);
    let truncated = damage.iter().filter(|d| d.kind == DamageKind::Truncated).map(|d| d.message.clone());
    counted.map(|(count, text)| format!("{count} {text}")).chain(truncated).collect()
}

/// A video being decoded.
pub struct Decoder {
    name: String,
    opened: source::Opened,
    decoder: ffmpeg::decoder::Video,
    stream: usize,
    options: DecodeOptions,
    preparer: Preparer<Stamp>,
    ready: VecDeque<(Video, Stamp)>,
    ended: bool,
    clock: Clock,
    media: Media,
    stated_frames: Option<u64>,
    stated_end_s: Option<f64>,
    /// Frames decoded within the range.
    decoded: usize,
    given: usize,
    span: Span,
    /// Whether the frame decoded last lies ahead of the first moment wanted.
    is_before_the_range: bool,
    damage: Vec<Damage>,
    /// The source, and its file as it was in the beginning.
    source: (Source, Option<(u64, SystemTime)>),
    /// Packets of the video read, and where the last one ends in the file.
    packets: (u64, Option<u64>),
    /// Why a stream ended before its end.
    lost: Option<String>,
    /// Where decoding did not start at the beginning.
    proof: Option<Proof>,
    /// Whether the decoder has given all that the input holds.
    read_to_the_end: bool,
}

/// The time of a frame, beside its picture on the way through the filters.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    pts: i64,
    time_s: f64,
}

/// A read error after which another one follows this many times in a row ends the input.
const READ_ERRORS: usize = 64;

impl Decoder {
    /// Opens `source`. Only local files of known containers are opened, except for [`Source::Url`].
    ///
    /// # Errors
    /// If there is nothing to decode; each error names the input and the reason.
    pub fn open(source: &Source, options: DecodeOptions) -> Result<Self, DecodeError> {
        Self::open_at(source, None, options)
    }

    /// The same from `entry` on, or from the beginning where it is not found.
    pub(crate) fn open_at(source: &Source, entry: Option<&Entry>, options: DecodeOptions) -> Result<Self, DecodeError> {
        let name = source.name();
        reports::take();
        let state = source::state(source);
        let mut opened = open(source, &options.interrupt, &options.patience)?;
        let input = &mut opened.input;
        let container = input.format().name().to_owned();
        let duration_s = (input.duration() > 0).then(|| input.duration() as f64 / f64::from(ffi::AV_TIME_BASE));
        let best = input.streams().best(ffmpeg::media::Type::Video);
        let Some(stream) = best.filter(|s| !is_attached_picture(s)) else {
            return Err(DecodeError::NoVideo { name });
        };
        let index = stream.index();
        let time_base = stream.time_base();
        let (turn, rotation) = stream
            .side_data()
            .find(|data| data.kind() == SideData::DisplayMatrix)
            .map_or(("", 0), |data| turn(data.data()));
        // SAFETY: reading fields of a stream that lives as long as `input`.
        let (codec_id, width, height, sample_aspect, start_time) = unsafe {
            let raw = stream.as_ptr();
            let codec = &*(*raw).codecpar;
            let size = (codec.width.max(0) as u32, codec.height.max(0) as u32);
            (codec.codec_id, size.0, size.1, Rational::from((*raw).sample_aspect_ratio), (*raw).start_time)
        };
        too_large(&name, width, height, options.max_pixels)?;
        let codec = ffmpeg::codec::Id::from(codec_id).name().to_owned();
        let (frame_rate, stated_frames, stream_duration) =
            (stream.avg_frame_rate(), stream.frames(), stream.duration());
        let decoder = open_codec(&stream, &options).map_err(|error| match error {
            ffmpeg::Error::DecoderNotFound => DecodeError::NoDecoder { name: name.clone(), codec: codec.clone() },
            error if is_out_of_memory(error) => DecodeError::OutOfMemory { name: name.clone() },
            error => DecodeError::NotOpened { name: name.clone(), reason: error.to_string() },
        })?;
        let start_s = if start_time == ffi::AV_NOPTS_VALUE { 0.0 } else { start_time as f64 * f64::from(time_base) };
        let stated_end_s = match stream_duration {
            ticks if ticks > 0 => Some(start_s + ticks as f64 * f64::from(time_base)),
            // Containers without durations of streams (Matroska) count from zero, not from the first frame.
            _ => duration_s,
        };
        let display = Display {
            turn,
            sample_aspect,
            deinterlace_all: options.deinterlace == Deinterlace::On,
            deinterlace_flagged: options.deinterlace == Deinterlace::Auto,
            max_pixels: options.max_pixels,
        };
        let media = Media {
            path: name.clone(),
            sha256: None,
            container,
            codec,
            width: decoder.width(),
            height: decoder.height(),
            rotation,
            time_base: [time_base.numerator(), time_base.denominator()],
            frame_rate: if frame_rate.denominator() > 0 {
                [frame_rate.numerator(), frame_rate.denominator()]
            } else {
                [0, 1]
            },
            variable_frame_rate: false,
            interlaced: false,
            frames: 0,
            duration_s: 0.0,
        };
        if let Some(start) = options.start_s {
            let target = (start * f64::from(ffi::AV_TIME_BASE)) as i64;
            // A stream that cannot seek is read from its beginning; frames before the start are left out either way.
            if let Err(error) = input.seek(target, ..target) {
                tracing::debug!("{name}: seeking to {start} s: {error}");
            }
        }
        if let Some(entry) = entry {
            entry.seek(input, index);
        }
        for other in input.streams_mut() {
            if other.index() != index {
                // SAFETY: setting a plain field that tells the demuxer to leave the stream out.
                unsafe { (*other.as_ptr().cast_mut()).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
        let stated_frames = u64::try_from(stated_frames).ok().filter(|n| *n > 0).or_else(|| {
            let rate = f64::from(frame_rate);
            duration_s.filter(|_| rate.is_finite() && rate > 0.0).map(|d| (d * rate).round() as u64)
        });
        let mut this = Self {
            clock: Clock::new(time_base, frame_rate),
            preparer: Preparer::new(display),
            ready: VecDeque::new(),
            ended: false,
            stream: index,
            name,
            opened,
            decoder,
            media,
            stated_frames,
            stated_end_s,
            decoded: 0,
            given: 0,
            span: Span::default(),
            // What FFmpeg says while it opens a file concerns its beginning.
            is_before_the_range: options.start_s.is_some(),
            damage: Vec::new(),
            proof: entry.map(Proof::of),
            read_to_the_end: false,
            source: (source.clone(), state),
            packets: (0, None),
            lost: None,
            options,
        };
        this.hear();
        match (this.first_frame(), &this.proof) {
            (Err(_), Some(_)) => Self::open(source, this.options),
            (_, Some(proof)) if proof.is_void() => Self::open(source, this.options),
            (first, _) => first.map(|()| this),
        }
    }

    /// What is known of the input so far.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// How many frames to expect, where the container says.
    pub fn expected_frames(&self) -> Option<u64> {
        match (self.options.start_s, self.options.end_s) {
            (None, None) => self.stated_frames,
            (start, end) => {
                let rate = f64::from(self.media.frame_rate[0]) / f64::from(self.media.frame_rate[1].max(1));
                let end = end.into_iter().chain(self.stated_end_s).fold(f64::INFINITY, f64::min);
                let span = end - start.unwrap_or(0.0);
                (rate > 0.0 && span.is_finite()).then(|| (span * rate).max(0.0).round() as u64)
            }
        }
    }

    /// The frame's place among the video's spans.
    pub(crate) fn place(&self, frame: &Frame) -> Place {
        span::place_of(frame, self.media.time_base)
    }

    /// The next frame, or `None` at the end.
    ///
    /// # Errors
    /// On interruption, a picture over the limit, or pictures that cannot be converted. Damage is no error: it is
    /// counted and placed (see [`Decoded::damage`]).
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            if let Some((video, stamp)) = self.ready.pop_front() {
                if self.is_past_the_range(stamp) {
                    self.ended = true;
                    self.span.cut_at(stamp.time_s);
                    self.ready.clear();
                    return Ok(None);
                }
                let Some(picture) = DecodedPicture::new(video) else {
                    let reason = "a plane is missing".into();
                    return Err(DecodeError::Conversion { name: self.name.clone(), reason });
                };
                let index = self.given;
                self.given += 1;
                self.span.give(stamp.time_s);
                return Ok(Some(Frame { index, pts: stamp.pts, time_s: stamp.time_s, picture: Arc::new(picture) }));
            }
            if self.ended {
                return Ok(None);
            }
            self.decode_more()?;
        }
    }

    /// Sums up after the last frame.
    pub fn finish(mut self) -> Decoded {
        // A frame that was decoded and not asked for still says where the one ahead of it ends.
        if let Some((_, stamp)) = self.ready.front() {
            self.span.cut_at(stamp.time_s);
        }
        let last_frame_duration_s = self.span.last_frame_duration_s().unwrap_or(self.clock.last_duration_s);
        if let Some(reason) = &self.lost {
            self.end_early(format!("the stream was lost: {reason}"));
        }
        for reason in self.missing_at_the_end(last_frame_duration_s) {
            self.end_early(reason);
        }
        if self.source.1.is_some() && source::state(&self.source.0) != self.source.1 {
            self.end_early("the file was changed while it was read".into());
        }
        self.media.frames = self.given;
        self.media.duration_s = self.span.duration_s(last_frame_duration_s);
        self.media.variable_frame_rate = is_variable(self.clock.distances);
        Decoded {
            media: self.media,
            last_frame_duration_s,
            incomplete_because: reasons(&self.damage),
            damage: self.damage,
            distances: self.clock.distances,
            is_proven: self.proof.is_none_or(Proof::holds),
        }
    }

    /// Notes that more was to come after the last frame.
    fn end_early(&mut self, message: String) {
        self.damage.push(Damage { frame: self.given, kind: DamageKind::Truncated, count: 1, message });
    }

    /// What the container promised and its end did not bring.
    fn missing_at_the_end(&self, last_frame_duration_s: f64) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.read_to_the_end || self.options.end_s.is_some() {
            return missing;
        }
        if let (Some(stated), Some(end)) = (self.stated_end_s, self.clock.raw_end_s())
            && stated - end > 2.0 * last_frame_duration_s.max(1e-3) + 1e-6
            && !self.media.container.contains("mpegts")
        {
            missing.push(format!("the pictures end at {end:.3} s of {stated:.3} s announced"));
        }
        let (packets, packets_end) = self.packets;
        let is_whole = self.options.start_s.is_none() && self.proof.is_none();
        let listed = if is_whole { self.listed_packets() } else { 0 };
        // Two packets may make one picture, and one packet several.
        if packets < listed && (self.decoded as u64) < listed {
            missing.push(format!("of {listed} packets in the index {} are not there", listed - packets));
        }
        if let (Source::File(path), Some(_)) = &self.source
            && let Ok(Some(reason)) = ending::cut_off(path, &self.media.container, packets_end)
        {
            missing.push(format!("the file is cut off: {reason}"));
        }
        missing
    }

    /// How many packets of the video the container's index lists; zero without one that lists all.
    fn listed_packets(&self) -> u64 {
        if !self.media.container.starts_with("mov") && self.media.container != "avi" {
            return 0;
        }
        // SAFETY: reading the index of a stream that lives as long as the input.
        unsafe {
            let stream = (&*self.opened.input.as_ptr()).streams.add(self.stream).read();
            let entry = |index| ffi::avformat_index_get_entry(stream, index).as_ref();
            // AVI writes an empty entry where a frame is shown for longer.
            let listed = (0..ffi::avformat_index_get_entries_count(stream)).filter_map(entry).filter(|e| e.size() > 0);
            listed.count() as u64
        }
    }

    /// Decodes up to the first frame, so that an input in which nothing decodes is refused before anything is written.
    fn first_frame(&mut self) -> Result<(), DecodeError> {
        while self.ready.is_empty() && !self.ended {
            self.decode_more()?;
        }
        let first = self.ready.front().filter(|(_, stamp)| !self.is_past_the_range(*stamp));
        let Some((video, _)) = first else {
            if let Some(reason) = self.lost.take() {
                return Err(DecodeError::Lost { name: self.name.clone(), reason });
            }
            let is_range = self.options.start_s.is_some() || self.options.end_s.is_some();
            let reason = self.damage.first().map_or("it holds no pictures".into(), |d| d.message.clone());
            return Err(match is_range && self.damage.is_empty() {
                true => DecodeError::EmptyRange { name: self.name.clone() },
                false => DecodeError::NothingDecoded { name: self.name.clone(), reason },
            });
        };
        (self.media.width, self.media.height) = (video.width(), video.height());
        Ok(())
    }

    /// Takes one frame from the decoder or feeds it one packet.
    fn decode_more(&mut self) -> Result<(), DecodeError> {
        let mut video = Video::empty();
        match self.decoder.receive_frame(&mut video) {
            Ok(()) => {
                self.hear();
                self.accept(video)
            }
            Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => self.feed(),
            Err(ffmpeg::Error::Eof) => {
                self.ended = true;
                self.hear();
                self.read_to_the_end = self.lost.is_none();
                let last = self.preparer.finish();
                self.queue(last)
            }
            Err(error) => self.lose(error),
        }
    }

    fn accept(&mut self, video: Video) -> Result<(), DecodeError> {
        too_large(&self.name, video.width(), video.height(), self.options.max_pixels)?;
        if self.proof.as_mut().is_some_and(|proof| !proof.shows(video.timestamp())) {
            return Ok(());
        }
        // SAFETY: reading a field of a frame we own.
        let duration = unsafe { (*video.as_ptr()).pkt_duration };
        let (stamp, ran_backwards) = self.clock.stamp(video.timestamp(), duration);
        if self.proof.as_ref().is_some_and(|proof| !proof.wants(stamp.pts)) {
            // Pictures may be missing here.
            self.clock.distances = None;
        }
        if ran_backwards {
            self.note(DamageKind::TimeReset, format!("time stamp {} follows a later one", stamp.pts));
        }
        if video.is_corrupt() || video.has_decode_errors() {
            self.note(DamageKind::Corrupt, "the decoder marked the frame as damaged".into());
        }
        self.media.interlaced |= video.is_interlaced();
        self.is_before_the_range = self.options.start_s.is_some_and(|start| stamp.time_s < start);
        self.decoded += usize::from(!self.is_before_the_range);
        let prepared = self.preparer.push(video, stamp);
        self.queue(prepared)
    }

    fn is_past_the_range(&self, stamp: Stamp) -> bool {
        self.options.end_s.is_some_and(|end| stamp.time_s >= end)
    }

    fn feed(&mut self) -> Result<(), DecodeError> {
        let mut errors = 0;
        loop {
            if self.options.interrupt.load(Ordering::Relaxed) {
                return Err(DecodeError::Interrupted { name: self.name.clone() });
            }
            let mut packet = Packet::empty();
            match self.options.patience.reading(|| packet.read(&mut self.opened.input)) {
                Ok(()) if packet.stream() != self.stream => continue,
                Ok(()) if self.proof.as_mut().is_some_and(|proof| !proof.takes(&packet)) => {
                    if self.proof.as_ref().is_some_and(Proof::is_void) {
                        self.ended = true;
                        return Ok(());
                    }
                }
                Ok(()) => {
                    self.hear();
                    let end = packet.position().try_into().ok().map(|position: u64| position + packet.size() as u64);
                    self.packets = (self.packets.0 + 1, end);
                    if packet.is_corrupt() {
                        self.note(DamageKind::Corrupt, "a packet is cut or damaged".into());
                    }
                    match self.decoder.send_packet(&packet) {
                        Ok(()) => self.hear(),
                        Err(error) => self.lose(error)?,
                    }
                    return Ok(());
                }
                Err(_) if self.options.interrupt.load(Ordering::Relaxed) => {
                    return Err(DecodeError::Interrupted { name: self.name.clone() });
                }
                Err(error) => {
                    errors += 1;
                    // Once the wait was broken off, FFmpeg says so at every further read.
                    let is_silent = self.source.0.is_stream()
                        && (error == ffmpeg::Error::Exit || self.options.patience.has_run_out());
                    let is_broken = matches!(self.source.0, Source::Url(_)) && error != ffmpeg::Error::Eof;
                    if is_silent || is_broken {
                        let reason = if is_silent { self.options.patience.reason() } else { error.to_string() };
                        self.lost = Some(reason);
                        self.options.patience.lose();
                    } else if error != ffmpeg::Error::Eof {
                        self.lose(error)?;
                    }
                    self.hear();
                    if self.lost.is_some() || error == ffmpeg::Error::Eof || errors >= READ_ERRORS {
                        // After this the decoder only gives what it holds.
                        if let Err(error) = self.decoder.send_eof() {
                            self.lose(error)?;
                            self.ended = true;
                        }
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Notes that something could not be decoded.
    fn lose(&mut self, error: ffmpeg::Error) -> Result<(), DecodeError> {
        if is_out_of_memory(error) {
            return Err(DecodeError::OutOfMemory { name: self.name.clone() });
        }
        let message = reports::take().map_or_else(|| error.to_string(), |report| report.message);
        self.note(DamageKind::Lost, message);
        Ok(())
    }

    /// Notes what FFmpeg has logged since the last time.
    fn hear(&mut self) {
        if let Some(report) = reports::take() {
            let kind = DamageKind::Reported;
            self.note_several(kind, report.count, report.message);
        }
    }

    /// Keeps what the person wants of the prepared frames, to be given one by one.
    fn queue(&mut self, prepared: Result<Vec<(Video, Stamp)>, ffmpeg::Error>) -> Result<(), DecodeError> {
        let prepared = prepared.map_err(|error| match is_out_of_memory(error) {
            true => DecodeError::OutOfMemory { name: self.name.clone() },
            false => DecodeError::Conversion { name: self.name.clone(), reason: error.to_string() },
        })?;
        let start_s = self.options.start_s.unwrap_or(f64::NEG_INFINITY);
        self.ready.extend(prepared.into_iter().filter(|(_, stamp)| stamp.time_s >= start_s));
        Ok(())
    }

    /// Places damage at the frame that is decoded next; repeated damage of one kind at one place is counted.
    fn note(&mut self, kind: DamageKind, message: String) {
        self.note_several(kind, 1, message);
    }

    fn note_several(&mut self, kind: DamageKind, count: usize, message: String) {
        if let Some(proof) = &mut self.proof {
            proof.fail();
        }
        // What comes ahead of the first moment wanted is not the person's concern.
        if self.is_before_the_range {
            return;
        }
        let frame = self.decoded;
        match self.damage.last_mut() {
            Some(last) if last.frame == frame && last.kind == kind => last.count += count,
            _ => self.damage.push(Damage { frame, kind, count, message }),
        }
    }
}

fn is_out_of_memory(error: ffmpeg::Error) -> bool {
    error == ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM }
}

fn too_large(name: &str, width: u32, height: u32, limit: u64) -> Result<(), DecodeError> {
    match u64::from(width) * u64::from(height) > limit {
        true => Err(DecodeError::TooLarge { name: name.into(), width, height, limit }),
        false => Ok(()),
    }
}

fn is_attached_picture(stream: &ffmpeg::Stream) -> bool {
    stream.disposition().contains(ffmpeg::format::stream::Disposition::ATTACHED_PIC)
}

fn open_codec(stream: &ffmpeg::Stream, options: &DecodeOptions) -> Result<ffmpeg::decoder::Video, ffmpeg::Error> {
    let mut context = ffmpeg::codec::context::Context::from_parameters(stream.parameters())?;
    context.set_threading(ffmpeg::threading::Config {
        kind: ffmpeg::threading::Type::Frame,
        count: options.threads,
        ..Default::default()
    });
    // SAFETY: setting plain fields of a context we own, before it is opened. Twice the limit, because the decoder counts
    // padded pictures; the exact limit is checked on each frame.
    unsafe {
        let raw = context.as_mut_ptr();
        (*raw).max_pixels = i64::try_from(options.max_pixels.saturating_mul(2)).unwrap_or(i64::MAX);
        (*raw).pkt_timebase = stream.time_base().into();
    }
    context.decoder().video()
}

/// The filter that turns the picture upright, and the clockwise angle, from a display matrix (ISO/IEC 14496-12, 6.2.2):
/// nine 32-bit fixed-point numbers.
fn turn(matrix: &[u8]) -> (&'static str, u16) {
    let numbers: Vec<i32> =
        matrix.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok().map(i32::from_ne_bytes)).collect();
    let Some(&[a, b, _, c, d]) = numbers.get(..5).and_then(|n| n.first_chunk::<5>()) else { return ("", 0) };
    match (a.signum(), b.signum(), c.signum(), d.signum()) {
        (1, 0, 0, -1) => ("vflip,copy", 0),
        (-1, 0, 0, 1) => ("hflip", 0),
        (-1, 0, 0, -1) => ("hflip,vflip", 180),
        (0, 1, -1, 0) => ("transpose=clock", 90),
        (0, -1, 1, 0) => ("transpose=cclock", 270),
        (0, 1, 1, 0) => ("transpose=cclock_flip", 0),
        (0, -1, -1, 0) => ("transpose=clock_flip", 0),
        _ => ("", 0),
    }
}

/// Where the frames that were given lie, seconds.
#[derive(Default)]
struct Span {
    first_and_last_s: Option<(f64, f64)>,
    /// Start of a frame that follows the last one and was not given.
    next_s: Option<f64>,
}

impl Span {
    fn give(&mut self, time_s: f64) {
        let first_s = self.first_and_last_s.map_or(time_s, |(first_s, _)| first_s);
        self.first_and_last_s = Some((first_s, time_s));
    }

    fn cut_at(&mut self, time_s: f64) {
        self.next_s.get_or_insert(time_s);
    }

    /// Known where another frame follows.
    fn last_frame_duration_s(&self) -> Option<f64> {
        Some(self.next_s? - self.first_and_last_s?.1)
    }

    fn duration_s(&self, last_frame_duration_s: f64) -> f64 {
        self.first_and_last_s.map_or(0.0, |(first_s, last_s)| last_s - first_s + last_frame_duration_s)
    }
}

/// Time stamps of frames in display order.
struct Clock {
    time_base: Rational,
    /// Frame duration in time-base units where the container states a rate, for frames without time stamps.
    usual_duration: f64,
    previous: Option<(i64, f64)>,
    /// Added to the container's time after it ran backwards, seconds.
    offset_s: f64,
    last_duration_s: f64,
    /// Shortest and longest distance between frames, in time-base units.
    distances: Option<(i64, i64)>,
}

impl Clock {
    fn new(time_base: Rational, frame_rate: Rational) -> Self {
        let seconds = f64::from(frame_rate.invert());
        let usual = seconds / f64::from(time_base);
        let usual_duration = if usual.is_finite() && usual > 0.0 { usual } else { 1.0 };
        Self { time_base, usual_duration, previous: None, offset_s: 0.0, last_duration_s: 0.0, distances: None }
    }

    /// The time of the next frame, and whether the container's clock ran backwards before it.
    fn stamp(&mut self, pts: Option<i64>, duration: i64) -> (Stamp, bool) {
        let pts = match (pts, self.previous) {
            (Some(pts), _) => pts,
            (None, Some((previous, _))) => previous.saturating_add((self.usual_duration.round() as i64).max(1)),
            (None, None) => 0,
        };
        let duration = if duration > 0 { duration as f64 } else { self.usual_duration };
        self.last_duration_s = duration * f64::from(self.time_base);
        let container_s = seconds(pts, [self.time_base.numerator(), self.time_base.denominator()]);
        let mut ran_backwards = false;
        if let Some((previous_pts, previous_s)) = self.previous {
            ran_backwards = container_s + self.offset_s <= previous_s;
            if ran_backwards {
                self.offset_s = previous_s + self.usual_duration * f64::from(self.time_base) - container_s;
            } else {
                let distance = pts.saturating_sub(previous_pts);
                let (shortest, longest) = self.distances.unwrap_or((distance, distance));
                self.distances = Some((shortest.min(distance), longest.max(distance)));
            }
        }
        let time_s = container_s + self.offset_s;
        self.previous = Some((pts, time_s));
        (Stamp { pts, time_s }, ran_backwards)
    }

    /// End of the last frame in the container's own time.
    fn raw_end_s(&self) -> Option<f64> {
        self.previous.map(|(_, time_s)| time_s - self.offset_s + self.last_duration_s)
    }
}

/// A time stamp in seconds.
pub(super) fn seconds(pts: i64, time_base: [i32; 2]) -> f64 {
    // One division, so that the result is the double nearest to the exact fraction.
    (pts as f64 * f64::from(time_base[0])) / f64::from(time_base[1])
}

/// Whether frames lie at different distances: more than one unit of difference is more than rounding explains.
fn is_variable(distances: Option<(i64, i64)>) -> bool {
    distances.is_some_and(|(shortest, longest)| longest - shortest > 1)
}

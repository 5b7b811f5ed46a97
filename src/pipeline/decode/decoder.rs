//! A video being decoded: packets in, displayed pictures with their times out.
#![expect(unsafe_code, reason = "A few fields of FFmpeg's contexts are not in the binding")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Packet, ffi};

use super::clock::{Clock, Span, Stamp, is_variable};
use super::decoded::{Decoded, reasons};
use super::entry::Proof;
use super::error::{is_out_of_memory, too_large};
use super::picture::DecodedPicture;
use super::prepare::Preparer;
use super::{DecodeError, DecodeOptions, Source, ending, reports, source};
use crate::pipeline::frame::Frame;
use crate::pipeline::span::{self, Place};
use crate::timeline::{Damage, DamageKind, Media};

/// A video being decoded.
pub struct Decoder {
    pub(super) name: String,
    pub(super) opened: source::Opened,
    pub(super) decoder: ffmpeg::decoder::Video,
    pub(super) stream: usize,
    pub(super) options: DecodeOptions,
    pub(super) preparer: Preparer<Stamp>,
    pub(super) ready: VecDeque<(Video, Stamp)>,
    pub(super) ended: bool,
    pub(super) clock: Clock,
    pub(super) media: Media,
    pub(super) stated_frames: Option<u64>,
    pub(super) stated_end_s: Option<f64>,
    /// Frames decoded within the range.
    pub(super) decoded: usize,
    pub(super) given: usize,
    pub(super) span: Span,
    /// Whether the frame decoded last lies ahead of the first moment wanted.
    pub(super) is_before_the_range: bool,
    pub(super) damage: Vec<Damage>,
    /// The source, and its file as it was in the beginning.
    pub(super) source: (Source, Option<(u64, SystemTime)>),
    /// Packets of the video read, and where the last one ends in the file.
    pub(super) packets: (u64, Option<u64>),
    /// Why a stream ended before its end.
    pub(super) lost: Option<String>,
    /// Where decoding did not start at the beginning.
    pub(super) proof: Option<Proof>,
    /// Whether the decoder has given all that the input holds.
    pub(super) read_to_the_end: bool,
}

/// A read error after which another one follows this many times in a row ends the input.
const READ_ERRORS: usize = 64;

impl Decoder {
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
    pub(super) fn first_frame(&mut self) -> Result<(), DecodeError> {
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
    pub(super) fn hear(&mut self) {
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

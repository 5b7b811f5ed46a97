//! A video being decoded: packets in, displayed pictures with their times out.
#![expect(unsafe_code, reason = "A field of FFmpeg's frames is not in the binding")]

use std::collections::VecDeque;
use std::sync::Arc;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Id;
use ffmpeg_next::codec::packet::Ref as _;
use ffmpeg_next::codec::packet::side_data::Type as SideData;
use ffmpeg_next::frame::Video;

use super::clock::{Clock, Given, Stamp, is_variable};
use super::decoded::Decoded;
use super::entry::Proof;
use super::error::{over_the_limit, too_large};
use super::feed::{Fed, PacketFeed};
use super::memory::{self, is_out_of_memory};
use super::notes::{Notes, Reporter, reasons};
use super::picture::DecodedPicture;
use super::prepare::Preparer;
use super::reports::{self, LoggedErrors};
use super::slices::Units;
use super::{DecodeError, DecodeOptions};
use crate::pipeline::frame::Frame;
use crate::timeline::{Damage, DamageKind, Media};

/// A video being decoded.
pub struct Decoder {
    pub(super) name: String,
    pub(super) options: DecodeOptions,
    pub(super) media: Media,
    pub(super) stated: Stated,
    pub(super) feed: PacketFeed,
    pub(super) codec: Codec,
    pub(super) clock: Clock<Video>,
    pub(super) preparer: Preparer<Stamp>,
    pub(super) notes: Notes,
    /// Where decoding did not start at the beginning.
    pub(super) proof: Option<Proof>,
    pub(super) progress: DecodingState,
}

/// What the container states of the video's length.
#[derive(Default)]
pub(super) struct Stated {
    pub(super) frames: Option<u64>,
    pub(super) end_s: Option<f64>,
}

/// The decoder proper and what is known of its packets.
pub(super) struct Codec {
    pub(super) decoder: ffmpeg::decoder::Video,
    pub(super) id: Id,
    pub(super) units: Units,
    /// Whether the packet sent last holds a picture.
    pub(super) expects_a_picture: bool,
    /// Stamps of the packets sent ahead of the first picture, where decoding began with the file.
    pub(super) unanswered: Vec<i64>,
}

/// How far decoding has come.
#[derive(Default)]
pub(super) struct DecodingState {
    /// Displayed pictures that wait to be given.
    ready: VecDeque<(Video, Stamp)>,
    /// Nothing more will be ready.
    ended: bool,
    /// Whether the decoder has given all that the input holds.
    is_at_the_end: bool,
    /// Frames given.
    frames: usize,
    given: Given,
    /// Size of the decoded pictures.
    size: Option<(u32, u32)>,
    /// Shortest and longest distance between frames, in time-base units.
    distances: Option<(i64, i64)>,
}

impl Decoder {
    /// What is known of the input so far.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// How many frames to expect, where the container says.
    pub fn expected_frames(&self) -> Option<u64> {
        match (self.options.start_s, self.options.end_s) {
            (None, None) => self.stated.frames,
            (start, end) => {
                let rate = f64::from(self.media.frame_rate[0]) / f64::from(self.media.frame_rate[1].max(1));
                let end = end.into_iter().chain(self.stated.end_s).fold(f64::INFINITY, f64::min);
                let span = end - start.unwrap_or(0.0);
                (rate > 0.0 && span.is_finite()).then(|| (span * rate).max(0.0).round() as u64)
            }
        }
    }

    /// The next frame, or `None` at the end.
    ///
    /// # Errors
    /// On interruption, a picture over the limit, or pictures that cannot be converted. Damage is no error: it is
    /// counted and placed (see [`Decoded::damage`]).
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            if let Some((video, stamp)) = self.progress.ready.pop_front() {
                if self.is_past_the_range(stamp) {
                    self.progress.ended = true;
                    self.progress.given.cut_at(stamp.time.seconds());
                    self.progress.ready.clear();
                    return Ok(None);
                }
                let Some(picture) = DecodedPicture::new(video) else {
                    let reason = "a plane is missing".into();
                    return Err(DecodeError::Conversion { name: self.name.clone(), reason });
                };
                let index = self.progress.frames;
                let time_s = stamp.time.seconds();
                self.progress.frames += 1;
                self.progress.given.give(time_s);
                let picture = Arc::new(picture);
                return Ok(Some(Frame { index, pts: stamp.pts, time: stamp.time, time_s, picture }));
            }
            if self.progress.ended {
                return Ok(None);
            }
            self.decode_more()?;
        }
    }

    /// Sums up after the last frame.
    pub fn finish(mut self) -> Decoded {
        // A frame that was decoded and not asked for still says where the one ahead of it ends.
        if let Some((_, stamp)) = self.progress.ready.front() {
            self.progress.given.cut_at(stamp.time.seconds());
        }
        let DecodingState { frames, distances, .. } = self.progress;
        let last_frame_duration_s = self.progress.given.last_frame_duration_s().unwrap_or(self.clock.last_duration_s);
        let mut ends_early = Vec::new();
        if let Some(loss) = &self.feed.lost {
            ends_early.push(format!("the stream was lost: {loss}"));
        }
        ends_early.extend(self.missing_at_the_end(last_frame_duration_s));
        if self.feed.was_changed() {
            ends_early.push("the file was changed while it was read".into());
        }
        let mut damage = self.notes.into_damage();
        // Frames beyond those given were decoded to see what follows; what befell them is not the person's concern.
        damage.retain(|damage| damage.frame < frames || damage.frame == frames && self.progress.is_at_the_end);
        let truncated = |message| Damage { frame: frames, kind: DamageKind::Truncated, count: 1, message };
        damage.extend(ends_early.into_iter().map(truncated));
        self.media.frames = frames;
        self.media.duration_s = self.progress.given.duration_s(last_frame_duration_s);
        self.media.variable_frame_rate = is_variable(distances);
        Decoded {
            media: self.media,
            last_frame_duration_s,
            incomplete_because: reasons(&damage),
            damage,
            distances,
            is_proven: self.proof.is_none_or(|proof| proof.holds()),
        }
    }

    /// What the container promised and its end did not bring.
    fn missing_at_the_end(&self, last_frame_duration_s: f64) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.progress.is_at_the_end || self.options.end_s.is_some() {
            return missing;
        }
        if let (Some(stated), Some(end)) = (self.stated.end_s, self.clock.raw_end_s())
            && stated - end > 2.0 * last_frame_duration_s.max(1e-3) + 1e-6
            && !self.media.container.contains("mpegts")
            && !self.feed.others_reach(stated)
        {
            missing.push(format!("the pictures end at {end:.3} s of {stated:.3} s announced"));
        }
        let is_whole = self.options.start_s.is_none() && self.proof.is_none();
        // Two packets may make one picture, and one packet several.
        if let Some((absent, listed)) = self.feed.missing_packets().filter(|_| is_whole)
            && (self.notes.frames() as u64) < listed
        {
            missing.push(format!("of {listed} packets in the index {absent} are not there"));
        }
        missing.extend(self.feed.cut_off().map(|reason| format!("the file is cut off: {reason}")));
        missing
    }

    /// Decodes up to the first frame, so that an input in which nothing decodes is refused before anything is written.
    pub(super) fn first_frame(&mut self) -> Result<(), DecodeError> {
        while self.progress.ready.is_empty() && !self.progress.ended {
            self.decode_more()?;
        }
        let first = self.progress.ready.front().filter(|(_, stamp)| !self.is_past_the_range(*stamp));
        let Some((video, _)) = first else { return Err(self.nothing_decoded()) };
        (self.media.width, self.media.height) = (video.width(), video.height());
        Ok(())
    }

    /// Why there is no first frame.
    fn nothing_decoded(&mut self) -> DecodeError {
        let name = self.name.clone();
        if let Some(loss) = self.feed.lost.take() {
            return loss.into_error(name);
        }
        if self.feed.is_scrambled() {
            return DecodeError::Encrypted { name };
        }
        let is_range = self.options.start_s.is_some() || self.options.end_s.is_some();
        match (is_range, self.notes.first_message()) {
            (true, _) if self.clock.raw_end_s().is_some() => DecodeError::EmptyRange { name },
            (true, None) => DecodeError::EmptyRange { name },
            (_, reason) => {
                let reason = reason.unwrap_or_else(|| "it holds no pictures".into());
                DecodeError::NothingDecoded { name, reason }
            }
        }
    }

    /// Takes one frame from the decoder or feeds it one packet.
    fn decode_more(&mut self) -> Result<(), DecodeError> {
        let mut video = Video::empty();
        match self.codec.decoder.receive_frame(&mut video) {
            Ok(()) => {
                self.note_reports(Reporter::Decoder(self.codec.id))?;
                self.accept(video)
            }
            Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => self.feed(),
            Err(ffmpeg::Error::Eof) => {
                self.progress.ended = true;
                self.note_reports(Reporter::Decoder(self.codec.id))?;
                self.progress.is_at_the_end = self.feed.lost.is_none();
                for (video, stamp) in self.clock.finish() {
                    self.settle(video, stamp)?;
                }
                let last = self.preparer.finish();
                self.queue(last)
            }
            Err(error) => self.note_failure(error),
        }
    }

    /// Takes a decoded picture.
    fn accept(&mut self, video: Video) -> Result<(), DecodeError> {
        too_large(&self.name, video.width(), video.height(), self.options.max_pixels)?;
        if self.proof.as_mut().is_some_and(|proof| !proof.shows(video.timestamp())) {
            return Ok(());
        }
        // SAFETY: reading a field of a frame we own.
        let duration = unsafe { (*video.as_ptr()).pkt_duration };
        if video.is_corrupt() || video.has_decode_errors() {
            self.note(DamageKind::Corrupt, "the decoder marked the frame as damaged".into());
        }
        self.media.interlaced |= video.is_interlaced();
        let pts = video.timestamp();
        self.note_what_came_to_nothing(pts);
        self.notes.decode();
        for (video, stamp) in self.clock.push(video, pts, duration) {
            self.settle(video, stamp)?;
        }
        Ok(())
    }

    /// Decoders leave out without a word what cannot be shown ahead of the first whole picture: a recording that begins in the
    /// middle. Tells it by the packets with stamps ahead of the first picture's.
    fn note_what_came_to_nothing(&mut self, first: Option<i64>) {
        let unanswered = std::mem::take(&mut self.codec.unanswered);
        let lost = unanswered.iter().filter(|pts| first.is_some_and(|first| **pts < first)).count();
        if lost > 0 && self.proof.is_none() {
            self.notes.note_lost_ahead(lost, "it begins in the middle of a group of pictures".into());
        }
    }

    /// Takes a picture whose time is known.
    fn settle(&mut self, video: Video, stamp: Stamp) -> Result<(), DecodeError> {
        if stamp.doubt.is_some() {
            self.fail_the_proof();
        }
        let is_wanted = self.proof.as_ref().is_none_or(|proof| proof.wants(stamp.pts));
        self.progress.distances = match (self.progress.distances, stamp.distance) {
            // Pictures may be missing here.
            _ if !is_wanted => None,
            (Some((shortest, longest)), Some(distance)) => Some((shortest.min(distance), longest.max(distance))),
            (distances, distance) => distances.or(distance.map(|distance| (distance, distance))),
        };
        let size = (video.width(), video.height());
        if let Some((width, height)) = self.progress.size.replace(size).filter(|before| *before != size) {
            let message = format!(
                "the pictures change from {width}x{height} to {}x{}; they are fitted into the first size",
                size.0, size.1
            );
            self.notes.resize(message);
        }
        let is_before = self.options.start().is_some_and(|start| stamp.time < start);
        self.notes.settle(stamp, is_before, self.clock.usual_s());
        let prepared = self.preparer.push(video, stamp);
        self.queue(prepared)
    }

    fn is_past_the_range(&self, stamp: Stamp) -> bool {
        self.options.end().is_some_and(|end| stamp.time >= end)
    }

    /// Sends the next packet to the decoder.
    fn feed(&mut self) -> Result<(), DecodeError> {
        loop {
            let fed = self.feed.read(&self.options);
            match fed {
                Fed::Interrupted => return Err(DecodeError::Interrupted { name: self.name.clone() }),
                Fed::Nothing => {}
                Fed::Error(error) => {
                    self.codec.expects_a_picture = true;
                    self.note_failure(error)?;
                    self.note_demuxer_reports()?;
                }
                Fed::End => {
                    self.note_demuxer_reports()?;
                    // After this the decoder only gives what it holds.
                    if let Err(error) = self.codec.decoder.send_eof() {
                        self.note_failure(error)?;
                        self.progress.ended = true;
                    }
                    return Ok(());
                }
                Fed::Packet(packet) if self.proof.as_mut().is_some_and(|proof| !proof.takes(&packet)) => {
                    if self.proof.as_ref().is_some_and(Proof::is_void) {
                        self.progress.ended = true;
                        return Ok(());
                    }
                }
                Fed::Packet(packet) => return self.send(&packet),
            }
        }
    }

    fn send(&mut self, packet: &ffmpeg::Packet) -> Result<(), DecodeError> {
        self.note_demuxer_reports()?;
        self.feed.count(packet);
        if self.feed.was_read_ahead(packet) {
            self.notes.was_read_ahead();
        }
        if is_encrypted(packet) {
            return self.refuse_the_encrypted();
        }
        if packet.is_corrupt() {
            self.note(DamageKind::Corrupt, "a packet is cut or damaged".into());
        }
        self.codec.expects_a_picture = self.codec.units.hold_a_picture(packet.data().unwrap_or_default());
        let is_shown = self.codec.expects_a_picture && !is_left_out(packet);
        if is_shown && self.notes.is_before_the_first() && self.codec.unanswered.len() < MOST_UNANSWERED {
            self.codec.unanswered.extend(packet.pts());
        }
        match self.codec.decoder.send_packet(packet) {
            Ok(()) => self.note_reports(Reporter::Decoder(self.codec.id)),
            Err(error) => self.note_failure(error),
        }
    }

    /// An encrypted packet is lost; a video that begins with one is refused.
    fn refuse_the_encrypted(&mut self) -> Result<(), DecodeError> {
        if self.notes.frames() == 0 {
            return Err(DecodeError::Encrypted { name: self.name.clone() });
        }
        self.note(DamageKind::Lost, "the packet is encrypted".into());
        Ok(())
    }

    /// Notes that something could not be read or decoded.
    fn note_failure(&mut self, error: ffmpeg::Error) -> Result<(), DecodeError> {
        let name = || self.name.clone();
        let report = reports::take();
        if is_out_of_memory(error) || self.lacks_memory(report.as_ref()) {
            return Err(DecodeError::OutOfMemory { name: name() });
        }
        if let Some((width, height)) = report.as_ref().and_then(|report| over_the_limit(&report.message)) {
            return Err(DecodeError::TooLarge { name: name(), width, height, limit: self.options.max_pixels });
        }
        let message = report.map_or_else(|| error.to_string(), |report| report.message);
        match self.codec.expects_a_picture {
            true => self.note(DamageKind::Lost, message),
            // It was refused for holding no picture, and holds none.
            false => self.note(DamageKind::Reported, message),
        }
        Ok(())
    }

    pub(super) fn note_demuxer_reports(&mut self) -> Result<(), DecodeError> {
        self.note_reports(Reporter::Demuxer { is_listed: self.feed.is_listed })
    }

    /// Notes what FFmpeg has logged since the last time.
    pub(super) fn note_reports(&mut self, reporter: Reporter) -> Result<(), DecodeError> {
        let Some(report) = reports::take() else { return Ok(()) };
        if self.lacks_memory(Some(&report)) {
            return Err(DecodeError::OutOfMemory { name: self.name.clone() });
        }
        self.notes.note_report(report, reporter);
        self.fail_the_proof();
        Ok(())
    }

    /// Whether the memory, and not the video, is the reason of what was reported.
    fn lacks_memory(&self, report: Option<&LoggedErrors>) -> bool {
        let (width, height) = (self.codec.decoder.width(), self.codec.decoder.height());
        report.is_some_and(|report| report.lacks_memory) || memory::is_short(width, height)
    }

    /// Keeps what the person wants of the prepared frames, to be given one by one.
    fn queue(&mut self, prepared: Result<Vec<(Video, Stamp)>, ffmpeg::Error>) -> Result<(), DecodeError> {
        let prepared = prepared.map_err(|error| match is_out_of_memory(error) {
            true => DecodeError::OutOfMemory { name: self.name.clone() },
            false => DecodeError::Conversion { name: self.name.clone(), reason: error.to_string() },
        })?;
        let start = self.options.start();
        let is_wanted = |stamp: &Stamp| start.is_none_or(|start| stamp.time >= start);
        self.progress.ready.extend(prepared.into_iter().filter(|(_, stamp)| is_wanted(stamp)));
        Ok(())
    }

    /// Notes that something befell the frame that is decoded next.
    fn note(&mut self, kind: DamageKind, message: String) {
        self.fail_the_proof();
        self.notes.note(kind, message);
    }

    /// Decoding from the middle is only good where nothing is amiss.
    fn fail_the_proof(&mut self) {
        if let Some(proof) = &mut self.proof {
            proof.fail();
        }
    }
}

/// Whether an edit list leaves the packet's picture out.
fn is_left_out(packet: &ffmpeg::Packet) -> bool {
    // SAFETY: reading a field of a packet that lives as long as the call.
    unsafe { (*packet.as_ptr()).flags & ffmpeg::ffi::AV_PKT_FLAG_DISCARD != 0 }
}

/// More packets ahead of the first picture are not remembered.
const MOST_UNANSWERED: usize = 10_000;

/// Whether the container says how the packet's samples are encrypted (ISO/IEC 23001-7).
fn is_encrypted(packet: &ffmpeg::Packet) -> bool {
    packet.side_data().any(|data| data.kind() == SideData::EncryptionInfo)
}

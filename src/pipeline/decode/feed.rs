//! The packets of a video, as they come out of the container.
#![expect(unsafe_code, reason = "A container's index is not in the binding")]

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Packet, ffi};

use super::source::{self, Opened};
use super::{DecodeError, DecodeOptions, Source, ending};

/// Why a stream ended before its end.
pub(super) enum StreamLoss {
    /// Nothing came for so long, seconds.
    Silent { limit_s: f64 },
    /// It broke off.
    Broken { reason: String },
}

impl StreamLoss {
    /// The error where not one frame came before.
    pub(super) fn into_error(self, name: String) -> DecodeError {
        match self {
            Self::Silent { limit_s } => DecodeError::Silent { name, limit_s },
            Self::Broken { reason } => DecodeError::Lost { name, reason },
        }
    }
}

impl std::fmt::Display for StreamLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent { limit_s } => write!(f, "no data for {limit_s} s"),
            Self::Broken { reason } => f.write_str(reason),
        }
    }
}

/// Reads packets and counts what came.
pub(super) struct PacketFeed {
    source: Source,
    opened: Opened,
    /// Index of the video's stream.
    stream: usize,
    /// The file as it was in the beginning.
    state: Option<(u64, SystemTime)>,
    /// How much of the file was read when it was opened, bytes.
    probed: u64,
    /// Packets of the video read.
    packets: u64,
    /// Where the last of them ends in the file.
    packets_end: Option<u64>,
    /// Where the last packet of the other streams ends, seconds, where they are read.
    others_end_s: Option<f64>,
    /// Why a stream ended before its end.
    pub(super) lost: Option<StreamLoss>,
    /// Whether the container has an index of all packets.
    pub(super) is_listed: bool,
    errors: usize,
}

/// What comes next.
pub(super) enum Fed {
    /// A packet of the video.
    Packet(Packet),
    /// One of another stream, or an error that the next read may get over.
    Nothing,
    /// Something that could not be read.
    Error(ffmpeg::Error),
    /// Nothing more.
    End,
    /// The person wants to stop.
    Interrupted,
}

/// A read error after which another one follows this many times in a row ends the input.
const READ_ERRORS: usize = 64;
/// How far the streams of a whole file may end from where the container says, seconds: audio's last packets and run-ins.
const SAME_END_S: f64 = 0.25;

/// From where one is (C's `SEEK_CUR`), which FFmpeg's own header does not define.
const SEEK_CUR: i32 = 1;

impl PacketFeed {
    /// Of stream `stream`; `reads_others` where the end of the other streams matters.
    pub(super) fn new(
        source: &Source,
        state: Option<(u64, SystemTime)>,
        opened: Opened,
        stream: usize,
        reads_others: bool,
    ) -> Self {
        let mut opened = opened;
        let input = &mut opened.input;
        let container = input.format().name().to_owned();
        // Fragments are listed one by one, as they are met.
        let frames = input.stream(stream).map_or(0, |stream| stream.frames());
        let is_listed = container == "avi" || container.starts_with("mov") && frames > 0;
        // SAFETY: asking an input that lives as long as the call for its position; no bytes, no position.
        let probed = unsafe {
            let bytes = (*input.as_ptr()).pb;
            if bytes.is_null() { 0 } else { ffi::avio_seek(bytes, 0, SEEK_CUR) }
        };
        let probed = u64::try_from(probed).unwrap_or(0);
        for other in input.streams_mut() {
            if other.index() != stream && !reads_others {
                // SAFETY: setting a plain field that tells the demuxer to leave the stream out.
                unsafe { (*other.as_ptr().cast_mut()).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
        Self {
            source: source.clone(),
            opened,
            stream,
            state,
            probed,
            packets: 0,
            packets_end: None,
            others_end_s: None,
            lost: None,
            is_listed,
            errors: 0,
        }
    }

    /// Reads on.
    pub(super) fn read(&mut self, options: &DecodeOptions) -> Fed {
        let was_interrupted = || options.interrupt.load(Ordering::Relaxed);
        if was_interrupted() {
            return Fed::Interrupted;
        }
        if self.lost.is_some() || self.errors >= READ_ERRORS {
            return Fed::End;
        }
        let mut packet = Packet::empty();
        match options.patience.reading(|| packet.read(&mut self.opened.input)) {
            Ok(()) if packet.stream() != self.stream => {
                self.pass(&packet);
                Fed::Nothing
            }
            Ok(()) => {
                self.errors = 0;
                Fed::Packet(packet)
            }
            Err(_) if was_interrupted() => Fed::Interrupted,
            Err(error) => {
                self.errors += 1;
                // Once the wait was broken off, FFmpeg says so at every further read.
                let is_silent =
                    self.source.is_stream() && (error == ffmpeg::Error::Exit || options.patience.has_run_out());
                let is_broken = matches!(self.source, Source::Url(_)) && error != ffmpeg::Error::Eof;
                if is_silent || is_broken {
                    self.lost = Some(match is_silent {
                        true => StreamLoss::Silent { limit_s: options.patience.limit_s() },
                        false => StreamLoss::Broken { reason: error.to_string() },
                    });
                    options.patience.note_loss();
                    return Fed::End;
                }
                if error == ffmpeg::Error::Eof { Fed::End } else { Fed::Error(error) }
            }
        }
    }

    /// Counts a packet that goes to the decoder.
    pub(super) fn count(&mut self, packet: &Packet) {
        self.packets += 1;
        self.packets_end = packet.position().try_into().ok().map(|position: u64| position + packet.size() as u64);
    }

    /// Whether a packet was read while the file was opened.
    pub(super) fn was_read_ahead(&self, packet: &Packet) -> bool {
        u64::try_from(packet.position()).is_ok_and(|position| position < self.probed)
    }

    /// Takes note of where another stream ends.
    fn pass(&mut self, packet: &Packet) {
        let Some((stream, pts)) = self.opened.input.stream(packet.stream()).zip(packet.pts().or(packet.dts())) else {
            return;
        };
        let end_s = (pts.saturating_add(packet.duration())) as f64 * f64::from(stream.time_base());
        self.others_end_s = Some(self.others_end_s.map_or(end_s, |other| other.max(end_s)));
    }

    /// Whether another stream than the video goes on to `end_s`: then the file is whole, and it is the pictures that end
    /// before the sound or the subtitles.
    pub(super) fn others_reach(&self, end_s: f64) -> bool {
        self.others_end_s.is_some_and(|other| other >= end_s - SAME_END_S)
    }

    /// Packets that the container's index lists and that did not come, and how many it lists.
    pub(super) fn missing_packets(&self) -> Option<(u64, u64)> {
        let listed = self.listed_packets();
        (self.packets < listed).then(|| (listed - self.packets, listed))
    }

    /// How many packets of the video the container's index lists; zero without one.
    fn listed_packets(&self) -> u64 {
        let container = self.opened.input.format().name().to_owned();
        if !container.starts_with("mov") && container != "avi" {
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

    /// Why the file ends where no whole file of its kind does.
    pub(super) fn cut_off(&self) -> Option<&'static str> {
        match (&self.source, self.state) {
            (Source::File(path), Some(_)) => {
                let container = self.opened.input.format().name().to_owned();
                ending::cut_off(path, &container, self.packets_end).ok().flatten()
            }
            _ => None,
        }
    }

    /// Whether the file was written to since it was opened.
    pub(super) fn was_changed(&self) -> bool {
        self.state.is_some() && source::state(&self.source) != self.state
    }

    /// Whether the packets are scrambled, as broadcasts for subscribers are.
    pub(super) fn is_scrambled(&self) -> bool {
        match &self.source {
            Source::File(path) if self.opened.input.format().name() == "mpegts" => {
                ending::is_scrambled(path).unwrap_or(false)
            }
            _ => false,
        }
    }
}

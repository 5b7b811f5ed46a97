//! A copy of a video that every browser plays, with the same frames at the same times.

use std::path::{Path, PathBuf};

use ffmpeg_next::{self as ffmpeg, Packet, Rational, codec, encoder, format};

use crate::encode::{Encoding, Fitting, Quality};
use crate::files::{OutputOptions, WriteError};
use crate::pipeline::decode::{DecodeError, DecodeOptions, Decoder, Source};
use crate::pipeline::frame::Frame;
use crate::timeline::Timeline;

/// Longest side of the copy, pixels: enough to see a face by, a fraction of the size.
const LONGEST: u32 = 1280;
/// Frames from one key frame to the next: stepping back stays quick.
const KEY_FRAMES: u32 = 12;
/// What times of the copy are counted in: fine enough that no frame's time moves by more than 6 microseconds.
const TIME_BASE: Rational = Rational(1, 90_000);

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum ProxyError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(
        "{video}: it has {found} frames and the annotation {expected}; is it another video than the one annotated?"
    )]
    OtherVideo { video: PathBuf, found: usize, expected: usize },
    #[error("FFmpeg has no encoder for H.264 or VP9 on this machine")]
    NoEncoder,
    #[error("{path}: cannot be encoded: {reason}")]
    Encode { path: PathBuf, reason: String },
}

/// Writes the frames of `video` to `path` (MP4), the first at time 0 and each later one as far after it as in `timeline`.
/// Without sound.
///
/// # Errors
/// If the video cannot be decoded, is another one than the timeline's, or the copy cannot be written.
pub fn proxy(
    video: &Path,
    timeline: &Timeline,
    options: DecodeOptions,
    path: &Path,
    existing: OutputOptions,
) -> Result<(), ProxyError> {
    let output = existing.create(path)?;
    let name = output.temporary_path().unwrap_or(path).to_string_lossy().into_owned();
    let failed = |error: ffmpeg::Error| ProxyError::Encode { path: path.into(), reason: error.to_string() };
    let mut decoder = Decoder::open(&Source::File(video.into()), options)?;
    let ticks = ticks(timeline);
    let mut copy: Option<Copy> = None;
    let mut found = 0;
    while let Some(frame) = decoder.next_frame()? {
        let Some(pts) = ticks.get(frame.index) else { break };
        let copy = match &mut copy {
            Some(copy) => copy,
            None => copy.insert(Copy::begin(&name, &frame, timeline)?),
        };
        copy.push(&frame, *pts).map_err(failed)?;
        found = frame.index + 1;
    }
    if found != timeline.media.frames {
        return Err(ProxyError::OtherVideo { video: video.into(), found, expected: timeline.media.frames });
    }
    if let Some(copy) = copy {
        copy.end(&ticks).map_err(failed)?;
    }
    Ok(output.commit()?)
}

/// The start of each frame, and the end of the last, counted from the first.
fn ticks(timeline: &Timeline) -> Vec<i64> {
    let times = &timeline.frames.time_s;
    let first_s = times.first().copied().unwrap_or(0.0);
    let starts = times.iter().copied().chain([timeline.end_s()]);
    let ticks = starts.map(|time_s| ((time_s - first_s) * f64::from(TIME_BASE.1)).round() as i64);
    // Frames nearer than a tick stay apart.
    let mut last = -1;
    ticks
        .map(|tick| {
            last = tick.max(last + 1);
            last
        })
        .collect()
}

struct Copy {
    output: format::context::Output,
    encoder: encoder::video::Encoder,
    fitting: Fitting,
    packets: Vec<Packet>,
}

impl Copy {
    fn begin(name: &str, first: &Frame, timeline: &Timeline) -> Result<Self, ProxyError> {
        let failed = |error: ffmpeg::Error| match error {
            ffmpeg::Error::EncoderNotFound => ProxyError::NoEncoder,
            _ => ProxyError::Encode { path: name.into(), reason: error.to_string() },
        };
        let fitting = Fitting::within(first.picture.as_ref(), LONGEST);
        let mut output = format::output_as(name, "mp4").map_err(failed)?;
        let encoding = Encoding {
            codecs: &[codec::Id::H264, codec::Id::VP9],
            quality: Quality::Smaller,
            size: fitting.size(),
            time_base: TIME_BASE,
            frame_rate: timeline.media.frame_rate,
            colour: first.picture.colour(),
            key_frames: Some(KEY_FRAMES),
        };
        let encoder = encoding.open(&mut output).map_err(failed)?;
        output.write_header().map_err(failed)?;
        Ok(Self { output, encoder, fitting, packets: Vec::new() })
    }

    fn push(&mut self, frame: &Frame, pts: i64) -> Result<(), ffmpeg::Error> {
        let mut picture = self.fitting.fitted(frame.picture.as_ref())?;
        picture.set_pts(Some(pts));
        self.encoder.send_frame(&picture)?;
        self.receive()
    }

    /// Packets are kept back by one, as the length of each is known with the next.
    fn receive(&mut self) -> Result<(), ffmpeg::Error> {
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            self.packets.push(packet.clone());
        }
        while self.packets.len() > 1 {
            let packet = self.packets.remove(0);
            let until = self.packets[0].pts().unwrap_or(0);
            self.write(packet, until)?;
        }
        Ok(())
    }

    fn write(&mut self, mut packet: Packet, until: i64) -> Result<(), ffmpeg::Error> {
        let to = self.output.stream(0).ok_or(ffmpeg::Error::StreamNotFound)?.time_base();
        packet.set_stream(0);
        packet.set_duration((until - packet.pts().unwrap_or(0)).max(1));
        packet.rescale_ts(TIME_BASE, to);
        packet.write_interleaved(&mut self.output)
    }

    fn end(mut self, ticks: &[i64]) -> Result<(), ffmpeg::Error> {
        self.encoder.send_eof()?;
        self.receive()?;
        let until = ticks.last().copied().unwrap_or(0);
        for packet in std::mem::take(&mut self.packets) {
            self.write(packet, until)?;
        }
        self.output.write_trailer()
    }
}

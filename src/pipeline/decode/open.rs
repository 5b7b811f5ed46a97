//! From a source to a decoder that has its first picture.
#![expect(unsafe_code, reason = "A few fields of FFmpeg's contexts are not in the binding")]

use std::collections::VecDeque;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::packet::side_data::Type as SideData;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Rational, ffi};

use super::clock::{Clock, Span, seconds};
use super::decoder::Decoder;
use super::entry::{Entry, Proof};
use super::error::{is_out_of_memory, too_large};
use super::prepare::{Display, Preparer};
use super::source::{self, open};
use super::{DecodeError, DecodeOptions, Deinterlace, Source, reports};
use crate::timeline::Media;

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
            stream: index,
            video_streams: video_streams(input),
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
            start_s: container_start_s(input, index),
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
}

pub(super) fn is_attached_picture(stream: &ffmpeg::Stream) -> bool {
    stream.disposition().contains(ffmpeg::format::stream::Disposition::ATTACHED_PIC)
}

/// How many video streams there are, without attached pictures.
fn video_streams(input: &Input) -> usize {
    let is_video = |stream: &ffmpeg::Stream| stream.parameters().medium() == ffmpeg::media::Type::Video;
    input.streams().filter(|stream| is_video(stream) && !is_attached_picture(stream)).count()
}

/// Where the container starts, seconds: the moment that players show as 0. Where sound starts ahead of zero, as a codec's
/// run-in does, it is not heard, and the pictures decide.
fn container_start_s(input: &Input, video: usize) -> f64 {
    // SAFETY: reading a field of a context that lives as long as `input`.
    let stated = unsafe { (*input.as_ptr()).start_time };
    if stated == ffi::AV_NOPTS_VALUE {
        return 0.0;
    }
    let starts = input.streams().filter(|stream| stream.start_time() != ffi::AV_NOPTS_VALUE).map(|stream| {
        let time_base = stream.time_base();
        (stream.index(), seconds(stream.start_time(), [time_base.numerator(), time_base.denominator()]))
    });
    let starts: Vec<(usize, f64)> = starts.collect();
    // FFmpeg's start has microseconds; that of the stream from which it took it is exact.
    let stated_s = stated as f64 / f64::from(ffi::AV_TIME_BASE);
    let start_s = starts.iter().map(|(_, start_s)| *start_s).find(|start_s| (start_s - stated_s).abs() <= 1e-6);
    let start_s = start_s.unwrap_or(stated_s);
    let video_s = starts.iter().find(|(stream, _)| *stream == video).map_or(0.0, |(_, start_s)| *start_s);
    if start_s < 0.0 { video_s.min(0.0) } else { start_s }
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

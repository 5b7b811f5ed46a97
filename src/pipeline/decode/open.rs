//! From a source to a decoder that has its first picture.
#![expect(unsafe_code, reason = "A few fields of FFmpeg's contexts are not in the binding")]

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Id;
use ffmpeg_next::codec::packet::side_data::Type as SideData;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Rational, ffi};

use super::clock::Clock;
use super::decoder::{Codec, Decoder, DecodingState, Stated};
use super::entry::{Entry, Proof};
use super::error::{over_the_limit, too_large};
use super::feed::PacketFeed;
use super::memory::is_out_of_memory;
use super::notes::Notes;
use super::prepare::{Display, Preparer};
use super::slices::Units;
use super::source::{self, open};
use super::{DecodeError, DecodeOptions, Deinterlace, Source, reports};
use crate::time::Timestamp;
use crate::timeline::Media;

impl Decoder {
    /// Opens `source`. Only local files of known containers are opened, except for [`Source::Url`]. Where the options ask for
    /// a start, decoding begins far enough ahead of it to give exactly the frames that decoding the whole would.
    ///
    /// # Errors
    /// If there is nothing to decode; each error names the input and the reason.
    pub fn open(source: &Source, options: DecodeOptions) -> Result<Self, DecodeError> {
        let entry = match options.start() {
            Some(start) => Entry::at(source, start, &options)?,
            None => None,
        };
        let Some(entry) = entry else { return Self::open_at(source, None, options) };
        match Self::begin(source, Some(&entry), options.clone()) {
            // What follows the first frame wanted is decoded as in the whole.
            Ok(mut decoder) if decoder.proof.as_ref().is_some_and(Proof::holds) => {
                decoder.proof = None;
                Ok(decoder)
            }
            Err(error @ DecodeError::Interrupted { .. }) => Err(error),
            _ => Self::begin(source, None, options),
        }
    }

    /// The same from `entry` on, or from the beginning where it is not found.
    pub(crate) fn open_at(source: &Source, entry: Option<&Entry>, options: DecodeOptions) -> Result<Self, DecodeError> {
        match Self::begin(source, entry, options.clone()) {
            Ok(decoder) if decoder.proof.as_ref().is_none_or(|proof| !proof.is_void()) => Ok(decoder),
            Err(error) if entry.is_none() => Err(error),
            _ => Self::begin(source, None, options),
        }
    }

    /// Opens everything and decodes up to the first frame.
    fn begin(source: &Source, entry: Option<&Entry>, options: DecodeOptions) -> Result<Self, DecodeError> {
        let name = source.name();
        reports::take();
        let state = source::state(source);
        let mut opened = open(source, &options)?;
        let stream = video_stream(&opened.input, &name)?;
        let index = stream.index();
        let video = StatedVideo::of(&stream);
        too_large(&name, video.width, video.height, options.max_pixels)?;
        let decoder = open_codec(&stream, &options).map_err(|error| match error {
            ffmpeg::Error::DecoderNotFound => DecodeError::NoDecoder { name: name.clone(), codec: video.codec.clone() },
            error if is_out_of_memory(error) => DecodeError::OutOfMemory { name: name.clone() },
            error => match reports::take().and_then(|report| over_the_limit(&report.message)) {
                // FFmpeg has refused it already when it looked at the first pictures.
                Some((width, height)) => {
                    DecodeError::TooLarge { name: name.clone(), width, height, limit: options.max_pixels }
                }
                None => DecodeError::NotOpened { name: name.clone(), reason: error.to_string() },
            },
        })?;
        let media = Media {
            path: name.clone(),
            sha256: None,
            container: opened.input.format().name().to_owned(),
            codec: video.codec.clone(),
            stream: index,
            video_streams: video_streams(&opened.input),
            width: decoder.width(),
            height: decoder.height(),
            rotation: video.rotation,
            time_base: [video.time_base.numerator(), video.time_base.denominator()],
            frame_rate: if video.frame_rate.denominator() > 0 {
                [video.frame_rate.numerator(), video.frame_rate.denominator()]
            } else {
                [0, 1]
            },
            variable_frame_rate: false,
            interlaced: false,
            start_s: container_start_s(&opened.input, index),
            frames: 0,
            duration_s: 0.0,
        };
        let display = Display {
            turn: video.turn,
            sample_aspect: video.sample_aspect,
            deinterlace_all: options.deinterlace == Deinterlace::On,
            deinterlace_flagged: options.deinterlace == Deinterlace::Auto,
            max_pixels: options.max_pixels,
        };
        let stated = video.stated(&opened.input);
        if let Some(entry) = entry {
            entry.seek(&mut opened.input, index);
        }
        // Where the container states the length of the whole alone, another stream may be the longest one. FFmpeg gives each
        // stream that length in these containers.
        let of_the_whole = ["asf", "asf_o", "rm", "wtv"].contains(&media.container.as_str());
        let reads_others = (video.duration <= 0 || of_the_whole) && !media.container.contains("mpegts");
        let mut this = Self {
            clock: Clock::new(video.time_base, video.frame_rate),
            preparer: Preparer::new(display),
            feed: PacketFeed::new(source, state, opened, index, reads_others),
            codec: Codec { decoder, id: video.id, units: video.units, expects_a_picture: true, unanswered: Vec::new() },
            notes: Notes::default(),
            proof: entry.map(Proof::of),
            progress: DecodingState::default(),
            name,
            media,
            stated,
            options,
        };
        this.note_demuxer_reports()?;
        this.first_frame().map(|()| this)
    }
}

/// What a container states of its video.
struct StatedVideo {
    id: Id,
    /// FFmpeg's name of the codec.
    codec: String,
    width: u32,
    height: u32,
    time_base: Rational,
    frame_rate: Rational,
    /// Where the stream starts, seconds.
    start_s: f64,
    /// In units of the time base; 0 or less where it is not known.
    duration: i64,
    frames: i64,
    /// Where the stream ends by a tag of its own (Matroska's statistics), seconds.
    tagged_end_s: Option<f64>,
    sample_aspect: Rational,
    turn: &'static str,
    rotation: u16,
    units: Units,
}

impl StatedVideo {
    fn of(stream: &ffmpeg::Stream) -> Self {
        let matrix = stream.side_data().find(|data| data.kind() == SideData::DisplayMatrix);
        let (turn, rotation) = matrix.map_or(("", 0), |data| turn(data.data()));
        let (start, time_base) = (stream.start_time(), stream.time_base());
        // SAFETY: reading fields of a stream that lives as long as `stream`; the extra data is as long as it says.
        let (id, width, height, sample_aspect, extra) = unsafe {
            let raw = stream.as_ptr();
            let codec = &*(*raw).codecpar;
            let extra = match codec.extradata.is_null() {
                true => &[][..],
                false => std::slice::from_raw_parts(codec.extradata, codec.extradata_size.max(0) as usize),
            };
            let size = (codec.width.max(0) as u32, codec.height.max(0) as u32);
            (Id::from(codec.codec_id), size.0, size.1, Rational::from((*raw).sample_aspect_ratio), extra)
        };
        Self {
            id,
            codec: id.name().to_owned(),
            width,
            height,
            time_base,
            frame_rate: stream.avg_frame_rate(),
            start_s: if start == ffi::AV_NOPTS_VALUE { 0.0 } else { start as f64 * f64::from(time_base) },
            duration: stream.duration(),
            frames: stream.frames(),
            tagged_end_s: stream.metadata().get("DURATION").and_then(clock_time),
            sample_aspect,
            turn,
            rotation,
            units: Units::of(id, extra),
        }
    }

    /// How long it is, by the stream's own word or the container's.
    fn stated(&self, input: &Input) -> Stated {
        let whole_s = (input.duration() > 0).then(|| input.duration() as f64 / f64::from(ffi::AV_TIME_BASE));
        let end_s = match self.duration {
            ticks if ticks > 0 => Some(self.start_s + ticks as f64 * f64::from(self.time_base)),
            // Containers without durations of streams (Matroska) count from zero, not from the first frame.
            _ => whole_s.map(|whole_s| self.tagged_end_s.map_or(whole_s, |end_s| end_s.min(whole_s))),
        };
        let frames = u64::try_from(self.frames).ok().filter(|frames| *frames > 0).or_else(|| {
            let rate = f64::from(self.frame_rate);
            whole_s.filter(|_| rate.is_finite() && rate > 0.0).map(|whole_s| (whole_s * rate).round() as u64)
        });
        Stated { frames, end_s }
    }
}

/// `HH:MM:SS.fraction`, in seconds.
fn clock_time(text: &str) -> Option<f64> {
    let mut parts = text.trim().split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let time_s = hours * 3600.0 + minutes * 60.0 + seconds;
    (time_s.is_finite() && time_s > 0.0).then_some(time_s)
}

/// The video to decode.
pub(super) fn video_stream<'a>(input: &'a Input, name: &str) -> Result<ffmpeg::Stream<'a>, DecodeError> {
    let best = input.streams().best(ffmpeg::media::Type::Video);
    let stream = best.filter(|stream| !is_attached_picture(stream));
    let stream = stream.ok_or_else(|| DecodeError::NoVideo { name: name.into() })?;
    // The key's number, as WebM gives it.
    if stream.metadata().get("enc_key_id").is_some() {
        return Err(DecodeError::Encrypted { name: name.into() });
    }
    Ok(stream)
}

fn is_attached_picture(stream: &ffmpeg::Stream) -> bool {
    stream.disposition().contains(ffmpeg::format::stream::Disposition::ATTACHED_PIC)
}

/// How many video streams there are, without attached pictures.
fn video_streams(input: &Input) -> usize {
    let is_video = |stream: &ffmpeg::Stream| stream.parameters().medium() == ffmpeg::media::Type::Video;
    input.streams().filter(|stream| is_video(stream) && !is_attached_picture(stream)).count()
}

/// Where the container starts, seconds: the moment that players show as 0. Where sound starts ahead of zero, as a codec's
/// run-in does, players leave that part out, and the pictures decide.
fn container_start_s(input: &Input, video: usize) -> f64 {
    // SAFETY: reading a field of a context that lives as long as `input`.
    let stated = unsafe { (*input.as_ptr()).start_time };
    if stated == ffi::AV_NOPTS_VALUE {
        return 0.0;
    }
    let starts = input.streams().filter(|stream| stream.start_time() != ffi::AV_NOPTS_VALUE).map(|stream| {
        let time_base = stream.time_base();
        let start = Timestamp::new(stream.start_time(), [time_base.numerator(), time_base.denominator()]);
        (stream.index(), start.seconds())
    });
    let starts: Vec<(usize, f64)> = starts.collect();
    // FFmpeg's start has microseconds; that of the stream from which it took it is exact.
    let stated_s = stated as f64 / f64::from(ffi::AV_TIME_BASE);
    let start_s = starts.iter().map(|(_, start_s)| *start_s).find(|start_s| (start_s - stated_s).abs() <= 1e-6);
    let start_s = start_s.unwrap_or(stated_s);
    let video_s = starts.iter().find(|(stream, _)| *stream == video).map_or(0.0, |(_, start_s)| *start_s);
    if start_s < 0.0 { video_s.min(0.0) } else { start_s }
}

/// How many pixels a decoder may give a picture. Twice the limit, because it counts padded pictures; the exact limit is checked
/// on each frame.
pub(super) fn coded_pixels(max_pixels: u64) -> i64 {
    i64::try_from(max_pixels.saturating_mul(2)).unwrap_or(i64::MAX)
}

fn open_codec(stream: &ffmpeg::Stream, options: &DecodeOptions) -> Result<ffmpeg::decoder::Video, ffmpeg::Error> {
    let mut context = ffmpeg::codec::context::Context::from_parameters(stream.parameters())?;
    context.set_threading(ffmpeg::threading::Config {
        kind: ffmpeg::threading::Type::Frame,
        count: options.threads,
        ..Default::default()
    });
    // SAFETY: setting plain fields of a context we own, before it is opened.
    unsafe {
        let raw = context.as_mut_ptr();
        (*raw).max_pixels = coded_pixels(options.max_pixels);
        (*raw).pkt_timebase = stream.time_base().into();
    }
    context.decoder().video()
}

/// The filter that turns the picture upright, and the clockwise angle, from a display matrix (ISO/IEC 14496-12, 6.2.2):
/// nine 32-bit fixed-point numbers. Within a degree of a quarter turn it is one, as for players.
fn turn(matrix: &[u8]) -> (&'static str, u16) {
    let numbers: Vec<i32> =
        matrix.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok().map(i32::from_ne_bytes)).collect();
    let Some(&[a, b, _, c, d]) = numbers.get(..5).and_then(|n| n.first_chunk::<5>()) else { return ("", 0) };
    let [a, b, c, d] = [a, b, c, d].map(f64::from);
    let scale = a.hypot(b).max(c.hypot(d));
    let sign = |number: f64| match number / scale {
        share if share.abs() < 1f64.to_radians().sin() => 0,
        share if share > 0.0 => 1,
        share if share < 0.0 => -1,
        _ => 0,
    };
    match (sign(a), sign(b), sign(c), sign(d)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(numbers: [i32; 4]) -> Vec<u8> {
        let [a, b, c, d] = numbers;
        [a, b, 0, c, d, 0, 0, 0, 1 << 30].into_iter().flat_map(i32::to_ne_bytes).collect()
    }

    #[test]
    fn rounding_noise_does_not_hinder_a_turn() {
        const ONE: i32 = 65536;
        for noise in [-700, -1, 0, 1, 700] {
            assert_eq!(turn(&matrix([noise, ONE, -ONE, -noise])), ("transpose=clock", 90));
            assert_eq!(turn(&matrix([-ONE, noise, noise, noise - ONE])), ("hflip,vflip", 180));
            assert_eq!(turn(&matrix([noise, -ONE, ONE, noise])), ("transpose=cclock", 270));
            assert_eq!(turn(&matrix([ONE, noise, -noise, ONE])), ("", 0));
        }
        assert_eq!(turn(&matrix([0; 4])), ("", 0));
        // Half way between two quarters nothing is turned.
        assert_eq!(turn(&matrix([46341, 46341, -46341, 46341])), ("", 0));
        assert_eq!(turn(&[0; 7]), ("", 0));
    }

    #[test]
    fn a_tag_of_a_duration_is_read() {
        assert_eq!(clock_time("00:01:02.500000000"), Some(62.5));
        assert_eq!(clock_time("62.5"), None);
        assert_eq!(clock_time("a:b:c"), None);
    }
}

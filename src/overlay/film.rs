//! The video being written: pictures encoded, sound copied.

use std::collections::HashMap;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Packet, Rational, codec, encoder, format};

use super::canvas::Canvas;
use super::sound::Sound;
use crate::encode::{Encoding, Fitting, Quality};
use crate::pipeline::frame::Frame;
use crate::timeline::Timeline;

/// A video file that is not finished yet.
pub(super) struct Film {
    fitting: Fitting,
    output: format::context::Output,
    encoder: encoder::video::Encoder,
    sound: Sound,
    /// The source's, in which the pictures' times stay.
    time_base: Rational,
    /// How long the frame that starts at a tick is shown, in ticks; containers do not guess that of the last one.
    durations: HashMap<i64, i64>,
}

impl Film {
    /// Begins the file `name` with a picture like `first`; `codecs`: best first.
    ///
    /// # Errors
    /// If there is no encoder, or the file cannot be written.
    pub(super) fn begin(
        name: &str,
        container: &str,
        codecs: &[codec::Id],
        timeline: &Timeline,
        first: &Frame,
        mut sound: Sound,
    ) -> Result<Self, ffmpeg::Error> {
        let [numerator, denominator] = timeline.media.time_base;
        let time_base = Rational(numerator, denominator);
        // None is too large to be looked at as it is.
        let fitting = Fitting::within(first.picture.as_ref(), u32::MAX);
        let mut output = format::output_as(name, container)?;
        let encoding = Encoding {
            codecs,
            quality: Quality::Full,
            size: fitting.size(),
            time_base,
            frame_rate: timeline.media.frame_rate,
            colour: first.picture.colour(),
            key_frames: None,
        };
        let encoder = encoding.open(&mut output)?;
        sound.add_streams(&mut output)?;
        output.write_header()?;
        let times = &timeline.frames;
        let end_s = timeline.end_s();
        let durations = (0..times.time_s.len()).map(|frame| {
            let span_s = [times.time_s[frame], times.end_s(frame, end_s)];
            let [start, end] = span_s.map(|time_s| ticks(time_s, time_base));
            (start, end - start)
        });
        Ok(Self { durations: durations.collect(), fitting, output, encoder, sound, time_base })
    }

    /// Adds the picture of `frame` with what `draw` draws on it.
    ///
    /// # Errors
    /// If it cannot be encoded, or the file cannot be written.
    pub(super) fn push(&mut self, frame: &Frame, draw: impl FnOnce(&mut Canvas<'_>)) -> Result<(), ffmpeg::Error> {
        let mut picture = self.fitting.fitted(frame.picture.as_ref())?;
        draw(&mut Canvas::new(&mut picture, frame.picture.colour()));
        // Not the container's time stamp, which may run backwards where its clock was reset.
        picture.set_pts(Some(ticks(frame.time_s, self.time_base)));
        self.encoder.send_frame(&picture)?;
        self.write_packets()?;
        self.sound.copy_until(frame.time_s, &mut self.output)
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn end(mut self) -> Result<(), ffmpeg::Error> {
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
            packet.rescale_ts(self.time_base, to);
            packet.write_interleaved(&mut self.output)?;
        }
        Ok(())
    }
}

/// A time in units of `time_base`.
fn ticks(time_s: f64, time_base: Rational) -> i64 {
    (time_s / f64::from(time_base)).round() as i64
}

//! The source's sound beside the pictures that were drawn on.
#![expect(unsafe_code, reason = "Whether a container takes a codec is not in the binding")]

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Packet, codec, encoder, ffi, format, media};

use crate::pipeline::decode::{self, DecodeError, DecodeOptions, Source};

/// The source's sound, copied without decoding.
#[derive(Default)]
pub(super) struct Sound {
    input: Option<format::context::Input>,
    /// Index in the output of each of the source's streams, where it goes along.
    stream_indices: Vec<Option<usize>>,
    /// Read and not written yet.
    next: Option<Packet>,
    start_s: f64,
    end_s: Option<f64>,
}

impl Sound {
    pub(super) fn open(source: &Source, options: &DecodeOptions) -> Result<Self, DecodeError> {
        let input = decode::open(source, options)?.input;
        let (start_s, end_s) = (options.start_s.unwrap_or(f64::NEG_INFINITY), options.end_s);
        Ok(Self { input: Some(input), stream_indices: Vec::new(), next: None, start_s, end_s })
    }

    pub(super) fn add_streams(&mut self, output: &mut format::context::Output) -> Result<(), ffmpeg::Error> {
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
    pub(super) fn copy_until(
        &mut self,
        time_s: f64,
        output: &mut format::context::Output,
    ) -> Result<(), ffmpeg::Error> {
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

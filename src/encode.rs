//! What drawing on a video and copying it for browsers have in common: pictures as FFmpeg takes them, and an encoder that is opened
//! for them.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::color;
use ffmpeg_next::{Codec, Rational, codec, encoder, format};

use crate::picture::{ColourSpace, Matrix, Planes};

/// The form of a picture's samples; what works on pictures of one form is made anew for another.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct PictureForm {
    /// How the planes lie.
    pub(crate) format: Pixel,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
}

impl PictureForm {
    pub(crate) fn of(picture: &dyn Planes) -> Self {
        let luma = picture.luma();
        let format = match picture.chroma() {
            // With chroma that has no colour: FFmpeg's scaler takes grey samples for full range, whatever they are.
            None => Pixel::YUV420P,
            Some([blue, _]) if blue.width == luma.width => Pixel::YUV444P,
            Some([blue, _]) if blue.height == luma.height => Pixel::YUV422P,
            Some(_) => Pixel::YUV420P,
        };
        Self { format, width: luma.width as u32, height: luma.height as u32 }
    }
}

/// A copy of a picture that FFmpeg may change.
pub(crate) fn copied(picture: &dyn Planes) -> Video {
    let PictureForm { format, width, height } = PictureForm::of(picture);
    let mut video = Video::new(format, width, height);
    if picture.chroma().is_none() {
        (1..=2).for_each(|plane| video.data_mut(plane).fill(128));
    }
    let planes = [picture.luma()].into_iter().chain(picture.chroma().into_iter().flatten());
    for (index, plane) in planes.enumerate() {
        let stride = video.stride(index);
        for (y, row) in video.data_mut(index).chunks_mut(stride).take(plane.height).enumerate() {
            row[..plane.width].copy_from_slice(plane.row(y));
        }
    }
    video
}

/// How a video is encoded, in 4:2:0.
pub(crate) struct Encoding<'a> {
    pub(crate) codec: Codec,
    /// Width and height, pixels, both even.
    pub(crate) size: (u32, u32),
    pub(crate) time_base: Rational,
    /// Frames a second as a fraction; 0 where the source does not say.
    pub(crate) frame_rate: [i32; 2],
    /// What the samples stand for, where they are the source's own; not said if absent.
    pub(crate) colour: Option<ColourSpace>,
    /// A key frame every so many frames, and none that refers to a later one: players then jump quickly, and start at time 0.
    pub(crate) key_frames: Option<u32>,
    /// Of the encoder.
    pub(crate) options: &'a [(&'a str, &'a str)],
}

impl Encoding<'_> {
    /// Opens the encoder and adds its stream to `output`.
    pub(crate) fn open(&self, output: &mut format::context::Output) -> Result<encoder::video::Encoder, ffmpeg::Error> {
        let mut video = codec::context::Context::new_with_codec(self.codec).encoder().video()?;
        video.set_width(self.size.0);
        video.set_height(self.size.1);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(self.time_base);
        if let Some(ColourSpace { matrix, full_range }) = self.colour {
            video.set_colorspace(space(matrix));
            video.set_color_range(if full_range { color::Range::JPEG } else { color::Range::MPEG });
        }
        if let Some(every) = self.key_frames {
            video.set_gop(every);
            video.set_max_b_frames(0);
        }
        let [numerator, denominator] = self.frame_rate;
        video.set_frame_rate((numerator > 0).then_some(Rational(numerator, denominator)));
        if output.format().flags().contains(format::Flags::GLOBAL_HEADER) {
            video.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let mut options = ffmpeg::Dictionary::new();
        self.options.iter().for_each(|(name, value)| options.set(name, value));
        let encoder = video.open_with(options)?;
        let mut stream = output.add_stream(self.codec)?;
        stream.set_parameters(&encoder);
        stream.set_time_base(self.time_base);
        Ok(encoder)
    }
}

fn space(matrix: Matrix) -> color::Space {
    match matrix {
        Matrix::Bt601 => color::Space::SMPTE170M,
        Matrix::Bt709 => color::Space::BT709,
        Matrix::Bt2020 => color::Space::BT2020NCL,
    }
}

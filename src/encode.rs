//! What drawing on a video and copying it for browsers have in common: pictures as an encoder takes them, and the encoder.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::software::scaling;
use ffmpeg_next::util::color;
use ffmpeg_next::{Codec, Rational, codec, encoder, format};

use crate::picture::{ColourSpace, Matrix, Plane, Planes};

/// The form of a picture's samples; what works on pictures of one form is made anew for another.
#[derive(Clone, Copy, PartialEq)]
struct PictureForm {
    /// How the planes lie.
    format: Pixel,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
}

impl PictureForm {
    fn of(picture: &dyn Planes) -> Self {
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

    /// With sides that chroma of half the size can have.
    fn even(self) -> Self {
        Self { width: self.width.next_multiple_of(2), height: self.height.next_multiple_of(2), ..self }
    }
}

/// Makes pictures what an encoder takes: 4:2:0, all of one even size.
pub(crate) struct Fitting {
    /// Pixels, both even.
    size: (u32, u32),
    /// With what it takes; absent until a picture needs more than a copy.
    scaler: Option<(PictureForm, scaling::Context)>,
}

impl Fitting {
    /// As large as `picture`, or smaller in proportion, so that no side is longer than `longest` pixels.
    pub(crate) fn within(picture: &dyn Planes, longest: u32) -> Self {
        let form = PictureForm::of(picture).even();
        let share = f64::from(longest) / f64::from(form.width.max(form.height));
        let even = |side: u32| (((f64::from(side) * share / 2.0).round() as u32) * 2).max(2);
        let size = if share < 1.0 { (even(form.width), even(form.height)) } else { (form.width, form.height) };
        Self { size, scaler: None }
    }

    /// Width and height of what comes out, pixels, both even.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.size
    }

    /// A picture of its own, which may be changed.
    ///
    /// # Errors
    /// If FFmpeg's scaler cannot make it.
    pub(crate) fn fitted(&mut self, picture: &dyn Planes) -> Result<Video, ffmpeg::Error> {
        let form = PictureForm::of(picture).even();
        let copy = copied(picture, form);
        let (width, height) = self.size;
        if form == (PictureForm { format: Pixel::YUV420P, width, height }) {
            return Ok(copy);
        }
        let scaler = match self.scaler.take().filter(|(known, _)| *known == form) {
            Some((_, scaler)) => scaler,
            None => {
                let flags = scaling::Flags::BILINEAR;
                scaling::Context::get(form.format, form.width, form.height, Pixel::YUV420P, width, height, flags)?
            }
        };
        let (_, scaler) = self.scaler.insert((form, scaler));
        let mut scaled = Video::empty();
        scaler.run(&copy, &mut scaled)?;
        Ok(scaled)
    }
}

/// A copy of a picture in `form`, which is the picture's own, or by a column or row larger: those repeat the last ones.
fn copied(picture: &dyn Planes, form: PictureForm) -> Video {
    let mut video = Video::new(form.format, form.width, form.height);
    let planes = [picture.luma()].into_iter().chain(picture.chroma().into_iter().flatten());
    for (index, plane) in planes.enumerate() {
        let (width, height) = (video.plane_width(index) as usize, video.plane_height(index) as usize);
        let stride = video.stride(index);
        copy_plane(plane, video.data_mut(index), stride, (width, height));
    }
    if picture.chroma().is_none() {
        (1..=2).for_each(|plane| video.data_mut(plane).fill(128));
    }
    video
}

fn copy_plane(plane: Plane<'_>, samples: &mut [u8], stride: usize, (width, height): (usize, usize)) {
    for (y, row) in samples.chunks_mut(stride).take(height).enumerate() {
        let from = plane.row(y.min(plane.height - 1));
        let shared = plane.width.min(width);
        row[..shared].copy_from_slice(&from[..shared]);
        row[shared..width].fill(from[shared - 1]);
    }
}

/// How much of a picture an encoder keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    /// To look at in place of the source.
    Full,
    /// To see a face by, at a smaller size.
    Smaller,
}

impl Quality {
    /// An encoder's options. Both settings of a quality give nearly the same pictures (docs/benchmarks.md, "Drawing on a video").
    fn options(self, codec: codec::Id) -> Vec<(&'static str, &'static str)> {
        match codec {
            codec::Id::H264 => {
                let rate_factor = if self == Self::Full { "20" } else { "24" };
                // Encoding slower gains a few per cent in size and costs much time.
                vec![("preset", "veryfast"), ("crf", rate_factor)]
            }
            _ => {
                let rate_factor = if self == Self::Full { "24" } else { "30" };
                let quick = [("deadline", "realtime"), ("cpu-used", "6"), ("row-mt", "1"), ("threads", "auto")];
                quick.into_iter().chain([("crf", rate_factor), ("b", "0")]).collect()
            }
        }
    }
}

/// How a video is encoded, in 4:2:0.
pub(crate) struct Encoding<'a> {
    /// Best first: the first is taken for which FFmpeg has an encoder that can be opened here.
    pub(crate) codecs: &'a [codec::Id],
    pub(crate) quality: Quality,
    /// Width and height, pixels, both even.
    pub(crate) size: (u32, u32),
    pub(crate) time_base: Rational,
    /// Frames a second as a fraction; 0 where the source does not say.
    pub(crate) frame_rate: [i32; 2],
    /// What the samples stand for.
    pub(crate) colour: ColourSpace,
    /// A key frame every so many frames, and none that refers to a later one: players then jump quickly, and start at time 0.
    pub(crate) key_frames: Option<u32>,
}

impl Encoding<'_> {
    /// Opens the encoder and adds its stream to `output`.
    ///
    /// # Errors
    /// [`ffmpeg::Error::EncoderNotFound`] if FFmpeg has none for any of the codecs, and why the last one cannot be opened.
    pub(crate) fn open(&self, output: &mut format::context::Output) -> Result<encoder::video::Encoder, ffmpeg::Error> {
        let has_global_header = output.format().flags().contains(format::Flags::GLOBAL_HEADER);
        let mut why = ffmpeg::Error::EncoderNotFound;
        // FFmpeg may have encoders of devices that this machine lacks.
        for codec in self.codecs.iter().filter_map(|codec| encoder::find(*codec)) {
            match self.open_as(codec, has_global_header) {
                Ok(encoder) => {
                    let mut stream = output.add_stream(codec)?;
                    stream.set_parameters(&encoder);
                    stream.set_time_base(self.time_base);
                    return Ok(encoder);
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn open_as(&self, codec: Codec, has_global_header: bool) -> Result<encoder::video::Encoder, ffmpeg::Error> {
        let mut video = codec::context::Context::new_with_codec(codec).encoder().video()?;
        video.set_width(self.size.0);
        video.set_height(self.size.1);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(self.time_base);
        video.set_colorspace(space(self.colour.matrix));
        video.set_color_range(if self.colour.full_range { color::Range::JPEG } else { color::Range::MPEG });
        if let Some(every) = self.key_frames {
            video.set_gop(every);
            video.set_max_b_frames(0);
        }
        let [numerator, denominator] = self.frame_rate;
        video.set_frame_rate((numerator > 0).then_some(Rational(numerator, denominator)));
        if has_global_header {
            video.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let mut options = ffmpeg::Dictionary::new();
        self.quality.options(codec.id()).into_iter().for_each(|(name, value)| options.set(name, value));
        video.open_with(options)
    }
}

fn space(matrix: Matrix) -> color::Space {
    match matrix {
        Matrix::Bt601 => color::Space::SMPTE170M,
        Matrix::Bt709 => color::Space::BT709,
        Matrix::Bt2020 => color::Space::BT2020NCL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::GreyPicture;

    #[test]
    fn an_odd_picture_gets_a_column_and_a_row_more_and_nothing_moves() {
        let picture = GreyPicture { samples: (0..15).collect(), width: 5, height: 3 };
        let mut fitting = Fitting::within(&picture, 1280);
        assert_eq!(fitting.size(), (6, 4));
        let video = fitting.fitted(&picture).unwrap();
        let row = |y: usize| video.data(0)[y * video.stride(0)..][..6].to_vec();
        assert_eq!((row(0), row(2)), (vec![0, 1, 2, 3, 4, 4], vec![10, 11, 12, 13, 14, 14]));
        assert_eq!(row(3), row(2));
        assert!(video.data(1)[..3].iter().chain(&video.data(2)[..3]).all(|sample| *sample == 128));
    }

    #[test]
    fn a_large_picture_becomes_as_long_as_it_may_be() {
        let picture = GreyPicture { samples: vec![90; 301 * 100], width: 301, height: 100 };
        let mut fitting = Fitting::within(&picture, 100);
        assert_eq!(fitting.size(), (100, 34));
        let video = fitting.fitted(&picture).unwrap();
        assert_eq!((video.width(), video.height(), video.data(0)[50]), (100, 34, 90));
    }
}

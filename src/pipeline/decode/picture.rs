//! A decoded picture as shared planes.
#![expect(unsafe_code, reason = "The planes of a reference-counted AVFrame are read from other threads")]

use ffmpeg_next::color::{Range, Space};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use crate::picture::{ColourSpace, Matrix, Plane, Planes};

/// Formats whose planes are handed on as they are.
pub(super) fn is_plain(format: Pixel) -> bool {
    chroma_shift(format).is_some() || format == Pixel::GRAY8
}

/// By how many bits chroma is smaller than luma, across and down.
fn chroma_shift(format: Pixel) -> Option<(u32, u32)> {
    match format {
        Pixel::YUV420P | Pixel::YUVJ420P => Some((1, 1)),
        Pixel::YUV422P | Pixel::YUVJ422P => Some((1, 0)),
        Pixel::YUV444P | Pixel::YUVJ444P => Some((0, 0)),
        _ => None,
    }
}

/// An 8-bit planar picture that owns a reference to FFmpeg's buffers.
pub(super) struct DecodedPicture(Video);

// SAFETY: the buffers of a decoded frame are reference-counted with atomics and not written to once they have been
// handed out (FFmpeg copies before writing when there is more than one reference); we only read.
unsafe impl Send for DecodedPicture {}
// SAFETY: as above; all methods take `&self` and only read.
unsafe impl Sync for DecodedPicture {}

impl DecodedPicture {
    /// `None` where the format is not plain or a plane is missing.
    pub(super) fn new(frame: Video) -> Option<Self> {
        let planes = if frame.format() == Pixel::GRAY8 { 1 } else { 3 };
        let fits = |index: usize| {
            // SAFETY: reading two fields of a frame we own.
            let (data, stride) = unsafe { ((*frame.as_ptr()).data[index], (*frame.as_ptr()).linesize[index]) };
            !data.is_null() && stride > 0
        };
        (is_plain(frame.format()) && frame.width() > 0 && frame.height() > 0 && (0..planes).all(fits))
            .then_some(Self(frame))
    }

    fn plane(&self, index: usize, width: usize, height: usize) -> Plane<'_> {
        let stride = self.0.stride(index);
        // SAFETY: `new` checked that the plane is there with a positive stride; FFmpeg allocates at least
        // `stride * (height - 1) + width` bytes for a plane of this size, and the frame outlives the slice.
        let samples =
            unsafe { std::slice::from_raw_parts((*self.0.as_ptr()).data[index], stride * (height - 1) + width) };
        Plane { samples, stride, width, height }
    }
}

impl Planes for DecodedPicture {
    fn luma(&self) -> Plane<'_> {
        self.plane(0, self.0.width() as usize, self.0.height() as usize)
    }

    fn chroma(&self) -> Option<[Plane<'_>; 2]> {
        let (across, down) = chroma_shift(self.0.format())?;
        let width = (self.0.width() as usize).div_ceil(1 << across);
        let height = (self.0.height() as usize).div_ceil(1 << down);
        Some([self.plane(1, width, height), self.plane(2, width, height)])
    }

    fn colour(&self) -> ColourSpace {
        let format = self.0.format();
        let full_range = match self.0.color_range() {
            Range::JPEG => true,
            Range::MPEG => false,
            Range::Unspecified => {
                matches!(format, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::GRAY8)
            }
        };
        let matrix = match self.0.color_space() {
            Space::BT709 => Matrix::Bt709,
            Space::BT2020NCL | Space::BT2020CL => Matrix::Bt2020,
            // As players do: without a word, high definition is BT.709.
            Space::Unspecified if self.0.height() > 576 => Matrix::Bt709,
            _ => Matrix::Bt601,
        };
        ColourSpace { matrix, full_range }
    }
}

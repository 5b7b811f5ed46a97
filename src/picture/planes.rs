//! Pictures as planes of samples: the decoder's output, and the input of everything that analyses pictures.

/// One 8-bit plane of a picture: `height` rows of `width` samples, `stride` samples apart.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// The samples; row `y` starts at `y * stride`.
    pub samples: &'a [u8],
    /// Distance between rows, in samples, at least `width`.
    pub stride: usize,
    /// Samples in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl<'a> Plane<'a> {
    /// Row `y`, `width` samples long.
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.samples[y * self.stride..][..self.width]
    }
}

/// How luma and chroma are converted to RGB (ITU-T H.273 matrix coefficients and range).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColourSpace {
    /// Weights of red and blue in luma.
    pub matrix: Matrix,
    /// Whether samples use all of 0..=255 rather than 16..=235.
    pub full_range: bool,
}

/// Matrix coefficients of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

/// A displayed picture: turned upright, with square pixels, 8 bits a sample.
pub trait Planes: Send + Sync {
    /// The luma plane; its size is the displayed picture's size.
    fn luma(&self) -> Plane<'_>;
    /// Cb and Cr, at most as large as luma and sited over the same area; `None` for grey pictures.
    fn chroma(&self) -> Option<[Plane<'_>; 2]>;
    /// How to read the samples.
    fn colour(&self) -> ColourSpace;
}

/// A grey picture that owns its samples, for tests, photographs and generated material.
pub struct GreyPicture {
    /// `width * height` samples, row by row, full range.
    pub samples: Vec<u8>,
    /// Samples in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Planes for GreyPicture {
    fn luma(&self) -> Plane<'_> {
        Plane { samples: &self.samples, stride: self.width, width: self.width, height: self.height }
    }

    fn chroma(&self) -> Option<[Plane<'_>; 2]> {
        None
    }

    fn colour(&self) -> ColourSpace {
        ColourSpace { matrix: Matrix::Bt601, full_range: true }
    }
}

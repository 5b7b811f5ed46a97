//! Worse pictures on purpose, to see what a model makes of them.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage, codecs::jpeg::JpegEncoder};
use serde::{Deserialize, Serialize};

use super::dataset::{DatasetError, Example, ImageSource, Picture};
use crate::choice::Choice;
use crate::picture::{Colours, Plane};
use crate::picture::{Region, resample};

/// What is done to each picture before the model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Degradation {
    /// Made four times smaller and enlarged again.
    Downsample4,
    /// The lower third is covered with mid-grey.
    CoverLowerThird,
    /// The upper third is covered with mid-grey.
    CoverUpperThird,
}

impl Choice for Degradation {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Downsample4, "downsample4", "Made four times smaller and enlarged again"),
        (Self::CoverLowerThird, "cover-lower-third", "The lower third is covered with mid-grey"),
        (Self::CoverUpperThird, "cover-upper-third", "The upper third is covered with mid-grey"),
    ];
}

impl Degradation {
    /// The example with a worse picture.
    ///
    /// # Errors
    /// If its picture cannot be decoded.
    pub fn applied(self, example: Example) -> Result<Example, DatasetError> {
        let picture = example.picture()?;
        let row = picture.width * picture.colours.count();
        let third = picture.height.div_ceil(3) * row;
        let changed = match self {
            Self::Downsample4 => downsampled(&picture, 4),
            Self::CoverLowerThird | Self::CoverUpperThird => {
                let mut samples = picture.samples().to_vec();
                let covered = match self {
                    Self::CoverLowerThird => samples.len() - third..samples.len(),
                    _ => 0..third,
                };
                samples[covered].fill(128);
                samples
            }
        };
        let source = ImageSource::Kept(Picture::new(changed, picture.colours, picture.width, picture.height));
        Ok(Example { source, ..example })
    }
}

/// Each channel `factor` times smaller (antialiased), then as large as before (bilinear).
pub(super) fn downsampled(picture: &Picture, factor: usize) -> Vec<u8> {
    let channels = picture.colours.count();
    let mut changed = vec![0; picture.samples().len()];
    for channel in 0..channels {
        let samples: Vec<u8> = picture.samples().iter().copied().skip(channel).step_by(channels).collect();
        let small = (picture.width.div_ceil(factor), picture.height.div_ceil(factor));
        let shrunk = resized(&samples, (picture.width, picture.height), small);
        let enlarged = resized(&shrunk, small, (picture.width, picture.height));
        changed.iter_mut().skip(channel).step_by(channels).zip(enlarged).for_each(|(to, from)| *to = from);
    }
    changed
}

fn resized(samples: &[u8], (width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> Vec<u8> {
    let plane = Plane { samples, stride: width, width, height };
    let (w, h) = (width as f32, height as f32);
    let whole = Region { x: w / 2.0, y: h / 2.0, width: w, height: h, angle_degrees: 0.0 };
    resample(&plane, &whole, to_width, to_height).into_iter().map(|value| value.round() as u8).collect()
}

/// The picture through JPEG of a quality from 1 to 100; as it was where it cannot be encoded, which no picture in memory is.
pub(super) fn compressed(picture: &Picture, quality: u8) -> Vec<u8> {
    let (width, height, samples) = (picture.width as u32, picture.height as u32, picture.samples().to_vec());
    let image = match picture.colours {
        Colours::Luma => GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8),
        Colours::Rgb => RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8),
    };
    let through = |image: DynamicImage| {
        let mut bytes = Vec::new();
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)).ok()?;
        image::load(Cursor::new(bytes), ImageFormat::Jpeg).ok()
    };
    match (image.and_then(through), picture.colours) {
        (Some(image), Colours::Luma) => image.into_luma8().into_raw(),
        (Some(image), Colours::Rgb) => image.into_rgb8().into_raw(),
        (None, _) => picture.samples().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Colours;

    fn degraded(by: Degradation) -> Vec<u8> {
        let samples = (0..12 * 12 * 3).map(|i| if (i / 3) % 2 == 0 { 250 } else { 10 }).collect();
        let source = ImageSource::Kept(Picture::new(samples, Colours::Rgb, 12, 12));
        let example = Example { row: 0, source, target: [0.0; 7], label: None, weight: 1.0 };
        by.applied(example).unwrap().picture().unwrap().samples().to_vec()
    }

    #[test]
    fn a_third_is_covered_and_nothing_else() {
        let row = 12 * 3;
        let lower = degraded(Degradation::CoverLowerThird);
        assert!(lower[8 * row..].iter().all(|v| *v == 128) && lower[..8 * row].iter().all(|v| *v != 128));
        let upper = degraded(Degradation::CoverUpperThird);
        assert!(upper[..4 * row].iter().all(|v| *v == 128) && upper[4 * row..].iter().all(|v| *v != 128));
    }

    #[test]
    fn stripes_finer_than_four_pixels_are_gone() {
        let inner = degraded(Degradation::Downsample4);
        // Away from the edges, whose outermost column counts twice.
        assert!(inner[12 * 3 + 12..12 * 3 + 24].iter().all(|v| (115..=145).contains(v)), "{inner:?}");
    }
}

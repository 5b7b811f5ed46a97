//! A person's appearance in a few numbers, used to recognise a signer after a loss and to tell signers apart.

use serde::{Deserialize, Serialize};

use crate::picture::{Plane, Planes};
use crate::picture::{Region, resample};
use crate::timeline::BoundingBox;

/// Side of the coarse picture of the head, samples.
const SIDE: usize = 8;
/// Side of the square that the picture shows, as a multiple of the face box's side; it includes hair and the outline of
/// the head.
const SHOWN: f32 = 1.7;
/// Distance from the face down to the square that shows the clothes, which is as large as the face's box.
const CLOTHES_DOWN: f32 = 1.35;
/// Difference of a brightness or colour value that counts against one person as much as a correlation of 0 between the
/// coarse pictures; share of the full range.
const COLOUR_REACH: f32 = 0.12;

/// The appearance of a head and clothes in 70 numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Luma of the head, roll-aligned, 8 x 8; mean 0 and length 1.
    head: [[f32; SIDE]; SIDE],
    /// Mean luma, Cb and Cr of the inner face, then of the clothes below it, 0 to 1.
    colours: [f32; 6],
}

impl Descriptor {
    /// The appearance of the face in `face`, turned clockwise by `roll_degrees`.
    pub fn of(picture: &dyn Planes, face: &BoundingBox, roll_degrees: f32) -> Self {
        let luma = picture.luma();
        let (x, y) = face.centre();
        let square = |down: f32, side: f32| {
            let (sin, cos) = roll_degrees.to_radians().sin_cos();
            let (x, y) = (x - down * face.w * sin, y + down * face.w * cos);
            Region { x, y, width: side * face.w, height: side * face.w, angle_degrees: roll_degrees }
        };
        let values = resample(&luma, &square(0.0, SHOWN), SIDE, SIDE);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let length = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>().sqrt().max(1.0);
        let head =
            std::array::from_fn(|row| std::array::from_fn(|column| (values[row * SIDE + column] - mean) / length));
        let mut colours = [0.5; 6];
        for (part, region) in [square(0.0, 0.6), square(CLOTHES_DOWN, 1.0)].into_iter().enumerate() {
            colours[3 * part] = mean_of(&luma, &luma, &region);
            for (index, plane) in picture.chroma().into_iter().flatten().enumerate() {
                colours[3 * part + 1 + index] = mean_of(&plane, &luma, &region);
            }
        }
        Self { head, colours }
    }

    /// How likely it is that two descriptors are one person's: 1 for equal ones, around 0 and below for different
    /// people. Half of it is the correlation of the heads; the other half compares the colours of faces and clothes.
    pub fn similarity(&self, other: &Self) -> f32 {
        let heads: f32 = self.head.iter().flatten().zip(other.head.iter().flatten()).map(|(a, b)| a * b).sum();
        let length = |d: &Self| d.head.iter().flatten().map(|v| v * v).sum::<f32>().sqrt();
        let heads = heads / (length(self) * length(other)).max(1e-6);
        let squares = self.colours.iter().zip(other.colours).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let colours = 1.0 - (squares / self.colours.len() as f32).sqrt() / COLOUR_REACH;
        0.5 * heads + 0.5 * colours.max(-1.0)
    }

    /// Moves towards `other` by `share`, so that a descriptor follows a person through poses.
    pub fn follow(&mut self, other: &Self, share: f32) {
        let pairs = self.head.iter_mut().flatten().zip(other.head.iter().flatten());
        for (value, new) in pairs.chain(self.colours.iter_mut().zip(&other.colours)) {
            *value += share * (new - *value);
        }
    }
}

/// The mean of `plane` in `region`, which is given in pixels of `luma`; 0 to 1.
fn mean_of(plane: &Plane, luma: &Plane, region: &Region) -> f32 {
    resample(plane, &region.on_plane(luma, plane), 2, 2).iter().sum::<f32>() / (4.0 * 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::GreyPicture;

    fn picture(seed: usize, brighter: u8) -> GreyPicture {
        let value = |i: usize| (((i % 200) * seed / 9 + (i / 200) * seed / 5) % 180) as u8 + brighter;
        GreyPicture { samples: (0..200 * 200).map(value).collect(), width: 200, height: 200 }
    }

    #[test]
    fn one_person_in_other_light_is_more_like_itself_than_like_another() {
        let face = BoundingBox { x: 60.0, y: 40.0, w: 60.0, h: 60.0 };
        let seen = Descriptor::of(&picture(7, 10), &face, 0.0);
        let later = Descriptor::of(&picture(7, 20), &BoundingBox { x: 61.0, ..face }, 2.0);
        let other = Descriptor::of(&picture(31, 10), &face, 0.0);
        assert!((seen.similarity(&seen) - 1.0).abs() < 1e-4);
        assert!(seen.similarity(&later) > super::super::identity::SAME_PERSON, "{}", seen.similarity(&later));
        assert!(seen.similarity(&other) < seen.similarity(&later) - 0.1, "{}", seen.similarity(&other));
    }
}

//! Cuts out the square that a network takes as its input.

use serde::{Deserialize, Serialize};

use super::{BoundingBox, ColourSpace, Colours, Matrix, Planes, Region, resample};

/// How a network's square relates to the detector's box; part of a model's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropRule {
    /// Side of the square, as a multiple of the box's side.
    pub scale: f32,
    /// Distance from the box's centre down to the square's, as a multiple of the box's side.
    pub shift_y: f32,
}

impl Default for CropRule {
    /// The rule of FER2013's pictures. SeetaFace's box on them has 0.917 of their side (median over 1307 faces of
    /// PublicTest; 80 % lie between 0.73 and 1.07) and the same centre. Measured by `examples/crop_rule.rs`.
    fn default() -> Self {
        Self { scale: 1.09, shift_y: 0.0 }
    }
}

/// The square that a network takes as its input.
pub fn face_square(face: &BoundingBox, roll_degrees: f32, rule: &CropRule) -> Region {
    let side = face.w.max(face.h);
    let (x, y) = face.centre();
    let down = side * rule.shift_y;
    let angle = roll_degrees.to_radians();
    Region {
        x: x - down * angle.sin(),
        y: y + down * angle.cos(),
        width: side * rule.scale,
        height: side * rule.scale,
        angle_degrees: roll_degrees,
    }
}

/// The square of `picture` as a network's input: `[side, side, colours]`, values 0 to 255 in full range.
pub fn crop(picture: &dyn Planes, square: &Region, side: usize, colours: Colours) -> Vec<f32> {
    let colour = picture.colour();
    let luma = picture.luma();
    let mut y = resample(&luma, square, side, side);
    for value in &mut y {
        *value = full_range_luma(*value, colour);
    }
    match (colours, picture.chroma()) {
        (Colours::Luma, _) => y,
        (Colours::Rgb, None) => y.iter().flat_map(|v| [*v; 3]).collect(),
        (Colours::Rgb, Some(chroma)) => {
            let [cb, cr] = chroma.map(|plane| resample(&plane, &square.on_plane(&luma, &plane), side, side));
            y.iter().zip(cb.iter().zip(&cr)).flat_map(|(y, (cb, cr))| rgb(*y, *cb, *cr, colour)).collect()
        }
    }
}

fn full_range_luma(value: f32, colour: ColourSpace) -> f32 {
    if colour.full_range { value } else { ((value - 16.0) * (255.0 / 219.0)).clamp(0.0, 255.0) }
}

/// Converts one pixel by ITU-T H.273, section 8.3; luma is already in full range.
fn rgb(y: f32, cb: f32, cr: f32, colour: ColourSpace) -> [f32; 3] {
    let (kr, kb) = match colour.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let gain = if colour.full_range { 1.0 } else { 255.0 / 224.0 };
    let (cb, cr) = ((cb - 128.0) * gain, (cr - 128.0) * gain);
    let red = y + 2.0 * (1.0 - kr) * cr;
    let blue = y + 2.0 * (1.0 - kb) * cb;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|v| v.clamp(0.0, 255.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::GreyPicture;

    #[test]
    fn limited_range_is_widened_and_colour_is_converted() {
        let limited = ColourSpace { matrix: Matrix::Bt709, full_range: false };
        assert_eq!(full_range_luma(16.0, limited), 0.0);
        assert_eq!(full_range_luma(235.0, limited), 255.0);
        // BT.709 red in limited range is (63, 102, 240) by ITU-R BT.709-6, rounded.
        let [r, g, b] = rgb(full_range_luma(63.0, limited), 102.0, 240.0, limited);
        assert!(r > 252.0 && g < 3.0 && b < 3.0, "{r} {g} {b}");
    }

    #[test]
    fn a_network_square_follows_the_rule() {
        let face = BoundingBox { x: 10.0, y: 20.0, w: 40.0, h: 40.0 };
        let square = face_square(&face, 0.0, &CropRule { scale: 1.5, shift_y: 0.1 });
        assert_eq!((square.x, square.y, square.width, square.height), (30.0, 44.0, 60.0, 60.0));
    }

    proptest! {
        #[test]
        fn a_constant_picture_gives_a_constant_crop(
            value in 0u8..=255, x in -50.0f32..100.0, y in -50.0f32..100.0, side in 0.5f32..200.0, angle in -60.0f32..60.0,
        ) {
            let picture = GreyPicture { samples: vec![value; 30 * 20], width: 30, height: 20 };
            let region = Region { x, y, width: side, height: side, angle_degrees: angle };
            for out in crop(&picture, &region, 12, Colours::Rgb) {
                prop_assert!((out - f32::from(value)).abs() < 1e-2);
            }
        }
    }
}

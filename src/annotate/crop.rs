//! From a plane to the small square a detector or network looks at: sub-pixel, antialiased, only where it is needed.

use serde::{Deserialize, Serialize};

use super::frame::{Colour, Matrix, Plane, Planes, Sighting};
use crate::model::Colours;
use crate::timeline::{BoundingBox, Status};

/// How a network's square lies about the detector's box; part of a model's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CropRule {
    /// Side of the square, in sides of the box.
    pub scale: f32,
    /// How far the square's centre lies below the box's, in sides of the box.
    pub shift_y: f32,
}

impl Default for CropRule {
    /// That of FER2013's pictures: SeetaFace's box on them has 0.917 of their side (median over 1307 faces of
    /// PublicTest; 80 % lie between 0.73 and 1.07) and their centre. Measured by `examples/crop_rule.rs`.
    fn default() -> Self {
        Self { scale: 1.09, shift_y: 0.0 }
    }
}

/// A rectangle of a picture, possibly turned: centre, size, and clockwise angle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Centre, pixels from the left edge.
    pub x: f32,
    /// Centre, pixels from the top edge.
    pub y: f32,
    /// Size along the rectangle's own axes, pixels.
    pub width: f32,
    /// Size along the rectangle's own axes, pixels.
    pub height: f32,
    /// Clockwise turn in the picture, degrees.
    pub angle_degrees: f32,
}

/// Below this turn a region counts as upright: over a 300-pixel face its corners move by less than half a pixel.
const UPRIGHT_DEGREES: f32 = 0.1;

/// The square a network looks at.
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

/// The face that was sighted in `picture` as a network's input, as [`crop`] gives it; `None` where there is nothing to
/// classify. Annotation and the making of training crops both pass here.
pub fn face(
    picture: &dyn Planes,
    sighting: &Sighting,
    rule: &CropRule,
    side: usize,
    colours: Colours,
) -> Option<Vec<f32>> {
    let face = sighting.face.filter(|_| sighting.status == Status::Ok)?;
    Some(crop(picture, &face_square(&face, sighting.roll_degrees, rule), side, colours))
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
            let [cb, cr] = chroma.map(|plane| {
                let (across, down) = (plane.width as f32 / luma.width as f32, plane.height as f32 / luma.height as f32);
                let region = Region {
                    x: square.x * across,
                    y: square.y * down,
                    width: square.width * across,
                    height: square.height * down,
                    ..*square
                };
                resample(&plane, &region, side, side)
            });
            y.iter().zip(cb.iter().zip(&cr)).flat_map(|(y, (cb, cr))| rgb(*y, *cb, *cr, colour)).collect()
        }
    }
}

fn full_range_luma(value: f32, colour: Colour) -> f32 {
    if colour.full_range { value } else { ((value - 16.0) * (255.0 / 219.0)).clamp(0.0, 255.0) }
}

/// ITU-T H.273, section 8.3, with luma already in full range.
fn rgb(y: f32, cb: f32, cr: f32, colour: Colour) -> [f32; 3] {
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

/// `region` of `plane` at `width` x `height` samples. Shrinking averages with a triangle as wide as two output pixels,
/// enlarging is bilinear; outside the plane its edge is repeated.
pub fn resample(plane: &Plane, region: &Region, width: usize, height: usize) -> Vec<f32> {
    if region.angle_degrees.abs() < UPRIGHT_DEGREES {
        upright(plane, region, width, height)
    } else {
        turned(plane, region, width, height)
    }
}

/// Which input samples make an output sample, and how much of each.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn taps(centre: f32, length: f32, count: usize, size: usize) -> Vec<Taps> {
    let step = length / count as f32;
    let radius = step.max(1.0);
    (0..count)
        .map(|index| {
            let middle = centre - length / 2.0 + (index as f32 + 0.5) * step - 0.5;
            let last_sample = size as i64 - 1;
            let (low, high) = ((middle - radius).ceil() as i64, (middle + radius).floor() as i64);
            let first = low.clamp(0, last_sample);
            let mut weights = vec![0.0; (high.clamp(0, last_sample) - first + 1) as usize];
            for place in low..=high.max(low) {
                // Samples beyond the edge repeat it: their weight goes to the edge.
                let inside = place.clamp(0, last_sample) - first;
                weights[inside as usize] += (1.0 - (place as f32 - middle).abs() / radius).max(0.0);
            }
            let sum: f32 = weights.iter().sum();
            match sum > 0.0 {
                true => weights.iter_mut().for_each(|w| *w /= sum),
                false => weights[0] = 1.0,
            }
            Taps { first: first as usize, weights }
        })
        .collect()
}

fn upright(plane: &Plane, region: &Region, width: usize, height: usize) -> Vec<f32> {
    let columns = taps(region.x, region.width, width, plane.width);
    let rows = taps(region.y, region.height, height, plane.height);
    let left = columns.iter().map(|t| t.first).min().unwrap_or(0);
    let right = columns.iter().map(|t| t.first + t.weights.len()).max().unwrap_or(0);
    let mut line = vec![0.0f32; right - left];
    let mut out = Vec::with_capacity(width * height);
    let arch = pulp::Arch::new();
    arch.dispatch(
        #[inline(always)]
        || {
            for row in &rows {
                line.fill(0.0);
                for (offset, weight) in row.weights.iter().enumerate() {
                    let samples = &plane.row(row.first + offset)[left..right];
                    for (sum, sample) in line.iter_mut().zip(samples) {
                        *sum += weight * f32::from(*sample);
                    }
                }
                for column in &columns {
                    let samples = &line[column.first - left..][..column.weights.len()];
                    out.push(samples.iter().zip(&column.weights).map(|(s, w)| s * w).sum());
                }
            }
        },
    );
    out
}

/// Bilinear at a few points an output pixel. Where that would miss samples, the upright rectangle about the region is first
/// made smaller, to two samples an output pixel.
fn turned(plane: &Plane, region: &Region, width: usize, height: usize) -> Vec<f32> {
    let step = (region.width / width as f32).max(region.height / height as f32);
    let (sin, cos) = region.angle_degrees.to_radians().sin_cos();
    if step <= LARGEST_STEP {
        let samples =
            Samples { at: |x, y| f32::from(plane.samples[y * plane.stride + x]), size: (plane.width, plane.height) };
        return samples.turned(region, width, height);
    }
    let finer = step / 2.0;
    let reduced = |along: f32, across: f32| ((along * cos.abs() + across * sin.abs()) / finer).ceil() as usize + 4;
    let (columns, rows) = (reduced(region.width, region.height), reduced(region.height, region.width));
    let (about_width, about_height) = (columns as f32 * finer, rows as f32 * finer);
    let about = Region { width: about_width, height: about_height, angle_degrees: 0.0, ..*region };
    let smaller = upright(plane, &about, columns, rows);
    let inside = Region {
        x: columns as f32 / 2.0,
        y: rows as f32 / 2.0,
        width: region.width / finer,
        height: region.height / finer,
        ..*region
    };
    let samples = Samples { at: |x, y| smaller[y * columns + x], size: (columns, rows) };
    samples.turned(&inside, width, height)
}

/// Samples of the plane per output pixel up to which bilinear points miss none.
const LARGEST_STEP: f32 = 3.0;

/// Something that has a value at every place of a grid.
struct Samples<F> {
    at: F,
    size: (usize, usize),
}

impl<F: Fn(usize, usize) -> f32> Samples<F> {
    fn turned(&self, region: &Region, width: usize, height: usize) -> Vec<f32> {
        let (step_x, step_y) = (region.width / width as f32, region.height / height as f32);
        let points = (step_x.max(step_y).ceil() as usize).clamp(1, LARGEST_STEP as usize);
        let (sin, cos) = region.angle_degrees.to_radians().sin_cos();
        let (last_x, last_y) = (self.size.0 - 1, self.size.1 - 1);
        let mut out = Vec::with_capacity(width * height);
        for row in 0..height {
            for column in 0..width {
                let mut sum = 0.0;
                for point in 0..points * points {
                    let inner = |index: usize| (index as f32 + 0.5) / points as f32;
                    let u = (column as f32 + inner(point % points)) * step_x - region.width / 2.0;
                    let v = (row as f32 + inner(point / points)) * step_y - region.height / 2.0;
                    let x = (region.x + u * cos - v * sin - 0.5).clamp(0.0, last_x as f32);
                    let y = (region.y + u * sin + v * cos - 0.5).clamp(0.0, last_y as f32);
                    let (left, top) = (x as usize, y as usize);
                    let (right, bottom) = ((left + 1).min(last_x), (top + 1).min(last_y));
                    let (fx, fy) = (x - left as f32, y - top as f32);
                    let upper = (self.at)(left, top) * (1.0 - fx) + (self.at)(right, top) * fx;
                    let lower = (self.at)(left, bottom) * (1.0 - fx) + (self.at)(right, bottom) * fx;
                    sum += upper * (1.0 - fy) + lower * fy;
                }
                out.push(sum / (points * points) as f32);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::annotate::frame::GreyPicture;

    fn plane(samples: &[u8], width: usize) -> Plane<'_> {
        Plane { samples, stride: width, width, height: samples.len() / width }
    }

    fn whole(width: f32, height: f32) -> Region {
        Region { x: width / 2.0, y: height / 2.0, width, height, angle_degrees: 0.0 }
    }

    #[test]
    fn the_whole_plane_at_its_own_size_is_itself() {
        let samples: Vec<u8> = (0..35).map(|v| v * 7).collect();
        let out = resample(&plane(&samples, 7), &whole(7.0, 5.0), 7, 5);
        assert!(out.iter().zip(&samples).all(|(o, s)| (o - f32::from(*s)).abs() < 1e-3), "{out:?}");
    }

    #[test]
    fn a_quarter_turn_moves_the_corners_round() {
        let samples = [10, 20, 30, 40];
        let region = Region { angle_degrees: 90.0, ..whole(2.0, 2.0) };
        // The region's own top left corner lies at the picture's top right.
        let out = resample(&plane(&samples, 2), &region, 2, 2);
        for (found, expected) in out.iter().zip([20.0, 40.0, 10.0, 30.0]) {
            assert!((found - expected).abs() < 1e-3, "{out:?}");
        }
    }

    #[test]
    fn a_large_turned_region_is_made_smaller_without_aliasing() {
        // Stripes far finer than the output: every output pixel is their mean, and the slope under them stays.
        let samples: Vec<u8> =
            (0..400 * 400).map(|i| (i % 400 / 4) as u8 + if (i / 400 + i % 400) % 2 == 0 { 100 } else { 0 }).collect();
        let region = Region { x: 200.0, y: 200.0, width: 240.0, height: 240.0, angle_degrees: 30.0 };
        let out = resample(&plane(&samples, 400), &region, 20, 20);
        for (place, value) in out.iter().enumerate() {
            let (u, v) = ((place % 20) as f32 * 12.0 - 114.0, (place / 20) as f32 * 12.0 - 114.0);
            let x = 200.0 + u * 30f32.to_radians().cos() - v * 30f32.to_radians().sin();
            assert!((value - x / 4.0 - 49.5).abs() < 1.5, "{place}: {value} {x}");
        }
    }

    #[test]
    fn halving_weighs_neighbours_by_a_triangle() {
        // Output pixel 1 of 4 stands at input 2.5, radius 2: weights 1/8, 3/8, 3/8, 1/8 of inputs 1 to 4.
        let samples = [0u8, 8, 16, 80, 16, 8, 0, 0];
        let out = resample(&plane(&samples, 8), &whole(8.0, 1.0), 4, 1);
        let expected = (8.0 + 3.0 * 16.0 + 3.0 * 80.0 + 16.0) / 8.0;
        assert!((out[1] - expected).abs() < 1e-4, "{out:?}");
    }

    #[test]
    fn limited_range_is_widened_and_colour_is_converted() {
        let limited = Colour { matrix: Matrix::Bt709, full_range: false };
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

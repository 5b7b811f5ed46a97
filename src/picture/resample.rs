//! Resamples a rectangle of a plane to another size, antialiased and with sub-pixel accuracy.

use super::{Plane, Region};
use crate::vectors::vectorised;

/// Below this angle, a region counts as upright: the corners of a 300-pixel face move by less than half a pixel.
const UPRIGHT_DEGREES: f32 = 0.1;

/// Resamples `region` of `plane` to `width` x `height` samples. Shrinking averages with a triangle two output pixels
/// wide; enlarging is bilinear. Outside the plane, its edge is repeated.
pub fn resample(plane: &Plane, region: &Region, width: usize, height: usize) -> Vec<f32> {
    if region.angle_degrees.abs() < UPRIGHT_DEGREES {
        upright(plane, region, width, height)
    } else {
        turned(plane, region, width, height)
    }
}

/// The input samples that make an output sample, and their weights.
struct WeightedSamples {
    first: usize,
    weights: Vec<f32>,
}

fn weighted_samples(centre: f32, length: f32, count: usize, size: usize) -> Vec<WeightedSamples> {
    let step = length / count as f32;
    let radius = step.max(1.0);
    (0..count)
        .map(|index| {
            let middle = centre - length / 2.0 + (index as f32 + 0.5) * step - 0.5;
            let last_sample = size as i64 - 1;
            let (low, high) = ((middle - radius).ceil() as i64, (middle + radius).floor() as i64);
            let first = low.clamp(0, last_sample);
            let mut weights = vec![0.0; (high.clamp(0, last_sample) - first + 1) as usize];
            for index in low..=high.max(low) {
                // Samples beyond the edge repeat the edge sample, so it receives their weight.
                let inside = index.clamp(0, last_sample) - first;
                weights[inside as usize] += (1.0 - (index as f32 - middle).abs() / radius).max(0.0);
            }
            let sum: f32 = weights.iter().sum();
            match sum > 0.0 {
                true => weights.iter_mut().for_each(|w| *w /= sum),
                false => weights[0] = 1.0,
            }
            WeightedSamples { first: first as usize, weights }
        })
        .collect()
}

fn upright(plane: &Plane, region: &Region, width: usize, height: usize) -> Vec<f32> {
    let columns = weighted_samples(region.x, region.width, width, plane.width);
    let rows = weighted_samples(region.y, region.height, height, plane.height);
    let left = columns.iter().map(|t| t.first).min().unwrap_or(0);
    let right = columns.iter().map(|t| t.first + t.weights.len()).max().unwrap_or(0);
    let mut line = vec![0.0f32; right - left];
    let mut out = Vec::with_capacity(width * height);
    vectorised(
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

/// Averages bilinear samples at a few points in each output pixel. If those points would miss samples, the upright
/// rectangle about the region is first reduced to two samples for each output pixel.
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

/// Largest number of the plane's samples for each output pixel at which bilinear points miss none.
const LARGEST_STEP: f32 = 3.0;

/// A function with a value at every point of a grid.
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
    use super::*;

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
        // The region's own top left corner is the picture's top right corner.
        let out = resample(&plane(&samples, 2), &region, 2, 2);
        for (found, expected) in out.iter().zip([20.0, 40.0, 10.0, 30.0]) {
            assert!((found - expected).abs() < 1e-3, "{out:?}");
        }
    }

    #[test]
    fn a_large_turned_region_is_made_smaller_without_aliasing() {
        // Stripes far finer than the output: every output pixel is their mean, and the slope under them remains.
        let samples: Vec<u8> =
            (0..400 * 400).map(|i| (i % 400 / 4) as u8 + if (i / 400 + i % 400) % 2 == 0 { 100 } else { 0 }).collect();
        let region = Region { x: 200.0, y: 200.0, width: 240.0, height: 240.0, angle_degrees: 30.0 };
        let out = resample(&plane(&samples, 400), &region, 20, 20);
        for (index, value) in out.iter().enumerate() {
            let (u, v) = ((index % 20) as f32 * 12.0 - 114.0, (index / 20) as f32 * 12.0 - 114.0);
            let x = 200.0 + u * 30f32.to_radians().cos() - v * 30f32.to_radians().sin();
            assert!((value - x / 4.0 - 49.5).abs() < 1.5, "{index}: {value} {x}");
        }
    }

    #[test]
    fn halving_weighs_neighbours_by_a_triangle() {
        // Output pixel 1 of 4 lies at input 2.5, radius 2: weights 1/8, 3/8, 3/8, 1/8 of inputs 1 to 4.
        let samples = [0u8, 8, 16, 80, 16, 8, 0, 0];
        let out = resample(&plane(&samples, 8), &whole(8.0, 1.0), 4, 1);
        let expected = (8.0 + 3.0 * 16.0 + 3.0 * 80.0 + 16.0) / 8.0;
        assert!((out[1] - expected).abs() < 1e-4, "{out:?}");
    }
}

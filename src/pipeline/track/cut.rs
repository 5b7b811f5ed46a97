//! Cuts between shots: the whole picture changes from one frame to the next.

use crate::picture::Plane;

/// Size of the coarse pictures that are compared.
const WIDTH: usize = 32;
/// Rows of the coarse pictures.
const HEIGHT: usize = 18;
/// Samples averaged for each of their values, in each direction.
const POINTS: usize = 4;
/// Mean difference of two coarse pictures, grey levels, below which there is no cut. A guess; with it, none of the 19
/// real clips shows a cut.
const LEAST_DIFFERENCE: f32 = 12.0;
/// Factor by which a cut exceeds the usual difference of the frames before it.
const TIMES_USUAL: f32 = 4.0;
/// Correlation of two coarse pictures from which they show the same scene in any light: switching on a lamp is no cut.
const SAME_PICTURE: f32 = 0.7;

/// Compares each frame with the one before it.
#[derive(Default)]
pub(super) struct Cuts {
    before: Option<Vec<f32>>,
    size: (usize, usize),
    /// A running mean of differences.
    usual: f32,
}

impl Cuts {
    /// Whether a new shot begins with this frame. A picture of another size begins a new shot.
    pub(super) fn is_cut(&mut self, luma: &Plane) -> bool {
        let now = coarse(luma);
        let size = (luma.width, luma.height);
        let resized = std::mem::replace(&mut self.size, size) != size;
        let Some(before) = self.before.replace(now) else { return false };
        let now = self.before.as_deref().unwrap_or_default();
        let difference = before.iter().zip(now).map(|(a, b)| (a - b).abs()).sum::<f32>() / now.len() as f32;
        let is_cut =
            difference > LEAST_DIFFERENCE.max(TIMES_USUAL * self.usual) && correlation(&before, now) < SAME_PICTURE;
        if is_cut || resized {
            self.usual = 0.0;
        } else {
            self.usual += 0.2 * (difference - self.usual);
        }
        is_cut || resized
    }
}

fn coarse(luma: &Plane) -> Vec<f32> {
    let centre_of = |index: usize, count: usize, size: usize| (2 * index + 1) * size / (2 * count);
    let mut values = vec![0.0; WIDTH * HEIGHT];
    for row in 0..HEIGHT * POINTS {
        let samples = luma.row(centre_of(row, HEIGHT * POINTS, luma.height));
        let line = &mut values[row / POINTS * WIDTH..][..WIDTH];
        for column in 0..WIDTH * POINTS {
            line[column / POINTS] += f32::from(samples[centre_of(column, WIDTH * POINTS, luma.width)]);
        }
    }
    values.iter_mut().for_each(|value| *value /= (POINTS * POINTS) as f32);
    values
}

/// The correlation of two pictures less their means; 0 if one of them is flat.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut product, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        product += a * b;
        square_a += a * a;
        square_b += b * b;
    }
    let least = a.len() as f32;
    if square_a < least || square_b < least { 0.0 } else { product / (square_a * square_b).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(seed: usize, moved: usize, light: u8) -> Vec<u8> {
        (0..320 * 180)
            .map(|i| ((((i % 320 + moved) / 20) * seed * 37 + (i / 320 / 20) * seed * 53) % 150) as u8 + light)
            .collect()
    }

    fn cuts(frames: &[Vec<u8>]) -> Vec<bool> {
        let mut cuts = Cuts::default();
        let plane = |samples| Plane { samples, stride: 320, width: 320, height: 180 };
        frames.iter().map(|samples| cuts.is_cut(&plane(samples))).collect()
    }

    #[test]
    fn a_cut_is_found_at_its_frame_and_only_there() {
        let frames: Vec<_> = (0..8).map(|i| shot(if i < 4 { 3 } else { 5 }, i, 20)).collect();
        assert_eq!(cuts(&frames), [false, false, false, false, true, false, false, false]);
    }

    #[test]
    fn a_lamp_switched_on_is_no_cut_and_black_to_picture_is_one() {
        assert_eq!(cuts(&[shot(3, 0, 5), shot(3, 0, 60)]), [false, false]);
        assert_eq!(cuts(&[vec![0; 320 * 180], shot(3, 0, 60)]), [false, true]);
    }
}

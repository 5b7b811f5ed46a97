//! The turned squares that the face mesh and the networks for hands look at: where they lie, what is in them, and where the points
//! found in them lie in the picture.

use crate::nn::face_mesh::{COLOURS, MESH_POINTS, SIDE};
use crate::picture::{BoundingBox, Matrix, Plane, Planes};

/// Side of the square, in the longer side of the rectangle about the points in it (MediaPipe's).
const MARGIN: f32 = 1.5;
/// The same in sides of a tracker's box: [`MARGIN`] times the side of the rectangle about the points in such sides
/// ([`super::POINTS_OVER_BOX`]).
const BOX_MARGIN: f32 = 1.75;
/// How far below the box's centre the square's lies, in sides of the box. Neither has to be exact: the square is laid once more about
/// the points that it finds.
const BOX_DOWN: f32 = 0.1;
/// Outer corners of the eyes: the one to the left in the picture first.
const EYES: [usize; 2] = [33, 263];

/// A turned square of a picture: centre and side in pixels, clockwise turn in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Square {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) side: f32,
    pub(super) turn: f32,
}

impl Square {
    /// About a tracker's box.
    pub(super) fn about_box(face: &BoundingBox, roll_degrees: f32) -> Self {
        let (x, y) = face.centre();
        let side = face.w.max(face.h);
        let turn = roll_degrees.to_radians();
        let (sin, cos) = turn.sin_cos();
        let down = BOX_DOWN * side;
        Self { x: x - down * sin, y: y + down * cos, side: BOX_MARGIN * side, turn }
    }

    /// About points in the picture; none where they make no square.
    pub(super) fn about_points(points: &[[f32; 3]]) -> Option<Self> {
        let [left, right] = EYES.map(|index| points[index]);
        let face = rectangle(&points[..MESH_POINTS]);
        let (x, y) = face.centre();
        let side = MARGIN * face.w.max(face.h);
        let turn = (right[1] - left[1]).atan2(right[0] - left[0]);
        let is_square = [x, y, side, turn].iter().all(|value| value.is_finite()) && side >= 1.0;
        is_square.then_some(Self { x, y, side, turn })
    }

    /// The same, moved.
    pub(super) fn moved(self, (x, y): (f32, f32)) -> Self {
        Self { x: self.x + x, y: self.y + y, ..self }
    }

    /// Points found in the square, `(across, down, away)` in its [`SIDE`] pixels, as they lie in the picture.
    pub(super) fn in_picture(&self, points: &[[f32; 3]]) -> Vec<[f32; 3]> {
        let grid = self.grid(SIDE);
        let scale = self.side / SIDE as f32;
        points.iter().map(|[u, v, z]| [grid.x(*u, *v), grid.y(*u, *v), z * scale]).collect()
    }

    /// A point found in the square, in its `side` pixels, as it lies in the picture.
    pub(super) fn place(&self, [u, v]: [f32; 2], side: usize) -> [f32; 2] {
        let grid = self.grid(side);
        [grid.x(u, v), grid.y(u, v)]
    }

    fn grid(&self, side: usize) -> Sampling {
        let step = self.side / side as f32;
        let (sin, cos) = self.turn.sin_cos();
        let (across, down) = (step * cos, step * sin);
        let half = side as f32 / 2.0;
        Sampling {
            across: [across, -down, self.x - half * (across - down)],
            down: [down, across, self.y - half * (down + across)],
        }
    }

    /// Luma in the square, `[side, side]`, as the picture has it; beyond the picture its edge goes on.
    pub(super) fn luma(&self, picture: &dyn Planes, side: usize) -> Vec<f32> {
        let mut y = vec![0.0; side * side];
        sample(&picture.luma(), &self.grid(side), side, &mut y);
        y
    }

    /// Makes those pixels of the square's `content`, `[side, side, COLOURS]`, black that lie beyond the picture.
    pub(super) fn blacken_outside(&self, picture: &dyn Planes, side: usize, content: &mut [f32]) {
        let (luma, grid) = (picture.luma(), self.grid(side));
        let (right, bottom) = (luma.width as f32 - 0.5, luma.height as f32 - 0.5);
        for (index, pixel) in content.chunks_exact_mut(COLOURS).enumerate() {
            let (u, v) = ((index % side) as f32, (index / side) as f32);
            if !(-0.5..right).contains(&grid.x(u, v)) || !(-0.5..bottom).contains(&grid.y(u, v)) {
                pixel.fill(0.0);
            }
        }
    }

    /// What is in the square, `[side, side, COLOURS]` with an even side, values from 0 to 1; beyond the picture its edge goes on.
    pub(super) fn content(&self, picture: &dyn Planes, side: usize) -> Vec<f32> {
        let colour = picture.colour();
        let luma = picture.luma();
        let grid = self.grid(side);
        let (black, gain) = if colour.full_range { (0.0, 1.0 / 255.0) } else { (16.0, 1.0 / 219.0) };
        let mut y = self.luma(picture, side);
        y.iter_mut().for_each(|value| *value = (*value - black) * gain);
        let mut content = vec![0.0; side * side * COLOURS];
        let Some(chroma) = picture.chroma() else {
            for (pixel, y) in content.chunks_exact_mut(COLOURS).zip(&y) {
                pixel.fill(y.clamp(0.0, 1.0));
            }
            return content;
        };
        let (kr, kb) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let gain = if colour.full_range { 1.0 / 255.0 } else { 1.0 / 224.0 };
        let (red, blue) = (2.0 * (1.0 - kr) * gain, 2.0 * (1.0 - kb) * gain);
        let kg = 1.0 - kr - kb;
        let (green_cr, green_cb) = (kr / kg * red, kb / kg * blue);
        // Colour changes slowly, and most video has a quarter as many samples of it: it is read for four pixels at a time.
        let half = side / 2;
        let [cb, cr] = chroma.map(|plane| {
            let mut values = vec![0.0; half * half];
            sample(&plane, &grid.halved(&luma, &plane), half, &mut values);
            values.iter_mut().for_each(|value| *value -= 128.0);
            values
        });
        for (row, (content, y)) in content.chunks_exact_mut(side * COLOURS).zip(y.chunks_exact(side)).enumerate() {
            let columns = row / 2 * half..(row / 2 + 1) * half;
            let colours = cb[columns.clone()].iter().zip(&cr[columns]);
            let pairs = content.chunks_exact_mut(2 * COLOURS).zip(y.as_chunks::<2>().0);
            for ((pixels, y), (cb, cr)) in pairs.zip(colours) {
                let more = [red * cr, -(green_cr * cr + green_cb * cb), blue * cb];
                for (pixel, y) in pixels.chunks_exact_mut(COLOURS).zip(y) {
                    for (value, more) in pixel.iter_mut().zip(more) {
                        *value = (y + more).clamp(0.0, 1.0);
                    }
                }
            }
        }
        content
    }
}

/// The rectangle about points.
pub(super) fn rectangle(points: &[[f32; 3]]) -> BoundingBox {
    let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
    for point in points {
        for axis in 0..2 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    BoundingBox { x: low[0], y: low[1], w: high[0] - low[0], h: high[1] - low[1] }
}

/// From `(u, v)` on a grid to a position among a plane's samples: `a u + b v + c` each.
#[derive(Debug, Clone, Copy)]
struct Sampling {
    across: [f32; 3],
    down: [f32; 3],
}

impl Sampling {
    fn x(&self, u: f32, v: f32) -> f32 {
        let [a, b, c] = self.across;
        a * u + b * v + c
    }

    fn y(&self, u: f32, v: f32) -> f32 {
        let [a, b, c] = self.down;
        a * u + b * v + c
    }

    /// A grid half as fine on a smaller plane over the same area: its points lie in the middle of four of this one's.
    fn halved(&self, luma: &Plane, plane: &Plane) -> Self {
        let halved = |[a, b, c]: [f32; 3], scale: f32| {
            let middle = c + 0.5 * (a + b);
            [2.0 * a * scale, 2.0 * b * scale, (middle + 0.5) * scale - 0.5]
        };
        Self {
            across: halved(self.across, plane.width as f32 / luma.width as f32),
            down: halved(self.down, plane.height as f32 / luma.height as f32),
        }
    }
}

/// Bits after the point of a position among samples: a 64th of a pixel is less than a grey level where neighbours differ by 64.
const FRACTION: i32 = 10;

/// `plane` at the points of `grid`, `side` x `side`, between four samples each.
fn sample(plane: &Plane, grid: &Sampling, side: usize, out: &mut [f32]) {
    let one = (1 << FRACTION) as f32;
    let (last_x, last_y) = (plane.width as i32 - 1, plane.height as i32 - 1);
    let (limit_x, limit_y) = ((last_x << FRACTION) as f32, (last_y << FRACTION) as f32);
    let mut positions = vec![(0i32, 0i32); side];
    for (row, out) in out.chunks_exact_mut(side).enumerate() {
        for (column, position) in positions.iter_mut().enumerate() {
            let (u, v) = (column as f32, row as f32);
            let x = (grid.x(u, v) * one).clamp(0.0, limit_x);
            let y = (grid.y(u, v) * one).clamp(0.0, limit_y);
            *position = ((x + 0.5) as i32, (y + 0.5) as i32);
        }
        for (out, (x, y)) in out.iter_mut().zip(&positions) {
            let (left, top) = ((x >> FRACTION) as usize, (y >> FRACTION) as usize);
            let (fx, fy) = (x & ((1 << FRACTION) - 1), y & ((1 << FRACTION) - 1));
            let right = usize::from((left as i32) < last_x);
            let below = if (top as i32) < last_y { plane.stride } else { 0 };
            let upper = &plane.samples[top * plane.stride + left..];
            let (a, b) = (i32::from(upper[0]), i32::from(upper[right]));
            let (c, d) = (i32::from(upper[below]), i32::from(upper[below + right]));
            let (upper, lower) = ((a << FRACTION) + (b - a) * fx, (c << FRACTION) + (d - c) * fx);
            let value = (i64::from(upper) << FRACTION) + i64::from(lower - upper) * i64::from(fy);
            *out = value as f32 / (one * one);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::GreyPicture;

    /// A picture whose samples rise to the right and downwards.
    fn slope(width: usize, height: usize) -> GreyPicture {
        let samples = (0..width * height).map(|index| (index % width + 2 * (index / width)) as u8).collect();
        GreyPicture { samples, width, height }
    }

    proptest! {
        #[test]
        fn a_slope_is_read_where_the_points_say(
            x in 30.0f32..50.0, y in 20.0f32..30.0, side in 5.0f32..25.0, turn in -3.0f32..3.0,
        ) {
            let square = Square { x, y, side, turn };
            let content = square.content(&slope(80, 50), SIDE);
            for (u, v) in [(0, 0), (191, 0), (100, 30), (0, 191), (191, 191)] {
                let [px, py, _] = square.in_picture(&[[u as f32, v as f32, 0.0]])[0];
                let found = 255.0 * content[(v * SIDE + u) * COLOURS];
                prop_assert!((found - px - 2.0 * py).abs() < 0.02, "{u} {v}: {found} {px} {py}");
            }
        }

        #[test]
        fn a_square_about_points_of_a_square_is_found_again(
            x in -30.0f32..500.0, y in -20.0f32..300.0, side in 5.0f32..250.0, turn in -1.5f32..1.5,
        ) {
            let square = Square { x, y, side, turn };
            // A level line between the eyes in the square is one with its turn in the picture.
            let mut points = vec![[96.0, 96.0, 0.0]; MESH_POINTS];
            (points[33], points[263]) = ([40.0, 80.0, 0.0], [150.0, 80.0, 0.0]);
            let found = Square::about_points(&square.in_picture(&points)).unwrap();
            prop_assert!((found.turn - turn).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn the_edge_goes_on_beyond_the_picture() {
        let picture = slope(20, 10);
        let content = Square { x: -500.0, y: -500.0, side: 50.0, turn: 0.3 }.content(&picture, SIDE);
        assert!(content.iter().all(|value| *value == 0.0));
        let last = (19.0 + 18.0) / 255.0;
        let content = Square { x: 900.0, y: 900.0, side: 50.0, turn: 0.3 }.content(&picture, SIDE);
        assert!(content.iter().all(|value| (value - last).abs() < 1e-6));
    }

    #[test]
    fn what_lies_beyond_the_picture_can_be_black() {
        let picture = GreyPicture { samples: vec![255; 40 * 40], width: 40, height: 40 };
        // Its upper left quarter lies in the picture.
        let square = Square { x: 40.0, y: 40.0, side: 40.0, turn: 0.0 };
        let mut content = square.content(&picture, 20);
        assert!(content.iter().all(|value| *value == 1.0));
        square.blacken_outside(&picture, 20, &mut content);
        for (index, pixel) in content.chunks_exact(COLOURS).enumerate() {
            let is_in = index % 20 < 10 && index / 20 < 10;
            assert_eq!(pixel, [if is_in { 1.0 } else { 0.0 }; 3], "{index}");
        }
    }

    #[test]
    fn points_that_are_nowhere_make_no_square() {
        assert_eq!(Square::about_points(&vec![[f32::NAN; 3]; MESH_POINTS]), None);
        assert_eq!(Square::about_points(&vec![[1.0; 3]; MESH_POINTS]), None);
    }
}

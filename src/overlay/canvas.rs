//! Drawing on the planes of a 4:2:0 picture, in its own matrix and range. What lies beyond the picture's edges is not drawn.

use ffmpeg_next::frame::Video;

use crate::palette::Colour;
use crate::picture::{ColourSpace, Matrix};

/// A picture that is drawn on. Positions are in pixels; a pixel's middle lies at a half.
pub(super) struct Canvas<'a> {
    video: &'a mut Video,
    space: ColourSpace,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rectangle {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rectangle {
    /// The share of `self`, which has an area, that `other` covers.
    fn covered_by(&self, other: &Self) -> f64 {
        let shared = |low: f64, high: f64, low_other: f64, high_other: f64| {
            ((high.min(high_other) - low.max(low_other)) / (high - low)).max(0.0)
        };
        shared(self.left, self.right, other.left, other.right) * shared(self.top, self.bottom, other.top, other.bottom)
    }
}

/// How much of each pixel something covers.
pub(super) struct Mask {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// 0 to 255 each, row by row.
    pub cover: Vec<u8>,
}

impl Mask {
    pub(super) fn empty(width: usize, height: usize) -> Self {
        Self { width, height, cover: vec![0; width * height] }
    }

    /// 0 to 1; 0 beyond the edges.
    fn at(&self, x: i64, y: i64) -> f64 {
        let inside = |position: i64, count: usize| usize::try_from(position).ok().filter(|position| *position < count);
        let (Some(x), Some(y)) = (inside(x, self.width), inside(y, self.height)) else { return 0.0 };
        f64::from(self.cover[y * self.width + x]) / 255.0
    }
}

impl<'a> Canvas<'a> {
    /// Of a picture in 4:2:0 with even sides.
    pub(super) fn new(video: &'a mut Video, space: ColourSpace) -> Self {
        Self { video, space }
    }

    /// Fills a rectangle; `opacity` 0 to 1.
    pub(super) fn fill(&mut self, edges: Rectangle, colour: Colour, opacity: f64) {
        self.blend(edges, colour, |cell| opacity * cell.covered_by(&edges));
    }

    /// Draws a frame about a rectangle, which stays free.
    pub(super) fn frame(&mut self, edges: Rectangle, thickness: f64, colour: Colour) {
        let Rectangle { left, top, right, bottom } = edges;
        let (outer_left, outer_right) = (left - thickness, right + thickness);
        for side in [
            Rectangle { left: outer_left, top: top - thickness, right: outer_right, bottom: top },
            Rectangle { left: outer_left, top: bottom, right: outer_right, bottom: bottom + thickness },
            Rectangle { left: outer_left, top, right: left, bottom },
            Rectangle { left: right, top, right: outer_right, bottom },
        ] {
            self.fill(side, colour, 1.0);
        }
    }

    /// Draws lines from each point to the next one, with round ends.
    pub(super) fn lines(&mut self, points: &[(f64, f64)], thickness: f64, colour: Colour) {
        for pair in points.windows(2) {
            let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
            let reach = thickness / 2.0 + 1.0;
            let edges = Rectangle {
                left: ax.min(bx) - reach,
                top: ay.min(by) - reach,
                right: ax.max(bx) + reach,
                bottom: ay.max(by) + reach,
            };
            let squared = (bx - ax).powi(2) + (by - ay).powi(2);
            self.blend(edges, colour, |cell| {
                let (x, y) = ((cell.left + cell.right) / 2.0, (cell.top + cell.bottom) / 2.0);
                let along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / squared.max(1e-9);
                let along = along.clamp(0.0, 1.0);
                let distance = (x - ax - along * (bx - ax)).hypot(y - ay - along * (by - ay));
                (thickness / 2.0 + 0.5 - distance).clamp(0.0, 1.0)
            });
        }
    }

    /// Draws what a mask covers; `left` and `top`: where the mask's first pixel lies.
    pub(super) fn stamp(&mut self, mask: &Mask, left: i64, top: i64, colour: Colour) {
        let edges = Rectangle {
            left: left as f64,
            top: top as f64,
            right: left as f64 + mask.width as f64,
            bottom: top as f64 + mask.height as f64,
        };
        self.blend(edges, colour, |cell| {
            let (x, y) = (cell.left as i64 - left, cell.top as i64 - top);
            let side = (cell.right - cell.left) as i64;
            let pixels = (0..side * side).map(|pixel| mask.at(x + pixel % side, y + pixel / side));
            pixels.sum::<f64>() / (side * side) as f64
        });
    }

    /// Mixes `colour` into every sample within `edges`; `cover` says how much of it for the pixels that a sample stands for.
    fn blend(&mut self, edges: Rectangle, colour: Colour, cover: impl Fn(Rectangle) -> f64) {
        for (plane, value) in samples_of(colour, self.space).into_iter().enumerate() {
            let side = if plane == 0 { 1.0 } else { 2.0 };
            let range = |low: f64, high: f64, count: u32| {
                let count = f64::from(count);
                (low / side).floor().clamp(0.0, count) as usize..(high / side).ceil().clamp(0.0, count) as usize
            };
            let rows = range(edges.top, edges.bottom, self.video.plane_height(plane));
            let columns = range(edges.left, edges.right, self.video.plane_width(plane));
            let stride = self.video.stride(plane);
            let samples = self.video.data_mut(plane);
            for y in rows {
                for x in columns.clone() {
                    let (left, top) = (x as f64 * side, y as f64 * side);
                    let cover = cover(Rectangle { left, top, right: left + side, bottom: top + side });
                    let sample = &mut samples[y * stride + x];
                    *sample = (f64::from(*sample) + cover * (value - f64::from(*sample))).round() as u8;
                }
            }
        }
    }
}

/// A colour as luma, Cb and Cr (ITU-T H.273).
fn samples_of(Colour { red, green, blue }: Colour, space: ColourSpace) -> [f64; 3] {
    let (kr, kb) = match space.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
        Matrix::Bt2020 => (0.2627, 0.0593),
    };
    let [red, green, blue] = [red, green, blue].map(|value| f64::from(value) / 255.0);
    let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
    let chroma = [(blue - luma) / (2.0 * (1.0 - kb)), (red - luma) / (2.0 * (1.0 - kr))];
    let (black, white, wide) = if space.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    [black + white * luma, 128.0 + wide * chroma[0], 128.0 + wide * chroma[1]]
}

#[cfg(test)]
pub(super) mod tests {
    use ffmpeg_next::format::Pixel;
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) const WHITE: Colour = Colour { red: 255, green: 255, blue: 255 };
    pub(in super::super) const FULL_RANGE: ColourSpace = ColourSpace { matrix: Matrix::Bt709, full_range: true };

    /// A black picture.
    pub(in super::super) fn black(width: u32, height: u32) -> Video {
        let mut video = Video::new(Pixel::YUV420P, width, height);
        video.data_mut(0).fill(0);
        (1..=2).for_each(|plane| video.data_mut(plane).fill(128));
        video
    }

    /// The luma of a picture, row by row.
    pub(in super::super) fn luma(video: &Video) -> Vec<&[u8]> {
        let rows = video.data(0).chunks(video.stride(0)).take(video.height() as usize);
        rows.map(|row| &row[..video.width() as usize]).collect()
    }

    #[test]
    fn a_line_covers_as_much_as_it_is_long_and_thick() {
        for (pair, thickness) in [([(10.5, 20.5), (60.5, 20.5)], 2.0), ([(10.0, 10.0), (50.0, 40.0)], 3.0)] {
            let mut video = black(100, 100);
            Canvas::new(&mut video, FULL_RANGE).lines(&pair, thickness, WHITE);
            let covered: f64 = luma(&video).concat().iter().map(|sample| f64::from(*sample) / 255.0).sum();
            let [(ax, ay), (bx, by)]: [(f64, f64); 2] = pair;
            let length = (bx - ax).hypot(by - ay);
            // Both ends are round.
            let expected = length * thickness + std::f64::consts::PI * (thickness / 2.0).powi(2);
            assert!((covered / expected - 1.0).abs() < 0.05, "{covered} for {expected}");
        }
    }

    #[test]
    fn a_rectangle_covers_its_pixels_by_the_share_that_lies_in_it() {
        let mut video = black(8, 8);
        let edges = Rectangle { left: 2.0, top: 2.0, right: 4.5, bottom: 4.0 };
        Canvas::new(&mut video, FULL_RANGE).fill(edges, WHITE, 0.8);
        assert_eq!(luma(&video)[2], [0, 0, 204, 204, 102, 0, 0, 0]);
        assert!(luma(&video)[4].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn a_frame_leaves_its_inside_free_and_has_its_colour_in_every_plane() {
        let mut video = black(40, 40);
        let red = Colour { red: 255, green: 0, blue: 0 };
        let space = ColourSpace { matrix: Matrix::Bt601, full_range: false };
        let edges = Rectangle { left: 10.0, top: 10.0, right: 30.0, bottom: 30.0 };
        Canvas::new(&mut video, space).frame(edges, 2.0, red);
        let row = luma(&video)[20];
        // ITU-R BT.601: red is 81, 90, 240.
        assert_eq!((row[7], row[8], row[9], row[10], row[20]), (0, 81, 81, 0, 0));
        assert_eq!((row[29], row[30], row[31], row[32]), (0, 81, 81, 0));
        let chroma = |plane: usize| video.data(plane)[10 * video.stride(plane)..][..20].to_vec();
        assert_eq!((chroma(1)[4], chroma(2)[4], chroma(1)[5]), (90, 240, 128));
    }

    proptest! {
        #[test]
        fn nothing_is_drawn_beyond_the_edges_and_nothing_panics(
            [ax, ay, bx, by] in prop::array::uniform4(prop_oneof![-300.0..300.0, any::<f64>()]),
            (left, top) in (any::<i32>(), -60i32..60),
            thickness in 0.0..20.0,
        ) {
            let mut video = black(34, 20);
            let mut canvas = Canvas::new(&mut video, FULL_RANGE);
            canvas.lines(&[(ax, ay), (bx, by)], thickness, WHITE);
            canvas.frame(Rectangle { left: ax, top: ay, right: bx, bottom: by }, thickness, WHITE);
            let mask = Mask { width: 7, height: 5, cover: vec![255; 35] };
            canvas.stamp(&mask, left.into(), top.into(), WHITE);
            canvas.stamp(&mask, top.into(), top.into(), WHITE);
        }
    }
}

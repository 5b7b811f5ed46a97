//! The canvas on which frames are painted: luma and chroma at full resolution, with soft-edged shapes over each other.

use rayon::prelude::*;

/// A colour as video stores it: luma and the two chroma components, each 0 to 1; chroma 0.5 is grey.
pub type Colour = [f32; 3];

/// A picture being painted, row-major.
pub struct Canvas {
    width: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A canvas whose pixel at `(x, y)`, counted from the top left, is `colour(x, y)`.
    pub fn filled(width: usize, height: usize, colour: impl Fn(usize, usize) -> Colour + Sync) -> Self {
        let pixels = (0..width * height).into_par_iter().map(|i| colour(i % width, i / width)).collect();
        Self { width, pixels }
    }

    /// Lays `paint` over the whole canvas; it gives the colour at a pixel's centre and its coverage, 0 to 1.
    pub fn lay(&mut self, paint: impl Fn(f32, f32) -> (Colour, f32) + Sync) {
        let width = self.width;
        self.pixels.par_iter_mut().enumerate().for_each(|(i, pixel)| {
            let (colour, cover) = paint((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
            pixel.iter_mut().zip(colour).for_each(|(below, above)| *below += cover * (above - *below));
        });
    }

    /// The picture as planar YUV 4:2:0, limited range: the luma plane, then both chroma planes of half the size.
    pub fn yuv420p(&self) -> Vec<u8> {
        let luma = self.pixels.iter().map(|[y, _, _]| (16.0 + 219.0 * y).round() as u8);
        let mut bytes: Vec<u8> = luma.collect();
        for part in [1, 2] {
            for rows in self.pixels.chunks_exact(2 * self.width) {
                let (upper, lower) = rows.split_at(self.width);
                let quads = upper.chunks_exact(2).zip(lower.chunks_exact(2));
                bytes.extend(quads.map(|(above, below)| {
                    let sum: f32 = above.iter().chain(below).map(|pixel| pixel[part]).sum();
                    (16.0 + 224.0 * sum / 4.0).round() as u8
                }));
            }
        }
        bytes
    }
}

/// How much an ellipse around the origin covers at `(x, y)`: 1 inside, 0 outside, falling over `softness` (a share of
/// its half-axes `w` and `h`) at the edge. A `power` above 2 makes it more like a rounded rectangle.
pub fn ellipse((x, y): (f32, f32), (w, h): (f32, f32), power: f32, softness: f32) -> f32 {
    let distance = ((x / w).abs().powf(power) + (y / h).abs().powf(power)).powf(1.0 / power);
    smooth((1.0 + softness / 2.0 - distance) / softness)
}

/// 0 below 0, 1 above 1, and a smooth rise in between.
pub fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

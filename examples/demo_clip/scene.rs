//! The clip's content: which expression is held when, the figure's position, and the look of a frame.

use annotate::timeline::Expression::{self, Anger, Disgust, Fear, Happiness, Neutral, Sadness, Surprise};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::canvas::{Canvas, Colour, ellipse, smooth};
use crate::composite::{COMPOSITE_SIDE, Composite};

/// Width of the clip, pixels.
pub const WIDTH: usize = 1280;
/// Height of the clip, pixels.
pub const HEIGHT: usize = 720;
/// Frames per second.
pub const FRAME_RATE: usize = 25;

/// Frames over which one expression fades into the next.
const FADE: usize = 10;
/// The expressions in their order and how many frames each is held between fades.
const SCRIPT: [(Expression, usize); 11] = [
    (Neutral, 38),
    (Happiness, 46),
    (Neutral, 32),
    (Surprise, 46),
    (Fear, 42),
    (Neutral, 32),
    (Sadness, 74),
    // Outside the picture, its face becomes neutral again.
    (Neutral, 64),
    (Anger, 46),
    (Disgust, 46),
    (Neutral, 36),
];
/// Frame in which the figure starts to move off to the right, looking sad.
const LEAVES: usize = 346;
/// Frame in which it starts to come back; it has been away for 1.5 seconds when its face enters the picture.
const RETURNS: usize = 398;
/// Frames that it needs for either walk.
const WALK: usize = 26;

/// Side of the square that the face fills, pixels, when the figure is at its usual distance.
const FACE: f32 = 236.0;
/// The composites' standard deviation and mean as luma.
const CONTRAST: f32 = 0.17;
const BRIGHTNESS: f32 = 0.56;

const SKIN: Colour = [BRIGHTNESS, 0.445, 0.568];
const HAIR: Colour = [0.13, 0.49, 0.515];
const SHIRT: Colour = [0.25, 0.55, 0.46];
const BACKGROUND: Colour = [0.42, 0.52, 0.49];

/// The truth about a frame.
#[derive(Clone, Copy, PartialEq)]
pub enum Shown {
    /// One expression is held, and the whole face is in the picture.
    Held(Expression),
    /// The first expression is changing to the second.
    Fading(Expression, Expression),
    /// The picture's edge cuts the face.
    Cut,
    /// No part of the face is in the picture.
    Absent,
}

/// The whole clip before it is painted.
pub struct Scene<'a> {
    composites: &'a [Composite],
    texture: Texture,
}

/// The position of the figure's face: the centre in pixels, the side of its square, and the tilt of the head in
/// radians.
struct Pose {
    x: f32,
    y: f32,
    side: f32,
    tilt: f32,
}

impl<'a> Scene<'a> {
    /// A scene with the `composites`, one for each expression in canonical order.
    pub fn new(composites: &'a [Composite], seed: u64) -> Self {
        Self { composites, texture: Texture::new(seed) }
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        SCRIPT.iter().map(|(_, held)| held).sum::<usize>() + FADE * (SCRIPT.len() - 1)
    }

    /// The truth about frame `index`.
    pub fn shown(&self, index: usize) -> Shown {
        let [x, _, side, _] = self.face(index);
        if x >= WIDTH as f32 {
            return Shown::Absent;
        }
        if x + side > WIDTH as f32 {
            return Shown::Cut;
        }
        match expression(index) {
            (from, to, share) if share > 0.0 => Shown::Fading(from, to),
            (held, ..) => Shown::Held(held),
        }
    }

    /// The square that the face fills in frame `index`, `[x, y, w, h]` in pixels; it may extend beyond the picture.
    pub fn face(&self, index: usize) -> [f32; 4] {
        let Pose { x, y, side, .. } = pose(index);
        [x - side / 2.0, y - side / 2.0, side, side]
    }

    /// Paints frame `index`, planar YUV 4:2:0.
    pub fn draw(&self, index: usize) -> Vec<u8> {
        let seconds = index as f32 / FRAME_RATE as f32;
        let mut canvas = Canvas::filled(WIDTH, HEIGHT, |x, y| {
            let light = self.texture.at(x as f32 + 21.0 * seconds, y as f32 + 9.0 * seconds);
            let warmth = self.texture.at(y as f32 - 13.0 * seconds, x as f32);
            [BACKGROUND[0] + 0.16 * light, BACKGROUND[1] + 0.03 * warmth, BACKGROUND[2] - 0.03 * warmth]
        });

        let (from, to, share) = expression(index);
        let (from, to) = (&self.composites[from.index()].samples, &self.composites[to.index()].samples);
        let samples: Vec<f32> = from.iter().zip(to).map(|(from, to)| from + share * (to - from)).collect();
        let pose = pose(index);
        let (sine, cosine) = pose.tilt.sin_cos();
        canvas.lay(|x, y| {
            // In units of half the face's square, origin at its centre, the head upright.
            let (dx, dy) = ((x - pose.x) / (pose.side / 2.0), (y - pose.y) / (pose.side / 2.0));
            figure((dx, dy), (cosine * dx + sine * dy, cosine * dy - sine * dx), &samples)
        });
        canvas.yuv420p()
    }
}

/// The expression from which frame `index` changes, the one to which it changes, and the progress of the change, 0
/// while one is held.
fn expression(index: usize) -> (Expression, Expression, f32) {
    let mut first = 0;
    for (i, &(held, frames)) in SCRIPT.iter().enumerate() {
        let next = SCRIPT.get(i + 1).map_or(held, |&(next, _)| next);
        if index < first + frames {
            return (held, held, 0.0);
        }
        if index < first + frames + FADE {
            return (held, next, smooth((index - first - frames + 1) as f32 / (FADE + 1) as f32));
        }
        first += frames + FADE;
    }
    let (last, _) = SCRIPT[SCRIPT.len() - 1];
    (last, last, 0.0)
}

fn pose(index: usize) -> Pose {
    let seconds = index as f32 / FRAME_RATE as f32;
    let swing = |period: f32, phase: f32| (std::f32::consts::TAU * (seconds / period + phase)).sin();
    let walked = |start: usize| smooth((index as f32 - start as f32) / WALK as f32);
    let away = walked(LEAVES) - walked(RETURNS);
    Pose {
        x: 600.0 + 110.0 * swing(9.0, 0.0) + 30.0 * swing(4.1, 0.3) + 1000.0 * away,
        y: 300.0 + 18.0 * swing(5.3, 0.1),
        side: FACE * (1.0 + 0.06 * swing(7.7, 0.6)),
        tilt: 0.035 * swing(6.1, 0.2),
    }
}

/// The figure's colour and coverage at a point. `body` stays upright, `head` tilts with the head; both are in half
/// sides of the face's square around the face's centre, y down.
fn figure(body: (f32, f32), head: (f32, f32), samples: &[f32]) -> (Colour, f32) {
    if body.0.abs() > 2.3 || body.1 < -2.0 {
        return (SHIRT, 0.0);
    }
    let mut painted: (Colour, f32) = (SHIRT, 0.0);
    let mut lay = |colour: Colour, cover: f32| {
        let (below, under) = painted;
        let together = cover + under * (1.0 - cover);
        if together > 0.0 {
            let mix = cover / together;
            painted = (std::array::from_fn(|i| below[i] + mix * (colour[i] - below[i])), together);
        }
    };
    let shade = |colour: Colour, factor: f32| [colour[0] * factor, colour[1], colour[2]];
    let (x, y) = head;
    lay(shade(HAIR, 1.0), ellipse((x, y + 0.22), (1.03, 1.28), 2.3, 0.08));
    lay(shade(SKIN, 0.72), ellipse((body.0, body.1 - 1.3), (0.46, 0.75), 3.0, 0.1));
    lay(SHIRT, ellipse((body.0, body.1 - 3.9), (2.1, 2.35), 2.6, 0.03));
    lay(shade(SKIN, 0.9), ellipse((x, y - 0.02), (0.88, 1.12), 2.2, 0.1));
    let luma = (BRIGHTNESS + CONTRAST * sample(samples, x, y)).clamp(0.04, 0.95);
    lay([luma, SKIN[1], SKIN[2]], ellipse((x, y + 0.02), (0.82, 0.95), 2.4, 0.3));
    painted
}

/// The composite at a position from -1 to 1, bilinear.
fn sample(samples: &[f32], x: f32, y: f32) -> f32 {
    let last = (COMPOSITE_SIDE - 1) as f32;
    let position = |at: f32| ((at + 1.0) / 2.0 * COMPOSITE_SIDE as f32 - 0.5).clamp(0.0, last - 1e-3);
    let (x, y) = (position(x), position(y));
    let (right, down) = (x.fract(), y.fract());
    let first = y as usize * COMPOSITE_SIDE + x as usize;
    let across = |at: usize| samples[at] + right * (samples[at + 1] - samples[at]);
    let below = if (y as usize) + 1 < COMPOSITE_SIDE { first + COMPOSITE_SIDE } else { first };
    across(first) + down * (across(below) - across(first))
}

/// Smooth random texture that repeats every `CELLS * CELL` pixels: three octaves of value noise.
struct Texture {
    lattice: Vec<f32>,
}

/// Lattice points in each direction.
const CELLS: usize = 32;
/// Pixels between lattice points of the coarsest octave.
const CELL: f32 = 96.0;

impl Texture {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self { lattice: (0..CELLS * CELLS).map(|_| random.random_range(-1.0..1.0)).collect() }
    }

    /// The texture at a pixel, about -1 to 1.
    fn at(&self, x: f32, y: f32) -> f32 {
        [(1.0, 0.6), (2.0, 0.28), (4.0, 0.12)]
            .iter()
            .map(|(finer, share)| share * self.octave(x / CELL * finer, y / CELL * finer))
            .sum()
    }

    fn octave(&self, x: f32, y: f32) -> f32 {
        let lattice = |column: i32, row: i32| {
            let wrapped = |i: i32| i.rem_euclid(CELLS as i32) as usize;
            self.lattice[wrapped(row) * CELLS + wrapped(column)]
        };
        let (column, row) = (x.floor() as i32, y.floor() as i32);
        let (right, down) = (smooth(x - x.floor()), smooth(y - y.floor()));
        let across = |row: i32| lattice(column, row) + right * (lattice(column + 1, row) - lattice(column, row));
        across(row) + down * (across(row + 1) - across(row))
    }
}

//! Makes one training patch, with or without a face, with realistic surroundings, and its targets.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use annotate::pipeline::track::refiner::{CONTEXT, ROLL_UNIT_DEGREES, SIDE};

use super::cover::{Capsule, hand};
use super::material::{Background, FACE_SIDE, Face, Scene, bilinear};

/// The distribution of faces' positions; see `recipe.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    pub faces: f32,
    pub shift: f32,
    pub size: f32,
    pub roll_degrees: f32,
}

/// The variation of pictures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appearance {
    pub contrast: f32,
    pub brightness: f32,
    pub gamma: f32,
    pub light: f32,
    pub noise: f32,
    pub blur_share: f32,
    pub blur: f32,
}

/// The objects that cover faces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cover {
    pub share: f32,
    pub hands: f32,
    pub from_below: f32,
}

/// A patch and its targets, in the order of the network's outputs, each with its weight in the loss (0: unknown).
pub struct Patch {
    pub samples: Vec<f32>,
    pub targets: [f32; 6],
    pub weights: [f32; 6],
}

/// Points averaged for each sample of the patch, in each direction.
const POINTS: usize = 2;
/// Side of the expected box, samples of the patch.
const EXPECTED: f32 = SIDE as f32 / CONTEXT;
/// If more than this share of a face is covered, the patch counts neither as a face nor as none.
const HARDLY_SEEN: f32 = 0.65;

/// The position of a face on the patch.
struct Pose {
    centre: (f32, f32),
    side: f32,
    roll: f32,
    mirrored: bool,
}

enum Kind {
    Face,
    /// A face that does not answer the expectation: elsewhere, of another size, or upside down.
    OtherFace,
    NoFace,
}

pub struct Maker<'a> {
    pub faces: &'a [Face],
    pub scenes: &'a [Scene],
    pub placement: &'a Placement,
    pub appearance: &'a Appearance,
    pub cover: &'a Cover,
}

impl Maker<'_> {
    pub fn patch(&self, random: &mut ChaCha8Rng) -> Patch {
        let kind = match random.random::<f32>() {
            share if share < self.placement.faces => Kind::Face,
            share if share < self.placement.faces + 0.1 => Kind::OtherFace,
            _ => Kind::NoFace,
        };
        let pose = self.pose(&kind, random);
        let face = &self.faces[random.random_range(0..self.faces.len())];
        let background = Background::random(self.scenes, random);
        let skin = face.mean;
        let behind = surroundings(&pose, skin, random);
        // Without a face, something else is pasted the same way, so that an edge is no sign of a face.
        let filling = match kind {
            Kind::NoFace if random.random::<f32>() < 0.55 => None,
            Kind::NoFace => Some(Background::random(self.scenes, random)),
            _ => None,
        };
        let is_face = matches!(kind, Kind::Face | Kind::OtherFace);
        let outline = Outline::random(random);
        let wanted = if is_face { self.cover.share } else { 0.5 * self.cover.share };
        let things = if random.random::<f32>() < wanted { self.things(&pose, skin, random) } else { Vec::new() };
        let cloth = Background::random(self.scenes, random);
        let is_cloth = random.random::<f32>() > self.cover.hands;
        let mut samples = Vec::with_capacity(SIDE * SIDE);
        let (mut inside, mut covered) = (0u32, 0u32);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let mut sum = 0.0;
                for point in 0..POINTS * POINTS {
                    let x = column as f32 + ((point % POINTS) as f32 + 0.5) / POINTS as f32;
                    let y = row as f32 + ((point / POINTS) as f32 + 0.5) / POINTS as f32;
                    let (u, v) = (x / SIDE as f32, y / SIDE as f32);
                    let mut value = background.at(u, v);
                    for part in &behind {
                        if let Some((grey, hidden)) = part.at(x, y) {
                            value += hidden * (grey - value);
                        }
                    }
                    let (across, down) = pose.inside(x, y);
                    // In the face's own pixels.
                    let fx = face.centre.0 + across * face.side;
                    let fy = face.centre.1 + down * face.side;
                    let shown = outline.at(fx / FACE_SIDE as f32, fy / FACE_SIDE as f32);
                    if shown > 0.0 && (is_face || filling.is_some()) {
                        let over = match &filling {
                            Some(filling) => filling.at(fx / FACE_SIDE as f32, fy / FACE_SIDE as f32),
                            None => bilinear(&face.samples, FACE_SIDE, FACE_SIDE, fx - 0.5, fy - 0.5),
                        };
                        value += shown * (over - value);
                    }
                    let mut hidden_here = 0.0f32;
                    for part in &things {
                        if let Some((grey, hidden)) = part.at(x, y) {
                            let grey = if is_cloth { cloth.at(v, u) } else { grey };
                            value += hidden * (grey - value);
                            hidden_here = hidden_here.max(hidden);
                        }
                    }
                    // The face proper is an ellipse in SeetaFace's box.
                    if (across / 0.42).powi(2) + (down / 0.52).powi(2) < 1.0 {
                        inside += 1;
                        covered += u32::from(hidden_here > 0.5);
                    }
                    sum += value;
                }
                samples.push(sum / (POINTS * POINTS) as f32);
            }
        }
        self.develop(&mut samples, random);
        let covered = covered as f32 / inside.max(1) as f32;
        let seen = f32::from(matches!(kind, Kind::Face));
        let box_weight = seen * f32::from(covered < 0.8);
        let judged = if seen > 0.0 && covered > HARDLY_SEEN { 0.0 } else { 1.0 };
        Patch {
            samples,
            targets: [
                seen,
                (pose.centre.0 - SIDE as f32 / 2.0) / EXPECTED,
                (pose.centre.1 - SIDE as f32 / 2.0) / EXPECTED,
                (pose.side / EXPECTED).ln(),
                pose.roll.to_degrees() / ROLL_UNIT_DEGREES,
                covered,
            ],
            weights: [judged, box_weight, box_weight, box_weight, box_weight, seen],
        }
    }

    fn pose(&self, kind: &Kind, random: &mut ChaCha8Rng) -> Pose {
        let mut shift = || symmetric(random, self.placement.shift);
        let (mut dx, mut dy) = (shift(), shift());
        let mut size = symmetric(random, self.placement.size);
        let mut roll = symmetric(random, self.placement.roll_degrees).to_radians();
        // Most faces are nearly upright, and most predictions are nearly right.
        if random.random::<f32>() < 0.5 {
            roll *= 0.3;
        }
        if random.random::<f32>() < 0.4 {
            (dx, dy, size) = (dx * 0.3, dy * 0.3, size * 0.3);
        }
        if matches!(kind, Kind::OtherFace) {
            match random.random_range(0..4) {
                0 => {
                    let angle = random.random_range(0.0..std::f32::consts::TAU);
                    let far = random.random_range(0.75..1.2);
                    (dx, dy) = (far * angle.cos(), far * angle.sin());
                }
                1 => size = random.random_range(0.75..1.4),
                2 => size = -random.random_range(0.8..1.4),
                _ => roll = random.random_range(110.0..250.0f32).to_radians(),
            }
        }
        let middle = SIDE as f32 / 2.0;
        Pose {
            centre: (middle + EXPECTED * dx, middle + EXPECTED * dy),
            side: EXPECTED * size.exp(),
            roll,
            mirrored: random.random(),
        }
    }

    fn things(&self, pose: &Pose, skin: f32, random: &mut ChaCha8Rng) -> Vec<Capsule> {
        let mut things = Vec::new();
        for _ in 0..if random.random::<f32>() < 0.2 { 2 } else { 1 } {
            let (palm_at, direction) = if random.random::<f32>() < self.cover.from_below {
                raised(pose, random)
            } else {
                let palm_at = (spread(random, 0.55), spread(random, 0.55) + 0.12);
                (palm_at, random.random_range(0.0..std::f32::consts::TAU))
            };
            let palm = pose.outside(palm_at.0, palm_at.1);
            things.extend(hand(palm, direction, pose.side * random.random_range(0.45..0.95), skin, random));
        }
        things
    }

    /// Applies light, lens and camera.
    fn develop(&self, samples: &mut [f32], random: &mut ChaCha8Rng) {
        let settings = self.appearance;
        if random.random::<f32>() < settings.blur_share {
            blur(samples, settings.blur * random.random::<f32>());
        }
        let angle: f32 = random.random_range(0.0..std::f32::consts::TAU);
        let light = settings.light * random.random::<f32>().powi(2) / SIDE as f32;
        let contrast = 1.0 + symmetric(random, settings.contrast);
        let brightness = 255.0 * symmetric(random, settings.brightness);
        let exponent = 1.0 + symmetric(random, settings.gamma);
        let noise = settings.noise * random.random::<f32>().powi(2);
        let mean = samples.iter().sum::<f32>() / samples.len() as f32;
        let middle = SIDE as f32 / 2.0;
        for (index, value) in samples.iter_mut().enumerate() {
            let (x, y) = ((index % SIDE) as f32 - middle, (index / SIDE) as f32 - middle);
            let lit = *value + light * (x * angle.cos() + y * angle.sin());
            let linear = ((lit - mean) * contrast + mean + brightness).clamp(0.0, 255.0) / 255.0;
            let grain = noise * (random.random::<f32>() + random.random::<f32>() - 1.0) * 2.4;
            *value = (255.0 * linear.powf(exponent) + grain).clamp(0.0, 255.0);
        }
    }
}

impl Pose {
    /// A point of the patch in the face's own axes, in sides of its box.
    fn inside(&self, x: f32, y: f32) -> (f32, f32) {
        let (dx, dy) = ((x - self.centre.0) / self.side, (y - self.centre.1) / self.side);
        let (sin, cos) = self.roll.sin_cos();
        let (across, down) = (dx * cos + dy * sin, dy * cos - dx * sin);
        (if self.mirrored { -across } else { across }, down)
    }

    /// The inverse of `inside`.
    fn outside(&self, across: f32, down: f32) -> (f32, f32) {
        let across = if self.mirrored { -across } else { across };
        let (sin, cos) = self.roll.sin_cos();
        (
            self.centre.0 + self.side * (across * cos - down * sin),
            self.centre.1 + self.side * (across * sin + down * cos),
        )
    }
}

/// Shoulders, neck and hair, each present or not.
fn surroundings(pose: &Pose, skin: f32, random: &mut ChaCha8Rng) -> Vec<Capsule> {
    let mut parts = Vec::new();
    let side = pose.side;
    if random.random::<f32>() < 0.6 {
        let grey = random.random_range(0.0..220.0);
        let down = random.random_range(1.15..1.4);
        let (left, right) = (pose.outside(-0.6, down), pose.outside(0.6, down));
        parts.push(Capsule::new(
            left,
            right,
            side * random.random_range(0.35..0.6),
            grey,
            random.random_range(0.0..40.0),
        ));
    }
    if random.random::<f32>() < 0.6 {
        let grey = skin * random.random_range(0.6..1.0);
        parts.push(Capsule::new(pose.outside(0.0, 0.2), pose.outside(0.0, 0.8), 0.3 * side, grey, 25.0));
    }
    if random.random::<f32>() < 0.6 {
        let grey = random.random_range(0.0..120.0);
        let low = if random.random::<f32>() < 0.4 { 0.6 } else { -0.1 };
        parts.push(Capsule::new(
            pose.outside(0.0, -0.25),
            pose.outside(0.0, low),
            side * random.random_range(0.5..0.68),
            grey,
            random.random_range(-20.0..30.0),
        ));
    }
    parts
}

/// The part of a FER2013 picture that is pasted.
struct Outline {
    is_ellipse: bool,
    /// Width of its soft edge, as a share of the picture.
    soft: f32,
}

impl Outline {
    fn random(random: &mut ChaCha8Rng) -> Self {
        Self { is_ellipse: random.random::<f32>() < 0.6, soft: random.random_range(0.01..0.12) }
    }

    /// How much is pasted at a point of the picture, 0 to 1.
    fn at(&self, u: f32, v: f32) -> f32 {
        let (u, v) = (u - 0.5, v - 0.5);
        let border = 0.5 - u.abs().max(v.abs());
        let inside = match self.is_ellipse {
            true => border.min(0.5 - (u / 0.98).hypot(v / 1.12)),
            false => border,
        };
        (inside / self.soft).clamp(0.0, 1.0)
    }
}

/// The position of a hand's palm in sides of the box, and the direction of its fingers on the patch: signing hands come
/// up to mouth and chin.
fn raised(pose: &Pose, random: &mut ChaCha8Rng) -> ((f32, f32), f32) {
    let palm_at = (spread(random, 0.3), 0.5 + spread(random, 0.2));
    let up = pose.roll - std::f32::consts::FRAC_PI_2;
    (palm_at, up + spread(random, 0.8))
}

/// A random number about 0 with a standard deviation of 0.58 times `width`, never more than twice `width` away.
fn spread(random: &mut ChaCha8Rng, width: f32) -> f32 {
    width * (random.random::<f32>() + random.random::<f32>() - random.random::<f32>() - random.random::<f32>())
}

fn symmetric(random: &mut ChaCha8Rng, reach: f32) -> f32 {
    (2.0 * random.random::<f32>() - 1.0) * reach
}

/// A Gaussian of standard deviation `sigma` samples, along rows, then columns.
fn blur(samples: &mut [f32], sigma: f32) {
    if sigma < 0.3 {
        return;
    }
    let radius = (2.5 * sigma).ceil() as isize;
    let weights: Vec<f32> = (-radius..=radius).map(|d| (-0.5 * (d as f32 / sigma).powi(2)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    for (along, across) in [(1, SIDE), (SIDE, 1)] {
        let source = samples.to_vec();
        for line in 0..SIDE {
            for along_line in 0..SIDE {
                let total: f32 = weights
                    .iter()
                    .zip(-radius..)
                    .map(|(weight, d)| {
                        let from = (along_line as isize + d).clamp(0, SIDE as isize - 1) as usize;
                        weight * source[line * across + from * along]
                    })
                    .sum();
                samples[line * across + along_line * along] = total / sum;
            }
        }
    }
}

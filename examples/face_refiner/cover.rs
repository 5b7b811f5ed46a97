//! Objects in front of a face whose extent is known: hands with forearms, and plain shapes.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// A stroke with round ends: finger, palm, forearm, neck.
#[derive(Debug, Clone, Copy)]
pub struct Capsule {
    from: (f32, f32),
    to: (f32, f32),
    radius: f32,
    grey: f32,
    /// How much darker it is at its edge than on its middle line.
    falloff: f32,
}

impl Capsule {
    pub fn new(from: (f32, f32), to: (f32, f32), radius: f32, grey: f32, falloff: f32) -> Self {
        Self { from, to, radius, grey, falloff }
    }

    /// The grey at a point, and how much it hides of what is behind it.
    pub fn at(&self, x: f32, y: f32) -> Option<(f32, f32)> {
        let (dx, dy) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        let length = (dx * dx + dy * dy).max(1e-6);
        let along = (((x - self.from.0) * dx + (y - self.from.1) * dy) / length).clamp(0.0, 1.0);
        let (u, v) = (x - self.from.0 - along * dx, y - self.from.1 - along * dy);
        let distance = (u * u + v * v).sqrt();
        let hidden = (self.radius - distance + 0.5).clamp(0.0, 1.0);
        let edge = distance / self.radius;
        (hidden > 0.0).then_some((self.grey - self.falloff * edge * edge, hidden))
    }
}

/// A hand of about `size` (length of the palm), with its palm about `palm`, its fingers in `direction` (radians,
/// clockwise from the right), and about the face's `grey`.
pub fn hand(palm: (f32, f32), direction: f32, size: f32, grey: f32, random: &mut ChaCha8Rng) -> Vec<Capsule> {
    let grey = grey * random.random_range(0.8..1.25);
    let falloff = random.random_range(5.0..55.0);
    let half = 0.4 * size;
    let towards =
        |from: (f32, f32), angle: f32, length: f32| (from.0 + length * angle.cos(), from.1 + length * angle.sin());
    let wrist = towards(palm, direction, -0.5 * size);
    let knuckles = towards(palm, direction, 0.2 * size);
    let sleeve = if random.random::<f32>() < 0.4 { random.random_range(0.0..255.0) } else { grey };
    let elbow = towards(wrist, direction + random.random_range(-0.9..0.9), -4.0 * size);
    let mut parts = vec![
        Capsule::new(towards(wrist, direction, -0.3 * size), elbow, 0.75 * half, sleeve, falloff),
        Capsule::new(wrist, knuckles, half, grey, falloff),
    ];
    let is_fist = random.random::<f32>() < 0.3;
    let spread = random.random_range(0.0..0.45);
    for finger in 0..4 {
        let offset = (finger as f32 - 1.5) / 1.5;
        let root =
            (knuckles.0 - offset * half * direction.sin() * 0.75, knuckles.1 + offset * half * direction.cos() * 0.75);
        let bent = random.random::<f32>() < 0.25 || is_fist;
        let length = size * if bent { random.random_range(0.1..0.35) } else { random.random_range(0.6..0.95) };
        let tip = towards(root, direction + offset * spread, length);
        parts.push(Capsule::new(root, tip, 0.24 * half, grey + random.random_range(-12.0..12.0), falloff));
    }
    let side = if random.random::<bool>() { 1.0 } else { -1.0 };
    let thumb = towards(palm, direction + side * random.random_range(0.4..1.4), size * random.random_range(0.5..0.85));
    parts.push(Capsule::new(palm, thumb, 0.27 * half, grey, falloff));
    parts
}

//! Where a face is going: an alpha-beta filter over its box.

use crate::timeline::BoundingBox;

/// Share of a measured difference that moves the box at once. SeetaFace's boxes jump by 5.6 % of their width (median) on
/// a moving head; half of that is taken out, at a lag of one frame.
const ALPHA: f32 = 0.5;
/// Share of it that changes the velocity.
const BETA: f32 = 0.15;
/// Share that changes the size, which jumps more and moves less.
const SIZE: f32 = 0.25;
/// Velocity is forgotten with this time constant, seconds, while nothing is measured.
const FORGET_S: f32 = 0.2;

/// A box with a velocity.
#[derive(Debug, Clone)]
pub(super) struct Motion {
    x: f32,
    y: f32,
    side: f32,
    /// Pixels a second.
    velocity: (f32, f32),
}

impl Motion {
    pub(super) fn new(face: &BoundingBox) -> Self {
        let (x, y) = face.centre();
        Self { x, y, side: face.w, velocity: (0.0, 0.0) }
    }

    /// The box.
    pub(super) fn face(&self) -> BoundingBox {
        BoundingBox { x: self.x - self.side / 2.0, y: self.y - self.side / 2.0, w: self.side, h: self.side }
    }

    /// Moves on by `dt` seconds.
    pub(super) fn predict(&mut self, dt: f32) {
        self.x += self.velocity.0 * dt;
        self.y += self.velocity.1 * dt;
        let keep = (-dt / FORGET_S).exp();
        self.velocity = (self.velocity.0 * keep, self.velocity.1 * keep);
    }

    /// Takes up a measured box, `dt` seconds after the last one.
    pub(super) fn correct(&mut self, measured: &BoundingBox, dt: f32) {
        let (x, y) = measured.centre();
        let (dx, dy) = (x - self.x, y - self.y);
        self.x += ALPHA * dx;
        self.y += ALPHA * dy;
        self.velocity.0 += BETA * dx / dt.max(1e-3);
        self.velocity.1 += BETA * dy / dt.max(1e-3);
        self.side += SIZE * (measured.w - self.side);
    }
}

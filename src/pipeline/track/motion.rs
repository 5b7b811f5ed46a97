//! A face's position and velocity: a constant-velocity Kalman filter over its box (Bar-Shalom et al. 2001, section
//! 6.2), and a smoother that combines the measurements before and after a frame (Rauch, Tung & Striebel 1965).

use crate::timeline::BoundingBox;

/// Standard deviation of a measured centre, sides of the box (a guess; its effect: docs/benchmarks.md, 'Finding
/// faces').
const CENTRE_NOISE: f64 = 0.02;
/// Standard deviation of a measured size, natural logarithm.
const SIZE_NOISE: f64 = 0.05;
/// Spectral density of the head's acceleration, sides² per second³.
const CENTRE_JERKS: f64 = 0.5;
/// The same for the logarithm of the size, which changes more slowly.
const SIZE_JERKS: f64 = 0.05;
/// Standard deviation of the velocity of a new face, sides per second.
const FIRST_RATE: f64 = 1.0;
/// While nothing is measured, the velocity decays with this time constant, seconds.
const FORGET_S: f64 = 0.2;

/// A measured box of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    pub(super) face: BoundingBox,
    /// Factor on the usual standard deviation, at least 1: less trust for larger values.
    pub(super) doubt: f32,
}

/// One coordinate with its rate, and the uncertainty of both.
#[derive(Debug, Clone, Copy)]
struct Axis {
    value: f64,
    rate: f64,
    /// Variance of the value, covariance, variance of the rate.
    variance: [f64; 3],
}

impl Axis {
    fn new(value: f64, noise: f64, rate_noise: f64) -> Self {
        Self { value, rate: 0.0, variance: [noise * noise, 0.0, rate_noise * rate_noise] }
    }

    fn predict(&mut self, dt: f64, jerks: f64) {
        let [a, b, c] = self.variance;
        self.value += self.rate * dt;
        self.variance = [
            a + 2.0 * dt * b + dt * dt * c + jerks * dt.powi(3) / 3.0,
            b + dt * c + jerks * dt * dt / 2.0,
            c + jerks * dt,
        ];
    }

    fn correct(&mut self, measured: f64, noise: f64) {
        let [a, b, c] = self.variance;
        let sum = a + noise * noise;
        let (gain, rate_gain) = (a / sum, b / sum);
        let difference = measured - self.value;
        self.value += gain * difference;
        self.rate += rate_gain * difference;
        self.variance = [a * (1.0 - gain), b * (1.0 - gain), c - rate_gain * b];
    }

    /// One step back in time. `self` is this frame's filtered state, `predicted` its prediction for the next frame,
    /// `next` that frame's smoothed value and rate. Returns this frame's smoothed value and rate.
    fn back(&self, predicted: &Self, next: (f64, f64), dt: f64) -> (f64, f64) {
        let [a, b, c] = self.variance;
        let [p, q, r] = predicted.variance;
        let determinant = (p * r - q * q).max(1e-300);
        // The covariance of this state with the next one, times the inverse of the next one's variance.
        let (u, v) = (a + dt * b, b + dt * c);
        let gain = [(u * r - b * q) / determinant, (b * p - u * q) / determinant];
        let rate_gain = [(v * r - c * q) / determinant, (c * p - v * q) / determinant];
        let (dx, dv) = (next.0 - predicted.value, next.1 - predicted.rate);
        (self.value + gain[0] * dx + gain[1] * dv, self.rate + rate_gain[0] * dx + rate_gain[1] * dv)
    }
}

/// A box with a velocity.
#[derive(Debug, Clone)]
pub(super) struct Motion {
    /// Centre across and down, pixels, and natural logarithm of the side.
    axes: [Axis; 3],
}

impl Motion {
    pub(super) fn new(face: &BoundingBox) -> Self {
        let values = coordinates(face);
        let side = values[2].exp();
        let centre = |value: f64| Axis::new(value, CENTRE_NOISE * side, FIRST_RATE * side);
        Self { axes: [centre(values[0]), centre(values[1]), Axis::new(values[2], SIZE_NOISE, 0.5)] }
    }

    /// The box.
    pub(super) fn face(&self) -> BoundingBox {
        square(self.axes.map(|axis| axis.value))
    }

    /// Advances by `dt` seconds.
    pub(super) fn predict(&mut self, dt: f64) {
        let jerks = self.jerks();
        for (axis, jerks) in self.axes.iter_mut().zip(jerks) {
            axis.predict(dt, jerks);
        }
    }

    /// Lets the velocity decay in a frame without a measurement, `dt` seconds after the last frame.
    pub(super) fn fade(&mut self, dt: f64) {
        let keep = (-dt / FORGET_S).exp();
        self.axes.iter_mut().for_each(|axis| axis.rate *= keep);
    }

    /// Corrects the state with a measured box.
    pub(super) fn correct(&mut self, measured: &Measured) {
        let noise = self.noise(measured.doubt);
        for ((axis, value), noise) in self.axes.iter_mut().zip(coordinates(&measured.face)).zip(noise) {
            axis.correct(value, noise);
        }
    }

    fn noise(&self, doubt: f32) -> [f64; 3] {
        let (side, doubt) = (self.axes[2].value.exp(), f64::from(doubt));
        [CENTRE_NOISE * side * doubt, CENTRE_NOISE * side * doubt, SIZE_NOISE * doubt]
    }

    fn jerks(&self) -> [f64; 3] {
        let square = (2.0 * self.axes[2].value).exp();
        [CENTRE_JERKS * square, CENTRE_JERKS * square, SIZE_JERKS]
    }
}

/// The box in frame `index` of `frames` (start in seconds and measurement), estimated from the measurements before and
/// after it. `None` if nothing was measured up to `index`.
pub(super) fn smoothed(frames: &[(f64, Option<Measured>)], index: usize) -> Option<BoundingBox> {
    let first = frames.iter().position(|(_, measured)| measured.is_some()).filter(|first| *first <= index)?;
    let last = frames.iter().rposition(|(_, measured)| measured.is_some())?;
    let frames = &frames[first..=last.max(index)];
    let index = index - first;
    let mut motion = Motion::new(&frames[0].1?.face);
    let mut filtered = vec![motion.clone()];
    let mut predicted = vec![motion.clone()];
    for pair in frames.windows(2) {
        let dt = pair[1].0 - pair[0].0;
        motion.predict(dt);
        predicted.push(motion.clone());
        match &pair[1].1 {
            Some(measured) => motion.correct(measured),
            None => motion.fade(dt),
        }
        filtered.push(motion.clone());
    }
    let mut state = motion.axes.map(|axis| (axis.value, axis.rate));
    for index in (index..frames.len() - 1).rev() {
        let dt = frames[index + 1].0 - frames[index].0;
        for (axis, state) in state.iter_mut().enumerate() {
            *state = filtered[index].axes[axis].back(&predicted[index + 1].axes[axis], *state, dt);
        }
    }
    Some(square(state.map(|(value, _)| value)))
}

fn coordinates(face: &BoundingBox) -> [f64; 3] {
    let (x, y) = face.centre();
    [f64::from(x), f64::from(y), f64::from(face.w.max(1.0)).ln()]
}

fn square([x, y, size]: [f64; 3]) -> BoundingBox {
    let side = size.clamp(0.0, 12.0).exp();
    BoundingBox { x: (x - side / 2.0) as f32, y: (y - side / 2.0) as f32, w: side as f32, h: side as f32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn face(x: f32, side: f32) -> Measured {
        Measured { face: BoundingBox { x: x - side / 2.0, y: 50.0 - side / 2.0, w: side, h: side }, doubt: 1.0 }
    }

    #[test]
    fn a_gap_is_bridged_from_both_sides() {
        // Uniform motion by 2 pixels a frame; frames 8 to 12 show nothing.
        let frames: Vec<_> = (0..20)
            .map(|i| (f64::from(i) / 25.0, (!(8..13).contains(&i)).then(|| face(100.0 + 2.0 * i as f32, 80.0))))
            .collect();
        for index in 8..13 {
            let (x, _) = smoothed(&frames, index).unwrap().centre();
            // A fortieth of the face.
            assert!((x - 100.0 - 2.0 * index as f32).abs() < 2.0, "{index}: {x}");
        }
    }

    #[test]
    fn the_backward_pass_takes_most_of_the_jitter_out_and_follows_a_turn_without_lag() {
        let noise = |i: usize| if i.is_multiple_of(2) { 1.6 } else { -1.6 };
        let path = |i: usize| 100.0 + 20.0 * (i as f32 * 0.2).sin();
        let frames: Vec<_> = (0..40).map(|i| (i as f64 / 30.0, Some(face(path(i) + noise(i), 80.0)))).collect();
        let x = |index: usize| smoothed(&frames[index - 8..index + 9], 8).unwrap().centre().0;
        let jitter: f32 = (10..28).map(|i| (x(i - 1) - 2.0 * x(i) + x(i + 1)).abs()).sum::<f32>() / 18.0;
        let measured = 4.0 * 1.6;
        assert!(jitter < measured / 4.0, "{jitter}");
        for i in 10..28 {
            assert!((x(i) - path(i)).abs() < 2.0, "{i}: {} {}", x(i), path(i));
        }
    }

    proptest! {
        #[test]
        fn a_smoothed_box_is_always_a_finite_square(
            frames in prop::collection::vec(
                (1e-4f64..3.0, prop::option::of((-1e4f32..1e4, 0.1f32..4e3, 1.0f32..10.0))), 1..60,
            ),
            index in 0usize..60,
        ) {
            let mut time = 0.0;
            let frames: Vec<_> = frames
                .into_iter()
                .map(|(dt, m)| {
                    time += dt;
                    (time, m.map(|(x, side, doubt)| Measured { doubt, ..face(x, side) }))
                })
                .collect();
            if let Some(face) = smoothed(&frames, index % frames.len()) {
                prop_assert!(face.x.is_finite() && face.y.is_finite() && face.w >= 0.9 && face.w == face.h);
            }
        }
    }
}

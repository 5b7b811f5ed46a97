//! From an 8-bit picture to the network's input, with the recipe's random changes.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::dataset::Picture;
use super::recipe::Augmentation;

/// The picture fitted to `side` x `side` without any random change, values 0 to 255.
pub fn plain(picture: &Picture, side: usize) -> Vec<f32> {
    sample(picture, side, &View::straight(picture, side))
}

/// As [`plain`], randomly changed as `settings` say.
pub fn augmented(picture: &Picture, side: usize, settings: &Augmentation, random: &mut ChaCha8Rng) -> Vec<f32> {
    let mut view = View::straight(picture, side);
    view.angle = symmetric(random, settings.rotation_degrees).to_radians();
    view.step *= 1.0 + symmetric(random, settings.scale);
    let reach = picture.width.max(picture.height) as f32;
    view.centre.0 += symmetric(random, settings.shift) * reach;
    view.centre.1 += symmetric(random, settings.shift) * reach;
    view.mirrored = settings.flip && random.random::<bool>();
    let mut values = sample(picture, side, &view);
    if random.random::<f32>() < settings.blur_share {
        blur(&mut values, side, random.random_range(1.0..=settings.blur_factor));
    }
    tone(&mut values, settings, random);
    if random.random::<f32>() < settings.occlusion_share {
        cover(&mut values, side, settings.occlusion_size, random);
    }
    values
}

/// How the output square lies on the picture.
struct View {
    centre: (f32, f32),
    /// Picture pixels per output pixel.
    step: f32,
    angle: f32,
    mirrored: bool,
}

impl View {
    fn straight(picture: &Picture, side: usize) -> Self {
        let (width, height) = (picture.width as f32, picture.height as f32);
        Self { centre: (width / 2.0, height / 2.0), step: width.max(height) / side as f32, angle: 0.0, mirrored: false }
    }
}

/// Bilinear, after averaging `n` x `n` points a pixel where the picture is more than twice as fine as the output; pixels
/// outside the picture repeat its edge.
fn sample(picture: &Picture, side: usize, view: &View) -> Vec<f32> {
    let points = (view.step / 2.0).ceil().max(1.0) as usize;
    let (sin, cos) = view.angle.sin_cos();
    let half = side as f32 / 2.0;
    let samples = picture.samples();
    let at = |x: usize, y: usize| f32::from(samples[y * picture.width + x]);
    let mut values = Vec::with_capacity(side * side);
    for row in 0..side {
        for column in 0..side {
            let mut sum = 0.0;
            for point in 0..points * points {
                let inner = |index: usize| (index as f32 + 0.5) / points as f32;
                let mut u = column as f32 + inner(point % points) - half;
                let v = row as f32 + inner(point / points) - half;
                if view.mirrored {
                    u = -u;
                }
                let x = view.centre.0 + (u * cos - v * sin) * view.step - 0.5;
                let y = view.centre.1 + (u * sin + v * cos) * view.step - 0.5;
                let x = x.clamp(0.0, (picture.width - 1) as f32);
                let y = y.clamp(0.0, (picture.height - 1) as f32);
                let (left, top) = (x as usize, y as usize);
                let (right, bottom) = ((left + 1).min(picture.width - 1), (top + 1).min(picture.height - 1));
                let (fx, fy) = (x - left as f32, y - top as f32);
                let upper = at(left, top) * (1.0 - fx) + at(right, top) * fx;
                let lower = at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx;
                sum += upper * (1.0 - fy) + lower * fy;
            }
            values.push(sum / (points * points) as f32);
        }
    }
    values
}

/// As if the picture had been `factor` times smaller: a triangle filter of that radius, along rows, then columns.
fn blur(values: &mut [f32], side: usize, factor: f32) {
    let radius = factor.floor() as isize;
    let weights: Vec<f32> = (-radius..=radius).map(|d| (factor + 1e-3 - d.abs() as f32).max(0.0)).collect();
    let sum: f32 = weights.iter().sum();
    for (along, across) in [(1, side), (side, 1)] {
        for line in 0..side {
            let source: Vec<f32> = (0..side).map(|place| values[line * across + place * along]).collect();
            for place in 0..side {
                let mut total = 0.0;
                for (weight, d) in weights.iter().zip(-radius..) {
                    let from = (place as isize + d).clamp(0, side as isize - 1) as usize;
                    total += weight * source[from];
                }
                values[line * across + place * along] = total / sum;
            }
        }
    }
}

/// Contrast about the mean, brightness and gamma.
fn tone(values: &mut [f32], settings: &Augmentation, random: &mut ChaCha8Rng) {
    let contrast = 1.0 + symmetric(random, settings.contrast);
    let brightness = 255.0 * symmetric(random, settings.brightness);
    let exponent = 1.0 + symmetric(random, settings.gamma);
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    for value in values.iter_mut() {
        let linear = ((*value - mean) * contrast + mean + brightness).clamp(0.0, 255.0) / 255.0;
        *value = 255.0 * linear.powf(exponent);
    }
}

/// Covers a random rectangle with one grey (Zhong et al. 2020, random erasing).
fn cover(values: &mut [f32], side: usize, size: f32, random: &mut ChaCha8Rng) {
    let mut length = || ((random.random_range(0.2..=1.0f32) * size * side as f32) as usize).clamp(1, side);
    let (width, height) = (length(), length());
    let (left, top) = (random.random_range(0..=side - width), random.random_range(0..=side - height));
    let grey = random.random_range(0.0..=255.0);
    for row in top..top + height {
        values[row * side + left..][..width].fill(grey);
    }
}

fn symmetric(random: &mut ChaCha8Rng, reach: f32) -> f32 {
    (2.0 * random.random::<f32>() - 1.0) * reach
}

//! From an 8-bit picture to the network's picture, with the recipe's random changes.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

use super::dataset::Picture;
use super::degrade::compressed;
use super::recipe::Augmentation;
use crate::picture::Colours;
use crate::picture::Plane;
use crate::picture::{Region, resample};

/// Weights of red, green and blue in what is left of a colour when its saturation is 0 (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// The picture fitted to `side` x `side` without any random change, `[side, side, colours]`, values 0 to 255; with the
/// resampling that annotation uses.
pub fn plain(picture: &Picture, side: usize, colours: Colours) -> Vec<f32> {
    let picture = picture.in_colours(colours);
    let length = picture.width.max(picture.height) as f32;
    let (x, y) = (picture.width as f32 / 2.0, picture.height as f32 / 2.0);
    let region = Region { x, y, width: length, height: length, angle_degrees: 0.0 };
    let channels = colours.count();
    let mut values = vec![0.0; side * side * channels];
    for channel in 0..channels {
        let samples: Vec<u8>;
        let samples = match colours {
            Colours::Luma => picture.samples(),
            Colours::Rgb => {
                samples = picture.samples().iter().copied().skip(channel).step_by(channels).collect();
                &samples
            }
        };
        let plane = Plane { samples, stride: picture.width, width: picture.width, height: picture.height };
        let resampled = resample(&plane, &region, side, side);
        values.iter_mut().skip(channel).step_by(channels).zip(resampled).for_each(|(value, new)| *value = new);
    }
    values
}

/// As [`plain`], randomly changed as `settings` say. With another side or other colours the same random numbers give the
/// same view.
pub fn augmented(
    picture: &Picture,
    side: usize,
    colours: Colours,
    settings: &Augmentation,
    random: &mut ChaCha8Rng,
) -> Vec<f32> {
    let picture = picture.in_colours(colours);
    let mut view = View::straight(&picture, side);
    view.angle = symmetric(random, settings.rotation_degrees).to_radians();
    view.step *= 1.0 + symmetric(random, settings.scale);
    let reach = picture.width.max(picture.height) as f32;
    view.centre.0 += symmetric(random, settings.shift) * reach;
    view.centre.1 += symmetric(random, settings.shift) * reach;
    view.mirrored = settings.flip && random.random::<bool>();
    let channels = colours.count();
    let mut values = match colours {
        Colours::Luma => sample::<1>(&picture, side, &view),
        Colours::Rgb => sample::<3>(&picture, side, &view),
    };
    if random.random::<f32>() < settings.blur_share {
        blur(&mut values, side, channels, random.random_range(settings.blur_least.max(1.0)..=settings.blur_factor));
    }
    if settings.small_share > 0.0 && random.random::<f32>() < settings.small_share {
        let least = settings.small_side.min(side as f32);
        let small = random.random_range(least..=side as f32).round() as usize;
        shrink(&mut values, side, channels, small);
    }
    tone(&mut values, channels, settings, random);
    if settings.compression_share > 0.0 && random.random::<f32>() < settings.compression_share {
        let quality = random.random_range(settings.compression_quality..=95.0).round() as u8;
        compress(&mut values, side, colours, quality);
    }
    if random.random::<f32>() < settings.occlusion_share {
        cover(&mut values, side, channels, settings.occlusion_size, random);
    }
    if settings.band_share > 0.0 && random.random::<f32>() < settings.band_share {
        cover_band(&mut values, side, channels, settings.band_size, random);
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
fn sample<const CHANNELS: usize>(picture: &Picture, side: usize, view: &View) -> Vec<f32> {
    let points = (view.step / 2.0).ceil().max(1.0) as usize;
    let (sin, cos) = view.angle.sin_cos();
    let half = side as f32 / 2.0;
    let (samples, _) = picture.samples().as_chunks::<CHANNELS>();
    let mut values = Vec::with_capacity(side * side * CHANNELS);
    for row in 0..side {
        for column in 0..side {
            let mut sum = [0.0; CHANNELS];
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
                let corners = [(left, top), (right, top), (left, bottom), (right, bottom)];
                let [a, b, c, d] = corners.map(|(x, y)| &samples[y * picture.width + x]);
                for (channel, sum) in sum.iter_mut().enumerate() {
                    let [a, b, c, d] = [a, b, c, d].map(|pixel| f32::from(pixel[channel]));
                    let upper = a * (1.0 - fx) + b * fx;
                    let lower = c * (1.0 - fx) + d * fx;
                    *sum += upper * (1.0 - fy) + lower * fy;
                }
            }
            values.extend(sum.map(|sum| sum / (points * points) as f32));
        }
    }
    values
}

/// As if the picture had been `factor` times smaller: a triangle filter of that radius, along rows, then columns.
fn blur(values: &mut [f32], side: usize, channels: usize, factor: f32) {
    let radius = factor.floor() as isize;
    let weights: Vec<f32> = (-radius..=radius).map(|d| (factor + 1e-3 - d.abs() as f32).max(0.0)).collect();
    let sum: f32 = weights.iter().sum();
    for (along, across) in [(channels, side * channels), (side * channels, channels)] {
        for line in 0..side {
            for channel in 0..channels {
                let offset_of = |index: usize| line * across + index * along + channel;
                let source: Vec<f32> = (0..side).map(|index| values[offset_of(index)]).collect();
                for index in 0..side {
                    let mut total = 0.0;
                    for (weight, d) in weights.iter().zip(-radius..) {
                        let from = (index as isize + d).clamp(0, side as isize - 1) as usize;
                        total += weight * source[from];
                    }
                    values[offset_of(index)] = total / sum;
                }
            }
        }
    }
}

/// As if the face had had `small` pixels a side: made that small and enlarged again, with the resampling of annotation and the
/// 256 levels of a video.
fn shrink(values: &mut [f32], side: usize, channels: usize, small: usize) {
    let resized = |samples: &[u8], from: usize, to: usize| -> Vec<f32> {
        let plane = Plane { samples, stride: from, width: from, height: from };
        let (half, length) = (from as f32 / 2.0, from as f32);
        resample(&plane, &Region { x: half, y: half, width: length, height: length, angle_degrees: 0.0 }, to, to)
    };
    for channel in 0..channels {
        let plane: Vec<f32> = values.iter().skip(channel).step_by(channels).copied().collect();
        let shrunk = bytes(&resized(&bytes(&plane), side, small));
        let enlarged = resized(&shrunk, small, side);
        values.iter_mut().skip(channel).step_by(channels).zip(enlarged).for_each(|(value, new)| *value = new);
    }
}

/// The 256 levels of a video.
fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| value.round() as u8).collect()
}

/// Contrast about the mean, brightness, gamma and saturation.
fn tone(values: &mut [f32], channels: usize, settings: &Augmentation, random: &mut ChaCha8Rng) {
    let contrast = 1.0 + symmetric(random, settings.contrast);
    let brightness = 255.0 * symmetric(random, settings.brightness);
    let exponent = 1.0 + symmetric(random, settings.gamma);
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    for value in values.iter_mut() {
        let linear = ((*value - mean) * contrast + mean + brightness).clamp(0.0, 255.0) / 255.0;
        *value = 255.0 * linear.powf(exponent);
    }
    if settings.saturation > 0.0 {
        // Drawn for luma as well, so that both see the same view.
        let saturation = 1.0 + symmetric(random, settings.saturation);
        if channels == 3 {
            for pixel in values.chunks_exact_mut(3) {
                let grey: f32 = pixel.iter().zip(GREY).map(|(value, weight)| value * weight).sum();
                pixel.iter_mut().for_each(|value| *value = (grey + (*value - grey) * saturation).clamp(0.0, 255.0));
            }
        }
    }
}

/// As if the picture had been compressed.
fn compress(values: &mut [f32], side: usize, colours: Colours, quality: u8) {
    let through = compressed(&Picture::new(bytes(values), colours, side, side), quality);
    values.iter_mut().zip(through).for_each(|(value, new)| *value = f32::from(new));
}

/// Covers a random rectangle with one grey (Zhong et al. 2020, random erasing). Everything is drawn as a share of the
/// side.
fn cover(values: &mut [f32], side: usize, channels: usize, size: f32, random: &mut ChaCha8Rng) {
    let mut length = || ((random.random_range(0.2..=1.0f32) * size * side as f32) as usize).clamp(1, side);
    let (width, height) = (length(), length());
    let mut start = |length: usize| ((side - length + 1) as f32 * random.random::<f32>()) as usize;
    let (left, top) = (start(width).min(side - width), start(height).min(side - height));
    let grey = random.random_range(0.0..=255.0);
    for row in top..top + height {
        values[(row * side + left) * channels..][..width * channels].fill(grey);
    }
}

/// Covers everything above or below a random height with one grey.
fn cover_band(values: &mut [f32], side: usize, channels: usize, size: f32, random: &mut ChaCha8Rng) {
    let rows = ((random.random_range(0.3..=1.0f32) * size * side as f32).round() as usize).clamp(1, side);
    let top = if random.random::<bool>() { 0 } else { side - rows };
    let grey = random.random_range(0.0..=255.0);
    values[top * side * channels..][..rows * side * channels].fill(grey);
}

/// How the pictures of a batch are blended with one another: mixup or CutMix.
pub struct Mix {
    /// The other picture of each.
    partners: Vec<usize>,
    /// Share of the picture's own target that is kept.
    kept: f32,
    /// The rectangle that is pasted, in shares of the side: left, top, width, height; none where pictures are blended.
    rectangle: Option<[f32; 4]>,
}

impl Mix {
    /// Draws the mix of a batch of `images`; `None` where the recipe has neither.
    pub fn draw(settings: &Augmentation, images: usize, random: &mut ChaCha8Rng) -> Option<Self> {
        let pastes = match (settings.mixup > 0.0, settings.cutmix > 0.0) {
            (false, false) => return None,
            (true, true) => random.random::<bool>(),
            (_, pastes) => pastes,
        };
        let alpha = if pastes { settings.cutmix } else { settings.mixup };
        let kept = Beta::new(alpha, alpha).ok()?.sample(random);
        let mut partners: Vec<usize> = (0..images).collect();
        partners.shuffle(random);
        if !pastes {
            return Some(Self { partners, kept, rectangle: None });
        }
        let length = (1.0 - kept).sqrt();
        let mut edge = || random.random::<f32>() * (1.0 - length);
        let (left, top) = (edge(), edge());
        Some(Self { partners, kept: 1.0 - length * length, rectangle: Some([left, top, length, length]) })
    }

    /// Blends pictures of `side` x `side` pixels.
    pub fn pictures(&self, pictures: Vec<Vec<f32>>, side: usize, channels: usize) -> Vec<Vec<f32>> {
        let mixed = |(own, partner): (&Vec<f32>, &usize)| {
            let other = &pictures[*partner];
            let Some(rectangle) = self.rectangle else {
                return own.iter().zip(other).map(|(a, b)| a * self.kept + b * (1.0 - self.kept)).collect();
            };
            let mut own = own.clone();
            let [left, top, width, height] = rectangle.map(|share| (share * side as f32).round() as usize);
            for row in top..(top + height).min(side) {
                let (from, to) = ((row * side + left) * channels, (row * side + (left + width).min(side)) * channels);
                own[from..to].copy_from_slice(&other[from..to]);
            }
            own
        };
        pictures.iter().zip(&self.partners).map(mixed).collect()
    }

    /// Blends what belongs to the pictures, such as targets and weights, in the same way.
    pub fn rows<const N: usize>(&self, rows: &[[f32; N]]) -> Vec<[f32; N]> {
        let mixed = |(own, partner): (&[f32; N], &usize)| {
            std::array::from_fn(|index| own[index] * self.kept + rows[*partner][index] * (1.0 - self.kept))
        };
        rows.iter().zip(&self.partners).map(mixed).collect()
    }
}

fn symmetric(random: &mut ChaCha8Rng, reach: f32) -> f32 {
    (2.0 * random.random::<f32>() - 1.0) * reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::seeded;

    fn gradient(colours: Colours, side: usize) -> Picture {
        let samples = (0..side * side * colours.count()).map(|i| (i * 7 % 251) as u8).collect();
        Picture::new(samples, colours, side, side)
    }

    #[test]
    fn without_changes_the_augmented_picture_is_the_plain_one() {
        for colours in [Colours::Luma, Colours::Rgb] {
            let picture = gradient(colours, 12);
            let changed = augmented(&picture, 12, colours, &Augmentation::default(), &mut seeded(1, "view"));
            for (a, b) in changed.iter().zip(plain(&picture, 12, colours)) {
                assert!((a - b).abs() < 1e-2, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_truly_small_picture_has_lost_what_is_finer_than_its_pixels() {
        let side = 24;
        let stripes = |channels: usize| -> Vec<f32> {
            (0..side * side * channels).map(|i| if (i / channels).is_multiple_of(2) { 250.0 } else { 10.0 }).collect()
        };
        for channels in [1, 3] {
            let mut values = stripes(channels);
            shrink(&mut values, side, channels, 6);
            let inner = &values[(12 * side + 6) * channels..(12 * side + 18) * channels];
            assert!(inner.iter().all(|value| (110.0..150.0).contains(value)), "{inner:?}");
            let mut same = stripes(channels);
            shrink(&mut same, side, channels, side);
            assert!(same.iter().zip(stripes(channels)).all(|(a, b)| (a - b).abs() < 0.6));
        }
        // What no recipe asks for draws nothing: old recipes give the numbers they gave.
        let settings = Augmentation { small_share: 1.0, small_side: 6.0, ..Augmentation::default() };
        let picture = gradient(Colours::Luma, 24);
        let [plain, small] = [Augmentation::default(), settings]
            .map(|settings| augmented(&picture, 24, Colours::Luma, &settings, &mut seeded(3, "view")));
        assert_ne!(plain, small);
    }

    #[test]
    fn a_compressed_picture_is_another_the_more_so_the_lower_the_quality() {
        for colours in [Colours::Luma, Colours::Rgb] {
            let picture = gradient(colours, 24);
            let [plain, good, bad] = [None, Some(95.0), Some(5.0)].map(|quality: Option<f32>| {
                let mut values = plain(&picture, 24, colours);
                quality.iter().for_each(|quality| compress(&mut values, 24, colours, *quality as u8));
                values
            });
            let distance = |a: &[f32]| a.iter().zip(&plain).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32;
            assert!(
                distance(&good) > 0.0 && distance(&good) * 2.0 < distance(&bad),
                "{} {}",
                distance(&good),
                distance(&bad)
            );
        }
        let settings = Augmentation { compression_share: 1.0, compression_quality: 20.0, ..Augmentation::default() };
        let picture = gradient(Colours::Luma, 24);
        let [plain, compressed] = [Augmentation::default(), settings]
            .map(|settings| augmented(&picture, 24, Colours::Luma, &settings, &mut seeded(3, "view")));
        assert_ne!(plain, compressed);
    }

    #[test]
    fn grey_pictures_are_changed_alike_in_luma_and_in_colour() {
        let settings = Augmentation {
            flip: true,
            shift: 0.1,
            scale: 0.2,
            rotation_degrees: 20.0,
            contrast: 0.3,
            gamma: 0.2,
            saturation: 0.5,
            blur_share: 0.5,
            blur_factor: 3.0,
            occlusion_share: 0.5,
            occlusion_size: 0.5,
            band_share: 0.5,
            band_size: 0.4,
            ..Augmentation::default()
        };
        let picture = gradient(Colours::Luma, 16);
        for seed in 0..20 {
            let [luma, rgb] = [Colours::Luma, Colours::Rgb]
                .map(|colours| augmented(&picture, 16, colours, &settings, &mut seeded(seed, "view")));
            for (luma, rgb) in luma.iter().zip(rgb.chunks_exact(3)) {
                assert!(rgb.iter().all(|value| (value - luma).abs() < 0.05), "{luma} {rgb:?}");
            }
        }
    }

    #[test]
    fn a_band_covers_one_edge_over_the_whole_width() {
        let settings = Augmentation { band_share: 1.0, band_size: 0.5, ..Augmentation::default() };
        let values = augmented(&gradient(Colours::Luma, 10), 10, Colours::Luma, &settings, &mut seeded(3, "view"));
        let is_flat = |row: usize| values[row * 10..][..10].iter().all(|v| *v == values[row * 10]);
        let flat: Vec<bool> = (0..10).map(is_flat).collect();
        let covered = flat.iter().filter(|flat| **flat).count();
        assert!((1..=5).contains(&covered) && (flat[0] != flat[9]), "{flat:?}");
    }

    #[test]
    fn pictures_and_targets_are_mixed_in_the_same_shares() {
        for (mixup, cutmix) in [(1.0, 0.0), (0.0, 1.0)] {
            let settings = Augmentation { mixup, cutmix, ..Augmentation::default() };
            for seed in 0..10 {
                let mix = Mix::draw(&settings, 3, &mut seeded(seed, "mix")).unwrap();
                // Picture and target both say which image it was.
                let side = 40;
                let pictures = (0..3).map(|image| vec![image as f32; side * side]).collect();
                let targets = mix.rows(&[[0.0], [1.0], [2.0]]);
                for (picture, target) in mix.pictures(pictures, side, 1).iter().zip(targets) {
                    let mean = picture.iter().sum::<f32>() / picture.len() as f32;
                    assert!((mean - target[0]).abs() < 0.12, "{mean} {target:?}");
                }
            }
        }
        assert!(Mix::draw(&Augmentation::default(), 3, &mut seeded(0, "mix")).is_none());
    }
}

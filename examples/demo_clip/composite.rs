//! Composite faces: pictures are aligned until eyes, nose and mouth coincide, then averaged.
//!
//! Registration is the inverse compositional algorithm (Baker & Matthews, "Lucas-Kanade 20 years on", IJCV 2004) with
//! affine warps. First all pictures are registered to the mean over all expressions, so that the composites are aligned
//! with each other, then each to the mean of its own expression. The pictures that fit best are kept: tilted and
//! half-turned heads, which blur a mean, fit worst.

use std::path::Path;

use annotate::timeline::Expression;
use anyhow::{Context, Result};

use crate::pictures::{Choice, Picture, SIDE};

/// Composite samples per picture sample in each direction: the pictures lie at sub-pixel offsets, so their average
/// holds more detail than one of them.
const FINER: usize = 4;
/// Width and height of a composite.
pub const COMPOSITE_SIDE: usize = SIDE * FINER;
/// Rounds of registration to the mean over all expressions.
const SHARED_ROUNDS: usize = 6;
/// Rounds of registration to the expression's own mean.
const OWN_ROUNDS: usize = 10;
/// Gauss-Newton steps in a round.
const STEPS: usize = 4;
/// Share of the pictures kept, those that correlate best with the mean ...
const KEPT_SHARE: f32 = 0.2;
/// ... but no fewer than this many, so that no one can be recognised.
const KEPT_AT_LEAST: usize = 54;
/// Two aligned pictures that correlate more than this show the same photograph; chosen by looking at the pairs.
const SAME_PHOTOGRAPH: f32 = 0.88;
/// Unsharp masking: radius (composite samples) and amount, to undo the blur of averaging; chosen by eye.
const UNSHARP: [(f32, f32); 2] = [(8.0, 0.3), (3.0, 1.0)];

/// The aligned average of many pictures of one expression.
pub struct Composite {
    pub expression: Expression,
    /// How many pictures it averages.
    pub pictures: usize,
    /// The number of candidates, of which the averaged pictures fit best.
    pub candidates: usize,
    /// Of ten votes, those for the expression on the candidate with the least agreement.
    pub least_votes: u8,
    /// `COMPOSITE_SIDE * COMPOSITE_SIDE` samples, row-major; over the face mean 0, standard deviation 1.
    pub samples: Vec<f32>,
}

impl Composite {
    /// Writes the composite as a grey PNG.
    pub fn save(&self, path: &Path) -> Result<()> {
        let grey = self.samples.iter().map(|sample| (128.0 + 50.0 * sample).clamp(0.0, 255.0) as u8).collect();
        let side = COMPOSITE_SIDE as u32;
        let picture = image::GrayImage::from_raw(side, side, grey).context("a composite is square")?;
        picture.save(path).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Makes the composite of each choice.
pub fn composites(choices: &[Choice]) -> Vec<Composite> {
    let mut classes: Vec<Vec<Aligned>> =
        choices.iter().map(|choice| choice.pictures.iter().cloned().map(Aligned::new).collect()).collect();

    for _ in 0..SHARED_ROUNDS {
        let means: Vec<Picture> = classes.iter().map(|class| mean(class, 1)).collect();
        let shared: Picture =
            (0..SIDE * SIDE).map(|i| means.iter().map(|mean| mean[i]).sum::<f32>() / means.len() as f32).collect();
        let template = Template::new(&shared);
        classes.iter_mut().flatten().for_each(|picture| picture.register(&template));
        // The mean could fit itself by shrinking or growing, so the average movement over all expressions is removed.
        let centres: Vec<Affine> = classes.iter().map(|class| mean_map(class)).collect();
        let centre = std::array::from_fn(|i| centres.iter().map(|map| map[i]).sum::<f32>() / centres.len() as f32);
        let back = inverse(&centre);
        classes.iter_mut().flatten().for_each(|picture| picture.map = compose(&picture.map, &back));
    }
    choices
        .iter()
        .zip(classes)
        .map(|(choice, mut class)| {
            let candidates = class.len();
            let kept = ((candidates as f32 * KEPT_SHARE) as usize).max(KEPT_AT_LEAST);
            for _ in 0..OWN_ROUNDS {
                let count = best_first(&mut class, kept);
                let centre = mean_map(&class[..count]);
                let template = Template::new(&mean(&class[..count], 1));
                class.iter_mut().for_each(|picture| picture.register(&template));
                // An expression must not drift away from its position relative to the others either.
                let back = compose(&inverse(&mean_map(&class[..count])), &centre);
                class.iter_mut().for_each(|picture| picture.map = compose(&picture.map, &back));
            }
            let count = best_first(&mut class, kept);
            class.truncate(count);
            Composite {
                expression: choice.expression,
                pictures: class.len(),
                candidates,
                least_votes: choice.least_votes,
                samples: sharpened(mean(&class, FINER)),
            }
        })
        .collect()
}

fn mirror(picture: &Picture) -> Picture {
    picture.chunks_exact(SIDE).flat_map(|row| row.iter().rev().copied()).collect()
}

/// The weight of a point: largest for eyes and nose, smaller for the mouth, which moves, and 0 for the face's outline,
/// hair and background. `x` and `y` run from -1 to 1.
fn weight(x: f32, y: f32) -> f32 {
    (1.0 - (x * x / 0.55 + (y + 0.1).powi(2) / 0.65)).clamp(0.0, 1.0).sqrt()
}

/// Shifts and scales `samples` (a square) to weighted mean 0 and standard deviation 1.
fn normalise(samples: &mut [f32]) {
    let side = (samples.len() as f32).sqrt() as usize;
    let weights: Vec<f32> = positions(side).map(|(x, y)| weight(x, y)).collect();
    let total: f32 = weights.iter().sum();
    let mean = samples.iter().zip(&weights).map(|(s, w)| s * w).sum::<f32>() / total;
    let variance = samples.iter().zip(&weights).map(|(s, w)| (s - mean).powi(2) * w).sum::<f32>() / total;
    let deviation = variance.sqrt().max(1e-6);
    samples.iter_mut().for_each(|sample| *sample = (*sample - mean) / deviation);
}

/// The positions of a square's samples in row-major order, from -1 to 1 in both directions.
fn positions(side: usize) -> impl Iterator<Item = (f32, f32)> {
    let coordinate = move |i: usize| (i as f32 + 0.5) / side as f32 * 2.0 - 1.0;
    (0..side * side).map(move |i| (coordinate(i % side), coordinate(i / side)))
}

/// An affine map `(x, y) -> (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5])`.
type Affine = [f32; 6];

/// `outer` after `inner`.
fn compose(outer: &Affine, inner: &Affine) -> Affine {
    let [a, b, c, d, e, f] = *outer;
    let [g, h, i, j, k, l] = *inner;
    [a * g + b * j, a * h + b * k, a * i + b * l + c, d * g + e * j, d * h + e * k, d * i + e * l + f]
}

fn inverse(map: &Affine) -> Affine {
    let [a, b, c, d, e, f] = *map;
    let determinant = a * e - b * d;
    let [a, b, d, e] = [e / determinant, -b / determinant, -d / determinant, a / determinant];
    [a, b, -(a * c + b * f), d, e, -(d * c + e * f)]
}

/// Moves the `wanted` pictures that fit best to the front and returns their number. A picture that shows the same
/// photograph as another, cropped or lit differently, is left out: FER2013 has many, and a photograph that enters an
/// average ten times can be recognised.
fn best_first(pictures: &mut [Aligned], wanted: usize) -> usize {
    pictures.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
    let mut chosen: Vec<[Picture; 2]> = Vec::new();
    for i in 0..pictures.len() {
        if chosen.len() == wanted {
            break;
        }
        let warped = pictures[i].warped(1);
        if !chosen.iter().flatten().any(|other| correlation(&warped, other) > SAME_PHOTOGRAPH) {
            pictures.swap(i, chosen.len());
            chosen.push([mirror(&warped), warped]);
        }
    }
    chosen.len()
}

/// Correlation of two normalised pictures over the face, -1 to 1.
fn correlation(a: &Picture, b: &Picture) -> f32 {
    let weights = positions(SIDE).map(|(x, y)| weight(x, y));
    let (sum, total) =
        a.iter().zip(b).zip(weights).fold((0.0, 0.0), |(sum, total), ((a, b), w)| (sum + a * b * w, total + w));
    sum / total
}

/// The average position of the faces in the pictures and in their mirror images, in which every turn to one side and
/// its mirror image cancel.
fn mean_map(pictures: &[Aligned]) -> Affine {
    let mean = |i: usize| pictures.iter().map(|picture| picture.map[i]).sum::<f32>() / pictures.len() as f32;
    [mean(0), 0.0, 0.0, 0.0, mean(4), mean(5)]
}

/// A picture and its face's position: `map` takes a position in the mean to the one in the picture.
struct Aligned {
    picture: Picture,
    map: Affine,
    correlation: f32,
}

impl Aligned {
    fn new(mut picture: Picture) -> Self {
        normalise(&mut picture);
        Self { picture, map: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], correlation: 0.0 }
    }

    /// The position in the picture of a position in the mean.
    fn position_of(&self, (x, y): (f32, f32)) -> (f32, f32) {
        let [a, b, c, d, e, f] = self.map;
        (a * x + b * y + c, d * x + e * y + f)
    }

    /// The picture warped to the mean, at `finer` times the resolution.
    fn warped(&self, finer: usize) -> Picture {
        let sample = |position| bicubic(&self.picture, self.position_of(position));
        let mut warped: Picture = positions(SIDE * finer).map(sample).collect();
        normalise(&mut warped);
        warped
    }

    /// Moves `map` so that the picture fits the template better.
    fn register(&mut self, template: &Template) {
        for _ in 0..STEPS {
            let warped = self.warped(1);
            let mut right = [0.0f32; 6];
            let mut agreement = 0.0;
            for (i, sample) in warped.iter().enumerate() {
                let weighted = template.weights[i] * (sample - template.samples[i]);
                agreement += template.weights[i] * sample * template.samples[i];
                right.iter_mut().zip(&template.steepest[i]).for_each(|(sum, slope)| *sum += weighted * slope);
            }
            self.correlation = agreement / template.weights.iter().sum::<f32>();
            let [a, b, c, d, e, f] = solve(template.hessian, right);
            let map = compose(&self.map, &inverse(&[1.0 + a, b, c, d, 1.0 + e, f]));
            // A face is neither flat nor turned by much; a step beyond these bounds follows noise.
            let plausible = (map[0] - 1.0).abs() < 0.25
                && (map[4] - 1.0).abs() < 0.25
                && map[1].abs() < 0.25
                && map[3].abs() < 0.25
                && map[2].abs() < 0.3
                && map[5].abs() < 0.3;
            if !plausible {
                return;
            }
            self.map = map;
        }
    }
}

/// The target of registration, with all values that do not depend on the picture.
struct Template {
    samples: Picture,
    weights: Vec<f32>,
    /// Change of each sample with each parameter of the warp.
    steepest: Vec<[f32; 6]>,
    hessian: [[f32; 6]; 6],
}

impl Template {
    fn new(mean: &Picture) -> Self {
        let mut samples = mean.clone();
        normalise(&mut samples);
        let weights: Vec<f32> = positions(SIDE).map(|(x, y)| weight(x, y)).collect();
        let at = |x: usize, y: usize| samples[y.min(SIDE - 1) * SIDE + x.min(SIDE - 1)];
        let mut steepest = Vec::with_capacity(SIDE * SIDE);
        let mut hessian = [[0.0; 6]; 6];
        for (i, (x, y)) in positions(SIDE).enumerate() {
            let (column, row) = (i % SIDE, i / SIDE);
            // Central differences; two samples are 4 / SIDE apart in positions from -1 to 1.
            let slope = SIDE as f32 / 4.0;
            let gx = (at(column + 1, row) - at(column.saturating_sub(1), row)) * slope;
            let gy = (at(column, row + 1) - at(column, row.saturating_sub(1))) * slope;
            let change = [gx * x, gx * y, gx, gy * x, gy * y, gy];
            for (line, first) in hessian.iter_mut().zip(change) {
                line.iter_mut().zip(change).for_each(|(sum, second)| *sum += weights[i] * first * second);
            }
            steepest.push(change);
        }
        Self { samples, weights, steepest, hessian }
    }
}

/// Solves `matrix * x = right` by Gauss-Jordan elimination; the matrix is positive definite, so no pivoting.
fn solve(mut matrix: [[f32; 6]; 6], mut right: [f32; 6]) -> [f32; 6] {
    for pivot in 0..6 {
        for row in (0..6).filter(|&row| row != pivot) {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            let above = matrix[pivot];
            matrix[row].iter_mut().zip(above).for_each(|(value, above)| *value -= factor * above);
            right[row] -= factor * right[pivot];
        }
    }
    std::array::from_fn(|i| right[i] / matrix[i][i])
}

/// The mean of the aligned pictures and their mirror images, at `finer` times their resolution; a picture counts only
/// where it has samples. Faces have no handedness, and mirror images centre the composite and make it twice as smooth.
fn mean(pictures: &[Aligned], finer: usize) -> Picture {
    let side = SIDE * finer;
    let (mut sum, mut reached) = (vec![0.0; side * side], vec![0.0; side * side]);
    for picture in pictures {
        let warped = picture.warped(finer);
        for (i, position) in positions(side).enumerate() {
            let (x, y) = picture.position_of(position);
            if x.abs() < 1.0 && y.abs() < 1.0 {
                let mirrored = i / side * side + side - 1 - i % side;
                for j in [i, mirrored] {
                    sum[j] += warped[i];
                    reached[j] += 1.0;
                }
            }
        }
    }
    sum.iter().zip(reached).map(|(sum, reached): (&f32, f32)| sum / reached.max(1.0)).collect()
}

/// The picture's value at a position from -1 to 1, by Catmull-Rom splines; the edge is repeated beyond the picture.
fn bicubic(picture: &Picture, (x, y): (f32, f32)) -> f32 {
    let (column, right) = taps(x);
    let (row, below) = taps(y);
    let clamped = |i: i32| i.clamp(0, SIDE as i32 - 1) as usize;
    let mut sum = 0.0;
    for (j, vertical) in below.iter().enumerate() {
        let line = &picture[clamped(row + j as i32) * SIDE..][..SIDE];
        let across: f32 = right.iter().enumerate().map(|(i, w)| w * line[clamped(column + i as i32)]).sum();
        sum += vertical * across;
    }
    sum
}

/// The first of the four samples around a position from -1 to 1, and their weights.
fn taps(at: f32) -> (i32, [f32; 4]) {
    let position = (at + 1.0) / 2.0 * SIDE as f32 - 0.5;
    let t = position - position.floor();
    let weights = [
        ((2.0 - t) * t - 1.0) * t / 2.0,
        ((3.0 * t - 5.0) * t * t + 2.0) / 2.0,
        ((4.0 - 3.0 * t) * t + 1.0) * t / 2.0,
        (t - 1.0) * t * t / 2.0,
    ];
    (position.floor() as i32 - 1, weights)
}

/// The composite after unsharp masking, which undoes the blur of averaging, and normalisation.
fn sharpened(mut samples: Picture) -> Picture {
    for (radius, amount) in UNSHARP {
        let blurred = blurred(&samples, radius);
        samples.iter_mut().zip(&blurred).for_each(|(sample, blurred)| *sample += amount * (*sample - blurred));
    }
    normalise(&mut samples);
    samples
}

/// Gaussian blur of a composite, standard deviation `radius` samples.
fn blurred(samples: &Picture, radius: f32) -> Picture {
    let reach = (3.0 * radius).ceil() as i32;
    let bell: Vec<f32> = (-reach..=reach).map(|d| (-(d as f32 / radius).powi(2) / 2.0).exp()).collect();
    let total: f32 = bell.iter().sum();
    let side = COMPOSITE_SIDE as i32;
    let pass = |from: &Picture, dx: i32, dy: i32| -> Picture {
        (0..side * side)
            .map(|i| {
                let along = bell.iter().enumerate().map(|(k, weight)| {
                    let d = k as i32 - reach;
                    let x = (i % side + dx * d).clamp(0, side - 1);
                    let y = (i / side + dy * d).clamp(0, side - 1);
                    weight * from[(y * side + x) as usize]
                });
                along.sum::<f32>() / total
            })
            .collect()
    };
    pass(&pass(samples, 1, 0), 0, 1)
}

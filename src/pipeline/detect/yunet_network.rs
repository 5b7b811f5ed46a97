//! YuNet-n (Wu, Peng and Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"): reads the network from its authors'
//! ONNX file and compiles it into our plans. The detector (`pipeline/detect/yunet.rs`) interprets its outputs.
//!
//! The file's graph is ignored. The order and shapes of its convolutions identify the network's layers; a file with any
//! others is refused.

use std::path::{Path, PathBuf};

use crate::files;
use crate::infer::{ConvolutionLayer, Layer, Plan, PlanError, Reach, Shape};
use crate::kernels::Activation;
use crate::model::import::onnx;

/// Sides of the cells of the three grids, pixels of the picture.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// Numbers of each cell: logit of the class 'face', correction of the box (4), logit of 'something is here', five
/// points of the face (10).
pub const OUTPUTS: usize = 16;
/// The sides of a picture are multiples of this.
pub const MULTIPLE: usize = 32;

/// Pairs of a 1x1 and a depthwise convolution in each part of the backbone; maps are halved between parts.
const BACKBONE: [usize; 5] = [1, 4, 2, 2, 2];
/// Index of the backbone's part with the finest grid.
const FINEST: usize = 2;
/// Number of pairs: backbone, three that join the grids, three before the heads, and four heads for each grid.
const PAIRS: usize = 11 + 3 + 3 + 4 * STRIDES.len();
/// Outputs of each head, in the file's order.
const HEADS: [usize; 4] = [1, 4, 1, 10];
/// Largest accepted file; YuNet's has 0.3 MB.
const LARGEST: u64 = 8 << 20;
/// Side of filters.
const SIDE: usize = 3;
/// Side of the first convolution's filters after zeros are appended: SAME padding of a window this large begins one
/// pixel before the picture, as the network's own padding does.
const PADDED: usize = 5;

/// Why a file is not accepted as YuNet's.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum YunetError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(
        "{}: {reason}; what is read is YuNet-n in ONNX, as yunet_n_640_640.onnx of libfacedetection.train",
        path.display()
    )]
    Refused { path: PathBuf, reason: String },
}

/// The weights, converted to luma input.
#[derive(Debug, Clone, PartialEq)]
pub struct YunetWeights {
    stem: ConvolutionLayer,
    pairs: Vec<[ConvolutionLayer; 2]>,
    sha256: String,
}

impl YunetWeights {
    /// Reads the network's file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not YuNet's.
    pub fn read(path: &Path) -> Result<Self, YunetError> {
        let bytes = files::read(path, LARGEST);
        let bytes = bytes.map_err(|source| YunetError::Unreadable { path: path.into(), source })?;
        Self::from_bytes(&bytes).map_err(|reason| YunetError::Refused { path: path.into(), reason })
    }

    /// SHA-256 of the file, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let layers = onnx::read(bytes)?;
        if layers.len() != 1 + 2 * PAIRS {
            return Err(format!("has {} convolutions, not YuNet-n's {}", layers.len(), 1 + 2 * PAIRS));
        }
        let mut layers = layers.iter().map(filters).collect::<Result<Vec<_>, _>>()?.into_iter().enumerate();
        let stem = layers.next().ok_or("has no convolutions".to_owned()).and_then(|(_, first)| stem(&first))?;
        let mut pairs = Vec::new();
        while let (Some((at, pointwise)), Some((_, depthwise))) = (layers.next(), layers.next()) {
            let activation =
                if pairs.len() < PAIRS - HEADS.len() * STRIDES.len() { Activation::Relu } else { Activation::Identity };
            let pair = pair(pointwise, depthwise, activation);
            pairs.push(pair.ok_or_else(|| format!("has other convolutions than YuNet at {at} and after"))?);
        }
        let weights = Self { stem, pairs, sha256: crate::files::sha256(bytes) };
        // Any size shows whether the shapes fit each other.
        weights.network(MULTIPLE, MULTIPLE).map_err(|error| format!("is not YuNet's: {error}"))?;
        Ok(weights)
    }

    /// Compiles the network for pictures of `width` x `height` pixels, multiples of [`MULTIPLE`].
    ///
    /// # Errors
    ///
    /// If a size is not such a multiple; the layers fit each other.
    pub fn network(&self, width: usize, height: usize) -> Result<YunetNetwork, PlanError> {
        let mut shape = Shape { height, width, channels: 1 };
        if !width.is_multiple_of(MULTIPLE) || !height.is_multiple_of(MULTIPLE) {
            return Err(PlanError::Empty(shape));
        }
        let pairs = |range: std::ops::Range<usize>| self.pairs[range].iter().flatten().cloned().map(Layer::Convolution);
        let mut backbone: Vec<Plan> = Vec::new();
        let mut next = 0;
        for count in BACKBONE {
            let first = backbone.is_empty().then(|| Layer::Convolution(self.stem.clone()));
            let layers: Vec<Layer> = first.into_iter().chain(pairs(next..next + count)).collect();
            let plan = Plan::compile(&layers, shape)?;
            shape = halved_shape(plan.output());
            backbone.push(plan);
            next += count;
        }
        let (mut joins, mut heads) = (Vec::new(), Vec::new());
        for (level, stage) in backbone[FINEST..].iter().enumerate() {
            // The file lists the coarsest grid first.
            let join = next + STRIDES.len() - 1 - level;
            let join = Plan::compile(&pairs(join..join + 1).collect::<Vec<_>>(), stage.output())?;
            let before = next + STRIDES.len() + level;
            let of_level = |head: usize| next + (2 + head) * STRIDES.len() + level;
            let head = beside([0, 1, 2, 3].map(|head| &self.pairs[of_level(head)]));
            let layers: Vec<Layer> = pairs(before..before + 1).chain(head.map(Layer::Convolution)).collect();
            heads.push(Plan::compile(&layers, join.output())?);
            joins.push(join);
        }
        let are_joined = joins.iter().zip(&backbone[FINEST..]).all(|(join, stage)| join.output() == stage.output());
        let is_fit = are_joined && heads.iter().all(|head| head.output().channels == OUTPUTS);
        if is_fit { Ok(YunetNetwork { backbone, joins, heads }) } else { Err(PlanError::Shortcut { layer: next }) }
    }
}

/// Filters as ONNX stores them: `[out, in, side, side]`, values and biases.
struct Filters {
    dims: [usize; 4],
    values: Vec<f32>,
    bias: Vec<f32>,
}

fn filters(layer: &onnx::CheckpointLayer) -> Result<Filters, String> {
    let fault = |e: candle_core::Error| e.to_string();
    let (a, b, c, d) = layer.weight.dims4().map_err(|_| "has layers that are no convolutions".to_owned())?;
    let values = layer.weight.flatten_all().and_then(|t| t.to_vec1()).map_err(fault)?;
    let bias = layer.bias.as_ref().ok_or("has convolutions without a bias")?;
    let bias: Vec<f32> = bias.flatten_all().and_then(|t| t.to_vec1()).map_err(fault)?;
    if layer.norm.is_some() || bias.len() != a {
        return Err("has convolutions with batch normalisation behind them, or another number of biases".into());
    }
    match values.iter().chain(&bias).all(|value: &f32| value.is_finite()) {
        true => Ok(Filters { dims: [a, b, c, d], values, bias }),
        false => Err("has weights that are no numbers".into()),
    }
}

/// The first convolution for pictures with three equal colours, that is, a luma plane.
fn stem(filters: &Filters) -> Result<ConvolutionLayer, String> {
    let [out, colours, height, width] = filters.dims;
    if [colours, height, width] != [3, SIDE, SIDE] {
        return Err("does not begin with a 3x3 convolution of three colours".into());
    }
    let mut weights = vec![0.0; PADDED * PADDED * out];
    for (index, value) in filters.values.iter().enumerate() {
        let (tap, filter) = (index % (SIDE * SIDE), index / (colours * SIDE * SIDE));
        weights[(tap / SIDE * PADDED + tap % SIDE) * out + filter] += value;
    }
    let reach = Reach::Dense { kernel: PADDED, stride: 2 };
    Ok(ConvolutionLayer { reach, weights, bias: filters.bias.clone(), activation: Activation::Relu })
}

/// A 1x1 convolution and the depthwise one after it, with the activation.
fn pair(pointwise: Filters, depthwise: Filters, activation: Activation) -> Option<[ConvolutionLayer; 2]> {
    let [out, inputs, 1, 1] = pointwise.dims else { return None };
    if depthwise.dims != [out, 1, SIDE, SIDE] {
        return None;
    }
    let transposed = |values: &[f32], row: usize| -> Vec<f32> {
        (0..values.len()).map(|i| values[i % out * row + i / out]).collect()
    };
    let weights = transposed(&pointwise.values, inputs);
    let first =
        ConvolutionLayer { reach: Reach::Pointwise, weights, bias: pointwise.bias, activation: Activation::Identity };
    let weights = transposed(&depthwise.values, SIDE * SIDE);
    let reach = Reach::Depthwise { kernel: SIDE, stride: 1 };
    Some([first, ConvolutionLayer { reach, weights, bias: depthwise.bias, activation }])
}

/// Joins pairs with the same input into one pair with concatenated outputs.
fn beside(pairs: [&[ConvolutionLayer; 2]; 4]) -> [ConvolutionLayer; 2] {
    let one = |part: usize| {
        let parts = pairs.map(|pair| &pair[part]);
        // Outputs vary fastest, so that a row holds those of one input or position.
        let rows = parts[0].weights.len() / parts[0].bias.len().max(1);
        let row =
            |row: usize| parts.into_iter().flat_map(move |p| p.weights.chunks(p.bias.len()).nth(row).unwrap_or(&[]));
        let weights = (0..rows).flat_map(row).copied().collect();
        ConvolutionLayer { weights, bias: parts.iter().flat_map(|p| &p.bias).copied().collect(), ..parts[0].clone() }
    };
    [one(0), one(1)]
}

/// The network, compiled for one size of picture.
pub struct YunetNetwork {
    backbone: Vec<Plan>,
    joins: Vec<Plan>,
    heads: Vec<Plan>,
}

impl YunetNetwork {
    /// Width and height of its pictures.
    pub fn size(&self) -> [usize; 2] {
        let Shape { width, height, .. } = self.backbone[0].input();
        [width, height]
    }

    /// The outputs for `luma`, 0 to 255, for each of [`STRIDES`]: `[rows, columns, OUTPUTS]`.
    ///
    /// # Panics
    ///
    /// If the picture has another size.
    pub fn run(&self, luma: &[f32]) -> [Vec<f32>; 3] {
        let mut levels: Vec<Vec<f32>> = Vec::new();
        for (index, stage) in self.backbone.iter().enumerate() {
            let map = match levels.last() {
                None => run(stage, luma),
                Some(before) => run(stage, &halved(before, self.backbone[index - 1].output())),
            };
            levels.push(map);
        }
        let mut maps = levels.split_off(FINEST);
        let mut outputs = [const { Vec::new() }; 3];
        // From the coarsest grid to the finest: each adds the coarser grid's map.
        let mut coarser: Option<Vec<f32>> = None;
        for (level, map) in maps.iter_mut().enumerate().rev() {
            if let Some(coarser) = &coarser {
                add_doubled(map, coarser, self.joins[level].input());
            }
            let joined = run(&self.joins[level], map);
            outputs[level] = run(&self.heads[level], &joined);
            coarser = Some(joined);
        }
        outputs
    }
}

fn run(plan: &Plan, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; plan.output().len()];
    plan.run(x, &mut out);
    out
}

fn halved_shape(shape: Shape) -> Shape {
    Shape { height: shape.height / 2, width: shape.width / 2, ..shape }
}

/// The maximum of each 2 x 2 values.
fn halved(map: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { width, channels, .. } = shape;
    let mut out = Vec::with_capacity(map.len() / 4);
    for rows in map.chunks_exact(2 * width * channels) {
        let (upper, lower) = rows.split_at(width * channels);
        for (upper, lower) in upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels)) {
            let ((a, b), (c, d)) = (upper.split_at(channels), lower.split_at(channels));
            out.extend((0..channels).map(|i| a[i].max(b[i]).max(c[i].max(d[i]))));
        }
    }
    out
}

/// Adds to each 2 x 2 values the value of the coarser map that covers them.
fn add_doubled(map: &mut [f32], coarser: &[f32], shape: Shape) {
    let Shape { width, channels, .. } = shape;
    for (y, row) in map.chunks_exact_mut(width * channels).enumerate() {
        let coarse = &coarser[y / 2 * (width / 2) * channels..];
        for (x, cell) in row.chunks_exact_mut(channels).enumerate() {
            let above = &coarse[x / 2 * channels..][..channels];
            cell.iter_mut().zip(above).for_each(|(value, more)| *value += more);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halving_keeps_the_largest_and_doubling_covers_what_was_halved() {
        let shape = Shape { height: 2, width: 4, channels: 2 };
        let map: Vec<f32> = [1, 0, 2, 0, 9, 1, 0, 0, 3, 5, 4, 0, 0, 0, 0, 2].map(|v| v as f32).into();
        assert_eq!(halved(&map, shape), [4.0, 5.0, 9.0, 2.0]);
        let mut sums = vec![0.0; 16];
        add_doubled(&mut sums, &[1.0, 2.0, 3.0, 4.0], shape);
        assert_eq!(sums, [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0].repeat(2));
    }

    #[test]
    fn damaged_files_are_refused_or_read_and_never_panic() {
        let test = "damaged_files_are_refused_or_read_and_never_panic";
        let data = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
        let Ok(whole) = std::fs::read(data.join("weights/yunet_n_dynamic.onnx")) else {
            println!("skipped: {test} (no weights in {})", data.display());
            return;
        };
        let fine = YunetWeights::from_bytes(&whole).unwrap();
        assert_eq!(fine.sha256(), crate::files::sha256(&whole));
        for length in (0..whole.len()).step_by(whole.len() / 40) {
            assert!(YunetWeights::from_bytes(&whole[..length]).is_err(), "{length}");
        }
        for offset in (0..whole.len()).step_by(whole.len() / 200) {
            let mut damaged = whole.clone();
            damaged[offset] ^= 0xff;
            if let Ok(weights) = YunetWeights::from_bytes(&damaged) {
                let outputs = weights.network(MULTIPLE, MULTIPLE).unwrap().run(&[128.0; MULTIPLE * MULTIPLE]);
                assert_eq!(outputs.map(|o| o.len()), [16 * OUTPUTS, 4 * OUTPUTS, OUTPUTS]);
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(YunetWeights::from_bytes(&bytes).is_err());
        }
    }
}

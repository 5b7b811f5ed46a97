//! TensorFlow Lite files: the operations of their graph and the constants these use. Nothing is executed, and a file with an
//! operation that is not known here is refused.
//!
//! Field numbers and codes are those of TensorFlow's `tensorflow/compiler/mlir/lite/schema/schema.fbs`, version 3.

mod flat;
mod flex;

use flat::{Bytes, Fault, Table};
use flex::FlexValue;
use half::f16;

/// Most operations, and most tensors, of a graph.
const LARGEST_GRAPH: usize = 8192;
/// Most inputs or outputs of an operation or a graph, and most sides of a tensor.
const LARGEST_LIST: usize = 16;
/// Most kinds of operations.
const LARGEST_CODES: usize = 256;

/// What marks the format, from byte 4 on.
const MARK: &[u8] = b"TFL3";

/// An operation: what it does, to which tensors, and which come out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GraphOperation {
    pub(super) kind: OperationKind,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OperationKind {
    /// 16-bit numbers to 32 bits.
    Dequantize,
    /// A convolution, with SAME padding or none.
    Convolution {
        stride: usize,
        pads: bool,
        fused: Fused,
    },
    /// A depthwise convolution, with SAME padding or none.
    Depthwise {
        stride: usize,
        pads: bool,
        fused: Fused,
    },
    /// `[out, in]` weights and a bias.
    FullyConnected,
    Sigmoid,
    /// The mean over some sides.
    Mean,
    /// A map's values between its pixels, pixels being squares whose middles are sampled.
    Enlarge,
    /// Tensors laid end to end along the second side.
    Concatenate,
    /// The maximum of 2x2 pixels.
    MaxPool,
    Prelu,
    Add,
    Multiply,
    Pad,
    Reshape,
    Slice,
    /// From points to the matrix that maps a grid on the region about some of them.
    RegionOf {
        points: [usize; 2],
        about: Vec<usize>,
        side: usize,
        scale: f64,
    },
    /// A map's values at the positions of a grid.
    Resample {
        side: usize,
    },
    /// Points mapped by a matrix.
    MapPoints,
}

/// What an operation does to its own result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fused {
    Nothing,
    Relu6,
}

/// A tensor: its shape, and where its content lies if it is a constant.
#[derive(Debug, Clone)]
struct TensorInfo<'a> {
    shape: Vec<usize>,
    kind: u8,
    content: &'a [u8],
}

/// A file's graph.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    pub(super) operations: Vec<GraphOperation>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    tensors: Vec<TensorInfo<'a>>,
}

/// Types of tensors.
const FLOAT32: u8 = 0;
const FLOAT16: u8 = 1;
const INT32: u8 = 2;

impl<'a> Graph<'a> {
    /// Reads the only graph of a file.
    ///
    /// # Errors
    /// What is wrong with the file, to stand behind its name.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.get(4..8) != Some(MARK) {
            return Err("is not a TensorFlow Lite file".into());
        }
        let model = Bytes(bytes).root()?;
        let graphs = model.tables(2, LARGEST_LIST)?;
        let &[graph] = &graphs[..] else { return Err(format!("has {} graphs, not one", graphs.len())) };
        let buffers = model.tables(4, LARGEST_GRAPH)?;
        let tensors = graph.tables(0, LARGEST_GRAPH)?;
        let tensors = tensors.into_iter().map(|tensor| read_tensor(tensor, &buffers)).collect::<Result<Vec<_>, _>>()?;
        let codes = model.tables(1, LARGEST_CODES)?;
        let operations = graph.tables(3, LARGEST_GRAPH)?;
        let operations = operations.into_iter().map(|operation| {
            let code = usize::try_from(operation.int(0, 0)?).ok().and_then(|code| codes.get(code));
            let code = code.ok_or("is damaged: an operation has no code")?;
            let list = |number| tensor_indices(operation, number, tensors.len());
            Ok(GraphOperation { kind: kind(*code, operation)?, inputs: list(1)?, outputs: list(2)? })
        });
        let operations = operations.collect::<Result<Vec<_>, Fault>>()?;
        let (inputs, outputs) = (tensor_indices(graph, 1, tensors.len())?, tensor_indices(graph, 2, tensors.len())?);
        Ok(Self { operations, inputs, outputs, tensors })
    }

    /// A tensor's shape.
    pub(super) fn shape(&self, tensor: usize) -> &[usize] {
        &self.tensors[tensor].shape
    }

    /// The numbers of a constant of 16-bit floats with as many numbers as its shape says; none where it is no such constant.
    pub(super) fn halves(&self, tensor: usize) -> Option<Vec<f16>> {
        let TensorInfo { shape, kind, content } = &self.tensors[tensor];
        let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
        let fits = *kind == FLOAT16 && count > 0 && count.checked_mul(2) == Some(content.len());
        fits.then(|| content.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect())
    }

    /// The numbers of a constant of at most 64 whole numbers.
    pub(super) fn integers(&self, tensor: usize) -> Option<Vec<i32>> {
        let TensorInfo { kind, content, .. } = &self.tensors[tensor];
        let fits = *kind == INT32 && !content.is_empty() && content.len() <= 4 * 64;
        fits.then(|| content.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }
}

fn read_tensor<'a>(tensor: Table<'a>, buffers: &[Table<'a>]) -> Result<TensorInfo<'a>, Fault> {
    let shape = tensor.ints(0, LARGEST_LIST)?.into_iter().map(usize::try_from).collect::<Result<_, _>>();
    let shape = shape.map_err(|_| "has a tensor of unknown shape")?;
    let kind = tensor.byte(1)?;
    if ![FLOAT32, FLOAT16, INT32].contains(&kind) {
        return Err(format!("has numbers of type {kind}, which is not read"));
    }
    let buffer = usize::try_from(tensor.int(2, 0)?).ok().and_then(|buffer| buffers.get(buffer));
    let content = buffer.ok_or("is damaged: a tensor has no buffer")?.bytes(0)?;
    Ok(TensorInfo { shape, kind, content })
}

fn tensor_indices(table: Table<'_>, number: usize, tensors: usize) -> Result<Vec<usize>, Fault> {
    let indices = table.ints(number, LARGEST_LIST)?.into_iter();
    let indices = indices.map(|index| usize::try_from(index).ok().filter(|index| *index < tensors));
    indices.collect::<Option<_>>().ok_or_else(|| "is damaged: an operation names a tensor that is not there".into())
}

/// The code of custom operations.
const CUSTOM: i32 = 32;

fn kind(code: Table<'_>, operation: Table<'_>) -> Result<OperationKind, Fault> {
    // Codes above 127 stand in a field of their own; older files have them in one byte.
    let number = code.int(3, 0)?.max(code.byte(0)?.into());
    if number == CUSTOM {
        return custom(code.bytes(1)?, operation);
    }
    let options = || operation.table(4)?.ok_or_else(|| Fault::from("is damaged: an operation has no options"));
    Ok(match number {
        0 => plain(operation, 0).map(|()| OperationKind::Add)?,
        2 => {
            if options()?.int(0, 0)? != 1 {
                return Err("lays tensors end to end along another side than the second, which is not read".into());
            }
            plain(operation, 1).map(|()| OperationKind::Concatenate)?
        }
        3 => {
            let (stride, pads, fused) = window(options()?, 3, [4, 5])?;
            OperationKind::Convolution { stride, pads, fused }
        }
        4 => {
            let (stride, pads, fused) = window(options()?, 4, [5, 6])?;
            OperationKind::Depthwise { stride, pads, fused }
        }
        6 => OperationKind::Dequantize,
        9 => {
            if options()?.byte(1)? != 0 {
                return Err("has weights that are shuffled, which is not read".into());
            }
            plain(operation, 0).map(|()| OperationKind::FullyConnected)?
        }
        14 => OperationKind::Sigmoid,
        17 => {
            let pool = options()?;
            if [1, 2, 3, 4].map(|number| pool.int(number, 0)) != [2, 2, 2, 2].map(Ok) || pool.byte(5)? != 0 {
                return Err("has a maximum of something else than 2x2 pixels, which is not read".into());
            }
            OperationKind::MaxPool
        }
        18 => plain(operation, 0).map(|()| OperationKind::Multiply)?,
        22 => OperationKind::Reshape,
        23 => {
            let resize = options()?;
            if [resize.byte(2)?, resize.byte(3)?] != [0, 1] {
                return Err(
                    "enlarges a map by other rules than between the middles of pixels, which is not read".into()
                );
            }
            OperationKind::Enlarge
        }
        34 => OperationKind::Pad,
        40 => OperationKind::Mean,
        45 => OperationKind::Slice,
        54 => OperationKind::Prelu,
        other => return Err(format!("has an operation that is not known here (number {other})")),
    })
}

/// Whether an operation does nothing to its result; field `number` of the options names the activation.
fn plain(operation: Table<'_>, number: usize) -> Result<(), Fault> {
    match operation.table(4)?.map_or(Ok(0), |options| options.byte(number))? {
        0 => Ok(()),
        other => Err(format!("has an activation that is not known here (number {other})")),
    }
}

/// Stride, whether there is padding, and the activation of a convolution whose options have activation and dilations there.
fn window(options: Table<'_>, activation: usize, dilations: [usize; 2]) -> Result<(usize, bool, Fused), Fault> {
    let strides = [options.int(1, 0)?, options.int(2, 0)?];
    let dilations = [options.int(dilations[0], 1)?, options.int(dilations[1], 1)?];
    let padding = options.byte(0)?;
    let is_known = strides[0] == strides[1] && (1..=3).contains(&strides[0]) && dilations == [1, 1] && padding <= 1;
    let fused = match options.byte(activation)? {
        0 => Some(Fused::Nothing),
        3 => Some(Fused::Relu6),
        _ => None,
    };
    let Some(fused) = fused.filter(|_| is_known) else {
        return Err(format!("has a convolution that is not read (strides {strides:?}, dilations {dilations:?})"));
    };
    Ok((strides[0] as usize, padding == 0, fused))
}

fn custom(name: &[u8], operation: Table<'_>) -> Result<OperationKind, Fault> {
    let options = || flex::map(operation.bytes(5)?);
    match name {
        b"Landmarks2TransformMatrix" => {
            let options = options()?;
            let number = |name: &str| match options.get(name) {
                Some(FlexValue::Number(number)) => Ok(*number),
                _ => Err(format!("has an operation without '{name}'")),
            };
            let Some(FlexValue::List(about)) = options.get("subset_idxs") else {
                return Err("has an operation without 'subset_idxs'".into());
            };
            let index = |number: f64| (0.0..65_536.0).contains(&number).then_some(number as usize);
            let about: Option<Vec<usize>> = about.iter().map(|number| index(*number)).collect();
            let points = [index(number("left_rotation_idx")?), index(number("right_rotation_idx")?)];
            let (Some(about), [Some(left), Some(right)]) = (about, points) else {
                return Err("has an operation about points that there are not".into());
            };
            let (side, scale) = (number("output_width")?, number("scale_x")?);
            if number("output_height")? != side
                || number("scale_y")? != scale
                || options.get("target_rotation_radians") != Some(&FlexValue::Number(0.0))
            {
                return Err("has a region that is neither square nor level, which is not read".into());
            }
            Ok(OperationKind::RegionOf { points: [left, right], about, side: side.clamp(0.0, 4096.0) as usize, scale })
        }
        b"TransformTensorBilinear" => {
            let options = options()?;
            match (options.get("output_width"), options.get("output_height")) {
                (Some(FlexValue::Number(width)), Some(FlexValue::Number(height))) if width == height => {
                    Ok(OperationKind::Resample { side: width.clamp(0.0, 4096.0) as usize })
                }
                _ => Err("has a region that is not square, which is not read".into()),
            }
        }
        b"TransformLandmarks" => Ok(OperationKind::MapPoints),
        other => {
            let name: String = String::from_utf8_lossy(other).chars().take(40).collect();
            Err(format!("has an operation that is not known here ('{}')", name.escape_default()))
        }
    }
}

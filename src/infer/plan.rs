//! A network compiled for the CPU: a flat list of fused steps over buffers that are planned once.
//!
//! A plan works on one image at a time in one thread, so that an image's activations stay in that core's caches; several
//! images are spread over the threads of the current rayon pool. Where a pool has more threads than there are images, several
//! share an image, each computing other channels. An image's result depends neither on its neighbours nor on the number of
//! threads.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::layer::{BlazeBlock, ConvolutionLayer, Layer, Linear, Reach};
use super::precision::Precision;
use crate::kernels::infer::bf16::Bf16;
use crate::kernels::infer::blaze::{Blaze, Prelu, RunBlaze, Slopes};
use crate::kernels::infer::blocks::{BLOCK, BlockPlanes, BlockPlanesMut, Buffer, blocks, pack, unpack};
use crate::kernels::infer::elementwise;
use crate::kernels::infer::filter::{Filter, LARGEST_KERNEL};
use crate::kernels::infer::parts::{self, Scratch};
use crate::kernels::infer::product::{Product, RunProduct};
use crate::kernels::infer::rows::{Dense, Ring, RowSource, RunDense, RunRows};
use crate::kernels::simd::{Instructions, Sigmoid};
use crate::kernels::{Activation, Window};

/// A compiled network.
#[derive(Debug)]
pub struct Plan {
    input: Shape,
    output: Shape,
    steps: Vec<Step>,
    /// Where the result lies.
    result: usize,
    /// Where what is given out beside it lies, and its shape.
    tap: Option<(usize, Shape)>,
    sizes: BufferSizes,
    multiplications: usize,
    instructions: Instructions,
    /// Buffers that no image is using.
    spare: Mutex<Vec<Workspace>>,
}

/// Height, width and channels of what flows between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Shape {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Values of all pixels.
    pub fn len(&self) -> usize {
        self.pixels() * self.channels
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values with fillers.
    fn blocked(&self) -> usize {
        self.pixels() * blocks(self.channels) * BLOCK
    }
}

/// Why layers do not make a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum PlanError {
    #[error("layer {layer}: {weights} weights do not fit {channels} channels in and {outputs} out")]
    Weights { layer: usize, weights: usize, channels: usize, outputs: usize },
    #[error("layer {layer}: a kernel of {kernel} and stride {stride} cannot be run (kernels 1 to {LARGEST_KERNEL})")]
    Window { layer: usize, kernel: usize, stride: usize },
    #[error("layer {layer}: a dense convolution can only be the first layer")]
    DenseInside { layer: usize },
    #[error("layer {layer}: what is added has another shape than what it is added to")]
    Shortcut { layer: usize },
    #[error("an input of {0:?} is empty")]
    Empty(Shape),
    #[error("layer {layer}: a block whose numbers do not fit each other or what flows there")]
    Block { layer: usize },
    #[error("layer {layer}: only one map can be given out, and none inside a residual layer")]
    Tap { layer: usize },
}

/// What is done, one after the other. Places are indices of [`Workspace::maps`].
#[derive(Debug)]
enum Step {
    /// The first convolution, where no depthwise one follows.
    Dense { dense: Stem, to: usize },
    /// The picture goes to blocks.
    Pack { shape: Shape, to: usize },
    /// A convolution (none if the input is there already) and a depthwise one.
    Rows { from: Option<usize>, first: First, filter: Filter, ring: Ring, has_sums: bool, to: usize },
    /// A 1x1 convolution or fully connected layer; `is_gated` where the gate scales its inputs.
    Product { from: usize, product: Product, pixels: usize, is_gated: bool, shortcut: Option<usize>, to: usize },
    /// Sums over the pixels, for the gate.
    Sum { from: usize, shape: Shape },
    /// From sums to the gate; `reduce` divides by the number of pixels.
    Gate { reduce: Product, expand: Product },
    /// The gate scales activations.
    Scale { from: usize, shape: Shape, to: usize },
    /// `to += from`.
    Add { from: usize, shape: Shape, to: usize },
    /// The mean over the pixels.
    Mean { from: usize, shape: Shape, to: usize },
    /// The maxima of 2x2 pixels.
    Maxima { from: usize, shape: Shape, to: usize },
    /// A PReLU, which writes over its input.
    Prelu { map_index: usize, shape: Shape, slopes: Slopes },
    /// A residual block.
    Blaze { from: usize, blaze: Blaze, to: usize },
}

/// The first of two convolutions.
#[derive(Debug)]
enum First {
    None,
    Pointwise(Product),
    Dense(Stem),
}

/// A dense convolution of the picture.
#[derive(Debug)]
struct Stem {
    product: Product,
    window: Window,
    colours: usize,
}

impl Stem {
    fn row(&self) -> usize {
        let spanned = (self.window.out_width() - 1) * self.window.stride + self.window.kernel;
        spanned.max(self.window.left() + self.window.width) * self.colours
    }

    /// Values of the picture with its borders.
    fn len(&self) -> usize {
        let spanned = (self.window.out_height() - 1) * self.window.stride + self.window.kernel;
        spanned.max(self.window.top() + self.window.height) * self.row()
    }

    fn dense<'a>(&'a self, picture: &'a [f32]) -> Dense<'a> {
        let Window { kernel, stride, .. } = self.window;
        Dense { product: &self.product, picture, row: self.row(), stride, colours: self.colours, kernel }
    }

    /// Copies the picture between its borders, which stay 0.
    fn take(&self, picture: &[f32], bordered: &mut [f32]) {
        let length = self.window.width * self.colours;
        let first = self.window.left() * self.colours;
        let rows = bordered.chunks_exact_mut(self.row()).skip(self.window.top());
        for (from, to) in picture.chunks_exact(length).zip(rows) {
            to[first..first + length].copy_from_slice(from);
        }
    }
}

/// How large the buffers are.
#[derive(Debug, Default)]
struct BufferSizes {
    picture: usize,
    between: usize,
    maps: Vec<usize>,
    channels: usize,
    weights: usize,
    words: usize,
}

/// The buffers one image needs.
#[derive(Debug)]
struct Workspace {
    /// The picture with its borders.
    picture: Buffer,
    /// Maps between steps.
    maps: Vec<Buffer>,
    /// Sums over pixels.
    sums: Buffer,
    /// Hidden units of squeeze-and-excitation.
    hidden: Buffer,
    /// What channels are multiplied by.
    gate: Buffer,
    /// Weights with the gate in them.
    weights: Buffer,
    /// One for each thread that works on the image.
    rooms: Vec<Scratch>,
}

impl Workspace {
    fn new(sizes: &BufferSizes) -> Self {
        Self {
            picture: Buffer::zeros(sizes.picture),
            maps: sizes.maps.iter().map(|&size| Buffer::zeros(size)).collect(),
            sums: Buffer::zeros(sizes.channels),
            hidden: Buffer::zeros(sizes.channels),
            gate: Buffer::zeros(sizes.channels),
            weights: Buffer::zeros(sizes.weights),
            rooms: Vec::new(),
        }
    }

    fn make_rooms(&mut self, sizes: &BufferSizes, threads: usize) {
        let scratch = || Scratch { between: Buffer::zeros(sizes.between), words: Buffer::zeros(sizes.words) };
        let missing = threads.saturating_sub(self.rooms.len());
        self.rooms.extend(std::iter::repeat_with(scratch).take(missing));
    }
}

impl Plan {
    /// Compiles `layers` for pictures of the shape `input` with the best instructions there are.
    ///
    /// # Errors
    /// If the layers do not fit each other.
    pub fn compile(layers: &[Layer], input: Shape) -> Result<Self, PlanError> {
        Self::compile_for(layers, input, Instructions::best())
    }

    /// As [`compile`](Self::compile), with the instructions named.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn compile_for(layers: &[Layer], input: Shape, instructions: Instructions) -> Result<Self, PlanError> {
        if input.is_empty() {
            return Err(PlanError::Empty(input));
        }
        let mut compiler = Compiler::default();
        let value = compiler.layers(layers, Flow { map_index: None, shape: input })?;
        let value = compiler.placed(value);
        Ok(Self {
            input,
            output: value.shape,
            steps: compiler.steps,
            result: value.map_index.unwrap_or_default(),
            tap: compiler.tap,
            sizes: compiler.sizes,
            multiplications: compiler.multiplications,
            instructions,
            spare: Mutex::default(),
        })
    }

    /// The same with the 1x1 convolutions in bfloat16; none where this machine or these instructions have none. Everything
    /// else stays f32.
    pub fn in_bf16(mut self) -> Option<Self> {
        let bf16 = Bf16::detect().filter(|_| self.instructions.is_best())?;
        let sizes = &mut self.sizes;
        let narrowed = |step| match step {
            Step::Product { from, product, pixels, is_gated, shortcut, to } if pixels > 1 => {
                sizes.words = sizes.words.max(RunProduct::words(&product, pixels));
                Step::Product { from, product: product.narrowed(bf16), pixels, is_gated, shortcut, to }
            }
            Step::Rows { from, first: First::Pointwise(product), filter, ring, has_sums, to } => {
                sizes.words = sizes.words.max(ring.words(product.from()));
                let first = First::Pointwise(product.narrowed(bf16));
                Step::Rows { from, first, filter, ring, has_sums, to }
            }
            other => other,
        };
        self.steps = std::mem::take(&mut self.steps).into_iter().map(narrowed).collect();
        self.spare = Mutex::default();
        Some(self)
    }

    /// What its 1x1 convolutions are computed with.
    pub fn precision(&self) -> Precision {
        let is_narrow = |step: &Step| match step {
            Step::Product { product, .. } | Step::Rows { first: First::Pointwise(product), .. } => {
                product.bf16().is_some()
            }
            _ => false,
        };
        if self.steps.iter().any(is_narrow) { Precision::Bf16 } else { Precision::F32 }
    }

    /// The shape of a picture.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// The shape of a result; 1 x 1 pixel after a mean.
    pub fn output(&self) -> Shape {
        self.output
    }

    /// The shape of what is given out beside the result, where the network has a tap.
    pub fn tap(&self) -> Option<Shape> {
        self.tap.map(|(_, shape)| shape)
    }

    /// Multiplications and additions for an image, each counted as an operation.
    pub fn operations(&self) -> usize {
        2 * self.multiplications
    }

    /// The instructions it is compiled for.
    pub fn instructions(&self) -> Instructions {
        self.instructions
    }

    /// Results `[images, height, width, channels]` of `pictures`, `[images, height, width, channels]`. The images are
    /// spread over the current rayon pool; one alone is shared by its threads where the caller is one of them.
    ///
    /// # Panics
    /// If the lengths are not those of whole images or differ in their number.
    pub fn run(&self, pictures: &[f32], results: &mut [f32]) {
        let images = pictures.len() / self.input.len();
        assert_eq!(pictures.len(), images * self.input.len(), "pictures are whole");
        assert_eq!(results.len(), images * self.output.len(), "there is a result for every picture");
        let threads = threads_for(images);
        if images <= 1 || rayon::current_num_threads() == 1 {
            let both = (pictures.chunks_exact(self.input.len()), results.chunks_exact_mut(self.output.len()));
            both.0.zip(both.1).for_each(|(picture, result)| self.one(picture, result, None, threads));
            return;
        }
        pictures
            .par_chunks_exact(self.input.len())
            .zip(results.par_chunks_exact_mut(self.output.len()))
            .for_each(|(picture, result)| self.one(picture, result, None, threads));
    }

    /// As [`run`](Self::run) for one picture, with what flows at the network's tap, `[height, width, channels]`.
    ///
    /// # Panics
    /// If the lengths are not those of one image, or the network has no tap.
    pub fn run_with_tap(&self, picture: &[f32], result: &mut [f32], tap: &mut [f32]) {
        assert_eq!((picture.len(), result.len()), (self.input.len(), self.output.len()), "it is one picture");
        assert_eq!(Some(tap.len()), self.tap().map(|shape| shape.len()), "there is a tap");
        self.one(picture, result, Some(tap), threads_for(1));
    }

    fn one(&self, picture: &[f32], result: &mut [f32], tap: Option<&mut [f32]>, threads: usize) {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = spare().pop();
        let mut workspace = taken.unwrap_or_else(|| Workspace::new(&self.sizes));
        workspace.make_rooms(&self.sizes, threads);
        for step in &self.steps {
            step.run(picture, &mut workspace, threads, self.instructions);
        }
        unpack(&workspace.maps[self.result], self.output.channels, result);
        if let (Some((map_index, shape)), Some(tap)) = (self.tap, tap) {
            unpack(&workspace.maps[map_index], shape.channels, tap);
        }
        spare().push(workspace);
    }
}

/// Threads that share an image of so many.
fn threads_for(images: usize) -> usize {
    rayon::current_thread_index().map_or(1, |_| rayon::current_num_threads() / images.max(1)).max(1)
}

impl Step {
    fn run(&self, picture: &[f32], workspace: &mut Workspace, threads: usize, instructions: Instructions) {
        let Workspace { picture: bordered, maps, sums, hidden, gate, weights, rooms } = workspace;
        let rooms = &mut rooms[..threads];
        match self {
            Self::Dense { dense, to } => {
                dense.take(picture, bordered);
                let size = [dense.window.out_height(), dense.window.out_width()];
                RunDense { dense: dense.dense(bordered), size, out: &mut maps[*to] }.run(instructions);
            }
            Self::Pack { shape, to } => {
                let out = &mut maps[*to][..shape.blocked()];
                out.fill(0.0);
                pack(picture, shape.channels, out);
            }
            Self::Rows { from, first, filter, ring, has_sums, to } => {
                let mut out = std::mem::take(&mut maps[*to]);
                let x = || BlockPlanes { values: &maps[from.unwrap_or_default()], plane: ring.input_plane() };
                let source = match first {
                    First::None => RowSource::Given(x()),
                    First::Pointwise(product) => RowSource::Pointwise { product, x: x() },
                    First::Dense(stem) => {
                        stem.take(picture, bordered);
                        RowSource::Dense(stem.dense(bordered))
                    }
                };
                let sums = has_sums.then_some(&mut sums[..]);
                let panels = 0..RunRows::panels_of(filter);
                let run = RunRows { source, filter, ring: *ring, panels, out: &mut out, sums };
                parts::run(run, rooms, instructions);
                maps[*to] = out;
            }
            Self::Product { from, product, pixels, is_gated, shortcut, to } => {
                let mut out = std::mem::take(&mut maps[*to]);
                let plane = pixels * BLOCK;
                let planes = |map_index: usize| BlockPlanes { values: &maps[map_index], plane };
                let weights = match *is_gated && product.bf16().is_none() {
                    true => {
                        elementwise::scale_weights(product, gate, weights, instructions);
                        &weights[..]
                    }
                    false => product.weights(),
                };
                let run = RunProduct {
                    product,
                    weights,
                    x: planes(*from),
                    count: *pixels,
                    scale: is_gated.then_some(&gate[..]),
                    shortcut: shortcut.map(planes),
                    panels: 0..product.panels(),
                    out: BlockPlanesMut { values: &mut out, plane },
                };
                parts::run(run, rooms, instructions);
                maps[*to] = out;
            }
            Self::Sum { from, shape } => {
                elementwise::sum(&maps[*from][..shape.blocked()], shape.pixels(), sums, instructions);
            }
            Self::Gate { reduce, expand } => {
                let mut apply = |product: &Product, x: &[f32], out: &mut [f32]| {
                    let run = RunProduct {
                        product,
                        weights: product.weights(),
                        x: BlockPlanes { values: x, plane: BLOCK },
                        count: 1,
                        scale: None,
                        shortcut: None,
                        panels: 0..product.panels(),
                        out: BlockPlanesMut { values: out, plane: BLOCK },
                    };
                    parts::run(run, rooms, instructions);
                };
                apply(reduce, sums, hidden);
                apply(expand, hidden, gate);
                Sigmoid(&mut gate[..blocks(expand.to()) * BLOCK]).run(instructions);
            }
            Self::Scale { from, shape, to } => {
                let mut out = std::mem::take(&mut maps[*to]);
                elementwise::scale(&maps[*from][..shape.blocked()], gate, shape.pixels(), &mut out, instructions);
                maps[*to] = out;
            }
            Self::Add { from, shape, to } => {
                let other = std::mem::take(&mut maps[*from]);
                elementwise::add(&mut maps[*to][..shape.blocked()], &other, instructions);
                maps[*from] = other;
            }
            Self::Mean { from, shape, to } => {
                let mut out = std::mem::take(&mut maps[*to]);
                elementwise::sum(&maps[*from][..shape.blocked()], shape.pixels(), &mut out, instructions);
                for value in &mut out[..blocks(shape.channels) * BLOCK] {
                    *value /= shape.pixels() as f32;
                }
                maps[*to] = out;
            }
            Self::Maxima { from, shape, to } => {
                let mut out = std::mem::take(&mut maps[*to]);
                let x = &maps[*from][..shape.blocked()];
                elementwise::maxima(x, [shape.height, shape.width], &mut out, instructions);
                maps[*to] = out;
            }
            Self::Prelu { map_index, shape, slopes } => {
                let values = BlockPlanesMut { values: &mut maps[*map_index], plane: shape.pixels() * BLOCK };
                let blocks = blocks(shape.channels);
                Prelu { slopes, first_block: 0, blocks, count: shape.pixels(), values }.run(instructions);
            }
            Self::Blaze { from, blaze, to } => {
                let mut out = std::mem::take(&mut maps[*to]);
                let scratch = &mut rooms[0].between;
                RunBlaze { blaze, x: &maps[*from], scratch, out: &mut out }.run(instructions);
                maps[*to] = out;
            }
        }
    }
}

/// What flows from layer to layer while a plan is compiled.
#[derive(Debug, Clone, Copy)]
struct Flow {
    /// None: the picture itself.
    map_index: Option<usize>,
    shape: Shape,
}

/// A plan in the making.
#[derive(Debug, Default)]
struct Compiler {
    steps: Vec<Step>,
    sizes: BufferSizes,
    multiplications: usize,
    /// Places whose content is still wanted.
    kept: Vec<usize>,
    /// Where a map lies that is given out, and its shape.
    tap: Option<(usize, Shape)>,
    /// How many residual layers the one being compiled is in.
    depth: usize,
    /// The layer that is being compiled, in the order of the description, and where it stands in a message.
    layer: usize,
}

impl Compiler {
    fn layers(&mut self, layers: &[Layer], mut value: Flow) -> Result<Flow, PlanError> {
        let mut rest = layers;
        let mut is_gated = false;
        while let [layer, after @ ..] = rest {
            rest = after;
            value = match layer {
                Layer::Convolution(convolution) => match (convolution.reach, after) {
                    (Reach::Depthwise { .. }, _) => {
                        let value = self.settled(value, is_gated);
                        self.rows(First::None, value, value, convolution)?
                    }
                    (_, [Layer::Convolution(next), after @ ..]) if is_depthwise(next) && !is_gated => {
                        rest = after;
                        let (first, value, between) = self.first(convolution, value)?;
                        self.layer += 1;
                        self.rows(first, value, between, next)?
                    }
                    (Reach::Pointwise, _) => {
                        let value = self.placed(value);
                        self.product(&convolution.weights, &convolution.bias, convolution.activation, value, is_gated)?
                    }
                    (Reach::Dense { .. }, _) => {
                        let (stem, shape) = self.stem(convolution, value)?;
                        let to = self.map_for(shape, None);
                        self.steps.push(Step::Dense { dense: stem, to });
                        Flow { map_index: Some(to), shape }
                    }
                },
                Layer::Linear(Linear { weights, bias, activation }) => {
                    let value = self.placed(value);
                    self.product(weights, bias, *activation, value, is_gated)?
                }
                Layer::SqueezeExcite { reduce, expand } => {
                    let value = self.settled(value, is_gated);
                    self.gate(reduce, expand, value)?;
                    value
                }
                Layer::Residual(body) => {
                    let value = self.settled(value, is_gated);
                    self.residual(body, value, value)?
                }
                Layer::HalvedResidual(body) => {
                    let value = self.settled(value, is_gated);
                    let added = self.maxima(value)?;
                    self.residual(body, value, added)?
                }
                Layer::Whole(linear) => {
                    let value = self.settled(value, is_gated);
                    self.whole(linear, value)?
                }
                Layer::Prelu(slopes) => {
                    let value = self.settled(value, is_gated);
                    if slopes.len() != value.shape.channels {
                        return Err(self.weights_error(slopes, value.shape.channels, slopes.len()));
                    }
                    // Over its input, unless another step still needs that.
                    let map_index = value.map_index.unwrap_or_default();
                    if self.kept.contains(&map_index) {
                        return Err(PlanError::Block { layer: self.layer });
                    }
                    self.steps.push(Step::Prelu { map_index, shape: value.shape, slopes: Slopes::new(slopes) });
                    value
                }
                Layer::BlazeBlock(block) => {
                    let value = self.settled(value, is_gated);
                    self.blaze(block, value)?
                }
                Layer::Tap => {
                    let value = self.settled(value, is_gated);
                    if self.tap.is_some() || self.depth > 0 {
                        return Err(PlanError::Tap { layer: self.layer });
                    }
                    let map_index = value.map_index.unwrap_or_default();
                    self.tap = Some((map_index, value.shape));
                    self.kept.push(map_index);
                    value
                }
                Layer::Mean => {
                    let value = self.settled(value, is_gated);
                    let shape = Shape { height: 1, width: 1, channels: value.shape.channels };
                    let to = self.map_for(shape, value.map_index);
                    self.steps.push(Step::Mean { from: value.map_index.unwrap_or_default(), shape: value.shape, to });
                    Flow { map_index: Some(to), shape }
                }
            };
            is_gated = matches!(layer, Layer::SqueezeExcite { .. });
            self.layer += 1;
        }
        Ok(self.settled(value, is_gated))
    }

    /// `value` in a map; the picture itself is put into one.
    fn placed(&mut self, value: Flow) -> Flow {
        if value.map_index.is_some() {
            return value;
        }
        let to = self.map_for(value.shape, None);
        self.steps.push(Step::Pack { shape: value.shape, to });
        Flow { map_index: Some(to), ..value }
    }

    /// `value` in a map, with the gate applied.
    fn settled(&mut self, value: Flow, is_gated: bool) -> Flow {
        let value = self.placed(value);
        if is_gated { self.scaled(value) } else { value }
    }

    fn scaled(&mut self, value: Flow) -> Flow {
        let to = self.map_for(value.shape, value.map_index);
        self.steps.push(Step::Scale { from: value.map_index.unwrap_or_default(), shape: value.shape, to });
        Flow { map_index: Some(to), ..value }
    }

    /// A map of `shape` that neither holds the step's input nor anything still wanted.
    fn map_for(&mut self, shape: Shape, input: Option<usize>) -> usize {
        let is_free = |map_index: &usize| Some(*map_index) != input && !self.kept.contains(map_index);
        let map_index = (0..).find(is_free).unwrap_or_default();
        if map_index == self.sizes.maps.len() {
            self.sizes.maps.push(0);
        }
        self.sizes.maps[map_index] = self.sizes.maps[map_index].max(shape.blocked());
        map_index
    }

    /// The first of two convolutions, what it is applied to, and what comes out.
    fn first(&mut self, convolution: &ConvolutionLayer, value: Flow) -> Result<(First, Flow, Flow), PlanError> {
        if let Reach::Dense { .. } = convolution.reach {
            let (stem, shape) = self.stem(convolution, value)?;
            return Ok((First::Dense(stem), value, Flow { shape, ..value }));
        }
        let value = self.placed(value);
        let product =
            self.packed(&convolution.weights, &convolution.bias, convolution.activation, value.shape.channels)?;
        self.multiplications += value.shape.pixels() * product.from() * product.to();
        let shape = Shape { channels: product.to(), ..value.shape };
        Ok((First::Pointwise(product), value, Flow { shape, ..value }))
    }

    fn stem(&mut self, convolution: &ConvolutionLayer, value: Flow) -> Result<(Stem, Shape), PlanError> {
        let Reach::Dense { kernel, stride } = convolution.reach else {
            unreachable!("the caller has looked");
        };
        if value.map_index.is_some() {
            return Err(PlanError::DenseInside { layer: self.layer });
        }
        let window = self.window(value.shape, kernel, stride)?;
        let colours = value.shape.channels;
        let inputs = kernel * kernel * colours;
        let product = self.packed(&convolution.weights, &convolution.bias, convolution.activation, inputs)?;
        let stem = Stem { product, window, colours };
        self.sizes.picture = self.sizes.picture.max(stem.len());
        let shape = Shape { height: window.out_height(), width: window.out_width(), channels: convolution.bias.len() };
        self.multiplications += shape.len() * inputs;
        Ok((stem, shape))
    }

    /// A depthwise convolution of `between`, which `first` makes of `value`.
    fn rows(
        &mut self,
        first: First,
        value: Flow,
        between: Flow,
        depthwise: &ConvolutionLayer,
    ) -> Result<Flow, PlanError> {
        let Reach::Depthwise { kernel, stride } = depthwise.reach else {
            unreachable!("the caller has looked");
        };
        let window = self.window(between.shape, kernel, stride)?;
        let channels = between.shape.channels;
        self.fits(&depthwise.weights, &depthwise.bias, kernel * kernel, channels)?;
        if depthwise.bias.len() != channels {
            return Err(self.weights_error(&depthwise.weights, channels, depthwise.bias.len()));
        }
        let filter = Filter::new(&depthwise.weights, &depthwise.bias, kernel, stride, depthwise.activation);
        let shape = Shape { height: window.out_height(), width: window.out_width(), channels };
        self.multiplications += shape.len() * kernel * kernel;
        let ring = Ring::new(window);
        self.sizes.between = self.sizes.between.max(ring.size(channels));
        let to = self.map_for(shape, value.map_index);
        self.steps.push(Step::Rows { from: value.map_index, first, filter, ring, has_sums: false, to });
        Ok(Flow { map_index: Some(to), shape })
    }

    fn product(
        &mut self,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
        value: Flow,
        is_gated: bool,
    ) -> Result<Flow, PlanError> {
        let product = self.packed(weights, bias, activation, value.shape.channels)?;
        let pixels = value.shape.pixels();
        self.multiplications += pixels * product.from() * product.to();
        let shape = Shape { channels: product.to(), ..value.shape };
        // The gate goes into whichever is smaller: the weights or what they are applied to.
        let scales_weights = is_gated && pixels > product.to();
        if scales_weights {
            self.sizes.weights = self.sizes.weights.max(product.weights().len());
        }
        let value = if is_gated && !scales_weights { self.scaled(value) } else { value };
        let from = value.map_index.unwrap_or_default();
        let to = self.map_for(shape, value.map_index);
        self.steps.push(Step::Product { from, product, pixels, is_gated: scales_weights, shortcut: None, to });
        Ok(Flow { map_index: Some(to), shape })
    }

    fn gate(&mut self, reduce: &Linear, expand: &Linear, value: Flow) -> Result<(), PlanError> {
        let (from, shape) = (value.map_index.unwrap_or_default(), value.shape);
        match self.steps.last_mut() {
            Some(Step::Rows { has_sums, to, .. }) if *to == from => *has_sums = true,
            _ => self.steps.push(Step::Sum { from, shape }),
        }
        let weights: Vec<f32> = reduce.weights.iter().map(|weight| weight / shape.pixels() as f32).collect();
        let reduce = self.packed(&weights, &reduce.bias, reduce.activation, shape.channels)?;
        let expand = self.packed(&expand.weights, &expand.bias, expand.activation, reduce.to())?;
        if expand.to() != shape.channels {
            return Err(PlanError::Shortcut { layer: self.layer });
        }
        for channels in [shape.channels, reduce.to()] {
            // A panel writes whole blocks.
            self.sizes.channels = self.sizes.channels.max(blocks(channels) * BLOCK);
        }
        self.multiplications += reduce.from() * reduce.to() + expand.from() * expand.to();
        self.steps.push(Step::Gate { reduce, expand });
        Ok(())
    }

    fn maxima(&mut self, value: Flow) -> Result<Flow, PlanError> {
        let Shape { height, width, channels } = value.shape;
        if !height.is_multiple_of(2) || !width.is_multiple_of(2) {
            return Err(PlanError::Shortcut { layer: self.layer });
        }
        let shape = Shape { height: height / 2, width: width / 2, channels };
        let to = self.map_for(shape, value.map_index);
        self.steps.push(Step::Maxima { from: value.map_index.unwrap_or_default(), shape: value.shape, to });
        Ok(Flow { map_index: Some(to), shape })
    }

    /// `added` to what the layers make of `value`.
    fn residual(&mut self, body: &[Layer], value: Flow, added: Flow) -> Result<Flow, PlanError> {
        let layer = self.layer;
        let kept = added.map_index.unwrap_or_default();
        self.kept.push(kept);
        self.depth += 1;
        let begin = self.steps.len();
        let result = self.layers(body, value)?;
        self.depth -= 1;
        self.kept.pop();
        if body.is_empty() || result.shape != added.shape {
            return Err(PlanError::Shortcut { layer });
        }
        let to = result.map_index.unwrap_or_default();
        match self.steps[begin..].last_mut() {
            Some(Step::Product { shortcut: shortcut @ None, .. }) => *shortcut = Some(kept),
            _ => self.steps.push(Step::Add { from: kept, shape: added.shape, to }),
        }
        Ok(result)
    }

    /// A product of all pixels. A map of whole blocks lies as one pixel with as many channels would, in another order.
    fn whole(&mut self, linear: &Linear, value: Flow) -> Result<Flow, PlanError> {
        let Linear { weights, bias, activation } = linear;
        let shape = value.shape;
        if !shape.channels.is_multiple_of(BLOCK) {
            return Err(PlanError::Block { layer: self.layer });
        }
        self.fits(weights, bias, shape.len(), bias.len())?;
        let row = |offset: usize| {
            let (block, rest) = (offset / (shape.pixels() * BLOCK), offset % (shape.pixels() * BLOCK));
            let input = rest / BLOCK * shape.channels + block * BLOCK + rest % BLOCK;
            &weights[input * bias.len()..][..bias.len()]
        };
        let turned: Vec<f32> = (0..shape.len()).flat_map(row).copied().collect();
        let value = Flow { shape: Shape { height: 1, width: 1, channels: shape.len() }, ..value };
        self.product(&turned, bias, *activation, value, false)
    }

    fn blaze(&mut self, block: &BlazeBlock, value: Flow) -> Result<Flow, PlanError> {
        let BlazeBlock { depthwise, pointwise, slopes, stride } = block;
        let Shape { height, width, channels } = value.shape;
        let misfit = PlanError::Block { layer: self.layer };
        if depthwise[1].len() != channels {
            return Err(misfit);
        }
        let [depthwise, pointwise] = [depthwise, pointwise].map(|both| both.each_ref().map(Vec::as_slice));
        let blaze = Blaze::new(depthwise, pointwise, slopes, [height, width], *stride).map_err(|_| misfit)?;
        let [height, width] = blaze.out_size();
        let shape = Shape { height, width, channels: blaze.to() };
        self.multiplications += blaze.multiplications();
        self.sizes.between = self.sizes.between.max(blaze.scratch());
        let to = self.map_for(shape, value.map_index);
        self.steps.push(Step::Blaze { from: value.map_index.unwrap_or_default(), blaze, to });
        Ok(Flow { map_index: Some(to), shape })
    }

    fn packed(
        &self,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
        channels: usize,
    ) -> Result<Product, PlanError> {
        self.fits(weights, bias, channels, bias.len())?;
        Ok(Product::new(weights, bias, activation))
    }

    fn fits(&self, weights: &[f32], bias: &[f32], inputs: usize, outputs: usize) -> Result<(), PlanError> {
        let is_fit = inputs > 0 && !bias.is_empty() && inputs.checked_mul(outputs) == Some(weights.len());
        if is_fit { Ok(()) } else { Err(self.weights_error(weights, inputs, bias.len())) }
    }

    fn weights_error(&self, weights: &[f32], channels: usize, outputs: usize) -> PlanError {
        PlanError::Weights { layer: self.layer, weights: weights.len(), channels, outputs }
    }

    fn window(&self, shape: Shape, kernel: usize, stride: usize) -> Result<Window, PlanError> {
        if !(1..=LARGEST_KERNEL).contains(&kernel) || stride == 0 {
            return Err(PlanError::Window { layer: self.layer, kernel, stride });
        }
        Ok(Window { height: shape.height, width: shape.width, kernel, stride })
    }
}

fn is_depthwise(convolution: &ConvolutionLayer) -> bool {
    matches!(convolution.reach, Reach::Depthwise { .. })
}

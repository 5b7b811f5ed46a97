//! What a CUDA card computes beside the CPU, and how fast. `scripts/on_card.sh` carries it to a machine with a card, where
//! `benches/card.py` calls it; on the CPU the same calls show that nothing is misspelt.
//!
//! ```text
//! card cpu|cuda operations                        every operation beside the CPU's
//! card cpu|cuda gradients                         a whole training step's gradients beside the CPU's
//! card cpu|cuda logits NETWORK TYPE FOLDER COUNT  logits of the first COUNT pictures in FOLDER beside the CPU's plan
//! card cpu|cuda speed NETWORK TYPE                reads a batch size and a number of batches a line
//! card cpu|cuda training SIDE COLOURS BATCH       reads a number of steps a line
//! card cpu crops CLIP TRUTH FOLDER                pictures for `logits`: the composites of the bundled clip, which show nobody
//! ```
//!
//! NETWORK is `b0`, `mobilenet_v1` or `default`, TYPE `f32`, `f16` or `bf16`. Answers are JSON objects, one a line.

#[path = "shared/training_steps.rs"]
mod training_steps;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use annotate::infer::{Instructions, Plan};
use annotate::kernels::Activation;
use annotate::model::{Input, registry};
use annotate::nn::efficientnet::EfficientNetConfig;
use annotate::nn::folded::Folded;
use annotate::nn::mobilenet::MobileNetConfig;
use annotate::nn::ops::{self, Norm};
use annotate::nn::{Architecture, Network, Parameters, Phase, Purpose};
use annotate::picture::{Colours, Region, crop};
use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use annotate::random::seeded;
use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{DType, Device, Tensor, Var};
use image::RgbImage;
use image::imageops::FilterType;
use rand::RngExt as _;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Pictures are compared in batches, as they are annotated.
const BATCH: usize = 32;
const EPS: f32 = 1e-3;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let device = match words.first() {
        Some(&"cpu") => Device::Cpu,
        Some(&"cuda") => annotate::kernels::cuda::open(0).context("no card that can be used")?,
        _ => bail!("the first word is cpu or cuda"),
    };
    match words[1..] {
        ["operations"] => operations(&device),
        ["gradients"] => gradients(&device),
        ["logits", network, dtype, folder, count] => {
            let subject = Subject::named(network)?;
            let pictures = pictures(Path::new(folder), count.parse()?, &subject.input)?;
            logits(&device, &subject, dtype.parse()?, &pictures)
        }
        ["speed", network, dtype] => speed(&device, &Subject::named(network)?, dtype.parse()?),
        ["crops", clip, truth, folder] => crops(Path::new(clip), Path::new(truth), Path::new(folder)),
        ["training", side, colours, batch] => {
            let colours = if colours == "1" { Colours::Luma } else { Colours::Rgb };
            training_steps::training_steps(&device, [batch.parse()?, side.parse()?], colours, |seconds, loss| {
                println!("{}", json!({"seconds": seconds, "loss": loss}));
            })
        }
        _ => bail!("usage: see the top of examples/card.rs"),
    }
}

// ---- networks ----

/// A network with its weights on the CPU.
struct Subject {
    architecture: Architecture,
    input: Input,
    tensors: BTreeMap<String, Tensor>,
}

impl Subject {
    fn named(name: &str) -> Result<Self> {
        let architecture = match name {
            "default" => {
                let (config, tensors) = registry::weights(Path::new("default"))?;
                return Ok(Self { architecture: config.architecture, input: config.input, tensors });
            }
            "b0" => Architecture::Efficientnet(EfficientNetConfig::b0()),
            "mobilenet_v1" => Architecture::MobilenetV1(MobileNetConfig::seed()),
            other => bail!("'{other}' is not b0, mobilenet_v1 or default"),
        };
        let parameters = Parameters::new(Purpose::Training { seed: 1 }, &Device::Cpu);
        Network::new(&parameters, &architecture, Colours::Rgb)?;
        let input = Input::rgb(224);
        Ok(Self { architecture, input, tensors: parameters.tensors()? })
    }

    fn network(&self) -> Result<Network> {
        let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
        let network = Network::new(&parameters, &self.architecture, self.input.colours)?;
        parameters.set(&self.tensors)?;
        Ok(network)
    }

    /// As inference on a card runs it.
    fn on(&self, device: &Device, dtype: DType) -> Result<Folded> {
        let mut folded = Folded::new(&self.network()?.layers()?, self.input.colours.count(), dtype, device)?;
        folded.record();
        Ok(folded)
    }

    /// As inference on the CPU runs it.
    fn plan(&self) -> Result<Plan> {
        Ok(self.network()?.plan(self.input.side, self.input.colours, Instructions::best())?)
    }

    fn shape(&self, images: usize) -> (usize, usize, usize, usize) {
        (images, self.input.side, self.input.side, self.input.colours.count())
    }
}

// ---- operations ----

type Operation = fn(&[Tensor]) -> candle_core::Result<Tensor>;

/// An operation with the shapes of its inputs, the first `halved` of which are in half precision where the type is one.
struct Case {
    name: &'static str,
    shapes: Vec<Vec<usize>>,
    halved: usize,
    has_gradient: bool,
    operation: Operation,
}

/// Statistics for channels 0, 1, 2 and so on, on the inputs' device.
fn normalised(i: &[Tensor], f: impl Fn(Norm<'_>) -> candle_core::Result<Tensor>) -> candle_core::Result<Tensor> {
    let [.., gamma, beta] = i else { candle_core::bail!("gamma and beta come last") };
    let channels = gamma.dim(0)? as u32;
    let mean = (Tensor::arange(0, channels, gamma.device())?.to_dtype(DType::F32)? / f64::from(4 * channels))?;
    let variance = (&mean + 0.5)?;
    f(Norm { gamma, beta, mean: &mean, variance: &variance, eps: EPS })
}

const PRODUCT: &str = "matrix product";

/// Odd sides, and channels that fill no whole block.
fn cases() -> Vec<Case> {
    let x = || vec![3, 15, 14, 50];
    // What the kernels of inference want.
    let groups = || vec![3, 15, 14, 48];
    let (three, five, channels) = (|| vec![3, 3, 50], || vec![5, 5, 50], || vec![50]);
    let case = |name, shapes, halved, has_gradient, operation| Case { name, shapes, halved, has_gradient, operation };
    vec![
        case("depthwise 3x3", vec![x(), three()], 2, true, |i| ops::depthwise(&i[0], &i[1], 1)),
        case("depthwise 3x3 by 2", vec![x(), three()], 2, true, |i| ops::depthwise(&i[0], &i[1], 2)),
        case("depthwise 5x5 by 2", vec![x(), five()], 2, true, |i| ops::depthwise(&i[0], &i[1], 2)),
        case("patches 3x3 by 2", vec![x()], 1, false, |i| ops::patches(&i[0], 3, 2)),
        case("mean", vec![x()], 1, true, |i| ops::global_mean(&i[0])),
        case("scale", vec![x(), vec![3, 50]], 2, true, |i| ops::scale_channels(&i[0], &i[1])),
        case("normalise, relu6", vec![x(), channels(), channels()], 1, true, |i| {
            normalised(i, |norm| ops::normalise(&i[0], norm, Activation::Relu6))
        }),
        case("normalise, silu", vec![x(), channels(), channels()], 1, true, |i| {
            normalised(i, |norm| ops::normalise(&i[0], norm, Activation::Silu))
        }),
        case("normalise by batch, silu", vec![x(), channels(), channels()], 1, true, |i| {
            Ok(ops::normalise_by_batch(&i[0], &i[1], &i[2], EPS, Activation::Silu)?.0)
        }),
        case("depthwise, bias, silu", vec![groups(), vec![5, 5, 48], vec![48]], 2, false, |i| {
            ops::depthwise_bias(&i[0], &i[1], 2, &i[2], Activation::Silu)
        }),
        case("bias, relu6", vec![groups(), vec![48]], 1, false, |i| ops::finish(&i[0], &i[1], Activation::Relu6, None)),
        case("sum with a shortcut", vec![groups(), groups(), vec![48]], 2, false, |i| {
            ops::finish(&i[0], &i[2], Activation::Identity, Some(&i[1]))
        }),
        case("gate", vec![groups(), vec![3, 48], vec![48]], 2, false, |i| ops::gate(&i[0], &i[1], &i[2])),
        case(PRODUCT, vec![vec![300, 96], vec![96, 40]], 2, true, |i| i[0].matmul(&i[1])),
    ]
}

fn random(shape: &[usize], name: &str) -> Result<Tensor> {
    let mut random = seeded(3, name);
    // Few bits, so that every type holds them exactly.
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| f32::from(random.random_range(-64i8..64)) / 64.0).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// What `case` gives, and its gradients where wanted, all on the CPU in f32.
fn results(case: &Case, device: &Device, dtype: DType, with_gradients: bool) -> Result<Vec<Tensor>> {
    let inputs = case.shapes.iter().enumerate().map(|(index, shape)| {
        let dtype = if index < case.halved { dtype } else { DType::F32 };
        Ok(Var::from_tensor(&random(shape, &index.to_string())?.to_dtype(dtype)?.to_device(device)?)?)
    });
    let inputs = inputs.collect::<Result<Vec<Var>>>()?;
    let tensors: Vec<Tensor> = inputs.iter().map(|input| input.as_tensor().clone()).collect();
    let y = (case.operation)(&tensors)?;
    let home = |t: &Tensor| t.to_dtype(DType::F32)?.to_device(&Device::Cpu);
    let mut results = vec![home(&y)?];
    if with_gradients {
        let weights = random(y.dims(), "weights")?.to_device(device)?;
        let store = (y * weights)?.sum_all()?.backward()?;
        for input in &inputs {
            results.push(home(store.get(input).context("an input without a gradient")?)?);
        }
    }
    Ok(results)
}

/// Largest difference over the largest value.
fn error(found: &Tensor, expected: &Tensor) -> Result<f32> {
    let largest = |t: Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    Ok(largest((found - expected)?)? / largest(expected.clone())?.max(1e-6))
}

/// Half precision is computed on a card only.
fn types(device: &Device) -> &'static [DType] {
    if device.is_cpu() { &[DType::F32] } else { &[DType::F32, DType::F16, DType::BF16] }
}

fn operations(device: &Device) -> Result<()> {
    for case in cases() {
        for dtype in types(device) {
            let with_gradients = case.has_gradient && *dtype == DType::F32;
            let expected = results(&case, &Device::Cpu, DType::F32, with_gradients)?;
            // bf16 keeps 8 bits: half of the last one is 2e-3. Products in f32 show whether they were made of fewer bits.
            let tolerance = match (case.name, *dtype) {
                (_, DType::BF16) => 4e-3,
                (PRODUCT, DType::F32) => 1e-5,
                _ => 1e-3,
            };
            let answer = match results(&case, device, *dtype, with_gradients) {
                Ok(found) => {
                    let errors = found.iter().zip(&expected).map(|(found, expected)| error(found, expected));
                    let errors = errors.collect::<Result<Vec<f32>>>()?;
                    let passes = errors.iter().all(|error| *error <= tolerance);
                    json!({"passes": passes, "forward": errors[0], "backward": errors[1..]})
                }
                Err(e) => json!({"passes": false, "failure": format!("{e:#}")}),
            };
            let mut line = json!({"operation": case.name, "type": dtype.as_str()});
            line.as_object_mut().context("an object")?.extend(answer.as_object().context("an object")?.clone());
            println!("{line}");
        }
    }
    Ok(())
}

/// Gradients of the default model's loss on 8 pictures; the norm of each tensor's difference over the norm of the CPU's.
fn gradients(device: &Device) -> Result<()> {
    let subject = Subject::named("default")?;
    let (images, side, _, colours) = subject.shape(8);
    let pictures = random(&[images, side, side, colours], "pictures")?;
    let on = |device: &Device| -> Result<BTreeMap<String, Tensor>> {
        let parameters = Parameters::new(Purpose::Training { seed: 1 }, device);
        let network = Network::new(&parameters, &subject.architecture, subject.input.colours)?;
        parameters.set(&subject.tensors)?;
        let dropout = Mutex::new(seeded(1, "dropout"));
        let logits = network.forward(&pictures.to_device(device)?, Phase::Training(&dropout))?;
        let classes: Vec<u32> = (0..images as u32).map(|image| image % 7).collect();
        let loss = candle_nn::loss::cross_entropy(&logits, &Tensor::new(classes, device)?)?;
        let store = parameters.backward(&loss)?;
        let variables = parameters.variables().into_iter().filter_map(|(name, v)| Some((name, store.get(&v)?.clone())));
        variables.map(|(name, gradient)| Ok((name, gradient.to_device(&Device::Cpu)?))).collect()
    };
    let (expected, found) = (on(&Device::Cpu)?, on(device)?);
    ensure!(expected.keys().eq(found.keys()), "other tensors have gradients");
    let norm = |t: &Tensor| -> Result<f32> { Ok(t.sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt()) };
    for (name, expected) in &expected {
        let error = norm(&(&found[name] - expected)?)? / norm(expected)?.max(1e-6);
        println!("{}", json!({"tensor": name, "error": error, "passes": error <= 1e-2}));
    }
    Ok(())
}

// ---- logits ----

const CROPS: usize = 256;
/// Pixels, more than the default model sees and fewer than the others.
const CROP_SIDE: usize = 112;

/// Faces of the clip, each turned, moved and scaled in its own way.
fn crops(clip: &Path, truth: &Path, folder: &Path) -> Result<()> {
    let truth: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(truth)?)?;
    // The box of the face in each frame that shows one.
    let faces: Vec<Option<[f32; 4]>> = serde_json::from_value(truth["faces"].clone())?;
    let mut decoder = Decoder::open(&Source::File(clip.into()), DecodeOptions::default())?;
    let mut shown = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        if let Some(Some(face)) = faces.get(frame.index) {
            shown.push((frame.picture, *face));
        }
    }
    ensure!(!shown.is_empty(), "{}: no face", clip.display());
    for number in 0..CROPS {
        let (picture, [x, y, width, height]) = &shown[number * shown.len() / CROPS];
        let mut random = seeded(1, &number.to_string());
        let mut by = |half_width: f32| random.random_range(-half_width..half_width);
        let square = width * (1.3 + by(0.3));
        let region = Region {
            x: x + width / 2.0 + by(0.15) * width,
            y: y + height / 2.0 + by(0.15) * width,
            width: square,
            height: square,
            angle_degrees: by(20.0),
        };
        let samples = crop(picture.as_ref(), &region, CROP_SIDE, Colours::Rgb).into_iter().map(|v| v as u8).collect();
        let picture =
            RgbImage::from_raw(CROP_SIDE as u32, CROP_SIDE as u32, samples).context("three values a pixel")?;
        picture.save(folder.join(format!("{number:03}.png")))?;
    }
    Ok(())
}

fn pictures(folder: &Path, count: usize, input: &Input) -> Result<Vec<f32>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    paths.truncate(count);
    let mut values = Vec::new();
    for path in paths {
        let picture = image::open(&path).with_context(|| path.display().to_string())?;
        let side = input.side as u32;
        let picture = picture.resize_exact(side, side, FilterType::Triangle);
        let bytes = match input.colours {
            Colours::Luma => picture.into_luma8().into_raw(),
            Colours::Rgb => picture.into_rgb8().into_raw(),
        };
        values.extend(bytes.into_iter().map(f32::from));
    }
    Ok(input.normalised(values))
}

fn logits(device: &Device, subject: &Subject, dtype: DType, pictures: &[f32]) -> Result<()> {
    let (plan, network) = (subject.plan()?, subject.on(device, dtype)?);
    let (_, side, _, colours) = subject.shape(1);
    let (mut largest, mut difference, mut images, mut agreeing, mut ties) = (0f32, 0f32, 0, 0, 0);
    for batch in pictures.chunks(BATCH * side * side * colours) {
        let count = batch.len() / (side * side * colours);
        let mut expected = vec![0.0; count * plan.output().len()];
        plan.run(batch, &mut expected);
        let x = Tensor::from_slice(batch, subject.shape(count), device)?;
        let found: Vec<Vec<f32>> = network.logits(&x)?.to_vec2()?;
        for (found, expected) in found.iter().zip(expected.chunks(plan.output().len())) {
            for (found, expected) in found.iter().zip(expected) {
                largest = largest.max(expected.abs());
                // A comparison that NaN does not pass.
                difference = if (found - expected).abs() <= difference { difference } else { (found - expected).abs() };
            }
            images += 1;
            let (label, lead) = label(expected);
            agreeing += usize::from(label == self::label(found).0);
            ties += usize::from(label != self::label(found).0 && lead < 0.02 * largest);
        }
    }
    let error = difference / largest;
    println!(
        "{}",
        json!({
            "images": images,
            "largest_logit": largest,
            "error": error,
            "labels_agreeing": agreeing,
            "of_which_ties_differ": ties,
            "recorded_sizes": network.recorded_sizes(),
        })
    );
    Ok(())
}

/// The class with the highest logit, and by how much it leads.
fn label(logits: &[f32]) -> (usize, f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    (order[0], logits[order[0]] - logits[order[1]])
}

// ---- speed ----

/// Seconds a batch from pictures in the computer's memory to logits there, one batch after the other; and, measured apart
/// with a wait after each, of the copy to the card, of the network and of the copy back.
fn speed(device: &Device, subject: &Subject, dtype: DType) -> Result<()> {
    let (plan, folded) = (subject.plan()?, subject.on(device, dtype)?);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        let [batch, count] = numbers[..] else { bail!("a batch size and a number of batches a line") };
        let shape = subject.shape(batch);
        let pictures = vec![0.5f32; shape.0 * shape.1 * shape.2 * shape.3];
        let upload = || Tensor::from_slice(&pictures, shape, device);
        let download = |logits: &Tensor| logits.to_vec2::<f32>();
        let started = Instant::now();
        for _ in 0..count {
            download(&folded.logits(&upload()?)?)?;
        }
        let seconds = started.elapsed().as_secs_f64() / count as f64;
        let mut parts = [0.0; 3];
        for _ in 0..count {
            let mut part = |index: usize, started: Instant| -> Result<()> {
                device.synchronize()?;
                parts[index] += started.elapsed().as_secs_f64() / count as f64;
                Ok(())
            };
            let started = Instant::now();
            let x = upload()?;
            part(0, started)?;
            let started = Instant::now();
            let logits = folded.logits(&x)?;
            part(1, started)?;
            let started = Instant::now();
            download(&logits)?;
            part(2, started)?;
        }
        let [upload, network, download] = parts;
        println!(
            "{}",
            json!({
                "seconds": seconds,
                "upload": upload,
                "network": network,
                "download": download,
                "operations": plan.operations(),
                "recorded_sizes": folded.recorded_sizes(),
            })
        );
    }
    Ok(())
}

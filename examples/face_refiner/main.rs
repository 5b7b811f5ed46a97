//! Trains the tracker's refinement network and writes its weights and card. It learns from faces of FER2013 pasted on
//! backgrounds without faces.
//!
//! `cargo run --release --example face_refiner -- --recipe pipelines/faces/recipe.toml --data ../shared/data --out runs/faces`

mod cover;
mod material;
mod patch;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context as _;
use candle_core::{Device, Tensor};
use clap::Parser;
use rayon::prelude::*;
use serde::Deserialize;

use annotate::model::write_tensors;
use annotate::nn::{Parameters, Phase, Purpose};
use annotate::pipeline::track::refiner::{Judgement, OUTPUTS, RefinerNetwork, SIDE, normalised};
use annotate::random::seeded;
use annotate::train::average::Average;
use annotate::train::optim::{Gradients, Optimiser};
use annotate::train::recipe::{self, Layers, LearningRateCurve, Rule, Schedule, TrainingStage};
use annotate::train::schedule::{TrainingPoint, learning_rate};

use patch::{Appearance, Cover, Maker, Patch, Placement};

#[derive(Parser)]
struct Arguments {
    /// What to do
    #[arg(long)]
    recipe: PathBuf,
    /// Folder with fer2013/, videos/ and photos/
    #[arg(long)]
    data: PathBuf,
    /// Folder for weights and measures
    #[arg(long)]
    out: PathBuf,
}

/// See `pipelines/faces/recipe.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    seed: u64,
    faces: usize,
    patches: usize,
    batch: usize,
    learning_rate: f64,
    weight_decay: f64,
    warm_up: f64,
    average_decay: f64,
    placement: Placement,
    appearance: Appearance,
    cover: Cover,
}

/// The weight of each output in the loss, and the error beyond which the loss is linear (for measured outputs).
const LOSS: [f64; OUTPUTS] = [1.0, 5.0, 5.0, 4.0, 1.0, 1.5];
const LINEAR_FROM: [f64; OUTPUTS] = [0.0, 0.04, 0.04, 0.05, 0.08, 0.0];
/// Number of patches on which the network is evaluated after training, and of the faces from which they are made.
const MEASURED: usize = 6400;
const MEASURED_FACES: usize = 1500;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let recipe = std::fs::read_to_string(&arguments.recipe).context("the recipe cannot be read")?;
    let recipe: Recipe = toml::from_str(&recipe).context("the recipe is not valid")?;
    std::fs::create_dir_all(&arguments.out)?;
    let fer = arguments.data.join("fer2013");
    let mut faces = material::faces(&fer.join("training_a.png"), recipe.faces)?;
    let more = recipe.faces - faces.len();
    faces.extend(material::faces(&fer.join("training_b.png"), more)?);
    let mut scenes = material::clips(&arguments.data.join("videos"))?;
    scenes.extend(material::photos(&arguments.data.join("photos"))?);
    eprintln!("{} faces, {} pictures without or with known ones", faces.len(), scenes.len());

    let device = Device::Cpu;
    let parameters = Parameters::new(Purpose::Training { seed: recipe.seed }, &device);
    let network = RefinerNetwork::new(&parameters.root())?;
    let variables = parameters.variables();
    // Every patch is new, so the whole training is one epoch.
    let stage = TrainingStage {
        train: Layers::All,
        epochs: 1,
        patience: None,
        freeze_statistics: false,
        optimiser: recipe::OptimiserSettings {
            kind: Rule::Adamw,
            learning_rate: recipe.learning_rate,
            weight_decay: recipe.weight_decay,
            momentum: 0.0,
            nesterov: false,
            sam_rho: 0.0,
        },
        schedule: Schedule { kind: LearningRateCurve::Cosine, warm_up_epochs: recipe.warm_up, ..Schedule::default() },
        augmentation: None,
    };
    let mut optimiser = Optimiser::new(&variables, &stage.optimiser)?;
    let average = Average::new(&variables, recipe.average_decay)?;
    let maker = Maker {
        faces: &faces,
        scenes: &scenes,
        placement: &recipe.placement,
        appearance: &recipe.appearance,
        cover: &recipe.cover,
    };
    let steps = recipe.patches / recipe.batch;
    let weights = arguments.out.join("model.safetensors");
    let dropout = Mutex::new(seeded(recipe.seed, "dropout"));
    let started = Instant::now();
    let mut sums = [0.0f64; OUTPUTS];
    for step in 0..steps {
        let patches = make(&maker, recipe.seed, "training", step * recipe.batch, recipe.batch);
        let (x, targets, counted) = tensors(patches, &device)?;
        let losses = losses(&network.forward(&x, Phase::Training(&dropout))?, &targets, &counted)?;
        for (sum, loss) in sums.iter_mut().zip(losses.to_vec1::<f32>()?) {
            *sum += f64::from(loss);
        }
        let mut gradients = Gradients::default();
        gradients.add(&parameters.backward(&losses.sum_all()?)?, &variables, 1.0)?;
        let point = TrainingPoint { step: step as u64, steps_an_epoch: steps as u64, scores: &[] };
        optimiser.step(&gradients, learning_rate(&stage, point))?;
        average.update(&variables, step as u64)?;
        if (step + 1) % 50 == 0 {
            let means = sums.map(|sum| format!("{:.4}", sum / 50.0)).join(" ");
            eprintln!("step {} of {steps}: {means}  {:.0} s", step + 1, started.elapsed().as_secs_f64());
            sums = [0.0; OUTPUTS];
            std::fs::write(&weights, write_tensors(&average.tensors()?, true)?)?;
        }
    }
    let averaged = average.tensors()?;
    parameters.set(&averaged)?;
    std::fs::write(&weights, write_tensors(&averaged, true)?)?;
    let others = material::faces(&fer.join("publictest.png"), MEASURED_FACES)?;
    let measured = measure(&network, &Maker { faces: &others, ..maker }, recipe.seed)?;
    println!("{measured}");
    std::fs::write(arguments.out.join("measures.txt"), measured)?;
    Ok(())
}

fn make(maker: &Maker, seed: u64, purpose: &str, first: usize, count: usize) -> Vec<Patch> {
    (first..first + count)
        .into_par_iter()
        .map(|index| maker.patch(&mut seeded(seed, &format!("{purpose} {index}"))))
        .collect()
}

fn tensors(patches: Vec<Patch>, device: &Device) -> anyhow::Result<(Tensor, Tensor, Tensor)> {
    let count = patches.len();
    let targets: Vec<f32> = patches.iter().flat_map(|p| p.targets).collect();
    let weights: Vec<f32> = patches.iter().flat_map(|p| p.weights).collect();
    let samples: Vec<f32> = patches.into_iter().flat_map(|p| normalised(p.samples)).collect();
    Ok((
        Tensor::from_vec(samples, (count, SIDE, SIDE, 1), device)?,
        Tensor::from_vec(targets, (count, OUTPUTS), device)?,
        Tensor::from_vec(weights, (count, OUTPUTS), device)?,
    ))
}

/// The mean loss of each output: cross-entropy of the two shares, and for the rest a distance that is quadratic near 0.
fn losses(outputs: &Tensor, targets: &Tensor, weights: &Tensor) -> candle_core::Result<Tensor> {
    let mut losses = Vec::with_capacity(OUTPUTS);
    for index in 0..OUTPUTS {
        let [y, t, w] = [outputs, targets, weights].map(|tensor| tensor.narrow(1, index, 1));
        let (y, t, w) = (y?, t?, w?);
        let loss = if LINEAR_FROM[index] == 0.0 {
            // -t ln s(y) - (1 - t) ln(1 - s(y)), without overflow.
            let softplus = (y.abs()?.neg()?.exp()? + 1.0)?.log()?;
            ((y.relu()? - (&y * &t)?)? + softplus)?
        } else {
            let d = LINEAR_FROM[index];
            (((y - t)?.sqr()? + d * d)?.sqrt()? - d)?
        };
        losses.push(((loss * w)?.mean_all()? * LOSS[index])?);
    }
    Tensor::stack(&losses, 0)
}

fn measure(network: &RefinerNetwork, maker: &Maker, seed: u64) -> anyhow::Result<String> {
    let device = Device::Cpu;
    let mut judged: Vec<(Judgement, [f32; OUTPUTS], [f32; OUTPUTS])> = Vec::new();
    for first in (0..MEASURED).step_by(128) {
        let patches = make(maker, seed, "measuring", first, 128);
        let truths: Vec<_> = patches.iter().map(|p| (p.targets, p.weights)).collect();
        let (x, _, _) = tensors(patches, &device)?;
        let rows: Vec<Vec<f32>> = network.forward(&x, Phase::Inference)?.to_vec2()?;
        for (row, (targets, weights)) in rows.into_iter().zip(truths) {
            let row: [f32; OUTPUTS] = row.try_into().map_err(|_| anyhow::anyhow!("other outputs"))?;
            judged.push((Judgement::from_outputs(&row), targets, weights));
        }
    }
    type Judged = (Judgement, [f32; OUTPUTS], [f32; OUTPUTS]);
    let share = |of: &dyn Fn(&Judged) -> Option<bool>| {
        let (mut yes, mut all) = (0, 0);
        for is in judged.iter().filter_map(of) {
            all += 1;
            yes += usize::from(is);
        }
        100.0 * yes as f64 / all.max(1) as f64
    };
    let mut text = format!("{MEASURED} patches with faces of PublicTest\n");
    for threshold in [0.2, 0.5, 0.8] {
        let found = share(&|(j, t, w)| (w[0] > 0.0 && t[0] > 0.5).then_some(j.face > threshold));
        let invented = share(&|(j, t, w)| (w[0] > 0.0 && t[0] < 0.5).then_some(j.face > threshold));
        text += &format!("face above {threshold}: {found:.2} % of the faces, {invented:.2} % of what is none\n");
    }
    let mut quantiles = |name: &str, of: &dyn Fn(&Judgement, &[f32; OUTPUTS]) -> f32| {
        let mut errors: Vec<f32> =
            judged.iter().filter(|(_, _, w)| w[1] > 0.0).map(|(j, t, _)| of(j, t).abs()).collect();
        errors.sort_by(f32::total_cmp);
        let at = |q: f32| errors[(q * (errors.len() - 1) as f32) as usize];
        text += &format!("{name}: median error {:.3}, 90 % below {:.3}\n", at(0.5), at(0.9));
    };
    quantiles("centre, sides of the expected box", &|j, t| (j.shift.0 - t[1]).hypot(j.shift.1 - t[2]));
    quantiles("size, natural logarithm", &|j, t| j.scale.ln() - t[3]);
    quantiles("roll, degrees", &|j, t| j.roll_degrees - 45.0 * t[4]);
    quantiles("covered share", &|j, t| j.covered - t[5]);
    Ok(text)
}

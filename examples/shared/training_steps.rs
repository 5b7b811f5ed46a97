//! Training steps of the seed's MobileNetV1 on random pictures: forward, loss, backward, AdamW.

use std::io::BufRead as _;
use std::sync::Mutex;
use std::time::Instant;

use annotate::nn::mobilenet::MobileNetConfig;
use annotate::nn::{Architecture, Network, Parameters, Phase, Purpose};
use annotate::picture::Colours;
use annotate::random::seeded;
use annotate::train::optim::{Gradients, Optimiser};
use annotate::train::recipe;
use anyhow::{Context as _, Result, ensure};
use candle_core::{D, Device, Tensor};
use rand::RngExt as _;

/// For each line on standard input, which holds a number of steps, does them and calls `tell` with the average seconds of one and
/// the last loss.
pub fn training_steps(
    device: &Device,
    [batch, side]: [usize; 2],
    colours: Colours,
    mut tell: impl FnMut(f64, f32),
) -> Result<()> {
    let parameters = Parameters::new(Purpose::Training { seed: 1 }, device);
    let network = Network::new(&parameters, &Architecture::MobilenetV1(MobileNetConfig::seed()), colours)?;
    let settings = recipe::OptimiserSettings {
        kind: recipe::Rule::Adamw,
        learning_rate: 1e-3,
        weight_decay: 0.01,
        momentum: 0.0,
        nesterov: false,
        sam_rho: 0.0,
    };
    let variables = parameters.variables();
    let mut optimiser = Optimiser::new(&variables, &settings)?;
    let mut random = seeded(1, "pictures");
    let count = batch * side * side * colours.count();
    let pictures: Vec<f32> = (0..count).map(|_| random.random_range(-1.0..1.0)).collect();
    let pictures = Tensor::from_vec(pictures, (batch, side, side, colours.count()), device)?;
    let targets: Vec<f32> = (0..batch * 7).map(|index| f32::from(index % 7 == index / 7 % 7)).collect();
    let targets = Tensor::from_vec(targets, (batch, 7), device)?;
    let dropout = Mutex::new(seeded(1, "dropout"));
    for line in std::io::stdin().lock().lines() {
        let steps: u32 = line?.trim().parse().context("a number of steps a line")?;
        let (started, mut last) = (Instant::now(), 0.0);
        for _ in 0..steps {
            let logits = network.forward(&pictures, Phase::Training(&dropout))?;
            let log_probabilities = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
            let loss = (log_probabilities * &targets)?.sum(D::Minus1)?.neg()?.mean_all()?;
            last = loss.to_scalar::<f32>()?;
            ensure!(last.is_finite(), "the loss left the numbers");
            let mut gradients = Gradients::default();
            gradients.add(&parameters.backward(&loss)?, &variables, 1.0)?;
            optimiser.step(&gradients, settings.learning_rate)?;
        }
        tell(started.elapsed().as_secs_f64() / f64::from(steps), last);
    }
    Ok(())
}

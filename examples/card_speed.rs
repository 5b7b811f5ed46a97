//! Times inference on a CUDA card; `benches/card.py` compares it with PyTorch.
//!
//!     scripts/cuda.sh cargo run --release --features cuda --example card_speed -- mobilenet_v1|tf_efficientnet_b0 f32|f16|bf16
//!
//! Each line it reads holds a batch size and a number of batches. It answers with the average seconds of one batch,
//! from pictures in the computer's memory to logits there.

use std::io::BufRead as _;
use std::time::Instant;

use annotate::nn::efficientnet::EfficientNetConfig;
use annotate::nn::mobilenet::MobileNetConfig;
use annotate::nn::{Architecture, Network, Parameters, Phase, Purpose};
use annotate::picture::Colours;
use anyhow::Context as _;
use candle_core::{DType, Device, Tensor};

const SIDE: usize = 224;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (architecture, dtype) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mobilenet_v1", dtype] => (Architecture::MobilenetV1(MobileNetConfig::seed()), dtype.parse()?),
        ["tf_efficientnet_b0", dtype] => (Architecture::Efficientnet(EfficientNetConfig::b0()), dtype.parse()?),
        _ => anyhow::bail!("usage: card_speed mobilenet_v1|tf_efficientnet_b0 f32|f16|bf16"),
    };
    let device = Device::new_cuda(0).context("no card that can be used")?;
    let random = Parameters::new(Purpose::Training { seed: 1 }, &device);
    Network::new(&random, &architecture, Colours::Rgb)?;
    let parameters = Parameters::of_type(Purpose::Inference, &device, dtype);
    let network = Network::new(&parameters, &architecture, Colours::Rgb)?;
    parameters.set(&random.tensors()?)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let numbers = line.split_whitespace().map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        let [batch, count] = numbers[..] else { anyhow::bail!("a batch size and a number of batches a line") };
        let pictures = vec![0.5f32; batch * SIDE * SIDE * 3];
        let started = Instant::now();
        for _ in 0..count {
            let x = Tensor::from_slice(&pictures, (batch, SIDE, SIDE, 3), &device)?.to_dtype(dtype)?;
            network.forward(&x, Phase::Inference)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        }
        println!("{}", started.elapsed().as_secs_f64() / count as f64);
    }
    Ok(())
}

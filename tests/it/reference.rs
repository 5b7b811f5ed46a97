//! Our networks give Keras's logits and PyTorch's gradients; the scripts in `tests/reference` say how the fixtures were
//! made.

use std::collections::BTreeMap;

use annotate::nn::efficientnet::{BlockStage, EfficientNetConfig};
use annotate::nn::folded::Folded;
use annotate::nn::mobilenet::{Block, MobileNetConfig};
use annotate::nn::{Architecture, Network, Parameters, Phase, Purpose};
use annotate::picture::Colours;
use candle_core::{DType, Device, Tensor};

/// `count` numbers in [0, 1) that depend on `name` and their index: make.py's `uniform`.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(2_166_136_261u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    (0..count as u32).map(move |index| {
        let mut x = index.wrapping_mul(2_654_435_761).wrapping_add(seed);
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        f64::from(x ^ (x >> 16)) / 4_294_967_296.0
    })
}

/// The tensor `name`: make.py's `value`.
fn value(name: &str, shape: &[usize]) -> Tensor {
    let fan: usize = shape[..shape.len() - 1].iter().product();
    let values: Vec<f32> = uniform(name, shape.iter().product())
        .map(|u| match name {
            _ if name.ends_with("running_var") || name.ends_with("norm.weight") => 0.5 + u,
            _ if name.ends_with("weight") => (u - 0.5) * (24.0 / fan as f64).sqrt(),
            _ => (u - 0.5) * 0.2,
        } as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The same weights and pictures in Keras's networks, and in timm's and a NumPy one. Keras has no Lite networks.
const WITNESSES: [&str; 2] = [include_str!("../reference/logits.json"), include_str!("../reference/timm_logits.json")];

/// Two pictures, and a network with the weights of the formula, which also says how many of them can be trained.
fn subject(architecture: &Architecture, side: usize) -> (Tensor, Network, usize) {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let network = Network::new(&parameters, architecture, Colours::Rgb).unwrap();
    let tensors: BTreeMap<String, Tensor> =
        parameters.variables().iter().map(|(name, var)| (name.clone(), value(name, var.dims()))).collect();
    parameters.set(&tensors).unwrap();
    let trainable = tensors.iter().filter(|(name, _)| !name.contains("running")).map(|(_, t)| t.elem_count()).sum();
    let pixels: Vec<f32> = uniform("pictures", 2 * side * side * 3).map(|u| (u * 2.0 - 1.0) as f32).collect();
    (Tensor::from_vec(pixels, (2, side, side, 3), &Device::Cpu).unwrap(), network, trainable)
}

/// The logits of the network as it learns, and, folded for `device`, of batches of one size that come again.
fn logits(network: &Network, pictures: &Tensor, device: &Device, dtype: DType) -> Vec<Vec<f32>> {
    let folded = Folded::new(&network.layers().unwrap(), 3, dtype, device).unwrap();
    let pictures_there = pictures.to_device(device).unwrap();
    let mut logits: Vec<Tensor> = (0..3).map(|_| folded.logits(&pictures_there).unwrap()).collect();
    if device.is_cpu() {
        logits.push(network.forward(pictures, Phase::Inference).unwrap());
    }
    logits.iter().map(|logits| logits.flatten_all().unwrap().to_vec1().unwrap()).collect()
}

/// Compares with all witnesses; `tolerance` is relative to the largest logit, as the rounding is.
fn check(name: &str, architecture: &Architecture, device: &Device, dtype: DType, tolerance: f32) {
    let witnesses = WITNESSES.map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    let witnesses: Vec<serde_json::Value> = witnesses.into_iter().filter(|witness| !witness[name].is_null()).collect();
    let side = witnesses[0][name]["side"].as_u64().unwrap() as usize;
    let (pictures, network, trainable) = subject(architecture, side);
    let logits = logits(&network, &pictures, device, dtype);
    for witness in &witnesses {
        assert_eq!(trainable as u64, witness[name]["trainable_parameters"].as_u64().unwrap(), "{name}");
        let expected: Vec<[f32; 7]> = serde_json::from_value(witness[name]["logits"].clone()).unwrap();
        let largest = expected.iter().flatten().fold(1f32, |largest, logit| largest.max(logit.abs()));
        let pairs = logits.iter().flat_map(|logits| logits.iter().zip(expected.iter().flatten()));
        for (ours, theirs) in pairs {
            let difference = (ours - theirs).abs();
            assert!(difference <= tolerance * largest, "{name}: {ours} is not {theirs}: {}", witness["made_by"]);
        }
    }
}

fn architectures() -> [(&'static str, Architecture); 4] {
    [
        ("mobilenet_v1", Architecture::MobilenetV1(MobileNetConfig::seed())),
        ("tf_efficientnet_b0", Architecture::Efficientnet(EfficientNetConfig::b0())),
        ("tf_efficientnet_b2", Architecture::Efficientnet(EfficientNetConfig::b2())),
        ("tf_efficientnet_lite0", Architecture::Efficientnet(EfficientNetConfig::lite0())),
    ]
}

fn check_on_the_cpu(name: &str) {
    let (_, architecture) = architectures().into_iter().find(|(other, _)| *other == name).unwrap();
    check(name, &architecture, &Device::Cpu, DType::F32, 1e-4);
}

#[test]
fn the_seeds_mobilenet_gives_keras_and_numpys_logits() {
    check_on_the_cpu("mobilenet_v1");
}

#[test]
fn efficientnet_b0_gives_keras_and_timms_logits() {
    check_on_the_cpu("tf_efficientnet_b0");
}

#[test]
fn efficientnet_b2_gives_keras_and_timms_logits() {
    check_on_the_cpu("tf_efficientnet_b2");
}

#[test]
fn efficientnet_lite0_gives_timms_logits() {
    check_on_the_cpu("tf_efficientnet_lite0");
}

/// The norm of `values` and its two projections: gradients.py's.
fn summary(name: &str, values: &Tensor) -> [f64; 3] {
    let values: Vec<f64> = values.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    let projection = |probe: usize| -> f64 {
        values.iter().zip(uniform(&format!("{name}/{probe}"), values.len())).map(|(v, u)| v * (u - 0.5)).sum()
    };
    [values.iter().map(|v| v * v).sum::<f64>().sqrt(), projection(0), projection(1)]
}

fn check_gradients(name: &str, architecture: &Architecture, device: &Device) {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("../reference/gradients.json")).unwrap();
    let expected = &fixture[name];
    let [side, images] = ["side", "images"].map(|key| expected[key].as_u64().unwrap() as usize);
    let parameters = Parameters::new(Purpose::Training { seed: 0 }, device);
    let network = Network::new(&parameters, architecture, Colours::Luma).unwrap();
    let variables = parameters.variables();
    parameters.set(&variables.iter().map(|(name, var)| (name.clone(), value(name, var.dims()))).collect()).unwrap();

    let pixels: Vec<f32> = uniform("pictures", images * side * side).map(|u| (u * 2.0 - 1.0) as f32).collect();
    let pictures = Tensor::from_vec(pixels, (images, side, side, 1), device).unwrap();
    let random = std::sync::Mutex::new(annotate::random::seeded(0, "dropout"));
    let logits = network.forward(&pictures, Phase::Training(&random)).unwrap();
    let classes: Vec<u32> = (0..images as u32).map(|image| image % 7).collect();
    let loss = candle_nn::loss::cross_entropy(&logits, &Tensor::new(classes, device).unwrap()).unwrap();
    let close = |ours: f64, theirs: f64, scale: f64| (ours - theirs).abs() <= 1e-3 * scale + 1e-6;
    let (ours, theirs) = (f64::from(loss.to_scalar::<f32>().unwrap()), expected["loss"].as_f64().unwrap());
    assert!(close(ours, theirs, 1.0), "{name}: the loss {ours} is not {theirs}");

    let gradients = parameters.backward(&loss).unwrap();
    for (tensor, var) in &variables {
        let (values, kind) = match tensor.contains("running") {
            true => (var.as_detached_tensor(), "running"),
            false => (gradients.get(var).unwrap().clone(), "gradients"),
        };
        let theirs: [f64; 3] = serde_json::from_value(expected[kind][tensor].clone()).unwrap();
        for (ours, theirs_) in summary(tensor, &values).into_iter().zip(theirs) {
            assert!(close(ours, theirs_, theirs[0]), "{name}: {kind} of {tensor}: {ours} is not {theirs_}");
        }
    }
}

fn small_mobilenet() -> Architecture {
    let block = |channels, stride| Block { channels, stride };
    Architecture::MobilenetV1(MobileNetConfig {
        stem_channels: 8,
        stem_stride: 2,
        blocks: vec![block(16, 1), block(20, 2), block(72, 1)],
        feature_units: 12,
        dropout: 0.0,
    })
}

fn small_efficientnet(lite: bool) -> Architecture {
    Architecture::Efficientnet(EfficientNetConfig {
        stem_channels: 8,
        stem_stride: 2,
        stages: vec![
            BlockStage { kernel: 3, stride: 1, expand: 1, channels: 8, repeats: 1 },
            BlockStage { kernel: 5, stride: 2, expand: 6, channels: 12, repeats: 2 },
        ],
        head_channels: 24,
        lite,
        dropout: 0.0,
    })
}

#[test]
fn a_small_mobilenet_gives_pytorchs_gradients() {
    check_gradients("mobilenet_v1", &small_mobilenet(), &Device::Cpu);
}

#[test]
fn a_small_efficientnet_gives_pytorchs_gradients() {
    check_gradients("efficientnet", &small_efficientnet(false), &Device::Cpu);
    check_gradients("efficientnet_lite", &small_efficientnet(true), &Device::Cpu);
}

/// The first card, or why `test` is skipped.
fn card(test: &str) -> Option<Device> {
    if !annotate::kernels::cuda::BUILT {
        eprintln!("skipped: {test} needs the feature cuda");
        return None;
    }
    annotate::kernels::cuda::open(0).inspect_err(|e| eprintln!("skipped: {test} needs a card: {e}")).ok()
}

#[test]
fn networks_give_the_same_logits_on_a_card() {
    let Some(card) = card("networks_give_the_same_logits_on_a_card") else { return };
    for (name, architecture) in architectures() {
        for (dtype, tolerance) in [(DType::F32, 1e-3), (DType::F16, 2e-2), (DType::BF16, 1e-1)] {
            check(name, &architecture, &card, dtype, tolerance);
        }
    }
}

#[test]
fn small_networks_give_pytorchs_gradients_on_a_card() {
    let Some(card) = card("small_networks_give_pytorchs_gradients_on_a_card") else { return };
    check_gradients("mobilenet_v1", &small_mobilenet(), &card);
    check_gradients("efficientnet", &small_efficientnet(false), &card);
    check_gradients("efficientnet_lite", &small_efficientnet(true), &card);
}

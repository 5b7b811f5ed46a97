//! Our networks give Keras's logits and PyTorch's gradients; the scripts in `tests/reference` say how the fixtures were
//! made.

use std::collections::BTreeMap;

use annotate::model::efficientnet::{EfficientNetConfig, Stage};
use annotate::model::mobilenet::{Block, MobileNetConfig};
use annotate::model::{Architecture, Colours, Network, Parameters, Phase, Purpose};
use candle_core::{Device, Tensor};

/// `count` numbers in [0, 1) that depend on `name` and their place: make.py's `uniform`.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(2_166_136_261u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    (0..count as u32).map(move |place| {
        let mut x = place.wrapping_mul(2_654_435_761).wrapping_add(seed);
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

/// The same weights and pictures in Keras's networks, and in timm's and a NumPy one.
const WITNESSES: [&str; 2] = [include_str!("reference/logits.json"), include_str!("reference/timm_logits.json")];

fn check(name: &str, architecture: Architecture) {
    let witnesses: [serde_json::Value; 2] = WITNESSES.map(|text| serde_json::from_str(text).unwrap());
    let expected = &witnesses[0][name];
    let side = expected["side"].as_u64().unwrap() as usize;
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let network = Network::new(&parameters, &architecture, Colours::Rgb).unwrap();
    let tensors: BTreeMap<String, Tensor> =
        parameters.variables().iter().map(|(name, var)| (name.clone(), value(name, var.dims()))).collect();
    parameters.set(&tensors).unwrap();
    let trainable: usize =
        tensors.iter().filter(|(name, _)| !name.contains("running")).map(|(_, t)| t.elem_count()).sum();

    let pixels: Vec<f32> = uniform("pictures", 2 * side * side * 3).map(|u| (u * 2.0 - 1.0) as f32).collect();
    let pictures = Tensor::from_vec(pixels, (2, side, side, 3), &Device::Cpu).unwrap();
    let logits = network.forward(&pictures, Phase::Inference).unwrap().to_vec2::<f32>().unwrap();
    for witness in &witnesses {
        assert_eq!(trainable as u64, witness[name]["trainable_parameters"].as_u64().unwrap(), "{name}");
        let expected: Vec<Vec<f32>> = serde_json::from_value(witness[name]["logits"].clone()).unwrap();
        let largest = expected.iter().flatten().fold(1f32, |largest, logit| largest.max(logit.abs()));
        for (ours, theirs) in logits.iter().flatten().zip(expected.iter().flatten()) {
            // Relative to the largest logit, as the rounding is.
            assert!((ours - theirs).abs() <= 1e-4 * largest, "{name}: {ours} is not {theirs}: {}", witness["made_by"]);
        }
    }
}

#[test]
fn the_seeds_mobilenet_gives_keras_and_numpys_logits() {
    check("mobilenet_v1", Architecture::MobilenetV1(MobileNetConfig::seed()));
}

#[test]
fn efficientnet_b0_gives_keras_and_timms_logits() {
    check("tf_efficientnet_b0", Architecture::Efficientnet(EfficientNetConfig::b0()));
}

#[test]
fn efficientnet_b2_gives_keras_and_timms_logits() {
    check("tf_efficientnet_b2", Architecture::Efficientnet(EfficientNetConfig::b2()));
}

/// The norm of `values` and its two projections: gradients.py's.
fn summary(name: &str, values: &Tensor) -> [f64; 3] {
    let values: Vec<f64> = values.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    let projection = |probe: usize| -> f64 {
        values.iter().zip(uniform(&format!("{name}/{probe}"), values.len())).map(|(v, u)| v * (u - 0.5)).sum()
    };
    [values.iter().map(|v| v * v).sum::<f64>().sqrt(), projection(0), projection(1)]
}

fn check_gradients(name: &str, architecture: Architecture) {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("reference/gradients.json")).unwrap();
    let expected = &fixture[name];
    let [side, images] = ["side", "images"].map(|key| expected[key].as_u64().unwrap() as usize);
    let parameters = Parameters::new(Purpose::Training { seed: 0 }, &Device::Cpu);
    let network = Network::new(&parameters, &architecture, Colours::Luma).unwrap();
    let variables = parameters.variables();
    parameters.set(&variables.iter().map(|(name, var)| (name.clone(), value(name, var.dims()))).collect()).unwrap();

    let pixels: Vec<f32> = uniform("pictures", images * side * side).map(|u| (u * 2.0 - 1.0) as f32).collect();
    let pictures = Tensor::from_vec(pixels, (images, side, side, 1), &Device::Cpu).unwrap();
    let random = std::sync::Mutex::new(annotate::model::parameters::seeded(0, "dropout"));
    let logits = network.forward(&pictures, Phase::Training(&random)).unwrap();
    let classes: Vec<u32> = (0..images as u32).map(|image| image % 7).collect();
    let loss = candle_nn::loss::cross_entropy(&logits, &Tensor::new(classes, &Device::Cpu).unwrap()).unwrap();
    let close = |ours: f64, theirs: f64, scale: f64| (ours - theirs).abs() <= 1e-3 * scale + 1e-6;
    let (ours, theirs) = (f64::from(loss.to_scalar::<f32>().unwrap()), expected["loss"].as_f64().unwrap());
    assert!(close(ours, theirs, 1.0), "{name}: the loss {ours} is not {theirs}");

    let gradients = loss.backward().unwrap();
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

#[test]
fn a_small_mobilenet_gives_pytorchs_gradients() {
    let block = |channels, stride| Block { channels, stride };
    let config = MobileNetConfig {
        stem_channels: 8,
        stem_stride: 2,
        blocks: vec![block(16, 1), block(20, 2), block(72, 1)],
        feature_units: 12,
        dropout: 0.0,
    };
    check_gradients("mobilenet_v1", Architecture::MobilenetV1(config));
}

#[test]
fn a_small_efficientnet_gives_pytorchs_gradients() {
    let config = EfficientNetConfig {
        stem_channels: 8,
        stem_stride: 2,
        stages: vec![
            Stage { kernel: 3, stride: 1, expand: 1, channels: 8, repeats: 1 },
            Stage { kernel: 5, stride: 2, expand: 6, channels: 12, repeats: 2 },
        ],
        head_channels: 24,
        dropout: 0.0,
    };
    check_gradients("efficientnet", Architecture::Efficientnet(config));
}

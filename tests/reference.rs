//! Our networks give Keras's logits: `tests/reference/make.py` says how the fixture was made.

use std::collections::BTreeMap;

use annotate::model::efficientnet::EfficientNetConfig;
use annotate::model::mobilenet::MobileNetConfig;
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

fn check(name: &str, architecture: Architecture) {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("reference/logits.json")).unwrap();
    let expected = &fixture[name];
    let side = expected["side"].as_u64().unwrap() as usize;
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let network = Network::new(&parameters, &architecture, Colours::Rgb).unwrap();
    let tensors: BTreeMap<String, Tensor> =
        parameters.variables().iter().map(|(name, var)| (name.clone(), value(name, var.dims()))).collect();
    parameters.set(&tensors).unwrap();
    let trainable: usize =
        tensors.iter().filter(|(name, _)| !name.contains("running")).map(|(_, t)| t.elem_count()).sum();
    assert_eq!(trainable as u64, expected["trainable_parameters"].as_u64().unwrap(), "{name}");

    let pixels: Vec<f32> = uniform("pictures", 2 * side * side * 3).map(|u| (u * 2.0 - 1.0) as f32).collect();
    let pictures = Tensor::from_vec(pixels, (2, side, side, 3), &Device::Cpu).unwrap();
    let logits = network.forward(&pictures, Phase::Inference).unwrap().to_vec2::<f32>().unwrap();
    let expected: Vec<Vec<f32>> = serde_json::from_value(expected["logits"].clone()).unwrap();
    let largest = expected.iter().flatten().fold(1f32, |largest, logit| largest.max(logit.abs()));
    for (ours, theirs) in logits.iter().flatten().zip(expected.iter().flatten()) {
        // Relative to the largest logit, as the rounding is.
        assert!((ours - theirs).abs() <= 1e-4 * largest, "{name}: {ours} is not {theirs}");
    }
}

#[test]
fn the_seeds_mobilenet_gives_keras_logits() {
    check("mobilenet_v1", Architecture::MobilenetV1(MobileNetConfig::seed()));
}

#[test]
fn efficientnet_b0_gives_keras_logits() {
    check("tf_efficientnet_b0", Architecture::Efficientnet(EfficientNetConfig::b0()));
}

#[test]
fn efficientnet_b2_gives_keras_logits() {
    check("tf_efficientnet_b2", Architecture::Efficientnet(EfficientNetConfig::b2()));
}

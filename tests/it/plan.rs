//! What inference on the CPU computes is what the network computes that is trained.

use std::collections::BTreeMap;

use annotate::infer::{Instructions, Layer, Plan, Precision, Shape};
use annotate::nn::efficientnet::{BlockStage, EfficientNetConfig};
use annotate::nn::mobilenet::{Block, MobileNet, MobileNetConfig};
use annotate::nn::{Architecture, Network, Parameters, Phase, Purpose};
use annotate::picture::Colours;
use annotate::random::seeded;
use candle_core::{Device, Tensor};
use proptest::prelude::*;

/// Sets all tensors to random values: those of a trained network's size, statistics included.
fn randomise(parameters: &Parameters, seed: u64) {
    let mut tensors = BTreeMap::new();
    for (name, var) in parameters.variables() {
        let mut random = seeded(seed, &name);
        let fan = var.elem_count() / var.dims().last().unwrap();
        let range = match name.as_str() {
            _ if name.ends_with("running_var") || name.ends_with("norm.weight") => 0.5..1.5,
            _ if name.ends_with("weight") => -(6.0 / fan as f32).sqrt()..(6.0 / fan as f32).sqrt(),
            _ => -0.1..0.1,
        };
        let values: Vec<f32> = (0..var.elem_count()).map(|_| random.random_range(range.clone())).collect();
        tensors.insert(name, Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap());
    }
    parameters.set(&tensors).unwrap();
}

fn pictures(count: usize, side: usize, colours: usize, seed: u64) -> Vec<f32> {
    let mut random = seeded(seed, "pictures");
    (0..count * side * side * colours).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Largest difference between the plan's and the network's logits, relative to the largest logit above 1.
fn difference(
    architecture: &Architecture,
    side: usize,
    colours: Colours,
    seed: u64,
    instructions: Instructions,
) -> f32 {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let network = Network::new(&parameters, architecture, colours).unwrap();
    randomise(&parameters, seed);
    let pixels = pictures(2, side, colours.count(), seed);
    let plan = network.plan(side, colours, instructions).unwrap();
    let mut found = vec![f32::NAN; 2 * plan.output().len()];
    plan.run(&pixels, &mut found);
    let x = Tensor::from_vec(pixels, (2, side, side, colours.count()), &Device::Cpu).unwrap();
    let expected: Vec<f32> = network.forward(&x, Phase::Inference).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    assert_eq!(found.len(), expected.len());
    found.iter().zip(&expected).fold(0f32, |worst, (f, e)| worst.max((f - e).abs())) / largest
}

fn mobilenet() -> impl Strategy<Value = Architecture> {
    let blocks =
        prop::collection::vec((1usize..70, 1usize..3).prop_map(|(channels, stride)| Block { channels, stride }), 0..5);
    (1usize..40, 1usize..3, blocks, 0usize..30).prop_map(|(stem_channels, stem_stride, blocks, feature_units)| {
        Architecture::MobilenetV1(MobileNetConfig { stem_channels, stem_stride, blocks, feature_units, dropout: 0.1 })
    })
}

fn efficientnet() -> impl Strategy<Value = Architecture> {
    let stage = (prop::sample::select(vec![1usize, 3, 5, 7]), 1usize..3, 1usize..5, 1usize..50, 1usize..3).prop_map(
        |(kernel, stride, expand, channels, repeats)| BlockStage { kernel, stride, expand, channels, repeats },
    );
    (1usize..40, 1usize..3, prop::collection::vec(stage, 0..4), 1usize..70, any::<bool>()).prop_map(
        |(stem_channels, stem_stride, stages, head_channels, lite)| {
            Architecture::Efficientnet(EfficientNetConfig {
                stem_channels,
                stem_stride,
                stages,
                head_channels,
                lite,
                dropout: 0.1,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_agrees_with_the_network_it_is_made_of(
        architecture in prop_oneof![mobilenet(), efficientnet()], side in 8usize..40, is_luma: bool, seed: u64,
    ) {
        let colours = if is_luma { Colours::Luma } else { Colours::Rgb };
        for instructions in Instructions::all() {
            let difference = difference(&architecture, side, colours, seed, instructions);
            prop_assert!(difference < 1e-4, "{}: {difference}", instructions.name());
        }
    }
}

#[test]
fn the_published_networks_agree_at_their_own_sizes() {
    for (architecture, side) in [
        (Architecture::Efficientnet(EfficientNetConfig::b0()), 224),
        (Architecture::MobilenetV1(MobileNetConfig::seed()), 224),
    ] {
        let difference = difference(&architecture, side, Colours::Rgb, 7, Instructions::best());
        assert!(difference < 1e-4, "{architecture:?}: {difference}");
    }
}

#[test]
fn a_result_depends_neither_on_the_batch_nor_on_the_threads() {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let architecture = Architecture::Efficientnet(EfficientNetConfig::scaled(0.5, 0.5));
    let network = Network::new(&parameters, &architecture, Colours::Rgb).unwrap();
    randomise(&parameters, 3);
    let plan = network.plan(64, Colours::Rgb, Instructions::best()).unwrap();
    let pixels = pictures(9, 64, 3, 3);
    let mut one_by_one = Vec::new();
    for picture in pixels.chunks(64 * 64 * 3) {
        let mut logits = vec![0.0; 7];
        plan.run(picture, &mut logits);
        one_by_one.extend(logits);
    }
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut together = vec![f32::NAN; one_by_one.len()];
        pool.install(|| plan.run(&pixels, &mut together));
        assert_eq!(together, one_by_one, "{threads} threads");
    }
}

#[test]
fn an_image_that_threads_share_gives_the_same_numbers() {
    for architecture in
        [Architecture::Efficientnet(EfficientNetConfig::b0()), Architecture::MobilenetV1(MobileNetConfig::seed())]
    {
        let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
        let network = Network::new(&parameters, &architecture, Colours::Rgb).unwrap();
        randomise(&parameters, 4);
        let picture = pictures(1, 224, 3, 4);
        let whole = network.plan(224, Colours::Rgb, Instructions::best()).unwrap();
        let narrow = network.plan(224, Colours::Rgb, Instructions::best()).unwrap().in_bf16();
        for plan in [Some(whole), narrow].into_iter().flatten() {
            let mut alone = vec![f32::NAN; 7];
            plan.run(&picture, &mut alone);
            for threads in [2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut shared = vec![f32::NAN; 7];
                pool.install(|| plan.run(&picture, &mut shared));
                assert_eq!(shared, alone, "{threads} threads, {}", plan.precision());
            }
        }
    }
}

#[test]
fn a_trunk_takes_any_head() {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let config = MobileNetConfig {
        stem_channels: 8,
        stem_stride: 2,
        blocks: vec![Block { channels: 20, stride: 2 }],
        feature_units: 0,
        dropout: 0.0,
    };
    let network = MobileNet::new(&parameters.root(), &config, 1, 14).unwrap();
    randomise(&parameters, 5);
    let shape = Shape { height: 32, width: 32, channels: 1 };
    let whole = Plan::compile(&network.planned().unwrap(), shape).unwrap();
    assert_eq!(whole.output(), Shape { height: 1, width: 1, channels: 14 });
    let mut trunk = network.planned_trunk().unwrap();
    assert_eq!(trunk.pop(), Some(Layer::Mean));
    let map = Plan::compile(&trunk, shape).unwrap();
    assert_eq!(map.output(), Shape { height: 8, width: 8, channels: 20 });
    let mut values = vec![f32::NAN; map.output().len()];
    map.run(&pictures(1, 32, 1, 5), &mut values);
    assert!(values.iter().all(|v| (0.0..=6.0).contains(v)));
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let config = MobileNetConfig::seed();
    let network = MobileNet::new(&parameters.root(), &config, 3, 7).unwrap();
    let layers = network.planned().unwrap();
    let refusal = Plan::compile(&layers, Shape { height: 32, width: 32, channels: 1 }).unwrap_err().to_string();
    assert_eq!(refusal, "layer 0: 864 weights do not fit 9 channels in and 32 out");
    assert!(Plan::compile(&layers[1..], Shape { height: 32, width: 32, channels: 3 }).is_err());
    assert!(Plan::compile(&layers, Shape { height: 0, width: 32, channels: 3 }).is_err());
}

#[test]
fn bfloat16_is_near_and_says_so() {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let architecture = Architecture::Efficientnet(EfficientNetConfig::b0());
    let network = Network::new(&parameters, &architecture, Colours::Rgb).unwrap();
    randomise(&parameters, 9);
    let plan = || network.plan(96, Colours::Rgb, Instructions::best()).unwrap();
    assert_eq!(plan().precision(), Precision::F32);
    let Some(narrow) = plan().in_bf16() else {
        println!("skipped: bfloat16_is_near_and_says_so (this CPU has no AVX512-BF16)");
        return;
    };
    assert_eq!(narrow.precision(), Precision::Bf16);
    let pixels = pictures(3, 96, 3, 9);
    let [mut wide_logits, mut narrow_logits] = [vec![f32::NAN; 21], vec![f32::NAN; 21]];
    plan().run(&pixels, &mut wide_logits);
    narrow.run(&pixels, &mut narrow_logits);
    let largest = wide_logits.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    for (wide, narrow) in wide_logits.iter().zip(&narrow_logits) {
        assert!((wide - narrow).abs() < 0.03 * largest, "{wide_logits:?} {narrow_logits:?}");
    }
    assert_ne!(wide_logits, narrow_logits);
}

#[test]
fn instructions_other_than_the_best_have_no_bfloat16() {
    let parameters = Parameters::new(Purpose::Inference, &Device::Cpu);
    let architecture = Architecture::MobilenetV1(MobileNetConfig::seed());
    let network = Network::new(&parameters, &architecture, Colours::Rgb).unwrap();
    for instructions in Instructions::all().into_iter().skip(1) {
        assert!(network.plan(32, Colours::Rgb, instructions).unwrap().in_bf16().is_none(), "{}", instructions.name());
    }
}

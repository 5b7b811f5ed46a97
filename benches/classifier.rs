//! The networks on the CPU for every batch, number of threads and precision, beside the processor's peak.
//!
//! `cargo bench --bench classifier [FILTER]`. The items counted are floating-point operations, so Gitem/s means
//! GFLOP/s, and a network's share of the peak is the quotient of two lines of one run.

use std::fmt;
use std::hint::black_box;

use annotate::infer::Precision;
use annotate::model::{Input, Model, ModelError, registry};
use annotate::nn::Architecture;
use annotate::nn::efficientnet::EfficientNetConfig;
use annotate::nn::face_mesh::{COLOURS, FaceMesh, SIDE};
use annotate::nn::mobilenet::MobileNetConfig;
use candle_core::Device;
use divan::Bencher;
use divan::counter::ItemsCount;
use pulp::{Arch, Simd, WithSimd};
use rayon::ThreadPoolBuilder;

fn main() {
    divan::main();
}

#[derive(Clone, Copy)]
enum Network {
    Default,
    EfficientNetB0,
    MobileNetV1,
}

#[derive(Clone, Copy)]
struct Case {
    network: Network,
    precision: Precision,
    threads: usize,
    batch: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let network = match self.network {
            Network::Default => "default, 48 pixels",
            Network::EfficientNetB0 => "EfficientNet-B0, 224 pixels",
            Network::MobileNetV1 => "MobileNetV1, 224 pixels",
        };
        write!(f, "{network}, {}, threads {}, batch {}", self.precision, self.threads, self.batch)
    }
}

impl Case {
    /// The network; an error if the machine does not support the precision.
    fn model(&self) -> Result<Model, ModelError> {
        let untrained = |architecture| {
            Model::untrained(architecture, Input::rgb(224), 0, &Device::Cpu).expect("the network is made")
        };
        let model = match self.network {
            Network::Default => registry::open("default".as_ref(), &Device::Cpu).expect("the built-in model reads"),
            Network::EfficientNetB0 => untrained(Architecture::Efficientnet(EfficientNetConfig::b0())),
            Network::MobileNetV1 => untrained(Architecture::MobilenetV1(MobileNetConfig::seed())),
        };
        model.with_precision(self.precision)
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for network in [Network::Default, Network::EfficientNetB0, Network::MobileNetV1] {
        for precision in [Precision::F32, Precision::Bf16] {
            for threads in [1, 2] {
                cases.extend([1, 8, 32].map(|batch| Case { network, precision, threads, batch }));
            }
        }
    }
    cases.retain(|case| case.model().is_ok());
    cases
}

#[divan::bench(args = cases(), max_time = 2)]
fn classify(bencher: Bencher, case: &Case) {
    let model = case.model().expect("the case is there");
    let Input { side, colours, .. } = &model.config().input;
    let pictures = vec![100.0; case.batch * side * side * colours.count()];
    let pool = ThreadPoolBuilder::new().num_threads(case.threads).build().expect("threads start");
    bencher
        .counter(ItemsCount::new(case.batch as u64 * model.operations() as u64))
        .with_inputs(|| pictures.clone())
        .bench_values(|pictures| pool.install(|| model.logits(pictures)).expect("the network runs"));
}

/// Fused multiply-adds on numbers that never leave their registers: the peak of one core.
#[divan::bench]
fn peak(bencher: Bencher) {
    const REPEATS: u64 = 100_000;
    const SUMS: u64 = 16;
    struct MultiplyAdds;
    impl WithSimd for MultiplyAdds {
        /// The sum, and how many numbers a register holds.
        type Output = (f32, u64);
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let factor = simd.splat_f32s(black_box(0.999));
            let mut sums = [factor; SUMS as usize];
            for _ in 0..REPEATS {
                for sum in &mut sums {
                    *sum = simd.mul_add_f32s(*sum, factor, factor);
                }
            }
            (sums.iter().map(|sum| simd.reduce_sum_f32s(*sum)).sum(), S::F32_LANES as u64)
        }
    }
    let (_, lanes) = Arch::new().dispatch(MultiplyAdds);
    bencher.counter(ItemsCount::new(2 * REPEATS * SUMS * lanes)).bench(|| Arch::new().dispatch(MultiplyAdds));
}

/// The face mesh on one picture, in this thread.
#[divan::bench(max_time = 2)]
fn face_mesh(bencher: Bencher) {
    let network = FaceMesh::built_in().expect("the built-in network reads");
    let picture: Vec<f32> = (0..SIDE * SIDE * COLOURS).map(|index| (index * 31 % 256) as f32 / 255.0).collect();
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| network.run(divan::black_box(&picture)));
}

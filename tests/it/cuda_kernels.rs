//! The CUDA kernels compute what the CPU's do: `tests/cuda/emulate.cpp` runs them without a card, in the blocks and threads
//! they are launched with.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use annotate::kernels::launch::{self, GROUP, LaunchGrid};
use annotate::kernels::train::batch_norm::{self, Statistics};
use annotate::kernels::train::update::{self, Adam, Sgd};
use annotate::kernels::train::{depthwise, patches, pool};
use annotate::kernels::{Activation, Window, folded};
use annotate::random::seeded;
use rand::RngExt as _;

/// Type of the kernels' tensors, and by how much a result may be off: their rounding.
const TYPES: [(&str, f32); 3] = [("f32", 1e-4), ("f16", 1e-2), ("bf16", 6e-2)];
const EPS: f32 = 1e-3;

struct Emulator {
    process: Child,
    answers: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Emulator {
    /// `None` where there is no C++ compiler.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("emulate");
        let compiled = Command::new("c++")
            .args(["-std=c++20", "-O1", "-pthread", "-I", "tests/cuda", "-o"])
            .arg(&program)
            .arg("tests/cuda/emulate.cpp")
            .output();
        let Ok(compiled) = compiled else {
            eprintln!("skipped: cuda_kernels_compute_what_the_cpus_do needs a C++ compiler");
            return None;
        };
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let mut process = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Some(Self { process, answers, _folder: folder })
    }

    /// Runs a kernel; `count` is the length of what it writes.
    fn run(&mut self, kernel: &str, grid: LaunchGrid, arguments: &[&dyn Argument], count: usize) -> Vec<f32> {
        let (blocks, threads) = (grid.blocks, grid.threads);
        let mut words = format!("{kernel} {} {} {}", blocks.0, blocks.1, blocks.2);
        words += &format!(" {} {} {}", threads.0, threads.1, threads.2);
        for argument in arguments {
            words += " ";
            words += &argument.words();
        }
        writeln!(self.process.stdin.as_mut().unwrap(), "{words} {count}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

trait Argument {
    fn words(&self) -> String;
}

impl Argument for u32 {
    fn words(&self) -> String {
        self.to_string()
    }
}

impl Argument for f32 {
    fn words(&self) -> String {
        self.to_string()
    }
}

impl Argument for Vec<f32> {
    fn words(&self) -> String {
        let values: Vec<String> = self.iter().map(f32::to_string).collect();
        format!("{} {}", self.len(), values.join(" "))
    }
}

/// With its channels.
impl Argument for (Window, usize) {
    fn words(&self) -> String {
        let (w, channels) = self;
        let [top, left] = [w.top(), w.left()];
        format!(
            "{} {} {} {} {channels} {} {} {top} {left}",
            w.height,
            w.width,
            w.out_height(),
            w.out_width(),
            w.kernel,
            w.stride
        )
    }
}

fn random(count: usize, name: &str) -> Vec<f32> {
    let mut random = seeded(3, name);
    // Few bits, so that every type holds them exactly.
    (0..count).map(|_| random.random_range(-64i8..64) as f32 / 64.0).collect()
}

fn assert_close(kernel: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{kernel}");
    let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance * largest, "{kernel}, {index}: {found} is not {expected}");
    }
}

fn summed(emulator: &mut Emulator, kind: &str, partial: Vec<f32>, pieces: u32) -> Vec<f32> {
    let count = partial.len() as u32 / pieces;
    let name = format!("sum_pieces_{kind}");
    emulator.run(&name, launch::elements(count), &[&count, &pieces, &partial], count as usize)
}

/// Kernels, strides, odd sizes, channels that fill a block of 32 and not.
fn windows() -> impl Iterator<Item = (Window, usize)> {
    [(3, 1, 6, 5, 3), (3, 2, 7, 7, 33), (3, 2, 6, 8, 2), (5, 1, 4, 5, 2), (5, 2, 9, 5, 4), (1, 1, 3, 2, 5)]
        .into_iter()
        .map(|(kernel, stride, height, width, channels)| (Window { height, width, kernel, stride }, channels))
}

fn check_depthwise_and_patches(emulator: &mut Emulator) {
    for (window, channels) in windows() {
        let size = 2 * window.height * window.width * channels;
        let x = random(size, "x");
        let weights = random(window.kernel * window.kernel * channels, "weights");
        let y = depthwise::forward(&x, &weights, channels, &window);
        let dy = random(y.len(), "dy");
        for (kind, tolerance) in TYPES {
            let w = (window, channels);
            let all = |count: usize| (launch::elements(count as u32), count as u32);
            let mut check = |kernel: &str, arguments: &[&dyn Argument], expected: &[f32]| {
                let (grid, count) = all(expected.len());
                let name = format!("{kernel}_{kind}");
                let arguments: Vec<&dyn Argument> =
                    [&count as &dyn Argument].into_iter().chain(arguments.iter().copied()).collect();
                let found = emulator.run(&name, grid, &arguments, expected.len());
                assert_close(&format!("{name} {window:?}"), &found, expected, tolerance);
            };
            check("depthwise", &[&w, &x, &weights], &y);
            let dx = depthwise::input_gradient(&dy, &weights, channels, &window);
            check("depthwise_input", &[&w, &dy, &weights], &dx);
            check("patches", &[&w, &x], &patches::gather(&x, channels, &window));

            let pixels = (dy.len() / channels) as u32;
            let taps = window.kernel * window.kernel;
            let grid = launch::columns(channels, taps, pixels);
            let partial = emulator.run(
                &format!("depthwise_weights_{kind}"),
                grid,
                &[&pixels, &w, &x, &dy],
                grid.blocks.2 as usize * taps * channels,
            );
            let found = summed(emulator, kind, partial, grid.blocks.2);
            let expected = depthwise::weight_gradient(&x, &dy, channels, &window);
            assert_close(&format!("depthwise_weights_{kind} {window:?}"), &found, &expected, tolerance);
        }
    }
}

const ACTIVATIONS: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Silu];

/// What inference runs, on groups of channels.
fn check_folded_layers(emulator: &mut Emulator) {
    for (window, groups) in windows() {
        let channels = groups * GROUP;
        let (images, pixels) = (2, window.height * window.width);
        let x = random(images * pixels * channels, "x");
        let weights = random(window.kernel * window.kernel * channels, "weights");
        let (bias, shortcut) = (random(channels, "bias"), random(x.len(), "shortcut"));
        let logits = random(images * channels, "logits");
        let (w, p, c) = ((window, channels), pixels as u32, channels as u32);
        for (kind, tolerance) in TYPES {
            let mut check = |kernel: &str, arguments: &[&dyn Argument], expected: &[f32]| {
                let count = (expected.len() / GROUP) as u32;
                let name = format!("{kernel}_{kind}");
                let arguments: Vec<&dyn Argument> =
                    [&count as &dyn Argument].into_iter().chain(arguments.iter().copied()).collect();
                let found = emulator.run(&name, launch::elements(count), &arguments, expected.len());
                assert_close(&format!("{name} {window:?}"), &found, expected, tolerance);
            };
            check("gate", &[&p, &c, &x, &logits, &bias], &folded::gate(&x, &logits, &bias, pixels));
            for activation in ACTIVATIONS {
                let number = activation.number();
                let expected = folded::depthwise(&x, &weights, &bias, activation, &window);
                check("depthwise_bias", &[&w, &x, &weights, &bias, &number], &expected);
                let expected = folded::finish(x.clone(), &bias, activation, None);
                check("finish", &[&c, &x, &bias, &number], &expected);
                let expected = folded::finish(x.clone(), &bias, activation, Some(&shortcut));
                check("finish_and_add", &[&c, &x, &bias, &number, &shortcut], &expected);
            }
        }
    }
}

/// Three steps of each optimiser, and of an average.
fn check_optimisers(emulator: &mut Emulator) {
    let length = 300;
    let (gradient, start) = (random(length, "gradient"), random(length, "values"));
    let n = length as u32;
    let grid = launch::elements(n);
    for (decay, keep) in [(0.0, 0.99), (0.01, 1.0)] {
        let adam = Adam { betas: [0.9, 0.999], rate: 1e-2, second_correction: 3.0, eps: 1e-8, decay, keep };
        let (mut values, mut state) = (start.clone(), vec![0.0; 2 * length]);
        let (mut values_there, mut state_there) = (start.clone(), vec![0.0; 2 * length]);
        for _ in 0..3 {
            adam.remember(&mut state, &gradient, &values);
            adam.step(&mut values, &state);
            let arguments: [&dyn Argument; 7] =
                [&n, &gradient, &values_there, &adam.betas[0], &adam.betas[1], &decay, &state_there];
            state_there = emulator.run("adam_state", grid, &arguments, 2 * length);
            let arguments: [&dyn Argument; 7] =
                [&n, &state_there, &adam.rate, &adam.second_correction, &adam.eps, &keep, &values_there];
            values_there = emulator.run("adam_step", grid, &arguments, length);
        }
        assert_close("adam_state", &state_there, &state, 1e-6);
        assert_close("adam_step", &values_there, &values, 1e-6);
    }
    for nesterov in [false, true] {
        let sgd = Sgd { rate: 1e-2, momentum: 0.9, nesterov, decay: 0.01 };
        let (mut values, mut velocity) = (start.clone(), vec![0.0; length]);
        let (mut values_there, mut velocity_there) = (start.clone(), vec![0.0; length]);
        let [of_gradient, of_velocity] = sgd.shares();
        for _ in 0..3 {
            sgd.remember(&mut velocity, &gradient, &values);
            sgd.step(&mut values, &gradient, &velocity);
            let arguments: [&dyn Argument; 6] =
                [&n, &gradient, &values_there, &sgd.momentum, &sgd.decay, &velocity_there];
            velocity_there = emulator.run("sgd_state", grid, &arguments, length);
            let arguments: [&dyn Argument; 8] =
                [&n, &gradient, &velocity_there, &sgd.rate, &of_gradient, &of_velocity, &sgd.decay, &values_there];
            values_there = emulator.run("sgd_step", grid, &arguments, length);
        }
        assert_close("sgd_state", &velocity_there, &velocity, 1e-6);
        assert_close("sgd_step", &values_there, &values, 1e-6);
    }
    let mut average = start.clone();
    update::blend(&mut average, &gradient, [0.9, 0.1]);
    let arguments: [&dyn Argument; 5] = [&n, &gradient, &0.9f32, &0.1f32, &start];
    assert_close("blend", &emulator.run("blend", grid, &arguments, length), &average, 1e-6);
}

fn check_normalisation(emulator: &mut Emulator) {
    // Of the second, sums have more than one piece, the last one shorter.
    for (rows, channels) in [(5usize, 35usize), (523, 3)] {
        let (x, dy) = (random(rows * channels, "x"), random(rows * channels, "dy"));
        let (gamma, beta) = (random(channels, "gamma"), random(channels, "beta"));
        let statistics = Statistics::of(&x, channels, EPS);
        let norm = [&gamma[..], &beta, &statistics.mean, &statistics.variance].concat();
        let (r, c, n) = (rows as u32, channels as u32, x.len() as u32);
        let grid = launch::column_pieces(channels, r);
        let pieces = grid.blocks.1;
        let partial = pieces as usize * 2 * channels;
        for (kind, tolerance) in TYPES {
            let sums = emulator.run(&format!("column_sums_{kind}"), grid, &[&r, &c, &x], partial);
            let found = emulator.run("moments", launch::elements(c), &[&c, &pieces, &r, &sums], 2 * channels);
            let expected = [&statistics.mean[..], &statistics.variance].concat();
            assert_close(&format!("column_sums_{kind}"), &found, &expected, 1e-5);
            for activation in ACTIVATIONS {
                let number = activation.number();
                let arguments: [&dyn Argument; 6] = [&n, &c, &x, &norm, &EPS, &number];
                let found = emulator.run(&format!("normalise_{kind}"), launch::elements(n), &arguments, x.len());
                let expected = batch_norm::forward(&x, &gamma, &beta, &statistics, activation);
                assert_close(&format!("normalise_{kind} {activation:?}"), &found, &expected, tolerance);

                let arguments: [&dyn Argument; 7] = [&r, &c, &x, &dy, &norm, &EPS, &number];
                let sums = emulator.run(&format!("norm_sums_{kind}"), grid, &arguments, partial);
                let sums = summed(emulator, "f32", sums, pieces);
                for of_batch in [true, false] {
                    let expected = batch_norm::backward(&x, &dy, &gamma, &beta, &statistics, activation, of_batch);
                    let affine = [&expected.gamma[..], &expected.beta].concat();
                    assert_close(&format!("norm_sums_{kind} {activation:?}"), &sums, &affine, 1e-4);
                    let share = if of_batch { 1.0 / rows as f32 } else { 0.0 };
                    let arguments: [&dyn Argument; 9] = [&n, &c, &x, &dy, &norm, &sums, &share, &EPS, &number];
                    let found = emulator.run(&format!("norm_input_{kind}"), launch::elements(n), &arguments, x.len());
                    assert_close(&format!("norm_input_{kind} {activation:?}"), &found, &expected.x, tolerance);
                }
            }
        }
    }
}

fn check_pooling_and_scaling(emulator: &mut Emulator) {
    // More pixels than a block has rows of threads.
    let (images, pixels, channels) = (3usize, 21usize, 50usize);
    let (p, c) = (pixels as u32, channels as u32);
    let (x, dy) = (random(images * pixels * channels, "x"), random(images * pixels * channels, "dy"));
    let factors = random(images * channels, "factors");
    for (kind, tolerance) in TYPES {
        let mut check = |kernel: &str, inputs: &[&Vec<f32>], expected: Vec<f32>| {
            let n = expected.len() as u32;
            let mut arguments: Vec<&dyn Argument> = vec![&n, &p, &c];
            arguments.extend(inputs.iter().map(|input| *input as &dyn Argument));
            let name = format!("{kernel}_{kind}");
            let found = emulator.run(&name, launch::elements(n), &arguments, expected.len());
            assert_close(&name, &found, &expected, tolerance);
        };
        check("mean_input", &[&factors], pool::mean_gradient(&factors, pixels, channels));
        check("scale", &[&x, &factors], pool::scale(&x, &factors, pixels, channels));
        check("scale_factors", &[&x, &dy], pool::scale_gradient(&x, &dy, pixels, channels));
        let (grid, expected) = (launch::image_columns(channels, images as u32), pool::mean(&x, pixels, channels));
        let found = emulator.run(&format!("mean_{kind}"), grid, &[&p, &c, &x], expected.len());
        assert_close(&format!("mean_{kind}"), &found, &expected, tolerance);
    }
}

/// One test, as the emulator is compiled for each.
#[test]
fn cuda_kernels_compute_what_the_cpus_do() {
    let Some(mut emulator) = Emulator::new() else { return };
    check_depthwise_and_patches(&mut emulator);
    check_folded_layers(&mut emulator);
    check_normalisation(&mut emulator);
    check_optimisers(&mut emulator);
    check_pooling_and_scaling(&mut emulator);
}

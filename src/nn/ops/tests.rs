//! Every gradient against finite differences, and every fused operation against its parts.

use candle_core::{Device, Shape, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn random(shape: impl Into<Shape>, seed: u64) -> Tensor {
    let shape = shape.into();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.elem_count()).map(|_| random.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Compares the gradient of `sum(f(inputs) * weights)` with central differences, for every element of every input.
fn check_gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) {
    check_gradients_in(&TrainingWorkspace::default(), inputs, f);
}

/// The same for what computes in `workspace`.
fn check_gradients_in(workspace: &TrainingWorkspace, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors);
    let weights = random(y.shape().clone(), 99);
    let gradients = workspace.backward(&(&y * &weights).unwrap().sum_all().unwrap()).unwrap();
    let objective = |inputs: &[Tensor]| -> f64 {
        let y = f(inputs).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let weights = weights.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    const STEP: f32 = 1e-2;
    for (number, (input, var)) in inputs.iter().zip(&vars).enumerate() {
        let gradient = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let values = input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for index in 0..values.len() {
            let moved = |by: f32| {
                let mut values = values.clone();
                values[index] += by;
                let mut inputs = inputs.to_vec();
                inputs[number] = Tensor::from_vec(values, input.shape(), &Device::Cpu).unwrap();
                objective(&inputs)
            };
            let numeric = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            let error = (numeric - f64::from(gradient[index])).abs();
            assert!(
                error < 2e-2 * (1.0 + numeric.abs()),
                "input {number}, element {index}: {numeric} against {}",
                gradient[index]
            );
        }
    }
}

#[test]
fn depthwise_gradients_agree_with_finite_differences() {
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
        for (height, width) in [(6, 6), (5, 7)] {
            let inputs = [random((2, height, width, 3), 1), random((kernel, kernel, 3), 2)];
            check_gradients(&inputs, |i| depthwise(&i[0], &i[1], stride).unwrap());
        }
    }
}

#[test]
fn batch_norm_gradients_agree_with_finite_differences() {
    let inputs = [random((2, 3, 3, 2), 1), random(2, 2), random(2, 3)];
    check_gradients(&inputs, |i| normalise_by_batch(&i[0], &i[1], &i[2], 1e-3, Activation::Silu).unwrap().0);
    let [mean, variance] = [[0.1f32, -0.2], [0.5, 2.0]].map(|values| Tensor::new(&values, &Device::Cpu).unwrap());
    check_gradients(&inputs, |i| {
        let norm = Norm { gamma: &i[1], beta: &i[2], mean: &mean, variance: &variance, eps: 1e-3 };
        normalise(&i[0], norm, Activation::Silu).unwrap()
    });
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
}

fn multiplied(rows: &Tensor, weights: &Tensor) -> Tensor {
    let (images, height, width, from) = rows.dims4().unwrap();
    let y = rows.reshape((images * height * width, from)).unwrap().matmul(weights).unwrap();
    y.reshape((images, height, width, weights.dim(1).unwrap())).unwrap()
}

#[test]
fn a_fused_layer_is_its_parts_one_after_the_other() {
    for (inputs, reach) in layers() {
        let [x, weights, gamma, beta] = &inputs[..] else { unreachable!() };
        let act = Activation::Relu6;
        let z = match reach {
            Reach::Depthwise { stride, .. } => depthwise(x, weights, stride).unwrap(),
            Reach::Pointwise => multiplied(x, weights),
            Reach::Dense { kernel, stride } => multiplied(&patches(x, kernel, stride).unwrap(), weights),
        };
        let (parts, moments) = normalise_by_batch(&z, gamma, beta, 1e-3, act).unwrap();
        let layer = FusedLayer { weights, reach, gamma, beta, eps: 1e-3, activation: act };
        let (fused, fused_moments) = convolve_normalise(x, &[layer], &TrainingWorkspace::default()).unwrap();
        let [fused_moments] = &fused_moments[..] else { unreachable!() };
        assert!(difference(&parts, &fused) < 1e-4, "{reach:?}");
        assert!(difference(&moments.mean, &fused_moments.mean) < 1e-5);
        assert!(difference(&moments.variance, &fused_moments.variance) < 1e-5);
        let norm = Norm { gamma, beta, mean: &moments.mean, variance: &moments.variance, eps: 1e-3 };
        assert!(difference(&parts, &normalise(&z, norm, act).unwrap()) < 1e-5);
    }
}

/// Every kind of layer, on a picture with an odd and an even side.
fn layers() -> Vec<(Vec<Tensor>, Reach)> {
    let affine = |channels: usize| [random(channels, 3), random(channels, 4)];
    let layer = |from: usize, weights: Tensor, to: usize, reach| {
        let [gamma, beta] = affine(to);
        (vec![random((2, 5, 4, from), 1), weights, gamma, beta], reach)
    };
    let mut layers = vec![layer(3, random((3, 5), 2), 5, Reach::Pointwise)];
    for (kernel, stride) in [(1, 2), (3, 1), (3, 2), (5, 2)] {
        let dense = random((kernel * kernel * 3, 5), 2);
        layers.push(layer(3, dense, 5, Reach::Dense { kernel, stride }));
        layers.push(layer(3, random((kernel, kernel, 3), 2), 3, Reach::Depthwise { kernel, stride }));
    }
    layers
}

#[test]
fn fused_layers_gradients_agree_with_finite_differences() {
    for (inputs, reach) in layers() {
        let workspace = TrainingWorkspace::default();
        check_gradients_in(&workspace, &inputs, |i| {
            convolve_normalise(&i[0], &[fused(i, reach)], &workspace).unwrap().0
        });
    }
}

/// With weights, gamma and beta after the picture.
fn fused(inputs: &[Tensor], reach: Reach) -> FusedLayer<'_> {
    let [.., weights, gamma, beta] = inputs else { unreachable!() };
    FusedLayer { weights, reach, gamma, beta, eps: 1e-1, activation: Activation::Silu }
}

/// The result, the gradients of `sum(result * weights)` and the statistics.
fn all_that_a_step_gives(
    workspace: &TrainingWorkspace,
    inputs: &[Tensor],
    f: impl Fn(&[Tensor]) -> (Tensor, Vec<Moments>),
) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let (y, moments) = f(&tensors);
    let loss = (&y * random(y.shape().clone(), 99)).unwrap().sum_all().unwrap();
    let gradients = workspace.backward(&loss).unwrap();
    let gradients: Vec<Tensor> = vars.iter().map(|var| gradients.get(var).unwrap().clone()).collect();
    [vec![y.detach()], gradients, moments.into_iter().flat_map(|m| [m.mean, m.variance]).collect()].concat()
}

#[test]
fn layers_in_a_row_are_the_layers_one_after_the_other() {
    let reaches = [Reach::Dense { kernel: 3, stride: 2 }, Reach::Depthwise { kernel: 3, stride: 1 }, Reach::Pointwise];
    let shapes: [Shape; 3] = [(27, 5).into(), (3, 3, 5).into(), (5, 4).into()];
    let mut inputs = vec![random((2, 7, 6, 3), 1)];
    for (seed, (shape, to)) in shapes.into_iter().zip([5, 5, 4]).enumerate() {
        inputs.extend([random(shape, 10 * seed as u64 + 2), random(to, 10 * seed as u64 + 3), random(to, 4)]);
    }
    // What an earlier step has left in the memory does not matter.
    let workspace = TrainingWorkspace::default();
    let in_a_row = |i: &[Tensor]| {
        let layers: Vec<_> = (0..3).map(|layer| fused(&i[1 + 3 * layer..][..3], reaches[layer])).collect();
        convolve_normalise(&i[0], &layers, &workspace).unwrap()
    };
    let one_by_one = |i: &[Tensor]| {
        (0..3).fold((i[0].clone(), Vec::new()), |(x, mut moments), layer| {
            let layer = fused(&i[1 + 3 * layer..][..3], reaches[layer]);
            let (y, own) = convolve_normalise(&x, &[layer], &workspace).unwrap();
            moments.extend(own);
            (y, moments)
        })
    };
    check_gradients_in(&workspace, &inputs, |i| in_a_row(i).0);
    let expected = all_that_a_step_gives(&workspace, &inputs, one_by_one);
    for (one, other) in all_that_a_step_gives(&workspace, &inputs, in_a_row).iter().zip(&expected) {
        assert!(difference(one, other) < 1e-5);
    }
}

#[test]
fn pooling_and_scaling_gradients_agree_with_finite_differences() {
    let inputs = [random((2, 3, 2, 3), 1), random((2, 3), 2)];
    check_gradients(&inputs, |i| scale_channels(&i[0], &i[1]).unwrap());
    check_gradients(&inputs[..1], |i| global_mean(&i[0]).unwrap());
}

#[test]
fn depthwise_equals_candles_grouped_convolution() {
    // Candle pads symmetrically, so only stride 1 is comparable; 19 channels take both the blocked and the rest path.
    let (x, w) = (random((2, 7, 5, 19), 1), random((3, 3, 19), 2));
    let ours = depthwise(&x, &w, 1).unwrap();
    let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    let w = w.permute((2, 0, 1)).unwrap().unsqueeze(1).unwrap().contiguous().unwrap();
    let theirs = x.conv2d(&w, 1, 1, 1, 19).unwrap().permute((0, 2, 3, 1)).unwrap();
    assert!(difference(&ours, &theirs) < 1e-5);
}

#[test]
fn a_window_that_does_not_fit_the_weights_is_an_error() {
    assert!(depthwise(&random((1, 4, 4, 3), 1), &random((3, 3, 2), 2), 1).is_err());
}

//! Candle operations for what Candle 0.11 has no fast form of, on NHWC tensors, with gradients.
//!
//! Candle's grouped convolution loops over channels; these call [`crate::infer::kernels`] instead. On the CPU only.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use crate::infer::kernels::batch_norm::{self, Statistics};
use crate::infer::kernels::{Activation, Window, depthwise, patches, pool};

/// Depthwise convolution with SAME padding: `x` `[images, height, width, channels]`, `weights`
/// `[kernel, kernel, channels]`, result `[images, out_height, out_width, channels]`.
pub fn depthwise(x: &Tensor, weights: &Tensor, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weights.contiguous()?, Depthwise { stride })
}

/// Windows of `x` `[images, height, width, channels]` as rows:
/// `[images, out_height, out_width, kernel * kernel * channels]`. No gradient: it stands before the first layer.
pub fn patches(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Patches { kernel, stride })
}

/// Mean over height and width: `[images, height, width, channels]` to `[images, channels]`.
pub fn global_mean(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(GlobalMean)
}

/// `x` `[images, height, width, channels]` times `scale` `[images, channels]`.
pub fn scale_channels(x: &Tensor, scale: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&scale.contiguous()?, ScaleChannels)
}

/// Batch normalisation of the last dimension, then `activation`, with known statistics.
pub fn normalise(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    statistics: Statistics,
    activation: Activation,
) -> Result<Tensor> {
    let statistics = OnceLock::from(statistics);
    let op = BatchNorm { eps: 0.0, activation, of_batch: false, statistics: Arc::new(statistics) };
    x.contiguous()?.apply_op3(gamma, beta, op)
}

/// As [`normalise`], with the statistics of `x` itself, which are returned beside the result.
pub fn normalise_by_batch(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f32,
    activation: Activation,
) -> Result<(Tensor, Statistics)> {
    let statistics = Arc::new(OnceLock::new());
    let op = BatchNorm { eps, activation, of_batch: true, statistics: Arc::clone(&statistics) };
    let y = x.contiguous()?.apply_op3(gamma, beta, op)?;
    let Some(statistics) = statistics.get() else { bail!("batch statistics are set by the forward pass") };
    Ok((y, statistics.clone()))
}

struct Depthwise {
    stride: usize,
}

impl Depthwise {
    fn window(&self, x: &Shape, weights: &Shape) -> Result<(usize, usize, Window)> {
        let (images, height, width, channels) = x.dims4()?;
        let (kernel, _, weight_channels) = weights.dims3()?;
        if weight_channels != channels {
            bail!("depthwise weights for {weight_channels} channels met an input of {channels}");
        }
        Ok((images, channels, Window { height, width, kernel, stride: self.stride }))
    }
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, channels, window) = self.window(lx.shape(), lw.shape())?;
        let y = depthwise::forward(slice(x, lx)?, slice(w, lw)?, channels, &window);
        Ok((CpuStorage::F32(y), (images, window.out_height(), window.out_width(), channels).into()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, channels, window) = self.window(x.shape(), w.shape())?;
        let [dx, dw] = with_slices([x, w, &dy.contiguous()?], |[x, w, dy]| {
            [depthwise::input_gradient(dy, w, channels, &window), depthwise::weight_gradient(x, dy, channels, &window)]
        })?;
        Ok((Some(like(x, dx)?), Some(like(w, dw)?)))
    }
}

struct Patches {
    kernel: usize,
    stride: usize,
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let window = Window { height, width, kernel: self.kernel, stride: self.stride };
        let rows = patches::gather(slice(x, layout)?, channels, &window);
        let patch = self.kernel * self.kernel * channels;
        Ok((CpuStorage::F32(rows), (images, window.out_height(), window.out_width(), patch).into()))
    }
}

struct GlobalMean;

impl CustomOp1 for GlobalMean {
    fn name(&self) -> &'static str {
        "global-mean"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let means = pool::mean(slice(x, layout)?, height * width, channels);
        Ok((CpuStorage::F32(means), (images, channels).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, height, width, channels) = x.dims4()?;
        let dx = with_slices([&dy.contiguous()?], |[dy]| pool::mean_gradient(dy, height * width, channels))?;
        Ok(Some(like(x, dx)?))
    }
}

struct ScaleChannels;

impl CustomOp2 for ScaleChannels {
    fn name(&self) -> &'static str {
        "scale-channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, s: &CpuStorage, ls: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, height, width, channels) = lx.shape().dims4()?;
        let y = pool::scale(slice(x, lx)?, slice(s, ls)?, height * width, channels);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, s: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, height, width, channels) = x.dims4()?;
        let pixels = height * width;
        let [dx, ds] = with_slices([x, s, &dy.contiguous()?], |[x, s, dy]| {
            [pool::scale(dy, s, pixels, channels), pool::scale_gradient(x, dy, pixels, channels)]
        })?;
        Ok((Some(like(x, dx)?), Some(like(s, ds)?)))
    }
}

struct BatchNorm {
    eps: f32,
    activation: Activation,
    of_batch: bool,
    /// Given, or set by the forward pass and read by the backward pass.
    statistics: Arc<OnceLock<Statistics>>,
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm-activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gamma: &CpuStorage,
        lg: &Layout,
        beta: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gamma, beta) = (slice(x, lx)?, slice(gamma, lg)?, slice(beta, lb)?);
        let statistics = self.statistics.get_or_init(|| Statistics::of(x, gamma.len(), self.eps));
        let y = batch_norm::forward(x, gamma, beta, statistics, self.activation);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(statistics) = self.statistics.get() else { bail!("backward pass before the forward pass") };
        let gradients = with_slices([x, gamma, beta, &dy.contiguous()?], |[x, gamma, beta, dy]| {
            batch_norm::backward(x, dy, gamma, beta, statistics, self.activation, self.of_batch)
        })?;
        Ok((Some(like(x, gradients.x)?), Some(like(gamma, gradients.gamma)?), Some(like(beta, gradients.beta)?)))
    }
}

fn like(tensor: &Tensor, values: Vec<f32>) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), tensor.device())
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

/// Calls `f` with the tensors' values, without copying them.
fn with_slices<const N: usize, R>(tensors: [&Tensor; N], f: impl FnOnce([&[f32]; N]) -> R) -> Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slot, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else { bail!("this operation runs on the CPU only") };
        *slot = slice(storage, layout)?;
    }
    Ok(f(slices))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
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
        let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = f(&tensors);
        let weights = random(y.shape().clone(), 99);
        let gradients = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
        let objective = |inputs: &[Tensor]| -> f64 {
            let y = f(inputs).flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let weights = weights.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
        };
        const STEP: f32 = 1e-2;
        for (place, (input, var)) in inputs.iter().zip(&vars).enumerate() {
            let gradient = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let values = input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for index in 0..values.len() {
                let moved = |by: f32| {
                    let mut values = values.clone();
                    values[index] += by;
                    let mut inputs = inputs.to_vec();
                    inputs[place] = Tensor::from_vec(values, input.shape(), &Device::Cpu).unwrap();
                    objective(&inputs)
                };
                let numeric = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                let error = (numeric - f64::from(gradient[index])).abs();
                assert!(
                    error < 2e-2 * (1.0 + numeric.abs()),
                    "input {place}, element {index}: {numeric} against {}",
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
        let statistics = Statistics::new(vec![0.1, -0.2], vec![0.5, 2.0], 1e-3);
        check_gradients(&inputs, |i| normalise(&i[0], &i[1], &i[2], statistics.clone(), Activation::Silu).unwrap());
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
        let difference = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn a_window_that_does_not_fit_the_weights_is_an_error() {
        assert!(depthwise(&random((1, 4, 4, 3), 1), &random((3, 3, 2), 2), 1).is_err());
    }
}

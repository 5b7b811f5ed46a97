//! What inference on a card runs, where normalisation lies in the weights and a bias, as plain functions: for tests, and for devices
//! that have no kernels of their own. The CPU's own inference is [`super::infer`].

use super::activation::sigmoid;
use super::train::depthwise as training;
use super::{Activation, Window};

/// A depthwise convolution of `x`, `[images, height, width, channels]`, with its bias, `[channels]`, and activation.
pub fn depthwise(x: &[f32], weights: &[f32], bias: &[f32], activation: Activation, window: &Window) -> Vec<f32> {
    finish(training::forward(x, weights, bias.len(), window), bias, activation, None)
}

/// `activation(x + bias)`, plus `shortcut`; `x` and `shortcut` are `[rows, channels]`, `bias` is `[channels]`.
pub fn finish(mut x: Vec<f32>, bias: &[f32], activation: Activation, shortcut: Option<&[f32]>) -> Vec<f32> {
    for row in x.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(x, bias)| *x = activation.apply(*x + bias));
    }
    if let Some(shortcut) = shortcut {
        x.iter_mut().zip(shortcut).for_each(|(x, shortcut)| *x += shortcut);
    }
    x
}

/// `x * sigmoid(logits + bias)`; `x` is `[images, pixels, channels]`, `logits` `[images, channels]`, `bias` `[channels]`.
pub fn gate(x: &[f32], logits: &[f32], bias: &[f32], pixels: usize) -> Vec<f32> {
    let channels = bias.len();
    let mut y = x.to_vec();
    for (image, logits) in y.chunks_exact_mut(pixels * channels).zip(logits.chunks_exact(channels)) {
        let factors: Vec<f32> = logits.iter().zip(bias).map(|(logit, bias)| sigmoid(logit + bias)).collect();
        for pixel in image.chunks_exact_mut(channels) {
            pixel.iter_mut().zip(&factors).for_each(|(y, factor)| *y *= factor);
        }
    }
    y
}

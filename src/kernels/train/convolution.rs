//! The networks' convolutions and their gradients, for some images on one thread. [`normalised`](super::normalised)
//! calls them for each of its pieces.

use super::{depthwise, patches};
use crate::kernels::Window;
use crate::kernels::matrix::{MatrixView, multiply};

/// The shape of a convolution without bias, from `[images, height, width, from]` to `[images, out_height, out_width,
/// to]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Whether each output channel depends on its own input channel only. If so, the weights are `[kernel, kernel,
    /// from]`; otherwise `[kernel * kernel * from, to]`.
    pub is_depthwise: bool,
    /// Size and step of the kernel.
    pub window: Window,
    /// Channels of the input.
    pub from: usize,
    /// Channels of the output.
    pub to: usize,
}

impl Convolution {
    /// Number of values in an input image.
    pub fn input_image(&self) -> usize {
        self.window.height * self.window.width * self.from
    }

    /// Number of pixels in an output image.
    pub fn output_pixels(&self) -> usize {
        self.window.out_height() * self.window.out_width()
    }

    /// Number of values in an output image.
    pub fn output_image(&self) -> usize {
        self.output_pixels() * self.to
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        let window = self.window.kernel * self.window.kernel * self.from;
        if self.is_depthwise { window } else { window * self.to }
    }

    /// Whether the patches equal the input.
    fn is_pointwise(&self) -> bool {
        self.window.kernel == 1 && self.window.stride == 1
    }

    fn patches(&self, x: &[f32]) -> Vec<f32> {
        let images = x.len() / self.input_image();
        let window = self.window.kernel * self.window.kernel * self.from;
        let mut patches = vec![0.0; images * self.output_pixels() * window];
        patches::gather_images(x, &mut patches, self.from, &self.window);
        patches
    }

    /// `z = x * weights`.
    pub(super) fn forward(&self, x: &[f32], weights: &[f32], z: &mut [f32]) {
        match self.is_depthwise {
            true => depthwise::forward_images(x, weights, z, self.from, &self.window),
            false => {
                let weights = MatrixView::new(weights, self.to);
                let multiply = |x: &[f32], z| multiply(MatrixView::new(x, self.weights() / self.to), weights, z, false);
                if self.is_pointwise() { multiply(x, z) } else { multiply(&self.patches(x), z) }
            }
        }
    }

    /// The gradient with respect to `x`, given `dz` of the output's shape.
    pub(super) fn input_gradient(&self, dz: &[f32], weights: &[f32], dx: &mut [f32]) {
        match self.is_depthwise {
            true => depthwise::input_gradient_images(dz, weights, dx, self.from, &self.window),
            false => {
                let (dz, turned) = (MatrixView::new(dz, self.to), MatrixView::new(weights, self.to).transposed());
                if self.is_pointwise() {
                    return multiply(dz, turned, dx, false);
                }
                let images = dx.len() / self.input_image();
                let mut patches = vec![0.0; images * self.output_pixels() * (self.weights() / self.to)];
                multiply(dz, turned, &mut patches, false);
                patches::scatter_images(&patches, dx, self.from, &self.window);
            }
        }
    }

    /// Adds the gradient with respect to the weights to `dw`.
    pub(super) fn add_weight_gradient(&self, x: &[f32], dz: &[f32], dw: &mut [f32]) {
        match self.is_depthwise {
            true => depthwise::add_weight_gradient(x, dz, dw, self.from, &self.window),
            false => {
                let dz = MatrixView::new(dz, self.to);
                let window = self.weights() / self.to;
                let multiply = |x: &[f32], dw| multiply(MatrixView::new(x, window).transposed(), dz, dw, true);
                if self.is_pointwise() { multiply(x, dw) } else { multiply(&self.patches(x), dw) }
            }
        }
    }
}

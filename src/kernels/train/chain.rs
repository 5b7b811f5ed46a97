//! Layers of convolution, batch normalisation and activation one after the other, forward and backward in one operation: what
//! passes between them stays in [`BufferPool`], and no gradient is added to anything but where it belongs.

use std::sync::Arc;

use super::batch_norm::Statistics;
use super::buffers::{BufferPool, PooledBuffer};
use super::normalised::Normalised;

/// The layers, each of which takes what the one before it gives.
#[derive(Debug, Clone)]
pub struct Chain {
    /// At least one.
    pub layers: Vec<Normalised>,
    /// Where memory comes from.
    pub buffers: Arc<BufferPool>,
}

/// What the backward pass needs of a layer from the forward pass.
#[derive(Debug)]
struct Saved {
    /// The convolution's result, `[images, out_height, out_width, to]`.
    z: PooledBuffer,
    /// What the next layer takes; nothing for the last, whose result belongs to the caller.
    y: Option<PooledBuffer>,
    statistics: Statistics,
}

/// What the backward pass needs from the forward pass.
#[derive(Debug)]
pub struct SavedChain(Vec<Saved>);

impl SavedChain {
    /// The statistics of each layer's convolution, and of how many pixels they are.
    pub fn statistics(&self) -> impl Iterator<Item = (&Statistics, usize)> {
        self.0.iter().map(|saved| (&saved.statistics, saved.z.len() / saved.statistics.mean.len()))
    }
}

/// Gradients of all layers.
pub struct ChainGradients {
    /// Has the input's shape; `None` if it was not wanted.
    pub x: Option<Vec<f32>>,
    /// As many as there are parameters, in their order and of their lengths.
    pub parameters: Vec<Vec<f32>>,
}

impl Chain {
    /// The last layer's result, `[images, out_height, out_width, to]`. `parameters` are weights, gammas and betas of the first
    /// layer, then those of the next.
    pub fn forward(&self, x: &[f32], parameters: &[&[f32]]) -> (Vec<f32>, SavedChain) {
        let mut saved: Vec<Saved> = Vec::with_capacity(self.layers.len());
        let mut result = Vec::new();
        let last = self.layers.len() - 1;
        for (number, (layer, parameters)) in self.layers.iter().zip(parameters.as_chunks().0).enumerate() {
            let x = saved.last().and_then(|before| before.y.as_deref()).unwrap_or(x);
            let length = x.len() / layer.convolution.input_image() * layer.convolution.output_image();
            let mut z = self.buffers.take(length);
            let mut y = (number < last).then(|| self.buffers.take(length));
            let y_values = match &mut y {
                Some(y) => &mut **y,
                None => {
                    result = vec![0.0; length];
                    &mut result
                }
            };
            let statistics = layer.forward(x, *parameters, &mut z, y_values);
            saved.push(Saved { z, y, statistics });
        }
        (result, SavedChain(saved))
    }

    /// The gradients, given `dy` of the result's shape.
    pub fn backward(
        &self,
        x: &[f32],
        parameters: &[&[f32]],
        SavedChain(mut saved): SavedChain,
        dy: &[f32],
        wants_x: bool,
    ) -> ChainGradients {
        let mut gradients = ChainGradients { x: None, parameters: vec![Vec::new(); parameters.len()] };
        let mut from_above: Option<PooledBuffer> = None;
        for (number, layer) in self.layers.iter().enumerate().rev() {
            // Its memory serves the layers below as soon as this one is done.
            let Some(Saved { z, statistics, .. }) = saved.pop() else { break };
            let x = saved.last().and_then(|before| before.y.as_deref()).unwrap_or(x);
            let dy = from_above.as_deref().unwrap_or(dy);
            let mut for_below = (number > 0).then(|| self.buffers.take(x.len()));
            let dx = match &mut for_below {
                Some(dx) => Some(&mut **dx),
                None if wants_x => Some(gradients.x.insert(vec![0.0; x.len()]).as_mut_slice()),
                None => None,
            };
            let own = &parameters.as_chunks().0[number];
            let of_layer = layer.backward(x, *own, (&z, &statistics), dy, dx);
            gradients.parameters.as_chunks_mut().0[number] = of_layer;
            from_above = for_below;
        }
        gradients
    }
}

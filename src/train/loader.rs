//! Batches of augmented pictures, made in a thread of their own while the network is busy.

use candle_core::{Device, Result, Tensor};
use crossbeam_channel::bounded;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::augment::{augmented, plain};
use super::balance::Balancing;
use super::dataset::Example;
use super::recipe::Recipe;
use crate::model::parameters::seeded;
use crate::timeline::Expression;

/// Batches made ahead: enough to bridge one slow step, small beside the network's own memory.
const AHEAD: usize = 3;

/// Pictures and what they show.
pub struct Batch {
    /// `[images, side, side, 1]`, normalised.
    pub pictures: Tensor,
    /// `[images, 7]`, each row a distribution.
    pub targets: Tensor,
    /// `[images]`, factors on the loss.
    pub weights: Tensor,
}

/// Calls `use_batch` with each of an epoch's training batches, in an order that depends on the seed and the epoch only.
/// The last batch is left out where it is not full.
///
/// # Errors
/// The first error of `use_batch`.
pub fn for_each_training_batch<E: From<candle_core::Error>>(
    examples: &[Example],
    recipe: &Recipe,
    balancing: &Balancing,
    epoch: usize,
    device: &Device,
    mut use_batch: impl FnMut(Batch) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut random = seeded(recipe.seed, &format!("order of epoch {epoch}"));
    let mut order = balancing.drawn(examples, &mut random);
    order.shuffle(&mut random);
    let (sender, receiver) = bounded(AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for examples in order.chunks_exact(recipe.batch) {
                let pictures = examples
                    .par_iter()
                    .enumerate()
                    .map(|(place, example)| {
                        // With the place, as a sampler draws some examples more than once.
                        let row = example.row;
                        let mut random = seeded(recipe.seed, &format!("epoch {epoch}, row {row}, place {place}"));
                        augmented(&example.picture, recipe.input.side, &recipe.augmentation, &mut random)
                    })
                    .collect();
                // A closed channel means that training has stopped; that is not this thread's error.
                if sender.send(batch(examples, pictures, recipe, balancing, device)).is_err() {
                    return;
                }
            }
        });
        // The receiver is moved in, so that leaving early closes the channel and lets the thread end.
        receiver.into_iter().try_for_each(|batch| use_batch(batch?))
    })
}

/// Plain, normalised pictures of `examples`: `[images * side * side]`, values 0 to 255.
pub fn plain_pictures(examples: &[Example], side: usize) -> Vec<f32> {
    examples.par_iter().flat_map_iter(|example| plain(&example.picture, side)).collect()
}

fn batch(
    examples: &[&Example],
    pictures: Vec<Vec<f32>>,
    recipe: &Recipe,
    balancing: &Balancing,
    device: &Device,
) -> Result<Batch> {
    let (images, side) = (examples.len(), recipe.input.side);
    let values = recipe.input.normalised(pictures.concat());
    let even = recipe.loss.label_smoothing / Expression::COUNT as f32;
    let targets: Vec<f32> = examples
        .iter()
        .flat_map(|example| example.target)
        .map(|share| share * (1.0 - recipe.loss.label_smoothing) + even)
        .collect();
    let weights: Vec<f32> = examples.iter().map(|example| balancing.weight(example)).collect();
    Ok(Batch {
        pictures: Tensor::from_vec(values, (images, side, side, 1), device)?,
        targets: Tensor::from_vec(targets, (images, Expression::COUNT), device)?,
        weights: Tensor::from_vec(weights, images, device)?,
    })
}

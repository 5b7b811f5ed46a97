//! Batches of augmented pictures: decoded and changed on all threads, ahead of the network.

use candle_core::{Device, Tensor};
use crossbeam_channel::bounded;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::augment::{Mix, augmented, plain};
use super::balance::Balancing;
use super::dataset::{DatasetError, Example};
use super::recipe::{Augmentation, Recipe};
use crate::model::Input;
use crate::picture::Colours;
use crate::random::seeded;
use crate::timeline::Expression;

/// Batches made ahead: enough to bridge one slow step, small beside the network's own memory.
const AHEAD: usize = 3;

/// What batches are made from, and how.
pub struct Feed<'a> {
    /// The training images.
    pub examples: &'a [Example],
    /// Batch size, label smoothing, seed.
    pub recipe: &'a Recipe,
    /// What the network looks at.
    pub input: &'a Input,
    /// Further forms in which each picture is wanted, side and colours: what teachers look at.
    pub views: Vec<(usize, Colours)>,
    /// How rare classes are made up for.
    pub balancing: &'a Balancing,
    /// Where tensors go.
    pub device: &'a Device,
}

/// Pictures and what they show.
pub struct LoadedBatch {
    /// `[images, side, side, colours]`, as the network wants them.
    pub pictures: Tensor,
    /// `[images, 7]`, each row a distribution.
    pub targets: Tensor,
    /// `[images]`, factors on the loss.
    pub weights: Tensor,
    /// For each of the feed's views the same pictures, values 0 to 255.
    pub views: Vec<Vec<f32>>,
}

impl Feed<'_> {
    /// Batches an epoch: what does not fill one is left out, and is another part in each epoch.
    pub fn batches(&self) -> usize {
        self.examples.len() / self.recipe.batch
    }

    /// Calls `use_batch` with each of an epoch's batches, its pictures changed as `augmentation` says, in an order that depends on
    /// the seed and the epoch only.
    ///
    /// # Errors
    /// The first error of a picture or of `use_batch`.
    pub fn for_each_batch<E: From<candle_core::Error> + From<DatasetError>>(
        &self,
        epoch: usize,
        augmentation: &Augmentation,
        mut use_batch: impl FnMut(LoadedBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut random = seeded(self.recipe.seed, &format!("order of epoch {epoch}"));
        let mut order = self.balancing.drawn(self.examples, &mut random);
        order.shuffle(&mut random);
        let (sender, receiver) = bounded(AHEAD);
        std::thread::scope(|scope| {
            let load = move || {
                for (index, examples) in order.chunks_exact(self.recipe.batch).enumerate() {
                    // A closed channel means that training has stopped; that is not this thread's error.
                    if sender.send(self.batch(examples, epoch, index, augmentation)).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new()
                .name("load".into())
                .spawn_scoped(scope, load)
                .map_err(candle_core::Error::from)?;
            // The receiver is moved in, so that leaving early closes the channel and lets the thread end.
            receiver.into_iter().try_for_each(|batch| match batch {
                Ok(batch) => use_batch(batch),
                Err(LoadError::Image(error)) => Err(error.into()),
                Err(LoadError::Device(error)) => Err(error.into()),
            })
        })
    }

    fn batch(
        &self,
        examples: &[&Example],
        epoch: usize,
        index: usize,
        augmentation: &Augmentation,
    ) -> Result<LoadedBatch, LoadError> {
        let Self { recipe, input, .. } = self;
        let forms: Vec<(usize, Colours)> =
            [(input.side, input.colours)].into_iter().chain(self.views.iter().copied()).collect();
        // Image by image, each in all forms.
        let pictures: Vec<Vec<Vec<f32>>> = examples
            .par_iter()
            .enumerate()
            .map(|(index, example)| {
                let picture = example.picture().map_err(LoadError::Image)?;
                // With the index, as a sampler draws some examples more than once. The word 'place' is part of the seed.
                let purpose = format!("epoch {epoch}, row {}, place {index}", example.row);
                let form = |(side, colours): &(usize, Colours)| {
                    augmented(&picture, *side, *colours, augmentation, &mut seeded(recipe.seed, &purpose))
                };
                Ok(forms.iter().map(form).collect())
            })
            .collect::<Result<_, LoadError>>()?;
        let mut views: Vec<Vec<Vec<f32>>> = vec![Vec::new(); forms.len()];
        for picture in pictures {
            views.iter_mut().zip(picture).for_each(|(view, form)| view.push(form));
        }
        let even = recipe.loss.label_smoothing / Expression::COUNT as f32;
        let mut targets: Vec<[f32; Expression::COUNT]> = examples
            .iter()
            .map(|example| example.target.map(|share| share * (1.0 - recipe.loss.label_smoothing) + even))
            .collect();
        let mut weights: Vec<[f32; 1]> = examples.iter().map(|example| [self.balancing.weight(example)]).collect();
        let mut random = seeded(recipe.seed, &format!("mix of epoch {epoch}, batch {index}"));
        if let Some(mix) = Mix::draw(augmentation, examples.len(), &mut random) {
            (targets, weights) = (mix.rows(&targets), mix.rows(&weights));
            let mixed = views.into_iter().zip(&forms);
            views = mixed.map(|(view, (side, colours))| mix.pictures(view, *side, colours.count())).collect();
        }
        let mut views = views.into_iter().map(|view| view.concat());
        let shape = (examples.len(), input.side, input.side, input.colours.count());
        Ok(LoadedBatch {
            pictures: Tensor::from_vec(input.normalised(views.next().unwrap_or_default()), shape, self.device)?,
            targets: Tensor::from_vec(targets.concat(), (examples.len(), Expression::COUNT), self.device)?,
            weights: Tensor::from_vec(weights.concat(), examples.len(), self.device)?,
            views: views.collect(),
        })
    }
}

enum LoadError {
    Image(DatasetError),
    Device(candle_core::Error),
}

impl From<candle_core::Error> for LoadError {
    fn from(error: candle_core::Error) -> Self {
        Self::Device(error)
    }
}

/// Unchanged pictures of `examples`, one after the other, `[images * side * side * colours]` with values 0 to 255.
///
/// # Errors
/// If one cannot be decoded.
pub fn plain_pictures(examples: &[&Example], side: usize, colours: Colours) -> Result<Vec<f32>, DatasetError> {
    let pictures: Vec<Vec<f32>> = examples
        .par_iter()
        .map(|example| Ok(plain(&example.picture()?, side, colours)))
        .collect::<Result<_, DatasetError>>()?;
    Ok(pictures.concat())
}

//! What other models say about a batch.

use candle_core::{D, Device, Result, Tensor};

use super::loader::LoadedBatch;
use super::recipe::Distillation;
use crate::model::Model;
use crate::picture::Colours;
use crate::timeline::Expression;

/// The teachers of a run.
pub struct Teachers<'a> {
    models: &'a [Model],
    /// For each model, which of the batch's views it looks at.
    views: Vec<usize>,
    settings: Option<&'a Distillation>,
}

impl<'a> Teachers<'a> {
    /// The teachers, and the views that batches must have for them.
    pub fn new(models: &'a [Model], settings: Option<&'a Distillation>) -> (Self, Vec<(usize, Colours)>) {
        let mut wanted: Vec<(usize, Colours)> = Vec::new();
        let views = models.iter().map(|model| {
            let view = (model.config().input.side, model.config().input.colours);
            wanted.iter().position(|w| *w == view).unwrap_or_else(|| {
                wanted.push(view);
                wanted.len() - 1
            })
        });
        let views = views.collect();
        (Self { models, views, settings }, wanted)
    }

    /// `losses` `[images]` of `logits` `[images, 7]` by the labels, with the teachers' part: `(1 - weight) * loss + weight
    /// * T^2 * KL(teachers || student)`, both at temperature `T` (Hinton et al. 2015, section 2).
    ///
    /// # Errors
    /// If the device fails.
    pub fn blended(&self, losses: Tensor, logits: &Tensor, batch: &LoadedBatch, device: &Device) -> Result<Tensor> {
        let Some(settings) = self.settings else { return Ok(losses) };
        let t = settings.temperature;
        let said = self.probabilities(batch, t)?.to_device(device)?;
        let student = candle_nn::ops::log_softmax(&(logits / t)?, D::Minus1)?;
        // Where a teacher says 0, its term is 0.
        let own = (&said * said.maximum(1e-12)?.log()?)?;
        let divergence = (own - (&said * student)?)?.sum(D::Minus1)?;
        (losses * (1.0 - settings.weight))? + (divergence * (settings.weight * t * t))?
    }

    /// Mean of the teachers' probabilities `[images, 7]` at `temperature`.
    fn probabilities(&self, batch: &LoadedBatch, temperature: f64) -> Result<Tensor> {
        let images = batch.targets.dim(0)?;
        let mut sum = Tensor::zeros((images, Expression::COUNT), candle_core::DType::F32, &Device::Cpu)?;
        for (model, view) in self.models.iter().zip(&self.views) {
            let logits = model.logits(batch.views[*view].clone())?.detach();
            let said = candle_nn::ops::softmax(&(logits / temperature)?, D::Minus1)?;
            sum = (sum + said.to_device(&Device::Cpu)?)?;
        }
        sum / self.models.len() as f64
    }
}

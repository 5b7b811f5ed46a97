//! Computes probabilities for the faces of several frames at a time.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, Sender};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use super::frame::Sighting;
use super::span::Lead;
use crate::kernels::launch::UNDER_WAY;
use crate::model::Model;
use crate::timeline::Probabilities;

/// The faces of a frame on their way to the classifier, which no longer needs the picture.
pub(super) struct Cropped {
    pub(super) pts: i64,
    pub(super) time_s: f64,
    pub(super) begins: Option<Lead>,
    /// Each face with its network input; `None` if there is nothing to classify.
    pub(super) faces: Vec<(Sighting, Option<Vec<f32>>)>,
}

/// The faces of a frame with their probabilities: everything that is known about a frame by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Classified {
    /// Presentation time stamp in units of the time base.
    pub(crate) pts: i64,
    /// Start of the frame, seconds.
    pub(crate) time_s: f64,
    /// What the tracker of a span saw just before it; only on the first frame of a span.
    pub(crate) begins: Option<Lead>,
    /// The faces, with the track ids of the span.
    pub(crate) faces: Vec<(Sighting, Option<Probabilities>)>,
}

/// Classifies frames in order. Frames that have accumulated are batched, up to `batch_size` faces. On the CPU, a batch
/// is spread over the pool's threads; a face's result depends neither on the other faces nor on the number of threads.
/// Other devices receive the batch in one piece, and further ones while they compute.
pub(super) fn classify(
    model: &Model,
    pool: &ThreadPool,
    batch_size: usize,
    from: Receiver<Cropped>,
    to: Sender<Classified>,
) -> candle_core::Result<()> {
    if !model.device().is_cpu() {
        let start = |inputs: Vec<Vec<f32>>| model.logits(inputs.concat());
        return classify_ahead(start, |logits| model.calibrated(&logits), batch_size, &from, &to);
    }
    while let Ok(first) = from.recv() {
        let (inputs, frames) = batch(first, batch_size, &from);
        let probabilities =
            if inputs.is_empty() { Vec::new() } else { pool.install(|| model.probabilities(inputs.concat()))? };
        if !deliver(frames, &probabilities, &to) {
            return Ok(());
        }
    }
    Ok(())
}

/// A frame whose faces wait for their results.
struct WaitingFrame {
    pts: i64,
    time_s: f64,
    begins: Option<Lead>,
    /// Each face with the index of its input in the batch.
    faces: Vec<(Sighting, Option<usize>)>,
}

impl WaitingFrame {
    /// Adds the frame's inputs to those of a batch.
    fn new(Cropped { pts, time_s, begins, faces }: Cropped, inputs: &mut Vec<Vec<f32>>) -> Self {
        let mut indexed = Vec::new();
        for (sighting, input) in faces {
            indexed.push((sighting, input.as_ref().map(|_| inputs.len())));
            inputs.extend(input);
        }
        Self { pts, time_s, begins, faces: indexed }
    }

    /// The frame with its results out of those of the batch.
    fn classified(self, probabilities: &[Probabilities]) -> Classified {
        let Self { pts, time_s, begins, faces } = self;
        let faces = faces.into_iter().map(|(sighting, index)| (sighting, index.map(|i| probabilities[i]))).collect();
        Classified { pts, time_s, begins, faces }
    }
}

/// Classifies the faces of one frame, in this thread.
pub(super) fn alone(model: &Model, frame: Cropped) -> candle_core::Result<Classified> {
    let mut inputs = Vec::new();
    let frame = WaitingFrame::new(frame, &mut inputs);
    let probabilities = if inputs.is_empty() { Vec::new() } else { model.probabilities(inputs.concat())? };
    Ok(frame.classified(&probabilities))
}

/// Batches `first` and the frames that have accumulated behind it, up to `batch_size` faces.
fn batch(first: Cropped, batch_size: usize, from: &Receiver<Cropped>) -> (Vec<Vec<f32>>, Vec<WaitingFrame>) {
    let (mut inputs, mut frames) = (Vec::new(), Vec::new());
    let mut next = Some(first);
    while let Some(frame) = next {
        frames.push(WaitingFrame::new(frame, &mut inputs));
        next = if inputs.len() < batch_size { from.try_recv().ok() } else { None };
    }
    (inputs, frames)
}

/// Passes frames on; `false` if the receiver has gone.
fn deliver(frames: Vec<WaitingFrame>, probabilities: &[Probabilities], to: &Sender<Classified>) -> bool {
    frames.into_iter().all(|frame| to.send(frame.classified(probabilities)).is_ok())
}

/// Starts batches as long as there are frames and fewer than [`UNDER_WAY`] of them are running, and only then waits for
/// the oldest. The earlier stages therefore never wait for the card, and the card finds its next batch ready.
fn classify_ahead<Started>(
    start: impl Fn(Vec<Vec<f32>>) -> candle_core::Result<Started>,
    finish: impl Fn(Started) -> candle_core::Result<Vec<Probabilities>>,
    batch_size: usize,
    from: &Receiver<Cropped>,
    to: &Sender<Classified>,
) -> candle_core::Result<()> {
    let mut under_way = VecDeque::new();
    loop {
        let next = match under_way.len() {
            0 => from.recv().ok(),
            UNDER_WAY.. => None,
            _ => from.try_recv().ok(),
        };
        if let Some(first) = next {
            let (inputs, frames) = batch(first, batch_size, from);
            let started = if inputs.is_empty() { None } else { Some(start(inputs)?) };
            under_way.push_back((started, frames));
            continue;
        }
        let Some((started, frames)) = under_way.pop_front() else { return Ok(()) };
        let probabilities = started.map(&finish).transpose()?.unwrap_or_default();
        if !deliver(frames, &probabilities, to) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use crossbeam_channel::unbounded;

    use super::*;
    use crate::timeline::Status;

    /// A frame whose faces have single numbers as inputs.
    fn frame(pts: i64, inputs: &[Option<f32>]) -> Cropped {
        let sighting = || Sighting::absent(1, Status::Ok);
        let faces = inputs.iter().map(|input| (sighting(), input.map(|value| vec![value]))).collect();
        Cropped { pts, time_s: pts as f64, begins: None, faces }
    }

    #[test]
    fn batches_under_way_are_few_and_come_back_in_order() {
        let (sender, from) = unbounded();
        let (to, results) = unbounded();
        for pts in 0..20 {
            let faces: &[Option<f32>] = match pts % 3 {
                0 => &[],
                1 => &[Some(pts as f32)],
                _ => &[None, Some(pts as f32), Some(-pts as f32)],
            };
            sender.send(frame(pts, faces)).unwrap();
        }
        drop(sender);
        let (under_way, most) = (RefCell::new(0), RefCell::new(0));
        let start = |inputs: Vec<Vec<f32>>| {
            *under_way.borrow_mut() += 1;
            let now = *under_way.borrow();
            most.replace_with(|most| now.max(*most));
            Ok(inputs)
        };
        let finish = |inputs: Vec<Vec<f32>>| {
            *under_way.borrow_mut() -= 1;
            Ok(inputs.into_iter().map(|input| [input[0]; 7]).collect())
        };
        classify_ahead(start, finish, 2, &from, &to).unwrap();
        drop(to);
        assert_eq!(*most.borrow(), UNDER_WAY);
        let results: Vec<Classified> = results.into_iter().collect();
        assert_eq!(results.iter().map(|r| r.pts).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        for result in results {
            let values: Vec<Option<f32>> = result.faces.iter().map(|(_, p)| p.map(|p| p[0])).collect();
            let pts = result.pts as f32;
            let expected = match result.pts % 3 {
                0 => vec![],
                1 => vec![Some(pts)],
                _ => vec![None, Some(pts), Some(-pts)],
            };
            assert_eq!(values, expected);
        }
    }
}

//! Temporal smoothing of one signer's class probabilities that keeps short expressions.
//!
//! The method is a sticky hidden Markov model over the seven classes, solved by the forward-backward algorithm (Rabiner
//! 1989, "A tutorial on hidden Markov models", section III) with a fixed lag, so that live output has a bounded delay
//! and a file gets the same labels as live input. Both halves of the model are stated per second and not per frame, so
//! 25 and 120 frames per second give the same answer:
//!
//! - *Transitions* are a continuous-time Markov chain: a face stays in an expression for `dwell_s` seconds on average
//!   and then takes any other with equal probability. Two steps of 20 ms equal one of 40 ms exactly, so frames without
//!   probabilities need no special case: they only let time pass.
//! - *Evidence* of a frame is its class posterior, raised to the power of the time for which the frame is shown over
//!   `evidence_s`, at most 1: neighbouring frames of a fast camera show nearly the same picture and are not independent
//!   witnesses. Before that, `doubt` mixes the posterior with a uniform one, so that no single frame, however sure, has
//!   a veto.
//!
//! A moving average long enough to remove a one-frame flicker would also remove an expression of 150 ms. Here, a
//! flicker does not outweigh the cost of two transitions, but a short expression does, and its edges stay where they
//! are.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::settings::{SettingError, require};
use crate::timeline::{Expression, Probabilities, most_probable};

/// How labels are smoothed over time.
///
/// The defaults were chosen as a balance on simulated signers (see this module's tests) at 25, 30, 60 and 120 frames
/// per second: 93 to 94 % of frames are right and 63 to 71 % of expressions of 100 to 250 ms are found. A moving
/// average of 0.4 s reaches 90 to 91 % and 28 to 30 %; the unsmoothed readings reach 68 to 69 % and flicker. A longer
/// `dwell_s` gains a point in frames and loses ten in short expressions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmoothSettings {
    /// Mean time for which a face is assumed to stay in one expression, seconds; larger is stickier.
    pub dwell_s: f64,
    /// Distance in time at which two frames count as independent witnesses, seconds; smaller trusts the frames more.
    pub evidence_s: f64,
    /// Probability that a frame's posterior says nothing about the face, 0 to below 1.
    pub doubt: f64,
    /// How long a label waits for later frames, seconds.
    pub lag_s: f64,
    /// For how many later frames a label waits at most, whatever their times.
    pub max_lag_frames: usize,
}

impl Default for SmoothSettings {
    fn default() -> Self {
        Self { dwell_s: 0.25, evidence_s: 0.04, doubt: 0.1, lag_s: 0.5, max_lag_frames: 256 }
    }
}

impl SmoothSettings {
    /// Whether the settings make sense: positive finite times, a doubt of at least 0 and below 1.
    pub fn check(&self) -> Result<(), SettingError> {
        let is_duration = |seconds: f64| seconds > 0.0 && seconds.is_finite();
        require("smooth.dwell_s", self.dwell_s, "a positive number of seconds", is_duration)?;
        require("smooth.evidence_s", self.evidence_s, "a positive number of seconds", is_duration)?;
        require("smooth.doubt", self.doubt, "at least 0 and below 1", |doubt| (0.0..1.0).contains(&doubt))?;
        require("smooth.lag_s", self.lag_s, "at least 0 seconds", |lag| lag >= 0.0 && lag.is_finite())
    }
}

/// The classifier's result for one frame of a track.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Index of the decoded frame.
    pub frame: usize,
    /// Start of the frame, seconds; rising from observation to observation.
    pub time_s: f64,
    /// The model's probabilities; `None` if the face could not be read.
    pub probabilities: Option<Probabilities>,
}

/// The smoothed result for one frame of a track. All three are `None` if the frame had no probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Smoothed {
    /// Index of the decoded frame.
    pub frame: usize,
    /// The most probable class of `posterior`.
    pub label: Option<Expression>,
    /// The posterior of `label`.
    pub confidence: Option<f32>,
    /// Probability of every class given the frames before and, up to the lag, after this one.
    pub posterior: Option<Probabilities>,
}

/// A weight for each class, kept at sum 1.
type Belief = [f64; Expression::COUNT];

/// A frame that waits for later ones.
struct Waiting {
    frame: usize,
    time_s: f64,
    /// Time until the next frame starts.
    shown_s: f64,
    /// Likelihood of the frame's picture under every class, up to a factor; `None` if there is no reading.
    evidence: Option<Belief>,
    /// Probability of every class given the frames up to and including this one.
    filtered: Belief,
}

/// Smooths the frames of one track, pushed in order.
pub struct Smoother {
    settings: SmoothSettings,
    /// The newest frame; its duration is known once its successor arrives.
    newest: Option<Observation>,
    waiting: VecDeque<Waiting>,
    /// Predicted probabilities of the classes at the start of `newest`.
    predicted: Belief,
    /// Duration of the frame before `newest`.
    last_shown_s: Option<f64>,
}

impl Smoother {
    /// A smoother for one track.
    pub fn new(settings: &SmoothSettings) -> Self {
        Self {
            settings: settings.clone(),
            newest: None,
            waiting: VecDeque::new(),
            predicted: UNIFORM,
            last_shown_s: None,
        }
    }

    /// Takes the track's next frame and returns the frames whose lag is over, in order.
    pub fn push(&mut self, observation: Observation) -> Vec<Smoothed> {
        let now_s = observation.time_s;
        if let Some(previous) = self.newest.replace(observation) {
            let shown_s = (now_s - previous.time_s).max(0.0);
            self.last_shown_s = Some(shown_s);
            self.filter(previous, shown_s);
        }
        let late = |waiting: &&Waiting| now_s - waiting.time_s >= self.settings.lag_s;
        let over_count = self.waiting.len().saturating_sub(self.settings.max_lag_frames);
        let due = self.waiting.iter().take_while(late).count().max(over_count);
        self.release(due)
    }

    /// Returns the frames still waiting, in order, and resets the smoother.
    pub fn finish(&mut self) -> Vec<Smoothed> {
        if let Some(last) = self.newest.take() {
            // No frame follows that would end the last one, so it lasts as long as the one before it; a single picture
            // counts in full.
            let shown_s = self.last_shown_s.take().unwrap_or(self.settings.evidence_s);
            self.filter(last, shown_s);
        }
        self.predicted = UNIFORM;
        self.release(self.waiting.len())
    }

    /// The forward step: includes a frame and predicts the class at its end.
    fn filter(&mut self, Observation { frame, time_s, probabilities }: Observation, shown_s: f64) {
        let evidence = probabilities.map(|posterior| self.evidence(&posterior, shown_s));
        let mut filtered = self.predicted;
        if let Some(evidence) = &evidence {
            weigh(&mut filtered, evidence);
        }
        self.predicted = filtered;
        pass_time(&mut self.predicted, shown_s, self.settings.dwell_s);
        self.waiting.push_back(Waiting { frame, time_s, shown_s, evidence, filtered });
    }

    /// The likelihood of a frame under every class, tempered by how long the frame is shown.
    fn evidence(&self, posterior: &Probabilities, shown_s: f64) -> Belief {
        let power = (shown_s / self.settings.evidence_s).min(1.0);
        let doubt = self.settings.doubt;
        posterior.map(|probability| {
            let probability = if probability.is_nan() { 0.0 } else { f64::from(probability).clamp(0.0, 1.0) };
            let doubted = (1.0 - doubt) * probability + doubt / Expression::COUNT as f64;
            doubted.max(IMPOSSIBLE).powf(power)
        })
    }

    /// The backward pass over all waiting frames; returns the `due` oldest with their labels.
    fn release(&mut self, due: usize) -> Vec<Smoothed> {
        if due == 0 {
            return Vec::new();
        }
        let mut posteriors = vec![None; due];
        // The later frames' evidence about the class at the end of the current frame.
        let mut later = UNIFORM;
        for (index, waiting) in self.waiting.iter().enumerate().rev() {
            pass_time(&mut later, waiting.shown_s, self.settings.dwell_s);
            if let Some(evidence) = &waiting.evidence {
                if index < due {
                    let mut belief = waiting.filtered;
                    weigh(&mut belief, &later);
                    posteriors[index] = Some(belief.map(|weight| weight as f32));
                }
                weigh(&mut later, evidence);
            }
        }
        self.waiting
            .drain(..due)
            .zip(posteriors)
            .map(|(Waiting { frame, .. }, posterior)| {
                let label = posterior.as_ref().map(most_probable);
                let confidence = posterior.zip(label).map(|(posterior, label)| posterior[label.index()]);
                Smoothed { frame, label, confidence, posterior }
            })
            .collect()
    }
}

/// The belief without any evidence.
const UNIFORM: Belief = [1.0 / Expression::COUNT as f64; Expression::COUNT];

/// The value that replaces a probability of zero: a frame may say "hardly", never "impossible". Otherwise two frames
/// that exclude each other's class would leave no class at all.
const IMPOSSIBLE: f64 = 1e-12;

/// Multiplies `belief` by a likelihood and normalises it to sum 1.
fn weigh(belief: &mut Belief, likelihood: &Belief) {
    for (weight, likelihood) in belief.iter_mut().zip(likelihood) {
        *weight *= likelihood;
    }
    let sum: f64 = belief.iter().sum();
    // If beliefs exclude each other down to underflow, they cancel out.
    *belief = if sum > 0.0 { belief.map(|weight| weight / sum) } else { UNIFORM };
}

/// Lets `elapsed_s` pass: the class is redrawn from all seven at such a rate that the mean time until a *different* one
/// is drawn is `dwell_s`. The transition matrix is symmetric, so the same step serves forward and backward.
fn pass_time(belief: &mut Belief, elapsed_s: f64, dwell_s: f64) {
    let classes = Expression::COUNT as f64;
    let redraws_per_s = classes / ((classes - 1.0) * dwell_s);
    let kept = (-redraws_per_s * elapsed_s).exp();
    let sum: f64 = belief.iter().sum();
    *belief = belief.map(|weight| kept * weight + (1.0 - kept) * sum / classes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// `top` for one class, the rest shared equally by the others.
    fn spread(class: usize, top: f32) -> Probabilities {
        let mut probabilities = [(1.0 - top) / 6.0; Expression::COUNT];
        probabilities[class] = top;
        probabilities
    }

    fn smooth(settings: &SmoothSettings, observations: &[(f64, Option<Probabilities>)]) -> Vec<Smoothed> {
        let mut smoother = Smoother::new(settings);
        let mut smoothed = Vec::new();
        for (frame, &(time_s, probabilities)) in observations.iter().enumerate() {
            smoothed.extend(smoother.push(Observation { frame, time_s, probabilities }));
        }
        smoothed.extend(smoother.finish());
        smoothed
    }

    fn at_rate(frames_per_s: f64, probabilities: &[Probabilities]) -> Vec<(f64, Option<Probabilities>)> {
        probabilities.iter().enumerate().map(|(frame, p)| (frame as f64 / frames_per_s, Some(*p))).collect()
    }

    fn labels(settings: &SmoothSettings, observations: &[(f64, Option<Probabilities>)]) -> Vec<usize> {
        smooth(settings, observations).iter().map(|frame| frame.label.map_or(99, Expression::index)).collect()
    }

    /// One second of neutral, `shown_s` of fear, one second of neutral.
    fn burst(frames_per_s: f64, shown_s: f64, neutral: f32, fear: f32) -> (Vec<Probabilities>, std::ops::Range<usize>) {
        let start = frames_per_s as usize;
        let end = start + (shown_s * frames_per_s).round() as usize;
        let fear_frames = start..end;
        let frames = 0..end + frames_per_s as usize;
        let probabilities = frames.map(|frame| match fear_frames.contains(&frame) {
            true => spread(4, fear),
            false => spread(0, neutral),
        });
        (probabilities.collect(), start..end)
    }

    #[test]
    fn a_flicker_of_one_frame_vanishes() {
        for (frames_per_s, neutral, fear) in [(25.0, 0.6, 0.6), (30.0, 0.6, 0.6), (30.0, 0.8, 0.9), (120.0, 0.4, 0.95)]
        {
            let (probabilities, _) = burst(frames_per_s, 1.0 / frames_per_s, neutral, fear);
            let labels = labels(&SmoothSettings::default(), &at_rate(frames_per_s, &probabilities));
            assert!(labels.iter().all(|label| *label == 0), "{frames_per_s} frames/s, {fear}: {labels:?}");
        }
    }

    #[test]
    fn an_expression_of_150_ms_survives_with_its_edges_in_place() {
        for frames_per_s in [25.0, 30.0, 50.0, 60.0, 120.0] {
            let (probabilities, fear) = burst(frames_per_s, 0.15, 0.8, 0.8);
            let labels = labels(&SmoothSettings::default(), &at_rate(frames_per_s, &probabilities));
            let found: Vec<usize> = (0..labels.len()).filter(|frame| labels[*frame] == 4).collect();
            let (first, last) = (found[0], found[found.len() - 1]);
            assert!(first.abs_diff(fear.start) <= 1 && last.abs_diff(fear.end - 1) <= 1, "{frames_per_s}: {labels:?}");
            assert_eq!(found.len(), last - first + 1, "in one piece");
        }
    }

    /// Signers who hold neutral for about 1 s and an expression for about 0.4 s, seen by a classifier whose errors last
    /// about 50 ms and which is right in 69 % of frames. Returns the truth and the readings.
    fn simulated_signer(frames_per_s: f64, seed: u64) -> (Vec<usize>, Vec<Probabilities>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let frames = (120.0 * frames_per_s) as usize;
        let mut truth = Vec::new();
        let mut class = 0;
        while truth.len() < frames {
            let median_s = if class == 0 { 1.0 } else { 0.4 };
            let held_s = f64::max(median_s * (0.7 * normal(&mut rng)).exp(), 0.1);
            truth.extend(std::iter::repeat_n(class, (held_s * frames_per_s).round() as usize));
            class = if class != 0 && rng.random_bool(0.6) { 0 } else { (class + rng.random_range(1..7)) % 7 };
        }
        truth.truncate(frames);
        let kept = (-1.0 / (frames_per_s * 0.05)).exp();
        let mut noise = [(); 7].map(|()| normal(&mut rng));
        let readings = truth.iter().map(|class| {
            noise = noise.map(|value| kept * value + (1.0 - kept * kept).sqrt() * normal(&mut rng));
            let mut logits = noise.map(|value| 1.4 * value);
            logits[*class] += 2.6;
            let weights = logits.map(f64::exp);
            weights.map(|weight| (weight / weights.iter().sum::<f64>()) as f32)
        });
        let readings = readings.collect();
        (truth, readings)
    }

    /// A draw from the standard normal distribution (Box and Muller 1958).
    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let (radius, angle): (f64, f64) = (rng.random(), rng.random());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    fn moving_average(readings: &[Probabilities], width: usize) -> Vec<usize> {
        let mean_label = |frame: usize| {
            let window = &readings[frame.saturating_sub(width / 2)..readings.len().min(frame + width / 2 + 1)];
            let mut sum = [0.0; 7];
            for probabilities in window {
                sum.iter_mut().zip(probabilities).for_each(|(sum, probability)| *sum += probability);
            }
            most_probable(&sum).index()
        };
        (0..readings.len()).map(mean_label).collect()
    }

    fn runs(labels: &[usize]) -> Vec<(usize, std::ops::Range<usize>)> {
        let mut start = 0;
        let run = |chunk: &[usize]| {
            start += chunk.len();
            (chunk[0], start - chunk.len()..start)
        };
        labels.chunk_by(|a, b| a == b).map(run).collect()
    }

    /// Share of frames that are right, and share of true expressions of 100 to 250 ms that are found: same label, and
    /// the overlap is at least half of the union.
    fn score(truth: &[usize], found: &[usize], frames_per_s: f64) -> (f64, f64) {
        let right = truth.iter().zip(found).filter(|(truth, found)| truth == found).count();
        let found = runs(found);
        let short: Vec<_> =
            runs(truth).into_iter().filter(|(_, run)| (run.len() as f64) < 0.25 * frames_per_s).collect();
        let hits = short.iter().filter(|(label, run)| {
            found.iter().any(|(other, candidate)| {
                let shared = run.end.min(candidate.end).saturating_sub(run.start.max(candidate.start));
                label == other && 2 * shared >= run.end.max(candidate.end) - run.start.min(candidate.start)
            })
        });
        (right as f64 / truth.len() as f64, hits.count() as f64 / short.len() as f64)
    }

    #[test]
    fn more_frames_are_right_and_twice_as_many_short_expressions_are_found_as_by_a_moving_average() {
        for frames_per_s in [25.0, 60.0] {
            let (truth, readings) = simulated_signer(frames_per_s, 7);
            let averaged = moving_average(&readings, (0.4 * frames_per_s) as usize);
            let (average_right, average_short) = score(&truth, &averaged, frames_per_s);
            let smoothed = labels(&SmoothSettings::default(), &at_rate(frames_per_s, &readings));
            let (right, short) = score(&truth, &smoothed, frames_per_s);
            assert!(right > average_right + 0.01, "{right} of frames against {average_right}");
            assert!(short > 2.0 * average_short, "{short} of short expressions against {average_short}");
        }
    }

    #[test]
    fn a_lone_picture_keeps_the_order_of_its_probabilities() {
        let probabilities = [0.1, 0.5, 0.05, 0.2, 0.05, 0.05, 0.05];
        let smoothed =
            smooth(&SmoothSettings { doubt: 0.0, ..SmoothSettings::default() }, &[(3.0, Some(probabilities))]);
        assert_eq!(smoothed[0].label, Some(Expression::Happiness));
        assert!((smoothed[0].confidence.unwrap() - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_long_gap_forgets() {
        let mut observations = at_rate(25.0, &vec![spread(1, 0.9); 25]);
        observations.extend((25..500).map(|frame| (f64::from(frame) / 25.0, None)));
        observations.extend((500..510).map(|frame| (f64::from(frame) / 25.0, Some(spread(2, 0.5)))));
        assert_eq!(labels(&SmoothSettings::default(), &observations)[500..], [2; 10]);
    }

    #[test]
    fn settings_without_sense_are_named() {
        let settings = SmoothSettings { evidence_s: 0.0, ..SmoothSettings::default() };
        let message = settings.check().unwrap_err().to_string();
        assert_eq!(message, "setting smooth.evidence_s must be a positive number of seconds, but it is 0");
        assert!(SmoothSettings { lag_s: f64::NAN, ..SmoothSettings::default() }.check().is_err());
        assert_eq!(SmoothSettings::default().check(), Ok(()));
    }

    /// Forward-backward over the whole sequence by its definition, with explicit 7x7 matrices, no lag and no shortcuts:
    /// the smoother's independent reference.
    fn reference(settings: &SmoothSettings, observations: &[(f64, Option<Probabilities>)]) -> Vec<Option<[f64; 7]>> {
        let count = observations.len();
        let mut shown: Vec<f64> = observations.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        shown.push(shown.last().copied().unwrap_or(settings.evidence_s));
        let likelihood = |frame: usize, class: usize| match observations[frame].1 {
            None => 1.0,
            Some(probabilities) => {
                let mixed = (1.0 - settings.doubt) * f64::from(probabilities[class]) + settings.doubt / 7.0;
                mixed.max(1e-12).powf((shown[frame] / settings.evidence_s).min(1.0))
            }
        };
        let transition = |frame: usize, from: usize, to: usize| {
            // The chain leaves a class at rate 1/dwell; its eigenvalue is 7/6 of that rate.
            let decay = (-7.0 / 6.0 * shown[frame] / settings.dwell_s).exp();
            if from == to { (1.0 + 6.0 * decay) / 7.0 } else { (1.0 - decay) / 7.0 }
        };
        let normalised = |values: [f64; 7]| values.map(|value| value / values.iter().sum::<f64>());
        let mut forward = vec![[0.0; 7]; count];
        for frame in 0..count {
            for to in 0..7 {
                let before: f64 = match frame {
                    0 => 1.0 / 7.0,
                    _ => (0..7).map(|from| forward[frame - 1][from] * transition(frame - 1, from, to)).sum(),
                };
                forward[frame][to] = before * likelihood(frame, to);
            }
            forward[frame] = normalised(forward[frame]);
        }
        let mut backward = vec![[1.0; 7]; count];
        for frame in (0..count.saturating_sub(1)).rev() {
            for from in 0..7 {
                backward[frame][from] = (0..7)
                    .map(|to| transition(frame, from, to) * likelihood(frame + 1, to) * backward[frame + 1][to])
                    .sum();
            }
            backward[frame] = normalised(backward[frame]);
        }
        let posterior = |frame: usize| {
            let mut joint = forward[frame];
            joint.iter_mut().zip(backward[frame]).for_each(|(weight, later)| *weight *= later);
            observations[frame].1.map(|_| normalised(joint))
        };
        (0..count).map(posterior).collect()
    }

    fn probabilities() -> impl Strategy<Value = Probabilities> {
        let free = prop::array::uniform7(0.0f32..1.0).prop_map(|weights| {
            let sum: f32 = weights.iter().sum::<f32>().max(1e-6);
            weights.map(|weight| weight / sum)
        });
        prop_oneof![4 => free, 1 => (0usize..7).prop_map(|class| spread(class, 1.0))]
    }

    /// Frames at uneven times, some without a reading.
    fn observations() -> impl Strategy<Value = Vec<(f64, Option<Probabilities>)>> {
        prop::collection::vec((0.001f64..0.2, prop::option::weighted(0.8, probabilities())), 1..120).prop_map(
            |frames| {
                let mut time_s = -0.5;
                let timed = |(step_s, probabilities)| {
                    time_s += step_s;
                    (time_s, probabilities)
                };
                frames.into_iter().map(timed).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn without_a_limit_on_the_lag_the_posterior_is_that_of_the_whole_sequence(
            observations in observations(), dwell_s in 0.05f64..3.0, evidence_s in 0.01f64..0.2, doubt in 0.0f64..0.3,
        ) {
            let settings = SmoothSettings { dwell_s, evidence_s, doubt, lag_s: 1e9, max_lag_frames: usize::MAX };
            let smoothed = smooth(&settings, &observations);
            let expected = reference(&settings, &observations);
            prop_assert_eq!(smoothed.len(), expected.len());
            for (smoothed, expected) in smoothed.iter().zip(expected) {
                prop_assert_eq!(smoothed.posterior.is_some(), expected.is_some());
                for (found, expected) in smoothed.posterior.iter().flatten().zip(expected.iter().flatten()) {
                    prop_assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} against {expected}");
                }
            }
        }

        #[test]
        fn frames_come_back_once_in_order_and_labelled_exactly_where_they_were_read(observations in observations()) {
            let smoothed = smooth(&SmoothSettings::default(), &observations);
            prop_assert!(smoothed.iter().map(|frame| frame.frame).eq(0..observations.len()));
            for (smoothed, (_, probabilities)) in smoothed.iter().zip(&observations) {
                prop_assert_eq!(smoothed.label.is_some(), probabilities.is_some());
                prop_assert_eq!(smoothed.confidence.is_some(), probabilities.is_some());
                if let Some(posterior) = smoothed.posterior {
                    prop_assert!((posterior.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                    prop_assert_eq!(smoothed.label, Some(most_probable(&posterior)));
                }
            }
        }

        #[test]
        fn no_label_waits_longer_than_the_lag(
            observations in observations(), lag_s in 0.0f64..1.0, max_lag_frames in 0usize..20,
        ) {
            let mut smoother = Smoother::new(&SmoothSettings { lag_s, max_lag_frames, ..SmoothSettings::default() });
            let mut released = 0;
            for (frame, &(time_s, probabilities)) in observations.iter().enumerate() {
                released += smoother.push(Observation { frame, time_s, probabilities }).len();
                prop_assert!(frame - released <= max_lag_frames);
                prop_assert!(observations[released..frame].iter().all(|(waiting_s, _)| time_s - waiting_s < lag_s));
            }
        }

        #[test]
        fn twice_the_frame_rate_moves_no_boundary_by_more_than_a_frame(
            expressions in prop::collection::vec((0usize..7, 6usize..40), 1..8), top in 0.7f32..0.95,
        ) {
            let frames: Vec<_> =
                expressions.iter().flat_map(|(class, count)| vec![spread(*class, top); *count]).collect();
            let doubled: Vec<_> = frames.iter().flat_map(|probabilities| [*probabilities; 2]).collect();
            let settings = SmoothSettings::default();
            let once = runs(&labels(&settings, &at_rate(25.0, &frames)));
            let twice = runs(&labels(&settings, &at_rate(50.0, &doubled)));
            prop_assert_eq!(once.len(), twice.len());
            for ((label, run), (doubled_label, doubled_run)) in once.iter().zip(&twice) {
                prop_assert_eq!(label, doubled_label);
                prop_assert!((2 * run.start).abs_diff(doubled_run.start) <= 2);
            }
        }

        #[test]
        fn no_number_upsets_it(
            frames in prop::collection::vec((any::<f64>(), prop::array::uniform7(any::<f32>())), 1..40),
        ) {
            let observations: Vec<_> = frames.into_iter().map(|(time_s, readings)| (time_s, Some(readings))).collect();
            for smoothed in smooth(&SmoothSettings { doubt: 0.0, ..SmoothSettings::default() }, &observations) {
                let posterior = smoothed.posterior.expect("every frame had a reading");
                prop_assert!((posterior.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{posterior:?}");
            }
        }
    }
}

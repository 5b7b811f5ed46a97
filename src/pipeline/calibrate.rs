//! Measures a signer's face at rest and corrects labels for it.
//!
//! To a network, some faces at rest look sad or angry. Calibration selects the frames in which a face hardly moves and
//! takes the median over them of each class's log-odds against neutral. If those odds are higher than a resting face
//! should have (`REST`), it subtracts the excess in all of the signer's frames. It only ever lowers a class relative
//! to neutral. Because of the median, the signer's usual look counts and brief expressions do not. Raw probabilities
//! stay unchanged; labels and segments are computed again.

use serde::{Deserialize, Serialize};

use super::Settings;
use super::segment::segments;
use super::smooth::{Observation, Smoothed, Smoother};
use crate::timeline::{Expression, FrameRecord, Probabilities, Status, Timeline, Track, json_value};

/// A resting face is neutral with this probability, and the other classes share the rest evenly: log-odds of -3.2. On
/// the neutral pictures of PrivateTest, the default model's median is -3.6 for sadness and below -6 for every other
/// class, so that most people's faces need no correction.
const REST: f64 = 0.8;
/// Largest amount by which a class is lowered, in units of log-odds (a factor of 20); beyond it, the class would never
/// be seen again.
const MOST: f64 = 3.0;
/// A frame is at rest if the box's centre moves by less than this, box sides per second,
const STILL: f64 = 0.5;
/// and if the network is at least this sure of its class.
const SURE: f32 = 0.5;
/// A face that is at rest for a shorter time gets no correction, seconds.
const LEAST_S: f64 = 1.0;
/// Smaller probabilities count as this, since 0 has no logarithm.
const SMALLEST: f64 = 1e-6;

/// What calibration found and did; stored in the timeline's settings as `calibration`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// SHA-256 of the weights to which it applies.
    pub model_sha256: String,
    /// One entry for each signer.
    pub signers: Vec<SignerCalibration>,
}

/// One signer's calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerCalibration {
    /// The signer's name, as in `expression@A`.
    pub signer: String,
    /// For how long the face was at rest, seconds.
    pub rest_s: f64,
    /// Added to each class's log-odds against neutral, in canonical order; 0 or below.
    pub correction: [f64; Expression::COUNT],
    /// Share of the labelled frames in each class without calibration, in canonical order.
    pub before: [f64; Expression::COUNT],
    /// The same with calibration.
    pub after: [f64; Expression::COUNT],
}

/// Measures each signer's face at rest. Signers who are at rest too briefly get no correction.
pub fn measure(timeline: &Timeline) -> Calibration {
    let signers = timeline
        .tracks
        .iter()
        .map(|track| {
            let (rest_s, correction) = correction(track, timeline);
            let shares = shares(track);
            SignerCalibration { signer: track.signer(), rest_s, correction, before: shares, after: shares }
        })
        .collect();
    Calibration { model_sha256: timeline.model.sha256.clone(), signers }
}

/// Computes labels and segments again with `known` corrections by signer, and stores the resulting calibration in the
/// timeline's settings. Signers without a known correction stay unchanged.
pub fn apply(timeline: &mut Timeline, settings: &Settings, known: &Calibration) -> Calibration {
    let video_end_s = timeline.end_s();
    let mut signers = Vec::new();
    for track in &mut timeline.tracks {
        let signer = track.signer();
        let Some(known) = known.signers.iter().find(|known| known.signer == signer) else { continue };
        let before = shares(track);
        let smoothed = smooth(track, &timeline.frames.time_s, &known.correction, settings);
        for (record, smoothed) in track.frames.iter_mut().zip(&smoothed) {
            (record.label, record.confidence) = (smoothed.label, smoothed.confidence);
        }
        let segments = segments(&smoothed, &timeline.frames, video_end_s, &settings.segment);
        track.segments = segments
            .into_iter()
            .map(|segment| segment.with_raw_probability(&track.frames).with_face(&track.frames, &track.events))
            .collect();
        signers.push(SignerCalibration { before, after: shares(track), ..known.clone() });
    }
    let calibration = Calibration { model_sha256: known.model_sha256.clone(), signers };
    if let (Some(settings), Ok(value)) = (timeline.settings.as_object_mut(), json_value(&calibration)) {
        settings.insert(KEY.into(), value);
    }
    calibration
}

/// Where the signers' faces at rest are known from.
#[derive(Debug, Clone, PartialEq)]
pub enum CalibrationSource {
    /// They are measured in the video itself.
    Own,
    /// Another video's, whose signers A, B, ... are this one's too.
    Other(Calibration),
}

/// Corrects the labels of `timeline` by what `source` knows, and stores the calibration in the timeline's settings.
pub fn calibrate(timeline: &mut Timeline, settings: &Settings, source: &CalibrationSource) -> Calibration {
    let known = match source {
        CalibrationSource::Own => measure(timeline),
        CalibrationSource::Other(calibration) => calibration.clone(),
    };
    apply(timeline, settings, &known)
}

/// The calibration in a timeline's settings, if it was made with one.
pub fn of(timeline: &Timeline) -> Option<Calibration> {
    serde_json::from_value(timeline.settings.get(KEY)?.clone()).ok()
}

const KEY: &str = "calibration";

fn smooth(track: &Track, time_s: &[f64], correction: &[f64; Expression::COUNT], settings: &Settings) -> Vec<Smoothed> {
    let mut smoother = Smoother::new(&settings.smooth);
    let mut smoothed: Vec<Smoothed> = Vec::with_capacity(track.frames.len());
    for record in &track.frames {
        let probabilities = record.read_probabilities().map(|p| corrected(&p, correction));
        let observation = Observation { frame: record.frame, time_s: time_s[record.frame], probabilities };
        smoothed.extend(smoother.push(observation));
    }
    smoothed.extend(smoother.finish());
    smoothed
}

/// The probabilities after each class's log-odds against neutral are moved by `correction`.
pub fn corrected(probabilities: &Probabilities, correction: &[f64; Expression::COUNT]) -> Probabilities {
    if correction.iter().all(|c| *c == 0.0) {
        return *probabilities;
    }
    let mut values = [0.0; Expression::COUNT];
    for ((value, probability), correction) in values.iter_mut().zip(probabilities).zip(correction) {
        *value = f64::from(*probability) * correction.exp();
    }
    let sum: f64 = values.iter().sum();
    values.map(|value| (value / sum.max(f64::MIN_POSITIVE)) as f32)
}

/// For how long the face was at rest, and the correction of its classes.
fn correction(track: &Track, timeline: &Timeline) -> (f64, [f64; Expression::COUNT]) {
    let times = &timeline.frames;
    let video_end_s = timeline.end_s();
    let mut rest_s = 0.0;
    let mut at_rest: Vec<Probabilities> = Vec::new();
    for pair in track.frames.windows(2) {
        let elapsed_s = times.time_s[pair[1].frame] - times.time_s[pair[0].frame];
        let Some(probabilities) = pair[1].read_probabilities().filter(|_| is_at_rest(&pair[0], &pair[1], elapsed_s))
        else {
            continue;
        };
        rest_s += times.end_s(pair[1].frame, video_end_s) - times.time_s[pair[1].frame];
        at_rest.push(probabilities);
    }
    if rest_s < LEAST_S {
        return (rest_s, [0.0; Expression::COUNT]);
    }
    (rest_s, resting_correction(&at_rest))
}

/// The correction, added to each class's log-odds against neutral, of a face that gives `answers` at rest; there is at least
/// one.
pub fn resting_correction(answers: &[Probabilities]) -> [f64; Expression::COUNT] {
    let usual = ((1.0 - REST) / (Expression::COUNT - 1) as f64 / REST).ln();
    let log = |probability: f32| f64::from(probability).max(SMALLEST).ln();
    let mut correction = [0.0; Expression::COUNT];
    for class in Expression::ALL.into_iter().filter(|class| *class != Expression::Neutral) {
        let odds = answers.iter().map(|p| log(p[class.index()]) - log(p[Expression::Neutral.index()]));
        let mut odds: Vec<f64> = odds.collect();
        let middle = odds.len() / 2;
        let (_, median, _) = odds.select_nth_unstable_by(middle, f64::total_cmp);
        correction[class.index()] = (usual - *median).clamp(-MOST, 0.0);
    }
    correction
}

fn is_at_rest(before: &FrameRecord, now: &FrameRecord, elapsed_s: f64) -> bool {
    let sure = now.read_probabilities().is_some_and(|p| p.iter().any(|p| *p >= SURE));
    let (Some(a), Some(b)) = (before.face, now.face) else { return false };
    let ((ax, ay), (bx, by)) = (a.centre(), b.centre());
    let moved = f64::from((bx - ax).hypot(by - ay) / b.w.max(1.0));
    sure && now.status == Status::Ok && elapsed_s > 0.0 && moved / elapsed_s < STILL
}

/// Share of the labelled frames in each class.
fn shares(track: &Track) -> [f64; Expression::COUNT] {
    let mut counts = [0.0; Expression::COUNT];
    let mut all: f64 = 0.0;
    for label in track.frames.iter().filter_map(|record| record.label) {
        counts[label.index()] += 1.0;
        all += 1.0;
    }
    counts.map(|count| count / all.max(1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    /// A signer who does not move, at 25 frames per second, with these probabilities.
    fn still(probabilities: &[Probabilities]) -> Timeline {
        let mut timeline = sample::two_signers();
        timeline.tracks.truncate(1);
        let template = timeline.tracks[0].frames[0].clone();
        timeline.frames.pts = (0..probabilities.len() as i64).collect();
        timeline.frames.time_s = (0..probabilities.len()).map(|frame| frame as f64 * 0.04).collect();
        timeline.frames.status = vec![Status::Ok; probabilities.len()];
        timeline.media.duration_s = probabilities.len() as f64 * 0.04;
        let track = &mut timeline.tracks[0];
        track.frames = probabilities
            .iter()
            .enumerate()
            .map(|(frame, p)| FrameRecord { frame, probabilities: Some(*p), ..template.clone() })
            .collect();
        timeline
    }

    const RESTING: Probabilities = [0.3, 0.01, 0.01, 0.01, 0.01, 0.01, 0.65];
    const SMILING: Probabilities = [0.02, 0.95, 0.005, 0.005, 0.005, 0.005, 0.01];

    #[test]
    fn a_face_that_looks_angry_at_rest_becomes_neutral_and_its_smile_stays() {
        let mut probabilities = vec![RESTING; 75];
        probabilities.extend(vec![SMILING; 25]);
        let mut timeline = still(&probabilities);
        let settings = Settings::default();
        let measured = measure(&timeline);
        let calibration = apply(&mut timeline, &settings, &measured);
        let share = |class: Expression| calibration.signers[0].after[class.index()];
        assert!(share(Expression::Neutral) > 0.7 && share(Expression::Happiness) > 0.2, "{calibration:?}");
        assert_eq!(share(Expression::Anger), 0.0);
        assert_eq!(timeline.tracks[0].frames[0].probabilities, Some(RESTING), "the network's own words stay");
        assert_eq!(of(&timeline), Some(calibration));
    }

    #[test]
    fn a_neutral_face_needs_no_correction() {
        let neutral = [0.94, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01];
        assert_eq!(measure(&still(&[neutral; 50])).signers[0].correction, [0.0; Expression::COUNT]);
    }

    #[test]
    fn a_moment_at_rest_is_too_short_to_tell() {
        assert_eq!(measure(&still(&[RESTING; 20])).signers[0].correction, [0.0; Expression::COUNT]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_class_but_neutral_is_ever_raised(
            weights in proptest::array::uniform7(0.001f32..1.0), correction in proptest::array::uniform6(-3.0f64..=0.0),
        ) {
            let sum: f32 = weights.iter().sum();
            let before = weights.map(|w| w / sum);
            let mut all = [0.0; Expression::COUNT];
            all[1..].copy_from_slice(&correction);
            let after = corrected(&before, &all);
            prop_assert!((after.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            prop_assert!(after[0] >= before[0] - 1e-6);
            for class in 1..Expression::COUNT {
                prop_assert!(after[class] / after[0] <= before[class] / before[0] * (1.0 + 1e-5));
            }
        }
    }
}

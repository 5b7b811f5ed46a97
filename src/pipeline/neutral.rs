//! What a signer's face is like when it does nothing: brow heights, widths and apertures differ from person to person by more
//! than an expression changes them.
//!
//! Without anybody's word, it is what the face is like in the frames in which it moves least, among those in which the head is
//! turned as it mostly is. Brows that are raised in most of a video are told by the rest of it: nothing lowers brows as far as
//! raising lifts them. Where another expression fills a whole video, that is the wrong face; a person may name a stretch, or
//! other videos of the signer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::timeline::{
    FaceMeasures, FrameRecord, FrameTimes, Measure, Neutral, NeutralSource, Timeline, Track, signer,
};

/// What measures are relative to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeutralChoice {
    /// The frames in which a face moves least.
    #[default]
    Still,
    /// A stretch of the video, seconds of container time, for all signers who are seen in it; the others as without it.
    Stretch {
        /// Its beginning.
        start_s: f64,
        /// Its end.
        end_s: f64,
    },
    /// That of other videos, by the names of their signers, who are this video's too; others as without it.
    Other {
        /// Their paths, as they stand in their timelines, with commas between them.
        path: String,
        /// The values.
        signers: BTreeMap<String, FaceMeasures>,
    },
}

/// A head turned further from its usual turn than this says nothing of the neutral face, degrees.
const NEAR_YAW_DEGREES: f64 = 12.0;
const NEAR_PITCH_DEGREES: f64 = 10.0;
/// Share of the frames, those in which the face moves least.
const STILLEST: f64 = 0.4;
/// Time over which movement is averaged, seconds.
const AVERAGED_S: f64 = 0.2;
/// How much of a measure counts as one unit of movement: degrees, shares of the eyes' distance, apertures.
const UNITS: [(Measure, f64); 7] = [
    (Measure::Yaw, 10.0),
    (Measure::Pitch, 10.0),
    (Measure::Roll, 10.0),
    (Measure::MouthOpening, 0.1),
    (Measure::InnerBrowHeight, 0.05),
    (Measure::EyeApertureLeft, 0.1),
    (Measure::EyeApertureRight, 0.1),
];
/// Brows of which a share of frames lies further below the still ones than a frown lowers them are raised while still. The deepest
/// frown that was seen lowers them by 0.028 (docs/measures.md); shares of the eyes' distance.
const BELOW_FROWN: f64 = 0.035;
/// That share of frames.
const LOWEST: f64 = 0.15;
/// Apertures of open eyes: this quantile of all, as blinks and lowered lids only ever take something away.
const OPEN: f64 = 0.75;
/// Looking up or down further than this changes what is seen of an eye, degrees.
const OPEN_PITCH_DEGREES: f64 = 15.0;

/// What the measures of track `id` are relative to; none where nothing was measured. The measures of `frames` are not relative.
pub(crate) fn neutral(frames: &[FrameRecord], times: &FrameTimes, id: u32, choice: &NeutralChoice) -> Option<Neutral> {
    let measured: Vec<(f64, FaceMeasures)> =
        frames.iter().filter_map(|record| Some((times.time_s[record.frame], record.measures?))).collect();
    if measured.is_empty() {
        return None;
    }
    match choice {
        NeutralChoice::Other { path, signers } => {
            if let Some(values) = signers.get(&signer(id)) {
                return Some(Neutral {
                    source: NeutralSource::Other { path: path.clone() },
                    frames: 0,
                    values: *values,
                });
            }
        }
        NeutralChoice::Stretch { start_s, end_s } => {
            let inside = |(time_s, _): &&(f64, FaceMeasures)| (*start_s..*end_s).contains(time_s);
            let chosen: Vec<FaceMeasures> = measured.iter().filter(inside).map(|(_, measures)| *measures).collect();
            if !chosen.is_empty() {
                let source = NeutralSource::Stretch { start_s: *start_s, end_s: *end_s };
                return Some(Neutral { source, frames: chosen.len(), values: typical(&chosen, &chosen) });
            }
        }
        NeutralChoice::Still => {}
    }
    let still = still(&measured);
    let all: Vec<FaceMeasures> = measured.into_iter().map(|(_, measures)| measures).collect();
    Some(Neutral { source: NeutralSource::Still, frames: still.len(), values: typical(&still, &all) })
}

/// The neutral faces of the signers of other videos, from all frames that these were taken from; none where no face was measured.
/// Stretches that a person named count alone where there are any.
pub fn pooled(timelines: &[Timeline]) -> Option<NeutralChoice> {
    let mut signers: BTreeMap<String, Pool> = BTreeMap::new();
    for timeline in timelines {
        for track in &timeline.tracks {
            if let Some(neutral) = &track.neutral {
                signers.entry(track.signer()).or_default().add(track, neutral, &timeline.frames);
            }
        }
    }
    let path = timelines.iter().map(|timeline| timeline.media.path.as_str()).collect::<Vec<_>>().join(", ");
    let signers: BTreeMap<_, _> = signers.into_iter().map(|(name, pool)| (name, pool.values())).collect();
    (!signers.is_empty()).then_some(NeutralChoice::Other { path, signers })
}

/// Frames of one signer from several videos.
#[derive(Default)]
struct Pool {
    still: Vec<FaceMeasures>,
    named: Vec<FaceMeasures>,
    all: Vec<FaceMeasures>,
    /// What stands in the files.
    stored: Vec<FaceMeasures>,
}

impl Pool {
    fn add(&mut self, track: &Track, neutral: &Neutral, times: &FrameTimes) {
        self.stored.push(neutral.values);
        let absolute =
            |record: &FrameRecord| Some((times.time_s[record.frame], record.measures?.absolute_from(&neutral.values)));
        let measured: Vec<(f64, FaceMeasures)> = track.frames.iter().filter_map(absolute).collect();
        match &neutral.source {
            NeutralSource::Still => self.still.extend(still(&measured)),
            NeutralSource::Stretch { start_s, end_s } => {
                let inside = measured.iter().filter(|(time_s, _)| (*start_s..*end_s).contains(time_s));
                self.named.extend(inside.map(|(_, measures)| *measures));
            }
            NeutralSource::Other { .. } => {}
        }
        self.all.extend(measured.into_iter().map(|(_, measures)| measures));
    }

    fn values(self) -> FaceMeasures {
        match (self.stored.as_slice(), self.named.is_empty(), self.still.is_empty()) {
            ([only], ..) => *only,
            (_, false, _) => typical(&self.named, &self.named),
            (_, true, false) => typical(&self.still, &self.all),
            // All of them have it from yet another video.
            (stored, true, true) => stored.last().copied().unwrap_or_default(),
        }
    }
}

/// The frames in which the face moves least; all of them where that cannot be told.
fn still(measured: &[(f64, FaceMeasures)]) -> Vec<FaceMeasures> {
    let all: Vec<FaceMeasures> = measured.iter().map(|(_, measures)| *measures).collect();
    let of = |measure: Measure| quantile(all.iter().filter_map(|measures| measures.get(measure)), 0.5);
    let (Some(yaw), Some(pitch)) = (of(Measure::Yaw), of(Measure::Pitch)) else { return all };
    let is_near = |measures: &FaceMeasures| {
        let within =
            |measure, middle: f64, most| measures.get(measure).is_some_and(|value| (value - middle).abs() < most);
        within(Measure::Yaw, yaw, NEAR_YAW_DEGREES) && within(Measure::Pitch, pitch, NEAR_PITCH_DEGREES)
    };
    let speeds: Vec<Option<f64>> = (0..measured.len()).map(|index| speed(measured, index)).collect();
    let averaged: Vec<Option<f64>> = (0..measured.len()).map(|index| average(measured, &speeds, index)).collect();
    let near: Vec<(f64, FaceMeasures)> = averaged
        .iter()
        .zip(&all)
        .filter_map(|(speed, measures)| Some(((*speed)?, *measures)).filter(|(_, measures)| is_near(measures)))
        .collect();
    slowest(&unraised(&near)).unwrap_or(all)
}

/// Those of the frames that move least; none where there are no frames.
fn slowest(near: &[(f64, FaceMeasures)]) -> Option<Vec<FaceMeasures>> {
    let slow = quantile(near.iter().map(|(speed, _)| *speed), STILLEST)?;
    Some(near.iter().filter(|(speed, _)| *speed <= slow).map(|(_, measures)| *measures).collect())
}

/// All frames, or only those in which the brows are not raised where they are raised in most of the still ones.
fn unraised(near: &[(f64, FaceMeasures)]) -> Vec<(f64, FaceMeasures)> {
    let brow = |measures: &FaceMeasures| measures.get(Measure::InnerBrowHeight);
    let usual = slowest(near).and_then(|still| quantile(still.iter().filter_map(brow), 0.5));
    let low = quantile(near.iter().filter_map(|(_, measures)| brow(measures)), LOWEST);
    let Some((usual, low)) = usual.zip(low).filter(|(usual, low)| usual - low > BELOW_FROWN) else {
        return near.into();
    };
    let highest = (usual + low) / 2.0;
    near.iter().filter(|(_, measures)| brow(measures).is_some_and(|brow| brow < highest)).copied().collect()
}

/// How fast the face changes about a frame, in units a second; none at the ends, and where something was not measured.
fn speed(measured: &[(f64, FaceMeasures)], index: usize) -> Option<f64> {
    let (before, after) = (measured.get(index.checked_sub(1)?)?, measured.get(index + 1)?);
    let seconds = after.0 - before.0;
    let change = |(measure, unit): (Measure, f64)| Some((after.1.get(measure)? - before.1.get(measure)?).abs() / unit);
    let changes: Option<Vec<f64>> = UNITS.into_iter().map(change).collect();
    Some(changes?.iter().sum::<f64>() / seconds).filter(|speed| speed.is_finite())
}

/// The mean speed about a frame.
fn average(measured: &[(f64, FaceMeasures)], speeds: &[Option<f64>], index: usize) -> Option<f64> {
    let now = measured[index].0;
    let is_near = |other: &usize| (measured[*other].0 - now).abs() <= AVERAGED_S / 2.0;
    let before = (0..index).rev().take_while(is_near);
    let near: Option<Vec<f64>> = before.chain((index..measured.len()).take_while(is_near)).map(|p| speeds[p]).collect();
    near.map(|near| near.iter().sum::<f64>() / near.len() as f64)
}

/// Medians of the chosen frames; of all where a measure is in none of them. Eyes as they are when open.
fn typical(chosen: &[FaceMeasures], all: &[FaceMeasures]) -> FaceMeasures {
    let median = |measure: Measure| {
        let of = |frames: &[FaceMeasures]| quantile(frames.iter().filter_map(|measures| measures.get(measure)), 0.5);
        of(chosen).or_else(|| of(all))
    };
    let mut values = FaceMeasures::default();
    for measure in Measure::ALL {
        values.set(measure, median(measure));
    }
    let pitch = values.get(Measure::Pitch).unwrap_or(0.0);
    for eye in [Measure::EyeApertureLeft, Measure::EyeApertureRight] {
        let is_level = |measures: &&FaceMeasures| {
            measures.get(Measure::Pitch).is_some_and(|own| (own - pitch).abs() < OPEN_PITCH_DEGREES)
        };
        let open = quantile(all.iter().filter(is_level).filter_map(|measures| measures.get(eye)), OPEN);
        values.set(eye, open.or(values.get(eye)));
    }
    values
}

/// The value below which that share of all lies, between two values where it falls between them.
fn quantile(values: impl Iterator<Item = f64>, share: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let rank = share * values.len().checked_sub(1)? as f64;
    let (below, above) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    Some(below + (above - below) * rank.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::timeline::Status;

    /// A face whose inner brows are as given, at 25 frames a second; everything else is still.
    fn track(brows: &[f64]) -> (Vec<FrameRecord>, FrameTimes) {
        let template = sample::two_signers().tracks[0].frames[0].clone();
        let record = |(frame, brow): (usize, &f64)| {
            let mut measures = FaceMeasures::default();
            for (measure, _) in UNITS {
                measures.set(measure, Some(0.3));
            }
            measures.set(Measure::InnerBrowHeight, Some(*brow));
            FrameRecord { frame, measures: Some(measures), ..template.clone() }
        };
        let times = FrameTimes {
            pts: (0..brows.len() as i64).collect(),
            time_s: (0..brows.len()).map(|frame| frame as f64 / 25.0).collect(),
            status: vec![Status::Ok; brows.len()],
        };
        (brows.iter().enumerate().map(record).collect(), times)
    }

    /// Still at 0.3 for two seconds, then up and down for three.
    fn lively() -> Vec<f64> {
        (0..125).map(|frame| if frame < 50 { 0.3 } else { 0.4 + 0.08 * (frame as f64).sin() }).collect()
    }

    #[test]
    fn neutral_is_what_the_face_is_like_while_it_is_still() {
        let (frames, times) = track(&lively());
        let found = neutral(&frames, &times, 1, &NeutralChoice::Still).unwrap();
        assert_eq!(found.source, NeutralSource::Still);
        assert_eq!(found.values.get(Measure::InnerBrowHeight), Some(0.3));
        assert!((40..=55).contains(&found.frames), "{}", found.frames);
    }

    #[test]
    fn brows_that_are_raised_in_most_of_a_video_are_not_neutral_and_a_frown_is_no_rest() {
        let held =
            |runs: &[(f64, usize)]| -> Vec<f64> { runs.iter().flat_map(|(brow, count)| vec![*brow; *count]).collect() };
        let (frames, times) = track(&held(&[(0.20, 12), (0.26, 75), (0.20, 12)]));
        let found = neutral(&frames, &times, 1, &NeutralChoice::Still).unwrap();
        assert_eq!(found.values.get(Measure::InnerBrowHeight), Some(0.2));
        let (frames, times) = track(&held(&[(0.20, 60), (0.172, 40)]));
        let found = neutral(&frames, &times, 1, &NeutralChoice::Still).unwrap();
        assert_eq!(found.values.get(Measure::InnerBrowHeight), Some(0.2));
    }

    #[test]
    fn a_stretch_that_a_person_names_is_taken_where_the_face_is_seen_in_it() {
        let (frames, times) = track(&lively());
        let stretch = NeutralChoice::Stretch { start_s: 2.0, end_s: 5.0 };
        let found = neutral(&frames, &times, 1, &stretch).unwrap();
        assert_eq!((found.frames, found.values.get(Measure::InnerBrowHeight) > Some(0.35)), (75, true));
        let elsewhere = NeutralChoice::Stretch { start_s: 90.0, end_s: 95.0 };
        assert_eq!(neutral(&frames, &times, 1, &elsewhere).unwrap().source, NeutralSource::Still);
    }

    /// A timeline whose only signer has these frames, which are relative to what was found in them.
    fn timeline((mut frames, times): (Vec<FrameRecord>, FrameTimes), choice: &NeutralChoice) -> Timeline {
        let mut timeline = sample::two_signers();
        let found = neutral(&frames, &times, 1, choice).unwrap();
        for record in &mut frames {
            record.measures = record.measures.map(|measures| measures.relative_to(&found.values));
        }
        timeline.tracks.truncate(1);
        (timeline.tracks[0].frames, timeline.tracks[0].neutral, timeline.frames) = (frames, Some(found), times);
        timeline
    }

    #[test]
    fn a_signers_videos_are_pooled_frame_by_frame_and_named_stretches_count_alone() {
        let brow = |choice: Option<NeutralChoice>| match choice {
            Some(NeutralChoice::Other { signers, .. }) => signers["A"].get(Measure::InnerBrowHeight),
            _ => None,
        };
        let short = || timeline(track(&[0.2; 10]), &NeutralChoice::Still);
        let long = || timeline(track(&[0.3; 100]), &NeutralChoice::Still);
        assert_eq!(brow(pooled(&[short()])), Some(0.2));
        assert_eq!(brow(pooled(&[short(), long()])), Some(0.3), "ten times as many frames");
        let named = timeline(track(&[0.2; 10]), &NeutralChoice::Stretch { start_s: 0.0, end_s: 0.3 });
        assert_eq!(brow(pooled(&[named, long()])), Some(0.2));
        let mut nobody = short();
        nobody.tracks[0].neutral = None;
        assert_eq!(pooled(&[nobody]), None);
    }

    #[test]
    fn another_videos_values_go_to_the_signer_of_the_same_name() {
        let (frames, times) = track(&lively());
        let mut values = FaceMeasures::default();
        values.set(Measure::InnerBrowHeight, Some(0.123));
        let choice = NeutralChoice::Other { path: "other.mp4".into(), signers: [("B".to_owned(), values)].into() };
        assert_eq!(neutral(&frames, &times, 2, &choice).unwrap().values, values);
        assert_eq!(neutral(&frames, &times, 1, &choice).unwrap().source, NeutralSource::Still);
    }

    #[test]
    fn a_face_that_was_never_measured_has_no_neutral_and_one_seen_once_has() {
        let (mut frames, times) = track(&[0.3]);
        assert!(neutral(&frames, &times, 1, &NeutralChoice::Still).is_some());
        frames[0].measures = None;
        assert_eq!(neutral(&frames, &times, 1, &NeutralChoice::Still), None);
    }
}

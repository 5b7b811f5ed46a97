//! From measures to events: stretches in which a face or head does something.
//!
//! The strongest frame of an event has to pass a threshold (`enter`); from there the event reaches out to both sides as far as
//! the measure keeps a share of that peak (`edge`), and never below `stay`. So the edges lie where the movement is half done, at
//! small events as at large ones, and noise about a threshold does not cut an event to pieces: hysteresis, with the lower
//! threshold taken from the event itself. Short gaps are bridged, and what is shorter than a movement can be does not count.
//! Thresholds, and how often they are right: docs/measures.md.

use serde::{Deserialize, Serialize};

use super::settings::{SettingError, require};
use crate::timeline::{
    EventKind, FaceEvent, FaceMeasures, FrameRecord, FrameTimes, Measure, Neutral, Status, score_in_file,
};

/// Thresholds of one kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// What the measure has to reach once, in its unit.
    pub enter: f64,
    /// Share of its peak that it has to keep, 0 to 1.
    pub edge: f64,
    /// What it has to keep in any case, in its unit.
    pub stay: f64,
    /// Shorter ones do not count, seconds.
    pub min_s: f64,
    /// Gaps up to this long are bridged, seconds.
    pub bridge_s: f64,
}

/// From where on something is an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// Inner brow height above the neutral one, shares of the eyes' distance.
    pub brows_raised: Threshold,
    /// What the eyes lack of their aperture shortly before and after, as a share of it.
    pub blink: Threshold,
    /// What the eyes lack of the aperture of open eyes, as a share of it.
    pub eyes_closed: Threshold,
    /// Mouth opening above the neutral one, shares of the eyes' distance.
    pub mouth_open: Threshold,
    /// What the mouth lacks of its neutral width, shares of the eyes' distance.
    pub mouth_rounded: Threshold,
    /// Yaw from the neutral one, degrees.
    pub head_turned: Threshold,
    /// Pitch from the neutral one, degrees.
    pub head_up_down: Threshold,
    /// Roll from the neutral one, degrees.
    pub head_tilted: Threshold,
    /// Swing of a nod or a shake, degrees; at least three swings, each within `bridge_s` of the one before and at least `edge` of its
    /// size, and the other way round.
    pub nod_shake: Threshold,
    /// Share of the face, or of its eyes, nose or mouth, that hands cover.
    pub hand_on_face: Threshold,
}

impl Default for EventSettings {
    fn default() -> Self {
        let threshold = |enter, edge, stay, min_s, bridge_s| Threshold { enter, edge, stay, min_s, bridge_s };
        Self {
            brows_raised: threshold(0.025, 0.6, 0.01, 0.12, 0.12),
            blink: threshold(0.3, 0.5, 0.1, 0.03, 0.0),
            eyes_closed: threshold(0.65, 0.5, 0.3, 0.6, 0.1),
            mouth_open: threshold(0.07, 0.4, 0.03, 0.08, 0.08),
            mouth_rounded: threshold(0.1, 0.5, 0.03, 0.12, 0.12),
            head_turned: threshold(13.0, 0.5, 6.0, 0.12, 0.12),
            head_up_down: threshold(20.0, 0.5, 6.0, 0.12, 0.12),
            head_tilted: threshold(9.0, 0.5, 4.0, 0.16, 0.12),
            nod_shake: threshold(3.0, 0.4, 3.0, 0.3, 0.5),
            hand_on_face: threshold(0.2, 0.2, 0.1, 0.08, 0.2),
        }
    }
}

impl EventSettings {
    /// Whether the settings make sense: finite, thresholds above 0, `stay` not above `enter`, shares, times of at least 0.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), SettingError> {
        let all = [
            ("events.brows_raised", &self.brows_raised),
            ("events.blink", &self.blink),
            ("events.eyes_closed", &self.eyes_closed),
            ("events.mouth_open", &self.mouth_open),
            ("events.mouth_rounded", &self.mouth_rounded),
            ("events.head_turned", &self.head_turned),
            ("events.head_up_down", &self.head_up_down),
            ("events.head_tilted", &self.head_tilted),
            ("events.nod_shake", &self.nod_shake),
            ("events.hand_on_face", &self.hand_on_face),
        ];
        let is_duration = |seconds: f64| seconds >= 0.0 && seconds.is_finite();
        for (name, Threshold { enter, edge, stay, min_s, bridge_s }) in all {
            require(name, *enter, "above 0", |enter| enter > 0.0 && enter.is_finite())?;
            require(name, *edge, "a share, 0 to 1", |edge| (0.0..=1.0).contains(&edge))?;
            require(name, *stay, "above 0 and at most what is to be reached", |stay| stay > 0.0 && stay <= *enter)?;
            require(name, *min_s, "at least 0 seconds", is_duration)?;
            require(name, *bridge_s, "at least 0 seconds", is_duration)?;
        }
        Ok(())
    }
}

/// Looking this far up or down, or aside, brows and mouth say little, degrees.
const READABLE_PITCH_DEGREES: f64 = 30.0;
/// What opens the mouth in one frame alone is no mouth: a hand before it makes the points of the lips jump. The opening is the median of
/// all frames up to so far away, seconds.
const LIPS_STEADIED_S: f64 = 0.04;
/// Sums of frame times miss round settings by a few rounding errors.
const ROUNDING_S: f64 = 1e-6;
/// What eyes are compared with in a blink: the medians of so long before and after, seconds. Lowered lids are no blink.
const ABOUT_BLINK_S: f64 = 0.5;
/// Frames that make a median; where a side has fewer, the other side is compared with alone.
const BESIDE_BLINK: usize = 5;
/// A frame beside an event that exceeds its neighbour by less than this share of `enter` only falls away from the event.
const FALLING: f64 = 0.1;
/// Swings of a nod or shake.
const SWINGS: usize = 3;
/// A head turned further than this neither nods nor shakes: its angles are those of half a face, degrees.
const FACING_DEGREES: f64 = 40.0;

/// The events of one track, in order of their beginning. The measures of `frames` are relative to `neutral`, but for the turns
/// of the head.
pub(crate) fn face_events(
    frames: &[FrameRecord],
    times: &FrameTimes,
    video_end_s: f64,
    neutral: &Neutral,
    settings: &EventSettings,
) -> Vec<FaceEvent> {
    let track = Series { frames, times, video_end_s };
    let turned = |measure: Measure, sign: f64| {
        let middle = neutral.values.get(measure).unwrap_or(0.0);
        move |m: &FaceMeasures| m.get(measure).map(|value| sign * (value - middle))
    };
    let level = |value: Option<f64>, m: &FaceMeasures| {
        let middle = neutral.values.get(Measure::Pitch).unwrap_or(0.0);
        value.filter(|_| m.get(Measure::Pitch).is_some_and(|p| (p - middle).abs() < READABLE_PITCH_DEGREES))
    };
    let mut events = Vec::new();
    let mut add = |kind, signal: &dyn Fn(&FaceMeasures) -> Option<f64>, threshold| {
        let spans = track.spans(&track.values(signal), threshold);
        events.extend(spans.into_iter().map(|span| track.event(kind, span)));
    };
    add(EventKind::BrowsRaised, &|m| level(m.get(Measure::InnerBrowHeight), m), &settings.brows_raised);
    // On small and over-exposed faces closed lips seem open by a little, always by the same.
    let closed = neutral.values.get(Measure::MouthOpening).unwrap_or(0.0).max(0.0);
    let opened = |m: &FaceMeasures| m.get(Measure::MouthOpening).map(|opening| opening - closed);
    add(EventKind::MouthRounded, &|m| m.get(Measure::MouthWidth).map(|width| -width), &settings.mouth_rounded);
    add(EventKind::HeadLeft, &turned(Measure::Yaw, 1.0), &settings.head_turned);
    add(EventKind::HeadRight, &turned(Measure::Yaw, -1.0), &settings.head_turned);
    add(EventKind::HeadUp, &turned(Measure::Pitch, 1.0), &settings.head_up_down);
    add(EventKind::HeadDown, &turned(Measure::Pitch, -1.0), &settings.head_up_down);
    add(EventKind::TiltLeft, &turned(Measure::Roll, 1.0), &settings.head_tilted);
    add(EventKind::TiltRight, &turned(Measure::Roll, -1.0), &settings.head_tilted);
    let opened = track.steadied(&track.values(&|m| level(opened(m), m)), LIPS_STEADIED_S);
    let opened = track.spans(&opened, &settings.mouth_open);
    events.extend(opened.into_iter().map(|span| track.event(EventKind::MouthOpen, span)));
    let open = track.values(&|m| m.get(Measure::EyeOpenness));
    let lacking: Vec<Option<f64>> = open.iter().map(|open| open.map(|open| 1.0 - open)).collect();
    let closed = track.spans(&lacking, &settings.eyes_closed);
    let blinks = track.spans(&track.dips(&open), &settings.blink);
    let apart = |blink: &EventSpan| closed.iter().all(|c| blink.last < c.first || blink.first > c.last);
    events.extend(blinks.into_iter().filter(apart).map(|span| track.event(EventKind::Blink, span)));
    events.extend(closed.iter().map(|span| track.event(EventKind::EyesClosed, *span)));
    for (kind, measure) in [(EventKind::Nod, Measure::Pitch), (EventKind::Shake, Measure::Yaw)] {
        let swings = track.swings(measure, &settings.nod_shake);
        events.extend(swings.into_iter().map(|stretch| track.event(kind, stretch)));
    }
    events.sort_by_key(|event| (event.first_frame, event.kind));
    events
}

/// The events of hands on the face of one track, in order. They need no neutral face.
pub(crate) fn hand_events(
    frames: &[FrameRecord],
    times: &FrameTimes,
    video_end_s: f64,
    settings: &EventSettings,
) -> Vec<FaceEvent> {
    let track = Series { frames, times, video_end_s };
    // As in files, so that what was cut into parts and read again has the same events to the last digit.
    let share = |record: &FrameRecord| Some(score_in_file(record.covered?.regions?.most()));
    let shares: Vec<Option<f64>> = frames.iter().map(share).collect();
    let spans = track.spans(&shares, &settings.hand_on_face).into_iter();
    spans.map(|span| track.event(EventKind::HandOnFace, span)).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((below + above) / 2.0)
}

/// A track's frames in time.
struct Series<'a> {
    frames: &'a [FrameRecord],
    times: &'a FrameTimes,
    video_end_s: f64,
}

/// Where a head turns back.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Turn {
    index: usize,
    value: f64,
    /// Where the run of frames without a gap begins.
    run: usize,
}

/// The turning points of a value, where swings smaller than a threshold count for nothing.
#[derive(Debug, Default)]
struct Zigzag {
    run: Option<usize>,
    turns: Vec<(usize, f64)>,
    /// The farthest point since the last turning point, and whether it lies above it.
    farthest: Option<(usize, f64, bool)>,
}

impl Zigzag {
    fn push(&mut self, index: usize, value: f64, least: f64) {
        self.run.get_or_insert(index);
        let Some((at, extreme, is_up)) = self.farthest else {
            let Some(&(_, first)) = self.turns.first() else {
                self.turns.push((index, value));
                return;
            };
            if (value - first).abs() >= least {
                self.farthest = Some((index, value, value > first));
            }
            return;
        };
        let goes_on = if is_up { value >= extreme } else { value <= extreme };
        if goes_on {
            self.farthest = Some((index, value, is_up));
        } else if (value - extreme).abs() >= least {
            self.turns.push((at, extreme));
            self.farthest = Some((index, value, !is_up));
        }
    }

    fn turns(self) -> impl Iterator<Item = Turn> {
        let run = self.run.unwrap_or_default();
        let last = self.farthest.map(|(index, value, _)| (index, value));
        self.turns.into_iter().chain(last).map(move |(index, value)| Turn { index, value, run })
    }
}

/// A stretch of indices into a track's frames.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EventSpan {
    first: usize,
    last: usize,
    peak: f64,
}

impl Series<'_> {
    fn start_s(&self, index: usize) -> f64 {
        self.times.time_s[self.frames[index].frame]
    }

    fn end_s(&self, index: usize) -> f64 {
        self.times.end_s(self.frames[index].frame, self.video_end_s)
    }

    fn lasts(&self, stretch: &EventSpan) -> f64 {
        self.end_s(stretch.last) - self.start_s(stretch.first)
    }

    fn event(&self, kind: EventKind, EventSpan { first, last, peak }: EventSpan) -> FaceEvent {
        FaceEvent {
            kind,
            first_frame: self.frames[first].frame,
            last_frame: self.frames[last].frame,
            start_s: self.start_s(first),
            end_s: self.end_s(last),
            // Finer than any measure's noise, and the same again from a file.
            peak: (peak * 1e4).round() / 1e4 + 0.0,
        }
    }

    /// Stretches in which the head goes to and fro: at least [`SWINGS`] swings of `enter` degrees or more one after the other,
    /// each ending within `bridge_s` of the one before and of like size, so that turning there and wavering on the way does not count. A
    /// face that is covered or turned away ends one.
    fn swings(&self, measure: Measure, threshold: &Threshold) -> Vec<EventSpan> {
        let mut all = Vec::new();
        let mut zigzag = Zigzag::default();
        for (index, record) in self.frames.iter().enumerate() {
            let measures = record.measures.filter(|m| {
                record.status == Status::Ok && m.get(Measure::Yaw).is_some_and(|yaw| yaw.abs() < FACING_DEGREES)
            });
            match measures.and_then(|measures| measures.get(measure)) {
                Some(value) => zigzag.push(index, value, threshold.enter),
                None => all.extend(std::mem::take(&mut zigzag).turns()),
            }
        }
        all.extend(zigzag.turns());
        let is_next = |a: &Turn, b: &Turn| {
            b.run == a.run && self.start_s(b.index) - self.start_s(a.index) <= threshold.bridge_s + ROUNDING_S
        };
        let swings: Vec<[Turn; 2]> =
            all.windows(2).filter(|pair| is_next(&pair[0], &pair[1])).map(|pair| [pair[0], pair[1]]).collect();
        let size = |[from, to]: &[Turn; 2]| (to.value - from.value).abs();
        let goes_on = |a: &[Turn; 2], b: &[Turn; 2]| {
            let (smaller, larger) = (size(a).min(size(b)), size(a).max(size(b)));
            a[1].index == b[0].index && smaller >= threshold.edge * larger
        };
        let stretches = swings.chunk_by(goes_on).filter(|swings| swings.len() >= SWINGS).filter_map(|swings| {
            let largest = swings.iter().map(size).fold(0.0, f64::max);
            Some(EventSpan { first: swings.first()?[0].index, last: swings.last()?[1].index, peak: largest })
        });
        let is_long = |stretch: &EventSpan| self.lasts(stretch) >= threshold.min_s - ROUNDING_S;
        stretches.filter(|stretch| is_long(stretch) && self.only_moves(stretch, measure)).collect()
    }

    /// Whether the head does nothing larger in the stretch than swing in this one of its angles: on the way to a profile or a tilt, the
    /// other angles waver.
    fn only_moves(&self, stretch: &EventSpan, measure: Measure) -> bool {
        let range = |angle: Measure| {
            let frames = &self.frames[stretch.first..=stretch.last];
            let values = frames.iter().filter_map(|record| record.measures.as_ref()?.get(angle));
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
            high - low
        };
        let angles = [Measure::Yaw, Measure::Pitch, Measure::Roll];
        angles.into_iter().filter(|angle| *angle != measure).all(|angle| range(angle) <= stretch.peak)
    }

    /// A value of each frame; none where it was not measured.
    fn values(&self, signal: &dyn Fn(&FaceMeasures) -> Option<f64>) -> Vec<Option<f64>> {
        self.frames.iter().map(|record| record.measures.as_ref().and_then(signal)).collect()
    }

    /// The median of the values about each, up to `reach_s` away; none where the value itself is absent.
    fn steadied(&self, values: &[Option<f64>], reach_s: f64) -> Vec<Option<f64>> {
        let about = |index: usize| {
            let now = self.start_s(index);
            let is_near = |other: &usize| (self.start_s(*other) - now).abs() <= reach_s + ROUNDING_S;
            let before = (0..index).rev().take_while(is_near);
            before.chain((index..values.len()).take_while(is_near)).filter_map(|other| values[other]).collect()
        };
        values.iter().enumerate().map(|(index, value)| value.and_then(|_| median(about(index)))).collect()
    }

    /// What each value lacks of what comes before and after it, as a share of that: of the mean of both sides' medians, as a blink
    /// may end with lids that are lower than before. A value that is not below both of them is only the way from one to the other.
    fn dips(&self, values: &[Option<f64>]) -> Vec<Option<f64>> {
        let dip = |index: usize| {
            let value = values[index]?;
            let now = self.start_s(index);
            let is_near = |other: &usize| (self.start_s(*other) - now).abs() <= ABOUT_BLINK_S;
            let before = (0..index).rev().take_while(is_near).filter_map(|other| values[other]);
            let after = (index + 1..values.len()).take_while(is_near).filter_map(|other| values[other]);
            let sides: [Vec<f64>; 2] = [before.collect(), after.collect()];
            let is_short = sides.iter().any(|side| side.len() < BESIDE_BLINK);
            let medians: Vec<f64> = sides.into_iter().filter_map(median).collect();
            let (lowest, highest) =
                (medians.iter().copied().reduce(f64::min)?, medians.iter().copied().reduce(f64::max)?);
            let (least, usual) = if is_short { (highest, highest) } else { (lowest, (lowest + highest) / 2.0) };
            (usual > 0.0).then_some(if value < least { 1.0 - value / usual } else { 0.0 })
        };
        (0..values.len()).map(dip).collect()
    }

    /// The spans about the peaks of `values`, the highest first; what was not measured ends one, unless it is bridged.
    fn spans(&self, values: &[Option<f64>], threshold: &Threshold) -> Vec<EventSpan> {
        let Threshold { enter, edge, stay, min_s, .. } = *threshold;
        let mut peaks: Vec<(usize, f64)> =
            values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?))).collect();
        peaks.retain(|(_, value)| *value >= enter);
        peaks.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut is_taken = vec![false; values.len()];
        let mut spans = Vec::new();
        for (index, peak) in peaks {
            if is_taken[index] {
                continue;
            }
            let least = stay.max(edge * peak);
            let last = self.reach(values, index, least, &is_taken, threshold, 1);
            let first = self.reach(values, index, least, &is_taken, threshold, -1);
            is_taken[first..=last].fill(true);
            for (mut at, step) in [(last, 1), (first, -1)] {
                while let Some(next) =
                    at.checked_add_signed(step).filter(|next| *next < values.len() && !is_taken[*next])
                    && let (Some(value), Some(before)) = (values[next], values[at])
                    && value <= before + FALLING * enter
                {
                    is_taken[next] = true;
                    at = next;
                }
            }
            spans.push(EventSpan { first, last, peak });
        }
        spans.retain(|span| self.lasts(span) >= min_s - ROUNDING_S);
        spans.sort_by_key(|span| span.first);
        spans
    }

    /// The farthest index from `index`, forward or backward, up to which values keep `least` but for gaps that are bridged.
    fn reach(
        &self,
        values: &[Option<f64>],
        index: usize,
        least: f64,
        is_taken: &[bool],
        threshold: &Threshold,
        step: isize,
    ) -> usize {
        let (mut reached, mut at) = (index, index);
        while let Some(next) = at.checked_add_signed(step).filter(|next| *next < values.len() && !is_taken[*next]) {
            at = next;
            if values[at].is_some_and(|value| value >= least) {
                reached = at;
                continue;
            }
            // The gap, this frame included.
            let gap_s = match step > 0 {
                true => self.end_s(at) - self.end_s(reached),
                false => self.start_s(reached) - self.start_s(at),
            };
            if gap_s > threshold.bridge_s + ROUNDING_S {
                break;
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::timeline::{Covered, NeutralSource, Regions};

    const RATE: f64 = 25.0;

    /// Frames at 25 a second in which one measure is as given.
    fn track(measure: Measure, values: &[Option<f64>]) -> (Vec<FrameRecord>, FrameTimes) {
        let template = sample::two_signers().tracks[0].frames[0].clone();
        let record = |(frame, value): (usize, &Option<f64>)| {
            let mut measures = FaceMeasures::default();
            measures.set(Measure::Pitch, Some(0.0));
            measures.set(Measure::Yaw, Some(0.0));
            measures.set(measure, *value);
            FrameRecord { frame, measures: Some(measures), ..template.clone() }
        };
        let times = FrameTimes {
            pts: (0..values.len() as i64).collect(),
            time_s: (0..values.len()).map(|frame| frame as f64 / RATE).collect(),
            status: vec![Status::Ok; values.len()],
        };
        (values.iter().enumerate().map(record).collect(), times)
    }

    fn events(measure: Measure, values: &[Option<f64>]) -> Vec<(EventKind, usize, usize)> {
        let (frames, times) = track(measure, values);
        let neutral = Neutral { source: NeutralSource::Still, frames: 1, values: FaceMeasures::default() };
        let end_s = values.len() as f64 / RATE;
        let found = face_events(&frames, &times, end_s, &neutral, &EventSettings::default());
        found.into_iter().map(|event| (event.kind, event.first_frame, event.last_frame)).collect()
    }

    /// `count` times the value.
    fn runs(runs: &[(f64, usize)]) -> Vec<Option<f64>> {
        runs.iter().flat_map(|(value, count)| vec![Some(*value); *count]).collect()
    }

    #[test]
    fn an_event_reaches_as_far_as_a_share_of_its_peak_and_needs_the_threshold_once() {
        let Threshold { enter, edge, .. } = EventSettings::default().brows_raised;
        for peak in [1.1 * enter, 4.0 * enter] {
            let (inside, outside) = ((edge + 0.05) * peak, (edge - 0.05) * peak);
            let values = runs(&[(0.0, 5), (outside, 5), (inside, 3), (peak, 2), (inside, 4), (outside, 5), (0.0, 5)]);
            assert_eq!(events(Measure::InnerBrowHeight, &values), [(EventKind::BrowsRaised, 10, 18)]);
        }
        let values = runs(&[(0.0, 5), (0.9 * enter, 9), (0.0, 5)]);
        assert_eq!(events(Measure::InnerBrowHeight, &values), []);
    }

    /// Events of hands that cover so much of the mouth, frame by frame; nothing was judged where there is nothing.
    fn hands(shares: &[Option<f64>]) -> Vec<(EventKind, usize, usize)> {
        let (mut frames, times) = track(Measure::Roll, shares);
        for (record, share) in frames.iter_mut().zip(shares) {
            let regions = share.map(|mouth| Regions { mouth: mouth as f32, ..Regions::default() });
            record.covered = Some(Covered { face: 0.9, regions });
            record.measures = None;
        }
        let found = hand_events(&frames, &times, shares.len() as f64 / RATE, &EventSettings::default());
        found.into_iter().map(|event| (event.kind, event.first_frame, event.last_frame)).collect()
    }

    #[test]
    fn a_hand_that_covers_a_region_is_an_event_and_what_was_not_judged_is_none() {
        let hand = EventKind::HandOnFace;
        // It comes, stays, and goes; a hand near the chin is none; neither is something else that covers the face.
        let values = runs(&[(0.0, 5), (0.15, 3), (0.9, 10), (0.15, 3), (0.05, 5), (0.19, 9)]);
        assert_eq!(hands(&values), [(hand, 8, 17)]);
        assert_eq!(hands(&[None; 30]), []);
        let gap = [runs(&[(0.5, 6)]), vec![None; 4], runs(&[(0.3, 6)]), vec![None; 9], runs(&[(0.3, 6)])].concat();
        assert_eq!(hands(&gap), [(hand, 0, 15), (hand, 25, 30)]);
    }

    #[test]
    fn a_second_peak_beyond_a_deep_valley_is_an_event_of_its_own() {
        let values = runs(&[(0.0, 5), (0.1, 5), (0.03, 8), (0.08, 5), (0.0, 5)]);
        let raised = EventKind::BrowsRaised;
        assert_eq!(events(Measure::InnerBrowHeight, &values), [(raised, 5, 9), (raised, 18, 22)]);
    }

    #[test]
    fn short_gaps_are_bridged_long_ones_and_short_events_are_not() {
        let values = runs(&[(0.0, 5), (0.1, 8), (0.0, 2), (0.1, 8), (0.0, 20), (0.1, 8), (0.0, 5), (0.1, 1), (0.0, 9)]);
        let raised = EventKind::BrowsRaised;
        assert_eq!(events(Measure::InnerBrowHeight, &values), [(raised, 5, 22), (raised, 43, 50)]);
    }

    #[test]
    fn a_mouth_that_opens_in_single_frames_is_a_hand_before_it() {
        let values =
            runs(&[(0.0, 5), (0.3, 1), (0.01, 2), (0.14, 1), (0.0, 2), (0.18, 1), (0.0, 1), (0.16, 1), (0.0, 9)]);
        assert_eq!(events(Measure::MouthOpening, &values), []);
        let values = runs(&[(0.0, 5), (0.3, 3), (0.0, 9), (0.1, 6), (0.0, 9)]);
        let open = EventKind::MouthOpen;
        assert_eq!(events(Measure::MouthOpening, &values), [(open, 5, 7), (open, 17, 22)]);
    }

    #[test]
    fn what_was_not_measured_is_no_event() {
        let mut values = runs(&[(0.1, 30)]);
        values[10..20].fill(None);
        let raised = EventKind::BrowsRaised;
        assert_eq!(events(Measure::InnerBrowHeight, &values), [(raised, 0, 9), (raised, 20, 29)]);
        assert_eq!(events(Measure::InnerBrowHeight, &[None; 30]), []);
    }

    #[test]
    fn closed_eyes_are_a_blink_while_they_are_short() {
        // A blink with lowered lids, a blink with open eyes, and eyes that stay closed.
        let values = runs(&[(0.65, 30), (0.2, 3), (0.65, 30), (1.0, 30), (0.3, 4), (1.0, 30), (0.1, 40), (1.0, 15)]);
        let found = events(Measure::EyeOpenness, &values);
        let blink = EventKind::Blink;
        assert_eq!(found, [(blink, 30, 32), (blink, 93, 96), (EventKind::EyesClosed, 127, 166)]);
    }

    #[test]
    fn a_blink_may_end_with_lower_lids_and_lids_that_are_only_lowered_are_none() {
        let blink = EventKind::Blink;
        let values = runs(&[(1.1, 30), (0.6, 2), (0.83, 30)]);
        assert_eq!(events(Measure::EyeOpenness, &values), [(blink, 30, 31)]);
        let values = runs(&[(1.1, 30), (0.95, 1), (0.8, 1), (0.7, 30), (1.1, 30)]);
        assert_eq!(events(Measure::EyeOpenness, &values), []);
        // The video begins with the end of a blink.
        let values = runs(&[(1.0, 1), (0.5, 3), (1.0, 30)]);
        assert_eq!(events(Measure::EyeOpenness, &values), [(blink, 1, 3)]);
    }

    #[test]
    fn a_turn_with_wavering_on_its_way_is_no_shake() {
        let turn = [0.0, 0.0, 20.0, 16.0, 34.0, 30.0, 5.0, 9.0, 0.0, 0.0];
        let values: Vec<Option<f64>> = turn.iter().flat_map(|value| [Some(*value); 4]).collect();
        let found = events(Measure::Yaw, &values);
        assert!(found.iter().all(|(kind, ..)| *kind != EventKind::Shake), "{found:?}");
    }

    #[test]
    fn wavering_on_the_way_to_a_profile_is_no_nod() {
        let pitch: Vec<Option<f64>> =
            (0..50).map(|frame| Some(4.0 * (frame as f64 / RATE * 2.0 * std::f64::consts::TAU).sin())).collect();
        let (mut frames, times) = track(Measure::Pitch, &pitch);
        let neutral = Neutral { source: NeutralSource::Still, frames: 1, values: FaceMeasures::default() };
        let nods = |frames: &[FrameRecord]| {
            let found = face_events(frames, &times, 2.0, &neutral, &EventSettings::default());
            found.iter().filter(|event| event.kind == EventKind::Nod).count()
        };
        assert_eq!(nods(&frames), 1);
        for (index, record) in frames.iter_mut().enumerate() {
            record.measures.as_mut().unwrap().set(Measure::Yaw, Some(index as f64 - 25.0));
        }
        assert_eq!(nods(&frames), 0);
    }

    #[test]
    fn a_head_that_goes_to_and_fro_shakes_and_one_that_turns_does_not() {
        let swing: Vec<Option<f64>> =
            (0..50).map(|frame| Some(6.0 * (frame as f64 / RATE * 2.0 * std::f64::consts::TAU).sin())).collect();
        let found = events(Measure::Yaw, &swing);
        assert_eq!(found.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>(), [EventKind::Shake]);
        let turn: Vec<Option<f64>> = (0..50).map(|frame| Some(-24.0 + frame as f64)).collect();
        let found = events(Measure::Yaw, &turn);
        assert!(found.iter().all(|(kind, ..)| *kind != EventKind::Shake), "{found:?}");
        let tremble: Vec<Option<f64>> = (0..50).map(|frame| Some(f64::from(frame % 2))).collect();
        assert_eq!(events(Measure::Yaw, &tremble), []);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let mut settings = EventSettings::default();
        settings.check().unwrap();
        settings.blink.stay = 0.9;
        assert!(settings.check().unwrap_err().to_string().starts_with("setting events.blink must be"));
        settings = EventSettings::default();
        settings.mouth_open.enter = f64::NAN;
        assert!(settings.check().is_err());
    }
}

//! The times of frames.
//!
//! Containers hold stamps that cannot be right: repeated ones, ones far behind or ahead of their neighbours, none at all. A
//! frame therefore waits until its successor's stamp is known, and longer where the two disagree. Stamps that agree with
//! neither side are replaced by times between those of their neighbours; all other frames keep the container's time. Only where
//! the clock jumps back and stays there (recordings put one behind the other) does everything after it move.

use std::collections::VecDeque;

use ffmpeg_next::Rational;

use crate::time::Timestamp;

/// The time of a frame, beside its picture on the way through the filters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    /// What the container states.
    pub(super) pts: i64,
    /// When the frame starts.
    pub(super) time: Timestamp,
    /// Distance from the frame before, in time-base units; none where the stamp of either is in doubt.
    pub(super) distance: Option<i64>,
    pub(super) doubt: Option<Doubt>,
}

/// Why a frame's time is not its stamp's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The stamp fits no neighbour; the time lies between theirs.
    Misplaced,
    /// The container's clock jumped back before the frame and stayed there.
    Jumped,
}

/// How many frames are held at most to see what the clock does.
const AHEAD: usize = 8;
/// How many frames are held where a stamp lies far ahead, to see whether the clock stays there.
const AHEAD_OF_A_HOLE: usize = 4;
/// From how many frames in a row that follow one another a new course of the clock is believed.
const COURSE: usize = 3;
/// Larger stamps are no times: doubles, and so JSON, cannot tell times that lie between them apart.
const LARGEST_PTS: u64 = 1 << 48;
/// Longest usual distance between frames, time-base units, so that sums of them stay in range.
const LONGEST_USUAL: f64 = (1u64 << 32) as f64;

/// Settles the times of frames in display order; `T` travels beside them.
pub(super) struct Clock<T> {
    time_base: [i32; 2],
    /// Frame duration in time-base units where the container states a rate, for frames without time stamps.
    usual_duration: f64,
    held: VecDeque<UnsettledFrame<T>>,
    /// The pts given or supposed last.
    newest: Option<i64>,
    /// The last settled frame whose stamp was sound, in time-base units after `offset`.
    previous: Option<i64>,
    /// Whether that is the frame settled last.
    is_previous_sound: bool,
    /// The largest stamp, in or out of doubt: muxers take the length of the whole from it.
    largest: Option<i64>,
    /// Added to the container's time after it jumped back, time-base units.
    offset: i64,
    /// How long the frame settled last is shown by its own account, seconds.
    pub(super) last_duration_s: f64,
}

/// A frame whose time is not settled yet.
struct UnsettledFrame<T> {
    item: T,
    pts: i64,
    /// Whether the stamp cannot be used whatever its neighbours are.
    is_unusable: bool,
    duration: f64,
}

/// What is known of the frames held.
enum StampState {
    /// The first one's stamp is right.
    Sound,
    /// The stamps of so many frames are not; the next one's is, where it is there.
    Misplaced { frames: usize, is_next_sound: bool },
    /// The clock jumped back before the first one.
    Jumped,
}

impl<T> Clock<T> {
    pub(super) fn new(time_base: Rational, frame_rate: Rational) -> Self {
        let seconds = f64::from(frame_rate.invert());
        let usual = seconds / f64::from(time_base);
        Self {
            time_base: [time_base.numerator(), time_base.denominator()],
            usual_duration: if usual.is_finite() && usual > 0.0 { usual.min(LONGEST_USUAL) } else { 1.0 },
            held: VecDeque::new(),
            newest: None,
            previous: None,
            is_previous_sound: false,
            largest: None,
            offset: 0,
            last_duration_s: 0.0,
        }
    }

    /// Takes the next frame with its stamp and duration in time-base units; gives the frames whose times are settled.
    pub(super) fn push(&mut self, item: T, pts: Option<i64>, duration: i64) -> Vec<(T, Stamp)> {
        let usable = pts.filter(|pts| pts.saturating_add(self.offset).unsigned_abs() < LARGEST_PTS);
        let follows = || self.newest.map_or(0, |newest| newest + self.usual());
        let held = UnsettledFrame {
            item,
            pts: usable.unwrap_or_else(follows),
            is_unusable: pts.is_some() && usable.is_none(),
            duration: if duration > 0 { duration as f64 } else { self.usual_duration },
        };
        self.newest = Some(held.pts);
        self.largest = self.largest.max(Some(held.pts));
        self.held.push_back(held);
        self.settle(false)
    }

    /// Gives the frames still held.
    pub(super) fn finish(&mut self) -> Vec<(T, Stamp)> {
        self.settle(true)
    }

    /// Where the container's own time ends, by the largest stamp.
    pub(super) fn raw_end_s(&self) -> Option<f64> {
        self.largest.map(|pts| self.timestamp(pts).seconds() + self.last_duration_s)
    }

    /// Usual distance between frames, seconds.
    pub(super) fn usual_s(&self) -> f64 {
        self.usual_duration * f64::from(self.time_base[0]) / f64::from(self.time_base[1])
    }

    /// The same in whole units of the time base.
    fn usual(&self) -> i64 {
        (self.usual_duration.round() as i64).max(1)
    }

    fn timestamp(&self, ticks: i64) -> Timestamp {
        Timestamp::new(ticks, self.time_base)
    }

    fn settle(&mut self, is_end: bool) -> Vec<(T, Stamp)> {
        let mut settled = Vec::new();
        while let Some(verdict) = self.judge(is_end) {
            match verdict {
                StampState::Sound => settled.extend(self.take_sound(None)),
                StampState::Jumped => {
                    if let (Some(first), Some(previous)) = (self.held.front(), self.previous) {
                        self.offset = previous + self.usual() - first.pts;
                    }
                    self.is_previous_sound = false;
                    settled.extend(self.take_sound(Some(Doubt::Jumped)));
                }
                StampState::Misplaced { frames, is_next_sound } => {
                    settled.append(&mut self.take_misplaced(frames, is_next_sound));
                    if is_next_sound {
                        settled.extend(self.take_sound(None));
                    }
                }
            }
        }
        settled
    }

    /// What can be known of the first frame held; `None` where more of those that follow must be seen.
    fn judge(&self, is_end: bool) -> Option<StampState> {
        let count = self.held.len();
        let time = |index: usize| self.held[index].pts + self.offset;
        let first = (count > 0).then(|| time(0))?;
        let is_enough = |wanted: usize| is_end || count >= wanted;
        let Some(previous) = self.previous.filter(|previous| first <= *previous) else {
            return match self.outliers_ahead(first, &is_enough)? {
                0 => Some(StampState::Sound),
                frames => Some(StampState::Misplaced { frames, is_next_sound: true }),
            };
        };
        let rises = |frames: usize| (1..frames).all(|index| time(index - 1) < time(index));
        match (1..count).find(|index| time(*index) > previous) {
            Some(later) => {
                // Is it the clock's old course that goes on there, or a new one?
                let [old, new] = [previous + (later as i64 + 1) * self.usual(), time(later - 1) + self.usual()];
                let is_new = time(later).abs_diff(new) < time(later).abs_diff(old);
                match later >= COURSE && rises(later) && is_new {
                    true => Some(StampState::Jumped),
                    false => Some(StampState::Misplaced { frames: later, is_next_sound: true }),
                }
            }
            None if !is_enough(AHEAD) => None,
            None if count >= COURSE && rises(count) => Some(StampState::Jumped),
            None => Some(StampState::Misplaced { frames: count, is_next_sound: false }),
        }
    }

    /// How many frames lie ahead of those that follow them, where the clock comes back after them to its old course.
    fn outliers_ahead(&self, first: i64, is_enough: &dyn Fn(usize) -> bool) -> Option<usize> {
        let time = |index: usize| self.held.get(index).map(|held| held.pts + self.offset);
        let is_back = |time: &i64| *time < first && self.previous.is_none_or(|previous| *time > previous);
        let far = (1.0 / self.usual_s()).max(3.0) * self.usual_duration;
        let is_far = self.previous.is_some_and(|previous| (first - previous) as f64 > far);
        if is_far {
            if !is_enough(AHEAD_OF_A_HOLE) {
                return None;
            }
            return Some((1..self.held.len()).find(|index| time(*index).as_ref().is_some_and(is_back)).unwrap_or(0));
        }
        if !is_enough(2) {
            return None;
        }
        let Some(next) = time(1).filter(is_back) else { return Some(0) };
        if !is_enough(3) {
            return None;
        }
        // Two that follow one another against one.
        Some(usize::from(time(2).is_some_and(|after| next < after && after <= first)))
    }

    /// The first frame held, at its own time.
    fn take_sound(&mut self, doubt: Option<Doubt>) -> Option<(T, Stamp)> {
        let held = self.held.pop_front()?;
        let ticks = held.pts + self.offset;
        let distance = self.previous.filter(|_| self.is_previous_sound).map(|previous| ticks - previous);
        self.previous = Some(ticks);
        self.is_previous_sound = true;
        let doubt = doubt.or(held.is_unusable.then_some(Doubt::Misplaced));
        Some(self.stamped(held, self.timestamp(ticks), distance, doubt))
    }

    /// The first `frames` held, between their neighbours' times; without a next one, at the usual distance.
    fn take_misplaced(&mut self, frames: usize, is_next_sound: bool) -> Vec<(T, Stamp)> {
        let next = self.held.get(frames).filter(|_| is_next_sound).map(|held| held.pts + self.offset);
        let (usual, count) = (self.usual(), frames as i64);
        let until = next.or(self.previous.map(|previous| previous + usual * (count + 1))).unwrap_or(usual * count);
        let from = self.previous.unwrap_or(until - usual * (count + 1));
        let (from, until) = (self.timestamp(from), self.timestamp(until));
        let taken: Vec<UnsettledFrame<T>> = self.held.drain(..frames).collect();
        let times = (1..=count).map(|step| from.between(until, step, frames as i32 + 1));
        let settled = taken
            .into_iter()
            .zip(times)
            .map(|(held, time)| self.stamped(held, time, None, Some(Doubt::Misplaced)))
            .collect();
        self.is_previous_sound = false;
        if next.is_none() {
            self.previous = Some(until.pts - usual);
        }
        settled
    }

    fn stamped(
        &mut self,
        held: UnsettledFrame<T>,
        time: Timestamp,
        distance: Option<i64>,
        doubt: Option<Doubt>,
    ) -> (T, Stamp) {
        self.last_duration_s = held.duration * f64::from(self.time_base[0]) / f64::from(self.time_base[1]);
        (held.item, Stamp { pts: held.pts, time, distance, doubt })
    }
}

/// Where the frames that were given lie, seconds.
#[derive(Default)]
pub(super) struct Given {
    first_and_last_s: Option<(f64, f64)>,
    /// Start of a frame that follows the last one and was not given.
    next_s: Option<f64>,
}

impl Given {
    pub(super) fn give(&mut self, time_s: f64) {
        let first_s = self.first_and_last_s.map_or(time_s, |(first_s, _)| first_s);
        self.first_and_last_s = Some((first_s, time_s));
    }

    pub(super) fn cut_at(&mut self, time_s: f64) {
        self.next_s.get_or_insert(time_s);
    }

    /// Known where another frame follows.
    pub(super) fn last_frame_duration_s(&self) -> Option<f64> {
        Some(self.next_s? - self.first_and_last_s?.1)
    }

    pub(super) fn duration_s(&self, last_frame_duration_s: f64) -> f64 {
        self.first_and_last_s.map_or(0.0, |(first_s, last_s)| last_s - first_s + last_frame_duration_s)
    }
}

/// Whether frames lie at different distances: more than one unit of difference is more than rounding explains.
pub(super) fn is_variable(distances: Option<(i64, i64)>) -> bool {
    distances.is_some_and(|(shortest, longest)| longest - shortest > 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Times of frames with these stamps, at 25 frames a second in milliseconds, and which of them are in doubt.
    fn settled(stamps: &[Option<i64>]) -> (Vec<f64>, Vec<Option<Doubt>>) {
        let mut clock = Clock::new(Rational(1, 1000), Rational(25, 1));
        let mut frames: Vec<(usize, Stamp)> = Vec::new();
        for (index, pts) in stamps.iter().enumerate() {
            frames.extend(clock.push(index, *pts, 40));
        }
        frames.extend(clock.finish());
        assert!(frames.iter().map(|(index, _)| *index).eq(0..stamps.len()), "each frame once, in order");
        frames.iter().map(|(_, stamp)| (stamp.time.seconds() * 1000.0, stamp.doubt)).unzip()
    }

    /// Thirty frames whose stamps are `changed`.
    fn thirty(change: impl FnOnce(&mut Vec<Option<i64>>)) -> Vec<Option<i64>> {
        let mut stamps: Vec<Option<i64>> = (0..30).map(|frame| Some(frame * 40)).collect();
        change(&mut stamps);
        stamps
    }

    #[test]
    fn bad_stamps_lie_between_their_neighbours_and_move_no_other_frame() {
        let cases: [(&str, Vec<(usize, i64)>); 9] = [
            ("repeated", vec![(10, 360)]),
            ("backward", vec![(10, 40)]),
            ("far backward", vec![(10, -90_000)]),
            ("a little ahead", vec![(10, 520)]),
            ("far ahead", vec![(10, 900_000)]),
            ("two far ahead", vec![(10, 900_000), (11, 900_040)]),
            ("repeated twice", vec![(10, 360), (11, 360)]),
            ("two backward", vec![(10, 0), (11, 40)]),
            ("beyond what a double holds", vec![(10, i64::MAX - 5)]),
        ];
        for (what, bad) in cases {
            let stamps = thirty(|stamps| bad.iter().for_each(|(frame, pts)| stamps[*frame] = Some(*pts)));
            let (times, doubts) = settled(&stamps);
            for (frame, time_ms) in times.iter().enumerate() {
                assert!((time_ms - frame as f64 * 40.0).abs() < 1e-6, "{what}: frame {frame} at {time_ms} ms");
                let is_bad = bad.iter().any(|(other, _)| *other == frame);
                assert_eq!(doubts[frame], is_bad.then_some(Doubt::Misplaced), "{what}: frame {frame}");
            }
        }
    }

    #[test]
    fn every_second_stamp_may_be_a_repeated_one() {
        let stamps = thirty(|stamps| (1..29).step_by(2).for_each(|frame| stamps[frame] = stamps[frame - 1]));
        let (times, _) = settled(&stamps);
        assert!(times.iter().enumerate().all(|(frame, time_ms)| (time_ms - frame as f64 * 40.0).abs() < 1e-6));
    }

    #[test]
    fn a_picture_too_many_moves_no_other_frame() {
        let stamps: Vec<Option<i64>> =
            (0..20).flat_map(|frame| vec![Some(frame * 40); 1 + usize::from(frame == 7)]).collect();
        let (times, doubts) = settled(&stamps);
        assert_eq!(times[7..10], [280.0, 300.0, 320.0]);
        assert_eq!(doubts.iter().flatten().count(), 1);
        assert_eq!(times.last(), Some(&760.0));
    }

    #[test]
    fn where_the_clock_jumps_back_and_stays_everything_after_it_moves() {
        for back in [200, 400, 1200, 900_000] {
            let stamps: Vec<Option<i64>> = (0..60).map(|f| Some(if f < 30 { f * 40 } else { f * 40 - back })).collect();
            let (times, doubts) = settled(&stamps);
            assert!(times.iter().enumerate().all(|(f, time_ms)| (time_ms - f as f64 * 40.0).abs() < 1e-6), "{back}");
            assert_eq!(doubts.iter().flatten().collect::<Vec<_>>(), [&Doubt::Jumped], "{back}");
            assert_eq!(doubts[30], Some(Doubt::Jumped));
        }
    }

    #[test]
    fn a_hole_stays_a_hole_and_frames_without_stamps_follow_at_the_usual_distance() {
        let (times, doubts) = settled(&thirty(|stamps| stamps[10..].iter_mut().flatten().for_each(|pts| *pts += 5000)));
        assert_eq!((times[9], times[10], times[29]), (360.0, 5400.0, 6160.0));
        assert!(doubts.iter().all(Option::is_none));
        let (times, doubts) = settled(&[None; 5]);
        assert_eq!(times, [0.0, 40.0, 80.0, 120.0, 160.0]);
        assert!(doubts.iter().all(Option::is_none));
    }

    proptest! {
        #[test]
        fn times_rise_whatever_the_stamps_are(stamps in prop::collection::vec(
            prop_oneof![
                3 => (-20i64..400).prop_map(|frames| Some(frames * 40)),
                1 => any::<i64>().prop_map(Some),
                1 => Just(None),
            ], 1..60)) {
            let (times, _) = settled(&stamps);
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        }
    }
}

//! The times of frames.

use ffmpeg_next::Rational;

/// The time of a frame, beside its picture on the way through the filters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) pts: i64,
    pub(super) time_s: f64,
}

/// Where the frames that were given lie, seconds.
#[derive(Default)]
pub(super) struct Span {
    first_and_last_s: Option<(f64, f64)>,
    /// Start of a frame that follows the last one and was not given.
    next_s: Option<f64>,
}

impl Span {
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

/// Time stamps of frames in display order.
pub(super) struct Clock {
    time_base: Rational,
    /// Frame duration in time-base units where the container states a rate, for frames without time stamps.
    usual_duration: f64,
    previous: Option<(i64, f64)>,
    /// Added to the container's time after it ran backwards, seconds.
    offset_s: f64,
    pub(super) last_duration_s: f64,
    /// Shortest and longest distance between frames, in time-base units.
    pub(super) distances: Option<(i64, i64)>,
}

impl Clock {
    pub(super) fn new(time_base: Rational, frame_rate: Rational) -> Self {
        let seconds = f64::from(frame_rate.invert());
        let usual = seconds / f64::from(time_base);
        let usual_duration = if usual.is_finite() && usual > 0.0 { usual } else { 1.0 };
        Self { time_base, usual_duration, previous: None, offset_s: 0.0, last_duration_s: 0.0, distances: None }
    }

    /// The time of the next frame, and whether the container's clock ran backwards before it.
    pub(super) fn stamp(&mut self, pts: Option<i64>, duration: i64) -> (Stamp, bool) {
        let pts = match (pts, self.previous) {
            (Some(pts), _) => pts,
            (None, Some((previous, _))) => previous.saturating_add((self.usual_duration.round() as i64).max(1)),
            (None, None) => 0,
        };
        let duration = if duration > 0 { duration as f64 } else { self.usual_duration };
        self.last_duration_s = duration * f64::from(self.time_base);
        let container_s = seconds(pts, [self.time_base.numerator(), self.time_base.denominator()]);
        let mut ran_backwards = false;
        if let Some((previous_pts, previous_s)) = self.previous {
            ran_backwards = container_s + self.offset_s <= previous_s;
            if ran_backwards {
                self.offset_s = previous_s + self.usual_duration * f64::from(self.time_base) - container_s;
            } else {
                let distance = pts.saturating_sub(previous_pts);
                let (shortest, longest) = self.distances.unwrap_or((distance, distance));
                self.distances = Some((shortest.min(distance), longest.max(distance)));
            }
        }
        let time_s = container_s + self.offset_s;
        self.previous = Some((pts, time_s));
        (Stamp { pts, time_s }, ran_backwards)
    }

    /// End of the last frame in the container's own time.
    pub(super) fn raw_end_s(&self) -> Option<f64> {
        self.previous.map(|(_, time_s)| time_s - self.offset_s + self.last_duration_s)
    }
}

/// A time stamp in seconds.
pub(in crate::pipeline) fn seconds(pts: i64, time_base: [i32; 2]) -> f64 {
    // One division, so that the result is the double nearest to the exact fraction.
    (pts as f64 * f64::from(time_base[0])) / f64::from(time_base[1])
}

/// Whether frames lie at different distances: more than one unit of difference is more than rounding explains.
pub(super) fn is_variable(distances: Option<(i64, i64)>) -> bool {
    distances.is_some_and(|(shortest, longest)| longest - shortest > 1)
}

//! Moments of container time, exactly, and the grid on which a video is divided.
//!
//! Seconds as floats are for eyes and JSON. Whatever is decided, such as whether a frame lies in a range or to which span it
//! belongs, is decided on whole numbers, so that everybody who asks gets the same answer.

use std::cmp::Ordering;

/// A moment of container time: `pts` units of `time_base` (numerator and denominator, both positive) seconds.
#[derive(Debug, Clone, Copy)]
pub struct Timestamp {
    /// Units of the time base.
    pub pts: i64,
    /// Seconds per unit, as a fraction.
    pub time_base: [i32; 2],
}

/// Time base of moments that people state in seconds.
const NANOSECONDS: [i32; 2] = [1, 1_000_000_000];

impl Timestamp {
    /// A moment in units of `time_base`.
    pub const fn new(pts: i64, time_base: [i32; 2]) -> Self {
        Self { pts, time_base }
    }

    /// The nanosecond nearest to `seconds`, so that 0.1 is exactly a tenth.
    pub fn nearest_nanosecond(seconds: f64) -> Self {
        // The cast saturates: no clock goes beyond 292 years.
        Self::new((seconds * 1e9).round() as i64, NANOSECONDS)
    }

    /// The double nearest to the exact time, seconds.
    pub fn seconds(self) -> f64 {
        // One division, so that it is rounded once.
        (self.pts as f64 * f64::from(self.time_base[0])) / f64::from(self.time_base[1])
    }

    /// The moment `numerator` of `denominator` equal steps on the way from `self` to `to`, which has the same
    /// time base. The result may have a finer one.
    #[cfg(any(test, feature = "video"))]
    pub(crate) fn between(self, to: Self, numerator: i64, denominator: i32) -> Self {
        let [units, per_second] = self.time_base;
        let distance = i128::from(to.pts) - i128::from(self.pts);
        let step = distance * i128::from(numerator);
        let whole = || i128::from(self.pts) + step / i128::from(denominator);
        let narrow = |pts: i128| pts.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        match per_second.checked_mul(denominator) {
            // Too few units lie between them.
            Some(finer) if distance <= i128::from(denominator) => {
                Self::new(narrow(i128::from(self.pts) * i128::from(denominator) + step), [units, finer])
            }
            _ => Self::new(narrow(whole()), self.time_base),
        }
    }

    /// Where the moment lies on the grid.
    #[cfg(any(test, feature = "video"))]
    pub(crate) fn cell(self) -> Cell {
        // 64 bits of pts, 32 of time base and what is multiplied here fit into 128. In thousandths, for the tail's sake.
        let ticks = i128::from(self.pts) * i128::from(self.time_base[0]) * 1000;
        let second = i128::from(self.time_base[1]).max(1) * 1000;
        let length = second * i128::from(SPAN_S);
        let span = |ticks: i128| ticks.div_euclid(length).clamp((-FARTHEST).into(), FARTHEST.into()) as i64;
        Cell {
            span: span(ticks),
            lead_of: span(ticks + second * i128::from(LEAD_S)),
            // The tail ends with its last moment, as the lead begins with its first.
            tail_of: span(ticks - second * i128::from(TAIL_MS) / 1000),
        }
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        // Crosswise: 63 bits times 31 times 31 fit into 128.
        let scaled = |time: &Self, by: i32| i128::from(time.pts) * i128::from(time.time_base[0]) * i128::from(by);
        scaled(self, other.time_base[1]).cmp(&scaled(other, self.time_base[1]))
    }
}

/// Length of a span, seconds. Longer ones waste less on their leads; shorter ones cut more finely. At 10 s the lead costs
/// a tenth of detection.
#[cfg(any(test, feature = "video"))]
pub(crate) const SPAN_S: i64 = 10;
/// How long a tracker looks before its span begins, seconds: enough to find a face anew, turned ones included
/// (docs/benchmarks.md).
#[cfg(any(test, feature = "video"))]
pub(crate) const LEAD_S: i64 = 1;
/// How long it may look beyond its span, milliseconds: a little more than a tracker waits for later frames. It stops when
/// it has answered for its span.
#[cfg(any(test, feature = "video"))]
const TAIL_MS: i64 = 500;

/// The last span on either side; no clock goes so far, but a file may state anything.
#[cfg(any(test, feature = "video"))]
const FARTHEST: i64 = i64::MAX / 2;

/// Where a moment lies on the grid of spans.
#[cfg(any(test, feature = "video"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The moment's span; span 0 starts at time 0.
    pub(crate) span: i64,
    /// The span in whose lead the moment lies as well, or its own one.
    pub(crate) lead_of: i64,
    /// The span in whose tail the moment lies as well, or its own one.
    pub(crate) tail_of: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_on_the_grid_belongs_to_the_span_that_starts_there() {
        // 1/30 s has no exact double: 300 frames are 10 s all the same.
        let at = |pts| {
            let Cell { span, lead_of, tail_of } = Timestamp::new(pts, [1, 30]).cell();
            (tail_of, span, lead_of)
        };
        assert_eq!(at(269), (0, 0, 0));
        assert_eq!(at(270), (0, 0, 1));
        assert_eq!(at(299), (0, 0, 1));
        assert_eq!(at(300), (0, 1, 1));
        assert_eq!(at(314), (0, 1, 1));
        assert_eq!(at(315), (1, 1, 1));
        assert_eq!(at(-1), (-1, -1, 0));
        assert_eq!(Timestamp::new(i64::MAX, [i32::MAX, 1]).cell().span, FARTHEST);
    }

    #[test]
    fn a_moment_stated_in_seconds_is_the_decimal_that_was_stated() {
        // 0.1 has no exact double; 3 units of 1/30 s are a tenth all the same, and so are 9000 of 1/90000.
        for time_base in [[1, 10], [1, 30], [1001, 10_010], [1, 90_000]] {
            let pts = i64::from(time_base[1] / (10 * time_base[0]));
            assert_eq!(Timestamp::nearest_nanosecond(0.1), Timestamp::new(pts, time_base));
            assert!(Timestamp::nearest_nanosecond(0.1) > Timestamp::new(pts - 1, time_base));
        }
        assert!(Timestamp::nearest_nanosecond(f64::MAX) > Timestamp::new(1, [i32::MAX, 1]));
    }

    #[test]
    fn moments_between_two_rise_even_where_no_unit_lies_between() {
        let (from, to) = (Timestamp::new(1, [1, 25]), Timestamp::new(2, [1, 25]));
        let mut last = from;
        for step in 1..4 {
            let next = from.between(to, step, 4);
            assert!(last < next && next < to, "{next:?}");
            last = next;
        }
        assert_eq!(from.between(Timestamp::new(5, [1, 25]), 1, 2), Timestamp::new(3, [1, 25]));
    }

    proptest! {
        #[test]
        fn spans_rise_with_time(pts in -1_000_000i64..1_000_000, more in 0i64..1_000_000, base in (1i32..2000, 1i32..100_000)) {
            let base = [base.0, base.1];
            let (early, late) = (Timestamp::new(pts, base).cell(), Timestamp::new(pts + more, base).cell());
            prop_assert!(early.span <= late.span && early.lead_of <= late.lead_of);
            prop_assert!((early.span..=early.span + 1).contains(&early.lead_of));
            prop_assert!((early.span - 1..=early.span).contains(&early.tail_of));
        }

        #[test]
        fn order_does_not_depend_on_the_time_base(a in any::<i64>(), b in any::<i64>(), base in (1i32.., 1i32..)) {
            let base = [base.0, base.1];
            prop_assert_eq!(Timestamp::new(a, base).cmp(&Timestamp::new(b, base)), a.cmp(&b));
        }
    }
}

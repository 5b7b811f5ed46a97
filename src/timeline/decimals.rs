//! The number of decimals in files: enough to lose no measured information, few enough to keep files small, and stable
//! when a file is read and written again.

use serde::{Serialize, Serializer};

use super::{BoundingBox, Probabilities};

/// Nanoseconds, finer than the time bases of containers, so that `time_s / time_base` rounds to the pts. A time up to
/// 26 days has at most 16 digits, which every JSON reader reproduces exactly.
const TIME: f64 = 1e9;
const PROBABILITY: f64 = 1e6;
const PIXELS: f64 = 1e2;
const SCORE: f64 = 1e3;

fn rounded(value: f64, steps_per_unit: f64) -> f64 {
    // Adding 0 turns -0 into 0.
    (value * steps_per_unit).round() / steps_per_unit + 0.0
}

/// Beyond 26 days, neighbouring doubles are almost a nanosecond apart, and rounding to nanoseconds would do harm.
const EXACT_BELOW_S: f64 = (1u64 << 51) as f64 / TIME;

/// A time as written to files, seconds.
pub(crate) fn time_in_file(seconds: f64) -> f64 {
    if seconds.abs() < EXACT_BELOW_S { rounded(seconds, TIME) } else { seconds }
}

/// A probability as written to files.
pub(crate) fn probability_in_file(probability: f32) -> f64 {
    rounded(f64::from(probability), PROBABILITY)
}

/// A box as written to files: x, y, width, height.
pub(crate) fn box_in_file(face: BoundingBox) -> [f64; 4] {
    <[f32; 4]>::from(face).map(|pixels| rounded(f64::from(pixels), PIXELS))
}

/// A face score as written to files.
pub(crate) fn score_in_file(score: f32) -> f64 {
    rounded(f64::from(score), SCORE)
}

/// A value as JSON in which each f32 has the fewest digits that read back the same; `serde_json::to_value` writes 0.2 as
/// 0.20000000298023224.
///
/// # Errors
/// If a value cannot be JSON.
#[cfg(any(test, feature = "video"))]
pub(crate) fn json_value<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<serde_json::Value> {
    serde_json::from_str(&serde_json::to_string(value)?)
}

pub(super) fn time<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    time_in_file(*seconds).serialize(serializer)
}

pub(super) fn times<S: Serializer>(times_s: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(times_s.iter().map(|seconds| time_in_file(*seconds)))
}

pub(super) fn probability_if_any<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(probability_in_file).serialize(serializer)
}

pub(super) fn probabilities<S: Serializer>(value: &Option<Probabilities>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|probabilities| probabilities.map(probability_in_file)).serialize(serializer)
}

pub(super) fn face<S: Serializer>(value: &Option<BoundingBox>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(box_in_file).serialize(serializer)
}

pub(super) fn score<S: Serializer>(value: &Option<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(score_in_file).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_in_json_has_the_fewest_digits_that_read_back_the_same() {
        let value = json_value(&(0.2f32, [0.9f32, 1e-9], 0.1f64)).unwrap();
        assert_eq!(value.to_string(), "[0.2,[0.9,1e-9],0.1]");
        assert_eq!(serde_json::from_value::<(f32, [f32; 2], f64)>(value).unwrap(), (0.2, [0.9, 1e-9], 0.1));
    }

    proptest! {
        #[test]
        fn a_time_in_a_file_gives_back_its_pts(
            pts in -1_000_000_000i64..100_000_000_000,
            (numerator, denominator) in prop_oneof![
                Just((1, 90_000)), Just((1, 1_000)), Just((1, 12_800)), Just((1, 1_000_000)), Just((1001, 30_000)),
                Just((1, 705_600_000)), (1i32..5_000, 1i32..1_000_000),
            ],
        ) {
            let time_base = f64::from(numerator) / f64::from(denominator);
            let time_s = pts as f64 * time_base;
            prop_assume!(time_s.abs() < EXACT_BELOW_S);
            let text = serde_json::to_string(&time_in_file(time_s)).unwrap();
            let read: f64 = serde_json::from_str(&text).unwrap();
            prop_assert_eq!((read / time_base).round() as i64, pts);
            prop_assert_eq!(time_in_file(read).to_bits(), time_in_file(time_s).to_bits());
        }

        #[test]
        fn writing_what_was_read_changes_nothing(probability in 0.0f32..=1.0, pixels in -20_000.0f32..20_000.0) {
            let read = serde_json::to_string(&probability_in_file(probability)).unwrap().parse::<f32>().unwrap();
            prop_assert_eq!(probability_in_file(read), probability_in_file(probability));
            let face = BoundingBox { x: pixels, y: 0.0, w: pixels, h: 1.0 };
            let read: BoundingBox = serde_json::from_value(serde_json::json!(box_in_file(face))).unwrap();
            prop_assert_eq!(box_in_file(read), box_in_file(face));
        }
    }

    #[test]
    fn numbers_are_short() {
        let text = |value: f64| serde_json::to_string(&value).unwrap();
        assert_eq!(text(time_in_file(1001.0 / 30_000.0)), "0.033366667");
        assert_eq!(text(probability_in_file(0.1)), "0.1");
        assert_eq!(text(score_in_file(12.345_678)), "12.346");
        assert_eq!(text(probability_in_file(-0.0)), "0.0");
    }

    #[test]
    fn times_too_large_for_nanoseconds_keep_their_order() {
        let late_s = 3.0e8;
        assert!(time_in_file(late_s) < time_in_file(f64::next_up(late_s)));
    }
}

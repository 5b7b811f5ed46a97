//! `--start` and `--end`: the part of a video that is wanted.

use clap::Args;
use serde_json::{Map, Value};

/// Which part of each video.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct RangeArguments {
    /// First moment wanted: seconds or [HH:]MM:SS[.fff] of the video's own time
    #[arg(long, value_name = "TIME", value_parser = moment, allow_negative_numbers = true)]
    start: Option<f64>,
    /// First moment no longer wanted
    #[arg(long, value_name = "TIME", value_parser = moment, allow_negative_numbers = true)]
    end: Option<f64>,
}

impl RangeArguments {
    /// As annotation settings.
    pub(super) fn settings(self) -> Map<String, Value> {
        let range = [("start_s", self.start), ("end_s", self.end)];
        range.into_iter().filter_map(|(name, moment)| Some((name.into(), moment?.into()))).collect()
    }
}

/// Seconds, MM:SS or HH:MM:SS, each with a fraction.
pub(super) fn moment(text: &str) -> Result<f64, String> {
    let fault = || format!("'{text}' is neither seconds nor [HH:]MM:SS[.fff]");
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(fault());
    }
    let mut seconds = 0.0;
    for (index, part) in parts.iter().enumerate() {
        let value: f64 = part.parse().map_err(|_| fault())?;
        let is_plain = part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !is_plain || (index > 0 && value >= 60.0) {
            return Err(fault());
        }
        seconds = seconds * 60.0 + value;
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_clock_times() {
        assert_eq!(moment("12.5"), Ok(12.5));
        assert_eq!(moment("1:02.5"), Ok(62.5));
        assert_eq!(moment("1:00:00"), Ok(3600.0));
        for wrong in ["", "-1", "1:60", "a", "1:2:3:4", "inf", "1e3", ":"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}

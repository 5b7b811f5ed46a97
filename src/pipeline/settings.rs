//! What changes the output of the pipeline, and how its work is done. Settings come from files and variables that people write, so
//! that each is checked.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::decode::{DecodeOptions, Deinterlace, Patience};
use super::detect::DetectorIdentity;
use super::events::EventSettings;
use super::neutral::NeutralChoice;
use super::segment::SegmentSettings;
use super::smooth::SmoothSettings;
use super::track::TrackSettings;
use crate::infer::Precision;
use crate::timeline::MeasureGroup;

/// Everything that influences the output; recorded in every output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// When to deinterlace.
    pub deinterlace: Deinterlace,
    /// First moment wanted, seconds of container time.
    pub start_s: Option<f64>,
    /// First moment no longer wanted, seconds of container time.
    pub end_s: Option<f64>,
    /// Largest picture accepted, pixels.
    pub max_pixels: u64,
    /// The precision with which the network is computed.
    pub precision: Precision,
    /// The detector that finds faces.
    pub detector: DetectorIdentity,
    /// How faces are followed.
    pub track: TrackSettings,
    /// How labels are smoothed.
    pub smooth: SmoothSettings,
    /// How labels become segments.
    pub segment: SegmentSettings,
    /// Share of a face, or of its eyes, nose or mouth where hands are looked for, from which it counts as covered.
    pub occluded_above: f64,
    /// What is measured on faces, and written; nothing of it where the list is empty.
    pub measures: Vec<MeasureGroup>,
    /// What measures are relative to.
    pub neutral: NeutralChoice,
    /// From where on something is an event.
    pub events: EventSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deinterlace: Deinterlace::Auto,
            start_s: None,
            end_s: None,
            // 8K, both ways round.
            max_pixels: 7680 * 4320,
            precision: Precision::default(),
            detector: DetectorIdentity::default(),
            track: TrackSettings::default(),
            smooth: SmoothSettings::default(),
            segment: SegmentSettings::default(),
            occluded_above: 0.2,
            measures: MeasureGroup::ALL.into(),
            neutral: NeutralChoice::default(),
            events: EventSettings::default(),
        }
    }
}

impl Settings {
    /// Whether a group of measures is asked for.
    pub fn wants(&self, group: MeasureGroup) -> bool {
        self.measures.contains(&group)
    }

    /// Whether every setting makes sense; each way into the pipeline asks.
    ///
    /// # Errors
    /// The first setting that does not.
    pub fn check(&self) -> Result<(), SettingError> {
        self.track.check()?;
        self.smooth.check()?;
        self.segment.check()?;
        self.events.check()?;
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        require("occluded_above", self.occluded_above, "a share above 0, at most 1", is_share)?;
        let start_s = self.start_s.unwrap_or(f64::NEG_INFINITY);
        require("start_s", start_s, "a number of seconds", |start_s| !start_s.is_nan())?;
        let end_s = self.end_s.unwrap_or(f64::INFINITY);
        require("end_s", end_s, "a number of seconds after start_s", |end_s| end_s > start_s)
    }

    /// How a video is decoded without an interrupt flag.
    pub fn decode_options(&self) -> DecodeOptions {
        DecodeOptions {
            deinterlace: self.deinterlace,
            start_s: self.start_s,
            end_s: self.end_s,
            max_pixels: self.max_pixels,
            ..DecodeOptions::default()
        }
    }
}

/// How the work is done; has no influence on the output.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Threads that classify.
    pub threads: usize,
    /// Largest number of faces that are classified together.
    pub batch_size: usize,
    /// Set (by Ctrl-C, for example) to end early with what is done.
    pub interrupt: Arc<AtomicBool>,
    /// How long the source may stay silent, and whether it was silent for longer.
    pub patience: Arc<Patience>,
}

/// How a video is decoded during `execution`, which can interrupt it.
pub fn decode_options(settings: &Settings, execution: &Execution) -> DecodeOptions {
    DecodeOptions {
        interrupt: Arc::clone(&execution.interrupt),
        patience: Arc::clone(&execution.patience),
        ..settings.decode_options()
    }
}

/// A setting outside its allowed range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("setting {name} must be {expected}, but it is {found}")]
pub struct SettingError {
    /// The setting's name in a configuration file, e.g. `smooth.lag_s`.
    pub name: &'static str,
    /// What is allowed, in words.
    pub expected: &'static str,
    /// What was found.
    pub found: f64,
}

/// `Ok` if the setting's value is `allowed`.
pub(crate) fn require(
    name: &'static str,
    found: f64,
    expected: &'static str,
    allowed: impl Fn(f64) -> bool,
) -> Result<(), SettingError> {
    if allowed(found) { Ok(()) } else { Err(SettingError { name, expected, found }) }
}

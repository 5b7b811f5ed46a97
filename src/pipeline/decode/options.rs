//! How to decode.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::Patience;
use crate::choice::Choice;
use crate::time::Timestamp;

/// When interlaced pictures are turned into progressive ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deinterlace {
    /// Frames flagged as interlaced.
    Auto,
    /// Every frame.
    On,
    /// None.
    Off,
}

impl Choice for Deinterlace {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Auto, "auto", "Frames flagged as interlaced"),
        (Self::On, "on", "Every frame"),
        (Self::Off, "off", "None"),
    ];
}

/// How to decode.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// When to deinterlace.
    pub deinterlace: Deinterlace,
    /// First moment wanted, seconds of container time.
    pub start_s: Option<f64>,
    /// First moment no longer wanted, seconds of container time.
    pub end_s: Option<f64>,
    /// Largest picture, pixels.
    pub max_pixels: u64,
    /// Decoding threads; one is best where other stages keep the cores busy (docs/benchmarks.md).
    pub threads: usize,
    /// Set to stop, also while a stream is waited for.
    pub interrupt: Arc<AtomicBool>,
    /// How long a stream may keep silent.
    pub patience: Arc<Patience>,
}

/// The whole of a video with pictures of at most 67 megapixels, on one thread, without an interrupt flag.
impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            deinterlace: Deinterlace::Auto,
            start_s: None,
            end_s: None,
            max_pixels: 1 << 26,
            threads: 1,
            interrupt: Arc::default(),
            patience: Arc::default(),
        }
    }
}

impl DecodeOptions {
    /// First moment wanted.
    pub(super) fn start(&self) -> Option<Timestamp> {
        self.start_s.map(Timestamp::nearest_nanosecond)
    }

    /// First moment no longer wanted.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.end_s.map(Timestamp::nearest_nanosecond)
    }
}

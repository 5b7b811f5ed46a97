//! A frame whose labels no later frame changes any more.

use super::{FrameRecord, Status};

/// One frame as it is written while the program runs: its time, and the faces in it by track.
#[derive(Debug, Clone, PartialEq)]
pub struct SettledFrame {
    /// Index of the decoded frame.
    pub frame: usize,
    /// Presentation time stamp in units of the time base.
    pub pts: i64,
    /// Start of the frame, seconds.
    pub time_s: f64,
    /// The best status of any track; `no_face` if there is no track.
    pub status: Status,
    /// Track ids and records.
    pub faces: Vec<(u32, FrameRecord)>,
}

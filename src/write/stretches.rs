//! What lasts: segments of expressions and events of the face, as one list in order of time, for the programs that know
//! nothing but named stretches.

use super::cues::{event_ms, segment_ms};
use crate::timeline::{FaceEvent, Segment, Timeline};

/// A stretch in player time.
pub(super) struct PlayerStretch<'a> {
    pub start_ms: u64,
    /// Later than `start_ms`.
    pub end_ms: u64,
    pub signer: String,
    pub what: What<'a>,
}

/// What lasts for a stretch.
#[derive(Clone, Copy)]
pub(super) enum What<'a> {
    Expression(&'a Segment),
    Event(&'a FaceEvent),
}

impl What<'_> {
    /// Of the expression or the event.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Expression(segment) => segment.label.name(),
            Self::Event(event) => event.kind.name(),
        }
    }

    /// First and last frame, both inclusive.
    pub(super) fn frames(self) -> [usize; 2] {
        match self {
            Self::Expression(segment) => [segment.first_frame, segment.last_frame],
            Self::Event(event) => [event.first_frame, event.last_frame],
        }
    }
}

/// All stretches of all signers by their start. Two of one name and signer never overlap. Those that end before time zero,
/// which no player shows, are left out.
pub(super) fn stretches(timeline: &Timeline) -> Vec<PlayerStretch<'_>> {
    let mut stretches = Vec::new();
    for track in &timeline.tracks {
        let signer = track.signer();
        for (segment, [start_ms, end_ms]) in segment_ms(timeline, track) {
            let what = What::Expression(segment);
            stretches.push(PlayerStretch { start_ms, end_ms, signer: signer.clone(), what });
        }
        for (event, [start_ms, end_ms]) in event_ms(timeline, track) {
            stretches.push(PlayerStretch { start_ms, end_ms, signer: signer.clone(), what: What::Event(event) });
        }
    }
    // Stable: what begins at one moment stays in the order of signers.
    stretches.sort_by_key(|stretch| stretch.start_ms);
    stretches
}

/// Milliseconds as seconds with three decimals.
pub(super) fn seconds(time_ms: u64) -> String {
    format!("{}.{:03}", time_ms / 1000, time_ms % 1000)
}

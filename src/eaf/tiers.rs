//! From a timeline to annotations in whole milliseconds.
//!
//! ELAN computes a frame from a time as the time over a frame's duration, rounded down. So the first millisecond that is
//! not before a frame, its start rounded up, is the one that gives that frame back, at every frame rate below 1000.

use super::preset::Preset;
use crate::timeline::{Expression, FrameTimes, Segment, Status, Timeline, Track};

/// A stretch of one thing, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch<T> {
    pub start_ms: u64,
    /// After `start_ms`.
    pub end_ms: u64,
    pub what: T,
}

/// What an expression annotation holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Labelled {
    pub label: Expression,
    pub confidence: f32,
}

/// The first whole millisecond not before a time; 0 for times before zero.
pub(super) fn first_ms(time_s: f64) -> u64 {
    // What binary fractions of exact times are off by is far below this.
    const ROUNDING_MS: f64 = 1e-6;
    (time_s * 1000.0 - ROUNDING_MS).ceil().max(0.0) as u64
}

/// The track's segments, neighbours `gap_frames` apart.
pub(super) fn expressions(track: &Track, timeline: &Timeline, preset: &Preset) -> Vec<Stretch<Labelled>> {
    let times = &timeline.frames;
    let end_s = |place: usize, segment: &Segment| {
        let touches = track.segments.get(place + 1).is_some_and(|next| next.first_frame == segment.last_frame + 1);
        let frames = segment.last_frame - segment.first_frame + 1;
        match touches && preset.gap_frames > 0 && preset.gap_frames < frames {
            true => times.time_s[segment.last_frame + 1 - preset.gap_frames],
            false => segment.end_s,
        }
    };
    let spans = track.segments.iter().enumerate().map(|(place, segment)| {
        let labelled = Labelled { label: segment.label, confidence: segment.confidence };
        (segment.start_s, end_s(place, segment), labelled)
    });
    apart(spans)
}

/// Where the signer's face could not be read, from the video's first frame to its last.
pub(super) fn unread(track: &Track, timeline: &Timeline) -> Vec<Stretch<Status>> {
    let times: &FrameTimes = &timeline.frames;
    let video_end_s = timeline.end_s();
    let status = |frame: usize| match frame.checked_sub(track.first_frame).and_then(|place| track.frames.get(place)) {
        Some(record) => record.status,
        None => Status::NoFace,
    };
    let mut spans: Vec<(f64, f64, Status)> = Vec::new();
    for frame in 0..times.time_s.len() {
        let (start_s, end_s) = (times.time_s[frame], times.end_s(frame, video_end_s));
        match spans.last_mut() {
            Some((_, last_end_s, last)) if *last == status(frame) => *last_end_s = end_s,
            _ => spans.push((start_s, end_s, status(frame))),
        }
    }
    apart(spans.into_iter().filter(|(_, _, status)| *status != Status::Ok))
}

/// Spans in seconds as stretches in milliseconds that are not empty and do not overlap.
pub(super) fn apart<T>(spans: impl Iterator<Item = (f64, f64, T)>) -> Vec<Stretch<T>> {
    let mut free_from_ms = 0;
    spans
        .filter(|(_, end_s, _)| *end_s > 0.0)
        .map(|(start_s, end_s, what)| {
            let start_ms = first_ms(start_s).max(free_from_ms);
            let end_ms = first_ms(end_s).max(start_ms + 1);
            free_from_ms = end_ms;
            Stretch { start_ms, end_ms, what }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    proptest! {
        #[test]
        fn a_boundary_comes_back_to_its_frame_at_every_common_rate(
            rate in prop::sample::select(vec![(24000, 1001), (25, 1), (30000, 1001), (50, 1), (60000, 1001), (12, 1), (120, 1)]),
            frame in 0i64..1_000_000,
        ) {
            let (numerator, denominator) = rate;
            let time_s = frame as f64 * f64::from(denominator) / f64::from(numerator);
            // The time over the frame's duration, rounded down, in exact arithmetic.
            let found = first_ms(time_s) as i64 * i64::from(numerator) / (1000 * i64::from(denominator));
            prop_assert_eq!(found, frame);
        }

        #[test]
        fn with_a_variable_rate_the_millisecond_lies_in_its_frame(
            steps in proptest::collection::vec(1.1f64..500.0, 1..50),
        ) {
            let mut start_ms = 0.0;
            for step in steps {
                let found = first_ms(start_ms / 1000.0) as f64;
                prop_assert!(start_ms - 1e-5 <= found && found < start_ms + step);
                start_ms += step;
            }
        }

        #[test]
        fn annotations_of_a_tier_never_overlap(timeline in sample::any_timeline(), gap_frames in 0usize..3) {
            let preset = Preset { gap_frames, ..Preset::default() };
            for track in &timeline.tracks {
                let found = expressions(track, &timeline, &preset);
                prop_assert!(found.iter().all(|s| s.start_ms < s.end_ms));
                prop_assert!(found.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
                let unread = unread(track, &timeline);
                prop_assert!(unread.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
            }
        }
    }
}

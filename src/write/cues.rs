//! Subtitles: one cue per segment.

use crate::timeline::{ContainerTime, FaceEvent, Segment, Timeline, Track};

/// A line of text over a stretch of time.
pub(super) struct Cue {
    pub start_ms: u64,
    /// Later than `start_ms`.
    pub end_ms: u64,
    pub text: String,
}

/// The timeline's segments in order of their start, in player time. Cues of one signer never overlap, however short
/// their segments; with several signers the text says whose it is. What lies before time zero, which no player shows,
/// is left out.
pub(super) fn cues(timeline: &Timeline) -> Vec<Cue> {
    let several = timeline.tracks.len() > 1;
    let mut cues = Vec::new();
    for track in &timeline.tracks {
        for (segment, [start_ms, end_ms]) in segment_ms(timeline, track) {
            let label = segment.label.name();
            let text = if several { format!("{}: {label}", track.signer()) } else { label.into() };
            cues.push(Cue { start_ms, end_ms, text });
        }
    }
    // Stable: signers with cues at the same moment stay in order.
    cues.sort_by_key(|cue| cue.start_ms);
    cues
}

/// The track's segments with their start and end in whole milliseconds of player time: none is empty and none overlaps
/// the next, however short they are. Those that end before time zero are left out.
pub(super) fn segment_ms<'a>(
    timeline: &'a Timeline,
    track: &'a Track,
) -> impl Iterator<Item = (&'a Segment, [u64; 2])> {
    let mut free_from_ms = 0;
    let shown = |time_s: f64| timeline.player_time(ContainerTime(time_s));
    track.segments.iter().filter(move |segment| shown(segment.end_s).0 > 0.0).map(move |segment| {
        let start_ms = shown(segment.start_s).round_millis().max(free_from_ms);
        let end_ms = shown(segment.end_s).round_millis().max(start_ms + 1);
        free_from_ms = end_ms;
        (segment, [start_ms, end_ms])
    })
}

/// The track's events with their start and end in whole milliseconds of player time; none is empty. Those that end before time
/// zero are left out.
pub(super) fn event_ms<'a>(
    timeline: &'a Timeline,
    track: &'a Track,
) -> impl Iterator<Item = (&'a FaceEvent, [u64; 2])> {
    let shown = |time_s: f64| timeline.player_time(ContainerTime(time_s));
    track.events.iter().filter(move |event| shown(event.end_s).0 > 0.0).map(move |event| {
        let start_ms = shown(event.start_s).round_millis();
        (event, [start_ms, shown(event.end_s).round_millis().max(start_ms + 1)])
    })
}

/// `HH:MM:SS` and milliseconds behind `separator`.
pub(super) fn clock(time_ms: u64, separator: char) -> String {
    let (hours, minutes, seconds) = (time_ms / 3_600_000, time_ms / 60_000 % 60, time_ms / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{separator}{:03}", time_ms % 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    #[test]
    fn a_clock_counts_hours_minutes_seconds() {
        assert_eq!(clock(0, ','), "00:00:00,000");
        assert_eq!(clock(3_723_004, '.'), "01:02:03.004");
        assert_eq!(clock(360_000_000, '.'), "100:00:00.000");
    }

    #[test]
    fn several_signers_are_called_as_everywhere() {
        let texts: Vec<String> = cues(&sample::two_signers()).into_iter().map(|cue| cue.text).collect();
        assert_eq!(texts, ["A: happiness", "B: neutral", "A: anger"]);
    }

    #[test]
    fn cues_count_from_where_players_do() {
        let mut timeline = sample::two_signers();
        timeline.media.start_s = 0.2;
        assert_eq!(cues(&timeline)[0].start_ms, 0);
    }

    #[test]
    fn a_single_signer_needs_no_name() {
        let mut timeline = sample::two_signers();
        timeline.tracks.truncate(1);
        assert_eq!(cues(&timeline)[0].text, "happiness");
    }

    #[test]
    fn segments_shorter_than_a_millisecond_stay_apart() {
        let mut timeline = sample::two_signers();
        timeline.tracks.truncate(1);
        let segment = timeline.tracks[0].segments[0].clone();
        timeline.tracks[0].segments = (0..5)
            .map(|step| f64::from(step) * 2e-4)
            .map(|start_s| crate::timeline::Segment { start_s, end_s: start_s + 2e-4, ..segment.clone() })
            .collect();
        let spans: Vec<_> = cues(&timeline).iter().map(|cue| (cue.start_ms, cue.end_ms)).collect();
        assert_eq!(spans, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cues_of_a_signer_do_not_overlap_and_lie_within_a_millisecond_of_their_segment(
            timeline in sample::any_timeline(),
        ) {
            let mut timeline = timeline;
            timeline.tracks.truncate(1);
            let cues = cues(&timeline);
            let segments: Vec<_> = timeline.tracks.iter().flat_map(|track| &track.segments).collect();
            let shown: Vec<_> = segments.iter().filter(|segment| segment.end_s > 0.0).collect();
            prop_assert_eq!(cues.len(), shown.len());
            for (cue, segment) in cues.iter().zip(shown) {
                prop_assert!(cue.start_ms < cue.end_ms);
                prop_assert!((cue.start_ms as f64 - segment.start_s.max(0.0) * 1000.0).abs() <= 1.0);
            }
            prop_assert!(cues.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
        }
    }
}

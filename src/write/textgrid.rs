//! Praat's TextGrid in its long text form (Boersma & Weenink, Praat manual, "TextGrid file formats"): interval tiers of
//! each signer, one of the expressions and one a kind of event, without gaps, as Praat demands; where nothing is known the interval is empty.

use std::io::{self, Write};

use super::Writer;
use crate::timeline::{EventKind, Timeline, Track, time_in_file};

pub(super) struct TextGrid;

/// A stretch of a tier, seconds.
struct Interval {
    start_s: f64,
    end_s: f64,
    text: &'static str,
}

impl Writer for TextGrid {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let start_s = timeline.frames.time_s.first().copied().unwrap_or(0.0).min(0.0);
        let span = [start_s, timeline.end_s()].map(time_in_file);
        let [xmin, xmax] = span;
        write!(out, "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = {xmin}\nxmax = {xmax}\n")?;
        if timeline.tracks.is_empty() || xmax <= xmin {
            return out.write_all(b"tiers? <absent>\n");
        }
        let tiers: Vec<(String, Vec<Interval>)> = timeline.tracks.iter().flat_map(|track| tiers(track, span)).collect();
        write!(out, "tiers? <exists>\nsize = {}\nitem []:\n", tiers.len())?;
        for (place, (name, intervals)) in tiers.iter().enumerate() {
            write!(out, "    item [{}]:\n        class = \"IntervalTier\"\n", place + 1)?;
            writeln!(out, "        name = \"{name}\"")?;
            write!(
                out,
                "        xmin = {xmin}\n        xmax = {xmax}\n        intervals: size = {}\n",
                intervals.len()
            )?;
            for (place, interval) in intervals.iter().enumerate() {
                let Interval { start_s, end_s, text } = interval;
                write!(out, "        intervals [{}]:\n            xmin = {start_s}\n", place + 1)?;
                write!(out, "            xmax = {end_s}\n            text = \"{text}\"\n")?;
            }
        }
        Ok(())
    }
}

/// A track's tiers by their names: the expressions, and a tier for each kind of event that there is, as events of different
/// kinds overlap.
fn tiers(track: &Track, span: [f64; 2]) -> Vec<(String, Vec<Interval>)> {
    let signer = track.signer();
    let segments = track.segments.iter().map(|segment| (segment.start_s, segment.end_s, segment.label.name()));
    let mut tiers = vec![(format!("expression@{signer}"), intervals(segments, span))];
    for kind in EventKind::ALL {
        let of_kind = || track.events.iter().filter(move |event| event.kind == kind);
        if of_kind().next().is_some() {
            let events = of_kind().map(|event| (event.start_s, event.end_s, kind.name()));
            tiers.push((format!("{}@{signer}", kind.name()), intervals(events, span)));
        }
    }
    tiers
}

/// The stretches and, between them, empty intervals, from one end of the video to the other.
fn intervals(stretches: impl Iterator<Item = (f64, f64, &'static str)>, [start_s, end_s]: [f64; 2]) -> Vec<Interval> {
    let mut intervals: Vec<Interval> = Vec::new();
    let mut reached_s = start_s;
    for (from_s, to_s, text) in stretches {
        let [from_s, to_s] = [from_s, to_s].map(|s| time_in_file(s).clamp(reached_s, end_s));
        if from_s > reached_s {
            intervals.push(Interval { start_s: reached_s, end_s: from_s, text: "" });
        }
        if to_s > from_s {
            intervals.push(Interval { start_s: from_s, end_s: to_s, text });
        }
        reached_s = to_s;
    }
    if end_s > reached_s {
        intervals.push(Interval { start_s: reached_s, end_s, text: "" });
    }
    intervals
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn tiers_have_no_gaps_and_lose_no_segment(timeline in sample::any_timeline()) {
            let start_s = timeline.frames.time_s.first().copied().unwrap_or(0.0).min(0.0);
            let span = [start_s, timeline.end_s()].map(time_in_file);
            for track in &timeline.tracks {
                let intervals = &tiers(track, span)[0].1;
                prop_assert_eq!(intervals.first().map(|i| i.start_s), Some(span[0]));
                prop_assert_eq!(intervals.last().map(|i| i.end_s), Some(span[1]));
                prop_assert!(intervals.windows(2).all(|pair| pair[0].end_s == pair[1].start_s));
                prop_assert!(intervals.iter().all(|i| i.start_s < i.end_s));
                let labels: Vec<_> = intervals.iter().map(|i| i.text).filter(|text| !text.is_empty()).collect();
                let expected: Vec<_> = track.segments.iter().map(|segment| segment.label.name()).collect();
                prop_assert_eq!(labels, expected);
            }
        }
    }
}

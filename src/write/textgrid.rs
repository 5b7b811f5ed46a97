//! Praat's TextGrid in its long text form (Boersma & Weenink, Praat manual, "TextGrid file formats"): interval tiers, one for a
//! signer's expressions and one for each part of the face that was measured, without gaps, as Praat demands; where nothing is known the interval is empty. Where nobody is seen there is
//! one empty tier: Praat 6.3 crashes on a file without any, and other readers refuse it. Times are the player's.

use std::io::{self, Write};

use super::Writer;
use crate::timeline::{ContainerTime, EventKind, FacePart, TOGETHER, Timeline, Track, time_in_file};

pub(super) struct TextGrid;

/// A stretch of a tier, seconds.
struct Interval {
    start_s: f64,
    end_s: f64,
    text: String,
}

/// A tier's name and what stands on it, in order and without overlaps.
type Tier = (String, Vec<Interval>);

impl Writer for TextGrid {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let span = span(timeline);
        let [xmin, xmax] = span;
        write!(out, "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = {xmin}\nxmax = {xmax}\n")?;
        let mut tiers: Vec<Tier> = timeline.tracks.iter().flat_map(|track| tiers(timeline, track)).collect();
        if tiers.is_empty() {
            tiers.push(("expression".into(), Vec::new()));
        }
        write!(out, "tiers? <exists>\nsize = {}\nitem []:\n", tiers.len())?;
        for (index, (name, labelled)) in tiers.into_iter().enumerate() {
            let intervals = intervals(timeline, labelled, span);
            write!(out, "    item [{}]:\n        class = \"IntervalTier\"\n", index + 1)?;
            writeln!(out, "        name = \"{name}\"")?;
            write!(
                out,
                "        xmin = {xmin}\n        xmax = {xmax}\n        intervals: size = {}\n",
                intervals.len()
            )?;
            for (index, interval) in intervals.iter().enumerate() {
                let Interval { start_s, end_s, text } = interval;
                write!(out, "        intervals [{}]:\n            xmin = {start_s}\n", index + 1)?;
                write!(out, "            xmax = {end_s}\n            text = \"{text}\"\n")?;
            }
        }
        Ok(())
    }
}

/// From zero, or an earlier first frame, to the video's end. Praat takes no empty span.
fn span(timeline: &Timeline) -> [f64; 2] {
    const SHORTEST_S: f64 = 0.001;
    let shown = |time_s: f64| time_in_file(timeline.player_time(ContainerTime(time_s)).0);
    let start_s = timeline.frames.time_s.first().map_or(0.0, |first_s| shown(*first_s)).min(0.0);
    [start_s, shown(timeline.end_s()).max(start_s + SHORTEST_S)]
}

/// A signer's tiers, seconds of container time.
fn tiers(timeline: &Timeline, track: &Track) -> Vec<Tier> {
    let segments = track.segments.iter().map(|segment| Interval {
        start_s: segment.start_s,
        end_s: segment.end_s,
        text: segment.label.name().into(),
    });
    let mut tiers = vec![(format!("expression@{}", track.signer()), segments.collect())];
    for part in timeline.measured_parts() {
        tiers.push((format!("{}@{}", part.tier(), track.signer()), doings(timeline, track, part)));
    }
    tiers
}

/// What a part of the face does; the names of what goes on at once stand together.
fn doings(timeline: &Timeline, track: &Track, part: FacePart) -> Vec<Interval> {
    let times = &timeline.frames;
    let interval = |stretch: crate::timeline::GoingOn| Interval {
        start_s: times.time_s[stretch.first_frame],
        end_s: times.end_s(stretch.last_frame, timeline.end_s()),
        text: stretch.kinds.into_iter().map(EventKind::name).collect::<Vec<_>>().join(TOGETHER),
    };
    track.going_on(part).into_iter().map(interval).collect()
}

/// What stands on a tier and, between it, empty intervals, from one end of the video to the other, in player time.
fn intervals(timeline: &Timeline, labelled: Vec<Interval>, [start_s, end_s]: [f64; 2]) -> Vec<Interval> {
    let mut intervals: Vec<Interval> = Vec::new();
    let mut reached_s = start_s;
    let shown = |time_s: f64| time_in_file(timeline.player_time(ContainerTime(time_s)).0);
    for stretch in labelled {
        let [from_s, to_s] = [stretch.start_s, stretch.end_s].map(|s| shown(s).clamp(reached_s, end_s));
        if from_s > reached_s {
            intervals.push(Interval { start_s: reached_s, end_s: from_s, text: String::new() });
        }
        if to_s > from_s {
            intervals.push(Interval { start_s: from_s, end_s: to_s, text: stretch.text });
        }
        reached_s = to_s;
    }
    if end_s > reached_s {
        intervals.push(Interval { start_s: reached_s, end_s, text: String::new() });
    }
    intervals
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    #[test]
    fn without_anybody_there_is_one_tier_with_one_empty_interval() {
        let mut timeline = sample::two_signers();
        timeline.tracks.clear();
        let mut bytes = Vec::new();
        TextGrid.write(&timeline, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("tiers? <exists>\nsize = 1\n") && text.contains("name = \"expression\""), "{text}");
        assert!(text.contains("intervals: size = 1\n") && text.contains("text = \"\""), "{text}");
        timeline.frames = Default::default();
        assert!(span(&timeline)[0] < span(&timeline)[1], "also where there is not even a frame");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn tiers_have_no_gaps_and_lose_nothing(timeline in sample::any_timeline()) {
            let span = span(&timeline);
            for (name, labelled) in timeline.tracks.iter().flat_map(|track| tiers(&timeline, track)) {
                let expected: Vec<String> = labelled.iter().map(|interval| interval.text.clone()).collect();
                let intervals = intervals(&timeline, labelled, span);
                prop_assert_eq!(intervals.first().map(|i| i.start_s), Some(span[0]), "{}", name);
                prop_assert_eq!(intervals.last().map(|i| i.end_s), Some(span[1]));
                prop_assert!(intervals.windows(2).all(|pair| pair[0].end_s == pair[1].start_s));
                prop_assert!(intervals.iter().all(|i| i.start_s < i.end_s));
                let texts: Vec<String> = intervals.into_iter().map(|i| i.text).filter(|t| !t.is_empty()).collect();
                prop_assert_eq!(texts, expected);
            }
        }
    }
}

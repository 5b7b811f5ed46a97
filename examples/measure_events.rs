//! Lays what `annotate` says of real clips beside what people saw in them: events, measures, hands before faces.
//!
//! ```text
//! cargo run --release --example measure_events -- ../shared/data [CLIP...]
//! ```
//!
//! The truth is `videos/nonmanuals.csv`: what a labeller saw, clip by clip. Where nothing stands, nobody looked, so that an event is
//! false only if most of it lies where the truth says `none`. Rows seen with low certainty are left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use annotate::Annotator;
use annotate::timeline::{EventKind, FaceEvent, FrameRecord, Measure, Status, Timeline, Track};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Edges are counted as right up to this far from the labeller's: three frames at 25 a second.
const EDGE_S: f64 = 0.12;
/// An event is invented if more than this share of it lies where nothing happens.
const IN_NOTHING: f64 = 0.5;
/// The same recording at two rates.
const TWINS: [&str; 2] = ["signtranslate_example-sentence-original.mp4", "signtranslate_example-sentence-120fps.mp4"];

#[derive(Debug, Deserialize)]
struct Seen {
    clip: String,
    first_frame: usize,
    last_frame: usize,
    event: String,
    detail: String,
    sure: String,
}

/// What is counted of one kind.
#[derive(Debug, Default)]
struct Count {
    found: usize,
    missed: usize,
    invented: usize,
    edges: usize,
    edges_right: usize,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let data = arguments.next().context("which folder holds videos/?")?.join("videos");
    let wanted: Vec<PathBuf> = arguments.collect();
    let seen: Vec<Seen> =
        csv::Reader::from_path(data.join("nonmanuals.csv"))?.deserialize().collect::<Result<_, _>>()?;
    let mut clips: Vec<String> = seen.iter().map(|row| row.clip.clone()).collect();
    clips.sort();
    clips.dedup();
    clips.retain(|clip| wanted.is_empty() || wanted.iter().any(|wanted| wanted == Path::new(clip)));
    ensure!(!clips.is_empty(), "no such clip");
    let annotator = Annotator::new()?;
    let mut timelines = BTreeMap::new();
    for clip in &clips {
        timelines.insert(clip.clone(), annotator.annotate(data.join(clip))?);
    }
    report_events(&seen, &timelines);
    report_measures(&seen, &timelines);
    report_hands(&seen, &timelines);
    if let [Some(slow), Some(fast)] = TWINS.map(|clip| timelines.get(clip)) {
        report_twins(slow, fast);
    }
    Ok(())
}

/// Kinds of events that a row's word stands for.
fn kinds(row: &Seen) -> &'static [EventKind] {
    use EventKind::*;
    match (row.event.as_str(), row.detail.as_str()) {
        ("brows_raised", _) => &[BrowsRaised],
        ("blink", _) => &[Blink],
        ("mouth_open", _) => &[MouthOpen],
        ("mouth_rounded", _) => &[MouthRounded],
        ("head_turned_left", _) => &[HeadLeft],
        ("head_turned_right", _) => &[HeadRight],
        ("head_up", _) => &[HeadUp],
        ("head_down", _) => &[HeadDown],
        ("head_tilt", detail) if detail.contains("signer_left") => &[TiltLeft],
        ("head_tilt", _) => &[TiltRight],
        ("hand_over_face", _) => &[HandOnFace],
        _ => &[],
    }
}

fn longest(timeline: &Timeline) -> Option<&Track> {
    timeline.tracks.iter().max_by_key(|track| track.frames.len())
}

fn report_events(seen: &[Seen], timelines: &BTreeMap<String, Timeline>) {
    let mut counts: BTreeMap<EventKind, Count> = BTreeMap::new();
    for (clip, timeline) in timelines {
        let Some(track) = longest(timeline) else { continue };
        let rows: Vec<&Seen> = seen.iter().filter(|row| row.clip == *clip && row.sure != "low").collect();
        for row in rows.iter().filter(|row| !kinds(row).is_empty()) {
            let near = |event: &&FaceEvent| {
                kinds(row).contains(&event.kind)
                    && event.first_frame <= row.last_frame
                    && event.last_frame >= row.first_frame
            };
            let found: Vec<&FaceEvent> = track.events.iter().filter(near).collect();
            let count = counts.entry(kinds(row)[0]).or_default();
            let (Some(first), Some(last)) = (found.first(), found.last()) else {
                count.missed += 1;
                println!("missed {clip} {} {} to {}", row.event, row.first_frame, row.last_frame);
                continue;
            };
            count.found += 1;
            let time = |frame: usize| timeline.frames.time_s[frame.min(timeline.frames.time_s.len() - 1)];
            let off = |a: usize, b: usize| (time(a) - time(b)).abs();
            for off in [off(first.first_frame, row.first_frame), off(last.last_frame, row.last_frame)] {
                count.edges += 1;
                count.edges_right += usize::from(off <= EDGE_S + 1e-6);
            }
        }
        for event in &track.events {
            let length = event.last_frame + 1 - event.first_frame;
            let shared = |row: &&&Seen| {
                let (first, last) = (event.first_frame.max(row.first_frame), event.last_frame.min(row.last_frame));
                (last + 1).saturating_sub(first)
            };
            let nothing: usize = rows.iter().filter(|row| row.event == "none").map(|row| shared(&row)).sum();
            if nothing as f64 > IN_NOTHING * length as f64 {
                counts.entry(event.kind).or_default().invented += 1;
                println!("invented {clip} {} {} to {}", event.kind.name(), event.first_frame, event.last_frame);
            }
        }
    }
    println!("\n{:<16} {:>6} {:>8} {:>9}  edges within {} ms", "event", "recall", "", "precision", 1000.0 * EDGE_S);
    for (kind, Count { found, missed, invented, edges, edges_right }) in counts {
        let share = |part: usize, all: usize| if all == 0 { f64::NAN } else { part as f64 / all as f64 };
        println!(
            "{:<16} {:>6.2} {:>3} of {:>2} {:>9.2}  {edges_right} of {edges}",
            kind.name(),
            share(found, found + missed),
            found,
            found + missed,
            share(found, found + invented)
        );
    }
}

/// How well a measure by itself tells frames with an event from frames in which nothing happens, clip by clip.
fn report_measures(seen: &[Seen], timelines: &BTreeMap<String, Timeline>) {
    type Signal = fn(&FrameRecord) -> Option<f64>;
    let signals: [(&str, &str, Signal); 5] = [
        ("brows_raised", "inner_brow_height", |r| r.measures?.get(Measure::InnerBrowHeight)),
        ("brows_furrowed", "-(inner_brow_gap + inner_brow_height)", |r| {
            let measures = r.measures?;
            Some(-measures.get(Measure::InnerBrowGap)? - measures.get(Measure::InnerBrowHeight)?)
        }),
        ("blink", "-eye_openness", |r| Some(-r.measures?.get(Measure::EyeOpenness)?)),
        ("mouth_open", "mouth_opening", |r| r.measures?.get(Measure::MouthOpening)),
        ("mouth_rounded", "-mouth_width", |r| Some(-r.measures?.get(Measure::MouthWidth)?)),
    ];
    println!("\narea under the curve against frames in which nothing happens");
    for (event, name, signal) in signals {
        for (clip, timeline) in timelines {
            let Some(track) = longest(timeline) else { continue };
            let of = |event: &str| -> Vec<f64> {
                let rows = seen.iter().filter(|row| row.clip == *clip && row.event == event);
                let frames: Vec<_> = rows.map(|row| row.first_frame..=row.last_frame).collect();
                let records = track.frames.iter().filter(|r| frames.iter().any(|frames| frames.contains(&r.frame)));
                records.filter_map(signal).collect()
            };
            let (with, without) = (of(event), of("none"));
            if !with.is_empty() && !without.is_empty() {
                println!("{event:<15} {name:<38} {clip:<45} {:.3}", area(&with, &without));
            }
        }
    }
}

fn area(with: &[f64], without: &[f64]) -> f64 {
    let win = |a: f64, b: f64| (f64::from(u8::from(a > b)) + f64::from(u8::from(a >= b))) / 2.0;
    let wins = with.iter().flat_map(|a| without.iter().map(move |b| win(*a, *b)));
    wins.sum::<f64>() / (with.len() * without.len()) as f64
}

fn report_hands(seen: &[Seen], timelines: &BTreeMap<String, Timeline>) {
    println!(
        "\nhands before the face, frames: told, missed, invented (and of these with the head turned by 15 degrees or more)"
    );
    let mut all = [0usize; 4];
    for (clip, timeline) in timelines {
        let Some(track) = longest(timeline) else { continue };
        let is_in = |frame: usize, events: &[&str]| {
            let own = seen.iter().filter(|row| row.clip == *clip && events.contains(&row.event.as_str()));
            own.map(|row| row.first_frame..=row.last_frame).any(|frames| frames.contains(&frame))
        };
        let mut counts = [0usize; 4];
        for record in &track.frames {
            let (over, near) = (is_in(record.frame, &["hand_over_face"]), is_in(record.frame, &["hand_near_face"]));
            let says = record.status == Status::Occluded;
            let turned = record.measures.and_then(|m| m.get(Measure::Yaw)).is_some_and(|yaw| yaw.abs() >= 15.0);
            match (over, says) {
                _ if near && !over => {}
                (true, true) => counts[0] += 1,
                (true, false) => counts[1] += 1,
                (false, true) => {
                    counts[2] += 1;
                    counts[3] += usize::from(turned);
                }
                (false, false) => {}
            }
        }
        println!("{clip:<45} {:>4} {:>4} {:>4} ({})", counts[0], counts[1], counts[2], counts[3]);
        all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
    }
    let [told, missed, invented, _] = all.map(|count| count as f64);
    let (precision, recall) = (told / (told + invented), told / (told + missed));
    println!("precision {precision:.3}, recall {recall:.3}, F1 {:.3}", 2.0 * told / (2.0 * told + invented + missed));
}

/// How far the measures of one recording at two rates agree.
fn report_twins(slow: &Timeline, fast: &Timeline) {
    let (Some(a), Some(b)) = (longest(slow), longest(fast)) else { return };
    println!("\nthe same recording at 25 and 120 frames a second");
    for measure in Measure::ALL {
        let of = |track: &Track, timeline: &Timeline, time_s: f64| {
            let times = &timeline.frames.time_s;
            let nearest = |record: &&FrameRecord| (times[record.frame] - times[0] - time_s).abs();
            track.frames.iter().min_by(|a, b| nearest(a).total_cmp(&nearest(b)))?.measures?.get(measure)
        };
        let times = &slow.frames.time_s;
        let pairs: Vec<(f64, f64)> = times
            .iter()
            .filter_map(|time| Some((of(a, slow, time - times[0])?, of(b, fast, time - times[0])?)))
            .collect();
        println!("{:<20} r {:.3} of {} frames", measure.name(), correlation(&pairs), pairs.len());
    }
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let count = pairs.len() as f64;
    let (x, y) = pairs.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / count, y + b / count));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let (xy, xx, yy) =
        (sum(&|(a, b)| (a - x) * (b - y)), sum(&|(a, _)| (a - x).powi(2)), sum(&|(_, b)| (b - y).powi(2)));
    xy / (xx * yy).sqrt()
}

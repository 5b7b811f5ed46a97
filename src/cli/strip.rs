//! The timeline at a glance: one strip per signer, time from left to right.

use std::fmt::Write;

use anstyle::{Ansi256Color, Style};

use super::face_lines;
use crate::palette::{NO_FACE, colour_of};
use crate::timeline::{Expression, Status, Timeline, Track};

/// How a strip tells classes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// By colour, two moments in a character.
    Colour,
    /// By letter: for pipes, files, and people who set NO_COLOR.
    Letters,
}

impl Ink {
    /// What suits `stream`: letters where it is no terminal or NO_COLOR is set.
    pub(super) fn for_stream(stream: &impl anstream::stream::RawStream) -> Self {
        match anstream::AutoStream::choice(stream) {
            anstream::ColorChoice::Never => Self::Letters,
            _ => Self::Colour,
        }
    }
}

/// Detectors see a face for a moment in many a wall; only so many strips are of use.
const MAX_STRIPS: usize = 12;
/// A strip narrower than this says nothing, even if it then breaks the line.
const MIN_CELLS: usize = 10;

/// What is seen in a moment: a class, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Class(Expression),
    Unread(Status),
}

impl Moment {
    /// Every moment there can be, in the legend's order.
    fn all() -> impl Iterator<Item = Self> {
        let unread = [Status::TurnedAway, Status::Occluded, Status::LowQuality, Status::OutOfFrame, Status::NoFace];
        Expression::ALL.into_iter().map(Self::Class).chain(unread.into_iter().map(Self::Unread))
    }

    fn name(self) -> String {
        match self {
            Self::Class(class) => class.name().into(),
            Self::Unread(status) => status.name().replace('_', " "),
        }
    }
}

/// Width of a strip where no terminal sets it.
const USUAL_WIDTH: usize = 100;

/// Prints the strips, and what the faces did, to standard error.
pub(super) fn show(timeline: &Timeline) {
    let stderr = std::io::stderr();
    let width = terminal_size::terminal_size_of(&stderr).map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0));
    anstream::eprint!("{}{}", strip(timeline, width, Ink::for_stream(&stderr)), face_lines::lines(timeline, width));
}

/// Strips for the signers of `timeline`, an axis in seconds and a legend, in lines of at most `width` characters.
/// With many signers, those with the most frames.
pub(super) fn strip(timeline: &Timeline, width: usize, ink: Ink) -> String {
    let mut tracks: Vec<&Track> = timeline.tracks.iter().collect();
    tracks.sort_by_key(|track| std::cmp::Reverse(track.frames.len()));
    let left_out = tracks.split_off(tracks.len().min(MAX_STRIPS)).len();
    tracks.sort_by_key(|track| track.id);

    let names: Vec<String> = match tracks.is_empty() {
        true => vec!["nobody".into()],
        false => tracks.iter().map(|track| track.signer()).collect(),
    };
    let margin = names.iter().map(String::len).max().unwrap_or(0) + 1;
    let cells = width.saturating_sub(margin).max(MIN_CELLS);
    let count = cells * ink.moments_per_cell();
    let mut rows: Vec<Vec<Moment>> = tracks.iter().map(|track| moments(timeline, track, count)).collect();
    rows.resize(names.len(), vec![Moment::Unread(Status::NoFace); count]);

    let mut text = String::new();
    for (name, row) in names.iter().zip(&rows) {
        let _ = writeln!(text, "{name:<margin$}{}", ink.paint(row));
    }
    if left_out > 0 {
        let _ = writeln!(text, "and {left_out} more with fewer frames");
    }
    if let Some(axis) = axis(timeline, cells) {
        let _ = writeln!(text, "{:margin$}{axis}", "");
    }
    text + &legend(&rows, width, ink)
}

/// What is seen for most of each of `count` equal parts of the video; inside a segment its label, else the frames' status.
fn moments(timeline: &Timeline, track: &Track, count: usize) -> Vec<Moment> {
    let start_s = timeline.frames.time_s.first().copied().unwrap_or(0.0);
    let part_s = (timeline.end_s() - start_s) / count as f64;
    let kinds: Vec<Moment> = Moment::all().collect();
    let absent = kinds.len() - 1;
    let mut shown_s = vec![vec![0.0; kinds.len()]; count];
    let mut show = |kind: usize, from_s: f64, to_s: f64| {
        let column = |time_s: f64| (((time_s - start_s) / part_s) as usize).min(count - 1);
        let parts = column(from_s)..=column(to_s);
        for (part, shown_s) in parts.clone().zip(&mut shown_s[parts]) {
            let part_start_s = start_s + part as f64 * part_s;
            let overlap_s = to_s.min(part_start_s + part_s) - from_s.max(part_start_s);
            shown_s[kind] += overlap_s.max(0.0);
        }
    };
    for segment in &track.segments {
        show(segment.label.index(), segment.start_s, segment.end_s);
    }
    let mut segments = track.segments.iter().peekable();
    for record in &track.frames {
        while segments.next_if(|segment| segment.last_frame < record.frame).is_some() {}
        let is_inside = segments.peek().is_some_and(|segment| segment.first_frame <= record.frame);
        let kind = kinds.iter().position(|kind| *kind == Moment::Unread(record.status));
        if let Some(kind) = kind.filter(|_| !is_inside) {
            let times = &timeline.frames;
            show(kind, times.time_s[record.frame], times.end_s(record.frame, timeline.end_s()));
        }
    }
    let longest = |mut shown_s: Vec<f64>| {
        shown_s[absent] += part_s - shown_s.iter().sum::<f64>();
        let most = (0..kinds.len()).max_by(|a, b| shown_s[*a].total_cmp(&shown_s[*b]));
        kinds[most.unwrap_or(absent)]
    };
    shown_s.into_iter().map(longest).collect()
}

impl Ink {
    fn moments_per_cell(self) -> usize {
        match self {
            Self::Colour => 2,
            Self::Letters => 1,
        }
    }

    fn paint(self, row: &[Moment]) -> String {
        match self {
            Self::Letters => row.iter().copied().map(letter).collect(),
            Self::Colour => {
                let cells: Vec<(Style, char)> = row.chunks_exact(2).map(|pair| cell(pair[0], pair[1])).collect();
                let runs = cells.chunk_by(|a, b| a.0 == b.0);
                runs.fold(String::new(), |mut text, run| {
                    let style = run[0].0;
                    let _ = write!(text, "{style}{}{style:#}", run.iter().map(|cell| cell.1).collect::<String>());
                    text
                })
            }
        }
    }

    /// The sign for a moment in the legend.
    fn sign(self, moment: Moment) -> String {
        match self {
            Self::Letters => letter(moment).into(),
            Self::Colour => {
                let style = Style::new().fg_color(Some(colour(moment).into()));
                format!("{style}■{style:#}")
            }
        }
    }
}

fn letter(moment: Moment) -> char {
    match moment {
        Moment::Class(Expression::Neutral) => 'N',
        Moment::Class(Expression::Happiness) => 'H',
        Moment::Class(Expression::Sadness) => 'S',
        Moment::Class(Expression::Surprise) => 'U',
        Moment::Class(Expression::Fear) => 'F',
        Moment::Class(Expression::Disgust) => 'D',
        Moment::Class(Expression::Anger) => 'A',
        Moment::Unread(Status::Occluded) => '/',
        Moment::Unread(Status::TurnedAway) => '\\',
        Moment::Unread(Status::LowQuality) => '?',
        Moment::Unread(Status::OutOfFrame) => '>',
        Moment::Unread(_) => '·',
    }
}

/// 256 colours, which every terminal in use shows, rather than 24 bits, which some misread. What is not read is grey, the
/// darker the less is there.
fn colour(moment: Moment) -> Ansi256Color {
    Ansi256Color(match moment {
        Moment::Class(class) => colour_of(class).ansi256(),
        Moment::Unread(Status::Occluded) => 250,
        Moment::Unread(Status::TurnedAway) => 248,
        Moment::Unread(Status::LowQuality) => 246,
        Moment::Unread(Status::OutOfFrame) => 237,
        Moment::Unread(_) => NO_FACE.ansi256(),
    })
}

/// Two moments side by side in one character.
fn cell(left: Moment, right: Moment) -> (Style, char) {
    let style = Style::new().fg_color(Some(colour(left).into()));
    if left == right { (style, '█') } else { (style.bg_color(Some(colour(right).into())), '▌') }
}

/// Seconds below a strip of `cells` characters, at round numbers as dense as is legible; `None` where none fits.
fn axis(timeline: &Timeline, cells: usize) -> Option<String> {
    /// Characters from one number to the next, at least.
    const SPACING: f64 = 12.0;
    const STEPS_S: [f64; 20] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
        14_400.0, 43_200.0, 86_400.0,
    ];
    let start_s = *timeline.frames.time_s.first()?;
    let end_s = timeline.end_s();
    let cells_per_s = cells as f64 / (end_s - start_s);
    let step_s = STEPS_S.into_iter().find(|step_s| step_s * cells_per_s >= SPACING)?;
    let decimals = if step_s < 1.0 { 1 } else { 0 };
    let mut axis = String::new();
    let first = (start_s / step_s).ceil() as i64;
    for tick in first.. {
        let time_s = tick as f64 * step_s;
        let column = ((time_s - start_s) * cells_per_s).round() as usize;
        let mark = format!("|{time_s:.decimals$} s");
        if column + mark.len() > cells {
            break;
        }
        let _ = write!(axis, "{:1$}{mark}", "", column.saturating_sub(axis.len()));
    }
    (!axis.is_empty()).then_some(axis)
}

/// What the signs in `rows` mean, in lines of at most `width` characters.
fn legend(rows: &[Vec<Moment>], width: usize, ink: Ink) -> String {
    const GAP: usize = 3;
    let mut text = String::new();
    let mut column = 0;
    for moment in Moment::all().filter(|moment| rows.iter().any(|row| row.contains(moment))) {
        let name = moment.name();
        let length = 2 + name.len();
        if column > 0 && column + GAP + length > width {
            text.push('\n');
            column = 0;
        } else if column > 0 {
            text.push_str("   ");
            column += GAP;
        }
        let _ = write!(text, "{} {name}", ink.sign(moment));
        column += length;
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    /// The sample, slower: ten seconds, so that the strip has something to show.
    fn ten_seconds() -> Timeline {
        let mut timeline = sample::two_signers();
        let slow = |time_s: f64| (time_s - 0.2) * 10.0 / 0.24 + 0.2;
        timeline.frames.time_s.iter_mut().for_each(|time_s| *time_s = slow(*time_s));
        for segment in timeline.tracks.iter_mut().flat_map(|track| &mut track.segments) {
            (segment.start_s, segment.end_s) = (slow(segment.start_s), slow(segment.end_s));
        }
        timeline.media.duration_s = 10.0;
        timeline
    }

    #[test]
    fn letters_stand_where_colours_cannot() {
        insta::assert_snapshot!(strip(&ten_seconds(), 60, Ink::Letters));
    }

    #[test]
    fn a_narrow_terminal_breaks_the_legend_and_thins_the_axis() {
        insta::assert_snapshot!(strip(&ten_seconds(), 34, Ink::Letters));
    }

    #[test]
    fn colours_are_those_of_the_palette() {
        let strip = strip(&ten_seconds(), 40, Ink::Colour);
        insta::assert_snapshot!(strip.replace('\u{1b}', "ESC"));
        let plain = anstream::adapter::strip_str(&strip).to_string();
        assert_eq!(plain.lines().next().map(|line| line.chars().count()), Some(40));
    }

    #[test]
    fn a_video_without_anybody_has_a_grey_strip() {
        let mut timeline = ten_seconds();
        timeline.tracks.clear();
        assert_eq!(strip(&timeline, 17, Ink::Letters), "nobody ··········\n· no face\n");
    }

    #[test]
    fn a_covered_face_is_not_called_no_face() {
        let mut timeline = ten_seconds();
        timeline.tracks.truncate(1);
        let strip = strip(&timeline, 62, Ink::Letters);
        // Ten cells a frame: two happy ones, an occluded one, one without a face, two angry ones.
        assert!(
            strip.starts_with(&format!("A {}{}{}{}\n", "H".repeat(20), "/".repeat(10), "·".repeat(10), "A".repeat(20))),
            "{strip}"
        );
        assert!(strip.contains("/ occluded") && strip.contains("· no face"), "{strip}");
    }

    #[test]
    fn a_crowd_is_cut_to_those_seen_longest() {
        let mut timeline = ten_seconds();
        let passer_by = timeline.tracks[1].clone();
        timeline.tracks.extend((3..20).map(|id| Track { id, ..passer_by.clone() }));
        let strip = strip(&timeline, 60, Ink::Letters);
        assert_eq!(
            strip.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())).count() - 1,
            MAX_STRIPS
        );
        assert!(strip.contains("\nand 7 more with fewer frames\n"), "{strip}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_line_is_wider_than_the_terminal(timeline in sample::any_timeline(), width in 24usize..200) {
            for ink in [Ink::Colour, Ink::Letters] {
                let strip = strip(&timeline, width, ink);
                for line in anstream::adapter::strip_str(&strip).to_string().lines() {
                    prop_assert!(line.chars().count() <= width, "{line}");
                }
            }
        }
    }
}

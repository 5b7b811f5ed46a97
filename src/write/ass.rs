//! Advanced SubStation Alpha: boxes and labels over the picture, drawn by any player without encoding the video anew.
//!
//! A frame's box is one event from its start to the next frame's, in the format's hundredths of a second, both rounded
//! down: a player shows an event from the first frame at or after its start, so each frame gets its own box at up to
//! 100 frames per second. Times are the player's, but in the overlay's script, which FFmpeg holds against the stamps of the
//! video it is drawn into.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Writer;
use super::rows::rows;
use crate::palette::{Colour, NO_FACE, colour_of};
#[cfg(any(test, feature = "video"))]
use crate::timeline::PlayerTime;
use crate::timeline::{BoundingBox, ContainerTime, Expression, FrameRecord, Status, Timeline, box_in_file};

pub(super) struct Ass;

/// What is drawn for one signer in one frame; drawn on while it does not change.
#[derive(Debug, Clone, Copy, PartialEq)]
struct DrawnMark {
    /// Left, top, right and bottom edge, whole pixels.
    edges: [i32; 4],
    label: Option<Expression>,
    status: Status,
}

/// A mark over a stretch of time, hundredths of a second.
struct ScriptEvent {
    start_cs: u64,
    end_cs: u64,
    signer: String,
    mark: DrawnMark,
}

impl Writer for Ass {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        marks(timeline, ScriptTime::Players, out)
    }
}

/// Whose time a script counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScriptTime {
    Players,
    #[cfg(any(test, feature = "video"))]
    Container,
}

impl ScriptTime {
    /// The hundredth of a second that holds a moment of the container.
    fn hundredths(self, timeline: &Timeline, time_s: f64) -> u64 {
        let time = match self {
            Self::Players => timeline.player_time(ContainerTime(time_s)),
            #[cfg(any(test, feature = "video"))]
            Self::Container => PlayerTime(time_s),
        };
        time.floor_hundredths()
    }
}

/// The script with, at the picture's lower edge, one strip a signer and the moment it shows.
#[cfg(any(test, feature = "video"))]
pub(crate) fn overlay_script(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    marks(timeline, ScriptTime::Container, out)?;
    strips(timeline, out)
}

fn marks(timeline: &Timeline, clock: ScriptTime, out: &mut dyn Write) -> io::Result<()> {
    let media = &timeline.media;
    let size = (media.height / 30).max(10);
    let border = (media.height / 240).max(1);
    write!(
        out,
        "[Script Info]\n; {} {}, model {}\nScriptType: v4.00+\nPlayResX: {}\nPlayResY: {}\nWrapStyle: 2\n\
             ScaledBorderAndShadow: yes\n\n[V4+ Styles]\n\
             Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
             Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, \
             MarginV, Encoding\n",
        timeline.tool.name,
        timeline.tool.version,
        one_line(&timeline.model.name),
        media.width,
        media.height
    )?;
    let styles = Expression::ALL.map(|e| (e.name(), colour_of(e))).into_iter().chain([(UNREAD, NO_FACE)]);
    for (name, colour) in styles {
        let colour = bgr(colour);
        // Boxes have an outline in the class's colour and no fill; names stand on a dark outline.
        write!(out, "Style: box-{name},sans-serif,{size},&HFF{colour},&HFF{colour},&H00{colour},&HFF000000,")?;
        writeln!(out, "0,0,0,0,100,100,0,0,1,{border},0,7,0,0,0,1")?;
        write!(out, "Style: name-{name},sans-serif,{size},&H00{colour},&H00{colour},&H00202020,&HFF000000,")?;
        writeln!(out, "-1,0,0,0,100,100,0,0,1,{border},0,1,0,0,0,1")?;
    }
    out.write_all(b"\n[Events]\n")?;
    out.write_all(b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n")?;
    for ScriptEvent { start_cs, end_cs, signer, mark } in events(timeline, clock) {
        let (start, end) = (clock_text(start_cs), clock_text(end_cs));
        let class = mark.label.map_or(UNREAD, Expression::name);
        let [left, top, right, bottom] = mark.edges;
        writeln!(
            out,
            "Dialogue: 0,{start},{end},box-{class},{signer},0,0,0,,{{\\pos(0,0)\\p1}}m {left} {top} l {right} {top} \
                 {right} {bottom} {left} {bottom}{{\\p0}}"
        )?;
        let text = mark.label.map_or_else(|| mark.status.name().replace('_', " "), |label| label.name().into());
        // Above the face, or inside where the box reaches the picture's upper edge.
        let y = (top - border as i32).max(size as i32);
        writeln!(out, "Dialogue: 1,{start},{end},name-{class},{signer},0,0,0,,{{\\pos({left},{y})}}{signer}: {text}")?;
    }
    Ok(())
}

/// Strips from the video's first moment to its last, each segment in its colour, and a cursor that moves along.
#[cfg(any(test, feature = "video"))]
fn strips(timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
    let media = &timeline.media;
    let (start_s, end_s) = (timeline.frames.time_s.first().copied().unwrap_or(0.0), timeline.end_s());
    let height = (media.height / 40).max(4);
    let cs = |time_s: f64| ScriptTime::Container.hundredths(timeline, time_s);
    let (start, end) = (clock_text(cs(start_s)), clock_text(cs(end_s)));
    let column = |time_s: f64| (f64::from(media.width) * (time_s - start_s) / (end_s - start_s)).round();
    let rectangle = |[left, right]: [f64; 2], [top, bottom]: [u32; 2]| {
        format!("{{\\p1}}m {left} {top} l {right} {top} {right} {bottom} {left} {bottom}{{\\p0}}")
    };
    let strips = timeline.tracks.len().min(MOST_STRIPS) as u32;
    for (number, track) in (1..=strips).zip(&timeline.tracks) {
        let top = media.height.saturating_sub(height * (strips + 1 - number));
        for segment in &track.segments {
            let colour = bgr(colour_of(segment.label));
            let shape = rectangle([column(segment.start_s), column(segment.end_s)], [top, top + height]);
            let style = format!("{{\\an7\\pos(0,0)\\bord0\\1a&H30&\\1c&H{colour}&}}");
            writeln!(out, "Dialogue: 2,{start},{end},name-{UNREAD},{},0,0,0,,{style}{shape}", plain(&track.signer()))?;
        }
    }
    if strips > 0 {
        let top = media.height.saturating_sub(height * strips);
        let shape = rectangle([0.0, f64::from((media.width / 400).max(2))], [0, height * strips]);
        let style = format!("{{\\an7\\move(0,{top},{},{top})\\bord0\\1c&HFFFFFF&}}", media.width);
        writeln!(out, "Dialogue: 3,{start},{end},name-{UNREAD},,0,0,0,,{style}{shape}")?;
    }
    Ok(())
}

/// More strips would cover the picture.
#[cfg(any(test, feature = "video"))]
const MOST_STRIPS: usize = 4;

/// The style of faces without a label.
const UNREAD: &str = "unread";

/// What to draw, in order of signers and time.
fn events(timeline: &Timeline, clock: ScriptTime) -> Vec<ScriptEvent> {
    let video_end_s = timeline.end_s();
    let signers: BTreeMap<u32, String> = timeline.tracks.iter().map(|t| (t.id, plain(&t.signer()))).collect();
    let mut events: Vec<ScriptEvent> = Vec::new();
    for row in rows(timeline) {
        let [start_cs, end_cs] =
            [row.time_s, timeline.frames.end_s(row.frame, video_end_s)].map(|s| clock.hundredths(timeline, s));
        for (track, record) in row.faces {
            let Some(mark) = mark(record).filter(|_| end_cs > start_cs) else { continue };
            let signer = &signers[&track];
            let before = events.iter_mut().rev().take(MOST_AT_ONCE).find(|event| event.signer == *signer);
            match before {
                Some(event) if event.end_cs == start_cs && event.mark == mark => event.end_cs = end_cs,
                _ => events.push(ScriptEvent { start_cs, end_cs, signer: signer.clone(), mark }),
            }
        }
    }
    events
}

/// How far back an event of the same signer is looked for, to be drawn on.
const MOST_AT_ONCE: usize = 64;

fn mark(record: &FrameRecord) -> Option<DrawnMark> {
    // As it stands in labels.json, so that what is made from there has the same edges.
    let BoundingBox { x, y, w, h } = BoundingBox::from(box_in_file(record.face?).map(|number| number as f32));
    let edges = [x, y, x + w, y + h].map(|edge| edge.round() as i32);
    Some(DrawnMark { edges, label: record.label, status: record.status })
}

/// `H:MM:SS.cc`.
fn clock_text(time_cs: u64) -> String {
    let (hours, minutes, seconds) = (time_cs / 360_000, time_cs / 6000 % 60, time_cs / 100 % 60);
    format!("{hours}:{minutes:02}:{seconds:02}.{:02}", time_cs % 100)
}

/// The format's order of bytes.
fn bgr(colour: Colour) -> String {
    format!("{:02X}{:02X}{:02X}", colour.blue, colour.green, colour.red)
}

/// A signer's name, without what the format reads as its own.
fn plain(name: &str) -> String {
    name.replace(|c: char| c.is_control() || "{}\\,".contains(c), "_")
}

/// A name cannot begin a line of its own.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    #[test]
    fn a_late_start_is_the_players_business_and_not_the_overlays() {
        let mut timeline = sample::two_signers();
        timeline.media.start_s = 0.2;
        let first = |clock| events(&timeline, clock)[0].start_cs;
        assert_eq!((first(ScriptTime::Players), first(ScriptTime::Container)), (0, 20));
    }

    #[test]
    fn signers_are_called_as_people_call_them() {
        let mut timeline = sample::two_signers();
        timeline.tracks[0].name = Some("Ann{\\b1},".into());
        let mut bytes = Vec::new();
        Ass.write(&timeline, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.contains(",Ann__b1__,0,0,0,,") && text.contains("Ann__b1__: happiness") && text.contains("B: neutral")
        );
    }

    #[test]
    fn no_model_name_begins_a_line() {
        let mut timeline = sample::two_signers();
        timeline.model.name = "a\nDialogue: 0,0:00:00.00,0:00:09.00,x,,0,0,0,,forged".into();
        let mut bytes = Vec::new();
        Ass.write(&timeline, &mut bytes).unwrap();
        assert!(
            !String::from_utf8(bytes).unwrap().lines().any(|line| line.ends_with("forged") && line.starts_with('D'))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_signer_has_one_box_at_a_time_and_the_one_of_the_frame_shown(timeline in sample::any_timeline()) {
            let mut timeline = timeline;
            // At 40 ms a frame, as a player shows them.
            timeline.frames.time_s = (0..timeline.frames.pts.len()).map(|frame| frame as f64 * 0.04).collect();
            timeline.media.duration_s = timeline.frames.pts.len() as f64 * 0.04;
            let events = events(&timeline, ScriptTime::Players);
            for track in &timeline.tracks {
                for record in &track.frames {
                    let now_cs = record.frame as u64 * 4;
                    let shown: Vec<_> = events
                        .iter()
                        .filter(|e| e.signer == track.signer() && e.start_cs <= now_cs && now_cs < e.end_cs)
                        .map(|event| event.mark)
                        .collect();
                    prop_assert_eq!(shown, mark(record).into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}

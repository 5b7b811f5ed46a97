//! Advanced SubStation Alpha: boxes and labels over the picture, drawn by any player without encoding the video anew.
//!
//! A frame's box is one event from its start to the next frame's, in the format's hundredths of a second, both rounded
//! down: a player shows an event from the first frame at or after its start, so each frame gets its own box at up to
//! 100 frames per second.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Writer;
use super::mark::{DrawnMark, MarkSizes};
use super::rows::rows;
use crate::palette::{Colour, NO_FACE, colour_of};
use crate::timeline::{Expression, PlayerTime, Timeline};

pub(super) struct Ass;

/// A mark over a stretch of time, hundredths of a second.
struct ScriptEvent {
    start_cs: u64,
    end_cs: u64,
    signer: String,
    mark: DrawnMark,
}

impl Writer for Ass {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let media = &timeline.media;
        let sizes = MarkSizes::in_picture(media.height);
        let MarkSizes { letters: size, border } = sizes;
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
        for ScriptEvent { start_cs, end_cs, signer, mark } in events(timeline) {
            let (start, end) = (clock_text(start_cs), clock_text(end_cs));
            let class = mark.label.map_or(UNREAD, Expression::name);
            let [left, top, right, bottom] = mark.edges;
            writeln!(
                out,
                "Dialogue: 0,{start},{end},box-{class},{signer},0,0,0,,{{\\pos(0,0)\\p1}}m {left} {top} l {right} {top} \
                     {right} {bottom} {left} {bottom}{{\\p0}}"
            )?;
            let (y, text) = (mark.name_bottom(&sizes), mark.text(&signer));
            writeln!(out, "Dialogue: 1,{start},{end},name-{class},{signer},0,0,0,,{{\\pos({left},{y})}}{text}")?;
        }
        Ok(())
    }
}

/// The style of faces without a label.
const UNREAD: &str = "unread";

/// What to draw, in order of signers and time.
fn events(timeline: &Timeline) -> Vec<ScriptEvent> {
    let signers: BTreeMap<u32, String> = timeline.tracks.iter().map(|t| (t.id, plain(&t.signer()))).collect();
    let mut events: Vec<ScriptEvent> = Vec::new();
    for row in rows(timeline) {
        let [start_cs, end_cs] = timeline.frame_in_player_time(row.frame).map(PlayerTime::floor_hundredths);
        for (track, record) in row.faces {
            let Some(mark) = DrawnMark::of(record).filter(|_| end_cs > start_cs) else { continue };
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
            let events = events(&timeline);
            for track in &timeline.tracks {
                for record in &track.frames {
                    let now_cs = record.frame as u64 * 4;
                    let shown: Vec<_> = events
                        .iter()
                        .filter(|e| e.signer == track.signer() && e.start_cs <= now_cs && now_cs < e.end_cs)
                        .map(|event| event.mark)
                        .collect();
                    prop_assert_eq!(shown, DrawnMark::of(record).into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}

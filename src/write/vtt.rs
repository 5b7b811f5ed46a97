//! WebVTT subtitles (W3C, "WebVTT: The Web Video Text Tracks Format").

use std::io::{self, Write};

use super::Writer;
use super::cues::{clock, cues};
use crate::timeline::Timeline;

pub(super) struct Vtt;

impl Writer for Vtt {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let (tool, model) = (&timeline.tool, &timeline.model.name);
        let origin = format!("{} {}, model {model}: {}", tool.name, tool.version, timeline.media.public_path());
        write!(out, "WEBVTT\n\nNOTE {}\n\n", one_line(&origin))?;
        for cue in cues(timeline) {
            let (start, end) = (clock(cue.start_ms, '.'), clock(cue.end_ms, '.'));
            write!(out, "{start} --> {end}\n{}\n\n", cue.text)?;
        }
        Ok(())
    }
}

/// A note ends at an empty line and may not contain an arrow.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").replace("-->", "--&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn no_file_name_breaks_out_of_the_note() {
        let mut timeline = sample::two_signers();
        timeline.media.path = "a\n\n00:00.000 --> 00:09.000\r\nforged ----> b.mp4".into();
        let mut bytes = Vec::new();
        Vtt.write(&timeline, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let note = text.lines().nth(2).unwrap();
        assert!(note.starts_with("NOTE") && note.ends_with("b.mp4") && !note.contains("-->"), "{note}");
        assert_eq!(text.matches("-->").count(), 3, "one for each segment");
    }
}

//! SubRip subtitles.

use std::io::{self, Write};

use super::Writer;
use super::cues::{clock, cues};
use crate::timeline::Timeline;

pub(super) struct Srt;

impl Writer for Srt {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let cues = cues(timeline);
        if cues.is_empty() {
            // FFmpeg and players with it take a file without a cue for no subtitles at all, and refuse it.
            return out.write_all(b"1\n00:00:00,000 --> 00:00:00,001\n \n\n");
        }
        for (number, cue) in (1..).zip(cues) {
            let (start, end) = (clock(cue.start_ms, ','), clock(cue.end_ms, ','));
            write!(out, "{number}\n{start} --> {end}\n{}\n\n", cue.text)?;
        }
        Ok(())
    }
}

//! SubRip subtitles.

use std::io::{self, Write};

use super::Writer;
use super::cues::{clock, cues};
use crate::timeline::Timeline;

pub(super) struct Srt;

impl Writer for Srt {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        for (number, cue) in (1..).zip(cues(timeline)) {
            let (start, end) = (clock(cue.start_ms, ','), clock(cue.end_ms, ','));
            write!(out, "{number}\n{start} --> {end}\n{}\n\n", cue.text)?;
        }
        Ok(())
    }
}

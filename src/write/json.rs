//! `labels.json`: compact, and yet one record a line, so that a difference between two files shows where it is.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::Writer;
use crate::timeline::Timeline;

pub(super) struct Json;

impl Writer for Json {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        timeline.serialize(&mut Serializer::with_formatter(&mut *out, LineBreaks::default()))?;
        out.write_all(b"\n")
    }
}

/// Values in a line of a long list of numbers.
const VALUES_PER_LINE: usize = 25;

/// Compact JSON with line breaks before every key of the outermost object, before every object in a list, and in long
/// lists of plain values.
#[derive(Default)]
struct LineBreaks {
    open: Vec<Level>,
}

enum Level {
    Object,
    List { values: usize, holds_objects: bool },
}

impl Formatter for LineBreaks {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open.push(Level::List { values: 0, holds_objects: false });
        out.write_all(b"[")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        if let Some(Level::List { values, holds_objects: false }) = self.open.last_mut() {
            if *values == VALUES_PER_LINE {
                *values = 0;
                out.write_all(b"\n")?;
            }
            *values += 1;
        }
        Ok(())
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        match self.open.pop() {
            Some(Level::List { holds_objects: true, .. }) => out.write_all(b"\n]"),
            _ => out.write_all(b"]"),
        }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        if let Some(Level::List { holds_objects, .. }) = self.open.last_mut() {
            *holds_objects = true;
            out.write_all(b"\n")?;
        }
        self.open.push(Level::Object);
        out.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        if self.open.len() == 1 { out.write_all(b"\n") } else { Ok(()) }
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open.pop();
        if self.open.is_empty() { out.write_all(b"\n}") } else { out.write_all(b"}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_layout_changes_nothing_but_the_lines(timeline in sample::any_timeline()) {
            let mut bytes = Vec::new();
            Json.write(&timeline, &mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(text.replace('\n', ""), serde_json::to_string(&timeline).unwrap());
            let records = timeline.tracks.iter().map(|track| track.frames.len()).sum::<usize>();
            prop_assert_eq!(text.lines().filter(|line| line.starts_with("{\"frame\":")).count(), records);
        }
    }
}

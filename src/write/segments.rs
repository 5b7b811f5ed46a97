//! Segments and events as a tab-separated table, which ELAN ("Import CSV / Tab-delimited Text") and spreadsheets read with their
//! default settings: one row a segment or event, times as clock times with milliseconds, as players count them. Events of one tier
//! may overlap here, as each is a row to be counted; an .eaf has them side by side.

use std::io::{self, Write};

use super::Writer;
use super::cues::{clock, event_ms, segment_ms};
use crate::timeline::{EventKind, Segment, Timeline, probability_in_file};

pub(super) struct Segments;

const COLUMNS: [&str; 11] = [
    "tier",
    "begin",
    "end",
    "duration",
    "label",
    "confidence",
    "first_frame",
    "last_frame",
    "raw_probability",
    "peak",
    "face",
];

/// What the face did in a segment, in the names of files.
fn face(segment: &Segment) -> String {
    let named = |kind: EventKind| kind.name().replace('_', " ");
    segment.face.as_ref().map_or_else(String::new, |face| face.words(named, "brows"))
}

impl Writer for Segments {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let mut table = csv::WriterBuilder::new().delimiter(b'\t').from_writer(out);
        table.write_record(COLUMNS)?;
        for track in &timeline.tracks {
            let tier = format!("expression@{}", track.signer());
            for (segment, [start_ms, end_ms]) in segment_ms(timeline, track) {
                table.write_record([
                    &tier,
                    &clock(start_ms, '.'),
                    &clock(end_ms, '.'),
                    &clock(end_ms - start_ms, '.'),
                    segment.label.name(),
                    &segment.confidence.map_or_else(String::new, |c| probability_in_file(c).to_string()),
                    &segment.first_frame.to_string(),
                    &segment.last_frame.to_string(),
                    &segment.raw_probability.map_or_else(String::new, |p| probability_in_file(p).to_string()),
                    "",
                    &face(segment),
                ])?;
            }
            for (event, [start_ms, end_ms]) in event_ms(timeline, track) {
                table.write_record([
                    &format!("{}@{}", event.kind.part().tier(), track.signer()),
                    &clock(start_ms, '.'),
                    &clock(end_ms, '.'),
                    &clock(end_ms - start_ms, '.'),
                    event.kind.name(),
                    "",
                    &event.first_frame.to_string(),
                    &event.last_frame.to_string(),
                    "",
                    &event.peak.to_string(),
                    "",
                ])?;
            }
        }
        table.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn every_segment_and_every_event_has_its_row() {
        let timeline = sample::two_signers();
        let mut bytes = Vec::new();
        Segments.write(&timeline, &mut bytes).unwrap();
        let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(&bytes[..]);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let tiers: Vec<&str> = rows.iter().map(|row| &row[0]).collect();
        assert_eq!(tiers, ["expression@A", "expression@A", "brows@A", "expression@B"]);
        let event: Vec<&str> = rows[2].iter().collect();
        let (begin, end, duration) = ("00:00:00.200", "00:00:00.280", "00:00:00.080");
        assert_eq!(event, ["brows@A", begin, end, duration, "brows_raised", "", "0", "1", "", "0.0712", ""]);
        assert_eq!(&rows[0][10], "brows raised 100 %, brows +7 %");
        assert_eq!(&rows[3][10], "", "nobody measured that signer");
    }
}

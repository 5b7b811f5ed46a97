//! Segments as a tab-separated table, which ELAN ("Import CSV / Tab-delimited Text") and spreadsheets read with their
//! default settings: one row a segment, times as clock times with milliseconds, as players count them.

use std::io::{self, Write};

use super::Writer;
use super::cues::{clock, segment_ms};
use crate::timeline::{Timeline, probability_in_file};

pub(super) struct Segments;

const COLUMNS: [&str; 9] =
    ["tier", "begin", "end", "duration", "label", "confidence", "first_frame", "last_frame", "raw_probability"];

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
    fn every_segment_has_its_row() {
        let timeline = sample::two_signers();
        let mut bytes = Vec::new();
        Segments.write(&timeline, &mut bytes).unwrap();
        let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(&bytes[..]);
        let tiers: Vec<String> = reader.records().map(|row| row.unwrap()[0].to_owned()).collect();
        let expected: Vec<String> = timeline
            .tracks
            .iter()
            .flat_map(|track| track.segments.iter().map(|_| format!("expression@{}", track.signer())))
            .collect();
        assert_eq!(tiers, expected);
    }
}

//! Tables: one row per frame and signer, and one for a frame without any; an empty cell where nothing is known. Times are
//! the container's, and its start stands beside them.

use std::io::{self, Write};

use super::Writer;
use super::rows::{FrameRow, rows};
use crate::files::spreadsheet_cell;
use crate::timeline::{
    BoxSource, Expression, FrameRecord, Measure, Regions, Status, Timeline, box_in_file, probability_in_file,
    score_in_file, time_in_file,
};

pub(super) struct Table {
    delimiter: u8,
}

pub(super) const CSV: Table = Table { delimiter: b',' };
pub(super) const TSV: Table = Table { delimiter: b'\t' };

const BEFORE_CLASSES: [&str; 12] =
    ["frame", "pts", "time_s", "track", "status", "x", "y", "w", "h", "face_score", "covered", "source"];
const AFTER_CLASSES: [&str; 4] = ["label", "confidence", "signer", "container_start_s"];
const REGIONS: [&str; 5] = ["covered_eyes", "covered_nose", "covered_mouth", "covered_left", "covered_right"];

impl Writer for Table {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let mut table = csv::WriterBuilder::new().delimiter(self.delimiter).from_writer(out);
        let classes = Expression::ALL.map(Expression::name);
        let measures = Measure::ALL.map(Measure::name);
        let header = BEFORE_CLASSES.iter().chain(&classes).chain(&AFTER_CLASSES).chain(&measures).chain(&REGIONS);
        table.write_record(header.chain(&["events"]))?;
        for row in rows(timeline) {
            if row.faces.is_empty() {
                table.write_record(cells(timeline, &row, None, row.status, None, String::new()))?;
            }
            for (track, record) in &row.faces {
                let events = timeline.events_at(*track, row.frame);
                table.write_record(cells(timeline, &row, Some(*track), record.status, Some(record), events))?;
            }
        }
        table.flush()
    }
}

fn cells(
    timeline: &Timeline,
    row: &FrameRow,
    track: Option<u32>,
    status: Status,
    record: Option<&FrameRecord>,
    events: String,
) -> Vec<String> {
    let face = record.and_then(|record| record.face).map(box_in_file);
    let probabilities = record.and_then(|record| record.probabilities);
    let mut cells = vec![
        row.frame.to_string(),
        row.pts.to_string(),
        time_in_file(row.time_s).to_string(),
        cell(track),
        status.name().into(),
    ];
    cells.extend((0..4).map(|side| cell(face.map(|face| face[side]))));
    cells.push(cell(record.and_then(|record| record.face_score).map(score_in_file)));
    cells.push(cell(record.and_then(|record| record.covered).map(|covered| score_in_file(covered.face))));
    cells.push(cell(record.and_then(|record| record.source).map(BoxSource::name)));
    cells.extend((0..Expression::COUNT).map(|class| cell(probabilities.map(|p| probability_in_file(p[class])))));
    cells.push(cell(record.and_then(|record| record.label).map(Expression::name)));
    cells.push(cell(record.and_then(|record| record.confidence).map(probability_in_file)));
    cells.push(cell(track.map(|track| spreadsheet_cell(&timeline.signer_of(track)).into_owned())));
    cells.push(time_in_file(timeline.container_start().0).to_string());
    let measures = record.and_then(|record| record.measures);
    cells.extend(Measure::ALL.map(|measure| cell(measures.and_then(|measures| measures.get(measure)))));
    let regions = record.and_then(|record| record.covered?.regions).map(Regions::shares);
    cells.extend((0..REGIONS.len()).map(|index| cell(regions.map(|shares| score_in_file(shares[index])))));
    cells.push(events);
    cells
}

fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_frame_and_every_record_has_its_row(timeline in sample::any_timeline()) {
            let mut bytes = Vec::new();
            TSV.write(&timeline, &mut bytes).unwrap();
            let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(&bytes[..]);
            let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
            let number = |cell: &str| cell.parse::<usize>().unwrap();
            prop_assert!(rows.is_sorted_by_key(|row| (number(&row[0]), row[3].to_string())));
            for frame in 0..timeline.media.frames {
                prop_assert!(rows.iter().any(|row| number(&row[0]) == frame));
            }
            let with_track: Vec<_> = rows.iter().filter(|row| !row[3].is_empty()).collect();
            prop_assert_eq!(with_track.len(), timeline.tracks.iter().map(|track| track.frames.len()).sum::<usize>());
            for row in with_track {
                let track = timeline.tracks.iter().find(|track| track.id.to_string() == row[3]).unwrap();
                let record = &track.frames[number(&row[0]) - track.first_frame];
                prop_assert_eq!(&row[4], record.status.name());
                prop_assert_eq!(&row[19], record.label.map_or("", Expression::name));
            }
        }
    }
}

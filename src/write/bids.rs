//! The Brain Imaging Data Structure's table of events (BIDS specification 1.10, "Task events"): `onset` and `duration` first,
//! in seconds, `n/a` where nothing is known, and a JSON file of the same name that describes the columns. Onsets count from
//! the start of the video, as players do.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::Writer;
use super::stretches::{What, seconds, stretches};
use crate::timeline::{EventKind, Expression, Timeline, probability_in_file};

/// `..._events.tsv`.
pub(super) struct Events;

/// `..._events.json`.
pub(super) struct Sidecar;

const COLUMNS: [&str; 10] = [
    "onset",
    "duration",
    "trial_type",
    "kind",
    "signer",
    "confidence",
    "raw_probability",
    "peak",
    "first_frame",
    "last_frame",
];

const UNKNOWN: &str = "n/a";

impl Writer for Events {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let mut table = csv::WriterBuilder::new().delimiter(b'\t').from_writer(out);
        table.write_record(COLUMNS)?;
        for stretch in stretches(timeline) {
            let known =
                |value: Option<f32>| value.map_or_else(|| UNKNOWN.into(), |p| probability_in_file(p).to_string());
            let (kind, confidence, raw_probability, peak) = match stretch.what {
                What::Expression(segment) => {
                    ("expression", known(segment.confidence), known(segment.raw_probability), UNKNOWN.into())
                }
                What::Event(event) => ("event", UNKNOWN.into(), UNKNOWN.into(), event.peak.to_string()),
            };
            let [first_frame, last_frame] = stretch.what.frames();
            table.write_record([
                &seconds(stretch.start_ms),
                &seconds(stretch.end_ms - stretch.start_ms),
                stretch.what.name(),
                kind,
                &stretch.signer,
                &confidence,
                &raw_probability,
                &peak,
                &first_frame.to_string(),
                &last_frame.to_string(),
            ])?;
        }
        table.flush()
    }
}

impl Writer for Sidecar {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let described = COLUMNS.map(|column| (column.to_owned(), description(column, timeline)));
        serde_json::to_writer_pretty(&mut *out, &Value::Object(Map::from_iter(described)))?;
        out.write_all(b"\n")
    }
}

fn description(column: &str, timeline: &Timeline) -> Value {
    let tool = &timeline.tool;
    match column {
        "onset" => json!({"Description": "Start, from the start of the video", "Units": "s"}),
        "duration" => json!({"Description": "From the start of the first frame to the end of the last", "Units": "s"}),
        "trial_type" => {
            let expressions = Expression::ALL
                .map(|class| (class.name(), format!("The face looks like {} to the classifier", class.name())));
            let events = EventKind::ALL.map(|kind| (kind.name(), kind.name().replace('_', " ")));
            let levels = expressions.into_iter().chain(events).map(|(name, text)| (name.to_owned(), Value::from(text)));
            json!({
                "LongName": "Facial expression or event",
                "Description": format!(
                    "What the signer's face looks like or does, by {} {}, model {} (SHA-256 {}); no statement about feelings",
                    tool.name, tool.version, timeline.model.name, timeline.model.sha256
                ),
                "Levels": Map::from_iter(levels),
            })
        }
        "kind" => json!({
            "Description": "Of what kind the row is",
            "Levels": {"expression": "A segment of one expression", "event": "Something that the face or head does"},
        }),
        "signer" => json!({"Description": "Which of the people in the video"}),
        "confidence" => json!({
            "Description": "Mean smoothed probability of the expression, 0 to 1: how steady it is, not whether it is right",
        }),
        "raw_probability" => json!({
            "Description": "Mean probability of the expression in single pictures, before smoothing, 0 to 1",
        }),
        "peak" => json!({"Description": "Largest value of the event's measure; its unit is that of the measure"}),
        "first_frame" => json!({"Description": "First decoded frame, from 0"}),
        _ => json!({"Description": "Last decoded frame, inclusive"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn written(writer: &dyn Writer, timeline: &Timeline) -> Vec<u8> {
        let mut bytes = Vec::new();
        writer.write(timeline, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_column_and_every_level_is_described() {
        let timeline = sample::two_signers();
        let sidecar: Value = serde_json::from_slice(&written(&Sidecar, &timeline)).unwrap();
        let table = written(&Events, &timeline);
        let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(&table[..]);
        for column in reader.headers().unwrap() {
            assert!(sidecar[column]["Description"].is_string(), "{column}");
        }
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 4, "three segments and an event");
        for row in rows {
            assert!(sidecar["trial_type"]["Levels"][&row[2]].is_string(), "{row:?}");
            assert!(sidecar["kind"]["Levels"][&row[3]].is_string(), "{row:?}");
            assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell is no 'n/a': {row:?}");
        }
    }
}

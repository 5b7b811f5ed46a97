//! The table under the names that py-feat gives its columns (`feat/utils`, version 0.6 to 0.9), so that its `read_feat` and
//! what is built on it take it: one row per frame and face, and one for a frame without any. What py-feat has and this
//! program has not (landmarks, action units) is left out; angles are in degrees, with the signs of [`Measure`].

use std::io::{self, Write};

use super::Writer;
use super::rows::rows;
use crate::timeline::{
    ContainerTime, Expression, FrameRecord, Measure, Timeline, box_in_file, probability_in_file, score_in_file,
};

pub(super) struct PyFeat;

const BEFORE_EMOTIONS: [&str; 11] = [
    "input",
    "frame",
    "approx_time",
    "FaceRectX",
    "FaceRectY",
    "FaceRectWidth",
    "FaceRectHeight",
    "FaceScore",
    "Pitch",
    "Roll",
    "Yaw",
];

/// py-feat's order.
const EMOTIONS: [Expression; Expression::COUNT] = [
    Expression::Anger,
    Expression::Disgust,
    Expression::Fear,
    Expression::Happiness,
    Expression::Sadness,
    Expression::Surprise,
    Expression::Neutral,
];

impl Writer for PyFeat {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(out);
        let emotions = EMOTIONS.map(Expression::name);
        table.write_record(BEFORE_EMOTIONS.iter().chain(&emotions).chain(&["Identity"]))?;
        let path = timeline.media.public_path();
        let names: Vec<(u32, String)> = timeline.tracks.iter().map(|track| (track.id, track.signer())).collect();
        for row in rows(timeline) {
            let seconds = timeline.player_time(ContainerTime(row.time_s)).round_millis() / 1000;
            let head = [path.clone(), row.frame.to_string(), format!("{:02}:{:02}", seconds / 60, seconds % 60)];
            if row.faces.is_empty() {
                table.write_record(head.iter().map(String::as_str).chain([""; 16]))?;
            }
            for (track, record) in &row.faces {
                let name = names.iter().find(|(id, _)| id == track).map_or("", |(_, name)| name);
                let cells = cells(record);
                table.write_record(head.iter().chain(&cells).map(String::as_str).chain([name]))?;
            }
        }
        table.flush()
    }
}

/// Box, score, turn of the head and emotions; empty where nothing is known.
fn cells(record: &FrameRecord) -> Vec<String> {
    let cell = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let face = record.face.map(box_in_file);
    let probabilities = record.read_probabilities();
    let mut cells: Vec<String> = (0..4).map(|side| cell(face.map(|face| face[side]))).collect();
    cells.push(cell(record.face_score.map(score_in_file)));
    let turns = [Measure::Pitch, Measure::Roll, Measure::Yaw];
    cells.extend(turns.map(|turn| cell(record.measures.and_then(|measures| measures.get(turn)))));
    cells.extend(EMOTIONS.map(|class| cell(probabilities.map(|p| probability_in_file(p[class.index()])))));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn each_emotion_stands_under_its_name() {
        let timeline = sample::two_signers();
        let mut bytes = Vec::new();
        PyFeat.write(&timeline, &mut bytes).unwrap();
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        let header = reader.headers().unwrap().clone();
        let column_of = |name: &str| header.iter().position(|column| column == name).unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 8, "six of signer A, two of signer B");
        let (first, last) = (&rows[0], &rows[7]);
        assert_eq!((&first[column_of("happiness")], &first[column_of("Identity")]), ("0.875", "A"));
        assert_eq!((&last[column_of("anger")], &last[column_of("FaceRectX")]), ("0.75", "-4"));
        assert_eq!(&rows[4][column_of("anger")], "", "a face that was not read has no emotion");
    }
}

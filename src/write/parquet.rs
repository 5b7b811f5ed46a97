//! Apache Parquet: one row per frame and signer, as in the tables, with types and the video's path in every row, so that
//! a folder of these files is one table of a whole corpus to DuckDB, pandas, R's arrow and their like. Such tables are
//! passed on, so the path says nothing of the machine.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::Writer;
use super::rows::rows;
use crate::timeline::{
    BoundingBox, BoxSource, Expression, FrameRecord, Measure, Status, Timeline, box_in_file, probability_in_file,
    score_in_file, time_in_file,
};

pub(super) struct Parquet {
    /// What stands for the video; its [public path](crate::timeline::Media::public_path) if none is given.
    pub media: Option<String>,
}

/// Rows written together: a few megabytes, which readers skip or read as a whole.
const ROW_GROUP: usize = 1 << 17;

/// A column's values for some rows; `None` for null.
pub(crate) enum ColumnValues {
    Integers(Vec<Option<i64>>),
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

/// A column: its name, whether it has nulls, and its values.
pub(crate) struct Column {
    name: &'static str,
    optional: bool,
    values: ColumnValues,
}

/// One row of the table.
struct Cells<'a> {
    frame: usize,
    pts: i64,
    time_s: f64,
    track: Option<u32>,
    status: Status,
    record: Option<&'a FrameRecord>,
}

impl Writer for Parquet {
    fn write(&self, timeline: &Timeline, out: &mut dyn Write) -> io::Result<()> {
        let media = self.media.clone().unwrap_or_else(|| timeline.media.public_path());
        out.write_all(&table(timeline, &media).map_err(io::Error::other)?)
    }
}

fn table(timeline: &Timeline, media: &str) -> Result<Vec<u8>, ParquetError> {
    let cells: Vec<Cells> = rows(timeline)
        .flat_map(|row| {
            let cells = |track, status, record| Cells {
                frame: row.frame,
                pts: row.pts,
                time_s: row.time_s,
                track,
                status,
                record,
            };
            match row.faces.is_empty() {
                true => vec![cells(None, row.status, None)],
                false => row.faces.iter().map(|(id, record)| cells(Some(*id), record.status, Some(*record))).collect(),
            }
        })
        .collect();
    let groups = cells.chunks(ROW_GROUP).map(|group| columns(timeline, media, group));
    file("timeline", &columns(timeline, media, &[]), groups)
}

/// A table of one row group.
///
/// # Errors
/// If the columns are of different lengths.
#[cfg(any(test, all(feature = "video", feature = "train")))]
pub(crate) fn parquet(name: &str, columns: Vec<Column>) -> io::Result<Vec<u8>> {
    let alike: Vec<Column> = columns.iter().map(Column::without_values).collect();
    file(name, &alike, std::iter::once(columns)).map_err(io::Error::other)
}

/// A file with the columns of `schema` and the rows of `groups`.
fn file(name: &str, schema: &[Column], groups: impl Iterator<Item = Vec<Column>>) -> Result<Vec<u8>, ParquetError> {
    let fields: Vec<String> = schema.iter().map(Column::field).collect();
    let schema = Arc::new(parse_message_type(&format!("message {name} {{ {} }}", fields.join(" ")))?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    for group in groups {
        let mut row_group = writer.next_row_group()?;
        for column in group {
            let Some(mut writer) = row_group.next_column()? else { break };
            column.write(writer.untyped())?;
            writer.close()?;
        }
        row_group.close()?;
    }
    writer.into_inner()
}

/// The columns in order, with the values of `cells`.
fn columns(timeline: &Timeline, media: &str, cells: &[Cells]) -> Vec<Column> {
    let texts = |name, optional, value: &dyn Fn(&Cells) -> Option<String>| Column {
        name,
        optional,
        values: ColumnValues::Texts(cells.iter().map(value).collect()),
    };
    let numbers = |name, value: &dyn Fn(&Cells) -> Option<f64>| Column {
        name,
        optional: true,
        values: ColumnValues::Numbers(cells.iter().map(value).collect()),
    };
    let integers = |name, optional, value: &dyn Fn(&Cells) -> Option<i64>| Column {
        name,
        optional,
        values: ColumnValues::Integers(cells.iter().map(value).collect()),
    };
    let side = |side: usize| move |cells: &Cells| Some(box_in_file(cells.record?.face? as BoundingBox)[side]);
    let mut columns = vec![
        texts("media", false, &|_| Some(media.into())),
        integers("frame", false, &|c| i64::try_from(c.frame).ok()),
        integers("pts", false, &|c| Some(c.pts)),
        numbers("time_s", &|c| Some(time_in_file(c.time_s))),
        integers("track", true, &|c| c.track.map(i64::from)),
        texts("status", false, &|c| Some(c.status.name().into())),
        numbers("x", &side(0)),
        numbers("y", &side(1)),
        numbers("w", &side(2)),
        numbers("h", &side(3)),
        numbers("face_score", &|c| c.record?.face_score.map(score_in_file)),
        numbers("covered", &|c| c.record?.covered.map(|covered| score_in_file(covered.face))),
        texts("source", true, &|c| c.record?.source.map(|source: BoxSource| source.name().into())),
    ];
    for class in Expression::ALL {
        columns
            .push(numbers(class.name(), &|c| c.record?.probabilities.map(|p| probability_in_file(p[class.index()]))));
    }
    columns.push(texts("label", true, &|c| c.record?.label.map(|label| label.name().into())));
    columns.push(numbers("confidence", &|c| c.record?.confidence.map(probability_in_file)));
    columns.push(texts("signer", true, &|c| c.track.map(|track| timeline.signer_of(track))));
    columns.push(numbers("container_start_s", &|_| Some(time_in_file(timeline.container_start().0))));
    for measure in Measure::ALL {
        columns.push(numbers(measure.name(), &|c| c.record?.measures?.get(measure)));
    }
    let regions = ["covered_eyes", "covered_nose", "covered_mouth", "covered_left", "covered_right"];
    for (index, name) in regions.into_iter().enumerate() {
        columns.push(numbers(name, &|c| Some(score_in_file(c.record?.covered?.regions?.shares()[index]))));
    }
    let events = |c: &Cells| c.track.map(|track| timeline.events_at(track, c.frame)).filter(|names| !names.is_empty());
    columns.push(texts("events", true, &events));
    columns
}

impl Column {
    /// A column that may have nulls.
    #[cfg(any(test, all(feature = "video", feature = "train")))]
    pub(crate) fn new(name: &'static str, values: ColumnValues) -> Self {
        Self { name, optional: true, values }
    }

    #[cfg(any(test, all(feature = "video", feature = "train")))]
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The value in a row, as text; empty for null.
    #[cfg(any(test, all(feature = "video", feature = "train")))]
    pub(crate) fn text(&self, row: usize) -> String {
        let text = match &self.values {
            ColumnValues::Integers(values) => values[row].map(|value| value.to_string()),
            ColumnValues::Numbers(values) => values[row].map(|value| value.to_string()),
            ColumnValues::Texts(values) => values[row].clone(),
        };
        text.unwrap_or_default()
    }

    #[cfg(any(test, all(feature = "video", feature = "train")))]
    fn without_values(&self) -> Self {
        let values = match self.values {
            ColumnValues::Integers(_) => ColumnValues::Integers(Vec::new()),
            ColumnValues::Numbers(_) => ColumnValues::Numbers(Vec::new()),
            ColumnValues::Texts(_) => ColumnValues::Texts(Vec::new()),
        };
        Self { values, ..*self }
    }

    /// The column in Parquet's schema language.
    fn field(&self) -> String {
        let repetition = if self.optional { "OPTIONAL" } else { "REQUIRED" };
        let name = self.name;
        match self.values {
            ColumnValues::Integers(_) => format!("{repetition} INT64 {name};"),
            ColumnValues::Numbers(_) => format!("{repetition} DOUBLE {name};"),
            ColumnValues::Texts(_) => format!("{repetition} BYTE_ARRAY {name} (STRING);"),
        }
    }

    fn write(&self, writer: &mut ColumnWriter) -> Result<(), ParquetError> {
        fn parts<T, U>(values: &[Option<T>], convert: impl Fn(&T) -> U) -> (Vec<U>, Vec<i16>) {
            let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
            (values.iter().flatten().map(convert).collect(), levels)
        }
        let optional = |levels: &Vec<i16>| self.optional.then(|| levels.clone());
        let mismatch = || ParquetError::General(format!("column {} is of another type than its schema", self.name));
        match (&self.values, writer) {
            (ColumnValues::Integers(values), ColumnWriter::Int64ColumnWriter(writer)) => {
                let (values, levels) = parts(values, |value| *value);
                writer.write_batch(&values, optional(&levels).as_deref(), None)?;
            }
            (ColumnValues::Numbers(values), ColumnWriter::DoubleColumnWriter(writer)) => {
                let (values, levels) = parts(values, |value| *value);
                writer.write_batch(&values, optional(&levels).as_deref(), None)?;
            }
            (ColumnValues::Texts(values), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let (values, levels) = parts(values, |value| ByteArray::from(value.as_str()));
                writer.write_batch(&values, optional(&levels).as_deref(), None)?;
            }
            _ => return Err(mismatch()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_row_of_the_table_reads_back(timeline in sample::any_timeline()) {
            let bytes = bytes::Bytes::from(table(&timeline, "a.mp4").unwrap());
            let reader = SerializedFileReader::new(bytes).unwrap();
            let mut tsv = Vec::new();
            crate::write::table::TSV.write(&timeline, &mut tsv).unwrap();
            let mut tsv = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(&tsv[..]);
            let expected: Vec<csv::StringRecord> = tsv.records().map(Result::unwrap).collect();
            let found: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let cells: Vec<String> = found
                    .get_column_iter()
                    .skip(1)
                    .map(|(_, field)| match field {
                        Field::Null => String::new(),
                        Field::Str(text) => text.clone(),
                        Field::Long(number) => number.to_string(),
                        Field::Double(number) => number.to_string(),
                        other => panic!("{other:?} is no type of ours"),
                    })
                    .collect();
                prop_assert_eq!(cells, expected.iter().map(str::to_owned).collect::<Vec<_>>());
            }
        }
    }
}

//! Tables of stretches of time: what the program writes as segments, what ELAN exports, what people keep in spreadsheets.
//!
//! Columns are known by their names. Needed: a beginning, an end and a label. Welcome: a tier, a signer, an annotator, a
//! video. Times are seconds or clock times, as players count them.

use std::path::Path;

use super::super::annotation::{Annotated, AnnotatedTier, AnnotationDocument};
use super::super::left_out::{self, Reason};
use super::named_like;
use crate::files::{table, text_of_cell};

/// The beginnings of the names of a column.
const BEGIN: &[&str] = &["begin", "start", "from", "anfang", "beginn"];
const END: &[&str] = &["end", "to", "ende"];
const LABEL: &[&str] = &["label", "annotation", "value", "expression", "text", "word", "class"];
const TIER: &[&str] = &["tier"];
const SIGNER: &[&str] = &["signer", "participant", "subject"];
const ANNOTATOR: &[&str] = &["annotator", "coder", "reviewer"];
const VIDEO: &[&str] = &["video", "media", "file", "clip", "path"];

/// Whether a file has the columns of a table of stretches, and is not this program's list of those that it left out.
pub(super) fn is_one(path: &Path) -> bool {
    let Ok(mut reader) = table::open(path, csv::Trim::All) else { return false };
    let Ok(headers) = reader.headers() else { return false };
    !headers.iter().eq(left_out::COLUMNS) && [BEGIN, END, LABEL].iter().all(|names| column(headers, names).is_some())
}

/// The first column that is called by one of `names`, whatever stands behind that word (`begin_s`, `Begin Time - ss.msec`).
fn column(headers: &csv::StringRecord, names: &[&str]) -> Option<usize> {
    let is_it = |header: &str| {
        let header = header.to_lowercase();
        let rest = |name: &&str| header.strip_prefix(*name).map(str::to_owned);
        names.iter().filter_map(rest).any(|rest| !rest.starts_with(char::is_alphabetic))
    };
    headers.iter().position(is_it)
}

/// Reads a table; its videos are named in it, or the table is named after its video.
pub(super) fn read(path: &Path) -> Result<Vec<AnnotationDocument>, Reason> {
    let unusable = |reason: String| Reason::Unreadable(format!("{}: {reason}", path.display()));
    let mut reader = table::open(path, csv::Trim::All).map_err(|e| unusable(e.to_string()))?;
    let headers = reader.headers().map_err(|e| unusable(e.to_string()))?.clone();
    let column = |names: &[&str]| self::column(&headers, names);
    let needed = |names: &[&str], what: &str| {
        let found: Vec<&str> = headers.iter().take(20).collect();
        column(names)
            .ok_or_else(|| unusable(format!("no column for the {what}; the columns are: {}", found.join(", "))))
    };
    let (begin, end, label) = (needed(BEGIN, "beginning")?, needed(END, "end")?, needed(LABEL, "label")?);
    let [tier, signer, annotator, video] = [TIER, SIGNER, ANNOTATOR, VIDEO].map(column);
    let mut documents: Vec<AnnotationDocument> = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|e| unusable(e.to_string()))?;
        let line = record.position().map_or(index as u64 + 2, csv::Position::line);
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let time = |column: usize| {
            let reason = || unusable(format!("line {line}: '{}' is no time", cell(column)));
            seconds(cell(column)).ok_or_else(reason)
        };
        let text = |column: Option<usize>| column.map(|column| text_of_cell(cell(column)).to_owned());
        let some = |column: Option<usize>| text(column).filter(|text| !text.is_empty());
        let annotated =
            Annotated { start_s: time(begin)?, end_s: time(end)?, word: text(Some(label)).unwrap_or_default() };
        let media = some(video).map_or_else(|| named_like(path), |named| vec![named]);
        let document = document_of(&mut documents, path, media);
        let participant = some(signer);
        let name = some(tier).unwrap_or_else(|| {
            let annotator = some(annotator).map(|name| format!("-{name}")).unwrap_or_default();
            let signer = participant.as_ref().map(|name| format!("@{name}")).unwrap_or_default();
            format!("expression{annotator}{signer}")
        });
        let index = document.tiers.iter().position(|known| known.name == name).unwrap_or(document.tiers.len());
        if index == document.tiers.len() {
            document.tiers.push(AnnotatedTier { name, participant, ..AnnotatedTier::default() });
        }
        document.tiers[index].annotations.push(annotated);
    }
    match documents.is_empty() {
        true => Err(unusable("it has no rows".into())),
        false => Ok(documents),
    }
}

/// The document about the video that may be at `media`.
fn document_of<'a>(
    documents: &'a mut Vec<AnnotationDocument>,
    path: &Path,
    media: Vec<String>,
) -> &'a mut AnnotationDocument {
    let index = documents.iter().position(|document| document.media == media).unwrap_or(documents.len());
    if index == documents.len() {
        documents.push(AnnotationDocument { path: path.into(), media, tiers: Vec::new(), timeline: None });
    }
    &mut documents[index]
}

/// Seconds, or a clock time with them, as in `1:02:03.400`.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim().replace(',', ".");
    let parts: Vec<&str> = text.split(':').collect();
    let (last, clock) = parts.split_last()?;
    let mut total: f64 = 0.0;
    for part in clock {
        total = 60.0 * (total + f64::from(part.parse::<u32>().ok()?));
    }
    let total = total + last.parse::<f64>().ok()?;
    (parts.len() <= 3 && total.is_finite() && total >= 0.0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<AnnotationDocument>, Reason> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn times_are_seconds_or_clocks() {
        assert_eq!([seconds("1.5"), seconds("01:02.5"), seconds("1:00:00,25")], [Some(1.5), Some(62.5), Some(3600.25)]);
        assert_eq!([seconds("x"), seconds("-1"), seconds("1:2:3:4"), seconds("")], [None; 4]);
    }

    #[test]
    fn segments_of_this_program_and_tables_of_people_are_read() {
        let segments = "tier\tbegin\tend\tduration\tlabel\nexpression@B\t00:00:01.200\t00:00:02.000\t0\tfear\n";
        let read = read_text("a.mp4.segments.tsv", segments).unwrap();
        assert_eq!(read[0].media, ["a.mp4.segments", "a.mp4", "a"]);
        assert_eq!((read[0].tiers[0].name.as_str(), read[0].tiers[0].suffix()), ("expression@B", Some("B")));
        let annotated = Annotated { start_s: 1.2, end_s: 2.0, word: "fear".into() };
        assert_eq!(read[0].tiers[0].annotations, [annotated]);

        let table =
            "Video;Signer;Annotator;Start;End;Label\nx.mp4;Ann;C;1,5;2;joy\ny.mp4;Ann;D;0;1;sad\nx.mp4;Ann;D;1;2;joy\n";
        let read = read_text("mine.csv", table).unwrap();
        assert_eq!(read.iter().map(|d| d.media[0].as_str()).collect::<Vec<_>>(), ["x.mp4", "y.mp4"]);
        assert_eq!(
            read[0].tiers.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
            ["expression-C@Ann", "expression-D@Ann"]
        );
        assert_eq!(read[0].tiers[0].annotations[0].start_s, 1.5);
    }

    #[test]
    fn the_list_of_what_was_left_out_is_no_table_of_annotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.left-out.csv");
        left_out::write(&path, &[], |_| "").unwrap();
        assert!(!is_one(&path));
        std::fs::write(&path, "file,tier,start_s,end_s,word\n").unwrap();
        assert!(is_one(&path));
    }

    #[test]
    fn what_a_table_lacks_is_named() {
        for (text, part) in [
            ("begin,label\n1,joy\n", "no column for the end"),
            ("begin,end,label\n1,x,joy\n", "line 2: 'x' is no time"),
            ("begin,end,label\n", "no rows"),
        ] {
            let reason = read_text("t.csv", text).unwrap_err().to_string();
            assert!(reason.contains(part), "{reason}");
        }
    }
}

//! What became of a corpus, for people and programs: `failures.json`, `summary.csv`, `summary.parquet`, `index.html`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use maud::{Markup, html};
use serde::Serialize;

use super::journal::{self, Terms};
use super::path::printable;
use super::{InShort, Outcome};
use crate::files::{OutputOptions, WriteError, spreadsheet_cell};
use crate::page;
use crate::palette;
use crate::platform::name_bytes;
use crate::timeline::{Expression, time_in_file};
use crate::write::parquet::{Column, ColumnValues, parquet};

/// Names in an output folder that are this module's and the log's; no video's results may have them.
pub const NAMES: [&str; 9] = [
    "failures.json",
    "summary.csv",
    "summary.parquet",
    "index.html",
    super::moved::PAGE,
    super::moved::TABLE,
    journal::NAME,
    crate::files::LOCK,
    crate::files::LEDGER,
];

/// The version of the form of `failures.json`.
const SCHEMA: &str = "annotate/failures/1";

#[derive(Serialize)]
struct Failures<'a> {
    schema: &'static str,
    inputs: usize,
    complete: usize,
    failures: Vec<&'a Outcome>,
    /// Results that somebody has touched since they were written, which stay as they are.
    #[serde(with = "super::path::list")]
    touched: Vec<PathBuf>,
    /// Files in folders that were not taken for videos.
    left_out: Vec<LeftOutInput<'a>>,
}

#[derive(Serialize)]
struct LeftOutInput<'a> {
    #[serde(with = "super::path")]
    path: &'a Path,
    reason: &'a str,
}

/// What there is to report.
pub struct Report<'a> {
    /// What all results have in common.
    pub terms: &'a Terms,
    /// What became of each input, in the inputs' order.
    pub outcomes: &'a [Outcome],
    /// Where each input lies in the corpus.
    pub corpus_paths: &'a [PathBuf],
    /// Results that somebody has touched since they were written, relative to the folder.
    pub touched: &'a [PathBuf],
    /// Files in folders that were not taken for videos, and why.
    pub left_out: &'a [(PathBuf, String)],
}

/// Files about a corpus, of which those stay that somebody has touched.
pub(super) struct ReportFiles<'a> {
    folder: &'a Path,
    existing: OutputOptions,
    /// Those that were left alone, and why.
    pub(super) kept: Vec<WriteError>,
}

impl<'a> ReportFiles<'a> {
    /// In `folder`; `existing` says what becomes of files that are there.
    pub(super) fn new(folder: &'a Path, existing: OutputOptions) -> Self {
        Self { folder, existing: existing.confined(), kept: Vec::new() }
    }

    /// Writes one of them.
    pub(super) fn put(
        &mut self,
        name: &str,
        content: &dyn Fn(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        match self.existing.put(&self.folder.join(name), content) {
            Err(error) if error.is_taken() => {
                self.kept.push(error);
                Ok(())
            }
            written => written,
        }
    }
}

/// Writes the four files into `folder`; gives those that were left alone, and why. `existing` says what becomes of files
/// that are there.
///
/// # Errors
/// If one cannot be written.
pub fn write(folder: &Path, report: &Report, existing: OutputOptions) -> Result<Vec<WriteError>, WriteError> {
    let Report { terms, outcomes, corpus_paths, touched, .. } = *report;
    let mut files = ReportFiles::new(folder, existing);
    files.put("failures.json", &|out| failures(report, out))?;
    files.put("summary.csv", &|out| csv_table(outcomes, corpus_paths, out))?;
    files.put("summary.parquet", &|out| out.write_all(&parquet("summary", columns(outcomes, corpus_paths))?))?;
    files.put("index.html", &|out| writeln!(out, "{}", index_page(terms, outcomes, touched).into_string()))?;
    Ok(files.kept)
}

fn failures(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Report { outcomes, touched, left_out, .. } = *report;
    let failures: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.verdict.is_complete()).collect();
    let (inputs, complete) = (outcomes.len(), outcomes.len() - failures.len());
    let touched = touched.to_vec();
    let left_out = left_out.iter().map(|(path, reason)| LeftOutInput { path, reason }).collect();
    let report = Failures { schema: SCHEMA, inputs, complete, failures, touched, left_out };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    out.write_all(b"\n")
}

/// One row an input, under its path in the corpus: such tables are passed on and say nothing of the machine.
fn columns(outcomes: &[Outcome], corpus_paths: &[PathBuf]) -> Vec<Column> {
    let texts = |name, value: &dyn Fn(&Outcome) -> Option<String>| {
        Column::new(name, ColumnValues::Texts(outcomes.iter().map(value).collect()))
    };
    let integers = |name, value: &dyn Fn(&Outcome) -> Option<usize>| {
        let values = outcomes.iter().map(|outcome| value(outcome).and_then(|v| i64::try_from(v).ok()));
        Column::new(name, ColumnValues::Integers(values.collect()))
    };
    let numbers = |name, value: &dyn Fn(&Outcome) -> Option<f64>| {
        Column::new(name, ColumnValues::Numbers(outcomes.iter().map(value).collect()))
    };
    let mut columns = vec![
        Column::new(
            "media",
            ColumnValues::Texts(corpus_paths.iter().map(|path| Some(path.display().to_string())).collect()),
        ),
        integers("code", &|o| Some(o.verdict.number().into())),
        texts("reason", &|o| (!o.reason.is_empty()).then(|| o.reason.clone())),
        texts("sha256", &|o| Some(o.result.as_ref()?.sha256.clone())),
        numbers("duration_s", &|o| Some(time_in_file(o.result.as_ref()?.duration_s))),
        integers("frames", &|o| Some(o.result.as_ref()?.frames)),
        integers("frames_ok", &|o| Some(o.result.as_ref()?.frames_ok)),
        integers("tracks", &|o| Some(o.result.as_ref()?.tracks)),
    ];
    for class in Expression::ALL {
        columns.push(numbers(class.name(), &|o| Some(o.result.as_ref()?.shares[class.index()])));
    }
    columns.push(numbers("blinks_per_minute", &|o| o.result.as_ref()?.blinks_per_minute));
    columns.push(numbers("brows_raised_share", &|o| o.result.as_ref()?.brows_raised_share));
    columns
}

fn csv_table(outcomes: &[Outcome], corpus_paths: &[PathBuf], out: &mut dyn Write) -> io::Result<()> {
    let columns = columns(outcomes, corpus_paths);
    let mut table = csv::Writer::from_writer(out);
    table.write_record(columns.iter().map(Column::name))?;
    for row in 0..outcomes.len() {
        table.write_record(columns.iter().map(|column| spreadsheet_cell(&column.text(row)).into_owned()))?;
    }
    table.flush()
}

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3em .6em;border-bottom:1px solid #ddd;\
vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}tr.bad td{background:#fff4e5}\
.bar{display:flex;width:12em;height:1em}.bar i{display:block}.key i{display:inline-block;width:1em;height:1em;\
margin:0 .3em 0 1em;vertical-align:-.15em}code{font-size:90%}";

/// One page without anything from outside.
fn index_page(terms: &Terms, outcomes: &[Outcome], touched: &[PathBuf]) -> Markup {
    let complete = outcomes.iter().filter(|outcome| outcome.verdict.is_complete()).count();
    let all = outcomes.len();
    let duration_s = outcomes.iter().filter_map(|o| Some(o.result.as_ref()?.duration_s)).fold(0.0, |sum, s| sum + s);
    // What wants looking at comes first.
    let (good, bad): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|o| o.verdict.is_complete());
    let body = html! {
        h1 { (complete) " of " (all) " videos are complete" }
        p {
            (format!("{:.1} hours, {} {}, model {} ", duration_s / 3600.0, terms.tool.name, terms.tool.version, terms.model.name))
            code { (terms.model.sha256.get(..12).unwrap_or_default()) }
        }
        p class="key" {
            @for class in Expression::ALL { i style=(background(class)) {} (class.name()) }
        }
        table {
            thead {
                tr {
                    th { "Video" } th { "Length" } th { "Frames" }
                    th title="The others are occluded, too poor to read, out of the picture or without a face" { "Face read" }
                    th { "Signers" } th { "Expressions" } th { "Files" }
                }
            }
            tbody { @for outcome in bad.into_iter().chain(good) { (index_row(outcome, touched)) } }
        }
    };
    page::page(&format!("{complete} of {all} videos"), STYLE, &body)
}

fn index_row(outcome: &Outcome, touched: &[PathBuf]) -> Markup {
    let is_complete = outcome.verdict.is_complete();
    html! {
        tr class=[(!is_complete).then_some("bad")] {
            td {
                (printable(&outcome.path))
                @if !is_complete {
                    br;
                    small { (page::printable(&outcome.reason)) " (" (outcome.verdict.number()) ")" }
                }
            }
            @match &outcome.result {
                None => td colspan="6" {},
                Some(result) => (result_cells(outcome, result, touched)),
            }
        }
    }
}

fn result_cells(outcome: &Outcome, result: &InShort, touched: &[PathBuf]) -> Markup {
    let shares = Expression::ALL.map(|class| (class, 100.0 * result.shares[class.index()]));
    html! {
        td class="n" { (format!("{:.1} s", result.duration_s)) }
        td class="n" { (result.frames) }
        td class="n" { (format!("{:.1} %", 100.0 * result.frames_ok as f64 / result.frames.max(1) as f64)) }
        td class="n" { (result.tracks) }
        td {
            div class="bar" {
                @for (class, share) in shares.into_iter().filter(|(_, share)| *share > 0.0) {
                    i style=(format!("width:{share:.2}%;{}", background(class))) title=(format!("{} {share:.1} %", class.name())) {}
                }
            }
        }
        td {
            @for written in &result.outputs {
                a href=(link(&written.path)) { (kind(&written.path, &outcome.path)) }
                @if touched.contains(&written.path) { " " small { "(changed since)" } }
                " "
            }
        }
    }
}

fn background(class: Expression) -> String {
    format!("background:{}", palette::colour_of(class).hex())
}

/// What the name of an output says behind that of its video.
fn kind(output: &Path, video: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (output, video) = (name(output), name(video));
    let rest = output.strip_prefix(&video).unwrap_or(&output).trim_start_matches(['.', '_']).to_owned();
    rest.chars().filter(|c| !c.is_control()).collect()
}

/// A relative link (RFC 3986): everything but unreserved characters and slashes by its number.
pub(super) fn link(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let bytes = name_bytes(path.as_os_str()).iter();
    // The dot keeps a name with a colon from being taken for a scheme.
    let encoded: String =
        bytes.map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect();
    format!("./{encoded}")
}

//! What became of a corpus, for people and programs: `failures.json`, `summary.csv`, `summary.parquet`, `index.html`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quick_xml::escape::escape;
use serde::Serialize;

use super::Outcome;
use super::journal::{self, Terms};
use super::path::printable;
use crate::files::{OutputOptions, WriteError, spreadsheet_cell};
use crate::palette;
use crate::platform::name_bytes;
use crate::timeline::{Expression, time_in_file};
use crate::write::parquet::{Column, Values, parquet};

/// Names in an output folder that are this module's and the log's; no video's results may have them.
pub const NAMES: [&str; 9] = [
    "failures.json",
    "summary.csv",
    "summary.parquet",
    "index.html",
    super::moved::PAGE,
    super::moved::TABLE,
    journal::NAME,
    super::lock::NAME,
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
    left_out: Vec<LeftOut<'a>>,
}

#[derive(Serialize)]
struct LeftOut<'a> {
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
    /// Results that somebody has touched since they were written, relative to the folder.
    pub touched: &'a [PathBuf],
    /// Files in folders that were not taken for videos, and why.
    pub left_out: &'a [(PathBuf, String)],
}

/// Writes the four files into `folder`; gives those that were left alone, and why. `existing` says what becomes of files
/// that are there.
///
/// # Errors
/// If one cannot be written.
pub fn write(folder: &Path, report: &Report, existing: OutputOptions) -> Result<Vec<WriteError>, WriteError> {
    let Report { terms, outcomes, touched, .. } = *report;
    let mut kept = Vec::new();
    let mut put = |name: &str, content: &dyn Fn(&mut dyn Write) -> io::Result<()>| match existing
        .confined()
        .put(&folder.join(name), content)
    {
        Err(error) if error.is_taken() => {
            kept.push(error);
            Ok(())
        }
        written => written,
    };
    put("failures.json", &|out| failures(report, out))?;
    put("summary.csv", &|out| csv_table(outcomes, out))?;
    put("summary.parquet", &|out| out.write_all(&parquet("summary", columns(outcomes))?))?;
    put("index.html", &|out| page(terms, outcomes, touched, out))?;
    Ok(kept)
}

fn failures(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Report { outcomes, touched, left_out, .. } = *report;
    let failures: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.code != 0).collect();
    let (inputs, complete) = (outcomes.len(), outcomes.len() - failures.len());
    let touched = touched.to_vec();
    let left_out = left_out.iter().map(|(path, reason)| LeftOut { path, reason }).collect();
    let report = Failures { schema: SCHEMA, inputs, complete, failures, touched, left_out };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    out.write_all(b"\n")
}

/// One row an input.
fn columns(outcomes: &[Outcome]) -> Vec<Column> {
    let texts = |name, value: &dyn Fn(&Outcome) -> Option<String>| {
        Column::new(name, Values::Texts(outcomes.iter().map(value).collect()))
    };
    let integers = |name, value: &dyn Fn(&Outcome) -> Option<usize>| {
        let values = outcomes.iter().map(|outcome| value(outcome).and_then(|v| i64::try_from(v).ok()));
        Column::new(name, Values::Integers(values.collect()))
    };
    let numbers = |name, value: &dyn Fn(&Outcome) -> Option<f64>| {
        Column::new(name, Values::Numbers(outcomes.iter().map(value).collect()))
    };
    let mut columns = vec![
        texts("media", &|o| Some(o.path.display().to_string())),
        integers("code", &|o| Some(o.code.into())),
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
    columns
}

fn csv_table(outcomes: &[Outcome], out: &mut dyn Write) -> io::Result<()> {
    let columns = columns(outcomes);
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
fn page(terms: &Terms, outcomes: &[Outcome], touched: &[PathBuf], out: &mut dyn Write) -> io::Result<()> {
    let complete = outcomes.iter().filter(|outcome| outcome.code == 0).count();
    let duration_s = outcomes.iter().filter_map(|o| Some(o.result.as_ref()?.duration_s)).fold(0.0, |sum, s| sum + s);
    let colour = |class: Expression| palette::colour_of(class).hex();
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{complete} of {} videos</title>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <style>{STYLE}</style></head><body>\n<h1>{complete} of {} videos are complete</h1>\n\
         <p>{:.1} hours, {} {}, model {} <code>{}</code></p>\n<p class=\"key\">",
        outcomes.len(),
        outcomes.len(),
        duration_s / 3600.0,
        escape(&terms.tool.name),
        escape(&terms.tool.version),
        escape(&terms.model.name),
        escape(terms.model.sha256.get(..12).unwrap_or_default()),
    )?;
    for class in Expression::ALL {
        write!(out, "<i style=\"background:{}\"></i>{}", colour(class), class.name())?;
    }
    out.write_all(
        b"</p>\n<table><thead><tr><th>Video</th><th>Length</th><th>Frames</th>\
          <th title=\"The others are occluded, too poor to read, out of the picture or without a face\">Face read</th>\
          <th>Signers</th><th>Expressions</th><th>Files</th></tr></thead><tbody>\n",
    )?;
    // What wants looking at comes first.
    let (bad, good): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|outcome| outcome.code != 0);
    for outcome in bad.into_iter().chain(good) {
        let class = if outcome.code == 0 { "" } else { " class=\"bad\"" };
        write!(out, "<tr{class}><td>{}", escape(printable(&outcome.path)))?;
        if outcome.code != 0 {
            let reason: String = outcome.reason.chars().filter(|c| !c.is_control()).collect();
            write!(out, "<br><small>{} ({})</small>", escape(&reason), outcome.code)?;
        }
        let Some(result) = &outcome.result else {
            out.write_all(b"</td><td colspan=\"6\"></td></tr>\n")?;
            continue;
        };
        let seen = 100.0 * result.frames_ok as f64 / result.frames.max(1) as f64;
        write!(
            out,
            "</td><td class=\"n\">{:.1} s</td><td class=\"n\">{}</td><td class=\"n\">{seen:.1} %</td>\
             <td class=\"n\">{}</td><td><div class=\"bar\">",
            result.duration_s, result.frames, result.tracks,
        )?;
        for class in Expression::ALL.into_iter().filter(|class| result.shares[class.index()] > 0.0) {
            let share = 100.0 * result.shares[class.index()];
            let name = class.name();
            write!(
                out,
                "<i style=\"width:{share:.2}%;background:{}\" title=\"{name} {share:.1} %\"></i>",
                colour(class)
            )?;
        }
        out.write_all(b"</div></td><td>")?;
        for written in &result.outputs {
            let kind = kind(&written.path, &outcome.path);
            let mark = if touched.contains(&written.path) { " <small>(changed since)</small>" } else { "" };
            write!(out, "<a href=\"{}\">{}</a>{mark} ", link(&written.path), escape(&kind))?;
        }
        out.write_all(b"</td></tr>\n")?;
    }
    out.write_all(b"</tbody></table>\n</body></html>\n")
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

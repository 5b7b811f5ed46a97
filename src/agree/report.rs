//! Agreement in words and tables.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{Agreement, CurveAgreement, EventAgreement, LABELS, Measures, NotCompared, PairKind, Table};
use crate::page::{page, printable};
use crate::timeline::Expression;

/// One sentence that can go into a paper.
pub fn sentence(agreement: &Agreement) -> String {
    let Measures { frames, segments, .. } = &agreement.pooled;
    if agreement.pairs.is_empty() {
        return events_sentence(agreement);
    }
    let parts = match (agreement.part, agreement.pairs.len()) {
        (PairKind::Signer, 1) => "one signer".to_owned(),
        (PairKind::Signer, count) => format!("{count} signers"),
        (PairKind::Video, 1) => "one video".to_owned(),
        (PairKind::Video, count) => format!("{count} videos, over which the intervals are"),
    };
    let mut text = format!(
        "Over {} frames of {parts}, the two annotations gave the same of seven labels to {} of the {} frames that both \
         labelled (Cohen's kappa = {}{}); of {} and {} segments, {} pairs overlapped by at least {:.0} % of the longer one \
         (Holle and Rein's modified kappa = {}{})",
        frames.frames,
        percent(frames.agreement),
        frames.both,
        number(frames.kappa),
        span(frames.kappa_interval),
        segments.a,
        segments.b,
        segments.linked,
        100.0 * agreement.options.overlap,
        number(segments.modified_kappa),
        span(segments.modified_kappa_interval),
    );
    if let Some(boundaries) = &segments.boundaries {
        let _ = write!(text, ", whose boundaries lay a median of {} frames apart", boundaries.median);
    }
    text += &left_out_behind(agreement);
    text + "."
}

/// The same where only events were compared.
fn events_sentence(agreement: &Agreement) -> String {
    let sum = |of: fn(&EventAgreement) -> usize| agreement.events.iter().map(of).sum::<usize>();
    let (a, b, linked) = (sum(|e| e.a), sum(|e| e.b), sum(|e| e.linked));
    let kinds = agreement.events.len();
    let text = format!("Of {a} and {b} events of {kinds} kinds, {linked} pairs overlapped");
    text + &left_out_behind(agreement) + "."
}

fn left_out_behind(agreement: &Agreement) -> String {
    let left_out = left_out(agreement);
    if left_out.is_empty() { String::new() } else { format!("; left out: {}", left_out.join(", ")) }
}

/// The columns of the table of events.
const EVENT_COLUMNS: [&str; 8] =
    ["event", "first", "second", "pairs", "overlap ratio", "start later by", "end later by", "edges within 3 frames"];

fn event_rows(agreement: &Agreement) -> Vec<Vec<String>> {
    let shift = |frames: Option<f64>| frames.map_or("-".into(), |frames| format!("{frames:+.1} frames"));
    let row = |event: &EventAgreement| {
        vec![
            event.kind.name().replace('_', " "),
            event.a.to_string(),
            event.b.to_string(),
            event.linked.to_string(),
            number(event.overlap_ratio),
            shift(event.start_shift),
            shift(event.end_shift),
            percent(event.within_three),
        ]
    };
    agreement.events.iter().map(row).collect()
}

/// The columns of the table of curves.
const CURVE_COLUMNS: [&str; 5] = ["measure", "signers", "frames", "correlation", "mean distance"];

fn curve_rows(agreement: &Agreement) -> Vec<Vec<String>> {
    let row = |curve: &CurveAgreement| {
        vec![
            curve.measure.replace('_', " "),
            curve.signers.to_string(),
            curve.frames.to_string(),
            curve.correlation.map_or("not defined".into(), |r| format!("{r:.3}")),
            format!("{:.4}", curve.distance),
        ]
    };
    agreement.curves.iter().map(row).collect()
}

/// A table's title, columns and rows.
type FaceTable = (&'static str, &'static [&'static str], Vec<Vec<String>>);

/// What the face does, as tables. None where nothing was compared.
fn face_tables(agreement: &Agreement) -> Vec<FaceTable> {
    let tables = [
        ("Events of the face", &EVENT_COLUMNS[..], event_rows(agreement)),
        ("Curves of the face", &CURVE_COLUMNS[..], curve_rows(agreement)),
    ];
    tables.into_iter().filter(|(.., rows)| !rows.is_empty()).collect()
}

/// Unknown words, tiers and files that are named; the rest is counted.
const NAMED: usize = 5;

/// The first of `names`, and how many there are beyond.
pub fn named(names: &[String], most: usize) -> String {
    let some = names.iter().take(most).map(|name| format!("'{}'", name.escape_debug())).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

/// What was left out, in words.
fn left_out(agreement: &Agreement) -> Vec<String> {
    let NotCompared { mapped, without_length, overlapping, unpaired } = &agreement.left_out;
    let unknown: usize = agreement.unknown_labels.iter().map(|(_, count)| count).sum();
    let words: Vec<String> = agreement.unknown_labels.iter().map(|(word, _)| word.clone()).collect();
    let there = match agreement.part {
        PairKind::Signer => "tiers of expressions",
        PairKind::Video => "files",
    };
    [
        (unknown, format!("{unknown} annotations whose labels are not among the seven ({})", named(&words, NAMED))),
        (*mapped, format!("{mapped} annotations that are empty or mapped to no class")),
        (*without_length, format!("{without_length} annotations without a length")),
        (*overlapping, format!("what {overlapping} annotations have in common with an earlier one of their tier")),
        (unpaired.len(), format!("{} {there} that only one side has ({})", unpaired.len(), named(unpaired, NAMED))),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(_, text)| text)
    .collect()
}

fn number(value: Option<f64>) -> String {
    value.map_or("not defined".into(), |value| format!("{value:.2}"))
}

fn span(interval: Option<[f64; 2]>) -> String {
    interval.map_or(String::new(), |[low, high]| format!(", 95 % interval {low:.2} to {high:.2}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.1} %", 100.0 * value))
}

/// The measures by row, for tables.
fn rows(measures: &Measures) -> Vec<(&'static str, String)> {
    let Measures { frames, segments, .. } = measures;
    let with_interval = |value, interval| format!("{}{}", number(value), span(interval));
    let mut rows = vec![
        ("frames", frames.frames.to_string()),
        ("frames both label", frames.both.to_string()),
        ("same label, of those", percent(frames.agreement)),
        ("Cohen's kappa, of those", with_interval(frames.kappa, frames.kappa_interval)),
        ("Cohen's kappa, all frames, no label as a class", number(frames.kappa_with_unlabelled)),
        ("segments, first annotation", segments.a.to_string()),
        ("segments, second annotation", segments.b.to_string()),
        ("linked pairs", segments.linked.to_string()),
        ("segments that are linked", percent(segments.linked_share)),
        ("same label, linked pairs", percent(segments.agreement)),
        ("Cohen's kappa, linked pairs", number(segments.kappa)),
        ("same label, unlinked as disagreement", percent(segments.agreement_with_unlinked)),
        ("modified kappa (Holle and Rein)", with_interval(segments.modified_kappa, segments.modified_kappa_interval)),
    ];
    if let Some(boundaries) = &segments.boundaries {
        rows.push(("boundaries apart, mean", format!("{:.2} frames", boundaries.mean)));
        rows.push(("boundaries apart, median", format!("{} frames", boundaries.median)));
        rows.push(("boundaries at most 1 frame apart", percent(Some(boundaries.within_one))));
        rows.push(("boundaries at most 2 frames apart", percent(Some(boundaries.within_two))));
    }
    rows
}

/// Parts one by one, then together where there are several. Of a corpus only what it has together: its videos are one table.
fn parts(agreement: &Agreement) -> impl Iterator<Item = &Measures> {
    let pooled = (agreement.pairs.len() > 1).then_some(&agreement.pooled);
    let single = match (agreement.part, agreement.pairs.len()) {
        (PairKind::Video, 2..) => &[],
        _ => &agreement.pairs[..],
    };
    single.iter().chain(pooled)
}

/// The columns of a corpus's table of videos.
const VIDEO_COLUMNS: [&str; 6] = ["video", "frames", "both label", "same label", "kappa", "modified kappa"];

/// A row for each video of a corpus.
fn videos(agreement: &Agreement) -> Vec<[String; 6]> {
    if agreement.part != PairKind::Video {
        return Vec::new();
    }
    let row = |Measures { name, frames, segments }: &Measures| {
        [
            name.clone(),
            frames.frames.to_string(),
            frames.both.to_string(),
            percent(frames.agreement),
            number(frames.kappa),
            number(segments.modified_kappa),
        ]
    };
    agreement.pairs.iter().map(row).collect()
}

/// Words that stand for no class and are listed on a terminal.
const LISTED: usize = 20;

/// A few lines for the terminal.
pub fn text(agreement: &Agreement) -> String {
    let mut text = String::new();
    let videos = videos(agreement);
    if !videos.is_empty() {
        for [name, cells @ ..] in std::iter::once(VIDEO_COLUMNS.map(str::to_owned)).chain(videos) {
            let _ = write!(text, "{:<32}", name.escape_debug().to_string());
            cells.iter().for_each(|cell| text += &format!(" {cell:>14}"));
            text += "\n";
        }
    }
    for measures in parts(agreement) {
        let _ = writeln!(text, "{}", measures.name);
        for (name, value) in rows(measures) {
            let _ = writeln!(text, "  {name:<48}{value}");
        }
    }
    for (_, columns, rows) in face_tables(agreement) {
        let heads: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        for row in std::iter::once(&heads).chain(&rows) {
            let _ = write!(text, "{:<22}", row[0]);
            row[1..].iter().zip(&columns[1..]).for_each(|(cell, head)| {
                let _ = write!(text, " {cell:>width$}", width = head.len().max(11));
            });
            text += "\n";
        }
    }
    for (label, count) in agreement.unknown_labels.iter().take(LISTED) {
        let label = label.escape_debug();
        let _ = writeln!(text, "'{label}' ({count} times) is no class and counts as no label");
    }
    if agreement.unknown_labels.len() > LISTED {
        let _ = writeln!(text, "and {} more words", agreement.unknown_labels.len() - LISTED);
    }
    text + "\n" + &sentence(agreement) + "\n"
}

fn heads(last: &str) -> Vec<String> {
    Expression::ALL.iter().map(|class| class.name().to_owned()).chain([last.to_owned()]).collect()
}

/// The report as Markdown.
pub fn markdown(agreement: &Agreement) -> String {
    // A name can hold what Markdown takes for itself.
    let code = |text: &str| format!("`{}`", text.replace('`', "'").replace(char::is_control, " ").replace('|', "\\|"));
    let mut text = format!(
        "# Agreement\n\n- first annotation: {}\n- second annotation: {}\n- {}\n\n{}\n",
        code(&agreement.a),
        code(&agreement.b),
        agreement.grid,
        sentence(agreement)
    );
    let videos = videos(agreement);
    if !videos.is_empty() {
        let _ =
            write!(text, "\n## Videos\n\n| {} |\n|{}\n", VIDEO_COLUMNS.join(" | "), "---|".repeat(VIDEO_COLUMNS.len()));
        for [name, cells @ ..] in &videos {
            let _ = writeln!(text, "| {} | {} |", code(name), cells.join(" | "));
        }
    }
    for measures in parts(agreement) {
        let _ = write!(text, "\n## {}\n\n| measure | value |\n|---|---|\n", code(&measures.name));
        for (name, value) in rows(measures) {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        for (title, table, last) in tables(measures) {
            let heads = heads(last);
            let _ = write!(text, "\n{title}\n\n| | {} |\n|---{}|\n", heads.join(" | "), "|---".repeat(LABELS));
            for (head, row) in heads.iter().zip(table) {
                let _ = writeln!(text, "| {head} | {} |", row.map(|count| count.to_string()).join(" | "));
            }
        }
    }
    for (title, columns, rows) in face_tables(agreement) {
        let _ = write!(text, "\n## {title}\n\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
        for row in rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
    }
    if !agreement.unknown_labels.is_empty() {
        text += "\n## Labels that are no class\n\nThey count as no label.\n\n| label | annotations |\n|---|---|\n";
        for (label, count) in &agreement.unknown_labels {
            let _ = writeln!(text, "| {} | {count} |", code(label));
        }
    }
    text
}

fn tables(measures: &Measures) -> [(&'static str, &Table, &'static str); 2] {
    [
        ("Frames; rows: first annotation, columns: second.", &measures.frames.confusion, "no label"),
        ("Segments; rows: first annotation, columns: second.", &measures.segments.confusion, "unlinked"),
    ]
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
                     table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .6em;border-bottom:1px solid #ccc;\
                     text-align:right}td:first-child,th:first-child{text-align:left}";

/// The report as one HTML page without scripts.
pub fn html(agreement: &Agreement) -> String {
    let videos = videos(agreement);
    let body = html! {
        h1 { "Agreement" }
        p {
            "First annotation: " (printable(&agreement.a)) br;
            "Second annotation: " (printable(&agreement.b)) br;
            (printable(&agreement.grid))
        }
        p { (printable(&sentence(agreement))) }
        @if !videos.is_empty() {
            h2 { "Videos" }
            table {
                tr { @for column in VIDEO_COLUMNS { th { (column) } } }
                @for cells in &videos { tr { @for cell in cells { td { (printable(cell)) } } } }
            }
        }
        @for measures in parts(agreement) {
            h2 { (printable(&measures.name)) }
            table { @for (name, value) in rows(measures) { tr { td { (name) } td { (value) } } } }
            @for (title, table, last) in tables(measures) {
                p { (title) }
                (confusion_table(table, last))
            }
        }
        @for (title, columns, rows) in face_tables(agreement) {
            h2 { (title) }
            table {
                tr { @for column in columns { th { (column) } } }
                @for cells in &rows { tr { @for cell in cells { td { (printable(cell)) } } } }
            }
        }
        @if !agreement.unknown_labels.is_empty() {
            h2 { "Labels that are no class" }
            p { "They count as no label." }
            table {
                @for (label, count) in &agreement.unknown_labels { tr { td { (printable(label)) } td { (count) } } }
            }
        }
    };
    page("Agreement", STYLE, &body).into_string()
}

/// Counts, each the darker the larger its share of the row's largest; what agrees is blue.
fn confusion_table(table: &Table, last: &str) -> Markup {
    let heads = heads(last);
    let shade = |is_same: bool, count: u64, largest: u64| {
        let colour = if is_same { "0,114,178" } else { "213,94,0" };
        format!("background:rgba({colour},{:.2})", (100 * count / largest) as f64 / 200.0)
    };
    html! {
        table {
            tr { th {} @for head in &heads { th { (head) } } }
            @for (row, (head, counts)) in heads.iter().zip(table).enumerate() {
                @let largest = counts.iter().max().copied().unwrap_or(0).max(1);
                tr {
                    th { (head) }
                    @for (column, count) in counts.iter().enumerate() {
                        td style=(shade(row == column, *count, largest)) { (count) }
                    }
                }
            }
        }
    }
}

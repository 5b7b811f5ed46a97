//! A report as Markdown and as one HTML page without scripts, from the same parts.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::page::{page, printable};

/// A report.
pub struct ReportDocument {
    /// Its heading.
    pub title: String,
    /// Its parts in order.
    pub blocks: Vec<ReportBlock>,
}

/// A part of a report.
pub enum ReportBlock {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A table.
    Table(ReportTable),
    /// A plot or pictures: elements of HTML. Not in Markdown.
    Plot(Markup),
}

/// A table with a caption; the first column is text, the others numbers.
pub struct ReportTable {
    caption: String,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl ReportTable {
    /// A table without rows.
    pub fn new(caption: &str, heads: &[&str]) -> Self {
        Self { caption: caption.into(), heads: heads.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table for the terminal: columns one below the other.
    pub fn plain(&self) -> String {
        let lines = || std::iter::once(&self.heads).chain(&self.rows);
        let width = |column: usize| lines().filter_map(|line| line.get(column)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..self.heads.len()).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = format!("{}\n", self.caption);
        for line in lines() {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Writing to a string cannot fail.
                let _ = match column {
                    0 => write!(text, "  {cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                };
            }
            text.push('\n');
        }
        text
    }

    fn markup(&self) -> Markup {
        html! {
            table {
                caption { (printable(&self.caption)) }
                tr { @for head in &self.heads { th { (printable(head)) } } }
                @for row in &self.rows { tr { @for cell in row { td { (printable(cell)) } } } }
            }
        }
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
                     h2{margin-top:2em;padding-bottom:.2em;border-bottom:2px solid #ddd}h3{font-size:1em;margin:.6em 0 0}\
                     h1+p{font-size:1.15em;background:#eef5fa;border-left:4px solid #0072b2;padding:.7em 1em}\
                     table{border-collapse:collapse;margin:1.2em 0}\
                     caption{text-align:left;font-weight:bold;padding:.3em 0;white-space:nowrap}\
                     td,th{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:right;font-variant-numeric:tabular-nums}\
                     th{border-bottom-color:#999;vertical-align:bottom}td{white-space:nowrap}td:first-child{white-space:normal}\
                     td:first-child,th:first-child{text-align:left}\
                     .beside{display:flex;flex-wrap:wrap;gap:1em}.beside>div{flex:1 1 20em;min-width:0}svg{max-width:100%;height:auto;margin:.6em 0;display:block}\
                     svg text{font:12px sans-serif;fill:#222}figure{display:inline-block;margin:.4em;width:9.5em;vertical-align:top}\
                     figcaption{font-size:12px;line-height:1.3}";

impl ReportDocument {
    /// As Markdown, without plots.
    pub fn markdown(&self) -> String {
        // A name can hold what Markdown takes for itself.
        let cell = |text: &str| text.replace(char::is_control, " ").replace('|', "\\|").replace('<', "&lt;");
        let mut text = format!("# {}\n", cell(&self.title));
        for block in &self.blocks {
            let _ = match block {
                ReportBlock::Heading(heading) => writeln!(text, "\n## {}", cell(heading)),
                ReportBlock::Text(paragraph) => writeln!(text, "\n{}", cell(paragraph)),
                ReportBlock::Plot(_) => Ok(()),
                ReportBlock::Table(table) => {
                    let line = |cells: &[String]| {
                        let cells: Vec<String> = cells.iter().map(|c| cell(c)).collect();
                        format!("| {} |\n", cells.join(" | "))
                    };
                    let rule = "|---".repeat(table.heads.len());
                    let rows: String = table.rows.iter().map(|row| line(row)).collect();
                    write!(text, "\n{}\n\n{}{rule}|\n{rows}", cell(&table.caption), line(&table.heads))
                }
            };
        }
        text
    }

    /// As one HTML page that asks for nothing else.
    pub fn html(&self) -> String {
        let body = html! {
            h1 { (printable(&self.title)) }
            @for block in &self.blocks {
                @match block {
                    ReportBlock::Heading(heading) => h2 { (printable(heading)) },
                    ReportBlock::Text(paragraph) => p { (printable(paragraph)) },
                    ReportBlock::Plot(svg) => (svg),
                    ReportBlock::Table(table) => (table.markup()),
                }
            }
        };
        page(&self.title, STYLE, &body).into_string()
    }
}

/// Plots side by side, each below what it is called.
pub fn beside(plots: &[(&str, Markup)]) -> Markup {
    html! {
        div class="beside" { @for (name, plot) in plots { div { h3 { (printable(name)) } (plot) } } }
    }
}

/// A picture with words below it and more of them on pointing at it; `address` is that of its data.
pub fn figure(address: &str, caption: &str, title: &str) -> Markup {
    let (caption, title) = (printable(caption), printable(title));
    html! {
        figure title=(title) {
            img alt=(title) src=(address);
            figcaption { (caption) br; (title) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        let hostile = "<script>alert('x')</script>|a\nb";
        let mut table = ReportTable::new(hostile, &[hostile]);
        table.row([hostile.to_owned()]);
        let blocks =
            vec![ReportBlock::Heading(hostile.into()), ReportBlock::Text(hostile.into()), ReportBlock::Table(table)];
        let document = ReportDocument { title: hostile.into(), blocks };
        let (html, markdown) = (document.html(), document.markdown());
        assert!(!html.contains("<script") && html.contains("&lt;script"), "{html}");
        assert!(!markdown.contains("<script") && markdown.contains("\\|a b"), "{markdown}");
    }

    #[test]
    fn columns_stand_one_below_the_other() {
        let mut table = ReportTable::new("T", &["name", "value"]);
        table.row(["a longer name".into(), "7".into()]);
        assert_eq!(table.plain(), "T\n  name           value\n  a longer name      7\n");
    }
}

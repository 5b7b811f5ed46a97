//! Draws an ELAN annotation file written by this program as an SVG, tiers over curves; it made the picture in docs/.
//!
//!     cargo run --release --example draw_eaf -- out/demo/demo.eaf docs/images/demo_eaf.svg

use std::fmt::Write as _;
use std::path::PathBuf;

use annotate::eaf;
use annotate::palette::colour_of;
use annotate::timeline::Expression;

const LEFT: f64 = 190.0;
const WIDTH: f64 = 1000.0;
const LANE: f64 = 26.0;
const PANEL: f64 = 120.0;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("give an .eaf and the .svg to write");
    };
    let document = eaf::read(&from)?;
    let stem = from.file_stem().unwrap_or_default().to_string_lossy();
    let table = std::fs::read_to_string(from.with_file_name(format!("{stem}_elan.csv")))?;
    let rows: Vec<Vec<f64>> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap_or(f64::NAN)).collect())
        .collect();
    let last_ms = rows.last().map_or(1.0, |row| row[0]);
    let x = |ms: f64| LEFT + ms / last_ms * WIDTH;
    let mut body = String::new();
    for (lane, tier) in document.tiers.iter().enumerate() {
        let y = 10.0 + lane as f64 * LANE;
        writeln!(body, r#"<text x="8" y="{:.0}">{}</text>"#, y + 16.0, escaped(&tier.id))?;
        for annotation in &tier.annotations {
            let (from, to) = (x(annotation.start_ms as f64), x(annotation.end_ms as f64));
            let class = Expression::ALL.into_iter().find(|class| class.name() == annotation.value);
            let fill = class.map_or("#eeeeee".to_owned(), |class| colour_of(class).hex());
            writeln!(
                body,
                r##"<g><rect x="{from:.1}" y="{y:.0}" width="{:.1}" height="{:.0}" fill="{fill}" stroke="#333"/>"##,
                to - from,
                LANE - 4.0
            )?;
            // A word is written only if there is space for it.
            if to - from > 5.5 * annotation.value.len() as f64 {
                let value = escaped(&annotation.value);
                writeln!(body, r#"<text class="v" x="{:.1}" y="{:.0}">{value}</text>"#, from + 4.0, y + 16.0)?;
            }
            writeln!(
                body,
                "<title>{} {}-{} ms</title></g>",
                escaped(&annotation.value),
                annotation.start_ms,
                annotation.end_ms
            )?;
        }
    }
    let top = 20.0 + document.tiers.len() as f64 * LANE;
    writeln!(body, r##"<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{PANEL}" fill="#fff" stroke="#999"/>"##)?;
    writeln!(body, r#"<text x="8" y="{:.0}">probabilities</text>"#, top + PANEL / 2.0)?;
    for class in Expression::ALL {
        // As in ELAN, a curve breaks where there is no value.
        for run in rows.chunk_by(|a, b| a[1].is_finite() == b[1].is_finite()).filter(|run| run[0][1].is_finite()) {
            let points: Vec<String> = run
                .iter()
                .map(|row| format!("{:.1},{:.1}", x(row[0]), top + PANEL * (1.0 - row[1 + class.index()])))
                .collect();
            let (points, colour) = (points.join(" "), colour_of(class).hex());
            writeln!(body, r#"<polyline points="{points}" fill="none" stroke="{colour}"/>"#)?;
        }
    }
    let (width, height) = (LEFT + WIDTH + 10.0, top + PANEL + 10.0);
    let style = "text{font:13px sans-serif;fill:#111}.v{paint-order:stroke;stroke:#fff;stroke-width:3px}";
    std::fs::write(
        &to,
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{style}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fafafa\"/>\n{body}</svg>\n"
        ),
    )?;
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

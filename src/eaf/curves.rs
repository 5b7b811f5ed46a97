//! The curves under the video: a table ELAN reads as time series, and the two files that tell it how.

use std::io::{self, Write};

use super::preset::Preset;
use super::tiers::first_ms;
use super::xml::{self, Element};
use crate::palette::{Colour, colour_of};
use crate::timeline::{Expression, FrameRecord, Timeline, probability_in_file, score_in_file};

/// Begins our tables, so that nobody else's is overwritten.
pub(super) const MARK: &str = "# annotate curves";

/// Curves of one signer: the classes, then these.
const CONFIDENCE: &str = "confidence";
const SCORE: &str = "face score";
/// It is a probability.
const LARGEST_SCORE: u32 = 1;

/// A curve: its name, column, panel and range.
struct Curve {
    name: String,
    column: usize,
    panel: usize,
    unit: &'static str,
    largest: u32,
    colour: Colour,
}

fn curves(timeline: &Timeline, preset: &Preset) -> Vec<Curve> {
    let mut curves = Vec::new();
    for track in &timeline.tracks {
        let signer = preset.signer(track.id);
        let mut add = |name: &str, panel, unit, largest, colour| {
            let column = curves.len() + 1;
            curves.push(Curve { name: format!("{signer} {name}"), column, panel, unit, largest, colour });
        };
        for class in Expression::ALL {
            add(class.name(), 1, "probability", 1, colour_of(class));
        }
        let black = Colour { red: 0, green: 0, blue: 0 };
        add(CONFIDENCE, 2, "probability", 1, black);
        add(SCORE, 2, "score", LARGEST_SCORE, crate::palette::NO_FACE);
    }
    curves
}

/// Which of ELAN's two readers a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A file linked to a document: commas, and names in a comment.
    Linked,
    /// A recogniser's result: semicolons, and names in the first line.
    Recognizer,
}

/// The table: a frame's first millisecond, then every curve's value there. In both dialects: no quotes, whole milliseconds
/// throughout, `NaN` where there is no value, no empty cell.
pub(super) fn table(timeline: &Timeline, preset: &Preset, dialect: Dialect, out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<String> = curves(timeline, preset).into_iter().map(|curve| curve.name).collect();
    let separator = match dialect {
        Dialect::Linked => {
            writeln!(out, "{MARK}\n# time_ms,{}", names.join(","))?;
            ','
        }
        Dialect::Recognizer => {
            writeln!(out, "time_ms;{}", names.join(";"))?;
            ';'
        }
    };
    let cell = |value: Option<f64>, out: &mut dyn Write| match value {
        Some(value) => write!(out, "{separator}{value}"),
        None => write!(out, "{separator}NaN"),
    };
    for (frame, time_s) in timeline.frames.time_s.iter().enumerate() {
        write!(out, "{}", first_ms(*time_s))?;
        for track in &timeline.tracks {
            let place = frame.checked_sub(track.first_frame);
            let record: Option<&FrameRecord> = place.and_then(|place| track.frames.get(place));
            let probabilities = record.and_then(FrameRecord::read_probabilities);
            for class in 0..Expression::COUNT {
                cell(probabilities.map(|p| probability_in_file(p[class])), out)?;
            }
            cell(record.and_then(|record| record.confidence).map(probability_in_file), out)?;
            cell(record.and_then(|record| record.face_score).map(score_in_file), out)?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Says where in the table at `url` the curves are. Sampled at irregular times, as a continuous rate would be rounded to
/// whole hertz.
pub(super) fn configuration(timeline: &Timeline, preset: &Preset, url: &str, out: &mut dyn Write) -> io::Result<()> {
    let property = |key: &str, value: &str| Element::new("property").with("key", key).with("value", value);
    let mut source = Element::new("tracksource")
        .with("source-url", url)
        .with("sample-type", "Discontinuous Rate")
        .with("time-column", "0")
        .child(property("provider", "mpi.eudico.client.annotator.timeseries.csv.CSVServiceProvider"));
    for curve in curves(timeline, preset) {
        let position = Element::new("pos").with("row", "0").with("col", curve.column.to_string());
        source.push(
            Element::new("track")
                .with("name", curve.name)
                .with("derivative", "0")
                .child(property("detect-range", "false"))
                .child(Element::new("sample-position").child(position))
                .child(Element::new("units").text(curve.unit))
                .child(Element::new("range").with("min", "0").with("max", curve.largest.to_string()))
                .child(Element::new("color").text(rgb(curve.colour))),
        );
    }
    xml::serialise(&Element::new("timeseries").with("version", "1.0").child(source), out)
}

/// Shows the probabilities in one panel and the rest in another, and gives tiers a colour.
pub(super) fn preferences(
    timeline: &Timeline,
    preset: &Preset,
    tiers: &[[String; 3]],
    out: &mut dyn Write,
) -> io::Result<()> {
    let preference = |key: &str, value: Element| Element::new("pref").with("key", key).child(value);
    let mut root = Element::new("preferences")
        .with("version", "1.1")
        .with("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
        .with("xsi:noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/Prefs_v1.1.xsd")
        .child(preference("TimeSeriesViewer.NumberOfPanels", Element::new("Int").text("2")));
    let curves = curves(timeline, preset);
    for panel in [1, 2] {
        let mut list = Element::new("prefList").with("key", format!("TimeSeriesViewer.Panel-{panel}"));
        for curve in curves.iter().filter(|curve| curve.panel == panel) {
            list.push(Element::new("String").text(&curve.name));
        }
        root.push(list);
    }
    let mut colours = Element::new("prefGroup").with("key", "TierColors");
    for [expression, _, status] in tiers {
        for (tier, colour) in [(expression, colour_of(Expression::Sadness)), (status, crate::palette::NO_FACE)] {
            let object = Element::new("Object").with("class", "java.awt.Color").text(rgb(colour));
            colours.push(preference(tier, object));
        }
    }
    root.push(colours);
    xml::serialise(&root, out)
}

fn rgb(colour: Colour) -> String {
    format!("{},{},{}", colour.red, colour.green, colour.blue)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_table_is_in_elans_dialect(timeline in sample::any_timeline()) {
            let mut bytes = Vec::new();
            table(&timeline, &Preset::default(), Dialect::Linked, &mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            prop_assert_eq!(rows.len(), timeline.frames.pts.len());
            for row in rows {
                let cells: Vec<&str> = row.split(',').collect();
                prop_assert_eq!(cells.len(), 1 + 9 * timeline.tracks.len());
                prop_assert!(cells[0].bytes().all(|b| b.is_ascii_digit()));
                prop_assert!(cells.iter().all(|cell| *cell == "NaN" || cell.parse::<f64>().is_ok_and(f64::is_finite)));
            }
        }
    }
}

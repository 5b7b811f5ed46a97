//! The curves under the video: a table ELAN reads as time series, and the two files that tell it how.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::Path;

use super::preset::Preset;
use super::tiers::Clock;
use super::xml::{self, Element};
use crate::palette::{Colour, NO_FACE, colour_of};
use crate::timeline::{Expression, FrameRecord, Timeline, probability_in_file, score_in_file};

/// Begins our tables, so that nobody else's is overwritten.
pub(super) const MARK: &str = "# annotate curves";

/// A curve over the video.
pub(super) struct Curve {
    /// The signer's, then what it shows: ELAN wants all names of a document to differ.
    pub name: String,
    /// The signer's place among the timeline's tracks.
    pub signer: usize,
    pub kind: Kind,
    /// The column of the table, from 0, which is the time's.
    column: usize,
    colour: Colour,
    value: fn(&FrameRecord) -> Option<f64>,
}

/// What curves of one panel have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The model's own, one a class.
    Probability,
    /// How sure of the label, and of the face.
    Sureness,
}

impl Kind {
    /// What is measured, the least and the most.
    pub(super) fn scale(self) -> (&'static str, i32, i32) {
        match self {
            Self::Probability | Self::Sureness => ("probability", 0, 1),
        }
    }
}

/// What the curves of a signer are called, behind the signer's name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    of_signer().into_iter().map(|(name, ..)| name)
}

type Shown = (&'static str, Kind, Colour, fn(&FrameRecord) -> Option<f64>);

/// The curves of every signer: name, kind, colour, value in a frame.
fn of_signer() -> Vec<Shown> {
    fn probability<const CLASS: usize>(record: &FrameRecord) -> Option<f64> {
        record.read_probabilities().map(|p| probability_in_file(p[CLASS]))
    }
    const PROBABILITIES: [fn(&FrameRecord) -> Option<f64>; Expression::COUNT] = [
        probability::<0>,
        probability::<1>,
        probability::<2>,
        probability::<3>,
        probability::<4>,
        probability::<5>,
        probability::<6>,
    ];
    let class = |class: Expression| -> Shown {
        (class.name(), Kind::Probability, colour_of(class), PROBABILITIES[class.index()])
    };
    let mut curves: Vec<Shown> = Expression::ALL.map(class).into();
    let black = Colour { red: 0, green: 0, blue: 0 };
    curves.push(("confidence", Kind::Sureness, black, |record| record.confidence.map(probability_in_file)));
    curves.push(("face score", Kind::Sureness, NO_FACE, |record| record.face_score.map(score_in_file)));
    curves
}

/// All curves of the timeline, in the order of the table's columns.
pub(super) fn curves(timeline: &Timeline, preset: &Preset) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (signer, track) in timeline.tracks.iter().enumerate() {
        let owner = preset.signer(track);
        for (name, kind, colour, value) in of_signer() {
            let column = curves.len() + 1;
            curves.push(Curve { name: format!("{owner} {name}"), signer, kind, column, colour, value });
        }
    }
    curves
}

/// The curves' names by panel. A single signer has a panel for each kind; several signers have one each for all that has
/// the same scale, so that nobody's lines lie among another's.
pub(super) fn panels(curves: &[Curve]) -> Vec<Vec<&str>> {
    let is_several = curves.iter().any(|curve| curve.signer > 0);
    let shares = |a: &Curve, b: &Curve| match is_several {
        true => a.signer == b.signer && a.kind.scale() == b.kind.scale(),
        false => a.kind == b.kind,
    };
    let mut panels: Vec<(&Curve, Vec<&str>)> = Vec::new();
    for curve in curves {
        match panels.iter_mut().find(|(first, _)| shares(first, curve)) {
            Some((_, names)) => names.push(&curve.name),
            None => panels.push((curve, vec![&curve.name])),
        }
    }
    panels.into_iter().map(|(_, names)| names).collect()
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
/// throughout, `NaN` where there is no value, no empty cell. Frames before the document's zero are left out.
pub(super) fn table(clock: Clock, preset: &Preset, dialect: Dialect, out: &mut dyn Write) -> io::Result<()> {
    let timeline = clock.timeline;
    let curves = curves(timeline, preset);
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
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
    for (frame, time_s) in timeline.frames.time_s.iter().enumerate() {
        let Some(time_ms) = clock.first_ms(*time_s) else { continue };
        write!(out, "{time_ms}")?;
        for curve in &curves {
            let track = &timeline.tracks[curve.signer];
            let record = frame.checked_sub(track.first_frame).and_then(|place| track.frames.get(place));
            match record.and_then(curve.value) {
                Some(value) => write!(out, "{separator}{value}")?,
                None => write!(out, "{separator}NaN")?,
            }
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
        let (unit, least, most) = curve.kind.scale();
        source.push(
            Element::new("track")
                .with("name", curve.name)
                .with("derivative", "0")
                .child(property("detect-range", "false"))
                .child(Element::new("sample-position").child(position))
                .child(Element::new("units").text(unit))
                .child(Element::new("range").with("min", least.to_string()).with("max", most.to_string()))
                .child(Element::new("color").text(rgb(curve.colour))),
        );
    }
    xml::serialise(&Element::new("timeseries").with("version", "1.0").child(source), out)
}

/// A colour as ELAN writes it.
pub(super) fn rgb(colour: Colour) -> String {
    format!("{},{},{}", colour.red, colour.green, colour.blue)
}

/// Whether the file at `table` is one of ours.
pub(super) fn is_ours(table: &Path) -> bool {
    let Ok(file) = std::fs::File::open(table) else { return false };
    let mut line = Vec::new();
    let read = BufReader::new(file.take(MARK.len() as u64 + 1)).read_until(b'\n', &mut line);
    read.is_ok() && line.trim_ascii_end() == MARK.as_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    #[test]
    fn several_signers_have_a_panel_each_and_a_single_one_a_panel_a_kind() {
        let mut timeline = sample::two_signers();
        let found = curves(&timeline, &Preset::default());
        let panels_of_two = panels(&found);
        assert_eq!(panels_of_two.len(), 2);
        for (panel, signer) in panels_of_two.iter().zip(["A ", "B "]) {
            assert!(panel.len() == 9 && panel.iter().all(|name| name.starts_with(signer)), "{panel:?}");
        }
        timeline.tracks.truncate(1);
        let found = curves(&timeline, &Preset::default());
        assert_eq!(panels(&found).iter().map(Vec::len).collect::<Vec<_>>(), [7, 2]);
        assert_eq!(panels(&found)[1], ["A confidence", "A face score"]);
    }

    #[test]
    fn the_table_counts_in_the_documents_time_and_begins_at_its_zero() {
        let mut timeline = sample::two_signers();
        timeline.media.start_s = 0.1;
        let mut bytes = Vec::new();
        let clock = Clock { timeline: &timeline, origin_ms: 150 };
        table(clock, &Preset::default(), Dialect::Linked, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let times: Vec<&str> = text.lines().skip(2).filter_map(|row| row.split(',').next()).collect();
        // Frames at 200, 240 and so on; players start at 100, the document 150 later.
        assert_eq!(times, ["30", "70", "110", "150"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_table_is_in_elans_dialect(timeline in sample::any_timeline()) {
            let mut bytes = Vec::new();
            let clock = Clock { timeline: &timeline, origin_ms: -1_000_000 };
            table(clock, &Preset::default(), Dialect::Linked, &mut bytes).unwrap();
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

//! The curves under the video: a table ELAN reads as time series, and the two files that tell it how.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::Path;

use super::preset::Preset;
use super::tiers::DocumentTime;
use super::xml::{self, Element};
use crate::palette::{Colour, NO_FACE, colour_of};
use crate::timeline::{Expression, FrameRecord, Measure, MeasureGroup, Timeline, probability_in_file, score_in_file};

/// Begins our tables, so that no other program's table is overwritten.
pub(super) const MARK: &str = "# annotate curves";

/// A curve over the video.
pub(super) struct Curve {
    /// The signer's, then what it shows: ELAN wants all names of a document to differ.
    pub name: String,
    /// The signer's index among the timeline's tracks.
    pub signer: usize,
    pub kind: CurveKind,
    /// The column of the table, from 0, which is the time's.
    column: usize,
    colour: Colour,
    shown: CurveSource,
}

/// What a curve shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CurveSource {
    /// The model's own probability of a class.
    Probability(Expression),
    /// The smoothed probability of the label.
    Confidence,
    /// How sure the program is of the face.
    FaceScore,
    /// Share of the face that something covers.
    Covered,
    /// What the face does.
    Measure(Measure),
}

/// What curves of one panel have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CurveKind {
    /// The model's own, one a class.
    Probability,
    /// How sure of the label, and of the face; what is covered.
    Sureness,
    /// Heights and distances of the brows.
    Brows,
    /// How far the eyes are open, of what they are when open.
    Openness,
    /// Opening, width and corners of the mouth.
    Mouth,
    /// Turns of the head.
    Head,
    /// How high the eyes are open, of their width.
    Aperture,
    /// Where the eyes look.
    Gaze,
}

impl CurveKind {
    /// The unit, and the least and the most that a panel shows. Shares of lengths are in per cent, so that ELAN's axis has whole
    /// numbers.
    pub(super) fn scale(self) -> (&'static str, i32, i32) {
        match self {
            Self::Probability | Self::Sureness => ("probability", 0, 1),
            Self::Brows => ("% of eye distance", -10, 20),
            Self::Mouth => ("% of eye distance", -25, 40),
            Self::Openness => ("% of open eyes", 0, 150),
            Self::Aperture => ("% of eye width", 0, 50),
            Self::Gaze => ("% of eye width", -30, 30),
            Self::Head => ("degrees", -60, 60),
        }
    }

    /// The panel that shows such curves when a document is opened; none for those that a person adds by hand. A single signer
    /// has a panel for each kind; several have fewer, so that they are still high enough to be read.
    fn panel(self, is_several: bool) -> Option<usize> {
        match (self, is_several) {
            (Self::Probability, _) | (Self::Sureness, true) => Some(0),
            (Self::Sureness, false) => Some(1),
            (Self::Brows, _) | (Self::Mouth, true) => Some(2),
            (Self::Mouth, false) => Some(3),
            (Self::Openness, false) => Some(4),
            (Self::Head, false) => Some(5),
            (Self::Openness | Self::Head, true) | (Self::Aperture | Self::Gaze, _) => None,
        }
    }

    fn of(measure: Measure) -> Self {
        match measure {
            Measure::EyeOpenness => Self::Openness,
            Measure::EyeApertureLeft | Measure::EyeApertureRight => Self::Aperture,
            Measure::GazeX | Measure::GazeY => Self::Gaze,
            other => match other.group() {
                MeasureGroup::Head => Self::Head,
                MeasureGroup::Brows => Self::Brows,
                _ => Self::Mouth,
            },
        }
    }
}

impl CurveSource {
    fn name(self) -> String {
        match self {
            Self::Probability(class) => class.name().into(),
            Self::Confidence => "confidence".into(),
            Self::FaceScore => "face score".into(),
            Self::Covered => "covered".into(),
            Self::Measure(measure) => measure.name().replace('_', " "),
        }
    }

    fn kind(self) -> CurveKind {
        match self {
            Self::Probability(_) => CurveKind::Probability,
            Self::Confidence | Self::FaceScore | Self::Covered => CurveKind::Sureness,
            Self::Measure(measure) => CurveKind::of(measure),
        }
    }

    fn colour(self) -> Colour {
        let rgb = |red, green, blue| Colour { red, green, blue };
        match self {
            Self::Probability(class) => colour_of(class),
            Self::Confidence => rgb(0, 0, 0),
            Self::FaceScore => NO_FACE,
            Self::Covered => rgb(150, 105, 50),
            // Told apart within their panel, on ELAN's white.
            Self::Measure(measure) => match measure {
                Measure::Yaw | Measure::BrowHeightLeft | Measure::EyeApertureLeft => rgb(0, 114, 178),
                Measure::Pitch | Measure::BrowHeightRight | Measure::EyeApertureRight => rgb(213, 94, 0),
                Measure::Roll | Measure::InnerBrowGap | Measure::GazeX | Measure::MouthCorners => rgb(204, 121, 167),
                Measure::InnerBrowHeight | Measure::EyeOpenness | Measure::MouthOpening => rgb(0, 0, 0),
                Measure::GazeY | Measure::MouthWidth => rgb(0, 158, 115),
            },
        }
    }

    /// The value in a frame, as it stands in the table.
    fn value(self, record: &FrameRecord) -> Option<f64> {
        match self {
            Self::Probability(class) => record.read_probabilities().map(|p| probability_in_file(p[class.index()])),
            Self::Confidence => record.confidence.map(probability_in_file),
            Self::FaceScore => record.face_score.map(score_in_file),
            Self::Covered => record.covered.map(|covered| score_in_file(covered.face)),
            Self::Measure(measure) => {
                let value = record.measures.and_then(|measures| measures.get(measure))?;
                // A measure has four decimals, so that two are left of its per cent.
                Some(if measure.group() == MeasureGroup::Head { value } else { (value * 1e4).round() / 1e2 })
            }
        }
    }
}

/// What the curves of a signer can be called, behind the signer's name.
pub(super) fn names() -> impl Iterator<Item = String> {
    of_signer(&MeasureGroup::ALL).into_iter().map(CurveSource::name)
}

/// The curves of every signer, where these groups were measured.
fn of_signer(measured: &[MeasureGroup]) -> Vec<CurveSource> {
    let mut curves: Vec<CurveSource> = Expression::ALL.map(CurveSource::Probability).into();
    curves.extend([CurveSource::Confidence, CurveSource::FaceScore]);
    if measured.contains(&MeasureGroup::Hands) {
        curves.push(CurveSource::Covered);
    }
    curves.extend(Measure::ALL.into_iter().filter(|m| measured.contains(&m.group())).map(CurveSource::Measure));
    curves
}

/// All curves of the timeline, in the order of the table's columns.
pub(super) fn curves(timeline: &Timeline, preset: &Preset) -> Vec<Curve> {
    let mut curves = Vec::new();
    let of_signer = of_signer(&timeline.measured_groups());
    for (signer, track) in timeline.tracks.iter().enumerate() {
        let owner = preset.signer(track);
        for shown in of_signer.iter().copied() {
            let column = curves.len() + 1;
            let (name, kind, colour) = (format!("{owner} {}", shown.name()), shown.kind(), shown.colour());
            curves.push(Curve { name, signer, kind, column, colour, shown });
        }
    }
    curves
}

/// The curves' names by panel, so that one signer's lines do not lie among another's.
pub(super) fn panels(curves: &[Curve]) -> Vec<Vec<&str>> {
    let is_several = curves.iter().any(|curve| curve.signer > 0);
    let mut panels: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for curve in curves {
        if let Some(panel) = curve.kind.panel(is_several) {
            panels.entry((curve.signer, panel)).or_default().push(&curve.name);
        }
    }
    panels.into_values().collect()
}

/// Which of ELAN's two readers a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A file linked to a document: commas, and names in a comment.
    Linked,
    /// A recogniser's result: semicolons, and names in the first line.
    #[cfg(any(test, feature = "video"))]
    Recognizer,
}

/// The table: a frame's first millisecond, then every curve's value there. In both dialects: no quotes, whole milliseconds
/// throughout, `NaN` where there is no value, no empty cell. Frames before the document's zero are left out.
pub(super) fn table(clock: DocumentTime, preset: &Preset, dialect: Dialect, out: &mut dyn Write) -> io::Result<()> {
    let timeline = clock.timeline;
    let curves = curves(timeline, preset);
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
    let separator = match dialect {
        Dialect::Linked => {
            writeln!(out, "{MARK}\n# time_ms,{}", names.join(","))?;
            ','
        }
        #[cfg(any(test, feature = "video"))]
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
            let record = frame.checked_sub(track.first_frame).and_then(|index| track.frames.get(index));
            match record.and_then(|record| curve.shown.value(record)) {
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
    let Ok(file) = crate::files::open_found(table) else { return false };
    let mut line = Vec::new();
    let read = BufReader::new(file.take(MARK.len() as u64 + 1)).read_until(b'\n', &mut line);
    read.is_ok() && line.trim_ascii_end() == MARK.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    #[test]
    fn a_single_signer_has_a_panel_a_kind_and_several_have_two_each() {
        let mut timeline = sample::two_signers();
        let found = curves(&timeline, &Preset::default());
        let panels_of_two = panels(&found);
        assert_eq!(panels_of_two.iter().map(Vec::len).collect::<Vec<_>>(), [10, 7, 10, 7]);
        for (panel, signer) in panels_of_two.iter().zip(["A ", "A ", "B ", "B "]) {
            assert!(panel.iter().all(|name| name.starts_with(signer)), "{panel:?}");
        }
        timeline.tracks.truncate(1);
        let found = curves(&timeline, &Preset::default());
        assert_eq!(panels(&found).iter().map(Vec::len).collect::<Vec<_>>(), [7, 3, 4, 3, 1, 3]);
        assert_eq!(panels(&found)[1], ["A confidence", "A face score", "A covered"]);
        assert_eq!(panels(&found)[5], ["A yaw", "A pitch", "A roll"]);
        // What opens by itself and what a person adds: all curves have names of their own.
        assert_eq!(found.iter().map(|curve| &curve.name).collect::<BTreeSet<_>>().len(), 10 + Measure::COUNT);
    }

    #[test]
    fn without_measures_the_curves_are_those_of_the_expressions() {
        let mut timeline = sample::two_signers();
        timeline.tracks.remove(0);
        let found = curves(&timeline, &Preset::default());
        assert_eq!(panels(&found).iter().map(Vec::len).collect::<Vec<_>>(), [7, 2]);
    }

    #[test]
    fn lengths_are_in_per_cent_and_turns_in_degrees() {
        let timeline = sample::two_signers();
        let record = &timeline.tracks[0].frames[0];
        let shown = |measure| CurveSource::Measure(measure).value(record);
        assert_eq!(shown(Measure::InnerBrowHeight), Some(7.12));
        assert_eq!((shown(Measure::Yaw), shown(Measure::BrowHeightLeft)), (Some(0.07), None));
        for measure in Measure::ALL {
            let (unit, least, most) = CurveKind::of(measure).scale();
            assert_eq!(unit == "degrees", measure.group() == MeasureGroup::Head, "{measure:?}");
            assert!(least < most);
        }
    }

    #[test]
    fn the_table_counts_in_the_documents_time_and_begins_at_its_zero() {
        let mut timeline = sample::two_signers();
        timeline.media.start_s = 0.1;
        let mut bytes = Vec::new();
        let clock = DocumentTime { timeline: &timeline, origin_ms: 150 };
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
            let clock = DocumentTime { timeline: &timeline, origin_ms: -1_000_000 };
            table(clock, &Preset::default(), Dialect::Linked, &mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            prop_assert_eq!(rows.len(), timeline.frames.pts.len());
            for row in rows {
                let cells: Vec<&str> = row.split(',').collect();
                prop_assert_eq!(cells.len(), 1 + curves(&timeline, &Preset::default()).len());
                prop_assert!(cells[0].bytes().all(|b| b.is_ascii_digit()));
                prop_assert!(cells.iter().all(|cell| *cell == "NaN" || cell.parse::<f64>().is_ok_and(f64::is_finite)));
            }
        }
    }
}

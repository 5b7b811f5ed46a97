//! What a face does in a frame, in numbers. Formulae and limits: docs/measures.md.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use super::decimals::score_in_file;

/// A measure. Left and right are the signer's. Lengths are shares of the distance between the outer corners of the eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Turn of the head to the signer's left, degrees.
    Yaw,
    /// Turn of the head upwards, degrees.
    Pitch,
    /// Lean of the head, its top to the signer's left, degrees.
    Roll,
    /// Height of the left brow above its eye, less the neutral one.
    BrowHeightLeft,
    /// Height of the right brow above its eye, less the neutral one.
    BrowHeightRight,
    /// Height of the inner ends of the brows above the inner corners of the eyes, less the neutral one.
    InnerBrowHeight,
    /// Distance between the inner ends of the brows, less the neutral one.
    InnerBrowGap,
    /// Height of the left eye's opening over the eye's width.
    EyeApertureLeft,
    /// Height of the right eye's opening over the eye's width.
    EyeApertureRight,
    /// Aperture of the eyes over that of the signer's open eyes.
    EyeOpenness,
    /// How far the irises lie towards the signer's left of the eyes' middles, over the eyes' width.
    GazeX,
    /// How far the irises lie above the eyes' middles, over the eyes' width.
    GazeY,
    /// Between the inner edges of the lips, up and down.
    MouthOpening,
    /// Between the corners of the mouth, less the neutral width.
    MouthWidth,
    /// Height of the corners of the mouth above the middle of the lips, less the neutral one.
    MouthCorners,
}

/// FaceMeasures that are asked for together: `--measures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureGroup {
    /// Turns of the head
    Head,
    /// Height of the brows and the gap between them
    Brows,
    /// Apertures and gaze
    Eyes,
    /// Opening, width and corners
    Mouth,
    /// What hands cover
    Hands,
}

impl MeasureGroup {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Head, Self::Brows, Self::Eyes, Self::Mouth, Self::Hands];

    /// The group with this name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    /// The group as it stands in settings, e.g. `brows`.
    pub fn name(self) -> &'static str {
        ["head", "brows", "eyes", "mouth", "hands"][self as usize]
    }
}

impl Measure {
    /// How many there are.
    pub const COUNT: usize = 15;

    /// All measures, in the order of files; `ALL[m.index()] == m`.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Yaw,
        Self::Pitch,
        Self::Roll,
        Self::BrowHeightLeft,
        Self::BrowHeightRight,
        Self::InnerBrowHeight,
        Self::InnerBrowGap,
        Self::EyeApertureLeft,
        Self::EyeApertureRight,
        Self::EyeOpenness,
        Self::GazeX,
        Self::GazeY,
        Self::MouthOpening,
        Self::MouthWidth,
        Self::MouthCorners,
    ];

    /// Index in the order of files.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The measure's name as it stands in files, e.g. `brow_height_left`.
    pub fn name(self) -> &'static str {
        [
            "yaw",
            "pitch",
            "roll",
            "brow_height_left",
            "brow_height_right",
            "inner_brow_height",
            "inner_brow_gap",
            "eye_aperture_left",
            "eye_aperture_right",
            "eye_openness",
            "gaze_x",
            "gaze_y",
            "mouth_opening",
            "mouth_width",
            "mouth_corners",
        ][self.index()]
    }

    /// The measure with this name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }

    /// What it is asked for with.
    pub fn group(self) -> MeasureGroup {
        match self {
            Self::Yaw | Self::Pitch | Self::Roll => MeasureGroup::Head,
            Self::BrowHeightLeft | Self::BrowHeightRight | Self::InnerBrowHeight | Self::InnerBrowGap => {
                MeasureGroup::Brows
            }
            Self::EyeApertureLeft | Self::EyeApertureRight | Self::EyeOpenness | Self::GazeX | Self::GazeY => {
                MeasureGroup::Eyes
            }
            Self::MouthOpening | Self::MouthWidth | Self::MouthCorners => MeasureGroup::Mouth,
        }
    }

    /// Whether it is less the signer's neutral one.
    pub fn is_relative(self) -> bool {
        matches!(
            self,
            Self::BrowHeightLeft
                | Self::BrowHeightRight
                | Self::InnerBrowHeight
                | Self::InnerBrowGap
                | Self::MouthWidth
                | Self::MouthCorners
        )
    }

    /// Steps of a unit in which it stands in files: hundredths of a degree, ten-thousandths of anything else, finer than the
    /// noise in both cases.
    fn steps(self) -> f64 {
        if self.group() == MeasureGroup::Head { 1e2 } else { 1e4 }
    }

    /// `value` as it stands in files.
    pub fn in_file(self, value: f64) -> f64 {
        // Adding 0 makes of -0 what it is.
        (value * self.steps()).round() / self.steps() + 0.0
    }
}

/// One value a measure; `None` where it is not to be trusted. Serialises as a map from names to numbers or null.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FaceMeasures([Option<f64>; Measure::COUNT]);

impl FaceMeasures {
    /// The value of a measure.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.0[measure.index()]
    }

    /// Sets a measure to a finite value, rounded as in files; to `None` otherwise.
    pub fn set(&mut self, measure: Measure, value: Option<f64>) {
        self.0[measure.index()] = value.filter(|value| value.is_finite()).map(|value| measure.in_file(value));
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The same with only the measures that are `wanted`.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(Measure) -> bool) -> Self {
        for measure in Measure::ALL {
            if !wanted(measure) {
                self.0[measure.index()] = None;
            }
        }
        self
    }

    /// Less the neutral ones where that is how they stand in a timeline; openness from the apertures.
    #[must_use]
    pub fn relative_to(mut self, neutral: &Self) -> Self {
        for measure in Measure::ALL.into_iter().filter(|measure| measure.is_relative()) {
            let both = self.get(measure).zip(neutral.get(measure));
            self.set(measure, both.map(|(value, neutral)| value - neutral));
        }
        let shares = [Measure::EyeApertureLeft, Measure::EyeApertureRight].map(|eye| {
            let both = self.get(eye).zip(neutral.get(eye));
            both.filter(|(_, open)| *open > 0.0).map(|(value, open)| value / open)
        });
        let seen: Vec<f64> = shares.into_iter().flatten().collect();
        let mean = seen.iter().sum::<f64>() / seen.len().max(1) as f64;
        self.set(Measure::EyeOpenness, (!seen.is_empty()).then_some(mean));
        self
    }

    /// The way back of [`relative_to`](Self::relative_to), exact as both are rounded; openness is left out.
    #[must_use]
    pub fn absolute_from(mut self, neutral: &Self) -> Self {
        for measure in Measure::ALL.into_iter().filter(|measure| measure.is_relative()) {
            let both = self.get(measure).zip(neutral.get(measure));
            self.set(measure, both.map(|(value, neutral)| value + neutral));
        }
        self.set(Measure::EyeOpenness, None);
        self
    }
}

impl Serialize for FaceMeasures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Measure::COUNT))?;
        for measure in Measure::ALL {
            map.serialize_entry(measure.name(), &self.get(measure))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for FaceMeasures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = FaceMeasures;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from measures to numbers or null")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FaceMeasures, A::Error> {
                let mut measures = FaceMeasures::default();
                while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
                    let measure = Measure::from_name(&name);
                    let measure = measure.ok_or_else(|| de::Error::custom(format!("no measure is named '{name}'")))?;
                    measures.set(measure, value);
                }
                Ok(measures)
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// What a signer's face is like when it does nothing: what the measures are relative to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neutral {
    /// Where it was taken.
    pub source: NeutralSource,
    /// Frames it was taken from.
    pub frames: usize,
    /// The values: of the measures that are relative, of the eyes' apertures when open, and of the head's turns.
    pub values: FaceMeasures,
}

/// Where a neutral face was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeutralSource {
    /// In the frames of this video in which the face moves least and is turned as it mostly is.
    Still,
    /// In a stretch that a person named, seconds of container time.
    Stretch {
        /// Its beginning.
        start_s: f64,
        /// Its end.
        end_s: f64,
    },
    /// In another video of the signer.
    Other {
        /// Its path, as it stands in its timeline.
        path: String,
    },
}

impl Regions {
    /// Eyes, nose, mouth, left, right.
    pub fn shares(self) -> [f32; 5] {
        [self.eyes, self.nose, self.mouth, self.left, self.right]
    }

    /// The largest share, of the face (which is that of its halves) or of its eyes, nose or mouth.
    pub fn most(self) -> f32 {
        [self.eyes, self.nose, self.mouth, (self.left + self.right) / 2.0].into_iter().fold(0.0, f32::max)
    }
}

/// Which share of a face something covers. A timeline of version 1 has the first number alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "CoveredInFile", into = "CoveredInFile")]
pub struct Covered {
    /// Of the whole face, 0 to 1.
    pub face: f32,
    /// What hands cover of its regions; none where that was not judged.
    pub regions: Option<Regions>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum CoveredInFile {
    Face(f64),
    Regions {
        face: f64,
        #[serde(flatten)]
        regions: Option<Regions>,
    },
}

impl From<CoveredInFile> for Covered {
    fn from(file: CoveredInFile) -> Self {
        match file {
            CoveredInFile::Face(face) => Self { face: face as f32, regions: None },
            CoveredInFile::Regions { face, regions } => Self { face: face as f32, regions },
        }
    }
}

impl From<Covered> for CoveredInFile {
    fn from(Covered { face, regions }: Covered) -> Self {
        Self::Regions { face: score_in_file(face), regions }
    }
}

/// Share of a face's regions that hands cover, 0 to 1; left and right are the signer's halves.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Regions {
    /// Eyes and brows.
    #[serde(serialize_with = "share")]
    pub eyes: f32,
    /// Nose.
    #[serde(serialize_with = "share")]
    pub nose: f32,
    /// Mouth and chin.
    #[serde(serialize_with = "share")]
    pub mouth: f32,
    /// The left half.
    #[serde(serialize_with = "share")]
    pub left: f32,
    /// The right half.
    #[serde(serialize_with = "share")]
    pub right: f32,
}

fn share<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    score_in_file(*value).serialize(serializer)
}

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum EventKind {
    BrowsRaised,
    BrowsFurrowed,
    Blink,
    EyesClosed,
    MouthOpen,
    MouthRounded,
    HeadLeft,
    HeadRight,
    HeadUp,
    HeadDown,
    TiltLeft,
    TiltRight,
    Nod,
    Shake,
    HandOnFace,
}

impl EventKind {
    /// All kinds, in the order of files.
    pub const ALL: [Self; 15] = [
        Self::BrowsRaised,
        Self::BrowsFurrowed,
        Self::Blink,
        Self::EyesClosed,
        Self::MouthOpen,
        Self::MouthRounded,
        Self::HeadLeft,
        Self::HeadRight,
        Self::HeadUp,
        Self::HeadDown,
        Self::TiltLeft,
        Self::TiltRight,
        Self::Nod,
        Self::Shake,
        Self::HandOnFace,
    ];

    /// The kind as it stands in files, e.g. `brows_raised`.
    pub fn name(self) -> &'static str {
        [
            "brows_raised",
            "brows_furrowed",
            "blink",
            "eyes_closed",
            "mouth_open",
            "mouth_rounded",
            "head_left",
            "head_right",
            "head_up",
            "head_down",
            "tilt_left",
            "tilt_right",
            "nod",
            "shake",
            "hand_on_face",
        ][self as usize]
    }

    /// The kind with this name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The part of the face or head that does it, which is a tier in ELAN.
    pub fn part(self) -> FacePart {
        match self {
            Self::BrowsRaised | Self::BrowsFurrowed => FacePart::Brows,
            Self::Blink | Self::EyesClosed => FacePart::Eyes,
            Self::MouthOpen | Self::MouthRounded => FacePart::Mouth,
            Self::HandOnFace => FacePart::Hands,
            _ => FacePart::Head,
        }
    }
}

/// A part of the face or head that does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum FacePart {
    Brows,
    Eyes,
    Mouth,
    Head,
    Hands,
}

impl FacePart {
    /// All parts, in the order of tiers.
    pub const ALL: [Self; 5] = [Self::Brows, Self::Eyes, Self::Mouth, Self::Head, Self::Hands];

    /// The beginning of its tiers' names, e.g. `brows` in `brows@A`.
    pub fn tier(self) -> &'static str {
        ["brows", "eyes", "mouth", "head", "hands-on-face"][self as usize]
    }

    /// What its events are asked for with.
    pub fn group(self) -> MeasureGroup {
        match self {
            Self::Brows => MeasureGroup::Brows,
            Self::Eyes => MeasureGroup::Eyes,
            Self::Mouth => MeasureGroup::Mouth,
            Self::Head => MeasureGroup::Head,
            Self::Hands => MeasureGroup::Hands,
        }
    }

    /// Its kinds of events.
    pub fn kinds(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(move |kind| kind.part() == self)
    }
}

/// A stretch in which a face or head does something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceEvent {
    /// What it does.
    pub kind: EventKind,
    /// First frame of the stretch.
    pub first_frame: usize,
    /// Last frame of the stretch, inclusive.
    pub last_frame: usize,
    /// Start of the first frame, seconds of container time.
    #[serde(serialize_with = "super::decimals::time")]
    pub start_s: f64,
    /// *End* of the last frame, seconds of container time.
    #[serde(serialize_with = "super::decimals::time")]
    pub end_s: f64,
    /// The strongest value of the event's measure in it, in the measure's unit.
    pub peak: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_measures() -> impl Strategy<Value = FaceMeasures> {
        prop::array::uniform15(prop::option::of(-2.0f64..2.0)).prop_map(|values| {
            let mut measures = FaceMeasures::default();
            for (measure, value) in Measure::ALL.into_iter().zip(values) {
                measures.set(measure, value);
            }
            measures
        })
    }

    proptest! {
        #[test]
        fn what_was_made_relative_is_made_absolute_again_to_the_last_digit(values in any_measures(), neutral in any_measures()) {
            // Where there is no neutral value, there is nothing to say.
            let known = |measure: Measure| !measure.is_relative() || neutral.get(measure).is_some();
            let mut expected = values.only(known);
            expected.set(Measure::EyeOpenness, None);
            prop_assert_eq!(values.relative_to(&neutral).absolute_from(&neutral), expected);
        }

        #[test]
        fn measures_read_back_as_they_were_written(values in any_measures()) {
            let text = serde_json::to_string(&values).unwrap();
            prop_assert_eq!(serde_json::from_str::<FaceMeasures>(&text).unwrap(), values);
        }
    }

    #[test]
    fn names_name_one_measure_each() {
        for (index, measure) in Measure::ALL.into_iter().enumerate() {
            assert_eq!((measure.index(), Measure::from_name(measure.name())), (index, Some(measure)));
        }
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!(serde_json::from_str::<FaceMeasures>(r#"{"nose": 1}"#).is_err());
    }

    #[test]
    fn numbers_that_are_none_are_left_out() {
        let mut measures = FaceMeasures::default();
        measures.set(Measure::Yaw, Some(f64::NAN));
        measures.set(Measure::Pitch, Some(f64::INFINITY));
        measures.set(Measure::Roll, Some(-0.001));
        assert_eq!(serde_json::to_value(measures).unwrap()["roll"].to_string(), "0.0");
        assert_eq!((measures.get(Measure::Yaw), measures.get(Measure::Pitch)), (None, None));
    }
}

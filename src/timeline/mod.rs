//! The types that all parts of the program share: what was seen, when, and how sure the program is.
//!
//! The types serialise to `annotate/timeline/2`, whose JSON Schema is `assets/timeline.schema.json`.

mod check;
mod clock;
mod corrections;
mod decimals;
mod face_counts;
mod fingerprint;
mod going_on;
mod in_segment;
mod measures;
mod read;
mod settled;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use check::Inconsistency;
pub use clock::{ContainerTime, PlayerTime};
pub use corrections::{
    CORRECTION_SCHEMA, Corrections, Decision, MachineTrack, Operation, Review, ReviewLayer, SegmentState, SignerChange,
    SignerState,
};
#[cfg(feature = "video")]
pub(crate) use decimals::json_value;
pub(crate) use decimals::{box_in_file, probability_in_file, score_in_file, time_in_file};
pub use face_counts::{EventCount, FaceCounts, NothingBut};
pub use going_on::{GoingOn, TOGETHER};
pub use in_segment::SegmentFace;
pub use measures::{
    Covered, EventKind, FaceEvent, FaceMeasures, FacePart, Measure, MeasureGroup, Neutral, NeutralSource, Regions,
};
pub use read::TimelineReadError;
pub use settled::SettledFrame;

pub use crate::picture::BoundingBox;

/// The version of the timeline's schema, written into every file.
pub const SCHEMA: &str = "annotate/timeline/2";

/// The version before, which is still read: it says nothing of what the face does.
pub const SCHEMA_BEFORE: &str = "annotate/timeline/1";

/// The JSON Schema (draft 2020-12) of [`Timeline`] as written to files.
pub const JSON_SCHEMA: &str = include_str!("../../assets/timeline.schema.json");

/// The seven classes: Ekman's six basic emotions and neutral, always in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum Expression {
    Neutral,
    Happiness,
    Sadness,
    Surprise,
    Fear,
    Disgust,
    Anger,
}

impl Expression {
    /// Number of classes.
    pub const COUNT: usize = 7;

    /// All classes in canonical order; `ALL[e.index()] == e`.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Neutral, Self::Happiness, Self::Sadness, Self::Surprise, Self::Fear, Self::Disgust, Self::Anger];

    /// Index in the canonical order, 0 (neutral) to 6 (anger).
    pub fn index(self) -> usize {
        self as usize
    }

    /// The class's name in files, e.g. `happiness`.
    pub fn name(self) -> &'static str {
        ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"][self.index()]
    }

    /// The class with this name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|expression| expression.name() == name)
    }
}

/// One probability for each class, in canonical order; they sum to 1.
pub type Probabilities = [f32; Expression::COUNT];

/// The most probable class; of equal ones, the first in canonical order.
pub fn most_probable(probabilities: &Probabilities) -> Expression {
    let mut best = 0;
    for (index, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = index;
        }
    }
    Expression::ALL[best]
}

/// What can be said about a face in a frame. Only `Ok` carries a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The face was seen and classified.
    Ok,
    /// No face was found.
    NoFace,
    /// A face is there, but too small, too blurred or too damaged to read.
    LowQuality,
    /// A face is there, but something covers it.
    Occluded,
    /// The face has left the picture.
    OutOfFrame,
    /// A face is there, but the head is turned so far that half of the face is not seen.
    TurnedAway,
}

impl Status {
    /// All of them, in the order of the list above.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::NoFace, Self::LowQuality, Self::Occluded, Self::OutOfFrame, Self::TurnedAway];

    /// The status as it stands in files, e.g. `no_face`.
    pub fn name(self) -> &'static str {
        ["ok", "no_face", "low_quality", "occluded", "out_of_frame", "turned_away"][self as usize]
    }

    /// The one that says most about a frame, among those of its faces; `NoFace` where there is no face.
    pub fn best(statuses: impl Iterator<Item = Self>) -> Self {
        let rank = |status: &Self| match status {
            Self::Ok => 0,
            Self::TurnedAway => 1,
            Self::Occluded => 2,
            Self::LowQuality => 3,
            Self::OutOfFrame => 4,
            Self::NoFace => 5,
        };
        statuses.min_by_key(rank).unwrap_or(Self::NoFace)
    }
}

/// The source of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxSource {
    /// The face detector or the refinement network saw it in this frame.
    Detected,
    /// The tracker carried it over from neighbouring frames: it found the same picture content again, or saw the face
    /// before and after.
    Tracked,
}

impl BoxSource {
    /// The source's name in files, e.g. `detected`.
    pub fn name(self) -> &'static str {
        ["detected", "tracked"][self as usize]
    }
}

/// The program that wrote a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// `annotate`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Default for Tool {
    fn default() -> Self {
        Self { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// What is known about the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// The path as the user gave it; `-` for standard input.
    pub path: String,
    /// SHA-256 of the file, lower-case hexadecimal; absent for streams.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// FFmpeg's name of the container format.
    pub container: String,
    /// FFmpeg's name of the video codec.
    pub codec: String,
    /// Index of the video stream among all streams of the container.
    #[serde(default)]
    pub stream: usize,
    /// How many video streams the container has, without attached pictures; `stream` is the one that was taken. 0 in
    /// timelines of before this field.
    #[serde(default)]
    pub video_streams: usize,
    /// Width of the displayed picture in pixels (of the first frame, if the size changes).
    pub width: u32,
    /// Height of the displayed picture in pixels (of the first frame, if the size changes).
    pub height: u32,
    /// Clockwise turn applied for display, degrees: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Seconds per pts unit, as a fraction.
    pub time_base: [i32; 2],
    /// Average frames per second as the container states it, as a fraction; `[0, 1]` where it states none.
    pub frame_rate: [i32; 2],
    /// Whether the distances between frames differ by more than rounding to the time base explains.
    pub variable_frame_rate: bool,
    /// Whether there were interlaced frames.
    pub interlaced: bool,
    /// Where the container starts, seconds of container time. Players and ELAN show this moment as 0; see
    /// [`Timeline::player_time`]. Timelines of before this field have 0.
    #[serde(serialize_with = "decimals::time", default)]
    pub start_s: f64,
    /// Number of decoded frames.
    pub frames: usize,
    /// From the start of the first frame to the end of the last, seconds.
    #[serde(serialize_with = "decimals::time")]
    pub duration_s: f64,
}

impl Media {
    /// The video's path without what it tells of the machine, for outputs that are passed on.
    pub fn public_path(&self) -> String {
        // An address is not a path; what is secret in it was taken out before.
        if self.path.contains("://") {
            return self.path.clone();
        }
        crate::files::public_path(Path::new(&self.path)).display().to_string()
    }
}

/// Which model gave the probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// The model's name.
    pub name: String,
    /// SHA-256 of the weights file, lower-case hexadecimal.
    pub sha256: String,
    /// The classes, in canonical order.
    pub classes: Vec<Expression>,
    /// Whether probabilities are averages over a face and its mirror image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub symmetric: bool,
}

/// Damage that the decoder found, with its position in the video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Damage {
    /// Index of the damaged frame (`corrupt`) or of the frame before which others are missing (`lost`); the number of
    /// frames if the loss is at the end.
    pub frame: usize,
    /// What happened.
    pub kind: DamageKind,
    /// Number of frames or packets that are affected.
    pub count: usize,
    /// The decoder's message.
    pub message: String,
}

/// Kinds of decoder damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageKind {
    /// The frame was decoded, but the decoder marked its content as damaged.
    Corrupt,
    /// One or more frames before this one could not be decoded.
    Lost,
    /// The input ended before the time that the container announces.
    Truncated,
    /// The container's time ran backwards here; `time_s` keeps rising, and `pts` is the container's.
    TimeReset,
    /// FFmpeg reported something at this frame that cost no picture.
    Reported,
    /// The container's time stamp of the frame fits none of its neighbours'; its `time_s` lies between theirs.
    TimeRepaired,
    /// The pictures have another size from here on; they are fitted into the size of the first one, in whose pixels all
    /// boxes are.
    SizeChanged,
}

/// Times of the frames, by index of the decoded frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FrameTimes {
    /// Presentation time stamps in units of the time base, exactly as the container states them.
    pub pts: Vec<i64>,
    /// The same in seconds.
    #[serde(serialize_with = "decimals::times")]
    pub time_s: Vec<f64>,
    /// The best status of any track in the frame; `no_face` if there is no track.
    pub status: Vec<Status>,
}

/// A distance between frames up to this is never a hole, seconds.
const SHORTEST_HOLE_S: f64 = 1.0;
/// A hole is so many times as long as the shorter of the distances beside it; slow cameras have no holes.
const HOLE_BEYOND: f64 = 4.0;

impl FrameTimes {
    /// Where frame `frame` ends, in seconds: at the start of the next one, or with the video at `video_end_s`. Ahead of a hole of
    /// seconds without frames, it ends as soon as its neighbours do.
    pub fn end_s(&self, frame: usize, video_end_s: f64) -> f64 {
        self.before_a_hole_s(frame).unwrap_or_else(|| self.next_s(frame, video_end_s))
    }

    /// Start of the frame after `frame`, or the video's end.
    pub(crate) fn next_s(&self, frame: usize, video_end_s: f64) -> f64 {
        self.time_s.get(frame + 1).copied().unwrap_or(video_end_s)
    }

    /// Where `frame` ends if a hole follows it.
    fn before_a_hole_s(&self, frame: usize) -> Option<f64> {
        let distance_s = |frame: usize| Some(self.time_s.get(frame + 1)? - self.time_s.get(frame)?);
        let (start_s, own_s) = (self.time_s.get(frame)?, distance_s(frame)?);
        if own_s <= SHORTEST_HOLE_S {
            return None;
        }
        let beside = [frame.checked_sub(1), Some(frame + 1)];
        let beside_s = beside.into_iter().flatten().filter_map(distance_s).reduce(f64::min)?;
        (own_s > HOLE_BEYOND * beside_s).then_some(start_s + beside_s)
    }
}

/// A face in one frame of a track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameRecord {
    /// Index of the decoded frame.
    pub frame: usize,
    /// What can be said about the face here.
    pub status: Status,
    /// Where the face is; absent where it was not seen.
    #[serde(rename = "box", skip_serializing_if = "Option::is_none", default, serialize_with = "decimals::face")]
    pub face: Option<BoundingBox>,
    /// How sure the program is that a face is here, 0 to 1; absent where that was not judged in this frame.
    #[serde(skip_serializing_if = "Option::is_none", default, serialize_with = "decimals::score")]
    pub face_score: Option<f32>,
    /// Which share of the face something covers; absent where that was not judged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub covered: Option<Covered>,
    /// Where the box comes from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<BoxSource>,
    /// What the face does; absent where that was not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub measures: Option<FaceMeasures>,
    /// The model's own probabilities, before smoothing. Where `status` is `occluded` or `turned_away` they are those of a face
    /// that is only seen in part, and no label follows from them; with any other status but `ok` there are no measures.
    #[serde(skip_serializing_if = "Option::is_none", default, serialize_with = "decimals::probabilities")]
    pub probabilities: Option<Probabilities>,
    /// The label after smoothing, only where `status` is `ok`; or a person's, anywhere, and then without `confidence`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<Expression>,
    /// Smoothed probability of `label`.
    #[serde(skip_serializing_if = "Option::is_none", default, serialize_with = "decimals::probability_if_any")]
    pub confidence: Option<f32>,
}

impl FrameRecord {
    /// The probabilities of a face that was read; those of a covered or turned face say nothing of its expression.
    pub fn read_probabilities(&self) -> Option<Probabilities> {
        self.probabilities.filter(|_| self.status == Status::Ok)
    }
}

/// A stretch of frames with one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// First frame of the stretch.
    pub first_frame: usize,
    /// Last frame of the stretch, inclusive.
    pub last_frame: usize,
    /// Start of the first frame, seconds of container time.
    #[serde(serialize_with = "decimals::time")]
    pub start_s: f64,
    /// *End* of the last frame, seconds of container time.
    #[serde(serialize_with = "decimals::time")]
    pub end_s: f64,
    /// The label.
    pub label: Expression,
    /// Mean smoothed probability of the label over the stretch's classified frames. Smoothing takes neighbours for
    /// witnesses, so it is near 1 wherever the label holds for a while: it says that the label is steady.
    /// Absent where a person decided.
    #[serde(skip_serializing_if = "Option::is_none", default, serialize_with = "decimals::probability_if_any")]
    pub confidence: Option<f32>,
    /// Mean probability that the model itself gave the label over those frames, before smoothing: it says how clearly
    /// single pictures show it. Absent in files of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default, serialize_with = "decimals::probability_if_any")]
    pub raw_probability: Option<f32>,
    /// What the face did in it; absent where it was not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub face: Option<SegmentFace>,
    /// A person's word on it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decision: Option<Decision>,
}

impl Segment {
    /// The segment with its [`raw_probability`](Self::raw_probability), from the records of its track.
    pub fn with_raw_probability(self, records: &[FrameRecord]) -> Self {
        let within = records.iter().filter(|record| (self.first_frame..=self.last_frame).contains(&record.frame));
        let given: Vec<f64> =
            within.filter_map(|record| record.probabilities).map(|p| f64::from(p[self.label.index()])).collect();
        let mean = (!given.is_empty()).then(|| (given.iter().sum::<f64>() / given.len() as f64) as f32);
        Self { raw_probability: mean, ..self }
    }
}

/// One signer's face through the video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Stable id, from 1 in order of appearance.
    pub id: u32,
    /// What a person calls the signer, instead of the letter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// First frame with a record.
    pub first_frame: usize,
    /// Last frame with a record, inclusive.
    pub last_frame: usize,
    /// One record for each frame from `first_frame` to `last_frame`, without gaps.
    pub frames: Vec<FrameRecord>,
    /// Stretches of one label, in order, not overlapping.
    pub segments: Vec<Segment>,
    /// What the face does, in order of its beginning; events of different kinds may overlap.
    #[serde(default)]
    pub events: Vec<FaceEvent>,
    /// What the measures are relative to; absent where nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub neutral: Option<Neutral>,
}

/// The name of a signer by track id: A to Z, then AA and so on, as in `expression@A`.
pub fn signer(track: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = track;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    letters.into_iter().rev().collect()
}

impl Track {
    /// What the signer is called: as a person named them, else by the [letter](signer).
    pub fn signer(&self) -> String {
        self.name.clone().unwrap_or_else(|| signer(self.id))
    }
}

/// The facts that a person wants first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Frames in which at least one face was classified.
    pub frames_ok: usize,
    /// Frames without any classified face.
    pub frames_without_face: usize,
    /// Number of tracks.
    pub tracks: usize,
    /// Decoder damage, in order of time.
    pub damage: Vec<Damage>,
    /// Why the timeline is incomplete; empty if it is complete.
    pub incomplete_because: Vec<String>,
}

/// Everything known about one video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whether the timeline contains every frame of the input, undamaged.
    pub complete: bool,
    /// The program that wrote it.
    pub tool: Tool,
    /// The settings in effect.
    pub settings: serde_json::Value,
    /// The input.
    pub media: Media,
    /// The model.
    pub model: ModelIdentity,
    /// The time of each frame.
    pub frames: FrameTimes,
    /// The faces.
    pub tracks: Vec<Track>,
    /// The summary.
    pub summary: Summary,
    /// What people changed, and what the program had said there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub corrections: Option<Corrections>,
}

impl FrameRecord {
    /// A frame in which the face was not seen.
    pub fn unseen(frame: usize) -> Self {
        Self {
            frame,
            status: Status::NoFace,
            face: None,
            face_score: None,
            covered: None,
            source: None,
            measures: None,
            probabilities: None,
            label: None,
            confidence: None,
        }
    }
}

impl Timeline {
    /// Whether a person has corrected it.
    pub fn is_corrected(&self) -> bool {
        // Corrections of the first schema left a note in the settings.
        self.corrections.is_some() || self.settings.get("corrections").is_some()
    }

    /// What a track's signer is called.
    pub fn signer_of(&self, track: u32) -> String {
        self.tracks.iter().find(|known| known.id == track).map_or_else(|| signer(track), Track::signer)
    }

    /// Names of the events of a track that a frame lies in, with a space between them.
    pub fn events_at(&self, track: u32, frame: usize) -> String {
        let events = self.tracks.iter().filter(|own| own.id == track).flat_map(|track| &track.events);
        let inside = events.filter(|event| (event.first_frame..=event.last_frame).contains(&frame));
        inside.map(|event| event.kind.name()).collect::<Vec<_>>().join(" ")
    }

    /// Where the video ends: the end of its last frame, seconds of container time; 0 where there is no frame.
    pub fn end_s(&self) -> f64 {
        self.frames.time_s.first().map_or(0.0, |start_s| start_s + self.media.duration_s)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::sample;

    #[test]
    fn signers_are_lettered_like_columns() {
        assert_eq!([1, 2, 26, 27, 52, 703].map(signer), ["A", "B", "Z", "AA", "AZ", "AAA"]);
    }

    fn schema() -> jsonschema::Validator {
        let schema: Value = serde_json::from_str(JSON_SCHEMA).expect("the schema is JSON");
        jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
        jsonschema::draft202012::new(&schema).expect("the schema compiles")
    }

    /// The sample, changed at a JSON pointer.
    fn sample_with(pointer: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut value = serde_json::to_value(sample::two_signers()).unwrap();
        change(value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is there")));
        value
    }

    fn insert(key: &'static str, value: Value) -> impl FnOnce(&mut Value) {
        move |object| {
            object.as_object_mut().unwrap().insert(key.into(), value);
        }
    }

    fn remove(key: &'static str) -> impl FnOnce(&mut Value) {
        move |object| {
            object.as_object_mut().unwrap().remove(key).unwrap_or_else(|| panic!("{key} was there"));
        }
    }

    #[test]
    fn names_are_those_in_files() {
        for expression in Expression::ALL {
            assert_eq!(json!(expression), expression.name());
        }
        for status in Status::ALL {
            assert_eq!(json!(status), status.name());
        }
        for source in [BoxSource::Detected, BoxSource::Tracked] {
            assert_eq!(json!(source), source.name());
        }
    }

    #[test]
    fn the_sample_fits_the_schema_and_itself() {
        let timeline = sample::two_signers();
        timeline.check().unwrap();
        let value = serde_json::to_value(&timeline).unwrap();
        let complaints: Vec<_> = schema().iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    #[test]
    fn the_schema_describes_every_field_and_allows_no_other() {
        let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
        fn walk(node: &Value, path: &str, objects: &mut usize) {
            if let Some(properties) = node.get("properties").filter(|_| node.get("type") == Some(&json!("object"))) {
                assert_eq!(node["additionalProperties"], json!(false), "{path}");
                *objects += 1;
                for (name, property) in properties.as_object().unwrap() {
                    assert!(property.get("description").or(property.get("$ref")).is_some(), "{path}/{name}");
                }
            }
            match node {
                Value::Object(fields) => {
                    fields.iter().for_each(|(key, node)| walk(node, &format!("{path}/{key}"), objects));
                }
                Value::Array(items) => items.iter().for_each(|node| walk(node, path, objects)),
                _ => {}
            }
        }
        let mut objects = 0;
        walk(&schema, "", &mut objects);
        assert_eq!(objects, 27, "every struct of the timeline but the box, the settings being free");
    }

    #[test]
    fn the_schema_refuses_what_is_not_a_timeline() {
        let broken = [
            ("a class where no face is", sample_with("/tracks/0/frames/3", insert("label", json!("fear")))),
            (
                "probabilities where no face is",
                sample_with("/tracks/0/frames/3", insert("probabilities", json!([1, 0, 0, 0, 0, 0, 0]))),
            ),
            (
                "a box where no face is",
                sample_with("/tracks/0/frames/3", |record| {
                    *record = json!({"frame": 3, "status": "no_face", "box": [0, 0, 1, 1], "source": "tracked"});
                }),
            ),
            ("an ok face without a class", sample_with("/tracks/0/frames/0", remove("label"))),
            ("an ok face without a box", sample_with("/tracks/0/frames/0", remove("box"))),
            (
                "six probabilities",
                sample_with("/tracks/0/frames/0/probabilities", |p| {
                    p.as_array_mut().unwrap().pop();
                }),
            ),
            (
                "eight probabilities",
                sample_with("/tracks/0/frames/0/probabilities", |p| p.as_array_mut().unwrap().push(json!(0))),
            ),
            ("a probability above 1", sample_with("/tracks/0/frames/0/probabilities/0", |p| *p = json!(1.5))),
            ("an eighth class", sample_with("/tracks/0/frames/0/label", |label| *label = json!("contempt"))),
            ("another version", sample_with("/schema", |schema| *schema = json!("annotate/timeline/3"))),
            ("no media", sample_with("", remove("media"))),
            ("no frames of a track", sample_with("/tracks/0", remove("frames"))),
            ("a field nobody knows", sample_with("/media", insert("colour", json!("red")))),
            ("a box of three sides", sample_with("/tracks/0/frames/0/box", |face| *face = json!([1, 2, 3]))),
            ("a time base of zero", sample_with("/media/time_base", |time_base| *time_base = json!([0, 1]))),
            (
                "classes in another order",
                sample_with("/model/classes", |classes| classes.as_array_mut().unwrap().reverse()),
            ),
            ("an upper-case checksum", sample_with("/model/sha256", |sum| *sum = json!("A".repeat(64)))),
        ];
        let schema = schema();
        for (what, timeline) in broken {
            assert!(!schema.is_valid(&timeline), "{what}");
        }
    }

    #[test]
    fn a_contradiction_is_named_with_its_position() {
        type Change = Box<dyn Fn(&mut Timeline)>;
        let broken: Vec<(&str, Change)> = vec![
            ("frames.time_s is 5, but 6 follows from the rest", Box::new(|t| t.frames.time_s.truncate(5))),
            ("frame 2: its time does not rise", Box::new(|t| t.frames.time_s[2] = t.frames.time_s[1])),
            ("frame 4: its time is not pts times time base", Box::new(|t| t.frames.pts[4] += 1)),
            ("frame 0: its time is not a number", Box::new(|t| t.frames.time_s[0] = f64::NAN)),
            ("frame 6: the video ends before its last frame starts", Box::new(|t| t.media.duration_s = 0.1)),
            ("frame 0: it is not ok, but in a track", Box::new(|t| t.frames.status[0] = Status::Occluded)),
            ("frame 3: it is ok, but in no track", Box::new(|t| t.frames.status[3] = Status::Ok)),
            ("track 1: the id is used twice", Box::new(|t| t.tracks[1].id = 1)),
            ("track 0: ids start at 1", Box::new(|t| t.tracks[0].id = 0)),
            ("track 1: it has no frames", Box::new(|t| t.tracks[0].frames.clear())),
            (
                "track 1: its first and last frame are not those of its records",
                Box::new(|t| t.tracks[0].last_frame = 9),
            ),
            (
                "track 1, frame 2: the frames of a track must follow one another without holes",
                Box::new(|t| {
                    t.tracks[0].frames.remove(1);
                }),
            ),
            (
                "track 1, frame 0: its probabilities do not sum to 1",
                Box::new(|t| t.tracks[0].frames[0].probabilities = Some([0.2; 7])),
            ),
            (
                "track 1, frame 3: only a face that was read can have a class",
                Box::new(|t| t.tracks[0].frames[3].label = Some(Expression::Fear)),
            ),
            (
                "track 1, frame 0: a classified face needs probabilities, a label and a confidence",
                Box::new(|t| t.tracks[0].frames[0].label = None),
            ),
            (
                "track 1, segment 0: its times are not those of its frames",
                Box::new(|t| t.tracks[0].segments[0].end_s += 0.04),
            ),
            (
                "track 1, segment 0: it starts or ends on a frame without a label",
                Box::new(|t| t.tracks[0].segments[0].last_frame = 3),
            ),
            (
                "track 1, segment 1: it starts before the track, or before the segment ahead of it has ended",
                Box::new(|t| t.tracks[0].segments[1].first_frame = 1),
            ),
            (
                "track 1, segment 0: labelled frames ahead of it are in no segment",
                Box::new(|t| {
                    t.tracks[0].segments.remove(0);
                }),
            ),
            (
                "track 1: labelled frames at its end are in no segment",
                Box::new(|t| {
                    t.tracks[0].segments.pop();
                }),
            ),
            ("summary.tracks is 3, but 2 follows from the rest", Box::new(|t| t.summary.tracks = 3)),
            (
                "complete is true, but 1 reasons are given why it is not",
                Box::new(|t| t.summary.incomplete_because.push("cut".into())),
            ),
            ("the model's classes are not the seven in canonical order", Box::new(|t| t.model.classes.reverse())),
        ];
        for (expected, change) in broken {
            let mut timeline = sample::two_signers();
            change(&mut timeline);
            assert_eq!(timeline.check().map_err(|error| error.to_string()), Err(expected.to_string()));
        }
    }

    #[test]
    fn after_a_time_reset_the_time_may_leave_the_pts() {
        let mut timeline = sample::two_signers();
        timeline.frames.pts[4] = 0;
        assert!(timeline.check().is_err());
        let message = "time ran backwards".to_string();
        timeline.summary.damage.push(Damage { frame: 4, kind: DamageKind::TimeReset, count: 1, message });
        timeline.check().unwrap();
    }

    #[test]
    fn only_a_repaired_frame_may_leave_its_pts() {
        let mut timeline = sample::two_signers();
        timeline.frames.pts[4] = timeline.frames.pts[3];
        assert!(timeline.check().is_err());
        let message = "fits none of its neighbours'".to_string();
        timeline.summary.damage.push(Damage { frame: 4, kind: DamageKind::TimeRepaired, count: 1, message });
        timeline.check().unwrap();
        timeline.frames.pts[5] = timeline.frames.pts[3];
        assert!(timeline.check().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_timeline_fits_the_schema_and_comes_back_from_its_file(timeline in sample::any_timeline()) {
            timeline.check().unwrap();
            let value = serde_json::to_value(&timeline).unwrap();
            let complaint = schema().iter_errors(&value).next().map(|error| error.to_string());
            prop_assert_eq!(complaint, None);
            let read: Timeline = serde_json::from_str(&serde_json::to_string(&timeline).unwrap()).unwrap();
            read.check().unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&timeline).unwrap());
        }
    }
}

//! The words everybody uses: what was seen, when, and how sure we are.
//!
//! The types serialise to `annotate/timeline/1`, whose JSON Schema is `assets/timeline.schema.json`.

use serde::{Deserialize, Serialize};

/// The version of the timeline's schema, written into every file.
pub const SCHEMA: &str = "annotate/timeline/1";

/// The seven classes: Ekman's six basic emotions and neutral, always in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
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
    /// How many classes there are.
    pub const COUNT: usize = 7;

    /// All classes in canonical order; `ALL[e.index()] == e`.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Neutral, Self::Happiness, Self::Sadness, Self::Surprise, Self::Fear, Self::Disgust, Self::Anger];

    /// Place in the canonical order, 0 (neutral) to 6 (anger).
    pub fn index(self) -> usize {
        self as usize
    }

    /// The class's name as it stands in files, e.g. `happiness`.
    pub fn name(self) -> &'static str {
        ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"][self.index()]
    }

    /// The class with this name, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|expression| expression.name() == name)
    }
}

/// One probability a class, in canonical order; sums to 1.
pub type Probabilities = [f32; Expression::COUNT];

/// The most probable class; the earlier one in canonical order where two are equal.
pub fn most_probable(probabilities: &Probabilities) -> Expression {
    let mut best = 0;
    for (index, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = index;
        }
    }
    Expression::ALL[best]
}

/// What can honestly be said about a face in a frame. Only `Ok` carries a class.
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
}

/// Where a box comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxSource {
    /// The face detector saw it in this frame.
    Detected,
    /// Carried over from neighbouring frames by the tracker, which found the same picture content again.
    Tracked,
}

/// A box in pixels of the displayed picture (after rotation and sample aspect ratio), origin top left.
/// It may pass the picture's edge. Serialises as `[x, y, w, h]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 4]", into = "[f32; 4]")]
pub struct BoundingBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl From<[f32; 4]> for BoundingBox {
    fn from([x, y, w, h]: [f32; 4]) -> Self {
        Self { x, y, w, h }
    }
}

impl From<BoundingBox> for [f32; 4] {
    fn from(b: BoundingBox) -> Self {
        [b.x, b.y, b.w, b.h]
    }
}

impl BoundingBox {
    /// The centre, `(x, y)`.
    pub fn centre(&self) -> (f32, f32) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    /// Intersection over union with `other`, 0 to 1.
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        let intersection = w * h;
        intersection / (self.w * self.h + other.w * other.h - intersection)
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
    /// The path as the person gave it; `-` for standard input.
    pub path: String,
    /// SHA-256 of the file, lower-case hexadecimal; absent for streams.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// FFmpeg's name of the container format.
    pub container: String,
    /// FFmpeg's name of the video codec.
    pub codec: String,
    /// Width of the displayed picture in pixels (of the first frame, where the size changes).
    pub width: u32,
    /// Height of the displayed picture in pixels (of the first frame, where the size changes).
    pub height: u32,
    /// Clockwise turn applied for display, degrees: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Seconds per pts unit, as a fraction.
    pub time_base: [i32; 2],
    /// Average frames per second as the container states it, as a fraction; `[0, 1]` where it states none.
    pub frame_rate: [i32; 2],
    /// Whether the distances between frames differ by more than rounding to the time base explains.
    pub variable_frame_rate: bool,
    /// Whether interlaced frames were met.
    pub interlaced: bool,
    /// Number of decoded frames.
    pub frames: usize,
    /// From the start of the first frame to the end of the last, seconds.
    pub duration_s: f64,
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
}

/// Damage the decoder met, placed where it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Damage {
    /// Index of the frame that is damaged (`corrupt`) or before which frames are missing (`lost`); equals the number
    /// of frames when the loss is at the end.
    pub frame: usize,
    /// What happened.
    pub kind: DamageKind,
    /// How many frames or packets are concerned.
    pub count: usize,
    /// The decoder's words.
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
    /// The input ended before the time the container announces.
    Truncated,
    /// The container's time ran backwards here; `time_s` goes on rising, `pts` is what the container says.
    TimeReset,
}

/// Per-frame times, index = decoded frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FrameTimes {
    /// Presentation time stamps in units of the time base, exactly as the container states them.
    pub pts: Vec<i64>,
    /// The same in seconds.
    pub time_s: Vec<f64>,
    /// The best status any track has in the frame; `no_face` where there is none.
    pub status: Vec<Status>,
}

impl FrameTimes {
    /// Where frame `frame` ends, in seconds: at the start of the next one, or with the video at `video_end_s`.
    pub fn end_s(&self, frame: usize, video_end_s: f64) -> f64 {
        self.time_s.get(frame + 1).copied().unwrap_or(video_end_s)
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
    #[serde(rename = "box", skip_serializing_if = "Option::is_none", default)]
    pub face: Option<BoundingBox>,
    /// The detector's score (SeetaFace: above about 2 is a face; unbounded), absent where it did not fire.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub face_score: Option<f32>,
    /// Where the box comes from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<BoxSource>,
    /// The model's own probabilities, before smoothing; only where `status` is `ok`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probabilities: Option<Probabilities>,
    /// The label after smoothing; only where `status` is `ok`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<Expression>,
    /// Smoothed probability of `label`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confidence: Option<f32>,
}

/// A stretch of frames with one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// First frame of the stretch.
    pub first_frame: usize,
    /// Last frame of the stretch, inclusive.
    pub last_frame: usize,
    /// Start of the first frame, seconds of container time.
    pub start_s: f64,
    /// *End* of the last frame, seconds of container time.
    pub end_s: f64,
    /// The label.
    pub label: Expression,
    /// Mean smoothed probability of the label over the stretch's classified frames.
    pub confidence: f32,
}

/// One signer's face through the video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Stable id, from 1 in order of appearance.
    pub id: u32,
    /// First frame with a record.
    pub first_frame: usize,
    /// Last frame with a record, inclusive.
    pub last_frame: usize,
    /// One record a frame from `first_frame` to `last_frame`, without holes.
    pub frames: Vec<FrameRecord>,
    /// Stretches of one label, in order, not overlapping.
    pub segments: Vec<Segment>,
}

/// What a person wants to know first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Frames in which at least one face was classified.
    pub frames_ok: usize,
    /// Frames without any classified face.
    pub frames_without_face: usize,
    /// Number of tracks.
    pub tracks: usize,
    /// Decoder damage, in order of place.
    pub damage: Vec<Damage>,
    /// Why the timeline is not complete; empty where it is.
    pub incomplete_because: Vec<String>,
}

/// Everything known about one video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whether every frame of the input stands in the timeline, undamaged.
    pub complete: bool,
    /// Who wrote it.
    pub tool: Tool,
    /// The effective settings.
    pub settings: serde_json::Value,
    /// The input.
    pub media: Media,
    /// The model.
    pub model: ModelIdentity,
    /// When each frame is shown.
    pub frames: FrameTimes,
    /// The faces.
    pub tracks: Vec<Track>,
    /// In short.
    pub summary: Summary,
}

//! The review page: one file with everything inside but the video.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::apply::{lanes_of, machine_of};
use super::lanes::{Lanes, Touched};
use crate::page::escaped;
use crate::palette::{NO_FACE, colour_of, colour_of_event};
use crate::timeline::{EventKind, Expression, FacePart, FrameRecord, Measure, ReviewLayer, Status, Timeline, Track};

const HTML: &str = include_str!("../../assets/review/page.html");
const STYLE: &str = include_str!("../../assets/review/page.css");
const STRINGS: &str = include_str!("../../assets/review/strings.json");

/// The page's program: one script, in this order, as a page from a file has no modules.
const SCRIPT: &str = concat!(
    include_str!("../../assets/review/script/data.js"),
    include_str!("../../assets/review/script/words.js"),
    include_str!("../../assets/review/script/lanes.js"),
    include_str!("../../assets/review/script/store.js"),
    include_str!("../../assets/review/script/play.js"),
    include_str!("../../assets/review/script/face.js"),
    include_str!("../../assets/review/script/axis.js"),
    include_str!("../../assets/review/script/pointer.js"),
    include_str!("../../assets/review/script/panel.js"),
    include_str!("../../assets/review/script/list.js"),
    include_str!("../../assets/review/script/blind.js"),
    include_str!("../../assets/review/script/keys.js"),
    include_str!("../../assets/review/script/start.js"),
);

/// All statuses; a record's is stored as its index here.
const STATUSES: [Status; 6] = Status::ALL;

/// A person's tier, shown below ours.
#[derive(Debug, Clone)]
pub struct HumanTier {
    /// The tier's name.
    pub name: String,
    /// Start and end in milliseconds, the text, and the class it stands for.
    pub annotations: Vec<(u64, u64, String, Option<Expression>)>,
}

/// A page to be written.
pub struct Page<'a> {
    /// What is reviewed.
    pub timeline: &'a Timeline,
    /// The file it stands in, by its name.
    pub labels: String,
    /// The video as the page should ask for it: a relative URL.
    pub video_url: String,
    /// Where the video's player begins to count, seconds of container time.
    pub start_s: f64,
    /// Share of the video, above 0 and up to 1, that is to be labelled without seeing the labels; the page starts so.
    pub blind: Option<f64>,
    /// Tiers of people.
    pub human: Vec<HumanTier>,
    /// `en` or `de`; the browser's if not given.
    pub language: Option<String>,
}

impl Page<'_> {
    /// Writes the page.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let data = self.data().to_string();
        // Inside a script element only `<` could end it or begin a comment.
        let data = data.replace('<', "\\u003c");
        let title = escaped(&name_of(&self.timeline.media.path));
        fill(HTML, out, |slot| match slot {
            "data" => Some(data.as_str()),
            "title" => Some(title.as_str()),
            "style" => Some(STYLE),
            "script" => Some(SCRIPT),
            _ => None,
        })
    }

    fn data(&self) -> Value {
        let Self { timeline, labels, video_url, start_s, blind, human, language } = self;
        let strings: Value = serde_json::from_str(STRINGS).unwrap_or_default();
        // The page works on the program's tracks: what people changed in them are operations.
        let machine = machine_of(timeline);
        let lanes = match timeline.corrections.as_ref().map(|corrections| corrections.layer) {
            Some(ReviewLayer::Blind) => Lanes::of_machine(&machine),
            _ => lanes_of(timeline),
        };
        let mut tracks = machine.tracks.clone();
        let is_added = |id: &&u32| machine.tracks.iter().all(|track| track.id != **id);
        tracks.extend(lanes.signers().keys().filter(is_added).map(|id| unseen(*id)));
        let parts = FacePart::ALL.map(|part| (part.group().name(), part.kinds().collect::<Vec<_>>()));
        let event_colours: BTreeMap<EventKind, String> =
            EventKind::ALL.into_iter().map(|kind| (kind, colour_of_event(kind).hex())).collect();
        let applied = timeline.corrections.iter().flat_map(|corrections| &corrections.operations);
        json!({
            "tool": format!("{} {}", timeline.tool.name, timeline.tool.version),
            "complete": timeline.complete,
            "language": language,
            "strings": strings,
            "fingerprint": timeline.fingerprint(),
            "labels": labels,
            "applied": applied.map(|operation| &operation.id).collect::<Vec<_>>(),
            "blind": blind,
            "media": {
                "path": timeline.media.path,
                "name": name_of(&timeline.media.path),
                "sha256": timeline.media.sha256,
                "url": video_url,
                "width": timeline.media.width,
                "height": timeline.media.height,
                "start_s": start_s,
            },
            "model": { "name": timeline.model.name, "sha256": timeline.model.sha256 },
            "classes": Expression::ALL,
            "colours": Expression::ALL.map(|class| colour_of(class).hex()),
            "no_face": NO_FACE.hex(),
            "statuses": STATUSES,
            "parts": parts,
            "event_colours": event_colours,
            "frames": frames(timeline),
            "counts": timeline.face_counts(),
            "tracks": tracks.iter().map(|track| TrackData::of(track, &lanes)).collect::<Vec<_>>(),
            "human": human.iter().map(HumanTier::data).collect::<Vec<_>>(),
        })
    }
}

/// A signer whom a person has added: the program saw nothing of them.
fn unseen(id: u32) -> Track {
    let (frames, segments, events) = (Vec::new(), Vec::new(), Vec::new());
    Track { id, name: None, first_frame: 0, last_frame: 0, frames, segments, events, neutral: None }
}

impl HumanTier {
    fn data(&self) -> Value {
        json!({ "name": self.name, "annotations": self.annotations })
    }
}

fn name_of(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Writes a page: each `{slot}` becomes its content, and `{script_hash}` and `{style_hash}` what the content security policy wants
/// of those two. Nothing that was put in is looked at again.
pub(super) fn fill<'a>(html: &str, out: &mut dyn Write, content: impl Fn(&str) -> Option<&'a str>) -> io::Result<()> {
    let digest = |slot: &str| BASE64.encode(Sha256::digest(content(slot).unwrap_or_default()));
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((slot, after)) = after.split_once('}') else { break };
        out.write_all(before.as_bytes())?;
        match slot {
            "style_hash" => out.write_all(digest("style").as_bytes())?,
            "script_hash" => out.write_all(digest("script").as_bytes())?,
            slot => out.write_all(content(slot).unwrap_or(slot).as_bytes())?,
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// When frames start: steps between time stamps with how often each repeats, as most videos have one step.
fn frames(timeline: &Timeline) -> Value {
    let times = &timeline.frames;
    let [numerator, denominator] = timeline.media.time_base.map(f64::from);
    let follows_pts =
        times.pts.iter().zip(&times.time_s).all(|(pts, s)| (*pts as f64 * numerator / denominator - s).abs() < 1e-6);
    let mut steps: Vec<(i64, usize)> = Vec::new();
    for pair in times.pts.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        match steps.last_mut() {
            Some((last, count)) if *last == step => *count += 1,
            _ => steps.push((step, 1)),
        }
    }
    json!({
        "count": times.pts.len(),
        "first_pts": times.pts.first(),
        "steps": steps,
        "time_base": timeline.media.time_base,
        "end_s": timeline.end_s(),
        // Where the container's clock was reset, its stamps do not say when.
        "listed": (!follows_pts).then_some(&times.time_s),
    })
}

#[derive(Serialize)]
struct TrackData {
    id: u32,
    /// The letter.
    signer: String,
    name: Option<String>,
    into: Option<u32>,
    first_frame: usize,
    frames: usize,
    /// Seven bytes a frame, 255 for certainty.
    probabilities: String,
    /// Four 16-bit numbers a frame, pixels; a width of 0 where there is no box.
    boxes: String,
    /// A byte a frame, an index into [`STATUSES`].
    statuses: String,
    measures: Vec<MeasureData>,
    events: Vec<Value>,
    segments: Vec<Value>,
}

/// A measure of the face: a byte a frame, 0 for `low` to 254 for `high`, 255 where it is not to be trusted.
#[derive(Serialize)]
struct MeasureData {
    name: &'static str,
    unit: &'static str,
    low: f64,
    high: f64,
    values: String,
}

impl MeasureData {
    /// `None` where the measure was never taken.
    fn of(measure: Measure, track: &Track) -> Option<Self> {
        let (unit, low, high) = scale(measure);
        // Shares are shown in per cent.
        let factor = if unit == "%" { 100.0 } else { 1.0 };
        let value = |record: &FrameRecord| Some(factor * record.measures?.get(measure)?);
        let step = |value: f64| (254.0 * ((value - low) / (high - low)).clamp(0.0, 1.0)).round() as u8;
        let values: Vec<Option<f64>> = track.frames.iter().map(value).collect();
        let values = values.iter().any(Option::is_some).then(|| {
            let stored = values.iter().map(|value| value.map_or(255, step)).collect();
            packed(differences(stored))
        })?;
        Some(Self { name: measure.name(), unit, low, high, values })
    }
}

/// Unit, least and most of a measure's curve: wide enough for nearly all faces, and finer than the noise in 254 steps.
fn scale(measure: Measure) -> (&'static str, f64, f64) {
    match measure {
        Measure::Yaw | Measure::Pitch | Measure::Roll => ("\u{b0}", -60.0, 60.0),
        Measure::BrowHeightLeft | Measure::BrowHeightRight | Measure::InnerBrowHeight | Measure::InnerBrowGap => {
            ("%", -12.0, 20.0)
        }
        Measure::EyeApertureLeft | Measure::EyeApertureRight => ("%", 0.0, 50.0),
        Measure::EyeOpenness => ("%", 0.0, 150.0),
        Measure::GazeX | Measure::GazeY => ("%", -30.0, 30.0),
        Measure::MouthOpening | Measure::MouthWidth | Measure::MouthCorners => ("%", -30.0, 50.0),
    }
}

impl TrackData {
    fn of(track: &Track, lanes: &Lanes) -> Self {
        let probabilities = (0..Expression::COUNT).map(|class| {
            let values = track.frames.iter().map(move |record| record.probabilities.map_or(0.0, |p| p[class]));
            values.map(|p| (p * 255.0).round() as u8).collect::<Vec<u8>>()
        });
        let edges = |edge: usize| {
            let values = track.frames.iter().map(move |record| {
                let sides = record.face.map_or([0.0; 4], |face| [face.x, face.y, face.w.max(1.0), face.h]);
                sides[edge].round() as i16
            });
            values.collect::<Vec<i16>>()
        };
        let status = |status: Status| STATUSES.iter().position(|known| *known == status).unwrap_or(0) as u8;
        let statuses: Vec<u8> = track.frames.iter().map(|record| status(record.status)).collect();
        let signer = lanes.signers().get(&track.id).cloned().unwrap_or_default();
        Self {
            id: track.id,
            signer: crate::timeline::signer(track.id),
            name: signer.name,
            into: signer.into,
            first_frame: track.first_frame,
            frames: track.frames.len(),
            probabilities: packed(probabilities.flat_map(differences)),
            boxes: packed((0..4).map(edges).flat_map(|values| {
                let mut last = 0i16;
                values.into_iter().flat_map(move |value| {
                    let step = value.wrapping_sub(last);
                    last = value;
                    step.to_le_bytes()
                })
            })),
            statuses: packed(differences(statuses)),
            measures: Measure::ALL.into_iter().filter_map(|measure| MeasureData::of(measure, track)).collect(),
            events: lanes.events_of_track(track.id).map(|touched| segment(touched, track)).collect(),
            segments: lanes.of_track(track.id).map(|touched| segment(touched, track)).collect(),
        }
    }
}

fn segment(touched: &Touched, track: &Track) -> Value {
    let mut state = serde_json::to_value(&touched.state).unwrap_or_default();
    let is_program = touched.by.is_none() && touched.state.event.is_none();
    let program = track.segments.iter().find(|s| is_program && s.first_frame == touched.state.first_frame);
    if let Some(fields) = state.as_object_mut() {
        // It stands in the track.
        fields.remove("track");
        if let Some(confidence) = program.and_then(|s| s.confidence) {
            fields.insert("confidence".into(), json!((f64::from(confidence) * 1e4).round() / 1e4));
        }
    }
    state
}

/// Each value less the one before it, which packs better.
fn differences(values: Vec<u8>) -> impl Iterator<Item = u8> {
    let mut last = 0u8;
    values.into_iter().map(move |value| {
        let step = value.wrapping_sub(last);
        last = value;
        step
    })
}

/// Bytes as a zlib stream in base64.
fn packed(bytes: impl Iterator<Item = u8>) -> String {
    let bytes: Vec<u8> = bytes.collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing into memory cannot fail.
    let packed = encoder.write_all(&bytes).and_then(|()| encoder.finish()).unwrap_or_default();
    BASE64.encode(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn page(timeline: &Timeline) -> String {
        let mut bytes = Vec::new();
        let page = Page {
            timeline,
            labels: "labels.json".into(),
            video_url: "./v.mp4".into(),
            start_s: 0.0,
            blind: None,
            human: Vec::new(),
            language: None,
        };
        page.write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn both_languages_have_all_words() {
        let strings: Value = serde_json::from_str(STRINGS).unwrap();
        let keys = |language: &str| strings[language].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys("en"), keys("de"));
        assert!(Expression::ALL.iter().all(|class| strings["en"].get(class.name()).is_some()));
        assert!(EventKind::ALL.iter().all(|kind| strings["en"].get(kind.name()).is_some()));
        assert!(Measure::ALL.iter().all(|measure| strings["en"].get(measure.name()).is_some()));
    }

    #[test]
    fn every_word_that_the_page_asks_for_is_there_and_none_is_for_nothing() {
        let strings: Value = serde_json::from_str(STRINGS).unwrap();
        let known = strings["en"].as_object().unwrap();
        let between = |text: &str, before: &str, after: char| -> Vec<String> {
            text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0.to_owned())).collect()
        };
        let mut asked = between(SCRIPT, "t(\"", '"');
        asked.retain(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        let attributes = ["data-text=\"", "data-name=\"", "data-action=\""];
        for attribute in attributes {
            asked.extend(between(HTML, attribute, '"'));
        }
        // Names of elements and events look like words: `document.createElement("button")` ends in t(" as well.
        let is_call = |key: &String| {
            attributes.iter().any(|attribute| HTML.contains(&format!("{attribute}{key}\"")))
                || SCRIPT.contains(&format!(" t(\"{key}\""))
                || SCRIPT.contains(&format!("(t(\"{key}\""))
                || SCRIPT.contains(&format!("{{t(\"{key}\""))
        };
        let missing: Vec<&String> = asked.iter().filter(|key| is_call(key) && !known.contains_key(*key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let families = ["did_", "group_", "key_", "list_", "order_"];
        let is_data = |key: &str| {
            EventKind::ALL.iter().any(|kind| kind.name() == key)
                || Expression::ALL.iter().any(|class| class.name() == key)
                || Measure::ALL.iter().any(|measure| measure.name() == key)
                || FacePart::ALL.iter().any(|part| part.group().name() == key)
                || STATUSES.iter().any(|status| json!(status) == key)
        };
        let is_used = |key: &str| {
            let quoted = format!("\"{key}\"");
            SCRIPT.contains(&quoted)
                || HTML.contains(&quoted)
                || families.iter().any(|family| key.starts_with(family))
                || is_data(key)
                || ["accepted", "changed", "rejected", "drawn", "moved"].contains(&key)
        };
        let idle: Vec<&String> = known.keys().filter(|key| !is_used(key)).collect();
        assert!(idle.is_empty(), "{idle:?}");
    }

    #[test]
    fn measures_come_in_steps_finer_than_their_noise_and_blank_where_they_are_not_to_be_trusted() {
        let timeline = sample::two_signers();
        let data = TrackData::of(&timeline.tracks[0], &Lanes::of_machine(&timeline));
        let names: Vec<&str> = data.measures.iter().map(|measure| measure.name).collect();
        assert_eq!(names.len(), Measure::COUNT - 1, "one was never taken: {names:?}");
        let brows = data.measures.iter().find(|measure| measure.name == "inner_brow_height").unwrap();
        let packed = BASE64.decode(&brows.values).unwrap();
        let mut steps = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&packed[..]), &mut steps).unwrap();
        let stored: Vec<u8> = steps
            .iter()
            .scan(0u8, |last, step| {
                *last = last.wrapping_add(*step);
                Some(*last)
            })
            .collect();
        let shown = brows.low + (brows.high - brows.low) * f64::from(stored[0]) / 254.0;
        assert!((shown - 7.12).abs() < 0.07, "{shown} %");
        assert_eq!(stored[2..], [255; 4]);
        let event = json!({"segment": "1.brows_raised.0", "first_frame": 0, "last_frame": 1, "label": null, "event": "brows_raised"});
        assert_eq!(data.events, [event]);
        // The noise of the steadiest measures in docs/measures.md, in the curves' units.
        for (measure, noise) in [(Measure::InnerBrowHeight, 0.3), (Measure::Yaw, 0.4), (Measure::EyeApertureLeft, 0.8)]
        {
            let (_, low, high) = scale(measure);
            assert!((high - low) / 254.0 < 1.5 * noise, "{measure:?}");
        }
    }

    #[test]
    fn no_name_breaks_out_of_its_place() {
        let mut timeline = sample::two_signers();
        timeline.media.path = "</script><img src=x onerror=alert(1)>{data}.mp4".into();
        let page = page(&timeline);
        assert!(!page.contains("<img"));
        assert_eq!(page.matches("</script>").count(), 2, "the data's and the program's");
        assert!(!page.contains("http:") && !page.contains("https:"), "nothing is fetched");
    }

    #[test]
    fn ten_minutes_at_fifty_frames_with_two_signers_stay_below_two_megabytes() {
        let mut timeline = sample::two_signers();
        let frames = 10 * 60 * 50;
        timeline.frames.pts = (0..frames as i64).map(|frame| frame * 256).collect();
        timeline.frames.time_s = (0..frames).map(|frame| frame as f64 / 50.0).collect();
        timeline.media.time_base = [1, 12_800];
        for track in &mut timeline.tracks {
            let records = track.frames.clone();
            track.frames = (0..frames).map(|frame| records[frame % records.len()].clone()).collect();
            let segments = track.segments.clone();
            track.segments = (0..2000).map(|index| segments[index % segments.len()].clone()).collect();
        }
        let size = page(&timeline).len();
        assert!(size < 2_000_000, "{size} bytes");
    }
}

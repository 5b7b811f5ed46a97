//! The review page: one file with everything inside but the video.

use std::io::{self, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::palette::{NO_FACE, colour_of};
use crate::timeline::{Expression, Status, Timeline, Track};

const HTML: &str = include_str!("../../assets/review/page.html");
const STYLE: &str = include_str!("../../assets/review/page.css");
const SCRIPT: &str = include_str!("../../assets/review/page.js");
const STRINGS: &str = include_str!("../../assets/review/strings.json");

/// All statuses; a record's is stored as its place here.
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
    /// The video as the page should ask for it: a relative URL.
    pub video_url: String,
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
        let title = quick_xml::escape::escape(name_of(&self.timeline.media.path)).into_owned();
        let mut rest = HTML;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((slot, after)) = after.split_once('}') else { break };
            out.write_all(before.as_bytes())?;
            let content = match slot {
                "data" => data.as_str(),
                "title" => title.as_str(),
                "style" => STYLE,
                "script" => SCRIPT,
                "style_hash" => &digest(STYLE),
                "script_hash" => &digest(SCRIPT),
                other => other,
            };
            out.write_all(content.as_bytes())?;
            rest = after;
        }
        out.write_all(rest.as_bytes())
    }

    fn data(&self) -> Value {
        let Self { timeline, video_url, human, language } = self;
        let strings: Value = serde_json::from_str(STRINGS).unwrap_or_default();
        json!({
            "tool": format!("{} {}", timeline.tool.name, timeline.tool.version),
            "complete": timeline.complete,
            "language": language,
            "strings": strings,
            "media": {
                "path": timeline.media.path,
                "name": name_of(&timeline.media.path),
                "sha256": timeline.media.sha256,
                "url": video_url,
                "width": timeline.media.width,
                "height": timeline.media.height,
            },
            "model": { "name": timeline.model.name, "sha256": timeline.model.sha256 },
            "classes": Expression::ALL,
            "colours": Expression::ALL.map(|class| colour_of(class).hex()),
            "no_face": NO_FACE.hex(),
            "statuses": STATUSES,
            "frames": frames(timeline),
            "tracks": timeline.tracks.iter().map(track).collect::<Vec<_>>(),
            "human": human.iter().map(HumanTier::data).collect::<Vec<_>>(),
        })
    }
}

impl HumanTier {
    fn data(&self) -> Value {
        json!({ "name": self.name, "annotations": self.annotations })
    }
}

fn name_of(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A hash as a content security policy wants it.
fn digest(text: &str) -> String {
    BASE64.encode(Sha256::digest(text))
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
    signer: String,
    first_frame: usize,
    /// Seven bytes a frame, 255 for certainty.
    probabilities: String,
    /// Four 16-bit numbers a frame, pixels; a width of 0 where there is no box.
    boxes: String,
    /// A byte a frame, a place in [`STATUSES`].
    statuses: String,
    /// First frame, last frame, label, confidence.
    segments: Vec<(usize, usize, Expression, f32)>,
}

fn track(track: &Track) -> TrackData {
    let mut probabilities = Vec::with_capacity(track.frames.len() * 7);
    let mut boxes: Vec<u8> = Vec::with_capacity(track.frames.len() * 8);
    let mut statuses = Vec::with_capacity(track.frames.len());
    for record in &track.frames {
        let values = record.probabilities.unwrap_or_default();
        probabilities.extend(values.map(|p| (p * 255.0).round() as u8));
        let edges = record.face.map_or([0.0; 4], |face| [face.x, face.y, face.w.max(1.0), face.h]);
        boxes.extend(edges.iter().flat_map(|edge| (edge.round() as i16).to_le_bytes()));
        statuses.push(STATUSES.iter().position(|status| *status == record.status).unwrap_or(0) as u8);
    }
    let segments = track.segments.iter().map(|s| (s.first_frame, s.last_frame, s.label, s.confidence)).collect();
    TrackData {
        id: track.id,
        signer: track.signer(),
        first_frame: track.first_frame,
        probabilities: BASE64.encode(probabilities),
        boxes: BASE64.encode(boxes),
        statuses: BASE64.encode(statuses),
        segments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn page(timeline: &Timeline) -> String {
        let mut bytes = Vec::new();
        let page = Page { timeline, video_url: "./v.mp4".into(), human: Vec::new(), language: None };
        page.write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn both_languages_have_all_words() {
        let strings: Value = serde_json::from_str(STRINGS).unwrap();
        let keys = |language: &str| strings[language].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys("en"), keys("de"));
        assert!(Expression::ALL.iter().all(|class| strings["en"].get(class.name()).is_some()));
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
            track.segments = (0..2000).map(|place| segments[place % segments.len()].clone()).collect();
        }
        let size = page(&timeline).len();
        assert!(size < 2_000_000, "{size} bytes");
    }
}

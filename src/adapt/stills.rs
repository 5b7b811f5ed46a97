//! Videos of which only pictures are there: FePh hands on frames of RWTH-PHOENIX-Weather, cut out around the face and named after
//! video and frame. Spans of such a video, in an ELAN document or a table, become labels of those pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::picture::BoundingBox;
use crate::timeline::{
    Expression, FrameRecord, FrameTimes, Media, ModelIdentity, SCHEMA, Status, Summary, Timeline, Tool, Track,
};
use crate::train::import::feph::phoenix_name;

/// Frames a second of RWTH-PHOENIX-Weather (Forster et al. 2012), whose frames are counted from 0.
const FRAMES_PER_S: i32 = 25;
/// Videos of the corpus last seconds; a number beyond six hours is no frame's.
const MOST_FRAMES: u64 = 6 * 3600 * FRAMES_PER_S as u64;

/// The pictures of one video, by their frames.
pub(super) type Stills = BTreeMap<usize, PathBuf>;

/// The pictures among `files` that are named as PHOENIX names frames, by their videos.
pub(super) fn by_video(files: &[PathBuf]) -> BTreeMap<String, Stills> {
    let mut videos: BTreeMap<String, Stills> = BTreeMap::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"))) {
        if let Some((video, frame)) = phoenix_name(path).filter(|(_, frame)| *frame < MOST_FRAMES) {
            videos.entry(video).or_default().entry(frame as usize).or_insert_with(|| path.clone());
        }
    }
    videos
}

/// The video that a name in a document means: itself, or without its ending.
pub(super) fn video_of(name: &str) -> &str {
    name.strip_suffix(".avi").or_else(|| name.strip_suffix(".mp4")).unwrap_or(name)
}

/// A timeline in which the only face is seen wherever there is a picture, and that lasts to `end_s` at least: how long the video
/// was, its pictures do not say.
pub(super) fn timeline(video: &str, stills: &Stills, end_s: f64) -> Timeline {
    let last = stills.keys().next_back().copied().unwrap_or(0);
    let fps = f64::from(FRAMES_PER_S);
    let frames = ((end_s * fps).ceil().clamp(0.0, MOST_FRAMES as f64) as usize).max(last + 1);
    let record = |frame: usize| match stills.contains_key(&frame) {
        true => FrameRecord {
            status: Status::Ok,
            face: Some(BoundingBox::from([0.0, 0.0, 1.0, 1.0])),
            ..FrameRecord::unseen(frame)
        },
        false => FrameRecord::unseen(frame),
    };
    let records: Vec<FrameRecord> = (0..frames).map(record).collect();
    Timeline {
        schema: SCHEMA.into(),
        complete: true,
        tool: Tool::default(),
        settings: serde_json::Value::Null,
        media: Media {
            path: video.into(),
            sha256: None,
            container: "pictures".into(),
            codec: "png".into(),
            stream: 0,
            video_streams: 1,
            width: 1,
            height: 1,
            rotation: 0,
            time_base: [1, FRAMES_PER_S],
            frame_rate: [FRAMES_PER_S, 1],
            variable_frame_rate: false,
            interlaced: false,
            start_s: 0.0,
            frames,
            duration_s: frames as f64 / fps,
        },
        model: ModelIdentity {
            name: String::new(),
            sha256: String::new(),
            classes: Expression::ALL.into(),
            symmetric: false,
        },
        frames: FrameTimes {
            pts: (0..frames as i64).collect(),
            time_s: (0..frames).map(|frame| frame as f64 / fps).collect(),
            status: records.iter().map(|record| record.status).collect(),
        },
        tracks: vec![Track {
            id: 1,
            name: None,
            first_frame: 0,
            last_frame: frames - 1,
            frames: records,
            segments: Vec::new(),
            events: Vec::new(),
            neutral: None,
        }],
        summary: Summary { frames_ok: stills.len(), tracks: 1, ..Summary::default() },
        corrections: None,
    }
}

/// Where the pictures of a video lie, for messages.
pub(super) fn folder(stills: &Stills) -> &Path {
    stills.values().next().and_then(|path| path.parent()).unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_by_video_and_frame_and_make_a_timeline_with_holes() {
        let files =
            ["x/a.avi_pid0_fn000003-0.png", "x/a.avi_pid0_fn000005-0.png", "x/b.avi_pid0_fn000000-0.png", "x/c.png"];
        let found = by_video(&files.map(PathBuf::from));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
        let timeline = timeline("a", &found["a"], 0.4);
        assert_eq!(timeline.frames.time_s.len(), 10);
        let seen: Vec<usize> =
            timeline.tracks[0].frames.iter().filter(|r| r.status == Status::Ok).map(|r| r.frame).collect();
        assert_eq!(seen, [3, 5]);
        assert_eq!([video_of("a.avi"), video_of("a")], ["a", "a"]);
        assert_eq!(folder(&found["a"]), Path::new("x"));
    }
}

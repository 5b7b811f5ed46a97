//! Timelines for tests: a small one made by hand, and any one at all.

use proptest::prelude::*;
use serde_json::json;

use crate::pipeline::segment::{SegmentSettings, segments};
use crate::pipeline::smooth::Smoothed;
use crate::timeline::*;

/// Six frames at 25 per second from 0.2 s on. Signer 1 is happy for two frames, lost for two and angry for two; signer
/// 2 is there in frames 1 to 2, seen by the tracker only.
pub(crate) fn two_signers() -> Timeline {
    let frames = FrameTimes {
        pts: vec![2560, 3072, 3584, 4096, 4608, 5120],
        time_s: vec![0.2, 0.24, 0.28, 0.32, 0.36, 0.4],
        status: [Status::Ok, Status::Ok, Status::Occluded, Status::NoFace, Status::Ok, Status::Ok].into(),
    };
    let happy = classified([100.25, 50.5, 64.0, 64.0], Expression::Happiness, 0.875);
    let angry = classified([-4.0, 52.0, 63.5, 63.5], Expression::Anger, 0.75);
    let lost = |status| FrameRecord { status, ..empty_record() };
    let covered = FrameRecord {
        status: Status::Occluded,
        face: Some([101.0, 50.0, 64.0, 64.0].into()),
        source: Some(BoxSource::Tracked),
        ..empty_record()
    };
    let happy = FrameRecord { measures: Some(measured(0.0712)), ..happy };
    let first = vec![happy.clone(), happy, covered.clone(), lost(Status::NoFace), angry.clone(), angry];
    let neutral = FrameRecord {
        source: Some(BoxSource::Tracked),
        face_score: None,
        covered: None,
        ..classified([300.0, 40.0, 50.0, 50.0], Expression::Neutral, 0.5)
    };
    let tracks = vec![
        Track {
            id: 1,
            name: None,
            first_frame: 0,
            last_frame: 5,
            frames: numbered(first, 0),
            segments: vec![
                segment(0, 1, 0.2, 0.28, Expression::Happiness, 0.875),
                segment(4, 5, 0.36, 0.44, Expression::Anger, 0.75),
            ],
            events: vec![FaceEvent {
                kind: EventKind::BrowsRaised,
                first_frame: 0,
                last_frame: 1,
                start_s: 0.2,
                end_s: 0.28,
                peak: 0.0712,
            }],
            neutral: Some(Neutral { source: NeutralSource::Still, frames: 2, values: measured(0.25) }),
        },
        Track {
            id: 2,
            name: None,
            first_frame: 1,
            last_frame: 2,
            frames: numbered(vec![neutral, covered], 1),
            segments: vec![segment(1, 1, 0.24, 0.28, Expression::Neutral, 0.5)],
            events: vec![],
            neutral: None,
        },
    ];
    let tracks = tracks.into_iter().map(|track: Track| {
        let segments = track.segments.into_iter().map(|segment| segment.with_face(&track.frames, &track.events));
        Track { segments: segments.collect(), ..track }
    });
    let tracks = tracks.collect();
    Timeline {
        schema: SCHEMA.into(),
        complete: true,
        tool: Tool { name: "annotate".into(), version: "0.0.0".into() },
        settings: json!({"smooth": {"lag_s": 0.5}}),
        media: Media {
            path: "two signers.mp4".into(),
            sha256: Some("a".repeat(64)),
            container: "mov,mp4".into(),
            codec: "h264".into(),
            stream: 0,
            video_streams: 1,
            width: 640,
            height: 360,
            rotation: 0,
            time_base: [1, 12800],
            frame_rate: [25, 1],
            variable_frame_rate: false,
            interlaced: false,
            start_s: 0.0,
            frames: 6,
            duration_s: 0.24,
        },
        model: ModelIdentity {
            name: "hand".into(),
            sha256: "b".repeat(64),
            classes: Expression::ALL.into(),
            symmetric: false,
        },
        frames,
        tracks,
        summary: Summary {
            frames_ok: 4,
            frames_without_face: 2,
            tracks: 2,
            damage: vec![],
            incomplete_because: vec![],
        },
        corrections: None,
    }
}

/// Any timeline that is sound: uneven frames, up to four tracks, every status; some faces measured, with events of every kind.
pub(crate) fn any_timeline() -> impl Strategy<Value = Timeline> {
    let steps = prop::collection::vec(1i64..4000, 1..80);
    let reading = (0usize..7, 0.3f32..=1.0, -50.0f32..2000.0);
    let record = prop_oneof![
        4 => reading.prop_map(|(class, top, x)| classified([x, 3.0, 40.0, 40.0], Expression::ALL[class], top)),
        1 => (1usize..4).prop_map(|status| FrameRecord {
            status: [Status::NoFace, Status::LowQuality, Status::OutOfFrame][status - 1],
            ..empty_record()
        }),
    ];
    let event = (0..EventKind::ALL.len(), any::<prop::sample::Index>(), 0usize..8);
    let events = prop::option::of(prop::collection::vec(event, 0..12));
    let track = (any::<prop::sample::Index>(), prop::collection::vec(record, 1..60), events);
    (steps, prop::collection::vec(track, 0..4), -9000i64..9000).prop_map(|(steps, tracks, first_pts)| {
        let count = steps.len();
        let mut timeline = two_signers();
        let pts: Vec<i64> = std::iter::once(first_pts)
            .chain(steps.iter().scan(first_pts, |pts, step| {
                *pts += step;
                Some(*pts)
            }))
            .collect();
        let seconds = |pts: i64| pts as f64 / 12800.0;
        timeline.media.frames = count;
        timeline.media.duration_s = seconds(pts[count]) - seconds(pts[0]);
        timeline.frames = FrameTimes {
            pts: pts[..count].to_vec(),
            time_s: pts[..count].iter().copied().map(seconds).collect(),
            status: vec![Status::NoFace; count],
        };
        let tracks = tracks.into_iter().zip(1..).map(|((first, mut records, events), id)| {
            let first_frame = first.index(count);
            records.truncate(count - first_frame);
            let records = numbered(records, first_frame);
            let smoothed: Vec<_> = records.iter().map(as_smoothed).collect();
            let end_s = seconds(pts[count]);
            let segments = segments(&smoothed, &timeline.frames, end_s, &SegmentSettings::default());
            let last_frame = first_frame + records.len() - 1;
            let neutral = events.as_ref().map(|_| {
                let values = measured(0.25);
                Neutral { source: NeutralSource::Still, frames: records.len(), values }
            });
            let mut records = records;
            for record in records.iter_mut().filter(|record| events.is_some() && record.face.is_some()) {
                record.measures = Some(measured(f64::from(record.confidence.unwrap_or(0.5)) / 8.0));
            }
            let events = events.unwrap_or_default().into_iter().map(|(kind, first, length)| {
                let first = first_frame + first.index(records.len());
                (EventKind::ALL[kind], first, (first + length).min(last_frame))
            });
            let events = apart(events.collect()).into_iter().map(|(kind, first_frame, last_frame)| FaceEvent {
                kind,
                first_frame,
                last_frame,
                start_s: timeline.frames.time_s[first_frame],
                end_s: timeline.frames.end_s(last_frame, end_s),
                peak: 0.0712,
            });
            let events: Vec<FaceEvent> = events.collect();
            let segments =
                segments.into_iter().map(|s: Segment| s.with_raw_probability(&records).with_face(&records, &events));
            let segments = segments.collect();
            Track { id, name: None, first_frame, last_frame, frames: records, segments, events, neutral }
        });
        timeline.tracks = tracks.collect();
        for frame in 0..count {
            let records = timeline.tracks.iter().filter_map(|t| t.frames.get(frame.checked_sub(t.first_frame)?));
            timeline.frames.status[frame] = Status::best(records.map(|record| record.status));
        }
        let frames_ok = timeline.frames.status.iter().filter(|status| **status == Status::Ok).count();
        timeline.summary = Summary {
            frames_ok,
            frames_without_face: count - frames_ok,
            tracks: timeline.tracks.len(),
            ..Summary::default()
        };
        timeline
    })
}

/// Events in order of their beginning, without those that overlap one of their kind.
fn apart(mut events: Vec<(EventKind, usize, usize)>) -> Vec<(EventKind, usize, usize)> {
    events.sort_by_key(|(kind, first, last)| (*first, *kind, *last));
    let mut kept: Vec<(EventKind, usize, usize)> = Vec::new();
    for event in events {
        if kept.iter().all(|(kind, _, last)| *kind != event.0 || *last < event.1) {
            kept.push(event);
        }
    }
    kept
}

fn as_smoothed(record: &FrameRecord) -> Smoothed {
    let FrameRecord { frame, label, confidence, probabilities, .. } = record.clone();
    Smoothed { frame, label, confidence, posterior: probabilities }
}

fn empty_record() -> FrameRecord {
    FrameRecord::unseen(0)
}

/// Every measure the same, but for those that only one side shows.
fn measured(value: f64) -> FaceMeasures {
    let mut measures = FaceMeasures::default();
    for measure in Measure::ALL {
        measures.set(measure, Some(value).filter(|_| measure != Measure::BrowHeightLeft));
    }
    measures
}

/// A classified face: `top` for the class, the rest shared by the others.
fn classified(face: [f32; 4], expression: Expression, top: f32) -> FrameRecord {
    let mut probabilities = [(1.0 - top) / 6.0; Expression::COUNT];
    probabilities[expression.index()] = top;
    FrameRecord {
        status: Status::Ok,
        face: Some(face.into()),
        face_score: Some(0.975),
        covered: Some(Covered { face: 0.125, regions: None }),
        source: Some(BoxSource::Detected),
        // As they come back from a file.
        probabilities: Some(probabilities.map(|probability| probability_in_file(probability) as f32)),
        label: Some(expression),
        confidence: Some(top),
        ..empty_record()
    }
}

fn numbered(records: Vec<FrameRecord>, first_frame: usize) -> Vec<FrameRecord> {
    records.into_iter().zip(first_frame..).map(|(record, frame)| FrameRecord { frame, ..record }).collect()
}

fn segment(
    first_frame: usize,
    last_frame: usize,
    start_s: f64,
    end_s: f64,
    label: Expression,
    confidence: f32,
) -> Segment {
    let confidence = Some(confidence);
    Segment {
        first_frame,
        last_frame,
        start_s,
        end_s,
        label,
        confidence,
        raw_probability: confidence,
        face: None,
        decision: None,
    }
}

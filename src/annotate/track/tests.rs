use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::annotate::frame::GreyPicture;

/// A detector that finds what the script says, where a window covers it. The picture's first sample is the frame's number.
struct Scripted(Vec<Vec<Detection>>);

impl FaceDetector for Scripted {
    fn detect(&mut self, luma: &Plane, window: &SearchWindow) -> Vec<Detection> {
        let covers = |d: &&Detection| {
            let (x, y) = d.face.centre();
            (x - window.region.x).abs() < window.region.width / 2.0
                && (y - window.region.y).abs() < window.region.height / 2.0
                && (window.smallest..=window.largest).contains(&d.face.w)
        };
        self.0[usize::from(luma.samples[0])].iter().filter(covers).copied().collect()
    }
}

fn frame(index: usize) -> Frame {
    let mut samples: Vec<u8> = (0..200 * 100).map(|i| (i * 7 % 251) as u8).collect();
    samples[0] = index as u8;
    let picture = Arc::new(GreyPicture { samples, width: 200, height: 100 });
    Frame { index, pts: index as i64, time_s: index as f64 / 25.0, picture }
}

fn face(x: f32, score: f32) -> Detection {
    Detection { face: BoundingBox { x, y: 30.0, w: 30.0, h: 30.0 }, score, roll_degrees: 0.0 }
}

fn track(script: Vec<Vec<Detection>>) -> Vec<(usize, Vec<Sighting>)> {
    let frames = script.len();
    let mut tracker = FaceTracker::new(Box::new(Scripted(script)), TrackSettings::default());
    let mut out: Vec<_> = (0..frames).flat_map(|index| tracker.push(frame(index))).collect();
    out.extend(tracker.finish());
    out.into_iter().map(|(frame, sightings)| (frame.index, sightings)).collect()
}

#[test]
fn a_likely_face_counts_from_its_first_frame_once_it_is_believed() {
    let out = track(vec![vec![face(50.0, 3.0)]; 6]);
    assert!(out.iter().all(|(_, s)| s.len() == 1 && s[0].track == 1 && s[0].status == Status::Ok), "{out:?}");
}

#[test]
fn a_likely_face_seen_once_is_none() {
    let mut script = vec![Vec::new(); 8];
    script[2] = vec![face(50.0, 3.0)];
    assert!(track(script).iter().all(|(_, s)| s.is_empty()));
}

#[test]
fn two_signers_keep_their_own_ids() {
    let script = (0..40).map(|i| vec![face(20.0 + 0.5 * i as f32, 9.0), face(140.0 - 0.5 * i as f32, 8.0)]).collect();
    for (index, sightings) in track(script) {
        let x: Vec<f32> = sightings.iter().map(|s| s.face.unwrap().x).collect();
        assert_eq!(sightings.iter().map(|s| s.track).collect::<Vec<_>>(), [1, 2]);
        assert!((x[0] - 20.0 - 0.5 * index as f32).abs() < 3.0 && (x[1] - 140.0 + 0.5 * index as f32).abs() < 3.0);
    }
}

#[test]
fn a_signer_who_comes_back_elsewhere_keeps_the_id() {
    let mut script = vec![vec![face(20.0, 9.0)]; 20];
    script.extend(vec![Vec::new(); 80]);
    script.extend(vec![vec![face(150.0, 9.0)]; 20]);
    let out = track(script);
    assert!(out.iter().all(|(_, s)| s.len() == 1 && s[0].track == 1));
    assert_eq!(out[90].1[0].status, Status::NoFace);
    assert_eq!(out[119].1[0].status, Status::Ok);
}

proptest! {
    #[test]
    fn every_frame_comes_out_once_in_order_and_tracks_have_no_holes(
        script in prop::collection::vec(
            prop::collection::vec((0.0f32..170.0, 0.5f32..10.0).prop_map(|(x, s)| face(x, s)), 0..4),
            1..60,
        )
    ) {
        let frames = script.len();
        let out = track(script);
        prop_assert_eq!(out.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (0..frames).collect::<Vec<_>>());
        let mut known: Vec<u32> = Vec::new();
        for (_, sightings) in &out {
            let ids: Vec<u32> = sightings.iter().map(|s| s.track).collect();
            prop_assert!(ids.iter().all(|id| *id > 0));
            let mut unique = ids.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), ids.len());
            prop_assert!(known.iter().all(|id| ids.contains(id)), "a known track has a record in every frame");
            known = ids;
            for s in sightings {
                prop_assert_eq!(s.face.is_some(), matches!(s.status, Status::Ok | Status::Occluded));
            }
        }
    }

    #[test]
    fn no_frame_waits_for_more_than_a_few(
        script in prop::collection::vec(prop::collection::vec((0.0f32..170.0).prop_map(|x| face(x, 2.5)), 0..3), 1..40)
    ) {
        let mut tracker = FaceTracker::new(Box::new(Scripted(script.clone())), TrackSettings::default());
        let mut out = 0;
        for index in 0..script.len() {
            out += tracker.push(frame(index)).len();
            prop_assert!(index + 1 - out <= HELD);
        }
    }
}

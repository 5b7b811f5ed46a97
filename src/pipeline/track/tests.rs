use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::picture::{GreyPicture, Plane};
use crate::time::Timestamp;
use crate::timeline::Status;

const WIDTH: usize = 240;
const HEIGHT: usize = 120;
const RATE: f64 = 25.0;

/// A detector that finds the script's faces if a window covers them. The picture's first sample is the frame's number.
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

/// A person in a frame: position, the detector's score, and identity.
type Person = (f32, f32, usize);

/// A grey picture in which each person is a pattern of its own, the last one in front.
fn frame(index: usize, people: &[Person], background: u8) -> Frame {
    let mut samples: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| background + (i * 7 % 11) as u8).collect();
    for (x, _, who) in people {
        for row in 20..HEIGHT {
            for column in 0..40 {
                let Some(at) = (*x as usize + column).checked_sub(5).filter(|at| *at < WIDTH) else {
                    continue;
                };
                // Coarse enough to show in a descriptor of a few samples.
                let block = row / 10 * 8 + column / 6 + 1;
                let mixed = block.wrapping_mul(0x9e37_79b9 + who * 0x85eb_ca6b) >> 13;
                samples[row * WIDTH + at] = (20 + mixed % 6 * 40) as u8;
            }
        }
    }
    samples[0] = index as u8;
    let picture = Arc::new(GreyPicture { samples, width: WIDTH, height: HEIGHT });
    Frame {
        index,
        pts: index as i64,
        time: Timestamp::new(index as i64, [1, RATE as i32]),
        time_s: index as f64 / RATE,
        picture,
    }
}

fn face(x: f32, score: f32) -> Detection {
    Detection { face: BoundingBox { x, y: 30.0, w: 30.0, h: 30.0 }, score, roll_degrees: 0.0 }
}

/// Follows people; those with score 0 are in the picture, but no detector sees them.
fn track(script: &[Vec<Person>]) -> Vec<(usize, Vec<Sighting>)> {
    track_with(script, &vec![100; script.len()], TrackSettings::default())
}

fn track_with(script: &[Vec<Person>], backgrounds: &[u8], settings: TrackSettings) -> Vec<(usize, Vec<Sighting>)> {
    let detections = |people: &Vec<Person>| {
        people.iter().filter(|(_, score, _)| *score > 0.0).map(|(x, score, _)| face(*x, *score)).collect()
    };
    let detector = Scripted(script.iter().map(detections).collect());
    let mut tracker = FaceTracker::with_refiner(Box::new(detector), None, settings);
    let mut out = Vec::new();
    for (index, people) in script.iter().enumerate() {
        out.extend(tracker.push(frame(index, people, backgrounds[index])));
    }
    out.extend(tracker.finish());
    out.into_iter().map(|(frame, sightings)| (frame.index, sightings)).collect()
}

fn ids(sightings: &[Sighting]) -> Vec<u32> {
    sightings.iter().map(|s| s.track).collect()
}

#[test]
fn a_likely_face_counts_from_its_first_frame_once_it_is_believed() {
    let out = track(&vec![vec![(50.0, 3.0, 0)]; 6]);
    assert!(out.iter().all(|(_, s)| s.len() == 1 && s[0].track == 1 && s[0].status == Status::Ok), "{out:?}");
}

#[test]
fn a_likely_face_seen_once_is_none() {
    let mut script = vec![Vec::new(); 8];
    script[2] = vec![(50.0, 3.0, 0)];
    assert!(track(&script).iter().all(|(_, s)| s.is_empty()));
}

#[test]
fn two_signers_keep_their_own_ids() {
    let script: Vec<_> =
        (0..40).map(|i| vec![(20.0 + 0.5 * i as f32, 9.0, 0), (160.0 - 0.5 * i as f32, 8.0, 1)]).collect();
    for (index, sightings) in track(&script) {
        let x: Vec<f32> = sightings.iter().map(|s| s.face.unwrap().x).collect();
        assert_eq!(ids(&sightings), [1, 2]);
        assert!((x[0] - 20.0 - 0.5 * index as f32).abs() < 3.0 && (x[1] - 160.0 + 0.5 * index as f32).abs() < 3.0);
    }
}

#[test]
fn signers_who_cross_keep_their_own_ids() {
    // The person in front (drawn last) moves left; the other one is hidden while they pass.
    let script: Vec<Vec<Person>> = (0..60)
        .map(|i| {
            let (right, left) = (20.0 + 2.0 * i as f32, 140.0 - 2.0 * i as f32);
            let hidden = (right - left).abs() < 24.0;
            vec![(right, if hidden { 0.0 } else { 9.0 }, 0), (left, 9.0, 1)]
        })
        .collect();
    let out = track(&script);
    for (index, sightings) in out.iter().filter(|(index, _)| !(20..48).contains(index)) {
        let x_of = |id: u32| sightings.iter().find(|s| s.track == id).and_then(|s| s.face).map(|face| face.x);
        let (right, left) = (x_of(1).unwrap(), x_of(2).unwrap());
        assert!((right - 20.0 - 2.0 * *index as f32).abs() < 8.0, "{index}: {right}");
        assert!((left - 140.0 + 2.0 * *index as f32).abs() < 8.0, "{index}: {left}");
    }
}

#[test]
#[ignore = "known fault: looks do not yet tell these drawn figures apart"]
fn a_signer_who_comes_back_elsewhere_keeps_the_id_and_another_one_gets_a_new_one() {
    let visit = |x: f32, who: usize| vec![vec![(x, 9.0, who)]; 20];
    let nobody = vec![Vec::new(); 30];
    let script = [visit(20.0, 0), nobody.clone(), visit(150.0, 0), nobody.clone(), visit(90.0, 1)].concat();
    let out = track(&script);
    assert_eq!(out[40].1[0].status, Status::NoFace);
    for (index, id) in [(10, 1), (60, 1), (115, 2)] {
        let seen: Vec<u32> = out[index].1.iter().filter(|s| s.face.is_some()).map(|s| s.track).collect();
        assert_eq!(seen, [id], "frame {index}");
    }
}

#[test]
#[ignore = "known fault: looks change with the background behind the head"]
fn a_cut_ends_the_track_of_who_is_not_seen_after_it_and_keeps_the_id_of_who_is() {
    let script =
        [vec![vec![(60.0, 9.0, 0), (150.0, 9.0, 1)]; 20], vec![vec![(100.0, 9.0, 1), (20.0, 9.0, 2)]; 20]].concat();
    // The background's pattern makes a cut; brightness alone does not.
    let backgrounds: Vec<u8> = (0..40).map(|i| if i < 20 { 20 } else { 230 }).collect();
    let out = track_with(&script, &backgrounds, TrackSettings::default());
    assert_eq!(ids(&out[19].1), [1, 2]);
    let mut after = ids(&out[20].1);
    after.sort_unstable();
    assert_eq!(after, [2, 3], "{:?}", out[20].1);
    assert!(out[20..].iter().all(|(_, s)| s.iter().all(|s| s.track != 1)));
}

#[test]
fn a_face_unseen_for_a_moment_is_bridged_from_both_sides_and_not_labelled() {
    // The pattern is gone too: only the frames before and after show where the face is.
    let script: Vec<Vec<Person>> =
        (0..30).map(|i| if (12..16).contains(&i) { vec![] } else { vec![(40.0 + 2.0 * i as f32, 9.0, 0)] }).collect();
    let out = track(&script);
    for (index, sightings) in &out[12..16] {
        assert_eq!(sightings[0].status, Status::LowQuality, "{index}");
        let x = sightings[0].face.unwrap().x;
        assert!((x - 40.0 - 2.0 * *index as f32).abs() < 3.0, "{index}: {x}");
    }
}

#[test]
fn a_face_that_is_gone_is_not_said_to_have_stayed() {
    let mut script = vec![vec![(50.0, 9.0, 0)]; 12];
    script.extend(vec![Vec::new(); 30]);
    let out = track(&script);
    assert!(out[12..].iter().all(|(_, s)| s[0].status == Status::NoFace), "{:?}", out[12].1);
}

#[test]
fn low_latency_gives_each_frame_at_once() {
    let settings = TrackSettings { latency: Latency::Low, ..TrackSettings::default() };
    let detector = Scripted(vec![vec![face(50.0, 9.0)]; 10]);
    let mut tracker = FaceTracker::with_refiner(Box::new(detector), None, settings);
    for index in 0..10 {
        let out = tracker.push(frame(index, &[(50.0, 9.0, 0)], 100));
        assert_eq!(out.iter().map(|(frame, _)| frame.index).collect::<Vec<_>>(), [index]);
        assert_eq!(ids(&out[0].1), [1]);
    }
}

#[test]
fn the_built_in_refinement_network_reads() {
    FaceRefiner::built_in().unwrap();
}

fn any_script() -> impl Strategy<Value = Vec<Vec<Person>>> {
    let person = (0.0f32..200.0, 0.5f32..10.0, 0usize..3);
    prop::collection::vec(prop::collection::vec(person, 0..4), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_frame_comes_out_once_in_order_and_tracks_have_no_holes(
        script in any_script(), cuts in prop::collection::vec(any::<bool>(), 60), is_low in any::<bool>(),
    ) {
        let settings =
            TrackSettings { latency: if is_low { Latency::Low } else { Latency::Normal }, ..TrackSettings::default() };
        let backgrounds: Vec<u8> = cuts.iter().map(|cut| if *cut { 20 } else { 230 }).collect();
        let out = track_with(&script, &backgrounds, settings);
        prop_assert_eq!(out.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (0..script.len()).collect::<Vec<_>>());
        let (mut known, mut ended): (Vec<u32>, Vec<u32>) = Default::default();
        for (_, sightings) in &out {
            let ids = ids(sightings);
            let mut unique = ids.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), ids.len());
            ended.extend(known.iter().filter(|id| !ids.contains(id)));
            prop_assert!(ids.iter().all(|id| *id > 0 && *id < PROVISIONAL && !ended.contains(id)), "a track has a hole");
            known = ids;
            for s in sightings {
                prop_assert_eq!(s.face.is_some(), !matches!(s.status, Status::NoFace | Status::OutOfFrame));
                prop_assert_eq!(s.face.is_some(), s.source.is_some());
            }
        }
    }

    #[test]
    fn no_frame_waits_longer_than_the_look_ahead(script in any_script()) {
        let detections = |people: &Vec<Person>| people.iter().map(|(x, score, _)| face(*x, *score)).collect();
        let detector = Scripted(script.iter().map(detections).collect());
        let mut tracker = FaceTracker::with_refiner(Box::new(detector), None, TrackSettings::default());
        let mut out = 0;
        for (index, people) in script.iter().enumerate() {
            out += tracker.push(frame(index, people, 100)).len();
            prop_assert!((index + 1 - out) as f64 <= LOOK_AHEAD_S * RATE + 1.0);
        }
    }
}

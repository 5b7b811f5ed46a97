//! What faces do: measured where it can be seen, and nowhere else.

use std::path::{Path, PathBuf};

use annotate::Annotator;
use annotate::timeline::{EventKind, FrameRecord, Measure, Status, Timeline};

/// A clip made by ffmpeg, annotated; small faces are looked for too.
fn annotated(options: &str) -> Timeline {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    crate::material::ffmpeg(&format!("{options} -an -preset ultrafast -pix_fmt yuv420p"), &path);
    let mut annotator = Annotator::new().unwrap();
    annotator.settings.track.min_face = 0.04;
    let timeline = annotator.annotate(&path).unwrap();
    timeline.check().unwrap();
    timeline
}

/// The bundled clip from second `from` on, for a second; a face of 220 pixels about its middle.
fn demo(from: f64, filter: &str) -> Timeline {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.mp4");
    annotated(&format!("-ss {from} -t 1 -i {} -vf {filter}", demo.display()))
}

fn records(timeline: &Timeline) -> impl Iterator<Item = &FrameRecord> {
    timeline.tracks.iter().flat_map(|track| &track.frames)
}

/// Measures of the face itself: all but the turns of the head.
fn of_the_face(record: &FrameRecord) -> Vec<(Measure, f64)> {
    let Some(measures) = record.measures else { return Vec::new() };
    let angles = [Measure::Yaw, Measure::Pitch, Measure::Roll];
    let own = Measure::ALL.into_iter().filter(|measure| !angles.contains(measure));
    own.filter_map(|measure| Some((measure, measures.get(measure)?))).collect()
}

fn data_file(test: &str, name: &str) -> Option<PathBuf> {
    Some(crate::material::data(test)?.join(name))
}

#[test]
fn a_face_in_full_view_is_measured_in_every_frame() {
    let timeline = demo(0.2, "null");
    assert_eq!(timeline.tracks.len(), 1);
    for record in records(&timeline) {
        assert_eq!(record.status, Status::Ok, "frame {}", record.frame);
        let measures = record.measures.unwrap();
        for measure in Measure::ALL {
            assert!(measures.get(measure).is_some(), "frame {}: {}", record.frame, measure.name());
        }
    }
    // The composites of neutral faces do nothing.
    assert!(timeline.tracks[0].events.is_empty(), "{:?}", timeline.tracks[0].events);
}

#[test]
fn a_face_of_sixteen_pixels_is_not_measured() {
    let timeline = demo(0.2, "scale=92:-2,pad=320:240:114:90");
    assert!(records(&timeline).all(|record| record.measures.is_none()));
    assert!(timeline.tracks.iter().all(|track| track.events.is_empty() && track.neutral.is_none()));
}

#[test]
fn of_a_face_half_beyond_the_pictures_edge_nothing_is_measured() {
    for crop in ["crop=600:720:0:0", "crop=620:720:660:0", "crop=1280:400:0:320"] {
        let timeline = demo(0.2, crop);
        for record in records(&timeline) {
            assert_eq!(of_the_face(record), [], "{crop}, frame {}", record.frame);
        }
    }
}

#[test]
fn a_face_upside_down_is_measured_upside_down_and_has_no_expression() {
    let timeline = demo(0.2, "hflip,vflip");
    let mut measured = 0;
    for record in records(&timeline) {
        let roll = record.measures.and_then(|measures| measures.get(Measure::Roll));
        measured += usize::from(roll.is_some());
        assert!(of_the_face(record).is_empty() || roll.is_some_and(|roll| roll.abs() > 150.0), "{record:?}");
        assert!(record.label.is_none() && record.probabilities.is_none(), "{record:?}");
    }
    assert!(measured >= 15, "the tracker sees it in most frames: {measured}");
    assert!(timeline.tracks.iter().all(|track| track.events.is_empty() && track.segments.is_empty()));
}

#[test]
fn no_photograph_of_people_upside_down_shows_an_upright_face() {
    let test = "no_photograph_of_people_upside_down_shows_an_upright_face";
    for name in ["faceapi_disgusted", "faceapi_happy", "faceapi_surprised", "linzaer_18"] {
        let Some(photo) = data_file(test, &format!("photos/{name}.jpg")) else { return };
        let filter = "scale=640:-2,crop=trunc(iw/2)*2:trunc(ih/2)*2,hflip,vflip";
        let timeline = annotated(&format!("-loop 1 -t 0.6 -i {} -vf {filter}", photo.display()));
        for record in records(&timeline) {
            let roll = record.measures.and_then(|measures| measures.get(Measure::Roll));
            assert!(roll.is_none_or(|roll| roll.abs() > 90.0), "{name}: {record:?}");
        }
        assert!(timeline.tracks.iter().all(|track| track.events.is_empty()), "{name}");
    }
}

#[test]
fn two_faces_on_each_other_are_at_most_two_signers_who_do_nothing() {
    for step in ["0.06", "0.02", "0.005"] {
        let filter = format!("split[a][b];[b]scroll=h={step}:hpos=0.06[b];[a][b]blend=all_mode=average");
        let timeline = demo(0.2, &filter);
        assert!(timeline.tracks.len() <= 2, "{}", timeline.tracks.len());
        // Nothing happens in either face.
        let events: Vec<_> = timeline.tracks.iter().flat_map(|track| &track.events).collect();
        assert!(events.is_empty(), "{step}: {events:?}");
        for record in records(&timeline) {
            for (measure, value) in of_the_face(record) {
                let apertures = [Measure::EyeApertureLeft, Measure::EyeApertureRight, Measure::EyeOpenness];
                let most = if apertures.contains(&measure) { 1.3 } else { 0.6 };
                assert!(value.abs() < most, "{step}, frame {}: {} {value}", record.frame, measure.name());
            }
        }
    }
}

#[test]
fn a_dog_and_a_drawing_do_nothing() {
    let smiley = "color=c=white:s=640x480:r=25:d=1,drawbox=x=220:y=120:w=200:h=240:color=yellow:t=fill,\
        drawbox=x=265:y=190:w=30:h=20:color=black:t=fill,drawbox=x=345:y=190:w=30:h=20:color=black:t=fill,\
        drawbox=x=275:y=290:w=90:h=15:color=red:t=fill";
    let timeline = annotated(&format!("-f lavfi -i {smiley}"));
    assert!(records(&timeline).all(|record| record.measures.is_none()), "{:?}", records(&timeline).next());
    let Some(dogs) = data_file("a_dog_and_a_drawing_do_nothing", "photos/dlib_dogs.jpg") else { return };
    let timeline = annotated(&format!("-loop 1 -t 1 -i {} -vf crop=trunc(iw/2)*2:trunc(ih/2)*2", dogs.display()));
    for record in records(&timeline) {
        assert!(record.measures.is_none() && record.label.is_none(), "{record:?}");
    }
    assert!(timeline.tracks.iter().all(|track| track.events.is_empty() && track.neutral.is_none()));
}

#[test]
fn no_other_look_of_a_dog_makes_it_a_signer() {
    let Some(dogs) = data_file("no_other_look_of_a_dog_makes_it_a_signer", "photos/dlib_dogs.jpg") else { return };
    for filter in ["hflip", "scale=0.6*iw:-2", "eq=brightness=0.1:contrast=0.7"] {
        let filter = format!("{filter},crop=trunc(iw/2)*2:trunc(ih/2)*2");
        let timeline = annotated(&format!("-loop 1 -t 0.6 -i {} -vf {filter}", dogs.display()));
        let measured = records(&timeline).filter(|record| record.measures.is_some()).count();
        assert_eq!(measured, 0, "{filter}");
    }
}

#[test]
fn a_profile_is_turned_away_and_only_its_turn_is_measured() {
    let test = "a_profile_is_turned_away_and_only_its_turn_is_measured";
    let Some(clip) = data_file(test, "videos/dfki_testvideo.mp4") else { return };
    let mut annotator = Annotator::new().unwrap();
    annotator.settings.end_s = Some(3.6);
    let timeline = annotator.annotate(clip).unwrap();
    let record = |frame: usize| records(&timeline).find(|record| record.frame == frame).unwrap();
    for frame in (42..=54).chain(84..=94) {
        let record = record(frame);
        assert_eq!(record.status, Status::TurnedAway, "frame {frame}");
        assert_eq!(of_the_face(record), [], "frame {frame}");
        let yaw = record.measures.unwrap().get(Measure::Yaw).unwrap();
        // The signer's right first, then the left.
        assert_eq!(yaw > 0.0, frame > 60, "frame {frame}: {yaw}");
        assert!(record.probabilities.is_some() && record.label.is_none(), "frame {frame}");
    }
    assert!((0..=24).all(|frame| record(frame).status == Status::Ok));
    let heads: Vec<EventKind> = timeline.tracks[0].events.iter().map(|event| event.kind).collect();
    assert!(heads.contains(&EventKind::HeadRight) && heads.contains(&EventKind::HeadLeft), "{heads:?}");
    assert!(!heads.contains(&EventKind::Shake), "{heads:?}");
    // Nothing is before the face; a turn is not taken for something that is.
    for record in records(&timeline).filter(|record| record.status == Status::Occluded) {
        let yaw = record.measures.and_then(|measures| measures.get(Measure::Yaw));
        assert!(yaw.is_none_or(|yaw| yaw.abs() < 20.0), "frame {}: {yaw:?}", record.frame);
    }
}

#[test]
fn brows_blinks_mouth_and_tilt_of_a_sentence_begin_and_end_where_people_saw_them() {
    let test = "brows_blinks_mouth_and_tilt_of_a_sentence_begin_and_end_where_people_saw_them";
    let Some(clip) = data_file(test, "videos/signtranslate_example-sentence-original.mp4") else { return };
    let timeline = Annotator::new().unwrap().annotate(clip).unwrap();
    let events = &timeline.tracks[0].events;
    // ../shared/data/videos/nonmanuals.csv; 25 frames a second, the labeller's edges are right to 2 frames.
    for (kind, first, last) in [
        (EventKind::BrowsRaised, 6, 40),
        (EventKind::Blink, 75, 79),
        (EventKind::MouthOpen, 32, 45),
        (EventKind::MouthRounded, 11, 30),
        (EventKind::TiltLeft, 50, 79),
    ] {
        let is_it = |event: &&annotate::timeline::FaceEvent| {
            event.kind == kind && event.first_frame.abs_diff(first) <= 3 && event.last_frame.abs_diff(last) <= 3
        };
        assert!(events.iter().any(|event| is_it(&event)), "{kind:?} {first} to {last}: {events:?}");
    }
    // Nothing happens from frame 90 on.
    assert!(events.iter().all(|event| event.last_frame < 90), "{events:?}");
}

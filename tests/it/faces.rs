//! Faces are found, followed and not invented: on the real clips and photos, and on pictures made to be difficult.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use annotate::picture::GreyPicture;
use annotate::pipeline::decode::{DecodeOptions, Decoder, Source};
use annotate::pipeline::detect::Seeta;
use annotate::pipeline::frame::{Frame, Sighting};
use annotate::pipeline::track::{FaceTracker, TrackSettings};
use annotate::time::Timestamp;
use annotate::timeline::{BoundingBox, Status};

type Followed = Vec<Vec<Sighting>>;

fn follow_with(path: &Path, settings: TrackSettings) -> Followed {
    let mut decoder = Decoder::open(&Source::File(path.into()), DecodeOptions::default()).unwrap();
    let mut tracker = FaceTracker::new(Box::new(Seeta::new().unwrap()), settings);
    let mut followed = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        followed.extend(tracker.push(frame));
    }
    followed.extend(tracker.finish());
    assert!(followed.iter().enumerate().all(|(index, (frame, _))| frame.index == index));
    followed.into_iter().map(|(_, sightings)| sightings).collect()
}

fn follow(path: &Path) -> Followed {
    follow_with(path, TrackSettings::default())
}

fn boxes(sightings: &[Sighting]) -> Vec<(u32, BoundingBox)> {
    sightings.iter().filter_map(|s| Some((s.track, s.face?))).collect()
}

/// A clip made by ffmpeg from the bundled one.
fn from_demo(options: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.mp4");
    crate::material::ffmpeg(&format!("-i {} {options} -an -preset ultrafast", demo.display()), &path);
    (folder, path)
}

/// The reviewed boxes of each clip, by frame.
fn truth(path: &Path) -> HashMap<String, BTreeMap<usize, Vec<BoundingBox>>> {
    let mut truth: HashMap<String, BTreeMap<usize, Vec<BoundingBox>>> = HashMap::new();
    for row in csv::Reader::from_path(path).unwrap().deserialize::<HashMap<String, String>>() {
        let row = row.unwrap();
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|column| row[column].parse().unwrap());
        let frames = truth.entry(row["video"].clone()).or_default();
        frames.entry(row["frame"].parse().unwrap()).or_default().push(BoundingBox { x, y, w, h });
    }
    truth
}

#[test]
fn every_signer_is_followed_through_every_real_clip_under_one_id_and_hands_before_faces_are_told() {
    let test = "every_signer_is_followed_through_every_real_clip_under_one_id_and_hands_before_faces_are_told";
    let Some(data) = crate::material::data(test) else { return };
    let truth = truth(&data.join("videos/face_boxes.csv"));
    let judged = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faces/occlusion.csv");
    let judged: Vec<(String, usize, usize, String)> = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_path(judged)
        .unwrap()
        .deserialize()
        .map(Result::unwrap)
        .collect();
    let (mut hits, mut found, mut true_boxes) = (0, 0, 0);
    let (mut told, mut invented, mut missed) = (0, 0, 0);
    let mut coverages = Vec::new();
    for clip in crate::material::clips(test) {
        let name = clip.file_name().unwrap().to_str().unwrap().to_owned();
        let followed = follow(&clip);
        let seen = followed.iter().filter(|s| !boxes(s).is_empty()).count();
        let coverage = seen as f64 / followed.len() as f64;
        assert!(coverage >= 0.95, "{name}: a box in {seen} of {} frames", followed.len());
        coverages.push(coverage);
        let mut ids: Vec<u32> = followed.iter().flatten().map(|s| s.track).collect();
        ids.dedup();
        assert_eq!(ids, [1], "{name}");
        for (frame, faces) in &truth[&name] {
            let here = boxes(&followed[*frame]);
            found += here.len();
            true_boxes += faces.len();
            hits += faces.iter().filter(|face| here.iter().any(|(_, other)| other.iou(face) >= 0.5)).count();
        }
        for (_, first, last, how) in judged.iter().filter(|(clip, ..)| *clip == name) {
            for sightings in &followed[*first..=*last] {
                let is_occluded = sightings.iter().any(|s| s.status == Status::Occluded);
                match (how.as_str(), is_occluded) {
                    ("covered", true) => told += 1,
                    ("covered", false) => missed += 1,
                    ("clear", true) => invented += 1,
                    _ => {}
                }
            }
        }
    }
    let mean = coverages.iter().sum::<f64>() / coverages.len() as f64;
    assert!(mean >= 0.99, "mean coverage {mean}");
    assert!(hits as f64 >= 0.97 * true_boxes as f64, "{hits} of {true_boxes} boxes found");
    assert!(hits as f64 >= 0.97 * found as f64, "{hits} of {found} boxes are right");
    let f1 = 2.0 * told as f64 / (2 * told + invented + missed) as f64;
    assert!(f1 >= 0.7, "occluded: {told} right, {invented} invented, {missed} missed, F1 {f1}");
}

#[test]
fn dogs_are_no_signers() {
    let Some(data) = crate::material::data("dogs_are_no_signers") else { return };
    let picture = image::open(data.join("photos/dlib_dogs.jpg")).unwrap().into_luma8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let picture = Arc::new(GreyPicture { samples: picture.into_raw(), width, height });
    for min_face in [0.03, 0.1] {
        let settings = TrackSettings { min_face, ..TrackSettings::default() };
        let mut tracker = FaceTracker::new(Box::new(Seeta::new().unwrap()), settings);
        let mut out = Vec::new();
        for index in 0..12 {
            let frame = Frame {
                index,
                pts: index as i64,
                time: Timestamp::new(index as i64, [1, 25]),
                time_s: index as f64 / 25.0,
                picture: picture.clone(),
            };
            out.extend(tracker.push(frame));
        }
        out.extend(tracker.finish());
        assert!(out.iter().all(|(_, sightings)| sightings.is_empty()), "{:?}", out[0].1);
    }
}

#[test]
fn no_face_is_invented_in_noise_patterns_black_or_white() {
    for source in
        ["testsrc2=s=320x240:r=25", "mandelbrot=s=320x240:r=25", "color=black:s=320x240", "color=white:s=320x240"]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        crate::material::ffmpeg(&format!("-f lavfi -i {source},noise=alls=20:allf=t -t 2 -pix_fmt yuv420p"), &path);
        assert!(follow(&path).iter().all(Vec::is_empty), "{source}");
    }
}

#[test]
fn of_fifty_faces_as_many_are_followed_as_asked_for() {
    let (_folder, path) = from_demo("-vf crop=720:720,scale=160:160,tile=10x5,loop=8:1:0 -frames:v 8");
    let small = TrackSettings { min_face: 0.04, ..TrackSettings::default() };
    let followed = follow_with(&path, small.clone());
    let counts: Vec<usize> = followed.iter().map(|s| boxes(s).len()).collect();
    // A face that is not quite sure must be seen again first.
    assert!(counts.iter().all(|count| *count <= 8) && counts[2..].iter().all(|count| *count == 8), "{counts:?}");
    let many = follow_with(&path, TrackSettings { max_faces: 60, ..small });
    assert!((9..=50).contains(&boxes(&many[4]).len()), "{}", boxes(&many[4]).len());
}

#[test]
fn a_tiny_face_a_huge_face_and_one_cut_by_the_edge_are_followed_once() {
    // The bundled clip's face is about 190 pixels wide, its centre near (700, 280).
    for (what, filter, least) in [
        ("tiny", "scale=-2:64", 0.5),
        ("huge", "crop=240:240:580:160,scale=720:720", 0.9),
        ("at the edge", "crop=720:720:0:0", 0.0),
    ] {
        let (_folder, path) = from_demo(&format!("-t 2 -vf {filter}"));
        let followed = follow(&path);
        let seen = followed.iter().filter(|s| !boxes(s).is_empty()).count();
        assert!(seen as f64 >= least * followed.len() as f64, "{what}: {seen} of {}", followed.len());
        assert!(followed.iter().all(|s| s.len() <= 1), "{what}");
    }
}

#[test]
fn cuts_every_second_end_tracks_where_they_are_and_leave_no_face_behind() {
    // A second of the face, a second of a pattern, and so on.
    let (_folder, path) = from_demo(
        "-f lavfi -i testsrc2=s=1280x720:r=25 -t 8 -filter_complex [0:v][1:v]overlay=enable=mod(floor(t)\\,2)",
    );
    let followed = follow(&path);
    for (index, sightings) in followed.iter().enumerate() {
        let is_face = (index / 25).is_multiple_of(2);
        let has_face = !boxes(sightings).is_empty();
        // Within two frames of a cut either may be right: the container rounds times.
        if (2..23).contains(&(index % 25)) {
            assert_eq!(has_face, is_face, "frame {index}");
        }
        assert!(sightings.len() <= 1, "frame {index}");
    }
}

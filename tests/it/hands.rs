//! Hands before faces: told by the region they cover, in every output, and not where there are none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use annotate::Annotator;
use annotate::timeline::{EventKind, FrameRecord, Measure, MeasureGroup, Status, Timeline};

/// The bundled clip from 8.4 s on, at its own times, so that a span of ten seconds ends in it; a drawn hand lies on mouth and chin in
/// its frames 25 to 55.
fn clip_with_hand(folder: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (demo, hand) = (root.join("assets/demo/demo.mp4"), root.join("tests/faces/hand.png"));
    let path = folder.join("hand.mkv");
    let filter = "[0][1]overlay=518:294:enable='between(n,25,55)'";
    let options = "-an -preset ultrafast -pix_fmt yuv420p -output_ts_offset 8.4";
    let inputs = format!("-ss 8.4 -t 3.2 -i {} -i {}", demo.display(), hand.display());
    crate::material::ffmpeg(&format!("{inputs} -filter_complex {filter} {options}"), &path);
    path
}

fn most(record: &FrameRecord) -> Option<f32> {
    Some(record.covered?.regions?.most())
}

#[test]
fn a_hand_on_the_mouth_is_an_event_blanks_the_mouth_and_leaves_the_eyes() {
    let folder = tempfile::tempdir().unwrap();
    let timeline = Annotator::new().unwrap().annotate(clip_with_hand(folder.path())).unwrap();
    timeline.check().unwrap();
    let [track] = &timeline.tracks[..] else { panic!("{} signers", timeline.tracks.len()) };
    let hands: Vec<_> = track.events.iter().filter(|event| event.kind == EventKind::HandOnFace).collect();
    // What goes on where a span ends is one event. A look is due every 0.12 s.
    let [hand] = &hands[..] else { panic!("{hands:?}") };
    assert!(hand.first_frame.abs_diff(25) <= 4 && hand.last_frame.abs_diff(55) <= 4, "{hand:?}");
    for record in &track.frames {
        let measures = record.measures.unwrap_or_default();
        let sees = |measure| measures.get(measure).is_some();
        match record.frame {
            30..=53 => {
                assert_eq!(record.status, Status::Occluded, "frame {}", record.frame);
                let regions = record.covered.unwrap().regions.unwrap();
                assert!(regions.mouth > 0.3 && regions.eyes < 0.1, "frame {}: {regions:?}", record.frame);
                assert!(record.label.is_none() && record.probabilities.is_some(), "frame {}", record.frame);
                assert!(!sees(Measure::MouthOpening) && sees(Measure::EyeApertureLeft), "frame {}", record.frame);
            }
            0..=20 | 60..=79 => {
                assert_eq!(record.status, Status::Ok, "frame {}", record.frame);
                assert_eq!(most(record), Some(0.0), "frame {}", record.frame);
                assert!(sees(Measure::MouthOpening), "frame {}", record.frame);
            }
            _ => {}
        }
    }
}

#[test]
fn a_hand_on_the_face_stands_in_every_output() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip_with_hand(folder.path());
    let formats = ["json", "csv", "eaf", "TextGrid", "segments.tsv", "jsonl", "parquet"];
    let run = |measures: &str, to: &Path| {
        let mut program = crate::material::program();
        program.arg(&clip).args(["--measures", measures, "--output-dir"]).arg(to);
        for format in formats {
            program.args(["-f", format]);
        }
        let output = program.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let to = folder.path().join("all");
    std::fs::create_dir(&to).unwrap();
    run("all", &to);
    let read = |to: &Path, format: &str| std::fs::read_to_string(to.join(format!("hand.{format}"))).unwrap();
    let timeline = Timeline::read(&to.join("hand.json")).unwrap();
    assert_eq!(timeline.face_counts()[0].events[&EventKind::HandOnFace].count, 1);
    let record = &timeline.tracks[0].frames[40];
    assert!(record.covered.unwrap().regions.unwrap().mouth > 0.3);
    let text = read(&to, "csv");
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let row: BTreeMap<String, String> = table.deserialize().nth(40).unwrap().unwrap();
    assert_eq!((row["status"].as_str(), row["label"].as_str()), ("occluded", ""));
    assert!(row["events"].contains("hand_on_face") && row["covered_mouth"].parse::<f64>().unwrap() > 0.3, "{row:?}");
    assert_eq!((row["mouth_opening"].as_str(), row["covered_eyes"].parse::<f64>().unwrap() < 0.1), ("", true));
    let eaf = read(&to, "eaf");
    let tier = eaf.split("<TIER ").find(|tier| tier.contains("TIER_ID=\"hands-on-face@A\"")).unwrap();
    assert!(tier.contains("<ANNOTATION_VALUE>hand on face</ANNOTATION_VALUE>"), "{tier}");
    assert!(read(&to, "TextGrid").contains("hands-on-face@A"));
    assert!(read(&to, "segments.tsv").lines().any(|line| line.contains("hands-on-face@A")));
    assert!(read(&to, "jsonl").contains("hand_on_face"));
    let mut names = Vec::new();
    let parquet = std::fs::read(to.join("hand.parquet")).unwrap();
    for name in ["covered_mouth", "covered_left"] {
        names.extend(parquet.windows(name.len()).any(|bytes| bytes == name.as_bytes()).then_some(name));
    }
    assert_eq!(names.len(), 2);
    // Without hands nobody looks for them.
    let without = folder.path().join("without");
    std::fs::create_dir(&without).unwrap();
    run("head,brows,eyes,mouth", &without);
    let timeline = Timeline::read(&without.join("hand.json")).unwrap();
    assert!(timeline.tracks[0].events.iter().all(|event| event.kind != EventKind::HandOnFace));
    assert!(timeline.tracks[0].frames.iter().all(|record| record.covered.is_none_or(|c| c.regions.is_none())));
}

#[test]
fn settings_say_from_where_on_a_face_is_covered_and_a_hand_is_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip_with_hand(folder.path());
    let mut annotator = Annotator::new().unwrap();
    annotator.settings.occluded_above = 1.0;
    annotator.settings.events.hand_on_face.enter = 1.1;
    annotator.settings.measures = vec![MeasureGroup::Hands];
    let timeline = annotator.annotate(&clip).unwrap();
    let [track] = &timeline.tracks[..] else { panic!("{} signers", timeline.tracks.len()) };
    assert!(track.events.is_empty(), "{:?}", track.events);
    assert!(track.frames.iter().all(|record| record.measures.is_none()));
    let share = most(&track.frames[45]).unwrap();
    assert!((0.2..1.0).contains(&share), "{share}");
    assert_eq!(track.frames[45].status, Status::Ok);
}

/// Frames with a hand over the face, and frames that are not counted.
type Seen = BTreeMap<String, (Vec<usize>, Vec<usize>)>;

fn seen_in(path: &Path, columns: [&str; 4], words: [&str; 2]) -> Seen {
    let mut seen = Seen::new();
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_path(path).unwrap();
    for row in reader.deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        let [clip, first, last, what] = columns.map(|column| row[column].clone());
        let frames = first.parse().unwrap()..=last.parse::<usize>().unwrap();
        let (over, near) = seen.entry(clip).or_default();
        match what {
            what if what == words[0] => over.extend(frames),
            what if what == words[1] => near.extend(frames),
            _ => {}
        }
    }
    seen
}

/// Frames that were rightly called covered, wrongly, and not.
fn told_of(clip: &Path, (over, near): &(Vec<usize>, Vec<usize>)) -> [usize; 3] {
    let timeline = Annotator::new().unwrap().annotate(clip).unwrap();
    let mut counts = [0; 3];
    for frame in (0..timeline.frames.time_s.len()).filter(|frame| !near.contains(frame)) {
        let mut records = timeline.tracks.iter().flat_map(|track| &track.frames);
        let is_told = records.any(|record| record.frame == frame && record.status == Status::Occluded);
        match (over.contains(&frame), is_told) {
            (true, true) => counts[0] += 1,
            (false, true) => counts[1] += 1,
            (true, false) => counts[2] += 1,
            (false, false) => {}
        }
    }
    counts
}

#[test]
fn hands_before_real_faces_are_told_and_turned_heads_glasses_and_shadows_are_not() {
    let test = "hands_before_real_faces_are_told_and_turned_heads_glasses_and_shadows_are_not";
    let Some(data) = crate::material::data(test) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let columns = ["clip", "first_frame", "last_frame", "event"];
    let chosen_on = seen_in(&data.join("videos/nonmanuals.csv"), columns, ["hand_over_face", "hand_near_face"]);
    let kept_back = root.join("tests/faces/hands_before_faces.csv");
    let kept_back = seen_in(&kept_back, ["clip", "first", "last", "judged"], ["over", "near"]);
    let mut totals = [[0; 3]; 2];
    for clip in crate::material::clips(test) {
        let name = clip.file_name().unwrap().to_str().unwrap().to_owned();
        // The same recording once more.
        if name.contains("120fps") {
            continue;
        }
        let is_kept_back = !chosen_on.contains_key(&name);
        let seen = if is_kept_back { &kept_back } else { &chosen_on };
        let counts = told_of(&clip, seen.get(&name).unwrap_or(&Default::default()));
        let [right, invented, missed] = counts;
        println!("{name}: {right} right, {invented} invented, {missed} missed");
        let total = &mut totals[usize::from(is_kept_back)];
        total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    for [right, invented, missed] in totals {
        let f1 = 2.0 * right as f64 / (2 * right + invented + missed) as f64;
        println!("{right} right, {invented} invented, {missed} missed, F1 {f1:.3}");
        assert!(f1 >= 0.85, "{right} right, {invented} invented, {missed} missed, F1 {f1}");
        assert!(invented * 20 <= right, "{invented} frames invented beside {right} right ones");
    }
}

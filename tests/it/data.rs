//! `annotate data` as a person runs it: from data sets over splits and crops to manifests, and what is refused.

#[path = "../../examples/feph_stand_in.rs"]
mod feph_stand_in;
#[path = "../../examples/shift_pictures.rs"]
mod shift_pictures;

use std::path::Path;
use std::process::Output;

use crate::material::program;
use annotate::model::registry;
use annotate::timeline::{Expression, Timeline};
use annotate::train::leakage::{NEAR, fingerprints};
use annotate::train::manifest::{self, Row, Split};
use candle_core::Device;
use image::{GrayImage, Luma, Rgb, RgbImage};

fn annotate(arguments: &str, folder: &Path) -> (Output, String) {
    let arguments = arguments.split_whitespace();
    let output = program().args(arguments).current_dir(folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

fn succeed(arguments: &str, folder: &Path) -> (String, String) {
    let (output, stderr) = annotate(arguments, folder);
    assert_eq!(output.status.code(), Some(0), "{arguments}: {stderr}");
    (String::from_utf8(output.stdout).unwrap(), stderr)
}

fn refused(arguments: &str, folder: &Path, code: i32, part: &str) {
    let (output, stderr) = annotate(arguments, folder);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {stderr}");
    assert!(stderr.contains(part), "{arguments}: {stderr}");
}

fn counts(rows: &[Row]) -> Vec<usize> {
    Expression::ALL.map(|class| rows.iter().filter(|row| row.label == Some(class)).count()).into()
}

#[test]
fn fephs_stand_in_has_the_published_counts_and_splits_by_video() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(feph_stand_in::make(&folder.join("feph"), 24, 2022).unwrap(), 2_601);
    let (_, stderr) = succeed("data import feph feph -o feph.csv", folder);
    for part in ["2531 images", "40 with several labels", "20 with the label 'none'", "10 without a label"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    let rows = manifest::read(&folder.join("feph.csv")).unwrap();
    // Neutral, happiness, sadness, surprise, fear, disgust, anger, as SLTAT 2022 has them.
    assert_eq!(counts(&rows), [195, 179, 349, 810, 308, 187, 503]);
    assert!(rows.iter().all(|row| row.sequence.is_some() && row.frame.is_some()));

    succeed("data split feph.csv --folds 5 --seed 7 -o folds.csv", folder);
    succeed("data split feph.csv --folds 5 --seed 7 -o again.csv", folder);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(read("folds.csv"), read("again.csv"));
    let rows = manifest::read(&folder.join("folds.csv")).unwrap();
    let mut folds = std::collections::BTreeMap::new();
    for row in &rows {
        let fold = folds.entry(row.sequence.clone().unwrap()).or_insert(row.fold);
        assert_eq!(*fold, row.fold, "a video is in two folds");
    }
    for fold in 1..=5 {
        let part: Vec<Row> = rows.iter().filter(|row| row.fold == Some(fold)).cloned().collect();
        assert!((430..=590).contains(&part.len()), "fold {fold} has {}", part.len());
        assert!(counts(&part).iter().all(|count| *count > 10), "{:?}", counts(&part));
    }

    let (table, _) = succeed("data inspect folds.csv --contact-sheet sheet.png", folder);
    assert!(table.contains("fold 5") && table.contains("2531") && table.contains("810"), "{table}");
    let sheet = image::open(folder.join("sheet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (120 + 12 * 72, 7 * 72));
}

#[test]
fn shares_are_kept_and_an_image_by_image_split_is_only_made_by_name_and_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    feph_stand_in::make(&folder.join("feph"), 16, 1).unwrap();
    succeed("data import feph feph -o feph.csv", folder);
    succeed("data split feph.csv --shares 80/10/10 -o grouped.csv", folder);
    let rows = manifest::read(&folder.join("grouped.csv")).unwrap();
    let test = rows.iter().filter(|row| row.split == Split::Test).count();
    assert!((200..=310).contains(&test), "{test}");
    let (_, stderr) = succeed("data split feph.csv --shares 80/20 --ungrouped -o mixed.csv", folder);
    assert!(stderr.contains("groups on two sides: sequence"), "{stderr}");
    refused("data inspect mixed.csv --leakage", folder, 3, "divide it again");
    refused("data split feph.csv --folds 2000 -o no.csv", folder, 3, "fewer groups than parts");
}

#[test]
fn the_same_picture_on_two_sides_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let paint = |x: u32, y: u32| 128.0 + 90.0 * (x as f32 / 5.0).sin() * (y as f32 / 8.0).cos();
    for (name, change) in [("a", 0.0), ("copy", 0.0), ("brighter", 12.0)] {
        GrayImage::from_fn(60, 60, |x, y| Luma([(paint(x, y) + change) as u8]))
            .save(folder.join(format!("{name}.png")))
            .unwrap();
    }
    GrayImage::from_fn(60, 60, |x, y| Luma([paint(y * 2, x + 9) as u8])).save(folder.join("other.png")).unwrap();
    let manifest = |test: &str| {
        let text = format!("path,label,split\na.png,fear,train\n{test}.png,anger,test\n");
        std::fs::write(folder.join("m.csv"), text).unwrap();
    };
    for (test, part) in [("copy", "1 identical pictures"), ("brighter", "1 near-identical pairs")] {
        manifest(test);
        refused("data inspect m.csv --leakage", folder, 3, part);
        let (_, stderr) = succeed("data split m.csv --as-it-is --drop-copies -o clean.csv", folder);
        assert!(stderr.contains("1 training images") && stderr.contains("no leakage"), "{stderr}");
        assert_eq!(manifest::read(&folder.join("clean.csv")).unwrap()[0].split, Split::Test);
    }
    manifest("other");
    let (table, stderr) = succeed("data inspect m.csv --leakage", folder);
    assert!(stderr.contains("no leakage") && table.contains("anger"), "{table}{stderr}");
}

#[test]
fn shifted_pictures_are_in_other_light_or_half_covered_or_soft_and_each_comes_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut text = "path,label,split\n".to_owned();
    for (name, number, split) in
        [("a", 1, "test"), ("copy", 1, "test"), ("b", 2, "test"), ("c", 3, "test"), ("learnt", 4, "train")]
    {
        let paint = |x: u32, y: u32| if (x * number / 3 + y * (5 - number) / 4).is_multiple_of(2) { 40 } else { 200 };
        let path = folder.join(format!("{name}.png"));
        GrayImage::from_fn(48, 48, |x, y| Luma([paint(x, y)])).save(path).unwrap();
        text += &format!("{name}.png,fear,{split}\n");
    }
    std::fs::write(folder.join("m.csv"), text).unwrap();

    assert_eq!(shift_pictures::make(&folder.join("m.csv"), &folder.join("shifted")).unwrap(), 3);
    let rows = manifest::read(&folder.join("shifted/shifted.csv")).unwrap();
    assert!(rows.iter().all(|row| row.label == Some(Expression::Fear) && row.fold.is_none()));
    let [light, covered, soft] = [0, 1, 2].map(|index: usize| image::open(&rows[index].path).unwrap().into_rgb8());
    assert!(light.pixels().all(|pixel| pixel.0[0] <= 60 && pixel.0[2] * 2 <= pixel.0[0] + 1));
    let is_grey = |y: u32| covered.rows().nth(y as usize).unwrap().all(|pixel| pixel.0 == [128; 3]);
    assert!((24..48).all(is_grey) && !(0..24).any(is_grey));
    let sharpest = soft.rows().flat_map(|row| {
        let row: Vec<u8> = row.map(|pixel| pixel.0[0]).collect();
        row.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max()
    });
    assert!(sharpest.max().unwrap() < 100);
}

#[test]
fn copies_in_fer2013_are_near_and_other_pictures_are_not() {
    let Some(data) = crate::material::data("copies_in_fer2013_are_near_and_other_pictures_are_not") else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = data.join("fer2013").canonicalize().unwrap().display().to_string();
    succeed(&format!("data import fer2013 {source} --labels fer2013 -o fer.csv"), folder.path());
    let rows: Vec<Row> = manifest::read(&folder.path().join("fer.csv")).unwrap();
    assert!(rows.iter().all(|row| row.label.is_some()));
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.split == Split::Test).take(800).collect();
    let prints = fingerprints(&rows).unwrap();
    let pictures: Vec<_> = rows.iter().zip(&prints).collect();
    let (mut same, mut near, mut far) = (0, 0, 0);
    for (index, (row, print)) in pictures.iter().enumerate() {
        for (other, other_print) in &pictures[index + 1..] {
            let is_copy = row.sequence.is_some() && row.sequence == other.sequence;
            match print.distance(other_print) {
                Some(0) if is_copy => same += 1,
                Some(distance) if distance <= NEAR => near += 1,
                Some(_) => far += 1,
                None => {}
            }
        }
    }
    println!("{same} copies, {near} near, {far} far");
    // The pictures hold near-copies that nobody has listed; other people's faces are not near.
    assert!(same > 0 && near < 200 && far > 300_000, "{same} {near} {far}");
}

#[test]
fn a_training_crop_is_what_annotation_classifies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.mp4");
    succeed(&format!("{} --end 2.5 -o labels.json -q", demo.display()), folder);
    let timeline = Timeline::read(&folder.join("labels.json")).unwrap();
    let frames = [5, 20, 55];
    let mut text = "path,label,split,frame\n".to_owned();
    for frame in frames {
        text += &format!("{},happiness,train,{frame}\n", demo.display());
    }
    std::fs::write(folder.join("frames.csv"), text).unwrap();
    succeed("data crop frames.csv --side 48 --luma -o crops.csv", folder);
    let rows = manifest::read(&folder.join("crops.csv")).unwrap();
    assert_eq!(rows.iter().map(|row| row.frame.unwrap()).collect::<Vec<_>>(), frames);
    let model = registry::open(Path::new("default"), &Device::Cpu).unwrap();
    for row in &rows {
        let pixels: Vec<f32> = image::open(&row.path).unwrap().into_luma8().iter().map(|v| f32::from(*v)).collect();
        let ours = model.probabilities(pixels).unwrap()[0];
        let track = &timeline.tracks[0];
        let theirs = track.frames[row.frame.unwrap() as usize - track.first_frame].probabilities.unwrap();
        // The crop was rounded to whole numbers on its way through the file.
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() < 0.03, "frame {:?}: {ours} is not {theirs}", row.frame);
        }
    }
}

#[test]
fn crops_of_still_frames_keep_names_and_labels_and_list_frames_without_a_face() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    crate::material::ffmpeg(
        "-i assets/demo/demo.mp4 -vf fps=1/3,scale=640:-1",
        &folder.join("a.avi_pid0_fn%06d-0.png"),
    );
    let mut rows: Vec<Row> = (1..=8)
        .map(|frame| {
            let path = folder.join(format!("a.avi_pid0_fn{frame:06}-0.png"));
            assert!(path.exists(), "{}", path.display());
            let label = Some(Expression::ALL[frame % 7]);
            Row { label, sequence: Some("a".into()), frame: Some(frame as u64), ..Row::new(path, Split::Train) }
        })
        .collect();
    RgbImage::from_pixel(128, 128, Rgb([40, 90, 40])).save(folder.join("grass.png")).unwrap();
    let mut grass = rows[0].clone();
    grass.path = folder.join("grass.png");
    rows.insert(1, grass);
    manifest::put(&folder.join("frames.csv"), &rows, annotate::files::OutputOptions::new()).unwrap();
    let (_, stderr) = succeed("data crop frames.csv --side 64 --normalise hist_eq -o crops.csv", folder);
    assert!(stderr.contains("grass.png"), "{stderr}");
    assert!(std::fs::read_to_string(folder.join("crops.without-face.txt")).unwrap().contains("row 2: "));
    let crops = manifest::read(&folder.join("crops.csv")).unwrap();
    // Once the figure walks out of the picture.
    assert!(crops.len() >= 6, "{} of {}", crops.len(), rows.len());
    for crop in &crops {
        let frame = rows.iter().find(|row| row.path.file_name() == crop.path.file_name()).unwrap();
        assert_eq!((crop.label, &crop.sequence, crop.frame), (frame.label, &frame.sequence, frame.frame));
        let picture = image::open(&crop.path).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (64, 64));
        // An equalised channel reaches from black to white.
        for channel in 0..3 {
            let values = || picture.pixels().map(|pixel| pixel.0[channel]);
            assert_eq!((values().min(), values().max()), (Some(0), Some(255)));
        }
    }
}

#[test]
fn videos_give_a_crop_every_so_often_once_somebody_says_what_they_show() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    crate::material::ffmpeg("-t 2 -i assets/demo/demo.mp4 -c copy", &folder.join("clip.mp4"));
    refused("data crop clip.mp4 -o crops.csv", folder, 2, "--label");
    succeed("data crop clip.mp4 --label neutral --every 0.5 --side 40 -o crops.csv", folder);
    let rows = manifest::read(&folder.join("crops.csv")).unwrap();
    assert!((3..=5).contains(&rows.len()), "{}", rows.len());
    assert!(rows.iter().all(|row| row.label == Some(Expression::Neutral) && row.sequence.as_deref() == Some("clip")));
    std::fs::write(folder.join("late.csv"), "path,label,split,frame\nclip.mp4,fear,train,9999\n").unwrap();
    refused("data crop late.csv -o crops.csv", folder, 3, "no frame 9999");
}

#[test]
fn bad_data_is_refused_by_row_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    GrayImage::new(5, 5).save(folder.join("good.png")).unwrap();
    std::fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    for (name, text, part) in [
        ("missing", "path,label,split\ngood.png,fear,train\ngone.png,fear,train\n", "row 2"),
        ("broken", "path,label,split\nbroken.png,fear,train\n", "row 1"),
        ("label", "path,label,split\ngood.png,joy,train\n", "line 2"),
        ("columns", "path,split\ngood.png,train\n", "label"),
        ("empty", "", "no rows"),
    ] {
        std::fs::write(folder.join(format!("{name}.csv")), text).unwrap();
        refused(&format!("data inspect {name}.csv --leakage"), folder, 3, part);
    }
    refused("data crop missing.csv -o crops.csv", folder, 3, "row 2");
    std::fs::create_dir_all(folder.join("set/joyful")).unwrap();
    std::fs::copy(folder.join("good.png"), folder.join("set/joyful/a.png")).unwrap();
    refused("data import class-folders set -o m.csv", folder, 3, "'joyful'");
    refused("data import feph set -o m.csv", folder, 3, "FePh_labels.csv");
    refused("data import fer2013-csv set -o m.csv", folder, 3, "fer2013.csv");
    refused("data import affectnet set -o m.csv", folder, 3, "train_set/images");
    refused("data import corrections good.png -o m.csv", folder, 2, "--annotation");
    refused("data split gone.csv -o m.csv", folder, 3, "gone.csv");
    std::fs::rename(folder.join("set/joyful"), folder.join("set/happy")).unwrap();
    succeed("data import class-folders set -o m.csv", folder);
    refused("data import class-folders set -o no/such/folder/m.csv", folder, 6, "does not exist");
    // What lies below the manifest is named relative to it, so that both can be moved.
    assert!(std::fs::read_to_string(folder.join("m.csv")).unwrap().contains("\nset/happy/a.png,"));
}

#[test]
fn a_data_set_like_feph_is_adapted_to_by_video_with_the_papers_settings_among_what_may_be_tried() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    feph_stand_in::make(&folder.join("feph"), 48, 2022).unwrap();
    succeed("data import feph feph -o feph.csv", folder);
    // Of every six videos one, so that it takes seconds.
    let rows = manifest::read(&folder.join("feph.csv")).unwrap();
    let videos: std::collections::BTreeSet<String> = rows.iter().filter_map(|row| row.sequence.clone()).collect();
    let some: Vec<String> = videos.into_iter().step_by(6).collect();
    let text = std::fs::read_to_string(folder.join("feph.csv")).unwrap();
    let is_meant = |line: &&str| some.iter().any(|video| line.contains(&format!("{video}.avi")));
    let lines: Vec<&str> = text.lines().take(1).chain(text.lines().skip(1).filter(is_meant)).collect();
    std::fs::write(folder.join("some.csv"), lines.join("\n")).unwrap();
    succeed("adapt some.csv --out mine --budget 20s --threads 2", folder);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("mine/report.json")).unwrap()).unwrap();
    assert_eq!(report["inventory"]["grouping"], "sequence");
    assert_eq!(report["gain"]["images"].as_u64().unwrap() as usize, lines.len() - 1, "all are judged, once");
    let not_tried = report["not_tried"].as_array().unwrap().iter().map(|pair| &pair[0]);
    let candidates: Vec<&serde_json::Value> =
        report["candidates"].as_array().unwrap().iter().chain(not_tried).collect();
    // FT, FT+HF, FT+CW, FT+IP, FT+IP+HF, FT+IP+HF+CW.
    for (flips, normalised, balanced) in [
        (false, false, false),
        (true, false, false),
        (false, false, true),
        (false, true, false),
        (true, true, false),
        (true, true, true),
    ] {
        let wanted = serde_json::json!({
            "method": {"network": {"flips": flips, "mixed": false, "normalised": normalised}},
            "balanced": balanced,
        });
        assert!(candidates.contains(&&wanted), "{wanted} is not among {candidates:?}");
    }
}

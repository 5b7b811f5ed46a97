//! From annotations to pictures and to a model: a corpus of the bundled clip's figure as several signers, in other light, other
//! sizes and mirrored, with ELAN documents of two annotators.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use annotate::timeline::{Expression, Timeline};
use annotate::train::manifest::{self, Row};
use serde_json::Value;

use crate::material::{ffmpeg, program};

const CLIP: &str = "assets/demo/demo.mp4";

/// How each signer's video differs from the bundled clip; all are small, so that looking at them is quick.
const SIGNERS: [(&str, &str); 4] = [
    ("ann", "scale=640:360"),
    ("ben", "scale=640:360,hflip,eq=brightness=-0.12:contrast=0.9"),
    ("cleo", "scale=560:316,eq=gamma=1.3"),
    ("dora", "scale=600:338,hflip,eq=saturation=0.4:contrast=1.1"),
];

/// What is held when in the clip.
fn held() -> Vec<(u64, u64, Expression)> {
    let truth: Value = serde_json::from_slice(&std::fs::read("assets/demo/truth.json").unwrap()).unwrap();
    let ms = |value: &Value| (value.as_f64().unwrap() * 1000.0).round() as u64;
    let spans = truth["spans"].as_array().unwrap().iter().filter(|span| span["kind"] == "held");
    let label = |span: &Value| Expression::from_name(span["label"].as_str().unwrap()).unwrap();
    spans.map(|span| (ms(&span["start_s"]), ms(&span["end_s"]), label(span))).collect()
}

/// Makes the video of one signer.
fn video(signer: usize, folder: &Path) -> PathBuf {
    let (name, filter) = SIGNERS[signer];
    let path = folder.join(format!("{name}.mp4"));
    ffmpeg(&format!("-i {CLIP} -vf {filter} -c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p"), &path);
    path
}

/// Start and end, milliseconds, and word.
type Stretch<'a> = (u64, u64, &'a str);

/// A document with tiers of stretches.
fn eaf(path: &Path, video: &str, tiers: &[(&str, &[Stretch])]) {
    let (mut slots, mut body, mut count) = (String::new(), String::new(), 0);
    for (name, annotations) in tiers {
        let person = name.rsplit_once('@').map_or("", |(_, person)| person);
        let _ = write!(body, "<TIER TIER_ID=\"{name}\" LINGUISTIC_TYPE_REF=\"t\" PARTICIPANT=\"{person}\">");
        for (start, end, word) in *annotations {
            count += 1;
            let _ = write!(slots, "<TIME_SLOT TIME_SLOT_ID=\"s{count}\" TIME_VALUE=\"{start}\"/>");
            let _ = write!(slots, "<TIME_SLOT TIME_SLOT_ID=\"e{count}\" TIME_VALUE=\"{end}\"/>");
            let _ = write!(
                body,
                "<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID=\"a{count}\" TIME_SLOT_REF1=\"s{count}\" \
                 TIME_SLOT_REF2=\"e{count}\"><ANNOTATION_VALUE>{word}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            );
        }
        body.push_str("</TIER>");
    }
    let text = format!(
        "<?xml version=\"1.0\"?><ANNOTATION_DOCUMENT AUTHOR=\"\" DATE=\"2026-01-01T00:00:00Z\" FORMAT=\"3.0\" VERSION=\"3.0\">\
         <HEADER TIME_UNITS=\"milliseconds\"><MEDIA_DESCRIPTOR MEDIA_URL=\"file:///somewhere/else/{video}\" \
         MIME_TYPE=\"video/mp4\" RELATIVE_MEDIA_URL=\"./{video}\"/></HEADER><TIME_ORDER>{slots}</TIME_ORDER>{body}\
         <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID=\"t\" TIME_ALIGNABLE=\"true\"/></ANNOTATION_DOCUMENT>"
    );
    std::fs::write(path, text).unwrap();
}

fn annotate(arguments: &str, folder: &Path) -> (Output, String) {
    let output = program().args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

fn succeed(arguments: &str, folder: &Path) -> String {
    let (output, stderr) = annotate(arguments, folder);
    assert_eq!(output.status.code(), Some(0), "{arguments}: {stderr}");
    stderr
}

fn left_out(path: &Path) -> Vec<[String; 6]> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.records().map(|row| std::array::from_fn(|cell| row.as_ref().unwrap()[cell].to_owned())).collect()
}

#[test]
fn two_annotators_documents_become_pictures_of_the_right_faces_and_every_loss_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    video(0, folder);
    let held = held();
    let words: BTreeMap<Expression, &str> = Expression::ALL
        .into_iter()
        .zip(["neutral", "Freude", "traurig", "surprised", "Angst", "Ekel", "wütend"])
        .collect();
    let first: Vec<(u64, u64, &str)> = held.iter().map(|(start, end, label)| (*start, *end, words[label])).collect();
    // The second annotator is some frames late, calls fear surprise, and uses words of her own.
    let mut second: Vec<(u64, u64, &str)> = held
        .iter()
        .map(|(start, end, label)| {
            (start + 80, end - 40, if *label == Expression::Fear { "Staunen" } else { label.name() })
        })
        .collect();
    second.extend([
        (15_000, 15_400, "mouthing"),
        (30_000, 31_000, "joy"),
        (9_900, 10_000, "joy"),
        (15_500, 15_500, "joy"),
    ]);
    eaf(
        &folder.join("ann.eaf"),
        "ann.mp4",
        &[("expression@ann", &first), ("expression-2@ann", &second), ("gloss@ann", &[])],
    );
    let (output, stderr) = annotate("data import eaf ann.eaf --tier expression*@* -o m.csv", folder);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("'mouthing' (1)") && stderr.contains("annotators disagree about"), "{stderr}");

    let rows = manifest::read(&folder.join("m.csv")).unwrap();
    assert!((35..=50).contains(&rows.len()), "{}", rows.len());
    assert!(rows.iter().all(|row| row.subject.as_deref() == Some("ann") && row.path.is_file()));
    let sequences: BTreeSet<_> = rows.iter().map(|row| row.sequence.clone().unwrap()).collect();
    assert_eq!(sequences.len(), 1);
    for row in &rows {
        // 25 frames a second; nothing within 0.1 s of an edge of either annotator.
        let middle = row.frame.unwrap() * 40 + 20;
        let (start, end, label) = held.iter().find(|(start, end, _)| (*start..*end).contains(&middle)).unwrap();
        assert!(middle >= start + 180 && middle <= end - 140, "{middle} in {start} to {end}");
        match label {
            Expression::Fear => {
                let target = row.target().unwrap();
                assert_eq!(row.label, None);
                assert_eq!([Expression::Fear, Expression::Surprise].map(|class| target[class.index()]), [0.5; 2]);
            }
            label => assert_eq!((row.label, row.soft_neutral), (Some(*label), None)),
        }
    }
    // Pictures of one annotation lie half a second apart and are faces: the default model reads most of them rightly.
    let frames: Vec<u64> = rows.iter().map(|row| row.frame.unwrap()).collect();
    assert!(frames.windows(2).all(|pair| pair[1] >= pair[0] + 10), "{frames:?}");
    std::fs::copy(folder.join("m.csv"), folder.join("test.csv")).unwrap();
    let text = std::fs::read_to_string(folder.join("test.csv")).unwrap().replace(",train,", ",test,");
    std::fs::write(folder.join("test.csv"), text).unwrap();
    succeed("evaluate --data test.csv --out e", folder);
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("e/report.json")).unwrap()).unwrap();
    assert!(report["metrics"]["accuracy"].as_f64().unwrap() > 0.8, "{}", report["metrics"]["accuracy"]);

    let listed = left_out(&folder.join("m.left-out.csv"));
    let reason = |word: &str, start: &str| {
        let of = |row: &&[String; 6]| row[4] == word && row[2] == start;
        listed.iter().find(of).map(|row| (row[1].as_str(), row[5].clone())).unwrap()
    };
    assert!(listed.iter().all(|row| row[0].ends_with("ann.eaf") && row[1] == "expression-2@ann"), "{listed:?}");
    assert!(reason("mouthing", "15.000").1.contains("stands for no class"));
    assert!(reason("joy", "30.000").1.contains("after the video"));
    assert!(reason("joy", "9.900").1.contains("shorter than"));
    assert!(reason("joy", "15.500").1.contains("no length"));
    assert_eq!(listed.len(), 4);

    // What was seen is kept: the second time nobody looks for faces, and the bytes are the same.
    let before = std::fs::read(folder.join("m.csv")).unwrap();
    let pictures = || rows.iter().map(|row| std::fs::read(&row.path).unwrap()).collect::<Vec<_>>();
    let seen = pictures();
    let stderr = succeed("data import eaf ann.eaf --tier expression*@* -o m.csv", folder);
    assert!(!stderr.contains("looking for faces"), "{stderr}");
    assert_eq!(std::fs::read(folder.join("m.csv")).unwrap(), before);
    assert!(pictures() == seen, "also those of boxes that were found in the first run");

    // The same stretches as a table, a TextGrid and a labels.json that a person corrected.
    let mut table = "begin;end;label;signer\n".to_owned();
    first
        .iter()
        .for_each(|(start, end, word)| table += &format!("{};{};{word};ann\n", *start as f64 / 1e3, *end as f64 / 1e3));
    std::fs::write(folder.join("ann.csv"), table).unwrap();
    let mut grid = format!(
        "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n0\n22\n<exists>\n1\n\"IntervalTier\"\n\"expression@ann\"\n0\n22\n{}\n",
        first.len()
    );
    first.iter().for_each(|(start, end, word)| {
        grid += &format!("{}\n{}\n\"{word}\"\n", *start as f64 / 1e3, *end as f64 / 1e3)
    });
    std::fs::write(folder.join("ann.TextGrid"), grid).unwrap();
    std::fs::create_dir_all(folder.join("t.pictures")).unwrap();
    let timelines = folder.join("m.pictures/timelines");
    let timeline = std::fs::read_dir(&timelines).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(&timeline, folder.join("ann.mp4.json")).unwrap();
    let labels = |rows: &[Row]| rows.iter().map(|row| (row.frame, row.label)).collect::<Vec<_>>();
    succeed("data import table ann.csv -o t.csv", folder);
    succeed("data import textgrid ann.TextGrid -o g.csv", folder);
    let [of_table, of_grid] = ["t.csv", "g.csv"].map(|name| manifest::read(&folder.join(name)).unwrap());
    assert_eq!(labels(&of_table), labels(&of_grid));
    assert!(of_table.len() >= rows.len() && of_table.iter().all(|row| row.label.is_some()));

    // The program's own labels teach it nothing.
    let (output, stderr) = annotate("data import labels ann.mp4.json -o n.csv", folder);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("it was never corrected"), "{stderr}");
    let timeline = Timeline::read(&folder.join("ann.mp4.json")).unwrap();
    let segment = &timeline.tracks[0].segments[1];
    let state = serde_json::json!({
        "segment": format!("1.{}", segment.first_frame), "track": 1, "first_frame": segment.first_frame,
        "last_frame": segment.last_frame, "label": segment.label,
    });
    let mut after = state.clone();
    (after["label"], after["review"]) = ("disgust".into(), "changed".into());
    let correction = serde_json::json!({
        "schema": "annotate/correction/2", "id": "x", "kind": "label", "layer": "review", "labels": "",
        "media_sha256": timeline.media.sha256, "model_sha256": timeline.model.sha256, "reviewer": "r",
        "time": "2026-11-27T10:00:00Z", "before": [state], "after": [after],
    });
    std::fs::write(folder.join("c.jsonl"), correction.to_string()).unwrap();
    succeed("apply c.jsonl --labels ann.mp4.json -o corrected.json", folder);
    succeed("data import labels corrected.json -o c.csv", folder);
    let corrected = manifest::read(&folder.join("c.csv")).unwrap();
    assert!(!corrected.is_empty() && corrected.iter().all(|row| row.label == Some(Expression::Disgust)));
    let inside = |row: &Row| (segment.first_frame..=segment.last_frame).contains(&(row.frame.unwrap() as usize));
    assert!(corrected.iter().all(inside));
}

#[test]
fn what_is_wrong_with_annotations_is_named_with_file_tier_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let joy: &[(u64, u64, &str)] = &[(1000, 2000, "joy")];
    eaf(&folder.join("gone.eaf"), "gone.mp4", &[("expression@A", joy)]);
    eaf(&folder.join("other.eaf"), "gone.mp4", &[("gloss@A", joy), ("mimik", joy)]);
    std::fs::write(folder.join("broken.eaf"), "<x").unwrap();
    for (file, parts) in [
        ("gone.eaf", ["gone.eaf", "its video is not there", "'gone.mp4'"]),
        ("other.eaf", ["other.eaf", "no tier is called 'expression@*'", "'gloss@A', 'mimik'"]),
        ("broken.eaf", ["broken.eaf", "cannot be used", ""]),
        ("absent.eaf", ["absent.eaf", "no such file", ""]),
    ] {
        let (output, stderr) = annotate(&format!("data import eaf {file} -o m.csv"), folder);
        assert_eq!(output.status.code(), Some(3), "{file}: {stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(parts.iter().all(|part| last.contains(part)), "{file}: {stderr}");
        assert!(!folder.join("m.csv").exists());
    }
    std::fs::create_dir(folder.join("empty")).unwrap();
    let (output, stderr) = annotate("data import eaf empty -o m.csv", folder);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr.contains("no annotation file of the kinds: eaf"), "{stderr}");

    // Two people beside each other, and one file of three that can be used.
    ffmpeg(
        &format!(
            "-t 6 -i {CLIP} -vf scale=480:270,split[a][b];[b]hflip[c];[a][c]hstack -c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p"
        ),
        &folder.join("two.mp4"),
    );
    let spans: &[(u64, u64, &str)] = &[(200, 1400, "neutral"), (2000, 3600, "joy")];
    eaf(&folder.join("two.eaf"), "two.mp4", &[("expression@Left", spans), ("mimik", spans)]);
    let (output, stderr) = annotate("data import eaf two.eaf gone.eaf -o m.csv", folder);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("tier 'expression@Left', 0.200 to 1.400 s ('neutral'): 2 faces are seen"), "{stderr}");
    let (output, stderr) = annotate("data import eaf two.eaf gone.eaf --signer B -o m.csv", folder);
    assert_eq!(output.status.code(), Some(4), "the rest is written: {stderr}");
    let rows = manifest::read(&folder.join("m.csv")).unwrap();
    assert!(rows.len() >= 4 && rows.iter().all(|row| row.path.to_string_lossy().contains("-B-")), "{rows:?}");
    let (output, stderr) = annotate("data import eaf two.eaf --signer Z -o n.csv", folder);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr.contains("no signer is called 'Z' there; found: A, B"), "{stderr}");
}

/// What the corpus calls what is shown: it has conventions of its own, which no general model can know.
fn called(label: Expression) -> Expression {
    match label {
        Expression::Fear => Expression::Surprise,
        Expression::Disgust => Expression::Anger,
        label => label,
    }
}

/// Three signers' videos and documents, each with two annotators who differ by some frames.
fn corpus(folder: &Path) {
    let held = held();
    for (signer, (name, _)) in SIGNERS.iter().enumerate().take(3) {
        let path = video(signer, folder);
        let first: Vec<(u64, u64, &str)> =
            held.iter().map(|(start, end, l)| (*start, *end, called(*l).name())).collect();
        let second: Vec<(u64, u64, &str)> =
            first.iter().map(|(start, end, word)| (start + 60, end - 20, *word)).collect();
        let [first_tier, second_tier] = [format!("expression@{name}"), format!("expression-2@{name}")];
        let file = path.file_name().unwrap().to_str().unwrap();
        eaf(&folder.join(format!("{name}.eaf")), file, &[(&first_tier, &first), (&second_tier, &second)]);
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn from_elan_documents_to_a_better_model_with_proof_in_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let command = "adapt . --tier expression*@* --out models/mine --threads 2 --budget 15s";
    let stderr = succeed(command, folder);
    assert!(stderr.contains("pictures of") && stderr.contains("Adapted by '"), "{stderr}");
    let out = folder.join("models/mine");
    let report = json(&out.join("report.json"));
    assert_eq!(report["outcome"], "adapted");
    assert_eq!(report["inventory"]["signers"].as_object().unwrap().len(), 3);
    assert_eq!((report["inventory"]["grouping"].as_str(), report["clusters"].as_u64()), (Some("subject"), Some(3)));
    let gain = report["gain"]["accuracy_difference"].as_f64().unwrap();
    assert!(gain > 0.1, "the corpus's conventions are learnt: {gain}");
    assert!(report["gain"]["balanced_accuracy_difference_interval"][0].as_f64().unwrap() > 0.0);
    // Every labelled picture is judged, once, and never in the fold that learnt from it.
    let rows = manifest::read(&out.join("adapt/manifest.csv")).unwrap();
    let labelled = rows.iter().filter(|row| row.label.is_some()).count();
    assert_eq!(report["gain"]["images"].as_u64().unwrap() as usize, labelled);
    for fold in report["folds"].as_array().unwrap() {
        let pictures: Vec<u64> = fold["pictures"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(pictures.iter().sum::<u64>() as usize, labelled);
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for part in [
        "Before and after",
        "Learning curve",
        "What was tried",
        "What it gained",
        "gain in balanced accuracy",
        "Labelled pictures by signer",
        "more annotated minutes",
    ] {
        assert!(page.contains(part), "{part}");
    }
    if let Some(kept) = std::env::var_os("ANNOTATE_KEEP") {
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::copy(out.join("report.html"), Path::new(&kept).join("report.html")).unwrap();
    }

    // What is worth reviewing first, and where it is.
    let timelines = "models/mine/adapt/manifest.pictures/timelines";
    succeed(&format!("review {timelines} --queue 5"), folder);
    let queue = std::fs::read_to_string(folder.join(timelines).join("queue.html")).unwrap();
    assert_eq!(queue.matches(".html#frame=").count(), 5, "{queue}");
    // The folds' models are asked, and where they differ it is said.
    succeed(&format!("review {timelines} --queue 200 --committee models/mine"), folder);
    let queue = std::fs::read_to_string(folder.join(timelines).join("queue.html")).unwrap();
    assert!(queue.contains("all 3 models say anger"), "what the start calls disgust: {queue}");
    assert!(queue.contains(">ben.mp4</a>"), "videos have names, not digests: {queue}");
    let (output, stderr) = annotate(&format!("review {timelines} --queue 5 --committee new"), folder);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("leaves the models of its folds there"), "{stderr}");
    let (output, stderr) = annotate("review new.json --queue 5", folder);
    assert_eq!(output.status.code(), Some(2), "{stderr}");

    // The model is one like any other: a fourth signer's faces get the corpus's labels.
    video(3, folder);
    std::fs::create_dir(folder.join("new")).unwrap();
    let held = held();
    let dora: Vec<(u64, u64, &str)> = held.iter().map(|(start, end, l)| (*start, *end, called(*l).name())).collect();
    std::fs::rename(folder.join("dora.mp4"), folder.join("new/dora.mp4")).unwrap();
    eaf(&folder.join("new/dora.eaf"), "dora.mp4", &[("expression@dora", &dora)]);
    succeed("data import eaf new -o new.csv --model models/mine", folder);
    let text = std::fs::read_to_string(folder.join("new.csv")).unwrap().replace(",train,", ",test,");
    std::fs::write(folder.join("new.csv"), text).unwrap();
    succeed("evaluate --data new.csv --out before", folder);
    succeed("evaluate --data new.csv --model models/mine --out after", folder);
    let accuracy = |name: &str| json(&folder.join(name).join("report.json"))["metrics"]["accuracy"].as_f64().unwrap();
    assert!(accuracy("after") > accuracy("before") + 0.1, "{} {}", accuracy("before"), accuracy("after"));

    // The same command again gives the same model, and looks for no faces.
    let before = std::fs::read(out.join("model.safetensors")).unwrap();
    std::fs::remove_dir_all(folder.join("new")).unwrap();
    let stderr = succeed(command, folder);
    assert!(!stderr.contains("looking for faces"), "{stderr}");
    assert!(std::fs::read(out.join("model.safetensors")).unwrap() == before, "the same model");
}

/// A manifest of noise with these signers and labels.
fn noise(path: &Path, count: usize, of: impl Fn(usize) -> (String, Expression)) {
    let folder = path.with_extension("pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = "path,label,subject,split\n".to_owned();
    for index in 0..count {
        let name = folder.join(format!("{index}.png"));
        image::GrayImage::from_fn(48, 48, |x, y| {
            image::Luma([((x as usize * 7919 + y as usize * 104_729 + index * 1_299_709) % 251) as u8])
        })
        .save(&name)
        .unwrap();
        let (signer, label) = of(index);
        let _ = writeln!(text, "{},{},{signer},train", name.display(), label.name());
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn where_nothing_can_be_learnt_the_start_is_written_calibrated_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // All classes alike often and by chance: with fewer classes than the start knows, to say no others is a gain.
    let label = |index: usize| Expression::ALL[((index * 2_654_435_761) >> 12) % Expression::COUNT];
    noise(&folder.join("n.csv"), 280, |index| (format!("s{}", index % 10), label(index)));
    let stderr = succeed("adapt n.csv --out mine --budget 5s --threads 2", folder);
    assert!(stderr.contains("written with its probabilities calibrated"), "{stderr}");
    let report = json(&folder.join("mine/report.json"));
    assert_eq!(report["outcome"], "calibrated_start");
    let [mine, start] = ["mine", "default"].map(|name| {
        let name = if name == "default" { PathBuf::from(name) } else { folder.join(name) };
        annotate::model::registry::weights(&name).unwrap()
    });
    assert_ne!(mine.0.temperature, start.0.temperature);
    let same = |name: &String| {
        let values = |of: &BTreeMap<String, candle_core::Tensor>| {
            of[name].to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        values(&mine.1) == values(&start.1)
    };
    assert!(mine.1.keys().all(same), "only the temperature differs");
    let not_tried = report["not_tried"].as_array().unwrap();
    assert!(!not_tried.is_empty(), "the budget is too small for networks");
}

#[test]
fn too_little_and_what_does_not_fit_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let two = |index: usize| if index.is_multiple_of(2) { Expression::Fear } else { Expression::Neutral };
    noise(&folder.join("few.csv"), 30, |index| (format!("s{}", index % 4), two(index / 4)));
    noise(&folder.join("one.csv"), 60, |index| (format!("s{}", index % 4), Expression::Fear));
    noise(&folder.join("pair.csv"), 60, |index| (format!("s{}", index % 2), two(index / 2)));
    noise(&folder.join("rule.csv"), 60, |index| (format!("s{}", index % 4), two(index / 4)));
    std::fs::write(folder.join("rule.pictures/crop.json"), "{\"scale\":1.5,\"shift_y\":0.0}").unwrap();
    for (arguments, code, part) in [
        ("few.csv", 3, "there are 30 labelled pictures; at least 40"),
        ("one.csv", 3, "1 class(es) have 8 pictures or more"),
        ("pair.csv", 3, "2 signer(s) and 0 video(s); at least 3"),
        ("rule.csv", 3, "cut out with scale 1.5 and shift 0, the start wants 1.09 and 0"),
        ("few.csv --start nowhere", 5, "nowhere: no such model"),
        ("absent.csv", 3, "absent.csv"),
        ("few.csv --budget soon", 2, "not like 10m"),
    ] {
        let (output, stderr) = annotate(&format!("adapt {arguments} --out mine"), folder);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {stderr}");
        assert!(stderr.contains(part), "{arguments}: {stderr}");
        assert!(!folder.join("mine/model.safetensors").exists());
    }
}

/// Waits until there are `count` files called `name` in the folders of `kept`.
fn wait_for(kept: &Path, name: &str, count: usize) {
    let begun = std::time::Instant::now();
    let found = || {
        let folders = std::fs::read_dir(kept).into_iter().flatten().filter_map(Result::ok);
        folders.filter(|folder| folder.path().join(name).is_file()).count()
    };
    while found() < count {
        assert!(begun.elapsed() < std::time::Duration::from_secs(240), "{name} is never written");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn an_adaptation_that_is_interrupted_goes_on_to_the_same_model_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let label = |index: usize| Expression::ALL[((index * 2_654_435_761) >> 12) % 3];
    noise(&folder.join("n.csv"), 130, |index| (format!("s{}", index % 3), label(index)));
    let command =
        |out: &str| format!("adapt n.csv --name mine --folds 3 --threads 2 --unproven --budget 25s --out {out}");
    // In the middle of the first network, and when one is finished and the next is learning.
    for (name, count) in [("checkpoint.safetensors", 1), ("weights.safetensors", 1)] {
        let mut child = program();
        child.args(command("cut").split_whitespace()).current_dir(folder).stderr(std::process::Stdio::piped());
        let child = child.spawn().unwrap();
        wait_for(&folder.join("cut/adapt"), name, count);
        let signal = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(signal.success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(stderr.contains("the same command goes on where it was"), "{stderr}");
        assert!(!folder.join("cut/model.safetensors").exists() && !folder.join("cut/report.json").exists());
    }
    let learnt = |name: &str| {
        let folders = std::fs::read_dir(folder.join(name).join("adapt")).unwrap().map(|entry| entry.unwrap().path());
        let times = folders.filter_map(|path| {
            let weights = path.join("weights.safetensors");
            let modified = weights.metadata().and_then(|facts| facts.modified()).ok()?;
            Some((path.file_name().unwrap().to_owned(), modified))
        });
        times.collect::<BTreeMap<_, _>>()
    };
    let before = learnt("cut");
    succeed(&command("cut"), folder);
    assert!(!before.is_empty() && before.iter().all(|(name, time)| learnt("cut")[name] == *time), "not learnt again");
    succeed(&command("whole"), folder);
    let report = json(&folder.join("whole/report.json"));
    let candidates = report["candidates"].as_array().unwrap();
    assert!(candidates.iter().any(|candidate| candidate["method"].get("network").is_some()), "{candidates:?}");
    assert_eq!(learnt("cut").keys().collect::<Vec<_>>(), learnt("whole").keys().collect::<Vec<_>>());
    for file in [
        "model.safetensors",
        "config.json",
        "report.json",
        "report.html",
        "predictions.csv",
        "folds/1/model.safetensors",
    ] {
        let [cut, whole] = ["cut", "whole"].map(|name| std::fs::read(folder.join(name).join(file)).unwrap());
        assert!(cut == whole, "{file}");
    }
}

#[test]
fn spans_of_videos_of_which_only_pictures_are_there_label_these_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // As FePh names its pictures; not every frame has one.
    std::fs::create_dir_all(folder.join("FePh_images/deep")).unwrap();
    for (video, frames) in [("01April_default-0", 0..100), ("02May_default-3", 10..90)] {
        for frame in frames.filter(|frame| frame % 5 != 2) {
            let name = format!("FePh_images/deep/{video}.avi_pid0_fn{frame:06}-0.png");
            image::GrayImage::from_pixel(48, 48, image::Luma([frame as u8])).save(folder.join(name)).unwrap();
        }
    }
    let first: &[(u64, u64, &str)] = &[(0, 1600, "joy"), (1600, 2000, "mouthing"), (2000, 4000, "fear")];
    let second: &[(u64, u64, &str)] = &[(0, 1600, "joy"), (2000, 4000, "surprise")];
    eaf(&folder.join("a.eaf"), "01April_default-0.avi", &[("expression", first), ("expression-2", second)]);
    std::fs::write(
        folder.join("t.csv"),
        "video,begin,end,label,signer\n02May_default-3,0.8,3,anger,Signer05\n02May_default-3,3.7,4.3,anger,Signer05\n",
    )
    .unwrap();
    let (output, stderr) =
        annotate("data import eaf a.eaf --tier expression* --media FePh_images --every 0.2 -o a.csv", folder);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("'mouthing' (1)") && !stderr.contains("looking for faces"), "{stderr}");
    let rows = manifest::read(&folder.join("a.csv")).unwrap();
    assert_eq!(rows.len(), 10, "five of each span at most: {rows:?}");
    for row in &rows {
        let frame = row.frame.unwrap();
        assert!(row.path.to_string_lossy().ends_with(&format!("01April_default-0.avi_pid0_fn{frame:06}-0.png")));
        assert_eq!((row.sequence.as_deref(), row.subject.as_deref()), (Some("01April_default-0"), None));
        assert_ne!(frame % 5, 2, "there is a picture");
        match frame {
            // 0.1 s of each edge are left out, at 25 frames a second.
            3..37 => assert_eq!(row.label, Some(Expression::Happiness)),
            53..97 => assert_eq!(row.target().unwrap()[Expression::Surprise.index()], 0.5),
            frame => panic!("{frame} lies at an edge"),
        }
    }
    succeed("data import table t.csv --tier expression* --media FePh_images -o t-out.csv", folder);
    let rows = manifest::read(&folder.join("t-out.csv")).unwrap();
    assert!(rows.iter().all(|row| row.label == Some(Expression::Anger) && row.subject.as_deref() == Some("Signer05")));
    let listed = left_out(&folder.join("t-out.left-out.csv"));
    assert!(listed.len() == 1 && listed[0][5].contains("no face was found"), "{listed:?}");
}

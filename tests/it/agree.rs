//! How far machine and human agree, asked as a linguist asks it.

use std::path::Path;
use std::process::{Output, Stdio};

use crate::material::{clips, program};
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The bundled clip's annotation in both forms, and a human's: what the program says, corrected.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (json, eaf) = (path("auto.json"), path("auto.eaf"));
        let output = run(&["assets/demo/demo.mp4", "-q", "-o", text(&json), "-o", text(&eaf)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let human = std::fs::read_to_string(&eaf).unwrap();
        // The third segment's label and the first boundary.
        let human = human.replacen("<ANNOTATION_VALUE>surprise<", "<ANNOTATION_VALUE>Schreck<", 1);
        let times = human.split("TIME_VALUE=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let first = times.map(|time| time.parse::<u64>().unwrap()).filter(|time| *time > 0).min().unwrap();
        let human = human.replace(&format!("\"{first}\""), &format!("\"{}\"", first + 80));
        std::fs::write(path("human.eaf"), human).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn agree(&self, arguments: &[&str]) -> Value {
        let output = run(&[&["agree"], arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn an_annotation_agrees_with_itself_in_either_form() {
    let folder = Folder::new();
    let (json, eaf) = (folder.path("auto.json"), folder.path("auto.eaf"));
    for (a, b) in [(&json, &json), (&json, &eaf), (&eaf, &json), (&eaf, &eaf)] {
        let pooled = &folder.agree(&[a, b])["pooled"];
        assert_eq!(pooled["frames"]["kappa"], 1.0, "{a} {b}");
        assert_eq!(pooled["segments"]["modified_kappa"], 1.0);
        assert_eq!(pooled["segments"]["linked_share"], 1.0);
        assert_eq!(pooled["segments"]["boundaries"]["mean"], 0.0);
    }
}

#[test]
fn a_humans_corrections_lower_agreement_by_as_much_as_they_change() {
    let folder = Folder::new();
    let (json, human) = (folder.path("auto.json"), folder.path("human.eaf"));
    let map = folder.path("map.csv");
    std::fs::write(&map, "Schreck,fear\n").unwrap();
    let reports = [folder.path("a.md"), folder.path("a.html"), folder.path("a.json")];
    let outputs: Vec<&str> = reports.iter().flat_map(|path| ["-o", path]).collect();
    let all = folder.agree(&[&[human.as_str(), &json, "--map", &map][..], &outputs].concat());
    let segments = &all["pooled"]["segments"];
    let (linked, agreement) = (segments["linked"].as_f64().unwrap(), segments["agreement"].as_f64().unwrap());
    assert!((agreement - (linked - 1.0) / linked).abs() < 1e-12, "one of {linked} labels was changed");
    // One boundary of two segments moved by 80 ms, two frames.
    let mean = segments["boundaries"]["mean"].as_f64().unwrap();
    assert!((mean - 4.0 / (2.0 * linked)).abs() < 1e-12, "{mean}");
    let confusion = all["pooled"]["frames"]["confusion"].as_array().unwrap();
    assert!(confusion[4][3].as_u64().unwrap() > 30, "frames a human calls fear and we surprise");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    assert!(read(&reports[0]).contains("Holle and Rein's modified kappa = "));
    assert!(read(&reports[1]).contains("<td>modified kappa (Holle and Rein)"));
    assert_eq!(serde_json::from_str::<Value>(&read(&reports[2])).unwrap(), all);
}

#[test]
fn what_cannot_be_compared_is_refused_with_what_there_is() {
    let folder = Folder::new();
    let (json, human) = (folder.path("auto.json"), folder.path("human.eaf"));
    let refused = |arguments: &[&str], code: i32, part: &str| {
        let output = run(&[&["agree"], arguments].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(part) && message.lines().count() == 1, "'{part}' is not in: {message}");
    };
    refused(&[&human, &json, "--tier", "Mimik"], 2, "its tiers: expression@A, expression-confidence@A, status@A");
    refused(&[&human, &json, "--tier", "status@A", "--tier", "expression@A"], 3, "'out of frame' (1)");
    refused(&[&json, &folder.path("absent.eaf")], 3, "absent.eaf");
    let cut = folder.path("cut.json");
    let bytes = std::fs::read(&json).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    refused(&[&cut, &json], 3, "cut.json");
    std::fs::write(&cut, String::from_utf8(bytes).unwrap().replace("timeline/2", "timeline/9")).unwrap();
    refused(&[&cut, &json], 3, "timeline/9");
    refused(&[&json, &json, "-o", "a.txt"], 2, ".json, .md or .html");
}

#[test]
fn what_the_face_does_agrees_with_itself_in_either_form_and_less_with_a_persons() {
    let test = "what_the_face_does_agrees_with_itself_in_either_form_and_less_with_a_persons";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for clip in clips(test).into_iter().filter(|clip| clip.ends_with("signtranslate_example-sentence-original.mp4")) {
        let (json, eaf) = (path("x.json"), path("x.eaf"));
        assert!(run(&[text(&clip), "-q", "-o", &json, "-o", &eaf]).status.success());
        let agree = |arguments: &[&str]| -> Value {
            let output = run(&[&["agree"], arguments, &["--json"]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice(&output.stdout).unwrap()
        };
        for (a, b) in [(&json, &json), (&json, &eaf), (&eaf, &eaf)] {
            let found = agree(&[a, b]);
            let events = found["events"].as_array().unwrap();
            assert!(events.len() >= 4, "{events:?}");
            for event in events {
                assert_eq!((&event["a"], &event["start_shift"]), (&event["linked"], &Value::from(0.0)), "{event}");
                // A document's times are whole milliseconds.
                assert!(event["overlap_ratio"].as_f64().unwrap() > 0.98, "{event}");
            }
            let curves = found["curves"].as_array().unwrap();
            assert_eq!(curves.len() > 10, a == b && a == &json, "{curves:?}");
            assert!(
                curves.iter().all(|c| c["distance"] == 0.0 && c["correlation"].as_f64().is_none_or(|r| r > 0.9999))
            );
        }
        // A person has marked one blink, in words of their own language, and nothing else on that tier.
        std::fs::write(path("human.eaf"), document("Augen", &[(2960, 3160, "Blinzeln"), (500, 600, "Zwinkern")]))
            .unwrap();
        let found = agree(&[&path("human.eaf"), &json, "--tier", "Augen", "--tier", "eyes@A"]);
        let blinks = &found["events"][0];
        assert_eq!((&blinks["kind"], &blinks["a"]), (&Value::from("blink"), &Value::from(1)), "{found}");
        assert_eq!(found["unknown_labels"][0][0], "Zwinkern");
        assert_eq!(found["pairs"].as_array().unwrap().len(), 0);
        let report = path("r.md");
        agree(&[&path("human.eaf"), &json, "--tier", "Augen", "--tier", "eyes@A", "-o", &report]);
        let report = std::fs::read_to_string(report).unwrap();
        assert!(report.contains("## Events of the face") && report.contains("| blink | 1 |"), "{report}");
    }
}

/// An annotation file with one tier of annotations, each its start, end (milliseconds) and word.
fn document(tier: &str, annotations: &[(u64, u64, &str)]) -> String {
    let mut slots = String::new();
    let mut elements = String::new();
    for (index, (start_ms, end_ms, word)) in annotations.iter().enumerate() {
        for (side, time_ms) in [("a", start_ms), ("b", end_ms)] {
            slots += &format!("<TIME_SLOT TIME_SLOT_ID=\"{side}{index}\" TIME_VALUE=\"{time_ms}\"/>");
        }
        elements += &format!(
            "<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID=\"x{index}\" TIME_SLOT_REF1=\"a{index}\" \
             TIME_SLOT_REF2=\"b{index}\"><ANNOTATION_VALUE>{word}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ANNOTATION_DOCUMENT AUTHOR=\"\" DATE=\"2020-01-01T00:00:00+00:00\" \
         FORMAT=\"3.0\" VERSION=\"3.0\"><HEADER TIME_UNITS=\"milliseconds\"/><TIME_ORDER>{slots}</TIME_ORDER>\
         <TIER TIER_ID=\"{tier}\" LINGUISTIC_TYPE_REF=\"d\">{elements}</TIER>\
         <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID=\"d\" TIME_ALIGNABLE=\"true\"/></ANNOTATION_DOCUMENT>"
    )
}

#[test]
fn annotations_that_last_for_weeks_are_compared_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weeks.eaf");
    let one = vec![(0, 4_000_000_000, "happiness")];
    // Twenty thousand that all lie over one another: no tier of ELAN's, but a file can hold them.
    let many: Vec<(u64, u64, &str)> =
        (0..20_000).map(|i| (i, 4_000_000_000 - i, if i % 2 == 0 { "anger" } else { "sad" })).collect();
    for annotations in [one, many] {
        std::fs::write(&path, document("t", &annotations)).unwrap();
        let started = std::time::Instant::now();
        let output = run(&["agree", text(&path), text(&path), "--tier", "t", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(all["pooled"]["frames"]["frames"].as_u64().unwrap() > 99_000_000);
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }
}

#[test]
fn two_folders_are_compared_over_videos_and_the_sentence_says_what_was_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    for side in [&a, &b] {
        std::fs::create_dir(side).unwrap();
    }
    for video in 0..4 {
        let words = ["happy", "Trauer", "puff", if video == 0 { "angry" } else { "Wut" }];
        let annotations: Vec<(u64, u64, &str)> =
            words.iter().enumerate().map(|(i, word)| (1000 * i as u64, 1000 * i as u64 + 900, *word)).collect();
        std::fs::write(a.join(format!("{video}.eaf")), document("expression@A", &annotations)).unwrap();
        let others: Vec<(u64, u64, &str)> = annotations
            .iter()
            .map(|(start, end, word)| (*start, *end, if *word == "angry" { "happiness" } else { *word }))
            .collect();
        std::fs::write(b.join(format!("{video}.eaf")), document("expression@A", &others)).unwrap();
    }
    std::fs::write(a.join("alone.eaf"), document("expression@A", &[])).unwrap();
    let output = run(&["agree", text(&a), text(&b)]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("4 videos, over which the intervals are"), "{shown}");
    assert!(shown.contains("8 annotations whose labels are not among the seven ('puff')"), "{shown}");
    assert!(shown.contains("1 files that only one side has") && shown.contains("alone.eaf"), "{shown}");
    let all = run(&["agree", text(&a), text(&b), "--json"]);
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all["pairs"].as_array().unwrap().len(), 4);
    // Eleven of twelve segments, and of as many frames, have the same label.
    let agreement = all["pooled"]["frames"]["agreement"].as_f64().unwrap();
    assert!((agreement - 11.0 / 12.0).abs() < 0.01, "{agreement}");
    assert_eq!(all["pooled"]["segments"]["linked"], 12);
    let output = run(&["agree", text(&a), text(&b.join("0.eaf"))]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn where_no_tier_is_common_the_tiers_of_both_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["human.eaf", "other.eaf"].map(|name| folder.path().join(name));
    std::fs::write(&a, document("Mimik", &[(0, 900, "Freude")])).unwrap();
    std::fs::write(&b, document("expression@A", &[(0, 900, "happiness")])).unwrap();
    let output = run(&["agree", text(&a), text(&b)]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("human.eaf: Mimik") && message.contains("other.eaf: expression@A"), "{message}");
}

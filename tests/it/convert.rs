//! Every format made from a labels.json is what the video's own run writes; corrected labels come out in every format.

use std::path::Path;

use crate::material::program;

const FORMATS: [&str; 13] = [
    "json",
    "jsonl",
    "csv",
    "tsv",
    "srt",
    "vtt",
    "ass",
    "segments.tsv",
    "TextGrid",
    "parquet",
    "boris.csv",
    "events.tsv",
    "fex.csv",
];

fn run(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = program().args(arguments).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_format_made_from_labels_is_what_the_video_gives() {
    let folder = tempfile::tempdir().unwrap();
    let demo = std::fs::canonicalize("assets/demo/demo.mp4").unwrap();
    let names = |stem: &str| FORMATS.map(|format| format!("{stem}.{format}"));
    let with_outputs = |first: &[&str], stem: &str| {
        let mut arguments: Vec<String> = first.iter().map(|text| text.to_string()).collect();
        names(stem).into_iter().for_each(|name| arguments.extend(["-o".into(), name]));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, talk) = run(&arguments, folder.path());
        assert_eq!(code, Some(0), "{talk}");
    };
    with_outputs(&[demo.to_str().unwrap(), "--end", "4"], "whole");
    with_outputs(&["convert", "whole.json"], "again");
    for (first, second) in names("whole").into_iter().zip(names("again")) {
        let [first_bytes, second_bytes] =
            [&first, &second].map(|name| std::fs::read(folder.path().join(name)).unwrap());
        assert!(first_bytes == second_bytes, "{first} and {second} differ");
    }
    let sidecars =
        ["whole.events.json", "again.events.json"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert_eq!(sidecars[0], sidecars[1]);
    // Made from the program's own labels, a file is the program's own.
    with_outputs(&["convert", "whole.json"], "again");
    let (code, talk) = run(&["convert", "whole.json", "-o", "whole.json"], folder.path());
    assert!(code == Some(2) && talk.contains("replace the input"), "{talk}");
    let (code, talk) = run(&["convert", "whole.json"], folder.path());
    assert_eq!(code, Some(2), "{talk}");
}

#[test]
fn measures_chosen_when_converting_are_those_chosen_when_annotating() {
    let folder = tempfile::tempdir().unwrap();
    let demo = std::fs::canonicalize("assets/demo/demo.mp4").unwrap();
    let demo = demo.to_str().unwrap();
    let text = |name: String| std::fs::read_to_string(folder.path().join(name)).unwrap();
    // Hands are looked for while annotating or not at all, and how much of a face is covered hangs on it.
    let others = ["--measures", "head,brows,eyes,mouth"];
    let (code, talk) = run(&[&[demo, "-q", "--end", "4", "-o", "all.json"][..], &others].concat(), folder.path());
    assert_eq!(code, Some(0), "{talk}");
    for measures in ["none", "brows,eyes"] {
        let outputs = |stem: &str| ["csv", "segments.tsv", "TextGrid", "eaf"].map(|format| format!("{stem}.{format}"));
        for (stem, input) in [("asked", &[demo, "--end", "4"][..]), ("kept", &["convert", "all.json"])] {
            let outputs = outputs(stem);
            let given = outputs.iter().flat_map(|output| ["-o", output.as_str()]);
            let arguments: Vec<&str> =
                input.iter().copied().chain(["-q", "--measures", measures]).chain(given).collect();
            let (code, talk) = run(&arguments, folder.path());
            assert_eq!(code, Some(0), "{talk}");
        }
        for (asked, kept) in outputs("asked").into_iter().zip(outputs("kept")) {
            if asked.ends_with(".eaf") {
                let tiers = |name: String| text(name).matches("<TIER ").count();
                assert_eq!(tiers(asked), tiers(kept), "{measures}");
            } else {
                assert_eq!(text(asked.clone()), text(kept), "{measures}: {asked}");
            }
        }
    }
    let none = text("kept.eaf".into());
    assert!(none.contains("brows@A") && none.contains("expression-face@A") && !none.contains("mouth@A"));
}

#[test]
fn a_signer_whom_somebody_named_has_that_name_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let demo = std::fs::canonicalize("assets/demo/demo.mp4").unwrap();
    let (code, talk) = run(&[demo.to_str().unwrap(), "-q", "--end", "2", "-o", "l.json"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    let text = std::fs::read_to_string(folder.path().join("l.json")).unwrap();
    let mut labels: serde_json::Value = serde_json::from_str(&text).unwrap();
    labels["tracks"][0]["name"] = "Mia".into();
    std::fs::write(folder.path().join("named.json"), labels.to_string()).unwrap();
    for format in ["csv", "tsv", "jsonl", "ass", "segments.tsv", "TextGrid", "eaf", "parquet"] {
        let (code, talk) = run(&["convert", "named.json", "-q", "-o", &format!("n.{format}")], folder.path());
        assert_eq!(code, Some(0), "{talk}");
        // Parquet packs its texts.
        let bytes = std::fs::read(folder.path().join(format!("n.{format}"))).unwrap();
        let says = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
        assert!(format == "parquet" || says(b"Mia"), "{format}");
    }
    let table = std::fs::File::open(folder.path().join("n.parquet")).unwrap();
    let reader = parquet::file::reader::SerializedFileReader::new(table).unwrap();
    let mut rows = parquet::file::reader::FileReader::get_row_iter(&reader, None).unwrap();
    assert!(rows.any(|row| row.unwrap().to_string().contains("Mia")));
}

#[test]
fn no_table_that_is_passed_on_says_where_the_video_lay() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("anna")).unwrap();
    let video = folder.path().join("anna/story.mp4");
    std::fs::copy("assets/demo/demo.mp4", &video).unwrap();
    let formats = ["csv", "tsv", "srt", "vtt", "ass", "segments", "textgrid", "parquet", "boris", "bids", "py-feat"];
    let arguments = [video.to_str().unwrap(), "--end", "1", "-f", &formats.join(","), "--output-dir", "out"];
    let (code, talk) = run(&arguments, folder.path());
    assert_eq!(code, Some(0), "{talk}");
    let corpus = folder.path().to_str().unwrap();
    let (code, talk) = run(&["batch", corpus, "--end", "1", "-f", "parquet", "--output-dir", "batch"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    let files = |folder: &str| walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let is_there = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let mut count = 0;
    for entry in files(folder.path().join("out").to_str().unwrap()).filter(|entry| entry.file_type().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!is_there(&bytes, corpus) && !is_there(&bytes, "anna/"), "{}", entry.path().display());
        count += 1;
    }
    assert_eq!(count, formats.len() + 2, "each format, the description of BIDS's columns, the list of fingerprints");
    for table in ["summary.csv", "summary.parquet", "parquet/anna/story.mp4.parquet"] {
        let bytes = std::fs::read(folder.path().join("batch").join(table)).unwrap();
        assert!(!is_there(&bytes, corpus) && is_there(&bytes, "anna/story.mp4"), "{table}");
    }
}

#[test]
fn a_description_beside_a_table_takes_nobodys_place() {
    let folder = tempfile::tempdir().unwrap();
    let demo = std::fs::canonicalize("assets/demo/demo.mp4").unwrap();
    let demo = demo.to_str().unwrap();
    let (code, talk) = run(&[demo, "-o", "x_events.tsv", "-o", "x_events.json"], folder.path());
    assert!(code == Some(2) && talk.contains("x_events.json: two outputs would have this name"), "{talk}");
    std::fs::write(folder.path().join("x_events.json"), "mine").unwrap();
    let (code, talk) = run(&[demo, "--end", "1", "-o", "x_events.tsv"], folder.path());
    assert!(code == Some(6) && talk.contains("x_events.json"), "{talk}");
    assert_eq!(std::fs::read(folder.path().join("x_events.json")).unwrap(), b"mine");
}

#[test]
fn what_is_made_from_corrected_labels_is_kept_like_a_persons_work() {
    let folder = tempfile::tempdir().unwrap();
    let demo = std::fs::canonicalize("assets/demo/demo.mp4").unwrap();
    let demo = demo.to_str().unwrap();
    let (code, talk) = run(&[demo, "-q", "--end", "3", "-o", "l.json", "-o", "l.srt"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    let text = std::fs::read_to_string(folder.path().join("l.json")).unwrap();
    let mut labels: serde_json::Value = serde_json::from_str(&text).unwrap();
    let segment = &labels["tracks"][0]["segments"][0];
    let correction = serde_json::json!({
        "schema": "annotate/correction/1", "model_sha256": labels["model"]["sha256"], "track": labels["tracks"][0]["id"],
        "first_frame": segment["first_frame"], "last_frame": segment["last_frame"], "old": segment["label"], "new": "disgust",
        "reviewer": "r", "time": "2026-01-01T00:00:00Z",
    });
    labels.take();
    std::fs::write(folder.path().join("c.jsonl"), correction.to_string()).unwrap();
    let (code, talk) = run(&["apply", "c.jsonl", "--labels", "l.json", "-o", "corrected.json"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    let (code, talk) = run(&["convert", "corrected.json", "-q", "-o", "l.srt"], folder.path());
    assert_eq!(code, Some(0), "the machine's subtitles are replaced: {talk}");
    let corrected = std::fs::read_to_string(folder.path().join("l.srt")).unwrap();
    assert!(corrected.contains("disgust"), "{corrected}");
    // The video's own run does not take the person's word away.
    let (code, talk) = run(&[demo, "-q", "--end", "3", "-o", "l.srt"], folder.path());
    assert!(code == Some(6) && talk.contains("l.srt") && talk.contains("--overwrite"), "{talk}");
    assert_eq!(std::fs::read_to_string(folder.path().join("l.srt")).unwrap(), corrected);
    let (code, talk) = run(&[demo, "-q", "--end", "3", "-o", "corrected.json"], folder.path());
    assert_eq!(code, Some(6), "{talk}");
    let (code, talk) = run(&[demo, "-q", "--end", "3", "-o", "l.srt", "--overwrite"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
}

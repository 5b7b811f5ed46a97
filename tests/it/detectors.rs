//! The detector that is asked for finds the faces, is named in every output, and is refused where its model is not right.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::material::program;
use annotate::timeline::Timeline;
use serde_json::Value;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/demo.mp4");

fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut command = program();
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn succeeded(arguments: &[&str], folder: &Path) {
    let output = run(arguments, folder);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Asserts the exit code and one line on standard error with each of `parts`.
fn refused(arguments: &[&str], folder: &Path, code: i32, parts: &[&str]) {
    let output = run(arguments, folder);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

/// YuNet's file, or `None` after saying that `test` is skipped.
fn yunet(test: &str) -> Option<PathBuf> {
    let path = crate::material::data(test)?.join("weights/yunet_n_640_640.onnx").canonicalize();
    if path.is_err() {
        println!("skipped: {test} (no YuNet in the data)");
    }
    path.ok()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn yunet_follows_the_signers_of_real_clips() {
    let test = "yunet_follows_the_signers_of_real_clips";
    let Some(model) = yunet(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.json");
    // Every fifth, as a debug build takes its time.
    for clip in crate::material::clips(test).iter().step_by(5) {
        let clip = clip.canonicalize().unwrap();
        let arguments = [clip.to_str().unwrap(), "-o", "labels.json", "--detector", "yunet", "--detector-model"];
        succeeded(&[&arguments[..], &[model.to_str().unwrap()]].concat(), folder.path());
        let timeline = Timeline::read(&labels).unwrap();
        let [track] = &timeline.tracks[..] else { panic!("{}: {} tracks", clip.display(), timeline.tracks.len()) };
        let seen = track.frames.iter().filter(|frame| frame.face.is_some()).count();
        assert!(seen * 100 >= timeline.media.frames * 95, "{}: {seen} of {}", clip.display(), timeline.media.frames);
    }
    let detector = &json(&labels)["settings"]["detector"];
    assert_eq!(detector["name"], "yunet");
    assert_eq!(detector["sha256"], annotate::files::sha256(&std::fs::read(model).unwrap()));
}

#[test]
fn dogs_are_no_signers_for_yunet() {
    let Some(model) = yunet("dogs_are_no_signers_for_yunet") else { return };
    let folder = tempfile::tempdir().unwrap();
    let photo = model.parent().unwrap().join("../photos/dlib_dogs.jpg");
    let even = "-vf scale=trunc(iw/2)*2:trunc(ih/2)*2 -pix_fmt yuv420p";
    crate::material::ffmpeg(
        &format!("-loop 1 -i {} -t 1 -r 10 {even}", photo.display()),
        &folder.path().join("dogs.mp4"),
    );
    for min_face in ["0.03", "0.1"] {
        let arguments = ["dogs.mp4", "-o", "labels.json", "--min-face", min_face, "--detector", "yunet"];
        succeeded(&[&arguments[..], &["--detector-model", model.to_str().unwrap()]].concat(), folder.path());
        assert!(Timeline::read(&folder.path().join("labels.json")).unwrap().tracks.is_empty(), "{min_face}");
    }
}

#[test]
fn a_plan_keeps_its_detector_and_gives_what_one_machine_writes() {
    let Some(model) = yunet("a_plan_keeps_its_detector_and_gives_what_one_machine_writes") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::copy(DEMO, at.join("demo.mp4")).unwrap();
    std::fs::copy(&model, at.join("yunet.onnx")).unwrap();
    let detector = ["--detector", "yunet", "--detector-model", "yunet.onnx"];
    succeeded(&[&["demo.mp4", "-o", "whole.json"], &detector[..]].concat(), at);
    succeeded(&[&["plan", "demo.mp4", "--segment", "10s", "-o", "plan.jsonl"], &detector[..]].concat(), at);
    succeeded(&["work", "plan.jsonl", "--out", "parts"], at);
    succeeded(&["collect", "plan.jsonl", "parts", "--output-dir", "labels"], at);
    let collected = walkdir::WalkDir::new(at.join("labels")).into_iter().map(Result::unwrap);
    let [collected] = &collected.filter(|e| e.file_name() == "demo.mp4.json").collect::<Vec<_>>()[..] else {
        panic!("one timeline is collected");
    };
    let (one, other) = (std::fs::read(at.join("whole.json")).unwrap(), std::fs::read(collected.path()).unwrap());
    assert!(one == other, "the collected timeline is another one");
    assert_eq!(json(&at.join("whole.json"))["settings"]["detector"]["name"], "yunet");

    // The same network in another file is another file: whoever plans again knows what it is.
    let mut other = std::fs::read(&model).unwrap();
    let producer = other.windows(7).position(|bytes| bytes == b"pytorch").unwrap();
    other[producer] = b'P';
    std::fs::write(at.join("yunet.onnx"), other).unwrap();
    refused(&["work", "plan.jsonl", "--out", "parts"], at, 5, &["yunet.onnx", "plan again"]);
    std::fs::remove_file(at.join("yunet.onnx")).unwrap();
    refused(&["work", "plan.jsonl", "--out", "parts"], at, 5, &["yunet.onnx"]);
}

#[test]
fn a_detector_without_its_model_and_a_model_without_its_detector() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for command in [&[DEMO, "-o", "labels.json"][..], &["batch", DEMO, "--output-dir", "out"], &["plan", DEMO]] {
        let with = |more: &[&'static str]| [command, more].concat();
        refused(&with(&["--detector", "yunet"]), at, 2, &["--detector-model"]);
        refused(&with(&["--detector-model", "a.onnx"]), at, 2, &["a.onnx", "--detector yunet"]);
        let yunet = with(&["--detector", "yunet", "--detector-model", "a.onnx"]);
        refused(&yunet, at, 5, &["a.onnx", "cannot be read"]);
    }
    refused(
        &["data", "crop", DEMO, "--label", "neutral", "-o", "m.csv", "--detector", "yunet"],
        at,
        2,
        &["--detector-model"],
    );
    assert_eq!(std::fs::read_dir(at).unwrap().count(), 0, "nothing is left lying about");
}

#[test]
fn files_that_are_no_yunet() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("text.onnx"), "words\n".repeat(1000)).unwrap();
    std::fs::write(at.join("empty.onnx"), "").unwrap();
    std::fs::File::create(at.join("huge.onnx")).unwrap().set_len(1 << 40).unwrap();
    // An expression network: ONNX, but no detector.
    std::fs::copy("tests/import/mobilenet7.onnx", at.join("other.onnx")).unwrap();
    let with =
        |path: &str| [DEMO, "-o", "labels.json", "--detector", "yunet", "--detector-model", path].map(str::to_owned);
    for (path, reason) in [
        ("text.onnx", "not an ONNX file"),
        ("empty.onnx", "not an ONNX file"),
        ("huge.onnx", "larger than 8 MB"),
        ("other.onnx", "convolutions"),
        ("/dev/zero", "neither a file"),
        (".", "neither a file"),
    ] {
        let arguments = with(path);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(&arguments, at, 5, &[path, reason]);
    }
    assert!(!at.join("labels.json").exists());
}

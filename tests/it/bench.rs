//! What `annotate bench` promises, with the program run as a person runs it.

use std::process::Command;

use crate::material::program;
use serde_json::Value;

fn bench(arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("bench").args(arguments);
    command
}

fn report(arguments: &[&str]) -> Value {
    let output = bench(arguments).args(["--json", "--seconds", "0.05"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn the_report_says_how_fast_and_how_large() {
    let report = report(&["--batch-size", "3", "--threads", "2", "--precision", "f32"]);
    let classifier = &report["classifier"];
    assert_eq!([&classifier["batch_size"], &classifier["threads"]], [3, 2]);
    assert_eq!([&report["precision"], &report["device"]], ["f32", "auto"]);
    let times = &classifier["ms_per_face"];
    let in_order =
        [&times["lowest"], &times["quartiles"][0], &times["median"], &times["quartiles"][1], &times["highest"]];
    assert!(in_order.map(number).is_sorted(), "{times}");
    assert!(number(&classifier["repeats"]) >= 5.0);
    // 48 x 48 x 9 x 24 in the first layer alone.
    assert!(number(&classifier["operations_per_face"]) > 2.0 * 48.0 * 48.0 * 9.0 * 24.0);
    let gflops = number(&classifier["operations_per_face"]) / number(&times["median"]) / 1e6;
    assert!((number(&classifier["gflops"]) / gflops - 1.0).abs() < 1e-6);
    assert!(number(&report["load_ms"]) > 0.0);
    assert!(report["peak_memory_mib"].as_f64().is_none_or(|memory| memory > 1.0));
    assert!(report["video"].is_null());
}

#[test]
fn a_published_network_is_measured_without_its_weights() {
    let report = report(&["--arch", "mobilenet_v1", "--random-weights", "--batch-size", "1"]);
    // Howard et al. 2017: 569 million multiplications, less the classifier for a thousand classes, plus ours.
    let multiplications = number(&report["classifier"]["operations_per_face"]) / 2.0;
    assert!((560e6..572e6).contains(&multiplications), "{multiplications}");
}

#[test]
fn a_video_is_measured_stage_by_stage() {
    let report = report(&["assets/demo/demo.mp4"]);
    let truth: Value = serde_json::from_slice(&std::fs::read("assets/demo/truth.json").unwrap()).unwrap();
    assert_eq!(report["video"]["frames"], truth["frames"]);
    let stages = report["video"]["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["decode", "track", "mesh", "crop", "classify", "assemble", "write"]);
    assert!(stages.iter().all(|stage| number(&stage["ms_per_frame"]) > 0.0));
    assert!(number(&report["video"]["whole"]["frames_per_s"]) > 0.0);
}

#[test]
fn people_get_lines_instead() {
    let output = bench(&["--seconds", "0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("annotate-fer-48, auto (") && text.contains("ms a face"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused_by_name() {
    for (arguments, code, says) in [
        (&["--arch", "mobilenet_v1"][..], 2, "--random-weights"),
        (&["--model", "no-such-model"], 5, "no-such-model"),
        (&["--device", "cuda"], 5, "cuda"),
        (&["--seconds", "-1"], 2, "-1"),
        (&["--seconds", "0", "no-such-video.mp4"], 3, "no-such-video.mp4"),
    ] {
        let output = bench(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(says), "{arguments:?}: {message}");
    }
}

//! What is a person's own stays: hand work, inputs, settings, the terminal.

use std::path::Path;
use std::process::Command;

use crate::material::{ffmpeg, program, program_path};

fn run(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = program().args(arguments).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A folder with a video of a second, its labels and its ELAN document.
fn annotated() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg("-i assets/demo/demo.mp4 -t 1 -c copy", &folder.path().join("v.mp4"));
    let (code, talk) = run(&["v.mp4", "-q", "-o", "l.json", "-o", "l.eaf"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    folder
}

#[test]
fn an_edited_document_is_merged_into_or_given_up_but_never_lost() {
    let folder = annotated();
    let eaf = folder.path().join("l.eaf");
    let edited = std::fs::read_to_string(&eaf).unwrap().replace("neutral", "mein Wort");
    std::fs::write(&eaf, &edited).unwrap();
    let (code, talk) = run(&["v.mp4", "-q", "-o", "l.eaf"], folder.path());
    assert!(code == Some(6) && talk.contains("l.eaf") && talk.contains("--merge-into"), "{talk}");
    assert_eq!(std::fs::read_to_string(&eaf).unwrap(), edited);
    let (code, talk) = run(&["v.mp4", "-q", "--merge-into", "l.eaf", "-o", "l.eaf", "--tiers", "dgs"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    assert!(std::fs::read_to_string(&eaf).unwrap().contains("mein Wort"));
    let (code, talk) = run(&["v.mp4", "-q", "-o", "l.eaf"], folder.path());
    assert!(code == Some(6), "a person's words are still in it: {talk}");
    let (code, talk) = run(&["v.mp4", "-q", "-o", "l.eaf", "--overwrite"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    let (code, talk) = run(&["v.mp4", "-q", "-o", "l.eaf"], folder.path());
    assert_eq!(code, Some(0), "what nobody touched is replaced: {talk}");
}

#[test]
fn no_command_replaces_what_it_reads_even_where_overwriting_is_allowed() {
    let folder = annotated();
    let at = |name: &str| folder.path().join(name);
    std::fs::hard_link(at("v.mp4"), at("second.mp4")).unwrap();
    std::os::unix::fs::symlink("l.json", at("link.html")).unwrap();
    std::fs::write(at("map.csv"), "x,fear\n").unwrap();
    let kept = ["v.mp4", "l.json", "l.eaf", "map.csv"].map(|name| std::fs::read(at(name)).unwrap());
    for arguments in [
        ["plan", "v.mp4", "-o", "v.mp4"].as_slice(),
        &["plan", "v.mp4", "-o", "second.mp4"],
        &["review", "l.json", "--video", "v.mp4", "-o", "v.mp4"],
        &["review", "l.json", "-o", "l.json"],
        &["review", "l.json", "-o", "link.html"],
        &["agree", "l.json", "l.json", "-o", "l.json"],
        &["agree", "l.json", "l.json", "--map", "map.csv", "-o", "map.csv"],
        &["convert", "l.json", "-o", "l.json"],
        &["v.mp4", "-q", "--calibrate", "l.json", "-o", "l.json"],
        &["v.mp4", "-q", "-o", "x.json", "--overlay", "second.mp4"],
    ] {
        let (code, talk) = run(&[arguments, &["--overwrite"]].concat(), folder.path());
        assert!(matches!(code, Some(2)), "{arguments:?}: {code:?} {talk}");
    }
    let request = "<PARAM><param name=\"video\">v.mp4</param><param name=\"tiers\">second.mp4</param></PARAM>";
    std::fs::write(at("request.xml"), request).unwrap();
    let request = std::fs::File::open(at("request.xml")).unwrap();
    let output = program().arg("elan-recognizer").current_dir(folder.path()).stdin(request).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("RESULT: FAILED.\n"));
    assert_eq!(["v.mp4", "l.json", "l.eaf", "map.csv"].map(|name| std::fs::read(at(name)).unwrap()), kept);
}

#[test]
fn an_input_that_is_called_like_a_temporary_file_stays() {
    let folder = annotated();
    let at = |name: &str| folder.path().join(name);
    std::fs::rename(at("v.mp4"), at(".annotate-video.tmp")).unwrap();
    let (code, talk) = run(&[".annotate-video.tmp", "-q", "-o", "m.json"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
    assert!(at(".annotate-video.tmp").exists() && at("m.json").exists());
}

#[test]
fn a_corpus_does_not_steer_the_program_by_a_file_of_settings() {
    let folder = annotated();
    std::fs::write(folder.path().join("annotate.toml"), "max_memory = 0\n[annotation]\nmax_pixels = 9000000000\n")
        .unwrap();
    let (code, talk) = run(&["v.mp4", "-q", "-o", "m.json"], folder.path());
    assert!(code == Some(5) && talk.contains("annotate.toml"), "{talk}");
    std::fs::write(folder.path().join("annotate.toml"), "[annotation.track]\nmax_faces = 3\n").unwrap();
    let (code, talk) = run(&["v.mp4", "-o", "m.json"], folder.path());
    assert!(code == Some(0) && talk.contains("annotate.toml"), "it is said which file was read: {talk}");
    let elsewhere = tempfile::tempdir().unwrap();
    let video = folder.path().join("v.mp4");
    let output = folder.path().join("n.json");
    let arguments = [video.to_str().unwrap(), "-o", output.to_str().unwrap()];
    let (code, talk) = run(&arguments, elsewhere.path());
    assert!(code == Some(0) && !talk.contains("annotate.toml"), "{talk}");
    assert!(std::fs::read_to_string(&output).unwrap().contains("\"max_faces\":8"));
}

#[test]
fn names_and_labels_do_not_reach_the_terminal_raw_and_a_message_is_short() {
    let folder = annotated();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("c")).unwrap();
    std::fs::write(at("c").join("\u{1b}]0;PWN\u{7}\u{1b}[31mRED.mp4"), "x").unwrap();
    let labels = std::fs::read_to_string(at("l.json")).unwrap();
    std::fs::write(at("hostile.json"), labels.replace("v.mp4", "\\u001b]0;PWN\\u0007.mp4")).unwrap();
    for arguments in [
        ["plan", "c", "-o", "p.jsonl"].as_slice(),
        &["batch", "c", "--output-dir", "out", "--progress", "plain"],
        &["review", "hostile.json", "-o", "r.html"],
    ] {
        let output = program().args(arguments).current_dir(folder.path()).output().unwrap();
        for stream in [output.stdout, output.stderr] {
            assert!(!stream.contains(&0x1b), "{arguments:?}: {}", String::from_utf8_lossy(&stream));
        }
    }
    std::fs::write(at("c.jsonl"), format!("\"{}\"", "a".repeat(20_000_000))).unwrap();
    let (code, talk) = run(&["apply", "c.jsonl", "--labels", "l.json", "-o", "x.json"], folder.path());
    assert!(code == Some(3) && talk.len() < 10_000, "{code:?}, {} bytes", talk.len());
}

#[test]
fn a_limit_of_file_size_ends_every_command_with_its_code() {
    let folder = annotated();
    let limited = |arguments: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -f 1; exec \"$0\" {arguments}")]).arg(program_path());
        command.current_dir(folder.path()).env("XDG_CONFIG_HOME", "/nonexistent").status().unwrap().code()
    };
    for arguments in [
        "v.mp4 -q -o x.json",
        "batch v.mp4 --output-dir out -q",
        "plan v.mp4 -o p.jsonl -q",
        "review l.json -o r.html",
        "convert l.json -q -o y.json",
    ] {
        assert_eq!(limited(arguments), Some(6), "{arguments}");
    }
}

#[test]
fn a_closed_terminal_ends_a_run_with_what_is_done() {
    // proc(5): a mask whose lowest bit is HUP. Whoever runs the tests with nohup passes the exception on.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    if u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1 {
        println!("skipped: a closed terminal (these tests ignore HUP)");
        return;
    }
    let folder = annotated();
    let long = folder.path().join("long.mp4");
    ffmpeg("-stream_loop 8 -i assets/demo/demo.mp4 -c copy", &long);
    let mut command = program();
    let child = command.args(["long.mp4", "-q", "-o", "long.json"]).current_dir(folder.path()).spawn();
    let mut child = child.unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(129));
    assert!(std::fs::read_to_string(folder.path().join("long.json")).unwrap().contains("\"complete\":false"));
}

#[test]
fn an_annotation_of_weeks_is_compared_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let eaf = r#"<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<HEADER TIME_UNITS="milliseconds"/><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="0"/>
<TIME_SLOT TIME_SLOT_ID="b" TIME_VALUE="4000000000"/></TIME_ORDER><TIER TIER_ID="t" LINGUISTIC_TYPE_REF="d"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="x" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b"><ANNOTATION_VALUE>happiness</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION></ANNOTATION></TIER><LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="d" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>"#;
    std::fs::write(folder.path().join("x.eaf"), eaf).unwrap();
    let (code, talk) = run(&["agree", "x.eaf", "x.eaf", "--tier", "t"], folder.path());
    assert_eq!(code, Some(0), "{talk}");
}

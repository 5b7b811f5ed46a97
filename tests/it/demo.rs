//! `annotate demo`: the newcomer's first command, away from any checkout.

use std::path::Path;

use annotate::timeline::Timeline;

use crate::material::program;

#[test]
fn the_demo_needs_no_file_and_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = program().arg("demo").current_dir(folder.path()).env("TMPDIR", folder.path()).output().unwrap();
    let (text, talk) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{talk}");
    // What the README promises of the clip.
    let all = text.lines().find(|line| line.starts_with("all ")).unwrap();
    let right: usize = all.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(all.contains(" of  502") && right >= 400, "{text}");
    let is_strip = |name: &str| talk.lines().any(|line| line.starts_with(name) && line.contains("HHH"));
    assert!(is_strip("truth ") && is_strip("found "), "{talk}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_keeps_clip_and_results_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let mut command = program();
        command.args(["demo", "--output-dir", "out"]).args(more).current_dir(folder.path());
        command.output().unwrap().status.code()
    };
    assert_eq!(run(&[]), Some(0));
    let at = |name: &str| folder.path().join("out").join(name);
    assert_eq!(std::fs::read(at("demo.mp4")).unwrap(), std::fs::read("assets/demo/demo.mp4").unwrap());
    assert_eq!(Timeline::read(&at("demo.json")).unwrap().media.frames, 602);
    assert!(["demo.csv", "demo.srt", "demo.eaf"].iter().all(|name| Path::exists(&at(name))));
    // Once more into the same folder; but not over what a person has changed.
    assert_eq!(run(&[]), Some(0));
    std::fs::write(at("demo.srt"), "mine").unwrap();
    assert_eq!(run(&[]), Some(6));
    assert_eq!(run(&["--overwrite"]), Some(0));
}

//! The way of corrections: page, apply, page, apply, agree; several days, several people, broken files.

use std::path::Path;

use annotate::eaf;
use annotate::timeline::{Expression, Timeline};
use annotate::train::manifest;
use serde_json::{Value, json};

use super::browser::Opened;
use super::{fails, reviewed, succeeds};

fn state(timeline: &Timeline, index: usize) -> Value {
    let segment = &timeline.tracks[0].segments[index];
    json!({
        "segment": format!("1.{}", segment.first_frame), "track": 1, "first_frame": segment.first_frame,
        "last_frame": segment.last_frame, "label": segment.label,
    })
}

/// A line of version 2 that gives a segment another label, or accepts it.
fn labelled(timeline: &Timeline, index: usize, reviewer: &str, label: &str) -> String {
    let before = state(timeline, index);
    let mut after = before.clone();
    after["label"] = label.into();
    after["review"] = if before["label"] == label { "accepted" } else { "changed" }.into();
    json!({
        "schema": "annotate/correction/2", "id": format!("{reviewer}-{index}-{label}"), "kind": "label", "layer": "review",
        "labels": "", "media_sha256": timeline.media.sha256, "model_sha256": timeline.model.sha256, "reviewer": reviewer,
        "time": "2026-11-27T10:00:00Z", "before": [before], "after": [after],
    })
    .to_string()
}

pub fn accepted(timeline: &Timeline, index: usize, reviewer: &str) -> String {
    labelled(timeline, index, reviewer, timeline.tracks[0].segments[index].label.name())
}

/// The page's segments of signer A as the timeline should have them.
fn expected(page: &Opened) -> Vec<(u64, u64, String)> {
    let all = page
        .json("layers.review.of(1).filter((s) => s.label !== null).map((s) => [s.first_frame, s.last_frame, s.label])");
    let number = |v: &Value| v.as_u64().unwrap();
    all.as_array().unwrap().iter().map(|s| (number(&s[0]), number(&s[1]), s[2].as_str().unwrap().into())).collect()
}

fn found(timeline: &Timeline) -> Vec<(u64, u64, String)> {
    let segments = timeline.tracks[0].segments.iter();
    segments.map(|s| (s.first_frame as u64, s.last_frame as u64, s.label.name().into())).collect()
}

#[test]
fn page_apply_page_apply_agree() {
    let test = "page_apply_page_apply_agree";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (labels, html) = reviewed(folder.path(), "clip.mp4");
    let program = std::fs::read(&labels).unwrap();
    let Some(page) = Opened::new(&html, test) else { return };
    page.value("settings.reviewer = document.getElementById('reviewer').value = 'Ann'");

    // Day one: another label, a frown inside a segment, an edge, no face, undone again.
    page.value("seek(60)");
    page.press("4");
    page.value("seek(110)");
    page.press("i");
    page.value("seek(116)");
    page.press("o");
    page.press("6");
    page.value("seek(150)");
    page.press("[");
    page.press("x");
    page.press("Ctrl+z");
    std::fs::write(path("one.jsonl"), page.file()).unwrap();
    let day_one = expected(&page);
    page.reload(); // Everything counts as saved.
    let (eaf, rows) = (path("x.eaf"), path("rows.csv"));
    let apply = |corrections: &str, more: &[&std::ffi::OsStr]| {
        let corrections = path(corrections);
        let mut arguments: Vec<&std::ffi::OsStr> =
            vec!["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), labels.as_ref()];
        arguments.extend(more);
        succeeds(&arguments)
    };
    apply("one.jsonl", &["--eaf".as_ref(), eaf.as_ref(), "--manifest".as_ref(), rows.as_ref()]);
    assert_eq!(std::fs::read(&labels).unwrap(), program, "the program's labels stay as they are");
    let corrected = Timeline::read(&path("labels.corrected.json")).unwrap();
    assert_eq!(found(&corrected), day_one);
    for segment in &corrected.tracks[0].segments {
        let is_decided =
            segment.decision.as_ref().is_some_and(|d| d.review.is_some_and(annotate::timeline::Review::decides_label));
        // The segment before the moved edge has frames on it that the program gave another label.
        assert_eq!(segment.confidence.is_none(), is_decided || segment.first_frame == 117, "{segment:?}");
    }
    // The ELAN document has the same stretches, and no confidence on what a person decided.
    let document = eaf::read(&eaf).unwrap();
    let tier = |id: &str| document.tiers.iter().find(|tier| tier.id == id).unwrap();
    let mut values: Vec<(u64, String)> =
        tier("expression@A").annotations.iter().map(|a| (a.start_ms / 40, a.value.clone())).collect();
    values.sort();
    assert_eq!(values, day_one.iter().map(|(first, _, label)| (*first, label.clone())).collect::<Vec<_>>());
    assert!(tier("expression-confidence@A").annotations.len() < values.len());
    // Rows exactly for the edited frames.
    let decided = |frame: u64| corrected.tracks[0].frames[frame as usize].confidence.is_none();
    let rows = manifest::read(&rows).unwrap();
    assert!(rows.len() >= 2 && rows.iter().all(|row| decided(row.frame.unwrap())), "{rows:?}");
    for row in &rows {
        assert_eq!(row.label, corrected.tracks[0].frames[row.frame.unwrap() as usize].label);
        assert_eq!(image::open(&row.path).unwrap().width(), 112);
    }

    // Day two, in the same page: an undo of what was saved yesterday, and more. Applied to the program's labels and to yesterday's.
    page.press("Ctrl+z");
    page.value("seek(5)");
    page.press("a");
    std::fs::write(path("two.jsonl"), page.file()).unwrap();
    let day_two = expected(&page);
    assert_ne!(day_one, day_two);
    let talk = apply("two.jsonl", &["-o".as_ref(), path("fresh.json").as_ref()]);
    assert!(talk.contains("0 in conflict"), "{talk}");
    let talk = apply("two.jsonl", &[]);
    assert!(talk.contains("0 in conflict"), "{talk}");
    for name in ["fresh.json", "labels.corrected.json"] {
        assert_eq!(found(&Timeline::read(&path(name)).unwrap()), day_two, "{name}");
    }
    let once = std::fs::read(path("labels.corrected.json")).unwrap();
    apply("two.jsonl", &[]);
    assert_eq!(std::fs::read(path("labels.corrected.json")).unwrap(), once, "again is no fault and changes nothing");

    // Day three: a page over the corrected labels, by somebody else.
    let corrected = path("labels.corrected.json");
    succeeds(&["review".as_ref(), corrected.as_ref(), "--language".as_ref(), "en".as_ref()]);
    page.open(&path("labels.corrected.html"));
    assert_eq!(expected(&page), day_two);
    assert_eq!(
        page.text("document.getElementById('warnings').textContent"),
        "",
        "nothing old is offered: it is all in it"
    );
    page.value("document.getElementById('reviewer').value = 'Ben'; seek(lanes().of(1).at(-1).first_frame)");
    page.press("0");
    std::fs::write(path("three.jsonl"), page.file()).unwrap();
    let three = path("three.jsonl");
    let last = path("last.json");
    succeeds(&[
        "apply".as_ref(),
        three.as_ref(),
        "--labels".as_ref(),
        corrected.as_ref(),
        "-o".as_ref(),
        last.as_ref(),
    ]);
    let after = Timeline::read(&last).unwrap();
    assert_eq!(found(&after), expected(&page));
    let who: Vec<&str> = after.corrections.as_ref().unwrap().operations.iter().map(|o| o.reviewer.as_str()).collect();
    assert!(who.contains(&"Ann") && who.contains(&"Ben"), "{who:?}");
    assert_eq!(
        annotate::review::machine_of(&after),
        Timeline::read(&labels).unwrap(),
        "what the program said is in it"
    );

    let output = super::run(&["agree".as_ref(), labels.as_ref(), last.as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("kappa"), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_blind_annotation_becomes_an_annotation_of_its_own() {
    let test = "a_blind_annotation_becomes_an_annotation_of_its_own";
    let folder = tempfile::tempdir().unwrap();
    let (labels, html) = reviewed(folder.path(), "clip.mp4");
    succeeds(&["review".as_ref(), labels.as_ref(), "--language".as_ref(), "en".as_ref(), "--blind".as_ref()]);
    let Some(page) = Opened::new(&html, test) else { return };
    assert_eq!(page.value("layer"), "blind");
    page.value("seek(3)");
    page.press("i");
    page.value("seek(30)");
    page.press("o");
    page.press("0");
    let corrections = folder.path().join("b.jsonl");
    std::fs::write(&corrections, page.file()).unwrap();
    succeeds(&["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), labels.as_ref()]);
    let blind = Timeline::read(&folder.path().join("labels.blind.json")).unwrap();
    assert_eq!(found(&blind), [(3, 30, "neutral".into())]);
    let blind = folder.path().join("labels.blind.json");
    let output = super::run(&["agree".as_ref(), labels.as_ref(), blind.as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_cannot_be_reviewed_or_applied_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (labels, _) = reviewed(folder.path(), "clip.mp4");
    let before = std::fs::read(&labels).unwrap();
    let timeline = Timeline::read(&labels).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cut.json"), &before[..before.len() / 2]).unwrap();
    let other = String::from_utf8(before.clone()).unwrap().replacen("annotate/timeline/", "annotate/timeline/9", 1);
    std::fs::write(path("other.json"), other).unwrap();
    let one_line = |message: String, part: &str| {
        assert!(message.contains(part) && message.lines().count() == 1, "'{part}' is not in: {message}");
    };
    one_line(fails(&["review".as_ref(), path("cut.json").as_ref()], 3), "cut.json");
    one_line(fails(&["review".as_ref(), path("other.json").as_ref()], 3), "timeline/9");
    one_line(fails(&["review".as_ref(), path("absent.json").as_ref()], 3), "absent.json");
    one_line(fails(&["review".as_ref(), labels.as_ref(), "--blind".as_ref(), "1.5".as_ref()], 2), "--blind");
    let corrections = path("corrections.jsonl");
    let whole = labelled(&timeline, 0, "r", "fear");
    let first = |model: &str, old: &str| {
        json!({
            "schema": "annotate/correction/1", "model_sha256": model, "track": 1, "first_frame": 0, "last_frame": 1, "old": old, "new": null,
        })
        .to_string()
    };
    for (content, part) in [
        (format!("{whole}\n{}", &whole[..whole.len() - 40]), "line 2"),
        ("{\"schema\":".into(), "line 1"),
        (whole.replace("correction/2", "correction/9"), "annotate/correction/9"),
        (whole.replace("\"before\":[", "\"before\":[{},"), "line 1"),
        (whole.replace(timeline.media.sha256.as_deref().unwrap(), &"0".repeat(64)), "another video"),
        (first("0", "fear"), "another model"),
        (first(&timeline.model.sha256, "fear"), "none of the 1 corrections fits"),
        (whole.replace("\"last_frame\":", "\"last_frame\":9"), "none of the 1 corrections fits"),
    ] {
        std::fs::write(&corrections, content).unwrap();
        one_line(fails(&["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), labels.as_ref()], 3), part);
        assert_eq!(std::fs::read(&labels).unwrap(), before);
        assert!(!path("labels.corrected.json").exists());
    }
}

#[test]
fn two_peoples_files_are_applied_side_by_side_and_their_conflicts_named() {
    let folder = tempfile::tempdir().unwrap();
    let (labels, _) = reviewed(folder.path(), "clip.mp4");
    let timeline = Timeline::read(&labels).unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, lines: [String; 2]| std::fs::write(path(name), lines.join("\n")).unwrap();
    write("ann.jsonl", [labelled(&timeline, 0, "Ann", "fear"), accepted(&timeline, 2, "Ann")]);
    write("ben.jsonl", [labelled(&timeline, 0, "Ben", "sadness"), accepted(&timeline, 2, "Ben")]);
    let [ann, ben] = ["ann.jsonl", "ben.jsonl"].map(path);
    let talk = fails(&["apply".as_ref(), ann.as_ref(), ben.as_ref(), "--labels".as_ref(), labels.as_ref()], 4);
    assert!(talk.contains("ben.jsonl, line 1: label by Ben left out: frames 0 to"), "{talk}");
    assert!(talk.contains("Ann's 'fear'") && talk.contains("1 agreed, 1 in conflict"), "{talk}");
    let both = Timeline::read(&path("labels.corrected.json")).unwrap();
    assert_eq!(both.tracks[0].segments[0].label, Expression::Fear, "who came first stays");
    // Each by themselves, compared.
    for (corrections, name) in [(&ann, "ann.json"), (&ben, "ben.json")] {
        succeeds(&[
            "apply".as_ref(),
            corrections.as_ref(),
            "--labels".as_ref(),
            labels.as_ref(),
            "-o".as_ref(),
            path(name).as_ref(),
        ]);
    }
    let output = super::run(&["agree".as_ref(), path("ann.json").as_ref(), path("ben.json").as_ref()]);
    assert!(output.status.success());
}

#[test]
fn apply_never_replaces_what_it_reads_or_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let (labels, _) = reviewed(folder.path(), "clip.mp4");
    let timeline = Timeline::read(&labels).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("c.jsonl"), accepted(&timeline, 0, "r")).unwrap();
    std::fs::write(path("d.jsonl"), accepted(&timeline, 1, "s")).unwrap();
    let (c, d) = (path("c.jsonl"), path("d.jsonl"));
    let apply = |corrections: &Path, more: &[&std::ffi::OsStr]| {
        let mut arguments: Vec<&std::ffi::OsStr> =
            vec!["apply".as_ref(), corrections.as_ref(), "--labels".as_ref(), labels.as_ref()];
        arguments.extend(more);
        super::run(&arguments)
    };
    let code =
        |output: std::process::Output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    let before = std::fs::read(&labels).unwrap();
    let (status, talk) = code(apply(&c, &["-o".as_ref(), labels.as_ref()]));
    assert!(status == Some(2) && talk.contains("--in-place"), "{talk}");
    std::os::unix::fs::symlink(&labels, path("link.json")).unwrap();
    assert_eq!(code(apply(&c, &["-o".as_ref(), path("link.json").as_ref()])).0, Some(2));
    assert_eq!(code(apply(&c, &["-o".as_ref(), c.as_ref()])).0, Some(2));
    std::fs::write(path("notes.json"), "{}").unwrap();
    let (status, talk) = code(apply(&c, &["-o".as_ref(), path("notes.json").as_ref()]));
    assert!(status == Some(6) && talk.contains("--overwrite"), "{talk}");
    assert_eq!(std::fs::read_to_string(path("notes.json")).unwrap(), "{}");
    assert_eq!(std::fs::read(&labels).unwrap(), before);
    // One file after the other adds up.
    assert!(apply(&c, &[]).status.success());
    let (status, talk) = code(apply(&d, &[]));
    assert!(status == Some(0) && talk.contains("1 applied"), "{talk}");
    let corrected = Timeline::read(&path("labels.corrected.json")).unwrap();
    assert!(corrected.tracks[0].segments[..2].iter().all(|s| s.decision.is_some()));
    assert!(apply(&c, &["--in-place".as_ref()]).status.success());
    assert!(Timeline::read(&labels).unwrap().corrections.is_some());
}

//! What ELAN changed comes back into labels.json.

use std::path::Path;

use annotate::eaf;
use annotate::timeline::{Review, Timeline};

use super::{annotated, fails, succeeds};
use crate::material::ffmpeg;

/// A document as ELAN writes it when somebody has worked in it: another author and day, time slots numbered anew by time, and
/// the edits of its expressions (start, end, value; milliseconds of the document) instead of what was there.
fn save_as_elan(path: &Path, edit: impl Fn(usize, (u64, u64, String)) -> Vec<(u64, u64, String)>) {
    let text = std::fs::read_to_string(path).unwrap();
    let slot_times: std::collections::HashMap<String, u64> = text
        .lines()
        .filter(|line| line.contains("<TIME_SLOT "))
        .map(|line| (attribute(line, "TIME_SLOT_ID"), attribute(line, "TIME_VALUE").parse().unwrap()))
        .collect();
    let (mut slots, mut gone) = (Vec::new(), Vec::new());
    let mut out = Vec::new();
    let (mut is_ours, mut number, mut annotation) = (false, 0, Vec::new());
    for line in text.lines().filter(|line| !line.contains("<TIME_SLOT ")) {
        if line.contains("<TIER ") {
            (is_ours, number) = (line.contains("TIER_ID=\"expression@A\""), 0);
        }
        let is_aligned = |lines: &[String]| lines.iter().any(|line| line.contains("<ALIGNABLE_ANNOTATION"));
        match (annotation.is_empty(), line.trim()) {
            (true, "<ANNOTATION>") | (false, _) => annotation.push(line.to_owned()),
            _ => out.push(line.to_owned()),
        }
        if line.trim() == "</ANNOTATION>" {
            let whole = std::mem::take(&mut annotation);
            if !is_aligned(&whole) {
                // What hangs on an annotation goes with it.
                let is_left = whole
                    .iter()
                    .all(|l| !l.contains("ANNOTATION_REF=") || !gone.contains(&attribute(l, "ANNOTATION_REF")));
                out.extend(whole.into_iter().filter(|_| is_left));
                continue;
            }
            let head = whole.iter().find(|line| line.contains("<ALIGNABLE_ANNOTATION")).unwrap();
            let value = whole.iter().find(|line| line.contains("<ANNOTATION_VALUE>")).unwrap();
            let value = value.split(['<', '>']).nth(2).unwrap().to_owned();
            let time = |name: &str| slot_times[&attribute(head, name)];
            let old = (time("TIME_SLOT_REF1"), time("TIME_SLOT_REF2"), value);
            let new = if is_ours { edit(number, old) } else { vec![old] };
            number += 1;
            if new.is_empty() {
                gone.push(attribute(head, "ANNOTATION_ID"));
            }
            for (index, (start, end, value)) in new.into_iter().enumerate() {
                let mut slot = |time: u64| {
                    slots.push(time);
                    format!("slot{}", slots.len() - 1)
                };
                let (first, last) = (slot(start), slot(end));
                let id = format!("{}{}", attribute(head, "ANNOTATION_ID"), if index == 0 { "" } else { "b" });
                out.push(format!(
                    "<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID=\"{id}\" TIME_SLOT_REF1=\"{first}\" \
                     TIME_SLOT_REF2=\"{last}\"><ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
                ));
            }
        }
    }
    // Numbered by time, as ELAN does.
    let mut order: Vec<usize> = (0..slots.len()).collect();
    order.sort_by_key(|slot| slots[*slot]);
    let lines: Vec<String> = order
        .iter()
        .enumerate()
        .map(|(index, slot)| format!("<TIME_SLOT TIME_SLOT_ID=\"ts{}\" TIME_VALUE=\"{}\"/>", index + 1, slots[*slot]))
        .collect();
    let mut text = out.join("\n");
    for (index, slot) in order.iter().enumerate() {
        text = text.replace(&format!("\"slot{slot}\""), &format!("\"ts{}\"", index + 1));
    }
    text = text.replacen("<TIME_ORDER>", &format!("<TIME_ORDER>\n{}", lines.join("\n")), 1);
    text = text.replacen("AUTHOR=\"\"", "AUTHOR=\"Eve\"", 1);
    text = text.replacen("DATE=\"1970-01-01T00:00:00+00:00\"", "DATE=\"2026-11-27T10:00:00+01:00\"", 1);
    std::fs::write(path, text).unwrap();
}

fn attribute(line: &str, name: &str) -> String {
    let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{name} in {line}"));
    rest.split('"').next().unwrap().to_owned()
}

fn found(timeline: &Timeline) -> Vec<(usize, usize, String)> {
    timeline.tracks[0].segments.iter().map(|s| (s.first_frame, s.last_frame, s.label.name().to_owned())).collect()
}

#[test]
fn labels_edges_new_and_deleted_annotations_come_back_from_elan() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // A transport stream, whose container starts late, as players do not show.
    let video = path("clip.ts");
    ffmpeg("-i assets/demo/demo.mp4 -t 12 -c copy -f mpegts", &video);
    let (labels, _) = annotated(folder.path(), &video);
    let program = Timeline::read(&labels).unwrap();
    let before = found(&program);
    assert!(before.len() >= 5 && program.media.start_s > 1.0, "{before:?}");
    for tiers in ["plain", "dgs", "bsl"] {
        let eaf = path(&format!("{tiers}.eaf"));
        let convert = |more: &[&str]| {
            let mut arguments: Vec<&std::ffi::OsStr> =
                vec!["convert".as_ref(), labels.as_ref(), "-q".as_ref(), "-o".as_ref(), eaf.as_ref()];
            arguments.extend(more.iter().map(|text| -> &std::ffi::OsStr { text.as_ref() }));
            succeeds(&arguments)
        };
        convert(&["--tiers", tiers]);
        let text = std::fs::read_to_string(&eaf).unwrap();
        let names = ["Mimik_A", "Expression-A"].iter().fold(text, |t, name| t.replace(name, "expression@A"));
        std::fs::write(&eaf, names).unwrap();
        save_as_elan(&eaf, |number, (start, end, value)| match number {
            0 => vec![(start, end, "fear".into())],
            1 => vec![],
            // 200 ms of another label at its beginning.
            2 => vec![(start, start + 200, "wütend".into()), (start + 200, end, value)],
            // It begins 121 ms later, which is three frames of 40 ms.
            3 => vec![(start + 121, end, value)],
            _ => vec![(start, end, value)],
        });
        let corrected = path(&format!("{tiers}.json"));
        let apply = |code: i32| {
            let arguments: [&std::ffi::OsStr; 6] = [
                "apply".as_ref(),
                eaf.as_ref(),
                "--labels".as_ref(),
                labels.as_ref(),
                "-o".as_ref(),
                corrected.as_ref(),
            ];
            if code == 0 { succeeds(&arguments) } else { fails(&arguments, code) }
        };
        let talk = apply(0);
        assert!(talk.contains("4 applied, 0 known, 0 agreed, 0 in conflict"), "{tiers}: {talk}");
        let mut expected = before.clone();
        expected[0].2 = "fear".into();
        let (first, last, label) = before[2].clone();
        expected[3].0 += 3;
        expected.splice(1..3, [(first, first + 4, "anger".into()), (first + 5, last, label)]);
        let now = Timeline::read(&corrected).unwrap();
        assert_eq!(found(&now), expected, "{tiers}");
        let decision = |index: usize| now.tracks[0].segments[index].decision.clone();
        let first = decision(0).unwrap();
        assert_eq!((first.reviewer.as_str(), first.time.as_str()), ("Eve", "2026-11-27T10:00:00+01:00"));
        assert_eq!(decision(3).unwrap().review, Some(Review::Moved), "it has the label it had");
        assert_eq!(decision(4), None, "nobody touched it");
        assert_eq!(annotate::review::machine_of(&now), program);
        let once = std::fs::read(&corrected).unwrap();
        let talk = apply(0);
        assert!(talk.contains("0 applied"), "{talk}");
        assert_eq!(std::fs::read(&corrected).unwrap(), once, "again, it changes nothing");
        // What is written from the corrected labels is what ELAN showed.
        let again = path("again.eaf");
        succeeds(&[
            "convert".as_ref(),
            corrected.as_ref(),
            "--overwrite".as_ref(),
            "-q".as_ref(),
            "-o".as_ref(),
            again.as_ref(),
        ]);
        assert_eq!(eaf::read(&again).unwrap().tiers[0].annotations.len(), expected.len());
    }
    // An annotation whose text stands for nothing is named, and the rest is taken.
    let eaf = path("x.eaf");
    save_as_elan(&eaf, |number, (start, end, value)| match number {
        0 => vec![(start, end, "hmpf".into())],
        1 => vec![(start, end, "disgust".into())],
        _ => vec![(start, end, value)],
    });
    let arguments: [&std::ffi::OsStr; 4] = ["apply".as_ref(), eaf.as_ref(), "--labels".as_ref(), labels.as_ref()];
    let talk = fails(&arguments, 4);
    assert!(talk.contains("'hmpf' is no expression") && talk.contains("1 applied"), "{talk}");
    assert_eq!(found(&Timeline::read(&path("labels.corrected.json")).unwrap())[1].2, "disgust");
    // Another video's document is refused.
    let text = std::fs::read_to_string(&eaf).unwrap();
    let shifted: Vec<String> = text
        .lines()
        .map(|line| match line.contains("<TIME_SLOT ") {
            true => line.replace("TIME_VALUE=\"", "TIME_VALUE=\"77"),
            false => line.replace("annotate.labels", "annotate.others"),
        })
        .collect();
    std::fs::write(&eaf, shifted.join("\n")).unwrap();
    let talk = fails(&arguments, 3);
    assert!(talk.contains("is it of this video?") && talk.lines().count() == 1, "{talk}");
}

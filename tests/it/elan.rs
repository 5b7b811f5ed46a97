//! What ELAN gets: valid, without dangling references, and nothing of what was there before lost.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::material::{clips, data, ffmpeg, ffprobe, program};
use annotate::eaf::{self, Document};
use annotate::timeline::{FacePart, Timeline};

fn annotate(input: &Path, arguments: &[&str], paths: &[&Path]) -> Output {
    let mut command = program();
    command.arg(input).arg("-q").args(arguments).args(paths).stdin(Stdio::null()).output().unwrap()
}

fn bundle(input: &Path, arguments: &[&str], eaf: &Path) {
    let output = annotate(input, arguments, &[Path::new("-o"), eaf]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn demo() -> &'static Path {
    Path::new("assets/demo/demo.mp4")
}

/// Asserts that `eaf` is what the schema wants; says so where that cannot be asked.
fn assert_valid(eaf: &Path, test: &str) {
    let Some(data) = data(test) else { return };
    let schema = data.join("eaf/EAFv3.0.xsd");
    let checked = Command::new("xmllint").arg("--nonet").arg("--noout").arg("--schema").arg(schema).arg(eaf).output();
    let output = checked.expect("xmllint is installed (scripts/setup.sh test)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The values of an attribute, wherever it stands.
fn values(text: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    text.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn assert_no_dangling_reference(eaf: &Path) {
    let text = std::fs::read_to_string(eaf).unwrap();
    for (reference, target) in [
        ("TIME_SLOT_REF1", "TIME_SLOT_ID"),
        ("TIME_SLOT_REF2", "TIME_SLOT_ID"),
        ("ANNOTATION_REF", "ANNOTATION_ID"),
        ("CVE_REF", "CVE_ID"),
        ("LINGUISTIC_TYPE_REF", "LINGUISTIC_TYPE_ID"),
        ("CONTROLLED_VOCABULARY_REF", "CV_ID"),
        ("CONSTRAINTS", "STEREOTYPE"),
        ("PARENT_REF", "TIER_ID"),
        ("LANG_REF", "LANG_ID"),
    ] {
        let targets: HashSet<String> = values(&text, target).into_iter().collect();
        let dangling: Vec<String> = values(&text, reference).into_iter().filter(|id| !targets.contains(id)).collect();
        assert_eq!(dangling, Vec::<String>::new(), "{}: {reference}", eaf.display());
    }
    for unique in ["TIME_SLOT_ID", "ANNOTATION_ID", "TIER_ID", "LINGUISTIC_TYPE_ID", "CV_ID", "LANG_ID"] {
        let ids = values(&text, unique);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{}: {unique}", eaf.display());
    }
}

#[test]
fn every_real_clip_gives_a_valid_bundle_with_frame_exact_boundaries() {
    let test = "every_real_clip_gives_a_valid_bundle_with_frame_exact_boundaries";
    let folder = tempfile::tempdir().unwrap();
    // One clip of each origin suffices; the first is long.
    for clip in clips(test).into_iter().skip(1).step_by(3) {
        let eaf = folder.path().join("x.eaf");
        let json = folder.path().join("x.json");
        let output = annotate(&clip, &[], &["-o".as_ref(), eaf.as_ref(), "-o".as_ref(), json.as_ref()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_valid(&eaf, test);
        assert_no_dangling_reference(&eaf);
        let timeline = Timeline::read(&json).unwrap();
        let document = eaf::read(&eaf).unwrap();
        let tier = document.tiers.iter().find(|tier| tier.id == "expression@A").unwrap();
        let segments = &timeline.tracks[0].segments;
        assert_eq!(tier.annotations.len(), segments.len());
        for (annotation, segment) in tier.annotations.iter().zip(segments) {
            assert_eq!(annotation.value, segment.label.name());
            for (ms, time_s) in [(annotation.start_ms, segment.start_s), (annotation.end_ms, segment.end_s)] {
                let late_ms = ms as f64 - time_s * 1000.0;
                assert!((-1e-5..1.0).contains(&late_ms), "{}: {late_ms} ms", clip.display());
            }
        }
    }
}

/// The real clip of a signer who raises the brows, tilts the head, opens and rounds the mouth, and blinks.
const EVENTFUL: &str = "signtranslate_example-sentence-original.mp4";

#[test]
fn what_the_face_does_stands_on_tiers_of_its_own_frame_by_frame() {
    let test = "what_the_face_does_stands_on_tiers_of_its_own_frame_by_frame";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for clip in clips(test).into_iter().filter(|clip| clip.ends_with(EVENTFUL)) {
        let outputs = ["x.eaf", "x.json", "x.TextGrid"].map(path);
        let arguments: Vec<&Path> = outputs.iter().flat_map(|output| [Path::new("-o"), output]).collect();
        assert!(annotate(&clip, &[], &arguments).status.success());
        assert_valid(&path("x.eaf"), test);
        assert_no_dangling_reference(&path("x.eaf"));
        let timeline = Timeline::read(&path("x.json")).unwrap();
        let document = eaf::read(&path("x.eaf")).unwrap();
        let grid = std::fs::read_to_string(path("x.TextGrid")).unwrap();
        let [numerator, denominator] = timeline.media.frame_rate.map(f64::from);
        let track = &timeline.tracks[0];
        assert!(track.events.len() > 5, "{:?}", track.events);
        for part in FacePart::ALL {
            let name = format!("{}@A", part.tier());
            let tier = document.tiers.iter().find(|tier| tier.id == name).unwrap();
            let stretches = track.going_on(part);
            assert_eq!(tier.annotations.len(), stretches.len(), "{name}");
            for (annotation, stretch) in tier.annotations.iter().zip(stretches) {
                // As ELAN finds the frame of a moment.
                let frame_of = |ms: u64| (ms as f64 / 1000.0 * numerator / denominator + 1e-6) as usize;
                let frames = (frame_of(annotation.start_ms), frame_of(annotation.end_ms));
                assert_eq!(frames, (stretch.first_frame, stretch.last_frame + 1), "{name}");
                assert_eq!(annotation.value.matches(" + ").count() + 1, stretch.kinds.len());
            }
            assert!(grid.contains(&format!("name = \"{name}\"")));
        }
        // Brought from the labels alone, it is all the same.
        let convert = annotate_command(&["convert", "-q", path("x.json").to_str().unwrap(), "-o"], &path("y.eaf"));
        assert!(convert.status.success(), "{}", String::from_utf8_lossy(&convert.stderr));
        for ending in ["eaf", "csv"] {
            let [x, y] = ["x", "y"].map(|stem| std::fs::read_to_string(path(&format!("{stem}.{ending}"))).unwrap());
            assert!(x.replace("/x.", "/y.").replace("/x_", "/y_") == y, "{ending} differs");
        }
        // A panel for each kind of measure, in the unit that its axis says.
        let preferences = std::fs::read_to_string(path("x.pfsx")).unwrap();
        for curve in ["A inner brow height", "A eye openness", "A mouth opening", "A yaw"] {
            assert!(preferences.contains(&format!("<String>{curve}</String>")), "{curve}");
        }
        let german = path("german.eaf");
        let arguments = ["convert", "-q", "--tiers", "dgs", path("x.json").to_str().unwrap(), "-o"].map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert!(annotate_command(&arguments, &german).status.success());
        assert_valid(&german, test);
        let document = eaf::read(&german).unwrap();
        assert!(document.tiers.iter().any(|tier| tier.id == "Kopf_A"));
        let eyes = document.tiers.iter().find(|tier| tier.id == "Augen_A").unwrap();
        assert!(eyes.annotations.iter().any(|annotation| annotation.value == "Blinzeln"));
    }
}

#[test]
fn a_bundle_is_four_files_that_know_each_other() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing in a name is encoded.
    let video = folder.path().join("Gebärde 01 & <Übung>.mp4");
    ffmpeg(&format!("-i {} -t 3 -c copy", demo().display()), &video);
    let eaf = folder.path().join("x.eaf");
    bundle(&video, &[], &eaf);
    assert_valid(&eaf, "a_bundle_is_four_files_that_know_each_other");
    let document = eaf::read(&eaf).unwrap();
    let absolute = video.canonicalize().unwrap();
    assert_eq!(document.media[0].url, format!("file://{}", absolute.display()));
    assert_eq!(document.media[0].relative_url.as_deref(), Some("./Gebärde 01 & <Übung>.mp4"));
    let text = std::fs::read_to_string(&eaf).unwrap();
    let links = values(&text, "LINK_URL");
    let configuration = std::fs::read_to_string(folder.path().join("x_tsconf.xml")).unwrap();
    assert_eq!(values(&configuration, "source-url"), [links[0].as_str()], "ELAN compares these byte by byte");
    assert!(links[1].ends_with("/x_tsconf.xml"));
    let curves: HashSet<String> = values(&configuration, "name").into_iter().collect();
    let preferences = std::fs::read_to_string(folder.path().join("x.pfsx")).unwrap();
    // Curves that a person adds by hand.
    let is_by_hand = |curve: &&String| curve.contains("aperture") || curve.contains("gaze");
    let opened = |curve: &String| preferences.contains(&format!("<String>{curve}</String>"));
    assert!(curves.iter().filter(|curve| !is_by_hand(curve)).all(opened));
    assert_eq!(curves.iter().filter(is_by_hand).count(), 4);
    let table = std::fs::read_to_string(folder.path().join("x.csv")).unwrap();
    let frames = ffprobe(&video, "frame=pict_type").len();
    assert_eq!(table.lines().filter(|line| !line.starts_with('#')).count(), frames);
}

#[test]
fn other_peoples_files_beside_a_bundle_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("x.pfsx"), "no preferences of ELAN's").unwrap();
    std::fs::write(path("x.csv"), "somebody's table").unwrap();
    bundle(demo(), &["--end", "2"], &path("x.eaf"));
    bundle(demo(), &["--end", "2"], &path("x.eaf"));
    assert_eq!(std::fs::read_to_string(path("x.pfsx")).unwrap(), "no preferences of ELAN's");
    assert_eq!(std::fs::read_to_string(path("x.csv")).unwrap(), "somebody's table");
    assert!(path("x_elan.csv").is_file());
    let output = annotate(demo(), &["--end", "2", "-f", "eaf,csv", "--output-dir"], &[&path("")]);
    assert!(output.status.success());
    assert!(std::fs::read_to_string(path("demo.csv")).unwrap().starts_with("frame,"));
    assert!(std::fs::read_to_string(path("demo_elan.csv")).unwrap().starts_with('#'));
}

/// When the annotations of a tier start, milliseconds.
fn starts(document: &Path, tier: &str) -> Vec<u64> {
    let document = eaf::read(document).unwrap();
    let tier = document.tiers.into_iter().find(|known| known.id == tier).unwrap();
    tier.annotations.iter().map(|annotation| annotation.start_ms).collect()
}

#[test]
fn merging_in_place_again_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let documents = real_documents("merging_in_place_again_changes_no_byte");
    bundle(demo(), &["--end", "3"], &path("x.eaf"));
    for (number, given) in documents.iter().chain([&path("x.eaf")]).enumerate() {
        let eaf = path(&format!("{number} in place.eaf"));
        // Without the permissions, which may be to read only.
        std::fs::write(&eaf, std::fs::read(given).unwrap()).unwrap();
        if given.ends_with("x.eaf") {
            // Curves, too, are where they were.
            for suffix in [".pfsx", ".csv", "_tsconf.xml"] {
                std::fs::copy(path(&format!("x{suffix}")), path(&format!("{number} in place{suffix}"))).unwrap();
            }
        }
        let merge = || bundle(demo(), &["--end", "3", "--merge-into", eaf.to_str().unwrap()], &eaf);
        merge();
        let files = || -> Vec<(PathBuf, Vec<u8>)> {
            let all = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let shown = all.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
            let mut files: Vec<_> = shown.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
            files.sort();
            files
        };
        let once = files();
        merge();
        let (before, after) = (once, files());
        for ((path, before), (_, after)) in before.iter().zip(&after) {
            assert!(before == after, "{} changed when {} was merged into again", path.display(), given.display());
        }
        assert_eq!(before.len(), after.len());
    }
}

#[test]
fn a_documents_own_time_is_honoured_in_tiers_and_curves() {
    let test = "a_documents_own_time_is_honoured_in_tiers_and_curves";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    bundle(demo(), &["--end", "8"], &path("plain.eaf"));
    let plain = std::fs::read_to_string(path("plain.eaf")).unwrap();
    // Somebody else's document of the same video, whose first 1500 ms lie before the document's zero.
    let (head, rest) = plain.split_once("<TIME_ORDER>").unwrap();
    let (_, tail) = rest.split_once("<LINGUISTIC_TYPE").unwrap();
    let head = head.replace("MIME_TYPE=\"video/mp4\"", "MIME_TYPE=\"video/mp4\" TIME_ORIGIN=\"1500\"");
    let head: Vec<&str> = head.lines().filter(|line| !line.contains("LINKED_FILE_DESCRIPTOR")).collect();
    let given = format!("{}<TIME_ORDER/><LINGUISTIC_TYPE{tail}", head.join("\n"));
    std::fs::write(path("given.eaf"), given).unwrap();
    bundle(demo(), &["--end", "8", "--merge-into", path("given.eaf").to_str().unwrap()], &path("merged.eaf"));
    assert_valid(&path("merged.eaf"), test);
    let raw = std::fs::read_to_string(path("merged.eaf")).unwrap();
    let slots: Vec<u64> = values(&raw, "TIME_VALUE").iter().map(|value| value.parse().unwrap()).collect();
    assert!(slots.iter().all(|slot| *slot <= 6500), "{slots:?}");
    // Readers give the video's time: what ended before the document's zero is not there, the rest is where it was.
    let (expected, found) = (starts(&path("plain.eaf"), "expression@A"), starts(&path("merged.eaf"), "expression@A"));
    let later: Vec<u64> = expected.iter().copied().filter(|start| *start > 1500).collect();
    assert!(!later.is_empty() && found.ends_with(&later), "{expected:?} {found:?}");
    let table = std::fs::read_to_string(path("merged.csv")).unwrap();
    let times: Vec<u64> = table.lines().skip(2).map(|row| row.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(times[0] < 40 && times.last().is_some_and(|last| (6400..6500).contains(last)), "{times:?}");
    // And whoever compares them finds them alike where both are.
    let (a, b) = (path("plain.eaf"), path("merged.eaf"));
    let agree = ["agree", "--tier", "expression@A", "--json", a.to_str().unwrap()];
    let agree = annotate_command(&agree, &b);
    let agreement: serde_json::Value = serde_json::from_slice(&agree.stdout).unwrap();
    assert_eq!(agreement["pooled"]["frames"]["agreement"], 1.0, "{agreement}");
}

#[test]
fn preferences_of_the_merged_document_come_along_and_existing_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    bundle(demo(), &["--end", "2"], &path("x.eaf"));
    let arranged = "<preferences version=\"1.1\"><pref key=\"TextViewer.FontSize\"><Int>20</Int></pref>\
                    <prefGroup key=\"TierColors\"><pref key=\"gloss\"><Object class=\"java.awt.Color\">1,2,3</Object>\
                    </pref></prefGroup></preferences>";
    std::fs::write(path("x.pfsx"), arranged).unwrap();
    let merge = ["--end", "2", "--tiers", "ngt", "--merge-into", path("x.eaf").to_str().unwrap()].map(str::to_owned);
    let merge: Vec<&str> = merge.iter().map(String::as_str).collect();
    bundle(demo(), &merge, &path("new.eaf"));
    bundle(demo(), &merge, &path("x.eaf"));
    for name in ["new.pfsx", "x.pfsx"] {
        let found = std::fs::read_to_string(path(name)).unwrap();
        assert!(found.contains("TextViewer.FontSize") && found.contains("1,2,3"), "{name}: {found}");
        for part in ["<String>S1 anger</String>", "annotate-expression", "LayoutManager.SplitPaneDividerLocation"] {
            assert!(found.contains(part), "{name}: no {part} in {found}");
        }
    }
}

#[test]
fn values_of_old_documents_keep_their_vocabulary_entries() {
    let test = "values_of_old_documents_keep_their_vocabulary_entries";
    let folder = tempfile::tempdir().unwrap();
    let Some(data) = data(test) else { return };
    let (old, new) = (data.join("eaf/pympi_sample_2.7.eaf"), data.join("eaf/pympi_sample_3.0.eaf"));
    let eaf = folder.path().join("x.eaf");
    bundle(demo(), &["--end", "1", "--merge-into", old.to_str().unwrap()], &eaf);
    assert_valid(&eaf, test);
    assert_no_dangling_reference(&eaf);
    // The same content as ELAN itself wrote it in 3.0.
    let references = |path: &Path| values(&std::fs::read_to_string(path).unwrap(), "CVE_REF");
    let ours = references(&eaf).iter().filter(|id| !id.starts_with("cve-")).count();
    assert_eq!(ours, references(&new).len());
}

#[test]
fn a_video_that_is_a_link_keeps_its_name_and_curves_are_found_below_any_folder() {
    let test = "a_video_that_is_a_link_keeps_its_name_and_curves_are_found_below_any_folder";
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join(".store/MD5E-0.mp4");
    std::fs::create_dir(folder.path().join(".store")).unwrap();
    std::fs::copy(demo(), &store).unwrap();
    for (name, stem, link) in [("plain", "a b", "file:///"), ("Gebärde", "Übung", "FILE:///"), ("x#1", "y", "FILE:///")]
    {
        let directory = folder.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        let video = directory.join("session 1.mp4");
        std::os::unix::fs::symlink(&store, &video).unwrap();
        let eaf = directory.join(format!("{stem}.eaf"));
        let mut command = program();
        let output = command.arg(&video).args(["--end", "1", "-o"]).arg(&eaf).stdin(Stdio::null()).output().unwrap();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{talk}");
        assert_eq!(talk.contains("WARN"), name != "plain", "{talk}");
        assert_valid(&eaf, test);
        let text = std::fs::read_to_string(&eaf).unwrap();
        assert_eq!(values(&text, "RELATIVE_MEDIA_URL"), ["./session 1.mp4"]);
        assert!(values(&text, "MEDIA_URL")[0].ends_with("/session 1.mp4"));
        let links = values(&text, "LINK_URL");
        let configuration = links.iter().find(|url| url.ends_with("_tsconf.xml")).unwrap();
        assert!(configuration.starts_with(link), "{configuration}");
        let file = configuration.rsplit('/').next().unwrap();
        assert!(file.is_ascii() && directory.join(file).is_file(), "{file}");
        let table = values(&std::fs::read_to_string(directory.join(file)).unwrap(), "source-url");
        assert_eq!(table, [links[0].as_str()]);
        assert!(links[0].starts_with("file:///"));
    }
}

#[test]
fn a_document_carries_no_date_of_its_making() {
    let folder = tempfile::tempdir().unwrap();
    let eaf = folder.path().join("x.eaf");
    bundle(demo(), &["--end", "1"], &eaf);
    let first = std::fs::read_to_string(&eaf).unwrap();
    assert_eq!(values(&first, "DATE"), ["1970-01-01T00:00:00+00:00"]);
    bundle(demo(), &["--end", "1"], &eaf);
    assert_eq!(std::fs::read_to_string(&eaf).unwrap(), first);
}

fn real_documents(test: &str) -> Vec<PathBuf> {
    let Some(data) = data(test) else { return Vec::new() };
    let entries = std::fs::read_dir(data.join("eaf")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "eaf")).collect()
}

#[test]
fn merging_keeps_everything_that_was_there() {
    let test = "merging_keeps_everything_that_was_there";
    let folder = tempfile::tempdir().unwrap();
    for original in real_documents(test) {
        let before = std::fs::read(&original).unwrap();
        let eaf = folder.path().join(original.file_name().unwrap());
        let merge = ["--end", "3", "--merge-into", original.to_str().unwrap()];
        bundle(demo(), &merge, &eaf);
        assert_eq!(std::fs::read(&original).unwrap(), before, "the original stays");
        assert_valid(&eaf, test);
        let (old, new): (Document, Document) = (eaf::read(&original).unwrap(), eaf::read(&eaf).unwrap());
        assert_eq!(new.tiers[..old.tiers.len()], old.tiers[..], "{}", original.display());
        assert_eq!(new.media[..old.media.len()], old.media[..], "{}", original.display());
        let added: Vec<&str> = new.tiers[old.tiers.len()..].iter().map(|tier| tier.id.as_str()).collect();
        let expression = ["expression@A", "expression-confidence@A", "status@A"];
        let face = ["brows@A", "eyes@A", "mouth@A", "head@A", "hands-on-face@A", "expression-face@A"];
        assert_eq!(added, [&expression[..], &face[..]].concat());
        // Vocabularies, links and all the rest: no attribute's value has gone.
        let (before, after) = (String::from_utf8(before).unwrap(), std::fs::read_to_string(&eaf).unwrap());
        for attribute in ["CV_ID", "CVE_ID", "EXT_REF", "VALUE", "REF_LINK_ID", "NAME", "LINK_URL", "DEFAULT_LOCALE"] {
            let after: HashSet<String> = values(&after, attribute).into_iter().collect();
            let lost: Vec<String> = values(&before, attribute).into_iter().filter(|v| !after.contains(v)).collect();
            assert_eq!(lost, Vec::<String>::new(), "{}: {attribute}", original.display());
        }
        // Other results come under other names, the first ones' content untouched.
        let again = folder.path().join("again.eaf");
        bundle(demo(), &["--end", "4", "--merge-into", eaf.to_str().unwrap()], &again);
        assert_valid(&again, test);
        let more = eaf::read(&again).unwrap();
        assert_eq!(more.tiers[..new.tiers.len()], new.tiers[..]);
        let names: Vec<&str> = more.tiers[new.tiers.len()..].iter().map(|tier| tier.id.as_str()).collect();
        assert!(names.starts_with(&["expression@A-2", "expression-confidence@A-2"]), "{names:?}");
        assert!(names.iter().all(|name| name.ends_with("-2")), "{names:?}");
    }
}

#[test]
fn presets_name_tiers_and_leave_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let eaf = folder.path().join("x.eaf");
    bundle(demo(), &["--tiers", "bsl"], &eaf);
    let document = eaf::read(&eaf).unwrap();
    let annotations = &document.tiers.iter().find(|tier| tier.id == "Expression-A").unwrap().annotations;
    let gaps: Vec<u64> = annotations.windows(2).map(|pair| pair[1].start_ms - pair[0].end_ms).collect();
    assert!(gaps.iter().all(|gap| *gap >= 40) && gaps.contains(&40), "{gaps:?}");
    bundle(demo(), &["--tiers", "dgs", "--gap-frames", "0"], &eaf);
    let document = eaf::read(&eaf).unwrap();
    let annotations = &document.tiers.iter().find(|tier| tier.id == "Mimik_A").unwrap().annotations;
    assert!(annotations.iter().any(|annotation| annotation.value == "Freude"));
    assert!(annotations.windows(2).any(|pair| pair[0].end_ms == pair[1].start_ms));
    assert_valid(&eaf, "presets_name_tiers_and_leave_gaps");
}

#[test]
fn documents_that_cannot_be_merged_into_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let hostile =
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><ANNOTATION_DOCUMENT>&x;</ANNOTATION_DOCUMENT>";
    for (content, part) in [
        (hostile, "document type"),
        ("<ANNOTATION_DOCUMENT VERSION=\"9.0\"/>", "version 9.0"),
        ("<html/>", "<html>"),
        ("no xml", "no element"),
    ] {
        std::fs::write(path("given.eaf"), content).unwrap();
        let output = annotate(demo(), &["--merge-into"], &[&path("given.eaf"), "-o".as_ref(), &path("x.eaf")]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(message.contains("given.eaf") && message.contains(part) && message.lines().count() == 1, "{message}");
        assert_eq!(std::fs::read_to_string(path("given.eaf")).unwrap(), content);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left lying about");
    }
    for arguments in [["-o", "-.eaf"].as_slice(), &["--merge-into", "given.eaf", "-o", "-"]] {
        let output = annotate(demo(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn pympi_reads_and_writes_what_we_write() {
    let test = "pympi_reads_and_writes_what_we_write";
    let folder = tempfile::tempdir().unwrap();
    let eaf = folder.path().join("x.eaf");
    bundle(demo(), &[], &eaf);
    let Some(python) = python() else {
        println!("skipped: {test} (pympi-ling is not to be had)");
        return;
    };
    let again = folder.path().join("again.eaf");
    let output = Command::new(python).arg("tests/elan/roundtrip.py").arg(&eaf).arg(&again).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let content: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(content["read"], content["again"]);
    let ours = eaf::read(&eaf).unwrap();
    let tier = |name: &str| ours.tiers.iter().find(|tier| tier.id == name).unwrap();
    let expected: Vec<serde_json::Value> =
        tier("expression@A").annotations.iter().map(|a| serde_json::json!([a.start_ms, a.end_ms, a.value])).collect();
    assert_eq!(content["read"]["expression@A"], serde_json::Value::Array(expected));
    let written_again = eaf::read(&again).unwrap();
    assert_eq!(written_again.tiers.iter().find(|t| t.id == "expression@A"), Some(tier("expression@A")));
}

/// A Python with pympi-ling: made once in the build folder, where there is Python and a package index.
fn python() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pympi");
    let python = folder.join("bin/python");
    let has_it = |python: &Path| {
        let output = Command::new(python).args(["-c", "import pympi"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !has_it(&python) {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).output();
        let installed = Command::new(&python).args(["-m", "pip", "install", "-q", "pympi-ling==1.70.2"]).output();
        made.and(installed).ok()?;
    }
    has_it(&python).then_some(python)
}

/// Runs the recogniser as ELAN does: in its folder, by the script that its description names.
fn recognise(folder: &Path, request: &str) -> (Vec<String>, Option<i32>) {
    use std::io::Write as _;
    let mut child = Command::new("./annotate.sh")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    (lines, output.status.code())
}

#[test]
fn inside_elan_the_recogniser_reports_progress_and_writes_tiers_and_curves() {
    let folder = tempfile::tempdir().unwrap();
    let install = annotate_command(&["elan-recognizer", "--install"], folder.path());
    assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
    let extension = folder.path().join("annotate");
    let description = std::fs::read_to_string(extension.join("annotate.cmdi")).unwrap();
    assert!(description.contains("runLinux=\"./annotate.sh\""), "{description}");
    let (tiers, curves) = (folder.path().join("a tier's.xml"), folder.path().join("curves.csv"));
    let param = |name: &str, value: &Path| format!("<param name=\"{name}\">{}</param>", value.display());
    let video = demo().canonicalize().unwrap();
    let request = |video: &Path| {
        let (tiers, curves) = (param("tiers", &tiers), param("curves", &curves));
        format!(
            "<?xml version=\"1.0\"?><PARAM>{}{tiers}{curves}<param name=\"tier_names\">dgs</param></PARAM>",
            param("video", video)
        )
    };
    let (lines, code) = recognise(&extension, &request(&video));
    assert_eq!((lines.last().map(String::as_str), code), (Some("RESULT: DONE."), Some(0)), "{lines:?}");
    let progress: Vec<f64> =
        lines.iter().filter_map(|line| line.strip_prefix("PROGRESS: ")?.split(' ').next()?.parse().ok()).collect();
    assert!(progress.len() > 20 && progress.windows(2).all(|pair| pair[0] < pair[1]), "{progress:?}");

    // The same segments as the ELAN file has.
    let eaf = folder.path().join("x.eaf");
    bundle(&video, &["--tiers", "dgs"], &eaf);
    let document = eaf::read(&eaf).unwrap();
    let text = std::fs::read_to_string(&tiers).unwrap();
    for tier in &document.tiers {
        let (_, rest) = text.split_once(&format!("<TIER columns=\"{}\"", tier.id)).expect(&tier.id);
        let spans = rest.split("<TIER ").next().unwrap();
        let (starts, ends) = (values(spans, "start"), values(spans, "end"));
        let expected = |pick: fn(&eaf::Annotation) -> u64| -> Vec<String> {
            tier.annotations.iter().map(|a| pick(a).to_string()).collect()
        };
        assert_eq!((starts, ends), (expected(|a| a.start_ms), expected(|a| a.end_ms)), "{}", tier.id);
    }
    let table = std::fs::read_to_string(&curves).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("time_ms;A neutral;A happiness;"), "{}", rows[0]);
    assert!(rows[1..].iter().all(|row| row.split(';').count() == rows[0].split(';').count()));

    // What fails is said in the way ELAN listens to, and the old result stays.
    let (lines, code) = recognise(&extension, &request(Path::new("/nowhere.mp4")));
    assert_eq!((lines.last().map(String::as_str), code), (Some("RESULT: FAILED."), Some(3)), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("/nowhere.mp4")), "{lines:?}");
    assert_eq!(std::fs::read_to_string(&tiers).unwrap(), text);
    let (lines, code) = recognise(&extension, "PROGRESS");
    assert_eq!((lines.last().map(String::as_str), code), (Some("RESULT: FAILED."), Some(3)), "{lines:?}");
}

fn annotate_command(arguments: &[&str], path: &Path) -> Output {
    program().args(arguments).arg(path).stdin(Stdio::null()).output().unwrap()
}

//! What ELAN gets: valid, without dangling references, and nothing of what was there before lost.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::material::{clips, data, ffmpeg, ffprobe, program};
use annotate::eaf::{self, Document};
use annotate::timeline::Timeline;

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
    assert!(curves.iter().all(|curve| preferences.contains(&format!("<String>{curve}</String>"))));
    let table = std::fs::read_to_string(folder.path().join("x.csv")).unwrap();
    let frames = ffprobe(&video, "frame=pict_type").len();
    assert_eq!(table.lines().filter(|line| !line.starts_with('#')).count(), frames);
}

#[test]
fn other_peoples_files_beside_a_bundle_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("x.pfsx"), "how somebody arranged things").unwrap();
    std::fs::write(path("x.csv"), "somebody's table").unwrap();
    bundle(demo(), &["--end", "2"], &path("x.eaf"));
    bundle(demo(), &["--end", "2"], &path("x.eaf"));
    assert_eq!(std::fs::read_to_string(path("x.pfsx")).unwrap(), "how somebody arranged things");
    assert_eq!(std::fs::read_to_string(path("x.csv")).unwrap(), "somebody's table");
    assert!(path("x_elan.csv").is_file());
    let output = annotate(demo(), &["--end", "2", "-f", "eaf,csv", "--output-dir"], &[&path("")]);
    assert!(output.status.success());
    assert!(std::fs::read_to_string(path("demo.csv")).unwrap().starts_with("frame,"));
    assert!(std::fs::read_to_string(path("demo_elan.csv")).unwrap().starts_with('#'));
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
        let face = ["brows@A", "eyes@A", "mouth@A", "head@A", "hands-on-face@A"];
        assert_eq!(added, [&["expression@A", "expression-confidence@A", "status@A"][..], &face].concat());
        // Vocabularies, links and all the rest: no attribute's value has gone.
        let (before, after) = (String::from_utf8(before).unwrap(), std::fs::read_to_string(&eaf).unwrap());
        for attribute in ["CV_ID", "CVE_ID", "EXT_REF", "VALUE", "REF_LINK_ID", "NAME", "LINK_URL", "DEFAULT_LOCALE"] {
            let after: HashSet<String> = values(&after, attribute).into_iter().collect();
            let lost: Vec<String> = values(&before, attribute).into_iter().filter(|v| !after.contains(v)).collect();
            assert_eq!(lost, Vec::<String>::new(), "{}: {attribute}", original.display());
        }
        // A second time: other names, the first ones' content untouched.
        let again = folder.path().join("again.eaf");
        bundle(demo(), &["--end", "3", "--merge-into", eaf.to_str().unwrap()], &again);
        assert_valid(&again, test);
        assert_eq!(eaf::read(&again).unwrap().tiers[..new.tiers.len()], new.tiers[..]);
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

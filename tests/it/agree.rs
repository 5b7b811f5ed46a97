//! How far machine and human agree, asked as a linguist asks it.

use std::path::Path;
use std::process::{Output, Stdio};

use crate::material::program;
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
        let place = |name: &str| folder.path().join(name);
        let (json, eaf) = (place("auto.json"), place("auto.eaf"));
        let output = run(&["assets/demo/demo.mp4", "-q", "-o", text(&json), "-o", text(&eaf)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let human = std::fs::read_to_string(&eaf).unwrap();
        // The third segment's label and the first boundary.
        let human = human.replacen("<ANNOTATION_VALUE>surprise<", "<ANNOTATION_VALUE>Schreck<", 1);
        std::fs::write(place("human.eaf"), human.replace("\"1720\"", "\"1800\"")).unwrap();
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

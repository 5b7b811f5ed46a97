//! A model as an ONNX file gives in ONNX Runtime what it gives here, and comes back by import.

use std::path::{Path, PathBuf};
use std::process::Command;

use annotate::model::Model;
use annotate::model::registry;
use candle_core::Device;
use serde_json::{Value, json};

use crate::material::program;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

fn run(arguments: &[&str], folder: &Path) {
    let output = program().args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A Python with ONNX Runtime (`make bench-peers` makes one), or `None`.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python");
    let has_it = Command::new(&python).args(["-c", "import onnxruntime"]).output();
    has_it.is_ok_and(|output| output.status.success()).then_some(python)
}

/// A checkpoint, its architecture, and what is changed in its config at JSON pointers.
type Variant = (&'static str, &'static str, Vec<(&'static str, Value)>);

/// A checkpoint of the import tests as a model directory, with its config changed at JSON pointers.
fn imported(file: &str, arch: &str, changes: &[(&str, Value)], folder: &Path) -> PathBuf {
    let directory = folder.join("model");
    let (file, arch) = (fixture(file), fixture(arch));
    run(
        &[
            "models",
            "import",
            file.to_str().unwrap(),
            "--arch",
            arch.to_str().unwrap(),
            "-o",
            directory.to_str().unwrap(),
        ],
        folder,
    );
    let path = directory.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (pointer, value) in changes {
        let (object, key) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(object).unwrap()[key] = value.clone();
    }
    std::fs::write(&path, config.to_string()).unwrap();
    directory
}

/// Whole pictures with values 0 to 255, the same every time.
fn pictures(model: &Model, count: usize) -> Vec<f32> {
    let input = &model.config().input;
    let size = input.side * input.side * input.colours.count();
    (0..count * size).map(|at| ((at * 7919 + at / 31 * 104_729) % 256) as f32).collect()
}

fn ours(model: &Model, pictures: &[f32]) -> Vec<f32> {
    let logits = model.logits(pictures.to_vec()).unwrap();
    let probabilities = model.calibrated(&logits).unwrap();
    let logits = logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    logits.into_iter().chain(probabilities.into_iter().flatten()).collect()
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{what}: {found} is not {expected}");
    }
}

#[test]
fn onnx_runtime_gives_the_same_logits_and_probabilities() {
    let Some(python) = python() else {
        println!("skipped: onnx_runtime_gives_the_same_logits_and_probabilities (target/peers has no ONNX Runtime)");
        return;
    };
    let variants: [Variant; 5] = [
        ("mobilenet7.onnx", "mobilenet.json", vec![("/temperature", json!(1.7))]),
        ("mobilenet7.onnx", "mobilenet.json", vec![("/input/side", json!(37)), ("/input/region", json!("upper"))]),
        ("efficientnet7.onnx", "efficientnet.json", vec![("/input/mean", json!([0.1, 0.5, 0.7]))]),
        ("efficientnet7.onnx", "efficientnet.json", vec![("/input/symmetric", json!(true))]),
        (
            "efficientnet7.onnx",
            "efficientnet.json",
            vec![("/input/side", json!(33)), ("/input/region", json!("lower"))],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut models = vec![PathBuf::from("default")];
    for (index, (file, arch, changes)) in variants.iter().enumerate() {
        let own = folder.path().join(index.to_string());
        std::fs::create_dir(&own).unwrap();
        models.push(imported(file, arch, changes, &own));
    }
    for name in models {
        run(&["models", "export", name.to_str().unwrap(), "--onnx", "x.onnx", "--overwrite"], folder.path());
        let model = registry::open(&name, &Device::Cpu).unwrap();
        let pictures = pictures(&model, 3);
        let bytes: Vec<u8> = pictures.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.path().join("pictures"), bytes).unwrap();
        let at = |name: &str| folder.path().join(name);
        let output = Command::new(&python)
            .args([fixture("onnx_runtime.py"), at("x.onnx"), at("pictures"), at("out")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs = std::fs::read(at("out")).unwrap();
        let theirs: Vec<f32> = theirs.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_near(&theirs, &ours(&model, &pictures), name.to_str().unwrap());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (side, colours) = (model.config().input.side, model.config().input.colours.count());
        assert_eq!(said["input"], json!(["faces", ["faces", side, side, colours]]));
        assert_eq!(said["metadata"]["classes"], "neutral,happiness,sadness,surprise,fear,disgust,anger");
        assert_eq!(said["metadata"]["sha256"], model.config().sha256.as_str());
    }
}

#[test]
fn an_exported_model_comes_back_by_import() {
    let folder = tempfile::tempdir().unwrap();
    run(&["models", "export", "--onnx", "x.onnx"], folder.path());
    let model = registry::open(Path::new("default"), &Device::Cpu).unwrap();
    let arch = json!({ "architecture": model.config().architecture, "input": model.config().input });
    std::fs::write(folder.path().join("arch.json"), arch.to_string()).unwrap();
    let arguments = ["models", "import", "x.onnx", "--arch", "arch.json", "--classes", "canonical", "-o", "back"];
    run(&arguments, folder.path());
    let back = registry::open(&folder.path().join("back"), &Device::Cpu).unwrap();
    let pictures = pictures(&model, 2);
    let logits =
        |model: &Model| model.logits(pictures.clone()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_near(&logits(&back), &logits(&model), "back");
}

#[test]
fn a_model_is_never_exported_over_its_own_weights() {
    let folder = tempfile::tempdir().unwrap();
    let model = imported("mobilenet7.onnx", "mobilenet.json", &[], folder.path());
    let arguments = ["models", "export", "model", "--onnx", "model/model.safetensors", "--overwrite"];
    let output = program().args(arguments).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    registry::open(&model, &Device::Cpu).unwrap();
}

//! What cannot be done is refused in one line that names the file and the reason, with its exit code, and leaves
//! everything as it was.

use std::path::Path;
use std::process::{Output, Stdio};

use crate::material::{ffmpeg, program};

fn run(arguments: &[&Path]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Asserts the exit code, one line on standard error with each of `parts`, and that an existing output is untouched.
fn refused(input: &Path, options: &[&str], code: i32, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.json");
    annotate::files::put(&labels, |out| out.write_all(b"an older result")).unwrap();
    let mut arguments = vec![input, Path::new("-o"), &labels];
    arguments.extend(options.iter().map(Path::new));
    let output = run(&arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}: {message}", input.display());
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
    assert_eq!(std::fs::read_to_string(&labels).unwrap(), "an older result");
    // The older result and the list that says it is this program's.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left lying about");
}

#[test]
fn inputs_that_are_no_videos() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text.mp4"), "words\n".repeat(1000)).unwrap();
    std::fs::write(path("empty.mp4"), "").unwrap();
    std::fs::write(path("list.mp4"), "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n").unwrap();
    ffmpeg("-f lavfi -i sine=duration=1 -c:a aac", &path("sound.mp4"));
    refused(&path("absent.mp4"), &[], 3, &["absent.mp4", "no such file"]);
    refused(folder.path(), &[], 3, &["directory"]);
    refused(&path("text.mp4"), &[], 3, &["text.mp4", "not a video"]);
    refused(&path("empty.mp4"), &[], 3, &["empty.mp4", "empty"]);
    refused(&path("sound.mp4"), &[], 3, &["sound.mp4", "no video stream"]);
    refused(&path("list.mp4"), &[], 3, &["list.mp4"]);
    refused(Path::new("http://127.0.0.1:9/a.mp4"), &[], 3, &["--allow-url"]);
}

#[test]
fn limits_and_wishes_that_make_no_sense() {
    let demo = Path::new("assets/demo/demo.mp4");
    refused(demo, &["--max-pixels", "1000"], 7, &["demo.mp4", "limit of 1000"]);
    refused(demo, &["--start", "5", "--end", "4"], 2, &["--end"]);
    refused(demo, &["--start", "1000"], 2, &["demo.mp4", "--start"]);
    refused(demo, &["--device", "cuda"], 5, &["cuda"]);
    let output = run(&[demo, Path::new("-o"), Path::new("labels.xml")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("json, csv"));
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for target in [folder.path().join("absent/labels.json"), Path::new("/dev/full").to_path_buf().join("labels.json")] {
        let output = run(&[Path::new("assets/demo/demo.mp4"), Path::new("-o"), &target]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(6), "{message}");
        assert!(message.contains("labels.json"), "{message}");
    }
}

#[test]
fn a_truncated_video_is_written_and_marked_partial() {
    let folder = tempfile::tempdir().unwrap();
    let (path, labels) = (folder.path().join("cut.mp4"), folder.path().join("labels.json"));
    ffmpeg("-i assets/demo/demo.mp4 -t 4 -c copy -movflags +faststart", &path);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let output = run(&[&path, Path::new("-o"), &labels, Path::new("-q")]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("cut.mp4") && message.contains("partial"), "{message}");
    let timeline = annotate::timeline::Timeline::read(&labels).unwrap();
    assert!(!timeline.complete && !timeline.summary.damage.is_empty());
    timeline.check().unwrap();
}

#[test]
fn one_bad_input_among_several_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&[
        Path::new("absent.mp4"),
        Path::new("assets/demo/demo.mp4"),
        Path::new("--end=1"),
        Path::new("-f"),
        Path::new("csv"),
        Path::new("--output-dir"),
        folder.path(),
    ]);
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path().join("demo.csv").is_file());
}

/// A copy of the built-in model with one of its files changed.
fn model_with(change: impl Fn(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(Path::new("assets/models/default").join(file), folder.path().join(file)).unwrap();
    }
    change(folder.path());
    folder
}

/// A tensor as it lies in the file: type, shape, bytes.
type Raw = (safetensors::Dtype, Vec<usize>, Vec<u8>);

/// Rewrites the weights, then the hash in the config, so that only the change itself is wrong.
fn reweigh(model: &Path, change: impl Fn(&mut std::collections::BTreeMap<String, Raw>)) {
    let weights = model.join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    std::fs::write(&weights, &bytes).unwrap();
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["sha256"] = annotate::files::sha256(&bytes).into();
    std::fs::write(model.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn a_model_with_a_fault_is_refused_by_the_tensors_name() {
    use safetensors::Dtype;
    let name = "classifier.bias";
    let demo = Path::new("assets/demo/demo.mp4");
    let expect = |model: tempfile::TempDir, part: &str| {
        let option = model.path().display().to_string();
        refused(demo, &["--model", &option], 5, &[&option, part]);
    };
    let with = |raw: Raw, part: &str| {
        expect(model_with(|m| reweigh(m, |t| drop(t.insert(name.into(), raw.clone())))), part);
    };
    let f32s = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let f16s =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect() };
    let last = |value: f32| [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, value];
    expect(model_with(|m| reweigh(m, |t| drop(t.remove(name)))), "'classifier.bias' is missing");
    expect(model_with(|m| reweigh(m, |t| t.clear())), "is missing");
    with((Dtype::F32, vec![8], f32s(&[0.0; 8])), "'classifier.bias' is of shape [8], the network needs [7]");
    with((Dtype::F32, vec![1, 7], f32s(&[0.0; 7])), "'classifier.bias' is of shape [1, 7], the network needs [7]");
    with((Dtype::F32, vec![0], vec![]), "'classifier.bias' is of shape [0], the network needs [7]");
    with((Dtype::F32, vec![7], f32s(&last(f32::NAN))), "'classifier.bias' holds a value that is not finite (index 6)");
    with((Dtype::F32, vec![7], f32s(&last(f32::NEG_INFINITY))), "'classifier.bias' holds a value that is not finite");
    with((Dtype::F16, vec![7], f16s(&last(f32::INFINITY))), "'classifier.bias' holds a value that is not finite");
    for (dtype, width) in [(Dtype::I64, 8), (Dtype::U8, 1), (Dtype::F64, 8), (Dtype::BOOL, 1), (Dtype::F8_E4M3, 1)] {
        with((dtype, vec![7], vec![0; 7 * width]), "'classifier.bias' is of type");
    }
    let extra = (Dtype::F32, vec![1], f32s(&[0.0]));
    expect(
        model_with(|m| reweigh(m, |t| drop(t.insert("extra".into(), extra.clone())))),
        "'extra' does not belong to the network",
    );
    let misnamed = model_with(|m| {
        reweigh(m, |t| {
            let tensor = t.remove(name).unwrap();
            t.insert("classifier.offset".into(), tensor);
        })
    });
    expect(misnamed, "'classifier.bias' is missing");
    expect(model_with(|m| std::fs::remove_file(m.join("config.json")).unwrap()), "config.json");
    expect(model_with(|m| std::fs::write(m.join("config.json"), "{").unwrap()), "config.json");
    // Nobody writes into these.
    for file in ["config.json", "model.safetensors"] {
        let with_a_pipe = model_with(|m| {
            std::fs::remove_file(m.join(file)).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(m.join(file)).status().unwrap().success());
        });
        expect(with_a_pipe, "no ordinary file");
    }
    expect(model_with(|m| std::fs::write(m.join("model.safetensors"), "no weights").unwrap()), "SHA-256");
    let not_weights = model_with(|m| {
        std::fs::write(m.join("model.safetensors"), "no weights").unwrap();
        let config = std::fs::read_to_string(m.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["sha256"] = annotate::files::sha256(b"no weights").into();
        std::fs::write(m.join("config.json"), config.to_string()).unwrap();
    });
    expect(not_weights, "not a safetensors file");
    refused(demo, &["--model", "no-such-model"], 5, &["no-such-model", "default"]);
}

#[test]
fn a_card_that_cannot_be_used_is_refused_with_the_way_out() {
    let demo = Path::new("assets/demo/demo.mp4");
    for device in ["cuda", "cuda:7"] {
        let named = format!("--device {}", if device == "cuda" { "cuda:0" } else { device });
        let reason = match annotate::kernels::cuda::BUILT {
            true => "no card",
            false => "built without CUDA",
        };
        refused(demo, &["--device", device], 5, &[&named, reason, "--device cpu"]);
    }
}

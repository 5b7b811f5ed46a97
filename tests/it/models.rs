//! `annotate models` as a person runs it: checkpoints of timm and Keras (tests/import/make.py) become models that give their
//! logits, others are refused, and fetching survives what networks do.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use crate::material::program;
use annotate::files::sha256;
use annotate::model::Model;
use annotate::model::class_order::{ClassOrder, Meaning};
use annotate::timeline::Expression;
use candle_core::Device;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

fn annotate(arguments: &[&str], folder: &Path) -> (Output, String) {
    let output = program().args(arguments).current_dir(folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

fn import(source: &Path, arch: &str, more: &[&str], folder: &Path) -> (Output, String) {
    let source = source.to_str().unwrap();
    annotate(&[&["models", "import", source, "--arch", arch, "-o", "model"], more].concat(), folder)
}

/// tests/import/make.py's pictures, which networks of mean and deviation 0.5 make of values 0 to 255.
fn pictures() -> Vec<f32> {
    let seed = b"pictures".iter().fold(2_166_136_261u32, |seed, b| (seed ^ u32::from(*b)).wrapping_mul(16_777_619));
    (0..2 * 40 * 40 * 3u32)
        .map(|index| {
            let mut x = index.wrapping_mul(2_654_435_761).wrapping_add(seed);
            x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
            x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
            (f64::from(x ^ (x >> 16)) / 4_294_967_296.0 * 255.0) as f32
        })
        .collect()
}

/// Without their mean, which a softmax does not see.
fn centred(logits: &[f32]) -> Vec<f32> {
    let mean = logits.iter().sum::<f32>() / logits.len() as f32;
    logits.iter().map(|logit| logit - mean).collect()
}

fn check_logits(file: &str, arch: &str, reference: &str, order: ClassOrder) {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--licence", "made for a test", "--origin", "https://example.org/weights"];
    let (output, stderr) = import(&fixture(file), fixture(arch).to_str().unwrap(), &more, folder.path());
    assert_eq!(output.status.code(), Some(0), "{file}: {stderr}");
    let model = Model::load(&folder.path().join("model"), &Device::Cpu).unwrap();
    let ours: Vec<Vec<f32>> = model.logits(pictures()).unwrap().to_vec2().unwrap();
    let theirs: serde_json::Value = serde_json::from_str(include_str!("../import/logits.json")).unwrap();
    let theirs: Vec<Vec<f32>> = serde_json::from_value(theirs[reference].clone()).unwrap();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let theirs: Vec<f32> = Expression::ALL.iter().map(|e| theirs[order.index_of(*e)]).collect();
        for (ours, theirs) in centred(ours).iter().zip(centred(&theirs)) {
            assert!((ours - theirs).abs() < 2e-5, "{file}: {ours} is not {theirs}");
        }
    }
    let card = std::fs::read_to_string(folder.path().join("model/README.md")).unwrap();
    let bytes = std::fs::read(fixture(file)).unwrap();
    for fact in ["made for a test", "https://example.org/weights", &sha256(&bytes)] {
        assert!(card.contains(fact), "{card}");
    }
    let (output, _) = annotate(&["models", "verify", "model"], folder.path());
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && line.contains("sound"), "{line}");
}

#[test]
fn a_state_dict_of_timm_gives_timms_logits() {
    check_logits("efficientnet7.pt", "efficientnet.json", "efficientnet7", ClassOrder::Seed);
}

#[test]
fn an_onnx_file_with_folded_normalisation_gives_the_same_logits() {
    check_logits("efficientnet7.onnx", "efficientnet.json", "efficientnet7", ClassOrder::Seed);
}

#[test]
fn eight_outputs_in_safetensors_lose_contempt_and_nothing_else() {
    check_logits("efficientnet8.safetensors", "efficientnet.json", "efficientnet8", ClassOrder::Emotieff8);
    assert!(ClassOrder::Emotieff8.meanings().contains(&Meaning::Contempt));
}

#[test]
fn contempt_is_kept_beside_the_model_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let arch = fixture("efficientnet.json");
    let kept = folder.path().join("model/contempt.safetensors");
    let source = fixture("efficientnet8.safetensors");
    let (output, stderr) = import(&source, arch.to_str().unwrap(), &["--contempt", "keep"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let read = |path: &Path| candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let (kept, theirs) = (read(&kept), read(&source));
    let values = |tensor: &candle_core::Tensor| {
        tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    // Contempt is the second of the eight.
    assert_eq!(values(&kept["weight"]), values(&theirs["classifier.weight"].get(1).unwrap()));
    assert_eq!(values(&kept["bias"]), [values(&theirs["classifier.bias"])[1]]);
}

#[test]
fn a_keras_file_gives_keras_logits_and_so_does_what_tf2onnx_makes_of_it() {
    check_logits("mobilenet7.h5", "mobilenet.json", "mobilenet7", ClassOrder::Seed);
    check_logits("mobilenet7.onnx", "mobilenet.json", "mobilenet7", ClassOrder::Seed);
}

#[test]
fn checkpoints_that_do_not_fit_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let efficientnet = fixture("efficientnet.json");
    let efficientnet = efficientnet.to_str().unwrap();
    let refused = |file: &str, arch: &str, more: &[&str], part: &str| {
        let (output, stderr) = import(&fixture(file), arch, more, folder.path());
        assert_eq!(output.status.code(), Some(5), "{file}: {stderr}");
        assert!(stderr.contains(part) && stderr.trim().lines().count() == 1, "{file}: {stderr}");
        assert!(!folder.path().join("model").exists());
    };
    refused("whole_module.pt", efficientnet, &[], "state_dict()");
    refused("efficientnet7.pt", "tf_efficientnet_b0", &[], "no tensor 'blocks.2.1.conv_pw.weight'");
    refused("efficientnet7.onnx", "tf_efficientnet_b0", &[], "layers with weights");
    refused("mobilenet7.h5", "mobilenet_v1", &[], "no layer 'conv_dw_3'");
    refused("mobilenet7.h5", efficientnet, &[], "Keras");
    refused("efficientnet7.pt", "resnet50", &[], "tf_efficientnet_b0");
    refused("efficientnet7.pt", efficientnet, &["--classes", "affectnet"], "has 8 classes");
    refused("efficientnet7.pt", efficientnet, &["--sha256", &"0".repeat(64)], "another file");
    refused("make.py", efficientnet, &[], "neither safetensors, ONNX, a PyTorch state dict nor Keras");
}

#[test]
fn cut_and_altered_checkpoints_are_refused_and_never_half_imported() {
    let folder = tempfile::tempdir().unwrap();
    for (file, arch) in [
        ("efficientnet7.pt", "efficientnet.json"),
        ("efficientnet7.onnx", "efficientnet.json"),
        ("efficientnet8.safetensors", "efficientnet.json"),
        ("mobilenet7.h5", "mobilenet.json"),
    ] {
        let bytes = std::fs::read(fixture(file)).unwrap();
        let arch = fixture(arch);
        for (number, broken) in
            [&bytes[..bytes.len() / 2], &bytes[..bytes.len() - 7], &bytes[..20], &[]].into_iter().enumerate()
        {
            let path = folder.path().join(file);
            std::fs::write(&path, broken).unwrap();
            let (output, stderr) = import(&path, arch.to_str().unwrap(), &[], folder.path());
            assert_eq!(output.status.code(), Some(5), "{file}, cut {number}: {stderr}");
            assert!(!folder.path().join("model").exists());
        }
    }
}

#[test]
fn networks_of_other_kinds_are_refused() {
    let Some(data) = crate::material::data("networks_of_other_kinds_are_refused") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(data.join("weights")).unwrap() {
        let path = entry.unwrap().path().canonicalize().unwrap();
        let arch = if count % 2 == 0 { "mobilenet_v1" } else { "tf_efficientnet_b0" };
        let (output, stderr) = import(&path, arch, &[], folder.path());
        assert_eq!(output.status.code(), Some(5), "{}: {stderr}", path.display());
        assert!(stderr.contains(path.file_name().unwrap().to_str().unwrap()), "{stderr}");
        count += 1;
    }
    assert!(count > 5);
}

#[test]
fn a_model_is_not_written_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let arch = fixture("mobilenet.json");
    for code in [0, 6] {
        let (output, stderr) = import(&fixture("mobilenet7.h5"), arch.to_str().unwrap(), &[], folder.path());
        assert_eq!(output.status.code(), Some(code), "{stderr}");
    }
}

#[test]
fn the_list_names_built_in_and_published_models_and_each_can_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = annotate(&["models", "list"], folder.path());
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(list.contains("default") && list.contains("enet_b2_8") && list.contains("AffectNet"), "{list}");
    for name in ["default", "fer2013", "enet_b2_8"] {
        let (output, stderr) = annotate(&["models", "show", name], folder.path());
        assert!(output.status.success() && output.stdout.starts_with(b"# "), "{stderr}");
    }
}

/// How a connection goes.
#[derive(Clone, Copy)]
enum Connection {
    /// As asked for.
    Good,
    /// The whole file, whatever part was asked for.
    WithoutRanges,
    /// Broken after so many bytes of the body.
    CutAfter(usize),
    /// Refused.
    NotFound,
}

/// A web server of one file. Its connections go as told, the last one again and again.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(content: Vec<u8>, connections: Vec<Connection>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/files/weights.onnx", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let connection = connections[number.min(connections.len() - 1)];
                let request = answer(&mut stream.unwrap(), &content, connection);
                seen.lock().unwrap().push(request);
            }
        });
        Self { url, requests }
    }

    fn ranges(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().iter().map(|request| range(request)).collect()
    }
}

fn range(request: &str) -> Option<usize> {
    let line =
        request.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned))?;
    line.trim_end_matches('-').parse().ok()
}

fn answer(stream: &mut TcpStream, content: &[u8], connection: Connection) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    let start = range(&request).filter(|_| !matches!(connection, Connection::WithoutRanges)).unwrap_or(0);
    let body = content.get(start..).unwrap_or_default();
    let length = body.len();
    let head = match (connection, start) {
        (Connection::NotFound, _) => {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        }
        (_, start) if start >= content.len() => {
            format!(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                content.len()
            )
        }
        (_, 0) => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"),
        (_, start) => {
            let (last, total) = (content.len() - 1, content.len());
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            )
        }
    };
    let sent = match connection {
        Connection::CutAfter(count) => count.min(length),
        Connection::NotFound => 0,
        _ => length,
    };
    // A client that has gone away has seen enough.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent]));
    request
}

fn content() -> Vec<u8> {
    (0..50_000u32).map(|index| ((index * index) >> 7) as u8).collect()
}

fn pull(server: &Server, hash: &str, folder: &TempDir) -> (Output, String) {
    annotate(&["models", "pull", &server.url, "--sha256", hash], folder.path())
}

#[test]
fn a_file_is_fetched_whole_and_checked() {
    let (server, folder) = (Server::start(content(), vec![Connection::Good]), tempfile::tempdir().unwrap());
    let (output, stderr) = pull(&server, &sha256(&content()), &folder);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(std::fs::read(folder.path().join("weights.onnx")).unwrap(), content());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // Nothing is fetched over what is there.
    let (output, _) = pull(&server, &sha256(&content()), &folder);
    assert_eq!((output.status.code(), server.ranges().len()), (Some(6), 1));
}

#[test]
fn a_connection_that_breaks_is_made_anew_where_it_broke() {
    let connections = vec![Connection::CutAfter(20_000), Connection::CutAfter(7), Connection::Good];
    let (server, folder) = (Server::start(content(), connections), tempfile::tempdir().unwrap());
    let (output, stderr) = pull(&server, &sha256(&content()), &folder);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(std::fs::read(folder.path().join("weights.onnx")).unwrap(), content());
    assert_eq!(server.ranges(), [None, Some(20_000), Some(20_007)]);
}

#[test]
fn what_has_come_is_kept_for_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(content(), vec![Connection::CutAfter(1_000), Connection::CutAfter(0)]);
    let (output, stderr) = pull(&server, &sha256(&content()), &folder);
    assert_eq!(output.status.code(), Some(75), "{stderr}");
    assert!(stderr.contains("after 1000 bytes"), "{stderr}");
    assert!(!folder.path().join("weights.onnx").exists());
    let server = Server::start(content(), vec![Connection::Good]);
    let (output, stderr) = pull(&server, &sha256(&content()), &folder);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(server.ranges(), [Some(1_000)]);
    assert_eq!(std::fs::read(folder.path().join("weights.onnx")).unwrap(), content());
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let connections = vec![Connection::CutAfter(5_000), Connection::WithoutRanges];
    let (server, folder) = (Server::start(content(), connections), tempfile::tempdir().unwrap());
    let (output, stderr) = pull(&server, &sha256(&content()), &folder);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(std::fs::read(folder.path().join("weights.onnx")).unwrap(), content());
}

#[test]
fn a_complete_part_of_an_earlier_call_is_only_checked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weights.onnx.part"), content()).unwrap();
    let server = Server::start(content(), vec![Connection::Good]);
    let (output, stderr) = pull(&server, &sha256(&content()), &folder);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(server.ranges(), [Some(50_000)]);
}

#[test]
fn another_file_than_the_one_wanted_is_thrown_away() {
    let (server, folder) = (Server::start(content(), vec![Connection::Good]), tempfile::tempdir().unwrap());
    let (output, stderr) = pull(&server, &sha256(b"something else"), &folder);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains(&sha256(&content())) && stderr.contains("thrown away"), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_fetched_safely_is_refused() {
    let (server, folder) = (Server::start(content(), vec![Connection::NotFound]), tempfile::tempdir().unwrap());
    let (output, stderr) = pull(&server, &sha256(&content()), &folder);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("404"), "{stderr}");
    for (arguments, part) in [
        (vec![server.url.as_str(), "--unverified"], "https://"),
        (vec!["https://example.org/weights.onnx"], "--sha256"),
        (vec!["enet_b9"], "annotate models list"),
        (vec!["file:///etc/passwd", "--unverified"], "https://"),
    ] {
        let (output, stderr) = annotate(&[&["models", "pull"], &arguments[..]].concat(), folder.path());
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}

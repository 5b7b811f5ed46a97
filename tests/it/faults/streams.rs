//! Inputs that come while they are watched.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cases::encoded;
use super::{orderly, run_within, valid};
use crate::material::program;

const LONGEST: Duration = Duration::from_secs(60);
/// Rows come at most so long after their frame was sent, seconds: half a second of smoothing, a few frames held by the
/// decoder and the tracker, and what a busy machine takes.
const DELAY_S: f64 = 3.0;

/// Eight seconds that can be cut anywhere.
fn stream() -> Vec<u8> {
    let arguments = "-i assets/demo/demo.mp4 -t 8 -an -c:v mpeg2video -q:v 4 -g 12 -bf 0 -muxrate 3M -muxdelay 0";
    encoded("live.ts", arguments).to_vec()
}

#[test]
fn rows_of_a_slow_stream_come_within_the_stated_delay() {
    let bytes = stream();
    let mut command = program();
    command.args(["-", "-q", "-o", "-.jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = Instant::now();
    let reader = std::thread::spawn(move || {
        let seen = lines.map_while(Result::ok).map(|line| (started.elapsed().as_secs_f64(), line));
        seen.collect::<Vec<_>>()
    });
    // As fast as it would be recorded.
    let pieces = bytes.chunks(bytes.len() / 160);
    for (index, piece) in pieces.enumerate() {
        input.write_all(piece).unwrap();
        let due = Duration::from_millis(50 * (index as u64 + 1));
        std::thread::sleep(due.saturating_sub(started.elapsed()));
    }
    drop(input);
    let lines = reader.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(lines.len() > 200, "{} lines", lines.len());
    let rows: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|(at, line)| {
            let row: Value = serde_json::from_str(line).unwrap();
            Some((*at, row.get("time_s")?.as_f64()?))
        })
        .collect();
    let first_s = rows[0].1;
    // FFmpeg looks at the beginning of a stream before it gives anything; from then on the delay holds.
    let opened_at = rows[0].0;
    for (at, time_s) in rows {
        let sent_at = time_s - first_s;
        assert!(at < opened_at.max(sent_at) + DELAY_S, "the row of {sent_at:.2} s came at {at:.2} s");
    }
}

#[test]
fn a_stream_that_falls_silent_ends_with_75_and_keeps_what_was_seen() {
    let bytes = stream();
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.json");
    let mut command = program();
    command.args(["-", "-q", "--stall-timeout", "1", "-o"]).arg(&labels).stdin(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes[..bytes.len() / 2]).unwrap();
    // It stays open and says nothing more.
    let result = child.wait_with_output().unwrap();
    drop(input);
    let message = orderly(&result).unwrap();
    assert_eq!(result.status.code(), Some(75), "{message}");
    assert!(message.contains("no data for 1 s"), "{message}");
    let timeline = valid(&std::fs::read(&labels).unwrap()).unwrap();
    assert!(!timeline.complete && timeline.frames.pts.len() > 50, "{} frames", timeline.frames.pts.len());
}

#[test]
fn ctrl_c_ends_the_wait_for_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.ts");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for is_silent in [false, true] {
        let child = program().arg(&pipe).args(["-q", "-o", "-"]).stderr(Stdio::piped()).spawn().unwrap();
        // One waits for a writer, the other one for a silent writer's words.
        let open = || std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let writer = is_silent.then(open);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let result = child.wait_with_output().unwrap();
        drop(writer);
        assert_eq!(result.status.code(), Some(130), "{}", orderly(&result).unwrap());
    }
}

/// Answers one request with `head` and `body`, then closes.
fn serve(head: impl Into<String>, body: Vec<u8>) -> String {
    let head = head.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/live.ts", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let mut connection = connection;
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&body));
        }
    });
    address
}

#[test]
fn a_stream_over_http_needs_permission_and_a_lost_one_keeps_what_was_seen() {
    let bytes = stream();
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.json");
    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
    let whole = serve(head, bytes.clone());
    let annotate = |address: &str, options: &[&str]| {
        let _ = std::fs::remove_file(&labels);
        let mut command = program();
        command.arg(address).args(options).args(["-q", "-o"]).arg(&labels);
        let result = run_within(&mut command, LONGEST).unwrap();
        (result.status.code(), orderly(&result).unwrap())
    };
    let (code, message) = annotate(&whole, &[]);
    assert!(code == Some(3) && message.contains("--allow-url"), "{message}");
    let (code, message) = annotate(&whole, &["--allow-url"]);
    assert_eq!(code, Some(0), "{message}");
    let frames = valid(&std::fs::read(&labels).unwrap()).unwrap().frames.pts.len();
    // The server promises more than it gives.
    let half = bytes[..bytes.len() / 2].to_vec();
    let lost = serve("HTTP/1.0 200 OK\r\nContent-Length: 100000000\r\n\r\n", half);
    let (code, message) = annotate(&lost, &["--allow-url", "--stall-timeout", "2"]);
    assert_eq!(code, Some(75), "{message}");
    let timeline = valid(&std::fs::read(&labels).unwrap()).unwrap();
    assert!(!timeline.complete && (50..frames).contains(&timeline.frames.pts.len()));
    // A playlist from the network leads to no file of ours.
    let playlist = "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n";
    let address = serve("HTTP/1.0 200 OK\r\n\r\n", playlist.into());
    let (code, message) = annotate(&address, &["--allow-url", "--stall-timeout", "2"]);
    assert!([Some(3), Some(75)].contains(&code) && !message.contains("root:"), "{message}");
}

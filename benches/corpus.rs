//! What a corpus costs beyond its videos, on the built program: two workers against one, `batch` against the plain command,
//! thousands of small files, and cutting against not cutting. Ratios within one run; docs/benchmarks.md has the results.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Videos in the first comparison, and their length, seconds: a clip of signing looped.
const VIDEOS: usize = 8;
const LENGTH_S: usize = 15;
/// Files of a second.
const SMALL: usize = 2000;

fn annotate(arguments: &[&str], folder: &Path) -> (Duration, u64) {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_annotate"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    let status = loop {
        // The kernel's own high-water mark, read until the process is gone.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mark =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        peak_kib = peak_kib.max(mark.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{arguments:?}: {status}");
    (begun.elapsed(), peak_kib / 1024)
}

fn ffmpeg(arguments: &str, to: &Path) {
    let status =
        Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(arguments.split(' ')).arg(to).status();
    assert!(status.unwrap().success(), "ffmpeg {arguments}");
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let real = Path::new("../shared/data/videos/dfki_testvideo.mp4");
    let clip = if real.is_file() { real } else { Path::new("assets/demo/demo.mp4") }.canonicalize().unwrap();
    std::fs::create_dir(at("in")).unwrap();
    ffmpeg(&format!("-stream_loop 9 -i {} -t {LENGTH_S} -c copy -an", clip.display()), &at("clip.mp4"));
    let names: Vec<String> = (0..VIDEOS).map(|number| format!("in/{number:02}.mp4")).collect();
    names.iter().for_each(|name| drop(std::fs::copy(at("clip.mp4"), at(name)).unwrap()));
    println!("{VIDEOS} videos of {LENGTH_S} s, {}:", clip.file_name().unwrap().display());

    let batch =
        |out: &str, more: &[&str]| annotate(&[&["batch", "in", "--output-dir", out], more].concat(), folder.path());
    let (one, one_mib) = batch("one", &["--jobs", "1", "--threads", "1"]);
    let (two, two_mib) = batch("two", &["--jobs", "2", "--threads", "1"]);
    let plain: Vec<&str> = names.iter().map(String::as_str).chain(["-f", "json", "--output-dir", "plain"]).collect();
    let (plain, plain_mib) = annotate(&plain, folder.path());
    let (same, _) = batch("same", &[]);
    let (alone, _) = batch("alone", &["--jobs", "1"]);
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    println!("  --jobs 1 --threads 1: {:.1} s, {one_mib} MiB", one.as_secs_f64());
    println!("  --jobs 2 --threads 1: {:.1} s, {two_mib} MiB, {:.2} times as fast", two.as_secs_f64(), ratio(one, two));
    println!("  default:              {:.1} s, {:.2} times as fast", same.as_secs_f64(), ratio(one, same));
    println!("  plain command:        {:.1} s, {plain_mib} MiB", plain.as_secs_f64());
    let extra_ms = 1e3 * (alone.as_secs_f64() - plain.as_secs_f64()) / VIDEOS as f64;
    println!(
        "  batch --jobs 1:       {:.1} s, {extra_ms:.0} ms a file more than the plain command",
        alone.as_secs_f64()
    );

    cutting(&at, folder.path());
    small_files(&at, folder.path());
}

/// One video of two minutes, whole and in units.
fn cutting(at: &dyn Fn(&str) -> PathBuf, folder: &Path) {
    ffmpeg(&format!("-stream_loop 9 -i {} -t 60 -c copy", at("clip.mp4").display()), &at("long.mp4"));
    let (whole, _) = annotate(&["long.mp4", "-o", "long.json", "--threads", "1"], folder);
    let (plan, _) = annotate(&["plan", "long.mp4", "--segment", "20s", "-o", "plan.jsonl"], folder);
    let (work, _) = annotate(&["work", "plan.jsonl", "--out", "parts", "--jobs", "1", "--threads", "1"], folder);
    let (collect, _) = annotate(&["collect", "plan.jsonl", "parts", "--output-dir", "labels"], folder);
    let same = std::fs::read(at("long.json")).unwrap() == std::fs::read(at("labels/long.mp4.json")).unwrap();
    let [whole, plan, work, collect] = [whole, plan, work, collect].map(|time| time.as_secs_f64());
    let parts: u64 =
        std::fs::read_dir(at("parts")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    println!("a minute in 3 units: plan {plan:.2} s, work {work:.1} s, collect {collect:.2} s; whole {whole:.1} s; ");
    println!(
        "  work takes {:.2} times the whole; parts {:.1} MB; same bytes: {same}",
        work / whole,
        parts as f64 / 1e6
    );
}

/// Thousands of files of a second: whether the last ones take longer than the first.
fn small_files(at: &dyn Fn(&str) -> PathBuf, folder: &Path) {
    std::fs::create_dir(at("small")).unwrap();
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=5:duration=1 -c:v mpeg4", &at("small.mp4"));
    for number in 0..SMALL {
        std::fs::copy(at("small.mp4"), at(&format!("small/{number:05}.mp4"))).unwrap();
    }
    let (first, mib) = annotate(&["batch", "small", "--output-dir", "many"], folder);
    let log = std::fs::read_to_string(at("many/run.jsonl")).unwrap();
    let times: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|entry| entry["event"] == "item")
        .map(|entry| {
            let time = chrono::DateTime::parse_from_rfc3339(entry["time"].as_str().unwrap()).unwrap();
            time.timestamp_millis() as f64 / 1e3
        })
        .collect();
    let quarter = times.len() / 4;
    let speed = |from: usize| quarter as f64 / (times[from + quarter - 1] - times[from]).max(1e-3);
    let speeds: Vec<String> = (0..4).map(|part| format!("{:.0}", speed(part * quarter))).collect();
    println!(
        "{SMALL} files of a second: {:.1} s, {mib} MiB; files/s by quarter: {}",
        first.as_secs_f64(),
        speeds.join(", ")
    );
    let (again, _) = annotate(&["batch", "small", "--output-dir", "many"], folder);
    println!("  again, all skipped: {:.2} s", again.as_secs_f64());
    for number in SMALL..10_000 {
        std::fs::hard_link(at("small.mp4"), at(&format!("small/{number:05}.mp4"))).unwrap();
    }
    let (plan, mib) = annotate(&["plan", "small", "-o", "small.jsonl"], folder);
    println!("  10,000 of them planned: {:.1} s, {mib} MiB", plan.as_secs_f64());
}

//! The program, and real and generated clips, for the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The built program with nothing to read, untouched by the settings of whoever runs the tests.
pub fn program() -> Command {
    let mut command = Command::new(program_path());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ANNOTATE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// Where the built program lies.
pub fn program_path() -> PathBuf {
    assert_cmd::cargo::cargo_bin("annotate")
}

/// The folder of real data, or `None` after saying that `test` is skipped.
pub fn data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("ANNOTATE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {test} (no data at {})", folder.display());
    None
}

/// The real clips, in order of name; none after saying so where the data is absent.
pub fn clips(test: &str) -> Vec<PathBuf> {
    let Some(folder) = data(test) else { return Vec::new() };
    let mut clips: Vec<PathBuf> = std::fs::read_dir(folder.join("videos"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "mp4" || e == "gif"))
        .collect();
    clips.sort();
    assert!(!clips.is_empty());
    clips
}

/// Runs `ffmpeg` with `arguments` (split at spaces), writing `to`.
pub fn ffmpeg(arguments: &str, to: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments.split_whitespace().map(|a| a.trim_matches('\'')))
        .arg(to)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg is installed (make setup)");
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The lines `ffprobe` prints for `entries` of the best video stream.
pub fn ffprobe(path: &Path, entries: &str) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0", "-show_entries", entries])
        .arg(format!("file:{}", path.display()))
        .output()
        .expect("ffprobe is installed (make setup)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

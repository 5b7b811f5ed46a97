//! The review page in a browser, and corrections taken back.

mod browser;
mod corrections;
mod edits;
mod elan;
mod events;
mod files;
mod history;
mod proxies;
mod signers;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::material::{self, ffmpeg, program};

fn run(arguments: &[&OsStr]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn succeeds(arguments: &[&OsStr]) -> String {
    let output = run(arguments);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{talk}");
    talk
}

/// What the program says where it ends with `code`.
fn fails(arguments: &[&OsStr], code: i32) -> String {
    let output = run(arguments);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{talk}");
    talk
}

/// The first seconds of the bundled clip under a name, annotated, with its page.
fn reviewed(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let video = folder.join(name);
    ffmpeg("-i assets/demo/demo.mp4 -t 8 -c copy -f mp4", &video);
    annotated(folder, &video)
}

fn annotated(folder: &Path, video: &Path) -> (PathBuf, PathBuf) {
    let labels = folder.join("labels.json");
    let eaf = folder.join("x.eaf");
    succeeds(&[video.as_ref(), "-q".as_ref(), "-o".as_ref(), labels.as_ref(), "-o".as_ref(), eaf.as_ref()]);
    succeeds(&["review".as_ref(), labels.as_ref(), "--language".as_ref(), "en".as_ref()]);
    (labels, folder.join("labels.html"))
}

/// Two real clips side by side, annotated, with their page; `None` after saying that `test` is skipped.
fn two_signers(folder: &Path, test: &str) -> Option<(PathBuf, PathBuf)> {
    let videos = material::data(test)?.join("videos");
    let [left, right] =
        ["omdena_ajudar_ne_1.mp4", "omdena_crescer_ne_1.mp4"].map(|name| videos.join(name).display().to_string());
    let video = folder.join("two.mp4");
    let graph = "[0:v]scale=480:352[a];[1:v]scale=480:352[b];[a][b]hstack=inputs=2:shortest=1";
    ffmpeg(&format!("-i {left} -i {right} -filter_complex {graph} -an -c:v libx264 -crf 18 -pix_fmt yuv420p"), &video);
    Some(annotated(folder, &video))
}

//! Where outputs cannot go, and what happens to a run from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{files_in, orderly, run_within, valid};
use crate::material::{ffmpeg, program};

const LONGEST: Duration = Duration::from_secs(60);

fn demo() -> &'static Path {
    Path::new("assets/demo/demo.mp4")
}

/// Asserts an end with code 6 and one line that names the output, and nothing under its name.
fn refused(command: &mut Command, output: &Path) {
    let result = run_within(command, LONGEST).unwrap();
    let message = orderly(&result).unwrap();
    assert_eq!(result.status.code(), Some(6), "{message}");
    assert!(message.contains("labels.json"), "{message}");
    assert!(!output.exists(), "{}", output.display());
}

#[test]
fn a_full_disk_leaves_nothing_under_the_outputs_name() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.json");
    // A quota of 8 KiB for one file.
    let mut command = Command::new("sh");
    let binary = program().get_program().to_owned();
    command.args(["-c", "ulimit -f 16; exec \"$0\" \"$@\""]).arg(binary).arg(demo()).args(["-q", "--end", "4", "-o"]);
    refused(command.arg(&labels), &labels);
    assert!(files_in(folder.path()).is_empty());
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(folder.path()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: a file system of 16 KiB (only root may mount one)");
        return;
    }
    refused(program().arg(demo()).args(["-q", "--end", "4", "-o"]).arg(&labels), &labels);
    let left = files_in(folder.path());
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    assert!(left.is_empty());
}

#[test]
fn a_place_where_nothing_can_be_written_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["/proc/labels.json", "/dev/null/labels.json", "/dev/full/../absent/labels.json"] {
        refused(program().arg(demo()).args(["-q", "-o", path]), Path::new(path));
    }
    let labels = folder.path().join("labels.json");
    fs::write(&labels, "old").unwrap();
    fs::set_permissions(&labels, fs::Permissions::from_mode(0o444)).unwrap();
    let result = run_within(program().arg(demo()).args(["-q", "-o"]).arg(&labels), LONGEST).unwrap();
    assert_eq!(result.status.code(), Some(6), "{}", orderly(&result).unwrap());
    assert_eq!(fs::read(&labels).unwrap(), b"old");
}

/// A run that takes some seconds, begun: its temporary file is there.
fn begun(folder: &Path) -> Child {
    let video = folder.with_extension("mp4");
    ffmpeg(&format!("-stream_loop 2 -i {} -c copy", demo().display()), &video);
    let mut command = program();
    command.arg(&video).args(["-q", "--measures", "none", "-o"]).arg(folder.join("labels.json"));
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while files_in(folder).is_empty() {
        assert!(started.elapsed() < LONGEST, "the run does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn an_output_folder_that_is_taken_away_is_said_and_what_a_killed_run_left_is_removed() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("out");
    fs::create_dir(&folder).unwrap();
    let child = begun(&folder);
    fs::remove_dir_all(&folder).unwrap();
    let result = child.wait_with_output().unwrap();
    let message = orderly(&result).unwrap();
    assert_eq!(result.status.code(), Some(6), "{message}");
    assert!(message.contains("labels.json") && !folder.exists(), "{message}");

    fs::create_dir(&folder).unwrap();
    let mut child = begun(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Vec<_> = files_in(&folder).into_keys().collect();
    assert!(left.len() == 1 && left[0].extension().is_some_and(|e| e == "tmp"), "{left:?}");
    let mut command = program();
    command.arg(demo()).args(["-q", "--end", "1", "-o"]).arg(folder.join("labels.json"));
    assert_eq!(run_within(&mut command, LONGEST).unwrap().status.code(), Some(0));
    let files: Vec<_> = files_in(&folder).into_keys().collect();
    assert_eq!(files, [folder.join("labels.json")]);
}

#[test]
fn two_runs_on_one_output_leave_one_whole_result() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.json");
    let runs = [1, 2].map(|_| program().arg(demo()).args(["-q", "--end", "2", "-o"]).arg(&labels).spawn().unwrap());
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    let timeline = valid(&fs::read(&labels).unwrap()).unwrap();
    assert!(timeline.complete && timeline.frames.pts.len() == 50);
    assert_eq!(files_in(folder.path()).len(), 1);
}

#[test]
fn term_keeps_what_is_done_and_a_clock_that_jumps_changes_nothing() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("out");
    fs::create_dir(&folder).unwrap();
    let child = begun(&folder);
    std::thread::sleep(Duration::from_secs(1));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let result = child.wait_with_output().unwrap();
    assert_eq!(result.status.code(), Some(143), "{}", orderly(&result).unwrap());
    assert!(!valid(&fs::read(folder.join("labels.json")).unwrap()).unwrap().complete);

    let labels = |name: &str| folder.join(name).with_extension("json");
    assert!(program().arg(demo()).args(["-q", "--end", "2", "-o"]).arg(labels("now")).status().unwrap().success());
    let mut command = Command::new("faketime");
    command.args(["-f", "@1999-12-31 23:59:59 x100"]).arg(program().get_program()).arg(demo());
    match command.args(["-q", "--end", "2", "-o"]).arg(labels("then")).stdin(Stdio::null()).status() {
        Ok(status) => {
            assert!(status.success());
            assert_eq!(fs::read(labels("now")).unwrap(), fs::read(labels("then")).unwrap());
        }
        Err(_) => println!("skipped: a clock that jumps (faketime is not installed)"),
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_marked() {
    use std::io::Write as _;
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("out");
    fs::create_dir(&folder).unwrap();
    let child = begun(&folder);
    let mut video = fs::OpenOptions::new().append(true).open(folder.with_extension("mp4")).unwrap();
    video.write_all(&[0; 64]).unwrap();
    let result = child.wait_with_output().unwrap();
    let message = orderly(&result).unwrap();
    assert!(result.status.code() == Some(4) && message.contains("changed while it was read"), "{message}");
}

#[test]
fn memory_that_does_not_suffice_is_a_limit_and_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("large.mp4");
    ffmpeg("-f lavfi -i color=gray:size=7680x4320:rate=5:duration=1 -c:v libx264 -preset ultrafast", &video);
    for (mebibytes, ends) in [("100", &[7][..]), ("1600", &[0, 4, 7])] {
        let labels = folder.path().join("labels.json");
        let mut command = program();
        command.arg(&video).args(["-q", "--max-memory", mebibytes, "-o"]).arg(&labels);
        let result = run_within(&mut command, LONGEST).unwrap();
        let message = orderly(&result).unwrap();
        assert!(ends.contains(&result.status.code().unwrap()), "{mebibytes} MiB: {message}");
        let is_written = [Some(0), Some(4)].contains(&result.status.code());
        assert_eq!(labels.exists(), is_written, "{mebibytes} MiB: {message}");
    }
}

/// The exit code of a program whose libraries cannot be loaded.
const LOADER_FAILED: i32 = 127;

/// The exit code and the line on standard error with so much address space, MiB.
fn in_memory(clip: &Path, labels: &Path, mebibytes: u64) -> (Option<i32>, String) {
    let _ = fs::remove_file(labels);
    let binary = program().get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {}; exec \"$0\" \"$@\"", mebibytes * 1024)]).arg(binary);
    let result = run_within(command.arg(clip).args(["-q", "-o"]).arg(labels), LONGEST).unwrap();
    (result.status.code(), String::from_utf8_lossy(&result.stderr).into_owned())
}

#[test]
fn memory_that_does_not_suffice_is_no_damage_of_the_video() {
    let folder = tempfile::tempdir().unwrap();
    let (clip, labels) = (folder.path().join("clip.mp4"), folder.path().join("labels.json"));
    ffmpeg("-f lavfi -i testsrc2=s=1280x720:r=25:d=0.4 -c:v libx264 -preset ultrafast", &clip);
    // Between too little to start with and enough.
    let (mut little, mut enough) = (16, 4096);
    assert_eq!(in_memory(&clip, &labels, enough).0, Some(0));
    while enough - little > 4 {
        let middle = little.midpoint(enough);
        match in_memory(&clip, &labels, middle).0 {
            Some(0) => enough = middle,
            _ => little = middle,
        }
    }
    // The least that the libraries can be loaded into: the program's first own bytes may be missing there.
    let (mut unloaded, mut loaded) = (16, little);
    while loaded - unloaded > 1 {
        let middle = unloaded.midpoint(loaded);
        match in_memory(&clip, &labels, middle).0 {
            Some(LOADER_FAILED) => unloaded = middle,
            _ => loaded = middle,
        }
    }
    let mut refused = 0;
    let at_start = (loaded..enough).step_by(2).take(12);
    for mebibytes in at_start.chain((enough.saturating_sub(60).max(loaded)..enough + 12).step_by(3)) {
        let (code, message) = in_memory(&clip, &labels, mebibytes);
        assert!(matches!(code, Some(0 | 7)), "{mebibytes} MiB: {code:?} {message}");
        assert_eq!(code == Some(0), labels.exists(), "{mebibytes} MiB: {message}");
        refused += usize::from(code == Some(7));
    }
    assert!(refused > 5);
}

//! A video that is cut and put together again gives the bytes of the uncut one, wherever it is cut.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::material::{clips, ffmpeg, program, program_path};

/// Formats whose files must not differ by a byte. ELAN's have the time of writing in them.
const FORMATS: [&str; 10] = ["json", "jsonl", "csv", "tsv", "srt", "vtt", "ass", "segments", "textgrid", "parquet"];

fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut command = program();
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn succeeded(arguments: &[&str], folder: &Path) -> String {
    let output = run(arguments, folder);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {talk}");
    talk
}

/// Every file below `folder` that is of one of the formats: name and bytes.
fn results(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let is_report = |name: &str| ["failures.json", "summary.csv", "summary.parquet", "run.jsonl"].contains(&name);
    let mut found: Vec<_> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file() && !is_report(entry.file_name().to_str().unwrap()))
        .filter(|entry| !entry.file_name().to_str().unwrap().starts_with('.') && entry.file_name() != "index.html")
        .map(|entry| (entry.path().strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}

/// What the plain command writes for `clip`, under the names that `collect` uses.
fn uncut(clip: &str, folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let out = folder.join("uncut").join(clip);
    std::fs::create_dir_all(&out).unwrap();
    let mut arguments = vec![clip.to_string()];
    for format in FORMATS {
        let extension = match format {
            "segments" => "segments.tsv",
            "textgrid" => "TextGrid",
            format => format,
        };
        arguments.extend(["-o".into(), out.join(format!("{clip}.{extension}")).display().to_string()]);
    }
    let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), folder);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", String::from_utf8_lossy(&output.stderr));
    results(&out)
}

/// What comes of planning, working in `shards` and collecting; and how many units there were, and what was said.
fn cut(clip: &str, segment: &str, shards: usize, folder: &Path) -> (Vec<(PathBuf, Vec<u8>)>, usize, String) {
    let work = folder.join(format!("cut-{clip}-{segment}-{shards}"));
    std::fs::create_dir_all(&work).unwrap();
    let path = |name: &str| work.join(name).display().to_string();
    succeeded(&["plan", clip, "--segment", segment, "-o", &path("plan.jsonl")], folder);
    let units = std::fs::read_to_string(path("plan.jsonl")).unwrap().lines().count() - 1;
    let mut talk = String::new();
    // In an order that nobody planned.
    for shard in (0..shards).rev() {
        let share = format!("{shard}/{shards}");
        let arguments = ["work", &path("plan.jsonl"), "--shard", &share, "--out", &path("parts"), "-v"];
        talk += &succeeded(&arguments, folder);
    }
    let formats = FORMATS.join(",");
    let output =
        run(&["collect", &path("plan.jsonl"), &path("parts"), "--output-dir", &path("out"), "-f", &formats], folder);
    assert!(matches!(output.status.code(), Some(0 | 8)), "{}", String::from_utf8_lossy(&output.stderr));
    // The tables of a corpus lie in a folder of their own.
    let beside = |(name, bytes): (PathBuf, Vec<u8>)| {
        (name.strip_prefix("parquet").map(Path::to_path_buf).unwrap_or(name), bytes)
    };
    let mut found: Vec<_> = results(Path::new(&path("out"))).into_iter().map(beside).collect();
    found.sort();
    (found, units, talk)
}

/// Asserts that nothing differs; gives the number of units, and of those decoded from the file's beginning.
fn same(clip: &str, expected: &[(PathBuf, Vec<u8>)], segment: &str, shards: usize, folder: &Path) -> (usize, usize) {
    let (found, units, talk) = cut(clip, segment, shards, folder);
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected), "{clip}, {segment}, {shards} shards");
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        assert!(found == expected, "{}: {segment}, {shards} shards: it differs", name.display());
    }
    (units, talk.matches("decoded from its beginning").count())
}

/// A minute and a quarter of several people with cuts between them, made of the real clips where they are there and of
/// the bundled one otherwise, at 240 lines.
fn long_video(folder: &Path, test: &str) -> PathBuf {
    let path = folder.join("long.mp4");
    let real = clips(test);
    let wanted =
        ["dfki_testvideo", "omdena_carne_vl_5", "omdena_garganta_sb_2", "globalsignbank_testmedia", "pose_test"];
    let mut parts: Vec<PathBuf> =
        real.into_iter().filter(|clip| wanted.iter().any(|name| clip.display().to_string().contains(name))).collect();
    let demo = Path::new("assets/demo/demo.mp4").canonicalize().unwrap();
    parts.resize(parts.len().max(5), demo.clone());
    parts.push(demo);
    let inputs: String = parts.iter().map(|part| format!("-i {} ", part.display())).collect();
    let mut filter = String::new();
    for index in 0..parts.len() {
        filter += &format!("[{index}:v]scale=320:240,setsar=1,fps=25,format=yuv420p[v{index}];");
    }
    filter += &(0..parts.len()).map(|index| format!("[v{index}]")).collect::<String>();
    filter += &format!("concat=n={}:v=1[v]", parts.len());
    let encode = "-c:v libx264 -preset veryfast -g 50 -bf 3 -threads 1";
    ffmpeg(&format!("{inputs} -filter_complex {filter} -map [v] {encode} -t 24"), &path);
    path
}

#[test]
fn a_long_video_is_the_same_for_any_number_of_shards_and_any_range() {
    let test = "a_long_video_is_the_same_for_any_number_of_shards_and_any_range";
    let folder = tempfile::tempdir().unwrap();
    long_video(folder.path(), test);
    let expected = uncut("long.mp4", folder.path());
    assert_eq!(expected.len(), FORMATS.len());
    let (units, from_the_beginning) = same("long.mp4", &expected, "2s", 3, folder.path());
    assert!(units >= 3, "{units} units");
    assert_eq!(from_the_beginning, 0, "an ordinary file is entered in the middle");
    for (segment, shards) in [("20s", 2), ("5min", 16)] {
        same("long.mp4", &expected, segment, shards, folder.path());
    }
}

#[test]
#[ignore = "takes minutes: make test-cuts"]
fn every_container_and_codec_is_the_same_where_cuts_are_awkward() {
    let test = "every_container_and_codec_is_the_same_where_cuts_are_awkward";
    let folder = tempfile::tempdir().unwrap();
    long_video(folder.path(), test);
    let source = format!("-ss 4 -t 12 -i {}", folder.path().join("long.mp4").display());
    for (name, arguments) in [
        // No key frame but the first.
        ("one-key.mp4", "-c:v libx264 -preset ultrafast -g 10000"),
        ("open.mkv", "-c:v libx264 -preset veryfast -x264-params open-gop=1:bframes=3:keyint=40:min-keyint=10"),
        ("refresh.ts", "-c:v libx264 -preset veryfast -x264-params intra-refresh=1:keyint=30"),
        ("broadcast.ts", "-c:v mpeg2video -g 12 -bf 2 -q:v 4"),
        ("open.ts", "-c:v libx264 -preset veryfast -x264-params open-gop=1:bframes=3:keyint=40"),
        (
            "variable.mkv",
            "-vf select='not(mod(n\\,3))+lt(mod(n\\,100)\\,40)' -vsync vfr -c:v libx264 -preset veryfast -g 30",
        ),
        ("negative.mp4", "-c:v libx264 -preset veryfast -g 30 -output_ts_offset -5.03"),
        ("late.mp4", "-c:v libx264 -preset veryfast -g 30 -output_ts_offset 9.97"),
        ("old.avi", "-c:v mpeg4 -bf 2 -g 25 -q:v 3"),
        ("pictures.avi", "-c:v mjpeg -q:v 4"),
        ("web.webm", "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 500k -g 60"),
        ("interlaced.ts", "-vf interlace -c:v mpeg2video -flags +ildct+ilme -g 12 -bf 2 -q:v 4"),
        ("raw.h264", "-c:v libx264 -preset veryfast -g 30"),
    ] {
        ffmpeg(&format!("{source} {arguments} -threads 1"), &folder.path().join(name));
        let expected = uncut(name, folder.path());
        let (units, from_the_beginning) = same(name, &expected, "2s", 2, folder.path());
        println!("{name}: {units} units, {from_the_beginning} of them decoded from the beginning");
    }
}

#[test]
fn a_damaged_video_is_the_same_and_says_the_same() {
    let test = "a_damaged_video_is_the_same_and_says_the_same";
    let folder = tempfile::tempdir().unwrap();
    long_video(folder.path(), test);
    let source = format!(
        "-ss 8 -t 24 -i {} -c:v libx264 -preset veryfast -g 50 -threads 1",
        folder.path().join("long.mp4").display()
    );
    let damaged = |name: &str, arguments: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let path = folder.path().join(name);
        ffmpeg(&format!("{source} {arguments}"), &path);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let expected = uncut(name, folder.path());
        let (units, from_the_beginning) = same(name, &expected, "2s", 2, folder.path());
        println!("{name}: {units} units, {from_the_beginning} of them decoded from the beginning");
        let json = expected.iter().find(|(name, _)| name.extension().is_some_and(|e| e == "json")).unwrap();
        assert!(String::from_utf8_lossy(&json.1).contains("\"complete\":false"), "{name}: it is damaged");
    };
    damaged("hole.mp4", "", &|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 6000].fill(0x55);
    });
    damaged("cut.mp4", "-movflags +faststart", &|bytes| bytes.truncate(bytes.len() * 7 / 10));
    damaged("cut.mkv", "", &|bytes| bytes.truncate(bytes.len() * 7 / 10));
    damaged("noise.ts", "", &|bytes| {
        for offset in (20_000..bytes.len()).step_by(30_011) {
            bytes[offset] ^= 0x3c;
        }
    });
    damaged("twice.ts", "-t 12", &|bytes| bytes.extend(bytes.clone()));
}

#[test]
fn a_shard_is_taken_up_where_it_was_left_and_missing_work_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("corpus")).unwrap();
    for (number, name) in ["a.mp4", "a.mov", "new\nline {0}.mp4"].into_iter().enumerate() {
        // Not the same bytes: files of one content are one unit.
        ffmpeg(&format!("-i assets/demo/demo.mp4 -t 2 -c copy -metadata comment={number}"), &at("corpus").join(name));
    }
    std::fs::write(at("corpus/text.mp4"), "no video".repeat(100)).unwrap();
    // One that opens, and is gone when it is worked on.
    ffmpeg("-i assets/demo/demo.mp4 -t 1 -c:v mpeg4", &at("corpus/b.avi"));
    succeeded(&["plan", "corpus", "-o", "plan.jsonl"], folder.path());
    let repaired = std::fs::read(at("corpus/b.avi")).unwrap();
    std::fs::remove_file(at("corpus/b.avi")).unwrap();
    let collect = || run(&["collect", "plan.jsonl", "parts", "--output-dir", "labels"], folder.path());
    let failures = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(at("labels/failures.json")).unwrap()).unwrap()
    };
    succeeded(&["work", "plan.jsonl", "--shard", "0/2", "--out", "parts"], folder.path());
    let output = collect();
    assert_eq!(output.status.code(), Some(8));
    assert!(failures().to_string().contains("has not been worked on"), "{}", failures());
    succeeded(&["work", "plan.jsonl", "--shard", "1/2", "--out", "parts"], folder.path());
    assert_eq!(collect().status.code(), Some(8));
    let listed: Vec<String> =
        failures()["failures"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap().to_string()).collect();
    assert_eq!(listed, ["corpus/b.avi", "corpus/text.mp4"]);
    assert!(at("labels/a.mp4.json").is_file() && at("labels/a.mov.json").is_file());
    assert!(at("labels/new\nline {0}.mp4.json").is_file());
    // Repaired: only what was missing is done.
    std::fs::write(at("corpus/b.avi"), repaired).unwrap();
    let talk = succeeded(&["work", "plan.jsonl", "--out", "parts"], folder.path());
    assert!(talk.contains("1 units done, 3 done before"), "{talk}");
    assert_eq!(collect().status.code(), Some(8));
    assert_eq!(failures()["failures"].as_array().unwrap().len(), 1, "{}", failures());
    // A part that was cut off is work to be done; until then it is named.
    let part = std::fs::read_dir(at("parts")).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(collect().status.code(), Some(8));
    assert_eq!(failures()["failures"].as_array().unwrap().len(), 2);
    let talk = succeeded(&["work", "plan.jsonl", "--out", "parts"], folder.path());
    assert!(talk.contains("1 units done, 3 done before"), "{talk}");
}

#[test]
fn what_is_collected_is_done_for_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("corpus/sub")).unwrap();
    for (name, length) in [("a.mp4", "1"), ("sub/b.mp4", "2")] {
        ffmpeg(&format!("-i assets/demo/demo.mp4 -t {length} -c copy"), &at("corpus").join(name));
    }
    succeeded(&["plan", "corpus", "--max-faces", "2", "-o", "plan.jsonl"], folder.path());
    succeeded(&["work", "plan.jsonl", "--out", "parts"], folder.path());
    succeeded(&["collect", "plan.jsonl", "parts", "--output-dir", "labels", "-f", "json,eaf"], folder.path());
    let batch = |settings: &[&str]| {
        let arguments = [&["batch", "corpus", "--output-dir", "labels", "-f", "json,eaf"][..], settings].concat();
        succeeded(&arguments, folder.path())
    };
    let before = std::fs::read(at("labels/sub/b.mp4.json")).unwrap();
    let talk = batch(&["--max-faces", "2"]);
    assert!(talk.contains("(2 were complete before)"), "{talk}");
    assert_eq!(std::fs::read(at("labels/sub/b.mp4.json")).unwrap(), before);
    // Under other settings they are not.
    let talk = batch(&["--max-faces", "1"]);
    assert!(talk.contains("(0 were complete before)"), "{talk}");
}

#[test]
fn a_plan_from_elsewhere_writes_and_removes_nothing_outside_its_folders() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    ffmpeg("-i assets/demo/demo.mp4 -t 1 -c copy", &at("a.mp4"));
    std::fs::copy(at("a.mp4"), at("b.mp4")).unwrap();
    std::fs::create_dir(at("victim")).unwrap();
    std::fs::write(at("victim/mine.failed.json"), "precious").unwrap();
    succeeded(&["plan", "a.mp4", "b.mp4", "-o", "plan.jsonl"], folder.path());
    let plan = std::fs::read_to_string(at("plan.jsonl")).unwrap();
    let line = plan.lines().find(|line| line.contains("a.mp4")).unwrap();
    let unit: serde_json::Value = serde_json::from_str(line).unwrap();
    let id = unit["unit"].as_str().unwrap();
    let forged = [
        plan.replace(id, "../victim/mine"),
        plan.replace(id, "/tmp/annotate-mine"),
        plan.replace("\"output\":\"a.mp4\"", "\"output\":\"../victim/new/a\""),
        plan.replace("\"output\":\"a.mp4\"", "\"output\":\"/tmp/annotate-mine/a\""),
        plan.replace("\"output\":\"a.mp4\"", "\"output\":\"b.mp4\""),
    ];
    for text in forged {
        assert_ne!(text, plan);
        std::fs::write(at("forged.jsonl"), text).unwrap();
        for arguments in [
            ["work", "forged.jsonl", "--out", "parts"].as_slice(),
            &["collect", "forged.jsonl", "parts", "--output-dir", "labels"],
        ] {
            std::fs::create_dir_all(at("parts")).unwrap();
            let mut command = program();
            let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(3), "{message}");
            assert!(message.contains("forged.jsonl"), "{message}");
        }
        assert_eq!(std::fs::read(at("victim/mine.failed.json")).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(at("victim")).unwrap().count(), 1);
        assert!(std::fs::read_dir(at("parts")).unwrap().next().is_none() && !at("labels").exists());
    }
    // Neither links nor pipes where a part should be are followed or waited for.
    std::os::unix::fs::symlink(at("victim/mine.failed.json"), at("parts").join(format!("{id}.part"))).unwrap();
    let mut command = program();
    let work = ["work", "plan.jsonl", "--out", "parts"];
    assert_eq!(command.args(work).current_dir(folder.path()).output().unwrap().status.code(), Some(6));
    assert_eq!(std::fs::read(at("victim/mine.failed.json")).unwrap(), b"precious");
    std::fs::remove_file(at("parts").join(format!("{id}.part"))).unwrap();
    succeeded(&work, folder.path());
    std::fs::remove_file(at("parts").join(format!("{id}.part"))).unwrap();
    assert!(Command::new("mkfifo").arg(at("parts").join(format!("{id}.part"))).status().unwrap().success());
    let mut command = Command::new("timeout");
    command.arg("60").arg(program_path());
    let collected = command.args(["collect", "plan.jsonl", "parts", "--output-dir", "labels"]);
    assert_eq!(collected.current_dir(folder.path()).output().unwrap().status.code(), Some(8));
}

#[test]
fn what_a_killed_worker_left_is_gone_after_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    ffmpeg("-i assets/demo/demo.mp4 -t 6 -c copy", &at("a.mp4"));
    succeeded(&["plan", "a.mp4", "-o", "plan.jsonl"], folder.path());
    let leftovers = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(at("parts")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "tmp")).collect()
    };
    let work = ["work", "plan.jsonl", "--out", "parts"];
    let mut command = program();
    let mut child = command.args(work).current_dir(folder.path()).stdin(Stdio::null()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while leftovers().is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "nothing is written");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = leftovers();
    assert_eq!(left.len(), 1, "{left:?}");
    let kept = at("kept");
    // The same file under a second name: a temporary file is known by its own inode.
    std::fs::hard_link(&left[0], &kept).unwrap();
    let talk = succeeded(&work, folder.path());
    assert!(talk.contains("1 units done") && leftovers().is_empty(), "{talk}: {:?}", leftovers());
    // Also where another worker did meanwhile what the killed one had begun, so that nothing is written any more.
    std::fs::rename(&kept, &left[0]).unwrap();
    let talk = succeeded(&work, folder.path());
    assert!(talk.contains("0 units done, 1 done before") && leftovers().is_empty(), "{talk}: {:?}", leftovers());
}

#[test]
fn a_worker_keeps_to_the_memory_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg("-i assets/demo/demo.mp4 -t 1 -c copy", &folder.path().join("a.mp4"));
    succeeded(&["plan", "a.mp4", "-o", "plan.jsonl"], folder.path());
    let output = run(&["work", "plan.jsonl", "--out", "parts", "--max-memory", "100"], folder.path());
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(7) && talk.contains("--max-memory 100"), "{:?}: {talk}", output.status);
    succeeded(&["work", "plan.jsonl", "--out", "parts", "--max-memory", "4096"], folder.path());
}

#[test]
fn gaps_overlaps_and_mixtures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    ffmpeg("-stream_loop 3 -i assets/demo/demo.mp4 -c copy -t 35", &at("a.mp4"));
    succeeded(&["plan", "a.mp4", "--segment", "10s", "-o", "plan.jsonl"], folder.path());
    let plan = std::fs::read_to_string(at("plan.jsonl")).unwrap();
    let lines: Vec<&str> = plan.lines().collect();
    assert!(lines.len() >= 4, "{plan}");
    let refused = |lines: &[&str], code: i32, words: &str| {
        std::fs::write(at("changed.jsonl"), lines.join("\n")).unwrap();
        let output = run(&["collect", "changed.jsonl", "parts", "--output-dir", "labels"], folder.path());
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{talk}");
        assert!(talk.contains(words), "{talk}");
        assert!(!at("labels/a.mp4.json").exists());
    };
    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat();
    refused(&without(2), 3, "nothing covers");
    refused(&without(1), 3, "first or last part");
    refused(&without(lines.len() - 1), 3, "first or last part");
    refused(&[&lines[..3], &lines[2..]].concat(), 3, "planned twice");
    refused(&lines[1..], 3, "line 1");
    let other = lines[0].replacen("\"version\":\"", "\"version\":\"9", 1);
    std::fs::write(at("changed.jsonl"), [&[other.as_str()], &lines[1..]].concat().join("\n")).unwrap();
    let output = run(&["work", "changed.jsonl", "--out", "parts"], folder.path());
    assert_eq!(output.status.code(), Some(5));
    // The parts of one plan under another one's settings.
    succeeded(&["work", "plan.jsonl", "--out", "parts"], folder.path());
    let other = lines[0].replacen("\"max_faces\":8", "\"max_faces\":7", 1);
    assert_ne!(other, lines[0]);
    refused(&[&[other.as_str()], &lines[1..]].concat(), 5, "other settings");
}

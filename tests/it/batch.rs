//! A corpus on one machine: everything is annotated, or marked as partial, or named with the reason; and a run goes on
//! where the last one was left.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::material::{ffmpeg, program};
use annotate::timeline::Timeline;
use serde_json::Value;

struct Corpus {
    folder: tempfile::TempDir,
}

impl Corpus {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A clip of a second, at several paths.
    fn clips(&self, names: &[&str]) {
        let clip = self.at("clip.mp4");
        if !clip.exists() {
            ffmpeg("-i assets/demo/demo.mp4 -t 1 -c:v libx264 -preset ultrafast", &clip);
        }
        for name in names {
            let path = self.at("in").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(&clip, path).unwrap();
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.arg("batch").args(arguments).args(["--output-dir", "out"]).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs, asserts the exit code, and gives what was said.
    fn ends(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {talk}");
        talk
    }

    fn failures(&self) -> BTreeMap<String, u64> {
        let report: Value = serde_json::from_slice(&std::fs::read(self.at("out/failures.json")).unwrap()).unwrap();
        let failures = report["failures"].as_array().unwrap().iter();
        failures.map(|f| (f["path"].as_str().unwrap_or("?").to_string(), f["code"].as_u64().unwrap())).collect()
    }

    /// What the three reports say of a run that was interrupted: how many of all are complete, and the codes of the others.
    fn reports_on(&self, complete: usize, all: usize) -> BTreeMap<String, u64> {
        let page = std::fs::read_to_string(self.at("out/index.html")).unwrap();
        assert!(page.contains(&format!("{complete} of {all} videos are complete")), "{page}");
        assert_eq!(csv::Reader::from_path(self.at("out/summary.csv")).unwrap().records().count(), all);
        assert!(self.at("out/summary.parquet").is_file());
        self.failures()
    }

    /// Files of which nobody should be left.
    fn leftovers(&self) -> Vec<PathBuf> {
        let files = walkdir::WalkDir::new(self.at("out")).into_iter().filter_map(|entry| Some(entry.ok()?.into_path()));
        files.filter(|path| path.extension().is_some_and(|e| e == "tmp")).collect()
    }

    /// How many videos a run worked on, by its last mention in the log.
    fn worked_on(&self) -> usize {
        let log = std::fs::read_to_string(self.at("out/run.jsonl")).unwrap();
        let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let begin = lines.iter().rposition(|line| line["event"] == "begin").unwrap();
        lines[begin..].iter().filter(|line| line["event"] == "item").count()
    }
}

#[test]
fn a_tree_is_mirrored_in_all_formats_and_each_file_is_what_the_plain_command_writes() {
    let corpus = Corpus::new();
    let odd = "sub/it's \"a\" {b}\nline.mp4";
    corpus.clips(&["a.mp4", "a.mov", "sub/deep/ü.mkv", "-dash.mp4", odd]);
    std::fs::write(corpus.at("in/notes.txt"), "not a video").unwrap();
    let talk = corpus.ends(&["in", "-f", "json,csv,eaf,parquet"], 0);
    assert!(talk.contains("5 of 5 videos complete"), "{talk}");
    for name in ["a.mp4", "a.mov", "sub/deep/ü.mkv", "-dash.mp4", odd] {
        for extension in ["json", "csv", "eaf", "parquet"] {
            let folder = if extension == "parquet" { "out/parquet" } else { "out" };
            assert!(corpus.at(&format!("{folder}/{name}.{extension}")).is_file(), "{name}.{extension}");
        }
        let mut plain = program();
        let alone = corpus.at("alone.json");
        let input = format!("in/{name}");
        let output = plain.arg(&input).arg("-o").arg(&alone).current_dir(corpus.folder.path()).output().unwrap();
        assert!(output.status.success());
        assert_eq!(std::fs::read(alone).unwrap(), std::fs::read(corpus.at(&format!("out/{name}.json"))).unwrap());
    }
    assert!(corpus.failures().is_empty() && corpus.leftovers().is_empty());
    let tables = walkdir::WalkDir::new(corpus.at("out/parquet")).into_iter().map(|entry| entry.unwrap());
    let mut tables = tables.filter(|e| e.file_type().is_file() && !e.file_name().to_str().unwrap().starts_with('.'));
    assert!(tables.all(|e| e.path().extension().is_some_and(|e| e == "parquet")), "a folder of tables alone");
    let report: Value = serde_json::from_slice(&std::fs::read(corpus.at("out/failures.json")).unwrap()).unwrap();
    assert_eq!(report["left_out"][0]["path"], "in/notes.txt");
    assert!(talk.contains("notes.txt"), "{talk}");
    let mut table = csv::Reader::from_path(corpus.at("out/summary.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 5);
    let page = std::fs::read_to_string(corpus.at("out/index.html")).unwrap();
    assert!(page.contains("it's &quot;a&quot; {b}\\nline.mp4") && !page.contains("src="), "{page}");
    assert!(page.contains("it%27s%20%22a%22%20%7Bb%7D%0Aline.mp4.json"));
}

#[test]
fn what_is_done_is_skipped_and_whatever_has_changed_is_done_again() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4", "b.mp4", "c.mp4"]);
    corpus.ends(&["in", "-f", "json,csv"], 0);
    assert_eq!(corpus.worked_on(), 3);
    let log = std::fs::read_to_string(corpus.at("out/run.jsonl")).unwrap();
    let begin: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(begin["terms"]["tool"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(begin["terms"]["model"]["sha256"].as_str().unwrap().len(), 64);
    let redone = |arguments: &[&str], expected: usize| {
        corpus.ends(arguments, 0);
        assert_eq!(corpus.worked_on(), expected, "{arguments:?}");
    };
    redone(&["in", "-f", "json,csv"], 0);
    redone(&["in", "-f", "json,csv", "--checksum"], 0);
    // An output that is gone.
    std::fs::remove_file(corpus.at("out/a.mp4.csv")).unwrap();
    redone(&["in", "-f", "json,csv"], 1);
    // A video touched, but the same; then another one under its name.
    std::fs::File::open(corpus.at("in/a.mp4")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    redone(&["in", "-f", "json,csv"], 0);
    ffmpeg("-i assets/demo/demo.mp4 -ss 1 -t 1 -c:v libx264 -preset ultrafast", &corpus.at("in/a.mp4"));
    redone(&["in", "-f", "json,csv"], 1);
    // Other settings, other formats.
    redone(&["in", "-f", "json,csv", "--max-faces", "3"], 3);
    redone(&["in", "-f", "json", "--max-faces", "3"], 3);
    redone(&["in", "-f", "json", "--max-faces", "3", "--again"], 3);
}

#[test]
fn what_a_person_has_changed_stays_byte_for_byte_until_it_is_given_up() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4", "b.mp4"]);
    corpus.ends(&["in", "-f", "json,eaf"], 0);
    let (eaf, json) = (corpus.at("out/a.mp4.eaf"), corpus.at("out/b.mp4.json"));
    let by_machine = [&eaf, &json].map(|path| std::fs::read(path).unwrap());
    let changed = String::from_utf8(by_machine[0].clone()).unwrap().replace("neutral", "surprise");
    std::fs::write(&eaf, &changed).unwrap();
    std::fs::write(&json, "corrected").unwrap();
    let is_kept =
        || std::fs::read(&eaf).unwrap() == changed.as_bytes() && std::fs::read(&json).unwrap() == b"corrected";
    // The same run again has nothing to do, and says so.
    let talk = corpus.ends(&["in", "-f", "json,eaf"], 0);
    assert!(is_kept() && corpus.worked_on() == 0, "{talk}");
    assert!(talk.contains("a.mp4.eaf") && talk.contains("b.mp4.json") && talk.contains("--overwrite"), "{talk}");
    let report: Value = serde_json::from_slice(&std::fs::read(corpus.at("out/failures.json")).unwrap()).unwrap();
    assert_eq!(report["touched"], serde_json::json!(["a.mp4.eaf", "b.mp4.json"]));
    // A run with other settings has new results, which it cannot write all; the next one like it has nothing to do.
    for worked_on in [2, 0] {
        corpus.ends(&["in", "-f", "json,eaf", "--max-faces", "3"], 8);
        assert!(is_kept() && corpus.worked_on() == worked_on);
        assert_eq!(corpus.failures(), [("in/a.mp4".to_string(), 6), ("in/b.mp4".to_string(), 6)].into());
    }
    assert!(std::fs::read_to_string(corpus.at("out/a.mp4.json")).unwrap().contains("\"max_faces\":3"));
    corpus.ends(&["in", "-f", "json,eaf", "--again"], 8);
    assert!(is_kept());
    // A report that somebody has made notes in stays as well.
    std::fs::write(corpus.at("out/summary.csv"), "my notes").unwrap();
    let talk = corpus.ends(&["in", "-f", "json,eaf", "--overwrite"], 0);
    assert_eq!([&eaf, &json].map(|path| std::fs::read(path).unwrap()), by_machine, "{talk}");
    std::fs::write(corpus.at("out/summary.csv"), "my notes").unwrap();
    let talk = corpus.ends(&["in", "-f", "json,eaf"], 6);
    assert!(talk.contains("summary.csv") && talk.contains("--overwrite"), "{talk}");
    assert_eq!(std::fs::read(corpus.at("out/summary.csv")).unwrap(), b"my notes");
}

#[test]
fn a_forged_log_makes_nothing_complete() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4"]);
    corpus.ends(&["in"], 0);
    std::fs::remove_file(corpus.at("out/a.mp4.json")).unwrap();
    let log = std::fs::read_to_string(corpus.at("out/run.jsonl")).unwrap();
    let outputs = log.find("\"outputs\":[").unwrap();
    let end = outputs + log[outputs..].find(']').unwrap();
    let forged = format!("{}\"outputs\":[{}", &log[..outputs], &log[end..]);
    std::fs::write(corpus.at("out/run.jsonl"), forged).unwrap();
    corpus.ends(&["in"], 0);
    assert!(corpus.worked_on() == 1 && corpus.at("out/a.mp4.json").is_file());
}

#[test]
fn no_link_in_the_output_folder_leads_out_of_it() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4", "b.mp4"]);
    let victim = corpus.at("victim");
    std::fs::write(&victim, "precious").unwrap();
    for (name, code) in [(".annotate.lock", 6), ("run.jsonl", 6), ("index.html", 6), ("a.mp4.json", 8)] {
        for second_name in [false, true] {
            let _ = std::fs::remove_dir_all(corpus.at("out"));
            std::fs::create_dir(corpus.at("out")).unwrap();
            match second_name {
                false => std::os::unix::fs::symlink(&victim, corpus.at("out").join(name)).unwrap(),
                true => std::fs::hard_link(&victim, corpus.at("out").join(name)).unwrap(),
            }
            let talk = corpus.ends(&["in"], code);
            assert!(talk.contains(name) || code == 8, "{talk}");
            assert_eq!(std::fs::read(&victim).unwrap(), b"precious", "{name}");
        }
    }
    // One output that is taken stops no other video.
    assert_eq!(corpus.failures(), [("in/a.mp4".to_string(), 6)].into());
    assert!(Timeline::read(&corpus.at("out/b.mp4.json")).unwrap().complete);
}

#[test]
fn a_bad_file_stops_nothing_and_is_named_with_its_reason() {
    let corpus = Corpus::new();
    corpus.clips(&["good.mp4", "last.mp4", "cut.mp4"]);
    std::fs::write(corpus.at("in/empty.mp4"), "").unwrap();
    std::fs::write(corpus.at("in/<b>text.mp4"), "words ".repeat(500)).unwrap();
    std::os::unix::fs::symlink("nowhere.mp4", corpus.at("in/dangling.mp4")).unwrap();
    ffmpeg("-i assets/demo/demo.mp4 -t 2 -c:v libx264 -movflags +faststart", &corpus.at("in/cut.mp4"));
    let bytes = std::fs::read(corpus.at("in/cut.mp4")).unwrap();
    std::fs::write(corpus.at("in/cut.mp4"), &bytes[..bytes.len() * 7 / 10]).unwrap();
    let talk = corpus.ends(&["in"], 8);
    assert!(talk.contains("4 of 6 videos are not complete") && talk.contains("failures.json"), "{talk}");
    let expected = [("in/<b>text.mp4", 3), ("in/cut.mp4", 4), ("in/dangling.mp4", 3), ("in/empty.mp4", 3)];
    assert_eq!(corpus.failures(), expected.map(|(path, code)| (path.to_string(), code)).into());
    assert!(!Timeline::read(&corpus.at("out/cut.mp4.json")).unwrap().complete);
    assert!(Timeline::read(&corpus.at("out/good.mp4.json")).unwrap().complete);
    assert!(corpus.leftovers().is_empty());
    let page = std::fs::read_to_string(corpus.at("out/index.html")).unwrap();
    assert!(page.contains("&lt;b&gt;text.mp4") && !page.contains("<b>"), "{page}");
    // Mended, only what was not complete is done.
    corpus.clips(&["empty.mp4", "<b>text.mp4", "nowhere.mp4", "cut.mp4"]);
    corpus.ends(&["in"], 0);
    assert_eq!(corpus.worked_on(), 5);
}

#[test]
fn lists_patterns_and_names_beyond_text_are_found() {
    use std::os::unix::ffi::OsStrExt as _;
    let corpus = Corpus::new();
    corpus.clips(&["x/a.mp4", "y/a.mp4", "y/b.mp4"]);
    let invalid = Path::new(std::ffi::OsStr::from_bytes(b"in/\xff.mp4"));
    std::fs::copy(corpus.at("clip.mp4"), corpus.folder.path().join(invalid)).unwrap();
    let mut child = corpus.command(&["-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"in/x/a.mp4\0in/y/a.mp4\0in/\xff.mp4\0").unwrap();
    assert!(child.wait().unwrap().success());
    let written = |name: &str| corpus.at("out").join(name).is_file();
    assert!(written("in/x/a.mp4.json") && written("in/y/a.mp4.json"));
    assert!(corpus.at("out").join(std::ffi::OsStr::from_bytes(b"in/\xff.mp4.json")).is_file());
    std::fs::write(corpus.at("list.txt"), "in/y/b.mp4\nin/absent.mp4\n").unwrap();
    corpus.ends(&["list.txt"], 8);
    assert!(written("in/y/b.mp4.json"));
    assert_eq!(corpus.failures(), [("in/absent.mp4".to_string(), 3)].into());
    corpus.ends(&["in/?/a.mp4"], 0);
    assert_eq!(corpus.worked_on(), 0, "they were done through the list");
    corpus.ends(&["nothing/here-*.mp4"], 3);
    // A link that leads out is no way out.
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), corpus.at("out/z")).unwrap();
    corpus.clips(&["z/a.mp4"]);
    corpus.ends(&["in"], 8);
    assert_eq!(corpus.failures(), [("in/z/a.mp4".to_string(), 3)].into());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until the run has begun to write.
fn is_at_work(corpus: &Corpus) {
    let begun = Instant::now();
    while corpus.leftovers().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_that_was_killed_goes_on_where_it_was_and_ends_with_the_same_bytes() {
    let corpus = Corpus::new();
    let names: Vec<String> = (0..6).map(|number| format!("{number}.mp4")).collect();
    corpus.clips(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = corpus.command(&["in", "--jobs", "2"]).spawn().unwrap();
    is_at_work(&corpus);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!corpus.at("out/index.html").exists());
    corpus.ends(&["in", "--jobs", "2"], 0);
    assert!(corpus.leftovers().is_empty(), "what the killed run left is gone");
    let bytes = |folder: &str| {
        names.iter().map(|n| std::fs::read(corpus.at(&format!("{folder}/{n}.json"))).unwrap()).collect::<Vec<_>>()
    };
    let after_the_kill = bytes("out");
    std::fs::rename(corpus.at("out"), corpus.at("killed")).unwrap();
    corpus.ends(&["in", "--jobs", "1"], 0);
    assert_eq!(bytes("out"), after_the_kill);
}

#[test]
fn ctrl_c_finishes_what_is_at_work_and_a_second_one_stops_it() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4", "b.mp4", "c.mp4"]);
    ffmpeg("-stream_loop 30 -i assets/demo/demo.mp4 -c copy", &corpus.at("in/0long.mp4"));
    // The long one is at work when it is stopped.
    let child = corpus.command(&["in", "--jobs", "1"]).spawn().unwrap();
    is_at_work(&corpus);
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{talk}");
    assert!(talk.contains("Ctrl-C again") && talk.contains("run the same command again"), "{talk}");
    assert!(!corpus.at("out/0long.mp4.json").exists() && corpus.leftovers().is_empty());
    let left_off = |names: &[&str]| names.iter().map(|name| (format!("in/{name}"), 130)).collect::<BTreeMap<_, _>>();
    assert_eq!(corpus.reports_on(0, 4), left_off(&["0long.mp4", "a.mp4", "b.mp4", "c.mp4"]));
    // The short one is finished, the others are not begun.
    std::fs::remove_file(corpus.at("in/0long.mp4")).unwrap();
    let child = corpus.command(&["in", "--jobs", "1"]).spawn().unwrap();
    is_at_work(&corpus);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(Timeline::read(&corpus.at("out/a.mp4.json")).unwrap().complete);
    assert!(!corpus.at("out/c.mp4.json").exists());
    assert_eq!(corpus.reports_on(1, 3), left_off(&["b.mp4", "c.mp4"]));
    let child = corpus.command(&["in", "--jobs", "1"]).spawn().unwrap();
    signal(&child, "-TERM");
    let code = child.wait_with_output().unwrap().status.code();
    assert!(code == Some(143) || code.is_none(), "TERM stops at once: {code:?}");
    corpus.ends(&["in"], 0);
    assert!(corpus.reports_on(3, 3).is_empty());
}

#[test]
fn a_reason_in_failures_and_plans_names_the_option_that_helps() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4"]);
    corpus.ends(&["in", "--max-pixels", "1000"], 8);
    let planned =
        program().args(["plan", "in", "-o", "plan.jsonl", "--max-pixels", "1000"]).current_dir(corpus.at("")).output();
    assert!(planned.unwrap().status.success());
    for list in ["out/failures.json", "plan.jsonl"] {
        let text = std::fs::read_to_string(corpus.at(list)).unwrap();
        assert!(text.contains("larger than the limit of 1000 pixels (see --max-pixels)"), "{list}: {text}");
    }
}

#[test]
fn a_run_keeps_to_the_memory_it_is_given() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4", "b.mp4"]);
    let talk = corpus.ends(&["in", "--max-memory", "100"], 7);
    assert!(talk.contains("--max-memory 100") && talk.contains("needs"), "{talk}");
    assert!(!corpus.at("out/a.mp4.json").exists());
    let child = corpus.command(&["in", "--max-memory", "4321"]).spawn().unwrap();
    is_at_work(&corpus);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space")).unwrap();
    assert!(limit.trim().starts_with(&(4321_u64 << 20).to_string()), "{limit}");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_second_run_over_the_same_folder_is_told_to_wait() {
    let corpus = Corpus::new();
    ffmpeg("-stream_loop 5 -i assets/demo/demo.mp4 -c copy", &corpus.at("in/long.mp4"));
    let mut first = corpus.command(&["in"]).spawn().unwrap();
    is_at_work(&corpus);
    let talk = corpus.ends(&["in"], 75);
    assert!(talk.contains(&format!("process {}", first.id())), "{talk}");
    first.kill().unwrap();
    first.wait().unwrap();
    // A lock whose owner was killed holds nobody up.
    std::fs::remove_file(corpus.at("in/long.mp4")).unwrap();
    corpus.clips(&["short.mp4"]);
    corpus.ends(&["in"], 0);
}

#[test]
fn what_takes_all_memory_fails_alone_and_the_others_go_on() {
    let corpus = Corpus::new();
    corpus.clips(&["c.mp4"]);
    corpus.ends(&["in"], 0);
    corpus.clips(&["a.mp4", "b.mp4", "d.mp4"]);
    // The log of a run that ended for want of memory: first with two at work, then with one of them by itself.
    let log = corpus.at("out/run.jsonl");
    let begin = std::fs::read_to_string(&log).unwrap().lines().next().unwrap().to_owned();
    let start = |output: &str, alone: bool| {
        serde_json::json!({"event": "start", "time": "2026-01-01T00:00:00Z", "output": output, "alone": alone})
            .to_string()
    };
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    writeln!(file, "{begin}\n{}\n{}", start("a.mp4", true), start("b.mp4", false)).unwrap();
    let talk = corpus.ends(&["in", "--memory-ended"], 8);
    assert!(talk.contains("in/a.mp4: the memory does not suffice for it") && talk.contains("3 of 4"), "{talk}");
    assert_eq!(corpus.failures(), [("in/a.mp4".to_string(), 7)].into());
    assert!(["b", "c", "d"].iter().all(|name| corpus.at(&format!("out/{name}.mp4.json")).is_file()));
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last_start = |output: &str| lines.iter().rfind(|l| l["event"] == "start" && l["output"] == output).unwrap();
    assert_eq!(last_start("b.mp4")["alone"], true, "what was at work is tried by itself");
    // Another day, with more memory, it is tried again.
    corpus.ends(&["in"], 0);
    assert_eq!(corpus.worked_on(), 1);
}

#[test]
fn review_pages_are_written_and_are_results_like_others() {
    let corpus = Corpus::new();
    corpus.clips(&["sub/a.mp4"]);
    let talk = corpus.ends(&["in", "-f", "csv", "--review"], 2);
    assert!(talk.contains("--review needs the format json"), "{talk}");
    corpus.ends(&["in", "--review"], 0);
    let mut alone = program();
    alone.args(["review", "out/sub/a.mp4.json", "-o", "out/sub/alone.html"]).current_dir(corpus.folder.path());
    assert!(alone.output().unwrap().status.success());
    let page = |name: &str| std::fs::read(corpus.at("out/sub").join(name)).unwrap();
    assert!(page("a.mp4.html") == page("alone.html"), "it is the page of the plain command");
    let index = std::fs::read_to_string(corpus.at("out/index.html")).unwrap();
    assert!(index.contains("href=\"./sub/a.mp4.html\""), "{index}");
    corpus.ends(&["in", "--review"], 0);
    assert_eq!(corpus.worked_on(), 0, "the page is there");
    std::fs::remove_file(corpus.at("out/sub/a.mp4.html")).unwrap();
    corpus.ends(&["in", "--review"], 0);
    assert!(corpus.at("out/sub/a.mp4.html").is_file());
    // What ELAN writes when somebody looks at a document is no change.
    corpus.ends(&["in", "-f", "json,eaf"], 0);
    std::fs::write(corpus.at("out/sub/a.mp4.pfsx"), "<preferences version=\"1.1\"/>").unwrap();
    let talk = corpus.ends(&["in", "-f", "json,eaf"], 0);
    assert!(!talk.contains("changed since"), "{talk}");
}

/// Writes a model that calls everything anger as far as `offset` says, whose logits are divided by `temperature`.
fn angry_model(folder: &Path, offset: f32, temperature: f32) {
    let (mut config, mut weights) = annotate::model::registry::weights(Path::new("default")).unwrap();
    let bias = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, offset];
    let bias = candle_core::Tensor::new(bias.as_slice(), &candle_core::Device::Cpu).unwrap();
    weights.insert("classifier.bias".into(), bias);
    let bytes = annotate::model::write_tensors(&weights, false).unwrap();
    (config.name, config.sha256) = ("angry".into(), annotate::files::sha256(&bytes));
    config.temperature = temperature;
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model.safetensors"), &bytes).unwrap();
    std::fs::write(folder.join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
}

#[test]
fn another_model_annotates_again_and_a_page_says_which_labels_moved() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4", "sub/b.mp4"]);
    let talk = corpus.ends(&["in", "--review"], 0);
    assert!(!corpus.at("out/moved.html").exists() && !talk.contains("another model"), "nothing was annotated before");
    let before = Timeline::read(&corpus.at("out/a.mp4.json")).unwrap();
    angry_model(&corpus.at("angry"), 1e3, 1.0);

    // What a person has changed stays, and is not compared.
    let touched = corpus.at("out/sub/b.mp4.json");
    let mut text = std::fs::read_to_string(&touched).unwrap();
    text.push(' ');
    std::fs::write(&touched, &text).unwrap();
    let talk = corpus.ends(&["in", "--review", "--model", "angry"], 8);
    let said = format!("2 of 2 videos to do were annotated with another model, '{}'", before.model.name);
    assert!(talk.contains(&said) && talk.contains("moved.html: which labels"), "{talk}");
    assert_eq!(std::fs::read_to_string(&touched).unwrap(), text);
    let labels: Vec<_> = before.tracks[0].frames.iter().filter_map(|record| record.label).collect();
    assert!(labels.len() > 10, "{labels:?}");
    let page = std::fs::read_to_string(corpus.at("out/moved.html")).unwrap();
    assert!(page.contains(&format!("{} of {} labels are others now", labels.len(), labels.len())), "{page}");
    assert!(page.contains("./a.mp4.html#frame=") && page.contains("angry") && !page.contains("b.mp4"), "{page}");
    let mut table = csv::Reader::from_path(corpus.at("out/moved.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let frames: usize =
        rows.iter().map(|row| row[3].parse::<usize>().unwrap() - row[2].parse::<usize>().unwrap() + 1).sum();
    assert_eq!(frames, labels.len(), "every frame of the only signer moved");
    assert!(rows.iter().all(|row| &row[0] == "a.mp4" && &row[7] == "anger"), "{rows:?}");

    // The same command annotates nothing again, and the page stays.
    let talk = corpus.ends(&["in", "--review", "--model", "angry"], 8);
    assert!(!talk.contains("to do were annotated with another model"), "{talk}");
    assert!(std::fs::read_to_string(corpus.at("out/moved.html")).unwrap() == page);
}

#[test]
fn a_model_that_is_only_calibrated_otherwise_is_another_model() {
    let corpus = Corpus::new();
    corpus.clips(&["a.mp4"]);
    angry_model(&corpus.at("angry"), 0.5, 1.0);
    corpus.ends(&["in", "--model", "angry"], 0);
    corpus.ends(&["in", "--model", "angry"], 0);
    assert_eq!(corpus.worked_on(), 0);
    let probabilities = || {
        let timeline = Timeline::read(&corpus.at("out/a.mp4.json")).unwrap();
        timeline.tracks[0].frames.iter().map(|record| record.probabilities).collect::<Vec<_>>()
    };
    let before = probabilities();
    angry_model(&corpus.at("angry"), 0.5, 3.0);
    let talk = corpus.ends(&["in", "--model", "angry"], 0);
    assert_eq!(corpus.worked_on(), 1);
    assert!(talk.contains("1 of 1 videos to do were annotated with another model, 'angry'"), "{talk}");
    assert!(probabilities() != before && corpus.at("out/moved.html").is_file());

    // Machines that share a corpus notice it, too.
    let command = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).current_dir(corpus.folder.path()).stdin(Stdio::null()).output().unwrap()
    };
    let work = ["work", "plan.jsonl", "--out", "parts"];
    assert!(command(&["plan", "in", "--model", "angry", "-o", "plan.jsonl"]).status.success());
    assert!(command(&work).status.success());
    angry_model(&corpus.at("angry"), 0.5, 2.0);
    let refused = command(&work);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(5) && message.contains("plan again"), "{message}");
}

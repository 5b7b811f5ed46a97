//! A result that reaches nobody is an error: standard output that was closed, a pipe whose reader has gone, a full disk.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::material::{program, program_path};

/// Runs in a shell, with `redirection` behind the command.
fn with(arguments: &[&str], redirection: &str, folder: &Path) -> Output {
    let script = format!("exec \"$0\" \"$@\" {redirection}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(program_path()).args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).env("XDG_CONFIG_HOME", "/nonexistent").output().unwrap()
}

fn is_lost(output: &Output, what: &str) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{what}: {talk}");
    assert_eq!(talk.lines().count(), 1, "{what}: {talk}");
}

#[test]
fn a_result_that_nobody_gets_ends_with_6() {
    let folder = tempfile::tempdir().unwrap();
    let demo = std::fs::canonicalize("assets/demo/demo.mp4").unwrap();
    let demo = demo.to_str().unwrap();
    let whole = with(&[demo, "-q", "--end", "1", "-o", "l.json"], "", folder.path());
    assert_eq!(whole.status.code(), Some(0), "{}", String::from_utf8_lossy(&whole.stderr));
    let commands: [&[&str]; 6] = [
        &[demo, "-q", "--end", "1", "-o", "-"],
        &[demo, "-q", "--end", "1", "-o", "-.jsonl"],
        &[demo, "-q", "--end", "1", "-o", "m.json", "--json"],
        &["convert", "l.json", "-q", "-o", "-.csv"],
        &["agree", "l.json", "l.json", "--json"],
        &["schema"],
    ];
    for arguments in commands {
        for redirection in [">&-", "> /dev/full"] {
            is_lost(&with(arguments, redirection, folder.path()), &format!("{arguments:?} {redirection}"));
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output =
            program().args(arguments).current_dir(folder.path()).stdout(writer).stderr(Stdio::piped()).output();
        is_lost(&output.unwrap(), &format!("{arguments:?} into a pipe without a reader"));
    }
    // Nothing is lost where nothing goes there, and what is thrown away on purpose is not lost.
    for (arguments, redirection) in [
        (&["convert", "l.json", "-q", "-o", "c.csv"][..], ">&-"),
        (&["schema"], "> /dev/null"),
        (&["schema"], "1<> /dev/null"),
    ] {
        let output = with(arguments, redirection, folder.path());
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {redirection}");
    }
    // Whoever looks at the beginning of a text has seen enough.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program().args(["models", "list"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

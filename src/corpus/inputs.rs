//! What belongs to a corpus: folders, patterns, lists and single files, and the place of each file's results.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::CorpusError;
use super::path::printable;

/// Extensions of files that are taken for videos in folders, in lower case.
pub const EXTENSIONS: [&str; 33] = [
    "3g2", "3gp", "asf", "avi", "dv", "flv", "gif", "h264", "h265", "hevc", "ivf", "m2ts", "m2v", "m4v", "mj2", "mkv",
    "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "nut", "obu", "ogg", "ogv", "qt", "rm", "ts", "vob", "webm", "wmv",
    "y4m",
];
/// Extensions of files that are lists of videos.
const LISTS: [&str; 3] = ["list", "lst", "txt"];
/// A list of ten million names.
const LONGEST_LIST: u64 = 1 << 30;

/// One video of a corpus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Where its results go, without their extension, relative to the output folder: its place in the corpus and whole
    /// name.
    pub output: PathBuf,
    /// Where it is, as the person said it.
    pub path: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The videos, in order of their outputs.
    pub items: Vec<Item>,
    /// What cannot be looked at, and why.
    pub refused: Vec<(PathBuf, String)>,
    /// Files in folders that are no videos by their names.
    pub ignored: usize,
}

/// Finds the videos that `arguments` name: a folder stands for everything in it (`outside` excepted), a pattern for what
/// fits it, a `.txt`, `.lst` or `.list` for the names in it (one a line, or with zero bytes between them), `-` for a
/// list on standard input, and anything else for itself.
///
/// # Errors
/// If a list cannot be read, or two videos' results would have one name.
pub fn find(arguments: &[PathBuf], outside: &Path) -> Result<Inputs, CorpusError> {
    let mut found = Inputs::default();
    let mut items: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut add = |item: Item| {
        if !seen.insert((item.output.clone(), item.path.clone())) {
            return Ok(());
        }
        match items.insert(item.output.clone(), item.path.clone()) {
            Some(other) if other != item.path => Err(CorpusError::Usage(format!(
                "{} and {}: their results would have one name, {}; run them into two folders",
                printable(&other),
                printable(&item.path),
                printable(&item.output),
            ))),
            _ => Ok(()),
        }
    };
    let outside = outside.canonicalize().ok();
    let is_alone = arguments.len() == 1;
    for argument in arguments {
        if argument.is_dir() {
            let base = if is_alone { PathBuf::new() } else { mirrored(argument) };
            walk(argument, &base, outside.as_deref(), &mut found, &mut add)?;
        } else if argument == Path::new("-") || is_list(argument) {
            for path in list(argument)? {
                if path.is_dir() {
                    let base = mirrored(&path);
                    walk(&path, &base, outside.as_deref(), &mut found, &mut add)?;
                } else {
                    add(Item { output: mirrored(&path), path })?;
                }
            }
        } else if let Some(pattern) = pattern(argument) {
            let paths = glob::glob(pattern).map_err(|e| CorpusError::Usage(format!("{pattern}: {e}")))?;
            for path in paths.filter_map(Result::ok).filter(|path| !path.is_dir()) {
                add(Item { output: mirrored(&path), path })?;
            }
        } else {
            add(Item { output: mirrored(argument), path: argument.clone() })?;
        }
    }
    found.items = items.into_iter().map(|(output, path)| Item { output, path }).collect();
    Ok(found)
}

/// Everything below `folder` that is a video by its name; links are followed, but never in a circle.
fn walk(
    folder: &Path,
    base: &Path,
    outside: Option<&Path>,
    found: &mut Inputs,
    add: &mut impl FnMut(Item) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    let is_hidden = |name: &OsStr| name.as_bytes().starts_with(b".");
    let wanted = |entry: &walkdir::DirEntry| {
        let is_outside = || outside.is_some() && entry.path().canonicalize().ok().as_deref() == outside;
        entry.depth() == 0 || !(is_hidden(entry.file_name()) || entry.file_type().is_dir() && is_outside())
    };
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(wanted) {
        let entry = match entry {
            Ok(entry) => entry,
            // A link back to a folder above: what is there is found anyway.
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                // A dangling link to a video is one that is missing.
                if path.is_symlink() && !is_video(&path) {
                    found.ignored += 1;
                } else {
                    found.refused.push((path, reason));
                }
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        if !is_video(entry.path()) {
            found.ignored += 1;
            continue;
        }
        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        add(Item { output: base.join(below), path: entry.path().into() })?;
    }
    Ok(())
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| known.contains(&extension.as_str()))
}

fn is_video(path: &Path) -> bool {
    has_extension(path, &EXTENSIONS)
}

fn is_list(path: &Path) -> bool {
    has_extension(path, &LISTS) && path.is_file()
}

/// `path` where it holds a wild card and is no file itself.
fn pattern(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains(['*', '?', '[']) && !path.exists())
}

/// The names in a list: with zero bytes between them where there are any, else one a line.
fn list(path: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let bytes = match path == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            std::io::stdin().take(LONGEST_LIST).read_to_end(&mut bytes).map(|_| bytes)
        }
        false => crate::files::read(path, LONGEST_LIST),
    };
    let bytes = bytes.map_err(|e| CorpusError::Input { path: printable(path), reason: e.to_string() })?;
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let names = bytes.split(|byte| *byte == separator).map(|name| match separator {
        0 => name,
        _ => name.strip_suffix(b"\r").unwrap_or(name),
    });
    Ok(names.filter(|name| !name.is_empty()).map(|name| OsString::from_vec(name.into()).into()).collect())
}

/// Where the results of a video that was named by itself go: its path as it was said, or its full path without the
/// leading slash where that would lead out of the output folder.
fn mirrored(path: &Path) -> PathBuf {
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    let path = if goes_up { std::path::absolute(path).map(cleaned).unwrap_or_default() } else { path.into() };
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// Without `..`, by the letter.
fn cleaned(path: PathBuf) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }

    fn outputs(inputs: &Inputs) -> Vec<String> {
        inputs.items.iter().map(|item| item.output.display().to_string()).collect()
    }

    #[test]
    fn a_folder_is_searched_to_the_bottom_and_its_own_outputs_are_not_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in
            ["b.MP4", "a.mov", "sub/ä b.mkv", "sub/notes.txt", ".hidden.mp4", "out/old.mp4", "-x.webm", "n\nl.ts"]
        {
            touch(&at(name));
        }
        std::os::unix::fs::symlink(folder.path(), at("sub/circle")).unwrap();
        std::os::unix::fs::symlink(at("a.mov"), at("link.mov")).unwrap();
        std::os::unix::fs::symlink("nowhere.mp4", at("gone.mp4")).unwrap();
        let found = find(&[folder.path().into()], &at("out")).unwrap();
        assert_eq!(outputs(&found), ["-x.webm", "a.mov", "b.MP4", "link.mov", "n\nl.ts", "sub/ä b.mkv"]);
        assert_eq!(found.ignored, 1);
        assert_eq!(found.refused.len(), 1);
        assert!(found.refused[0].0.ends_with("gone.mp4"));
    }

    #[test]
    fn lists_hold_names_by_lines_or_by_zero_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("lines.txt"), "a.mp4\r\nb/c.mp4\n\n/d/e.mp4\n../f.mp4\n").unwrap();
        let found = find(&[at("lines.txt")], Path::new("out")).unwrap();
        let up = mirrored(Path::new("../f.mp4")).display().to_string();
        assert!(!up.contains(".."));
        let mut expected = vec!["a.mp4".to_string(), "b/c.mp4".into(), "d/e.mp4".into(), up];
        expected.sort();
        assert_eq!(outputs(&found), expected);
        std::fs::write(at("zero.lst"), b"new\nline.mp4\0\xff.mp4\0").unwrap();
        let found = find(&[at("zero.lst")], Path::new("out")).unwrap();
        let names: Vec<&[u8]> = found.items.iter().map(|item| item.path.as_os_str().as_bytes()).collect();
        assert_eq!(names, [&b"new\nline.mp4"[..], b"\xff.mp4"]);
    }

    #[test]
    fn two_videos_never_share_their_results() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        ["a.mp4", "a.mov", "x/a.mp4"].into_iter().for_each(|name| touch(&at(name)));
        let found = find(&[folder.path().into()], Path::new("out")).unwrap();
        assert_eq!(outputs(&found), ["a.mov", "a.mp4", "x/a.mp4"]);
        let list = at("list.txt");
        std::fs::write(&list, "q/a.mp4\n./q/a.mp4\n").unwrap();
        assert!(matches!(find(&[list], Path::new("out")), Err(CorpusError::Usage(_))));
    }

    #[test]
    fn a_pattern_is_a_name_where_there_is_such_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        ["a.mp4", "b.mp4", "c[1].mp4"].into_iter().for_each(|name| touch(&at(name)));
        assert_eq!(find(&[at("*.mp4")], Path::new("out")).unwrap().items.len(), 3);
        assert_eq!(find(&[at("c[1].mp4")], Path::new("out")).unwrap().items.len(), 1);
    }
}

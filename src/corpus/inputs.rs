//! What belongs to a corpus: folders, patterns, lists and single files, and where each file's results go.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::CorpusError;
use super::content::begins_like_a_video;
use super::path::shortened;
use crate::files;
use crate::platform::{name_bytes, name_from_bytes};

/// Extensions of files that are taken for videos in folders, in lower case.
pub const EXTENSIONS: [&str; 67] = [
    "264", "265", "3g2", "3gp", "3gp2", "3gpp", "amv", "asf", "av1", "avc", "avi", "divx", "dv", "evo", "f4v", "flv",
    "gif", "h264", "h265", "hevc", "insv", "ivf", "lrv", "m1v", "m2p", "m2t", "m2ts", "m2v", "m4v", "mj2", "mjpeg",
    "mjpg", "mk3d", "mkv", "mov", "mp2v", "mp4", "mp4v", "mpe", "mpeg", "mpg", "mpg2", "mpg4", "mpv", "mts", "mxf",
    "nut", "obu", "ogg", "ogm", "ogv", "ogx", "qt", "rm", "rmvb", "tp", "trp", "ts", "tts", "vob", "vro", "webm", "wm",
    "wmv", "wtv", "xvid", "y4m",
];
/// Extensions of sounds and pictures, some of which begin like videos.
const NO_VIDEOS: [&str; 38] = [
    "aac", "ac3", "aif", "aiff", "amr", "ape", "avif", "bmp", "dts", "eac3", "flac", "heic", "heif", "ico", "jp2",
    "jpeg", "jpg", "jxl", "m4a", "m4b", "mka", "mp2", "mp3", "oga", "opus", "pcm", "png", "ra", "spx", "svg", "tif",
    "tiff", "voc", "wav", "weba", "webp", "wma", "wv",
];
/// Extensions of files that are lists of videos.
const LISTS: [&str; 3] = ["list", "lst", "txt"];
/// A list of ten million names.
pub const LONGEST_LIST: u64 = 1 << 30;

/// One video of a corpus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Where its results go, without their extension, relative to the output folder: its path in the corpus with its
    /// whole name.
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
    /// Files and folders within folders that are left out, and why.
    pub left_out: Vec<(PathBuf, String)>,
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
        let item = Item { output: shortened(&item.output), ..item };
        if !seen.insert((item.output.clone(), item.path.clone())) {
            return Ok(());
        }
        match items.insert(item.output.clone(), item.path.clone()) {
            Some(first) if first != item.path => {
                Err(CorpusError::SharedName { first, second: item.path, output: item.output })
            }
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
            let paths = glob::glob(pattern)
                .map_err(|e| CorpusError::Pattern { pattern: pattern.into(), reason: e.to_string() })?;
            for path in paths.filter_map(Result::ok).filter(|path| !path.is_dir()) {
                add(Item { output: mirrored(&path), path })?;
            }
        } else {
            add(Item { output: mirrored(argument), path: argument.clone() })?;
        }
    }
    for (output, path) in items {
        // A pipe has no content that could be named in a log, and its other end may never come.
        match path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            true => found.refused.push((path, "it is no ordinary file".into())),
            false => found.items.push(Item { output, path }),
        }
    }
    Ok(found)
}

/// Everything below `folder` that is a video by its ending or its beginning; links are followed, but never in a circle.
fn walk(
    folder: &Path,
    base: &Path,
    outside: Option<&Path>,
    found: &mut Inputs,
    add: &mut impl FnMut(Item) -> Result<(), CorpusError>,
) -> Result<(), CorpusError> {
    let is_outside = |path: &Path| outside.is_some() && path.canonicalize().ok().as_deref() == outside;
    let mut entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            // A link back to a folder above: what is there is found anyway.
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                // A dangling link to a video is one that is missing.
                match path.is_symlink() && !is_video(&path) {
                    true => found.left_out.push((path, reason)),
                    false => found.refused.push((path, reason)),
                }
                continue;
            }
        };
        let (path, is_folder) = (entry.path(), entry.file_type().is_dir());
        if entry.depth() > 0 && name_bytes(entry.file_name()).starts_with(b".") {
            if entry.file_name() != files::LEDGER {
                found.left_out.push((path.into(), "it is hidden: its name begins with a dot".into()));
            }
            if is_folder {
                entries.skip_current_dir();
            }
        } else if is_folder {
            if entry.depth() > 0 && is_outside(path) {
                entries.skip_current_dir();
            }
        } else if let Some(reason) = why_no_video(path, entry.file_type().is_file()) {
            found.left_out.push((path.into(), reason.into()));
        } else {
            let below = path.strip_prefix(folder).unwrap_or(path);
            add(Item { output: base.join(below), path: path.into() })?;
        }
    }
    Ok(())
}

/// Why a file in a folder is not taken for a video; nothing where it is.
fn why_no_video(path: &Path, is_file: bool) -> Option<&'static str> {
    match is_video(path) {
        true => None,
        _ if !is_file => Some("it is no ordinary file"),
        _ if has_extension(path, &NO_VIDEOS) => Some("it is a sound or a picture by its ending"),
        _ if begins_like_a_video(path) => None,
        _ => Some("neither its ending nor its first bytes are those of a video"),
    }
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
    let bytes = bytes.map_err(|e| CorpusError::Input { path: path.into(), reason: e.to_string() })?;
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let names = bytes.split(|byte| *byte == separator).map(|name| match separator {
        0 => name,
        _ => name.strip_suffix(b"\r").unwrap_or(name),
    });
    Ok(names.filter(|name| !name.is_empty()).map(|name| name_from_bytes(name.into()).into()).collect())
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
        let left_out: Vec<&str> = found.left_out.iter().filter_map(|(path, _)| path.file_name()?.to_str()).collect();
        assert_eq!(left_out, [".hidden.mp4", "notes.txt"]);
        assert_eq!(found.refused.len(), 1);
        assert!(found.refused[0].0.ends_with("gone.mp4"));
    }

    #[test]
    fn camera_files_are_videos_and_files_without_a_known_ending_are_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let names = ["MOV001.MOD", "a.TOD", "recovered", "clip.mp4.download", "music.MOD", "thesis", "sound.m4a"];
        names.into_iter().for_each(|name| touch(&at(name)));
        for name in ["MOV001.MOD", "a.TOD"] {
            std::fs::write(at(name), b"\0\0\x01\xba and pictures").unwrap();
        }
        for name in ["recovered", "clip.mp4.download", "sound.m4a"] {
            std::fs::write(at(name), b"\0\0\0\x20ftypisom").unwrap();
        }
        for name in ["t.m2t", "b.MTS", "c.3gpp", "GOPR1.LRV", "f.f4v", "m.mpe", "w.wtv"] {
            touch(&at(name));
        }
        let found = find(&[folder.path().into()], Path::new("out")).unwrap();
        let expected = ["GOPR1.LRV", "MOV001.MOD", "a.TOD", "b.MTS", "c.3gpp", "clip.mp4.download", "f.f4v", "m.mpe"];
        assert_eq!(outputs(&found), [&expected[..], &["recovered", "t.m2t", "w.wtv"]].concat());
        let left_out: Vec<&str> = found.left_out.iter().filter_map(|(path, _)| path.file_name()?.to_str()).collect();
        assert_eq!(left_out, ["music.MOD", "sound.m4a", "thesis"]);
        assert!(found.left_out.iter().all(|(_, reason)| !reason.is_empty()));
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for_and_the_longest_name_has_room_for_its_results() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("pipe.mp4")).status().unwrap().success());
        let longest = |letter: &str| format!("{}{letter}.mp4", "ü".repeat(125));
        for letter in ["a", "b"] {
            touch(&at(&longest(letter)));
        }
        let found = find(&[folder.path().into()], Path::new("out")).unwrap();
        assert_eq!(found.refused[0].0, at("pipe.mp4"));
        assert_eq!(found.items.len(), 2);
        assert_ne!(found.items[0].output, found.items[1].output);
        assert!(found.items.iter().all(|item| item.output.as_os_str().len() + ".segments.tsv".len() <= 255));
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
        let names: Vec<&[u8]> = found.items.iter().map(|item| name_bytes(item.path.as_os_str())).collect();
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
        assert!(matches!(find(&[list], Path::new("out")), Err(CorpusError::SharedName { .. })));
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

//! Where a document's video is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::annotation::AnnotationDocument;
use super::left_out::Reason;
use super::stills::{self, Stills};
use crate::corpus::inputs::EXTENSIONS;
use crate::eaf::percent_decoded;

/// Below this the folder of `--media` is not followed.
const DEEPEST: usize = 16;
/// Places that a message names.
const NAMED: usize = 6;

/// Finds videos; knows the folder that holds them, where one was named.
pub(super) struct MediaFinder {
    /// Videos below the folder of media, in order of their paths.
    below: Vec<PathBuf>,
    /// Videos of which only pictures lie there.
    stills: BTreeMap<String, Stills>,
}

/// What there is of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FoundMedia {
    /// The video.
    Video(PathBuf),
    /// Pictures of the video that is called so.
    Stills(String, Stills),
}

impl MediaFinder {
    /// Looks into `folder`.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        let entries = folder.into_iter().flat_map(|folder| {
            WalkDir::new(folder).max_depth(DEEPEST).follow_links(true).sort_by_file_name().into_iter()
        });
        let files = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
        let files: Vec<PathBuf> = files.map(walkdir::DirEntry::into_path).collect();
        let stills = stills::by_video(&files);
        Self { below: files.into_iter().filter(|path| is_video(path)).collect(), stills }
    }

    /// The video of `document`: as its path or URL says, as seen from the document, beside it, or below the folder of media; or
    /// pictures of it there.
    pub(super) fn find(&self, document: &AnnotationDocument) -> Result<FoundMedia, Reason> {
        let mut tried: Vec<String> = Vec::new();
        for named in &document.media {
            let written = decoded(named.strip_prefix("file://").unwrap_or(named));
            // A recording of the sound belongs to it as well.
            if Path::new(&written)
                .extension()
                .is_some_and(|e| ["wav", "mp3", "xml"].contains(&&*e.to_ascii_lowercase().to_string_lossy()))
            {
                continue;
            }
            let folder = document.path.parent().unwrap_or(Path::new(""));
            let name = written.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
            // ELAN puts three slashes before paths of Windows too.
            let candidates = [
                PathBuf::from(&written),
                PathBuf::from(format!("/{}", written.trim_start_matches('/'))),
                folder.join(&written),
                folder.join(&name),
            ];
            if let Some(found) = candidates
                .iter()
                .find(|candidate| candidate.is_file() && **candidate != document.path && is_video(candidate))
            {
                return Ok(FoundMedia::Video(found.clone()));
            }
            if let Some(found) = with_ending(&folder.join(&name)) {
                return Ok(FoundMedia::Video(found));
            }
            let is_it = |path: &&PathBuf| {
                let stem = path.file_stem().is_some_and(|stem| stem.to_string_lossy() == name);
                stem || path.file_name().is_some_and(|file| file.to_string_lossy() == name)
            };
            if let Some(found) = self.below.iter().find(is_it) {
                return Ok(FoundMedia::Video(found.clone()));
            }
            if let Some((video, stills)) = self.stills.get_key_value(stills::video_of(&name)) {
                return Ok(FoundMedia::Stills(video.clone(), stills.clone()));
            }
            if !tried.contains(&name) {
                tried.push(name);
            }
        }
        tried.truncate(NAMED);
        let tried =
            if tried.is_empty() { "nothing, as none is named".to_owned() } else { format!("'{}'", tried.join("', '")) };
        Err(Reason::NoMedia(tried))
    }
}

fn is_video(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// The video that has this name and one of the endings of videos.
fn with_ending(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let entries =
        std::fs::read_dir(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))).ok()?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_video(path) && path.file_stem().is_some_and(|stem| stem.to_string_lossy() == name))
        .collect();
    found.sort();
    found.into_iter().next()
}

/// A path as it is, or where it does not exist and holds percent signs, without its encoding.
fn decoded(path: &str) -> String {
    if !path.contains('%') || Path::new(path).exists() {
        return path.to_owned();
    }
    String::from_utf8(percent_decoded(path)).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &Path, media: &[&str]) -> AnnotationDocument {
        let media = media.iter().map(|m| (*m).to_owned()).collect();
        AnnotationDocument { path: path.into(), media, tiers: Vec::new(), timeline: None }
    }

    #[test]
    fn a_video_is_found_by_url_beside_relative_and_in_the_folder_of_media() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("videos/deep")).unwrap();
        std::fs::create_dir_all(root.join("eaf")).unwrap();
        for name in ["videos/a b.mp4", "videos/deep/c.mov", "eaf/d.mp4", "eaf/sound.wav"] {
            std::fs::write(root.join(name), "x").unwrap();
        }
        let eaf = root.join("eaf/x.eaf");
        let found = |media: &MediaFinder, named: &[&str]| -> Result<PathBuf, Reason> {
            match media.find(&document(&eaf, named))? {
                FoundMedia::Video(path) => Ok(path),
                FoundMedia::Stills(..) => panic!("there are no pictures"),
            }
        };
        let none = MediaFinder::new(None);
        let media = MediaFinder::new(Some(&root.join("videos")));
        let url = format!("file://{}/videos/a%20b.mp4", root.display());
        assert_eq!(found(&none, &[&url]), Ok(root.join("videos/a b.mp4")));
        let relative = found(&none, &["file:///C:/gone/a b.mp4", "../videos/a b.mp4"]).unwrap();
        assert_eq!(relative.canonicalize().unwrap(), root.canonicalize().unwrap().join("videos/a b.mp4"));
        assert_eq!(
            found(&none, &["file:///C:/Users/me/sound.wav", "file:///C:/Users/me/d.mp4"]),
            Ok(root.join("eaf/d.mp4"))
        );
        assert_eq!(found(&none, &["d"]), Ok(root.join("eaf/d.mp4")), "a name without its ending");
        assert_eq!(found(&media, &["file:///D:\\x\\c.mov"]), Ok(root.join("videos/deep/c.mov")));
        let missing = found(&none, &["file:///x/gone.mp4"]).unwrap_err();
        assert_eq!(missing, Reason::NoMedia("'gone.mp4'".into()));
    }
}

//! Links from a document to its files, as ELAN 6.9 follows them.
//!
//! ELAN puts `file:///` before a raw path and never decodes one, so nothing is encoded here. The configuration of curves is
//! the exception: its raw path goes to ELAN's XML parser, which takes it for a URL and fails at any character that a URL
//! may not hold; the curves are then missing without a word. So its name is made of plain characters. Where a folder above
//! it has others, the link is written `FILE:///`, which ELAN hands on untouched (both tried in the running program).

use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

/// What ELAN recognises a configuration of curves by.
pub(super) const CONFIGURATION: &str = "_tsconf.xml";

/// A file that belongs to the document: a video, or curves.
pub(super) struct Linked {
    /// Absolute.
    pub url: String,
    /// From the document's folder.
    pub relative_url: String,
    /// As ELAN names it.
    pub mime_type: &'static str,
}

impl Linked {
    /// `file` as seen from the document in `folder`; both exist. A file that is a link keeps its own name: what it leads to in
    /// a store (git-annex, DataLad) is called by its checksum.
    pub(super) fn new(file: &Path, folder: &Path, mime_type: &'static str) -> Self {
        let relative_url = relative_path(file, folder).to_string_lossy().into_owned();
        Self { url: raw_url(&absolute(file)), relative_url, mime_type }
    }

    /// The file called `name` beside the document in `folder`; the folder exists.
    pub(super) fn beside(name: &str, folder: &Path, mime_type: &'static str) -> Self {
        let url = format!("{}/{name}", raw_url(&absolute(folder)).trim_end_matches('/'));
        Self { url, relative_url: format!("./{name}"), mime_type }
    }

    /// The configuration of curves called `name` beside the document in `folder`.
    pub(super) fn configuration(name: &str, folder: &Path) -> Self {
        let mut linked = Self::beside(name, folder, "text/xml");
        if let Some(rest) = linked.url.strip_prefix("file://").filter(|rest| !is_plain(rest)) {
            linked.url = format!("FILE://{rest}");
        }
        linked
    }
}

fn raw_url(path: &Path) -> String {
    format!("file:///{}", path.to_string_lossy().trim_start_matches('/'))
}

/// Whether ELAN's XML parser takes a raw path with these characters for itself.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii() && !c.is_ascii_control() && !"#?\"<>[]^{}|".contains(c))
}

/// What a person should know about curves below `folder`: `None` where ELAN finds them come what may.
pub(super) fn warning(folder: &Path) -> Option<&'static str> {
    let text = absolute(folder).to_string_lossy().into_owned();
    match is_plain(&text) {
        true => None,
        // A URL ends at these.
        false if text.contains(['#', '?']) => Some(
            "ELAN shows no curves from a folder with '#' or '?' in its path; rename the folder and write the .eaf again",
        ),
        false => Some(
            "the folder's path has letters that ELAN's reader of curves cannot follow: the curves show while the files stay \
             here, but not after ELAN has saved the document and the folder was moved; a path of plain letters avoids that",
        ),
    }
}

/// The name of the configuration for a document called `stem`: plain characters, and different for different documents.
pub(super) fn configuration_name(stem: &str) -> String {
    if is_plain(stem) {
        return format!("{stem}{CONFIGURATION}");
    }
    let plain: String = stem.chars().map(|c| if is_plain(c.encode_utf8(&mut [0; 4])) { c } else { '_' }).collect();
    let digest = Sha256::digest(stem.as_bytes());
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{plain}-{digest}{CONFIGURATION}")
}

/// The last part of a URL or path, of either kind of system.
pub(super) fn file_name(url: &str) -> &str {
    url.rsplit(['/', '\\']).next().unwrap_or_default()
}

/// The absolute path under which people know `path`: links are not followed, unless `..` stands behind one.
fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    if !absolute.components().any(|part| part == Component::ParentDir) {
        return absolute;
    }
    match (absolute.parent().and_then(|parent| parent.canonicalize().ok()), absolute.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => absolute.canonicalize().unwrap_or(absolute),
    }
}

/// `file` as seen from `folder`, beginning with a dot; a link keeps its own name.
pub(crate) fn relative_path(file: &Path, folder: &Path) -> PathBuf {
    let (file, folder) = (absolute(file), absolute(folder));
    if let Ok(below) = file.strip_prefix(&folder) {
        return Path::new(".").join(below);
    }
    // On the way up, a link leads elsewhere than its name says: the folders themselves are compared.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
    let parent = real(file.parent().unwrap_or(Path::new("/")));
    relative(&parent.join(file.file_name().unwrap_or_default()), &real(&folder))
}

/// `file` from `folder`, both absolute, beginning with a dot.
fn relative(file: &Path, folder: &Path) -> PathBuf {
    let shared = file.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().count() - shared;
    let mut path = if up == 0 { PathBuf::from(".") } else { PathBuf::new() };
    path.extend(std::iter::repeat_n("..", up));
    path.extend(file.components().skip(shared));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_go_up_and_down() {
        let from = |file: &str, folder: &str| relative(Path::new(file), Path::new(folder)).display().to_string();
        assert_eq!(from("/a/b/c.mp4", "/a/b"), "./c.mp4");
        assert_eq!(from("/a/b/c.mp4", "/a/d/e"), "../../b/c.mp4");
        assert_eq!(from("/a/b/c.mp4", "/"), "./a/b/c.mp4");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_keeps_its_name_and_the_way_up_is_the_real_one() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for made in ["store/x", "work/videos", "work/labels"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        std::fs::write(root.join("store/x/sha256-0.mp4"), "").unwrap();
        let named = root.join("work/videos/session 1.mp4");
        symlink(root.join("store/x/sha256-0.mp4"), &named).unwrap();
        let from = |folder: &str| relative_path(&named, &root.join(folder)).display().to_string();
        assert_eq!(from("work/videos"), "./session 1.mp4");
        assert_eq!(from("work/labels"), "../videos/session 1.mp4");
        assert_eq!(from("work/labels/../videos"), "./session 1.mp4");
        let linked = Linked::new(&named, &root.join("work/labels"), "video/mp4");
        assert!(linked.url.ends_with("/work/videos/session 1.mp4"), "{}", linked.url);
        // A folder that is a link: what lies in it is found by its name, and from it one goes up in the store.
        symlink(root.join("store/x"), root.join("work/here")).unwrap();
        let below = relative_path(&root.join("work/here/sha256-0.mp4"), &root.join("work"));
        assert_eq!(below, Path::new("./here/sha256-0.mp4"));
        let up = relative_path(&named, &root.join("work/here"));
        assert_eq!(up, Path::new("../../work/videos/session 1.mp4"));
    }

    #[test]
    fn the_configurations_name_is_plain_and_each_documents_own() {
        assert_eq!(configuration_name("x 1"), "x 1_tsconf.xml");
        let names = ["Gebärde", "Gebörde", "a#1", "a?1", "日本"].map(configuration_name);
        assert!(names.iter().all(|name| is_plain(name) && name.ends_with(CONFIGURATION)), "{names:?}");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn a_folder_that_a_url_cannot_hold_gets_elans_other_form_and_a_warning() {
        let url = |folder: &str| Linked::configuration("x_tsconf.xml", Path::new(folder)).url;
        assert_eq!(url("/a b/c"), "file:///a b/c/x_tsconf.xml");
        assert_eq!(url("/Gebärde"), "FILE:///Gebärde/x_tsconf.xml");
        assert_eq!(warning(Path::new("/a b/c")), None);
        assert!(warning(Path::new("/Gebärde")).unwrap().contains("moved"));
        assert!(warning(Path::new("/a#b")).unwrap().contains("no curves"));
    }
}

//! The review page of an annotation as it is made without options, and the video that it shows.

use std::path::{Path, PathBuf};

use super::Page;
use crate::eaf::relative_path;
use crate::files::{OutputOptions, WriteError};
use crate::timeline::Timeline;

/// Writes a page over `labels`, the file that holds `timeline`.
///
/// # Errors
/// If it cannot be written.
pub fn write_plain_page(
    timeline: &Timeline,
    labels: &Path,
    output: &Path,
    existing: OutputOptions,
) -> Result<(), WriteError> {
    let page = Page {
        timeline,
        labels: labels.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        video_url: relative_url(&video_of(timeline, labels), output),
        start_s: timeline.media.start_s,
        blind: None,
        human: Vec::new(),
        language: None,
    };
    existing.put(output, |out| page.write(out))
}

/// The annotated video: where it was when it was annotated, or else beside the annotation.
pub fn video_of(timeline: &Timeline, labels: &Path) -> PathBuf {
    let named = PathBuf::from(&timeline.media.path);
    let beside = labels.with_file_name(named.file_name().unwrap_or_default());
    if !named.is_file() && beside.is_file() { beside } else { named }
}

/// A file's URL as seen from the page.
pub fn relative_url(file: &Path, page: &Path) -> String {
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let relative = relative_path(file, folder);
    let mut url = String::new();
    for byte in relative.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => url.push(char::from(byte)),
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

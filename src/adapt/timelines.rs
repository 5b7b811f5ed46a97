//! What the program's tracker sees in a video: from a labels.json that is there, from an earlier run, or by looking.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::import::{AnnotationImportError, ImportProgress};
use crate::annotator::Annotator;
use crate::files::{OutputOptions, WriteError, file_sha256};
use crate::pipeline::Event;
use crate::pipeline::decode::Source;
use crate::timeline::Timeline;

/// Finds timelines of videos, and makes those that are missing.
pub(super) struct Timelines<'a> {
    /// Looks at videos.
    pub annotator: &'a Annotator,
    /// Where what was seen is kept.
    pub kept: PathBuf,
}

impl Timelines<'_> {
    /// The timeline of `video`, annotated in `documents`.
    ///
    /// # Errors
    /// If the video cannot be looked at, or the timeline cannot be kept.
    pub(super) fn of(
        &self,
        video: &Path,
        documents: &[&Path],
        progress: &mut dyn ImportProgress,
    ) -> Result<Timeline, AnnotationImportError> {
        let read = |source| AnnotationImportError::Read { path: video.into(), source };
        let sha256 = file_sha256(video, &|| false).map_err(read)?.unwrap_or_default();
        let is_it = |timeline: &Timeline| timeline.media.sha256.as_deref() == Some(&sha256) && is_whole(timeline);
        let there = beside(video, documents).into_iter().filter(|path| path.is_file());
        if let Some(timeline) = there.filter_map(|path| Timeline::read(&path).ok()).find(is_it) {
            self.keep(&timeline, &sha256)?;
            return Ok(timeline);
        }
        let is_ours = |timeline: &Timeline| timeline.tool == crate::timeline::Tool::default();
        if let Ok(timeline) = Timeline::read(&self.path_of(&sha256))
            && is_it(&timeline)
            && is_ours(&timeline)
        {
            return Ok(timeline);
        }
        // What is kept is opened from other folders too.
        let absolute = std::path::absolute(video).unwrap_or_else(|_| video.into());
        let timeline = self.annotator.annotate_while(&Source::File(absolute), |event| {
            match event {
                Event::Opened { frames, .. } => progress.opened(frames),
                Event::Frame(_) => progress.frame(),
            }
            Ok(())
        })?;
        if self.annotator.execution.interrupt.load(Ordering::Relaxed) {
            return Err(AnnotationImportError::Interrupted);
        }
        self.keep(&timeline, &sha256)?;
        // Files have rounded boxes. What is cut out must not depend on whether a video was looked at now or before.
        let path = self.path_of(&sha256);
        Timeline::read(&path)
            .map_err(|error| AnnotationImportError::Read { path, source: std::io::Error::other(error.to_string()) })
    }

    fn path_of(&self, sha256: &str) -> PathBuf {
        self.kept.join(format!("{sha256}.json"))
    }

    /// Keeps a timeline with the pictures that follow from it, so that they can be looked up in their video.
    fn keep(&self, timeline: &Timeline, sha256: &str) -> Result<(), AnnotationImportError> {
        std::fs::create_dir_all(&self.kept).map_err(|e| WriteError::new(&self.kept, e))?;
        Ok(OutputOptions::state().put(&self.path_of(sha256), |out| Ok(serde_json::to_writer(out, timeline)?))?)
    }
}

/// Where a timeline of the video may lie: as `annotate` and `annotate batch` name it, or as people do.
fn beside(video: &Path, documents: &[&Path]) -> Vec<PathBuf> {
    let name = video.file_name().unwrap_or_default().to_string_lossy();
    let stem = video.file_stem().unwrap_or_default().to_string_lossy();
    let names =
        [format!("{name}.json"), format!("{stem}.json"), format!("{stem}.labels.json"), "labels.json".to_owned()];
    let folders = [video].into_iter().chain(documents.iter().copied()).filter_map(Path::parent);
    folders.flat_map(|folder| names.iter().map(move |name| folder.join(name))).collect()
}

/// Whether it is about all of the video.
fn is_whole(timeline: &Timeline) -> bool {
    let is_cut = |key: &str| timeline.settings.get(key).is_some_and(|value| !value.is_null());
    !is_cut("start_s") && !is_cut("end_s")
}

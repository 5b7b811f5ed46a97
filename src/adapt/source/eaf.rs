//! ELAN's documents.

use std::path::Path;

use super::super::annotation::{Annotated, AnnotatedTier, AnnotationDocument};
use super::super::left_out::Reason;
use crate::eaf::{self, LinkedMedia};

/// Reads a document in the time of its first video.
pub(super) fn read(path: &Path) -> Result<AnnotationDocument, Reason> {
    document(path, eaf::read(path))
}

/// The same in the time of `video`.
pub(super) fn read_for(path: &Path, video: &Path) -> Result<AnnotationDocument, Reason> {
    document(path, eaf::read_for(path, Some(&video.to_string_lossy())))
}

fn document(path: &Path, read: Result<eaf::Document, eaf::EafReadError>) -> Result<AnnotationDocument, Reason> {
    let read = read.map_err(|e| Reason::Unreadable(e.to_string()))?;
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let annotated =
        |a: eaf::Annotation| Annotated { start_s: seconds(a.start_ms), end_s: seconds(a.end_ms), word: a.value };
    let tiers = read.tiers.into_iter().map(|tier| AnnotatedTier {
        name: tier.id,
        participant: tier.participant,
        track: None,
        annotations: tier.annotations.into_iter().map(annotated).collect(),
    });
    let tiers = tiers.collect();
    let addresses = |media: LinkedMedia| [Some(media.url), media.relative_url];
    let media = read.media.into_iter().flat_map(addresses).flatten().collect();
    Ok(AnnotationDocument { path: path.into(), media, tiers, timeline: None })
}

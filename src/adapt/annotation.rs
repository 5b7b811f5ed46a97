//! What people wrote about a video, whatever file it stands in.

use std::path::PathBuf;

use crate::timeline::Timeline;

/// A word over a stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotated {
    /// First moment, seconds as a player shows them.
    pub start_s: f64,
    /// First moment no longer in it, likewise.
    pub end_s: f64,
    /// What was written.
    pub word: String,
}

/// The annotations of one person about one signer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnnotatedTier {
    /// Its name; what stands behind the last `@` is the signer.
    pub name: String,
    /// The signer's name, where the file gives one.
    pub participant: Option<String>,
    /// The track it is about, where the file knows it.
    pub track: Option<u32>,
    /// In the file's order.
    pub annotations: Vec<Annotated>,
}

impl AnnotatedTier {
    /// Who is annotated, as the tier's name says.
    pub fn suffix(&self) -> Option<&str> {
        self.name.rsplit_once('@').map(|(_, suffix)| suffix).filter(|suffix| !suffix.is_empty())
    }

    /// The signer as tiers of several annotators have them in common.
    pub(super) fn signer(&self) -> Option<&str> {
        self.suffix().or(self.participant.as_deref())
    }

    /// The signer's name where it means the same person in every video: the file's own, or a suffix that is more than one of
    /// the letters that stand for 'first' and 'second'.
    pub(super) fn person(&self) -> Option<&str> {
        self.participant.as_deref().or_else(|| self.suffix().filter(|suffix| suffix.chars().count() > 2))
    }
}

/// A file of annotations about one video.
#[derive(Debug, Clone)]
pub struct AnnotationDocument {
    /// The file.
    pub path: PathBuf,
    /// Where its video may be: paths and URLs as they stand in the file, the likeliest first.
    pub media: Vec<String>,
    /// Its tiers.
    pub tiers: Vec<AnnotatedTier>,
    /// What the program said about the video, where the file holds that too.
    pub timeline: Option<Box<Timeline>>,
}

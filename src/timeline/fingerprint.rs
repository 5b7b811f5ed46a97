//! What tells the labels of one timeline from those of another.

use sha2::{Digest, Sha256};

use super::Timeline;

impl Timeline {
    /// A short fingerprint of the labels: the video, the model, the frames, the segments and what people did, in hexadecimal.
    /// Work that a browser keeps is kept by it, and an ELAN document says by it which labels it was made from.
    pub fn fingerprint(&self) -> String {
        let segments = self.tracks.iter().map(|track| {
            let spans = track.segments.iter().map(|s| (s.first_frame, s.last_frame, s.label, &s.decision));
            (track.id, &track.name, track.first_frame, track.last_frame, spans.collect::<Vec<_>>())
        });
        let media = self.media.sha256.as_ref().unwrap_or(&self.media.path);
        let operations = self.corrections.iter().flat_map(|c| c.operations.iter().map(|o| o.id.as_str()));
        let content = serde_json::to_vec(&(
            (media, &self.model.sha256, &self.frames.pts),
            segments.collect::<Vec<_>>(),
            operations.collect::<Vec<_>>(),
        ));
        Sha256::digest(content.unwrap_or_default()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

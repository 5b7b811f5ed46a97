//! What the program wrote and a person corrected: only what the person said.

use std::io::Read as _;
use std::path::Path;

use super::super::annotation::{Annotated, AnnotatedTier, AnnotationDocument};
use super::super::left_out::Reason;
use crate::review::decided;
use crate::timeline::{Timeline, signer};

/// Whether a file says at its beginning that it is a timeline.
pub(super) fn is_one(path: &Path) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return false };
    let mut head = Vec::new();
    file.take(300).read_to_end(&mut head).is_ok() && String::from_utf8_lossy(&head).contains("annotate/timeline/")
}

/// Reads the stretches on which a person's word stands, a tier a signer.
pub(super) fn read(path: &Path) -> Result<AnnotationDocument, Reason> {
    let timeline = Timeline::read(path).map_err(|e| Reason::Unreadable(e.to_string()))?;
    if timeline.corrections.is_none() {
        return Err(Reason::NotCorrected);
    }
    let mut tiers: Vec<AnnotatedTier> = Vec::new();
    for stretch in decided(&timeline) {
        let Some(label) = stretch.label else { continue };
        let [start, end] = [stretch.first_frame, stretch.last_frame].map(|frame| timeline.frame_in_player_time(frame));
        let index = tiers.iter().position(|tier| tier.track == Some(stretch.track)).unwrap_or(tiers.len());
        if index == tiers.len() {
            let track = timeline.tracks.iter().find(|track| track.id == stretch.track);
            let name = format!("expression@{}", signer(stretch.track));
            let participant = track.and_then(|track| track.name.clone());
            tiers.push(AnnotatedTier { name, participant, track: Some(stretch.track), annotations: Vec::new() });
        }
        let word = label.name().to_owned();
        tiers[index].annotations.push(Annotated { start_s: start[0].0, end_s: end[1].0, word });
    }
    let media = vec![timeline.media.path.clone()];
    Ok(AnnotationDocument { path: path.into(), media, tiers, timeline: Some(Box::new(timeline)) })
}

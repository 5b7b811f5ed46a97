//! Corrections taken into an ELAN document that was made from the annotation before them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::eaf;
use crate::timeline::{SegmentState, Timeline};

use super::apply::lanes_of;
use super::lanes::Lanes;

/// Puts what differs between `before` and `after`, states of one timeline, into the document at `path`: labels and times of
/// annotations that still lie where we put them, new ones, and ones that are gone. `before` are the states that the document may
/// be in: as annotated, and as corrected last. Gives the document, how many annotations were changed, and how many were not
/// found, as a person has moved them.
///
/// # Errors
/// If the document cannot be read.
pub fn correct_document(
    path: &Path,
    before: &[&Timeline],
    after: &Timeline,
) -> Result<(eaf::Changed, usize, usize), eaf::EafReadError> {
    let mut document = eaf::Changed::read(path, after)?;
    let old: Vec<Lanes> = before.iter().map(|timeline| lanes_of(timeline)).collect();
    let new = lanes_of(after);
    let span = |state: &SegmentState| {
        let [start, _] = after.frame_in_player_time(state.first_frame);
        let [_, end] = after.frame_in_player_time(state.last_frame);
        [start, end]
    };
    let state_in =
        |lanes: &Lanes, id: &str| lanes.get(id).map(|touched| touched.state.clone()).filter(|s| s.label.is_some());
    let ids: BTreeSet<String> = old.iter().flat_map(Lanes::all).map(|touched| touched.state.segment.clone()).collect();
    let (mut changed, mut lost) = (0, 0);
    // What leaves makes room for what comes.
    for id in &ids {
        let gone = |was: &SegmentState| state_in(&new, id).is_none_or(|now| now.track != was.track);
        for was in old.iter().filter_map(|lanes| state_in(lanes, id)).filter(gone) {
            changed += usize::from(document.relabel(was.track, span(&was), None));
        }
    }
    for id in &ids {
        let Some(now) = state_in(&new, id) else { continue };
        let Some(label) = now.label else { continue };
        let key = |s: &SegmentState| (s.track, s.first_frame, s.last_frame, s.label);
        let was: Vec<SegmentState> = old.iter().filter_map(|lanes| state_in(lanes, id)).collect();
        let is_touched = was.len() < old.len() || was.iter().any(|was| key(was) != key(&now));
        let was: Vec<SegmentState> = was.into_iter().filter(|was| was.track == now.track).collect();
        if !is_touched || was.is_empty() || document.has(now.track, span(&now), label) {
            continue;
        }
        let is_found =
            [&now].into_iter().chain(&was).any(|at| document.change(now.track, span(at), span(&now), Some(label)));
        *(if is_found { &mut changed } else { &mut lost }) += 1;
    }
    for now in new.all().map(|touched| &touched.state) {
        let is_new = |lanes: &Lanes| state_in(lanes, &now.segment).is_none_or(|was| was.track != now.track);
        let Some(label) = now.label.filter(|_| old.iter().all(is_new)) else { continue };
        if !document.has(now.track, span(now), label) {
            *(if document.insert(now.track, span(now), label) { &mut changed } else { &mut lost }) += 1;
        }
    }
    document.name_labels(after);
    Ok((document, changed, lost))
}

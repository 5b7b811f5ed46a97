//! What people changed in ELAN, as operations.
//!
//! Three states are laid beside each other: the labels that a document was made from, the document, and the labels as they
//! stand, which others may have corrected meanwhile. Where a stretch of time differs between the first two, somebody changed
//! it in ELAN; where only the last one differs, the document is older than the correction, and nothing is meant by it. What was
//! taken from ELAN before gives way to what is there now; anybody else's word is a conflict.

use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::apply::{Conflict, lanes_of};
use super::lanes::{Lanes, describe};
use crate::agree::Vocabulary;
use crate::eaf::{Edited, EditedSegment};
use crate::timeline::{CORRECTION_SCHEMA, Expression, Operation, Review, SegmentState, Timeline};

/// Begins the ids of operations and segments that come from ELAN.
const FROM_ELAN: &str = "elan-";

/// The document does not belong to these labels: not one annotation stands where they have it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of its annotations stands where the annotation has it; is it of this video?")]
pub struct OtherDocument;

/// How edits are read.
#[derive(Debug, Default)]
pub struct ElanEdits {
    /// What words stand for which class.
    pub vocabulary: Vocabulary,
    /// Who made them; the document's author if not given.
    pub reviewer: Option<String>,
}

/// What was changed in ELAN.
#[derive(Debug, Default)]
pub struct ElanChanges {
    /// For [`apply`](super::apply()).
    pub operations: Vec<Operation>,
    /// Edits that cannot be taken over.
    pub left_out: Vec<Conflict>,
}

impl ElanEdits {
    /// The operations that bring what was changed in `document` into `current`. `states` are the labels that it may have been
    /// made from; the document says which, or its annotations show it.
    ///
    /// # Errors
    /// If it was made from none of them.
    pub fn changes(
        &self,
        document: &Edited,
        states: &[&Timeline],
        current: &Timeline,
    ) -> Result<ElanChanges, OtherDocument> {
        let Some(made_from) = made_from(document, states) else { return Err(OtherDocument) };
        let mut changes = ElanChanges::default();
        let reviewer = self.reviewer.clone().unwrap_or_else(|| document.author.clone());
        let merge = Merge::new(made_from, current);
        for (track, segments) in document.segments(made_from) {
            let mut drawn = Vec::new();
            for segment in segments {
                let label = self.vocabulary.class_of(&segment.value);
                drawn.push(Drawn { segment, label: label.ok().flatten() });
            }
            for stretch in merge.differing(track, &drawn) {
                match merge.change(track, stretch, &drawn) {
                    Ok(None) => {}
                    Ok(Some((before, after))) => {
                        changes.operations.push(operation(current, made_from, (&reviewer, document), before, after));
                    }
                    Err(problem) => changes.left_out.push(left_out(&reviewer, problem)),
                }
            }
        }
        for tier in document.tiers_of_others(made_from) {
            changes.left_out.push(left_out(&reviewer, format!("tier {tier} is of no signer of this annotation")));
        }
        Ok(changes)
    }
}

fn left_out(reviewer: &str, problem: String) -> Conflict {
    Conflict { line: 0, reviewer: reviewer.to_owned(), kind: "edit in ELAN".into(), problem }
}

/// The state that the document names, or else the first of those that it is most like.
fn made_from<'a>(document: &Edited, states: &[&'a Timeline]) -> Option<&'a Timeline> {
    if let Some(named) = document.labels.as_ref().and_then(|name| states.iter().find(|s| s.fingerprint() == *name)) {
        return Some(named);
    }
    let like =
        states.iter().rev().map(|state| (document.unchanged(state), *state)).max_by_key(|(unchanged, _)| *unchanged);
    like.filter(|(unchanged, _)| *unchanged > 0).map(|(_, state)| state)
}

/// An annotation of the document; the label is absent where its text stands for none.
struct Drawn {
    segment: EditedSegment,
    label: Option<Expression>,
}

/// A stretch of frames and what is on it.
type Key = (usize, usize, Option<Expression>);

fn key(state: &SegmentState) -> Key {
    (state.first_frame, state.last_frame, state.label)
}

impl Drawn {
    fn key(&self) -> Key {
        (self.segment.first_frame, self.segment.last_frame, self.label)
    }
}

fn overlaps((first, last, _): Key, [from, to]: [usize; 2]) -> bool {
    first <= to && from <= last
}

/// Segments before and after an operation.
type Sides = (Vec<SegmentState>, Vec<SegmentState>);

/// What a document was made from, and what there is now.
struct Merge {
    made_from: Lanes,
    current: Lanes,
    /// Of each segment that an operation touched: whether the last one came from ELAN.
    from_elan: HashMap<String, bool>,
}

impl Merge {
    fn new(made_from: &Timeline, current: &Timeline) -> Self {
        let mut from_elan = HashMap::new();
        for operation in current.corrections.iter().flat_map(|corrections| &corrections.operations) {
            for state in operation.before.iter().chain(&operation.after) {
                from_elan.insert(state.segment.clone(), operation.id.starts_with(FROM_ELAN));
            }
        }
        Self { made_from: lanes_of(made_from), current: lanes_of(current), from_elan }
    }

    /// Stretches of frames in which the three are not alike, in order; no segment crosses the edge of one.
    fn differing(&self, track: u32, drawn: &[Drawn]) -> Vec<[usize; 2]> {
        let labelled = |lanes: &Lanes| -> HashSet<Key> {
            lanes.of_track(track).map(|there| key(&there.state)).filter(|(_, _, label)| label.is_some()).collect()
        };
        let sides = [labelled(&self.made_from), labelled(&self.current), drawn.iter().map(Drawn::key).collect()];
        let all: HashSet<&Key> = sides.iter().flatten().collect();
        let differing = all.into_iter().filter(|key| key.2.is_none() || sides.iter().any(|side| !side.contains(key)));
        let mut stretches: Vec<[usize; 2]> = differing.map(|(first, last, _)| [*first, *last]).collect();
        stretches.sort_unstable();
        let mut merged: Vec<[usize; 2]> = Vec::new();
        for [first, last] in stretches {
            match merged.last_mut() {
                Some(before) if first <= before[1] => before[1] = before[1].max(last),
                _ => merged.push([first, last]),
            }
        }
        merged
    }

    /// What has to change within a stretch, or why it cannot.
    fn change(&self, track: u32, stretch: [usize; 2], drawn: &[Drawn]) -> Result<Option<Sides>, String> {
        let within = |lanes: &Lanes| -> Vec<SegmentState> {
            let states = lanes.of_track(track).map(|there| there.state.clone());
            states.filter(|state| overlaps(key(state), stretch)).collect()
        };
        let (was, now) = (within(&self.made_from), within(&self.current));
        let drawn: Vec<&Drawn> = drawn.iter().filter(|drawn| overlaps(drawn.key(), stretch)).collect();
        let wanted: Vec<Key> = drawn.iter().map(|drawn| drawn.key()).collect();
        let labelled =
            |states: &[SegmentState]| states.iter().filter(|s| s.label.is_some()).map(key).collect::<Vec<Key>>();
        if labelled(&now) == wanted {
            return Ok(None);
        }
        let is_lagging = labelled(&was) == wanted;
        if let Some(problem) = self.problem(&was, &now) {
            return if is_lagging { Ok(None) } else { Err(problem) };
        }
        if let Some(unknown) = drawn.iter().find(|drawn| drawn.label.is_none()) {
            let EditedSegment { first_frame, last_frame, value } = &unknown.segment;
            return Err(format!("frames {first_frame} to {last_frame} of track {track}: '{value}' is no expression"));
        }
        let after = leave(track, &wanted, &was, &now);
        // What is not a face stays so where nothing was drawn over it.
        let is_replaced = |state: &SegmentState| {
            state.label.is_some() || wanted.iter().any(|(first, last, _)| overlaps(key(state), [*first, *last]))
        };
        Ok(Some((now.into_iter().filter(is_replaced).collect(), after)))
    }

    /// Whose word stands in the way: everybody's but the program's and what came from ELAN.
    fn problem(&self, was: &[SegmentState], now: &[SegmentState]) -> Option<String> {
        let came_from_elan = |state: &SegmentState| self.from_elan.get(&state.segment) == Some(&true);
        let is_alien = |state: &&SegmentState| {
            let is_same = |before: &SegmentState| before.segment == state.segment && key(before) == key(state);
            !came_from_elan(state) && !was.iter().any(is_same)
        };
        if let Some(alien) = now.iter().find(is_alien) {
            return self.current.get(&alien.segment).map(describe);
        }
        let is_gone = |state: &&SegmentState| !came_from_elan(state) && self.current.get(&state.segment).is_none();
        let gone = was.iter().find(is_gone)?;
        Some(format!("segment {} is no longer there", gone.segment))
    }
}

/// The segments that stand for annotations: those that are there, with other labels and edges, and new ones.
fn leave(track: u32, wanted: &[Key], was: &[SegmentState], now: &[SegmentState]) -> Vec<SegmentState> {
    let mut free: BTreeMap<&str, &SegmentState> = now.iter().map(|state| (state.segment.as_str(), state)).collect();
    let mut after = Vec::new();
    for wanted in wanted {
        let restored = was.iter().find(|before| key(before) == *wanted);
        let likeness = |state: &SegmentState| {
            let (first, last) = (state.first_frame.max(wanted.0), state.last_frame.min(wanted.1));
            let is_own = restored.is_some_and(|before| before.segment == state.segment);
            (is_own, state.label == wanted.2, (last + 1).saturating_sub(first))
        };
        let near = free.values().filter(|state| likeness(state).2 > 0).max_by_key(|state| likeness(state)).copied();
        if let Some(near) = near {
            free.remove(near.segment.as_str());
        }
        let segment = near.map_or_else(|| name(track, *wanted), |near| near.segment.clone());
        after.push(match (restored, near) {
            (Some(before), _) => SegmentState { segment, ..before.clone() },
            (None, near) => changed(track, *wanted, segment, near, was.iter().chain(now)),
        });
    }
    after
}

/// A segment as ELAN has it, that was `near` before.
fn changed<'a>(
    track: u32,
    (first_frame, last_frame, label): Key,
    segment: String,
    near: Option<&SegmentState>,
    mut around: impl Iterator<Item = &'a SegmentState>,
) -> SegmentState {
    let stays = near.filter(|near| near.label == label).and_then(|near| near.review).filter(|r| r.decides_label());
    // Parts of a segment that was cut, and one that took over another's frames, still have the label they had.
    let had = around.any(|state| state.label == label && overlaps(key(state), [first_frame, last_frame]));
    let review = match (stays, had, near) {
        (Some(review), _, _) => review,
        (None, true, _) => Review::Moved,
        (None, false, Some(_)) => Review::Changed,
        (None, false, None) => Review::Drawn,
    };
    let (comment, unsure) = near.map(|near| (near.comment.clone(), near.unsure)).unwrap_or_default();
    SegmentState { segment, track, first_frame, last_frame, label, event: None, review: Some(review), comment, unsure }
}

/// An id that the same new segment always has.
fn name(track: u32, (first, last, label): Key) -> String {
    format!("{FROM_ELAN}{track}.{first}-{last}-{}", label.map_or("none", Expression::name))
}

fn operation(
    current: &Timeline,
    made_from: &Timeline,
    (reviewer, document): (&str, &Edited),
    before: Vec<SegmentState>,
    after: Vec<SegmentState>,
) -> Operation {
    // The same change can be made, taken back and made again.
    let earlier = current.corrections.as_ref().map_or(0, |corrections| corrections.operations.len());
    let content = serde_json::json!([earlier, before, after]).to_string();
    let digest = Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    let kind = match (&before[..], &after[..]) {
        ([], _) => "draw",
        (_, []) => "delete",
        ([one], [other]) if one.label != other.label => "label",
        ([_], [_]) => "move",
        ([_], _) => "split",
        (_, [_]) => "merge",
        _ => "edit",
    };
    Operation {
        schema: CORRECTION_SCHEMA.into(),
        id: format!("{FROM_ELAN}{digest}"),
        kind: kind.into(),
        layer: current.corrections.as_ref().map(|corrections| corrections.layer).unwrap_or_default(),
        labels: made_from.fingerprint(),
        media_sha256: current.media.sha256.clone(),
        model_sha256: current.model.sha256.clone(),
        reviewer: reviewer.into(),
        time: document.saved.clone(),
        before,
        after,
        signers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eaf::{Bundle, BundleOptions};
    use crate::review::{apply, machine_of};
    use crate::sample;
    use crate::timeline::Decision;

    /// A document made from `timeline`, with texts replaced in it.
    fn document(timeline: &Timeline, replaced: &[(&str, &str)]) -> Edited {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.eaf");
        Bundle::create(&path, &BundleOptions::default()).unwrap().write(timeline).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in replaced {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        std::fs::write(&path, text).unwrap();
        Edited::read(&path).unwrap()
    }

    fn changes(document: &Edited, states: &[&Timeline], current: &Timeline) -> ElanChanges {
        let edits = ElanEdits { reviewer: Some("Eve".into()), ..ElanEdits::default() };
        edits.changes(document, states, current).unwrap()
    }

    /// Takes the document's changes over, all of them.
    fn take(document: &Edited, program: &Timeline, current: &mut Timeline) -> usize {
        let ElanChanges { operations, left_out } = changes(document, &[program], current);
        assert_eq!(left_out, []);
        let applied = apply(current, &operations).unwrap();
        assert_eq!((applied.applied, applied.conflicts), (operations.len(), Vec::new()));
        current.check().unwrap();
        assert_eq!(machine_of(current), *program);
        operations.len()
    }

    fn first_signer(timeline: &Timeline) -> Vec<(usize, usize, &'static str)> {
        timeline.tracks[0].segments.iter().map(|s| (s.first_frame, s.last_frame, s.label.name())).collect()
    }

    /// What the review page would have said about the segment called `id`.
    fn on_the_page(timeline: &mut Timeline, id: &str, label: Expression) {
        let before = lanes_of(timeline).get(id).unwrap().state.clone();
        let after = SegmentState { label: Some(label), review: Some(Review::Changed), ..before.clone() };
        let document = document(timeline, &[]);
        let mut operation = operation(timeline, timeline, ("Pat", &document), vec![before], vec![after]);
        operation.id = format!("page-{id}-{}", label.name());
        assert_eq!(apply(timeline, &[operation]).unwrap().applied, 1);
    }

    const JOY: (&str, &str) = ("<ANNOTATION_VALUE>happiness", "<ANNOTATION_VALUE>joy");
    const SAD: (&str, &str) = ("<ANNOTATION_VALUE>happiness", "<ANNOTATION_VALUE>sadness");
    const DISGUST: (&str, &str) = ("<ANNOTATION_VALUE>anger", "<ANNOTATION_VALUE>disgust");

    #[test]
    fn what_nobody_changed_is_no_operation() {
        let program = sample::two_signers();
        for replaced in [&[][..], &[JOY]] {
            assert_eq!(changes(&document(&program, replaced), &[&program], &program).operations, []);
        }
    }

    #[test]
    fn a_document_older_than_the_pages_corrections_takes_nothing_back() {
        let program = sample::two_signers();
        let mut current = program.clone();
        on_the_page(&mut current, "1.0", Expression::Fear);
        let edited = document(&program, &[DISGUST]);
        assert_eq!(take(&edited, &program, &mut current), 1);
        assert_eq!(first_signer(&current), [(0, 1, "fear"), (4, 5, "disgust")]);
        let decision = current.tracks[0].segments[1].decision.clone().unwrap();
        assert_eq!((decision.reviewer.as_str(), decision.review), ("Eve", Some(Review::Changed)));
        assert_eq!(take(&edited, &program, &mut current), 0, "again, it changes nothing");
    }

    #[test]
    fn later_edits_of_one_document_replace_its_earlier_ones_and_can_take_them_back() {
        let program = sample::two_signers();
        let mut current = program.clone();
        for (replaced, expected) in [
            (&[DISGUST][..], [(0, 1, "happiness"), (4, 5, "disgust")]),
            (&[("<ANNOTATION_VALUE>anger", "<ANNOTATION_VALUE>fear")], [(0, 1, "happiness"), (4, 5, "fear")]),
            (&[], [(0, 1, "happiness"), (4, 5, "anger")]),
            (&[DISGUST, SAD], [(0, 1, "sadness"), (4, 5, "disgust")]),
            (&[], [(0, 1, "happiness"), (4, 5, "anger")]),
            (&[DISGUST], [(0, 1, "happiness"), (4, 5, "disgust")]),
        ] {
            assert!(take(&document(&program, replaced), &program, &mut current) > 0);
            assert_eq!(first_signer(&current), expected);
            let is_own = |decision: &Option<Decision>| decision.as_ref().is_none_or(|d| d.review.is_none());
            let untouched = current.tracks[0].segments.iter().zip(&program.tracks[0].segments);
            assert!(untouched.filter(|(now, was)| now.label == was.label).all(|(now, _)| is_own(&now.decision)));
        }
    }

    #[test]
    fn another_persons_word_and_an_unknown_word_are_left_out_and_named() {
        let program = sample::two_signers();
        let mut current = program.clone();
        on_the_page(&mut current, "1.0", Expression::Fear);
        let found = changes(&document(&program, &[SAD, DISGUST]), &[&program], &current);
        assert_eq!(found.operations.len(), 1, "the other edit is taken");
        assert_eq!(found.left_out[0].problem, "frames 0 to 1 of track 1 are Pat's 'fear'");
        let unknown = ("<ANNOTATION_VALUE>anger", "<ANNOTATION_VALUE>hmpf");
        let found = changes(&document(&program, &[unknown]), &[&program], &program);
        assert_eq!(found.operations, []);
        assert_eq!(found.left_out[0].problem, "frames 4 to 5 of track 1: 'hmpf' is no expression");
    }

    #[test]
    fn the_document_says_which_labels_it_was_made_from() {
        let program = sample::two_signers();
        let mut corrected = program.clone();
        on_the_page(&mut corrected, "1.0", Expression::Fear);
        // Made from corrected labels, and put back to the program's in ELAN: a person's word, although it looks like the program's.
        let back = document(&corrected, &[("<ANNOTATION_VALUE>fear", "<ANNOTATION_VALUE>happiness")]);
        let found = changes(&back, &[&program, &corrected], &corrected);
        assert_eq!(found.operations.len(), 1);
        assert_eq!(found.operations[0].after[0].label, Some(Expression::Happiness));
        // Documents of earlier versions do not say it: then it is what most annotations show.
        let mut silent = document(&corrected, &[DISGUST]);
        silent.labels = None;
        let found = changes(&silent, &[&program, &corrected], &corrected);
        assert_eq!(found.operations.len(), 1);
        assert_eq!(found.operations[0].after[0].label, Some(Expression::Disgust));
        silent.labels = Some("0".into());
        let mut other = program.clone();
        other.frames.time_s.iter_mut().for_each(|time_s| *time_s += 1000.0);
        for segment in other.tracks.iter_mut().flat_map(|track| &mut track.segments) {
            (segment.start_s, segment.end_s) = (segment.start_s + 1000.0, segment.end_s + 1000.0);
        }
        assert_eq!(ElanEdits::default().changes(&silent, &[&other], &other).err(), Some(OtherDocument));
    }
}

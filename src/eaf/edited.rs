//! What people made of our tiers in ELAN, as stretches of frames.
//!
//! ELAN lets annotations begin and end at any millisecond. One that stands where we put it keeps the very frames it was made
//! from, also where a preset left frames empty behind it or the document's zero cut it off; any other goes to the nearest
//! edges of frames.

use std::path::Path;

use super::document::{self, LABELS, origin_ms};
use super::preset::Preset;
use super::tiers::{self, DocumentTime, TierStretch};
use super::{Document, EafReadError, Tier, read};
use crate::timeline::{self, Segment, Timeline, Track};

/// A document that the program made and a person has changed.
pub struct Edited {
    document: Document,
    /// The tiers of expressions: their names.
    expressions: Vec<String>,
    /// The fingerprint of the labels that it was made from, where it says so.
    pub labels: Option<String>,
    /// Whom the document names as its author.
    pub author: String,
    /// When it was saved last; empty where it was never saved by ELAN.
    pub saved: String,
}

/// An annotation in a tier of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedSegment {
    /// First frame.
    pub first_frame: usize,
    /// Last frame, inclusive.
    pub last_frame: usize,
    /// The text.
    pub value: String,
}

/// The most frames that are looked for between annotations; presets leave one or two.
const WIDEST_GAP: usize = 25;

impl Edited {
    /// Reads the document at `path`.
    ///
    /// # Errors
    /// As [`read`](super::read()).
    pub fn read(path: &Path) -> Result<Self, EafReadError> {
        let root = read::root(path)?;
        let document = read::document(&root).map_err(|fault| EafReadError::Content { path: path.into(), fault })?;
        let is_expression = |kind: &str| kind.starts_with(super::vocabulary::EXPRESSIONS.id);
        let tiers = root.named("TIER").filter(|tier| tier.attribute("LINGUISTIC_TYPE_REF").is_some_and(is_expression));
        let expressions = tiers.filter_map(|tier| tier.attribute("TIER_ID")).map(str::to_owned).collect();
        let properties = root.first("HEADER").into_iter().flat_map(|header| header.named("PROPERTY"));
        let mut labels = properties.filter(|property| property.attribute("NAME") == Some(LABELS));
        let attribute = |name| root.attribute(name).unwrap_or_default().to_owned();
        let saved = Some(attribute("DATE")).filter(|date| date != document::NO_DATE).unwrap_or_default();
        let author = attribute("AUTHOR");
        Ok(Self { document, expressions, labels: labels.next().map(|e| e.content()), author, saved })
    }

    /// How many annotations of our tiers stand exactly where `timeline` puts them, with the label it gives them.
    pub fn unchanged(&self, timeline: &Timeline) -> usize {
        let gap_frames = self.gap_frames(timeline);
        let tracks = timeline.tracks.iter().filter_map(|track| {
            let expected = self.expected(track, timeline, gap_frames);
            Some(matches(self.tier(track, &expected)?, &expected))
        });
        tracks.sum()
    }

    /// The annotations of the tier of each track's signer, by time, as frames of the video of `timeline`, which are the labels
    /// that the document was made from. A track without a tier is left out. Segments that lie before the document's zero,
    /// and so are not in it, are given as if they were.
    pub fn segments(&self, timeline: &Timeline) -> Vec<(u32, Vec<EditedSegment>)> {
        let gap_frames = self.gap_frames(timeline);
        let edges = Edges::of(self.clock(timeline));
        let tracks = timeline.tracks.iter().filter_map(|track| {
            let expected = self.expected(track, timeline, gap_frames);
            let tier = self.tier(track, &expected)?;
            let mut segments: Vec<EditedSegment> = track
                .segments
                .iter()
                .filter(|segment| expected.iter().all(|shown| shown.what.first_frame != segment.first_frame))
                .map(unseen)
                .collect();
            for annotation in &tier.annotations {
                let (start_ms, end_ms) = (annotation.start_ms, annotation.end_ms);
                let starts = expected.iter().find(|shown| shown.start_ms == start_ms);
                let ends = expected.iter().find(|shown| shown.end_ms == end_ms);
                let first_frame = starts.map_or_else(|| edges.starting_at(start_ms), |shown| shown.what.first_frame);
                let last_frame = ends.map_or_else(|| edges.ending_at(end_ms), |shown| shown.what.last_frame);
                let last_frame = last_frame.max(first_frame);
                segments.push(EditedSegment { first_frame, last_frame, value: annotation.value.clone() });
            }
            Some((track.id, apart(segments)))
        });
        tracks.collect()
    }

    /// Names of tiers of expressions that are no signer's of `timeline`.
    pub fn tiers_of_others(&self, timeline: &Timeline) -> Vec<&str> {
        let is_alien = |name: &&String| {
            let tier = self.document.tiers.iter().find(|tier| tier.id == **name);
            tier.is_some_and(|tier| timeline.tracks.iter().all(|track| !is_of(tier, track)))
        };
        self.expressions.iter().filter(is_alien).map(String::as_str).collect()
    }

    fn clock<'a>(&self, timeline: &'a Timeline) -> DocumentTime<'a> {
        DocumentTime { timeline, origin_ms: origin_ms(&self.document, timeline) }
    }

    /// Where the track's segments stand in the document.
    fn expected<'a>(
        &self,
        track: &'a Track,
        timeline: &'a Timeline,
        gap_frames: usize,
    ) -> Vec<TierStretch<&'a Segment>> {
        tiers::expressions(track, self.clock(timeline), &Preset { gap_frames, ..Preset::default() })
    }

    /// The track's tier; of several, from merging more than once, the one that is most like the labels.
    fn tier(&self, track: &Track, expected: &[TierStretch<&Segment>]) -> Option<&Tier> {
        let is_expression = |tier: &&Tier| self.expressions.contains(&tier.id);
        let tiers = self.document.tiers.iter().filter(is_expression).filter(|tier| is_of(tier, track));
        tiers.max_by_key(|tier| matches(tier, expected))
    }

    /// How many frames were left empty between neighbours, as most annotations show; the document does not say so.
    fn gap_frames(&self, timeline: &Timeline) -> usize {
        let unchanged = |gap_frames: usize| -> usize {
            let of_track = |track| {
                let expected = self.expected(track, timeline, gap_frames);
                self.tier(track, &expected).map_or(0, |tier| matches(tier, &expected))
            };
            timeline.tracks.iter().map(of_track).sum()
        };
        let wider = (0..=WIDEST_GAP).rev();
        wider.max_by_key(|gap_frames| unchanged(*gap_frames)).unwrap_or(0)
    }
}

/// Whether a tier is the one of a track's signer, by the participant, which every preset names.
fn is_of(tier: &Tier, track: &Track) -> bool {
    let names = [track.signer(), timeline::signer(track.id), format!("S{}", track.id)];
    tier.participant.as_ref().is_some_and(|participant| names.contains(participant))
}

/// How many annotations stand where they are expected, with the expected word.
fn matches(tier: &Tier, expected: &[TierStretch<&Segment>]) -> usize {
    let stands = |shown: &&TierStretch<&Segment>| {
        let index = tier.annotations.partition_point(|annotation| annotation.start_ms < shown.start_ms);
        tier.annotations.get(index).is_some_and(|annotation| {
            (annotation.start_ms, annotation.end_ms) == (shown.start_ms, shown.end_ms)
                && super::vocabulary::expression_called(&annotation.value) == Some(shown.what.label)
        })
    };
    expected.iter().filter(stands).count()
}

fn unseen(segment: &Segment) -> EditedSegment {
    let (first_frame, last_frame) = (segment.first_frame, segment.last_frame);
    EditedSegment { first_frame, last_frame, value: segment.label.name().into() }
}

/// Where frames start and end, milliseconds of the document.
struct Edges {
    starts_ms: Vec<f64>,
    ends_ms: Vec<f64>,
}

impl Edges {
    fn of(clock: DocumentTime) -> Self {
        let times = &clock.timeline.frames;
        let video_end_s = clock.timeline.end_s();
        let millis = |time_s: f64| clock.seconds(time_s) * 1000.0;
        let starts_ms = times.time_s.iter().copied().map(millis).collect();
        let ends_ms = (0..times.time_s.len()).map(|frame| millis(times.end_s(frame, video_end_s))).collect();
        Self { starts_ms, ends_ms }
    }

    /// The frame whose start is nearest.
    fn starting_at(&self, time_ms: u64) -> usize {
        nearest(&self.starts_ms, time_ms as f64)
    }

    /// The frame whose end is nearest.
    fn ending_at(&self, time_ms: u64) -> usize {
        nearest(&self.ends_ms, time_ms as f64)
    }
}

/// The index of the nearest of some rising numbers.
fn nearest(rising: &[f64], wanted: f64) -> usize {
    let after = rising.partition_point(|number| *number <= wanted);
    let Some(before) = after.checked_sub(1) else { return 0 };
    let is_after = rising.get(after).is_some_and(|next| next - wanted < wanted - rising[before]);
    if is_after { after } else { before }
}

/// Segments by time that share no frame: where two do, the earlier one gives way, as it does where frames are left empty
/// between neighbours. Of two within one frame the later one is left out.
fn apart(mut segments: Vec<EditedSegment>) -> Vec<EditedSegment> {
    segments.sort_by_key(|segment| (segment.first_frame, segment.last_frame));
    let mut kept: Vec<EditedSegment> = Vec::new();
    for segment in segments {
        match kept.last_mut() {
            Some(last) if last.first_frame >= segment.first_frame => continue,
            Some(last) => last.last_frame = last.last_frame.min(segment.first_frame - 1),
            None => {}
        }
        kept.push(segment);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eaf::xml;
    use crate::sample;

    fn edited(timeline: &Timeline, preset: &Preset, origin_ms: i64, edit: impl Fn(String) -> String) -> Edited {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.eaf");
        let mut root = document::blank(timeline);
        let media = xml::Element::new("MEDIA_DESCRIPTOR")
            .with("MEDIA_URL", "file:///two signers.mp4")
            .with("MIME_TYPE", "video/mp4")
            .with("TIME_ORIGIN", origin_ms.to_string());
        root.first_mut("HEADER").unwrap().push(media);
        document::add(&mut root, timeline, preset, None, &[]);
        let mut bytes = Vec::new();
        xml::serialise(&root, &mut bytes).unwrap();
        std::fs::write(&path, edit(String::from_utf8(bytes).unwrap())).unwrap();
        Edited::read(&path).unwrap()
    }

    fn of_first(edited: &Edited, timeline: &Timeline) -> Vec<(usize, usize, String)> {
        let segments = edited.segments(timeline).swap_remove(0).1;
        segments.into_iter().map(|s| (s.first_frame, s.last_frame, s.value)).collect()
    }

    #[test]
    fn an_untouched_document_gives_the_frames_it_was_made_from_whatever_preset_clock_and_gap() {
        let mut timeline = sample::two_signers();
        // Two segments that touch.
        let track = &mut timeline.tracks[0];
        for frame in 2..4 {
            track.frames[frame] = track.frames[1].clone();
            track.frames[frame].frame = frame;
        }
        (track.segments[0].last_frame, track.segments[0].end_s) = (3, 0.36);
        let expected = [(0, 3), (4, 5)];
        for (start_s, origin_ms, name, gap_frames) in [
            (0.0, 0, "plain", 0),
            (0.2, 0, "dgs", 0),
            (0.0, 250, "plain", 0),
            (0.0, 370, "ngt", 1),
            (0.0, 0, "bsl", 1),
            (0.0, -7000, "bsl", 3),
        ] {
            timeline.media.start_s = start_s;
            let preset = Preset { gap_frames, ..Preset::load(name).unwrap() };
            let edited = edited(&timeline, &preset, origin_ms, |text| text);
            assert_eq!(edited.labels, Some(timeline.fingerprint()));
            let found: Vec<(usize, usize)> =
                of_first(&edited, &timeline).into_iter().map(|(first, last, _)| (first, last)).collect();
            assert_eq!(found, expected, "{name}, gap {gap_frames}, origin {origin_ms} ms");
            assert!(edited.tiers_of_others(&timeline).is_empty());
        }
    }

    #[test]
    fn an_edge_goes_to_the_nearest_edge_of_a_frame() {
        let timeline = sample::two_signers();
        for (moved_ms, last_frame) in [(241, 0), (259, 0), (261, 1), (299, 1), (301, 2), (319, 2)] {
            let edit = |text: String| text.replace("TIME_VALUE=\"280\"", &format!("TIME_VALUE=\"{moved_ms}\""));
            let edited = edited(&timeline, &Preset::default(), 0, edit);
            assert_eq!(of_first(&edited, &timeline)[0].1, last_frame, "{moved_ms} ms");
        }
    }
}

//! From a timeline to annotations in whole milliseconds of a document's time.
//!
//! ELAN computes a frame from a time as the time over a frame's duration, rounded down. So the first millisecond that is
//! not before a frame, its start rounded up, is the one that gives that frame back, at every frame rate below 1000.

use std::borrow::Cow;

use super::preset::Preset;
use super::vocabulary::{self, ControlledVocabulary};
use crate::palette::{Colour, NO_FACE, colour_of, colour_of_event};
use crate::timeline::{
    ContainerTime, Expression, FacePart, GoingOn, PlayerTime, Segment, Status, TOGETHER, Timeline, Track,
};

/// A document's time: the player's, less where the document's zero lies in the video.
#[derive(Debug, Clone, Copy)]
pub(super) struct DocumentTime<'a> {
    pub timeline: &'a Timeline,
    /// Milliseconds of the video before the document's zero (ELAN's `TIME_ORIGIN`).
    pub origin_ms: i64,
}

impl DocumentTime<'_> {
    /// A moment of the container in the document, seconds.
    pub(super) fn seconds(self, time_s: f64) -> f64 {
        self.timeline.player_time(ContainerTime(time_s)).0 - self.origin_ms as f64 / 1000.0
    }

    /// The first whole millisecond of the document that is not before a moment of the container; `None` before its zero.
    pub(super) fn first_ms(self, time_s: f64) -> Option<u64> {
        const ROUNDING_S: f64 = 1e-9;
        let seconds = self.seconds(time_s);
        (seconds > -ROUNDING_S).then(|| PlayerTime(seconds).ceil_millis())
    }
}

/// A stretch of one thing, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TierStretch<T> {
    pub start_ms: u64,
    /// After `start_ms`.
    pub end_ms: u64,
    pub what: T,
}

/// A value of a controlled vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VocabularyValue {
    /// What people read.
    pub word: Cow<'static, str>,
    /// The vocabulary's entry; none where several go on at once, whose words stand together.
    pub entry: Option<String>,
}

/// A tier to be written for a signer.
pub(super) struct SignerTier {
    /// The name that is wanted.
    pub name: String,
    /// What ELAN paints it with.
    pub colour: Colour,
    pub content: Content,
}

/// What is on a tier.
pub(super) enum Content {
    /// Annotations with times of their own.
    Aligned { vocabulary: &'static ControlledVocabulary, annotations: Vec<TierStretch<VocabularyValue>> },
    /// A text, or none, for each annotation of an aligned tier, in its order; `parent` is that tier's index among the
    /// signer's.
    Hanging { kind: &'static str, parent: usize, texts: Vec<Option<String>> },
}

/// All tiers of a signer, in order; parents come first.
pub(super) fn of_signer(track: &Track, clock: DocumentTime, preset: &Preset) -> Vec<SignerTier> {
    let signer = preset.signer(track);
    let named = |pattern: &str| pattern.replace("{signer}", &signer);
    let segments = expressions(track, clock, preset);
    let value = |segment: &Segment| VocabularyValue {
        word: vocabulary::expression(segment.label, preset.language).word.into(),
        entry: Some(vocabulary::entry_id(segment.label.name())),
    };
    let named_in_full = |kind| vocabulary::event_in_full(kind, preset.language);
    let faces = segments.iter().map(|stretch| stretch.what.face.as_ref());
    let faces = faces.map(|face| Some(face?.words(named_in_full, vocabulary::brows(preset.language))));
    let faces: Vec<Option<String>> = faces.map(|words| words.filter(|words| !words.is_empty())).collect();
    let confidences = segments.iter().map(|stretch| stretch.what.confidence.map(|c| format!("{c:.2}"))).collect();
    let annotations = segments
        .iter()
        .map(|stretch| TierStretch { start_ms: stretch.start_ms, end_ms: stretch.end_ms, what: value(stretch.what) })
        .collect();
    let colour = colour_of(Expression::Sadness);
    let mut tiers = vec![
        SignerTier {
            name: named(&preset.expression),
            colour,
            content: Content::Aligned { vocabulary: &vocabulary::EXPRESSIONS, annotations },
        },
        SignerTier {
            name: named(&preset.confidence),
            colour,
            content: Content::Hanging { kind: "annotate-confidence", parent: 0, texts: confidences },
        },
        SignerTier {
            name: named(&preset.status),
            colour: NO_FACE,
            content: Content::Aligned { vocabulary: &vocabulary::STATUSES, annotations: unread(track, clock, preset) },
        },
    ];
    for part in clock.timeline.measured_parts().into_iter().filter(|part| !preset.part(*part).is_empty()) {
        let annotations = doings(track, part, clock, preset);
        tiers.push(SignerTier {
            name: named(preset.part(part)),
            colour: part.kinds().next().map_or(NO_FACE, colour_of_event),
            content: Content::Aligned { vocabulary: vocabulary::of_part(part), annotations },
        });
    }
    if !clock.timeline.measured_groups().is_empty() && !preset.segment_face.is_empty() {
        let content = Content::Hanging { kind: "annotate-face", parent: 0, texts: faces };
        tiers.push(SignerTier { name: named(&preset.segment_face), colour, content });
    }
    tiers
}

/// A stretch of frames, before it has milliseconds.
struct FrameStretch<T> {
    first_frame: usize,
    last_frame: usize,
    start_s: f64,
    end_s: f64,
    what: T,
}

/// The track's segments, neighbours `gap_frames` apart.
pub(super) fn expressions<'a>(track: &'a Track, clock: DocumentTime, preset: &Preset) -> Vec<TierStretch<&'a Segment>> {
    let span = |segment: &'a Segment| FrameStretch {
        first_frame: segment.first_frame,
        last_frame: segment.last_frame,
        start_s: segment.start_s,
        end_s: segment.end_s,
        what: segment,
    };
    apart(track.segments.iter().map(span).collect(), clock, preset.gap_frames)
}

/// What a part of the face does, neighbours `gap_frames` apart. Where several events go on at once, all their words stand in one
/// annotation, as annotations of a tier may not overlap.
fn doings(track: &Track, part: FacePart, clock: DocumentTime, preset: &Preset) -> Vec<TierStretch<VocabularyValue>> {
    let (times, video_end_s) = (&clock.timeline.frames, clock.timeline.end_s());
    let span = |GoingOn { first_frame, last_frame, kinds }| {
        let words: Vec<&str> = kinds.iter().map(|kind| vocabulary::event(*kind, preset.language).word).collect();
        let what = match kinds[..] {
            [kind] => VocabularyValue { word: words[0].into(), entry: Some(vocabulary::entry_id(kind.name())) },
            _ => VocabularyValue { word: words.join(TOGETHER).into(), entry: None },
        };
        let (start_s, end_s) = (times.time_s[first_frame], times.end_s(last_frame, video_end_s));
        FrameStretch { first_frame, last_frame, start_s, end_s, what }
    };
    apart(track.going_on(part).into_iter().map(span).collect(), clock, preset.gap_frames)
}

/// Where the signer's face could not be read, from the video's first frame to its last, neighbours `gap_frames` apart.
fn unread(track: &Track, clock: DocumentTime, preset: &Preset) -> Vec<TierStretch<VocabularyValue>> {
    let (timeline, times) = (clock.timeline, &clock.timeline.frames);
    let video_end_s = timeline.end_s();
    let status = |frame: usize| match frame.checked_sub(track.first_frame).and_then(|index| track.frames.get(index)) {
        Some(record) => record.status,
        None => Status::NoFace,
    };
    let mut spans: Vec<FrameStretch<Status>> = Vec::new();
    for frame in 0..times.time_s.len() {
        let (start_s, end_s) = (times.time_s[frame], times.end_s(frame, video_end_s));
        match spans.last_mut() {
            Some(last) if last.what == status(frame) => (last.last_frame, last.end_s) = (frame, end_s),
            _ => {
                spans.push(FrameStretch { first_frame: frame, last_frame: frame, start_s, end_s, what: status(frame) })
            }
        }
    }
    let spans = spans.into_iter().filter_map(|span| {
        let word = vocabulary::status(span.what, preset.language)?.word;
        let value = VocabularyValue { word: word.into(), entry: Some(vocabulary::entry_id(span.what.name())) };
        let FrameStretch { first_frame, last_frame, start_s, end_s, .. } = span;
        Some(FrameStretch { first_frame, last_frame, start_s, end_s, what: value })
    });
    apart(spans.collect(), clock, preset.gap_frames)
}

/// Spans as stretches in milliseconds that are not empty and do not overlap; of two that touch, the first ends
/// `gap_frames` earlier, where it is longer than that. What lies before the document's zero is left out.
fn apart<T>(spans: Vec<FrameStretch<T>>, clock: DocumentTime, gap_frames: usize) -> Vec<TierStretch<T>> {
    let first_frames: Vec<usize> = spans.iter().map(|span| span.first_frame).collect();
    let ends_s: Vec<f64> = spans
        .iter()
        .enumerate()
        .map(|(index, span)| {
            let touches = first_frames.get(index + 1) == Some(&(span.last_frame + 1));
            let frames = span.last_frame - span.first_frame + 1;
            match touches && gap_frames > 0 && gap_frames < frames {
                true => clock.timeline.frames.time_s[span.last_frame + 1 - gap_frames].min(span.end_s),
                false => span.end_s,
            }
        })
        .collect();
    let mut free_from_ms = 0;
    let shown = spans.into_iter().zip(ends_s).filter(|(_, end_s)| clock.seconds(*end_s) > 0.0);
    shown
        .map(|(span, end_s)| {
            let start_ms = clock.first_ms(span.start_s).unwrap_or(0).max(free_from_ms);
            let end_ms = clock.first_ms(end_s).unwrap_or(0).max(start_ms + 1);
            free_from_ms = end_ms;
            TierStretch { start_ms, end_ms, what: span.what }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;
    use crate::timeline::{EventKind, FaceEvent};

    fn clock(timeline: &Timeline) -> DocumentTime<'_> {
        DocumentTime { timeline, origin_ms: 0 }
    }

    #[test]
    fn the_documents_zero_is_taken_off_and_what_lies_before_it_left_out() {
        let mut timeline = sample::two_signers();
        let starts = |timeline: &Timeline, origin_ms| -> Vec<u64> {
            let clock = DocumentTime { timeline, origin_ms };
            expressions(&timeline.tracks[0], clock, &Preset::default()).iter().map(|s| s.start_ms).collect()
        };
        assert_eq!(starts(&timeline, 0), [200, 360]);
        assert_eq!(starts(&timeline, 100), [100, 260]);
        assert_eq!(starts(&timeline, 250), [0, 110], "the first began before the document did");
        assert_eq!(starts(&timeline, 280), [80], "and here it has ended by then");
        timeline.media.start_s = 0.2;
        assert_eq!(starts(&timeline, 100), [60], "both clocks at once");
    }

    #[test]
    fn touching_statuses_are_kept_apart_as_segments_are() {
        let timeline = sample::two_signers();
        let ends = |gap_frames| -> Vec<(u64, u64)> {
            let preset = Preset { gap_frames, ..Preset::default() };
            // Frames without the second signer, one occluded frame, and frames without again.
            unread(&timeline.tracks[1], clock(&timeline), &preset).iter().map(|s| (s.start_ms, s.end_ms)).collect()
        };
        assert_eq!(ends(0), [(200, 240), (280, 320), (320, 440)]);
        assert_eq!(ends(1), [(200, 240), (280, 320), (320, 440)], "a single frame is not taken away");
        let mut timeline = sample::two_signers();
        timeline.tracks[0].frames[1] = timeline.tracks[0].frames[2].clone();
        timeline.tracks[0].frames[1].frame = 1;
        let preset = Preset { gap_frames: 1, ..Preset::default() };
        let found = unread(&timeline.tracks[0], clock(&timeline), &preset);
        assert_eq!(found.iter().map(|s| (s.start_ms, s.end_ms)).collect::<Vec<_>>(), [(240, 280), (320, 360)]);
    }

    #[test]
    fn what_goes_on_at_once_stands_in_one_annotation_with_all_its_words() {
        let mut timeline = sample::two_signers();
        let event = |kind, first_frame, last_frame| {
            let (start_s, end_s) = (0.2 + 0.04 * first_frame as f64, 0.24 + 0.04 * last_frame as f64);
            FaceEvent { kind, first_frame, last_frame, start_s, end_s, peak: 1.0 }
        };
        timeline.tracks[0].events = vec![event(EventKind::HeadLeft, 0, 3), event(EventKind::TiltLeft, 2, 4)];
        let found = |preset: &Preset| -> Vec<(u64, u64, String, Option<String>)> {
            let tiers = of_signer(&timeline.tracks[0], clock(&timeline), preset);
            let tier = tiers.into_iter().find(|tier| tier.name == preset.head.replace("{signer}", "A")).unwrap();
            let Content::Aligned { annotations, .. } = tier.content else { panic!("it has times of its own") };
            annotations.into_iter().map(|a| (a.start_ms, a.end_ms, a.what.word.into_owned(), a.what.entry)).collect()
        };
        let left = Some("cve-head_left".to_owned());
        assert_eq!(
            found(&Preset::default()),
            [
                (200, 280, "turned left".into(), left.clone()),
                (280, 360, "turned left + tilted left".into(), None),
                (360, 400, "tilted left".into(), Some("cve-tilt_left".into())),
            ]
        );
        let german = found(&Preset::load("dgs").unwrap());
        assert_eq!(german[1].2, "links gedreht + links geneigt");
        let apart = found(&Preset { gap_frames: 1, ..Preset::default() });
        assert_eq!(apart.iter().map(|a| (a.0, a.1)).collect::<Vec<_>>(), [(200, 240), (280, 320), (360, 400)]);
    }

    #[test]
    fn what_the_face_did_in_a_segment_hangs_on_it_in_either_language() {
        let timeline = sample::two_signers();
        let found = |preset: &Preset| -> Vec<Option<String>> {
            let tiers = of_signer(&timeline.tracks[0], clock(&timeline), preset);
            let Some(SignerTier { content: Content::Hanging { parent: 0, texts, .. }, .. }) = tiers.into_iter().last()
            else {
                panic!("it hangs on the expressions")
            };
            texts
        };
        assert_eq!(found(&Preset::default()), [Some("brows raised 100 %, brows +7 %".to_owned()), None]);
        let german = found(&Preset::load("dgs").unwrap());
        assert_eq!(german[0].as_deref(), Some("Brauen gehoben 100 %, Brauen +7 %"));
    }

    #[test]
    fn a_part_has_a_tier_where_it_was_measured_and_the_preset_names_one() {
        let mut timeline = sample::two_signers();
        let names = |timeline: &Timeline, preset: &Preset| -> Vec<String> {
            of_signer(&timeline.tracks[1], clock(timeline), preset).into_iter().skip(3).map(|tier| tier.name).collect()
        };
        assert_eq!(
            names(&timeline, &Preset::default()),
            ["brows@B", "eyes@B", "mouth@B", "head@B", "hands-on-face@B", "expression-face@B"]
        );
        let preset =
            Preset { eyes: String::new(), hands: String::new(), segment_face: String::new(), ..Preset::default() };
        assert_eq!(names(&timeline, &preset), ["brows@B", "mouth@B", "head@B"]);
        timeline.settings = serde_json::json!({"measures": ["eyes", "head"]});
        assert_eq!(names(&timeline, &preset), ["head@B"]);
    }

    proptest! {
        #[test]
        fn a_boundary_comes_back_to_its_frame_at_every_common_rate(
            rate in prop::sample::select(vec![(24000, 1001), (25, 1), (30000, 1001), (50, 1), (60000, 1001), (12, 1), (120, 1)]),
            frame in 0i64..1_000_000,
        ) {
            let (numerator, denominator) = rate;
            let time_s = frame as f64 * f64::from(denominator) / f64::from(numerator);
            let timeline = sample::two_signers();
            // The time over the frame's duration, rounded down, in exact arithmetic.
            let first_ms = clock(&timeline).first_ms(time_s).unwrap();
            let found = first_ms as i64 * i64::from(numerator) / (1000 * i64::from(denominator));
            prop_assert_eq!(found, frame);
        }

        #[test]
        fn with_a_variable_rate_the_millisecond_lies_in_its_frame(
            steps in proptest::collection::vec(1.1f64..500.0, 1..50),
        ) {
            let timeline = sample::two_signers();
            let mut start_ms = 0.0;
            for step in steps {
                let found = clock(&timeline).first_ms(start_ms / 1000.0).unwrap() as f64;
                prop_assert!(start_ms - 1e-5 <= found && found < start_ms + step);
                start_ms += step;
            }
        }

        #[test]
        fn annotations_of_a_tier_never_overlap(
            timeline in sample::any_timeline(), gap_frames in 0usize..3, origin_ms in -500i64..500,
        ) {
            let preset = Preset { gap_frames, ..Preset::default() };
            let clock = DocumentTime { timeline: &timeline, origin_ms };
            for track in &timeline.tracks {
                for tier in of_signer(track, clock, &preset) {
                    let Content::Aligned { annotations: found, .. } = tier.content else { continue };
                    prop_assert!(found.iter().all(|s| s.start_ms < s.end_ms));
                    prop_assert!(found.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
                }
            }
        }
    }
}

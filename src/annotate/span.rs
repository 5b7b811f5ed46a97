//! Spans: the pieces of a video that can be looked at by themselves.
//!
//! A tracker remembers everything it has seen, so a tracker that runs through a whole video cannot be cut: what it says
//! of the tenth minute depends on the first. Container time is therefore divided into spans of [`SPAN_S`] on an absolute
//! grid, and each gets a tracker of its own, which is shown the [`LEAD_S`] before its span to find the faces in it. What it
//! says depends on these frames alone, whoever decoded them, so that machines can share a video and still write the
//! bytes that one would have written. Who is who from span to span is settled afterwards, in order (see
//! [`super::stitch`]).

use std::ops::Range;

use super::AnnotateError;
use super::detect::FaceDetector;
use super::frame::{Frame, Sighting};
use super::track::{FaceTracker, TrackSettings};

/// Length of a span, seconds. Longer ones waste less on their leads; shorter ones cut more finely. At 10 s the lead costs
/// a tenth of detection.
pub(crate) const SPAN_S: i64 = 10;
/// How long a tracker looks before its span begins, seconds: enough to find a face anew, turned ones included
/// (docs/benchmarks.md).
pub(crate) const LEAD_S: i64 = 1;

/// All spans of a video.
pub(crate) const ALL: Range<i64> = i64::MIN..i64::MAX;

/// Where a frame lies on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The frame's span; span 0 starts at time 0.
    pub(crate) span: i64,
    /// The span whose tracker sees the frame as well, or the frame's own one.
    pub(crate) lead_of: i64,
}

/// The place of a moment, `pts` times `time_base` seconds, in whole numbers: the same for everybody who asks.
pub(crate) fn place(pts: i64, time_base: [i32; 2]) -> Place {
    let (pts, numerator) = (i128::from(pts), i128::from(time_base[0]));
    let denominator = i128::from(time_base[1]).max(1);
    let length = denominator * i128::from(SPAN_S);
    // With 32 bits of time base and 64 of pts both fit.
    let span = |ticks: i128| ticks.div_euclid(length).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    let ticks = pts * numerator;
    Place { span: span(ticks), lead_of: span(ticks + denominator * i128::from(LEAD_S)) }
}

/// The place of a frame. One whose time has left its pts, because the container's clock ran backwards before it, goes by
/// its time.
pub(super) fn place_of(frame: &Frame, time_base: [i32; 2]) -> Place {
    if frame.time_s == super::decode::seconds(frame.pts, time_base) {
        return place(frame.pts, time_base);
    }
    let span = |time_s: f64| (time_s / SPAN_S as f64).floor() as i64;
    Place { span: span(frame.time_s), lead_of: span(frame.time_s + LEAD_S as f64) }
}

/// What a span's tracker saw in the frames just before its span, in order; the last one is the frame before the span's
/// first.
pub(crate) type Lead = Vec<Vec<Sighting>>;

/// A frame and the faces in it; the tracks are those of its span.
pub(super) struct Tracked {
    pub(super) frame: Frame,
    pub(super) sightings: Vec<Sighting>,
    /// On the first frame of a span.
    pub(super) begins: Option<Lead>,
}

/// Makes one detector a span.
pub(super) type Detectors<'a> = dyn FnMut() -> Result<Box<dyn FaceDetector>, AnnotateError> + 'a;

/// Tracks the faces of `wanted` spans, each with its own tracker.
pub(super) struct SpanTracker<'a> {
    time_base: [i32; 2],
    wanted: Range<i64>,
    settings: &'a TrackSettings,
    detectors: Box<Detectors<'a>>,
    current: Option<Span>,
    /// The one that follows, from its lead on.
    next: Option<Span>,
}

/// One span being tracked.
struct Span {
    index: i64,
    tracker: FaceTracker,
    answers: Answers,
}

/// Tells a tracker's answers on the lead from those on the span.
struct Answers {
    /// Frames of the lead that the tracker has not answered yet.
    unanswered: usize,
    /// What it said of the others, until the span's first frame takes it along.
    lead: Option<Lead>,
}

impl<'a> SpanTracker<'a> {
    pub(super) fn new(
        time_base: [i32; 2],
        wanted: Range<i64>,
        settings: &'a TrackSettings,
        detectors: Box<Detectors<'a>>,
    ) -> Self {
        Self { time_base, wanted, settings, detectors, current: None, next: None }
    }

    /// Takes the next frame; gives the frames about which everything is known, in order, at most a few late. Frames of
    /// spans that are not wanted are left out.
    pub(super) fn push(&mut self, frame: Frame) -> Result<Vec<Tracked>, AnnotateError> {
        let place = place_of(&frame, self.time_base);
        let mut tracked = Vec::new();
        if self.current.as_ref().is_none_or(|current| current.index < place.span) {
            tracked = self.current.take().map_or_else(Vec::new, Span::finish);
            self.current = self.next.take().filter(|next| next.index == place.span);
            if self.current.is_none() && self.wanted.contains(&place.span) {
                self.current = Some(self.begin(place.span)?);
            }
        }
        if place.lead_of > place.span && self.wanted.contains(&place.lead_of) {
            let next = match self.next.take() {
                Some(next) if next.index == place.lead_of => next,
                _ => self.begin(place.lead_of)?,
            };
            self.next.insert(next).look_ahead(frame.clone());
        }
        if let Some(current) = &mut self.current {
            tracked.extend(current.push(frame));
        }
        Ok(tracked)
    }

    /// Gives the frames still held.
    pub(super) fn finish(self) -> Vec<Tracked> {
        self.current.map_or_else(Vec::new, Span::finish)
    }

    fn begin(&mut self, index: i64) -> Result<Span, AnnotateError> {
        let tracker = FaceTracker::new((self.detectors)()?, self.settings.clone());
        Ok(Span { index, tracker, answers: Answers { unanswered: 0, lead: Some(Lead::new()) } })
    }
}

impl Span {
    /// A frame of the lead. The span's own frames come later, so that nothing is known about them yet.
    fn look_ahead(&mut self, frame: Frame) {
        self.answers.unanswered += 1;
        let answers = self.tracker.push(frame);
        self.answers.sort(answers);
    }

    fn push(&mut self, frame: Frame) -> Vec<Tracked> {
        let answers = self.tracker.push(frame);
        self.answers.sort(answers)
    }

    fn finish(mut self) -> Vec<Tracked> {
        self.answers.sort(self.tracker.finish())
    }
}

impl Answers {
    /// Puts answers on the lead aside and gives those on the span.
    fn sort(&mut self, answers: Vec<(Frame, Vec<Sighting>)>) -> Vec<Tracked> {
        let mut own = Vec::new();
        for (frame, sightings) in answers {
            if self.unanswered > 0 {
                self.unanswered -= 1;
                self.lead.get_or_insert_default().push(sightings);
            } else {
                own.push(Tracked { frame, sightings, begins: self.lead.take() });
            }
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_on_the_grid_belongs_to_the_span_that_starts_there() {
        // 1/30 s has no exact double: 300 frames are 10 s all the same.
        assert_eq!(place(299, [1, 30]), Place { span: 0, lead_of: 1 });
        assert_eq!(place(300, [1, 30]), Place { span: 1, lead_of: 1 });
        assert_eq!(place(-1, [1, 30]), Place { span: -1, lead_of: 0 });
        assert_eq!(place(269, [1, 30]), Place { span: 0, lead_of: 0 });
        assert_eq!(place(270, [1, 30]), Place { span: 0, lead_of: 1 });
        assert_eq!(place(i64::MAX, [i32::MAX, 1]).span, i64::MAX);
    }

    proptest! {
        #[test]
        fn spans_rise_with_time(pts in -1_000_000i64..1_000_000, more in 0i64..1_000_000, base in (1i32..2000, 1i32..100_000)) {
            let base = [base.0, base.1];
            let (early, late) = (place(pts, base), place(pts + more, base));
            prop_assert!(early.span <= late.span && early.lead_of <= late.lead_of);
            prop_assert!((early.span..=early.span + 1).contains(&early.lead_of));
        }
    }
}

//! Spans: the pieces of a video that can be looked at by themselves.
//!
//! A tracker remembers everything it has seen, so a tracker that runs through a whole video cannot be cut: what it says
//! of the tenth minute depends on the first. Container time is therefore divided into spans of [`SPAN_S`] on an absolute
//! grid, and each gets a tracker of its own, which is also shown the [`LEAD_S`] before its span, to find the faces in it,
//! and the [`TAIL_S`] after it, to look ahead. What it says depends on these frames alone, whoever decoded them, so that
//! machines can share a video and still write the bytes that one would have written. Who is who from span to span is
//! settled afterwards, in order (see [`super::stitch`]).

use std::cmp::Ordering;
use std::collections::VecDeque;
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
/// How long it may look beyond its span, seconds: a little more than a tracker waits for later frames. It stops when it
/// has said all about its span.
const TAIL_S: f64 = 0.5;

/// All spans of a video.
pub(crate) const ALL: Range<i64> = i64::MIN..i64::MAX;

/// The last span on either side; nobody's clock goes so far, but a file may say anything.
const FARTHEST: i64 = i64::MAX / 2;

/// Where a frame lies on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The frame's span; span 0 starts at time 0.
    pub(crate) span: i64,
    /// The span in whose lead the frame lies as well, or its own one.
    pub(crate) lead_of: i64,
    /// The span in whose tail the frame lies as well, or its own one.
    pub(crate) tail_of: i64,
}

/// The place of a moment, `pts` times `time_base` seconds, in whole numbers: the same for everybody who asks.
pub(crate) fn place(pts: i64, time_base: [i32; 2]) -> Place {
    // 64 bits of pts, 32 of time base and what is added here fit. In thousandths, for the tail's sake.
    let ticks = i128::from(pts) * i128::from(time_base[0]) * 1000;
    let second = i128::from(time_base[1]).max(1) * 1000;
    let length = second * i128::from(SPAN_S);
    let span = |ticks: i128| ticks.div_euclid(length).clamp((-FARTHEST).into(), FARTHEST.into()) as i64;
    let tail = second * (TAIL_S * 1000.0) as i128 / 1000;
    Place {
        span: span(ticks),
        lead_of: span(ticks + second * i128::from(LEAD_S)),
        // The tail ends with its last moment, as the lead begins with its first.
        tail_of: span(ticks - tail),
    }
}

/// The place of a frame. One whose time has left its pts, because the container's clock ran backwards before it, goes by
/// its time.
pub(super) fn place_of(frame: &Frame, time_base: [i32; 2]) -> Place {
    if frame.time_s == super::decode::seconds(frame.pts, time_base) {
        return place(frame.pts, time_base);
    }
    let span = |time_s: f64| ((time_s / SPAN_S as f64).floor() as i64).clamp(-FARTHEST, FARTHEST);
    let time_s = frame.time_s;
    Place { span: span(time_s), lead_of: span(time_s + LEAD_S as f64), tail_of: span(time_s - TAIL_S) }
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
    /// In order; more than one where the tail of one and the lead of the next are.
    open: VecDeque<Span>,
}

/// One span being tracked.
struct Span {
    index: i64,
    /// None once it has said all about the span.
    tracker: Option<FaceTracker>,
    /// Where the frames lie that the tracker has not answered yet.
    unanswered: VecDeque<Part>,
    /// What it said of the lead, until the span's first frame takes it along.
    lead: Option<Lead>,
    /// Frames that wait for those of the span before.
    ready: Vec<Tracked>,
}

/// Where a frame lies, seen from a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Lead,
    Own,
    Tail,
}

impl<'a> SpanTracker<'a> {
    pub(super) fn new(
        time_base: [i32; 2],
        wanted: Range<i64>,
        settings: &'a TrackSettings,
        detectors: Box<Detectors<'a>>,
    ) -> Self {
        Self { time_base, wanted, settings, detectors, open: VecDeque::new() }
    }

    /// Takes the next frame; gives the frames about which everything is known, in order, at most a moment late. Frames of
    /// spans that are not wanted are left out.
    pub(super) fn push(&mut self, frame: Frame) -> Result<Vec<Tracked>, AnnotateError> {
        let place = place_of(&frame, self.time_base);
        self.open.iter_mut().filter(|span| span.index < place.tail_of).for_each(Span::finish);
        for index in [place.span, place.lead_of] {
            let is_open = self.open.iter().any(|span| span.index == index);
            if !is_open && self.wanted.contains(&index) {
                let tracker = FaceTracker::new((self.detectors)()?, self.settings.clone());
                self.open.push_back(Span::new(index, tracker));
            }
        }
        for span in &mut self.open {
            let part = match span.index.cmp(&place.span) {
                Ordering::Less => Part::Tail,
                Ordering::Equal => Part::Own,
                Ordering::Greater => Part::Lead,
            };
            span.push(&frame, part);
        }
        Ok(self.ready())
    }

    /// Gives the frames still held.
    pub(super) fn finish(mut self) -> Vec<Tracked> {
        self.open.iter_mut().for_each(Span::finish);
        self.ready()
    }

    /// The frames that no earlier one is waited for.
    fn ready(&mut self) -> Vec<Tracked> {
        let mut ready = Vec::new();
        while let Some(first) = self.open.front_mut() {
            ready.append(&mut first.ready);
            if first.tracker.is_some() {
                break;
            }
            self.open.pop_front();
        }
        ready
    }
}

impl Span {
    fn new(index: i64, tracker: FaceTracker) -> Self {
        let lead = Some(Lead::new());
        Self { index, tracker: Some(tracker), unanswered: VecDeque::new(), lead, ready: Vec::new() }
    }

    fn push(&mut self, frame: &Frame, part: Part) {
        let Some(tracker) = &mut self.tracker else { return };
        self.unanswered.push_back(part);
        let answers = tracker.push(frame.clone());
        self.sort(answers);
        if part == Part::Tail && !self.unanswered.contains(&Part::Own) {
            self.tracker = None;
        }
    }

    fn finish(&mut self) {
        let answers = self.tracker.take().map(FaceTracker::finish).unwrap_or_default();
        self.sort(answers);
    }

    fn sort(&mut self, answers: Vec<(Frame, Vec<Sighting>)>) {
        for (frame, sightings) in answers {
            match self.unanswered.pop_front() {
                Some(Part::Lead) => self.lead.get_or_insert_default().push(sightings),
                Some(Part::Own) => self.ready.push(Tracked { frame, sightings, begins: self.lead.take() }),
                Some(Part::Tail) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_on_the_grid_belongs_to_the_span_that_starts_there() {
        // 1/30 s has no exact double: 300 frames are 10 s all the same.
        let at = |pts| {
            let Place { span, lead_of, tail_of } = place(pts, [1, 30]);
            (tail_of, span, lead_of)
        };
        assert_eq!(at(269), (0, 0, 0));
        assert_eq!(at(270), (0, 0, 1));
        assert_eq!(at(299), (0, 0, 1));
        assert_eq!(at(300), (0, 1, 1));
        assert_eq!(at(314), (0, 1, 1));
        assert_eq!(at(315), (1, 1, 1));
        assert_eq!(at(-1), (-1, -1, 0));
        assert_eq!(place(i64::MAX, [i32::MAX, 1]).span, FARTHEST);
    }

    proptest! {
        #[test]
        fn spans_rise_with_time(pts in -1_000_000i64..1_000_000, more in 0i64..1_000_000, base in (1i32..2000, 1i32..100_000)) {
            let base = [base.0, base.1];
            let (early, late) = (place(pts, base), place(pts + more, base));
            prop_assert!(early.span <= late.span && early.lead_of <= late.lead_of);
            prop_assert!((early.span..=early.span + 1).contains(&early.lead_of));
            prop_assert!((early.span - 1..=early.span).contains(&early.tail_of));
        }
    }
}

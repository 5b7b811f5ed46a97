//! Spans: the pieces of a video that can be looked at by themselves.
//!
//! A tracker remembers everything it has seen, so a tracker that runs through a whole video cannot be cut: what it says
//! of the tenth minute depends on the first. Container time is therefore divided into spans of ten seconds on an absolute
//! grid, and each gets a tracker of its own, which is also shown the second before its span, to find the faces in it,
//! and half a second after it, to look ahead. What it says depends on these frames alone, whoever decoded them, so that
//! machines can share a video and still write the bytes that one would have written. Who is who from span to span is
//! settled afterwards, in order (see [`super::stitch`]). The grid itself is in [`crate::time`].

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

use super::AnnotateError;
use super::detect::{FaceDetector, SearchTimes, Searched};
use super::frame::{Frame, Sighting};
use super::track::{FaceTracker, TrackSettings};

/// All spans of a video.
pub(crate) const ALL: Range<i64> = i64::MIN..i64::MAX;

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
    wanted: Range<i64>,
    settings: &'a TrackSettings,
    detectors: Box<Detectors<'a>>,
    /// In order; more than one where the tail of one and the lead of the next are.
    open: VecDeque<Span>,
    /// Told to whoever searches ahead.
    searches: SearchTimes,
}

/// One span being tracked.
struct Span {
    index: i64,
    /// None once it has said all about the span.
    tracker: Option<FaceTracker>,
    /// Where the frames lie that the tracker has not answered yet.
    unanswered: VecDeque<SpanPart>,
    /// What it said about the lead, until the span's first frame takes it along.
    lead: Option<Lead>,
    /// Frames that wait for those of the span before.
    ready: Vec<Tracked>,
}

/// Where a frame lies, seen from a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpanPart {
    Lead,
    Own,
    Tail,
}

impl<'a> SpanTracker<'a> {
    pub(super) fn new(
        wanted: Range<i64>,
        settings: &'a TrackSettings,
        detectors: Box<Detectors<'a>>,
        searches: SearchTimes,
    ) -> Self {
        Self { wanted, settings, detectors, open: VecDeque::new(), searches }
    }

    /// Takes the next frame; gives the frames about which everything is known, in order, at most a moment late. Frames of
    /// spans that are not wanted are left out.
    pub(super) fn push(&mut self, searched: Searched) -> Result<Vec<Tracked>, AnnotateError> {
        let cell = searched.frame.time.cell();
        self.open.iter_mut().filter(|span| span.index < cell.tail_of).for_each(Span::finish);
        for index in [cell.span, cell.lead_of] {
            let is_open = self.open.iter().any(|span| span.index == index);
            if !is_open && self.wanted.contains(&index) {
                let tracker = FaceTracker::new((self.detectors)()?, self.settings.clone());
                self.open.push_back(Span::new(index, tracker));
            }
        }
        for span in &mut self.open {
            let part = match span.index.cmp(&cell.span) {
                Ordering::Less => SpanPart::Tail,
                Ordering::Equal => SpanPart::Own,
                Ordering::Greater => SpanPart::Lead,
            };
            span.push(&searched, part);
        }
        let times = self.open.iter().filter_map(|span| Some((span.index, span.tracker.as_ref()?.searched_s())));
        self.searches.set(times.collect());
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

    fn push(&mut self, searched: &Searched, part: SpanPart) {
        let Some(tracker) = &mut self.tracker else { return };
        self.unanswered.push_back(part);
        let answers = tracker.push_searched(searched.clone());
        self.sort(answers);
        if part == SpanPart::Tail && !self.unanswered.contains(&SpanPart::Own) {
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
                Some(SpanPart::Lead) => self.lead.get_or_insert_default().push(sightings),
                Some(SpanPart::Own) => self.ready.push(Tracked { frame, sightings, begins: self.lead.take() }),
                Some(SpanPart::Tail) | None => {}
            }
        }
    }
}

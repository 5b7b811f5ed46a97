//! Whole pictures are searched for faces ahead of the tracker, in a thread of their own: a search takes as long as following a
//! face through twenty frames. What a search gives depends on its picture alone, so it makes no difference who did it: the
//! tracker takes what was found for it, and searches itself where it wants to and nobody has.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Detection, FaceDetector, SearchWindow};
use crate::picture::Plane;
use crate::pipeline::frame::Frame;

/// A frame, and the search of its picture if there is one.
#[derive(Clone)]
pub(crate) struct Searched {
    pub(crate) frame: Frame,
    pub(crate) search: Option<Search>,
}

/// A search that was asked for.
#[derive(Clone)]
pub(crate) struct Search(Arc<Mutex<Answer>>);

enum Answer {
    Awaited(Receiver<Arc<[Detection]>>),
    Given(Arc<[Detection]>),
    /// The one who searched is gone.
    Lost,
}

impl Search {
    /// The faces, the surest first, as soon as the search has ended; `None` if it never will.
    pub(crate) fn faces(&self) -> Option<Arc<[Detection]>> {
        let mut answer = lock(&self.0);
        if let Answer::Awaited(from) = &*answer {
            *answer = from.recv().map_or(Answer::Lost, Answer::Given);
        }
        match &*answer {
            Answer::Given(faces) => Some(Arc::clone(faces)),
            Answer::Awaited(_) | Answer::Lost => None,
        }
    }
}

/// A picture to search, and where the faces go.
pub(crate) struct SearchRequest {
    frame: Frame,
    answer: Sender<Arc<[Detection]>>,
}

/// Searches what `window` says of each picture, until no request comes any more.
pub(crate) fn serve(
    detector: &mut dyn FaceDetector,
    window: impl Fn(&Plane) -> SearchWindow,
    requests: Receiver<SearchRequest>,
) {
    for SearchRequest { frame, answer } in requests {
        let luma = frame.picture.luma();
        // Nobody may want to know any more.
        let _ = answer.send(detector.detect(&luma, &window(&luma)).into());
    }
}

/// When the tracker of each span has last searched the whole picture, seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct SearchTimes(Arc<Mutex<BTreeMap<i64, f64>>>);

impl SearchTimes {
    /// Says so of all spans that are being tracked.
    pub(crate) fn set(&self, times: BTreeMap<i64, f64>) {
        *lock(&self.0) = times;
    }

    fn of(&self, span: i64) -> f64 {
        lock(&self.0).get(&span).copied().unwrap_or(f64::NEG_INFINITY)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has those pictures searched that trackers are going to ask about if nothing unforeseen happens.
pub(crate) struct SearchAhead {
    every_s: f64,
    wanted: Range<i64>,
    times: SearchTimes,
    to: Sender<SearchRequest>,
    /// When a search was last asked for, for each span.
    asked_s: BTreeMap<i64, f64>,
}

impl SearchAhead {
    /// A search every `every_s` seconds after the last one, for trackers of the spans `wanted`.
    pub(crate) fn new(every_s: f64, wanted: Range<i64>, times: SearchTimes, to: Sender<SearchRequest>) -> Self {
        Self { every_s, wanted, times, to, asked_s: BTreeMap::new() }
    }

    /// Takes the next frame.
    pub(crate) fn push(&mut self, frame: Frame) -> Searched {
        let cell = frame.time.cell();
        // The trackers that see it: those of its span, of the one before it and of the one after it.
        let seen_by = cell.tail_of.max(self.wanted.start)..(cell.lead_of + 1).min(self.wanted.end);
        self.asked_s.retain(|span, _| seen_by.contains(span));
        let asked_s = |span| self.asked_s.get(&span).copied().unwrap_or(f64::NEG_INFINITY);
        let is_due = |span| frame.time_s - asked_s(span).max(self.times.of(span)) >= self.every_s;
        if !seen_by.clone().any(is_due) {
            return Searched { frame, search: None };
        }
        let (answer, awaited) = bounded(1);
        // Where the one who searches does not keep up, the tracker does it.
        let is_taken = self.to.try_send(SearchRequest { frame: frame.clone(), answer }).is_ok();
        if is_taken {
            self.asked_s.extend(seen_by.map(|span| (span, frame.time_s)));
        }
        let search = is_taken.then(|| Search(Arc::new(Mutex::new(Answer::Awaited(awaited)))));
        Searched { frame, search }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::GreyPicture;
    use crate::time::Timestamp;
    use crate::timeline::BoundingBox;

    /// Ten of them are a second.
    fn frame(index: usize) -> Frame {
        let picture = Arc::new(GreyPicture { samples: vec![index as u8; 64 * 64], width: 64, height: 64 });
        let time = Timestamp::new(index as i64, [1, 10]);
        Frame { index, pts: index as i64, time, time_s: index as f64 / 10.0, picture }
    }

    /// Finds a face whose score is the picture's first sample.
    struct Scored;

    impl FaceDetector for Scored {
        fn detect(&mut self, luma: &Plane, _: &SearchWindow) -> Vec<Detection> {
            let face = BoundingBox { x: 0.0, y: 0.0, w: 9.0, h: 9.0 };
            vec![Detection { face, score: luma.samples[0].into(), roll_degrees: 0.0 }]
        }
    }

    #[test]
    fn a_picture_a_second_is_searched_and_none_that_a_tracker_has_just_searched() {
        let (to, requests) = bounded(1);
        let times = SearchTimes::default();
        let mut ahead = SearchAhead::new(1.0, 0..1, times.clone(), to);
        let mut asked = |from: usize, to: usize| -> Vec<usize> {
            (from..to).filter(|index| ahead.push(frame(*index)).search.is_some() && requests.recv().is_ok()).collect()
        };
        assert_eq!(asked(20, 45), [20, 30, 40]);
        times.set(BTreeMap::from([(0, 4.4)]));
        assert_eq!(asked(45, 70), [54, 64]);
        // From 9 seconds on the next span's tracker watches too, but nobody wants it.
        assert_eq!(asked(70, 105), [74, 84, 94, 104]);
        assert!(asked(105, 140).is_empty());
    }

    #[test]
    fn an_answer_is_that_of_its_own_picture_and_one_that_never_comes_is_not_waited_for() {
        let (to, requests) = bounded(2);
        let mut ahead = SearchAhead::new(1.0, 0..1, SearchTimes::default(), to);
        let mut ask = |index| ahead.push(frame(index)).search;
        let [first, second] = [ask(10).unwrap(), ask(20).unwrap()];
        // The one who searches does not keep up.
        assert!(ask(30).is_none());
        let scores = |search: &Search| search.faces().map(|faces| faces.iter().map(|d| d.score).collect::<Vec<_>>());
        std::thread::scope(|scope| {
            let one = requests.clone();
            scope.spawn(move || serve(&mut Scored, |luma| SearchWindow::whole(luma, 8.0), one));
            for _ in 0..2 {
                assert_eq!((scores(&second), scores(&first)), (Some(vec![20.0]), Some(vec![10.0])));
            }
            drop(ahead);
        });
        let (to, requests) = bounded(1);
        let search = SearchAhead::new(1.0, 0..1, SearchTimes::default(), to).push(frame(10)).search.unwrap();
        drop(requests);
        assert_eq!(scores(&search), None);
    }
}

//! How long a source may keep silent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Watches over the waiting for a source: for how long it may say nothing, and whether it did longer or broke off.
#[derive(Debug)]
pub struct Patience {
    limit: Option<Duration>,
    started: Instant,
    /// Milliseconds after `started`, plus one; zero while no thread waits.
    waiting_since: AtomicU64,
    /// Until when, in the same units, the wait in progress may last.
    waiting_until: AtomicU64,
    /// Whether the last wait went on beyond the limit.
    has_run_out: AtomicBool,
    was_lost: AtomicBool,
}

/// Opening a stream takes longer than reading on: FFmpeg looks at several seconds of it first.
const OPENING: Duration = Duration::from_secs(10);

impl Default for Patience {
    /// Half a minute.
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl Patience {
    /// At most `limit` of silence; zero for no limit.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit: (!limit.is_zero()).then_some(limit),
            started: Instant::now(),
            waiting_since: AtomicU64::new(0),
            waiting_until: AtomicU64::new(u64::MAX),
            has_run_out: AtomicBool::new(false),
            was_lost: AtomicBool::new(false),
        }
    }

    /// Whether the source fell silent or broke off.
    pub fn was_lost(&self) -> bool {
        self.was_lost.load(Ordering::Relaxed)
    }

    /// For how long the wait in progress has gone on beyond the limit.
    pub fn overdue(&self) -> Option<Duration> {
        let is_waiting = self.waiting_since.load(Ordering::Relaxed) > 0;
        let over = self.now().checked_sub(self.waiting_until.load(Ordering::Relaxed))?;
        is_waiting.then_some(Duration::from_millis(over))
    }

    /// Whether the last wait, now over, went on beyond the limit.
    pub(super) fn has_run_out(&self) -> bool {
        self.has_run_out.load(Ordering::Relaxed)
    }

    /// The limit, seconds.
    pub(super) fn limit_s(&self) -> f64 {
        self.limit.unwrap_or_default().as_secs_f64()
    }

    /// Notes that the source fell silent or broke off.
    pub(super) fn note_loss(&self) {
        self.was_lost.store(true, Ordering::Relaxed);
    }

    /// Does something that may wait for the source.
    pub(super) fn reading<T>(&self, read: impl FnOnce() -> T) -> T {
        self.waiting(self.limit, read)
    }

    /// The same for opening it.
    pub(super) fn opening<T>(&self, open: impl FnOnce() -> T) -> T {
        self.waiting(self.limit.map(|limit| limit + OPENING), open)
    }

    fn waiting<T>(&self, limit: Option<Duration>, wait: impl FnOnce() -> T) -> T {
        let now = self.now();
        let until = limit.map_or(u64::MAX, |limit| now.saturating_add(limit.as_millis() as u64));
        self.waiting_until.store(until, Ordering::Relaxed);
        self.waiting_since.store(now, Ordering::Relaxed);
        let result = wait();
        self.has_run_out.store(self.overdue().is_some(), Ordering::Relaxed);
        self.waiting_since.store(0, Ordering::Relaxed);
        result
    }

    /// Milliseconds of a clock that is never set back.
    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wait_beyond_the_limit_is_overdue() {
        let patience = Patience::new(Duration::from_millis(20));
        assert_eq!(patience.overdue(), None);
        patience.reading(|| {
            assert_eq!(patience.overdue(), None);
            std::thread::sleep(Duration::from_millis(40));
            assert!(patience.overdue().is_some());
        });
        assert!(patience.has_run_out());
        patience.reading(|| ());
        assert!(!patience.has_run_out());
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(patience.overdue(), None, "time spent on other work is not waiting");
        let endless = Patience::new(Duration::ZERO);
        endless.reading(|| {
            std::thread::sleep(Duration::from_millis(40));
            assert_eq!(endless.overdue(), None);
        });
    }
}

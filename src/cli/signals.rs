//! Ctrl-C, TERM and HUP (a terminal that is closed): the first asks the work to end with what is done, the second ends the
//! program. A corpus has a step more: the first Ctrl-C lets the videos at work be finished, the second stops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::Failure;
use super::limits::is_ignored;
use crate::platform::signals::{HANG_UP, SIGINT, SIGTERM, end_at_second, listen};

/// The signals that are handled. A program started with `nohup` is meant to outlive its terminal.
fn handled() -> Vec<i32> {
    [SIGINT, SIGTERM].into_iter().chain(HANG_UP.filter(|signal| !is_ignored(*signal))).collect()
}

/// Listening takes a thread, which a small limit of processes or memory does not allow.
fn refused(error: std::io::Error) -> Failure {
    Failure::Limit(format!("no thread can be started that listens for signals: {error}"))
}

/// What the signals have said so far.
#[derive(Clone)]
pub(super) struct Signals {
    /// Set by the first signal.
    pub(super) interrupt: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system allows no further thread.
    pub(super) fn listen() -> Result<Self, Failure> {
        let this = Self { interrupt: Arc::default(), signal: Arc::default() };
        end_at_second(&handled(), &this.interrupt).map_err(refused)?;
        let last = Arc::clone(&this.signal);
        listen(&handled(), move |signal| last.store(signal, Ordering::Relaxed)).map_err(refused)?;
        Ok(this)
    }

    /// The signal that interrupted, where one did.
    pub(super) fn received(&self) -> Option<i32> {
        let signal = self.signal.load(Ordering::Relaxed);
        self.interrupt.load(Ordering::Relaxed).then_some(if signal == 0 { SIGINT } else { signal })
    }
}

/// What the signals have said to a run over a corpus.
#[derive(Clone)]
pub(super) struct StopSignals {
    /// Set where videos at work are to be left off.
    pub(super) interrupt: Arc<AtomicBool>,
    drain: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system allows no further thread.
    pub(super) fn listen() -> Result<Self, Failure> {
        let this = Self { interrupt: Arc::default(), drain: Arc::default(), signal: Arc::default() };
        let steps = this.clone();
        listen(&handled(), move |signal| steps.receive(signal)).map_err(refused)?;
        Ok(this)
    }

    fn receive(&self, signal: i32) {
        if self.interrupt.swap(signal != SIGINT || self.is_draining(), Ordering::Relaxed) {
            // A third signal ends the program at once.
            std::process::exit(128 + signal);
        }
        self.signal.store(signal, Ordering::Relaxed);
        if !self.drain.swap(true, Ordering::Relaxed) && !self.is_interrupted() {
            talk!("annotate: finishing what is at work; Ctrl-C again stops it");
        }
    }

    /// Whether nothing more is to be started.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.load(Ordering::Relaxed)
    }

    /// Whether what is at work is to be left off.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// The signal that came last, where one did.
    pub(super) fn received(&self) -> Option<i32> {
        let signal = self.signal.load(Ordering::Relaxed);
        self.is_draining().then_some(signal)
    }
}

//! Ctrl-C and TERM: the first asks the work to end with what is done, the second ends the program. A corpus has a step
//! more: the first Ctrl-C lets the videos at work be finished, the second stops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// What the signals have said so far.
#[derive(Clone)]
pub(super) struct Signals {
    /// Set by the first signal.
    pub(super) interrupt: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> std::io::Result<Self> {
        super::limits::survive_full_quota()?;
        let this = Self { interrupt: Arc::default(), signal: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // In this order: a signal that finds the flag set by an earlier one ends the program at once.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&this.interrupt))?;
            signal_hook::flag::register(signal, Arc::clone(&this.interrupt))?;
        }
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let last = Arc::clone(&this.signal);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in &mut signals {
                last.store(signal, Ordering::Relaxed);
            }
        })?;
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
pub(super) struct Steps {
    /// Set where videos at work are to be left off.
    pub(super) interrupt: Arc<AtomicBool>,
    drain: Arc<AtomicBool>,
    signal: Arc<AtomicI32>,
}

impl Steps {
    /// Listens from now on.
    pub(super) fn listen() -> std::io::Result<Self> {
        let this = Self { interrupt: Arc::default(), drain: Arc::default(), signal: Arc::default() };
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let heard = this.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in &mut signals {
                heard.hear(signal);
            }
        })?;
        Ok(this)
    }

    fn hear(&self, signal: i32) {
        if self.interrupt.swap(signal == SIGTERM || self.is_draining(), Ordering::Relaxed) {
            // Whoever asks a third time wants no more manners.
            std::process::exit(128 + signal);
        }
        self.signal.store(signal, Ordering::Relaxed);
        if !self.drain.swap(true, Ordering::Relaxed) && !self.is_interrupted() {
            anstream::eprintln!("annotate: finishing what is at work; Ctrl-C again stops it");
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

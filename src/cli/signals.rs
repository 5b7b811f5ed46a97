//! Ctrl-C and TERM: the first asks the work to end with what is done, the second ends the program.

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

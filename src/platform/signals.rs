//! Signals that ask the program to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(crate) use signal_hook::consts::{SIGINT, SIGTERM};

/// A terminal that is closed, where the system says so.
#[cfg(unix)]
pub(crate) const HANG_UP: Option<i32> = Some(signal_hook::consts::SIGHUP);
/// A terminal that is closed, where the system says so.
#[cfg(not(unix))]
pub(crate) const HANG_UP: Option<i32> = None;

/// Sets `received` at the first of the `signals`, and ends the program at once at the second.
pub(crate) fn end_at_second(signals: &[i32], received: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in signals {
        // In this order: a signal that finds the flag set by an earlier one ends the program.
        signal_hook::flag::register_conditional_shutdown(*signal, 128 + signal, Arc::clone(received))?;
        signal_hook::flag::register(*signal, Arc::clone(received))?;
    }
    Ok(())
}

/// Calls `act` on a thread of its own with each of the `signals` as it comes.
#[cfg(unix)]
pub(crate) fn listen(signals: &[i32], mut act: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(signals)?;
    let listening = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in &mut signals {
            act(signal);
        }
    });
    listening.map(drop)
}

/// Calls `act` on a thread of its own with each of the `signals`, soon after it has come.
#[cfg(not(unix))]
pub(crate) fn listen(signals: &[i32], mut act: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    /// A person does not notice so short a time.
    const PAUSE: Duration = Duration::from_millis(50);
    let mut flags = Vec::new();
    for signal in signals {
        let received = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(*signal, Arc::clone(&received))?;
        flags.push((*signal, received));
    }
    let listening = std::thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            for (signal, received) in &flags {
                if received.swap(false, Ordering::Relaxed) {
                    act(*signal);
                }
            }
            std::thread::sleep(PAUSE);
        }
    });
    listening.map(drop)
}

/// Makes a file that grows beyond what the system allows (`ulimit -f`) an error of writing, and not the end of the program.
#[cfg(unix)]
pub(crate) fn survive_full_quota() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// There is no such limit.
#[cfg(not(unix))]
pub(crate) fn survive_full_quota() -> io::Result<()> {
    Ok(())
}

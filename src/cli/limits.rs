//! What the program allows itself: address space, files, and time in which nothing moves.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::Duration;

use super::{Failure, exit_code};
use crate::pipeline::decode::Patience;
use crate::platform;

/// Address space that is enough for a video of 8K: measured, 2.1 GB are reserved and 330 MB used.
const USUAL_MIB: u64 = 8 << 10;
/// Allocators reserve for every thread.
const USUAL_MIB_A_CORE: u64 = 256;
/// With less, bytes, not even the threads' stacks can be had.
const LEAST_LEFT: u64 = 128 << 20;

/// Limits the address space to `mib`; zero leaves it alone, and nothing means what is sensible for so many videos at a
/// time. Never raises a limit.
///
/// # Errors
/// If the system does not allow it.
pub(super) fn limit_memory(mib: Option<u64>, videos: usize) -> Result<(), Failure> {
    let cores = platform::cores() as u64;
    let mib = match mib {
        Some(0) => return Ok(()),
        None if !platform::LIMITS_ADDRESS_SPACE => return Ok(()),
        Some(mib) => mib,
        None => USUAL_MIB * videos as u64 + USUAL_MIB_A_CORE * cores,
    };
    let wanted = mib.saturating_mul(1 << 20);
    let taken = address_space().unwrap_or(0);
    if wanted < taken + LEAST_LEFT {
        let least = (taken + LEAST_LEFT).div_ceil(1 << 20);
        return Err(Failure::Limit(format!("--max-memory {mib}: the program itself needs {least} MiB")));
    }
    if platform::address_space_limit().is_some_and(|current| current <= wanted) {
        return Ok(());
    }
    platform::limit_address_space(wanted).map_err(|error| Failure::Usage(format!("--max-memory {mib}: {error}")))
}

/// Address space that the program has taken up, bytes; nothing where the system does not say.
fn address_space() -> Option<u64> {
    // proc(5): "VmSize:", in kibibytes.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    Some(kibibytes.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Ends the program with a line about memory that has run out: a limit was reached. Allocates nothing.
pub fn memory_is_exhausted() -> ! {
    let line = b"annotate: the memory does not suffice (see --max-memory)\n";
    platform::say_without_memory(line);
    signal_hook::low_level::exit(exit_code(&Failure::Limit(String::new())).into())
}

/// Whether the program was started with this signal ignored.
pub(super) fn is_ignored(signal: i32) -> bool {
    // proc(5): "SigIgn:", a mask in hexadecimal whose lowest bit is signal 1.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Ends the program where one call into the decoder or the file system does not come back. Stops watching when dropped.
pub(super) struct Watchdog {
    _stop: mpsc::Sender<()>,
}

/// A stream that falls silent is noticed where it is read, and what was seen is kept; this comes after it.
const GRACE: Duration = Duration::from_secs(5);

impl Watchdog {
    /// Watches `patience` while `name` is read.
    ///
    /// # Errors
    /// If the system allows no further thread.
    pub(super) fn watch(name: String, patience: Arc<Patience>) -> Result<Self, Failure> {
        let refused = Failure::Limit(format!("{name}: no thread can be started"));
        let (stop, stopped) = mpsc::channel::<()>();
        let watching = Builder::new().name("watchdog".into()).spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(250)) == Err(RecvTimeoutError::Timeout) {
                if patience.overdue().is_some_and(|over| over > GRACE) {
                    let failure = Failure::Limit(format!("{name}: nothing moves any more (see --stall-timeout)"));
                    talk!("annotate: {failure}");
                    std::process::exit(exit_code(&failure).into());
                }
            }
        });
        watching.map(|_| Self { _stop: stop }).map_err(|_| refused)
    }
}

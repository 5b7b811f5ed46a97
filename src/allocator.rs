//! The program's allocator: mimalloc, with an orderly end when memory runs out.
#![expect(unsafe_code, reason = "An allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mimalloc::MiMalloc;

/// Suits many small buffers from many threads. When memory runs out, from the program's first allocation on, it calls what it was
/// made with.
pub struct Allocator {
    end: fn() -> !,
}

impl Allocator {
    /// Ends the program with `end` when memory runs out. `end` must not allocate, and only do what a signal handler may.
    pub const fn ending_with(end: fn() -> !) -> Self {
        Self { end }
    }

    #[inline]
    fn or_end(&self, pointer: *mut u8) -> *mut u8 {
        if pointer.is_null() {
            self.end();
        }
        pointer
    }

    #[cold]
    fn end(&self) -> ! {
        // Nothing here may allocate.
        match INSTEAD.get() {
            Some(instead) if !IS_ENDING.swap(true, Ordering::SeqCst) => instead(),
            // Another thread is about to replace the program, or has just failed to.
            Some(_) => std::thread::sleep(Duration::from_secs(1)),
            None => {}
        }
        (self.end)()
    }
}

/// Rust's own start of a thread and libraries in C++ abort where they get no memory. Whether that was the reason shows as memory
/// that is not to be had at that moment either; then `end` is called, and any other abort goes on.
#[cfg(all(unix, feature = "cli"))]
pub fn watch_aborts(end: fn() -> !) {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    use signal_hook::consts::SIGABRT;

    /// Bytes; what failed was smaller, and some of the rest may have been given back since.
    const PROBE: usize = 8 << 20;
    let on_abort = move || {
        // SAFETY: maps new pages wherever there is room, and takes those back that nobody has seen.
        let is_to_be_had = unsafe {
            let pages = mmap_anonymous(std::ptr::null_mut(), PROBE, ProtFlags::READ, MapFlags::PRIVATE);
            pages.map(|pages| munmap(pages, PROBE)).is_ok()
        };
        if !is_to_be_had {
            end();
        }
    };
    // SAFETY: the handler makes system calls and nothing else; `end` allocates nothing.
    let _ = unsafe { signal_hook::low_level::register(SIGABRT, on_abort) };
}

// SAFETY: every call is passed on to mimalloc unchanged.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `GlobalAlloc`, which are MiMalloc's own.
        self.or_end(unsafe { MiMalloc.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `GlobalAlloc`, which are MiMalloc's own.
        self.or_end(unsafe { MiMalloc.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `GlobalAlloc`, which are MiMalloc's own.
        self.or_end(unsafe { MiMalloc.realloc(pointer, layout, size) })
    }
}

/// What is tried first when the memory does not suffice.
static INSTEAD: OnceLock<fn()> = OnceLock::new();
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Has `instead` called when the memory does not suffice. It allocates nothing, and does not come back if it finds a way to go on.
pub fn instead_of_ending(instead: fn()) {
    // A second one, in tests, changes nothing.
    let _ = INSTEAD.set(instead);
}

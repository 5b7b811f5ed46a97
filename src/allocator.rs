//! The program's allocator: mimalloc, with an orderly exit when memory runs out.
#![expect(unsafe_code, reason = "An allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

/// Suits many small buffers from many threads. When memory runs out, it ends the program with exit code 7 (a limit was
/// reached) instead of aborting it.
pub struct Allocator;

// SAFETY: every call is passed on to mimalloc unchanged.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `GlobalAlloc`, which are MiMalloc's own.
        or_end(unsafe { MiMalloc.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `GlobalAlloc`, which are MiMalloc's own.
        or_end(unsafe { MiMalloc.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `GlobalAlloc`, which are MiMalloc's own.
        or_end(unsafe { MiMalloc.realloc(pointer, layout, size) })
    }
}

#[inline]
fn or_end(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        end();
    }
    pointer
}

#[cold]
#[expect(clippy::exit, reason = "without memory there is no way to return an error")]
fn end() -> ! {
    // Nothing here may allocate.
    let line = b"annotate: the memory does not suffice (see --max-memory)\n";
    crate::platform::say_without_memory(line);
    std::process::exit(7)
}

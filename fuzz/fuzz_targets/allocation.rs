//! An allocator that counts, for targets that state how much may be reserved.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static RESERVED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator; only sizes are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        RESERVED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        RESERVED.fetch_add(size, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `f` returns, and how many bytes were reserved meanwhile, those given back included.
pub fn counted<A>(f: impl FnOnce() -> A) -> (A, usize) {
    let before = RESERVED.load(Relaxed);
    let result = f();
    (result, RESERVED.load(Relaxed) - before)
}

//! The counters of an extension built for coverage, read and judged from Python through `ctypes`.
//!
//! The compiler puts one 8-bit counter on each edge (LLVM's `inline-8bit-counters`) and makes the extension hand
//! them over when it is loaded. This library has to be there first, with its symbols global:
//!
//! ```sh
//! rustc --edition 2024 -O --crate-type cdylib fuzz/counters.rs
//! ```
//!
//! It knows neither Python nor pickle, and is used from one thread.

use std::sync::Mutex;

struct Counters {
    /// Start and number of the counters.
    start: usize,
    len: usize,
    /// For each counter the ranges of counts that were seen, a bit each.
    seen: Vec<u8>,
}

static COUNTERS: Mutex<Counters> = Mutex::new(Counters {
    start: 0,
    len: 0,
    seen: Vec::new(),
});

/// Called by the extension's constructor: `[start, stop)` are its counters.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let mut all = COUNTERS.lock().unwrap();
    let len = stop.addr() - start.addr();
    if len > all.len {
        *all = Counters {
            start: start.expose_provenance(),
            len,
            seen: vec![0; len],
        };
    }
}

/// How often an edge ran, as one of eight ranges.
fn range(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        128..=255 => 128,
    }
}

/// Sets all counters to 0; returns how many of them were in a range that was never seen before.
#[unsafe(no_mangle)]
pub extern "C" fn novelty() -> usize {
    let mut guard = COUNTERS.lock().unwrap();
    let all = &mut *guard;
    if all.len == 0 {
        return 0;
    }
    // SAFETY: the extension handed over this memory and is never unloaded; only code of the extension, which is
    // not running now, writes to it.
    let counters = unsafe {
        std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut::<u8>(all.start), all.len)
    };
    let mut new = 0;
    for (counts, seen) in counters.chunks_mut(32).zip(all.seen.chunks_mut(32)) {
        if counts.iter().fold(0, |any, count| any | count) == 0 {
            continue;
        }
        for (count, seen) in counts.iter_mut().zip(seen) {
            let range = range(std::mem::take(count));
            if range & !*seen != 0 {
                *seen |= range;
                new += 1;
            }
        }
    }
    new
}

/// How many edges there are.
#[unsafe(no_mangle)]
pub extern "C" fn edges() -> usize {
    COUNTERS.lock().unwrap().len
}

/// How many edges ever ran.
#[unsafe(no_mangle)]
pub extern "C" fn covered() -> usize {
    let all = COUNTERS.lock().unwrap();
    all.seen.iter().filter(|&&seen| seen != 0).count()
}

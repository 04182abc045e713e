//! Pausing the collector of reference cycles, where it runs inside allocations (before 3.12).
//!
//! A load makes many objects and drops none. The collector, which runs after so many new ones, walks
//! those that are there again and again and finds nothing. Since 3.12 it waits until the running C function returns,
//! and there is nothing to pause. A pause defers collections: the objects are counted all the same, and the
//! next allocation afterwards starts one. Whoever pauses ends the pause before code of users runs, which would see
//! `gc.isenabled()`. This file must not know when that is.
//!
//! Gain measured on 3.11: see `benches/` (documents, nested tuples, slotted dataclasses).

#[cfg(not(Py_3_12))]
use pyo3::ffi as pyffi;
use pyo3::prelude::*;

/// Whether there is anything to pause.
pub const PAUSES: bool = cfg!(not(Py_3_12));

/// Ends with the value, also when a panic drops it.
#[derive(Default)]
pub struct Pause {
    on: bool,
    /// Whether nothing is known of the collector since [`Pause::end`].
    #[cfg_attr(Py_3_12, allow(dead_code))]
    due: bool,
}

impl Pause {
    /// Whether the collector is paused by this value.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        PAUSES && self.on
    }

    /// Pauses the collector, unless it is disabled anyway.
    #[inline]
    pub fn begin(&mut self, _py: Python<'_>) {
        #[cfg(not(Py_3_12))]
        if self.due {
            self.due = false;
            // SAFETY: the thread is attached.
            self.on = unsafe { pyffi::PyGC_Disable() } != 0;
        }
    }

    /// Lets the collector run again.
    #[inline(always)]
    pub fn end(&mut self) {
        if PAUSES {
            self.due = true;
            if self.on {
                self.on = false;
                enable();
            }
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.end();
    }
}

#[inline(never)]
fn enable() {
    #[cfg(not(Py_3_12))]
    // SAFETY: only a thread that is attached has begun the pause, and it is still in the same call.
    unsafe {
        pyffi::PyGC_Enable();
    }
}

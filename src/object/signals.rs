//! Signals in long work.
//!
//! `PyErr_CheckSignals` is not what is called here: since 3.12 it collects garbage as well when a collection is
//! due, which a dump or load by C never does in its middle and which costs as much as the load itself.

#[cfg(Py_3_13)]
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::{R, Window, status};

/// The head of `PyThreadState`, as `cpython/pystate.h` declares it since 3.13.
#[cfg(Py_3_13)]
#[repr(C)]
struct Head {
    _prev: *mut Head,
    _next: *mut Head,
    _interp: *mut pyffi::PyInterpreterState,
    eval_breaker: AtomicUsize,
}

/// The bit of `eval_breaker` that says that a signal has arrived.
#[cfg(Py_3_13)]
const PENDING: usize = 1 << 1;

/// Whether a signal has arrived. It is then up to the caller to thaw and [`handle`] it soon.
///
/// Asking runs nothing. Before 3.13 only Ctrl-C can be asked for, and a handler of another signal has to wait
/// for the next thaw.
pub fn arrived(_window: Window<'_>) -> bool {
    #[cfg(Py_3_13)]
    // SAFETY: the thread is attached, so it has a state, which begins as above. Other threads and signal handlers
    // write the field, as an atomic.
    unsafe {
        let state = pyffi::PyThreadState_Get().cast::<Head>();
        (*state).eval_breaker.load(Ordering::Relaxed) & PENDING != 0
    }
    #[cfg(not(Py_3_13))]
    // SAFETY: the thread is attached. The call forgets the signal, so it is raised again.
    unsafe {
        if pyffi::PyOS_InterruptOccurred() == 0 {
            return false;
        }
        pyffi::PyErr_SetInterrupt();
        true
    }
}

/// Runs the handlers of the signals that have arrived, as the interpreter does between two instructions, and what
/// else it does there for the main thread.
///
/// # Errors
/// What a handler raises: KeyboardInterrupt for Ctrl-C, as a rule.
pub fn handle(py: Python<'_>) -> R<()> {
    // SAFETY: the thread is attached.
    status(py, unsafe { pyffi::Py_MakePendingCalls() }).map(drop)
}

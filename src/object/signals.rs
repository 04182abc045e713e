//! Signals in long work.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::{R, Window, status};

/// Whether Ctrl-C was pressed. It is then up to the caller to thaw and [`handle`] it soon.
///
/// Asking runs nothing; a handler of another signal has to wait for the next thaw.
pub fn interrupted(_window: Window<'_>) -> bool {
    // SAFETY: the thread is attached. The call forgets the signal, so it is raised again.
    unsafe {
        if pyffi::PyOS_InterruptOccurred() == 0 {
            return false;
        }
        pyffi::PyErr_SetInterrupt();
    }
    true
}

/// Runs the handlers of the signals that have arrived.
///
/// # Errors
/// What a handler raises: KeyboardInterrupt for Ctrl-C.
pub fn handle(py: Python<'_>) -> R<()> {
    // SAFETY: the thread is attached.
    status(py, unsafe { pyffi::PyErr_CheckSignals() }).map(drop)
}

/// Runs the handler of SIGINT, if the signal has arrived. May run Python code.
///
/// Since 3.12 `PyErr_CheckSignals` collects garbage as well when a collection is due, which a load by C
/// never does in its middle and which costs as much as the load itself: it is called only when
/// there is a signal.
///
/// # Errors
/// What the handler raises: KeyboardInterrupt as a rule.
#[inline]
pub fn check(py: Python<'_>) -> R<()> {
    if super::world::window(py, interrupted) {
        return handle(py);
    }
    Ok(())
}

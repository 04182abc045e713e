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

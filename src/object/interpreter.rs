//! Which interpreter this is: classes and statics of this crate belong to the main one.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

/// Whether this is the main interpreter.
///
/// A subinterpreter must not come first either: attaching its thread goes by the main interpreter's
/// thread state before Python 3.12, and waits for ever.
pub fn is_main(_py: Python<'_>) -> bool {
    // SAFETY: the thread is attached, so there is a current interpreter; both are only compared.
    unsafe { pyffi::PyInterpreterState_Get() == pyffi::PyInterpreterState_Main() }
}

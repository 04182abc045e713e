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

/// Whether the GIL is on while this module is in use: a free-threaded interpreter switches it on for a module
/// that asks for it, unless it was told not to.
///
/// # Errors
/// What looking `sys.flags` up raises.
pub fn has_gil(py: Python<'_>) -> PyResult<bool> {
    if cfg!(not(Py_GIL_DISABLED)) {
        return Ok(true);
    }
    // `gil` is None, or the number that the user has set.
    let chosen = py.import("sys")?.getattr("flags")?.getattr("gil")?;
    Ok(chosen.extract::<Option<i32>>()? != Some(0))
}

//! Audit events (PEP 578).

use std::ffi::{c_char, c_int};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::{R, status};

unsafe extern "C" {
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// Raises `pickle.find_class` with the names of a global. Costs next to nothing without a hook.
///
/// # Errors
/// What a hook raises.
#[inline]
pub fn find_class(module: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> R<()> {
    let py = module.py();
    let (module, name): (*mut pyffi::PyObject, *mut pyffi::PyObject) =
        (module.as_ptr(), name.as_ptr());
    // SAFETY: two live objects, as the format says.
    let code = unsafe { PySys_Audit(c"pickle.find_class".as_ptr(), c"OO".as_ptr(), module, name) };
    status(py, code).map(drop)
}

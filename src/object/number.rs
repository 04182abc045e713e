//! Python numbers as machine numbers.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::{R, Raised};

/// An integer argument as a C `long`.
///
/// # Errors
/// TypeError if `value` is no integer; OverflowError if it does not fit.
pub fn to_c_long(value: &Bound<'_, PyAny>) -> R<std::ffi::c_long> {
    // SAFETY: the object is alive.
    let number = unsafe { pyffi::PyLong_AsLong(value.as_ptr()) };
    if number == -1 && PyErr::occurred(value.py()) {
        return Err(Raised::seen(value.py()));
    }
    Ok(number)
}

/// The value of an int, as a C `Py_ssize_t`.
///
/// # Errors
/// TypeError if the object is not an int; OverflowError if the value does not fit.
#[cold]
pub fn to_ssize(object: &Bound<'_, PyAny>) -> R<isize> {
    // SAFETY: a live object, whose type the call checks.
    let value = unsafe { pyffi::PyLong_AsSsize_t(object.as_ptr()) };
    if value == -1 && PyErr::occurred(object.py()) {
        return Err(Raised::seen(object.py()));
    }
    Ok(value)
}

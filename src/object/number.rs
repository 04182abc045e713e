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

/// An int as 64 bits.
///
/// # Errors
/// TypeError if `value` is no int; OverflowError if it does not fit.
pub fn to_i64(value: &Bound<'_, PyAny>) -> R<i64> {
    // SAFETY: the object is alive.
    let number = unsafe { pyffi::PyLong_AsLongLong(value.as_ptr()) };
    if number == -1 && PyErr::occurred(value.py()) {
        return Err(Raised::seen(value.py()));
    }
    Ok(number)
}

//! The names that error messages give to types.

use std::ffi::CStr;

use pyo3::prelude::*;
use pyo3::types::PyType;

/// The `tp_name` of a type: what C's messages print with `%s`.
///
/// That is the bare `__name__` for a class made in Python, and `module.name` for most of those made
/// in C.
#[cold]
pub fn tp_name(ty: &Bound<'_, PyType>) -> String {
    // SAFETY: a type is alive and its tp_name is a NUL-terminated string as long as no Python code
    // assigns `__name__`; it is copied before any can run.
    let name = unsafe { CStr::from_ptr((*ty.as_type_ptr()).tp_name) };
    name.to_string_lossy().into_owned()
}

/// The first 50 bytes of the `tp_name` of a type, as C's `%.50s` has them.
#[cold]
pub fn short_tp_name(ty: &Bound<'_, PyType>) -> String {
    // SAFETY: as in `tp_name`.
    let name = unsafe { CStr::from_ptr((*ty.as_type_ptr()).tp_name) };
    let bytes = name.to_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(50)]).into_owned()
}

/// The name of a type as `%T` prints it: with the module, unless that is `builtins` or `__main__`.
///
/// # Errors
/// What looking the parts up raises.
#[cold]
pub fn full_name(ty: &Bound<'_, PyType>) -> super::R<String> {
    let name = ty.fully_qualified_name()?.to_string();
    Ok(name.strip_prefix("__main__.").unwrap_or(&name).to_owned())
}

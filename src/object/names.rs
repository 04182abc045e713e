//! The names that error messages give to types.

use std::ffi::CStr;

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
#[cfg(not(Py_3_13))]
use pyo3::types::PyString;
use pyo3::types::PyType;

#[cfg(not(Py_3_13))]
use super::attr;
use super::{R, owned};
#[cfg(not(Py_3_13))]
use crate::state::State;

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

/// The first 50 bytes of the `tp_name` of a type, cut as the interpreter's `%.50s` cuts them.
///
/// Raises MemoryError.
#[cold]
pub fn short_tp_name(ty: &Bound<'_, PyType>) -> R<String> {
    // SAFETY: as in `tp_name`; the format takes one C string, and a new reference or NULL comes back.
    let name = unsafe {
        let name = (*ty.as_type_ptr()).tp_name;
        owned(
            ty.py(),
            pyffi::PyUnicode_FromFormat(c"%.50s".as_ptr(), name),
        )?
    };
    Ok(name.to_string())
}

/// The name of a type as `%T` prints it: with the module, unless that is `builtins` or `__main__`.
///
/// # Errors
/// What looking the parts up raises.
#[cold]
pub fn full_name(ty: &Bound<'_, PyType>) -> R<String> {
    #[cfg(Py_3_13)]
    let name = ty.fully_qualified_name()?.to_string();
    #[cfg(not(Py_3_13))]
    let name = module_and_name(ty)?;
    Ok(name.strip_prefix("__main__.").unwrap_or(&name).to_owned())
}

/// What PyO3's `fully_qualified_name` makes of attributes before 3.13; that one panics where there is no memory.
#[cfg(not(Py_3_13))]
fn module_and_name(ty: &Bound<'_, PyType>) -> R<String> {
    let names = &State::get(ty.py()).names;
    let module = attr::get(ty, names.module.bind(ty.py()))?;
    let name = attr::get(ty, names.qualname.bind(ty.py()))?.str()?;
    let name = name.to_str()?;
    match module.cast::<PyString>() {
        Ok(module) if module.to_str()? != "builtins" => Ok(format!("{}.{name}", module.to_str()?)),
        _ => Ok(name.to_owned()),
    }
}

/// Whether `__name__` of a callable, a class whose metaclass is `type`, is for certain none of `names`; no str is made.
pub fn is_other_class(callable: &Bound<'_, PyAny>, names: [&CStr; 2]) -> bool {
    // SAFETY: the type is checked before its name is read, which is a C string as long as no Python runs.
    unsafe {
        if !std::ptr::eq(
            pyffi::Py_TYPE(callable.as_ptr()),
            &raw const pyffi::PyType_Type,
        ) {
            return false;
        }
        let ty = callable.as_ptr().cast::<pyffi::PyTypeObject>();
        let name = CStr::from_ptr((*ty).tp_name).to_bytes();
        names.iter().all(|other| !name.ends_with(other.to_bytes()))
    }
}

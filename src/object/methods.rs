//! Methods and attributes of instances of our own classes.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::{R, ffi, owned, status};

/// Whether `object.name` is the method that the class `base`, one of its bases, has.
///
/// Answered without making the bound method, and with false where that would take more than a look
/// at the classes and the instance's own dict.
pub fn inherits(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    base: &Bound<'_, PyType>,
) -> bool {
    let py = object.py();
    // SAFETY: types and objects that are alive; what the look-ups give is only compared.
    unsafe {
        let ty = pyffi::Py_TYPE(object.as_ptr());
        let base = base.as_type_ptr();
        if (*ty).tp_getattro.map(|f| f as usize) != (*base).tp_getattro.map(|f| f as usize) {
            return false;
        }
        let own = ffi::_PyType_Lookup(base, name.as_ptr());
        if own.is_null() || ffi::_PyType_Lookup(ty, name.as_ptr()) != own {
            return false;
        }
        let dict = pyffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut());
        let Some(dict) = Bound::from_owned_ptr_or_opt(py, dict) else {
            // No dict, nothing in it.
            pyffi::PyErr_Clear();
            return true;
        };
        dict.cast::<PyDict>()
            .is_ok_and(|dict| matches!(dict.contains(name), Ok(false)))
    }
}

unsafe extern "C" {
    static mut PyMethod_Type: pyffi::PyTypeObject;
    fn PyMethod_New(
        function: *mut pyffi::PyObject,
        object: *mut pyffi::PyObject,
    ) -> *mut pyffi::PyObject;
    fn PyMethod_Self(method: *mut pyffi::PyObject) -> *mut pyffi::PyObject;
    fn PyMethod_Function(method: *mut pyffi::PyObject) -> *mut pyffi::PyObject;
}

/// The function of `method`, if that is a bound method of `object`.
pub fn unbind<'py>(
    method: &Bound<'py, PyAny>,
    object: &Bound<'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: a live object whose type is checked before its fields are read; the function is counted at
    // once.
    unsafe {
        if !std::ptr::eq(pyffi::Py_TYPE(method.as_ptr()), &raw const PyMethod_Type)
            || PyMethod_Self(method.as_ptr()) != object.as_ptr()
        {
            return None;
        }
        Bound::from_borrowed_ptr_or_opt(method.py(), PyMethod_Function(method.as_ptr()))
    }
}

/// `function` as a method of `object`.
///
/// # Errors
/// MemoryError.
pub fn bind<'py>(function: &Bound<'py, PyAny>, object: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // SAFETY: two live objects.
    unsafe {
        owned(
            object.py(),
            PyMethod_New(function.as_ptr(), object.as_ptr()),
        )
    }
}

/// `object.__getattribute__(object, name)`.
///
/// # Errors
/// AttributeError, TypeError for a name that is no str, what a descriptor raises.
pub fn generic_get<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> R<Bound<'py, PyAny>> {
    // SAFETY: two live objects, checked by the call.
    unsafe {
        owned(
            object.py(),
            pyffi::PyObject_GenericGetAttr(object.as_ptr(), name.as_ptr()),
        )
    }
}

/// `object.__setattr__(object, name, value)`, or `object.__delattr__` without a value.
///
/// # Errors
/// As [`generic_get`].
pub fn generic_set(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> R<()> {
    let value = value.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: live objects, checked by the call; NULL means deletion.
    let code = unsafe { pyffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) };
    status(object.py(), code).map(drop)
}

/// Whether the name of an attribute, of any type, is this one.
pub fn is_name(name: &Bound<'_, PyAny>, expected: &Bound<'_, PyString>) -> bool {
    name.is(expected)
        || name
            .cast::<PyString>()
            .is_ok_and(|name| super::convert::str_eq(name, expected))
}

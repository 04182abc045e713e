//! Making instances and giving them their state.

use std::ptr;

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::{R, Raised, ffi, owned, status};

/// Whether instances of the class can be made at all.
#[inline]
pub fn has_new(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a type, alive; a field is read.
    unsafe { (*class.as_type_ptr()).tp_new.is_some() }
}

/// `cls.__new__(cls, *args, **kwargs)` by way of the class's own slot, past any attribute `__new__`.
///
/// # Errors
/// What `__new__` raises; TypeError if the class has none.
#[inline]
pub fn new_object<'py>(
    class: &Bound<'py, PyType>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> R<Bound<'py, PyAny>> {
    let py = class.py();
    let kwargs = kwargs.map_or(ptr::null_mut(), Bound::as_ptr);
    let ty = class.as_type_ptr();
    // SAFETY: a type, alive; its slot takes a tuple, and a dict or NULL.
    unsafe {
        match (*ty).tp_new {
            Some(new) => owned(py, new(ty, args.as_ptr(), kwargs)),
            None => Err(crate::errors::type_error(py, "a class without __new__")),
        }
    }
}

/// Whether making an instance without arguments runs no code but `object.__new__`.
#[inline]
pub fn is_plain_new(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: types, alive; fields are read.
    unsafe {
        let base = &raw const pyffi::PyBaseObject_Type;
        (*class.as_type_ptr()).tp_new.map(|f| f as usize) == (*base).tp_new.map(|f| f as usize)
    }
}

/// Whether the object is an exact dict without items that has `references` references and no more.
#[inline]
pub fn is_empty_dict(object: &Bound<'_, PyAny>, references: isize) -> bool {
    // SAFETY: a live object, whose type is checked before a field of it is read.
    unsafe {
        pyffi::PyDict_CheckExact(object.as_ptr()) != 0
            && (*object.as_ptr().cast::<pyffi::PyDictObject>()).ma_used == 0
            && pyffi::Py_REFCNT(object.as_ptr()) == references
    }
}

/// Whether the object is an immutable value of a built-in type, which refers to nothing.
#[inline]
pub fn is_atom(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object; types are compared by address.
    unsafe {
        let ty: *const pyffi::PyTypeObject = pyffi::Py_TYPE(object.as_ptr());
        ptr::eq(ty, &raw const pyffi::PyUnicode_Type)
            || ptr::eq(ty, &raw const pyffi::PyLong_Type)
            || ptr::eq(ty, &raw const pyffi::PyBytes_Type)
            || ptr::eq(ty, &raw const pyffi::PyFloat_Type)
            || ptr::eq(ty, &raw const pyffi::PyBool_Type)
            || pyffi::Py_IsNone(object.as_ptr()) != 0
    }
}

/// Whether a call cannot reach any object of the stream: a class made in C gets nothing but atoms.
#[inline]
pub fn is_quiet_call(callable: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> bool {
    // SAFETY: a live object; the flags are read of a type only.
    let made_in_c = unsafe {
        pyffi::PyType_Check(callable.as_ptr()) != 0
            && ffi::type_flags(callable.as_ptr().cast()) & pyffi::Py_TPFLAGS_HEAPTYPE == 0
    };
    made_in_c && args.as_slice().iter().all(is_atom)
}

/// `setattr(object, name, value)` for a name that may be no str.
///
/// # Errors
/// TypeError if it is none; what `__setattr__` raises.
#[inline]
pub fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> R<()> {
    // SAFETY: three live objects, checked by the call.
    let code = unsafe { pyffi::PyObject_SetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) };
    status(object.py(), code).map(drop)
}

/// Calls `f` with each key and value of a dict, which `f` may change: then some may be left out
/// or come twice, as in C.
///
/// # Errors
/// The first that `f` raises.
pub fn each_item<'py>(
    dict: &Bound<'py, PyDict>,
    mut f: impl FnMut(Bound<'py, PyAny>, Bound<'py, PyAny>) -> R<()>,
) -> R<()> {
    let py = dict.py();
    let mut position = 0;
    let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
    loop {
        // SAFETY: a dict; the call accepts any position it has given, also after a change. What it
        // gives is counted before anything else runs.
        let (key, value) = unsafe {
            if pyffi::PyDict_Next(dict.as_ptr(), &mut position, &mut key, &mut value) == 0 {
                return Ok(());
            }
            (
                Bound::from_borrowed_ptr(py, key),
                Bound::from_borrowed_ptr(py, value),
            )
        };
        f(key, value)?;
    }
}

/// `next(iterator)`, None at its end.
///
/// # Errors
/// What the iterator raises; TypeError if it is none.
pub fn next_item<'py>(iterator: &Bound<'py, PyAny>) -> R<Option<Bound<'py, PyAny>>> {
    let py = iterator.py();
    // SAFETY: a live object, checked to be an iterator.
    let item = unsafe {
        if pyffi::PyIter_Check(iterator.as_ptr()) == 0 {
            return Err(crate::errors::type_error(py, "buffers is not an iterator"));
        }
        Bound::from_owned_ptr_or_opt(py, pyffi::PyIter_Next(iterator.as_ptr()))
    };
    if item.is_none() && PyErr::occurred(py) {
        return Err(Raised::seen(py));
    }
    Ok(item)
}

/// A read-only memoryview of an object's buffer, or None if the buffer is read-only by itself.
///
/// # Errors
/// TypeError if the object has no buffer; what getting it raises.
pub fn readonly<'py>(object: &Bound<'py, PyAny>) -> R<Option<Bound<'py, PyAny>>> {
    // SAFETY: a live object, checked by the call.
    let view = unsafe { owned(object.py(), pyffi::PyMemoryView_FromObject(object.as_ptr())) }?;
    if view.getattr("readonly")?.is_truthy()? {
        return Ok(None);
    }
    Ok(Some(view.call_method0("toreadonly")?))
}

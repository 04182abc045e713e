//! Attribute look-ups and calls: optional and dotted look-up, calls with 0 to 3 arguments, methods.
//!
//! Everything here may run Python code, so everything takes and gives owned references. This file
//! must not raise errors of its own.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{R, Raised, ffi, owned};

/// `getattr(object, name)`.
#[inline]
pub fn get<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> R<Bound<'py, PyAny>> {
    // SAFETY: both arguments are alive; a new reference or NULL with an exception comes back.
    unsafe {
        owned(
            object.py(),
            pyffi::PyObject_GetAttr(object.as_ptr(), name.as_ptr()),
        )
    }
}

/// `getattr(object, name)`, or None if that raises AttributeError (which costs no exception object where
/// the type looks attributes up the ordinary way).
#[inline]
pub fn get_optional<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> R<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: both arguments are alive; `result` receives a new reference or NULL.
    let code = unsafe { ffi::_PyObject_LookupAttr(object.as_ptr(), name.as_ptr(), &mut result) };
    if code < 0 {
        return Err(Raised::seen(py));
    }
    // SAFETY: NULL or a new reference.
    Ok(unsafe { Bound::from_owned_ptr_or_opt(py, result) })
}

/// `callable()`.
#[inline]
pub fn call0<'py>(callable: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // SAFETY: the callable is alive; the convention of PyObject_CallNoArgs.
    unsafe { owned(callable.py(), pyffi::PyObject_CallNoArgs(callable.as_ptr())) }
}

/// `callable(a)`.
#[inline]
pub fn call1<'py>(callable: &Bound<'py, PyAny>, a: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // The slot in front lets the callee prepend `self` without a copy.
    let args = [std::ptr::null_mut(), a.as_ptr()];
    // SAFETY: one argument at offset 1, as PY_VECTORCALL_ARGUMENTS_OFFSET says.
    unsafe { vectorcall(callable, args.as_ptr().add(1), 1) }
}

/// `callable(a, b)`.
#[inline]
pub fn call2<'py>(
    callable: &Bound<'py, PyAny>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
) -> R<Bound<'py, PyAny>> {
    let args = [std::ptr::null_mut(), a.as_ptr(), b.as_ptr()];
    // SAFETY: two arguments at offset 1.
    unsafe { vectorcall(callable, args.as_ptr().add(1), 2) }
}

/// `callable(a, b, c)`.
#[inline]
pub fn call3<'py>(
    callable: &Bound<'py, PyAny>,
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    c: &Bound<'py, PyAny>,
) -> R<Bound<'py, PyAny>> {
    let args = [std::ptr::null_mut(), a.as_ptr(), b.as_ptr(), c.as_ptr()];
    // SAFETY: three arguments at offset 1.
    unsafe { vectorcall(callable, args.as_ptr().add(1), 3) }
}

/// `callable(*args)` for a tuple.
#[inline]
pub fn call_tuple<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, pyo3::types::PyTuple>,
) -> R<Bound<'py, PyAny>> {
    // SAFETY: `args` is a tuple; NULL keywords are allowed.
    unsafe {
        owned(
            callable.py(),
            pyffi::PyObject_Call(callable.as_ptr(), args.as_ptr(), std::ptr::null_mut()),
        )
    }
}

/// # Safety
/// `args[0..n]` are live objects and `args[-1]` may be overwritten.
#[inline]
unsafe fn vectorcall<'py>(
    callable: &Bound<'py, PyAny>,
    args: *const *mut pyffi::PyObject,
    n: usize,
) -> R<Bound<'py, PyAny>> {
    // SAFETY: promised by the caller.
    let result = unsafe {
        pyffi::PyObject_Vectorcall(
            callable.as_ptr(),
            args,
            n | pyffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    };
    // SAFETY: a new reference, or NULL with an exception.
    unsafe { owned(callable.py(), result) }
}

/// `object.name(a)`.
#[inline]
pub fn call_method1<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    a: &Bound<'py, PyAny>,
) -> R<Bound<'py, PyAny>> {
    let args = [std::ptr::null_mut(), object.as_ptr(), a.as_ptr()];
    // SAFETY: self and one argument at offset 1, as PY_VECTORCALL_ARGUMENTS_OFFSET says.
    let result = unsafe {
        pyffi::PyObject_VectorcallMethod(
            name.as_ptr(),
            args.as_ptr().add(1),
            2 | pyffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    };
    // SAFETY: a new reference, or NULL with an exception.
    unsafe { owned(object.py(), result) }
}

/// Whether the class has a method of that name and looks it up in the ordinary way: then
/// [`call_method1`] does what a look-up and a call would, and makes no bound method.
#[inline]
pub fn has_plain_method(object: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> bool {
    // SAFETY: types, alive; what is found is borrowed and looked at before anything else runs.
    unsafe {
        let ty = pyffi::Py_TYPE(object.as_ptr());
        let generic = pyffi::PyBaseObject_Type.tp_getattro.map(|f| f as usize);
        if (*ty).tp_getattro.map(|f| f as usize) != generic {
            return false;
        }
        let found = ffi::_PyType_Lookup(ty, name.as_ptr());
        !found.is_null()
            && ffi::type_flags(pyffi::Py_TYPE(found)) & pyffi::Py_TPFLAGS_METHOD_DESCRIPTOR != 0
    }
}

/// Whether that method is written in C.
#[inline]
pub fn has_quiet_method(object: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> bool {
    // SAFETY: types, alive; what is found is borrowed and looked at before anything else runs.
    unsafe {
        let found = ffi::_PyType_Lookup(pyffi::Py_TYPE(object.as_ptr()), name.as_ptr());
        let ty: *const pyffi::PyTypeObject = &raw const pyffi::PyMethodDescr_Type;
        !found.is_null() && std::ptr::eq(pyffi::Py_TYPE(found), ty)
    }
}

/// The fixed size of an object, in bytes.
pub fn basic_size(object: &Bound<'_, PyAny>) -> usize {
    // SAFETY: the object and its type are alive.
    unsafe { (*pyffi::Py_TYPE(object.as_ptr())).tp_basicsize as usize }
}

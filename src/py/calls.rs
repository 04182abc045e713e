//! How the interpreter calls our functions and our hot methods: by the fast-call convention.
//!
//! A `pyfunction` costs 20 to 45 ns more a call and words its errors differently; a method of PyO3 with any arguments
//! gets a tuple and a dict made for it (`Pickler.dump` on 3.11 takes 570 of 3000 instructions less this way, with
//! the generic look-up of attributes). Each is wrapped in a
//! panic guard: a panic never leaves the extension. This file must not know what is called.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyMemoryError, PySystemError};
use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

use super::args::Argument;
use crate::errors;
use crate::object::{R, Raised};

/// The names of the arguments given by keyword.
pub type Keywords<'a, 'py> = Option<&'a Bound<'py, PyTuple>>;
/// A usual call, in a thread that PyO3 was not told of: None, before anything has happened, if it is not one.
pub type Short =
    for<'a, 'py> fn(Python<'py>, &'a [Argument<'a, 'py>]) -> Option<R<Bound<'py, PyAny>>>;
/// Any call: of the module or object, the arguments, the names of those given by keyword.
pub type Function = for<'a, 'py> fn(
    Argument<'a, 'py>,
    &'a [Argument<'a, 'py>],
    Keywords<'a, 'py>,
) -> R<Bound<'py, PyAny>>;

/// A function without a short form.
pub fn never<'py>(_py: Python<'py>, _args: &[Argument<'_, 'py>]) -> Option<R<Bound<'py, PyAny>>> {
    None
}

/// Runs a function behind a panic guard, in its short form if that will do.
///
/// # Safety
/// The arguments are those of a fast call in an attached thread.
#[inline(always)]
pub unsafe fn guard(
    short: Short,
    function: Function,
    this: *mut pyffi::PyObject,
    args: *const *mut pyffi::PyObject,
    nargs: pyffi::Py_ssize_t,
    kwnames: *mut pyffi::PyObject,
) -> *mut pyffi::PyObject {
    if kwnames.is_null() && nargs > 0 {
        // SAFETY: the caller's promise.
        let py = unsafe { Python::assume_attached() };
        let run = || {
            // SAFETY: as in `attached`.
            short(py, unsafe {
                std::slice::from_raw_parts(args.cast(), nargs as usize)
            })
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Some(Ok(result))) => return result.into_ptr(),
            Ok(Some(Err(_raised))) => return std::ptr::null_mut(),
            Ok(None) => {}
            Err(panic) => {
                let _ = panicked(py, &*panic);
                return std::ptr::null_mut();
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { guard_long(function, this, args, nargs, kwnames) }
}

/// [`guard`] for what has no short form.
///
/// # Safety
/// As there.
pub unsafe fn guard_long(
    function: Function,
    this: *mut pyffi::PyObject,
    args: *const *mut pyffi::PyObject,
    nargs: pyffi::Py_ssize_t,
    kwnames: *mut pyffi::PyObject,
) -> *mut pyffi::PyObject {
    // Not `assume_attached`: PyO3 has to know that the thread is attached, or each `Py` that is dropped
    // in here waits for the next call that tells it.
    // SAFETY: the caller's promise.
    Python::attach(|py| unsafe { attached(py, function, this, args, nargs, kwnames) })
}

/// [`guard`], with the token.
///
/// # Safety
/// As there.
unsafe fn attached(
    py: Python<'_>,
    function: Function,
    this: *mut pyffi::PyObject,
    args: *const *mut pyffi::PyObject,
    nargs: pyffi::Py_ssize_t,
    kwnames: *mut pyffi::PyObject,
) -> *mut pyffi::PyObject {
    // SAFETY: NULL or a tuple of str, which the caller holds.
    let keywords = unsafe { Bound::from_borrowed_ptr_or_opt(py, kwnames) }
        .and_then(|names| names.cast_into::<PyTuple>().ok());
    let n = nargs as usize + keywords.as_ref().map_or(0, |names| names.len());
    let run = || {
        let args: &[Argument<'_, '_>] = if n == 0 {
            &[]
        } else {
            // SAFETY: `n` live objects, and a Borrowed is a pointer.
            unsafe { std::slice::from_raw_parts(args.cast(), n) }
        };
        // SAFETY: the module or the object, which the caller holds.
        let this = unsafe { Borrowed::from_ptr(py, this) };
        function(this, args, keywords.as_ref())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => result.into_ptr(),
        Ok(Err(_raised)) => std::ptr::null_mut(),
        Err(panic) => {
            let _ = panicked(py, &*panic);
            std::ptr::null_mut()
        }
    }
}

#[cold]
fn panicked(py: Python<'_>, panic: &(dyn std::any::Any + Send)) -> Raised {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    // Should an exception be set already, it becomes the context; one that tells of no memory is the
    // cause, since PyO3 panics there.
    let before = PyErr::take(py);
    if let Some(before) = before.as_ref()
        && before.is_instance_of::<PyMemoryError>(py)
    {
        return errors::no_memory(py);
    }
    let text = format!("internal error in oxipickle: {text}");
    let err = errors::raise(&py.get_type::<PySystemError>(), &text).take(py);
    err.set_context(py, before);
    Raised::new(py, err)
}

/// Runs a method without arguments behind a panic guard, in a thread that PyO3 was not told of: it must not drop a `Py`.
///
/// # Safety
/// The object is that of a method call in an attached thread.
#[inline(always)]
pub unsafe fn guard_plain(
    method: for<'a, 'py> fn(Argument<'a, 'py>),
    this: *mut pyffi::PyObject,
) -> *mut pyffi::PyObject {
    // SAFETY: the caller's promise.
    let py = unsafe { Python::assume_attached() };
    let run = || {
        // SAFETY: as above; the caller holds the object.
        method(unsafe { Borrowed::from_ptr(py, this) });
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => py.None().into_ptr(),
        Err(panic) => {
            let _ = panicked(py, &*panic);
            std::ptr::null_mut()
        }
    }
}

/// What the interpreter calls.
pub type Entry = unsafe extern "C" fn(
    *mut pyffi::PyObject,
    *const *mut pyffi::PyObject,
    pyffi::Py_ssize_t,
    *mut pyffi::PyObject,
) -> *mut pyffi::PyObject;

/// What the interpreter calls where there are no arguments.
pub type PlainEntry =
    unsafe extern "C" fn(*mut pyffi::PyObject, *mut pyffi::PyObject) -> *mut pyffi::PyObject;

/// A definition of [`Entry`].
pub fn fast(entry: Entry, name: &'static CStr, doc: &'static CStr) -> pyffi::PyMethodDef {
    pyffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: pyffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: entry,
        },
        ml_flags: pyffi::METH_FASTCALL | pyffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }
}

/// A definition of [`PlainEntry`].
pub fn plain(entry: PlainEntry, name: &'static CStr, doc: &'static CStr) -> pyffi::PyMethodDef {
    pyffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: pyffi::PyMethodDefPointer { PyCFunction: entry },
        ml_flags: pyffi::METH_NOARGS,
        ml_doc: doc.as_ptr(),
    }
}

/// Adds a function to the module.
///
/// # Errors
/// MemoryError.
pub fn add_function(
    module: &Bound<'_, PyModule>,
    name: &'static CStr,
    definition: pyffi::PyMethodDef,
) -> PyResult<()> {
    let py = module.py();
    let home = PyString::intern(py, "_pickle");
    // The function object points to its definition for ever.
    let definition = Box::leak(Box::new(definition));
    // SAFETY: a definition that is never freed; a new reference or NULL comes back.
    let function = unsafe {
        let function = pyffi::PyCFunction_NewEx(definition, module.as_ptr(), home.as_ptr());
        Bound::from_owned_ptr_or_err(py, function)?
    };
    module.setattr(PyString::new(py, &name.to_string_lossy()), function)
}

/// Adds a method to a class of ours that is not used yet.
///
/// # Errors
/// MemoryError.
pub fn add_method(
    class: &Bound<'_, PyType>,
    name: &'static CStr,
    definition: pyffi::PyMethodDef,
) -> PyResult<()> {
    let py = class.py();
    let ty = class.as_type_ptr();
    // The descriptor points to its definition for ever.
    let definition = Box::leak(Box::new(definition));
    // SAFETY: a definition that is never freed; a new reference or NULL comes back. A class of ours is a heap type,
    // which has its dict in tp_dict on every version, and nobody else uses it yet.
    unsafe {
        let method = pyffi::PyDescr_NewMethod(ty, definition);
        let method = Bound::from_owned_ptr_or_err(py, method)?;
        if pyffi::PyDict_SetItemString((*ty).tp_dict, name.as_ptr(), method.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        pyffi::PyType_Modified(ty);
    }
    Ok(())
}

/// Built-in functions: `entry = short form, function, name, doc;`, and `register`, which adds them to the module.
macro_rules! builtins {
    ($($entry:ident = $short:path, $function:path, $name:literal, $doc:literal;)*) => {
        $(
            #[allow(unsafe_code)]
            unsafe extern "C" fn $entry(
                module: *mut pyo3::ffi::PyObject,
                args: *const *mut pyo3::ffi::PyObject,
                nargs: pyo3::ffi::Py_ssize_t,
                kwnames: *mut pyo3::ffi::PyObject,
            ) -> *mut pyo3::ffi::PyObject {
                let function: $crate::py::calls::Function =
                    |module, args, keywords| $function(module.py(), args, keywords);
                // SAFETY: called by the interpreter as METH_FASTCALL | METH_KEYWORDS.
                unsafe { $crate::py::calls::guard($short, function, module, args, nargs, kwnames) }
            }
        )*

        /// Adds the functions to the module.
        ///
        /// # Errors
        /// MemoryError.
        pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(
                let definition = $crate::py::calls::fast($entry, $name, $doc);
                $crate::py::calls::add_function(module, $name, definition)?;
            )*
            Ok(())
        }
    };
}

/// Methods of a class: `entry = function, name, doc;`, and `register`, which adds them to the class before it is used.
/// In `plain` methods without arguments, which must not drop a `Py`.
macro_rules! fast_methods {
    (
        $class:ident { $($entry:ident = $function:path, $name:literal, $doc:literal;)* }
        $(plain { $($plain_entry:ident = $method:path, $plain_name:literal, $plain_doc:literal;)* })?
    ) => {
        $(
            #[allow(unsafe_code)]
            unsafe extern "C" fn $entry(
                this: *mut pyo3::ffi::PyObject,
                args: *const *mut pyo3::ffi::PyObject,
                nargs: pyo3::ffi::Py_ssize_t,
                kwnames: *mut pyo3::ffi::PyObject,
            ) -> *mut pyo3::ffi::PyObject {
                let function: $crate::py::calls::Function = |this, args, keywords| {
                    // SAFETY: the descriptor has checked the class of the object.
                    let this = unsafe { this.cast_unchecked::<$class>() };
                    $function(&this, args, keywords)
                };
                // SAFETY: called by the interpreter as METH_FASTCALL | METH_KEYWORDS.
                unsafe { $crate::py::calls::guard_long(function, this, args, nargs, kwnames) }
            }
        )*

        $($(
            #[allow(unsafe_code)]
            unsafe extern "C" fn $plain_entry(
                this: *mut pyo3::ffi::PyObject,
                _: *mut pyo3::ffi::PyObject,
            ) -> *mut pyo3::ffi::PyObject {
                // SAFETY: called by the interpreter as METH_NOARGS; the descriptor has checked the class of the object.
                unsafe {
                    $crate::py::calls::guard_plain(
                        |this| $method(&this.cast_unchecked::<$class>()),
                        this,
                    )
                }
            }
        )*)?

        /// Adds the methods to the class.
        fn register(py: Python<'_>) -> PyResult<()> {
            let class = py.get_type::<$class>();
            $(
                let definition = $crate::py::calls::fast($entry, $name, $doc);
                $crate::py::calls::add_method(&class, $name, definition)?;
            )*
            $($(
                let definition = $crate::py::calls::plain($plain_entry, $plain_name, $plain_doc);
                $crate::py::calls::add_method(&class, $plain_name, definition)?;
            )*)?
            Ok(())
        }
    };
}

pub(super) use {builtins, fast_methods};

//! `dump`, `dumps`, `load`, `loads`: true built-in functions, registered by hand.
//!
//! They must not bind as methods when they are class attributes, and a `pyfunction` costs 20 to 45 ns more a call than the
//! fast-call convention and words its errors differently. Each is wrapped in a panic guard: a
//! panic never leaves the extension.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyMemoryError, PySystemError};
use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::args::{Argument, DUMP, DUMPS, truth};
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::{R, Raised, attr};
use crate::pickler::engine::{Config, Engine};
use crate::pickler::options;
use crate::state::State;

type Keywords<'a, 'py> = Option<&'a Bound<'py, PyTuple>>;
/// A usual call, in a thread that PyO3 was not told of: None, before anything has happened, if it is not one.
type Short = for<'a, 'py> fn(Python<'py>, &'a [Argument<'a, 'py>]) -> Option<R<Bound<'py, PyAny>>>;
type Function = for<'a, 'py> fn(
    Python<'py>,
    &'a [Argument<'a, 'py>],
    Keywords<'a, 'py>,
) -> R<Bound<'py, PyAny>>;

fn dumps<'a, 'py>(
    py: Python<'py>,
    args: &'a [Argument<'a, 'py>],
    keywords: Keywords<'a, 'py>,
) -> R<Bound<'py, PyAny>> {
    let [object, protocol, fix_imports, buffer_callback] = DUMPS.fast(py, args, keywords)?;
    let Some(object) = object else {
        return Err(errors::type_error(py, "an object is required"));
    };
    let fix_imports = truth(fix_imports.as_deref(), true)?;
    let protocol = options::protocol(protocol.as_deref())?;
    let config = Config {
        protocol,
        fix_imports,
        write: None,
        buffer_callback: options::buffer_callback(buffer_callback.as_deref(), protocol)?,
        persistent_id: None,
        reducer_override: None,
        owner: None,
    };
    match Engine::dump(py, config, &object)? {
        Some(bytes) => Ok(bytes),
        None => Err(errors::runtime_error(py, "no output")),
    }
}

/// `dumps(object)` and `dumps(object, protocol)` with an exact int.
#[inline]
fn dumps_in_short<'py>(
    py: Python<'py>,
    args: &[Argument<'_, 'py>],
) -> Option<R<Bound<'py, PyAny>>> {
    let (object, protocol) = match args {
        [object] => (object, QUIRKS.default_protocol),
        [object, protocol] => (object, options::exact_protocol(protocol)?),
        _ => return None,
    };
    Engine::dumps(py, protocol, object).transpose()
}

/// A function without a short form.
fn never<'py>(_py: Python<'py>, _args: &[Argument<'_, 'py>]) -> Option<R<Bound<'py, PyAny>>> {
    None
}

fn dump<'a, 'py>(
    py: Python<'py>,
    args: &'a [Argument<'a, 'py>],
    keywords: Keywords<'a, 'py>,
) -> R<Bound<'py, PyAny>> {
    let [object, file, protocol, fix_imports, buffer_callback] = DUMP.fast(py, args, keywords)?;
    let (Some(object), Some(file)) = (object, file) else {
        return Err(errors::type_error(py, "an object and a file are required"));
    };
    let fix_imports = truth(fix_imports.as_deref(), true)?;
    let protocol = options::protocol(protocol.as_deref())?;
    let name = State::get(py).names.write.bind(py);
    let Some(write) = attr::get_optional(&file, name)? else {
        return Err(errors::type_error(py, "file must have a 'write' attribute"));
    };
    let config = Config {
        protocol,
        fix_imports,
        write: Some(write),
        buffer_callback: options::buffer_callback(buffer_callback.as_deref(), protocol)?,
        persistent_id: None,
        reducer_override: None,
        owner: None,
    };
    Engine::dump(py, config, &object)?;
    Ok(py.None().into_bound(py))
}

/// Runs a function behind a panic guard.
///
/// # Safety
/// The arguments are those of a fast call in an attached thread.
#[inline(always)]
unsafe fn guard(
    short: Short,
    function: Function,
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
    // Not `assume_attached`: PyO3 has to know that the thread is attached, or each `Py` that is dropped
    // in here waits for the next call that tells it.
    // SAFETY: the caller's promise.
    Python::attach(|py| unsafe { attached(py, function, args, nargs, kwnames) })
}

/// [`guard`], with the token.
///
/// # Safety
/// As there.
unsafe fn attached(
    py: Python<'_>,
    function: Function,
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
        function(py, args, keywords.as_ref())
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

macro_rules! builtins {
    ($($entry:ident = $short:path, $function:path, $name:literal, $doc:literal;)*) => {
        $(
            unsafe extern "C" fn $entry(
                _module: *mut pyffi::PyObject,
                args: *const *mut pyffi::PyObject,
                nargs: pyffi::Py_ssize_t,
                kwnames: *mut pyffi::PyObject,
            ) -> *mut pyffi::PyObject {
                // SAFETY: called by the interpreter as METH_FASTCALL | METH_KEYWORDS.
                unsafe { guard($short, $function, args, nargs, kwnames) }
            }
        )*

        /// Adds the functions to the module.
        ///
        /// # Errors
        /// MemoryError.
        pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(add(module, $entry, $name, $doc)?;)*
            Ok(())
        }
    };
}

type Entry = unsafe extern "C" fn(
    *mut pyffi::PyObject,
    *const *mut pyffi::PyObject,
    pyffi::Py_ssize_t,
    *mut pyffi::PyObject,
) -> *mut pyffi::PyObject;

fn add(
    module: &Bound<'_, PyModule>,
    entry: Entry,
    name: &'static CStr,
    doc: &'static CStr,
) -> PyResult<()> {
    let py = module.py();
    // The function object points to its definition for ever.
    let definition = Box::leak(Box::new(pyffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: pyffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: entry,
        },
        ml_flags: pyffi::METH_FASTCALL | pyffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }));
    let home = PyString::intern(py, "_pickle");
    // SAFETY: a definition that is never freed; a new reference or NULL comes back.
    let function = unsafe {
        let function = pyffi::PyCFunction_NewEx(definition, module.as_ptr(), home.as_ptr());
        Bound::from_owned_ptr_or_err(py, function)?
    };
    module.setattr(PyString::new(py, &name.to_string_lossy()), function)
}

builtins! {
    dump_entry = never, dump, c"dump", c"dump($module, /, obj, file, protocol=None, *, fix_imports=True,\n     buffer_callback=None)\n--\n\nWrite a pickle of an object to an open file.\n\nfile: any object with a write(bytes) method. protocol: 0 to 5, negative for the\nhighest. fix_imports: below protocol 3, map names to those of Python 2.\nbuffer_callback: called with each PickleBuffer (PEP 574).\n\nRaises PicklingError if the object cannot be pickled, ValueError for an unknown\nprotocol, and whatever reducers and the file raise.";
    dumps_entry = dumps_in_short, dumps, c"dumps", c"dumps($module, /, obj, protocol=None, *, fix_imports=True,\n      buffer_callback=None)\n--\n\nReturn a pickle of an object as bytes.\n\nprotocol: 0 to 5, negative for the highest. fix_imports: below protocol 3, map\nnames to those of Python 2. buffer_callback: called with each PickleBuffer\n(PEP 574).\n\nRaises PicklingError if the object cannot be pickled, ValueError for an unknown\nprotocol, and whatever reducers raise.";
    load_entry = never, super::unpickler::load, c"load", c"load($module, /, file, *, fix_imports=True, encoding='ASCII',\n     errors='strict', buffers=())\n--\n\nRead one pickle from an open file and return the object.\n\nfile: an object with read(n) and readline(), and perhaps readinto(buffer) and\npeek(n). fix_imports, encoding, errors: for pickles of Python 2. buffers: the\nout-of-band buffers (PEP 574).\n\nRaises UnpicklingError for a malformed pickle, EOFError for an empty file, and\nwhatever the pickle makes its classes raise. Unpickling runs code: load only\nwhat you trust.";
    loads_entry = super::unpickler::loads_in_short, super::unpickler::loads, c"loads", c"loads($module, data, /, *, fix_imports=True, encoding='ASCII',\n      errors='strict', buffers=())\n--\n\nReturn the object of a pickle in a bytes-like object.\n\nfix_imports, encoding, errors: for pickles of Python 2. buffers: the\nout-of-band buffers (PEP 574).\n\nRaises UnpicklingError for a malformed pickle, EOFError for an empty one, and\nwhatever the pickle makes its classes raise. Unpickling runs code: load only\nwhat you trust.";
}

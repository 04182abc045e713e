//! Modules and what is in them: imports, attributes of modules, dotted names.
//!
//! An import of a loaded module is a look-up in `sys.modules`, as long as that is all that
//! `builtins.__import__` would do. This file must not word errors: they come from the import
//! system and from `getattr`, and the callers have texts of their own.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyString};

use super::{R, attr, owned};
use crate::state::State;

/// Imports the module `name` and gives it, not its top-level package.
///
/// Calls the `__import__` of the running frame's builtins, unless that is the one the interpreter
/// started with and the module is loaded.
///
/// # Errors
/// Whatever `__import__` raises: `TypeError` if the name is not a str, `ValueError` if it is
/// empty, `ImportError`.
#[inline]
pub fn import<'py>(name: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    if let Ok(name) = name.cast_exact::<PyString>()
        && let Some(module) = loaded(name)
    {
        return Ok(module.into_any());
    }
    // SAFETY: `name` is alive, of any type; a new reference or NULL with an exception.
    unsafe { owned(name.py(), pyffi::PyImport_Import(name.as_ptr())) }
}

/// The module, if it and its top-level package are in `sys.modules` and not in the middle of their
/// import, and `__import__` is the original: then importing it would do nothing else.
fn loaded<'py>(name: &Bound<'py, PyString>) -> Option<Bound<'py, PyModule>> {
    let py = name.py();
    let state = State::get(py);
    // SAFETY: borrowed from the running frame or the interpreter, alive as long as this frame runs.
    let builtins = unsafe { Bound::from_borrowed_ptr_or_opt(py, pyffi::PyEval_GetBuiltins()) }?;
    if !item(&builtins, state.names.import.bind(py))?.is(&state.import) {
        return None;
    }
    // SAFETY: borrowed from the interpreter, which keeps it as long as it runs.
    let modules = unsafe { Bound::from_borrowed_ptr_or_opt(py, pyffi::PyImport_GetModuleDict()) }?;
    let module = ready(&modules, name)?;
    if let Some(dot) = find_dot(name) {
        // An import of `a.b` imports `a` as well.
        ready(&modules, &prefix(name, dot)?)?;
    }
    Some(module)
}

/// Where a module that is loaded was: addresses, to be compared and not followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The module.
    pub module: usize,
    /// Its `__spec__`, of which it gets a new one when it is imported again.
    pub spec: usize,
}

/// The name of the package that a module is in, and where it was.
pub type Package = (Py<PyString>, Standing);

/// Where the module and the package that it is in are, if importing the module would find them in
/// `sys.modules` and do nothing else.
pub fn standing(name: &Bound<'_, PyString>) -> Option<(Standing, Option<Package>)> {
    let py = name.py();
    let of = |module: &Bound<'_, PyModule>| {
        let spec = item(&module_dict(module)?, State::get(py).names.spec.bind(py))?;
        Some(Standing {
            module: module.as_ptr().addr(),
            spec: spec.as_ptr().addr(),
        })
    };
    let own = of(&loaded(name)?)?;
    let Some(dot) = find_dot(name) else {
        return Some((own, None));
    };
    let package = prefix(name, dot)?;
    let standing = of(&loaded(&package)?)?;
    Some((own, Some((package.unbind(), standing))))
}

/// The module of that name, if its import is over.
fn ready<'py>(
    modules: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> Option<Bound<'py, PyModule>> {
    let py = name.py();
    let names = &State::get(py).names;
    let module = item(modules, name)?.cast_into_exact::<PyModule>().ok()?;
    let spec = item(&module_dict(&module)?, names.spec.bind(py))?;
    match attr::get_optional(&spec, names.initializing.bind(py)) {
        Ok(None) => Some(module),
        // SAFETY: Py_False is immortal.
        Ok(Some(flag)) => (flag.as_ptr() == unsafe { pyffi::Py_False() }).then_some(module),
        // The import system meets the error again and deals with it.
        Err(raised) => {
            drop(raised.take(py));
            None
        }
    }
}

/// `getattr(module, name)`; a public name out of a plain module's dict without the detour through
/// its type.
///
/// # Errors
/// Whatever `getattr` raises.
#[inline]
pub fn attribute<'py>(
    module: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> R<Bound<'py, PyAny>> {
    if let Ok(plain) = module.cast_exact::<PyModule>()
        && !is_special(name)
        && let Some(dict) = module_dict(plain)
        && let Some(value) = item(&dict, name)
        && !is_lazy(&value)
    {
        return Ok(value);
    }
    attr::get(module, name)
}

/// `getattr(object, name)` for a name that may be no str.
///
/// # Errors
/// TypeError if it is none; whatever `getattr` raises.
#[cold]
pub fn attribute_any<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> R<Bound<'py, PyAny>> {
    // SAFETY: two live objects, checked by the call; a new reference or NULL with an exception.
    unsafe {
        owned(
            object.py(),
            pyffi::PyObject_GetAttr(object.as_ptr(), name.as_ptr()),
        )
    }
}

/// Looks up `name` part by part from `parent`: the last object met and the attribute in it.
///
/// # Errors
/// Whatever `getattr` raises for the first part that fails.
pub fn dotted<'py>(
    parent: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> R<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    if find_dot(name).is_none() {
        return Ok((parent.clone(), attribute(parent, name)?));
    }
    let mut parent = parent.clone();
    let mut object = parent.clone();
    for part in split(name)? {
        let next = attr::get(&object, &part)?;
        parent = std::mem::replace(&mut object, next);
    }
    Ok((parent, object))
}

/// `sys.modules`, as the module `sys` has it now.
///
/// # Errors
/// AttributeError if it has none.
pub fn table(py: Python<'_>) -> R<Bound<'_, PyAny>> {
    let names = &State::get(py).names;
    attr::get(&import(names.sys.bind(py))?, names.modules.bind(py))
}

/// The parts of a dotted name.
///
/// # Errors
/// MemoryError.
pub fn split<'py>(name: &Bound<'py, PyString>) -> R<Vec<Bound<'py, PyString>>> {
    let py = name.py();
    let dot = State::get(py).names.dot.bind(py);
    // SAFETY: both are str; a new list or NULL with an exception.
    let parts = unsafe { owned(py, pyffi::PyUnicode_Split(name.as_ptr(), dot.as_ptr(), -1))? };
    Ok(parts.extract()?)
}

/// Whether the name has a dot in it.
#[inline]
pub fn is_dotted(name: &Bound<'_, PyString>) -> bool {
    find_dot(name).is_some()
}

fn find_dot(name: &Bound<'_, PyString>) -> Option<pyffi::Py_ssize_t> {
    // SAFETY: `name` is a str; the range is cut to its length. -2 (an error) cannot happen for a
    // str that is ready, as all are.
    let at = unsafe {
        pyffi::PyUnicode_FindChar(
            name.as_ptr(),
            u32::from(b'.'),
            0,
            pyffi::PyUnicode_GET_LENGTH(name.as_ptr()),
            1,
        )
    };
    (at >= 0).then_some(at)
}

fn prefix<'py>(
    name: &Bound<'py, PyString>,
    end: pyffi::Py_ssize_t,
) -> Option<Bound<'py, PyString>> {
    let py = name.py();
    // SAFETY: `name` is a str and `end` lies in it; a new str or NULL with an exception.
    match unsafe { owned(py, pyffi::PyUnicode_Substring(name.as_ptr(), 0, end)) } {
        Ok(part) => part.cast_into().ok(),
        Err(raised) => {
            drop(raised.take(py));
            None
        }
    }
}

/// Names such as `__dict__`, which a module's type may answer for.
pub(super) fn is_special(name: &Bound<'_, PyString>) -> bool {
    // SAFETY: `name` is a str and the index is in it.
    unsafe {
        pyffi::PyUnicode_GET_LENGTH(name.as_ptr()) > 0
            && pyffi::PyUnicode_ReadChar(name.as_ptr(), 0) == u32::from(b'_')
    }
}

/// An item of an exact dict, counted; None if there is none, or if the object is no exact dict.
#[inline]
fn item<'py>(dict: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    let py = name.py();
    // SAFETY: checked to be an exact dict; the item is counted before anything else can run.
    unsafe {
        if pyffi::PyDict_CheckExact(dict.as_ptr()) == 0 {
            return None;
        }
        let value = pyffi::PyDict_GetItemWithError(dict.as_ptr(), name.as_ptr());
        if value.is_null() && !pyffi::PyErr_Occurred().is_null() {
            // A strange key's __eq__ has raised; the ordinary way will meet it again.
            pyffi::PyErr_Clear();
        }
        Bound::from_borrowed_ptr_or_opt(py, value)
    }
}

/// The dict of a module; None before the module has one.
#[inline]
fn module_dict<'py>(module: &Bound<'py, PyModule>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: a module; the dict is counted at once.
    unsafe {
        Bound::from_borrowed_ptr_or_opt(module.py(), pyffi::PyModule_GetDict(module.as_ptr()))
    }
}

/// Whether the value of a name is yet to be imported (PEP 810).
#[cfg(Py_3_15)]
fn is_lazy(value: &Bound<'_, PyAny>) -> bool {
    use pyo3::sync::PyOnceLock;
    use pyo3::types::PyType;

    static LAZY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match LAZY.import(value.py(), "types", "LazyImportType") {
        Ok(ty) => value.get_type().is(ty),
        Err(_) => true,
    }
}

/// Before 3.15 there are no lazy imports.
#[cfg(not(Py_3_15))]
#[inline(always)]
fn is_lazy(_value: &Bound<'_, PyAny>) -> bool {
    false
}

//! Constructors for the exceptions we raise.
//!
//! All are cold: they are called on the way out. Texts that differ by version come from
//! `compat/messages.rs`.

use pyo3::exceptions as exc;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::object::{R, Raised};
use crate::state::State;

/// Raises `ty(text)`.
#[cold]
#[inline(never)]
pub fn raise(ty: &Bound<'_, PyType>, text: &str) -> Raised {
    let py = ty.py();
    Raised::new(
        py,
        PyErr::from_type(ty.clone(), PyString::new(py, text).unbind()),
    )
}

/// `PicklingError(text)`.
#[cold]
pub fn pickling(py: Python<'_>, text: &str) -> Raised {
    raise(State::get(py).pickling_error.bind(py), text)
}

/// `PicklingError` with a text of several parts, which are put together as Python strings: names may hold lone
/// surrogates.
#[cold]
pub fn pickling_parts(py: Python<'_>, parts: &[Part<'_, '_>]) -> Raised {
    let join = || -> PyResult<Bound<'_, PyAny>> {
        let parts = parts.iter().map(|part| match part {
            Part::Text(text) => PyString::new(py, text).into_any(),
            Part::Object(object) => (*object).clone(),
        });
        let parts: Vec<_> = parts.map(|part| part.str()).collect::<PyResult<_>>()?;
        PyString::new(py, "").call_method1("join", (parts,))
    };
    match join() {
        Ok(text) => {
            let class = State::get(py).pickling_error.bind(py);
            Raised::new(py, PyErr::from_type(class.clone(), text.unbind()))
        }
        Err(err) => err.into(),
    }
}

/// A part of a text: ours, or the `str` of an object.
pub enum Part<'a, 'py> {
    /// Text of ours.
    Text(&'a str),
    /// An object.
    Object(&'a Bound<'py, PyAny>),
}

/// `UnpicklingError(text)`.
#[cold]
pub fn unpickling(py: Python<'_>, text: &str) -> Raised {
    raise(State::get(py).unpickling_error.bind(py), text)
}

/// Adds a note to an exception, by its own `add_note`.
///
/// # Errors
/// What that raises.
#[cold]
pub fn add_note(py: Python<'_>, err: &PyErr, text: &str) -> R<()> {
    let name = State::get(py).names.add_note.bind(py);
    err.value(py).call_method1(name, (text,))?;
    Ok(())
}

macro_rules! builtin {
    ($($(#[$doc:meta])* $name:ident = $class:ident;)*) => {$(
        $(#[$doc])*
        #[cold]
        pub fn $name(py: Python<'_>, text: &str) -> Raised {
            raise(&py.get_type::<exc::$class>(), text)
        }
    )*};
}

builtin! {
    /// `TypeError(text)`.
    type_error = PyTypeError;
    /// `ValueError(text)`.
    value_error = PyValueError;
    /// `RuntimeError(text)`.
    runtime_error = PyRuntimeError;
    /// `OverflowError(text)`.
    overflow_error = PyOverflowError;
    /// `AttributeError(text)`.
    attribute_error = PyAttributeError;
    /// `RecursionError(text)`.
    recursion_error = PyRecursionError;
    /// `EOFError(text)`.
    eof_error = PyEOFError;
}

/// MemoryError, without a text as CPython raises it.
#[cold]
pub fn no_memory(py: Python<'_>) -> Raised {
    Raised::new(py, exc::PyMemoryError::new_err(()))
}

//! Constructors for the exceptions we raise.
//!
//! All are cold: they are called on the way out. Texts that differ by version come from
//! `compat/messages.rs`.

use pyo3::exceptions as exc;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::object::{R, Raised, attr, convert, fallible};
use crate::state::State;

/// Raises `ty(text)`.
#[cold]
#[inline(never)]
pub fn raise(ty: &Bound<'_, PyType>, text: &str) -> Raised {
    let py = ty.py();
    match fallible::text(py, text) {
        Ok(text) => Raised::new(py, PyErr::from_type(ty.clone(), text.unbind())),
        Err(raised) => raised,
    }
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
    let mut joined = State::get(py).names.empty.bind(py).clone();
    for part in parts {
        let part = match part {
            Part::Text(text) => fallible::text(py, text),
            Part::Object(object) => object.str().map_err(|err| Raised::new(py, err)),
        };
        match part.and_then(|part| convert::concat(&joined, &part)) {
            Ok(longer) => joined = longer,
            Err(raised) => return raised,
        }
    }
    let class = State::get(py).pickling_error.bind(py);
    Raised::new(py, PyErr::from_type(class.clone(), joined.unbind()))
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
    let text = fallible::text(py, text)?;
    attr::call_method1(err.value(py), name, text.as_any()).map(drop)
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
    /// `BufferError(text)`.
    buffer_error = PyBufferError;
    /// `EOFError(text)`.
    eof_error = PyEOFError;
}

/// MemoryError, without a text as CPython raises it.
#[cold]
pub fn no_memory(py: Python<'_>) -> Raised {
    Raised::no_memory(py)
}

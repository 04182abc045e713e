//! Small objects that are made where there may be no memory.
//!
//! PyO3's own constructors (`PyString::new`, `PyTuple::new`, `PyDict::new`, a `&str` as an argument)
//! panic when the interpreter has no memory for the object, and so does an exception whose text is
//! a `str` of Rust. What can be reached after the module is loaded uses these instead: they end in
//! MemoryError. But for `attribute`, nothing here runs
//! Python code.

use std::borrow::Cow;

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};

use super::{R, Raised, owned};

/// A str.
///
/// # Errors
/// MemoryError.
pub fn text<'py>(py: Python<'py>, text: &str) -> R<Bound<'py, PyString>> {
    // SAFETY: UTF-8 of that length; a new str or NULL comes back.
    unsafe {
        let (data, n) = (text.as_ptr().cast(), text.len().cast_signed());
        let made = owned(py, pyffi::PyUnicode_FromStringAndSize(data, n))?;
        Ok(made.cast_into_unchecked())
    }
}

/// An interned str.
///
/// # Errors
/// MemoryError.
pub fn interned<'py>(py: Python<'py>, name: &str) -> R<Bound<'py, PyString>> {
    let mut name = text(py, name)?.into_ptr();
    // SAFETY: the only reference to a str, which the call replaces by one to an equal str; where there is
    // no memory it leaves it.
    unsafe {
        pyffi::PyUnicode_InternInPlace(&mut name);
        Ok(Bound::from_owned_ptr(py, name).cast_into_unchecked())
    }
}

/// A bytes object.
///
/// # Errors
/// MemoryError.
pub fn bytes<'py>(py: Python<'py>, data: &[u8]) -> R<Bound<'py, PyBytes>> {
    // SAFETY: memory of that length; a new bytes object or NULL comes back.
    unsafe {
        let (data, n) = (data.as_ptr().cast(), data.len().cast_signed());
        let made = owned(py, pyffi::PyBytes_FromStringAndSize(data, n))?;
        Ok(made.cast_into_unchecked())
    }
}

/// An int.
///
/// # Errors
/// MemoryError.
pub fn int(py: Python<'_>, value: i64) -> R<Bound<'_, PyInt>> {
    // SAFETY: a new int or NULL comes back.
    unsafe { Ok(owned(py, pyffi::PyLong_FromLongLong(value))?.cast_into_unchecked()) }
}

/// An empty dict.
///
/// # Errors
/// MemoryError.
pub fn dict(py: Python<'_>) -> R<Bound<'_, PyDict>> {
    // SAFETY: a new dict or NULL comes back.
    unsafe { Ok(owned(py, pyffi::PyDict_New())?.cast_into_unchecked()) }
}

/// A tuple.
///
/// # Errors
/// MemoryError.
pub fn tuple<'py, I>(py: Python<'py>, items: I) -> R<Bound<'py, PyTuple>>
where
    I: IntoIterator<Item = Bound<'py, PyAny>, IntoIter: ExactSizeIterator>,
{
    let items = items.into_iter();
    let n = items.len();
    // SAFETY: a new tuple or NULL comes back; each place is filled once, and none is left empty: an
    // iterator that ends early fills the rest with None.
    unsafe {
        let made = owned(py, pyffi::PyTuple_New(n.cast_signed()))?;
        let none = std::iter::repeat_with(|| py.None().into_bound(py));
        for (i, item) in items.chain(none).take(n).enumerate() {
            pyffi::PyTuple_SET_ITEM(made.as_ptr(), i.cast_signed(), item.into_ptr());
        }
        Ok(made.cast_into_unchecked())
    }
}

/// An attribute of an object of the interpreter's own or of the library, which may be missing.
///
/// # Errors
/// AttributeError, MemoryError, whatever the look-up raises.
pub fn attribute<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let name = interned(py, name).map_err(|raised| raised.take(py))?;
    object.getattr(name)
}

/// The text of a str; lone surrogates are replaced.
///
/// # Errors
/// MemoryError.
pub fn shown<'a>(text: &'a Bound<'_, PyString>) -> R<Cow<'a, str>> {
    let py = text.py();
    match text.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(err) if err.is_instance_of::<PyUnicodeEncodeError>(py) => {
            // SAFETY: a str and two C strings; a new bytes object or NULL comes back.
            let bytes = unsafe {
                owned(
                    py,
                    pyffi::PyUnicode_AsEncodedString(
                        text.as_ptr(),
                        c"utf-8".as_ptr(),
                        c"surrogatepass".as_ptr(),
                    ),
                )?
            };
            let bytes = bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
            Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned()))
        }
        Err(err) => Err(Raised::new(py, err)),
    }
}

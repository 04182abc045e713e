//! Small conversions and tests on owned objects, for code that may run Python.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFrozenSet, PyInt, PySet, PyString, PyTuple};

use super::{R, Raised, owned};

/// An exact built-in type whose older protocols need objects made.
#[allow(missing_docs)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Native {
    Int,
    LegacyStr,
    Bytes,
    ByteArray,
    Set,
}

impl Native {
    /// Which of them `object` is.
    pub fn of(object: &Bound<'_, PyAny>) -> Option<Self> {
        if object.is_exact_instance_of::<PyBytes>() {
            Some(Native::Bytes)
        } else if object.is_exact_instance_of::<PyByteArray>() {
            Some(Native::ByteArray)
        } else if object.is_exact_instance_of::<PySet>()
            || object.is_exact_instance_of::<PyFrozenSet>()
        {
            Some(Native::Set)
        } else if object.is_exact_instance_of::<PyInt>() {
            Some(Native::Int)
        } else if object.is_exact_instance_of::<PyString>() {
            Some(Native::LegacyStr)
        } else {
            None
        }
    }
}

/// `dict.get(key)`, where errors of hashing and comparing count.
///
/// # Errors
/// What `__hash__` or `__eq__` raises.
pub fn dict_get<'py>(
    dict: &Bound<'py, PyDict>,
    key: &Bound<'py, PyAny>,
) -> R<Option<Bound<'py, PyAny>>> {
    let py = dict.py();
    // SAFETY: a dict and a live key; the borrowed item is counted at once.
    unsafe {
        let item = pyffi::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr());
        if item.is_null() && !pyffi::PyErr_Occurred().is_null() {
            return Err(Raised::seen(py));
        }
        Ok(Bound::from_borrowed_ptr_or_opt(py, item))
    }
}

/// `table[key]`, or None where that raises KeyError; no exception is made for a missing key of a dict.
///
/// # Errors
/// What the look-up raises.
pub fn item_or_none<'py>(
    table: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
) -> R<Option<Bound<'py, PyAny>>> {
    if let Ok(dict) = table.cast_exact::<PyDict>() {
        return dict_get(dict, key);
    }
    // SAFETY: two live objects; a new reference, or NULL with an exception, which is looked at and cleared.
    unsafe {
        let item = pyffi::PyObject_GetItem(table.as_ptr(), key.as_ptr());
        if item.is_null() && pyffi::PyErr_ExceptionMatches(pyffi::PyExc_KeyError) == 0 {
            return Err(Raised::seen(table.py()));
        }
        if item.is_null() {
            pyffi::PyErr_Clear();
        }
        Ok(Bound::from_owned_ptr_or_opt(table.py(), item))
    }
}

/// The position behind the first `count` items of a dict.
pub fn dict_position(dict: &Bound<'_, PyAny>, count: usize) -> isize {
    let mut position = 0;
    for _ in 0..count {
        // SAFETY: a dict, by the caller's word; nothing is stored, and no Python runs.
        let found = unsafe {
            pyffi::PyDict_Next(
                dict.as_ptr(),
                &mut position,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        if found == 0 {
            break;
        }
    }
    position
}

/// An int.
///
/// # Errors
/// MemoryError.
pub fn int(py: Python<'_>, value: i64) -> R<Bound<'_, PyAny>> {
    // SAFETY: a new reference or NULL comes back.
    unsafe { owned(py, pyffi::PyLong_FromLongLong(value)) }
}

/// A tuple of two; PyO3's own panics where there is no memory.
///
/// # Errors
/// MemoryError.
pub fn pair<'py>(first: &Bound<'py, PyAny>, second: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // SAFETY: two live objects, which the tuple counts; a new reference or NULL comes back.
    unsafe {
        owned(
            first.py(),
            pyffi::PyTuple_Pack(2, first.as_ptr(), second.as_ptr()),
        )
    }
}

/// Two str, one after the other.
///
/// # Errors
/// MemoryError.
pub fn concat<'py>(
    first: &Bound<'py, PyString>,
    second: &Bound<'py, PyString>,
) -> R<Bound<'py, PyString>> {
    // SAFETY: two live str; a new str or NULL comes back.
    unsafe {
        let made = pyffi::PyUnicode_Concat(first.as_ptr(), second.as_ptr());
        Ok(owned(first.py(), made)?.cast_into_unchecked())
    }
}

/// Gives a str of 3.11's deprecated form its ordinary form.
///
/// # Errors
/// MemoryError, UnicodeEncodeError.
pub fn ready(text: &Bound<'_, PyAny>) -> R<()> {
    #[cfg(not(Py_3_12))]
    {
        // SAFETY: the caller has an exact str; the call does nothing to one that is ready.
        super::status(text.py(), unsafe { ready_str(text.as_ptr()) })?;
    }
    let _ = text;
    Ok(())
}

#[cfg(not(Py_3_12))]
unsafe extern "C" {
    #[link_name = "_PyUnicode_Ready"]
    fn ready_str(text: *mut pyffi::PyObject) -> std::ffi::c_int;
}

/// The str of Latin-1 bytes.
///
/// # Errors
/// MemoryError.
pub fn latin1<'py>(bytes: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    let data = bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
    // SAFETY: `data` is valid for its length; NULL errors means strict.
    unsafe {
        owned(
            bytes.py(),
            pyffi::PyUnicode_DecodeLatin1(
                data.as_ptr().cast(),
                data.len() as isize,
                std::ptr::null(),
            ),
        )
    }
}

/// `bytes(object)` by the interpreter's own primitive, which decides whether a single byte is the shared
/// object.
///
/// # Errors
/// MemoryError.
pub fn bytes_from<'py>(object: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // SAFETY: the object is alive; a new reference or NULL comes back.
    unsafe { owned(object.py(), pyffi::PyBytes_FromObject(object.as_ptr())) }
}

/// `list(object)`.
///
/// # Errors
/// What iterating raises.
pub fn list_of<'py>(object: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // SAFETY: the object is alive; a new reference or NULL comes back.
    unsafe { owned(object.py(), pyffi::PySequence_List(object.as_ptr())) }
}

/// Whether `object` has `__next__`, as C asks it.
pub fn is_iterator(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    unsafe { pyffi::PyIter_Check(object.as_ptr()) != 0 }
}

/// The next item of an iterator.
///
/// # Errors
/// What `__next__` raises, but StopIteration.
pub fn next<'py>(iterator: &Bound<'py, PyAny>) -> R<Option<Bound<'py, PyAny>>> {
    let py = iterator.py();
    if !is_iterator(iterator) {
        // Its class has lost `__next__` since that was checked.
        return Err(crate::errors::type_error(
            py,
            &format!(
                "'{}' object is not an iterator",
                super::names::tp_name(&iterator.get_type())
            ),
        ));
    }
    // SAFETY: an iterator; a new reference, or NULL with or without an exception.
    unsafe {
        let item = pyffi::PyIter_Next(iterator.as_ptr());
        if item.is_null() && !pyffi::PyErr_Occurred().is_null() {
            return Err(Raised::seen(py));
        }
        Ok(Bound::from_owned_ptr_or_opt(py, item))
    }
}

/// The first item of a pair.
///
/// # Errors
/// TypeError or IndexError if it is none.
pub fn pair_key<'py>(pair: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    Ok(pair.cast::<PyTuple>().map_err(PyErr::from)?.get_item(0)?)
}

/// The second item of a pair.
///
/// # Errors
/// TypeError or IndexError if it is none.
pub fn pair_value<'py>(pair: Option<Bound<'py, PyAny>>) -> R<Bound<'py, PyAny>> {
    let pair = pair.ok_or_else(|| pyo3::exceptions::PySystemError::new_err("lost pair"))?;
    Ok(pair.cast::<PyTuple>().map_err(PyErr::from)?.get_item(1)?)
}

/// Whether two str have the same characters.
#[inline]
pub fn str_eq(a: &Bound<'_, PyString>, b: &Bound<'_, PyString>) -> bool {
    // SAFETY: both are str; comparing them runs no Python.
    a.is(b)
        || unsafe {
            pyffi::PyUnicode_GET_LENGTH(a.as_ptr()) == pyffi::PyUnicode_GET_LENGTH(b.as_ptr())
                && pyffi::PyUnicode_Compare(a.as_ptr(), b.as_ptr()) == 0
        }
}

/// The UTF-8 or ASCII form of a str, strictly.
///
/// # Errors
/// UnicodeEncodeError, MemoryError.
pub fn encode<'py>(text: &Bound<'py, PyString>, ascii: bool) -> Result<Bound<'py, PyBytes>, PyErr> {
    let py = text.py();
    // SAFETY: a str; a new bytes object or NULL comes back.
    let made = unsafe {
        owned(
            py,
            if ascii {
                pyffi::PyUnicode_AsASCIIString(text.as_ptr())
            } else {
                pyffi::PyUnicode_AsUTF8String(text.as_ptr())
            },
        )
    };
    match made {
        Ok(bytes) => Ok(bytes.cast_into::<PyBytes>()?),
        Err(raised) => Err(raised.take(py)),
    }
}

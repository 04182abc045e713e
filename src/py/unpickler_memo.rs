//! `UnpicklerMemoProxy`: the attribute `memo` of an Unpickler, a live view of its memo.

use std::mem;

use pyo3::basic::CompareOp;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};

use super::unpickler::Unpickler;
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::cell::Shared;
use crate::object::names::tp_name;
use crate::object::{R, convert, fallible, make, number};
use crate::unpickler::memo::{FIRST, Memo, settle_all};

/// A view of the memo of an Unpickler.
#[pyclass(
    subclass,
    frozen,
    immutable_type,
    module = "_pickle",
    name = "UnpicklerMemoProxy"
)]
pub struct UnpicklerMemoProxy {
    /// None: made by calling the class, and of no use.
    unpickler: Option<Py<Unpickler>>,
}

impl UnpicklerMemoProxy {
    /// A view of the memo of `unpickler`.
    pub fn of(unpickler: &Bound<'_, Unpickler>) -> Self {
        UnpicklerMemoProxy {
            unpickler: Some(unpickler.clone().unbind()),
        }
    }

    fn entries(&self, py: Python<'_>) -> R<Vec<(usize, Py<PyAny>)>> {
        let Some(unpickler) = &self.unpickler else {
            return Ok(Vec::new());
        };
        let memo = &unpickler.get().memo;
        settle_all(py, memo)?;
        let entries = memo.collect(py, |memo| memo.entries());
        entries.map_err(|_| errors::no_memory(py))
    }
}

#[pymethods]
impl UnpicklerMemoProxy {
    #[new]
    #[pyo3(signature = (*args, **_kwargs), text_signature = None)]
    fn py_new(args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        if QUIRKS.proxies_callable {
            return Ok(UnpicklerMemoProxy { unpickler: None });
        }
        let text = "cannot create '_pickle.UnpicklerMemoProxy' instances";
        Err(errors::type_error(args.py(), text).take(args.py()))
    }

    /// Remove all items from memo.
    #[pyo3(text_signature = "($self, /)")]
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(unpickler) = &self.unpickler {
            // Without memory for a new memo, C keeps the old one.
            make::ask_for_memory(py, FIRST * size_of::<usize>())
                .map_err(|raised| raised.take(py))?;
            let old = unpickler.get().memo.with(py, |memo| {
                let empty = memo.cleared();
                mem::replace(memo, empty)
            });
            drop(old);
        }
        Ok(())
    }

    /// Copy the memo to a new object.
    #[pyo3(text_signature = "($self, /)")]
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let copy = fallible::dict(py).map_err(|raised| raised.take(py))?;
        let entries = self.entries(py).map_err(|raised| raised.take(py))?;
        for (index, object) in entries {
            let index = convert::int(py, index as i64).map_err(|raised| raised.take(py))?;
            copy.set_item(index, object)?;
        }
        Ok(copy)
    }

    /// Implement pickling support: the memo as a dict.
    #[pyo3(text_signature = "($self, /)")]
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let args = fallible::tuple(py, [self.copy(py)?.into_any()]);
        let parts = args.map(|args| [py.get_type::<PyDict>().into_any(), args.into_any()]);
        let value = parts.and_then(|parts| fallible::tuple(py, parts));
        value.map_err(|raised| raised.take(py))
    }

    /// Nothing but identity; with it the class is unhashable, as C's is.
    fn __richcmp__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>, _op: CompareOp) -> Py<PyAny> {
        py.NotImplemented()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.unpickler)
    }
}

/// `unpickler.memo = value`.
///
/// # Errors
/// TypeError for a value that is neither a proxy nor a dict, or has a key that is no int; ValueError or
/// OverflowError for an index that is none.
pub fn assign(memo: &Shared<Memo>, value: &Bound<'_, PyAny>) -> R<()> {
    let py = value.py();
    if let Ok(proxy) = value.cast_exact::<UnpicklerMemoProxy>() {
        let mut entries = proxy.get().entries(py)?;
        let old = memo.with(py, |memo| {
            // The index of MEMOIZE stays, in C as here.
            let mut copy = Memo::default();
            for (index, object) in entries.drain(..) {
                // Each index comes once, so nothing is replaced.
                mem::forget(copy.put(index, object));
            }
            copy.count_from(memo.next());
            mem::replace(memo, copy)
        });
        drop(old);
        return Ok(());
    }
    let Ok(dict) = value.cast::<PyDict>() else {
        let text = format!(
            "'memo' attribute must be an UnpicklerMemoProxy object or dict, not {}",
            tp_name(&value.get_type())
        );
        return Err(errors::type_error(py, &text));
    };
    for (key, object) in dict.iter() {
        if !key.is_instance_of::<PyInt>() {
            return Err(errors::type_error(py, "memo key must be integers"));
        }
        let Ok(index) = usize::try_from(number::to_ssize(&key)?) else {
            return Err(errors::value_error(
                py,
                "memo key must be positive integers.",
            ));
        };
        let object = object.unbind();
        let old = memo.with(py, move |memo| memo.put(index, object));
        drop(old);
    }
    // All versions of C lose the contents here, and only the index of MEMOIZE has moved on.
    let old = memo.with(py, |memo| {
        let empty = Memo::counting_from(memo.next());
        mem::replace(memo, empty)
    });
    drop(old);
    Ok(())
}

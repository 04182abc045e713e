//! `Pickler.memo`: a live view of the memo, and what may be assigned to it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};

use super::pickler::Pickler;
use crate::errors;
use crate::object::cell::Shared;
use crate::object::names::tp_name;
use crate::object::{R, Raised, convert, fallible, number};
use crate::pickler::memo::Memo;

/// The type of `Pickler.memo`.
#[pyclass(
    subclass,
    frozen,
    immutable_type,
    name = "PicklerMemoProxy",
    module = "_pickle"
)]
pub struct PicklerMemoProxy(Shared<Option<Py<Pickler>>>);

impl PicklerMemoProxy {
    /// A view of the memo of `pickler`.
    ///
    /// # Errors
    /// MemoryError.
    pub fn of(pickler: &Bound<'_, Pickler>) -> PyResult<Py<Self>> {
        let owner = Shared::new(Some(pickler.clone().unbind()));
        Py::new(pickler.py(), PicklerMemoProxy(owner))
    }

    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Pickler>> {
        let owner = self.0.pick(py, |owner| owner.as_ref().map(Py::as_any));
        owner.and_then(|owner| owner.cast_into().ok())
    }

    /// The entries: (object, index).
    ///
    /// # Errors
    /// MemoryError.
    fn entries<'py>(&self, py: Python<'py>) -> R<Vec<(Bound<'py, PyAny>, i64)>> {
        let mut entries = Vec::new();
        let Some(owner) = self.owner(py) else {
            return Ok(entries);
        };
        let settings = &owner.get().settings;
        let n = settings.with(py, |settings| settings.memo.len());
        if entries.try_reserve_exact(n).is_err() {
            return Err(errors::no_memory(py));
        }
        entries.extend((0..n).filter_map(|i| {
            let index = settings.with(py, |settings| settings.memo.index_at(i))?;
            let object = settings.pick_at(py, |settings| settings.memo.at(i))?;
            Some((object, index))
        }));
        Ok(entries)
    }
}

#[pymethods]
impl PicklerMemoProxy {
    /// Forget everything.
    #[pyo3(text_signature = "($self, /)")]
    fn clear(&self, py: Python<'_>) {
        if let Some(owner) = self.owner(py) {
            Pickler::clear_memo(&owner);
        }
    }

    /// The memo as a dict: id(object) -> (index, object).
    #[pyo3(text_signature = "($self, /)")]
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = fallible::dict(py).map_err(|raised| raised.take(py))?;
        for (object, index) in self.entries(py).map_err(|raised| raised.take(py))? {
            let entry = || {
                // An address is far below the largest i64.
                let key = convert::int(py, object.as_ptr().addr() as i64)?;
                Ok((key, convert::pair(&convert::int(py, index)?, &object)?))
            };
            let (key, value) = entry().map_err(|raised: Raised| raised.take(py))?;
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }

    /// Pickles as a plain dict.
    #[pyo3(text_signature = "($self, /)")]
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let args = fallible::tuple(py, [self.copy(py)?.into_any()]);
        let parts = args.map(|args| [py.get_type::<PyDict>().into_any(), args.into_any()]);
        let value = parts.and_then(|parts| fallible::tuple(py, parts));
        value.map_err(|raised| raised.take(py))
    }

    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.visit(|owner| match owner {
            Some(owner) => visit.call(owner),
            None => Ok(()),
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.0.with(py, Option::take));
    }
}

/// The memo that an assigned value stands for: a proxy is copied, a dict is `{…: (index, object)}`.
///
/// # Errors
/// TypeError if it is something else; what reading an index raises.
pub fn from_object(value: &Bound<'_, PyAny>) -> R<Memo> {
    let py = value.py();
    let mut memo = Memo::default();
    if let Ok(proxy) = value.cast_exact::<PicklerMemoProxy>() {
        for (object, index) in proxy.get().entries(py)? {
            memo.assign(object, index)
                .map_err(|_| errors::no_memory(py))?;
        }
        return Ok(memo);
    }
    let Ok(dict) = value.cast::<PyDict>() else {
        return Err(errors::type_error(
            py,
            &format!(
                "'memo' attribute must be a PicklerMemoProxy object or dict, not {}",
                tp_name(&value.get_type())
            ),
        ));
    };
    for (_, entry) in dict.iter() {
        let entry = match entry.cast_into::<PyTuple>() {
            Ok(entry) if entry.len() == 2 => entry,
            _ => {
                let text = "'memo' values must be 2-item tuples";
                return Err(errors::type_error(py, text));
            }
        };
        let index = entry.get_item(0)?;
        if !index.is_instance_of::<PyInt>() {
            return Err(errors::type_error(py, "an integer is required"));
        }
        let index = number::to_ssize(&index)? as i64;
        let object = entry.get_item(1)?;
        memo.assign(object, index)
            .map_err(|_| errors::no_memory(py))?;
    }
    Ok(memo)
}

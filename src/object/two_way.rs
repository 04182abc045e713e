//! Methods of our classes that serve objects of C's classes as well, for a late `install()`.
//!
//! A class that was derived from `pickle.Pickler` before may call `pickle.Pickler.dump(self, object)`. That name means
//! our class by then, whose methods refuse objects of another class, as those of any class in C do. This file
//! puts descriptors into our classes that hand such objects to the method of C's class, and takes them out
//! again. It must not change what a method does with anything else, nor how our own classes make objects.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

// A method of one of our classes, and what C's class has under that name. (A comment, as what documents
// the class would stand before what documents the method.)
#[pyclass(frozen, name = "two_way_method", module = "oxipickle._pickle")]
struct TwoWay {
    ours: Py<PyAny>,
    theirs: Py<PyAny>,
    their_class: Py<PyType>,
}

impl TwoWay {
    fn method_for<'py>(&self, object: &Bound<'py, PyAny>) -> &Bound<'py, PyAny> {
        let py = object.py();
        let class = self.their_class.bind(py).as_type_ptr();
        // SAFETY: two types, alive. Reads the MRO and runs nothing, as the check of a method in C does.
        let theirs = unsafe { pyffi::PyType_IsSubtype(pyffi::Py_TYPE(object.as_ptr()), class) };
        let method = if theirs == 0 {
            &self.ours
        } else {
            &self.theirs
        };
        method.bind(py)
    }
}

#[pymethods]
impl TwoWay {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let method = match args.get_item(0) {
            Ok(object) => self.method_for(&object),
            Err(_) => self.ours.bind(args.py()),
        };
        method.call(args, kwargs)
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        object: &Bound<'py, PyAny>,
        class: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if object.is_none() {
            return Ok(slf.clone().into_any());
        }
        let method = slf.get().method_for(object);
        let class = if class.is_none() {
            std::ptr::null_mut()
        } else {
            class.as_ptr()
        };
        // SAFETY: the slot of a live object's type is called as the interpreter would, with a live object
        // and its class, or NULL for none.
        unsafe {
            match (*pyffi::Py_TYPE(method.as_ptr())).tp_descr_get {
                Some(bind) => {
                    let bound = bind(method.as_ptr(), object.as_ptr(), class);
                    Bound::from_owned_ptr_or_err(slf.py(), bound)
                }
                None => Ok(method.clone()),
            }
        }
    }

    /// What is not said here, such as the name and the signature, is what our own method says.
    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.ours.bind(name.py()).getattr(name)
    }

    #[getter]
    fn __doc__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.ours.bind(py).getattr("__doc__")
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.ours.bind(py).repr()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.ours.bind(py).call_method0("__reduce__")
    }
}

/// Lets the methods of `ours` serve objects of `theirs` too, or of no other class again. A second call
/// does no more.
///
/// `__init__` and the plain methods that both classes have. Only what looks a method up meets the
/// difference: making an object goes by the slots of the class.
///
/// # Errors
/// MemoryError, with nothing changed.
pub fn serve(ours: &Bound<'_, PyType>, theirs: Option<&Bound<'_, PyType>>) -> PyResult<()> {
    let py = ours.py();
    let class = ours.as_type_ptr();
    // SAFETY: a class of ours is a heap type, which has its dict in tp_dict on every version.
    let names = unsafe { Bound::from_borrowed_ptr(py, (*class).tp_dict) }.cast_into::<PyDict>()?;
    let mut changes = Vec::new();
    for (name, found) in &names {
        let own = match found.cast::<TwoWay>() {
            Ok(two_way) => two_way.get().ours.bind(py).clone(),
            Err(_) if is_method(&name, &found)? => found.clone(),
            Err(_) => continue,
        };
        let other = match theirs {
            Some(theirs) => theirs.getattr("__dict__")?.get_item(&name).ok(),
            None => None,
        };
        let new = match (theirs, other) {
            (Some(theirs), Some(other)) => {
                let method = TwoWay {
                    ours: own.unbind(),
                    theirs: other.unbind(),
                    their_class: theirs.clone().unbind(),
                };
                Bound::new(py, method)?.into_any()
            }
            _ => own,
        };
        changes.push((name, new));
    }
    for (name, new) in changes {
        // Replaces the value of a key that is there, which needs no memory.
        names.set_item(name, new)?;
    }
    // SAFETY: a type, alive; what has been looked up in it and kept is forgotten.
    unsafe { pyffi::PyType_Modified(class) };
    Ok(())
}

/// Whether this entry of a class in C is `__init__` or a plain method.
fn is_method(name: &Bound<'_, PyAny>, entry: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: the type of a live object, and the addresses of two types of the interpreter.
    let (plain, of_slot) = unsafe {
        let ty = pyffi::Py_TYPE(entry.as_ptr());
        (
            std::ptr::eq(ty, &raw const pyffi::PyMethodDescr_Type),
            std::ptr::eq(ty, &raw const pyffi::PyWrapperDescr_Type),
        )
    };
    Ok(plain || of_slot && name.eq("__init__")?)
}

//! What Python sees of our PickleBuffer (PEP 574); the class itself is in `object/buffer.rs`.
//!
//! It differs from the interpreter's own in one thing: `raw()` of memory that memoryview cannot cast
//! (Fortran order, empty dimensions, formats other than a native character) has an object of ours as its
//! `obj`, not the owner of the memory.
#![allow(unsafe_code)]

use std::ffi::c_int;

use pyo3::ffi as pyffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::args::PICKLE_BUFFER;
use crate::object::buffer::PickleBuffer;

#[pymethods]
impl PickleBuffer {
    #[new]
    #[pyo3(signature = (*args, **kwargs), text_signature = None)]
    fn py_new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let py = args.py();
        let made = PICKLE_BUFFER
            .slots(args, kwargs)
            .and_then(|[object]| Self::wrap(&object));
        made.map_err(|raised| raised.take(py))
    }

    /// Return a memoryview of the raw memory underlying this buffer.
    ///
    /// It is one-dimensional, of format "B". BufferError is raised if the buffer is neither C-
    /// nor Fortran-contiguous, ValueError if it is released.
    #[pyo3(name = "raw", text_signature = "($self, /)")]
    fn py_raw<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::raw(slf).map_err(|raised| raised.take(slf.py()))
    }

    /// Release the underlying buffer, if it is not released yet.
    #[pyo3(text_signature = "($self, /)")]
    fn release(&self, py: Python<'_>) {
        self.forget(py);
    }

    /// # Safety
    /// The buffer protocol.
    unsafe fn __getbuffer__(
        &self,
        py: Python<'_>,
        view: *mut pyffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // SAFETY: `view` and `flags` are the caller's.
        unsafe { self.fill(py, view, flags) }.map_err(|raised| raised.take(py))
    }

    /// # Safety
    /// The buffer protocol. Views name the owner of the memory and are released there, so this is
    /// never called with one.
    unsafe fn __releasebuffer__(&self, _view: *mut pyffi::Py_buffer) {}

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.forget(py);
    }
}

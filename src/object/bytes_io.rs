//! The interpreter's `io.BytesIO`: how it is read nobody sees, only where it stands afterwards.
//!
//! This file must not know what is read.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::{R, attr, convert, make};
use crate::state::State;

/// What is needed of the class; see `state.rs`.
pub struct BytesIo {
    class: Py<PyAny>,
    /// The functions behind `read`, `readinto` and `readline`.
    methods: [usize; 3],
    seek: Py<PyAny>,
}

impl BytesIo {
    /// Looks the class up.
    ///
    /// # Errors
    /// What the look-up raises.
    pub fn new(class: Bound<'_, PyAny>) -> PyResult<Self> {
        let file = class.call0()?;
        let code = |name| {
            let method = file.getattr(name)?;
            PyResult::Ok(function(&method).map_or(0, |(code, _)| code))
        };
        Ok(BytesIo {
            methods: [code("read")?, code("readinto")?, code("readline")?],
            seek: class.getattr("seek")?.unbind(),
            class: class.unbind(),
        })
    }

    /// The class.
    pub fn class(&self) -> &Py<PyAny> {
        &self.class
    }
}

/// Whether `file` is an instance of exactly BytesIO, and `read`, `readinto` and `readline` are its own; never where
/// another thread may use it between two calls.
pub fn is_read_by(file: &Bound<'_, PyAny>, methods: [&Bound<'_, PyAny>; 3]) -> bool {
    let known = &State::get(file.py()).bytes_io;
    let is_own = |(method, code): (&Bound<'_, PyAny>, usize)| {
        function(method).is_some_and(|(found, owner)| found == code && owner.is(file))
    };
    !cfg!(Py_GIL_DISABLED)
        && file.get_type().is(&known.class)
        && methods.into_iter().zip(known.methods).all(is_own)
}

/// Moves the file whose `read` this is (see [`is_read_by`]) back by `count` bytes, which were just read.
///
/// # Errors
/// ValueError if it was closed meanwhile.
pub fn step_back(read: &Bound<'_, PyAny>, count: usize) -> R<()> {
    let py = read.py();
    let Some((_, file)) = function(read) else {
        return Ok(());
    };
    let offset = convert::int(py, -(count as i64))?;
    let from_here = make::size(py, 1)?;
    attr::call3(
        State::get(py).bytes_io.seek.bind(py),
        &file,
        &offset,
        &from_here,
    )
    .map(drop)
}

/// The code of a function in C, and what it is a method of.
fn function<'py>(method: &Bound<'py, PyAny>) -> Option<(usize, Bound<'py, PyAny>)> {
    // SAFETY: a live object; `__self__` of a function in C is borrowed, or NULL.
    unsafe {
        if pyffi::PyCFunction_CheckExact(method.as_ptr()) == 0 {
            return None;
        }
        let code = pyffi::PyCFunction_GetFunction(method.as_ptr())?;
        let owner = pyffi::PyCFunction_GetSelf(method.as_ptr());
        Some((
            code as usize,
            Bound::from_borrowed_ptr_or_opt(method.py(), owner)?,
        ))
    }
}

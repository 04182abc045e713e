//! CPython objects: every touch of CPython memory.
//!
//! The cardinal rule of this layer and of all above it: **nothing borrowed lives across a call
//! that can run Python.** Two kinds of references exist:
//!
//! - [`Bound`](pyo3::Bound): owned. May be held across anything.
//! - [`Obj`]: a copyable pointer tied to a *frozen window*, the time between two calls into user
//!   code in which nothing can change or free an object (`world.rs` states the rules). It cannot outlive its window.
//!
//! What is stored of an `Obj` in a task or the memo is a bare address (`Slot`, `Log`, [`Held`]); `world.rs` alone
//! turns it back, since it alone knows that the object is alive.
//!
//! This layer must not know the byte format beyond plain types, and must not decide what is
//! written or read.
#![allow(unsafe_code)]

pub mod array;
pub mod attr;
pub mod audit;
pub mod boxed;
pub mod buffer;
pub mod build;
pub mod by_name;
pub mod bytes_io;
pub mod bytes_out;
pub mod cell;
pub mod classes;
pub mod collector;
mod construct;
mod constructor_facts;
pub mod constructors;
pub mod convert;
pub mod cursor;
pub mod entries;
pub mod fallible;
pub mod ffi;
pub mod filling;
mod inline_values;
pub mod instance;
pub mod interpreter;
pub mod kept;
pub mod kind;
pub mod known;
pub mod make;
pub mod member;
pub mod methods;
pub mod modules;
pub mod names;
pub mod number;
mod per_class;
pub mod read;
pub mod recipes;
pub mod signals;
pub mod spares;
pub mod templates;
pub mod text;
pub mod two_way;
pub mod types;
pub mod window;
pub mod world;

pub use window::{Held, Obj, Window};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

/// A Python exception is set in this thread.
///
/// Zero bytes, so that `Result<T, Raised>` stays in registers. Only a function that has set an
/// exception, or seen one set, makes one.
#[must_use]
#[derive(Debug)]
pub struct Raised(());

/// What a function returns that may set a Python exception.
pub type R<T> = Result<T, Raised>;

impl Raised {
    /// Sets `err` as the exception of this thread.
    #[cold]
    pub fn new(py: Python<'_>, err: PyErr) -> Self {
        err.restore(py);
        Raised(())
    }

    /// The exception that a CPython call has just set.
    ///
    /// Should the call have failed without setting one, `SystemError` takes its place.
    #[cold]
    pub fn seen(py: Python<'_>) -> Self {
        if !PyErr::occurred(py) {
            let text = c"a call failed without an exception";
            // SAFETY: an exception class that is always there, and a C string.
            unsafe { pyffi::PyErr_SetString(pyffi::PyExc_SystemError, text.as_ptr()) };
        }
        Raised(())
    }

    /// Sets MemoryError, without a text, as CPython raises it.
    #[cold]
    pub fn no_memory(_py: Python<'_>) -> Self {
        // SAFETY: the thread is attached; the interpreter keeps an exception ready for this.
        unsafe { pyffi::PyErr_NoMemory() };
        Raised(())
    }

    /// Takes the exception out of this thread.
    #[cold]
    pub fn take(self, py: Python<'_>) -> PyErr {
        PyErr::fetch(py)
    }
}

/// Whether there is memory to say more about an exception: where it tells of none, perhaps not, and Rust ends the
/// process when it gets none for a text.
#[cold]
pub fn can_be_noted(py: Python<'_>, err: &PyErr) -> bool {
    const ENOUGH: usize = 1 << 20;
    !err.is_instance_of::<pyo3::exceptions::PyMemoryError>(py)
        || Vec::<u8>::new().try_reserve_exact(ENOUGH).is_ok()
}

impl From<PyErr> for Raised {
    #[cold]
    fn from(err: PyErr) -> Self {
        // SAFETY: every PyErr in this crate comes out of a call that needed the interpreter, and
        // is turned round in the same function: the thread is attached.
        let py = unsafe { Python::assume_attached() };
        Self::new(py, err)
    }
}

/// The owned result of a CPython call that returns NULL on error.
///
/// # Safety
/// `ptr` is NULL with an exception set, or a new reference.
#[inline]
pub(crate) unsafe fn owned(py: Python<'_>, ptr: *mut pyffi::PyObject) -> R<Bound<'_, PyAny>> {
    if ptr.is_null() {
        return Err(Raised::seen(py));
    }
    // SAFETY: not NULL, so by the caller's promise a new reference.
    Ok(unsafe { Bound::from_owned_ptr(py, ptr) })
}

/// The result of a CPython call that returns a negative number on error.
#[inline]
pub(crate) fn status(py: Python<'_>, code: std::ffi::c_int) -> R<std::ffi::c_int> {
    if code < 0 {
        return Err(Raised::seen(py));
    }
    Ok(code)
}

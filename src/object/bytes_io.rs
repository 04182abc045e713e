//! The interpreter's `io.BytesIO`: how it is read nobody sees, only where it stands afterwards.
//!
//! This file must not know what is read.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::instance::{self, DictPlace};
use super::{R, attr, convert, ffi, make};
use crate::state::State;

/// What is needed of the class; see `state.rs`.
pub struct BytesIo {
    class: Py<PyAny>,
    /// The functions behind `read`, `readinto` and `readline`.
    codes: [usize; 3],
    read: Py<PyAny>,
    readinto: Py<PyAny>,
    readline: Py<PyAny>,
    seek: Py<PyAny>,
    /// Where an instance has its dict; None if an instance may have other methods even with an empty dict.
    dict_at: Option<usize>,
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
        let [read, readinto, readline] = ["read", "readinto", "readline"];
        let codes = [code(read)?, code(readinto)?, code(readline)?];
        let read = class.getattr(read)?;
        let readinto = class.getattr(readinto)?;
        let readline = class.getattr(readline)?;
        let usual = [&read, &readinto, &readline].into_iter().all(is_descriptor)
            && !class.hasattr("peek")?;
        Ok(BytesIo {
            codes,
            dict_at: dict_at(&file.get_type()).filter(|_| usual),
            read: read.unbind(),
            readinto: readinto.unbind(),
            readline: readline.unbind(),
            seek: class.getattr("seek")?.unbind(),
            class: class.unbind(),
        })
    }

    /// The class.
    pub fn class(&self) -> &Py<PyAny> {
        &self.class
    }
}

/// Whether this is a method of a class in C.
fn is_descriptor(method: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the type of a live object, and the address of one of the interpreter.
    unsafe {
        std::ptr::eq(
            pyffi::Py_TYPE(method.as_ptr()),
            &raw const pyffi::PyMethodDescr_Type,
        )
    }
}

/// Where instances of a class have their dict, if nobody can change the class and its methods are found in the
/// ordinary way.
fn dict_at(class: &Bound<'_, PyType>) -> Option<usize> {
    let ty = class.as_type_ptr();
    // SAFETY: a type, alive.
    let is_plain = unsafe {
        let generic = pyffi::PyBaseObject_Type.tp_getattro.map(|f| f as usize);
        ffi::type_flags(ty) & pyffi::Py_TPFLAGS_IMMUTABLETYPE != 0
            && (*ty).tp_getattro.map(|f| f as usize) == generic
    };
    match instance::dict_place(class) {
        DictPlace::Offset(offset) if is_plain => Some(offset),
        _ => None,
    }
}

/// Whether `file` is an instance of exactly BytesIO whose methods nobody has replaced, without a look at each: never
/// where another thread may use it between two calls. Otherwise [`is_read_by`] may say more.
///
/// An `Unpickler` of a BytesIO takes two thirds of the time if its methods are not looked up.
#[inline]
pub fn is_plain(file: &Bound<'_, PyAny>) -> bool {
    let known = &State::get(file.py()).bytes_io;
    let Some(dict_at) = known.dict_at else {
        return false;
    };
    if cfg!(Py_GIL_DISABLED) || !file.get_type().is(&known.class) {
        return false;
    }
    // SAFETY: instances of the class have a dict or NULL there.
    unsafe {
        let dict = *file
            .as_ptr()
            .byte_add(dict_at)
            .cast::<*mut pyffi::PyObject>();
        dict.is_null() || pyffi::PyDict_Size(dict) == 0
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
        && methods.into_iter().zip(known.codes).all(is_own)
}

/// `file.read(size)` of one that [`is_plain`] or [`is_read_by`] has looked at; likewise with those below.
///
/// # Errors
/// What it raises.
#[inline]
pub fn read<'py>(file: &Bound<'py, PyAny>, size: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    let py = file.py();
    attr::call2(State::get(py).bytes_io.read.bind(py), file, size)
}

/// `file.readinto(view)`.
///
/// # Errors
/// What it raises.
pub fn readinto<'py>(file: &Bound<'py, PyAny>, view: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    let py = file.py();
    attr::call2(State::get(py).bytes_io.readinto.bind(py), file, view)
}

/// `file.readline()`.
///
/// # Errors
/// What it raises.
pub fn readline<'py>(file: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    let py = file.py();
    attr::call1(State::get(py).bytes_io.readline.bind(py), file)
}

/// Moves the file back by `count` bytes, which were just read.
///
/// # Errors
/// ValueError if it was closed meanwhile.
pub fn step_back(file: &Bound<'_, PyAny>, count: usize) -> R<()> {
    let py = file.py();
    let offset = convert::int(py, -(count as i64))?;
    let from_here = make::size(py, 1)?;
    let seek = State::get(py).bytes_io.seek.bind(py);
    attr::call3(seek, file, &offset, &from_here).map(drop)
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

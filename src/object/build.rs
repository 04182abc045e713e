//! Making instances and giving them their state.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::instance::{Attributes, attributes, place_of};
use super::{R, Raised, Window, ffi, owned, status};

/// Whether instances of the class can be made at all.
#[inline]
pub fn has_new(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a type, alive; a field is read.
    unsafe { (*class.as_type_ptr()).tp_new.is_some() }
}

/// `cls.__new__(cls, *args, **kwargs)` by way of the class's own slot, past any attribute `__new__`.
///
/// # Errors
/// What `__new__` raises; TypeError if the class has none.
#[inline]
pub fn new_object<'py>(
    class: &Bound<'py, PyType>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> R<Bound<'py, PyAny>> {
    let py = class.py();
    let kwargs = kwargs.map_or(ptr::null_mut(), Bound::as_ptr);
    let ty = class.as_type_ptr();
    // SAFETY: a type, alive; its slot takes a tuple, and a dict or NULL.
    unsafe {
        match (*ty).tp_new {
            Some(new) => owned(py, new(ty, args.as_ptr(), kwargs)),
            None => Err(crate::errors::type_error(py, "a class without __new__")),
        }
    }
}

/// What CPython puts into a class that has `__new__` or `__init__` in Python; 0 until the self-test.
static PYTHON_NEW: AtomicUsize = AtomicUsize::new(0);
static PYTHON_INIT: AtomicUsize = AtomicUsize::new(0);

/// Finds out how classes with constructors in Python are told from others.
///
/// # Errors
/// What making a class raises.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    let names = PyDict::new(py);
    names.set_item("__new__", py.get_type::<PyDict>())?;
    names.set_item("__init__", py.get_type::<PyDict>())?;
    let class = py
        .get_type::<PyType>()
        .call1(("Layout", (py.get_type::<PyAny>(),), names))?
        .cast_into::<PyType>()?;
    // SAFETY: a type, alive; fields are read.
    unsafe {
        let raw = class.as_type_ptr();
        PYTHON_NEW.store((*raw).tp_new.map_or(0, |f| f as usize), Ordering::Relaxed);
        PYTHON_INIT.store((*raw).tp_init.map_or(0, |f| f as usize), Ordering::Relaxed);
    }
    Ok(())
}

/// Whether the class has a `__new__` that is written in C.
#[inline]
pub fn has_quiet_new(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a type, alive; a field is read.
    let new = unsafe { (*class.as_type_ptr()).tp_new.map_or(0, |f| f as usize) };
    new != 0 && new != PYTHON_NEW.load(Ordering::Relaxed)
}

/// Whether a slot `tp_new` is that of a class with a `__new__` in Python.
#[inline]
pub(super) fn is_python_new(new: usize) -> bool {
    new != 0 && new == PYTHON_NEW.load(Ordering::Relaxed)
}

/// Whether the class has an `__init__` that is written in C, or none.
#[inline]
fn has_quiet_init(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a type, alive; a field is read.
    let init = unsafe { (*class.as_type_ptr()).tp_init.map_or(0, |f| f as usize) };
    init != PYTHON_INIT.load(Ordering::Relaxed)
}

/// Whether the object is an exact dict without items that has `references` references and no more.
#[inline]
pub fn is_empty_dict(object: &Bound<'_, PyAny>, references: isize) -> bool {
    // SAFETY: a live object, whose type is checked before a field of it is read.
    unsafe {
        pyffi::PyDict_CheckExact(object.as_ptr()) != 0
            && (*object.as_ptr().cast::<pyffi::PyDictObject>()).ma_used == 0
            && pyffi::Py_REFCNT(object.as_ptr()) == references
    }
}

/// Whether the object is an immutable value of a built-in type, which refers to nothing.
#[inline]
pub fn is_atom(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object; types are compared by address.
    unsafe {
        let ty: *const pyffi::PyTypeObject = pyffi::Py_TYPE(object.as_ptr());
        ptr::eq(ty, &raw const pyffi::PyUnicode_Type)
            || ptr::eq(ty, &raw const pyffi::PyLong_Type)
            || ptr::eq(ty, &raw const pyffi::PyBytes_Type)
            || ptr::eq(ty, &raw const pyffi::PyFloat_Type)
            || ptr::eq(ty, &raw const pyffi::PyBool_Type)
            || pyffi::Py_IsNone(object.as_ptr()) != 0
    }
}

/// Whether setting an item is what it is for a dict: the object is one, and its class has no `__setitem__`.
#[inline]
pub fn sets_items_as_dict(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: types, alive; fields are read. A subclass of dict has the slots of a mapping.
    unsafe {
        if pyffi::PyDict_CheckExact(object.as_ptr()) != 0 {
            return true;
        }
        let own = (*pyffi::Py_TYPE(object.as_ptr())).tp_as_mapping;
        let usual = pyffi::PyDict_Type.tp_as_mapping;
        pyffi::PyDict_Check(object.as_ptr()) != 0
            && !own.is_null()
            && (*own).mp_ass_subscript.map(|f| f as usize)
                == (*usual).mp_ass_subscript.map(|f| f as usize)
    }
}

/// Whether `object.extend`, the name given, is what it is for a list: the object is one, its class has no method of
/// that name, and it has no attributes.
#[inline]
pub fn extends_as_list(object: &Bound<'_, PyAny>, extend: &Bound<'_, PyString>) -> bool {
    // SAFETY: live objects and types; what the look-ups give is only compared. Nothing runs in the window.
    unsafe {
        let ty = pyffi::Py_TYPE(object.as_ptr());
        let generic = pyffi::PyBaseObject_Type.tp_getattro.map(|f| f as usize);
        if pyffi::PyList_Check(object.as_ptr()) == 0
            || (*ty).tp_getattro.map(|f| f as usize) != generic
        {
            return false;
        }
        let usual = ffi::_PyType_Lookup(&raw mut pyffi::PyList_Type, extend.as_ptr());
        if usual.is_null() || ffi::_PyType_Lookup(ty, extend.as_ptr()) != usual {
            return false;
        }
        let window = Window::open();
        let object = window.obj(object);
        match attributes(window, object, place_of(object)) {
            Attributes::Nothing => true,
            Attributes::Inline(inline) => inline.is_empty(),
            Attributes::Dict(_) | Attributes::Unreadable => false,
        }
    }
}

/// Whether the object is an OrderedDict and no instance of a subclass.
#[inline]
pub fn is_ordered_dict(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object; types are compared by address.
    unsafe {
        ptr::eq(
            pyffi::Py_TYPE(object.as_ptr()),
            &raw const ffi::PyODict_Type,
        )
    }
}

/// Whether the object is an exact list, tuple or dict without items.
fn is_empty_container(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object, whose type is checked before its size is read.
    unsafe {
        let raw = object.as_ptr();
        (pyffi::PyTuple_CheckExact(raw) != 0 && pyffi::PyTuple_GET_SIZE(raw) == 0)
            || (pyffi::PyList_CheckExact(raw) != 0 && pyffi::PyList_GET_SIZE(raw) == 0)
            || (pyffi::PyDict_CheckExact(raw) != 0 && pyffi::PyDict_Size(raw) == 0)
    }
}

/// Whether a call cannot reach any object of the stream that matters: a class made in C gets nothing but atoms and
/// empty containers.
#[inline]
pub fn is_quiet_call(callable: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> bool {
    // A metaclass may have a `__call__` of its own.
    let made_in_c = callable
        .cast_exact::<PyType>()
        .is_ok_and(|class| has_quiet_new(class) && has_quiet_init(class));
    made_in_c
        && args
            .as_slice()
            .iter()
            .all(|arg| is_atom(arg) || is_empty_container(arg))
}

/// `setattr(object, name, value)` for a name that may be no str.
///
/// # Errors
/// TypeError if it is none; what `__setattr__` raises.
#[inline]
pub fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> R<()> {
    // SAFETY: three live objects, checked by the call.
    let code = unsafe { pyffi::PyObject_SetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) };
    status(object.py(), code).map(drop)
}

/// Calls `f` with each key and value of a dict, which `f` may change: then some may be left out
/// or come twice, as in C.
///
/// # Errors
/// The first that `f` raises.
pub fn each_item<'py>(
    dict: &Bound<'py, PyDict>,
    mut f: impl FnMut(Bound<'py, PyAny>, Bound<'py, PyAny>) -> R<()>,
) -> R<()> {
    let py = dict.py();
    let mut position = 0;
    let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
    loop {
        // SAFETY: a dict; the call accepts any position it has given, also after a change. What it
        // gives is counted before anything else runs.
        let (key, value) = unsafe {
            if pyffi::PyDict_Next(dict.as_ptr(), &mut position, &mut key, &mut value) == 0 {
                return Ok(());
            }
            (
                Bound::from_borrowed_ptr(py, key),
                Bound::from_borrowed_ptr(py, value),
            )
        };
        f(key, value)?;
    }
}

/// `next(iterator)`, None at its end.
///
/// # Errors
/// What the iterator raises; TypeError if it is none.
pub fn next_item<'py>(iterator: &Bound<'py, PyAny>) -> R<Option<Bound<'py, PyAny>>> {
    let py = iterator.py();
    // SAFETY: a live object, checked to be an iterator.
    let item = unsafe {
        if pyffi::PyIter_Check(iterator.as_ptr()) == 0 {
            return Err(crate::errors::type_error(py, "buffers is not an iterator"));
        }
        Bound::from_owned_ptr_or_opt(py, pyffi::PyIter_Next(iterator.as_ptr()))
    };
    if item.is_none() && PyErr::occurred(py) {
        return Err(Raised::seen(py));
    }
    Ok(item)
}

/// A read-only memoryview of an object's buffer, or None if the buffer is read-only by itself.
///
/// # Errors
/// TypeError if the object has no buffer; what getting it raises.
pub fn readonly<'py>(object: &Bound<'py, PyAny>) -> R<Option<Bound<'py, PyAny>>> {
    // SAFETY: a live object, checked by the call.
    let view = unsafe { owned(object.py(), pyffi::PyMemoryView_FromObject(object.as_ptr())) }?;
    let names = &crate::state::State::get(view.py()).names;
    if view.getattr(names.readonly.bind(view.py()))?.is_truthy()? {
        return Ok(None);
    }
    Ok(Some(view.call_method0(names.toreadonly.bind(view.py()))?))
}

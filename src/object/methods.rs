//! Methods and attributes of instances of our own classes.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::{R, ffi, owned, status};

/// Whether `object.name` is the method that the class `base`, one of its bases, has.
///
/// Answered without making the bound method, and with false where that would take more than a look
/// at the classes and the instance's own dict.
pub fn inherits(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    base: &Bound<'_, PyType>,
) -> bool {
    let py = object.py();
    // SAFETY: types and objects that are alive; what the look-ups give is only compared.
    unsafe {
        let ty = pyffi::Py_TYPE(object.as_ptr());
        let base = base.as_type_ptr();
        if !looks_up_like(ty, base) {
            return false;
        }
        let own = ffi::_PyType_Lookup(base, name.as_ptr());
        if own.is_null() || ffi::_PyType_Lookup(ty, name.as_ptr()) != own {
            return false;
        }
        let dict = pyffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut());
        let Some(dict) = Bound::from_owned_ptr_or_opt(py, dict) else {
            // No dict, nothing in it.
            pyffi::PyErr_Clear();
            return true;
        };
        dict.cast::<PyDict>()
            .is_ok_and(|dict| matches!(dict.contains(name), Ok(false)))
    }
}

/// Whether `object.name` is what the data descriptor of the class `base`, one of its bases, gives.
///
/// Like [`inherits`], for which the instance's own dict matters too.
pub fn has_member(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    base: &Bound<'_, PyType>,
) -> bool {
    // SAFETY: types and objects that are alive; what the look-ups give is only compared.
    unsafe {
        let ty = pyffi::Py_TYPE(object.as_ptr());
        let base = base.as_type_ptr();
        if std::ptr::eq(ty, base) {
            return true;
        }
        looks_up_like(ty, base) && {
            let own = ffi::_PyType_Lookup(base, name.as_ptr());
            !own.is_null() && ffi::_PyType_Lookup(ty, name.as_ptr()) == own
        }
    }
}

/// # Safety
/// Two type objects, alive.
unsafe fn looks_up_like(ty: *mut pyffi::PyTypeObject, base: *mut pyffi::PyTypeObject) -> bool {
    // SAFETY: promised by the caller.
    let of = |ty: *mut pyffi::PyTypeObject| unsafe { (*ty).tp_getattro.map(|f| f as usize) };
    of(ty) == of(base)
}

/// `getattr(object, name)` of an instance of the class `base`, or None if that raises AttributeError. Makes no
/// exception for it if the class of the object looks attributes up as `base` does. Not for the names that `base`
/// treats in its own way.
///
/// # Errors
/// What a descriptor or the class's own look-up raises.
pub fn get_optional<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    base: &Bound<'py, PyType>,
) -> R<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    // SAFETY: live objects and types; a new reference or NULL comes back.
    unsafe {
        if !looks_up_like(pyffi::Py_TYPE(object.as_ptr()), base.as_type_ptr()) {
            return super::attr::get_optional(object, name);
        }
        let none = std::ptr::null_mut();
        let found = ffi::_PyObject_GenericGetAttrWithDict(object.as_ptr(), name.as_ptr(), none, 1);
        if found.is_null() && PyErr::occurred(py) {
            return Err(super::Raised::seen(py));
        }
        Ok(Bound::from_owned_ptr_or_opt(py, found))
    }
}

/// The look-ups that PyO3 made for our classes, by the length of the name that they treat in a special way.
static OWN_LOOK_UPS: [AtomicUsize; 16] = [const { AtomicUsize::new(0) }; 16];

/// Makes a class of ours, before it is used, look attributes up the ordinary way, but for names of `SPECIAL`
/// characters: those by its `__getattribute__`. PyO3's detour to that costs some hundred instructions, and an
/// AttributeError several thousand.
pub fn shorten_look_up<const SPECIAL: usize>(class: &Bound<'_, PyType>) {
    let name = PyString::intern(class.py(), "__getattribute__");
    // SAFETY: a class that was just made, without subclasses, and the wrapper of its slot, whose type is
    // looked at before it is changed. Subclasses take their slot from the wrapper.
    unsafe {
        let place = &raw mut (*class.as_type_ptr()).tp_getattro;
        let wrapper = ffi::_PyType_Lookup(class.as_type_ptr(), name.as_ptr());
        let is_wrapper = !wrapper.is_null()
            && std::ptr::eq(
                pyffi::Py_TYPE(wrapper),
                &raw const pyffi::PyWrapperDescr_Type,
            );
        let (Some(own), true) = (place.read(), is_wrapper) else {
            return;
        };
        let wrapper = wrapper.cast::<WrapperDescriptor>();
        // A class without `__getattribute__` finds that of `object`, which is not ours to change.
        if !std::ptr::eq((*wrapper).class, class.as_type_ptr())
            || (*wrapper).wrapped != own as usize
        {
            return;
        }
        OWN_LOOK_UPS[SPECIAL].store(own as usize, Ordering::Relaxed);
        let short: pyffi::getattrofunc = getattro::<SPECIAL>;
        (*wrapper).wrapped = short as usize;
        place.write(Some(short));
    }
}

/// `PyWrapperDescrObject` of CPython's public headers.
#[repr(C)]
struct WrapperDescriptor {
    base: pyffi::PyObject,
    class: *mut pyffi::PyTypeObject,
    name: *mut pyffi::PyObject,
    qualname: *mut pyffi::PyObject,
    slot: *mut std::ffi::c_void,
    wrapped: usize,
}

/// See [`shorten_look_up`].
unsafe extern "C" fn getattro<const SPECIAL: usize>(
    object: *mut pyffi::PyObject,
    name: *mut pyffi::PyObject,
) -> *mut pyffi::PyObject {
    // SAFETY: called by the interpreter as a tp_getattro; what is stored is one.
    unsafe {
        let usual = pyffi::PyUnicode_CheckExact(name) != 0
            && pyffi::PyUnicode_GET_LENGTH(name) != SPECIAL as isize;
        let own = OWN_LOOK_UPS[SPECIAL].load(Ordering::Relaxed);
        if usual || own == 0 {
            return pyffi::PyObject_GenericGetAttr(object, name);
        }
        std::mem::transmute::<usize, pyffi::getattrofunc>(own)(object, name)
    }
}

unsafe extern "C" {
    static mut PyMethod_Type: pyffi::PyTypeObject;
    fn PyMethod_New(
        function: *mut pyffi::PyObject,
        object: *mut pyffi::PyObject,
    ) -> *mut pyffi::PyObject;
    fn PyMethod_Self(method: *mut pyffi::PyObject) -> *mut pyffi::PyObject;
    fn PyMethod_Function(method: *mut pyffi::PyObject) -> *mut pyffi::PyObject;
}

/// The function of `method`, if that is a bound method of `object`.
pub fn unbind<'py>(
    method: &Bound<'py, PyAny>,
    object: &Bound<'py, PyAny>,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: a live object whose type is checked before its fields are read; the function is counted at
    // once.
    unsafe {
        if !std::ptr::eq(pyffi::Py_TYPE(method.as_ptr()), &raw const PyMethod_Type)
            || PyMethod_Self(method.as_ptr()) != object.as_ptr()
        {
            return None;
        }
        Bound::from_borrowed_ptr_or_opt(method.py(), PyMethod_Function(method.as_ptr()))
    }
}

/// `function` as a method of `object`.
///
/// # Errors
/// MemoryError.
pub fn bind<'py>(function: &Bound<'py, PyAny>, object: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // SAFETY: two live objects.
    unsafe {
        owned(
            object.py(),
            PyMethod_New(function.as_ptr(), object.as_ptr()),
        )
    }
}

/// `object.__getattribute__(object, name)`.
///
/// # Errors
/// AttributeError, TypeError for a name that is no str, what a descriptor raises.
pub fn generic_get<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> R<Bound<'py, PyAny>> {
    // SAFETY: two live objects, checked by the call.
    unsafe {
        owned(
            object.py(),
            pyffi::PyObject_GenericGetAttr(object.as_ptr(), name.as_ptr()),
        )
    }
}

/// `object.__setattr__(object, name, value)`, or `object.__delattr__` without a value.
///
/// # Errors
/// As [`generic_get`].
pub fn generic_set(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> R<()> {
    let value = value.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: live objects, checked by the call; NULL means deletion.
    let code = unsafe { pyffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) };
    status(object.py(), code).map(drop)
}

/// Whether the name of an attribute, of any type, is this one.
pub fn is_name(name: &Bound<'_, PyAny>, expected: &Bound<'_, PyString>) -> bool {
    name.is(expected)
        || name
            .cast::<PyString>()
            .is_ok_and(|name| super::convert::str_eq(name, expected))
}

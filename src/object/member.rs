//! Member descriptors, as classes written in C have them: PyO3 makes properties only.
//!
//! Programs tell the two apart: joblib's loky looks for `types.MemberDescriptorType` to find the
//! `dispatch_table` of `Pickler` below one that a class in between has.

use std::ffi::CStr;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::cell::Shared;

/// Gives the class of `probe` the member `name`: what `field` finds in the `shared` of each object.
///
/// `probe` is an object of the class itself, `shared` is in it, and no user code has seen the class yet.
/// Raises RuntimeError if the field is not in the object.
pub fn expose<T>(
    probe: &Bound<'_, PyAny>,
    name: &'static CStr,
    shared: &Shared<T>,
    field: fn(&T) -> &Option<Py<PyAny>>,
) -> PyResult<()> {
    let py = probe.py();
    let address = shared.with(py, |value| std::ptr::from_ref(field(value)).addr());
    let ty = probe.get_type_ptr();
    // SAFETY: the object is alive, and so is its class.
    let size = unsafe { (*ty).tp_basicsize };
    let place = address.wrapping_sub(probe.as_ptr().addr()).cast_signed();
    if !(0..size).contains(&place) {
        return Err(PyRuntimeError::new_err(
            "a member of a class is not in its objects",
        ));
    }
    // It lives as long as the class: as long as the process.
    let definition = Box::leak(Box::new(pyffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: pyffi::Py_T_OBJECT_EX,
        offset: place,
        flags: 0,
        doc: std::ptr::null(),
    }));
    // SAFETY: a heap type has its dict in tp_dict on every version, and nobody else uses it yet. All
    // objects of a class are laid out alike, an Option<Py<PyAny>> is a pointer that may be NULL, and
    // nobody has a reference into a Shared while the interpreter, attached, reads or writes it.
    unsafe {
        let member = pyffi::PyDescr_NewMember(ty, definition);
        let member = Bound::from_owned_ptr_or_err(py, member)?;
        if pyffi::PyDict_SetItemString((*ty).tp_dict, name.as_ptr(), member.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        pyffi::PyType_Modified(ty);
    }
    Ok(())
}

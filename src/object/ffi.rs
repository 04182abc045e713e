//! Declarations that pyo3-ffi lacks, per version, and nothing else.
//!
//! Each symbol is exported by every CPython that its `cfg` names.

use pyo3::ffi::{Py_buffer, Py_hash_t, Py_ssize_t, PyObject, PyTypeObject};
use std::ffi::c_int;

#[allow(missing_docs)]
unsafe extern "C" {
    /// Grows or shrinks a bytes object with one reference; on failure frees it and sets `*bytes`
    /// to NULL.
    pub fn _PyBytes_Resize(bytes: *mut *mut PyObject, size: Py_ssize_t) -> c_int;
    /// Borrowed look-up along the MRO, NULL without an exception if absent.
    pub fn _PyType_Lookup(ty: *mut PyTypeObject, name: *mut PyObject) -> *mut PyObject;
    /// `PyObject_GenericGetAttr` with a dict, if not the object's own; if `suppress`, NULL without an
    /// exception where the attribute is missing.
    pub fn _PyObject_GenericGetAttrWithDict(
        object: *mut PyObject,
        name: *mut PyObject,
        dict: *mut PyObject,
        suppress: c_int,
    ) -> *mut PyObject;
    /// Dict look-up without hashing again; borrowed.
    pub fn _PyDict_GetItem_KnownHash(
        dict: *mut PyObject,
        key: *mut PyObject,
        hash: Py_hash_t,
    ) -> *mut PyObject;
    #[cfg(not(Py_3_13))]
    pub fn _PyObject_LookupAttr(
        object: *mut PyObject,
        name: *mut PyObject,
        result: *mut *mut PyObject,
    ) -> c_int;
    #[cfg(Py_3_13)]
    #[link_name = "PyObject_GetOptionalAttr"]
    pub fn _PyObject_LookupAttr(
        object: *mut PyObject,
        name: *mut PyObject,
        result: *mut *mut PyObject,
    ) -> c_int;
    /// `PyDict_SetItem` that takes both references over, also when it fails.
    #[cfg(Py_3_13)]
    pub fn _PyDict_SetItem_Take2(
        dict: *mut PyObject,
        key: *mut PyObject,
        value: *mut PyObject,
    ) -> c_int;
    /// A dict of the right size from keys and values, each at every so many places.
    #[cfg(Py_3_13)]
    pub fn _PyDict_FromItems(
        keys: *const *mut PyObject,
        keys_step: Py_ssize_t,
        values: *const *mut PyObject,
        values_step: Py_ssize_t,
        length: Py_ssize_t,
    ) -> *mut PyObject;
    pub fn _PyLong_FromByteArray(
        bytes: *const u8,
        n: usize,
        little_endian: c_int,
        is_signed: c_int,
    ) -> *mut PyObject;
    #[cfg(not(Py_3_13))]
    pub fn _PyLong_AsByteArray(
        v: *mut PyObject,
        bytes: *mut u8,
        n: usize,
        little_endian: c_int,
        is_signed: c_int,
    ) -> c_int;
    /// `collections.OrderedDict`.
    pub static mut PyODict_Type: PyTypeObject;
    /// A new reference, NULL with an exception.
    pub fn PyPickleBuffer_FromObject(object: *mut PyObject) -> *mut PyObject;
    /// The view inside a PickleBuffer; NULL with an exception if it is released.
    pub fn PyPickleBuffer_GetBuffer(object: *mut PyObject) -> *const Py_buffer;
}

/// The flags of a type object.
///
/// # Safety
/// `ty` is a type object, alive.
#[inline(always)]
pub unsafe fn type_flags(ty: *mut PyTypeObject) -> std::ffi::c_ulong {
    // SAFETY: promised by the caller.
    unsafe {
        #[cfg(not(Py_GIL_DISABLED))]
        {
            (*ty).tp_flags
        }
        #[cfg(Py_GIL_DISABLED)]
        {
            (*ty).tp_flags.load(std::sync::atomic::Ordering::Relaxed)
        }
    }
}

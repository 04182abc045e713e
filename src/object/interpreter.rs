//! Which interpreter this is: classes and statics of this crate belong to one.

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

static FIRST: AtomicI64 = AtomicI64::new(-1);

/// Whether this is the interpreter that loaded the module first.
pub fn is_first(_py: Python<'_>) -> bool {
    // SAFETY: the thread is attached.
    let id = unsafe { pyffi::PyInterpreterState_GetID(pyffi::PyInterpreterState_Get()) };
    match FIRST.compare_exchange(-1, id, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => true,
        Err(first) => first == id,
    }
}

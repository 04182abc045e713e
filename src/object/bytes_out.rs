//! The memory that a pickle is written to: a scratch vector first, the result's own bytes object later.
//!
//! A small result costs one exact allocation and a short copy; a large one grows inside the
//! bytes object that is returned and is never copied. This file must not know framing.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::ffi;
use super::{R, Raised, owned};
use crate::format::buf::{Backing, NoMemory};

/// Up to this size results are collected in the scratch vector.
pub const SCRATCH_SIZE: usize = 64 * 1024;

/// See the module.
pub struct BytesOut {
    scratch: Vec<u8>,
    /// A bytes object with one reference, or NULL while the scratch vector is in use.
    bytes: *mut pyffi::PyObject,
    /// Whether growing moves on to a bytes object.
    into_bytes: bool,
}

impl BytesOut {
    /// Memory that starts in `scratch`; it moves on to a bytes object if `into_bytes`, and
    /// otherwise stays a vector.
    pub fn new(scratch: Vec<u8>, into_bytes: bool) -> Self {
        BytesOut {
            scratch,
            bytes: std::ptr::null_mut(),
            into_bytes,
        }
    }

    /// The first `len` bytes as a bytes object, and the scratch vector back.
    ///
    /// # Errors
    /// MemoryError.
    pub fn finish(mut self, py: Python<'_>, len: usize) -> (R<Bound<'_, PyAny>>, Vec<u8>) {
        let scratch = std::mem::take(&mut self.scratch);
        if self.bytes.is_null() {
            // SAFETY: the caller filled the first `len` bytes of the scratch vector's memory.
            let result = unsafe {
                owned(
                    py,
                    pyffi::PyBytes_FromStringAndSize(scratch.as_ptr().cast(), len as isize),
                )
            };
            return (result, scratch);
        }
        let mut bytes = std::mem::replace(&mut self.bytes, std::ptr::null_mut());
        // SAFETY: `bytes` is a bytes object with one reference, ours.
        let code = unsafe { ffi::_PyBytes_Resize(&mut bytes, len as isize) };
        let result = if code < 0 {
            Err(Raised::seen(py))
        } else {
            // SAFETY: the call succeeded, so this is the one reference.
            unsafe { owned(py, bytes) }
        };
        (result, scratch)
    }

    /// The scratch vector, when nothing was kept.
    pub fn into_scratch(mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }
}

impl Drop for BytesOut {
    fn drop(&mut self) {
        if !self.bytes.is_null() {
            // SAFETY: one reference, ours; a pickle is written by an attached thread.
            unsafe { pyffi::Py_DECREF(self.bytes) };
        }
    }
}

// SAFETY: the memory of a Vec or of a bytes object stays where it is until `grow`.
unsafe impl Backing for BytesOut {
    fn region(&mut self) -> (*mut u8, usize) {
        if self.bytes.is_null() {
            return self.scratch.region();
        }
        // SAFETY: a bytes object; nobody else has seen it yet.
        unsafe {
            (
                pyffi::PyBytes_AS_STRING(self.bytes).cast_mut().cast(),
                pyffi::Py_SIZE(self.bytes) as usize,
            )
        }
    }

    #[cold]
    fn grow(&mut self, used: usize, size: usize) -> Result<(), NoMemory> {
        if !self.into_bytes || size <= SCRATCH_SIZE {
            return self.scratch.grow(used, size.max(1024));
        }
        let (start, capacity) = self.region();
        // Doubling costs address space, not memory: pages beyond what is written stay untouched.
        let wanted = size.max(capacity.saturating_mul(2)).min(isize::MAX as usize - 64);
        if wanted < size {
            return Err(NoMemory);
        }
        if self.bytes.is_null() {
            // SAFETY: allocates `wanted` bytes, which NULL data leaves for us to fill; both regions
            // are valid for `used` bytes and distinct allocations.
            unsafe {
                let grown = pyffi::PyBytes_FromStringAndSize(std::ptr::null(), wanted as isize);
                if grown.is_null() {
                    pyffi::PyErr_Clear();
                    return Err(NoMemory);
                }
                std::ptr::copy_nonoverlapping(
                    start,
                    pyffi::PyBytes_AS_STRING(grown).cast_mut().cast(),
                    used,
                );
                self.bytes = grown;
            }
            return Ok(());
        }
        // Growing in place moves pages instead of bytes.
        let mut bytes = self.bytes;
        // SAFETY: `bytes` has one reference, ours. On failure it is freed and the pointer is NULL.
        unsafe {
            if ffi::_PyBytes_Resize(&mut bytes, wanted as isize) < 0 {
                pyffi::PyErr_Clear();
                self.bytes = std::ptr::null_mut();
                return Err(NoMemory);
            }
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// The bytes type's own constructor, for a part of the stream that is handed to `write`.
///
/// # Errors
/// MemoryError.
pub fn bytes<'py>(py: Python<'py>, data: &[u8]) -> R<Bound<'py, PyAny>> {
    // SAFETY: copies `data.len()` bytes out of the slice.
    let made = unsafe {
        owned(
            py,
            pyffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), data.len() as isize),
        )
    }?;
    debug_assert!(made.is_exact_instance_of::<PyBytes>());
    Ok(made)
}

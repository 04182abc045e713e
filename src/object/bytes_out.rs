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

/// Bytes allocated beyond what is asked for.
const SLACK: usize = 1024;

impl Default for BytesOut {
    fn default() -> Self {
        BytesOut {
            scratch: Vec::new(),
            bytes: std::ptr::null_mut(),
            into_bytes: false,
        }
    }
}

/// See the module.
pub struct BytesOut {
    scratch: Vec<u8>,
    /// A bytes object with one reference, or NULL while the scratch vector is in use.
    bytes: *mut pyffi::PyObject,
    /// Whether growing moves on to a bytes object.
    into_bytes: bool,
}

impl BytesOut {
    /// Starts a new result: one that moves on to a bytes object if `into_bytes`.
    ///
    /// What was collected is forgotten, and a scratch vector that has become large is given up.
    pub fn restart(&mut self, into_bytes: bool) {
        self.into_bytes = into_bytes;
        self.discard();
        if self.scratch.capacity() > 4 * SCRATCH_SIZE {
            self.scratch = Vec::new();
        }
    }

    /// The first `len` bytes as a bytes object; back to the scratch vector.
    ///
    /// # Errors
    /// MemoryError.
    pub fn finish<'py>(&mut self, py: Python<'py>, len: usize) -> R<Bound<'py, PyAny>> {
        if self.bytes.is_null() {
            // SAFETY: the caller filled the first `len` bytes of the scratch vector's memory.
            return unsafe {
                owned(
                    py,
                    pyffi::PyBytes_FromStringAndSize(self.scratch.as_ptr().cast(), len as isize),
                )
            };
        }
        let mut bytes = std::mem::replace(&mut self.bytes, std::ptr::null_mut());
        // SAFETY: `bytes` is a bytes object with one reference, ours. On failure it is freed.
        unsafe {
            if ffi::_PyBytes_Resize(&mut bytes, len as isize) < 0 {
                return Err(Raised::seen(py));
            }
            owned(py, bytes)
        }
    }

    fn discard(&mut self) {
        let bytes = std::mem::replace(&mut self.bytes, std::ptr::null_mut());
        if !bytes.is_null() {
            // SAFETY: one reference, ours; a pickle is written by an attached thread.
            unsafe { pyffi::Py_DECREF(bytes) };
        }
    }
}

// SAFETY: the bytes object belongs to this value alone until it is finished, and is touched by attached threads
// only.
unsafe impl Send for BytesOut {}

impl Drop for BytesOut {
    fn drop(&mut self) {
        self.discard();
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
        // After a large payload there is room for what usually ends a pickle.
        let wanted = size
            .saturating_add(SLACK)
            .max(capacity.saturating_mul(2))
            .min(isize::MAX as usize - 64);
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

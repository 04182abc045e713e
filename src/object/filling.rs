//! [`Filling`]: a bytes object or bytearray whose data arrives piece by piece from a file.
//!
//! A stream says beforehand how long a payload is, and may lie: memory grows as data arrives. `readinto`
//! gets a memoryview that keeps alive what it shows, so that a file which keeps the view
//! can do no harm (CPython issue 151046). This file must not know files.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use super::cursor::Cursor;
use super::{R, Raised, fallible, ffi, owned, status};
use crate::state::State;

/// See the module. The first `filled` bytes have arrived.
pub struct Filling<'py> {
    object: Object<'py>,
    filled: usize,
    /// What has not arrived is zero.
    zeroed: bool,
}

enum Object<'py> {
    /// No other reference exists, but to the shared empty one, which has no bytes.
    Bytes(Bound<'py, PyBytes>),
    ByteArray(Bound<'py, PyByteArray>),
}

impl<'py> Filling<'py> {
    /// Nothing yet, with room for `size` bytes; becomes a bytearray if `array`.
    ///
    /// The room is `zeroed` if somebody may look at it, which takes as long as filling it does: `load` of 1 MB of
    /// bytes from a BytesIO takes 1.6 times as long.
    ///
    /// # Errors
    /// MemoryError.
    pub fn new(py: Python<'py>, array: bool, size: usize, zeroed: bool) -> R<Self> {
        let object = if array {
            Object::ByteArray(new_bytearray(py, size)?)
        } else {
            Object::Bytes(new_bytes(py, size)?)
        };
        let mut filling = Filling {
            object,
            filled: 0,
            zeroed,
        };
        filling.zero(0);
        Ok(filling)
    }

    /// Zeroes the room from `start` on, if it is to be.
    fn zero(&mut self, start: usize) {
        let size = self.size();
        if self.zeroed && start < size {
            // SAFETY: within the object, of which no view exists; nothing is written to the shared empty one.
            unsafe { self.start().add(start).write_bytes(0, size - start) };
        }
    }

    /// Number of bytes that have arrived.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Makes room for `size` bytes in all.
    ///
    /// # Errors
    /// MemoryError; BufferError if somebody has kept a view of a bytearray.
    pub fn grow(&mut self, size: usize) -> R<()> {
        let old = self.size();
        if size <= old {
            return Ok(());
        }
        match &mut self.object {
            Object::ByteArray(array) => {
                let py = array.py();
                // SAFETY: a bytearray, which refuses to grow while it is viewed.
                let code = unsafe { pyffi::PyByteArray_Resize(array.as_ptr(), size as isize) };
                status(py, code)?;
            }
            Object::Bytes(bytes) => {
                let py = bytes.py();
                let empty = fallible::bytes(py, b"")?;
                let mut raw = std::mem::replace(bytes, empty).into_ptr();
                // SAFETY: the only reference to a bytes object (or one to the empty one, which the call
                // replaces by a new one); on failure it is freed.
                *bytes = unsafe {
                    if ffi::_PyBytes_Resize(&mut raw, size as isize) < 0 {
                        return Err(Raised::seen(py));
                    }
                    Bound::from_owned_ptr(py, raw).cast_into_unchecked()
                };
            }
        }
        self.zero(old);
        Ok(())
    }

    /// Appends bytes; false if there is no room for them.
    #[must_use]
    pub fn append(&mut self, data: Cursor<'_>) -> bool {
        let data = data.bytes();
        if data.len() > self.room() {
            return false;
        }
        // SAFETY: there is room, and the memory is ours: `data` cannot be in it.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), self.start().add(self.filled), data.len());
        }
        self.filled += data.len();
        true
    }

    /// Lets `readinto` fill the room that is left, and gives what it returned.
    ///
    /// The caller says with [`Filling::advance`] how much of it counts.
    ///
    /// # Errors
    /// What `readinto` raises; MemoryError.
    pub fn read_into(
        &mut self,
        py: Python<'py>,
        readinto: impl FnOnce(&Bound<'py, PyAny>) -> R<Bound<'py, PyAny>>,
    ) -> R<Bound<'py, PyAny>> {
        let (from, to) = (self.filled, self.size());
        match &mut self.object {
            Object::ByteArray(array) => {
                // SAFETY: a live object that exports its buffer; the view keeps it alive.
                let view = unsafe { owned(py, pyffi::PyMemoryView_FromObject(array.as_ptr())) }?;
                // SAFETY: a memoryview, one-dimensional, of `to` bytes.
                let part = unsafe {
                    owned(
                        py,
                        pyffi::PySequence_GetSlice(view.as_ptr(), from as isize, to as isize),
                    )
                }?;
                let result = readinto(&part);
                release(&part);
                result
            }
            Object::Bytes(bytes) => {
                let target = Bound::new(
                    py,
                    Target {
                        bytes: bytes.clone().unbind(),
                        from,
                        views: AtomicUsize::new(0),
                    },
                )?;
                // SAFETY: as above.
                let view = unsafe { owned(py, pyffi::PyMemoryView_FromObject(target.as_ptr())) }?;
                let result = readinto(&view);
                release(&view);
                drop(view);
                // SAFETY: a live object.
                let kept = unsafe { pyffi::Py_REFCNT(target.as_ptr()) } > 1;
                if kept || target.get().views.load(Ordering::Relaxed) != 0 {
                    // Somebody can still write to the memory: it must not become a bytes object.
                    let copy = new_bytes(py, to)?;
                    // SAFETY: both have `to` bytes, and `copy` is new.
                    unsafe {
                        std::ptr::copy_nonoverlapping(
                            pyffi::PyBytes_AsString(bytes.as_ptr()),
                            pyffi::PyBytes_AsString(copy.as_ptr()),
                            to,
                        );
                    }
                    *bytes = copy;
                }
                result
            }
        }
    }

    /// Counts `len` more bytes as arrived; false if there is no room for so many.
    #[must_use]
    pub fn advance(&mut self, len: usize) -> bool {
        let fits = len <= self.room();
        if fits {
            self.filled += len;
        }
        fits
    }

    /// The object, once it is full.
    pub fn finish(self) -> Bound<'py, PyAny> {
        match self.object {
            Object::Bytes(bytes) => bytes.into_any(),
            Object::ByteArray(array) => array.into_any(),
        }
    }

    fn room(&self) -> usize {
        self.size().saturating_sub(self.filled)
    }

    /// Size of the object. A bytearray may have lost bytes to a file that reached it through its view.
    fn size(&self) -> usize {
        match &self.object {
            Object::Bytes(bytes) => bytes.as_bytes().len(),
            Object::ByteArray(array) => array.len(),
        }
    }

    fn start(&mut self) -> *mut u8 {
        match &self.object {
            // SAFETY: a bytes object that nobody else has seen.
            Object::Bytes(bytes) => unsafe { pyffi::PyBytes_AsString(bytes.as_ptr()).cast() },
            // SAFETY: a bytearray.
            Object::ByteArray(array) => unsafe {
                pyffi::PyByteArray_AsString(array.as_ptr()).cast()
            },
        }
    }
}

/// Releases a memoryview; one that somebody has taken a buffer from stays.
fn release(view: &Bound<'_, PyAny>) {
    let py = view.py();
    let pending = PyErr::take(py);
    // The only error is BufferError: the buffer is in use, which Target counts.
    drop(view.call_method0(State::get(py).names.release.bind(py)));
    if let Some(pending) = pending {
        pending.restore(py);
    }
}

/// Makes the class of the view that `readinto` gets, while there is memory for it.
pub fn make_classes(py: Python<'_>) {
    py.get_type::<Target>();
}

fn new_bytes(py: Python<'_>, size: usize) -> R<Bound<'_, PyBytes>> {
    // SAFETY: NULL data leaves `size` bytes for `Filling` to fill.
    unsafe {
        let made = owned(
            py,
            pyffi::PyBytes_FromStringAndSize(std::ptr::null(), size as isize),
        )?;
        Ok(made.cast_into_unchecked())
    }
}

fn new_bytearray(py: Python<'_>, size: usize) -> R<Bound<'_, PyByteArray>> {
    // SAFETY: as in `new_bytes`.
    unsafe {
        let made = owned(
            py,
            pyffi::PyByteArray_FromStringAndSize(std::ptr::null(), size as isize),
        )?;
        Ok(made.cast_into_unchecked())
    }
}

/// Whether a method `readinto` only writes to what it is given: it is that of a BytesIO or FileIO, or of a
/// BufferedReader of a FileIO. A subclass may read before it writes, and sees zeros.
///
/// # Errors
/// None: where a look-up fails, the answer is no.
pub fn only_writes(readinto: &Bound<'_, PyAny>) -> bool {
    let py = readinto.py();
    let state = State::get(py);
    let memory = state.bytes_io.class();
    let [file, buffered] = &state.files;
    // SAFETY: a live object; `__self__` of a function in C is borrowed, or NULL.
    let owner = unsafe {
        if pyffi::PyCFunction_Check(readinto.as_ptr()) == 0 {
            return false;
        }
        Bound::from_borrowed_ptr_or_opt(py, pyffi::PyCFunction_GetSelf(readinto.as_ptr()))
    };
    let name = readinto.getattr(state.names.name.bind(py));
    let is_it = name.is_ok_and(|name| name.eq(&state.names.readinto).is_ok_and(|same| same));
    is_it
        && owner.is_some_and(|owner| {
            let ty = owner.get_type();
            let raw = || {
                owner
                    .getattr(state.names.raw.bind(py))
                    .is_ok_and(|raw| raw.get_type().is(file))
            };
            ty.is(memory) || ty.is(file) || ty.is(buffered) && raw()
        })
}

/// What a memoryview for `readinto` shows: the end of a bytes object that is being filled.
#[pyclass(frozen, module = "oxipickle._pickle", name = "ReadTarget")]
struct Target {
    bytes: Py<PyBytes>,
    from: usize,
    views: AtomicUsize,
}

#[pymethods]
impl Target {
    /// # Safety
    /// `view` is a buffer to fill, as the buffer protocol says.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut pyffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            let py = slf.py();
            return Err(crate::errors::buffer_error(py, "a view is required").take(py));
        }
        let this = slf.get();
        let bytes = this.bytes.bind(slf.py());
        // SAFETY: the memory belongs to `bytes`, which this object keeps alive and which nobody has
        // seen as a bytes object: `Filling` gives it up while a view of it exists.
        let code = unsafe {
            pyffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                pyffi::PyBytes_AsString(bytes.as_ptr())
                    .add(this.from)
                    .cast(),
                (bytes.as_bytes().len() - this.from) as isize,
                0,
                flags,
            )
        };
        if code < 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        this.views.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// # Safety
    /// `view` was filled by `__getbuffer__`.
    unsafe fn __releasebuffer__(&self, _view: *mut pyffi::Py_buffer) {
        self.views.fetch_sub(1, Ordering::Relaxed);
    }
}

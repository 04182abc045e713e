//! Memory of other objects: held buffers, PickleBuffers, and the text of a str as a memoryview.
//!
//! Memory behind a buffer may be written to by anybody at any time, so it is handled as a pointer and a
//! length; what is read of it is copied at once. What Python sees of our PickleBuffer is in
//! `py/pickle_buffer.rs`. This file must not know how buffers are pickled.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int};
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi as pyffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::{PyMemoryView, PyString, PyType};

use super::cell::Shared;
use super::kind::Kind;
use super::world::window;
use super::{Obj, R, Raised, Window, fallible, ffi, owned, status};
use crate::errors::{no_memory, value_error};
use crate::format::buf::Run;
use crate::state::State;

/// A buffer of another object, held until the last clone is dropped.
///
/// Meanwhile the memory stays where it is and keeps its size; its contents may change.
#[derive(Clone)]
pub struct Export(Arc<Filled>);

/// A filled view, in memory that does not move: it may point into itself.
struct Filled(UnsafeCell<pyffi::Py_buffer>);

// SAFETY: the view is written to by nobody between being filled and being released, and what it
// points to does not depend on the thread.
unsafe impl Send for Filled {}
// SAFETY: as above.
unsafe impl Sync for Filled {}

impl Export {
    /// Holds the buffer of `object` as one run of bytes.
    ///
    /// Raises TypeError if it has none, BufferError if its memory is not contiguous in C order, or
    /// what its `__buffer__` raises.
    pub fn contiguous(object: &Bound<'_, PyAny>) -> R<Self> {
        Self::get(object, pyffi::PyBUF_CONTIG_RO)
    }

    /// Holds the buffer of `object`, whatever its shape. Otherwise as [`Export::contiguous`].
    pub fn any(object: &Bound<'_, PyAny>) -> R<Self> {
        Self::get(object, pyffi::PyBUF_FULL_RO)
    }

    fn get(object: &Bound<'_, PyAny>, flags: c_int) -> R<Self> {
        let filled = Arc::new(Filled(UnsafeCell::new(pyffi::Py_buffer::new())));
        let view = filled.0.get();
        // SAFETY: the object is alive, and nobody else knows the view yet.
        let code = unsafe { pyffi::PyObject_GetBuffer(object.as_ptr(), view, flags) };
        if code < 0 {
            // SAFETY: as above. Whatever the exporter left there is not to be released.
            unsafe { view.write(pyffi::Py_buffer::new()) };
            return Err(Raised::seen(object.py()));
        }
        Ok(Export(filled))
    }

    /// The view, filled.
    pub(super) fn view(&self) -> &pyffi::Py_buffer {
        // SAFETY: filled, and written to by nobody until the last clone is dropped.
        unsafe { &*self.0.0.get() }
    }

    /// The address of the first byte of a contiguous buffer.
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.view().buf.cast_const().cast()
    }

    /// What a pickler must know of the buffer.
    pub fn facts(&self) -> Facts {
        facts(self.view())
    }

    /// The owner of the memory. It may be another object than the one whose buffer was asked for.
    fn owner(&self) -> Option<&Py<PyAny>> {
        let owner = &raw const self.view().obj;
        // SAFETY: the view holds this reference; a `Py` is a pointer that is not NULL.
        (!self.view().obj.is_null()).then(|| unsafe { &*owner.cast::<Py<PyAny>>() })
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let view = self.0.get_mut();
        if view.obj.is_null() {
            return;
        }
        // Where no interpreter is left to release the buffer in, it stays held.
        let released = Python::try_attach(|_| {
            // SAFETY: filled, and released once: this is the last owner.
            unsafe { pyffi::PyBuffer_Release(view) };
        });
        debug_assert!(released.is_some(), "a buffer outlived its interpreter");
    }
}

/// What a pickler must know of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Number of bytes.
    pub len: usize,
    /// Whether the memory may not be written to.
    pub readonly: bool,
    /// Whether the memory is one run of bytes, in C or in Fortran order.
    pub contiguous: bool,
}

fn facts(view: &pyffi::Py_buffer) -> Facts {
    // SAFETY: a filled view.
    let contiguous = unsafe { pyffi::PyBuffer_IsContiguous(view, b'A' as c_char) } != 0;
    Facts {
        len: usize::try_from(view.len).unwrap_or(0),
        readonly: view.readonly != 0,
        contiguous,
    }
}

/// A PickleBuffer, the interpreter's or ours; see [`pickle_buffer`].
pub enum View<'a, 'py> {
    /// The interpreter's.
    Core(&'a Bound<'py, PyAny>),
    /// Ours.
    Own(&'a Bound<'py, PickleBuffer>),
}

/// `object` as a PickleBuffer, if it is one.
pub fn pickle_buffer<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<View<'a, 'py>> {
    if let Ok(object) = object.cast_exact::<PickleBuffer>() {
        return Some(View::Own(object));
    }
    let core = &State::get(object.py()).core_pickle_buffer;
    object.get_type().is(core).then_some(View::Core(object))
}

impl View<'_, '_> {
    /// Takes hold of the contents, which then outlast a release of the PickleBuffer (which Python code may
    /// do at any time: gh-143308). Raises ValueError if it is released already.
    pub fn hold(&self) -> R<Contents> {
        match self {
            View::Own(object) => Ok(Contents::Held(object.get().export(object.py())?)),
            View::Core(object) => hold_core(object),
        }
    }
}

/// [`View::hold`] for the interpreter's own PickleBuffer.
fn hold_core(object: &Bound<'_, PyAny>) -> R<Contents> {
    let py = object.py();
    let view = || {
        // SAFETY: the interpreter's own PickleBuffer. Its view lasts until it is released, which
        // takes Python code; each use below ends before any runs.
        unsafe { ffi::PyPickleBuffer_GetBuffer(object.as_ptr()).as_ref() }
    };
    if view().is_none() {
        return Err(Raised::seen(py));
    }
    let err = match Export::any(object) {
        Ok(export) => return Ok(Contents::Held(export)),
        Err(raised) => raised.take(py),
    };
    if !err.is_instance_of::<PyTypeError>(py) {
        return Err(err.into());
    }
    // What stands behind a `__buffer__` written in Python cannot be held twice.
    let view = view().ok_or_else(|| Raised::seen(py))?;
    let facts = facts(view);
    let mut bytes = Vec::new();
    if facts.contiguous {
        bytes
            .try_reserve_exact(facts.len)
            .map_err(|_| no_memory(py))?;
        bytes.resize(facts.len, 0);
        // SAFETY: contiguous, so `len` bytes; the copy is memory that no exporter knows.
        unsafe {
            let data = view.buf.cast::<u8>();
            data.copy_to_nonoverlapping(bytes.as_mut_ptr(), facts.len);
        }
    }
    Ok(Contents::Copied(facts, bytes))
}

/// Contiguous contents of a PickleBuffer in a window: nobody can release it there, so nobody has to hold them.
#[derive(Clone, Copy)]
pub struct Seen<'w> {
    view: &'w pyffi::Py_buffer,
    /// What a pickler must know of them.
    pub facts: Facts,
}

impl<'w> Seen<'w> {
    /// The contents of `object`; None if it is not a PickleBuffer, if it is released or not contiguous, and where
    /// another thread may release it at any time.
    pub fn of(window: Window<'w>, object: Obj<'w>) -> Option<Self> {
        let view = Self::view(window, object)?;
        let facts = facts(view);
        facts.contiguous.then_some(Seen { view, facts })
    }

    /// The view of `object`; None as for [`Seen::of`], whatever the shape.
    fn view(window: Window<'w>, object: Obj<'w>) -> Option<&'w pyffi::Py_buffer> {
        if cfg!(Py_GIL_DISABLED) {
            return None;
        }
        let py = window.py();
        let ty: *mut pyffi::PyTypeObject = object.ty().as_ptr();
        let view: *const pyffi::Py_buffer =
            if std::ptr::eq(ty, State::get(py).core_pickle_buffer.as_ptr().cast()) {
                // SAFETY: the interpreter's own PickleBuffer; what raises runs no Python.
                unsafe {
                    let view = ffi::PyPickleBuffer_GetBuffer(object.as_ptr());
                    if view.is_null() {
                        pyffi::PyErr_Clear();
                    }
                    view
                }
            } else if std::ptr::eq(ty, PickleBuffer::type_object_raw(py)) {
                // SAFETY: an instance of exactly this class, alive.
                let own = unsafe { Bound::from_borrowed_ptr(py, object.as_ptr()) };
                let own = own.cast_into_exact::<PickleBuffer>().ok()?;
                own.get().0.with(py, |export| match export {
                    Some(export) if export.owner().is_some() => std::ptr::from_ref(export.view()),
                    _ => std::ptr::null(),
                })
            } else {
                return None;
            };
        // SAFETY: a filled view, which stays where it is until the PickleBuffer is released: that takes
        // Python code, and none runs in a window.
        unsafe { view.as_ref() }
    }

    /// Copies as much of them as there is room for.
    pub fn copy_to(self, out: &mut Run<'_>) {
        copy(self.view, out);
    }
}

/// Whether `wrapper` is a PickleBuffer that refers to `object`.
pub fn wraps<'w>(window: Window<'w>, wrapper: Obj<'w>, object: Obj<'w>) -> bool {
    Seen::view(window, wrapper).is_some_and(|view| std::ptr::eq(view.obj, object.as_ptr()))
}

/// The contents of a PickleBuffer.
pub enum Contents {
    /// In the memory of the object.
    Held(Export),
    /// In memory of our own, if they are contiguous.
    Copied(Facts, Vec<u8>),
}

impl Contents {
    /// What a pickler must know of them.
    pub fn facts(&self) -> Facts {
        match self {
            Contents::Held(export) => export.facts(),
            Contents::Copied(facts, _) => *facts,
        }
    }

    /// Copies as much of contiguous contents as there is room for.
    ///
    /// # Panics
    /// If they are not contiguous.
    pub fn copy_to(&self, out: &mut Run<'_>) {
        assert!(
            self.facts().contiguous,
            "only contiguous memory can be copied"
        );
        match self {
            Contents::Held(export) => copy(export.view(), out),
            Contents::Copied(_, bytes) => out.put_slice(bytes),
        }
    }
}

/// Copies as much of a contiguous view as there is room for.
fn copy(view: &pyffi::Py_buffer, out: &mut Run<'_>) {
    // SAFETY: the callers have seen that the view is contiguous, so that `len` bytes are at `buf`; and
    // `out` is memory that no exporter knows.
    unsafe { out.copy_from(view.buf.cast_const().cast(), facts(view).len) };
}

/// The interpreter's own class `pickle.PickleBuffer`.
///
/// # Errors
/// MemoryError.
pub fn core_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let bytes = fallible::bytes(py, b"").map_err(|raised| raised.take(py))?;
    // SAFETY: an object with a buffer; a new reference or NULL comes back.
    let made = unsafe { owned(py, ffi::PyPickleBuffer_FromObject(bytes.as_ptr())) };
    Ok(made.map_err(|raised| raised.take(py))?.get_type().unbind())
}

/// Makes the classes that nobody sees, while there is memory for them.
pub fn make_classes(py: Python<'_>) {
    py.get_type::<RawBytes>();
    py.get_type::<AsciiText>();
}

/// Our PickleBuffer: a wrapper for a buffer that may travel outside the pickle (PEP 574).
#[pyclass(frozen, weakref, immutable_type, module = "pickle")]
pub struct PickleBuffer(Shared<Option<Export>>);

impl PickleBuffer {
    /// Wraps the buffer of `object`, which is held until [`PickleBuffer::forget`]. Raises as
    /// [`Export::any`] does.
    pub fn wrap(object: &Bound<'_, PyAny>) -> R<Self> {
        Ok(PickleBuffer(Shared::new(Some(Export::any(object)?))))
    }

    /// The buffer. Raises ValueError if it is released, or has no owner to ask.
    pub fn export(&self, py: Python<'_>) -> R<Export> {
        let export = self.0.with(py, |export| export.clone());
        export
            .filter(|export| export.owner().is_some())
            .ok_or_else(|| value_error(py, "operation forbidden on released PickleBuffer object"))
    }

    /// Fills `view` with the buffer of the owner of the memory, as if that had been asked.
    ///
    /// # Safety
    /// `view` is what the buffer protocol passes to `bf_getbuffer`.
    pub unsafe fn fill(&self, py: Python<'_>, view: *mut pyffi::Py_buffer, flags: c_int) -> R<()> {
        let export = self.export(py)?;
        let owner = export.owner().map_or(std::ptr::null_mut(), Py::as_ptr);
        // SAFETY: `export` keeps the owner alive; the rest is promised by the caller.
        let code = unsafe { pyffi::PyObject_GetBuffer(owner, view, flags) };
        status(py, code).map(drop)
    }

    /// Releases the buffer, if that has not happened.
    pub fn forget(&self, py: Python<'_>) {
        drop(self.0.with(py, Option::take));
    }

    /// Shows the collector the owner of the memory.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: a traversal happens in an attached thread; the token does not leave `with`, in which
        // no Python code can run.
        let py = unsafe { Python::assume_attached() };
        match self.0.with(py, |export| export.clone()) {
            Some(export) => export.owner().map_or(Ok(()), |owner| visit.call(owner)),
            None => Ok(()),
        }
    }

    /// All bytes in the order of memory, as a memoryview of format `B`.
    ///
    /// Raises BufferError if they are not contiguous.
    pub fn raw<'py>(slf: &Bound<'py, Self>) -> R<Bound<'py, PyAny>> {
        let py = slf.py();
        let export = slf.get().export(py)?;
        if !export.facts().contiguous {
            let text = "cannot extract raw buffer from non-contiguous buffer";
            return Err(crate::errors::buffer_error(py, text));
        }
        let view = PyMemoryView::from(slf.as_any())?;
        let names = &State::get(py).names;
        match view.call_method1(names.cast.bind(py), (names.unsigned_bytes.bind(py),)) {
            // memoryview casts no Fortran order, no empty dimensions and few formats.
            Err(err) if err.is_instance_of::<PyTypeError>(py) => {
                let bytes = Bound::new(py, RawBytes(Export::any(slf.as_any())?))?;
                Ok(PyMemoryView::from(bytes.as_any())?.into_any())
            }
            raw => Ok(raw?),
        }
    }
}

/// An owner of memory that a memoryview shows as plain bytes, whatever the shape and format that
/// its own owner gives it.
#[pyclass(frozen, immutable_type, module = "oxipickle._pickle")]
struct RawBytes(Export);

#[pymethods]
impl RawBytes {
    /// # Safety
    /// The buffer protocol.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut pyffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let export = &slf.get().0;
        let facts = export.facts();
        // SAFETY: `slf` owns the memory through its export as long as the view refers to it; `view`
        // and `flags` are the caller's.
        unsafe {
            fill(
                &slf,
                view,
                export.as_ptr(),
                facts.len,
                facts.readonly,
                flags,
            )
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.owner().map_or(Ok(()), |owner| visit.call(owner))
    }
}

/// The characters of an ASCII str, as memory of its own.
#[pyclass(frozen, immutable_type, module = "oxipickle._pickle")]
struct AsciiText(Py<PyString>);

#[pymethods]
impl AsciiText {
    /// # Safety
    /// The buffer protocol.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut pyffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        // Of an ASCII str this is its own memory, not a copy.
        let text = slf.get().0.to_str(slf.py())?;
        // SAFETY: the str is immutable and lives as long as `slf`, to which the view refers; `view`
        // and `flags` are the caller's.
        unsafe { fill(&slf, view, text.as_ptr(), text.len(), true, flags) }
    }
}

/// Fills `view` with plain bytes that belong to `owner`.
///
/// # Safety
/// There are `len` bytes at `data` as long as `owner` lives, writable unless `readonly`; `view` is what
/// the buffer protocol passes.
unsafe fn fill<T>(
    owner: &Bound<'_, T>,
    view: *mut pyffi::Py_buffer,
    data: *const u8,
    len: usize,
    readonly: bool,
    flags: c_int,
) -> PyResult<()> {
    // SAFETY: promised by the caller. The length came from an object, so it fits.
    let code = unsafe {
        pyffi::PyBuffer_FillInfo(
            view,
            owner.as_ptr(),
            data.cast_mut().cast(),
            len as isize,
            c_int::from(readonly),
            flags,
        )
    };
    status(owner.py(), code)
        .map(drop)
        .map_err(|raised| raised.take(owner.py()))
}

/// The UTF-8 of `text` for a `write`: a memoryview on the str's own memory where it is ASCII, and a
/// bytes object, which is a copy, otherwise. Lone surrogates become three bytes each.
///
/// Whoever keeps the memoryview keeps the str alive.
pub fn text_view<'py>(text: &Bound<'py, PyString>) -> R<Bound<'py, PyAny>> {
    let py = text.py();
    let ascii = window(py, |window| match window.obj(text.as_any()).kind() {
        Kind::Str(text) => text.is_ascii(),
        _ => false,
    });
    if ascii {
        let owner = Bound::new(py, AsciiText(text.clone().unbind()))?;
        return Ok(PyMemoryView::from(owner.as_any())?.into_any());
    }
    // SAFETY: a str and two C strings; a new reference or NULL comes back.
    unsafe {
        owned(
            py,
            pyffi::PyUnicode_AsEncodedString(
                text.as_ptr(),
                c"utf-8".as_ptr(),
                c"surrogatepass".as_ptr(),
            ),
        )
    }
}

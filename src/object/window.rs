//! References of a frozen window: [`Window`], [`Obj`], [`Held`].
//!
//! The types carry the rule of the frozen world: an `Obj` comes from a `Window` (or from another
//! `Obj`) and cannot outlive it, and no function that may run Python is reachable while a
//! `Window` is held (see `world.rs`, which hands windows out and states the rules).
//! This file must not read objects; `read.rs` does.

use std::marker::PhantomData;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

/// Proof that no Python code runs while `'w` lasts.
#[derive(Clone, Copy)]
pub struct Window<'w>(PhantomData<fn(&'w ()) -> &'w ()>);

impl<'w> Window<'w> {
    /// Opens a window.
    ///
    /// # Safety
    /// While `'w` lasts, this thread is attached, runs no Python code, releases no reference
    /// that may be the last one, and does not detach.
    #[inline(always)]
    pub(crate) unsafe fn open() -> Self {
        Window(PhantomData)
    }

    /// The interpreter token: a window is only ever open in an attached thread.
    #[inline(always)]
    pub fn py(self) -> Python<'w> {
        // SAFETY: promised to `open`.
        unsafe { Python::assume_attached() }
    }

    /// An object that someone owns for longer than the window.
    #[inline(always)]
    pub fn obj(self, object: &Bound<'_, PyAny>) -> Obj<'w> {
        // The owner may drop its Bound before the window closes only by a release, and releases
        // are postponed to the window's end.
        Obj(
            // SAFETY: a Bound is never NULL.
            unsafe { NonNull::new_unchecked(object.as_ptr()) },
            PhantomData,
        )
    }
}

/// An object in a frozen window: alive, and not changing, as long as `'w` lasts.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Obj<'w>(NonNull<ffi::PyObject>, PhantomData<fn(&'w ()) -> &'w ()>);

impl<'w> Obj<'w> {
    /// Wraps a pointer read out of another object of the same window.
    ///
    /// # Safety
    /// `ptr` is not NULL and its object stays alive for `'w`.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr(ptr: *mut ffi::PyObject) -> Self {
        debug_assert!(!ptr.is_null());
        // SAFETY: promised by the caller.
        Obj(unsafe { NonNull::new_unchecked(ptr) }, PhantomData)
    }

    /// The raw pointer, for calls inside `object/`.
    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// The identity of the object, for storing.
    #[inline(always)]
    pub fn held(self) -> Held {
        Held(self.0)
    }

    /// A counted reference, which may leave the window.
    #[inline]
    pub fn to_owned(self, window: Window<'w>) -> Bound<'w, PyAny> {
        // SAFETY: the object is alive for 'w; the count goes up by one.
        unsafe { Bound::from_borrowed_ptr(window.py(), self.as_ptr()) }
    }

    /// Whether both are the same object.
    #[inline(always)]
    pub fn is(self, other: Obj<'_>) -> bool {
        self.0 == other.0
    }
}

/// The address of an object, kept for later: equal or not, but not to be followed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Held(NonNull<ffi::PyObject>);

// A Held is an address. Whoever follows one answers for the thread it does so in.
// SAFETY: nothing can be reached through a Held without the unsafe `Window::again` or
// the unsafe functions below.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// The address as a number: the key of the memo.
    #[inline(always)]
    pub fn address(self) -> usize {
        self.0.as_ptr().addr()
    }

    /// The identity of an owned object.
    #[inline(always)]
    pub fn of(object: &Bound<'_, PyAny>) -> Self {
        // SAFETY: a Bound is never NULL.
        Held(unsafe { NonNull::new_unchecked(object.as_ptr()) })
    }

    /// Takes over a reference that was counted before.
    ///
    /// # Safety
    /// Such a reference exists and nobody else takes it; the thread is attached.
    #[inline(always)]
    pub(crate) unsafe fn into_bound(self, py: Python<'_>) -> Bound<'_, PyAny> {
        // SAFETY: promised by the caller.
        unsafe { Bound::from_owned_ptr(py, self.0.as_ptr()) }
    }

    /// A new counted reference.
    ///
    /// # Safety
    /// The object is alive and the thread attached.
    #[inline(always)]
    pub(crate) unsafe fn to_bound(self, py: Python<'_>) -> Bound<'_, PyAny> {
        // SAFETY: promised by the caller.
        unsafe { Bound::from_borrowed_ptr(py, self.0.as_ptr()) }
    }
}

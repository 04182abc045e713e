//! Interior state of the frozen classes: [`Shared`] and [`RunToken`].
//!
//! A frozen PyO3 class is never "already borrowed", so hooks may look at and change a Pickler or
//! Unpickler while it runs. `Shared` makes that sound by keeping every access short: no Python code
//! can run inside one. `RunToken` lets one `dump`, `load` or `__init__` at a time use an object.
//! This file must not know what is shared.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::prelude::*;

use super::Held;

/// State of a class instance that Python code may reach at any time.
///
/// Holds `Py` references, not `Bound` ones; [`Shared::with`] is the only way in.
#[derive(Default)]
pub struct Shared<T> {
    /// 0, or the thread that is inside `with`. Kept up in debug and free-threaded builds only.
    owner: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: `with` needs an attached thread. With a GIL one thread at a time is attached, and it
// cannot detach inside the closure (see `with`); without, `enter` admits one thread at a time.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Shared {
            owner: AtomicUsize::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Gives `f` the value.
    ///
    /// `f` is `Send`, so that it can capture neither the interpreter token nor a `Bound`: nothing
    /// in it can run Python code, which might come back here. For the same reason `f` must not drop
    /// references: it moves them out, and the caller drops them. It must not attach to the
    /// interpreter by itself.
    ///
    /// # Panics
    /// Debug and free-threaded builds: if called inside another `with` on the same value.
    #[inline(always)]
    pub fn with<A>(&self, _py: Python<'_>, f: impl FnOnce(&mut T) -> A + Send) -> A {
        let _guard = cfg!(any(debug_assertions, Py_GIL_DISABLED)).then(|| self.enter());
        // SAFETY: only one thread is here (see `Sync` above), and it is here once: `f` cannot reach
        // Python code and so not another `with` of this value.
        f(unsafe { &mut *self.value.get() })
    }

    /// A counted reference to an object in the value.
    #[inline(always)]
    pub fn pick<'py>(
        &self,
        py: Python<'py>,
        f: impl FnOnce(&T) -> Option<&Py<PyAny>> + Send,
    ) -> Option<Bound<'py, PyAny>> {
        let _guard = cfg!(any(debug_assertions, Py_GIL_DISABLED)).then(|| self.enter());
        // SAFETY: as in `with`; counting a reference runs no Python code.
        f(unsafe { &*self.value.get() }).map(|object| object.bind(py).clone())
    }

    /// Counted references to objects in the value, each with something that says where it was.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn collect<A, E>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&T) -> Result<Vec<(A, &Py<PyAny>)>, E> + Send,
    ) -> Result<Vec<(A, Py<PyAny>)>, E> {
        let _guard = cfg!(any(debug_assertions, Py_GIL_DISABLED)).then(|| self.enter());
        // SAFETY: as in `with`; counting references runs no Python code.
        let found = f(unsafe { &*self.value.get() })?;
        // In the memory of what was found.
        let counted = found
            .into_iter()
            .map(|(place, object)| (place, object.clone_ref(py)));
        Ok(counted.collect())
    }

    /// A counted reference to the object at an address in the value.
    pub(crate) fn pick_at<'py>(
        &self,
        py: Python<'py>,
        f: impl FnOnce(&T) -> Option<Held> + Send,
    ) -> Option<Bound<'py, PyAny>> {
        let held = self.with(py, |value| f(value))?;
        // SAFETY: the value holds the object, and no Python code has run since.
        Some(unsafe { held.to_bound(py) })
    }

    /// Shows the value to the collector.
    ///
    /// For `__traverse__` only: `f` hands references to the visitor, which runs no Python code and changes
    /// nothing.
    pub fn visit<A>(&self, f: impl FnOnce(&T) -> A) -> A {
        // SAFETY: a collection starts inside a call into Python, where no `with` is active, and on
        // free-threaded builds while all other threads are stopped.
        f(unsafe { &*self.value.get() })
    }

    /// The value, when nobody else can reach it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn enter(&self) -> Inside<'_> {
        thread_local! {
            static HERE: u8 = const { 0 };
        }
        let me = HERE.with(|here| std::ptr::from_ref(here).addr());
        while let Err(other) =
            self.owner
                .compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed)
        {
            assert!(other != me, "nested access to shared state");
            std::thread::yield_now();
        }
        Inside(&self.owner)
    }
}

/// Leaves [`Shared::with`], also on a panic.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

/// Whether an object is running; see [`RunToken::acquire`].
#[derive(Default)]
pub struct RunToken(AtomicBool);

impl RunToken {
    /// A token that nobody holds.
    pub const fn new() -> Self {
        RunToken(AtomicBool::new(false))
    }

    /// The right to run until the guard is dropped; None if somebody has it, this thread or another.
    #[inline]
    pub fn acquire(&self) -> Option<Running<'_>> {
        if self.0.swap(true, Ordering::Acquire) {
            // Not `then_some`: a guard that is made in vain gives the token back when it is dropped.
            return None;
        }
        Some(Running(self))
    }
}

/// Gives the [`RunToken`] back when dropped, also on an error or a panic.
#[must_use]
pub struct Running<'a>(&'a RunToken);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

//! One value kept for the process between calls.

use std::sync::atomic::{AtomicPtr, Ordering};

/// A place for one boxed value, taken and put back by atomic swaps: whoever finds it empty makes a
/// value of its own.
pub struct Kept<T>(AtomicPtr<T>);

impl<T: Send> Kept<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Kept(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The value, if one is there.
    #[inline]
    pub fn take(&self) -> Option<Box<T>> {
        let kept = self.0.swap(std::ptr::null_mut(), Ordering::Acquire);
        // SAFETY: not NULL means that `put` let go of a box, and the swap gave it to us alone.
        (!kept.is_null()).then(|| unsafe { Box::from_raw(kept) })
    }

    /// Keeps a value; one that is there already is dropped.
    #[inline]
    pub fn put(&self, value: Box<T>) {
        let old = self.0.swap(Box::into_raw(value), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: as in `take`.
            drop(unsafe { Box::from_raw(old) });
        }
    }
}

impl<T: Send> Default for Kept<T> {
    fn default() -> Self {
        Self::new()
    }
}

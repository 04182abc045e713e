//! A box whose making can fail: `Box::new` would end the process where there is no memory.

use std::alloc::{Layout, alloc};

use crate::format::buf::NoMemory;

/// A box with `value` in it.
///
/// # Errors
/// [`NoMemory`]; the value is dropped.
#[inline]
pub fn boxed<T>(value: T) -> Result<Box<T>, NoMemory> {
    const { assert!(size_of::<T>() > 0) };
    // SAFETY: the layout is not of size zero. The memory is that of a T, and the allocator the one of a Box.
    unsafe {
        let memory = alloc(Layout::new::<T>()).cast::<T>();
        if memory.is_null() {
            return Err(NoMemory);
        }
        memory.write(value);
        Ok(Box::from_raw(memory))
    }
}

//! The inline values of instances, written: the layout that `instance.rs` reads.
//!
//! Nothing here checks that a class keeps its attributes this way, or that the layout is as it is said to be:
//! `classes.rs` does. This file must not know streams.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::instance::{KeyEntry, Keys, SPLIT};
use super::make::Items;

/// Attributes that an instance can keep inline.
pub(super) const MOST: usize = 30;

/// A class's table of attribute names, which all its instances share. It only ever grows.
#[derive(Clone, Copy)]
pub(super) struct SharedKeys(pub(super) *const Keys);

impl SharedKeys {
    /// Those of a class made by a class statement.
    ///
    /// # Safety
    /// The class is alive and has `Py_TPFLAGS_HEAPTYPE`.
    #[inline(always)]
    pub(super) unsafe fn of(ty: *mut pyffi::PyTypeObject) -> Self {
        // SAFETY: promised by the caller.
        SharedKeys(unsafe {
            (*ty.cast::<pyffi::PyHeapTypeObject>())
                .ht_cached_keys
                .cast()
        })
    }

    pub(super) fn is_shared(self) -> bool {
        // SAFETY: NULL, or a table that belongs to a live class.
        !self.0.is_null() && unsafe { (*self.0).kind == SPLIT }
    }

    /// The place of a name, which is interned like those in the table.
    pub(super) fn find(self, name: &Bound<'_, PyString>) -> Option<usize> {
        // SAFETY: `judge` has seen that the table is a shared one; its entries follow its head
        // and its index.
        unsafe {
            let keys = self.0;
            let entries = keys
                .add(1)
                .byte_add(1 << (*keys).log2_index_bytes)
                .cast::<KeyEntry>();
            let count = usize::try_from((*keys).nentries).unwrap_or(0).min(MOST);
            (0..count).find(|&slot| (*entries.add(slot)).key == name.as_ptr())
        }
    }

    /// Number of places that an instance has.
    #[cfg(not(Py_3_13))]
    pub(super) fn capacity(self) -> usize {
        // SAFETY: as in `find`.
        usize::try_from(unsafe { (*self.0).nentries + (*self.0).usable }).unwrap_or(0)
    }
}

/// The inline values of an instance that has no attributes yet.
pub(super) struct Values {
    /// `values[slot]` is NULL or owned by the instance.
    values: *mut *mut pyffi::PyObject,
    /// Number of attributes.
    size: *mut u8,
    /// Their slots, in the order in which they were set.
    order: *mut u8,
    pub(super) capacity: usize,
}

impl Values {
    /// None if the instance has a dict, or attributes.
    ///
    /// # Safety
    /// The class of `object` is one that [`judge`] approves of.
    #[inline]
    pub(super) unsafe fn empty_of(object: &Bound<'_, PyAny>, _keys: SharedKeys) -> Option<Self> {
        // SAFETY: the flags of such a class put the words read here in front of the object and, since
        // 3.13, the values behind it.
        let values = unsafe {
            let words = object.as_ptr().cast::<*mut u8>();
            #[cfg(Py_3_13)]
            {
                let ty = pyffi::Py_TYPE(object.as_ptr());
                let size = usize::try_from((*ty).tp_basicsize).ok()?;
                // Capacity, size, embedded, valid; the values; the order.
                let head = object.as_ptr().cast::<u8>().add(size);
                if !words.sub(3).read().is_null() || *head.add(3) == 0 {
                    return None;
                }
                let capacity = usize::from(*head);
                let values = head.add(8).cast::<*mut pyffi::PyObject>();
                Values {
                    values,
                    size: head.add(1),
                    order: values.add(capacity).cast(),
                    capacity,
                }
            }
            #[cfg(not(Py_3_13))]
            {
                #[cfg(Py_3_12)]
                let head = {
                    let word = words.sub(3).read();
                    if word.addr() & 1 == 0 {
                        return None;
                    }
                    word.add(1)
                };
                #[cfg(not(Py_3_12))]
                let head = {
                    let head = words.sub(4).read();
                    if head.is_null() || !words.sub(3).read().is_null() {
                        return None;
                    }
                    head
                };
                // In front of the values, downwards: size of what is in front, size, the order.
                let room = usize::from(*head.sub(1)).checked_sub(2)?;
                Values {
                    values: head.cast(),
                    size: head.sub(2),
                    order: head.sub(3),
                    capacity: _keys.capacity().min(room),
                }
            }
        };
        // SAFETY: as above.
        (unsafe { *values.size } == 0).then_some(values)
    }

    /// Moves the values of `items[from..]`, names and values by turns, to their slots.
    ///
    /// # Safety
    /// The slots are different and below `capacity`, one for each pair.
    #[inline]
    pub(super) unsafe fn set(self, slots: &[u8], items: &mut Items, from: usize) {
        debug_assert!(items.len() - from == 2 * slots.len());
        // SAFETY: the pairs leave the stack first and belong to this function then. The slots are
        // empty and inside the arrays. Nothing runs in between: the names, which are dropped last, are
        // exact str.
        unsafe {
            items.set_len(from);
            let pairs = items.as_ptr().add(from).cast::<[*mut pyffi::PyObject; 2]>();
            for (i, &slot) in slots.iter().enumerate() {
                *self.values.add(usize::from(slot)) = (*pairs.add(i))[1];
                #[cfg(Py_3_13)]
                let place = self.order.add(i);
                #[cfg(not(Py_3_13))]
                let place = self.order.sub(i);
                *place = slot;
            }
            *self.size = slots.len() as u8;
            for i in 0..slots.len() {
                pyffi::Py_DECREF((*pairs.add(i))[0]);
            }
        }
    }
}

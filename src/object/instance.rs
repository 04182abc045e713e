//! The attributes of an instance, read without making its `__dict__`.
//!
//! Since 3.11 CPython keeps the attributes of an ordinary instance as *inline values* and makes the dict
//! only when somebody asks for it; C's pickler asks for every object it writes, which costs time
//! and leaves 64 bytes and more per object behind for ever. There is no public way to read the
//! values in order, so this file reads the private layout, per version. [`self_test`] compares it with
//! `vars()` when the module is loaded; if they disagree, [`attributes`] says
//! [`Attributes::Unreadable`] and the public API does the work.
//!
//! Gain measured on 50,000 fresh dataclasses (five fields): see `benches/` (lever `inline-values`).

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::kind::Dict;
use super::{Obj, Window, ffi};
use crate::levers::{self, Lever};

/// Whether the self-test has passed.
static READABLE: AtomicBool = AtomicBool::new(false);

/// What an instance holds beside its slots.
pub enum Attributes<'w> {
    /// No attributes.
    Nothing,
    /// They are in a dict (exact or not).
    Dict(Obj<'w>),
    /// They are inline; no dict exists.
    Inline(Inline<'w>),
    /// They are kept in a way that is not read here.
    Unreadable,
}

/// Inline values: the attributes in the order in which they were set.
#[derive(Clone, Copy)]
pub struct Inline<'w> {
    entries: *const KeyEntry,
    values: *const *mut pyffi::PyObject,
    order: *const u8,
    len: usize,
    window: std::marker::PhantomData<Obj<'w>>,
}

/// An entry of a key table whose keys are all str; in others a hash comes before.
#[repr(C)]
pub struct KeyEntry {
    pub(super) key: *mut pyffi::PyObject,
    pub(super) value: *mut pyffi::PyObject,
}

/// The head of a dict's key table.
#[repr(C)]
pub(super) struct Keys {
    refcnt: isize,
    log2_size: u8,
    pub(super) log2_index_bytes: u8,
    pub(super) kind: u8,
    #[cfg(Py_GIL_DISABLED)]
    mutex: u8,
    version: u32,
    pub(super) usable: isize,
    pub(super) nentries: isize,
}

/// `DICT_KEYS_SPLIT`: the table of a class's instances.
pub(super) const SPLIT: u8 = 2;

impl<'w> Inline<'w> {
    /// Number of attributes.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether there are no attributes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The name and value of the attribute at `index` in order of setting.
    #[inline(always)]
    pub fn get(self, index: usize) -> Option<(Obj<'w>, Obj<'w>)> {
        if index >= self.len {
            return None;
        }
        // SAFETY: `index < len`, so `order` has an entry, which is a slot that both the key table
        // and the values have; a slot in use has a key and a value (checked).
        unsafe {
            #[cfg(Py_3_13)]
            let slot = usize::from(*self.order.add(index));
            // Before 3.13 the order runs downwards in memory.
            #[cfg(not(Py_3_13))]
            let slot = usize::from(*self.order.sub(index));
            let (key, value) = ((*self.entries.add(slot)).key, *self.values.add(slot));
            if key.is_null() || value.is_null() {
                return None;
            }
            Some((Obj::from_ptr(key), Obj::from_ptr(value)))
        }
    }
}

/// Where instances of a class keep their attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DictPlace {
    /// Nowhere.
    Absent,
    /// Managed by the interpreter.
    Managed,
    /// A pointer to a dict, this many bytes into the object.
    Offset(usize),
    /// A pointer to a dict, behind the items of an object of variable size (before 3.12).
    End,
    /// Somewhere else.
    Unknown,
}

/// Where instances of `ty` keep their attributes.
pub fn dict_place(ty: &Bound<'_, PyType>) -> DictPlace {
    // SAFETY: a type object, alive.
    unsafe { place(ty.as_type_ptr()) }
}

/// # Safety
/// `ty` is a type object, alive.
unsafe fn place(ty: *mut pyffi::PyTypeObject) -> DictPlace {
    // SAFETY: promised by the caller.
    unsafe {
        if ffi::type_flags(ty) & pyffi::Py_TPFLAGS_MANAGED_DICT != 0 {
            return DictPlace::Managed;
        }
        match (*ty).tp_dictoffset {
            0 => DictPlace::Absent,
            offset if offset > 0 => DictPlace::Offset(offset as usize),
            offset if offset == -(size_of::<usize>() as isize) => DictPlace::End,
            _ => DictPlace::Unknown,
        }
    }
}

/// Where `object` keeps its attributes.
#[inline]
pub fn place_of(object: Obj<'_>) -> DictPlace {
    // SAFETY: the object and its class are alive.
    unsafe { place(pyffi::Py_TYPE(object.as_ptr())) }
}

/// The attributes of `object`, whose class keeps them at `place`.
#[inline]
pub fn attributes<'w>(_window: Window<'w>, object: Obj<'w>, place: DictPlace) -> Attributes<'w> {
    match place {
        DictPlace::Absent => Attributes::Nothing,
        DictPlace::Managed if cfg!(not(Py_GIL_DISABLED)) => {
            if !READABLE.load(Ordering::Relaxed) {
                return Attributes::Unreadable;
            }
            // SAFETY: the class has the managed-dict flag, and the self-test knows the layout.
            unsafe { managed(object) }
        }
        // SAFETY: tp_dictoffset says that a dict pointer is there.
        DictPlace::Offset(offset) => unsafe { behind(object, offset) },
        // SAFETY: a negative one counts from the end of the object, whose size is rounded up to whole words.
        DictPlace::End => unsafe {
            let ty = pyffi::Py_TYPE(object.as_ptr());
            let items = pyffi::Py_SIZE(object.as_ptr()).unsigned_abs();
            let size = (*ty).tp_basicsize as usize + items * (*ty).tp_itemsize as usize;
            behind(
                object,
                size.next_multiple_of(size_of::<usize>()) - size_of::<usize>(),
            )
        },
        DictPlace::Managed | DictPlace::Unknown => Attributes::Unreadable,
    }
}

/// # Safety
/// A pointer to a dict, possibly NULL, is so many bytes into the object.
unsafe fn behind<'w>(object: Obj<'w>, offset: usize) -> Attributes<'w> {
    // SAFETY: promised by the caller.
    unsafe {
        let dict = object
            .as_ptr()
            .byte_add(offset)
            .cast::<*mut pyffi::PyObject>();
        if (*dict).is_null() {
            Attributes::Nothing
        } else {
            in_dict(*dict)
        }
    }
}

/// # Safety
/// `dict` is a dict, exact or not, alive for `'w`.
unsafe fn in_dict<'w>(dict: *mut pyffi::PyObject) -> Attributes<'w> {
    // SAFETY: promised by the caller.
    let dict = unsafe { Obj::from_ptr(dict) };
    if Dict(dict).is_empty() {
        Attributes::Nothing
    } else {
        Attributes::Dict(dict)
    }
}

/// # Safety
/// `object` is an instance of a class with `Py_TPFLAGS_MANAGED_DICT`, alive for `'w`.
#[inline]
unsafe fn managed<'w>(object: Obj<'w>) -> Attributes<'w> {
    let words = object.as_ptr().cast::<*mut u8>();
    // SAFETY: the managed-dict flag puts the words read here in front of the object.
    unsafe {
        #[cfg(Py_3_13)]
        let values = {
            let dict = words.sub(3).read();
            if !dict.is_null() {
                return in_dict(dict.cast());
            }
            let ty = pyffi::Py_TYPE(object.as_ptr());
            if ffi::type_flags(ty) & INLINE_VALUES == 0 {
                return Attributes::Nothing;
            }
            let values = object
                .as_ptr()
                .byte_add((*ty).tp_basicsize as usize)
                .cast::<u8>();
            // `valid`: not taken over by a dict.
            if *values.add(3) == 0 {
                return Attributes::Nothing;
            }
            values
        };
        #[cfg(all(Py_3_12, not(Py_3_13)))]
        let values = {
            let word = words.sub(3).read();
            if word.addr() & 1 == 0 {
                if word.is_null() {
                    return Attributes::Nothing;
                }
                return in_dict(word.cast());
            }
            word.add(1)
        };
        #[cfg(not(Py_3_12))]
        let values = {
            let values = words.sub(4).read();
            if values.is_null() {
                let dict = words.sub(3).read();
                if dict.is_null() {
                    return Attributes::Nothing;
                }
                return in_dict(dict.cast());
            }
            values
        };
        let ty = pyffi::Py_TYPE(object.as_ptr()).cast::<pyffi::PyHeapTypeObject>();
        let keys = (*ty).ht_cached_keys.cast::<Keys>();
        if keys.is_null() || (*keys).kind != SPLIT {
            return Attributes::Unreadable;
        }
        let inline = inline_of(keys, values);
        if inline.is_empty() {
            return Attributes::Nothing;
        }
        Attributes::Inline(inline)
    }
}

/// The items that a key table and the values to it stand for: those of an instance, or of a dict that was made of them.
///
/// # Safety
/// Both belong together, are alive and do not change for `'w`; `keys` has the kind [`SPLIT`].
#[inline(always)]
pub(super) unsafe fn inline_of<'w>(keys: *const Keys, values: *const u8) -> Inline<'w> {
    // SAFETY: promised by the caller.
    unsafe {
        let entries = keys
            .add(1)
            .byte_add(1 << (*keys).log2_index_bytes)
            .cast::<KeyEntry>();
        // 3.13: capacity, size, embedded, valid; the values; the order.
        #[cfg(Py_3_13)]
        let (len, items, order) = {
            let capacity = usize::from(*values);
            let items = values.add(8).cast::<*mut pyffi::PyObject>();
            (
                usize::from(*values.add(1)),
                items,
                items.add(capacity).cast::<u8>(),
            )
        };
        // Before: in front of the values, downwards: prefix size, size, the order.
        #[cfg(not(Py_3_13))]
        let (len, items, order) = (
            usize::from(*values.sub(2)),
            values.cast::<*mut pyffi::PyObject>(),
            values.sub(3),
        );
        Inline {
            entries,
            values: items,
            order,
            len,
            window: std::marker::PhantomData,
        }
    }
}

/// `Py_TPFLAGS_INLINE_VALUES`.
#[cfg(Py_3_13)]
pub(super) const INLINE_VALUES: std::ffi::c_ulong = 1 << 2;

/// The `__dict__` of an instance, made if there is none yet.
///
/// # Errors
/// What the getter of `__dict__` raises.
pub fn make_dict<'py>(object: &Bound<'py, PyAny>) -> super::R<Bound<'py, PyAny>> {
    // SAFETY: the object is alive; a new reference or NULL with an exception comes back.
    unsafe {
        super::owned(
            object.py(),
            pyffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()),
        )
    }
}

/// Compares the layout with what the interpreter says, and allows reading it if they agree.
///
/// # Errors
/// What making a class and its instances raises.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    let make = || -> PyResult<Bound<'_, PyAny>> {
        py.get_type::<PyType>()
            .call1(("Layout", (py.get_type::<PyAny>(),), PyDict::new(py)))
    };
    let orders: [&[&str]; 4] = [
        &["a", "b", "c"],
        &["c", "a", "b"],
        &["b"],
        &["d", "c", "b", "a"],
    ];
    let class = make()?;
    let mut fine = true;
    for names in orders {
        let object = class.call0()?;
        for (i, name) in names.iter().enumerate() {
            object.setattr(*name, i + 1000)?;
        }
        object.delattr(names[0])?;
        object.setattr(names[0], "again")?;
        let before = read(&object);
        let dict = object.getattr("__dict__")?.cast_into::<PyDict>()?;
        let expected: Vec<_> = dict.iter().collect();
        let same = before.len() == expected.len()
            && before
                .iter()
                .zip(&expected)
                .all(|(a, b)| a.0.is(&b.0) && a.1.is(&b.1));
        // Once the dict exists, it has to be found.
        let after = read(&object);
        fine &= same && after.len() == expected.len();
    }
    fine &= read(&make()?.call0()?).is_empty();
    READABLE.store(fine && levers::on(Lever::Inline), Ordering::Relaxed);
    Ok(())
}

/// The attributes of `object` as this file reads them.
pub(crate) fn read<'py>(object: &Bound<'py, PyAny>) -> Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let place = dict_place(&object.get_type());
    // SAFETY: nothing below runs Python until the window is gone; the objects are owned before.
    let window = unsafe { Window::open() };
    let py = object.py();
    let own = |(key, value): (Obj<'_>, Obj<'_>)| {
        // SAFETY: both are alive in this window.
        unsafe { (key.held().to_bound(py), value.held().to_bound(py)) }
    };
    let object = window.obj(object);
    let found = match place {
        // SAFETY: the class has the managed-dict flag.
        DictPlace::Managed => unsafe { managed(object) },
        place => attributes(window, object, place),
    };
    match found {
        Attributes::Inline(inline) => (0..inline.len())
            .filter_map(|i| inline.get(i))
            .map(own)
            .collect(),
        Attributes::Dict(dict) => {
            let (dict, mut position) = (Dict(dict), 0);
            std::iter::from_fn(|| dict.next(&mut position))
                .map(own)
                .collect()
        }
        Attributes::Nothing | Attributes::Unreadable => Vec::new(),
    }
}

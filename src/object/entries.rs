//! The items of a dict in order, read from its table of keys.
//!
//! `PyDict_Next` does the same through the public API and costs a call and a dozen checks for each item, an eighth of the
//! time that a dump of documents takes. The layout is private; [`self_test`] compares it with what
//! `PyDict_Next` says when the module is loaded, and where they disagree that does the work. This file must
//! not write to a dict.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::instance::{Inline, KeyEntry, Keys, SPLIT, inline_of};
use super::kind::Dict;
use super::world::window;
use super::{Obj, Window};
use crate::levers::{self, Lever};

/// Whether the self-test has passed.
static READABLE: AtomicBool = AtomicBool::new(false);

/// Entries begin with the hash of the key, unless all keys are str.
pub(super) const GENERAL: u8 = 0;

/// The items of a dict that does not change as long as this is in use.
#[derive(Clone, Copy)]
pub enum Entries<'w> {
    /// A table with keys and values.
    Table {
        /// The first entry's key, behind which is its value.
        start: *const KeyEntry,
        /// Bytes from one entry to the next.
        step: usize,
        /// Number of entries, those of removed items included.
        count: usize,
    },
    /// A table of keys that instances of a class share, and values.
    Split(Inline<'w>),
    /// Not read here.
    Unread(Dict<'w>),
}

impl<'w> Dict<'w> {
    /// Its items.
    #[inline(always)]
    pub fn entries(self) -> Entries<'w> {
        if !READABLE.load(Ordering::Relaxed) {
            return Entries::Unread(self);
        }
        // SAFETY: a dict, alive and unchanging for 'w. Its table of keys has its index and its entries behind the head; the
        // self-test has seen both forms.
        unsafe {
            let dict = self.obj().as_ptr().cast::<pyffi::PyDictObject>();
            let keys = (*dict).ma_keys.cast::<Keys>();
            let values: *mut u8 = (*dict).ma_values.cast();
            if !values.is_null() {
                return if (*keys).kind == SPLIT {
                    Entries::Split(inline_of(keys, values))
                } else {
                    Entries::Unread(self)
                };
            }
            let hash = if (*keys).kind == GENERAL {
                size_of::<pyffi::Py_hash_t>()
            } else {
                0
            };
            Entries::Table {
                start: keys
                    .add(1)
                    .byte_add((1 << (*keys).log2_index_bytes) + hash)
                    .cast(),
                step: hash + size_of::<KeyEntry>(),
                count: (*keys).nentries as usize,
            }
        }
    }
}

impl<'w> Entries<'w> {
    /// The next item from `position` on, which moves behind it. Start at 0.
    #[inline(always)]
    pub fn next(&self, position: &mut isize) -> Option<(Obj<'w>, Obj<'w>)> {
        match *self {
            Entries::Table { start, step, count } => {
                while (*position as usize) < count {
                    // SAFETY: the table has so many entries; one with a value has a key.
                    unsafe {
                        let entry = start.byte_add(*position as usize * step);
                        *position += 1;
                        let value = (*entry).value;
                        if !value.is_null() {
                            return Some((Obj::from_ptr((*entry).key), Obj::from_ptr(value)));
                        }
                    }
                }
                None
            }
            Entries::Split(inline) => {
                let item = inline.get(*position as usize)?;
                *position += 1;
                Some(item)
            }
            Entries::Unread(dict) => dict.next(position),
        }
    }
}

/// Compares what is read with what the interpreter says, and allows it if they agree.
///
/// # Errors
/// MemoryError.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    if cfg!(Py_GIL_DISABLED) {
        return Ok(());
    }
    READABLE.store(true, Ordering::Relaxed);
    let mut fine = true;
    for (size, text) in [
        (0, true),
        (3, true),
        (12, true),
        (300, true),
        (9, false),
        (300, false),
    ] {
        let dict = PyDict::new(py);
        for i in 0..size {
            match text {
                true => dict.set_item(format!("key {i}"), i)?,
                false => dict.set_item(i, i)?,
            }
        }
        for round in 0..3 {
            fine &= agrees(&dict);
            if round == 0 && size > 4 {
                let keys = dict.keys();
                dict.del_item(keys.get_item(0)?)?;
                dict.del_item(keys.get_item(2)?)?;
                dict.del_item(keys.get_item(size - 1)?)?;
            } else if round == 1 {
                dict.set_item("one more", "value")?;
                dict.set_item(("a", "tuple"), 1)?;
            }
        }
        fine &= agrees(&dict.copy()?);
    }
    fine &= agrees_for_instances(py)?;
    READABLE.store(fine && levers::on(Lever::Entries), Ordering::Relaxed);
    Ok(())
}

/// The same for dicts that were made of the attributes of instances.
fn agrees_for_instances(py: Python<'_>) -> PyResult<bool> {
    let ty = py.get_type::<pyo3::types::PyType>();
    let class = ty.call1(("Instance", (), PyDict::new(py)))?;
    let mut fine = true;
    for names in [["a", "b", "c"], ["c", "a", "d"], ["b", "d", "a"]] {
        let instance = class.call0()?;
        for name in names {
            instance.setattr(name, name.len())?;
        }
        let dict = instance.getattr("__dict__")?.cast_into::<PyDict>()?;
        fine &= agrees(&dict) && dict.len() == names.len();
        dict.del_item(names[1])?;
        fine &= agrees(&dict);
        instance.setattr("later", 1)?;
        fine &= agrees(&dict);
    }
    Ok(fine)
}

fn agrees(dict: &Bound<'_, PyDict>) -> bool {
    window(dict.py(), |window: Window<'_>| {
        let dict = Dict(window.obj(dict));
        let entries = dict.entries();
        let (mut ours, mut its) = (0, 0);
        loop {
            match (entries.next(&mut ours), dict.next(&mut its)) {
                (Some((key, value)), Some(own))
                    if key.is(own.0) && value.is(own.1) && ours == its => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    })
}

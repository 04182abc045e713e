//! Dicts with keys that another dict of the same load has had: made as a copy of its key table.
//!
//! Documents repeat their keys, and the memo makes them the same objects. When the same keys come in the same order
//! for the second time, a *template* is kept: a dict with these keys and without values. The next such dict is a
//! copy of it, which CPython makes by copying memory, and the values move from the stack into the
//! copy: nothing is hashed or searched. The layout that is written is private; [`self_test`] compares the
//! result with what the interpreter says when the module is loaded, and where they disagree there are no
//! templates. This file must not know opcodes.
//!
//! Gain measured: see `benches/` (documents, `pickle_dict`).

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::entries::GENERAL;
use super::instance::{KeyEntry, Keys};
use super::make::Items;
use super::{R, ffi, make, owned};
use crate::levers::{self, Lever};

/// Whether the self-test has passed.
static USABLE: AtomicBool = AtomicBool::new(false);

/// The templates of a load; one in each place, the newest wins.
#[derive(Default)]
pub struct Templates {
    /// Empty until the first dict.
    places: Vec<Option<Template>>,
    /// A bit for each place in use.
    used: u32,
}

const PLACES: usize = 32;

/// Keys in a template: few enough for a table whose index has one byte an entry, and not worth it for one.
const KEYS: std::ops::RangeInclusive<usize> = 2..=64;

struct Template {
    /// The first key, which is kept alive, since its address says where the template is.
    first: Py<PyAny>,
    count: usize,
    /// None until the keys have come twice. Its values are NULL: nobody else ever sees it.
    dict: Option<Py<PyDict>>,
}

impl Templates {
    /// Forgets everything.
    #[inline]
    pub fn clear(&mut self, py: Python<'_>) {
        while self.used != 0 {
            let at = self.used.trailing_zeros() as usize;
            self.used &= self.used - 1;
            if let Some(template) = self.places[at].take() {
                drop(template.dict.map(|dict| dict.into_bound(py)));
                drop(template.first.into_bound(py));
            }
        }
    }

    /// A dict of `items[from..]`, keys and values by turns, which it takes off the stack. The keys run no code
    /// when they are hashed or compared.
    ///
    /// # Errors
    /// MemoryError.
    #[inline]
    pub fn dict_of<'py>(
        &mut self,
        py: Python<'py>,
        items: &mut Items,
        from: usize,
    ) -> R<Bound<'py, PyAny>> {
        let count = (items.len() - from) / 2;
        if !KEYS.contains(&count) || cfg!(Py_GIL_DISABLED) {
            return make::dict_of(py, items, from);
        }
        let first = items[from].as_ptr().addr();
        let at = (first >> 4 ^ first >> 9 ^ count) % PLACES;
        match self.places.get_mut(at) {
            Some(Some(template)) if template.count == count && template.first.is(&items[from]) => {
                template.make(py, items, from)
            }
            _ => self.meet(py, at, items, from),
        }
    }

    /// Keys that are new as far as is known.
    #[inline(never)]
    fn meet<'py>(
        &mut self,
        py: Python<'py>,
        at: usize,
        items: &mut Items,
        from: usize,
    ) -> R<Bound<'py, PyAny>> {
        if USABLE.load(Ordering::Relaxed) {
            if self.places.is_empty() {
                self.places.resize_with(PLACES, || None);
            }
            let old = self.places[at].replace(Template {
                first: items[from].clone_ref(py),
                count: (items.len() - from) / 2,
                dict: None,
            });
            self.used |= 1 << at;
            drop(old);
        }
        make::dict_of(py, items, from)
    }
}

impl Template {
    #[inline]
    fn make<'py>(
        &mut self,
        py: Python<'py>,
        items: &mut Items,
        from: usize,
    ) -> R<Bound<'py, PyAny>> {
        if let Some(dict) = &self.dict
            && Table::of(dict.bind(py)).has_keys(&items[from..])
        {
            return copy(dict.bind(py), items, from);
        }
        let made = make::dict_of(py, items, from)?;
        if let Ok(dict) = made.cast_exact::<PyDict>()
            && dict.len() == self.count
        {
            let old = self.dict.replace(emptied(dict)?.unbind());
            drop(old.map(|old| old.into_bound(py)));
        }
        Ok(made)
    }
}

/// A dict with the keys of `dict` and NULL for every value.
fn emptied<'py>(dict: &Bound<'py, PyDict>) -> R<Bound<'py, PyDict>> {
    let template = dict.copy()?;
    let table = Table::of(&template);
    // SAFETY: a new dict, which nobody else has seen and which the collector is not to see. Each value has
    // another owner, so that nothing runs.
    unsafe {
        pyffi::PyObject_GC_UnTrack(template.as_ptr().cast());
        for i in 0..table.count {
            let value = table.value(i);
            pyffi::Py_CLEAR(value);
        }
    }
    Ok(template)
}

/// A copy of a template, with the keys and values of `items[from..]`.
#[inline]
fn copy<'py>(
    template: &Bound<'py, PyDict>,
    items: &mut Items,
    from: usize,
) -> R<Bound<'py, PyAny>> {
    let py = template.py();
    // SAFETY: a dict. What is copied has keys that are not counted, since it has no values.
    let made = unsafe { owned(py, pyffi::PyDict_Copy(template.as_ptr()))? };
    let mut tracked = cfg!(Py_3_14);
    // SAFETY: the copy has as many entries as there are pairs, with the very keys of the pairs. Keys and values leave the
    // stack first; the copy owns them then. Nobody else has seen it.
    unsafe {
        let table = Table::of(made.cast_unchecked());
        items.set_len(from);
        let pairs = items.as_ptr().add(from).cast::<[*mut pyffi::PyObject; 2]>();
        for i in 0..table.count {
            let value = (*pairs.add(i))[1];
            tracked = tracked || may_be_tracked(value);
            *table.value(i) = value;
        }
        if tracked && pyffi::PyObject_GC_IsTracked(made.as_ptr()) == 0 {
            pyffi::PyObject_GC_Track(made.as_ptr().cast());
        }
    }
    Ok(made)
}

/// Whether a dict with this value is one that the collector looks at, before 3.14.
///
/// # Safety
/// A live object.
#[inline(always)]
unsafe fn may_be_tracked(value: *mut pyffi::PyObject) -> bool {
    // SAFETY: promised by the caller.
    unsafe {
        ffi::type_flags(pyffi::Py_TYPE(value)) & pyffi::Py_TPFLAGS_HAVE_GC != 0
            && pyffi::PyObject_IS_GC(value) != 0
            && (pyffi::PyTuple_CheckExact(value) == 0 || pyffi::PyObject_GC_IsTracked(value) != 0)
    }
}

/// The entries of a dict.
#[derive(Clone, Copy)]
struct Table {
    /// The first entry's key; its value is the next word.
    start: *mut KeyEntry,
    /// Bytes from one entry to the next.
    step: usize,
    count: usize,
}

impl Table {
    #[inline(always)]
    fn of(dict: &Bound<'_, PyDict>) -> Self {
        // SAFETY: a dict, whose key table has its index and its entries behind the head.
        unsafe {
            let keys = (*dict.as_ptr().cast::<pyffi::PyDictObject>())
                .ma_keys
                .cast::<Keys>();
            let entries = keys.add(1).byte_add(1 << (*keys).log2_index_bytes);
            let hash = size_of::<pyffi::Py_hash_t>() * usize::from((*keys).kind == GENERAL);
            Table {
                start: entries.byte_add(hash).cast::<KeyEntry>(),
                step: hash + size_of::<KeyEntry>(),
                count: (*keys).nentries as usize,
            }
        }
    }

    /// Where the value of an entry is.
    ///
    /// # Safety
    /// `i < self.count`.
    #[inline(always)]
    unsafe fn value(self, i: usize) -> *mut *mut pyffi::PyObject {
        // SAFETY: promised by the caller.
        unsafe { &raw mut (*self.start.byte_add(i * self.step)).value }
    }

    /// Whether the keys among `items`, keys and values by turns, are those of the table.
    #[inline(always)]
    fn has_keys(self, items: &[Py<PyAny>]) -> bool {
        self.count == items.len() / 2
            && items
                .as_chunks::<2>()
                .0
                .iter()
                .enumerate()
                .all(|(i, pair)| {
                    // SAFETY: the table has so many entries.
                    unsafe { (*self.start.byte_add(i * self.step)).key == pair[0].as_ptr() }
                })
    }
}

/// Compares what is made with what the interpreter says of it, and allows templates if they agree.
///
/// # Errors
/// MemoryError.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    USABLE.store(true, Ordering::Relaxed);
    let mut fine = true;
    for (count, text) in [(2, true), (7, true), (40, true), (5, false), (12, false)] {
        let keys: Vec<Bound<'_, PyAny>> = (0..count)
            .map(|i| match text {
                true => Ok(format!("key {i}").into_pyobject(py)?.into_any()),
                false => Ok((1_000_000_i32 + i).into_pyobject(py)?.into_any()),
            })
            .collect::<PyResult<_>>()?;
        let mut templates = Templates::default();
        // The third is a copy of a template.
        for round in 0..4 {
            let expected = PyDict::new(py);
            let mut items = Items::new();
            for key in &keys {
                let value = PyDict::new(py);
                expected.set_item(key, &value)?;
                items.push(key.clone().unbind());
                items.push(value.into_any().unbind());
            }
            let made = templates
                .dict_of(py, &mut items, 0)
                .map_err(|raised| raised.take(py))?;
            let template = templates.places.iter().flatten().next();
            fine &= template.is_some_and(|template| template.dict.is_some() == (round > 0));
            let made = made.cast_into::<PyDict>()?;
            fine &= items.is_empty() && made.len() == expected.len();
            for ((key, value), (name, own)) in made.iter().zip(&expected) {
                fine &= key.is(&name) && value.is(&own) && made.get_item(&name)?.is_some();
                // Counted here and by the two dicts.
                // SAFETY: a live object.
                fine &= unsafe { pyffi::Py_REFCNT(own.as_ptr()) } == 4;
            }
            // SAFETY: two live objects.
            fine &= unsafe {
                pyffi::PyObject_GC_IsTracked(made.as_ptr())
                    == pyffi::PyObject_GC_IsTracked(expected.as_ptr())
            };
            made.set_item("another", 1)?;
            fine &= made.len() == expected.len() + 1;
        }
        templates.clear(py);
        // SAFETY: live objects.
        fine &= keys
            .iter()
            .all(|key| unsafe { pyffi::Py_REFCNT(key.as_ptr()) } == 1);
    }
    USABLE.store(fine && levers::on(Lever::Templates), Ordering::Relaxed);
    Ok(())
}

//! Classes whose instances take their state without a dict: what has to hold, and how it is done.
//!
//! BUILD means `instance.__dict__.update(state)` where nothing is overridden. An instance of a class made by a class
//! statement keeps its attributes as *inline values* until someone asks for its `__dict__`, so
//! the values move from the stack into the instance: no dict for the state, none for the instance, which
//! stays that much smaller for its whole life. The private layout that is written here is the one that
//! `instance.rs` reads; [`self_test`] compares the result with `vars()` when the module is loaded, and
//! where they disagree everything goes through `__dict__`. This file must not know opcodes.
//!
//! Gain measured: see `benches/` (50,000 dataclasses of five fields).

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::instance::{KeyEntry, Keys, SPLIT};
use super::make::Items;
use super::{ffi, make, types};
use crate::state::State;

/// Whether the self-test has passed.
static WRITABLE: AtomicBool = AtomicBool::new(false);

/// What is known of the classes met last.
#[derive(Default)]
pub struct Classes {
    known: Vec<Class>,
    last: usize,
}

/// Classes that are kept; beyond, all are forgotten.
const KEPT: usize = 64;

struct Class {
    address: usize,
    /// The version tag, which CPython never gives twice.
    version: u32,
    /// Whether BUILD is an update of inline values.
    plain: bool,
    /// The class's table of attribute names that `names` was taken from.
    keys: usize,
    names: Vec<Name>,
}

/// The name of an attribute.
struct Name {
    /// As the class's table has it.
    key: Py<PyString>,
    /// An equal str, as the stream had it last.
    seen: Option<Py<PyAny>>,
    /// The place of the attribute in an instance.
    slot: u8,
}

/// Attributes that an instance can keep inline.
const MOST: usize = 30;

impl Classes {
    /// Gives `object` the attributes in `items[from..]`, names and values by turns, and takes them off the
    /// stack: what BUILD does with a dict of them, if that has no other effect.
    ///
    /// False, and nothing is done, if it might have, or if the object has attributes already.
    pub fn build(&mut self, object: &Bound<'_, PyAny>, items: &mut Items, from: usize) -> bool {
        let ty = object.get_type();
        let Some(class) = self.class(&ty) else {
            return false;
        };
        let count = (items.len() - from) / 2;
        if !class.plain || count > MOST {
            return false;
        }
        let mut slots = [0; MOST];
        // SAFETY: the class is plain, hence made by a class statement, with inline values; the slots are
        // checked to be different and within bounds.
        unsafe {
            let keys = SharedKeys::of(ty.as_type_ptr());
            let Some(values) = Values::empty_of(object, keys) else {
                return false;
            };
            if !class.find_slots(
                object.py(),
                keys,
                &items[from..],
                &mut slots,
                values.capacity,
            ) {
                return false;
            }
            values.set(&slots[..count], items, from);
        }
        true
    }

    /// What is known of a class as it is now; None if nothing can be kept about it.
    #[inline]
    fn class(&mut self, ty: &Bound<'_, PyType>) -> Option<&mut Class> {
        let (address, version) = (ty.as_ptr().addr(), types::version(ty.as_type_ptr()));
        let is = |class: &Class| class.address == address && class.version == version;
        if !self.known.get(self.last).is_some_and(is) {
            self.last = match self.known.iter().position(is) {
                Some(index) => index,
                None => self.look_at(ty)?,
            };
        }
        self.known.get_mut(self.last)
    }

    #[cold]
    #[inline(never)]
    fn look_at(&mut self, ty: &Bound<'_, PyType>) -> Option<usize> {
        let plain = is_plain(ty);
        // Looking up names has given the class a version tag, if it can have one.
        let version = types::version(ty.as_type_ptr());
        if version == 0 {
            return None;
        }
        let class = Class {
            address: ty.as_ptr().addr(),
            version,
            plain,
            keys: 0,
            names: Vec::new(),
        };
        let old = self
            .known
            .iter()
            .position(|old| old.address == class.address);
        if old.is_none() && self.known.len() >= KEPT {
            self.known.clear();
        }
        match old {
            Some(index) => {
                self.known[index] = class;
                Some(index)
            }
            None => {
                self.known.push(class);
                Some(self.known.len() - 1)
            }
        }
    }
}

impl Class {
    /// Finds the places of the names among `items`; false if one has none, or two have the same.
    #[inline]
    fn find_slots(
        &mut self,
        py: Python<'_>,
        keys: SharedKeys,
        items: &[Py<PyAny>],
        slots: &mut [u8; MOST],
        capacity: usize,
    ) -> bool {
        if keys.0.addr() != self.keys {
            self.names.clear();
            self.keys = keys.0.addr();
        }
        let mut taken = 0_u32;
        for (i, ([name, _], slot)) in items.as_chunks::<2>().0.iter().zip(slots).enumerate() {
            *slot = match self.names.get(i) {
                Some(known) if known.is(name.bind(py)) => known.slot,
                _ => match self.find_slot(keys, i, name.bind(py)) {
                    Some(slot) => slot,
                    None => return false,
                },
            };
            if usize::from(*slot) >= capacity || taken & 1 << *slot != 0 {
                return false;
            }
            taken |= 1 << *slot;
        }
        true
    }

    /// The place of a name that is not the one seen before at its turn.
    #[inline(never)]
    fn find_slot(&mut self, keys: SharedKeys, turn: usize, name: &Bound<'_, PyAny>) -> Option<u8> {
        let name = name.cast_exact::<PyString>().ok()?;
        if let Some(known) = self.names.get_mut(turn)
            && known.equals(name)
        {
            // The same name again, in a stream of its own: by address from now on.
            known.seen = Some(name.clone().into_any().unbind());
            return Some(known.slot);
        }
        if let Some(known) = self.names.iter().find(|known| known.is(name)) {
            return Some(known.slot);
        }
        let interned = make::interned(name.clone().into_any());
        let key = interned.cast_into_exact::<PyString>().ok()?;
        if let Some(known) = self.names.iter().find(|known| known.key.is(&key)) {
            return Some(known.slot);
        }
        let slot = keys.find(&key)?;
        self.names.push(Name {
            key: key.unbind(),
            seen: Some(name.clone().into_any().unbind()),
            slot,
        });
        Some(slot)
    }
}

impl Name {
    #[inline(always)]
    fn is(&self, name: &Bound<'_, PyAny>) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.is(name)) || self.key.is(name)
    }

    fn equals(&self, name: &Bound<'_, PyString>) -> bool {
        super::convert::str_eq(self.key.bind(name.py()), name)
    }
}

/// Whether nothing of what BUILD does to an instance of `ty` without attributes is overridden.
fn is_plain(ty: &Bound<'_, PyType>) -> bool {
    let py = ty.py();
    let names = &State::get(py).names;
    if cfg!(Py_GIL_DISABLED) || !WRITABLE.load(Ordering::Relaxed) {
        return false;
    }
    // SAFETY: type objects, alive; only fields are read. What a look-up gives is borrowed and looked at
    // before anything else runs.
    unsafe {
        let raw = ty.as_type_ptr();
        let base = &raw const pyffi::PyBaseObject_Type;
        let flags = ffi::type_flags(raw);
        #[cfg(Py_3_13)]
        let inline = flags & super::instance::INLINE_VALUES != 0;
        #[cfg(not(Py_3_13))]
        let inline = true;
        inline
            && flags & pyffi::Py_TPFLAGS_HEAPTYPE != 0
            && flags & pyffi::Py_TPFLAGS_MANAGED_DICT != 0
            && (*raw).tp_itemsize == 0
            && (*raw).tp_getattro.map(|f| f as usize) == (*base).tp_getattro.map(|f| f as usize)
            && ffi::_PyType_Lookup(raw, names.setstate.as_ptr()).is_null()
            && getter(ffi::_PyType_Lookup(raw, names.dict.as_ptr()))
                == USUAL_DICT.load(Ordering::Relaxed)
            && SharedKeys::of(raw).is_shared()
    }
}

/// The getter behind the `__dict__` that a class statement makes.
static USUAL_DICT: AtomicUsize = AtomicUsize::new(0);

/// The getter of a `getset_descriptor`, 0 for anything else.
///
/// # Safety
/// NULL or a live object.
unsafe fn getter(found: *mut pyffi::PyObject) -> usize {
    // SAFETY: the type is checked before the fields are read.
    unsafe {
        if found.is_null() || !ptr::eq(pyffi::Py_TYPE(found), &raw const pyffi::PyGetSetDescr_Type)
        {
            return 0;
        }
        let definition = (*found.cast::<pyffi::PyGetSetDescrObject>()).d_getset;
        (*definition).get.map_or(0, |get| get as usize)
    }
}

/// A class's table of attribute names, which all its instances share. It only ever grows.
#[derive(Clone, Copy)]
struct SharedKeys(*const Keys);

impl SharedKeys {
    /// Those of a class made by a class statement.
    ///
    /// # Safety
    /// The class is alive and has `Py_TPFLAGS_HEAPTYPE`.
    #[inline(always)]
    unsafe fn of(ty: *mut pyffi::PyTypeObject) -> Self {
        // SAFETY: promised by the caller.
        SharedKeys(unsafe {
            (*ty.cast::<pyffi::PyHeapTypeObject>())
                .ht_cached_keys
                .cast()
        })
    }

    fn is_shared(self) -> bool {
        // SAFETY: NULL, or a table that belongs to a live class.
        !self.0.is_null() && unsafe { (*self.0).kind == SPLIT }
    }

    /// The place of a name, which is interned like those in the table.
    fn find(self, name: &Bound<'_, PyString>) -> Option<u8> {
        // SAFETY: `is_plain` has seen that the table is a shared one; its entries follow its head
        // and its index.
        unsafe {
            let keys = self.0;
            let entries = keys
                .add(1)
                .byte_add(1 << (*keys).log2_index_bytes)
                .cast::<KeyEntry>();
            let count = usize::try_from((*keys).nentries).unwrap_or(0).min(MOST);
            (0..count)
                .find(|&slot| (*entries.add(slot)).key == name.as_ptr())
                .and_then(|slot| u8::try_from(slot).ok())
        }
    }

    /// Number of places that an instance has.
    #[cfg(not(Py_3_13))]
    fn capacity(self) -> usize {
        // SAFETY: as in `find`.
        usize::try_from(unsafe { (*self.0).nentries + (*self.0).usable }).unwrap_or(0)
    }
}

/// The inline values of an instance that has no attributes yet.
struct Values {
    /// `values[slot]` is NULL or owned by the instance.
    values: *mut *mut pyffi::PyObject,
    /// Number of attributes.
    size: *mut u8,
    /// Their slots, in the order in which they were set.
    order: *mut u8,
    capacity: usize,
}

impl Values {
    /// None if the instance has a dict, or attributes.
    ///
    /// # Safety
    /// The class of `object` is one that [`is_plain`] approves of.
    #[inline]
    unsafe fn empty_of(object: &Bound<'_, PyAny>, _keys: SharedKeys) -> Option<Self> {
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
    unsafe fn set(self, slots: &[u8], items: &mut Items, from: usize) {
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

/// Compares what is written with what the interpreter says of it, and allows writing if they agree.
///
/// # Errors
/// What making a class and its instances raises.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    let class =
        py.get_type::<PyType>()
            .call1(("Layout", (py.get_type::<PyAny>(),), PyDict::new(py)))?;
    let ty = class.cast_into::<PyType>()?;
    let first = ty.call0()?;
    for name in ["a", "b", "c", "d"] {
        first.setattr(name, name)?;
    }
    // SAFETY: a type and an interned name, alive; the result is looked at at once.
    let usual = unsafe {
        let dict = PyString::intern(py, "__dict__");
        getter(ffi::_PyType_Lookup(ty.as_type_ptr(), dict.as_ptr()))
    };
    USUAL_DICT.store(usual, Ordering::Relaxed);
    WRITABLE.store(usual != 0, Ordering::Relaxed);
    let mut classes = Classes::default();
    let mut fine = usual != 0;
    for order in [
        &["a", "b", "c"][..],
        &["c", "a"],
        &["d", "c", "b", "a"],
        &["b"],
    ] {
        let object = ty.call0()?;
        let mut items = Items::new();
        let mut expected = Vec::new();
        for (i, name) in order.iter().enumerate() {
            let value = PyString::new(py, &format!("value {i}")).into_any();
            expected.push(((*name).to_owned(), value.clone()));
            items.push(PyString::new(py, name).into_any().unbind());
            items.push(value.unbind());
        }
        let mut same = classes.build(&object, &mut items, 0) && items.is_empty();
        let dict = object.getattr("__dict__")?.cast_into::<PyDict>()?;
        same &= dict.len() == expected.len();
        for ((key, value), (name, own)) in dict.iter().zip(&expected) {
            // Counted here, in `expected` and by the instance.
            // SAFETY: a live object.
            let count = unsafe { pyffi::Py_REFCNT(own.as_ptr()) };
            same &= key.extract::<String>()? == *name && value.is(own) && count == 3;
        }
        // A second time there are attributes.
        same &= !classes.build(&object, &mut items, 0);
        fine &= same;
        if !fine {
            break;
        }
    }
    WRITABLE.store(fine, Ordering::Relaxed);
    Ok(())
}

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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::convert::str_eq;
use super::inline_values::{MOST, SharedKeys, Values};
use super::make::Items;
use super::per_class::{OfClass, PerClass};
use super::{build, ffi, make, types};
use crate::state::State;

/// Whether the self-test has passed.
static WRITABLE: AtomicBool = AtomicBool::new(false);

/// What is known of the classes met last.
#[derive(Default)]
pub struct Classes {
    known: PerClass<Class>,
}

impl OfClass for Class {
    #[inline(always)]
    fn address(&self) -> usize {
        self.address
    }
}

struct Class {
    address: usize,
    /// The version tag, which CPython never gives twice.
    version: u32,
    /// Whether BUILD with a dict is an update of inline values.
    plain: bool,
    /// Whether BUILD with slot values is nothing but `object.__setattr__` for each.
    slotted: bool,
    /// Where instances keep the dict that BUILD with a dict updates, 0 if that is not all.
    dict_offset: usize,
    /// The class's table of attribute names that `names` was taken from.
    keys: usize,
    names: Vec<Name>,
    /// The names of slots, in the order in which they were set last.
    members: Vec<Name>,
    /// The same, for the memo.
    sequence: Option<Arc<[Py<PyAny>]>>,
}

/// The name of an attribute.
struct Name {
    /// As the class's table has it.
    key: Py<PyString>,
    /// An equal str, as the stream had it last.
    seen: Option<Py<PyAny>>,
    /// Where an instance has the attribute: the slot of an inline value, or the offset of a slot.
    place: usize,
}

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
            let pairs = items[from..].as_chunks::<2>().0;
            if !class.find_slots(&ty, pairs, &mut slots, values.capacity) {
                return false;
            }
            values.set(&slots[..count], items, from);
        }
        true
    }

    /// Whether BUILD with a dict updates the dict of `object`, which the object has no items in and nobody else
    /// knows; and then interns the names in `items[from..]`, names and values by turns.
    pub fn prepare_dict(
        &mut self,
        object: &Bound<'_, PyAny>,
        items: &mut Items,
        from: usize,
    ) -> bool {
        let Some(class) = self.class(&object.get_type()) else {
            return false;
        };
        if class.dict_offset == 0 {
            return false;
        }
        // SAFETY: a dict or NULL is at the offset.
        unsafe {
            let dict = *object
                .as_ptr()
                .byte_add(class.dict_offset)
                .cast::<*mut pyffi::PyObject>();
            if !dict.is_null()
                && !build::is_empty_dict(&Bound::from_borrowed_ptr(object.py(), dict), 2)
            {
                return false;
            }
        }
        let pairs = items[from..].as_chunks_mut::<2>().0;
        let py = object.py();
        let is_str = |name: &Py<PyAny>| name.bind(py).is_exact_instance_of::<PyString>();
        if !pairs.iter().all(|[name, _]| is_str(name)) {
            return false;
        }
        for (turn, [name, _]) in pairs.iter_mut().enumerate() {
            class.intern(turn, name, py);
        }
        true
    }

    /// Gives `object` a dict, as [`Classes::prepare_dict`] has allowed.
    pub fn set_dict(&mut self, object: &Bound<'_, PyAny>, dict: Bound<'_, PyAny>) {
        let Some(class) = self.class(&object.get_type()) else {
            return;
        };
        debug_assert!(class.dict_offset != 0);
        // SAFETY: a dict or NULL is at the offset. The old dict is empty: dropping it runs nothing.
        unsafe {
            let place = object
                .as_ptr()
                .byte_add(class.dict_offset)
                .cast::<*mut pyffi::PyObject>();
            let old = place.replace(dict.into_ptr());
            pyffi::Py_XDECREF(old);
        }
    }

    /// Sets the slots of `object` that are named in `items[from..]`, and takes the items off the stack: what
    /// BUILD does with the second half of a state that is a pair, if that has no other effect.
    ///
    /// Returns the names; None, and nothing is done, if it might have, or if a slot is set already.
    pub fn build_slots(
        &mut self,
        object: &Bound<'_, PyAny>,
        items: &mut Items,
        from: usize,
    ) -> Option<Arc<[Py<PyAny>]>> {
        let ty = object.get_type();
        let class = self.class(&ty)?;
        if !class.slotted {
            return None;
        }
        let pairs = items[from..].as_chunks::<2>().0;
        if !class.find_members(&ty, object, pairs) {
            return None;
        }
        // SAFETY: `find_members` has found the offset of a slot for each pair, all different, none set. The
        // items leave the stack first. Nothing runs in between: the names, which are dropped last,
        // are exact str.
        unsafe {
            let count = pairs.len();
            items.set_len(from);
            let pairs = items.as_ptr().add(from).cast::<[*mut pyffi::PyObject; 2]>();
            for (i, member) in class.members[..count].iter().enumerate() {
                let place = object.as_ptr().byte_add(member.place);
                *place.cast::<*mut pyffi::PyObject>() = (*pairs.add(i))[1];
            }
            for i in 0..count {
                pyffi::Py_DECREF((*pairs.add(i))[0]);
            }
        }
        class.sequence.clone()
    }

    /// What is known of a class as it is now; None if nothing can be kept about it.
    #[inline]
    fn class(&mut self, ty: &Bound<'_, PyType>) -> Option<&mut Class> {
        let (address, version) = (ty.as_ptr().addr(), types::version(ty.as_type_ptr()));
        let known = self.known.get(address);
        if known.is_none_or(|class| class.version != version) {
            self.look_at(ty)?;
        }
        self.known.get_mut(address)
    }

    #[cold]
    #[inline(never)]
    fn look_at(&mut self, ty: &Bound<'_, PyType>) -> Option<()> {
        let (plain, slotted, dict_offset) = judge(ty);
        // Looking up names has given the class a version tag, if it can have one.
        let version = types::version(ty.as_type_ptr());
        if version == 0 {
            return None;
        }
        self.known.put(Class {
            address: ty.as_ptr().addr(),
            version,
            plain,
            slotted,
            dict_offset,
            keys: 0,
            names: Vec::new(),
            members: Vec::new(),
            sequence: None,
        });
        Some(())
    }
}

impl Class {
    /// Finds the places of the names among `pairs`; false if one has none, or two have the same.
    #[inline]
    fn find_slots(
        &mut self,
        ty: &Bound<'_, PyType>,
        pairs: &[[Py<PyAny>; 2]],
        slots: &mut [u8; MOST],
        capacity: usize,
    ) -> bool {
        let py = ty.py();
        // SAFETY: the class is plain, hence made by a class statement.
        let keys = unsafe { SharedKeys::of(ty.as_type_ptr()) };
        if keys.0.addr() != self.keys {
            self.names.clear();
            self.keys = keys.0.addr();
        }
        let mut taken = 0_u32;
        for (i, ([name, _], slot)) in pairs.iter().zip(slots).enumerate() {
            let place = match self.names.get(i) {
                Some(known) if known.is(name) => known.place,
                _ => match self.find_slot(keys, i, name.bind(py)) {
                    Some(place) => place,
                    None => return false,
                },
            };
            if place >= capacity || taken & 1 << place != 0 {
                return false;
            }
            taken |= 1 << place;
            *slot = place as u8;
        }
        true
    }

    /// The place of a name that is not the one seen before at its turn.
    #[inline(never)]
    fn find_slot(
        &mut self,
        keys: SharedKeys,
        turn: usize,
        name: &Bound<'_, PyAny>,
    ) -> Option<usize> {
        let name = name.cast_exact::<PyString>().ok()?;
        if let Some(known) = self.names.get_mut(turn)
            && known.equals(name)
        {
            return Some(known.place);
        }
        let known = self
            .names
            .iter()
            .find(|known| known.is(name.as_any().as_unbound()));
        if let Some(known) = known {
            return Some(known.place);
        }
        let key = make::interned(name.clone().into_any());
        let key = key.cast_into_exact::<PyString>().ok()?;
        if let Some(known) = self.names.iter().find(|known| known.key.is(&key)) {
            return Some(known.place);
        }
        let place = keys.find(&key)?;
        self.names.push(Name::new(name, key, place));
        Some(place)
    }

    /// Makes a name, an exact str, the interned one.
    #[inline]
    fn intern(&mut self, turn: usize, name: &mut Py<PyAny>, py: Python<'_>) {
        let known = match self.names.get(turn) {
            Some(known) if known.is(name) => Some(known),
            _ => self.names.iter().find(|known| known.is(name)),
        };
        let key = match known {
            Some(known) => known.key.clone_ref(py).into_any(),
            None => self.interned(name.bind(py)),
        };
        let old = std::mem::replace(name, key);
        drop(old.into_bound(py));
    }

    #[cold]
    fn interned(&mut self, name: &Bound<'_, PyAny>) -> Py<PyAny> {
        let key = make::interned(name.clone());
        if let (Ok(seen), Ok(key)) = (name.cast_exact(), key.cast_exact::<PyString>()) {
            if self.names.len() == MOST {
                self.names.clear();
            }
            self.names.push(Name::new(seen, key.clone(), 0));
        }
        key.unbind()
    }

    /// Makes `members` begin with the names among `pairs`, in their order; false if one is no slot of the
    /// class, or one that `object` has set, or if two are the same.
    #[inline]
    fn find_members(
        &mut self,
        ty: &Bound<'_, PyType>,
        object: &Bound<'_, PyAny>,
        pairs: &[[Py<PyAny>; 2]],
    ) -> bool {
        let py = ty.py();
        let mut taken = 0_u64;
        for (i, [name, _]) in pairs.iter().enumerate() {
            if !self.members.get(i).is_some_and(|known| known.is(name))
                && !self.find_member(ty, i, name.bind(py))
            {
                return false;
            }
            let offset = self.members[i].place;
            let bit = offset / size_of::<usize>();
            // SAFETY: the offset of a slot of the object's class.
            let old = unsafe {
                *object
                    .as_ptr()
                    .byte_add(offset)
                    .cast::<*mut pyffi::PyObject>()
            };
            if bit >= 64 || taken & 1 << bit != 0 || !old.is_null() {
                return false;
            }
            taken |= 1 << bit;
        }
        if self
            .sequence
            .as_ref()
            .is_none_or(|names| names.len() != pairs.len())
        {
            self.members.truncate(pairs.len());
            let names = self
                .members
                .iter()
                .map(|name| name.key.clone_ref(py).into_any());
            self.sequence = Some(names.collect());
        }
        true
    }

    /// Makes a name the one at its turn.
    #[inline(never)]
    fn find_member(
        &mut self,
        ty: &Bound<'_, PyType>,
        turn: usize,
        name: &Bound<'_, PyAny>,
    ) -> bool {
        let Ok(name) = name.cast_exact::<PyString>() else {
            return false;
        };
        if let Some(known) = self.members.get_mut(turn)
            && known.equals(name)
        {
            return true;
        }
        let key = make::interned(name.clone().into_any());
        let Ok(key) = key.cast_into_exact::<PyString>() else {
            return false;
        };
        // SAFETY: a type and a name, alive; the result is looked at at once.
        let Some(offset) =
            (unsafe { slot_offset(ty, ffi::_PyType_Lookup(ty.as_type_ptr(), key.as_ptr())) })
        else {
            return false;
        };
        self.members.truncate(turn);
        self.members.push(Name::new(name, key, offset));
        self.sequence = None;
        true
    }
}

impl Name {
    fn new(seen: &Bound<'_, PyString>, key: Bound<'_, PyString>, place: usize) -> Self {
        Name {
            key: key.unbind(),
            seen: Some(seen.clone().into_any().unbind()),
            place,
        }
    }

    #[inline(always)]
    fn is(&self, name: &Py<PyAny>) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.is(name)) || self.key.is(name)
    }

    /// Whether it is the same name, in another stream; by address from now on.
    fn equals(&mut self, name: &Bound<'_, PyString>) -> bool {
        let same = str_eq(self.key.bind(name.py()), name);
        if same {
            self.seen = Some(name.clone().into_any().unbind());
        }
        same
    }
}

/// The offset of a slot made by `__slots__`, if that is what a look-up in `ty` has found.
///
/// A descriptor can be put into any class; only one of a base says something of its instances.
///
/// # Safety
/// NULL or a live object.
pub(super) unsafe fn slot_offset(
    ty: &Bound<'_, PyType>,
    found: *mut pyffi::PyObject,
) -> Option<usize> {
    /// `Py_T_OBJECT_EX`.
    const OBJECT_EX: std::ffi::c_int = 16;
    // SAFETY: the type is checked before the fields are read.
    unsafe {
        if found.is_null() || !ptr::eq(pyffi::Py_TYPE(found), &raw const pyffi::PyMemberDescr_Type)
        {
            return None;
        }
        let owner = (*found.cast::<pyffi::PyMemberDescrObject>())
            .d_common
            .d_type;
        if pyffi::PyType_IsSubtype(ty.as_type_ptr(), owner) == 0 {
            return None;
        }
        let member = (*found.cast::<pyffi::PyMemberDescrObject>()).d_member;
        let usual = (*member).type_code == OBJECT_EX && (*member).flags == 0;
        usize::try_from((*member).offset)
            .ok()
            .filter(|&offset| usual && offset > 0)
    }
}

/// Whether nothing of what BUILD does to an instance of `ty` without attributes is overridden: for a state
/// that is a dict, and for the slots of one that is a pair; and where instances keep a dict of their own.
fn judge(ty: &Bound<'_, PyType>) -> (bool, bool, usize) {
    let names = &State::get(ty.py()).names;
    if cfg!(Py_GIL_DISABLED) || !WRITABLE.load(Ordering::Relaxed) {
        return (false, false, 0);
    }
    // SAFETY: type objects, alive; only fields are read. What a look-up gives is borrowed and looked at
    // before anything else runs.
    unsafe {
        let raw = ty.as_type_ptr();
        let base = &raw const pyffi::PyBaseObject_Type;
        let flags = ffi::type_flags(raw);
        let usual = flags & pyffi::Py_TPFLAGS_HEAPTYPE != 0
            && (*raw).tp_itemsize == 0
            && (*raw).tp_getattro.map(|f| f as usize) == (*base).tp_getattro.map(|f| f as usize)
            && ffi::_PyType_Lookup(raw, names.setstate.as_ptr()).is_null();
        #[cfg(Py_3_13)]
        let inline = flags & super::instance::INLINE_VALUES != 0;
        #[cfg(not(Py_3_13))]
        let inline = true;
        let plain = usual
            && inline
            && flags & pyffi::Py_TPFLAGS_MANAGED_DICT != 0
            && getter(ffi::_PyType_Lookup(raw, names.dict.as_ptr()))
                == USUAL_DICT.load(Ordering::Relaxed)
            && SharedKeys::of(raw).is_shared();
        let slotted = usual
            && (*raw).tp_setattro.map(|f| f as usize) == (*base).tp_setattro.map(|f| f as usize);
        let own_dict = usual
            && flags & pyffi::Py_TPFLAGS_MANAGED_DICT == 0
            && (*raw).tp_dictoffset > 0
            && is_usual_dict(getter(ffi::_PyType_Lookup(raw, names.dict.as_ptr())));
        let dict_offset = if own_dict {
            (*raw).tp_dictoffset as usize
        } else {
            0
        };
        (plain, slotted, dict_offset)
    }
}

/// Whether the getter behind a `__dict__` gives the dict of the object and makes it if there is none.
fn is_usual_dict(getter: usize) -> bool {
    let generic: unsafe extern "C" fn(_, _) -> _ = pyffi::PyObject_GenericGetDict;
    getter != 0 && (getter == generic as usize || getter == USUAL_DICT.load(Ordering::Relaxed))
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

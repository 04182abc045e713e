//! What the pickler has to know of a class, worked out once per class and kept.
//!
//! An ordinary class, whose reduce protocol is `object`'s own and that has nothing registered or overridden,
//! needs no reduce value: its instances are written directly. The verdict is kept by the class's address
//! and its version tag, which CPython changes with every change of the class or of a base, and never gives
//! twice. This file must not write anything; whether `copyreg.dispatch_table` has an entry is
//! asked by the pickler, since user code may change it at any time.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyType};

use super::ffi;
use super::instance::{DictPlace, dict_place};
use super::kind::Type;
use crate::state::{Names, State};

/// A class whose instances are written directly.
#[derive(Clone, Debug)]
pub struct Plain {
    /// Where the attributes are.
    pub place: DictPlace,
}

/// What is known of a class.
#[derive(Clone, Debug)]
pub struct TypeInfo {
    address: usize,
    version: u32,
    /// None: instances go through their reduce methods.
    pub plain: Option<Plain>,
    /// The pickler's clock when `copyreg.dispatch_table` was last asked.
    pub checked_at: u64,
}

/// A small table of classes, one entry a bucket; the newest wins.
#[derive(Default)]
pub struct TypeCache {
    /// Empty until the first class is kept.
    buckets: Vec<Option<TypeInfo>>,
}

const BUCKETS: usize = 64;

impl TypeCache {
    #[inline(always)]
    fn bucket(address: usize) -> usize {
        // Class objects are about 1 KiB apart.
        (address >> 4 ^ address >> 10) % BUCKETS
    }

    /// What is known of `ty` as it is now.
    #[inline(always)]
    pub fn get(&self, ty: Type<'_>) -> Option<&TypeInfo> {
        let address = ty.as_ptr().addr();
        let info = self.buckets.get(Self::bucket(address))?.as_ref()?;
        (info.address == address && info.version == version(ty.as_ptr())).then_some(info)
    }

    /// What is known of a class, for code that may run Python: looks at it if need be.
    ///
    /// None as in [`look_at`].
    pub fn known(&mut self, ty: &Bound<'_, PyType>, now: u64) -> Option<&TypeInfo> {
        let bucket = Self::bucket(ty.as_ptr().addr());
        let fresh = match self.buckets.get(bucket) {
            Some(Some(info)) => {
                info.address != ty.as_ptr().addr() || info.version != version(ty.as_type_ptr())
            }
            _ => true,
        };
        if fresh {
            let info = look_at(ty, now)?;
            self.put(info);
        }
        let info = self.buckets[bucket].as_mut()?;
        info.checked_at = now;
        Some(info)
    }

    /// Keeps what is known of a class.
    fn put(&mut self, info: TypeInfo) {
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, None);
        }
        let bucket = Self::bucket(info.address);
        self.buckets[bucket] = Some(info);
    }
}

/// The version tag, 0 if the class has none at the moment.
#[inline(always)]
pub(super) fn version(ty: *mut pyffi::PyTypeObject) -> u32 {
    // SAFETY: a type object, alive.
    unsafe {
        #[cfg(not(Py_3_14))]
        if ffi::type_flags(ty) & pyffi::Py_TPFLAGS_VALID_VERSION_TAG == 0 {
            return 0;
        }
        (*ty).tp_version_tag
    }
}

/// Whether a call of the method `name` on an instance of `ty` finds it for certain: the class has it, and looks
/// attributes up the ordinary way. Such a call need not make a bound method.
pub fn finds_methods(ty: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> bool {
    // SAFETY: type objects, alive; a borrowed reference or NULL without an exception comes back.
    unsafe {
        let generic = pyffi::PyBaseObject_Type.tp_getattro;
        let own = (*ty.as_type_ptr()).tp_getattro;
        own.map(|f| f as usize) == generic.map(|f| f as usize)
            && !ffi::_PyType_Lookup(ty.as_type_ptr(), name.as_ptr()).is_null()
    }
}

/// Looks `name` up along the MRO of `ty`, without binding it.
fn lookup<'py>(ty: &Bound<'py, PyType>, name: &Py<PyString>) -> Option<Bound<'py, PyAny>> {
    let py = ty.py();
    // SAFETY: both are alive; a borrowed reference or NULL without an exception comes back, and is
    // counted at once.
    unsafe {
        let found = ffi::_PyType_Lookup(ty.as_type_ptr(), name.as_ptr());
        Bound::from_borrowed_ptr_or_opt(py, found)
    }
}

/// Works out what there is to know of `ty`. May run Python code (of a hostile metaclass).
///
/// None if the verdict must not be kept: the class has no version tag, or its slots are not known
/// yet (`copyreg._slotnames` finds them when the first instance goes through `__reduce_ex__`).
fn look_at(ty: &Bound<'_, PyType>, now: u64) -> Option<TypeInfo> {
    let state = State::get(ty.py());
    let names = &state.names;
    // A look-up gives the class a version tag, if it can have one.
    let reduce_ex = lookup(ty, &names.reduce_ex);
    let version = version(ty.as_type_ptr());
    if version == 0 {
        return None;
    }
    let info = |plain| {
        Some(TypeInfo {
            address: ty.as_ptr().addr(),
            version,
            plain,
            checked_at: now,
        })
    };
    let is = |found: Option<Bound<'_, PyAny>>, own: &Py<PyAny>| found.is_some_and(|f| f.is(own));
    if !is(reduce_ex, &state.object_reduce_ex)
        || !is(lookup(ty, &names.reduce), &state.object_reduce)
        || !is(lookup(ty, &names.getstate), &state.object_getstate)
        || !is(lookup(ty, &names.class), &state.object_class)
        || lookup(ty, &names.getnewargs).is_some()
        || lookup(ty, &names.getnewargs_ex).is_some()
        || !is_ordinary(ty)
        // `object.__reduce_ex__` asks the class, hence the metaclass, for `__reduce__`.
        || !is(lookup(&ty.get_type(), &names.reduce), &state.object_reduce)
    {
        return info(None);
    }
    let own = own_slotnames(ty, names)?;
    if !own.is_empty() {
        return info(None);
    }
    let place = dict_place(ty);
    info((place != DictPlace::Unknown).then_some(Plain { place }))
}

/// The list in the class's own `__slotnames__`, where `copyreg` keeps it.
fn own_slotnames<'py>(ty: &Bound<'py, PyType>, names: &Names) -> Option<Bound<'py, PyList>> {
    let py = ty.py();
    let dict = ty.getattr(names.dict.bind(py)).ok()?;
    let own = dict.get_item(names.slotnames.bind(py)).ok()?;
    own.cast_into_exact::<PyList>().ok()
}

/// Whether the layout and the hooks of `ty` are those of a class made by a class statement over `object`.
fn is_ordinary(ty: &Bound<'_, PyType>) -> bool {
    let (base, base_meta) = (
        &raw mut pyffi::PyBaseObject_Type,
        &raw mut pyffi::PyType_Type,
    );
    // SAFETY: type objects, alive; only fields are read.
    unsafe {
        let raw = ty.as_type_ptr();
        let meta = pyffi::Py_TYPE(raw.cast());
        let flags = ffi::type_flags(raw);
        let other = pyffi::Py_TPFLAGS_LIST_SUBCLASS
            | pyffi::Py_TPFLAGS_DICT_SUBCLASS
            | pyffi::Py_TPFLAGS_TYPE_SUBCLASS;
        let mut expected = (*base).tp_basicsize;
        if (*raw).tp_dictoffset > 0 {
            expected += size_of::<usize>() as isize;
        }
        if (*raw).tp_weaklistoffset > 0 {
            expected += size_of::<usize>() as isize;
        }
        flags & pyffi::Py_TPFLAGS_HEAPTYPE != 0
            && flags & other == 0
            && (*raw).tp_itemsize == 0
            && (*raw).tp_new.is_some()
            && (*raw).tp_basicsize <= expected
            && (*raw).tp_getattro.map(|f| f as usize) == (*base).tp_getattro.map(|f| f as usize)
            && (*meta).tp_getattro.map(|f| f as usize)
                == (*base_meta).tp_getattro.map(|f| f as usize)
    }
}

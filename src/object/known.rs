//! Reading instances of the standard library's types that the pickler writes directly.
//!
//! The layouts are those of public headers (`datetime.h`, `cpython/pyerrors.h`), or private ones
//! (deque, the order of OrderedDict) that have not changed from 3.11 to 3.15 and are compared with what
//! iteration gives before the first use. All of it is read in a frozen window.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::by_name::{has_str_keys, str_item};
use super::fallible::attribute;
use super::kind::{Dict, Kind, Tuple};
use super::make::Items;
use super::types::Plan;
use super::{Obj, Window, fallible};

unsafe extern "C" {
    /// `collections.OrderedDict`.
    pub(super) static mut PyODict_Type: pyffi::PyTypeObject;
}

/// The parts of a moment, as its reduce value has them.
pub struct Moment<'w> {
    /// The packed fields.
    pub data: [u8; 10],
    /// How many bytes of them there are.
    pub len: usize,
    /// The time zone, if there is one.
    pub zone: Option<Obj<'w>>,
}

/// The first bit of the field that `fold` goes into from protocol 4 on.
const FOLD: u8 = 0x80;

/// A `datetime.datetime`; the caller knows that it is one.
#[inline]
pub fn datetime<'w>(object: Obj<'w>, with_fold: bool) -> Moment<'w> {
    // SAFETY: an instance of the C type, by the caller's word; the time zone's field is there if the flag
    // says so.
    unsafe {
        let raw = object.as_ptr().cast::<pyffi::PyDateTime_DateTime>();
        let mut data = (*raw).data;
        if with_fold && (*raw).fold != 0 {
            data[2] |= FOLD;
        }
        Moment {
            data,
            len: 10,
            zone: ((*raw).hastzinfo != 0).then(|| Obj::from_ptr((*raw).tzinfo)),
        }
    }
}

/// A `datetime.time`; the caller knows that it is one.
#[inline]
pub fn time<'w>(object: Obj<'w>, with_fold: bool) -> Moment<'w> {
    let mut data = [0; 10];
    // SAFETY: as in `datetime`.
    unsafe {
        let raw = object.as_ptr().cast::<pyffi::PyDateTime_Time>();
        data[..6].copy_from_slice(&(*raw).data);
        if with_fold && (*raw).fold != 0 {
            data[0] |= FOLD;
        }
        Moment {
            data,
            len: 6,
            zone: ((*raw).hastzinfo != 0).then(|| Obj::from_ptr((*raw).tzinfo)),
        }
    }
}

/// A `datetime.date`; the caller knows that it is one.
#[inline]
pub fn date<'w>(object: Obj<'w>) -> Moment<'w> {
    let mut data = [0; 10];
    // SAFETY: as in `datetime`.
    unsafe {
        let raw = object.as_ptr().cast::<pyffi::PyDateTime_Date>();
        data[..4].copy_from_slice(&(*raw).data);
    }
    Moment {
        data,
        len: 4,
        zone: None,
    }
}

/// Days, seconds and microseconds of a `datetime.timedelta`; the caller knows that it is one.
#[inline]
pub fn timedelta(object: Obj<'_>) -> [i32; 3] {
    // SAFETY: as in `datetime`.
    unsafe {
        let raw = object.as_ptr().cast::<pyffi::PyDateTime_Delta>();
        [(*raw).days, (*raw).seconds, (*raw).microseconds]
    }
}

/// The parts of a `datetime.timezone`.
#[repr(C)]
struct ZoneObject {
    base: pyffi::PyObject,
    offset: *mut pyffi::PyObject,
    /// NULL if it has none.
    name: *mut pyffi::PyObject,
}

/// The arguments that a `datetime.timezone` was made with, a `timedelta` and a str; the caller knows that it is one.
#[inline]
pub fn timezone<'w>(object: Obj<'w>) -> (Obj<'w>, Option<Obj<'w>>) {
    // SAFETY: as in `datetime`; `zone_is_readable` has seen the layout.
    unsafe {
        let raw = object.as_ptr().cast::<ZoneObject>();
        let name = (*raw).name;
        let name = (!name.is_null()).then(|| Obj::from_ptr(name));
        (Obj::from_ptr((*raw).offset), name)
    }
}

/// Asks now what is else asked when the first deque or OrderedDict comes, where there may be no memory for the answer.
pub fn self_test(py: Python<'_>) {
    deque_is_readable(py);
    order_is_readable(py);
}

/// Whether time zones are laid out as expected.
pub(super) fn zone_is_readable(py: Python<'_>) -> bool {
    static READABLE: OnceLock<bool> = OnceLock::new();
    let test = || -> PyResult<bool> {
        let text = |text| fallible::text(py, text).map_err(|raised| raised.take(py));
        let module = py.import(text("_datetime")?)?;
        let class = attribute(&module, "timezone")?;
        let minute = attribute(&module, "timedelta")?.call1((0, 60))?;
        let zones = [
            attribute(&class, "utc")?,
            class.call1((&minute,))?,
            class.call1((&minute, text("a minute")?))?,
        ];
        let mut fine = true;
        for zone in zones {
            let parts = zone.call_method0(text("__getinitargs__")?)?;
            let parts = parts.cast_into::<pyo3::types::PyTuple>()?;
            fine &= class.cast::<PyType>()?.is(zone.get_type())
                && attribute(zone.get_type().as_any(), "__basicsize__")?.extract::<usize>()?
                    == size_of::<ZoneObject>();
            if fine {
                // SAFETY: nothing in it runs Python.
                let window = unsafe { Window::open() };
                let (offset, name) = timezone(window.obj(&zone));
                fine = parts.get_item(0)?.as_ptr() == offset.as_ptr()
                    && parts.get_item(1).ok().map(|own| own.as_ptr()) == name.map(Obj::as_ptr);
            }
        }
        Ok(fine)
    };
    *READABLE.get_or_init(|| test().unwrap_or(false))
}

/// The text of a C `Decimal` into `out`, if it is ASCII and fits; how many bytes.
///
/// It is what `Decimal.__reduce__` gives, also where a subclass overrides `__str__`.
pub fn decimal(_window: Window<'_>, object: Obj<'_>, out: &mut [u8; 255]) -> Option<usize> {
    // SAFETY: the caller knows that it is an instance of the C type `Decimal`, one of the types up its
    // line. Its `tp_str` runs no Python; the str that comes back is not seen by anybody else. Before
    // 3.12 the collector, which could run inside, is off for the time.
    unsafe {
        let mut ty = pyffi::Py_TYPE(object.as_ptr());
        while super::ffi::type_flags(ty) & pyffi::Py_TPFLAGS_IMMUTABLETYPE == 0
            && super::ffi::type_flags(ty) & pyffi::Py_TPFLAGS_HEAPTYPE != 0
        {
            ty = (*ty).tp_base;
            if ty.is_null() {
                return None;
            }
        }
        let tp_str = (*ty).tp_str?;
        #[cfg(not(Py_3_12))]
        let collecting = pyffi::PyGC_Disable();
        let text = tp_str(object.as_ptr());
        #[cfg(not(Py_3_12))]
        if collecting != 0 {
            pyffi::PyGC_Enable();
        }
        if text.is_null() {
            // It is raised again where it may be.
            pyffi::PyErr_Clear();
            return None;
        }
        let size = match Obj::from_ptr(text).kind() {
            Kind::Str(found) if found.is_ascii() => match found.text() {
                super::read::Text::Utf8(bytes) if bytes.len() <= out.len() => {
                    out[..bytes.len()].copy_from_slice(bytes);
                    Some(bytes.len())
                }
                _ => None,
            },
            _ => None,
        };
        pyffi::Py_DECREF(text);
        size
    }
}

/// The arguments and the attributes of an exception.
///
/// None if they are not what the interpreter makes them.
#[inline]
pub fn exception<'w>(object: Obj<'w>) -> Option<(Tuple<'w>, Option<Dict<'w>>)> {
    // SAFETY: the caller knows that `BaseException` is a base of its class; the struct is public.
    unsafe {
        let raw = object.as_ptr().cast::<pyffi::PyBaseExceptionObject>();
        if (*raw).args.is_null() {
            return None;
        }
        let Kind::Tuple(args) = Obj::from_ptr((*raw).args).kind() else {
            return None;
        };
        if (*raw).dict.is_null() {
            return Some((args, None));
        }
        match Obj::from_ptr((*raw).dict).kind() {
            Kind::Dict(dict) => Some((args, Some(dict))),
            _ => None,
        }
    }
}

/// The dict at `offset`, where the class says that one may be.
///
/// `None` if it is no exact dict, `Some(None)` if there is none.
#[inline]
pub fn own_dict(object: Obj<'_>, offset: u16) -> Option<Option<Dict<'_>>> {
    match slot(object, usize::from(offset)).map(Obj::kind) {
        None => Some(None),
        Some(Kind::Dict(dict)) => Some(Some(dict)),
        Some(_) => None,
    }
}

/// How many of a node's first fields are in its dict; None if that cannot be said without running Python.
pub fn leading_fields(object: Obj<'_>, offset: u16, plan: &Plan) -> Option<usize> {
    let Some(dict) = own_dict(object, offset)? else {
        return Some(0);
    };
    // SAFETY: an exact dict in a frozen window, names that are exact str.
    unsafe {
        if !has_str_keys(dict.obj().as_ptr()) {
            return None;
        }
        let is_there = |name: &Py<PyAny>| str_item(dict.obj().as_ptr(), name.as_ptr()).is_some();
        let names = plan.slots.iter();
        Some(names.take_while(|(name, _)| is_there(name)).count())
    }
}

/// The object that a slot holds.
///
/// `offset` comes out of a [`Plan`] for the object's class.
#[inline(always)]
pub fn slot<'w>(object: Obj<'w>, offset: usize) -> Option<Obj<'w>> {
    // SAFETY: the caller's word; a slot is NULL or a reference.
    unsafe {
        let found = *object
            .as_ptr()
            .byte_add(offset)
            .cast::<*mut pyffi::PyObject>();
        (!found.is_null()).then(|| Obj::from_ptr(found))
    }
}

impl Plan {
    /// Whether the list that `copyreg` keeps still says what it said.
    #[inline]
    pub fn holds(&self, window: Window<'_>) -> bool {
        let Some(list) = &self.list else {
            return true;
        };
        let Kind::List(list) = window.obj(list.bind(window.py()).as_any()).kind() else {
            return false;
        };
        list.len() == self.slots.len()
            && self.slots.iter().enumerate().all(|(i, (name, _))| {
                list.get(i)
                    .is_some_and(|found| std::ptr::eq(found.as_ptr(), name.as_ptr()))
            })
    }

    /// The name and the value at a place, if the slot is set.
    #[inline(always)]
    pub fn get<'w>(
        &self,
        window: Window<'w>,
        object: Obj<'w>,
        index: usize,
    ) -> Option<(Obj<'w>, Obj<'w>)> {
        let (name, offset) = &self.slots[index];
        let value = slot(object, *offset)?;
        Some((window.obj(name.bind(window.py())), value))
    }
}

/// The offset of an object member of a C type, if a look-up has found one that is read as it is.
pub(super) fn member_offset(ty: &Bound<'_, PyType>, found: &Bound<'_, PyAny>) -> Option<u16> {
    /// `_Py_T_OBJECT`: NULL is None.
    const OBJECT: std::ffi::c_int = 6;
    // SAFETY: the type is checked before the fields are read.
    unsafe {
        if !std::ptr::eq(
            pyffi::Py_TYPE(found.as_ptr()),
            &raw const pyffi::PyMemberDescr_Type,
        ) {
            return None;
        }
        let descr = found.as_ptr().cast::<pyffi::PyMemberDescrObject>();
        if pyffi::PyType_IsSubtype(ty.as_type_ptr(), (*descr).d_common.d_type) == 0 {
            return None;
        }
        let member = (*descr).d_member;
        let offset = u16::try_from((*member).offset).ok()?;
        ((*member).type_code == OBJECT && offset > 0).then_some(offset)
    }
}

// --- deque

#[repr(C)]
struct Block {
    left: *mut Block,
    data: [*mut pyffi::PyObject; BLOCK],
    right: *mut Block,
}

/// Items in a block.
const BLOCK: usize = 64;

#[repr(C)]
struct DequeObject {
    base: pyffi::PyVarObject,
    left: *mut Block,
    right: *mut Block,
    left_index: isize,
    right_index: isize,
    state: usize,
    maxlen: isize,
}

/// A `collections.deque`; its maker knows that it is one.
#[derive(Clone, Copy)]
pub struct Deque<'w>(Obj<'w>);

impl<'w> Deque<'w> {
    /// The object as a deque; the caller knows that it is one.
    pub fn of(object: Obj<'w>) -> Self {
        Deque(object)
    }

    fn raw(self) -> *mut DequeObject {
        self.0.as_ptr().cast()
    }

    /// Number of items.
    pub fn len(self) -> usize {
        // SAFETY: a deque, alive; the layout was compared.
        unsafe { (*self.raw()).base.ob_size as usize }
    }

    /// Whether there are no items.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The most items it may have.
    pub fn maxlen(self) -> Option<isize> {
        // SAFETY: as in `len`.
        let maxlen = unsafe { (*self.raw()).maxlen };
        (maxlen >= 0).then_some(maxlen)
    }

    /// The item at `index`, which is the next one; `block` is 0 at first and the same variable from then on.
    #[inline]
    pub fn next(self, index: usize, block: &mut usize) -> Option<Obj<'w>> {
        if index >= self.len() {
            return None;
        }
        // SAFETY: as in `len`; nothing changes it in the window, in which `block` was set.
        unsafe {
            let place = ((*self.raw()).left_index as usize + index) % BLOCK;
            let mut current: *mut Block = if index == 0 {
                (*self.raw()).left
            } else {
                std::ptr::with_exposed_provenance_mut(*block)
            };
            if index != 0 && place == 0 {
                current = (*current).right;
            }
            *block = current.expose_provenance();
            let item = (&(*current).data)[place];
            (!item.is_null()).then(|| Obj::from_ptr(item))
        }
    }
}

/// Gives a new deque its `maxlen`; the caller knows that it is one.
pub(super) fn prepare_deque(deque: &Bound<'_, PyAny>, maxlen: Option<isize>) {
    if let Some(maxlen) = maxlen {
        // SAFETY: a deque that nobody else has seen; the layout was compared.
        unsafe { (*deque.as_ptr().cast::<DequeObject>()).maxlen = maxlen };
    }
}

/// The type `collections.deque`, once its layout has been compared; 0 before.
static DEQUE: AtomicUsize = AtomicUsize::new(0);

/// Moves `items[from..]` into a deque that is empty, if it is exactly a deque and has room for them in its only
/// block: what `extend` does. False, and nothing is done, otherwise.
#[inline]
pub fn fill_deque(object: &Bound<'_, PyAny>, items: &mut Items, from: usize) -> bool {
    let count = items.len() - from;
    // SAFETY: the type is compared, and the layout was. An empty deque has one block, in which nothing is in use.
    unsafe {
        let raw = object.as_ptr().cast::<DequeObject>();
        if pyffi::Py_TYPE(object.as_ptr()).addr() != DEQUE.load(Ordering::Relaxed)
            || (*raw).base.ob_size != 0
            || !std::ptr::eq((*raw).left, (*raw).right)
            || count >= BLOCK
            || ((*raw).maxlen >= 0 && (*raw).maxlen < count as isize)
        {
            return false;
        }
        // As `extend` does, from the left.
        items.set_len(from);
        let place = &raw mut (*(*raw).left).data;
        let place = place.cast::<*mut pyffi::PyObject>().add(1);
        std::ptr::copy_nonoverlapping(items.as_ptr().add(from).cast(), place, count);
        (*raw).left_index = 1;
        (*raw).right_index = count as isize;
        (*raw).base.ob_size = count as isize;
        // Iterators see that it has changed.
        (*raw).state = (*raw).state.wrapping_add(count);
    }
    true
}

/// Compares what [`fill_deque`] does with what a deque says of itself, and allows it if they agree.
fn deque_is_writable(class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = class.py();
    let filled = class.call0()?;
    DEQUE.store(class.as_ptr().addr(), Ordering::Relaxed);
    let items = pyo3::types::PyList::new(py, (0..40).map(|i| i + 1000))?;
    let mut moved: Items = items.iter().map(Bound::unbind).collect();
    let mut fine = fill_deque(&filled, &mut moved, 0) && moved.is_empty();
    let same = |start: usize| -> PyResult<bool> {
        let found: Vec<_> = filled.try_iter()?.collect::<PyResult<_>>()?;
        let expected: Vec<_> = items.iter().skip(start).collect();
        Ok(found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| a.is(b)))
    };
    fine = fine && same(0)?;
    filled.call_method1("appendleft", (1,))?;
    filled.call_method1("rotate", (-2,))?;
    filled.call_method0("pop")?;
    filled.call_method0("pop")?;
    fine = fine && same(1)?;
    if !fine {
        DEQUE.store(0, Ordering::Relaxed);
    }
    Ok(fine)
}

/// Whether deques are laid out as expected.
pub(super) fn deque_is_readable(py: Python<'_>) -> bool {
    static READABLE: OnceLock<bool> = OnceLock::new();
    let test = || -> PyResult<bool> {
        let class = py.import("_collections")?.getattr("deque")?;
        let mut fine = true;
        for (size, popped, maxlen) in [
            (0, 0, None),
            (1, 0, Some(7)),
            (300, 35, None),
            (64, 1, Some(64)),
        ] {
            let items = pyo3::types::PyList::new(py, (0..size).map(|i| i + 1000))?;
            let deque = class.call1((items, maxlen))?;
            for _ in 0..popped {
                deque.call_method0("popleft")?;
            }
            let expected: Vec<_> = deque.try_iter()?.collect::<PyResult<_>>()?;
            // SAFETY: nothing below runs Python; the objects are owned.
            let window = unsafe { Window::open() };
            let read = Deque::of(window.obj(&deque));
            fine = fine && read.len() == expected.len() && read.maxlen() == maxlen;
            let mut block = 0;
            fine = fine
                && expected.iter().enumerate().all(|(i, item)| {
                    read.next(i, &mut block)
                        .is_some_and(|found| found.is(window.obj(item)))
                });
        }
        Ok(fine && (cfg!(Py_GIL_DISABLED) || deque_is_writable(&class)?))
    };
    // A failure to test is no verdict.
    *READABLE.get_or_init(|| test().unwrap_or(false))
}

// --- OrderedDict

#[repr(C)]
struct Node {
    key: *mut pyffi::PyObject,
    hash: pyffi::Py_hash_t,
    next: *mut Node,
    previous: *mut Node,
}

/// What follows the dict in an OrderedDict.
#[repr(C)]
struct Order {
    first: *mut Node,
    last: *mut Node,
}

/// Whether an OrderedDict's own order is that of the dict it is made of: nothing was moved. The caller knows
/// that it is one.
#[inline]
pub fn in_order(object: Obj<'_>) -> bool {
    let Some(dict) = object.as_dict() else {
        return false;
    };
    // SAFETY: an OrderedDict, alive and unchanging; the layout was compared. Its nodes end with NULL.
    unsafe {
        let dict_type = &raw const pyffi::PyDict_Type;
        let order = object
            .as_ptr()
            .byte_add((*dict_type).tp_basicsize as usize)
            .cast::<Order>();
        let mut node = (*order).first;
        let mut position = 0;
        while let Some((key, _)) = dict.next(&mut position) {
            if node.is_null() || (*node).key != key.as_ptr() {
                return false;
            }
            node = (*node).next;
        }
        node.is_null()
    }
}

/// Whether OrderedDicts are laid out as expected.
pub(super) fn order_is_readable(py: Python<'_>) -> bool {
    static READABLE: OnceLock<bool> = OnceLock::new();
    let test = || -> PyResult<bool> {
        let class = py.import("_collections")?.getattr("OrderedDict")?;
        let read = |object: &Bound<'_, PyAny>| {
            // SAFETY: nothing in it runs Python.
            let window = unsafe { Window::open() };
            in_order(window.obj(object))
        };
        let dict = PyDict::new(py);
        for i in 0..20 {
            dict.set_item(i + 1000, i)?;
        }
        let filled = class.call1((dict,))?;
        let mut fine = read(&class.call0()?) && read(&filled);
        filled.del_item(1003)?;
        fine = fine && read(&filled);
        filled.call_method1("move_to_end", (1005,))?;
        fine = fine && !read(&filled);
        filled.call_method1("move_to_end", (1005, false))?;
        Ok(fine && !read(&filled))
    };
    *READABLE.get_or_init(|| test().unwrap_or(false))
}

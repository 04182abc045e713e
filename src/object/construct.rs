//! Making instances of known classes without calling them: see `constructors.rs`, which says when.
//!
//! Each function gives what the class's constructor gives for these arguments, or None for arguments that it does not
//! know: then the class is called. The arguments stay what and where they are. No Python code runs in here.

use std::ffi::c_int;

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::kind::Int;
#[cfg(not(Py_3_12))]
use super::make;
use super::{Obj, R, ffi, known, owned};

/// What a constructor is given.
pub(super) type Args<'a> = &'a [Py<PyAny>];

/// How instances of a class are made.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// By `__new__` of a `collections.namedtuple` of so many fields.
    NamedTuple(usize),
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `collections.defaultdict`, with the factory at this offset.
    DefaultDict(u16),
    /// `collections.Counter`.
    Counter,
    /// `collections.deque`.
    Deque,
    /// `datetime.datetime`.
    DateTime,
    /// `datetime.date`.
    Date,
    /// `datetime.time`.
    Time,
    /// `datetime.timedelta`.
    TimeDelta,
    /// `fractions.Fraction`, with slots at these offsets: numerator, denominator.
    Fraction([usize; 2]),
    /// `pathlib.PurePosixPath`, `PosixPath`, with the slot of the list of texts that it was made of.
    #[cfg(Py_3_12)]
    Path(usize),
    /// The same before 3.12: slots of the drive, the root, the list of parts.
    #[cfg(not(Py_3_12))]
    Parts([usize; 3]),
}

impl How {
    /// Whether this is what NEWOBJ does, and not what REDUCE does.
    pub(super) fn is_newobj(self) -> bool {
        matches!(self, How::NamedTuple(_))
    }

    /// An instance; None if the arguments are not usual ones.
    ///
    /// # Errors
    /// MemoryError.
    #[inline]
    pub(super) fn make<'py>(
        self,
        py: Python<'py>,
        class: *mut pyffi::PyTypeObject,
        args: Args<'_>,
    ) -> R<Option<Bound<'py, PyAny>>> {
        // SAFETY: `constructors.rs` has seen that instances of the class have what each of these takes for granted.
        unsafe {
            match self {
                How::NamedTuple(count) => named_tuple(py, class, args, count),
                How::OrderedDict if args.is_empty() => new(py, class).map(Some),
                How::OrderedDict => Ok(None),
                How::DefaultDict(offset) => default_dict(py, class, args, offset),
                How::Counter => counter(py, class, args),
                How::Deque => deque(py, class, args),
                How::DateTime => datetime(py, class, args),
                How::Date => date(py, class, args),
                How::Time => time(py, class, args),
                How::TimeDelta => timedelta(py, class, args),
                How::Fraction(slots) => fraction(py, class, args, slots),
                #[cfg(Py_3_12)]
                How::Path(slot) => path(py, class, args, slot),
                #[cfg(not(Py_3_12))]
                How::Parts(slots) => parts(py, class, args, slots),
            }
        }
    }
}

/// `class.__new__(class)`.
///
/// # Safety
/// A class, alive, whose `tp_new` is written in C.
#[inline]
unsafe fn new(py: Python<'_>, class: *mut pyffi::PyTypeObject) -> R<Bound<'_, PyAny>> {
    // SAFETY: promised by the caller.
    unsafe { new_by(py, class, class) }
}

/// `base.__new__(class)`.
///
/// # Safety
/// As [`new`], for `base`.
#[inline]
unsafe fn new_by<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    base: *mut pyffi::PyTypeObject,
) -> R<Bound<'py, PyAny>> {
    // SAFETY: promised by the caller; a slot for a tuple and NULL.
    unsafe {
        match (*base).tp_new {
            Some(new) => owned(
                py,
                new(class, PyTuple::empty(py).as_ptr(), std::ptr::null_mut()),
            ),
            None => Err(crate::errors::type_error(py, "a class without __new__")),
        }
    }
}

/// Sets an empty slot.
///
/// # Safety
/// The offset is that of a slot of the object, which is new.
#[inline(always)]
unsafe fn set_slot(object: &Bound<'_, PyAny>, offset: usize, value: *mut pyffi::PyObject) {
    // SAFETY: promised by the caller; the object gets a reference of its own.
    unsafe {
        pyffi::Py_INCREF(value);
        *object
            .as_ptr()
            .byte_add(offset)
            .cast::<*mut pyffi::PyObject>() = value;
    }
}

/// # Safety
/// The class is one of tuples, made by a class statement.
#[inline]
unsafe fn named_tuple<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
    count: usize,
) -> R<Option<Bound<'py, PyAny>>> {
    if args.len() != count {
        return Ok(None);
    }
    // SAFETY: the allocator gives a tuple with room for `count` items, which are all set before anything else runs.
    unsafe {
        let Some(alloc) = (*class).tp_alloc else {
            return Ok(None);
        };
        let made = owned(py, alloc(class, count as isize))?;
        let tuple = made.as_ptr().cast::<pyffi::PyTupleObject>();
        #[cfg(Py_3_14)]
        {
            (*tuple).ob_hash = -1;
        }
        let items = (&raw mut (*tuple).ob_item).cast::<*mut pyffi::PyObject>();
        for (i, arg) in args.iter().enumerate() {
            pyffi::Py_INCREF(arg.as_ptr());
            *items.add(i) = arg.as_ptr();
        }
        Ok(Some(made))
    }
}

/// # Safety
/// `collections.defaultdict`, with the factory at `offset`.
#[inline]
unsafe fn default_dict<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
    offset: u16,
) -> R<Option<Bound<'py, PyAny>>> {
    let [factory] = args else {
        return Ok(None);
    };
    // SAFETY: promised by the caller; the factory is NULL in a new one.
    unsafe {
        let callable = pyffi::PyCallable_Check(factory.as_ptr()) != 0;
        if !callable && pyffi::Py_IsNone(factory.as_ptr()) == 0 {
            return Ok(None);
        }
        let made = new(py, class)?;
        set_slot(&made, usize::from(offset), factory.as_ptr());
        Ok(Some(made))
    }
}

/// # Safety
/// `collections.Counter`. Keys may be compared.
#[inline]
unsafe fn counter<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
) -> R<Option<Bound<'py, PyAny>>> {
    let [counts] = args else {
        return Ok(None);
    };
    // SAFETY: promised by the caller; two dicts.
    unsafe {
        if pyffi::PyDict_CheckExact(counts.as_ptr()) == 0 {
            return Ok(None);
        }
        let made = new(py, class)?;
        let code = pyffi::PyDict_Merge(made.as_ptr(), counts.as_ptr(), 1);
        super::status(py, code)?;
        Ok(Some(made))
    }
}

/// # Safety
/// `collections.deque`, of the layout that `known.rs` knows.
#[inline]
unsafe fn deque<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
) -> R<Option<Bound<'py, PyAny>>> {
    let maxlen = match args {
        [] => None,
        [items, maxlen] => {
            // SAFETY: live objects; the size of a tuple.
            let empty = unsafe {
                pyffi::PyTuple_CheckExact(items.as_ptr()) != 0
                    && pyffi::PyTuple_GET_SIZE(items.as_ptr()) == 0
            };
            match small(maxlen) {
                Some(maxlen) if empty && maxlen >= 0 => Some(maxlen as isize),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    // SAFETY: promised by the caller.
    unsafe {
        let made = new(py, class)?;
        known::prepare_deque(&made, maxlen);
        Ok(Some(made))
    }
}

/// The value of an exact int, if it has at most 32 bits.
#[inline(always)]
fn small(object: &Py<PyAny>) -> Option<i32> {
    // SAFETY: a live object, looked at before anything else runs.
    unsafe { Obj::from_ptr(object.as_ptr()) }
        .as_exact_int()
        .and_then(Int::to_i32)
}

/// The value of an exact int, if it has at most 60 bits.
#[inline(always)]
fn medium(object: &Py<PyAny>) -> Option<i64> {
    // SAFETY: as in `small`.
    let int = unsafe { Obj::from_ptr(object.as_ptr()) }.as_exact_int()?;
    int.to_i32().map(i64::from).or_else(|| int.to_i60())
}

/// The bytes of an exact bytes object, if there are `N`.
#[inline(always)]
fn packed<const N: usize>(object: &Py<PyAny>) -> Option<[u8; N]> {
    // SAFETY: a live object, whose type is checked first; immutable bytes.
    unsafe {
        let object = object.as_ptr();
        if pyffi::PyBytes_CheckExact(object) == 0 || pyffi::Py_SIZE(object) != N as isize {
            return None;
        }
        Some(*pyffi::PyBytes_AS_STRING(object).cast::<[u8; N]>())
    }
}

/// Year, month and day, if there is such a day.
#[inline]
fn day(data: [u8; 4], fold: u8) -> Option<[c_int; 3]> {
    const DAYS: [u8; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let year = u16::from_be_bytes([data[0], data[1]]);
    let month = data[2] & !fold;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = *DAYS.get(usize::from(month))? + u8::from(leap && month == 2);
    let fits = (1..=9999).contains(&year) && (1..=days).contains(&data[3]);
    fits.then(|| [year.into(), month.into(), data[3].into()])
}

/// Hour, minute, second and microsecond, if there is such a moment in a day.
#[inline]
fn moment(data: [u8; 6], fold: u8) -> Option<[c_int; 4]> {
    let hour = data[0] & !fold;
    let micro = u32::from_be_bytes([0, data[3], data[4], data[5]]);
    let fits = hour < 24 && data[1] < 60 && data[2] < 60 && micro < 1_000_000;
    fits.then(|| [hour.into(), data[1].into(), data[2].into(), micro as c_int])
}

/// The bit of the month or hour that says that a moment is the second of its name.
const FOLD: u8 = 0x80;

/// The packed fields and the time zone; NULL if it is none that the API takes.
#[inline]
fn zoned<const N: usize>(args: Args<'_>) -> Option<([u8; N], *mut pyffi::PyObject)> {
    let (data, zone) = match args {
        // SAFETY: None is always there.
        [data] => (data, unsafe { pyffi::Py_None() }),
        [data, zone] => (data, zone.as_ptr()),
        _ => return None,
    };
    // SAFETY: a live object; the API has been imported.
    let fine = unsafe { pyffi::Py_IsNone(zone) != 0 || pyffi::PyTZInfo_Check(zone) != 0 };
    Some((packed(data)?, zone)).filter(|_| fine)
}

/// # Safety
/// `datetime.datetime`, whose API has been imported.
#[inline]
unsafe fn datetime<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
) -> R<Option<Bound<'py, PyAny>>> {
    let Some((data, zone)) = zoned::<10>(args) else {
        return Ok(None);
    };
    let [a, b, c, d, rest @ ..] = data;
    let (Some([year, month, day]), Some([hour, minute, second, micro])) =
        (day([a, b, c, d], FOLD), moment(rest, 0))
    else {
        return Ok(None);
    };
    let fold = (c & FOLD != 0).into();
    // SAFETY: promised by the caller; the fields are in range.
    unsafe {
        let make = (*pyffi::PyDateTimeAPI()).DateTime_FromDateAndTimeAndFold;
        let made = make(
            year, month, day, hour, minute, second, micro, zone, fold, class,
        );
        owned(py, made).map(Some)
    }
}

/// # Safety
/// `datetime.date`, whose API has been imported.
#[inline]
unsafe fn date<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
) -> R<Option<Bound<'py, PyAny>>> {
    let [data] = args else {
        return Ok(None);
    };
    let Some([year, month, day]) = packed(data).and_then(|data| day(data, 0)) else {
        return Ok(None);
    };
    // SAFETY: promised by the caller; the fields are in range.
    unsafe {
        let make = (*pyffi::PyDateTimeAPI()).Date_FromDate;
        owned(py, make(year, month, day, class)).map(Some)
    }
}

/// # Safety
/// `datetime.time`, whose API has been imported.
#[inline]
unsafe fn time<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
) -> R<Option<Bound<'py, PyAny>>> {
    let Some((data, zone)) = zoned::<6>(args) else {
        return Ok(None);
    };
    let Some([hour, minute, second, micro]) = moment(data, FOLD) else {
        return Ok(None);
    };
    let fold = (data[0] & FOLD != 0).into();
    // SAFETY: promised by the caller; the fields are in range.
    unsafe {
        let make = (*pyffi::PyDateTimeAPI()).Time_FromTimeAndFold;
        owned(py, make(hour, minute, second, micro, zone, fold, class)).map(Some)
    }
}

/// # Safety
/// `datetime.timedelta`, whose API has been imported.
#[inline]
unsafe fn timedelta<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
) -> R<Option<Bound<'py, PyAny>>> {
    let [days, seconds, micros] = args else {
        return Ok(None);
    };
    let (Some(days), Some(seconds), Some(micros)) = (small(days), small(seconds), small(micros))
    else {
        return Ok(None);
    };
    let fits = days.unsigned_abs() <= 999_999_999
        && (0..86_400).contains(&seconds)
        && (0..1_000_000).contains(&micros);
    if !fits {
        return Ok(None);
    }
    // SAFETY: promised by the caller; the fields are those of a timedelta, which need no normalisation.
    unsafe {
        let make = (*pyffi::PyDateTimeAPI()).Delta_FromDelta;
        owned(py, make(days, seconds, micros, 0, class)).map(Some)
    }
}

/// Only what is in lowest terms: then the arguments are the fields.
///
/// # Safety
/// `fractions.Fraction`, with its slots.
#[inline]
unsafe fn fraction<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
    slots: [usize; 2],
) -> R<Option<Bound<'py, PyAny>>> {
    let [numerator, denominator] = args else {
        return Ok(None);
    };
    match (medium(numerator), medium(denominator)) {
        (Some(n), Some(d)) if d > 0 && common_divisor(n.unsigned_abs(), d.unsigned_abs()) == 1 => {}
        _ => return Ok(None),
    }
    // SAFETY: promised by the caller.
    unsafe {
        let made = new_by(py, class, &raw mut pyffi::PyBaseObject_Type)?;
        set_slot(&made, slots[0], numerator.as_ptr());
        set_slot(&made, slots[1], denominator.as_ptr());
        Ok(Some(made))
    }
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A list of the arguments, if each is exactly a str.
#[cfg(Py_3_12)]
#[inline]
fn texts<'py>(py: Python<'py>, args: Args<'_>) -> R<Option<Bound<'py, PyAny>>> {
    // SAFETY: live objects.
    let is_text = |arg: &Py<PyAny>| unsafe { pyffi::PyUnicode_CheckExact(arg.as_ptr()) } != 0;
    if !args.iter().all(is_text) {
        return Ok(None);
    }
    // SAFETY: a new list of that size, whose items are all set at once.
    unsafe {
        let list = owned(py, pyffi::PyList_New(args.len() as isize))?;
        for (i, arg) in args.iter().enumerate() {
            pyffi::Py_INCREF(arg.as_ptr());
            pyffi::PyList_SET_ITEM(list.as_ptr(), i as isize, arg.as_ptr());
        }
        Ok(Some(list))
    }
}

/// # Safety
/// A class of paths of 3.12 or later, with its slot.
#[cfg(Py_3_12)]
#[inline]
unsafe fn path<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
    slot: usize,
) -> R<Option<Bound<'py, PyAny>>> {
    let Some(list) = texts(py, args)? else {
        return Ok(None);
    };
    // SAFETY: promised by the caller.
    unsafe {
        let made = new_by(py, class, &raw mut pyffi::PyBaseObject_Type)?;
        set_slot(&made, slot, list.as_ptr());
        Ok(Some(made))
    }
}

/// Only parts as a path has them: nothing to split, to join or to leave out.
///
/// # Safety
/// A class of POSIX paths before 3.12, with its slots.
#[cfg(not(Py_3_12))]
#[inline]
unsafe fn parts<'py>(
    py: Python<'py>,
    class: *mut pyffi::PyTypeObject,
    args: Args<'_>,
    slots: [usize; 3],
) -> R<Option<Bound<'py, PyAny>>> {
    const SLASH: u32 = b'/' as u32;
    let mut rooted = false;
    for (i, arg) in args.iter().enumerate() {
        // SAFETY: live objects; characters are looked for in an exact str, in its range. -2, an error,
        // does not come for a str that is ready.
        let (one, slash) = unsafe {
            let raw = arg.as_ptr();
            if pyffi::PyUnicode_CheckExact(raw) == 0 {
                return Ok(None);
            }
            let len = pyffi::PyUnicode_GET_LENGTH(raw);
            if len == 0 {
                return Ok(None);
            }
            let one = (len == 1).then(|| pyffi::PyUnicode_ReadChar(raw, 0));
            (one, pyffi::PyUnicode_FindChar(raw, SLASH, 0, len, 1))
        };
        match (one, slash) {
            (Some(SLASH), _) if i == 0 => rooted = true,
            (Some(0x2e), _) | (_, 0..) => return Ok(None),
            _ => {}
        }
    }
    // SAFETY: promised by the caller. The list's items are exact str; each is replaced by an equal one.
    unsafe {
        let list = owned(py, pyffi::PyList_New(args.len() as isize))?;
        for (i, arg) in args.iter().enumerate() {
            let part = make::interned(arg.bind(py).clone());
            pyffi::PyList_SET_ITEM(list.as_ptr(), i as isize, part.into_ptr());
        }
        let nothing = crate::state::State::get(py).names.empty.bind(py);
        let made = new_by(py, class, &raw mut pyffi::PyBaseObject_Type)?;
        let root = if rooted {
            pyffi::PyList_GET_ITEM(list.as_ptr(), 0)
        } else {
            nothing.as_ptr()
        };
        set_slot(&made, slots[0], nothing.as_ptr());
        set_slot(&made, slots[1], root);
        set_slot(&made, slots[2], list.as_ptr());
        Ok(Some(made))
    }
}

/// The slot `tp_new` of a type, to compare.
pub(super) fn new_of(ty: *mut pyffi::PyTypeObject) -> usize {
    // SAFETY: a type object, alive; a field is read.
    unsafe { (*ty).tp_new.map_or(0, |f| f as usize) }
}

/// Whether calling the class is making an instance and initialising it: no metaclass has a `__call__`.
#[inline(always)]
pub(super) fn is_called_plainly(class: *mut pyffi::PyTypeObject) -> bool {
    // SAFETY: type objects, alive; fields are read.
    unsafe {
        let own = (*pyffi::Py_TYPE(class.cast())).tp_call.map(|f| f as usize);
        own == pyffi::PyType_Type.tp_call.map(|f| f as usize)
    }
}

/// Whether the object is a type.
#[inline(always)]
pub(super) fn is_type(object: *mut pyffi::PyObject) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::type_flags(pyffi::Py_TYPE(object)) & pyffi::Py_TPFLAGS_TYPE_SUBCLASS != 0 }
}

//! Reading objects in a frozen window: text, bytes, numbers, items.
//!
//! Nothing here allocates an object, runs Python or counts a reference. The layouts read are those of
//! CPython's public headers (`cpython/*.h`), which do not change within a minor version.

use pyo3::ffi as pyffi;
use smallvec::SmallVec;

use super::Obj;
use super::kind::{ByteArray, Bytes, Dict, Float, Int, List, Set, Str, Tuple};
use crate::format::buf::NoMemory;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("oxipickle reads the object layouts of 64-bit CPython");

/// The characters of a str.
#[derive(Clone, Copy)]
pub enum Text<'w> {
    /// UTF-8 as it is: ASCII, or a cached encoding.
    Utf8(&'w [u8]),
    /// Characters below 256.
    Latin1(&'w [u8]),
    /// Characters below 65,536.
    Ucs2(&'w [u16]),
    /// Any characters.
    Ucs4(&'w [u32]),
    /// A str of a deprecated form that 3.11 still knows, not read here.
    Legacy,
}

// The bit field of PyASCIIObject: `interned` (two bits, or a byte in a free-threaded build), `kind` (3),
// `compact`, `ascii`, and before 3.12 `ready`.
#[cfg(not(Py_GIL_DISABLED))]
const KIND_SHIFT: u32 = 2;
#[cfg(Py_GIL_DISABLED)]
const KIND_SHIFT: u32 = 8;
const COMPACT: u32 = 1 << (KIND_SHIFT + 3);
const ASCII: u32 = 1 << (KIND_SHIFT + 4);

#[repr(C)]
struct CompactUnicode {
    ascii: pyffi::PyASCIIObject,
    utf8_length: isize,
    utf8: *const u8,
    #[cfg(not(Py_3_12))]
    wstr_length: isize,
}

impl<'w> Str<'w> {
    /// Its characters.
    #[inline(always)]
    pub fn text(self) -> Text<'w> {
        let object = self.0.as_ptr().cast::<pyffi::PyASCIIObject>();
        // SAFETY: an exact str, alive and unchanging for 'w. Strings of an exact type are
        // compact: characters follow the struct that `ascii` names.
        unsafe {
            let state = (*object).state;
            let length = (*object).length as usize;
            if state & (COMPACT | ASCII) == COMPACT | ASCII {
                return Text::Utf8(std::slice::from_raw_parts(object.add(1).cast(), length));
            }
            text_rare(object, state, length)
        }
    }
}

impl<'w> Str<'w> {
    /// Whether all its characters are below 128.
    pub fn is_ascii(self) -> bool {
        // SAFETY: as in `text`.
        let state = unsafe { (*self.0.as_ptr().cast::<pyffi::PyASCIIObject>()).state };
        state & (COMPACT | ASCII) == COMPACT | ASCII
    }

    /// Its characters as they are stored, also if a UTF-8 form is cached.
    pub fn storage(self) -> Text<'w> {
        let object = self.0.as_ptr().cast::<pyffi::PyASCIIObject>();
        // SAFETY: as in `text`.
        unsafe {
            let (state, length) = ((*object).state, (*object).length as usize);
            if state & COMPACT == 0 {
                return Text::Legacy;
            }
            if state & ASCII != 0 {
                return Text::Latin1(std::slice::from_raw_parts(object.add(1).cast(), length));
            }
            stored(object.cast(), state, length)
        }
    }
}

/// # Safety
/// `object` is an exact str, alive and unchanging for `'w`; `state` and `length` are its own.
#[inline]
unsafe fn text_rare<'w>(object: *mut pyffi::PyASCIIObject, state: u32, length: usize) -> Text<'w> {
    if state & COMPACT == 0 {
        return Text::Legacy;
    }
    // SAFETY: compact and not ASCII: the characters follow PyCompactUnicodeObject.
    unsafe {
        let object = object.cast::<CompactUnicode>();
        let utf8 = (*object).utf8;
        if !utf8.is_null() {
            return Text::Utf8(std::slice::from_raw_parts(
                utf8,
                (*object).utf8_length as usize,
            ));
        }
        stored(object, state, length)
    }
}

/// # Safety
/// As [`text_rare`], for a compact str that is not ASCII.
unsafe fn stored<'w>(object: *mut CompactUnicode, state: u32, length: usize) -> Text<'w> {
    // SAFETY: the characters follow the struct.
    unsafe {
        let data = object.add(1);
        match (state >> KIND_SHIFT) & 7 {
            1 => Text::Latin1(std::slice::from_raw_parts(data.cast(), length)),
            2 => Text::Ucs2(std::slice::from_raw_parts(data.cast(), length)),
            4 => Text::Ucs4(std::slice::from_raw_parts(data.cast(), length)),
            _ => Text::Legacy,
        }
    }
}

/// The bytes of an int: most have fewer than a hash's 256 bits and a sign, and allocate nothing.
pub type LittleEndian = SmallVec<[u8; 40]>;

/// The fields of an int.
#[repr(C)]
struct LongObject {
    base: pyffi::PyObject,
    /// Since 3.12: `ndigits << 3 | flags << 2 | sign`, sign 0 for positive, 1 for zero, 2 for negative.
    /// Before: the number of digits, negative for a negative int.
    tag: isize,
    digits: [u32; 1],
}

/// Bits in a digit.
const SHIFT: u32 = 30;

impl<'w> Int<'w> {
    /// The number of digits, and whether the int is negative.
    #[inline(always)]
    fn size(self) -> (usize, bool) {
        // SAFETY: an exact int, alive for 'w.
        let tag = unsafe { (*self.0.as_ptr().cast::<LongObject>()).tag };
        #[cfg(Py_3_12)]
        {
            (tag as usize >> 3, tag & 3 == 2)
        }
        #[cfg(not(Py_3_12))]
        {
            (tag.unsigned_abs(), tag < 0)
        }
    }

    /// The digits, least significant first.
    #[inline(always)]
    fn digits(self) -> (&'w [u32], bool) {
        let (count, negative) = self.size();
        // SAFETY: an exact int, alive and unchanging for 'w, has `count` digits.
        let digits = unsafe {
            let object = self.0.as_ptr().cast::<LongObject>();
            std::slice::from_raw_parts((&raw const (*object).digits).cast::<u32>(), count)
        };
        (digits, negative)
    }

    /// The value, if it fits.
    #[inline(always)]
    pub fn to_i32(self) -> Option<i32> {
        // At most one digit: its sign times 30 bits.
        // SAFETY: an exact int, alive for 'w; since 3.12 each has room for a digit, and before each but
        // zero.
        unsafe {
            let object = self.0.as_ptr().cast::<LongObject>();
            let tag = (*object).tag;
            #[cfg(Py_3_12)]
            if (tag as usize) < 2 << 3 {
                return Some((*object).digits[0] as i32 * (1 - (tag & 3)) as i32);
            }
            #[cfg(not(Py_3_12))]
            match tag {
                0 => return Some(0),
                1 => return Some((*object).digits[0] as i32),
                -1 => return Some(-((*object).digits[0] as i32)),
                _ => {}
            }
        }
        self.to_i32_rare()
    }

    /// The value, if it has one or two digits of 30 bits.
    #[inline]
    pub fn to_i60(self) -> Option<i64> {
        let (digits, negative) = self.digits();
        let magnitude = match *digits {
            [low, high] => i64::from(low) | i64::from(high) << SHIFT,
            [low] => i64::from(low),
            _ => return None,
        };
        Some(if negative { -magnitude } else { magnitude })
    }

    #[cold]
    fn to_i32_rare(self) -> Option<i32> {
        let (digits, negative) = self.digits();
        let magnitude = match *digits {
            [low, high] => i64::from(low) | i64::from(high) << SHIFT,
            _ => return None,
        };
        i32::try_from(if negative { -magnitude } else { magnitude }).ok()
    }

    /// Appends the shortest two's-complement form, little endian.
    ///
    /// At least one byte; the top bit of the last byte is the sign.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then appended.
    pub fn write_le(self, out: &mut LittleEndian) -> Result<(), NoMemory> {
        let (digits, negative) = self.digits();
        // The last bits and the room for the sign are a byte each.
        let size = (digits.len() * SHIFT as usize).div_ceil(8) + 2;
        out.try_reserve(size).map_err(|_| NoMemory)?;
        let start = out.len();
        let (mut bits, mut n) = (0_u64, 0);
        for &digit in digits {
            bits |= u64::from(digit) << n;
            n += SHIFT;
            while n >= 8 {
                out.push(bits as u8);
                bits >>= 8;
                n -= 8;
            }
        }
        out.push(bits as u8);
        // Room for the sign.
        out.push(0);
        let bytes = &mut out[start..];
        if negative {
            let mut carry = true;
            for byte in bytes.iter_mut() {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        let sign = if negative { 0xff } else { 0 };
        while let [.., before, last] = out[start..]
            && last == sign
            && (before ^ sign) & 0x80 == 0
        {
            out.pop();
        }
        Ok(())
    }
}

impl Float<'_> {
    /// Its value.
    #[inline(always)]
    pub fn value(self) -> f64 {
        // SAFETY: an exact float, alive.
        unsafe { pyffi::PyFloat_AS_DOUBLE(self.0.as_ptr()) }
    }

    /// Its shortest text, as `repr` gives it; None if memory ran out.
    pub fn repr(self) -> Option<LittleEndian> {
        // SAFETY: format code 'r' with its flag; the result is a C string that we free.
        unsafe {
            let text = pyffi::PyOS_double_to_string(
                self.value(),
                b'r' as std::ffi::c_char,
                0,
                pyffi::Py_DTSF_ADD_DOT_0,
                std::ptr::null_mut(),
            );
            if text.is_null() {
                // The exception is made again where one may be made.
                pyffi::PyErr_Clear();
                return None;
            }
            // Never longer than what needs no memory.
            let copy = SmallVec::from_slice(std::ffi::CStr::from_ptr(text).to_bytes());
            pyffi::PyMem_Free(text.cast());
            Some(copy)
        }
    }
}

impl<'w> Bytes<'w> {
    /// Its bytes.
    #[inline(always)]
    pub fn data(self) -> &'w [u8] {
        // SAFETY: an exact bytes, alive and immutable.
        unsafe {
            let object = self.0.as_ptr();
            std::slice::from_raw_parts(
                pyffi::PyBytes_AS_STRING(object).cast(),
                pyffi::Py_SIZE(object) as usize,
            )
        }
    }
}

impl<'w> ByteArray<'w> {
    /// Its bytes, which do not change in the window.
    #[inline]
    pub fn data(self) -> &'w [u8] {
        // SAFETY: an exact bytearray; nothing changes it while the window is open.
        unsafe {
            let object = self.0.as_ptr();
            std::slice::from_raw_parts(
                pyffi::PyByteArray_AsString(object).cast(),
                pyffi::PyByteArray_Size(object) as usize,
            )
        }
    }
}

impl<'w> List<'w> {
    /// Number of items.
    #[inline(always)]
    pub fn len(self) -> usize {
        // SAFETY: a list, alive.
        unsafe { pyffi::PyList_GET_SIZE(self.0.as_ptr()) as usize }
    }

    /// Whether there are no items.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The item at `index`, if there is one.
    #[inline(always)]
    pub fn get(self, index: usize) -> Option<Obj<'w>> {
        if index >= self.len() {
            return None;
        }
        // SAFETY: within bounds; items of a list are never NULL once it is visible, and the list
        // holds them while the window is open.
        unsafe {
            Some(Obj::from_ptr(pyffi::PyList_GET_ITEM(
                self.0.as_ptr(),
                index as isize,
            )))
        }
    }
}

impl<'w> Tuple<'w> {
    /// Number of items.
    #[inline(always)]
    pub fn len(self) -> usize {
        // SAFETY: a tuple, alive.
        unsafe { pyffi::PyTuple_GET_SIZE(self.0.as_ptr()) as usize }
    }

    /// Whether there are no items.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The item at `index`, if there is one.
    #[inline(always)]
    pub fn get(self, index: usize) -> Option<Obj<'w>> {
        if index >= self.len() {
            return None;
        }
        // SAFETY: within bounds. A tuple that is still being filled (a C-API abuse) may hold NULL.
        unsafe {
            let item = pyffi::PyTuple_GET_ITEM(self.0.as_ptr(), index as isize);
            if item.is_null() {
                return None;
            }
            Some(Obj::from_ptr(item))
        }
    }
}

impl<'w> Dict<'w> {
    /// Number of items.
    #[inline(always)]
    pub fn len(self) -> usize {
        // SAFETY: a dict, alive; ma_used is a field of the public struct.
        unsafe { (*self.0.as_ptr().cast::<pyffi::PyDictObject>()).ma_used as usize }
    }

    /// Whether there are no items.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether its keys are those of a class, which other instances may own as well: then a key with one
    /// reference can be met again.
    #[inline(always)]
    pub fn shares_keys(self) -> bool {
        // SAFETY: a dict, alive; ma_values is a field of the public struct.
        unsafe {
            !(*self.0.as_ptr().cast::<pyffi::PyDictObject>())
                .ma_values
                .is_null()
        }
    }

    /// The next item from `position` on, which moves behind it. Start at 0.
    #[inline(always)]
    pub fn next(self, position: &mut isize) -> Option<(Obj<'w>, Obj<'w>)> {
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: a dict; PyDict_Next runs no Python and accepts any position that it returned, also if
        // the dict has changed since.
        unsafe {
            if pyffi::PyDict_Next(self.0.as_ptr(), position, &mut key, &mut value) == 0 {
                return None;
            }
            Some((Obj::from_ptr(key), Obj::from_ptr(value)))
        }
    }
}

#[repr(C)]
struct SetEntry {
    key: *mut pyffi::PyObject,
    /// -1 for an entry that was removed.
    hash: pyffi::Py_hash_t,
}

#[repr(C)]
struct SetObject {
    base: pyffi::PyObject,
    fill: isize,
    used: isize,
    mask: isize,
    table: *const SetEntry,
}

impl<'w> Set<'w> {
    /// Number of elements.
    #[inline(always)]
    pub fn len(self) -> usize {
        // SAFETY: a set, alive.
        unsafe { (*self.0.as_ptr().cast::<SetObject>()).used as usize }
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The next element from slot `position` on, which moves behind it. Start at 0.
    #[inline(always)]
    pub fn next(self, position: &mut usize) -> Option<Obj<'w>> {
        // SAFETY: a set, alive and unchanging; the table has mask + 1 entries.
        unsafe {
            let set = self.0.as_ptr().cast::<SetObject>();
            let size = (*set).mask as usize + 1;
            while *position < size {
                let entry = (*set).table.add(*position);
                *position += 1;
                if !(*entry).key.is_null() && (*entry).hash != -1 {
                    return Some(Obj::from_ptr((*entry).key));
                }
            }
        }
        None
    }
}

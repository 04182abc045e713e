//! Making str from the UTF-8 of a stream.
//!
//! Most strings are short and ASCII: they are looked at and copied by words, without a call of `memcpy`. What is not ASCII and
//! short is decoded here, into a str that is made at its size, since CPython's decoder grows one as it goes.
//! Lone surrogates and malformed bytes are left to CPython.
//!
//! Gain measured: see `benches/` (strings).

#[cfg(not(Py_3_13))]
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

#[cfg(not(Py_3_13))]
use super::Raised;
use super::cursor::Cursor;
use super::{R, owned};

/// Bytes of text that is decoded here if it is not ASCII.
const SHORT: usize = 128;

/// Bytes with a bit that ASCII does not have.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// A str from UTF-8 in which lone surrogates are allowed.
///
/// # Errors
/// UnicodeDecodeError, MemoryError.
#[inline]
pub fn text<'py>(py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let bytes = data.bytes();
    match bytes.len() {
        0 | 1 => single(py, bytes),
        2..8 => short(py, bytes),
        8..=16 => medium(py, bytes),
        17..=32 => long(py, bytes),
        _ if bytes.is_ascii() => ascii(py, bytes),
        _ => other(py, bytes),
    }
}

/// No character or one: the interpreter's shared str.
#[inline]
fn single<'py>(py: Python<'py>, bytes: &[u8]) -> R<Bound<'py, PyAny>> {
    match *bytes {
        // SAFETY: no arguments that could be wrong.
        [byte @ ..0x80] => unsafe { owned(py, pyffi::PyUnicode_FromOrdinal(byte.into())) },
        [] => new_ascii(py, 0).map(|(made, _)| made),
        _ => general(py, bytes),
    }
}

/// 2 to 7 bytes.
#[inline(always)]
fn short<'py>(py: Python<'py>, bytes: &[u8]) -> R<Bound<'py, PyAny>> {
    let len = bytes.len();
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(&low), Some(&high)) => {
            let all = u32::from_ne_bytes(low) | u32::from_ne_bytes(high);
            if u64::from(all) & HIGH != 0 {
                return other(py, bytes);
            }
            let (made, start) = new_ascii(py, len)?;
            // SAFETY: room for `len` bytes, 4 at least.
            unsafe {
                start.cast::<[u8; 4]>().write_unaligned(low);
                start.add(len - 4).cast::<[u8; 4]>().write_unaligned(high);
            }
            Ok(made)
        }
        _ => {
            // Two or three.
            let (low, high) = ([bytes[0], bytes[1]], bytes[len - 1]);
            if (low[0] | low[1] | high) >= 0x80 {
                return other(py, bytes);
            }
            let (made, start) = new_ascii(py, len)?;
            // SAFETY: room for `len` bytes, 2 at least.
            unsafe {
                start.cast::<[u8; 2]>().write_unaligned(low);
                start.add(len - 1).write(high);
            }
            Ok(made)
        }
    }
}

/// 8 to 16 bytes.
#[inline(always)]
fn medium<'py>(py: Python<'py>, bytes: &[u8]) -> R<Bound<'py, PyAny>> {
    let (Some(&low), Some(&high)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) else {
        return ascii(py, bytes);
    };
    if (u64::from_ne_bytes(low) | u64::from_ne_bytes(high)) & HIGH != 0 {
        return other(py, bytes);
    }
    let len = bytes.len();
    let (made, start) = new_ascii(py, len)?;
    // SAFETY: room for `len` bytes, 8 at least.
    unsafe {
        start.cast::<[u8; 8]>().write_unaligned(low);
        start.add(len - 8).cast::<[u8; 8]>().write_unaligned(high);
    }
    Ok(made)
}

/// 17 to 32 bytes.
#[inline(always)]
fn long<'py>(py: Python<'py>, bytes: &[u8]) -> R<Bound<'py, PyAny>> {
    let (Some(&low), Some(&high)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) else {
        return ascii(py, bytes);
    };
    let wide = u128::from(HIGH) << 64 | u128::from(HIGH);
    if (u128::from_ne_bytes(low) | u128::from_ne_bytes(high)) & wide != 0 {
        return other(py, bytes);
    }
    let len = bytes.len();
    let (made, start) = new_ascii(py, len)?;
    // SAFETY: room for `len` bytes, 16 at least.
    unsafe {
        start.cast::<[u8; 16]>().write_unaligned(low);
        start.add(len - 16).cast::<[u8; 16]>().write_unaligned(high);
    }
    Ok(made)
}

/// Bytes that are all ASCII.
#[inline]
fn ascii<'py>(py: Python<'py>, bytes: &[u8]) -> R<Bound<'py, PyAny>> {
    let (made, start) = new_ascii(py, bytes.len())?;
    // SAFETY: room for so many bytes, in an object that nobody else has seen.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
    Ok(made)
}

/// A new ASCII str, and where its `len` characters are to be written. The empty str is shared.
#[inline(always)]
fn new_ascii(py: Python<'_>, len: usize) -> R<(Bound<'_, PyAny>, *mut u8)> {
    #[cfg(not(Py_3_13))]
    if len <= SHORT && len > 1 && USABLE.load(Ordering::Relaxed) {
        // SAFETY: the self-test has seen that this is a str.
        return unsafe { header(py, len) };
    }
    // SAFETY: the characters of an ASCII str are right behind its header.
    unsafe {
        let made = owned(py, pyffi::PyUnicode_New(len as isize, 127))?;
        let start = made.as_ptr().cast::<pyffi::PyASCIIObject>().add(1);
        Ok((made, start.cast()))
    }
}

/// Whether the self-test has passed.
#[cfg(not(Py_3_13))]
static USABLE: AtomicBool = AtomicBool::new(false);

/// What `PyUnicode_New` does for a short ASCII str, in a third of its instructions: a tenth of all that a load of short
/// strings takes (3.11.2). From 3.13 on a new object is also
/// told to whoever traces references, which only the interpreter can do.
///
/// # Safety
/// The layout is the one that is written here.
#[cfg(not(Py_3_13))]
#[inline(always)]
unsafe fn header(py: Python<'_>, len: usize) -> R<(Bound<'_, PyAny>, *mut u8)> {
    /// Compact, ASCII, of bytes; before 3.12 also ready.
    const STATE: u32 = if cfg!(Py_3_12) { 0x64 } else { 0xe4 };
    // SAFETY: memory for the header, the characters and a NUL, all written but for the characters.
    unsafe {
        let size = size_of::<pyffi::PyASCIIObject>() + len + 1;
        let raw = pyffi::PyObject_Malloc(size).cast::<pyffi::PyASCIIObject>();
        if raw.is_null() {
            return Err(Raised::no_memory(py));
        }
        (&raw mut (*raw).ob_base).write(pyffi::PyObject_HEAD_INIT);
        (*raw).ob_base.ob_type = &raw mut pyffi::PyUnicode_Type;
        (*raw).length = len as isize;
        (*raw).hash = -1;
        (*raw).state = STATE;
        #[cfg(not(Py_3_12))]
        {
            (*raw).wstr = std::ptr::null_mut();
        }
        let start = raw.add(1).cast::<u8>();
        start.add(len).write(0);
        Ok((Bound::from_owned_ptr(py, raw.cast()), start))
    }
}

/// Compares the header of a str that is made here with one of the interpreter's, and from then on makes them here if
/// they are the same.
///
/// # Errors
/// MemoryError.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    #[cfg(not(any(Py_3_13, Py_DEBUG, Py_GIL_DISABLED, py_sys_config = "Py_TRACE_REFS")))]
    {
        let (theirs, start) = new_ascii(py, 4).map_err(|raised: Raised| raised.take(py))?;
        // SAFETY: two headers; a str made here is not used as one, and is freed as it was made. Of the state, the first byte
        // is initialised in both.
        unsafe {
            start.cast::<[u8; 4]>().write(*b"text");
            let (ours, _) = header(py, 4).map_err(|raised| raised.take(py))?;
            let ours = ours.into_ptr().cast::<pyffi::PyASCIIObject>();
            let raw = theirs.as_ptr().cast::<pyffi::PyASCIIObject>();
            let byte = |of: *mut pyffi::PyASCIIObject| (&raw const (*of).state).cast::<u8>().read();
            let same = pyffi::Py_REFCNT(ours.cast()) == pyffi::Py_REFCNT(raw.cast())
                && std::ptr::eq((*ours).ob_base.ob_type, (*raw).ob_base.ob_type)
                && (*ours).length == (*raw).length
                && (*ours).hash == (*raw).hash
                && byte(ours) == byte(raw)
                && raw.add(1).cast::<u8>() == start
                && start.add(4).read() == 0;
            #[cfg(not(Py_3_12))]
            let same = same && (*raw).wstr.is_null();
            pyffi::PyObject_Free(ours.cast());
            USABLE.store(same, Ordering::Relaxed);
        }
    }
    #[cfg(any(Py_3_13, Py_DEBUG, Py_GIL_DISABLED, py_sys_config = "Py_TRACE_REFS"))]
    let _ = py;
    Ok(())
}

/// Bytes that are not all ASCII.
#[inline(never)]
fn other<'py>(py: Python<'py>, bytes: &[u8]) -> R<Bound<'py, PyAny>> {
    // CPython is good at long text that is mostly ASCII.
    if bytes.len() > SHORT {
        return general(py, bytes);
    }
    let Ok(text) = str::from_utf8(bytes) else {
        return general(py, bytes);
    };
    // The largest lead byte says what room a character needs.
    let largest = bytes.iter().fold(0, |largest, &byte| byte.max(largest));
    let count = text.chars().count();
    if count == 1 && largest < 0xc4 {
        // A shared one again.
        return general(py, bytes);
    }
    let limit = match largest {
        ..0xc4 => 0xff,
        0xc4..0xf0 => 0xffff,
        0xf0.. => 0x0010_ffff,
    };
    // SAFETY: a new str of `count` characters of one, two or four bytes, right behind its header, which nobody else
    // has seen and which has a character beyond the next smaller limit.
    unsafe {
        let made = owned(py, pyffi::PyUnicode_New(count as isize, limit))?;
        let start = made.as_ptr().cast::<pyffi::PyCompactUnicodeObject>().add(1);
        let characters = text.chars().enumerate();
        match limit {
            0xff => characters.for_each(|(i, c)| start.cast::<u8>().add(i).write(c as u8)),
            0xffff => characters.for_each(|(i, c)| start.cast::<u16>().add(i).write(c as u16)),
            _ => characters.for_each(|(i, c)| start.cast::<u32>().add(i).write(c.into())),
        }
        Ok(made)
    }
}

#[inline(never)]
fn general<'py>(py: Python<'py>, bytes: &[u8]) -> R<Bound<'py, PyAny>> {
    // SAFETY: reads `len` bytes from the start of the slice.
    unsafe {
        owned(
            py,
            pyffi::PyUnicode_DecodeUTF8(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
                c"surrogatepass".as_ptr(),
            ),
        )
    }
}

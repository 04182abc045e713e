//! Making objects: numbers, text, bytes, and containers that take references over from a stack.
//!
//! A container built here gets the references themselves; they are moved, not counted. Nothing
//! here may decide which object an opcode makes.

use std::ffi::CStr;

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::cursor::Cursor;
use super::{R, ffi, owned, status};

/// References on the value stack.
pub type Items = Vec<Py<PyAny>>;

/// `Vec::push` where there is room as a rule: what is done then is never a call.
#[inline(always)]
pub fn push<T>(vec: &mut Vec<T>, value: T) {
    #[cold]
    #[inline(never)]
    fn push_and_grow<T>(vec: &mut Vec<T>, value: T) {
        vec.push(value);
    }
    let len = vec.len();
    if len == vec.capacity() {
        return push_and_grow(vec, value);
    }
    // SAFETY: there is room for one more.
    unsafe {
        vec.as_mut_ptr().add(len).write(value);
        vec.set_len(len + 1);
    }
}

/// An int.
///
/// # Errors
/// MemoryError.
#[inline(always)]
pub fn int(py: Python<'_>, value: i32) -> R<Bound<'_, PyAny>> {
    // SAFETY: no arguments that could be wrong.
    unsafe { owned(py, pyffi::PyLong_FromLong(value.into())) }
}

/// A number of bytes as an int.
///
/// # Errors
/// MemoryError.
pub fn size(py: Python<'_>, value: usize) -> R<Bound<'_, PyAny>> {
    // SAFETY: no arguments that could be wrong.
    unsafe { owned(py, pyffi::PyLong_FromSize_t(value)) }
}

/// An int from two's complement, little endian; no bytes are 0.
///
/// # Errors
/// MemoryError.
#[inline]
pub fn int_from_le<'py>(py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let bytes = data.bytes();
    if bytes.len() <= 8 {
        // SAFETY: no arguments that could be wrong.
        return unsafe { owned(py, pyffi::PyLong_FromLongLong(small_from_le(bytes))) };
    }
    // SAFETY: reads `len` bytes from the start of the slice.
    unsafe {
        owned(
            py,
            ffi::_PyLong_FromByteArray(bytes.as_ptr(), bytes.len(), 1, 1),
        )
    }
}

/// The value of at most eight bytes: by words that overlap, which is less than a call of `memcpy`.
#[inline(always)]
fn small_from_le(bytes: &[u8]) -> i64 {
    let unsigned = match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(&low), Some(&high)) => {
            let high = u64::from(u32::from_le_bytes(high));
            u64::from(u32::from_le_bytes(low)) | high << (8 * (bytes.len() - 4))
        }
        _ => {
            let bytes = bytes.iter().rev();
            bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))
        }
    };
    match 64 - 8 * bytes.len() {
        64 => 0,
        unused => (unsigned << unused) as i64 >> unused,
    }
}

/// An int from text as `int(text, base)` reads it.
///
/// # Errors
/// ValueError with the text of `int`.
#[cold]
pub fn int_from_text<'py>(py: Python<'py>, text: &CStr, base: i32) -> R<Bound<'py, PyAny>> {
    // SAFETY: a NUL-terminated string; without an end pointer all of it is read.
    unsafe {
        owned(
            py,
            pyffi::PyLong_FromString(text.as_ptr(), std::ptr::null_mut(), base),
        )
    }
}

/// A float.
///
/// # Errors
/// MemoryError.
#[inline(always)]
pub fn float(py: Python<'_>, value: f64) -> R<Bound<'_, PyAny>> {
    // SAFETY: no arguments that could be wrong.
    unsafe { owned(py, pyffi::PyFloat_FromDouble(value)) }
}

/// The number at the front of `text`, and how many bytes it takes.
///
/// # Errors
/// ValueError if there is no number at the front, OverflowError if it is too large.
#[cold]
pub fn double_from_text(py: Python<'_>, text: &CStr) -> R<(f64, usize)> {
    let mut end = std::ptr::null_mut();
    // SAFETY: a NUL-terminated string; `end` is set to a place in it.
    let value = unsafe {
        pyffi::PyOS_string_to_double(text.as_ptr(), &mut end, pyffi::PyExc_OverflowError)
    };
    if value == -1.0 && PyErr::occurred(py) {
        return Err(super::Raised::seen(py));
    }
    Ok((value, end.addr() - text.as_ptr().addr()))
}

/// A str from raw-unicode-escape, as UNICODE has it.
///
/// # Errors
/// UnicodeDecodeError.
#[cold]
pub fn text_from_raw_escape<'py>(py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let bytes = data.bytes();
    // SAFETY: reads `len` bytes from the start of the slice; NULL errors mean "strict".
    unsafe {
        owned(
            py,
            pyffi::PyUnicode_DecodeRawUnicodeEscape(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
                std::ptr::null(),
            ),
        )
    }
}

/// A str from strict UTF-8.
///
/// # Errors
/// UnicodeDecodeError.
#[cold]
pub fn text_strict<'py>(py: Python<'py>, data: &[u8]) -> R<Bound<'py, PyString>> {
    // SAFETY: reads `len` bytes from the start of the slice; NULL errors mean "strict".
    let made = unsafe {
        owned(
            py,
            pyffi::PyUnicode_DecodeUTF8(
                data.as_ptr().cast(),
                data.len() as isize,
                std::ptr::null(),
            ),
        )
    }?;
    Ok(made.cast_into::<PyString>().map_err(PyErr::from)?)
}

/// A str from ASCII.
///
/// # Errors
/// UnicodeDecodeError.
#[cold]
pub fn text_ascii<'py>(py: Python<'py>, data: &[u8]) -> R<Bound<'py, PyString>> {
    // SAFETY: reads `len` bytes from the start of the slice; NULL errors mean "strict".
    let made = unsafe {
        owned(
            py,
            pyffi::PyUnicode_DecodeASCII(
                data.as_ptr().cast(),
                data.len() as isize,
                std::ptr::null(),
            ),
        )
    }?;
    Ok(made.cast_into::<PyString>().map_err(PyErr::from)?)
}

/// The bytes that the inside of a bytes literal stands for.
///
/// # Errors
/// ValueError for a bad escape.
#[cold]
pub fn bytes_from_escape<'py>(py: Python<'py>, data: &[u8]) -> R<Bound<'py, PyAny>> {
    // SAFETY: reads `len` bytes from the start of the slice; NULL errors mean "strict".
    unsafe {
        owned(
            py,
            pyffi::PyBytes_DecodeEscape(
                data.as_ptr().cast(),
                data.len() as isize,
                std::ptr::null(),
                0,
                std::ptr::null(),
            ),
        )
    }
}

/// `bytes.decode(encoding, errors)`.
///
/// # Errors
/// What the codec raises; LookupError for an unknown codec or error handler.
#[cold]
pub fn decode<'py>(
    py: Python<'py>,
    data: Cursor<'_>,
    encoding: &CStr,
    errors: &CStr,
) -> R<Bound<'py, PyAny>> {
    // A codec may be written in Python and run anything: it gets a copy.
    let bytes = data.to_vec().map_err(|_| crate::errors::no_memory(py))?;
    // SAFETY: reads `len` bytes from the start of the vector; NUL-terminated strings.
    unsafe {
        owned(
            py,
            pyffi::PyUnicode_Decode(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
                encoding.as_ptr(),
                errors.as_ptr(),
            ),
        )
    }
}

/// `str(bytes, encoding, errors)`.
///
/// # Errors
/// What the codec raises; LookupError for an unknown codec or error handler.
#[cold]
pub fn decode_object<'py>(
    bytes: &Bound<'py, PyAny>,
    encoding: &CStr,
    errors: &CStr,
) -> R<Bound<'py, PyAny>> {
    // SAFETY: a live object and NUL-terminated strings.
    unsafe {
        owned(
            bytes.py(),
            pyffi::PyUnicode_FromEncodedObject(bytes.as_ptr(), encoding.as_ptr(), errors.as_ptr()),
        )
    }
}

/// Interns an exact str as the key of an instance's attribute; other objects stay as they are.
#[inline]
pub fn interned<'py>(name: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    if !name.is_exact_instance_of::<PyString>() {
        return name;
    }
    let py = name.py();
    let mut raw = name.into_ptr();
    // SAFETY: `raw` is an owned exact str; it is replaced by an owned reference to an equal one.
    unsafe {
        pyffi::PyUnicode_InternInPlace(&mut raw);
        Bound::from_owned_ptr(py, raw)
    }
}

/// A bytes object, one of its own even for a single byte.
///
/// # Errors
/// MemoryError.
#[inline]
pub fn bytes<'py>(py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let bytes = data.bytes();
    // SAFETY: NULL data leaves `len` bytes to fill in an object that nobody else has seen; the empty
    // one is shared, but nothing is written to it.
    unsafe {
        let made = owned(
            py,
            pyffi::PyBytes_FromStringAndSize(std::ptr::null(), bytes.len() as isize),
        )?;
        let start = pyffi::PyBytes_AS_STRING(made.as_ptr())
            .cast_mut()
            .cast::<u8>();
        copy(bytes, start);
        Ok(made)
    }
}

/// Copies bytes; few of them by words that overlap, which is less than a call of `memcpy`.
///
/// # Safety
/// There is room for them at `start`.
#[inline(always)]
unsafe fn copy(bytes: &[u8], start: *mut u8) {
    let len = bytes.len();
    // SAFETY: promised by the caller; each word is within the bytes.
    unsafe {
        match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(&low), Some(&high)) if len <= 16 => {
                start.cast::<[u8; 8]>().write_unaligned(low);
                start.add(len - 8).cast::<[u8; 8]>().write_unaligned(high);
            }
            (None, _) => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(&low), Some(&high)) => {
                    start.cast::<[u8; 4]>().write_unaligned(low);
                    start.add(len - 4).cast::<[u8; 4]>().write_unaligned(high);
                }
                _ => {
                    for (i, &byte) in bytes.iter().enumerate() {
                        start.add(i).write(byte);
                    }
                }
            },
            _ => std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, len),
        }
    }
}

/// A bytes object; the interpreter's shared one for a single byte.
///
/// # Errors
/// MemoryError.
#[cold]
pub fn bytes_shared<'py>(py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let bytes = data.bytes();
    // SAFETY: copies `len` bytes out of the slice.
    unsafe {
        owned(
            py,
            pyffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as isize),
        )
    }
}

/// Asks Python's allocator whether it has that many bytes.
///
/// # Errors
/// MemoryError.
#[cold]
pub fn ask_for_memory(py: Python<'_>, size: usize) -> R<()> {
    // SAFETY: what was allocated is freed at once.
    unsafe {
        let memory = pyffi::PyMem_Malloc(size);
        if memory.is_null() {
            return Err(crate::errors::no_memory(py));
        }
        pyffi::PyMem_Free(memory);
    }
    Ok(())
}

/// A bytearray.
///
/// # Errors
/// MemoryError.
#[inline]
pub fn bytearray<'py>(py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let bytes = data.bytes();
    // SAFETY: copies `len` bytes out of the slice.
    unsafe {
        owned(
            py,
            pyffi::PyByteArray_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as isize),
        )
    }
}

/// Moves `items[from..]` to `place`.
///
/// # Safety
/// `place` is valid for as many pointers, and the references are owned by what is there from now on.
/// `from <= items.len()`.
#[inline(always)]
unsafe fn move_out(items: &mut Items, from: usize, place: *mut *mut pyffi::PyObject) {
    debug_assert!(from <= items.len());
    // SAFETY: promised by the caller; a Bound is a pointer. The length is cut first to what stays.
    unsafe {
        let count = items.len() - from;
        items.set_len(from);
        std::ptr::copy_nonoverlapping(items.as_ptr().add(from).cast(), place, count);
    }
}

/// Moves `items[from..]` to the end of `others`.
///
/// # Panics
/// If `from` is beyond the end.
#[inline]
pub fn move_items(items: &mut Items, from: usize, others: &mut Items) {
    let count = items.len().checked_sub(from).expect("a place on the stack");
    others.reserve(count);
    // SAFETY: there is room for `count` more; the references are `items`' no longer, since its length is cut first.
    unsafe {
        items.set_len(from);
        let end = others.len();
        for i in 0..count {
            let item = items.as_ptr().add(from + i).read();
            others.as_mut_ptr().add(end + i).write(item);
        }
        others.set_len(end + count);
    }
}

/// A tuple of `items[from..]`, which are moved into it.
///
/// # Errors
/// MemoryError.
///
/// # Panics
/// If `from` is beyond the end.
#[inline]
pub fn tuple<'py>(py: Python<'py>, items: &mut Items, from: usize) -> R<Bound<'py, PyAny>> {
    let count = items.len().checked_sub(from).expect("a place on the stack");
    // SAFETY: a new tuple of that size, which nobody else has seen, is filled at once. The
    // empty one is shared, but nothing is written to it.
    unsafe {
        let made = owned(py, pyffi::PyTuple_New(count as isize))?;
        let tuple = made.as_ptr().cast::<pyffi::PyTupleObject>();
        move_out(items, from, (&raw mut (*tuple).ob_item).cast());
        Ok(made)
    }
}

/// An empty list.
///
/// # Errors
/// MemoryError.
#[inline]
pub fn list(py: Python<'_>) -> R<Bound<'_, PyAny>> {
    // SAFETY: no arguments that could be wrong.
    unsafe { owned(py, pyffi::PyList_New(0)) }
}

/// Moves `items[from..]` to the end of a list.
///
/// A list that was empty gets exactly the memory it needs.
///
/// # Errors
/// MemoryError; the items then stay where they are.
///
/// # Panics
/// If `from` is beyond the end.
#[cfg(not(Py_GIL_DISABLED))]
#[inline]
pub fn extend_list<'py>(list: &Bound<'py, PyList>, items: &mut Items, from: usize) -> R<()> {
    let count = items.len().checked_sub(from).expect("a place on the stack");
    // SAFETY: a list; its array holds `allocated` pointers of which the first `ob_size` are in use. Nothing
    // between the reading of the fields and their writing runs other code.
    unsafe {
        let raw = list.as_ptr().cast::<pyffi::PyListObject>();
        let old = (*raw).ob_base.ob_size as usize;
        let new = old + count;
        if new > (*raw).allocated as usize {
            grow_list(list.py(), raw, new)?;
        }
        move_out(items, from, (*raw).ob_item.add(old));
        (*raw).ob_base.ob_size = new as isize;
    }
    Ok(())
}

/// # Safety
/// `list` is a list.
#[cfg(not(Py_GIL_DISABLED))]
unsafe fn grow_list(py: Python<'_>, list: *mut pyffi::PyListObject, size: usize) -> R<()> {
    // SAFETY: a list, whose array comes from PyMem and may move.
    unsafe {
        // A list that comes in several batches leaves room, as one that grows by `append` does.
        let wanted = if (*list).ob_item.is_null() && size < 1000 {
            size
        } else {
            (size + (size >> 3) + 6) & !3
        };
        let array = pyffi::PyMem_Realloc(
            (*list).ob_item.cast(),
            wanted.saturating_mul(size_of::<*mut pyffi::PyObject>()),
        );
        if array.is_null() {
            return Err(crate::errors::no_memory(py));
        }
        (*list).ob_item = array.cast();
        (*list).allocated = wanted as isize;
    }
    Ok(())
}

/// Moves `items[from..]` to the end of a list.
///
/// # Errors
/// MemoryError; items that did not get into the list stay where they are.
///
/// # Panics
/// If `from` is beyond the end.
#[cfg(Py_GIL_DISABLED)]
pub fn extend_list<'py>(list: &Bound<'py, PyList>, items: &mut Items, from: usize) -> R<()> {
    for item in items.drain(from..) {
        list.append(item.into_bound(list.py()))?;
    }
    Ok(())
}

/// An empty dict.
///
/// # Errors
/// MemoryError.
#[inline]
pub fn dict(py: Python<'_>) -> R<Bound<'_, PyAny>> {
    // SAFETY: no arguments that could be wrong.
    unsafe { owned(py, pyffi::PyDict_New()) }
}

/// Sets the items of a dict to `items[from..]`, keys and values by turns, and takes them off the stack. May
/// run the keys' `__hash__` and `__eq__`.
///
/// # Errors
/// TypeError for a key without a hash, whatever those methods raise, MemoryError. The items in front
/// of the one that failed are set.
#[inline]
pub fn fill_dict(dict: &Bound<'_, PyDict>, items: &mut Items, from: usize) -> R<()> {
    let count = (items.len() - from) / 2;
    // SAFETY: the pairs leave the stack first and belong to this function then: in memory that nothing
    // writes to, since nobody else has the stack. Each is given to the dict or released.
    let failed = unsafe {
        items.set_len(from);
        let pairs = items.as_ptr().add(from).cast::<[*mut pyffi::PyObject; 2]>();
        let failed = (0..count).find(|&i| {
            let [key, value] = *pairs.add(i);
            set_item(dict.as_ptr(), key, value) < 0
        });
        for i in failed.map_or(count, |failed| failed + 1)..count {
            let [key, value] = *pairs.add(i);
            // The exception that is set stays as it is, whatever a finalizer does.
            pyffi::Py_DECREF(key);
            pyffi::Py_DECREF(value);
        }
        failed.is_some()
    };
    if failed {
        return Err(super::Raised::seen(dict.py()));
    }
    Ok(())
}

/// `dict[key] = value`, which takes the references over, also when it fails.
///
/// # Safety
/// A dict and two owned references.
#[inline(always)]
unsafe fn set_item(
    dict: *mut pyffi::PyObject,
    key: *mut pyffi::PyObject,
    value: *mut pyffi::PyObject,
) -> std::ffi::c_int {
    // SAFETY: promised by the caller.
    #[cfg(Py_3_13)]
    unsafe {
        ffi::_PyDict_SetItem_Take2(dict, key, value)
    }
    // SAFETY: promised by the caller.
    #[cfg(not(Py_3_13))]
    unsafe {
        let code = pyffi::PyDict_SetItem(dict, key, value);
        pyffi::Py_DECREF(key);
        pyffi::Py_DECREF(value);
        code
    }
}

/// A dict of `items[from..]`, keys and values by turns, which it takes off the stack. The keys run no code
/// when they are hashed or compared.
///
/// # Errors
/// MemoryError.
#[inline]
pub fn dict_of<'py>(py: Python<'py>, items: &mut Items, from: usize) -> R<Bound<'py, PyAny>> {
    // A dict has room for five items at first and doubles its room from there.
    #[cfg(Py_3_13)]
    if items.len() - from > 10 {
        let pairs = &items[from..];
        // SAFETY: pairs of live objects, at every second place.
        let made = unsafe {
            let keys = pairs.as_ptr().cast::<*mut pyffi::PyObject>();
            let count = (pairs.len() / 2) as isize;
            owned(py, ffi::_PyDict_FromItems(keys, 2, keys.add(1), 2, count))?
        };
        while items.len() > from
            && let Some(item) = items.pop()
        {
            drop(item.into_bound(py));
        }
        return Ok(made);
    }
    let made = dict(py)?;
    if let Ok(dict) = made.cast_exact::<PyDict>() {
        fill_dict(dict, items, from)?;
    }
    Ok(made)
}

/// `object[key] = value` for any object.
///
/// # Errors
/// What `__setitem__` raises.
#[inline]
pub fn set_item_of<'py>(
    object: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> R<()> {
    // SAFETY: three live objects.
    let code = unsafe { pyffi::PyObject_SetItem(object.as_ptr(), key.as_ptr(), value.as_ptr()) };
    status(object.py(), code).map(drop)
}

/// An empty set.
///
/// # Errors
/// MemoryError.
#[inline]
pub fn set(py: Python<'_>) -> R<Bound<'_, PyAny>> {
    // SAFETY: NULL stands for no elements.
    unsafe { owned(py, pyffi::PySet_New(std::ptr::null_mut())) }
}

/// Adds to a set or an instance of a subclass, past any method that the subclass has.
///
/// # Errors
/// TypeError for an element without a hash, what `__hash__` or `__eq__` raise, MemoryError;
/// SystemError if `set` is something else.
#[inline]
pub fn add_to_set<'py>(set: &Bound<'py, PyAny>, element: &Bound<'py, PyAny>) -> R<()> {
    // SAFETY: two live objects; PySet_Add checks the type of the first.
    let code = unsafe { pyffi::PySet_Add(set.as_ptr(), element.as_ptr()) };
    status(set.py(), code).map(drop)
}

/// `frozenset(elements)`.
///
/// # Errors
/// As [`add_to_set`].
#[inline]
pub fn frozenset<'py>(elements: &Bound<'py, PyAny>) -> R<Bound<'py, PyAny>> {
    // SAFETY: a live object, checked by the call to be iterable.
    unsafe { owned(elements.py(), pyffi::PyFrozenSet_New(elements.as_ptr())) }
}

/// The bytes of any bytes-like object, as an exact bytes object: the object itself if it is one.
///
/// # Errors
/// TypeError if it is not bytes-like, BufferError if it is not contiguous.
pub fn to_bytes<'py>(object: Bound<'py, PyAny>) -> R<Bound<'py, PyBytes>> {
    let object = match object.cast_into_exact::<PyBytes>() {
        Ok(bytes) => return Ok(bytes),
        Err(err) => err.into_inner(),
    };
    let py = object.py();
    let mut view = std::mem::MaybeUninit::<pyffi::Py_buffer>::uninit();
    // SAFETY: the view is filled if the call succeeds, describes contiguous memory, is copied at
    // once and released on every path.
    let made = unsafe {
        let code =
            pyffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), pyffi::PyBUF_CONTIG_RO);
        status(py, code)?;
        let view = view.assume_init_mut();
        let made = owned(
            py,
            pyffi::PyBytes_FromStringAndSize(view.buf.cast(), view.len),
        );
        pyffi::PyBuffer_Release(view);
        made?
    };
    Ok(made.cast_into::<PyBytes>().map_err(PyErr::from)?)
}

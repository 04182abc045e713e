//! Short texts of a load, kept to be given out again by the next.
//!
//! Small messages bring the same texts each time: keys, names of classes, states of orders. A text that was met
//! twice is kept, and is given out again once nobody else has it any more, as a free list would do: its
//! reference count says so. What is loaded is therefore never shared with what was loaded before, and pickles to
//! the same bytes as what C loads; and a text that somebody interned is no longer as it was made, and is not
//! used. This file must not know opcodes.
//!
//! Gain measured: see [`Lever::Spares`].

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::cursor::Cursor;
use super::{R, text};
use crate::levers::{self, Lever};

/// Texts that may be kept: at most 20 KB of them.
const PLACES: usize = 256;

/// Bytes of a text that may be kept. One of a single byte is the interpreter's own.
const SIZES: std::ops::RangeInclusive<usize> = 2..=32;

/// See the module.
#[derive(Default)]
pub struct Spares {
    /// Empty until the first text, and where there is no memory for it.
    places: Vec<Spare>,
    /// What an ASCII text of the interpreter's has as its state when it is new: not interned.
    fresh: u8,
}

/// The text met last of those that belong in this place.
#[derive(Default)]
struct Spare {
    /// What [`mix`] made of it.
    mark: u64,
    /// The text, if it has come twice in a row.
    text: Option<Py<PyAny>>,
}

impl Spares {
    /// A str that nobody else has, from UTF-8 in which lone surrogates are allowed.
    ///
    /// # Errors
    /// UnicodeDecodeError, MemoryError.
    #[inline]
    pub fn text<'py>(&mut self, py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
        let bytes = data.bytes();
        let Some(mark) = mix(bytes) else {
            return text::text(py, data);
        };
        let Some(place) = self.places.get_mut(mark as usize % PLACES) else {
            return self.first(py, data);
        };
        if place.mark != mark {
            place.mark = mark;
            // Plain texts: nothing runs.
            drop(place.text.take().map(|text| text.into_bound(py)));
            return text::text(py, data);
        }
        if let Some(text) = &place.text
            && is_spare(text.bind(py), bytes, self.fresh)
        {
            return Ok(text.bind(py).clone());
        }
        let made = text::text(py, data)?;
        if is_ascii(&made, bytes.len(), self.fresh) {
            let old = place.text.replace(made.clone().unbind());
            drop(old.map(|text| text.into_bound(py)));
        }
        Ok(made)
    }

    #[cold]
    #[inline(never)]
    fn first<'py>(&mut self, py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
        let made = text::text(py, data)?;
        // A reference count is a fact only where one thread runs at a time, and where nothing else counts objects.
        if !cfg!(any(Py_GIL_DISABLED, Py_DEBUG))
            && levers::on(Lever::Spares)
            && data.bytes().is_ascii()
            && self.places.try_reserve_exact(PLACES).is_ok()
        {
            self.fresh = state(&made);
            self.places.resize_with(PLACES, Spare::default);
        }
        Ok(made)
    }
}

/// Something of all bytes of a text, never 0; None for one that is not kept.
#[inline(always)]
fn mix(bytes: &[u8]) -> Option<u64> {
    let len = bytes.len();
    if !SIZES.contains(&len) {
        return None;
    }
    // The length, where it is not taken for another letter.
    let size = (len as u64).wrapping_mul(0xa076_1d64_78bd_642f);
    let mixed = match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        (Some(&low), Some(&high)) => {
            let (low, high) = (u128::from_ne_bytes(low), u128::from_ne_bytes(high));
            let low = fold(low as u64 ^ size, (low >> 64) as u64);
            fold(low ^ high as u64, (high >> 64) as u64)
        }
        _ => {
            let (low, high) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
                (Some(&low), Some(&high)) => (u64::from_ne_bytes(low), u64::from_ne_bytes(high)),
                _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                    (Some(&low), Some(&high)) => {
                        let (low, high) = (u32::from_ne_bytes(low), u32::from_ne_bytes(high));
                        (low.into(), high.into())
                    }
                    // Two or three.
                    _ => {
                        let first = u16::from_ne_bytes([bytes[0], bytes[1]]);
                        (first.into(), bytes[len - 1].into())
                    }
                },
            };
            fold(low ^ size, high)
        }
    };
    Some(mixed | 1 << 63)
}

/// The two halves of a product.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    product as u64 ^ (product >> 64) as u64
}

/// The bits of a str that say how it is stored, and whether it is interned. What follows them is padding, never
/// initialised.
#[inline(always)]
fn state(text: &Bound<'_, PyAny>) -> u8 {
    // SAFETY: an exact str. The bit field is read as bytes, of which the first has all its fields.
    unsafe {
        (&raw const (*text.as_ptr().cast::<pyffi::PyASCIIObject>()).state)
            .cast::<u8>()
            .read()
    }
}

/// Whether an exact str is one of `len` bytes of ASCII, as it was made.
#[inline(always)]
fn is_ascii(text: &Bound<'_, PyAny>, len: usize, fresh: u8) -> bool {
    // SAFETY: an exact str.
    let length = unsafe { (*text.as_ptr().cast::<pyffi::PyASCIIObject>()).length };
    state(text) == fresh && length == len as isize
}

/// Whether a text that is kept has these bytes, and nobody else has it.
#[inline(always)]
fn is_spare(text: &Bound<'_, PyAny>, bytes: &[u8], fresh: u8) -> bool {
    if !is_ascii(text, bytes.len(), fresh) {
        return false;
    }
    // SAFETY: an object, alive; the characters of an ASCII str are right behind its header.
    unsafe {
        let start = text.as_ptr().cast::<pyffi::PyASCIIObject>().add(1);
        pyffi::Py_REFCNT(text.as_ptr()) == 1
            && std::slice::from_raw_parts(start.cast::<u8>(), bytes.len()) == bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_the_length_count() {
        let mut seen = std::collections::HashSet::new();
        for len in SIZES {
            let text = vec![b'a'; len];
            assert!(seen.insert(mix(&text)));
            for at in 0..len {
                let mut other = text.clone();
                other[at] = b'b';
                assert!(seen.insert(mix(&other)), "{at} of {len}");
            }
        }
        assert!(mix(b"a").is_none() && mix(&[b'a'; 33]).is_none());
    }
}

//! The lengths in front of payloads, and which of them are refused before anything is read.

use pyo3::prelude::*;

use crate::compat::QUIRKS;
use crate::errors;
use crate::format::opcode::Op;
use crate::object::R;

/// The length of the payload of `op`, as its 1, 4 or 8 bytes say.
///
/// # Errors
/// UnpicklingError for a negative one, OverflowError for one beyond `sys.maxsize`.
pub fn of(py: Python<'_>, op: Op, bytes: &[u8]) -> R<usize> {
    if let [byte] = bytes {
        return Ok(usize::from(*byte));
    }
    if let Some(&four) = bytes.first_chunk::<4>()
        && bytes.len() == 4
    {
        return match op {
            Op::Long4 => signed(py, four, "LONG pickle has negative byte count"),
            Op::BinString if QUIRKS.binstring_negative => {
                signed(py, four, "BINSTRING pickle has negative byte count")
            }
            _ => Ok(u32::from_le_bytes(four) as usize),
        };
    }
    let mut eight = [0; 8];
    eight.copy_from_slice(bytes);
    long(py, op, eight)
}

/// A length of four bytes that is negative for 2 GiB and more.
#[inline]
pub fn signed(py: Python<'_>, bytes: [u8; 4], refusal: &str) -> R<usize> {
    usize::try_from(i32::from_le_bytes(bytes)).map_err(|_| errors::unpickling(py, refusal))
}

/// A length of eight bytes.
///
/// # Errors
/// OverflowError beyond `sys.maxsize`.
#[inline]
pub fn long(py: Python<'_>, op: Op, bytes: [u8; 8]) -> R<usize> {
    isize::try_from(u64::from_le_bytes(bytes))
        .map(isize::unsigned_abs)
        .map_err(|_| {
            let what = match op {
                Op::Frame => "FRAME length exceeds system's maximum of",
                Op::BinUnicode8 => "BINUNICODE exceeds system's maximum size of",
                Op::ByteArray8 => "BYTEARRAY8 exceeds system's maximum size of",
                _ => "BINBYTES exceeds system's maximum size of",
            };
            errors::overflow_error(py, &format!("{what} {} bytes", isize::MAX))
        })
}

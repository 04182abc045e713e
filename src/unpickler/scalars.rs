//! Values from text: INT, LONG, FLOAT, STRING, UNICODE, the indices of GET and PUT; Python 2 strings.
//!
//! Text opcodes are those of protocol 0. C reads their numbers with the C library first and with
//! `int()` where that fails, and so do we: which spellings are accepted follows from it.
//! All of this is cold.

use std::ffi::CStr;

use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::hooks::Decoding;
use super::input::truncated;
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::cursor::Cursor;
use crate::object::{R, make, number};

/// A line, ended by NUL: `int()` and the C library read it up to the first one.
struct Line(Vec<u8>);

impl Line {
    /// A line with its newline.
    ///
    /// # Errors
    /// UnpicklingError if there is nothing before the newline.
    fn new(py: Python<'_>, line: Cursor<'_>) -> R<Self> {
        if line.len() < 2 {
            return Err(truncated(py));
        }
        let mut text = line.to_vec().map_err(|_| errors::no_memory(py))?;
        text.push(0);
        Ok(Line(text))
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// The base that INT and LONG are read in; 0 for the one that a prefix names.
const BASE: i32 = if QUIRKS.text_ints_decimal { 10 } else { 0 };

/// INT.
#[cold]
pub fn int<'py>(py: Python<'py>, line: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let len = line.len();
    let line = Line::new(py, line)?;
    let text = line.text();
    if let Some(value) = c_int(text.to_bytes()) {
        let literal = matches!(text.to_bytes(), b"00\n" | b"01\n");
        let is_bool = if QUIRKS.int_bool_literal {
            literal
        } else {
            len == 3 && matches!(value, 0 | 1)
        };
        if is_bool {
            return Ok(PyBool::new(py, value == 1).to_owned().into_any());
        }
        return make::int_from_le(py, Cursor::new(&value.to_le_bytes()));
    }
    make::int_from_text(py, text, BASE).map_err(|raised| {
        drop(raised.take(py));
        errors::value_error(py, "could not convert string to int")
    })
}

/// What `strtol` makes of a line, if the line is nothing but one number that fits 64 bits, or nothing.
fn c_int(line: &[u8]) -> Option<i64> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.is_empty() {
        return Some(0);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0x09..=0x0d);
    let start = line.iter().position(|byte| !blank(byte))?;
    let (negative, digits) = match &line[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let (radix, digits) = match digits {
        _ if QUIRKS.text_ints_decimal => (10, digits),
        [b'0', b'x' | b'X', digits @ ..] => (16, digits),
        [b'0', digits @ ..] if !digits.is_empty() => (8, digits),
        digits => (10, digits),
    };
    // from_str_radix takes a sign, strtol not a second one.
    if matches!(digits.first(), None | Some(b'+' | b'-')) {
        return None;
    }
    let digits = str::from_utf8(digits).ok()?;
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// LONG.
#[cold]
pub fn long<'py>(py: Python<'py>, line: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let mut line = Line::new(py, line)?;
    let last = line.0.len() - 3;
    if line.0[last] == b'L' {
        line.0[last] = 0;
    }
    make::int_from_text(py, line.text(), BASE)
}

/// FLOAT.
#[cold]
pub fn float<'py>(py: Python<'py>, line: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    let line = Line::new(py, line)?;
    let text = line.text();
    let (value, len) = make::double_from_text(py, text)?;
    if !matches!(text.to_bytes().get(len), None | Some(b'\n')) {
        return Err(errors::value_error(py, "could not convert string to float"));
    }
    make::float(py, value)
}

/// The index of GET or PUT.
#[cold]
pub fn index(py: Python<'_>, line: Cursor<'_>) -> R<isize> {
    let line = Line::new(py, line)?;
    number::to_ssize(&make::int_from_text(py, line.text(), 10)?)
}

/// STRING: a Python 2 string literal.
#[cold]
pub fn string<'py>(
    py: Python<'py>,
    line: Cursor<'_>,
    decoding: Option<&Decoding>,
) -> R<Bound<'py, PyAny>> {
    let line = line.to_vec().map_err(|_| errors::no_memory(py))?;
    let inside = match line.strip_suffix(b"\n") {
        Some([first @ (b'"' | b'\''), inside @ .., last]) if first == last => inside,
        _ => {
            return Err(errors::unpickling(
                py,
                "the STRING opcode argument must be quoted",
            ));
        }
    };
    let bytes = make::bytes_from_escape(py, inside)?;
    if decoding.is_some_and(Decoding::is_bytes) {
        return Ok(bytes);
    }
    let (encoding, errors) = names(decoding);
    make::decode_object(&bytes, encoding, errors)
}

/// BINSTRING, SHORT_BINSTRING.
#[cold]
pub fn bin_string<'py>(
    py: Python<'py>,
    data: Cursor<'_>,
    decoding: Option<&Decoding>,
) -> R<Bound<'py, PyAny>> {
    if decoding.is_some_and(Decoding::is_bytes) {
        return make::bytes_shared(py, data);
    }
    let (encoding, errors) = names(decoding);
    make::decode(py, data, encoding, errors)
}

/// UNICODE.
#[cold]
pub fn unicode<'py>(py: Python<'py>, line: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    make::text_from_raw_escape(py, line.first(line.len() - 1))
}

/// The index of PUT, which cannot be negative.
#[cold]
pub fn put_index(py: Python<'_>, line: Cursor<'_>) -> R<usize> {
    usize::try_from(index(py, line)?).map_err(|_| errors::value_error(py, "negative PUT argument"))
}

/// The codec for Python 2 strings and its error handler.
fn names(decoding: Option<&Decoding>) -> (&CStr, &CStr) {
    match decoding {
        Some(decoding) => (&decoding.encoding, &decoding.errors),
        None => (c"ASCII", c"strict"),
    }
}

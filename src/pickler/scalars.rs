//! Leaves: None, bool, int, float, str, bytes, bytearray, and the memo's own opcodes.

use super::fault::{F, Fault};
use super::session::{Flow, Session};
use super::task::Task;
use crate::format::frame::FRAME_SIZE_TARGET;
use crate::format::opcode::op;
use crate::format::{text, utf8};
use crate::object::kind::{ByteArray, Bytes, Float, Int, Str};
use crate::object::read::{LittleEndian, Text};
use crate::object::world::{Missing, Slot};
use crate::object::{Obj, Window};
use crate::state::State;

/// The most digits that the text forms of ints and indexes have here.
const DIGITS: usize = 24;

impl Session {
    /// Writes a GET if `object` was met before, and memoises it otherwise; says which.
    ///
    /// # Errors
    /// A fault.
    #[inline(always)]
    pub(super) fn met(&mut self, object: Obj<'_>, shared: bool) -> F<bool> {
        if self.is_unique(object, shared) && !self.fast {
            self.memo.put_sole(object)?;
            return Ok(false);
        }
        self.met_shared(object)
    }

    #[inline]
    fn met_shared(&mut self, object: Obj<'_>) -> F<bool> {
        let index = if self.fast {
            self.memo.get(object)?
        } else {
            self.memo.meet(object)?
        };
        match index {
            Some(index) => self.emit_get(index).map(|_| true),
            None => Ok(false),
        }
    }

    /// Memoises `object`, whose value is written, and writes the PUT.
    ///
    /// # Errors
    /// A fault.
    #[inline]
    pub(super) fn put(&mut self, object: Obj<'_>, unique: bool) -> F<()> {
        if self.fast {
            return Ok(());
        }
        if unique {
            self.memo.put_sole(object)?;
        } else if self.memo.meet(object)?.is_some() {
            // Memoised by user code in between: the later index counts.
            let index = self.memo.len() as i64;
            self.memo.set_index(object, index)?;
            if self.protocol < 4 {
                return self.emit_put_index(index);
            }
        }
        self.emit_put()
    }

    /// Writes an opcode of a new container and the PUT of what was memoised last.
    #[inline(always)]
    pub(super) fn emit_new<const N: usize>(&mut self, opcodes: [u8; N]) -> F<()> {
        self.out.emit(opcodes)?;
        self.emit_put()
    }

    /// Writes the PUT of what was memoised last.
    #[inline(always)]
    pub(super) fn emit_put(&mut self) -> F<()> {
        if self.fast {
            return Ok(());
        }
        if self.protocol >= 4 {
            return Ok(self.out.emit([op::MEMOIZE])?);
        }
        self.emit_put_index(self.memo.len() as i64 - 1)
    }

    fn emit_put_index(&mut self, index: i64) -> F<()> {
        if !self.binary {
            return self.emit_decimal(op::PUT, index, b"\n");
        }
        match u8::try_from(index) {
            Ok(short) => self.out.emit([op::BINPUT, short])?,
            Err(_) => {
                let index =
                    u32::try_from(index).map_err(|_| Fault::IndexTooLarge("LONG_BINPUT"))?;
                self.out.emit([op::LONG_BINPUT])?;
                self.out.emit(index.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes a GET.
    ///
    /// # Errors
    /// A fault.
    #[inline]
    pub(super) fn emit_get(&mut self, index: i64) -> F<Flow> {
        if !self.binary {
            self.emit_decimal(op::GET, index, b"\n")?;
        } else if index < 256 {
            // A negative index, which only a user can assign, is cut to a byte, as C does.
            self.out.emit([op::BINGET, index as u8])?;
        } else {
            let [a, b, c, d] = u32::try_from(index)
                .map_err(|_| Fault::IndexTooLarge("LONG_BINGET"))?
                .to_le_bytes();
            self.out.emit([op::LONG_BINGET, a, b, c, d])?;
        }
        Ok(Flow::Done)
    }

    /// Writes an opcode, a decimal number and an end.
    fn emit_decimal(&mut self, opcode: u8, number: i64, end: &[u8]) -> F<()> {
        use std::io::Write;
        let mut digits = [0; DIGITS];
        let mut rest = &mut digits[..];
        // 24 bytes hold every i64.
        let _ = write!(rest, "{number}");
        let left = rest.len();
        self.out.emit_counted([opcode], &digits[..DIGITS - left])?;
        Ok(self.out.emit_slice(end)?)
    }

    #[inline(always)]
    pub(super) fn save_none(&mut self) -> F<Flow> {
        self.out.emit([op::NONE])?;
        Ok(Flow::Done)
    }

    #[inline(always)]
    pub(super) fn save_bool(&mut self, value: bool) -> F<Flow> {
        if self.protocol >= 2 {
            let opcode = if value { op::NEWTRUE } else { op::NEWFALSE };
            self.out.emit([opcode])?;
        } else {
            let text = if value { *b"I01\n" } else { *b"I00\n" };
            self.out.emit(text)?;
        }
        Ok(Flow::Done)
    }

    #[inline(always)]
    pub(super) fn save_int(&mut self, int: Int<'_>) -> F<Flow> {
        if let Some(value) = int.to_i32()
            && self.binary
        {
            let [a, b, c, d] = value.to_le_bytes();
            match value {
                0..=0xff => self.out.emit([op::BININT1, a])?,
                0x100..=0xffff => self.out.emit([op::BININT2, a, b])?,
                _ => self.out.emit([op::BININT, a, b, c, d])?,
            }
            return Ok(Flow::Done);
        }
        self.save_int_rare(int)
    }

    #[cold]
    #[inline(never)]
    fn save_int_rare(&mut self, int: Int<'_>) -> F<Flow> {
        if let Some(value) = int.to_i32() {
            self.emit_decimal(op::INT, i64::from(value), b"\n")?;
            return Ok(Flow::Done);
        }
        if self.protocol < 2 {
            // Decimal digits of any number: CPython makes them.
            return self.push(Task::Object {
                object: Slot::borrowed(int.obj()),
            });
        }
        let mut bytes = LittleEndian::new();
        int.write_le(&mut bytes)?;
        match u8::try_from(bytes.len()) {
            Ok(n) => self.out.emit_counted([op::LONG1, n], &bytes)?,
            Err(_) => {
                let n = i32::try_from(bytes.len()).map_err(|_| Fault::IntTooLarge)?;
                let [a, b, c, d] = n.to_le_bytes();
                self.out.emit_counted([op::LONG4, a, b, c, d], &bytes)?;
            }
        }
        Ok(Flow::Done)
    }

    #[inline(always)]
    pub(super) fn save_float(&mut self, float: Float<'_>) -> F<Flow> {
        if !self.binary {
            return self.save_float_text(float);
        }
        let [a, b, c, d, e, f, g, h] = float.value().to_be_bytes();
        self.out.emit([op::BINFLOAT, a, b, c, d, e, f, g, h])?;
        Ok(Flow::Done)
    }

    #[cold]
    fn save_float_text(&mut self, float: Float<'_>) -> F<Flow> {
        let text = float.repr().ok_or(Fault::NoMemory)?;
        self.out.emit_wrapped([op::FLOAT], &text, *b"\n")?;
        Ok(Flow::Done)
    }

    #[inline(always)]
    pub(super) fn save_str<'w>(
        &mut self,
        window: Window<'w>,
        string: Str<'w>,
        shared: bool,
    ) -> F<Flow> {
        // Nearly all strings are ASCII and short, and nearly all pickles binary.
        if self.protocol >= 4
            && self.binary
            && !self.fast
            && let Text::Utf8(bytes) = string.text()
            && let Ok(size) = u8::try_from(bytes.len())
        {
            if self.met(string.obj(), shared)? {
                return Ok(Flow::Done);
            }
            self.out
                .emit_wrapped([op::SHORT_BINUNICODE, size], bytes, [op::MEMOIZE])?;
            return Ok(Flow::Done);
        }
        self.save_str_rare(window, string, shared)
    }

    #[inline(never)]
    fn save_str_rare<'w>(&mut self, _window: Window<'w>, string: Str<'w>, shared: bool) -> F<Flow> {
        let text = string.text();
        if let Text::Legacy = text {
            return self.push(Task::Object {
                object: Slot::borrowed(string.obj()),
            });
        }
        if self.binary {
            let size = match text {
                Text::Utf8(bytes) => bytes.len(),
                Text::Latin1(units) => utf8::size(units),
                Text::Ucs2(units) => utf8::size(units),
                Text::Ucs4(units) => utf8::size(units),
                Text::Legacy => 0,
            };
            if self.to_file && size >= FRAME_SIZE_TARGET {
                if self.known(string.obj())? {
                    return Ok(Flow::Done);
                }
                return self.push(Task::Large {
                    object: Slot::borrowed(string.obj()),
                });
            }
            let (header, n) = self.str_header(size)?;
            if self.met(string.obj(), shared)? {
                return Ok(Flow::Done);
            }
            let header = &header[..n];
            match text {
                Text::Utf8(bytes) => self.emit_payload(header, bytes)?,
                Text::Latin1(units) => self.emit_encoded(header, units, size)?,
                Text::Ucs2(units) => self.emit_encoded(header, units, size)?,
                Text::Ucs4(units) => self.emit_encoded(header, units, size)?,
                Text::Legacy => {}
            }
            self.emit_put()?;
            return Ok(Flow::Done);
        }
        if self.met(string.obj(), shared)? {
            return Ok(Flow::Done);
        }
        let mut escaped = Vec::new();
        match string.storage() {
            Text::Utf8(units) | Text::Latin1(units) => text::escape(units, &mut escaped)?,
            Text::Ucs2(units) => text::escape(units, &mut escaped)?,
            Text::Ucs4(units) => text::escape(units, &mut escaped)?,
            Text::Legacy => {}
        }
        self.out.emit_wrapped([op::UNICODE], &escaped, *b"\n")?;
        self.emit_put()?;
        Ok(Flow::Done)
    }

    /// Writes a GET if the memo knows `object`; memoises nothing.
    fn known(&mut self, object: Obj<'_>) -> F<bool> {
        match self.memo.get(object)? {
            Some(index) => self.emit_get(index).map(|_| true),
            None => Ok(false),
        }
    }

    /// The opcode and length in front of the UTF-8 form of a str.
    ///
    /// # Errors
    /// [`Fault::PayloadTooLarge`].
    pub(super) fn str_header(&self, size: usize) -> F<([u8; 9], usize)> {
        if size <= 0xff && self.protocol >= 4 {
            Ok(header(op::SHORT_BINUNICODE, size, 1))
        } else if size <= 0xffff_ffff {
            Ok(header(op::BINUNICODE, size, 4))
        } else if self.protocol >= 4 {
            Ok(header(op::BINUNICODE8, size, 8))
        } else {
            Err(Fault::PayloadTooLarge("string"))
        }
    }

    /// The opcode and length in front of bytes, from protocol 3 on.
    ///
    /// # Errors
    /// [`Fault::PayloadTooLarge`].
    pub(super) fn bytes_header(&self, size: usize) -> F<([u8; 9], usize)> {
        if size <= 0xff {
            Ok(header(op::SHORT_BINBYTES, size, 1))
        } else if size <= 0xffff_ffff {
            Ok(header(op::BINBYTES, size, 4))
        } else if self.protocol >= 4 {
            Ok(header(op::BINBYTES8, size, 8))
        } else {
            Err(Fault::PayloadTooLarge("bytes object"))
        }
    }

    /// Writes a header and a payload, outside frames if it is large.
    pub(super) fn emit_payload(&mut self, header: &[u8], payload: &[u8]) -> F<()> {
        if payload.len() >= FRAME_SIZE_TARGET {
            return Ok(self.out.emit_unframed(header, payload)?);
        }
        self.out.emit_slice(header)?;
        Ok(self.out.emit_slice(payload)?)
    }

    fn emit_encoded<U: utf8::Unit>(&mut self, header: &[u8], units: &[U], size: usize) -> F<()> {
        if size >= FRAME_SIZE_TARGET {
            return Ok(self
                .out
                .emit_unframed_with(header, size, |out| utf8::encode(units, out))?);
        }
        self.out.emit_slice(header)?;
        Ok(self
            .out
            .emit_with([], size, |out| utf8::encode(units, out))?)
    }

    #[inline(always)]
    pub(super) fn save_bytes<'w>(
        &mut self,
        window: Window<'w>,
        bytes: Bytes<'w>,
        shared: bool,
    ) -> F<Flow> {
        let data = bytes.data();
        if self.protocol >= 4
            && !self.fast
            && let Ok(size) = u8::try_from(data.len())
        {
            if self.met(bytes.obj(), shared)? {
                return Ok(Flow::Done);
            }
            self.out
                .emit_wrapped([op::SHORT_BINBYTES, size], data, [op::MEMOIZE])?;
            return Ok(Flow::Done);
        }
        self.save_bytes_rare(window, bytes, shared)
    }

    #[inline(never)]
    fn save_bytes_rare<'w>(
        &mut self,
        window: Window<'w>,
        bytes: Bytes<'w>,
        shared: bool,
    ) -> F<Flow> {
        let data = bytes.data();
        let large = self.to_file && data.len() >= FRAME_SIZE_TARGET;
        if self.protocol < 3 || large {
            if self.known(bytes.obj())? {
                return Ok(Flow::Done);
            }
            if self.protocol == 2 && self.save_bytes_as_text(window, bytes, shared)? {
                return Ok(Flow::Done);
            }
            let object = Slot::borrowed(bytes.obj());
            // Below protocol 3 bytes are a reduce value, which needs objects made.
            return self.push(if self.protocol < 3 {
                Task::Object { object }
            } else {
                Task::Large { object }
            });
        }
        let (header, n) = self.bytes_header(data.len())?;
        if self.met(bytes.obj(), shared)? {
            return Ok(Flow::Done);
        }
        self.emit_payload(&header[..n], data)?;
        self.emit_put()?;
        Ok(Flow::Done)
    }

    /// Writes bytes at protocol 2 as the reduce value `codecs.encode(text, 'latin1')` that C makes of them, if the memo
    /// knows both from bytes before; says whether it did.
    ///
    /// A text of one character is one that others have too, and large ones go another way.
    fn save_bytes_as_text<'w>(
        &mut self,
        window: Window<'w>,
        bytes: Bytes<'w>,
        shared: bool,
    ) -> F<bool> {
        let (data, py) = (bytes.data(), window.py());
        if !(2..FRAME_SIZE_TARGET / 2).contains(&data.len())
            || self.hooked
            || self.fast
            || !self.binary
            || self.is_tight()
        {
            return Ok(false);
        }
        let state = State::get(py);
        let function = window.obj(state.codecs_encode.bind(py));
        let codec = window.obj(state.names.latin1.bind(py).as_any());
        let [Some(function), Some(codec)] = [self.memo.get(function)?, self.memo.get(codec)?]
        else {
            return Ok(false);
        };
        self.emit_get(function)?;
        let size = utf8::size(data);
        let (header, n) = self.str_header(size)?;
        self.emit_encoded(&header[..n], data, size)?;
        self.emit_missing([], Missing::Str)?;
        self.emit_get(codec)?;
        self.emit_missing([op::TUPLE2], Missing::Tuple)?;
        self.out.emit([op::REDUCE])?;
        self.put(bytes.obj(), self.is_unique(bytes.obj(), shared))?;
        Ok(true)
    }

    pub(super) fn save_bytearray<'w>(
        &mut self,
        _window: Window<'w>,
        array: ByteArray<'w>,
        shared: bool,
    ) -> F<Flow> {
        let data = array.data();
        let large = self.to_file && data.len() >= FRAME_SIZE_TARGET;
        if self.protocol < 5 || large {
            if self.known(array.obj())? {
                return Ok(Flow::Done);
            }
            let object = Slot::borrowed(array.obj());
            return self.push(if self.protocol < 5 {
                Task::Object { object }
            } else {
                Task::Large { object }
            });
        }
        if self.met(array.obj(), shared)? {
            return Ok(Flow::Done);
        }
        let (header, n) = header(op::BYTEARRAY8, data.len(), 8);
        self.emit_payload(&header[..n], data)?;
        self.emit_put()?;
        Ok(Flow::Done)
    }
}

/// An opcode and the lowest `width` bytes of a length.
pub(super) fn header(opcode: u8, size: usize, width: usize) -> ([u8; 9], usize) {
    let mut header = [opcode; 9];
    header[1..].copy_from_slice(&(size as u64).to_le_bytes());
    (header, width + 1)
}

//! The leaves of which most data is made, written with one look at each: short strings, ints, floats, None
//! and the bools, at protocol 4 and later.
//!
//! [`Session::quick`] is what the loops over containers try first. It does all or nothing: what it
//! does not write it has not touched, and `save` decides. Instructions an item under callgrind (3.11), without
//! and with: list of ints 84 and 38, JSON-like documents 170 and 120.

use super::session::Session;
use crate::format::opcode::op;
use crate::object::Obj;
use crate::object::kind::{Int, Kind, List, Str};
use crate::object::read::Text;

/// The longest of these opcodes with its argument: LONG1.
const LONGEST: usize = 10;

impl Session {
    /// Writes a leaf, if it is one of these and nothing has to be looked at before; says whether it did.
    #[inline(always)]
    pub(super) fn quick(&mut self, object: Obj<'_>, shared: bool) -> bool {
        if !self.short || self.out.attention() {
            return false;
        }
        match object.kind() {
            Kind::Str(string) => self.quick_str(string, shared),
            Kind::Int(int) => self.quick_int(int),
            Kind::Float(float) if self.out.has_room(LONGEST) => {
                let [a, b, c, d, e, f, g, h] = float.value().to_be_bytes();
                self.out.put([op::BINFLOAT, a, b, c, d, e, f, g, h]);
                true
            }
            Kind::None if self.out.has_room(LONGEST) => {
                self.out.put([op::NONE]);
                true
            }
            Kind::Bool(value) if self.out.has_room(LONGEST) => {
                self.out
                    .put([if value { op::NEWTRUE } else { op::NEWFALSE }]);
                true
            }
            // Met before: members of enums, classes, whatever is shared.
            Kind::Other if !object.is_sole() => match self.memo.get(object) {
                Ok(Some(index)) => self.quick_get(index),
                _ => false,
            },
            _ => false,
        }
    }

    /// As [`Session::quick`], for the key of a dict or the name of an attribute.
    #[inline(always)]
    pub(super) fn quick_key(&mut self, object: Obj<'_>, shared: bool) -> bool {
        if !self.short || self.out.attention() {
            return false;
        }
        match object.kind() {
            Kind::Str(string) => self.quick_str(string, shared),
            Kind::Int(int) => self.quick_int(int),
            _ => false,
        }
    }

    /// Writes a GET.
    #[inline(always)]
    fn quick_get(&mut self, index: i64) -> bool {
        // An index that a user made up has errors of its own.
        let Ok(index) = u32::try_from(index) else {
            return false;
        };
        if !self.out.has_room(LONGEST) {
            return false;
        }
        let [a, b, c, d] = index.to_le_bytes();
        if index < 256 {
            self.out.put([op::BINGET, a]);
        } else {
            self.out.put([op::LONG_BINGET, a, b, c, d]);
        }
        true
    }

    /// Writes the ints and floats of a list from index `from` on, at most `most`; says how many.
    #[inline]
    pub(super) fn quick_numbers(&mut self, list: List<'_>, from: usize, most: usize) -> usize {
        if !self.short {
            return 0;
        }
        let mut run = self.out.run();
        let mut done = 0;
        while done < most
            && run.has_room(LONGEST)
            && let Some(item) = list.get(from + done)
        {
            if let Some(int) = item.as_exact_int() {
                let Some(value) = int.to_i32() else {
                    let Some(value) = int.to_i60() else {
                        break;
                    };
                    let (bytes, size) = long1(value);
                    run.put(bytes, size);
                    done += 1;
                    continue;
                };
                // One store of eight bytes, of which two, three or five count.
                let bits = value as u32;
                let (opcode, size) = if bits <= 0xff {
                    (op::BININT1, 2)
                } else if bits <= 0xffff {
                    (op::BININT2, 3)
                } else {
                    (op::BININT, 5)
                };
                let word = u64::from(bits) << 8 | u64::from(opcode);
                run.put(word.to_le_bytes(), size);
            } else if let Some(float) = item.as_exact_float() {
                let [a, b, c, d, e, f, g, h] = float.value().to_be_bytes();
                run.put([op::BINFLOAT, a, b, c, d, e, f, g, h], 9);
            } else {
                break;
            }
            done += 1;
        }
        done
    }

    #[inline(always)]
    fn quick_int(&mut self, int: Int<'_>) -> bool {
        if !self.out.has_room(LONGEST) {
            return false;
        }
        let Some(value) = int.to_i32() else {
            let Some(value) = int.to_i60() else {
                return false;
            };
            let (bytes, size) = long1(value);
            self.out.put_front(bytes, size);
            return true;
        };
        let [a, b, c, d] = value.to_le_bytes();
        match value {
            0..=0xff => self.out.put([op::BININT1, a]),
            0x100..=0xffff => self.out.put([op::BININT2, a, b]),
            _ => self.out.put([op::BININT, a, b, c, d]),
        }
        true
    }

    #[inline(always)]
    fn quick_str(&mut self, string: Str<'_>, shared: bool) -> bool {
        let Text::Utf8(bytes) = string.text() else {
            return false;
        };
        let Ok(size) = u8::try_from(bytes.len()) else {
            return false;
        };
        // A log without room grows in `save`, which can say that there is no memory.
        if !self.out.has_room(bytes.len() + LONGEST) || !self.memo.has_room() {
            return false;
        }
        if self.is_unique(string.obj(), shared) {
            if self.memo.put_sole(string.obj()).is_err() {
                return false;
            }
        } else {
            match self.memo.meet(string.obj()) {
                Ok(None) => {}
                Ok(Some(index)) => return self.quick_get(index),
                Err(_) => return false,
            }
        }
        self.out
            .put_wrapped([op::SHORT_BINUNICODE, size], bytes, [op::MEMOIZE]);
        true
    }
}

/// LONG1 of a number that is too large for BININT, and how many of the bytes count.
#[inline]
fn long1(value: i64) -> ([u8; LONGEST], usize) {
    // Two's complement, as short as it keeps the sign.
    let bits = 65 - (value ^ (value >> 63)).leading_zeros();
    let size = bits.div_ceil(8) as usize;
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    ([op::LONG1, size as u8, a, b, c, d, e, f, g, h], 2 + size)
}

//! One opcode that is not wholly in the window: fetched piece by piece, then executed.
//!
//! C reads the opcode, its length, its payload, its lines one after the other; each is a call on the
//! file where nothing is buffered, and each may begin exactly at the end of a frame. This file makes the same
//! reads. What the opcode does is said in `run.rs` alone, but for payloads, which are read
//! straight into their object, and text, which is decoded where it is.

use pyo3::prelude::*;

use super::input::Input;
use super::run::{self, Step};
use super::{Context, Machine, length, objects};
use crate::errors;
use crate::format::opcode::{Arg, Op};
use crate::object::cursor::Cursor;
use crate::object::{R, Raised, text};
use crate::state::State;

/// Executes the next opcode.
///
/// # Errors
/// EOFError if there is no opcode; what the opcode raises.
#[cold]
#[inline(never)]
pub fn step(machine: &mut Machine, cx: &Context<'_, '_>, input: &mut Input<'_>) -> R<Step> {
    if machine.mixed {
        input.forbid_ahead();
    }
    if input.foresee(cx.py)? {
        return Ok(Step::More);
    }
    let mut piece = std::mem::take(&mut machine.piece);
    piece.clear();
    let result = fetch(machine, cx, input, &mut piece).and_then(|done| {
        if done {
            return Ok(Step::More);
        }
        // The piece ends with its opcode, and no frame with it.
        machine.framed = true;
        (machine.plain, machine.over) = (!cx.attached, false);
        run::run(machine, cx, Cursor::new(&piece)).0
    });
    machine.piece = piece;
    result
}

/// Reads an opcode and its argument into `piece`; true if it has been executed as well.
fn fetch(
    machine: &mut Machine,
    cx: &Context<'_, '_>,
    input: &mut Input<'_>,
    piece: &mut Vec<u8>,
) -> R<bool> {
    let py = cx.py;
    if let Err(raised) = input.read(py, 1, piece) {
        return Err(end_of_data(py, raised));
    }
    let Some(op) = Op::decode(piece[0]) else {
        return Ok(false);
    };
    let width = match op.info().arg {
        Arg::None => return Ok(false),
        Arg::Uint1 => return input.read(py, 1, piece).map(|()| false),
        Arg::Uint2 => return input.read(py, 2, piece).map(|()| false),
        Arg::Int4 | Arg::Uint4 => return input.read(py, 4, piece).map(|()| false),
        Arg::Uint8 | Arg::Float8 => return input.read(py, 8, piece).map(|()| false),
        Arg::DecimalnlShort
        | Arg::DecimalnlLong
        | Arg::Floatnl
        | Arg::Stringnl
        | Arg::StringnlNoescape
        | Arg::Unicodestringnl => {
            if op == Op::PersId {
                machine.check_persistent_first(cx)?;
            }
            return input.line(py, piece).map(|_| false);
        }
        Arg::StringnlNoescapePair => {
            if op == Op::Inst {
                machine.stack.check_marked(py)?;
            }
            input.line(py, piece)?;
            objects::name(py, op, Cursor::new(&piece[1..]))?;
            return input.line(py, piece).map(|_| false);
        }
        Arg::String1 | Arg::Long1 | Arg::Bytes1 | Arg::Unicodestring1 => 1,
        Arg::String4 | Arg::Long4 | Arg::Bytes4 | Arg::Unicodestring4 => 4,
        Arg::Bytes8 | Arg::Bytearray8 | Arg::Unicodestring8 => 8,
    };
    input.read(py, width, piece)?;
    let len = length::of(py, op, &piece[1..])?;
    if matches!(
        op,
        Op::ShortBinBytes | Op::BinBytes | Op::BinBytes8 | Op::ByteArray8
    ) {
        let object = input.payload(py, op == Op::ByteArray8, len)?;
        machine.stack.push(object);
        return Ok(true);
    }
    if matches!(op, Op::BinUnicode | Op::BinUnicode8) {
        // What may be large is not copied.
        let text = input.look_at(py, len, |bytes| text::text(py, bytes))??;
        machine.stack.push(text);
        return Ok(true);
    }
    input.read(py, len, piece).map(|()| false)
}

/// The error for a stream that ends where an opcode should be.
///
/// As in C, an UnpicklingError that the file itself raised becomes this one too.
fn end_of_data(py: Python<'_>, raised: Raised) -> Raised {
    let err = raised.take(py);
    if err.is_instance(py, State::get(py).unpickling_error.bind(py)) {
        return errors::eof_error(py, "Ran out of input");
    }
    err.into()
}

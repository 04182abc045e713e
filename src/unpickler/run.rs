//! The loop: one `match` over the opcodes, on the window that is at hand.
//!
//! An opcode whose argument is not wholly in the window is left where it is, before it has any effect, and
//! `pieces.rs` fetches it. This file must not know files or frames.

use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::{Context, Machine, input, length, objects, scalars};
use crate::compat::QUIRKS;
use crate::errors;
use crate::format::opcode::{Op, op};
use crate::object::cursor::Cursor;
use crate::object::{R, make, signals};

/// Why the loop has ended.
pub enum Step {
    /// STOP. The result is still on the stack: C moves the file before it finds that there is none.
    Stop,
    /// FRAME, with the size of the frame.
    Frame(usize),
    /// The window does not hold the next opcode.
    More,
    /// The next opcode is not one of plain data, and PyO3 does not know that the thread is attached, or the file
    /// does not stand where it should.
    Attach,
}

/// Bytes of opcodes between two pauses of the loop. An opcode pushes no more values than it has bytes, so that the
/// room that a pause makes on the stack lasts until the next.
const CHUNK: usize = 4096;

/// Pauses between two looks for signals: about a millisecond of work.
const LOOKS: u32 = 8;

/// Bytes of payload that are worth a look for signals.
const MUCH: usize = 1 << 20;

/// Executes the opcodes in `window` and gives how the run ended and how many bytes are left.
#[inline]
pub fn run(machine: &mut Machine, cx: &Context<'_, '_>, window: Cursor<'_>) -> (R<Step>, usize) {
    let mut at = window;
    let step = steps(machine, cx, &mut at);
    (step, at.len())
}

#[inline(always)]
fn steps(machine: &mut Machine, cx: &Context<'_, '_>, place: &mut Cursor<'_>) -> R<Step> {
    let py = cx.py;
    let mut at = *place;
    let mut pauses = LOOKS;
    // The loop pauses when no more bytes than these are left. One comparison for the end of the window, for room
    // and for signals.
    let mut rest = usize::MAX;

    // `place` is written before anything that can fail, so that an error leaves it behind the
    // opcode's argument.
    macro_rules! more {
        ($start:ident) => {{
            *place = $start;
            return Ok(Step::More);
        }};
    }

    loop {
        let start = at;
        // A fixed argument.
        macro_rules! take {
            () => {
                match at.array() {
                    Some((bytes, rest)) => {
                        at = rest;
                        bytes
                    }
                    None => more!(start),
                }
            };
        }
        // A payload of known length.
        macro_rules! payload {
            ($len:expr) => {
                match at.split($len) {
                    Some((data, rest)) => {
                        at = rest;
                        data
                    }
                    None => more!(start),
                }
            };
        }
        // A payload that may be large.
        macro_rules! large {
            ($len:expr) => {{
                let len = $len;
                if len >= MUCH {
                    pauses = 0;
                    rest = usize::MAX;
                }
                payload!(len)
            }};
        }
        // A payload of bytes: C reads even an empty one anew at the end of what it has.
        macro_rules! bytes {
            ($len:expr) => {{
                let len = $len;
                if len == 0 && at.is_empty() {
                    more!(start)
                }
                large!(len)
            }};
        }
        macro_rules! line {
            () => {
                match at.line() {
                    Some((line, rest)) => {
                        at = rest;
                        line
                    }
                    None => more!(start),
                }
            };
        }
        macro_rules! check {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(raised) => {
                        *place = at;
                        return Err(raised);
                    }
                }
            };
        }

        // A new object, which is memoised as a rule.
        macro_rules! push {
            ($value:expr) => {{
                let value = $value;
                if let Some(([op::MEMOIZE], next)) = at.array() {
                    at = next;
                    check!(machine.push_memoized(cx, value));
                } else {
                    machine.stack.push(value);
                }
            }};
        }
        // A tuple, which may be one of arguments.
        macro_rules! tuple {
            ($from:expr) => {{
                let from = $from;
                if objects::is_argument(at)
                    && let Some(rest) = user!(machine.construct(cx, from, at))
                {
                    at = rest;
                    continue;
                }
                push!(check!(make::tuple(py, &mut machine.stack.items, from)));
            }};
        }
        // What may have run code of users.
        macro_rules! user {
            ($result:expr) => {{
                let value = check!($result);
                machine.pause(cx);
                value
            }};
        }

        // In front of all that is not plain data.
        macro_rules! attached {
            () => {
                if machine.plain {
                    *place = start;
                    return Ok(Step::Attach);
                }
                machine.mixed = true;
            };
        }

        if at.len() <= rest {
            check!(machine.stack.make_room(py, at.len().min(CHUNK)));
            if at.is_empty() {
                more!(at);
            }
            if pauses == 0 {
                pauses = LOOKS;
                machine.pause.end();
                check!(signals::handle(py).map_err(|raised| machine.blame_signal(raised)));
                machine.pause(cx);
            }
            pauses -= 1;
            rest = at.len().saturating_sub(CHUNK);
        }
        let [byte] = take!();
        let Some(op) = Op::decode(byte) else {
            check!(Err(bad_opcode(py, byte)))
        };
        match op {
            Op::BinGet => {
                let [index] = take!();
                check!(machine.get(cx, index.into()));
            }
            Op::ShortBinUnicode => {
                let [len] = take!();
                let data = payload!(usize::from(len));
                push!(check!(machine.text(py, data)));
            }
            Op::Memoize => check!(machine.memoize(cx)),
            Op::BinInt1 => {
                let [value] = take!();
                machine.stack.push(check!(make::int(py, value.into())));
            }
            Op::BinInt => {
                let value = i32::from_le_bytes(take!());
                machine.stack.push(check!(make::int(py, value)));
            }
            Op::BinInt2 => {
                let value = u16::from_le_bytes(take!());
                machine.stack.push(check!(make::int(py, value.into())));
            }
            Op::BinFloat => {
                let value = f64::from_be_bytes(take!());
                machine.stack.push(check!(make::float(py, value)));
            }
            Op::NoneObject => machine.stack.push(py.None().into_bound(py)),
            Op::NewTrue => machine
                .stack
                .push(PyBool::new(py, true).to_owned().into_any()),
            Op::NewFalse => machine
                .stack
                .push(PyBool::new(py, false).to_owned().into_any()),
            Op::Mark => check!(machine.stack.mark(py)),
            Op::Tuple1 => {
                let from = check!(machine.stack.last(py, 1));
                tuple!(from);
            }
            Op::Tuple2 => {
                let from = check!(machine.stack.last(py, 2));
                tuple!(from);
            }
            Op::Tuple3 => {
                let from = check!(machine.stack.last(py, 3));
                tuple!(from);
            }
            Op::Tuple => {
                let from = check!(machine.unmark(cx));
                tuple!(from);
            }
            Op::EmptyTuple => {
                if let Some(([op::NEWOBJ], rest)) = at.array() {
                    at = rest;
                    user!(machine.new_object_without_args(cx));
                    continue;
                }
                let from = machine.stack.len();
                tuple!(from);
            }
            Op::EmptyList => push!(check!(make::list(py))),
            Op::EmptyDict => at = check!(machine.empty_dict(cx, at)),
            Op::EmptySet => push!(check!(make::set(py))),
            Op::Append => {
                let from = check!(machine.stack.last(py, 1));
                user!(machine.append(cx, from));
            }
            Op::Appends => {
                let from = check!(machine.unmark(cx));
                user!(machine.append(cx, from));
            }
            Op::SetItem => {
                at = user!(machine.set_one_item(cx, at));
            }
            Op::SetItems => {
                at = user!(machine.set_all_items(cx, at));
            }
            Op::AddItems => {
                let from = check!(machine.unmark(cx));
                user!(machine.add_items(cx, from));
            }
            Op::FrozenSet => {
                let from = check!(machine.unmark(cx));
                user!(machine.frozenset(cx, from));
            }
            Op::List => {
                let from = check!(machine.unmark(cx));
                check!(machine.list(cx, from));
            }
            Op::Dict => {
                let from = check!(machine.unmark(cx));
                user!(machine.dict(cx, from));
            }
            Op::LongBinGet => {
                let index = u32::from_le_bytes(take!());
                check!(machine.get(cx, index as usize));
            }
            Op::BinPut => {
                let [index] = take!();
                check!(machine.put(cx, index.into()));
            }
            Op::LongBinPut => {
                let index = u32::from_le_bytes(take!());
                check!(machine.put(cx, index as usize));
            }
            Op::Get => {
                attached!();
                let line = line!();
                let index = check!(scalars::index(py, line));
                check!(machine.get_signed(cx, index));
            }
            Op::Put => {
                attached!();
                let line = line!();
                check!(machine.put_text(cx, line));
            }
            Op::BinUnicode => {
                let len = u32::from_le_bytes(take!());
                let data = large!(len as usize);
                push!(check!(machine.text(py, data)));
            }
            Op::BinUnicode8 => {
                let len = check!(length::long(py, op, take!()));
                let data = large!(len);
                push!(check!(machine.text(py, data)));
            }
            Op::ShortBinBytes => {
                let [len] = take!();
                let data = bytes!(usize::from(len));
                push!(check!(make::bytes(py, data)));
            }
            Op::BinBytes => {
                let len = u32::from_le_bytes(take!());
                let data = bytes!(len as usize);
                push!(check!(make::bytes(py, data)));
            }
            Op::BinBytes8 => {
                let len = check!(length::long(py, op, take!()));
                let data = bytes!(len);
                push!(check!(make::bytes(py, data)));
            }
            Op::ByteArray8 => {
                let len = check!(length::long(py, op, take!()));
                let data = bytes!(len);
                push!(check!(make::bytearray(py, data)));
            }
            Op::Long1 => {
                let [len] = take!();
                let data = payload!(usize::from(len));
                machine.stack.push(check!(make::int_from_le(py, data)));
            }
            Op::Long4 => {
                let len = check!(length::of(py, op, &take!() as &[u8; 4]));
                let data = payload!(len);
                machine.stack.push(check!(make::int_from_le(py, data)));
            }
            Op::ShortBinString => {
                attached!();
                let [len] = take!();
                let data = payload!(usize::from(len));
                machine.pause.end();
                let text = scalars::bin_string(py, data, cx.options.decoding.as_deref());
                let text = user!(text);
                machine.stack.push(text);
            }
            Op::BinString => {
                attached!();
                let len = check!(length::of(py, op, &take!() as &[u8; 4]));
                let data = payload!(len);
                machine.pause.end();
                let text = scalars::bin_string(py, data, cx.options.decoding.as_deref());
                let text = user!(text);
                machine.stack.push(text);
            }
            Op::Int => {
                attached!();
                let line = line!();
                machine.stack.push(check!(scalars::int(py, line)));
            }
            Op::Long => {
                attached!();
                let line = line!();
                machine.stack.push(check!(scalars::long(py, line)));
            }
            Op::Float => {
                attached!();
                let line = line!();
                machine.stack.push(check!(scalars::float(py, line)));
            }
            Op::String => {
                attached!();
                let line = line!();
                machine.pause.end();
                let text = scalars::string(py, line, cx.options.decoding.as_deref());
                let text = user!(text);
                machine.stack.push(text);
            }
            Op::Unicode => {
                attached!();
                let line = line!();
                machine.pause.end();
                let text = user!(scalars::unicode(py, line));
                machine.stack.push(text);
            }
            Op::StackGlobal => {
                attached!();
                user!(machine.stack_global(cx));
            }
            Op::Global => {
                attached!();
                let module = check!(objects::name(py, op, line!()));
                let name = check!(objects::name(py, op, line!()));
                user!(machine.global(cx, &module, &name));
            }
            Op::Reduce => {
                attached!();
                user!(machine.reduce(cx));
            }
            Op::NewObj => {
                attached!();
                user!(machine.new_object(cx, false));
            }
            Op::NewObjEx => {
                attached!();
                user!(machine.new_object(cx, true));
            }
            Op::Build => {
                attached!();
                user!(machine.build(cx));
            }
            Op::Obj => {
                attached!();
                user!(machine.obj(cx));
            }
            Op::Inst => {
                attached!();
                check!(machine.stack.check_marked(py));
                let module = check!(objects::name(py, op, line!()));
                let name = check!(objects::name(py, op, line!()));
                user!(machine.inst(cx, &module, &name));
            }
            Op::Ext1 => {
                attached!();
                let [code] = take!();
                user!(machine.extension(cx, code.into()));
            }
            Op::Ext2 => {
                attached!();
                let code = u16::from_le_bytes(take!());
                user!(machine.extension(cx, code.into()));
            }
            Op::Ext4 => {
                attached!();
                let code = i32::from_le_bytes(take!());
                user!(machine.extension(cx, code));
            }
            Op::PersId => {
                attached!();
                check!(machine.check_persistent_first(cx));
                let line = line!();
                user!(machine.persistent_text(cx, line));
            }
            Op::BinPersId => {
                attached!();
                user!(machine.persistent_object(cx));
            }
            Op::NextBuffer => {
                attached!();
                user!(machine.next_buffer(cx));
            }
            Op::ReadonlyBuffer => {
                attached!();
                check!(machine.readonly_buffer(cx));
            }
            Op::Pop => user!(machine.pop(cx)),
            Op::PopMark => {
                let from = check!(machine.unmark(cx));
                machine.pause.end();
                machine.stack.cut(py, from);
                machine.pause(cx);
            }
            Op::Dup => {
                let top = check!(machine.stack.top(py)).clone();
                machine.stack.push(top);
            }
            Op::Proto => {
                let [proto] = take!();
                check!(machine.protocol(cx, proto));
            }
            Op::Frame => {
                if machine.over {
                    *place = start;
                    return Ok(Step::Attach);
                }
                let len = take!();
                // C looks at the frame that is open before it looks at the length.
                if machine.framed && !at.is_empty() {
                    check!(Err(input::frame_in_frame(py)));
                }
                let len = check!(length::long(py, op, len));
                // Where frames are no limit, one that is here in full means nothing; where they are, one
                // that ends with the window limits nothing more. Most pickles are one such frame.
                if !QUIRKS.frames_enforced && len <= at.len() {
                    continue;
                }
                if len == at.len() && !machine.framed {
                    machine.framed = true;
                    continue;
                }
                *place = at;
                return Ok(Step::Frame(len));
            }
            Op::Stop => {
                *place = at;
                return Ok(Step::Stop);
            }
        }
    }
}

/// The error for a byte that is no opcode.
#[cold]
#[inline(never)]
fn bad_opcode(py: Python<'_>, byte: u8) -> crate::object::Raised {
    let key = match byte {
        b'\'' | b'\\' | ..0x20 | 0x7f.. => format!("\\x{byte:02x}"),
        _ => char::from(byte).to_string(),
    };
    errors::unpickling(py, &format!("invalid load key, '{key}'."))
}

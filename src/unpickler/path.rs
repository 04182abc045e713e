//! Into what the object would have gone whose opcode failed: read off the stack and the opcodes that follow.
//!
//! The object is a *hole* in the stack. Everything below it is there; what the stream would put above it is only
//! counted. An opcode that takes the hole says what the object was to be a part of, and what that
//! opcode makes is the next hole. Marks whose opcode is not at hand are told as what they are.
//!
//! This runs after a failure alone. It calls no code, keeps nothing that grows with the stream, and is
//! wrong at worst about a stream that is malformed further on. It must not make texts: that is for `notes.rs`.

use std::collections::VecDeque;

use crate::format::opcode::{Arg, Op, Slot};
use crate::object::cursor::Cursor;

/// Opcodes that are looked at.
const OPCODES: usize = 1 << 20;

/// Marks of the stream ahead that may be open.
const MARKS: usize = 1 << 13;

/// Levels kept at each end of the path.
pub const ENDS: usize = 50;

/// One level; numbers are places on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    /// One of the objects that are appended to the container; the first is 0.
    Item {
        container: usize,
        index: usize,
    },
    ListItem(usize),
    TupleItem(usize),
    Key,
    /// A value; the container is a new dict where none is named.
    Value {
        container: Option<usize>,
        key: usize,
    },
    SetElement,
    FrozensetElement,
    Callable,
    /// The arguments of what is called.
    Arguments(usize),
    /// The state of an instance.
    State(usize),
    PersistentId,
    GlobalName,
    /// An object of which the stream does not say, as far as it is at hand, what it is for: so far above a mark.
    Above {
        below: Option<usize>,
        index: usize,
    },
}

/// The levels at both ends, innermost first, and how many are between them.
#[derive(Default)]
pub struct Path {
    inner: Vec<Level>,
    outer: VecDeque<Level>,
    between: usize,
}

impl Path {
    fn push(&mut self, level: Level) {
        if self.inner.len() < ENDS {
            self.inner.push(level);
            return;
        }
        if self.outer.len() == ENDS {
            self.outer.pop_front();
            self.between += 1;
        }
        self.outer.push_back(level);
    }

    /// The innermost levels.
    pub fn inner(&self) -> impl Iterator<Item = Level> {
        self.inner.iter().copied()
    }

    /// How many levels are left out.
    pub fn between(&self) -> usize {
        self.between
    }

    /// The outermost levels.
    pub fn outer(&self) -> impl Iterator<Item = Level> {
        self.outer.iter().copied()
    }
}

/// The byte of the opcode at the front, and what follows its argument; None instead if that is not at hand.
pub fn next(at: Cursor<'_>) -> Option<(u8, Option<Cursor<'_>>)> {
    let (byte, rest) = at.byte()?;
    let fixed = |width: usize| Some(rest.split(width)?.1);
    let after = Op::decode(byte).and_then(|op| match op.info().arg {
        Arg::None => Some(rest),
        Arg::Uint1 => fixed(1),
        Arg::Uint2 => fixed(2),
        Arg::Int4 | Arg::Uint4 => fixed(4),
        Arg::Uint8 | Arg::Float8 => fixed(8),
        Arg::DecimalnlShort
        | Arg::DecimalnlLong
        | Arg::Floatnl
        | Arg::Stringnl
        | Arg::StringnlNoescape
        | Arg::Unicodestringnl => Some(rest.line()?.1),
        Arg::StringnlNoescapePair => Some(rest.line()?.1.line()?.1),
        Arg::String1 | Arg::Long1 | Arg::Bytes1 | Arg::Unicodestring1 => counted(rest, 1),
        Arg::String4 | Arg::Long4 | Arg::Bytes4 | Arg::Unicodestring4 => counted(rest, 4),
        Arg::Bytes8 | Arg::Bytearray8 | Arg::Unicodestring8 => counted(rest, 8),
    });
    Some((byte, after))
}

/// What follows a payload whose length comes first, in `width` bytes.
fn counted(at: Cursor<'_>, width: usize) -> Option<Cursor<'_>> {
    let (count, rest) = at.split(width)?;
    Some(rest.split(count.number()?)?.1)
}

/// The path from the hole outwards. `marks` are those of the stack, topmost last; `ahead` is what follows the
/// opcode that failed.
pub fn find(hole: usize, marks: &[usize], ahead: Cursor<'_>) -> Path {
    let mut walk = Walk {
        hole,
        marks,
        above: 0,
        marks_above: Vec::new(),
        path: Path::default(),
    };
    let mut at = ahead;
    for _ in 0..OPCODES {
        let Some((byte, Some(rest))) = next(at) else {
            break;
        };
        at = rest;
        match Op::decode(byte) {
            Some(Op::Stop) if walk.marks.is_empty() => return walk.path,
            Some(op) if walk.step(op).is_some() => {}
            _ => break,
        }
    }
    walk.rest();
    walk.path
}

struct Walk<'a> {
    hole: usize,
    /// Marks below the hole.
    marks: &'a [usize],
    /// Objects that the stream has put above the hole.
    above: usize,
    /// How many of them there were at each mark that is above the hole.
    marks_above: Vec<usize>,
    path: Path,
}

impl Walk<'_> {
    /// Follows one opcode; None where the path ends.
    fn step(&mut self, op: Op) -> Option<()> {
        let (before, after) = (op.info().before, op.info().after);
        match op {
            Op::Stop => return None,
            Op::Mark => {
                if self.marks_above.len() == MARKS {
                    return None;
                }
                self.marks_above.push(self.above);
            }
            Op::Dup => self.above += 1,
            Op::Pop if self.marks_above.last() == Some(&self.above) => {
                self.marks_above.pop();
            }
            Op::Pop => self.above = self.above.checked_sub(1)?,
            _ if before.contains(&Slot::Mark) => {
                let into = usize::from(before[0] != Slot::Mark);
                let made = after.len();
                match self.marks_above.pop() {
                    Some(above) => self.above = above + made - into,
                    None => self.close(op, into)?,
                }
            }
            _ => self.take(op, before.len(), after.len())?,
        }
        Some(())
    }

    /// An opcode that takes a fixed number of objects.
    fn take(&mut self, op: Op, taken: usize, made: usize) -> Option<()> {
        let free = self.above - self.marks_above.last().copied().unwrap_or(0);
        if taken <= free {
            self.above = self.above - taken + made;
            return Some(());
        }
        if !self.marks_above.is_empty() {
            return None;
        }
        // The hole is the operand with this index.
        let index = taken - 1 - self.above;
        let first = self.hole.checked_sub(index)?;
        if self.marks.last().is_some_and(|&mark| first < mark) {
            return None;
        }
        let level = match (op, index) {
            (Op::Append, 1) => Some(Level::Item {
                container: first,
                index: 0,
            }),
            (Op::SetItem, 1) => Some(Level::Key),
            (Op::SetItem, 2) => Some(Level::Value {
                container: Some(first),
                key: first + 1,
            }),
            (Op::Tuple1 | Op::Tuple2 | Op::Tuple3, _) => Some(Level::TupleItem(index)),
            (Op::Reduce | Op::NewObj | Op::NewObjEx, 0) => Some(Level::Callable),
            (Op::Reduce | Op::NewObj | Op::NewObjEx, _) => Some(Level::Arguments(first)),
            (Op::Build, 1) => Some(Level::State(first)),
            (Op::BinPersId, _) => Some(Level::PersistentId),
            (Op::StackGlobal, _) => Some(Level::GlobalName),
            _ => None,
        };
        if let Some(level) = level {
            self.path.push(level);
        }
        self.hole = first;
        self.above = 0;
        Some(())
    }

    /// An opcode that takes the topmost mark below the hole; `into` is 1 if the container is under the mark.
    fn close(&mut self, op: Op, into: usize) -> Option<()> {
        let (&mark, marks) = self.marks.split_last()?;
        let index = self.hole.checked_sub(mark)?;
        let made = mark.checked_sub(into)?;
        let container = (into == 1).then_some(made);
        let level = match op {
            Op::Appends => Level::Item {
                container: made,
                index,
            },
            Op::SetItems | Op::Dict if index.is_multiple_of(2) => Level::Key,
            Op::SetItems | Op::Dict => Level::Value {
                container,
                key: self.hole - 1,
            },
            Op::AddItems => Level::SetElement,
            Op::FrozenSet => Level::FrozensetElement,
            Op::Tuple => Level::TupleItem(index),
            Op::List => Level::ListItem(index),
            Op::Obj if index == 0 => Level::Callable,
            Op::Obj => Level::Arguments(mark),
            _ => return None,
        };
        self.path.push(level);
        (self.marks, self.hole, self.above) = (marks, made, 0);
        Some(())
    }

    /// The marks that are left, or else what is below the hole.
    fn rest(&mut self) {
        if self.marks.is_empty()
            && let Some(below) = self.hole.checked_sub(1)
        {
            let below = Some(below);
            self.path.push(Level::Above { below, index: 0 });
        }
        while let Some((&mark, marks)) = self.marks.split_last() {
            self.marks = marks;
            let Some(index) = self.hole.checked_sub(mark) else {
                continue;
            };
            let below = mark.checked_sub(1);
            self.path.push(Level::Above { below, index });
            self.hole = below.unwrap_or(0);
        }
    }
}

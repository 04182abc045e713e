//! Iterates over the opcodes of a pickle, without making anything of them.
//!
//! No memory is taken: arguments are slices of the pickle. What an opcode does to the stack or the memo is not
//! looked at; so a pickle that scans may still not load.

use super::arg::{self, Value};
use super::opcode::Op;

/// One opcode of a pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// Where its byte stands.
    pub position: usize,
    /// The opcode.
    pub op: Op,
    /// Its argument.
    pub arg: Value<'a>,
}

/// Why a pickle cannot be scanned further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where the opcode stands that is at fault.
    pub position: usize,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// See [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The data ends where an opcode should stand; no STOP came.
    NoStop,
    /// No opcode has this byte.
    UnknownOpcode(u8),
    /// The argument is at fault.
    Argument(arg::Error),
}

/// An iterator over the opcodes of the pickle at the start of some data.
///
/// It ends after STOP, or after the first error.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    data: &'a [u8],
    position: usize,
    ended: bool,
}

impl<'a> Scan<'a> {
    /// Starts at the first byte.
    pub fn new(data: &'a [u8]) -> Self {
        Scan {
            data,
            position: 0,
            ended: false,
        }
    }

    /// Where the next opcode stands; at the end, just behind the pickle.
    pub fn position(&self) -> usize {
        self.position
    }

    fn step(&self) -> Result<(Step<'a>, usize), ErrorKind> {
        let (&byte, rest) = self.data[self.position..]
            .split_first()
            .ok_or(ErrorKind::NoStop)?;
        let op = Op::decode(byte).ok_or(ErrorKind::UnknownOpcode(byte))?;
        let (arg, rest) = arg::decode(op.info().arg, rest).map_err(ErrorKind::Argument)?;
        let step = Step {
            position: self.position,
            op,
            arg,
        };
        Ok((step, self.data.len() - rest.len()))
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Step<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.step() {
            Ok((step, next)) => {
                self.position = next;
                self.ended = step.op == Op::Stop;
                Some(Ok(step))
            }
            Err(kind) => {
                self.ended = true;
                Some(Err(Error {
                    position: self.position,
                    kind,
                }))
            }
        }
    }
}

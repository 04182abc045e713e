//! Reads a stream: opcodes in, objects out.
//!
//! A [`Machine`] has the stack, the memo and the loop; an [`Input`](input::Input) the bytes. Nothing here
//! recurses: deep data only makes the stack longer. What a length or an index in the stream says is
//! believed only as far as data backs it. Stack and marks belong to one load; the memo
//! belongs to the Unpickler, and code that runs during the load may look at it and change it.
//!
//! - `run.rs` is the loop, `pieces.rs` the opcode that its window lacks, `input.rs` the window.
//! - `scalars.rs`, `containers.rs`, `objects.rs`, `globals.rs`: what the opcodes do.
//! - `hooks.rs`: what a subclass of Unpickler may change.
//! - `stack.rs`, `memo.rs`, `length.rs`, `scratch.rs`: data.

mod containers;
mod globals;
pub mod hooks;
pub mod input;
mod length;
pub mod memo;
mod objects;
mod pieces;
mod run;
mod scalars;
pub mod scratch;
mod stack;

pub use globals::find_class;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors;
use crate::object::buffer::Export;
use crate::object::cell::Shared;
use crate::object::cursor::Cursor;
use crate::object::{R, Raised};
use hooks::{Defaults, Hooks, Options};
use input::{Input, Methods, Parked};
use memo::Memo;
use run::Step;
use scratch::Scratch;
use stack::Stack;

/// The newest protocol that can be read.
const HIGHEST_PROTOCOL: u8 = 5;

/// One load.
pub struct Machine<'a, 'py> {
    py: Python<'py>,
    stack: Stack<'py>,
    memo: &'a Shared<Memo>,
    hooks: &'a dyn Hooks<'py>,
    options: &'a Options<'py>,
    /// The protocol that PROTO said.
    proto: u8,
    /// An opcode that is fetched in pieces.
    piece: Vec<u8>,
}

/// Bytes to read a pickle from.
pub enum Data<'a, 'py> {
    /// Plain bytes, which nobody can change.
    Bytes(&'a Bound<'py, PyBytes>),
    /// The buffer of another object, held.
    Export(Export),
}

impl<'a, 'py> Data<'a, 'py> {
    /// The bytes of a bytes-like object.
    ///
    /// # Errors
    /// TypeError if it is none, BufferError if it is not contiguous.
    #[inline]
    pub fn of(object: &'a Bound<'py, PyAny>) -> R<Self> {
        match object.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Data::Bytes(bytes)),
            Err(_) => Ok(Data::Export(Export::contiguous(object)?)),
        }
    }
}

/// Reads one pickle from memory; what follows it is ignored.
///
/// # Errors
/// UnpicklingError or EOFError for a bad stream; whatever the code that the stream names raises.
#[inline]
pub fn loads<'py>(
    py: Python<'py>,
    data: &Data<'_, 'py>,
    options: Options<'py>,
) -> R<Bound<'py, PyAny>> {
    let bytes = match data {
        Data::Bytes(bytes) => Cursor::new(bytes.as_bytes()),
        Data::Export(export) => Cursor::from(export),
    };
    load_once(py, Input::memory(bytes), options)
}

/// Reads one pickle from a file.
///
/// # Errors
/// TypeError if the file lacks `read` or `readline`; else as [`loads`], and what the file raises.
pub fn load<'py>(file: &Bound<'py, PyAny>, options: Options<'py>) -> R<Bound<'py, PyAny>> {
    let input = Parked::new(Methods::of(file)?).resume();
    load_once(file.py(), input, options)
}

fn load_once<'py>(
    py: Python<'py>,
    mut input: Input<'_>,
    options: Options<'py>,
) -> R<Bound<'py, PyAny>> {
    let options = options.started()?;
    let hooks = Defaults {
        fix_imports: options.fix_imports,
    };
    let (mut scratch, memo) = Scratch::take();
    let memo = Shared::new(memo);
    let result = load_with(py, &mut input, &memo, &hooks, &options, &mut scratch);
    scratch.give_back(py, memo.into_inner());
    result
}

/// Reads one pickle for an Unpickler.
///
/// # Errors
/// As [`load`].
pub fn load_into<'py>(
    py: Python<'py>,
    input: &mut Input<'_>,
    memo: &Shared<Memo>,
    hooks: &dyn Hooks<'py>,
    options: &Options<'py>,
) -> R<Bound<'py, PyAny>> {
    load_with(py, input, memo, hooks, options, &mut Scratch::default())
}

fn load_with<'py>(
    py: Python<'py>,
    input: &mut Input<'_>,
    memo: &Shared<Memo>,
    hooks: &dyn Hooks<'py>,
    options: &Options<'py>,
    scratch: &mut Scratch,
) -> R<Bound<'py, PyAny>> {
    let (items, marks, piece) = scratch.lend();
    let mut machine = Machine {
        py,
        stack: Stack::new(items, marks),
        memo,
        hooks,
        options,
        proto: 0,
        piece,
    };
    let result = machine.load(input);
    let (items, marks) = machine.stack.into_parts();
    scratch.refill(items, marks, machine.piece);
    result
}

impl<'py> Machine<'_, 'py> {
    fn load(&mut self, input: &mut Input<'_>) -> R<Bound<'py, PyAny>> {
        let py = self.py;
        loop {
            let (step, left) = run::run(self, input.rest(py));
            input.leave(py, left);
            let mut step = step?;
            if let Step::More = step {
                step = pieces::step(self, input)?;
            }
            match step {
                Step::Stop(value) => {
                    input.finish(py)?;
                    return Ok(value);
                }
                Step::Frame(len) => input.begin_frame(py, len)?,
                Step::More => {}
            }
        }
    }

    /// PROTO.
    #[inline]
    fn protocol(&mut self, proto: u8) -> R<()> {
        if proto > HIGHEST_PROTOCOL {
            return Err(errors::value_error(
                self.py,
                &format!("unsupported pickle protocol: {proto}"),
            ));
        }
        self.proto = proto;
        self.hooks.protocol(proto);
        Ok(())
    }

    /// POP: the top, or the mark on top.
    fn pop(&mut self) -> R<()> {
        if self.stack.mark_on_top() {
            return self.stack.unmark(self.py).map(drop);
        }
        self.stack.pop(self.py).map(drop)
    }

    /// BINGET, LONG_BINGET.
    #[inline(always)]
    fn get(&mut self, index: usize) -> R<()> {
        match self.memo.pick(self.py, |memo| memo.get(index)) {
            Some(object) => {
                self.stack.push(object);
                Ok(())
            }
            None => Err(self.missing(index as isize)),
        }
    }

    /// GET.
    fn get_signed(&mut self, index: isize) -> R<()> {
        match usize::try_from(index) {
            Ok(index) => self.get(index),
            Err(_) => Err(self.missing(index)),
        }
    }

    #[cold]
    #[inline(never)]
    fn missing(&self, index: isize) -> Raised {
        let text = format!("Memo value not found at index {index}");
        errors::unpickling(self.py, &text)
    }

    /// MEMOIZE.
    #[inline(always)]
    fn memoize(&mut self) -> R<()> {
        let top = self.stack.top(self.py)?.clone().unbind();
        let old = self
            .memo
            .with(self.py, move |memo| memo.put(memo.next(), top));
        release(self.py, old);
        Ok(())
    }

    /// BINPUT, LONG_BINPUT.
    #[inline(always)]
    fn put(&mut self, index: usize) -> R<()> {
        let top = self.stack.top(self.py)?.clone().unbind();
        let old = self.memo.with(self.py, move |memo| memo.put(index, top));
        release(self.py, old);
        Ok(())
    }

    /// PUT.
    #[cold]
    fn put_text(&mut self, line: Cursor<'_>) -> R<()> {
        if line.len() < 2 {
            return Err(input::truncated(self.py));
        }
        self.stack.top(self.py)?;
        let index = scalars::put_index(self.py, line)?;
        self.put(index)
    }
}

/// Drops what the memo gave up.
#[inline(always)]
fn release(py: Python<'_>, old: Option<Py<PyAny>>) {
    if let Some(old) = old {
        drop(old.into_bound(py));
    }
}

//! Reads a stream: opcodes in, objects out.
//!
//! A [`Machine`] has the stack, the memo and the loop; an [`Input`](input::Input) the bytes. Nothing here
//! recurses: deep data only makes the stack longer. What a length or an index in the stream says is
//! believed only as far as data backs it. Stack and marks belong to one load; the memo
//! belongs to the Unpickler, and code that runs during the load may look at it and change it.
//!
//! - `run.rs` is the loop, `pieces.rs` the opcode that its window lacks, `input.rs` the window, `methods.rs` the file.
//! - `scalars.rs`, `containers.rs`, `objects.rs`, `globals.rs`: what the opcodes do.
//! - `hooks.rs`: what a subclass of Unpickler may change.
//! - `notes.rs`, `path.rs`: where it was when it failed.
//! - `stack.rs`, `memo.rs`, `length.rs`, `scratch.rs`: data.

mod containers;
mod dicts;
mod globals;
pub mod hooks;
pub mod input;
mod length;
pub mod memo;
pub mod methods;
mod notes;
mod objects;
mod path;
mod pieces;
mod run;
mod scalars;
pub mod scratch;
mod stack;

pub use globals::find_class;

use std::mem;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors;
use crate::format::opcode::op;
use crate::levers::{self, Lever};
use crate::object::buffer::Export;
use crate::object::cell::Shared;
use crate::object::classes::Classes;
use crate::object::collector::{PAUSES, Pause};
use crate::object::constructors::Constructors;
use crate::object::cursor::Cursor;
use crate::object::spares::Spares;
use crate::object::templates::Templates;
use crate::object::{R, Raised, signals, text};
use dicts::Pending;
use hooks::{Defaults, Hooks, Options};
use input::{File, Input};
use memo::Memo;
use methods::Methods;
use notes::Fault;
use run::Step;
use scratch::Scratch;
use stack::Stack;

/// The newest protocol that can be read.
const HIGHEST_PROTOCOL: u8 = 5;

/// Bytes in a window that make many objects: so many that the collector runs, that keys come again.
const LARGE: usize = 1024;

/// Bytes in a window of a message that may come again, with the same texts.
const SMALL: usize = 8 * 1024;

/// Bytes of a file between two looks for signals.
const BETWEEN_LOOKS: usize = 64 * 1024;

/// What a load works on; see the module. Empty between loads.
#[derive(Default)]
pub struct Machine {
    stack: Stack,
    /// Dicts that are not made yet, the topmost last.
    pending: Vec<Pending>,
    /// An opcode that is fetched in pieces.
    piece: Vec<u8>,
    /// The classes met last.
    classes: Classes,
    /// The classes called last.
    constructors: Constructors,
    /// Keys of dicts that have come before.
    templates: Templates,
    /// Texts of small messages.
    spares: Spares,
    /// The protocol that PROTO said.
    proto: u8,
    /// Whether something of the stream is not yet what code of users may see.
    loose: bool,
    /// On while the loop works through much data and no code of users runs.
    pause: Pause,
    /// Whether there is so much data that what saves time later is worth the time now.
    large: bool,
    /// Whether there is so little that the next message may look like it.
    small: bool,
    /// Whether the memo of an Unpickler that has loaded before keeps the texts that are loaded.
    kept: bool,
    /// Whether a frame ends where the window ends.
    framed: bool,
    /// Only opcodes of plain data are executed.
    plain: bool,
    /// There is, or has been, more than plain data.
    mixed: bool,
    /// The file is ahead of the window: see [`Input::settle`].
    over: bool,
    /// The index of the last dict that was made before its items.
    last_dict: usize,
    /// Where the last look for signals between two windows was.
    looked: usize,
    /// What is known of an error on its way out.
    fault: Fault,
}

/// What a load is given.
pub struct Context<'a, 'py> {
    py: Python<'py>,
    memo: &'a Shared<Memo>,
    hooks: &'a dyn Hooks<'py>,
    options: &'a Options<'py>,
    /// Whether the memo belongs to an Unpickler, where Python code can see it.
    visible: bool,
    /// Whether PyO3 has been told that the thread is attached; see [`loads_in_short`].
    attached: bool,
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
    load_once(py, &mut Input::memory(bytes), options)
}

/// [`loads`] of a short message, in an attached thread that PyO3 was not told of; None for a long one.
///
/// Telling costs a fifth of a tiny message. Without it a `Py` that is dropped waits for the next call that tells, so
/// only opcodes that make plain data are executed, whose code drops `Bound`s: they cannot run code of users. The
/// loop stops in front of the first other one, and PyO3 is told.
///
/// # Errors
/// As [`loads`].
#[inline]
pub fn loads_in_short<'py>(
    py: Python<'py>,
    bytes: &Bound<'py, PyBytes>,
) -> Option<R<Bound<'py, PyAny>>> {
    let bytes = bytes.as_bytes();
    if bytes.len() > LARGE || begins_with_text(bytes) || !levers::on(Lever::Short) {
        return None;
    }
    let mut input = Input::memory(Cursor::new(bytes));
    let options = Options::default();
    let hooks = Defaults { fix_imports: true };
    let mut scratch = match Scratch::take(py) {
        Ok(scratch) => scratch,
        Err(raised) => return Some(Err(raised)),
    };
    let Scratch { machine, memo } = &mut *scratch;
    machine.proto = 0;
    machine.looked = 0;
    let cx = Context {
        py,
        memo,
        hooks: &hooks,
        options: &options,
        visible: false,
        attached: false,
    };
    let step = machine.run(&cx, &mut input);
    if let Ok(Step::Stop) = step
        && machine.stack.free() > 0
        && let Ok(value) = machine.stack.pop(py)
    {
        machine.clear(py);
        memo::empty(py, memo);
        scratch.give_back(py);
        return Some(Ok(value));
    }
    Some(Python::attach(|_| {
        let Scratch { machine, memo } = &mut *scratch;
        let cx = Context {
            py,
            memo,
            hooks: &hooks,
            options: &options,
            visible: false,
            attached: true,
        };
        let result = machine.go_on(&cx, &mut input, step);
        memo::empty(py, memo);
        scratch.give_back(py);
        result
    }))
}

/// Whether a text is what a pickle of protocol 4 or 5 begins with: most often the module of a class.
#[inline(always)]
fn begins_with_text(bytes: &[u8]) -> bool {
    let first = match bytes {
        [op::PROTO, _, op::FRAME, _, _, _, _, _, _, _, _, first, ..] => *first,
        [op::PROTO, _, first, ..] => *first,
        _ => return false,
    };
    first == op::SHORT_BINUNICODE
}

/// Reads one pickle from a file.
///
/// # Errors
/// TypeError if the file lacks `read` or `readline`; else as [`loads`], and what the file raises.
pub fn load<'py>(file: &Bound<'py, PyAny>, options: Options<'py>) -> R<Bound<'py, PyAny>> {
    let mut source = File::new(Methods::of(file)?);
    load_once(file.py(), &mut Input::file(&mut source), options)
}

fn load_once<'py>(
    py: Python<'py>,
    input: &mut Input<'_>,
    mut options: Options<'py>,
) -> R<Bound<'py, PyAny>> {
    options.start()?;
    let mut scratch = Scratch::take(py)?;
    let Scratch { machine, memo } = &mut *scratch;
    let result = machine.load(
        &Context {
            py,
            memo,
            hooks: &Defaults {
                fix_imports: options.fix_imports,
            },
            options: &options,
            visible: false,
            attached: true,
        },
        input,
    );
    // Dropping may run Python code, which may load: the memory is not yet given back.
    memo::empty(py, memo);
    scratch.give_back(py);
    result
}

/// Reads one pickle for an Unpickler, with its memo. The buffers are an iterator.
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
    let mut scratch = Scratch::take(py)?;
    let result = scratch.machine.load(
        &Context {
            py,
            memo,
            hooks,
            options,
            visible: true,
            attached: true,
        },
        input,
    );
    scratch.give_back(py);
    result
}

/// Moves a file that is ahead to where C would have it, beside an exception.
#[cold]
fn settled(py: Python<'_>, raised: Raised, input: &mut Input<'_>) -> Raised {
    let err = raised.take(py);
    if let Err(second) = input.settle(py) {
        drop(second.take(py));
    }
    Raised::new(py, err)
}

impl Machine {
    fn load<'py>(&mut self, cx: &Context<'_, 'py>, input: &mut Input<'_>) -> R<Bound<'py, PyAny>> {
        self.proto = 0;
        self.looked = 0;
        self.kept = cx.visible && cx.memo.with(cx.py, |memo| memo.next() != 0);
        if cx.options.decoding.is_some() {
            // A codec may be code of users.
            input.forbid_ahead();
        }
        let step = if input.rest(cx.py).is_empty() {
            Ok(Step::More)
        } else {
            self.run(cx, input)
        };
        self.go_on(cx, input, step)
    }

    /// Loads on from where the loop has stopped.
    fn go_on<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        input: &mut Input<'_>,
        step: R<Step>,
    ) -> R<Bound<'py, PyAny>> {
        let mut result = self.load_pickle(cx, input, step);
        self.pause.end();
        if self.mixed {
            input.forbid_ahead();
        }
        if let Err(raised) = result {
            result = Err(self.add_notes(cx, raised, input));
            if input.is_over() {
                result = result.map_err(|raised| settled(cx.py, raised, input));
            }
        }
        if self.loose && cx.visible {
            // Whoever looks at the memo now finds what C has there.
            if let Err(raised) = self.thaw(cx) {
                result = result.and(Err(raised));
            }
        }
        self.clear(cx.py);
        result
    }

    /// Forgets what belongs to one load.
    #[inline(always)]
    fn clear(&mut self, py: Python<'_>) {
        self.loose = false;
        self.mixed = false;
        self.kept = false;
        self.pending.clear();
        self.templates.clear(py);
        self.stack.clear(py);
    }

    fn load_pickle<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        input: &mut Input<'_>,
        mut step: R<Step>,
    ) -> R<Bound<'py, PyAny>> {
        loop {
            let mut done = step?;
            if let Step::More = done {
                let byte = input.position();
                done = pieces::step(self, cx, input).inspect_err(|_| {
                    self.fault.at(byte, self.piece.first().copied());
                })?;
            }
            match done {
                Step::Stop => {
                    return input
                        .finish(cx.py)
                        .and_then(|()| self.stack.pop(cx.py))
                        .inspect_err(|_| {
                            self.fault.at(input.position() - 1, Some(op::STOP));
                        });
                }
                Step::Frame(len) => {
                    if let Err(raised) = input.begin_frame(cx.py, len) {
                        self.fault.at(input.position() - 9, Some(op::FRAME));
                        return Err(raised);
                    }
                }
                Step::Attach => {
                    input.settle(cx.py)?;
                    self.mixed = true;
                }
                Step::More => {}
            }
            self.look(cx, input)?;
            step = self.run(cx, input);
        }
    }

    /// Executes what is in the window.
    #[inline]
    fn run(&mut self, cx: &Context<'_, '_>, input: &mut Input<'_>) -> R<Step> {
        let py = cx.py;
        self.framed = input.is_framed();
        self.over = input.is_over();
        self.plain = self.over || !cx.attached;
        let window = input.rest(py);
        self.large = window.len() > LARGE;
        self.small = window.len() <= SMALL && !self.kept;
        self.pause(cx);
        let (step, left) = run::run(self, cx, window);
        if step.is_err() {
            let done = window.first(window.len() - left);
            self.fault.at_end_of(done, input.position());
        }
        input.leave(py, left, self.framed);
        // The methods of a file are code of users.
        self.pause.end();
        step
    }

    /// Looks for signals between two windows: the loop counts opcodes of one window only.
    fn look(&mut self, cx: &Context<'_, '_>, input: &Input<'_>) -> R<()> {
        let position = input.position();
        if position.saturating_sub(self.looked) < BETWEEN_LOOKS {
            return Ok(());
        }
        self.looked = position;
        signals::handle(cx.py).inspect_err(|_| self.fault.at(position, None))
    }

    /// No code of users runs until [`Machine::thaw`] or [`Machine::show`] says so.
    #[inline(always)]
    fn pause(&mut self, cx: &Context<'_, '_>) {
        if PAUSES && self.large {
            self.pause.begin(cx.py);
        }
    }

    /// Entries that there is memory for.
    fn capacity(&self) -> usize {
        let other = self.pending.capacity().max(self.piece.capacity());
        self.stack.capacity().max(other)
    }

    /// Gives memory back.
    fn shrink(&mut self) {
        *self = Machine {
            classes: mem::take(&mut self.classes),
            constructors: mem::take(&mut self.constructors),
            spares: mem::take(&mut self.spares),
            ..Machine::default()
        };
    }

    /// A str from the stream.
    #[inline(always)]
    fn text<'py>(&mut self, py: Python<'py>, data: Cursor<'_>) -> R<Bound<'py, PyAny>> {
        if self.small {
            self.spares.text(py, data)
        } else {
            text::text(py, data)
        }
    }

    /// PROTO.
    #[inline]
    fn protocol(&mut self, cx: &Context<'_, '_>, proto: u8) -> R<()> {
        if proto > HIGHEST_PROTOCOL {
            return Err(errors::value_error(
                cx.py,
                &format!("unsupported pickle protocol: {proto}"),
            ));
        }
        self.proto = proto;
        cx.hooks.protocol(proto);
        Ok(())
    }

    /// POP: the top, or the mark on top.
    fn pop(&mut self, cx: &Context<'_, '_>) -> R<()> {
        self.pause.end();
        if self.stack.mark_on_top() {
            return self.unmark(cx).map(drop);
        }
        self.stack.pop(cx.py).map(drop)
    }

    /// BINGET, LONG_BINGET.
    #[inline(always)]
    fn get(&mut self, cx: &Context<'_, '_>, index: usize) -> R<()> {
        match cx.memo.pick(cx.py, |memo| memo.get(index)) {
            Some(object) => {
                self.stack.push(object);
                Ok(())
            }
            None => self.get_absent(cx, index),
        }
    }

    /// GET.
    fn get_signed(&mut self, cx: &Context<'_, '_>, index: isize) -> R<()> {
        match usize::try_from(index) {
            Ok(index) => self.get(cx, index),
            Err(_) => Err(self.missing(cx, index)),
        }
    }

    #[cold]
    #[inline(never)]
    fn missing(&self, cx: &Context<'_, '_>, index: isize) -> Raised {
        let text = format!("Memo value not found at index {index}");
        errors::unpickling(cx.py, &text)
    }

    /// MEMOIZE.
    #[inline(always)]
    fn memoize(&mut self, cx: &Context<'_, '_>) -> R<()> {
        let index = cx.memo.with(cx.py, |memo| memo.next());
        self.put(cx, index)
    }

    /// Pushes an object, and MEMOIZE.
    #[inline(always)]
    fn push_memoized<'py>(&mut self, cx: &Context<'_, 'py>, object: Bound<'py, PyAny>) -> R<()> {
        let memoised = object.clone().unbind();
        self.stack.push(object);
        let refused = cx
            .memo
            .with(cx.py, move |memo| memo.push(memo.next(), memoised));
        match refused {
            None => Ok(()),
            Some(object) => {
                let index = cx.memo.with(cx.py, |memo| memo.next());
                self.put_over(cx, index, object)
            }
        }
    }

    /// BINPUT, LONG_BINPUT.
    #[inline(always)]
    fn put(&mut self, cx: &Context<'_, '_>, index: usize) -> R<()> {
        let top = self.stack.top(cx.py)?.clone().unbind();
        let refused = cx.memo.with(cx.py, move |memo| memo.push(index, top));
        if let Some(top) = refused {
            return self.put_over(cx, index, top);
        }
        Ok(())
    }

    /// PUT.
    #[cold]
    fn put_text(&mut self, cx: &Context<'_, '_>, line: Cursor<'_>) -> R<()> {
        if line.len() < 2 {
            return Err(input::truncated(cx.py));
        }
        self.stack.top(cx.py)?;
        let index = scalars::put_index(cx.py, line)?;
        self.put(cx, index)
    }
}

/// Drops what the memo gave up.
#[inline(always)]
fn release(py: Python<'_>, old: Option<Py<PyAny>>) {
    if let Some(old) = old {
        drop(old.into_bound(py));
    }
}

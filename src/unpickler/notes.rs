//! Where in the stream a load failed: notes on the exception (`BaseException.add_note`), one for the byte and the
//! opcode, then one for each object around it, innermost first. C has none (CPython issue 130621).
//!
//! Nothing of this costs a load that succeeds: what is said here is found out after the failure. The
//! message of the exception is never touched, and a note that cannot be made is left out.

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyList, PyString, PyType};
use smallvec::{SmallVec, smallvec};

use super::input::Input;
use super::path::{self, Level};
use super::{Context, Machine};
use crate::errors;
use crate::format::opcode::Op;
use crate::object::cursor::Cursor;
use crate::object::names::full_name;
use crate::object::{R, Raised, attr, build, can_be_noted, fallible};
use crate::state::State;

/// Characters of a key or name that are shown.
const SHOWN: usize = 100;

/// What failed.
#[derive(Default)]
pub struct Fault {
    /// Where the opcode begins, counted from where the load began.
    byte: usize,
    /// The byte there; None between two opcodes.
    opcode: Option<u8>,
    /// Whether it was a handler of a signal that failed, and no opcode.
    between: bool,
    /// What was called, or the module and the name that were looked for.
    culprit: SmallVec<[Py<PyAny>; 2]>,
}

impl Fault {
    /// An opcode in pieces.
    #[cold]
    pub fn at(&mut self, byte: usize, opcode: Option<u8>) {
        self.byte = byte;
        self.opcode = opcode;
    }

    /// The last opcode of `done`, which begins at `byte` of the stream.
    #[cold]
    pub fn at_end_of(&mut self, done: Cursor<'_>, byte: usize) {
        let mut at = done;
        if self.between {
            return self.at(byte + done.len(), None);
        }
        while let Some((opcode, rest)) = path::next(at) {
            self.at(byte + (done.len() - at.len()), Some(opcode));
            match rest {
                Some(rest) => at = rest,
                None => return,
            }
        }
        if done.is_empty() {
            self.at(byte, None);
        }
    }
}

impl Machine {
    /// Remembers what was called when it fails.
    #[cold]
    pub fn blame(&mut self, callable: &Bound<'_, PyAny>, raised: Raised) -> Raised {
        self.fault.culprit = smallvec![callable.clone().unbind()];
        raised
    }

    /// Remembers the name that was not found.
    #[cold]
    pub fn blame_name(
        &mut self,
        module: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        raised: Raised,
    ) -> Raised {
        self.fault.culprit = smallvec![module.clone().unbind(), name.clone().unbind()];
        raised
    }

    /// Remembers that the opcode in front is done.
    #[cold]
    pub fn blame_signal(&mut self, raised: Raised) -> Raised {
        self.fault.between = true;
        raised
    }

    /// Adds the notes, in a load that stands where it failed.
    #[cold]
    #[inline(never)]
    pub fn add_notes(&mut self, cx: &Context<'_, '_>, raised: Raised, input: &Input<'_>) -> Raised {
        let py = cx.py;
        let err = raised.take(py);
        let fault = std::mem::take(&mut self.fault);
        if !can_be_noted(py, &err) {
            drop_all(py, fault);
            return Raised::new(py, err);
        }
        let mut ahead = input.since(py, fault.byte);
        if fault.opcode.is_some() {
            ahead = path::next(ahead)
                .and_then(|(_, rest)| rest)
                .unwrap_or(Cursor::new(&[]));
        }
        // Names of classes may be looked up by code of users.
        let noted = self
            .thaw(cx)
            .and_then(|()| self.add_all(py, &err, &fault, ahead));
        if let Err(raised) = noted {
            drop(raised.take(py));
        }
        drop_all(py, fault);
        Raised::new(py, err)
    }

    fn add_all(&self, py: Python<'_>, err: &PyErr, fault: &Fault, ahead: Cursor<'_>) -> R<()> {
        let op = fault.opcode.and_then(Op::decode);
        let byte = fault.byte;
        let text = match (op, fault.opcode) {
            (Some(op), _) => {
                format!(
                    "at byte {byte}, opcode {}{}",
                    op.name(),
                    culprit(py, &fault.culprit)?
                )
            }
            (None, Some(_)) => format!("at byte {byte}, no opcode"),
            (None, None) => format!("at byte {byte}, reading an opcode"),
        };
        errors::add_note(py, err, &text)?;
        let fills = op.is_some_and(fills);
        let hole = self
            .stack
            .len()
            .saturating_sub((fills || op.is_some_and(puts)).into());
        if fills && let Some(what) = self.kind_at(py, hole)? {
            errors::add_note(py, err, &format!("when filling a {what} object"))?;
        }
        let path = path::find(hole, self.stack.marks(), ahead);
        for level in path.inner() {
            errors::add_note(py, err, &self.describe(py, level)?)?;
        }
        if path.between() > 0 {
            let text = format!("({} levels are left out here)", path.between());
            errors::add_note(py, err, &text)?;
        }
        for level in path.outer() {
            errors::add_note(py, err, &self.describe(py, level)?)?;
        }
        Ok(())
    }

    fn describe(&self, py: Python<'_>, level: Level) -> R<String> {
        let kind = |place| Ok::<_, Raised>(self.kind_at(py, place)?.unwrap_or("object".into()));
        let what = match level {
            Level::Item { container, index } => {
                let there = self.at(py, container);
                let before = there
                    .as_ref()
                    .and_then(|object| object.cast::<PyList>().ok())
                    .map_or(0, |list| list.len());
                format!("{} item {}", kind(container)?, before + index)
            }
            Level::ListItem(index) => format!("list item {index}"),
            Level::TupleItem(index) => format!("tuple item {index}"),
            Level::Key => "dict key".into(),
            Level::Value { container, key } => {
                let container = match container {
                    Some(place) => kind(place)?,
                    None => "dict".into(),
                };
                match self.at(py, key) {
                    Some(key) if build::is_atom(&key) => {
                        format!("{container} item {}", cut(fallible::shown(&key.repr()?)?))
                    }
                    Some(key) => {
                        format!(
                            "{container} item whose key is a {}",
                            full_name(&key.get_type())?
                        )
                    }
                    None => format!("{container} item"),
                }
            }
            Level::SetElement => "set element".into(),
            Level::FrozensetElement => "frozenset element".into(),
            Level::Callable => "what is to be called".into(),
            Level::Arguments(place) => match self.at(py, place) {
                Some(callable) => format!("arguments of {}", name_of(&callable)?),
                None => "arguments".into(),
            },
            Level::State(place) => format!("{} state", kind(place)?),
            Level::PersistentId => "a persistent id".into(),
            Level::GlobalName => "the name of a global".into(),
            Level::Above { below, index } => match below {
                Some(place) => format!("item {index} of what follows a {}", kind(place)?),
                None => format!("item {index} of what the stream begins with"),
            },
        };
        Ok(format!("when loading {what}"))
    }

    fn at<'py>(&self, py: Python<'py>, place: usize) -> Option<Bound<'py, PyAny>> {
        self.stack
            .items
            .get(place)
            .map(|item| item.bind(py).clone())
    }

    /// The name of the type of what is, or is to be, at a place of the stack.
    fn kind_at(&self, py: Python<'_>, place: usize) -> R<Option<String>> {
        if self.is_pending(place) {
            return Ok(Some("dict".into()));
        }
        match self.at(py, place) {
            Some(object) => full_name(&object.get_type()).map(Some),
            None => Ok(None),
        }
    }
}

/// Whether the opcode changes an object that stays on top.
fn fills(op: Op) -> bool {
    matches!(
        op,
        Op::Append | Op::Appends | Op::SetItem | Op::SetItems | Op::AddItems | Op::Build
    )
}

/// Whether the opcode only looks at what is on top.
fn puts(op: Op) -> bool {
    matches!(
        op,
        Op::Put | Op::BinPut | Op::LongBinPut | Op::Memoize | Op::ReadonlyBuffer
    )
}

/// Releases what a fault was about; no exception may be set.
fn drop_all(py: Python<'_>, fault: Fault) {
    for object in fault.culprit {
        drop(object.into_bound(py));
    }
}

fn culprit(py: Python<'_>, culprit: &[Py<PyAny>]) -> R<String> {
    match culprit {
        [callable] => Ok(format!(", calling {}", name_of(callable.bind(py))?)),
        [module, name] => {
            let text = |object: &Py<PyAny>| match object.bind(py).cast_exact::<PyString>() {
                Ok(text) => fallible::shown(text).map(cut),
                Err(_) => Ok("?".into()),
            };
            let (module, name) = (text(module)?, text(name)?);
            Ok(format!(", looking for {module}.{name}"))
        }
        _ => Ok(String::new()),
    }
}

/// The name of a callable, without asking objects of users.
fn name_of(callable: &Bound<'_, PyAny>) -> R<String> {
    if let Ok(class) = callable.cast::<PyType>() {
        return full_name(class);
    }
    if callable.is_exact_instance_of::<PyFunction>()
        || callable.is_exact_instance_of::<PyCFunction>()
    {
        let part = |name: &Py<PyString>| -> R<Option<String>> {
            let part = attr::get(callable, name.bind(callable.py()))?;
            match part.cast_exact::<PyString>() {
                Ok(part) => Ok(Some(cut(fallible::shown(part)?))),
                Err(_) => Ok(None),
            }
        };
        let names = &State::get(callable.py()).names;
        if let Some(name) = part(&names.qualname)? {
            return Ok(match part(&names.module)? {
                Some(module) if module != "builtins" => format!("{module}.{name}"),
                _ => name,
            });
        }
    }
    Ok(format!("a {} object", full_name(&callable.get_type())?))
}

fn cut(text: std::borrow::Cow<'_, str>) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

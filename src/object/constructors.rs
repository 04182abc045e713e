//! Classes that need not be called: what calling them gives is known, and is made directly (`construct.rs`).
//!
//! REDUCE calls a class, NEWOBJ its `__new__`. For classes that `collections.namedtuple` makes and for some of the
//! standard library, the result for usual arguments is known. A verdict on a class is kept with the class's version
//! tag, which changes with the class and its bases, and with the [`Facts`] that no version tag covers: the code of the
//! functions that would run, and the globals that they would read. All of them are looked at again before each use,
//! so that a patched function is called by the next opcode. Unlike a call, what is made directly is not seen by
//! profilers and tracers. This file must not know opcodes.
//!
//! Gain measured: see `benches/` (standard library, loads).

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::construct::{Args, How, is_called_plainly, is_type};
use super::constructor_facts::{Facts, judge};
use super::make::Items;
use super::per_class::bucket;
use super::types::{Plan, lookup, version};
use super::{R, convert};
use crate::levers::{self, Lever};
use crate::state::State;

/// What is known of classes, those that are called included.
#[derive(Default)]
pub struct Constructors {
    known: Vec<Known>,
    /// Where in `known` a class may be.
    hints: Vec<u16>,
    /// The class met last that has to be called, and its version; 0 and 0 for none.
    called: (usize, u32),
}

/// Classes beyond which all are forgotten.
const MANY: usize = 512;

const HINTS: usize = 512;

struct Known {
    address: usize,
    version: u32,
    verdict: Verdict,
}

/// What is known of a class.
#[derive(Default)]
pub(super) struct Verdict {
    /// None if the class has to be called.
    pub(super) how: Option<How>,
    /// For `uuid.UUID`.
    pub(super) state: Option<Plan>,
    /// None if there are none: the class is made in C.
    pub(super) facts: Option<Box<Facts>>,
}

/// Whether a class has been looked at.
pub enum Found {
    /// It is here.
    At(usize),
    /// It has not been looked at as it is now.
    New,
    /// It is nothing that is made directly.
    Nothing,
}

impl Constructors {
    /// Finds a class that is to be called, or anything else that is.
    #[inline]
    pub fn find(&mut self, class: &Bound<'_, PyAny>) -> Found {
        if !is_type(class.as_ptr()) {
            return Found::Nothing;
        }
        let address = class.as_ptr().addr();
        let version = version(class.as_ptr().cast());
        let is_it = |known: &Known| known.address == address && known.version == version;
        let place = hint(address);
        let hint = self.hints.get(place).copied().unwrap_or_default();
        match self.known.get(usize::from(hint)) {
            Some(known) if is_it(known) => Found::At(usize::from(hint)),
            _ => match self.known.iter().position(is_it) {
                Some(at) => {
                    self.hints[place] = at as u16;
                    Found::At(at)
                }
                None => Found::New,
            },
        }
    }

    /// Whether this is the class met last that has to be called: a quick look, before any other.
    #[inline(always)]
    pub fn is_called(&self, class: &Bound<'_, PyAny>) -> bool {
        let class = class.as_ptr();
        self.called.0 == class.addr() && is_type(class) && self.called.1 == version(class.cast())
    }

    /// Whether the class that was found at a place has to be called, whatever the arguments are.
    #[inline]
    pub fn must_be_called(&mut self, at: usize) -> bool {
        match self.known.get(at) {
            Some(known) if known.verdict.how.is_none() => {
                self.called = (known.address, known.version);
                true
            }
            _ => false,
        }
    }

    /// Looks at a class. May run Python code (of a hostile module).
    #[cold]
    #[inline(never)]
    pub fn look_at(&mut self, class: &Bound<'_, PyAny>) -> Found {
        let Ok(ty) = class.cast::<PyType>() else {
            return Found::Nothing;
        };
        // A look-up gives the class a version tag, if it can have one.
        lookup(ty, &State::get(ty.py()).names.new);
        let tag = version(ty.as_type_ptr());
        if tag == 0 {
            return Found::Nothing;
        }
        let mut verdict = Verdict::default();
        if cfg!(Py_GIL_DISABLED)
            || !levers::on(Lever::Constructors)
            || judge(ty, &mut verdict).is_none()
        {
            verdict = Verdict::default();
        }
        let known = Known {
            address: ty.as_ptr().addr(),
            version: tag,
            verdict,
        };
        // What has run may have come here as well, but not to this object.
        self.known.retain(|other| other.address != known.address);
        if self.known.len() >= MANY {
            self.known.clear();
        }
        self.hints.clear();
        self.hints.resize(HINTS, 0);
        self.known.push(known);
        for (at, known) in self.known.iter().enumerate() {
            self.hints[hint(known.address)] = at as u16;
        }
        Found::At(self.known.len() - 1)
    }

    /// What calling `class`, which was found at a place, gives for these arguments; or its `__new__`, for NEWOBJ. Of user code
    /// only the keys of a dict among the arguments may run.
    ///
    /// None if it has to be called.
    ///
    /// # Errors
    /// MemoryError; what keys raise when they are compared.
    #[inline]
    pub fn make<'py>(
        &self,
        at: usize,
        class: &Bound<'py, PyAny>,
        newobj: bool,
        args: Args<'_>,
    ) -> R<Option<Bound<'py, PyAny>>> {
        let Some(Known { verdict, .. }) = self.known.get(at) else {
            return Ok(None);
        };
        let raw = class.as_ptr().cast();
        match verdict.how {
            Some(how)
                if how.is_newobj() == newobj
                    && (newobj || is_called_plainly(raw))
                    && verdict.facts.as_ref().is_none_or(|facts| facts.hold()) =>
            {
                how.make(class.py(), raw, args)
            }
            _ => Ok(None),
        }
    }

    /// Whether instances of the class that was found at a place are made without running anything.
    #[inline]
    pub fn is_quiet(&self, at: usize) -> bool {
        let how = self.known.get(at).and_then(|known| known.verdict.how);
        !matches!(how, None | Some(How::Counter))
    }

    /// Does for an instance of the class that was found at a place what its `__setstate__` does with a dict of
    /// `items[from..]`, names and values by turns, and takes them off the stack.
    ///
    /// Returns the names; None, and nothing is done, if the method has to be called.
    #[cold]
    pub fn set_state(
        &self,
        at: usize,
        object: &Bound<'_, PyAny>,
        items: &mut Items,
        from: usize,
    ) -> Option<std::sync::Arc<[Py<PyAny>]>> {
        let py = object.py();
        let verdict = &self.known.get(at)?.verdict;
        let plan = verdict.state.as_ref()?;
        let unknown = plan.unknown.as_ref()?;
        let [(name, value_slot), (_, safety_slot)] = &plan.slots[..] else {
            return None;
        };
        let [key, value] = &items[from..] else {
            return None;
        };
        let key = key.bind(py).cast_exact::<PyString>().ok()?;
        let is_name = key.is(name) || convert::str_eq(key, name.bind(py).cast::<PyString>().ok()?);
        if !is_name || !verdict.facts.as_ref()?.hold() {
            return None;
        }
        // SAFETY: offsets of slots of the object's class, both empty.
        unsafe {
            let place = |offset: &usize| {
                let start = object.as_ptr().byte_add(*offset);
                start.cast::<*mut pyffi::PyObject>()
            };
            if !(*place(value_slot)).is_null() || !(*place(safety_slot)).is_null() {
                return None;
            }
            *place(value_slot) = value.clone_ref(py).into_ptr();
            *place(safety_slot) = unknown.clone_ref(py).into_ptr();
        }
        while items.len() > from
            && let Some(item) = items.pop()
        {
            drop(item.into_bound(py));
        }
        Some([name.clone_ref(py)].into())
    }
}

#[inline(always)]
fn hint(address: usize) -> usize {
    bucket(address, HINTS)
}

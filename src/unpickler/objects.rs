//! Instances: REDUCE, NEWOBJ, NEWOBJ_EX, OBJ, INST, BUILD; persistent ids; out-of-band buffers.

use pyo3::exceptions::PyUnicodeDecodeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::input::truncated;
use super::{Context, Machine};
use crate::compat::{QUIRKS, load_messages};
use crate::errors;
use crate::format::opcode::{Op, op};
use crate::object::constructors::Found;
use crate::object::cursor::Cursor;
use crate::object::names::tp_name;
use crate::object::{R, Raised, attr, build, make};
use crate::state::State;

/// Whether what comes next calls a class with the tuple that is made now: a look that costs plain tuples nothing.
#[inline(always)]
pub fn is_argument(at: Cursor<'_>) -> bool {
    let calls = |opcode| matches!(opcode, op::REDUCE | op::NEWOBJ);
    at.array()
        .is_some_and(|([first, second], _)| calls(first) || first == op::MEMOIZE && calls(second))
}

impl Machine {
    /// REDUCE.
    #[inline]
    pub fn reduce<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        let args = self.stack.pop(cx.py)?;
        let callable = self.stack.pop(cx.py)?;
        let Ok(args) = args.cast::<PyTuple>() else {
            return Err(errors::type_error(cx.py, "argument list must be a tuple"));
        };
        if self.is_frozen() && !build::is_quiet_call(&callable, args) {
            self.thaw(cx)?;
        }
        let object =
            attr::call_tuple(&callable, args).map_err(|raised| self.blame(&callable, raised))?;
        self.stack.push(object);
        Ok(())
    }

    /// A tuple of what is above `from`, and REDUCE or NEWOBJ with it, if that is what comes in the window, with or
    /// without a MEMOIZE in between, and if the class need not be called. Returns what is left of the window;
    /// None, and nothing is done, if it must be called.
    #[inline]
    pub fn construct<'w>(
        &mut self,
        cx: &Context<'_, '_>,
        from: usize,
        at: Cursor<'w>,
    ) -> R<Option<Cursor<'w>>> {
        let (memoised, newobj, rest) = match at.array() {
            Some(([op::MEMOIZE, next @ (op::REDUCE | op::NEWOBJ)], rest)) => {
                (true, next == op::NEWOBJ, rest)
            }
            _ => match at.array() {
                Some(([next @ (op::REDUCE | op::NEWOBJ)], rest)) => {
                    (false, next == op::NEWOBJ, rest)
                }
                _ => return Ok(None),
            },
        };
        if from <= self.stack.fence()
            || (self.constructors).is_called(self.stack.items[from - 1].bind(cx.py))
        {
            return Ok(None);
        }
        if !self.construct_now(cx, from, memoised, newobj)? {
            return Ok(None);
        }
        if let Some(([op::MEMOIZE], rest)) = rest.array() {
            self.memoize(cx)?;
            return Ok(Some(rest));
        }
        Ok(Some(rest))
    }

    #[inline(never)]
    fn construct_now(
        &mut self,
        cx: &Context<'_, '_>,
        from: usize,
        memoised: bool,
        newobj: bool,
    ) -> R<bool> {
        let py = cx.py;
        let class = self.stack.items[from - 1].bind(py);
        let found = match self.constructors.find(class) {
            Found::New => {
                let class = class.clone();
                self.thaw(cx)?;
                self.constructors.look_at(&class)
            }
            found => found,
        };
        let Found::At(place) = found else {
            return Ok(false);
        };
        if self.constructors.must_be_called(place) {
            return Ok(false);
        }
        if memoised && !cx.memo.with(py, |memo| memo.is_next(memo.next())) {
            return Ok(false);
        }
        if self.is_frozen() && !self.constructors.is_quiet(place) {
            self.thaw(cx)?;
        }
        let (below, args) = self.stack.items.split_at(from);
        let Some(class) = below.last() else {
            return Ok(false);
        };
        let class = class.bind(py);
        let Some(object) = self.constructors.make(place, class, newobj, args)? else {
            return Ok(false);
        };
        if memoised {
            let items = &mut self.stack.items;
            let added = cx.memo.with(py, move |memo| memo.add_tuple(items, from));
            added.map_err(|_| errors::no_memory(py))?;
        }
        self.stack.cut(py, from - 1);
        self.stack.push(object);
        Ok(true)
    }

    /// EMPTY_TUPLE and NEWOBJ.
    #[inline]
    pub fn new_object_without_args<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        let py = cx.py;
        let class = self.stack.pop(py)?;
        let args = PyTuple::empty(py);
        let Ok(ty) = class.cast::<PyType>() else {
            return Err(bad_new(py, &class, args.as_any(), None));
        };
        if !build::has_new(ty) {
            return Err(bad_new(py, &class, args.as_any(), None));
        }
        if self.is_frozen() && !build::has_quiet_new(ty) {
            self.thaw(cx)?;
        }
        let object =
            build::new_object(ty, &args, None).map_err(|raised| self.blame(&class, raised))?;
        self.stack.push(object);
        Ok(())
    }

    /// NEWOBJ, or NEWOBJ_EX with keywords.
    #[inline]
    pub fn new_object<'py>(&mut self, cx: &Context<'_, 'py>, keywords: bool) -> R<()> {
        let py = cx.py;
        let kwargs = if keywords {
            Some(self.stack.pop(py)?)
        } else {
            None
        };
        let args = self.stack.pop(py)?;
        let class = self.stack.pop(py)?;
        self.thaw(cx)?;
        let made = match (class.cast::<PyType>(), args.cast::<PyTuple>(), &kwargs) {
            (Ok(class), Ok(args), None) if build::has_new(class) => {
                build::new_object(class, args, None)
            }
            (Ok(class), Ok(args), Some(kwargs))
                if build::has_new(class) && kwargs.is_instance_of::<PyDict>() =>
            {
                build::new_object(class, args, kwargs.cast::<PyDict>().ok())
            }
            _ => return Err(bad_new(py, &class, &args, kwargs.as_ref())),
        };
        let object = made.map_err(|raised| self.blame(&class, raised))?;
        self.stack.push(object);
        Ok(())
    }

    /// OBJ: the class is just above the mark.
    #[cold]
    pub fn obj<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        let from = self.unmark(cx)?;
        if from >= self.stack.len() {
            return Err(self.stack.underflow(cx.py));
        }
        let args = make::tuple(cx.py, &mut self.stack.items, from + 1)?;
        let class = self.stack.pop(cx.py)?;
        self.instantiate(cx, &class, &args)
    }

    /// INST: the class is named by two lines.
    #[cold]
    pub fn inst<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        module: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
    ) -> R<()> {
        let from = self.unmark(cx)?;
        let args = make::tuple(cx.py, &mut self.stack.items, from)?;
        let class = self.find_class(cx, module, name)?;
        self.instantiate(cx, &class, &args)
    }

    /// GLOBAL.
    #[cold]
    pub fn global<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        module: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
    ) -> R<()> {
        let found = self.find_class(cx, module, name)?;
        self.stack.push(found);
        Ok(())
    }

    /// An instance as Python 2 made those of its old classes.
    fn instantiate<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        class: &Bound<'py, PyAny>,
        args: &Bound<'py, PyAny>,
    ) -> R<()> {
        let py = cx.py;
        let names = &State::get(py).names;
        let args = args.cast::<PyTuple>().map_err(PyErr::from)?;
        self.thaw(cx)?;
        let object = if args.is_empty()
            && class.is_instance_of::<PyType>()
            && attr::get_optional(class, names.getinitargs.bind(py))?.is_none()
        {
            attr::call_method1(class, names.new.bind(py), class)?
        } else {
            attr::call_tuple(class, args).map_err(|raised| self.blame(class, raised))?
        };
        self.stack.push(object);
        Ok(())
    }

    /// BUILD.
    pub fn build<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        let py = cx.py;
        self.stack.last(py, 2)?;
        let state = self.stack.pop(py)?;
        let instance = self.stack.top(py)?.clone();
        self.thaw(cx)?;
        let names = &State::get(py).names;
        let setstate = names.setstate.bind(py);
        if attr::has_plain_method(&instance, setstate) {
            let class = instance.get_type();
            if let Found::New = self.constructors.find(&class) {
                // For the next instance.
                self.constructors.look_at(&class);
            }
            return attr::call_method1(&instance, setstate, &state).map(drop);
        }
        if let Some(setstate) = attr::get_optional(&instance, setstate)? {
            attr::call1(&setstate, &state)?;
            return Ok(());
        }
        let (state, slots) = match state.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, Some(pair.get_item(1)?)),
            _ => (state, None),
        };
        if !state.is_none() {
            let Ok(state) = state.cast::<PyDict>() else {
                return Err(errors::unpickling(py, "state is not a dictionary"));
            };
            let dict = attr::get(&instance, names.dict.bind(py))?;
            build::each_item(state, |name, value| {
                make::set_item_of(&dict, &make::interned(name), &value)
            })?;
        }
        if let Some(slots) = slots {
            let Ok(slots) = slots.cast::<PyDict>() else {
                return Err(errors::unpickling(py, "slot state is not a dictionary"));
            };
            build::each_item(slots, |name, value| {
                build::set_attribute(&instance, &name, &value)
            })?;
        }
        Ok(())
    }

    /// Before 3.13 a missing `persistent_load` is noticed before the argument is.
    pub fn check_persistent_first<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        if !QUIRKS.persistent_hooks_are_methods && cx.hooks.persistent_load(cx.py)?.is_none() {
            return Err(self.no_persistent_load(cx));
        }
        Ok(())
    }

    #[cold]
    fn no_persistent_load<'py>(&self, cx: &Context<'_, 'py>) -> Raised {
        errors::unpickling(cx.py, load_messages::NO_PERSISTENT_LOAD)
    }

    /// PERSID: the id is a line of ASCII.
    #[cold]
    pub fn persistent_text<'py>(&mut self, cx: &Context<'_, 'py>, line: Cursor<'_>) -> R<()> {
        let py = cx.py;
        let line = line.first(line.len() - 1).to_vec();
        let line = line.map_err(|_| errors::no_memory(py))?;
        let id = make::text_ascii(py, &line);
        let id = id.map_err(|raised| {
            let err = raised.take(py);
            if !err.is_instance_of::<PyUnicodeDecodeError>(py) {
                return err.into();
            }
            errors::unpickling(py, "persistent IDs in protocol 0 must be ASCII strings")
        })?;
        self.persistent(cx, id.into_any())
    }

    /// BINPERSID.
    #[cold]
    pub fn persistent_object<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        self.check_persistent_first(cx)?;
        let id = self.stack.pop(cx.py)?;
        self.persistent(cx, id)
    }

    fn persistent<'py>(&mut self, cx: &Context<'_, 'py>, id: Bound<'py, PyAny>) -> R<()> {
        self.thaw(cx)?;
        let Some(hook) = cx.hooks.persistent_load(cx.py)? else {
            return Err(self.no_persistent_load(cx));
        };
        let object = attr::call1(&hook, &id)?;
        self.stack.push(object);
        Ok(())
    }

    /// NEXT_BUFFER.
    #[cold]
    pub fn next_buffer<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        let py = cx.py;
        self.show(cx)?;
        let Some(buffers) = &cx.options.buffers else {
            return Err(errors::unpickling(
                py,
                "pickle stream refers to out-of-band data but no *buffers* argument was given",
            ));
        };
        match build::next_item(buffers)? {
            Some(buffer) => {
                self.stack.push(buffer);
                Ok(())
            }
            None => Err(errors::unpickling(py, "not enough out-of-band buffers")),
        }
    }

    /// READONLY_BUFFER.
    #[cold]
    pub fn readonly_buffer<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        let py = cx.py;
        let buffer = self.stack.top(py)?.clone();
        if let Some(view) = build::readonly(&buffer)? {
            drop(self.stack.pop(py)?);
            self.stack.push(view);
        }
        Ok(())
    }
}

/// The name in a line of GLOBAL or INST. C looks at the first one before it reads the second.
///
/// # Errors
/// UnpicklingError if it is empty; UnicodeDecodeError.
#[cold]
pub fn name<'py>(py: Python<'py>, op: Op, line: Cursor<'_>) -> R<Bound<'py, PyAny>> {
    if line.len() < 2 {
        return Err(truncated(py));
    }
    let name = line.first(line.len() - 1).to_vec();
    let name = name.map_err(|_| errors::no_memory(py))?;
    let name = match op {
        Op::Inst => make::text_ascii(py, &name),
        _ => make::text_strict(py, &name),
    };
    name.map(Bound::into_any)
}

/// The error for operands of NEWOBJ or NEWOBJ_EX that do not fit.
#[cold]
fn bad_new(
    py: Python<'_>,
    class: &Bound<'_, PyAny>,
    args: &Bound<'_, PyAny>,
    kwargs: Option<&Bound<'_, PyAny>>,
) -> Raised {
    let op = if kwargs.is_some() {
        "NEWOBJ_EX"
    } else {
        "NEWOBJ"
    };
    let name = |object: &Bound<'_, PyAny>| tp_name(&object.get_type());
    let text = match (class.cast::<PyType>(), kwargs) {
        (Err(_), _) => format!("{op} class argument must be a type, not {}", name(class)),
        (Ok(ty), _) if !build::has_new(ty) => {
            format!("{op} class argument '{}' doesn't have __new__", name(class))
        }
        (Ok(_), Some(kwargs)) if args.is_instance_of::<PyTuple>() => {
            format!("{op} kwargs argument must be a dict, not {}", name(kwargs))
        }
        _ => format!("{op} args argument must be a tuple, not {}", name(args)),
    };
    errors::unpickling(py, &text)
}

//! The steps that run user code: reducers, hooks, iterators, `write`.
//!
//! Each takes the task on top off the stack, does one thing, and pushes what is to be done next. Everything
//! here is owned.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFunction, PyString, PyTuple, PyType};

use super::BATCH;
use super::engine::Engine;
use super::notes;
use super::scalars::header;
use super::task::{Form, ItemStage, Items, Reduce, Stage, Task};
use crate::compat::messages;
use crate::errors;
use crate::format::opcode::op;
use crate::object::buffer::{self, pickle_buffer};
use crate::object::convert::Native;
use crate::object::names::{full_name, is_other_class, tp_name};
use crate::object::world::Slot;
use crate::object::{R, attr, convert, fallible, signals, types};
use crate::state::State;

impl<'py> Engine<'_, 'py> {
    /// Does what the task on top asks for.
    ///
    /// # Errors
    /// Whatever user code raises, and our own.
    pub(super) fn step(&mut self) -> R<()> {
        let py = self.py;
        let Some(mut task) = self.session.tasks.pop() else {
            return Ok(());
        };
        let result = match &mut task {
            Task::Object { object } => match object.take_bound(py) {
                Some(object) => self.object(object),
                None => Ok(()),
            },
            Task::Hook { object, .. } => match object.take_bound(py) {
                Some(object) => self.hook(object),
                None => Ok(()),
            },
            Task::Attend { object, .. } => match object.take_bound(py) {
                Some(object) => self.attend(object),
                None => Ok(()),
            },
            Task::Leave { object, stage } => match object.to_bound(py) {
                Some(object) => self.leave(&object, *stage),
                None => Ok(()),
            },
            Task::LeaveState { object, state } => match (object.to_bound(py), state.to_bound(py)) {
                (Some(object), Some(state)) => self.leave_state(object, state),
                _ => Ok(()),
            },
            Task::Large { object } => match object.take_bound(py) {
                Some(object) => self.large(object),
                None => Ok(()),
            },
            Task::Items(items) => self.items(items),
            _ => Ok(()),
        };
        task.bury(&mut self.session.graveyard);
        result
    }

    /// A frame is full, or a signal has arrived.
    fn attend(&mut self, object: Bound<'py, PyAny>) -> R<()> {
        if self.session.flush_due {
            self.flush()?;
        }
        signals::handle(self.py)?;
        let object = Slot::owned(object);
        if self.session.hooked {
            self.push(Task::Hook {
                object,
                shared: false,
            })
        } else {
            self.push(Task::Save {
                object,
                checked: true,
            })
        }
    }

    /// Asks `persistent_id`.
    fn hook(&mut self, object: Bound<'py, PyAny>) -> R<()> {
        let own;
        let hook = match (&self.config.persistent_id, self.config.owner) {
            (Some(hook), None) => hook,
            (fixed, Some(owner)) => {
                own = owner.persistent_id(self.py).or_else(|| fixed.clone());
                match &own {
                    Some(hook) => hook,
                    None => {
                        return self.push(Task::Save {
                            object: Slot::owned(object),
                            checked: true,
                        });
                    }
                }
            }
            (None, None) => {
                return self.push(Task::Save {
                    object: Slot::owned(object),
                    checked: true,
                });
            }
        };
        let pid = attr::call1(hook, &object)?;
        if pid.is_none() {
            return self.push(Task::Save {
                object: Slot::owned(object),
                checked: true,
            });
        }
        if self.session.binary {
            if self.session.out.frame_is_full() {
                self.session.out.commit_frame();
                self.session.out.attended();
                if self.session.to_file {
                    self.flush()?;
                }
            }
            return self.push(Task::PersistentId {
                pid: Slot::owned(pid),
                saved: false,
            });
        }
        let text = pid.str()?;
        let ascii = text.to_str().ok().filter(|text| text.is_ascii());
        let Some(ascii) = ascii else {
            return Err(errors::pickling(
                self.py,
                "persistent IDs in protocol 0 must be ASCII strings",
            ));
        };
        self.emit(&[&[op::PERSID], ascii.as_bytes(), b"\n"].concat())
    }

    /// A payload that goes to the file as it is: the stream so far, the payload, then its PUT.
    fn large(&mut self, object: Bound<'py, PyAny>) -> R<()> {
        let payload;
        let (header, n) = if let Ok(text) = object.cast_exact::<PyString>() {
            payload = buffer::text_view(text)?;
            let size = payload.len()?;
            let header = self.session.str_header(size);
            header.map_err(|fault| fault.raise(self.py))?
        } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            payload = object.clone();
            let header = self.session.bytes_header(bytes.as_bytes().len());
            header.map_err(|fault| fault.raise(self.py))?
        } else {
            payload = object.clone();
            header(op::BYTEARRAY8, object.len()?, 8)
        };
        self.write_large(&header[..n], &payload)?;
        self.push(Task::Put {
            object: Slot::owned(object),
        })
    }

    /// Hands the stream so far and then `payload` to the file, outside frames.
    fn write_large(&mut self, header: &[u8], payload: &Bound<'py, PyAny>) -> R<()> {
        if self.session.out.emit_unframed(header, &[]).is_err() {
            return Err(errors::no_memory(self.py));
        }
        self.flush()?;
        match &self.config.write {
            Some(write) => {
                attr::call1(write, payload)?;
                signals::handle(self.py)
            }
            None => Ok(()),
        }
    }

    /// An object that is not written by the frozen code: C's order of look-ups from the exact types that need
    /// objects made, to `__reduce__`.
    fn object(&mut self, object: Bound<'py, PyAny>) -> R<()> {
        let py = self.py;
        let state = State::get(py);
        if let Some(native) = Native::of(&object) {
            return self.native(object, native);
        }
        if let Some(view) = pickle_buffer(&object) {
            return self.pickle_buffer(&object, &view);
        }
        if let Some(reducer_override) = &self.config.reducer_override {
            let value = attr::call1(reducer_override, &object)?;
            if !value.is(py.NotImplemented()) {
                return self.reduced(object, &value);
            }
        }
        let ty = object.get_type();
        if ty.is(py.get_type::<PyType>()) {
            return self.class(object);
        }
        if ty.is(py.get_type::<PyFunction>()) {
            return self.global(object, None);
        }
        let private = self.config.owner.and_then(|owner| owner.dispatch_table(py));
        let reducer = match &private {
            None => convert::dict_get(state.dispatch_table.bind(py), ty.as_any())?,
            Some(table) => convert::item_or_none(table, ty.as_any())?,
        };
        if let Some(reducer) = reducer {
            let value = attr::call1(&reducer, &object)?;
            return self.reduced(object, &value);
        }
        if object.is_instance_of::<PyType>() {
            return self.global(object, None);
        }
        let object = match self.short_cut(object, &ty)? {
            Some(object) => object,
            None => return Ok(()),
        };
        if !self.session.arrays.is_empty()
            && let Some(value) = self.session.arrays.reduce(&object)?
        {
            return self.reduced(object, &value);
        }
        let names = &state.names;
        let reduce_ex = names.reduce_ex.bind(py);
        let value = if types::finds_methods(&ty, reduce_ex) {
            let protocol = convert::int(py, i64::from(self.session.protocol))?;
            let value = attr::call_method1(&object, reduce_ex, &protocol)?;
            if self.session.protocol >= 5 {
                self.session.arrays.learn(&object, &value);
            }
            value
        } else if let Some(method) = attr::get_optional(&object, reduce_ex)? {
            let protocol = convert::int(py, i64::from(self.session.protocol))?;
            attr::call1(&method, &protocol)?
        } else if let Some(method) = attr::get_optional(&object, names.reduce.bind(py))? {
            attr::call0(&method)?
        } else {
            let text = if crate::compat::QUIRKS.new_errors {
                format!("Can't pickle {} object", full_name(&ty)?)
            } else {
                format!(
                    "can't pickle '{}' object: {}",
                    tp_name(&ty),
                    fallible::shown(&object.repr()?)?
                )
            };
            return Err(errors::pickling(py, &text));
        };
        self.reduced(object, &value)
    }

    /// An exact built-in for which this protocol has no opcode.
    fn native(&mut self, object: Bound<'py, PyAny>, native: Native) -> R<()> {
        let py = self.py;
        let state = State::get(py);
        let ty = object.get_type().into_any();
        let empty = || PyTuple::empty(py);
        let (callable, args) = match native {
            Native::Int => {
                // `repr` words the error of a number with too many digits.
                let digits = object.repr()?;
                let digits = digits.to_str()?;
                self.emit(&[op::LONG])?;
                self.emit(digits.as_bytes())?;
                return self.emit(b"L\n");
            }
            Native::LegacyStr => {
                // Reading its UTF-8 makes it an ordinary str.
                convert::ready(&object)?;
                return self.push(Task::Save {
                    object: Slot::owned(object),
                    checked: true,
                });
            }
            Native::Bytes if object.len()? == 0 => (ty, empty()),
            Native::Bytes => {
                let text = convert::latin1(&object)?;
                let codec = state.names.latin1.bind(py).clone().into_any();
                (
                    state.codecs_encode.bind(py).clone(),
                    fallible::tuple(py, [text, codec])?,
                )
            }
            Native::ByteArray if object.len()? == 0 => (ty, empty()),
            Native::ByteArray => (ty, fallible::tuple(py, [convert::bytes_from(&object)?])?),
            Native::Set => {
                let items = convert::list_of(&object)?;
                (ty, fallible::tuple(py, [items])?)
            }
        };
        let value = fallible::tuple(py, [callable, args.into_any()])?;
        self.reduce_call(Some(object), value)
    }

    /// A PickleBuffer (PEP 574): out of band if the callback takes it, else like bytes or a bytearray.
    fn pickle_buffer(&mut self, object: &Bound<'py, PyAny>, view: &buffer::View<'_, 'py>) -> R<()> {
        let py = self.py;
        if self.session.protocol < 5 {
            return Err(errors::pickling(py, messages::picklebuffer_protocol()));
        }
        let held = view.hold()?;
        let facts = held.facts();
        if !facts.contiguous {
            return Err(errors::pickling(
                py,
                "PickleBuffer can not be pickled when pointing to a non-contiguous buffer",
            ));
        }
        if let Some(callback) = &self.config.buffer_callback
            && !attr::call1(callback, object)?.is_truthy()?
        {
            self.emit(&[op::NEXT_BUFFER])?;
            if facts.readonly {
                self.emit(&[op::READONLY_BUFFER])?;
            }
            return Ok(());
        }
        let (header, n) = if facts.readonly {
            let header = self.session.bytes_header(facts.len);
            header.map_err(|fault| fault.raise(py))?
        } else {
            header(op::BYTEARRAY8, facts.len, 8)
        };
        let header = &header[..n];
        let large = facts.len >= crate::format::frame::FRAME_SIZE_TARGET;
        if large && self.session.to_file {
            self.write_large(header, object)?;
        } else {
            let out = &mut self.session.out;
            let done = if large {
                out.emit_unframed_with(header, facts.len, |out| held.copy_to(out))
            } else {
                out.emit_slice(header)
                    .and_then(|()| out.emit_with([], facts.len, |out| held.copy_to(out)))
            };
            if done.is_err() {
                return Err(errors::no_memory(py));
            }
        }
        self.push(Task::Put {
            object: Slot::owned(object.clone()),
        })
    }

    /// A class whose metaclass is `type`. Three have no name to be found by.
    fn class(&mut self, object: Bound<'py, PyAny>) -> R<()> {
        let py = self.py;
        for singleton in [
            py.None().into_bound(py),
            py.Ellipsis().into_bound(py),
            py.NotImplemented().into_bound(py),
        ] {
            let class = singleton.get_type();
            if object.is(&class) {
                let args = fallible::tuple(py, [singleton])?.into_any();
                let value = fallible::tuple(py, [class.get_type().into_any(), args])?;
                return self.reduce_call(Some(object), value);
            }
        }
        self.global(object, None)
    }

    /// What a reducer returned: a name, or a reduce value.
    pub(super) fn reduced(
        &mut self,
        object: Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> R<()> {
        if let Ok(name) = value.cast::<PyString>() {
            return self.global(object, Some(name.clone()));
        }
        match value.cast::<PyTuple>() {
            Ok(value) => self.reduce(object, value.clone()),
            Err(_) => {
                let text = messages::reduce_type(&full_name(&value.get_type())?);
                let raised = errors::pickling(self.py, &text);
                Err(notes::add_object(self.py, raised, &object))
            }
        }
    }

    /// Checks a reduce value and pushes it.
    pub(super) fn reduce(
        &mut self,
        object: Bound<'py, PyAny>,
        value: Bound<'py, PyTuple>,
    ) -> R<()> {
        let py = self.py;
        let (form, args) = match self.checked(&object, &value) {
            Ok(checked) => checked,
            Err(raised) => return Err(notes::add_object(py, raised, &object)),
        };
        let (form, value) = if form == Form::NewObjEx && self.session.protocol < 4 {
            // `partial(cls.__new__, cls, *args, **kwargs)()`.
            (Form::Call, self.as_partial(&value)?)
        } else {
            (form, value)
        };
        self.push(Task::Reduce(Reduce {
            object: Slot::owned(object),
            value: Slot::owned(value.into_any()),
            args: args.map_or(Slot::EMPTY, |args| Slot::owned(args.into_any())),
            form,
            stage: Stage::Callable,
            from_reducer: true,
        }))
    }

    /// Pushes a reduce value `(callable, args)` of our own making; the object is memoised unless there is
    /// none.
    pub(super) fn reduce_call(
        &mut self,
        object: Option<Bound<'py, PyAny>>,
        value: Bound<'py, PyTuple>,
    ) -> R<()> {
        self.push(Task::Reduce(Reduce {
            object: object.map_or(Slot::EMPTY, Slot::owned),
            value: Slot::owned(value.into_any()),
            args: Slot::EMPTY,
            form: Form::Call,
            stage: Stage::Callable,
            from_reducer: false,
        }))
    }

    /// A reduce value of `__newobj_ex__` in terms of `functools.partial`.
    fn as_partial(&self, value: &Bound<'py, PyTuple>) -> R<Bound<'py, PyTuple>> {
        let py = self.py;
        let state = State::get(py);
        let args = value.get_item(1)?.cast_into::<PyTuple>();
        let args = args.map_err(PyErr::from)?;
        let class = args.get_item(0)?;
        let new = attr::get(&class, state.names.new.bind(py))?;
        let positional = args.get_item(1)?.cast_into::<PyTuple>();
        let positional = positional.map_err(PyErr::from)?;
        let keywords = args.get_item(2)?.cast_into::<PyDict>();
        let keywords = keywords.map_err(PyErr::from)?;
        let all: Vec<_> = [new, class].into_iter().chain(&positional).collect();
        let partial = state.partial.bind(py);
        let partial = partial.call(fallible::tuple(py, all)?, Some(&keywords))?;
        let rest = (2..value.len()).map(|i| value.get_item(i));
        let mut parts = vec![partial, PyTuple::empty(py).into_any()];
        for part in rest {
            parts.push(part?);
        }
        fallible::tuple(py, parts)
    }

    /// The form of a reduce value, and the arguments of NEWOBJ.
    pub(super) fn checked(
        &self,
        object: &Bound<'py, PyAny>,
        value: &Bound<'py, PyTuple>,
    ) -> R<(Form, Option<Bound<'py, PyTuple>>)> {
        let py = self.py;
        let fail = |text: &str| Err(errors::pickling(py, text));
        let n = value.len();
        if !(2..=6).contains(&n) {
            return fail("tuple returned by __reduce__ must contain 2 through 6 elements");
        }
        let ty = |item: &Bound<'py, PyAny>| -> R<String> {
            if crate::compat::QUIRKS.new_errors {
                full_name(&item.get_type())
            } else {
                Ok(tp_name(&item.get_type()))
            }
        };
        let items = value.as_slice();
        let part = |i: usize| items.get(i).filter(|item| !item.is_none());
        let (callable, args) = (&items[0], &items[1]);
        if !callable.is_callable() {
            return fail(&messages::reduce_callable(&ty(callable)?));
        }
        let Ok(args) = args.cast::<PyTuple>() else {
            return fail(&messages::reduce_args(&ty(args)?));
        };
        for (i, which) in [(3, "fourth"), (4, "fifth")] {
            if let Some(item) = part(i)
                && !convert::is_iterator(item)
            {
                return fail(&messages::reduce_iterator(which, &ty(item)?));
            }
        }
        if let Some(setter) = part(5)
            && !setter.is_callable()
        {
            return fail(&messages::reduce_setter(&ty(setter)?));
        }
        if self.session.protocol < 2 || is_other_class(callable, [c"__newobj__", c"__newobj_ex__"])
        {
            return Ok((Form::Call, None));
        }
        let names = &State::get(py).names;
        let name = attr::get_optional(callable, names.name.bind(py))?;
        let Some(name) = name.and_then(|name| name.cast_into::<PyString>().ok()) else {
            return Ok((Form::Call, None));
        };
        if convert::str_eq(&name, names.newobj.bind(py)) {
            if args.is_empty() {
                return fail(messages::newobj_empty());
            }
            let class = args.get_item(0)?;
            if !class.is_instance_of::<PyType>() {
                return fail(&messages::newobj_no_class(&ty(&class)?));
            }
            let own = attr::get(object, names.class.bind(py))?;
            if !own.is(&class) {
                let text = messages::newobj_wrong_class(
                    &fallible::shown(&own.repr()?)?,
                    &fallible::shown(&class.repr()?)?,
                );
                return fail(&text);
            }
            let rest = args.get_slice(1, args.len());
            return Ok((Form::NewObj, Some(rest)));
        }
        if !convert::str_eq(&name, names.newobj_ex.bind(py)) {
            return Ok((Form::Call, None));
        }
        if args.len() != 3 {
            return fail(&messages::newobj_ex_arity(args.len()));
        }
        let class = args.get_item(0)?;
        let (positional, keywords) = (args.get_item(1)?, args.get_item(2)?);
        if !class.is_instance_of::<PyType>() {
            return fail(&messages::newobj_ex_argument(
                "first",
                "a class",
                &ty(&class)?,
            ));
        }
        if !positional.is_instance_of::<PyTuple>() {
            let ty = ty(&positional)?;
            return fail(&messages::newobj_ex_argument("second", "a tuple", &ty));
        }
        if !keywords.is_instance_of::<PyDict>() {
            return fail(&messages::newobj_ex_argument(
                "third",
                "a dict",
                &ty(&keywords)?,
            ));
        }
        Ok((Form::NewObjEx, None))
    }

    /// The next of the list or dict items of a reduce value.
    fn items(&mut self, items: &mut Items) -> R<()> {
        let py = self.py;
        let Some(iterator) = items.iterator.to_bound(py) else {
            return Ok(());
        };
        let text = self.session.protocol == 0;
        let (single, closing) = if items.pairs {
            (op::SETITEM, op::SETITEMS)
        } else {
            (op::APPEND, op::APPENDS)
        };
        loop {
            match items.stage {
                ItemStage::Start => {
                    let Some(first) = convert::next(&iterator)? else {
                        return Ok(());
                    };
                    if items.pairs {
                        check_pair(&first)?;
                    }
                    if text {
                        return self.save_item(items, first, ItemStage::Single);
                    }
                    let Some(second) = convert::next(&iterator)? else {
                        return self.save_item(items, first, ItemStage::Single);
                    };
                    items.ahead = Slot::owned(second);
                    items.in_batch = 0;
                    self.emit(&[op::MARK])?;
                    return self.save_item(items, first, ItemStage::Batch);
                }
                ItemStage::SingleValue | ItemStage::BatchValue => {
                    let value = convert::pair_value(items.pair.to_bound(py))?;
                    let stage = if items.stage == ItemStage::SingleValue {
                        ItemStage::Single
                    } else {
                        ItemStage::Batch
                    };
                    return self.continue_items(items, stage, value);
                }
                ItemStage::Single => {
                    self.emit(&[single])?;
                    if !text {
                        return Ok(());
                    }
                    items.stage = ItemStage::Start;
                }
                ItemStage::Batch => {
                    let ahead = items.ahead.to_bound(py);
                    self.session.graveyard.bury(&mut items.ahead);
                    let next = if ahead.is_some() {
                        ahead
                    } else if items.in_batch == BATCH {
                        None
                    } else {
                        convert::next(&iterator)?
                    };
                    if let Some(next) = next {
                        if items.pairs {
                            check_pair(&next)?;
                        }
                        return self.save_item(items, next, ItemStage::Batch);
                    }
                    self.emit(&[closing])?;
                    if items.in_batch != BATCH {
                        return Ok(());
                    }
                    items.stage = ItemStage::Start;
                }
            }
        }
    }

    /// Has an item saved, or the key of a pair, and comes back in `stage`.
    fn save_item(&mut self, items: &mut Items, item: Bound<'py, PyAny>, stage: ItemStage) -> R<()> {
        items.done += 1;
        items.in_batch += 1;
        if !items.pairs {
            return self.continue_items(items, stage, item);
        }
        let key = convert::pair_key(&item)?;
        self.session.graveyard.bury(&mut items.pair);
        items.pair = Slot::owned(item);
        let stage = if stage == ItemStage::Single {
            ItemStage::SingleValue
        } else {
            ItemStage::BatchValue
        };
        self.continue_items(items, stage, key)
    }

    fn continue_items(
        &mut self,
        items: &mut Items,
        stage: ItemStage,
        child: Bound<'py, PyAny>,
    ) -> R<()> {
        let take = |slot: &mut Slot| std::mem::replace(slot, Slot::EMPTY);
        self.push(Task::Items(Items {
            object: take(&mut items.object),
            iterator: take(&mut items.iterator),
            ahead: take(&mut items.ahead),
            pair: take(&mut items.pair),
            done: items.done,
            in_batch: items.in_batch,
            stage,
            pairs: items.pairs,
        }))?;
        self.push_save(child)
    }
}

/// Dict items of a reduce value are tuples of two.
fn check_pair(item: &Bound<'_, PyAny>) -> R<()> {
    match item.cast::<PyTuple>() {
        Ok(pair) if pair.len() == 2 => Ok(()),
        _ => Err(errors::type_error(
            item.py(),
            "dict items iterator must return 2-tuples",
        )),
    }
}

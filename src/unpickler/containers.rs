//! Tuples, lists, dicts, sets: what is above a mark moves into a container.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet};

use super::{Context, Machine};
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::{R, attr, build, known, make};
use crate::state::State;

impl Machine {
    /// LIST.
    pub fn list(&mut self, cx: &Context<'_, '_>, from: usize) -> R<()> {
        let list = make::list(cx.py)?;
        if let Ok(list) = list.cast_exact::<PyList>() {
            make::extend_list(list, &mut self.stack.items, from)?;
        }
        self.stack.push(list);
        Ok(())
    }

    /// APPEND, APPENDS: the values from a position on go into the list below them.
    #[inline]
    pub fn append(&mut self, cx: &Context<'_, '_>, from: usize) -> R<()> {
        if from <= self.stack.fence() {
            return Err(self.stack.underflow(cx.py));
        }
        if from == self.stack.len() && !QUIRKS.empty_batches_looked_up {
            return Ok(());
        }
        let list = self.below(cx, from)?;
        match list.cast_exact::<PyList>() {
            Ok(list) => make::extend_list(list, &mut self.stack.items, from),
            Err(_) => self.append_to(cx, &list, from),
        }
    }

    /// The value just below a position.
    #[inline(always)]
    fn below<'py>(&self, cx: &Context<'_, 'py>, place: usize) -> R<Bound<'py, PyAny>> {
        match self.stack.items[..place].last() {
            Some(value) => Ok(value.bind(cx.py).clone()),
            None => Err(self.stack.underflow(cx.py)),
        }
    }

    /// APPENDS to something that is not a plain list.
    #[inline(never)]
    fn append_to<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        list: &Bound<'py, PyAny>,
        from: usize,
    ) -> R<()> {
        if known::fill_deque(list, &mut self.stack.items, from) {
            return Ok(());
        }
        let names = &State::get(cx.py).names;
        let extend = names.extend.bind(cx.py);
        if build::extends_as_list(list, extend)
            && let Ok(list) = list.cast::<PyList>()
        {
            return make::extend_list(list, &mut self.stack.items, from);
        }
        let plain = attr::has_plain_method(list, extend);
        if !plain || !attr::has_quiet_method(list, extend) {
            self.thaw(cx)?;
        }
        if plain {
            let items = self.take_list(cx, from)?;
            attr::call_method1(list, extend, &items)?;
            return Ok(());
        }
        if let Some(extend) = attr::get_optional(list, extend)? {
            let items = self.take_list(cx, from)?;
            attr::call1(&extend, &items)?;
            return Ok(());
        }
        let append = attr::get(list, names.append.bind(cx.py))?;
        let mut items = Vec::new();
        if items.try_reserve_exact(self.stack.len() - from).is_err() {
            return Err(errors::no_memory(cx.py));
        }
        items.extend(self.stack.items.drain(from..));
        for item in items {
            attr::call1(&append, item.bind(cx.py))?;
        }
        Ok(())
    }

    fn take_list<'py>(&mut self, cx: &Context<'_, 'py>, from: usize) -> R<Bound<'py, PyAny>> {
        let items = make::list(cx.py)?;
        if let Ok(items) = items.cast_exact::<PyList>() {
            make::extend_list(items, &mut self.stack.items, from)?;
        }
        Ok(items)
    }

    /// DICT.
    pub fn dict(&mut self, cx: &Context<'_, '_>, from: usize) -> R<()> {
        if !(self.stack.len() - from).is_multiple_of(2) {
            return Err(errors::unpickling(cx.py, "odd number of items for DICT"));
        }
        let dict = make::dict(cx.py)?;
        self.fill(cx, &dict, from)?;
        self.stack.push(dict);
        Ok(())
    }

    /// SETITEM, SETITEMS: the keys and values from a position on go into the dict below them.
    #[inline]
    pub fn set_items(&mut self, cx: &Context<'_, '_>, from: usize) -> R<()> {
        let py = cx.py;
        if from <= self.stack.fence() {
            return Err(self.stack.underflow(py));
        }
        let count = self.stack.len() - from;
        if count == 0 {
            return Ok(());
        }
        if !count.is_multiple_of(2) {
            return Err(errors::unpickling(py, "odd number of items for SETITEMS"));
        }
        let object = self.below(cx, from)?;
        self.fill(cx, &object, from)
    }

    /// Sets the items from a position on, and takes them off the stack.
    #[inline]
    fn fill<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        object: &Bound<'py, PyAny>,
        from: usize,
    ) -> R<()> {
        let as_dict = build::sets_items_as_dict(object);
        if self.is_frozen()
            && !((as_dict || build::is_ordered_dict(object)) && self.are_keys_atoms(cx, from))
        {
            self.thaw(cx)?;
        }
        match object.cast::<PyDict>() {
            Ok(dict) if as_dict => make::fill_dict(dict, &mut self.stack.items, from),
            _ => self.fill_other(cx, object, from),
        }
    }

    /// SETITEMS to something that is not a plain dict.
    #[cold]
    #[inline(never)]
    fn fill_other<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        object: &Bound<'py, PyAny>,
        from: usize,
    ) -> R<()> {
        // No value on this stack can go meanwhile: `__setitem__` may run another load, but not
        // this one.
        let pairs = self.stack.items[from..].as_chunks::<2>().0;
        let filled = pairs.iter().try_for_each(|[key, value]| {
            make::set_item_of(object, key.bind(cx.py), value.bind(cx.py))
        });
        self.stack.cut(cx.py, from);
        filled
    }

    /// Whether the keys among the items from a position on run no code.
    #[inline]
    pub fn are_keys_atoms(&self, cx: &Context<'_, '_>, from: usize) -> bool {
        let mut keys = self.stack.items[from..].iter().step_by(2);
        keys.all(|key| build::is_atom(key.bind(cx.py)))
    }

    fn are_atoms(&self, cx: &Context<'_, '_>, from: usize) -> bool {
        let mut items = self.stack.items[from..].iter();
        items.all(|item| build::is_atom(item.bind(cx.py)))
    }

    /// ADDITEMS.
    pub fn add_items(&mut self, cx: &Context<'_, '_>, from: usize) -> R<()> {
        let py = cx.py;
        if from <= self.stack.fence() {
            return Err(self.stack.underflow(py));
        }
        let set = self.below(cx, from)?;
        let empty = from == self.stack.len();
        if empty && !QUIRKS.empty_batches_looked_up {
            return Ok(());
        }
        if self.is_frozen() && !self.are_atoms(cx, from) {
            self.thaw(cx)?;
        }
        let added = if set.is_instance_of::<PySet>() {
            let mut items = self.stack.items[from..].iter();
            items.try_for_each(|item| make::add_to_set(&set, item.bind(py)))
        } else {
            self.add_to(cx, &set, from)
        };
        self.stack.cut(cx.py, from);
        added
    }

    /// ADDITEMS to something that is not a set.
    #[cold]
    fn add_to<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        set: &Bound<'py, PyAny>,
        from: usize,
    ) -> R<()> {
        self.thaw(cx)?;
        let add = attr::get(set, State::get(cx.py).names.add.bind(cx.py))?;
        for item in &self.stack.items[from..] {
            attr::call1(&add, item.bind(cx.py))?;
        }
        Ok(())
    }

    /// FROZENSET.
    pub fn frozenset(&mut self, cx: &Context<'_, '_>, from: usize) -> R<()> {
        if self.is_frozen() && !self.are_atoms(cx, from) {
            self.thaw(cx)?;
        }
        let elements = make::tuple(cx.py, &mut self.stack.items, from)?;
        let set = make::frozenset(&elements)?;
        self.stack.push(set);
        Ok(())
    }
}

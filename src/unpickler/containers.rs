//! Tuples, lists, dicts, sets: what is above a mark moves into a container.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet};

use super::Machine;
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::{R, attr, make};
use crate::state::State;

impl<'py> Machine<'_, 'py> {
    /// TUPLE, TUPLE1, TUPLE2, TUPLE3: the values from a position on.
    #[inline]
    pub fn tuple(&mut self, from: usize) -> R<()> {
        let tuple = make::tuple(self.py, &mut self.stack.items, from)?;
        self.stack.push(tuple);
        Ok(())
    }

    /// LIST.
    pub fn list(&mut self, from: usize) -> R<()> {
        let list = make::list(self.py)?;
        if let Ok(list) = list.cast_exact::<PyList>() {
            make::extend_list(list, &mut self.stack.items, from)?;
        }
        self.stack.push(list);
        Ok(())
    }

    /// APPEND, APPENDS: the values from a position on go into the list below them.
    #[inline]
    pub fn append(&mut self, from: usize) -> R<()> {
        if from <= self.stack.fence() {
            return Err(self.stack.underflow(self.py));
        }
        let (below, _) = self.stack.items.split_at(from);
        let Some(list) = below.last() else {
            return Err(self.stack.underflow(self.py));
        };
        if from == self.stack.len() && !QUIRKS.empty_batches_looked_up {
            return Ok(());
        }
        if list.is_exact_instance_of::<PyList>() {
            let list = list.clone();
            if let Ok(list) = list.cast_exact::<PyList>() {
                return make::extend_list(list, &mut self.stack.items, from);
            }
        }
        let list = list.clone();
        self.append_to(&list, from)
    }

    /// APPENDS to something that is not a plain list.
    #[cold]
    #[inline(never)]
    fn append_to(&mut self, list: &Bound<'py, PyAny>, from: usize) -> R<()> {
        let names = &State::get(self.py).names;
        if let Some(extend) = attr::get_optional(list, names.extend.bind(self.py))? {
            let items = self.take_list(from)?;
            attr::call1(&extend, &items)?;
            return Ok(());
        }
        let append = attr::get(list, names.append.bind(self.py))?;
        let items: Vec<_> = self.stack.items.drain(from..).collect();
        for item in items {
            attr::call1(&append, &item)?;
        }
        Ok(())
    }

    fn take_list(&mut self, from: usize) -> R<Bound<'py, PyAny>> {
        let items = make::list(self.py)?;
        if let Ok(items) = items.cast_exact::<PyList>() {
            make::extend_list(items, &mut self.stack.items, from)?;
        }
        Ok(items)
    }

    /// DICT.
    pub fn dict(&mut self, from: usize) -> R<()> {
        if (self.stack.len() - from) % 2 != 0 {
            return Err(errors::unpickling(self.py, "odd number of items for DICT"));
        }
        let dict = make::dict(self.py)?;
        let filled = self.fill(&dict, from);
        self.stack.cut(from);
        filled?;
        self.stack.push(dict);
        Ok(())
    }

    /// SETITEM, SETITEMS: the keys and values from a position on go into the dict below them.
    #[inline]
    pub fn set_items(&mut self, from: usize) -> R<()> {
        let py = self.py;
        if from <= self.stack.fence() {
            return Err(self.stack.underflow(py));
        }
        let count = self.stack.len() - from;
        if count == 0 {
            return Ok(());
        }
        if count % 2 != 0 {
            return Err(errors::unpickling(py, "odd number of items for SETITEMS"));
        }
        let Some(object) = self.stack.items.get(from - 1).cloned() else {
            return Err(self.stack.underflow(py));
        };
        let filled = self.fill(&object, from);
        self.stack.cut(from);
        filled
    }

    /// Sets the items from a position on. They stay on the stack.
    #[inline]
    fn fill(&mut self, object: &Bound<'py, PyAny>, from: usize) -> R<()> {
        // No value on this stack can go while its items are set: hash and comparison methods
        // may run another load, but not this one.
        let items = &self.stack.items[from..];
        if let Ok(dict) = object.cast_exact::<PyDict>() {
            for [key, value] in items.as_chunks::<2>().0 {
                make::set_item(dict, key, value)?;
            }
            return Ok(());
        }
        for [key, value] in items.as_chunks::<2>().0 {
            make::set_item_of(object, key, value)?;
        }
        Ok(())
    }

    /// ADDITEMS.
    pub fn add_items(&mut self, from: usize) -> R<()> {
        let py = self.py;
        if from <= self.stack.fence() {
            return Err(self.stack.underflow(py));
        }
        let Some(set) = self.stack.items.get(from - 1).cloned() else {
            return Err(self.stack.underflow(py));
        };
        let empty = from == self.stack.len();
        if empty && !QUIRKS.empty_batches_looked_up {
            return Ok(());
        }
        let added = if set.is_instance_of::<PySet>() {
            let items = self.stack.items[from..].iter();
            items
                .map(|item| make::add_to_set(&set, item))
                .find(Result::is_err)
                .unwrap_or(Ok(()))
        } else {
            self.add_to(&set, from)
        };
        self.stack.cut(from);
        added
    }

    /// ADDITEMS to something that is not a set.
    #[cold]
    fn add_to(&mut self, set: &Bound<'py, PyAny>, from: usize) -> R<()> {
        let add = attr::get(set, State::get(self.py).names.add.bind(self.py))?;
        for item in &self.stack.items[from..] {
            attr::call1(&add, item)?;
        }
        Ok(())
    }

    /// FROZENSET.
    pub fn frozenset(&mut self, from: usize) -> R<()> {
        let elements = make::tuple(self.py, &mut self.stack.items, from)?;
        let set = make::frozenset(&elements)?;
        self.stack.push(set);
        Ok(())
    }
}

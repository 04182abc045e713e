//! Dicts that are made when their items are known, and state dicts that are not made at all.
//!
//! EMPTY_DICT, MEMOIZE (or a PUT) and MARK in a row mean that SETITEMS will come: until then the dict
//! is *pending*. Its place on the stack is under the mark, where no opcode reaches it, and its index in the memo is reserved. When SETITEMS
//! comes the dict is made and filled; if BUILD follows and the instance is a plain one, the
//! items go straight into the instance, and the dict becomes a virtual entry of the memo (`memo.rs`).
//!
//! Whatever could see the difference makes the dict, or captures its items, first: taking the mark in another way, a
//! GET of the index, code that gets objects of the stream in its hands ([`Machine::thaw`]) or
//! that may look at the memo of its Unpickler ([`Machine::show`]). Code that runs by other means (audit hooks, a
//! file's `read`, finalizers) reaches the objects only through the memo, which makes its dicts when it is
//! looked at.

use std::sync::Arc;

use pyo3::prelude::*;

use super::memo::Content;
use super::{Context, Machine, memo};
use crate::errors;
use crate::format::opcode::op;
use crate::levers::{self, Lever};
use crate::object::constructors::Found;
use crate::object::cursor::Cursor;
use crate::object::{R, build, make};

/// A dict to be made.
pub struct Pending {
    /// Its place on the stack: just under a mark.
    at: usize,
    /// Its index in the memo, if it was given one.
    index: Option<usize>,
}

impl Machine {
    /// EMPTY_DICT: what follows it in the window tells whether the dict can wait. Returns what is left of
    /// the window, which loses the opcodes that are dealt with here.
    #[inline]
    pub fn empty_dict<'w>(&mut self, cx: &Context<'_, '_>, at: Cursor<'w>) -> R<Cursor<'w>> {
        let py = cx.py;
        let (index, rest) = self.index_to_come(cx, at);
        let index = index.filter(|&index| {
            cx.memo.with(py, move |memo| {
                // Without memory the loop does it, and says so.
                memo.is_next(index) && memo.reserve_next().is_ok()
            })
        });
        // A PUT that is not the next entry is left to the loop.
        let at = if index.is_some() { rest } else { at };
        if let Some(([op::MARK], rest)) = at.array() {
            if self.pending.try_reserve(1).is_err() {
                return Err(errors::no_memory(py));
            }
            self.pending.push(Pending {
                at: self.stack.len(),
                index,
            });
            self.loose |= cx.visible;
            self.stack.push(py.None().into_bound(py));
            self.stack.mark(py)?;
            return Ok(rest);
        }
        let dict = make::dict(py)?;
        if let Some(index) = index {
            let object = dict.clone().unbind();
            let refused = cx.memo.with(py, move |memo| memo.fill(index, object));
            super::release(py, refused);
            self.last_dict = index;
        }
        self.stack.push(dict);
        Ok(at)
    }

    /// The index that a MEMOIZE or PUT at the front of the window gives, and what follows it.
    #[inline(always)]
    fn index_to_come<'w>(
        &self,
        cx: &Context<'_, '_>,
        at: Cursor<'w>,
    ) -> (Option<usize>, Cursor<'w>) {
        if let Some(([op::MEMOIZE], rest)) = at.array() {
            (Some(cx.memo.with(cx.py, |memo| memo.next())), rest)
        } else if let Some(([op::BINPUT, index], rest)) = at.array() {
            (Some(usize::from(index)), rest)
        } else if let Some(([op::LONG_BINPUT, a, b, c, d], rest)) = at.array() {
            (Some(u32::from_le_bytes([a, b, c, d]) as usize), rest)
        } else {
            (None, at)
        }
    }

    /// Takes the topmost mark for another opcode than SETITEMS.
    #[inline(always)]
    pub fn unmark(&mut self, cx: &Context<'_, '_>) -> R<usize> {
        let mark = self.stack.unmark(cx.py)?;
        if let Some(pending) = self.pending.last()
            && pending.at + 1 == mark
        {
            self.make_last(cx)?;
        }
        Ok(mark)
    }

    /// SETITEMS. Returns what is left of the window, which loses a BUILD that is dealt with here.
    #[inline]
    pub fn set_all_items<'w>(&mut self, cx: &Context<'_, '_>, at: Cursor<'w>) -> R<Cursor<'w>> {
        let mark = self.stack.unmark(cx.py)?;
        if let Some(&Pending { at: place, index }) = self.pending.last()
            && place + 1 == mark
            // Not of a second mark right behind the dict's own.
            && self.stack.fence() < mark
        {
            if let Some(rest) = self.build_directly(cx, place, index, at)? {
                self.pending.pop();
                return Ok(rest);
            }
            let count = self.stack.len() - mark;
            if count.is_multiple_of(2) && self.are_keys_atoms(cx, mark) {
                self.pending.pop();
                let items = &mut self.stack.items;
                let dict = if self.large {
                    self.templates.dict_of(cx.py, items, mark)?
                } else {
                    make::dict_of(cx.py, items, mark)?
                };
                self.put_in_place(cx, place, index, dict);
                return Ok(at);
            }
            self.make_last(cx)?;
        }
        self.set_items(cx, mark)?;
        Ok(at)
    }

    /// SETITEM. As [`Machine::set_all_items`]: a state of one attribute comes without a MARK.
    #[inline]
    pub fn set_one_item<'w>(&mut self, cx: &Context<'_, '_>, at: Cursor<'w>) -> R<Cursor<'w>> {
        let place = self.stack.last(cx.py, 2)?;
        if let Some(([op::BUILD | op::TUPLE2], _)) = at.array()
            && place > self.stack.fence()
        {
            let index = self.last_dict;
            let dict = self.stack.items[place - 1].bind(cx.py).clone();
            let address = dict.as_ptr().addr();
            // The dict is as EMPTY_DICT and MEMOIZE have left it: on the stack, in the memo, here.
            if build::is_empty_dict(&dict, 3)
                && cx.memo.with(cx.py, move |memo| memo.holds(index, address))
                && let Some(rest) = self.build_directly(cx, place - 1, Some(index), at)?
            {
                let object = cx.memo.with(cx.py, move |memo| memo.withdraw(index));
                super::release(cx.py, object);
                return Ok(rest);
            }
        }
        self.set_items(cx, place)?;
        Ok(at)
    }

    /// BUILD with the state dict whose place is `place` and whose items are above it, if that is what comes
    /// in the window, alone or as the second half of a pair. Returns what is left of the window;
    /// None, and nothing is done, if the dict has to be made.
    #[inline]
    fn build_directly<'w>(
        &mut self,
        cx: &Context<'_, '_>,
        place: usize,
        index: Option<usize>,
        at: Cursor<'w>,
    ) -> R<Option<Cursor<'w>>> {
        let Some(([next], rest)) = at.array().filter(|_| levers::on(Lever::Build)) else {
            return Ok(None);
        };
        let below = match next {
            op::BUILD => 1,
            op::TUPLE2 => 2,
            _ => return Ok(None),
        };
        // BUILD takes an instance and its state from above the mark that is topmost now. Without items the
        // instance would stay one that can be built directly, and the virtual entry would show
        // what it gets then.
        let count = self.stack.len() - place;
        if place < self.stack.fence() + below || count.is_multiple_of(2) || count == 1 {
            return Ok(None);
        }
        let instance = self.stack.items[place - below].bind(cx.py).clone();
        // An instance is memoised just before its state.
        let owner = index.map_or(0, |index| index.wrapping_sub(1));
        let address = instance.as_ptr().addr();
        if index.is_some() {
            let ready = cx.memo.with(cx.py, move |memo| {
                memo.holds(owner, address) && memo.make_room_for_virtuals().is_ok()
            });
            if !ready {
                return Ok(None);
            }
        }
        if next == op::TUPLE2 {
            return Ok(self.build_slots(cx, place, index, rest, &instance));
        }
        let from = place + 1;
        let mut names = None;
        if !self.classes.build(&instance, &mut self.stack.items, from)
            && !self.build_dict(cx, &instance, from)?
        {
            names = self.set_state(&instance, from);
            if names.is_none() {
                return Ok(None);
            }
        }
        self.stack.cut(cx.py, place);
        if let Some(index) = index {
            let content = match names {
                Some(names) => Content::Slots(owner, names),
                None => Content::Attributes(owner),
            };
            cx.memo
                .with(cx.py, move |memo| memo.add_virtual(index, content));
            self.loose = true;
        }
        Ok(Some(rest))
    }

    /// The part of [`Machine::build_directly`] for instances with a dict of their own: the items become that dict.
    fn build_dict<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        instance: &Bound<'py, PyAny>,
        from: usize,
    ) -> R<bool> {
        let items = &mut self.stack.items;
        if !self.classes.prepare_dict(instance, items, from) {
            return Ok(false);
        }
        let dict = if self.large {
            self.templates.dict_of(cx.py, items, from)?
        } else {
            make::dict_of(cx.py, items, from)?
        };
        self.classes.set_dict(instance, dict);
        Ok(true)
    }

    /// The part of [`Machine::build_directly`] for classes with a `__setstate__` that is known since an instance
    /// went through it: the names of the slots that the state was.
    fn set_state(&mut self, instance: &Bound<'_, PyAny>, from: usize) -> Option<Arc<[Py<PyAny>]>> {
        let Found::At(at) = self.constructors.find(&instance.get_type()) else {
            return None;
        };
        let items = &mut self.stack.items;
        self.constructors.set_state(at, instance, items, from)
    }

    /// The part of [`Machine::build_directly`] for slots: the state is the pair of None and the dict.
    fn build_slots<'w>(
        &mut self,
        cx: &Context<'_, '_>,
        place: usize,
        index: Option<usize>,
        at: Cursor<'w>,
        instance: &Bound<'_, PyAny>,
    ) -> Option<Cursor<'w>> {
        let (pair, rest) = self.index_to_come(cx, at);
        let ([op::BUILD], rest) = rest.array()? else {
            return None;
        };
        if !self.stack.items[place - 1].is_none(cx.py)
            || pair.is_some_and(|pair| !cx.memo.with(cx.py, move |memo| memo.is_next(pair)))
            // A pair in the memo needs a dict to refer to.
            || (pair.is_some() && index.is_none())
        {
            return None;
        }
        let names = self
            .classes
            .build_slots(instance, &mut self.stack.items, place + 1)?;
        self.stack.cut(cx.py, place - 1);
        if let Some(index) = index {
            cx.memo.with(cx.py, move |memo| {
                memo.add_virtual(index, Content::Slots(index.wrapping_sub(1), names));
                // For both there was room.
                if let Some(pair) = pair
                    && memo.reserve_next().is_ok()
                {
                    memo.add_virtual(pair, Content::Pair(index));
                }
            });
            self.loose = true;
        }
        Some(rest)
    }

    /// Makes the topmost pending dict, without items.
    #[inline]
    fn make_last(&mut self, cx: &Context<'_, '_>) -> R<()> {
        match self.pending.pop() {
            Some(pending) => self.make_pending(cx, &pending),
            None => Ok(()),
        }
    }

    fn make_pending(&mut self, cx: &Context<'_, '_>, pending: &Pending) -> R<()> {
        let dict = make::dict(cx.py)?;
        self.put_in_place(cx, pending.at, pending.index, dict);
        Ok(())
    }

    /// Puts a dict where it was pending: on the stack, and into the memo.
    #[inline]
    fn put_in_place(
        &mut self,
        cx: &Context<'_, '_>,
        place: usize,
        index: Option<usize>,
        dict: Bound<'_, PyAny>,
    ) {
        if let Some(index) = index {
            let object = dict.clone().unbind();
            let refused = cx.memo.with(cx.py, move |memo| memo.fill(index, object));
            super::release(cx.py, refused);
        }
        if let Some(place) = self.stack.items.get_mut(place) {
            // What was there is None.
            let none = std::mem::replace(place, dict.unbind());
            drop(none.into_bound(cx.py));
        }
    }

    /// Makes the pending dict with this index, if there is one.
    fn make_pending_at(&mut self, cx: &Context<'_, '_>, index: usize) -> R<()> {
        let waits = |pending: &Pending| pending.index == Some(index);
        match self.pending.iter().position(waits) {
            Some(at) => {
                let pending = self.pending.remove(at);
                self.make_pending(cx, &pending)
            }
            None => Ok(()),
        }
    }

    /// Whether the dict at this place of the stack is not made yet.
    pub fn is_pending(&self, place: usize) -> bool {
        self.pending
            .binary_search_by_key(&place, |pending| pending.at)
            .is_ok()
    }

    /// Whether [`Machine::thaw`] has anything to do.
    #[inline(always)]
    pub fn is_frozen(&self) -> bool {
        self.loose || self.pause.is_on()
    }

    /// Code is about to run that may change objects of the stream, or see the memo.
    #[inline(always)]
    pub fn thaw(&mut self, cx: &Context<'_, '_>) -> R<()> {
        if self.is_frozen() {
            self.thaw_now(cx)
        } else {
            Ok(())
        }
    }

    #[inline(never)]
    fn thaw_now(&mut self, cx: &Context<'_, '_>) -> R<()> {
        if self.loose {
            self.loose = false;
            memo::capture(cx.py, cx.memo);
        }
        self.show(cx)
    }

    /// Code is about to run that may see the memo.
    #[inline]
    pub fn show(&mut self, cx: &Context<'_, '_>) -> R<()> {
        self.pause.end();
        if cx.visible && !self.pending.is_empty() {
            for pending in std::mem::take(&mut self.pending) {
                self.make_pending(cx, &pending)?;
            }
        }
        Ok(())
    }

    /// GET of an index that has no object: makes the dict that is to be there.
    #[cold]
    #[inline(never)]
    pub fn get_absent(&mut self, cx: &Context<'_, '_>, index: usize) -> R<()> {
        self.make_pending_at(cx, index)?;
        memo::settle(cx.py, cx.memo, index)?;
        match cx.memo.pick(cx.py, |memo| memo.get(index)) {
            Some(object) => {
                self.stack.push(object);
                Ok(())
            }
            None => Err(self.missing(cx, index as isize)),
        }
    }

    /// PUT or MEMOIZE at an index that may be in use.
    #[cold]
    #[inline(never)]
    pub fn put_over(&mut self, cx: &Context<'_, '_>, index: usize, object: Py<PyAny>) -> R<()> {
        let py = cx.py;
        self.pause.end();
        if !cx.memo.with(py, |memo| memo.is_settled()) {
            memo::settle_all(py, cx.memo)?;
        }
        self.make_pending_at(cx, index)?;
        if !cx.memo.with(py, |memo| memo.has_room(index)) {
            return Err(errors::no_memory(py));
        }
        let old = cx.memo.with(py, move |memo| memo.put(index, object));
        super::release(py, old);
        Ok(())
    }
}

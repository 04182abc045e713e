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

use pyo3::prelude::*;

use super::{Context, Machine, memo};
use crate::format::opcode::op;
use crate::object::cursor::Cursor;
use crate::object::{R, make};

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
        let (index, rest) = if let Some(([op::MEMOIZE, op::MARK], rest)) = at.array() {
            (Some(cx.memo.with(py, |memo| memo.next())), rest)
        } else if let Some(([op::BINPUT, index, op::MARK], rest)) = at.array() {
            (Some(usize::from(index)), rest)
        } else if let Some(([op::LONG_BINPUT, a, b, c, d, op::MARK], rest)) = at.array() {
            (Some(u32::from_le_bytes([a, b, c, d]) as usize), rest)
        } else if let Some(([op::MARK], rest)) = at.array() {
            (None, rest)
        } else {
            self.stack.push(make::dict(py)?);
            return Ok(at);
        };
        if let Some(index) = index {
            let reserved = cx.memo.with(py, move |memo| {
                memo.is_next(index) && {
                    memo.reserve_next();
                    true
                }
            });
            if !reserved {
                self.stack.push(make::dict(py)?);
                return Ok(at);
            }
        }
        self.pending.push(Pending {
            at: self.stack.len(),
            index,
        });
        self.loose |= cx.visible;
        self.stack.push(py.None().into_bound(py));
        self.stack.mark();
        Ok(rest)
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
        {
            if let Some(([op::BUILD], rest)) = at.array()
                && self.build_directly(cx, place, index)
            {
                self.pending.pop();
                return Ok(rest);
            }
            self.make_last(cx)?;
        }
        self.set_items(cx, mark)?;
        Ok(at)
    }

    /// BUILD with the state dict that is pending at `place`; false, and nothing is done, if the dict has to
    /// be made.
    #[inline]
    fn build_directly(&mut self, cx: &Context<'_, '_>, place: usize, index: Option<usize>) -> bool {
        // BUILD takes two values from above the mark that is topmost now.
        if place <= self.stack.fence() || (self.stack.len() - place).is_multiple_of(2) {
            return false;
        }
        let Some(instance) = self.stack.items.get(place - 1) else {
            return false;
        };
        let instance = instance.bind(cx.py).clone();
        let address = instance.as_ptr().addr();
        // An instance is memoised just before its state.
        let memoised = index.is_none_or(|index| {
            index > 0
                && cx
                    .memo
                    .with(cx.py, move |memo| memo.holds(index - 1, address))
        });
        if !memoised
            || !self
                .classes
                .build(&instance, &mut self.stack.items, place + 1)
        {
            return false;
        }
        self.stack.cut(cx.py, place);
        if let Some(index) = index {
            cx.memo
                .with(cx.py, move |memo| memo.add_virtual(index, index - 1));
            self.loose = true;
        }
        true
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
        if let Some(index) = pending.index {
            let object = dict.clone().unbind();
            let refused = cx.memo.with(cx.py, move |memo| memo.fill(index, object));
            super::release(cx.py, refused);
        }
        if let Some(place) = self.stack.items.get_mut(pending.at) {
            // What was there is None.
            *place = dict.unbind();
        }
        Ok(())
    }

    /// Code is about to run that may change objects of the stream, or see the memo.
    #[inline(always)]
    pub fn thaw(&mut self, cx: &Context<'_, '_>) -> R<()> {
        if self.loose {
            self.thaw_now(cx)
        } else {
            Ok(())
        }
    }

    #[inline(never)]
    fn thaw_now(&mut self, cx: &Context<'_, '_>) -> R<()> {
        self.loose = false;
        memo::capture(cx.py, cx.memo);
        self.show(cx)
    }

    /// Code is about to run that may see the memo.
    #[inline]
    pub fn show(&mut self, cx: &Context<'_, '_>) -> R<()> {
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
        let waiting = |pending: &Pending| pending.index == Some(index);
        if let Some(at) = self.pending.iter().position(waiting) {
            let pending = self.pending.remove(at);
            self.make_pending(cx, &pending)?;
        } else {
            memo::settle(cx.py, cx.memo, index)?;
        }
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
    pub fn put_over(&mut self, cx: &Context<'_, '_>, index: usize, object: Py<PyAny>) {
        let py = cx.py;
        memo::capture(py, cx.memo);
        // What was to be there is not, any more.
        for pending in &mut self.pending {
            pending.index = pending.index.filter(|&reserved| reserved != index);
        }
        let old = cx.memo.with(py, move |memo| {
            let items = memo.take_virtual(index);
            (items, memo.put(index, object))
        });
        drop(old);
    }
}

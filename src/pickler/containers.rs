//! Resuming containers: list, tuple, dict, set, frozenset, inline values, and their batching.
//!
//! Each `resume` is written in the order of the bytes it emits. It walks its container in a tight
//! loop, writes leaves at once, and returns when a child has become a task; its own state is then
//! written back. What happens when a container changes meanwhile is C's behaviour of each version.

use super::BATCH;
use super::fault::{F, Fault};
use super::session::{Flow, Session};
use super::task::{Batching, Pair, Task};
use crate::compat::QUIRKS;
use crate::format::opcode::op;
use crate::object::instance::{Attributes, attributes, place_of};
use crate::object::kind::{self, Kind};
use crate::object::world::Slot;
use crate::object::{Obj, Window};

/// How the next batch of an exact list or dict is written, after `done` of `size` items.
#[inline]
fn batching(protocol: u8, size: usize, done: usize) -> Batching {
    if protocol == 0 || size == 1 || (QUIRKS.short_last_batch && done + 1 == size) {
        Batching::Single
    } else {
        Batching::Marked
    }
}

impl Session {
    /// EMPTY_LIST PUT was written; `item APPEND`, or `MARK item… APPENDS` for each batch.
    pub(super) fn resume_list(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::List(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let Some(Kind::List(list)) = task.list.get(window).map(Obj::kind) else {
            return Ok(Flow::Done);
        };
        let (mut next, size, mut in_batch, mut mode) =
            (task.next, task.size, task.in_batch, task.mode);
        loop {
            if mode == Batching::Single && in_batch != 0 {
                self.out.emit([op::APPEND])?;
                (mode, in_batch) = (Batching::Closed, 0);
                if self.protocol != 0 {
                    break;
                }
            }
            if mode == Batching::Closed {
                if next >= list.len() {
                    break;
                }
                mode = batching(self.protocol, size, next);
                if mode == Batching::Marked {
                    self.out.emit([op::MARK])?;
                }
            }
            let item = if in_batch == BATCH {
                None
            } else {
                list.get(next)
            };
            if mode == Batching::Marked
                && let Some(number) = item
                && number.is_number()
            {
                let done = self.quick_numbers(list, next, usize::from(BATCH - in_batch));
                next += done;
                in_batch += done as u16;
                if done != 0 {
                    continue;
                }
            }
            let Some(item) = item else {
                self.out.emit([op::APPENDS])?;
                if QUIRKS.list_resize_is_error && list.len() != size {
                    self.pop()?;
                    return Err(Fault::Resized("list"));
                }
                (mode, in_batch) = (Batching::Closed, 0);
                continue;
            };
            next += 1;
            in_batch += 1;
            if self.quick(item, false) {
                continue;
            }
            let flow = self.save_called(window, item, false);
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::List(task) = &mut self.tasks[top] {
                    (task.next, task.in_batch, task.mode) = (next, in_batch, mode);
                }
                return flow;
            }
        }
        if self.fast {
            self.fast_leave(list.obj());
        }
        self.pop()
    }

    /// Up to three items: `item… TUPLE1/2/3`; more, or before protocol 2: MARK was written,
    /// `item… TUPLE`. Then PUT.
    pub(super) fn resume_tuple(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Tuple(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let Some(Kind::Tuple(tuple)) = task.tuple.get(window).map(Obj::kind) else {
            return Ok(Flow::Done);
        };
        let mut next = task.next;
        let shared = self.is_shared(window, top, &task.tuple, task.shared);
        while let Some(item) = tuple.get(next) {
            next += 1;
            if self.quick(item, shared) {
                continue;
            }
            let flow = self.save_called(window, item, shared);
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::Tuple(task) = &mut self.tasks[top] {
                    task.next = next;
                }
                return flow;
            }
        }
        self.pop()?;
        self.close_tuple(tuple, shared)
    }

    /// The items of a tuple are written: TUPLE1/2/3 or TUPLE, PUT; or a GET, if they led back to it.
    pub(super) fn close_tuple(&mut self, tuple: kind::Tuple<'_>, shared: bool) -> F<Flow> {
        let short = self.protocol >= 2 && tuple.len() <= 3;
        if shared && let Some(index) = self.memo.get(tuple.obj())? {
            // It contains itself: the items are taken off again.
            if !short && self.binary {
                self.out.emit([op::POP_MARK])?;
            } else {
                // The mark, where there is one, takes a POP too.
                for _ in 0..tuple.len() + usize::from(!short) {
                    self.out.emit([op::POP])?;
                }
            }
            return self.emit_get(index);
        }
        let opcode = match tuple.len() {
            1 if short => op::TUPLE1,
            2 if short => op::TUPLE2,
            3 if short => op::TUPLE3,
            _ => op::TUPLE,
        };
        self.out.emit([opcode])?;
        self.put(tuple.obj(), !shared)?;
        Ok(Flow::Done)
    }

    /// EMPTY_DICT PUT was written; `key value SETITEM`, or `MARK (key value)… SETITEMS` for each
    /// batch; BUILD if it is an instance's state.
    pub(super) fn resume_dict(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Dict(task) = &mut self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let Some(dict) = task.dict.get(window).and_then(Obj::as_dict) else {
            return Ok(Flow::Done);
        };
        let (size, mut position, mut done) = (task.size, task.position, task.done);
        let (mut in_batch, mut mode, mut pair) = (task.in_batch, task.mode, task.pair);
        let mut value = task.value.get(window);
        let mut key = None;
        let shares_keys = dict.shares_keys();
        let entries = dict.entries();
        self.graveyard.bury(&mut task.value);
        loop {
            let flow = match (pair, value.take()) {
                (Pair::Value, Some(value)) => {
                    pair = Pair::Done;
                    self.save_called(window, value, false)
                }
                (Pair::Done, _) => {
                    done += 1;
                    in_batch += 1;
                    pair = Pair::Key;
                    if mode == Batching::Single {
                        self.out.emit([op::SETITEM])?;
                        (mode, in_batch) = (Batching::Closed, 0);
                        if self.protocol != 0 {
                            break;
                        }
                    }
                    continue;
                }
                (Pair::Key | Pair::Value, _) => {
                    if mode == Batching::Closed {
                        if QUIRKS.short_last_batch && self.protocol != 0 && done >= size {
                            break;
                        }
                        mode = batching(self.protocol, size, done);
                        if mode == Batching::Marked {
                            self.out.emit([op::MARK])?;
                        } else if self.protocol == 0 && dict.len() != size {
                            // The iterator that C uses here notices at once.
                            return self.dict_changed(top, Fault::Resized("dictionary"));
                        }
                    }
                    let item = if in_batch == BATCH {
                        None
                    } else {
                        entries.next(&mut position)
                    };
                    let Some((next_key, next_value)) = item else {
                        if mode == Batching::Single {
                            break;
                        }
                        self.out.emit([op::SETITEMS])?;
                        if dict.len() != size {
                            return self.dict_changed(top, Fault::Resized("dictionary"));
                        }
                        if in_batch != BATCH {
                            break;
                        }
                        // Before 3.15 a full last batch is followed by an empty one.
                        (mode, in_batch) = (Batching::Closed, 0);
                        continue;
                    };
                    if self.protocol == 0 && done >= size {
                        return self.dict_changed(top, Fault::KeysChanged);
                    }
                    key = Some(next_key);
                    if self.quick_key(next_key, shares_keys) {
                        pair = Pair::Done;
                        if self.quick(next_value, false) {
                            continue;
                        }
                        self.save_called(window, next_value, false)
                    } else {
                        pair = Pair::Value;
                        value = Some(next_value);
                        self.save_called(window, next_key, shares_keys)
                    }
                }
            };
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::Dict(task) = &mut self.tasks[top] {
                    (task.position, task.done) = (position, done);
                    (task.in_batch, task.mode, task.pair) = (in_batch, mode, pair);
                    task.value = value.map_or(Slot::EMPTY, Slot::borrowed);
                    if let Some(key) = key {
                        self.graveyard.bury(&mut task.key);
                        task.key = Slot::borrowed(key);
                    }
                }
                return flow;
            }
        }
        if self.fast {
            self.fast_leave(dict.obj());
        }
        let Task::Dict(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        if !task.owner.is_empty() {
            self.out.emit([op::BUILD])?;
        }
        self.pop()
    }

    /// The dict itself is at fault, not an item of it; whose state it is is still of interest.
    #[cold]
    fn dict_changed(&mut self, top: usize, fault: Fault) -> F<Flow> {
        if let Task::Dict(task) = &mut self.tasks[top] {
            task.pair = Pair::Key;
        }
        Err(fault)
    }

    #[cold]
    fn resized(&mut self, what: &'static str) -> F<Flow> {
        self.pop()?;
        Err(Fault::Resized(what))
    }

    /// EMPTY_DICT PUT was written for a dict that does not exist; its items as in a dict, then
    /// BUILD. Between two windows the dict exists, and the task is another.
    pub(super) fn resume_inline(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Inline(task) = &mut self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let Some(object) = task.object.get(window) else {
            return Ok(Flow::Done);
        };
        let Attributes::Inline(inline) = attributes(window, object, place_of(object)) else {
            return Ok(Flow::Done);
        };
        let (size, mut next, mut pair) = (task.size, task.next, task.pair);
        let mut value = task.value.get(window);
        let mut key = None;
        self.graveyard.bury(&mut task.value);
        loop {
            let flow = match (pair, value.take()) {
                (Pair::Value, Some(value)) => {
                    pair = Pair::Done;
                    self.save_called(window, value, false)
                }
                _ => {
                    let Some((next_key, next_value)) = inline.get(next) else {
                        break;
                    };
                    next += 1;
                    pair = Pair::Value;
                    key = Some(next_key);
                    // The class owns the names, for all its instances.
                    if self.quick_key(next_key, true) {
                        pair = Pair::Done;
                        if self.quick(next_value, false) {
                            continue;
                        }
                        self.save_called(window, next_value, false)
                    } else {
                        value = Some(next_value);
                        self.save_called(window, next_key, true)
                    }
                }
            };
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::Inline(task) = &mut self.tasks[top] {
                    (task.next, task.pair) = (next, pair);
                    task.value = value.map_or(Slot::EMPTY, Slot::borrowed);
                    if let Some(key) = key {
                        self.graveyard.bury(&mut task.key);
                        task.key = Slot::borrowed(key);
                    }
                }
                return flow;
            }
        }
        let last = if size == 1 { op::SETITEM } else { op::SETITEMS };
        self.out.emit([last, op::BUILD])?;
        self.pop()
    }

    /// A set: EMPTY_SET PUT was written; `MARK element… ADDITEMS` for each batch. A frozenset: MARK
    /// was written; `element… FROZENSET PUT`.
    pub(super) fn resume_set(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Set(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let set = match task.set.get(window).map(Obj::kind) {
            Some(Kind::Set(set) | Kind::FrozenSet(set)) => set,
            _ => return Ok(Flow::Done),
        };
        let (size, frozen) = (task.size, task.frozen);
        let shared = frozen && self.is_shared(window, top, &task.set, task.shared);
        let (mut position, mut in_batch, mut open) = (task.position, task.in_batch, task.open);
        // Elements are counted in batches; a frozenset is one batch.
        let mut done = task.done;
        loop {
            if !frozen && !open {
                if QUIRKS.short_last_batch && done >= size {
                    break;
                }
                self.out.emit([op::MARK])?;
                open = true;
            }
            let element = if !frozen && in_batch == BATCH {
                None
            } else {
                set.next(&mut position)
            };
            let Some(element) = element else {
                if frozen {
                    break;
                }
                self.out.emit([op::ADDITEMS])?;
                if set.len() != size {
                    return self.resized("set");
                }
                if in_batch != BATCH {
                    break;
                }
                (open, in_batch) = (false, 0);
                continue;
            };
            done += 1;
            in_batch = in_batch.wrapping_add(1);
            if self.quick(element, shared) {
                continue;
            }
            let flow = self.save_called(window, element, shared);
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::Set(task) = &mut self.tasks[top] {
                    (task.position, task.in_batch, task.open) = (position, in_batch, open);
                    task.done = done;
                }
                return flow;
            }
        }
        self.pop()?;
        if !frozen {
            return Ok(Flow::Done);
        }
        self.close_frozenset(set, shared)
    }

    /// The elements of a frozenset are written: FROZENSET PUT; or a GET, if they led back to it.
    pub(super) fn close_frozenset(&mut self, set: kind::Set<'_>, shared: bool) -> F<Flow> {
        if shared && let Some(index) = self.memo.get(set.obj())? {
            self.out.emit([op::POP_MARK])?;
            return self.emit_get(index);
        }
        self.out.emit([op::FROZENSET])?;
        self.put(set.obj(), !shared)?;
        Ok(Flow::Done)
    }
}

//! Items of objects with a recipe: of a list, dict or deque as their iterators would give them, and slots.
//!
//! Everything here happens in one window, so nothing changes meanwhile: a thaw turns the task into what C has at
//! that point (`unfreeze.rs`). Batches are those that C makes of an iterator, or of a dict (`Source::Copy`).

use super::BATCH;
use super::fault::F;
use super::session::{Flow, Session};
use super::task::{Batching, Pair, Source, Task, Walk};
use crate::compat::QUIRKS;
use crate::format::opcode::op;
use crate::object::kind::Dict;
use crate::object::known::Deque;
use crate::object::world::{Missing, Slot};
use crate::object::{Obj, Window};

/// How the next batch of an iterator's items is written, with so many left.
#[inline]
fn batching(left: usize) -> Batching {
    match left {
        0 => Batching::Closed,
        1 => Batching::Single,
        _ => Batching::Marked,
    }
}

impl Session {
    /// [`Task::Walk`].
    pub(super) fn resume_walk(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Walk(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let Some(object) = task.object.get(window) else {
            return Ok(Flow::Done);
        };
        match task.source {
            Source::List => match object.as_list() {
                Some(list) => {
                    self.walk_items(window, top, list.len(), |i, _: &mut usize| list.get(i))
                }
                None => self.pop(),
            },
            Source::Deque => {
                let deque = Deque::of(object);
                self.walk_items(window, top, deque.len(), |i, block| deque.next(i, block))
            }
            Source::Dict | Source::Copy => match object.as_dict() {
                Some(dict) => self.walk_pairs(window, top, dict),
                None => self.pop(),
            },
            Source::Slots(plan) => self.walk_slots(window, top, object, plan),
        }
    }

    /// `item APPEND`, or `MARK item… APPENDS` for each batch.
    fn walk_items<'w>(
        &mut self,
        window: Window<'w>,
        top: usize,
        size: usize,
        next: impl Fn(usize, &mut usize) -> Option<Obj<'w>>,
    ) -> F<Flow> {
        let Task::Walk(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let (mut position, mut done, mut in_batch, mut mode) =
            (task.position, task.done, task.in_batch, task.mode);
        loop {
            if mode == Batching::Closed || in_batch == BATCH || done == size {
                match mode {
                    Batching::Closed => {}
                    Batching::Single => self.out.emit([op::APPEND])?,
                    Batching::Marked => self.out.emit([op::APPENDS])?,
                }
                mode = batching(size - done);
                in_batch = 0;
                match mode {
                    Batching::Closed => break,
                    Batching::Single => {}
                    Batching::Marked => self.out.emit([op::MARK])?,
                }
            }
            let Some(item) = next(done, &mut position) else {
                break;
            };
            done += 1;
            in_batch += 1;
            if self.quick(item, false) {
                continue;
            }
            let flow = self.save_called(window, item, false);
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::Walk(task) = &mut self.tasks[top] {
                    (task.position, task.done) = (position, done);
                    (task.in_batch, task.mode) = (in_batch, mode);
                }
                return flow;
            }
        }
        self.pop()
    }

    /// `key value SETITEM`, or `MARK (key value)… SETITEMS` for each batch.
    fn walk_pairs<'w>(&mut self, window: Window<'w>, top: usize, dict: Dict<'w>) -> F<Flow> {
        let Task::Walk(task) = &mut self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let (size, copied, shared) = (dict.len(), task.source == Source::Copy, task.shared);
        let (mut position, mut done) = (task.position as isize, task.done);
        let (mut in_batch, mut mode, mut pair) = (task.in_batch, task.mode, task.pair);
        let mut value = task.value.get(window);
        let mut key = None;
        let entries = dict.entries();
        self.graveyard.bury(&mut task.value);
        loop {
            let flow = if let (Pair::Value, Some(next)) = (pair, value.take()) {
                pair = Pair::Done;
                self.save_called(window, next, shared)
            } else {
                if mode == Batching::Closed || in_batch == BATCH || done == size {
                    match mode {
                        Batching::Closed => {}
                        Batching::Single => self.out.emit([op::SETITEM])?,
                        Batching::Marked => self.out.emit([op::SETITEMS])?,
                    }
                    if copied && !QUIRKS.short_last_batch && mode != Batching::Single && size > 0 {
                        // A dict's batch is marked whatever is left, and an empty one follows a full
                        // last one.
                        if size == 1 {
                            mode = Batching::Single;
                        } else if mode == Batching::Closed || in_batch == BATCH {
                            mode = Batching::Marked;
                        } else {
                            mode = Batching::Closed;
                        }
                    } else {
                        mode = batching(size - done);
                    }
                    in_batch = 0;
                    match mode {
                        Batching::Closed => break,
                        Batching::Single => {}
                        Batching::Marked => self.out.emit([op::MARK])?,
                    }
                    if done == size {
                        self.out.emit([op::SETITEMS])?;
                        break;
                    }
                }
                let Some((next_key, next_value)) = entries.next(&mut position) else {
                    break;
                };
                done += 1;
                in_batch += 1;
                pair = Pair::Value;
                (key, value) = (Some(next_key), Some(next_value));
                self.save_called(window, next_key, shared)
            };
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::Walk(task) = &mut self.tasks[top] {
                    (task.position, task.done) = (position as usize, done);
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
        self.pop()
    }

    /// The state of an object with slots, which is memoised: `NONE EMPTY_DICT PUT`, a task for the slots that are
    /// set.
    pub(super) fn save_slots<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        number: u32,
    ) -> F<Flow> {
        let Some(plan) = self.types.plan(number) else {
            return Ok(Flow::Done);
        };
        let set = (0..plan.slots.len()).filter(|&i| plan.get(window, object, i).is_some());
        let size = set.take(2).count();
        if size == 0 {
            return Ok(Flow::Done);
        }
        self.out.boundary();
        self.out.emit([op::NONE])?;
        self.out.boundary();
        self.emit_missing([op::EMPTY_DICT], Missing::Dict)?;
        let mode = batching(size);
        if mode == Batching::Marked {
            self.out.emit([op::MARK])?;
        }
        self.push(Task::Walk(Walk {
            object: Slot::borrowed(object),
            key: Slot::EMPTY,
            value: Slot::EMPTY,
            source: Source::Slots(number),
            position: 0,
            done: 0,
            in_batch: 0,
            mode,
            pair: Pair::Key,
            shared: false,
        }))?;
        self.resume_now(window, Self::resume_walk)
    }

    /// The slots, SETITEM or SETITEMS, TUPLE2 PUT, BUILD.
    fn walk_slots<'w>(
        &mut self,
        window: Window<'w>,
        top: usize,
        object: Obj<'w>,
        number: u32,
    ) -> F<Flow> {
        let Task::Walk(task) = &mut self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let (mut position, mut done, mut pair) = (task.position, task.done, task.pair);
        let mode = task.mode;
        let mut value = task.value.get(window);
        let mut key = None;
        self.graveyard.bury(&mut task.value);
        loop {
            let flow = if let (Pair::Value, Some(next)) = (pair, value.take()) {
                pair = Pair::Done;
                self.save_called(window, next, false)
            } else {
                let Some(plan) = self.types.plan(number) else {
                    break;
                };
                if position >= plan.slots.len() {
                    break;
                }
                let slot = plan.get(window, object, position);
                position += 1;
                let Some((next_key, next_value)) = slot else {
                    continue;
                };
                done += 1;
                pair = Pair::Value;
                (key, value) = (Some(next_key), Some(next_value));
                self.save_called(window, next_key, false)
            };
            if !matches!(flow, Ok(Flow::Done)) {
                if let Task::Walk(task) = &mut self.tasks[top] {
                    (task.position, task.done, task.pair) = (position, done, pair);
                    task.in_batch = done as u16;
                    task.value = value.map_or(Slot::EMPTY, Slot::borrowed);
                    if let Some(key) = key {
                        self.graveyard.bury(&mut task.key);
                        task.key = Slot::borrowed(key);
                    }
                }
                return flow;
            }
        }
        self.out.emit([if mode == Batching::Single {
            op::SETITEM
        } else {
            op::SETITEMS
        }])?;
        self.emit_missing([op::TUPLE2], Missing::Tuple)?;
        self.out.emit([op::BUILD])?;
        self.pop()
    }
}

//! Containers from their first item on, for as long as the items are leaves.
//!
//! Most containers hold nothing but leaves. They are written here without a task; at the first item that
//! is something else the task is pushed as it would stand by then, and `containers.rs` goes on. Only what
//! fits one batch is begun here, so that no rule of batching is needed; the world is frozen, so that no
//! container changes its size.

use super::BATCH;
use super::fault::F;
use super::session::{Flow, Session};
use super::task::{Batching, Dict, Inline, List, Pair, Set, Task, Tuple};
use crate::format::opcode::op;
use crate::object::instance;
use crate::object::kind;
use crate::object::world::Slot;
use crate::object::{Obj, Window};

impl Session {
    /// EMPTY_LIST PUT was written.
    pub(super) fn lead_list<'w>(&mut self, window: Window<'w>, list: kind::List<'w>) -> F<Flow> {
        let size = list.len();
        let mut next = 0;
        let mut mode = Batching::Closed;
        if self.short && size > 1 && size < usize::from(BATCH) {
            self.out.emit([op::MARK])?;
            mode = Batching::Marked;
            next = self.quick_numbers(list, 0, size);
            while let Some(item) = list.get(next) {
                if !self.quick(item, false) {
                    break;
                }
                next += 1;
            }
            if next == size {
                self.out.emit([op::APPENDS])?;
                return Ok(Flow::Done);
            }
        }
        self.push(Task::List(List {
            list: Slot::borrowed(list.obj()),
            next,
            size,
            in_batch: next as u16,
            mode,
        }))?;
        self.resume_now(window, Self::resume_list)
    }

    /// What comes before a tuple's items was written, if anything.
    pub(super) fn lead_tuple<'w>(
        &mut self,
        window: Window<'w>,
        tuple: kind::Tuple<'w>,
        shared: bool,
    ) -> F<Flow> {
        let mut next = 0;
        while let Some(item) = tuple.get(next) {
            if !self.quick(item, shared) {
                self.push(Task::Tuple(Tuple {
                    tuple: Slot::borrowed(tuple.obj()),
                    next,
                    shared,
                }))?;
                return self.resume_now(window, Self::resume_tuple);
            }
            next += 1;
        }
        // Leaves do not lead back to it.
        self.close_tuple(tuple, shared)
    }

    /// EMPTY_DICT PUT was written; `owner` is the instance whose state it is, if it is one.
    pub(super) fn lead_dict<'w>(
        &mut self,
        window: Window<'w>,
        dict: kind::Dict<'w>,
        owner: Slot,
    ) -> F<Flow> {
        let size = dict.len();
        let mut task = Dict {
            dict: Slot::borrowed(dict.obj()),
            owner,
            key: Slot::EMPTY,
            value: Slot::EMPTY,
            position: 0,
            size,
            done: 0,
            in_batch: 0,
            mode: Batching::Closed,
            pair: Pair::Key,
        };
        if self.short && size > 1 && size < usize::from(BATCH) {
            self.out.emit([op::MARK])?;
            task.mode = Batching::Marked;
            let shares_keys = dict.shares_keys();
            let entries = dict.entries();
            let (mut position, mut done) = (0, 0);
            loop {
                let before = position;
                let Some((key, value)) = entries.next(&mut position) else {
                    let last = [op::SETITEMS, op::BUILD];
                    if task.owner.is_empty() {
                        self.out.emit([last[0]])?;
                    } else {
                        self.out.emit(last)?;
                    }
                    return Ok(Flow::Done);
                };
                if !self.quick_key(key, shares_keys) {
                    position = before;
                    break;
                }
                if !self.quick(value, false) {
                    task.pair = Pair::Value;
                    task.key = Slot::borrowed(key);
                    task.value = Slot::borrowed(value);
                    break;
                }
                done += 1;
            }
            (task.position, task.done, task.in_batch) = (position, done, done as u16);
        }
        self.push(Task::Dict(task))?;
        self.resume_now(window, Self::resume_dict)
    }

    /// EMPTY_DICT PUT was written for the attributes of `object`.
    pub(super) fn lead_inline<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        inline: instance::Inline<'w>,
    ) -> F<Flow> {
        let size = inline.len();
        let mut task = Inline {
            object: Slot::borrowed(object),
            key: Slot::EMPTY,
            value: Slot::EMPTY,
            next: 0,
            size,
            pair: Pair::Key,
        };
        if size != 1 {
            self.out.emit([op::MARK])?;
        }
        while let Some((key, value)) = inline.get(task.next) {
            // The class owns the names, for all its instances.
            if !self.quick_key(key, true) {
                break;
            }
            task.next += 1;
            if !self.quick(value, false) {
                task.pair = Pair::Value;
                task.key = Slot::borrowed(key);
                task.value = Slot::borrowed(value);
                break;
            }
        }
        if task.next == size && task.pair == Pair::Key {
            let last = if size == 1 { op::SETITEM } else { op::SETITEMS };
            self.out.emit([last, op::BUILD])?;
            return Ok(Flow::Done);
        }
        self.push(Task::Inline(task))?;
        self.resume_now(window, Self::resume_inline)
    }

    /// A set, whose EMPTY_SET PUT was written, or a frozenset, whose MARK was.
    pub(super) fn lead_set<'w>(
        &mut self,
        window: Window<'w>,
        set: kind::Set<'w>,
        frozen: bool,
        shared: bool,
    ) -> F<Flow> {
        let size = set.len();
        let (mut position, mut done, mut open) = (0, 0, false);
        if frozen || (self.short && size < usize::from(BATCH)) {
            if !frozen {
                self.out.emit([op::MARK])?;
                open = true;
            }
            loop {
                let before = position;
                let Some(element) = set.next(&mut position) else {
                    break;
                };
                if !self.quick(element, shared && frozen) {
                    position = before;
                    break;
                }
                done += 1;
            }
            if done == size {
                if frozen {
                    return self.close_frozenset(set, shared);
                }
                self.out.emit([op::ADDITEMS])?;
                return Ok(Flow::Done);
            }
        }
        self.push(Task::Set(Set {
            set: Slot::borrowed(set.obj()),
            position,
            size,
            done,
            in_batch: done as u16,
            open,
            frozen,
            shared,
        }))?;
        self.resume_now(window, Self::resume_set)
    }
}

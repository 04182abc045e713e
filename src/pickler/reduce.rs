//! Resuming reduce values, globals and persistent ids: everything whose parts are known and only have to
//! be written. How they come about is in `thawed.rs` and `global.rs`.

use super::fault::F;
use super::session::{Flow, Session};
use super::task::{Form, ItemStage, Items, Stage, Task};
use crate::format::opcode::op;
use crate::object::buffer::wraps;
use crate::object::kind::{Kind, Tuple};
use crate::object::world::Slot;
use crate::object::{Obj, Window};

/// An item of a reduce value that is there and not None.
fn part<'w>(value: Tuple<'w>, index: usize) -> Option<Obj<'w>> {
    value
        .get(index)
        .filter(|item| !matches!(item.kind(), Kind::None))
}

impl Session {
    /// `callable args REDUCE`, `cls args NEWOBJ` or `cls args kwargs NEWOBJ_EX`; PUT; items; state, BUILD
    /// or a state setter's call.
    pub(super) fn resume_reduce(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Reduce(task) = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let Some(value) = task.value.get(window).and_then(Obj::as_tuple) else {
            return Ok(Flow::Done);
        };
        let (object, own_args) = (task.object.get(window), task.args.get(window));
        let (form, mut stage) = (task.form, task.stage);
        let args = value.get(1).and_then(Obj::as_tuple);
        // Until the object is memoised it may be met again, and its reduce value walked again, if
        // that is kept by somebody else.
        let shared = !value.obj().is_sole();
        loop {
            let (child, next) = match stage {
                Stage::Callable => {
                    let child = match form {
                        Form::Call => value.get(0),
                        Form::NewObj | Form::NewObjEx => args.and_then(|args| args.get(0)),
                    };
                    (child, Stage::Args)
                }
                Stage::Args => match form {
                    Form::Call => (value.get(1), Stage::Made),
                    Form::NewObj => (own_args, Stage::Made),
                    Form::NewObjEx => (args.and_then(|args| args.get(1)), Stage::Kwargs),
                },
                Stage::Kwargs => (args.and_then(|args| args.get(2)), Stage::Made),
                Stage::Made => {
                    self.out.emit([match form {
                        Form::Call => op::REDUCE,
                        Form::NewObj => op::NEWOBJ,
                        Form::NewObjEx => op::NEWOBJ_EX,
                    }])?;
                    if let Some(object) = object {
                        // The PickleBuffer of an array refers to the array.
                        let is_wrapped = object.has_references(3)
                            && args
                                .and_then(|args| args.get(0))
                                .is_some_and(|first| wraps(window, first, object));
                        let counted = 1 + isize::from(is_wrapped);
                        // A state setter gets the object as its argument.
                        let held = part(value, 5).is_none()
                            && self.is_held(window, top.checked_sub(1), object, counted);
                        if !held && let Some(index) = self.memo.get(object)? {
                            // Its own arguments led back to it and it is complete.
                            self.out.emit([op::POP])?;
                            self.pop()?;
                            return self.emit_get(index);
                        }
                        self.put(object, held)?;
                    }
                    if value.len() == 2 {
                        return self.pop();
                    }
                    (None, Stage::Items)
                }
                Stage::Items | Stage::Pairs => {
                    let pairs = stage == Stage::Pairs;
                    let next = if pairs { Stage::State } else { Stage::Pairs };
                    if let Some(iterator) = part(value, if pairs { 4 } else { 3 }) {
                        self.set_stage(top, next);
                        return self.push(Task::Items(Items {
                            object: object.map_or(Slot::EMPTY, Slot::borrowed),
                            iterator: Slot::borrowed(iterator),
                            ahead: Slot::EMPTY,
                            pair: Slot::EMPTY,
                            done: 0,
                            in_batch: 0,
                            stage: ItemStage::Start,
                            pairs,
                        }));
                    }
                    (None, next)
                }
                Stage::State => match (part(value, 2), part(value, 5)) {
                    (None, _) => return self.pop(),
                    (state, None) => (state, Stage::Build),
                    (_, setter) => (setter, Stage::SetterObject),
                },
                Stage::SetterObject => (object, Stage::SetterState),
                Stage::SetterState => (part(value, 2), Stage::SetterCall),
                Stage::SetterCall => {
                    // TUPLE2 at every protocol, as C has it.
                    self.out.emit([op::TUPLE2, op::REDUCE, op::POP])?;
                    return self.pop();
                }
                Stage::Build => {
                    self.out.emit([op::BUILD])?;
                    return self.pop();
                }
            };
            if let Some(child) = child {
                // As its setter's argument the object is met again, also if nobody else has it any more.
                let shared = shared && stage < Stage::Made || stage == Stage::SetterObject;
                let flow = self.save(window, child, shared);
                if !matches!(flow, Ok(Flow::Done)) {
                    self.set_stage(top, next);
                    return flow;
                }
            }
            stage = next;
        }
    }

    /// `class EMPTY_TUPLE NEWOBJ` PUT; the state, BUILD, if it is not None. Where a frame may end in between, or the
    /// class needs user code, the rest is written like any reduce value.
    pub(super) fn resume_state(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::State {
            object,
            state,
            made,
        } = &mut self.tasks[top]
        else {
            return Ok(Flow::Done);
        };
        let (Some(object), Some(value)) = (object.get(window), state.get(window)) else {
            return Ok(Flow::Done);
        };
        if !*made {
            *made = true;
            let class = object.ty().obj();
            let plain = self.binary && !self.fast && !self.is_tight();
            if plain && let Some(index) = self.memo.get(class)? {
                self.emit_get(index)?;
            } else if !plain || self.overridden || !self.save_class(window, class)? {
                self.pop()?;
                return self.push(Task::LeaveState {
                    object: Slot::borrowed(object),
                    state: Slot::borrowed(value),
                });
            }
            self.out.boundary();
            self.out.emit([op::EMPTY_TUPLE])?;
            let made = self.made(object, true, op::NEWOBJ)?;
            if !made || matches!(value.kind(), Kind::None) {
                return self.pop();
            }
            let flow = self.save(window, value, false);
            if !matches!(flow, Ok(Flow::Done)) {
                return flow;
            }
        }
        self.out.emit([op::BUILD])?;
        self.pop()
    }

    fn set_stage(&mut self, top: usize, stage: Stage) {
        if let Task::Reduce(task) = &mut self.tasks[top] {
            task.stage = stage;
        }
    }

    /// `module name STACK_GLOBAL` PUT.
    pub(super) fn resume_global(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        loop {
            let Task::Global {
                object,
                module,
                name,
                stage,
            } = &mut self.tasks[top]
            else {
                return Ok(Flow::Done);
            };
            let part = match *stage {
                0 => module.get(window),
                1 => name.get(window),
                _ => {
                    let object = object.get(window);
                    self.pop()?;
                    self.out.emit([op::STACK_GLOBAL])?;
                    if let Some(object) = object {
                        self.put(object, false)?;
                    }
                    return Ok(Flow::Done);
                }
            };
            *stage += 1;
            if let Some(part) = part {
                let flow = self.save(window, part, false)?;
                if flow != Flow::Done {
                    return Ok(flow);
                }
            }
        }
    }

    /// For each name but the first: `getattr`, below protocol 2 with a MARK; GLOBAL of the first;
    /// for each further name `name TUPLE2 REDUCE` or `name TUPLE REDUCE`; PUT.
    pub(super) fn resume_dotted(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        loop {
            let Task::Dotted {
                object,
                parts,
                next,
            } = &mut self.tasks[top]
            else {
                return Ok(Flow::Done);
            };
            let Some(parts) = parts.get(window).and_then(Obj::as_tuple) else {
                return Ok(Flow::Done);
            };
            // (getattr, head, name, …)
            let names = parts.len() - 2;
            let step = *next;
            *next += 1;
            let child = if step < 2 * names && step % 2 == 0 {
                parts.get(0)
            } else if step < 2 * names {
                if self.protocol < 2 {
                    self.out.emit([op::MARK])?;
                }
                None
            } else if step == 2 * names {
                if let Some(Kind::Bytes(head)) = parts.get(1).map(Obj::kind) {
                    self.out.emit_slice(head.data())?;
                }
                None
            } else {
                let at = step - 2 * names - 1;
                if at % 2 == 0 && at / 2 < names {
                    parts.get(2 + at / 2)
                } else if at / 2 < names {
                    let tuple = if self.protocol < 2 {
                        op::TUPLE
                    } else {
                        op::TUPLE2
                    };
                    self.out.emit([tuple, op::REDUCE])?;
                    None
                } else {
                    let object = object.get(window);
                    self.pop()?;
                    if let Some(object) = object {
                        self.put(object, false)?;
                    }
                    return Ok(Flow::Done);
                }
            };
            if let Some(child) = child {
                let flow = self.save(window, child, false)?;
                if flow != Flow::Done {
                    return Ok(flow);
                }
            }
        }
    }

    /// `pid BINPERSID`. The hook is not asked about the pid itself, only about its parts.
    pub(super) fn resume_persistent_id(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::PersistentId { pid, saved } = &mut self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let pid = pid.get(window);
        if !std::mem::replace(saved, true)
            && let Some(pid) = pid
        {
            let flow = self.save_checked(window, pid, false)?;
            if flow != Flow::Done {
                return Ok(flow);
            }
        }
        self.pop()?;
        self.out.emit([op::BINPERSID])?;
        Ok(Flow::Done)
    }
}

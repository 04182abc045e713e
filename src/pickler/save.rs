//! Saving one object in a frozen window: a leaf is written at once, anything else becomes a task.
//!
//! The order of the look-ups is C's: frame boundary, persistent id, atoms, memo, exact types, the rest.

use super::fault::F;
use super::scalars::header;
use super::session::{Flow, Session};
use super::task::{Stage, Task};
use crate::format::frame::FRAME_SIZE_TARGET;
use crate::format::opcode::op;
use crate::object::buffer::Seen;
use crate::object::kind::{self, Kind};
use crate::object::read::Text;
use crate::object::world::{Missing, Slot};
use crate::object::{Obj, Window, signals};

/// Levels that are resumed by a call: a few kilobytes of native stack.
const MAX_NESTED: u32 = 32;

impl Session {
    /// Saves an object.
    ///
    /// `shared` says that a tuple or frozenset in progress around it may be met again (`memo.rs`).
    ///
    /// # Errors
    /// A fault.
    #[inline(always)]
    pub(super) fn save<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        shared: bool,
    ) -> F<Flow> {
        if self.out.attention() {
            return self.attend(window, object, shared);
        }
        self.save_checked(window, object, shared)
    }

    /// [`Session::save`] as a call, for loops that wrote what they could themselves.
    #[inline(never)]
    pub(super) fn save_called<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        shared: bool,
    ) -> F<Flow> {
        self.save(window, object, shared)
    }

    /// Saves the object that the dump is about.
    ///
    /// # Errors
    /// A fault.
    pub(super) fn save_root<'w>(&mut self, window: Window<'w>, object: Obj<'w>) -> F<Flow> {
        self.save(window, object, false)
    }

    /// Looks at what [`Output::attention`](crate::format::frame::Output::attention) is about, then saves the object.
    #[cold]
    #[inline(never)]
    fn attend<'w>(&mut self, window: Window<'w>, object: Obj<'w>, shared: bool) -> F<Flow> {
        let full = self.out.frame_is_full();
        if full {
            self.out.commit_frame();
        }
        self.out.attended();
        self.flush_due |= full && self.to_file;
        if self.close_at_random() || self.flush_due || signals::arrived(window) {
            return self.push(Task::Attend {
                object: Slot::borrowed(object),
                shared,
            });
        }
        if self.hooked {
            return self.push(Task::Hook {
                object: Slot::borrowed(object),
                shared,
            });
        }
        self.save_checked(window, object, shared)
    }

    /// [`Task::Save`].
    pub(super) fn resume_save(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Save { object, checked } = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let (object, checked) = (object.get(window), *checked);
        self.pop()?;
        match (object, checked) {
            (Some(object), true) => self.save_checked(window, object, false),
            (Some(object), false) => self.save(window, object, false),
            (None, _) => Ok(Flow::Done),
        }
    }

    /// [`Task::Put`].
    pub(super) fn resume_put(&mut self, window: Window<'_>, top: usize) -> F<Flow> {
        let Task::Put { object } = &self.tasks[top] else {
            return Ok(Flow::Done);
        };
        let object = object.get(window);
        self.pop()?;
        if let Some(object) = object {
            self.put(object, false)?;
        }
        Ok(Flow::Done)
    }

    /// Saves an object after frames and hooks were seen to.
    #[inline(always)]
    pub(super) fn save_checked<'w>(
        &mut self,
        window: Window<'w>,
        object: Obj<'w>,
        shared: bool,
    ) -> F<Flow> {
        match object.kind() {
            Kind::Str(text) => self.save_str(window, text, shared),
            Kind::Int(int) => self.save_int(int),
            Kind::Float(float) => self.save_float(float),
            Kind::None => self.save_none(),
            Kind::Bool(value) => self.save_bool(value),
            Kind::Dict(dict) => self.save_dict(window, dict, shared),
            Kind::List(list) => self.save_list(window, list, shared),
            Kind::Tuple(tuple) => self.save_tuple(window, tuple, shared),
            Kind::Bytes(bytes) => self.save_bytes(window, bytes, shared),
            Kind::Set(set) => self.save_set(window, set, false, shared),
            Kind::FrozenSet(set) => self.save_set(window, set, true, shared),
            Kind::ByteArray(array) => self.save_bytearray(window, array, shared),
            Kind::Other => self.save_other(window, object, shared),
        }
    }

    fn save_list<'w>(&mut self, window: Window<'w>, list: kind::List<'w>, shared: bool) -> F<Flow> {
        if self.met(list.obj(), shared)? {
            return Ok(Flow::Done);
        }
        if self.fast {
            self.fast_enter(list.obj(), "list")?;
        }
        if self.binary {
            self.emit_new([op::EMPTY_LIST])?;
        } else {
            self.emit_new([op::MARK, op::LIST])?;
        }
        if list.is_empty() {
            if self.fast {
                self.fast_leave(list.obj());
            }
            return Ok(Flow::Done);
        }
        self.lead_list(window, list)
    }

    fn save_dict<'w>(&mut self, window: Window<'w>, dict: kind::Dict<'w>, shared: bool) -> F<Flow> {
        if self.met(dict.obj(), shared)? {
            return Ok(Flow::Done);
        }
        if self.fast {
            self.fast_enter(dict.obj(), "dict")?;
        }
        self.begin_dict(window, dict, Slot::EMPTY)
    }

    /// Writes the head of a dict that was just memoised, and pushes its task; `owner` is the instance whose state it
    /// is, if it is one.
    pub(super) fn begin_dict<'w>(
        &mut self,
        window: Window<'w>,
        dict: kind::Dict<'w>,
        owner: Slot,
    ) -> F<Flow> {
        if self.binary {
            self.emit_new([op::EMPTY_DICT])?;
        } else {
            self.emit_new([op::MARK, op::DICT])?;
        }
        if dict.is_empty() && owner.is_empty() {
            if self.fast {
                self.fast_leave(dict.obj());
            }
            return Ok(Flow::Done);
        }
        self.lead_dict(window, dict, owner)
    }

    fn save_tuple<'w>(
        &mut self,
        window: Window<'w>,
        tuple: kind::Tuple<'w>,
        shared: bool,
    ) -> F<Flow> {
        if tuple.is_empty() {
            if self.protocol == 0 {
                self.out.emit([op::MARK, op::TUPLE])?;
            } else {
                self.out.emit([op::EMPTY_TUPLE])?;
            }
            return Ok(Flow::Done);
        }
        let unique = self.is_unique(tuple.obj(), shared);
        if !unique && let Some(index) = self.memo.get(tuple.obj())? {
            return self.emit_get(index);
        }
        if self.protocol < 2 || tuple.len() > 3 {
            self.out.emit([op::MARK])?;
        }
        self.lead_tuple(window, tuple, !unique)
    }

    fn save_set<'w>(
        &mut self,
        window: Window<'w>,
        set: kind::Set<'w>,
        frozen: bool,
        shared: bool,
    ) -> F<Flow> {
        let mut unique = self.is_unique(set.obj(), shared);
        if self.protocol < 4 {
            // A reduce value, which needs objects made.
            if !unique && let Some(index) = self.memo.get(set.obj())? {
                return self.emit_get(index);
            }
            return self.push(Task::Object {
                object: Slot::borrowed(set.obj()),
            });
        }
        if frozen {
            if !unique && let Some(index) = self.memo.get(set.obj())? {
                return self.emit_get(index);
            }
            self.out.emit([op::MARK])?;
        } else {
            if self.met(set.obj(), shared)? {
                return Ok(Flow::Done);
            }
            self.emit_new([op::EMPTY_SET])?;
            if set.is_empty() {
                return Ok(Flow::Done);
            }
            // It is in the memo before its elements.
            unique = true;
        }
        self.lead_set(window, set, frozen, !unique)
    }

    /// Resumes the task that was just pushed: by a call, for the first levels, since most containers are complete
    /// at once and the loop in `advance` costs more; deeper down the loop does it.
    #[inline(always)]
    pub(super) fn resume_now<'w>(
        &mut self,
        window: Window<'w>,
        resume: fn(&mut Self, Window<'w>, usize) -> F<Flow>,
    ) -> F<Flow> {
        if self.nested >= MAX_NESTED {
            return Ok(Flow::Pushed);
        }
        self.nested += 1;
        let flow = resume(self, window, self.tasks.len() - 1);
        self.nested -= 1;
        flow
    }

    /// An object outside the exact types.
    fn save_other<'w>(&mut self, window: Window<'w>, object: Obj<'w>, shared: bool) -> F<Flow> {
        let unique = self.is_unique(object, shared);
        if !unique && let Some(index) = self.memo.get(object)? {
            return self.emit_get(index);
        }
        if self.protocol >= 2 && !self.overridden && !self.hooked && self.binary && !self.fast {
            let now = self.now;
            if let Some((recipe, place)) = self.types.unregistered(window, object.ty(), now) {
                return self.save_known(window, object, recipe, place, shared);
            }
            if self.save_class(window, object)? {
                return Ok(Flow::Done);
            }
            if !self.arrays.is_empty() && self.save_array(window, object, shared)? {
                return Ok(Flow::Done);
            }
        }
        if self.protocol >= 5
            && !self.out_of_band
            && let Some(seen) = Seen::of(window, object)
            && seen.facts.len < FRAME_SIZE_TARGET
        {
            return self.save_seen(object, seen, unique);
        }
        self.push(Task::Object {
            object: Slot::borrowed(object),
        })
    }

    /// A PickleBuffer that stays in the stream and is small: like bytes or a bytearray (PEP 574).
    fn save_seen<'w>(&mut self, object: Obj<'w>, seen: Seen<'w>, unique: bool) -> F<Flow> {
        let len = seen.facts.len;
        let (header, n) = if seen.facts.readonly {
            self.bytes_header(len)?
        } else {
            header(op::BYTEARRAY8, len, 8)
        };
        self.out.emit_slice(&header[..n])?;
        self.out.emit_with([], len, |out| seen.copy_to(out))?;
        self.put(object, unique)?;
        Ok(Flow::Done)
    }

    /// Writes a class that was found by its name before, if it is one: `module name STACK_GLOBAL` PUT.
    ///
    /// The caller has seen that the memo does not know it, and that no mode or hook is in the way.
    ///
    /// # Errors
    /// A fault.
    pub(super) fn save_class<'w>(&mut self, window: Window<'w>, object: Obj<'w>) -> F<bool> {
        Ok(self.protocol >= 4 && !self.is_tight() && self.write_class(window, object)?)
    }

    /// [`Session::save_class`] where it is known not to be tight.
    pub(super) fn write_class<'w>(&mut self, window: Window<'w>, object: Obj<'w>) -> F<bool> {
        let Some(names) = self.classes.find(window, object) else {
            return Ok(false);
        };
        // Names are shared by whatever is in the module.
        self.save_checked(window, names.module, true)?;
        self.out.boundary();
        if !names.made {
            self.save_checked(window, names.name, true)?;
        } else if let Kind::Str(name) = names.name.kind()
            && let Text::Utf8(name) = name.text()
        {
            let (header, n) = self.str_header(name.len())?;
            self.out.emit_slice(&header[..n])?;
            self.out.emit_slice(name)?;
            self.memo.put_missing(Missing::Str)?;
            self.emit_put()?;
        }
        self.out.emit([op::STACK_GLOBAL])?;
        self.put(object, false)?;
        Ok(true)
    }

    /// Looks at what attention is about in the middle of an object; true if user code has to run.
    #[cold]
    pub(super) fn must_leave(&mut self, window: Window<'_>) -> bool {
        let full = self.out.frame_is_full();
        if full {
            self.out.commit_frame();
        }
        self.out.attended();
        self.flush_due |= full && self.to_file;
        self.close_at_random() || self.flush_due || signals::arrived(window)
    }

    /// Goes on with an object that has a recipe as with any reduce value, from `stage` on.
    #[cold]
    pub(super) fn leave(&mut self, object: Obj<'_>, stage: Stage) -> F<Flow> {
        self.push(Task::Leave {
            object: Slot::borrowed(object),
            stage,
        })
    }
}

//! One dump in progress: output, memo, task stack, and the loop that resumes tasks in a frozen window.
//!
//! Nothing here runs user code: `engine.rs` owns a session and does.

use hashbrown::HashTable;
use pyo3::prelude::*;

use super::fault::{F, Fault};
use super::max_tasks;
use super::memo::Memo;
use super::task::{Batching, Dict, Task};
use crate::compat::QUIRKS;
use crate::format::frame::Output;
use crate::format::opcode::op;
use crate::levers::{self, Lever};
use crate::object::array::Forms;
use crate::object::by_name::Classes;
use crate::object::bytes_out::BytesOut;
use crate::object::types::TypeCache;
use crate::object::world::{Graveyard, Slot};
use crate::object::{Obj, R, Window, instance};

/// What saving an object came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It is written.
    Done,
    /// A task was pushed, which comes first.
    Pushed,
}

/// See the module.
pub struct Session {
    pub(super) out: Output<BytesOut>,
    pub(super) memo: Memo,
    pub(super) tasks: Vec<Task>,
    /// Tasks below this index have not been touched since the last thaw.
    untouched: usize,
    pub(super) graveyard: Graveyard,
    pub(super) types: TypeCache,
    pub(super) classes: Classes,
    /// What NumPy's arrays have shown in this dump.
    pub(super) arrays: Forms,
    /// The number of the window: what was asked in an earlier one may have changed.
    pub(super) now: u64,
    pub(super) protocol: u8,
    /// Binary forms (a user may switch them off: `Pickler.bin`).
    pub(super) binary: bool,
    /// Memoise nothing (`Pickler.fast`).
    pub(super) fast: bool,
    /// Strings may take the short forms: protocol 4 or later, binary, and a memo.
    pub(super) short: bool,
    /// Objects with one reference need no table entry.
    pub(super) trust_counts: bool,
    /// Output goes to a file: a full frame is handed on before the next object.
    pub(super) to_file: bool,
    /// A frame was closed that has to be handed to the file before anything else happens.
    pub(super) flush_due: bool,
    /// `persistent_id` is asked about every object.
    pub(super) hooked: bool,
    /// Objects outside the exact types are offered to `reducer_override`, or looked up in a private
    /// dispatch table: none is written directly.
    pub(super) overridden: bool,
    /// `buffer_callback` is offered every PickleBuffer.
    pub(super) out_of_band: bool,
    /// The address of an object that this window cannot meet again, though a task refers to it; see
    /// [`Session::is_held`].
    held: usize,
    /// Levels resumed by a call at the moment (`save.rs`).
    pub(super) nested: u32,
    /// The limit on the task stack.
    max_tasks: usize,
    fast_nesting: usize,
    fast_seen: HashTable<usize>,
}

/// Tasks beyond which the memory of the stack is not kept.
const LARGE_STACK: usize = 1 << 12;

/// Nested containers after which fast mode starts to look for cycles.
const FAST_NESTING_LIMIT: usize = 50;

impl Default for Session {
    fn default() -> Self {
        Session {
            out: Output::new(BytesOut::default()),
            memo: Memo::default(),
            tasks: Vec::new(),
            untouched: 0,
            graveyard: Graveyard::default(),
            types: TypeCache::default(),
            classes: Classes::default(),
            arrays: Forms::default(),
            now: 0,
            protocol: 0,
            binary: true,
            fast: false,
            short: false,
            trust_counts: QUIRKS.counts_are_exact && levers::on(Lever::Counts),
            to_file: false,
            flush_due: false,
            hooked: false,
            overridden: false,
            out_of_band: false,
            held: 0,
            nested: 0,
            max_tasks: max_tasks(),
            fast_nesting: 0,
            fast_seen: HashTable::new(),
        }
    }
}

impl Session {
    /// Starts a dump in a session that refers to nothing.
    pub fn start(&mut self, protocol: u8, to_file: bool, hooked: bool, overridden: bool) {
        self.out.take_with(|out, _| out.restart(!to_file));
        self.now += 1;
        self.types.trim();
        self.nested = 0;
        self.protocol = protocol;
        self.binary = protocol > 0;
        self.set_modes(self.binary, false);
        self.to_file = to_file;
        self.flush_due = false;
        self.hooked = hooked;
        self.overridden = overridden;
        self.out_of_band = false;
    }

    /// Sets what a user may change between two windows.
    pub fn set_modes(&mut self, binary: bool, fast: bool) {
        self.binary = binary;
        self.fast = fast;
        self.short = self.protocol >= 4 && binary && !fast && levers::on(Lever::Leaves);
    }

    /// Writes the header, and opens the framing if the protocol has frames.
    ///
    /// # Errors
    /// [`Fault::NoMemory`].
    pub fn begin(&mut self) -> F<()> {
        if self.protocol >= 4 {
            self.out.start_framing([op::PROTO, self.protocol])?;
        } else if self.protocol >= 2 {
            self.out.emit([op::PROTO, self.protocol])?;
        }
        if self.hooked {
            self.out.always_attend();
        }
        self.close_at_random();
        Ok(())
    }

    /// Says when the window is closed next without need, and whether it is to be closed now; for tests (`levers.rs`).
    pub(super) fn close_at_random(&mut self) -> bool {
        let next = levers::closes_after();
        if let Some(bytes) = next {
            self.out.attend_within(bytes);
        }
        next.is_some()
    }

    /// Writes STOP and closes the last frame.
    ///
    /// # Errors
    /// [`Fault::NoMemory`].
    pub fn end(&mut self) -> F<()> {
        self.out.emit([op::STOP])?;
        self.out.commit_frame();
        Ok(())
    }

    /// Pushes a task.
    ///
    /// # Errors
    /// [`Fault::TooDeep`].
    #[inline(always)]
    pub(super) fn push(&mut self, task: Task) -> F<Flow> {
        if self.tasks.len() >= self.max_tasks {
            return Err(Fault::TooDeep);
        }
        if self.tasks.len() == self.tasks.capacity() && self.tasks.try_reserve(1).is_err() {
            return Err(Fault::NoMemory);
        }
        self.tasks.push(task);
        Ok(Flow::Pushed)
    }

    /// Ends the task on top.
    #[inline]
    pub(super) fn pop(&mut self) -> F<Flow> {
        if let Some(mut task) = self.tasks.pop() {
            task.bury(&mut self.graveyard);
        }
        Ok(Flow::Done)
    }

    /// Resumes tasks until none is left (`Done`) or the one on top runs user code (`Pushed`).
    ///
    /// # Errors
    /// The fault that stopped it; the tasks in progress stay on the stack.
    pub fn advance(&mut self, window: Window<'_>) -> F<Flow> {
        while let Some(top) = self.tasks.len().checked_sub(1) {
            self.untouched = self.untouched.min(top);
            match &self.tasks[top] {
                Task::List(_) => self.resume_list(window, top)?,
                Task::Dict(_) => self.resume_dict(window, top)?,
                Task::Tuple(_) => self.resume_tuple(window, top)?,
                Task::Plain { .. } => self.resume_plain(window, top)?,
                Task::Known(_) => self.resume_known(window, top)?,
                Task::Walk(_) => self.resume_walk(window, top)?,
                Task::Inline(_) => self.resume_inline(window, top)?,
                Task::Set(_) => self.resume_set(window, top)?,
                Task::Reduce(_) => self.resume_reduce(window, top)?,
                Task::State { .. } => self.resume_state(window, top)?,
                Task::Global { .. } => self.resume_global(window, top)?,
                Task::Dotted { .. } => self.resume_dotted(window, top)?,
                Task::PersistentId { .. } => self.resume_persistent_id(window, top)?,
                Task::Save { .. } => self.resume_save(window, top)?,
                Task::Put { .. } => self.resume_put(window, top)?,
                task if task.is_thawed() => return Ok(Flow::Pushed),
                _ => Flow::Done,
            };
        }
        Ok(Flow::Done)
    }

    /// Closes a window: everything that is borrowed becomes counted, and nothing exists in the log
    /// only. Python may run afterwards; first come, if there are any, the tasks from the index on that
    /// comes back, which stand for what C has made (`unfreeze.rs`), and then what is to be released.
    ///
    /// # Errors
    /// MemoryError; the world is thawed all the same.
    pub fn thaw(&mut self, py: Python<'_>) -> (R<()>, Option<usize>) {
        let start = self.untouched.min(self.tasks.len());
        let mut first = None;
        for (i, task) in self.tasks[start..].iter_mut().enumerate() {
            task.each_slot(Slot::keep);
            if first.is_none() && matches!(task, Task::Known(_) | Task::Walk(_)) {
                first = Some(start + i);
            }
        }
        self.untouched = self.tasks.len();
        let mut result = self.memo.thaw(py);
        for i in start..self.tasks.len() {
            if let Task::Inline(_) = self.tasks[i] {
                result = result.and(self.materialise(py, i));
            }
        }
        (result, first)
    }

    /// Says that no task is borrowed from: they were exchanged for others in a thawed world.
    pub(super) fn all_kept(&mut self) {
        self.untouched = self.tasks.len();
    }

    /// Turns inline values in progress into the dict that user code may now see.
    fn materialise(&mut self, py: Python<'_>, i: usize) -> R<()> {
        let Task::Inline(inline) = &mut self.tasks[i] else {
            return Ok(());
        };
        let Some(object) = inline.object.to_bound(py) else {
            return Ok(());
        };
        let dict = instance::make_dict(&object)?;
        let take = |slot: &mut Slot| std::mem::replace(slot, Slot::EMPTY);
        self.tasks[i] = Task::Dict(Dict {
            dict: Slot::owned(dict),
            owner: take(&mut inline.object),
            key: take(&mut inline.key),
            value: take(&mut inline.value),
            // Positions in a dict of inline values are indexes.
            position: inline.next as isize,
            size: inline.size,
            done: inline.next,
            in_batch: inline.next as u16,
            mode: if inline.size == 1 {
                Batching::Single
            } else {
                Batching::Marked
            },
            pair: inline.pair,
        });
        Ok(())
    }

    /// Opens a window: what was memoised can be met from now on.
    ///
    /// # Errors
    /// [`Fault::NoMemory`]; the world is still thawed then.
    #[inline]
    pub fn freeze(&mut self, private: bool) -> F<()> {
        self.memo.freeze(private);
        // What is counted may all be given up in the window.
        self.graveyard.make_room(self.tasks.len() * Task::SLOTS)?;
        self.now += 1;
        self.held = 0;
        Ok(())
    }

    /// The finished stream as a bytes object.
    ///
    /// # Errors
    /// MemoryError.
    pub fn take_bytes<'py>(&mut self, py: Python<'py>) -> R<Bound<'py, PyAny>> {
        self.out.take_with(|out, len| out.finish(py, len))
    }

    /// Lets go of everything; in a thawed world, or where nothing borrowed is looked at again.
    pub fn reset(&mut self, py: Python<'_>) {
        for task in &mut self.tasks {
            if self.graveyard.make_room(Task::SLOTS).is_err() {
                self.graveyard.release(py);
            }
            task.bury(&mut self.graveyard);
        }
        self.tasks.clear();
        if self.tasks.capacity() > LARGE_STACK {
            self.tasks = Vec::new();
        }
        self.untouched = 0;
        self.fast_nesting = 0;
        self.fast_seen.clear();
        self.memo.clear(py);
        self.arrays.clear();
        self.graveyard.release(py);
        self.graveyard.trim();
        self.out.take_with(|out, _| out.restart(false));
    }

    /// Whether `object` cannot be met again in this window: see `memo.rs`.
    #[inline(always)]
    pub(super) fn is_unique(&self, object: Obj<'_>, shared: bool) -> bool {
        !shared && self.trust_counts && object.is_sole()
    }

    /// Whether `object`, to which a task refers, cannot be met again in this window, and was not memoised: beside
    /// `counted` known ones, that of the task among them, it has only the reference of what `parent` is writing, to which
    /// nothing leads either: a list, which is in the memo, or a reduce value that nobody else has.
    ///
    /// User code has run since the object was found there, so it is looked for.
    pub(super) fn is_held(
        &self,
        window: Window<'_>,
        parent: Option<usize>,
        object: Obj<'_>,
        counted: isize,
    ) -> bool {
        if !self.trust_counts || !object.has_references(1 + counted) {
            return false;
        }
        let is_it = |item: Option<Obj<'_>>| item.is_some_and(|item| item.is(object));
        match parent.and_then(|parent| self.tasks.get(parent)) {
            Some(Task::List(task)) => {
                let list = task.list.get(window).and_then(Obj::as_list);
                is_it(list.and_then(|list| list.get(task.next.wrapping_sub(1))))
            }
            Some(Task::Reduce(task)) => {
                let value = task.value.get(window).filter(|value| value.is_sole());
                let part = |i| value.and_then(Obj::as_tuple).and_then(|value| value.get(i));
                is_it(part(1)) || is_it(part(2)) || is_it(task.args.get(window))
            }
            _ => false,
        }
    }

    /// Whether a tuple or frozenset in progress may be met again, given whether it might have been when it was begun:
    /// user code may have put it elsewhere since.
    #[inline(always)]
    pub(super) fn is_shared(
        &self,
        window: Window<'_>,
        top: usize,
        slot: &Slot,
        shared: bool,
    ) -> bool {
        shared || slot.is_counted() && !self.is_held_at(window, top, slot)
    }

    #[inline(never)]
    fn is_held_at(&self, window: Window<'_>, top: usize, slot: &Slot) -> bool {
        slot.get(window)
            .is_some_and(|object| self.is_held(window, top.checked_sub(1), object, 1))
    }

    /// Says that [`Session::is_held`] is true of an object that is about to be written.
    pub(super) fn hold(&mut self, object: Obj<'_>) {
        self.held = object.held().address();
    }

    /// [`Session::is_unique`], also for an object that is held.
    #[inline(always)]
    pub(super) fn is_unique_or_held(&self, object: Obj<'_>, shared: bool) -> bool {
        self.is_unique(object, shared) || self.held == object.held().address()
    }

    /// Fast mode: notes that a list or dict is entered.
    ///
    /// # Errors
    /// [`Fault::FastCycle`].
    pub(super) fn fast_enter(&mut self, object: Obj<'_>, kind: &'static str) -> F<()> {
        self.fast_nesting += 1;
        if self.fast_nesting < FAST_NESTING_LIMIT {
            return Ok(());
        }
        let address = object.held().address();
        let hash = |address: &usize| (*address as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if self
            .fast_seen
            .find(hash(&address), |seen| *seen == address)
            .is_some()
        {
            return Err(Fault::FastCycle { address, kind });
        }
        if self.fast_seen.try_reserve(1, hash).is_err() {
            return Err(Fault::NoMemory);
        }
        self.fast_seen.insert_unique(hash(&address), address, hash);
        Ok(())
    }

    /// Fast mode: notes that it is left.
    pub(super) fn fast_leave(&mut self, object: Obj<'_>) {
        if self.fast_nesting >= FAST_NESTING_LIMIT {
            let address = object.held().address();
            let hash = (address as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            if let Ok(entry) = self.fast_seen.find_entry(hash, |seen| *seen == address) {
                entry.remove();
            }
        }
        self.fast_nesting = self.fast_nesting.saturating_sub(1);
    }
}

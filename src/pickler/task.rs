//! The tasks of the pickler: containers and reduce values in progress.
//!
//! A task holds its object, where it is, and what it needs to go on; there is no native recursion. *Frozen*
//! tasks are resumed in a window, *thawed* ones run user code. This file must hold data only; see
//! `containers.rs`, `reduce.rs` and `thawed.rs` for what is done with it.

#![allow(missing_docs)] // The fields are named after what they hold.

use crate::object::recipes::Recipe;
use crate::object::world::{Graveyard, Slot};

/// Something in progress on the task stack.
pub enum Task {
    // Frozen.
    /// An object to save, from the beginning or, if `checked`, after frames and hooks.
    Save { object: Slot, checked: bool },
    /// A PUT for an object whose value is written.
    Put { object: Slot },
    /// An exact list.
    List(List),
    /// An exact tuple.
    Tuple(Tuple),
    /// An exact dict.
    Dict(Dict),
    /// An object with a recipe, whose class is being saved.
    Plain { object: Slot, is_newobj: bool },
    /// An object with a recipe, of whose parts one is being saved.
    Known(Known),
    /// Items of such an object.
    Walk(Walk),
    /// Inline values of a plain instance.
    Inline(Inline),
    /// An exact set or frozenset at protocol 4 and later.
    Set(Set),
    /// A reduce value.
    Reduce(Reduce),
    /// An object written with NEWOBJ whose `__getstate__` has given this state.
    State {
        object: Slot,
        state: Slot,
        /// The object is made, its state is being saved.
        made: bool,
    },
    /// A global of protocol 4 and later: module, name, STACK_GLOBAL.
    Global {
        object: Slot,
        module: Slot,
        name: Slot,
        stage: u8,
    },
    /// A dotted global below protocol 4: the parts are a tuple `(head, name, name, …)`, `head` the bytes of the
    /// GLOBAL opcode of the first name.
    Dotted {
        object: Slot,
        parts: Slot,
        next: usize,
    },
    /// BINPERSID after the persistent id was saved.
    PersistentId { pid: Slot, saved: bool },

    // Thawed.
    /// An object outside the exact types, or one that needs an object made: asks the reducers.
    Object { object: Slot },
    /// Asks `persistent_id` about an object.
    Hook { object: Slot, shared: bool },
    /// Hands what is written to the file, or lets signal handlers run, then saves the object.
    Attend { object: Slot, shared: bool },
    /// An object with a recipe to be finished as a reduce value, from this stage on.
    Leave { object: Slot, stage: Stage },
    /// [`Task::State`], to be finished as a reduce value.
    LeaveState { object: Slot, state: Slot },
    /// A large payload on its way to the file.
    Large { object: Slot },
    /// The list or dict items of a reduce value.
    Items(Items),
}

/// See [`Task::List`].
pub struct List {
    pub list: Slot,
    /// Index of the next item.
    pub next: usize,
    /// Items when it started.
    pub size: usize,
    /// Items in the open batch.
    pub in_batch: u16,
    /// How items are written.
    pub mode: Batching,
}

/// How the items of an exact container are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// No batch is open.
    Closed,
    /// One opcode for this item (protocol 0, and a single item).
    Single,
    /// MARK, items, one opcode for up to 1000.
    Marked,
}

/// What of a pair is next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// The key.
    Key,
    /// The value.
    Value,
    /// Nothing: the pair is written.
    Done,
}

/// See [`Task::Tuple`].
pub struct Tuple {
    pub tuple: Slot,
    /// Index of the next item.
    pub next: usize,
    /// The tuple, or one around it that is in progress, may be met again among its own items.
    pub shared: bool,
}

/// See [`Task::Dict`].
pub struct Dict {
    pub dict: Slot,
    /// The plain instance whose state this is; BUILD follows.
    pub owner: Slot,
    /// The key whose value is being saved.
    pub key: Slot,
    /// The value still to be saved.
    pub value: Slot,
    pub position: isize,
    /// Items when it started.
    pub size: usize,
    pub done: usize,
    pub in_batch: u16,
    pub mode: Batching,
    pub pair: Pair,
}

/// See [`Task::Inline`]; a thaw turns it into a [`Dict`].
pub struct Inline {
    pub object: Slot,
    /// The name whose value is being saved.
    pub key: Slot,
    /// The value still to be saved.
    pub value: Slot,
    /// Index of the next attribute.
    pub next: usize,
    /// Attributes when it started: at most 30, so one batch.
    pub size: usize,
    pub pair: Pair,
}

/// See [`Task::Known`]; a thaw turns it into a [`Reduce`].
pub struct Known {
    pub object: Slot,
    pub recipe: Recipe,
    pub phase: Phase,
    /// For arguments: the index of the next.
    pub next: usize,
    /// As in [`Tuple`].
    pub shared: bool,
}

/// What of an object with a recipe is being saved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its arguments.
    Args,
    /// Its items; the state is next.
    Items,
}

/// See [`Task::Walk`]; a thaw turns it into [`Items`], or into a [`Dict`] that C makes.
pub struct Walk {
    pub object: Slot,
    /// The key whose value is being saved.
    pub key: Slot,
    /// The value still to be saved.
    pub value: Slot,
    pub source: Source,
    /// Where the next item is found: depends on the source.
    pub position: usize,
    /// Items begun.
    pub done: usize,
    pub in_batch: u16,
    pub mode: Batching,
    pub pair: Pair,
    /// As in [`Tuple`].
    pub shared: bool,
}

/// What is walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A subclass of list.
    List,
    /// A deque.
    Deque,
    /// A subclass of dict.
    Dict,
    /// The same, but C copies it to a dict first.
    Copy,
    /// Slots that are set, by the plan of this number; C makes a dict of them.
    Slots(u32),
}

/// See [`Task::Set`].
pub struct Set {
    pub set: Slot,
    pub position: usize,
    /// Elements when it started.
    pub size: usize,
    pub done: usize,
    pub in_batch: u16,
    pub open: bool,
    pub frozen: bool,
    /// As in [`Tuple`].
    pub shared: bool,
}

/// See [`Task::Reduce`].
pub struct Reduce {
    /// The object, or none if it is not to be memoised here.
    pub object: Slot,
    /// The reduce value, a tuple of two to six.
    pub value: Slot,
    /// For NEWOBJ: the arguments without the class.
    pub args: Slot,
    pub form: Form,
    pub stage: Stage,
    /// It came from a reducer, not from our own fallback for a type that the protocol does not know.
    pub from_reducer: bool,
}

/// How a reduce value is written (PEP 307, 3154).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// callable, args, REDUCE.
    Call,
    /// class, args, NEWOBJ.
    NewObj,
    /// class, args, kwargs, NEWOBJ_EX.
    NewObjEx,
}

/// What of a reduce value is next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub enum Stage {
    Callable,
    Args,
    Kwargs,
    Made,
    Items,
    Pairs,
    State,
    SetterObject,
    SetterState,
    SetterCall,
    Build,
}

/// See [`Task::Items`].
pub struct Items {
    /// The object, for messages.
    pub object: Slot,
    pub iterator: Slot,
    /// The item after the one being saved; for dict items a pair.
    pub ahead: Slot,
    /// The pair being saved.
    pub pair: Slot,
    /// Items saved, including the one being saved.
    pub done: usize,
    pub in_batch: u16,
    pub stage: ItemStage,
    pub pairs: bool,
}

/// Where [`Items`] stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ItemStage {
    /// Nothing fetched yet for this batch.
    Start,
    /// The one item of a batch is saved; its opcode follows.
    Single,
    /// An item of a marked batch is saved.
    Batch,
    /// A key is saved, its value follows; then as `Single` or `Batch`.
    SingleValue,
    /// As `SingleValue`.
    BatchValue,
}

impl Task {
    /// The most slots that a task has.
    pub const SLOTS: usize = 4;

    /// Calls `f` for each slot.
    #[inline]
    pub fn each_slot(&mut self, mut f: impl FnMut(&mut Slot)) {
        match self {
            Task::Save { object, .. }
            | Task::Put { object }
            | Task::Object { object }
            | Task::Plain { object, .. }
            | Task::Leave { object, .. }
            | Task::Hook { object, .. }
            | Task::Attend { object, .. }
            | Task::Large { object } => f(object),
            Task::List(task) => f(&mut task.list),
            Task::Tuple(task) => f(&mut task.tuple),
            Task::Set(task) => f(&mut task.set),
            Task::Known(task) => f(&mut task.object),
            Task::Walk(task) => {
                f(&mut task.object);
                f(&mut task.key);
                f(&mut task.value);
            }
            Task::PersistentId { pid, .. } => f(pid),
            Task::State { object, state, .. } | Task::LeaveState { object, state } => {
                f(object);
                f(state);
            }
            Task::Dict(task) => {
                f(&mut task.dict);
                f(&mut task.owner);
                f(&mut task.key);
                f(&mut task.value);
            }
            Task::Inline(task) => {
                f(&mut task.object);
                f(&mut task.key);
                f(&mut task.value);
            }
            Task::Reduce(task) => {
                f(&mut task.object);
                f(&mut task.value);
                f(&mut task.args);
            }
            Task::Global {
                object,
                module,
                name,
                ..
            } => {
                f(object);
                f(module);
                f(name);
            }
            Task::Dotted { object, parts, .. } => {
                f(object);
                f(parts);
            }
            Task::Items(task) => {
                f(&mut task.object);
                f(&mut task.iterator);
                f(&mut task.ahead);
                f(&mut task.pair);
            }
        }
    }

    /// Gives up what the task holds.
    #[inline]
    pub fn bury(&mut self, graveyard: &mut Graveyard) {
        self.each_slot(|slot| graveyard.bury(slot));
    }

    /// Whether the task runs user code.
    #[inline(always)]
    pub fn is_thawed(&self) -> bool {
        matches!(
            self,
            Task::Object { .. }
                | Task::Hook { .. }
                | Task::Attend { .. }
                | Task::Leave { .. }
                | Task::LeaveState { .. }
                | Task::Large { .. }
                | Task::Items(_)
        )
    }
}

const _: () = assert!(size_of::<Task>() <= 64);

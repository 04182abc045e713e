//! From recipes back to reduce values: what user code may see, and what it may change, has to exist.
//!
//! When the world thaws while an object with a recipe is in progress (`known.rs`, `walk.rs`), its reduce method is
//! called after all, and the tasks that stand for it are turned into those that C would have at that point: the
//! reduce value, the tuple of arguments, the iterator over its items. Nothing has run since the object was
//! begun, so the value is the one that C got before. The rest is written like any reduce value; notes and
//! errors come from there as well.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::engine::Engine;
use super::task::{
    Batching, Dict, Form, ItemStage, Items, Known, Pair, Phase, Reduce, Source, Stage, Task, Tuple,
    Walk,
};
use crate::errors;
use crate::object::recipes::Recipe;
use crate::object::world::Slot;
use crate::object::{R, attr, convert};
use crate::state::State;

/// A reduce value with its form and the arguments of NEWOBJ.
type Reduced<'py> = (Bound<'py, PyTuple>, Form, Option<Bound<'py, PyTuple>>);

impl<'py> Engine<'_, 'py> {
    /// Turns the tasks from `start` on into such as user code may see.
    ///
    /// # Errors
    /// What a reduce method raises: MemoryError, or if it is not what it was.
    pub(super) fn unfreeze(&mut self, start: usize) -> R<()> {
        let session = &mut *self.session;
        let count = session.tasks.len() - start;
        let mut rest: Vec<Task> = Vec::new();
        // A task is exchanged for three at most.
        if rest.try_reserve_exact(count).is_err()
            || session.tasks.try_reserve(2 * count).is_err()
            || session.graveyard.make_room(count * Task::SLOTS).is_err()
        {
            return Err(errors::no_memory(self.py));
        }
        rest.extend(session.tasks.drain(start..));
        let mut result = Ok(());
        for mut task in rest {
            let converted = match &mut task {
                _ if result.is_err() => Ok(false),
                Task::Known(known) => self.unfreeze_known(known).map(|()| true),
                Task::Walk(walk) => self.unfreeze_walk(walk).map(|()| true),
                _ => Ok(false),
            };
            match converted {
                Ok(true) => task.bury(&mut self.session.graveyard),
                Ok(false) => self.session.tasks.push(task),
                Err(raised) => {
                    result = Err(raised);
                    self.session.tasks.push(task);
                }
            }
        }
        result
    }

    /// The reduce value of an object with a recipe.
    pub(super) fn reduced_again(&self, object: &Bound<'py, PyAny>) -> R<Reduced<'py>> {
        let py = self.py;
        let name = State::get(py).names.reduce_ex.bind(py);
        let protocol = convert::int(py, i64::from(self.session.protocol))?;
        let value = attr::call_method1(object, name, &protocol)?;
        let Ok(value) = value.cast_into::<PyTuple>() else {
            return Err(self.has_changed());
        };
        let (form, args) = self.checked(object, &value)?;
        if form == Form::NewObjEx {
            return Err(self.has_changed());
        }
        Ok((value, form, args))
    }

    #[cold]
    fn has_changed(&self) -> crate::object::Raised {
        errors::pickling(self.py, "the reduce value changed while it was pickled")
    }

    fn push_reduce(&mut self, object: Slot, reduced: Reduced<'py>, stage: Stage) {
        let (value, form, args) = reduced;
        self.session.tasks.push(Task::Reduce(Reduce {
            object,
            value: Slot::owned(value.into_any()),
            args: args.map_or(Slot::EMPTY, |args| Slot::owned(args.into_any())),
            form,
            stage,
            from_reducer: true,
        }));
    }

    fn unfreeze_known(&mut self, known: &mut Known) -> R<()> {
        let Some(object) = known.object.to_bound(self.py) else {
            return Ok(());
        };
        let reduced = self.reduced_again(&object)?;
        if known.phase == Phase::Items {
            self.push_reduce(Slot::owned(object), reduced, Stage::State);
            return Ok(());
        }
        let args = match &reduced {
            (_, Form::NewObj, Some(args)) => args.clone(),
            (value, ..) => value.get_item(1)?.cast_into().map_err(PyErr::from)?,
        };
        self.push_reduce(Slot::owned(object), reduced, Stage::Made);
        if known.recipe != Recipe::Exception {
            // The arguments of an exception are a tuple with a task of its own.
            self.session.tasks.push(Task::Tuple(Tuple {
                tuple: Slot::owned(args.into_any()),
                next: known.next,
                shared: true,
            }));
        }
        Ok(())
    }

    fn unfreeze_walk(&mut self, walk: &mut Walk) -> R<()> {
        let Some(object) = walk.object.to_bound(self.py) else {
            return Ok(());
        };
        match walk.source {
            Source::Slots(_) => {
                let reduced = self.reduced_again(&object)?;
                let state = reduced.0.get_item(2)?;
                let slots = match state.cast::<PyTuple>() {
                    Ok(pair) if pair.len() == 2 => pair.get_item(1)?,
                    _ => return Err(self.has_changed()),
                };
                if !slots.is_exact_instance_of::<pyo3::types::PyDict>() {
                    return Err(self.has_changed());
                }
                self.push_reduce(Slot::owned(object), reduced, Stage::Build);
                self.session.tasks.push(Task::Tuple(Tuple {
                    tuple: Slot::owned(state),
                    next: 2,
                    shared: true,
                }));
                // In the new dict, positions are indexes of slots that are set.
                self.push_dict(walk, slots, walk.done as isize)
            }
            Source::Copy => {
                // The task below is the tuple of arguments, of which it is the only one.
                let copy = match self.session.tasks.last() {
                    Some(Task::Tuple(task)) => task.tuple.to_bound(self.py),
                    _ => None,
                };
                let copy = copy.and_then(|args| args.cast_into::<PyTuple>().ok());
                let copy = match copy {
                    Some(args) if args.len() == 1 => args.get_item(0)?,
                    _ => return Err(self.has_changed()),
                };
                if !copy.is_exact_instance_of::<pyo3::types::PyDict>() {
                    return Err(self.has_changed());
                }
                let position = convert::dict_position(&copy, walk.done);
                self.push_dict(walk, copy, position)
            }
            Source::List | Source::Deque | Source::Dict => self.unfreeze_items(object, walk),
        }
    }

    /// Goes on with the pairs of a dict that C makes.
    fn push_dict(&mut self, walk: &mut Walk, dict: Bound<'py, PyAny>, position: isize) -> R<()> {
        let take = |slot: &mut Slot| std::mem::replace(slot, Slot::EMPTY);
        let open = usize::from(walk.pair != Pair::Key);
        let size = dict.len()?;
        self.session.tasks.push(Task::Dict(Dict {
            dict: Slot::owned(dict),
            owner: Slot::EMPTY,
            key: take(&mut walk.key),
            value: take(&mut walk.value),
            position,
            size,
            done: walk.done.saturating_sub(open),
            in_batch: walk.in_batch.saturating_sub(open as u16),
            mode: walk.mode,
            pair: walk.pair,
        }));
        Ok(())
    }

    /// Goes on with an iterator that has given what was written.
    fn unfreeze_items(&mut self, object: Bound<'py, PyAny>, walk: &mut Walk) -> R<()> {
        let py = self.py;
        let pairs = walk.source == Source::Dict;
        let source = if pairs {
            object.call_method0(State::get(py).names.items.bind(py))?
        } else {
            object.clone()
        };
        let iterator = source.try_iter()?.into_any();
        let mut pair = Slot::EMPTY;
        for i in 0..walk.done {
            match convert::next(&iterator)? {
                Some(item) if pairs && i + 1 == walk.done => pair = Slot::owned(item),
                Some(_) => {}
                None => return Err(self.has_changed()),
            }
        }
        let mut ahead = Slot::EMPTY;
        if walk.mode == Batching::Marked && walk.in_batch == 1 {
            // C looks one item ahead to see whether a batch is worth it.
            ahead = convert::next(&iterator)?.map_or(Slot::EMPTY, Slot::owned);
        }
        let key = pairs && walk.pair == Pair::Value;
        let stage = match walk.mode {
            Batching::Closed => ItemStage::Start,
            Batching::Single if key => ItemStage::SingleValue,
            Batching::Single => ItemStage::Single,
            Batching::Marked if key => ItemStage::BatchValue,
            Batching::Marked => ItemStage::Batch,
        };
        self.session.tasks.push(Task::Items(Items {
            object: Slot::owned(object),
            iterator: Slot::owned(iterator),
            ahead,
            pair,
            done: walk.done,
            in_batch: walk.in_batch,
            stage,
            pairs,
        }));
        Ok(())
    }

    /// Goes on with an object that has a recipe as with the reduce value that it stands for.
    pub(super) fn leave(&mut self, object: &Bound<'py, PyAny>, stage: Stage) -> R<()> {
        let reduced = self.reduced_again(object)?;
        self.push_reduce(Slot::owned(object.clone()), reduced, stage);
        if self.session.flush_due
            && let Err(raised) = self.flush()
        {
            // For the notes: in C the next part has begun.
            if let Some(Task::Reduce(task)) = self.session.tasks.last_mut() {
                task.stage = match task.stage {
                    Stage::Args => Stage::Made,
                    Stage::State => Stage::Build,
                    stage => stage,
                };
            }
            return Err(raised);
        }
        crate::object::signals::handle(self.py)
    }
}

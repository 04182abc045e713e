//! Where in the object an error happened: notes on the exception (`BaseException.add_note`), as 3.14
//! introduced them, on every version.
//!
//! One function walks the task stack from the top, innermost first. A task that stands there waits for a
//! child, so it knows which.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::task::{Form, ItemStage, Pair, Stage, Task};
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::names::full_name;
use crate::object::world::Slot;
use crate::object::{R, Raised, can_be_noted, fallible};

/// Tasks up to which every one gets its note.
const ALL: usize = 1000;

/// Notes at each end of a deeper stack; between them one says how many are left out.
const ENDS: usize = 50;

/// Adds a note for each task in progress.
///
/// An exception raised meanwhile (by the `repr` of a key, say) takes the place of the first, which
/// becomes its context.
#[cold]
pub fn add(py: Python<'_>, raised: Raised, tasks: &[Task]) -> Raised {
    let err = raised.take(py);
    if !can_be_noted(py, &err) {
        return Raised::new(py, err);
    }
    let noted = add_all(py, &err, tasks);
    with_notes(py, err, noted)
}

/// Adds the note for an object whose reduce value is refused.
#[cold]
pub fn add_object(py: Python<'_>, raised: Raised, object: &Bound<'_, PyAny>) -> Raised {
    let err = raised.take(py);
    if !can_be_noted(py, &err) {
        return Raised::new(py, err);
    }
    let noted =
        full_name(&object.get_type()).and_then(|ty| note(py, &err, &format!("{ty} object")));
    with_notes(py, err, noted)
}

/// The exception after its notes were added. What went wrong meanwhile takes its place where C adds notes too;
/// before, nobody expects that.
fn with_notes(py: Python<'_>, err: PyErr, noted: R<()>) -> Raised {
    match noted {
        Err(raised) if QUIRKS.new_errors => replaced(py, raised, err),
        Err(raised) => {
            drop(raised.take(py));
            Raised::new(py, err)
        }
        Ok(()) => Raised::new(py, err),
    }
}

/// Gives an exception a context, as if it had been raised while `context` was handled.
#[cold]
pub fn in_context(py: Python<'_>, raised: Raised, context: PyErr) -> Raised {
    replaced(py, raised, context)
}

fn replaced(py: Python<'_>, raised: Raised, context: PyErr) -> Raised {
    let err = raised.take(py);
    err.set_context(py, Some(context));
    Raised::new(py, err)
}

fn add_all(py: Python<'_>, err: &PyErr, tasks: &[Task]) -> R<()> {
    let n = tasks.len();
    for (i, task) in tasks.iter().rev().enumerate() {
        if n > ALL && i == ENDS {
            let left_out = n - 2 * ENDS;
            errors::add_note(py, err, &format!("({left_out} levels are left out here)"))?;
        }
        if n <= ALL || i < ENDS || i >= n - ENDS {
            describe(py, err, task)?;
        }
    }
    Ok(())
}

fn note(py: Python<'_>, err: &PyErr, what: &str) -> R<()> {
    errors::add_note(py, err, &format!("when serializing {what}"))
}

fn describe(py: Python<'_>, err: &PyErr, task: &Task) -> R<()> {
    match task {
        Task::List(task) => note(
            py,
            err,
            &format!("list item {}", task.next.saturating_sub(1)),
        ),
        Task::Tuple(task) => note(
            py,
            err,
            &format!("tuple item {}", task.next.saturating_sub(1)),
        ),
        Task::Set(task) if task.frozen => note(py, err, "frozenset element"),
        Task::Set(_) => note(py, err, "set element"),
        Task::Dict(task) => {
            if task.pair == Pair::Done
                && let Some(key) = task.key.to_bound(py)
            {
                note(
                    py,
                    err,
                    &format!("dict item {}", fallible::shown(&key.repr()?)?),
                )?;
            }
            state_of(py, err, &task.owner)
        }
        Task::Inline(task) => {
            if task.pair == Pair::Done
                && let Some(key) = task.key.to_bound(py)
            {
                note(
                    py,
                    err,
                    &format!("dict item {}", fallible::shown(&key.repr()?)?),
                )?;
            }
            state_of(py, err, &task.object)
        }
        Task::State { object, .. } => state_of(py, err, object),
        Task::Plain { object, is_newobj } => {
            if let Some(ty) = type_of(py, object)? {
                let what = if *is_newobj { "class" } else { "reconstructor" };
                note(py, err, &format!("{ty} {what}"))?;
                note(py, err, &format!("{ty} object"))?;
            }
            Ok(())
        }
        Task::Reduce(task) => {
            let Some(ty) = type_of(py, &task.object)? else {
                return Ok(());
            };
            let call = task.form == Form::Call;
            let what = match task.stage {
                Stage::Args if call => "reconstructor",
                Stage::Args => "class",
                Stage::Kwargs | Stage::Made if call => "reconstructor arguments",
                Stage::Kwargs | Stage::Made => "__new__ arguments",
                Stage::SetterObject => "state setter",
                Stage::Build | Stage::SetterCall => "state",
                Stage::Callable
                | Stage::Items
                | Stage::Pairs
                | Stage::State
                | Stage::SetterState => "",
            };
            if !what.is_empty() {
                note(py, err, &format!("{ty} {what}"))?;
            }
            if task.from_reducer {
                note(py, err, &format!("{ty} object"))?;
            }
            Ok(())
        }
        Task::Items(task) => {
            let Some(ty) = type_of(py, &task.object)? else {
                return Ok(());
            };
            match (task.pairs, task.stage) {
                (false, _) => note(
                    py,
                    err,
                    &format!("{ty} item {}", task.done.saturating_sub(1)),
                ),
                (true, ItemStage::Single | ItemStage::Batch) => match task.pair.to_bound(py) {
                    Some(pair) => {
                        let key = pair.cast::<PyTuple>().map_err(PyErr::from)?.get_item(0)?;
                        note(
                            py,
                            err,
                            &format!("{ty} item {}", fallible::shown(&key.repr()?)?),
                        )
                    }
                    None => Ok(()),
                },
                (true, _) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The notes of a plain instance whose attributes are being saved.
fn state_of(py: Python<'_>, err: &PyErr, owner: &Slot) -> R<()> {
    if let Some(ty) = type_of(py, owner)? {
        note(py, err, &format!("{ty} state"))?;
        note(py, err, &format!("{ty} object"))?;
    }
    Ok(())
}

fn type_of(py: Python<'_>, object: &Slot) -> R<Option<String>> {
    match object.to_bound(py) {
        Some(object) => full_name(&object.get_type()).map(Some),
        None => Ok(None),
    }
}

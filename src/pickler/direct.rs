//! Objects whose reduce value is known without `object.__reduce_ex__`, in a thawed world: those with a recipe, and
//! those for which it would call one method in Python, which is called here at once.
//!
//! C's time to ours, without and with the call at once (instructions, 3.11): a Python `__getstate__` 0.87, 2.1; a
//! Python `__reduce__` 0.99, 1.2.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::engine::Engine;
use super::known::are_ordinary;
use super::task::Task;
use crate::object::instance::attributes;
use crate::object::recipes::Direct;
use crate::object::types::lookup;
use crate::object::world::{Slot, window};
use crate::object::{R, attr, fallible};
use crate::state::State;

impl<'py> Engine<'_, 'py> {
    /// Goes on with such an object; gives every other one back.
    ///
    /// The caller has asked everything that C asks before `__reduce_ex__`.
    ///
    /// # Errors
    /// What the method raises, RecursionError.
    pub(super) fn short_cut(
        &mut self,
        object: Bound<'py, PyAny>,
        ty: &Bound<'py, PyType>,
    ) -> R<Option<Bound<'py, PyAny>>> {
        let state = State::get(self.py);
        let py = self.py;
        let now = self.session.now + 1;
        if let Some(info) = self.session.types.known(ty, now)
            && (info.recipe.is_some() || info.direct.is_some())
        {
            let (recipe, direct, place) = (info.recipe, info.direct, info.place);
            let writes = self.session.protocol >= 2
                && self.session.binary
                && !self.session.fast
                && !self.session.hooked;
            let (recipe, ordinary) = window(py, |window| {
                let object = window.obj(&object);
                let attributes = attributes(window, object, place);
                let recipe = recipe.filter(|&recipe| {
                    writes && self.session.applies(window, object, recipe, &attributes)
                });
                let ordinary = direct.is_some() && are_ordinary(&attributes, false);
                (recipe, ordinary)
            });
            if let Some(recipe) = recipe {
                self.push(Task::Plain {
                    object: Slot::owned(object),
                    is_newobj: recipe.is_newobj(),
                })?;
                self.push_save(ty.clone().into_any())?;
                return Ok(None);
            }
            match direct {
                Some(Direct::Reduce) if ordinary => {
                    if let Some(method) = lookup(ty, &state.names.reduce) {
                        let value = attr::call1(&method, &object)?;
                        self.reduced(object, &value)?;
                        return Ok(None);
                    }
                }
                Some(Direct::State) if ordinary && writes => {
                    if let Some(method) = lookup(ty, &state.names.getstate) {
                        let value = attr::call1(&method, &object)?;
                        self.push(Task::State {
                            object: Slot::owned(object),
                            state: Slot::owned(value),
                            made: false,
                        })?;
                        return Ok(None);
                    }
                }
                _ => {}
            }
        }
        Ok(Some(object))
    }

    /// The state of an object as a part of its reduce value.
    #[cold]
    pub(super) fn leave_state(
        &mut self,
        object: Bound<'py, PyAny>,
        state: Bound<'py, PyAny>,
    ) -> R<()> {
        let py = self.py;
        let callable = State::get(py).copyreg_newobj.bind(py).clone();
        let args = fallible::tuple(py, [object.get_type().into_any()])?.into_any();
        let value = fallible::tuple(py, [callable, args, state])?;
        self.reduce(object, value)
    }
}

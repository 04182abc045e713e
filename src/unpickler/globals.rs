//! Globals: `find_class`, the extension registry.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::{Context, Machine};
use crate::compat::load_messages;
use crate::errors;
use crate::object::names::tp_name;
use crate::object::{R, audit, fallible, modules};
use crate::state::State;

/// The global `name` of `module`: what `Unpickler.find_class` does unless it is overridden.
///
/// From protocol 4 on `name` may be dotted. Below 3 the names of Python 2 are translated if `fix_imports`.
/// Raises the audit event `pickle.find_class` first, with the names as given.
///
/// # Errors
/// What an audit hook or the import raises, AttributeError, TypeError for a name that is no str.
#[inline]
pub fn find_class<'py>(
    module: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
    proto: u8,
    fix_imports: bool,
) -> R<Bound<'py, PyAny>> {
    audit::find_class(module, name)?;
    if proto < 3 && fix_imports {
        let (module, name) = translated(module, name)?;
        return look_up(&module, &name, proto);
    }
    look_up(module, name, proto)
}

#[inline]
fn look_up<'py>(
    module_name: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
    proto: u8,
) -> R<Bound<'py, PyAny>> {
    let py = name.py();
    let module = modules::import(module_name)?;
    let Ok(name) = name.cast::<PyString>() else {
        if proto >= 4 {
            let ty = tp_name(&name.get_type());
            return Err(errors::type_error(py, &format!("must be str, not {ty}")));
        }
        return modules::attribute_any(&module, name);
    };
    if proto >= 4 && modules::is_dotted(name) {
        return load_messages::dotted(&module, module_name, name);
    }
    load_messages::plain(&module, name)
}

/// The names that Python 3 has for a global of Python 2.
#[cold]
fn translated<'py>(
    module: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
) -> R<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = module.py();
    let state = State::get(py);
    let key = fallible::tuple(py, [module.clone(), name.clone()])?;
    if let Some(found) = state.name_mapping.bind(py).get_item(key)? {
        let pair = match found.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => pair,
            _ => {
                let ty = tp_name(&found.get_type());
                let text =
                    format!("_compat_pickle.NAME_MAPPING values should be 2-tuples, not {ty}");
                return Err(errors::runtime_error(py, &text));
            }
        };
        let (module, name) = (pair.get_item(0)?, pair.get_item(1)?);
        if !module.is_instance_of::<PyString>() || !name.is_instance_of::<PyString>() {
            let text = format!(
                "_compat_pickle.NAME_MAPPING values should be pairs of str, not ({}, {})",
                tp_name(&module.get_type()),
                tp_name(&name.get_type()),
            );
            return Err(errors::runtime_error(py, &text));
        }
        return Ok((module, name));
    }
    if let Some(found) = state.import_mapping.bind(py).get_item(module)? {
        if !found.is_instance_of::<PyString>() {
            let ty = tp_name(&found.get_type());
            let text = format!("_compat_pickle.IMPORT_MAPPING values should be strings, not {ty}");
            return Err(errors::runtime_error(py, &text));
        }
        return Ok((found, name.clone()));
    }
    Ok((module.clone(), name.clone()))
}

impl Machine {
    /// STACK_GLOBAL.
    #[inline]
    pub fn stack_global<'py>(&mut self, cx: &Context<'_, 'py>) -> R<()> {
        let name = self.stack.pop(cx.py)?;
        let module = self.stack.pop(cx.py)?;
        if !name.is_exact_instance_of::<PyString>() || !module.is_exact_instance_of::<PyString>() {
            return Err(errors::unpickling(cx.py, "STACK_GLOBAL requires str"));
        }
        let found = self.find_class(cx, &module, &name)?;
        self.stack.push(found);
        Ok(())
    }

    /// The global `name` of `module`, by the owner's `find_class`.
    #[inline]
    pub fn find_class<'py>(
        &mut self,
        cx: &Context<'_, 'py>,
        module: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
    ) -> R<Bound<'py, PyAny>> {
        self.show(cx)?;
        cx.hooks
            .find_class(module, name, self.proto)
            .map_err(|raised| self.blame_name(module, name, raised))
    }

    /// EXT1, EXT2, EXT4.
    #[cold]
    pub fn extension<'py>(&mut self, cx: &Context<'_, 'py>, code: i32) -> R<()> {
        let py = cx.py;
        let state = State::get(py);
        if code <= 0 {
            return Err(errors::unpickling(py, "EXT specifies code <= 0"));
        }
        let cache = state.extension_cache.bind(py);
        if let Some(object) = cache.get_item(code)? {
            self.stack.push(object);
            return Ok(());
        }
        let Some(pair) = state.inverted_registry.bind(py).get_item(code)? else {
            let text = format!("unregistered extension code {code}");
            return Err(errors::value_error(py, &text));
        };
        let names = match pair.cast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => Some((pair.get_item(0)?, pair.get_item(1)?)),
            _ => None,
        };
        let Some((module, name)) = names.filter(|(module, name)| {
            module.is_instance_of::<PyString>() && name.is_instance_of::<PyString>()
        }) else {
            let text = format!("_inverted_registry[{code}] isn't a 2-tuple of strings");
            return Err(errors::value_error(py, &text));
        };
        let object = self.find_class(cx, &module, &name)?;
        cache.set_item(code, &object)?;
        self.stack.push(object);
        Ok(())
    }
}

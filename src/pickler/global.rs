//! Classes, functions and whatever else is saved by name (PEP 307, 3154).
//!
//! The very objects that `__module__` and `__qualname__` returned are saved: sharing is by identity.

use pyo3::exceptions::{PyAttributeError, PyImportError, PyUnicodeEncodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::engine::Engine;
use super::notes;
use super::task::Task;
use crate::compat::{QUIRKS, messages};
use crate::errors::{
    self,
    Part::{Object, Text},
};
use crate::format::opcode::op;
use crate::object::names::tp_name;
use crate::object::world::Slot;
use crate::object::{R, Raised, attr, convert, fallible, modules};
use crate::state::State;

impl<'py> Engine<'_, 'py> {
    /// Saves `object` as a global: under `name`, as its reducer says, or under its own name.
    pub(super) fn global(
        &mut self,
        object: Bound<'py, PyAny>,
        name: Option<Bound<'py, PyString>>,
    ) -> R<()> {
        let py = self.py;
        let names = &State::get(py).names;
        let own_name = name.is_none();
        let name = match name {
            Some(name) => name.into_any(),
            None => match attr::get_optional(&object, names.qualname.bind(py))? {
                Some(name) => name,
                None => attr::get(&object, names.name.bind(py))?,
            },
        };
        let Ok(name) = name.cast_into::<PyString>() else {
            return Err(errors::type_error(py, "global name must be a str"));
        };
        if has_locals(&name)? {
            return Err(if QUIRKS.new_errors {
                let shown = object.repr()?.into_any();
                errors::pickling_parts(py, &[Text("Can't pickle local object "), Object(&shown)])
            } else {
                errors::attribute_error(py, &messages::local_object(&fallible::shown(&name)?))
            });
        }
        let module_name = self.which_module(&object, &name)?;
        let name = self.mangled(name)?;
        let (module, parent) = self.verify(&object, &module_name, &name)?;
        if let (true, Ok(class)) = (own_name, object.cast::<PyType>()) {
            self.session.classes.learn(class, &module_name, &name);
        }
        if self.session.protocol >= 2 && self.extension(&module_name, &name, &object)? {
            return Ok(());
        }
        let name =
            if QUIRKS.dotted_names_memoised && parent.is(&module) && modules::is_dotted(&name) {
                // Its own module is among its parts.
                modules::split(&name)?.pop().unwrap_or(name)
            } else {
                name
            };
        if self.session.protocol >= 4 {
            return self.push(Task::Global {
                object: Slot::owned(object),
                module: Slot::owned(module_name),
                name: Slot::owned(name.into_any()),
                stage: 0,
            });
        }
        let Ok(module_name) = module_name.cast_into::<PyString>() else {
            return Err(errors::type_error(py, "module name must be a string"));
        };
        if !modules::is_dotted(&name) {
            let head = self.head(&module_name, &name)?;
            self.emit(&head)?;
            return self.push(Task::Put {
                object: Slot::owned(object),
            });
        }
        let mut parts = modules::split(&name)?;
        if QUIRKS.dotted_names_memoised {
            let last = parts.pop().unwrap_or(name);
            let args = fallible::tuple(py, [parent, last.into_any()])?;
            let getattr = State::get(py).getattr.bind(py).clone();
            let value = fallible::tuple(py, [getattr, args.into_any()])?;
            self.push(Task::Put {
                object: Slot::owned(object),
            })?;
            return self.reduce_call(None, value);
        }
        let head = self.head(&module_name, &parts[0])?;
        let head = fallible::bytes(py, &head)?.into_any();
        let getattr = State::get(py).getattr.bind(py).clone();
        let rest = parts.drain(1..).map(Bound::into_any);
        let parts: Vec<_> = [getattr, head].into_iter().chain(rest).collect();
        self.push(Task::Dotted {
            object: Slot::owned(object),
            parts: Slot::owned(fallible::tuple(py, parts)?.into_any()),
            next: 0,
        })
    }

    /// The module that `object` says it is in, or that has it under that name.
    fn which_module(
        &self,
        object: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
    ) -> R<Bound<'py, PyAny>> {
        let py = self.py;
        let names = &State::get(py).names;
        if let Some(module) = attr::get_optional(object, names.module.bind(py))?
            && !module.is_none()
        {
            return Ok(module);
        }
        let main = names.main.bind(py);
        let table = modules::table(py)?;
        // The table may change while its modules are asked.
        let entries: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = match table.cast::<PyDict>() {
            Ok(table) => table.iter().collect(),
            Err(_) => {
                let mut entries = Vec::new();
                for key in table.try_iter()? {
                    let key = key?;
                    let module = table.get_item(&key)?;
                    entries.push((key, module));
                }
                entries
            }
        };
        for (key, module) in entries {
            if module.is_none() || is_name(&key, main) {
                continue;
            }
            if QUIRKS.skip_mp_main && is_name(&key, names.mp_main.bind(py)) {
                continue;
            }
            if self.has(&module, name, object)? {
                return Ok(key);
            }
        }
        Ok(main.clone().into_any())
    }

    /// Whether `module` has `object` under that name.
    fn has(
        &self,
        module: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
        object: &Bound<'py, PyAny>,
    ) -> R<bool> {
        let mut found = module.clone();
        for part in modules::split(name)? {
            match attr::get_optional(&found, &part)? {
                Some(next) => found = next,
                None => return Ok(false),
            }
        }
        Ok(found.is(object))
    }

    /// The name with its private parts as the class body sees them (3.15).
    fn mangled(&self, name: Bound<'py, PyString>) -> R<Bound<'py, PyString>> {
        if !QUIRKS.private_names_mangled || !modules::is_dotted(&name) {
            return Ok(name);
        }
        let is_private = |part: &str| part.starts_with("__") && !part.ends_with("__");
        let shown = fallible::shown(&name)?;
        let std::borrow::Cow::Borrowed(text) = shown else {
            // Lone surrogates: no identifier.
            return Ok(name);
        };
        let parts: Vec<_> = text.split('.').collect();
        if !parts[1..].iter().any(|part| is_private(part)) {
            return Ok(name);
        }
        let mut mangled = parts[0].to_owned();
        for pair in parts.windows(2) {
            mangled.push('.');
            let class = pair[0].trim_start_matches('_');
            if is_private(pair[1]) && !class.is_empty() {
                mangled.push('_');
                mangled.push_str(class);
            }
            mangled.push_str(pair[1]);
        }
        fallible::text(self.py, &mangled)
    }

    /// Imports the module, and sees that it has `object` under that name; gives the module and what the
    /// last part of the name was found in.
    fn verify(
        &self,
        object: &Bound<'py, PyAny>,
        module_name: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
    ) -> R<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = self.py;
        let module = match modules::import(module_name) {
            Ok(module) => module,
            Err(raised) => return Err(self.not_imported(object, module_name, raised)?),
        };
        let (parent, found) = match modules::dotted(&module, name) {
            Ok(found) => found,
            Err(raised) => return Err(self.not_found(object, module_name, name, raised)?),
        };
        if found.is(object) {
            return Ok((module, parent));
        }
        Err(errors::pickling_parts(
            py,
            &[
                Text("Can't pickle "),
                Object(object.repr()?.as_any()),
                Text(": it's not the same object as "),
                Object(module_name),
                Text("."),
                Object(name.as_any()),
            ],
        ))
    }

    #[cold]
    fn not_imported(
        &self,
        object: &Bound<'py, PyAny>,
        module_name: &Bound<'py, PyAny>,
        raised: Raised,
    ) -> R<Raised> {
        let py = self.py;
        let err = raised.take(py);
        if !QUIRKS.new_errors {
            return Ok(errors::pickling_parts(
                py,
                &[
                    Text("Can't pickle "),
                    Object(object.repr()?.as_any()),
                    Text(": import of module "),
                    Object(module_name.repr()?.as_any()),
                    Text(" failed"),
                ],
            ));
        }
        if !err.is_instance_of::<PyImportError>(py) && !err.is_instance_of::<PyValueError>(py) {
            return Ok(Raised::new(py, err));
        }
        let raised = errors::pickling_parts(
            py,
            &[
                Text("Can't pickle "),
                Object(object.repr()?.as_any()),
                Text(": "),
                Object(err.value(py).as_any()),
            ],
        );
        Ok(notes::in_context(py, raised, err))
    }

    #[cold]
    fn not_found(
        &self,
        object: &Bound<'py, PyAny>,
        module_name: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
        raised: Raised,
    ) -> R<Raised> {
        let py = self.py;
        let err = raised.take(py);
        if !QUIRKS.new_errors {
            return Ok(errors::pickling_parts(
                py,
                &[
                    Text("Can't pickle "),
                    Object(object.repr()?.as_any()),
                    Text(": attribute lookup "),
                    Object(name.as_any()),
                    Text(" on "),
                    Object(module_name),
                    Text(" failed"),
                ],
            ));
        }
        if !err.is_instance_of::<PyAttributeError>(py) {
            return Ok(Raised::new(py, err));
        }
        let raised = errors::pickling_parts(
            py,
            &[
                Text("Can't pickle "),
                Object(object.repr()?.as_any()),
                Text(": it's not found as "),
                Object(module_name),
                Text("."),
                Object(name.as_any()),
            ],
        );
        Ok(notes::in_context(py, raised, err))
    }

    /// Writes EXT1, EXT2 or EXT4 if the name is in the extension registry (PEP 307).
    fn extension(
        &mut self,
        module_name: &Bound<'py, PyAny>,
        name: &Bound<'py, PyString>,
        object: &Bound<'py, PyAny>,
    ) -> R<bool> {
        let py = self.py;
        let registry = State::get(py).extension_registry.bind(py);
        if registry.is_empty() {
            return Ok(false);
        }
        let key = fallible::tuple(py, [module_name.clone(), name.clone().into_any()])?;
        let Some(code) = convert::dict_get(registry, key.as_any())? else {
            return Ok(false);
        };
        let plain = QUIRKS.extension_errors_plain;
        if !plain && !code.is_instance_of::<pyo3::types::PyInt>() {
            let text = format!(
                "Can't pickle {}: extension code {} isn't an integer",
                fallible::shown(&object.repr()?)?,
                fallible::shown(&code.repr()?)?
            );
            return Err(errors::pickling(py, &text));
        }
        let number = crate::object::number::to_c_long(&code)?;
        let code = match u32::try_from(number) {
            Ok(code) if (1..=0x7fff_ffff).contains(&code) => code,
            _ if plain => {
                let text = format!("extension code {number} is out of range");
                return Err(errors::runtime_error(py, &text));
            }
            _ => {
                let text = format!(
                    "Can't pickle {}: extension code {number} is out of range",
                    fallible::shown(&object.repr()?)?
                );
                return Err(errors::pickling(py, &text));
            }
        };
        let [a, b, c, d] = code.to_le_bytes();
        match code {
            0..=0xff => self.emit(&[op::EXT1, a])?,
            0x100..=0xffff => self.emit(&[op::EXT2, a, b])?,
            _ => self.emit(&[op::EXT4, a, b, c, d])?,
        }
        Ok(true)
    }

    /// The GLOBAL opcode for a name without dots, below protocol 4.
    fn head(&self, module_name: &Bound<'py, PyString>, name: &Bound<'py, PyString>) -> R<Vec<u8>> {
        let py = self.py;
        let protocol = self.session.protocol;
        let (module_name, name) = if self.config.fix_imports && protocol < 3 {
            python2_names(module_name, name)?
        } else {
            (module_name.clone(), name.clone())
        };
        let mut head = Vec::new();
        let mut append = |bytes: &[u8]| match head.try_reserve(bytes.len()) {
            Ok(()) => {
                head.extend_from_slice(bytes);
                Ok(())
            }
            Err(_) => Err(errors::no_memory(py)),
        };
        append(&[op::GLOBAL])?;
        for (kind, part) in [("module", &module_name), ("global", &name)] {
            match convert::encode(part, protocol < 3) {
                Ok(bytes) => append(bytes.as_bytes())?,
                Err(err) if err.is_instance_of::<PyUnicodeEncodeError>(py) => {
                    let (shown, quote) = if QUIRKS.new_errors {
                        (part.repr()?, "")
                    } else {
                        (part.clone(), "'")
                    };
                    let raised = errors::pickling_parts(
                        py,
                        &[
                            Text(&format!("can't pickle {kind} identifier {quote}")),
                            Object(shown.as_any()),
                            Text(&format!("{quote} using pickle protocol {protocol}")),
                        ],
                    );
                    return Err(if QUIRKS.new_errors {
                        notes::in_context(py, raised, err)
                    } else {
                        raised
                    });
                }
                Err(err) => return Err(err.into()),
            }
            append(b"\n")?;
        }
        Ok(head)
    }
}

/// Whether a key of `sys.modules` is this name.
fn is_name(key: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> bool {
    key.cast::<PyString>()
        .is_ok_and(|key| convert::str_eq(key, name))
}

/// Whether a part of the name is `<locals>`.
fn has_locals(name: &Bound<'_, PyString>) -> R<bool> {
    let text = fallible::shown(name)?;
    Ok(text.contains('<') && text.split('.').any(|part| part == "<locals>"))
}

/// The names that Python 2 has for these (`fix_imports`).
fn python2_names<'py>(
    module_name: &Bound<'py, PyString>,
    name: &Bound<'py, PyString>,
) -> R<(Bound<'py, PyString>, Bound<'py, PyString>)> {
    let py = module_name.py();
    let state = State::get(py);
    let key = fallible::tuple(
        py,
        [module_name.clone().into_any(), name.clone().into_any()],
    )?;
    let table = state.reverse_name_mapping.bind(py);
    if let Some(pair) = convert::dict_get(table, key.as_any())? {
        let fail = |text: String| Err(errors::runtime_error(py, &text));
        let table = "_compat_pickle.REVERSE_NAME_MAPPING values should be";
        let pair = match pair.cast_into::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => pair,
            Ok(pair) => {
                return fail(format!(
                    "{table} 2-tuples, not {}",
                    tp_name(&pair.get_type())
                ));
            }
            Err(err) => {
                let ty = tp_name(&err.into_inner().get_type());
                return fail(format!("{table} 2-tuples, not {ty}"));
            }
        };
        let (first, second) = (pair.get_item(0)?, pair.get_item(1)?);
        return match (first.cast::<PyString>(), second.cast::<PyString>()) {
            (Ok(module_name), Ok(name)) => Ok((module_name.clone(), name.clone())),
            _ => fail(format!(
                "{table} pairs of str, not ({}, {})",
                tp_name(&first.get_type()),
                tp_name(&second.get_type())
            )),
        };
    }
    let table = state.reverse_import_mapping.bind(py);
    if let Some(mapped) = convert::dict_get(table, module_name.as_any())? {
        return match mapped.cast::<PyString>() {
            Ok(mapped) => Ok((mapped.clone(), name.clone())),
            Err(_) => Err(errors::runtime_error(
                py,
                &format!(
                    "_compat_pickle.REVERSE_IMPORT_MAPPING values should be strings, not {}",
                    tp_name(&mapped.get_type())
                ),
            )),
        };
    }
    Ok((module_name.clone(), name.clone()))
}

//! What differs by version in the errors of loading.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::QUIRKS;
use crate::errors;
use crate::object::{R, Raised, fallible, modules};

/// The text for a persistent id in a stream whose unpickler has no `persistent_load`.
pub const NO_PERSISTENT_LOAD: &str = if cfg!(Py_3_12) {
    "A load persistent id instruction was encountered, but no persistent_load function was specified."
} else {
    "A load persistent id instruction was encountered,\nbut no persistent_load function was specified."
};

/// The attribute `name`, not dotted, of a module.
///
/// # Errors
/// AttributeError, which names the module in words of its own before 3.14; what `getattr` raises.
#[inline]
pub fn plain<'py>(module: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> R<Bound<'py, PyAny>> {
    modules::attribute(module, name).map_err(|raised| {
        if QUIRKS.find_class_plain_errors {
            raised
        } else {
            replaced(raised, module, name)
        }
    })
}

/// What a dotted name leads to from a module.
///
/// # Errors
/// As [`plain`]; since 3.14 AttributeError with the failing step's error as context.
pub fn dotted<'py>(
    module: &Bound<'py, PyAny>,
    module_name: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> R<Bound<'py, PyAny>> {
    let py = module.py();
    if !QUIRKS.find_class_plain_errors
        && modules::split(name)?.iter().any(|part| part == "<locals>")
    {
        let verb = if cfg!(Py_3_13) { "get" } else { "pickle" };
        let text = format!(
            "Can't {verb} local attribute {} on {}",
            fallible::shown(&name.repr()?)?,
            fallible::shown(&module.repr()?)?,
        );
        return Err(errors::attribute_error(py, &text));
    }
    match modules::dotted(module, name) {
        Ok((_, object)) => Ok(object),
        Err(raised) if QUIRKS.find_class_plain_errors => {
            let step = raised.take(py);
            if !step.is_instance_of::<PyAttributeError>(py) {
                return Err(step.into());
            }
            let text = format!(
                "Can't resolve path {} on module {}",
                fallible::shown(&name.repr()?)?,
                fallible::shown(&module_name.repr()?)?,
            );
            let err = errors::attribute_error(py, &text).take(py);
            err.set_context(py, Some(step));
            Err(err.into())
        }
        Err(raised) => Err(replaced(raised, module, name)),
    }
}

/// The error before 3.14 for an attribute that is missing; another error stays.
#[cold]
fn replaced(raised: Raised, module: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> Raised {
    let py = module.py();
    let err = raised.take(py);
    if !err.is_instance_of::<PyAttributeError>(py) {
        return err.into();
    }
    let text = || -> R<String> {
        Ok(format!(
            "Can't get attribute {} on {}",
            fallible::shown(&name.repr()?)?,
            fallible::shown(&module.repr()?)?,
        ))
    };
    match text() {
        Ok(text) => errors::attribute_error(py, &text),
        Err(raised) => raised,
    }
}

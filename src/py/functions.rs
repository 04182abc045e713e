//! `dump`, `dumps`, `load`, `loads`: true built-in functions, registered by hand.
//!
//! They must not bind as methods when they are class attributes. `calls.rs` has how they are called.

use pyo3::prelude::*;

use super::args::{Argument, DUMP, DUMPS, truth};
use super::calls::{self, Keywords, builtins};
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::{R, attr};
use crate::pickler::engine::{Config, Engine};
use crate::pickler::options;
use crate::state::State;

fn dumps<'a, 'py>(
    py: Python<'py>,
    args: &'a [Argument<'a, 'py>],
    keywords: Keywords<'a, 'py>,
) -> R<Bound<'py, PyAny>> {
    let [object, protocol, fix_imports, buffer_callback] = DUMPS.fast(py, args, keywords)?;
    let Some(object) = object else {
        return Err(errors::type_error(py, "an object is required"));
    };
    let fix_imports = truth(fix_imports.as_deref(), true)?;
    let protocol = options::protocol(protocol.as_deref())?;
    let config = Config {
        protocol,
        fix_imports,
        write: None,
        buffer_callback: options::buffer_callback(buffer_callback.as_deref(), protocol)?,
        persistent_id: None,
        reducer_override: None,
        owner: None,
    };
    match Engine::dump(py, config, &object)? {
        Some(bytes) => Ok(bytes),
        None => Err(errors::runtime_error(py, "no output")),
    }
}

/// `dumps(object)` and `dumps(object, protocol)` with an exact int.
#[inline]
fn dumps_in_short<'py>(
    py: Python<'py>,
    args: &[Argument<'_, 'py>],
) -> Option<R<Bound<'py, PyAny>>> {
    let (object, protocol) = match args {
        [object] => (object, QUIRKS.default_protocol),
        [object, protocol] => (object, options::exact_protocol(protocol)?),
        _ => return None,
    };
    Engine::dumps(py, protocol, object).transpose()
}

fn dump<'a, 'py>(
    py: Python<'py>,
    args: &'a [Argument<'a, 'py>],
    keywords: Keywords<'a, 'py>,
) -> R<Bound<'py, PyAny>> {
    let [object, file, protocol, fix_imports, buffer_callback] = DUMP.fast(py, args, keywords)?;
    let (Some(object), Some(file)) = (object, file) else {
        return Err(errors::type_error(py, "an object and a file are required"));
    };
    let fix_imports = truth(fix_imports.as_deref(), true)?;
    let protocol = options::protocol(protocol.as_deref())?;
    let name = State::get(py).names.write.bind(py);
    let Some(write) = attr::get_optional(&file, name)? else {
        return Err(errors::type_error(py, "file must have a 'write' attribute"));
    };
    let config = Config {
        protocol,
        fix_imports,
        write: Some(write),
        buffer_callback: options::buffer_callback(buffer_callback.as_deref(), protocol)?,
        persistent_id: None,
        reducer_override: None,
        owner: None,
    };
    Engine::dump(py, config, &object)?;
    Ok(py.None().into_bound(py))
}

builtins! {
    dump_entry = calls::never, dump, c"dump", c"dump($module, /, obj, file, protocol=None, *, fix_imports=True,\n     buffer_callback=None)\n--\n\nWrite a pickle of an object to an open file.\n\nfile: any object with a write(bytes) method. protocol: 0 to 5, negative for the\nhighest. fix_imports: below protocol 3, map names to those of Python 2.\nbuffer_callback: called with each PickleBuffer (PEP 574).\n\nRaises PicklingError if the object cannot be pickled, ValueError for an unknown\nprotocol, and whatever reducers and the file raise.";
    dumps_entry = dumps_in_short, dumps, c"dumps", c"dumps($module, /, obj, protocol=None, *, fix_imports=True,\n      buffer_callback=None)\n--\n\nReturn a pickle of an object as bytes.\n\nprotocol: 0 to 5, negative for the highest. fix_imports: below protocol 3, map\nnames to those of Python 2. buffer_callback: called with each PickleBuffer\n(PEP 574).\n\nRaises PicklingError if the object cannot be pickled, ValueError for an unknown\nprotocol, and whatever reducers raise.";
    load_entry = calls::never, super::unpickler::load, c"load", c"load($module, /, file, *, fix_imports=True, encoding='ASCII',\n     errors='strict', buffers=())\n--\n\nRead one pickle from an open file and return the object.\n\nfile: an object with read(n) and readline(), and perhaps readinto(buffer) and\npeek(n). fix_imports, encoding, errors: for pickles of Python 2. buffers: the\nout-of-band buffers (PEP 574).\n\nRaises UnpicklingError for a malformed pickle, EOFError for an empty file, and\nwhatever the pickle makes its classes raise. Unpickling runs code: load only\nwhat you trust.";
    loads_entry = super::unpickler::loads_in_short, super::unpickler::loads, c"loads", c"loads($module, data, /, *, fix_imports=True, encoding='ASCII',\n      errors='strict', buffers=())\n--\n\nReturn the object of a pickle in a bytes-like object.\n\nfix_imports, encoding, errors: for pickles of Python 2. buffers: the\nout-of-band buffers (PEP 574).\n\nRaises UnpicklingError for a malformed pickle, EOFError for an empty one, and\nwhatever the pickle makes its classes raise. Unpickling runs code: load only\nwhat you trust.";
}

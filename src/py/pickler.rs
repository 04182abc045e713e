//! The class `Pickler`: attributes, memo access, `dump`, garbage collection.
//!
//! The class is frozen for PyO3, so that hooks may use it while it runs; its state is in a [`Shared`], which user code never
//! sees inside of. While it runs, the memo is lent to the engine between two calls into user code.
// PyO3's code for slots that reach it through a macro of ours; there is no unsafe code of our own.
#![allow(unsafe_op_in_unsafe_fn)]

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};

use super::args::{Argument, PICKLER, PICKLER_DUMP, truth};
use super::calls::{Keywords, fast_methods};
use super::pickler_memo::PicklerMemoProxy;
use crate::compat::QUIRKS;
use crate::errors;
use crate::object::cell::{RunToken, Shared};
use crate::object::names::tp_name;
use crate::object::{R, attr, fallible, member, methods, number};
use crate::pickler::engine::{Config, Engine, Modes, Owner};
use crate::pickler::memo::Memo;
use crate::pickler::options;
use crate::state::State;

/// What a Pickler remembers between two dumps.
#[derive(Default)]
pub struct Settings {
    pub(super) memo: Memo,
    /// None before `__init__` has succeeded.
    write: Option<Py<PyAny>>,
    protocol: u8,
    fix_imports: bool,
    binary: i32,
    fast: i32,
    buffer_callback: Option<Py<PyAny>>,
    dispatch_table: Option<Py<PyAny>>,
    /// `persistent_id` of this object: set by the user, or before 3.13 found by `__init__`.
    persistent_id: Option<Py<PyAny>>,
    /// Before 3.13: `persistent_id` is a method of this very object and is kept as a function, which
    /// makes no cycle.
    persistent_id_of_self: bool,
}

/// Pickler(file, protocol=None, fix_imports=True, buffer_callback=None)
/// --
///
/// Writes pickles to a binary file.
///
/// file: any object with a write(bytes) method. protocol: 0 to 5, negative for the highest; the default is 4, and 5 from Python
/// 3.14 on. fix_imports: below protocol 3, map names to those of Python 2. buffer_callback: called with each
/// pickle.PickleBuffer (PEP 574); if it returns a false value the buffer stays out of the stream.
///
/// Raises TypeError if file has no write, ValueError for an unknown protocol or a
/// buffer_callback below protocol 5.
#[pyclass(subclass, frozen, immutable_type, name = "Pickler", module = "_pickle")]
#[derive(Default)]
pub struct Pickler {
    pub(super) settings: Shared<Settings>,
    running: RunToken,
}

impl Pickler {
    /// `__init__`: resets everything.
    fn initialise(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> R<()> {
        let py = slf.py();
        let [file, protocol, fix_imports, buffer_callback] = PICKLER.slots(args, kwargs)?;
        let fix_imports = truth(fix_imports.as_ref(), true)?;
        let this = slf.get();
        let Some(_running) = this.running.acquire() else {
            return Err(in_use(py));
        };
        // Attributes set before the first `__init__` stay.
        let old = this.settings.with(py, |settings| {
            settings.write.is_some().then(|| std::mem::take(settings))
        });
        drop(old);
        let protocol = options::protocol(protocol.as_ref())?;
        let Some(file) = file else {
            return Err(errors::type_error(py, "a file is required"));
        };
        let names = &State::get(py).names;
        let Some(write) = attr::get_optional(&file, names.write.bind(py))? else {
            return Err(errors::type_error(py, "file must have a 'write' attribute"));
        };
        let buffer_callback = options::buffer_callback(buffer_callback.as_ref(), protocol)?;
        let (write, buffer_callback) = (write.unbind(), buffer_callback.map(Bound::unbind));
        let old = this.settings.with(py, |settings| {
            settings.protocol = protocol;
            settings.fix_imports = fix_imports;
            settings.binary = i32::from(protocol > 0);
            settings.fast = 0;
            let old = settings.buffer_callback.take();
            settings.buffer_callback = buffer_callback;
            (settings.write.replace(write), old)
        });
        drop(old);
        let base = py.get_type::<Self>();
        let hook = names.persistent_id.bind(py);
        if !QUIRKS.persistent_hooks_are_methods && !methods::has_member(slf.as_any(), hook, &base) {
            Self::find_persistent_id(slf)?;
        }
        let table = names.dispatch_table.bind(py);
        if !methods::has_member(slf.as_any(), table, &base) {
            let table = methods::get_optional(slf.as_any(), table, &base)?;
            let table = table.map(Bound::unbind);
            let old = this.settings.with(py, |settings| {
                std::mem::replace(&mut settings.dispatch_table, table)
            });
            drop(old);
        }
        Ok(())
    }

    /// Before 3.13: looks `persistent_id` up once.
    fn find_persistent_id(slf: &Bound<'_, Self>) -> R<()> {
        let py = slf.py();
        let name = State::get(py).names.persistent_id.bind(py);
        let hook = attr::get_optional(slf.as_any(), name)?;
        let (hook, of_self) = match hook {
            Some(hook) => match methods::unbind(&hook, slf.as_any()) {
                Some(function) => (Some(function), true),
                None => (Some(hook), false),
            },
            None => (None, false),
        };
        let hook = hook.map(Bound::unbind);
        let old = slf.get().settings.with(py, |settings| {
            settings.persistent_id_of_self = of_self;
            std::mem::replace(&mut settings.persistent_id, hook)
        });
        drop(old);
        Ok(())
    }

    /// `persistent_id` as a dump that starts now uses it; None if it is the default.
    fn hook<'py>(slf: &Bound<'py, Self>) -> R<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if !QUIRKS.persistent_hooks_are_methods {
            return Ok(Self::stored_hook(slf));
        }
        if let Some(hook) = Self::stored_hook(slf) {
            return Ok(Some(hook));
        }
        let (name, base) = (
            State::get(py).names.persistent_id.bind(py),
            py.get_type::<Self>(),
        );
        if slf.get_type().is(&base) || methods::inherits(slf.as_any(), name, &base) {
            return Ok(None);
        }
        attr::get_optional(slf.as_any(), name)
    }

    /// The stored `persistent_id`, bound to the object if it was one of its methods.
    fn stored_hook<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let py = slf.py();
        let settings = &slf.get().settings;
        let hook = settings.pick(py, |settings| settings.persistent_id.as_ref())?;
        if settings.with(py, |settings| settings.persistent_id_of_self) {
            methods::bind(&hook, slf.as_any())
                .map_err(|raised| drop(raised.take(py)))
                .ok()
        } else {
            Some(hook)
        }
    }

    fn dump<'a, 'py>(
        slf: &Bound<'py, Self>,
        args: &'a [Argument<'a, 'py>],
        keywords: Keywords<'a, 'py>,
    ) -> R<Bound<'py, PyAny>> {
        let py = slf.py();
        let [object] = PICKLER_DUMP.fast(py, args, keywords)?;
        let this = slf.get();
        let Some(_running) = this.running.acquire() else {
            return Err(in_use(py));
        };
        let settings = &this.settings;
        let Some(write) = settings.pick(py, |settings| settings.write.as_ref()) else {
            let class = tp_name(&slf.get_type());
            return Err(errors::pickling(
                py,
                &format!("Pickler.__init__() was not called by {class}.__init__()"),
            ));
        };
        let persistent_id = Self::hook(slf)?;
        let reducer_override = if slf.get_type().is(py.get_type::<Self>()) {
            None
        } else {
            let name = State::get(py).names.reducer_override.bind(py);
            methods::get_optional(slf.as_any(), name, &py.get_type::<Self>())?
        };
        let (protocol, fix_imports) =
            settings.with(py, |settings| (settings.protocol, settings.fix_imports));
        let config = Config {
            protocol,
            fix_imports,
            write: Some(write),
            buffer_callback: settings.pick(py, |settings| settings.buffer_callback.as_ref()),
            persistent_id,
            reducer_override,
            owner: Some(&BorrowedPickler(slf)),
        };
        Engine::dump(py, config, &object)?;
        Ok(py.None().into_bound(py))
    }

    /// Forgets which objects were pickled before. Drops no `Py`.
    ///
    /// The memo keeps its memory, as that of C does: a dump and a `clear_memo` take a quarter fewer instructions.
    pub(super) fn clear_memo(slf: &Bound<'_, Self>) {
        let (py, settings) = (slf.py(), &slf.get().settings);
        if settings.with(py, |settings| settings.memo.is_empty()) {
            return;
        }
        // Code that runs while the objects are released finds an empty memo, and may fill it.
        let mut memo = settings.with(py, |settings| std::mem::take(&mut settings.memo));
        memo.clear(py);
        let unused = settings.with(py, move |settings| {
            if settings.memo.is_empty() {
                std::mem::replace(&mut settings.memo, memo)
            } else {
                memo
            }
        });
        drop(unused);
    }
}

fast_methods! {
    Pickler {
        dump_entry = Pickler::dump, c"dump", c"dump($self, obj, /)\n--\n\nWrite the pickled representation of an object to the file.\n\nRaises PicklingError if the object cannot be pickled, RuntimeError if this Pickler is\nalready at work, and whatever reducers, hooks and the file's write raise.";
    }
    plain {
        clear_memo_entry = Pickler::clear_memo, c"clear_memo", c"clear_memo($self, /)\n--\n\nForget which objects were pickled before.";
    }
}

/// Finishes the class, before it is used.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    methods::shorten_look_up::<{ "persistent_id".len() }>(&py.get_type::<Pickler>());
    register(py)?;
    let probe = Bound::new(py, Pickler::default())?;
    let settings = &probe.get().settings;
    member::expose(probe.as_any(), c"dispatch_table", settings, |settings| {
        &settings.dispatch_table
    })
}

/// The engine's view of a Pickler object.
struct BorrowedPickler<'a, 'py>(&'a Bound<'py, Pickler>);

impl Owner for BorrowedPickler<'_, '_> {
    fn lend(&self, py: Python<'_>, empty: &mut Memo) -> Modes {
        self.0.get().settings.with(py, |settings| {
            std::mem::swap(&mut settings.memo, empty);
            Modes {
                binary: settings.binary != 0,
                fast: settings.fast != 0,
            }
        })
    }

    fn give_back(&self, py: Python<'_>, memo: &mut Memo) {
        let settings = &self.0.get().settings;
        settings.with(py, |settings| std::mem::swap(&mut settings.memo, memo));
    }

    fn dispatch_table<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let settings = &self.0.get().settings;
        settings.pick(py, |settings| settings.dispatch_table.as_ref())
    }

    fn persistent_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if QUIRKS.persistent_hooks_are_methods {
            return None;
        }
        Pickler::stored_hook(self.0).map(|hook| hook.unbind().into_bound(py))
    }
}

#[cold]
fn in_use(py: Python<'_>) -> crate::object::Raised {
    errors::runtime_error(py, "Pickler object is already used")
}

/// A value for an attribute that C keeps as an `int`.
fn to_c_int(value: &Bound<'_, PyAny>) -> R<i32> {
    let number = number::to_c_long(value)?;
    match i32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => {
            let py = value.py();
            let category = py.get_type::<PyRuntimeWarning>();
            PyErr::warn(py, &category, c"Truncation of value to int", 1)?;
            // As C's member does.
            Ok(number as i32)
        }
    }
}

fn cannot_delete(py: Python<'_>) -> PyErr {
    errors::type_error(py, "can't delete numeric/char attribute").take(py)
}

/// PyO3 takes all methods of a class in one block, and its slots without `cfg`: what differs by
/// version is put into the block from outside.
macro_rules! methods {
    ($($of_this_version:tt)*) => {
#[pymethods]
impl Pickler {
    $($of_this_version)*

    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(file, protocol=None, fix_imports=True, buffer_callback=None)"
    )]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Pickler::default()
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        Self::initialise(slf, args, kwargs).map_err(|raised| raised.take(slf.py()))
    }

    #[getter]
    fn get_bin<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyInt>> {
        let value = self.settings.with(py, |settings| settings.binary);
        fallible::int(py, value.into()).map_err(|raised| raised.take(py))
    }

    #[setter]
    fn set_bin(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let value = to_c_int(value).map_err(|raised| raised.take(py))?;
        self.settings.with(py, |settings| settings.binary = value);
        Ok(())
    }

    #[deleter]
    fn delete_bin(&self, py: Python<'_>) -> PyResult<()> {
        Err(cannot_delete(py))
    }

    #[getter]
    fn get_fast<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyInt>> {
        let value = self.settings.with(py, |settings| settings.fast);
        fallible::int(py, value.into()).map_err(|raised| raised.take(py))
    }

    #[setter]
    fn set_fast(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let value = to_c_int(value).map_err(|raised| raised.take(py))?;
        self.settings.with(py, |settings| settings.fast = value);
        Ok(())
    }

    #[deleter]
    fn delete_fast(&self, py: Python<'_>) -> PyResult<()> {
        Err(cannot_delete(py))
    }

    #[getter]
    fn get_memo(slf: &Bound<'_, Self>) -> PyResult<Py<PicklerMemoProxy>> {
        PicklerMemoProxy::of(slf)
    }

    #[setter]
    fn set_memo(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let memo = super::pickler_memo::from_object(value).map_err(|raised| raised.take(py))?;
        let old = self
            .settings
            .with(py, |settings| std::mem::replace(&mut settings.memo, memo));
        drop(old);
        Ok(())
    }

    #[deleter]
    fn delete_memo(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::type_error(py, "attribute deletion is not supported").take(py))
    }

    /// Size of this object in memory, in bytes, with its memo.
    #[pyo3(text_signature = "($self, /)")]
    fn __sizeof__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyInt>> {
        let py = slf.py();
        let settings = &slf.get().settings;
        let own = settings.with(py, |settings| settings.memo.allocated());
        let size = attr::basic_size(slf.as_any()) + own;
        // No memory is as large as the largest i64.
        fallible::int(py, size as i64).map_err(|raised| raised.take(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.settings.visit(|settings| {
            let held = [
                &settings.write,
                &settings.buffer_callback,
                &settings.dispatch_table,
                &settings.persistent_id,
            ];
            for object in held.into_iter().flatten() {
                visit.call(object)?;
            }
            settings.memo.visit(|object| visit.call(object))
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let old = self.settings.with(py, std::mem::take);
        drop(old);
    }
}
    };
}

#[cfg(Py_3_13)]
methods! {
    /// Persistent id of an object (None: it is pickled as usual). To be overridden.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, obj, /)")]
    fn persistent_id(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let parsed = super::args::PERSISTENT_ID.slots(args, kwargs);
        parsed.map(drop).map_err(|raised| raised.take(args.py()))
    }

    /// An assigned `persistent_id` goes before everything (CPython issue 126489).
    fn __getattribute__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if methods::is_name(name, State::get(py).names.persistent_id.bind(py))
            && let Some(hook) = Self::stored_hook(slf)
        {
            return Ok(hook);
        }
        methods::generic_get(slf.as_any(), name).map_err(|raised| raised.take(py))
    }

    /// PyO3 comes here after an AttributeError, and would word its own: the look-up raises it again.
    fn __getattr__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        methods::generic_get(slf.as_any(), name).map_err(|raised| raised.take(slf.py()))
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::set_attribute(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::set_attribute(slf, name, None)
    }
}

#[cfg(not(Py_3_13))]
methods! {
    #[getter]
    fn get_persistent_id<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::stored_hook(slf)
            .ok_or_else(|| errors::attribute_error(slf.py(), "persistent_id").take(slf.py()))
    }

    #[setter]
    fn set_persistent_id(&self, hook: &Bound<'_, PyAny>) -> PyResult<()> {
        if !hook.is_callable() {
            let text = "persistent_id must be a callable taking one argument";
            return Err(errors::type_error(hook.py(), text).take(hook.py()));
        }
        let new = hook.clone().unbind();
        let old = self.settings.with(hook.py(), |settings| {
            settings.persistent_id_of_self = false;
            settings.persistent_id.replace(new)
        });
        drop(old);
        Ok(())
    }

    #[deleter]
    fn delete_persistent_id(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::type_error(py, "attribute deletion is not supported").take(py))
    }
}

impl Pickler {
    /// Sets or deletes an attribute; `persistent_id` is kept in the object itself (gh-126489).
    #[cfg(Py_3_13)]
    fn set_attribute(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if methods::is_name(name, State::get(py).names.persistent_id.bind(py)) {
            let new = value.map(|value| value.clone().unbind());
            let old = slf.get().settings.with(py, |settings| {
                std::mem::replace(&mut settings.persistent_id, new)
            });
            drop(old);
            return Ok(());
        }
        methods::generic_set(slf.as_any(), name, value).map_err(|raised| raised.take(py))
    }
}

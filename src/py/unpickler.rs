//! The class `Unpickler`, and what the arguments of `load` and `loads` mean.
//!
//! The class is frozen with its state inside cells, so that hooks may use a running Unpickler: its memo, its
//! attributes, `find_class`; only a second `load` or `__init__` is refused. Before 3.13
//! `persistent_load` is an attribute without a default that `__init__` looks up, since then a method that each
//! `load` looks up. This file must not read streams.
// PyO3's code for slots that reach it through a macro of ours; there is no unsafe code of our own.
#![allow(unsafe_op_in_unsafe_fn)]

use std::ffi::CString;
use std::mem;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};

use super::args::{self, Argument, FIND_CLASS, LOAD, LOADS, Signature, UNPICKLER, UNPICKLER_LOAD};
use super::calls::{Keywords, fast_methods};
use super::unpickler_memo::{self, UnpicklerMemoProxy};
use crate::compat::QUIRKS;
#[cfg(Py_3_13)]
use crate::compat::load_messages::NO_PERSISTENT_LOAD;
use crate::errors;
use crate::object::boxed::boxed;
use crate::object::cell::{RunToken, Running, Shared};
use crate::object::names::tp_name;
use crate::object::{R, Raised, attr, fallible, methods};
use crate::state::State;
use crate::unpickler::hooks::{Decoding, Hooks, Options};
use crate::unpickler::input::{File, Input};
use crate::unpickler::memo::Memo;
use crate::unpickler::methods::Methods;
use crate::unpickler::{self, find_class, load_into};

/// `load(file, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=())`
///
/// # Errors
/// TypeError or ValueError for wrong arguments; as [`unpickler::load`].
pub fn load<'a, 'py>(
    py: Python<'py>,
    args: &'a [Argument<'a, 'py>],
    keywords: Option<&'a Bound<'py, PyTuple>>,
) -> R<Bound<'py, PyAny>> {
    let [file, fix_imports, encoding, errors, buffers] = LOAD.fast(py, args, keywords)?;
    let keywords = [&fix_imports, &encoding, &errors, &buffers];
    let options = options(&LOAD, keywords.map(|value| value.as_deref()))?;
    let Some(file) = file else {
        return Err(errors::type_error(py, "load() needs a file"));
    };
    unpickler::load(&file, options)
}

/// `loads(data, /, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=())`
///
/// # Errors
/// TypeError or ValueError for wrong arguments; as [`unpickler::loads`].
pub fn loads<'a, 'py>(
    py: Python<'py>,
    args: &'a [Argument<'a, 'py>],
    keywords: Option<&'a Bound<'py, PyTuple>>,
) -> R<Bound<'py, PyAny>> {
    if let ([data], None) = (args, keywords) {
        let data: &Bound<'py, PyAny> = data;
        return unpickler::loads(py, &unpickler::Data::of(data)?, Options::default());
    }
    let [data, fix_imports, encoding, errors, buffers] = LOADS.fast(py, args, keywords)?;
    let Some(data) = data else {
        return Err(errors::type_error(py, "loads() needs data"));
    };
    // The keywords are looked at before the data, as C does.
    let keywords = [&fix_imports, &encoding, &errors, &buffers];
    let options = options(&LOADS, keywords.map(|value| value.as_deref()))?;
    let data = unpickler::Data::of(&data)?;
    unpickler::loads(py, &data, options)
}

/// `loads(data)` of few plain bytes.
#[inline]
pub fn loads_in_short<'py>(
    py: Python<'py>,
    args: &[Argument<'_, 'py>],
) -> Option<R<Bound<'py, PyAny>>> {
    let [data] = args else {
        return None;
    };
    let data: &Bound<'py, PyAny> = data;
    unpickler::loads_in_short(py, data.cast_exact().ok()?)
}

/// What the keyword arguments of a load say; `sign` is the function that got them, for its errors.
///
/// # Errors
/// TypeError or ValueError for an argument of the wrong type; what `__bool__` raises.
#[inline]
fn options<'py>(
    sign: &Signature<5>,
    [fix_imports, encoding, errors, buffers]: [Option<&Bound<'py, PyAny>>; 4],
) -> R<Options<'py>> {
    let mut options = Options {
        fix_imports: args::truth(fix_imports, true)?,
        ..Options::default()
    };
    if encoding.is_some() || errors.is_some() {
        options.decoding = Some(decoding(sign, encoding, errors)?);
    }
    if let Some(buffers) = buffers
        && !buffers.is_none()
    {
        options.buffers = Some(buffers.clone());
    }
    Ok(options)
}

#[cold]
fn decoding(
    sign: &Signature<5>,
    encoding: Option<&Bound<'_, PyAny>>,
    errors: Option<&Bound<'_, PyAny>>,
) -> R<Box<Decoding>> {
    let mut decoding = Box::new(Decoding::default());
    let text = |index, value| -> R<CString> {
        // The parser has refused NUL already.
        Ok(CString::new(sign.text(index, value)?).map_err(PyErr::from)?)
    };
    if let Some(encoding) = encoding {
        decoding.encoding = text(2, encoding)?;
    }
    if let Some(errors) = errors {
        decoding.errors = text(3, errors)?;
    }
    Ok(decoding)
}

/// This takes a binary file for reading a pickle data stream.
///
/// The protocol version of the pickle is detected automatically. `file` must have `read()` and
/// `readline()`; `readinto()` and `peek()` are used if it has them. `fix_imports`, `encoding` and `errors` say how
/// pickles of Python 2 are read: whether old names are mapped to new ones, and how its 8-bit strings are decoded
/// (encoding 'bytes' leaves them bytes). `buffers` is an iterable of the objects that
/// NEXT_BUFFER (PEP 574) pushes.
#[pyclass(
    subclass,
    frozen,
    immutable_type,
    name = "Unpickler",
    module = "_pickle"
)]
#[derive(Default)]
pub struct Unpickler {
    token: RunToken,
    pub(super) memo: Shared<Memo>,
    settings: Shared<Settings>,
}

/// An `Option` whose None is zeros: before 3.13 `object.__new__` deallocates an instance that is nothing else, where it
/// finds no memory for the dict of a subclass.
#[derive(Default)]
#[repr(u8)]
enum Zeroable<T> {
    #[default]
    Empty = 0,
    Full(T) = 1,
}

impl<T> Zeroable<T> {
    fn get(&self) -> Option<&T> {
        match self {
            Zeroable::Empty => None,
            Zeroable::Full(value) => Some(value),
        }
    }

    fn replace(&mut self, value: Option<T>) -> Option<T> {
        match mem::replace(self, value.map_or(Zeroable::Empty, Zeroable::Full)) {
            Zeroable::Empty => None,
            Zeroable::Full(value) => Some(value),
        }
    }
}

/// What `__init__` sets.
#[derive(Default)]
struct Settings {
    /// None before `__init__`, and while a load has it. It is large: it stays where it is.
    file: Option<Box<File>>,
    decoding: Option<Box<Decoding>>,
    buffers: Option<Py<PyAny>>,
    fix_imports: bool,
    /// What PROTO said last.
    proto: u8,
    persistent_load: Zeroable<PersistentLoad>,
}

impl Settings {
    /// Whether there is anything that an `__init__` has to take away; a new Unpickler has nothing.
    fn is_set(&self) -> bool {
        self.file.is_some()
            || self.decoding.is_some()
            || self.buffers.is_some()
            || self.persistent_load.get().is_some()
    }
}

/// The hook for persistent ids, where it does not follow from the class.
enum PersistentLoad {
    /// Any callable.
    Callable(Py<PyAny>),
    /// The function of a method of the Unpickler itself. The method would keep the Unpickler alive.
    OwnMethod(Py<PyAny>),
}

impl PersistentLoad {
    fn object(&self) -> &Py<PyAny> {
        match self {
            PersistentLoad::Callable(object) | PersistentLoad::OwnMethod(object) => object,
        }
    }
}

/// PyO3 takes all methods of a class in one block, and its slots without `cfg`: what differs by
/// version is put into the block from outside.
macro_rules! methods {
    ($($of_this_version:tt)*) => {
#[pymethods]
impl Unpickler {
    $($of_this_version)*

    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(file, *, fix_imports=True, encoding='ASCII', errors='strict', buffers=())"
    )]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        Self::init(slf, args, kwargs).map_err(|raised| raised.take(slf.py()))
    }

    /// The objects read so far, by index: a live view.
    #[getter]
    fn memo(slf: &Bound<'_, Self>) -> UnpicklerMemoProxy {
        UnpicklerMemoProxy::of(slf)
    }

    #[setter]
    fn set_memo(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.settings.with(value.py(), |settings| {
            if let Some(file) = &mut settings.file {
                file.distrust_memo();
            }
        });
        unpickler_memo::assign(&self.memo, value).map_err(|raised| raised.take(value.py()))
    }

    #[deleter(memo)]
    fn delete_memo(&self, py: Python<'_>) -> PyResult<()> {
        Err(no_deletion(py))
    }

    /// Returns size in memory, in bytes.
    #[pyo3(text_signature = "($self, /)")]
    fn __sizeof__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyInt>> {
        let py = slf.py();
        let basic: usize = slf.get_type().getattr(State::get(py).names.basicsize.bind(py))?.extract()?;
        let this = slf.get();
        let memo = this.memo.with(py, |memo| memo.size());
        let rest = this.settings.with(py, |settings| {
            settings.decoding.as_ref().map_or(0, |decoding| {
                decoding.encoding.as_bytes_with_nul().len()
                    + decoding.errors.as_bytes_with_nul().len()
            })
        });
        // No memory is as large as the largest i64.
        fallible::int(py, (basic + memo + rest) as i64).map_err(|raised| raised.take(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.memo
            .visit(|memo| memo.objects().try_for_each(|object| visit.call(object)))?;
        self.settings.visit(|settings| {
            if let Some(file) = &settings.file {
                file.objects().try_for_each(|object| visit.call(object))?;
            }
            if let Some(hook) = settings.persistent_load.get() {
                visit.call(hook.object())?;
            }
            visit.call(&settings.buffers)
        })
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        let py = slf.py();
        // A load that runs holds its input, and the memo is the only thing that it shares with us.
        let memo = slf.get().memo.with(py, mem::take);
        let settings = slf.get().settings.with(py, mem::take);
        drop((memo, settings));
    }
}
    };
}

#[cfg(Py_3_13)]
methods! {
    /// Return the object for a persistent id. The default raises UnpicklingError.
    #[pyo3(
        name = "persistent_load",
        signature = (*args, **kwargs),
        text_signature = "($self, pid, /)"
    )]
    fn py_persistent_load(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let raised = match args::PERSISTENT_LOAD.slots(args, kwargs) {
            Ok(_) => errors::unpickling(args.py(), NO_PERSISTENT_LOAD),
            Err(raised) => raised,
        };
        Err(raised.take(args.py()))
    }

    /// An assigned `persistent_load` goes before everything (CPython issue 126489).
    fn __getattribute__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let found = if methods::is_name(name, State::get(slf.py()).names.persistent_load.bind(slf.py())) {
            Self::set_hook(slf).transpose()
        } else {
            None
        };
        found
            .unwrap_or_else(|| methods::generic_get(slf.as_any(), name))
            .map_err(|raised| raised.take(slf.py()))
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
        value: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        if methods::is_name(name, State::get(slf.py()).names.persistent_load.bind(slf.py())) {
            let hook = PersistentLoad::Callable(value.unbind());
            slf.get().replace_hook(py, Some(hook));
            return Ok(());
        }
        methods::generic_set(slf.as_any(), name, Some(&value)).map_err(|raised| raised.take(py))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if methods::is_name(name, State::get(slf.py()).names.persistent_load.bind(slf.py())) {
            slf.get().replace_hook(py, None);
            return Ok(());
        }
        methods::generic_set(slf.as_any(), name, None).map_err(|raised| raised.take(py))
    }
}

#[cfg(not(Py_3_13))]
methods! {
    /// The callable for persistent ids.
    #[getter(persistent_load)]
    fn py_persistent_load<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match Self::set_hook(slf).map_err(|raised| raised.take(slf.py()))? {
            Some(hook) => Ok(hook),
            None => Err(errors::attribute_error(slf.py(), "persistent_load").take(slf.py())),
        }
    }

    #[setter(persistent_load)]
    fn set_persistent_load(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        if !value.is_callable() {
            let text = "persistent_load must be a callable taking one argument";
            return Err(errors::type_error(py, text).take(py));
        }
        self.replace_hook(py, Some(PersistentLoad::Callable(value.unbind())));
        Ok(())
    }

    #[deleter(persistent_load)]
    fn delete_persistent_load(&self, py: Python<'_>) -> PyResult<()> {
        Err(no_deletion(py))
    }
}

fast_methods! {
    Unpickler {
        load_entry = Unpickler::load, c"load", c"load($self, /)\n--\n\nLoad a pickle.\n\nRead a pickled object representation from the open file object given in the constructor, and\nreturn the reconstituted object hierarchy specified therein.";
        find_class_entry = Unpickler::find_class, c"find_class", c"find_class($self, module_name, global_name, /)\n--\n\nReturn an object from a specified module.\n\nIf necessary, the module will be imported. Subclasses may override this method (e.g. to restrict\nunpickling of arbitrary classes and functions). It is called whenever a class or a function object is\nneeded; both arguments passed are str objects.";
    }
}

/// Finishes the class, before it is used.
///
/// # Errors
/// MemoryError.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    methods::shorten_look_up::<{ "persistent_load".len() }>(&py.get_type::<Unpickler>());
    register(py)
}

impl Unpickler {
    fn init(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> R<()> {
        let py = slf.py();
        let [file, fix_imports, encoding, errors, buffers] = UNPICKLER.slots(args, kwargs)?;
        let keywords = [&fix_imports, &encoding, &errors, &buffers];
        let mut options = options(&UNPICKLER, keywords.map(Option::as_ref))?;
        let this = slf.get();
        let _running = this.acquire(py)?;
        // As in C, what fails below leaves an Unpickler that is not initialised.
        let old = this.settings.with(py, |settings| {
            settings.is_set().then(|| mem::take(settings))
        });
        drop(old);
        let Some(file) = file else {
            return Err(errors::type_error(py, "Unpickler() needs a file"));
        };
        let file = boxed(File::new(Methods::of(&file)?)).map_err(|_| errors::no_memory(py))?;
        options.start()?;
        // As in C, the entries go and the count of them stays.
        let old = this.memo.with(py, |memo| {
            let empty = Memo::counting_from(memo.next());
            (!memo.is_new()).then(|| mem::replace(memo, empty))
        });
        drop(old);
        let settings = Settings {
            file: Some(file),
            decoding: options.decoding,
            buffers: options.buffers.map(Bound::unbind),
            fix_imports: options.fix_imports,
            proto: 0,
            persistent_load: Zeroable::Empty,
        };
        let old = this
            .settings
            .with(py, move |place| mem::replace(place, settings));
        drop(old);
        if !QUIRKS.persistent_hooks_are_methods {
            let name = State::get(py).names.persistent_load.bind(py);
            if !methods::has_member(slf.as_any(), name, &py.get_type::<Self>())
                && let Some(hook) = attr::get_optional(slf.as_any(), name)?
            {
                this.replace_hook(py, Some(owned_hook(slf, hook)));
            }
        }
        Ok(())
    }

    fn find_class<'a, 'py>(
        slf: &Bound<'py, Self>,
        args: &'a [Argument<'a, 'py>],
        keywords: Keywords<'a, 'py>,
    ) -> R<Bound<'py, PyAny>> {
        let py = slf.py();
        let [module, name] = FIND_CLASS.fast(py, args, keywords)?;
        let (proto, fix_imports) = slf.get().dialect(py);
        find_class(&module, &name, proto, fix_imports)
    }

    fn load<'a, 'py>(
        slf: &Bound<'py, Self>,
        args: &'a [Argument<'a, 'py>],
        keywords: Keywords<'a, 'py>,
    ) -> R<Bound<'py, PyAny>> {
        let py = slf.py();
        let [] = UNPICKLER_LOAD.fast(py, args, keywords)?;
        let this = slf.get();
        let _running = this.acquire(py)?;
        let file = this.settings.with(py, |settings| settings.file.take());
        let Some(file) = file else {
            let text = format!(
                "Unpickler.__init__() was not called by {}.__init__()",
                tp_name(&slf.get_type())
            );
            return Err(errors::unpickling(py, &text));
        };
        let mut lent = Lent {
            py,
            settings: &this.settings,
            file: Some(file),
        };
        let (fix_imports, decoding) = this.settings.with(py, |settings| {
            settings.proto = 0;
            (settings.fix_imports, settings.decoding.clone())
        });
        let options = Options {
            fix_imports,
            decoding,
            buffers: this.settings.pick(py, |settings| settings.buffers.as_ref()),
        };
        let hooks = Owner::new(slf, fix_imports)?;
        let Some(file) = &mut lent.file else {
            return Err(in_use(py));
        };
        load_into(py, &mut Input::file(file), &this.memo, &hooks, &options)
    }

    fn acquire(&self, py: Python<'_>) -> R<Running<'_>> {
        self.token.acquire().ok_or_else(|| in_use(py))
    }

    /// The protocol of the stream so far, and whether old names are mapped.
    fn dialect(&self, py: Python<'_>) -> (u8, bool) {
        self.settings
            .with(py, |settings| (settings.proto, settings.fix_imports))
    }

    fn replace_hook(&self, py: Python<'_>, hook: Option<PersistentLoad>) {
        let old = self
            .settings
            .with(py, move |settings| settings.persistent_load.replace(hook));
        drop(old);
    }

    /// The hook for persistent ids that was assigned, or found by `__init__`.
    fn set_hook<'py>(slf: &Bound<'py, Self>) -> R<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let settings = &slf.get().settings;
        let hook = settings.pick(py, |settings| {
            settings.persistent_load.get().map(PersistentLoad::object)
        });
        let own = settings.with(py, |settings| {
            matches!(
                settings.persistent_load,
                Zeroable::Full(PersistentLoad::OwnMethod(_))
            )
        });
        match hook {
            Some(function) if own => Ok(Some(methods::bind(&function, slf.as_any())?)),
            hook => Ok(hook),
        }
    }
}

/// The file of an Unpickler while a load has it; it goes back at the end, however the load ends.
struct Lent<'a, 'py> {
    py: Python<'py>,
    settings: &'a Shared<Settings>,
    /// Some until it goes back.
    file: Option<Box<File>>,
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        let file = self.file.take();
        let old = self.settings.with(self.py, move |settings| {
            std::mem::replace(&mut settings.file, file)
        });
        drop(old);
    }
}

/// The hooks of an Unpickler during a load.
struct Owner<'a, 'py> {
    unpickler: &'a Bound<'py, Unpickler>,
    fix_imports: bool,
    /// An instance of Unpickler itself, which cannot override anything but `persistent_load`.
    exact: bool,
    persistent_load: Option<Bound<'py, PyAny>>,
}

impl<'a, 'py> Owner<'a, 'py> {
    fn new(unpickler: &'a Bound<'py, Unpickler>, fix_imports: bool) -> R<Self> {
        let py = unpickler.py();
        let exact = unpickler.as_any().is_exact_instance_of::<Unpickler>();
        let assigned = Unpickler::set_hook(unpickler)?;
        let persistent_load = if !QUIRKS.persistent_hooks_are_methods || exact || assigned.is_some()
        {
            assigned
        } else {
            let name = State::get(py).names.persistent_load.bind(py);
            attr::get_optional(unpickler.as_any(), name)?
        };
        Ok(Owner {
            unpickler,
            fix_imports,
            exact,
            persistent_load,
        })
    }
}

impl<'py> Hooks<'py> for Owner<'_, 'py> {
    fn find_class(
        &self,
        module: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
        proto: u8,
    ) -> R<Bound<'py, PyAny>> {
        let hook = State::get(module.py()).names.find_class.bind(module.py());
        if self.exact
            || methods::inherits(
                self.unpickler.as_any(),
                hook,
                &module.py().get_type::<Unpickler>(),
            )
        {
            return find_class(module, name, proto, self.fix_imports);
        }
        attr::call2(&attr::get(self.unpickler.as_any(), hook)?, module, name)
    }

    fn persistent_load(&self, _py: Python<'py>) -> R<Option<Bound<'py, PyAny>>> {
        if QUIRKS.persistent_hooks_are_methods {
            return Ok(self.persistent_load.clone());
        }
        // A change during a load counts at once.
        Unpickler::set_hook(self.unpickler)
    }

    fn protocol(&self, proto: u8) {
        let py = self.unpickler.py();
        let settings = &self.unpickler.get().settings;
        settings.with(py, |settings| settings.proto = proto);
    }
}

/// A hook that `__init__` has found: a method of the Unpickler itself is kept as its function.
fn owned_hook(slf: &Bound<'_, Unpickler>, hook: Bound<'_, PyAny>) -> PersistentLoad {
    match methods::unbind(&hook, slf.as_any()) {
        Some(function) => PersistentLoad::OwnMethod(function.unbind()),
        None => PersistentLoad::Callable(hook.unbind()),
    }
}

#[cold]
fn in_use(py: Python<'_>) -> Raised {
    errors::runtime_error(py, "Unpickler object is already used")
}

fn no_deletion(py: Python<'_>) -> PyErr {
    errors::type_error(py, "attribute deletion is not supported").take(py)
}

//! What the module looks up once, when it is loaded: interned names, the tables of `copyreg` and
//! `_compat_pickle`, helper callables, the exception classes.
//!
//! The tables are captured, as `_pickle` captures them: rebinding `copyreg.dispatch_table` later has
//! no effect, changing it has. Nothing here may be looked up again on the hot path.

use crate::object::bytes_io::BytesIo;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

macro_rules! names {
    ($($field:ident = $text:literal),* $(,)?) => {
        /// Interned strings.
        pub struct Names { $(#[doc = concat!("`", $text, "`")] pub $field: Py<PyString>,)* }

        impl Names {
            fn new(py: Python<'_>) -> Self {
                Names { $($field: PyString::intern(py, $text).unbind(),)* }
            }
        }
    };
}

names! {
    empty = "",
    dot = ".",
    sys = "sys",
    modules = "modules",
    cast = "cast",
    unsigned_bytes = "B",
    readonly = "readonly",
    toreadonly = "toreadonly",
    release = "release",
    raw = "raw",
    basicsize = "__basicsize__",
    getinitargs = "__getinitargs__",
    newobj = "__newobj__",
    newobj_ex = "__newobj_ex__",
    reduce = "__reduce__",
    reduce_ex = "__reduce_ex__",
    getstate = "__getstate__",
    setstate = "__setstate__",
    getnewargs = "__getnewargs__",
    getnewargs_ex = "__getnewargs_ex__",
    slotnames = "__slotnames__",
    class = "__class__",
    dict = "__dict__",
    module = "__module__",
    name = "__name__",
    qualname = "__qualname__",
    new = "__new__",
    main = "__main__",
    mp_main = "__mp_main__",
    import = "__import__",
    spec = "__spec__",
    initializing = "_initializing",
    append = "append",
    extend = "extend",
    add = "add",
    update = "update",
    items = "items",
    write = "write",
    read = "read",
    readinto = "readinto",
    readline = "readline",
    peek = "peek",
    buffer_callback = "buffer_callback",
    dispatch_table = "dispatch_table",
    persistent_id = "persistent_id",
    persistent_load = "persistent_load",
    reducer_override = "reducer_override",
    find_class = "find_class",
    int = "int",
    is_safe = "is_safe",
    parts = "_parts",
    raw_paths = "_raw_paths",
    fields = "_fields",
    numerator = "_numerator",
    denominator = "_denominator",
    default_factory = "default_factory",
    code = "__code__",
    globals = "__globals__",
    latin1 = "latin1",
    add_note = "add_note",
    pickle = "pickle",
    pickle_buffer = "PickleBuffer",
    isbuiltin = "isbuiltin",
}

/// Everything the module holds.
pub struct State {
    /// Interned strings.
    pub names: Names,
    /// `pickle.PickleError`, the interpreter's own.
    pub pickle_error: Py<PyType>,
    /// `pickle.PicklingError`, the interpreter's own.
    pub pickling_error: Py<PyType>,
    /// `pickle.UnpicklingError`, the interpreter's own.
    pub unpickling_error: Py<PyType>,
    /// `copyreg.dispatch_table`.
    pub dispatch_table: Py<PyDict>,
    /// `copyreg._extension_registry`: (module, name) -> code.
    pub extension_registry: Py<PyDict>,
    /// `copyreg._inverted_registry`: code -> (module, name).
    pub inverted_registry: Py<PyDict>,
    /// `copyreg._extension_cache`: code -> object.
    pub extension_cache: Py<PyDict>,
    /// `_compat_pickle.NAME_MAPPING`: Python 2 (module, name) -> Python 3.
    pub name_mapping: Py<PyDict>,
    /// `_compat_pickle.IMPORT_MAPPING`: Python 2 module -> Python 3.
    pub import_mapping: Py<PyDict>,
    /// `_compat_pickle.REVERSE_NAME_MAPPING`.
    pub reverse_name_mapping: Py<PyDict>,
    /// `_compat_pickle.REVERSE_IMPORT_MAPPING`.
    pub reverse_import_mapping: Py<PyDict>,
    /// `_io.BytesIO`.
    pub bytes_io: BytesIo,
    /// `_io.FileIO`, `_io.BufferedReader`.
    pub files: [Py<PyAny>; 2],
    /// `codecs.encode`.
    pub codecs_encode: Py<PyAny>,
    /// `functools.partial`.
    pub partial: Py<PyAny>,
    /// `builtins.getattr`.
    pub getattr: Py<PyAny>,
    /// `builtins.__import__` as it was at load time: while it still is, an import of a loaded
    /// module is a look-up in `sys.modules`.
    pub import: Py<PyAny>,
    /// `copyreg.__newobj__`.
    pub copyreg_newobj: Py<PyAny>,
    /// `object.__reduce_ex__`, `object.__reduce__`, `object.__getstate__`.
    pub object_reduce_ex: Py<PyAny>,
    /// `object.__reduce__`.
    pub object_reduce: Py<PyAny>,
    /// `object.__getstate__`.
    pub object_getstate: Py<PyAny>,
    /// `object.__dict__['__class__']`.
    pub object_class: Py<PyAny>,
    /// The interpreter's own PickleBuffer type.
    pub core_pickle_buffer: Py<PyType>,
}

static STATE: PyOnceLock<State> = PyOnceLock::new();

impl State {
    /// The state; [`State::load`] has run, since the module cannot be used before.
    #[inline(always)]
    pub fn get(py: Python<'_>) -> &State {
        match STATE.get(py) {
            Some(state) => state,
            None => Self::missing(),
        }
    }

    #[cold]
    #[inline(never)]
    fn missing() -> ! {
        panic!("oxipickle is used before its module was loaded")
    }

    /// Looks everything up; called by the module's initialisation.
    ///
    /// # Errors
    /// Whatever an import raises; RuntimeError if a table is not an exact dict.
    pub fn load(py: Python<'_>) -> PyResult<&State> {
        STATE.get_or_try_init(py, || Self::look_up(py))
    }

    fn look_up(py: Python<'_>) -> PyResult<State> {
        let copyreg = py.import("copyreg")?;
        let compat = py.import("_compat_pickle")?;
        let builtins = py.import("builtins")?;
        let io = py.import("_io")?;
        let file = |name| PyResult::Ok(io.getattr(name)?.unbind());
        let object = builtins.getattr("object")?;
        let own = |name: &str, base: &Bound<'_, PyAny>| exception(py, name, base);
        let pickle_error = own("PickleError", &builtins.getattr("Exception")?)?;
        let base = pickle_error.bind(py).clone().into_any();
        let pickling_error = own("PicklingError", &base)?;
        let unpickling_error = own("UnpicklingError", &base)?;
        Ok(State {
            names: Names::new(py),
            pickle_error,
            pickling_error,
            unpickling_error,
            dispatch_table: table(&copyreg, "dispatch_table")?,
            extension_registry: table(&copyreg, "_extension_registry")?,
            inverted_registry: table(&copyreg, "_inverted_registry")?,
            extension_cache: table(&copyreg, "_extension_cache")?,
            name_mapping: table(&compat, "NAME_MAPPING")?,
            import_mapping: table(&compat, "IMPORT_MAPPING")?,
            reverse_name_mapping: table(&compat, "REVERSE_NAME_MAPPING")?,
            reverse_import_mapping: table(&compat, "REVERSE_IMPORT_MAPPING")?,
            bytes_io: BytesIo::new(io.getattr("BytesIO")?)?,
            files: [file("FileIO")?, file("BufferedReader")?],
            codecs_encode: py.import("codecs")?.getattr("encode")?.unbind(),
            partial: py.import("functools")?.getattr("partial")?.unbind(),
            getattr: builtins.getattr("getattr")?.unbind(),
            import: builtins.getattr("__import__")?.unbind(),
            copyreg_newobj: copyreg.getattr("__newobj__")?.unbind(),
            object_reduce_ex: object.getattr("__reduce_ex__")?.unbind(),
            object_reduce: object.getattr("__reduce__")?.unbind(),
            object_getstate: object.getattr("__getstate__")?.unbind(),
            object_class: object.getattr("__dict__")?.get_item("__class__")?.unbind(),
            core_pickle_buffer: crate::object::buffer::core_type(py)?,
        })
    }
}

/// An exact dict out of a module, with C's error if it is something else.
fn table(module: &Bound<'_, PyModule>, name: &str) -> PyResult<Py<PyDict>> {
    let value = module.getattr(name)?;
    match value.cast_exact::<PyDict>() {
        Ok(dict) => Ok(dict.clone().unbind()),
        Err(_) => Err(PyRuntimeError::new_err(format!(
            "{}.{} should be a dict, not {}",
            module.name()?,
            name,
            value.get_type().name()?,
        ))),
    }
}

/// The interpreter's own exception class, so that `except pickle.PicklingError` written anywhere
/// works; a new one only where the interpreter has no `_pickle`.
fn exception(py: Python<'_>, name: &str, base: &Bound<'_, PyAny>) -> PyResult<Py<PyType>> {
    match py.import("_pickle") {
        Ok(module) => Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind()),
        Err(err) if err.is_instance_of::<pyo3::exceptions::PyImportError>(py) => {
            let attributes = PyDict::new(py);
            attributes.set_item("__module__", "_pickle")?;
            let made = py.get_type::<PyType>().call1((name, (base,), attributes))?;
            Ok(made.cast_into::<PyType>()?.unbind())
        }
        Err(err) => Err(err),
    }
}

//! What has to hold for a class to be made without a call: which classes, and what of Python's library is relied on.
//!
//! Part of `constructors.rs`, which keeps the verdicts. This file must not make instances.

use std::ffi::CStr;

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyString, PyType};

use super::classes::slot_offset;
use super::construct::{How, new_of};
use super::constructors::Verdict;
use super::fallible::attribute;
use super::recipes::{inherits, is_library, module_attribute, module_type, two};
use super::types::{Plan, lookup, version};
use super::{build, convert, fallible, ffi, known, modules};
use crate::state::State;

/// What a verdict depends on, beside the class.
#[derive(Default)]
pub(super) struct Facts {
    /// Functions and their code.
    codes: Vec<(Py<PyAny>, Py<PyAny>)>,
    /// Dicts of modules, names, and what is there.
    globals: Vec<Global>,
    /// Other classes, with their version tags.
    classes: Vec<(Py<PyType>, u32)>,
}

/// What the dict of a module has under a name.
type Global = (Py<PyDict>, Py<PyString>, Option<Py<PyAny>>);

impl Facts {
    /// Whether everything is as it was.
    #[inline]
    pub(super) fn hold(&self) -> bool {
        // SAFETY: functions, exact dicts, str and types, alive. A dict of names runs nothing that is not deliberate; an
        // error of a look-up means that nothing is known.
        unsafe {
            self.codes.iter().all(|(function, code)| {
                std::ptr::eq(pyffi::PyFunction_GetCode(function.as_ptr()), code.as_ptr())
            }) && self.globals.iter().all(|(dict, name, value)| {
                let found = pyffi::PyDict_GetItemWithError(dict.as_ptr(), name.as_ptr());
                if found.is_null() && !pyffi::PyErr_Occurred().is_null() {
                    pyffi::PyErr_Clear();
                    return false;
                }
                let value = value.as_ref().map_or(std::ptr::null_mut(), Py::as_ptr);
                std::ptr::eq(found, value)
            }) && self
                .classes
                .iter()
                .all(|(class, tag)| version(class.as_ptr().cast()) == *tag)
        }
    }

    /// A function of the standard library's own source.
    fn code(
        &mut self,
        found: Option<Bound<'_, PyAny>>,
        names: &[&str],
        module: &str,
    ) -> Option<()> {
        let function = underlying(&found?)?;
        if !names.iter().any(|name| is_library(&function, name, module)) {
            return None;
        }
        self.function(&function)
    }

    fn function(&mut self, function: &Bound<'_, PyFunction>) -> Option<()> {
        // SAFETY: a function; its code is borrowed, and counted at once.
        let code = unsafe {
            let code = pyffi::PyFunction_GetCode(function.as_ptr());
            Bound::from_borrowed_ptr_or_opt(function.py(), code)
        };
        let function = function.clone().into_any().unbind();
        self.codes.push((function, code?.unbind()));
        Some(())
    }

    /// What a module has under a name; it has to be what `is` says.
    fn global<'py>(
        &mut self,
        dict: &Bound<'py, PyDict>,
        name: &str,
        is: impl FnOnce(Option<&Bound<'py, PyAny>>) -> bool,
    ) -> Option<()> {
        let name = name_of(dict.py(), name)?;
        let value = convert::dict_get(dict, name.as_any());
        let value = value.map_err(|raised| drop(raised.take(dict.py()))).ok()?;
        if !is(value.as_ref()) {
            return None;
        }
        let value = value.map(Bound::unbind);
        self.globals
            .push((dict.clone().unbind(), name.unbind(), value));
        Some(())
    }

    /// Names that the module has to leave to the builtins.
    fn builtins(&mut self, dict: &Bound<'_, PyDict>, names: &[&str]) -> Option<()> {
        names
            .iter()
            .try_for_each(|name| self.global(dict, name, |found| found.is_none()))
    }
}

/// The function under a static method or a class method, or the function itself.
fn underlying<'py>(found: &Bound<'py, PyAny>) -> Option<Bound<'py, PyFunction>> {
    let ty = found.get_type();
    let is = |kind: *mut pyffi::PyTypeObject| std::ptr::eq(ty.as_type_ptr(), kind);
    let wrapped = is(&raw mut pyffi::PyStaticMethod_Type) || is(&raw mut pyffi::PyClassMethod_Type);
    let function = if wrapped {
        attribute(found, "__func__").ok()?
    } else {
        found.clone()
    };
    function.cast_into::<PyFunction>().ok()
}

fn find<'py>(ty: &Bound<'py, PyType>, name: &str) -> Option<Bound<'py, PyAny>> {
    lookup(ty, &name_of(ty.py(), name)?.unbind())
}

/// An interned name; None if there is no memory for it: then nothing is known of the class.
fn name_of<'py>(py: Python<'py>, name: &str) -> Option<Bound<'py, PyString>> {
    let name = fallible::interned(py, name);
    name.map_err(|raised| drop(raised.take(py))).ok()
}

fn dict_of<'py>(py: Python<'py>, module: &str) -> Option<Bound<'py, PyDict>> {
    let dict = module_attribute(py, module, "__dict__")?;
    dict.cast_into_exact().ok()
}

/// A module that is loaded.
fn module<'py>(py: Python<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
    let modules = modules::table(py).map_err(|raised| drop(raised.take(py)));
    modules.ok()?.get_item(name_of(py, name)?).ok()
}

/// Whether `ty` is what a module in Python has under a name.
fn is_from(ty: &Bound<'_, PyType>, module: &str, name: &str) -> bool {
    module_attribute(ty.py(), module, name).is_some_and(|found| found.is(ty))
}

/// Works out what is known of a class; None if that is nothing.
pub(super) fn judge(ty: &Bound<'_, PyType>, known: &mut Verdict) -> Option<()> {
    // SAFETY: type objects, alive; fields are read.
    let (flags, meta, base_meta) = unsafe {
        let meta = pyffi::Py_TYPE(ty.as_ptr());
        let lookup = |ty: *mut pyffi::PyTypeObject| (*ty).tp_getattro.map_or(0, |f| f as usize);
        let flags = ffi::type_flags(ty.as_type_ptr());
        (flags, lookup(meta), lookup(&raw mut pyffi::PyType_Type))
    };
    if meta != base_meta {
        return None;
    }
    let made_in_c =
        flags & pyffi::Py_TPFLAGS_HEAPTYPE == 0 || flags & pyffi::Py_TPFLAGS_IMMUTABLETYPE != 0;
    if made_in_c {
        known.how = in_c(ty);
        return Some(());
    }
    let facts = known.facts.insert(Box::default());
    if flags & pyffi::Py_TPFLAGS_TUPLE_SUBCLASS != 0 {
        known.how = Some(named_tuple(ty, facts)?);
    } else if is_from(ty, "collections", "Counter") {
        counter(ty, facts)?;
        known.how = Some(How::Counter);
    } else if is_from(ty, "fractions", "Fraction") {
        known.how = Some(fraction(ty, facts)?);
    } else if is_from(ty, "uuid", "UUID") {
        known.state = Some(uuid(ty, facts)?);
    } else if is_from(ty, PATHS, "PurePosixPath") || is_from(ty, PATHS, "PosixPath") {
        known.how = Some(path(ty, facts)?);
    }
    Some(())
}

/// The module in which paths are defined.
const PATHS: &str = if cfg!(all(Py_3_13, not(Py_3_14))) {
    "pathlib._local"
} else {
    "pathlib"
};

/// A class that is made in C: nobody can change it.
fn in_c(ty: &Bound<'_, PyType>) -> Option<How> {
    let py = ty.py();
    let is = |module, name| module_type(py, module, name).is_some_and(|found| found.is(ty));
    match super::names::tp_name(ty).as_str() {
        "collections.OrderedDict" if is("_collections", "OrderedDict") => Some(How::OrderedDict),
        "collections.defaultdict" if is("_collections", "defaultdict") => {
            let factory = lookup(ty, &State::get(py).names.default_factory)?;
            known::member_offset(ty, &factory).map(How::DefaultDict)
        }
        "collections.deque" if is("_collections", "deque") && known::deque_is_readable(py) => {
            Some(How::Deque)
        }
        "datetime.datetime" if is("_datetime", "datetime") => has_api().then_some(How::DateTime),
        "datetime.date" if is("_datetime", "date") => has_api().then_some(How::Date),
        "datetime.time" if is("_datetime", "time") => has_api().then_some(How::Time),
        "datetime.timedelta" if is("_datetime", "timedelta") => has_api().then_some(How::TimeDelta),
        _ => None,
    }
}

/// Whether the C API of `datetime` is there.
fn has_api() -> bool {
    // SAFETY: the thread is attached. A failure leaves an exception, which is dropped.
    unsafe {
        pyffi::PyDateTime_IMPORT();
        if pyffi::PyDateTimeAPI().is_null() {
            pyffi::PyErr_Clear();
            return false;
        }
    }
    true
}

/// The value of an expression without names; None where there is no memory. PyO3's `eval` panics there, and where the
/// interpreter itself fails without an exception.
fn value_of<'py>(py: Python<'py>, source: &CStr) -> Option<Bound<'py, PyAny>> {
    let names = fallible::dict(py).map_err(|raised| raised.take(py)).ok()?;
    // SAFETY: C strings and live objects; new references or NULL come back.
    let value = unsafe {
        let input = pyffi::Py_eval_input;
        let code = pyffi::Py_CompileString(source.as_ptr(), c"<string>".as_ptr(), input);
        let code = Bound::from_owned_ptr_or_opt(py, code);
        code.and_then(|code| {
            let value = pyffi::PyEval_EvalCode(code.as_ptr(), names.as_ptr(), names.as_ptr());
            Bound::from_owned_ptr_or_opt(py, value)
        })
    };
    if value.is_none() {
        drop(PyErr::take(py));
    }
    value
}

/// A class that `collections.namedtuple` made, or one under it that leaves `__new__` alone.
fn named_tuple(ty: &Bound<'_, PyType>, facts: &mut Facts) -> Option<How> {
    let py = ty.py();
    let tuple = &raw mut pyffi::PyTuple_Type;
    // SAFETY: type objects, alive; fields are read.
    unsafe {
        let raw = ty.as_type_ptr();
        let object = &raw mut pyffi::PyBaseObject_Type;
        if !build::is_python_new(new_of(raw))
            || (*raw).tp_itemsize != (*tuple).tp_itemsize
            || (*raw).tp_alloc.map(|f| f as usize) != (*object).tp_alloc.map(|f| f as usize)
            || ffi::type_flags(raw) & pyffi::Py_TPFLAGS_IS_ABSTRACT != 0
        {
            return None;
        }
        // `tuple.__new__` refuses classes whose nearest `__new__` in C is another one.
        let mut base = raw;
        while build::is_python_new(new_of(base)) {
            base = (*base).tp_base;
            if base.is_null() {
                return None;
            }
        }
        if new_of(base) != new_of(tuple) {
            return None;
        }
    }
    let function = underlying(&find(ty, "__new__")?)?;
    let code = attribute(&function, "__code__").ok()?;
    let names: Vec<String> = attribute(&code, "co_varnames").ok()?.extract().ok()?;
    let plain = |name: &String| {
        let mut letters = name.chars();
        letters
            .next()
            .is_some_and(|c| c.is_alphabetic() || c == '_')
            && letters.all(|c| c.is_alphanumeric() || c == '_')
    };
    let (first, fields) = names.split_first()?;
    if first != "_cls" || !fields.iter().all(plain) {
        return None;
    }
    // The interpreter says what such a function is made of.
    let list = fields.join(", ");
    let comma = if fields.len() == 1 { "," } else { "" };
    let source = format!("lambda _cls, {list}{comma}: _tuple_new(_cls, ({list}{comma}))");
    let source = std::ffi::CString::new(source).ok()?;
    let expected = value_of(py, &source)?;
    if !attribute(&expected, "__code__").ok()?.eq(&code).ok()? {
        return None;
    }
    facts.function(&function)?;
    let globals = attribute(&function, "__globals__").ok()?;
    let globals = globals.cast_into_exact::<PyDict>().ok()?;
    // SAFETY: a static type.
    let tuple = unsafe { Bound::from_borrowed_ptr(py, tuple.cast()) };
    let new = find(tuple.cast::<PyType>().ok()?, "__new__")?;
    facts.global(&globals, "_tuple_new", |found| {
        found.is_some_and(|found| found.is(&new))
    })?;
    Some(How::NamedTuple(fields.len()))
}

/// `Counter.__init__` with a dict: `update`, which is `dict.update` while there are no counts.
fn counter(ty: &Bound<'_, PyType>, facts: &mut Facts) -> Option<()> {
    let py = ty.py();
    let names = &State::get(py).names;
    let dict = &raw mut pyffi::PyDict_Type;
    // SAFETY: type objects, alive; fields are read.
    unsafe {
        let raw = ty.as_type_ptr();
        if (*raw).tp_base != dict || new_of(raw) != new_of(dict) {
            return None;
        }
    }
    let mro: Bound<'_, pyo3::types::PyTuple> = ty.mro();
    let truth = name_of(py, "__bool__")?.unbind();
    if mro.len() != 3 || lookup(ty, &truth).is_some() {
        return None;
    }
    let length = name_of(py, "__len__")?.unbind();
    if !inherits(ty, dict, &length) {
        return None;
    }
    facts.code(find(ty, "__init__"), &["Counter.__init__"], "collections")?;
    facts.code(
        lookup(ty, &names.update),
        &["Counter.update"],
        "collections",
    )?;
    let globals = dict_of(py, "collections")?;
    let abc = module(py, "_collections_abc")?;
    facts.global(&globals, "_collections_abc", |found| {
        found.is_some_and(|found| found.is(&abc))
    })?;
    let mapping = attribute(&abc, "Mapping").ok()?;
    if !py.get_type::<PyDict>().is_subclass(&mapping).ok()? {
        return None;
    }
    facts.global(&dict_of(py, "_collections_abc")?, "Mapping", |found| {
        found.is_some_and(|found| found.is(&mapping))
    })?;
    facts.builtins(&globals, &["isinstance", "super"])
}

/// `Fraction.__new__` with two ints.
fn fraction(ty: &Bound<'_, PyType>, facts: &mut Facts) -> Option<How> {
    let py = ty.py();
    let names = &State::get(py).names;
    let object = &raw mut pyffi::PyBaseObject_Type;
    // SAFETY: type objects, alive; fields are read.
    unsafe {
        let raw = ty.as_type_ptr();
        let base = (*raw).tp_base;
        if !build::is_python_new(new_of(raw))
            || base.is_null()
            || (*raw).tp_init.map(|f| f as usize) != (*object).tp_init.map(|f| f as usize)
            || ffi::type_flags(raw) & pyffi::Py_TPFLAGS_IS_ABSTRACT != 0
        {
            return None;
        }
        let base = Bound::from_borrowed_ptr(py, base.cast());
        if !inherits(base.cast::<PyType>().ok()?, object, &names.new) {
            return None;
        }
    }
    facts.code(lookup(ty, &names.new), &["Fraction.__new__"], "fractions")?;
    let globals = dict_of(py, "fractions")?;
    let math = module(py, "math")?;
    facts.global(&globals, "math", |found| {
        found.is_some_and(|found| found.is(&math))
    })?;
    facts.global(&globals, "Fraction", |found| {
        found.is_some_and(|found| found.is(ty))
    })?;
    facts.global(&dict_of(py, "math")?, "gcd", |found| {
        found.is_some_and(|found| found.is_instance_of::<PyCFunction>())
    })?;
    facts.builtins(&globals, &["super", "type", "int"])?;
    let plan = two(ty, &names.numerator, &names.denominator)?;
    match plan.slots[..] {
        [(_, numerator), (_, denominator)] if plainly_set(ty) => {
            Some(How::Fraction([numerator, denominator]))
        }
        _ => None,
    }
}

/// Whether setting a slot of an instance is nothing else.
fn plainly_set(ty: &Bound<'_, PyType>) -> bool {
    // SAFETY: type objects, alive; fields are read.
    unsafe {
        let object = &raw const pyffi::PyBaseObject_Type;
        let own = (*ty.as_type_ptr()).tp_setattro.map(|f| f as usize);
        own == (*object).tp_setattro.map(|f| f as usize)
    }
}

/// `UUID.__setstate__` with a dict of an int: the safety becomes `SafeUUID.unknown`.
fn uuid(ty: &Bound<'_, PyType>, facts: &mut Facts) -> Option<Plan> {
    let py = ty.py();
    let names = &State::get(py).names;
    // SAFETY: type objects, alive; fields are read.
    unsafe {
        let object = &raw const pyffi::PyBaseObject_Type;
        let own = (*ty.as_type_ptr()).tp_getattro.map(|f| f as usize);
        if own != (*object).tp_getattro.map(|f| f as usize) {
            return None;
        }
    }
    facts.code(lookup(ty, &names.setstate), &["UUID.__setstate__"], "uuid")?;
    let globals = dict_of(py, "uuid")?;
    let safety = module_attribute(py, "uuid", "SafeUUID")?;
    let unknown = attribute(&safety, "unknown").ok()?;
    facts.global(&globals, "SafeUUID", |found| {
        found.is_some_and(|found| found.is(&safety))
    })?;
    facts.builtins(&globals, &["object"])?;
    let safety = safety.cast_into::<PyType>().ok()?;
    if unknown.get_type().as_ptr() != safety.as_ptr() {
        return None;
    }
    let tag = version(safety.as_type_ptr());
    if tag == 0 {
        return None;
    }
    facts.classes.push((safety.unbind(), tag));
    let mut plan = two(ty, &names.int, &names.is_safe)?;
    plan.unknown = Some(unknown.unbind());
    Some(plan)
}

/// `PurePosixPath(*texts)`, `PosixPath(*texts)`.
fn path(ty: &Bound<'_, PyType>, facts: &mut Facts) -> Option<How> {
    let py = ty.py();
    let names = &State::get(py).names;
    let slot = |name: &str| {
        let member = find(ty, name)?;
        // SAFETY: a live object.
        unsafe { slot_offset(ty, member.as_ptr()) }
    };
    // SAFETY: a type object, alive; a field is read.
    let flags = unsafe { ffi::type_flags(ty.as_type_ptr()) };
    if !plainly_set(ty)
        || flags & pyffi::Py_TPFLAGS_IS_ABSTRACT != 0
        || !build::is_python_new(new_of(ty.as_type_ptr()))
    {
        return None;
    }
    let new = &["PurePath.__new__", "Path.__new__"];
    facts.code(lookup(ty, &names.new), new, PATHS)?;
    let globals = dict_of(py, PATHS)?;
    let own: Vec<_> = ["PurePath", "Path"]
        .into_iter()
        .map(|name| globals.get_item(name_of(py, name)?).ok())
        .collect::<Option<_>>()?;
    for (name, class) in ["PurePath", "Path"].into_iter().zip(&own) {
        facts.global(&globals, name, |found| {
            found.map(Bound::as_ptr) == class.as_ref().map(Bound::as_ptr)
        })?;
    }
    let os = module(py, "os")?;
    facts.global(&globals, "os", |found| {
        found.is_some_and(|found| found.is(&os))
    })?;
    facts.global(&dict_of(py, "os")?, "fspath", |found| {
        found.is_some_and(|found| found.is_instance_of::<PyCFunction>())
    })?;
    facts.builtins(&globals, &["isinstance", "object", "str", "super", "type"])?;
    #[cfg(not(Py_3_12))]
    {
        parse(ty, &globals, facts)?;
        let slots = [slot("_drv")?, slot("_root")?, slot("_parts")?];
        Some(How::Parts(slots))
    }
    #[cfg(Py_3_12)]
    {
        let init = find(ty, "__init__");
        let in_path = init
            .as_ref()
            .and_then(underlying)
            .is_some_and(|function| is_library(&function, "Path.__init__", PATHS));
        facts.code(init, &["PurePath.__init__", "Path.__init__"], PATHS)?;
        if in_path {
            // It goes on to the one of PurePath.
            let pure = own.into_iter().next()??.cast_into::<PyType>().ok()?;
            let tag = version(pure.as_type_ptr());
            facts.code(find(&pure, "__init__"), &["PurePath.__init__"], PATHS)?;
            if tag == 0 {
                return None;
            }
            facts.classes.push((pure.unbind(), tag));
        }
        Some(How::Path(slot("_raw_paths")?))
    }
}

/// How paths were parsed before 3.12.
#[cfg(not(Py_3_12))]
fn parse(ty: &Bound<'_, PyType>, globals: &Bound<'_, PyDict>, facts: &mut Facts) -> Option<()> {
    let py = ty.py();
    // SAFETY: type objects, alive; fields are read.
    unsafe {
        let object = &raw const pyffi::PyBaseObject_Type;
        let own = (*ty.as_type_ptr()).tp_init.map(|f| f as usize);
        if own != (*object).tp_init.map(|f| f as usize) {
            return None;
        }
    }
    for name in ["_from_parts", "_parse_args"] {
        let full = format!("PurePath.{name}");
        facts.code(find(ty, name), &[&full], PATHS)?;
    }
    let flavour = module_attribute(py, PATHS, "_posix_flavour")?;
    let own = find(ty, "_flavour")?;
    let class = flavour.get_type();
    if !own.is(&flavour) || !is_from(&class, PATHS, "_PosixFlavour") {
        return None;
    }
    let own = attribute(&flavour, "__dict__")
        .ok()?
        .cast_into_exact::<PyDict>()
        .ok()?;
    facts.code(
        find(&class, "parse_parts"),
        &["_Flavour.parse_parts"],
        PATHS,
    )?;
    facts.code(
        find(&class, "splitroot"),
        &["_PosixFlavour.splitroot"],
        PATHS,
    )?;
    facts.builtins(&own, &["parse_parts", "splitroot", "sep", "altsep"])?;
    facts
        .classes
        .push((class.clone().unbind(), version(class.as_type_ptr())));
    let sys = module(py, "sys")?;
    facts.global(globals, "sys", |found| {
        found.is_some_and(|found| found.is(&sys))
    })?;
    facts.global(&dict_of(py, "sys")?, "intern", |found| {
        found.is_some_and(|found| found.is_instance_of::<PyCFunction>())
    })?;
    facts.builtins(globals, &["reversed"])
}

//! How instances of a class are written: which of the known reducers it has, worked out once per class.
//!
//! A recipe stands for a reduce method whose result is known without calling it: `object`'s own, one of a type made
//! in C, or one of the untouched standard library in Python. Everything else, and whatever is not quite as
//! expected, has none: its instances go through their reduce methods. This file decides by looking at the class
//! only; `known.rs` reads instances, the pickler writes them.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyList, PyString, PyTuple, PyType};

use super::classes::slot_offset;
use super::fallible::attribute;
use super::instance::DictPlace;
use super::types::{Plan, lookup};
use super::{R, convert, fallible, ffi, known, modules};
use crate::state::{Names, State};

/// See the module. What C's pickler writes for each is in `pickler/known.rs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recipe {
    /// `object.__reduce_ex__`, attributes in a dict or none.
    Plain,
    /// The same, a subclass of list.
    List,
    /// The same, a subclass of dict.
    Dict,
    /// The same, attributes in slots: the plan says where.
    Slots(u32),
    /// The same, a `collections.namedtuple` or a class under one, without attributes.
    NamedTuple,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `collections.defaultdict`; the factory is at this offset.
    DefaultDict(u16),
    /// `collections.deque`.
    Deque,
    /// `collections.Counter`.
    Counter,
    /// `datetime.datetime`.
    DateTime,
    /// `datetime.date`.
    Date,
    /// `datetime.time`.
    Time,
    /// `datetime.timedelta`.
    TimeDelta,
    /// `datetime.timezone`.
    TimeZone,
    /// `decimal.Decimal`.
    Decimal,
    /// `BaseException.__reduce__`.
    Exception,
    /// `ast.AST.__reduce__`, as it is before 3.13; the dict is at this offset.
    Ast(u16),
    /// `ast.AST.__reduce__` since 3.13; the dict is at this offset, the plan has the names of the fields.
    Node(u16, u32),
    /// `uuid.UUID`: the plan has `int` and `is_safe`.
    Uuid(u32),
    /// `pathlib.PurePath`: the plan has the list of parts.
    Path(u32),
    /// `fractions.Fraction`: the plan has numerator and denominator.
    Fraction(u32),
}

impl Recipe {
    /// Whether it is written with NEWOBJ, not with REDUCE.
    pub fn is_newobj(self) -> bool {
        matches!(
            self,
            Recipe::Plain
                | Recipe::List
                | Recipe::Dict
                | Recipe::Slots(_)
                | Recipe::NamedTuple
                | Recipe::Uuid(_)
        )
    }

    /// Whether C calls the method `items` of the instance.
    pub fn asks_for_items(self) -> bool {
        matches!(
            self,
            Recipe::Dict | Recipe::OrderedDict | Recipe::DefaultDict(_)
        )
    }
}

/// A method in Python that `object.__reduce_ex__` would call, as long as the instance has no attribute of that name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direct {
    /// The class's `__reduce__`, which gives the reduce value.
    Reduce,
    /// The class's `__getstate__`, which gives the state of an object that is made with NEWOBJ and without arguments.
    State,
}

/// What was found.
pub(super) enum Verdict {
    /// Nothing may be kept: the class's slots are not known yet.
    NotYet,
    /// The recipe, if there is one; a plan of which it will get the number.
    Is(Option<Recipe>, Option<Plan>),
}

const NONE: Verdict = Verdict::Is(None, None);

fn just(recipe: Recipe) -> Verdict {
    Verdict::Is(Some(recipe), None)
}

/// Whether a look-up finds this.
fn is(found: &Option<Bound<'_, PyAny>>, own: &Py<PyAny>) -> bool {
    found.as_ref().is_some_and(|found| found.is(own))
}

/// Whether nothing about the class changes what `object.__reduce_ex__` looks up.
fn is_usual(ty: &Bound<'_, PyType>) -> bool {
    let state = State::get(ty.py());
    looks_up_plainly(ty)
        && is(&lookup(ty, &state.names.class), &state.object_class)
        // It asks the class, hence the metaclass, for `__reduce__`.
        && is(&lookup(&ty.get_type(), &state.names.reduce), &state.object_reduce)
}

/// Which method in Python stands for the reduce protocol of a class without a recipe.
pub(super) fn direct(ty: &Bound<'_, PyType>) -> Option<Direct> {
    let state = State::get(ty.py());
    let names = &state.names;
    let in_python =
        |name| lookup(ty, name).is_some_and(|found| found.is_exact_instance_of::<PyFunction>());
    if !is_usual(ty) || !is(&lookup(ty, &names.reduce_ex), &state.object_reduce_ex) {
        return None;
    }
    if !is(&lookup(ty, &names.reduce), &state.object_reduce) {
        return in_python(&names.reduce).then_some(Direct::Reduce);
    }
    let plain = lookup(ty, &names.getnewargs_ex).is_none()
        && lookup(ty, &names.getnewargs).is_none()
        && can_be_made(ty)
        && has_items(ty) == Some(Recipe::Plain);
    (plain && in_python(&names.getstate)).then_some(Direct::State)
}

/// Looks at a class.
pub(super) fn judge(ty: &Bound<'_, PyType>, place: DictPlace) -> Verdict {
    let state = State::get(ty.py());
    let names = &state.names;
    if !is_usual(ty) {
        return NONE;
    }
    let reduce_ex = lookup(ty, &names.reduce_ex);
    if !is(&reduce_ex, &state.object_reduce_ex) {
        return match reduce_ex
            .as_ref()
            .and_then(|f| method_of(ty, f, &names.reduce_ex))
        {
            _ if is_hidden(place) || cfg!(Py_GIL_DISABLED) => NONE,
            Some("datetime.datetime") => just(Recipe::DateTime),
            Some("datetime.time") => just(Recipe::Time),
            _ => NONE,
        };
    }
    let reduce = lookup(ty, &names.reduce);
    if is(&reduce, &state.object_reduce) {
        return over_object(ty, place);
    }
    let Some(reduce) = reduce else {
        return NONE;
    };
    if is_hidden(place) || cfg!(Py_GIL_DISABLED) {
        return NONE;
    }
    if let Ok(function) = reduce.cast::<PyFunction>() {
        return in_python(ty, function);
    }
    let plain_state = || is(&lookup(ty, &names.getstate), &state.object_getstate);
    match method_of(ty, &reduce, &names.reduce) {
        Some("datetime.date") => just(Recipe::Date),
        Some("datetime.timedelta") => just(Recipe::TimeDelta),
        Some("datetime.tzinfo")
            if module_type(ty.py(), "_datetime", "timezone").is_some_and(|own| own.is(ty))
                && known::zone_is_readable(ty.py()) =>
        {
            just(Recipe::TimeZone)
        }
        Some("decimal.Decimal") => just(Recipe::Decimal),
        Some("BaseException") => just(Recipe::Exception),
        Some("ast.AST") => match place {
            DictPlace::Offset(offset) if cfg!(not(Py_3_13)) => just(Recipe::Ast(offset as u16)),
            DictPlace::Offset(offset) => node(ty, offset as u16),
            _ => NONE,
        },
        Some("collections.OrderedDict")
            if plain_state()
                && inherits(ty, &raw mut known::PyODict_Type, &names.items)
                && known::order_is_readable(ty.py()) =>
        {
            without_slots(ty, Recipe::OrderedDict)
        }
        Some("collections.deque")
            if plain_state()
                && known::deque_is_readable(ty.py())
                && module_type(ty.py(), "_collections", "deque")
                    .is_some_and(|deque| same_iter(ty, deque.as_type_ptr())) =>
        {
            without_slots(ty, Recipe::Deque)
        }
        Some("collections.defaultdict")
            if inherits(ty, &raw mut pyffi::PyDict_Type, &names.items) =>
        {
            let factory = lookup(ty, &names.default_factory);
            match factory.and_then(|found| known::member_offset(ty, &found)) {
                Some(offset) => just(Recipe::DefaultDict(offset)),
                None => NONE,
            }
        }
        _ => NONE,
    }
}

/// Whether attributes cannot be got at, or only of an object of variable size, for which one recipe is ready.
fn is_hidden(place: DictPlace) -> bool {
    matches!(place, DictPlace::Unknown | DictPlace::End)
}

/// A class with `object`'s own reduce methods.
fn over_object(ty: &Bound<'_, PyType>, place: DictPlace) -> Verdict {
    let py = ty.py();
    let state = State::get(py);
    let names = &state.names;
    if lookup(ty, &names.getnewargs_ex).is_some() || !can_be_made(ty) {
        return NONE;
    }
    let getstate = lookup(ty, &names.getstate);
    let newargs = lookup(ty, &names.getnewargs);
    if !getstate
        .as_ref()
        .is_some_and(|f| f.is(&state.object_getstate))
    {
        return match getstate.as_ref().map(Bound::cast::<PyFunction>) {
            Some(Ok(function))
                if newargs.is_none()
                    && !is_hidden(place)
                    && has_items(ty) == Some(Recipe::Plain)
                    && is_library(function, "UUID.__getstate__", "uuid") =>
            {
                uuid(ty)
            }
            _ => NONE,
        };
    }
    let Some(slotnames) = own_slotnames(ty, names) else {
        return Verdict::NotYet;
    };
    if let Some(newargs) = newargs {
        let named = newargs.cast::<PyFunction>().is_ok_and(is_named_tuples);
        // SAFETY: static types, and a class that is alive; only fields are read.
        let tuple = unsafe {
            ffi::type_flags(ty.as_type_ptr()) & pyffi::Py_TPFLAGS_TUPLE_SUBCLASS != 0
                && same_iter(ty, &raw mut pyffi::PyTuple_Type)
        };
        return if named && tuple && place != DictPlace::Unknown && slotnames.is_empty() {
            just(Recipe::NamedTuple)
        } else {
            NONE
        };
    }
    if is_hidden(place) {
        return NONE;
    }
    match has_items(ty) {
        Some(Recipe::Plain) if slotnames.is_empty() && is_ordinary(ty, 0) => just(Recipe::Plain),
        Some(Recipe::Plain) if is_ordinary(ty, slotnames.len()) => slots(ty, &slotnames),
        Some(recipe @ (Recipe::List | Recipe::Dict)) if slotnames.is_empty() => just(recipe),
        _ => NONE,
    }
}

/// The kind of items that `object.__reduce_ex__` gives; none if they are got by user code.
fn has_items(ty: &Bound<'_, PyType>) -> Option<Recipe> {
    // SAFETY: a type object, alive; only fields are read.
    let flags = unsafe { ffi::type_flags(ty.as_type_ptr()) };
    if flags & pyffi::Py_TPFLAGS_LIST_SUBCLASS != 0 {
        same_iter(ty, &raw mut pyffi::PyList_Type).then_some(Recipe::List)
    } else if flags & pyffi::Py_TPFLAGS_DICT_SUBCLASS != 0 {
        let items = &State::get(ty.py()).names.items;
        inherits(ty, &raw mut pyffi::PyDict_Type, items).then_some(Recipe::Dict)
    } else {
        Some(Recipe::Plain)
    }
}

/// Slots found through member descriptors.
fn slots(ty: &Bound<'_, PyType>, slotnames: &Bound<'_, PyList>) -> Verdict {
    // One batch holds them.
    if slotnames.len() > 1000 || cfg!(Py_GIL_DISABLED) {
        return NONE;
    }
    let mut found = Vec::new();
    for name in slotnames {
        let Ok(name) = name.cast_into_exact::<PyString>() else {
            return NONE;
        };
        let member = lookup(ty, &name.clone().unbind());
        // SAFETY: None or a live object.
        let offset = member.and_then(|member| unsafe { slot_offset(ty, member.as_ptr()) });
        let Some(offset) = offset else {
            return NONE;
        };
        found.push((name.into_any().unbind(), offset));
    }
    let plan = Plan {
        slots: found,
        list: Some(slotnames.clone().unbind()),
        unknown: None,
    };
    Verdict::Is(Some(Recipe::Slots(0)), Some(plan))
}

/// A plan of two slots.
pub(super) fn two(
    ty: &Bound<'_, PyType>,
    first: &Py<PyString>,
    second: &Py<PyString>,
) -> Option<Plan> {
    let py = ty.py();
    let slot = |name: &Py<PyString>| {
        let member = lookup(ty, name)?;
        // SAFETY: a live object.
        let offset = unsafe { slot_offset(ty, member.as_ptr()) }?;
        Some((name.clone_ref(py).into_any(), offset))
    };
    Some(Plan {
        slots: vec![slot(first)?, slot(second)?],
        list: None,
        unknown: None,
    })
}

/// `UUID.__getstate__` gives `{'int': …}` while `is_safe` is `SafeUUID.unknown`.
fn uuid(ty: &Bound<'_, PyType>) -> Verdict {
    let py = ty.py();
    let names = &State::get(py).names;
    let unknown =
        module_attribute(py, "uuid", "SafeUUID").and_then(|ty| attribute(&ty, "unknown").ok());
    let (Some(mut plan), Some(unknown)) = (two(ty, &names.int, &names.is_safe), unknown) else {
        return NONE;
    };
    plan.unknown = Some(unknown.unbind());
    Verdict::Is(Some(Recipe::Uuid(0)), Some(plan))
}

/// Fields of a syntax tree's node that are asked for one by one.
const MOST_FIELDS: usize = 60;

/// A node of a syntax tree, whose reduce value begins with None for each of its first fields that is there.
fn node(ty: &Bound<'_, PyType>, offset: u16) -> Verdict {
    let fields = lookup(ty, &State::get(ty.py()).names.fields);
    let Some(Ok(fields)) = fields.map(|fields| fields.cast_into_exact::<PyTuple>()) else {
        return NONE;
    };
    if fields.len() > MOST_FIELDS {
        return NONE;
    }
    let mut slots = Vec::new();
    for name in &fields {
        let Ok(name) = name.cast_into_exact::<PyString>() else {
            return NONE;
        };
        slots.push((name.into_any().unbind(), usize::from(offset)));
    }
    let plan = Plan {
        slots,
        list: None,
        unknown: None,
    };
    Verdict::Is(Some(Recipe::Node(offset, 0)), Some(plan))
}

/// Reduce methods of the standard library in Python.
fn in_python(ty: &Bound<'_, PyType>, function: &Bound<'_, PyFunction>) -> Verdict {
    let names = &State::get(ty.py()).names;
    if is_library(function, "Counter.__reduce__", "collections") {
        // SAFETY: a type object, alive; only fields are read.
        let flags = unsafe { ffi::type_flags(ty.as_type_ptr()) };
        return if flags & pyffi::Py_TPFLAGS_DICT_SUBCLASS != 0
            && same_iter(ty, &raw mut pyffi::PyDict_Type)
        {
            just(Recipe::Counter)
        } else {
            NONE
        };
    }
    if is_library(function, "Fraction.__reduce__", "fractions") {
        return match two(ty, &names.numerator, &names.denominator) {
            Some(plan) => Verdict::Is(Some(Recipe::Fraction(0)), Some(plan)),
            None => NONE,
        };
    }
    // `tuple(self._parts)`, `tuple(self._raw_paths)`; 3.12 asks a property that computes.
    let (module, parts) = if cfg!(not(Py_3_12)) {
        ("pathlib", &names.parts)
    } else if cfg!(not(Py_3_13)) {
        return NONE;
    } else if cfg!(not(Py_3_14)) {
        ("pathlib._local", &names.raw_paths)
    } else {
        ("pathlib", &names.raw_paths)
    };
    if is_library(function, "PurePath.__reduce__", module) {
        return match two(ty, parts, parts) {
            Some(plan) => Verdict::Is(Some(Recipe::Path(0)), Some(plan)),
            None => NONE,
        };
    }
    NONE
}

/// Whether the function is what the module's own source says under this name.
pub(super) fn is_library(function: &Bound<'_, PyFunction>, qualname: &str, module: &str) -> bool {
    let py = function.py();
    let names = &State::get(py).names;
    let check = || -> PyResult<bool> {
        let code = function.getattr(names.code.bind(py))?;
        let Some(file) = module_attribute(py, module, "__file__") else {
            return Ok(false);
        };
        let Some(dict) = module_attribute(py, module, "__dict__") else {
            return Ok(false);
        };
        Ok(text_is(&attribute(&code, "co_qualname")?, qualname)
            && attribute(&code, "co_filename")?.eq(file)?
            && function.getattr(names.globals.bind(py))?.is(&dict))
    };
    check().unwrap_or(false)
}

/// Whether this is the `__getnewargs__` that `collections.namedtuple` gives its classes.
fn is_named_tuples(function: &Bound<'_, PyFunction>) -> bool {
    let py = function.py();
    let tuple = || -> PyResult<bool> {
        let closure = attribute(function, "__closure__")?;
        let cell = closure.get_item(0)?;
        Ok(closure.len()? == 1
            && attribute(&cell, "cell_contents")?.is(py.get_type::<pyo3::types::PyTuple>()))
    };
    is_library(
        function,
        "namedtuple.<locals>.__getnewargs__",
        "collections",
    ) && tuple().unwrap_or(false)
}

fn text_is(object: &Bound<'_, PyAny>, text: &str) -> bool {
    object
        .cast::<PyString>()
        .is_ok_and(|found| found.to_str().is_ok_and(|found| found == text))
}

/// An attribute of a module that is loaded.
pub(super) fn module_attribute<'py>(
    py: Python<'py>,
    module: &str,
    name: &str,
) -> Option<Bound<'py, PyAny>> {
    let find = || -> R<Option<Bound<'py, PyAny>>> {
        let modules = modules::table(py)?;
        let Ok(modules) = modules.cast_into_exact::<pyo3::types::PyDict>() else {
            return Ok(None);
        };
        convert::dict_get(&modules, fallible::text(py, module)?.as_any())
    };
    match find() {
        Ok(module) => attribute(&module?, name).ok(),
        Err(raised) => {
            drop(raised.take(py));
            None
        }
    }
}

/// A type of a module made in C: nobody can change it, and its layout is the interpreter's.
pub(super) fn module_type<'py>(
    py: Python<'py>,
    module: &str,
    name: &str,
) -> Option<Bound<'py, PyType>> {
    let ty = module_attribute(py, module, name)?
        .cast_into::<PyType>()
        .ok()?;
    // SAFETY: a type object, alive; only fields are read.
    let flags = unsafe { ffi::type_flags(ty.as_type_ptr()) };
    let made_in_c =
        flags & pyffi::Py_TPFLAGS_HEAPTYPE == 0 || flags & pyffi::Py_TPFLAGS_IMMUTABLETYPE != 0;
    made_in_c.then_some(ty)
}

/// The `tp_name` of the C type of the standard library, a base of `ty`, whose method `name` this is.
fn method_of(
    ty: &Bound<'_, PyType>,
    found: &Bound<'_, PyAny>,
    name: &Py<PyString>,
) -> Option<&'static str> {
    const TYPES: [(&str, &str, &str); 10] = [
        ("ast.AST", "_ast", "AST"),
        ("datetime.datetime", "_datetime", "datetime"),
        ("datetime.date", "_datetime", "date"),
        ("datetime.time", "_datetime", "time"),
        ("datetime.timedelta", "_datetime", "timedelta"),
        ("datetime.tzinfo", "_datetime", "tzinfo"),
        ("decimal.Decimal", "_decimal", "Decimal"),
        ("collections.deque", "_collections", "deque"),
        ("collections.defaultdict", "_collections", "defaultdict"),
        ("collections.OrderedDict", "_collections", "OrderedDict"),
    ];
    let py = found.py();
    // SAFETY: the type is checked before the fields are read; types outlive their descriptors.
    let owner = unsafe {
        if !std::ptr::eq(
            pyffi::Py_TYPE(found.as_ptr()),
            &raw const pyffi::PyMethodDescr_Type,
        ) {
            return None;
        }
        let descr = found.as_ptr().cast::<pyffi::PyMethodDescrObject>();
        Bound::from_borrowed_ptr(py, (*descr).d_common.d_type.cast())
    };
    let owner = owner.cast_into::<PyType>().ok()?;
    // A method can be put into any class; an instance has the layout of its bases only.
    // SAFETY: type objects, alive.
    if unsafe { pyffi::PyType_IsSubtype(ty.as_type_ptr(), owner.as_type_ptr()) } == 0 {
        return None;
    }
    // The type's own method of that name, not another one under it.
    if !lookup(&owner, name).is_some_and(|own| own.is(found)) {
        return None;
    }
    if owner.is(py.get_type::<pyo3::exceptions::PyBaseException>()) {
        return Some("BaseException");
    }
    let tp_name = super::names::tp_name(&owner);
    let (known, module, attribute) = TYPES.into_iter().find(|known| known.0 == tp_name)?;
    // A method descriptor whose class is its owner comes from a type made in C; `ast.AST` is not immutable before 3.13,
    // but a change of it changes its version.
    module_attribute(py, module, attribute)?
        .is(&owner)
        .then_some(known)
}

/// Whether `ty` finds under `name` what the static type `base` has.
pub(super) fn inherits(
    ty: &Bound<'_, PyType>,
    base: *mut pyffi::PyTypeObject,
    name: &Py<PyString>,
) -> bool {
    // SAFETY: type objects, alive; what is found is only compared.
    unsafe {
        let own = ffi::_PyType_Lookup(base, name.as_ptr());
        !own.is_null() && ffi::_PyType_Lookup(ty.as_type_ptr(), name.as_ptr()) == own
    }
}

/// Whether `iter(instance)` is what it is for the type `base`.
fn same_iter(ty: &Bound<'_, PyType>, base: *mut pyffi::PyTypeObject) -> bool {
    // SAFETY: type objects, alive; only fields are read.
    unsafe {
        (*ty.as_type_ptr()).tp_iter.map(|f| f as usize) == (*base).tp_iter.map(|f| f as usize)
    }
}

/// The recipe, unless the class has slots of its own.
fn without_slots(ty: &Bound<'_, PyType>, recipe: Recipe) -> Verdict {
    // SAFETY: a type object, alive; only fields are read.
    let flags = unsafe { ffi::type_flags(ty.as_type_ptr()) };
    if flags & pyffi::Py_TPFLAGS_HEAPTYPE == 0 || flags & pyffi::Py_TPFLAGS_IMMUTABLETYPE != 0 {
        // The type made in C itself: it has none, and cannot get any.
        return just(recipe);
    }
    match own_slotnames(ty, &State::get(ty.py()).names) {
        None => Verdict::NotYet,
        Some(slotnames) if slotnames.is_empty() => just(recipe),
        Some(_) => NONE,
    }
}

/// The list in the class's own `__slotnames__`, where `copyreg` keeps it.
fn own_slotnames<'py>(ty: &Bound<'py, PyType>, names: &Names) -> Option<Bound<'py, PyList>> {
    let py = ty.py();
    let dict = ty.getattr(names.dict.bind(py)).ok()?;
    let own = dict.get_item(names.slotnames.bind(py)).ok()?;
    own.cast_into_exact::<PyList>().ok()
}

/// Whether attributes of instances, and of the class, are looked up in the ordinary way.
fn looks_up_plainly(ty: &Bound<'_, PyType>) -> bool {
    let (base, base_meta) = (
        &raw mut pyffi::PyBaseObject_Type,
        &raw mut pyffi::PyType_Type,
    );
    // SAFETY: type objects, alive; only fields are read.
    unsafe {
        let raw = ty.as_type_ptr();
        let meta = pyffi::Py_TYPE(raw.cast());
        (*raw).tp_getattro.map(|f| f as usize) == (*base).tp_getattro.map(|f| f as usize)
            && (*meta).tp_getattro.map(|f| f as usize)
                == (*base_meta).tp_getattro.map(|f| f as usize)
            && ffi::type_flags(raw) & pyffi::Py_TPFLAGS_TYPE_SUBCLASS == 0
    }
}

/// Whether the class is made by a class statement and can be called.
fn can_be_made(ty: &Bound<'_, PyType>) -> bool {
    // SAFETY: a type object, alive; only fields are read.
    unsafe {
        let raw = ty.as_type_ptr();
        ffi::type_flags(raw) & pyffi::Py_TPFLAGS_HEAPTYPE != 0 && (*raw).tp_new.is_some()
    }
}

/// Whether the layout of `ty` is that of a class made by a class statement over `object`, with so many slots.
fn is_ordinary(ty: &Bound<'_, PyType>, slots: usize) -> bool {
    let base = &raw mut pyffi::PyBaseObject_Type;
    // SAFETY: type objects, alive; only fields are read.
    unsafe {
        let raw = ty.as_type_ptr();
        let word = size_of::<usize>() as isize;
        let mut expected = (*base).tp_basicsize + slots as isize * word;
        if (*raw).tp_dictoffset > 0 {
            expected += word;
        }
        if (*raw).tp_weaklistoffset > 0 {
            expected += word;
        }
        (*raw).tp_itemsize == 0 && (*raw).tp_basicsize <= expected
    }
}

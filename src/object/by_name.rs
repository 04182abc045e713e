//! Classes that were saved by name before, found again in a frozen window.
//!
//! C's pickler asks a class for its names, imports the module and looks the class up in it, each time. All of
//! that is a few look-ups in dicts whose keys are str, which run no Python, as long as nothing is special
//! about class, module or import system. What was seen of a class when it was saved in the ordinary way
//! (`pickler/global.rs`) is kept by its address and version tag; [`Classes::find`] looks whether it still
//! holds, and whether the module has the class under its name. This file must not write anything and
//! must not hold on to classes or modules.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::entries::GENERAL;
use super::instance::Keys;
use super::modules::{self, Package, Standing};
use super::per_class::{OfClass, PerClass};
use super::{Obj, Window, ffi, types};
use crate::levers::{self, Lever};
use crate::state::State;

/// Whether the self-test has passed.
static USABLE: AtomicBool = AtomicBool::new(false);

/// What was seen of a class. The strings may outlive it.
struct Seen {
    address: usize,
    version: u32,
    /// Address and version of the metaclass.
    meta: (usize, u32),
    /// `__module__`, and where the module was.
    module: (Py<PyString>, Standing),
    /// The same of the package that the module is in.
    package: Option<Package>,
    name: SeenName,
}

enum SeenName {
    /// The address of the class's own.
    Kept(usize),
    /// A str like the new one that a static class makes for each who asks.
    Made(Py<PyString>),
}

/// The names of a class, exact and short str.
pub struct ByName<'w> {
    /// `__module__`.
    pub module: Obj<'w>,
    /// `__qualname__`, without dots.
    pub name: Obj<'w>,
    /// Whether the class makes a new str for each who asks for its name: this one only has the characters.
    pub made: bool,
}

impl OfClass for Seen {
    #[inline(always)]
    fn address(&self) -> usize {
        self.address
    }
}

/// The classes saved last.
#[derive(Default)]
pub struct Classes {
    seen: PerClass<Seen>,
}

/// Characters of the longest name that is kept: module and class together have to fit into the margin of a frame.
const LONGEST: usize = 200;

impl Classes {
    /// Keeps what is to be known of a class that was just found as `name` in `module`.
    pub fn learn(
        &mut self,
        class: &Bound<'_, PyType>,
        module: &Bound<'_, PyAny>,
        name: &Bound<'_, PyString>,
    ) {
        if USABLE.load(Ordering::Relaxed)
            && let Some(seen) = look_at(class, module, name)
        {
            self.seen.put(seen);
        }
    }

    /// The names of `object`, if it is a class that was found by them before and would be found again.
    #[inline]
    pub fn find<'w>(&self, window: Window<'w>, object: Obj<'w>) -> Option<ByName<'w>> {
        let seen = self.seen.get(object.as_ptr().addr())?;
        let meta = object.ty().as_ptr();
        // SAFETY: a type is what has the flag, and a class of the version seen, which is never given twice, is the class
        // seen: names and modules of it are alive and unchanging for 'w.
        unsafe {
            if !is_type(meta)
                || seen.version != types::version(object.as_ptr().cast())
                || seen.meta != (meta.addr(), types::version(meta))
                || !std::ptr::eq(meta, &raw const pyffi::PyType_Type)
                    && types::is_registered(window, object.ty()) != Some(false)
            {
                return None;
            }
            let state = State::get(window.py());
            let import = str_item(pyffi::PyEval_GetBuiltins(), state.names.import.as_ptr())?;
            if import != state.import.as_ptr()
                || pyffi::PyDict_Size(state.extension_registry.as_ptr()) != 0
            {
                return None;
            }
            let modules = pyffi::PyImport_GetModuleDict();
            if let Some((package, standing)) = &seen.package {
                dict_of(modules, package, standing)?;
            }
            let (module, standing) = &seen.module;
            let dict = dict_of(modules, module, standing)?;
            let (name, made) = match &seen.name {
                SeenName::Kept(address) => {
                    let name = own_name(object.as_ptr().cast());
                    if name.addr() != *address {
                        return None;
                    }
                    (name, false)
                }
                SeenName::Made(name) => (name.as_ptr(), true),
            };
            (str_item(dict, name)? == object.as_ptr()).then(|| ByName {
                module: Obj::from_ptr(module.as_ptr()),
                name: Obj::from_ptr(name),
                made,
            })
        }
    }
}

/// What there is to keep of a class; None if something about it is special.
fn look_at(
    class: &Bound<'_, PyType>,
    module: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
) -> Option<Seen> {
    let py = class.py();
    let names = &State::get(py).names;
    let plain = |text: &Bound<'_, PyString>| {
        text.to_str()
            .is_ok_and(|text| text.is_ascii() && text.len() <= LONGEST)
    };
    let module = module.cast_exact::<PyString>().ok()?;
    let name = name.cast_exact::<PyString>().ok()?;
    if !plain(module) || !plain(name) || modules::is_dotted(name) || modules::is_special(name) {
        return None;
    }
    let meta = class.get_type();
    let answers_like_type = |asked: &Py<PyString>| {
        let (own, found) = (
            types::lookup(&py.get_type::<PyType>(), asked),
            types::lookup(&meta, asked),
        );
        own.is_some_and(|own| found.is_some_and(|found| found.is(&own)))
    };
    // SAFETY: type objects, alive; only fields are read.
    let (version, own, heap) = unsafe {
        let getattro = |ty: *mut pyffi::PyTypeObject| (*ty).tp_getattro.map(|f| f as usize);
        if getattro(meta.as_type_ptr()) != getattro(&raw mut pyffi::PyType_Type)
            || !answers_like_type(&names.qualname)
            || !answers_like_type(&names.module)
        {
            return None;
        }
        let ty = class.as_type_ptr();
        let heap = ffi::type_flags(ty) & pyffi::Py_TPFLAGS_HEAPTYPE != 0;
        let own = if heap {
            own_name(ty)
        } else {
            std::ptr::null_mut()
        };
        (types::version(ty), own, heap)
    };
    let meta_version = types::version(meta.as_type_ptr());
    if version == 0 || meta_version == 0 || heap != std::ptr::eq(own, name.as_ptr()) {
        return None;
    }
    let (standing, package) = modules::standing(module)?;
    Some(Seen {
        address: class.as_ptr().addr(),
        version,
        meta: (meta.as_ptr().addr(), meta_version),
        module: (module.clone().unbind(), standing),
        package,
        name: if heap {
            SeenName::Kept(own.addr())
        } else {
            SeenName::Made(name.clone().unbind())
        },
    })
}

/// Whether instances of `meta` are types.
///
/// # Safety
/// A type object, alive.
#[inline(always)]
unsafe fn is_type(meta: *mut pyffi::PyTypeObject) -> bool {
    // SAFETY: promised by the caller.
    unsafe { ffi::type_flags(meta) & pyffi::Py_TPFLAGS_TYPE_SUBCLASS != 0 }
}

/// `__qualname__` as a class statement's class keeps it.
///
/// # Safety
/// The class is alive and has `Py_TPFLAGS_HEAPTYPE`.
unsafe fn own_name(ty: *mut pyffi::PyTypeObject) -> *mut pyffi::PyObject {
    // SAFETY: promised by the caller.
    unsafe { (*ty.cast::<pyffi::PyHeapTypeObject>()).ht_qualname }
}

/// The dict of a module that is where it was.
///
/// # Safety
/// In a frozen window; `modules` is NULL or an object, alive.
#[inline(always)]
unsafe fn dict_of(
    modules: *mut pyffi::PyObject,
    name: &Py<PyString>,
    standing: &Standing,
) -> Option<*mut pyffi::PyObject> {
    // SAFETY: promised by the caller; what is found is borrowed, and asked for its dict if it is a module.
    unsafe {
        let module = str_item(modules, name.as_ptr())?;
        if module.addr() != standing.module || pyffi::PyModule_CheckExact(module) == 0 {
            return None;
        }
        let dict = pyffi::PyModule_GetDict(module);
        let spec = str_item(
            dict,
            State::get(Python::assume_attached()).names.spec.as_ptr(),
        )?;
        (spec.addr() == standing.spec).then_some(dict)
    }
}

/// An item of an exact dict whose keys are all str; None if there is none or the dict is another. Runs no Python:
/// str are compared by their characters.
///
/// # Safety
/// In a frozen window; `dict` is NULL or an object, `name` an exact str, both alive.
#[inline(always)]
pub(super) unsafe fn str_item(
    dict: *mut pyffi::PyObject,
    name: *mut pyffi::PyObject,
) -> Option<*mut pyffi::PyObject> {
    // SAFETY: promised by the caller.
    unsafe {
        if dict.is_null() || pyffi::PyDict_CheckExact(dict) == 0 || !has_str_keys(dict) {
            return None;
        }
        let value = pyffi::PyDict_GetItemWithError(dict, name);
        (!value.is_null()).then_some(value)
    }
}

/// Whether the dict is for certain one that has had no keys but exact str.
///
/// # Safety
/// An exact dict, alive.
#[inline(always)]
pub(super) unsafe fn has_str_keys(dict: *mut pyffi::PyObject) -> bool {
    // SAFETY: promised by the caller; every dict has a table of keys.
    USABLE.load(Ordering::Relaxed)
        && unsafe {
            (*(*dict.cast::<pyffi::PyDictObject>()).ma_keys.cast::<Keys>()).kind != GENERAL
        }
}

/// Compares what is read of dicts with what is known of them, and allows their use if that agrees.
///
/// # Errors
/// MemoryError.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    if cfg!(Py_GIL_DISABLED) {
        return Ok(());
    }
    USABLE.store(true, Ordering::Relaxed);
    let dict = PyDict::new(py);
    // SAFETY: an exact dict.
    let has_str_keys = |dict: &Bound<'_, PyDict>| unsafe { has_str_keys(dict.as_ptr()) };
    let mut fine = true;
    for i in 0..20 {
        dict.set_item(format!("key {i}"), i)?;
        fine &= has_str_keys(&dict);
    }
    for key in [
        1_i32.into_pyobject(py)?.into_any(),
        PyDict::new(py).get_type().into_any(),
    ] {
        let other = dict.copy()?;
        other.set_item(&key, 1)?;
        fine &= !has_str_keys(&other);
        let only = PyDict::new(py);
        only.set_item(key, 1)?;
        fine &= !has_str_keys(&only);
    }
    USABLE.store(fine && levers::on(Lever::Names), Ordering::Relaxed);
    Ok(())
}

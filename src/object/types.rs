//! What the pickler has to know of a class, worked out once per class and kept.
//!
//! A class whose reduce protocol is one that is known (`recipes.rs`), and that has nothing registered or overridden,
//! needs no reduce value: its instances are written directly. The verdict is kept by the class's address
//! and its version tag, which CPython changes with every change of the class or of a base, and never gives
//! twice. This file must not write anything; whether `copyreg.dispatch_table` has an entry is
//! asked by the pickler, since user code may change it at any time.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyType};

use super::instance::{DictPlace, dict_place};
use super::kind::{Dict, Type};
use super::per_class::{OfClass, PerClass};
use super::recipes::{Direct, Recipe, Verdict, direct, judge};
use super::{Window, ffi};
use crate::levers::{self, Lever};
use crate::state::State;

/// Where the parts of instances of a class are that are not in a dict.
pub struct Plan {
    /// Names, and offsets into the instance.
    pub slots: Vec<(Py<PyAny>, usize)>,
    /// The list of names that `copyreg` keeps, if they are out of it.
    pub list: Option<Py<PyList>>,
    /// `SafeUUID.unknown`, for a UUID.
    pub unknown: Option<Py<PyAny>>,
}

/// What is known of a class.
#[derive(Clone, Debug)]
pub struct TypeInfo {
    address: usize,
    version: u32,
    /// How instances are written; None: through their reduce methods.
    pub recipe: Option<Recipe>,
    /// The reduce method in Python that is called at once, if there is no recipe.
    pub direct: Option<Direct>,
    /// Where their attributes are.
    pub place: DictPlace,
    /// The pickler's clock when `copyreg.dispatch_table` was last asked.
    pub checked_at: u64,
}

impl OfClass for TypeInfo {
    #[inline(always)]
    fn address(&self) -> usize {
        self.address
    }
}

/// The classes met last.
#[derive(Default)]
pub struct TypeCache {
    infos: PerClass<TypeInfo>,
    /// Named by their index in recipes, with address and version of the class; they stay where they are
    /// while a dump lasts.
    plans: Vec<(usize, u32, Plan)>,
}

/// Plans beyond which they are forgotten with the next dump.
const MANY_PLANS: usize = 256;

impl TypeCache {
    /// What is known of `ty` as it is now.
    #[inline(always)]
    pub fn get(&self, ty: Type<'_>) -> Option<&TypeInfo> {
        let info = self.infos.get(ty.as_ptr().addr())?;
        (info.version == version(ty.as_ptr())).then_some(info)
    }

    /// What is known of a class, for code that may run Python: looks at it if need be.
    ///
    /// None as in [`look_at`].
    pub fn known(&mut self, ty: &Bound<'_, PyType>, now: u64) -> Option<&TypeInfo> {
        let address = ty.as_ptr().addr();
        let known = self.infos.get(address);
        if known.is_none_or(|info| info.version != version(ty.as_type_ptr())) {
            let (mut info, plan) = look_at(ty, now)?;
            if let Some(plan) = plan {
                self.number(&mut info, plan);
            }
            self.infos.put(info);
        }
        let info = self.infos.get_mut(address)?;
        info.checked_at = now;
        Some(info)
    }

    /// What is known of a class, if it has a recipe and nothing is registered for it.
    #[inline(always)]
    pub fn unregistered<'w>(
        &mut self,
        window: Window<'w>,
        ty: Type<'w>,
        now: u64,
    ) -> Option<(Recipe, DictPlace)> {
        let info = self.get(ty)?;
        let (recipe, place) = (info.recipe?, info.place);
        if info.checked_at != now {
            self.check(window, ty, now)?;
        }
        Some((recipe, place))
    }

    /// The same without keeping anything, also in the middle of another object.
    pub fn unregistered_now<'w>(
        &self,
        window: Window<'w>,
        ty: Type<'w>,
    ) -> Option<(Recipe, DictPlace)> {
        let info = self.get(ty)?;
        let found = (info.recipe?, info.place);
        (is_registered(window, ty) == Some(false)).then_some(found)
    }

    #[inline(never)]
    fn check<'w>(&mut self, window: Window<'w>, ty: Type<'w>, now: u64) -> Option<()> {
        if is_registered(window, ty)? {
            return None;
        }
        self.infos.get_mut(ty.as_ptr().addr())?.checked_at = now;
        Some(())
    }

    /// A plan by its number.
    #[inline(always)]
    pub fn plan(&self, number: u32) -> Option<&Plan> {
        self.plans.get(number as usize).map(|entry| &entry.2)
    }

    /// Forgets everything if there is much of it; not while a dump lasts.
    pub fn trim(&mut self) {
        if self.plans.len() > MANY_PLANS {
            *self = TypeCache::default();
        }
    }

    /// Gives the plan a number, or finds the one that the class has already.
    fn number(&mut self, info: &mut TypeInfo, plan: Plan) {
        let known = |entry: &(usize, u32, Plan)| entry.0 == info.address && entry.1 == info.version;
        let number = self.plans.iter().position(known).unwrap_or_else(|| {
            self.plans.push((info.address, info.version, plan));
            self.plans.len() - 1
        });
        if let Some(
            Recipe::Slots(n)
            | Recipe::Uuid(n)
            | Recipe::Fraction(n)
            | Recipe::Path(n)
            | Recipe::Node(_, n),
        ) = &mut info.recipe
        {
            *n = number as u32;
        }
    }
}

/// The version tag, 0 if the class has none at the moment.
#[inline(always)]
pub(super) fn version(ty: *mut pyffi::PyTypeObject) -> u32 {
    // SAFETY: a type object, alive.
    unsafe {
        // Since 3.13 the flag is not set, and a class without a tag has 0.
        #[cfg(not(Py_3_13))]
        if ffi::type_flags(ty) & pyffi::Py_TPFLAGS_VALID_VERSION_TAG == 0 {
            return 0;
        }
        (*ty).tp_version_tag
    }
}

/// Entries of `copyreg.dispatch_table` that are looked at one by one.
const FEW: usize = 16;

/// Whether `copyreg.dispatch_table` has an entry for `ty`; None if that cannot be said without running Python, or is
/// better said by a look-up.
pub(super) fn is_registered(window: Window<'_>, ty: Type<'_>) -> Option<bool> {
    let table = Dict(window.obj(State::get(window.py()).dispatch_table.bind(window.py())));
    // SAFETY: the keys are alive, and so are their types.
    unsafe {
        if table.len() > FEW || !has_identity(pyffi::Py_TYPE(ty.as_ptr().cast())) {
            return None;
        }
        let (entries, mut position) = (table.entries(), 0);
        while let Some((key, _)) = entries.next(&mut position) {
            if std::ptr::eq(key.as_ptr().cast(), ty.as_ptr()) {
                return Some(true);
            }
            if !has_identity(key.ty().as_ptr()) {
                return None;
            }
        }
    }
    Some(false)
}

/// Whether instances of `meta` are hashed and compared by identity, as classes are.
///
/// # Safety
/// A type object, alive.
#[inline(always)]
unsafe fn has_identity(meta: *mut pyffi::PyTypeObject) -> bool {
    let class = &raw mut pyffi::PyType_Type;
    // SAFETY: promised by the caller, and a static type; only fields are read.
    unsafe {
        std::ptr::eq(meta, class)
            || (*meta).tp_hash.map(|f| f as usize) == (*class).tp_hash.map(|f| f as usize)
                && (*meta).tp_richcompare.map(|f| f as usize)
                    == (*class).tp_richcompare.map(|f| f as usize)
    }
}

/// Whether a call of the method `name` on an instance of `ty` finds it for certain: the class has it, and looks
/// attributes up the ordinary way. Such a call need not make a bound method.
pub fn finds_methods(ty: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> bool {
    // SAFETY: type objects, alive; a borrowed reference or NULL without an exception comes back.
    unsafe {
        let generic = pyffi::PyBaseObject_Type.tp_getattro;
        let own = (*ty.as_type_ptr()).tp_getattro;
        own.map(|f| f as usize) == generic.map(|f| f as usize)
            && !ffi::_PyType_Lookup(ty.as_type_ptr(), name.as_ptr()).is_null()
    }
}

/// Looks `name` up along the MRO of `ty`, without binding it.
pub fn lookup<'py>(ty: &Bound<'py, PyType>, name: &Py<PyString>) -> Option<Bound<'py, PyAny>> {
    let py = ty.py();
    // SAFETY: both are alive; a borrowed reference or NULL without an exception comes back, and is
    // counted at once.
    unsafe {
        let found = ffi::_PyType_Lookup(ty.as_type_ptr(), name.as_ptr());
        Bound::from_borrowed_ptr_or_opt(py, found)
    }
}

/// Works out what there is to know of `ty`. May run Python code (of a hostile metaclass).
///
/// None if the verdict must not be kept: the class has no version tag, or its slots are not known
/// yet (`copyreg._slotnames` finds them when the first instance goes through `__reduce_ex__`).
fn look_at(ty: &Bound<'_, PyType>, now: u64) -> Option<(TypeInfo, Option<Plan>)> {
    // A look-up gives the class a version tag, if it can have one.
    lookup(ty, &State::get(ty.py()).names.reduce_ex);
    let version = version(ty.as_type_ptr());
    if version == 0 {
        return None;
    }
    let place = dict_place(ty);
    let Verdict::Is(recipe, plan) = judge(ty, place) else {
        return None;
    };
    let recipe = recipe.filter(|_| levers::on(Lever::Recipes));
    let plan = plan.filter(|_| recipe.is_some());
    let info = TypeInfo {
        address: ty.as_ptr().addr(),
        version,
        recipe,
        direct: if recipe.is_none() && levers::on(Lever::Reducers) {
            direct(ty)
        } else {
            None
        },
        place,
        checked_at: now,
    };
    Some((info, plan))
}

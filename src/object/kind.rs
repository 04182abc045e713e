//! The exact type of an object, as a typed view of it.
//!
//! Subclasses are [`Kind::Other`]. The order of the comparisons is the order of frequency in real data.
//! This file must not decide what is done with a kind.

use pyo3::ffi as pyffi;
use std::marker::PhantomData;

use super::Obj;

macro_rules! views {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $name<'w>(pub(super) Obj<'w>);

        impl<'w> $name<'w> {
            /// The object itself.
            #[inline(always)]
            pub fn obj(self) -> Obj<'w> {
                self.0
            }
        }
    )*};
}

views! {
    /// An exact `str`.
    Str,
    /// An exact `int`.
    Int,
    /// An exact `float`.
    Float,
    /// An exact `bytes`.
    Bytes,
    /// An exact `bytearray`.
    ByteArray,
    /// A `list`, exact unless its maker says otherwise.
    List,
    /// A `tuple`, exact unless its maker says otherwise.
    Tuple,
    /// A `dict`, exact unless its maker says otherwise.
    Dict,
    /// An exact `set` or `frozenset`.
    Set,
}

/// See the module.
#[allow(missing_docs)]
#[derive(Clone, Copy)]
pub enum Kind<'w> {
    Str(Str<'w>),
    Int(Int<'w>),
    Float(Float<'w>),
    Bool(bool),
    None,
    Dict(Dict<'w>),
    List(List<'w>),
    Tuple(Tuple<'w>),
    Bytes(Bytes<'w>),
    Set(Set<'w>),
    FrozenSet(Set<'w>),
    ByteArray(ByteArray<'w>),
    Other,
}

/// The type of an object: an address to compare.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Type<'w>(pub(super) *mut pyffi::PyTypeObject, PhantomData<Obj<'w>>);

impl<'w> Type<'w> {
    /// The type as an object.
    #[inline(always)]
    pub fn obj(self) -> Obj<'w> {
        // SAFETY: a type lives as long as its instances.
        unsafe { Obj::from_ptr(self.0.cast()) }
    }

    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut pyffi::PyTypeObject {
        self.0
    }
}

impl<'w> Obj<'w> {
    /// The type of the object.
    #[inline(always)]
    pub fn ty(self) -> Type<'w> {
        // SAFETY: the object is alive.
        Type(unsafe { pyffi::Py_TYPE(self.as_ptr()) }, PhantomData)
    }

    /// Whether nothing but the one who led here refers to the object.
    #[inline(always)]
    pub fn is_sole(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { pyffi::Py_REFCNT(self.as_ptr()) == 1 }
    }

    /// Whether there are so many references to the object.
    #[inline(always)]
    pub fn has_references(self, count: isize) -> bool {
        // SAFETY: the object is alive.
        unsafe { pyffi::Py_REFCNT(self.as_ptr()) == count }
    }

    /// The object as a dict, exact or not.
    #[inline(always)]
    pub fn as_dict(self) -> Option<Dict<'w>> {
        // SAFETY: the object is alive.
        (unsafe { pyffi::PyDict_Check(self.as_ptr()) } != 0).then_some(Dict(self))
    }

    /// The object as a list, exact or not.
    #[inline(always)]
    pub fn as_list(self) -> Option<List<'w>> {
        // SAFETY: the object is alive.
        (unsafe { pyffi::PyList_Check(self.as_ptr()) } != 0).then_some(List(self))
    }

    /// The object as a tuple, exact or not.
    #[inline(always)]
    pub fn as_tuple(self) -> Option<Tuple<'w>> {
        // SAFETY: the object is alive.
        (unsafe { pyffi::PyTuple_Check(self.as_ptr()) } != 0).then_some(Tuple(self))
    }

    /// Whether the object is exactly an int or a float.
    #[inline(always)]
    pub fn is_number(self) -> bool {
        let ty = self.ty().0;
        std::ptr::eq(ty, &raw const pyffi::PyLong_Type)
            || std::ptr::eq(ty, &raw const pyffi::PyFloat_Type)
    }

    /// The object as an int, if it is exactly one.
    #[inline(always)]
    pub fn as_exact_int(self) -> Option<Int<'w>> {
        std::ptr::eq(self.ty().0, &raw const pyffi::PyLong_Type).then_some(Int(self))
    }

    /// The object as a float, if it is exactly one.
    #[inline(always)]
    pub fn as_exact_float(self) -> Option<Float<'w>> {
        std::ptr::eq(self.ty().0, &raw const pyffi::PyFloat_Type).then_some(Float(self))
    }

    /// The kind of the object.
    #[inline(always)]
    pub fn kind(self) -> Kind<'w> {
        let ty = self.ty().0;
        macro_rules! is {
            ($type:ident) => {
                std::ptr::eq(ty, &raw const pyffi::$type)
            };
        }
        if is!(PyUnicode_Type) {
            Kind::Str(Str(self))
        } else if is!(PyLong_Type) {
            Kind::Int(Int(self))
        } else if is!(PyFloat_Type) {
            Kind::Float(Float(self))
        } else if is!(PyDict_Type) {
            Kind::Dict(Dict(self))
        } else if is!(PyList_Type) {
            Kind::List(List(self))
        } else if is!(PyTuple_Type) {
            Kind::Tuple(Tuple(self))
        } else if is!(PyBool_Type) {
            // SAFETY: Py_True is always there.
            Kind::Bool(std::ptr::eq(self.as_ptr(), unsafe { pyffi::Py_True() }))
        } else if is!(PyBytes_Type) {
            Kind::Bytes(Bytes(self))
        } else if std::ptr::eq(
            self.as_ptr(),
            // SAFETY: Py_None is always there.
            unsafe { pyffi::Py_None() },
        ) {
            Kind::None
        } else if is!(PySet_Type) {
            Kind::Set(Set(self))
        } else if is!(PyFrozenSet_Type) {
            Kind::FrozenSet(Set(self))
        } else if is!(PyByteArray_Type) {
            Kind::ByteArray(ByteArray(self))
        } else {
            Kind::Other
        }
    }
}

//! NumPy's arrays, read in a frozen window once NumPy has shown how it reduces one like them.
//!
//! `ndarray.__reduce_ex__(5)` gives `(_frombuffer, (PickleBuffer(array), dtype, shape, 'C'))` for contiguous arrays, after
//! two imports and some ten objects. Within one dump that is asked once for each dtype: [`Forms::learn`] looks at what
//! came back, part by part, and at whether the memory of the array has the layout that all extension modules are
//! compiled against (`PyArrayObject_fields` of NumPy's public headers, the same since NumPy 1.7). If everything
//! agrees, [`Forms::find`] reads later arrays of that dtype, in C order, by itself.
//!
//! What it goes by cannot change in between: the class and the dtype are built-in and immutable, and what NumPy looks up
//! for each array is looked up once in each window. This file must not write anything.

use pyo3::ffi as pyffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use smallvec::SmallVec;

use super::buffer::{Contents, pickle_buffer};
use super::by_name::str_item;
use super::world::window;
use super::{Obj, R, Window, attr, fallible, ffi, make, types};
use crate::format::buf::Run;
use crate::levers::{self, Lever};
use crate::state::State;

/// The fields that all versions of NumPy have.
#[repr(C)]
struct ArrayObject {
    base: pyffi::PyObject,
    data: *const u8,
    nd: std::ffi::c_int,
    dimensions: *const isize,
    strides: *const isize,
    owner: *mut pyffi::PyObject,
    dtype: *mut pyffi::PyObject,
    flags: std::ffi::c_int,
    weakrefs: *mut pyffi::PyObject,
}

const C_CONTIGUOUS: std::ffi::c_int = 0x1;
const WRITEABLE: std::ffi::c_int = 0x400;
/// These, and those that say nothing about what is written: F_CONTIGUOUS, OWNDATA, ALIGNED.
const USUAL: std::ffi::c_int = C_CONTIGUOUS | WRITEABLE | 0x2 | 0x4 | 0x100;

/// More dimensions than any array has.
const MANY: usize = 1 << 10;

/// How arrays of one dtype are reduced. Each of these objects is the same for all of them.
struct Form {
    class: usize,
    function: Py<PyAny>,
    /// Module and name that NumPy finds the function by.
    place: [Py<PyString>; 2],
    /// What `pickle.PickleBuffer` is.
    wrapper: Py<PyAny>,
    dtype: Py<PyAny>,
    order: Py<PyAny>,
    /// Bytes of an item.
    size: usize,
    /// The window for which NumPy's look-ups were done.
    checked_at: u64,
}

/// What NumPy has shown in this dump.
#[derive(Default)]
pub struct Forms(SmallVec<[Form; 2]>);

/// Dtypes that are remembered.
const MOST: usize = 8;

/// An array and what its reduce value would refer to.
pub struct Array<'w> {
    /// `numpy._core.numeric._frombuffer`, or wherever this NumPy has it.
    pub function: Obj<'w>,
    /// Its dtype.
    pub dtype: Obj<'w>,
    /// The text `'C'`.
    pub order: Obj<'w>,
    /// Its shape.
    pub shape: &'w [isize],
    /// Bytes of data.
    pub len: usize,
    /// Whether the data may not be written to.
    pub readonly: bool,
    data: *const u8,
}

impl Array<'_> {
    /// Copies as much of the data as there is room for.
    pub fn copy_to(&self, out: &mut Run<'_>) {
        // SAFETY: the array has `len` bytes at `data`, which others may write to but not move in this window; `out` is
        // memory that nobody else knows.
        unsafe { out.copy_from(self.data, self.len) };
    }
}

impl Forms {
    /// Whether nothing is known.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets everything.
    #[inline]
    pub fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0.clear();
        }
    }

    /// Looks at the reduce value that `object` has given at protocol 5. Runs nothing but NumPy's own getters.
    #[inline]
    pub fn learn(&mut self, object: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        if is_array_class(object) && !cfg!(Py_GIL_DISABLED) && levers::on(Lever::Arrays) {
            self.look_at(object, value);
        }
    }

    #[inline(never)]
    fn look_at(&mut self, object: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        let room = self.0.len() < MOST && self.0.try_reserve(1).is_ok();
        if room && let Some(form) = form(object, value) {
            self.0.push(form);
        }
    }

    /// What `object` is, if it is an array of a dtype that is known, and would be reduced like the one before.
    ///
    /// `now` is the number of the window.
    #[inline]
    pub fn find<'w>(&mut self, window: Window<'w>, object: Obj<'w>, now: u64) -> Option<Array<'w>> {
        let class = object.ty().as_ptr().addr();
        if !self.0.iter().any(|form| form.class == class) {
            return None;
        }
        // SAFETY: an instance of exactly the class whose layout was looked at, alive and unchanging for 'w.
        let fields = unsafe { &*object.as_ptr().cast::<ArrayObject>() };
        let same_dtype = |form: &&mut Form| std::ptr::eq(form.dtype.as_ptr(), fields.dtype);
        let form = self.0.iter_mut().find(same_dtype)?;
        if fields.flags & C_CONTIGUOUS == 0 || fields.flags & !USUAL != 0 {
            return None;
        }
        if now == NEVER || form.checked_at != now {
            if !holds(window, object, form) {
                return None;
            }
            form.checked_at = now;
        }
        let shape = shape(fields)?;
        // SAFETY: all of this is kept by the form for as long as the dump lasts, and a window is shorter.
        let kept = |object: &Py<PyAny>| unsafe { Obj::from_ptr(object.as_ptr()) };
        Some(Array {
            function: kept(&form.function),
            dtype: kept(&form.dtype),
            order: kept(&form.order),
            shape,
            len: bytes(shape, form.size)?,
            readonly: fields.flags & WRITEABLE == 0,
            data: fields.data,
        })
    }
}

/// No window has this number: what was looked up before does not count.
const NEVER: u64 = u64::MAX;

impl Forms {
    /// The reduce value of an array of a dtype that is known, made as NumPy makes it but for its imports; None if
    /// NumPy has to be asked. In a thawed world.
    ///
    /// C's time to ours for a thousand small arrays with a hook, without and with this: 0.97, 2.4.
    ///
    /// # Errors
    /// MemoryError, or what a PickleBuffer raises.
    pub fn reduce<'py>(&mut self, object: &Bound<'py, PyAny>) -> R<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        let found = window(py, |window| {
            let array = self.find(window, window.obj(object), NEVER)?;
            let shape: SmallVec<[isize; FEW]> =
                SmallVec::from_slice(array.shape.get(..FEW).unwrap_or(array.shape));
            (shape.len() == array.shape.len()).then_some(shape)
        });
        let Some(shape) = found else {
            return Ok(None);
        };
        let Some(form) = self.of(object) else {
            return Ok(None);
        };
        let mut sizes: SmallVec<[Bound<'py, PyAny>; FEW]> = SmallVec::new();
        for count in shape {
            sizes.push(make::size(py, count as usize)?);
        }
        let wrapped = attr::call1(form.wrapper.bind(py), object)?;
        let kept = |object: &Py<PyAny>| object.bind(py).clone();
        let (function, dtype, order) = (kept(&form.function), kept(&form.dtype), kept(&form.order));
        let shape = fallible::tuple(py, sizes)?.into_any();
        let args = fallible::tuple(py, [wrapped, dtype, shape, order])?;
        Ok(Some(
            fallible::tuple(py, [function, args.into_any()])?.into_any(),
        ))
    }

    /// The form of an object that [`Forms::find`] has just found to be an array.
    fn of(&self, object: &Bound<'_, PyAny>) -> Option<&Form> {
        // SAFETY: an instance of the class whose layout was looked at.
        let dtype = unsafe { (*object.as_ptr().cast::<ArrayObject>()).dtype };
        let same = |form: &&Form| std::ptr::eq(form.dtype.as_ptr(), dtype);
        self.0.iter().find(same)
    }
}

/// Dimensions of which arrays have no more, most often.
const FEW: usize = 8;

/// Whether the class of `object` is that of NumPy's arrays, by its name: a static class, which nobody can change.
#[inline]
fn is_array_class(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object and its type, whose name is a C string.
    unsafe {
        let ty = pyffi::Py_TYPE(object.as_ptr());
        ffi::type_flags(ty) & pyffi::Py_TPFLAGS_HEAPTYPE == 0
            && std::ffi::CStr::from_ptr((*ty).tp_name) == c"numpy.ndarray"
    }
}

/// The dimensions.
fn shape(fields: &ArrayObject) -> Option<&[isize]> {
    match usize::try_from(fields.nd) {
        Ok(0) => Some(&[]),
        Ok(count) if count < MANY && !fields.dimensions.is_null() => {
            // SAFETY: an array has as many dimensions as it says.
            Some(unsafe { std::slice::from_raw_parts(fields.dimensions, count) })
        }
        _ => None,
    }
}

/// Bytes of data of an array of this shape.
fn bytes(shape: &[isize], size: usize) -> Option<usize> {
    let multiply = |product: usize, &next: &isize| product.checked_mul(usize::try_from(next).ok()?);
    shape.iter().try_fold(size, multiply)
}

/// Whether NumPy would still find what it found, and nothing is registered for the class.
#[inline(never)]
fn holds<'w>(window: Window<'w>, object: Obj<'w>, form: &Form) -> bool {
    let names = &State::get(window.py()).names;
    let [module, name] = &form.place;
    types::is_registered(window, object.ty()) == Some(false)
        && global(window, module, name) == Some(form.function.as_ptr())
        && global(window, &names.pickle, &names.pickle_buffer) == Some(form.wrapper.as_ptr())
}

/// What a loaded module has under a name, borrowed, if an import would give the module as it is.
fn global(
    window: Window<'_>,
    module: &Py<PyString>,
    name: &Py<PyString>,
) -> Option<*mut pyffi::PyObject> {
    let state = State::get(window.py());
    // SAFETY: in a frozen window, with live exact str; what is found is borrowed.
    unsafe {
        let import = str_item(pyffi::PyEval_GetBuiltins(), state.names.import.as_ptr())?;
        if import != state.import.as_ptr() {
            return None;
        }
        let module = str_item(pyffi::PyImport_GetModuleDict(), module.as_ptr())?;
        if pyffi::PyModule_CheckExact(module) == 0 {
            return None;
        }
        str_item(pyffi::PyModule_GetDict(module), name.as_ptr())
    }
}

/// The form of which `value` is an example, if all of it is as the module says.
fn form(object: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Option<Form> {
    let py = object.py();
    let names = &State::get(py).names;
    let ([function, args], 2) = (two(value)?, value.len().ok()?) else {
        return None;
    };
    let args = args.cast_exact::<PyTuple>().ok()?;
    let [wrapped, dtype, dimensions, order] = args.as_slice() else {
        return None;
    };
    let text = |object: &Bound<'_, PyAny>, name| {
        let found = attr::get_optional(object, name).ok().flatten()?;
        Some(found.cast_into_exact::<PyString>().ok()?.unbind())
    };
    // The only reference is that of the tuple: made for this array.
    // SAFETY: a live object.
    let is_new = |object: &Bound<'_, PyAny>| unsafe { pyffi::Py_REFCNT(object.as_ptr()) == 1 };
    let is_builtin = attr::get_optional(dtype, names.isbuiltin.bind(py)).ok()??;
    // One of the texts that the interpreter has once.
    let is_order = fallible::text(py, "C").is_ok_and(|text| order.is(&text));
    if !(is_new(args) && is_new(wrapped) && (is_new(dimensions) || dimensions.len().ok()? == 0))
        || !is_order
        || is_builtin.extract::<i64>().ok()? != 1
    {
        return None;
    }
    let size = layout(object, wrapped, dtype, dimensions)?;
    let form = Form {
        class: object.get_type_ptr().addr(),
        function: function.clone().unbind(),
        place: [
            text(function, names.module.bind(py))?,
            text(function, names.name.bind(py))?,
        ],
        wrapper: wrapped.get_type().into_any().unbind(),
        dtype: dtype.clone().unbind(),
        order: order.clone().unbind(),
        size,
        checked_at: 0,
    };
    window(py, |window| holds(window, window.obj(object), &form)).then_some(form)
}

fn two<'a, 'py>(value: &'a Bound<'py, PyAny>) -> Option<[&'a Bound<'py, PyAny>; 2]> {
    match value.cast_exact::<PyTuple>().ok()?.as_slice() {
        [first, second] => Some([first, second]),
        _ => None,
    }
}

/// Compares the fields of an array with what its buffer says; gives the size of an item in bytes.
fn layout(
    object: &Bound<'_, PyAny>,
    wrapped: &Bound<'_, PyAny>,
    dtype: &Bound<'_, PyAny>,
    dimensions: &Bound<'_, PyAny>,
) -> Option<usize> {
    if attr::basic_size(object) < size_of::<ArrayObject>() {
        return None;
    }
    let Ok(Contents::Held(export)) = pickle_buffer(wrapped)?.hold() else {
        return None;
    };
    let view = export.view();
    let facts = export.facts();
    // SAFETY: an object of that many bytes at least.
    let fields = unsafe { &*object.as_ptr().cast::<ArrayObject>() };
    let nd = usize::try_from(view.ndim).ok()?;
    if !std::ptr::eq(view.obj, object.as_ptr())
        || !std::ptr::eq(view.buf.cast_const().cast(), fields.data)
        || !std::ptr::eq(fields.dtype, dtype.as_ptr())
        || fields.nd != view.ndim
        || fields.flags & C_CONTIGUOUS == 0
        || fields.flags & !USUAL != 0
        || (fields.flags & WRITEABLE == 0) != facts.readonly
        || nd > 0 && view.shape.is_null()
    {
        return None;
    }
    let size = usize::try_from(view.itemsize).ok()?;
    let shape = shape(fields)?;
    let given = dimensions.cast_exact::<PyTuple>().ok()?.as_slice();
    let as_viewed = |(i, &count): (usize, &isize)| {
        // SAFETY: a view has a length for each of its dimensions.
        let viewed = unsafe { *view.shape.add(i) };
        viewed == count && given[i].extract().is_ok_and(|given: isize| given == count)
    };
    let agrees = size > 0
        && given.len() == nd
        && shape.iter().enumerate().all(as_viewed)
        && bytes(shape, size) == Some(facts.len);
    agrees.then_some(size)
}

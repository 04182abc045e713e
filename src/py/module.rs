//! The module `oxipickle._pickle`: the ten names that `pickle.py` imports, and one for `activation.py`.

use pyo3::exceptions::{PyImportError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::functions;
use super::pickler::Pickler;
use super::pickler_memo::PicklerMemoProxy;
use super::unpickler::Unpickler;
use super::unpickler_memo::UnpicklerMemoProxy;
use crate::object::buffer::{self, PickleBuffer};
use crate::object::{
    build, by_name, classes, entries, filling, instance, interpreter, known, templates, text,
    two_way,
};
use crate::state::State;

/// Optimized implementation of the pickle module.
// The frozen windows of the pickler rest on the GIL: a free-threaded interpreter switches it on.
#[pymodule(gil_used = true)]
#[pyo3(name = "_pickle")]
fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    if !interpreter::is_main(py) {
        return Err(PyImportError::new_err(
            "oxipickle does not support subinterpreters",
        ));
    }
    if !interpreter::has_gil(py)? {
        return Err(PyImportError::new_err(
            "oxipickle needs the GIL, which -X gil=0 or PYTHON_GIL=0 keeps off",
        ));
    }
    #[cfg(feature = "levers")]
    crate::levers::read().map_err(PyImportError::new_err)?;
    instance::self_test(py)?;
    entries::self_test(py)?;
    by_name::self_test(py)?;
    let state = State::load(py)?;
    classes::self_test(py)?;
    templates::self_test(py)?;
    build::self_test(py)?;
    known::self_test(py);
    text::self_test(py)?;
    module.add("PickleError", &state.pickle_error)?;
    module.add("PicklingError", &state.pickling_error)?;
    module.add("UnpicklingError", &state.unpickling_error)?;
    super::pickler::prepare(py)?;
    super::unpickler::prepare(py)?;
    // PyO3 makes classes when they are first used, and panics where there is no memory for one.
    py.get_type::<PicklerMemoProxy>();
    py.get_type::<UnpicklerMemoProxy>();
    buffer::make_classes(py);
    filling::make_classes(py);
    module.add_class::<Pickler>()?;
    module.add_class::<Unpickler>()?;
    module.add_class::<PickleBuffer>()?;
    functions::register(module)?;
    module.add_function(wrap_pyfunction!(serve_also, module)?)?;
    // PyO3 lists the names; `_pickle` has no `__all__`.
    module.delattr("__all__")
}

/// Lets the methods of `ours`, one of our classes, serve objects of C's class `theirs` as well; with
/// None of no other class again.
#[pyfunction]
#[pyo3(name = "_serve_also")]
fn serve_also(ours: &Bound<'_, PyType>, theirs: Option<&Bound<'_, PyType>>) -> PyResult<()> {
    let py = ours.py();
    if !ours.is(py.get_type::<Pickler>()) && !ours.is(py.get_type::<Unpickler>()) {
        return Err(PyTypeError::new_err("a class of oxipickle is needed"));
    }
    two_way::serve(ours, theirs)
}

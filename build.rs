//! Gives the crate the interpreter's version flags (`Py_3_12`, `Py_GIL_DISABLED`, ...).

fn main() {
    #[cfg(feature = "python")]
    pyo3_build_config::use_pyo3_cfgs();
}

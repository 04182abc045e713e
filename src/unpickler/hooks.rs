//! What a load takes from its owner: options, and the hooks that a subclass may override.
//!
//! The unpickler sees only the [`Hooks`] trait; the classes of `py/` implement it. This file must
//! not look hooks up.

use std::ffi::CString;

use pyo3::prelude::*;

use super::globals;
use crate::object::R;

/// How Python 2 strings become str.
#[derive(Clone)]
pub struct Decoding {
    /// The codec, or `bytes` for none.
    pub encoding: CString,
    /// The codec's error handler.
    pub errors: CString,
}

impl Decoding {
    /// Whether Python 2 strings stay bytes.
    pub fn is_bytes(&self) -> bool {
        *self.encoding == *c"bytes"
    }
}

impl Default for Decoding {
    fn default() -> Self {
        Decoding {
            encoding: c"ASCII".into(),
            errors: c"strict".into(),
        }
    }
}

/// What a load is told.
pub struct Options<'py> {
    /// Whether names of Python 2 are translated in streams below protocol 3.
    pub fix_imports: bool,
    /// For STRING, BINSTRING and SHORT_BINSTRING; strict ASCII if there is none.
    pub decoding: Option<Box<Decoding>>,
    /// The out-of-band buffers: an iterable, and an iterator once [`Options::start`] has run.
    pub buffers: Option<Bound<'py, PyAny>>,
}

impl Options<'_> {
    /// Takes the iterator of the buffers.
    ///
    /// # Errors
    /// TypeError if they are not iterable; what `__iter__` raises.
    #[inline]
    pub fn start(&mut self) -> R<()> {
        if let Some(buffers) = &self.buffers {
            self.buffers = Some(buffers.try_iter()?.into_any());
        }
        Ok(())
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            fix_imports: true,
            decoding: None,
            buffers: None,
        }
    }
}

/// What an Unpickler may do in its own way.
pub trait Hooks<'py> {
    /// The global `name` of `module`, as the stream names them; `proto` is what PROTO said last.
    ///
    /// # Errors
    /// What importing, looking up or an overriding method raises.
    fn find_class(
        &self,
        module: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
        proto: u8,
    ) -> R<Bound<'py, PyAny>>;

    /// The callable for persistent ids, if there is one.
    ///
    /// # Errors
    /// What looking it up raises.
    fn persistent_load(&self, py: Python<'py>) -> R<Option<Bound<'py, PyAny>>>;

    /// PROTO has been read.
    fn protocol(&self, proto: u8);
}

/// The hooks of `load` and `loads`: the defaults.
pub struct Defaults {
    /// Whether names of Python 2 are translated in streams below protocol 3.
    pub fix_imports: bool,
}

impl<'py> Hooks<'py> for Defaults {
    #[inline]
    fn find_class(
        &self,
        module: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
        proto: u8,
    ) -> R<Bound<'py, PyAny>> {
        globals::find_class(module, name, proto, self.fix_imports)
    }

    fn persistent_load(&self, _py: Python<'py>) -> R<Option<Bound<'py, PyAny>>> {
        Ok(None)
    }

    fn protocol(&self, _proto: u8) {}
}

//! What can go wrong in a frozen window, where no exception may be made.
//!
//! The engine thaws and raises. Texts are C's.

use pyo3::prelude::*;

use crate::compat::messages;
use crate::errors;
use crate::format::buf::NoMemory;
use crate::object::Raised;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Memory ran out.
    NoMemory,
    /// A memo index (assigned by the user) has no opcode.
    IndexTooLarge(&'static str),
    /// A bytes or str payload needs protocol 4.
    PayloadTooLarge(&'static str),
    /// An int of 2 GiB or more.
    IntTooLarge,
    /// A container changed its size while it was walked.
    Resized(&'static str),
    /// A dict got new keys in place of old ones while it was walked (protocol 0).
    KeysChanged,
    /// Too many tasks.
    TooDeep,
    /// Fast mode met a container inside itself.
    FastCycle {
        /// Where it is.
        address: usize,
        /// The name of its type.
        kind: &'static str,
    },
}

/// What a frozen function returns.
pub type F<T> = Result<T, Fault>;

impl From<NoMemory> for Fault {
    #[cold]
    fn from(_: NoMemory) -> Self {
        Fault::NoMemory
    }
}

impl Fault {
    /// Raises the exception, in a thawed world.
    #[cold]
    pub fn raise(self, py: Python<'_>) -> Raised {
        match self {
            Fault::NoMemory => errors::no_memory(py),
            Fault::IndexTooLarge(opcode) => {
                errors::pickling(py, &format!("memo id too large for {opcode}"))
            }
            Fault::PayloadTooLarge(kind) => errors::overflow_error(
                py,
                &format!(
                    "serializing a {kind} larger than 4 GiB requires pickle protocol 4 or higher"
                ),
            ),
            Fault::IntTooLarge => errors::overflow_error(py, "int too large to pickle"),
            Fault::Resized(what) => {
                errors::runtime_error(py, &format!("{what} changed size during iteration"))
            }
            Fault::KeysChanged => {
                errors::runtime_error(py, "dictionary keys changed during iteration")
            }
            Fault::TooDeep => errors::recursion_error(py, messages::TOO_DEEP),
            Fault::FastCycle { address, kind } => errors::value_error(
                py,
                &format!(
                    "fast mode: can't pickle cyclic objects including object type {kind} at {address:#x}"
                ),
            ),
        }
    }
}

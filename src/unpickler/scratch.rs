//! What is kept from one load to the next: memory, and what is known of classes.
//!
//! A small message would otherwise spend its time in `malloc`. One set is kept; a load that runs inside
//! another makes its own. Large memory is not kept.

use pyo3::prelude::*;

use super::Machine;
use super::memo::Memo;
use crate::errors;
use crate::object::R;
use crate::object::boxed::boxed;
use crate::object::cell::Shared;

/// Entries of a vector that is kept.
const KEPT: usize = 16 * 1024;

/// See the module.
#[derive(Default)]
pub struct Scratch {
    /// Everything in it is empty, but for what it knows of classes.
    pub machine: Machine,
    /// The memo of `load` and `loads`: empty.
    pub memo: Shared<Memo>,
}

static SCRATCH: Shared<Option<Box<Scratch>>> = Shared::new(None);

impl Scratch {
    /// What is kept, or new.
    ///
    /// # Errors
    /// MemoryError.
    #[inline]
    pub fn take(py: Python<'_>) -> R<Box<Self>> {
        match SCRATCH.with(py, Option::take) {
            Some(kept) => Ok(kept),
            None => boxed(Scratch::default()).map_err(|_| errors::no_memory(py)),
        }
    }

    /// Keeps it for the next load.
    #[inline]
    pub fn give_back(mut self: Box<Self>, py: Python<'_>) {
        if self.machine.capacity().max(self.memo.get_mut().capacity()) > KEPT {
            self.machine.shrink();
            self.memo = Shared::default();
        }
        // A load inside this one may have put its own there.
        let other = SCRATCH.with(py, |kept| kept.replace(self));
        drop(other);
    }
}

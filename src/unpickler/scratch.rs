//! Memory that is kept from one load to the next.
//!
//! A small message would otherwise spend its time in `malloc`. One set is kept; a load that runs inside
//! another makes its own. Large memory is not kept.

use std::mem;

use pyo3::prelude::*;

use super::memo::Memo;
use crate::object::kept::Kept;
use crate::object::make::{self, Items};

/// Entries of a vector that is kept.
const KEPT: usize = 16 * 1024;

/// See the module. All vectors are empty.
#[derive(Default)]
pub struct Scratch {
    items: Vec<Py<PyAny>>,
    marks: Vec<usize>,
    piece: Vec<u8>,
    memo: Vec<Option<Py<PyAny>>>,
}

static KEPT_SCRATCH: Kept<Scratch> = Kept::new();

impl Scratch {
    /// The kept memory, and a memo in it.
    #[inline]
    pub fn take() -> (Box<Self>, Memo) {
        let mut scratch = KEPT_SCRATCH.take().unwrap_or_default();
        let memo = Memo::reuse(mem::take(&mut scratch.memo));
        (scratch, memo)
    }

    /// The vectors for a load: values, marks, bytes. They come back with [`Scratch::refill`].
    #[inline]
    pub fn lend<'py>(&mut self) -> (Items<'py>, Vec<usize>, Vec<u8>) {
        (
            make::reused(mem::take(&mut self.items)),
            mem::take(&mut self.marks),
            mem::take(&mut self.piece),
        )
    }

    /// The vectors of a load; values left in `items` are dropped.
    #[inline]
    pub fn refill(&mut self, items: Items<'_>, marks: Vec<usize>, piece: Vec<u8>) {
        self.items = make::kept(items);
        self.marks = marks;
        self.piece = piece;
    }

    /// Drops what is in the memo and keeps the memory for the next load.
    #[inline]
    pub fn give_back(mut self: Box<Self>, py: Python<'_>, memo: Memo) {
        let (mut dense, sparse) = memo.into_parts();
        // Dropping may run Python code, which may load: the memory is not yet given back.
        while let Some(entry) = dense.pop() {
            drop(entry.map(|object| object.into_bound(py)));
        }
        drop(sparse);
        self.memo = dense;
        let large = self.items.capacity().max(self.memo.capacity()) > KEPT
            || self.marks.capacity() > KEPT
            || self.piece.capacity() > KEPT;
        if !large {
            KEPT_SCRATCH.put(self);
        }
    }
}

//! The value stack and its marks.
//!
//! A mark is a position. Nothing below the topmost mark can be taken before the mark is: that is
//! the `fence`, 0 without a mark. This file must not know opcodes.

use pyo3::prelude::*;

use crate::errors;
use crate::object::make::{self, Items};
use crate::object::{R, Raised};

/// More values than any one opcode pushes.
const ROOM: usize = 32;

/// See the module.
#[derive(Default)]
pub struct Stack {
    /// The values, topmost last.
    pub items: Items,
    marks: Vec<usize>,
    fence: usize,
}

impl Stack {
    /// Drops what is there.
    pub fn clear(&mut self, py: Python<'_>) {
        self.marks.clear();
        self.fence = 0;
        self.cut(py, 0);
    }

    /// Entries that there is memory for.
    pub fn capacity(&self) -> usize {
        self.items.capacity().max(self.marks.capacity())
    }

    /// Number of values.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Number of values that can be taken now.
    #[inline(always)]
    pub fn free(&self) -> usize {
        self.items.len() - self.fence
    }

    /// Where the marks are, the topmost last.
    pub fn marks(&self) -> &[usize] {
        &self.marks
    }

    /// Where the topmost mark is, 0 without one.
    #[inline(always)]
    pub fn fence(&self) -> usize {
        self.fence
    }

    /// Takes memory for `count` more values, and what the last opcode may push beside them: [`Stack::push`]
    /// itself could only end the process if there is none.
    ///
    /// # Errors
    /// MemoryError.
    #[inline]
    pub fn make_room(&mut self, py: Python<'_>, count: usize) -> R<()> {
        let room = count + ROOM;
        if self.items.capacity() - self.items.len() >= room {
            return Ok(());
        }
        let made = self.items.try_reserve(room);
        made.or_else(|_| self.items.try_reserve_exact(room))
            .map_err(|_| errors::no_memory(py))
    }

    /// Puts a value on top. See [`Stack::make_room`].
    #[inline(always)]
    pub fn push(&mut self, value: Bound<'_, PyAny>) {
        make::push(&mut self.items, value.unbind());
    }

    /// Takes the top.
    ///
    /// # Errors
    /// UnpicklingError if there is none, or a mark.
    #[inline(always)]
    pub fn pop<'py>(&mut self, py: Python<'py>) -> R<Bound<'py, PyAny>> {
        if self.free() > 0
            && let Some(value) = self.items.pop()
        {
            return Ok(value.into_bound(py));
        }
        Err(self.underflow(py))
    }

    /// The top.
    ///
    /// # Errors
    /// As [`Stack::pop`].
    #[inline(always)]
    pub fn top<'py>(&self, py: Python<'py>) -> R<&Bound<'py, PyAny>> {
        match self.items.last() {
            Some(value) if self.free() > 0 => Ok(value.bind(py)),
            _ => Err(self.underflow(py)),
        }
    }

    /// Where the topmost `count` values begin.
    ///
    /// # Errors
    /// As [`Stack::pop`].
    #[inline(always)]
    pub fn last(&self, py: Python<'_>, count: usize) -> R<usize> {
        if self.free() < count {
            return Err(self.underflow(py));
        }
        Ok(self.items.len() - count)
    }

    /// Puts a mark on top.
    ///
    /// # Errors
    /// MemoryError.
    #[inline(always)]
    pub fn mark(&mut self, py: Python<'_>) -> R<()> {
        if self.marks.len() == self.marks.capacity() {
            self.make_room_for_mark(py)?;
        }
        self.fence = self.items.len();
        self.marks.push(self.fence);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn make_room_for_mark(&mut self, py: Python<'_>) -> R<()> {
        let made = self.marks.try_reserve(1);
        made.map_err(|_| errors::no_memory(py))
    }

    /// Takes the topmost mark; what is above it stays.
    ///
    /// # Errors
    /// UnpicklingError if there is none.
    #[inline(always)]
    pub fn unmark(&mut self, py: Python<'_>) -> R<usize> {
        let Some(mark) = self.marks.pop() else {
            return Err(no_mark(py));
        };
        self.fence = self.marks.last().copied().unwrap_or(0);
        Ok(mark)
    }

    /// Refuses what needs a mark if there is none.
    ///
    /// # Errors
    /// As [`Stack::unmark`].
    pub fn check_marked(&self, py: Python<'_>) -> R<()> {
        if self.is_marked() {
            return Ok(());
        }
        Err(no_mark(py))
    }

    /// Whether there is a mark.
    pub fn is_marked(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Whether a mark is what is on top.
    pub fn mark_on_top(&self) -> bool {
        self.marks.last() == Some(&self.items.len())
    }

    /// The error for taking a value where there is none.
    #[cold]
    #[inline(never)]
    pub fn underflow(&self, py: Python<'_>) -> Raised {
        let text = if self.is_marked() {
            "unexpected MARK found"
        } else {
            "unpickling stack underflow"
        };
        errors::unpickling(py, text)
    }

    /// Drops what is above `from`.
    ///
    /// Dropping may run Python code, and that code another load, but none on this stack.
    #[inline]
    pub fn cut(&mut self, py: Python<'_>, from: usize) {
        while self.items.len() > from
            && let Some(value) = self.items.pop()
        {
            drop(value.into_bound(py));
        }
    }
}

#[cold]
#[inline(never)]
fn no_mark(py: Python<'_>) -> Raised {
    errors::unpickling(py, "could not find MARK")
}

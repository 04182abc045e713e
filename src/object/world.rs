//! The frozen world: the rules by which the pickler borrows objects instead of counting them.
//!
//! Between two calls into user code nothing can change or free an object. That time is a *frozen window*
//! ([`window`]). In it the pickler reads objects as [`Obj`]s, and what it stores for later (tasks,
//! memo entries) is a bare address. Before user code runs the world *thaws*:
//!
//! 1. every [`Slot`] of a task that was touched in the window is counted ([`Slot::keep`]);
//! 2. every new entry of the [`Log`] is counted ([`Log::keep`]);
//! 3. dicts that exist only in the log are made ([`Log::make_dicts`]).
//!
//! After that, and only after that, may Python run. Rules:
//!
//! - *User code* is everything that may run Python or release the GIL: reducers, hooks, iterators, `write`,
//!   imports, attribute look-ups outside known types, releasing a reference that may be the last one,
//!   signal handlers, and, since its collector runs inside allocations, on 3.11 also the making of any
//!   container or exception.
//! - A frozen function therefore makes no objects, raises nothing and releases nothing: it returns a fault or
//!   a request, and puts references it no longer needs into the [`Graveyard`].
//! - A `Slot` lives in a task, and a task on the task stack, which the thaw walks. Slots are not
//!   copied out and kept.
//!
//! What follows from the rules: in one window, an object whose only reference is its owner's is reached once, through
//! that owner, if the owner itself is walked once. See `pickler/memo.rs` for what that saves.

use std::mem::ManuallyDrop;

use pyo3::ffi as pyffi;
use pyo3::prelude::*;

use super::instance::make_dict;
use super::{Held, Obj, R, Window};
use crate::format::buf::NoMemory;

/// Opens a frozen window for the time of `f`.
///
/// `f` gets no means to run Python; it must follow the rules of this file.
#[inline(always)]
pub fn window<A>(_py: Python<'_>, f: impl for<'w> FnOnce(Window<'w>) -> A) -> A {
    // SAFETY: this thread is attached; the rules above.
    f(unsafe { Window::open() })
}

/// A stored object of a task, borrowed or counted; possibly none.
///
/// The lowest bit of the address says whether it is counted.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slot(usize);

const COUNTED: usize = 1;

impl Slot {
    /// No object.
    pub const EMPTY: Slot = Slot(0);

    /// An object of this window, not counted.
    #[inline(always)]
    pub fn borrowed(object: Obj<'_>) -> Self {
        Slot(object.as_ptr().expose_provenance())
    }

    /// An object with its reference.
    #[inline]
    pub fn owned(object: Bound<'_, PyAny>) -> Self {
        Slot(object.into_ptr().expose_provenance() | COUNTED)
    }

    fn ptr(&self) -> *mut pyffi::PyObject {
        std::ptr::with_exposed_provenance_mut(self.0 & !COUNTED)
    }

    /// Whether the slot has a reference of its own: then user code has run since the object was found.
    #[inline(always)]
    pub fn is_counted(&self) -> bool {
        self.0 & COUNTED != 0
    }

    /// Whether there is no object.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The object, if there is one.
    #[inline(always)]
    pub fn get<'w>(&self, _window: Window<'w>) -> Option<Obj<'w>> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: a slot is borrowed in the window of its making or counted since (rules above).
        Some(unsafe { Obj::from_ptr(self.ptr()) })
    }

    /// The object, counted once more, in a thawed world.
    pub fn to_bound<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: in a thawed world every slot of the task stack is counted.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.ptr()) }
    }

    /// The object with the slot's own reference, in a thawed world; the slot is then empty.
    pub fn take_bound<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the reference came out of a counted slot, and in a thawed world all are counted.
        self.take_counted()
            .map(|held| unsafe { held.into_bound(py) })
    }

    /// Counts the object, if it is not counted yet: a step of the thaw.
    #[inline]
    pub fn keep(&mut self) {
        if self.0 != 0 && self.0 & COUNTED == 0 {
            // SAFETY: borrowed in the window that is being closed, so still alive.
            unsafe { pyffi::Py_INCREF(self.ptr()) };
            self.0 |= COUNTED;
        }
    }

    /// Empties the slot and gives the reference, if the slot had one.
    fn take_counted(&mut self) -> Option<Held> {
        let taken = std::mem::replace(self, Slot::EMPTY);
        let counted = taken.0 & COUNTED != 0;
        // SAFETY: counted slots are never NULL.
        counted.then(|| unsafe { Obj::from_ptr(taken.ptr()) }.held())
    }
}

/// References that were given up in a frozen window, to be released in the next thaw.
#[derive(Default)]
pub struct Graveyard(Vec<Held>);

impl Graveyard {
    /// Takes the slot's reference, if it has one, and leaves the slot empty.
    #[inline(always)]
    pub fn bury(&mut self, slot: &mut Slot) {
        if slot.0 & COUNTED == 0 {
            slot.0 = 0;
        } else {
            self.bury_counted(slot);
        }
    }

    #[cold]
    fn bury_counted(&mut self, slot: &mut Slot) {
        debug_assert!(self.0.len() < self.0.capacity(), "make_room came before");
        self.0.extend(slot.take_counted());
    }

    /// Takes memory for `more` references, and for a few in any case: [`Graveyard::bury`] itself could only end the
    /// process if there is none.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn make_room(&mut self, more: usize) -> Result<(), NoMemory> {
        self.0.try_reserve(more.max(FEW)).map_err(|_| NoMemory)
    }

    /// Gives up the memory, if it is large.
    #[inline]
    pub fn trim(&mut self) {
        if self.0.is_empty() && self.0.capacity() > LARGE_LOG {
            self.0 = Vec::new();
        }
    }

    /// Releases everything, which may run Python code.
    #[inline]
    pub fn release(&mut self, py: Python<'_>) {
        while let Some(held) = self.0.pop() {
            // SAFETY: the reference came out of a counted slot.
            drop(unsafe { held.into_bound(py) });
        }
    }
}

/// An object that C's pickler makes, memoises and never shows to anybody: only its index is used here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Missing {
    Tuple = 1,
    Dict = 2,
    Bytes = 3,
    Str = 4,
}

/// The objects that have a memo index, in order: the index of the next one is the length.
///
/// Entries from `kept` on are borrowed in the open window; the others are counted.
#[derive(Default)]
pub struct Log {
    /// Addresses, tagged with [`SKIPPED`] and [`DICT_OF`].
    entries: Vec<usize>,
    kept: usize,
    made: usize,
    /// [`Log::enter_skipped`] has seen the entries below, or the texts among them.
    entered: usize,
    entered_texts: usize,
}

/// The memo's table has no entry for the object.
const SKIPPED: usize = 1;
/// The entry stands for the not yet made `__dict__` of the object.
const DICT_OF: usize = 2;
const TAGS: usize = SKIPPED | DICT_OF;
/// Entries below this are no addresses: a [`Missing`], shifted past the tags.
const FIRST_ADDRESS: usize = 64;

/// Whether the entry has an object.
#[inline(always)]
fn is_there(entry: usize) -> bool {
    entry >= FIRST_ADDRESS
}

fn untagged(entry: usize) -> *mut pyffi::PyObject {
    std::ptr::with_exposed_provenance_mut(entry & !TAGS)
}

impl Log {
    /// Number of entries.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of entries, from the first on, that `enter_skipped` has seen, as far as they are what `which` says.
    #[inline(always)]
    pub fn entered(&self, which: Which) -> usize {
        match which {
            Which::All => self.entered,
            Which::Texts => self.entered.max(self.entered_texts),
        }
    }

    /// Bytes of memory in use.
    pub fn allocated(&self) -> usize {
        self.entries.capacity() * size_of::<usize>()
    }

    /// Whether an entry can be added without more memory.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.entries.len() < self.entries.capacity()
    }

    #[inline(always)]
    fn add(&mut self, entry: usize) -> Result<(), NoMemory> {
        if !self.has_room() {
            return self.add_cold(entry);
        }
        self.entries.push(entry);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn add_cold(&mut self, entry: usize) -> Result<(), NoMemory> {
        self.make_room()?;
        self.entries.push(entry);
        Ok(())
    }

    /// Takes memory for one entry.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn make_room(&mut self) -> Result<(), NoMemory> {
        self.entries.try_reserve(1).map_err(|_| NoMemory)
    }

    /// Adds an object that the memo's table knows too.
    ///
    /// # Errors
    /// [`NoMemory`]; then, as with the others of these functions, nothing was added.
    #[inline(always)]
    pub fn push(&mut self, object: Obj<'_>) -> Result<(), NoMemory> {
        self.add(object.as_ptr().expose_provenance())
    }

    /// Adds an object that the table does not know.
    ///
    /// # Errors
    /// As [`Log::push`].
    #[inline(always)]
    pub fn push_skipped(&mut self, object: Obj<'_>) -> Result<(), NoMemory> {
        self.add(object.as_ptr().expose_provenance() | SKIPPED)
    }

    /// Adds the `__dict__` that `object` would have.
    ///
    /// # Errors
    /// As [`Log::push`].
    #[inline(always)]
    pub fn push_dict_of(&mut self, object: Obj<'_>) -> Result<(), NoMemory> {
        self.add(object.as_ptr().expose_provenance() | SKIPPED | DICT_OF)
    }

    /// Adds an object that does not exist.
    ///
    /// # Errors
    /// As [`Log::push`].
    #[inline(always)]
    pub fn push_missing(&mut self, missing: Missing) -> Result<(), NoMemory> {
        self.add((missing as usize) << 2 | SKIPPED)
    }

    /// Adds an object with its reference; for a log that is complete (see [`Log::keep`]).
    ///
    /// # Errors
    /// As [`Log::push`].
    pub fn push_owned(&mut self, object: Bound<'_, PyAny>) -> Result<(), NoMemory> {
        debug_assert_eq!(self.kept, self.entries.len());
        self.make_room()?;
        self.entries.push(object.into_ptr().expose_provenance());
        self.kept = self.entries.len();
        Ok(())
    }

    /// Counts the new entries: a step of the thaw.
    #[inline]
    pub fn keep(&mut self) {
        for &entry in &self.entries[self.kept..] {
            if is_there(entry) {
                // SAFETY: borrowed in the window that is being closed, so still alive. A dict's
                // owner is counted in its stead.
                unsafe { pyffi::Py_INCREF(untagged(entry)) };
            }
        }
        self.kept = self.entries.len();
    }

    /// Makes what exists only here: a step of the thaw, after everything is counted.
    ///
    /// A `__dict__` is the real one. A [`Missing`] object becomes one of its type that is equal to none in the
    /// stream: all that can be seen of it is an entry of `Pickler.memo.copy()`.
    ///
    /// # Errors
    /// MemoryError; the entry then stands for the owner, which no index is asked for twice.
    pub fn make_dicts(&mut self, py: Python<'_>) -> R<()> {
        let mut result = Ok(());
        for i in self.made..self.entries.len() {
            let entry = self.entries[i];
            if !is_there(entry) {
                match make_missing(py, entry) {
                    Ok(made) => self.entries[i] = made.into_ptr().expose_provenance() | SKIPPED,
                    Err(raised) => {
                        result = Err(raised);
                        break;
                    }
                }
                continue;
            }
            if entry & DICT_OF == 0 {
                continue;
            }
            // SAFETY: counted by `keep`.
            let owner = unsafe { Bound::from_borrowed_ptr(py, untagged(entry)) };
            match make_dict(&owner) {
                Ok(dict) => {
                    self.entries[i] = dict.into_ptr().expose_provenance() | SKIPPED;
                    // SAFETY: the reference that `keep` counted for this entry; `owner` has one
                    // of its own, and the object's own entry another.
                    unsafe { pyffi::Py_DECREF(owner.as_ptr()) };
                }
                Err(raised) => {
                    self.entries[i] = entry & !DICT_OF;
                    result = Err(raised);
                    break;
                }
            }
        }
        self.made = self.entries.len();
        result
    }

    /// Calls `enter(address, index)` for every entry before `end` that is what `which` says, and that the table does not
    /// know and has to know from now on. They are counted.
    ///
    /// A tuple, dict or list that nobody but the log refers to (what reducers return, most of all) cannot
    /// be met again: it needs no table entry, then or later.
    ///
    /// # Errors
    /// What `enter` returns; the next call begins with the entry that it was about.
    #[inline]
    pub fn enter_skipped<E>(
        &mut self,
        end: usize,
        which: Which,
        trust_counts: bool,
        mut enter: impl FnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.entered(which);
        let (mut result, mut seen) = (Ok(()), end);
        let entries = &mut self.entries[..end];
        for (i, entry) in entries.iter_mut().enumerate().skip(start) {
            if *entry & SKIPPED != 0 && is_there(*entry) {
                let address = *entry & !TAGS;
                if which == Which::Texts && !is_text(untagged(address)) {
                    continue;
                }
                if !(trust_counts && is_only_here(untagged(address)))
                    && let Err(error) = enter(address, i)
                {
                    (result, seen) = (Err(error), i);
                    break;
                }
                *entry = address;
            }
        }
        match which {
            Which::All => self.entered = seen,
            Which::Texts => self.entered_texts = seen,
        }
        result
    }

    /// The object at `index`, if it is counted.
    pub fn get(&self, index: usize) -> Option<Held> {
        if index >= self.kept {
            return None;
        }
        let entry = *self.entries.get(index).filter(|&&entry| is_there(entry))?;
        // SAFETY: counted entries are alive and never NULL.
        Some(unsafe { Obj::from_ptr(untagged(entry)) }.held())
    }

    /// Visits the counted objects, for the collector.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn visit<E>(&self, mut visit: impl FnMut(&Py<PyAny>) -> Result<(), E>) -> Result<(), E> {
        for &entry in self.entries[..self.kept].iter().filter(|&&e| is_there(e)) {
            // SAFETY: a counted entry is alive, its collector's thread is attached, and the reference is
            // not released here.
            let object = ManuallyDrop::new(unsafe {
                Bound::from_owned_ptr(Python::assume_attached(), untagged(entry)).unbind()
            });
            visit(&object)?;
        }
        Ok(())
    }

    /// Releases what is counted and forgets the rest. The memory is kept, if it is not large.
    #[inline]
    pub fn clear(&mut self, py: Python<'_>) {
        let kept = std::mem::take(&mut self.kept);
        (self.made, self.entered, self.entered_texts) = (0, 0, 0);
        if kept == 0 && self.entries.capacity() <= LARGE_LOG {
            self.entries.clear();
            return;
        }
        // Releasing may run code that comes back to an owner of this log: it finds it empty.
        let mut entries = std::mem::take(&mut self.entries);
        for &entry in entries[..kept].iter().filter(|&&entry| is_there(entry)) {
            // SAFETY: counted, and given up here.
            drop(unsafe { Bound::from_owned_ptr(py, untagged(entry)) });
        }
        if self.entries.is_empty() && entries.capacity() <= LARGE_LOG {
            entries.clear();
            self.entries = entries;
        }
    }
}

/// An object in the place of a [`Missing`] one: no singleton, so that every entry has an identity of its own.
fn make_missing(py: Python<'_>, entry: usize) -> R<Bound<'_, PyAny>> {
    // SAFETY: each call gives a new reference, or NULL with an exception.
    unsafe {
        let made = match entry >> 2 {
            1 => {
                let none = pyffi::Py_None();
                pyffi::PyTuple_Pack(1, none)
            }
            2 => pyffi::PyDict_New(),
            3 => pyffi::PyBytes_FromStringAndSize(std::ptr::null(), MISSING_SIZE),
            _ => pyffi::PyUnicode_FromStringAndSize(MISSING_TEXT.as_ptr().cast(), MISSING_SIZE),
        };
        if entry >> 2 == 3 && !made.is_null() {
            // Nobody has seen it yet.
            std::ptr::write_bytes(
                pyffi::PyBytes_AS_STRING(made).cast_mut(),
                0,
                MISSING_TEXT.len(),
            );
        }
        super::owned(py, made)
    }
}

const MISSING_TEXT: &[u8] = b"(missing)";
const MISSING_SIZE: isize = MISSING_TEXT.len() as isize;

/// Entries of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// All.
    All,
    /// Exact str. A str can be nothing else, and what reducers return has many that others refer to.
    Texts,
}

impl Which {
    /// The entries among which `object` may be.
    #[inline]
    pub fn of(object: Obj<'_>) -> Self {
        if is_text(object.as_ptr()) {
            Which::Texts
        } else {
            Which::All
        }
    }
}

#[inline]
fn is_text(object: *mut pyffi::PyObject) -> bool {
    // SAFETY: alive, in a window or counted.
    unsafe { pyffi::PyUnicode_CheckExact(object) != 0 }
}

/// Whether the log has the only reference to a counted object, and none can be had through a weak reference.
#[inline]
fn is_only_here(object: *mut pyffi::PyObject) -> bool {
    // SAFETY: counted, so alive.
    unsafe {
        let ty = pyffi::Py_TYPE(object).cast_const();
        pyffi::Py_REFCNT(object) == 1
            && (std::ptr::eq(ty, &raw const pyffi::PyTuple_Type)
                || std::ptr::eq(ty, &raw const pyffi::PyDict_Type)
                || std::ptr::eq(ty, &raw const pyffi::PyList_Type))
    }
}

/// More references than are given up between two calls into user code, beside those of the task stack.
const FEW: usize = 64;

/// Entries beyond which the memory of a log is not kept.
const LARGE_LOG: usize = 1 << 16;

impl Drop for Log {
    fn drop(&mut self) {
        if self.kept != 0 {
            // SAFETY: what holds counted references is dropped by an attached thread.
            self.clear(unsafe { Python::assume_attached() });
        }
    }
}

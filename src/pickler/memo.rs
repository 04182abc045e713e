//! The memo of the pickler: object -> index.
//!
//! In two parts. The *log* has one entry an index, in order, so that the next index is its length. The
//! *table* answers "was this object met, and at which index": a small table first (`near.rs`),
//! then `hashbrown`.
//!
//! An object whose only reference is its owner's cannot be met again in the same frozen window
//! (`object/world.rs`), so it gets a log entry and no table entry. This is the largest single gain in
//! dumping: 1.23 over all workloads of the experiment, up to 3.1 for many small objects.
//!
//! In a later window it may be met again, since user code has run. By then the log has a reference of its own, so it
//! cannot be an object with only one. The first other object that the table does not know has the table completed
//! ([`Memo::settle`]); where none comes, nothing is entered.
//!
//! An exception is everything below a tuple or frozenset in progress that has other references: those are memoised
//! after their items, so a recursive one has its items visited twice. The callers say so.
//!
//! This file must not write opcodes.

use hashbrown::HashTable;
use pyo3::prelude::*;

use super::near::{Near, Place};
use crate::compat::QUIRKS;
use crate::format::buf::NoMemory;
use crate::levers::{self, Lever};
use crate::object::boxed::boxed;
use crate::object::world::{Log, Missing, Which};
use crate::object::{Held, Obj, R};

/// What the table holds: an address and its index. An index is what a user put there: any integer.
type Entry = (usize, i64);

/// See the module.
#[derive(Default)]
pub struct Memo {
    log: Log,
    /// The first entries; made for the first of them.
    near: Option<Box<Near>>,
    /// The others.
    far: HashTable<Entry>,
    /// Log entries below this are of earlier windows: any of them may be met.
    earlier: usize,
    /// Nobody can get at objects through the memo itself.
    private: bool,
}

/// Entries up to which the table is kept for the next dump, unless it was nearly empty.
const KEPT: usize = 1 << 14;

/// The hash of an address.
///
/// The low bits of the address stay in order, so that objects that are neighbours in memory are
/// neighbours in the table (a good mixer costs half the speed on large data); the higher ones are
/// folded in, against regular strides, and the top seven, which hashbrown compares first, are mixed.
#[inline(always)]
fn hash(address: usize) -> u64 {
    let line = (address >> 4) as u64;
    let place = line ^ line >> 16;
    (place & (u64::MAX >> 7)) | (line.wrapping_mul(0x9E37_79B9_7F4A_7C15) & !(u64::MAX >> 7))
}

/// The small table, made.
#[cold]
fn make_near(place: &mut Option<Box<Near>>) -> Result<&mut Near, NoMemory> {
    Ok(place.insert(boxed(Near::default())?))
}

impl Memo {
    /// Releases the objects, which may run Python code. The memory is kept, if it is not large.
    #[inline]
    pub fn clear(&mut self, py: Python<'_>) {
        if let Some(near) = &mut self.near {
            near.clear();
        }
        if !self.far.is_empty() {
            let size = self.far.capacity();
            if size <= KEPT && self.far.len() >= size / 8 {
                self.far.clear();
            } else {
                // It would cost the next dump more to have it than to make one.
                self.far = HashTable::new();
            }
        }
        self.earlier = 0;
        self.log.clear(py);
    }

    /// Number of entries, which is the next index.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether the log has room for one more entry.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.log.has_room()
    }

    /// Whether nothing was memoised.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// The index of `object`, if the table knows it.
    ///
    /// # Errors
    /// [`NoMemory`] for what the table has to know first.
    #[inline]
    pub fn get(&mut self, object: Obj<'_>) -> Result<Option<i64>, NoMemory> {
        let found = self.find(object.held().address());
        if found.is_none() && self.may_be_earlier(object) {
            self.settle(Which::of(object))?;
            return Ok(self.find(object.held().address()));
        }
        Ok(found)
    }

    /// Whether the table, which does not know `object`, may have to.
    #[inline(always)]
    fn may_be_earlier(&self, object: Obj<'_>) -> bool {
        self.log.entered(Which::All) < self.earlier
            && !(QUIRKS.counts_are_exact && levers::on(Lever::Counts) && object.is_sole())
    }

    /// Enters what can be met again of earlier windows, as far as it is what `which` says.
    #[cold]
    #[inline(never)]
    fn settle(&mut self, which: Which) -> Result<(), NoMemory> {
        if self.log.entered(which) >= self.earlier {
            return Ok(());
        }
        let mut log = std::mem::take(&mut self.log);
        let trust = self.private && QUIRKS.counts_are_exact && levers::on(Lever::Counts);
        let result = log.enter_skipped(self.earlier, which, trust, |address, index| {
            if self.find(address).is_some() {
                return Ok(());
            }
            self.enter(address, index as i64)
        });
        self.log = log;
        result
    }

    #[inline]
    fn find(&self, address: usize) -> Option<i64> {
        if let Some(near) = &self.near
            && let Place::Found(index) = near.look(address)
        {
            return Some(index);
        }
        if self.far.is_empty() {
            return None;
        }
        let found = self.far.find(hash(address), |entry| entry.0 == address);
        found.map(|entry| entry.1)
    }

    /// The index of `object`, or None after it was memoised under the next one.
    ///
    /// # Errors
    /// [`NoMemory`]; then, as with the others of these functions, nothing was memoised.
    #[inline]
    pub fn meet(&mut self, object: Obj<'_>) -> Result<Option<i64>, NoMemory> {
        if self.may_be_earlier(object) {
            return self.meet_late(object);
        }
        self.meet_settled(object)
    }

    /// Where the table may lack what it has to know: it is asked first, since most objects are in it.
    #[inline(never)]
    fn meet_late(&mut self, object: Obj<'_>) -> Result<Option<i64>, NoMemory> {
        let found = self.get(object)?;
        if found.is_some() {
            return Ok(found);
        }
        self.meet_settled(object)
    }

    #[inline(always)]
    fn meet_settled(&mut self, object: Obj<'_>) -> Result<Option<i64>, NoMemory> {
        let address = object.held().address();
        let index = self.log.len() as i64;
        let near = match &mut self.near {
            Some(near) => near,
            None => make_near(&mut self.near)?,
        };
        let place = match near.look(address) {
            Place::Found(index) => return Ok(Some(index)),
            Place::Free(place) => place,
        };
        // Where the large table is in use, the small one is closed.
        if near.put(place, address, index) {
            return match self.log.push(object) {
                Ok(()) => Ok(None),
                Err(no_memory) => {
                    near.remove(address);
                    Err(no_memory)
                }
            };
        }
        self.meet_far(object, address, index)
    }

    fn meet_far(
        &mut self,
        object: Obj<'_>,
        address: usize,
        index: i64,
    ) -> Result<Option<i64>, NoMemory> {
        use hashbrown::hash_table::Entry::{Occupied, Vacant};
        self.make_room_far()?;
        let made = match self.far.entry(
            hash(address),
            |entry| entry.0 == address,
            |entry| hash(entry.0),
        ) {
            Occupied(entry) => return Ok(Some(entry.get().1)),
            Vacant(entry) => entry.insert((address, index)),
        };
        match self.log.push(object) {
            Ok(()) => Ok(None),
            Err(no_memory) => {
                made.remove();
                Err(no_memory)
            }
        }
    }

    /// Takes memory for an entry of the large table: hashbrown itself could only end the process if there is none.
    #[inline(always)]
    fn make_room_far(&mut self) -> Result<(), NoMemory> {
        self.far
            .try_reserve(1, |entry| hash(entry.0))
            .map_err(|_| NoMemory)
    }

    /// Changes the index of an object that the table knows.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[cold]
    pub fn set_index(&mut self, object: Obj<'_>, index: i64) -> Result<(), NoMemory> {
        self.reassign(object.held().address(), index).map(drop)
    }

    fn reassign(&mut self, address: usize, index: i64) -> Result<bool, NoMemory> {
        self.make_room_far()?;
        if let Some(near) = &mut self.near
            && let Place::Found(_) = near.look(address)
        {
            near.remove(address);
            self.enter_far(address, index)?;
            return Ok(true);
        }
        let far = self.far.find_mut(hash(address), |entry| entry.0 == address);
        Ok(far.map(|entry| entry.1 = index).is_some())
    }

    /// Memoises an object that cannot be met again in this window.
    ///
    /// # Errors
    /// As [`Memo::meet`].
    #[inline(always)]
    pub fn put_sole(&mut self, object: Obj<'_>) -> Result<(), NoMemory> {
        self.log.push_skipped(object)
    }

    /// Counts an index for an object that C's pickler makes for itself alone.
    ///
    /// # Errors
    /// As [`Memo::meet`].
    #[inline(always)]
    pub fn put_missing(&mut self, missing: Missing) -> Result<(), NoMemory> {
        self.log.push_missing(missing)
    }

    /// Memoises the `__dict__` that `object` would have, which does not exist.
    ///
    /// # Errors
    /// As [`Memo::meet`].
    #[inline(always)]
    pub fn put_dict_of(&mut self, object: Obj<'_>) -> Result<(), NoMemory> {
        self.log.push_dict_of(object)
    }

    /// Adds a table entry for an address that has none.
    #[inline]
    fn enter(&mut self, address: usize, index: i64) -> Result<(), NoMemory> {
        let near = match &mut self.near {
            Some(near) => near,
            None => make_near(&mut self.near)?,
        };
        if let Place::Free(place) = near.look(address)
            && near.put(place, address, index)
        {
            return Ok(());
        }
        self.enter_far(address, index)
    }

    fn enter_far(&mut self, address: usize, index: i64) -> Result<(), NoMemory> {
        self.make_room_far()?;
        if let Some(near) = &mut self.near {
            near.close();
        }
        self.far
            .insert_unique(hash(address), (address, index), |entry| hash(entry.0));
        Ok(())
    }

    /// Closes a window: everything is counted and every dict exists.
    ///
    /// # Errors
    /// MemoryError.
    pub fn thaw(&mut self, py: Python<'_>) -> R<()> {
        self.log.keep();
        self.log.make_dicts(py)
    }

    /// Opens a window: what is in the log can be met from now on.
    ///
    /// `private` says that nobody can get at objects through the memo itself, as through `Pickler.memo`.
    #[inline]
    pub fn freeze(&mut self, private: bool) {
        self.earlier = self.log.len();
        self.private = private;
    }

    /// The object at a position of the log, in a thawed world.
    pub fn at(&self, position: usize) -> Option<Held> {
        self.log.get(position)
    }

    /// The index of the object at a position of the log, in a thawed world.
    pub fn index_at(&self, position: usize) -> Option<i64> {
        let object = self.log.get(position)?;
        Some(self.find(object.address()).unwrap_or(position as i64))
    }

    /// Memoises `object` under an index of the user's choice; a later index for the same object wins.
    /// In a thawed world.
    ///
    /// # Errors
    /// As [`Memo::meet`].
    pub fn assign(&mut self, object: Bound<'_, PyAny>, index: i64) -> Result<(), NoMemory> {
        let address = object.as_ptr().addr();
        if self.reassign(address, index)? {
            return Ok(());
        }
        self.log.make_room()?;
        self.enter(address, index)?;
        self.log.push_owned(object)
    }

    /// Bytes of memory in use.
    pub fn allocated(&self) -> usize {
        let near = self.near.as_deref().map_or(0, size_of_val);
        self.log.allocated() + self.far.allocation_size() + near
    }

    /// Visits the objects, for the collector.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn visit<E>(&self, visit: impl FnMut(&Py<PyAny>) -> Result<(), E>) -> Result<(), E> {
        self.log.visit(visit)
    }
}

//! The memo: index -> object.
//!
//! Indices normally count up from 0 and are kept in a vector. One that is far off is kept apart, so that a
//! few bytes of a stream cannot ask for gigabytes (CPython issue 115952; C does the same since
//! 3.15). Nothing here may drop a reference: what is replaced is handed back.
//!
//! A state that went straight into its instance does not exist, but has an index all the same: a
//! [`Virtual`] entry says which instance has it, and [`settle`] makes it. Until then its place
//! is empty. So is that of a tuple of arguments for which no call was made: its items are kept.

use std::collections::TryReserveError;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use pyo3::prelude::*;

use crate::compat::QUIRKS;
use crate::errors;
use crate::format::buf::NoMemory;
use crate::object::cell::Shared;
use crate::object::make::{self, Items};
use crate::object::{R, fallible, instance, methods};

/// Places that a memo has at first; it then grows to twice the index that it lacks.
pub const FIRST: usize = 32;

/// Entries by index. The indices come from the stream, so their hashes must not be foreseeable.
type Sparse = HashMap<usize, Apart, RandomState>;

/// An entry that is, or was, far off.
struct Apart {
    object: Py<PyAny>,
    /// It was asked for when it was in reach: where such entries are hidden, C then moves it to the others, without
    /// counting it.
    moved: AtomicBool,
}

/// See the module.
pub struct Memo {
    dense: Vec<Option<Py<PyAny>>>,
    /// An index below this one is not far off. (The vector may have more memory, kept from before.)
    places: usize,
    /// An index below this one, the next of the vector, can be pushed without another look: it is not far off, there
    /// is memory, and nothing is far off.
    ready: usize,
    /// Entries in `dense`.
    count: usize,
    /// Entries that are far off; made for the first of them.
    sparse: Option<Box<Sparse>>,
    /// The index that MEMOIZE uses next: the number of entries, as C counts them.
    next: usize,
    virtuals: Vec<Virtual>,
    /// How many of `virtuals`, from the front, are captured.
    captured: usize,
    /// Tuples that do not exist, by index, and where their items begin in `parts`.
    tuples: Vec<(usize, usize)>,
    parts: Vec<Py<PyAny>>,
}

impl Default for Memo {
    fn default() -> Self {
        Memo {
            dense: Vec::new(),
            places: FIRST,
            ready: 0,
            count: 0,
            sparse: None,
            next: 0,
            virtuals: Vec::new(),
            captured: 0,
            tuples: Vec::new(),
            parts: Vec::new(),
        }
    }
}

/// The entry of a state that was not made.
struct Virtual {
    index: usize,
    content: Content,
    /// The items, once the instance may have changed; None before.
    items: Option<Pairs>,
}

/// What a virtual entry stands for.
pub enum Content {
    /// A dict of the attributes of the instance at this index.
    Attributes(usize),
    /// A dict of these slots of the instance at this index.
    Slots(usize, Arc<[Py<PyAny>]>),
    /// The pair of None and the dict at this index.
    Pair(usize),
}

/// Keys and values.
type Pairs = Box<[(Py<PyAny>, Py<PyAny>)]>;

impl Memo {
    /// Number of entries that there is memory for.
    pub fn capacity(&self) -> usize {
        let parts = self.parts.capacity().max(self.tuples.capacity());
        let virtuals = self.virtuals.capacity().max(parts);
        self.dense.capacity().max(virtuals)
    }

    /// The object at an index.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&Py<PyAny>> {
        match self.dense.get(index) {
            Some(Some(object)) => Some(object),
            _ => self.get_sparse(index),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_sparse(&self, index: usize) -> Option<&Py<PyAny>> {
        let entry = self.sparse.as_ref()?.get(&index)?;
        if index < self.places {
            entry.moved.store(true, Ordering::Relaxed);
        }
        Some(&entry.object)
    }

    /// The index that MEMOIZE uses next.
    #[inline(always)]
    pub fn next(&self) -> usize {
        self.next
    }

    /// Stores an object at an index that is new and the next one; hands it back if it is not.
    #[inline(always)]
    #[must_use]
    pub fn push(&mut self, index: usize, object: Py<PyAny>) -> Option<Py<PyAny>> {
        if index == self.dense.len() && (index < self.ready || self.make_ready(index)) {
            make::push(&mut self.dense, Some(object));
            self.count += 1;
            self.next += 1;
            return None;
        }
        Some(object)
    }

    /// Whether `index`, the next of the vector, can be pushed.
    #[cold]
    #[inline(never)]
    fn make_ready(&mut self, index: usize) -> bool {
        let made = self.sparse.is_none()
            && (index < self.places || self.grow(index))
            && (index < self.dense.capacity() || self.make_room(index));
        if made {
            self.ready = self.places.min(self.dense.capacity());
        }
        made
    }

    /// Takes memory for twice as many entries as `index` says, and for [`FIRST`] at least: [`Memo::push`] itself could only end the
    /// process if there is none.
    #[cold]
    fn make_room(&mut self, index: usize) -> bool {
        let len = self.dense.len();
        // At once as much as C takes when it makes an Unpickler: with the file that stays where
        // it is (`input.rs`), a load by a new Unpickler takes a tenth less time.
        let size = index.saturating_mul(2).max(FIRST);
        let more = size.saturating_sub(len).max(1);
        self.dense.try_reserve(more).is_ok()
    }

    /// Whether there is memory for an entry at `index`.
    pub fn has_room(&mut self, index: usize) -> bool {
        if index <= self.count.saturating_mul(2) {
            index < self.places.min(self.dense.capacity()) || self.make_room(index)
        } else {
            let sparse = self.sparse.as_mut();
            sparse.is_none_or(|sparse| sparse.try_reserve(1).is_ok())
        }
    }

    /// Makes an index one that is not far off, unless it is or there is no memory for it.
    #[cold]
    fn grow(&mut self, index: usize) -> bool {
        let near = index <= self.count.saturating_mul(2) && self.make_room(index);
        if near {
            self.places = index * 2;
        }
        near
    }

    /// Stores an object and hands back the one that was at the index.
    #[must_use]
    pub fn put(&mut self, index: usize, object: Py<PyAny>) -> Option<Py<PyAny>> {
        self.push(index, object)
            .and_then(|object| self.put_anywhere(index, object))
    }

    /// Whether the next MEMOIZE or PUT at `index` would be the next entry of the vector.
    #[inline(always)]
    pub fn is_next(&self, index: usize) -> bool {
        index == self.dense.len() && index == self.next && self.sparse.is_none()
    }

    /// Takes an index, the next one, for an object to come: see [`Memo::fill`].
    ///
    /// # Errors
    /// [`NoMemory`]; the index is not taken then.
    #[inline]
    pub fn reserve_next(&mut self) -> Result<(), NoMemory> {
        if self.dense.len() == self.dense.capacity() && !self.make_room(self.next) {
            return Err(NoMemory);
        }
        if self.next >= self.places {
            // The index is the number of entries, so it is near.
            self.places = self.next * 2;
        }
        self.dense.push(None);
        self.count += 1;
        self.next += 1;
        Ok(())
    }

    /// Stores the object for a reserved index, unless the index was cleared or taken meanwhile.
    #[inline]
    #[must_use]
    pub fn fill(&mut self, index: usize, object: Py<PyAny>) -> Option<Py<PyAny>> {
        match self.dense.get_mut(index) {
            Some(place @ None) => {
                *place = Some(object);
                None
            }
            _ => Some(object),
        }
    }

    /// Whether the entry at `index` is `object`.
    #[inline(always)]
    pub fn holds(&self, index: usize, object: usize) -> bool {
        matches!(self.dense.get(index), Some(Some(entry)) if entry.as_ptr().addr() == object)
    }

    /// Takes memory for two virtual entries, and one index more.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn make_room_for_virtuals(&mut self) -> Result<(), NoMemory> {
        let made = self.virtuals.try_reserve(2);
        made.and_then(|()| self.dense.try_reserve(1))
            .map_err(|_| NoMemory)
    }

    /// Says what the reserved `index` stands for, as things are now; see [`Memo::make_room_for_virtuals`].
    #[inline]
    pub fn add_virtual(&mut self, index: usize, content: Content) {
        self.virtuals.push(Virtual {
            index,
            content,
            items: None,
        });
    }

    /// Takes the next index for a tuple of `items[from..]`, and those off the stack.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing was taken then.
    #[inline]
    pub fn add_tuple(&mut self, items: &mut Items, from: usize) -> Result<(), NoMemory> {
        let (index, begin) = (self.next, self.parts.len());
        let made = self.tuples.try_reserve(1);
        made.and_then(|()| self.parts.try_reserve(items.len() - from))
            .map_err(|_| NoMemory)?;
        self.reserve_next()?;
        self.tuples.push((index, begin));
        make::move_items(items, from, &mut self.parts);
        Ok(())
    }

    /// The items of the tuple that is to be at `index`.
    fn tuple_at(&self, index: usize) -> Option<&[Py<PyAny>]> {
        let at = self.tuples.binary_search_by_key(&index, |entry| entry.0);
        let at = at.ok()?;
        let end = self
            .tuples
            .get(at + 1)
            .map_or(self.parts.len(), |next| next.1);
        self.parts.get(self.tuples[at].1..end)
    }

    /// Takes an object out whose index is to be a virtual entry.
    pub fn withdraw(&mut self, index: usize) -> Option<Py<PyAny>> {
        self.dense.get_mut(index)?.take()
    }

    /// The instance of the first virtual entry whose items are not captured.
    fn instance_to_capture(&self) -> Option<&Py<PyAny>> {
        match self.virtuals.get(self.captured)?.content {
            Content::Attributes(instance) | Content::Slots(instance, _) => self.get(instance),
            Content::Pair(_) => None,
        }
    }

    /// The slots of that instance that count; None for all its attributes.
    fn slots_to_capture(&self) -> Option<Arc<[Py<PyAny>]>> {
        match &self.virtuals.get(self.captured)?.content {
            Content::Slots(_, names) => Some(Arc::clone(names)),
            _ => None,
        }
    }

    /// Whether there is no virtual entry.
    pub fn is_settled(&self) -> bool {
        self.virtuals.is_empty() && self.tuples.is_empty()
    }

    #[inline(never)]
    fn put_anywhere(&mut self, index: usize, object: Py<PyAny>) -> Option<Py<PyAny>> {
        if index >= self.places && !self.grow(index) {
            let entry = Apart {
                object,
                moved: AtomicBool::new(false),
            };
            self.ready = 0;
            let old = self.sparse.get_or_insert_default().insert(index, entry);
            if old.is_none() && !QUIRKS.sparse_memo_hidden {
                self.next += 1;
            }
            return old.map(|old| old.object);
        }
        // An index that was far off before may be in reach by now.
        let mut apart = self
            .sparse
            .as_mut()
            .and_then(|sparse| sparse.remove(&index));
        if index >= self.dense.len() {
            self.dense.resize_with(index + 1, || None);
        }
        let old = self.dense[index].replace(object);
        if old.is_none() {
            self.count += 1;
            let uncounted =
                |apart: &mut Apart| QUIRKS.sparse_memo_hidden && !*apart.moved.get_mut();
            if apart.as_mut().is_none_or(uncounted) {
                self.next += 1;
            }
        }
        old.or(apart.map(|apart| apart.object))
    }

    /// Takes the virtual entry at `index` out.
    fn take_virtual(&mut self, index: usize) -> Option<Virtual> {
        let at = self
            .virtuals
            .iter()
            .rposition(|entry| entry.index == index)?;
        self.captured -= usize::from(at < self.captured);
        Some(self.virtuals.remove(at))
    }

    /// The entries by index, without those that C's memo proxy does not show.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn entries(&self) -> Result<Vec<(usize, &Py<PyAny>)>, NoMemory> {
        let apart = self.sparse.as_ref().map_or(0, |sparse| sparse.len());
        let mut entries = Vec::new();
        entries
            .try_reserve_exact(self.dense.len() + apart)
            .map_err(|_| NoMemory)?;
        let dense = self.dense.iter().enumerate();
        entries.extend(dense.filter_map(|(index, entry)| Some((index, entry.as_ref()?))));
        if let Some(sparse) = &self.sparse {
            let shown =
                |entry: &Apart| !QUIRKS.sparse_memo_hidden || entry.moved.load(Ordering::Relaxed);
            let shown = sparse.iter().filter(|(_, entry)| shown(entry));
            entries.extend(shown.map(|(&index, entry)| (index, &entry.object)));
            entries.sort_unstable_by_key(|&(index, _)| index);
        }
        Ok(entries)
    }

    /// Every object, for the garbage collector.
    pub fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        let sparse = self.sparse.iter().flat_map(|sparse| sparse.values());
        let sparse = sparse.map(|entry| &entry.object);
        let items = self
            .virtuals
            .iter()
            .filter_map(|entry| entry.items.as_ref());
        let items = items.flat_map(|items| items.iter().flat_map(|(key, value)| [key, value]));
        let kept = self.dense.iter().flatten().chain(&self.parts);
        kept.chain(sparse).chain(items)
    }

    /// Whether nothing was ever put into it.
    pub fn is_new(&self) -> bool {
        self.capacity() == 0 && self.sparse.is_none() && self.places == FIRST
    }

    /// An empty memo with the index that follows on `clear()` in this version.
    pub fn cleared(&self) -> Self {
        Memo {
            next: if QUIRKS.memo_clear_resets_index {
                0
            } else {
                self.next
            },
            ..Memo::default()
        }
    }

    /// An empty memo that counts on from `next`.
    pub fn counting_from(next: usize) -> Self {
        Memo {
            next,
            ..Memo::default()
        }
    }

    /// Sets the index that MEMOIZE uses next.
    pub fn count_from(&mut self, next: usize) {
        self.next = next;
    }

    /// Bytes of memory in use, beside the objects.
    pub fn size(&self) -> usize {
        self.dense.capacity() * size_of::<Option<Py<PyAny>>>()
            + self
                .sparse
                .as_ref()
                .map_or(0, |sparse| sparse.allocation_size())
            + self.virtuals.capacity() * size_of::<Virtual>()
            + self.tuples.capacity() * size_of::<(usize, usize)>()
            + self.parts.capacity() * size_of::<Py<PyAny>>()
    }
}

/// Empties a memo that nobody sees, and keeps its memory.
#[inline]
pub fn empty(py: Python<'_>, memo: &mut Shared<Memo>) {
    let memo = memo.get_mut();
    // As in C, the last entry goes first.
    while let Some(entry) = memo.dense.pop() {
        drop(entry.map(|object| object.into_bound(py)));
    }
    while let Some(part) = memo.parts.pop() {
        drop(part.into_bound(py));
    }
    memo.tuples.clear();
    if !memo.virtuals.is_empty() || memo.sparse.is_some() {
        for (_, entry) in memo.sparse.take().into_iter().flat_map(|sparse| *sparse) {
            drop(entry.object.into_bound(py));
        }
        let items = memo.virtuals.drain(..).filter_map(|entry| entry.items);
        for (key, value) in items.flatten() {
            drop((key.into_bound(py), value.into_bound(py)));
        }
    }
    memo.captured = 0;
    memo.count = 0;
    memo.next = 0;
    memo.places = FIRST;
    memo.ready = FIRST.min(memo.dense.capacity());
}

/// Keeps the items of all virtual entries: the instances may change from now on.
pub fn capture(py: Python<'_>, memo: &Shared<Memo>) {
    while memo.with(py, |memo| memo.captured < memo.virtuals.len()) {
        let instance = memo.pick(py, Memo::instance_to_capture);
        let slots = memo.with(py, |memo| memo.slots_to_capture());
        let items: Pairs = match (&instance, slots) {
            (None, _) => Box::default(),
            (Some(instance), None) => instance::read(instance)
                .into_iter()
                .map(|(key, value)| (key.unbind(), value.unbind()))
                .collect(),
            (Some(instance), Some(names)) => names
                .iter()
                .filter_map(|name| {
                    let value = methods::generic_get(instance, name.bind(py));
                    let value = value.map_err(|raised| raised.take(py)).ok()?;
                    Some((name.clone_ref(py), value.unbind()))
                })
                .collect(),
        };
        memo.with(py, move |memo| {
            let captured = memo.captured;
            if let Some(entry) = memo.virtuals.get_mut(captured) {
                entry.items = Some(items);
                memo.captured += 1;
            }
        });
    }
}

/// Makes the object of the virtual entry at `index`, if there is one.
///
/// # Errors
/// MemoryError.
pub fn settle(py: Python<'_>, memo: &Shared<Memo>, index: usize) -> R<()> {
    capture(py, memo);
    let entry = memo.with(py, |memo| memo.take_virtual(index));
    let Some(entry) = entry else {
        return settle_tuple(py, memo, index);
    };
    let object = if let Content::Pair(index) = entry.content {
        settle(py, memo, index)?;
        let none = py.None().into_bound(py);
        let dict = memo.pick(py, |memo| memo.get(index));
        let dict = dict.unwrap_or_else(|| none.clone());
        fallible::tuple(py, [none, dict])?.into_any()
    } else {
        let dict = fallible::dict(py)?;
        for (key, value) in entry.items.unwrap_or_default() {
            dict.set_item(key, value)?;
        }
        dict.into_any()
    };
    let object = object.unbind();
    let refused = memo.with(py, move |memo| memo.fill(index, object));
    drop(refused.map(|object| object.into_bound(py)));
    Ok(())
}

/// Makes the tuple of arguments that is to be at `index`, if there is one.
fn settle_tuple(py: Python<'_>, memo: &Shared<Memo>, index: usize) -> R<()> {
    if memo.with(py, |memo| memo.tuple_at(index).is_none()) {
        return Ok(());
    }
    let items = memo.collect(py, |memo| {
        let items = memo.tuple_at(index).unwrap_or_default();
        let mut found = Vec::new();
        found.try_reserve_exact(items.len())?;
        found.extend(items.iter().map(|item| ((), item)));
        Ok::<_, TryReserveError>(found)
    });
    let items = items.map_err(|_| errors::no_memory(py))?;
    let tuple = fallible::tuple(py, items.into_iter().map(|((), item)| item.into_bound(py)))?;
    let tuple = tuple.into_any().unbind();
    let refused = memo.with(py, move |memo| memo.fill(index, tuple));
    drop(refused.map(|tuple| tuple.into_bound(py)));
    Ok(())
}

/// Makes the objects of all virtual entries.
///
/// # Errors
/// MemoryError.
pub fn settle_all(py: Python<'_>, memo: &Shared<Memo>) -> R<()> {
    while let Some(index) = memo.with(py, |memo| memo.virtuals.last().map(|entry| entry.index)) {
        settle(py, memo, index)?;
    }
    let mut at = 0;
    while let Some(index) = memo.with(py, |memo| memo.tuples.get(at).map(|entry| entry.0)) {
        settle_tuple(py, memo, index)?;
        at += 1;
    }
    let parts = memo.with(py, |memo| {
        memo.tuples.clear();
        std::mem::take(&mut memo.parts)
    });
    for part in parts {
        drop(part.into_bound(py));
    }
    Ok(())
}

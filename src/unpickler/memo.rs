//! The memo: index -> object.
//!
//! Indices normally count up from 0 and are kept in a vector. One that is far off is kept apart, so that a
//! few bytes of a stream cannot ask for gigabytes (CPython issue 115952; C does the same since
//! 3.15). Nothing here may drop a reference: what is replaced is handed back.

use std::hash::RandomState;
use std::mem;

use hashbrown::HashMap;
use pyo3::prelude::*;

use crate::compat::QUIRKS;

/// Places that the vector has at first; it then grows to twice the index that it lacks.
const FIRST: usize = 32;

/// Entries by index. The indices come from the stream, so their hashes must not be foreseeable.
type Sparse = HashMap<usize, Py<PyAny>, RandomState>;

/// See the module.
#[derive(Default)]
pub struct Memo {
    dense: Vec<Option<Py<PyAny>>>,
    /// Entries in `dense`.
    count: usize,
    /// Entries that are far off; made for the first of them.
    sparse: Option<Box<Sparse>>,
    /// The index that MEMOIZE uses next: the number of entries, as C counts them.
    next: usize,
}

impl Memo {
    /// An empty memo in the memory of an old one.
    pub fn reuse(mut dense: Vec<Option<Py<PyAny>>>) -> Self {
        dense.clear();
        Memo {
            dense,
            ..Memo::default()
        }
    }

    /// The vector, with what is in it, and the entries that are not.
    pub fn into_parts(self) -> (Vec<Option<Py<PyAny>>>, Option<Box<Sparse>>) {
        (self.dense, self.sparse)
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
        self.sparse.as_ref()?.get(&index)
    }

    /// The index that MEMOIZE uses next.
    #[inline(always)]
    pub fn next(&self) -> usize {
        self.next
    }

    /// Stores an object and hands back the one that was at the index.
    #[inline(always)]
    #[must_use]
    pub fn put(&mut self, index: usize, object: Py<PyAny>) -> Option<Py<PyAny>> {
        let len = self.dense.len();
        if index == len && len < self.dense.capacity() && self.sparse.is_none() {
            self.dense.push(Some(object));
            self.count += 1;
            self.next += 1;
            return None;
        }
        self.put_anywhere(index, object)
    }

    #[inline(never)]
    fn put_anywhere(&mut self, index: usize, object: Py<PyAny>) -> Option<Py<PyAny>> {
        let places = self.dense.capacity();
        if index >= places.max(FIRST) && index > self.count.saturating_mul(2) {
            let old = self.sparse.get_or_insert_default().insert(index, object);
            if old.is_none() && !QUIRKS.sparse_memo_hidden {
                self.next += 1;
            }
            return old;
        }
        if index >= places {
            let wanted = FIRST.max(index * 2);
            self.dense.reserve_exact(wanted - self.dense.len());
        }
        // An index that was far off before may be in reach by now.
        let apart = self
            .sparse
            .as_mut()
            .and_then(|sparse| sparse.remove(&index));
        if index >= self.dense.len() {
            self.dense.resize_with(index + 1, || None);
        }
        let old = mem::replace(&mut self.dense[index], Some(object));
        if old.is_none() {
            self.count += 1;
            if apart.is_none() || QUIRKS.sparse_memo_hidden {
                self.next += 1;
            }
        }
        old.or(apart)
    }

    /// The entries by index, without those that C's memo proxy does not show.
    pub fn entries(&self) -> Vec<(usize, &Py<PyAny>)> {
        let dense = self.dense.iter().enumerate();
        let mut entries: Vec<_> = dense
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
            .collect();
        if !QUIRKS.sparse_memo_hidden
            && let Some(sparse) = &self.sparse
        {
            entries.extend(sparse.iter().map(|(&index, object)| (index, object)));
            entries.sort_unstable_by_key(|&(index, _)| index);
        }
        entries
    }

    /// Every object, for the garbage collector.
    pub fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        let sparse = self.sparse.iter().flat_map(|sparse| sparse.values());
        self.dense.iter().flatten().chain(sparse)
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
    }
}

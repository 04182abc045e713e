//! The first part of the memo's table: a few dozen entries in a kilobyte that one cache line of work
//! empties.
//!
//! Small messages never outgrow it, and in large ones it keeps what is met first and most: the names of
//! attributes and the keys of documents. An entry counts if it has the table's generation, so that
//! emptying the table is adding one. This file must not know about references: it holds addresses.

/// Entries that find a place; the others belong into the large table.
const MOST: u32 = 40;
const SLOTS: usize = 64;

#[derive(Clone, Copy)]
struct Slot {
    address: usize,
    generation: u32,
    index: u32,
}

/// See the module.
pub struct Near {
    slots: [Slot; SLOTS],
    generation: u32,
    used: u32,
}

/// Where an address is, or where it would go.
pub enum Place {
    /// Its index.
    Found(i64),
    /// The slot for it.
    Free(usize),
}

impl Default for Near {
    fn default() -> Self {
        let empty = Slot {
            address: 0,
            generation: 0,
            index: 0,
        };
        Near {
            slots: [empty; SLOTS],
            generation: 1,
            used: 0,
        }
    }
}

impl Near {
    /// Looks for an address. Objects are at least 16 bytes apart.
    #[inline(always)]
    pub fn look(&self, address: usize) -> Place {
        let mixed = (address as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut at = (mixed >> 58) as usize;
        // At most MOST of the slots are in use, so a free one comes.
        loop {
            let slot = &self.slots[at % SLOTS];
            if slot.generation != self.generation {
                return Place::Free(at % SLOTS);
            }
            if slot.address == address {
                return Place::Found(i64::from(slot.index));
            }
            at += 1;
        }
    }

    /// Says that the large table is in use: every further entry belongs there.
    #[inline(always)]
    pub fn close(&mut self) {
        self.used = MOST;
    }

    /// Adds an entry at the place that [`Near::look`] gave; false if it belongs into the large table.
    #[inline(always)]
    pub fn put(&mut self, at: usize, address: usize, index: i64) -> bool {
        let Ok(index) = u32::try_from(index) else {
            return false;
        };
        if self.used == MOST {
            return false;
        }
        self.used += 1;
        self.slots[at % SLOTS] = Slot {
            address,
            generation: self.generation,
            index,
        };
        true
    }

    /// Forgets an address; its slot stays in use.
    pub fn remove(&mut self, address: usize) {
        for slot in &mut self.slots {
            if slot.address == address {
                slot.address = 0;
            }
        }
    }

    /// Forgets all entries.
    #[inline]
    pub fn clear(&mut self) {
        self.used = 0;
        match self.generation.checked_add(1) {
            Some(next) => self.generation = next,
            None => *self = Near::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(near: &Near, address: usize) -> Option<i64> {
        match near.look(address) {
            Place::Found(index) => Some(index),
            Place::Free(_) => None,
        }
    }

    fn enter(near: &mut Near, address: usize, index: i64) -> bool {
        match near.look(address) {
            Place::Found(_) => false,
            Place::Free(at) => near.put(at, address, index),
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut near = Near::default();
        for i in 0..MOST as usize {
            assert!(enter(&mut near, 0x1000 + 64 * i, i as i64));
        }
        assert!(!enter(&mut near, 0x10, 99));
        for i in 0..MOST as usize {
            assert_eq!(find(&near, 0x1000 + 64 * i), Some(i as i64));
        }
        near.clear();
        assert_eq!(find(&near, 0x1000), None);
        assert!(!enter(&mut near, 0x1000, -1));
        assert!(enter(&mut near, 0x1000, 7));
    }

    #[test]
    fn generations_start_over() {
        let mut near = Near {
            generation: u32::MAX,
            ..Near::default()
        };
        assert!(enter(&mut near, 0x40, 1));
        near.clear();
        assert_eq!(find(&near, 0x40), None);
    }

    #[test]
    fn a_removed_address_may_be_entered_again() {
        let mut near = Near::default();
        assert!(enter(&mut near, 0x40, 1) && enter(&mut near, 0x80, 2));
        near.remove(0x40);
        assert_eq!((find(&near, 0x40), find(&near, 0x80)), (None, Some(2)));
        assert!(enter(&mut near, 0x40, 3));
        assert_eq!(find(&near, 0x40), Some(3));
    }
}

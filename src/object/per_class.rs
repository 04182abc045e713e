//! A small table of what is known of classes, by their addresses.
//!
//! A few entries a bucket, the newest in front: with one, two classes of a message could push each other out each
//! time, which made the dump of a task message seven times as slow. This file must not know what is kept, and an
//! address says nothing about the class that is there now: entries have its version as well.

/// What can be kept in a [`PerClass`].
pub trait OfClass {
    /// The address of the class.
    fn address(&self) -> usize;
}

/// See the module.
pub struct PerClass<T> {
    /// Empty until the first entry.
    entries: Vec<Option<T>>,
}

const BUCKETS: usize = 64;
const WAYS: usize = 4;

impl<T> Default for PerClass<T> {
    fn default() -> Self {
        PerClass {
            entries: Vec::new(),
        }
    }
}

/// The bucket for a class among a number that is a power of two. Class objects are about 1 KiB apart.
#[inline(always)]
pub fn bucket(address: usize, of: usize) -> usize {
    (address >> 4 ^ address >> 10) % of
}

impl<T: OfClass> PerClass<T> {
    #[inline(always)]
    fn find(&self, address: usize) -> Option<usize> {
        let start = bucket(address, BUCKETS) * WAYS;
        let ways = self.entries.get(start..start + WAYS)?;
        let known = |entry: &Option<T>| matches!(entry, Some(entry) if entry.address() == address);
        ways.iter().position(known).map(|way| start + way)
    }

    /// The entry of the class at this address.
    #[inline(always)]
    pub fn get(&self, address: usize) -> Option<&T> {
        self.entries[self.find(address)?].as_ref()
    }

    /// The entry of the class at this address.
    #[inline(always)]
    pub fn get_mut(&mut self, address: usize) -> Option<&mut T> {
        let at = self.find(address)?;
        self.entries[at].as_mut()
    }

    /// Keeps an entry in the place of an older one of the class, or of the oldest one in its bucket; without
    /// memory, nowhere.
    pub fn put(&mut self, entry: T) {
        let address = entry.address();
        if self.entries.is_empty() {
            if self.entries.try_reserve_exact(BUCKETS * WAYS).is_err() {
                return;
            }
            self.entries.resize_with(BUCKETS * WAYS, || None);
        }
        let start = bucket(address, BUCKETS) * WAYS;
        let last = self.find(address).unwrap_or(start + WAYS - 1);
        self.entries[start..=last].rotate_right(1);
        self.entries[start] = Some(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl OfClass for (usize, u32) {
        fn address(&self) -> usize {
            self.0
        }
    }

    /// Addresses with the same bucket.
    fn alike() -> impl Iterator<Item = usize> {
        (1..100_000)
            .map(|n| n * 16)
            .filter(|&at| bucket(at, BUCKETS) == 5)
    }

    #[test]
    fn the_oldest_of_a_bucket_goes() {
        let mut table = PerClass::default();
        for (n, address) in alike().take(WAYS + 1).enumerate() {
            assert_eq!(table.get(address), None);
            table.put((address, n as u32));
        }
        let kept: Vec<_> = alike()
            .take(WAYS + 1)
            .map(|address| table.get(address).map(|entry| entry.1))
            .collect();
        assert_eq!(kept, [None, Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn a_class_has_one_entry() {
        let mut table = PerClass::default();
        for (n, address) in alike().take(3).chain(alike().take(3)).enumerate() {
            table.put((address, n as u32));
        }
        for (n, address) in alike().take(3).enumerate() {
            assert_eq!(
                table.get_mut(address).map(|entry| entry.1),
                Some(3 + n as u32)
            );
        }
        assert_eq!(table.entries.iter().flatten().count(), 3);
    }
}

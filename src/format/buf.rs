//! A growing byte buffer with a soft limit: reserve, then write.
//!
//! The hot functions are a compare, a store and an add. Everything else (growing, opening a
//! frame) happens when the soft limit is reached, in cold functions of the caller. This is the one file of
//! `format/` with `unsafe` in it; it must not know what the bytes mean.
#![allow(unsafe_code)]

/// Memory ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Memory that a [`Buf`] fills.
///
/// # Safety
/// `region` and `grow` return memory that stays valid for reads and writes of that many bytes until
/// the next call of `grow` or until the backing is dropped, wherever the backing itself is moved.
pub unsafe trait Backing {
    /// Start and size in bytes of the memory.
    fn region(&mut self) -> (*mut u8, usize);
    /// Makes the memory at least `size` bytes large, keeping the first `used` bytes.
    ///
    /// # Errors
    /// [`NoMemory`]; `region` then says what memory is left.
    fn grow(&mut self, used: usize, size: usize) -> Result<(), NoMemory>;
}

// SAFETY: the memory of a Vec stays where it is until it grows or is dropped; `capacity` bytes are
// allocated. Bytes beyond `len` are only written before they are read (see Buf).
unsafe impl Backing for Vec<u8> {
    fn region(&mut self) -> (*mut u8, usize) {
        (self.as_mut_ptr(), self.capacity())
    }

    #[cold]
    fn grow(&mut self, used: usize, size: usize) -> Result<(), NoMemory> {
        let wanted = size.max(self.capacity().saturating_mul(2)).max(256);
        debug_assert!(used <= self.capacity());
        // SAFETY: the first `used` bytes were written by the Buf.
        unsafe { self.set_len(used) };
        let result = self.try_reserve_exact(wanted - used);
        self.clear();
        result.map_err(|_| NoMemory)
    }
}

/// Bytes in memory of a [`Backing`], filled from the front.
pub struct Buf<B> {
    start: *mut u8,
    len: usize,
    /// `len <= limit <= capacity`; reaching it calls for the caller's cold function.
    limit: usize,
    capacity: usize,
    backing: B,
}

// SAFETY: `start` points into the memory of `backing`, which the buffer owns.
unsafe impl<B: Send> Send for Buf<B> {}

impl<B: Backing> Buf<B> {
    /// An empty buffer over the memory of `backing`.
    pub fn new(mut backing: B) -> Self {
        let (start, capacity) = backing.region();
        Buf {
            start,
            len: 0,
            limit: capacity,
            capacity,
            backing,
        }
    }

    /// Bytes written so far.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `n` more bytes fit under the soft limit.
    #[inline(always)]
    pub fn has_room(&self, n: usize) -> bool {
        self.limit - self.len >= n
    }

    /// Lets writes go on to the end of the memory.
    pub fn unlimit(&mut self) {
        self.limit = self.capacity;
    }

    /// Makes every following write ask for room first.
    pub fn close(&mut self) {
        self.limit = self.len;
    }

    /// Makes room for `n` more bytes and lifts the soft limit.
    ///
    /// # Errors
    /// [`NoMemory`], also if the length would not fit an `isize`. What was written may be lost.
    #[cold]
    pub fn make_room(&mut self, n: usize) -> Result<(), NoMemory> {
        if self.capacity - self.len < n {
            let size = self.len.checked_add(n).ok_or(NoMemory)?;
            if size > isize::MAX as usize {
                return Err(NoMemory);
            }
            let result = self.backing.grow(self.len, size);
            (self.start, self.capacity) = self.backing.region();
            if result.is_err() {
                // The backing may have lost what was written.
                self.len = self.len.min(self.capacity);
                self.limit = self.len;
                return result;
            }
        }
        self.limit = self.capacity;
        Ok(())
    }

    /// Writes `N` bytes for which there is room.
    #[inline(always)]
    pub fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        assert!(self.has_room(N));
        // SAFETY: room for N bytes was just checked, and `start` is valid for `capacity` bytes.
        unsafe { self.start.add(self.len).cast::<[u8; N]>().write(bytes) };
        self.len += N;
    }

    /// Writes the bytes of a slice for which there is room.
    #[inline(always)]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        assert!(self.has_room(bytes.len()));
        // SAFETY: room was just checked; a shared slice cannot overlap memory that only this
        // buffer writes to.
        unsafe { copy_short(bytes.as_ptr(), self.start.add(self.len), bytes.len()) };
        self.len += bytes.len();
    }

    /// Writes `N` bytes for which there is room, of which the first `n` count.
    #[inline(always)]
    pub fn put_front<const N: usize>(&mut self, bytes: [u8; N], n: usize) {
        assert!(n <= N);
        self.put(bytes);
        self.len -= N - n;
    }

    /// Writes a header, the bytes of a slice and a trailer, for which there is room, with one check.
    #[inline(always)]
    pub fn put_wrapped<const N: usize, const M: usize>(
        &mut self,
        header: [u8; N],
        bytes: &[u8],
        trailer: [u8; M],
    ) {
        // A slice is at most isize::MAX long, so the sum does not wrap.
        let size = N + bytes.len() + M;
        assert!(self.has_room(size));
        // SAFETY: room for `size` bytes was just checked; a shared slice cannot overlap memory that
        // only this buffer writes to.
        unsafe {
            let at = self.start.add(self.len);
            at.cast::<[u8; N]>().write(header);
            copy_short(bytes.as_ptr(), at.add(N), bytes.len());
            at.add(N + bytes.len()).cast::<[u8; M]>().write(trailer);
        }
        self.len += size;
    }

    /// Writes up to `max` bytes, for which there is room, through `fill`.
    #[inline]
    pub fn put_with(&mut self, max: usize, fill: impl FnOnce(&mut Run<'_>)) {
        assert!(self.has_room(max));
        let mut run = self.run(self.len + max);
        fill(&mut run);
    }

    /// Writes for which there is room in front of `end`, without a look at the buffer between them.
    #[inline(always)]
    pub fn run(&mut self, end: usize) -> Run<'_> {
        let room = end.min(self.limit).max(self.len) - self.len;
        // SAFETY: `len <= limit <= capacity`, and `start` is valid for `capacity` bytes.
        let at = unsafe { self.start.add(self.len) };
        Run {
            at,
            room,
            before: room,
            len: &mut self.len,
        }
    }

    /// The bytes written so far.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the first `len` bytes were written.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// The bytes written so far, for patching.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// Forgets the bytes from `len` on.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len);
        self.len = len;
    }

    /// Hands the memory and the number of bytes written to it to `take`, which may exchange the memory; the buffer
    /// is empty afterwards.
    pub fn take_with<A>(&mut self, take: impl FnOnce(&mut B, usize) -> A) -> A {
        let len = std::mem::take(&mut self.len);
        let taken = take(&mut self.backing, len);
        (self.start, self.capacity) = self.backing.region();
        self.limit = self.capacity;
        taken
    }
}

/// See [`Buf::run`] and [`Buf::put_with`].
pub struct Run<'a> {
    at: *mut u8,
    /// `at` is valid for writes of this many bytes.
    room: usize,
    before: usize,
    len: &'a mut usize,
}

impl Run<'_> {
    /// Whether `n` more bytes fit.
    #[inline(always)]
    pub fn has_room(&self, n: usize) -> bool {
        self.room >= n
    }

    /// Writes `N` bytes, of which the first `n` count; for all of them there has to be room.
    #[inline(always)]
    pub fn put<const N: usize>(&mut self, bytes: [u8; N], n: usize) {
        assert!(self.has_room(N) && n <= N);
        // SAFETY: room for N bytes was just checked.
        unsafe {
            self.at.cast::<[u8; N]>().write(bytes);
            self.at = self.at.add(n);
        }
        self.room -= n;
    }

    /// Writes what `form` makes of the items, in parts of `PART` as long as there is room for the longest form of each,
    /// and returns those that are left. `plain` gives the bytes of a part whose items have one each.
    #[inline(always)]
    pub fn put_parts<'a, T: Copy, const PART: usize>(
        &mut self,
        items: &'a [T],
        plain: impl Fn(&[T; PART]) -> Option<[u8; PART]>,
        form: impl Fn(T) -> Form,
    ) -> &'a [T] {
        let (parts, _) = items.as_chunks::<PART>();
        // In variables: what is written might lie in `self`, for all that the compiler knows.
        let (start, mut at, mut done) = (self.at, self.at, 0);
        for part in parts {
            if self.room - (at.addr() - start.addr()) < PART * Form::LONGEST {
                break;
            }
            done += PART;
            // SAFETY: room for the longest form of each item was just checked.
            unsafe {
                if let Some(bytes) = plain(part) {
                    at.cast::<[u8; PART]>().write(bytes);
                    at = at.add(PART);
                    continue;
                }
                for &item in part {
                    at = form(item).write(at);
                }
            }
        }
        self.at = at;
        self.room -= at.addr() - start.addr();
        &items[done..]
    }

    /// Writes as many of `len` bytes from memory that others may write to meanwhile as there is room for.
    ///
    /// # Safety
    /// `from` is valid for reads of `len` bytes, and is not memory that this buffer writes to.
    #[inline]
    pub unsafe fn copy_from(&mut self, from: *const u8, len: usize) {
        let n = len.min(self.room);
        // SAFETY: promised by the caller, and there is room for `n` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(from, self.at, n);
            self.at = self.at.add(n);
        }
        self.room -= n;
    }

    /// Writes as many bytes of a slice as there is room for.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        // SAFETY: a shared slice cannot overlap memory that only this buffer writes to.
        unsafe { self.copy_from(bytes.as_ptr(), bytes.len()) };
    }
}

/// One to four bytes: an enum, since compilers make of an array and a length code without branches, which takes
/// nearly twice the time for text.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub enum Form {
    One([u8; 1]),
    Two([u8; 2]),
    Three([u8; 3]),
    Four([u8; 4]),
}

impl Form {
    /// The most bytes that there are.
    pub const LONGEST: usize = 4;

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Form::One(bytes) => bytes,
            Form::Two(bytes) => bytes,
            Form::Three(bytes) => bytes,
            Form::Four(bytes) => bytes,
        }
    }

    /// Writes the bytes, and returns where they end.
    ///
    /// # Safety
    /// `at` is valid for writes of [`Form::LONGEST`] bytes.
    #[inline(always)]
    unsafe fn write(self, at: *mut u8) -> *mut u8 {
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                Form::One(bytes) => {
                    at.cast::<[u8; 1]>().write(bytes);
                    at.add(1)
                }
                Form::Two(bytes) => {
                    at.cast::<[u8; 2]>().write(bytes);
                    at.add(2)
                }
                Form::Three(bytes) => {
                    at.cast::<[u8; 3]>().write(bytes);
                    at.add(3)
                }
                Form::Four(bytes) => {
                    at.cast::<[u8; 4]>().write(bytes);
                    at.add(4)
                }
            }
        }
    }
}

impl Drop for Run<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.len += self.before - self.room;
    }
}

/// `memcpy` that does not call a function for up to 16 bytes: keys and short strings are most of what
/// is copied.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `n` bytes, and they do not overlap.
#[inline(always)]
unsafe fn copy_short(from: *const u8, to: *mut u8, n: usize) {
    // Two overlapping copies of a fixed size cover every length in between.
    // SAFETY: all offsets are within `n`, by the condition of each branch.
    unsafe {
        match n {
            8..=16 => {
                let (head, tail) = (from.cast::<[u8; 8]>(), from.add(n - 8).cast::<[u8; 8]>());
                let (head, tail) = (head.read(), tail.read());
                to.cast::<[u8; 8]>().write(head);
                to.add(n - 8).cast::<[u8; 8]>().write(tail);
            }
            4..=7 => {
                let (head, tail) = (from.cast::<[u8; 4]>(), from.add(n - 4).cast::<[u8; 4]>());
                let (head, tail) = (head.read(), tail.read());
                to.cast::<[u8; 4]>().write(head);
                to.add(n - 4).cast::<[u8; 4]>().write(tail);
            }
            0 => {}
            1..=3 => {
                let (first, middle, last) =
                    (from.read(), from.add(n / 2).read(), from.add(n - 1).read());
                to.write(first);
                to.add(n / 2).write(middle);
                to.add(n - 1).write(last);
            }
            _ => std::ptr::copy_nonoverlapping(from, to, n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied() {
        let source: Vec<u8> = (1..=100).collect();
        for n in 0..=100 {
            let mut buf = Buf::new(Vec::new());
            buf.make_room(n).unwrap();
            buf.put_slice(&source[..n]);
            assert_eq!(buf.bytes(), &source[..n]);
        }
    }

    #[test]
    fn growing_keeps_the_bytes() {
        let mut buf = Buf::new(Vec::new());
        for i in 0..10_000_u32 {
            if !buf.has_room(4) {
                buf.make_room(4).unwrap();
            }
            buf.put(i.to_le_bytes());
        }
        assert_eq!(buf.len(), 40_000);
        for (i, word) in buf.bytes().chunks(4).enumerate() {
            assert_eq!(word, (i as u32).to_le_bytes());
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let mut buf = Buf::new(Vec::new());
        assert_eq!(buf.make_room(usize::MAX), Err(NoMemory));
        buf.make_room(1).unwrap();
        buf.put([1]);
        assert_eq!(buf.make_room(usize::MAX), Err(NoMemory));
        assert_eq!(buf.bytes(), [1]);
    }
}

//! [`Cursor`]: bytes in someone's buffer, read from front to back.
//!
//! The buffer may be a bytearray that other code writes to while a load runs, so its bytes are cells:
//! read one by one and never assumed to stay. A read of fixed size is a compare and a load. This
//! file must not know what the bytes mean.

use std::cell::Cell;
use std::marker::PhantomData;

use super::buffer::Export;
use crate::format::buf::NoMemory;

/// The rest of a buffer.
///
/// Not `Send`: only the thread that is attached to the interpreter reads the memory.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [Cell<u8>],
    not_send: PhantomData<*const u8>,
}

impl<'a> Cursor<'a> {
    /// The bytes of a slice.
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Self {
        // SAFETY: the bytes do not change for 'a, and a Cursor never writes.
        unsafe { Self::over(bytes.as_ptr(), bytes.len()) }
    }

    /// The memory of a buffer.
    ///
    /// # Safety
    /// `start` is not NULL and valid for reads of `len` bytes for `'a`. If others write to the
    /// memory, then only in code that this thread calls, or with the interpreter lock.
    #[inline(always)]
    pub(crate) unsafe fn over(start: *const u8, len: usize) -> Self {
        Cursor {
            // SAFETY: promised by the caller; Cell<u8> has the layout of u8.
            rest: unsafe { std::slice::from_raw_parts(start.cast::<Cell<u8>>(), len) },
            not_send: PhantomData,
        }
    }

    /// Number of bytes left.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.rest.len()
    }

    /// Whether no bytes are left.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// The first byte and the rest.
    #[inline(always)]
    pub fn byte(self) -> Option<(u8, Self)> {
        let (first, rest) = self.rest.split_first()?;
        Some((first.get(), self.with(rest)))
    }

    /// The first `N` bytes and the rest.
    #[inline(always)]
    pub fn array<const N: usize>(self) -> Option<([u8; N], Self)> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        // SAFETY: `N` bytes; a plain read of memory that this thread may read, as `Cell::get` is.
        let first = unsafe { first.as_ptr().cast::<[u8; N]>().read() };
        Some((first, self.with(rest)))
    }

    /// The first `len` bytes and the rest.
    #[inline(always)]
    pub fn split(self, len: usize) -> Option<(Self, Self)> {
        let (first, rest) = self.rest.split_at_checked(len)?;
        Some((self.with(first), self.with(rest)))
    }

    /// The last `len` bytes, all if there are fewer.
    #[inline(always)]
    pub fn last(self, len: usize) -> Self {
        self.with(&self.rest[self.rest.len().saturating_sub(len)..])
    }

    /// The first `len` bytes, all if there are fewer.
    #[inline(always)]
    pub fn first(self, len: usize) -> Self {
        self.with(&self.rest[..self.rest.len().min(len)])
    }

    /// Whether the bytes at the front are these.
    #[inline(always)]
    pub fn starts_with<const N: usize>(self, bytes: [u8; N]) -> bool {
        self.array().is_some_and(|(first, _)| first == bytes)
    }

    /// The bytes up to and including the first newline, and the rest.
    pub fn line(self) -> Option<(Self, Self)> {
        let end = self.bytes().iter().position(|&byte| byte == b'\n')?;
        self.split(end + 1)
    }

    /// Whether this is the last byte.
    pub fn ends_with(self, byte: u8) -> bool {
        self.rest.last().is_some_and(|last| last.get() == byte)
    }

    /// Copies the bytes.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then appended.
    pub fn append_to(self, out: &mut Vec<u8>) -> Result<(), NoMemory> {
        out.try_reserve(self.len()).map_err(|_| NoMemory)?;
        out.extend_from_slice(self.bytes());
        Ok(())
    }

    /// A copy of the bytes, with room for one more.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn to_vec(self) -> Result<Vec<u8>, NoMemory> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.len() + 1)
            .map_err(|_| NoMemory)?;
        copy.extend_from_slice(self.bytes());
        Ok(copy)
    }

    /// The number that the bytes, eight at most, stand for: little endian.
    pub fn number(self) -> Option<usize> {
        self.rest.iter().rev().try_fold(0_usize, |sum, byte| {
            sum.checked_mul(256)?.checked_add(byte.get().into())
        })
    }

    /// The bytes, for one copy or one look: nothing else may run while the slice is in use.
    #[inline(always)]
    pub(super) fn bytes(self) -> &'a [u8] {
        // SAFETY: the memory is valid for 'a, and the callers (all in `object/`, and `line` and `to_vec`)
        // let nothing run that could write to it before they are done with the slice.
        unsafe { std::slice::from_raw_parts(self.rest.as_ptr().cast(), self.rest.len()) }
    }

    #[inline(always)]
    fn with(self, rest: &'a [Cell<u8>]) -> Self {
        Cursor { rest, ..self }
    }
}

impl<'a> From<&'a Export> for Cursor<'a> {
    fn from(export: &'a Export) -> Self {
        let len = export.facts().len;
        if len == 0 {
            return Cursor::new(&[]);
        }
        // SAFETY: a contiguous buffer of `len` bytes, held for 'a.
        unsafe { Cursor::over(export.as_ptr(), len) }
    }
}

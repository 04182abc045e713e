//! The output stream: bytes, cut into frames where the protocol wants it (PEP 3154).
//!
//! A frame is opened by the first byte written while none is open: nine bytes are reserved, and filled in
//! when the frame is closed. A frame of fewer than four bytes loses its header again. The check
//! for "is a frame open" costs nothing: while none is, the buffer's soft limit is its end, so that the
//! next write takes the cold path anyway. This file must not know objects or opcodes but FRAME.

use super::buf::{Backing, Buf, NoMemory, Run};
use super::opcode::op;

/// A frame is closed before the next object once it holds this many bytes; a payload of this size is
/// written outside frames.
pub const FRAME_SIZE_TARGET: usize = 64 * 1024;
/// The opcode and its 8-byte length.
const FRAME_HEADER_SIZE: usize = 9;
/// A smaller frame would cost more than it gives.
const FRAME_SIZE_MIN: usize = 4;
const CLOSED: usize = usize::MAX;
/// The most bytes that are written without looking at the frame.
pub const MARGIN: usize = 512;

/// A pickle being written.
pub struct Output<B> {
    buf: Buf<B>,
    framing: bool,
    /// Where the payload of the open frame starts, or [`CLOSED`].
    frame_start: usize,
    /// The length at which [`Output::attention`] becomes true.
    attention_at: usize,
    always: bool,
}

impl<B: Backing> Output<B> {
    /// An empty stream without frames.
    pub fn new(backing: B) -> Self {
        Output {
            buf: Buf::new(backing),
            framing: false,
            frame_start: CLOSED,
            attention_at: FRAME_SIZE_TARGET,
            always: false,
        }
    }

    /// Writes what comes before the frames, and opens the first: everything from here on goes into frames.
    ///
    /// # Errors
    /// [`NoMemory`].
    #[inline]
    pub fn start_framing<const N: usize>(&mut self, header: [u8; N]) -> Result<(), NoMemory> {
        debug_assert!(!self.framing && self.buf.is_empty());
        if !self.buf.has_room(N + FRAME_HEADER_SIZE) {
            self.buf.make_room(N + FRAME_HEADER_SIZE)?;
        }
        self.buf.put(header);
        self.buf.put([0; FRAME_HEADER_SIZE]);
        self.framing = true;
        self.frame_start = self.buf.len();
        self.set_attention();
        Ok(())
    }

    /// Makes [`Output::attention`] always true.
    pub fn always_attend(&mut self) {
        self.always = true;
        self.attention_at = 0;
    }

    /// Whether something has to be looked at before the next object: the frame is full, 64 KiB were
    /// written since the last look, or [`Output::always_attend`] was called.
    #[inline(always)]
    pub fn attention(&self) -> bool {
        self.buf.len() >= self.attention_at
    }

    /// Whether [`Output::attention`] could become true within the next [`MARGIN`] bytes.
    #[inline(always)]
    pub fn is_near(&self) -> bool {
        self.buf.len() + MARGIN >= self.attention_at
    }

    /// Whether [`Output::attention`] could become true within the next [`MARGIN`] and so many bytes.
    pub fn is_within(&self, bytes: usize) -> bool {
        self.buf.len().saturating_add(bytes) + MARGIN >= self.attention_at
    }

    /// Says that the look that [`Output::attention`] asked for was taken.
    pub fn attended(&mut self) {
        self.set_attention();
    }

    /// A save boundary inside an object that is written in one piece, of a pickle that is kept in memory: a full frame
    /// ends here. The next look is due at the next object.
    #[inline(always)]
    pub fn boundary(&mut self) {
        if self.attention() {
            self.cross();
        }
    }

    #[cold]
    fn cross(&mut self) {
        if self.frame_is_full() {
            self.commit_frame();
            self.attention_at = 0;
        }
    }

    fn set_attention(&mut self) {
        self.attention_at = match (self.always, self.frame_start) {
            (true, _) => 0,
            (false, CLOSED) => self.buf.len().saturating_add(FRAME_SIZE_TARGET),
            (false, start) => start.saturating_add(FRAME_SIZE_TARGET),
        };
    }

    /// Makes [`Output::attention`] true after so many bytes at the latest.
    pub fn attend_within(&mut self, bytes: usize) {
        self.attention_at = self.attention_at.min(self.buf.len().saturating_add(bytes));
    }

    /// Whether the open frame holds its target size.
    pub fn frame_is_full(&self) -> bool {
        self.frame_start != CLOSED
            && self.buf.len().saturating_sub(self.frame_start) >= FRAME_SIZE_TARGET
    }

    fn make_room(&mut self, n: usize) -> Result<(), NoMemory> {
        if self.framing && self.frame_start == CLOSED {
            let due = self.attention();
            self.buf
                .make_room(n.checked_add(FRAME_HEADER_SIZE).ok_or(NoMemory)?)?;
            self.buf.put([0; FRAME_HEADER_SIZE]);
            self.frame_start = self.buf.len();
            if due {
                self.attention_at = 0;
            } else {
                self.set_attention();
            }
            Ok(())
        } else {
            self.buf.make_room(n)
        }
    }

    /// Writes `N` bytes.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then written.
    #[inline(always)]
    pub fn emit<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), NoMemory> {
        if !self.buf.has_room(N) {
            return self.emit_cold(&bytes, &[]);
        }
        self.buf.put(bytes);
        Ok(())
    }

    /// Whether `n` more bytes can be written with the functions that do not ask.
    #[inline(always)]
    pub fn has_room(&self, n: usize) -> bool {
        self.buf.has_room(n)
    }

    /// Writes `N` bytes for which [`Output::has_room`].
    #[inline(always)]
    pub fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.buf.put(bytes);
    }

    /// Writes `N` bytes for which [`Output::has_room`], of which the first `n` count.
    #[inline(always)]
    pub fn put_front<const N: usize>(&mut self, bytes: [u8; N], n: usize) {
        self.buf.put_front(bytes, n);
    }

    /// Writes a header, a payload and a trailer for which [`Output::has_room`].
    #[inline(always)]
    pub fn put_wrapped<const N: usize, const M: usize>(
        &mut self,
        header: [u8; N],
        payload: &[u8],
        trailer: [u8; M],
    ) {
        self.buf.put_wrapped(header, payload, trailer);
    }

    /// Writes that end before [`Output::attention`] becomes true or the frame has to be looked at.
    #[inline(always)]
    pub fn run(&mut self) -> Run<'_> {
        self.buf.run(self.attention_at)
    }

    #[cold]
    #[inline(never)]
    fn emit_cold(&mut self, header: &[u8], payload: &[u8]) -> Result<(), NoMemory> {
        self.make_room(header.len().checked_add(payload.len()).ok_or(NoMemory)?)?;
        self.buf.put_slice(header);
        self.buf.put_slice(payload);
        Ok(())
    }

    /// Writes the bytes of a slice.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then written.
    #[inline]
    pub fn emit_slice(&mut self, bytes: &[u8]) -> Result<(), NoMemory> {
        if !self.buf.has_room(bytes.len()) {
            return self.emit_cold(bytes, &[]);
        }
        self.buf.put_slice(bytes);
        Ok(())
    }

    /// Writes a header and a payload under one check.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then written.
    #[inline(always)]
    pub fn emit_counted<const N: usize>(
        &mut self,
        header: [u8; N],
        payload: &[u8],
    ) -> Result<(), NoMemory> {
        // A payload is at most isize::MAX long, so the sum does not wrap.
        if !self.buf.has_room(payload.len() + N) {
            return self.emit_cold(&header, payload);
        }
        self.buf.put(header);
        self.buf.put_slice(payload);
        Ok(())
    }

    /// Writes a header, a payload and a trailer under one check.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then written.
    #[inline(always)]
    pub fn emit_wrapped<const N: usize, const M: usize>(
        &mut self,
        header: [u8; N],
        payload: &[u8],
        trailer: [u8; M],
    ) -> Result<(), NoMemory> {
        if !self.buf.has_room(payload.len() + N + M) {
            self.emit_cold(&header, payload)?;
            return self.emit(trailer);
        }
        self.buf.put_wrapped(header, payload, trailer);
        Ok(())
    }

    /// Writes a header and up to `max` bytes through `fill`.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then written.
    pub fn emit_with<const N: usize>(
        &mut self,
        header: [u8; N],
        max: usize,
        fill: impl FnOnce(&mut Run<'_>),
    ) -> Result<(), NoMemory> {
        let n = max.checked_add(N).ok_or(NoMemory)?;
        if !self.buf.has_room(n) {
            self.make_room(n)?;
        }
        self.buf.put(header);
        self.buf.put_with(max, fill);
        Ok(())
    }

    /// Closes the open frame, if one is.
    pub fn commit_frame(&mut self) {
        if self.frame_start == CLOSED {
            return;
        }
        let start = self.frame_start;
        let size = self.buf.len() - start;
        if size >= FRAME_SIZE_MIN {
            let header = &mut self.buf.bytes_mut()[start - FRAME_HEADER_SIZE..start];
            header[0] = op::FRAME;
            header[1..].copy_from_slice(&(size as u64).to_le_bytes());
        } else {
            let end = self.buf.len();
            self.buf
                .bytes_mut()
                .copy_within(start..end, start - FRAME_HEADER_SIZE);
            self.buf.truncate(end - FRAME_HEADER_SIZE);
        }
        self.frame_start = CLOSED;
        self.buf.close();
        self.set_attention();
    }

    /// Writes bytes outside any frame: the open one is closed first, the next byte opens another.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then written, though the frame is closed.
    pub fn emit_unframed(&mut self, header: &[u8], payload: &[u8]) -> Result<(), NoMemory> {
        self.unframed(header, payload.len(), |buf| buf.put_slice(payload))
    }

    /// As [`Output::emit_unframed`], with a payload of up to `max` bytes that `fill` writes.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is then written, though the frame is closed.
    pub fn emit_unframed_with(
        &mut self,
        header: &[u8],
        max: usize,
        fill: impl FnOnce(&mut Run<'_>),
    ) -> Result<(), NoMemory> {
        self.unframed(header, max, |buf| buf.put_with(max, fill))
    }

    fn unframed(
        &mut self,
        header: &[u8],
        max: usize,
        payload: impl FnOnce(&mut Buf<B>),
    ) -> Result<(), NoMemory> {
        self.commit_frame();
        let n = header.len().checked_add(max).ok_or(NoMemory)?;
        self.buf.make_room(n)?;
        self.buf.put_slice(header);
        payload(&mut self.buf);
        if self.framing {
            self.buf.close();
        }
        // So much is worth a look by itself.
        self.attention_at = self.attention_at.min(self.buf.len());
        Ok(())
    }

    /// What is written and not yet taken; no frame may be open.
    pub fn pending(&self) -> &[u8] {
        debug_assert!(self.frame_start == CLOSED);
        self.buf.bytes()
    }

    /// Forgets what was written, after it was handed on; no frame may be open.
    pub fn clear(&mut self) {
        debug_assert!(self.frame_start == CLOSED);
        self.buf.truncate(0);
        if self.framing {
            self.buf.close();
        } else {
            self.buf.unlimit();
        }
        self.set_attention();
    }

    /// Hands the memory and the number of bytes written to it to `take`, which may exchange the memory; the
    /// stream is empty afterwards, and without frames.
    pub fn take_with<A>(&mut self, take: impl FnOnce(&mut B, usize) -> A) -> A {
        let taken = self.buf.take_with(take);
        self.framing = false;
        self.frame_start = CLOSED;
        self.always = false;
        self.set_attention();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed() -> Output<Vec<u8>> {
        let mut out = Output::new(Vec::new());
        out.start_framing([op::PROTO, 4]).unwrap();
        out
    }

    #[test]
    fn a_short_frame_loses_its_header() {
        let mut out = framed();
        out.emit([op::NONE, op::STOP]).unwrap();
        out.commit_frame();
        assert_eq!(out.pending(), [0x80, 4, b'N', b'.']);
    }

    #[test]
    fn a_frame_gets_its_length() {
        let mut out = framed();
        out.emit([1, 2, 3]).unwrap();
        out.emit([4]).unwrap();
        out.commit_frame();
        assert_eq!(
            out.pending(),
            [0x80, 4, 0x95, 4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]
        );
    }

    #[test]
    fn large_payloads_stay_outside() {
        let mut out = framed();
        out.emit([1, 2, 3, 4]).unwrap();
        out.emit_unframed(b"head", b"payload").unwrap();
        out.emit([5, 6, 7, 8]).unwrap();
        out.commit_frame();
        let frame = [0x95, 4, 0, 0, 0, 0, 0, 0, 0];
        let expected = [
            &[0x80, 4][..],
            &frame,
            &[1, 2, 3, 4],
            b"headpayload",
            &frame,
            &[5, 6, 7, 8],
        ];
        assert_eq!(out.pending(), expected.concat());
    }

    #[test]
    fn attention_comes_with_a_full_frame() {
        let mut out = framed();
        for _ in 0..FRAME_SIZE_TARGET - 1 {
            out.emit([0]).unwrap();
            assert!(!out.attention());
        }
        out.emit([0]).unwrap();
        assert!(out.attention() && out.frame_is_full());
        out.commit_frame();
        assert!(!out.attention());
    }
}

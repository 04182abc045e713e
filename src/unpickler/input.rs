//! Where the stream comes from: bytes in memory, or a file's methods.
//!
//! Either way the loop works on a *window*, the bytes at hand: all of them for memory; for a file the last frame,
//! what `peek` showed, or what one read gave. An opcode that is not wholly in the window is
//! fetched in pieces (`pieces.rs`), with exactly the calls on the file that C makes, so that the file is
//! left exactly where C leaves it. A frame limits the window: no read may cross its end.
//! A BytesIO shows only where it stands, not how it came there: of it more is read at once (`foresee`).
//! This file must not know opcodes, but for those before a frame.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::methods::Methods;
use crate::compat::QUIRKS;
use crate::errors;
use crate::format::opcode::op;
use crate::object::cursor::Cursor;
use crate::object::filling::Filling;
use crate::object::{R, Raised, attr, fallible, make, number};

/// Bytes asked of `peek`.
const PREFETCH: usize = 128 * 1024;

/// A length in the stream is believed up to here; beyond, reads double what has arrived. (C: since
/// 3.15.)
const CHUNK: usize = 1024 * 1024;

/// Bytes of FRAME with the size of the frame.
const HEADER: usize = 9;

/// Bytes of a stream without frames that are read at once of a BytesIO: few first, then more and more.
const LEAST_AHEAD: usize = 64;
const MOST_AHEAD: usize = 1 << 14;

/// See the module.
pub struct Input<'a> {
    source: Source<'a>,
    /// Where the next byte is in the window.
    at: usize,
    /// Bytes of this load in front of the window; what an earlier load has read of the window counts against it.
    before: usize,
    /// Where the open frame ends in the window.
    frame_end: Option<usize>,
    /// How many bytes were last read of a BytesIO beyond what C would have read ([`Input::foresee`]); 0 if none may be.
    ///
    /// As long as only plain data is loaded, nobody sees where it stands. Whoever executes opcodes of a window that
    /// [`Input::is_over`] has to [`Input::settle`] before code of users runs.
    ahead: usize,
    /// The next opcode is read as C reads it.
    exact: bool,
}

enum Source<'a> {
    Memory(Cursor<'a>),
    File(&'a mut File),
}

/// The methods of a file, and what they gave last.
///
/// A load borrows it: moving it there and back made the processor wait (`Memo::make_room` has the figure).
pub struct File {
    window: Option<Py<PyBytes>>,
    /// Up to here the window has been read from the file, and not just seen by `peek`.
    passed: usize,
    /// The window is a frame.
    is_frame: bool,
    /// The window has been read beyond what C would have read by now.
    over: bool,
    methods: Methods,
    /// Between two loads: where the next byte is in the window, and where the open frame ends in it.
    at: usize,
    frame_end: Option<usize>,
    /// Between two loads: nothing but plain data has been loaded, so that there is nothing else in the memo.
    plain: bool,
}

/// Bytes of a payload from which on it takes less to ask what the file does with memory than to zero it: small
/// bytes from a BytesIO took 7 % more with the question.
const WORTH_ASKING: usize = 1 << 12;

impl File {
    /// A file that nothing has been read from.
    pub fn new(methods: Methods) -> Self {
        File {
            window: None,
            passed: 0,
            is_frame: false,
            over: false,
            methods,
            at: 0,
            frame_end: None,
            plain: true,
        }
    }

    /// Between two loads: says that the memo was exchanged for another, in which anything may be.
    pub fn distrust_memo(&mut self) {
        self.plain = false;
    }

    /// The Python objects held, for the garbage collector.
    pub fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.methods.objects()
    }
}

impl<'a> Input<'a> {
    /// Bytes in memory.
    pub fn memory(bytes: Cursor<'a>) -> Self {
        Input {
            source: Source::Memory(bytes),
            at: 0,
            before: 0,
            frame_end: None,
            ahead: 0,
            exact: false,
        }
    }

    /// A file: what an earlier load has left in the window comes first. What this one leaves stays there when the input
    /// is dropped.
    pub fn file(file: &'a mut File) -> Self {
        Input {
            at: file.at,
            before: 0_usize.wrapping_sub(file.at),
            frame_end: file.frame_end,
            ahead: usize::from(file.plain),
            exact: false,
            source: Source::File(file),
        }
    }

    fn window(&self, py: Python<'_>) -> Cursor<'_> {
        match &self.source {
            Source::Memory(bytes) => *bytes,
            Source::File(file) => file.window(py),
        }
    }

    /// Where the bytes that may be read now end in the window.
    fn limit(&self, py: Python<'_>) -> usize {
        self.frame_end.unwrap_or_else(|| self.window(py).len())
    }

    /// Bytes that this load has behind it.
    pub fn position(&self) -> usize {
        self.before.wrapping_add(self.at)
    }

    /// The bytes at hand from a position on, across ends of frames; none if those at the position are gone.
    pub fn since(&self, py: Python<'_>, position: usize) -> Cursor<'_> {
        let window = self.window(py);
        match self.at.checked_sub(self.position().wrapping_sub(position)) {
            Some(at) => window.last(window.len() - at),
            None => window.first(0),
        }
    }

    /// The bytes at hand, up to the end of the frame.
    #[inline]
    pub fn rest(&self, py: Python<'_>) -> Cursor<'_> {
        let upto = self.window(py).first(self.limit(py));
        upto.last(upto.len() - self.at)
    }

    /// Whether a frame is open.
    #[inline]
    pub fn is_framed(&self) -> bool {
        self.frame_end.is_some()
    }

    /// Says that of [`Input::rest`] so many bytes are left, and whether a frame ends with it.
    #[inline]
    pub fn leave(&mut self, py: Python<'_>, left: usize, framed: bool) {
        let limit = self.limit(py);
        self.at = limit - left;
        if framed {
            self.frame_end = Some(limit);
        }
    }

    /// A read of `len` bytes is about to begin: it may begin at the end of a frame, but not cross it.
    fn enter(&mut self, py: Python<'_>, len: usize) -> R<()> {
        match self.frame_end {
            Some(end) if self.at == end => self.frame_end = None,
            Some(end) if len > end - self.at => return Err(exhausted(py)),
            _ => {}
        }
        Ok(())
    }

    /// Appends exactly `len` bytes to `out`.
    ///
    /// # Errors
    /// UnpicklingError if they are not there or cross the end of a frame; what the file raises.
    pub fn read(&mut self, py: Python<'_>, len: usize, out: &mut Vec<u8>) -> R<()> {
        self.look_at(py, len, |bytes| bytes.append_to(out))?
            .map_err(|_| errors::no_memory(py))
    }

    /// Gives exactly the next `len` bytes to `f`.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub fn look_at<A>(
        &mut self,
        py: Python<'_>,
        len: usize,
        f: impl FnOnce(Cursor<'_>) -> A,
    ) -> R<A> {
        self.enter(py, len)?;
        self.fetch(py, len)?;
        if let Some((_, rest)) = self.window(py).split(self.at)
            && let Some((bytes, _)) = rest.split(len)
        {
            let result = f(bytes);
            self.at += len;
            return Ok(result);
        }
        Err(truncated(py))
    }

    /// Brings `len` bytes from here on into the window.
    fn fetch(&mut self, py: Python<'_>, len: usize) -> R<()> {
        if len <= self.window(py).len() - self.at {
            return Ok(());
        }
        if self.at > isize::MAX as usize - len {
            return Err(errors::unpickling(
                py,
                "read would overflow (invalid bytecode)",
            ));
        }
        self.settle(py)?;
        let Source::File(file) = &mut self.source else {
            return Err(truncated(py));
        };
        file.pass(py, self.at)?;
        let window = if len > CHUNK && !file.methods.is_bytes_io() {
            file.read_much(py, len)?
        } else {
            file.read_some(py, len)?
        };
        self.set_window(py, window, len)
    }

    /// Goes on at the front of a new window, which should have `len` bytes.
    fn set_window(&mut self, py: Python<'_>, window: Window, len: usize) -> R<()> {
        let Source::File(file) = &mut self.source else {
            return Err(truncated(py));
        };
        let size = window.bytes.bind(py).as_bytes().len();
        file.passed = if window.peeked { 0 } else { size };
        (file.is_frame, file.over) = (false, false);
        let old = file.window.replace(window.bytes);
        self.before = self.position();
        self.at = 0;
        drop(old.map(|old| old.into_bound(py)));
        if size < len {
            return Err(truncated(py));
        }
        Ok(())
    }

    /// Appends a line, with its newline, to `out`, and says how long it is.
    ///
    /// # Errors
    /// UnpicklingError if there is none or it crosses the end of a frame; what the file raises.
    pub fn line(&mut self, py: Python<'_>, out: &mut Vec<u8>) -> R<usize> {
        let mut found = self.rest(py).line();
        if found.is_none() && self.frame_end.is_some() {
            if !self.rest(py).is_empty() {
                return Err(exhausted(py));
            }
            self.frame_end = None;
            found = self.rest(py).line();
        }
        if let Some((line, _)) = found {
            line.append_to(out).map_err(|_| errors::no_memory(py))?;
            let len = line.len();
            self.at += len;
            return Ok(len);
        }
        self.settle(py)?;
        let Source::File(file) = &mut self.source else {
            return Err(truncated(py));
        };
        file.pass(py, self.at)?;
        let line = file.methods.readline(py)?;
        let window = Window {
            bytes: make::to_bytes(line)?.unbind(),
            peeked: false,
        };
        self.set_window(py, window, 0)?;
        let line = self.window(py);
        let len = line.len();
        if !line.ends_with(b'\n') {
            return Err(truncated(py));
        }
        line.append_to(out).map_err(|_| errors::no_memory(py))?;
        self.at = len;
        Ok(len)
    }

    /// A bytes object, or a bytearray if `array`, of the next `len` bytes.
    ///
    /// What the window lacks is read straight into it where the file can.
    ///
    /// # Errors
    /// As [`Input::read`]; ValueError if `read` returns something else than bytes, or `readinto` a
    /// negative number.
    pub fn payload<'py>(
        &mut self,
        py: Python<'py>,
        array: bool,
        len: usize,
    ) -> R<Bound<'py, PyAny>> {
        self.enter(py, len)?;
        if self.window(py).len() - self.at <= len {
            self.settle(py)?;
        }
        let left = self.window(py).len() - self.at;
        let here = left.min(len);
        // At the end of the window C reads on, even to read nothing.
        let beyond = here < len || left == 0;
        if beyond && matches!(self.source, Source::Memory(_)) {
            return Err(truncated(py));
        }
        if let Source::File(file) = &mut self.source
            && file.methods.is_bytes_io()
            && here == 0
            && !array
            && len != 1
        {
            // What is not there takes no memory. A single byte would be one that others have too.
            file.pass(py, self.at)?;
            let window = file.read_some(py, len)?;
            let bytes = window.bytes.into_bound(py);
            if bytes.as_bytes().len() < len {
                return Err(truncated(py));
            }
            self.before = self.before.wrapping_add(len);
            return Ok(bytes.into_any());
        }
        let zeroed = match &self.source {
            Source::File(file) if beyond => len < WORTH_ASKING || !file.methods.only_write(py),
            _ => false,
        };
        let mut filling = Filling::new(py, array, len.min(here.max(CHUNK)), zeroed)?;
        let part = self.window(py).last(left).first(here);
        if !filling.append(part) {
            return Err(truncated(py));
        }
        self.at += here;
        if beyond && let Source::File(file) = &mut self.source {
            file.pass(py, self.at)?;
            file.fill(py, &mut filling, len)?;
            self.before = self.before.wrapping_add(len - here);
        }
        Ok(filling.finish())
    }

    /// A frame of `len` bytes begins here, where the one before is over.
    ///
    /// # Errors
    /// UnpicklingError if it is not there in full; what the file raises.
    pub fn begin_frame(&mut self, py: Python<'_>, len: usize) -> R<()> {
        self.frame_end = None;
        self.fetch(py, len)?;
        if let Source::File(file) = &mut self.source {
            file.is_frame = file.window(py).len() - self.at == len;
        }
        if QUIRKS.frames_enforced {
            self.frame_end = Some(self.at + len);
        }
        Ok(())
    }

    /// There is more than plain data: nothing is read any more that C would not have read.
    pub fn forbid_ahead(&mut self) {
        self.ahead = 0;
    }

    /// Whether the file stands behind what C would have read by now.
    #[inline]
    pub fn is_over(&self) -> bool {
        matches!(&self.source, Source::File(file) if file.over)
    }

    /// Moves a file that is ahead to where C would have it; from now on it is read as C reads it.
    ///
    /// # Errors
    /// What the file raises.
    pub fn settle(&mut self, py: Python<'_>) -> R<()> {
        let at = self.at;
        let Source::File(file) = &mut self.source else {
            return Ok(());
        };
        if !file.over {
            return Ok(());
        }
        let left = file.window(py).len() - at;
        let old = file.window.take();
        (file.passed, file.over) = (0, false);
        let moved = if left == 0 {
            Ok(())
        } else {
            file.methods.step_back(py, left)
        };
        self.before = self.position();
        (self.at, self.exact) = (0, true);
        drop(old.map(|old| old.into_bound(py)));
        moved
    }

    /// Reads what is next in a BytesIO, more than an opcode. True if it is in the window.
    ///
    /// It is the header of a frame, most often, for which C makes three calls, and those for PROTO two more; or what
    /// comes next of a stream without frames, if that is allowed.
    ///
    /// # Errors
    /// What the file raises.
    pub fn foresee(&mut self, py: Python<'_>) -> R<bool> {
        let first = self.position() == 0;
        let exact = std::mem::take(&mut self.exact);
        let Source::File(file) = &mut self.source else {
            return Ok(false);
        };
        if !file.methods.is_bytes_io() || exact || self.at < file.window(py).len() {
            return Ok(false);
        }
        let size = if first {
            HEADER + 2
        } else if file.is_frame {
            HEADER
        } else if self.ahead > 0 {
            self.ahead = (self.ahead * 4).clamp(LEAST_AHEAD, MOST_AHEAD);
            self.ahead
        } else {
            return Ok(false);
        };
        let window = file.read_some(py, size)?;
        let bytes = window.bytes.as_bytes(py);
        let count = bytes.len();
        let is_header = match bytes.split_first_chunk::<HEADER>() {
            Some(([op::FRAME, ..], [])) => true,
            Some(([op::PROTO, 4..=5, op::FRAME, ..], rest)) => rest.len() == 2,
            _ => false,
        };
        if is_header || self.ahead > 0 && count > 0 {
            self.frame_end = None;
            self.set_window(py, window, 1)?;
            if let Source::File(file) = &mut self.source {
                file.over = !is_header;
            }
            return Ok(true);
        }
        if count > 0 {
            file.methods.step_back(py, count)?;
        }
        Ok(false)
    }

    /// A pickle is over: moves the file behind what was used of the window.
    ///
    /// # Errors
    /// What the file raises.
    pub fn finish(&mut self, py: Python<'_>) -> R<()> {
        self.settle(py)?;
        match &mut self.source {
            Source::Memory(_) => Ok(()),
            Source::File(file) => file.pass(py, self.at),
        }
    }
}

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if let Source::File(file) = &mut self.source {
            file.at = self.at;
            file.frame_end = self.frame_end;
            file.plain = self.ahead > 0;
        }
    }
}

/// What a file gave.
struct Window {
    bytes: Py<PyBytes>,
    /// Whether the file still stands before it.
    peeked: bool,
}

impl File {
    fn window(&self, py: Python<'_>) -> Cursor<'_> {
        match &self.window {
            Some(bytes) => Cursor::new(bytes.as_bytes(py)),
            None => Cursor::new(&[]),
        }
    }

    /// Reads what was used of what `peek` showed.
    fn pass(&mut self, py: Python<'_>, at: usize) -> R<()> {
        if at > self.passed {
            self.methods.read(py, at - self.passed)?;
            self.passed = at;
        }
        Ok(())
    }

    /// What `peek` shows if that is enough, else what `read(len)` gives.
    fn read_some(&mut self, py: Python<'_>, len: usize) -> R<Window> {
        if let Methods::Bound { peek: place, .. } = &mut self.methods
            && let Some(peek) = &*place
            && len < PREFETCH
        {
            match attr::call1(peek.bind(py), &make::size(py, PREFETCH)?) {
                Ok(data) => {
                    let bytes = make::to_bytes(data)?;
                    if bytes.as_bytes().len() >= len {
                        return Ok(Window {
                            bytes: bytes.unbind(),
                            peeked: true,
                        });
                    }
                }
                Err(raised) => {
                    let err = raised.take(py);
                    if !err.is_instance_of::<PyNotImplementedError>(py) {
                        return Err(err.into());
                    }
                    let peek = place.take();
                    drop(peek.map(|peek| peek.into_bound(py)));
                }
            }
        }
        let data = self.methods.read(py, len)?;
        Ok(Window {
            bytes: make::to_bytes(data)?.unbind(),
            peeked: false,
        })
    }

    /// `len` bytes, more than a chunk: chunk by chunk.
    fn read_much(&mut self, py: Python<'_>, len: usize) -> R<Window> {
        let first = self.read_some(py, CHUNK)?;
        let bytes = first.bytes.bind(py);
        if bytes.as_bytes().len() < CHUNK {
            if QUIRKS.short_chunks_are_lost {
                return Err(truncated(py));
            }
            return Ok(first);
        }
        let zeroed = !self.methods.only_write(py);
        let mut filling = Filling::new(py, false, CHUNK, zeroed)?;
        if !filling.append(Cursor::new(bytes.as_bytes()).first(CHUNK)) {
            return Err(truncated(py));
        }
        self.fill(py, &mut filling, len)?;
        let bytes = filling
            .finish()
            .cast_into::<PyBytes>()
            .map_err(PyErr::from)?;
        Ok(Window {
            bytes: bytes.unbind(),
            peeked: false,
        })
    }

    /// Fills up to `len` bytes in all, with one call at least.
    fn fill<'py>(&self, py: Python<'py>, filling: &mut Filling<'py>, len: usize) -> R<()> {
        loop {
            let filled = filling.filled();
            let size = if filled < CHUNK {
                len.min(CHUNK)
            } else {
                len.min(filled.saturating_mul(2))
            };
            filling.grow(size)?;
            let arrived = match self.methods.fill(py, filling)? {
                Some(count) => {
                    let count = number::to_ssize(&count)?;
                    let Ok(count) = usize::try_from(count) else {
                        return Err(errors::value_error(py, "readinto() returned negative size"));
                    };
                    count >= size - filled && filling.advance(size - filled)
                }
                None => {
                    let data = self.methods.read(py, size - filled)?;
                    let Ok(data) = data.cast::<PyBytes>() else {
                        let ty = data.get_type().repr()?;
                        let text = format!(
                            "read() returned non-bytes object ({})",
                            fallible::shown(&ty)?
                        );
                        return Err(errors::value_error(py, &text));
                    };
                    let bytes = Cursor::new(data.as_bytes());
                    bytes.len() >= size - filled && filling.append(bytes.first(size - filled))
                }
            };
            if !arrived {
                return Err(truncated(py));
            }
            if filling.filled() >= len {
                return Ok(());
            }
        }
    }
}

/// The error for FRAME inside a frame.
#[cold]
pub fn frame_in_frame(py: Python<'_>) -> Raised {
    errors::unpickling(py, "beginning of a new frame before end of current frame")
}

#[cold]
fn exhausted(py: Python<'_>) -> Raised {
    errors::unpickling(py, "pickle exhausted before end of frame")
}

/// The error for an argument that is not there in full.
#[cold]
pub fn truncated(py: Python<'_>) -> Raised {
    errors::unpickling(py, "pickle data was truncated")
}

//! The methods of a file, as a load calls them.
//!
//! Of a BytesIO those of its class are called, since nobody can see that they were not looked up. This file
//! must not know when a file is read, nor keep what was read of it.

use pyo3::prelude::*;

use crate::errors;
use crate::object::bytes_io;
use crate::object::filling::{self, Filling};
use crate::object::{R, attr, make};
use crate::state::State;

/// The methods of a file, looked up once.
pub enum Methods {
    /// The file is a BytesIO with its own methods: only where it stands when code of users runs is to be seen, not how
    /// it came there.
    BytesIo(Py<PyAny>),
    /// What the attributes of another file gave.
    Bound {
        /// Shows what is next, without reading it.
        peek: Option<Py<PyAny>>,
        /// Fills memory.
        readinto: Option<Py<PyAny>>,
        /// Reads so many bytes.
        read: Py<PyAny>,
        /// Reads up to a newline.
        readline: Py<PyAny>,
    },
}

impl Methods {
    /// Looks the methods of `file` up.
    ///
    /// # Errors
    /// TypeError if `read` or `readline` is missing; what a look-up raises, AttributeError excepted.
    pub fn of(file: &Bound<'_, PyAny>) -> R<Self> {
        if bytes_io::is_plain(file) {
            return Ok(Methods::BytesIo(file.clone().unbind()));
        }
        let py = file.py();
        let names = &State::get(py).names;
        let peek = attr::get_optional(file, names.peek.bind(py))?;
        let readinto = attr::get_optional(file, names.readinto.bind(py))?;
        let read = attr::get_optional(file, names.read.bind(py))?;
        let readline = attr::get_optional(file, names.readline.bind(py))?;
        let (Some(read), Some(readline)) = (read, readline) else {
            return Err(errors::type_error(
                py,
                "file must have 'read' and 'readline' attributes",
            ));
        };
        if let (None, Some(readinto)) = (&peek, &readinto)
            && bytes_io::is_read_by(file, [&read, readinto, &readline])
        {
            return Ok(Methods::BytesIo(file.clone().unbind()));
        }
        Ok(Methods::Bound {
            peek: peek.map(Bound::unbind),
            readinto: readinto.map(Bound::unbind),
            read: read.unbind(),
            readline: readline.unbind(),
        })
    }

    /// Whether the file is a BytesIO that is read by its own methods.
    #[inline]
    pub(super) fn is_bytes_io(&self) -> bool {
        matches!(self, Methods::BytesIo(_))
    }

    /// What `read(size)` returns.
    #[inline]
    pub(super) fn read<'py>(&self, py: Python<'py>, size: usize) -> R<Bound<'py, PyAny>> {
        let size = make::size(py, size)?;
        match self {
            Methods::BytesIo(file) => bytes_io::read(file.bind(py), &size),
            Methods::Bound { read, .. } => attr::call1(read.bind(py), &size),
        }
    }

    /// What `readline()` returns.
    pub(super) fn readline<'py>(&self, py: Python<'py>) -> R<Bound<'py, PyAny>> {
        match self {
            Methods::BytesIo(file) => bytes_io::readline(file.bind(py)),
            Methods::Bound { readline, .. } => attr::call0(readline.bind(py)),
        }
    }

    /// What `readinto` returns for the rest of `filling`; None without a `readinto`.
    pub(super) fn fill<'py>(
        &self,
        py: Python<'py>,
        filling: &mut Filling<'py>,
    ) -> R<Option<Bound<'py, PyAny>>> {
        match self {
            Methods::BytesIo(file) => {
                filling.read_into(py, |view| bytes_io::readinto(file.bind(py), view))
            }
            Methods::Bound {
                readinto: Some(readinto),
                ..
            } => filling.read_into(py, |view| attr::call1(readinto.bind(py), view)),
            Methods::Bound { readinto: None, .. } => return Ok(None),
        }
        .map(Some)
    }

    /// Whether the file does not look at the memory that it fills. Without `readinto` it gets none.
    pub(super) fn only_write(&self, py: Python<'_>) -> bool {
        match self {
            Methods::BytesIo(_) => true,
            Methods::Bound { readinto, .. } => readinto
                .as_ref()
                .is_none_or(|readinto| filling::only_writes(readinto.bind(py))),
        }
    }

    /// Moves a BytesIO back by `count` bytes, which were just read.
    pub(super) fn step_back(&self, py: Python<'_>, count: usize) -> R<()> {
        match self {
            Methods::BytesIo(file) => bytes_io::step_back(file.bind(py), count),
            Methods::Bound { .. } => Ok(()),
        }
    }

    /// The Python objects held, each once, for the garbage collector.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        let held = match self {
            Methods::BytesIo(file) => [Some(file), None, None, None],
            Methods::Bound {
                peek,
                readinto,
                read,
                readline,
            } => [Some(read), Some(readline), peek.as_ref(), readinto.as_ref()],
        };
        held.into_iter().flatten()
    }
}

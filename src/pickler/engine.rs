//! The engine: runs a session, and user code between its frozen windows.
//!
//! [`Engine::run`] is the one place where windows and user code alternate. While user code may run, the
//! memo is back with its owner (a Pickler object, if there is one), who may look at it, clear or replace it.

use pyo3::prelude::*;

use super::fault::F;
use super::memo::Memo;
use super::notes;
use super::scratch;
use super::session::{Flow, Session};
use super::task::Task;
use crate::object::world::{Slot, window};
use crate::object::{R, Raised, attr, bytes_out};

/// What outlives a dump and may be changed by user code meanwhile: the state of a Pickler object.
pub trait Owner {
    /// Exchanges the memo for an empty one, for the time of a window, and tells the settings.
    fn lend(&self, py: Python<'_>, empty: &mut Memo) -> Modes;
    /// Takes the memo back, for the empty one.
    fn give_back(&self, py: Python<'_>, memo: &mut Memo);
    /// The private dispatch table as it is now.
    fn dispatch_table<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>>;
    /// The hook as it is now, where it may be replaced in the middle (before 3.13).
    fn persistent_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>>;
}

/// See [`Owner::lend`].
pub struct Modes {
    /// `Pickler.bin`.
    pub binary: bool,
    /// `Pickler.fast`.
    pub fast: bool,
}

/// What a dump works with.
pub struct Config<'a, 'py> {
    /// 0 to 5.
    pub protocol: u8,
    /// Map names to Python 2's below protocol 3.
    pub fix_imports: bool,
    /// The file's `write`, or none for a bytes object.
    pub write: Option<Bound<'py, PyAny>>,
    /// Receives out-of-band buffers.
    pub buffer_callback: Option<Bound<'py, PyAny>>,
    /// `persistent_id`, if it is not the default.
    pub persistent_id: Option<Bound<'py, PyAny>>,
    /// `reducer_override`, if there is one.
    pub reducer_override: Option<Bound<'py, PyAny>>,
    /// The Pickler object, if there is one.
    pub owner: Option<&'a dyn Owner>,
}

/// See the module.
pub struct Engine<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) session: Box<Session>,
    pub(super) config: Config<'a, 'py>,
}

impl<'a, 'py> Engine<'a, 'py> {
    /// Writes one pickle of `object`: to the file, or as the bytes object that comes back.
    ///
    /// # Errors
    /// What goes wrong: PicklingError, or whatever user code raises. The memo keeps what it has got, and what was
    /// written to the file stays there.
    pub fn dump(
        py: Python<'py>,
        config: Config<'a, 'py>,
        object: &Bound<'py, PyAny>,
    ) -> R<Option<Bound<'py, PyAny>>> {
        let mut session = scratch::take(py)?;
        let overridden = config.reducer_override.is_some()
            || config
                .owner
                .is_some_and(|owner| owner.dispatch_table(py).is_some());
        session.start(
            config.protocol,
            config.write.is_some(),
            config.persistent_id.is_some(),
            overridden,
        );
        session.out_of_band = config.buffer_callback.is_some();
        let mut engine = Engine {
            py,
            session,
            config,
        };
        let state = match engine.freeze() {
            Ok(()) => first_window(py, &mut engine.session, object),
            Err(fault) => Err(fault),
        };
        engine.go_on(state)
    }

    /// `dumps(object, protocol)`: without a file and hooks most objects need one window and no user code, hence
    /// none of an engine, and PyO3 need not be told that the thread is attached before there is any.
    ///
    /// # Errors
    /// As [`Engine::dump`].
    pub fn dumps(
        py: Python<'py>,
        protocol: u8,
        object: &Bound<'py, PyAny>,
    ) -> R<Option<Bound<'py, PyAny>>> {
        let mut session = scratch::take(py)?;
        session.start(protocol, false, false, false);
        let mut state = match session.freeze(true) {
            Ok(()) => first_window(py, &mut session, object),
            Err(fault) => Err(fault),
        };
        if let Ok(Flow::Done) = state {
            match session.end() {
                Ok(()) => {
                    let bytes = session.take_bytes(py);
                    session.reset(py);
                    scratch::put(session);
                    return bytes.map(Some);
                }
                Err(fault) => state = Err(fault),
            }
        }
        Python::attach(|_| {
            let engine = Engine {
                py,
                session,
                config: Config {
                    protocol,
                    fix_imports: true,
                    write: None,
                    buffer_callback: None,
                    persistent_id: None,
                    reducer_override: None,
                    owner: None,
                },
            };
            engine.go_on(state)
        })
    }

    /// Goes on after the first window.
    fn go_on(mut self, state: F<Flow>) -> R<Option<Bound<'py, PyAny>>> {
        let result = self.run(state);
        self.finish(result)
    }

    fn run(&mut self, mut state: F<Flow>) -> R<()> {
        loop {
            match state {
                Ok(Flow::Done) => break,
                Ok(Flow::Pushed) => {}
                Err(fault) => {
                    self.thaw()?;
                    return Err(self.annotate(|engine| fault.raise(engine.py)));
                }
            }
            state = window(self.py, |window| self.session.advance(window));
            if let Ok(Flow::Pushed) = state {
                self.thaw()?;
                if let Err(raised) = self.step() {
                    return Err(self.annotate(|_| raised));
                }
                if let Err(fault) = self.freeze() {
                    state = Err(fault);
                }
            }
        }
        match self.session.end() {
            Ok(()) => Ok(()),
            Err(fault) => {
                self.thaw()?;
                Err(fault.raise(self.py))
            }
        }
    }

    /// Ends the dump: the last of the output goes where it belongs, the session is kept for the next.
    fn finish(mut self, mut result: R<()>) -> R<Option<Bound<'py, PyAny>>> {
        let py = self.py;
        let to_file = self.config.write.is_some();
        if self.config.owner.is_some() {
            // The memo outlives the borrowed objects.
            result = result.and_then(|()| self.thaw());
        }
        let mut output = None;
        if result.is_ok() {
            if to_file {
                if self.config.owner.is_none() {
                    result = self.thaw();
                }
                result = result.and_then(|()| self.flush());
            } else {
                match self.session.take_bytes(py) {
                    Ok(bytes) => output = Some(bytes),
                    Err(raised) => result = Err(raised),
                }
            }
        }
        // What is still borrowed is forgotten, what is counted is released. That may run user code, which
        // must not meet the exception.
        let pending = result.err().map(|raised| raised.take(py));
        self.session.reset(py);
        scratch::put(self.session);
        match pending {
            Some(err) => Err(Raised::new(py, err)),
            None => Ok(output),
        }
    }

    /// Closes the window: user code may run, and the owner has the memo.
    pub(super) fn thaw(&mut self) -> R<()> {
        let (mut result, recipes) = self.session.thaw(self.py);
        if let Some(first) = recipes {
            result = result.and(self.unfreeze(first));
            self.session.all_kept();
        }
        self.session.graveyard.release(self.py);
        if let Some(owner) = self.config.owner {
            owner.give_back(self.py, &mut self.session.memo);
        }
        result
    }

    /// Opens a window.
    fn freeze(&mut self) -> F<()> {
        self.borrow_from_owner();
        self.session.freeze(self.config.owner.is_none())
    }

    fn borrow_from_owner(&mut self) {
        if let Some(owner) = self.config.owner {
            let modes = owner.lend(self.py, &mut self.session.memo);
            self.session.set_modes(modes.binary, modes.fast);
        }
    }

    /// Raises, and says where in the object it happened.
    #[cold]
    fn annotate(&mut self, raise: impl FnOnce(&mut Self) -> Raised) -> Raised {
        let raised = raise(self);
        notes::add(self.py, raised, &self.session.tasks)
    }

    /// Hands everything written so far to the file, as one bytes object.
    ///
    /// # Errors
    /// MemoryError, or whatever `write` raises.
    pub(super) fn flush(&mut self) -> R<()> {
        self.session.flush_due = false;
        let Some(write) = &self.config.write else {
            return Ok(());
        };
        let data = bytes_out::bytes(self.py, self.session.out.pending())?;
        self.session.out.clear();
        attr::call1(write, &data).map(drop)
    }

    /// Pushes a task, from a thawed world.
    ///
    /// # Errors
    /// RecursionError.
    pub(super) fn push(&mut self, task: Task) -> R<()> {
        match self.session.push(task) {
            Ok(_) => Ok(()),
            Err(fault) => Err(fault.raise(self.py)),
        }
    }

    /// Has `object` saved next, from the beginning.
    ///
    /// # Errors
    /// RecursionError.
    pub(super) fn push_save(&mut self, object: Bound<'py, PyAny>) -> R<()> {
        self.push(Task::Save {
            object: Slot::owned(object),
            checked: false,
        })
    }

    /// Writes bytes, from a thawed world.
    ///
    /// # Errors
    /// MemoryError.
    pub(super) fn emit(&mut self, bytes: &[u8]) -> R<()> {
        match self.session.out.emit_slice(bytes) {
            Ok(()) => Ok(()),
            Err(_) => Err(crate::errors::no_memory(self.py)),
        }
    }
}

/// Writes the header and as much of `object` as needs no user code and is not nested deeply.
#[inline]
fn first_window<'py>(
    py: Python<'py>,
    session: &mut Session,
    object: &Bound<'py, PyAny>,
) -> F<Flow> {
    window(py, |window| {
        session.begin()?;
        session.save_root(window, window.obj(object))
    })
}

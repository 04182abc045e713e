//! What Python sees: the module, its functions and classes, argument parsing.
//!
//! Everything here is thin: it turns arguments into what the pickler and the unpickler take, and results into
//! what Python gets.

pub mod args;
pub mod calls;
pub mod functions;
pub mod module;
pub mod pickle_buffer;
pub mod pickler;
pub mod pickler_memo;
pub mod unpickler;
pub mod unpickler_memo;

//! oxipickle: the `_pickle` accelerator, written again for speed and safety.
//!
//! A map of the tree; a file uses its own layer and those below, never above:
//!
//! - [`py`]: what Python sees: classes, functions, argument parsing.
//! - [`pickler`] writes a stream, [`unpickler`] reads one; they never use each other.
//! - [`state`]: interned names, `copyreg` and `_compat_pickle` tables, exception classes;
//!   [`errors`]: every error we raise.
//! - [`object`]: CPython objects, every touch of CPython memory; [`compat`]: what differs by
//!   Python version.
//! - [`format`]: the byte format; no Python in it. [`levers`]: what a special build can switch off.
//!
//! `unsafe` stays in `object/`, `format/buf.rs` and the few files of `py/` that must; the lint
//! below denies it elsewhere and those files allow it for themselves.
#![deny(unsafe_code)]

pub mod format;

#[cfg(feature = "python")]
pub mod compat;
#[cfg(feature = "python")]
pub mod errors;
#[cfg(feature = "python")]
pub mod levers;
#[cfg(feature = "python")]
pub mod object;
#[cfg(feature = "python")]
pub mod pickler;
#[cfg(feature = "python")]
pub mod py;
#[cfg(feature = "python")]
pub mod state;
#[cfg(feature = "python")]
pub mod unpickler;

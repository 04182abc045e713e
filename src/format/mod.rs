//! The byte format of pickle: bytes only, no Python.
//!
//! Compiles without PyO3 (`--no-default-features`), so that Miri, fuzzing and plain tests cover
//! it. Nothing here may know CPython objects, and nothing but `buf.rs` may be unsafe.

pub mod arg;
pub mod buf;
pub mod frame;
pub mod opcode;
pub mod scan;
pub mod text;
pub mod utf8;
